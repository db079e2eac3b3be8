"""Breakdowns: which people belong together, and the rarest groups put into one."""

import ibis
import ibis.expr.types as ir

from selfloop.core import schema
from selfloop.core.errors import SettingError
from selfloop.inputs.events import Events

MAX_SEGMENTS = 30
"""A breakdown keeps this many of its largest values; the rest are ``(other)``."""

ALL = "all"
"""The one segment without a breakdown."""

PERIODS = {
    "arrived_month": "arrived_at",
    "arrived_quarter": "arrived_at",
    "first_order_month": "first_at",
    "first_order_quarter": "first_at",
}
"""Breakdowns by when people came or first bought, and the time they are cut from."""


def with_segment(events: Events, by: str | None) -> tuple[ir.Table, list[str]]:
    """Add a breakdown to the people.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    by : str or None
        A column of `schema.PEOPLE` or one of `PERIODS`.

    Returns
    -------
    people : ibis table
        `Events.core` with a text column ``segment``.
    segments : list of str
        Every segment, the largest first, ties by name; ``["all"]`` without a
        breakdown. Beyond `MAX_SEGMENTS` the rarest are ``(other)``;
        months and quarters are all kept.

    Raises
    ------
    SettingError
        There is no such breakdown.
    """
    core = events.core
    if by is None:
        return core.mutate(segment=ibis.literal(ALL)), [ALL]
    known = [*schema.names("people"), *PERIODS]
    if by not in known:
        raise SettingError(f"by must be one of {', '.join(known)}; got {by!r}")
    rows = core.mutate(segment=_level(events, by).fill_null("(missing)"))
    if by == "referrer_id":
        names = core.select(referrer_no="person_no", referrer_id="person_id")
        rows = core.left_join(names, "referrer_no").drop("referrer_no_right")
        rows = rows.mutate(segment=rows.referrer_id.fill_null("(missing)"))
    sizes = rows.group_by("segment").aggregate(n=rows.count())
    largest = sizes.order_by(ibis.desc("n"), "segment").limit(MAX_SEGMENTS + 1)
    levels = [str(s) for s in largest.to_pandas()["segment"]]
    if len(levels) <= MAX_SEGMENTS:
        return rows, levels
    if by in PERIODS:  # a gap in time would be no answer
        every = sizes.order_by(ibis.desc("n"), "segment").to_pandas()
        return rows, [str(s) for s in every["segment"]]
    largest_levels = levels[:MAX_SEGMENTS]
    kept = rows.segment.isin(largest_levels)
    rows = rows.mutate(segment=ibis.ifelse(kept, rows.segment, "(other)"))
    return rows, list(dict.fromkeys([*largest_levels, "(other)"]))


def _level(events: Events, by: str) -> ir.StringValue:
    """Express the value of the breakdown of each person as text."""
    core = events.core
    if by in PERIODS:
        time = core[PERIODS[by]]
        if by.endswith("_month"):
            return time.strftime("%Y-%m")
        return time.strftime("%Y-Q") + time.quarter().cast("string")
    if by in ("n_invited", "n_referred") and "referrals" not in events.has:
        return ibis.null("string")
    inside = {
        "first_order_at": "first_at",
        "second_order_at": "second_at",
        "last_order_at": "last_at",
        "first_success_at": "success_at",
        "referrer_id": "person_id",
    }
    return core[inside.get(by, by)].cast("string")
