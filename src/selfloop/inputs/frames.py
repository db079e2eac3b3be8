"""Tables in memory, of any library, as Arrow; the caller's table is not changed."""

from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from selfloop.core.errors import DataError, Problem

_PLAIN = ("string", "integer", "floating", "boolean", "decimal", "datetime",
          "datetime64", "date", "empty")  # fmt: skip
"""What `pandas.api.types.infer_dtype` calls objects that Arrow holds as they are."""


def as_arrow(source: object, table: str) -> pa.Table:
    """Turn a table in memory into Arrow.

    Parameters
    ----------
    source : pandas, Polars or Arrow table, or DuckDB relation
        What the user gave; anything with an Arrow stream will do.
    table : str
        Input table it is for, for messages.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    DataError
        It is no table (SL107).

    Examples
    --------
    >>> as_arrow(pd.DataFrame({"id": [17850.0, "A1"]}), "orders")["id"].to_pylist()
    ['17850', 'A1']
    """
    found: Any = None
    if isinstance(source, pd.DataFrame):
        found = _from_pandas(source)
    elif isinstance(source, pa.Table):
        found = source
    elif isinstance(source, pa.RecordBatchReader):
        found = source.read_all()
    elif isinstance(source, duckdb.DuckDBPyRelation):
        found = source.to_arrow_table()
    elif _is_polars(source):
        found = _from_polars(source)
    elif isinstance(source, pa.RecordBatch) or hasattr(source, "__dataframe__"):
        found = pa.table(source)
    if isinstance(found, pa.Table):
        return _for_engine(found)
    raise DataError(
        [
            Problem(
                "SL107",
                table,
                f"cannot read a {type(source).__module__}.{type(source).__name__}",
                "pass a path, or a pandas, Polars, Arrow, DuckDB or Ibis table",
            )
        ]
    )


def _is_polars(source: object) -> bool:
    """Tell whether it is a Polars table; Polars itself is not needed for that."""
    kind = type(source)
    return kind.__module__.startswith("polars") and kind.__name__ in (
        "DataFrame",
        "LazyFrame",
    )


def _for_engine(arrow: pa.Table) -> pa.Table:
    """Widen the few types that the engine does not know."""
    for position, kind in enumerate(arrow.schema.types):
        wider = None
        if pa.types.is_float16(kind):
            wider = pa.float32()
        elif pa.types.is_decimal256(kind):
            wider = pa.string()
        if wider is not None:
            name, column = arrow.schema.names[position], arrow.column(position)
            arrow = arrow.set_column(position, name, column.cast(wider))
    return arrow


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    """Turn a pandas table into Arrow; columns of mixed objects become text."""
    arrays = [_column(frame.iloc[:, i]) for i in range(frame.shape[1])]
    return pa.Table.from_arrays(arrays, names=[str(name) for name in frame.columns])


def _column(column: "pd.Series[Any]") -> pa.Array:
    """Turn one pandas column into Arrow."""
    if column.dtype == object:
        return _objects(column)
    if isinstance(column.dtype, (pd.PeriodDtype, pd.IntervalDtype)):
        return _text(column)
    try:
        array = pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return _text(column)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _from_polars(source: object) -> pa.Table:
    """Turn a Polars table, lazy or not, into Arrow."""
    frame: Any = source.collect() if hasattr(source, "collect") else source
    arrays = [
        # Polars hands out the addresses of Python objects, not their values.
        _objects(pd.Series(column.to_list(), dtype=object))
        if str(column.dtype) == "Object"
        else column.to_arrow()
        for column in frame.get_columns()
    ]
    return pa.Table.from_arrays(arrays, names=list(frame.columns))


def _objects(values: "pd.Series[Any]") -> pa.Array:
    """Turn Python objects into Arrow: of one kind as they are, else as text."""
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind not in _PLAIN or _are_mixed_times(values, kind):
        return _text(values)
    try:
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, UnicodeEncodeError):
        return _text(values)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _are_mixed_times(values: "pd.Series[Any]", kind: str) -> bool:
    """Tell whether times with and without a zone, or dates and times, are mixed.

    Arrow gives all of them the kind of the first: a naive time would become UTC,
    and a time a date.
    """
    if kind not in ("datetime", "datetime64", "date"):
        return False
    known = [v for v in values if not _is_missing(v)]
    kinds = {
        "date" if not isinstance(v, datetime) else v.utcoffset() is None
        for v in known
        if isinstance(v, date)
    }
    return len(kinds) > 1


def _is_missing(value: Any) -> bool:  # noqa: ANN401 - any object of the caller
    """Tell whether a Python object stands for nothing."""
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _text(values: Iterable[Any]) -> pa.Array:
    """Write every value as text; missing stays missing."""
    text = [None if _is_missing(v) else _written(v) for v in values]
    return pa.array(text, pa.string())


def _written(value: object) -> str:
    """Write one value, so that the same id reads the same in every column."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    if isinstance(value, Decimal) and value.is_finite() and value == int(value):
        return str(int(value))
    # Half a surrogate pair is no text in UTF-8; shown escaped, it stays distinct.
    return str(value).encode("utf-8", "backslashreplace").decode()
