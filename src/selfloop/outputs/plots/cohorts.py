"""The cohort triangle as a picture."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter

from selfloop.core.display import format_value
from selfloop.outputs.plots.style import STAGE_COLOURS, Pen, drawing
from selfloop.outputs.text import Lang

if TYPE_CHECKING:
    from selfloop.measures.cohorts import Cohorts

_MAX_WRITTEN = 18
_STEP = 0.05


def plot_cohorts(
    cohorts: "Cohorts", ax: Axes | None = None, *, lang: Lang = "en"
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
        colour scale from 0 for all cells; months still running are hatched, months
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
            pen.ax.text(
                0.5, 0.5, pen.say("plot.no_data"), ha="center",
                transform=pen.ax.transAxes,
            )  # fmt: skip
            return pen.ax
        grid = later.pivot(index="cohort", columns="age_months", values="share_active")
        grid = grid.reindex(index=months, columns=range(1, ages + 1))
        shares = grid.to_numpy(dtype=float, na_value=np.nan)
        partial = {
            (months.index(row.cohort), int(row.age_months))
            for row in later[later["status"] == "partial"].itertuples()
        }
        _draw_cells(pen, shares, partial)
        sizes = table.drop_duplicates("cohort").set_index("cohort")["n_people"]
        labels = [
            f"{format_value(month, 'month')}   {format_value(sizes[month], 'int'):>7}"
            for month in months
        ]
        _label_cells(pen, labels, ages)
        return pen.ax


def _draw_cells(pen: Pen, shares: np.ndarray, partial: set[tuple[int, int]]) -> None:
    """Draw the cells on one absolute colour scale, with their numbers if they fit."""
    ax = pen.ax
    low_colour = ax.get_facecolor()
    scale = LinearSegmentedColormap.from_list(
        "repurchase", ["#eef6f4", STAGE_COLOURS["repurchase"], "#0a4a41"]
    )
    top = max(_STEP, np.ceil(np.nanmax(shares) / _STEP) * _STEP)
    mesh = ax.imshow(
        np.ma.masked_invalid(shares), cmap=scale, norm=Normalize(0, top),
        aspect="auto", interpolation="nearest",
        extent=(0.5, shares.shape[1] + 0.5, shares.shape[0] - 0.5, -0.5),
    )  # fmt: skip
    n_rows, n_columns = shares.shape
    written = max(n_rows, n_columns) <= _MAX_WRITTEN
    for i, j in zip(*np.nonzero(np.isfinite(shares)), strict=True):
        is_partial = (int(i), int(j) + 1) in partial
        ax.add_patch(
            Rectangle(
                (j + 0.5, i - 0.5), 1, 1, fill=False, linewidth=1.2,
                edgecolor=low_colour,
            )
        )  # fmt: skip
        if is_partial:
            ax.add_patch(
                Rectangle(
                    (j + 0.5, i - 0.5), 1, 1, fill=False, hatch="////", linewidth=0,
                    edgecolor="white" if shares[i, j] > top / 3 else "#64748b",
                )
            )  # fmt: skip
        if written:
            ink = "white" if shares[i, j] > top / 3 else "#16202c"
            ax.text(
                j + 1, i, f"{shares[i, j] * 100:.0f}", ha="center", va="center",
                fontsize="small", color=ink,
            )  # fmt: skip
    bar = ax.figure.colorbar(mesh, ax=ax, fraction=0.04, pad=0.02)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v * 100:g}"))
    bar.set_label(pen.say("cohorts.axis"))
    bar.outline.set_visible(False)
    if partial:
        patch = Patch(
            facecolor="#cfe4df", edgecolor="#64748b", hatch="////", linewidth=0,
            label=pen.say("plot.partial"),
        )  # fmt: skip
        ax.legend(handles=[patch], loc="lower right", frameon=False, fontsize="small")


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
