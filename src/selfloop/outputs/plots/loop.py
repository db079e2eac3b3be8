"""The loop of four stages as a picture."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch

from selfloop.core.display import format_value
from selfloop.measures.analyze import Analysis
from selfloop.measures.loop.overall import SelfLoop
from selfloop.outputs.plots.style import STAGE_COLOURS, Pen, drawing
from selfloop.outputs.text import Lang

_RADIUS = 0.36


class _Arrow(NamedTuple):
    """One arrow: ends, the stage of its colour, its bend, where its words stand."""

    start: str
    stop: str
    stage: str
    bend: float
    label: tuple[float, float]


_PLACES = {
    "traffic": (0.0, 1.2),
    "conversion": (1.35, 0.0),
    "repurchase": (0.0, -1.2),
    "referral": (-1.35, 0.0),
}
_ARROWS = {
    "conversion": _Arrow("traffic", "conversion", "conversion", -0.25, (1.06, 1.0)),
    "repurchase": _Arrow("conversion", "repurchase", "repurchase", -0.25, (1.06, -0.8)),
    "referral": _Arrow("conversion", "referral", "referral", 0.0, (0.0, -0.16)),
    "traffic": _Arrow("referral", "traffic", "referral", -0.25, (-1.06, 1.0)),
}
"""The way into each stage; the way into traffic is the return."""


def plot_loop(
    analysis: Analysis,
    ax: Axes | None = None,
    *,
    window_days: int = 90,
    lang: Lang = "en",
) -> Axes:
    """Draw the four stages as a loop, with the rate on each arrow.

    Parameters
    ----------
    analysis : Analysis
        From `selfloop.analyze`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    window_days : int, optional
        Window of the rates and horizon of R, in days.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        Circles hold the people who reached each stage so far; arrows carry the
        share of people observed for the window who went on, with its Wilson
        interval. Repurchase and referral both start from conversion. The arrow back
        carries R, the new buyers per buyer, and the middle what the loop makes of
        one customer from outside.
    """
    with drawing(ax, lang, size=(6.8, 5.8)) as pen:
        pen.title(
            pen.say("loop.title", window=pen.days(window_days)), analysis.funnel.end
        )
        pen.ax.set_xlim(-1.95, 1.95)
        pen.ax.set_ylim(-1.6, 1.6)
        pen.ax.set_aspect("equal")
        pen.ax.set_axis_off()
        stages = analysis.funnel.stages.drop_duplicates("stage").set_index("stage")
        nodes = {stage: _draw_node(pen, stage, stages) for stage in _PLACES}
        windows = analysis.funnel.windows
        windows = windows[windows["window_days"] == window_days]
        windows = windows.drop_duplicates("stage")
        for stage in ("conversion", "repurchase", "referral"):
            words, note = _rate(pen, stage, windows)
            _draw_arrow(pen, _ARROWS[stage], nodes, words, note)
        words, note = _strength(pen, analysis.loop, window_days)
        _draw_arrow(pen, _ARROWS["traffic"], nodes, words, note)
        _draw_gain(pen, analysis.loop)
        return pen.ax


def _draw_node(pen: Pen, stage: str, stages: pd.DataFrame) -> Circle:
    """Draw the circle of a stage with its name and its people."""
    ax, (x, y), colour = pen.ax, _PLACES[stage], STAGE_COLOURS[stage]
    circle = Circle(
        (x, y), _RADIUS, facecolor=ax.get_facecolor(), edgecolor=colour, linewidth=3
    )
    ax.add_patch(circle)
    n_people = stages.loc[stage, "n_reached"] if stage in stages.index else None
    ax.text(x, y + 0.1, pen.say(f"stage.{stage}"), ha="center", va="center")
    ax.text(
        x, y - 0.11, format_value(n_people, "int"), ha="center", va="center",
        fontsize="large", fontweight="bold",
    )  # fmt: skip
    return circle


def _draw_arrow(
    pen: Pen, arrow: _Arrow, nodes: dict[str, Circle], words: str, note: str
) -> None:
    """Draw one arrow between two circles and write its words."""
    pen.ax.add_patch(
        FancyArrowPatch(
            _PLACES[arrow.start], _PLACES[arrow.stop], patchA=nodes[arrow.start],
            patchB=nodes[arrow.stop], connectionstyle=f"arc3,rad={arrow.bend}",
            arrowstyle="-|>", mutation_scale=20, linewidth=2.4, shrinkA=3, shrinkB=3,
            color=STAGE_COLOURS[arrow.stage],
        )
    )  # fmt: skip
    x, y = arrow.label
    side = "center" if x == 0 else "left" if x > 0 else "right"
    pen.ax.text(x, y, words, ha=side, va="center", fontweight="bold")
    pen.ax.text(
        x, y - 0.11, note, ha=side, va="top", fontsize="small", alpha=0.8,
        linespacing=1.3,
    )  # fmt: skip


def _rate(pen: Pen, stage: str, windows: pd.DataFrame) -> tuple[str, str]:
    """Write the share of people who went on to a stage, and its interval."""
    of = pen.say("loop.of_arrivals" if stage == "conversion" else "loop.of_buyers")
    rows = windows[(windows["stage"] == stage) & windows["share_matured"].notna()]
    if rows.empty:
        return format_value(None), of
    row = rows.iloc[0]
    low, high = row["share_matured_low"] * 100, row["share_matured_high"] * 100
    return format_value(row["share_matured"], "share"), f"{of}\n[{low:.1f}, {high:.1f}]"


def _strength(pen: Pen, loop: SelfLoop, window_days: int) -> tuple[str, str]:
    """Write R with its interval."""
    meaning = pen.say("loop.r_meaning")
    rows = loop.reproduction
    rows = rows[(rows["horizon_days"] == window_days) & rows["r"].notna()]
    if rows.empty:
        return pen.say("loop.r", r=format_value(None)), meaning
    row = rows.iloc[0]
    note = f"{meaning}\n[{row['r_low']:.2f}, {row['r_high']:.2f}]"
    return pen.say("loop.r", r=f"{row['r']:.2f}"), note


def _draw_gain(pen: Pen, loop: SelfLoop) -> None:
    """Write in the middle what the loop makes of one customer from outside."""
    words, note = format_value(None), ""
    if loop.reproduction.empty:
        note = pen.say("plot.no_referrals")
    elif loop.horizon_days is not None and not np.isnan(loop.multiplier):
        words = f"×{_times(loop.multiplier)}"
        low, high = _times(loop.multiplier_low), _times(loop.multiplier_high)
        window = pen.days(loop.horizon_days)
        note = f"{pen.say('loop.gain_meaning', window=window)}\n[{low}, {high}]"
    pen.ax.text(
        0, 0.7, pen.say("loop.gain"), ha="center", va="center", fontsize="small"
    )
    pen.ax.text(
        0, 0.52, words, ha="center", va="center", fontsize="xx-large",
        fontweight="bold",
    )  # fmt: skip
    pen.ax.text(
        0, 0.42, note, ha="center", va="top", fontsize="small", alpha=0.8,
        linespacing=1.3,
    )  # fmt: skip


def _times(value: float) -> str:
    """Write a factor; without end where the loop may grow by itself."""
    return format_value(value) if np.isinf(value) else f"{value:.2f}"
