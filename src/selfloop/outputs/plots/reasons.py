"""Why something cannot be drawn, in the language of the plot."""

from math import inf

from selfloop.outputs.plots.lettering import fold
from selfloop.outputs.plots.style import Pen
from selfloop.outputs.report.reasons import said_in


def why(pen: Pen, reason: object, *, width: float = inf) -> str:
    """Return the reason of a table in the language of the plot, safe to draw.

    Parameters
    ----------
    pen : Pen
        Whose language.
    reason : object
        As the column ``reason`` has it; several are divided by ``;``.
    width : float, optional
        Longest line in points; one line by default.

    Returns
    -------
    str
        "no data" where there is no reason.
    """
    given = "" if reason != reason else str(reason or "")
    if not given:
        return pen.say("plot.no_data")
    parts = given.split("; ")
    each = [said_in(part, pen.lang) for part in parts]
    said = pen.say("plot.and").join(each)
    if pen.lang != "en" and any(a == b for a, b in zip(each, parts, strict=True)):
        said = said_in(given, pen.lang)  # one reason that has a semicolon in it
    said = pen.plain(said)
    return said if width == inf else fold(said, width)
