"""The commands on buying again and on the state of customers."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import pandas as pd

from selfloop.cli.manner import Manner
from selfloop.cli.options import Inputs
from selfloop.cli.results import Form, Result, Section, deliver, empty
from selfloop.cli.tables import period, period_label, tell_notes
from selfloop.cli.work import read, working
from selfloop.core.errors import SettingError
from selfloop.inputs.events import Events
from selfloop.measures.concentration import concentration
from selfloop.measures.customers.lifecycle import lifecycle
from selfloop.measures.customers.migration import migration
from selfloop.measures.customers.profile import segment_profile
from selfloop.measures.customers.rfm import rfm
from selfloop.measures.periods import Period
from selfloop.measures.repurchase import gaps as gaps_measure
from selfloop.measures.repurchase import ladder as ladder_measure
from selfloop.measures.repurchase import returning as returning_measure

_WINDOWS = [
    "segment", "segment_2", "step", "window_days", "n_matured", "share_matured",
    "share_matured_low", "share_matured_high", "share_within", "share_within_low",
    "share_within_high", "reason",
]  # fmt: skip
_REMINDERS = [
    "segment", "segment_2", "n_buyers", "n_gaps", "remind_from_day", "remind_to_day",
    "share_in_span", "days_50", "days_50_low", "days_50_high", "days_80",
    "days_80_low", "days_80_high", "reason",
]  # fmt: skip
_RETURNING = [
    "period", "n_customers", "n_new", "returning_customer_rate",
    "returning_customer_rate_low", "returning_customer_rate_high", "ever_repeat_share",
    "repurchase_rate", "repurchase_rate_low", "repurchase_rate_high", "status",
]  # fmt: skip
_AFTER = [
    "segment", "n_people", "share_again", "share_again_low", "share_again_high",
    "person_revenue", "person_revenue_low", "person_revenue_high", "n_brought",
    "reason",
]  # fmt: skip
_LIFECYCLE = [
    "period", "n_opening", "n_new", "n_resurrected", "n_lapsed", "n_closing",
    "n_dormant_closing", "n_lost_closing", "share_active_buyers", "n_buyers", "status",
]  # fmt: skip
_CONCENTRATION = [
    "group", "n_people", "gini", "gini_low", "gini_high", "share_top_1",
    "share_top_1_low", "share_top_1_high", "share_top_10", "share_top_10_low",
    "share_top_10_high", "share_top_20", "share_top_20_low", "share_top_20_high",
]  # fmt: skip
_MOST_STEPS, _SHOWN_DAYS, _SHOWN_PERIODS = 4, 90, 13


def repurchase(
    inputs: Inputs,
    manner: Manner,
    *,
    by: Sequence[str],
    period_length: Period,
    bin_days: int,
    within: Sequence[int],
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
    table: str | None,
) -> None:
    """Show how many buy again, how long they take, and when to remind them.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    by : sequence of str
        Breakdowns, none to two.
    period_length : {"day", "week", "month", "quarter"}
        Periods of the three rates.
    bin_days : int
        Width of the bins of days since the last purchase.
    within : sequence of int
        Windows of the ladder, in days.
    out, format, table
        See `selfloop.cli.results.Form`.
    """
    form = Form(out, format, table)
    form.check()
    with working(manner) as say:
        events = read(inputs, say)
        say("from purchase to purchase")
        ladder = ladder_measure.repurchase(events, by, windows_days=within)
        say("gaps")
        gaps = gaps_measure.repurchase_gaps(events, by, bin_days=bin_days)
        say("rates by period")
        rates = returning_measure.returning(events, period_length).table
    hidden = ["segment", "segment_2"][len(by) :]
    tables = {
        "windows": _both(ladder.window_totals, ladder.windows),
        "steps": _both(ladder.step_totals, ladder.steps),
        "days": _both(ladder.day_totals, ladder.days),
        "gaps": _both(gaps.bin_totals, gaps.bins),
        "reminders": _both(gaps.reminder_totals, gaps.reminders),
        "returning": rates,
    }
    windows = tables["windows"]
    days = _SHOWN_DAYS if _SHOWN_DAYS in within else within[0]
    first = windows[(windows["step"] <= _MOST_STEPS) & (windows["window_days"] == days)]
    result = Result(
        "repurchase",
        tables,
        {**period(events), "by": list(by)},
        [*period_label(events), *([("by", ", ".join(by))] if by else [])],
        [
            Section(
                "ladder", first[_WINDOWS].drop(columns=hidden), "repurchase_windows"
            ),
            Section(
                "remind",
                tables["reminders"][_REMINDERS].drop(columns=hidden),
                "repurchase_reminders",
            ),
            Section("returning", rates[_RETURNING].tail(_SHOWN_PERIODS), "returning"),
        ],
    )
    deliver(result, form, manner)
    tell_notes(events, inputs, manner)


def _both(totals: pd.DataFrame, parts: pd.DataFrame) -> pd.DataFrame:
    """Put the totals before the segments."""
    return pd.concat([totals, parts], ignore_index=True) if len(totals) else parts


def segments(
    inputs: Inputs,
    manner: Manner,
    *,
    scores: Any,  # noqa: ANN401 - a choice of `rfm`
    period_length: Period,
    since: str | None,
    dormant_after_days: int | None,
    lost_after_days: int | None,
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
    table: str | None,
) -> None:
    """Show in which state customers are, how they move, who holds the revenue.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    scores : {"quantile", "fixed"}
        How RFM scores are made.
    period_length : {"day", "week", "month", "quarter"}
        Periods of the lifecycle.
    since : str or None
        Day from which customers have moved; 90 days before the end when None.
    dormant_after_days, lost_after_days : int or None
        See `selfloop.lifecycle`.
    out, format, table
        See `selfloop.cli.results.Form`.
    """
    form = Form(out, format, table)
    form.check()
    missing: list[str] = []
    with working(manner) as say:
        events = read(inputs, say)
        start = _since(events, since)
        say("RFM")
        found = rfm(events, scores=scores)
        tables = {"segments": found.table, "grid": found.grid, "bounds": found.bounds}
        silence: dict[str, Any] = {
            "dormant_after_days": dormant_after_days,
            "lost_after_days": lost_after_days,
        }

        def part(name: str, schema: str, make: Callable[[], pd.DataFrame]) -> None:
            """Add a table, or say why there is none."""
            say(name)
            try:
                tables[name] = make()
            except SettingError as error:
                if since is not None or any(silence.values()):
                    raise
                tables[name] = empty(schema)
                missing.append(f"{name}: {error}")

        part("after", "segment_after", lambda: segment_profile(
            events, "rfm", at=start).after)  # fmt: skip
        part("migration", "migration", lambda: migration(
            events, start, scores=scores).table)  # fmt: skip
        part("lifecycle", "lifecycle", lambda: lifecycle(
            events, period_length, **silence).table)  # fmt: skip
        say("concentration")
        tables["concentration"] = concentration(events).shares
    result = Result(
        "segments",
        tables,
        {**period(events), "since": start.isoformat(), "missing": missing},
        [*period_label(events), ("since", start.isoformat())],
        _sections(tables),
        missing,
    )
    deliver(result, form, manner)
    tell_notes(events, inputs, manner)


def _since(events: Events, since: str | None) -> date:
    """Return the day from which customers have moved."""
    if since is not None:
        return events.observed_day(since, name="since")
    return max(events.start, events.end - timedelta(days=90))


def _sections(tables: dict[str, pd.DataFrame]) -> list[Section]:
    """Return what a terminal shows of the tables that have rows."""
    shown = [
        Section("rfm", tables["segments"], "rfm"),
        Section("after", tables["after"][_AFTER], "segment_after"),
        Section("lifecycle", tables["lifecycle"][_LIFECYCLE].tail(_SHOWN_PERIODS),
                "lifecycle"),
        Section("concentration", tables["concentration"][_CONCENTRATION],
                "concentration"),
    ]  # fmt: skip
    return [section for section in shown if len(section.frame)]
