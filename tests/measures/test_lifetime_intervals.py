"""Intervals of predictions: how often they hold what happens, laws, and bad input."""

from types import SimpleNamespace

import numpy as np
import pytest

from selfloop.kernels import gamma_gamma
from selfloop.kernels.gamma_gamma import GammaGamma, expected_spend
from selfloop.kernels.purchase_fit import fit_purchases
from selfloop.kernels.purchase_models import purchase_model
from selfloop.measures.lifetime.flow import Histories, cut_horizon
from selfloop.measures.lifetime.forecast import Forecast, Part, totals
from selfloop.measures.lifetime.population import Triples

TAU = 20.0
HORIZON = 150.0
TRUE = {
    "bg_nbd": (0.9, 25.0, 0.8, 2.5),
    "mbg_nbd": (0.9, 25.0, 0.8, 2.5),
    "pareto_nbd": (0.9, 25.0, 1.2, 150.0),
    "nbd": (0.9, 25.0),
    "pdo": (0.9, 25.0, 0.6, 6.0),
}
SPEND = GammaGamma(6.0, 4.0, 40.0)


def kernel(name):
    return purchase_model(name, tau=TAU if name == "pdo" else None)


# Customers whose future is drawn with their past ---------------------------------


def drawn(name, n, rng):
    """Draw customers: x, t_x, T, repeat value; and what they do after T."""
    params = TRUE[name]
    age = rng.uniform(20, 300, n)
    rate = rng.gamma(params[0], 1 / params[1], n)
    if name in ("bg_nbd", "mbg_nbd"):
        leaves = np.maximum(rng.beta(*params[2:], n), 1e-12)
        most = rng.geometric(leaves) - (name == "mbg_nbd")
        wanted, wanted_later = rng.poisson(rate * age), rng.poisson(rate * HORIZON)
        x = np.minimum(wanted, most)
        later = np.minimum(wanted + wanted_later, most) - x
        # The x-th of so many uniform times.
        last = age * rng.beta(np.maximum(x, 1), np.maximum(wanted - x, 0) + 1)
    else:
        until = np.full(n, np.inf)
        if name == "pareto_nbd":
            until = rng.exponential(1, n) / rng.gamma(params[2], 1 / params[3], n)
        elif name == "pdo":
            until = TAU * rng.geometric(np.maximum(rng.beta(*params[2:], n), 1e-12))
        x = rng.poisson(rate * np.minimum(until, age))
        rest = np.clip(until - age, 0, HORIZON)
        later = rng.poisson(rate * rest)
        last = np.minimum(until, age) * rng.beta(np.maximum(x, 1), 1)
    nu = rng.gamma(SPEND.q, 1 / SPEND.v, n)
    spent = np.where(x > 0, rng.gamma(SPEND.p * np.maximum(x, 1)) / nu, 0.0)
    value = np.where(later > 0, rng.gamma(SPEND.p * np.maximum(later, 1)) / nu, 0.0)
    rows = Histories(x * 1.0, np.where(x > 0, last, 0.0), age)
    return rows, spent, later, value


def predicted(name, rows, spent, *, rate=0.0):
    """Fit both models and add up what is to come; None where there are no errors."""
    model = kernel(name)
    x, recency, age = rows
    fit = fit_purchases(model, x, recency=recency, age=age)
    money = gamma_gamma.fit(x[x > 0], total=spent[x > 0])
    if fit.covariance is None or money.covariance is None:
        return None
    forecast = Forecast(
        kernel=model,
        purchases=Part(fit.estimates, fit.covariance, (), fit.estimates.size),
        spend=Part(money.estimates, money.covariance, (), 3),
        unit_days=1.0,
        cut=cut_horizon(model, 1.0, HORIZON, rate),
        money_factor=1.0,
    )
    n = x.size
    triples = Triples(
        x + 1, recency, age, np.ones(n), spent, spent**2, np.empty((n, 0))
    )
    return totals(forecast, SimpleNamespace(triples=triples))


def expectation(name, rows, spent):
    """Return the expected purchases and value of all, with the true parameters."""
    model, params = kernel(name), TRUE[name]
    x, recency, age = rows
    history = {"x": x, "recency": recency, "age": age}
    mean = model.p_alive(params, **history)
    mean = mean * model.expected_if_alive(params, **history, horizon=HORIZON)
    worth = expected_spend(SPEND, x=x, total=spent)
    return float(mean.sum()), float((mean * worth).sum())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n", "n_sets"),
    [
        ("mbg_nbd", 500, 240), ("pareto_nbd", 300, 220), ("bg_nbd", 500, 240),
        ("nbd", 300, 240), ("pdo", 400, 220),
    ],
)  # fmt: skip
def test_totals_hold_what_happens_and_what_is_expected(name, n, n_sets):
    rng = np.random.default_rng(20)
    inside = {"happens": [], "mean": []}
    for _ in range(n_sets):
        rows, spent, later, value = drawn(name, n, rng)
        found = predicted(name, rows, spent)
        if found is None:
            continue
        true = expectation(name, rows, spent)
        inside["happens"].append([
            total.actual.low <= happened <= total.actual.high
            for total, happened in zip(found, (later.sum(), value.sum()), strict=True)
        ])  # fmt: skip
        inside["mean"].append([
            total.mean.low <= expected <= total.mean.high
            for total, expected in zip(found, true, strict=True)
        ])  # fmt: skip
    assert len(inside["mean"]) >= max(200, 0.9 * n_sets)
    for what, sets in inside.items():
        covered = np.mean(sets, axis=0)
        print(name, what, covered, len(sets))
        assert ((covered >= 0.92) & (covered <= 0.98)).all(), (what, covered)
