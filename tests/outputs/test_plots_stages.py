"""Plots of stage times, of differences of segments and of trends: as in the tables."""

import dataclasses

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.outputs import plots

HOSTILE = ["$x^2$ sale", "a" * 80, "直播间" * 20, "%s {n} <b>", "two\nlines"]


@pytest.fixture(autouse=True)
def close_figures():
    """No figure outlives its test."""
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def events():
    """A simulated shop with channels in two scripts."""
    shop = sl.simulate(n_visitors=3000, seed=7)
    return sl.read_events(shop.orders, shop.referrals, visits=shop.visits)


@pytest.fixture(scope="module")
def times(events):
    return sl.stage_times(events)


@pytest.fixture(scope="module")
def compared(events):
    return sl.compare_segments(events, "channel")


def words(ax):
    """Every text of an Axes."""
    found = [t.get_text() for t in ax.texts] + [ax.get_title(loc="left")]
    found += [t.get_text() for t in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    if ax.get_legend():
        found += [t.get_text() for t in ax.get_legend().get_texts()]
    return [*found, ax.get_xlabel(), ax.get_ylabel()]


def test_curves_are_those_of_the_table(times):
    ax = plots.plot_stage_times(times)
    lines = {line.get_label().split(" (")[0]: line for line in ax.lines}
    for stage in ("conversion", "repurchase", "referral"):
        rows = times.curve[times.curve["stage"] == stage]
        drawn = lines[stage.capitalize()].get_xydata()
        np.testing.assert_allclose(drawn, rows[["day", "share_within"]].to_numpy())
    assert len(ax.collections) == 3
    rows = times.curve[times.curve["stage"] == "conversion"]
    corners = ax.collections[0].get_paths()[0].vertices
    assert corners[:, 1].max() == pytest.approx(rows["share_within_high"].max())


def test_a_single_curve_has_its_people_at_risk_below(times):
    ax = plots.plot_stage_times(times, stage="repurchase")
    rows = times.curve[times.curve["stage"] == "repurchase"].set_index("day")
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert len(labels) >= 3
    for label in labels:
        day, at_risk = label.split("\n")
        assert rows["n_at_risk"][int(day)] == int(at_risk.replace(",", ""))
    with pytest.raises(SettingError, match="stage must be one of"):
        plots.plot_stage_times(times, stage="traffic")


def test_segments_are_the_six_with_most_people(events):
    times = sl.stage_times(events, ("channel", "arrived_quarter"))
    ax = plots.plot_stage_times(times)
    assert len(ax.lines) == 6
    rows = times.quantiles[times.quantiles["stage"] == "repurchase"]
    sizes = rows.groupby(["segment", "segment_2"])["n_entered"].first()
    largest = sizes.nlargest(6).min()
    shown = [t.get_text() for t in ax.get_legend().get_texts()]
    n_shown = [int(t.rsplit("n = ", 1)[1].rstrip(")").replace(",", "")) for t in shown]
    assert min(n_shown) == largest


def test_a_missing_stage_says_why():
    orders = sl.simulate(n_visitors=500, seed=7).orders
    times = sl.stage_times(sl.read_events(orders))
    ax = plots.plot_stage_times(times, stage="conversion")
    assert any("visits" in word for word in words(ax))
    assert not ax.lines


def test_differences_are_those_of_the_table(compared):
    ax = plots.plot_segment_differences(compared)
    told = compared.table[compared.table["reason"] == ""]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    drawn = sorted(float(line.get_xdata()[0]) for line in dots)
    np.testing.assert_allclose(drawn, sorted(told["difference"]))
    arms = sorted(
        tuple(line.get_xdata())
        for line in ax.lines
        if line.get_marker() == "None" and len(set(line.get_xdata())) == 2
        and line.get_linewidth() > 1
    )  # fmt: skip
    ends = told[["difference_low", "difference_high"]].to_numpy()
    np.testing.assert_allclose(arms, sorted(map(tuple, ends)))
    paper = mpl.colors.to_hex(ax.get_facecolor())
    n_hollow = sum(
        mpl.colors.to_hex(line.get_markerfacecolor()) == paper for line in dots
    )
    assert n_hollow == (told["verdict"] == "open").sum()
    assert 0 < n_hollow < len(dots)


def test_what_is_not_drawn_is_said(compared, events):
    table = compared.table.copy()
    table.loc[:2, "reason"] = "5 observed for 90 days, need 30"
    ax = plots.plot_segment_differences(dataclasses.replace(compared, table=table))
    assert any("not drawn: 3 of" in word for word in words(ax))
    none = sl.compare_segments(events, "channel", min_at_risk=10**6)
    ax = plots.plot_segment_differences(none)
    assert any("fewer than 30 people" in word for word in words(ax))
    assert not ax.lines


def test_trends_are_those_of_the_table(events):
    funnel = sl.funnel(events, "arrived_quarter", windows_days=(30, 60))
    ax = plots.plot_funnel_trend(funnel, window_days=60)
    windows = funnel.windows
    rows = windows[(windows["window_days"] == 60) & windows["share_matured"].notna()]
    drawn = np.concatenate([bars[0].get_ydata() for bars in ax.containers])
    # Young cohorts of which part was observed so long have a hollow dot instead.
    hollow = windows[(windows["window_days"] == 60) & windows["share_matured"].isna()]
    expected = [*rows["share_matured"], *hollow["share_within"].dropna()]
    np.testing.assert_allclose(sorted(drawn), sorted(expected))
    with pytest.raises(SettingError, match="window_days must be one of 30, 60"):
        plots.plot_funnel_trend(funnel, window_days=90)
    with pytest.raises(SettingError, match="must be by one of arrived_month"):
        plots.plot_funnel_trend(sl.funnel(events))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_hostile_names_are_drawn_as_they_are(lang):
    shop = sl.simulate(n_visitors=1500, seed=7)
    names = dict(zip(shop.visits["channel"].unique(), HOSTILE, strict=False))
    visits = shop.visits.assign(channel=shop.visits["channel"].map(names))
    events = sl.read_events(shop.orders, visits=visits)
    for ax in (
        plots.plot_segment_differences(
            sl.compare_segments(events, "channel"), lang=lang
        ),
        plots.plot_stage_times(sl.stage_times(events, "channel"), lang=lang),
    ):
        ax.figure.canvas.draw()
        assert all("\n" not in name for name in words(ax) if "lines" in name)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_they_draw_on_a_given_axes_and_leave_settings_alone(
    lang, times, compared, events
):
    before = dict(mpl.rcParams)
    funnel = sl.funnel(events, "first_order_month")
    jobs = [
        (plots.plot_stage_times, times),
        (plots.plot_segment_differences, compared),
        (plots.plot_funnel_trend, funnel),
    ]
    for draw, result in jobs:
        _, ax = plt.subplots()
        assert draw(result, ax, lang=lang) is ax
        assert ax.get_title(loc="left")
    assert dict(mpl.rcParams) == before
    assert sl.plot(times, lang=lang).lines
    assert sl.plot(compared, lang=lang).lines


def test_the_caller_s_table_is_not_changed(times, compared):
    for result, name in ((times, "curve"), (compared, "table")):
        kept = getattr(result, name).copy()
        sl.plot(result)
        pd.testing.assert_frame_equal(getattr(result, name), kept)
