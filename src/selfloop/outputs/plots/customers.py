"""Who is active and how that changes, as a picture."""

from typing import Literal, get_args

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.core.settings import check_choice
from selfloop.measures.customers.lifecycle import Lifecycle
from selfloop.outputs.plots.keys import box, ink, legend_below, paper, stroke
from selfloop.outputs.plots.months import name_months
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    money_axis,
)
from selfloop.outputs.text import Lang

Memory = Literal["days", "previous"]
"""By the days since the last purchase, or by the period before only."""

_BARS = {
    "days": {
        "repeat": "n_repeat_buyers",
        "new": "n_new_buyers",
        "resurrected": "n_resurrected_buyers",
        "lapsed": "n_lapsed",
    },
    "previous": {
        "repeat": "n_repeat",
        "new": "n_new",
        "resurrected": "n_resurrected",
        "absent": "n_dormant",
    },
}
_COLOURS = {
    "repeat": STAGE_COLOURS["repurchase"],
    "new": STAGE_COLOURS["conversion"],
    "resurrected": "#d9a441",
    "lapsed": "#9aa5b4",
    "absent": "#9aa5b4",
}
_BELOW = ("lapsed", "absent")
_TALLEST = 4.0  # times the tallest bar: a line above that would hide the bars


def plot_lifecycle(
    lifecycle: Lifecycle,
    ax: Axes | None = None,
    *,
    memory: Memory = "days",
    lang: Lang = "en",
) -> Axes:
    """Draw who bought in each period, who fell silent, and how many are active.

    Parameters
    ----------
    lifecycle : Lifecycle
        From `selfloop.lifecycle`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    memory : {"days", "previous"}, optional
        By the days since the last purchase, or, as product-analytics tools do, by
        whether somebody bought in the period before.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        Above 0 the buyers of each period: repeat, new and resurrected; below 0 those
        who fell dormant in it (or, by the period before, did not buy again). The line
        is the number of active customers at the close; where it is far above the bars,
        as for days, the last number is written instead. A partial period is hatched.

    Raises
    ------
    SettingError
        `memory` is none of these.
    """
    check_choice("memory", memory, get_args(Memory))
    table = lifecycle.table if memory == "days" else lifecycle.previous
    size = (min(12.0, max(7.2, 3.6 + 0.36 * len(table))), 4.6)
    with drawing(ax, lang, size=size) as pen:
        pen.title(pen.say("lifecycle.title"), lifecycle.end)
        if table.empty:
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        keys = _draw_bars(pen, table, _BARS[memory])
        note = _notes(pen, lifecycle, memory)
        if memory == "days":
            active = floats(table, "n_closing")
            if active.max() <= _TALLEST * table["n_buyers"].max():
                pen.ax.plot(
                    range(len(table)), active, color=ink(pen), marker="o",
                    markersize=3.5, linewidth=1.3, markerfacecolor=paper(pen),
                )  # fmt: skip
                keys.append(stroke(pen.say("lifecycle.active_line"), ink(pen)))
            else:
                n = format_value(int(active[-1]), "int")
                note.insert(0, pen.say("lifecycle.active_last", n=n))
        pen.ax.axhline(0, color=ink(pen), linewidth=0.8)
        pen.ax.set_ylabel(pen.say("lifecycle.axis"))
        pen.ax.set_xlabel("   ".join(note))
        money_axis(pen.ax)
        clean(pen.ax)
        n_lines = name_months(pen.ax, table["period"].tolist())
        legend_below(pen, keys, n_columns=3, n_lines=n_lines + 1)
        return pen.ax


def _draw_bars(pen: Pen, table: pd.DataFrame, columns: dict[str, str]) -> list[Artist]:
    """Stack the buyers of each period; who is gone stands below 0."""
    place = np.arange(len(table))
    base = np.zeros(len(table))
    partial = (table["status"] == "partial").tolist()
    keys = []
    for name, column in columns.items():
        height = floats(table, column)
        is_below = name in _BELOW
        bars = pen.ax.bar(
            place, -height if is_below else height, 0.82,
            bottom=0 if is_below else base, color=_COLOURS[name], alpha=0.92,
            edgecolor=paper(pen), linewidth=0.5,
        )  # fmt: skip
        for bar, is_partial in zip(bars, partial, strict=True):
            if is_partial:
                bar.set(hatch="////", alpha=0.6)
        if not is_below:
            base = base + height
        keys.append(box(pen.say(f"lifecycle.{name}"), _COLOURS[name]))
    return keys


def _notes(pen: Pen, lifecycle: Lifecycle, memory: Memory) -> list[str]:
    """Say when customers count as dormant and lost, and what is hatched."""
    words = []
    if memory == "days":
        lapses = lifecycle.lapses
        words.append(
            pen.say(
                "lifecycle.note", dormant=pen.days(lapses.dormant_after_days),
                lost=pen.days(lapses.lost_after_days),
            )
        )  # fmt: skip
    if (lifecycle.table["status"] == "partial").any():
        words.append(pen.say("lifecycle.partial"))
    return words
