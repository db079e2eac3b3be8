"""Times of referrals: by hand, plain pandas, edges."""

import math

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from small_shops import date_of, orders, referrals

import selfloop as sl
from selfloop.core import schema
from selfloop.core.errors import MissingTableError


@pytest.fixture(scope="module")
def by_hand():
    """40 buyers of day 0, of whom 4 bring a person each, after 2, 4, 4 and 10 days.

    Each is invited 2 days before the first purchase; another is invited on day 5 and
    never buys. The first of the four brings a second one after 6 days. The last day
    is 12.
    """
    old = [(f"a{i:02d}", 0, 10) for i in range(40)]
    new = [("b0", 2, 5), ("b1", 4, 5), ("b2", 4, 5), ("b3", 10, 5), ("b4", 6, 5)]
    pairs = [(f"a{i:02d}", f"b{i}", new[i][1] - 2) for i in range(4)]
    return sl.read_events(
        orders(*old, *new),
        referrals(*pairs, ("a00", "b4", 4), ("a05", "nobody", 5)),
        end=date_of(12),
    )


def test_steps_by_hand(by_hand):
    times = sl.referral_times(by_hand)
    assert list(times.steps.columns) == schema.names("referral_times")
    steps = times.steps.set_index("step")
    first = steps.loc["first_referral"]
    # 45 buyers, of whom 4 brought somebody. At risk on days 2, 4 and 10: 45, less one
    # per event, less those brought who have been there for fewer days: on day 4 44,
    # on day 10 42 less b1, b2 and b4 (8, 8 and 6 days) and b3 (2 days).
    survival = (1 - 1 / 45) * (1 - 2 / 43) * (1 - 1 / 38)
    assert (first["n_people"], first["n_reached"]) == (45, 4)
    assert first["reached"] == pytest.approx(1 - survival)
    assert first["longest_days"] == 12
    # Of these 9.3 %, day 2 has 2.2 and day 4 has 4.6 more: 24 % and 73 %.
    assert (first["days_25"], first["days_50"], first["days_75"]) == (4, 4, 10)
    assert first["naive_days_50"] == 4
    generation = steps.loc["generation"]
    # 40 buyers of 12 days, and those brought: of 10, 8, 8, 6 and 2 days.
    r = 1 / 45 + 2 / 44 + 1 / 44 + 1 / 41
    assert (generation["n_people"], generation["n_reached"]) == (45, 5)
    assert generation["reached"] == pytest.approx(r)
    mean = (2 / 45 + 4 * 2 / 44 + 6 / 44 + 10 / 41) / r
    assert generation["mean_days"] == pytest.approx(mean)


def test_few_people_have_no_times(by_hand):
    row = sl.referral_times(by_hand).steps.set_index("step").loc["conversion"]
    # Six were invited: too few to say more than what was seen.
    assert (row["n_people"], row["n_reached"]) == (6, 5)
    assert row["reason"] == "6 people, need 30"
    assert math.isnan(row["days_50"])
    assert row["naive_days_50"] == 2


def test_counts_are_those_of_plain_pandas(simulated_events):
    steps = sl.referral_times(simulated_events).steps.set_index("step")
    people = sl.people(simulated_events).to_pandas().set_index("person_id")
    bought = people[people["first_order_at"].notna()]
    own = bought["first_order_at"].dt.normalize()
    brought = bought[bought["referrer_id"].isin(bought.index)]
    took = (
        brought["first_order_at"].dt.normalize()
        - own.reindex(brought["referrer_id"]).to_numpy()
    )
    took = took.dt.days
    seen = took[took >= 0]
    assert steps.loc["generation", "n_people"] == len(bought)
    assert steps.loc["generation", "n_reached"] == len(seen)
    assert steps.loc["generation", "naive_days_50"] == seen.median()
    first = seen.groupby(brought.loc[seen.index, "referrer_id"]).min()
    assert steps.loc["first_referral", "n_reached"] == len(first)
    assert steps.loc["first_referral", "naive_days_50"] == first.median()
    assert steps.loc["conversion", "n_people"] == people["referrer_id"].notna().sum()


def test_r_and_curves_agree(simulated_events):
    times = sl.referral_times(simulated_events)
    steps = times.steps.set_index("step")
    loop = sl.self_loop(simulated_events)
    assert steps.loc["generation", "reached"] == pytest.approx(loop.headline["r"])
    assert list(times.curve.columns) == schema.names("referral_times_curve")
    for step, rows in times.curve.groupby("step"):
        share = rows["share"].to_numpy()
        assert (np.diff(share) >= -1e-12).all()
        assert share[-1] == pytest.approx(1)
        assert (rows["share_low"] <= rows["share"] + 1e-12).all()
        assert (rows["share"] <= rows["share_high"] + 1e-12).all()
        assert rows["days"].iloc[-1] == steps.loc[step, "longest_days"]


def test_rows_in_another_order_change_nothing(untidy):
    one = sl.referral_times(sl.read_events(*untidy[:2], visits=untidy.visits))
    mixed = shops.shuffled(untidy, 4)
    other = sl.referral_times(sl.read_events(*mixed[:2], visits=mixed.visits))
    pd.testing.assert_frame_equal(one.steps, other.steps)
    pd.testing.assert_frame_equal(one.curve, other.curve)


def test_edges():
    with pytest.raises(MissingTableError, match="SL301  referral_times"):
        sl.referral_times(sl.read_events(orders(("a", 0, 1))))
    quiet = sl.referral_times(
        sl.read_events(
            orders(*((f"p{i}", 0, 1) for i in range(40))), referrals(("p1", "x", 1)),
            end=date_of(9),
        )
    )  # fmt: skip
    assert quiet.curve.empty
    steps = quiet.steps.set_index("step")
    assert steps.loc["generation", "reason"] == "nothing happened"
    assert "conversion" in repr(quiet)
    assert quiet.to_frame().equals(quiet.steps)
