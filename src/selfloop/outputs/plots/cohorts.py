"""The cohort triangle as a picture."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from selfloop.core.display import format_value
from selfloop.measures.cohorts import Cohorts
from selfloop.outputs.plots.style import STAGE_COLOURS, Pen, drawing
from selfloop.outputs.text import Lang

Floats = NDArray[np.float64]

_MAX_WRITTEN = 18
_STEP = 0.05
_HATCH = (0.08, 0.5, 0.44, 0.35)
_SCALE = LinearSegmentedColormap.from_list(
    "repurchase", ["#f1f8f6", "#8cc4b9", STAGE_COLOURS["repurchase"]]
)


def plot_cohorts(
    cohorts: Cohorts, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw which share of each cohort bought in each later month.

    Parameters
    ----------
    cohorts : Cohorts
        From `selfloop.cohorts`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        One row for each month of first purchase, with its number of people; one
        colour scale from 0 for all cells; partial months are hatched, months
        not yet begun stay blank. Month 0 is left out: everybody bought in it.
    """
    table = cohorts.table
    months = sorted(table["cohort"].unique())
    ages = int(table["age_months"].max()) if len(table) else 0
    size = (min(12.0, 3.2 + 0.5 * ages), min(10.0, 1.8 + 0.34 * len(months)))
    with drawing(ax, lang, size=(max(6.4, size[0]), max(3.0, size[1]))) as pen:
        pen.title(pen.say("cohorts.title"), cohorts.end)
        pen.ax.set_xlabel(pen.say("cohorts.age"))
        pen.ax.set_ylabel(pen.say("cohorts.cohort"))
        later = table[table["age_months"] > 0]
        if later.empty:
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        grid = later.pivot(index="cohort", columns="age_months", values="share_active")
        grid = grid.reindex(index=months, columns=range(1, ages + 1))
        shares = grid.to_numpy(dtype=float, na_value=np.nan)
        running = later[later["status"] == "partial"]
        partial = {
            (months.index(month), int(age))
            for month, age in zip(running["cohort"], running["age_months"], strict=True)
        }
        _draw_cells(pen, shares, partial)
        sizes = table.drop_duplicates("cohort").set_index("cohort")["n_people"]
        labels = [
            f"{format_value(month, 'month')}   {format_value(sizes[month], 'int'):>7}"
            for month in months
        ]
        _label_cells(pen, labels, ages)
        return pen.ax


def _draw_cells(pen: Pen, shares: Floats, partial: set[tuple[int, int]]) -> None:
    """Draw the cells on one absolute colour scale, with their numbers if they fit."""
    ax = pen.ax
    n_rows, n_columns = shares.shape
    top = max(_STEP, np.ceil(np.nanmax(shares) / _STEP) * _STEP)
    mesh = ax.imshow(
        np.ma.masked_invalid(shares), cmap=_SCALE, norm=Normalize(0, top),
        aspect="auto", interpolation="nearest",
        extent=(0.5, n_columns + 0.5, n_rows - 0.5, -0.5),
    )  # fmt: skip
    for i, j in zip(*np.nonzero(np.isfinite(shares)), strict=True):
        is_partial = (int(i), int(j) + 1) in partial
        _draw_frame(ax, (j + 0.5, i - 0.5), is_partial=is_partial)
        if max(n_rows, n_columns) <= _MAX_WRITTEN:
            dark = shares[i, j] > 0.7 * top and not is_partial
            ax.text(
                j + 1, i, f"{shares[i, j] * 100:.0f}", ha="center", va="center",
                fontsize="small", color="white" if dark else "#16202c",
            )  # fmt: skip
    bar = ax.figure.colorbar(mesh, ax=ax, fraction=0.04, pad=0.02)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v * 100:g}"))
    bar.set_label(pen.say("cohorts.axis"))
    bar.outline.set_visible(False)
    if partial:
        patch = Patch(
            facecolor="#dcebe8", edgecolor=_HATCH, hatch="///", linewidth=0,
            label=pen.say("plot.partial"),
        )  # fmt: skip
        ax.legend(handles=[patch], loc="lower right", frameon=False, fontsize="small")


def _draw_frame(ax: Axes, corner: tuple[float, float], *, is_partial: bool) -> None:
    """Draw the gap around a cell, and a hatched veil over one that still grows."""
    if is_partial:
        ax.add_patch(
            Rectangle(
                corner, 1, 1, facecolor=(1, 1, 1, 0.55), edgecolor=_HATCH, hatch="///",
                linewidth=0,
            )
        )  # fmt: skip
    gap = ax.get_facecolor()
    ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=gap, linewidth=1.2))


def _label_cells(pen: Pen, labels: list[str], ages: int) -> None:
    """Name the rows and columns, and not so many that they touch."""
    ax = pen.ax
    every = max(1, len(labels) // 24)
    ax.set_yticks(range(0, len(labels), every), labels[::every], fontsize="small")
    ax.set_xticks(range(1, ages + 1, max(1, ages // 24)))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.annotate(
        pen.say("cohorts.size"), (0, 1), (-4, 3), xycoords="axes fraction",
        textcoords="offset points", ha="right", va="bottom", fontsize="x-small",
        alpha=0.75,
    )  # fmt: skip
