"""What has changed from one analysis to another, as a picture."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.measures.funnel.steps import STAGES
from selfloop.outputs.compare import AnalysesCompared
from selfloop.outputs.plots.keys import dot, ink, legend_below, paper
from selfloop.outputs.plots.lettering import amount, fold, width_of
from selfloop.outputs.plots.reasons import why
from selfloop.outputs.plots.rows import name_rows
from selfloop.outputs.plots.style import (
    SOURCE_COLOURS,
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    of_window,
    percent_axis,
)
from selfloop.outputs.text import Lang

_COLOURS = {stage: STAGE_COLOURS[stage] for stage in STAGES[1:]} | {
    "r": STAGE_COLOURS["referral"]
}
_OTHER = "#8a4fa3"
_MUTED = SOURCE_COLOURS["organic"]
_MAX_ROWS = 40
_UNNAMED = ("first", "second")
_NOTE = 0.62  # of the width: names of rows and numbers take the rest
_WIDEST = 4.0  # of the largest change: intervals of next to nothing reach far


def plot_changes(
    compared: AnalysesCompared,
    ax: Axes | None = None,
    *,
    window_days: int = 90,
    lang: Lang = "en",
) -> Axes:
    """Draw what has changed between two analyses, and what may be chance.

    Parameters
    ----------
    compared : AnalysesCompared
        From `selfloop.compare`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    window_days : int, optional
        Window of the shares of stages, in days; one of those both analyses have.
        R and values are drawn for the windows they have.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        One row for each estimate that both know: its change as a part of the first
        value, so that shares and money stand on one axis, with the 95 % interval of
        the difference; both values are written beside it. Coloured where the change
        stands after adjustment for the number of comparisons, pale and hollow where
        it may be chance. Counts have no interval and are not drawn; of more than 40
        rows the first are drawn.

    Raises
    ------
    SettingError
        The shares were not compared within such a window.

    Examples
    --------
    >>> import selfloop as sl
    >>> orders = sl.simulate(n_visitors=300, seed=7).orders
    >>> before, after = (
    ...     sl.analyze(sl.read_events(orders, end=end), model="mbg_nbd")
    ...     for end in ("2025-06-30", None)
    ... )
    >>> axes = plot_changes(sl.compare(before, after))
    >>> axes.get_xlabel()
    'change, in % of the first value, with 95 % interval'
    """
    table = compared.table
    is_stage = table["measure"].isin(STAGES)
    shares = of_window(table[is_stage], window_days)
    chosen = table[~is_stage | table.index.isin(shares.index)]
    drawable = chosen[(chosen["verdict"] != "") & (chosen["first"] > 0)]
    rows = drawable[:_MAX_ROWS].reset_index(drop=True)
    with drawing(ax, lang, size=(8.2, max(2.8, 2.2 + 0.32 * len(rows)))) as pen:
        title = pen.say("changes.title")
        if rows.empty:
            pen.title(title)
            pen.blank(pen.say("changes.none"))
            return pen.ax
        pen.title(title, note=_note(pen, compared, (len(rows), len(chosen))))
        _draw(pen, rows)
        names = [_name(pen, row) for row in rows.to_dict("records")]
        name_rows(pen.ax, range(len(rows)), names)
        pen.ax.axvline(0, color=ink(pen), linewidth=0.8)
        pen.ax.set_xlabel(pen.say("changes.axis"))
        percent_axis(pen.ax, axis="x")
        clean(pen.ax, grid="x")
        keys = [
            dot(pen.say("changes.stands"), ink(pen)),
            dot(pen.say("changes.open"), _MUTED, face=paper(pen)),
        ]
        legend_below(pen, keys, n_columns=2)
        return pen.ax


def _note(pen: Pen, compared: AnalysesCompared, counts: tuple[int, int]) -> str:
    """Say what makes the two less alike, and how many lines are not drawn."""
    first, second = (_title_of(pen, name) for name in compared.names)
    names = pen.say("changes.words", first=first, second=second)
    notes = [why(pen, note) for note in compared.notes]
    shown, n = counts
    if shown < n:
        notes.append(pen.say("changes.left_out", n=n - shown, all=n))
    width = _NOTE * width_of(pen.ax)
    lines = [names, pen.say("plot.and").join(notes)] if notes else [names]
    return "\n".join(fold(line, width) for line in lines)


def _title_of(pen: Pen, name: str) -> str:
    """Return what an analysis is called."""
    return pen.say(f"changes.{name}") if name in _UNNAMED else pen.name(name)


def _draw(pen: Pen, rows: pd.DataFrame) -> None:
    """Draw a dot and its interval in each row, both values in the right margin."""
    first = floats(rows, "first")
    value, low, high = (
        floats(rows, f"difference{end}") / first for end in ("", "_low", "_high")
    )
    for y, row in enumerate(rows.to_dict("records")):
        colour, face = _MUTED, paper(pen)
        if row["verdict"] != "open":
            colour = face = _COLOURS.get(row["measure"], _OTHER)
        pen.ax.plot([low[y], high[y]], [y, y], color=colour, linewidth=1.6)
        pen.ax.plot(value[y], y, "o", color=colour, markerfacecolor=face, markersize=6)
        if row["measure"] in STAGES:
            both = [format_value(row[end], "share") for end in ("first", "second")]
        else:
            both = [amount(row[end]) for end in ("first", "second")]
        pen.ax.annotate(
            pen.say("changes.words", first=both[0], second=both[1]), (1.02, y),
            xycoords=("axes fraction", "data"), va="center", fontsize="small",
            annotation_clip=False,
        )  # fmt: skip
    # Where next to nothing is known an interval runs out of the picture.
    widest = max(1.0, _WIDEST * float(np.abs(value).max()))
    left, right = pen.ax.get_xlim()
    pen.ax.set_xlim(max(left, -widest), min(right, widest))


def _name(pen: Pen, row: Mapping[Hashable, Any]) -> str:
    """Name a line: what is compared, within which window, of whom."""
    window = pen.days(float(row["window_days"]))
    name = pen.say(f"changes.{row['measure']}", window=window)
    if row["segment"] == "all":
        return name
    group = pen.segment(row["segment"], by="source")
    return pen.say("changes.of", name=name, group=group)
