"""How few and how many purchases, and how much money, are likely from a customer."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from selfloop.kernels.gamma_gamma import GammaGamma, value_cdf
from selfloop.kernels.purchase_model import Params, PurchaseModel
from selfloop.kernels.rows import FloatArray
from selfloop.measures.lifetime.flow import Histories

_TAIL = 1e-6  # probability of more purchases than a quantile of money looks at
_BLOCK = 1_000
_NOTHING = 1e-9  # a count that is less probable does not move a quantile
_REACH = 40.0  # in logs: no quantile is further from v + s
_N_HALVINGS = 7  # to within 0.6 in logs
_N_SECANTS = 7


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
    mixture over n is found to about six digits.
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
    """Find where the mixture over counts reaches a level; 0 where V may be 0.

    An interval of ln(V / (v + s)) is halved a few times, then cut by the secant through
    its ends, with the weight of an end that stays halved (the Illinois rule).
    """
    result = np.zeros(x.size)
    asked = np.flatnonzero(mass[:, 0] < level)
    if not asked.size:
        return result
    row, n = np.nonzero(mass[asked, 1:] > _NOTHING)
    weight, n_purchases = mass[asked[row], n + 1], (n + 1).astype(np.float64)
    start = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
    history, unit = x[asked][row], GammaGamma(spend.p, spend.q, 1.0)

    def over(place: FloatArray) -> FloatArray:
        """Return the probability of no more than exp(place), less the level."""
        below = value_cdf(unit, np.exp(place)[row], n=n_purchases, x=history, total=0.0)
        upto: FloatArray = mass[asked, 0] + np.add.reduceat(weight * below, start)
        return upto - level

    low, high = np.full(asked.size, -_REACH), np.full(asked.size, _REACH)
    at_low, at_high = mass[asked, 0] - level, np.full(asked.size, 1 - level)
    for step in range(_N_HALVINGS + _N_SECANTS):
        cut = at_low / (at_low - at_high) if step >= _N_HALVINGS else 0.5
        middle = low + (high - low) * cut
        found = over(middle)
        reached = found >= 0
        # The end that stays weighs half, so that it cannot hold up the search.
        at_low = np.where(reached, at_low / (1 + (step >= _N_HALVINGS)), found)
        at_high = np.where(reached, found, at_high / (1 + (step >= _N_HALVINGS)))
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    result[asked] = np.exp(middle)
    return result
