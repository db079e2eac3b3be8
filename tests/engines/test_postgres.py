"""Events in PostgreSQL: the same tables, nothing left behind, no rights but to read."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import psycopg
import pytest
from dirty_shop import END, dirty_shop
from every_table import tables_of
from places import connected, fill, frames_equal, on_postgres, sample_tables, temporary

import selfloop as sl
from selfloop.core.errors import DataError, FileError, SettingError
from selfloop.inputs.postgres_engine import PostgresBackend

N_VISITORS = 8_000
"""Of a shop with 20,000 orders."""

READING = {"end": END, "timezone": "Asia/Shanghai", "on_bad_rows": "quarantine"}


def test_the_sample_gives_the_same_tables(postgres_address):
    tables = sample_tables()
    with on_postgres(postgres_address, tables) as (_, there):
        found = tables_of(sl.read_events(**there))
    frames_equal(found, tables_of(sl.read_events(**tables)))


def test_a_dirty_shop_gives_the_same_tables(postgres_address, monkeypatch):
    tables = dirty_shop(N_VISITORS)
    out = tables["referrals"].head(3)[["referrer_id", "referee_id"]]
    expected = sl.read_events(**tables, **READING, exclude_referrals=out)
    n_rows, original = [], PostgresBackend.to_pyarrow

    def counted(self, expr, /, **kwargs):
        result = original(self, expr, **kwargs)
        n_rows.append(getattr(result, "num_rows", 1))
        return result

    monkeypatch.setattr(PostgresBackend, "to_pyarrow", counted)
    with on_postgres(postgres_address, tables) as (_, there):
        events = sl.read_events(**there, **READING, exclude_referrals=out)
        # What leaves the engine while reading: the referrals that count, twice when
        # there are rings, and sums.
        n_referrals = len(tables["referrals"])
        assert len(tables["orders"]) >= 19_000
        assert max(n_rows) <= n_referrals
        assert sum(n_rows) <= 2 * n_referrals
        n_rows.clear()
        analysis = sl.analyze(events, model="mbg_nbd")
        # Sums by day and group of customers are the longest; orders stay there.
        assert max(n_rows) < len(tables["orders"])
        found = tables_of(events)
    assert analysis.funnel.stages.equals(sl.funnel(expected).stages)
    frames_equal(found, tables_of(expected))


def test_every_reason_occurs_in_the_dirty_shop():
    tables = dirty_shop(3_000)
    out = tables["referrals"].head(3)[["referrer_id", "referee_id"]]
    events = sl.read_events(**tables, **READING, exclude_referrals=out)
    # SL109 is a line of a file that does not fit its header.
    assert set(events.audit["code"]) == {
        "", "SL110", "SL111", "SL112", "SL113", "SL116", "SL120", "SL121", "SL122",
        "SL201", "SL202", "SL203", "SL204", "SL205", "SL206", "SL207", "SL208",
    }  # fmt: skip


def small():
    """A few orders and a referral."""
    orders = pd.DataFrame(
        {
            "customer_id": ["a", "a", "b", "É"],
            "ordered_at": pd.to_datetime(["2026-01-01", "2026-02-01"] * 2),
            "amount": [10.0, 20.0, 5.5, 1.0],
            "channel": ["ads", "ads", "ÉTÉ", None],
        }
    )
    referrals = pd.DataFrame(
        {"referrer_id": ["a"], "referee_id": ["b"], "date": ["2026-01-01"]}
    )
    return {"orders": orders, "referrals": referrals}


def test_nothing_is_left_behind(postgres_address):
    with on_postgres(postgres_address, small()) as (con, there):
        events = sl.read_events(**there)
        assert temporary(con)
        events.close()
        assert temporary(con) == []
        bad = there["orders"].mutate(amount=there["orders"].channel)
        with pytest.raises(DataError, match="SL112"):
            sl.read_events(bad)
        assert temporary(con) == []
        with pytest.raises(SettingError, match="%G cannot be read on postgres"):
            sl.read_events(**there, date_format="%G %Y-%m-%d")
        assert temporary(con) == []


def test_examples_are_in_the_order_of_their_values(postgres_address):
    with on_postgres(postgres_address, small()) as (_, there):
        bad = there["orders"].mutate(amount=there["orders"].channel)
        events = sl.read_events(
            bad.union(there["orders"].mutate(amount=there["orders"].amount.cast(str))),
            on_bad_rows="quarantine",
        )
    rows = events.audit.set_index("code")["examples"]
    assert rows["SL112"] == (
        "a, 2026-01-01 00:00:00, ads, ads · a, 2026-02-01 00:00:00, ads, ads · "
        "b, 2026-01-01 00:00:00, ÉTÉ, ÉTÉ"
    )


def test_paid_channels_are_found_in_any_case(postgres_address):
    with on_postgres(postgres_address, small()) as (_, there):
        events = sl.read_events(there["orders"], paid_channels=["été"])
        people = sl.people(events).to_pandas().set_index("person_id")["source"]
    assert people.to_dict() == {"a": "organic", "b": "paid", "É": "unknown"}


def test_two_analyses_at_once(postgres_address):
    def analysed(con):
        tables = {name: con.table(f"shop_{name}") for name in shop}
        return sl.people(sl.read_events(**tables)).order_by("person_id").to_pandas()

    shop = sample_tables()
    with on_postgres(postgres_address, shop) as (con, _):
        second = connected(postgres_address)
        with ThreadPoolExecutor(2) as pool:
            one, two = pool.map(analysed, (con, second))
        # Also through one connection, one after the other, none closed.
        again = analysed(con)
        second.disconnect()
    pd.testing.assert_frame_equal(one, two)
    pd.testing.assert_frame_equal(one, again)
    assert len(one) > 2_000


def test_the_right_to_read_is_enough(postgres_address):
    with on_postgres(postgres_address, small()) as (owner, _):
        with owner.con.cursor() as cursor, owner.con.transaction():
            cursor.execute("CREATE ROLE reader LOGIN")
            cursor.execute("GRANT SELECT ON shop_orders TO reader")
            cursor.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        reader = connected(postgres_address, user="reader")
        events = sl.read_events(reader.table("shop_orders"))
        assert events.totals["n_buyers"] == 3
        reader.disconnect()
        with owner.con.cursor() as cursor, owner.con.transaction():
            cursor.execute("REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC")
        reader = connected(postgres_address, user="reader")
        with pytest.raises(FileError, match=r"SL162.*permission denied"):
            sl.read_events(reader.table("shop_orders"))
        reader.disconnect()
        with owner.con.cursor() as cursor, owner.con.transaction():
            cursor.execute("GRANT TEMPORARY ON DATABASE postgres TO PUBLIC")
            cursor.execute("DROP OWNED BY reader")
            cursor.execute("DROP ROLE reader")


def test_a_number_that_is_too_large(postgres_address):
    day = pd.Timestamp("2026-01-01")
    table = small()["orders"].assign(amount=9e13, ordered_at=day)
    with (
        on_postgres(postgres_address, {"orders": table}) as (con, there),
        pytest.raises(DataError, match="SL161"),
    ):
        sl.read_events(**there)
    assert con is not None


def test_tables_in_memory_come_along(postgres_address):
    tables = small()
    with on_postgres(postgres_address, {"orders": tables["orders"]}) as (_, there):
        events = sl.read_events(**there, referrals=tables["referrals"])
        people = sl.people(events).order_by("person_id").to_pandas()
    expected = sl.people(sl.read_events(**tables)).order_by("person_id").to_pandas()
    pd.testing.assert_frame_equal(people, expected)


def test_two_connections_are_two_places(postgres_address):
    with on_postgres(postgres_address, small()) as (_, there):
        other = connected(postgres_address)
        with pytest.raises(DataError, match=r"SL126.*orders on postgres and referrals"):
            sl.read_events(there["orders"], other.table("shop_referrals"))
        other.disconnect()


def test_a_killed_run_leaves_nothing(postgres_address):
    address = f"host={postgres_address['host']} user=owner dbname=postgres"
    program = f"""
import ibis, selfloop as sl
con = ibis.postgres.connect(
    host={postgres_address["host"]!r}, user="owner", database="postgres"
)
events = sl.read_events(con.table("shop_orders"))
print("ready", flush=True)
while True:
    sl.analyze(events)
"""
    with on_postgres(postgres_address, small()) as (con, there):
        words = "SELECT count(*) FROM pg_class WHERE relname LIKE 'sl\\_%'"
        with psycopg.connect(address, autocommit=True) as server:
            before = server.execute(words).fetchone()[0]
            run = subprocess.Popen(
                [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
            )
            assert run.stdout.readline().strip() == "ready"
            assert server.execute(words).fetchone()[0] > before
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
            run.stdout.close()
            for _ in range(100):
                left = server.execute(words).fetchone()[0]
                if left == before:
                    break
                time.sleep(0.1)
            assert left == before
        events = sl.read_events(**there)
        assert events.totals["n_buyers"] == 3
        assert con.list_tables()


def test_text_sorts_by_its_bytes_whatever_the_database_does(postgres_address):
    # "ab" < "B" in English, "B" < "ab" by bytes: the channel of equal times.
    table = pd.DataFrame(
        {
            "customer_id": ["x", "x"],
            "ordered_at": pd.to_datetime(["2026-01-01"] * 2),
            "amount": [1.0, 2.0],
            "channel": ["ab", "B"],
        }
    )
    with psycopg.connect(**postgres_address, autocommit=True) as owner:
        fill(owner, "folded", table)
        owner.execute('ALTER TABLE folded ALTER channel TYPE text COLLATE "en-x-icu"')
        con = connected(postgres_address)
        ordered = con.table("folded").order_by("channel").channel.to_pandas()
        assert ordered.tolist() == ["ab", "B"]
        people = sl.people(sl.read_events(con.table("folded"))).to_pandas()
        con.disconnect()
        owner.execute("DROP TABLE folded")
    assert people["channel"].tolist() == ["B"]
