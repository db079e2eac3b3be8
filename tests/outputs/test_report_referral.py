"""The report on who brings whom: sentences, missing parts, both languages."""

import copy
import re

import numpy as np
import pandas as pd
import pytest

import selfloop as sl
from selfloop.outputs.report import referral_words as words
from selfloop.outputs.report.folding import unfold
from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.markdown import markdown
from selfloop.outputs.report.numbers import report_numbers
from selfloop.outputs.report.page import page
from selfloop.outputs.report.reasons import said_in
from selfloop.outputs.text import text


@pytest.fixture(scope="module")
def numbers(analysis):
    return report_numbers(analysis)


@pytest.fixture
def referral(numbers):
    """What the report says of referrals, its tables as rows, to be changed."""
    return copy.deepcopy(unfold(numbers)["referral"])


def said(sentences, lang="en"):
    return " ".join(text(s.key, lang, **s.values) for s in sentences)


def section(html):
    """Return the text of the section."""
    part = html.split('<section id="referral">')[1].split("</section>")[0]
    return re.sub(r"<[^>]+>", " ", part)


def test_numbers_are_those_of_the_measures(analysis, referral):
    total = sl.fit_referrals(analysis.events).total(365)
    told = referral["ahead"]["total"]
    assert told["referrals"] == pytest.approx(total.referrals)
    assert told["value_high"] == pytest.approx(total.value_high)
    assert told["n_people"] == analysis.events.totals["n_buyers"]
    cells = sl.value_grid(analysis.values).cells
    assert [row["n_people"] for row in referral["grid"]["cells"]] == (
        cells["n_people"].tolist()
    )
    steps = sl.referral_times(analysis.events).steps
    assert [row["days_50"] for row in referral["times"]] == steps["days_50"].tolist()


def test_sentences_hold_the_numbers(referral):
    shown = said(words.expected(referral, Money(None)))
    total = referral["ahead"]["total"]
    assert f"bring **{total['referrals']:.0f}** new buyers" in shown
    assert "Few bring most: the top tenth of all buyers brought" in shown
    assert f"in {referral['ahead']['worth']['value_days']} days, with all" in shown
    referral["concentration"][0]["share_top_10"] = 0.24
    shown = said(words.expected(referral, Money(None)))
    assert "Few bring most" not in shown
    assert "The top tenth of all buyers brought **24.0%**" in shown
    shown = said(words.tested(referral))
    test = referral["ahead"]["backtest"]
    assert f"expected **{test['predicted']:.0f}**" in shown
    assert f"**{test['actual']}** came" in shown
    inside = test["low"] <= test["actual"] <= test["high"]
    assert ("inside its 95% range" in shown) == inside
    test["actual"] = test["high"] * 2
    assert "outside its 95% range" in said(words.tested(referral))
    test["low"] = None
    assert "range" not in said(words.tested(referral))


def test_what_is_not_known_is_not_said(referral):
    referral["ahead"]["total"]["value"] = None
    assert "worth" not in said(words.expected(referral, Money(None)))
    referral["ahead"]["total"] = None
    referral["concentration"] = []
    assert words.expected(referral, Money(None)) == []
    referral["ahead"]["backtest"] = None
    assert words.tested(referral) == []


def test_links_speak_only_when_chance_does_not_explain_them(referral):
    compared = referral["compared"]
    compared["hazard_p_value"] = 0.2
    for row in compared["clustering"]:
        row["p_adjusted"] = 0.2
    assert words.along_links(compared) == []
    compared["hazard_p_value"] = 0.01
    (row,) = [r for r in compared["clustering"] if r["outcome"] == "lapse"]
    row.update(p_adjusted=0.01, difference_low=0.05, share_with=0.6, share_without=0.4)
    shown = said(words.along_links(compared))
    assert "60.0% of referees whose referrer did, else 40.0%" in shown
    assert "times the rate" in shown
    row["difference_low"] = -0.05  # less alike than by chance is no clustering
    assert "60.0%" not in said(words.along_links(compared))


def test_a_difference_is_named_only_when_it_is_clear(analysis, numbers):
    rows = analysis.referral.compared.differences.set_index("measure")
    html = section(page(numbers, lang="en", embed_font="never"))
    clear = rows["p_adjusted"] < 0.05
    assert clear["conversion"]
    assert html.count("no clear difference") == (~clear & (rows["reason"] == "")).sum()
    assert html.count("higher") == 1


@pytest.mark.parametrize("lang", ["en", "zh", "both"])
def test_without_referrals_it_says_so(orders_only, lang):
    numbers = report_numbers(orders_only)
    assert numbers["referral"] is None
    html = page(numbers, lang=lang, embed_font="never")
    why = {"en": "no referral data", "zh": "未提供推荐数据"}
    for one in ("en", "zh") if lang == "both" else (lang,):
        assert why[one] in section(html)
    assert text("referral.head", "en" if lang == "both" else lang) in markdown(
        numbers, lang=lang
    )


def test_a_young_shop_says_what_it_cannot_say():
    """Twelve buyers: nothing ahead, no times, no comparison; and no zero instead."""
    orders = pd.DataFrame({
        "customer_id": [f"p{i:02d}" for i in range(12)],
        "ordered_at": pd.date_range("2026-01-01", periods=12), "amount": 10.0,
    })  # fmt: skip
    referrals = pd.DataFrame({
        "referrer_id": ["p00", "p01"], "referee_id": ["p05", "p06"],
        "referred_at": pd.to_datetime(["2026-01-03", "2026-01-04"]),
    })  # fmt: skip
    analysis = sl.analyze(sl.read_events(orders, referrals), model="mbg_nbd")
    assert "expected referrals" in analysis.unavailable
    for lang in ("en", "zh"):
        html = section(page(report_numbers(analysis), lang=lang, embed_font="never"))
        reason = analysis.unavailable["expected referrals"]
        assert said_in(reason, lang) in html
        assert "nan" not in html.casefold().split()
    assert said_in(reason, "zh") != reason
    assert "12 位买家" in said_in(reason, "zh")


def test_reasons_of_the_measures_have_chinese_words():
    for reason in (
        "8 people brought have bought, need 30",
        "people who were brought bring 1.20 each: their value has no end",
        "referrals at 2 ages: their growth with age needs at least 3",
        "nobody has brought anybody who bought: nothing says who will",
        "3 links of one kind, need 30", "4 referees, need 30", "6 people, need 30",
        "2 referees in shared months, need 30", "nothing happened",
        "no interval: all alike", "no refund among the referees to test",
        "referrals only name people who bought", "no sales to take the share of",
        "no lapses in one of the states", "5 referees to test, need 30",
        "nobody has 5 referees to test",
    ):  # fmt: skip
        assert said_in(reason, "zh") != reason, reason
        assert said_in(reason, "en") == reason


def test_flags_are_listed_with_hostile_ids_escaped(shop):
    start = pd.Timestamp("2024-06-01 10:00")
    cheat = "<script>alert(9)</script>"
    friends = [f"friend{i:02d}" for i in range(12)]
    fakes = pd.DataFrame({
        "referrer_id": cheat, "referee_id": friends,
        "referred_at": [start + pd.Timedelta(minutes=i) for i in range(12)],
    })  # fmt: skip
    bought = pd.DataFrame({
        "customer_id": [cheat, *friends], "amount": 1.0, "channel": "direct",
        "ordered_at": [start - pd.Timedelta(days=1), *fakes["referred_at"]],
    })  # fmt: skip
    analysis = sl.analyze(
        sl.read_events(
            pd.concat([shop.orders, bought]), pd.concat([shop.referrals, fakes])
        )
    )
    html = page(report_numbers(analysis), lang="en", embed_font="never")
    part = html.split('<section id="referral">')[1].split("</section>")[0]
    assert "many at once" in part
    assert "&lt;script&gt;alert(9)" in part
    assert "<script>alert(9)" not in html
    assert "referrals_worth_a_look.csv" in part
    flags = analysis.referral.anomalies.flags
    assert np.isin(["burst", "one_minimum_order"], flags["rule"]).all()
