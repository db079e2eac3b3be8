"""Growth rate and multiplier: closed forms and the equation they solve."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import gamma

from selfloop.kernels.renewal import doubling_days, growth_rate, multiplier


def at_age(age, number):
    increments = np.zeros(age + 1)
    increments[age] = number
    return increments


@pytest.mark.parametrize(("age", "number"), [(1, 3.0), (30, 2.0), (90, 0.5), (7, 1.0)])
def test_all_referrals_at_one_age(age, number):
    # e^(-r age) number = 1.
    assert growth_rate(at_age(age, number)) == pytest.approx(math.log(number) / age)


def test_referrals_on_the_first_day_and_later():
    # 1/2 + e^(-10 r) = 1, so r = ln 2 / 10.
    increments = at_age(10, 1.0)
    increments[0] = 0.5
    assert growth_rate(increments) == pytest.approx(math.log(2) / 10)


@pytest.mark.parametrize("total", [0.3, 1.0, 1.4])
def test_geometric_ages(total):
    # d(a) / n(a) = R p q^(a - 1): sum e^(-ra) ... = R p / (e^r - q) = 1,
    # so r = log(q + R p).
    p = 0.05
    age = np.arange(1, 3000)
    increments = np.append(0.0, total * p * (1 - p) ** (age - 1))
    expected = math.log(1 - p + total * p)
    assert growth_rate(increments) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("total", "rate"), [(0.4, -0.01143), (0.8, -0.00346), (1.1, 0.00164)]
)
def test_gamma_generation_time(total, rate):
    # Shape 1.5, mean 60 days: r = (R^(1 / 1.5) - 1) / 40.
    age = np.arange(6000)
    share = np.diff(gamma.cdf(np.append(age, 6000), 1.5, scale=40.0))
    increments = np.append(0.0, total * share)  # the day's end; costs half a day
    assert (total ** (1 / 1.5) - 1) / 40 == pytest.approx(rate, abs=5e-6)
    assert growth_rate(increments) == pytest.approx(rate, rel=0.01)


@given(st.lists(st.floats(0, 3), min_size=1, max_size=400))
def test_solves_the_equation(increments):
    increments = np.array([0.0, *increments])
    increments[increments < 1e-12] = 0.0  # d / n never is smaller
    rate = growth_rate(increments)
    if not increments.any():
        assert rate == -math.inf
        return
    age = np.arange(increments.size)
    assert (increments * np.exp(-rate * age)).sum() == pytest.approx(1.0, rel=1e-9)
    total = increments.sum()
    assert abs(total - 1) < 1e-12 or (rate > 0) == (total > 1)


def test_equals_a_bracketing_solver():
    rng = np.random.default_rng(4)
    age = np.arange(361)
    for _ in range(50):
        increments = rng.gamma(0.3, 0.005, 361)
        oracle = brentq(
            lambda r, m=increments: (m * np.exp(-r * age)).sum() - 1, -1, 1, xtol=1e-14
        )
        assert growth_rate(increments) == pytest.approx(oracle, rel=1e-8, abs=1e-12)


def test_extreme_but_possible_increments():
    # One referral in a billion, next to many on the first day.
    assert growth_rate([0.5, *[0.0] * 999, 1e-9]) == pytest.approx(
        math.log(1e-9 / 0.5) / 1000
    )
    assert growth_rate([0.0, 1e9]) == pytest.approx(math.log(1e9))


def test_no_solution_is_infinite():
    assert growth_rate([]) == -math.inf
    assert growth_rate([0.0, 0.0]) == -math.inf
    assert growth_rate([0.9, 0.0]) == -math.inf
    assert growth_rate([1.0, 0.1]) == math.inf
    assert growth_rate([1.0]) == math.inf


def test_unobserved_ages_are_left_out():
    assert growth_rate([0.0, 2.0, np.nan, np.nan]) == growth_rate([0.0, 2.0])


@pytest.mark.parametrize("wrong", [-0.1, np.inf])
def test_impossible_increments_are_refused(wrong):
    with pytest.raises(ValueError, match="finite and 0 or more"):
        growth_rate([0.1, wrong])


def test_doubling():
    assert doubling_days(math.log(2) / 45) == pytest.approx(45)
    assert doubling_days(math.inf) == 0.0
    for rate in (0.0, -0.01, -math.inf, math.nan):
        assert math.isnan(doubling_days(rate))


def test_multiplier_by_hand():
    # 1 + 0.6 + 0.36 + ... = 2.5.
    found, low, high = multiplier([0.6, 0.0], low=[0.5, 0.0], high=[0.75, 0.2])
    assert found.tolist() == [2.5, 1.0]
    assert low.tolist() == [2.0, 1.0]
    assert high.tolist() == [4.0, 1.25]


def test_a_loop_that_feeds_itself_has_no_end():
    found, low, high = multiplier([0.9, 1.0, 1.3], low=[0.8, 0.9, 1.1], high=[1, 1, 2])
    assert found[1:].tolist() == [math.inf, math.inf]
    assert low.tolist() == pytest.approx([5.0, 10.0, math.inf])
    assert high.tolist() == [math.inf] * 3


def test_missing_stays_missing():
    found, low, high = multiplier(np.nan, low=0.5, high=np.nan)
    assert np.isnan(found)
    assert low == 2.0
    assert np.isnan(high)


@given(st.lists(st.floats(0, 5), min_size=2, max_size=20))
def test_the_multiplier_rises_with_r(numbers):
    ordered = np.sort(numbers)
    found, low, high = multiplier(ordered, low=ordered, high=ordered)
    assert (found[1:] >= found[:-1]).all()
    assert found.tolist() == low.tolist() == high.tolist()


def test_a_negative_r_is_refused():
    with pytest.raises(ValueError, match=r"R must be 0 or more, got -0\.1"):
        multiplier(0.5, low=-0.1, high=0.9)
