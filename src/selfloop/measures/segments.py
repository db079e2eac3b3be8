"""Breakdowns: which people belong together, and the rarest groups put into one."""

from collections.abc import Sequence

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


RESERVED = ("(all)", "(missing)", "(other)", "(rest)")
"""What selfloop calls groups of its own; a value that is called so is put in quotes."""


def breakdowns(by: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the breakdowns that were asked for, none, one or two.

    Parameters
    ----------
    by : str, sequence of str or None
        What the user gave.

    Returns
    -------
    tuple of str

    Raises
    ------
    SettingError
        When it is something else, or there are more than two, or one twice.

    Examples
    --------
    >>> breakdowns("source"), breakdowns(["source", "channel"]), breakdowns(None)
    (('source',), ('source', 'channel'), ())
    """
    if by is None or isinstance(by, str):
        return () if by is None else (by,)
    names = tuple(by) if isinstance(by, Sequence) else (by,)
    if not all(isinstance(name, str) for name in names):
        raise SettingError(f"by must be one column or two different ones; got {by!r}")
    if len(names) > 2 or len(set(names)) < len(names):
        raise SettingError(
            f"by must be one column or two different ones; got {', '.join(names)}"
        )
    return names


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
    return _labelled(core, events, by, "segment")


def with_segments(
    events: Events, by: str | Sequence[str] | None
) -> tuple[ir.Table, list[tuple[str, str]]]:
    """Add one or two breakdowns to the people.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    by : str, sequence of str or None
        None, one or two columns, as in `with_segment`.

    Returns
    -------
    people : ibis table
        `Events.core` with text columns ``segment`` and ``segment_2``; the second is
        empty with fewer than two breakdowns.
    segments : list of tuple of str
        Every pair that somebody belongs to; ``(all, "")`` without a breakdown.

    Raises
    ------
    SettingError
        There is no such breakdown, or there are more than two, or one twice.
    """
    names = breakdowns(by)
    rows, levels = with_segment(events, names[0] if names else None)
    if len(names) < 2:
        return rows.mutate(segment_2=ibis.literal("")), [(one, "") for one in levels]
    rows, _ = _labelled(rows, events, names[1], "segment_2")
    found = rows.select("segment", "segment_2").distinct().to_pyarrow().to_pylist()
    return rows, sorted((str(r["segment"]), str(r["segment_2"])) for r in found)


def _labelled(
    rows: ir.Table, events: Events, by: str, column: str
) -> tuple[ir.Table, list[str]]:
    """Add a breakdown as a column of text, the rarest values as one."""
    known = [*schema.names("people"), *PERIODS]
    if not isinstance(by, str) or by not in known:
        raise SettingError(f"by must be one of {', '.join(known)}; got {by!r}")
    rows = rows.mutate(**{column: _level(rows, events, by).fill_null("(missing)")})
    if by == "referrer_id":
        names = events.core.select(referrer_no="person_no", own_referrer_id="person_id")
        rows = rows.left_join(names, "referrer_no").drop("referrer_no_right")
        named = _quoted(rows.own_referrer_id).fill_null("(missing)")
        rows = rows.mutate(**{column: named})
        rows = rows.drop("own_referrer_id")
    level = rows[column]
    sizes = rows.group_by(level=level).aggregate(n=rows.count())
    largest = sizes.order_by(ibis.desc("n"), "level").limit(MAX_SEGMENTS + 1)
    levels = [str(s) for s in largest.to_pandas()["level"]]
    if len(levels) <= MAX_SEGMENTS:
        return rows, levels
    if by in PERIODS:  # a gap in time would be no answer
        every = sizes.order_by(ibis.desc("n"), "level").to_pandas()
        return rows, [str(s) for s in every["level"]]
    largest_levels = levels[:MAX_SEGMENTS]
    kept = level.isin(largest_levels)
    rows = rows.mutate(**{column: ibis.ifelse(kept, level, "(other)")})
    return rows, list(dict.fromkeys([*largest_levels, "(other)"]))


def _level(rows: ir.Table, events: Events, by: str) -> ir.StringValue:
    """Express the value of the breakdown of each person as text."""
    if by in PERIODS:
        time = rows[PERIODS[by]]
        if by.endswith("_month"):
            return time.strftime("%Y-%m")
        quarter = time.quarter().cast("string")
        return time.year().cast("string") + ibis.literal("-Q") + quarter
    if by in ("n_invited", "n_referred") and "referrals" not in events.has:
        return ibis.null("string")
    inside = {
        "first_order_at": "first_at",
        "second_order_at": "second_at",
        "last_order_at": "last_at",
        "first_success_at": "success_at",
        "referrer_id": "person_id",
    }
    value = rows[inside.get(by, by)]
    return _quoted(value) if value.type().is_string() else value.cast("string")


def _quoted(name: ir.StringValue) -> ir.StringValue:
    """Put a name in quotes that is one of `RESERVED`."""
    return ibis.ifelse(name.isin(RESERVED), "'" + name + "'", name)
