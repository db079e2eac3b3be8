"""Referred people against others: by hand, pandas, laws, chance, known effects."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats
from small_shops import date_of, orders, referrals, visits

import selfloop as sl
from selfloop.core.errors import MissingTableError, SettingError
from selfloop.measures.referral.enrichment import TENURES

TABLES = {
    "differences": "referred_differences",
    "by_month": "referred_months",
    "tenure": "referrer_tenure",
    "survival": "referrer_active",
    "clustering": "link_clustering",
}


def line_of(found, measure):
    """Return the differences of one measure."""
    return found.differences.set_index("measure").loc[measure]


# By hand ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_hand():
    """A shop of a few people; day 0 is 1 January, 31 1 February, end day 120.

    Bought in January: ann (day 0), others; bob (5) and cat (10), both brought by ann,
    bob on day 4, cat on day 8. In February: dan (35), brought by bob on day 33; eve
    (40), other; fay (45), brought by eve on day 38, before eve bought. Too late for 30
    days: gus (100), brought by ann. hal came and did not buy; ivy was asked by ann on
    day 20 and did not come.
    """
    return sl.read_events(
        orders(
            ("ann", 0, 100), ("ann", 20, 50), ("ann", 40, 10),
            ("bob", 5, 60), ("bob", 6, -20),
            ("cat", 10, 30), ("cat", 40, 30),  # 40 is day 30 of cat: still inside
            ("dan", 35, 80), ("dan", 66, 80),  # 66 is day 31 of dan: outside
            ("eve", 40, 40), ("eve", 50, -10), ("eve", 60, 25),
            ("fay", 45, 90),
            ("gus", 100, 70),
        ),
        referrals(
            ("ann", "bob", 4), ("ann", "cat", 8), ("bob", "dan", 33),
            ("eve", "fay", 38), ("ann", "gus", 99), ("ann", "ivy", 20),
            ("ann", "eve", 42),
        ),
        visits=visits(
            ("ann", 0, "ads"), ("bob", 3, "ads"), ("cat", 9, "ads"), ("eve", 2, "ads"),
            ("hal", 50, "ads"), ("fay", 46, "ads"),
        ),
        end=date_of(120),
    )  # fmt: skip


@pytest.fixture(scope="module")
def compared_by_hand(by_hand):
    """The comparison of that shop."""
    return sl.compare_referred(by_hand, window_days=30, lapse_days=30, min_at_risk=1)


def test_raw_numbers_by_hand(compared_by_hand):
    table = compared_by_hand.differences.set_index("measure")
    # Buyers observed for 30 days: bob, cat, dan, fay referred; ann, eve others.
    buyers = table.drop(index="conversion")
    assert (buyers["n_referred"] == 4).all()
    assert (buyers["n_others"] == 2).all()
    # Of bob, cat, dan, fay only cat bought again in time; ann and eve did.
    assert table.loc["repurchase", ["referred", "others"]].tolist() == [1 / 4, 1]
    assert table.loc["orders", ["referred", "others"]].tolist() == [5 / 4, 2]
    # bob 40, cat 60, dan 80, fay 90; ann 150 (day 40 is outside), eve 55.
    assert table.loc["value", "referred"] == pytest.approx(270 / 4)
    assert table.loc["value", "others"] == pytest.approx(205 / 2)
    # Refunds 20 of sales 60 + 60 + 80 + 90; 10 of 150 + 65.
    assert table.loc["refund_share", "referred"] == pytest.approx(20 / 290)
    assert table.loc["refund_share", "others"] == pytest.approx(10 / 215)
    # bob brought dan within 30 days; ann brought bob and cat, eve brought fay.
    assert table.loc["referrals", ["referred", "others"]].tolist() == [1 / 4, 3 / 2]


def test_differences_by_hand(compared_by_hand):
    table = compared_by_hand.differences.set_index("measure")
    # January 2 and 1, February 2 and 1: both weigh 2/3.
    assert (table["n_strata"].drop("conversion") == 2).all()
    # Value: (50 - 150 + 85 - 55) / 2; repurchase: (1/2 - 1 + 0 - 1) / 2.
    assert table.loc["value", "difference"] == pytest.approx((50 - 150 + 85 - 55) / 2)
    assert table.loc["repurchase", "difference"] == pytest.approx(-0.75)
    assert table.loc["referrals", "difference"] == pytest.approx((0 - 2 + 0.5 - 1) / 2)
    # Refunds per head 10 and 0, sales 60 and 85; of others 0 and 10, 150 and 65.
    assert table.loc["refund_share", "difference"] == pytest.approx(10 / 145 - 10 / 215)
    # Others have one person a month, from whom no variance can be told.
    assert table.loc["value", "reason"] == "no interval: all alike"
    assert math.isnan(table.loc["value", "difference_low"])


def test_conversion_by_hand(compared_by_hand):
    # Seen first to be asked, or to visit with a referral by then: cat, dan, fay, ivy.
    # bob visited on day 3 and was asked on day 4: an other, as ann, eve, hal.
    # gus was asked on day 99: not observed for 30 days.
    line = line_of(compared_by_hand, "conversion")
    assert (line["n_referred"], line["n_others"]) == (4, 4)
    # ivy did not buy; eve (38 days) and hal did not buy in time.
    assert line["referred"] == 3 / 4
    assert line["others"] == 2 / 4
    months = compared_by_hand.by_month
    months = months[months["measure"] == "conversion"].set_index("month")
    assert months["n_referred"].tolist() == [2, 2]  # cat, ivy; dan, fay
    assert months["n_others"].tolist() == [3, 1]  # ann, bob, eve; hal
    assert months["referred"].tolist() == [1 / 2, 1]
    assert months["others"].tolist() == [2 / 3, 0]
    # Weights 6/5 and 2/3: (6/5 * -1/6 + 2/3 * 1) / (28/15) = 1/4.
    assert line["difference"] == pytest.approx(1 / 4)


def test_tenure_by_hand(compared_by_hand):
    table = compared_by_hand.tenure.set_index("tenure")
    assert table.index.tolist() == [name for _, name in TENURES]
    # fay was asked two days before eve bought; bob, cat, dan on days 4, 8, 28.
    assert table["n_referees"].tolist() == [1, 3, 0, 0, 0, 0]
    assert table["n_referrers"].tolist() == [1, 2, 0, 0, 0, 0]
    early = table.loc["0-29 days"]
    # ann's two spent 40 + 60, bob's one 80: 180 / 3. Sums less 60 a head: -20, 20.
    assert early["value"] == pytest.approx(60)
    error = math.sqrt((20**2 + 20**2) / 1 / 2) / 1.5
    reach = stats.t.ppf(0.975, 1) * error
    assert early["value_high"] == pytest.approx(60 + reach)
    assert early["share_repurchase"] == pytest.approx(1 / 3)
    assert table.loc["before own purchase", "reason"] == "no interval: all alike"
    assert table.loc["30-89 days", "reason"] == "0 referees, need 1"


def test_survival_by_hand(compared_by_hand):
    # Lapses after 30 days: bob 35, cat 70 (bought on day 40 again), dan 65 (the next
    # purchase is 31 days later), fay 75, ann 70, gus 130: not seen.
    # Referees whose referrer had bought by then: bob, cat (ann), dan (bob), fay (eve),
    # gus (ann). ann was active on days 1 to 70, bob 6 to 35, eve 41 to 90.
    # bob lapses at age 30, cat at 60, both with ann there; dan at 30, bob is away
    # since; fay at 30 with eve there. gus is followed to age 20 without ann.
    table = compared_by_hand.survival
    assert compared_by_hand.n_links == 5
    assert table["from_age_days"].tolist() == [30, 60]
    assert table["to_age_days"].tolist() == [59, 89]
    assert table["n_lapses_active"].tolist() == [2, 1]
    assert table["n_lapses_after"].tolist() == [1, 0]
    # At age 30 bob, cat, fay with, dan without; at 31 to 59 cat alone; at 60 cat.
    assert table["n_days_active"].tolist() == [3 + 29, 1]
    assert table["n_days_after"].tolist() == [1, 0]
    assert table["rate_active"].tolist() == pytest.approx([30 * 2 / 32, 30])
    assert math.isnan(table["rate_after"].iloc[1])
    # January (bob, cat with ann) has no one without. February at age 30: fay with,
    # dan without, both lapse: ratio 1.
    assert compared_by_hand.hazard_ratio == pytest.approx(1.0)
    assert compared_by_hand.hazard_reason == "no interval: all alike"
    assert math.isnan(compared_by_hand.hazard_ratio_low)


def test_clustering_by_hand(compared_by_hand):
    table = compared_by_hand.clustering.set_index("outcome")
    assert table["n_links"].tolist() == [4, 4]
    assert table["n_referrers"].tolist() == [3, 3]
    # Referrers with a refund: bob (of dan) and eve (of fay), not ann.
    assert table.loc["refund", ["n_with", "n_without"]].tolist() == [2, 2]
    assert table.loc["refund", ["share_with", "share_without"]].tolist() == [0, 0.5]
    # No month has referrers of both kinds.
    assert table.loc["refund", "n_strata"] == 0
    assert "0 links of one kind" in table.loc["refund", "reason"]
    # Referrers who lapsed: bob. His dan lapsed too; bob and fay of the others did.
    assert table.loc["lapse", ["n_with", "n_without"]].tolist() == [1, 3]
    assert table.loc["lapse", "share_without"] == pytest.approx(2 / 3)
    # February: dan (with) and fay (without) both lapsed: nothing to exchange.
    assert table.loc["lapse", "difference"] == 0
    assert math.isnan(table.loc["lapse", "p_value"])


def test_a_referrer_who_comes_back_is_active_again():
    # ann buys on days 0 and 60, with G = 20: active on days 1 to 20 and 61 to 80. bob
    # buys on days 10, 30, 50, 70 and lapses on day 90, at age 80. Ages 1 to 10 and 51
    # to 70 are active: from age 20, 20 days of 61.
    events = sl.read_events(
        orders(
            ("ann", 0, 9), ("ann", 60, 9),
            ("bob", 10, 9), ("bob", 30, 9), ("bob", 50, 9), ("bob", 70, 9),
        ),
        referrals(("ann", "bob", 5)),
        end=date_of(150),
    )  # fmt: skip
    table = sl.compare_referred(events, window_days=30, lapse_days=20).survival
    assert table["n_days_active"].tolist() == [0, 20, 0]
    assert table["n_days_after"].tolist() == [30, 10, 1]
    assert table["n_lapses_after"].tolist() == [0, 0, 1]
    assert table["n_lapses_active"].sum() == 0


def test_a_lapse_needs_days_without_purchase_that_were_seen():
    # bob's last purchase is on day 10: with G = 20 the lapse is known on day 30.
    def shop(end):
        return sl.read_events(
            orders(("ann", 0, 9), ("bob", 10, 9)),
            referrals(("ann", "bob", 5)),
            end=date_of(end),
        )

    seen = sl.compare_referred(shop(30), window_days=5, lapse_days=20)
    assert seen.survival["n_lapses_after"].tolist() == [1]  # ann lapsed on day 20
    assert seen.survival["n_days_after"].tolist() == [1]
    early = sl.compare_referred(shop(29), window_days=5, lapse_days=20)
    assert len(early.survival) == 0


# Edges ------------------------------------------------------------------------------


def test_without_referrals_or_visits():
    bought = orders(("ann", 0, 9), ("bob", 10, 9))
    with pytest.raises(MissingTableError, match="SL301"):
        sl.compare_referred(sl.read_events(bought))
    events = sl.read_events(bought, referrals(("ann", "bob", 5)), end=date_of(200))
    line = line_of(sl.compare_referred(events), "conversion")
    assert line["reason"] == "no table of visits"
    assert pd.isna(line["n_referred"])
    assert pd.isna(line["referred"])


@pytest.mark.parametrize("name", ["window_days", "lapse_days", "min_at_risk"])
@pytest.mark.parametrize("value", [0, -1, "90", True, math.nan])
def test_settings_are_checked(by_hand, name, value):
    with pytest.raises(SettingError, match=name):
        sl.compare_referred(by_hand, **{name: value})


def test_settings_are_whole_days(by_hand):
    with pytest.raises(SettingError, match="whole"):
        sl.compare_referred(by_hand, window_days=30.5)
    with pytest.raises(SettingError, match="read_events"):
        sl.compare_referred(orders(("ann", 0, 9)))


def test_few_people_are_missing_with_the_reason(by_hand):
    found = sl.compare_referred(by_hand, window_days=30)
    table = found.differences
    assert (table["reason"].str.contains("need 30")).all()
    assert table[["referred", "others", "difference", "p_value"]].isna().all(axis=None)
    assert table["n_referred"].tolist() == [4] * 6
    assert "need 30" in found.hazard_reason
    assert math.isnan(found.hazard_ratio)
    assert (
        found.clustering[["share_with", "difference", "p_value"]].isna().all(axis=None)
    )
    assert found.tenure["value"].isna().all()
    # What the months say stays, so that a reader sees why.
    assert found.by_month["n_referred"].sum() == 24


def test_a_shop_in_which_nobody_is_old_enough(by_hand):
    found = sl.compare_referred(by_hand, window_days=365)
    assert found.differences["n_referred"].tolist() == [0] * 6
    assert len(found.by_month) == 0
    assert found.clustering["n_links"].tolist() == [0, 0]
    assert found.tenure["n_referees"].tolist() == [0] * 6
    for name, table in TABLES.items():
        assert shops.has_columns(getattr(found, name), table), name


def test_referrals_that_only_name_buyers_say_nothing_about_conversion():
    buyers = [f"b{i:02d}" for i in range(40)]
    events = sl.read_events(
        orders(*((b, 5, 9) for b in buyers), ("ann", 0, 9)),
        referrals(*(("ann", b, 4) for b in buyers)),
        visits=visits(*((f"v{i:02d}", i, "ads") for i in range(40))),
        end=date_of(200),
    )
    line = line_of(sl.compare_referred(events), "conversion")
    assert line["reason"] == "referrals only name people who bought"
    assert pd.isna(line["referred"])


def test_it_shows_itself(compared_by_hand):
    text = repr(compared_by_hand)
    for words in ("referred less others", "by tenure", "along links", "1: no interval"):
        assert words in text, words
    assert "<table" in compared_by_hand._repr_html_()
    frame = compared_by_hand.to_frame()
    frame["measure"] = "x"
    assert compared_by_hand.differences["measure"].iloc[0] == "conversion"


# Plain pandas -----------------------------------------------------------------------


def plain_rows(tables, people, *, window, end):
    """One row per buyer observed long enough, in pandas alone."""
    last = (pd.Timestamp(end) - pd.Timestamp("1970-01-01")).days
    buyers = people[people["first_day"] <= last - window].copy()
    known = tables.orders[tables.orders["customer_id"].notna()].copy()
    known["day"] = (known["ordered_at"].dt.normalize() - pd.Timestamp(0)).dt.days
    known["age"] = known["day"] - known["customer_id"].map(people["first_day"])
    known = known[known["age"].between(0, window)]
    sums = known.groupby(["customer_id", "day"])["amount"].sum().round(4)
    buyers["orders"] = (sums > 0).groupby(level=0).sum()
    buyers["value"] = known.groupby("customer_id")["amount"].sum()
    refunds = -known["amount"].clip(upper=0)
    buyers["refunds"] = refunds.groupby(known["customer_id"]).sum()
    buyers["gross"] = buyers["value"] + buyers["refunds"]
    buyers["again"] = (buyers["second_day"] - buyers["first_day"] <= window) * 1.0
    brought = people[people["referrer"].notna()]
    wait = brought["first_day"] - brought["referrer"].map(people["first_day"])
    counted = brought[wait.between(0, window)].groupby("referrer").size()
    buyers["referrals"] = counted.reindex(buyers.index).fillna(0)
    times = pd.to_datetime(buyers["first_day"], unit="D")
    buyers["month"] = times.dt.strftime("%Y-%m")
    buyers["is_referred"] = buyers["source"] == "referral"
    return buyers


def plain_difference(rows, top, base=None):
    """Mantel-Haenszel difference by a loop over months."""
    sums = np.zeros(4)
    for _, part in rows.groupby("month"):
        one, other = part[part["is_referred"]], part[~part["is_referred"]]
        if len(one) and len(other):
            w = len(one) * len(other) / len(part)
            sums += w * np.array([
                one[top].mean(), one[base].mean() if base else 1,
                other[top].mean(), other[base].mean() if base else 1,
            ])  # fmt: skip
    return sums[0] / sums[1] - sums[2] / sums[3]


@pytest.fixture(scope="module")
def compared(simulated_events):
    """The comparison of a simulated shop."""
    return sl.compare_referred(simulated_events, window_days=60, lapse_days=45)


@pytest.fixture(scope="module")
def plain(simulated, simulated_events, simulated_people):
    """Its buyers in pandas."""
    return plain_rows(simulated, simulated_people, window=60, end=simulated_events.end)


COLUMNS = {
    "repurchase": ("again", None),
    "orders": ("orders", None),
    "value": ("value", None),
    "refund_share": ("refunds", "gross"),
    "referrals": ("referrals", None),
}


@pytest.mark.parametrize("measure", list(COLUMNS))
def test_differences_are_those_of_pandas(compared, plain, measure):
    top, base = COLUMNS[measure]
    line = line_of(compared, measure)
    one, other = plain[plain["is_referred"]], plain[~plain["is_referred"]]
    assert (line["n_referred"], line["n_others"]) == (len(one), len(other))
    for part, name in ((one, "referred"), (other, "others")):
        bottom = part[base].sum() if base else len(part)
        assert line[name] == pytest.approx(part[top].sum() / bottom)
    assert line["difference"] == pytest.approx(plain_difference(plain, top, base))


def test_an_untidy_shop_with_refunds_is_that_of_pandas(untidy, untidy_events):
    found = sl.compare_referred(untidy_events, window_days=60, min_at_risk=1)
    people = shops.plain_people(*untidy, end=untidy_events.end)
    # Rings are cut in the events and not in pandas: take who is referred from there.
    ids = sl.people(untidy_events).to_pandas().set_index("person_id")
    people["source"] = ids["source"].reindex(people.index)
    people["referrer"] = ids["referrer_id"].reindex(people.index)
    rows = plain_rows(untidy, people, window=60, end=untidy_events.end)
    for measure, (top, base) in COLUMNS.items():
        line = line_of(found, measure)
        assert line["n_referred"] + line["n_others"] == len(rows)
        assert line["difference"] == pytest.approx(plain_difference(rows, top, base))
    assert line_of(found, "refund_share")["referred"] > 0


def test_conversion_is_that_of_pandas(simulated, simulated_events, simulated_people):
    found = sl.compare_referred(simulated_events, window_days=60)
    people = simulated_people
    asked = simulated.referrals.groupby("referee_id")["referred_at"].min()
    came = simulated.visits.groupby("visitor_id")["visited_at"].min()
    rows = pd.DataFrame({"asked": asked, "came": came}).join(people["first_day"])
    entered = rows[["asked", "came"]].min(axis=1)
    rows["day"] = (entered.dt.normalize() - pd.Timestamp(0)).dt.days
    last = (pd.Timestamp(simulated_events.end) - pd.Timestamp(0)).days
    wait = rows["first_day"] - rows["day"]
    rows["converted"] = (wait <= 60) * 1.0
    rows["is_referred"] = rows["asked"].dt.normalize() == entered.dt.normalize()
    rows["month"] = entered.dt.strftime("%Y-%m")
    rows = rows[(rows["day"] <= last - 60) & ~(wait < 0)]
    line = line_of(found, "conversion")
    assert line["n_referred"] == rows["is_referred"].sum()
    assert line["n_others"] == (~rows["is_referred"]).sum()
    assert line["difference"] == pytest.approx(plain_difference(rows, "converted"))


def test_a_reader_can_recompute_every_difference(compared):
    for measure, rows in compared.by_month.groupby("measure"):
        rows = rows[rows["weight"] > 0]
        n = rows["n_referred"], rows["n_others"]
        np.testing.assert_allclose(rows["weight"], n[0] * n[1] / (n[0] + n[1]))
        bases = [rows["weight"] * rows[f"base_{g}"] for g in ("referred", "others")]
        shares = [
            (base * rows[g]).sum() / base.sum()
            for base, g in zip(bases, ("referred", "others"), strict=True)
        ]
        line = line_of(compared, measure)
        assert line["difference"] == pytest.approx(shares[0] - shares[1])
        assert line["n_strata"] == len(rows)


def plain_lapse(days, lapse, last):
    """Return the day of the first lapse of somebody, and whether it was seen."""
    for one, following in zip(days, [*days[1:], 10**9], strict=True):
        if following - one > lapse:
            return one + lapse, one + lapse <= last
    raise AssertionError


def test_survival_is_that_of_a_loop(compared, simulated, simulated_events):
    last = (pd.Timestamp(simulated_events.end) - pd.Timestamp(0)).days
    people = sl.people(simulated_events).to_pandas()
    stamps = simulated.orders["ordered_at"].dt.normalize()
    days = (stamps - pd.Timestamp(0)).dt.days
    bought = days.groupby(simulated.orders["customer_id"]).agg(lambda d: sorted(set(d)))
    hits, at_risk = np.zeros((2, 2000)), np.zeros((2, 2000))
    n_links = 0
    links = people[people["referrer_id"].notna() & (people["n_purchases"] > 0)]
    for row in links.itertuples():
        theirs = bought.get(row.referrer_id, [])
        start = bought[row.person_id][0]
        if not len(theirs) or theirs[0] > start:
            continue
        n_links += 1
        lapse_day, seen = plain_lapse(bought[row.person_id], 45, last)
        for t in range(start + 1, min(lapse_day, last) + 1):
            active = any(1 <= t - d <= 45 for d in theirs)
            at_risk[int(active), t - start] += 1
            hits[int(active), t - start] += seen and t == lapse_day
    assert compared.n_links == n_links
    table = compared.survival
    bands = range(45, int(table["to_age_days"].iloc[-1]), 30)
    for state, name in ((1, "active"), (0, "after")):
        expected = [hits[state, a : a + 30].sum() for a in bands]
        assert table[f"n_lapses_{name}"].tolist() == expected
        expected = [at_risk[state, a : a + 30].sum() for a in bands]
        assert table[f"n_days_{name}"].tolist() == expected


def test_clustering_and_tenure_are_those_of_pandas(compared, plain, simulated):
    links = plain[plain["referrer"].isin(plain.index)]
    mine = links["again"] == 0
    theirs = links["referrer"].map(plain["again"]) == 0
    line = compared.clustering.set_index("outcome").loc["lapse"]
    assert (line["n_links"], line["n_with"]) == (len(links), theirs.sum())
    assert line["share_with"] == pytest.approx(mine[theirs].mean())
    assert line["share_without"] == pytest.approx(mine[~theirs].mean())
    rows = links.assign(is_referred=theirs, lapse=mine * 1.0)
    assert line["difference"] == pytest.approx(plain_difference(rows, "lapse"))
    first = simulated.referrals.sort_values("referred_at").drop_duplicates("referee_id")
    asked = first.set_index("referee_id")["referred_at"].dt.normalize()
    brought = plain[plain["is_referred"]]
    on = (asked.reindex(brought.index) - pd.Timestamp(0)).dt.days
    tenure = on - brought["referrer"].map(plain["first_day"])
    expected = pd.cut(tenure, [-1e9, -0.5, 29.5, 89.5, 179.5, 364.5, 1e9], labels=False)
    assert compared.tenure["n_referees"].tolist() == (
        expected.value_counts().reindex(range(6)).fillna(0).tolist()
    )
    means = brought["value"].groupby(expected).mean().reindex(range(6))
    known = compared.tenure["reason"] == ""
    assert known.sum() >= 2
    assert compared.tenure["value"][known].tolist() == pytest.approx(
        means[known].tolist()
    )


# Laws -------------------------------------------------------------------------------


def assert_same(one, other, *, money=1.0):
    """Compare two results; money columns may be multiplied."""
    for name, table in TABLES.items():
        mine, theirs = getattr(one, name), getattr(other, name)
        assert shops.has_columns(mine, table)
        scale = pd.DataFrame(1.0, index=mine.index, columns=mine.columns)
        if name == "tenure":
            scale[["value", "value_low", "value_high"]] = money
        elif "measure" in mine:
            paid = ["referred", "others", "difference", "difference_low",
                    "difference_high"]  # fmt: skip
            paid = [c for c in paid if c in mine]
            scale.loc[mine["measure"] == "value", paid] = money
            bases = [c for c in mine if c.startswith("base_")]
            scale.loc[mine["measure"] == "refund_share", bases] = money
        numbers = mine.select_dtypes("number").columns
        np.testing.assert_allclose(
            theirs[numbers].astype(float),
            mine[numbers].astype(float) * scale[numbers],
            rtol=1e-9,
            atol=1e-12,
        )
        texts = mine.columns.difference(numbers)
        pd.testing.assert_frame_equal(mine[texts], theirs[texts])
    assert one.hazard_ratio == pytest.approx(other.hazard_ratio, nan_ok=True)
    assert one.hazard_p_value == pytest.approx(other.hazard_p_value, nan_ok=True)


@pytest.mark.parametrize(
    ("events", "money"),
    [("shuffled_events", 1.0), ("renamed_events", 1.0), ("richer_events", 10.0)],
)
def test_rows_names_and_money(untidy_events, request, events, money):
    settings = {"window_days": 45, "lapse_days": 30, "min_at_risk": 5}
    one = sl.compare_referred(untidy_events, **settings)
    other = sl.compare_referred(request.getfixturevalue(events), **settings)
    assert_same(one, other, money=money)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 1000), st.sampled_from([0.5, 3.0, 100.0]))
def test_any_shop_in_any_order_and_currency(seed, times):
    tables = shops.random_shop(seed=seed, n_people=60, days=100)
    moved = shops.shuffled(tables, seed=seed)
    dear = moved.orders.assign(amount=moved.orders["amount"] * times)
    given = {"window_days": 30, "lapse_days": 30, "min_at_risk": 1}
    one = sl.read_events(tables.orders, tables.referrals, visits=tables.visits)
    other = sl.read_events(dear, moved.referrals, visits=moved.visits)
    found = sl.compare_referred(one, **given)
    assert_same(found, sl.compare_referred(other, **given), money=times)
    table = found.differences
    known = table["difference_low"].notna()
    assert (table["difference_low"] <= table["difference_high"])[known].all()
    assert (table["p_adjusted"] >= table["p_value"])[known].all()


def test_a_calendar_moved_by_whole_months_changes_nothing(untidy, untidy_events):
    """From 2026 to 2027 every month keeps its length."""
    year = pd.Timedelta(days=365)
    later = shops.Tables(*(
        t.assign(**{c: t[c] + year for c in t if c.endswith("_at")}) for t in untidy
    ))  # fmt: skip
    events = sl.read_events(later.orders, later.referrals, visits=later.visits)
    given = {"window_days": 45, "lapse_days": 30, "min_at_risk": 5}
    one, other = (sl.compare_referred(e, **given) for e in (untidy_events, events))
    months = other.by_month["month"].str.replace("2027", "2026")
    back = replace(other, by_month=other.by_month.assign(month=months))
    assert_same(one, back)


# Chance alone, and known effects ----------------------------------------------------


def shop_of(rng, *, effect=0.0, n=1500):
    """Draw buyers over a year; a third is brought by somebody of an earlier day.

    Referred people buy again within 60 days more often by `effect`.
    """
    ids = np.array([f"c{i:04d}" for i in range(n)])
    entry = np.sort(rng.integers(0, 365, n))
    referred = (rng.random(n) < 0.35) & (entry > 30)
    month = entry // 31
    again = rng.random(n) < 0.25 + 0.015 * month + effect * referred
    first = [(ids[i], int(entry[i]), round(rng.gamma(2, 30), 2)) for i in range(n)]
    second = [
        (ids[i], int(entry[i] + rng.integers(1, 60)), round(rng.gamma(2, 30), 2))
        for i in np.flatnonzero(again)
    ]
    pairs = [
        (ids[rng.integers(0, np.searchsorted(entry, entry[i]))], ids[i],
         int(entry[i] - 1))
        for i in np.flatnonzero(referred)
    ]  # fmt: skip
    return orders(*first, *second), referrals(*pairs)


def permuted(rng, events, bought, links):
    """Give the links of each month to other buyers of the month."""
    core = events.core.to_pandas().set_index("person_id")
    when = core["first_at"].dropna()
    month = when.dt.strftime("%Y-%m")
    drawn = []
    for name, part in links.groupby(links["referee_id"].map(month)):
        theirs = rng.permutation(month.index[month == name])[: len(part)]
        drawn.append(part.assign(referee_id=theirs,
                                 referred_at=when[theirs].to_numpy()))  # fmt: skip
    links = pd.concat(drawn)
    return sl.read_events(bought, links[links["referrer_id"] != links["referee_id"]])


def test_shuffled_links_show_no_effect(simulated, simulated_events):
    """Links exchanged within months of the first purchase of the referees."""
    rng = np.random.default_rng(3)
    p_values = []
    for _ in range(5):
        events = permuted(rng, simulated_events, simulated.orders, simulated.referrals)
        found = sl.compare_referred(events, window_days=60)
        p_values += [
            *found.differences["p_value"].dropna(),
            *found.clustering["p_value"].dropna(),
            found.hazard_p_value,
        ]
        assert not (found.differences["p_adjusted"] < 0.01).any()
    p_values = np.array(p_values)
    assert p_values.size == 30
    assert (p_values < 0.05).mean() < 0.15
    assert stats.kstest(p_values, "uniform").pvalue > 0.001


def test_a_known_effect_is_found_and_covered():
    rng = np.random.default_rng(0)
    for effect in (0.1, 0.3):
        bought, links = shop_of(rng, effect=effect, n=3000)
        found = sl.compare_referred(sl.read_events(bought, links), window_days=60)
        line = line_of(found, "repurchase")
        assert line["difference_low"] < effect < line["difference_high"]
        assert line["p_adjusted"] < 0.05
        # They bought no more for a purchase, and no one of them had a refund.
        assert line_of(found, "refund_share")["reason"] == "no interval: all alike"


def test_lapses_that_run_along_links_are_found():
    """Referees who copy their referrer: a second purchase where she made one."""
    rng = np.random.default_rng(5)
    first, again, pairs = [], [], []
    for i in range(400):
        start = int(rng.integers(0, 100))
        loyal = rng.random() < 0.5
        first.append((f"r{i:03d}", start, 10))
        if loyal:
            again.append((f"r{i:03d}", start + 20, 10))
        for k in range(2):
            who, when = f"e{i:03d}{k}", start + int(rng.integers(1, 40))
            first.append((who, when, 10))
            pairs.append((f"r{i:03d}", who, when))
            if rng.random() < (0.6 if loyal else 0.4):
                again.append((who, when + 30, 10))
    events = sl.read_events(orders(*first, *again), referrals(*pairs), end=date_of(400))
    line = sl.compare_referred(events).clustering.set_index("outcome").loc["lapse"]
    assert line["n_links"] == 800
    assert line["difference_low"] < 0.2 < line["difference_high"]
    assert line["p_adjusted"] < 1e-4


def test_referees_who_stay_as_long_as_the_referrer_are_found():
    """Referees buy every 10 days, and stop sooner once the referrer has stopped."""
    rng = np.random.default_rng(6)
    rows, pairs = [], []
    for i in range(300):
        start = int(rng.integers(0, 60))
        gone = start + int(rng.integers(20, 200))
        rows += [(f"r{i:03d}", d, 10) for d in range(start, gone, 10)]
        when = d = start + 5
        pairs.append((f"r{i:03d}", f"e{i:03d}", when))
        while True:
            rows.append((f"e{i:03d}", d, 10))
            d += 10
            if d > 500 or rng.random() < (0.04 if d <= gone else 0.12):
                break
    events = sl.read_events(orders(*rows), referrals(*pairs), end=date_of(600))
    found = sl.compare_referred(events, lapse_days=15)
    assert found.n_links == 300
    assert found.hazard_ratio_high < 0.8
    assert found.hazard_p_value < 1e-4
