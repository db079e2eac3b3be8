"""The average customer by age: by hand, plain pandas, and intervals that cover."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from cohort_shops import cohorts_of, draw_shop
from small_shops import orders

import selfloop as sl
from selfloop.kernels.intervals import wilson


def test_the_mean_pools_finished_cells_only():
    # Ends on 3 March. January: 3 people, 1 active in February, 3 in March (partial).
    # February: 1 person, active in March (partial).
    table = orders(
        ("a", 0, 1), ("b", 0, 1), ("c", 0, 4), ("a", 40, 2), ("a", 45, 4),
        ("a", 60, 1), ("b", 60, 1), ("c", 60, 1), ("d", 35, 2), ("d", 61, 1),
    )  # fmt: skip
    mean = sl.cohorts(sl.read_events(table)).mean_by_age().set_index("age")
    assert mean["n_people"].to_dict() == {0: 4, 1: 3}
    assert mean["n_cohorts"].to_dict() == {0: 2, 1: 1}
    assert mean["n_active"].to_dict() == {0: 4, 1: 1}
    assert mean["share_active"].to_dict() == {0: 1.0, 1: 1 / 3}
    low, high = wilson([4, 1], [4, 3])
    assert mean["share_active_low"].tolist() == low.tolist()
    assert mean["share_active_high"].tolist() == high.tolist()
    # Age 0: 4 purchases and 8 of 4 people. Age 1: 2 purchases and 6 of 3 people.
    assert mean["orders_per_customer"].tolist() == [1, 2 / 3]
    assert mean["revenue_per_customer"].tolist() == [2, 2]
    # Sums of means of different people: 1 + 2/3, 2 + 2.
    assert mean["orders_cumulative_per_customer"].tolist() == [1, 1 + 2 / 3]
    assert mean["value_per_customer"].tolist() == [2, 4]
    # Too few for an interval of money, and it says so.
    assert mean["reason"].tolist() == ["4 people, need 30", "3 people, need 30"]
    assert mean.filter(regex="customer_(low|high)").isna().all().all()


def test_intervals_by_customer_by_hand():
    # 40 people on day 0 who pay 1, of whom 10 pay 3 in February: 10 of 40, mean 0.75.
    # Sum of squares 90, so that the variance of the mean is
    # (90 - 40 * 0.5625) / (40 * 39), and the interval is mean times e^(+-1.96 se/mean).
    first = [(f"p{i}", 0, 1) for i in range(40)]
    table = orders(*first, *[(f"p{i}", 40, 3) for i in range(10)])
    events = sl.read_events(table, end="2026-03-31")
    mean = sl.cohorts(events).mean_by_age().set_index("age")
    error = np.sqrt((90 - 40 * 0.75**2) / (40 * 39))
    factor = np.exp(1.959964 * error / 0.75)
    row = mean.loc[1]
    assert row["revenue_per_customer_low"] == pytest.approx(0.75 / factor)
    assert row["revenue_per_customer_high"] == pytest.approx(0.75 * factor)
    assert row["reason"] == ""
    # Age 0: all did the same, and nothing swings. Age 2: nobody bought.
    assert mean.loc[0, "orders_per_customer_low"] == 1
    assert mean.loc[2, "orders_per_customer"] == 0
    assert np.isnan(mean.loc[2, "orders_per_customer_high"])
    assert mean.loc[2, "reason"] == "not above 0"
    assert mean.loc[2, "value_per_customer"] == 1.75


@pytest.fixture(scope="module")
def people(retail_events):
    """What each real customer did at each age, by pandas: person, cohort, age, net."""
    rows = retail_events.baskets.to_pandas()
    first = rows[rows["is_purchase"]].groupby("person_no")["day"].min()
    rows = rows[rows["day"] >= rows["person_no"].map(first)]
    month = rows["at"].dt.year * 12 + rows["at"].dt.month
    start = month[rows["is_purchase"]].groupby(rows["person_no"]).min()
    cohort = rows["person_no"].map(start)
    return rows.assign(cohort=cohort, age=month - cohort, net=rows["net"].astype(float))


def test_means_agree_with_pandas_on_real_orders(retail_events, people):
    mean = sl.cohorts(retail_events).mean_by_age().set_index("age")
    start = people.groupby("person_no")["cohort"].first()
    last = 2011 * 12 + 11  # November, the last whole month
    net = people.pivot_table(
        index="person_no", columns="age", values="net", aggfunc="sum"
    )
    net = net.reindex(start.index).fillna(0.0)
    steps, influence = [], np.zeros(len(start))
    for age in range(12):
        mine = net.loc[start + age <= last, age]
        steps.append(mine.mean())
        row = mean.loc[age]
        assert row["n_people"] == len(mine)
        assert row["revenue_per_customer"] == pytest.approx(mine.mean())
        assert row["value_per_customer"] == pytest.approx(sum(steps))
        step = 1.959964 * mine.std() / np.sqrt(len(mine)) / mine.mean()
        low = mine.mean() / np.exp(step)
        assert row["revenue_per_customer_low"] == pytest.approx(low, rel=1e-6)
        # One customer is in the means of several ages: how far each of them moves
        # the sum gives its variance in one pass, and the jackknife in groups the same.
        influence += np.where(
            start + age <= last, (net[age] - mine.mean()) / len(mine), 0.0
        )
        error = np.sqrt((influence**2).sum()) / sum(steps)
        found = np.log(row["value_per_customer_high"] / row["value_per_customer"])
        assert found / 1.96 == pytest.approx(error, rel=0.35)


def test_segments_are_pooled_apart(simulated_events):
    found = sl.cohorts(simulated_events, by="source")
    mean = found.mean_by_age()
    assert shops.has_columns(mean, "cohort_ages")
    assert mean["segment"].unique().tolist() == ["organic", "paid", "referral"]
    done = found.table[found.table["status"] == "complete"]
    sums = done.groupby(["segment", "age"])[["n_people", "n_active", "revenue"]].sum()
    np.testing.assert_array_equal(mean["n_active"], sums["n_active"])
    np.testing.assert_allclose(
        mean["revenue_per_customer"], sums["revenue"] / sums["n_people"]
    )


def test_intervals_cover_in_simulated_shops():
    # One large shop says what an average customer does; 120 small ones are asked.
    truth = cohorts_of(draw_shop(1, [30_000] * 9)).mean_by_age().set_index("age")
    names = ["share_active", "orders_per_customer", "revenue_per_customer",
             "orders_cumulative_per_customer", "value_per_customer"]  # fmt: skip
    inside = {name: [] for name in names}
    for seed in range(120):
        found = cohorts_of(draw_shop(seed + 10, [60] * 9)).mean_by_age()
        found = found.set_index("age")
        for name in names:
            for age in range(1, 9):
                row, value = found.loc[age], truth.loc[age, name]
                low, high = row[f"{name}_low"], row[f"{name}_high"]
                inside[name].append(low <= value <= high)
    for name in names:
        assert 0.90 < np.mean(inside[name]) < 0.985, name


def test_by_day_there_are_fewer_groups_and_the_same_means(simulated_events):
    found = sl.cohorts(simulated_events, "day")
    assert found.cells.n_groups == 10
    mean = found.mean_by_age()
    assert mean["value_per_customer_high"].iloc[:300].notna().all()
    start = mean[mean["age"] == 0].iloc[0]
    first = pd.Series(simulated_events.totals["n_buyers"])
    assert start["n_people"] == first.iloc[0]
