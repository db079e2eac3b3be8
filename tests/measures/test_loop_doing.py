"""Levels of cohorts in the projection, and how far sums swing."""

import numpy as np
import pandas as pd
import pytest
from small_shops import date_of, day, orders, referrals

import selfloop as sl
from selfloop.measures.loop.cells import loop_cells
from selfloop.measures.loop.doing import COHORT_DAYS, cohort_of
from selfloop.measures.loop.swings import Swings, swings, weights


def test_cohorts_are_counted_from_the_first_day():
    cohort = cohort_of(95)
    assert cohort[94] == cohort[65] == 0  # first purchases of days 0 to 29
    assert cohort[64] == 1
    assert cohort[0] == 3
    assert np.bincount(cohort).tolist() == [30, 30, 30, 5]


def test_cells_after_the_first_day_are_those_of_each_buyer(simulated_events):
    cells = loop_cells(simulated_events).where()
    for name in ("orders", "revenue", "brought"):
        after = getattr(cells, f"{name}_after")[0].sum(axis=0)
        by_age = getattr(cells, name)[0].sum(axis=0)
        assert after.sum() == pytest.approx(by_age[1:].sum())
    people = sl.people(simulated_events).to_pandas()
    bought = people[people["first_order_at"].notna()]
    followup = (
        pd.Timestamp(simulated_events.end) - bought["first_order_at"].dt.normalize()
    ).dt.days
    expected = np.bincount(followup, bought["n_purchases"] - 1, cells.n_days)
    np.testing.assert_allclose(cells.orders_after[0].sum(axis=0), expected)


# Levels


def test_the_table_of_cohorts(simulated_events):
    ahead = sl.project_loop(simulated_events, months=1)
    table = ahead.cohorts
    first, last = table["first_day"], table["last_day"]
    assert first.iloc[0].date() == simulated_events.start
    assert last.iloc[-1].date() == simulated_events.end
    assert ((first - last.shift()).dropna() == pd.Timedelta(days=1)).all()
    assert ((last - first).iloc[:-1] == pd.Timedelta(days=COHORT_DAYS - 1)).all()
    people = sl.people(simulated_events).to_pandas()
    assert table["n_buyers"].sum() == people["first_order_at"].notna().sum()
    known = table.dropna(subset=["orders_level_raw"])
    assert (known["orders_level_low"] < known["orders_level_raw"]).all()
    assert (known["orders_level_raw"] < known["orders_level_high"]).all()
    assert "levels of cohorts" in repr(ahead)


def cut_off(seed, *, lost_days):
    """Return orders of a shop whose data begin late, and the last day to be known."""
    made = sl.simulate(n_visitors=6000, seed=seed, days=1080).orders
    begin = made["ordered_at"].min().normalize() + pd.Timedelta(days=lost_days)
    rows = made[made["ordered_at"].between(begin, begin + pd.Timedelta(days=480))]
    return rows, begin + pd.Timedelta(days=359)


@pytest.mark.slow
def test_old_customers_at_the_start_do_not_raise_the_months_ahead():
    """All customers of 300 lost days look new when the data begin: without levels the
    orders of the next 120 days are predicted 16 % too high, and 25 % of the ranges
    hold them."""
    errors, inside, level = [], [], []
    for seed in range(100, 120):
        rows, at = cut_off(seed, lost_days=300)
        events = sl.read_events(rows)
        found = sl.backtest_loop(events, at=at.date()).table.set_index(
            ["measure", "month"]
        )
        errors.append(found.loc[("orders", "all"), "error"])
        inside.append(bool(found.loc[("orders", "all"), "inside"]))
        level.append(sl.project_loop(events).cohorts["orders_level"].iloc[0])
    assert abs(np.mean(errors)) < 0.08
    assert np.mean(inside) > 0.85
    # They buy on steadily, where new buyers come down from a first purchase.
    assert np.mean(level) > 1.2


def steady_shop(later):
    """Buyers who buy again at a steady pace; what those of days 60 to 89 do is given.

    Parameters are the frame of later rows of that cohort; a frame is returned.
    """
    rng = np.random.default_rng(0)
    first = rng.integers(0, 420, 2100)
    rows = [(f"c{i}", int(at), 10.0) for i, at in enumerate(first)]
    rows += [
        (f"c{i}", int(x), 10.0)
        for i, at in enumerate(first)
        for x in rng.integers(at + 1, 420, rng.poisson(0.03 * (419 - at)))
        if x < 420
    ]
    table = orders(*rows)
    born = table.groupby("customer_id")["ordered_at"].transform("min")
    mine = born.between(day(60), day(89)) & (table["ordered_at"] > born)
    return pd.concat([table[~mine], later(table[mine])])


def ahead_of(later):
    """Project such a shop."""
    return sl.project_loop(sl.read_events(steady_shop(later)), months=12)


def test_a_cohort_that_never_came_back_is_not_expected_to():
    as_others = ahead_of(lambda rows: rows)
    gone = [ahead_of(lambda rows, n=n: rows.iloc[:n]) for n in (0, 1, 5)]
    assert as_others.cohorts["orders_level"].iloc[2] == pytest.approx(1, abs=0.1)
    totals = [found.totals["orders"].iloc[0] for found in gone]
    for found in gone:
        assert found.cohorts["orders_level"].iloc[2] < 0.05
        # The others are believed to go on as they did.
        assert found.cohorts["orders_level"].iloc[3:10].between(0.9, 1.3).all()
    assert totals == pytest.approx([totals[0]] * 3, rel=0.001)
    assert 0.9 < totals[0] / as_others.totals["orders"].iloc[0] < 1


def test_refunds_of_one_cohort_do_not_upset_the_others():
    little = ahead_of(lambda rows: rows.assign(amount=0.01))
    back = ahead_of(lambda rows: rows.assign(amount=-1.0))
    for found in (little, back):
        assert found.cohorts["revenue_level"].iloc[2] < 0.05
        assert found.cohorts["revenue_level"].iloc[3:10].between(0.9, 1.3).all()
    sums = [found.totals["revenue"].iloc[0] for found in (little, back)]
    assert sums[1] == pytest.approx(sums[0], rel=0.05)


def test_refunds_of_people_who_never_bought_are_no_part_of_it():
    rows = steady_shop(lambda part: part)
    strangers = orders(*[(f"x{i}", 200 + i, -500.0) for i in range(60)])
    events = [sl.read_events(t) for t in (rows, pd.concat([rows, strangers]))]
    clean, found = (sl.project_loop(one, months=12).totals for one in events)
    pd.testing.assert_frame_equal(found, clean)


# Swings


def shop_of_three():
    """a, b and d bought first on day 0 or 5, a and b again; c is brought in the window.

    Days 0 to 99; the window is the last 40 days.
    """
    return sl.read_events(
        orders(
            ("a", 0, 10), ("a", 30, 10), ("a", 70, 10), ("a", 90, 10),
            ("b", 5, 10), ("b", 95, 40),
            ("c", 80, 10), ("c", 99, 10),
            ("d", 5, 10),
        ),
        referrals(("a", "c", 79)),
        end=date_of(99),
    )  # fmt: skip


def test_swings_by_hand():
    found = swings(shop_of_three(), n_days=40)
    assert found.window_days == 40
    # Clusters of the window: a with c (orders 2 + 2, revenue 20 + 20), b (1; 40), d 0.
    # All three were there: around their means 5/3 and 80/3.
    orders_ = np.array([4, 1, 0]) - 5 / 3
    revenue = np.array([40, 40, 0]) - 80 / 3
    assert found.window["orders"] == pytest.approx((orders_**2).sum() / 5)
    assert found.window["revenue"] == pytest.approx((revenue**2).sum() / 80)
    # One buyer is new, in the cluster of a; the mean is 1/3.
    assert found.window["buyers"] == pytest.approx((1 - 1 / 3) / 1)
    # Blocks of 30 days from the end, days 70 to 99 and 60 to 69: all in the last.
    assert found.block["orders"] == pytest.approx((4**2 + 1) / 5)
    assert found.block["revenue"] == pytest.approx((40**2 + 40**2) / 80)
    # Fewer than 30 were at risk: nothing is known of what moves the estimate.
    assert found.shared == {"buyers": 0, "orders": 0, "revenue": 0}


def many(n):
    """n buyers of day 0; every second buys on day 30, and those again on day 80."""
    rows = [(f"c{i}", 0, 10) for i in range(n)]
    rows += [(f"c{i}", at, 10) for i in range(0, n, 2) for at in (30, 80)]
    return sl.read_events(orders(*rows), end=date_of(99))


def test_what_buyers_did_goes_with_what_they_do():
    found = swings(many(40), n_days=40)
    # Age 30 is seen of all 40 by the cut, and of none in the window: weight 0.
    assert found.shared["orders"] == 0
    # In a window of 50 days an age of 30 is reached by no one either; but 40 buyers
    # more, of day 40, are of age 30 on day 70: 40 / 40 = 1.
    rows = [(f"c{i}", 0, 10) for i in range(40)]
    rows += [(f"c{i}", at, 10) for i in range(0, 40, 2) for at in (30, 80)]
    rows += [(f"late{i}", 40, 10) for i in range(40)]
    later = sl.read_events(orders(*rows), end=date_of(99))
    found = swings(later, n_days=40)
    # z is 1 for twenty of the first forty, 0 for the rest, and x the same:
    # 40 x 1/2 x 1/2 = 10, over 20 orders. The late ones did nothing.
    assert found.shared["orders"] == pytest.approx(10 / 20)
    assert found.shared["revenue"] == pytest.approx(10 * 10 * 10 / 200)


def test_weights_are_buyer_days_ahead_over_buyers_seen():
    rng = np.random.default_rng(3)
    born = rng.integers(0, 60, 500)
    first, n = np.unique(born, return_counts=True)
    cut, window = 45, 14
    found = weights(first, n, cut=cut, window_days=window)
    for age in range(1, found.size):
        seen = (cut - born >= age).sum()
        ahead = sum((born + age == d).sum() for d in range(cut + 1, cut + window + 1))
        assert found[age] == pytest.approx(ahead / seen if seen >= 30 else 0)
    assert found[0] == 0


def test_ratios_by_length():
    found = Swings(
        block={"orders": 2.0}, window={"orders": 5.0}, shared={"orders": 1.0},
        window_days=90,
    )  # fmt: skip
    assert found.ratio("orders", 90) == pytest.approx(5 - 2)
    assert found.ratio("orders", 60) == pytest.approx(3.5 - 2 * 60 / 90)
    assert found.ratio("orders", 15) == pytest.approx(2 - 2 * 15 / 90)
    # Beyond the window only the variance grows on.
    assert found.ratio("orders", 150) == pytest.approx(8 - 2)
    assert found._replace(shared={"orders": 9.0}).ratio("orders", 90) == 0
    short = found._replace(window_days=20, window={"orders": 1.0})
    assert short.ratio("orders", 40) == pytest.approx(max(0, 2 - 2))
