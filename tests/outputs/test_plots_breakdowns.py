"""Plots of breakdowns: order, names, what is left out; profiles and changes."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.outputs import plots
from selfloop.outputs.plots.lettering import cut
from selfloop.outputs.plots.months import place_of, places_between
from selfloop.outputs.plots.profile import AFTER, RATES, SO_FAR
from selfloop.outputs.text import text

HOSTILE = ["$x^2$ sale", "a" * 80, "直播间" * 20, "%s {n} <b>", "paid", "referral"]
STAGES = ("conversion", "repurchase", "referral")
LANGS = pytest.mark.parametrize("lang", ["en", "zh"])


@pytest.fixture(autouse=True)
def close_figures():
    """No figure outlives its test."""
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def shop():
    return sl.simulate(n_visitors=3000, seed=7)


@pytest.fixture(scope="module")
def events(shop):
    return sl.read_events(shop.orders, shop.referrals, visits=shop.visits)


@pytest.fixture(scope="module")
def hostile(shop):
    """The shop with channels that are called like sources, or like formulas."""
    names = dict(zip(shop.visits["channel"].unique(), HOSTILE, strict=False))
    visits = shop.visits.assign(channel=shop.visits["channel"].map(names))
    return sl.read_events(shop.orders, shop.referrals, visits=visits)


@pytest.fixture(scope="module")
def guests():
    """Orders of guests only: revenue, and nobody."""
    orders = pd.DataFrame({
        "customer_id": [None, None],
        "ordered_at": ["2024-01-05", "2024-02-05"],
        "amount": [5.0, 3.0],
    })  # fmt: skip
    return sl.read_events(orders)


@pytest.fixture(scope="module")
def compared(events):
    """Two shops of which the second has more buyers among its visitors."""
    keener = sl.Shop(
        sources=(
            sl.Source("direct", share=0.5, conversion=0.5),
            sl.Source("ads", share=0.5, conversion=0.5, cost_per_visitor=1.0),
        ),
        invitations=0.2,
    )
    other = sl.simulate(1500, seed=3, shop=keener)
    after = sl.read_events(other.orders, other.referrals, visits=other.visits)
    analyses = [sl.analyze(e, model="mbg_nbd") for e in (events, after)]
    return sl.compare(*analyses)


def rows_of(ax):
    """The names of the rows, from the top."""
    return [label.get_text() for label in ax.get_yticklabels()]


def words(ax):
    """Every text of an Axes."""
    found = [t.get_text() for t in ax.texts] + [ax.get_title(loc="left")]
    if ax.get_legend():
        found += [t.get_text() for t in ax.get_legend().get_texts()]
    return [*found, *rows_of(ax), ax.get_xlabel(), ax.get_ylabel()]


def bars_of(ax, colour):
    """Value, low and high of the dots of one colour, sorted by where they stand."""
    found = []
    for bars in ax.containers:
        dots, _, (arms,) = bars
        if mpl.colors.to_hex(dots.get_color()) != colour:
            continue
        for (x, y), arm in zip(dots.get_xydata(), arms.get_segments(), strict=True):
            found.append((x, y, *arm.min(axis=0), *arm.max(axis=0)))
    return np.array(sorted(found))


@pytest.mark.parametrize("by", ["arrived_month", "arrived_quarter"])
def test_a_funnel_by_time_is_drawn_in_time_and_whole(events, by):
    funnel = sl.funnel(events, by)
    ax = sl.plot(funnel)
    windows = funnel.windows[funnel.windows["window_days"] == 90]
    cohorts = sorted(windows["segment"].unique())
    n = 24 if by == "arrived_month" else 8
    assert len(cohorts) == n
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    assert ticks == sorted(ticks)
    assert ticks == cohorts[:: max(1, -(-n // 12))]
    assert ax.get_xlim()[1] > n - 1
    for stage in STAGES:
        rows = windows[windows["stage"] == stage].set_index("segment").loc[cohorts]
        drawn = bars_of(ax, plots.style.STAGE_COLOURS[stage])
        whole = rows["share_matured"].notna()
        part = ~whole & rows["share_within"].notna()
        column = np.where(whole, "share_matured", "share_within")
        known = np.flatnonzero(whole | part)
        assert 0 < len(known) < n
        np.testing.assert_array_equal(np.rint(drawn[:, 0]), known)
        for end, i in (("", 1), ("_low", 3), ("_high", 5)):
            expected = [rows[f"{column[k]}{end}"].iloc[k] for k in known]
            np.testing.assert_allclose(drawn[:, i], expected, atol=1e-12)
    counts = windows["share_matured"].isna() & windows["share_within"].isna()
    n_few = counts.groupby(windows["stage"]).sum()
    shown = [t for t in words(ax) if "too few observed" in t]
    assert len(shown) == 1
    for stage in STAGES:
        assert f"{stage.capitalize()} {n_few[stage]}" in shown[0]


def test_a_month_without_anybody_is_a_gap_in_the_line():
    days = [d for m in ("01", "02", "04", "05") for d in [f"2024-{m}-10"] * 40]
    orders = pd.DataFrame({"customer_id": range(160), "ordered_at": days, "amount": 1})
    events = sl.read_events(orders.astype({"customer_id": str}), end="2024-12-31")
    ax = sl.plot(sl.funnel(events, "first_order_month"))
    ticks = [label.get_text() for label in ax.get_xticklabels()]
    assert ticks == ["2024-01", "2024-02", "2024-03", "2024-04", "2024-05"]
    line, *_ = [a for a in ax.lines if a.get_alpha() == 0.5]
    np.testing.assert_array_equal(line.get_ydata(), [0, 0, np.nan, 0, 0])
    assert any("Conversion: no table of visits" in t for t in words(ax))


@LANGS
def test_people_without_a_date_are_said(events, lang):
    funnel = sl.funnel(events, "first_order_quarter")
    ax = sl.plot(funnel, lang=lang)
    missing = funnel.stages[funnel.stages["segment"] == "(missing)"]
    n = f"{missing['n_entered'].max():,}"
    assert int(n.replace(",", "")) > 1000
    assert any(text("funnel_trend.undated", lang, n=n) in t for t in words(ax))


def test_months_and_quarters_have_their_places():
    # 12 x 2025 + 11, then 12 x 2026; 4 x 2026
    assert place_of("2025-12") == 24311
    assert place_of("2026-01") == 24312
    assert place_of("2026-Q1") == 8104
    assert places_between(["2025-11", "2026-02"]) == [
        "2025-11", "2025-12", "2026-01", "2026-02"
    ]  # fmt: skip
    assert places_between([]) == []


@LANGS
def test_a_funnel_that_is_cut_says_so_and_keeps_time(events, lang):
    funnel = sl.funnel(events, ("arrived_quarter", "channel"))
    ax = sl.plot(funnel, lang=lang)
    n = len(funnel.stages[["segment", "segment_2"]].drop_duplicates())
    assert n > 12
    assert text("funnel.part", lang, shown=12, n=n) in words(ax)
    names = rows_of(ax)[:12]
    assert [t.split(" · ")[0] for t in names] == sorted(
        t.split(" · ")[0] for t in names
    )
    assert len({t.split(" · ")[0] for t in names}) > 3
    ax = sl.plot(sl.funnel(events, ("channel", "arrived_quarter")), lang=lang)
    names = [tuple(t.split(" · ")) for t in rows_of(ax)[:12]]
    channels = [channel for channel, _ in names]
    assert channels == sorted(channels, key=channels.index)  # each stays together
    for channel in set(channels):
        quarters = [q for c, q in names if c == channel]
        assert quarters == sorted(quarters)
    whole = sl.plot(sl.funnel(events, "channel"), lang=lang)
    assert not any(text("funnel.part", lang, shown=6, n=6) in t for t in words(whole))


def test_two_breakdowns_are_no_other_pair():
    names = [("a", "b · c"), ("a · b", "c"), ("a", "")]
    table = pd.DataFrame(names, columns=["segment", "segment_2"])
    joined = plots.repurchase.joined(table)
    assert joined["segment"].nunique() == 3
    assert joined["segment_1"].tolist() == ["a", "a · b", "a"]


MAKE = {
    "funnel": lambda e, by: sl.funnel(e, by),
    "compare": lambda e, by: sl.compare_segments(e, by),
    "stage_times": lambda e, by: sl.stage_times(e, by),
    "repurchase": lambda e, by: sl.repurchase(e, by),
    "gaps": lambda e, by: sl.repurchase_gaps(e, by),
    "reproduction": lambda e, by: sl.reproduction(e, by),
    "visitors": lambda e, by: sl.visitor_value(e, by),
    "profile": lambda e, by: sl.segment_profile(e, by),
}  # fmt: skip


@pytest.mark.parametrize("kind", MAKE)
def test_only_sources_are_said_in_words(kind, hostile):
    for by, is_source in (("source", True), ("channel", False)):
        ax = sl.plot(MAKE[kind](hostile, by), lang="zh")
        shown = " | ".join(words(ax))
        assert ("被推荐" in shown) == is_source
        assert ("付费" in shown) == is_source
        assert ("referral" in shown) != is_source


@pytest.mark.parametrize("make", [sl.funnel, sl.repurchase, sl.repurchase_gaps])
def test_of_two_breakdowns_only_the_source_is_said_in_words(make, hostile):
    ax = sl.plot(make(hostile, ("source", "channel")), lang="zh")
    assert "被推荐 · referral" in " | ".join(words(ax))


def test_everybody_is_said_in_words_without_a_breakdown(hostile):
    found = sl.reproduction(hostile, by=None)
    assert "全部" in " | ".join(words(sl.plot(found, lang="zh")))


def test_long_names_are_cut_by_their_width():
    assert cut("a" * 24, 24) == "a" * 24
    assert cut("a" * 25, 24) == "a" * 23 + "…"
    # 24 letters of 0.62 are 14.9 Chinese ones; 14 and the dots: 14.6
    assert cut("直" * 14, 24) == "直" * 14
    assert cut("直" * 30, 24) == "直" * 14 + "…"


@pytest.mark.parametrize("kind", ["funnel", "compare", "stage_times", "repurchase",
                                  "gaps", "profile"])  # fmt: skip
@pytest.mark.parametrize("by", ["source", "arrived_month", "first_order_quarter"])
def test_nobody_is_drawn_as_no_data(kind, by, guests):
    for lang in ("en", "zh"):
        ax = sl.plot(MAKE[kind](guests, by), lang=lang)
        ax.figure.canvas.draw()
        reasons = {text("plot.no_data", lang), text("differences.none", lang, n=30)}
        assert reasons & {t.get_text() for t in ax.texts}
        assert not ax.lines


@LANGS
def test_nobody_in_two_breakdowns_is_drawn_as_no_data(guests, lang):
    result = sl.funnel(guests, ("source", "channel"), order="strict")
    ax = sl.plot(result, lang=lang)
    assert text("plot.no_data", lang) in words(ax)
    assert ax.get_title(loc="left")


def test_a_plot_of_one_part_says_so(events):
    found = sl.cohorts(events, by="source")
    ax = sl.plot(found)
    assert "source: referred, one of 3; others with segment=…" in words(ax)
    ax = plots.plot_retention(found, segment="paid", lang="zh")
    assert "source：付费，共 3 组之一，其他用 segment=… 查看" in words(ax)
    times = sl.stage_times(events, ("channel", "arrived_quarter"))
    enough = times.curve[times.curve["stage"] == "repurchase"]
    n = len(enough[["segment", "segment_2"]].drop_duplicates())
    note = text("funnel.part", shown=6, n=n)
    shown = words(sl.plot(times))
    assert any(t.startswith(note) and "stage=…" in t for t in shown)
    assert note in words(plots.plot_stage_times(times, stage="repurchase"))
    whole = words(sl.plot(sl.stage_times(events)))
    assert not any("stage=…" in t for t in whole)


def test_curves_of_few_people_are_drawn_when_asked_for():
    orders = pd.DataFrame({
        "customer_id": ["a", "a"],
        "ordered_at": ["2024-01-05", "2024-01-25"],
        "amount": [5.0, 3.0],
    })  # fmt: skip
    times = sl.stage_times(sl.read_events(orders), "channel", min_at_risk=1)
    (line,) = sl.plot(times).lines
    # one customer who is back on day 20
    assert line.get_xydata()[-1].tolist() == [20, 1]


@LANGS
def test_a_profile_is_that_of_the_table(events, lang):
    profile = sl.segment_profile(events, "channel")
    ax = sl.plot(profile, lang=lang)
    for name, stage in RATES.items():
        drawn = bars_of(ax, plots.style.STAGE_COLOURS[stage])
        drawn = drawn[np.argsort(drawn[:, 1])]
        np.testing.assert_allclose(drawn[:, 0], profile.table[name])
        np.testing.assert_allclose(drawn[:, 2], profile.table[f"{name}_low"])
        np.testing.assert_allclose(drawn[:, 4], profile.table[f"{name}_high"])
        np.testing.assert_array_equal(np.rint(drawn[:, 1]), range(len(profile.table)))
    names = [t.split(" (")[0].split("（")[0] for t in rows_of(ax)]
    assert names == profile.table["segment"].tolist()


@pytest.mark.parametrize("measure", [*SO_FAR, *AFTER])
def test_each_measure_of_a_profile_can_be_drawn(events, measure):
    profile = sl.segment_profile(events, "channel", at="2025-06-30")
    table = profile.table if measure in SO_FAR else profile.after
    for lang in ("en", "zh"):
        ax = plots.plot_segment_profile(profile, measure=measure, lang=lang)
        (bars,) = ax.containers
        known = table[table[measure].notna()]
        np.testing.assert_allclose(bars[0].get_xdata(), known[measure])
        arms = np.array([arm[:, 0] for arm in bars[2][0].get_segments()])
        np.testing.assert_allclose(arms[:, 0], known[f"{measure}_low"])
        np.testing.assert_allclose(arms[:, 1], known[f"{measure}_high"])


def test_a_profile_says_what_it_does_not_tell(events, shop):
    profile = sl.segment_profile(events, "rfm")
    ax = sl.plot(profile)
    names = [t.split(" (")[0] for t in rows_of(ax)]
    assert names[0] == "champions"
    assert "核心客户" in rows_of(sl.plot(profile, lang="zh"))[0]
    with pytest.raises(SettingError, match="only what came after"):
        plots.plot_segment_profile(profile, measure="buyer_revenue")
    so_far = sl.segment_profile(events, "channel")
    with pytest.raises(SettingError, match="give at to the profile"):
        plots.plot_segment_profile(so_far, measure="share_again")
    with pytest.raises(SettingError, match="measure must be one of"):
        plots.plot_segment_profile(so_far, measure="revenue")
    buyers = sl.segment_profile(sl.read_events(shop.orders), "channel")
    ax = sl.plot(buyers, lang="zh")
    note = "转化：未提供访问表；转介绍：未提供推荐表"
    assert note in words(ax)
    assert len(ax.containers) == 1


def test_small_segments_of_a_profile_have_a_reason_in_both_languages(events):
    profile = sl.segment_profile(events, "first_order_month")
    shown = words(sl.plot(profile))
    names = [t.split(" (")[0] for t in rows_of(sl.plot(profile))]
    assert names[:-1] == sorted(names[:-1])
    assert names[-1] == "(missing)"
    folded = [" ".join(t.split()) for t in shown]
    assert any("repurchase: 0 observed for 90 days, need 30" in t for t in folded)
    shown = "".join("".join(words(sl.plot(profile, lang="zh"))).split())
    assert "复购：观察满90天的仅0人" in shown
    assert "repurchase" not in shown


def test_changes_are_those_of_the_table(compared):
    ax = sl.plot(compared)
    table = compared.table
    is_stage = table["measure"].isin(STAGES)
    rows = table[(~is_stage | (table["window_days"] == 90)) & (table["verdict"] != "")]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    drawn = [float(line.get_xdata()[0]) for line in dots]
    np.testing.assert_allclose(drawn, rows["difference"] / rows["first"])
    arms = [line.get_xdata() for line in ax.lines if line.get_linewidth() == 1.6]
    ends = rows[["difference_low", "difference_high"]].div(rows["first"], axis=0)
    np.testing.assert_allclose(arms, ends.to_numpy())
    muted = [mpl.colors.to_hex(line.get_color()) == "#9fb0c4" for line in dots]
    assert muted == (rows["verdict"] == "open").tolist()
    assert 0 < sum(muted) < len(muted)
    n_all = int((~is_stage | (table["window_days"] == 90)).sum())
    note = f"not drawn: {n_all - len(rows)} of {n_all} lines"
    assert any(note in " ".join(t.split()) for t in words(ax))


@LANGS
def test_changes_name_both_and_one_window(compared, lang):
    ax = plots.plot_changes(compared, window_days=30, lang=lang)
    ax.figure.canvas.draw()
    first, second = text("changes.first", lang), text("changes.second", lang)
    names = text("changes.words", lang, first=first, second=second)
    assert any(t.startswith(names) for t in words(ax))
    window = text("unit.days", lang, n=30)
    assert text("changes.conversion", lang, window=window) in rows_of(ax)
    with pytest.raises(SettingError, match="window_days must be one of 30, 90"):
        plots.plot_changes(compared, window_days=31)


def test_nothing_in_common_is_said(guests):
    analysis = sl.analyze(guests)
    for lang in ("en", "zh"):
        ax = sl.plot(sl.compare(analysis, analysis, names=HOSTILE[:2]), lang=lang)
        ax.figure.canvas.draw()
        assert text("changes.none", lang) in words(ax)


@LANGS
def test_they_draw_on_a_given_axes_and_leave_settings_alone(
    lang, hostile, events, compared
):
    before = dict(mpl.rcParams)
    jobs = [
        (plots.plot_segment_profile, sl.segment_profile(hostile, "channel")),
        (plots.plot_segment_profile, sl.segment_profile(events, "lifecycle")),
        (plots.plot_funnel, sl.funnel(events, "arrived_month")),
        (plots.plot_funnel, sl.funnel(hostile, ("channel", "arrived_month"))),
        (plots.plot_changes, compared),
    ]
    for draw, result in jobs:
        _, ax = plt.subplots()
        assert draw(result, ax, lang=lang) is ax
        ax.figure.canvas.draw()
        assert ax.get_title(loc="left")
    assert dict(mpl.rcParams) == before
