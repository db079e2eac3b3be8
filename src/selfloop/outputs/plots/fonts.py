"""Chinese in plots on any machine: which fonts to use, and what they cannot show."""

import dataclasses
from functools import cache

import matplotlib as mpl
from matplotlib.font_manager import FontProperties, fontManager, get_font

from selfloop.core.errors import DataWarning
from selfloop.outputs.fonts import FONT_FAMILY, FONT_FILE

_SYSTEM_FONTS = (
    "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei", "Noto Sans CJK SC",
    "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei", "SimHei",
)  # fmt: skip
# Japanese forms of shared characters look foreign in Chinese: after the shipped font.
_RARE_CHARACTERS = ("Noto Sans CJK JP", "Droid Sans Fallback")


class SelfloopFontWarning(DataWarning):
    """Some characters of a plot are in none of the fonts and show as boxes."""


def families() -> list[str]:
    """Return the font families of a plot, the user's own first.

    Returns
    -------
    list of str
        The families of ``rcParams["font.family"]``, the first installed Chinese
        font, the font that ships with selfloop, and an installed font for rare
        characters. matplotlib takes the first that has a glyph, so Latin text keeps
        the user's font.

    Examples
    --------
    >>> "Selfloop Sans SC" in families()
    True
    """
    _register()
    installed = {entry.name for entry in fontManager.ttflist}
    system = [name for name in _SYSTEM_FONTS if name in installed][:1]
    rare = [name for name in _RARE_CHARACTERS if name in installed][:1]
    own = [name for name in mpl.rcParams["font.family"] if name != FONT_FAMILY]
    return [*own, *system, FONT_FAMILY, *rare]


def missing_characters(text: str) -> set[str]:
    """Return the characters of a text that no font of `families` has.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    set of str

    Examples
    --------
    >>> missing_characters("自循环率 R = 0.3") == set()
    True
    """
    wanted = {c for c in text if not c.isascii()}
    for family in families() if wanted else ():
        wanted = {c for c in wanted if ord(c) not in _characters(family)}
    return wanted


def _register() -> None:
    """Make the shipped font known to matplotlib, once."""
    if any(entry.name == FONT_FAMILY for entry in fontManager.ttflist):
        return
    fontManager.addfont(FONT_FILE)
    regular = fontManager.ttflist[-1]
    # The same file stands in for bold; without it each bold label logs a warning.
    fontManager.ttflist.append(dataclasses.replace(regular, weight=700))


@cache
def _characters(family: str) -> frozenset[int]:
    """Return the code points of a family; none when it is not installed."""
    try:
        path = fontManager.findfont(
            FontProperties(family=[family]), fallback_to_default=False
        )
    except ValueError:
        return frozenset()
    return frozenset(get_font(path).get_charmap())
