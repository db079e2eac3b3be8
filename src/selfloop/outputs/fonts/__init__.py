"""The Chinese font that ships with selfloop, and pieces of it for a web page."""

import base64
import io
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

FONT_FAMILY = "Selfloop Sans SC"
"""Family name of the shipped font."""

FONT_FILE = Path(__file__).with_name("SelfloopSansSC-Regular.otf")
"""The shipped font: all characters of GB 2312, licence in ``OFL.txt``."""

UNICODE_RANGE = "U+2E80-9FFF,U+F900-FAFF,U+FF00-FFEF"
"""Characters that `web_subset` takes, as CSS writes them."""

_RANGES = ((0x2E80, 0x9FFF), (0xF900, 0xFAFF), (0xFF00, 0xFFEF))


def web_subset(text: str) -> str:
    """Return the Chinese characters of a text as a font for a web page.

    Parameters
    ----------
    text : str
        All text of the page.

    Returns
    -------
    str
        A WOFF 1.0 file in base64, for ``src:url(data:font/woff;base64,...)``; the
        same bytes for the same characters. Empty when the text has no character in
        `UNICODE_RANGE` that the shipped font has.

    Notes
    -----
    In the style sheet the face must stand first in ``font-family`` and carry
    ``unicode-range`` (`UNICODE_RANGE`) and ``font-display:block``: Chromium does
    not shape a text again when a later face arrives.

    Examples
    --------
    >>> web_subset("plain English")
    ''
    >>> web_subset("自循环率")[:5]
    'd09GR'
    """
    wanted = {ord(c) for c in text if any(a <= ord(c) <= b for a, b in _RANGES)}
    with TTFont(FONT_FILE, lazy=True, recalcTimestamp=False) as font:
        wanted &= set(font.getBestCmap())
        if not wanted:
            return ""
        options = subset.Options()
        options.layout_features = []
        options.notdef_outline = True
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=sorted(wanted))
        cutter.subset(font)
        font.flavor = "woff"
        file = io.BytesIO()
        font.save(file)
    return base64.b64encode(file.getvalue()).decode("ascii")
