"""Models of purchases side by side, as a picture."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from selfloop.measures.lifetime.compare import ModelComparison
from selfloop.outputs.plots.style import (
    SOURCE_COLOURS,
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
)
from selfloop.outputs.text import Lang

_LINEAR = 10.0
"""AIC differences up to here are drawn to scale: they are those that matter."""

_ROOM = 0.15  # for the number beside the outermost dot, as a part of the axis


def plot_comparison(
    comparison: ModelComparison, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw how far the AIC of each model is from that of the chosen one.

    Parameters
    ----------
    comparison : ModelComparison
        From `selfloop.compare_models`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        One row for each model, the least AIC first. The chosen one is at 0; models
        that are only shown for comparison are grey. With a holdout its log score
        (more is better) stands at the right.
    """
    table = comparison.table.reset_index(drop=True)
    size = (7.2, max(2.4, 1.4 + 0.46 * len(table)))
    with drawing(ax, lang, size=size) as pen:
        pen.title(pen.say("comparison.title"))
        above = floats(table, "aic_above_best")
        labels = []
        for y, (_, row) in enumerate(table.iterrows()):
            label, colour = _role(pen, row)
            labels.append(label)
            if pd.isna(above[y]):
                words = pen.say("comparison.failed")
                pen.ax.annotate(
                    words, (0, y), (8, 0), textcoords="offset points", va="center",
                    fontsize="small",
                )  # fmt: skip
                continue
            _draw_row(pen, (float(above[y]), y), colour)
        _draw_scores(pen, table)
        pen.ax.set_yticks(range(len(table)), labels)
        pen.ax.set_ylim(len(table) - 0.5, -0.7)
        known = [v for v in above if v == v]
        _scale(pen.ax, min([0.0, *known]), max([0.0, *known]))
        ink = pen.ax.xaxis.label.get_color()
        pen.ax.axvline(0, color=ink, linewidth=0.8)
        pen.ax.set_xlabel(pen.say("comparison.axis"))
        clean(pen.ax, grid="x")
        return pen.ax


def _role(pen: Pen, row: "pd.Series[float]") -> tuple[str, str]:
    """Return the name of a model with its role, and its colour."""
    name, role = pen.name(row["label"]), str(row["role"])
    if role == "chosen":
        return pen.say("comparison.chosen", model=name), STAGE_COLOURS["repurchase"]
    if role.startswith("beside"):
        return pen.say("comparison.beside", model=name), SOURCE_COLOURS["organic"]
    return name, STAGE_COLOURS["conversion"]


def _draw_row(pen: Pen, place: tuple[float, int], colour: str) -> None:
    """Draw a dot, the line that leads to it, and its number."""
    value, y = place
    pen.ax.plot([0, value], [y, y], color=colour, linewidth=2)
    pen.ax.plot(value, y, "o", color=colour, markersize=7)
    # At 0 the line of the axis would run through a number above the dot.
    is_zero = abs(value) < 0.05
    pen.ax.annotate(
        "0" if value == 0 else f"{value:+,.1f}", (value, y),
        (8, 0) if is_zero else (0, 6), textcoords="offset points", fontsize="small",
        va="center" if is_zero else "bottom", ha="left" if is_zero else "center",
    )  # fmt: skip


def _draw_scores(pen: Pen, table: pd.DataFrame) -> None:
    """Write the log scores of the holdout in the right margin, when there is one."""
    scores = floats(table, "holdout_log_score")
    for y, score in enumerate(scores):
        if score == score:
            pen.ax.annotate(
                f"{score:.4f}", (1.03, y), xycoords=("axes fraction", "data"),
                va="center", fontsize="small", annotation_clip=False,
            )  # fmt: skip
    if (scores == scores).any():
        pen.ax.annotate(
            pen.say("comparison.score"), (1.03, 0), (0, -4), ha="left", va="top",
            xycoords="axes fraction", textcoords="offset points", fontsize="x-small",
            alpha=0.75, annotation_clip=False,
        )  # fmt: skip


def _scale(ax: Axes, least: float, most: float) -> None:
    """Draw small differences to scale and large ones by their logarithms."""
    ax.set_xscale("symlog", linthresh=_LINEAR, linscale=1)
    most = max(most, _LINEAR)
    ends = [_LINEAR]
    while ends[-1] * 10 <= max(most, -least):
        ends.append(ends[-1] * 10)
    ticks = [-t for t in ends if -t >= least] + [0.0] + [t for t in ends if t <= most]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.tick_params(axis="x", labelsize="small")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,g}"))
    low, high = _decades(least), _decades(most)
    room = _ROOM * (high - low)
    left = low - room if least < 0 else -0.4 * room
    ax.set_xlim(_undo_decades(left), _undo_decades(high + room))


def _decades(value: float) -> float:
    """Return where a difference stands on the axis: 1 at the end of the true part."""
    size = abs(value) / _LINEAR
    return math.copysign(size if size < 1 else 1 + math.log10(size), value)


def _undo_decades(place: float) -> float:
    """Return the difference that stands at a place."""
    size = abs(place)
    return math.copysign(_LINEAR * (size if size < 1 else 10 ** (size - 1)), place)
