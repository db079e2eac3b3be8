"""When things happen, among those that happen by some day: curves and quantiles."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.intervals import normal_quantile
from selfloop.kernels.resampling import at_risk, jackknife_variance, left_out
from selfloop.kernels.rows import FloatArray

IntArray = npt.NDArray[np.int64]


class Timing(NamedTuple):
    """How many of all that happen by the last day have happened by each day.

    Parameters
    ----------
    last_day : int
        Last day with enough people at risk.
    reached : float
        By that day: events per person, or the share of people with one.
    share, low, high : ndarray of float64, shape (last_day + 1,)
        Of these, by day 0, 1, ...; with the interval.
    """

    last_day: int
    reached: float
    share: FloatArray
    low: FloatArray
    high: FloatArray


def repeated_timing(
    n_events: IntArray,
    n_followup: IntArray,
    *,
    min_at_risk: int,
    confidence: float = 0.95,
) -> Timing | None:
    """Say when events happen of which a person may have several.

    Parameters
    ----------
    n_events : ndarray of int, shape (n_groups, n_days)
        Events on day 0, 1, ... of people of each group.
    n_followup : ndarray of int, shape (n_groups, n_days)
        People of each group followed for exactly so many days.
    min_at_risk : int
        People that a day needs, at least 1.
    confidence : float, optional
        Confidence level, above 0 and below 1.

    Returns
    -------
    Timing or None
        None when no event is seen on a day with enough people.

    Notes
    -----
    M(a) / M(H), with M the mean cumulative function and H the last day. The interval is
    that of leaving out each group in turn, on the scale of the share.

    Examples
    --------
    >>> found = repeated_timing(np.array([[0, 2, 1], [1, 0, 0]]),
    ...                         np.array([[0, 0, 4], [0, 0, 4]]), min_at_risk=2)
    >>> found.share.tolist(), found.reached
    ([0.25, 0.75, 1.0], 0.5)
    """
    people = at_risk(n_followup)
    last = _last(people[-1], min_at_risk)
    if last is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = left_out(n_events)[:, : last + 1] / people[:, : last + 1]
    return _timing(np.cumsum(rate, axis=1), last, confidence)


def first_timing(
    n_events: IntArray,
    n_left: IntArray,
    *,
    min_at_risk: int,
    confidence: float = 0.95,
) -> Timing | None:
    """Say when the first event of a person happens.

    Parameters
    ----------
    n_events : ndarray of int, shape (n_groups, n_days)
        People of each group with the event on day 0, 1, ...
    n_left : ndarray of int, shape (n_groups, n_days)
        People of each group without it, followed for exactly so many days.
    min_at_risk, confidence
        As in `repeated_timing`.

    Returns
    -------
    Timing or None
        None when no event is seen on a day with enough people.

    Notes
    -----
    F(t) / F(H) with F = 1 - Kaplan-Meier, and the interval as in `repeated_timing`.

    Examples
    --------
    >>> found = first_timing(np.array([[1, 0, 1]]), np.array([[0, 1, 1]]),
    ...                      min_at_risk=2)
    >>> found.reached, found.share.tolist()
    (0.625, [0.4, 0.4, 1.0])
    """
    people = at_risk(n_events + n_left)
    last = _last(people[-1], min_at_risk)
    if last is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = left_out(n_events)[:, : last + 1] / people[:, : last + 1]
    survival = np.cumprod(1 - np.asarray(rate, dtype=np.float64), axis=1)
    return _timing(1 - survival, last, confidence)


def quantile_days(timing: Timing, level: float) -> tuple[float, float, float]:
    """Return by which day some share of the events has happened, with its interval.

    Parameters
    ----------
    timing : Timing
        From `repeated_timing` or `first_timing`.
    level : float
        The share, above 0 to 1.

    Returns
    -------
    day, low, high : float
        Days; an end is NaN where the band does not reach the level.

    Notes
    -----
    The interval is that of the curve turned on its side [1]_.

    References
    ----------
    .. [1] R. S. Woodruff, "Confidence intervals for medians and other position
       measures", JASA 47 (1952).

    Examples
    --------
    >>> curve = Timing(3, 0.5, *(np.array(c) for c in (
    ...     [0.2, 0.6, 0.9, 1.0], [0.1, 0.4, 0.8, 1.0], [0.3, 0.8, 1.0, 1.0])))
    >>> quantile_days(curve, 0.5)
    (1.0, 1.0, 2.0)
    """
    # Sums in another order may leave a hair below the level.
    ends = (
        np.flatnonzero(curve >= level - 1e-12)
        for curve in (timing.share, timing.high, timing.low)
    )
    day, low, high = (float(e[0]) if e.size else np.nan for e in ends)
    return day, low, high


def _last(people: FloatArray, min_at_risk: int) -> int | None:
    """Return the last day that enough people were followed to."""
    enough = np.flatnonzero(people >= min_at_risk)
    return int(enough[-1]) if enough.size else None


def _timing(
    curves: npt.NDArray[np.floating[Any]], last: int, confidence: float
) -> Timing | None:
    """Divide curves by their ends, and see how far they move without each group."""
    ends = curves[:, -1]
    if not ends[-1] > 0:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = curves / ends[:, None]
    share, others = shares[-1], shares[:-1]
    reach = normal_quantile(confidence) * np.sqrt(jackknife_variance(others))
    low, high = np.maximum(share - reach, 0), np.minimum(share + reach, 1)
    return Timing(last, float(ends[-1]), share, low, high)
