"""From order rows to purchases: line items to orders, orders to customer-days."""

from collections.abc import Sequence
from datetime import date

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from selfloop.core.settings import Rules
from selfloop.inputs.dialect import first_two, person_key
from selfloop.inputs.typed import MONEY

EPOCH = date(1970, 1, 1)
"""Day 0 of `day_number`."""

CHANNELS = 1 << 28
"""A time key is seconds times this, plus the number of the channel.

Seconds of the years 1700 to 2200 need 34 bits, which leaves this many channels."""

NO_CHANNEL = CHANNELS - 1
"""Number that stands for a missing channel; it sorts after every channel."""


def day_number(time: ir.TimestampValue) -> ir.IntegerValue:
    """Days since 1970-01-01 of a local time."""
    epoch = ibis.literal(EPOCH.isoformat()).cast("date")
    return time.date().delta(epoch, unit="day").cast("int32")


def time_key(time: ir.TimestampValue, channel_no: ir.IntegerValue) -> ir.IntegerValue:
    """Return a number that is least at the first time and, in a tie, the first channel.

    One integer finds the channel of the earliest row whatever the order of rows,
    which an aggregate such as ``arg_min`` does not at equal times.
    """
    number = channel_no.fill_null(NO_CHANNEL).cast("int64")
    return time.epoch_seconds().cast("int64") * CHANNELS + number


def channel_of(key: ir.IntegerValue) -> ir.IntegerValue:
    """Return the number of the channel inside a time key."""
    number = ((key % CHANNELS) + CHANNELS) % CHANNELS
    return ibis.ifelse(number == NO_CHANNEL, ibis.null("int64"), number)


NO_CHANNELS = pa.table(
    {"channel": pa.array([], pa.string()), "channel_no": pa.array([], pa.int64())}
)
"""What `number_channels` would return where there are none."""


def number_channels(columns: list[ir.StringColumn]) -> ir.Table:
    """Give every channel a number in the order of the names.

    Parameters
    ----------
    columns : list of ibis column
        Columns of channels, at least one.

    Returns
    -------
    ibis table
        channel, channel_no (int64); one row per channel.
    """
    parts = [column.as_table().select(channel=column).distinct() for column in columns]
    every = ibis.union(*parts, distinct=True) if len(parts) > 1 else parts[0]
    every = every.filter(every.channel.notnull())
    number = ibis.row_number().over(order_by=every.channel)
    return every.select("channel", channel_no=number)


def with_channel_number(rows: ir.Table, channels: ir.Table) -> ir.Table:
    """Add channel_no to rows; missing where the rows have no channel."""
    if "channel" not in rows.columns:
        return rows.mutate(channel_no=ibis.null("int64"))
    joined = rows.left_join(channels, rows.channel == channels.channel)
    return joined.select(*[rows[c] for c in rows.columns], "channel_no")


def orders_of_people(orders: ir.Table, channels: ir.Table) -> ir.Table:
    """Sum the rows of each order of a known customer.

    Parameters
    ----------
    orders : ibis table
        Used rows: customer_id, ordered_at, amount[, order_id, channel].
    channels : ibis table
        channel, channel_no.

    Returns
    -------
    ibis table
        person_no, at (first row of the order), net, refunds, key.
    """
    rows = orders.filter(orders.customer_id.notnull())
    rows = with_channel_number(rows, channels)
    zero = ibis.literal(0).cast(rows.amount.type())
    rows = rows.mutate(
        person_no=person_key(rows.customer_id),
        key=time_key(rows.ordered_at, rows.channel_no),
        refund=ibis.ifelse(rows.amount < 0, -rows.amount, zero),
    )
    if "order_id" not in rows.columns:
        return rows.select(
            "person_no", at="ordered_at", net="amount", refunds="refund", key="key"
        )
    summed = rows.group_by("person_no", order=order_name(rows)).aggregate(
        at=rows.ordered_at.min(),
        net=rows.amount.sum(),
        refunds=rows.refund.sum(),
        key=rows.key.min(),
    )
    return summed.select("person_no", "at", "net", "refunds", "key")


def order_name(rows: ir.Table) -> ir.StringValue:
    """Return what the rows of one order of a person share, where orders have ids.

    Rows without an order id are one order when they share person and time.
    """
    named: ir.StringValue = rows.order_id.fill_null(rows.ordered_at.cast("string"))
    return named


def order_signs(orders: ir.Table) -> ir.Table:
    """Count orders by the sign of their net amount.

    Returns
    -------
    ibis table
        n_orders_positive, n_orders_zero, n_orders_negative; one row.
    """
    return orders.aggregate(
        n_orders_positive=(orders.net > 0).sum(),
        n_orders_zero=(orders.net == 0).sum(),
        n_orders_negative=(orders.net < 0).sum(),
    )


def baskets(orders: ir.Table, rules: Rules) -> ir.Table:
    """Turn orders of known customers into purchases and the days around them.

    Parameters
    ----------
    orders : ibis table
        Result of `orders_of_people`.
    rules : Rules
        Whether a purchase is a customer-day or an order, and what zero means.

    Returns
    -------
    ibis table
        person_no, day (int32), at, net, refunds, key, is_purchase.
    """
    rows = orders.mutate(day=day_number(orders.at))
    if rules.purchase == "day":
        bought_at = rows.at.min(where=rows.net > 0)
        rows = rows.group_by("person_no", "day").aggregate(
            at=ibis.coalesce(bought_at, rows.at.min()),
            net=rows.net.sum(),
            refunds=rows.refunds.sum(),
            key=rows.key.min(),
        )
    is_purchase = rows.net > 0
    if rules.zero_orders == "count":
        is_purchase = is_purchase | ((rows.net == 0) & (rows.refunds == 0))
    # Sums are exact in 38 digits; 18 are enough to keep, and half the size.
    return rows.mutate(
        net=rows.net.cast(MONEY),
        refunds=rows.refunds.cast(MONEY),
        is_purchase=is_purchase,
    )


def purchase_stats(rows: ir.Table, rules: Rules, end_day: int) -> ir.Table:
    """Reduce baskets to one row per customer, in one pass (orders: two).

    Parameters
    ----------
    rows : ibis table
        Result of `baskets`.
    rules : Rules
        What a purchase is.
    end_day : int
        Last observed day, in days since 1970-01-01.

    Returns
    -------
    ibis table
        person_no, seen_at, key, first_at, second_at, last_at, first_day,
        second_day, last_day, n_purchases, recency_days, age_days, repeat_value,
        revenue, refunds.
    """
    by_day = rules.purchase == "day"
    stats = _days_per_person(rows) if by_day else _orders_per_person(rows)
    stats = stats.mutate(
        first_day=day_number(stats.first_at),
        second_day=day_number(stats.second_at),
        last_day=day_number(stats.last_at),
        repeat_value=stats.repeat_value.fill_null(0).cast("float64"),
    )
    if by_day:
        recency = (stats.last_day - stats.first_day).cast("float64")
        age = (end_day - stats.first_day).cast("float64")
    else:
        seconds = 86_400.0
        first = stats.first_at.epoch_seconds()
        recency = (stats.last_at.epoch_seconds() - first) / seconds
        age = ((end_day + 1) * 86_400 - first) / seconds
    return stats.mutate(recency_days=recency, age_days=age)


def _days_per_person(rows: ir.Table) -> ir.Table:
    """Reduce customer-days, of which a person has one per day, in one pass."""
    stats = rows.group_by("person_no").aggregate(
        **_sums(rows),
        two=first_two(rows.at, rows.is_purchase),
        bought=rows.net.sum(where=rows.is_purchase),
        first_value=rows.net.argmin(rows.at, where=rows.is_purchase),
    )
    stats = stats.mutate(
        first_at=stats.two[0],
        second_at=stats.two[1],
        repeat_value=stats.bought - stats.first_value,
    )
    return stats.drop("two", "bought", "first_value")


def _orders_per_person(rows: ir.Table) -> ir.Table:
    """Reduce orders, of which a person may have several at one moment."""
    bought = rows.filter(rows.is_purchase)
    firsts = bought.group_by("person_no").aggregate(first_at=bought.at.min())
    joined = rows.left_join(firsts, "person_no").drop("person_no_right")
    is_first = joined.is_purchase & (joined.at == joined.first_at)
    later = joined.is_purchase & (joined.at > joined.first_at)
    stats = joined.group_by("person_no").aggregate(
        **_sums(joined),
        first_at=joined.first_at.min(),
        later_at=joined.at.min(where=later),
        later_value=joined.net.sum(where=later),
        first_value=joined.net.sum(where=is_first),
        n_first=is_first.sum(),
    )
    # Of several orders at the first moment one is the first and the others repeat.
    several = stats.n_first > 1
    tied = stats.first_value.cast("float64") * (stats.n_first - 1) / stats.n_first
    later_value = stats.later_value.fill_null(0).cast("float64")
    stats = stats.mutate(
        second_at=ibis.ifelse(several, stats.first_at, stats.later_at),
        repeat_value=later_value + ibis.ifelse(several, tied, 0.0),
    )
    return stats.drop("later_at", "later_value", "first_value", "n_first")


def _sums(rows: ir.Table) -> dict[str, ir.Value]:
    """Express what both ways of counting purchases have in common."""
    return {
        "seen_at": rows.at.min(),
        "key": rows.key.min(),
        "last_at": rows.at.max(where=rows.is_purchase),
        "n_purchases": rows.is_purchase.sum().cast("int32"),
        "revenue": rows.net.sum(),
        "refunds": rows.refunds.sum(),
    }


def soon(
    rows: ir.Table, people: ir.Table, days: int, *, also: Sequence[str] = ()
) -> ir.Table:
    """Select what people did in the days after their first purchase.

    Parameters
    ----------
    rows : ibis table
        Result of `baskets`.
    people : ibis table
        person_no, first_day.
    days : int
        From the day of the first purchase to so many days after, inclusive.
    also : sequence of str, optional
        More columns of `people` that are wanted.

    Returns
    -------
    ibis table
        The rows of these people and days, with first_day and age, in days.
    """
    joined = rows.join(people.select("person_no", "first_day", *also), "person_no")
    joined = joined.mutate(age=joined.day - joined.first_day)
    return joined.filter(joined.age.between(0, days))
