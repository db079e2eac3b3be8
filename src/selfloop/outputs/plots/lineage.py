"""What came of the people whom nobody brought, by their source, as a picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.measures.loop.overall import SelfLoop
from selfloop.outputs.plots.keys import box, legend_below
from selfloop.outputs.plots.lettering import amount, room_right
from selfloop.outputs.plots.rows import beside, name_rows, stack
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    money_axis,
)
from selfloop.outputs.text import Lang

_PARTS = {
    "direct": STAGE_COLOURS["conversion"],
    "repeat": STAGE_COLOURS["repurchase"],
    "brought": STAGE_COLOURS["referral"],
}
_LEAST_NAMED = 0.06  # of the longest bar, from which on a share fits into its part


def plot_lineage(
    loop: SelfLoop,
    ax: Axes | None = None,
    *,
    currency: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw the revenue that leads back to each source: by itself, and through others.

    Parameters
    ----------
    loop : SelfLoop
        From `selfloop.self_loop`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    currency : str, optional
        Unit of revenue, such as ``"CNY"``.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        A bar for each source of the people whom nobody brought: what they spent on the
        day of their first purchase, what they spent later, and what those spent who
        lead back to them over any number of links.
    """
    table = loop.lineage
    with drawing(ax, lang, size=(7.2, max(2.6, 1.8 + 0.62 * len(table)))) as pen:
        title = pen.say("lineage.title")
        if table.empty:
            pen.title(title, loop.end)
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        has_brought = bool(table["revenue_brought"].notna().any())
        note = "" if has_brought else pen.say("plot.no_referrals")
        pen.title(title, loop.end, note=note)
        top = float(np.nanmax(floats(table, "revenue"), initial=0.0))
        ends, words, names, lows = [], [], [], [0.0]
        for y, (_, row) in enumerate(table.iterrows()):
            end = _draw_source(pen, y, row, top)
            words.append(amount(float(row["revenue"])))
            beside(pen.ax, end, y, words[-1])
            ends.append(end)
            names.append(_name(pen, row))
            lows.append(sum(min(0.0, v) for v in _parts(row).values() if v == v))
        name_rows(pen.ax, range(len(table)), names)
        room_right(pen.ax, ends, words, start=1.05 * min(lows))
        money_axis(pen.ax, axis="x")
        clean(pen.ax, grid="x")
        unit = pen.name(currency) if currency else pen.say("unit.currency")
        pen.ax.set_xlabel(pen.say("lineage.axis", currency=unit))
        keys = [
            box(pen.say(f"lineage.{part}"), colour)
            for part, colour in _PARTS.items()
            if part != "brought" or has_brought
        ]
        legend_below(pen, keys, n_columns=3)
        return pen.ax


def _parts(row: "pd.Series[float]") -> dict[str, float]:
    """Return the parts of the revenue of a source."""
    return {
        "direct": float(row["revenue_direct"]),
        "repeat": float(row["revenue_own"]) - float(row["revenue_direct"]),
        "brought": float(row["revenue_brought"]),
    }


def _draw_source(pen: Pen, y: int, row: "pd.Series[float]", top: float) -> float:
    """Draw the parts of one source, with their shares, and return the end."""
    parts, total = _parts(row), float(row["revenue"])
    end = stack(pen.ax, y, [(parts[name], _PARTS[name]) for name in _PARTS])
    if not all(value >= 0 for value in parts.values() if value == value):
        return end  # parts of different signs have no shares
    left = 0.0
    for value in parts.values():
        if value >= _LEAST_NAMED * top:
            pen.ax.text(
                left + value / 2, y, f"{value / total:.0%}", ha="center", va="center",
                fontsize="small", color="w",
            )  # fmt: skip
        left += value if value == value else 0.0
    return end


def _name(pen: Pen, row: "pd.Series[float]") -> str:
    """Return a source with the people who lead back to it."""
    name = pen.segment(row["root_source"], by="source")
    roots = format_value(row["n_roots"], "int")
    if pd.isna(row["n_brought"]):
        return pen.say("value.group", group=name, n=roots)
    brought = format_value(row["n_brought"], "int")
    return pen.say("lineage.name", name=name, roots=roots, brought=brought)
