"""How much more or less the people of each cohort do than others of the same age."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.resampling import jackknife_variance
from selfloop.kernels.rows import FloatArray

_STEPS = 500
_CLOSE = 1e-7
_CERTAIN = 1e-12
_LEAST = 0.01  # a level of 0 would make rates of ages that only it has seen infinite
_MIN_COHORTS = 3  # to tell how far cohorts differ


class Levels(NamedTuple):
    """What cohorts do, as a multiple of what the average cohort does.

    Parameters
    ----------
    level : ndarray of float64, shape (n_groups + 1, n_cohorts)
        Of each cohort, drawn to 1 by what chance may have made of it; without each
        group of people in turn, and of all. The mean over cohorts after the first is 1.
    raw : ndarray of float64, shape (n_cohorts,)
        The same of all people, not drawn to 1; NaN where too little is known, and of
        all of them when fewer than three are.
    std_error : ndarray of float64, shape (n_cohorts,)
        Standard error of the log of `raw`.
    spread : float
        Standard deviation, between cohorts after the first, of their true levels; 0
        when chance is enough to explain that they differ, or fewer than three are
        known.
    n_expected : ndarray of float64, shape (n_cohorts,)
        What would have happened in each cohort at a level of 1.
    """

    level: FloatArray
    raw: FloatArray
    std_error: FloatArray
    spread: float
    n_expected: FloatArray


def cohort_levels(
    by_age: npt.ArrayLike,
    *,
    by_followup: npt.ArrayLike,
    n_followup: npt.ArrayLike,
    cohort: npt.ArrayLike,
    enough: npt.ArrayLike,
) -> Levels:
    """Estimate levels of cohorts and the rates by age together.

    Parameters
    ----------
    by_age : array_like of float, shape (n_kinds, n_groups, n_days)
        What happened at age 0, 1, 2, ... days.
    by_followup : array_like of float, shape (n_kinds, n_groups, n_days)
        The same by how long people were followed, without what happened at age 0.
    n_followup : array_like of float, shape (n_kinds, n_groups, n_days)
        People by how long they were followed.
    cohort : array_like of int, shape (n_days,)
        Number of the cohort of people followed for so many days.
    enough : array_like of bool, shape (n_cohorts,)
        Cohorts of whom enough is known to tell their level.

    Returns
    -------
    Levels

    Notes
    -----
    A person of kind k and cohort c does l_c g_k(a) at age a. Levels and rates are
    those at which the sums by cohort, and by kind and age, are what they were: the
    maximum of the Poisson likelihood, by fitting each in turn [1]_. A level below
    0.01, of a cohort that did nothing or took money back, counts as that.

    With V_c the variance of l_c by the delete-a-group jackknife, E_c what level 1 would
    have made and phi = sum V_c E_c^2 / sum l_c E_c (1 if what is done were Poisson),
    chance moves a level of 1 by v_c = phi / E_c. With s^2 the variance between cohorts
    (method of moments [2]_), l_c is drawn to the mean by s^2 / (s^2 + v_c) [3]_; when
    s = 0 levels are 1. Means have the weights 1 / (s^2 + v_c).

    Cohort 0 is apart, because data that begin in the middle of a business show all its
    old customers as new ones at first: neither s nor the mean count it, and for it s^2
    is at least (l_0 - mean)^2 - v_0.

    References
    ----------
    .. [1] W. E. Deming, F. F. Stephan, "On a least squares adjustment of a sampled
       frequency table", Annals of Mathematical Statistics 11 (1940).
    .. [2] R. DerSimonian, N. Laird, "Meta-analysis in clinical trials", Controlled
       Clinical Trials 7 (1986).
    .. [3] C. N. Morris, "Parametric empirical Bayes inference", Journal of the
       American Statistical Association 78 (1983).

    Examples
    --------
    Three cohorts of two groups; who is in the first acts twice on day 1, others once.

    >>> made = [[[0, 4, 0, 0], [0, 4, 0, 0]]]
    >>> each = [[[0, 1, 1, 2], [0, 1, 1, 2]]]
    >>> people = [[[0, 1, 1, 1], [0, 1, 1, 1]]]
    >>> found = cohort_levels(made, by_followup=each, n_followup=people,
    ...     cohort=[2, 2, 1, 0], enough=[True, True, True])
    >>> found.raw.tolist()
    [2.0, 1.0, 1.0]
    """
    ages, sums, people = (
        _without_each(np.asarray(part, dtype=np.float64))
        for part in (by_age, by_followup, n_followup)
    )
    ages[..., 0] = 0.0
    member = np.eye(len(np.asarray(enough)))[np.asarray(cohort)]
    made = np.maximum(sums.sum(axis=1) @ member, 0.0)
    whole, _ = _fit(ages[-1:], made[-1:], people[-1:], member, np.ones((1, 1)))
    levels, expected = _fit(ages, made, people, member, whole)
    known = np.asarray(enough) & (expected > 0)
    return _drawn(levels, expected, known)


def _without_each(parts: FloatArray) -> FloatArray:
    """Sum over groups without each, and over all; groups come first then."""
    by_group = np.moveaxis(parts, 1, 0)
    whole = by_group.sum(axis=0)
    return np.concatenate([whole - by_group, whole[None]])


def _fit(
    ages: FloatArray,
    made: FloatArray,
    people: FloatArray,
    member: FloatArray,
    start: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Fit levels and rates in turn; return levels, and what level 1 would have made."""
    levels = np.broadcast_to(start, made.shape)
    for _ in range(_STEPS):
        weight = (levels @ member.T)[:, None, :]
        # Money given back at some age is no lower level of those who come there.
        rate = np.maximum(rates(ages, people * weight), 0.0)
        expected = (people * rate.cumsum(axis=2)).sum(axis=1) @ member
        new = np.divide(made, expected, out=np.ones(made.shape), where=expected > 0)
        # Rates could be twice as high and levels half: what is expected is what was.
        size = (new * expected).sum(axis=1, keepdims=True)
        total = expected.sum(axis=1, keepdims=True)
        new *= np.divide(total, size, out=np.ones(size.shape), where=size > 0)
        new = np.maximum(new, _LEAST)
        done = np.abs(new - levels).max() < _CLOSE
        levels = new
        if done:
            break
    return levels, expected[-1]


def rates(happened: FloatArray, people: FloatArray) -> FloatArray:
    """Return what a person does at each age.

    Parameters
    ----------
    happened : ndarray of float64, shape (..., n_days)
        What happened at each age.
    people : ndarray of float64, shape (..., n_days)
        People followed for exactly so many days; each may count as more or less.

    Returns
    -------
    ndarray of float64, shape (..., n_days)
        0 where nobody was observed.

    Examples
    --------
    >>> rates(np.array([0.0, 3.0, 1.0]), np.array([1.0, 1.0, 1.0])).tolist()
    [0.0, 1.5, 1.0]
    """
    at_risk = people[..., ::-1].cumsum(axis=-1)[..., ::-1]
    shape = np.broadcast_shapes(happened.shape, at_risk.shape)
    found = np.divide(happened, at_risk, out=np.zeros(shape), where=at_risk > 0)
    return np.asarray(found)


def _drawn(levels: FloatArray, expected: FloatArray, known: np.ndarray) -> Levels:
    """Draw levels to their mean by what chance may have made of them."""
    raw, errors = np.full(known.size, np.nan), np.full(known.size, np.nan)
    level = np.ones(levels.shape)
    if known.sum() < _MIN_COHORTS:
        return Levels(level, raw, errors, 0.0, expected)
    values, due = levels[:, known], expected[known]
    moved = jackknife_variance(values[:-1])
    phi = float((moved * due**2).sum() / (values[-1] * due).sum())
    # Groups that are copies of each other must not make a level certain.
    variance = np.maximum(phi / due, _CERTAIN)
    is_first = np.flatnonzero(known) == 0
    between = _between(values[-1, ~is_first], variance[~is_first])
    weight = ~is_first / (between + variance)
    mean = (values @ weight / weight.sum())[:, None]
    # The first one is no draw from the others: its own distance says how far apart.
    own = (values[-1] - mean[-1]) ** 2 - variance
    apart = np.where(is_first, np.maximum(between, own), between)
    drawn = mean + apart / (apart + variance) * (values - mean)
    average = (drawn @ weight / weight.sum())[:, None]
    level[:, known] = drawn / average
    raw[known] = values[-1] / average[-1]
    error = np.sqrt(jackknife_variance((values / average)[:-1]))
    errors[known] = error / raw[known]
    return Levels(
        level=level,
        raw=raw,
        std_error=errors,
        spread=float(np.sqrt(between) / average[-1, 0]),
        n_expected=expected * average[-1, 0],
    )


def _between(values: FloatArray, variance: FloatArray) -> float:
    """Return the variance between cohorts beyond that of chance."""
    weight = 1.0 / variance
    mean = (weight * values).sum() / weight.sum()
    excess = float((weight * (values - mean) ** 2).sum()) - (values.size - 1)
    return max(0.0, excess / float(weight.sum() - (weight**2).sum() / weight.sum()))
