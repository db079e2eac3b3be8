"""The outlook of a report: recomputed from exported tables, true words, gaps."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq

import selfloop as sl
from selfloop.inputs.shop import Shop
from selfloop.outputs.report import outlook_words as words
from selfloop.outputs.report.folding import unfold
from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.numbers import report_numbers
from selfloop.outputs.text import text

MONEY = Money(None)


@pytest.fixture(scope="module")
def shop():
    return sl.simulate(n_visitors=3000, seed=7)


@pytest.fixture(scope="module")
def found(shop):
    events = sl.read_events(
        shop.orders, shop.referrals, visits=shop.visits, spend=shop.spend
    )
    return sl.analyze(events, model="mbg_nbd")


@pytest.fixture(scope="module")
def numbers(found):
    return unfold(report_numbers(found))


@pytest.fixture(scope="module")
def ages(found):
    """Sums of what people did by day, as the report's user can export them."""
    return found.outlook.cells


# Every figure from the exported tables, by the formulas of docs/methods.md


def of_source(ages, *sources):
    """Return the columns of some sources, added up, as arrays by day."""
    mine = ages[ages["source"].isin(sources)]
    sums = mine.groupby("days").sum(numeric_only=True)
    return {name: sums[name].to_numpy(float) for name in sums}


def at_risk(by_followup):
    """Count people followed to each age or longer."""
    return by_followup[::-1].cumsum()[::-1]


def mean_to(happened, people, age):
    """Return the mean cumulative function at an age."""
    return float(sum(happened[a] / people[a] for a in range(age + 1)))


def kaplan_meier(reached, waiting, days):
    """Return the share that has got there."""
    left = 1.0
    still = at_risk(reached + waiting)
    for day in range(days + 1):
        left *= 1 - reached[day] / still[day]
    return 1 - left


OUTSIDE = ("organic", "paid", "unknown")


@pytest.mark.parametrize("segment", ["(outside)", "organic", "paid", "referral"])
def test_values_follow_from_counts_by_day(found, ages, segment):
    row = found.outlook.value.table.set_index("segment").loc[segment]
    mine = of_source(ages, *(OUTSIDE if segment == "(outside)" else (segment,)))
    brought = of_source(ages, "referral")
    people, theirs = at_risk(mine["n_buyers"]), at_risk(brought["n_buyers"])
    own = mean_to(mine["revenue"], people, 365)
    r = mean_to(mine["n_brought"], people, 365)
    each = mean_to(brought["revenue"], theirs, 365) / (
        1 - mean_to(brought["n_brought"], theirs, 365)
    )
    days = int(row["conversion_days"])
    share = kaplan_meier(mine["n_bought"], mine["n_waiting"], days)
    assert row["own_value"] == pytest.approx(own)
    assert row["r"] == pytest.approx(r)
    assert row["share_converted"] == pytest.approx(share)
    assert row["buyer_value"] == pytest.approx(own + r * each)
    assert row["visitor_value"] == pytest.approx(share * (own + r * each))
    assert row["share_brought"] == pytest.approx(r * each / (own + r * each))


def test_costs_follow_from_spend_and_counts(found, shop, ages):
    table = found.outlook.cost.channels.set_index("channel")
    for name in ("ads", "信息流"):
        row = table.loc[name]
        spent = shop.spend.loc[shop.spend["channel"] == name, "spend"].sum()
        mine = ages[(ages["segment"] == name) & (ages["source"] == "paid")]
        assert row["spend"] == pytest.approx(spent)
        assert row["n_arrived"] == mine["n_arrived"].sum()
        share = kaplan_meier(
            mine["n_bought"].to_numpy(float), mine["n_waiting"].to_numpy(float), 365
        )
        cac = spent / row["n_arrived"] / share
        assert row["cac"] == pytest.approx(cac)
        assert row["return_ratio"] == pytest.approx(row["buyer_ceiling"] / cac)


def test_growth_follows_from_the_curve_of_r(found):
    growth, curve = found.outlook.growth, found.loop.curve
    age = curve["age_days"].to_numpy(float)
    births = (curve["n_referrals"] / curve["n_at_risk"]).to_numpy(float)
    rate = brentq(lambda r: (np.exp(-r * age) * births).sum() - 1, -0.5, 0.5)
    assert growth.rate == pytest.approx(rate, rel=1e-6)
    assert growth.halving_days == pytest.approx(math.log(2) / -rate, rel=1e-6)
    assert growth.r == pytest.approx(births.sum())
    assert growth.multiplier == pytest.approx(1 / (1 - births.sum()))
    assert growth.r == pytest.approx(found.loop.headline["r"])
    assert growth.cascades["n_seeds"].sum() == growth.n_seeds


def test_shares_follow_from_the_months(found):
    for months in (found.loop.months, found.loop.weeks):
        carried = months["n_repeat"] + months["n_first_referral"]
        share = carried / months["n_orders"]
        assert share.to_numpy() == pytest.approx(months["share_orders"], nan_ok=True)
    lineage = found.loop.lineage
    assert lineage["revenue"].sum() == pytest.approx(found.loop.months["revenue"].sum())
    brought = lineage["revenue_brought"] / lineage["revenue"]
    assert brought.tolist() == pytest.approx(lineage["share_brought"].tolist())


def levels_of(found, name):
    """Return the level of buyers by days since their first purchase."""
    ahead = found.outlook.projection
    rows = ahead.cohorts
    end = pd.Timestamp(ahead.end)
    level = {}
    for first, last, value in zip(
        rows["first_day"], rows["last_day"], rows[f"{name}_level"], strict=True
    ):
        level |= dict.fromkeys(range((end - last).days, (end - first).days + 1), value)
    return np.array([level[age] for age in range(len(level))])


def weighted(counts, level):
    """Count people at risk by their levels; the first day is no part of them."""
    people = at_risk(counts * level)
    people[0] = counts.sum()
    return people


def steps_of(part, pooled, name, level):
    """Return a daily rate of one source to its oldest age, then that of all, scaled."""
    people, everybody = at_risk(part["n_buyers"]), at_risk(pooled["n_buyers"])
    oldest = int(np.flatnonzero(people >= 30)[-1])
    longest = int(np.flatnonzero(everybody >= 30)[-1])
    counted = weighted(part["n_buyers"], level)
    mine = part[name][: oldest + 1] / counted[: oldest + 1]
    counted = weighted(pooled["n_buyers"], level)
    whole = pooled[name][: longest + 1] / counted[: longest + 1]
    last = slice(max(1, oldest // 4), oldest + 1)
    n_expected = (whole[last] * people[last]).sum()
    if name == "revenue":
        n_expected *= part["n_orders"].sum() / part["revenue"].sum()
    ratio = mine[last].sum() / whole[last].sum() if n_expected >= 30 else 1.0
    return np.concatenate([mine, whole[oldest + 1 :] * ratio])


def test_the_first_month_ahead_follows_from_counts_by_day(found, ages):
    """By loops over buyers of each age: 11 days, so that no fitted curve is needed
    but for the few who pass the oldest observed age."""
    months = found.outlook.projection.months
    row = months[(months["scenario"] == "as_is") & (months["status"] == "partial")]
    n_days = 11  # from 21 to 31 December
    pooled = of_source(ages, *OUTSIDE, "referral")
    sources = [s for s in ("referral", "paid", "organic") if s in set(ages["source"])]
    parts = {source: of_source(ages, source) for source in sources}
    brings, spends = (levels_of(found, name) for name in ("brought", "revenue"))
    m = {s: steps_of(parts[s], pooled, "n_brought", brings) for s in sources}
    v = {s: steps_of(parts[s], pooled, "revenue", spends) for s in sources}
    new = {s: np.zeros(n_days + 1) for s in sources}
    for source in ("paid", "organic"):
        part = parts[source]
        still = at_risk(part["n_bought"] + part["n_waiting"])
        last = int(np.flatnonzero(still >= 30)[-1])
        left, falls = 1.0, np.zeros(2000)
        for day in range(last + 1):
            falls[day] = left * part["n_bought"][day] / still[day]
            left -= falls[day]
        share = falls.cumsum()
        per_day = part["n_arrived"][:90].sum() / 90
        for day in range(1, n_days + 1):
            new[source][day] = per_day * share[day - 1]
            new[source][day] += sum(
                part["n_waiting"][u] * falls[u + day] / (1 - share[u])
                for u in range(part["n_waiting"].size)
                if part["n_waiting"][u]
            )
    revenue = buyers = 0.0
    for day in range(1, n_days + 1):
        come = 0.0
        for s in sources:
            old = parts[s]["n_buyers"]
            reach = [a for a in range(old.size) if a + day < m[s].size]
            come += sum(old[a] * brings[a] * m[s][a + day] for a in reach)
            come += sum(new[s][t] * m[s][day - t] for t in range(1, day + 1))
        # Who comes today may bring somebody today.
        new["referral"][day] += come / (1 - m["referral"][0])
        for s in sources:
            old = parts[s]["n_buyers"]
            reach = [a for a in range(old.size) if a + day < v[s].size]
            revenue += sum(old[a] * spends[a] * v[s][a + day] for a in reach)
            revenue += sum(new[s][t] * v[s][day - t] for t in range(1, day + 1))
        buyers += sum(new[s][day] for s in sources)
    assert row["buyers"].item() == pytest.approx(buyers, rel=1e-6)
    # The few who pass the oldest observed age follow the fitted curve, left out here.
    assert revenue < row["revenue"].item() < 1.03 * revenue


def test_totals_are_the_sums_of_months(found):
    ahead = found.outlook.projection
    for name in ("buyers", "orders", "revenue", "buyers_outside", "orders_repeat"):
        sums = ahead.months.groupby("scenario")[name].sum()
        totals = ahead.totals.set_index("scenario")[name]
        assert sums.to_dict() == pytest.approx(totals.to_dict())


def test_stages_follow_from_values(found):
    rows = found.outlook.leverage.table.set_index(["stage", "step"])
    v = found.outlook.value.table.set_index("segment")
    out, ref = v.loc["(outside)"], v.loc["referral"]
    now = out["visitor_value"]
    p, r, r_ref = out["share_converted"], out["r"], ref["r"]

    def value(repeat=1.0, brings=1.0, converts=1.0):
        own, own_ref = (
            x["first_value"] + repeat * x["repeat_value"] for x in (out, ref)
        )
        f = brings * converts
        return p * converts * (own + f * r * own_ref / (1 - f * r_ref))

    assert value() == pytest.approx(now)
    gains = rows["value_gain"]
    assert gains["traffic", "+10%"] == pytest.approx(0.1 * now)
    assert gains["conversion", "+10%"] == pytest.approx(value(converts=1.1) - now)
    assert gains["repurchase", "+10%"] == pytest.approx(value(repeat=1.1) - now)
    assert gains["referral", "+10%"] == pytest.approx(value(brings=1.1) - now)
    point = 1 + 0.01 / rows.loc[("repurchase", "+1 point"), "share"]
    assert gains["repurchase", "+1 point"] == pytest.approx(value(repeat=point) - now)


# Words


def said(sentences, lang="en"):
    """Return sentences in one language."""
    return " ".join(text(s.key, lang, **s.values) for s in sentences)


def test_sentences_have_the_numbers_of_the_tables(numbers):
    outlook = numbers["outlook"]
    growth = outlook["growth"]
    assert f"**{growth['halving_days']:.0f}** days" in said(words.without_ads(outlook))
    row = outlook["value"]["rows"][0]
    assert MONEY.short(row["visitor_value"]) in said(words.worth(outlook, MONEY))
    best = outlook["leverage"]["best_stage"]
    assert f"**{best}**" in said(words.stage(outlook, MONEY))
    totals = {row["scenario"]: row for row in outlook["ahead"]["totals"]}
    shown = said(words.ahead(outlook, MONEY))
    for name in ("as_is", "no_ads"):
        assert MONEY.short(totals[name]["revenue"]) in shown
    assert outlook["test"]["at"] in said(words.tested(outlook, MONEY))


@pytest.mark.parametrize(
    ("ends", "key"),
    [
        ({"rate": -0.01, "halving_days_high": None}, "outlook.halves_open"),
        ({"halving_days_low": None, "halving_days_high": None}, "outlook.halves_plain"),
        ({"rate": 0.01, "doubling_days": 69.3, "doubling_days_low": 50.0,
          "doubling_days_high": 90.0}, "outlook.grows"),
        ({"rate": 0.01, "doubling_days": 69.3, "doubling_days_low": 50.0,
          "doubling_days_high": None}, "outlook.grows_open"),
    ],
)  # fmt: skip
def test_growth_is_said_with_what_is_known(numbers, ends, key):
    outlook = numbers["outlook"]
    changed = outlook | {"growth": outlook["growth"] | ends}
    assert [s.key for s in words.without_ads(changed)] == [key]
    assert words.without_ads(outlook | {"growth": None}) == []


@pytest.mark.parametrize(
    ("low", "high", "key"),
    [(0.8, 0.95, "less"), (0.9, 1.1, "same"), (1.05, 1.2, "more")],
)
def test_the_well_runs_dry_only_beyond_doubt(numbers, low, high, key):
    row = {"horizon_days": 90, "n_cohorts": 6, "ratio": (low + high) / 2,
           "ratio_low": low, "ratio_high": high}  # fmt: skip
    outlook = numbers["outlook"] | {"trend": [row]}
    assert [s.key for s in words.running_dry(outlook)] == [f"outlook.cohorts_{key}"]


def test_a_stage_that_is_not_clearly_best_is_said_so(numbers):
    outlook = numbers["outlook"]
    close = outlook | {"leverage": outlook["leverage"] | {"best_is_clear": False}}
    assert "seems to lie" in said(words.stage(close, MONEY))
    assert "似乎" in said(words.stage(close, MONEY), "zh")


def test_a_jump_from_the_last_month_is_warned_of(numbers):
    outlook = numbers["outlook"]
    assert "Mind the jump" not in said(words.ahead(outlook, MONEY))
    rows = [
        row | {"actual": 1.0} if row["measure"] == "revenue" else row
        for row in outlook["test"]["rows"]
    ]
    jumps = outlook | {"test": outlook["test"] | {"rows": rows}}
    shown = said(words.ahead(jumps, MONEY))
    first = next(r for r in outlook["ahead"]["months"] if r["status"] == "complete")
    assert f"{first['month']} is expected to bring" in shown
    assert MONEY.short(first["revenue"]) in shown
    assert "注意跳升" in said(words.ahead(jumps, MONEY), "zh")


@pytest.mark.parametrize(("times", "key"), [(2.0, "rise"), (1.05, None), (0.3, "fall")])
def test_a_sum_far_from_the_last_days_is_warned_of(numbers, times, key):
    outlook = numbers["outlook"]
    (row,) = [r for r in outlook["ahead"]["totals"] if r["scenario"] == "as_is"]
    per_day = row["revenue"] / row["horizon_days"] / times
    before = row | {"revenue_before": per_day * 90, "before_days": 90}
    ahead = outlook["ahead"] | {"totals": [before]}
    sentences = words.ahead(outlook | {"ahead": ahead}, MONEY)
    keys = [s.key for s in sentences]
    warned = [k for k in keys if k in ("outlook.rise", "outlook.fall")]
    assert warned == ([f"outlook.{key}"] if key else [])
    if key:
        shown = said(sentences)
        assert f"the last 90 days brought {MONEY.short(per_day)} a day" in shown
        assert f"Mind the {key}" in shown
        assert MONEY.short(per_day) in said(sentences, "zh")


def test_first_buyers_who_are_old_customers_are_said_so(numbers):
    outlook = numbers["outlook"]
    key = "outlook.old_customers"
    assert key not in [s.key for s in words.ahead(outlook, MONEY)]
    rows = outlook["ahead"]["cohorts"]
    for level, low, shown in ((1.58, 1.4, True), (1.58, 0.9, False), (1.1, 1.05, 0)):
        first = rows[0] | {"orders_level": level, "orders_level_low": low}
        ahead = outlook["ahead"] | {"cohorts": [first, *rows[1:]]}
        said_now = words.ahead(outlook | {"ahead": ahead}, MONEY)
        assert (key in [s.key for s in said_now]) == bool(shown)
        if shown:
            assert "**1.58** times" in said(said_now)
            assert "**1.58** 倍" in said(said_now, "zh")
            assert rows[0]["last_day"] in said(said_now)


def test_every_sentence_is_there_in_both_languages(numbers):
    outlook = numbers["outlook"]
    every = [
        *words.without_ads(outlook), *words.running_dry(outlook),
        *words.worth(outlook, MONEY), *words.stage(outlook, MONEY),
        *words.ahead(outlook, MONEY), *words.tested(outlook, MONEY),
    ]  # fmt: skip
    assert len(every) == 7
    english, chinese = said(every), said(every, "zh")
    # The same numbers in both.
    bold = [sorted(s.split("**")[1::2]) for s in (english, chinese)]
    words_of = {"repurchase", "conversion", "referral", "traffic", "复购", "转化",
                "转介绍", "流量"}  # fmt: skip
    assert [b for b in bold[0] if b not in words_of] == [
        b for b in bold[1] if b not in words_of
    ]


# What cannot be computed


def test_without_referrals_nothing_is_said_of_those_brought(shop):
    found = sl.analyze(sl.read_events(shop.orders), model="mbg_nbd")
    outlook = unfold(report_numbers(found))["outlook"]
    assert outlook["growth"] is None
    assert outlook["by_source"] == outlook["trend"] == []
    row = outlook["value"]["rows"][0]
    assert row["r"] is row["buyer_value"] is row["visitor_value"] is None
    assert row["own_value"] > 0
    assert "no table of referrals" in row["reason"]
    assert words.worth(outlook, MONEY) == []
    # Traffic and repurchase can be mended all the same.
    rows = [r for r in outlook["leverage"]["rows"] if r["step"] == "+10%"]
    known = {r["stage"] for r in rows if r["revenue_gain"] is not None}
    assert known == {"traffic", "repurchase"}


def test_a_loop_that_feeds_itself_has_no_upper_end(tmp_path):
    shop = sl.simulate(400, seed=4, days=420, shop=Shop(invitations=2.6))
    events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits)
    found = sl.analyze(events, model="mbg_nbd")
    growth = found.outlook.growth
    assert growth.verdict == ("sustains" if growth.r_low >= 1 else "open")
    assert growth.rate > 0
    assert "double" in said(words.without_ads(unfold(report_numbers(found))["outlook"]))
    rows = found.outlook.value.table.set_index("segment")
    assert found.outlook.value.descent_r >= 1
    assert math.isnan(rows.loc["(outside)", "visitor_value"])
    assert "no end" in rows.loc["(outside)", "reason"]
    page = sl.write_report(found, tmp_path / "report.html").path.read_text("utf-8")
    assert 'id="outlook"' in page


def test_young_data_say_that_they_are_too_young():
    shop = sl.simulate(300, seed=3, days=10)
    found = sl.analyze(sl.read_events(shop.orders, shop.referrals, visits=shop.visits))
    outlook = found.outlook
    assert outlook.test is None
    assert "too few" in outlook.unavailable["test of months to come"]
    lines = pd.Series(outlook.value.table["reason"])
    assert lines.astype(bool).all() or outlook.value.table["value_days"].max() < 10
