"""Small shops for the tests of measures, and the same facts in plain pandas."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from selfloop.core import schema

DAY_0 = pd.Timestamp("2026-01-01")
DATA = Path(__file__).parents[2] / "data" / "sample"
FIXTURES = Path(__file__).parents[1] / "fixtures"

RETAIL_COLUMNS = {
    "order_id": "InvoiceNo",
    "customer_id": "CustomerID",
    "ordered_at": "InvoiceDate",
    "quantity": "Quantity",
    "unit_price": "UnitPrice",
}

HOSTILE = "<script>alert(1)</script>"


class Tables(NamedTuple):
    """Three input tables of one shop."""

    orders: pd.DataFrame
    referrals: pd.DataFrame
    visits: pd.DataFrame


def day(n):
    """Return the time n days after the first."""
    return DAY_0 + pd.Timedelta(days=n)


def date_of(n):
    """Return the date n days after the first, as `end` wants it."""
    return f"{day(n):%Y-%m-%d}"


def orders(*rows):
    """Make orders of (customer, day, amount)."""
    lines = [(who, day(n), amount) for who, n, amount in rows]
    return pd.DataFrame(lines, columns=["customer_id", "ordered_at", "amount"])


def referrals(*rows):
    """Make referrals of (referrer, referee, day)."""
    lines = [(by, whom, day(n)) for by, whom, n in rows]
    return pd.DataFrame(lines, columns=["referrer_id", "referee_id", "referred_at"])


def visits(*rows):
    """Make visits of (visitor, day, channel)."""
    lines = [(who, day(n), channel) for who, n, channel in rows]
    return pd.DataFrame(lines, columns=["visitor_id", "visited_at", "channel"])


def random_shop(seed=5, n_people=240, days=300):
    """Draw an untidy shop: refunds, guests, rings, repeated and late referrals.

    Times are whole seconds and all different, so that no tie is decided by an id.
    """
    rng = np.random.default_rng(seed)
    ids = np.array([f"p{i:03d}" for i in range(n_people)])
    clock = iter(rng.permutation(days * 86_400 - 1))

    def moment(low=0.0, high=1.0):
        second = next(t for t in clock if low <= t / (days * 86_400) < high)
        return DAY_0 + pd.Timedelta(seconds=int(second))

    channels = ["ads", "search", "direct", None]
    seen = [
        (who, moment(0, 0.7), channels[rng.integers(4)])
        for who in ids
        if rng.random() < 0.8
    ]
    bought = []
    for who in ids[rng.random(n_people) < 0.6]:
        for k in range(rng.geometric(0.5)):
            amount = round(float(rng.gamma(2, 20)), 2)
            bought.append(
                (who, moment(), -amount if k and rng.random() < 0.3 else amount)
            )
    bought += [(who, moment(), -5.0) for who in ids[:5]]
    bought += [(None, moment(), 12.5) for _ in range(20)]
    pairs = rng.integers(0, n_people, (n_people, 2))
    brought = [(ids[a], ids[b], moment(0, 0.8)) for a, b in pairs]
    brought += [(b, a, moment()) for a, b, _ in brought[:15]]
    brought += [(a, b, moment()) for a, b, _ in brought[20:30]]
    return Tables(
        pd.DataFrame(bought, columns=["customer_id", "ordered_at", "amount"]),
        pd.DataFrame(brought, columns=["referrer_id", "referee_id", "referred_at"]),
        pd.DataFrame(seen, columns=["visitor_id", "visited_at", "channel"]),
    )


def renamed(tables, name):
    """Give everybody another id; missing ids stay missing."""
    ids = ["customer_id", "referrer_id", "referee_id", "visitor_id"]
    return Tables(*(
        t.assign(**{c: t[c].map(name, na_action="ignore") for c in ids if c in t})
        for t in tables
    ))  # fmt: skip


def shuffled(tables, seed):
    """Put the rows of every table in another order."""
    return Tables(*(t.sample(frac=1, random_state=seed) for t in tables))


def plain_people(orders, referrals, visits, *, end, paid=("ads", "信息流")):
    """Reduce events to one row per person, by the definitions and in pandas only.

    One purchase per customer-day of positive value; of several referrals the first
    that is not after the first purchase nor more than 90 days before it. Days count
    from 1970. There are no rings in the shops that it is used for.
    """
    known = orders[orders["customer_id"].notna()]
    bought = _purchase_days(known)
    people = pd.DataFrame({
        "first_day": bought.groupby("customer_id")["day"].min(),
        "second_day": bought[bought["rank"] == 2].set_index("customer_id")["day"],
        "n_purchases": bought.groupby("customer_id")["day"].size(),
        "revenue": known.groupby("customer_id")["amount"].sum(),
    })  # fmt: skip
    seen = [known.set_index("customer_id")["ordered_at"]]
    for table, column, time in (
        (visits, "visitor_id", "visited_at"),
        (referrals, "referrer_id", "referred_at"),
        (referrals, "referee_id", "referred_at"),
    ):
        seen.append(table.set_index(column)[time])
    arrived = pd.concat(seen).groupby(level=0).min()
    people = people.reindex(arrived.index).rename_axis("person_id")
    people["arrived_day"] = _day_number(arrived)
    pairs = referrals.sort_values(["referred_at", "referrer_id"])
    lead = pairs["referee_id"].map(people["first_day"]) - _day_number(
        pairs["referred_at"]
    )
    pairs = pairs[~((lead < 0) | (lead > 90))].drop_duplicates("referee_id")
    people["referrer"] = pairs.set_index("referee_id")["referrer_id"]
    own = people["referrer"].map(people["first_day"])
    after = people[people["first_day"] >= own]
    people["success_day"] = after.groupby("referrer")["first_day"].min()
    first = visits.sort_values(["visited_at", "channel"]).drop_duplicates("visitor_id")
    channel = people.index.map(first.set_index("visitor_id")["channel"])
    people["source"] = np.select(
        [people["referrer"].notna(), channel.isna(), channel.isin(paid)],
        ["referral", "unknown", "paid"],
        "organic",
    )
    people["end_day"] = _day_number(pd.Series([pd.Timestamp(end)])).iloc[0]
    return people


def _purchase_days(known):
    """Return the customer-days of positive value, numbered from 1 by customer."""
    cents = (known["amount"] * 10_000).round().astype("int64")
    days = (
        known.assign(day=_day_number(known["ordered_at"]), cents=cents)
        .groupby(["customer_id", "day"], as_index=False)["cents"]
        .sum()
    )
    days = days[days["cents"] > 0].sort_values(["customer_id", "day"])
    return days.assign(rank=days.groupby("customer_id").cumcount() + 1)


def _day_number(times):
    """Days since 1970-01-01 of each time."""
    return (times.dt.normalize() - pd.Timestamp("1970-01-01")).dt.days


def has_columns(frame, table):
    """Tell whether a table has exactly the columns of the schema, in their order."""
    return list(frame.columns) == schema.names(table)


def by_id(table):
    """Bring a table with one row per person out, in order of id."""
    return table.to_pandas().sort_values("person_id", ignore_index=True)
