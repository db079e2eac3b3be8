"""Customers as they were at the close of a day: nothing later is looked at."""

from datetime import date

import ibis.expr.types as ir

from selfloop.inputs.baskets import EPOCH
from selfloop.inputs.events import Events


def day_of(at: date) -> int:
    """Return the number of a day, as `inputs.baskets.day_number` does."""
    return (at - EPOCH).days


def buyers_as_of(events: Events, at: date) -> ir.Table:
    """Select everybody who had bought by the close of a day, with what they had done.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    at : date
        An observed day; later purchases and refunds do not exist yet.

    Returns
    -------
    ibis table
        person_no, last_day (of the latest purchase), n_purchases, revenue (net); one
        row per buyer.
    """
    if at >= events.end:
        core = events.core
        bought = core.filter(core.n_purchases > 0)
        return bought.select("person_no", "last_day", "n_purchases", "revenue")
    rows = events.baskets.filter(events.baskets.day <= day_of(at))
    people = rows.group_by("person_no").aggregate(
        last_day=rows.day.max(where=rows.is_purchase),
        n_purchases=rows.is_purchase.sum().cast("int32"),
        revenue=rows.net.sum(),
    )
    return people.filter(people.n_purchases > 0)
