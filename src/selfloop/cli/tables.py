"""Commands that answer with tables: funnel and loop."""

import math
from collections.abc import Sequence
from datetime import date

import pandas as pd

from selfloop.cli.manner import Manner
from selfloop.cli.options import Inputs
from selfloop.cli.results import Form, Result, Section, deliver, empty
from selfloop.cli.texts import sentence
from selfloop.cli.work import n_unreadable, read, working
from selfloop.core.display import format_value
from selfloop.core.errors import SettingError
from selfloop.inputs.events import Events
from selfloop.measures.funnel import rates as funnel_measure
from selfloop.measures.funnel.differences import REST, compare_segments
from selfloop.measures.funnel.times import stage_times
from selfloop.measures.loop import overall as loop_measure

_WINDOW_COLUMNS = [
    "segment", "segment_2", "stage", "window_days", "n_matured", "share_matured",
    "share_matured_low", "share_matured_high", "share_within", "share_within_low",
    "share_within_high", "share_overall", "reason",
]  # fmt: skip
_MONTH_COLUMNS = [
    "month", "n_orders", "n_repeat", "n_first_referral", "n_first_paid",
    "n_first_organic", "n_first_unknown", "share_orders", "share_revenue", "status",
]  # fmt: skip
_DIFFERENCE_COLUMNS = [
    "segment", "against", "stage", "n_matured", "share_matured", "share_against",
    "difference", "difference_low", "difference_high", "p_adjusted", "verdict",
]  # fmt: skip


def funnel(
    inputs: Inputs,
    manner: Manner,
    *,
    by: Sequence[str],
    order: str,
    against: str | None,
    window_days: int,
    within: Sequence[int],
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
    table: str | None,
) -> None:
    """Show how many come, buy, buy again and bring others.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    by : sequence of str
        Breakdowns, none to two.
    order : str
        ``loop`` or ``strict``.
    against : str or None
        The segment that others are compared with; each with all others when None.
    window_days : int
        Window of the comparison.
    within : sequence of int
        Windows of all else, in days.
    out, format, table
        See `selfloop.cli.results.Form`.
    """
    form = Form(out, format, table)
    form.check()
    with working(manner) as say:
        events = read(inputs, say)
        say("funnel")
        found = funnel_measure.funnel(events, by, windows_days=within, order=order)
        say("times")
        times = stage_times(events, by, within_days=within, order=order)
        differences = empty("segment_differences")
        if len(by) == 1:
            say("differences")
            differences = compare_segments(
                events, by[0], order=order, against=against or REST,
                window_days=window_days,
            ).table  # fmt: skip
        elif against is not None:
            raise SettingError("--against needs one --by")
    hidden = ["segment", "segment_2"][len(by) :]
    stages = pd.concat([found.stage_totals, found.stages], ignore_index=True)
    every = pd.concat([found.window_totals, found.windows], ignore_index=True)
    windows = every[_WINDOW_COLUMNS]
    unused = [] if windows["reason"].astype(bool).any() else ["reason"]
    result = Result(
        "funnel",
        {
            "windows": every,
            "stages": stages,
            "times": pd.concat(
                [times.quantile_totals, times.quantiles], ignore_index=True
            ),
            "differences": differences,
        },
        {**period(events), "by": list(by), "order": order},
        [*period_label(events), *([("by", ", ".join(by))] if by else [])],
        [
            Section("stages", stages.drop(columns=hidden), "funnel_stages"),
            Section("windows", windows.drop(columns=[*hidden, *unused]),
                    "funnel_windows"),
            *_clear(differences),
        ],
    )  # fmt: skip
    deliver(result, form, manner)
    if not form.is_file and format == "table" and table is None:
        _tell_differences(differences, window_days, manner)
    tell_notes(events, inputs, manner)


def _clear(differences: pd.DataFrame) -> list[Section]:
    """Return the differences that stand, as a section; none without any."""
    rows = differences[differences["verdict"].isin(["higher", "lower"])]
    shown = rows[_DIFFERENCE_COLUMNS]
    return [Section("stand", shown, "segment_differences")] if len(rows) else []


def _tell_differences(
    differences: pd.DataFrame, window_days: int, manner: Manner
) -> None:
    """Say how many segments were compared and how many differ."""
    told = differences[differences["verdict"] != ""]
    if len(told):
        n = int((told["verdict"] != "open").sum())
        counts = {"n": n, "all": len(told), "days": window_days}
        manner.tell(sentence("differ", manner.voice, **counts))


def loop(
    inputs: Inputs,
    manner: Manner,
    *,
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
    table: str | None,
) -> None:
    """Show how strong the loop is, and what carried each month.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    out, format, table
        See `selfloop.cli.results.Form`.
    """
    form = Form(out, format, table)
    form.check()
    with working(manner) as say:
        events = read(inputs, say)
        say("loop")
        found = loop_measure.self_loop(events)
    labels = [*period_label(events), *_loop_labels(found)]
    reproduction = found.reproduction
    if not reproduction["reason"].astype(bool).any():
        reproduction = reproduction.drop(columns="reason")
    result = Result(
        "loop",
        {
            "months": found.months,
            "reproduction": found.reproduction,
            "curve": found.curve,
            "weeks": found.weeks,
            "lineage": found.lineage,
            "lineage_months": found.lineage_months,
        },
        period(events) | _loop_facts(found),
        labels,
        [
            Section("reproduction", reproduction, "reproduction"),
            Section("months", found.months[_MONTH_COLUMNS], "loop_months"),
            Section("lineage", found.lineage, "loop_lineage"),
        ],
    )
    deliver(result, form, manner)
    if format == "csv" or form.is_file:
        # The share of a month is never without R.
        manner.tell(f"{labels[1][0].upper()} = {labels[1][1]}")
    tell_notes(events, inputs, manner)


def _loop_facts(found: loop_measure.SelfLoop) -> dict[str, object]:
    """Return the numbers of the loop that stand in no table."""
    names = ("multiplier", "multiplier_low", "multiplier_high", "share_orders",
             "share_revenue")  # fmt: skip
    numbers = {name: getattr(found, name) for name in names}
    known = {k: v if math.isfinite(v) else None for k, v in numbers.items()}
    return {
        "horizon_days": found.horizon_days,
        **known,
        "n_seeding": found.n_seeding,
        "reason": found.reason,
    }


def _loop_labels(found: loop_measure.SelfLoop) -> list[tuple[str, str]]:
    """Write the headlines of the loop, R first."""
    line = found.headline
    if line is None:
        return [("r", f"{format_value(None)} ({found.reason})")]
    r = (
        f"{line['r']:.3f} [{line['r_low']:.3f}, {line['r_high']:.3f}], "
        f"H = {found.horizon_days}"
    )
    gain = (found.multiplier, found.multiplier_low, found.multiplier_high)
    shown = [format_value(value, "float") for value in gain]
    return [
        ("r", r),
        ("gain", f"{shown[0]} [{shown[1]}, {shown[2]}]"),
        ("seeding", format_value(found.n_seeding, "int")),
        ("share_orders", format_value(found.share_orders, "share")),
        ("share_revenue", format_value(found.share_revenue, "share")),
    ]


def period(events: Events) -> dict[str, str]:
    """Return the observed period, for JSON.

    Parameters
    ----------
    events : Events
        What was read.

    Returns
    -------
    dict
        start, end and timezone.
    """
    return {
        "start": events.start.isoformat(),
        "end": events.end.isoformat(),
        "timezone": events.rules.timezone,
    }


def period_label(events: Events) -> Sequence[tuple[str, str]]:
    """Return the observed period, for people.

    Parameters
    ----------
    events : Events
        What was read.

    Returns
    -------
    sequence of (str, str)
        Key of its title, text.
    """
    return [("period", period_text(events.start, events.end, events.rules.timezone))]


def period_text(start: date, end: date, zone: str) -> str:
    """Return a period as one text.

    Parameters
    ----------
    start, end : date
        First and last day.
    zone : str
        Time zone.

    Returns
    -------
    str
    """
    return f"{start} – {end} ({zone})"


def tell_notes(events: Events, inputs: Inputs, manner: Manner) -> None:
    """Say what a reader of the numbers should know about the data.

    Parameters
    ----------
    events : Events
        What was read.
    inputs : Inputs
        What the command read, to name the command that says more.
    manner : Manner
        Language.
    """
    for note in events.notes.itertuples():
        manner.tell(f"note: {note.table}: {note.note} ({note.code})")
    n = n_unreadable(events)
    if n:
        manner.tell(sentence("unreadable", manner.voice, n=n))
        command = inputs.command("validate")
        manner.tell("  " + sentence("see", manner.voice, command=command))
