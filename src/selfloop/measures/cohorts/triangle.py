"""What the people of each cohort do at each age: who buys, how often, for how much."""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import Fact, Section, show_html, show_text
from selfloop.core.settings import check_choice
from selfloop.inputs.events import Events
from selfloop.kernels.intervals import wilson
from selfloop.measures.cohorts.cells import (
    CLOCKS,
    UNITS,
    Ages,
    Cells,
    Clock,
    ages_of,
    count_cells,
)
from selfloop.measures.cohorts.pooled import pool
from selfloop.measures.periods import PERIODS, Period, period_names

_ROW = ["segment_no", "cohort"]
_CELL = [*_ROW, "age"]


@dataclass(frozen=True)
class Cohorts:
    """People by the period of their first purchase, made by `cohorts`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.COHORTS`. An age that nobody has lived to see has no row;
        one that is not over for everybody is ``partial``.
    period, clock : str
        Length of a period, and from where ages are counted.
    by : str or None
        Breakdown.
    end : date
        Last observed day.
    cells : Cells
        What was counted, by group of people.
    ages : Ages
        How far each cohort was observed.
    """

    table: pd.DataFrame = field(repr=False)
    period: Period
    clock: Clock
    by: str | None
    end: date
    cells: Cells = field(repr=False)
    ages: Ages = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return the table, columns of `schema.COHORTS`."""
        return self.table.copy()

    def mean_by_age(self) -> pd.DataFrame:
        """Tell what an average customer does at each age, from finished cells.

        Returns
        -------
        DataFrame
            Columns of `schema.COHORT_AGES`; partial cells are left out.

        Notes
        -----
        With J the cohorts that have finished age a, N the number of their people and x
        what one of them did at that age, orders and revenue per customer are the mean
        of x over these people. Their interval is by customer: the variance of the mean
        is (sum of x^2 - N mean^2) / (N (N - 1)), on the log scale; whoever buys often
        counts once. A share is one yes or no per customer; its interval is Wilson's.

        ``orders_cumulative_per_customer`` and ``value_per_customer`` are sums of the
        means of all ages so far. Each of these is of all the cohorts that have finished
        that age, so that more is known than by the cumulative cells of the oldest
        cohorts alone, as long as cohorts are alike. Their variance, which has to
        know that one customer is in the means of several ages, is by the
        delete-a-group jackknife [1]_ with groups of customers, times the square of
        Student's quantile over the normal one.

        With fewer than 30 people, or a mean that is not above 0, there is no interval
        of orders and money, and the reason says so.

        References
        ----------
        .. [1] J. Shao, D. Tu, The Jackknife and Bootstrap, Springer 1995.
        """
        return pool(self.cells, self.ages)

    def __repr__(self) -> str:
        """Show the table as text."""
        return show_text("Cohorts", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        return show_html("Cohorts", self._facts(), tables=self._tables())

    def _facts(self) -> list[Fact]:
        """List what holds for all cells."""
        return [
            ("observed to", self.end),
            ("period", self.period),
            ("clock", self.clock),
            ("by", self.by or "nothing"),
        ]

    def _tables(self) -> list[Section]:
        """List the table to show: headline columns only."""
        columns = [
            "segment", "cohort", "age", "n_people", "n_active", "share_active",
            "share_active_low", "share_active_high", "n_orders", "revenue",
            "value_per_customer", "status",
        ]  # fmt: skip
        return [("", self.table[columns[self.by is None :]], "cohorts")]


def cohorts(
    events: Events,
    period: Period = "month",
    *,
    clock: Clock = "calendar",
    by: str | None = None,
) -> Cohorts:
    """Count what those who first bought in one period do in the periods after.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    period : {"day", "week", "month", "quarter"}, optional
        People who first bought within the same one are a cohort; weeks begin on
        Mondays. Ages are counted in these periods.
    clock : {"calendar", "rolling"}, optional
        By the calendar, age is the number of periods since that of the first purchase:
        age 1 of a monthly cohort is the next month, whether somebody first bought on
        its first or its last day. By the rolling clock it is counted in blocks of 1,
        7, 30 or 91 days from the day of each person's own first purchase.
    by : str, optional
        Breakdown of the people: any column of `schema.PEOPLE`, or ``arrived_month``,
        ``arrived_quarter``, ``first_order_month``, ``first_order_quarter``. The 30
        largest values are kept; a missing one is ``(missing)``.

    Returns
    -------
    Cohorts

    Raises
    ------
    SettingError
        There is no such period, clock or breakdown.

    Notes
    -----
    Time is cut in the time zone of the events. At age 0 everybody is active, because
    the first purchase is in it. Purchases and revenue are counted from the first
    purchase on; a refund takes from the revenue of the age at which it was made, and
    is no activity. What somebody got back before the first purchase is left out.

    By the calendar a cell is ``complete`` when its last day was observed; by the
    rolling clock when the block was observed to its end for everybody in the cohort
    (of that segment), whom nobody can join any more. Otherwise it is ``partial`` and
    no part of any mean or projection. Cells of which nothing was observed have no row;
    a cell with a row in which nothing happened is a true 0.

    ``share_active_since_so_far`` ("on or after" in some products) grows until nobody
    comes back any more, in every cell: it must not be compared between cohorts.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=500, seed=7)
    >>> found = sl.cohorts(sl.read_events(shop.orders), "quarter")
    >>> found.table[["cohort", "age", "share_active"]].head(2).round(2).values.tolist()
    [['2024-Q1', 0, 1.0], ['2024-Q1', 1, 0.57]]
    """
    Events.check(events)
    check_choice("period", period, PERIODS)
    check_choice("clock", clock, CLOCKS)
    cells = count_cells(events, period, clock, by)
    ages = ages_of(cells, events.end, period, clock)
    return Cohorts(
        table=_table(cells, ages, period),
        period=period,
        clock=clock,
        by=by,
        end=events.end,
        cells=cells,
        ages=ages,
    )


def _table(cells: Cells, ages: Ages, period: Period) -> pd.DataFrame:
    """Write a line for each cell of which anything was observed."""
    rows = _rows(cells, ages)
    counts = ["n_active", "n_orders", "revenue"]
    happened = cells.done.groupby(_CELL, as_index=False)[counts].sum()
    rows = rows.merge(happened, on=_CELL, how="left")
    latest = cells.people.rename(columns={"last_age": "age", "n_people": "n_latest"})
    latest = latest.groupby(_CELL, as_index=False)[["n_latest"]].sum()
    rows = rows.merge(latest, on=_CELL, how="left")
    counts = [*counts, "n_latest"]
    rows[counts] = rows[counts].fillna(0).astype("int64")
    rows = rows.sort_values(_CELL, ignore_index=True)
    by_row = rows.groupby(_ROW)
    rows["n_orders_cumulative"] = by_row["n_orders"].cumsum()
    cumulative = by_row["revenue"].cumsum() / UNITS
    # Who bought last at an age is not back at the next.
    gone = by_row["n_latest"].cumsum() - rows["n_latest"]
    low, high = wilson(rows["n_active"], rows["n_people"])
    n = rows["n_people"]
    table = rows.assign(
        segment=np.array([*cells.segments, ""])[rows["segment_no"]],
        cohort=period_names(rows["cohort"], period),
        share_active=rows["n_active"] / n,
        share_active_low=low,
        share_active_high=high,
        share_active_since_so_far=(n - gone) / n,
        revenue=rows["revenue"] / UNITS,
        revenue_cumulative=cumulative,
        value_per_customer=cumulative / n,
    )
    by = ["segment", "cohort", "age"]
    return table.sort_values(by, ignore_index=True)[list(schema.names("cohorts"))]


def _rows(cells: Cells, ages: Ages) -> pd.DataFrame:
    """List the cells: every age of every cohort that was observed at all."""
    sizes = cells.people.groupby(_ROW, as_index=False)[["n_people"]].sum()
    known = pd.DataFrame(ages._asdict())
    sizes = sizes.merge(known, on=_ROW, validate="one_to_one")
    n_ages = sizes["last"].to_numpy() + 1
    rows = sizes.iloc[np.repeat(np.arange(len(sizes)), n_ages)]
    rows = rows.reset_index(drop=True)
    start = np.repeat(np.cumsum(n_ages) - n_ages, n_ages)
    rows["age"] = np.arange(len(rows)) - start
    is_done = rows["age"] <= rows["finished"]
    rows["status"] = np.where(is_done, "complete", "partial")
    return rows.drop(columns=["last", "finished"])
