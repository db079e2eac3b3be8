"""What is to come within a horizon, and what it is worth today."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

MONTH_DAYS = 30.4375
"""Step of discounting, in days: a twelfth of 365.25."""

YEAR_DAYS = 365.25
"""Length of the year of a discount rate, in days."""


MAX_DAYS = 36_525
"""Longest horizon and unit of time, in days: 100 years."""


class Steps(NamedTuple):
    """A horizon in steps.

    Parameters
    ----------
    ends_days : ndarray of float64
        End of each step in days from now, rising; the last is the horizon.
    factors : ndarray of float64
        What money that comes within each step is worth today.
    """

    ends_days: FloatArray
    factors: FloatArray


def steps(horizon_days: float, *, discount_rate: float = 0.0) -> Steps:
    """Cut a horizon into months, each with the discount of its middle.

    Parameters
    ----------
    horizon_days : float
        Length of the horizon in days, above 0.
    discount_rate : float, optional
        Annual rate, at least 0; 0.1 is 10 %.

    Returns
    -------
    Steps
        One step for the whole horizon when nothing is discounted.

    Notes
    -----
    factor_k = (1 + rate)^-((t_(k-1) + t_k) / 2 / 365.25), t_k = 30.4375 k days.
    Money that comes evenly within a month is off by less than 1e-5 at 10 % a year.

    Examples
    --------
    >>> cut = steps(45, discount_rate=0.1)
    >>> cut.ends_days.tolist(), cut.factors.round(5).tolist()
    ([30.4375, 45.0], [0.99604, 0.99021])
    """
    if discount_rate == 0:
        return Steps(np.array([float(horizon_days)]), np.ones(1))
    n_months = math.ceil(horizon_days / MONTH_DAYS)
    ends = np.minimum(MONTH_DAYS * np.arange(1, n_months + 1), horizon_days)
    middles = (ends + np.concatenate([[0.0], ends[:-1]])) / 2
    return Steps(ends, (1 + discount_rate) ** (-middles / YEAR_DAYS))


def opportunities(n: int, unit_days: float, *, discount_rate: float = 0.0) -> Steps:
    """Cut a horizon into opportunities to buy, each with the discount of its end.

    Parameters
    ----------
    n : int
        Opportunities, at least 1.
    unit_days : float
        Days from one to the next, above 0.
    discount_rate : float, optional
        Annual rate, at least 0.

    Returns
    -------
    Steps
        One step for the whole horizon when nothing is discounted.

    Examples
    --------
    >>> opportunities(2, 365.25, discount_rate=0.1).factors.round(4).tolist()
    [0.9091, 0.8264]
    """
    if discount_rate == 0:
        return Steps(np.array([n * unit_days]), np.ones(1))
    ends = unit_days * np.arange(1, n + 1, dtype=np.float64)
    factors = np.exp(-math.log1p(discount_rate) * ends / YEAR_DAYS)
    return Steps(ends, factors)


def within(
    expected: Callable[[float], FloatArray], cut: Steps
) -> tuple[FloatArray, FloatArray]:
    """Add up what is expected within a horizon, plain and discounted.

    Parameters
    ----------
    expected : callable
        Takes a number of days, gives what is expected within them: one number for
        each customer, 0 within 0 days, never falling.
    cut : Steps
        The horizon.

    Returns
    -------
    plain, discounted : ndarray of float64
        expected(horizon), and the sum over steps of factor * what the step adds.

    Examples
    --------
    >>> plain, discounted = within(
    ...     lambda days: np.array([days / 10]), steps(365.25, discount_rate=0.1)
    ... )
    >>> plain.round(3).tolist(), discounted.round(3).tolist()
    ([36.525], [34.838])
    """
    plain = expected(float(cut.ends_days[0]))
    discounted = cut.factors[0] * plain
    for end, factor in zip(cut.ends_days[1:], cut.factors[1:], strict=True):
        later = expected(float(end))
        discounted = discounted + factor * (later - plain)
        plain = later
    return plain, discounted
