"""Cutting and discounting of a horizon."""

import numpy as np
import pytest

from selfloop.kernels.horizon import steps, within


def test_without_discount_there_is_one_step():
    cut = steps(400)
    assert cut.ends_days.tolist() == [400]
    assert cut.factors.tolist() == [1]


def test_steps_by_hand():
    # Ends 30.4375, 60.875, 70; middles 15.21875, 45.65625, 65.4375 days.
    cut = steps(70, discount_rate=0.2)
    assert cut.ends_days.tolist() == [30.4375, 60.875, 70]
    middles = np.array([15.21875, 45.65625, 65.4375])
    np.testing.assert_allclose(cut.factors, 1.2 ** (-middles / 365.25), rtol=1e-14)


def test_a_year_has_twelve_steps():
    assert steps(365.25, discount_rate=0.1).ends_days.size == 12


def test_within_by_hand():
    # 1 a day for 70 days; each step is worth its length times its factor.
    cut = steps(70, discount_rate=0.2)
    plain, discounted = within(lambda days: np.array([days, 2 * days]), cut)
    value = float(np.array([30.4375, 30.4375, 9.125]) @ cut.factors)
    np.testing.assert_allclose(plain, [70, 140], rtol=1e-14)
    np.testing.assert_allclose(discounted, [value, 2 * value], rtol=1e-13)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
def test_steps_are_near_the_integral(rate):
    # Even flow over T years is worth (1 - e^-dT) / d with d = ln(1 + rate).
    _, discounted = within(np.atleast_1d, steps(3 * 365.25, discount_rate=rate))
    force = np.log1p(rate)
    exact = (1 - np.exp(-3 * force)) / force * 365.25
    assert discounted[0] == pytest.approx(exact, rel=force**2 / 24 / 144 * 1.1)


def test_more_discount_is_worth_less():
    values = [
        within(np.atleast_1d, steps(500, discount_rate=rate))[1][0]
        for rate in (0.0, 0.01, 0.1, 1.0, 10.0)
    ]
    assert values == sorted(values, reverse=True)
    assert values[0] == 500
