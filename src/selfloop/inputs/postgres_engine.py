"""Events in PostgreSQL: temporary tables of one connection, nothing else is written."""

import io
import itertools
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
import psycopg
import pyarrow as pa
from ibis.backends import postgres
from pyarrow import csv

from selfloop.core.errors import DataError, FileError, Problem
from selfloop.inputs.results import as_pandas

_CHUNK = 1 << 20


class PostgresBackend(postgres.Backend):  # type: ignore[misc] # Ibis has no types
    """PostgreSQL of Ibis, with results of the same types as those of DuckDB.

    Ibis fetches rows as objects of Python, which is slow, and an average of whole
    numbers, which PostgreSQL writes as a decimal, does not become a float.
    """

    def to_pyarrow(self, expr: ir.Expr, /, **kwargs: Any) -> Any:  # noqa: ANN401
        """Run an expression; return an Arrow table, column or value."""
        self._run_pre_execute_hooks(expr)
        whole = expr.as_table()
        table = self._copied(self.compile(whole, **kwargs), whole.schema())
        return expr.__pyarrow_result__(table)

    def execute(self, expr: ir.Expr, /, **kwargs: Any) -> Any:  # noqa: ANN401
        """Run an expression; return a pandas frame, column or value."""
        whole = expr.as_table()
        table = self.to_pyarrow(whole, **kwargs)
        return expr.__pandas_result__(as_pandas(table, whole.schema()))

    def _copied(self, query: str, schema: ibis.Schema) -> pa.Table:
        """Bring a result out by COPY, as text that Arrow reads at once."""
        # What PostgreSQL makes of an expression is not always what Ibis takes it for.
        types = self.compiler.type_mapper
        columns = ", ".join(
            f"CAST({_quoted(name)} AS {types.to_string(kind)})"
            for name, kind in schema.items()
        )
        words = f"COPY (SELECT {columns} FROM ({query}) AS t) TO STDOUT (FORMAT csv)"
        text = io.BytesIO()
        with (
            self.con.cursor() as cursor,
            self.con.transaction(),
            cursor.copy(words) as copy,
        ):
            for part in copy:
                text.write(part)
        if not text.tell():
            return schema.to_pyarrow().empty_table()
        text.seek(0)
        return csv.read_csv(
            text,
            csv.ReadOptions(column_names=list(schema)),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(
                column_types={n: kind.to_pyarrow() for n, kind in schema.items()},
                null_values=[""],
                true_values=["t"],
                false_values=["f"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )


@dataclass(frozen=True, eq=False)
class PostgresEngine:
    """A connection to PostgreSQL and the temporary tables that we make in it.

    Parameters
    ----------
    backend : ibis backend
        Where every table of an analysis lives.
    prefix : str
        How the names of our own tables begin; no other analysis has it.
    """

    backend: Any
    prefix: str = field(default_factory=lambda: f"sl_{secrets.token_hex(4)}")
    has_row_order: ClassVar[bool] = False
    reads_formats: ClassVar[bool] = False
    errors: ClassVar[tuple[type[Exception], ...]] = (psycopg.Error,)
    _numbers: Any = field(default_factory=itertools.count, repr=False)
    _kept: set[str] = field(default_factory=set, repr=False)

    def holds(self, source: object) -> bool:
        """Tell whether a table is in this connection."""
        if not isinstance(source, ir.Table):
            return False
        return getattr(source.get_backend(), "con", None) is self.backend.con

    def adopt(self, source: ir.Table) -> ir.Table:
        """See a table of the user, with text in the order of its bytes."""
        columns = ", ".join(
            _quoted(column)
            + (' COLLATE "C"' if kind.is_string() else "")
            + f" AS {_quoted(column)}"
            for column, kind in source.schema().items()
        )
        query = source.get_backend().compile(source)
        # Not a view: it would keep the user from dropping a table of theirs.
        return ops.SQLQueryResult(
            f"SELECT {columns} FROM ({query}) AS t",
            schema=source.schema(),
            source=self.backend,
        ).to_expr()

    def keep(self, expression: ir.Table, stem: str) -> ir.Table:
        """Compute a table once and keep it in the engine."""
        name = self._name(stem)
        # Not create_table of Ibis: its columns sort as the language of the database.
        self._run(f'CREATE TEMP TABLE "{name}" AS {self.backend.compile(expression)}')
        self._run(f'ANALYZE "{name}"')
        return self._table(name, expression.schema())

    def upload(self, table: pa.Table, stem: str) -> ir.Table:
        """Put a small Arrow table into the engine."""
        name = self._name(stem)
        schema = ibis.Schema.from_pyarrow(table.schema)
        columns = ", ".join(
            f"{_quoted(column)} {self._sql_type(kind)}"
            for column, kind in schema.items()
        )
        self._run(f'CREATE TEMP TABLE "{name}" ({columns})')
        text = io.BytesIO()
        csv.write_csv(table, text, csv.WriteOptions(include_header=False))
        text.seek(0)
        con = self.backend.con
        with (
            con.cursor() as cursor,
            con.transaction(),
            cursor.copy(f'COPY "{name}" FROM STDIN (FORMAT csv)') as copy,
        ):
            while part := text.read(_CHUNK):
                copy.write(part)
        self._run(f'ANALYZE "{name}"')
        return self._table(name, schema)

    def drop(self, table: ir.Table) -> None:
        """Forget a kept table."""
        self._forget(table.get_name())

    def close(self) -> None:
        """Forget every kept table."""
        # A connection that is lost has dropped them itself.
        with suppress(psycopg.OperationalError):
            for name in list(self._kept):
                self._forget(name)

    def failure(self, error: Exception) -> Exception:
        """Say in words of this package why the engine has stopped.

        Parameters
        ----------
        error : psycopg.Error
            What the engine has raised.

        Returns
        -------
        Exception
            A `FileError` when memory or disk have run out, or the connection is
            lost (SL160), or rights are missing (SL162); a `DataError` for a number
            that is too large (SL161); the error itself when it is a mistake of this
            package.
        """
        words = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            fix = "grant SELECT on the tables, and TEMPORARY on the database"
            found = f"PostgreSQL refused: {words}"
            return FileError([Problem("SL162", "", found, fix)])
        if isinstance(error, psycopg.errors.NumericValueOutOfRange):
            fix = "write the amounts in a larger unit: a sum must stay below 10**14"
            return DataError([Problem("SL161", "", f"too large: {words}", fix)])
        if isinstance(error, psycopg.OperationalError):
            fix = "look at the server: its disk, its memory and whether it is there"
            found = f"the engine stopped: {words}"
            return FileError([Problem("SL160", "", found, fix)])
        return error

    def _name(self, stem: str) -> str:
        """Return a name that is not used yet, and remember it."""
        name = f"{self.prefix}_{stem}_{next(self._numbers)}"
        self._kept.add(name)
        return name

    def _forget(self, name: str) -> None:
        """Drop a table of ours."""
        self._kept.discard(name)
        self._run(f'DROP TABLE IF EXISTS "{name}"')

    def _run(self, words: str) -> None:
        """Run one statement."""
        with self.backend.con.cursor() as cursor, self.backend.con.transaction():
            cursor.execute(words)

    def _table(self, name: str, schema: ibis.Schema) -> ir.Table:
        """Refer to a table of ours, whose columns are known."""
        return ops.DatabaseTable(name, schema=schema, source=self.backend).to_expr()

    def _sql_type(self, kind: dt.DataType) -> str:
        """Write a type; text sorts by its bytes, as in the other engines."""
        written: str = self.backend.compiler.type_mapper.to_string(kind)
        return f'{written} COLLATE "C"' if kind.is_string() else written


def _quoted(name: str) -> str:
    """Quote a column name for SQL."""
    return '"' + name.replace('"', '""') + '"'
