"""Events in DuckDB, with a scratch folder."""

import itertools
import shutil
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa

from selfloop.core.errors import DataError, FileError, Problem, SettingError


@dataclass(frozen=True, eq=False)
class DuckDBEngine:
    """A DuckDB connection and a scratch folder that goes away with it.

    Parameters
    ----------
    backend : ibis backend
        Where every table of an analysis lives.
    folder : Path
        Scratch folder for spilled and converted files, removed with the backend.
    """

    backend: Any
    folder: Path
    has_row_order: ClassVar[bool] = True
    reads_formats: ClassVar[bool] = True
    errors: ClassVar[tuple[type[Exception], ...]] = (duckdb.Error,)
    _numbers: Any = field(default_factory=itertools.count, repr=False)

    def name(self, stem: str) -> str:
        """Return a table name that is not used yet."""
        return f"sl_{stem}_{next(self._numbers)}"

    def keep(self, expression: ir.Table, stem: str) -> ir.Table:
        """Compute a table once and keep it in the engine."""
        return self.backend.create_table(self.name(stem), expression, temp=True)

    def upload(self, table: pa.Table, stem: str) -> ir.Table:
        """Put a small Arrow table into the engine."""
        name, incoming = self.name(stem), self.name("incoming")
        # Not create_table: ibis 12 drops its own view wrongly under sqlglot 30.
        self.backend.con.register(incoming, table)
        self.backend.con.execute(
            f'CREATE TEMP TABLE "{name}" AS SELECT * FROM "{incoming}"'
        )
        self.backend.con.unregister(incoming)
        return self.backend.table(name)

    def scan(self, table: pa.Table, stem: str) -> ir.Table:
        """See an Arrow table from the engine without copying it."""
        name = self.name(stem)
        self.backend.con.register(name, table)
        return self.backend.table(name)

    def holds(self, source: object) -> bool:
        """Tell whether a table is in this connection."""
        return isinstance(source, ir.Table) and source.get_backend() is self.backend

    def adopt(self, source: ir.Table) -> ir.Table:
        """See a table that is in this connection."""
        return source

    def drop(self, table: ir.Table) -> None:
        """Forget a kept table."""
        self.backend.drop_table(table.get_name(), force=True)

    def close(self) -> None:
        """Forget every kept table; the connection closes with its last result."""

    def failure(self, error: Exception) -> Exception:
        """Say in words of this package why the engine has stopped; see `failure`."""
        return failure(error)


DEFAULT_MEMORY_LIMIT = "2GB"
"""Enough for ten million orders without going to disk much; see `connect`."""


def connect(*, memory_limit: str = DEFAULT_MEMORY_LIMIT) -> DuckDBEngine:
    """Open an engine.

    Parameters
    ----------
    memory_limit : str
        Memory after which the engine goes to disk, such as ``"4GB"``. The process as
        a whole needs about 1 GB more.

    Returns
    -------
    DuckDBEngine

    Examples
    --------
    >>> connect().backend.name
    'duckdb'
    """
    folder = Path(tempfile.mkdtemp(prefix="selfloop-"))
    try:
        backend = ibis.duckdb.connect(
            temp_directory=str(folder / "spill"), memory_limit=memory_limit
        )
    except duckdb.Error as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SettingError(
            f"memory_limit must be a size such as '4GB'; got {memory_limit!r}"
        ) from error
    # Results keep the backend alive; the folder must live exactly as long.
    weakref.finalize(backend, shutil.rmtree, folder, ignore_errors=True)
    return DuckDBEngine(backend, folder)


_OWN_MISTAKES = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.InternalException,
    duckdb.InvalidTypeException,
    duckdb.ParserException,
    duckdb.SyntaxException,
)


def failure(error: Exception) -> Exception:
    """Say in words of this package why the engine has stopped.

    Parameters
    ----------
    error : duckdb.Error
        What the engine has raised.

    Returns
    -------
    Exception
        A `FileError` when memory or disk have run out (SL160), a `DataError` for a
        number that is too large (SL161) or a source that is damaged (SL106); the
        error itself when it is a mistake of this package.
    """
    words = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, (duckdb.OutOfMemoryException, duckdb.IOException)):
        fix = "make room on the disk of temporary files, or give it more memory"
        return FileError([Problem("SL160", "", f"the engine stopped: {words}", fix)])
    if isinstance(error, (duckdb.ConversionException, duckdb.OutOfRangeException)):
        fix = "write the amounts in a larger unit: a sum must stay below 10**14"
        return DataError([Problem("SL161", "", f"too large: {words}", fix)])
    if isinstance(error, _OWN_MISTAKES):
        return error
    fix = "export the tables again"
    found = f"a table cannot be read to its end: {words}"
    return DataError([Problem("SL106", "", found, fix)])
