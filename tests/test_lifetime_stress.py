"""Customer bases that are hard to fit: no failure, and no maximum is missed.

`benchmarks/stress.py` prints the same with more customers, and lifetimes beside it.
"""

import functools
import warnings

import numpy as np
import pytest
from lifetime_regimes import (
    DISCRETE,
    LOG_BOUND,
    REGIMES,
    customers_of,
    dense_search,
    log_likelihood,
    model_of,
    theta_of,
)

from selfloop.core.errors import FitError
from selfloop.kernels import bg_bb, mbg_nbd
from selfloop.kernels.purchase_fit import fit_purchases

N_CUSTOMERS = 150
MODELS = ("bg_nbd", "mbg_nbd", "pareto_nbd", "bg_cnbd_k", "mbg_cnbd_k", "nbd", "pdo")
CASES = [
    *((model, name) for model in MODELS for name in REGIMES),
    *(("bg_bb", name) for name in DISCRETE),
]
N_STARTS = 10
N_STARTS_PARETO = 6  # it takes ten times as long
WORSE = 1e-4

every_case = pytest.mark.parametrize(
    ("name", "regime"), CASES, ids=[f"{m}-{r}".replace(" ", "_") for m, r in CASES]
)


@functools.cache
def fitted(name, regime, n=N_CUSTOMERS, seed=None):
    """A model, the customers of a regime and the fit."""
    customers = customers_of(regime, n, seed=seed)
    model = model_of(name, customers)
    fit = fit_purchases(
        model, customers.x, recency=customers.recency, age=customers.age
    )
    return model, customers, fit


@every_case
def test_no_maximum_is_missed_and_what_is_unknown_is_said(name, regime):
    model, customers, fit = fitted(name, regime)
    ends = dense_search(
        model,
        customers,
        n_starts=N_STARTS_PARETO if name == "pareto_nbd" else N_STARTS,
    )
    best = ends[0].log_likelihood
    assert fit.log_likelihood >= best - WORSE, ends[0].params
    ours = log_likelihood(model, customers, fit.estimates)
    assert fit.log_likelihood == pytest.approx(ours, abs=1e-9 * abs(ours))

    # On a bound is flagged, and so is a ridge: where the log-likelihood is as high
    # as ours, parameters that are not flagged are the same.
    theta = theta_of(model, customers, fit.estimates)
    is_flagged = np.isin(model.parameters, fit.at_bound)
    assert is_flagged[np.abs(theta) > LOG_BOUND - 1e-3].all()
    for end in ends:
        if end.log_likelihood > best - WORSE:
            apart = np.abs(theta_of(model, customers, end.params) - theta)
            assert (apart[~is_flagged] < 2).all(), end.params
    # Standard errors are given when, and only when, everything is known.
    assert (fit.covariance is None) == bool(fit.at_bound)
    if fit.covariance is not None:
        assert (np.linalg.eigvalsh(fit.covariance) > 0).all()


@pytest.mark.parametrize(
    ("name", "regime", "n", "seed"),
    [
        ("bg_nbd", "no dropout", 250, 3),
        ("bg_nbd", "no dropout", 250, 11),
        ("bg_nbd", "one-time buyers", 30, 5),
        ("bg_nbd", "one whale", 30, 2),
        ("mbg_nbd", "no dropout", 30, 8),
        ("mbg_nbd", "no dropout", 250, 7),
        ("mbg_nbd", "no dropout", 250, 9),
        ("mbg_nbd", "one-time buyers", 30, 8),
        ("mbg_nbd", "one whale", 30, 2),
        ("mbg_nbd", "one whale", 30, 3),
        ("mbg_nbd", "one whale", 30, 4),
        ("mbg_nbd", "up to the end", 30, 7),
        ("mbg_cnbd_k", "one whale", 30, 2),
        ("mbg_cnbd_k", "Pareto/NBD truth", 30, 9),
        ("pareto_nbd", "CDNOW-like", 30, 1),
        ("pareto_nbd", "no dropout", 200, 0),
        ("pareto_nbd", "one-time buyers", 200, 1),
        ("pareto_nbd", "one whale", 30, 1),
        ("pdo", "CDNOW-like", 30, 1),
        ("bg_bb", "no dropout, yearly", 30, 4),
        ("bg_bb", "homogeneous, yearly", 200, 8),
        ("bg_bb", "rare purchases", 200, 3),
        ("bg_bb", "thirty donors", 200, 11),
    ],
)
def test_the_best_of_several_maxima_is_found(name, regime, n, seed):
    # "Some leave at once and others never" beside "nobody leaves", or "all are alike"
    # beside "one differs": a search from the usual starts alone ends in the worse.
    model, customers, fit = fitted(name, regime, n, seed)
    ends = dense_search(model, customers, n_starts=N_STARTS)
    best, worst = ends[0].log_likelihood, ends[-1].log_likelihood
    assert worst < best - WORSE
    assert fit.log_likelihood >= best - WORSE, ends[0].params


@every_case
def test_predictions_are_finite_wherever_the_fit_ends(name, regime):
    model, customers, fit = fitted(name, regime)
    params = fit.estimates.tolist()
    past = {"x": customers.x, "recency": customers.recency, "age": customers.age}
    horizon = float(customers.age.max())
    alive = model.p_alive(params, **past)
    assert ((alive >= 0) & (alive <= 1)).all()
    expected = model.expected_if_alive(params, **past, horizon=horizon)
    assert np.isfinite(expected).all()
    assert (expected >= 0).all()
    for n in (0, 1, 7):
        chance = model.pmf_if_alive(params, n=n, **past, horizon=horizon)
        assert ((chance >= 0) & (chance <= 1)).all()
    assert 0 <= float(model.expected_new(params, horizon)) < np.inf


def test_the_unit_of_time_changes_nothing_else():
    _, days, by_day = fitted("mbg_nbd", "heavy buyers")
    seconds = fit_purchases(
        mbg_nbd.MODEL, days.x, recency=days.recency * 86_400, age=days.age * 86_400
    )
    unit = np.array([1, 86_400, 1, 1])
    np.testing.assert_allclose(seconds.estimates, by_day.estimates * unit, rtol=1e-6)
    shift = days.x.sum() * np.log(86_400)
    assert seconds.log_likelihood == pytest.approx(by_day.log_likelihood - shift)


LIFETIMES = {
    "bg_nbd": "BetaGeoFitter",
    "mbg_nbd": "ModifiedBetaGeoFitter",
    "pareto_nbd": "ParetoNBDFitter",
}


@pytest.mark.parametrize(
    ("name", "regime"),
    [
        *((name, "CDNOW-like") for name in LIFETIMES),
        *((name, "Pareto/NBD truth") for name in LIFETIMES),
        *((name, "one whale") for name in LIFETIMES),
        ("bg_nbd", "ten years"),
        ("mbg_nbd", "n = 200"),
        ("mbg_nbd", "heavy buyers"),
        ("bg_nbd", "heavy dropout"),
    ],
)
def test_lifetimes_ends_no_higher(name, regime):
    model, customers, fit = fitted(name, regime)
    with warnings.catch_warnings():  # the package warns, and silences warnings
        warnings.simplefilter("ignore")
        import lifetimes  # noqa: PLC0415 - must not leak filters

        np.random.seed(0)  # noqa: NPY002 - the start of its Pareto/NBD
        fitter = getattr(lifetimes, LIFETIMES[name])().fit(*customers)
    params = [fitter.params_[key] for key in model.parameters]
    theirs = log_likelihood(model, customers, params)
    assert np.isfinite(theirs)
    assert fit.log_likelihood >= theirs - WORSE


@pytest.mark.parametrize(
    ("x", "recency", "age", "reason"),
    [
        ([0] * 9, [0.0] * 9, np.arange(1.0, 10), "none of the 9 .* a second time"),
        ([3], [20.0], [30.0], "all 1 customers are the same"),
        ([2] * 50, [20.0] * 50, [30.0] * 50, "all 50 customers are the same"),
        ([0, 1], [0.0, 0.0], [0.0, 0.0], "first bought at the very end"),
        ([0, 1, 2], [0.0, 3.0, 9.0], [10.0] * 3, "3 customers are fewer than the 4"),
        ([1, 2] * 5, [12.0, 3.0] * 5, [10.0] * 10, "5 of 10 customers are impossible"),
    ],
)
def test_what_cannot_be_identified_is_refused_with_the_reason(x, recency, age, reason):
    with pytest.raises(FitError, match=reason):
        fit_purchases(mbg_nbd.MODEL, x, recency=recency, age=age)


def test_more_purchases_than_opportunities_are_refused():
    with pytest.raises(FitError, match="1 of 6 customers are impossible"):
        fit_purchases(
            bg_bb.MODEL,
            [0, 1, 2, 3, 4, 5],
            recency=[0, 1, 2, 3, 4, 4],
            age=[6, 6, 6, 6, 6, 6],
        )
