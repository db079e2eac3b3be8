"""Plots of the referral network, by what they draw."""

import dataclasses
from datetime import date

import ibis
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

import selfloop as sl
from selfloop.core import schema
from selfloop.core.errors import SettingError
from selfloop.measures.concentration import Concentration
from selfloop.measures.referral.network import ReferralNetwork
from selfloop.outputs import plots
from selfloop.outputs.plots import fonts
from selfloop.outputs.plots.style import root_ticks

END = date(2026, 10, 28)
NAN = float("nan")


@pytest.fixture(autouse=True)
def close_figures():
    """No figure outlives its test, and every test begins with none."""
    plt.close("all")
    yield
    plt.close("all")


def frame(table: str, rows: list[dict]) -> pd.DataFrame:
    """A table of the schema, what is not given missing."""
    return pd.DataFrame(rows).reindex(columns=schema.names(table))


def make_network(generations=None, trees=None, **changes) -> ReferralNetwork:
    """1,000 came alone, 300 of them bought; they brought 90, and these 4."""
    if generations is None:
        rows = [(1000, 300, 0.28, 0.25, 0.31), (90, 40, 0.4, 0.3, 0.51),
                (4, 1, NAN, NAN, NAN)]  # fmt: skip
        names = ["n_people", "n_buyers", "share_matured", "share_matured_low",
                 "share_matured_high"]  # fmt: skip
        generations = [
            {"generation": i} | dict(zip(names, row, strict=True))
            for i, row in enumerate(rows)
        ]
    if trees is None:
        # a star of 10, a chain of 4, two couples
        sizes = [("ann", 10, 1.8), ("bob", 4, 5 / 3), ("cat", 2, 1.0), ("dan", 2, 1.0)]
        trees = [
            {"root_id": root, "n_people": n, "structural_virality": v}
            for root, n, v in sizes
        ]
    parts = {
        "generations": frame("generations", generations),
        "trees": frame("trees", trees),
        "people": ibis.memtable(frame("network_people", [])),
        "n_people": 1, "n_links": 1, "n_roots": len(trees), "n_referrers": 1,
        "n_successes": 1, "max_generation": 2, "k_invitations": 1.0,
        "k_conversion": 1.0, "k": 1.0, "window_days": 60, "end": END,
    }  # fmt: skip
    return ReferralNetwork(**parts | changes)


def make_concentration(**changes) -> Concentration:
    """500 buyers of whom 100 brought somebody; 40 referrers without intervals."""
    tops = {"share_top_1": 0.2, "share_top_10": 0.7, "share_top_20": 1.0}
    buyers = {"group": "buyers", "n_people": 500, "total": 200, "gini": 0.85,
              "gini_low": 0.82, "gini_high": 0.88, "share_top_10_low": 0.65,
              "share_top_10_high": 0.75, "share_top_20_low": 0.99,
              "share_top_20_high": 1.0, "reason": ""}  # fmt: skip
    referrers = {"group": "referrers", "n_people": 40, "total": 210,
                 "gini": 0.3, "share_top_10": 0.4, "share_top_20": 0.5,
                 "reason": "few"}  # fmt: skip
    corners = {"buyers": [(0, 0), (0.8, 0), (0.9, 0.3), (0.99, 0.8), (1, 1)],
               "referrers": [(0, 0), (0.8, 0.5), (0.9, 0.6), (1, 1)]}  # fmt: skip
    curve = [
        {"group": g, "share_people": x, "share_of_total": y}
        for g, points in corners.items() for x, y in points
    ]  # fmt: skip
    shares = frame("concentration", [buyers | tops, referrers])
    parts = {"shares": shares, "curve": frame("lorenz", curve), "of": "referrals"}
    return Concentration(**parts | {"end": END} | changes)


DRAWINGS = {
    "generations": lambda **o: plots.plot_generations(make_network(), **o),
    "virality": lambda **o: plots.plot_virality(make_network(), **o),
    "concentration": lambda **o: plots.plot_concentration(make_concentration(), **o),
}  # fmt: skip


def words(ax) -> list[str]:
    """Every text of an Axes and of the one beside it."""
    found = [t.get_text() for t in ax.texts] + [ax.get_title(loc="left")]
    found += [t.get_text() for t in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    if ax.get_legend():
        found += [t.get_text() for t in ax.get_legend().get_texts()]
    found += [ax.get_xlabel(), ax.get_ylabel()]
    return [t for t in found if t] + [t for side in ax.child_axes for t in words(side)]


# What all drawings keep -------------------------------------------------------------


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


@pytest.mark.parametrize("name", DRAWINGS)
def test_both_languages_draw_the_same_in_other_words(name):
    english, chinese = DRAWINGS[name](), DRAWINGS[name](lang="zh")
    for kind in ("patches", "lines", "collections", "texts"):
        assert len(getattr(english, kind)) == len(getattr(chinese, kind))
    shared = {t for t in set(words(english)) & set(words(chinese)) if t.isascii()}
    # what stays the same are numbers and ids
    assert not {t for t in shared if " " in t and not t.replace(" ", "").isdigit()}
    assert any("\u4e00" <= c <= "\u9fff" for t in words(chinese) for c in t)


@pytest.mark.parametrize("name", DRAWINGS)
def test_global_settings_stay_as_they_are(name):
    before = dict(mpl.rcParams)
    DRAWINGS[name](lang="zh")
    assert dict(mpl.rcParams) == before


def test_drawing_does_not_change_the_result():
    network, concentration = make_network(), make_concentration()
    plots.plot_generations(network)
    plots.plot_virality(network)
    plots.plot_concentration(concentration)
    pd.testing.assert_frame_equal(network.generations, make_network().generations)
    pd.testing.assert_frame_equal(network.trees, make_network().trees)
    before = make_concentration()
    pd.testing.assert_frame_equal(concentration.shares, before.shares)
    pd.testing.assert_frame_equal(concentration.curve, before.curve)


# Generations ------------------------------------------------------------------------


def test_bars_are_the_people_and_the_buyers_of_each_generation():
    ax = plots.plot_generations(make_network())
    people, buyers = ([b.get_width() for b in bars] for bars in ax.containers)
    assert people == [1000, 90, 4]
    assert buyers == [300, 40, 1]
    assert {"1,000 came, 300 bought", "90 came, 40 bought"} <= set(words(ax))
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "1", "2"]


def test_shares_are_drawn_with_their_intervals_and_a_dash_where_missing():
    (side,) = plots.plot_generations(make_network()).child_axes
    (bars,) = side.containers
    points, _, (whiskers,) = bars.lines
    np.testing.assert_allclose(points.get_xydata(), [[0.28, 0], [0.4, 1]])
    ends = [segment[:, 0] for segment in whiskers.get_segments()]
    np.testing.assert_allclose(ends, [[0.25, 0.31], [0.3, 0.51]])
    (dash,) = side.texts
    assert (dash.get_text(), dash.get_position()[1]) == ("–", 2)
    assert "bought within 60 d\nof arrival (%), 95 % interval" in words(side)


def test_the_shares_stand_in_the_rows_of_the_bars():
    ax = plots.plot_generations(make_network())
    assert ax.child_axes[0].get_ylim() == ax.get_ylim()


def test_deep_networks_draw_the_first_generations_and_say_so():
    rows = [{"generation": i, "n_people": 5, "n_buyers": 1} for i in range(40)]
    ax = plots.plot_generations(make_network(rows))
    assert len(ax.containers[0]) == 12
    assert "drawn: the first 12 of 40 generations" in ax.get_title(loc="left")
    assert [t.get_text() for t in ax.child_axes[0].texts] == ["–"] * 12


def test_order_of_rows_does_not_matter():
    network = make_network()
    mixed = network.generations.sample(frac=1, random_state=3)
    ax = plots.plot_generations(dataclasses.replace(network, generations=mixed))
    assert [b.get_width() for b in ax.containers[0]] == [1000, 90, 4]


def test_a_network_of_nobody_has_nothing_to_show():
    nobody = [{"generation": 0, "n_people": 0, "n_buyers": 0}]
    for rows in ([], nobody):
        assert "no data" in words(plots.plot_generations(make_network(rows)))
    assert "no data" in words(plots.plot_virality(make_network(trees=[])))


@pytest.mark.parametrize("top", [1, 2, 3, 7, 10, 99, 1000, 4321, 5e6])
def test_ticks_are_round_and_end_at_most_at_the_longest_bar(top):
    ticks = root_ticks(top)
    assert ticks[0] == 0
    assert top / 2 < ticks[-1] <= top
    assert ticks == sorted(set(ticks))
    assert all(float(f"{t:.0e}") == t for t in ticks)


# Concentration ----------------------------------------------------------------------


def test_curves_are_those_of_the_table_and_the_diagonal():
    found = make_concentration()
    ax = plots.plot_concentration(found)
    lines = {line.get_label(): line for line in ax.lines}
    labels = {
        "buyers": "all buyers (n = 500)",
        "referrers": "those who brought a buyer (n = 40)",
    }
    for group, label in labels.items():
        rows = found.curve[found.curve["group"] == group]
        expected = rows[["share_people", "share_of_total"]]
        np.testing.assert_allclose(lines[label].get_xydata(), expected)
    np.testing.assert_allclose(
        lines["if all brought the same"].get_xydata(), [[0, 0], [1, 1]]
    )


def test_top_shares_are_marked_and_written_with_their_intervals():
    ax = plots.plot_concentration(make_concentration())
    marks = {tuple(np.round(line.get_xydata()[0], 9)) for line in ax.lines
             if len(line.get_xdata()) == 1}  # fmt: skip
    assert marks == {(0.99, 0.8), (0.9, 0.3), (0.8, 0.0), (0.9, 0.6), (0.8, 0.5)}
    shown = words(ax)
    assert "Gini 0.85 [0.82, 0.88]" in shown
    assert "top 1 % brought 20.0 %" in shown
    assert "top 10 % brought 70.0 % [65.0, 75.0]" in shown
    # referrers: no interval, and a missing top 1 % is left out
    assert "Gini 0.30" in shown
    assert sum(t.startswith("top 1 %") for t in shown) == 1


def test_the_band_is_the_interval_of_the_top_tenth():
    (band,) = plots.plot_concentration(make_concentration()).collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].min() == pytest.approx(1 - 0.75)
    assert corners[:, 1].max() == pytest.approx(1 - 0.65)
    assert corners[:, 0].mean() == pytest.approx(0.9, abs=0.01)


def test_curves_lie_on_their_marks():
    shop = sl.simulate(n_visitors=3000, seed=7)
    found = sl.concentration(sl.read_events(shop.orders, shop.referrals), "referrals")
    ax = plots.plot_concentration(found)
    curves = [line.get_xydata() for line in ax.lines if len(line.get_xdata()) > 2]
    marks = [line.get_xydata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert len(marks) == 6
    for x, y in marks:
        assert any(np.isclose(np.interp(x, *c.T), y, atol=1e-9) for c in curves)


def test_a_group_without_a_curve_says_why():
    found = make_concentration()
    few = found.shares.assign(n_people=[500, 7])
    curve = found.curve[found.curve["group"] == "buyers"]
    ax = plots.plot_concentration(make_concentration(shares=few, curve=curve))
    shown = words(ax)
    assert "those who brought a buyer (n = 7): – fewer than 30 people" in shown
    assert "Gini 0.85 [0.82, 0.88]" in shown


def test_without_any_curve_only_the_reasons_are_shown():
    found = make_concentration()
    none = found.shares.assign(n_people=[500, 0], total=0)
    ax = plots.plot_concentration(
        make_concentration(shares=none, curve=found.curve.head(0))
    )
    assert (
        "all buyers (n = 500): – nobody brought a buyer\n"
        "those who brought a buyer (n = 0): – fewer than 30 people"
    ) in words(ax)
    assert len(ax.lines) == 0


def test_empty_tables_have_nothing_to_show():
    empty = make_concentration(shares=frame("concentration", []),
                               curve=frame("lorenz", []))  # fmt: skip
    assert "no data" in words(plots.plot_concentration(empty))


# Virality ---------------------------------------------------------------------------


def test_every_tree_is_a_dot_and_equal_trees_are_one_larger_dot():
    (dots,) = plots.plot_virality(make_network()).collections
    places = dots.get_offsets().tolist()
    assert sorted(places) == [[2, 1.0], [4, pytest.approx(5 / 3)], [10, 1.8]]
    sizes = dict(zip([x for x, _ in places], dots.get_sizes(), strict=True))
    assert sizes[4] == sizes[10]
    assert sizes[2] == pytest.approx(sizes[4] * np.sqrt(2))


def test_trees_lie_between_a_star_and_a_chain():
    ax = plots.plot_virality(make_network())
    assert ax.get_xscale() == "log"
    chain, star = (line.get_xydata().T for line in ax.lines)
    # the star of 10 lies on one line, the chain of 4 on the other
    assert np.interp(10, *star) == pytest.approx(1.8, abs=1e-3)
    assert np.interp(4, *chain) == pytest.approx(5 / 3, abs=1e-3)


def test_bounds_hold_for_the_trees_of_a_shop():
    shop = sl.simulate(n_visitors=3000, seed=7)
    network = sl.referral_network(sl.read_events(shop.orders, shop.referrals))
    n, v = network.trees["n_people"], network.trees["structural_virality"]
    assert (v >= 2 - 2 / n - 1e-12).all()
    assert (v <= (n + 1) / 3 + 1e-12).all()
    (dots,) = plots.plot_virality(network).collections
    drawn = {(round(x, 9), round(y, 9)) for x, y in dots.get_offsets().tolist()}
    assert drawn == {(a, round(b, 9)) for a, b in zip(n, v, strict=True)}


def test_the_largest_tree_and_the_most_viral_are_named_once():
    assert [t.get_text() for t in plots.plot_virality(make_network()).texts] == ["ann"]
    trees = [("$big$", 50, 2.0), ("deep", 20, 6.0), ("cat", 2, 1.0)]
    rows = [{"root_id": r, "n_people": n, "structural_virality": v}
            for r, n, v in trees]  # fmt: skip
    ax = plots.plot_virality(make_network(trees=rows))
    assert [t.get_text() for t in ax.texts] == [r"\$big\$", "deep"]


def test_the_label_says_when_not_all_trees_are_drawn():
    label = plots.plot_virality(make_network()).get_xlabel()
    assert label == "people in the tree (log scale)\nnumber of trees: 4"
    label = plots.plot_virality(make_network(n_roots=1234)).get_xlabel()
    assert label == "people in the tree (log scale)\nthe 4 largest of 1,234 trees"


# One call, and the tree beside them -------------------------------------------------


def test_plot_draws_a_concentration():
    ax = sl.plot(make_concentration(), lang="zh")
    assert ax.get_title(loc="left") == "推荐集中在多少人手中"


def chain_or_ring(names, *, is_chain):
    """A network of one tree with these ids."""
    n = len(names)
    depth = np.arange(n) if is_chain else np.minimum(np.arange(n), 1)
    people = pd.DataFrame({
        "person_id": names,
        "referrer_id": [None, *(names[:-1] if is_chain else names[:1] * (n - 1))],
        "root_id": names[0],
        "generation": depth,
        "n_invited": [1] * (n - 1) + [0] if is_chain else [n - 1] + [0] * (n - 1),
        "n_referred": 0,
        "reach": n - 1 - np.arange(n) if is_chain else [n - 1] + [0] * (n - 1),
        "subtree_depth": depth.max() - depth,
    })  # fmt: skip
    tree = [{"root_id": names[0], "n_people": n, "structural_virality": 1.0}]
    return make_network(trees=tree, people=ibis.memtable(people))


def extents(ax):
    """Boxes of the names of a tree, once it is drawn."""
    ax.figure.canvas.draw()
    return [t.get_window_extent() for t in ax.texts]


def test_long_ids_of_a_tree_keep_their_ends_and_stay_inside_the_figure():
    names = [f"customer-long-name-{i:06d}" for i in range(40)]
    ax = plots.plot_referral_tree(chain_or_ring(names, is_chain=False))
    assert "custom…-000039" in words(ax)
    assert "custom…-000000 (people: 40" in ax.get_title(loc="left")
    boxes = extents(ax)
    (title,) = [t for t in ax.findobj(Text) if t.get_text().startswith("Referral tree")]
    top, width = title.get_window_extent().y0, ax.figure.bbox.width
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= top


def test_names_of_a_tree_do_not_cover_one_another():
    names = [f"C{i:04d}" for i in range(50)]
    ax = plots.plot_referral_tree(chain_or_ring(names, is_chain=True))
    shown = [t.get_text() for t in ax.texts]
    assert {"C0000", "C0049"} <= set(shown)
    assert 10 < len(shown) < 40
    places = sorted(t.xy[0] for t in ax.texts)[:-1]
    assert np.ptp(np.diff(places)) < 1e-9  # left out evenly


def test_dots_of_a_long_chain_do_not_cover_one_another():
    names = [f"C{i:04d}" for i in range(50)]
    ax = plots.plot_referral_tree(chain_or_ring(names, is_chain=True))
    ax.figure.canvas.draw()
    apart = np.diff(ax.transData.transform([[0, 0], [1, 0]])[:, 0])[0]
    points = apart * 72 / ax.figure.dpi
    groups = [c for c in ax.collections if c.get_zorder() == 2]
    assert sum(len(c.get_offsets()) for c in groups) == 50
    assert all(np.sqrt(c.get_sizes().max()) < points for c in groups)


def test_a_tree_can_share_its_limits_with_others():
    ax = plt.subplots(1, 2, sharex=True, sharey=True)[1][0]
    names = [f"C{i:04d}" for i in range(40)]
    plots.plot_referral_tree(chain_or_ring(names, is_chain=False), ax)
    ax.figure.canvas.draw()


@pytest.mark.parametrize(
    "draw", [plots.plot_generations, plots.plot_virality, plots.plot_referral_tree]
)
def test_links_alone_are_no_network_to_draw(draw):
    links = pd.DataFrame({"referrer_id": ["a"], "referee_id": ["b"]})
    with pytest.raises(SettingError, match="got LinkNetwork"):
        draw(sl.link_network(links))
