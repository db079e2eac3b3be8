"""How soon and how often things happen to people observed for unequal times.

People who entered recently have not failed: there was no time. Kaplan-Meier
answers *what share by day W*; the mean cumulative function answers *how many per
person by age H*. Both use everybody for as long as they were observed.

Days are whole. Follow-up is counted to the end of observation, both ends
included: somebody followed for C days had the chance of an event on days 0 to C.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.intervals import normal_quantile

IntArray = npt.NDArray[np.integer[Any]]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class KaplanMeier:
    """Share without the event, and with it, by every day since entry.

    Parameters
    ----------
    day : ndarray of int64
        Days since entry, 0, 1, 2, ...
    n_at_risk : ndarray of int64
        People still observed and without the event when the day begins.
    survival : ndarray of float64
        Share without the event at the end of the day; NaN after the last day
        on which anybody was observed, unless everybody had the event by then.
    cif, cif_low, cif_high : ndarray of float64
        Share with the event (1 - survival) and its interval.
    """

    day: npt.NDArray[np.int64]
    n_at_risk: npt.NDArray[np.int64]
    survival: FloatArray
    cif: FloatArray
    cif_low: FloatArray
    cif_high: FloatArray


class Incidence(NamedTuple):
    """Share with the event by chosen days, its interval, and people at risk."""

    cif: FloatArray
    low: FloatArray
    high: FloatArray
    n_at_risk: npt.NDArray[np.int64]


@dataclass(frozen=True)
class MeanCumulative:
    """Mean number of events per person by every age.

    Parameters
    ----------
    age : ndarray of int64
        Age in days, 0, 1, 2, ...
    n_at_risk : ndarray of int64
        People followed to that age or longer, n(a).
    n_events : ndarray of int64
        Events at exactly that age, d(a).
    increment : ndarray of float64
        d(a) / n(a); NaN where nobody was followed so far.
    mean : ndarray of float64
        M(a), the sum of the increments up to a; NaN where nobody was followed.
    """

    age: npt.NDArray[np.int64]
    n_at_risk: npt.NDArray[np.int64]
    n_events: npt.NDArray[np.int64]
    increment: FloatArray
    mean: FloatArray


class MeanInterval(NamedTuple):
    """Standard error and interval of a mean cumulative function, by age."""

    standard_error: FloatArray
    low: FloatArray
    high: FloatArray


def kaplan_meier(
    n_events: IntArray, n_censored: IntArray, *, confidence: float = 0.95
) -> KaplanMeier:
    """Estimate what share has the event by each day, using everybody.

    Parameters
    ----------
    n_events : ndarray of int, shape (n_days,)
        People whose event fell on day 0, 1, 2, ... after their entry.
    n_censored : ndarray of int, shape (n_days,)
        People without the event whose follow-up ended with that day.
    confidence : float, optional
        Level of the interval, above 0 and below 1.

    Returns
    -------
    KaplanMeier
        One entry per day of the input.

    Raises
    ------
    ValueError
        When the arrays differ in length or hold negative counts.
    SettingError
        When the level is not between 0 and 1.

    Notes
    -----
    S(t) = prod over days j <= t of (1 - d_j / n_j), n_j counting those censored on
    day j: at equal times events come before censorings. Interval: with Greenwood's
    s^2 = sum d_j / (n_j (n_j - d_j)), S ** exp(+-z s / log S), on the log(-log)
    scale, which keeps it inside [0, 1]. It is undefined at S = 1 and S = 0; instead
    of a width of zero a conservative end is given there:

    - No event yet (S = 1): low 0, high z^2 / (m + z^2), the Wilson limit for no
      success among the m people at risk on that day. All m, and others, went without
      the event to the end of that day, so m is the smallest sample that counts.
    - All had it (S = 0): high 1, low the larger of the day before (the share cannot
      fall) and the Wilson limit m / (m + z^2) for the m people of the last day.

    References
    ----------
    Kaplan and Meier (1958), JASA 53; Kalbfleisch and Prentice (2002), The
    Statistical Analysis of Failure Time Data, section 1.4.

    Examples
    --------
    Four people: events on days 1 and 3, ends of observation on days 1 and 4.

    >>> km = kaplan_meier(np.array([0, 1, 0, 1, 0]), np.array([0, 1, 0, 0, 1]))
    >>> km.n_at_risk, km.cif
    (array([4, 4, 2, 2, 1]), array([0.   , 0.25 , 0.25 , 0.625, 0.625]))
    """
    z = normal_quantile(confidence)
    _check_counts(n_events=n_events, n_censored=n_censored)
    events = n_events.astype(np.int64)
    at_risk = _reverse_cumsum(events + n_censored)
    left = at_risk - events
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(at_risk > 0, left / at_risk, 1.0)
        greenwood = np.where(events > 0, events / (at_risk * left.astype(float)), 0.0)
    survival: FloatArray = np.cumprod(factor).astype(np.float64)
    low, high = _log_log_interval(survival, np.cumsum(greenwood), z)

    nobody_yet = survival == 1.0
    low[nobody_yet] = 0.0
    high[nobody_yet] = z**2 / (at_risk[nobody_yet] + z**2)
    if survival.size and survival[-1] == 0.0:
        last = int(np.flatnonzero(survival == 0.0)[0])
        day_before = low[last - 1] if last else 0.0
        low[last:] = max(float(day_before), at_risk[last] / (at_risk[last] + z**2))
        high[last:] = 1.0

    unknown = (at_risk == 0) & (survival > 0.0)
    for curve in (survival, low, high):
        curve[unknown] = np.nan
    return KaplanMeier(
        day=np.arange(events.size),
        n_at_risk=at_risk,
        survival=survival,
        cif=1.0 - survival,
        cif_low=low,
        cif_high=high,
    )


def cif_at(km: KaplanMeier, days: npt.ArrayLike) -> Incidence:
    """Read the share with the event within some numbers of days.

    Parameters
    ----------
    km : KaplanMeier
        A curve from `kaplan_meier`.
    days : array_like of int
        Days since entry, 0 or more, each included.

    Returns
    -------
    Incidence
        ``cif``, ``low``, ``high`` and ``n_at_risk``, one entry per day asked. Past
        the last day of the curve nobody is at risk, and the share is NaN unless
        everybody had the event.

    Raises
    ------
    ValueError
        When a day is negative.

    Examples
    --------
    >>> km = kaplan_meier(np.array([0, 1, 0, 1, 0]), np.array([0, 1, 0, 0, 1]))
    >>> cif, low, high, n_at_risk = cif_at(km, [1, 3, 90])
    >>> cif, n_at_risk
    (array([0.25 , 0.625,   nan]), array([4, 2, 0]))
    """
    asked = np.atleast_1d(np.asarray(days, dtype=np.int64))
    if (asked < 0).any():
        raise ValueError(f"days must be 0 or more, got {int(asked.min())}")
    n_days = km.day.size
    inside = asked < n_days
    all_had_it = n_days > 0 and km.survival[-1] == 0.0
    known = inside | all_had_it
    where = np.minimum(asked, n_days - 1)[known]
    shares = []
    for curve in (km.cif, km.cif_low, km.cif_high):
        share = np.full(asked.shape, np.nan)
        share[known] = curve[where]
        shares.append(share)
    return Incidence(shares[0], shares[1], shares[2], at_risk_at(km, asked))


def at_risk_at(km: KaplanMeier, days: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Count the people still observed and without the event when a day begins.

    Parameters
    ----------
    km : KaplanMeier
        A curve from `kaplan_meier`.
    days : array_like of int
        Days since entry, 0 or more.

    Returns
    -------
    ndarray of int64
        One count per day asked; 0 past the end of the curve.

    Examples
    --------
    >>> km = kaplan_meier(np.array([0, 1]), np.array([2, 3]))
    >>> at_risk_at(km, [0, 1, 2])
    array([6, 4, 0])
    """
    asked = np.atleast_1d(np.asarray(days, dtype=np.int64))
    n_at_risk = np.zeros(asked.shape, dtype=np.int64)
    inside = (asked >= 0) & (asked < km.day.size)
    n_at_risk[inside] = km.n_at_risk[asked[inside]]
    return n_at_risk


def median_days(km: KaplanMeier) -> float:
    """Return the first day by which half of all people have the event.

    Parameters
    ----------
    km : KaplanMeier
        A curve from `kaplan_meier`.

    Returns
    -------
    float
        Days since entry; NaN when the curve stays under one half.

    Examples
    --------
    >>> median_days(kaplan_meier(np.array([0, 1, 0, 1]), np.array([0, 1, 0, 1])))
    3.0
    >>> median_days(kaplan_meier(np.array([0, 1]), np.array([0, 9])))
    nan
    """
    # A product of fractions that is exactly one half may be rounded to just above.
    reached = np.flatnonzero(km.survival <= 0.5 * (1.0 + 1e-12))
    return float(km.day[reached[0]]) if reached.size else float("nan")


def mean_cumulative(n_events: IntArray, n_followup: IntArray) -> MeanCumulative:
    """Estimate how many events a person has by every age, using everybody.

    Parameters
    ----------
    n_events : ndarray of int, shape (n_ages,)
        Events at age 0, 1, 2, ... days, of all people together; one person may
        have several.
    n_followup : ndarray of int, shape (n_ages,)
        People followed for exactly 0, 1, 2, ... days.

    Returns
    -------
    MeanCumulative
        One entry per age of the input.

    Raises
    ------
    ValueError
        When the arrays differ in length, hold negative counts, or there are events
        at an age that nobody was followed to.

    Notes
    -----
    M(H) = sum over ages a <= H of d(a) / n(a), with d(a) events at age a and n(a)
    people followed to age a or longer (Nelson-Aalen for repeated events). With
    referrals as events, M(H) is the reproduction number R(H).

    References
    ----------
    Nelson (2003), Recurrent Events Data Analysis, SIAM.

    Examples
    --------
    Three people followed for 1, 2 and 2 days; one event at age 0, one at age 2.

    >>> curve = mean_cumulative(np.array([1, 0, 1]), np.array([0, 1, 2]))
    >>> curve.n_at_risk, curve.mean.round(3)
    (array([3, 3, 2]), array([0.333, 0.333, 0.833]))
    """
    _check_counts(n_events=n_events, n_followup=n_followup)
    events = n_events.astype(np.int64)
    at_risk = _reverse_cumsum(n_followup.astype(np.int64))
    late = (events > 0) & (at_risk == 0)
    if late.any():
        raise ValueError(
            f"{int(events[late].sum())} events at ages to which nobody was followed "
            f"(age {int(np.flatnonzero(late)[0])} and later); follow-up must reach "
            "the age of every event"
        )
    increment = np.full(events.size, np.nan)
    np.divide(events, at_risk, out=increment, where=at_risk > 0)
    return MeanCumulative(
        age=np.arange(events.size),
        n_at_risk=at_risk,
        n_events=events,
        increment=increment,
        mean=np.cumsum(increment),
    )


def mean_cumulative_interval(
    curve: MeanCumulative,
    *,
    person: IntArray,
    age: IntArray,
    followup: IntArray,
    confidence: float = 0.95,
) -> MeanInterval:
    """Return the range in which the mean number of events lies, at every age.

    Parameters
    ----------
    curve : MeanCumulative
        The estimate, from `mean_cumulative`.
    person, age, followup : ndarray of int, shape (n_events,)
        For every event that the curve counts: whose it was (any whole number), the
        age in days at which it happened, and for how many days that person was
        followed. People without events enter through the curve.
    confidence : float, optional
        Level of the interval, above 0 and below 1.

    Returns
    -------
    MeanInterval
        ``standard_error``, ``low`` and ``high``, one entry per age of the curve.

    Raises
    ------
    ValueError
        When the events are not those of the curve, or one is later than its
        person's follow-up.
    SettingError
        When the level is not between 0 and 1.

    Notes
    -----
    Robust variance, summed over people i, because the events of one person hang
    together (a Poisson interval covers 84 % instead of 95 % in simulated shops):

        V(H) = sum_i (A_i(H) - B(min(C_i, H)))^2
        A_i(H) = sum over i's events of age <= H of 1 / n(age)
        B(c)   = sum over ages a <= c of d(a) / n(a)^2,     C_i the follow-up of i

    The square is expanded, so that all ages together cost one sort of the events.
    Limits: M exp(+-z sqrt(V) / M). Where there was no event (M = 0): low 0 and
    high log(2 / (1 - confidence)) / n(H), the exact Poisson limit for none among
    the n(H) people followed that far. Where V is 0 although there were events (one
    person, or all people exactly alike) the data cannot tell: NaN.

    References
    ----------
    Lawless and Nadeau (1995), Some simple robust methods for the analysis of
    recurrent events, Technometrics 37(2).

    Examples
    --------
    >>> curve = mean_cumulative(np.array([1, 0, 1]), np.array([0, 1, 2]))
    >>> error, low, high = mean_cumulative_interval(
    ...     curve,
    ...     person=np.array([7, 7]),
    ...     age=np.array([0, 2]),
    ...     followup=np.array([2, 2]),
    ... )
    >>> error.round(3)
    array([0.272, 0.272, 0.605])
    """
    z = normal_quantile(confidence)
    _check_events(curve, person=person, age=age, followup=followup)
    variance, scale = _robust_variance(curve, person, age, followup)
    # What the expansion leaves of an exact zero is rounding, not information.
    variance = np.where(variance > 1e-13 * scale, variance, 0.0)
    error = np.sqrt(variance)
    mean = curve.mean
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(variance > 0.0, np.exp(z * error / mean), np.nan)
        rule_of_none = np.log(2.0 / (1.0 - confidence)) / curve.n_at_risk
    none = mean == 0.0
    low = np.where(none, 0.0, mean / factor)
    high = np.where(none, rule_of_none, mean * factor)
    error = np.where((variance > 0.0) & ~np.isnan(mean), error, np.nan)
    return MeanInterval(standard_error=error, low=low, high=high)


def _robust_variance(
    curve: MeanCumulative, person: IntArray, age: IntArray, followup: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return V(H) for every age, and the sum of its terms before they cancel."""
    n_ages = curve.age.size
    at_risk = curve.n_at_risk
    weight_by_age = np.zeros(n_ages)
    np.divide(1.0, at_risk, out=weight_by_age, where=at_risk > 0)
    b = np.cumsum(curve.n_events * weight_by_age**2)

    # sum_i A_i^2 grows at each event by 2 w (what i had before) + w^2.
    order = np.lexsort((age, person))
    whose, when = person[order], age[order]
    weight = weight_by_age[when]
    running = np.cumsum(weight) - weight
    is_first = np.ones(whose.size, dtype=np.bool_)
    is_first[1:] = whose[1:] != whose[:-1]
    group = np.cumsum(is_first) - 1
    before = running - running[is_first][group]
    squares = np.cumsum(_by_age(when, weight * (2.0 * before + weight), n_ages))

    # sum_i A_i(H) B(min(C_i, H)): events of people whose follow-up ended before H
    # meet their own B(C_i), the others meet B(H).
    ends = followup[order]
    ended = np.cumsum(_by_age(ends, weight, n_ages))
    running_on = np.cumsum(_by_age(when, weight, n_ages)) - ended
    cross = np.cumsum(_by_age(ends, weight * b[ends], n_ages)) + b * running_on

    # sum_i B(min(C_i, H))^2, from the numbers of people followed so far and no more.
    n_ending = at_risk - np.append(at_risk[1:], 0)
    gone = np.cumsum(n_ending * b**2)
    everybody = gone + b**2 * (at_risk - n_ending)
    return squares - 2.0 * cross + everybody, squares + everybody


def _by_age(age: IntArray, weight: FloatArray, n_ages: int) -> FloatArray:
    """Sum weights by age."""
    return np.bincount(age, weight, n_ages).astype(np.float64)


def _check_events(
    curve: MeanCumulative, *, person: IntArray, age: IntArray, followup: IntArray
) -> None:
    """Refuse events that the curve was not made of."""
    if not person.size == age.size == followup.size:
        raise ValueError(
            f"person, age and followup have {person.size}, {age.size} and "
            f"{followup.size} entries; need one each per event"
        )
    n_ages = curve.age.size
    if person.size and (followup.max() >= n_ages or age.min() < 0):
        raise ValueError(
            f"ages must be 0 or more and follow-up at most {n_ages - 1} days, the end "
            f"of the curve; found {int(age.min())} and {int(followup.max())}"
        )
    if (age > followup).any():
        raise ValueError(
            f"{int((age > followup).sum())} events are later than the follow-up of "
            "their person"
        )
    if not np.array_equal(np.bincount(age, minlength=n_ages), curve.n_events):
        raise ValueError(
            f"{age.size} events given, but the curve counts "
            f"{int(curve.n_events.sum())}, or their ages differ"
        )


def _check_counts(**counts: IntArray) -> None:
    """Refuse histograms of different lengths or with negative counts."""
    lengths = {name: array.size for name, array in counts.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"histograms must have one length, found {lengths}")
    for name, array in counts.items():
        if (array < 0).any():
            raise ValueError(f"{name} holds negative counts, smallest {array.min()}")


def _reverse_cumsum(count: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for every day the total from that day on."""
    return np.cumsum(count[::-1])[::-1]


def _log_log_interval(
    survival: FloatArray, greenwood: FloatArray, z: float
) -> tuple[FloatArray, FloatArray]:
    """Return the limits of 1 - S on the log(-log) scale; NaN where S is 0 or 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        log_survival = np.log(survival)
        stretch = np.exp(z * np.sqrt(greenwood) / -log_survival)
        low = -np.expm1(log_survival / stretch)
        high = -np.expm1(log_survival * stretch)
    inside = (survival > 0.0) & (survival < 1.0)
    return np.where(inside, low, np.nan), np.where(inside, high, np.nan)
