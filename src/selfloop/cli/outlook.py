"""The command on what follows from the loop: worth, costs, stages, months to come."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from selfloop.cli.manner import Manner
from selfloop.cli.options import Inputs
from selfloop.cli.results import Form, Result, Section, deliver, empty, paragraph
from selfloop.cli.tables import period_text, tell_notes
from selfloop.cli.work import read, working
from selfloop.core.errors import SettingError
from selfloop.inputs.events import Events
from selfloop.measures.loop.outlook import LoopOutlook, loop_outlook
from selfloop.measures.loop.stages import check_targets
from selfloop.measures.loop.what_if import WhatIf, what_if
from selfloop.outputs.report import outlook_words as words
from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.outlook import outlook_numbers
from selfloop.outputs.report.reasons import said_in
from selfloop.outputs.text import Lang, text

_VALUE = [
    "segment", "n_arrived", "n_buyers", "share_converted", "own_value", "r",
    "buyer_value", "buyer_value_low", "buyer_value_high", "visitor_value",
    "visitor_value_low", "visitor_value_high", "share_brought", "reason",
]  # fmt: skip
_STAGES = [
    "stage", "step", "share", "share_then", "value_gain", "value_gain_low",
    "value_gain_high", "revenue_gain", "revenue_gain_low", "revenue_gain_high",
    "reason",
]  # fmt: skip
_TOTALS = [
    "scenario", "horizon_days", "buyers", "buyers_low", "buyers_high", "orders",
    "orders_low", "orders_high", "revenue", "revenue_low", "revenue_high",
]  # fmt: skip
_COST = [
    "channel", "spend", "n_arrived", "n_buyers", "cac", "cac_low", "cac_high",
    "cac_naive", "buyer_ceiling", "return_ratio", "return_ratio_low",
    "return_ratio_high", "payback_days", "reason",
]  # fmt: skip


def outlook(
    inputs: Inputs,
    manner: Manner,
    *,
    months: int,
    horizon_days: int,
    margin: float,
    targets: Sequence[str],
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
    table: str | None,
) -> None:
    """Show what people are worth, which stage to mend, and what is to come.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    months : int
        Months ahead.
    horizon_days : int
        Age to which the value of visitors is counted.
    margin : float
        Share of revenue that pays for acquisition.
    targets : sequence of str
        ``STAGE=VALUE``, as in `selfloop.what_if`.
    out, format, table
        See `selfloop.cli.results.Form`.
    """
    form = Form(out, format, table)
    form.check()
    wishes: dict[str, Any] = dict(_target(one) for one in targets)
    check_targets(wishes)
    with working(manner) as say:
        events = read(inputs, say)
        found = loop_outlook(
            events, horizon_days=horizon_days, margin=margin, months=months,
            progress=say,
        )  # fmt: skip
        wished = None
        if wishes:
            say("what if")
            wished = what_if(events, months=months, horizon_days=horizon_days, **wishes)
    tables = _tables(found, wished)
    result = Result(
        "outlook",
        tables,
        _facts(events, found),
        [("period", period_text(events.start, events.end, events.rules.timezone))],
        _sections(tables),
        _lines(found, manner.voice, Money(events.currency)),
    )
    deliver(result, form, manner)
    tell_notes(events, inputs, manner)


def _target(given: str) -> tuple[str, float]:
    """Return the name and the number of a target."""
    name, _, number = given.partition("=")
    try:
        return name.strip(), float(number)
    except ValueError as error:
        raise SettingError(
            f"a target is a stage and a number, such as repurchase_90d=0.40; got "
            f"{given!r}"
        ) from error


def _tables(found: LoopOutlook, wished: WhatIf | None) -> dict[str, pd.DataFrame]:
    """Return all tables; those that there are none of without rows."""
    cost, ahead, test = found.cost, found.projection, found.test
    source, quarter = found.by_source, found.by_quarter
    lever = found.leverage
    segments = "reproduction_segments"
    return {
        "value": found.value.table,
        "stages": empty("stage_leverage") if lever is None else lever.table,
        "totals": empty("projection_totals") if ahead is None else ahead.totals,
        "months": empty("projection_months") if ahead is None else ahead.months,
        "cohorts": empty("loop_cohorts") if ahead is None else ahead.cohorts,
        "what_if": empty("what_if") if wished is None else wished.table,
        "channels": empty("spend_channels") if cost is None else cost.channels,
        "spend_months": empty("spend_months") if cost is None else cost.months,
        "spend_trends": empty("spend_trends") if cost is None else cost.trends,
        "r_by_source": empty(segments) if source is None else source.table,
        "r_by_quarter": empty(segments) if quarter is None else quarter.table,
        "trend": empty("reproduction_trend") if quarter is None else quarter.trend,
        "cascades": empty("cascades") if found.growth is None
        else found.growth.cascades,
        "backtest": empty("loop_backtest") if test is None else test.table,
        "cells": found.cells,
    }  # fmt: skip


def _facts(events: Events, found: LoopOutlook) -> dict[str, object]:
    """Return what stands in no table, as plain values."""
    numbers = outlook_numbers(found)
    growth = numbers["growth"]
    if growth is not None:
        growth = {k: v for k, v in growth.items() if k != "cascades"}
    return {
        "start": events.start.isoformat(),
        "end": events.end.isoformat(),
        "timezone": events.rules.timezone,
        "currency": events.currency,
        "growth": growth,
        "best_stage": None if found.leverage is None else found.leverage.best_stage,
        "unavailable": numbers["unavailable"],
    }


def _sections(tables: dict[str, pd.DataFrame]) -> list[Section]:
    """Return what a terminal shows of the tables that have rows."""
    shown = [
        Section("value", tables["value"][_VALUE], "visitor_value"),
        Section("mend", tables["stages"][_STAGES], "stage_leverage"),
        Section("ahead", tables["totals"][_TOTALS], "projection_totals"),
        Section("what_if", tables["what_if"], "what_if"),
        Section("cost", tables["channels"][_COST], "spend_channels"),
        Section("cascades", tables["cascades"], "cascades"),
    ]
    return [section for section in shown if len(section.frame)]


def _lines(found: LoopOutlook, lang: Lang, money: Money) -> list[str]:
    """Write what the numbers mean, and what is missing."""
    numbers = outlook_numbers(found)
    said = [
        [*words.without_ads(numbers), *words.running_dry(numbers)],
        [*words.worth(numbers, money), *words.stage(numbers, money)],
        [*words.ahead(numbers, money), *words.tested(numbers, money)],
    ]
    lines = [paragraph(sentences, lang) for sentences in said if sentences]
    for part, why in found.unavailable.items():
        lines.append(f"{text(f'part.{part}', lang)}: {said_in(why, lang)}")
    return lines
