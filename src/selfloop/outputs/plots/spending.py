"""What a buyer from ads costs against what one is worth, as pictures."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.core.errors import SettingError
from selfloop.measures.loop.spending import ALL_CHANNELS, AcquisitionCost
from selfloop.outputs.plots.keys import box, legend_below
from selfloop.outputs.plots.lettering import amount, room_right
from selfloop.outputs.plots.months import name_months
from selfloop.outputs.plots.reasons import why
from selfloop.outputs.plots.rows import beside, name_rows, stack, whisker
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    interval,
    money_axis,
)
from selfloop.outputs.text import Lang

_MAX_CHANNELS = 10
_COST = STAGE_COLOURS["traffic"]
_OWN, _BROUGHT = STAGE_COLOURS["conversion"], STAGE_COLOURS["referral"]


def plot_acquisition_cost(
    cost: AcquisitionCost,
    ax: Axes | None = None,
    *,
    currency: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw what a buyer of each paid channel costs and what one is worth.

    Parameters
    ----------
    cost : AcquisitionCost
        From `selfloop.acquisition_cost`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    currency : str, optional
        Unit of the values, such as ``"CNY"``.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        Two bars for each channel, ten at most: the cost of a buyer with its 95 %
        interval, and the value of one, times the margin, divided in own purchases and
        people brought. In words how many times the cost comes back, with its interval,
        whether that pays beyond doubt, and when.
    """
    table, n_all = _largest(cost.channels), len(cost.channels)
    size = (7.2, max(3.0, 1.9 + 0.72 * len(table)))
    with drawing(ax, lang, size=size) as pen:
        title = pen.say("cost.title")
        if table[["cac", "buyer_ceiling"]].isna().all(axis=None):
            pen.title(title, cost.end)
            pen.blank(why(pen, table["reason"].iloc[0] if len(table) else ""))
            return pen.ax
        pen.title(title, cost.end, note=_note(pen, cost, table, n_all))
        ends, words = [], []
        for y, (_, row) in enumerate(table.iterrows()):
            for end, said in _draw_channel(pen, y, row):
                ends.append(end)
                words.append(said)
        groups = [pen.segment(c, by="channel") for c in table["channel"]]
        names = [
            pen.say("value.group", group=group, n=format_value(n, "int"))
            for group, n in zip(groups, table["n_buyers"], strict=True)
        ]
        name_rows(pen.ax, range(len(table)), names)
        room_right(pen.ax, ends, words)
        money_axis(pen.ax, axis="x")
        clean(pen.ax, grid="x")
        unit = pen.name(currency) if currency else pen.say("unit.currency")
        pen.ax.set_xlabel(pen.say("cost.axis", currency=unit))
        cost_key = "cost.cost" if table["cac_low"].notna().any() else "cost.plain"
        keys = [box(pen.say(cost_key), _COST), box(pen.say("cost.own"), _OWN)]
        if table["share_brought"].notna().any():
            keys.append(box(pen.say("cost.brought"), _BROUGHT))
        legend_below(pen, keys, n_columns=3)
        return pen.ax


def _largest(table: pd.DataFrame) -> pd.DataFrame:
    """Return the channels with most spend in the order of the table, all first."""
    sizes = table["spend"].where(table["channel"] != ALL_CHANNELS, np.inf)
    kept = sizes.sort_values(ascending=False, kind="stable").index[:_MAX_CHANNELS]
    return table[table.index.isin(kept)].reset_index(drop=True)


def _note(pen: Pen, cost: AcquisitionCost, table: pd.DataFrame, n_all: int) -> str:
    """Say of which value the margin is taken, and which channels are left out."""
    days = table["value_days"].dropna()
    by = pen.days(days.max() if len(days) else cost.horizon_days)
    parts = [pen.say("cost.note", margin=f"{cost.margin:.0%}", window=by)]
    if table["share_brought"].isna().all():
        reason = why(pen, table["reason"].iloc[0])
        parts.append(pen.say("visitors.own_only", why=reason))
    if len(table) < n_all:
        parts.append(pen.say("visitors.part", shown=len(table), n=n_all))
    return pen.say("plot.and").join(parts)


def _draw_channel(pen: Pen, y: int, row: "pd.Series[float]") -> list[tuple[float, str]]:
    """Draw cost and worth of a buyer; return where the rows end, and their words."""
    cac, low, high = (float(row[f"cac{end}"]) for end in ("", "_low", "_high"))
    above, below = y - 0.18, y + 0.18
    if np.isnan(cac):
        first = 0.0, f"{format_value(None)}  {why(pen, row['reason'], width=300.0)}"
    else:
        stack(pen.ax, above, [(cac, _COST)], height=0.32)
        whisker(pen.ax, above, (low, high))
        first = float(np.nanmax([cac, high])), amount(cac, low, high)
    worth = float(row["buyer_ceiling"])
    own = worth * (1 - float(row["share_brought"]))
    if np.isnan(own):  # people brought not known: own purchases are
        own = float(row["return_ratio_own"]) * cac
    end = stack(pen.ax, below, [(own, _OWN), (worth - own, _BROUGHT)], height=0.32)
    second = end, _returns(pen, row)
    for place, (right, said) in ((above, first), (below, second)):
        beside(pen.ax, right, place, said)
    return [first, second]


def _returns(pen: Pen, row: "pd.Series[float]") -> str:
    """Say how often the cost comes back, whether that is beyond doubt, and when."""
    ratio, low, high = (float(row[f"return_ratio{e}"]) for e in ("", "_low", "_high"))
    if np.isnan(ratio):
        if np.isnan(row["return_ratio_own"]):
            return format_value(None)
        own = pen.say("cost.returns_own", ratio=amount(float(row["return_ratio_own"])))
        return own
    verdict = "pays" if low >= 1 else "loses" if high < 1 else "open"
    words = pen.say(
        "cost.returns", ratio=amount(ratio, low, high),
        verdict=pen.say(f"cost.{verdict}"),
    )  # fmt: skip
    if np.isnan(row["payback_days"]):
        return words
    days = format_value(row["payback_days"], "int")
    return words + "\n" + pen.say("cost.payback", days=days)


def plot_cost_months(
    cost: AcquisitionCost,
    ax: Axes | None = None,
    *,
    channel: str = ALL_CHANNELS,
    currency: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw what a buyer from a paid channel has cost month by month.

    Parameters
    ----------
    cost : AcquisitionCost
        From `selfloop.acquisition_cost`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    channel : str, optional
        One of the channels with spend; all of them by default.
    currency : str, optional
        Unit of the values, such as ``"CNY"``.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        A dot for each month whose cost is known; the others are gaps, and are counted
        with the reason. The line across is the cost of all months together with its
        95 % interval. In words whether the cost of a buyer rises or falls.

    Raises
    ------
    SettingError
        When there is no such channel.
    """
    channels = cost.channels["channel"].tolist()
    if channels and channel not in channels:
        known = ", ".join(repr(str(c)) for c in channels)
        raise SettingError(f"channel must be one of {known}; got {channel!r}")
    table = cost.months[cost.months["channel"] == channel].reset_index(drop=True)
    size = (min(12.0, max(7.2, 3.6 + 0.36 * len(table))), 4.2)
    with drawing(ax, lang, size=size) as pen:
        title = pen.say("cost_months.title", channel=pen.segment(channel, by="channel"))
        cac = floats(table, "cac")
        if not np.isfinite(cac).any():
            pen.title(title, cost.end)
            pen.blank(why(pen, table["reason"].iloc[0] if len(table) else ""))
            return pen.ax
        trend = cost.trends[cost.trends["channel"] == channel]
        note = _trend(pen, trend.iloc[0]) if len(trend) else ""
        pen.title(title, cost.end, note=note)
        line = cost.channels[cost.channels["channel"] == channel].iloc[0]
        _draw_level(pen, line)
        pen.ax.plot(
            np.arange(len(table)), cac, color=_COST, marker="o", markersize=5,
            linewidth=1.4, label=pen.say("cost_months.month"),
        )  # fmt: skip
        people = [format_value(n, "int") for n in table["n_buyers"]]
        name_months(pen.ax, table["month"].tolist(), people)
        pen.ax.set_xlabel(_left_out(pen, table))
        unit = pen.name(currency) if currency else pen.say("unit.currency")
        pen.ax.set_ylabel(pen.say("cost_months.axis", currency=unit))
        pen.ax.set_ylim(bottom=0)
        money_axis(pen.ax)
        clean(pen.ax)
        pen.ax.legend(frameon=False, fontsize="small", loc="lower left")
        return pen.ax


def _draw_level(pen: Pen, line: "pd.Series[float]") -> None:
    """Draw the cost of all months together, with its interval."""
    cac, low, high = (float(line[f"cac{end}"]) for end in ("", "_low", "_high"))
    if np.isnan(cac):
        return
    label = pen.say("cost_months.all", cac=amount(cac, low, high))
    colour = STAGE_COLOURS["conversion"]
    pen.ax.axhline(cac, color=colour, linewidth=1.2, linestyle="--", label=label)
    if not np.isnan(low):
        pen.ax.axhspan(low, high, color=colour, alpha=0.13, linewidth=0)


def _trend(pen: Pen, row: "pd.Series[float]") -> str:
    """Say in words whether the cost of a buyer rises or falls."""
    ratio, low, high = (float(row[f"cac_ratio{end}"]) for end in ("", "_low", "_high"))
    if np.isnan(ratio):
        return pen.say("cost_months.no_trend", why=why(pen, row["reason"]))
    verdict = "rises" if low > 1 else "falls" if high < 1 else "same"
    return pen.say(
        "cost_months.trend", ratio=interval(ratio, low, high),
        verdict=pen.say(f"trend.{verdict}"),
    )  # fmt: skip


def _left_out(pen: Pen, table: pd.DataFrame) -> str:
    """Say what n is, and count the months whose cost is not known, by reason."""
    window = table["window_days"].dropna()
    if len(window):
        words = [pen.say("cost_months.soon", window=pen.days(float(window.iloc[0])))]
    else:
        words = [pen.say("cost_months.buyers")]
    left = table[table["cac"].isna()].groupby("reason", sort=True).size()
    for reason, n in left.items():
        words.append(
            pen.say("cost_months.left_out", n=n, why=why(pen, reason, width=500.0))
        )
    return "\n".join(words)
