"""Loop: months and R by hand, R and its interval by brute force, laws, edges."""

import dataclasses
import math

import pandas as pd
import pytest
import small_shops as shops
from scipy.stats import t as student
from small_shops import orders, referrals, visits

import selfloop as sl
from selfloop.core.errors import SettingError

SOURCES = ("referral", "paid", "organic", "unknown")
FIRSTS = [f"n_first_{source}" for source in SOURCES]
MONEY = [
    "revenue_repeat",
    *(f"revenue_first_{source}" for source in SOURCES),
    "revenue_before",
]


def month(loop, name):
    """Return one month as a dict."""
    (row,) = loop.months[loop.months["month"] == name].to_dict("records")
    return row


def r_of(loop, horizon):
    """Return the line of R of one horizon as a dict."""
    rows = loop.reproduction
    (row,) = rows[rows["horizon_days"] == horizon].to_dict("records")
    return row


# Months by hand --------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_hand():
    """Four buyers and a guest in January and February 2026, to 20 February.

    old has a refund of 4 on 3 January, before any purchase: an older customer; then
    buys for 10 on the 5th. ann (ads) buys for 20 on the 10th and again for 7 on
    5 February, with a refund of 2 on the 6th. bob, referred by ann, buys for 30 on
    1 February and gets 5 back the same day. cat (mail) buys for 8 on 20 February.
    A guest pays 100 on 7 January and takes 40 back on 7 February.
    """
    return sl.read_events(
        orders(
            ("old", 2, -4), ("old", 4, 10), ("ann", 9, 20), ("ann", 35, 7),
            ("ann", 36, -2), ("bob", 31, 30), ("bob", 31, -5), ("cat", 50, 8),
            (None, 6, 100), (None, 37, -40),
        ),
        referrals(("ann", "bob", 20)),
        visits=visits(("ann", 8, "ads"), ("cat", 50, "mail"), ("eve", 0, None)),
    )  # fmt: skip


def test_months_by_hand(by_hand):
    loop = sl.self_loop(by_hand)
    january, february = month(loop, "2026-01"), month(loop, "2026-02")
    # January: first purchases of old (channel unknown) and ann (paid).
    assert [january[c] for c in ("n_orders", "n_repeat", *FIRSTS)] == [2, 0, 0, 1, 0, 1]
    assert [january[c] for c in ("revenue", *MONEY)] == [26, 0, 0, 20, 0, 10, -4]
    assert january["revenue_guests"] == 100
    assert january["share_orders"] == 0
    # February: ann again, bob referred, cat organic. bob's day is worth 25, ann's
    # month 7 - 2; of 38 in all 30 came from repeat and referral.
    assert [february[c] for c in ("n_orders", "n_repeat", *FIRSTS)] == [
        3,
        1,
        1,
        0,
        1,
        0,
    ]
    assert [february[c] for c in ("revenue", *MONEY)] == [38, 5, 25, 0, 8, 0, 0]
    assert february["revenue_guests"] == -40
    assert february["share_orders"] == 2 / 3
    assert february["share_revenue"] == 30 / 38
    # The whole period: 2 of 5 purchases, 30 of 64.
    assert loop.share_orders == 2 / 5
    assert loop.share_revenue == 30 / 64
    assert (january["status"], february["status"]) == ("complete", "partial")


@pytest.mark.parametrize(
    ("first", "end", "status"),
    [
        (0, "2026-02-28", ["complete", "complete"]),
        (0, "2026-02-27", ["complete", "partial"]),
        # Begun on 2 January: what came on the 1st was not seen.
        (1, "2026-02-28", ["partial", "complete"]),
    ],
)
def test_a_month_is_complete_when_all_its_days_were_seen(first, end, status):
    events = sl.read_events(orders(("a", first, 1), ("a", 40, 1)), end=end)
    assert sl.self_loop(events).months["status"].tolist() == status


def test_quiet_months_are_zeros_and_their_share_is_missing():
    events = sl.read_events(
        orders(("a", 0, 1), ("b", 70, 1)), referrals(("a", "b", 65))
    )
    loop = sl.self_loop(events)
    assert loop.months["month"].tolist() == ["2026-01", "2026-02", "2026-03"]
    february = month(loop, "2026-02")
    assert (february["n_orders"], february["revenue"]) == (0, 0)
    assert math.isnan(february["share_orders"])
    assert math.isnan(february["share_revenue"])
    assert month(loop, "2026-03")["share_orders"] == 1


def test_refunds_that_leave_no_share_leave_it_missing():
    # February: b's first purchase of 10 and a's refund of 50 on January's order.
    table = orders(("a", 0, 60), ("a", 35, -50), ("b", 36, 10))
    loop = sl.self_loop(sl.read_events(table, referrals(("x", "y", 0))))
    february = month(loop, "2026-02")
    assert (february["revenue"], february["revenue_repeat"]) == (-40, -50)
    assert math.isnan(february["share_revenue"])
    assert february["share_orders"] == 0
    # In all 20 were made, -50 of them by repeat: no share either.
    assert math.isnan(loop.share_revenue)
    assert loop.share_orders == 0


def test_a_share_above_one_is_no_share():
    # January: z gets 5 back before any purchase; a buys for 10, again for 10.
    table = orders(("z", 1, -15), ("a", 2, 10), ("a", 5, 10))
    loop = sl.self_loop(sl.read_events(table, referrals(("z", "a", 0))))
    assert month(loop, "2026-01")["revenue"] == 5
    assert math.isnan(month(loop, "2026-01")["share_revenue"])


def test_everything_carried_is_a_share_of_one():
    # Ten cents have no exact float: their sum in another order is not quite 1.
    rows = [(f"c{i:02d}", i % 50, 0.1 + i / 7) for i in range(60)]
    brought = referrals(*(("staff", f"c{i:02d}", 0) for i in range(60)))
    again = [(f"c{i:02d}", 50 + i % 9, 1 / 3) for i in range(60)]
    loop = sl.self_loop(sl.read_events(orders(*rows, *again), brought))
    assert (loop.share_orders, loop.share_revenue) == (1, 1)
    assert (loop.months["share_revenue"] == 1).all()


def test_one_first_purchase_per_buyer_when_orders_count():
    # Two orders in one moment: one is the first, the other repeats.
    table = orders(("a", 0, 5), ("a", 0, 6), ("a", 3, 7), ("b", 1, 5), ("b", 1.5, 4))
    events = sl.read_events(table, referrals(("a", "b", 0.5)), purchase="order")
    row = month(sl.self_loop(events), "2026-01")
    assert (row["n_orders"], row["n_repeat"]) == (5, 3)
    assert (row["n_first_unknown"], row["n_first_referral"]) == (1, 1)
    assert row["share_orders"] == 4 / 5


# R by hand -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chain():
    """Four buyers to day 20: a (day 0) brings b (4) and c (10); c brings d (10).

    staff brings e (day 6) and never buys; f (day 15) had brought a before.
    """
    table = orders(
        ("a", 0, 1), ("b", 4, 1), ("c", 10, 1), ("d", 10.5, 1), ("e", 6, 1),
        ("f", 15, 1),
    )  # fmt: skip
    brought = referrals(
        ("a", "b", 1), ("a", "c", 9), ("c", "d", 10.2), ("staff", "e", 5),
        ("f", "a", -1),
    )  # fmt: skip
    return sl.read_events(table, brought, end=shops.date_of(20))


def test_r_by_hand(chain):
    loop = sl.self_loop(chain, horizons_days=(4, 10, 20), min_at_risk=1)
    # Follow-up in days: a 20, b 16, c 10, d 10, e 14, f 5. Brought at age 0 (d by c,
    # the same day), 4 (b by a) and 10 (c by a). n(0) = n(4) = 6, n(10) = 5.
    assert r_of(loop, 4)["r"] == pytest.approx(1 / 6 + 1 / 6)
    assert r_of(loop, 10)["r"] == pytest.approx(1 / 6 + 1 / 6 + 1 / 5)
    assert r_of(loop, 10)["n_observed"] == 5
    assert r_of(loop, 20)["n_observed"] == 1
    assert [r_of(loop, h)["n_referrals"] for h in (4, 10, 20)] == [2, 3, 3]
    assert r_of(loop, 10)["k_naive"] == 3 / 6
    # staff never bought, and f had not when a did: seeding, outside R.
    assert loop.n_seeding == 2
    assert loop.horizon_days == 20
    assert loop.multiplier == pytest.approx(1 / (1 - 8 / 15))


def test_the_interval_of_r_by_hand(chain):
    row = r_of(sl.self_loop(chain, horizons_days=(4,), min_at_risk=1), 4)
    # Age 4, all six followed so far: d/n^2 = 1/36 on days 0 and 4, B = 1/18.
    # a and c brought one each (1/6 - 1/18 = 1/9), the other four none (-1/18).
    # V = 2/81 + 4/324 = 1/27; R = 1/3. V rests on n_eff = V^2 / sum u^4 people:
    # (1/27)^2 / (2/9^4 + 4/18^4) = (1/729) / (36/104976) = 4, so that t has 4 + 1
    # degrees of freedom, 2.570582; the limits are R e^(+-t sqrt(V) / R).
    spread = math.exp(2.570582 * math.sqrt(1 / 27) / (1 / 3))
    assert row["r_low"] == pytest.approx(1 / 3 / spread)
    assert row["r_high"] == pytest.approx(1 / 3 * spread)


def test_the_curve_has_every_age(chain):
    loop = sl.self_loop(chain, min_at_risk=1)
    curve = loop.curve.set_index("age_days")
    assert curve.index.tolist() == list(range(21))
    assert curve["n_referrals"].to_dict() == {
        age: {0: 1, 4: 1, 10: 1}.get(age, 0) for age in range(21)
    }
    assert (
        curve["n_at_risk"].tolist() == [6] * 6 + [5] * 5 + [3] * 4 + [2] * 2 + [1] * 4
    )
    assert curve["r"].iloc[-1] == pytest.approx(8 / 15)


def test_thirty_buyers_are_needed():
    def loop_of(n):
        table = orders(*((f"c{i:02d}", i / 40, 1) for i in range(n)), ("late", 50, 1))
        brought = referrals(("c00", "late", 1))
        return sl.self_loop(
            sl.read_events(table, brought, end=shops.date_of(60)),
            horizons_days=(50, 61),
        )

    enough, few = loop_of(30), loop_of(29)
    assert r_of(enough, 50)["r"] == pytest.approx(1 / 30)
    assert r_of(enough, 61)["reason"] == "0 buyers observed for 61 days, need 30"
    # Thirty buyers were observed for 60 days: that horizon is added.
    assert enough.horizon_days == 60
    assert enough.headline["n_observed"] == 30
    # Of 29 and the late one, 30 were observed for ten days only.
    row = r_of(few, 50)
    assert row["reason"] == "29 buyers observed for 50 days, need 30"
    assert math.isnan(row["r"])
    assert math.isnan(row["r_low"])
    # What was counted is still said.
    assert (row["n_referrals"], row["k_naive"]) == (1, 1 / 30)
    assert few.horizon_days == 10
    assert len(few.curve) == 11


def test_no_success_yet_is_a_zero_with_an_upper_limit():
    table = orders(*((f"c{i:02d}", 0, 1) for i in range(40)))
    events = sl.read_events(table, referrals(("c00", "z", 1)), end=shops.date_of(50))
    row = r_of(sl.self_loop(events, horizons_days=(50,)), 50)
    # Poisson, none among 40: the upper limit is log(40) / 40.
    assert (row["r"], row["r_low"]) == (0, 0)
    assert row["r_high"] == pytest.approx(math.log(40) / 40)


def bringing(*n_brought):
    """Return the loop of buyers of day 0 who bring so many each on day 5."""
    rows = [(f"c{i:02d}", 0, 1) for i in range(len(n_brought))]
    brought = []
    for i, n in enumerate(n_brought):
        brought += [(f"c{i:02d}", f"c{i:02d}.{k}", 4) for k in range(n)]
    rows += [(whom, 5, 1) for _, whom, _ in brought]
    # To day 9: those who were brought are too young to have brought anybody at age 5.
    events = sl.read_events(orders(*rows), referrals(*brought), end=shops.date_of(9))
    return sl.self_loop(events)


def test_the_multiplier_has_no_upper_end_where_r_may_be_one():
    # 16 of 40 bring two each: R = 0.8, and every customer from outside ends in 5.
    # V = 16 (2/40 - 32/1600)^2 + 24 (32/1600)^2 = 0.024. That rests on n_eff = 0.024^2
    # / (16 0.03^4 + 24 0.02^4) = 0.000576 / 0.0000168 = 34.29 people: t of 35.29
    # degrees is 2.029520. The limits of R are 0.8 e^(+-t sqrt(0.024) / 0.8), and the
    # upper one is above 1.
    loop = bringing(*[2] * 16, *[0] * 24)
    spread = math.exp(2.029520 * math.sqrt(0.024) / 0.8)
    assert loop.headline["r"] == pytest.approx(0.8)
    assert loop.headline["r_high"] == pytest.approx(0.8 * spread)
    assert loop.multiplier == pytest.approx(5)
    assert loop.multiplier_low == pytest.approx(1 / (1 - 0.8 / spread))
    assert loop.multiplier_high == math.inf


def test_from_an_r_of_one_on_the_loop_has_no_end():
    # Half bring three, half one: R = 2, everybody 1/40 off, V = 0.025 rests on all 40
    # people. t of 41 degrees is 2.019541: the lower limit is 2 e^(-t sqrt(0.025) / 2).
    loop = bringing(*[3] * 20, *[1] * 20)
    assert loop.headline["r"] == pytest.approx(2)
    assert loop.headline["r_low"] == pytest.approx(
        2 * math.exp(-2.019541 * math.sqrt(0.025) / 2)
    )
    assert (loop.multiplier, loop.multiplier_low) == (math.inf, math.inf)


# R by brute force -------------------------------------------------------------------


def brute_force(first_day, referrer, end_day, horizon):
    """Return R(H) and its limits straight from the definition, person by person.

    n(a) counts buyers observed to age a, d(a) those brought at age a. The variance is
    sum_i u_i^2, u_i = sum over i's referrals of 1/n(age) - sum over a <= min(C_i, H) of
    d(a)/n(a)^2, C_i the observed age; Student's t has 1 + variance^2 / sum_i u_i^4
    degrees of freedom.
    """
    observed = {who: int(end_day - day) for who, day in first_day.items()}
    ages = {who: [] for who in first_day}
    n_seeding = 0
    for whom, by in referrer.items():
        age = first_day[whom] - first_day.get(by, math.inf)
        if age < 0:
            n_seeding += 1
        else:
            ages[by].append(int(age))
    n = [sum(c >= a for c in observed.values()) for a in range(horizon + 1)]
    d = [sum(age == a for own in ages.values() for age in own)
         for a in range(horizon + 1)]  # fmt: skip
    r = sum(d[a] / n[a] for a in range(horizon + 1))
    off = []
    for who, own in ages.items():
        mine = sum(1 / n[age] for age in own if age <= horizon)
        expected = sum(
            d[a] / n[a] ** 2 for a in range(min(observed[who], horizon) + 1) if d[a]
        )
        off.append(mine - expected)
    variance = sum(u**2 for u in off)
    degrees = 1 + variance**2 / sum(u**4 for u in off)
    spread = math.exp(student.ppf(0.975, degrees) * math.sqrt(variance) / r)
    return r, r / spread, r * spread, sum(d), n[-1], n_seeding


@pytest.fixture(scope="module")
def simulated_loop(simulated_events):
    return sl.self_loop(simulated_events)


@pytest.mark.parametrize("horizon", [30, 90, 365])
def test_r_and_its_interval_by_brute_force(simulated_loop, simulated_people, horizon):
    buyers = simulated_people[simulated_people["first_day"].notna()]
    expected = brute_force(
        buyers["first_day"].to_dict(),
        buyers["referrer"].dropna().to_dict(),
        buyers["end_day"].iloc[0],
        horizon,
    )
    row = r_of(simulated_loop, horizon)
    names = ("r", "r_low", "r_high", "n_referrals", "n_observed")
    assert [row[c] for c in names] == pytest.approx(list(expected[:5]), rel=1e-9)
    assert simulated_loop.n_seeding == expected[5]
    assert row["k_naive"] == row["n_referrals"] / len(buyers)


def test_r_of_an_untidy_shop_by_brute_force(untidy_events):
    people = sl.people(untidy_events).to_pandas().set_index("person_id")
    buyers = people[people["first_order_at"].notna()]
    first = (buyers["first_order_at"].dt.normalize() - shops.DAY_0).dt.days
    expected = brute_force(
        first.to_dict(), buyers["referrer_id"].dropna().to_dict(), 299, 200
    )
    loop = sl.self_loop(untidy_events, horizons_days=(200,), min_at_risk=1)
    row = r_of(loop, 200)
    names = ("r", "r_low", "r_high", "n_referrals", "n_observed")
    assert [row[c] for c in names] == pytest.approx(list(expected[:5]), rel=1e-9)
    assert loop.n_seeding == expected[5] > 0


def test_the_curve_and_the_horizons_agree(simulated_loop):
    curve = simulated_loop.curve
    known = simulated_loop.reproduction
    for row in known.to_dict("records"):
        at = curve[curve["age_days"] == row["horizon_days"]].iloc[0]
        assert at["n_at_risk"] == row["n_observed"]
        assert (at["r"], at["r_low"], at["r_high"]) == (
            row["r"], row["r_low"], row["r_high"],
        )  # fmt: skip
    assert curve["n_at_risk"].iloc[-1] >= 30
    steps = curve["n_referrals"] / curve["n_at_risk"]
    assert curve["r"].to_numpy() == pytest.approx(steps.cumsum().to_numpy())
    assert curve["n_at_risk"].is_monotonic_decreasing
    assert simulated_loop.headline["horizon_days"] == curve["age_days"].iloc[-1]


def test_r_is_near_the_truth_where_the_naive_number_is_not(simulated, simulated_loop):
    truth = simulated.truth.reproduction
    for horizon in (90, 180, 365):
        row = r_of(simulated_loop, horizon)
        # Twice the interval: one shop, of four standard errors.
        error = math.log(row["r_high"] / row["r_low"]) / 3.92
        assert abs(math.log(row["r"] / truth[horizon])) < 4 * error
        assert row["k_naive"] < row["r"]


# Months by pandas and laws ----------------------------------------------------------


def test_months_agree_with_pandas_on_real_orders(retail_events, retail_lines):
    loop = sl.self_loop(retail_events)
    name = retail_lines["InvoiceDate"].dt.strftime("%Y-%m")
    guest = retail_lines["customer"].isna()
    known = retail_lines[~guest]
    days = (
        known.assign(day=known["InvoiceDate"].dt.normalize())
        .groupby(["customer", "day"], as_index=False)["thousandths"]
        .sum()
    )
    days["month"] = days["day"].dt.strftime("%Y-%m")
    bought = days[days["thousandths"] > 0]
    first = days["customer"].map(bought.groupby("customer")["day"].min())
    # The README of the sample: 3,866 customer-days of net > 0, 1,828,066.141 in all.
    assert loop.months["n_orders"].sum() == len(bought) == 3866
    assert loop.months["revenue"].sum() == pytest.approx(1_828_066.141, abs=1e-6)
    assert loop.months["revenue_guests"].sum() == pytest.approx(4_180.170, abs=1e-6)
    months = loop.months["month"]

    def per_month(rows, what="sum"):
        summed = rows.groupby("month")["thousandths"].agg(what)
        return summed.reindex(months).fillna(0).to_numpy() / (
            1000 if what == "sum" else 1
        )

    table = {
        "n_orders": per_month(bought, "size"),
        "n_repeat": per_month(bought[bought["day"] > first[bought.index]], "size"),
        "n_first_unknown": per_month(
            bought[bought["day"] == first[bought.index]], "size"
        ),
        "revenue": per_month(days),
        "revenue_repeat": per_month(days[days["day"] > first]),
        "revenue_first_unknown": per_month(days[days["day"] == first]),
        "revenue_before": per_month(days[first.isna() | (days["day"] < first)]),
        "revenue_guests": per_month(retail_lines[guest].assign(month=name[guest])),
    }
    for column, expected in table.items():
        found = loop.months[column].to_numpy(float)
        assert found == pytest.approx(expected, abs=1e-6), column
    assert loop.months["status"].tolist() == ["complete"] * 12 + ["partial"]


@pytest.mark.parametrize("which", ["untidy", "simulated", "retail"])
def test_parts_of_months_sum_to_the_totals(request, which):
    events = request.getfixturevalue(f"{which}_events")
    months = sl.self_loop(events).months.fillna(0)
    totals = events.totals
    # Each purchase is the first of a buyer or a repeat.
    assert (months["n_repeat"] + months[FIRSTS].sum(axis=1) == months["n_orders"]).all()
    assert months["n_orders"].sum() == totals["n_purchases"]
    assert months[FIRSTS].sum().sum() == totals["n_buyers"]
    assert months["revenue"].to_numpy() == pytest.approx(
        months[MONEY].sum(axis=1).to_numpy()
    )
    whole = months["revenue"].sum() + months["revenue_guests"].sum()
    assert whole == pytest.approx(float(totals["revenue"]))
    assert months["revenue_guests"].sum() == pytest.approx(
        float(totals["revenue_guests"])
    )
    for share in ("share_orders", "share_revenue"):
        assert months[share].between(0, 1).all()


def test_sources_of_first_purchases_agree_with_pandas(simulated_loop, simulated_people):
    bought = simulated_people[simulated_people["n_purchases"] > 0]
    for source in SOURCES:
        n = (bought["source"] == source).sum()
        assert simulated_loop.months[f"n_first_{source}"].sum() == n
    n_first = (bought["source"] == "referral").sum()
    n_repeat = bought["n_purchases"].sum() - len(bought)
    share = (n_first + n_repeat) / bought["n_purchases"].sum()
    assert simulated_loop.share_orders == pytest.approx(share)


def equal(found, expected):
    """Assert that two loops are the same in everything."""
    for part in dataclasses.fields(expected):
        mine, other = (getattr(loop, part.name) for loop in (found, expected))
        if isinstance(other, pd.DataFrame):
            pd.testing.assert_frame_equal(mine, other)
        else:
            assert mine == pytest.approx(other, nan_ok=True)


def test_row_order_and_names_do_not_matter(
    untidy_events, shuffled_events, renamed_events
):
    expected = sl.self_loop(untidy_events)
    assert expected.headline["n_referrals"] > 10
    for events in (shuffled_events, renamed_events):
        equal(sl.self_loop(events), expected)


def test_ten_times_the_money_is_ten_times_the_money_and_nothing_else(
    untidy_events, richer_events
):
    expected, found = sl.self_loop(untidy_events), sl.self_loop(richer_events)
    richer = {}
    for name in ("months", "weeks", "lineage", "lineage_months"):
        table = getattr(expected, name)
        money = [c for c in table if c.startswith("revenue")]
        richer[name] = table.assign(**(table[money] * 10))
    equal(found, dataclasses.replace(expected, **richer))


def test_a_bystander_changes_only_the_months_of_their_own(
    untidy_events, bystander_events
):
    # Day 60 is in March, day 99 in April.
    expected, found = sl.self_loop(untidy_events), sl.self_loop(bystander_events)
    others = ~expected.months["month"].isin(["2026-03", "2026-04"])
    pd.testing.assert_frame_equal(found.months[others], expected.months[others])
    march = [month(loop, "2026-03") for loop in (found, expected)]
    assert march[0]["n_first_organic"] == march[1]["n_first_organic"] + 1
    assert march[0]["revenue"] == pytest.approx(march[1]["revenue"] + 7)
    pd.testing.assert_series_equal(
        found.curve["n_referrals"],
        expected.curve["n_referrals"].iloc[: len(found.curve)],
    )
    assert found.n_seeding == expected.n_seeding


def test_a_cut_is_the_same_as_an_end(untidy):
    cut = shops.day(151)
    before = shops.Tables(
        untidy.orders[untidy.orders["ordered_at"] < cut],
        untidy.referrals[untidy.referrals["referred_at"] < cut],
        untidy.visits[untidy.visits["visited_at"] < cut],
    )
    end = "2026-05-31"
    found = sl.self_loop(sl.read_events(*untidy[:2], visits=untidy.visits, end=end))
    expected = sl.self_loop(sl.read_events(*before[:2], visits=before.visits, end=end))
    equal(found, expected)
    assert found.months["status"].tolist() == ["complete"] * 5


# Edges ------------------------------------------------------------------------------


def test_without_referrals_nothing_is_said_about_them(retail_events):
    loop = sl.self_loop(retail_events)
    hidden = ["n_first_referral", "revenue_first_referral", "share_orders",
              "share_revenue"]  # fmt: skip
    assert loop.months[hidden].isna().all(axis=None)
    assert loop.reproduction.empty
    assert loop.curve.empty
    assert loop.headline is None
    assert loop.horizon_days is None
    assert loop.n_seeding is None
    assert math.isnan(loop.share_orders)
    assert math.isnan(loop.share_revenue)
    assert math.isnan(loop.multiplier)
    assert loop.reason == "no table of referrals"
    assert "missing: no table of referrals" in repr(loop)


def test_referrers_who_never_bought_only_seed():
    table = orders(*((f"c{i:02d}", i, 10) for i in range(40)))
    brought = referrals(*(("staff", f"c{i:02d}", i - 0.5) for i in range(40)))
    events = sl.read_events(table, brought, end=shops.date_of(60))
    loop = sl.self_loop(events, horizons_days=(10,))
    assert loop.n_seeding == 40
    assert r_of(loop, 10)["r"] == 0
    assert loop.multiplier == 1
    assert loop.share_orders == 1


def test_a_whole_shop_brought_by_one_buyer():
    table = orders(("a", 0, 1), *((f"c{i:02d}", 1 + i, 1) for i in range(40)))
    brought = referrals(*(("a", f"c{i:02d}", i) for i in range(40)))
    loop = sl.self_loop(sl.read_events(table, brought), min_at_risk=1)
    # Buyer a is observed 40 days, the others 39, 38, ... 0: at age k there are
    # 41 - k left, and one was brought at each age from 1 to 40.
    expected = sum(1 / (41 - age) for age in range(1, 41))
    assert loop.headline["r"] == pytest.approx(expected)
    assert loop.multiplier == math.inf


@pytest.mark.parametrize(
    "table",
    [orders((None, 0, 5), (None, 40, 5)), orders(("a", 0, -5), ("a", 40, -1))],
    ids=["only guests", "only refunds"],
)
def test_nobody_bought(table):
    loop = sl.self_loop(sl.read_events(table, referrals(("a", "b", 1))))
    assert shops.has_columns(loop.months, "loop_months")
    assert shops.has_columns(loop.reproduction, "reproduction")
    assert (loop.months["n_orders"] == 0).all()
    assert math.isnan(loop.share_orders)
    assert math.isnan(loop.multiplier)
    assert r_of(loop, 30)["reason"] == "0 buyers observed for 30 days, need 30"
    assert math.isnan(r_of(loop, 30)["k_naive"])
    assert loop.reason == "fewer than 30 buyers observed for a day"
    whole = loop.months["revenue"].sum() + loop.months["revenue_guests"].sum()
    assert whole == table["amount"].sum()


def test_tables_have_the_columns_of_the_schema(simulated_loop, retail_events):
    for loop in (simulated_loop, sl.self_loop(retail_events)):
        assert shops.has_columns(loop.months, "loop_months")
        assert shops.has_columns(loop.reproduction, "reproduction")
        assert shops.has_columns(loop.curve, "reproduction_curve")
        assert loop.to_frame().equals(loop.months)


def test_the_share_is_shown_with_r(simulated_loop):
    for shown in (repr(simulated_loop), simulated_loop._repr_html_()):
        assert "reproduction number R" in shown
        assert f"{simulated_loop.headline['r']:.3f}" in shown
        assert f"{simulated_loop.share_orders * 100:.1f} %" in shown


@pytest.mark.parametrize("horizon", [0, -3, 90.5, float("nan"), "90"])
def test_horizons_are_whole_days(chain, horizon):
    with pytest.raises(SettingError, match="horizons_days must be"):
        sl.self_loop(chain, horizons_days=(30, horizon))


def test_settings_are_checked(chain):
    with pytest.raises(SettingError, match="min_at_risk must be at least 1"):
        sl.self_loop(chain, min_at_risk=0)
    # A whole number written as a float is one.
    assert r_of(sl.self_loop(chain, horizons_days=(4.0,), min_at_risk=1), 4)["r"] > 0
