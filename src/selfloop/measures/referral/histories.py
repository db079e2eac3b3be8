"""What is known of each buyer as a referrer: for how long, and whom they brought."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt

from selfloop.inputs.baskets import EPOCH
from selfloop.inputs.events import Events
from selfloop.kernels.rows import FloatArray
from selfloop.measures.lifetime.covariates import describe, with_covariates
from selfloop.measures.lifetime.design import Covariate, design_of

N_GROUPS = 50
"""Groups of buyers that are left out in turn, to see how far estimates move."""


class Ages(NamedTuple):
    """Buyers and those they brought by age and group, in days.

    Parameters
    ----------
    n_followup : ndarray of int64, shape (N_GROUPS, n_ages)
        Buyers of each group followed for exactly so many days.
    n_brought : ndarray of int64, shape (N_GROUPS, n_ages)
        Buyers brought at that age of the buyer who brought them.
    """

    n_followup: npt.NDArray[np.int64]
    n_brought: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Histories:
    """Buyers as referrers at the close of a day.

    Parameters
    ----------
    events : Events
        Where they come from.
    end : date
        Last day that counts.
    people : ibis table
        person_no, person_id, group_no, age_days, n_brought and the covariates; one row
        per buyer.
    covariates : tuple of Covariate
        How the covariates enter a model.
    group, age, y, n_people : ndarray of float64, shape (n,)
        Distinct groups, ages in days and numbers of buyers brought, and their people.
    design : ndarray of float64, shape (n, n_terms)
        Their covariates; no column without any.
    values : dict of str to ndarray
        Their covariates as they are in `people`.
    ages : Ages
        The same by age.
    """

    events: Events
    end: date
    people: ir.Table = field(repr=False)
    covariates: tuple[Covariate, ...]
    group: FloatArray = field(repr=False)
    age: FloatArray = field(repr=False)
    y: FloatArray = field(repr=False)
    n_people: FloatArray = field(repr=False)
    design: FloatArray = field(repr=False)
    values: dict[str, npt.NDArray[np.object_]] = field(repr=False)
    ages: Ages = field(repr=False)


def brought_buyers(events: Events, *, end: date | None = None) -> ir.Table:
    """Select people who bought and whom somebody brought, with the age of the referrer.

    Parameters
    ----------
    events : Events
        With referrals.
    end : date, optional
        Last day that counts; the last observed day by default.

    Returns
    -------
    ibis table
        person_no, id_hash, first_day; referrer_no, own_day (first purchase of the
        referrer), own_hash, own_is_referred; age_days, from the first purchase of the
        referrer to that of the person: missing when the referrer never bought, below 0
        when they bought later. Only the others are part of the loop.
    """
    core = events.core
    is_in = core.first_day.notnull() & core.referrer_no.notnull()
    if end is not None:
        is_in &= core.first_day <= (end - EPOCH).days
    owners = core.select(
        referrer_no="person_no",
        own_day="first_day",
        own_hash="id_hash",
        own_is_referred=core.referrer_no.notnull(),
    )
    rows = core.filter(is_in).join(owners, "referrer_no")
    return rows.select(
        "person_no", "id_hash", "first_day", "referrer_no", "own_day", "own_hash",
        "own_is_referred",
        age_days=rows.first_day - rows.own_day,
    )  # fmt: skip


def group_of(id_hash: ir.IntegerValue) -> ir.IntegerValue:
    """Return the group of people that are left out together, by the hash of their id.

    Parameters
    ----------
    id_hash : ibis column
        Of the core.

    Returns
    -------
    ibis column
        0 to N_GROUPS - 1.
    """
    return id_hash % N_GROUPS


def histories(
    events: Events,
    *,
    end: date | None = None,
    covariates: Sequence[str] = (),
    attributes: object | None = None,
) -> Histories:
    """Reduce events to buyers as referrers.

    Parameters
    ----------
    events : Events
        With referrals.
    end : date, optional
        Last day that counts; the last observed day by default.
    covariates : sequence of str, optional
        Names of covariates.
    attributes : path or table, optional
        A table of customers with more covariates.

    Returns
    -------
    Histories

    Raises
    ------
    FitError
        When a covariate cannot be used.
    SettingError
        When there is no such covariate.
    """
    last = events.end if end is None else end
    brought = brought_buyers(events, end=last)
    brought = brought.filter(brought.age_days >= 0)
    people = _people(events, (last - EPOCH).days, brought)
    known: tuple[Covariate, ...] = ()
    if covariates:
        people = with_covariates(people, events, covariates, attributes)
        people = events.engine.keep(people, "referrers")
        known = describe(people, covariates)
    own = [c.column for c in known]
    keys = ["group_no", "age_days", "n_brought", *own]
    counted = people.group_by(keys).aggregate(n=people.count()).order_by(keys)
    found = counted.to_pyarrow()
    group, age, y, n_people = (
        found[c].to_numpy().astype(np.float64) for c in (*keys[:3], "n")
    )
    values = {c: found[c].to_numpy(zero_copy_only=False) for c in own}
    return Histories(
        events=events,
        end=last,
        people=people,
        covariates=known,
        group=group,
        age=age,
        y=y,
        n_people=n_people,
        design=design_of(known, values) if own else np.empty((age.size, 0)),
        values=values,
        ages=_ages(group, age, n_people, brought),
    )


def _people(events: Events, end_day: int, brought: ir.Table) -> ir.Table:
    """Keep one row per buyer: for how long, and how many they have brought."""
    made = brought.group_by(person_no="referrer_no").aggregate(
        n_brought=brought.count()
    )
    core = events.core
    buyers = core.filter(core.first_day.notnull() & (core.first_day <= end_day))
    rows = buyers.left_join(made, "person_no").drop("person_no_right")
    rows = rows.select(
        "person_no",
        "person_id",
        group_no=group_of(rows.id_hash).cast("int64"),
        age_days=(ibis.literal(end_day) - rows.first_day).cast("int64"),
        # Who is in no referral brought nobody: that zero is known.
        n_brought=rows.n_brought.fill_null(0).cast("int64"),
    )
    return events.engine.keep(rows, "referrers")


def _ages(
    group: FloatArray, age: FloatArray, n_people: FloatArray, brought: ir.Table
) -> Ages:
    """Count buyers by age, and those they brought by the age at which they did."""
    n_ages = int(age.max(initial=0)) + 1
    followup = np.zeros((N_GROUPS, n_ages), dtype=np.int64)
    places = group.astype(np.int64), age.astype(np.int64)
    np.add.at(followup, places, n_people.astype(np.int64))
    rows = brought.group_by(group_of(brought.own_hash), "age_days")
    made = cells(rows.aggregate(n=brought.count()), n_ages)
    return Ages(followup, made.astype(np.int64))


def cells(sums: ir.Table, n_days: int) -> FloatArray:
    """Write sums by group and day as a matrix.

    Parameters
    ----------
    sums : ibis table
        Group, day, and the sum: one row per group and day, in these columns.
    n_days : int
        Days, 0 and on.

    Returns
    -------
    ndarray of float64, shape (N_GROUPS, n_days)
        0 where there is no row.
    """
    group, day, total = (c.to_numpy() for c in sums.to_pyarrow().columns)
    found = np.zeros((N_GROUPS, n_days))
    found[group.astype(np.int64), day.astype(np.int64)] = total
    return found
