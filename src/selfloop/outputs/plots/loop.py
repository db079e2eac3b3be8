"""The loop of four stages as a picture."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch

from selfloop.core.display import format_value
from selfloop.outputs.plots.style import STAGE_COLOURS, Pen, drawing, interval
from selfloop.outputs.text import Lang

if TYPE_CHECKING:
    from selfloop.measures.analyze import Analysis

_NODE = 0.34


class _Arrow(NamedTuple):
    """One arrow of the loop: its ends, its bend, its words and where they stand."""

    start: str
    stop: str
    bend: float
    label: tuple[float, float]


_PLACES = {
    "traffic": (0.0, 1.15),
    "conversion": (1.3, 0.0),
    "repurchase": (0.0, -1.15),
    "referral": (-1.3, 0.0),
}
_ARROWS = {
    "conversion": _Arrow("traffic", "conversion", -0.28, (1.06, 0.86)),
    "repurchase": _Arrow("conversion", "repurchase", -0.28, (1.06, -0.86)),
    "referral": _Arrow("conversion", "referral", 0.0, (0.0, -0.14)),
    "return": _Arrow("referral", "traffic", -0.28, (-1.06, 0.86)),
}


def plot_loop(
    analysis: "Analysis",
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
        for stage in _PLACES:
            _draw_node(pen, stage, stages)
        windows = analysis.funnel.windows
        windows = windows[windows["window_days"] == window_days]
        windows = windows.drop_duplicates("stage").set_index("stage")
        for stage in ("conversion", "repurchase", "referral"):
            row = windows.loc[stage] if stage in windows.index else None
            _draw_rate(pen, stage, row)
        _draw_return(pen, analysis, window_days)
        return pen.ax


def _draw_node(pen: Pen, stage: str, stages: pd.DataFrame) -> None:
    """Draw the circle of a stage with its name and its people."""
    ax, (x, y), colour = pen.ax, _PLACES[stage], STAGE_COLOURS[stage]
    ax.add_patch(
        Circle((x, y), _NODE, facecolor=ax.get_facecolor(), edgecolor=colour, lw=3)
    )
    known = stage in stages.index
    n_people = stages.loc[stage, "n_reached"] if known else None
    ax.text(
        x, y + 0.09, pen.say(f"stage.{stage}"), ha="center", va="center",
        fontsize="medium",
    )  # fmt: skip
    ax.text(
        x, y - 0.11, format_value(n_people, "int"), ha="center", va="center",
        fontsize="large", fontweight="bold",
    )  # fmt: skip


def _draw_arrow(pen: Pen, name: str, colour: str, words: str, note: str) -> None:
    """Draw one arrow between two circles and write its words."""
    arrow = _ARROWS[name]
    start, stop = np.array(_PLACES[arrow.start]), np.array(_PLACES[arrow.stop])
    pen.ax.add_patch(
        FancyArrowPatch(
            tuple(start), tuple(stop), connectionstyle=f"arc3,rad={arrow.bend}",
            arrowstyle="-|>", mutation_scale=20, linewidth=2.4, color=colour,
            shrinkA=_shrink(pen), shrinkB=_shrink(pen),
        )
    )  # fmt: skip
    x, y = arrow.label
    side = "center" if x == 0 else "left" if x > 0 else "right"
    pen.ax.text(
        x, y, words, ha=side, va="center", fontweight="bold", fontsize="medium"
    )
    pen.ax.text(x, y - 0.17, note, ha=side, va="center", fontsize="small", alpha=0.8)


def _shrink(pen: Pen) -> float:
    """Return the radius of a circle in points, so that arrows end at its edge."""
    return 5


def _draw_rate(pen: Pen, stage: str, row: "pd.Series[Any] | None") -> None:
    """Draw the arrow into a stage with the share of people who went on."""
    of = "arrivals" if stage == "conversion" else "buyers"
    words, note = format_value(None), pen.say(f"loop.of_{of}")
    if row is not None and not pd.isna(row["share_matured"]):
        words = format_value(row["share_matured"], "share")
        low, high = row["share_matured_low"] * 100, row["share_matured_high"] * 100
        note = f"{note} [{low:.1f}, {high:.1f}]"
    _draw_arrow(pen, stage, STAGE_COLOURS[stage], words, note)


def _draw_return(pen: Pen, analysis: "Analysis", window_days: int) -> None:
    """Draw the way back with R, and what the loop makes of one customer."""
    loop = analysis.loop
    rows = loop.reproduction
    rows = rows[(rows["horizon_days"] == window_days) & rows["r"].notna()]
    r, note = format_value(None), pen.say("loop.r_meaning")
    if len(rows):
        row = rows.iloc[0]
        r = f"{row['r']:.2f}"
        note = f"{note} [{row['r_low']:.2f}, {row['r_high']:.2f}]"
    _draw_arrow(pen, "return", STAGE_COLOURS["referral"], pen.say("loop.r", r=r), note)
    gain = format_value(None)
    if loop.multiplier is not None and np.isfinite(loop.multiplier):
        gain = interval(loop.multiplier, loop.multiplier_low, loop.multiplier_high)
    pen.ax.text(
        0, 0.52, pen.say("loop.gain"), ha="center", va="center", fontsize="small",
        alpha=0.8,
    )  # fmt: skip
