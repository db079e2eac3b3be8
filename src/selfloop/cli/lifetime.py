"""The command on lifetime value: a model, what it expects, whether it was right."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from selfloop.cli.manner import Manner
from selfloop.cli.options import Inputs
from selfloop.cli.results import (
    Form,
    Result,
    Section,
    deliver,
    empty,
    paragraph,
)
from selfloop.cli.tables import period_text, tell_notes
from selfloop.cli.work import Say, read, working
from selfloop.core.errors import FitError, SettingError
from selfloop.inputs.events import Events
from selfloop.measures.lifetime.backtest import (
    Backtest,
    backtest_lifetime,
    backtest_of,
)
from selfloop.measures.lifetime.fit import Model, fit_lifetime, past_model
from selfloop.measures.lifetime.result import LifetimeModel
from selfloop.outputs.report import lifetime_words
from selfloop.outputs.report.formats import Money, count, number
from selfloop.outputs.report.lifetime import lifetime_numbers
from selfloop.outputs.report.reasons import said_in
from selfloop.outputs.text import Lang, text

_MODEL_COLUMNS = [
    "label", "n_parameters", "aic_above_best", "holdout_error", "holdout_log_score",
    "role",
]  # fmt: skip
_SCORE_COLUMNS = [
    "method", "measure", "predicted", "actual", "error", "mae", "rank_correlation",
    "share_top_tenth",
]  # fmt: skip
_TABLES = ("parameters", "choice", "backtest")


def lifetime(
    inputs: Inputs,
    manner: Manner,
    *,
    model: Model,
    horizon_days: int,
    discount_rate: float,
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
    table: str | None,
) -> None:
    """Show what buyers are going to buy, by which model, and if it was right before.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    model : str
        As in `selfloop.fit_lifetime`.
    horizon_days, discount_rate
        See `selfloop.LifetimeModel.total`.
    out, format, table
        See `selfloop.cli.results.Form`.
    """
    form = Form(out, format, table)
    form.check()
    with working(manner) as say:
        events = read(inputs, say)
        say("lifetime value")
        fitted = fit_lifetime(events, model=model, progress=say)
        test, why = _tested(events, fitted, model, say)
        say("forecast")
        numbers = lifetime_numbers(
            fitted, test, horizon_days=horizon_days, discount_rate=discount_rate,
            why_no_backtest=why,
        )  # fmt: skip
    tables = _tables(fitted, test)
    result = Result(
        "lifetime_value",
        tables,
        _facts(events, numbers),
        _labels(events, numbers),
        _sections(tables),
        _lines(numbers, manner.voice, Money(events.currency)),
    )
    deliver(result, form, manner)
    tell_notes(events, inputs, manner)


def _tested(
    events: Events, fitted: LifetimeModel, model: Model, say: Say
) -> tuple[Backtest | None, str]:
    """Test the model on the past, or say why that cannot be done."""
    if fitted.choice is not None:
        past, cut = past_model(fitted), fitted.choice.cut
        if past is None or cut is None:
            return None, fitted.choice.holdout_reason
        return backtest_of(past, cut, progress=say), ""
    try:
        return backtest_lifetime(events, model=model, progress=say), ""
    except (FitError, SettingError) as error:
        return None, str(error)


def _tables(fitted: LifetimeModel, test: Backtest | None) -> dict[str, pd.DataFrame]:
    """Return all tables; those that there are none of without rows."""
    choice = fitted.choice
    tests = ("scores", "deciles", "weeks")
    return {
        "parameters": fitted.summary(),
        "comparison": empty("model_comparison") if choice is None else choice.table,
        **{
            name: empty(f"backtest_{name}") if test is None else getattr(test, name)
            for name in tests
        },
    }


def _sections(tables: dict[str, pd.DataFrame]) -> list[Section]:
    """Return what a terminal shows of the tables that have rows."""
    parameters = tables["parameters"]
    if not parameters["reason"].astype(bool).any():
        parameters = parameters.drop(columns="reason")
    shown = [
        Section("parameters", parameters),
        Section("comparison", tables["comparison"][_MODEL_COLUMNS],
                "model_comparison"),
        Section("scores", tables["scores"][_SCORE_COLUMNS], "backtest_scores"),
    ]  # fmt: skip
    return [section for section in shown if len(section.frame)]


def _facts(events: Events, numbers: dict[str, Any]) -> dict[str, Any]:
    """Return what stands beside the tables in JSON."""
    plain = {k: v for k, v in numbers.items() if k not in _TABLES}
    choice, test = numbers["choice"], numbers["backtest"]
    return {
        "start": events.start.isoformat(),
        "end": events.end.isoformat(),
        "timezone": events.rules.timezone,
        "currency": events.currency,
        **plain,
        "reason": None if choice is None else choice["reason"],
        "holdout": None
        if test is None
        else {key: test[key] for key in ("at", "horizon_days", "n_people", "total")},
    }


def _labels(events: Events, numbers: dict[str, Any]) -> list[tuple[str, str]]:
    """Write the forecast, each number with its interval."""
    money = Money(events.currency).short
    total, new = numbers["total"], numbers["new_customer"]
    lines: list[tuple[str, dict[str, Any], str, Callable[[float | None], str]]] = [
        ("purchases_ahead", total, "purchases", count),
        ("value_ahead", total, "value", money),
        ("new_purchases", new, "purchases", number),
        ("new_value", new, "value", money),
    ]
    return [
        ("period", period_text(events.start, events.end, events.rules.timezone)),
        ("model", lifetime_words.model_name(numbers)),
        ("horizon", count(total["horizon_days"])),
        *((key, _with_ends(found, what, write)) for key, found, what, write in lines),
    ]


def _with_ends(
    found: dict[str, Any], what: str, write: Callable[[float | None], str]
) -> str:
    """Write a number with its interval, if it has one."""
    low, high = found[f"{what}_low"], found[f"{what}_high"]
    if low is None or high is None:
        return write(found[what])
    return f"{write(found[what])} [{write(low)}, {write(high)}]"


def _lines(numbers: dict[str, Any], lang: Lang, money: Money) -> list[str]:
    """Write why the model was chosen, whether it was right, and what to know."""
    said = [
        lifetime_words.chosen(numbers),
        lifetime_words.backtested(numbers, money),
        *lifetime_words.cautions(numbers, money),
    ]
    lines = [paragraph(sentences, lang) for sentences in said if sentences]
    for key, why in (
        ("missing.no_spend_model", numbers["spend_reason"]),
        ("part.backtest", numbers["backtest_reason"]),
    ):
        if why:
            lines.append(f"{text(key, lang)}: {said_in(why, lang)}")
    return lines
