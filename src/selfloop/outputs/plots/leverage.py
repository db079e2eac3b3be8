"""Which stage to mend, and what a target does, as pictures."""

import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.measures.loop.leverage import STAGES, Leverage
from selfloop.measures.loop.what_if import WhatIf
from selfloop.outputs.plots.keys import box, dot, ink, legend_below, paper
from selfloop.outputs.plots.lettering import amount, room_right
from selfloop.outputs.plots.reasons import why
from selfloop.outputs.plots.rows import beside, name_rows, whisker
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    money_axis,
)
from selfloop.outputs.text import Lang

_STEPS = {
    "+10%": (-0.19, 0.9, "leverage.tenth"),
    "+1 point": (0.19, 0.5, "leverage.point"),
}
_TARGET = re.compile(r"(conversion|repurchase|referral)_(\d+)d")


def plot_leverage(
    leverage: Leverage,
    ax: Axes | None = None,
    *,
    currency: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw what a little more of each stage adds to the revenue of the next year.

    Parameters
    ----------
    leverage : Leverage
        From `selfloop.stage_leverage`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    currency : str, optional
        Unit of revenue, such as ``"CNY"``.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        Two bars for each stage: the revenue that 10 % more of it adds, and one point
        more, with 95 % intervals. What is not known says why.
    """
    table = leverage.table
    with drawing(ax, lang, size=(7.2, 4.6)) as pen:
        title = pen.say("leverage.title")
        if table["revenue_gain"].isna().all():
            pen.title(title, leverage.end)
            pen.blank(why(pen, table["reason"].iloc[0] if len(table) else ""))
            return pen.ax
        pen.title(title, leverage.end, note=_best(pen, leverage))
        ends, words, names = [], [], []
        for y, stage in enumerate(STAGES):
            rows = table[table["stage"] == stage]
            names.append(_stage(pen, stage, rows))
            for end, said in _draw_stage(pen, y, rows):
                ends.append(end)
                words.append(said)
        name_rows(pen.ax, range(len(STAGES)), names)
        least = float(np.nanmin(floats(table, "revenue_gain_low"), initial=0.0))
        room_right(pen.ax, ends, words, start=min(0.0, 1.05 * least))
        money_axis(pen.ax, axis="x")
        clean(pen.ax, grid="x")
        unit = pen.name(currency) if currency else pen.say("unit.currency")
        pen.ax.set_xlabel(pen.say("leverage.axis", currency=unit))
        keys = [
            box(pen.say(key), ink(pen), alpha=alpha)
            for _, alpha, key in _STEPS.values()
        ]
        legend_below(pen, keys, n_columns=2)
        return pen.ax


def _best(pen: Pen, leverage: Leverage) -> str:
    """Name the stage with most leverage, and say whether that is beyond doubt."""
    if leverage.best_stage is None:
        return pen.say("leverage.none")
    stage = pen.say(f"stage.{leverage.best_stage}")
    table = leverage.table
    known = table.loc[table["revenue_gain"].notna(), "stage"].nunique()
    if known < len(STAGES):
        return pen.say("leverage.of_known", stage=stage, n=known)
    clear = "clear" if leverage.best_is_clear else "unclear"
    return pen.say(f"leverage.{clear}", stage=stage)


def _stage(pen: Pen, stage: str, rows: pd.DataFrame) -> str:
    """Return a stage with its share of today."""
    name = pen.say(f"stage.{stage}")
    known = rows[rows["share"].notna()]
    if known.empty:
        return name
    window = pen.days(float(known["window_days"].iloc[0]))
    share = format_value(float(known["share"].iloc[0]), "share")
    return f"{name}\n{pen.say('leverage.share', share=share, window=window)}"


def _draw_stage(pen: Pen, y: int, rows: pd.DataFrame) -> list[tuple[float, str]]:
    """Draw the steps of one stage; return where its rows end, and their words."""
    reasons = set(rows.loc[rows["revenue_gain"].isna(), "reason"])
    if rows["revenue_gain"].isna().all() and len(reasons) == 1:
        words = f"{format_value(None)}  {why(pen, reasons.pop(), width=330.0)}"
        beside(pen.ax, 0.0, y, words)
        return [(0.0, words)]
    return [_draw_step(pen, y, row) for _, row in rows.iterrows()]


def _draw_step(pen: Pen, y: int, row: "pd.Series[float]") -> tuple[float, str]:
    """Draw one step of one stage; return where its row ends, and its words."""
    shift, alpha, _ = _STEPS[str(row["step"])]
    gain, low, high = (float(row[f"revenue_gain{e}"]) for e in ("", "_low", "_high"))
    if np.isnan(gain):
        end = 0.0
        words = f"{format_value(None)}  {why(pen, row['reason'], width=330.0)}"
    else:
        colour = STAGE_COLOURS[str(row["stage"])]
        pen.ax.barh(y + shift, gain, 0.34, color=colour, alpha=alpha)
        reach = whisker(pen.ax, y + shift, (low, high))
        end, words = float(np.nanmax([0.0, gain, reach])), amount(gain, low, high)
    beside(pen.ax, end, y + shift, words)
    return end, words


def plot_what_if(result: WhatIf, ax: Axes | None = None, *, lang: Lang = "en") -> Axes:
    """Draw what would follow from a target, each measure against today.

    Parameters
    ----------
    result : WhatIf
        From `selfloop.what_if`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        A row for each measure, in multiples of what is expected today, so that all
        units fit one axis: today and then with their 95 % intervals, and as a thick
        bar the interval of the change alone, which is known better than either. The
        numbers themselves are written beside.
    """
    table = result.table
    with drawing(ax, lang, size=(7.6, 4.4)) as pen:
        title = pen.say("what_if.title")
        note = pen.say("plot.and").join(_targets(pen, result.targets))
        is_known = (table["today"] > 0) & table["difference"].notna()
        if not is_known.any():
            pen.title(title, result.end, note=note)
            pen.blank(why(pen, table["reason"].iloc[0] if len(table) else ""))
            return pen.ax
        pen.title(title, result.end, note=note)
        ends, words = [], []
        for y, (_, row) in enumerate(table.iterrows()):
            end, said = _draw_measure(pen, y, row)
            beside(pen.ax, end, y, said)
            ends.append(end)
            words.append(said)
        n_days = result.projection.totals["horizon_days"]
        window = pen.days(float(n_days.iloc[0])) if len(n_days) else ""
        names = [
            pen.say(f"what_if.{measure}", window=window) for measure in table["measure"]
        ]
        name_rows(pen.ax, range(len(table)), names)
        room_right(pen.ax, ends, words, start=_start(table[is_known]))
        pen.ax.axvline(1, color=ink(pen), linewidth=0.8, alpha=0.5)
        pen.ax.set_xlabel(pen.say("what_if.axis"))
        clean(pen.ax, grid="x")
        keys = [
            dot(pen.say("what_if.today"), ink(pen), face=paper(pen)),
            dot(pen.say("what_if.then"), ink(pen)),
            box(pen.say("what_if.change"), ink(pen), alpha=0.35),
        ]
        legend_below(pen, keys, n_columns=3)
        return pen.ax


def _targets(pen: Pen, targets: dict[str, float]) -> list[str]:
    """Return the targets in words."""
    said = []
    for name, value in targets.items():
        found = _TARGET.fullmatch(name)
        if found:
            stage, days = pen.say(f"stage.{found[1]}"), pen.days(float(found[2]))
            share = format_value(value, "share")
            said.append(
                pen.say("what_if.target", stage=stage, window=days, share=share)
            )
        else:
            said.append(pen.say(f"what_if.{name}_target", n=f"{value:g}"))
    return said


def _draw_measure(pen: Pen, y: int, row: "pd.Series[float]") -> tuple[float, str]:
    """Draw today, then and the change of a measure; return its end and its words."""
    ax = pen.ax
    today, then, change = (
        [float(row[f"{name}{end}"]) for end in ("", "_low", "_high")]
        for name in ("today", "then", "difference")
    )
    if np.isnan(change[0]) or not today[0] > 0:
        end = 1.0
        return end, f"{format_value(None)}  {why(pen, row['reason'], width=250.0)}"
    unit = today[0]
    rows = (
        (today, y - 0.17, ink(pen), "none"),
        (then, y + 0.17, _colour(change), None),
    )
    for (value, low, high), place, colour, face in rows:
        whisker(ax, place, (low / unit, high / unit), colour=colour)
        ax.plot(
            value / unit, place, marker="o", markersize=6, linestyle="", color=colour,
            markerfacecolor=colour if face is None else ax.get_facecolor(),
        )  # fmt: skip
    if not np.isnan(change[1]):
        ax.barh(
            y + 0.17, (change[2] - change[1]) / unit, 0.2,
            left=(unit + change[1]) / unit, color=_colour(change), alpha=0.35,
        )  # fmt: skip
    ends = [today[0], today[2], then[0], then[2], unit + change[2]]
    words = pen.say(
        "what_if.words", today=amount(today[0]), then=amount(then[0]),
        change=_signed(*change),
    )  # fmt: skip
    return float(np.nanmax(ends)) / unit, words


def _colour(change: list[float]) -> str:
    """Return the colour of a change: up, down, or not known which."""
    if change[1] > 0:
        return STAGE_COLOURS["repurchase"]
    return STAGE_COLOURS["referral" if change[2] < 0 else "traffic"]


def _signed(value: float, low: float, high: float) -> str:
    """Write a change with its sign."""
    return ("+" if value > 0 else "") + amount(value, low, high)


def _start(table: pd.DataFrame) -> float:
    """Return where the axis begins: a little left of all that is drawn."""
    today = floats(table, "today")
    names = ("today_low", "then", "then_low")
    ends = np.array([floats(table, name) / today for name in names])
    low = 1 + floats(table, "difference_low") / today
    least = float(np.nanmin([*ends, low], initial=1.0))
    return least - 0.15 * max(1 - least, 0.1)
