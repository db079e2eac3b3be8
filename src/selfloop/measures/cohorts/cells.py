"""What the people of each cohort did at each age, counted in the engine."""

from collections.abc import Sequence
from datetime import date
from typing import Literal, NamedTuple, get_args

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from selfloop.inputs.baskets import day_number
from selfloop.inputs.events import Events
from selfloop.inputs.typed import MONEY
from selfloop.kernels.rows import FloatArray
from selfloop.measures.periods import IntArray, Period, last_period, period_number
from selfloop.measures.segments import ALL, with_segment

Clock = Literal["calendar", "rolling"]
"""From where ages are counted."""

CLOCKS = get_args(Clock)
"""Both of them."""

BLOCK_DAYS: dict[Period, int] = {"day": 1, "week": 7, "month": 30, "quarter": 91}
"""Length of a block of the rolling clock, in days."""

UNITS = 10**MONEY.scale
"""Money is summed exactly, as whole numbers of the smallest unit."""

N_GROUPS = 50
"""Groups that people are put into by the hash of their id."""

_FEW_GROUPS = 10  # by day there are too many cells for more; it divides N_GROUPS

SUMS = ("n_active", "n_orders", "revenue", "orders_squared", "revenue_squared")
"""What is summed in each cell; the squares are those of each person's own sum."""

_CELL = ["segment_no", "cohort", "age"]


class Cells(NamedTuple):
    """What people did, by breakdown, cohort, age and group.

    Parameters
    ----------
    done : DataFrame
        segment_no, cohort (its number), age, group_no and `SUMS`; revenue in `UNITS`.
        Only where somebody bought or gave something back.
    people : DataFrame
        segment_no, cohort, group_no, last_age (at the latest purchase) and n_people.
    born : DataFrame
        segment_no, cohort, first_day and last_day of the first purchases of its people.
    segments : tuple of str
        Values of the breakdown by their number.
    n_groups : int
        Groups.
    """

    done: pd.DataFrame
    people: pd.DataFrame
    born: pd.DataFrame
    segments: tuple[str, ...]
    n_groups: int


class Ages(NamedTuple):
    """Ages of the cohorts of each segment at the end of the observation.

    Parameters
    ----------
    segment_no, cohort : ndarray of int64, shape (n_rows,)
        Numbers of the segments and of their cohorts, in order.
    last : ndarray of int64, shape (n_rows,)
        Last age of which anything was observed.
    finished : ndarray of int64, shape (n_rows,)
        Last age observed to its end by everybody; -1 when there is none.
    """

    segment_no: IntArray
    cohort: IntArray
    last: IntArray
    finished: IntArray


class Blocks(NamedTuple):
    """The cells of one value of the breakdown as arrays.

    Parameters
    ----------
    sums : dict of str to ndarray of float64, shape (n_cohorts, n_groups, n_ages)
        By name in `SUMS`; money in its own unit. Zero where nothing was seen.
    n_people : ndarray of float64, shape (n_cohorts, n_groups)
        People.
    ages : Ages
        Of these cohorts.
    """

    sums: dict[str, FloatArray]
    n_people: FloatArray
    ages: Ages


def count_cells(events: Events, period: Period, clock: Clock, by: str | None) -> Cells:
    """Reduce events to cells, in one pass over purchases and one over people.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    period : {"day", "week", "month", "quarter"}
        Length of cohorts and of ages.
    clock : {"calendar", "rolling"}
        From where ages are counted.
    by : str or None
        Breakdown, as in `segments.with_segment`.

    Returns
    -------
    Cells

    Raises
    ------
    SettingError
        There is no such breakdown.
    """
    rows, segments = with_segment(events, by)
    rows = rows.filter(rows.first_at.notnull())
    n_groups = _FEW_GROUPS if period == "day" else N_GROUPS
    people = rows.select(
        "person_no",
        "first_at",
        "first_day",
        segment_no=_number(rows, segments),
        cohort=period_number(rows.first_at, period),
        group_no=(rows.id_hash % n_groups).cast("int32"),
        last_age=_age(rows.last_at, rows, period, clock),
    )
    sizes = people.group_by("segment_no", "cohort", "group_no", "last_age").aggregate(
        n_people=people.count()
    )
    born = people.group_by("segment_no", "cohort").aggregate(
        first_day=people.first_day.min(), last_day=people.first_day.max()
    )
    done = _done(people.drop("last_age"), events, period, clock)
    return Cells(
        done=done.order_by([*_CELL, "group_no"]).to_pandas(),
        people=sizes.order_by(sizes.columns[:4]).to_pandas(),
        born=born.order_by("segment_no", "cohort").to_pandas(),
        segments=tuple(segments) or (ALL,),
        n_groups=n_groups,
    )


def _done(people: ir.Table, events: Events, period: Period, clock: Clock) -> ir.Table:
    """Sum purchases and money per cell, from those of each person at each age."""
    rows = events.baskets.join(people, "person_no")
    # What was given back before the first purchase is no part of what came after.
    by_day = events.rules.purchase == "day"
    mine, first = (rows.day, rows.first_day) if by_day else (rows.at, rows.first_at)
    rows = rows.filter(mine >= first)
    keys = ["segment_no", "cohort", "group_no"]
    each = rows.group_by(
        "person_no", *keys, age=_age(rows.at, rows, period, clock)
    ).aggregate(n=rows.is_purchase.sum(), net=rows.net.sum())
    money = each.net.cast("float64")
    return each.group_by(*_CELL, "group_no").aggregate(
        n_active=(each.n > 0).sum(),
        n_orders=each.n.sum(),
        revenue=(each.net.sum() * UNITS).cast("int64"),
        orders_squared=(each.n * each.n).sum().cast("float64"),
        revenue_squared=(money * money).sum(),
    )


def _age(
    at: ir.TimestampValue, rows: ir.Table, period: Period, clock: Clock
) -> ir.IntegerValue:
    """Express how old somebody is at some time, in periods or blocks."""
    if clock == "calendar":
        first = period_number(rows.first_at, period)
        return (period_number(at, period) - first).cast("int32")
    days = day_number(at) - rows.first_day
    return (days // BLOCK_DAYS[period]).cast("int32")


def _number(rows: ir.Table, segments: Sequence[str]) -> ir.IntegerValue:
    """Return the number of each segment."""
    cases = [(rows.segment == name, i) for i, name in enumerate(segments)]
    number = ibis.cases(*cases) if len(cases) > 1 else ibis.literal(0)
    return number.cast("int32")


def ages_of(cells: Cells, end: date, period: Period, clock: Clock) -> Ages:
    """Say how far the people of each segment and cohort were observed.

    Parameters
    ----------
    cells : Cells
        Result of `count_cells`.
    end : date
        Last observed day.
    period, clock : str
        As the cells were counted.

    Returns
    -------
    Ages
        By the calendar an age is finished at the end of its last day. By the rolling
        clock it is when that block is over for the last of these people, and nobody
        can join the cohort any more.
    """
    segment_no, cohort = (
        cells.born[name].to_numpy(np.int64) for name in ("segment_no", "cohort")
    )
    last, closed = last_period(end, period)
    if clock == "calendar":
        oldest = last - cohort
        return Ages(segment_no, cohort, oldest, oldest - (not closed))
    day = (np.datetime64(end, "D") - np.datetime64(0, "D")).astype(np.int64)
    length = BLOCK_DAYS[period]
    youngest = day - cells.born["last_day"].to_numpy(np.int64)
    is_over = (cohort < last) | ((cohort == last) & closed)
    finished = np.where(is_over, (youngest + 1) // length - 1, -1)
    oldest = (day - cells.born["first_day"].to_numpy(np.int64)) // length
    return Ages(segment_no, cohort, oldest, finished)


def blocks_of(cells: Cells, ages: Ages, segment_no: int) -> Blocks:
    """Lay the cells of one value of the breakdown out as arrays.

    Parameters
    ----------
    cells : Cells
        Result of `count_cells`.
    ages : Ages
        Result of `ages_of`.
    segment_no : int
        Number of the value.

    Returns
    -------
    Blocks
        Of the cohorts that have such people.
    """
    people = cells.people[cells.people["segment_no"] == segment_no]
    done = cells.done[cells.done["segment_no"] == segment_no]
    own = Ages(*(part[ages.segment_no == segment_no] for part in ages))
    shape = own.cohort.size, cells.n_groups, int(own.last.max(initial=-1)) + 1
    n_people = np.zeros(shape[:2])
    place = np.searchsorted(own.cohort, people["cohort"].to_numpy())
    np.add.at(n_people, (place, people["group_no"].to_numpy()), people["n_people"])
    row = np.searchsorted(own.cohort, done["cohort"].to_numpy())
    where = row, done["group_no"].to_numpy(), done["age"].to_numpy()
    sums = {}
    for name in SUMS:
        sums[name] = np.zeros(shape)
        sums[name][where] = done[name]
    sums["revenue"] /= UNITS
    return Blocks(sums, n_people, own)
