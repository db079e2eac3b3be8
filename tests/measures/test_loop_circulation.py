"""Circulation: weeks, lineage, shares of ads by hand; sums, zones, what is missing."""

import math

import pandas as pd
import pytest
import small_shops as shops
from small_shops import orders, referrals, visits

import selfloop as sl

SOURCES = ("referral", "paid", "organic", "unknown")
FIRSTS = [f"n_first_{source}" for source in SOURCES]
MONEY = ["revenue", "revenue_repeat", *(f"revenue_first_{s}" for s in SOURCES)]
PAID = ["share_orders_paid", "share_revenue_paid", "share_new_paid"]

# ann (ads) buys on Sunday 4 January and on Sunday 1 February. She brings bob, who buys
# on Monday the 5th; he brings cat (Tuesday the 13th). dan (mail) buys on Monday
# 2 February, eve (unknown) on the 3rd, with a refund on the 4th.
ORDERS = orders(
    ("ann", 3.5, 20), ("bob", 4, 30), ("cat", 12, 8), ("ann", 31, 5), ("dan", 32, 40),
    ("eve", 33, 7), ("eve", 34, -3),
)  # fmt: skip
BROUGHT = referrals(("ann", "bob", 3.6), ("bob", "cat", 11))
SEEN = visits(("ann", 0, "ads"), ("dan", 5, "mail"))


@pytest.fixture(scope="module")
def loop():
    return sl.self_loop(sl.read_events(ORDERS, BROUGHT, visits=SEEN))


def line(table, key, value):
    """Return one line of a table as a dict."""
    (row,) = table[table[key] == value].to_dict("records")
    return row


# Weeks by hand ---------------------------------------------------------------------


def test_weeks_begin_on_mondays(loop):
    weeks = loop.weeks
    assert weeks["week"].tolist() == [
        "2025-12-29", "2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26",
        "2026-02-02",
    ]  # fmt: skip
    # The data begin on a Thursday and end on a Wednesday.
    assert weeks["status"].tolist() == ["partial", *["complete"] * 4, "partial"]
    assert weeks["n_orders"].tolist() == [1, 1, 1, 0, 1, 2]
    assert weeks["n_repeat"].tolist() == [0, 0, 0, 0, 1, 0]
    assert weeks[FIRSTS].to_numpy().tolist() == [
        [0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0] * 4, [0] * 4, [0, 0, 1, 1],
    ]  # fmt: skip
    assert weeks[MONEY].to_numpy().tolist() == [
        [20, 0, 0, 20, 0, 0], [30, 0, 30, 0, 0, 0], [8, 0, 8, 0, 0, 0], [0] * 6,
        [5, 5, 0, 0, 0, 0], [44, -3, 0, 0, 40, 7],
    ]  # fmt: skip


def test_shares_of_weeks(loop):
    by_ads, brought, _, quiet, again, last = loop.weeks.to_dict("records")
    assert [by_ads[c] for c in ("share_orders", "share_revenue", *PAID)] == [
        0, 0, 1, 1, 1,
    ]  # fmt: skip
    assert [brought[c] for c in ("share_orders", "share_new", *PAID)] == [1, 1, 0, 0, 0]
    for column in ("share_orders", "share_revenue", "share_new", *PAID):
        assert math.isnan(quiet[column])
    # A repeat alone: all of the orders, and nobody is new.
    assert (again["share_orders"], again["share_orders_paid"]) == (1, 0)
    assert math.isnan(again["share_new"])
    assert math.isnan(again["share_new_paid"])
    # eve's refund is all that older customers did: -3 of 44 is no share.
    assert (last["share_orders"], last["share_new"]) == (0, 0)
    assert math.isnan(last["share_revenue"])


@pytest.mark.parametrize(
    ("first", "end", "status"),
    [
        # 5 January 2026 (day 4) is a Monday, the 11th a Sunday.
        (4, "2026-01-11", ["complete"]),
        (5, "2026-01-11", ["partial"]),
        (4, "2026-01-10", ["partial"]),
        (3, "2026-01-12", ["partial", "complete", "partial"]),
    ],
)
def test_a_week_is_complete_when_all_its_days_were_seen(first, end, status):
    events = sl.read_events(orders(("a", first, 1), ("a", 8, 1)), end=end)
    assert sl.self_loop(events).weeks["status"].tolist() == status


@pytest.mark.parametrize(
    ("zone", "week", "month"),
    [("UTC", "2026-01-26", "2026-01"), ("Asia/Shanghai", "2026-02-02", "2026-02")],
)
def test_days_are_cut_in_the_zone(zone, week, month):
    # Sunday 1 February, 17:00 in London is Monday, 1:00 in Shanghai; and Saturday
    # 31 January, 16:00 is Sunday 1 February, midnight.
    times = pd.to_datetime(["2026-01-31 16:00Z", "2026-02-01 17:00Z"])
    table = pd.DataFrame(
        {"customer_id": ["a", "b"], "ordered_at": times, "amount": [1.0, 2.0]}
    )
    loop = sl.self_loop(sl.read_events(table, timezone=zone))
    assert line(loop.weeks, "week", week)["n_orders"] >= 1
    assert line(loop.weeks, "week", week)["revenue_first_unknown"] == (
        3 if zone == "UTC" else 2
    )
    assert line(loop.months, "month", month)["n_orders"] == (1 if zone == "UTC" else 2)


# Lineage by hand -------------------------------------------------------------------


def test_lineage_by_hand(loop):
    table = loop.lineage
    assert table["root_source"].tolist() == ["paid", "organic", "unknown"]
    counts = ["n_buyers", "n_roots", "n_brought", "n_orders"]
    money = ["revenue", "revenue_own", "revenue_direct", "revenue_brought"]
    # ann's tree: bob (30) and cat (8) lead back to her; she spent 20 at once, then 5.
    assert table[counts].to_numpy().tolist() == [
        [3, 1, 2, 4],
        [1, 1, 0, 1],
        [1, 1, 0, 1],
    ]
    assert table[money].to_numpy().tolist() == [
        [63, 25, 20, 38], [40, 40, 40, 0], [4, 4, 7, 0],
    ]  # fmt: skip
    assert table["share_direct"].tolist()[:2] == [20 / 63, 1]
    assert table["share_brought"].tolist() == [38 / 63, 0, 0]
    # eve's 7 of 4 is no share.
    assert math.isnan(table["share_direct"].iloc[2])


def test_lineage_by_month_by_hand(loop):
    table = loop.lineage_months
    assert table[["month", "root_source"]].to_numpy().tolist() == [
        ["2026-01", "paid"], ["2026-02", "paid"], ["2026-02", "organic"],
        ["2026-02", "unknown"],
    ]  # fmt: skip
    numbers = ["n_buyers", "n_roots", "n_brought", "n_orders", "revenue", "revenue_own",
               "revenue_direct", "revenue_brought"]  # fmt: skip
    # January: 20 of ann, 38 of bob and cat. February: ann's 5, on no first day.
    assert table[numbers].iloc[:2].to_numpy().tolist() == [
        [3, 1, 2, 3, 58, 20, 20, 38], [0, 0, 0, 1, 5, 5, 0, 0],
    ]  # fmt: skip


def test_who_leads_back_to_somebody_who_never_bought():
    # staff (never seen otherwise: unknown) brings a (ads), who brings b.
    events = sl.read_events(
        orders(("a", 2, 10), ("b", 4, 6)),
        referrals(("staff", "a", 1), ("a", "b", 3)),
        visits=visits(("a", 1.5, "ads"), ("c", 1, "ads")),
    )
    table = sl.self_loop(events).lineage
    (row,) = table.to_dict("records")
    assert (row["root_source"], row["n_buyers"], row["n_roots"]) == ("unknown", 2, 0)
    assert (row["n_brought"], row["revenue_own"], row["revenue_brought"]) == (2, 0, 16)


def test_orders_count_in_lineage_when_they_are_purchases():
    # a orders twice on the first day and once a day later: the second order repeats,
    # and "direct" is the first one alone.
    events = sl.read_events(
        orders(("a", 0, 5), ("a", 0.5, 4), ("a", 1, 3), ("b", 2, 9)),
        referrals(("a", "b", 1)),
        purchase="order",
    )
    loop = sl.self_loop(events)
    (row,) = loop.lineage.to_dict("records")
    assert (row["n_buyers"], row["n_orders"]) == (2, 4)
    assert (row["revenue_own"], row["revenue_direct"]) == (12, 5)
    (week,) = loop.weeks.to_dict("records")
    assert (week["n_orders"], week["n_repeat"], week["share_orders"]) == (4, 2, 3 / 4)
    assert (week["revenue_repeat"], week["revenue_first_unknown"]) == (7, 5)


# Sums ------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["untidy", "simulated", "retail"])
def test_weeks_months_and_lineage_have_the_same_sums(request, which):
    events = request.getfixturevalue(f"{which}_events")
    loop, totals = sl.self_loop(events), events.totals
    known = float(totals["revenue"]) - float(totals["revenue_guests"])
    for table in (loop.weeks, loop.months, loop.lineage, loop.lineage_months):
        assert table["n_orders"].sum() == totals["n_purchases"]
        assert table["revenue"].sum() == pytest.approx(known)
    same = ["n_orders", "n_repeat", *FIRSTS, *MONEY, "revenue_before"]
    weeks, months = (t[same].fillna(0).sum() for t in (loop.weeks, loop.months))
    assert weeks.to_numpy(float) == pytest.approx(months.to_numpy(float))
    for table in (loop.lineage, loop.lineage_months):
        assert table["n_buyers"].sum() == totals["n_buyers"]
        assert shops.has_columns(
            table, "loop_lineage_months" if "month" in table else "loop_lineage"
        )
    assert shops.has_columns(loop.weeks, "loop_weeks")
    by_month = loop.lineage_months.groupby("month")["revenue"].sum()
    months = loop.months.set_index("month")["revenue"]
    assert by_month.reindex(months.index).fillna(0).to_numpy() == pytest.approx(
        months.to_numpy()
    )


def test_lineage_by_climbing_in_pandas(simulated_events, simulated_people):
    people = simulated_people
    root = {}
    for who in people.index:
        top = who
        while isinstance(people["referrer"][top], str):
            top = people["referrer"][top]
        root[who] = top
    bought = people[people["first_day"].notna()].assign(root=pd.Series(root))
    source = bought["root"].map(people["source"])
    is_root = bought["referrer"].isna()
    table = sl.self_loop(simulated_events).lineage.set_index("root_source")
    for name, rows in bought.groupby(source):
        found = table.loc[name]
        assert found["n_buyers"] == len(rows)
        assert found["n_roots"] == is_root[rows.index].sum()
        assert found["n_orders"] == rows["n_purchases"].sum()
        own = rows.loc[is_root[rows.index], "revenue"].sum()
        assert found["revenue_own"] == pytest.approx(own)
        assert found["revenue_brought"] == pytest.approx(rows["revenue"].sum() - own)
    assert set(table.index) == set(source)


def test_cents_of_guests_are_kept():
    # 4.35 times 10,000 is not quite 43,500 in floats.
    loop = sl.self_loop(sl.read_events(orders((None, 0, 4.35), ("a", 0, 8.7))))
    assert loop.months["revenue_guests"].tolist() == [4.35]
    assert loop.weeks["revenue"].tolist() == [8.7]


# What is missing is missing --------------------------------------------------------


def test_without_a_paid_channel_the_share_of_ads_is_missing():
    # Nobody says that ads are paid: what is bought is not known.
    events = sl.read_events(ORDERS, BROUGHT, visits=SEEN, paid_channels=())
    loop = sl.self_loop(events)
    assert loop.paid_reason == "no channel is named as paid; pass paid_channels="
    for table in (loop.weeks, loop.months):
        assert table[PAID].isna().all(axis=None)
    # ann again, bob and cat, of six purchases.
    assert loop.share_orders == 3 / 6
    assert loop.lineage["root_source"].tolist() == ["organic", "unknown"]


def test_without_channels_the_share_of_ads_is_missing():
    loop = sl.self_loop(sl.read_events(ORDERS, BROUGHT))
    assert loop.paid_reason == "no table has channels"
    assert loop.weeks[PAID].isna().all(axis=None)


def test_named_channels_that_brought_nobody_are_not_called_unnamed():
    events = sl.read_events(ORDERS, BROUGHT, visits=SEEN, paid_channels=("tv",))
    loop = sl.self_loop(events)
    assert "no channel is named as paid" not in loop.paid_reason


def test_without_referrals_it_is_unknown_who_was_brought():
    loop = sl.self_loop(sl.read_events(ORDERS, visits=SEEN))
    shares = ["n_first_referral", "revenue_first_referral", "share_orders",
              "share_revenue", "share_new"]  # fmt: skip
    for table in (loop.weeks, loop.months):
        assert table[shares].isna().all(axis=None)
        assert table["n_orders"].sum() == 6
    # Nobody knows how many of them were brought, so neither how many were not.
    unknown = ["n_roots", "n_brought", "revenue_own", "revenue_brought",
               "share_brought"]  # fmt: skip
    for table in (loop.lineage, loop.lineage_months):
        assert table[unknown].isna().all(axis=None)
    assert loop.lineage["n_buyers"].sum() == 5


def test_nobody_bought():
    loop = sl.self_loop(sl.read_events(orders(("a", 0, -5), ("a", 40, -1))))
    assert shops.has_columns(loop.lineage, "loop_lineage")
    assert loop.lineage["revenue"].sum() == -6
    assert loop.weeks["revenue_before"].sum() == -6
    assert loop.weeks["share_revenue"].isna().all()


def test_only_guests():
    loop = sl.self_loop(sl.read_events(orders((None, 0, 5), (None, 9, 5))))
    assert loop.lineage.empty
    assert (loop.weeks["n_orders"] == 0).all()
