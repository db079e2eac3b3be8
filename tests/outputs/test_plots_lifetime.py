"""Plots of lifetime models, by what they draw."""

import logging
from datetime import date, timedelta
from itertools import pairwise
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.dates import date2num, num2date

import selfloop as sl
from selfloop.core import schema
from selfloop.core.errors import SettingError
from selfloop.measures.lifetime.backtest import Backtest
from selfloop.measures.lifetime.compare import ModelComparison
from selfloop.measures.lifetime.design import Covariate
from selfloop.measures.lifetime.holdout import Cut
from selfloop.measures.lifetime.parts import FrequencyRecency
from selfloop.measures.lifetime.spread import SpendDistribution
from selfloop.outputs import plots
from selfloop.outputs.plots import fonts
from selfloop.outputs.plots.style import SOURCE_COLOURS, STAGE_COLOURS

NAN = float("nan")
END = date(2026, 10, 28)
AT = date(2026, 8, 29)
START = date(2026, 5, 2)
MODEL_COLOUR = to_rgb(STAGE_COLOURS["repurchase"])


@pytest.fixture(autouse=True)
def close_figures():
    """No figure outlives its test, and every test begins with none."""
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture
def bare_machine(monkeypatch):
    """A machine on which the shipped font is the only Chinese one."""
    monkeypatch.setattr(fonts, "_SYSTEM_FONTS", ())
    monkeypatch.setattr(fonts, "_RARE_CHARACTERS", ())


# ---- results made by hand --------------------------------------------------------


def frame(table: str, rows: list[tuple]) -> pd.DataFrame:
    """A table of the schema, made by hand."""
    return pd.DataFrame(rows, columns=schema.names(table))


def make_matrix() -> FrequencyRecency:
    """Customers of 60 days with 1 to 3 purchases; bought once means recency 0."""
    alive = np.array([[0.3, NAN, NAN], [NAN, 0.4, 0.9], [NAN, 0.1, 1.0]])
    return FrequencyRecency(
        n_purchases=np.array([1.0, 2.0, 3.0]),
        recency_days=np.array([0.0, 30.0, 60.0]),
        age_days=60.0,
        horizon_days=90.0,
        p_alive=alive,
        expected_purchases=alive * 2.5,
    )


def make_fitted(**changes) -> SimpleNamespace:
    """What plots read of a model without covariates."""
    rows = [
        ("r", 0.62, 0.09, 0.46, 0.82, ""), ("alpha", 60.6, 6.8, 48.6, 75.5, ""),
        ("p", 4.7, 0.7, 3.5, 6.2, ""),
    ]  # fmt: skip
    columns = ["parameter", "estimate", "standard_error", "low", "high", "reason"]
    table = pd.DataFrame(rows, columns=columns)
    spend = SimpleNamespace(params={"p": 4.7}, at_bound=())
    parts = {
        "label": "MBG/NBD", "unit_days": 7.0, "end": END, "currency": "CNY",
        "params": {"r": 0.62, "alpha": 60.6}, "spend": spend, "at_bound": (),
        "covariates": (), "summary": table.copy,
        "lifts": lambda: frame("lifts", []),
    }  # fmt: skip
    return SimpleNamespace(**parts | changes)


def make_bound() -> SimpleNamespace:
    """A model whose r and alpha the data do not determine, without a spend model."""
    table = make_fitted().summary().head(2)
    table = table.assign(standard_error=NAN, low=NAN, high=NAN)
    return make_fitted(summary=table.copy, spend=None, at_bound=("r",))


def make_lifted(low: float = 0.7) -> SimpleNamespace:
    """A model with a category and a number, of which 1 lift is that of spend."""
    table = make_fitted().summary()
    name = "purchase rate: source=paid"
    table.loc[len(table)] = (name, -0.2, 0.08, -0.36, -0.04, "")
    lifts = [
        ("purchase rate", "source=paid", "referral", 0.82, low, 0.96, ""),
        ("purchase rate", "age", "one unit less", 1.05, 0.9, 1.225, ""),
        ("leaving", "source=paid", "referral", 0.9, 0.6, 1.35, ""),
        ("order value", "age", "one unit less", 1.01, 0.95, 1.07, ""),
    ]
    return make_fitted(
        summary=table.copy,
        lifts=lambda: frame("lifts", lifts),
        covariates=(Covariate("source", "referral", ("paid",)), Covariate("age")),
    )


def make_weeks(n: int = 20, *, last: int = 7) -> pd.DataFrame:
    """Weeks since the start; the last one has `last` days."""
    ends = [START + timedelta(days=7 * (i + 1)) for i in range(n)]
    ends[-1] += timedelta(days=last - 7)
    actual = 10 + np.arange(n) % 4
    expected = 11 + np.arange(n) * 0.1
    known = [e <= AT for e in ends]
    return pd.DataFrame({
        "week": np.arange(1, n + 1),
        "last_day": ends,
        "phase": np.where(known, "fitted", "holdout"),
        "actual": actual,
        "expected": expected,
        "actual_so_far": actual.cumsum(),
        "expected_so_far": expected.cumsum(),
    })  # fmt: skip


def make_backtest(**changes) -> Backtest:
    """A holdout of 21 days that begins at the close of the 17th week."""
    deciles = [
        ("purchases", 1, 100, 2.8, 2.4, 2.0, 2.8),
        ("purchases", 2, 100, 0.8, 0.9, 0.7, 1.1),
        ("purchases", 3, 100, 0.1, 0.05, -0.01, 0.11),
        ("value", 1, 100, 110.0, 101.0, 85.0, 117.0),
        ("value", 2, 100, 30.0, 24.0, 19.0, 29.0),
    ]
    frequencies = [(1, 1318, 0.1, 0.11), (2, 436, 0.3, 0.36), (3, 207, 0.9, 0.74)]
    parts = {
        "model": make_fitted(), "at": AT, "horizon_days": 21, "n_people": 2357,
        "scores": frame("backtest_scores", []),
        "deciles": frame("backtest_deciles", deciles), "weeks": make_weeks(),
        "frequencies": frame("backtest_frequencies", frequencies),
    }  # fmt: skip
    return Backtest(**parts | changes)


def make_spend(currency: str | None = "CNY") -> SpendDistribution:
    """Three bars of 10 and one open above."""
    rows = [
        (0.0, 10.0, 10, 0.1, 0.15), (10.0, 20.0, 50, 0.5, 0.45),
        (20.0, 30.0, 35, 0.35, 0.3), (30.0, np.inf, 5, 0.05, 0.1),
    ]  # fmt: skip
    return SpendDistribution(frame("spend_distribution", rows), 100, currency)


def make_comparison(*, holdout: bool = True) -> ModelComparison:
    """BG/NBD fits best but is never chosen; NBD is far off; one fit failed."""
    score = -0.73 if holdout else NAN
    rows = [
        ("bg_nbd", "BG/NBD", 4, -99.0, 206.0, -61.5, 210.0, score, 0.0, 0.5, "",
         "beside: gives everybody who bought once P(alive) = 1"),
        ("mbg_nbd", "MBG/NBD", 4, -130.0, 267.5, 0.0, 271.0, score - 0.01, 0.0, 0.5,
         "", "chosen"),
        ("pareto_nbd", "Pareto/NBD", 4, -138.0, 284.4, 16.9, 288.0, score - 0.02, 0.0,
         0.5, "", "candidate"),
        ("nbd", "NBD", 2, -1045.0, 2094.0, 1826.5, 2096.0, score - 0.3, 0.0, 0.5, "",
         "beside: nobody ever leaves"),
        ("pdo", "pdo", pd.NA, NAN, NAN, NAN, NAN, NAN, NAN, NAN, "",
         "does not fit: no"),
    ]  # fmt: skip
    return ModelComparison(
        table=frame("model_comparison", rows), chosen="mbg_nbd", reason="MBG/NBD: …",
        cut=Cut(AT, 60) if holdout else None, holdout_reason="" if holdout else "short",
        fitted={}, before={}, known=None,
    )  # fmt: skip


DRAWINGS = {
    "frequency_recency": lambda **o: plots.plot_frequency_recency(make_matrix(), **o),
    "p_alive": lambda **o: plots.plot_p_alive(make_matrix(), **o),
    "tracking": lambda **o: plots.plot_tracking(make_backtest(), **o),
    "tracking_short": lambda **o: plots.plot_tracking(
        make_backtest(weeks=make_weeks(last=3)), **o
    ),
    "cumulative": lambda **o: plots.plot_cumulative(make_backtest(), **o),
    "calibration": lambda **o: plots.plot_calibration(make_backtest(), **o),
    "calibration_value": lambda **o: plots.plot_calibration(
        make_backtest(), measure="value", **o
    ),
    "frequencies": lambda **o: plots.plot_frequencies(make_backtest(), **o),
    "spend": lambda **o: plots.plot_spend(make_spend(), **o),
    "lifetime": lambda **o: plots.plot_lifetime(make_fitted(), **o),
    "lifetime_bound": lambda **o: plots.plot_lifetime(make_bound(), **o),
    "lifts": lambda **o: plots.plot_lifts(make_lifted(), **o),
    "comparison": lambda **o: plots.plot_comparison(make_comparison(), **o),
}


def words(ax) -> list[str]:
    """Every text of an Axes."""
    found = [t.get_text() for t in ax.texts] + [ax.get_title(loc="left")]
    found += [t.get_text() for t in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    if ax.get_legend():
        found += [t.get_text() for t in ax.get_legend().get_texts()]
    return [t for t in (*found, ax.get_xlabel(), ax.get_ylabel()) if t]


def line(ax, label: str):
    """The line of one label in the legend."""
    (found,) = [drawn for drawn in ax.lines if drawn.get_label() == label]
    return found


def whiskers(ax) -> np.ndarray:
    """Both ends of every error bar, shape (n, 2 ends, 2 coordinates)."""
    (bars,) = ax.containers
    return np.array(bars.lines[2][0].get_segments())


# ---- what all drawings keep ------------------------------------------------------


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", DRAWINGS)
def test_without_a_chinese_font_on_the_machine_nothing_warns(
    name, lang, caplog, tmp_path
):
    with caplog.at_level(logging.WARNING):
        ax = DRAWINGS[name](lang=lang)
        for suffix in ("png", "svg"):
            ax.figure.savefig(tmp_path / f"plot.{suffix}")
    assert caplog.records == []


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_given_axes_is_drawn_on_and_returned(name):
    figure, ax = plt.subplots()
    assert DRAWINGS[name](ax=ax) is ax
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()  # warnings are errors


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize("name", DRAWINGS)
def test_chinese_is_legible_on_a_given_axes(name):
    figure, ax = plt.subplots()
    DRAWINGS[name](ax=ax, lang="zh")
    figure.canvas.draw()  # a missing character warns, and warnings are errors


@pytest.mark.parametrize("name", DRAWINGS)
def test_without_an_axes_there_is_a_new_figure(name):
    current = plt.subplots()[1]
    ax = DRAWINGS[name]()
    assert ax.figure is not current.figure
    assert not current.has_data()


@pytest.mark.parametrize("name", DRAWINGS)
def test_global_settings_stay_as_they_are(name):
    before = dict(mpl.rcParams)
    DRAWINGS[name](lang="zh")
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", DRAWINGS)
def test_both_languages_draw_the_same_data_in_their_own_words(name):
    english, chinese = DRAWINGS[name](), DRAWINGS[name](lang="zh")
    for part in ("lines", "patches", "collections", "images"):
        assert len(getattr(english, part)) == len(getattr(chinese, part))
    for one, other in zip(english.lines, chinese.lines, strict=True):
        np.testing.assert_array_equal(one.get_xydata(), other.get_xydata())
    assert english.get_title(loc="left") != chinese.get_title(loc="left")
    assert english.get_xlabel() != chinese.get_xlabel()


@pytest.mark.parametrize("size", [(3.2, 2.6), (16, 9)])
@pytest.mark.parametrize("name", DRAWINGS)
def test_small_and_large_figures_hold_title_and_labels(name, size):
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    DRAWINGS[name](ax=ax)
    figure.canvas.draw()
    box = ax.get_window_extent()
    assert box.width > 0.25 * figure.bbox.width
    assert box.height > 0.25 * figure.bbox.height
    below = ax.xaxis.label.get_window_extent()
    assert below.y0 >= -1
    assert below.width <= 1.02 * figure.bbox.width


# ---- purchases and the latest of them --------------------------------------------


def test_matrix_draws_each_cell_where_its_customers_are():
    matrix = make_matrix()
    ax = plots.plot_frequency_recency(matrix)
    (image,) = ax.images
    drawn = image.get_array().filled(np.nan)
    np.testing.assert_array_equal(drawn, matrix.expected_purchases)
    # cells are centred on 0, 30, 60 days and on 1, 2, 3 purchases, fewest below
    assert image.get_extent() == [-15, 75, 0.5, 3.5]
    assert image.origin == "lower"
    assert (image.norm.vmin, image.norm.vmax) == (0, 2.5)


def test_matrix_leaves_cells_blank_that_nobody_can_be_in():
    (image,) = plots.plot_p_alive(make_matrix()).images
    mask = np.ma.getmaskarray(image.get_array())
    np.testing.assert_array_equal(mask, np.isnan(make_matrix().p_alive))
    assert image.to_rgba(image.get_array())[mask][:, 3].max() == 0  # transparent


def test_p_alive_has_a_scale_from_nothing_to_certainty():
    ax = plots.plot_p_alive(make_matrix())
    (image,) = ax.images
    assert (image.norm.vmin, image.norm.vmax) == (0, 1)
    (bar,) = [a for a in ax.figure.axes if a is not ax]
    assert bar.get_ylabel() == "P(alive) (%)"
    ax.figure.canvas.draw()
    assert [t.get_text() for t in bar.get_yticklabels()][-1] == "100"


def test_matrix_says_what_the_colours_and_rows_mean():
    ax = plots.plot_frequency_recency(make_matrix())
    (bar,) = [a for a in ax.figure.axes if a is not ax]
    assert bar.get_ylabel() == "expected purchases"
    assert ax.get_title(loc="left") == "Expected purchases in the next 90 d"
    assert "first purchase 60 d ago" in ax.get_xlabel()
    # 0.3 * 2.5 = 0.75, and P(alive) of those who bought once
    assert "bought once: 0.75" in words(ax)
    assert "bought once: 30.0 %" in words(plots.plot_p_alive(make_matrix()))


def test_matrix_where_nothing_is_expected_is_drawn():
    matrix = make_matrix()
    nothing = matrix._replace(expected_purchases=matrix.expected_purchases * 0)
    (image,) = plots.plot_frequency_recency(nothing).images
    assert (image.norm.vmin, image.norm.vmax) == (0, 1)


def test_matrix_of_one_cell_is_drawn():
    one = np.array([[0.5]])
    matrix = FrequencyRecency(np.ones(1), np.zeros(1), 0.0, 30.0, one, one)
    ax = plots.plot_p_alive(matrix)
    ax.figure.canvas.draw()
    assert ax.images[0].get_extent() == [-0.5, 0.5, 0.5, 1.5]


# ---- tracking --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "suffix"),
    [(plots.plot_tracking, ""), (plots.plot_cumulative, "_so_far")],
)
def test_weeks_are_drawn_at_their_last_day(draw, suffix):
    backtest = make_backtest()
    ax = draw(backtest)
    for name in ("actual", "expected"):
        drawn = line(ax, name)
        days = [num2date(x).date() for x in drawn.get_xdata()]
        assert days == backtest.weeks["last_day"].tolist()
        expected = backtest.weeks[f"{name}{suffix}"]
        np.testing.assert_array_equal(drawn.get_ydata(), expected)


@pytest.mark.parametrize("draw", [plots.plot_tracking, plots.plot_cumulative])
def test_the_cut_is_marked_and_the_holdout_is_shaded(draw):
    ax = draw(make_backtest())
    cut = date2num(AT)
    (span,) = ax.patches
    box = span.get_extents().transformed(ax.transData.inverted())
    # the 20th week ends 20 * 7 days after the start, 3 weeks after the cut
    np.testing.assert_allclose([box.x0, box.x1], [cut, date2num(START) + 140])
    marks = [drawn for drawn in ax.lines if set(drawn.get_xdata()) == {cut}]
    assert len(marks) == 1
    assert "shaded: holdout, 21 d after 2026-08-29" in ax.get_xlabel()
    assert "2,357" in ax.get_ylabel()


def test_a_shorter_last_week_stands_apart():
    backtest = make_backtest(weeks=make_weeks(last=3))
    ax = plots.plot_tracking(backtest)
    assert len(line(ax, "actual").get_xdata()) == 19
    hollow = [d for d in ax.lines if d.get_marker() == "o" and len(d.get_xdata()) == 1]
    last = backtest.weeks.iloc[-1]
    assert [d.get_ydata()[0] for d in hollow] == [last["actual"], last["expected"]]
    assert {d.get_markerfacecolor() for d in hollow} == {ax.get_facecolor()}
    assert "hollow: last week, 3 d only" in ax.get_xlabel()


def test_cumulated_weeks_need_no_mark_of_a_shorter_one():
    ax = plots.plot_cumulative(make_backtest(weeks=make_weeks(last=3)))
    assert len(line(ax, "actual").get_xdata()) == 20
    assert "hollow" not in ax.get_xlabel()
    assert "hollow" not in plots.plot_tracking(make_backtest()).get_xlabel()


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("draw", [plots.plot_tracking, plots.plot_cumulative])
def test_a_backtest_of_a_week_or_two_is_drawn_with_its_days(draw, n):
    cut = START + timedelta(days=7 * n - 7)
    ax = draw(make_backtest(weeks=make_weeks(n), at=cut, horizon_days=7))
    ax.figure.canvas.draw()
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        f"{START + timedelta(days=7 * (i + 1))}" for i in range(n)
    ]
    assert line(ax, "actual").get_marker() == "o"  # one point makes no line


def test_dates_are_figures_in_both_languages():
    for lang in ("en", "zh"):
        ax = plots.plot_tracking(make_backtest(), lang=lang)
        ax.figure.canvas.draw()
        ticks = [t.get_text() for t in ax.get_xticklabels()]
        assert len(ticks) > 2
        assert all(set(t) <= set("0123456789-") for t in ticks)


# ---- calibration -----------------------------------------------------------------


@pytest.mark.parametrize("measure", ["purchases", "value"])
def test_calibration_draws_tenths_with_intervals_and_the_diagonal(measure):
    backtest = make_backtest()
    rows = backtest.deciles[backtest.deciles["measure"] == measure]
    ax = plots.plot_calibration(backtest, measure=measure)
    (bars,) = ax.containers
    np.testing.assert_allclose(bars.lines[0].get_xdata(), rows["predicted"])
    np.testing.assert_allclose(bars.lines[0].get_ydata(), rows["actual"])
    np.testing.assert_allclose(whiskers(ax)[:, 0, 1], rows["actual_low"], atol=1e-12)
    np.testing.assert_allclose(whiskers(ax)[:, 1, 1], rows["actual_high"])
    diagonal = line(ax, "actual = predicted")
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert diagonal.get_xdata()[1] > rows["actual_high"].max()


def test_calibration_spreads_small_numbers_by_square_roots():
    ax = plots.plot_calibration(make_backtest())
    (a, b, c) = ax.transData.transform([(0, 0), (0.25, 0.25), (1, 1)])
    np.testing.assert_allclose(c - a, 2 * (b - a))  # sqrt(1) = 2 sqrt(0.25)
    ax.figure.canvas.draw()
    ticks = [t.get_text() for t in ax.get_xticklabels()]
    # top is 1.05 * 2.8 = 2.94; sqrt(0.1 / 2.94) is less than 0.1 from the tick of 0.2
    assert ticks == ["2", "1", "0.5", "0.2", "0.05", "0"]


def test_calibration_says_what_is_measured_and_in_which_money():
    value = plots.plot_calibration(make_backtest(), measure="value")
    assert value.get_xlabel().startswith("predicted value per customer, 21 d")
    assert value.get_ylabel() == "actual (CNY)"
    unknown = make_backtest(model=make_fitted(currency=None))
    ax = plots.plot_calibration(unknown, measure="value")
    assert ax.get_ylabel() == "actual (currency of the orders)"
    assert {"1", "2", "3"} <= set(words(plots.plot_calibration(make_backtest())))


def test_calibration_of_a_measure_that_is_none_is_an_error():
    with pytest.raises(SettingError, match="measure must be one of 'purchases', 'val"):
        plots.plot_calibration(make_backtest(), measure="profit")


def test_calibration_of_value_without_a_spend_model_says_so():
    deciles = make_backtest().deciles.head(3)
    backtest = make_backtest(deciles=deciles, model=make_fitted(spend=None))
    ax = plots.plot_calibration(backtest, measure="value")
    assert "no model of order values" in words(ax)
    assert not ax.containers
    assert len(plots.plot_calibration(backtest).containers) == 1


def test_calibration_draws_zeros_losses_and_groups_of_one():
    rows = [
        ("value", 1, 1, 4.0, 3.0, NAN, NAN),
        ("value", 2, 1, 1.0, 0.0, 0.0, 0.0),
        ("value", 3, 1, 0.0, -2.0, -3.0, -1.0),  # refunds
    ]
    backtest = make_backtest(deciles=frame("backtest_deciles", rows))
    ax = plots.plot_calibration(backtest, measure="value")
    ax.figure.canvas.draw()
    assert ax.get_ylim()[0] <= -2.0
    nothing = frame("backtest_deciles", [("purchases", 1, 9, 0.0, 0.0, 0.0, 0.0)])
    ax = plots.plot_calibration(make_backtest(deciles=nothing))
    ax.figure.canvas.draw()
    assert ax.get_xlim()[1] == 1


# ---- frequencies -----------------------------------------------------------------


def test_frequencies_draw_both_means_and_the_number_of_customers():
    backtest = make_backtest()
    ax = plots.plot_frequencies(backtest)
    for name in ("actual", "predicted"):
        drawn = line(ax, name).get_ydata()
        np.testing.assert_array_equal(drawn, backtest.frequencies[name])
    labels = [t.get_text() for t in ax.get_xticklabels()]
    assert labels == ["1\n1,318", "2\n436", "3+\n207"]
    assert "2026-08-29" in ax.get_xlabel()
    assert "21 d" in ax.get_ylabel()


def test_frequencies_of_customers_who_all_bought_once_are_drawn():
    table = make_backtest().frequencies.head(1)
    ax = plots.plot_frequencies(make_backtest(frequencies=table))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1+\n1,318"]


# ---- spend -----------------------------------------------------------------------


def test_spend_draws_customers_as_bars_and_the_model_as_a_line():
    ax = plots.plot_spend(make_spend())
    table = make_spend().table
    bars = [p for p in ax.patches if p.get_width() > 0]
    np.testing.assert_allclose([b.get_height() for b in bars], table["share"])
    np.testing.assert_allclose([b.get_x() for b in bars], table["low_value"])
    np.testing.assert_allclose([b.get_width() for b in bars], 10.0)
    model = line(ax, "Gamma-Gamma")
    np.testing.assert_allclose(model.get_xdata(), [5, 15, 25])
    np.testing.assert_allclose(model.get_ydata(), [0.15, 0.45, 0.3])
    assert to_rgb(model.get_color()) == MODEL_COLOUR


def test_the_open_bar_of_spend_is_named_and_has_a_dot_of_its_own():
    ax = plots.plot_spend(make_spend())
    dots = [d.get_xydata().tolist() for d in ax.lines if d.get_linestyle() == "None"]
    assert dots == [[[35.0, 0.1]]]
    assert "≥ 30" in words(ax)


def test_spend_names_the_currency_and_the_customers():
    ax = plots.plot_spend(make_spend())
    assert ax.get_xlabel() == "mean repeat purchase (CNY)"
    assert ax.get_ylabel() == "share of 100 customers (%)"
    unknown = plots.plot_spend(make_spend(currency=None))
    assert unknown.get_xlabel() == "mean repeat purchase (currency of the orders)"
    dollars = plots.plot_spend(make_spend(currency="$ or $"))
    assert dollars.get_xlabel() == r"mean repeat purchase (\$ or \$)"


# ---- parameters ------------------------------------------------------------------


def test_lifetime_draws_every_parameter_with_its_interval():
    ax = plots.plot_lifetime(make_fitted())
    ends = [list(drawn.get_xdata()) for drawn in ax.lines]
    assert ends == [[0.46, 0.82], [0.62], [48.6, 75.5], [60.6], [3.5, 6.2], [4.7]]
    assert "0.62 [0.46, 0.82]" in words(ax)
    assert ax.get_title(loc="left") == "MBG/NBD: parameters with 95 % intervals"
    assert ax.get_xscale() == "log"
    assert "7 d" in ax.get_xlabel()
    assert "data to 2026-10-28" in ax.get_xlabel()


def test_lifetime_leaves_out_coefficients_which_may_be_negative():
    ax = plots.plot_lifetime(make_lifted())
    assert [t.get_text() for t in ax.get_yticklabels()] == ["r", "alpha", "p"]
    assert min(drawn.get_xdata().min() for drawn in ax.lines) > 0


def test_parameters_that_the_data_do_not_determine_are_hollow_and_named():
    ax = plots.plot_lifetime(make_bound())
    r, alpha = ax.lines  # no interval
    assert r.get_markerfacecolor() == ax.get_facecolor()
    assert to_rgb(alpha.get_markerfacecolor()) == MODEL_COLOUR
    assert "0.62\nnot determined by the data" in words(ax)
    assert "60.6" in words(ax)


@pytest.mark.parametrize("factor", [1.0001, 1.5, 10.0, 1e5, 1e13])
def test_parameters_of_any_size_have_ticks_that_do_not_touch(factor):
    table = make_fitted().summary().head(2)
    table = table.assign(estimate=[1.0, factor], low=NAN, high=NAN)
    ax = plots.plot_lifetime(make_fitted(summary=table.copy))
    ax.figure.canvas.draw()
    shown = [t.label1 for t in ax.xaxis.get_major_ticks() if t.label1.get_text()]
    left, right = ax.get_window_extent().x0 - 1, ax.get_window_extent().x1 + 1
    boxes = [t.get_window_extent() for t in shown]
    boxes = [b for b in boxes if left <= (b.x0 + b.x1) / 2 <= right]
    assert 2 <= len(boxes) <= 14
    boxes.sort(key=lambda b: b.x0)
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


# ---- lifts -----------------------------------------------------------------------


def test_lifts_draw_every_ratio_with_its_interval_and_a_line_at_one():
    ax = plots.plot_lifts(make_lifted())
    drawn = [list(d.get_xdata()) for d in ax.lines]
    for _, row in make_lifted().lifts().iterrows():
        assert [row["ratio"]] in drawn
        assert [row["ratio_low"], row["ratio_high"]] in drawn
    assert [1, 1] in drawn
    assert len(drawn) == 2 * 4 + 1
    assert ax.get_xscale() == "log"
    assert "0.82 [0.7, 0.96]" in words(ax)


def test_lifts_name_process_term_and_reference():
    shown = words(plots.plot_lifts(make_lifted()))
    assert {"purchase rate", "leaving", "order value"} <= set(shown)
    assert shown.count("source: paid\nvs referred") == 2
    assert shown.count("age:\none unit more") == 2
    chinese = words(plots.plot_lifts(make_lifted(), lang="zh"))
    assert {"购买频率", "流失", "每次购买金额"} <= set(chinese)
    assert "source：付费\n对比：被推荐" in chinese


def test_lifts_without_an_interval_draw_the_ratio_alone():
    ax = plots.plot_lifts(make_lifted(low=NAN))
    assert [0.82] in [list(d.get_xdata()) for d in ax.lines]
    assert "0.82" in words(ax)
    assert len(ax.lines) == 2 * 4  # one interval less, and the line at 1


def test_lifts_of_a_model_without_covariates_say_so():
    assert "fitted without covariates" in words(plots.plot_lifts(make_fitted()))


# ---- comparison ------------------------------------------------------------------


def test_comparison_draws_every_aic_against_that_of_the_chosen():
    ax = plots.plot_comparison(make_comparison())
    dots = [d for d in ax.lines if d.get_marker() == "o"]
    assert [d.get_xdata()[0] for d in dots] == [-61.5, 0.0, 16.9, 1826.5]
    assert [d.get_ydata()[0] for d in dots] == [0, 1, 2, 3]
    assert {"-61.5", "0", "+16.9", "+1,826.5"} <= set(words(ax))
    low, high = ax.get_xlim()
    assert low < -61.5 < 1826.5 < high


def test_comparison_marks_the_chosen_model_and_those_that_stand_beside():
    ax = plots.plot_comparison(make_comparison())
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels == [
        "BG/NBD\ncomparison only", "MBG/NBD\nchosen", "Pareto/NBD",
        "NBD\ncomparison only", "pdo",
    ]  # fmt: skip
    colours = [d.get_color() for d in ax.lines if d.get_marker() == "o"]
    beside = SOURCE_COLOURS["organic"]
    assert colours == [
        beside, STAGE_COLOURS["repurchase"], STAGE_COLOURS["conversion"], beside
    ]  # fmt: skip
    assert "does not fit" in words(ax)


def test_comparison_shows_the_log_scores_of_a_holdout():
    shown = words(plots.plot_comparison(make_comparison()))
    assert {"-0.7300", "-0.7400", "-0.7500", "-1.0300"} <= set(shown)
    assert "holdout\nlog score" in shown
    without = words(plots.plot_comparison(make_comparison(holdout=False)))
    assert not any("holdout" in t or t.startswith("-0.7") for t in without)


def test_comparison_of_one_model_is_drawn():
    table = make_comparison().table.iloc[[1]]
    one = ModelComparison(table, "mbg_nbd", "", None, "", {}, {}, None)
    ax = plots.plot_comparison(one)
    ax.figure.canvas.draw()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["MBG/NBD\nchosen"]


# ---- one call for every result ---------------------------------------------------


@pytest.fixture(scope="module")
def events():
    """A simulated shop."""
    shop = sl.simulate(n_visitors=2000, seed=7)
    return sl.read_events(shop.orders, shop.referrals, visits=shop.visits)


@pytest.fixture(scope="module")
def fitted(events):
    """A model that was chosen among others."""
    return sl.fit_lifetime(events)


@pytest.fixture(scope="module")
def backtest(events):
    """The last 60 days predicted."""
    return sl.backtest_lifetime(events, horizon_days=60, model="mbg_nbd")


def test_plot_draws_every_result_of_a_lifetime_model(fitted, backtest):
    titles = {
        fitted: f"{fitted.label}: parameters with 95 % intervals",
        fitted.choice: "Models of purchases, by AIC",
        backtest: "MBG/NBD: repeat purchases per week",
        sl.spend_distribution(fitted): "Mean repeat purchase of each customer",
    }
    for result, title in titles.items():
        assert sl.plot(result).get_title(loc="left") == title
    ax = sl.plot(fitted.matrix(90))
    assert ax.get_title(loc="left") == "Expected purchases in the next 90 d"


def test_real_results_are_drawn_as_they_are(fitted, backtest):
    matrix = fitted.matrix(90)
    (image,) = plots.plot_p_alive(matrix).images
    np.testing.assert_array_equal(image.get_array().filled(np.nan), matrix.p_alive)
    ax = plots.plot_calibration(backtest, measure="value")
    rows = backtest.deciles[backtest.deciles["measure"] == "value"]
    np.testing.assert_allclose(whiskers(ax)[:, 1, 1], rows["actual_high"])
    drawn = line(plots.plot_cumulative(backtest), "actual").get_ydata()
    np.testing.assert_array_equal(drawn, backtest.weeks["actual_so_far"])
    table = fitted.summary()
    ax = plots.plot_lifetime(fitted)
    intervals = [list(d.get_xdata()) for d in ax.lines if len(d.get_xdata()) == 2]
    np.testing.assert_allclose(intervals, table[["low", "high"]])


def test_lifts_of_a_fitted_model_are_drawn(events):
    model = sl.fit_lifetime(events, model="mbg_nbd", covariates=["source"])
    ax = plots.plot_lifts(model)
    dots = [d.get_xdata()[0] for d in ax.lines if d.get_marker() == "o"]
    np.testing.assert_allclose(dots, model.lifts()["ratio"])
    assert len(plots.plot_lifetime(model).get_yticklabels()) == 7  # r alpha a b p q v
