"""Wilson intervals: by hand, against scipy, and their exact coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from selfloop.core.errors import SettingError
from selfloop.kernels.intervals import normal_quantile, wilson


def test_eight_of_ten_by_hand():
    # z = 1.959964, z^2 = 3.841459, p = 0.8, n = 10
    # centre = (0.8 + 3.841459 / 20) / (1 + 0.3841459) = 0.992073 / 1.384146 = 0.716740
    # half = 1.959964 / 1.384146 * sqrt(0.016 + 0.00960365) = 1.416010 * 0.160011
    #      = 0.226578
    low, high = wilson(8, 10)
    assert low == pytest.approx(0.716740 - 0.226578, abs=2e-6)
    assert high == pytest.approx(0.716740 + 0.226578, abs=2e-6)


def test_nobody_and_everybody_keep_a_width():
    z_squared = normal_quantile(0.95) ** 2
    low, high = wilson([0, 10], [10, 10])
    assert low[0] == 0.0
    assert high[0] == pytest.approx(z_squared / (10 + z_squared), rel=1e-12)
    assert low[1] == pytest.approx(10 / (10 + z_squared), rel=1e-12)
    assert high[1] == 1.0


def test_no_trials_is_missing():
    low, high = wilson([0, 1], [0, 4])
    assert np.isnan([low[0], high[0]]).all()
    assert not np.isnan([low[1], high[1]]).any()


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_equals_scipy(confidence):
    for n in (1, 2, 7, 50, 1000):
        for k in {0, 1, n // 3, n - 1, n}:
            low, high = wilson(k, n, confidence=confidence)
            oracle = binomtest(k, n).proportion_ci(confidence, method="wilson")
            assert (low, high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


@pytest.mark.parametrize(
    ("n", "p", "coverage"),
    # Brown, Cai and DasGupta's effect, as exact binomial sums for these n and p.
    [(20, 0.05, 0.925), (50, 0.01, 0.911), (50, 0.05, 0.962), (1000, 0.05, 0.950)],
)
def test_exact_coverage(n, p, coverage):
    k = np.arange(n + 1)
    low, high = wilson(k, np.full(n + 1, n))
    covers = (low <= p) & (p <= high)
    assert binom.pmf(k, n, p)[covers].sum() == pytest.approx(coverage, abs=5e-4)


@given(n=st.integers(1, 10**9), share=st.floats(0, 1))
def test_failures_mirror_successes(n, share):
    k = round(n * share)
    low, high = wilson(k, n)
    mirrored_low, mirrored_high = wilson(n - k, n)
    assert 0.0 <= low <= k / n <= high <= 1.0
    assert low == pytest.approx(1.0 - mirrored_high, abs=1e-12)
    assert high == pytest.approx(1.0 - mirrored_low, abs=1e-12)


def test_broadcasts():
    low, high = wilson(np.array([[1], [2]]), np.array([5, 10, 20]))
    assert low.shape == high.shape == (2, 3)
    assert low[1, 2] == wilson(2, 20)[0]


@pytest.mark.parametrize(("k", "n"), [(3, 2), (-1, 2), (1, 0)])
def test_impossible_counts_are_refused(k, n):
    with pytest.raises(ValueError, match="between 0 and the trials"):
        wilson(k, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, float("nan")])
def test_impossible_levels_are_refused(confidence):
    with pytest.raises(SettingError, match="between 0 and 1"):
        wilson(1, 2, confidence=confidence)
