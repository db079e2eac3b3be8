"""Value of visitors, cost of buyers: by hand, against pandas, laws, what is missing."""

import math

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from scipy.stats import linregress
from scipy.stats import t as student
from small_shops import day, orders, referrals, visits

import selfloop as sl
from selfloop.core.errors import MissingTableError, SettingError

# A shop whose numbers are exact. 100 people come from ads on day 0, 40 of them buy: 10
# on day 5 and 20 on day 15. 30 of these bring one buyer each at age 20; a000 invites 12
# more who never buy. Who is brought arrives a day before the first purchase, spends 8
# then and 12 ten days later; six of these 30 bring one each at age 15, who do the same.
# 50 come by mail and buy nothing. All are watched to day 100.
CAME = [f"a{i:03d}" for i in range(100)]
BROUGHT = [f"r{i:02d}" for i in range(36)]
FIRST_DAY = [25] * 30 + [40] * 6


def by_hand_tables():
    """Make orders, referrals and visits of that shop."""
    rows = [(who, 5, 10) for who in CAME[:40]] + [(who, 15, 20) for who in CAME[:40]]
    for who, at in zip(BROUGHT, FIRST_DAY, strict=True):
        rows += [(who, at, 8), (who, at + 10, 12)]
    owners = CAME[:30] + BROUGHT[:6]
    links = [
        (a, b, at - 1) for a, b, at in zip(owners, BROUGHT, FIRST_DAY, strict=True)
    ]
    links += [("a000", f"n{i:02d}", 24) for i in range(12)]
    seen = [(who, 0, "ads") for who in CAME] + [(f"m{i}", 0, "mail") for i in range(50)]
    return shops.Tables(orders(*rows), referrals(*links), visits(*seen))


def spending(*rows):
    """Make spend of (day, channel, spend)."""
    lines = [(day(n), channel, amount) for n, channel, amount in rows]
    return pd.DataFrame(lines, columns=["date", "channel", "spend"])


SPEND = spending((0, "ads", 640), (9, "ads", 640))


def read(tables, **more):
    """Read the tables of a shop to day 100."""
    return sl.read_events(
        tables.orders, tables.referrals, visits=tables.visits,
        **({"end": shops.date_of(100)} | more),
    )  # fmt: skip


@pytest.fixture(scope="module")
def by_hand():
    return read(by_hand_tables(), spend=SPEND)


def line(table, value, key="segment"):
    """Return one line of a table as a dict."""
    (row,) = table[table[key] == value].to_dict("records")
    return row


def numbers(row, *names):
    """Return some numbers of a line."""
    return [row[name] for name in names]


# Values by hand --------------------------------------------------------------------


def test_a_visitor_by_hand(by_hand):
    found = sl.visitor_value(by_hand)
    # Who is brought spends 8 + 12 and brings 6 / 36: S = 20 / (1 - 1/6) = 24.
    assert found.descent_value == pytest.approx(24)
    assert (found.descent_own_value, found.descent_r) == pytest.approx((20, 1 / 6))
    assert (found.descent_days, found.descent_reason) == (75, "")
    paid = line(found.table, "paid")
    assert numbers(paid, "n_arrived", "n_buyers", "value_days") == [100, 40, 95]
    # p = 40/100, L = 10 + 20, R = 30/40: a buyer is worth 30 + 0.75 * 24 = 48.
    assert numbers(
        paid, "share_converted", "first_value", "repeat_value", "own_value", "r"
    ) == pytest.approx([0.4, 10, 20, 30, 0.75])
    assert numbers(
        paid, "brought_value", "buyer_value", "share_brought"
    ) == pytest.approx([18, 48, 18 / 48])
    assert numbers(
        paid, "visitor_own_value", "visitor_brought_value", "visitor_value"
    ) == pytest.approx([12, 7.2, 19.2])
    assert paid["reason"] == ""


def test_those_who_are_brought_by_hand(by_hand):
    row = line(sl.visitor_value(by_hand).table, "referral")
    # 36 of 48 who were invited bought, and each is worth S itself.
    assert row["conversion_days"] == 1
    assert numbers(row, "share_converted", "buyer_value", "visitor_value") == (
        pytest.approx([0.75, 24, 18])
    )


def test_everybody_from_outside_by_hand(by_hand):
    row = line(sl.visitor_value(by_hand).table, "(outside)")
    # 40 of 150 buy, all of them from ads: 40/150 * 48.
    assert numbers(row, "n_arrived", "n_buyers") == [150, 40]
    assert row["visitor_value"] == pytest.approx(12.8)


def test_nobody_bought_but_many_came(by_hand):
    row = line(sl.visitor_value(by_hand).table, "organic")
    assert numbers(row, "n_arrived", "n_buyers") == [50, 0]
    assert row["reason"] == "0 buyers, need 30"
    assert math.isnan(row["buyer_value"])
    # That none of 50 has bought is known.
    assert row["share_converted"] == 0


@pytest.mark.parametrize(
    ("horizon", "own", "r", "s", "p"),
    [
        (4, 10, 0, 8, 0),  # they buy 5 days after they came
        (9, 10, 0, 8, 0.4),  # all spend again at age 10
        (10, 30, 0, 20, 0.4),
        (14, 30, 0, 20, 0.4),  # they bring others at ages 15 and 20
        (15, 30, 0, 24, 0.4),
        (20, 30, 0.75, 24, 0.4),
        (365, 30, 0.75, 24, 0.4),
    ],
)
def test_the_horizon_cuts(by_hand, horizon, own, r, s, p):
    found = sl.visitor_value(by_hand, horizon_days=horizon)
    paid = line(found.table, "paid")
    assert found.descent_value == pytest.approx(s)
    assert paid["value_days"] == min(horizon, 95)
    assert numbers(paid, "own_value", "r", "buyer_value", "visitor_value") == (
        pytest.approx([own, r, own + r * s, p * (own + r * s)])
    )


def test_the_margin_is_a_share_of_the_value(by_hand):
    whole, part = (sl.visitor_value(by_hand, margin=m).table for m in (1.0, 0.4))
    for name in ("buyer", "visitor"):
        for end in ("", "_low", "_high"):
            value = whole[f"{name}_value{end}"]
            pd.testing.assert_series_equal(
                part[f"{name}_ceiling{end}"], value * 0.4, check_names=False
            )
            assert part[f"{name}_value{end}"].equals(value)


def test_values_lie_within_their_ranges(by_hand, simulated_events):
    for events in (by_hand, simulated_events):
        table = sl.visitor_value(events).table
        lows = [c for c in table if c.endswith("_low")]
        for low in lows:
            name = low.removesuffix("_low")
            known = table[table[low].notna()]
            assert len(known)
            assert (known[low] <= known[name]).all()
            assert (known[name] <= known[f"{name}_high"]).all()


# Independent recomputation ---------------------------------------------------------


def means_by_age(followed, age, amount):
    """Return the sum per person at risk on each age, and the last age with 30."""
    at_risk = np.array([(followed >= a).sum() for a in range(followed.max() + 1)])
    sums = np.bincount(age, amount, at_risk.size)
    return sums / at_risk, int(np.flatnonzero(at_risk >= 30)[-1])


def kaplan_meier(did, waited):
    """Return the share that has got there by the last day with 30 at risk."""
    stays = 1.0
    for n in range(int(max(did.max(), waited.max())) + 1):
        at_risk = (did >= n).sum() + (waited >= n).sum()
        if at_risk < 30:
            break
        stays *= 1 - (did == n).sum() / at_risk
    return 1 - stays


def test_values_of_sources_in_plain_pandas(
    simulated, simulated_events, simulated_people
):
    people = simulated_people
    buyers = people[people["first_day"].notna()].astype({"first_day": "int64"})
    spent = simulated.orders.assign(
        day=(simulated.orders["ordered_at"].dt.normalize() - day(0)).dt.days
    )
    since_1970 = (day(0) - pd.Timestamp("1970-01-01")).days
    own = buyers["referrer"].map(buyers["first_day"])
    brought = buyers[own.notna() & (buyers["first_day"] >= own)]

    def own_and_r(mine):
        """Return L, R and the days of both for some buyers."""
        followed = mine["end_day"] - mine["first_day"]
        rows = spent[spent["customer_id"].isin(mine.index)]
        age = rows["day"] + since_1970 - rows["customer_id"].map(mine["first_day"])
        money, days = means_by_age(followed, age, rows["amount"])
        made = brought[brought["referrer"].isin(mine.index)]
        age = made["first_day"] - made["referrer"].map(mine["first_day"])
        births, _ = means_by_age(followed, age.astype(int), np.ones(len(age)))
        days = min(days, 300)
        return money[: days + 1].sum(), births[: days + 1].sum(), days

    l_ref, r_ref, _ = own_and_r(buyers[buyers["source"] == "referral"])
    table = sl.visitor_value(simulated_events, horizon_days=300).table
    for source in ("paid", "organic", "referral"):
        mine = buyers[buyers["source"] == source]
        own_value, r, days = own_and_r(mine)
        came = people[people["source"] == source]
        lag = came["first_day"] - came["arrived_day"]
        wait = (came["end_day"] - came["arrived_day"])[lag.isna()]
        p = kaplan_meier(lag.dropna(), wait)
        value = own_value + r * l_ref / (1 - r_ref)
        row = line(table, source)
        assert row["value_days"] == days
        assert numbers(row, "own_value", "r", "buyer_value") == pytest.approx(
            [own_value, r, value], rel=1e-9
        )
        # Days of conversion end at the horizon, where hardly anybody buys.
        assert row["share_converted"] == pytest.approx(p, rel=0.005)
        assert row["visitor_value"] == pytest.approx(row["share_converted"] * value)


def test_channels_and_months_are_breakdowns_too(simulated_events):
    for by in ("channel", "arrived_quarter", "generation"):
        found = sl.visitor_value(simulated_events, by)
        assert shops.has_columns(found.table, "visitor_value")
        parts = found.table[found.table["segment"] != "(outside)"]
        assert parts["n_buyers"].sum() == simulated_events.totals["n_buyers"]
        assert parts["n_arrived"].sum() == simulated_events.totals["n_people"]


# Laws ------------------------------------------------------------------------------


def points(table):
    """Return what does not depend on the groups of people that are left out."""
    ends = [c for c in table if c.endswith(("_low", "_high"))]
    return table.drop(columns=ends)


def test_row_order_does_not_matter(simulated_events, simulated):
    order = [t.sample(frac=1, random_state=2) for t in
             (simulated.orders, simulated.referrals, simulated.visits)]  # fmt: skip
    events = sl.read_events(order[0], order[1], visits=order[2])
    pd.testing.assert_frame_equal(
        sl.visitor_value(events).table, sl.visitor_value(simulated_events).table
    )


def test_names_do_not_matter(by_hand):
    other = read(shops.renamed(by_hand_tables(), lambda i: f"x{i[::-1]}"))
    found, expected = (sl.visitor_value(e).table for e in (other, by_hand))
    pd.testing.assert_frame_equal(points(found), points(expected))


def test_ten_times_the_money(by_hand):
    tables = by_hand_tables()
    tenfold = tables.orders.assign(amount=tables.orders["amount"] * 10)
    richer = read(tables._replace(orders=tenfold))
    found, expected = (sl.visitor_value(e).table for e in (richer, by_hand))
    money = [c for c in expected if "value" in c or "ceiling" in c]
    money.remove("value_days")
    pd.testing.assert_frame_equal(found, expected.assign(**expected[money] * 10))


# What is missing is missing --------------------------------------------------------


def test_without_visits_only_buyers_are_valued():
    tables = by_hand_tables()
    events = sl.read_events(
        tables.orders.assign(channel="ads"), tables.referrals, end=shops.date_of(100)
    )
    row = line(sl.visitor_value(events).table, "paid")
    assert row["buyer_value"] == pytest.approx(48)
    assert pd.isna(row["n_arrived"])
    for name in ("share_converted", "visitor_value", "visitor_ceiling"):
        assert math.isnan(row[name])
    assert row["reason"] == "no table of visits"


def test_without_referrals_only_own_spending_is_known():
    tables = by_hand_tables()
    events = sl.read_events(tables.orders, visits=tables.visits, end=shops.date_of(100))
    found = sl.visitor_value(events)
    row = line(found.table, "paid")
    assert numbers(row, "own_value", "visitor_own_value") == pytest.approx([30, 12])
    for name in ("r", "brought_value", "buyer_value", "visitor_value", "share_brought"):
        assert math.isnan(row[name])
    assert row["reason"] == found.descent_reason == "no table of referrals"
    repr(found)


def test_few_who_were_brought_leave_their_worth_unknown():
    tables = by_hand_tables()
    # Ten of those who are brought: R is known, what they are worth is not.
    few = tables.referrals[tables.referrals["referee_id"].isin(BROUGHT[:10])]
    kept = tables.orders[~tables.orders["customer_id"].isin(BROUGHT[10:])]
    found = sl.visitor_value(read(shops.Tables(kept, few, tables.visits)))
    row = line(found.table, "paid")
    assert numbers(row, "own_value", "r") == [30, 0.25]
    assert math.isnan(row["buyer_value"])
    assert row["reason"] == "10 people brought have bought, need 30"
    assert math.isnan(found.descent_value)


def test_who_brings_nobody_is_worth_what_they_spend():
    tables = by_hand_tables()
    none = referrals(("z1", "z2", 0))
    row = line(
        sl.visitor_value(read(shops.Tables(tables.orders, none, tables.visits))).table,
        "paid",
    )
    assert numbers(row, "brought_value", "buyer_value", "visitor_value") == [0, 30, 12]
    assert row["reason"] == ""


def chain(n_kept):
    """Make 40 people of day 0 who bring one each at age 10, and so on to day 80.

    In every generation but the first `n_kept` do; in the last nobody has had the time.
    """
    rows, links = [(f"g0.{i:02d}", 0, 10) for i in range(40)], []
    for g in range(1, 9):
        for i in range(n_kept):
            rows.append((f"g{g}.{i:02d}", 10 * g, 10))
            links.append((f"g{g - 1}.{i:02d}", f"g{g}.{i:02d}", 10 * g - 1))
    return sl.read_events(orders(*rows), referrals(*links), end=shops.date_of(85))


def test_a_loop_without_end_has_no_value():
    # All 280 who were brought and were watched for ten days bring one: R = 1.
    found = sl.visitor_value(chain(40))
    assert found.descent_r == pytest.approx(1)
    row = line(found.table, "unknown")
    assert row["own_value"] == 10
    for name in ("brought_value", "buyer_value", "buyer_value_high", "buyer_ceiling"):
        assert math.isnan(row[name])
    assert row["reason"].startswith(
        "people who were brought bring 1.00 each: what follows has no end"
    )
    repr(found)


def test_where_r_may_be_one_the_upper_end_is_open():
    # 40 of day 0 bring one each (day 10); 18 of those bring two each on day 20: R = 0.9
    # with a wide range. A buyer is worth 10 + 1 * 10 / (1 - 0.9) = 110.
    rows = [(f"a{i:02d}", 0, 10) for i in range(40)]
    rows += [(f"b{i:02d}", 10, 10) for i in range(40)]
    rows += [(f"c{i:02d}", 20, 10) for i in range(36)]
    links = [(f"a{i:02d}", f"b{i:02d}", 9) for i in range(40)]
    links += [(f"b{i // 2:02d}", f"c{i:02d}", 19) for i in range(36)]
    events = sl.read_events(orders(*rows), referrals(*links), end=shops.date_of(28))
    row = line(sl.visitor_value(events).table, "unknown")
    assert row["buyer_value"] == pytest.approx(110)
    assert row["buyer_value_high"] == math.inf
    assert 10 < row["buyer_value_low"] < 110


def test_refunds_of_everything_leave_values_of_zero():
    tables = by_hand_tables()
    back = tables.orders.assign(
        amount=-tables.orders["amount"],
        ordered_at=tables.orders["ordered_at"] + pd.Timedelta(days=1),
    )
    refunded = tables._replace(orders=pd.concat([tables.orders, back]))
    table = sl.visitor_value(read(refunded)).table
    row = line(table, "paid")
    assert numbers(row, "own_value", "buyer_value") == pytest.approx([0, 0], abs=1e-9)
    assert math.isnan(row["share_brought"])


def test_refunds_of_more_than_was_spent():
    tables = by_hand_tables()
    back = tables.orders.assign(
        amount=-2 * tables.orders["amount"],
        ordered_at=tables.orders["ordered_at"] + pd.Timedelta(days=1),
    )
    refunded = tables._replace(orders=pd.concat([tables.orders, back]))
    row = line(sl.visitor_value(read(refunded)).table, "paid")
    # All that was worth 48 is worth -48.
    assert row["buyer_value"] == pytest.approx(-48)
    assert math.isnan(row["buyer_value_low"])


def test_only_guests():
    found = sl.visitor_value(sl.read_events(orders((None, 0, 5), (None, 40, 5))))
    assert shops.has_columns(found.table, "visitor_value")
    assert (found.table["n_buyers"] == 0).all()


def test_settings_are_checked(by_hand):
    for wrong in (0, -1, 1.5, 40_000, "365", None):
        with pytest.raises(SettingError, match="horizon_days must be"):
            sl.visitor_value(by_hand, horizon_days=wrong)
    for wrong in (0, -0.1, 1.1, math.nan, "1"):
        with pytest.raises(SettingError, match="margin must be"):
            sl.visitor_value(by_hand, margin=wrong)
    with pytest.raises(SettingError, match="by must be one of"):
        sl.visitor_value(by_hand, "moon")


# Cost of buyers --------------------------------------------------------------------


def test_a_buyer_by_hand(by_hand):
    row = line(sl.acquisition_cost(by_hand).channels, "ads", "channel")
    # 1,280 / 100 visitors, of whom 40 % buy: 12.8 / 0.4 = 32 for one who is worth 48.
    assert numbers(row, "spend", "n_arrived", "n_buyers", "cost_per_visitor") == [
        1280, 100, 40, 12.8,
    ]  # fmt: skip
    assert numbers(
        row, "share_converted", "cac", "cac_naive", "buyer_ceiling", "return_ratio",
        "return_ratio_own", "share_brought",
    ) == pytest.approx([0.4, 32, 32, 48, 1.5, 30 / 32, 0.375])  # fmt: skip
    # 30 by age 10, 30 + 0.75 * 8 = 36 by age 20: paid back then, and never by
    # their own purchases.
    assert row["payback_days"] == 20
    assert math.isnan(row["payback_days_own"])
    assert f"{row['first_date']} {row['last_date']}" == "2026-01-01 2026-01-10"
    assert row["reason"] == ""


def test_one_channel_is_all_channels(by_hand):
    table = sl.acquisition_cost(by_hand).channels
    assert table["channel"].tolist() == ["(all)", "ads"]
    one, every = table.drop(columns="channel").to_dict("records")
    assert one == pytest.approx(every, nan_ok=True)


def test_the_value_of_a_buyer_is_that_of_a_visitor(simulated):
    events = sl.read_events(
        simulated.orders, simulated.referrals, visits=simulated.visits,
        spend=simulated.spend,
    )  # fmt: skip
    cost = line(sl.acquisition_cost(events, margin=0.3).channels, "(all)", "channel")
    value = line(sl.visitor_value(events, margin=0.3).table, "paid")
    same = "buyer_ceiling", "share_converted", "share_brought", "value_days"
    assert numbers(cost, *same) == pytest.approx(numbers(value, *same))
    assert cost["spend"] == pytest.approx(simulated.spend["spend"].sum())
    ends = numbers(cost, "cac_low", "cac", "cac_naive", "cac_high")
    assert ends[0] < ends[1] < ends[3]
    # The latest visitors are still deciding.
    assert ends[1] < ends[2]
    assert cost["payback_days_low"] <= cost["payback_days"]


@pytest.fixture(scope="module")
def cheap():
    """The same shop, where a buyer costs 400 / 40 = 10."""
    return read(by_hand_tables(), spend=spending((0, "ads", 400)))


@pytest.mark.parametrize(
    ("margin", "days", "own"),
    [
        # A buyer and all who follow have come to 10 by age 0, 30 by age 10, 36 by age
        # 20 (0.75 brought, 8 each), 45 by age 30 (12 each), 46 by age 35 (0.75 / 6
        # brought by those, 8 each), 47.5 by age 45; 48 in the end, later ones included.
        (1.0, 0, 0),
        (0.99, 10, 10),  # 10.1 are needed
        (0.34, 10, 10),  # 29.4
        (0.31, 20, math.nan),  # 32.3: never by their own purchases
        (0.27, 30, math.nan),  # 37.0
        (0.22, 35, math.nan),  # 45.5
        (0.215, 45, math.nan),  # 46.5
        (0.2, math.nan, math.nan),  # 50
    ],
)
def test_payback_by_hand(cheap, margin, days, own):
    row = line(sl.acquisition_cost(cheap, margin=margin).channels, "ads", "channel")
    assert row["cac"] == pytest.approx(10)
    found = numbers(row, "payback_days", "payback_days_own")
    assert found == pytest.approx([days, own], nan_ok=True)
    assert row["return_ratio"] == pytest.approx(margin * 4.8)


def test_a_channel_nobody_came_through():
    spend = pd.concat([SPEND, spending((3, "tv", 320))])
    found = sl.acquisition_cost(read(by_hand_tables(), spend=spend))
    tv = line(found.channels, "tv", "channel")
    assert numbers(tv, "spend", "n_arrived", "n_buyers") == [320, 0, 0]
    assert math.isnan(tv["cac"])
    assert "nobody came through it" in tv["reason"]
    # It counts in the cost of all: 1,600 / 40.
    assert line(found.channels, "(all)", "channel")["cac"] == pytest.approx(40)
    assert line(found.channels, "ads", "channel")["cac"] == pytest.approx(32)
    repr(found)


def test_only_channels_nobody_came_through():
    found = sl.acquisition_cost(
        read(by_hand_tables(), spend=spending((3, "tv", 320), (3, "radio", 20)))
    )
    assert found.channels["channel"].tolist() == ["(all)", "radio", "tv"]
    assert found.channels["spend"].tolist() == [340, 20, 320]
    assert found.channels["cac"].isna().all()


def test_case_of_channels_does_not_matter_as_in_paid_channels():
    # "Ads" is paid where "ads" is named as such.
    found = sl.acquisition_cost(
        read(by_hand_tables(), spend=spending((0, "Ads", 1280)))
    )
    assert line(found.channels, "(all)", "channel")["n_arrived"] == 100


def test_a_channel_with_one_buyer():
    # 40 of the day came by tv, and one bought: what it costs is known, badly.
    tables = by_hand_tables()
    seen = visits(*((f"t{i:02d}", 0, "tv") for i in range(40)))
    tables = tables._replace(
        visits=pd.concat([tables.visits, seen]),
        orders=pd.concat([tables.orders, orders(("t00", 5, 10))]),
    )
    events = read(tables, spend=spending((0, "tv", 400)))
    row = line(sl.acquisition_cost(events).channels, "tv", "channel")
    # 10 for a visitor, one of 40 buys.
    assert row["cac"] == pytest.approx(400)
    # Without that one there is no cost of a buyer: the range has no end.
    assert not row["cac_low"] > 400
    assert not row["cac_high"] < 400


def test_a_leader_who_brings_sixty_on_the_first_day():
    # d is brought and brings 60 at once: 60 of 61 is below one, but without a group of
    # these 60 it may not be. The cost is known whatever can be said of its range.
    rows = [(f"c{i:03d}", i, 10) for i in range(120)] + [("d", 3, 10)]
    rows += [(f"e{i:02d}", 3.5, 10) for i in range(60)]
    links = [("c000", "d", 2.5), *(("d", f"e{i:02d}", 3.2) for i in range(60))]
    events = sl.read_events(
        orders(*rows), referrals(*links), end=shops.date_of(150),
        visits=visits(*((f"c{i:03d}", i, "ads") for i in range(120))),
        spend=spending((0, "ads", 120), (119, "ads", 120)),
    )  # fmt: skip
    row = line(sl.acquisition_cost(events).channels, "ads", "channel")
    # 240 / 120; each spends 10 on the first day.
    assert numbers(row, "cac", "payback_days") == pytest.approx([2, 0])
    # One of 120 brings d, who is worth 10 / (1 - 60 / 61) = 610.
    assert row["buyer_ceiling"] == pytest.approx(10 + 610 / 120)


def test_many_channels_are_all_there():
    # 35 channels of 40 people, of whom 35 buy: more than a breakdown keeps.
    names = [f"ch{i:02d}" for i in range(35)]
    people = [(f"{c}.{i:02d}", c, i) for c in names for i in range(40)]
    events = sl.read_events(
        orders(*((who, 1, 10) for who, _, i in people if i < 35)),
        visits=visits(*((who, 0, c) for who, c, _ in people)),
        spend=spending(*((0, c, 80) for c in names)),
        paid_channels=names,
        end=shops.date_of(100),
    )
    table = sl.acquisition_cost(events).channels.set_index("channel")
    # 2 for a visitor, 35 of 40 buy.
    kept = table.loc[["(all)", *names[:30]]]
    assert kept["cac"].tolist() == pytest.approx([2 / (35 / 40)] * 31)
    assert kept["return_ratio_own"].notna().all()
    # The others are there with what was counted, and why there is no more.
    rest = table.loc[names[30:]]
    assert rest["cac_naive"].tolist() == pytest.approx([80 / 35] * 5)
    assert rest["reason"].str.contains("not among the 30 largest").all()


def test_days_outside_are_not_counted(by_hand):
    spend = pd.concat([SPEND, spending((-10, "ads", 99), (101, "ads", 99))])
    found = sl.acquisition_cost(read(by_hand_tables(), spend=spend))
    pd.testing.assert_frame_equal(found.channels, sl.acquisition_cost(by_hand).channels)


def test_no_day_with_spend_was_observed():
    found = sl.acquisition_cost(read(by_hand_tables(), spend=spending((101, "ads", 9))))
    assert found.channels.empty
    for name in ("channels", "months", "trends"):
        assert shops.has_columns(getattr(found, name), f"spend_{name}")
    repr(found)


def test_only_people_of_days_with_spend_count():
    # 40 more come on day 20, after the last day with spend, and none of them buys:
    # cost per visitor stays 12.8, while p of all is 40 / 140.
    tables = by_hand_tables()
    late = visits(*((f"l{i:02d}", 20, "ads") for i in range(40)))
    events = read(tables._replace(visits=pd.concat([tables.visits, late])), spend=SPEND)
    row = line(sl.acquisition_cost(events).channels, "ads", "channel")
    assert numbers(row, "n_arrived", "cost_per_visitor") == [100, 12.8]


def test_free_ads_cost_nothing():
    row = line(
        sl.acquisition_cost(
            read(by_hand_tables(), spend=spending((0, "ads", 0)))
        ).channels,
        "ads",
        "channel",
    )
    assert numbers(row, "spend", "cost_per_visitor", "cac", "cac_naive") == [0, 0, 0, 0]
    assert row["buyer_ceiling"] == pytest.approx(48)
    # What it returns per unit of cost is not a number, and it is said why.
    assert math.isnan(row["return_ratio"])
    assert row["reason"] != ""


def no_visits(spend):
    """Read the shop without visits, everybody who was not brought from ads."""
    tables = by_hand_tables()
    return sl.read_events(
        tables.orders.assign(channel="ads"), tables.referrals, spend=spend,
        end=shops.date_of(100),
    )  # fmt: skip


def test_without_visits_a_buyer_costs_spend_over_buyers():
    row = line(
        sl.acquisition_cost(no_visits(spending((5, "ads", 1280)))).channels,
        "ads",
        "channel",
    )
    assert pd.isna(row["n_arrived"])
    assert math.isnan(row["cost_per_visitor"])
    assert numbers(row, "n_buyers", "cac", "return_ratio") == pytest.approx(
        [40, 32, 1.5]
    )


def test_traffic_may_stand_in_the_table_of_spend():
    spend = spending((5, "ads", 640), (9, "ads", 640)).assign(visitors=[300, 100])
    table = sl.acquisition_cost(no_visits(spend)).channels
    for name in ("ads", "(all)"):
        row = line(table, name, "channel")
        assert numbers(row, "n_arrived", "cost_per_visitor", "cac") == [400, 3.2, 32]


def test_traffic_that_is_not_given_is_not_zero():
    spend = spending((5, "ads", 640), (9, "tv", 640)).assign(visitors=[300, None])
    table = sl.acquisition_cost(no_visits(spend)).channels
    tv, every = (line(table, name, "channel") for name in ("tv", "(all)"))
    assert pd.isna(tv["n_arrived"])
    assert math.isnan(tv["cost_per_visitor"])
    # 1,280 for 300 and an unknown number of visitors.
    assert math.isnan(every["cost_per_visitor"])


def test_visits_come_before_the_traffic_of_the_table():
    events = read(by_hand_tables(), spend=SPEND.assign(visitors=[9, 9]))
    row = line(sl.acquisition_cost(events).channels, "ads", "channel")
    assert row["n_arrived"] == 100


def test_without_spend_there_is_no_cost(simulated_events, by_hand):
    with pytest.raises(MissingTableError, match="SL301  acquisition_cost needs"):
        sl.acquisition_cost(simulated_events)
    with pytest.raises(SettingError, match="margin must be"):
        sl.acquisition_cost(by_hand, margin=0)
    with pytest.raises(SettingError, match="horizon_days must be"):
        sl.acquisition_cost(by_hand, horizon_days=0)


# Months and trends -----------------------------------------------------------------

# Spend, visitors and buyers from January to August 2026.
MONTHS = [(800, 40, 20), (1200, 40, 26), (700, 40, 17), (1500, 40, 28), (900, 40, 21),
          (2000, 40, 33), (1100, 40, 22), (1600, 40, 27)]  # fmt: skip


def month_tables(months):
    """Make people who come on the 5th and buy on the 6th, spend on the 1st and 25th."""
    rows, seen, spent = [], [], []
    for m, (spend, n_arrived, n_buyers) in enumerate(months):
        first = (pd.Timestamp(2026, m + 1, 1) - day(0)).days
        spent += [(first, "ads", spend / 2), (first + 24, "ads", spend / 2)]
        who = [f"p{m}.{i:02d}" for i in range(n_arrived)]
        seen += [(person, first + 4, "ads") for person in who]
        rows += [(person, first + 5, 10) for person in who[:n_buyers]]
    return orders(*rows), visits(*seen, ("eve", 0, "mail")), spending(*spent)


def cost_of(months, end):
    """Read them to an end and say what buyers cost."""
    rows, seen, spent = month_tables(months)
    return sl.acquisition_cost(sl.read_events(rows, visits=seen, spend=spent, end=end))


def test_months_by_hand():
    months = cost_of(MONTHS, "2026-11-01").months
    mine = months[months["channel"] == "ads"]
    assert mine["month"].tolist() == [f"2026-{m:02d}" for m in range(1, 9)]
    assert mine["n_arrived"].tolist() == [40] * 8
    assert mine["cost_per_visitor"].tolist() == [s / 40 for s, _, _ in MONTHS]
    # From 31 July to 1 November it is 93 days, from 31 August 62: not yet 90.
    assert mine["cac"].tolist()[:7] == pytest.approx([s / b for s, _, b in MONTHS[:7]])
    last = mine.iloc[-1]
    assert math.isnan(last["cac"])
    assert last["reason"] == "90 days after the month are not observed to the end"
    every = months[months["channel"] == "(all)"]
    for column in ("spend", "n_arrived", "n_buyers", "cac"):
        assert every[column].to_numpy(float) == pytest.approx(
            mine[column].to_numpy(float), nan_ok=True
        )


def test_a_month_that_began_before_the_data_is_not_said_to_lack_its_end():
    # The data begin with a visit on 5 January; the last 90 days are all there.
    rows, seen, spent = month_tables(MONTHS[:2])
    seen = seen[seen["visitor_id"] != "eve"]
    events = sl.read_events(rows, visits=seen, spend=spent, end="2026-11-01")
    january = sl.acquisition_cost(events).months.iloc[0]
    assert january["month"] == "2026-01"
    assert math.isnan(january["cac"])
    assert "to the end" not in january["reason"]


def test_elasticity_is_a_regression():
    trend = line(cost_of(MONTHS, "2027-01-31").trends, "ads", "channel")
    spend, _, buyers = np.array(MONTHS, dtype=float).T
    assert trend["n_months"] == 8
    wide = student.ppf(0.975, 6)
    fit = linregress(np.log(spend), np.log(buyers))
    assert numbers(trend, "elasticity", "elasticity_low", "elasticity_high") == (
        pytest.approx(
            [fit.slope, fit.slope - wide * fit.stderr, fit.slope + wide * fit.stderr]
        )
    )
    # All bought within a day of their visit: CAC = spend / buyers.
    assert trend["marginal_cac"] == pytest.approx(
        spend.sum() / buyers.sum() / fit.slope
    )
    fit = linregress(np.arange(8), np.log(spend / buyers))
    ends = [0, -wide * fit.stderr, wide * fit.stderr]
    assert numbers(trend, "cac_ratio", "cac_ratio_low", "cac_ratio_high") == (
        pytest.approx([math.exp(fit.slope + end) for end in ends])
    )


@pytest.mark.parametrize(
    ("months", "n_months", "reason"),
    [
        (MONTHS[:5], 5, "5 whole months with spend and buyers, need 6"),
        (
            [(900, 40, 20 + m % 2) for m in range(7)],
            7,
            "spend varies by less than 10 %",
        ),
        ([(900 + 100 * m, 40, 20) for m in range(7)], 7, "more spend is not seen"),
    ],
)
def test_trends_that_cannot_be_told(months, n_months, reason):
    trend = line(cost_of(months, "2027-01-31").trends, "ads", "channel")
    assert trend["n_months"] == n_months
    assert trend["reason"].startswith(reason)
    assert math.isnan(trend["marginal_cac"])


def test_months_without_arrivals_or_without_spend():
    months = [*MONTHS[:3], (500, 0, 0), (0, 40, 20), *MONTHS[5:]]
    found = cost_of(months, "2027-01-31")
    mine = found.months[found.months["channel"] == "ads"].set_index("month")
    nobody = mine.loc["2026-04"]
    assert numbers(nobody, "spend", "n_arrived", "n_buyers") == [500, 0, 0]
    assert math.isnan(nobody["cac"])
    assert math.isnan(nobody["cost_per_visitor"])
    assert nobody["reason"] == "nobody who came in the month bought"
    assert numbers(mine.loc["2026-05"], "spend", "n_buyers", "cac") == [0, 20, 0]
    # Neither has a logarithm.
    assert line(found.trends, "ads", "channel")["n_months"] == 6


def test_tables_have_the_columns_of_the_schema(by_hand):
    found = sl.acquisition_cost(by_hand)
    for name in ("channels", "months", "trends"):
        assert shops.has_columns(getattr(found, name), f"spend_{name}")
    assert found.to_frame().equals(found.channels)
    assert "ads" in repr(found)
    assert "ads" in found._repr_html_()
    value = sl.visitor_value(by_hand)
    assert shops.has_columns(value.table, "visitor_value")
    assert value.to_frame().equals(value.table)


def test_hostile_channels_are_only_text():
    tables = by_hand_tables()
    hostile = {"ads": shops.HOSTILE}
    events = read(
        tables._replace(visits=tables.visits.replace({"channel": hostile})),
        spend=SPEND.replace({"channel": hostile}),
    )
    found = sl.acquisition_cost(events)
    assert line(found.channels, shops.HOSTILE, "channel")["n_arrived"] == 100
    assert shops.HOSTILE not in found._repr_html_()
