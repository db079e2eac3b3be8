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
    said = pen.plain(said_in(given, pen.lang))
    return said if width == inf else fold(said, width)
