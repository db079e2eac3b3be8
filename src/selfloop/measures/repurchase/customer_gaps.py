"""How often each customer buys, and for how long each has been away."""

import ibis.expr.types as ir

from selfloop.core import schema
from selfloop.inputs.events import Events
from selfloop.measures.repurchase.spells import spells


def customer_gaps(events: Events) -> ir.Table:
    """How long each customer usually waits, and how long this time.

    Parameters
    ----------
    events : Events
        Result of `read_events`.

    Returns
    -------
    ibis table
        Columns of `schema.CUSTOMER_GAPS`, one row per buyer, ordered by nothing. It
        lives in the engine; ``to_pandas()``, ``to_polars()`` or ``to_parquet(path)``
        bring it out.

    Notes
    -----
    `overdue` = days since the last purchase / median of the own finished gaps. It is
    missing for who bought once, and where the median is 0 (several orders of one day,
    counted apart). It orders customers for a list to call, and is no probability: of
    one or two gaps a median says little, and in young data only short gaps have had
    time to finish, so it reads too high. The probability that somebody is still a
    customer is `p_alive` of `fit_lifetime`.

    Examples
    --------
    >>> import pandas as pd
    >>> import selfloop as sl
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["ann", "ann", "ann", "bob"],
    ...     "date": ["2026-01-01", "2026-01-11", "2026-01-31", "2026-02-15"],
    ...     "amount": [5, 5, 5, 9],
    ... })
    >>> table = sl.customer_gaps(sl.read_events(orders)).to_pandas()
    >>> table.set_index("person_id").loc["ann", ["median_gap_days", "overdue"]].tolist()
    [15.0, 1.0]
    """
    Events.check(events)
    rows = spells(events)
    ended = rows.filter(rows.event)
    own = ended.group_by("person_no").aggregate(
        median_gap_days=ended.days.median().cast("float64")
    )
    core = events.core
    buyers = core.filter(core.first_day.notnull())
    joined = buyers.left_join(own, "person_no").drop("person_no_right")
    n_gaps = (joined.n_purchases - 1).cast("int64")
    since = (events.end_day - joined.last_day).cast("int64")
    span = (joined.last_day - joined.first_day).cast("float64")
    return joined.select(
        "person_id",
        n_gaps=n_gaps,
        median_gap_days="median_gap_days",
        mean_gap_days=span / n_gaps.nullif(0),
        days_since_last=since,
        overdue=since / joined.median_gap_days.nullif(0),
    ).select(*schema.names("customer_gaps"))
