"""What is to come from each distinct history, under given parameters."""

import math
from typing import NamedTuple

import numpy as np

from selfloop.core.errors import SettingError
from selfloop.core.settings import check_number
from selfloop.kernels.gamma_gamma import GammaGamma, expected_spend
from selfloop.kernels.grid import distinct_pairs
from selfloop.kernels.horizon import MAX_DAYS, Steps, opportunities, steps, within
from selfloop.kernels.purchase_model import Params, PurchaseModel
from selfloop.kernels.rows import FloatArray
from selfloop.measures.lifetime.population import Triples

_N_DRAWS = 100_000  # at least so many simulated customers measure what chance does
_SEED = 0


class Histories(NamedTuple):
    """Distinct histories in the unit of time of a model.

    Parameters
    ----------
    x : ndarray of float64, shape (n,)
        Repeat purchases.
    recency, age : ndarray of float64, shape (n,)
        Age at the last purchase and at the end.
    """

    x: FloatArray
    recency: FloatArray
    age: FloatArray


class Flow(NamedTuple):
    """What is to come from each history within a horizon.

    Parameters
    ----------
    p_alive : ndarray of float64, shape (n,)
        Probability of being alive.
    if_alive : ndarray of float64, shape (n,)
        Purchases expected of those who are.
    discounted : ndarray of float64, shape (n,)
        The same purchases, each times what money at its time is worth today.
    """

    p_alive: FloatArray
    if_alive: FloatArray
    discounted: FloatArray


def histories(triples: Triples, unit_days: float) -> Histories:
    """Return distinct histories in a unit of time.

    Parameters
    ----------
    triples : Triples
        Distinct histories in days.
    unit_days : float
        Unit of time in days, above 0.

    Returns
    -------
    Histories
    """
    return Histories(
        triples.n_purchases - 1,
        triples.recency_days / unit_days,
        triples.age_days / unit_days,
    )


def cut_horizon(
    model: PurchaseModel, unit_days: float, horizon_days: float, discount_rate: float
) -> Steps:
    """Check a horizon and a rate, and cut the horizon into steps of discounting.

    Parameters
    ----------
    model : PurchaseModel
        What is to be expected within it.
    unit_days : float
        Unit of time of the model, in days.
    horizon_days : float
        Days to come, 1 to 36,525; of a discrete model the opportunities that end
        within them count.
    discount_rate : float
        Annual rate, 0 to 10.

    Returns
    -------
    Steps

    Raises
    ------
    SettingError
        When one is outside its range.
    """
    check_number("horizon_days", horizon_days, low=1, high=MAX_DAYS)
    check_number("discount_rate", discount_rate, low=0, high=10)
    if not model.is_discrete:
        return steps(horizon_days, discount_rate=discount_rate)
    n = math.floor(horizon_days / unit_days + 1e-9)
    if n < 1:
        raise SettingError(
            f"horizon_days must reach the end of an opportunity of {model.label}, "
            f"{unit_days:g} days; got {horizon_days:g}"
        )
    return opportunities(n, unit_days, discount_rate=discount_rate)


def flow(
    model: PurchaseModel,
    params: Params,
    rows: Histories,
    *,
    unit_days: float,
    cut: Steps,
) -> Flow:
    """Say what is to come from each history.

    Parameters
    ----------
    model : PurchaseModel
        The model.
    params : sequence of float or ndarray
        Its parameters, for all or for each history.
    rows : Histories
        Distinct histories.
    unit_days : float
        Unit of time of the model, in days.
    cut : Steps
        The horizon.

    Returns
    -------
    Flow
    """
    x, recency, age = rows
    alive = model.p_alive(params, x=x, recency=recency, age=age)
    shared = all(np.ndim(p) == 0 for p in params) and not model.uses_recency
    back: slice | np.ndarray = slice(None)
    if shared:  # those who are alive differ in x and age only
        x, age, back = distinct_pairs(x, age)
        recency = np.zeros_like(age)

    def expected(days: float) -> FloatArray:
        """Return purchases expected within some days of those who are alive."""
        return model.expected_if_alive(
            params, x=x, recency=recency, age=age, horizon=days / unit_days
        )

    plain, discounted = within(expected, cut)
    return Flow(alive, plain[back], discounted[back])


def ratio(
    above: FloatArray, below: FloatArray, *, otherwise: float = 1.0
) -> FloatArray:
    """Divide by something that may be 0, where nothing is expected at all.

    Parameters
    ----------
    above, below : ndarray of float64
        Numerator and denominator.
    otherwise : float, optional
        What stands where the denominator is 0.

    Returns
    -------
    ndarray of float64
    """
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), otherwise)


class Worth(NamedTuple):
    """What purchases of the people of each history are worth.

    Parameters
    ----------
    mean : ndarray of float64, shape (n,)
        Expected value of a purchase, averaged over people.
    mean_square : ndarray of float64, shape (n,)
        Square of each person's expected value of a purchase, averaged.
    second : ndarray of float64, shape (n,)
        Expected square of a person's own mean value; NaN where it does not exist.
    within : ndarray of float64, shape (n,)
        Expected variance of purchases around a person's mean value.
    """

    mean: FloatArray
    mean_square: FloatArray
    second: FloatArray
    within: FloatArray


def worth(params: GammaGamma, triples: Triples, v: FloatArray | float) -> Worth:
    """Say what purchases are worth, and how much that varies.

    Parameters
    ----------
    params : GammaGamma
        Parameters of the spend model.
    triples : Triples
        Distinct histories with their money.
    v : float or ndarray
        The parameter v of each history, which covariates may scale.

    Returns
    -------
    Worth

    Notes
    -----
    Given x purchases worth s, nu is Gamma(q + p x, v + s), and a purchase Gamma(p, nu):
    E[M] = p (v+s) / (q' - 1), E[M^2] = p^2 (v+s)^2 / ((q'-1)(q'-2)) and the variance
    within is a p-th of it, where q' = q + p x. The second moments need q' > 2.
    """
    p, q, _ = params
    n, shape = triples.n_people, q + p * (triples.n_purchases - 1)
    spent, square = triples.repeat_value / n, triples.repeat_square / n
    squared = v**2 + 2 * v * spent + square
    mean = np.asarray(
        expected_spend(
            GammaGamma(p, q, 0.0), x=triples.n_purchases - 1, total=v + spent
        )
    )
    with np.errstate(all="ignore"):  # NaN where a moment does not exist
        second = np.where(
            shape > 2, p**2 * squared / ((shape - 1) * (shape - 2)), np.nan
        )
        mean_square = p**2 * squared / (shape - 1) ** 2
    return Worth(mean, mean_square, second, second / p)


class Chance(NamedTuple):
    """Variance of sums over people when all parameters are known.

    Parameters
    ----------
    purchases : float
        Of the number of purchases.
    value : float
        Of their value; NaN without finite variance of spend.
    """

    purchases: float
    value: float


def chance(
    model: PurchaseModel,
    params: Params,
    rows: Histories,
    *,
    n_people: FloatArray,
    found: Flow,
    horizon: float,
    money: Worth | None,
) -> Chance:
    """Say how much the sums over all people vary by chance alone.

    Parameters
    ----------
    model, params, rows
        As in `flow`.
    n_people : ndarray of float64, shape (n,)
        People of each history.
    found : Flow
        What is expected of them.
    horizon : float
        Length of the horizon in the unit of the model.
    money : Worth or None
        What their purchases are worth.

    Returns
    -------
    Chance

    Notes
    -----
    People are independent, so variances add up. That of a person's purchases, Var(Y),
    is measured on at least 100,000 customers drawn from the model with a fixed seed,
    a systematic sample of the people when there are more. With M the mean value of a
    person's purchases, Var(V) = E[Y] within + Var(Y) E[M^2] + E[Y]^2 Var(M).
    """
    total = float(n_people.sum())
    if not total:
        return Chance(0.0, 0.0)
    rng = np.random.default_rng(_SEED)
    # Everybody equally often, or a sample when there are more people than draws.
    n_draws = int(max(_N_DRAWS, math.ceil(_N_DRAWS / total) * total))
    n_draws = min(n_draws, 2 * _N_DRAWS)
    places = (np.arange(n_draws) + 0.5) * (total / n_draws)
    who = np.searchsorted(np.cumsum(n_people), places).clip(max=n_people.size - 1)
    own = [p if np.ndim(p) == 0 else np.asarray(p)[who] for p in params]
    counts = model.draw_if_alive(
        own,
        x=rows.x[who],
        recency=rows.recency[who],
        age=rows.age[who],
        horizon=horizon,
        rng=rng,
    )
    alive = rng.random(n_draws) < found.p_alive[who]
    expected = (found.p_alive * found.if_alive)[who]
    off = (np.where(alive, counts, 0) - expected) ** 2
    scale = total / n_draws
    purchases = float(off.sum()) * scale
    if money is None:
        return Chance(purchases, math.nan)
    shrink = (found.discounted / np.where(found.if_alive > 0, found.if_alive, 1))[who]
    value = (
        expected * money.within[who]
        + off * money.second[who]
        + expected**2 * (money.second - money.mean_square)[who]
    )
    return Chance(purchases, float((shrink**2 * value).sum()) * scale)
