"""Lorenz curves: how few people bring how much."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.core.settings import MIN_AT_RISK
from selfloop.measures.concentration import TOPS_PERCENT, Concentration
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    percent_axis,
)
from selfloop.outputs.text import Lang

_GROUP_COLOURS = {
    "buyers": STAGE_COLOURS["referral"],
    "repeat_buyers": STAGE_COLOURS["repurchase"],
    "referrers": STAGE_COLOURS["conversion"],
}


def plot_concentration(
    concentration: Concentration, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw whether a few people bring most of the revenue, or of what was asked.

    Parameters
    ----------
    concentration : Concentration
        From `selfloop.concentration`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        The Lorenz curve of all buyers and of the second group, those who bought twice
        or who brought somebody: the further below the diagonal, the fewer people it
        hangs on. The shares of the top 1, 10
        and 20 % are marked and written, with the interval of the top 10 % as a band.
    """
    with drawing(ax, lang, size=(6.4, 5.6)) as pen:
        of = concentration.of
        pen.title(pen.say(f"concentration.title_{of}"), concentration.end)
        shares, curve = concentration.shares, concentration.curve
        if curve.empty:
            reasons = [_reason(pen, of, line) for _, line in shares.iterrows()]
            pen.blank("\n".join(reasons) or pen.say("plot.no_data"))
            return pen.ax
        pen.ax.plot(
            [0, 1], [0, 1], color=STAGE_COLOURS["traffic"], linewidth=1,
            linestyle=(0, (4, 3)), label=pen.say("concentration.equal"),
        )  # fmt: skip
        height = 0.97
        for _, line in shares.iterrows():
            rows = curve[curve["group"] == line["group"]]
            height = _draw_group(pen, of, line, rows=rows, height=height)
        pen.ax.set_xlim(0, 1)
        pen.ax.set_ylim(0, 1)
        for axis in ("x", "y"):
            percent_axis(pen.ax, axis=axis)
        pen.ax.set_xlabel(pen.say("concentration.people"))
        pen.ax.set_ylabel(pen.say(f"concentration.total_{of}"))
        clean(pen.ax)
        pen.ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False,
            fontsize="small",
        )  # fmt: skip
        return pen.ax


def _draw_group(
    pen: Pen, of: str, line: "pd.Series[float]", *, rows: pd.DataFrame, height: float
) -> float:
    """Draw the curve of one group and write its numbers; return the height left."""
    ax, colour = pen.ax, _GROUP_COLOURS[str(line["group"])]
    name = _group_name(pen, line)
    if rows.empty:
        words = [_reason(pen, of, line)]
    else:
        ax.plot(
            floats(rows, "share_people"), floats(rows, "share_of_total"),
            color=colour, linewidth=1.8, label=name, clip_on=False,
        )  # fmt: skip
        gini = _with_ends(line, "gini", 1.0, "")
        words = [name, pen.say("concentration.gini", gini=gini)]
        words += _draw_tops(pen, line, colour)
    for number, text in enumerate(words):
        ax.text(
            0.02 if number == 0 else 0.04, height, text, color=colour, va="top",
            transform=ax.transAxes, fontsize="small" if number == 0 else "x-small",
            fontweight="bold" if number == 0 else "normal",
        )  # fmt: skip
        height -= 0.048 if number == 0 else 0.042
    return height - 0.015


def _group_name(pen: Pen, line: "pd.Series[float]") -> str:
    """Return a group in words, with its people."""
    n_people = format_value(line["n_people"], "int")
    return pen.say(f"concentration.{line['group']}", n=n_people)


def _reason(pen: Pen, of: str, line: "pd.Series[float]") -> str:
    """Return why a group has no curve."""
    if line["n_people"] < MIN_AT_RISK:
        why = pen.say("concentration.too_few", n=MIN_AT_RISK)
    else:
        why = pen.say(f"concentration.nothing_{of}")
    return pen.say("concentration.missing", group=_group_name(pen, line), why=why)


def _draw_tops(pen: Pen, line: "pd.Series[float]", colour: str) -> list[str]:
    """Mark the top shares on the curve and return them in words."""
    words = []
    for top in TOPS_PERCENT:
        column = f"share_top_{top}"
        share, low, high = (float(line[f"{column}{e}"]) for e in ("", "_low", "_high"))
        if np.isnan(share):
            continue
        x = 1 - top / 100
        pen.ax.plot(
            x, 1 - share, marker="o", markersize=5, color=colour, zorder=3,
            clip_on=False,
        )  # fmt: skip
        if top == 10 and np.isfinite([low, high]).all():
            pen.ax.fill_between(
                [x - 0.025, x + 0.025], 1 - high, 1 - low, color=colour, alpha=0.3,
                linewidth=0, zorder=2, label=_band_label(pen),
            )  # fmt: skip
        shown = _with_ends(line, column, 100.0, " %")
        words.append(pen.say("concentration.top", top=top, share=shown))
    return words


def _band_label(pen: Pen) -> str | None:
    """Return what the bands are, for the first of them only."""
    label = pen.say("concentration.band")
    return None if label in pen.ax.get_legend_handles_labels()[1] else label


def _with_ends(line: "pd.Series[float]", column: str, times: float, unit: str) -> str:
    """Write a number with its interval, as ``62.8 % [61.6, 64.1]``."""
    digits = 1 if unit else 2
    value, low, high = (
        float(line[f"{column}{end}"]) * times for end in ("", "_low", "_high")
    )
    shown = f"{value:.{digits}f}{unit}"
    return shown if low != low else f"{shown} [{low:.{digits}f}, {high:.{digits}f}]"
