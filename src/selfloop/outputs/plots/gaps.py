"""When customers come back, as a picture: hazard and share, with what stands out."""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.core.settings import check_choice
from selfloop.measures.repurchase.gaps import QUANTILES, RepurchaseGaps
from selfloop.outputs.plots.keys import box, dot, stroke
from selfloop.outputs.plots.reasons import why
from selfloop.outputs.plots.repurchase import COLOURS, ends_of, joined, largest, named
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    percent_axis,
)
from selfloop.outputs.text import Lang

SHOWN = ("hazard", "share")
"""What `plot_gaps` can draw."""

_MAX_LABELS = 9
_STEPS = (1, 5, 10, 30, 60, 90, 180, 360)  # days from one label to the next
_TOP = 1.9  # of the highest estimate that is drawn: the intervals of few reach far


def plot_gaps(
    gaps: RepurchaseGaps,
    ax: Axes | None = None,
    *,
    show: str = "hazard",
    lang: Lang = "en",
) -> Axes:
    """Draw when customers come back, by days since their last purchase.

    Parameters
    ----------
    gaps : RepurchaseGaps
        From `selfloop.repurchase_gaps`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    show : {"hazard", "share"}, optional
        How many of those not back yet buy on a day, or how many have come back.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        Curves with 95 % bands up to day W. Undivided, the days on which the hazard is
        not surely below its peak are shaded, and dots on the share tell by when half,
        80 % and 90 % of those within W have come back. With breakdowns, the six
        segments with most customers.

    Raises
    ------
    SettingError
        When `show` is another.
    """
    check_choice("show", show, SHOWN)
    column = "hazard" if show == "hazard" else "share_returned"
    bins, lines = joined(gaps.bins), joined(gaps.reminders)
    names = largest(lines, "n_buyers")
    bins = bins[bins["segment"].isin(names) & bins[column].notna()]
    bins = bins[bins["from_day"] <= gaps.window_days]
    with drawing(ax, lang) as pen:
        title = pen.say(f"gaps.{show}_title")
        if bins.empty:
            pen.title(title, gaps.end)
            pen.blank(why(pen, lines["reason"].iloc[0] if len(lines) else ""))
            return pen.ax
        notes = [pen.say("gaps.pooled")]
        if len(lines) > len(names):
            part = pen.say("ladder.part", shown=len(names), n=len(lines))
            notes.insert(0, part)
        pen.title(title, gaps.end, note=pen.say("plot.and").join(notes))
        keys = [
            _draw_curve(pen, bins, name, colour, column)
            for name, colour in zip(names, COLOURS, strict=False)
            if (bins["segment"] == name).any()
        ]
        alone = len(names) == 1
        if alone:
            draw = _shade if show == "hazard" else _mark
            keys = draw(pen, lines.iloc[0])
            _name_days(pen, bins)
        else:
            keys = [_named(pen, key, lines, gaps.by) for key in keys]
        pen.ax.set_xlabel(pen.say("gaps.axis_n" if alone else "gaps.axis"))
        pen.ax.set_ylabel(pen.say(f"gaps.{show}"))
        top = 1.0 if show == "share" else _top(bins)
        pen.ax.set_ylim(0, top)
        pen.ax.set_xlim(float(bins["from_day"].min() - 1), float(bins["to_day"].max()))
        percent_axis(pen.ax)
        clean(pen.ax)
        if keys:
            pen.ax.legend(handles=keys, loc="best", frameon=False, fontsize="small")
        return pen.ax


def _top(bins: pd.DataFrame) -> float:
    """Return how high the axis reaches: all estimates, and the intervals of most."""
    highest = float(bins["hazard"].max())
    end = float(bins["hazard_high"].max())
    return 1.05 * (min(end, _TOP * highest) if highest > 0 else end)


def _draw_curve(
    pen: Pen, bins: pd.DataFrame, name: str, colour: str, column: str
) -> Artist:
    """Draw one curve with its band, and return its key."""
    rows = bins[bins["segment"] == name]
    value, low, high = ends_of(rows, column)
    first, last = floats(rows, "from_day"), floats(rows, "to_day")
    if column == "hazard":  # the same all through its bin
        edges = np.append(first - 1, last[-1])
        pen.ax.fill_between(
            edges, np.append(low, low[-1]), np.append(high, high[-1]), step="post",
            color=colour, alpha=0.18, linewidth=0,
        )  # fmt: skip
        pen.ax.step(
            edges, np.append(value, value[-1]), where="post", color=colour,
            linewidth=1.6, label=name,
        )  # fmt: skip
    else:  # known at the end of each bin, and nobody is back at once
        pen.ax.fill_between(
            np.append(0, last), np.append(0, low), np.append(0, high), color=colour,
            alpha=0.18, linewidth=0,
        )  # fmt: skip
        pen.ax.plot(
            np.append(0, last), np.append(0, value), color=colour, linewidth=1.6,
            label=name,
        )  # fmt: skip
    return stroke(name, colour)


def _named(pen: Pen, key: Artist, lines: pd.DataFrame, by: tuple[str, ...]) -> Artist:
    """Name the key of a segment, with how many customers it has."""
    rows = lines[lines["segment"] == str(key.get_label())]
    n = format_value(rows["n_buyers"].iloc[0], "int")
    shown = pen.say("gaps.curve", name=named(pen, rows, by), n=n)
    key.set_label(shown)
    return key


def _shade(pen: Pen, line: "pd.Series[float]") -> list[Artist]:
    """Shade the days on which the hazard is about as high as at its peak."""
    if pd.isna(line["remind_from_day"]):
        return []
    first, last = int(line["remind_from_day"]), int(line["remind_to_day"])
    colour = STAGE_COLOURS["referral"]
    pen.ax.axvspan(first - 1, last, color=colour, alpha=0.13, linewidth=0, zorder=0)
    share = line["share_in_span"]
    if pd.isna(share):
        return [box(pen.say("gaps.span", first=first, last=last), colour, alpha=0.3)]
    words = pen.say(
        "gaps.span_share", first=first, last=last, share=format_value(share, "share"),
        window=pen.days(float(line["window_days"])),
    )  # fmt: skip
    return [box(words, colour, alpha=0.3)]


def _mark(pen: Pen, line: "pd.Series[float]") -> list[Artist]:
    """Mark by when shares of those who return have done so."""
    (curve,) = pen.ax.lines
    x, y = (np.asarray(v, dtype=np.float64) for v in curve.get_data())
    keys: list[Artist] = []
    window = pen.days(float(line["window_days"]))
    for percent, shade in zip(QUANTILES, (1.0, 0.6, 0.3), strict=True):
        day, low, high = (
            float(line[f"days_{percent}{end}"]) for end in ("", "_low", "_high")
        )
        if np.isnan(day):
            continue
        colour, place = STAGE_COLOURS["referral"], float(np.interp(day, x, y))
        pen.ax.plot(day, place, "o", color=colour, alpha=shade, markersize=6)
        if not np.isnan(low + high):
            pen.ax.plot([low, high], [place, place], color=colour, linewidth=1.4)
        ends = "" if np.isnan(low + high) else f" [{low:g}, {high:g}]"
        words = pen.say(
            "gaps.of_returns",
            share=f"{percent} %",
            window=window,
            days=f"{day:g}{ends}",
        )
        key = dot(words, colour)
        key.set_alpha(shade)
        keys.append(key)
    return keys


def _name_days(pen: Pen, bins: pd.DataFrame) -> None:
    """Write days under the axis, and how many customers are still waited for."""
    first, last = floats(bins, "from_day"), float(bins["to_day"].max())
    step = next((s for s in _STEPS if last <= s * _MAX_LABELS), last / _MAX_LABELS)
    days = np.arange(step, last, step)
    of_bin = np.searchsorted(first, days, side="right") - 1
    n_people = floats(bins, "n_people")[of_bin]
    labels = [
        f"{day:g}\nn={format_value(n, 'int')}"
        for day, n in zip(days, n_people, strict=True)
    ]
    pen.ax.set_xticks(days, labels, fontsize="small")
