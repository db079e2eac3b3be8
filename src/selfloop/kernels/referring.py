"""How many people a customer is going to bring, given how many they have brought.

Successful referrals of customer i by age a are Poisson with mean theta_i M(a): M is the
mean number by that age, the same for all, and theta_i is the customer's own tendency,
Gamma(k, k) distributed with mean 1. Who has brought many for their age is likely to
bring more; who has brought none may only be young.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, gammaincinv

from selfloop.kernels.rows import FloatArray

_MAX_COUNT = 1_000_000  # of people brought by one customer, in a search for a quantile


def expected_more(
    k: float, *, y: npt.ArrayLike, mean: npt.ArrayLike, mean_later: npt.ArrayLike
) -> FloatArray:
    """Say how many people more a customer is expected to bring.

    Parameters
    ----------
    k : float
        How alike customers are, above 0.
    y : array_like of int
        People brought so far.
    mean, mean_later : array_like of float
        Mean number by the age now, and by the age then.

    Returns
    -------
    ndarray of float64

    Notes
    -----
    (k + y) / (k + M(a)) * (M(a + h) - M(a)): the Gamma distribution of theta after y
    referrals by age a has mean (k + y) / (k + M(a)).

    Examples
    --------
    >>> expected_more(0.5, y=[0, 3], mean=0.5, mean_later=0.7).round(3).tolist()
    [0.1, 0.7]
    """
    now = np.asarray(mean, dtype=np.float64)
    tendency = (k + np.asarray(y, dtype=np.float64)) / (k + now)
    return np.asarray(tendency * (np.asarray(mean_later, dtype=np.float64) - now))


def variance_of_more(
    k: float, *, y: npt.ArrayLike, mean: npt.ArrayLike, mean_later: npt.ArrayLike
) -> FloatArray:
    """Say how far from the expected number what happens may be.

    Parameters
    ----------
    k, y, mean, mean_later
        As in `expected_more`.

    Returns
    -------
    ndarray of float64
        E + E^2 / (k + y): chance, and what is not known of the customer.

    Examples
    --------
    >>> variance_of_more(0.5, y=[0, 3], mean=0.5, mean_later=0.7).round(3).tolist()
    [0.12, 0.84]
    """
    more = expected_more(k, y=y, mean=mean, mean_later=mean_later)
    return np.asarray(more + more**2 / (k + np.asarray(y, dtype=np.float64)))


def quantile_of_more(
    k: float,
    level: float,
    *,
    y: npt.ArrayLike,
    mean: npt.ArrayLike,
    mean_later: npt.ArrayLike,
) -> FloatArray:
    """Return the least number more that is reached with some probability.

    Parameters
    ----------
    k, y, mean, mean_later
        As in `expected_more`.
    level : float
        Probability, above 0 and below 1.

    Returns
    -------
    ndarray of float64
        Whole numbers: the least n such that at most n are brought with at least this
        probability.

    Notes
    -----
    Negative binomial with shape k + y and success (k + M(a)) / (k + M(a + h)); its
    distribution function is an incomplete beta function. The search halves a range
    that first grows until it holds the quantile.

    Examples
    --------
    >>> quantile_of_more(0.5, 0.975, y=[0, 3], mean=0.5, mean_later=0.7).tolist()
    [1.0, 3.0]
    """
    shape, now, then = np.broadcast_arrays(
        k + np.asarray(y, dtype=np.float64),
        np.asarray(mean, dtype=np.float64),
        np.asarray(mean_later, dtype=np.float64),
    )
    success = (k + now) / (k + then)

    def reaches(n: FloatArray) -> npt.NDArray[np.bool_]:
        """Say whether at most n has at least the probability."""
        return np.asarray(betainc(shape, n + 1, success) >= level)

    high = np.zeros(shape.shape)
    while not (enough := reaches(high)).all() and high.max(initial=0) < _MAX_COUNT:
        high = np.where(enough, high, 2 * high + 1)
    low = np.where(high > 0, (high - 1) / 2 + 1, 0.0)
    while (low < high).any():
        middle = np.floor((low + high) / 2)
        enough = reaches(middle)
        high = np.where(enough, middle, high)
        low = np.where(enough, low, middle + 1)
    return high


def value_quantile(
    k: float,
    level: float,
    *,
    y: npt.ArrayLike,
    mean: npt.ArrayLike,
    mean_later: npt.ArrayLike,
    worth: float,
    spread: float,
) -> FloatArray:
    """Return the value of people brought that is not passed with some probability.

    Parameters
    ----------
    k, level, y, mean, mean_later
        As in `quantile_of_more`.
    worth : float
        Expected value of one person brought, above 0.
    spread : float
        Its standard deviation, at least 0.

    Returns
    -------
    ndarray of float64
        0 where nobody is brought with at least that probability.

    Notes
    -----
    The chance of nobody is ((k + M(a)) / (k + M(a + h)))^(k + y). Given that there is
    somebody, the sum is taken as gamma distributed with its mean and variance, where
    the variance over all is E N spread^2 + Var N worth^2.

    Examples
    --------
    >>> value_quantile(0.5, 0.975, y=[0, 3], mean=0.5, mean_later=0.7, worth=100,
    ...                spread=50).round().tolist()
    [142.0, 335.0]
    """
    given = {"y": y, "mean": mean, "mean_later": mean_later}
    more, variance = expected_more(k, **given), variance_of_more(k, **given)
    now, then = np.asarray(mean, np.float64), np.asarray(mean_later, np.float64)
    nobody = ((k + now) / (k + then)) ** (k + np.asarray(y, dtype=np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        first = more * worth / (1 - nobody)
        square = (more * spread**2 + variance * worth**2 + (more * worth) ** 2) / (
            1 - nobody
        )
        around = np.maximum(square - first**2, 1e-12 * first**2)
        reached = np.clip((level - nobody) / (1 - nobody), 0, 1)
        found = gammaincinv(first**2 / around, reached) * around / first
    unknown = np.isnan(nobody) | np.isnan(worth)
    return np.where(unknown, np.nan, np.where(level <= nobody, 0.0, found))
