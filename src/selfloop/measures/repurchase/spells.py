"""From each purchase to the next one, or to the end of observation: one row each."""

import ibis
import ibis.expr.types as ir

from selfloop.inputs.events import Events
from selfloop.measures.segments import ALL


def spells(events: Events) -> ir.Table:
    """Return what follows each purchase: the next one, or the end of observation.

    Parameters
    ----------
    events : Events
        Result of `read_events`.

    Returns
    -------
    ibis table
        One row per purchase: person_no, step (1 for the first purchase), days (to the
        next one, or, while there is none, to the end), event (whether there is one)
        and followup_days (to the end). All are whole days.
    """
    baskets = events.baskets
    bought = baskets.filter(baskets.is_purchase).select("person_no", "day")
    # Of several purchases on one day each stands for the others: their order is free.
    in_turn = ibis.window(group_by=bought.person_no, order_by=bought.day)
    rows = bought.mutate(
        step=(ibis.row_number().over(in_turn) + 1).cast("int32"),
        next_day=bought.day.lead().over(in_turn),
    )
    followup = events.end_day - rows.day
    event = rows.next_day.notnull()
    return rows.select(
        "person_no",
        "step",
        days=ibis.ifelse(event, rows.next_day - rows.day, followup).cast("int32"),
        event=event,
        followup_days=followup.cast("int32"),
    )


def in_segments(rows: ir.Table, people: ir.Table, names: tuple[str, ...]) -> ir.Table:
    """Add the breakdowns of the person to each row.

    Parameters
    ----------
    rows : ibis table
        With person_no.
    people : ibis table
        From `segments.with_segments`.
    names : tuple of str
        The breakdowns; without any, nothing needs to be looked up.

    Returns
    -------
    ibis table
        `rows` with segment and segment_2.
    """
    if not names:
        return rows.mutate(segment=ibis.literal(ALL), segment_2=ibis.literal(""))
    labels = people.select("person_no", "segment", "segment_2")
    return rows.join(labels, "person_no")
