"""Customers by recency and frequency, and where they moved, as coloured grids."""

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from selfloop.core.display import format_value
from selfloop.measures.customers.migration import NEW, Migration
from selfloop.measures.customers.rfm import Rfm
from selfloop.outputs.plots.keys import ink, paper
from selfloop.outputs.plots.lettering import fold
from selfloop.outputs.plots.reasons import why
from selfloop.outputs.plots.style import STAGE_COLOURS, Pen, drawing, floats
from selfloop.outputs.text import Lang

Floats = NDArray[np.float64]

_SCALE = LinearSegmentedColormap.from_list(
    "customers", ["#eff6f4", "#8cc4b9", STAGE_COLOURS["repurchase"]]
)
_DARK = 0.62  # of the scale, from where on words are white
_INK = "#16202c"
_STEP = 0.05
_NAMED = 6
"""Grids of more scores have no room for the names of segments."""


def plot_rfm(rfm: Rfm, ax: Axes | None = None, *, lang: Lang = "en") -> Axes:
    """Draw how many customers have each pair of recency and frequency scores.

    Parameters
    ----------
    rfm : Rfm
        From `selfloop.rfm`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        Recency from below, frequency from left to right, the best at the upper right.
        Each cell has its number of customers and its share of revenue, which is its
        colour, and up to 6 scores the name of the segment. Beside the scores stand the
        values that have them.
    """
    grid, n = rfm.grid, rfm.n_scores
    with drawing(ax, lang, size=(max(7.6, 0.95 * n), max(4.8, 0.62 * n))) as pen:
        pen.title(pen.say("rfm.title"), rfm.at, note=pen.say("rfm.note"))
        if not grid["n_people"].sum():
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        wide = grid.pivot(index="r_score", columns="f_score", values="share_of_revenue")
        top = _draw_colours(pen, _array(wide), pen.say("rfm.scale"))
        for cell in grid.to_dict("records"):
            words = [pen.say(f"rfm.{cell['segment']}")] if n <= _NAMED else []
            share = float(cell["share_of_revenue"])
            if cell["n_people"]:
                words.append(format_value(cell["n_people"], "int"))
                words.append(format_value(share, "share"))
            place = (cell["f_score"] - 1, cell["r_score"] - 1)
            _write(pen, place, "\n".join(words), is_dark=share > _DARK * top)
        _label_scores(pen, rfm)
        return pen.ax


def _label_scores(pen: Pen, rfm: Rfm) -> None:
    """Write scores and the values that have them beside the axes."""
    ax, bounds = pen.ax, rfm.bounds
    for measure in ("recency_days", "n_purchases"):
        labels = {score: str(score) for score in range(1, rfm.n_scores + 1)}
        own = bounds[bounds["measure"] == measure]
        for score, low, high in zip(own["score"], own["low"], own["high"], strict=True):
            labels[int(score)] += "\n" + _range(float(low), float(high))
        put = ax.set_yticks if measure == "recency_days" else ax.set_xticks
        put(list(range(rfm.n_scores)), list(labels.values()), fontsize="small")
    ax.set_ylabel(pen.say("rfm.recency"))
    ax.set_xlabel(pen.say("rfm.frequency"))
    ax.tick_params(length=0)


def _range(low: float, high: float) -> str:
    """Write whole numbers from one to another."""
    return f"{low:,.0f}" if low == high else f"{low:,.0f}–{high:,.0f}"


def plot_migration(
    migration: Migration, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw which share of the customers of each state went where.

    Parameters
    ----------
    migration : Migration
        From `selfloop.migration`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        One row per state at the start that had people, with their number; one column
        per state at the end. Each cell has its share in percent and below it the 95 %
        interval; nobody went where it is blank. Who stayed is framed. Rows of fewer
        than 30 people say so.
    """
    table = migration.table
    table = table[table["n_from"] > 0]
    states = [*migration.rule.names, NEW]
    rows = [s for s in states if s in set(table["state_from"])]
    size = (2.8 + 0.78 * max(len(migration.rule.names), 5), 2.4 + 0.42 * len(rows))
    with drawing(ax, lang, size=(size[0], max(3.6, size[1]))) as pen:
        pen.title(pen.say("migration.title"), migration.end)
        if table.empty:
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        columns = list(migration.rule.names)
        parts = [
            _array(
                table.pivot(
                    index="state_from", columns="state_to", values=name
                ).reindex(index=rows, columns=columns)
            )
            for name in ("share", "share_low", "share_high")
        ]
        shown = np.where(parts[0] > 0, parts[0], np.nan)
        top = _draw_colours(pen, shown, pen.say("migration.scale"), origin="upper")
        for i, j in np.argwhere(np.isfinite(shown)):
            value, low, high = (part[i, j] * 100 for part in parts)
            words = f"{value:.0f}\n{low:.0f}–{high:.0f}"
            _write(pen, (j, i), words, is_dark=shown[i, j] > _DARK * top)
        _mark(pen, table, rows, columns, shown)
        _label_states(pen, table, rows, columns, migration)
        return pen.ax


def _mark(
    pen: Pen, table: pd.DataFrame, rows: list[str], columns: list[str], shown: Floats
) -> None:
    """Frame those who stayed, and say of which rows nothing is known."""
    reasons = table.groupby("state_from")["reason"].first()
    for i, state in enumerate(rows):
        if reasons[state]:
            pen.ax.text(
                len(columns) / 2 - 0.5, i, why(pen, reasons[state]), ha="center",
                va="center", fontsize="small", alpha=0.75,
            )  # fmt: skip
        elif state in columns and np.isfinite(shown[i, columns.index(state)]):
            corner = (columns.index(state) - 0.46, i - 0.46)
            pen.ax.add_patch(
                Rectangle(corner, 0.92, 0.92, fill=False, edgecolor=ink(pen))
            )


def _label_states(
    pen: Pen,
    table: pd.DataFrame,
    rows: list[str],
    columns: list[str],
    migration: Migration,
) -> None:
    """Name the rows with their people, and the columns."""
    sizes = table.groupby("state_from")["n_from"].first()
    kind = migration.rule.kind
    labels = [
        pen.say(
            "migration.row", name=_state(pen, kind, state),
            n=format_value(int(sizes[state]), "int"),
        )
        for state in rows
    ]  # fmt: skip
    names = [fold(_state(pen, kind, state), 62.0) for state in columns]
    pen.ax.set_yticks(range(len(rows)), labels, fontsize="small")
    pen.ax.set_xticks(range(len(columns)), names, fontsize="small")
    pen.ax.tick_params(length=0)
    pen.ax.set_ylabel(pen.say("migration.from", day=f"{migration.start:%Y-%m-%d}"))
    pen.ax.set_xlabel(pen.say("migration.to", day=f"{migration.end:%Y-%m-%d}"))


def _state(pen: Pen, kind: str, state: str) -> str:
    """Return a state in words."""
    return pen.say("migration.new" if state == NEW else f"{kind}.{state}")


def _array(wide: pd.DataFrame) -> Floats:
    """Return a table of numbers, NaN where they are missing."""
    return np.stack([floats(wide, column) for column in wide.columns], axis=1)


def _draw_colours(
    pen: Pen, share: Floats, label: str, *, origin: Literal["lower", "upper"] = "lower"
) -> float:
    """Draw cells by their share, and the bar of colours; return its end."""
    ax = pen.ax
    most = float(np.nanmax(share, initial=0.0))
    top = max(_STEP, float(np.ceil(most / _STEP) * _STEP))
    mesh = ax.imshow(
        np.ma.masked_invalid(share), cmap=_SCALE, norm=Normalize(0, top),
        aspect="auto", interpolation="nearest", origin=origin,
    )  # fmt: skip
    for i, j in np.ndindex(*share.shape):
        corner = (j - 0.5, i - 0.5)
        ax.add_patch(
            Rectangle(corner, 1, 1, fill=False, edgecolor=paper(pen), linewidth=1.4)
        )
    bar = ax.figure.colorbar(mesh, ax=ax, fraction=0.04, pad=0.02)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v * 100:g}"))
    bar.set_label(label)
    bar.outline.set_visible(False)
    ax.spines[:].set_visible(False)
    return top


def _write(pen: Pen, place: tuple[float, float], words: str, *, is_dark: bool) -> None:
    """Write into a cell, white on a dark one."""
    pen.ax.text(
        *place, words, ha="center", va="center", fontsize="x-small", linespacing=1.25,
        color="white" if is_dark else _INK,
    )  # fmt: skip
