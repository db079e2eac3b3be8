"""How few and how many purchases, and how much money, are likely from a customer."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from selfloop.kernels.fitting import FloatArray
from selfloop.kernels.gamma_gamma import GammaGamma, value_cdf
from selfloop.kernels.purchase_model import Params, PurchaseModel
from selfloop.measures.lifetime.flow import Histories

_TAIL = 1e-6  # probability of more purchases than a quantile of money looks at
_BLOCK = 1_000
_N_HALVINGS = 40


def count_quantiles(
    model: PurchaseModel,
    params: Params,
    rows: Histories,
    *,
    p_alive: FloatArray,
    horizon: float,
    levels: tuple[float, float],
) -> tuple[FloatArray, FloatArray]:
    """Say how few and how many purchases are likely, for each history.

    Parameters
    ----------
    model : PurchaseModel
        The model.
    params : sequence of float or ndarray
        Its parameters, for all or for each history.
    rows : Histories
        Distinct histories.
    p_alive : ndarray of float64, shape (n,)
        Probability of being alive.
    horizon : float
        Length of the horizon in the unit of the model.
    levels : tuple of float
        A lower and an upper level, between 0 and 1.

    Returns
    -------
    low, high : ndarray of float64, shape (n,)
        The least counts that are not exceeded with these probabilities.
    """
    found = np.full((2, rows.x.size), np.nan)
    for n, left, reached in _cumulated(
        model, params, rows, p_alive=p_alive, horizon=horizon, stop=levels[1]
    ):
        for i, level in enumerate(levels):
            hit = np.isnan(found[i, left]) & (reached >= level)
            found[i, left[hit]] = n
    return found[0], found[1]


def _cumulated(
    model: PurchaseModel,
    params: Params,
    rows: Histories,
    *,
    p_alive: FloatArray,
    horizon: float,
    stop: float,
) -> Iterator[tuple[int, npt.NDArray[np.int64], FloatArray]]:
    """Yield n, the histories still open, and their probability of at most n."""
    left = np.arange(rows.x.size)
    reached = np.zeros(rows.x.size)
    n = 0
    while left.size:
        own = [p if np.ndim(p) == 0 else np.asarray(p)[left] for p in params]
        mass = model.pmf_if_alive(
            own,
            n=n,
            x=rows.x[left],
            recency=rows.recency[left],
            age=rows.age[left],
            horizon=horizon,
        )
        reached[left] += p_alive[left] * mass + (n == 0) * (1 - p_alive[left])
        yield n, left, reached[left].copy()
        left = left[reached[left] < stop]
        n += 1


def value_quantiles(
    model: PurchaseModel,
    params: Params,
    rows: Histories,
    *,
    p_alive: FloatArray,
    horizon: float,
    spend: GammaGamma,
    levels: tuple[float, float],
) -> tuple[FloatArray, FloatArray]:
    """Say how little and how much money is likely, per unit of v + s.

    Parameters
    ----------
    model, params, rows, p_alive, horizon, levels
        As in `count_quantiles`.
    spend : GammaGamma
        Parameters of the spend model; v does not matter.

    Returns
    -------
    low, high : ndarray of float64, shape (n,)
        Quantiles of V / (v + s), where V is the value of all purchases within the
        horizon and s that of the repeat purchases so far.

    Notes
    -----
    Given n purchases V / (v + s) is BetaPrime(p n, q + p x); the quantile of their
    mixture over n is found by halving an interval in logs.
    """
    found = np.zeros((2, rows.x.size))
    for start in range(0, rows.x.size, _BLOCK):
        part = np.arange(start, min(start + _BLOCK, rows.x.size))
        block = Histories(*(c[part] for c in rows))
        own = [p if np.ndim(p) == 0 else np.asarray(p)[part] for p in params]
        upto = np.zeros((part.size, 0))
        for _, left, reached in _cumulated(
            model, own, block, p_alive=p_alive[part], horizon=horizon, stop=1 - _TAIL
        ):
            column = np.ones(part.size)
            column[left] = reached
            upto = np.column_stack([upto, column])
        mass = np.diff(upto, axis=1, prepend=0.0)
        for i, level in enumerate(levels):
            found[i, part] = _quantile(mass, block.x, spend, level)
    return found[0], found[1]


def _quantile(
    mass: FloatArray, x: FloatArray, spend: GammaGamma, level: float
) -> FloatArray:
    """Halve an interval of ln(V / (v + s)) until it is a point; 0 where V may be 0."""
    asked = np.flatnonzero(mass[:, 0] < level)
    result = np.zeros(x.size)
    if not asked.size:
        return result
    n = np.arange(1, mass.shape[1], dtype=np.float64)
    unit = GammaGamma(spend.p, spend.q, 1.0)
    low, high = np.full(asked.size, -40.0), np.full(asked.size, 40.0)
    for _ in range(_N_HALVINGS):
        middle = (low + high) / 2
        below = value_cdf(
            unit, np.exp(middle)[:, None], n=n, x=x[asked, None], total=0.0
        )
        reached = mass[asked, 0] + np.einsum("ij,ij->i", mass[asked, 1:], below)
        high = np.where(reached >= level, middle, high)
        low = np.where(reached >= level, low, middle)
    result[asked] = np.exp((low + high) / 2)
    return result
