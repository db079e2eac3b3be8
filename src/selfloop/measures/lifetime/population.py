"""Who is there to be modelled: buyers up to a day, and their distinct histories."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt

from selfloop.inputs.baskets import EPOCH, purchase_stats
from selfloop.inputs.events import Events
from selfloop.kernels.rows import FloatArray
from selfloop.measures.lifetime.covariates import (
    check_numbers,
    describe,
    with_covariates,
)
from selfloop.measures.lifetime.design import Covariate, design_of

KEYS = ("n_purchases", "recency_days", "age_days")
"""Columns of a history: all that a model needs to know of a buyer."""


class Triples(NamedTuple):
    """Distinct histories of buyers, with their people and money.

    Parameters
    ----------
    n_purchases, recency_days, age_days : ndarray of float64, shape (n,)
        Purchases, age at the last one, age at the end.
    n_people : ndarray of float64, shape (n,)
        Buyers with this history.
    repeat_value, repeat_square : ndarray of float64, shape (n,)
        Value of all their repeat purchases: summed, and the squares of each
        person's value summed.
    design : ndarray of float64, shape (n, n_terms)
        Their covariates; no column without any.
    """

    n_purchases: FloatArray
    recency_days: FloatArray
    age_days: FloatArray
    n_people: FloatArray
    repeat_value: FloatArray
    repeat_square: FloatArray
    design: FloatArray


@dataclass(frozen=True, eq=False)
class Population:
    """Buyers as they stand at the close of a day.

    Parameters
    ----------
    events : Events
        Where they come from.
    end : date
        Last day that counts.
    people : ibis table
        person_no, first_day, the columns of `KEYS`, repeat_value, revenue, and the
        covariates.
    covariates : tuple of Covariate
        How the covariates enter a model.
    triples : Triples
        Their distinct histories.
    values : dict of str to ndarray
        Covariates of each distinct history as they are in `people`.
    share_kept : float
        Net revenue / value of purchases: what refunds outside purchases leave.
    is_roster : bool
        Whether histories stand in `Events.core` as they are here.
    """

    events: Events
    end: date
    people: ir.Table = field(repr=False)
    covariates: tuple[Covariate, ...]
    triples: Triples = field(repr=False)
    values: dict[str, npt.NDArray[np.object_]] = field(repr=False)
    share_kept: float
    is_roster: bool

    @property
    def n_people(self) -> int:
        """Buyers."""
        return int(self.triples.n_people.sum())

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns that tell histories apart."""
        return (*KEYS, *(c.column for c in self.covariates))


def population(
    events: Events,
    *,
    at: date | None = None,
    opportunity_days: int | None = None,
    covariates: Sequence[str] | Sequence[Covariate] = (),
    attributes: object | None = None,
) -> Population:
    """Reduce the events up to a day to buyers and their distinct histories.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    at : date, optional
        Last day that counts; the last observed day by default.
    opportunity_days : int, optional
        Count time in opportunities of so many days, and at most one purchase in each,
        for a discrete model.
    covariates : sequence of str or of Covariate, optional
        Names of covariates, or those of a fitted model.
    attributes : path or table, optional
        A table of customers with more covariates.

    Returns
    -------
    Population

    Raises
    ------
    FitError
        When a covariate cannot be used.
    SettingError
        When there is no such covariate.

    Notes
    -----
    Histories at an earlier day come from the same reduction of the same purchases as
    those at the end, so that cutting events and reading fewer events agree.
    """
    end = events.end if at is None else at
    is_roster = end == events.end and opportunity_days is None and not covariates
    if end == events.end and opportunity_days is None:
        people = events.core.filter(events.core.n_purchases > 0)
    else:
        people = _at_day(events, end, opportunity_days)
    known: tuple[Covariate, ...] = tuple(
        c for c in covariates if isinstance(c, Covariate)
    )
    if covariates:
        people = with_covariates(people, events, covariates, attributes)
        people = events.engine.keep(people, "covariates")
        if known:
            check_numbers(people, known)
        known = known or describe(people, [c for c in covariates if isinstance(c, str)])
    triples, values = _count(people, known)
    return Population(
        events=events,
        end=end,
        people=people,
        covariates=known,
        triples=triples,
        values=values,
        share_kept=_share_kept(events, end),
        is_roster=is_roster,
    )


def _day_number(day: date) -> int:
    """Return the number of a day, as the engine counts them."""
    return (day - EPOCH).days


def _at_day(events: Events, end: date, opportunity_days: int | None) -> ir.Table:
    """Reduce purchases up to a day, by the same code as those of the roster."""
    day = _day_number(end)
    baskets = events.baskets.filter(events.baskets.day <= day)
    stats = purchase_stats(baskets, events.rules, day)
    stats = stats.filter(stats.n_purchases > 0)
    if opportunity_days is not None:
        stats = _in_opportunities(stats, baskets, day, opportunity_days)
    names = events.core.select("person_no", "person_id")
    stats = stats.select("person_no", "first_day", *KEYS, "repeat_value", "revenue")
    return events.engine.keep(stats.inner_join(names, "person_no"), "at_day")


def _in_opportunities(
    stats: ir.Table, baskets: ir.Table, day: int, opportunity_days: int
) -> ir.Table:
    """Count time since the first purchase in whole opportunities, at most one each.

    Opportunity i is the days (i-1) W + 1 to i W after the first purchase. The last,
    unfinished one is left out: nothing is known of it yet.
    """
    firsts = stats.select("person_no", "first_day", "revenue")
    firsts = firsts.mutate(
        n_chances=((day - firsts.first_day) / opportunity_days).floor().cast("int64")
    )
    bought = baskets.filter(baskets.is_purchase).inner_join(firsts, "person_no")
    place = ((bought.day - bought.first_day) / opportunity_days).ceil().cast("int64")
    bought = bought.mutate(place=place)
    counted = (bought.place >= 1) & (bought.place <= bought.n_chances)
    rows = bought.group_by("person_no").aggregate(
        revenue=bought.revenue.max(),
        first_day=bought.first_day.max(),
        n_purchases=(1 + bought.place.nunique(where=counted)).cast("int32"),
        last=bought.place.max(where=counted).fill_null(0),
        n_chances=bought.n_chances.max(),
        repeat_value=bought.net.sum(where=counted).cast("float64").fill_null(0.0),
    )
    return rows.mutate(
        recency_days=(rows.last * opportunity_days).cast("float64"),
        age_days=(rows.n_chances * opportunity_days).cast("float64"),
    )


def _count(
    people: ir.Table, covariates: Sequence[Covariate]
) -> tuple[Triples, dict[str, npt.NDArray[np.object_]]]:
    """Count people and money by distinct history, in the engine."""
    columns = [c.column for c in covariates]
    keys = [*KEYS, *columns]
    value = people.repeat_value
    table = (
        people.group_by(keys)
        .aggregate(
            n_people=people.count(),
            repeat_value=value.sum(),
            repeat_square=(value * value).sum(),
        )
        .order_by(keys)
        .to_pyarrow()
    )
    numbers = [
        table[name].to_numpy().astype(np.float64)
        for name in (*KEYS, "n_people", "repeat_value", "repeat_square")
    ]
    values = {name: table[name].to_numpy(zero_copy_only=False) for name in columns}
    if not table.num_rows:  # of nobody: an empty column still has a type
        values = {
            c.column: np.empty(0, "U1" if c.levels else np.float64) for c in covariates
        }
    n_rows = table.num_rows
    design = design_of(covariates, values) if columns else np.empty((n_rows, 0))
    x, recency, age, n_people, value_sum, squares = numbers
    triples = Triples(x, recency, age, n_people, value_sum, squares, design)
    return triples, values


def _share_kept(events: Events, end: date) -> float:
    """Return net revenue over the value of purchases, up to a day.

    Refunds on the day of a purchase are inside its net value; others are not.
    """
    rows = events.baskets.filter(events.baskets.day <= _day_number(end))
    line = rows.aggregate(
        kept=rows.net.sum(), bought=rows.net.sum(where=rows.is_purchase)
    )
    found = line.to_pyarrow().to_pylist()[0]
    bought = float(found["bought"] or 0)
    return float(found["kept"]) / bought if bought > 0 else 1.0


class Gaps(NamedTuple):
    """Times between the purchases of customers.

    Parameters
    ----------
    sum_log_days : float
        Sum of the logs of all gaps, in days.
    n_gaps : int
        Gaps, that is repeat purchases.
    n_zero : int
        Of these, gaps of no length: several orders at one moment.
    """

    sum_log_days: float
    n_gaps: int
    n_zero: int


def gaps(events: Events, *, at: date | None = None) -> Gaps:
    """Add up the logs of the times between purchases, in the engine.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    at : date, optional
        Last day that counts; the last observed day by default.

    Returns
    -------
    Gaps
    """
    rows = _purchase_times(events, at)
    before = rows.time.lag(1).over(group_by="person_no", order_by="time")
    rows = rows.select(gap_days=rows.time - before)
    counted = rows.aggregate(
        total=rows.gap_days.nullif(0.0).ln().sum(),
        n_gaps=rows.gap_days.count(),
        n_zero=(rows.gap_days <= 0).sum(),
    )
    line = counted.to_pyarrow().to_pylist()[0]
    return Gaps(float(line["total"] or 0.0), int(line["n_gaps"]), line["n_zero"] or 0)


def adjacent_gaps(
    events: Events, *, at: date | None = None, n_people: int = 20_000
) -> tuple[FloatArray, FloatArray]:
    """Return the last two gaps of customers with at least three purchases.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    at : date, optional
        Last day that counts; the last observed day by default.
    n_people : int, optional
        People to look at, at most about so many: a fixed part by the hash of the id.

    Returns
    -------
    first, second : ndarray of float64
        Days, one pair per customer.
    """
    part = max(1, int(events.totals["n_buyers"]) // n_people)
    rows = _purchase_times(events, at)
    if part > 1:
        few = events.core.filter(events.core.id_hash % part == 0)
        rows = rows.filter(rows.person_no.isin(few.person_no))
    in_order = {"group_by": "person_no", "order_by": "time"}
    rows = rows.mutate(
        one=rows.time.lag(1).over(**in_order),
        two=rows.time.lag(2).over(**in_order),
        after=rows.time.lead(1).over(**in_order),
    )
    last = rows.filter(rows.after.isnull(), rows.two.notnull())
    pairs = last.select(
        "person_no", first=last.one - last.two, second=last.time - last.one
    )
    table = pairs.order_by("person_no").to_pyarrow()
    return (
        table["first"].to_numpy().astype(np.float64),
        table["second"].to_numpy().astype(np.float64),
    )


def _purchase_times(events: Events, at: date | None) -> ir.Table:
    """Return the time of each purchase up to a day, in days."""
    end = events.end if at is None else at
    rows = events.baskets
    rows = rows.filter(rows.is_purchase, rows.day <= _day_number(end))
    if events.rules.purchase == "day":
        return rows.select("person_no", time=rows.day.cast("float64"))
    return rows.select("person_no", time=rows.at.epoch_seconds() / 86_400.0)


def later_purchases(
    people: ir.Table, events: Events, *, at: date, horizon_days: int
) -> ir.Table:
    """Add what buyers did in the days after a day.

    Parameters
    ----------
    people : ibis table
        Buyers as they stood at the close of that day.
    events : Events
        Where they come from, observed at least to the end of the horizon.
    at : date
        The day.
    horizon_days : int
        Days after it.

    Returns
    -------
    ibis table
        The same rows with n_later (purchases) and later_value (net, refunds
        included); 0 for those who did not come back, because all of it was observed.
    """
    first, last = _day_number(at), _day_number(at + timedelta(days=horizon_days))
    rows = events.baskets
    rows = rows.filter(rows.day > first, rows.day <= last)
    later = rows.group_by("person_no").aggregate(
        n_later=rows.is_purchase.sum().cast("int32"),
        later_value=rows.net.sum().cast("float64"),
    )
    joined = people.left_join(later, "person_no").drop("person_no_right")
    return joined.mutate(
        n_later=joined.n_later.fill_null(0), later_value=joined.later_value.fill_null(0)
    )
