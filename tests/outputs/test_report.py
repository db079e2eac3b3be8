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
from selfloop.core.errors import FileError, FitError, SettingError
from selfloop.outputs import report as report_module
from selfloop.outputs.report import lifetime_words, tracking, write_report
from selfloop.outputs.report.cards import headline
from selfloop.outputs.report.finding import finding
from selfloop.outputs.report.folding import TABLES, fold, unfold
from selfloop.outputs.report.formats import Money, per_hundred
from selfloop.outputs.report.markdown import markdown
from selfloop.outputs.report.numbers import plain, report_numbers
from selfloop.outputs.report.reasons import said_in
from selfloop.outputs.report.svg import count_ticks, ticks
from selfloop.outputs.report.voice import Voice
from selfloop.outputs.text import text

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

KEYS = [
    "schema", "selfloop_version", "meta", "totals", "funnel", "loop", "cohorts",
    "outlook", "lifetime", "social", "advocates", "referral", "audit", "notes",
    "unavailable", "kpis", "finding",
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
    assert set(numbers["unavailable"]) == {"acquisition cost", "conversion", "referral"}


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
            circulation=0.5, buyers=100, repurchase=0.4, best=None):  # fmt: skip
    """The finding of a shop given by its key numbers."""

    def card(key, value, low=None, high=None, **more):  # fmt: skip
        return {"key": key, "value": value, "low": low, "high": high, "days": 90,
                "n": 50, "form": "matured"} | more  # fmt: skip

    row = {"stage": "repurchase", "step": "+10%", "share": 0.4, "share_then": 0.44,
           "window_days": 90, "revenue_gain": 1500.0, "revenue_gain_low": 1200.0,
           "revenue_gain_high": 1800.0}  # fmt: skip
    return {
        "meta": {"has": ["orders", *has], "currency": "CNY"},
        "outlook": {
            "leverage": best
            and {"best_stage": best, "best_is_clear": True, "rows": [row]},
        },
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


def test_the_stage_with_most_leverage_is_in_the_first_paragraph():
    assert words(said_of(best="repurchase")).endswith(
        "Most leverage lies in **repurchase**: 10 % more buyers coming back would add "
        "**¥1,500** (¥1,200 – ¥1,800) to the revenue of the next 365 days."
    )
    assert "杠杆最大的是**复购**" in words(said_of(best="repurchase"), "zh")
    assert "leverage" not in words(said_of())


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
        assert 1 <= len(finding(numbers)) <= 5


@given(st.floats(0, 3))
def test_rounding_never_crosses_the_threshold(r):
    shown = float(per_hundred(r).replace(",", ""))
    if abs(r - 1) > 1e-6:
        assert (shown < 100) == (r < 1)


def test_both_languages_say_the_same_sentences(numbers):
    assert len(numbers["finding"]["en"]) == len(numbers["finding"]["zh"]) == 5
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


# --- lifetime value -------------------------------------------------------------


def test_lifetime_numbers_are_those_of_the_model(numbers, analysis):
    found, model = numbers["lifetime"], analysis.lifetime
    assert (found["model"], found["label"]) == (model.model, model.label)
    total = model.total(analysis.horizon_days)
    for name in ("purchases", "purchases_low", "purchases_mean_high", "value_low"):
        assert found["total"][name] == pytest.approx(getattr(total, name))
    new = model.expected_new_customer(analysis.horizon_days)
    assert found["new_customer"]["value_high"] == pytest.approx(new.value_high)
    assert found["share_kept"] == pytest.approx(model.share_kept)
    assert found["choice"]["chosen"] == model.model
    assert found["choice"]["models"]["label"] == model.choice.table["label"].tolist()


def test_the_numbers_of_the_backtest_are_those_of_the_analysis(numbers, analysis):
    found, test = numbers["lifetime"]["backtest"], analysis.backtest
    assert (found["at"], found["n_people"]) == (test.at.isoformat(), test.n_people)
    for name in ("scores", "deciles", "weeks", "frequencies"):
        frame = pd.DataFrame(found[name])
        assert list(frame) == list(getattr(test, name))
        assert len(frame) == len(getattr(test, name))
    assert found["weeks"]["actual"] == test.weeks["actual"].tolist()
    # The interval at the cut is one of what was predicted there.
    row = test.scores.iloc[0]
    assert found["total"]["purchases"] == pytest.approx(row["predicted"])


def test_without_a_model_the_keys_of_lifetime_are_there(numbers, nobody):
    found = report_numbers(nobody)["lifetime"]
    assert set(found) == set(numbers["lifetime"])
    assert {found[k] for k in ("model", "total", "backtest", "choice")} == {None}


def backtested(predicted, actual, *, naive=None, value=None, interval=(None, None)):
    """A backtest given by its totals."""

    def row(method, measure, guess, truth):
        error = None if not truth else (guess - truth) / truth
        return {"method": method, "measure": measure, "predicted": guess,
                "actual": truth, "error": error}  # fmt: skip

    scores = [row("Any/NBD", "purchases", predicted, actual)]
    if naive is not None:
        scores.append(row("last period", "purchases", naive, actual))
    if value is not None:
        scores.append(row("Any/NBD", "value", *value))
    ends = {"purchases_low": interval[0], "purchases_high": interval[1],
            "value_low": None, "value_high": None}  # fmt: skip
    return {"label": "Any/NBD", "at": "2025-12-31", "horizon_days": 182,
            "total": ends, "scores": scores}  # fmt: skip


def said(sentences, lang="en"):
    """Sentences as they are read."""
    gap = "" if lang == "zh" else " "
    return gap.join(text(s.key, lang, **s.values) for s in sentences).replace("**", "")


def said_of_past(lang="en", *args, **more):
    lifetime = {"backtest": backtested(*args, **more)}
    return said(lifetime_words.backtested(lifetime, Money("CNY")), lang)


def test_the_backtest_in_words():
    # (1234 - 1301) / 1301 = -5.15 %; (1821 - 1301) / 1301 = 39.97 %
    assert said_of_past("en", 1234, 1301, naive=1821) == (
        "Fitted on what was known on 2025-12-31, the model predicted 1,234 purchases "
        "for the 182 days after it; 1,301 happened: 5.1% too few. Repeating the last "
        "period would have been off by 40.0%."
    )
    assert said_of_past("zh", 1234, 1301, naive=1821) == (
        "按 2025-12-31 当时已知的数据拟合，模型预测此后 182 天有 1,234 次购买，"
        "实际为 1,301 次：少估 5.1%。若照搬上一期，误差为 40.0%。"
    )


def test_the_backtest_says_when_the_simple_method_was_closer():
    assert "came closer than the model" in said_of_past("en", 120, 100, naive=110)
    assert "came closer" not in said_of_past("en", 110, 100, naive=80)


def test_the_backtest_in_money():
    words = said_of_past("en", 100, 100, value=(1500, 1200))
    assert "100 happened: an error of 0.0%." in words
    assert words.endswith("In money: ¥1,500 predicted, ¥1,200 came, 25.0% too much.")


def test_a_past_in_which_nothing_happened():
    assert said_of_past("en", 3.2, 0, naive=0).endswith(
        "predicted 3 purchases for the 182 days after it; 0 happened."
    )


def test_a_past_outside_the_interval_is_a_caution():
    plain = {"spend": None, "at_bound": [], "share_kept": 1.0}
    money = Money(None)
    inside = plain | {"backtest": backtested(90, 100, interval=(80, 101))}
    assert "80 – 101, holds that" in said(lifetime_words.backtested(inside, money))
    assert lifetime_words.cautions(inside, money) == []
    outside = plain | {"backtest": backtested(90, 100, interval=(80, 99))}
    assert "does not hold that" in said(lifetime_words.backtested(outside, money))
    [[note]] = lifetime_words.cautions(outside, money)
    assert "(80 – 99 purchases, 100 happened)" in said([note])


@given(st.floats(0.5, 1e6), st.integers(1, 10**6), st.floats(0, 1e6))
def test_the_backtest_is_true_of_any_totals(predicted, actual, naive):
    words = said_of_past("en", predicted, actual, naive=naive)
    assert ("too many" in words) == (predicted > actual)
    assert ("too few" in words) == (predicted < actual)
    closer = abs(naive - actual) / actual < abs(predicted - actual) / actual
    assert ("came closer" in words) == closer


def spend_check(verdict, correlation, *, bias=0.087, x=(1, 1)):
    """A lifetime of which only the check of spend is known."""
    check = {"verdict": verdict, "correlation": correlation,
             "correlation_low": correlation - 0.05,
             "correlation_high": correlation + 0.05,
             "groups": [{"x_low": x[0], "x_high": x[1], "bias": bias}]}  # fmt: skip
    return {"spend": {"independence": check}, "at_bound": [], "share_kept": 1.0,
            "backtest": None}  # fmt: skip


@pytest.mark.parametrize(("verdict", "correlation", "bias", "words"), [
    ("moderate", 0.15, 0.087, ("spend more", "0.15, 0.10 to 0.20", "purchases (1)",
                               "8.7% more per purchase", "rough figure")),
    ("strong", -0.4, -0.2, ("spend less", "−0.40, −0.45 to −0.35",
                            "20.0% less per purchase", "Do not rank")),
])  # fmt: skip
def test_spend_that_goes_with_frequency_is_a_caution(verdict, correlation, bias, words):
    lifetime = spend_check(verdict, correlation, bias=bias)
    [note] = lifetime_words.cautions(lifetime, Money(None))
    assert all(word in said(note) for word in words)
    assert lifetime_words.independence(lifetime, calm=True) == []


@pytest.mark.parametrize("verdict", ["independent", "unknown"])
def test_spend_that_does_not_is_only_said_with_the_parameters(verdict):
    lifetime = spend_check(verdict, 0.02)
    assert lifetime_words.cautions(lifetime, Money(None)) == []
    assert "0.02" in said(lifetime_words.independence(lifetime, calm=True))


def test_bounds_and_refunds_are_cautions():
    lifetime = {"spend": None, "backtest": None, "at_bound": ["a", "b"],
                "share_kept": 0.981}  # fmt: skip
    bound, refunds = lifetime_words.cautions(lifetime, Money(None))
    assert "do not determine the parameters a, b" in said(bound)
    assert "98.1% of the value of purchases is left" in said(refunds)


def chosen_of(*rows):
    """What is said of a choice among (label, AIC above best, log score, role)."""
    models = [
        {"model": label.lower(), "label": label, "aic_above_best": aic,
         "holdout_log_score": score, "role": role}
        for label, aic, score, role in rows
    ]  # fmt: skip
    choice = {"chosen": rows[0][0].lower(), "models": models}
    return said(lifetime_words.chosen({"label": rows[0][0], "choice": choice}))


def test_the_choice_names_the_next_candidate_not_a_model_beside():
    beside = ("Low/NBD", -9.0, -1.0, "beside: nobody ever leaves")
    first, near, far = (("One/NBD", 0.0, -1.5, "chosen"),
                        ("Two/NBD", 3.25, -1.6, "candidate"),
                        ("Six/NBD", 80.0, -1.7, "candidate"))  # fmt: skip
    assert chosen_of(first, beside, far, near) == (
        "One/NBD was chosen: its AIC is 3.2 below that of Two/NBD, the next candidate."
    )
    assert (
        chosen_of(first, beside) == "One/NBD was chosen: the only candidate that fits."
    )
    better = ("Six/NBD", 80.0, -1.4, "candidate")
    assert "On the holdout, Six/NBD gave" in chosen_of(first, near, better)


def test_a_model_that_was_asked_for_was_not_chosen():
    asked = {"label": "Any/NBD", "choice": None}
    assert said(lifetime_words.chosen(asked)) == "Any/NBD was asked for."


def orders_of(n, *, days=(0,), end=120, amount=5.0):
    """Customers who all buy on the same days, and one day at the end."""
    start = pd.Timestamp("2026-01-01")
    rows = [(f"c{i}", start + pd.Timedelta(days=d), amount)
            for i in range(n) for d in days]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["customer_id", "ordered_at", "amount"])
    last = start.date() + pd.Timedelta(days=end)
    return sl.read_events(frame, end=last)


@pytest.mark.parametrize(("customers", "english", "chinese"), [
    ({"n": 4}, "there are 4", "终身价值模型至少需要 10 位买家，现有 4 位"),
    ({"n": 30}, "bought a second time", "30 位客户无人再次购买"),
    ({"n": 30, "days": (0, 40)}, "are the same", "30 位客户完全相同（同样天数内"),
])  # fmt: skip
def test_reasons_are_said_in_chinese_with_their_numbers(customers, english, chinese):
    with pytest.raises(FitError, match=english) as error:
        sl.fit_lifetime(orders_of(**customers))
    assert chinese in said_in(str(error.value), "zh")
    assert said_in(str(error.value), "en") == str(error.value)


def test_the_reasons_of_an_analysis_are_said_in_chinese(young, uneven):
    why = young.unavailable["backtest"]
    assert said_in(why, "zh") == "数据仅 69 天：取三分之一作留出检验将不足 28 天"
    why = uneven.unavailable["expected value"]
    assert said_in(why, "zh").startswith("659 位复购客户的金额过于悬殊")
    nested = f"at the cut, 2026-01-31: {why}"
    assert said_in(nested, "zh").startswith("在截断日 2026-01-31：659 位复购客户")
    for role in young.lifetime.choice.table["role"]:
        assert said_in(role, "zh") != role


def test_a_reason_without_words_stays_as_it_is():
    assert said_in("something new", "zh") == "something new"
    assert Voice("both").reason("<b>") == "&lt;b&gt;"


def weeks_of(actual, *, at, last=7):
    """A backtest given by its weeks; the last one has so many days."""
    ends = [7 * (i + 1) for i in range(len(actual))]
    ends[-1] -= 7 - last
    start = datetime(2026, 1, 1, tzinfo=UTC).date().toordinal() - 1
    day = datetime.fromordinal
    return {
        "at": day(start + at).date().isoformat(),
        "weeks": [
            {"last_day": day(start + end).date().isoformat(), "actual": n,
             "expected": n + 0.5}
            for end, n in zip(ends, actual, strict=True)
        ],
    }  # fmt: skip


def test_weeks_are_drawn_to_the_cut_and_beyond():
    drawn = str(tracking.weeks(weeks_of([2, 4, 6, 8], at=14), Voice("en"), desc="d"))
    # Four weeks from 46 to 550: each is 126 wide, its middle at 109, and the cut,
    # after two of them, at 298; the highest tick above 8.5 is 10, 184 units up.
    assert 'x="298" y="30" width="252"' in drawn
    assert 'd="M109,177.2 L235,140.4 L361,103.6 L487,66.8"' in drawn
    assert "not seen" in drawn


def test_a_last_week_that_is_not_over_is_not_drawn():
    whole = tracking.weeks(weeks_of([2, 4, 6], at=14), Voice("en"), desc="")
    cut = tracking.weeks(weeks_of([2, 4, 6, 1], at=14, last=3), Voice("en"), desc="")
    assert whole == cut


def test_a_single_week_is_no_chart():
    assert tracking.weeks(weeks_of([2], at=3), Voice("en"), desc="") == ""


@pytest.mark.parametrize("days", [60, 300, 1000, 4000, 9000])
def test_the_months_below_a_chart_are_few_and_in_order(days):
    begin = datetime(2019, 5, 17, tzinfo=UTC).date().toordinal()
    places = [day for day, _ in tracking._months(begin, begin + days)]
    assert 1 <= len(places) <= 6
    assert places == sorted(set(places))
    assert begin <= places[0]
    assert places[-1] < begin + days


def tenths_of(*rows):
    """A backtest given by (predicted, actual, low, high) of each tenth."""
    names = ("predicted", "actual", "actual_low", "actual_high")
    return {"deciles": [
        {"measure": "purchases", "decile": i, "n_people": 9}
        | dict(zip(names, row, strict=True))
        for i, row in enumerate(rows, 1)
    ]}  # fmt: skip


def test_tenths_are_drawn_with_their_intervals():
    test = tenths_of((4.0, 5.0, 4.5, 5.0), (1.0, 1.0, -0.5, 2.5))
    drawn = str(tracking.calibration(test, Voice("en"), desc=""))
    # Two columns of 252; up to 5 on 184 units: 4 is 147.2 high, 5 reaches the top.
    assert 'width="171.4" height="147.2"' in drawn
    assert 'cx="172" cy="30"' in drawn
    # Nobody buys less than nothing: the line of the second begins at the foot.
    assert 'd="M172.0,48.4V30.0M424.0,214.0V122.0"' in drawn


def test_a_tenth_of_one_customer_has_no_interval():
    drawn = str(tracking.calibration(tenths_of((4.0, 5.0, None, None)), Voice("en"),
                                     desc=""))  # fmt: skip
    assert "<circle" in drawn
    assert "V30" not in drawn


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
    assert shown.count("\n## ") == 10
    assert ("Loop report" in shown) == (lang != "zh")
    assert ("自循环报告" in shown) == (lang != "en")
    assert shown.count("\n### ") == 12
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
