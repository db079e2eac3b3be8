"""The funnel as a picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.measures.funnel.rates import Funnel
from selfloop.measures.segments import PERIODS
from selfloop.outputs.plots.repurchase import joined, named
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    of_window,
    percent_axis,
)
from selfloop.outputs.plots.trend import plot_funnel_trend
from selfloop.outputs.text import Lang

_BRANCHES = ("conversion", "repurchase", "referral")
_MISSING = {
    "conversion": "plot.no_visits",
    "repurchase": "plot.no_data",
    "referral": "plot.no_referrals",
}
_MAX_SEGMENTS = 12


def plot_funnel(
    funnel: Funnel,
    ax: Axes | None = None,
    *,
    window_days: int = 90,
    lang: Lang = "en",
) -> Axes:
    """Draw how many reach each stage, and how sure that is.

    Parameters
    ----------
    funnel : Funnel
        From `selfloop.funnel`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    window_days : int, optional
        Window of the shares, in days; one of those the funnel was made with.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        Bars are the shares of people observed for the whole window, with Wilson
        intervals; diamonds are the Kaplan-Meier shares of everybody. Conversion is
        a share of arrivals, repurchase and referral are shares of buyers (strictly,
        referral of those who bought twice). With breakdowns, the 12 segments with most
        people, months and quarters among them in the order of time. A funnel by months
        or quarters alone is drawn as by `plot_funnel_trend`.

    Raises
    ------
    SettingError
        When the funnel has no such window.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=500, seed=7)
    >>> axes = plot_funnel(sl.funnel(sl.read_events(shop.orders)), window_days=30)
    >>> axes.get_title(loc="left")
    'Funnel: reached within 30 d'
    """
    if len(funnel.by) == 1 and funnel.by[0] in PERIODS:
        return plot_funnel_trend(funnel, ax, window_days=window_days, lang=lang)
    stages, windows = (joined(table) for table in (funnel.stages, funnel.windows))
    windows = of_window(windows, window_days)
    segments, n_segments = _segments(stages, funnel.by), stages["segment"].nunique()
    n_rows = 1 + len(_BRANCHES) * (len(segments) + (len(segments) > 1))
    with drawing(ax, lang, size=(7.6, max(3.4, 1.2 + 0.42 * n_rows))) as pen:
        title, note = pen.say("funnel.title", window=pen.days(window_days)), ""
        if not segments:
            pen.title(title, funnel.end)
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        if len(segments) < n_segments:
            note = pen.say("funnel.part", shown=len(segments), n=n_segments)
        elif n_segments == 1 and funnel.by:
            note = named(pen, stages, funnel.by)
        if len(segments) == 1:
            _draw_stages(pen, stages, windows, funnel.order)
        else:
            _draw_segments(pen, windows, segments, funnel.by)
        pen.title(title, funnel.end, note=note)
        pen.ax.set_xlabel(pen.say("funnel.axis"))
        pen.ax.set_xlim(0, 1)
        pen.ax.tick_params(axis="y", length=0)
        percent_axis(pen.ax, axis="x")
        clean(pen.ax, grid="x")
        _legend(pen, window_days)
        return pen.ax


def _segments(stages: pd.DataFrame, by: Sequence[str]) -> list[str]:
    """Return the segments with most people: periods by time, others by size."""
    sizes = stages.groupby("segment", sort=True)["n_entered"].max()
    order = sizes.sort_values(ascending=False, kind="stable").index[:_MAX_SEGMENTS]
    first = stages.drop_duplicates("segment").set_index("segment").loc[order]
    if len(by) == 2:
        # The values of the first breakdown stay together.
        firsts = list(dict.fromkeys(first["segment_1"]))
        first = first.assign(rank=first["segment_1"].map(firsts.index))
        for column, one in (("segment_2", by[1]), ("segment_1", by[0])):
            if one in PERIODS:
                first = first.sort_values(column, key=_by_time, kind="stable")
        if by[0] not in PERIODS and by[1] in PERIODS:
            first = first.sort_values("rank", kind="stable")
    return [str(s) for s in first.index]


def _by_time(names: "pd.Series[str]") -> "pd.Series[str]":
    """Return what sorts periods by time, those without one last."""
    return names.str.replace("(", "~(", regex=False)


def _draw_stages(
    pen: Pen, stages: pd.DataFrame, windows: pd.DataFrame, order: str
) -> None:
    """Draw one row for each stage of an undivided funnel."""
    labels = []
    traffic = stages[stages["stage"] == "traffic"]
    n_people = traffic["n_reached"].iloc[0] if len(traffic) else pd.NA
    labels.append((0.0, pen.say("stage.traffic")))
    if pd.isna(n_people):
        words = f"{format_value(None)}  {pen.say('plot.no_visits')}"
        pen.ax.text(0.015, 0, words, va="center", fontsize="small")
    else:
        words = pen.say("funnel.traffic", n=format_value(n_people, "int"))
        pen.ax.barh(0, 1, 0.62, color=STAGE_COLOURS["traffic"])
        pen.ax.text(0.015, 0, words, va="center", color="white")
    for position, stage in enumerate(_BRANCHES, start=1):
        found = windows[windows["stage"] == stage]
        if len(found):
            row = found.iloc[0]
            source = "traffic" if stage == "conversion" else "conversion"
            if stage == "referral" and order == "strict":
                source = "repurchase"
            label = pen.say(f"stage.{stage}")
            if pd.notna(row["n_entered"]):
                n_entered = format_value(row["n_entered"], "int")
                label += "\n" + pen.say(f"funnel.of_{source}", n=n_entered)
            labels.append((float(position), label))
            _draw_row(pen, position, row, stage)
    _set_labels(pen.ax, labels)


def _draw_segments(
    pen: Pen, windows: pd.DataFrame, segments: Sequence[str], by: Sequence[str]
) -> None:
    """Draw one group of rows for each stage, one row for each segment."""
    labels = []
    position = 0.0
    for stage in _BRANCHES:
        found = windows[windows["stage"] == stage]
        pen.ax.text(
            0.005, position, pen.say(f"stage.{stage}"), va="center", fontweight="bold"
        )  # fmt: skip
        for segment in segments:
            rows = found[found["segment"] == segment]
            if len(rows):
                position += 1
                labels.append((position, named(pen, rows, by)))
                _draw_row(pen, position, rows.iloc[0], stage)
        position += 1
    _set_labels(pen.ax, labels)


def _set_labels(ax: Axes, labels: Sequence[tuple[float, str]]) -> None:
    """Write the names of the rows."""
    ax.set_yticks([place for place, _ in labels], [words for _, words in labels])
    ax.set_ylim(max(place for place, _ in labels) + 0.6, -0.6)


def _draw_row(pen: Pen, y: float, row: "pd.Series[Any]", stage: str) -> None:
    """Draw both shares of a stage with their intervals, and the counts."""
    ax, colour = pen.ax, STAGE_COLOURS[stage]
    ink = ax.xaxis.label.get_color()
    ends = [0.0]
    matured = _share(row, "share_matured")
    if matured is not None:
        share, low, high = matured
        ax.barh(y, share, 0.62, color=colour, alpha=0.85)
        ax.plot([low, high], [y - 0.1] * 2, color=ink, linewidth=1.6)
        ends += [share, high]
    within = _share(row, "share_within")
    if within is not None:
        share, low, high = within
        ax.plot([low, high], [y + 0.12] * 2, color=ink, linewidth=0.8)
        ax.plot(
            share, y + 0.12, marker="D", markersize=4.5,
            markerfacecolor=ax.get_facecolor(), markeredgecolor=ink, linestyle="",
        )  # fmt: skip
        ends += [share, high]
    ax.annotate(
        _note(pen, row, stage), (max(ends), y), (7, 0), textcoords="offset points",
        va="center", fontsize="small", annotation_clip=False,
    )  # fmt: skip


def _share(row: "pd.Series[Any]", name: str) -> tuple[float, float, float] | None:
    """Return a share and its interval; None when it is missing."""
    values = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
    share, low, high = (float("nan") if pd.isna(v) else float(v) for v in values)
    return None if np.isnan(share) else (share, low, high)


def _note(pen: Pen, row: "pd.Series[Any]", stage: str) -> str:
    """Write the headline share and its counts, or why there is none."""
    if pd.isna(row["n_matured"]):
        return f"{format_value(None)}  {pen.say(_MISSING[stage])}"
    n = format_value(row["n_matured"], "int")
    if pd.isna(row["share_matured"]):
        window = pen.days(float(row["window_days"]))
        reason = pen.say("funnel.too_few", n=n, window=window)
        return f"{format_value(None)}  {reason}"
    reached = format_value(row["n_matured_reached"], "int")
    share = format_value(row["share_matured"], "share")
    return f"{share}  ({pen.say('funnel.count', reached=reached, n=n)})"


def _legend(pen: Pen, window_days: int) -> None:
    """Say what bars and diamonds are."""
    ax = pen.ax
    ink = ax.xaxis.label.get_color()
    window = pen.days(window_days)
    ax.errorbar(
        [], [], xerr=[], color=ink, marker="s", markersize=9, linestyle="",
        markerfacecolor="#9aa5b4", markeredgecolor="none",
        label=pen.say("funnel.matured", window=window),
    )  # fmt: skip
    ax.errorbar(
        [], [], xerr=[], color=ink, marker="D", markersize=4.5, linestyle="",
        markerfacecolor=ax.get_facecolor(), elinewidth=0.8,
        label=pen.say("funnel.within"),
    )  # fmt: skip
    ax.legend(loc="lower right", fontsize="small", frameon=False)
