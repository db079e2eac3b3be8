"""Buying again as pictures: from purchase to purchase, and by period."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from selfloop.core.display import format_value
from selfloop.measures.repurchase.ladder import RepurchaseLadder
from selfloop.measures.repurchase.returning import Returning
from selfloop.outputs.plots.keys import dot, ink, legend_below, paper
from selfloop.outputs.plots.lettering import fold, width_of
from selfloop.outputs.plots.reasons import why
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    of_window,
    percent_axis,
)
from selfloop.outputs.text import Lang

RATES = {
    "repurchase_rate": STAGE_COLOURS["repurchase"],
    "returning_customer_rate": STAGE_COLOURS["conversion"],
    "ever_repeat_share": "#8a4fa3",
}
"""The three rates, the one that compares first, and their colours."""

COLOURS = (*(STAGE_COLOURS[s] for s in ("repurchase", "conversion", "referral")),
            "#8a4fa3", "#b8860b", "#64748b")  # fmt: skip
"""Colours of segments, the largest first."""

Floats = NDArray[np.float64]

_BETWEEN = "\x1f"
_MAX_LABELS = 12
_MAX_BARS = 31  # more periods have bands only
_TOP = 1.03  # so that marks at 100 % are whole
_ROOM = 0.6  # of the distance between two steps, for the segments of one


def plot_repurchase(
    ladder: RepurchaseLadder,
    ax: Axes | None = None,
    *,
    window_days: int = 90,
    lang: Lang = "en",
) -> Axes:
    """Draw how many go on from each purchase to the next, and how sure that is.

    Parameters
    ----------
    ladder : RepurchaseLadder
        From `selfloop.repurchase`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    window_days : int, optional
        Window of the shares, in days; one of those the ladder was made with.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        Dots are the shares of customers observed for the whole window, with Wilson
        intervals; undivided, hollow diamonds are the Kaplan-Meier shares of everybody.
        With breakdowns, the six segments with most customers.

    Raises
    ------
    SettingError
        When the ladder has no such window.
    """
    rows = of_window(joined(ladder.windows), window_days)
    names = largest(rows[rows["step"] == 1], "n_entered")
    with drawing(ax, lang) as pen:
        window = pen.days(window_days)
        title = pen.say("ladder.title", window=window)
        shown = rows[rows["segment"].isin(names) & rows["share_matured"].notna()]
        if shown.empty:
            pen.title(title, ladder.end)
            reason = rows["reason"].iloc[0] if len(rows) else ""
            pen.blank(why(pen, reason))
            return pen.ax
        pen.title(title, ladder.end, note=_ladder_note(pen, rows, names))
        keys = _draw_steps(pen, shown, names, (window, ladder.by))
        label = pen.say("ladder.step")
        if len(names) == 1:
            label += "\n" + pen.say("ladder.n", window=window)
        pen.ax.set_xlabel(label)
        pen.ax.set_ylabel(pen.say("ladder.axis"))
        pen.ax.set_ylim(0, _TOP)
        percent_axis(pen.ax)
        clean(pen.ax)
        pen.ax.legend(
            handles=keys, loc="best", frameon=False, fontsize="small",
            ncols=1 if len(keys) <= 3 else 2,
        )  # fmt: skip
        return pen.ax


def joined(table: pd.DataFrame) -> pd.DataFrame:
    """Name two breakdowns as one.

    Parameters
    ----------
    table : DataFrame
        With segment and segment_2.

    Returns
    -------
    DataFrame
        With both in segment, and the first alone in segment_1.
    """
    # A sign that no name has: "a", "b · c" is not "a · b", "c".
    both = table["segment"] + _BETWEEN + table["segment_2"]
    return table.assign(segment=both, segment_1=table["segment"])


def named(pen: Pen, rows: pd.DataFrame, by: Sequence[str]) -> str:
    """Return the name of a segment of one or two breakdowns in words.

    Parameters
    ----------
    pen : Pen
        Whose language.
    rows : DataFrame
        Its lines, from `joined`.
    by : sequence of str
        The breakdowns.

    Returns
    -------
    str
    """
    return pen.segments(rows[["segment_1", "segment_2"]].iloc[0].tolist(), by)


def largest(rows: pd.DataFrame, size: str) -> list[str]:
    """Return the segments with most people, the largest first, ties by name.

    Parameters
    ----------
    rows : DataFrame
        One line per segment.
    size : str
        Column of how many there are.

    Returns
    -------
    list of str
        As many as there are colours.
    """
    by_size = rows.sort_values([size, "segment"], ascending=[False, True])
    return [str(s) for s in by_size["segment"].iloc[: len(COLOURS)]]


def _ladder_note(pen: Pen, rows: pd.DataFrame, names: Sequence[str]) -> str:
    """Say which steps and which segments are not drawn."""
    notes = [pen.say("ladder.later")] if len(names) == 1 else []
    n_segments = rows["segment"].nunique()
    if n_segments > len(names):
        notes.append(pen.say("ladder.part", shown=len(names), n=n_segments))
    own = rows[rows["segment"].isin(names)]
    n_unknown = int((~own["share_matured"].notna().groupby(own["segment"]).any()).sum())
    if n_unknown:
        notes.append(pen.say("reproduction_by.unknown", n=n_unknown))
    known = rows["share_matured"].notna().groupby(rows["step"]).any()
    hidden = [_step(step) for step in known.index[~known]]
    if hidden:
        steps = hidden[0] if len(hidden) == 1 else f"{hidden[0]} … {hidden[-1]}"
        notes.append(pen.say("ladder.unknown", steps=steps))
    return pen.say("plot.and").join(notes)


def _step(step: int) -> str:
    """Name a step."""
    return f"{step}→{step + 1}"  # no blank, so that it is never folded


def _draw_steps(
    pen: Pen,
    rows: pd.DataFrame,
    names: Sequence[str],
    context: tuple[str, tuple[str, ...]],
) -> list[Artist]:
    """Draw the shares of each step, and return the keys."""
    ax, alone = pen.ax, len(names) == 1
    window, by = context
    keys: list[Artist] = []
    gap = _ROOM / len(names)
    for i, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        own = rows[rows["segment"] == name]
        if own.empty:
            continue
        place = floats(own, "step") + (0 if alone else gap * (i - (len(names) - 1) / 2))
        share, low, high = ends_of(own, "share_matured")
        ax.errorbar(
            place, share, np.maximum([share - low, high - share], 0), color=colour,
            marker="o", markersize=5, capsize=3, linewidth=1.4, linestyle="",
        )  # fmt: skip
        label = pen.say("ladder.matured", window=window)
        if not alone:
            label = named(pen, own, by)
        keys.append(dot(label, colour))
    steps = sorted(int(s) for s in rows["step"].unique())
    labels = [_step(step) for step in steps]
    if alone:
        keys.append(_draw_within(pen, rows))
        n_matured = rows.set_index("step")["n_matured"]
        labels = [
            f"{label}\nn={format_value(n_matured[step], 'int')}"
            for label, step in zip(labels, steps, strict=True)
        ]
    every = max(1, -(-len(steps) // _MAX_LABELS))
    ax.set_xticks(steps[::every], labels[::every], fontsize="small")
    ax.set_xlim(steps[0] - 0.6, steps[-1] + 0.6)
    return keys


def _draw_within(pen: Pen, rows: pd.DataFrame) -> Artist:
    """Draw the Kaplan-Meier shares beside the others, and return their key."""
    share, low, high = ends_of(rows, "share_within")
    colour, face = ink(pen), paper(pen)
    pen.ax.errorbar(
        floats(rows, "step") + 0.18, share, np.maximum([share - low, high - share], 0),
        color=colour, marker="D", markersize=4.5, markerfacecolor=face, linestyle="",
        elinewidth=0.8,
    )  # fmt: skip
    return Line2D(
        [], [], color=colour, marker="D", markersize=4.5, markerfacecolor=face,
        linestyle="", label=pen.say("ladder.within"),
    )  # fmt: skip


def ends_of(rows: pd.DataFrame, name: str) -> tuple[Floats, Floats, Floats]:
    """Return a column and its interval.

    Parameters
    ----------
    rows : DataFrame
        Lines.
    name : str
        Column.

    Returns
    -------
    value, low, high : ndarray of float64
        NaN where they are missing.
    """
    return floats(rows, name), floats(rows, f"{name}_low"), floats(rows, f"{name}_high")


def plot_returning(
    result: Returning, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw the three rates that are often confused, side by side.

    Parameters
    ----------
    result : Returning
        From `selfloop.returning`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        A curve for each rate over the periods, with Wilson bands; partial periods are
        hollow, and rates that are not known have a gap.
    """
    table = result.table
    size = (min(12.0, max(7.2, 3.6 + 0.3 * len(table))), 4.8)
    with drawing(ax, lang, size=size) as pen:
        title = pen.say("returning.title")
        known = table[list(RATES)].notna().any(axis=None)
        if not known:
            pen.title(title, result.end)
            pen.blank(why(pen, table["reason"].iloc[-1] if len(table) else ""))
            return pen.ax
        pen.title(title, result.end, note=pen.say("returning.note"))
        partial = (table["status"] == "partial").to_numpy(dtype=bool)
        keys = [_draw_rate(pen, table, rate, partial) for rate in RATES]
        for key, rate in zip(keys, RATES, strict=True):
            window = pen.days(result.window_days)
            words = pen.say(f"returning.{rate}", window=window)
            key.set_label(fold(words, 0.9 * width_of(pen.ax)))
        n_lines = _name_periods(pen, table)
        label = pen.say("returning.n")
        if partial.any():
            label += pen.say("plot.and") + pen.say("returning.hollow")
        pen.ax.set_xlabel(label)
        pen.ax.set_ylabel(pen.say("returning.axis"))
        pen.ax.set_ylim(0, _TOP)
        percent_axis(pen.ax)
        clean(pen.ax)
        legend_below(pen, keys, n_columns=1, n_lines=n_lines)
        return pen.ax


def _draw_rate(
    pen: Pen, table: pd.DataFrame, rate: str, partial: NDArray[np.bool_]
) -> Artist:
    """Draw one rate over the periods, and return its key."""
    place = np.arange(len(table), dtype=np.float64)
    value, low, high = ends_of(table, rate)
    colour = RATES[rate]
    pen.ax.fill_between(place, low, high, color=colour, alpha=0.16, linewidth=0)
    pen.ax.plot(place, value, color=colour, linewidth=1.6)
    bars = np.maximum([value - low, high - value], 0)
    few = len(table) <= _MAX_BARS
    for chosen, face in ((~partial, colour), (partial, paper(pen))):
        pen.ax.errorbar(
            place[chosen], value[chosen], bars[:, chosen] if few else None,
            color=colour, marker="o", markersize=4 if few else 2.5, linestyle="",
            elinewidth=0.9, markerfacecolor=face,
        )  # fmt: skip
    return dot(rate, colour)


def _name_periods(pen: Pen, table: pd.DataFrame) -> int:
    """Write the periods and their customers; return the lines of words this takes."""
    every = max(1, -(-len(table) // _MAX_LABELS))
    chosen = range(0, len(table), every)
    names, people = table["period"].tolist(), table["n_customers"].tolist()
    labels = [f"{names[i]}\nn={format_value(people[i], 'int')}" for i in chosen]
    pen.ax.set_xticks(list(chosen), labels, fontsize="small")
    pen.ax.set_xlim(-0.6, len(table) - 0.4)
    if len(labels) <= 7:
        return 3
    pen.ax.tick_params(axis="x", labelrotation=45)
    return 5
