"""Confidence intervals of shares."""

from numbers import Real

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from selfloop.core.errors import SettingError

FloatArray = npt.NDArray[np.float64]


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
