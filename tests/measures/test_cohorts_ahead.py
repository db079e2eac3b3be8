"""Projected cohorts: by hand, what is missing, real orders held out, coverage."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from cohort_shops import cohorts_of, draw_shop
from small_shops import orders

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.measures.cohorts.ahead import MEASURES


def by_hand(n=40):
    """Four cohorts of n people who pay 10, to the end of April.

    January: 20 pay 10 again in February, 10 in March, 5 in April. February: 10 pay
    again in March, 5 in April. March: 8 pay again in April.
    """

    def some(who, count, day):
        return [(f"{who}{i}", day, 10) for i in range(count)]

    return orders(
        *some("a", n, 0), *some("a", 20, 35), *some("a", 10, 60), *some("a", 5, 100),
        *some("b", n, 40), *some("b", 10, 70), *some("b", 5, 95),
        *some("c", n, 65), *some("c", 8, 100), *some("d", n, 110),
    )  # fmt: skip


@pytest.fixture(scope="module")
def hand_made():
    return sl.cohorts(sl.read_events(by_hand(), end="2026-04-30"))


def row(projection, cohort, age):
    """Return one line of a projection."""
    table = projection.table
    found = table[(table["cohort"] == cohort) & (table["age"] == age)]
    assert len(found) == 1
    return found.iloc[0]


def test_sums_by_hand(hand_made):
    # In money: January 400, 600, 700, 750; February 400, 500, 550; March 400, 480.
    # Factor to age 1: (600 + 500 + 480) / (400 * 3) = 1580 / 1200; to age 2:
    # (700 + 550) / (600 + 500) = 1250 / 1100; to age 3 only one cohort has come.
    ahead = sl.project_cohorts(hand_made)
    factors = ahead.factors.set_index("age")
    assert factors["factor"].iloc[:2].tolist() == pytest.approx([79 / 60, 25 / 22])
    assert np.isnan(factors["factor"].iloc[2])
    assert factors["n_cohorts"].tolist() == [3, 2, 1]
    assert factors["n_people"].tolist() == [120, 80, 40]
    assert factors["reason"].tolist() == ["", "", "cohorts at age 3: 1, need 2"]
    # April has 10 a head at age 0; March 12 at age 1.
    assert row(ahead, "2026-04", 1)["expected"] == pytest.approx(10 * 79 / 60)
    last = 10 * 79 / 60 * 25 / 22
    assert row(ahead, "2026-04", 2)["expected"] == pytest.approx(last)
    assert row(ahead, "2026-03", 2)["expected"] == pytest.approx(12 * 25 / 22)
    status = ahead.table.set_index(["cohort", "age"])["status"].unstack().to_numpy()
    assert status.tolist() == [
        ["observed"] * 4,
        ["observed"] * 3 + ["missing"],
        ["observed"] * 2 + ["projected", "missing"],
        ["observed", "projected", "projected", "missing"],
    ]
    assert row(ahead, "2026-01", 3)["expected"] == 18.75
    # What was observed has no range, what is projected lies inside its own.
    seen = ahead.table[ahead.table["status"] == "observed"]
    assert seen[["expected_low", "expected_high", "std_error"]].isna().all().all()
    far = ahead.table[ahead.table["status"] == "projected"]
    assert (far["expected_low"] < far["expected"]).all()
    assert (far["expected"] < far["expected_high"]).all()
    reach = np.log(far["expected_high"] / far["expected"])
    expected = 1.959964 * far["std_error"] / far["expected"]
    np.testing.assert_allclose(reach, expected, rtol=1e-6)
    assert ahead.spread["all"] >= 1


def test_shares_and_purchases_by_hand(hand_made):
    # Each pays 10 once per period, so that purchases are money over 10, and active
    # periods are purchases: April adds 79/60 - 1 at age 1.
    purchases = sl.project_cohorts(hand_made, "n_orders")
    shares = sl.project_cohorts(hand_made, "share_active")
    assert row(purchases, "2026-04", 2)["expected"] == pytest.approx(79 / 60 * 25 / 22)
    assert row(shares, "2026-04", 1)["expected"] == pytest.approx(19 / 60)
    assert row(shares, "2026-04", 2)["expected"] == pytest.approx(79 / 60 * 3 / 22)
    assert row(shares, "2026-02", 1)["expected"] == 10 / 40
    far = shares.table[shares.table["status"] == "projected"]
    assert (
        far[["expected_low", "expected", "expected_high"]].stack().between(0, 1).all()
    )
    assert (far["expected_low"] < far["expected"]).all()
    assert shares.table["std_error_mack"].isna().all()
    assert far["reason"].eq("").all()


def test_too_few_people_are_not_projected():
    found = sl.cohorts(sl.read_events(by_hand(n=20), end="2026-04-30"))
    ahead = sl.project_cohorts(found)
    late = ahead.table[(ahead.table["status"] != "observed")]
    assert (late["status"] == "missing").all()
    assert late["expected"].isna().all()
    assert set(late["reason"]) == {"20 people, need 30"}
    # 20 + 20 people are enough for a factor to age 2, and one cohort is not for age 3.
    assert ahead.factors["factor"].notna().tolist() == [True, True, False]


def test_a_cohort_that_has_finished_nothing_is_not_projected():
    events = sl.read_events(by_hand(), end="2026-04-25")
    ahead = sl.project_cohorts(sl.cohorts(events))
    found = row(ahead, "2026-04", 1)
    assert found["reason"] == "has not finished its first period"
    assert np.isnan(found["expected"])
    # Partial cells are not used: April, day 100 and 110, is as if it had not been.
    early = sl.project_cohorts(sl.cohorts(sl.read_events(by_hand(), end="2026-03-31")))
    pd.testing.assert_frame_equal(ahead.factors, early.factors)
    assert row(ahead, "2026-02", 1).equals(row(early, "2026-02", 1))


def test_money_that_came_back_is_not_projected_from():
    # The people of March get all their money back in April, when they are at age 1.
    table = by_hand()
    back = orders(*[(f"c{i}", 101, -20) for i in range(40)])
    events = sl.read_events(pd.concat([table, back]), end="2026-04-30")
    ahead = sl.project_cohorts(sl.cohorts(events))
    found = row(ahead, "2026-03", 2)
    assert found["reason"] == "not above 0"
    assert found["status"] == "missing"
    assert row(ahead, "2026-03", 1)["expected"] < 0
    # All give everything back at once: there is nothing to grow from.
    every = orders(*[(f"{w}{i}", d, -30) for w, d in (("a", 25), ("b", 50), ("c", 80))
                     for i in range(40)])  # fmt: skip
    events = sl.read_events(pd.concat([table, every]), end="2026-04-30")
    ahead = sl.project_cohorts(sl.cohorts(events))
    assert ahead.factors["reason"].iloc[0] == "the sum at age 0 is not above 0"
    assert ahead.factors["factor"].isna().all()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("table", [orders((None, 0, 5)), orders(("a", 0, 5))])
def test_nobody_and_one_person(table, measure):
    ahead = sl.project_cohorts(sl.cohorts(sl.read_events(table)), measure)
    assert ahead.table.empty
    assert ahead.factors.empty
    assert shops.has_columns(ahead.table, "cohort_projection")
    assert shops.has_columns(ahead.factors, "cohort_factors")
    assert "(no rows)" in repr(ahead)
    assert "<table" in ahead._repr_html_()


def test_segments_are_projected_apart(simulated_events):
    found = sl.cohorts(simulated_events, by="source")
    ahead = sl.project_cohorts(found, "n_orders")
    assert set(ahead.spread) == {"organic", "paid", "referral"}
    sums = found.table[found.table["status"] == "complete"]
    n_ages = int(sums["age"].max()) + 1
    for name, rows in ahead.table.groupby("segment"):
        cohorts = found.table.loc[found.table["segment"] == name, "cohort"].nunique()
        assert len(rows) == cohorts * n_ages
    for name, rows in sums.groupby("segment"):
        older = rows[rows["cohort"].isin(rows.loc[rows["age"] == 2, "cohort"])]
        by_age = older.groupby("age")["n_orders_cumulative"].sum()
        mine = ahead.factors[ahead.factors["segment"] == name].set_index("age")
        assert mine.loc[2, "factor"] == pytest.approx(by_age[2] / by_age[1])
    assert "organic" in repr(ahead)


def test_other_results_and_measures_are_errors(hand_made):
    with pytest.raises(SettingError, match="the result of selfloop"):
        sl.project_cohorts(hand_made.table)
    with pytest.raises(SettingError, match="measure must be one of 'revenue'"):
        sl.project_cohorts(hand_made, "age")


def test_projections_show_themselves(hand_made):
    ahead = sl.project_cohorts(hand_made)
    assert ahead.to_frame().equals(ahead.table)
    copy = ahead.to_frame()
    copy.loc[0, "cohort"] = "changed"
    assert ahead.table.loc[0, "cohort"] == "2026-01"
    assert "cohorts at age 3: 1, need 2" in repr(ahead)
    assert "measure <b>revenue</b>" in ahead._repr_html_()


def test_months_of_real_orders_that_were_held_out(retail_events):
    # What was known at the end of August, against the whole months until November.
    early = sl.read_events(
        shops.DATA / "online_retail" / "orders.parquet",
        columns={"orders": shops.RETAIL_COLUMNS}, end="2011-08-31",
    )  # fmt: skip
    now = sl.cohorts(retail_events).table
    now = now.assign(
        revenue=now["value_per_customer"],
        n_orders=now["n_orders_cumulative"] / now["n_people"],
    )
    for measure in MEASURES:
        ahead = sl.project_cohorts(sl.cohorts(early), measure).table
        ahead = ahead[ahead["status"] == "projected"]
        both = ahead.merge(now, on=["cohort", "age"])
        both = both[both["status_y"] == "complete"]
        inside = both[measure].between(both["expected_low"], both["expected_high"])
        assert len(both) >= 8
        assert inside.mean() > 0.8, measure


def coverage(shops_of, n_shops, measures=MEASURES):
    """Return how often what happened was in our range, and in that of Mack."""
    found = {measure: [] for measure in measures}
    for seed in range(n_shops):
        shop = shops_of(seed)
        cohorts = cohorts_of(shop)
        for measure in measures:
            found[measure].append(covered(shop, cohorts, measure))
    return {measure: np.mean(pairs, axis=0) for measure, pairs in found.items()}


def covered(shop, cohorts, measure):
    """Return the same of one shop."""
    table = sl.project_cohorts(cohorts, measure).table
    table = table[table["status"] == "projected"]
    each = {
        "n_orders": shop.orders.cumsum(axis=1),
        "revenue": shop.revenue.cumsum(axis=1),
        "share_active": shop.orders > 0,
    }[measure]
    number = np.array([int(n[:4]) * 12 + int(n[5:]) - 1 for n in table["cohort"]])
    happened = np.array([
        each[shop.cohort == c, a].mean()
        for c, a in zip(number, table["age"], strict=True)
    ])  # fmt: skip
    low, high = table["expected_low"], table["expected_high"]
    ours = ((low <= happened) & (happened <= high)).mean()
    reach = np.exp(1.96 * table["std_error_mack"] / table["expected"])
    low, high = table["expected"] / reach, table["expected"] * reach
    inside = (low <= happened) & (happened <= high)
    return ours, inside[reach.notna()].mean()


def test_ranges_cover_what_happened():
    found = coverage(lambda seed: draw_shop(seed, [100] * 10), 30)
    for measure, (ours, mack) in found.items():
        assert 0.91 < ours < 0.985
        if measure != "share_active":
            # Customers who buy much go on to: steps are not independent.
            assert mack < 0.9


STEADY = {
    "alike": {},
    "rare": {"alpha": 40.0},
    "cohorts_differ": {"cohort_spread": 0.3},
    "big_spenders": {"big_spenders": True},
}
LOWEST = {"n_orders": 0.93, "share_active": 0.93, "revenue": 0.90}


@pytest.mark.slow
@pytest.mark.parametrize("case", STEADY)
def test_ranges_cover_in_many_steady_shops(case):
    def shop(seed):
        n_people = np.random.default_rng(seed).poisson(60 + 240 * (seed % 2), 12) + 1
        return draw_shop(seed + 1000, n_people, **STEADY[case])

    for measure, (ours, _) in coverage(shop, 120).items():
        assert LOWEST[measure] < ours < 0.985


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"change_at": 12}, {"season": 0.4}])
def test_a_change_or_a_season_is_not_foreseen(change):
    # Documented: a shop that changes after the end is projected as if it did not.
    found = coverage(
        lambda seed: draw_shop(seed, [300] * 12, **change), 100, ("n_orders",)
    )
    assert found["n_orders"][0] < 0.75
