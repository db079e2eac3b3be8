"""Plots, by what they draw."""

import dataclasses
import logging
from datetime import date
from functools import cache
from types import SimpleNamespace

import ibis
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import Circle, Rectangle

import selfloop as sl
from selfloop.core import schema
from selfloop.core.errors import DataWarning, SettingError
from selfloop.measures.cohorts.triangle import Cohorts
from selfloop.measures.funnel.rates import Funnel
from selfloop.measures.loop.overall import SelfLoop
from selfloop.measures.referral.network import ReferralNetwork
from selfloop.measures.summary import ValueSummary
from selfloop.outputs import plots
from selfloop.outputs.plots import fonts
from selfloop.outputs.plots.fonts import SelfloopFontWarning
from selfloop.outputs.plots.style import STAGE_COLOURS
from selfloop.outputs.plots.tree import lay_out

END = date(2026, 10, 28)
NAN = float("nan")
NA = pd.NA


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


def frame(table: str, rows: list[tuple]) -> pd.DataFrame:
    """A table of the schema, made by hand."""
    return pd.DataFrame(rows, columns=schema.names(table))


def make_funnel(segments=("all",), *, visits: bool = True) -> Funnel:
    """1,000 people came, 200 of 800 matured bought; 60 of 150; 5 of 20 is too few."""
    stages, windows = [], []
    for s in segments:
        stages += [
            (
                s,
                "",
                "traffic",
                *((1000, 1000) if visits else (NA, NA)),
                NAN,
                NAN,
                NAN,
                NAN,
            ),
            (s, "", "conversion", 1000 if visits else NA, 240, 0.24, 0.21, 0.27, NAN),
            (s, "", "repurchase", 240, 90, 0.375, 0.32, 0.44, NAN),
            (s, "", "referral", 240, 30, 0.125, 0.09, 0.17, NAN),
        ]
        overall = NA, NA, NAN, NAN, NAN
        came = (1000, 800, 200, 230, 150, 0.25, 0.22, 0.28, 700, 0.26, 0.24, 0.29)
        nobody = (*[NA] * 5, *[NAN] * 3, NA, *[NAN] * 3)
        again = (240, 150, 60, 80, 50, 0.4, 0.32, 0.48, 90, 0.42, 0.36, 0.5)
        few = (240, 20, 5, 30, 99, NAN, NAN, NAN, 20, NAN, NAN, NAN)
        windows += [
            (
                s,
                "",
                "conversion",
                90,
                *(came if visits else nobody),
                *overall,
                "" if visits else "no table of visits",
            ),
            (s, "", "repurchase", 90, *again, *overall, ""),
            (s, "", "referral", 90, *few, *overall, "20 observed"),
        ]
    return Funnel(
        stages=frame("funnel_stages", stages),
        windows=frame("funnel_windows", windows),
        stage_totals=frame("funnel_stages", []),
        window_totals=frame("funnel_windows", []),
        by=() if len(segments) == 1 else ("channel",),
        order="loop",
        end=END,
    )


def make_loop(*, referrals: bool = True) -> SelfLoop:
    """Two months, the second partial; R(30) = 0.2 and R(90) missing."""
    months = [
        # 40 + 10 of 100 orders; 600 + 150 of 1,000 money
        ("2026-09", 100, 40, 10, 30, 15, 5, 0.5, 1000.0, 600.0, 150.0, 150.0, 60.0,
         40.0, 0.0, 0.0, 0.75, "complete"),
        ("2026-10", 50, 30, 5, 10, 5, 0, 0.7, 500.0, 300.0, 50.0, 100.0, 50.0,
         0.0, 0.0, 0.0, 0.7, "partial"),
    ]  # fmt: skip
    names = ["month", "n_orders", "n_repeat", "n_first_referral", "n_first_paid",
             "n_first_organic", "n_first_unknown", "share_orders", "revenue",
             "revenue_repeat", "revenue_first_referral", "revenue_first_paid",
             "revenue_first_organic", "revenue_first_unknown", "revenue_before",
             "revenue_guests", "share_revenue", "status"]  # fmt: skip
    table = pd.DataFrame(months, columns=names)
    table = table.reindex(columns=schema.names("loop_months"))
    rows = [
        (30, 500, 400, 60, 0.2, 0.15, 0.26, 0.12, ""),
        (90, 500, 10, 70, NAN, NAN, NAN, 0.14, "10 buyers observed for 90 days"),
    ]
    curve = [(0, 500, 0, 0.0, NAN, NAN), (10, 450, 40, 0.08, 0.05, 0.11),
             (30, 400, 20, 0.2, 0.15, 0.26)]  # fmt: skip
    if not referrals:
        rows, curve = [], []
        hidden = ["n_first_referral", "share_orders", "share_revenue"]
        table = table.assign(**dict.fromkeys(hidden, np.nan))
    return SelfLoop(
        months=table,
        weeks=frame("loop_weeks", []),
        lineage=frame("loop_lineage", []),
        lineage_months=frame("loop_lineage_months", []),
        reproduction=frame("reproduction", rows),
        curve=frame("reproduction_curve", curve),
        horizon_days=30 if referrals else None,
        multiplier=1.25 if referrals else NAN,  # 1 / (1 - 0.2)
        multiplier_low=1.18 if referrals else NAN,
        multiplier_high=np.inf if referrals else NAN,
        n_seeding=3,
        share_orders=0.57,
        share_revenue=0.73,
        paid_reason="",
        reason="" if referrals else "no table of referrals",
        end=END,
    )


@cache
def make_cohorts() -> Cohorts:
    """Three cohorts; the last diagonal is partial, what lies beyond is not there."""
    bought = [
        ("a", 100, "2026-08"), ("a", 20, "2026-09"), ("a", 12, "2026-10"),
        ("b", 50, "2026-09"), ("b", 4, "2026-10"), ("c", 70, "2026-10"),
    ]  # fmt: skip
    rows = [(f"{who}{i}", f"{m}-10", 5) for who, n, m in bought for i in range(n)]
    orders = pd.DataFrame(rows, columns=["customer_id", "ordered_at", "amount"])
    return sl.cohorts(sl.read_events(orders, end=END))


def make_summary(**changes) -> ValueSummary:
    """Small tables of values."""
    by_source = pd.DataFrame(
        [("all", 40, 90.0, 20.0, 110.0, 100.0, 120.0),
         ("paid", 30, 80.0, NAN, NAN, NAN, NAN)],
        columns=["source", "n_buyers", "revenue_per_buyer", "expected_per_buyer",
                 "lifetime_value_per_buyer", "low", "high"],
    )  # fmt: skip
    deciles = pd.DataFrame(
        # 500 - 100 given + 80 social = 480
        [(1, 4, 500.0, 100.0, 80.0, 480.0, 0.8), (2, 4, 120.0, 10.0, 30.0, 140.0, 0.2)],
        columns=["decile", "n_people", "revenue", "given_value", "social_value",
                 "total_value", "share_total"],
    )  # fmt: skip
    histogram = pd.DataFrame(
        [(0.0, 50.0, "direct", 15, 0.75), (50.0, np.inf, "direct", 5, 0.25),
         (0.0, 50.0, "referral", 8, 0.4), (50.0, np.inf, "referral", 12, 0.6)],
        columns=["low_value", "high_value", "source_group", "n_people", "share"],
    )  # fmt: skip
    parts = {
        "by_source": by_source, "deciles": deciles, "histogram": histogram,
        "advocates": frame("customer_value", []), "totals": {},
        "value_column": "lifetime_value",
    }  # fmt: skip
    return ValueSummary(**parts | changes)


def make_network(parents: list[int], names: list[str] | None = None) -> ReferralNetwork:
    """A network of one tree; `parents` holds the row of each person's referrer."""
    n = len(parents)
    names = names or [f"C{i:04d}" for i in range(n)]
    generation, reach, depth = [0] * n, [0] * n, [0] * n
    for i in range(1, n):
        generation[i] = generation[parents[i]] + 1
    for i in range(n - 1, 0, -1):
        reach[parents[i]] += reach[i] + 1
        depth[parents[i]] = max(depth[parents[i]], depth[i] + 1)
    invited = np.bincount(parents[1:], minlength=n)
    people = pa.table({
        "person_id": names,
        "referrer_id": [None] + [names[p] for p in parents[1:]],
        "root_id": [names[0]] * n,
        "generation": generation,
        "n_invited": invited,
        "n_referred": np.where(np.arange(n) % 3, invited, 0),
        "reach": reach,
        "subtree_depth": depth,
    })  # fmt: skip
    trees = frame("trees", [(names[0], n, n, depth[0], 1.0, 1.0, 1.0, 0.0)])
    return ReferralNetwork(
        generations=frame("generations", []), trees=trees, people=ibis.memtable(people),
        n_people=n, n_links=n - 1, n_roots=1, n_referrers=1, n_successes=1,
        max_generation=depth[0], k_invitations=1.0, k_conversion=1.0, k=1.0,
        window_days=90, end=END,
    )  # fmt: skip


def grown(n: int, seed: int = 1) -> list[int]:
    """Parents of a tree that grows at random."""
    rng = np.random.default_rng(seed)
    return [-1] + [int(rng.integers(0, max(1, int(i**0.8)))) for i in range(1, n)]


def make_analysis(**changes) -> SimpleNamespace:
    """What `plot_loop` reads of an analysis."""
    return SimpleNamespace(**{"funnel": make_funnel(), "loop": make_loop()} | changes)


DRAWINGS = {
    "funnel": lambda **o: plots.plot_funnel(make_funnel(), **o),
    "funnel_by": lambda **o: plots.plot_funnel(make_funnel(("直播间", "paid")), **o),
    "funnel_no_visits": lambda **o: plots.plot_funnel(make_funnel(visits=False), **o),
    "loop": lambda **o: plots.plot_loop(make_analysis(), **o),
    "self_circulation": lambda **o: plots.plot_self_circulation(make_loop(), **o),
    "reproduction": lambda **o: plots.plot_reproduction(make_loop(), **o),
    "cohorts": lambda **o: plots.plot_cohorts(make_cohorts(), **o),
    "value_distribution": lambda **o: plots.plot_value_distribution(
        make_summary(), currency="¥", **o
    ),
    "value_by_source": lambda **o: plots.plot_value_by_source(make_summary(), **o),
    "social_value": lambda **o: plots.plot_social_value(make_summary(), **o),
    "tree_5": lambda **o: plots.plot_referral_tree(make_network(grown(5)), **o),
    "tree_200": lambda **o: plots.plot_referral_tree(make_network(grown(200)), **o),
}  # fmt: skip


def words(ax) -> list[str]:
    """Every text of an Axes."""
    found = [t.get_text() for t in ax.texts] + [ax.get_title(loc="left")]
    found += [t.get_text() for t in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    if ax.get_legend():
        found += [t.get_text() for t in ax.get_legend().get_texts()]
    return [t for t in (*found, ax.get_xlabel(), ax.get_ylabel()) if t]


def bars(ax, colour: str) -> list[Rectangle]:
    """The bars of one colour."""
    wanted = mpl.colors.to_rgb(colour)
    return [
        p for p in ax.patches
        if isinstance(p, Rectangle) and p.get_facecolor()[:3] == wanted
    ]  # fmt: skip


# ---- what all drawings keep ------------------------------------------------------


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", DRAWINGS)
def test_without_a_chinese_font_on_the_machine_nothing_warns(
    name, lang, caplog, tmp_path
):
    with caplog.at_level(logging.WARNING):
        ax = DRAWINGS[name](lang=lang)
        for suffix in ("png", "svg", "pdf"):
            ax.figure.savefig(tmp_path / f"plot.{suffix}")
    assert caplog.records == []


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_given_axes_is_drawn_on_and_returned(name):
    figure, ax = plt.subplots()
    assert DRAWINGS[name](ax=ax) is ax
    assert plt.get_fignums() == [figure.number]


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
def test_both_languages_draw_the_same_data(name):
    english, chinese = DRAWINGS[name](), DRAWINGS[name](lang="zh")
    assert len(english.patches) == len(chinese.patches)
    assert len(english.lines) == len(chinese.lines)
    assert len(english.collections) == len(chinese.collections)
    assert words(english) != words(chinese)


@pytest.mark.parametrize(
    "name", [n for n in DRAWINGS if n != "loop" and "tree" not in n]
)
def test_axes_with_numbers_have_labels(name):
    ax = DRAWINGS[name]()
    assert ax.get_xlabel()


def test_drawing_does_not_change_the_result():
    loop, before = make_loop(), make_loop()
    plots.plot_self_circulation(loop)
    plots.plot_reproduction(loop)
    for part in ("months", "reproduction", "curve"):
        pd.testing.assert_frame_equal(getattr(loop, part), getattr(before, part))


def test_an_unknown_language_is_an_error():
    with pytest.raises(SettingError, match="lang must be one of 'en', 'zh'"):
        plots.plot_cohorts(make_cohorts(), lang="fr")


# ---- funnel ----------------------------------------------------------------------


def test_funnel_bars_are_the_matured_shares():
    ax = plots.plot_funnel(make_funnel())
    widths = [b.get_width() for b in bars(ax, STAGE_COLOURS["conversion"])]
    assert widths == [0.25]
    assert [b.get_width() for b in bars(ax, STAGE_COLOURS["traffic"])] == [1]


def test_funnel_draws_both_intervals():
    ax = plots.plot_funnel(make_funnel())
    ends = {tuple(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2}
    assert {(0.22, 0.28), (0.24, 0.29), (0.32, 0.48), (0.36, 0.5)} <= ends


def test_funnel_says_why_a_share_is_missing_and_draws_no_bar():
    ax = plots.plot_funnel(make_funnel())
    assert bars(ax, STAGE_COLOURS["referral"]) == []
    assert "–  only 20 observed for 90 d" in words(ax)


def test_funnel_without_visits_has_no_traffic():
    ax = plots.plot_funnel(make_funnel(visits=False))
    assert bars(ax, STAGE_COLOURS["traffic"]) == []
    assert words(ax).count("–  needs the table of visits") == 2


def test_funnel_names_counts_and_denominators():
    shown = words(plots.plot_funnel(make_funnel()))
    assert "25.0 %  (200 of 800)" in shown
    assert "Conversion\nof 1,000 arrivals" in shown
    assert "Repurchase\nof 240 buyers" in shown


def test_funnel_of_many_segments_draws_the_largest_twelve():
    segments = [f"channel {i}" for i in range(20)]
    ax = plots.plot_funnel(make_funnel(segments))
    assert len(bars(ax, STAGE_COLOURS["conversion"])) == 12


def test_funnel_of_an_unknown_window_is_an_error():
    with pytest.raises(SettingError, match="window_days must be one of 90; got 45"):
        plots.plot_funnel(make_funnel(), window_days=45)


def test_names_of_the_user_are_text_and_never_mathematics():
    ax = plots.plot_funnel(make_funnel(("$x^2$ sale", "a" * 80)))
    ax.figure.canvas.draw()
    label = next(t for t in ax.get_yticklabels() if "sale" in t.get_text())
    assert label._preprocess_math(label.get_text()) == ("$x^2$ sale", False)
    assert "a" * 23 + "…" in words(ax)


# ---- loop ------------------------------------------------------------------------


def test_loop_has_four_stages_with_rates_and_r_on_the_return():
    ax = plots.plot_loop(make_analysis(), window_days=90)
    shown = words(ax)
    assert len([p for p in ax.patches if isinstance(p, Circle)]) == 4
    assert {"1,000", "240", "90", "30"} <= set(shown)  # people in each stage
    assert {"25.0 %", "40.0 %", "–"} <= set(shown)  # the rate of referral is missing
    assert "of arrivals\n[22.0, 28.0]" in shown
    assert "R = –" in shown  # R(90) is missing, although R(30) is known


def test_loop_gain_may_have_no_upper_end():
    shown = words(plots.plot_loop(make_analysis()))
    assert "×1.25" in shown
    assert any(t.endswith("by R(30 d)\n[1.18, ∞]") for t in shown)


def test_loop_at_a_known_horizon_shows_r_with_its_interval():
    funnel = make_funnel()
    funnel.windows["window_days"] = 30
    shown = words(plots.plot_loop(make_analysis(funnel=funnel), window_days=30))
    assert "R = 0.20" in shown
    assert "new buyers per buyer\n[0.15, 0.26]" in shown


def test_loop_without_referrals_says_so():
    analysis = make_analysis(loop=make_loop(referrals=False))
    shown = words(plots.plot_loop(analysis))
    assert "needs the table of referrals" in shown
    assert not any("×" in t for t in shown)


# ---- self-circulation ------------------------------------------------------------


def test_parts_of_a_month_add_up_to_one():
    ax = plots.plot_self_circulation(make_loop())
    tops = np.zeros(2)
    for bar in (p for p in ax.patches if isinstance(p, Rectangle)):
        tops[round(bar.get_x() + bar.get_width() / 2)] += bar.get_height()
    np.testing.assert_allclose(tops, 1)


def test_repeat_and_referred_orders_reach_up_to_the_share():
    ax = plots.plot_self_circulation(make_loop())
    referred = bars(ax, STAGE_COLOURS["referral"])
    tops = [b.get_y() + b.get_height() for b in referred]
    np.testing.assert_allclose(tops, [0.5, 0.7])  # share_orders of the table
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.5, 0.7])
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [0.75, 0.7])


def test_only_the_partial_month_is_hatched():
    ax = plots.plot_self_circulation(make_loop())
    places = {round(p.get_x() + 0.41) for p in ax.patches if p.get_hatch()}
    assert places == {1}
    assert "hatched: partial month" in ax.get_xlabel()


def test_the_share_never_stands_without_r():
    known = plots.plot_self_circulation(make_loop()).get_xlabel()
    assert "R(30 d) = 0.20 [0.15, 0.26]" in known
    unknown = plots.plot_self_circulation(make_loop(referrals=False))
    assert "needs the table of referrals" in unknown.get_xlabel()
    assert len(unknown.lines) == 0


# ---- reproduction ----------------------------------------------------------------


def test_reproduction_draws_curve_band_horizons_and_naive_ratio():
    ax = plots.plot_reproduction(make_loop())
    curve = next(line for line in ax.lines if line.get_label() == "M(age)")
    np.testing.assert_allclose(curve.get_ydata(), [0, 0.08, 0.2])
    (bar,) = ax.containers
    (whisker,) = bar.lines[2][0].get_segments()
    np.testing.assert_allclose(whisker, [[30, 0.15], [30, 0.26]])
    naive = next(line for line in ax.lines if "biased low" in line.get_label())
    np.testing.assert_allclose(naive.get_xydata(), [[30, 0.12]])


def test_reproduction_names_the_buyers_observed_at_every_horizon():
    labels = [
        t.get_text() for t in plots.plot_reproduction(make_loop()).get_xticklabels()
    ]
    assert labels == ["30\nn=400", "90\nn=10"]


def test_reproduction_without_referrals_draws_nothing():
    ax = plots.plot_reproduction(make_loop(referrals=False))
    assert "needs the table of referrals" in words(ax)
    assert len(ax.lines) == 0


# ---- values ----------------------------------------------------------------------


def test_distribution_draws_the_share_of_each_group():
    ax = plots.plot_value_distribution(make_summary(), currency="CNY")
    direct = [b.get_height() for b in bars(ax, STAGE_COLOURS["conversion"])]
    referred = [b.get_height() for b in bars(ax, STAGE_COLOURS["referral"])]
    assert (direct, referred) == ([0.75, 0.25], [0.4, 0.6])
    assert ax.get_xlabel() == "lifetime value (CNY)"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "50", "∞"]
    assert "referred (n = 20)" in words(ax)


def test_distribution_without_a_model_says_that_it_is_past_value():
    ax = plots.plot_value_distribution(make_summary(value_column="revenue"))
    assert ax.get_xlabel() == "value to date (currency of the orders)"


def test_value_by_source_draws_intervals_and_marks_what_is_missing():
    ax = plots.plot_value_by_source(make_summary())
    ends = [list(line.get_xdata()) for line in ax.lines]
    assert ends == [[100.0, 120.0], [110.0]]
    assert "–" in words(ax)


def test_social_value_adds_up_to_total_value():
    summary = make_summary()
    ax = plots.plot_social_value(summary)
    kept = bars(ax, STAGE_COLOURS["conversion"])
    social = bars(ax, STAGE_COLOURS["referral"])
    assert [b.get_height() for b in kept] == [400.0, 110.0]  # revenue - given
    tops = [b.get_y() + b.get_height() for b in social]
    assert tops == summary.deciles["total_value"].tolist()


def test_social_value_without_referrals_says_so():
    summary = make_summary(deciles=make_summary().deciles.head(0))
    assert "needs the table of referrals" in words(plots.plot_social_value(summary))


# ---- referral tree ---------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 5, 50, 500])
def test_every_person_of_the_tree_is_drawn_once(n):
    ax = plots.plot_referral_tree(make_network(grown(n)))
    groups = [c for c in ax.collections if c.get_offsets().size and c.get_zorder() == 2]
    assert sum(len(c.get_offsets()) for c in groups) == n
    (links,) = [c for c in ax.collections if c.get_zorder() == 1]
    assert len(links.get_paths()) == n - 1


def test_small_trees_carry_all_names_and_large_ones_a_few():
    small = plots.plot_referral_tree(make_network(grown(50)))
    assert len(small.texts) == 50
    assert 1 < len(plots.plot_referral_tree(make_network(grown(500))).texts) <= 7


def test_a_tree_too_large_to_draw_keeps_those_with_most_descendants():
    ax = plots.plot_referral_tree(make_network(grown(4000)))
    groups = [c for c in ax.collections if c.get_zorder() == 2]
    assert sum(len(c.get_offsets()) for c in groups) == 1500
    title = ax.get_title(loc="left")
    assert "people: 4,000" in title
    assert "drawn: the 1,500 with most descendants" in title


def test_a_chain_and_a_star_are_drawn():
    chain = plots.plot_referral_tree(make_network(list(range(-1, 39))))
    assert "generations: 39" in chain.get_title(loc="left")
    star = plots.plot_referral_tree(make_network([-1, *[0] * 399]))
    assert [t.get_text() for t in star.texts] == ["C0000"]


def test_the_root_must_be_somebody_whom_nobody_brought():
    network = make_network(grown(5))
    with pytest.raises(SettingError, match="'C0003' belongs to the tree of 'C0000'"):
        plots.plot_referral_tree(network, root_id="C0003")
    with pytest.raises(SettingError, match="must be in the referral network; got 'x'"):
        plots.plot_referral_tree(network, root_id="x")


def test_a_network_without_trees_has_nothing_to_show():
    network = make_network([-1])
    network = dataclasses.replace(network, trees=frame("trees", []))
    assert "no data" in words(plots.plot_referral_tree(network))


@settings(deadline=None)  # the first example pays for imports
@given(st.lists(st.floats(0, 1, exclude_max=True), max_size=80))
def test_no_two_people_stand_on_one_spot(draws):
    # row i + 1 hangs below any earlier row
    parent = np.array([-1, *(int(u * (i + 1)) for i, u in enumerate(draws))])
    layout = lay_out(parent)
    spots = {
        (round(x, 6), round(y, 6)) for x, y in zip(layout.x, layout.y, strict=True)
    }
    assert len(spots) == len(parent)
    distance = layout.x if layout.angle is None else np.hypot(layout.x, layout.y)
    assert all(distance[i] > distance[parent[i]] for i in range(1, len(parent)))


# ---- fonts -----------------------------------------------------------------------


@pytest.mark.usefixtures("bare_machine")
def test_characters_no_font_has_are_named_in_one_warning(tmp_path):
    funnel = make_funnel(("𠮷野家", "다나카", "paid"))
    with pytest.warns(SelfloopFontWarning, match="fonts-noto-cjk") as caught:
        ax = plots.plot_funnel(funnel)
    assert len(caught) == 1
    assert issubclass(SelfloopFontWarning, DataWarning)
    assert "𠮷" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert "□野家" in words(ax)
    ax.figure.savefig(tmp_path / "plot.png")  # warnings are errors


@pytest.mark.usefixtures("bare_machine")
def test_the_shipped_font_comes_after_the_fonts_of_the_user():
    with mpl.rc_context({"font.family": ["DejaVu Serif"]}):
        assert fonts.families() == ["DejaVu Serif", "Selfloop Sans SC"]


def test_an_installed_chinese_font_comes_before_the_shipped_one(monkeypatch):
    monkeypatch.setattr(fonts, "_SYSTEM_FONTS", ("No Such Font", "DejaVu Sans Mono"))
    monkeypatch.setattr(fonts, "_RARE_CHARACTERS", ())
    assert fonts.families()[-2:] == ["DejaVu Sans Mono", "Selfloop Sans SC"]


def test_the_font_is_registered_once():
    fonts.families()
    fonts.families()
    entries = mpl.font_manager.fontManager.ttflist
    weights = [e.weight for e in entries if e.name == "Selfloop Sans SC"]
    assert sorted(weights) == [400, 700]


# ---- one call for every result ---------------------------------------------------


@pytest.fixture(scope="module")
def analysis():
    """A simulated shop with everything known."""
    shop = sl.simulate(n_visitors=2000, seed=7)
    return sl.analyze(sl.read_events(shop.orders, shop.referrals, visits=shop.visits))


@pytest.mark.parametrize(
    ("part", "title"),
    [
        ("funnel", "Funnel: reached within 90 d"),
        ("funnel_by_source", "Funnel: reached within 90 d"),
        ("cohorts", "Share of each cohort that bought in a later month"),
        ("lifetime", "MBG/NBD: parameters with 95 % intervals"),
        ("loop", "What carried each month"),
        ("value_summary", "Own and social value, by tenth of customers"),
    ],
)
def test_plot_draws_every_part_of_an_analysis(analysis, part, title):
    assert sl.plot(getattr(analysis, part)).get_title(loc="left") == title


def test_plot_draws_an_analysis_as_the_loop(analysis):
    ax = sl.plot(analysis, lang="zh")
    assert ax.get_title(loc="left") == "自循环（90 天内）"


def test_plot_draws_the_largest_tree_of_a_network(analysis):
    largest = analysis.network.trees.iloc[0]
    title = sl.plot(analysis.network).get_title(loc="left")
    assert f"people: {largest['n_people']}, generations: {largest['depth']}" in title


def test_plot_draws_on_the_given_axes(analysis):
    ax = plt.subplots()[1]
    assert sl.plot(analysis.cohorts, ax) is ax


def test_plot_of_anything_else_names_what_can_be_drawn():
    with pytest.raises(TypeError, match=r"Funnel.*got DataFrame"):
        sl.plot(pd.DataFrame())


def test_a_shop_with_orders_only_can_be_drawn():
    shop = sl.simulate(n_visitors=1500, seed=3)
    analysis = sl.analyze(sl.read_events(shop.orders), model="mbg_nbd")
    for part in (analysis, analysis.funnel, analysis.cohorts, analysis.loop):
        sl.plot(part, lang="zh").figure.canvas.draw()
    sl.plot(analysis.value_summary).figure.canvas.draw()
    plots.plot_reproduction(analysis.loop).figure.canvas.draw()
    plots.plot_value_distribution(analysis.value_summary).figure.canvas.draw()
