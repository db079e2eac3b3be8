"""Plots of what follows from the loop: drawn as in the tables, and in words."""

import dataclasses
from datetime import date

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color

import selfloop as sl
from selfloop.core import schema
from selfloop.core.errors import SettingError
from selfloop.measures.loop.ahead import Projection
from selfloop.measures.loop.backtest import LoopBacktest
from selfloop.measures.loop.growth import LoopGrowth
from selfloop.measures.loop.leverage import Leverage
from selfloop.measures.loop.overall import SelfLoop
from selfloop.measures.loop.reproduction import Reproduction
from selfloop.measures.loop.spending import AcquisitionCost
from selfloop.measures.loop.value import VisitorValue
from selfloop.measures.loop.what_if import WhatIf
from selfloop.outputs import plots
from selfloop.outputs.plots import fonts
from selfloop.outputs.plots.lettering import amount, apart, fold, points
from selfloop.outputs.plots.style import STAGE_COLOURS

END = date(2026, 10, 28)
NAN = float("nan")
BLUE, ORANGE = STAGE_COLOURS["conversion"], STAGE_COLOURS["referral"]
SLATE = STAGE_COLOURS["traffic"]
HOSTILE = ["$x^2$ sale", "a" * 80, "直播间" * 20, "%s {n} <b>", "two\nlines"]


@pytest.fixture(autouse=True)
def close_figures():
    """No figure outlives its test, and every test begins with none."""
    plt.close("all")
    yield
    plt.close("all")


def frame(table: str, rows: list[dict]) -> pd.DataFrame:
    """A table of the schema, what is not given missing."""
    return pd.DataFrame(rows).reindex(columns=schema.names(table))


def ends(name, value, low, high, mean=None) -> dict:
    """A number with its interval, as columns."""
    found = {name: value, f"{name}_low": low, f"{name}_high": high}
    if mean is not None:
        found |= {f"{name}_mean_low": mean[0], f"{name}_mean_high": mean[1]}
    return found


# ---- results made by hand --------------------------------------------------------


def r_line(segment, horizon, r, low, high, n=100) -> dict:
    """R of one segment and horizon, missing when `r` is."""
    reason = "" if r == r else f"9 buyers observed for {horizon} days, need 30"
    return {
        "segment": segment, "horizon_days": horizon, "n_buyers": n,
        "n_observed": n if r == r else 9, "reason": reason,
    } | ends("r", r, low, high)  # fmt: skip


def make_cohorts(by="first_order_quarter", **changes) -> Reproduction:
    """Four quarters; R(90) is known for three, R(180) for two of the four."""
    quarters = ["2025-Q4", "2026-Q1", "2026-Q2", "2026-Q3"]
    known = {90: [(0.4, 0.3, 0.5), (0.45, 0.35, 0.6), (0.5, 0.4, 0.7)],
             180: [(0.5, 0.4, 0.6), (0.6, 0.5, 0.8)]}  # fmt: skip
    nothing = (NAN, NAN, NAN)
    rows = [
        r_line(name, h, *(known[h][i] if i < len(known[h]) else nothing))
        for i, name in enumerate(quarters) for h in known
    ]  # fmt: skip
    rows.append(r_line("(missing)", 90, 0.9, 0.8, 1.0))
    trend = [{"horizon_days": 90, "unit": "quarter", "reason": ""}
             | ends("ratio", 1.12, 1.02, 1.23)]  # fmt: skip
    parts = {
        "table": frame("reproduction_segments", rows),
        "curve": frame("reproduction_segments_curve", []),
        "trend": frame("reproduction_trend", trend), "by": by, "end": END,
    }  # fmt: skip
    return Reproduction(**parts | changes)


def make_segments(names=("organic", "paid"), **changes) -> Reproduction:
    """A curve of three days for each name, and one group too small to have one."""
    table, curve = [], []
    for i, name in enumerate(names):
        top = 0.3 + 0.01 * i
        table.append(r_line(name, 2, top, top - 0.1, top + 0.1, n=200 - i))
        for age, r in enumerate((0.0, 0.1, top)):
            band = ends("r", r, r - 0.1 if age else NAN, r + 0.1 if age else NAN)
            curve.append({"segment": name, "age_days": age} | band)
    table.append(r_line("few", 2, NAN, NAN, NAN))
    parts = {
        "table": frame("reproduction_segments", table),
        "curve": frame("reproduction_segments_curve", curve),
        "trend": frame("reproduction_trend", []), "by": "source", "end": END,
    }  # fmt: skip
    return Reproduction(**parts | changes)


def make_growth(**changes) -> LoopGrowth:
    """R = 0.5: of 100 first buyers 70 stay alone; the last class is open."""
    rows = [
        {"size_low": 1, "size_high": 1, "n_seeds": 70, "share": 0.7}
        | ends("expected", 66.0, 57.0, 75.0),
        {"size_low": 2, "size_high": 3, "n_seeds": 30, "share": 0.3}
        | ends("expected", 32.0, 23.0, 41.0),
        {"size_low": 4, "size_high": pd.NA, "n_seeds": 0, "share": 0.0}
        | ends("expected", 2.0, 0.0, 5.0),
    ]
    parts = {
        "verdict": "fades", **ends("r", 0.5, 0.4, 0.6), "horizon_days": 300,
        **ends("rate", -0.01, -0.02, -0.005), **ends("doubling_days", NAN, NAN, NAN),
        **ends("halving_days", 69.3, 34.7, np.inf), **ends("multiplier", 2, 1.67, 2.5),
        "k": 0.8, "share_dying": 1.0, "cascades": frame("cascades", rows),
        "mean_size": 1.6, "expected_size": 1.7, "n_seeds": 100, "reason": "",
        "end": END,
    }  # fmt: skip
    return LoopGrowth(**parts | changes)


def value_line(segment, n, own, brought, low, high) -> dict:
    """What a visitor is worth; a buyer is worth four times as much."""
    if own != own:
        return {"segment": segment, "n_arrived": n, "n_buyers": n // 4,
                "reason": f"{n // 4} buyers, need 30"}  # fmt: skip
    return {
        "segment": segment, "n_arrived": n, "n_buyers": n // 4, "value_days": 365,
        **ends("own_value", own * 4, own * 3, own * 5),
        "visitor_own_value": own, "visitor_brought_value": brought,
        **ends("visitor_value", own + brought, low, high),
        "brought_value": brought * 4,
        **ends("buyer_value", (own + brought) * 4, low * 4, high * 4), "reason": "",
    }  # fmt: skip


def make_value(names=("organic", "paid"), **changes) -> VisitorValue:
    """Own 30 and 20 brought; 80 and 40 brought; and one group too small."""
    rows = [value_line("(outside)", 1000, 30.0, 20.0, 40.0, 65.0)]
    rows += [value_line(name, 600, 80.0, 40.0, 90.0, 160.0) for name in names]
    rows.append(value_line("few", 40, NAN, NAN, NAN, NAN))
    parts = {
        "table": frame("visitor_value", rows), "descent_value": 50.0,
        "descent_own_value": 40.0, "descent_r": 0.2, "descent_days": 365,
        "descent_reason": "", "by": "source", "horizon_days": 365, "margin": 1.0,
        "end": END,
    }  # fmt: skip
    return VisitorValue(**parts | changes)


def channel_line(name, cac, ratio, worth=100.0, **changes) -> dict:
    """A channel; `cac` and `ratio` with their intervals, 40 % from people brought."""
    return {
        "channel": name, "spend": 1000.0, "n_buyers": 50, **ends("cac", *cac),
        "buyer_ceiling": worth, "value_days": 365, "share_brought": 0.4,
        **ends("return_ratio", *ratio), "return_ratio_own": 0.6 * worth / cac[0],
        "payback_days": 30.0, "reason": "",
    } | changes  # fmt: skip


def make_cost(name="ads", **changes) -> AcquisitionCost:
    """Ads pay, search does not, and of mail nobody knows; May has no cost yet."""
    rows = [
        channel_line("(all)", (50.0, 40.0, 62.0), (1.2, 0.8, 1.6)),
        channel_line(name, (20.0, 15.0, 27.0), (5.0, 3.7, 6.7)),
        channel_line("search", (200.0, 150.0, 270.0), (0.5, 0.4, 0.7),
                     payback_days=NAN),
    ]  # fmt: skip
    late = "90 days after the month are not observed to the end"
    months = [
        {"month": f"2026-0{i}", "channel": name, "spend": 100.0, "window_days": 90,
         "n_buyers": 5 if cac == cac else pd.NA, "cac": cac,
         "reason": "" if cac == cac else late}
        for name in ("(all)", name) for i, cac in ((3, 18.0), (4, 25.0), (5, NAN))
    ]  # fmt: skip
    trends = [{"channel": "(all)", "n_months": 2,
               "reason": "2 whole months with spend and buyers, need 6"},
              {"channel": name, "n_months": 9, "reason": ""}
              | ends("cac_ratio", 0.95, 0.91, 0.99)]  # fmt: skip
    parts = {
        "channels": frame("spend_channels", rows),
        "months": frame("spend_months", months),
        "trends": frame("spend_trends", trends), "horizon_days": 365, "margin": 1.0,
        "end": END,
    }  # fmt: skip
    return AcquisitionCost(**parts | changes)


def make_projection(scenarios=("as_is", "no_ads"), *, wide=1.0, **changes):
    """Rest of October and two whole months; `wide` is how wide the ranges are."""
    months, totals = [], []
    for i, scenario in enumerate(scenarios):
        for j, month in enumerate(("2026-10", "2026-11", "2026-12")):
            value = (100.0 - 10 * i) * (0.2 if j == 0 else 1.0 + 0.1 * j)
            line = {"month": month, "scenario": scenario,
                    "status": "complete" if j else "partial"}  # fmt: skip
            for name, times in (("revenue", 10.0), ("orders", 1.0), ("buyers", 0.5)):
                x = times * value
                line |= ends(name, x, x / (1.5 * wide), x * 1.5 * wide,
                             (x / 1.2, x * 1.2))  # fmt: skip
            months.append(line)
        total = {"scenario": scenario, "horizon_days": 64}
        totals.append(total | ends("revenue", 2500.0, 2000.0, 3100.0))
    parts = {
        "months": frame("projection_months", months),
        "totals": frame("projection_totals", totals), "targets": {},
        "cohorts": frame("loop_cohorts", []),
        "recent_days": 90, "longest_days": 300, "notes": (), "end": END,
    }  # fmt: skip
    return Projection(**parts | changes)


def make_leverage(**changes) -> Leverage:
    """Traffic has no points, nobody knows of referrals."""
    rows = []
    gains = {"traffic": ((300.0, 250.0, 350.0), None),
             "conversion": ((700.0, 600.0, 800.0), (180.0, 160.0, 200.0)),
             "repurchase": ((900.0, -50.0, 1800.0), (150.0, -20.0, 320.0)),
             "referral": (None, None)}  # fmt: skip
    for stage, both in gains.items():
        for step, gain in zip(("+10%", "+1 point"), both, strict=True):
            line = {"stage": stage, "step": step, "reason": ""}
            if gain is None:
                few = stage == "referral"
                why = "8 at risk at day 90, need 30" if few else (
                    "traffic is a number, not a share")  # fmt: skip
                rows.append(line | {"reason": why})
                continue
            if stage != "traffic":
                line |= {"window_days": 90, "share": 0.36}
            rows.append(line | ends("revenue_gain", *gain))
    parts = {
        "table": frame("stage_leverage", rows), "best_stage": "repurchase",
        "best_is_clear": False, "unit": "visitor", "horizon_days": 365, "end": END,
    }  # fmt: skip
    return Leverage(**parts | changes)


def make_what_if(**changes) -> WhatIf:
    """Revenue rises, purchases fall, of value nothing is known."""
    rows = [
        {"measure": "value", "reason": "not known today"},
        {"measure": "orders", "reason": ""} | ends("today", 200.0, 180.0, 220.0)
        | ends("then", 150.0, 130.0, 170.0) | ends("difference", -50.0, -60.0, -40.0),
        {"measure": "revenue", "reason": ""} | ends("today", 1000.0, 800.0, 1250.0)
        | ends("then", 1300, 1000, 1700) | ends("difference", 300, 100, 500),
    ]  # fmt: skip
    parts = {
        "table": frame("what_if", rows), "projection": make_projection(),
        "targets": {"repurchase_90d": 0.6, "traffic": 1.5, "paid_traffic": 0.0},
        "end": END,
    }  # fmt: skip
    return WhatIf(**parts | changes)


def make_test(**changes) -> LoopBacktest:
    """Two whole months, one of them outside its range, and one that is not whole."""
    rows = []
    for measure, times in (("revenue", 10.0), ("orders", 1.0), ("buyers", 0.5)):
        for month, value, actual, status in (
            ("2026-08", 100.0, 120.0, "complete"),
            ("2026-09", 110.0, 200.0, "complete"),
            ("2026-10", 60.0, 55.0, "partial"), ("all", 270.0, 375.0, "complete"),
        ):  # fmt: skip
            x, y = times * value, times * actual
            rows.append(
                {"month": month, "measure": measure, "actual": y, "status": status,
                 "inside": bool(x / 1.5 <= y <= x * 1.5)}
                | ends("predicted", x, x / 1.5, x * 1.5)
            )  # fmt: skip
    parts = {"table": frame("loop_backtest", rows), "at": date(2026, 7, 31),
             "n_days": 89, "share_inside": 2 / 3, "notes": (), "end": END}  # fmt: skip
    return LoopBacktest(**parts | changes)


def make_loop(rows=None, **changes) -> SelfLoop:
    """Paid: 100 at first, 200 later, 100 through others; organic: 50, 30, 20."""
    if rows is None:
        rows = [("paid", 400.0, 300.0, 100.0, 100.0), ("organic", 100, 80, 50, 20)]
    names = ["root_source", "revenue", "revenue_own", "revenue_direct",
             "revenue_brought"]  # fmt: skip
    people = {"n_buyers": 9, "n_roots": 5, "n_brought": 4}
    lines = [dict(zip(names, row, strict=True)) | people for row in rows]
    empty = {f.name: NAN for f in dataclasses.fields(SelfLoop)}
    parts = empty | {"lineage": frame("loop_lineage", lines), "end": END}
    return SelfLoop(**parts | changes)


DRAWINGS = {
    "cohorts": lambda **o: sl.plot(make_cohorts(), **o),
    "segments": lambda **o: sl.plot(make_segments(), **o),
    "growth": lambda **o: sl.plot(make_growth(), **o),
    "value": lambda **o: sl.plot(make_value(), **o),
    "cost": lambda **o: sl.plot(make_cost(), **o),
    "cost_months": lambda **o: plots.plot_cost_months(make_cost(), **o),
    "projection": lambda **o: sl.plot(make_projection(), **o),
    "leverage": lambda **o: sl.plot(make_leverage(), **o),
    "what_if": lambda **o: sl.plot(make_what_if(), **o),
    "backtest": lambda **o: sl.plot(make_test(), **o),
    "lineage": lambda **o: plots.plot_lineage(make_loop(), **o),
}  # fmt: skip


def words(ax) -> list[str]:
    """Every text of an Axes."""
    found = [t.get_text() for t in ax.texts] + [ax.get_title(loc="left")]
    found += [t.get_text() for t in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    if ax.get_legend():
        found += [t.get_text() for t in ax.get_legend().get_texts()]
    return [t for t in (*found, ax.get_xlabel(), ax.get_ylabel()) if t]


def bars(ax, colour) -> list:
    """The bars of one colour, in the order they were drawn."""
    return [p for c in ax.containers if isinstance(c, mpl.container.BarContainer)
            for p in c if same_color(p.get_facecolor()[:3], colour)]  # fmt: skip


def whiskers(ax, axis=0) -> list[tuple[float, float]]:
    """Both ends of every interval."""
    found = [c for c in ax.containers if isinstance(c, mpl.container.ErrorbarContainer)]
    return [tuple(segment[:, axis].tolist()) for bar in found for lines in bar.lines[2]
            for segment in lines.get_segments()]  # fmt: skip


# ---- what all drawings keep ------------------------------------------------------


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", DRAWINGS)
def test_drawn_without_a_chinese_font_on_the_machine(name, lang, tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "_SYSTEM_FONTS", ())
    monkeypatch.setattr(fonts, "_RARE_CHARACTERS", ())
    ax = DRAWINGS[name](lang=lang)
    for suffix in ("png", "svg"):  # a missing character warns, and warnings are errors
        ax.figure.savefig(tmp_path / f"plot.{suffix}")
    given = plt.subplots()[1]
    assert DRAWINGS[name](ax=given, lang=lang) is given
    given.figure.canvas.draw()
    assert len(plt.get_fignums()) == 2


@pytest.mark.parametrize("name", DRAWINGS)
def test_both_languages_draw_the_same_in_other_words(name):
    english, chinese = DRAWINGS[name](), DRAWINGS[name](lang="zh")
    for kind in ("patches", "lines", "collections", "texts"):
        assert len(getattr(english, kind)) == len(getattr(chinese, kind))
    letters = str.maketrans("", "", "0123456789.,+-–[]×% nQ=\n")
    shared = {t for t in set(words(english)) & set(words(chinese))}
    # what stays the same are numbers and names
    left = {t.translate(letters) for t in shared} - {"", "few", "ads", "search"}
    assert not left
    assert any("\u4e00" <= c <= "\u9fff" for t in words(chinese) for c in t)


@pytest.mark.parametrize("name", DRAWINGS)
def test_global_settings_stay_as_they_are(name):
    before = dict(mpl.rcParams)
    DRAWINGS[name](lang="zh")
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", DRAWINGS)
def test_nothing_drawn_or_written_leaves_the_figure(name):
    for lang in ("en", "zh"):
        ax = DRAWINGS[name](lang=lang)
        ax.figure.canvas.draw()
        page = ax.figure.bbox
        title = [t for t in (ax.title, ax._left_title, ax._right_title) if t.get_text()]
        shown = [*ax.texts, *title, ax.xaxis.label, ax.yaxis.label]
        shown = [t for t in shown if t.get_text()]
        legend = ax.get_legend()
        for part in [*shown, *([legend] if legend else [])]:
            box = part.get_window_extent()
            assert box.x0 >= page.x0 - 1
            assert box.y0 >= page.y0 - 1
            assert box.x1 <= page.x1 + 1
            assert box.y1 <= page.y1 + 1


@pytest.mark.parametrize("name", DRAWINGS)
def test_words_beside_rows_do_not_cover_one_another(name):
    ax = DRAWINGS[name]()
    ax.figure.canvas.draw()
    boxes = [t.get_window_extent() for t in ax.texts if t.get_text()]
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            across = min(one.x1, other.x1) - max(one.x0, other.x0)
            down = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert across <= 1 or down <= 2


@pytest.mark.parametrize("name", DRAWINGS)
def test_on_a_dark_page_words_and_marks_are_light(name):
    with plt.style.context("dark_background"):
        ax = DRAWINGS[name]()
        ax.figure.canvas.draw()
    assert not any(same_color(t.get_color(), "black") for t in ax.texts)
    assert not any(same_color(line.get_color(), "black") for line in ax.lines)


def test_drawing_does_not_change_the_result():
    made = {
        make_cohorts: ["table", "trend"], make_growth: ["cascades"],
        make_value: ["table"], make_cost: ["channels", "months", "trends"],
        make_projection: ["months", "totals"], make_leverage: ["table"],
        make_what_if: ["table"], make_test: ["table"],
    }  # fmt: skip
    for make, parts in made.items():
        result = make()
        sl.plot(result)
        for part in parts:
            after, before = getattr(result, part), getattr(make(), part)
            pd.testing.assert_frame_equal(after, before)


@pytest.mark.parametrize(
    "result",
    [make_segments(HOSTILE), make_value(HOSTILE), *map(make_cost, HOSTILE)],
)
def test_names_of_the_user_are_text_and_never_mathematics(result):
    for lang in ("en", "zh"):
        ax = sl.plot(result, lang=lang)
        ax.figure.canvas.draw()
        shown = [*ax.texts, *ax.get_yticklabels()]
        assert not any(t._preprocess_math(t.get_text())[1] is True for t in shown)
        assert not any("a" * 25 in t or "直播间" * 9 in t for t in words(ax))


def test_names_in_titles_are_text_too():
    for name in HOSTILE:
        ax = plots.plot_cost_months(make_cost(name), channel=name)
        ax.figure.canvas.draw()
        assert "\n" not in ax.get_title(loc="left")
        assert len(ax.get_title(loc="left")) < 60


@pytest.mark.parametrize(
    "result",
    [
        make_cohorts(table=frame("reproduction_segments", []).astype({"segment": str})),
        make_segments(table=frame("reproduction_segments", []),
                      curve=frame("reproduction_segments_curve", [])),
        make_growth(cascades=frame("cascades", [])),
        make_value(table=frame("visitor_value", [])),
        make_cost(channels=frame("spend_channels", []),
                  months=frame("spend_months", []), trends=frame("spend_trends", [])),
        make_projection(months=frame("projection_months", []),
                        totals=frame("projection_totals", [])),
        make_leverage(table=frame("stage_leverage", []), best_stage=None),
        make_what_if(table=frame("what_if", [])),
        make_test(table=frame("loop_backtest", [])),
    ],
    ids=lambda result: type(result).__name__,
)  # fmt: skip
def test_an_empty_result_says_that_there_is_nothing(result):
    for lang, said in (("en", "no data"), ("zh", "无数据")):
        ax = sl.plot(result, lang=lang)
        assert said in words(ax)
        assert not ax.axison
        ax.figure.canvas.draw()


def test_other_views_of_empty_results_say_so_too():
    empty = make_cost(channels=frame("spend_channels", []),
                      months=frame("spend_months", []),
                      trends=frame("spend_trends", []))  # fmt: skip
    assert "no data" in words(plots.plot_cost_months(empty))
    assert "no data" in words(plots.plot_lineage(make_loop([])))


# ---- reproduction ----------------------------------------------------------------


def test_cohorts_are_drawn_at_the_longest_horizon_that_most_of_them_have():
    result = make_cohorts()
    ax = sl.plot(result)
    known = result.table[(result.table["horizon_days"] == 90)].iloc[:3]
    (dots,) = ax.containers
    np.testing.assert_allclose(dots.lines[0].get_ydata(), known["r"])
    pairs = known[["r_low", "r_high"]].to_numpy()
    np.testing.assert_allclose(whiskers(ax, axis=1), pairs)
    # quarters 2025-Q4, 2026-Q1 and 2026-Q2 follow each other; the fourth is left out
    np.testing.assert_allclose(np.diff(dots.lines[0].get_xdata()), [1, 1])
    assert "left out: 1 of 4 cohorts" in ax.get_xlabel()
    ticks = [t.get_text() for t in ax.get_xticklabels()]
    assert ticks == ["2025-Q4\nn=100", "2026-Q1\nn=100", "2026-Q2\nn=100"]
    assert (
        "R of a quarter over that of the quarter before: 1.12 [1.02, 1.23], it rises"
    ) in words(ax)


def test_another_horizon_of_cohorts_can_be_asked_for():
    ax = sl.plot(make_cohorts(), horizon_days=180)
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), [0.5, 0.6])
    assert "R(180 d)" in ax.get_ylabel()
    with pytest.raises(
        SettingError, match="horizon_days must be one of 90, 180; got 7"
    ):
        sl.plot(make_cohorts(), horizon_days=7)


def test_a_cohort_that_is_not_known_is_a_gap_in_time():
    table = make_cohorts().table
    gap = table["segment"] == "2026-Q1"
    ax = sl.plot(make_cohorts(table=table[~gap].reset_index(drop=True)))
    places = ax.containers[0].lines[0].get_xdata()
    np.testing.assert_allclose(np.diff(places), [2])


def test_months_of_two_years_are_in_order():
    names = ["2026-01", "2025-12"]
    rows = [r_line(n, 30, r, r - 0.1, r + 0.1) for n, r in zip(names, (0.3, 0.2),
            strict=True)]  # fmt: skip
    result = make_cohorts("first_order_month",
                          table=frame("reproduction_segments", rows))  # fmt: skip
    ax = sl.plot(result)
    np.testing.assert_allclose(ax.containers[0].lines[0].get_ydata(), [0.2, 0.3])
    np.testing.assert_allclose(np.diff(ax.containers[0].lines[0].get_xdata()), [1])


def test_an_unknown_trend_says_why():
    few = [{"horizon_days": 90, "unit": "quarter",
            "reason": "1 cohorts observed for 90 days, need 2"}]  # fmt: skip
    result = make_cohorts(trend=frame("reproduction_trend", few))
    shown = " ".join(words(sl.plot(result))).replace("\n", " ")
    assert "not known: 1 cohorts observed for 90 days, need 2" in shown
    shown = "".join(words(sl.plot(result, lang="zh"))).replace("\n", "")
    assert "观察满 90 天的仅 1 批，至少需要 2 批" in shown


def test_cohorts_that_nobody_observed_long_enough_say_why():
    table = make_cohorts().table.assign(r=NAN, n_observed=[9, 8] * 4 + [3])
    table["reason"] = [
        f"{n} buyers observed for {h} days, need 30"
        for n, h in zip(table["n_observed"], table["horizon_days"], strict=True)
    ]
    ax = sl.plot(make_cohorts(table=table))
    assert "9 buyers observed for 90 days, need 30" in words(ax)
    assert not ax.axison


def test_curves_are_those_of_the_table_with_bands_and_r_at_their_ends():
    result = make_segments()
    ax = sl.plot(result)
    assert len(ax.lines) == len(ax.collections) == 2
    for line, band, name in zip(ax.lines, ax.collections, ("organic", "paid"),
                                strict=True):  # fmt: skip
        rows = result.curve[result.curve["segment"] == name]
        np.testing.assert_allclose(line.get_ydata(), rows["r"])
        corners = band.get_paths()[0].vertices[:, 1]
        assert corners.max() == pytest.approx(rows["r_high"].max())
        assert corners.min() == pytest.approx(rows["r_low"].min())
    assert {"organic\n0.30 [0.20, 0.40] by 2 d", "paid\n0.31 [0.21, 0.41] by 2 d"} <= (
        set(words(ax))
    )
    assert "too few buyers observed: 1 groups" in words(ax)


def test_of_many_groups_those_with_most_buyers_are_drawn():
    names = [f"channel {i}" for i in range(9)]
    ax = sl.plot(make_segments(names))
    assert len(ax.lines) == 6
    assert not any("channel 6" in t for t in words(ax))
    assert any("drawn: the 6 of 9 groups" in t for t in words(ax))


def test_curves_can_end_at_an_age():
    ax = sl.plot(make_segments(), horizon_days=1)
    assert all(line.get_xdata().max() == 1 for line in ax.lines)
    with pytest.raises(SettingError, match="horizon_days must be at least 1"):
        sl.plot(make_segments(), horizon_days=0)


# ---- growth ----------------------------------------------------------------------


def test_cascades_are_the_counts_beside_the_expectation_and_its_range():
    growth = make_growth()
    ax = sl.plot(growth)
    assert [b.get_height() for b in bars(ax, ORANGE)] == [70, 30, 0]
    marks = next(c for c in ax.containers if hasattr(c, "has_yerr"))
    np.testing.assert_allclose(marks.lines[0].get_ydata(), [66, 32, 2])
    np.testing.assert_allclose(whiskers(ax, axis=1), [(57, 75), (23, 41), (0, 5)])
    names = [t.get_text() for t in ax.get_xticklabels()]
    assert names == ["1", "2–3", "4 or more"]
    assert ax.get_ylim()[1] > 75


def test_growth_is_told_in_words():
    said = " ".join(words(sl.plot(make_growth()))).replace("\n", " ")
    assert "R(300 d) = 0.50 [0.40, 0.60]: the loop fades" in said
    assert "new buyers halve in 69 [35, ∞] days" in said
    assert "a buyer from outside ends in 2.00 [1.67, 2.50] buyers" in said
    assert "double" not in said
    up = make_growth(verdict="sustains", **ends("doubling_days", 40.0, 30.0, 55.0),
                     **ends("halving_days", NAN, NAN, NAN),
                     **ends("multiplier", np.inf, np.inf, np.inf))  # fmt: skip
    said = " ".join(words(sl.plot(up))).replace("\n", " ")
    assert "sustains itself" in said
    assert "double in 40 [30, 55] days" in said
    assert "ends in ∞ [∞, ∞] buyers" in said


def test_without_anybody_brought_there_is_nothing_to_expect():
    table = make_growth().cascades.assign(expected=NAN, expected_low=NAN,
                                          expected_high=NAN)  # fmt: skip
    ax = sl.plot(make_growth(k=NAN, cascades=table))
    assert [b.get_height() for b in bars(ax, ORANGE)] == [70, 30, 0]
    assert whiskers(ax, axis=1) == []
    assert "nobody has brought anybody" in ax.get_xlabel()


def test_growth_that_cannot_be_told_says_why():
    few = make_growth(reason="fewer than 30 buyers observed for a day")
    assert "fewer than 30 buyers observed for a day" in words(sl.plot(few))
    assert "观察满一天的买家不足 30 位" in words(sl.plot(few, lang="zh"))


# ---- value of a visitor ----------------------------------------------------------


def test_value_is_stacked_from_own_purchases_and_people_brought():
    ax = sl.plot(make_value())
    assert [b.get_width() for b in bars(ax, BLUE)] == [30, 80, 80]
    brought = bars(ax, ORANGE)
    assert [(b.get_x(), b.get_width()) for b in brought] == [
        (30, 20),
        (80, 40),
        (80, 40),
    ]
    np.testing.assert_allclose(whiskers(ax), [(40, 65), (90, 160), (90, 160)])
    shown = words(ax)
    assert {"50.0 [40.0, 65.0]", "120 [90, 160]", "–  10 buyers, need 30"} <= set(shown)
    assert "nobody brought them (n = 1,000)" in shown
    assert "What a visitor is worth" in shown


def test_without_visits_it_is_the_value_of_a_buyer_and_says_so():
    table = make_value().table
    gone = [c for c in table if c.startswith("visitor_")]
    table = table.assign(**dict.fromkeys(gone, NAN), n_arrived=pd.NA)
    ax = sl.plot(make_value(table=table))
    assert [b.get_width() for b in bars(ax, BLUE)] == [120, 320, 320]
    np.testing.assert_allclose(whiskers(ax)[0], (160, 260))
    assert "What a buyer is worth" in words(ax)
    assert "nobody brought them (n = 250)" in words(ax)


def test_without_people_brought_own_purchases_stand_with_their_interval():
    table = make_value().table
    gone = ["brought_value", *(c for c in table if c.startswith("visitor_"))]
    gone += [c for c in table if c.startswith("buyer_value")]
    table = table.assign(**dict.fromkeys(gone, NAN), reason="no table of referrals")
    result = make_value(table=table, descent_reason="no table of referrals")
    ax = sl.plot(result)
    assert bars(ax, ORANGE) == []
    np.testing.assert_allclose(whiskers(ax)[0], (90, 150))  # three and five times 30
    said = " ".join(words(ax)).replace("\n", " ")
    assert "people brought are not known: no table of referrals" in said
    assert "own purchases" in said


def test_values_of_young_buyers_are_said_to_be_a_lower_bound():
    table = make_value().table.assign(value_days=[50, 50, 40, NAN])
    said = " ".join(words(sl.plot(make_value(table=table)))).replace("\n", " ")
    assert "a lower bound: counted only to 40 d to 50 d" in said


def test_of_many_segments_the_largest_twelve_are_drawn_with_all_first():
    ax = sl.plot(make_value([f"c{i:02d}" for i in range(20)]))
    names = [t.get_text() for t in ax.get_yticklabels()]
    assert len(names) == 12
    assert names[0].startswith("nobody brought them")
    said = " ".join(words(ax)).replace("\n", " ")
    assert "drawn: the 12 largest of 22" in said


def test_a_part_below_zero_is_drawn_to_the_left():
    table = make_value().table
    table.loc[0, ["visitor_own_value", "visitor_value", "visitor_value_low"]] = (
        -10.0, 10.0, -5.0,
    )  # fmt: skip
    ax = sl.plot(make_value(table=table))
    assert bars(ax, BLUE)[0].get_width() == -10
    assert bars(ax, ORANGE)[0].get_x() == 0
    assert ax.get_xlim()[0] < -10


def test_values_that_nobody_knows_say_why():
    table = make_value().table.tail(1).reset_index(drop=True)
    assert "10 buyers, need 30" in words(sl.plot(make_value(table=table)))


# ---- cost of acquisition ---------------------------------------------------------


def test_cost_stands_against_worth_and_its_parts():
    ax = sl.plot(make_cost())
    assert [b.get_width() for b in bars(ax, SLATE)] == [50, 20, 200]
    np.testing.assert_allclose(whiskers(ax), [(40, 62), (15, 27), (150, 270)])
    # 40 % of 100 comes through people brought
    np.testing.assert_allclose([b.get_width() for b in bars(ax, BLUE)], [60] * 3)
    through = [(b.get_x(), b.get_width()) for b in bars(ax, ORANGE)]
    np.testing.assert_allclose(through, [(60, 40)] * 3)
    assert {
        "returns 1.20 [0.80, 1.60] times: open\npaid back by day 30",
        "returns 5.00 [3.70, 6.70] times: pays\npaid back by day 30",
        "returns 0.50 [0.40, 0.70] times: does not pay", "20.0 [15.0, 27.0]",
    } <= set(words(ax))  # fmt: skip


def test_cost_without_referrals_returns_own_purchases_alone():
    lost = ["buyer_ceiling", "share_brought", "payback_days"]
    lost += [f"return_ratio{end}" for end in ("", "_low", "_high")]
    table = make_cost().channels
    table = table.assign(**dict.fromkeys(lost, NAN), reason="no table of referrals")
    ax = sl.plot(make_cost(channels=table))
    # cac times the return of own purchases, 0.6 of 100
    np.testing.assert_allclose([b.get_width() for b in bars(ax, BLUE)], [60] * 3)
    assert bars(ax, ORANGE) == []
    assert "own purchases alone return 3.00 times" in words(ax)
    said = " ".join(words(ax)).replace("\n", " ")
    assert "people brought are not known: no table of referrals" in said


def test_cost_without_visits_has_no_interval_and_a_missing_one_its_reason():
    table = make_cost().channels.assign(cac_low=NAN, cac_high=NAN)
    why = "nobody who came through it has bought"
    unknown = ["cac", "return_ratio", "return_ratio_own"]
    table.loc[2, [*unknown, "reason"]] = [NAN, NAN, NAN, why]
    ax = sl.plot(make_cost(channels=table))
    assert whiskers(ax) == []
    assert [b.get_width() for b in bars(ax, SLATE)] == [50, 20]
    assert f"–  {why}" in words(ax)
    assert len(bars(ax, ORANGE)) == 3  # what a buyer is worth is known all the same


def test_costs_that_nobody_knows_say_why():
    table = make_cost().channels.assign(
        cac=NAN, buyer_ceiling=NAN, reason="17 arrived, need 30; 2 buyers, need 30"
    )
    assert "17 arrived, need 30; 2 buyers, need 30" in words(
        sl.plot(make_cost(channels=table))
    )
    chinese = words(sl.plot(make_cost(channels=table), lang="zh"))
    assert not any("need" in t for t in chinese)


def test_months_are_the_costs_of_the_table_and_gaps_are_counted():
    ax = plots.plot_cost_months(make_cost())
    line = next(x for x in ax.lines if len(x.get_xdata()) == 3)
    np.testing.assert_allclose(line.get_ydata(), [18, 25, NAN])
    (level,) = [x for x in ax.lines if x is not line]
    assert set(level.get_ydata()) == {50.0}
    (band,) = ax.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == (40, 62)
    assert "months left out: 1 (90 days after the month" in ax.get_xlabel()
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        "2026-03\nn=5", "2026-04\nn=5", "2026-05\nn=–",
    ]  # fmt: skip
    assert any("not known: 2 whole months" in t.replace("\n", " ") for t in words(ax))


def test_months_of_a_channel_say_whether_it_gets_cheaper():
    ax = plots.plot_cost_months(make_cost(), channel="ads")
    said = " ".join(words(ax)).replace("\n", " ")
    assert "month before: 0.95 [0.91, 0.99], it falls" in said
    assert ax.get_title(loc="left").endswith("ads")
    with pytest.raises(SettingError, match=r"channel must be one of .*'ads'.*'tv'"):
        plots.plot_cost_months(make_cost(), channel="tv")


# ---- months to come --------------------------------------------------------------


@pytest.mark.parametrize("measure", ["revenue", "orders", "buyers"])
def test_a_fan_has_the_expectation_and_both_ranges(measure):
    result = make_projection()
    ax = sl.plot(result, measure=measure)
    rows = result.months[result.months["scenario"] == "as_is"].reset_index(drop=True)
    whole = rows.where(rows["status"] == "complete")
    blue = [x for x in ax.lines if same_color(x.get_color(), BLUE)]
    solid = next(
        x for x in blue if x.get_linestyle() == "-" and len(x.get_xdata()) == 3
    )
    np.testing.assert_allclose(solid.get_ydata(), whole[measure])
    bands = [c for c in ax.collections if same_color(c.get_facecolor()[0][:3], BLUE)]
    for band, ends_of in zip(bands, ("", "_mean"), strict=True):
        corners = band.get_paths()[0].vertices[:, 1]
        assert corners.max() == pytest.approx(whole[f"{measure}{ends_of}_high"].max())
        assert corners.min() == pytest.approx(whole[f"{measure}{ends_of}_low"].min())
    hollow = [x for x in blue if x.get_marker() == "o" and len(x.get_xdata()) == 1]
    (dot,) = hollow
    assert dot.get_ydata()[0] == rows[measure][0]
    assert same_color(dot.get_markerfacecolor(), ax.get_facecolor())
    stems = {tuple(x.get_ydata()) for x in blue if len(x.get_xdata()) == 2}
    first = rows.iloc[0]
    assert stems == {(first[f"{measure}{m}_low"], first[f"{measure}{m}_high"])
                     for m in ("", "_mean")}  # fmt: skip
    assert ax.get_yscale() == "linear"
    assert ax.get_ylim()[0] == 0


def test_the_totals_stand_in_the_legend():
    shown = words(sl.plot(make_projection(("as_is", "no_ads", "what_if"))))
    for name in ("as it is", "without ads", "with the targets reached"):
        assert f"{name}: 2,500 [2,000, 3,100] in 64 d" in shown
    assert "not a whole month" in shown


def test_very_wide_ranges_are_on_a_log_scale_that_says_so():
    ax = sl.plot(make_projection(wide=40.0))
    assert ax.get_yscale() == "log"
    assert "log scale" in ax.get_ylabel()


def test_a_projection_without_ranges_is_a_line():
    result = make_projection(("as_is",))
    gone = [c for c in result.months if c.endswith(("_low", "_high"))]
    months = result.months.assign(**dict.fromkeys(gone, NAN))
    ax = sl.plot(dataclasses.replace(result, months=months))
    ax.figure.canvas.draw()
    line = next(
        x for x in ax.lines if x.get_marker() == "o" and len(x.get_xdata()) == 3
    )
    assert np.nanmax(line.get_ydata()) == months["revenue"].max()


def test_another_measure_is_an_error():
    for result in (make_projection(), make_test()):
        with pytest.raises(SettingError, match="measure must be one of"):
            sl.plot(result, measure="profit")


def test_ranges_stand_beside_what_happened():
    result = make_test()
    ax = sl.plot(result, measure="orders")
    rows = result.table[(result.table["measure"] == "orders")].iloc[:3]
    found = [(b.get_y(), b.get_y() + b.get_height()) for b in bars(ax, BLUE)]
    np.testing.assert_allclose(found, rows[["predicted_low", "predicted_high"]])
    dots = [x for x in ax.lines if x.get_marker() == "o"]
    np.testing.assert_allclose([x.get_ydata()[0] for x in dots], rows["actual"])
    strokes = [x.get_ydata()[0] for x in ax.lines if len(x.get_xdata()) == 2]
    np.testing.assert_allclose(strokes, rows["predicted"])
    # 200 is above 1.5 times 110; October is not whole
    colours = [x.get_color() for x in dots]
    assert same_color(colours[0], colours[2])
    assert not same_color(colours[0], colours[1])
    faces = [same_color(x.get_markerfacecolor(), ax.get_facecolor()) for x in dots]
    assert faces == [False, False, True]
    said = " ".join(words(ax)).replace("\n", " ")
    assert "known to 2026-07-31; 2 of 3 months fell into their ranges" in said
    assert "projected 270 [180, 405], happened 375" in said
    assert "happened, outside the range" in said


def test_a_month_without_a_range_is_neither_inside_nor_outside():
    table = make_test().table.assign(predicted_low=NAN, predicted_high=NAN)
    table["inside"] = pd.NA
    ax = sl.plot(make_test(table=table))
    assert bars(ax, BLUE) == []
    said = " ".join(words(ax))
    assert "0 of 0 months" in said
    assert "outside the range" not in said


# ---- which stage to mend ---------------------------------------------------------


def test_gains_of_both_steps_have_their_intervals():
    ax = sl.plot(make_leverage())
    tenth, point = (
        [b.get_width() for b in bars(ax, STAGE_COLOURS[s])]
        for s in ("traffic", "conversion")
    )
    assert (tenth, point) == ([300], [700, 180])
    assert set(whiskers(ax)) == {
        (250, 350), (600, 800), (160, 200), (-50, 1800), (-20, 320),
    }  # fmt: skip
    assert ax.get_xlim()[0] < -50
    assert ax.get_xlim()[1] > 1800
    shown = words(ax)
    assert shown.count("–  8 at risk at day 90, need 30") == 1
    assert "–  traffic is a number, not a share" in shown
    assert "Conversion\n36.0 % in 90 d" in shown


def test_the_best_stage_is_told_as_surely_as_it_is_known():
    said = words(sl.plot(make_leverage(best_is_clear=True)))
    # nobody knows of referrals: nothing is beyond doubt
    assert "most leverage of the stages that are known (3 of 4): Repurchase" in said
    table = make_leverage().table
    table["revenue_gain"] = table["revenue_gain"].fillna(1.0)
    whole = make_leverage(table=table)
    assert "most leverage: Repurchase, but not beyond doubt" in words(sl.plot(whole))
    clear = dataclasses.replace(whole, best_is_clear=True)
    assert "most leverage: Repurchase, beyond doubt" in words(sl.plot(clear))
    none = dataclasses.replace(whole, best_stage=None)
    assert "no stage is seen to add revenue" in words(sl.plot(none))


def test_today_then_and_the_change_are_multiples_of_today():
    ax = sl.plot(make_what_if())
    # purchases: 200 to 150; revenue: 1,000 to 1,300
    np.testing.assert_allclose(
        whiskers(ax), [(0.9, 1.1), (0.65, 0.85), (0.8, 1.25), (1.0, 1.7)]
    )
    dots = [x.get_xdata()[0] for x in ax.lines if x.get_marker() == "o"]
    np.testing.assert_allclose(dots, [1, 0.75, 1, 1.3])
    changes = [(p.get_x(), p.get_x() + p.get_width()) for c in ax.containers
               if isinstance(c, mpl.container.BarContainer) for p in c]  # fmt: skip
    np.testing.assert_allclose(changes, [(0.7, 0.8), (1.1, 1.5)])
    shown = words(ax)
    assert "200 to 150\n-50.0 [-60.0, -40.0]" in shown
    assert "1,000 to 1,300\n+300 [100, 500]" in shown
    assert "–  not known today" in shown
    said = " ".join(shown).replace("\n", " ")
    assert "Repurchase of 60.0 % within 90 d; 1.5 times the visitors" in said
    assert "0 times the visitors from ads" in said


def test_a_target_of_nothing_known_says_why():
    table = make_what_if().table.head(1)
    assert "not known today" in words(sl.plot(make_what_if(table=table)))


# ---- lineage ---------------------------------------------------------------------


def test_lineage_divides_revenue_in_first_later_and_through_others():
    ax = plots.plot_lineage(make_loop())
    parts = {
        c: [(b.get_x(), b.get_width()) for b in bars(ax, c)]
        for c in (BLUE, STAGE_COLOURS["repurchase"], ORANGE)
    }
    assert list(parts.values()) == [
        [(0, 100), (0, 50)], [(100, 200), (50, 30)], [(300, 100), (80, 20)],
    ]  # fmt: skip
    shown = words(ax)
    assert {"400", "100", "50%", "25%"} <= set(shown)
    assert "paid\n5 + 4 brought" in shown


def test_lineage_without_referrals_says_what_it_needs():
    loop = make_loop([("paid", 300.0, 300.0, 100.0, NAN)])
    loop.lineage["n_brought"] = pd.NA
    ax = plots.plot_lineage(loop)
    assert bars(ax, ORANGE) == []
    assert "needs the table of referrals" in words(ax)
    assert "paid (n = 5)" in words(ax)
    assert "people brought" not in words(ax)


def test_what_was_given_back_is_drawn_to_the_left():
    ax = plots.plot_lineage(make_loop([("paid", 80.0, 60.0, 100.0, 20.0)]))
    (later,) = bars(ax, STAGE_COLOURS["repurchase"])
    assert (later.get_x(), later.get_width()) == (0, -40)
    assert bars(ax, ORANGE)[0].get_x() == 100
    assert ax.get_xlim()[0] < -40


# ---- real results, and lettering -------------------------------------------------


@pytest.fixture(scope="module")
def shop():
    """Every result of a simulated shop with everything known."""
    shop = sl.simulate(n_visitors=1200, seed=7, days=400)
    events = sl.read_events(
        shop.orders, shop.referrals, visits=shop.visits, spend=shop.spend
    )
    return (
        sl.reproduction(events, "source"), sl.reproduction(events, None),
        sl.reproduction(events, "first_order_month"), sl.loop_growth(events),
        sl.visitor_value(events, "channel"), sl.acquisition_cost(events),
        sl.stage_leverage(events), sl.what_if(events, months=3, repurchase_90d=0.6),
        sl.project_loop(events, months=3, targets={"traffic": 1.2}),
        sl.backtest_loop(events), sl.self_loop(events),
    )  # fmt: skip


@pytest.fixture(scope="module")
def young():
    """Results of a young shop without visits."""
    shop = sl.simulate(n_visitors=300, seed=3, days=40)
    events = sl.read_events(shop.orders, shop.referrals, spend=shop.spend)
    return (
        sl.reproduction(events, "channel"), sl.reproduction(events, "arrived_quarter"),
        sl.loop_growth(events), sl.visitor_value(events), sl.acquisition_cost(events),
        sl.stage_leverage(events), sl.project_loop(events, months=2),
        sl.self_loop(events),
    )  # fmt: skip


def draw_all(results, lang):
    """Draw every result in every way there is."""
    other = {AcquisitionCost: plots.plot_cost_months, SelfLoop: plots.plot_lineage}
    ways = [(sl.plot, r) for r in results if not isinstance(r, SelfLoop)]
    ways += [(other[type(r)], r) for r in results if type(r) in other]
    drawn = [draw(result, lang=lang) for draw, result in ways]
    for ax in drawn:
        ax.figure.canvas.draw()
    return drawn


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_result_of_a_shop_can_be_drawn(shop, lang):
    assert all(ax.axison for ax in draw_all(shop, lang))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_result_of_a_young_shop_without_visits_can_be_drawn(young, lang):
    drawn = draw_all(young, lang)
    said = [t for ax in drawn for t in words(ax)]
    assert any("30" in t and ("need" in t or "至少" in t) for t in said)
    if lang == "zh":
        assert not any("need" in t for t in said)


def test_numbers_have_as_many_digits_as_help():
    assert amount(1234567.8) == "1,234,568"
    assert amount(12.34, 1.0, 100.0) == "12.3 [1.0, 100.0]"
    assert amount(-0.001) == "0.00"
    assert amount(2.0, 1.5, np.inf) == "2.00 [1.50, ∞]"
    assert amount(NAN, 1.0, 2.0) == "–"


def test_names_set_apart_keep_their_order_and_their_distance():
    wanted = np.array([0.5, 0.52, 0.1, 0.51, 2.0])
    found = apart(wanted, 0.2)
    assert (np.argsort(found, kind="stable") == np.argsort(wanted, kind="stable")).all()
    assert np.diff(np.sort(found)).min() >= 0.2 - 1e-9
    assert found[2] == 0.1
    assert found[4] == 2.0


def test_folded_lines_are_short_and_lose_nothing():
    text = "a lower bound: counted only to 40 d；仅计首购后四十天内，其余不计"
    lines = fold(text, 90.0).split("\n")
    assert max(map(points, lines)) <= 90.0
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert fold("one\ntwo", 900.0) == "one\ntwo"
