"""Daily rates beyond the oldest age: exact curves, buy-till-you-die, never upwards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import hyp2f1

from selfloop.kernels.tails import Tail, fit_tail, tail_rate


def curve(age, *, level=-2.0, by_log=0.0, by_age=0.0):
    """Return a power of age times an exponential."""
    return np.exp(level + by_log * np.log(age + 1.0) + by_age * (age + 1.0))


@given(
    st.integers(8, 400),
    st.floats(-6, 3),
    st.floats(-2, 2),
    st.floats(0.05, 3),
    st.floats(1, 1e4),
)
def test_a_power_times_an_exponential_is_recovered(n_ages, level, by_log, fall, people):
    # Falls from the last age on: by_log / n + by_age < 0 with by_age < 0.
    by_age = -(fall + max(by_log, 0)) / n_ages
    law = {"level": level, "by_log": by_log, "by_age": by_age}
    steps = curve(np.arange(n_ages), **law)
    tail = fit_tail(steps, n_at_risk=np.linspace(2 * people, people, n_ages))
    assert tail.from_age == n_ages // 4
    later = np.arange(n_ages, 3 * n_ages)
    assert tail_rate(tail, later) == pytest.approx(curve(later, **law), rel=1e-3)


def test_the_numbers_of_a_curve_are_recovered():
    steps = curve(np.arange(300), level=-3, by_log=0.5, by_age=-0.02)
    tail = fit_tail(steps, n_at_risk=np.full(300, 500))
    assert tail[:3] == pytest.approx((-3, 0.5, -0.02), rel=1e-6)


def test_a_constant_rate_goes_on():
    tail = fit_tail(np.full(50, 0.02), n_at_risk=np.full(50, 100))
    assert tail_rate(tail, [50, 500, 5000]) == pytest.approx([0.02] * 3, rel=1e-6)


def expected_purchases(days, *, r, alpha, a, b):
    """Return repeat purchases of a new customer by BG/NBD [Fader, Hardie, Lee 2005]."""
    z = days / (alpha + days)
    still = (alpha / (alpha + days)) ** r * hyp2f1(r, b, a + b - 1, z)
    return (a + b - 1) / (a - 1) * (1 - still)


@pytest.mark.parametrize("n_days", [180, 360, 700])
@pytest.mark.parametrize(
    "law",
    [
        {"r": 0.8, "alpha": 40, "a": 0.6, "b": 4},
        {"r": 0.243, "alpha": 30.9, "a": 0.793, "b": 2.426},  # CDNOW, in days
        {"r": 2, "alpha": 60, "a": 0.2, "b": 6},
        {"r": 0.8, "alpha": 40, "a": 0.6, "b": 1},
    ],
    ids=["shop", "cdnow", "loyal", "leaving"],
)
def test_purchases_of_buy_till_you_die_customers(n_days, law):
    total = expected_purchases(np.arange(2 * n_days + 1.0), **law)
    people = np.linspace(3000, 30, n_days)
    tail = fit_tail(np.diff(total)[:n_days], n_at_risk=people)
    found = tail_rate(tail, np.arange(n_days, 2 * n_days)).sum()
    assert found == pytest.approx(total[-1] - total[n_days], rel=0.06)


def assert_never_rises(tail, n_ages):
    """Assert that a rate is finite and does not rise from the last age on."""
    later = tail_rate(tail, np.arange(n_ages - 1, n_ages + 3000))
    assert np.isfinite(later).all()
    assert (later >= 0).all()
    assert (later[1:] <= later[:-1] * (1 + 1e-12)).all()


def test_a_fall_that_levels_out_does_not_turn_upwards():
    # An exponential on top of a constant: a power falls fast first, and an exponential
    # that rises would straighten it. Three months later it would be ten times as high.
    age = np.arange(181)
    rate = 0.05 * np.exp(-age / 30) + 0.005
    tail = fit_tail(rate, n_at_risk=np.linspace(5000, 30, 181))
    assert_never_rises(tail, 181)
    # What a constant would be at most, and a third of it at least.
    later = tail_rate(tail, np.arange(181, 361)).sum()
    assert 0.3 * 180 * 0.005 < later < 1.05 * 180 * 0.005


@given(st.integers(4, 90), st.integers(0, 10_000), st.floats(3, 300), st.floats(0, 1))
def test_noise_never_makes_it_rise(n_ages, seed, scale, floor):
    rng = np.random.default_rng(seed)
    people = np.sort(rng.integers(30, 1000, n_ages))[::-1]
    rate = 0.03 * (np.exp(-np.arange(n_ages) / scale) + floor)
    steps = rng.poisson(rate * people) / people
    assert_never_rises(fit_tail(steps, n_at_risk=people), n_ages)


@given(st.integers(4, 60), st.data())
def test_one_lonely_event(n_ages, data):
    steps = np.zeros(n_ages)
    steps[data.draw(st.integers(0, n_ages - 1))] = 1 / 30
    assert_never_rises(fit_tail(steps, n_at_risk=np.full(n_ages, 30)), n_ages)


def test_a_rise_becomes_a_constant():
    # Ever more events: the mean of the ages 5 to 19 goes on: (6 + ... + 20) / 15 = 13.
    tail = fit_tail(np.arange(1.0, 21), n_at_risk=np.ones(20))
    assert (tail.by_log, tail.by_age) == (0, 0)
    assert tail_rate(tail, [20, 99]) == pytest.approx([13, 13])


def test_the_constant_weighs_ages_by_people():
    # Age 1 to 3 (the first quarter is left out): 30 events of 30, 20 of 10, 40 of 10.
    tail = fit_tail([9, 1, 2, 4], n_at_risk=[40, 30, 10, 10])
    assert tail_rate(tail, [4])[0] == pytest.approx((30 + 20 + 40) / 50)


def test_where_nothing_happened_nothing_follows():
    tail = fit_tail([3.0, 0, 0, 0], n_at_risk=[9, 9, 9, 9])
    assert tail == Tail(-np.inf, 0, 0, 1)
    assert tail_rate(tail, [4, 400]).tolist() == [0, 0]


@given(st.floats(0.01, 100), st.integers(0, 10_000))
def test_rates_times_k_are_rates_times_k(k, seed):
    rng = np.random.default_rng(seed)
    steps = rng.gamma(1, np.exp(-np.arange(60) / 20))
    people = np.arange(90, 30, -1)
    one, more = (fit_tail(steps * c, n_at_risk=people) for c in (1, k))
    later = np.arange(60, 120)
    assert tail_rate(more, later) == pytest.approx(tail_rate(one, later) * k, rel=1e-3)
