"""One row per person, in the engine: when they came, from where, what they did."""

import ibis
import ibis.expr.types as ir

from selfloop.core.errors import DataError, Problem
from selfloop.core.settings import Rules
from selfloop.inputs.baskets import channel_of, day_number
from selfloop.inputs.dialect import id_hash, lowered, person_key
from selfloop.inputs.engine import Engine
from selfloop.inputs.links import Links


def roster(
    ids: ir.Table,
    stats: ir.Table,
    visits: ir.Table | None,
    links: Links | None,
    *,
    channels: ir.Table,
    rules: Rules,
) -> ir.Table:
    """Join what is known of every person.

    Parameters
    ----------
    ids : ibis table
        person_id, person_no.
    stats : ibis table
        Result of `baskets.purchase_stats`.
    visits : ibis table or None
        person_no, seen_at, key of the first visit.
    links : Links or None
        The referrals that count.
    channels : ibis table
        channel, channel_no.
    rules : Rules
        Which channels are paid.

    Returns
    -------
    ibis table
        The internal columns of `Events.core`.

    Notes
    -----
    The source of a person is ``referral`` when a referral of theirs counts, else
    it follows the channel of the first visit, or without visits of the first order.
    """
    people = ids.left_join(stats, "person_no").drop("person_no_right")
    people = people.rename(order_seen_at="seen_at", order_key="key")
    people = _with_visits(people, visits)
    people = _with_links(people, stats, links)
    channel_no = ibis.coalesce(
        channel_of(people.visit_key), channel_of(people.order_key)
    )
    people = people.mutate(channel_no=channel_no)
    people = people.left_join(channels, "channel_no").drop("channel_no_right")
    arrived_at = ibis.least(
        people.order_seen_at, people.visit_seen_at, people.referral_seen_at
    )
    people = people.mutate(arrived_at=arrived_at)
    paid = [name.casefold() for name in rules.paid_channels]
    source = ibis.cases(
        (people.is_referred, "referral"),
        (people.channel.isnull(), "unknown"),
        (lowered(people.channel).isin(paid), "paid"),
        else_="organic",
    )
    return people.select(
        "person_no",
        "person_id",
        id_hash=id_hash(people.person_id),
        arrived_day=day_number(people.arrived_at),
        arrived_at="arrived_at",
        visited_at="visit_seen_at",
        source=source,
        channel="channel",
        referrer_no="referrer_no",
        generation="generation",
        root_no="root_no",
        first_at="first_at",
        second_at="second_at",
        last_at="last_at",
        first_day="first_day",
        second_day="second_day",
        last_day="last_day",
        n_purchases=people.n_purchases.fill_null(0).cast("int32"),
        recency_days="recency_days",
        age_days="age_days",
        repeat_value="repeat_value",
        revenue=people.revenue.fill_null(0),
        refunds=people.refunds.fill_null(0),
        n_invited=people.n_invited.fill_null(0).cast("int32"),
        n_referred=people.n_referred.fill_null(0).cast("int32"),
        success_at="success_at",
        success_after_day="success_after_day",
    )


def name_people(columns: list[ir.StringColumn], engine: Engine) -> ir.Table:
    """Collect everybody's id under the number that stands for it.

    Parameters
    ----------
    columns : list of ibis column
        Columns of ids; missing ones are nobody.
    engine : Engine
        Where the table is kept.

    Returns
    -------
    ibis table
        person_no, person_id; one row per person.

    Raises
    ------
    DataError
        Two ids share a number (SL119), one case in 100,000 at 20 million people.
    """
    parts = []
    for column in columns:
        rows = column.as_table().select(person_id=column).distinct()
        parts.append(rows.filter(rows.person_id.notnull()))
    every = ibis.union(*parts, distinct=True) if len(parts) > 1 else parts[0]
    named = engine.keep(
        every.select("person_id", person_no=person_key(every.person_id)), "ids"
    )
    counted = named.aggregate(n=named.count(), n_keys=named.person_no.nunique())
    line = counted.to_pyarrow().to_pylist()[0]
    if line["n"] > line["n_keys"]:
        raise DataError([_clash(named)])
    return named


def _clash(named: ir.Table) -> Problem:
    """Name two ids that share a number."""
    shared = named.group_by("person_no").aggregate(
        one=named.person_id.min(), other=named.person_id.max()
    )
    pair = shared.filter(shared.one != shared.other).limit(1).to_pyarrow().to_pylist()
    found = f"{pair[0]['one']!r} and {pair[0]['other']!r} have the same hash"
    fix = "put a letter in front of every id, in all tables"
    return Problem("SL119", "", found, fix)


def first_visits(visits: ir.Table, key: ir.IntegerValue) -> ir.Table:
    """Find the first visit of each visitor and its channel, in one pass."""
    rows = visits.mutate(key=key, person_no=person_key(visits.visitor_id))
    return rows.group_by("person_no").aggregate(
        seen_at=rows.visited_at.min(), key=rows.key.min()
    )


def _with_visits(people: ir.Table, visits: ir.Table | None) -> ir.Table:
    """Add the first visit."""
    if visits is None:
        return people.mutate(
            visit_seen_at=ibis.null("timestamp"), visit_key=ibis.null("int64")
        )
    first = visits.rename(visit_seen_at="seen_at", visit_key="key")
    return people.left_join(first, "person_no").drop("person_no_right")


def _with_links(people: ir.Table, stats: ir.Table, links: Links | None) -> ir.Table:
    """Add referrer, generation and what their own referrals came to."""
    if links is None:
        return people.mutate(
            referral_seen_at=ibis.null("timestamp"),
            referrer_no=ibis.null("int64"),
            generation=ibis.null("int32"),
            root_no=ibis.null("int64"),
            is_referred=ibis.literal(value=False),
            n_invited=ibis.literal(0),
            n_referred=ibis.literal(0),
            success_at=ibis.null("timestamp"),
            success_after_day=ibis.null("int32"),
        )
    firsts = stats.select(referee_no="person_no", bought_at="first_at")
    owners = stats.select(referrer_no="person_no", own_at="first_at")
    made = links.table.left_join(firsts, "referee_no").drop("referee_no_right")
    made = made.left_join(owners, "referrer_no").drop("referrer_no_right")
    after = day_number(made.bought_at) >= day_number(made.own_at)
    outcome = made.group_by(person_no="referrer_no").aggregate(
        n_invited=made.count(),
        n_referred=made.bought_at.count(),
        success_at=made.bought_at.min(),
        success_after_day=day_number(made.bought_at).min(where=after),
    )
    seen = links.reach.rename(referral_seen_at="seen_at")
    for part in (seen, links.forest, outcome):
        people = people.left_join(part, "person_no").drop("person_no_right")
    return people.mutate(
        is_referred=people.referrer_no.notnull(),
        generation=people.generation.fill_null(0),
        root_no=people.root_no.fill_null(people.person_no),
    )
