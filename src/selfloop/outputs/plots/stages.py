"""When people reach a stage, and which segments differ, as pictures."""

import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.core.settings import MIN_AT_RISK, check_choice
from selfloop.measures.funnel.differences import REST, SegmentComparison
from selfloop.measures.funnel.steps import STAGES
from selfloop.measures.funnel.times import StageTimes
from selfloop.outputs.plots.keys import dot, ink, legend_below, paper
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    percent_axis,
)
from selfloop.outputs.text import Lang

_COLOURS = (*(STAGE_COLOURS[s] for s in ("conversion", "repurchase", "referral")),
            "#8a4fa3", "#b8860b", "#64748b")  # fmt: skip
_MAX_ROWS = 40
_KEY = ["segment", "segment_2", "stage"]


def plot_stage_times(
    times: StageTimes,
    ax: Axes | None = None,
    *,
    stage: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw which share has reached a stage by each day.

    Parameters
    ----------
    times : StageTimes
        From `selfloop.stage_times`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    stage : {"conversion", "repurchase", "referral"}, optional
        Only this one. By default all stages; with a breakdown repurchase.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        1 - Kaplan-Meier in steps, with its 95 % band, as far as 30 people are at
        risk; under the days the number at risk of a single curve, in the legend the
        people who could reach it. With a breakdown the six segments with most people.

    Raises
    ------
    SettingError
        There is no such stage.
    """
    if stage is not None:
        check_choice("stage", stage, STAGES[1:])
    shown = stage or ("repurchase" if times.by else None)
    curves = times.curve if shown is None else _of(times.curve, shown)
    with drawing(ax, lang) as pen:
        title = "stage_times.title" if shown is None else f"stage_times.{shown}"
        if curves.empty:
            pen.title(pen.say(title), times.end)
            why = times.missing.get(shown or "", "")
            pen.blank(pen.say(_REASONS.get(why, "plot.no_data")))
            return pen.ax
        n_entered = times.quantiles.groupby(_KEY)["n_entered"].first()
        known = curves[_KEY].drop_duplicates().itertuples(index=False, name=None)
        n_entered = n_entered[n_entered.index.isin(list(known))]
        keys = _most_people(n_entered, shown)
        note = _times_note(pen, times, stage, (len(keys), len(n_entered)))
        pen.title(pen.say(title), times.end, note=note)
        colours = [STAGE_COLOURS[key[2]] for key in keys]
        if len(set(colours)) < len(colours):  # segments of one stage
            colours = list(_COLOURS)
        for key, colour in zip(keys, colours, strict=False):
            rows = curves[
                (curves["segment"] == key[0])
                & (curves["segment_2"] == key[1])
                & (curves["stage"] == key[2])
            ]
            name = pen.say(f"stage.{key[2]}")
            if shown is not None:
                name = pen.segments(key[:2], times.by)
            n = format_value(int(n_entered[key]), "int")
            label = pen.say("stage_times.curve", name=name, n=n)
            _draw_curve(pen, rows, label, colour)
        pen.ax.set_ylim(bottom=0)
        pen.ax.set_xlim(left=0)
        percent_axis(pen.ax)
        clean(pen.ax)
        if len(keys) == 1:
            _label_at_risk(pen, curves)
        axis = "axis" if len(keys) > 1 else "axis_at_risk"
        pen.ax.set_xlabel(pen.say(f"stage_times.{axis}"))
        pen.ax.set_ylabel(pen.say("stage_times.share"))
        pen.ax.legend(frameon=False, fontsize="small", loc="best")
        return pen.ax


_REASONS = {
    "no table of visits": "plot.no_visits",
    "no table of referrals": "plot.no_referrals",
}


def _times_note(
    pen: Pen, times: StageTimes, stage: str | None, counts: tuple[int, int]
) -> str:
    """Say which curves are not drawn, and how to see them."""
    notes = []
    shown, n = counts
    if shown < n:
        notes.append(pen.say("funnel.part", shown=shown, n=n))
    if times.by and stage is None:
        notes.append(pen.say("stage_times.others"))
    if not times.by and stage is None:
        notes += [
            pen.say("funnel.none", stage=pen.say(f"stage.{name}"),
                    why=pen.say(_REASONS.get(why, "plot.no_data")))
            for name, why in times.missing.items()
        ]  # fmt: skip
    return pen.say("plot.and").join(notes)


def _of(curve: pd.DataFrame, stage: str) -> pd.DataFrame:
    """Return the lines of one stage."""
    return curve[curve["stage"] == stage]


def _most_people(
    n_entered: "pd.Series[int]", stage: str | None
) -> list[tuple[str, ...]]:
    """Return the curves to draw: every stage, or the segments with most people."""
    keys = n_entered
    if stage is not None:
        keys = keys.sort_values(ascending=False, kind="stable")[: len(_COLOURS)]
        return [tuple(key) for key in keys.index]
    order = {name: i for i, name in enumerate(STAGES)}
    return sorted((tuple(key) for key in keys.index), key=lambda key: order[key[2]])


def _draw_curve(pen: Pen, rows: pd.DataFrame, label: str, colour: str) -> None:
    """Draw one curve in steps, with its band."""
    days = floats(rows, "day")
    band = floats(rows, "share_within_low"), floats(rows, "share_within_high")
    pen.ax.fill_between(days, *band, step="post", color=colour, alpha=0.18, linewidth=0)
    pen.ax.step(
        days, floats(rows, "share_within"), where="post", color=colour, label=label
    )


def _label_at_risk(pen: Pen, rows: pd.DataFrame) -> None:
    """Write the people at risk under the days of the axis."""
    at_risk = rows.set_index("day")["n_at_risk"]
    ticks = [t for t in pen.ax.get_xticks() if t in at_risk.index]
    labels = [f"{t:g}\n{format_value(int(at_risk[t]), 'int')}" for t in ticks]
    pen.ax.set_xticks(ticks, labels)


def plot_segment_differences(
    comparison: SegmentComparison, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw by how much segments differ, and which differences stand.

    Parameters
    ----------
    comparison : SegmentComparison
        From `selfloop.compare_segments`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        For each stage and segment the difference of shares with its 95 % interval;
        filled where it stands after adjustment for the number of comparisons, hollow
        where it is open. At most 40 rows: those with most people.
    """
    table = comparison.table
    known = table[table["reason"] == ""]
    rows = known.sort_values("n_matured", ascending=False, kind="stable")[:_MAX_ROWS]
    n_lines = len(rows) + 2 * rows["stage"].nunique()
    with drawing(ax, lang, size=(7.2, max(2.8, 1.6 + 0.3 * n_lines))) as pen:
        window = pen.days(comparison.window_days)
        note = ""
        if len(rows) < len(table):
            note = pen.say("differences.left_out", n=len(table) - len(rows),
                           all=len(table))  # fmt: skip
        pen.title(
            pen.say("differences.title", window=window), comparison.end, note=note
        )
        if rows.empty:
            pen.blank(pen.say("differences.none", n=MIN_AT_RISK))
            return pen.ax
        labels = _draw_differences(pen, rows, comparison.by)
        pen.ax.set_yticks([y for y, _ in labels], [name for _, name in labels])
        pen.ax.set_ylim(max(y for y, _ in labels) + 0.7, -0.7)
        pen.ax.axvline(0, color=ink(pen), linewidth=0.8)
        against = str(rows["against"].iloc[0])
        other = pen.say("differences.rest")
        if against != REST:
            other = pen.segment(against, by=comparison.by)
        pen.ax.set_xlabel(pen.say("differences.axis", other=other))
        percent_axis(pen.ax, axis="x")
        pen.ax.tick_params(axis="y", length=0)
        clean(pen.ax, grid="x")
        keys = [
            dot(pen.say("differences.stands"), ink(pen)),
            dot(pen.say("differences.open"), ink(pen), face=paper(pen)),
        ]
        legend_below(pen, keys, n_columns=2)
        return pen.ax


def _draw_differences(pen: Pen, rows: pd.DataFrame, by: str) -> list[tuple[float, str]]:
    """Draw a group of rows for each stage; return the names of the rows."""
    labels = []
    y = -1.0
    for stage in STAGES[1:]:
        part = rows[rows["stage"] == stage].sort_values("difference", kind="stable")
        if part.empty:
            continue
        y += 1
        labels.append((y, pen.say(f"stage.{stage}")))
        for row in part.iloc[::-1].to_dict("records"):
            y += 1
            n = format_value(int(row["n_matured"]), "int")
            name = pen.segment(row["segment"], by=by)
            name = pen.say("stage_times.curve", name=name, n=n)
            labels.append((y, name))
            colour = STAGE_COLOURS[stage]
            ends = [row["difference_low"], row["difference_high"]]
            pen.ax.plot(ends, [y, y], color=colour, linewidth=1.6)
            face = paper(pen) if row["verdict"] == "open" else colour
            pen.ax.plot(
                row["difference"], y, marker="o", markersize=6, color=colour,
                markerfacecolor=face, linestyle="",
            )  # fmt: skip
        y += 0.3
    return labels
