"""What a lifetime model says by purchases and the age at the last one, as pictures."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from selfloop.core.display import format_value
from selfloop.measures.lifetime.parts import FrequencyRecency
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    drawing,
    percent_axis,
)
from selfloop.outputs.text import Lang

_SCALE = LinearSegmentedColormap.from_list(
    "expected", ["#e0efeb", "#8cc4b9", STAGE_COLOURS["repurchase"], "#083d36"]
)
_EDGE = "#16202c"


def plot_frequency_recency(
    matrix: FrequencyRecency, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw the expected purchases of customers by purchases and the latest of them.

    Parameters
    ----------
    matrix : FrequencyRecency
        From `LifetimeModel.matrix`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        One row for each number of purchases, the age at the latest one from left to
        right, and a bar with the meaning of the colours. Cells that no customer can
        be in stay blank; the one of those who bought once has its number beside it.
    """
    with drawing(ax, lang, size=(7.2, 4.4)) as pen:
        grid = matrix.expected_purchases
        once = f"{grid[0, 0]:.3g}"
        bar = _draw_grid(pen, matrix, grid, Normalize(0, _top(grid)), once=once)
        bar.set_label(pen.say("matrix.expected"))
        window = pen.days(matrix.horizon_days)
        pen.title(pen.say("matrix.title", window=window))
        return pen.ax


def plot_p_alive(
    matrix: FrequencyRecency, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw P(alive) of customers by purchases and the latest of them.

    Parameters
    ----------
    matrix : FrequencyRecency
        From `LifetimeModel.matrix`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        As `plot_frequency_recency`, with colours from 0 to 100 %.
    """
    with drawing(ax, lang, size=(7.2, 4.4)) as pen:
        grid = matrix.p_alive
        once = format_value(float(grid[0, 0]), "share")
        bar = _draw_grid(pen, matrix, grid, Normalize(0, 1), once=once)
        percent_axis(bar.ax)
        bar.set_label(pen.say("matrix.alive"))
        pen.title(pen.say("matrix.alive_title"))
        return pen.ax


def _top(grid: NDArray[np.float64]) -> float:
    """Return the end of the scale: the largest value, never 0."""
    return float(np.nanmax(grid)) or 1.0


def _draw_grid(
    pen: Pen,
    matrix: FrequencyRecency,
    grid: NDArray[np.float64],
    scale: Normalize,
    *,
    once: str,
) -> Colorbar:
    """Draw the cells, their axes and the bar of colours; return the bar."""
    ax = pen.ax
    n, recency = matrix.n_purchases, matrix.recency_days
    step = float(recency[1] - recency[0]) if len(recency) > 1 else 0.0
    half = step / 2 or 0.5
    mesh = ax.imshow(
        np.ma.masked_invalid(grid), cmap=_SCALE, norm=scale, aspect="auto",
        interpolation="nearest", origin="lower",
        extent=(-half, recency[-1] + half, n[0] - 0.5, n[-1] + 0.5),
    )  # fmt: skip
    # The only cell of the largest group of customers is easily missed.
    ax.annotate(
        pen.say("matrix.once", value=once), (half, n[0]), (14, 0), va="center",
        textcoords="offset points", fontsize="small",
        arrowprops={"arrowstyle": "-", "color": _EDGE, "linewidth": 0.8},
    )  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(10, integer=True))
    age = pen.days(matrix.age_days)
    ax.set_xlabel(pen.say("matrix.recency", age=age))
    ax.set_ylabel(pen.say("matrix.count"))
    ax.spines[["top", "right"]].set_visible(False)
    bar = ax.figure.colorbar(mesh, ax=ax, fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    return bar
