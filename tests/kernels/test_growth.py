"""The growth of a loop and its interval: closed forms, a root by hand, laws, edges."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import t as student

from selfloop.core.errors import SettingError
from selfloop.kernels.growth import (
    GrowthInterval,
    days_to_double,
    days_to_halve,
    growth_interval,
)
from selfloop.kernels.renewal import growth_rate
from selfloop.kernels.survival import mean_cumulative, mean_cumulative_interval


def loop_of(followup, person, age):
    """Return the curve and the events of people followed so long."""
    followup, person = np.asarray(followup), np.asarray(person, dtype=np.int64)
    age = np.asarray(age, dtype=np.int64)
    n_ages = int(followup.max()) + 1
    curve = mean_cumulative(
        np.bincount(age, minlength=n_ages), np.bincount(followup, minlength=n_ages)
    )
    return curve, {"person": person, "age": age, "followup": followup[person]}


def growth_of(followup, person, age, *, up_to=None, confidence=0.95):
    curve, events = loop_of(followup, person, age)
    last = curve.age.size - 1 if up_to is None else up_to
    return growth_interval(curve, **events, up_to=last, confidence=confidence)


def shop(seed, *, n=300, n_days=120, mean=1.0):
    """Return people of uneven keenness who bring others at ages about 30 days."""
    rng = np.random.default_rng(seed)
    followup = rng.integers(0, n_days, n)
    person = np.repeat(np.arange(n), rng.poisson(mean * rng.gamma(0.5, 2.0, n)))
    age = rng.gamma(2.0, 15.0, person.size).astype(int)
    seen = age <= followup[person]
    return followup, person[seen], age[seen]


def test_all_brought_at_one_age_has_a_closed_form():
    # Forty followed for 20 days, half bring 3 each at day 10: 1.5 e^(-10 r) = 1.
    # All are 1.5/40 off, so sqrt(V) / S = 1.5 / sqrt(40) / 1.5 = 1 / sqrt(40) at every
    # r, and n_eff = 40: r = (ln 1.5 -+ t / sqrt(40)) / 10, t with 41 degrees.
    growth = growth_of([20] * 40, np.repeat(np.arange(20), 3), [10] * 60)
    reach = student.ppf(0.975, 41) / math.sqrt(40)
    assert growth.rate == pytest.approx(math.log(1.5) / 10)
    assert growth.low == pytest.approx((math.log(1.5) - reach) / 10)
    assert growth.high == pytest.approx((math.log(1.5) + reach) / 10)
    assert growth.standard_error == pytest.approx(1 / math.sqrt(40) / 10)


def ends_by_brute_force(followup, person, age, up_to):
    """Find the rates at which the ends of the sum's interval are 1, as written."""
    n = np.array([sum(c >= a for c in followup) for a in range(up_to + 1)])
    d = np.array([sum(a == b for b in age) for a in range(up_to + 1)])

    def end(rate, side):
        weight = np.exp(-rate * np.arange(up_to + 1))
        value = (weight * d / n).sum()
        off = np.zeros(len(followup))
        for p, a in zip(person, age, strict=True):
            off[p] += weight[a] / n[a] if a <= up_to else 0.0
        expected = np.cumsum(weight * d / n**2)
        off -= expected[np.minimum(followup, up_to)]
        variance = (off**2).sum()
        t = student.ppf(0.975, variance**2 / (off**4).sum() + 1)
        return math.log(value) + side * t * math.sqrt(variance) / value

    return [brentq(end, -1.0, 1.0, args=(side,), xtol=1e-14) for side in (-1, 1)]


@pytest.mark.parametrize(("seed", "mean", "up_to"), [(1, 0.4, 110), (2, 1.0, 60),
                                                      (3, 2.0, 90)])  # fmt: skip
def test_the_ends_are_those_of_a_bracketing_solver(seed, mean, up_to):
    people = shop(seed, n=80, mean=mean)
    growth = growth_of(*people, up_to=up_to)
    low, high = ends_by_brute_force(*people, up_to)
    assert growth.low == pytest.approx(low, rel=1e-9)
    assert growth.high == pytest.approx(high, rel=1e-9)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000), mean=st.floats(0.1, 3.0), up_to=st.integers(20, 100)
)
def test_it_grows_where_r_exceeds_one(seed, mean, up_to):
    # At a rate of 0 the sum is R: it lies in the interval of the growth exactly when 1
    # lies in that of R.
    followup, person, age = shop(seed, mean=mean)
    curve, events = loop_of(followup, person, age)
    assume(curve.n_at_risk[up_to] > 0 and curve.n_events[1 : up_to + 1].sum() > 0)
    growth = growth_interval(curve, **events, up_to=up_to)
    band = mean_cumulative_interval(curve, **events)
    assert growth.rate == growth_rate(curve.increment[: up_to + 1])
    assert growth.low < growth.rate < growth.high
    assert growth.standard_error > 0
    assert (growth.rate > 0) == (curve.mean[up_to] > 1)
    assert (growth.low > 0) == (band.low[up_to] > 1)
    assert (growth.high > 0) == (band.high[up_to] > 1)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_it_widens_with_confidence_and_names_and_order_do_not_matter(seed):
    followup, person, age = shop(seed, n=100)
    assume(np.unique(person[age > 0]).size > 1)
    growth = growth_of(followup, person, age)
    wide = growth_of(followup, person, age, confidence=0.99)
    assert wide.low < growth.low
    assert wide.high > growth.high
    assert wide.rate == growth.rate
    rng = np.random.default_rng(seed)
    rename, shuffle = rng.permutation(100), rng.permutation(person.size)
    ends = np.empty(100, dtype=int)
    ends[rename] = followup
    again = growth_of(ends, rename[person][shuffle], age[shuffle])
    assert tuple(again) == pytest.approx(tuple(growth), rel=1e-9)


def test_twice_as_slow_is_half_the_growth():
    followup, person, age = shop(4)
    growth = growth_of(followup, person, age)
    slow = growth_of(2 * followup, person, 2 * age)
    assert tuple(slow) == pytest.approx([x / 2 for x in growth], rel=1e-9)


def test_what_came_later_is_left_out():
    followup, person, age = shop(5)
    early = age <= 40
    found = growth_of(followup, person, age, up_to=40)
    again = growth_of(followup, person[early], age[early], up_to=40)
    assert tuple(found) == pytest.approx(tuple(again), rel=1e-9)
    assert found.rate < growth_of(followup, person, age).rate


def test_nobody_brought_after_the_first_day():
    for person, age in (([], []), ([0, 1], [0, 0])):
        growth = growth_of([9] * 40, person, age)
        assert (growth.rate, growth.low) == (-math.inf, -math.inf)
        assert math.isnan(growth.high)
        assert math.isnan(growth.standard_error)


def test_enough_on_the_first_day():
    # Sixty of the first day by forty people: no rate is fast enough.
    growth = growth_of([9] * 40, np.repeat(np.arange(20), 3), [0] * 60)
    assert (growth.rate, growth.high) == (math.inf, math.inf)
    assert math.isnan(growth.low)
    # Thirty and some later: it may be enough, it may not.
    person = np.append(np.repeat(np.arange(10), 3), [20, 21, 22])
    growth = growth_of([9] * 40, person, [0] * 30 + [5] * 3)
    assert growth.high == math.inf
    assert -1.0 < growth.low < growth.rate < 0.0
    # Two of the first day: even the upper end is far from enough.
    person = np.append([0, 1], np.repeat(np.arange(10), 3))
    growth = growth_of([9] * 40, person, [0] * 2 + [5] * 30)
    assert growth.low < growth.rate < growth.high < 1.0


def test_one_person_tells_nothing():
    growth = growth_of([9], [0, 0], [3, 5])
    assert growth.rate > 0
    assert np.isnan(growth[1:]).all()


def test_a_single_one_brought_by_many_buyers_is_a_wide_interval():
    growth = growth_of([50] * 1_000, [0], [40])
    assert growth.rate == pytest.approx(math.log(1e-3) / 40)
    # t with (almost) 1 + 1 degrees: 4.30; e^(4.30) = 74 times more or fewer.
    assert growth.low == pytest.approx(growth.rate - 4.30 / 40, rel=2e-3)
    assert growth.high == pytest.approx(growth.rate + 4.30 / 40, rel=5e-3)


def test_an_age_of_which_one_person_tells_all():
    # The only one at risk at age 60 brings somebody: at low rates that decides.
    followup = [60] + [20] * 39
    person = [0, *range(1, 21)]
    age = [60] + [10] * 20
    growth = growth_of(followup, person, age)
    assert growth.low < growth.rate < growth.high
    assert np.isfinite(growth).all()


def test_days_to_double_and_to_halve():
    # ln 2 = 0.693147.
    growing = GrowthInterval(0.01, 0.005, 0.02, 0.004)
    assert days_to_double(growing) == pytest.approx((69.3147, 34.6574, 138.629), 1e-5)
    assert np.isnan(days_to_halve(growing)).all()
    shrinking = GrowthInterval(-0.01, -0.02, -0.005, 0.004)
    assert days_to_halve(shrinking) == pytest.approx((69.3147, 34.6574, 138.629), 1e-5)
    assert np.isnan(days_to_double(shrinking)).all()


def test_an_interval_on_both_sides_of_standing_still_has_no_slowest():
    may_shrink = GrowthInterval(0.01, -0.001, 0.02, 0.005)
    assert days_to_double(may_shrink).high == math.inf
    may_grow = GrowthInterval(-0.01, -0.02, 0.001, 0.005)
    assert days_to_halve(may_grow).high == math.inf
    still = GrowthInterval(0.0, -0.01, 0.01, 0.005)
    assert np.isnan(days_to_double(still)).all()
    assert np.isnan(days_to_halve(still)).all()


def test_days_of_rates_without_an_end():
    dying = GrowthInterval(-math.inf, -math.inf, math.nan, math.nan)
    assert days_to_halve(dying)[:2] == (0.0, 0.0)
    assert math.isnan(days_to_halve(dying).high)
    exploding = GrowthInterval(math.inf, math.nan, math.inf, math.nan)
    assert days_to_double(exploding)[:2] == (0.0, 0.0)
    assert math.isnan(days_to_double(exploding).high)


def test_what_cannot_be_asked_is_refused():
    for up_to in (-1, 10):
        with pytest.raises(ValueError, match=f"nobody was followed for {up_to} days"):
            growth_of([9] * 40, [0, 1], [3, 5], up_to=up_to)
    with pytest.raises(SettingError, match="confidence"):
        growth_of([9] * 40, [0, 1], [3, 5], confidence=95)
    curve, events = loop_of([9] * 40, [0, 1], [3, 5])
    with pytest.raises(ValueError, match="later than the follow-up"):
        growth_interval(curve, **events | {"followup": np.array([2, 9])}, up_to=9)
