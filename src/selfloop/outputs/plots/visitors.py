"""What a visitor of each source is worth, as a picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.measures.loop.value import OUTSIDE, VisitorValue
from selfloop.outputs.plots.keys import box, legend_below
from selfloop.outputs.plots.lettering import amount, room_right
from selfloop.outputs.plots.reasons import why
from selfloop.outputs.plots.rows import beside, name_rows, stack, whisker
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    money_axis,
)
from selfloop.outputs.text import Lang

_MAX_ROWS = 12
_OWN, _BROUGHT = STAGE_COLOURS["conversion"], STAGE_COLOURS["referral"]


def plot_visitor_value(
    value: VisitorValue,
    ax: Axes | None = None,
    *,
    currency: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw what a visitor of each segment is worth, people brought included.

    Parameters
    ----------
    value : VisitorValue
        From `selfloop.visitor_value`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    currency : str, optional
        Unit of the values, such as ``"CNY"``.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        A bar for each segment, twelve at most: own purchases, and behind them what
        people brought spend, with the 95 % interval of the sum. Per visitor where
        that is known for any segment, else per buyer, and the labels say which.
        Without the worth of people brought the bar is own purchases alone, with
        their interval.
    """
    table, n_all = _largest(value.table), len(value.table)
    unit = "visitor" if table["visitor_value"].notna().any() else "buyer"
    with drawing(ax, lang, size=(7.2, max(2.6, 1.9 + 0.44 * len(table)))) as pen:
        title = pen.say(f"visitors.{unit}_title")
        if table[["visitor_value", "own_value"]].isna().all(axis=None):
            pen.title(title, value.end)
            pen.blank(_nothing(pen, table))
            return pen.ax
        pen.title(title, value.end, note=_note(pen, value, table, n_all))
        ends, words = [], []
        for y, (_, row) in enumerate(table.iterrows()):
            end, said = _draw_row(pen, y, row, unit)
            beside(pen.ax, end, y, said)
            ends.append(end)
            words.append(said)
        name_rows(pen.ax, range(len(table)), _names(pen, table, unit, value.by))
        room_right(pen.ax, ends, words, start=min(0.0, *_lows(table, unit)))
        money_axis(pen.ax, axis="x")
        clean(pen.ax, grid="x")
        worth = pen.name(currency) if currency else pen.say("unit.currency")
        pen.ax.set_xlabel(pen.say(f"visitors.{unit}_axis", currency=worth))
        keys = [box(pen.say("visitors.own"), _OWN)]
        if table["brought_value"].notna().any():
            keys.append(box(pen.say("visitors.brought"), _BROUGHT))
        legend_below(pen, keys, n_columns=2)
        return pen.ax


def _largest(table: pd.DataFrame) -> pd.DataFrame:
    """Return the segments with most buyers in the order of the table, all first."""
    sizes = table["n_buyers"].where(table["segment"] != OUTSIDE, np.inf)
    kept = sizes.sort_values(ascending=False, kind="stable").index[:_MAX_ROWS]
    return table[table.index.isin(kept)].reset_index(drop=True)


def _nothing(pen: Pen, table: pd.DataFrame) -> str:
    """Say why nothing is known, for the largest segment."""
    return why(pen, table["reason"].iloc[0] if len(table) else "")


def _note(pen: Pen, value: VisitorValue, table: pd.DataFrame, n_all: int) -> str:
    """Say to which age values count, and which segments are left out."""
    days = table["value_days"].dropna()
    first, last = pen.days(days.min()), pen.days(days.max())
    is_own = bool(table["brought_value"].isna().all())
    if days.min() >= value.horizon_days:
        counted = "own_horizon" if is_own else "horizon"
        parts = [pen.say(f"visitors.{counted}", window=last)]
    elif first == last:
        parts = [pen.say("visitors.short", window=last)]
    else:
        parts = [pen.say("visitors.short_to", first=first, last=last)]
    if is_own:
        reason = why(pen, value.descent_reason)
        parts.append(pen.say("visitors.own_only", why=reason))
    if n_all > len(table):
        parts.append(pen.say("visitors.part", shown=len(table), n=n_all))
    return pen.say("plot.and").join(parts)


def _draw_row(
    pen: Pen, y: int, row: "pd.Series[float]", unit: str
) -> tuple[float, str]:
    """Draw both parts and the interval; return where they end, and their words."""
    prefix = "visitor_" if unit == "visitor" else ""
    own, brought = (
        float(row[f"{prefix}own_value"]),
        float(row[f"{prefix}brought_value"]),
    )
    total = [float(row[f"{unit}_value{end}"]) for end in ("", "_low", "_high")]
    if np.isnan(total[0]) and unit == "buyer":
        total = [float(row[f"own_value{end}"]) for end in ("", "_low", "_high")]
    if np.isnan(own):
        return 0.0, f"{format_value(None)}  {why(pen, row['reason'], width=300.0)}"
    end = stack(pen.ax, y, [(own, _OWN), (brought, _BROUGHT)])
    high = whisker(pen.ax, y, (total[1], total[2]))
    return float(np.nanmax([end, high])), amount(total[0], total[1], total[2])


def _lows(table: pd.DataFrame, unit: str) -> list[float]:
    """Return what may lie below 0."""
    prefix = "visitor_" if unit == "visitor" else ""
    names = [f"{prefix}own_value", f"{prefix}brought_value", f"{unit}_value_low"]
    found = np.concatenate([floats(table, name) for name in names])
    return [float(x) * 1.1 for x in found if x < 0] or [0.0]


def _names(pen: Pen, table: pd.DataFrame, unit: str, by: str) -> list[str]:
    """Return the names of the rows with their people."""
    column = "n_arrived" if unit == "visitor" else "n_buyers"
    return [
        pen.say(
            "value.group", group=pen.segment(segment, by=by), n=format_value(n, "int")
        )
        for segment, n in zip(table["segment"], table[column], strict=True)
    ]  # fmt: skip
