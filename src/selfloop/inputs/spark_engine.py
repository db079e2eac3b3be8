"""Events in Spark: temporary views of a session of our own, nothing is written."""

import itertools
import secrets
from dataclasses import dataclass, field
from typing import Any, ClassVar

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends import pyspark
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from selfloop.core.errors import FileError, Problem
from selfloop.inputs.results import as_pandas


class SparkBackend(pyspark.Backend):  # type: ignore[misc] # Ibis has no types
    """Spark of Ibis, with results of the same types as those of DuckDB.

    Ibis brings results out as pandas frames, in which a missing value turns whole
    numbers into floats: those above 2**53, such as hashes of ids, would change.
    """

    def to_pyarrow(self, expr: ir.Expr, /, **kwargs: Any) -> Any:  # noqa: ANN401
        """Run an expression; return an Arrow table, column or value."""
        self._run_pre_execute_hooks(expr)
        whole = expr.as_table()
        frame = self._session.sql(self.compile(whole, **kwargs))
        kinds = whole.schema().to_pyarrow()
        # Ibis leaves columns of its own in, such as those of an offset.
        table = frame.toArrow().select(kinds.names).cast(kinds)
        return expr.__pyarrow_result__(table)

    def execute(self, expr: ir.Expr, /, **kwargs: Any) -> Any:  # noqa: ANN401
        """Run an expression; return a pandas frame, column or value."""
        whole = expr.as_table()
        table = self.to_pyarrow(whole, **kwargs)
        return expr.__pandas_result__(as_pandas(table, whole.schema()))


def spark_engine(session: SparkSession) -> "SparkEngine":
    """Open an engine beside a session of the user.

    Parameters
    ----------
    session : SparkSession
        Where the tables are. It is not changed: views and settings of ours belong to
        a session of our own, on the same cluster.

    Returns
    -------
    SparkEngine
    """
    own = session.newSession()
    # A number that cannot be read is a row to be set aside, not the end of the job.
    own.conf.set("spark.sql.ansi.enabled", "false")
    _ = ibis.pyspark  # registers the options that its backends read
    backend = SparkBackend()
    backend.do_connect(own)
    return SparkEngine(backend, session)


@dataclass(frozen=True, eq=False)
class SparkEngine:
    """A session of Spark and the temporary views that we make in it.

    Parameters
    ----------
    backend : ibis backend
        Where every table of an analysis lives.
    theirs : SparkSession
        Session of the user, where the tables are.
    prefix : str
        How the names of our own views begin; no other analysis has it.
    """

    backend: Any
    theirs: SparkSession
    prefix: str = field(default_factory=lambda: f"sl_{secrets.token_hex(4)}")
    has_row_order: ClassVar[bool] = False
    reads_formats: ClassVar[bool] = False
    errors: ClassVar[tuple[type[Exception], ...]] = (PySparkException,)
    _numbers: Any = field(default_factory=itertools.count, repr=False)
    _kept: set[str] = field(default_factory=set, repr=False)

    def holds(self, source: object) -> bool:
        """Tell whether a table is in the session of the user."""
        return session_of(source) is self.theirs

    def adopt(self, source: Any) -> ir.Table:  # noqa: ANN401 - Ibis table or DataFrame
        """See a table of the user's session from ours."""
        name = self._name("source")
        frame = source
        if isinstance(source, ir.Table):
            frame = self.theirs.sql(source.get_backend().compile(source))
        # Sessions share nothing but these views; ours stays when this one has gone.
        frame.createGlobalTempView(name)
        try:
            shared = self._session.table(f"global_temp.{name}")
            shared.createOrReplaceTempView(name)
        finally:
            self.theirs.catalog.dropGlobalTempView(name)
        return self.backend.table(name)

    def keep(self, expression: ir.Table, stem: str) -> ir.Table:
        """Compute a table once and keep it in the engine."""
        self.backend._run_pre_execute_hooks(expression)
        schema = expression.schema()
        # What Spark makes of an expression is not always what Ibis takes it for.
        types = self.backend.compiler.type_mapper
        columns = ", ".join(
            f"CAST({_quoted(c)} AS {types.to_string(kind)}) AS {_quoted(c)}"
            for c, kind in schema.items()
        )
        query = self.backend.compile(expression)
        frame = self._session.sql(f"SELECT {columns} FROM ({query}) AS t")
        return self._viewed(frame, stem, schema)

    def upload(self, table: pa.Table, stem: str) -> ir.Table:
        """Put a small Arrow table into the engine."""
        schema = ibis.Schema.from_pyarrow(table.schema)
        return self._viewed(self._session.createDataFrame(table), stem, schema)

    def drop(self, table: ir.Table) -> None:
        """Forget a kept table."""
        self._kept.discard(table.get_name())
        self._session.catalog.dropTempView(table.get_name())

    def close(self) -> None:
        """Forget every kept table."""
        for name in list(self._kept):
            self._kept.discard(name)
            self._session.catalog.dropTempView(name)

    def failure(self, error: Exception) -> Exception:
        """Say in words of this package why the engine has stopped.

        Parameters
        ----------
        error : pyspark.errors.PySparkException
            What the engine has raised.

        Returns
        -------
        Exception
            A `FileError` when memory or disk have run out (SL160); else the error
            itself.
        """
        text = str(error)
        for sign in ("No space left", "OutOfMemoryError"):
            if sign in text:
                fix = "give the workers more memory, or more disk for spark.local.dir"
                found = f"the engine stopped: {sign}"
                return FileError([Problem("SL160", "", found, fix)])
        return error

    @property
    def _session(self) -> Any:  # noqa: ANN401 - of Spark or of Spark Connect
        """Session of our own."""
        return self.backend._session

    def _viewed(self, frame: Any, stem: str, schema: ibis.Schema) -> ir.Table:  # noqa: ANN401
        """Compute a frame, cut off what it came from and give it a name."""
        name = self._name(stem)
        reliable = self._session.sparkContext.getCheckpointDir() is not None
        kept = frame.checkpoint() if reliable else frame.localCheckpoint()
        kept.createOrReplaceTempView(name)
        return ops.DatabaseTable(name, schema=schema, source=self.backend).to_expr()

    def _name(self, stem: str) -> str:
        """Return a name that is not used yet, and remember it."""
        name = f"{self.prefix}_{stem}_{next(self._numbers)}"
        self._kept.add(name)
        return name


def session_of(source: object) -> SparkSession | None:
    """Return the session of an Ibis table on Spark or of a DataFrame of Spark."""
    if isinstance(source, ir.Table):
        return getattr(source.get_backend(), "_session", None)
    return getattr(source, "sparkSession", None)


def _quoted(name: str) -> str:
    """Quote a column name for SQL."""
    return "`" + name.replace("`", "``") + "`"
