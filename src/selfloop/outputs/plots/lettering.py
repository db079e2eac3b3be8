"""How much room words take: folded, set apart, and with room beside what is drawn."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from selfloop.core.display import format_value

_SMALL = 8.4
"""Size of small letters in points; Chinese ones are as wide as that."""

_NARROW = 0.62
"""Width of other letters, as a part of their size."""

_TOKEN = re.compile(r"[\u2e80-\uffef]|\s+|[^\s\u2e80-\uffef]+")
_MOST = 0.72  # of an Axes that words may take


def points(words: str) -> float:
    """Return about how wide small words are, in points; of lines, the longest.

    Examples
    --------
    >>> points("收入") > points("ab")
    True
    """
    widths = [
        sum(_SMALL if _is_wide(letter) else _NARROW * _SMALL for letter in line)
        for line in words.split("\n")
    ]
    return max(widths, default=0.0)


def _is_wide(letter: str) -> bool:
    """Say whether a letter is as wide as it is high."""
    return unicodedata.east_asian_width(letter) in "WF"


def width_of(ax: Axes) -> float:
    """Return how wide an Axes is, in points, before words around it take their part."""
    figure = ax.get_figure(root=True)
    dpi = figure.dpi if figure is not None else 72.0
    return float(ax.get_window_extent().width) * 72 / dpi


def fold(words: str, width: float) -> str:
    """Return words in lines of at most about so many points.

    Examples
    --------
    >>> fold("a few words", 40).splitlines()
    ['a few', 'words']
    """
    lines = [""]
    for token in _TOKEN.findall(words):
        if "\n" in token:
            lines.append("")
        elif points(lines[-1] + token.rstrip()) > width and lines[-1]:
            lines.append(token.lstrip())
        else:
            lines[-1] += token
    return "\n".join(line.rstrip() for line in lines)


def cut(words: str, length: int) -> str:
    """Return words cut to the room of so many letters; Chinese ones take more.

    Examples
    --------
    >>> cut("a long name", 6), cut("直播间直播间", 6)
    ('a lon…', '直播间…')
    """
    room = length * _NARROW * _SMALL + 1e-9
    if points(words) <= room:
        return words
    while points(words + "…") > room:
        words = words[:-1]
    return words + "…"


def amount(value: float, low: float = np.nan, high: float = np.nan) -> str:
    """Write a number, and its interval where there is one, with as many digits as help.

    Examples
    --------
    >>> amount(1234.5, 1000.2, 1500.7), amount(2.345), amount(float("nan"))
    ('1,234 [1,000, 1,501]', '2.35', '–')
    """
    if np.isnan(value):
        return format_value(None)
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    shown = _figures(value, digits)
    if np.isnan(low) and np.isnan(high):
        return shown
    return f"{shown} [{_figures(low, digits)}, {_figures(high, digits)}]"


def _figures(value: float, digits: int) -> str:
    """Write a number with thousands set apart; one without end as such."""
    if not np.isfinite(value):
        return format_value(value)
    shown = f"{value:,.{digits}f}"
    return shown.removeprefix("-") if float(shown.replace(",", "")) == 0 else shown


def apart(places: Sequence[float], gap: float) -> NDArray[np.float64]:
    """Return places at least so far from each other, none below the lowest by much.

    Examples
    --------
    >>> apart([1.0, 1.1, 5.0], 1.0).tolist()
    [0.55, 1.55, 5.0]
    """
    wanted = np.asarray(places, dtype=np.float64)
    order = np.argsort(wanted, kind="stable")
    groups: list[tuple[float, int]] = []  # middle and size of what stands together
    for place in wanted[order]:
        groups.append((float(place), 1))
        while len(groups) > 1 and _touch(groups[-2], groups[-1], gap):
            (a, n), (b, m) = groups[-2:]
            groups[-2:] = [((a * n + b * m) / (n + m), n + m)]
    spread = np.concatenate(
        [middle + gap * (np.arange(n) - (n - 1) / 2) for middle, n in groups]
        or [np.empty(0)]
    )
    found = np.empty(wanted.size)
    found[order] = spread
    return found


def _touch(below: tuple[float, int], above: tuple[float, int], gap: float) -> bool:
    """Say whether two groups of words are too near to each other."""
    return above[0] - below[0] < gap * (below[1] + above[1]) / 2 - 1e-12


def room_right(
    ax: Axes, ends: Sequence[float], words: Sequence[str], *, start: float = 0.0
) -> None:
    """Set the limits of x so that words fit to the right of the ends of rows.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        With rows that begin at or right of `start`.
    ends : sequence of float
        Where each row ends.
    words : sequence of str
        What stands to the right of it.
    start : float, optional
        Left limit.
    """
    # The names of the rows take a part of the width away later.
    width = 0.86 * width_of(ax)
    top = start
    for end, said in zip(ends, words, strict=True):
        share = min(_MOST, (points(said) + 12) / width)
        top = max(top, start + (end - start) / (1 - share))
    ax.set_xlim(start, top if top > start else start + 1.0)
