"""Confidence intervals of shares and of numbers above 0."""

import math
from numbers import Real
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv, ndtri

from selfloop.core.errors import SettingError

FloatArray = npt.NDArray[np.float64]

_MOST_LOG = 500.0  # of how far an interval reaches, so that it stays a number


class Interval(NamedTuple):
    """A number and the interval around it; NaN where it is not known.

    Parameters
    ----------
    value, low, high : float
        The number and the ends.
    """

    value: float
    low: float
    high: float


def normal_quantile(confidence: float) -> float:
    """Return how many standard errors a two-sided interval reaches to each side.

    Parameters
    ----------
    confidence : float
        Confidence level, above 0 and below 1.

    Returns
    -------
    float

    Raises
    ------
    SettingError
        When the level is not between 0 and 1.

    Examples
    --------
    >>> round(normal_quantile(0.95), 6)
    1.959964
    """
    is_number = isinstance(confidence, Real) and not isinstance(confidence, bool)
    if not is_number or not 0.0 < confidence < 1.0:
        raise SettingError(
            f"confidence must lie between 0 and 1 (both excluded), got {confidence!r}"
        )
    return float(ndtri(0.5 + confidence / 2.0))


def wilson(
    n_success: npt.ArrayLike, n: npt.ArrayLike, *, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """Return the range in which a share lies, given successes out of n.

    Parameters
    ----------
    n_success, n : array_like of int
        Successes and trials, 0 <= n_success <= n; they broadcast.
    confidence : float, optional
        Confidence level, above 0 and below 1.

    Returns
    -------
    low, high : ndarray of float64
        Wilson score interval, shares in [0, 1]; NaN where n is 0.

    Raises
    ------
    ValueError
        When there are more successes than trials, or negative counts.
    SettingError
        When the level is not between 0 and 1.

    Notes
    -----
    With p = n_success / n and z the normal quantile: centre
    (p + z^2 / 2n) / (1 + z^2 / n), half-width
    z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n). Unlike p +- z se it stays in
    [0, 1], keeps a width when nobody or everybody succeeds, and covers close to the
    stated level for small n (p +- z se covers 40 % for n = 50, p = 0.01).

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical
    inference, JASA 22; Brown, Cai and DasGupta (2001), Interval estimation for a
    binomial proportion, Statistical Science 16(2).

    Examples
    --------
    >>> low, high = wilson([8, 0, 0], [10, 10, 0])
    >>> low.round(4), high.round(4)
    (array([0.4902, 0.    ,    nan]), array([0.9433, 0.2775,    nan]))
    """
    z = normal_quantile(confidence)
    success, trials = np.broadcast_arrays(
        np.asarray(n_success, dtype=np.float64), np.asarray(n, dtype=np.float64)
    )
    wrong = (success < 0) | (success > trials)
    if wrong.any():
        raise ValueError(
            f"successes must lie between 0 and the trials, found {success[wrong][0]:g} "
            f"out of {trials[wrong][0]:g} ({int(wrong.sum())} such entries)"
        )
    trials = np.where(trials > 0, trials, np.nan)
    share = success / trials
    shrink = 1.0 + z**2 / trials
    centre = (share + z**2 / (2.0 * trials)) / shrink
    spread = share * (1.0 - share) / trials + z**2 / (4.0 * trials**2)
    half = z * np.sqrt(spread) / shrink
    # Rounding must not leave an end a hair away from an exact 0 or 1.
    low = np.where(success == 0, 0.0 * trials, np.maximum(centre - half, 0.0))
    high = np.where(success == trials, 1.0, np.minimum(centre + half, 1.0))
    return low, high


def log_interval(
    value: float, variance: float, *, confidence: float = 0.95
) -> Interval:
    """Return the range in which an expectation above 0 lies.

    Parameters
    ----------
    value : float
        Its estimate.
    variance : float
        Variance of the estimate, at least 0.
    confidence : float, optional
        Confidence level, above 0 and below 1.

    Returns
    -------
    Interval
        value / f to value * f with f = exp(z sqrt(variance) / value): however little is
        known, the estimate lies inside and the ends stay above 0. For a value that is
        not above 0 both ends are the value.

    Examples
    --------
    >>> tuple(round(x, 2) for x in log_interval(10.0, 4.0))
    (10.0, 6.76, 14.8)
    """
    mean, error = float(value), math.sqrt(variance)
    if not mean > 0:
        return Interval(mean, mean, mean)
    reach = normal_quantile(confidence) * error / mean
    factor = math.exp(min(reach, _MOST_LOG))
    return Interval(mean, mean / factor, mean * factor)


def gamma_interval(
    value: float, variance: float, *, confidence: float = 0.95
) -> Interval:
    """Return the range in which a sum above 0 will fall, from its mean and variance.

    Parameters
    ----------
    value : float
        Expected sum.
    variance : float
        Its variance, at least 0.
    confidence : float, optional
        Probability of the range, above 0 and below 1.

    Returns
    -------
    Interval
        Quantiles of the gamma distribution with that mean and variance: they stay above
        0, and next to nothing they neither overflow nor claim much.

    Examples
    --------
    >>> tuple(round(x, 2) for x in gamma_interval(10.0, 4.0))
    (10.0, 6.47, 14.28)
    """
    mean, spread = float(value), float(variance)
    if not mean > 0 or not spread > 0:
        known = mean if spread == 0 or mean == 0 else math.nan
        return Interval(mean, known, known)
    shape, tail = mean**2 / spread, (1 - confidence) / 2
    low, high = (float(gammaincinv(shape, q)) for q in (tail, 1 - tail))
    return Interval(mean, low * mean / shape, high * mean / shape)
