"""The keys of a legend, and the legend under a picture."""

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from selfloop.outputs.plots.style import Pen


def ink(pen: Pen) -> str:
    """Return the colour of the words: dark on a light page, light on a dark one."""
    return str(to_hex(pen.ax.xaxis.label.get_color()))


def paper(pen: Pen) -> str:
    """Return the colour of the page, to fill hollow marks with."""
    return str(to_hex(pen.ax.get_facecolor()))


def box(label: str, colour: str, *, alpha: float = 0.9) -> Artist:
    """Return the key of a bar or a band."""
    return Patch(facecolor=colour, alpha=alpha, label=label)


def stroke(label: str, colour: str) -> Artist:
    """Return the key of a line."""
    return Line2D([], [], color=colour, linewidth=1.8, label=label)


def dot(label: str, colour: str, *, face: str | None = None) -> Artist:
    """Return the key of a dot, hollow with a face of the colour of the page."""
    return Line2D(
        [], [], linestyle="", marker="o", markersize=6, color=colour,
        markerfacecolor=face or colour, label=label,
    )  # fmt: skip


def legend_below(
    pen: Pen, keys: Sequence[Artist], *, n_columns: int, n_lines: int = 2
) -> None:
    """Draw the legend under the label of the x axis.

    Parameters
    ----------
    pen : Pen
        Whose Axes.
    keys : sequence of Artist
        With labels.
    n_columns : int
        Keys beside each other.
    n_lines : int, optional
        Lines of words between the Axes and the legend.
    """
    pen.ax.legend(
        handles=list(keys), loc="upper center", bbox_to_anchor=(0.5, 0),
        borderaxespad=1.2 + 1.6 * n_lines, ncols=n_columns, frameon=False,
        fontsize="small", handlelength=1.6, columnspacing=1.4,
    )  # fmt: skip
