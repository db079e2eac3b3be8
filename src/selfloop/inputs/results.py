"""Results of every engine in the same pandas types."""

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.types as pat
from ibis.backends.duckdb.converter import DuckDBPandasData


def as_pandas(table: pa.Table, schema: ibis.Schema) -> pd.DataFrame:
    """Return an Arrow table as Ibis returns the results of DuckDB."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        is_plain = not (pat.is_nested(column.type) or column.null_count)
        columns[name] = column.to_pandas() if is_plain else column.to_pylist()
    frame: pd.DataFrame
    frame = DuckDBPandasData.convert_table(pd.DataFrame(columns), schema)
    return frame
