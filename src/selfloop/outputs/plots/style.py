"""What all plots share: colours, languages, and where drawing begins and ends."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from selfloop.core.display import format_value
from selfloop.core.errors import SettingError
from selfloop.outputs.plots.fonts import (
    SelfloopFontWarning,
    families,
    missing_characters,
)
from selfloop.outputs.plots.lettering import cut, fold, width_of
from selfloop.outputs.text import Lang, text

STAGE_COLOURS = {
    "traffic": "#64748b",
    "conversion": "#2b6cb8",
    "repurchase": "#13806f",
    "referral": "#c2570c",
}
"""Colour of each stage, the same in plots and reports."""

SOURCE_COLOURS = {
    "referral": "#c2570c",
    "paid": "#64748b",
    "organic": "#9fb0c4",
    "unknown": "#d3dae3",
}
"""Colour of the first orders of each source."""

_GROUPS = {
    "(all)": "segment.all",
    "(outside)": "segment.outside",
    "(missing)": "segment.missing",
    "(other)": "segment.other",
}
_WHOLE = "all"
_NAME_LENGTH = 24
_PAIR_LENGTH = 16  # of each of two names beside each other
_LINE = 10.5  # height of a line of small words, in points


@dataclass(frozen=True)
class Pen:
    """An Axes being drawn on, and the language of its words.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    lang : {"en", "zh"}
        Language of the labels.
    missing : set of str
        Characters met so far that no font has.
    """

    ax: Axes
    lang: Lang
    missing: set[str] = field(default_factory=set)

    def say(self, key: str, **values: object) -> str:
        """Return a text of the catalogue in the language of the plot."""
        return text(key, self.lang, **values)

    def days(self, n_days: float) -> str:
        """Return a length of time, as ``90 d`` or ``90 天``."""
        return self.say("unit.days", n=f"{n_days:,g}")

    def name(self, value: object, *, length: int = _NAME_LENGTH) -> str:
        """Return a text of the user's, safe to draw: short, and never mathematics."""
        return self.plain(cut(format_value(value), length))

    def plain(self, shown: str) -> str:
        """Return words that are drawn as they are: no formula, no missing letter."""
        gaps = missing_characters(shown)
        self.missing.update(gaps)
        shown = "".join("□" if c in gaps else c for c in shown)
        # An even number of dollar signs would turn the text into a formula.
        return shown.replace("$", r"\$")

    def segment(
        self, value: object, *, by: str | None, length: int = _NAME_LENGTH
    ) -> str:
        """Return a value of the breakdown `by` in words, or as it is without any.

        Only sources have words of their own: a channel may be called ``paid`` too.
        """
        key = _GROUPS.get(str(value))
        if key is None and by == "source" and str(value) in SOURCE_COLOURS:
            key = f"source.{value}"
        if key is None and by in (None, "source") and value == _WHOLE:
            key = "segment.all"
        return self.name(value, length=length) if key is None else self.say(key)

    def segments(self, values: Sequence[object], by: Sequence[str]) -> str:
        """Return the values of no, one or two breakdowns in words."""
        if len(by) < 2:
            return self.segment(values[0], by=by[0] if by else None)
        pairs = zip(values, by, strict=True)
        return " · ".join(
            self.segment(value, by=one, length=_PAIR_LENGTH) for value, one in pairs
        )

    def title(self, words: str, end: date | None = None, *, note: str = "") -> None:
        """Write the title, with the last day of the data at its right, a note below."""
        # The titles of a given Axes have the fonts of where it was made.
        font = {"fontfamily": mpl.rcParams["font.family"]}
        pad = float(mpl.rcParams["axes.titlepad"])
        if note:
            note = fold(note, width_of(self.ax))
            self.ax.annotate(
                note, (0, 1), (0, pad), xycoords="axes fraction", va="bottom",
                textcoords="offset points", fontsize="small", annotation_clip=False,
            )  # fmt: skip
            pad += 4 + _LINE * (1 + note.count("\n"))
        self.ax.set_title(
            words, font, loc="left", fontsize="medium", fontweight="bold", pad=pad
        )
        if end is not None:
            last = self.say("plot.end", end=f"{end:%Y-%m-%d}")
            self.ax.set_title(
                last, font, loc="right", fontsize="small", alpha=0.75, pad=pad
            )

    def blank(self, words: str) -> None:
        """Write why there is nothing to draw, in the middle."""
        self.ax.set_axis_off()
        # These words are larger than small ones, and may touch both ends.
        words = fold(words, 0.88 * width_of(self.ax))
        self.ax.text(
            0.5, 0.5, words, ha="center", va="center", transform=self.ax.transAxes
        )


@contextmanager
def drawing(
    ax: Axes | None, lang: Lang, *, size: tuple[float, float] = (7.2, 4.2)
) -> Iterator[Pen]:
    """Draw with the fonts of selfloop, on a new figure when `ax` is None.

    Global settings are as before afterwards; characters that no font has are named
    in one warning.
    """
    fonts = families()
    # Outside the context: the first figure of a notebook loads its backend, which
    # sets what has to stay set for the figures after it to be shown.
    if ax is None:
        empty = plt.figure(figsize=size, layout="constrained")
    with mpl.rc_context({"font.family": fonts, "axes.unicode_minus": True}):
        if ax is None:
            ax = empty.add_subplot()
        pen = Pen(ax, lang)
        yield pen
        for axis in (ax.xaxis, ax.yaxis):
            axis.label.set_fontfamily(fonts)
        # Ticks made later, when the figure is saved, are outside this context.
        ax.tick_params(labelfontfamily=fonts)
    if pen.missing:
        warnings.warn(
            f"no font has the characters {' '.join(sorted(pen.missing))}; they are "
            "drawn as □. Install a font that has them (Debian: fonts-noto-cjk) or "
            'name it in matplotlib.rcParams["font.family"]',
            SelfloopFontWarning,
            stacklevel=4,
        )


def clean(ax: Axes, *, grid: str = "y") -> None:
    """Take away what carries no data: the upper and right line of the box."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, axis="x" if grid == "x" else "y", alpha=0.35, linewidth=0.6)
    ax.set_axisbelow(True)


def percent_axis(ax: Axes, *, axis: str = "y") -> None:
    """Write shares as percent numbers; the label of the axis has the sign."""
    chosen = ax.xaxis if axis == "x" else ax.yaxis
    chosen.set_major_formatter(FuncFormatter(lambda v, _: f"{v * 100:g}"))


def money_axis(ax: Axes, *, axis: str = "y") -> None:
    """Write money with thousands separated, however much it is."""
    chosen = ax.xaxis if axis == "x" else ax.yaxis
    if axis == "x":
        # Millions side by side need room.
        chosen.set_major_locator(MaxNLocator(nbins=5))
    chosen.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.12g}"))


def root_axis(ax: Axes, top: float, *, axis: str = "y") -> None:
    """Give an axis a square-root scale, and round ticks up to the top.

    Counts that shrink fast are all to be seen on it, and 0 has its place.
    """
    chosen = ax.xaxis if axis == "x" else ax.yaxis
    set_scale = ax.set_xscale if axis == "x" else ax.set_yscale
    set_scale("function", functions=(_root, _square))
    money_axis(ax, axis=axis)
    chosen.set_major_locator(FixedLocator(root_ticks(top)))
    chosen.set_minor_locator(NullLocator())


def _root(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the square root, below 0 mirrored."""
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)))


def _square(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of `_root`."""
    return np.asarray(np.sign(values) * np.square(values))


def root_ticks(top: float) -> list[float]:
    """Return round numbers up to the top that stand apart on a square-root scale."""
    step = 10.0 ** np.floor(np.log10(max(top, 1.0)))
    while step > top:
        step /= 10
    chosen = [0.0, step * (top // step)]
    middle = 10.0 ** np.floor(np.log10(chosen[1] / 4)) if chosen[1] >= 4 else 0.0
    if middle >= 1:
        chosen.insert(1, middle * (chosen[1] / 4 // middle))
    return sorted(set(chosen))


def of_window(table: pd.DataFrame, window_days: float) -> pd.DataFrame:
    """Return the lines of one window, or say which windows there are.

    Parameters
    ----------
    table : DataFrame
        With a column ``window_days``; it may have no line at all.
    window_days : float
        The window that was asked for.

    Returns
    -------
    DataFrame

    Raises
    ------
    SettingError
        There are lines, but none of this window.

    Examples
    --------
    >>> of_window(pd.DataFrame({"window_days": [30, 90], "n": [1, 2]}), 90)["n"].item()
    2
    """
    rows = table[table["window_days"] == window_days]
    if rows.empty and len(table):
        known = ", ".join(f"{w:g}" for w in table["window_days"].unique())
        raise SettingError(f"window_days must be one of {known}; got {window_days!r}")
    return rows


def floats(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Return a column as numbers to draw, NaN where it is missing."""
    return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)


def interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """Write an estimate with its interval, as ``0.31 [0.28, 0.34]``."""
    if value != value:
        return format_value(value)
    shown = f"{value:.{digits}f}"
    return shown if low != low else f"{shown} [{low:.{digits}f}, {high:.{digits}f}]"
