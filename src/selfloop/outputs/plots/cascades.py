"""How the loop would go without ads, and how large cascades grow, as a picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.measures.loop.growth import LoopGrowth
from selfloop.outputs.plots.lettering import amount
from selfloop.outputs.plots.reasons import why
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    interval,
    root_axis,
)
from selfloop.outputs.text import Lang


def plot_growth(
    growth: LoopGrowth, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw how large the cascades of the loop are, beside what chance makes of R.

    Parameters
    ----------
    growth : LoopGrowth
        From `selfloop.loop_growth`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        For each size of cascade a bar of those found, and a diamond for those
        expected, with the range that chance alone makes, on a square-root scale. In
        words R, whether the loop sustains itself, how soon it doubles or halves, and
        the multiplier.
    """
    with drawing(ax, lang) as pen:
        if growth.reason or growth.cascades.empty:
            pen.title(pen.say("growth.title"), growth.end)
            pen.blank(why(pen, growth.reason))
            return pen.ax
        pen.title(pen.say("growth.title"), growth.end, note=_words(pen, growth))
        _draw_sizes(pen, growth.cascades)
        label = pen.say("growth.size", n=format_value(growth.n_seeds, "int"))
        if np.isnan(growth.k):
            label += "\n" + pen.say("growth.nobody")
        pen.ax.set_xlabel(label)
        pen.ax.set_ylabel(pen.say("growth.axis"))
        clean(pen.ax)
        pen.ax.legend(frameon=False, fontsize="small", loc="upper right")
        return pen.ax


def _words(pen: Pen, growth: LoopGrowth) -> str:
    """Say how the loop would go: R and the verdict, and what follows."""
    r = interval(growth.r, growth.r_low, growth.r_high)
    window = pen.days(float(growth.horizon_days or 0))
    verdict = pen.say(f"growth.{growth.verdict}")
    first = pen.say("growth.r", window=window, r=r, verdict=verdict)
    parts = []
    for name in ("doubling", "halving"):
        days = getattr(growth, f"{name}_days")
        if not np.isnan(days):
            ends = (getattr(growth, f"{name}_days_{end}") for end in ("low", "high"))
            parts.append(pen.say(f"growth.{name}", days=_whole(days, *ends)))
    gain = growth.multiplier, growth.multiplier_low, growth.multiplier_high
    if not np.isnan(gain[0]):
        parts.append(pen.say("growth.multiplier", n=amount(*gain)))
    return "\n".join([first, pen.say("plot.and").join(parts)]).rstrip()


def _whole(value: float, low: float, high: float) -> str:
    """Write days with their interval."""
    shown = [
        format_value(x) if not np.isfinite(x) else f"{x:,.0f}"
        for x in (value, low, high)
    ]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def _draw_sizes(pen: Pen, table: pd.DataFrame) -> None:
    """Draw found and expected cascades of each size."""
    ax = pen.ax
    ink = ax.xaxis.label.get_color()
    place = np.arange(len(table))
    found = floats(table, "n_seeds")
    ax.bar(
        place, found, 0.62, color=STAGE_COLOURS["referral"], alpha=0.85,
        label=pen.say("growth.found"),
    )  # fmt: skip
    low, expected, high = (
        floats(table, f"expected{end}") for end in ("_low", "", "_high")
    )
    known = np.isfinite(expected)
    arms = np.maximum([(expected - low)[known], (high - expected)[known]], 0.0)
    ax.errorbar(
        place[known], expected[known], arms, color=ink, marker="D", markersize=4.5,
        markerfacecolor=ax.get_facecolor(), capsize=4, linewidth=1.2, linestyle="",
        label=pen.say("growth.expected"),
    )  # fmt: skip
    tops = np.nanmax([found, np.where(known, high, np.nan)], axis=0)
    for x, n, top in zip(place, found, tops, strict=True):
        ax.annotate(
            format_value(n, "int"), (x, top), (0, 4), textcoords="offset points",
            ha="center", fontsize="small",
        )  # fmt: skip
    sizes = zip(table["size_low"], table["size_high"], strict=True)
    ax.set_xticks(place, [_size(pen, low, high) for low, high in sizes])
    root_axis(ax, float(np.max(tops, initial=1.0)))
    ax.set_ylim(0, 1.2 * float(np.max(tops, initial=1.0)))


def _size(pen: Pen, low: int, high: float) -> str:
    """Return a class of sizes; the last has no upper end."""
    if pd.isna(high):
        return pen.say("growth.above", n=low)
    return f"{low}" if high == low else f"{low}–{high}"
