"""Cohorts: the triangle by hand, partial cells, plain pandas on real orders, laws."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shops import orders

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.measures.periods import PERIODS

SUMS = ["n_people", "n_active", "n_orders", "n_orders_cumulative"]
MONEY = ["revenue", "revenue_cumulative"]


def cells(triangle):
    """Return {(cohort, age): (people, active, status)}."""
    return {
        (r.cohort, r.age): (r.n_people, r.n_active, r.status)
        for r in triangle.table.itertuples()
    }


# Day 0 is 1 January 2026; February begins on day 31, March on day 59.
BY_HAND = orders(
    ("ann", 0, 5), ("ann", 20, 5), ("ann", 31, 5), ("ann", 33, 5), ("ann", 60, 5),
    ("bob", 30.9, 5), ("bob", 59, -5),
    ("cat", 31, 5), ("cat", 40, 5), ("cat", 61, 5),
)  # fmt: skip


def test_the_triangle_by_hand():
    # Ends on day 61, 3 March: the third month is running.
    # January: ann and bob. ann is active in all months, once however often she buys;
    # bob's refund in March is no purchase. February: cat, active in March too.
    assert cells(sl.cohorts(sl.read_events(BY_HAND))) == {
        ("2026-01", 0): (2, 2, "complete"),
        ("2026-01", 1): (2, 1, "complete"),
        ("2026-01", 2): (2, 1, "partial"),
        ("2026-02", 0): (1, 1, "complete"),
        ("2026-02", 1): (1, 1, "partial"),
    }


def money(triangle):
    """Return {(cohort, age): (purchases, revenue, both so far, value)}."""
    names = ["n_orders", "revenue", "n_orders_cumulative", "revenue_cumulative",
             "value_per_customer"]  # fmt: skip
    rows = triangle.table.set_index(["cohort", "age"])[names]
    return {key: tuple(row) for key, row in rows.iterrows()}


def test_purchases_and_money_by_hand():
    # January, two people. ann buys on days 0 and 20, 31 and 33, 60; bob on day 30,
    # and gets it back on day 59, in March: 15, then 10 more, then 5 - 5.
    assert money(sl.cohorts(sl.read_events(BY_HAND))) == {
        ("2026-01", 0): (3, 15, 3, 15, 7.5),
        ("2026-01", 1): (2, 10, 5, 25, 12.5),
        ("2026-01", 2): (1, 0, 6, 25, 12.5),
        ("2026-02", 0): (2, 10, 2, 10, 10),
        ("2026-02", 1): (1, 5, 3, 15, 15),
    }


def test_on_or_after_by_hand():
    # ann bought last in March (age 2), bob in January (0), cat in March (1).
    table = sl.cohorts(sl.read_events(BY_HAND)).table
    assert table["share_active_since_so_far"].tolist() == [1, 0.5, 0.5, 1, 1]


def test_the_rolling_clock_by_hand():
    # The last day is 61. Blocks of 30 days: ann from day 0, bob from day 30, so that
    # block 0 ends on day 29 for her and on day 59, when he gets 5 back, for him; block
    # 1 is over for her (day 59), and not for him (day 89). cat from day 31: block 0
    # ends on day 60.
    triangle = sl.cohorts(sl.read_events(BY_HAND), clock="rolling")
    assert cells(triangle) == {
        ("2026-01", 0): (2, 2, "complete"),
        ("2026-01", 1): (2, 1, "partial"),
        ("2026-01", 2): (2, 1, "partial"),
        ("2026-02", 0): (1, 1, "complete"),
        ("2026-02", 1): (1, 1, "partial"),
    }
    assert money(triangle) == {
        ("2026-01", 0): (3, 10, 3, 10, 5),
        ("2026-01", 1): (2, 10, 5, 20, 10),
        ("2026-01", 2): (1, 5, 6, 25, 12.5),
        ("2026-02", 0): (2, 10, 2, 10, 10),
        ("2026-02", 1): (1, 5, 3, 15, 15),
    }


def test_a_rolling_cohort_that_others_may_join_is_not_complete():
    # ann's first 30 days end on day 29, 30 January; somebody may still come on day 30.
    table = orders(("ann", 0, 5))
    early = sl.cohorts(sl.read_events(table, end=shops.date_of(29)), clock="rolling")
    late = sl.cohorts(sl.read_events(table, end=shops.date_of(30)), clock="rolling")
    assert cells(early) == {("2026-01", 0): (1, 1, "partial")}
    # January is over; day 30 is in block 1, of which a day was seen.
    assert cells(late) == {
        ("2026-01", 0): (1, 1, "complete"),
        ("2026-01", 1): (1, 0, "partial"),
    }


def test_weeks_days_and_quarters():
    # 1 January 2026 is a Thursday: its week began on 29 December.
    table = orders(("a", 0, 1), ("a", 4, 1), ("a", 95, 1), ("b", 5, 1))
    events = sl.read_events(table)
    weeks = sl.cohorts(events, "week").table
    assert weeks["cohort"].unique().tolist() == ["2025-12-29", "2026-01-05"]
    bought = weeks[weeks["n_active"] > 0]
    # Day 4 is Monday 5 January, age 1; day 95 is 6 April, a Monday 14 weeks later.
    assert bought["age"].tolist() == [0, 1, 14, 0]
    days = sl.cohorts(events, "day").table
    assert days.loc[days["n_active"] > 0, "age"].tolist() == [0, 4, 95, 0]
    quarters = sl.cohorts(events, "quarter").table
    assert quarters["cohort"].tolist() == ["2026-Q1", "2026-Q1"]
    assert quarters["n_orders"].tolist() == [3, 1]
    assert quarters["status"].tolist() == ["complete", "partial"]


def test_what_came_back_before_the_first_purchase_is_left_out():
    table = orders(("a", 3, -7), ("a", 5, 10), ("a", 6, -1), ("b", 1, -2))
    triangle = sl.cohorts(sl.read_events(table))
    assert money(triangle) == {("2026-01", 0): (1, 9, 1, 9, 9)}


def test_orders_of_one_day_count_each_when_orders_are_purchases():
    table = pd.DataFrame({
        "customer_id": ["a"] * 4,
        "ordered_at": pd.to_datetime(["2026-01-01 08:00", "2026-01-01 09:00",
                                      "2026-01-01 10:00", "2026-02-01 09:00"]),
        "amount": [-2, 5, 7, 1],
    })  # fmt: skip
    # The refund at 8 o'clock comes before the first purchase at 9.
    by_order = sl.cohorts(sl.read_events(table, purchase="order"))
    assert money(by_order)["2026-01", 0] == (2, 12, 2, 12, 12)
    by_day = sl.cohorts(sl.read_events(table))
    assert money(by_day)["2026-01", 0] == (1, 10, 1, 10, 10)


def test_a_month_counts_when_its_last_day_was_seen():
    def last(end):
        table = sl.cohorts(sl.read_events(BY_HAND, end=end)).table
        cell = table[table["cohort"] == "2026-01"].iloc[-1]
        return int(cell["age"]), cell["status"]

    # 27 February, the month is running; 28 February, it is seen to its close.
    assert last("2026-02-27") == (1, "partial")
    assert last("2026-02-28") == (1, "complete")
    # A day later a new month has begun, of which nothing is known yet.
    assert last("2026-03-01") == (2, "partial")


def test_a_quiet_month_is_a_zero_and_an_unseen_one_has_no_row():
    triangle = sl.cohorts(sl.read_events(orders(("a", 0, 1), ("a", 89, 1))))
    # 1 January and 31 March: nothing in February, and April is not seen.
    assert cells(triangle) == {
        ("2026-01", 0): (1, 1, "complete"),
        ("2026-01", 1): (1, 0, "complete"),
        ("2026-01", 2): (1, 1, "complete"),
    }


def test_months_are_cut_in_the_zone_of_the_events():
    # 31 January 20:00 in London is 1 February in Shanghai.
    table = pd.DataFrame({
        "customer_id": ["a", "b"],
        "ordered_at": ["2026-01-31T20:00:00Z", "2026-01-31T02:00:00Z"],
        "amount": [1, 1],
    })  # fmt: skip
    here = sl.cohorts(sl.read_events(table)).table
    there = sl.cohorts(sl.read_events(table, timezone="Asia/Shanghai")).table
    assert here["cohort"].tolist() == ["2026-01"]
    assert there["cohort"].tolist() == ["2026-01", "2026-01", "2026-02"]


def test_a_year_ends():
    table = orders(("a", -10, 1), ("a", 5, 1))
    found = sl.cohorts(sl.read_events(table)).table
    assert found["cohort"].tolist() == ["2025-12", "2025-12"]
    assert found["n_active"].tolist() == [1, 1]


@pytest.fixture(scope="module")
def retail(retail_events):
    return sl.cohorts(retail_events)


LETTER = {"day": "D", "week": "W-SUN", "month": "M", "quarter": "Q"}
BLOCK = {"day": 1, "week": 7, "month": 30, "quarter": 91}


def plain(lines, period, clock):
    """Return the triangle by pandas alone, from order lines in whole thousandths."""
    known = lines[lines["customer"].notna()]
    day = known["InvoiceDate"].dt.normalize()
    end = lines["InvoiceDate"].max().normalize()
    days = known.groupby(["customer", day])["thousandths"].sum().reset_index()
    days.columns = ["customer", "day", "net"]
    bought = days["net"] > 0
    days["first"] = days["customer"].map(days[bought].groupby("customer")["day"].min())
    days = days[days["day"] >= days["first"]]
    start = days["first"].dt.to_period(LETTER[period])
    since = (days["day"] - days["first"]).dt.days // BLOCK[period]
    if clock == "calendar":
        now = days["day"].dt.to_period(LETTER[period])
        since = pd.Series(
            [n.ordinal - s.ordinal for n, s in zip(now, start, strict=True)], days.index
        )
    days = days.assign(cohort=start, age=since, bought=days["net"] > 0)
    found = days.groupby(["cohort", "age"]).agg(
        n_active=("bought", "sum"), n_orders=("bought", "sum"), revenue=("net", "sum")
    )
    active = days[days["bought"]].groupby(["cohort", "age"])["customer"].nunique()
    found["n_active"] = active.reindex(found.index, fill_value=0)
    people = days.drop_duplicates("customer").groupby("cohort")["first"]
    rows = []
    for cohort, firsts in people:
        age = 0
        while True:
            length = pd.Timedelta(days=BLOCK[period])
            if clock == "calendar":
                begin, over = (cohort + age).start_time, (cohort + age).end_time
            else:
                begin = firsts.min() + age * length
                over = max(firsts.max() + (age + 1) * length, cohort.end_time)
            if begin > end:
                break
            is_done = over <= end + pd.Timedelta(days=1)
            rows.append((cohort, age, len(firsts), is_done))
            age += 1
    grid = pd.DataFrame(rows, columns=["cohort", "age", "n_people", "is_done"])
    table = grid.merge(found.reset_index(), on=["cohort", "age"], how="left")
    counts = ["n_active", "n_orders", "revenue"]
    return table.fillna(dict.fromkeys(counts, 0)).astype(dict.fromkeys(counts, int))


@pytest.mark.parametrize(
    ("period", "clock"),
    [("month", "calendar"), ("month", "rolling"), ("week", "calendar"),
     ("quarter", "rolling")],
)  # fmt: skip
def test_cells_agree_with_pandas_on_real_orders(
    retail_events, retail_lines, period, clock
):
    found = sl.cohorts(retail_events, period, clock=clock).table
    expected = plain(retail_lines, period, clock)
    assert len(found) == len(expected)
    for name in ("age", "n_people", "n_active", "n_orders"):
        assert found[name].tolist() == expected[name].tolist(), name
    # To the last digit: sums are whole numbers, divided once.
    assert found["revenue"].tolist() == (expected["revenue"] / 1000).tolist()
    so_far = expected.groupby("cohort")["revenue"].cumsum() / 1000
    assert found["revenue_cumulative"].tolist() == so_far.tolist()
    status = np.where(expected["is_done"], "complete", "partial")
    assert found["status"].tolist() == status.tolist()
    assert set(status) == {"complete", "partial"}
    names = [str(c) if period != "week" else f"{c.start_time:%Y-%m-%d}"
             for c in expected["cohort"]]  # fmt: skip
    assert found["cohort"].tolist() == [
        n.replace("Q", "-Q") if period == "quarter" else n for n in names
    ]


def test_the_real_triangle_is_whole(retail):
    # December 2010 to December 2011.
    assert retail.table["cohort"].nunique() == 13
    assert len(retail.table) == 13 * 14 / 2
    assert retail.table.loc[retail.table["age"] == 0, "n_people"].sum() == 1076
    # 9 December 2011: the last month of every cohort is running, no other is.
    partial = retail.table[retail.table["status"] == "partial"]
    assert partial["age"].tolist() == list(range(12, -1, -1))


def test_every_purchase_month_of_everybody_is_counted_once(
    simulated_events, simulated, retail
):
    table = sl.cohorts(simulated_events).table
    bought = simulated.orders
    month = bought["ordered_at"].dt.strftime("%Y-%m")
    pairs = bought.assign(month=month)[["customer_id", "month"]].drop_duplicates()
    assert table["n_active"].sum() == len(pairs)
    for found in (table, retail.table):
        start = found[found["age"] == 0]
        assert (start["share_active"] == 1).all()
        assert (found["n_active"] <= found["n_people"]).all()
        assert (found["share_active"] == found["n_active"] / found["n_people"]).all()
    assert (
        table.loc[table["age"] == 0, "n_people"].sum()
        == (simulated_events.totals["n_buyers"])
    )


@pytest.mark.parametrize("clock", ["calendar", "rolling"])
def test_row_order_names_and_money_do_not_matter(
    untidy_events, shuffled_events, renamed_events, richer_events, clock
):
    expected = sl.cohorts(untidy_events, clock=clock).table
    for events in (shuffled_events, renamed_events):
        found = sl.cohorts(events, clock=clock).table
        pd.testing.assert_frame_equal(found, expected)
    richer = sl.cohorts(richer_events, clock=clock).table
    moneyed = [*MONEY, "value_per_customer"]
    pd.testing.assert_frame_equal(
        richer.drop(columns=moneyed), expected.drop(columns=moneyed)
    )
    np.testing.assert_allclose(richer[moneyed], 10 * expected[moneyed])


def test_a_bystander_changes_nobody_else(untidy_events, bystander_events):
    # The bystander buys first on day 60 (March) and again on day 99 (April).
    expected = cells(sl.cohorts(untidy_events))
    people, active, status = expected["2026-03", 0]
    expected["2026-03", 0] = (people + 1, active + 1, status)
    people, active, status = expected["2026-03", 1]
    expected["2026-03", 1] = (people + 1, active + 1, status)
    for age in range(2, 8):
        people, active, status = expected["2026-03", age]
        expected["2026-03", age] = (people + 1, active, status)
    assert cells(sl.cohorts(bystander_events)) == expected


def drawn(seed):
    """Draw orders of a few people, some given back, whole and half money."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 60))
    who = rng.integers(0, 12, n)
    amount = rng.integers(-40, 100, n) / 2
    return orders(
        *zip((f"p{i}" for i in who), rng.random(n) * 200, amount, strict=True)
    )


@settings(max_examples=8)
@given(st.integers(0, 10_000), st.sampled_from(PERIODS),
       st.sampled_from(["calendar", "rolling"]), st.integers(20, 199))  # fmt: skip
def test_laws_of_the_triangle(seed, period, clock, cut):
    table = drawn(seed)
    events = sl.read_events(table, end=shops.date_of(200))
    whole = sl.cohorts(events, period, clock=clock).table
    # The order of rows does not matter.
    mixed = sl.read_events(table.sample(frac=1, random_state=1), end=events.end)
    again = sl.cohorts(mixed, period, clock=clock).table
    pd.testing.assert_frame_equal(again, whole)
    # Every purchase is in one cell, and so is the money from the first one on.
    assert whole["n_orders"].sum() == events.totals["n_purchases"]
    days = table.assign(day=table["ordered_at"].dt.normalize())
    days = days.groupby(["customer_id", "day"], as_index=False)["amount"].sum()
    first = days[days["amount"] > 0].groupby("customer_id")["day"].min()
    begun = first.reindex(days["customer_id"]).to_numpy(dtype="datetime64[ns]")
    days = days[days["day"].to_numpy(dtype="datetime64[ns]") >= begun]
    assert whole["revenue"].sum() == pytest.approx(days["amount"].sum())
    # Ages follow each other from 0 without a gap; partial ones come last.
    for _, rows in whole.groupby("cohort"):
        assert rows["age"].tolist() == list(range(len(rows)))
        assert (rows["status"] == "partial").is_monotonic_increasing
        assert rows["share_active_since_so_far"].is_monotonic_decreasing
    assert (whole["n_active"] <= whole[["n_people", "n_orders"]].min(axis=1)).all()
    assert (whole["share_active"] <= whole["share_active_since_so_far"]).all()
    assert not whole.isna().any().any()
    # What was complete at an earlier end is so for good.
    start = table["ordered_at"].min().normalize()
    early = start + pd.Timedelta(days=cut) if cut < 150 else shops.day(cut).normalize()
    early = min(early, pd.Timestamp(events.end))
    before = table[table["ordered_at"] < early + pd.Timedelta(days=1)]
    then = sl.cohorts(sl.read_events(before, end=early.date()), period, clock=clock)
    # On or after counts what comes later too.
    same = [c for c in whole.columns if c != "share_active_since_so_far"]
    done = then.table[then.table["status"] == "complete"][same]
    both = done.merge(whole[same], how="left", indicator=True)
    assert (both["_merge"] == "both").all()


def test_a_cut_is_the_same_as_an_earlier_end(untidy, untidy_events):
    # To the end of May, day 150.
    early = sl.read_events(*untidy[:2], visits=untidy.visits, end="2026-05-31")
    whole = cells(sl.cohorts(untidy_events))
    found = cells(sl.cohorts(early))
    assert len(found) == 15
    for key, cell in found.items():
        assert whole[key] == cell


@pytest.mark.parametrize("clock", ["calendar", "rolling"])
def test_segments_add_up(simulated_events, clock):
    whole = sl.cohorts(simulated_events, clock=clock).table
    found = sl.cohorts(simulated_events, clock=clock, by="source")
    assert set(found.table["segment"]) == {"paid", "organic", "referral"}
    cells = found.table.groupby(["cohort", "age"])
    expected = whole.set_index(["cohort", "age"])
    # By the rolling clock the last to join one segment may have joined before the last
    # of another: the age of a segment can be over, or not have begun, on its own.
    n_segments = found.table.groupby("cohort")["segment"].nunique()
    in_all = (
        cells.size() == n_segments.loc[expected.index.get_level_values(0)].to_numpy()
    )
    assert in_all.mean() > 0.9
    together = cells[[*SUMS, *MONEY]].sum()[in_all]
    np.testing.assert_array_equal(together[SUMS], expected.loc[in_all, SUMS])
    np.testing.assert_allclose(together[MONEY], expected.loc[in_all, MONEY])
    status = cells["status"].agg(["max", "nunique"])[in_all]  # "partial" is the greater
    assert (status["max"] == expected.loc[in_all, "status"]).all()
    assert clock == "rolling" or (in_all.all() and (status["nunique"] == 1).all())
    assert "by           source" in repr(found)


@pytest.mark.parametrize(
    ("setting", "words"),
    [({"period": "year"}, "period must be one of 'day'"),
     ({"clock": "lunar"}, "clock must be one of 'calendar', 'rolling'"),
     ({"by": "shoe size"}, "by must be one of")],
)  # fmt: skip
def test_settings_that_there_are_not(retail_events, setting, words):
    with pytest.raises(SettingError, match=words):
        sl.cohorts(retail_events, **setting)


@pytest.mark.parametrize(
    "table",
    [orders((None, 0, 5)), orders(("a", 0, -5), ("b", 0, -1))],
    ids=["only guests", "only refunds"],
)
def test_nobody_bought(table):
    triangle = sl.cohorts(sl.read_events(table))
    assert shops.has_columns(triangle.table, "cohorts")
    assert triangle.table.empty
    assert triangle.mean_by_age().empty
    assert shops.has_columns(triangle.mean_by_age(), "cohort_ages")
    assert "(no rows)" in repr(triangle)
    assert "<table" in triangle._repr_html_()


def test_one_customer_who_bought_once():
    triangle = sl.cohorts(sl.read_events(orders(("a", 0, 5)), end="2026-03-31"))
    assert [c[1] for c in cells(triangle).values()] == [1, 0, 0]


def test_results_show_themselves(retail):
    assert shops.has_columns(retail.table, "cohorts")
    assert retail.to_frame().equals(retail.table)
    copy = retail.to_frame()
    copy.loc[0, "cohort"] = "changed"
    assert retail.table.loc[0, "cohort"] == "2010-12"
    assert "2010-12" in repr(retail)
    assert "2010-12" in retail._repr_html_()
    assert "observed to" in retail._repr_html_()


def test_by_the_rolling_clock_each_segment_has_ages_of_its_own():
    # x came on 1 January and was watched to day 64 after it: two whole blocks of 30
    # days; y on the 31st, watched to day 34: one. Ages 2 and 1 have begun.
    table = orders(("a", 0, 10), ("b", 30, 10), ("z", 64, 10))
    table["channel"] = ["x", "y", "x"]
    events = sl.read_events(table)
    rows = sl.cohorts(events, clock="rolling", by="channel").table
    rows = rows[rows["cohort"] == rows["cohort"].min()]
    found = rows[["segment", "age", "status"]].to_numpy().tolist()
    assert found == [
        ["x", 0, "complete"], ["x", 1, "complete"], ["x", 2, "partial"],
        ["y", 0, "complete"], ["y", 1, "partial"],
    ]  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_segments_by_the_rolling_clock_are_shops_of_their_own(seed):
    shop = sl.simulate(n_visitors=500, seed=seed)
    events = sl.read_events(shop.orders, end="2025-12-20")
    by_channel = sl.cohorts(events, clock="rolling", by="channel")
    people = sl.people(events).to_pandas().set_index("person_id")["channel"]
    for channel in ("ads", "search"):
        mine = shop.orders[shop.orders["customer_id"].map(people) == channel]
        alone = sl.cohorts(sl.read_events(mine, end="2025-12-20"), clock="rolling")
        rows = by_channel.table[by_channel.table["segment"] == channel]
        pd.testing.assert_frame_equal(
            rows.drop(columns="segment").reset_index(drop=True),
            alone.table.drop(columns="segment"),
        )
