"""Calendar periods: days, weeks, months and quarters, by number and by name."""

from datetime import date, timedelta
from typing import Literal, NamedTuple, get_args

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt

from selfloop.core.settings import check_choice
from selfloop.inputs.baskets import EPOCH, day_number

Period = Literal["day", "week", "month", "quarter"]
"""Length of a period."""

PERIODS = get_args(Period)
"""All of them."""

_MONDAY = 3
"""1970-01-01 was a Thursday, three days after a Monday."""

_MONTHS = {"month": 1, "quarter": 3}

IntArray = npt.NDArray[np.int64]


class LastPeriod(NamedTuple):
    """The period in which the observation ends.

    Parameters
    ----------
    number : int
        Its number.
    closed : bool
        Whether it was observed to its last day.
    """

    number: int
    closed: bool


def period_number(time: ir.TimestampValue, period: Period) -> ir.IntegerValue:
    """Return the number of the period that a time falls into.

    Parameters
    ----------
    time : ibis timestamp
        Local time.
    period : {"day", "week", "month", "quarter"}
        Weeks begin on Mondays.

    Returns
    -------
    ibis integer
        Numbers of following periods differ by 1; the months of year y have 12 y to
        12 y + 11, the quarters 4 y to 4 y + 3.

    Raises
    ------
    SettingError
        There is no such period.
    """
    check_choice("period", period, PERIODS)
    if period in _MONTHS:
        month = time.year() * 12 + time.month() - 1
        return (month // _MONTHS[period]).cast("int32")
    day = day_number(time)
    return day if period == "day" else ((day + _MONDAY) // 7).cast("int32")


def number_of(day: date, period: Period) -> int:
    """Return the number of the period of one date, as `period_number` does.

    Parameters
    ----------
    day : date
        A day.
    period : {"day", "week", "month", "quarter"}
        As in `period_number`.

    Returns
    -------
    int

    Examples
    --------
    >>> number_of(date(2026, 3, 5), "quarter")
    8104
    """
    if period in _MONTHS:
        return (day.year * 12 + day.month - 1) // _MONTHS[period]
    number = (day - EPOCH).days
    return number if period == "day" else (number + _MONDAY) // 7


def first_days(number: npt.ArrayLike, period: Period) -> npt.NDArray[np.datetime64]:
    """Return the first day of each period.

    Parameters
    ----------
    number : array_like of int
        From `period_number`.
    period : {"day", "week", "month", "quarter"}
        The same.

    Returns
    -------
    ndarray of datetime64[D]

    Examples
    --------
    >>> str(first_days([8104], "quarter")[0])
    '2026-01-01'
    """
    at = np.asarray(number, dtype=np.int64)
    if period in _MONTHS:
        month = at * _MONTHS[period] - 12 * 1970
        return month.astype("datetime64[M]").astype("datetime64[D]")
    days = at if period == "day" else at * 7 - _MONDAY
    return days.astype("datetime64[D]")


def period_names(number: npt.ArrayLike, period: Period) -> npt.NDArray[np.str_]:
    """Name periods: 2026-03, 2026-Q1, or the first day of a week or day.

    Parameters
    ----------
    number : array_like of int
        From `period_number`.
    period : {"day", "week", "month", "quarter"}
        The same.

    Returns
    -------
    ndarray of str
        Names sort like the periods.

    Examples
    --------
    >>> period_names([8104, 8105], "quarter").tolist()
    ['2026-Q1', '2026-Q2']
    >>> period_names([0], "week").tolist()
    ['1969-12-29']
    """
    at = np.asarray(number, dtype=np.int64)
    if period == "quarter":
        names = [f"{n // 4:04d}-Q{n % 4 + 1}" for n in at.tolist()]
        return np.array(names, dtype=np.str_)
    unit = "M" if period == "month" else "D"
    return first_days(at, period).astype(f"datetime64[{unit}]").astype(np.str_)


def last_period(end: date, period: Period) -> LastPeriod:
    """Return the last period, and whether it was seen to its close.

    Parameters
    ----------
    end : date
        Last observed day, seen to its close.
    period : {"day", "week", "month", "quarter"}
        Length.

    Returns
    -------
    LastPeriod

    Examples
    --------
    >>> last_period(date(2026, 3, 31), "month")
    LastPeriod(number=24314, closed=True)
    """
    number = number_of(end, period)
    return LastPeriod(number, number_of(end + timedelta(days=1), period) > number)
