"""The months to come, and how earlier projections met what happened, as pictures."""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from numpy.typing import NDArray

from selfloop.core.settings import check_choice
from selfloop.measures.loop.ahead import EXPECTED, Projection
from selfloop.measures.loop.backtest import ALL_MONTHS, LoopBacktest
from selfloop.outputs.plots.keys import (
    box,
    dot,
    ink,
    legend_below,
    paper,
    stroke,
)
from selfloop.outputs.plots.lettering import amount
from selfloop.outputs.plots.months import name_months
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    money_axis,
)
from selfloop.outputs.text import Lang

_COLOURS = {
    "as_is": STAGE_COLOURS["conversion"],
    "no_ads": STAGE_COLOURS["traffic"],
    "what_if": STAGE_COLOURS["referral"],
}
_WIDE = 8.0
"""A range this many times as high as the highest expectation needs a log scale."""

_LIGHT, _DARK = 0.09, 0.26
_BESIDE = 0.22  # of a month, between scenarios of a month that stands alone
_MISSED = "#b91c1c"


def plot_projection(
    projection: Projection,
    ax: Axes | None = None,
    *,
    measure: str = "revenue",
    currency: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw the months to come, with both their ranges, for each scenario.

    Parameters
    ----------
    projection : Projection
        From `selfloop.project_loop`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    measure : {"revenue", "orders", "buyers"}, optional
        What is projected.
    currency : str, optional
        Unit of revenue, such as ``"CNY"``.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        A line for each scenario: in the light band a month will fall, in the dark one
        lies its expectation (both 95 %). A month that had begun is hollow and stands
        alone, for it is not whole. The totals of all months are in the legend. Ranges
        that go far beyond the expectation are on a log scale.

    Raises
    ------
    SettingError
        When the measure is not one of the three.
    """
    check_choice("measure", measure, EXPECTED)
    table = projection.months
    months = sorted(table["month"].unique())
    size = (min(11.0, max(7.2, 3.6 + 0.3 * len(months))), 4.8)
    with drawing(ax, lang, size=size) as pen:
        title = pen.say("ahead.title", measure=pen.say(f"measure.{measure}"))
        if table[measure].isna().all():
            pen.title(title, projection.end)
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        days = pen.days(projection.recent_days)
        pen.title(title, projection.end, note=pen.say("ahead.note", window=days))
        keys = []
        scenarios = table["scenario"].unique()
        for number, scenario in enumerate(scenarios):
            shift = _BESIDE * (number - (len(scenarios) - 1) / 2)
            rows = table[table["scenario"] == scenario].set_index("month")
            colour = _COLOURS[scenario]
            _draw_fan(pen, rows.reindex(months), measure, (colour, shift))
            total = projection.totals[projection.totals["scenario"] == scenario]
            keys.append(stroke(_total(pen, scenario, total, measure), colour))
        keys.append(box(pen.say("ahead.expected"), ink(pen), alpha=_DARK))
        keys.append(box(pen.say("ahead.range"), ink(pen), alpha=_LIGHT))
        if (table["status"] == "partial").any():
            keys.append(dot(pen.say("ahead.partial"), ink(pen), face=paper(pen)))
        n_lines = name_months(pen.ax, months)
        _scale(pen, table, measure, currency)
        legend_below(pen, keys, n_columns=2, n_lines=n_lines)
        return pen.ax


def _draw_fan(
    pen: Pen, rows: pd.DataFrame, measure: str, style: tuple[str, float]
) -> None:
    """Draw one scenario: whole months as a line with bands, others alone."""
    ax, (colour, shift) = pen.ax, style
    value, low, high, mean_low, mean_high = (
        floats(rows, f"{measure}{end}")
        for end in ("", "_low", "_high", "_mean_low", "_mean_high")
    )
    place = np.arange(len(rows))
    is_whole = (rows["status"] == "complete").to_numpy(dtype=bool)
    whole = np.where(is_whole, 1.0, np.nan)
    for lower, upper, alpha in ((low, high, _LIGHT), (mean_low, mean_high, _DARK)):
        ax.fill_between(
            place, lower * whole, upper * whole, color=colour, alpha=alpha, linewidth=0
        )
    for edge in (low, high):
        ax.plot(place, edge * whole, color=colour, linewidth=0.8, linestyle=":")
    ax.plot(place, value * whole, color=colour, marker="o", markersize=4, linewidth=1.6)
    for x in place[~is_whole & np.isfinite(value)].tolist():
        for ends, width in (((low, high), 1.0), ((mean_low, mean_high), 4.0)):
            ax.plot(
                [x + shift] * 2, [ends[0][x], ends[1][x]], color=colour,
                linewidth=width, alpha=0.6, solid_capstyle="butt",
            )  # fmt: skip
        ax.plot(
            x + shift, value[x], marker="o", markersize=6, color=colour, linestyle="",
            markerfacecolor=ax.get_facecolor(),
        )  # fmt: skip


def _total(pen: Pen, scenario: str, total: pd.DataFrame, measure: str) -> str:
    """Return a scenario in words, with the sum of all months and its range."""
    name = pen.say(f"scenario.{scenario}")
    if total.empty:
        return name
    row = total.iloc[0]
    sums = (float(row[f"{measure}{end}"]) for end in ("", "_low", "_high"))
    window = pen.days(float(row["horizon_days"]))
    return pen.say("ahead.total", name=name, window=window, sum=amount(*sums))


def _scale(pen: Pen, table: pd.DataFrame, measure: str, currency: str | None) -> None:
    """Set the scale of y and its label: from 0, or logarithmic for very wide ranges."""
    ax = pen.ax
    unit = pen.name(currency) if currency else pen.say("unit.currency")
    label = pen.say(f"ahead.{measure}", currency=unit)
    value, low, high = (floats(table, f"{measure}{e}") for e in ("", "_low", "_high"))
    lowest = float(np.nanmin([value, low]))
    highest = float(np.nanmax([value, high]))
    if highest > _WIDE * float(np.nanmax(value)) and lowest > 0:
        ax.set_yscale("log")
        label += "\n" + pen.say("ahead.log")
    else:
        ax.set_ylim(min(0.0, 1.05 * lowest), 1.05 * highest if highest > 0 else None)
    money_axis(ax)
    ax.set_ylabel(label)
    clean(ax)


def plot_loop_backtest(
    test: LoopBacktest,
    ax: Axes | None = None,
    *,
    measure: str = "revenue",
    currency: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw what was projected of each month beside what happened.

    Parameters
    ----------
    test : LoopBacktest
        From `selfloop.backtest_loop`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    measure : {"revenue", "orders", "buyers"}, optional
        What was projected.
    currency : str, optional
        Unit of revenue, such as ``"CNY"``.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        A bar for each month: the 95 % range that the month was to fall into, and in it
        a stroke for what was expected; a dot for what happened, red outside the range.
        Months that were not predicted whole are lighter, their dots hollow.

    Raises
    ------
    SettingError
        When the measure is not one of the three.
    """
    check_choice("measure", measure, EXPECTED)
    table = test.table[test.table["measure"] == measure]
    months = table[table["month"] != ALL_MONTHS].reset_index(drop=True)
    with drawing(ax, lang, size=(7.2, 4.6)) as pen:
        title = pen.say("met.title", measure=pen.say(f"measure.{measure}"))
        if months.empty:
            pen.title(title, test.end)
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        whole = table[table["month"] == ALL_MONTHS]
        pen.title(title, test.end, note=_met(pen, test, months, whole))
        _draw_ranges(pen, months)
        n_lines = name_months(pen.ax, months["month"].tolist())
        unit = pen.name(currency) if currency else pen.say("unit.currency")
        pen.ax.set_ylabel(pen.say(f"ahead.{measure}", currency=unit))
        ends = [floats(months, c) for c in ("predicted_high", "predicted", "actual")]
        top, least = float(np.nanmax(ends)), float(np.nanmin(ends))
        pen.ax.set_ylim(min(0.0, 1.05 * least), 1.08 * top if top > 0 else None)
        money_axis(pen.ax)
        clean(pen.ax)
        legend_below(pen, _met_keys(pen, months), n_columns=3, n_lines=n_lines)
        return pen.ax


def _met(
    pen: Pen, test: LoopBacktest, months: pd.DataFrame, whole: pd.DataFrame
) -> str:
    """Say what was known, how many months fell into their ranges, and the total."""
    seen = months["inside"].dropna()
    words = pen.say(
        "met.note", at=f"{test.at:%Y-%m-%d}", inside=int(seen.sum()), n=len(seen)
    )
    if whole.empty:
        return words
    row = whole.iloc[0]
    ends = (float(row[f"predicted{end}"]) for end in ("", "_low", "_high"))
    total = pen.say(
        "met.total", predicted=amount(*ends), actual=amount(float(row["actual"]))
    )
    return f"{words}\n{total}"


def _draw_ranges(pen: Pen, months: pd.DataFrame) -> None:
    """Draw the range, the expectation and the truth of each month."""
    ax = pen.ax
    colour = STAGE_COLOURS["conversion"]
    low, value, high, actual = (
        floats(months, c)
        for c in ("predicted_low", "predicted", "predicted_high", "actual")
    )
    is_whole = (months["status"] == "complete").to_numpy(dtype=bool)
    missed = _missed(months)
    for x in range(len(months)):
        alpha = 0.32 if is_whole[x] else 0.16
        if np.isfinite(low[x]):
            ax.bar(
                x, high[x] - low[x], 0.5, bottom=low[x], color=colour, alpha=alpha,
                linewidth=0,
            )  # fmt: skip
        ax.plot([x - 0.25, x + 0.25], [value[x]] * 2, color=colour, linewidth=1.8)
        shade = _MISSED if missed[x] else ink(pen)
        ax.plot(
            x, actual[x], marker="o", markersize=6, linestyle="", color=shade,
            markerfacecolor=shade if is_whole[x] else ax.get_facecolor(),
        )  # fmt: skip


def _met_keys(pen: Pen, months: pd.DataFrame) -> list[Artist]:
    """Say what bars, strokes and dots are."""
    colour = STAGE_COLOURS["conversion"]
    keys = [
        stroke(pen.say("met.expected"), colour),
        box(pen.say("met.range"), colour, alpha=0.32),
        dot(pen.say("met.actual"), ink(pen)),
    ]
    if _missed(months).any():
        keys.append(dot(pen.say("met.missed"), _MISSED))
    if (months["status"] == "partial").any():
        keys.append(dot(pen.say("ahead.partial"), ink(pen), face=paper(pen)))
    return keys


def _missed(months: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which months fell outside their ranges; one without a range did not."""
    return np.array([not (pd.isna(x) or bool(x)) for x in months["inside"]])
