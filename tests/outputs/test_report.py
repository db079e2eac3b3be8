"""The numbers of a report, its words, and its files."""

import json
import math
import os
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import selfloop as sl
from selfloop.core.errors import FileError, SettingError
from selfloop.outputs import report as report_module
from selfloop.outputs.report import write_report
from selfloop.outputs.report.cards import headline
from selfloop.outputs.report.finding import finding
from selfloop.outputs.report.folding import TABLES, fold, unfold
from selfloop.outputs.report.formats import per_hundred
from selfloop.outputs.report.markdown import markdown
from selfloop.outputs.report.numbers import plain, report_numbers
from selfloop.outputs.report.svg import count_ticks, ticks
from selfloop.outputs.text import text

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

KEYS = [
    "schema", "selfloop_version", "meta", "totals", "funnel", "loop", "cohorts",
    "lifetime", "social", "advocates", "audit", "notes", "unavailable", "kpis",
    "finding",
]  # fmt: skip


@pytest.fixture(scope="module")
def numbers(analysis):
    return report_numbers(analysis, now=NOW)


def cards(numbers):
    return {card["key"]: card for card in numbers["kpis"]}


def words(numbers, lang="en"):
    return " ".join(text(s.key, lang, **s.values) for s in finding(numbers))


# --- the dictionary -------------------------------------------------------------


def test_the_dictionary_is_json_as_it_is(numbers):
    assert list(numbers) == KEYS
    assert numbers["schema"] == "selfloop.report/1"
    # No NaN, no infinity, no date object: what is written is what is read.
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


def test_every_shop_gives_the_same_keys(orders_only, nobody, hostile):
    for analysis in (orders_only, nobody, hostile):
        numbers = report_numbers(analysis)
        assert list(numbers) == KEYS
        json.dumps(numbers, allow_nan=False)


def test_numbers_are_those_of_the_analysis(numbers, analysis):
    rows = analysis.funnel.windows
    row = rows[(rows["stage"] == "repurchase") & (rows["window_days"] == 90)].iloc[0]
    card = cards(numbers)["repurchase"]
    assert card["value"] == pytest.approx(row["share_matured"], abs=1e-6)
    assert card["low"] == pytest.approx(row["share_matured_low"], abs=1e-6)
    assert (card["n"], card["days"], card["form"]) == (row["n_matured"], 90, "matured")
    line = analysis.loop.headline
    card = cards(numbers)["r"]
    assert (card["value"], card["days"]) == (
        pytest.approx(line["r"]), analysis.loop.horizon_days)  # fmt: skip
    assert cards(numbers)["gain"]["value"] == pytest.approx(analysis.loop.multiplier)
    assert numbers["totals"]["n_buyers"] == analysis.events.totals["n_buyers"]


def test_tables_are_columns_that_pandas_takes(numbers, analysis):
    months = pd.DataFrame(numbers["loop"]["months"])
    assert list(months) == list(analysis.loop.months)
    assert months["n_orders"].tolist() == analysis.loop.months["n_orders"].tolist()
    for place in TABLES:
        part = numbers
        for key in place:
            part = part[key]
        assert isinstance(part, dict), place


def test_folding_and_back_is_the_same(numbers):
    assert fold(unfold(numbers)) == numbers


def test_cohorts_hold_every_cell(numbers, analysis):
    cells = analysis.cohorts.table
    assert sum(len(c["n_active"]) for c in numbers["cohorts"]) == len(cells)
    n_active = sum(sum(c["n_active"]) for c in numbers["cohorts"])
    assert n_active == cells["n_active"].sum()


def test_the_books_balance(numbers):
    totals = numbers["social"]["totals"]
    assert totals["total_value"] == pytest.approx(totals["revenue"])
    assert totals["social_value"] == pytest.approx(totals["given_value"])
    deciles = numbers["social"]["deciles"]
    assert sum(deciles["total_value"]) == pytest.approx(totals["total_value"])


def test_rows_read_are_used_set_aside_or_rejected(numbers, shop):
    for table in numbers["audit"]["tables"]:
        parts = table["n_used"] + table["n_set_aside"] + table["n_rejected"]
        assert table["n_rows"] == parts
    counted = {t["table"]: t["n_rows"] for t in numbers["audit"]["tables"]}
    given = ("orders", "referrals", "visits", "spend")
    assert counted == {name: len(getattr(shop, name)) for name in given}


def test_advocates_are_few_and_in_order(numbers):
    values = numbers["advocates"]["social_value"]
    assert 0 < len(values) <= 20
    assert values == sorted(values, reverse=True)


def test_missing_tables_leave_gaps_and_reasons_not_zeros(orders_only):
    numbers = report_numbers(orders_only)
    found = cards(numbers)
    reasons = {key: found[key]["reason"] for key in ("conversion", "r", "gain",
               "circulation", "social")}  # fmt: skip
    assert reasons == {"conversion": "no_visits", "r": "no_referrals",
                       "gain": "no_referrals", "circulation": "needs_r",
                       "social": "no_referrals"}  # fmt: skip
    assert all(found[key]["value"] is None for key in reasons)
    assert found["repurchase"]["value"] > 0
    assert numbers["advocates"] == {}
    assert set(numbers["unavailable"]) == {"conversion", "referral"}


def test_nothing_in_the_analysis_is_changed(analysis):
    before = analysis.loop.months.copy(deep=True)
    report_numbers(analysis)
    pd.testing.assert_frame_equal(analysis.loop.months, before)


@pytest.mark.parametrize("value", [None, math.nan, pd.NA, pd.NaT, np.float64("nan"),
                                   math.inf, -math.inf])  # fmt: skip
def test_every_missing_value_is_null(value):
    assert plain(value) is None


# --- the headline rate ----------------------------------------------------------


def window(days, *, matured=None, within=None):
    """One row of the funnel, as little as `headline` reads."""
    row = {"stage": "repurchase", "window_days": days, "n_matured": 40,
           "n_entered": 90, "n_matured_reached": 12}  # fmt: skip
    for form, value in (("matured", matured), ("within", within)):
        ends = {f"share_{form}_low": value, f"share_{form}_high": value}
        row |= {f"share_{form}": value} | ends
    return row


@pytest.mark.parametrize(("rows", "expected"), [
    ([window(30, matured=0.1), window(90, matured=0.3)], (0.3, 90, "matured")),
    ([window(30, matured=0.1), window(90, within=0.3)], (0.1, 30, "matured")),
    ([window(30), window(90, within=0.3)], (0.3, 90, "within")),
    ([window(30), window(90)], (None, 90, "matured")),
    ([], (None, 90, "matured")),
])  # fmt: skip
def test_the_headline_is_matured_where_it_can_be(rows, expected):
    found = headline(rows, "repurchase")
    assert (found["value"], found["days"], found["form"]) == expected


# --- the finding ----------------------------------------------------------------


def said_of(*, r=(None, None, None), gain=(None, None, None), has=("referrals",),
            circulation=0.5, buyers=100, repurchase=0.4):  # fmt: skip
    """The finding of a shop given by its key numbers."""

    def card(key, value, low=None, high=None, **more):  # fmt: skip
        return {"key": key, "value": value, "low": low, "high": high, "days": 90,
                "n": 50, "form": "matured"} | more  # fmt: skip

    return {
        "meta": {"has": ["orders", *has]},
        "kpis": [
            card("buyers", buyers, n=1000),
            card("conversion", 0.1 if "visits" in has else None),
            card("repurchase", repurchase),
            card("r", *r, days=365),
            card("gain", *gain, days=365),
            card("circulation", circulation),
        ],
    }


def test_a_loop_that_sustains_itself():
    said = words(said_of(r=(1.2, 1.05, 1.4)))
    assert "bring **120** new buyers within 365 days" in said
    assert "interval 105 to 140" in said
    assert "the loop sustains itself" in said
    assert "ends as" not in said


def test_a_loop_that_needs_buyers_from_outside():
    # 1 / (1 - 0.5) = 2, 1 / (1 - 0.4) = 1.67, 1 / (1 - 0.6) = 2.5
    said = words(said_of(r=(0.5, 0.4, 0.6), gain=(2.0, 1 / 0.6, 2.5)))
    assert "does not carry itself" in said
    assert "each buyer from outside ends as **2.00** buyers (1.67 to 2.50)" in said


def test_a_loop_of_which_the_data_cannot_say():
    said = words(said_of(r=(0.9, 0.7, 1.1)))
    assert "cannot say whether the loop sustains itself" in said
    assert "ends as" not in said


def test_without_referrals_the_loop_is_not_judged():
    said = words(said_of(has=("visits",)))
    assert "left out, not zero" in said
    assert "sustain" not in said
    assert "self-circulation" not in said


def test_without_visits_the_funnel_starts_at_the_first_purchase():
    assert "the funnel starts with the first purchase" in words(said_of())
    assert "**10.0%** bought within 90 days" in words(said_of(has=("visits",)))


def test_young_data_are_said_to_be_young():
    said = words(said_of(repurchase=None))
    assert "too few to say how many buyers come back" in said
    assert "too few to say how many new buyers a buyer brings" in said
    assert "self-circulation" not in said


def test_no_interval_no_verdict():
    said = words(said_of(r=(0.0, None, None)))
    assert "bring about **0** new buyers" in said
    assert "too few for an interval" in said


def test_nobody_bought(nobody):
    assert report_numbers(nobody)["finding"]["en"] == [
        "No known customer has bought anything in these data."
    ]


@given(
    st.lists(st.floats(0, 5), min_size=3, max_size=3).map(sorted),
    st.sampled_from([(), ("visits",), ("referrals",), ("referrals", "visits")]),
)
def test_the_finding_is_true_of_any_r(ends, has):
    low, r, high = ends
    numbers = said_of(r=(r, low, high), gain=(2.0, 1.5, 3.0), has=has)
    for lang in ("en", "zh"):
        said = words(numbers, lang)
        sustains = ("so the loop sustains itself", "循环可以自我维持")
        ends_as = ("from outside ends as", "每位外来买家最终变成")
        known = "referrals" in has
        assert any(s in said for s in sustains) == (known and low >= 1)
        assert any(s in said for s in ends_as) == (known and high < 1)
        assert 1 <= len(finding(numbers)) <= 4


@given(st.floats(0, 3))
def test_rounding_never_crosses_the_threshold(r):
    shown = float(per_hundred(r).replace(",", ""))
    if abs(r - 1) > 1e-6:
        assert (shown < 100) == (r < 1)


def test_both_languages_say_the_same_sentences(numbers):
    assert len(numbers["finding"]["en"]) == len(numbers["finding"]["zh"]) == 4
    assert not any("**" in s for said in numbers["finding"].values() for s in said)
    share = f"{cards(numbers)['repurchase']['value'] * 100:.1f}%"
    assert share in numbers["finding"]["en"][1]
    assert share in numbers["finding"]["zh"][1]


# --- scales ---------------------------------------------------------------------


@given(st.integers(0, 10**9))
def test_scales_of_counts_hold_every_count(top):
    values = count_ticks(top)
    assert values[0] == 0
    assert values[-1] >= top
    assert all(v == int(v) for v in values)
    assert 2 <= len(values) <= 11


@given(st.floats(1e-9, 1e12))
def test_scales_hold_every_value(top):
    values = ticks(top)
    assert values[-1] >= top * (1 - 1e-6)
    assert 2 <= len(values) <= 11
    assert values == sorted(set(values))


# --- the files ------------------------------------------------------------------


def test_html_comes_with_the_same_numbers_as_json(analysis, tmp_path):
    report = write_report(analysis, tmp_path / "a.html", now=NOW)
    assert [p.name for p in report.paths] == ["a.html", "a.json"]
    assert report.path == tmp_path / "a.html"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "a.json"]
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == report.numbers


def test_json_and_markdown_come_alone(analysis, tmp_path):
    for name in ("b.json", "c.MD"):
        report = write_report(analysis, tmp_path / name, now=NOW)
        assert report.paths == (tmp_path / name,)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_same_analysis_gives_the_same_bytes(analysis, tmp_path, monkeypatch):
    first = write_report(analysis, tmp_path / "a.html", now=NOW).path.read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(NOW.timestamp())))
    assert write_report(analysis, tmp_path / "a.html").path.read_bytes() == first


@pytest.mark.parametrize("lang", ["both", "en", "zh"])
def test_markdown_has_every_section(analysis, lang):
    shown = markdown(report_numbers(analysis, now=NOW), lang=lang)
    assert shown.count("\n## ") == 8
    assert ("Loop report" in shown) == (lang != "zh")
    assert ("自循环报告" in shown) == (lang != "en")
    widths = {}
    for line in shown.splitlines():
        if line.startswith("|"):
            widths.setdefault(line.replace("\\|", "").count("|"), line)
    assert min(widths) >= 3


def test_markdown_keeps_hostile_ids_in_their_cells(hostile):
    shown = markdown(report_numbers(hostile), lang="en")
    assert "<script" not in shown
    assert "<img" not in shown
    assert "=cmd()" in shown


def test_unknown_choices_are_named(analysis, tmp_path):
    with pytest.raises(
        SettingError, match=r"one of \.html, \.json, \.md; got 'a\.pdf'"
    ):
        write_report(analysis, tmp_path / "a.pdf")
    with pytest.raises(SettingError, match="lang must be one of 'both', 'en', 'zh'"):
        write_report(analysis, tmp_path / "a.html", lang="fr")
    with pytest.raises(SettingError, match="embed_font must be one of"):
        write_report(analysis, tmp_path / "a.html", embed_font="yes")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named_with_the_fix(analysis, tmp_path):
    with pytest.raises(FileError, match="there is no folder") as error:
        write_report(analysis, tmp_path / "out" / "a.html")
    assert error.value.code == "SL140"
    assert "mkdir -p" in error.value.problems[0].fix_cli


def test_an_interruption_leaves_the_older_report(analysis, tmp_path, monkeypatch):
    write_report(analysis, tmp_path / "a.html", now=NOW)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    replace = os.replace

    def stop(source, target):
        if str(target).endswith(".html"):
            raise KeyboardInterrupt("stop")
        replace(source, target)

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt, match="stop"):
        write_report(analysis, tmp_path / "a.html", title="another")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_the_title_is_text(analysis):
    shown = report_module.page(report_numbers(analysis, title="<i>Shop</i> & 店"))
    assert "&lt;i&gt;Shop&lt;/i&gt; &amp; 店" in shown
    assert "<i>Shop" not in shown


def test_write_report_is_public():
    assert sl.write_report is write_report
