import random
from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache

import ibis
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfloop.core.settings import Rules
from selfloop.inputs import baskets as bk
from selfloop.inputs.duckdb_engine import connect

MONEY = pa.decimal128(18, 4)
EPOCH = date(1970, 1, 1)
END = date(2026, 3, 31)
END_DAY = (END - EPOCH).days


@cache
def engine():
    return connect()


def at(text):
    return datetime.fromisoformat(text)


def upload(rows, columns):
    kinds = {
        "customer_id": pa.string(), "ordered_at": pa.timestamp("us"), "amount": MONEY,
        "order_id": pa.string(), "channel": pa.string(),
    }  # fmt: skip
    arrays = {
        name: pa.array([row[i] for row in rows], kinds[name])
        for i, name in enumerate(columns)
    }
    return engine().upload(pa.table(arrays), "orders")


def orders_of(rows, columns):
    table = upload(rows, columns)
    channels = engine().upload(bk.NO_CHANNELS, "channels")
    if "channel" in columns:
        channels = engine().keep(bk.number_channels([table.channel]), "channels")
    return bk.orders_of_people(table, channels)


def stats_of(rows, *, by_id=False, **rules):
    """One line per customer, under the id."""
    columns = ["customer_id", "ordered_at", "amount"] + ["order_id"] * by_id
    rows = [
        (who, when, Decimal(str(amount)), *more) for who, when, amount, *more in rows
    ]
    rules = Rules(**rules)
    days = engine().keep(bk.baskets(orders_of(rows, columns), rules), "baskets")
    frame = bk.purchase_stats(days, rules, END_DAY).to_pandas()
    ids = sorted({row[0] for row in rows if row[0] is not None})
    table = engine().upload(pa.table({"id": ids}), "ids")
    keys = table.select("id", key=bk.person_key(table.id)).to_pandas()
    frame = frame.set_index("person_no").loc[keys["key"].tolist()]
    frame.index = pd.Index(keys["id"])
    return frame.loc[ids]


# By hand


def test_a_purchase_is_a_customer_day_with_a_positive_net():
    rows = [
        ("a", at("2026-01-01 08:00"), -4),  # returned an hour before
        ("a", at("2026-01-01 09:00"), 10),
        ("a", at("2026-01-01 10:00"), 5),
        ("a", at("2026-01-11 09:00"), 7),
        ("a", at("2026-01-20 09:00"), 5),
        ("a", at("2026-01-20 10:00"), -5),  # nothing is left of this day
        ("a", at("2026-01-21 10:00"), -1),
        ("a", at("2026-01-22 10:00"), 0),
        (None, at("2026-01-01 09:00"), 100),  # a guest
    ]
    line = stats_of(rows).loc["a"]
    assert line.n_purchases == 2  # 1 and 11 January
    assert line.first_at == pd.Timestamp("2026-01-01 09:00")
    assert line.second_at == line.last_at == pd.Timestamp("2026-01-11 09:00")
    assert line.seen_at.date() == date(2026, 1, 1)
    assert line.revenue == Decimal("17")  # -4 + 10 + 5 + 7 + 5 - 5 - 1 + 0
    assert line.refunds == Decimal("10")  # 4 + 5 + 1
    assert line.repeat_value == 7.0
    assert line.recency_days == 10.0
    assert line.age_days == 89.0  # 1 January to 31 March


def test_a_purchase_may_be_an_order():
    rows = [
        ("a", at("2026-01-01 09:00"), 10, "x"),
        ("a", at("2026-01-01 09:01"), -3, "x"),
        ("a", at("2026-01-01 21:00"), 5, "y"),
        ("a", at("2026-01-05 09:00"), -5, "z"),
    ]
    line = stats_of(rows, by_id=True, purchase="order").loc["a"]
    assert line.n_purchases == 2
    assert line.second_at == pd.Timestamp("2026-01-01 21:00")
    assert line.repeat_value == 5.0
    assert line.recency_days == 0.5
    assert line.age_days == 89.625  # from 09:00 to the end of 31 March


def test_orders_at_one_moment_are_several_purchases():
    """Dates without a clock: three orders of one day are a first and two repeats."""
    rows = [("a", at("2026-01-01"), v) for v in (10, 20, 30)]
    line = stats_of(rows, purchase="order").loc["a"]
    assert line.n_purchases == 3
    assert line.first_at == line.second_at == line.last_at == pd.Timestamp("2026-01-01")
    assert line.second_day == line.first_day
    assert line.recency_days == 0.0
    assert line.repeat_value == 40.0  # two of three orders worth 20 on average


def test_line_items_are_one_order():
    rows = [
        ("a", at("2026-01-01 23:59"), 10, "x"),
        ("a", at("2026-01-02 00:01"), 5, "x"),  # the same order, after midnight
        ("b", at("2026-01-02 00:01"), 5, "x"),  # another person: another order
        ("a", at("2026-01-03"), 1, None),
        ("a", at("2026-01-03"), 2, None),
    ]
    frame = stats_of(rows, by_id=True)
    assert frame.n_purchases.tolist() == [2, 1]
    assert frame.loc["a"].last_at == pd.Timestamp("2026-01-03")
    columns = ["customer_id", "ordered_at", "amount", "order_id"]
    rows = [(who, when, Decimal(v), order) for who, when, v, order in rows]
    signs = bk.order_signs(orders_of(rows, columns)).to_pandas().iloc[0]
    assert signs.tolist() == [3, 0, 0]


def test_zero_orders():
    rows = [
        ("a", at("2026-01-01"), 0),
        ("a", at("2026-01-05"), 5),
        ("b", at("2026-01-05"), 0),
        ("c", at("2026-01-05 01:00"), 5),
        ("c", at("2026-01-05 02:00"), -5),
    ]
    assert stats_of(rows).n_purchases.tolist() == [1, 0, 0]
    # A refund to zero is no gift: it does not count either way.
    assert stats_of(rows, zero_orders="count").n_purchases.tolist() == [2, 1, 0]


def test_only_refunds():
    line = stats_of([("a", at("2026-01-01"), -5)]).loc["a"]
    assert line.n_purchases == 0
    assert pd.isna(line.first_at)
    assert pd.isna(line.recency_days)
    assert pd.isna(line.age_days)
    assert line.revenue == -5
    assert line.repeat_value == 0.0


def test_money_is_exact():
    """As floats, 0.1 + 0.2 - 0.3 is above zero and would count as a purchase."""
    rows = [("a", at("2026-01-01"), v) for v in ("0.1", "0.2", "-0.3")]
    assert stats_of(rows).n_purchases.tolist() == [0]


def test_large_sums_are_exact():
    rows = [("a", at(f"2026-01-0{d}"), "9999999999999.9999") for d in range(1, 10)]
    assert stats_of(rows).loc["a"].revenue == Decimal("9999999999999.9999") * 9


def test_nobody_but_guests():
    frame = bk.purchase_stats(
        bk.baskets(
            orders_of(
                [(None, at("2026-01-01"), Decimal(5))],
                ["customer_id", "ordered_at", "amount"],
            ),
            Rules(),
        ),
        Rules(),
        END_DAY,
    ).to_pandas()
    assert len(frame) == 0


# Channels


def first_channel(rows, wanted):
    columns = ["customer_id", "ordered_at", "amount", "channel"]
    table = upload([(w, t, Decimal(1), c) for w, t, c in rows], columns)
    channels = engine().keep(bk.number_channels([table.channel]), "channels")
    orders = bk.orders_of_people(table, channels)
    least = orders.aggregate(key=orders.key.min())
    named = least.select(channel_no=bk.channel_of(least.key))
    found = named.left_join(channels, "channel_no").channel.to_pandas()
    assert found.tolist() == [wanted] if wanted else found.isna().all()


def test_the_channel_of_the_first_row_counts_whatever_their_order():
    rows = [("a", at("2026-01-02"), "ads"), ("a", at("2026-01-01"), "搜索")]
    first_channel(rows, "搜索")
    first_channel(rows[::-1], "搜索")


def test_in_a_tie_the_first_name_counts_and_a_missing_one_last():
    rows = [("a", at("2026-01-01"), c) for c in (None, "b", "a")]
    for _ in range(3):
        random.Random(7).shuffle(rows)
        first_channel(rows, "a")
    first_channel([("a", at("2026-01-01"), None)], None)


@pytest.mark.parametrize("year", [1700, 1969, 1970, 2026, 2200])
def test_time_keys_hold_any_time_and_channel(year):
    table = engine().upload(
        pa.table({"t": [datetime(year, 1, 1)], "n": [bk.CHANNELS - 2]}), "keys"
    )
    key = bk.time_key(table.t, table.n)
    assert table.select(n=bk.channel_of(key)).to_pandas().n.tolist() == [
        bk.CHANNELS - 2
    ]


def test_channels_are_numbered_by_name():
    columns = ["customer_id", "ordered_at", "amount", "channel"]
    rows = [("a", at("2026-01-01"), Decimal(1), c) for c in ("b", "a", None, "b")]
    table = upload(rows, columns)
    frame = bk.number_channels([table.channel, table.channel]).to_pandas()
    assert dict(zip(frame.channel, frame.channel_no, strict=True)) == {"a": 0, "b": 1}


def test_days_are_counted_from_1970():
    table = ibis.memtable({"t": [at("1970-01-01"), at("1969-12-31 23:59:59")]})
    assert bk.day_number(table.t).to_pandas().tolist() == [0, -1]


# Law: the same as counting by hand, whatever the order of the rows


def by_hand(rows, *, purchase, zero):
    """Purchases of each customer, in plain Python."""
    days = defaultdict(list)
    for who, when, amount in rows:
        place = (who, when.date()) if purchase == "day" else (who, when, len(days))
        days[place].append((when, amount))
    people = defaultdict(list)
    for (who, *_), items in days.items():
        net = sum(v for _, v in items)
        refunds = sum(-v for _, v in items if v < 0)
        bought = [t for t, v in items if v > 0] or [t for t, _ in items]
        is_gift = zero == "count" and net == 0 and refunds == 0
        people[who].append((min(bought), net, net > 0 or is_gift, refunds))
    found = {}
    for who, baskets in people.items():
        bought = sorted((t, net) for t, net, yes, _ in baskets if yes)
        first = bought[0][0] if bought else None
        tied = [net for t, net in bought if t == first]
        later = sum(net for t, net in bought if t != first)
        if len(tied) > 1:
            later = float(later) + float(sum(tied)) * (len(tied) - 1) / len(tied)
        found[who] = {
            "n_purchases": len(bought),
            "first_at": first,
            "second_at": bought[1][0] if len(bought) > 1 else None,
            "last_at": bought[-1][0] if bought else None,
            "revenue": sum(net for _, net, _, _ in baskets),
            "refunds": sum(r for *_, r in baskets),
            "repeat_value": float(later),
        }
    return found


moments = st.integers(0, 6 * 24).map(
    lambda h: datetime(2026, 1, 1) + timedelta(hours=h)
)
cents = st.integers(-3, 5).map(lambda v: Decimal(v) / 4)
shops = st.lists(st.tuples(st.sampled_from("abcd"), moments, cents), min_size=1)


@settings(max_examples=12, deadline=None)
@given(
    rows=shops,
    purchase=st.sampled_from(["day", "order"]),
    zero=st.sampled_from(["ignore", "count"]),
    data=st.data(),
)
def test_purchases_are_those_counted_by_hand(rows, purchase, zero, data):
    shuffled = data.draw(st.permutations(rows))
    frame = stats_of(shuffled, purchase=purchase, zero_orders=zero)
    for who, line in by_hand(rows, purchase=purchase, zero=zero).items():
        found = frame.loc[who]
        for name, value in line.items():
            if value is None:
                assert pd.isna(found[name]), (who, name)
            else:
                assert found[name] == value, (who, name)
