"""Tables of a shop put where a user may have them."""

from contextlib import contextmanager
from pathlib import Path

import ibis
import pandas as pd
import psycopg
import pyarrow as pa

_FOLDER = Path(__file__).parents[2] / "data" / "sample"
SAMPLE = {
    name: str(_FOLDER / f"{name}.csv")
    for name in ("orders", "referrals", "visits", "spend")
}
"""Files of the sample."""


def sample_tables():
    """The sample as text, as it stands in its files, with a product."""
    tables = {
        name: pd.read_csv(path, dtype=str, keep_default_na=False)
        for name, path in SAMPLE.items()
    }
    orders = tables["orders"]
    return tables | {"orders": orders.assign(product=orders["channel"])}


def connected(address, **more):
    """An Ibis connection to a PostgreSQL server."""
    words = {"host": address["host"], "user": address["user"]} | more
    return ibis.postgres.connect(database=address["dbname"], **words)


@contextmanager
def on_postgres(address, tables):
    """Tables of a shop in PostgreSQL, and the connection they are read through."""
    with psycopg.connect(**address, autocommit=True) as owner:
        for name, table in tables.items():
            fill(owner, f"shop_{name}", table)
    con = connected(address)
    try:
        yield con, {name: con.table(f"shop_{name}") for name in tables}
    finally:
        con.disconnect()
        with psycopg.connect(**address, autocommit=True) as owner:
            for name in tables:
                owner.execute(f"DROP TABLE shop_{name}")


def fill(owner, name, table):
    """Make a table of PostgreSQL with the columns and types of a pandas frame."""
    kinds = {"M": "timestamp", "f": "double precision", "i": "bigint", "b": "boolean"}
    columns = ", ".join(
        f'"{column}" {kinds.get(kind.kind, "text")}'
        for column, kind in table.dtypes.items()
    )
    owner.execute(f"DROP TABLE IF EXISTS {name}")
    owner.execute(f"CREATE TABLE {name} ({columns})")
    with owner.cursor().copy(f"COPY {name} FROM STDIN") as copy:
        known = table.astype(object).where(table.notna(), None)
        for row in known.itertuples(index=False):
            copy.write_row(row)


def on_spark(session, tables):
    """Tables of a shop as frames of Spark."""
    return {
        name: session.createDataFrame(pa.Table.from_pandas(table, preserve_index=False))
        for name, table in tables.items()
    }


def temporary(con):
    """Names of the temporary tables and views of a connection."""
    words = "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()"
    words += " AND relkind IN ('r', 'v') ORDER BY relname"
    return [name for (name,) in con.con.execute(words).fetchall()]


def frames_equal(found: dict[str, pd.DataFrame], expected: dict[str, pd.DataFrame]):
    """Assert that tables are the same: ids and counts exactly, numbers to 1e-9."""
    assert found.keys() == expected.keys()
    for name, table in expected.items():
        pd.testing.assert_frame_equal(
            _plain(found[name]),
            _plain(table),
            check_exact=False,
            rtol=1e-9,
            atol=1e-9,
            obj=name,
        )


def _plain(table):
    """Decimals as floats, so that they are compared like these."""
    table = table.reset_index(drop=True).copy()
    for column in table.columns[table.dtypes == "object"]:
        kinds = {type(v).__name__ for v in table[column].dropna()}
        if kinds == {"Decimal"}:
            table[column] = table[column].astype(float)
    return table
