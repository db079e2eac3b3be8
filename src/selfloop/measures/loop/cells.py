"""All that the loop is computed from: what people did, by group and by age in days."""

from datetime import date
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.inputs.baskets import EPOCH
from selfloop.inputs.events import Events
from selfloop.kernels.rows import FloatArray
from selfloop.measures.referral.histories import N_GROUPS, brought_buyers, group_of
from selfloop.measures.segments import with_segment


class LoopCells(NamedTuple):
    """What people did, summed by kind of people, group and age in days.

    Parameters
    ----------
    source, segment : tuple of str
        Source and value of the breakdown of each kind of people.
    arrived : ndarray of float64, shape (n_kinds, N_GROUPS, n_days)
        People by days from their arrival to the end.
    bought : ndarray
        People who bought, by days from arrival to the first purchase.
    waiting : ndarray
        People who have not bought, by days from arrival to the end.
    followup : ndarray
        Buyers by days from the first purchase to the end.
    orders : ndarray
        Purchases by days since the first one, which is among those of day 0.
    revenue : ndarray
        Net revenue by days since the first purchase.
    again, alone : ndarray
        Buyers who bought again, by days from the first to the second purchase; and
        those who have not, by days from the first purchase to the end.
    success, quiet : ndarray
        The same for buyers who have brought a buyer, and who have not.
    brought : ndarray
        Buyers brought, by age of the one who brought them.
    seeded : ndarray
        Buyers brought by people who had not bought themselves, by days from their own
        first purchase to the end.
    orders_after, revenue_after, brought_after : ndarray
        Purchases, net revenue and buyers brought after the day of the first purchase,
        by days from the buyer's first purchase to the end.
    daily : ndarray of float64, shape (2, n_days)
        Purchases and net revenue of all buyers, by days before the end.
    has_visits, has_referrals : bool
        Whether it is known who came without buying, and who brought whom.
    end : date
        Last day that counts.
    """

    source: tuple[str, ...]
    segment: tuple[str, ...]
    arrived: FloatArray
    bought: FloatArray
    waiting: FloatArray
    followup: FloatArray
    orders: FloatArray
    revenue: FloatArray
    again: FloatArray
    alone: FloatArray
    success: FloatArray
    quiet: FloatArray
    brought: FloatArray
    seeded: FloatArray
    orders_after: FloatArray
    revenue_after: FloatArray
    brought_after: FloatArray
    daily: FloatArray
    has_visits: bool
    has_referrals: bool
    end: date

    @property
    def n_days(self) -> int:
        """Days observed, the longest age and 1."""
        return int(self.arrived.shape[2])

    def to_frame(self) -> pd.DataFrame:
        """Return the sums over all groups, columns of `schema.LOOP_CELLS`.

        Returns
        -------
        DataFrame
            One row per kind of people and day, from 0 to the longest.
        """
        n_days = self.n_days
        table = pd.DataFrame({
            "source": np.repeat(self.source, n_days),
            "segment": np.repeat(self.segment, n_days),
            "days": np.tile(np.arange(n_days), len(self.source)),
        })  # fmt: skip
        for name, column in _COLUMNS.items():
            sums = getattr(self, name).sum(axis=1).ravel()
            table[column] = sums if name in _MONEY else sums.astype(np.int64)
        return table[schema.names("loop_cells")]

    def where(
        self, *, source: str | None = None, segment: str | None = None
    ) -> "LoopCells":
        """Add up the kinds of people of one source, one segment, or all.

        Parameters
        ----------
        source, segment : str, optional
            Which; all by default.

        Returns
        -------
        LoopCells
            One kind of people; zeros when there are none of them.
        """
        pairs = zip(self.source, self.segment, strict=True)
        mine = [source in (None, a) and segment in (None, b) for a, b in pairs]
        return self.only(mine, segment or source or "all")

    def only(self, mine: list[bool], name: str) -> "LoopCells":
        """Add up some kinds of people.

        Parameters
        ----------
        mine : list of bool
            Which of them.
        name : str
            What they are called together.

        Returns
        -------
        LoopCells
            One kind of people; zeros when there are none of them.
        """
        sums = {part: getattr(self, part)[mine].sum(axis=0)[None] for part in ARRAYS}
        sources = {s for s, kept in zip(self.source, mine, strict=True) if kept}
        source = sources.pop() if len(sources) == 1 else name
        return self._replace(source=(source,), segment=(name,), **sums)


ARRAYS = (
    "arrived", "bought", "waiting", "followup", "orders", "revenue", "again", "alone",
    "success", "quiet", "brought", "seeded", "orders_after", "revenue_after",
    "brought_after",
)  # fmt: skip
"""Names of the arrays of `LoopCells`."""


_MONEY = "revenue", "revenue_after"

_COLUMNS = {name: name if name in _MONEY else f"n_{name}" for name in ARRAYS} | {
    "followup": "n_buyers",
}


def loop_cells(
    events: Events, by: str | None = None, *, end: date | None = None
) -> LoopCells:
    """Reduce events to what the loop is computed from, in one pass over purchases.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    by : str, optional
        Breakdown, as in `segments.with_segment`; the source by default.
    end : date, optional
        Last day that counts; the last observed day by default. Sources and breakdowns
        are those known in the end.

    Returns
    -------
    LoopCells

    Raises
    ------
    SettingError
        There is no such breakdown.
    """
    rows, _ = with_segment(events, by or "source")
    keys = _kinds(rows)
    cases = [
        ((rows.source == source) & (rows.segment == segment), i)
        for i, (source, segment) in enumerate(keys)
    ]
    kind = ibis.cases(*cases) if cases else ibis.literal(0)  # nobody at all
    last = events.end if end is None else end
    end_day = (last - EPOCH).days
    rows = rows.filter(rows.arrived_day <= end_day)
    people = rows.select(
        "person_no",
        "arrived_day",
        **{day: _until(rows[day], end_day) for day in ("first_day", "second_day")},
        success_day=_until(rows.success_after_day, end_day),
        kind=kind.cast("int32"),
        group_no=group_of(rows.id_hash).cast("int32"),
    )
    people = events.engine.keep(people, "loop_people")
    shape = len(keys), N_GROUPS, (last - events.start).days + 1
    parts = _of_people(people, end_day)
    parts |= _of_purchases(people, events, end_day)
    parts |= _of_referrals(people, events, last)
    arrays = {name: np.zeros(shape) for name in ARRAYS}
    for name, table in parts.items():
        _fill(arrays[name], table)
    events.engine.drop(people)
    return LoopCells(
        daily=_daily(events, end_day, shape[-1]),
        source=tuple(source for source, _ in keys),
        segment=tuple(segment for _, segment in keys),
        has_visits="visits" in events.has,
        has_referrals="referrals" in events.has,
        end=last,
        **arrays,
    )


def _kinds(rows: ir.Table) -> list[tuple[str, str]]:
    """List sources and segments that go together, in a fixed order."""
    pairs = rows.select("source", "segment").distinct().order_by("source", "segment")
    lines = pairs.to_pyarrow().to_pylist()
    return [(str(line["source"]), str(line["segment"])) for line in lines]


def _of_people(people: ir.Table, end_day: int) -> dict[str, ir.Table]:
    """Count people by when they came and when they first bought."""
    bought = people.filter(people.first_day.notnull())
    waiting = people.filter(people.first_day.isnull())
    parts = {
        "arrived": _counted(people, end_day - people.arrived_day),
        "bought": _counted(bought, bought.first_day - bought.arrived_day),
        "waiting": _counted(waiting, end_day - waiting.arrived_day),
        "followup": _counted(bought, end_day - bought.first_day),
    }
    for day, did, did_not in (
        ("second_day", "again", "alone"),
        ("success_day", "success", "quiet"),
    ):
        yes, no = (
            bought.filter(bought[day].notnull()),
            bought.filter(bought[day].isnull()),
        )
        parts[did] = _counted(yes, yes[day] - yes.first_day)
        parts[did_not] = _counted(no, end_day - no.first_day)
    return parts


def _until(day: ir.IntegerValue, end_day: int) -> ir.IntegerValue:
    """Return days up to the last one that counts; later ones are missing."""
    return ibis.ifelse(day <= end_day, day, ibis.null("int32"))


def _of_purchases(
    people: ir.Table, events: Events, end_day: int
) -> dict[str, ir.Table]:
    """Sum purchases and net revenue by days since the first purchase."""
    owners = people.select("person_no", "first_day", "kind", "group_no")
    rows = events.baskets.join(owners, "person_no")
    rows = rows.mutate(age=rows.day - rows.first_day)
    rows = rows.filter((rows.age >= 0) & (rows.day <= end_day))
    after = rows.filter(rows.age > 0).mutate(age=end_day - rows.first_day)
    parts = {}
    for part, suffix in ((rows, ""), (after, "_after")):
        sums = part.group_by("kind", "group_no", "age").aggregate(
            orders=part.is_purchase.sum().cast("float64"),
            revenue=part.net.sum().cast("float64"),
        )
        # Read once; small from here on.
        sums = events.engine.upload(sums.to_pyarrow(), "loop_sums")
        for name in ("orders", "revenue"):
            parts[name + suffix] = sums.select("kind", "group_no", "age", name)
    return parts


def of_buyers(events: Events) -> ir.Table:
    """Return baskets without those of people who never bought: refunds alone.

    Parameters
    ----------
    events : Events
        Result of `read_events`.

    Returns
    -------
    ibis table
        Rows of `Events.baskets`.
    """
    core = events.core
    # Few: cheaper to leave out than all buyers are to look up.
    never = core.filter(core.first_day.isnull() & (core.refunds != 0))
    return events.baskets.anti_join(never.select("person_no"), "person_no")


def _daily(events: Events, end_day: int, n_days: int) -> FloatArray:
    """Sum purchases and net revenue by days before the end."""
    rows = of_buyers(events)
    rows = rows.filter(rows.day <= end_day)
    sums = rows.group_by(before=end_day - rows.day).aggregate(
        orders=rows.is_purchase.sum().cast("float64"),
        revenue=rows.net.sum().cast("float64"),
    )
    before, *parts = (c.to_numpy() for c in sums.to_pyarrow().columns)
    daily = np.zeros((2, n_days))
    daily[:, before.astype(np.int64)] = parts
    return daily


def _of_referrals(people: ir.Table, events: Events, end: date) -> dict[str, ir.Table]:
    """Count buyers brought, by age of who brought them, and those from outside."""
    if "referrals" not in events.has:
        return {}
    brought = brought_buyers(events, end=end)
    end_day = (end - EPOCH).days
    owners = people.select("kind", "group_no", referrer_no="person_no")
    inside = brought.filter(brought.age_days >= 0).join(owners, "referrer_no")
    outside = brought.filter(brought.age_days.isnull() | (brought.age_days < 0))
    themselves = people.select("kind", "group_no", "person_no")
    outside = outside.join(themselves, "person_no")
    after = inside.filter(inside.age_days > 0)
    return {
        "brought": _counted(inside, inside.age_days),
        "brought_after": _counted(after, end_day - after.own_day),
        "seeded": _counted(outside, end_day - outside.first_day),
    }


def _counted(rows: ir.Table, day: ir.IntegerValue) -> ir.Table:
    """Count rows by kind, group and day."""
    return rows.group_by("kind", "group_no", day=day).aggregate(n=rows.count())


def _fill(cells: FloatArray, table: ir.Table) -> None:
    """Write sums by kind, group and day into an array."""
    kind, group, day, total = (
        c.to_numpy(zero_copy_only=False) for c in table.to_pyarrow().columns
    )
    cells[kind.astype(np.int64), group.astype(np.int64), day.astype(np.int64)] = total
