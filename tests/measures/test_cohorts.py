"""Cohorts: the triangle by hand, partial months, plain pandas on real orders, laws."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from small_shops import orders

import selfloop as sl


def cells(triangle):
    """Return {(cohort, age): (people, active, status)}."""
    return {
        (r.cohort, r.age_months): (r.n_people, r.n_active, r.status)
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


def test_a_month_counts_when_its_last_day_was_seen():
    def last(end):
        table = sl.cohorts(sl.read_events(BY_HAND, end=end)).table
        cell = table[table["cohort"] == "2026-01"].iloc[-1]
        return int(cell["age_months"]), cell["status"]

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


def test_the_mean_pools_finished_cells_only():
    # Ends on 3 March. January: 3 people, 1 active in February, 3 in March (partial).
    # February: 1 person, active in March (partial).
    table = orders(
        ("a", 0, 1), ("b", 0, 1), ("c", 0, 1), ("a", 40, 1), ("a", 60, 1),
        ("b", 60, 1), ("c", 60, 1), ("d", 35, 1), ("d", 61, 1),
    )  # fmt: skip
    mean = sl.cohorts(sl.read_events(table)).mean_by_age().set_index("age_months")
    assert mean["n_people"].to_dict() == {0: 4, 1: 3}
    assert mean["n_active"].to_dict() == {0: 4, 1: 1}
    assert mean["share_active"].to_dict() == {0: 1.0, 1: 1 / 3}


@pytest.fixture(scope="module")
def retail(retail_events):
    return sl.cohorts(retail_events)


def test_cells_agree_with_pandas_on_real_orders(retail, retail_lines):
    known = retail_lines[retail_lines["customer"].notna()]
    days = known.groupby(["customer", known["InvoiceDate"].dt.normalize()])[
        "thousandths"
    ].sum()
    bought = days[days > 0].reset_index()
    month = bought["InvoiceDate"].dt.year * 12 + bought["InvoiceDate"].dt.month
    cohort = month.groupby(bought["customer"]).transform("min")
    active = pd.crosstab(cohort, month - cohort, bought["customer"], aggfunc="nunique")
    found = retail.table.pivot_table(
        index="cohort", columns="age_months", values="n_active"
    )
    # December 2010 to December 2011.
    assert found.shape == (13, 13)
    grid = active.to_numpy()
    seen = np.add.outer(np.arange(13), np.arange(13)) <= 12
    np.testing.assert_array_equal(found.notna(), seen)
    np.testing.assert_array_equal(found.fillna(0), np.nan_to_num(grid))
    sizes = retail.table.groupby("cohort")["n_people"].first()
    assert sizes.tolist() == grid[:, 0].tolist()
    assert sizes.sum() == 1076
    # 9 December 2011: the last month of every cohort is running, no other is.
    partial = retail.table[retail.table["status"] == "partial"]
    assert partial["age_months"].tolist() == list(range(12, -1, -1))


def test_every_purchase_month_of_everybody_is_counted_once(
    simulated_events, simulated, retail
):
    table = sl.cohorts(simulated_events).table
    bought = simulated.orders
    month = bought["ordered_at"].dt.strftime("%Y-%m")
    pairs = bought.assign(month=month)[["customer_id", "month"]].drop_duplicates()
    assert table["n_active"].sum() == len(pairs)
    for found in (table, retail.table):
        start = found[found["age_months"] == 0]
        assert (start["share_active"] == 1).all()
        assert (found["n_active"] <= found["n_people"]).all()
        assert (found["share_active"] == found["n_active"] / found["n_people"]).all()
    assert (
        table.loc[table["age_months"] == 0, "n_people"].sum()
        == (simulated_events.totals["n_buyers"])
    )


def test_row_order_names_and_money_do_not_matter(
    untidy_events, shuffled_events, renamed_events, richer_events
):
    expected = sl.cohorts(untidy_events).table
    for events in (shuffled_events, renamed_events, richer_events):
        pd.testing.assert_frame_equal(sl.cohorts(events).table, expected)


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


def test_a_cut_leaves_finished_cells_as_they_are(untidy, untidy_events):
    # To the end of May, day 150.
    early = sl.read_events(*untidy[:2], visits=untidy.visits, end="2026-05-31")
    whole = cells(sl.cohorts(untidy_events))
    for key, cell in cells(sl.cohorts(early)).items():
        assert whole[key] == cell


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
