"""Kaplan-Meier and its quantiles: statsmodels, by hand, coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.duration.survfunc import SurvfuncRight

from selfloop.kernels.quantiles import quantile_days, quantile_days_of_reached
from selfloop.kernels.survival import cif_at, kaplan_meier

Z = norm.ppf(0.975)


def draw(rng, n, *, ever=0.7, mean=40, watched=200):
    """Draw days to an event that some never have, and how long each was watched."""
    when = np.where(rng.random(n) < ever, rng.exponential(mean, n), np.inf)
    followup = rng.integers(0, watched, n)
    had_it = when <= followup
    return np.where(had_it, np.floor(when), followup).astype(int), had_it


def curve(day, had_it):
    """Return our curve of people."""
    size = int(day.max()) + 1
    return kaplan_meier(
        np.bincount(day[had_it], minlength=size),
        np.bincount(day[~had_it], minlength=size),
    )


@given(st.integers(0, 100_000), st.integers(2, 300))
def test_the_curve_and_its_interval_are_those_of_statsmodels(seed, n):
    day, had_it = draw(np.random.default_rng(seed), n)
    if not had_it.any():
        had_it[0] = True
    ours = curve(day, had_it)
    # Day 0 is no time for statsmodels: all days are moved by one.
    theirs = SurvfuncRight(day + 1, had_it.astype(int))
    at = cif_at(ours, theirs.surv_times.astype(int) - 1)
    np.testing.assert_allclose(at.cif, 1 - theirs.surv_prob, atol=1e-12)
    assert (at.n_at_risk == theirs.n_risk).all()
    inside = (theirs.surv_prob > 1e-12) & (theirs.surv_prob < 1 - 1e-12)
    survival = theirs.surv_prob[inside]
    reach = Z * theirs.surv_prob_se[inside] / (survival * np.log(survival))
    np.testing.assert_allclose(at.low[inside], 1 - survival ** np.exp(reach), 1e-9)
    np.testing.assert_allclose(at.high[inside], 1 - survival ** np.exp(-reach), 1e-9)


@given(st.integers(0, 100_000), st.sampled_from([0.1, 0.25, 0.5, 0.6]))
def test_quantiles_are_those_of_statsmodels(seed, share):
    day, had_it = draw(np.random.default_rng(seed), 150)
    ours = quantile_days(curve(day, had_it), share)
    theirs = SurvfuncRight(day + 1, had_it.astype(int))
    expected = theirs.quantile(share) - 1
    if np.isnan(expected):
        assert np.isnan(ours.days)
    else:
        # statsmodels takes the next time when the curve is exactly at the share.
        at = 1 - theirs.surv_prob[theirs.surv_times == ours.days + 1]
        assert ours.days == expected or at == pytest.approx(share, abs=1e-12)


def test_quantiles_by_hand():
    # Ten people, all watched to the end: 3 on day 2, 3 on day 5, 4 never.
    km = kaplan_meier(np.array([0, 0, 3, 0, 0, 3, 0]), np.array([0, 0, 0, 0, 0, 0, 4]))
    assert quantile_days(km, 0.3).days == 2
    assert quantile_days(km, 0.31).days == 5
    assert np.isnan(quantile_days(km, 0.7).days)
    # Of the six who had it, half had it by day 2.
    assert quantile_days_of_reached(km, 0.5, within=6).days == 2
    assert quantile_days_of_reached(km, 0.51, within=6).days == 5
    # Within 4 days only three had it, all on day 2.
    assert quantile_days_of_reached(km, 0.99, within=4).days == 2
    assert np.isnan(quantile_days_of_reached(km, 0.5, within=1).days)
    assert np.isnan(quantile_days_of_reached(km, 0.5, within=7).days)


@given(st.integers(0, 100_000), st.floats(0.05, 0.95))
def test_ends_are_in_order(seed, share):
    km = curve(*draw(np.random.default_rng(seed), 120))
    within = km.day.size - 1
    for found in (
        quantile_days(km, share), quantile_days_of_reached(km, share, within=within)
    ):  # fmt: skip
        if not np.isnan(found.days):
            assert found.low <= found.days
            assert np.isnan(found.high) or found.days <= found.high


@pytest.mark.parametrize(
    ("share", "truth"), [(0.25, 40 * np.log(0.7 / 0.45)), (0.5, 40 * np.log(0.7 / 0.2))]
)
def test_intervals_of_quantiles_cover(share, truth):
    hits = []
    for seed in range(400):
        found = quantile_days(curve(*draw(np.random.default_rng(seed), 300)), share)
        high = np.inf if np.isnan(found.high) else found.high
        # A day holds the events up to its end.
        hits.append(found.low <= np.floor(truth) <= high)
    assert 0.92 <= np.mean(hits) <= 0.985


def test_intervals_of_quantiles_of_those_who_come_cover():
    # Of those within 120 days: F(t) = (1 - exp(-t / 40)) / (1 - exp(-121 / 40)).
    ever = 1 - np.exp(-121 / 40)
    truth = np.floor(-40 * np.log(1 - 0.5 * ever))
    hits = []
    for seed in range(400):
        km = curve(*draw(np.random.default_rng(seed), 300))
        found = quantile_days_of_reached(km, 0.5, within=120)
        hits.append(found.low <= truth <= found.high)
    assert 0.92 <= np.mean(hits) <= 0.985
