"""The log-rank test: scipy, by hand, its level, what cannot be told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from selfloop.kernels.log_rank import log_rank
from selfloop.kernels.survival import kaplan_meier


def draw(rng, n, mean=40.0):
    """Draw whole days to an event that three in ten never have, and who had it."""
    when = np.where(rng.random(n) < 0.7, rng.exponential(mean, n), np.inf)
    followup = rng.integers(0, 200, n)
    had_it = when <= followup
    return np.where(had_it, np.floor(when), followup).astype(int), had_it


def curve(day, had_it):
    """Return the curve of people."""
    size = int(day.max()) + 1
    return kaplan_meier(
        np.bincount(day[had_it], minlength=size),
        np.bincount(day[~had_it], minlength=size),
    )


@given(st.integers(0, 100_000), st.integers(3, 80), st.integers(3, 80))
def test_it_is_that_of_scipy(seed, n, m):
    rng = np.random.default_rng(seed)
    groups = [draw(rng, n), draw(rng, m)]
    ours = log_rank(*(curve(*group) for group in groups))
    if not any(had_it.any() for _, had_it in groups) or np.isnan(ours.p_value):
        assert np.isnan(ours.p_value)
        return
    theirs = stats.logrank(*(
        stats.CensoredData(uncensored=day[had_it], right=day[~had_it])
        for day, had_it in groups
    ))  # fmt: skip
    assert ours.chi_square == pytest.approx(theirs.statistic**2, rel=1e-9)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-9)


def test_by_hand():
    # Day 0: 1 of the 2 of the first and none of the 2 of the second, of 4; the first
    # has the event, expected 1/2, variance 1/2 1/2. Day 1: one of 1 and 2; the second
    # has it, the first was expected to have 1/3, variance 1/3 2/3.
    first = kaplan_meier(np.array([1, 0]), np.array([0, 1]))
    second = kaplan_meier(np.array([0, 1]), np.array([0, 1]))
    gap, variance = 1 - 1 / 2 - 1 / 3, 1 / 4 + 2 / 9
    assert log_rank(first, second).chi_square == pytest.approx(gap**2 / variance)
    assert log_rank(second, first) == pytest.approx(log_rank(first, second))


def test_without_an_event_or_a_group_nothing_can_be_told():
    nobody = kaplan_meier(np.zeros(3, dtype=int), np.zeros(3, dtype=int))
    quiet = kaplan_meier(np.zeros(3, dtype=int), np.array([0, 1, 5]))
    busy = kaplan_meier(np.array([1, 1, 0]), np.array([0, 1, 5]))
    for pair in ((nobody, busy), (busy, nobody), (quiet, quiet)):
        assert np.isnan(log_rank(*pair).p_value)
    assert 0 < log_rank(quiet, busy).p_value <= 1


def test_equal_groups_are_called_different_in_one_of_twenty():
    rng = np.random.default_rng(5)
    p = [log_rank(*(curve(*draw(rng, 150)) for _ in "ab")).p_value for _ in range(1000)]
    assert 0.035 < np.mean(np.array(p) < 0.05) < 0.07
