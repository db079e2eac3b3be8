"""What came before and after each purchase, and who bought in each period."""

import ibis
import ibis.expr.types as ir
import pandas as pd

from selfloop.inputs.events import Events
from selfloop.measures.customers.lapses import Lapses
from selfloop.measures.periods import Period, period_number


def with_neighbours(events: Events, period: Period) -> ir.Table:
    """Select all baskets, each purchase with the days of those before and after.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    period : {"day", "week", "month", "quarter"}
        Length of the periods.

    Returns
    -------
    ibis table
        person_no, day, net, is_purchase, period (its number); previous_day, next_day
        and previous_period of the purchases of a person, missing where there is none
        and of no meaning for what is no purchase.
    """
    rows = events.baskets
    rows = rows.select(
        "person_no", "day", "net", "is_purchase", period=period_number(rows.at, period)
    )
    # What is no purchase stands in groups of its own and is not looked at there.
    among = ibis.window(group_by=[rows.person_no, rows.is_purchase], order_by=rows.day)
    return rows.mutate(
        previous_day=rows.day.lag().over(among),
        next_day=rows.day.lead().over(among),
        previous_period=rows.period.lag().over(among),
    )


def count_moves(rows: ir.Table, lapses: Lapses) -> pd.DataFrame:
    """Count purchases by day, by what came before them and what comes after.

    Parameters
    ----------
    rows : ibis table
        Purchases, from `with_neighbours`.
    lapses : Lapses
        When people are dormant and lost.

    Returns
    -------
    DataFrame
        day; kind, how the buyer comes to it: 0 new, 1 active, 2 from dormant, 3 from
        lost; left, 0 when the next purchase comes in time, 1 when the buyer falls
        dormant before it, 2 when lost; since, periods since that of the purchase
        before: 0, 1, 2 for more, -1 for none; n.
    """
    silence = rows.next_day - rows.day
    steps = rows.period - rows.previous_period
    since = ibis.cases((steps.isnull(), -1), (steps <= 1, steps), else_=2)
    left = ibis.cases(
        (silence <= lapses.dormant_after_days, 0),
        (silence <= lapses.lost_after_days, 1),
        else_=2,
    )
    counted = rows.group_by(
        day="day", kind=_kind(rows, lapses), left=left, since=since
    ).aggregate(n=rows.count())
    frame: pd.DataFrame = counted.to_pandas()
    return frame


def sum_buyers(rows: ir.Table, lapses: Lapses) -> pd.DataFrame:
    """Sum people and revenue by period and by how they came to buy in it.

    Parameters
    ----------
    rows : ibis table
        From `with_neighbours`.
    lapses : Lapses
        When people are dormant and lost.

    Returns
    -------
    DataFrame
        period; kind as in `count_moves` of the first purchase in it, 4 for people who
        bought nothing; n, revenue.
    """
    is_first = rows.is_purchase & (
        rows.previous_period.isnull() | (rows.previous_period < rows.period)
    )
    first = ibis.ifelse(is_first, _kind(rows, lapses), ibis.null("int8"))
    rows = rows.select("person_no", "period", "net", first=first)
    once = rows.group_by("person_no", "period").aggregate(
        kind=rows["first"].max().fill_null(4),
        net=rows.net.sum(),
    )
    grouped = once.group_by("period", "kind").aggregate(
        n=once.count(), revenue=once.net.sum()
    )
    frame: pd.DataFrame = grouped.to_pandas()
    return frame


def count_arrivals(events: Events) -> pd.DataFrame:
    """Count everybody by the day they were first seen.

    Parameters
    ----------
    events : Events
        Result of `read_events`.

    Returns
    -------
    DataFrame
        day, n.
    """
    core = events.core
    counted = core.group_by(day="arrived_day").aggregate(n=core.count())
    frame: pd.DataFrame = counted.to_pandas()
    return frame


def _kind(rows: ir.Table, lapses: Lapses) -> ir.IntegerValue:
    """Express how people come to a purchase: 0 new, 1 repeat, 2 dormant, 3 lost."""
    silence = rows.day - rows.previous_day
    return ibis.cases(
        (silence.isnull(), 0),
        (silence <= lapses.dormant_after_days, 1),
        (silence <= lapses.lost_after_days, 2),
        else_=3,
    ).cast("int8")
