"""Generations, concentration and shape of the referral network, as pictures."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from selfloop.core.display import format_value
from selfloop.measures.referral.network import ReferralNetwork
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    percent_axis,
    root_axis,
)
from selfloop.outputs.plots.tree import check_network
from selfloop.outputs.text import Lang

Floats = NDArray[np.float64]

_MAX_GENERATIONS = 12
_SHARES_FROM = 0.7  # left of it the bars, right of it the shares
_BARS_TO = 0.44
_SIZES = (2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000,
          50_000, 100_000, 200_000, 500_000, 1_000_000)  # fmt: skip


def plot_generations(
    network: ReferralNetwork, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw how many people each generation has, and which share of them buys.

    Parameters
    ----------
    network : ReferralNetwork
        From `selfloop.referral_network`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        One row per generation, 12 at most: a bar of its people, in it one of those
        who have bought so far; beside it, in ``ax.child_axes[0]``, the share of the
        people observed for the window who bought within it, with its interval. Counts
        are on a square-root scale, because generations shrink fast.
    """
    check_network(network)
    table = network.generations.sort_values("generation", kind="stable")
    n_all, table = len(table), table.head(_MAX_GENERATIONS)
    size = (7.2, max(2.6, 1.5 + 0.42 * len(table)))
    with drawing(ax, lang, size=size) as pen:
        words = pen.say("generations.title")
        if n_all > len(table):
            part = pen.say("generations.part", shown=len(table), n=n_all)
            words += f"\n{part}"
        pen.title(words, network.end)
        if not floats(table, "n_people").sum():
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        _draw_bars(pen, table)
        _draw_shares(pen, table, network.window_days)
        return pen.ax


def _draw_bars(pen: Pen, table: pd.DataFrame) -> None:
    """Draw the people of each generation, and those who bought in front of them."""
    ax = pen.ax
    place = np.arange(len(table))
    people, buyers = floats(table, "n_people"), floats(table, "n_buyers")
    for counts, colour, key in (
        (people, "#d3dae3", "generations.people"),
        (buyers, STAGE_COLOURS["conversion"], "generations.buyers"),
    ):
        ax.barh(place, counts, 0.62, color=colour, label=pen.say(key))
    for y, n, n_buyers in zip(place, people, buyers, strict=True):
        words = pen.say(
            "generations.count", n=format_value(n, "int"),
            buyers=format_value(n_buyers, "int"),
        )  # fmt: skip
        ax.annotate(
            words, (n, y), (4, 0), textcoords="offset points", va="center",
            fontsize="x-small",
        )  # fmt: skip
    root_axis(ax, people.max(), axis="x")
    # The longest bar leaves room for its words and for the shares.
    ax.set_xlim(0, people.max() / _BARS_TO**2)
    ax.set_yticks(place, [f"{int(g)}" for g in table["generation"]])
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set_xlabel(pen.say("generations.axis"), loc="left")
    ax.set_ylabel(pen.say("generations.generation"))
    clean(ax, grid="x")
    ax.grid(visible=False)
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.legend(
        loc="upper left", bbox_to_anchor=(0, 0), ncols=2, frameon=False,
        fontsize="small", borderaxespad=4.6,
    )  # fmt: skip


def _draw_shares(pen: Pen, table: pd.DataFrame, window_days: int) -> None:
    """Draw the matured share of each generation with its interval, or a dash."""
    side = pen.ax.inset_axes((_SHARES_FROM, 0.0, 1 - _SHARES_FROM, 1.0))
    side.set_facecolor("none")
    colour = STAGE_COLOURS["conversion"]
    share, low, high = (
        floats(table, f"share_matured{end}") for end in ("", "_low", "_high")
    )
    place = np.arange(len(table))
    known = np.isfinite(share)
    # Rounding must not put an end on the wrong side of its share.
    arms = np.maximum([(share - low)[known], (high - share)[known]], 0.0)
    side.errorbar(
        share[known], place[known], xerr=arms,
        color=colour, marker="o", markersize=5, capsize=3, linewidth=1.4, linestyle="",
    )  # fmt: skip
    for y in place[~known]:
        side.text(
            0.03, y, format_value(None), va="center",
            transform=side.get_yaxis_transform(),
        )  # fmt: skip
    end = np.nanmax(high[known]) * 1.08 if known.any() else 1.0
    side.set_xlim(0, min(1.02, end))
    side.set_ylim(pen.ax.get_ylim())
    side.set_yticks([])
    side.xaxis.set_major_locator(MaxNLocator(4))
    percent_axis(side, axis="x")
    window = pen.days(window_days)
    side.set_xlabel(pen.say("generations.share", window=window))
    # Ticks made later, when the figure is saved, are outside the fonts of now.
    side.tick_params(labelfontfamily=mpl.rcParams["font.family"])
    clean(side, grid="x")


def plot_virality(
    network: ReferralNetwork, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw whether referral trees spread from person to person, or from one person.

    Parameters
    ----------
    network : ReferralNetwork
        From `selfloop.referral_network`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        Structural virality against the number of people, one dot per tree of
        ``network.trees``; equal trees are one larger dot. All dots lie between the
        two lines: a star (one person brought all others) is the lowest that a tree
        of its size can be, a chain the highest. The largest tree and the one of
        highest structural virality are named.
    """
    check_network(network)
    trees = network.trees
    with drawing(ax, lang) as pen:
        pen.title(pen.say("virality.title"), network.end)
        if trees.empty:
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        alike = trees.groupby(["n_people", "structural_virality"], as_index=False)
        dots = alike.agg(n_trees=("root_id", "size"))
        size, virality = floats(dots, "n_people"), floats(dots, "structural_virality")
        n_trees = floats(dots, "n_trees")
        _draw_bounds(pen, size.max(), virality.max())
        pen.ax.scatter(
            size, virality, 26 * np.sqrt(n_trees), color=STAGE_COLOURS["referral"],
            alpha=0.75, linewidth=0, label=pen.say("virality.tree"), zorder=2,
        )  # fmt: skip
        _name_trees(pen, trees)
        n_all = format_value(network.n_roots, "int")
        if len(trees) < network.n_roots:
            shown = format_value(len(trees), "int")
            pen.ax.set_xlabel(pen.say("virality.size", shown=shown, n=n_all))
        else:
            pen.ax.set_xlabel(pen.say("virality.all", n=n_all))
        pen.ax.set_ylabel(pen.say("virality.axis"))
        clean(pen.ax)
        pen.ax.legend(loc="upper left", frameon=False, fontsize="small")
        return pen.ax


def _draw_bounds(pen: Pen, size: float, virality: float) -> None:
    """Draw the axes, and what a star and a chain of each size would have."""
    ax = pen.ax
    right = max(10.0, size * 1.6)
    n = np.unique(np.geomspace(2, right, 200).round())
    top = max(3.0, virality * 1.25)
    style: dict[str, Any] = {"color": STAGE_COLOURS["traffic"], "linewidth": 1}
    chain = np.where((n + 1) / 3 <= top, (n + 1) / 3, np.nan)
    ax.plot(n, chain, linestyle=(0, (4, 3)), label=pen.say("virality.chain"), **style)
    ax.plot(n, 2 - 2 / n, linestyle="-", label=pen.say("virality.star"), **style)
    ax.set_xscale("log")
    ax.set_xlim(1.8, right)
    ax.set_ylim(0.8, top)
    ticks = [v for v in _SIZES if v <= right]
    every = max(1, -(-len(ticks) // 8))
    ax.xaxis.set_major_locator(FixedLocator(ticks[::every]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,g}"))


def _name_trees(pen: Pen, trees: pd.DataFrame) -> None:
    """Name the largest tree and the one of highest structural virality."""
    largest = int(trees["n_people"].to_numpy().argmax())
    most = int(trees["structural_virality"].to_numpy().argmax())
    # One above and one below its dot: the two may be neighbours.
    for row, shift in {largest: -12, most: 6}.items():
        tree = trees.iloc[row]
        pen.ax.annotate(
            pen.name(tree["root_id"]),
            (float(tree["n_people"]), float(tree["structural_virality"])), (0, shift),
            textcoords="offset points", ha="center", fontsize="x-small",
        )  # fmt: skip
