"""Events in Spark: the same tables, and the session of the user as it was."""

import ibis
import pandas as pd
import pytest
from dirty_shop import END, dirty_shop
from every_table import tables_of
from places import frames_equal, on_spark, sample_tables

import selfloop as sl
from selfloop.core.errors import DataError

N_VISITORS = 1_200
pytestmark = [
    # Spark leaves the sockets that results come through to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

READING = {"end": END, "timezone": "Asia/Shanghai", "on_bad_rows": "quarantine"}


def test_a_dirty_shop_gives_the_same_tables(spark, monkeypatch):
    from selfloop.inputs.spark_engine import SparkBackend  # noqa: PLC0415 - optional

    tables = dirty_shop(N_VISITORS)
    out = tables["referrals"].head(3)[["referrer_id", "referee_id"]]
    expected = sl.read_events(**tables, **READING, exclude_referrals=out)
    n_rows, original = [], SparkBackend.to_pyarrow

    def counted(self, expr, /, **kwargs):
        result = original(self, expr, **kwargs)
        n_rows.append(getattr(result, "num_rows", 1))
        return result

    monkeypatch.setattr(SparkBackend, "to_pyarrow", counted)
    there = on_spark(spark, tables)
    events = sl.read_events(**there, **READING, exclude_referrals=out)
    # What leaves the engine while reading: the referrals that count, twice when there
    # are rings, and sums.
    assert max(n_rows) <= len(tables["referrals"])
    assert sum(n_rows) <= 2 * len(tables["referrals"])
    frames_equal(tables_of(events), tables_of(expected))


def test_the_sample_gives_the_same_people(spark):
    tables = sample_tables()
    events = sl.read_events(**on_spark(spark, tables))
    expected = sl.read_events(**tables)
    assert events.totals == expected.totals
    both = [sl.people(e).order_by("person_id").to_pandas() for e in (events, expected)]
    frames_equal({"people": both[0]}, {"people": both[1]})


def test_the_session_of_the_user_stays_as_it_was(spark):
    spark.conf.set("spark.sql.session.timeZone", "Asia/Shanghai")
    spark.conf.set("spark.sql.ansi.enabled", "true")
    orders = pd.DataFrame(
        {"customer_id": ["a"], "date": ["2026-01-01 23:30"], "amount": ["5"]}
    )
    orders = spark.createDataFrame(orders)
    before = [table.name for table in spark.catalog.listTables()]
    events = sl.read_events(orders)
    assert events.end.isoformat() == "2026-01-01"
    # A time with a zone is a moment: 23:30 in Shanghai is 15:30 in UTC.
    moments = orders.selectExpr(
        "customer_id", "amount", "CAST(date AS TIMESTAMP) AS ordered_at"
    )
    people = sl.people(sl.read_events(moments)).to_pandas()
    assert people["first_order_at"].tolist() == [pd.Timestamp("2026-01-01 15:30")]
    assert spark.conf.get("spark.sql.session.timeZone") == "Asia/Shanghai"
    assert spark.conf.get("spark.sql.ansi.enabled") == "true"
    assert [table.name for table in spark.catalog.listTables()] == before
    assert spark.catalog.listTables("global_temp") == [
        t for t in spark.catalog.listTables("global_temp") if t.database is None
    ]


def test_ibis_tables_and_frames_go_together(spark):
    orders = pd.DataFrame(
        {"customer_id": ["a", "b"], "date": ["2026-01-01"] * 2, "amount": [5, 7]}
    )
    referrals = pd.DataFrame(
        {"referrer_id": ["a"], "referee_id": ["b"], "date": ["2026-01-01"]}
    )
    spark.createDataFrame(orders).createOrReplaceTempView("my_orders")
    con = ibis.pyspark.connect(spark)
    frame = spark.createDataFrame(referrals)
    events = sl.read_events(con.table("my_orders"), frame)
    assert events.totals["n_buyers"] == 2
    assert events.sources["orders"] == "Ibis table on pyspark"
    assert events.sources["referrals"] == "DataFrame on pyspark"
    spark.catalog.dropTempView("my_orders")
    other = spark.newSession().createDataFrame(referrals)
    with pytest.raises(DataError, match="SL126"):
        sl.read_events(spark.createDataFrame(orders), other)
