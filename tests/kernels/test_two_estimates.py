"""Two estimates apart: Newcombe's case, normal case, laws, coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from selfloop.kernels.intervals import wilson
from selfloop.kernels.stratified import share_difference
from selfloop.kernels.two_estimates import Known, apart

NUMBER = st.floats(-1e6, 1e6)
REACH = st.floats(1e-6, 1e6)


def known_share(hits, n):
    """Return a share with Wilson's limits."""
    low, high = wilson(hits, n)
    return Known(hits / n, float(low), float(high))


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_with_limits_of_wilson_it_is_the_interval_of_newcombe(n, m, data):
    hits, others = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    ours = apart(known_share(hits, n), known_share(others, m))
    theirs = share_difference([n], [hits], n_second=[m], hits_second=[others])
    assert ours.low == pytest.approx(theirs.low, abs=1e-12)
    assert ours.high == pytest.approx(theirs.high, abs=1e-12)


def test_two_normal_estimates():
    z = stats.norm.ppf(0.975)
    found = apart(Known(7, 7 - 3 * z, 7 + 3 * z), Known(1, 1 - 4 * z, 1 + 4 * z))
    assert found.low == pytest.approx(6 - 5 * z)
    assert found.high == pytest.approx(6 + 5 * z)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(6 / 5))


@given(NUMBER, REACH, REACH, NUMBER, REACH, REACH)
def test_laws(a, a_down, a_up, b, b_down, b_up):
    first, second = Known(a, a - a_down, a + a_up), Known(b, b - b_down, b + b_up)
    there, back = apart(first, second), apart(second, first)
    assert there.low <= there.difference <= there.high
    assert there.difference == -back.difference
    assert there.low == pytest.approx(-back.high)
    assert there.p_value == pytest.approx(back.p_value)
    # The p value agrees with the interval, but at its very edge.
    if abs(there.p_value - 0.05) > 1e-6:
        assert (there.p_value < 0.05) == (there.low > 0 or there.high < 0)


def test_what_is_not_known_stays_missing():
    whole = Known(2.0, 1.0, 3.0)
    for part in (Known(1.0, math.nan, math.nan), Known(math.nan, 1.0, 2.0)):
        assert math.isnan(apart(whole, part).p_value)
    open_end = apart(Known(5.0, 4.0, math.inf), whole)
    assert math.isnan(open_end.high)
    assert open_end.low == pytest.approx(3 - 2**0.5)
    assert open_end.p_value < 0.05


def test_differences_of_skew_estimates_are_covered():
    # Two means of exponential samples with intervals from the chi-square law.
    rng, n, m = np.random.default_rng(2), 12, 30
    hits = []
    for _ in range(2000):
        pair = []
        for size, mean in ((n, 3.0), (m, 2.0)):
            total = rng.exponential(mean, size).sum()
            low, high = (
                2 * total / stats.chi2.ppf(q, 2 * size) for q in (0.975, 0.025)
            )
            pair.append(Known(total / size, low, high))
        found = apart(*pair)
        hits.append(found.low <= 1.0 <= found.high)
    assert 0.935 < np.mean(hits) < 0.965
