"""Commands that answer with tables: funnel, cohorts, loop, customers."""

import math
from collections.abc import Sequence
from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd

from selfloop.cli.manner import Manner, put
from selfloop.cli.options import Inputs
from selfloop.cli.results import Form, Result, Section, deliver, rendered
from selfloop.cli.texts import sentence
from selfloop.cli.work import n_unreadable, read, size, target, working
from selfloop.core.display import format_value
from selfloop.core.settings import LedgerRule
from selfloop.inputs.events import Events
from selfloop.measures import cohorts as cohort_measure
from selfloop.measures import social as social_measure
from selfloop.measures.funnel import rates as funnel_measure
from selfloop.measures.loop import overall as loop_measure
from selfloop.outputs.tables import FORMATS, format_table, write_table

_WINDOW_COLUMNS = [
    "segment", "segment_2", "stage", "window_days", "n_matured", "share_matured",
    "share_matured_low", "share_matured_high", "share_within", "share_within_low",
    "share_within_high", "share_overall", "reason",
]  # fmt: skip
_MONTH_COLUMNS = [
    "month", "n_orders", "n_repeat", "n_first_referral", "n_first_paid",
    "n_first_organic", "n_first_unknown", "share_orders", "share_revenue", "status",
]  # fmt: skip
_CUSTOMER_COLUMNS = [
    "person_id", "source", "n_purchases", "revenue", "expected_value",
    "lifetime_value", "n_referred", "social_value", "total_value",
]  # fmt: skip
_LAST_MONTH = 12


def funnel(
    inputs: Inputs,
    manner: Manner,
    *,
    by: Sequence[str],
    order: str,
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
    out, format, table
        See `selfloop.cli.results.Form`.
    """
    form = Form(out, format, table)
    form.check()
    with working(manner) as say:
        events = read(inputs, say)
        say("funnel")
        found = funnel_measure.funnel(events, by, order=order)
    hidden = ["segment", "segment_2"][len(by) :]
    stages = pd.concat([found.stage_totals, found.stages], ignore_index=True)
    every = pd.concat([found.window_totals, found.windows], ignore_index=True)
    windows = every[_WINDOW_COLUMNS]
    unused = [] if windows["reason"].astype(bool).any() else ["reason"]
    result = Result(
        "funnel",
        {"windows": every, "stages": stages},
        {**_period(events), "by": list(by), "order": order},
        [*_period_label(events), *([("by", ", ".join(by))] if by else [])],
        [
            Section("stages", stages.drop(columns=hidden), "funnel_stages"),
            Section("windows", windows.drop(columns=[*hidden, *unused]),
                    "funnel_windows"),
        ],
    )  # fmt: skip
    deliver(result, form, manner)
    tell_notes(events, inputs, manner)


def cohorts(
    inputs: Inputs,
    manner: Manner,
    *,
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
) -> None:
    """Show how many customers of one month come back in the months after.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    out, format
        See `selfloop.cli.results.Form`.
    """
    form = Form(out, format)
    form.check()
    with working(manner) as say:
        events = read(inputs, say)
        say("cohorts")
        found = cohort_measure.cohorts(events).table
    result = Result(
        "cohorts",
        {"cohorts": found},
        _period(events),
        _period_label(events),
        [Section("", _triangle(found))],
    )
    deliver(result, form, manner)
    if not form.is_file and format == "table":
        manner.tell(sentence("first_months", manner.voice, last=_LAST_MONTH))
    tell_notes(events, inputs, manner)


def _triangle(cells: pd.DataFrame) -> pd.DataFrame:
    """Lay the cells out by cohort and age; running months get a star."""
    near = cells[cells["age_months"] <= _LAST_MONTH]
    texts = [
        format_value(share, "share") + ("*" if status == "partial" else "")
        for share, status in zip(near["share_active"], near["status"], strict=True)
    ]
    wide = near.assign(cell=texts).pivot_table(
        index=["cohort", "n_people"], columns="age_months", values="cell",
        aggfunc="first",
    )  # fmt: skip
    wide.columns = [str(age) for age in wide.columns]
    return wide.reset_index().fillna("")


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
    labels = [*_period_label(events), *_loop_labels(found)]
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
        _period(events) | _loop_facts(found),
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


def customers(
    inputs: Inputs,
    manner: Manner,
    *,
    rule: LedgerRule,
    horizon_days: int,
    discount_rate: float,
    top: int,
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
) -> None:
    """Show or write what each customer is worth.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    rule, horizon_days, discount_rate
        See `selfloop.customer_value`.
    top : int
        Rows shown without `out`.
    out, format
        See `selfloop.cli.results.Form`; a file holds all customers.
    """
    form = Form(out, format)
    path = target(str(out), FORMATS) if form.is_file else None
    with working(manner) as say:
        events = read(inputs, say)
        say("customer value")
        values = social_measure.customer_value(
            events, rule=rule, horizon_days=horizon_days, discount_rate=discount_rate
        )
        n = int(values.count().to_pandas())
        if path is not None:
            say(f"writing {path.name}")
            write_table(values, path)
        else:
            column = _order(events, values)
            rows = values.order_by(ibis.desc(column), "person_id")
            frame = (rows.limit(top) if out is None else rows).to_pandas()
    if path is not None:
        manner.tell(sentence("wrote", manner.voice, files=f"{path} ({size(path)})"))
    else:
        _show_customers(frame, column, events, form, manner)
        if out is None:
            counts = {"shown": len(frame), "n": n, "column": column}
            manner.tell(sentence("top", manner.voice, **counts))
    tell_notes(events, inputs, manner)


def _order(events: Events, values: ir.Table) -> str:
    """Return the fullest value that is known here."""
    if "referrals" in events.has:
        return "total_value"
    has_model = int(values.lifetime_value.count().to_pandas()) > 0
    return "lifetime_value" if has_model else "revenue"


def _show_customers(
    frame: pd.DataFrame, column: str, events: Events, form: Form, manner: Manner
) -> None:
    """Write customers to standard output."""
    if form.format != "table":
        put(format_table(frame, format="json" if form.format == "json" else
                         "md" if form.format == "md" else "csv"))  # fmt: skip
        return
    result = Result(
        "customers",
        {"customers": frame},
        labels=[*_period_label(events), ("order", column)],
        sections=[Section("", frame[_CUSTOMER_COLUMNS], "customer_value")],
    )
    put(rendered(result, "table", None, manner.lang or manner.voice))


def _period(events: Events) -> dict[str, str]:
    """Return the observed period, for JSON."""
    return {
        "start": events.start.isoformat(),
        "end": events.end.isoformat(),
        "timezone": events.rules.timezone,
    }


def _period_label(events: Events) -> Sequence[tuple[str, str]]:
    """Return the observed period, for people."""
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
