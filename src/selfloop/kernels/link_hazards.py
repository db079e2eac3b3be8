"""Whether referees leave less while the referrer is there than after.

Referees are followed by days of age. On every day the referrer is active or not, and
those who are at risk on the same day of age in the same stratum are compared.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from selfloop.kernels.intervals import normal_quantile
from selfloop.kernels.stratified import UNKNOWN, Estimate

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Links(NamedTuple):
    """Referees whose referrer is watched, one entry per link; ages in days, from 1.

    Parameters
    ----------
    stratum, cluster : ndarray of int64
        Number of the stratum and of the referrer, from 0.
    exit_age : ndarray of int64
        Age of the referee at the event, or at the end of observation; 0 or more.
    has_event : ndarray of bool
        Whether it was the event.
    """

    stratum: IntArray
    cluster: IntArray
    exit_age: IntArray
    has_event: npt.NDArray[np.bool_]


class Spells(NamedTuple):
    """When the referrer of a link was active: ages of the referee, both included.

    Parameters
    ----------
    link : ndarray of int64
        Position of the link.
    from_age, to_age : ndarray of int64
        From 1 to the exit age of the link; spells of a link do not overlap.
    """

    link: IntArray
    from_age: IntArray
    to_age: IntArray


class AtRisk(NamedTuple):
    """Events and people at risk by stratum (rows) and age in days (columns).

    Parameters
    ----------
    events_active, n_active : ndarray of float64
        While the referrer is active.
    events_after, n_after : ndarray of float64
        While not.
    """

    events_active: FloatArray
    n_active: FloatArray
    events_after: FloatArray
    n_after: FloatArray


def count_at_risk(links: Links, spells: Spells) -> AtRisk:
    """Count events and people at risk on every day of age, by state of the referrer.

    Parameters
    ----------
    links : Links
        At risk from age 1 to the exit age.
    spells : Spells
        When their referrers were active.

    Returns
    -------
    AtRisk
        One row per stratum, one column per age 0, 1, 2, ...

    Examples
    --------
    One referee leaves at age 3; the referrer was active up to age 2.

    >>> links = Links(*(np.array([v]) for v in (0, 0, 3, True)))
    >>> counts = count_at_risk(links, Spells(*(np.array([v]) for v in (0, 1, 2))))
    >>> counts.n_active.tolist(), counts.events_after.tolist()
    ([[0.0, 1.0, 1.0, 0.0]], [[0.0, 0.0, 0.0, 1.0]])
    """
    if not links.stratum.size:
        return AtRisk(*np.zeros((4, 0, 0)))
    shape = int(links.stratum.max()) + 1, int(links.exit_age.max()) + 1

    def tally(stratum: IntArray, age: IntArray) -> FloatArray:
        """Count entries by stratum and age; an age behind the last one is left out."""
        inside = age < shape[1]
        place = stratum[inside] * shape[1] + age[inside]
        found = np.bincount(place, minlength=shape[0] * shape[1])
        return found.astype(np.float64).reshape(shape)

    some = links.exit_age > 0
    start = tally(links.stratum[some], np.ones_like(links.exit_age[some]))
    stop = tally(links.stratum[some], links.exit_age[some] + 1)
    events = tally(links.stratum[links.has_event], links.exit_age[links.has_event])
    at = links.stratum[spells.link]
    active = np.cumsum(
        tally(at, spells.from_age) - tally(at, spells.to_age + 1), axis=1
    )
    last = spells.to_age == links.exit_age[spells.link]
    last &= links.has_event[spells.link]
    hits = tally(at[last], spells.to_age[last])
    return AtRisk(hits, active, events - hits, np.cumsum(start - stop, axis=1) - active)


def common_ratio(counts: AtRisk) -> tuple[float, float]:
    """Return the ratio of daily hazards over all strata, and its variance.

    Parameters
    ----------
    counts : AtRisk
        Arrays of any shape, one entry per stratum.

    Returns
    -------
    ratio, variance : float
        Hazard while active / hazard after, and the variance of its logarithm when
        all people are independent; NaN without events in a state.

    Notes
    -----
    Mantel-Haenszel, with a1 events of n1 at risk while active, a0 of n0 after,
    n = n1 + n0 in a stratum:

        ratio = R / S,   R = sum a1 n0 / n,   S = sum a0 n1 / n
        var(ln ratio) = sum ((a1 + a0) n1 n0 - a1 a0 n) / n^2 / (R S)

    References
    ----------
    Greenland and Robins (1985), Estimation of a common effect parameter from sparse
    follow-up data, Biometrics 41.

    Examples
    --------
    >>> ratio, variance = common_ratio(AtRisk(*np.array([[4.0], [40], [6], [30]])))
    >>> round(ratio, 4), round(variance, 4)
    (0.5, 0.3583)
    """
    a1, n1, a0, n0 = counts
    n = np.maximum(n1 + n0, 1.0)
    top, bottom = float((a1 * n0 / n).sum()), float((a0 * n1 / n).sum())
    if not top > 0 or not bottom > 0:
        return math.nan, math.nan
    spread = ((a1 + a0) * n1 * n0 - a1 * a0 * n) / n**2
    return top / bottom, float(spread.sum()) / (top * bottom)


def hazard_ratio(links: Links, spells: Spells, *, confidence: float = 0.95) -> Estimate:
    """Compare how readily referees leave while the referrer is active and after.

    Parameters
    ----------
    links : Links
        Referees, at risk from age 1 to the exit age.
    spells : Spells
        When their referrers were active.
    confidence : float, optional
        Level of the interval, above 0 and below 1.

    Returns
    -------
    Estimate
        Hazard while active / hazard after: below 1 when referees stay longer while
        the referrer is there. Without events in a state, all is NaN.

    Notes
    -----
    `common_ratio` over the single days of age of each stratum. Its variance takes all
    referees as independent; but those of one referrer share the days of the referrer
    and may be alike. So a second variance sums over referrers the square of what
    their referees add to R - ratio S beyond what was expected of them, divided by
    R^2, times C / (C - 1) for C referrers. The larger of both is used, on the log
    scale.

    References
    ----------
    Lin and Wei (1989), The robust inference for the Cox proportional hazards model,
    JASA 84.

    Examples
    --------
    Ten referees; five leave at age 1, one of them with an active referrer.

    >>> links = Links(
    ...     np.zeros(10, dtype=int),
    ...     np.arange(10),
    ...     np.array([1, 1, 1, 1, 1, 2, 2, 2, 2, 2]),
    ...     np.arange(10) < 5,
    ... )
    >>> active = np.array([0, 5, 6, 7, 8])
    >>> spells = Spells(active, np.ones(5, dtype=int), links.exit_age[active])
    >>> found = hazard_ratio(links, spells)
    >>> found.value, found.low < 1 < found.high
    (0.25, True)
    """
    z = normal_quantile(confidence)
    counts = count_at_risk(links, spells)
    ratio, independent = common_ratio(counts)
    if math.isnan(ratio):
        return UNKNOWN
    pulls = _pulls(links, spells, counts, ratio)
    sums = np.bincount(links.cluster, weights=pulls)[np.unique(links.cluster)]
    top = float((counts.events_active * _share_after(counts)).sum())
    shared = float(sums @ sums) * sums.size / max(sums.size - 1, 1) / top**2
    error = math.sqrt(max(independent, shared))
    if not error > 0:  # on each day with events all had them
        return Estimate(ratio, math.nan, math.nan, math.nan)
    log = math.log(ratio)
    p_value = 2 * float(ndtr(-abs(log) / error))
    low, high = math.exp(log - z * error), math.exp(log + z * error)
    return Estimate(ratio, low, high, p_value)


def _share_after(counts: AtRisk) -> FloatArray:
    """Return the share of people at risk whose referrer is not active."""
    n = counts.n_active + counts.n_after
    return np.asarray(counts.n_after / np.maximum(n, 1.0))


def _pulls(links: Links, spells: Spells, counts: AtRisk, ratio: float) -> FloatArray:
    """Return what each link adds to R - ratio S beyond what was expected of it."""
    at_risk = np.maximum(ratio * counts.n_active + counts.n_after, 1e-300)
    hazard = (counts.events_active + counts.events_after) / at_risk  # after
    when_active = _share_after(counts)
    when_after = ratio * (1.0 - when_active)
    # What was expected up to each age, in either state.
    active_so_far = np.cumsum(ratio * hazard * when_active, axis=1)
    after_so_far = np.cumsum(hazard * when_after, axis=1)
    expected = -after_so_far[links.stratum, links.exit_age]
    at = links.stratum[spells.link]
    both = active_so_far + after_so_far
    spent = both[at, spells.to_age] - both[at, spells.from_age - 1]
    expected += np.bincount(spells.link, weights=spent, minlength=links.stratum.size)
    is_last = spells.to_age == links.exit_age[spells.link]
    ends_active = np.zeros(links.stratum.size, dtype=bool)
    ends_active[spells.link[is_last]] = True
    place = links.stratum, links.exit_age
    seen = np.where(ends_active, when_active[place], -when_after[place])
    return np.asarray(np.where(links.has_event, seen, 0.0) - expected)
