"""Rows of a picture: stacked parts, the interval of their sum, words beside them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes


def stack(
    ax: Axes, y: float, parts: Sequence[tuple[float, str]], *, height: float = 0.62
) -> float:
    """Draw parts of a sum behind each other, those below 0 to the left.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    y : float
        Row.
    parts : sequence of (value, colour)
        Missing parts are not drawn.
    height : float, optional
        Of the bars.

    Returns
    -------
    float
        The right end, at least 0.
    """
    right = left = 0.0
    for value, colour in parts:
        if np.isnan(value):
            continue
        start = right if value >= 0 else left
        ax.barh(y, value, height, left=start, color=colour, alpha=0.9)
        right, left = (right + value, left) if value >= 0 else (right, left + value)
    return right


def whisker(
    ax: Axes, y: float, ends: tuple[float, float], *, colour: object = None
) -> float:
    """Draw an interval over a row, and return its right end; NaN without one."""
    low, high = ends
    if np.isnan(low) or np.isnan(high):
        return np.nan
    ink = colour if colour is not None else ax.xaxis.label.get_color()
    middle = (low + high) / 2
    ax.errorbar(
        middle, y, xerr=(high - low) / 2, color=ink, marker="", capsize=3,
        linewidth=1.4, linestyle="",
    )  # fmt: skip
    return high


def beside(ax: Axes, end: float, y: float, words: str) -> None:
    """Write words to the right of the end of a row."""
    ax.annotate(
        words, (end, y), (7, 0), textcoords="offset points", va="center",
        fontsize="small", annotation_clip=False,
    )  # fmt: skip


def name_rows(ax: Axes, places: Sequence[float], names: Sequence[str]) -> None:
    """Write the names of rows, the first at the top."""
    ax.set_yticks(places, names)
    ax.set_ylim(max(places, default=0.0) + 0.6, min(places, default=0.0) - 0.6)
    ax.tick_params(axis="y", length=0)
