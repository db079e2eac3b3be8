"""From a path, a glob or a table in memory to one table in the engine."""

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from selfloop.core.errors import DataError, FileError, Problem
from selfloop.inputs.engine import Engine
from selfloop.inputs.textfiles import TextFile, as_utf8, file_kind

_ENCODING_NAMES = {"utf-8-sig": "UTF-8", "gb18030": "GB18030", "utf-16": "UTF-16"}


@dataclass(frozen=True)
class Raw:
    """One input table as it was found, before any cleaning.

    Parameters
    ----------
    table : ibis table
        All columns; text for CSV and JSON.
    source : str
        Where it came from, for people.
    n_malformed : int
        Lines that do not have the fields of the header; they are not in `table`.
    malformed : tuple of str
        The first of them.
    """

    table: ir.Table
    source: str
    n_malformed: int = 0
    malformed: tuple[str, ...] = ()


def read_table(source: object, table: str, engine: Engine) -> Raw:
    """Bring one input table into the engine.

    Parameters
    ----------
    source : path, glob, pandas / Polars / Arrow table, DuckDB relation or Ibis table
        What the user gave.
    table : str
        ``orders``, ``referrals``, ``visits`` or ``spend``, for messages.
    engine : Engine
        Where it goes.

    Returns
    -------
    Raw

    Raises
    ------
    FileError
        A file is missing or cannot be read (SL105).
    DataError
        The source is of an unknown kind, empty or damaged (SL102 - SL108).
    """
    if isinstance(source, (str, os.PathLike)):
        return _from_files(os.fspath(source), table, engine)
    if isinstance(source, ir.Table):
        return _from_ibis(source, table, engine)
    arrow = _as_arrow(source, table)
    names = arrow.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            [
                Problem(
                    "SL102",
                    table,
                    f"two columns are named {', '.join(map(repr, twice))}",
                    "rename one of them",
                )
            ]
        )
    kind = type(source).__module__.split(".")[0].lstrip("_")
    return Raw(engine.scan(arrow, table), f"{kind} table")


def _as_arrow(source: object, table: str) -> pa.Table:
    """Turn a table in memory into Arrow without changing it."""
    if isinstance(source, pd.DataFrame):
        return _from_pandas(source)
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, pa.RecordBatchReader):
        return source.read_all()
    if isinstance(source, duckdb.DuckDBPyRelation):
        return source.to_arrow_table()
    if type(source).__module__.startswith("polars"):
        frame: Any = source.collect() if hasattr(source, "collect") else source
        return frame.to_arrow()
    if hasattr(source, "__arrow_c_stream__"):
        return pa.table(source)
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


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    """Turn a pandas table into Arrow; columns of mixed objects become text."""
    arrays = []
    for position in range(frame.shape[1]):
        column = frame.iloc[:, position]
        try:
            arrays.append(pa.array(column, from_pandas=True))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            text = [None if pd.isna(v) else str(v) for v in column]
            arrays.append(pa.array(text, pa.string()))
    return pa.Table.from_arrays(
        [a.combine_chunks() if isinstance(a, pa.ChunkedArray) else a for a in arrays],
        names=[str(name) for name in frame.columns],
    )


def _from_ibis(source: ir.Table, table: str, engine: Engine) -> Raw:
    """Stream an Ibis table into the engine, batch by batch."""
    backend = source.get_backend()
    if backend is engine.backend:
        return Raw(source, "Ibis table")
    copy = engine.upload(source.to_pyarrow_batches(), table)
    return Raw(copy, f"Ibis table on {backend.name}")


def _from_files(pattern: str, table: str, engine: Engine) -> Raw:
    """Read one file, or all files of a glob that have the same columns."""
    paths = [Path(pattern)]
    if not paths[0].exists() and glob.has_magic(pattern):
        paths = sorted(Path(p) for p in glob.glob(pattern, recursive=True))
    if not paths or not paths[0].exists():
        found = "no file matches" if glob.has_magic(pattern) else "there is no file"
        raise FileError(
            [Problem("SL105", table, f"{found} {pattern}", "check the path")]
        )
    kinds = {path: file_kind(path, table) for path in paths}
    if len(set(kinds.values())) > 1:
        raise DataError(
            [
                Problem(
                    "SL107",
                    table,
                    f"{pattern} matches files of different types",
                    "read one type at a time",
                )
            ]
        )
    kind = kinds[paths[0]]
    label = paths[0].name if len(paths) == 1 else f"{len(paths)} files, {pattern}"
    if kind == "parquet":
        return _from_parquet(paths, table, label, engine)
    files = [as_utf8(path, kind, table, engine.folder) for path in paths]
    encodings = sorted({_ENCODING_NAMES[file.encoding] for file in files})
    label = f"{label} ({', '.join(encodings)})"
    if kind == "jsonl":
        return _from_json(files, table, label, engine)
    return _from_csv(files, table, label, engine)


def _from_parquet(paths: list[Path], table: str, label: str, engine: Engine) -> Raw:
    """See Parquet files from the engine; nothing is copied."""
    try:
        found = engine.backend.read_parquet(
            [str(path) for path in paths], table_name=engine.name(table)
        )
    except duckdb.Error as error:
        raise DataError([_damaged(label, table, error)]) from error
    return Raw(found, label)


def _damaged(label: str, table: str, error: Exception) -> Problem:
    """Say that a file cannot be parsed, in the engine's words."""
    first = str(error).splitlines()[0]
    return Problem(
        "SL106", table, f"{label} cannot be parsed: {first}", "export it again"
    )


def _from_json(files: list[TextFile], table: str, label: str, engine: Engine) -> Raw:
    """Read JSON lines; every value becomes text, so that ids keep their zeros."""
    con = engine.backend.con
    name, loaded = engine.name(table), engine.name("json")
    try:
        con.execute(
            f'CREATE TEMP TABLE "{loaded}" AS SELECT * FROM read_json(?, '
            "format='newline_delimited', maximum_depth=1, union_by_name=true)",
            [[str(file.path) for file in files]],
        )
    except duckdb.Error as error:
        raise DataError([_damaged(label, table, error)]) from error
    columns = [row[0] for row in con.execute(f'DESCRIBE "{loaded}"').fetchall()]
    parts = ", ".join(f"{_quoted(c)} ->> '$' AS {_quoted(c)}" for c in columns)
    con.execute(f'CREATE TEMP TABLE "{name}" AS SELECT {parts} FROM "{loaded}"')
    con.execute(f'DROP TABLE "{loaded}"')
    return Raw(engine.backend.table(name), label)


def _from_csv(files: list[TextFile], table: str, label: str, engine: Engine) -> Raw:
    """Read CSV files as text, keeping count of lines that do not fit the header."""
    columns = set(files[0].header)
    other = next((file for file in files if set(file.header) != columns), None)
    if other is not None:
        differing = ", ".join(sorted(columns ^ set(other.header)))
        raise DataError(
            [
                Problem(
                    "SL109",
                    table,
                    f"{label}: {other.path.name} has other columns ({differing})",
                    "read files with the same columns together",
                )
            ]
        )
    name = engine.name(table)
    bad: list[tuple[int, str]] = []
    for number, file in enumerate(files):
        bad += _load_csv(file, name, table, engine, first=number == 0)
    examples = tuple(f"line {line} {text[:60]!r}" for line, text in bad[:3])
    return Raw(engine.backend.table(name), label, len(bad), examples)


def _load_csv(
    file: TextFile, name: str, table: str, engine: Engine, *, first: bool
) -> list[tuple[int, str]]:
    """Add one file to the table; return the lines that do not fit."""
    con = engine.backend.con
    rejects = engine.name("rejects")
    how = f'CREATE TEMP TABLE "{name}" AS' if first else f'INSERT INTO "{name}" BY NAME'
    try:
        con.execute(
            f"{how} SELECT * FROM read_csv(?, auto_detect=false, header=true, "
            "columns=?, delim=?, quote='\"', escape='\"', store_rejects=true, "
            f"rejects_table='{rejects}', rejects_scan='{rejects}_scan', "
            "rejects_limit=0, max_line_size=16777216)",
            [str(file.path), dict.fromkeys(file.header, "VARCHAR"), file.delimiter],
        )
    except duckdb.Error as error:
        raise DataError([_damaged(file.path.name, table, error)]) from error
    query = f'SELECT line, any_value(csv_line) FROM "{rejects}" GROUP BY 1 ORDER BY 1'
    return [(int(line), str(text)) for line, text in con.execute(query).fetchall()]


def _quoted(name: str) -> str:
    """Quote a column name for SQL."""
    return '"' + name.replace('"', '""') + '"'
