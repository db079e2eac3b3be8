"""The command on referrals: who brings whom, what is to come, what looks wrong."""

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
from selfloop.cli.work import read, working
from selfloop.core.display import format_value
from selfloop.core.settings import Sharing
from selfloop.inputs.events import Events
from selfloop.measures.referral.overview import ReferralOverview, referral_overview
from selfloop.measures.social import value_table
from selfloop.outputs.report import referral_words as words
from selfloop.outputs.report.formats import Money, count
from selfloop.outputs.report.reasons import said_in
from selfloop.outputs.report.referral import referral_numbers
from selfloop.outputs.report.sentence import Sentence
from selfloop.outputs.text import Lang, text

_DIFFERENCES = [
    "measure", "n_referred", "n_others", "referred", "others", "difference",
    "difference_low", "difference_high", "p_adjusted", "reason",
]  # fmt: skip
_GENERATIONS = [
    "generation", "n_people", "n_buyers", "share_matured", "share_matured_low",
    "share_matured_high", "value_matured", "value_matured_low", "value_matured_high",
    "revenue",
]  # fmt: skip
_TIMES = [
    "step", "n_people", "n_reached", "days_25", "days_50", "days_50_low",
    "days_50_high", "days_75", "naive_days_50", "longest_days",
]  # fmt: skip
_GRID = ["segment", "n_people", "share_people", "n_referred", "revenue",
         "social_value", "total_value", "action"]  # fmt: skip
_RULES = ["rule", "n_referrers", "n_links", "revenue", "reason"]


def referrals(
    inputs: Inputs,
    manner: Manner,
    *,
    horizon_days: int,
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
    table: str | None,
) -> None:
    """Show who brings whom, what is to come of it, and what looks wrong.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    horizon_days : int
        Days to come.
    out, format, table
        See `selfloop.cli.results.Form`.
    """
    form = Form(out, format, table)
    form.check()
    with working(manner) as say:
        events = read(inputs, say)
        events.need("referrals", "referrals")
        say("customer value")
        values = value_table(
            events, None, Sharing(), horizon_days=horizon_days, discount_rate=0.0
        )
        found = referral_overview(
            events, values, own="revenue", horizon_days=horizon_days, progress=say
        )
    tables = _tables(found)
    numbers = referral_numbers(found)
    assert numbers is not None
    kept = {k: v for k, v in numbers.items() if k in ("ahead", "ahead_reason")}
    period = {
        "start": events.start.isoformat(),
        "end": events.end.isoformat(),
        "timezone": events.rules.timezone,
    }
    result = Result(
        "referrals",
        tables,
        {**period, "currency": events.currency, **kept},
        _labels(events, found),
        _sections(tables),
        _lines(found, numbers, manner.voice, Money(events.currency)),
    )
    deliver(result, form, manner)
    tell_notes(events, inputs, manner)


def _tables(found: ReferralOverview) -> dict[str, pd.DataFrame]:
    """Return all tables; those that there are none of without rows."""
    grid, test = found.grid, found.test
    return {
        "grid": empty("value_grid") if grid is None else grid.cells,
        "advocates": empty("advocates") if grid is None else grid.advocates,
        "generations": found.network.generations,
        "trees": found.network.trees,
        "times": found.times.steps,
        "concentration": found.concentration.shares,
        "differences": found.compared.differences,
        "tenure": found.compared.tenure,
        "along_links": found.compared.clustering,
        "referral_scores": empty("backtest_scores") if test is None else test.scores,
        "rules": found.anomalies.rules,
        "flags": found.anomalies.flags,
        "flagged_links": found.anomalies.links(),
    }


def _labels(events: Events, found: ReferralOverview) -> list[tuple[str, str]]:
    """Write the network and the forecast in a few lines."""
    network, total, one = found.network, found.total, found.worth
    money = Money(events.currency).short
    lines = [
        ("period", period_text(events.start, events.end, events.rules.timezone)),
        ("links", count(network.n_links)),
        ("referrers", count(network.n_referrers)),
        ("k_factor", f"{format_value(network.k_invitations, 'float')} x "
                     f"{format_value(network.k_conversion, 'share')} = "
                     f"{format_value(network.k, 'float')}"),
    ]  # fmt: skip
    if total is not None and total.referrals == total.referrals:
        low, high = count(total.referrals_low), count(total.referrals_high)
        shown = f"{count(total.referrals)} [{low}, {high}]"
        lines += [("horizon", count(total.horizon_days)), ("brought_ahead", shown)]
    if one is not None and one.value == one.value:
        ends = f"[{money(one.value_low)}, {money(one.value_high)}]"
        within = f"({format_value(one.value_days, 'days')})"
        lines.append(("one_more", f"{money(one.value)} {ends} {within}"))
    return lines


def _sections(tables: dict[str, pd.DataFrame]) -> list[Section]:
    """Return what a terminal shows of the tables that have rows."""
    shown = [
        Section("grid", tables["grid"][_GRID], "value_grid"),
        Section("generations", tables["generations"][_GENERATIONS].head(10),
                "generations"),
        Section("times", tables["times"][_TIMES], "referral_times"),
        Section("differences", tables["differences"][_DIFFERENCES],
                "referred_differences"),
        Section("rules", tables["rules"][_RULES], "anomaly_rules"),
    ]  # fmt: skip
    return [section for section in shown if len(section.frame)]


def _lines(
    found: ReferralOverview, numbers: dict[str, object], lang: Lang, money: Money
) -> list[str]:
    """Write what is to come, whether it was right before, and what is missing."""
    said: list[list[Sentence]] = [
        words.expected(numbers, money),
        words.tested(numbers),
    ]
    lines = [paragraph(sentences, lang) for sentences in said if sentences]
    for part, why in found.unavailable.items():
        lines.append(f"{text(f'part.{part}', lang)}: {said_in(why, lang)}")
    return lines
