"""Calendar periods against pandas and the calendar itself."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfloop.core.errors import SettingError
from selfloop.measures.periods import (
    PERIODS,
    first_days,
    last_period,
    number_of,
    period_names,
    period_number,
)

PANDAS = {"day": "D", "week": "W-SUN", "month": "M", "quarter": "Q"}
DATES = st.dates(date(1960, 1, 1), date(2100, 12, 31))


@given(DATES, st.sampled_from(PERIODS))
def test_the_first_day_is_that_of_pandas(day, period):
    started = pd.Timestamp(day).to_period(PANDAS[period]).start_time.date()
    assert first_days([number_of(day, period)], period)[0].item() == started


@given(DATES, st.sampled_from(PERIODS))
def test_it_is_closed_on_its_last_day_only(day, period):
    last = pd.Timestamp(day).to_period(PANDAS[period]).end_time.date()
    found = last_period(day, period)
    assert found.closed == (day == last)
    tomorrow = number_of(day + timedelta(days=1), period)
    assert tomorrow == found.number + found.closed


@given(st.lists(DATES, min_size=2, max_size=9), st.sampled_from(PERIODS))
def test_names_sort_like_the_days(days, period):
    days = sorted(days)
    names = period_names([number_of(d, period) for d in days], period).tolist()
    assert names == sorted(names)


@pytest.mark.parametrize("period", PERIODS)
def test_the_engine_counts_the_same(period):
    days = [date(1965, 3, 1) + timedelta(days=n) for n in range(0, 30_000, 13)]
    times = pd.to_datetime(days) + pd.Timedelta(hours=23, minutes=59)
    table = ibis.memtable(pd.DataFrame({"at": times.astype("datetime64[us]")}))
    found = table.select("at", n=period_number(table.at, period)).to_pandas()
    found = found.sort_values("at")["n"].tolist()
    assert found == [number_of(d, period) for d in days]


def test_names_by_hand():
    at = date(2026, 3, 5)  # a Thursday
    names = {p: period_names([number_of(at, p)], p)[0] for p in PERIODS}
    assert names == {
        "day": "2026-03-05", "week": "2026-03-02", "month": "2026-03",
        "quarter": "2026-Q1",
    }  # fmt: skip
    assert period_names(np.array([], dtype=int), "quarter").size == 0


def test_another_period_is_an_error():
    with pytest.raises(SettingError, match="period must be one of 'day', 'week'"):
        period_number(ibis.literal("2026-01-01").cast("timestamp"), "year")
