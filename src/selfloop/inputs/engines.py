"""Which engine an analysis runs on: the one where its tables already are."""

from collections.abc import Mapping

import ibis.expr.types as ir
from ibis.common.exceptions import IbisError

from selfloop.core.errors import DataError, Problem
from selfloop.inputs.duckdb_engine import connect
from selfloop.inputs.engine import Engine


def engine_for(sources: Mapping[str, object], *, memory_limit: str) -> Engine:
    """Open the engine of an analysis.

    Parameters
    ----------
    sources : mapping of str to object
        Input table to what the user gave for it.
    memory_limit : str
        Of DuckDB, when it is DuckDB.

    Returns
    -------
    Engine
        PostgreSQL or Spark when a table is there already, else DuckDB.

    Raises
    ------
    DataError
        Tables are on two such engines (SL126).
    """
    found: dict[str, Engine] = {}
    for table, source in sources.items():
        if any(engine.holds(source) for engine in found.values()):
            continue
        home = _home(source)
        if home is not None:
            found[table] = home
    if len(found) > 1:
        what = " and ".join(f"{t} on {e.backend.name}" for t, e in found.items())
        fix = "bring them to one engine, through one connection"
        problem = Problem("SL126", "", f"tables are in two places: {what}", fix)
        raise DataError([problem])
    return next(iter(found.values()), None) or connect(memory_limit=memory_limit)


def _home(source: object) -> Engine | None:
    """Open the engine that a table is in; None for DuckDB and tables in memory."""
    name = ""
    if isinstance(source, ir.Table):
        try:
            name = source.get_backend().name
        except IbisError:  # said by the reader, which knows the table
            return None
    elif type(source).__module__.startswith("pyspark.sql"):
        name = "pyspark"
    # Only who has these engines has the packages that they need.
    if name == "postgres":
        from selfloop.inputs.postgres_engine import (  # noqa: PLC0415
            PostgresBackend,
            PostgresEngine,
        )

        con = source.get_backend().con  # type: ignore[attr-defined]
        return PostgresEngine(PostgresBackend.from_connection(con))
    if name == "pyspark":
        from selfloop.inputs.spark_engine import (  # noqa: PLC0415
            session_of,
            spark_engine,
        )

        session = session_of(source)
        return spark_engine(session) if session is not None else None
    return None
