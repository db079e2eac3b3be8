"""Who is in these events: one row per person."""

import ibis.expr.types as ir

from selfloop.core import schema
from selfloop.inputs.events import Events


def people(events: Events) -> ir.Table:
    """Show everybody once: how they came, what they bought and whom they brought.

    Parameters
    ----------
    events : Events
        Result of `read_events`.

    Returns
    -------
    ibis table
        Columns of `schema.PEOPLE`, one row per person, ordered by nothing. It lives
        in the engine; ``to_pandas()``, ``to_polars()`` or ``to_parquet(path)`` bring
        it out. Counts of referrals and generation are missing without referrals.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=200, seed=7)
    >>> table = sl.people(sl.read_events(shop.orders, shop.referrals))
    >>> list(table.columns)[:3]
    ['person_id', 'arrived_at', 'source']
    """
    Events.check(events)
    core = events.core
    names = core.select(referrer_no="person_no", referrer_id="person_id")
    rows = core.left_join(names, "referrer_no").drop("referrer_no_right")
    known = "referrals" in events.has
    invited = rows.n_invited if known else rows.n_invited.nullif(rows.n_invited)
    referred = rows.n_referred if known else rows.n_referred.nullif(rows.n_referred)
    table = rows.mutate(n_invited=invited, n_referred=referred).rename(
        first_order_at="first_at",
        second_order_at="second_at",
        last_order_at="last_at",
        first_success_at="success_at",
    )
    return table.select(*schema.names("people"))
