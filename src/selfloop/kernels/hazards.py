"""How readily something happens by the time since the last time it did.

One person adds many spells: from each event to the next, the last one still open. The
spells of a person are alike, so what a rate rests on is people, not spells: intervals
come from leaving out groups of people in turn.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv, stdtrit

from selfloop.kernels.intervals import normal_quantile
from selfloop.kernels.resampling import at_risk, jackknife_variance, left_out
from selfloop.kernels.rows import FloatArray

IntArray = npt.NDArray[np.int64]

_MOST_LOG = 500.0  # of how far an interval reaches, so that it stays a number


class Hazards(NamedTuple):
    """How many of those who wait see the event, by days since the last one.

    Parameters
    ----------
    first_day, last_day : ndarray of int64
        Days of each bin, both included.
    n_at_risk, n_people : ndarray of int64
        Spells that last to the first day of the bin, and people who have one.
    n_people_last : ndarray of int64
        People who have one that lasts to the last day of the bin.
    n_events : ndarray of int64
        Events in the bin.
    hazard, hazard_low, hazard_high : ndarray of float64
        Events per day at risk, and the interval; NaN where nobody is at risk.
    share, share_low, share_high : ndarray of float64
        Share with the event by the end of the last day, 1 - Kaplan-Meier; NaN where
        nobody is at risk on that day.
    n_exposed : ndarray of float64
        Days at risk in the bin, of all spells.
    without : ndarray of float64, shape (n_groups, n_bins)
        The hazard without each group of people in turn.
    """

    first_day: IntArray
    last_day: IntArray
    n_at_risk: IntArray
    n_people: IntArray
    n_people_last: IntArray
    n_events: IntArray
    hazard: FloatArray
    hazard_low: FloatArray
    hazard_high: FloatArray
    share: FloatArray
    share_low: FloatArray
    share_high: FloatArray
    n_exposed: FloatArray
    without: FloatArray


def hazards(
    n_events: npt.ArrayLike,
    n_left: npt.ArrayLike,
    *,
    n_longest: npt.ArrayLike,
    first_days: npt.ArrayLike,
    confidence: float = 0.95,
) -> Hazards:
    """Estimate a hazard by bins of days, with intervals that allow for people.

    Parameters
    ----------
    n_events : array_like of int, shape (n_groups, n_days)
        Spells of people of each group that end with the event on day 0, 1, ...;
        two groups or more.
    n_left : array_like of int, shape (n_groups, n_days)
        Spells that are still open when the follow-up ends with that day.
    n_longest : array_like of int, shape (n_days,)
        People whose longest spell is of so many days.
    first_days : array_like of int
        First day of each bin, rising, each below n_days; a bin ends before the next
        one begins, the last with the last day.
    confidence : float, optional
        Level of the intervals, above 0 and below 1.

    Returns
    -------
    Hazards

    Notes
    -----
    With d(a) events on day a and n(a) spells that last to it, the hazard of a bin is
    sum d / sum n over its days, and the share is 1 - prod (1 - d(a) / n(a)). Both are
    computed again without each group of people; their variance is that of the
    delete-a-group jackknife [1]_. The interval of the hazard is h exp(+-t s / h), t
    the quantile of Student's t with n_groups - 1 degrees, its low end never above the
    one-sided exact Poisson limit of so many events, which matters for a few; that of
    the share is on the log(-log) scale. Where there was no event the hazard has the
    high end log(2 / (1 - confidence)) / m, the exact Poisson limit, with m the days at
    risk if each person were waiting once; the share has Wilson's limit for the people
    on that day.

    References
    ----------
    .. [1] J. Shao, D. Tu, The Jackknife and Bootstrap, Springer 1995, section 2.3.

    Examples
    --------
    Two groups. Four spells begin; on day 1 one of four ends, on day 2 one of three.

    >>> found = hazards([[0, 1, 0], [0, 0, 1]], [[0, 0, 1], [0, 0, 1]],
    ...                 n_longest=[0, 1, 3], first_days=[1, 2])
    >>> found.hazard.tolist(), found.share.tolist()
    ([0.25, 0.3333333333333333], [0.25, 0.5])
    """
    z = normal_quantile(confidence)
    hits = np.asarray(n_events, dtype=np.float64)
    starts = np.asarray(first_days, dtype=np.int64)
    risk = at_risk(hits + np.asarray(n_left, dtype=np.float64))
    happened = left_out(hits)
    people = np.asarray(n_longest, dtype=np.int64)[::-1].cumsum()[::-1]
    ends = np.append(starts[1:], hits.shape[1]) - 1
    d, n = (np.add.reduceat(part, starts, axis=1) for part in (happened, risk))
    with np.errstate(divide="ignore", invalid="ignore"):
        rate, daily = d / n, np.where(risk > 0, happened / risk, 0.0)
        fewest = _fewest(d[-1], confidence) / n[-1]
    survival = np.cumprod(1 - daily, axis=1)[:, ends]
    survival[:, risk[-1, ends] == 0] = np.nan
    t = float(stdtrit(hits.shape[0] - 1, 0.5 + confidence / 2))
    n_waiting = np.add.reduceat(people.astype(np.float64), starts)
    rare = np.log(2 / (1 - confidence)) / np.maximum(n_waiting, 1.0)
    return Hazards(
        starts,
        ends,
        risk[-1, starts].astype(np.int64),
        people[starts],
        people[ends],
        d[-1].astype(np.int64),
        rate[-1],
        *_rate_interval(rate, rare, t, fewest),
        1 - survival[-1],
        *_share_interval(survival, z**2 / (people[ends] + z**2), t),
        n[-1],
        rate[:-1],
    )


def _fewest(n_events: FloatArray, confidence: float) -> FloatArray:
    """Return the one-sided Poisson limit below a number of events; 0 of none."""
    least = np.maximum(n_events, 1.0)
    return np.where(n_events > 0, gammaincinv(least, 1 - confidence), 0.0)


def _rate_interval(
    rate: FloatArray, rare: FloatArray, t: float, fewest: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the interval of rates on the log scale; the last row is the estimate."""
    value, spread = rate[-1], _spread(rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.exp(np.minimum(t * spread / value, _MOST_LOG))
        low = np.minimum(value / factor, fewest)
    none = value == 0
    high = np.where(none, rare, value * factor)
    return np.where(none, 0.0, low), np.minimum(high, 1.0)


def _share_interval(
    survival: FloatArray, rare: FloatArray, t: float
) -> tuple[FloatArray, FloatArray]:
    """Return the interval of 1 - survival on the log(-log) scale."""
    value, spread = survival[-1], _spread(survival)
    with np.errstate(divide="ignore", invalid="ignore"):
        # The derivative of log(-log S) is 1 / (S log S).
        reach = np.minimum(t * spread / np.abs(value * np.log(value)), _MOST_LOG)
        low, high = (value ** np.exp(s * reach) for s in (-1.0, 1.0))
    none, every = value == 1, value == 0
    below = np.where(none, 0.0, np.where(every, 1 - rare, 1 - low))
    above = np.where(none, rare, np.where(every, 1.0, 1 - high))
    return below, above


def _spread(estimates: FloatArray) -> FloatArray:
    """Return the standard error of the last row from the rows without each group."""
    return np.sqrt(jackknife_variance(estimates[:-1]))


class Span(NamedTuple):
    """The bins in which a hazard is not surely below its peak.

    Parameters
    ----------
    peak, first, last : int
        Positions of the peak and of the ends of the span, both included.
    """

    peak: int
    first: int
    last: int


def peak_span(
    found: Hazards, *, min_people: int, confidence: float = 0.95
) -> Span | None:
    """Find the bins around the peak in which the hazard is about as high.

    Parameters
    ----------
    found : Hazards
        From `hazards`.
    min_people : int
        Bins with fewer people at risk on their first day are left out, at least 1.
    confidence : float, optional
        Level of the comparison, above 0 and below 1.

    Returns
    -------
    Span or None
        None when no bin with enough people has an event.

    Notes
    -----
    The peak is the bin whose interval has the highest low end: the one that is most
    surely high, where the highest estimate would often be one of few people. From it
    the span goes on to both sides as long as

        h_peak - h_bin <= z sqrt(max(V, V_peak + h_peak / m))

    with V the jackknife variance of the difference, V_peak that of the peak, and
    h_peak / m the Poisson variance that a bin of m days at risk would have if it were
    as high: without it a bin of few people without an event would seem surely low.

    Examples
    --------
    >>> found = hazards([[0, 9, 9, 1], [0, 9, 9, 1]], [[0, 0, 0, 80], [0, 0, 0, 80]],
    ...                 n_longest=[0, 18, 18, 162], first_days=[1, 2, 3])
    >>> peak_span(found, min_people=30)
    Span(peak=1, first=0, last=1)
    """
    z = normal_quantile(confidence)
    known = (found.n_people >= min_people) & np.isfinite(found.hazard_low)
    low = np.where(known, found.hazard_low, 0.0)
    if not (low > 0).any():
        return None
    peak = int(np.argmax(low))
    top = found.hazard[peak]
    apart = jackknife_variance(found.without[:, [peak]] - found.without)
    at_peak = jackknife_variance(found.without[:, peak])
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.fmax(apart, at_peak + top / found.n_exposed)
        as_high = known & (top - found.hazard <= z * np.sqrt(spread))
    as_high[peak] = True
    below, above = (np.flatnonzero(~part) for part in (as_high[:peak], as_high[peak:]))
    first = int(below[-1]) + 1 if below.size else 0
    last = peak + int(above[0]) - 1 if above.size else known.size - 1
    return Span(peak, first, last)
