"""From a path, a glob or a table in memory to one table in the engine."""

import glob
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.common.exceptions import IbisError

from selfloop.core.errors import DataError, FileError, Problem
from selfloop.inputs.columns import doubled
from selfloop.inputs.duckdb_engine import DuckDBEngine, connect
from selfloop.inputs.engine import Engine
from selfloop.inputs.frames import as_arrow
from selfloop.inputs.textfiles import TextFile, as_utf8, file_kind

_ENCODING_NAMES = {"utf-8-sig": "UTF-8", "gb18030": "GB18030", "utf-16": "UTF-16"}
_LONGEST_LINE = 1 << 24

BadLine = tuple[int | None, str]
"""Number of a line that cannot be read, when it is known, and the line."""


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
    if not isinstance(engine, DuckDBEngine):
        return _into(source, table, engine)
    if isinstance(source, (str, os.PathLike)):
        return _from_files(os.fspath(source), table, engine)
    if isinstance(source, ir.Table):
        return _from_ibis(source, table, engine)
    arrow = as_arrow(source, table)
    _check_names(arrow.column_names, table, "")
    kind = type(source).__module__.split(".")[0].lstrip("_")
    try:
        found = engine.scan(arrow, table)
    except duckdb.NotImplementedException as error:
        raise DataError([_damaged(f"the {kind} table", table, error)]) from error
    return Raw(found, f"{kind} table")


def _into(source: Any, table: str, engine: Engine) -> Raw:  # noqa: ANN401 - any table
    """Bring a table into an engine that is not ours."""
    if not engine.holds(source):
        found = read_table(source, table, connect())
        return replace(found, table=engine.upload(found.table.to_pyarrow(), table))
    _check_names(source.columns, table, "")
    kind = "Ibis table" if isinstance(source, ir.Table) else "DataFrame"
    return Raw(engine.adopt(source), f"{kind} on {engine.backend.name}")


def _check_names(names: Sequence[str], table: str, label: str) -> None:
    """Raise unless the columns can be told apart."""
    problems = doubled(table, names, label)
    if not names:
        where = label or "the table"
        problems = [Problem("SL103", table, f"{where} has no columns", "check it")]
    if problems:
        raise DataError(problems)


def _from_ibis(source: ir.Table, table: str, engine: DuckDBEngine) -> Raw:
    """Stream an Ibis table into the engine, batch by batch."""
    try:
        backend = source.get_backend()
    except IbisError as error:
        fix = "make it with the table of a connection"
        raise DataError(
            [Problem("SL107", table, f"this Ibis table has no data: {error}", fix)]
        ) from error
    _check_names(source.columns, table, "")
    if backend is engine.backend:
        return Raw(source, "Ibis table")
    with warnings.catch_warnings():
        # ibis 12 calls a method that DuckDB 1.5 has renamed.
        warnings.simplefilter("ignore", DeprecationWarning)
        copy = engine.upload(source.to_pyarrow_batches(), table)
    return Raw(copy, f"Ibis table on {backend.name}")


def _from_files(pattern: str, table: str, engine: DuckDBEngine) -> Raw:
    """Read one file, or all files of a glob that have the same columns."""
    paths = [Path(pattern)]
    if glob.has_magic(pattern) and not os.path.exists(pattern):
        paths = sorted(Path(p) for p in glob.glob(pattern, recursive=True))
    if not paths:
        problem = Problem("SL105", table, f"no file matches {pattern}", "check it")
        raise FileError([problem])
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


def _from_parquet(
    paths: list[Path], table: str, label: str, engine: DuckDBEngine
) -> Raw:
    """See Parquet files from the engine; nothing is copied."""
    try:
        columns = {path: pq.read_schema(path).names for path in paths}
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError([_damaged(label, table, error)]) from error
    _check_names(columns[paths[0]], table, label)
    _check_same(columns, table, label)
    try:
        found = engine.backend.read_parquet(
            [glob.escape(str(path)) for path in paths],
            table_name=engine.name(table),
            # The widest type of all files, so that 7 and '007' both become text.
            union_by_name=len(paths) > 1,
            # A folder named like a column must not replace what the file holds.
            hive_partitioning=False,
        )
    except duckdb.Error as error:
        raise DataError([_damaged(label, table, error)]) from error
    return Raw(found, label)


def _check_same(columns: Mapping[Path, Sequence[str]], table: str, label: str) -> None:
    """Raise unless all files have the columns of the first."""
    first = set(next(iter(columns.values())))
    for path, names in columns.items():
        differing = ", ".join(sorted(first ^ set(names)))
        if differing:
            problem = Problem(
                "SL117",
                table,
                f"{label}: {path.name} has other columns ({differing})",
                "read files with the same columns together",
            )
            raise DataError([problem])


def _damaged(label: str, table: str, error: Exception) -> Problem:
    """Say that a file cannot be parsed, in the engine's words."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return Problem(
        "SL106", table, f"{label} cannot be parsed: {first}", "export it again"
    )


def _from_json(
    files: list[TextFile], table: str, label: str, engine: DuckDBEngine
) -> Raw:
    """Read JSON lines; every value becomes text, so that ids keep their zeros."""
    con = engine.backend.con
    lines, parsed, name = (engine.name(stem) for stem in ("lines", "json", table))
    bad: list[BadLine] = []
    for number, file in enumerate(files):
        # Nothing that can stand in JSON splits or quotes these lines.
        bad += _load(file, lines, table, engine, number, ["line"], "\x01", "")
    # CASE, because AND may look at a line that is not JSON before it is told so.
    con.execute(
        f'CREATE TEMP TABLE "{parsed}" AS SELECT line, CASE WHEN json_valid(line) '
        "THEN CASE WHEN json_type(line) = 'OBJECT' THEN json_keys(line) END END "
        f"AS keys FROM \"{lines}\" WHERE trim(line) <> ''"
    )
    con.execute(f'DROP TABLE "{lines}"')
    good = "coalesce(len(keys) = len(list_distinct(keys)), false)"
    other = con.execute(f'SELECT line FROM "{parsed}" WHERE NOT {good}').fetchall()
    found = con.execute(
        f'SELECT key FROM (SELECT unnest(keys) AS key FROM "{parsed}" WHERE {good}) '
        "WHERE key <> '' GROUP BY key ORDER BY count(*) DESC, key"
    ).fetchall()
    keys = [key for (key,) in found]
    if not keys:
        fix = "write one JSON object with distinct keys on each line"
        what = f"{label} holds no JSON objects, one a line"
        raise DataError([Problem("SL106", table, what, fix)])
    _check_names(keys, table, label)
    # JSON pointers: in a path, a key such as * or a"b would mean something.
    paths = ["/" + key.replace("~", "~0").replace("/", "~1") for key in keys]
    parts = ", ".join(f"v[{i}] AS {_quoted(k)}" for i, k in enumerate(keys, start=1))
    con.execute(
        f'CREATE TEMP TABLE "{name}" AS SELECT {parts} FROM '
        f'(SELECT json_extract_string(line, ?) AS v FROM "{parsed}" WHERE {good})',
        [paths],
    )
    con.execute(f'DROP TABLE "{parsed}"')
    bad += [(None, text) for (text,) in other]
    return Raw(engine.backend.table(name), label, len(bad), _first_lines(bad))


def _from_csv(
    files: list[TextFile], table: str, label: str, engine: DuckDBEngine
) -> Raw:
    """Read CSV files as text, keeping count of lines that do not fit the header."""
    for file in files:
        _check_names(file.header, table, file.name)
    _check_same({Path(file.name): file.header for file in files}, table, label)
    name = engine.name(table)
    bad: list[BadLine] = []
    for number, file in enumerate(files):
        bad += _load(
            file, name, table, engine, number, file.header, file.delimiter, '"'
        )
    return Raw(engine.backend.table(name), label, len(bad), _first_lines(bad))


def _first_lines(bad: list[BadLine]) -> tuple[str, ...]:
    """Show the first lines that do not fit."""
    return tuple(
        f"{text[:60]!r}" if line is None else f"line {line} {text[:60]!r}"
        for line, text in bad[:3]
    )


def _load(
    file: TextFile,
    name: str,
    table: str,
    engine: DuckDBEngine,
    number: int,
    columns: Sequence[str],
    delimiter: str,
    quote: str,
) -> list[BadLine]:
    """Add one text file to a table; return the lines that do not fit."""
    con = engine.backend.con
    rejects = engine.name("rejects")
    how = (
        f'INSERT INTO "{name}" BY NAME' if number else f'CREATE TEMP TABLE "{name}" AS'
    )
    try:
        con.execute(
            f"{how} SELECT * FROM read_csv(?, auto_detect=false, header=?, skip=?, "
            "columns=?, delim=?, quote=?, escape=?, compression=?, "
            "hive_partitioning=false, store_rejects=true, rejects_limit=0, "
            f"rejects_table='{rejects}', rejects_scan='{rejects}_scan', "
            f"max_line_size={_LONGEST_LINE})",
            [
                glob.escape(str(file.path)),
                bool(file.header),
                file.n_skip,
                dict.fromkeys(columns, "VARCHAR"),
                delimiter,
                quote,
                quote,
                "gzip" if file.zipped else "none",
            ],
        )
    except duckdb.Error as error:
        raise DataError([_damaged(file.name, table, error)]) from error
    # A line with two faults is listed twice; only one of the two holds its text.
    query = (
        "SELECT line, arg_max(csv_line, length(csv_line)), "
        f"bool_or(error_type = 'UNQUOTED VALUE') FROM \"{rejects}\" "
        "GROUP BY line ORDER BY line"
    )
    found = con.execute(query).fetchall()
    quoted = [(int(line), str(text)) for line, text, is_quoted in found if is_quoted]
    if quoted:
        raise DataError([_broken_quotes(file.name, table, quoted)])
    return [(int(line), str(text)) for line, text, _ in found]


def _broken_quotes(name: str, table: str, lines: Sequence[tuple[int, str]]) -> Problem:
    """Say that quotes stand where they cannot: no row of such a file is certain.

    A quote that is not closed swallows the lines after it, and after one in the
    middle of a field the engine takes the rest of the line for a row.
    """
    n = len(lines)
    where = f"line {lines[0][0]}" if n == 1 else f"{n:,} lines from {lines[0][0]} on"
    return Problem(
        "SL118",
        table,
        f"{name}: a quote is not closed or out of place in {where}, so that it cannot "
        "be told where fields and rows begin",
        "write the field in quotes, and quotes inside it twice; it cannot be set aside",
        examples=tuple(f"line {line} {text[:60]!r}" for line, text in lines[:3]),
        n_rows=n,
    )


def _quoted(name: str) -> str:
    """Quote a column name for SQL."""
    return '"' + name.replace('"', '""') + '"'
