"""Times and amounts in text are read alike on every engine."""

import pandas as pd
import pytest
from odd_texts import odd_texts
from places import on_postgres, on_spark

import selfloop as sl

N = 4_000

READINGS = [
    {"timezone": "Asia/Shanghai"},
    {"timezone": "America/New_York", "date_format": "%d/%m/%Y"},
    {"date_format": "%Y%m%d"},
    {"date_format": "%y-%m-%d"},
    {"date_format": "%d %B %Y"},
    {"timezone": "Asia/Shanghai", "date_format": "%Y-%m-%d %H:%M:%S%z"},
]


def read(orders, how):
    """Every row with its time, amount and code."""
    events = sl.read_events(orders, on_bad_rows="quarantine", **how)
    return events.set_aside["orders"].order_by("customer_id").to_pandas()


@pytest.mark.parametrize("how", READINGS, ids=lambda how: how.get("date_format", "any"))
def test_on_postgres(postgres_address, how):
    table = odd_texts(N)
    expected = read(table, how)
    assert expected["code"].eq("").sum() >= 5
    with on_postgres(postgres_address, {"orders": table}) as (_, there):
        pd.testing.assert_frame_equal(read(there["orders"], how), expected)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", [READINGS[0], READINGS[-1]], ids=["any", "%z"])
def test_on_spark(spark, how):
    table = odd_texts(N)
    found = read(on_spark(spark, {"orders": table})["orders"], how)
    pd.testing.assert_frame_equal(found, read(table, how))


def test_many_can_be_read():
    found = read(odd_texts(N), READINGS[0])
    assert found["ordered_at"].notna().sum() > 200
    assert found["amount"].notna().sum() > 1_500
    assert found["code"].eq("").sum() > 100
