"""How fast a population of customers renews itself, and how many one leads to."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Multiplier(NamedTuple):
    """Customers one customer from outside ends in, with the ends of the interval."""

    multiplier: FloatArray
    low: FloatArray
    high: FloatArray


def growth_rate(increments: npt.ArrayLike) -> float:
    """Return the daily growth of a shop that lives on referrals alone.

    Parameters
    ----------
    increments : array_like of float, shape (n_ages,)
        New buyers per buyer at age 0, 1, 2, ... days: d(a) / n(a), 0 or more (see
        `selfloop.kernels.survival.MeanCumulative`). NaN, an age nobody was observed
        at, is left out; the rate is then a lower bound.

    Returns
    -------
    float
        r per day, continuously compounded: buyers grow by the factor e^r a day.
        Above 0 exactly when the increments sum to more than 1. ``-inf`` when there
        is no increment after age 0, ``inf`` when those of age 0 sum to 1 or more.

    Raises
    ------
    ValueError
        When an increment is negative or infinite.

    Notes
    -----
    r solves the Euler-Lotka equation sum over a of e^(-r a) d(a) / n(a) = 1. No term
    exceeds 1 there, so r is at least log(d(a) / n(a)) / a for every age a > 0. From
    the largest of these Newton's method on the log of the sum, which is convex and
    falls in r, rises to the root and cannot pass it.

    References
    ----------
    Wallinga and Lipsitch (2007), How generation intervals shape the relationship
    between growth rates and reproductive numbers, Proc. R. Soc. B 274.

    Examples
    --------
    Everybody brings two buyers at the age of 10 days: doubling every 10 days.

    >>> rate = growth_rate([0.0] * 10 + [2.0])
    >>> round(rate, 6), round(doubling_days(rate), 6)
    (0.069315, 10.0)
    """
    births = np.asarray(increments, dtype=np.float64)
    births = np.where(np.isnan(births), 0.0, births)
    if not (np.isfinite(births) & (births >= 0.0)).all():
        raise ValueError("increments must be finite and 0 or more")
    age = np.flatnonzero(births > 0.0)
    log_births = np.log(births[age])
    if age.size and age[0] == 0 and births[0] >= 1.0:
        return math.inf
    if age.size == 0 or age[-1] == 0:
        return -math.inf
    rate = float((log_births[age > 0] / age[age > 0]).max())
    while True:
        exponent = log_births - rate * age
        top = float(exponent.max())
        part = np.exp(exponent - top)
        total = float(part.sum())
        # The log of the sum over the mean age of a parent, which is minus its slope.
        step = (top + math.log(total)) / (float((part * age).sum()) / total)
        rate += step
        # Steps are positive until rounding takes over.
        if step <= 1e-14 * max(abs(rate), 1.0 / float(age[-1])):
            return rate


def doubling_days(rate: float) -> float:
    """Return after how many days a growing number has doubled.

    Parameters
    ----------
    rate : float
        Growth per day, continuously compounded (see `growth_rate`).

    Returns
    -------
    float
        ln 2 / rate; NaN when it does not grow.

    Examples
    --------
    >>> round(doubling_days(0.01), 2), doubling_days(-0.01)
    (69.31, nan)
    """
    return math.log(2.0) / rate if rate > 0.0 else math.nan


def multiplier(
    r: npt.ArrayLike, *, low: npt.ArrayLike, high: npt.ArrayLike
) -> Multiplier:
    """Return how many customers one customer from outside ends in, self included.

    Parameters
    ----------
    r, low, high : array_like of float
        Reproduction number and the ends of its interval, 0 or more; NaN if missing.

    Returns
    -------
    Multiplier
        1 / (1 - R) and its ends; ``inf`` where R is 1 or more: the loop feeds itself
        and the sum has no end. NaN stays NaN.

    Raises
    ------
    ValueError
        When a number is negative.

    Notes
    -----
    1 + R + R^2 + ... Since it rises with R, its interval is that of R transformed.
    An R counted to a finite age is a lower bound, and so is the multiplier.

    Examples
    --------
    >>> multiplier(0.5, low=0.2, high=1.1)
    Multiplier(multiplier=array(2.), low=array(1.25), high=array(inf))
    """
    ends = []
    for number in (r, low, high):
        value = np.asarray(number, dtype=np.float64)
        if (value < 0.0).any():
            raise ValueError(f"R must be 0 or more, got {float(np.nanmin(value))}")
        ends.append(_geometric_sum(value))
    return Multiplier(ends[0], ends[1], ends[2])


def _geometric_sum(ratio: FloatArray) -> FloatArray:
    """Return 1 / (1 - ratio), infinite from 1 on."""
    total = np.full(ratio.shape, np.inf)
    np.divide(1.0, 1.0 - ratio, out=total, where=~(ratio >= 1.0))
    return total
