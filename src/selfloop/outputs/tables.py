"""Write any table that selfloop returns: CSV, Parquet, JSON, Excel, Markdown."""

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import IO, Literal, TypeAlias

import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from selfloop.core.display import format_value
from selfloop.core.errors import SettingError
from selfloop.outputs.excel import write_sheet
from selfloop.outputs.files import whole_file

Table: TypeAlias = pd.DataFrame | ir.Table
TextFormat = Literal["csv", "json", "md"]

FORMATS = (".csv", ".parquet", ".json", ".xlsx", ".md")
"""Suffixes that `write_table` knows."""

FORMULA_START = "=+-@\t\r\n＝＋－＠"
"""A spreadsheet may run a text that begins with one of these."""

_BOM = b"\xef\xbb\xbf"


def write_table(table: Table, path: str | os.PathLike[str]) -> Path:
    """Write a table to a file; the suffix says the format.

    Rows go from the engine to the file in batches, so a table of ten million
    customers needs no more memory than one of a thousand. The file appears when it
    is complete.

    Parameters
    ----------
    table : pandas.DataFrame or ibis Table
        What to write, without the index of a DataFrame.
    path : path
        Target, ending in ``.csv``, ``.parquet``, ``.json`` (a list of records),
        ``.xlsx`` or ``.md``.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    SettingError
        When the suffix is not one of these.
    FileError
        When the file cannot be written, or Excel cannot hold the table, or the
        extra ``excel`` is not installed.

    Notes
    -----
    CSV is UTF-8 with a byte order mark, which Excel needs to read Chinese; pandas
    and DuckDB skip it. Texts in it that a spreadsheet would run (they begin with
    ``=``, ``+``, ``-``, ``@``, tab or a line end) get an apostrophe in front. The
    other formats hold every text as it is.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"person_id": ["007", "=1+1"], "n_purchases": [2, 1]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_table(frame, f"{folder}/people.csv")
    ...     print(written.read_text(encoding="utf-8-sig"))
    "person_id","n_purchases"
    "007",2
    "'=1+1",1
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in _WRITERS:
        raise SettingError(
            f"the format follows from the suffix, one of {', '.join(FORMATS)}; "
            f"got {target.name!r}"
        )
    with whole_file(target) as place:
        _WRITERS[suffix](table, place)
    return target


def format_table(table: Table, *, format: TextFormat = "csv") -> str:  # noqa: A002
    """Return a table as text, for a pipe or a terminal.

    Parameters
    ----------
    table : pandas.DataFrame or ibis Table
        What to show, all rows of it.
    format : {"csv", "json", "md"}
        As `write_table` writes it, CSV without the byte order mark.

    Returns
    -------
    str

    Raises
    ------
    SettingError
        When `format` is none of these.

    Examples
    --------
    >>> import pandas as pd
    >>> print(format_table(pd.DataFrame({"stage": ["referral"], "r": [None]}),
    ...                    format="json"))
    [
    {"stage": "referral", "r": null}
    ]
    """
    if format not in _TEXT_WRITERS:
        allowed = ", ".join(repr(name) for name in _TEXT_WRITERS)
        raise SettingError(f"format must be one of {allowed}; got {format!r}")
    sink = BytesIO()
    with _opened(table) as (schema, batches):
        _TEXT_WRITERS[format](schema, batches, sink)
    return sink.getvalue().decode("utf-8")


def inert(text: str) -> str:
    """Return a text that no spreadsheet runs as a formula.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        The same, with an apostrophe in front where it would be run.

    Examples
    --------
    >>> inert("=cmd()"), inert("007")
    ("'=cmd()", '007')
    """
    return f"'{text}" if text[:1] and text[0] in FORMULA_START else text


@contextmanager
def _opened(table: Table) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Give the columns of a table and its rows in batches."""
    if isinstance(table, pd.DataFrame):
        arrow = pa.Table.from_pandas(_plain_frame(table), preserve_index=False)
        arrow = arrow.replace_schema_metadata(None)
        yield arrow.schema, iter(arrow.to_batches())
        return
    # Every engine writes Parquet by itself, with all cores and in bounded memory;
    # reading that back in batches is the same for all of them.
    with tempfile.TemporaryDirectory(prefix="selfloop-") as folder:
        table.to_parquet(f"{folder}/rows.parquet")
        with pq.ParquetFile(f"{folder}/rows.parquet") as source:
            yield source.schema_arrow, source.iter_batches()


def _plain_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn months and categories into text, which every format has."""
    return frame.assign(**{
        str(name): frame[name].astype("string")
        for name, dtype in frame.dtypes.items()
        if isinstance(dtype, (pd.PeriodDtype, pd.CategoricalDtype))
    })  # fmt: skip


def _write_csv_file(table: Table, place: Path) -> None:
    """Write CSV for Excel, pandas and people."""
    with _opened(table) as (schema, batches), place.open("wb") as sink:
        sink.write(_BOM)
        _write_csv(schema, batches, sink)


def _write_csv(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: IO[bytes]
) -> None:
    """Write batches as CSV whose texts no spreadsheet runs."""
    shown = pa.schema([pa.field(inert(f.name), _csv_type(f.type)) for f in schema])
    options = pa_csv.WriteOptions(quoting_style="needed")
    with pa_csv.CSVWriter(sink, shown, write_options=options) as writer:
        for batch in batches:
            columns = [_csv_column(column) for column in batch.columns]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=shown))


def _is_text(kind: pa.DataType) -> bool:
    """Say whether a column holds text."""
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
    )


def _csv_type(kind: pa.DataType) -> pa.DataType:
    """Return how a column leaves as CSV: times to the second, text as text."""
    if _is_text(kind):
        return pa.large_string()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("s", kind.tz)
    return pa.null() if pa.types.is_null(kind) else kind


def _csv_column(column: pa.Array) -> pa.Array:
    """Make one column ready for CSV."""
    kind = _csv_type(column.type)
    if _is_text(kind):
        text = column.cast(kind)
        start = pc.utf8_slice_codeunits(text, start=0, stop=1)
        risky = pc.is_in(start, value_set=pa.array(list(FORMULA_START), kind))
        guarded = pc.binary_join_element_wise(
            pa.scalar("'", kind), text, pa.scalar("", kind)
        )
        return pc.if_else(risky, guarded, text)
    if pa.types.is_timestamp(kind):
        return column.cast(kind, safe=False)
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
    return column


def _write_parquet(table: Table, place: Path) -> None:
    """Write Parquet, by the engine where there is one."""
    if isinstance(table, pd.DataFrame):
        with (
            _opened(table) as (schema, batches),
            pq.ParquetWriter(place, schema, compression="zstd") as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
    else:
        table.to_parquet(place)


def _write_json_file(table: Table, place: Path) -> None:
    """Write a JSON list with one record a line."""
    with _opened(table) as (schema, batches), place.open("wb") as sink:
        _write_json(schema, batches, sink)


def _write_json(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: IO[bytes]
) -> None:
    """Write batches as a JSON list with one record a line."""
    names = schema.names
    separator = b"[\n"
    for row in _rows(batches):
        record = dict(zip(names, map(_json_value, row), strict=True))
        line = json.dumps(record, ensure_ascii=False, allow_nan=False)
        sink.write(separator + line.encode("utf-8", "replace"))
        separator = b",\n"
    sink.write(b"[]\n" if separator == b"[\n" else b"\n]\n")


def _rows(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[object, ...]]:
    """Yield the rows of batches as Python values."""
    for batch in batches:
        yield from zip(*(c.to_pylist() for c in batch.columns), strict=True)


def _json_value(value: object) -> object:
    """Return a value that JSON has; a missing number is null."""
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    return value


def _write_markdown_file(table: Table, place: Path) -> None:
    """Write a Markdown table."""
    with _opened(table) as (schema, batches), place.open("wb") as sink:
        _write_markdown(schema, batches, sink)


def _write_markdown(
    schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: IO[bytes]
) -> None:
    """Write batches as a Markdown table, numbers to the right."""
    rules = ["---" if _is_text(field.type) else "---:" for field in schema]
    for cells in (schema.names, rules):
        sink.write(_markdown_line(cells))
    for row in _rows(batches):
        sink.write(_markdown_line([format_value(value) for value in row]))


def markdown_cell(text: str) -> str:
    r"""Return a text that stays inside one cell of a Markdown table.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        On one line, with bars and HTML escaped.

    Examples
    --------
    >>> markdown_cell("a|b <script>")
    'a\\|b &lt;script&gt;'
    """
    line = " ".join(text.split())
    for mark, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        line = line.replace(mark, safe)
    for mark in "\\|`*_[]":
        line = line.replace(mark, f"\\{mark}")
    return line


def _markdown_line(cells: list[str]) -> bytes:
    """Write one row of a Markdown table."""
    rule = all(set(cell) <= {"-", ":"} for cell in cells)
    shown = cells if rule else [markdown_cell(cell) for cell in cells]
    return ("| " + " | ".join(shown) + " |\n").encode("utf-8", "replace")


def _write_excel(table: Table, place: Path) -> None:
    """Write one sheet whose texts stay texts."""
    with _opened(table) as (schema, batches):
        write_sheet(schema.names, _rows(batches), place)


_WRITERS: dict[str, Callable[[Table, Path], None]] = {
    ".csv": _write_csv_file,
    ".parquet": _write_parquet,
    ".json": _write_json_file,
    ".xlsx": _write_excel,
    ".md": _write_markdown_file,
}

_TEXT_WRITERS: dict[
    str, Callable[[pa.Schema, Iterator[pa.RecordBatch], IO[bytes]], None]
] = {"csv": _write_csv, "json": _write_json, "md": _write_markdown}
