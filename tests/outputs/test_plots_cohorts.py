"""Pictures of cohorts: the triangle, retention, and what customers are worth."""

import warnings
from datetime import date
from functools import cache

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.outputs import plots
from selfloop.outputs.plots.style import STAGE_COLOURS

END = date(2026, 10, 28)
GREEN = mpl.colors.to_rgb(STAGE_COLOURS["repurchase"])
ORANGE = mpl.colors.to_rgb(STAGE_COLOURS["referral"])
HOSTILE = "<script>alert(1)</script> $x$ " * 3
METRICS = ("share_active", "n_orders", "revenue", "value_per_customer")


@pytest.fixture(autouse=True)
def close_figures():
    """No figure outlives its test."""
    plt.close("all")
    yield
    plt.close("all")


def events_of(bought, end=END):
    """Read orders of 5: groups of people by month."""
    rows = [(f"{who}{i}", f"{m}-10", 5) for who, n, m in bought for i in range(n)]
    orders = pd.DataFrame(rows, columns=["customer_id", "ordered_at", "amount"])
    return sl.read_events(orders, end=end)


@cache
def three() -> sl.Events:
    """Three cohorts; the last diagonal is partial, what lies beyond is not there."""
    return events_of([
        ("a", 100, "2026-08"), ("a", 20, "2026-09"), ("a", 12, "2026-10"),
        ("b", 50, "2026-09"), ("b", 4, "2026-10"), ("c", 70, "2026-10"),
    ])  # fmt: skip


@cache
def five() -> sl.Events:
    """Five cohorts, of whom fewer and fewer come back; four months can be told."""
    bought = []
    for i in range(5):
        n = 60 + 10 * i
        bought += [(f"c{i}_", n, f"2026-{6 + i:02d}")]
        bought += [
            (f"c{i}_", n // (2 + a), f"2026-{6 + i + a:02d}") for a in range(1, 5 - i)
        ]
    return events_of(bought, end=date(2026, 10, 31))


def made(what, events=five, **settings):
    """Return a result to draw."""
    found = sl.cohorts(events(), **settings)
    return found if what == "cohorts" else sl.project_cohorts(found, what)


DRAWINGS = {
    **{
        f"cohorts_{m}": lambda m=m, **o: plots.plot_cohorts(
            made("cohorts", three), metric=m, **o
        )
        for m in METRICS
    },
    "retention": lambda **o: plots.plot_retention(made("cohorts"), **o),
    "retention_ahead": lambda **o: plots.plot_retention(made("share_active"), **o),
    "value": lambda **o: plots.plot_cohort_value(made("cohorts"), **o),
    "value_ahead": lambda **o: plots.plot_cohort_value(made("revenue"), **o),
    "orders_ahead": lambda **o: plots.plot_cohort_value(made("n_orders"), **o),
}


def words(ax) -> list[str]:
    """Every text of an Axes."""
    found = [t.get_text() for t in ax.texts] + [ax.get_title(loc="left")]
    found += [t.get_text() for t in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    if ax.get_legend():
        found += [t.get_text() for t in ax.get_legend().get_texts()]
    return [t for t in (*found, ax.get_xlabel(), ax.get_ylabel()) if t]


def lines(ax, colour):
    """Lines of one colour as pairs of lists, with their styles."""
    wanted = mpl.colors.to_rgb(colour)
    return [
        (line.get_xdata().tolist(), line.get_ydata().tolist(), line.get_linestyle())
        for line in ax.lines
        if mpl.colors.to_rgb(line.get_color()) == wanted
    ]


# ---- what all drawings keep


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_given_axes_is_drawn_on_and_returned(name):
    figure, ax = plt.subplots()
    assert DRAWINGS[name](ax=ax) is ax
    assert plt.get_fignums() == [figure.number]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", DRAWINGS)
def test_axes_are_named_and_can_be_saved(name, lang, tmp_path):
    before = dict(mpl.rcParams)
    ax = DRAWINGS[name](lang=lang)
    assert dict(mpl.rcParams) == before
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    ax.figure.savefig(tmp_path / "plot.png")


@pytest.mark.parametrize("name", DRAWINGS)
def test_both_languages_draw_the_same_data(name):
    english, chinese = DRAWINGS[name](), DRAWINGS[name](lang="zh")
    assert len(english.patches) == len(chinese.patches)
    assert len(english.lines) == len(chinese.lines)
    assert len(english.collections) == len(chinese.collections)
    assert words(english) != words(chinese)


def test_drawing_does_not_change_the_result():
    ahead = made("share_active")
    table, cells = ahead.table.copy(), ahead.cohorts.table.copy()
    plots.plot_retention(ahead)
    plots.plot_cohorts(ahead.cohorts)
    pd.testing.assert_frame_equal(ahead.table, table)
    pd.testing.assert_frame_equal(ahead.cohorts.table, cells)


# ---- the triangle


def test_cohorts_have_one_colour_scale_from_zero_and_blanks_where_nothing_is_known():
    ax = plots.plot_cohorts(made("cohorts", three))
    (image,) = ax.images
    # Month 0 is left out; the largest share 0.20 is the top of the scale.
    expected = [[0.2, 0.12], [0.08, np.nan], [np.nan, np.nan]]
    np.testing.assert_allclose(image.get_array().filled(np.nan), expected)
    assert (image.norm.vmin, image.norm.vmax) == (0, pytest.approx(0.2))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("n_orders", [[20, 12], [4, np.nan], [np.nan] * 2]),
        ("revenue", [[100, 60], [20, np.nan], [np.nan] * 2]),
        # 5 of each, and 5 more of 20, 12 of 100 and 4 of 50.
        (
            "value_per_customer",
            [[5, 6, 6.6], [5, 5.4, np.nan], [5, np.nan, np.nan]],
        ),
    ],
)
def test_cells_show_what_is_asked_for(metric, expected):
    ax = plots.plot_cohorts(made("cohorts", three), metric=metric, currency="GBP")
    (image,) = ax.images
    np.testing.assert_allclose(image.get_array().filled(np.nan), expected)
    assert (image.norm.vmin, image.norm.vmax) == (0, np.nanmax(expected))
    bar = ax.figure.axes[-1].get_ylabel()
    assert ("GBP" in bar) == (metric != "n_orders")


def test_partial_cells_are_hatched_and_no_others():
    ax = plots.plot_cohorts(made("cohorts", three))
    hatched = {(p.get_x() + 0.5, p.get_y() + 0.5) for p in ax.patches if p.get_hatch()}
    assert hatched == {(2, 0), (1, 1)}  # (age, row)
    ax = plots.plot_cohorts(made("cohorts", three), metric="value_per_customer")
    hatched = {(p.get_x() + 0.5, p.get_y() + 0.5) for p in ax.patches if p.get_hatch()}
    assert hatched == {(2, 0), (1, 1), (0, 2)}


def test_cohorts_show_percent_and_size():
    shown = words(plots.plot_cohorts(made("cohorts", three)))
    assert {"20", "12", "8"} <= set(shown)
    assert any(t.split() == ["2026-09", "50"] for t in shown)


def test_many_cohorts_leave_out_the_numbers_and_say_how_many_are_shown():
    days = pd.date_range("2026-01-01", periods=70)
    orders = pd.DataFrame({
        "customer_id": [f"p{i}" for i in range(70)] * 2,
        "ordered_at": [*days, *(days + pd.Timedelta(days=1))],
        "amount": 1.0,
    })  # fmt: skip
    found = sl.cohorts(sl.read_events(orders), "day")
    ax = plots.plot_cohorts(found)
    assert "100" not in [t.get_text() for t in ax.texts]
    assert "the latest 60 of 70 cohorts" in words(ax)
    assert ax.images[0].get_array().shape[0] == 60
    assert ax.get_ylabel() == "day of the first purchase"
    ax = plots.plot_cohorts(found, lang="zh")
    assert "共 70 个群组，显示最近 60 个" in words(ax)


@pytest.mark.parametrize(
    ("period", "clock", "age", "cohort"),
    [
        ("week", "calendar", "weeks since", "week of the first purchase (Monday)"),
        ("quarter", "calendar", "quarters since", "quarter of"),
        ("month", "rolling", "blocks of 30 days", "month of"),
    ],
)
def test_axes_say_what_ages_are(period, clock, age, cohort):
    ax = plots.plot_cohorts(
        sl.cohorts(three(), period, clock=clock), metric="value_per_customer"
    )
    assert age in ax.get_xlabel()
    assert cohort in ax.get_ylabel()


def test_one_period_has_nothing_to_show():
    one = sl.cohorts(events_of([("a", 3, "2026-10")]))
    assert "no data" in words(plots.plot_cohorts(one))
    assert "no data" in words(plots.plot_retention(one))


@pytest.mark.parametrize("metric", METRICS)
def test_money_that_came_back_leaves_a_scale(metric):
    orders = pd.DataFrame({
        "customer_id": ["a", "a", "b"], "amount": [5, -9, 5],
        "ordered_at": ["2026-01-01", "2026-02-02", "2026-02-03"],
    })  # fmt: skip
    found = sl.cohorts(sl.read_events(orders, end="2026-03-31"))
    ax = plots.plot_cohorts(found, metric=metric)
    assert ax.images[0].norm.vmax > 0
    if metric == "revenue":
        assert "-9" in words(ax)


# ---- segments and hostile names


@cache
def segmented() -> sl.Events:
    """Two channels, the larger with a hostile name."""
    rows = [(f"x{i}", "2026-01-10", HOSTILE) for i in range(9)]
    rows += [(f"x{i}", "2026-02-10", HOSTILE) for i in range(3)]
    rows += [(f"y{i}", "2026-01-10", "ads") for i in range(4)]
    rows += [("y0", "2026-02-10", "ads")]
    columns = ["customer_id", "ordered_at", "channel"]
    orders = pd.DataFrame(rows, columns=columns).assign(amount=1.0)
    return sl.read_events(orders, end="2026-03-31")


def test_the_largest_segment_is_drawn_or_the_one_named():
    found = sl.cohorts(segmented(), by="channel")
    ax = plots.plot_cohorts(found)
    np.testing.assert_allclose(ax.images[0].get_array().ravel(), [3 / 9, 0])
    note = [t for t in words(ax) if "script" in t]
    assert len(note) == 1
    assert len(note[0].split(", one of")[0]) < 40
    ax.figure.canvas.draw()
    ax = plots.plot_cohorts(found, segment="ads")
    np.testing.assert_allclose(ax.images[0].get_array().ravel(), [1 / 4, 0])
    assert any(t.startswith("channel: ads, one of 2") for t in words(ax))
    ax = plots.plot_retention(found, segment="ads")
    assert lines(ax, GREEN)[0][1] == [1 / 4, 0]
    assert any(t.startswith("channel: ads, one of 2") for t in words(ax))


def test_settings_that_there_are_not():
    found, ahead = made("cohorts"), made("revenue")
    with pytest.raises(SettingError, match="metric must be one of"):
        plots.plot_cohorts(found, metric="size")
    with pytest.raises(SettingError, match="segment must be one of 'all'; got 'x'"):
        plots.plot_cohorts(found, segment="x")
    with pytest.raises(SettingError, match="draws a projection of 'share_active'"):
        plots.plot_retention(ahead)
    with pytest.raises(SettingError, match="which plot_retention draws"):
        plots.plot_cohort_value(made("share_active"))
    with pytest.raises(SettingError, match="cohort must be one of 2026-06"):
        plots.plot_cohort_value(ahead, cohort="2025-01")
    with pytest.raises(SettingError, match="pass one of project_cohorts"):
        plots.plot_cohort_value(found, cohort="2026-06")


# ---- curves


def test_the_mean_and_its_band_are_those_of_the_table():
    found = made("cohorts")
    mean = found.mean_by_age().set_index("age")
    ax = plots.plot_retention(found)
    ((age, share, _),) = lines(ax, GREEN)
    assert age == [1, 2, 3, 4]
    assert share == mean.loc[1:, "share_active"].tolist()
    (band,) = ax.collections
    ends = band.get_paths()[0].get_extents()
    assert ends.y0 == pytest.approx(mean.loc[1:, "share_active_low"].min())
    assert ends.y1 == pytest.approx(mean.loc[1:, "share_active_high"].max())
    ax = plots.plot_cohort_value(found)
    ((age, value, _),) = lines(ax, GREEN)
    assert age == [0, 1, 2, 3, 4]
    assert value == mean["value_per_customer"].tolist()
    assert len(ax.collections) == 1


def test_each_cohort_has_a_line_dotted_where_it_is_not_over():
    ax = plots.plot_retention(made("cohorts", three))
    dark = mpl.colors.to_rgb(ax.xaxis.label.get_color())
    thin = lines(ax, dark)
    # The oldest has finished age 1 and not 2; the others nothing after age 0.
    assert ([1], [0.2], "-") in thin
    assert ([1, 2], [0.2, 0.12], ":") in thin
    assert "not over for everybody" in words(ax)
    ax = plots.plot_cohort_value(made("cohorts", three))
    thin = lines(ax, dark)
    assert ([0, 1], [5, 6], "-") in thin
    assert ([1, 2], [6, 6.6], ":") in thin
    assert ([0, 1], [5, 5.4], ":") in thin


def test_nothing_is_dotted_when_all_is_over():
    shown = words(plots.plot_retention(made("cohorts")))
    assert "not over for everybody" not in shown
    assert "each cohort (n = 4)" in shown


@pytest.mark.parametrize("measure", ["revenue", "n_orders"])
def test_the_future_of_the_youngest_grown_cohort_is_dashed(measure):
    ahead = made(measure)
    rows = ahead.table[ahead.table["cohort"] == "2026-09"].set_index("age")
    past, dashes = lines(plots.plot_cohort_value(ahead), ORANGE)
    assert past[:2] == ([0, 1], rows.loc[:1, "expected"].tolist())
    assert dashes[:2] == ([1, 2, 3], rows.loc[1:3, "expected"].tolist())
    assert past[2] == "-"
    assert dashes[2] == "--"
    ax = plots.plot_cohort_value(ahead)
    band = ax.collections[-1].get_paths()[0].get_extents()
    # The band opens from what is known now.
    assert band.y0 == pytest.approx(
        min(rows.loc[1, "expected"], rows.loc[2:3, "expected_low"].min())
    )
    assert band.y1 == pytest.approx(rows.loc[3, "expected_high"])
    assert "2026-09, and what is expected" in words(ax)


def test_another_cohort_can_be_named():
    ahead = made("share_active")
    past, dashes = lines(plots.plot_retention(ahead, cohort="2026-08"), ORANGE)
    rows = ahead.table[ahead.table["cohort"] == "2026-08"].set_index("age")
    assert past[0] == [1, 2]
    assert dashes[:2] == ([2, 3], rows.loc[2:3, "expected"].tolist())
    # The oldest has lived all that is known: no future, and nothing to excuse.
    ax = plots.plot_retention(ahead, cohort="2026-06")
    assert not any("not projected" in t for t in words(ax))


def test_why_nothing_is_projected_is_said_in_both_languages():
    few = events_of([
        ("a", 9, "2026-06"), ("a", 4, "2026-07"), ("a", 3, "2026-08"),
        ("b", 8, "2026-07"), ("b", 4, "2026-08"), ("c", 8, "2026-08"),
    ], end=date(2026, 8, 31))  # fmt: skip
    ahead = sl.project_cohorts(sl.cohorts(few))
    assert any("not projected: 8 people, need 30" in t for t in words(sl.plot(ahead)))
    shown = words(sl.plot(ahead, lang="zh"))
    assert any("未作预测：仅 8 人，至少需要 30 人" in t for t in shown)


def test_plot_draws_projections_by_their_measure():
    assert (
        sl.plot(made("share_active")).get_title(loc="left") == "Who comes back, by age"
    )
    title = sl.plot(made("revenue")).get_title(loc="left")
    assert title == "What a customer has spent, by age"
    ax = sl.plot(made("n_orders"), lang="zh")
    assert ax.get_title(loc="left") == "每位客户到各年龄的累计购买次数"


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("clock", ["calendar", "rolling"])
@pytest.mark.parametrize(
    "rows",
    [[(None, "2026-01-01", 5)], [("a", "2026-01-01", -5)], [("a", "2026-01-01", 5)]],
    ids=["guests", "refunds", "one person"],
)
def test_nobody_and_one_person_can_be_drawn(rows, clock, lang):
    orders = pd.DataFrame(rows, columns=["customer_id", "ordered_at", "amount"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.DataWarning)
        found = sl.cohorts(sl.read_events(orders), clock=clock)
    for metric in METRICS:
        plots.plot_cohorts(found, metric=metric, lang=lang).figure.canvas.draw()
    plots.plot_retention(found, lang=lang).figure.canvas.draw()
    plots.plot_cohort_value(found, lang=lang).figure.canvas.draw()
    for measure in ("revenue", "n_orders", "share_active"):
        ahead = sl.project_cohorts(found, measure)
        sl.plot(ahead, lang=lang).figure.canvas.draw()
        plt.close("all")
