"""What customers are worth, by themselves and through others, as pictures."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.measures.summary import ValueSummary
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    money_axis,
    percent_axis,
)
from selfloop.outputs.text import Lang

_GROUPS = {
    "direct": ("source.direct", STAGE_COLOURS["conversion"]),
    "referral": ("source.referral", STAGE_COLOURS["referral"]),
}


def plot_value_distribution(
    summary: ValueSummary,
    ax: Axes | None = None,
    *,
    currency: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw how lifetime value is spread, for referred people and for the others.

    Without a lifetime model it is what they have spent so far, and the labels say so.

    Parameters
    ----------
    summary : ValueSummary
        ``analysis.value_summary`` from `selfloop.analyze`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    currency : str, optional
        Unit of the values, such as ``"CNY"``.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        For each class of value the share of each group, side by side; the last
        class is open when it has no upper end.
    """
    table = summary.histogram.sort_values("low_value", kind="stable")
    with drawing(ax, lang) as pen:
        lows = table["low_value"].drop_duplicates().to_numpy(dtype=float)
        shown = [g for g in _GROUPS if (table["source_group"] == g).any()]
        for position, group in enumerate(shown):
            rows = table[table["source_group"] == group].set_index("low_value")
            heights = rows["share"].reindex(lows).to_numpy(dtype=float)
            key, colour = _GROUPS[group]
            n_people = format_value(rows["n_people"].sum(), "int")
            width = 0.86 / len(shown)
            place = np.arange(len(lows)) + 0.07 + width * position
            pen.ax.bar(
                place, heights, width, align="edge", color=colour,
                label=pen.say("value.group", group=pen.say(key), n=n_people),
            )  # fmt: skip
        _label_classes(pen, table, lows)
        kind = "revenue_" if summary.value_column == "revenue" else ""
        unit = _unit(pen, currency)
        pen.title(pen.say(f"value.{kind}title"))
        pen.ax.set_xlabel(pen.say(f"value.{kind}axis", currency=unit))
        pen.ax.set_ylabel(pen.say("value.share"))
        percent_axis(pen.ax)
        clean(pen.ax)
        if shown:
            pen.ax.legend(frameon=False, fontsize="small")
        return pen.ax


def plot_value_by_source(
    summary: ValueSummary,
    ax: Axes | None = None,
    *,
    currency: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw the mean lifetime value of a buyer of each source, with its interval.

    Parameters
    ----------
    summary : ValueSummary
        ``analysis.value_summary`` from `selfloop.analyze`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    currency : str, optional
        Unit of the values, such as ``"CNY"``.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        A dot and its 95 % interval for each source.
    """
    table = summary.by_source
    size = (7.2, max(2.2, 1.2 + 0.45 * len(table)))
    with drawing(ax, lang, size=size) as pen:
        labels = []
        for y, (_, row) in enumerate(table.iterrows()):
            n_buyers = format_value(row["n_buyers"], "int")
            name = pen.segment(row["source"], by="source")
            labels.append(pen.say("value.group", group=name, n=n_buyers))
            if pd.isna(row["lifetime_value_per_buyer"]):
                words = format_value(None)
                pen.ax.text(0.01, y, words, transform=pen.ax.get_yaxis_transform())
                continue
            is_referred = row["source"] == "referral"
            colour = STAGE_COLOURS["referral" if is_referred else "conversion"]
            if pd.notna(row["low"]) and pd.notna(row["high"]):
                ends = [float(row["low"]), float(row["high"])]
                pen.ax.plot(ends, [y, y], color=colour, linewidth=2)
            pen.ax.plot(float(row["lifetime_value_per_buyer"]), y, "o", color=colour)
        pen.ax.set_yticks(range(len(table)), labels)
        pen.ax.set_ylim(len(table) - 0.5, -0.5)
        pen.title(pen.say("value.source_title"))
        unit = _unit(pen, currency)
        pen.ax.set_xlabel(pen.say("value.source_axis", currency=unit))
        money_axis(pen.ax, axis="x")
        clean(pen.ax, grid="x")
        return pen.ax


def plot_social_value(
    summary: ValueSummary,
    ax: Axes | None = None,
    *,
    currency: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw what each tenth of customers is worth by itself and through others.

    Parameters
    ----------
    summary : ValueSummary
        ``analysis.value_summary`` from `selfloop.analyze`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    currency : str, optional
        Unit of the values, such as ``"CNY"``.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        Own spending kept (below) and social value (above) add up to total value, and
        over all tenths to revenue; the dash is all own spending, before a part of it
        is credited to those who brought the customer.
    """
    table = summary.deciles.sort_values("decile", kind="stable")
    with drawing(ax, lang) as pen:
        if table.empty:
            pen.title(pen.say("social.title"))
            pen.blank(pen.say("plot.no_referrals"))
            return pen.ax
        place = table["decile"].to_numpy(dtype=int)
        total = floats(table, "total_value")
        social = floats(table, "social_value")
        pen.ax.bar(
            place, total - social, 0.72, color=STAGE_COLOURS["conversion"],
            label=pen.say("social.kept"),
        )  # fmt: skip
        pen.ax.bar(
            place, social, 0.72, bottom=total - social, label=pen.say("social.social"),
            color=STAGE_COLOURS["referral"],
        )  # fmt: skip
        ink = pen.ax.xaxis.label.get_color()
        pen.ax.hlines(
            floats(table, "revenue"), place - 0.42, place + 0.42,
            color=ink, linewidth=1.4, label=pen.say("social.revenue"),
        )  # fmt: skip
        pen.ax.set_xticks(place)
        pen.title(pen.say("social.title"))
        pen.ax.set_xlabel(pen.say("social.decile"))
        pen.ax.set_ylabel(pen.say("social.axis", currency=_unit(pen, currency)))
        money_axis(pen.ax)
        clean(pen.ax)
        pen.ax.legend(frameon=False, fontsize="small")
        return pen.ax


def _unit(pen: Pen, currency: str | None) -> str:
    """Return the unit of money, in words when it is not known."""
    return pen.name(currency) if currency else pen.say("unit.currency")


def _label_classes(pen: Pen, table: pd.DataFrame, lows: np.ndarray) -> None:
    """Write the lower ends of the classes at their left edges, and the last end."""
    ends = floats(table, "high_value")
    finite = ends[np.isfinite(ends)]
    is_open = len(finite) < len(ends)
    edges = [f"{low:,g}" for low in lows]
    if len(lows):
        edges.append("∞" if is_open else f"{finite.max():,g}")
    every = max(1, -(-len(edges) // 12))
    places = list(range(0, len(edges), every))
    pen.ax.set_xticks(places, [edges[i] for i in places])
