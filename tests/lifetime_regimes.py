"""Customer bases that are hard to fit, and a search that leaves no maximum out."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from selfloop.kernels.purchase_fit import typical_sizes
from selfloop.kernels.purchase_model import PurchaseModel
from selfloop.kernels.purchase_models import purchase_model
from selfloop.kernels.rows import distinct_rows

LOG_BOUND = 14.0
"""Parameters are searched within exp(-14)..exp(14) times their typical size."""

DAY = 86_400.0


class Customers(NamedTuple):
    """Customers of a regime; discrete ones are counted in opportunities."""

    x: np.ndarray
    recency: np.ndarray
    age: np.ndarray


class End(NamedTuple):
    """Where a search has ended."""

    log_likelihood: float
    params: np.ndarray


def _until(rate, end, rng):
    """Return purchases at steady rates until an end, and the time of the last one."""
    x = rng.poisson(rate * end)
    last = np.where(x > 0, end * rng.beta(np.maximum(x, 1), 1.0), 0.0)
    return x, last


def _bg(n, rng, truth, *, period, arrivals=0.9):
    """Draw from BG/NBD r, alpha, a, b; people come over a share of a period."""
    r, alpha, a, b = truth
    age = np.ceil(period * (1 - arrivals * rng.random(n)))
    rate = rng.gamma(r, 1 / alpha, n)
    leaves = np.maximum(rng.beta(a, b, n), 1e-12)
    wanted = rng.poisson(rate * age)
    x = np.minimum(wanted, rng.geometric(leaves))
    share = rng.beta(np.maximum(x, 1), wanted + 1.0 - x)
    return Customers(x, np.where(x > 0, np.floor(age * share), 0.0), age)


def _pareto(n, rng, truth, *, period):
    """Draw from Pareto/NBD r, alpha, s, beta."""
    r, alpha, s, beta = truth
    age = np.ceil(period * (1 - 0.9 * rng.random(n)))
    life = rng.exponential(size=n) / rng.gamma(s, 1 / beta, n)
    x, last = _until(rng.gamma(r, 1 / alpha, n), np.minimum(life, age), rng)
    return Customers(x, np.floor(last), age)


def _pareto_truth(n, rng):
    """Draw what estimates of Pareto/NBD of the CDNOW sample describe."""
    return _pareto(n, rng, (0.55, 74, 0.61, 82), period=273)


def _no_dropout(n, rng):
    """Nobody ever leaves."""
    age = np.ceil(700 * (1 - 0.9 * rng.random(n)))
    x, last = _until(rng.gamma(0.9, 1 / 50, n), age, rng)
    return Customers(x, np.floor(last), age)


def _cdnow_like(n, rng):
    """Draw what the estimates of the CDNOW sample describe: 39 weeks, 12 to come."""
    return _bg(n, rng, (0.243, 30.9, 0.793, 2.426), period=273, arrivals=0.31)


def _whale(n, rng):
    """Let one customer come 2,500 times, and the others as at CDNOW."""
    customers = _cdnow_like(n - 1, rng)
    one = (2500, 272.0, 273.0)
    return Customers(*(np.append(a, b) for a, b in zip(customers, one, strict=True)))


def _huge_counts(n, rng):
    """Rates over three decades, x up to 5,000."""
    age = np.ceil(700 * (1 - 0.9 * rng.random(n)))
    life = np.where(rng.random(n) < 0.4, age * rng.random(n), age)
    x, last = _until(np.exp(rng.normal(-1.0, 2.0, n)), life, rng)
    return Customers(np.minimum(x, 5000), np.floor(last), age)


def _regulars(n, rng):
    """Keep those who came again five times or more."""
    many = _bg(20 * n, rng, (0.9, 49, 0.6, 3.6), period=728)
    return Customers(*(column[many.x >= 5][:n] for column in many))


def _one_day(n, rng):
    """Let all come on the same day."""
    return _bg(n, rng, (0.9, 49, 0.6, 3.6), period=273, arrivals=0.0)


def _up_to_the_end(n, rng):
    """Everybody who came again did so on the last day."""
    customers = _bg(n, rng, (0.9, 49, 0.6, 3.6), period=728)
    return customers._replace(recency=np.where(customers.x > 0, customers.age, 0.0))


def _in_seconds(n, rng):
    """Heavy buyers, with times in seconds."""
    days = _heavy_buyers(n, rng)
    return Customers(days.x, days.recency * DAY, days.age * DAY)


def _heavy_buyers(n, rng):
    """Days between purchases, up to 500 days of age."""
    return _bg(n, rng, (1.2, 5.0, 0.4, 25.0), period=500)


def _typical(n, rng):
    """Weeks between purchases, two years."""
    return _bg(n, rng, (0.9, 49, 0.6, 3.6), period=728)


REGIMES: dict[str, Callable[[int, np.random.Generator], Customers]] = {
    "CDNOW-like": _cdnow_like,
    "heavy buyers": _heavy_buyers,
    "in seconds": _in_seconds,
    "n = 30": lambda _, rng: _typical(30, rng),
    "n = 200": lambda _, rng: _cdnow_like(200, rng),
    "no dropout": _no_dropout,
    "Pareto/NBD truth": lambda n, rng: _pareto(
        n, rng, (0.55, 74, 0.61, 82), period=273
    ),
    "homogeneous": lambda n, rng: _bg(n, rng, (50, 1500, 0.6, 3.6), period=728),
    "one-time buyers": lambda n, rng: _bg(n, rng, (0.05, 49, 0.6, 3.6), period=728),
    "ten years": lambda n, rng: _bg(n, rng, (0.9, 49, 0.6, 3.6), period=3652),
    "twenty years": lambda n, rng: _bg(n, rng, (0.5, 90, 0.4, 6.0), period=7305),
    "heavy dropout": lambda n, rng: _bg(n, rng, (0.9, 49, 6.0, 2.0), period=728),
    "one whale": _whale,
    "up to 5,000 purchases": _huge_counts,
    "at least 5 purchases": _regulars,
    "tiny alpha": lambda n, rng: _bg(n, rng, (0.1, 0.01, 0.8, 2.4), period=273),
    "one day of entry": _one_day,
    "up to the end": _up_to_the_end,
}
"""Regimes in days, unless they say otherwise."""


def _bg_bb(n, rng, truth, *, period, is_staggered=True):
    """Draw from BG/BB alpha, beta, gamma, delta."""
    age = rng.integers(1, period + 1, n) if is_staggered else np.full(n, period)
    buys = rng.beta(*truth[:2], n)
    life = rng.geometric(np.maximum(rng.beta(*truth[2:], n), 1e-12)) - 1
    when = np.arange(1, period + 1)
    bought = rng.random((n, period)) < buys[:, None]
    bought &= (when <= life[:, None]) & (when <= age[:, None])
    last = np.where(bought, when, 0).max(axis=1)
    return Customers(bought.sum(axis=1), last * 1.0, age * 1.0)


DISCRETE: dict[str, Callable[[int, np.random.Generator], Customers]] = {
    "donors": lambda n, rng: _bg_bb(
        n, rng, (1.204, 0.75, 0.657, 2.783), period=6, is_staggered=False
    ),
    "thirty donors": lambda _, rng: _bg_bb(30, rng, (1.2, 0.75, 0.66, 2.8), period=6),
    "no dropout, yearly": lambda n, rng: _bg_bb(n, rng, (1, 2, 1e-9, 1), period=10),
    "heavy dropout, yearly": lambda n, rng: _bg_bb(n, rng, (1, 1, 6, 2), period=10),
    "homogeneous, yearly": lambda n, rng: _bg_bb(n, rng, (60, 90, 30, 200), period=10),
    "rare purchases": lambda n, rng: _bg_bb(n, rng, (0.05, 2, 1, 5), period=12),
    "weekly": lambda n, rng: _bg_bb(n, rng, (0.5, 5, 0.5, 30), period=100),
}
"""Regimes in opportunities to buy, for BG/BB."""


def customers_of(name: str, n: int, *, seed: int | None = None) -> Customers:
    """Return n customers of a regime, always the same ones for a seed."""
    names = [*REGIMES, *DISCRETE]
    entropy = [names.index(name), 2026] if seed is None else [seed, n]
    return (REGIMES | DISCRETE)[name](n, np.random.default_rng(entropy))


def model_of(name: str, customers: Customers) -> PurchaseModel:
    """Return a model; people may leave at a tenth of the longest age in PDO."""
    if name == "pdo":
        return purchase_model("pdo", tau=float(customers.age.max()) / 10)
    if name.endswith("cnbd_k"):
        return purchase_model(name, k=2)
    return purchase_model(name)


def rows_of(customers: Customers):
    """Return the distinct rows of customers."""
    return distinct_rows([np.asarray(column, dtype=float) for column in customers])


def theta_of(model: PurchaseModel, customers: Customers, params) -> np.ndarray:
    """Return parameters as the logs that are searched."""
    return np.log(np.asarray(params) / typical_sizes(model, rows_of(customers)))


def log_likelihood(model: PurchaseModel, customers: Customers, params) -> float:
    """Return the log-likelihood of any parameters, -inf where there is none."""
    with np.errstate(all="ignore"):  # other packages may end anywhere
        value, _ = model.objective(rows_of(customers))(np.asarray(params, dtype=float))
    return value if np.isfinite(value) else -np.inf


def dense_search(
    model: PurchaseModel, customers: Customers, *, n_starts: int, seed: int = 0
) -> list[End]:
    """Return where L-BFGS-B ends from random starts, the best end first.

    Starts are spread in logs around 1, and times around a thirtieth of the longest age.
    """
    rows = rows_of(customers)
    typical = typical_sizes(model, rows)
    objective = model.objective(rows)

    def loss(theta):
        """Return minus the mean log-likelihood and its gradient by theta."""
        params = typical * np.exp(theta)
        value, gradient = objective(params)
        return -value / rows.n_people, -gradient * params / rows.n_people

    rng = np.random.default_rng(seed)
    centre = np.array(
        [-3.4 if name in model.times else 0.0 for name in model.parameters]
    )
    ends = []
    with threadpool_limits(1, user_api="blas"):  # for thousands of tiny calls
        for _ in range(n_starts):
            found = minimize(
                loss,
                centre + rng.normal(0, 2.5, centre.size),
                jac=True,
                method="L-BFGS-B",
                bounds=[(-LOG_BOUND, LOG_BOUND)] * centre.size,
                options={"ftol": 1e-14, "gtol": 1e-8, "maxiter": 500},
            )
            params = typical * np.exp(found.x)
            ends.append(End(objective(params)[0], params))
    return sorted(ends, key=lambda end: -end.log_likelihood)
