"""An analysis as one plain dictionary: everything that the report says."""

import math
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from selfloop import __version__
from selfloop.core.settings import CONFIDENCE, MIN_AT_RISK
from selfloop.outputs.report.cards import cards
from selfloop.outputs.report.finding import finding
from selfloop.outputs.report.folding import fold
from selfloop.outputs.report.lifetime import lifetime_numbers
from selfloop.outputs.report.outlook import outlook_numbers
from selfloop.outputs.report.plain import plain, records
from selfloop.outputs.report.referral import referral_numbers
from selfloop.outputs.text import text

if TYPE_CHECKING:
    from selfloop.measures.analyze import Analysis

SCHEMA = "selfloop.report/1"
"""Name and version of the dictionary; the number grows when a key changes."""

N_ADVOCATES = 20
"""Customers listed as advocates."""

_CURVE_POINTS = 61


def report_numbers(
    analysis: "Analysis", *, title: str | None = None, now: datetime | None = None
) -> dict[str, Any]:
    """Select what a report says from an analysis, as plain values.

    Parameters
    ----------
    analysis : Analysis
        From `selfloop.analyze`.
    title : str, optional
        Title of the report, such as the name of the shop.
    now : datetime, optional
        When the report is made; by default ``SOURCE_DATE_EPOCH`` or the clock.

    Returns
    -------
    dict
        Text, numbers, lists and dictionaries only, so that it is JSON as it is.
        Dates are ISO text, money is a number, a missing value is ``None`` and never
        0. A table is a dictionary of its columns, as ``pandas.DataFrame`` takes it;
        `selfloop.outputs.report.folding.TABLES` lists them. Keys: ``schema``,
        ``selfloop_version``, ``meta``, ``totals``, ``finding``, ``kpis``,
        ``funnel``, ``loop``, ``cohorts``, ``outlook``, ``lifetime``, ``social``,
        ``advocates``, ``referral``, ``audit``, ``notes``, ``unavailable``.

    Notes
    -----
    Nothing is computed here but the sums of rows of the audit.
    """
    events = analysis.events
    numbers: dict[str, Any] = {
        "schema": SCHEMA,
        "selfloop_version": __version__,
        "meta": _meta(analysis, title, now),
        "totals": {key: plain(value) for key, value in events.totals.items()},
        "funnel": _funnel(analysis),
        "loop": _loop(analysis),
        "cohorts": _cohorts(analysis),
        "outlook": outlook_numbers(analysis.outlook),
        "lifetime": _lifetime(analysis),
        "social": _social(analysis),
        "advocates": _advocates(analysis),
        "referral": referral_numbers(analysis.referral),
        "audit": _audit(events.audit),
        "notes": records(events.notes),
        "unavailable": dict(analysis.unavailable),
    }
    numbers["kpis"] = cards(numbers)
    said = finding(numbers)
    numbers["finding"] = {
        "en": [text(s.key, "en", **s.values).replace("**", "") for s in said],
        "zh": [text(s.key, "zh", **s.values).replace("**", "") for s in said],
    }
    return fold(numbers)


def _made_at(now: datetime | None) -> str:
    """Return when the report is made; reproducible builds may say when."""
    if now is None:
        epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
        moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else None
        now = moment or datetime.now().astimezone()
    return now.isoformat(timespec="seconds")


def _meta(
    analysis: "Analysis", title: str | None, now: datetime | None
) -> dict[str, Any]:
    """Return what the numbers are of: period, rules, sources."""
    events, rules = analysis.events, analysis.events.rules
    return {
        "title": title,
        "made_at": _made_at(now),
        "start": plain(events.start, "date"),
        "end": plain(events.end, "date"),
        "timezone": rules.timezone,
        "currency": events.currency,
        "has": sorted(events.has),
        "confidence": CONFIDENCE,
        "min_at_risk": MIN_AT_RISK,
        "horizon_days": analysis.horizon_days,
        "ledger_rule": analysis.rule,
        "rules": {
            "purchase": rules.purchase,
            "zero_orders": rules.zero_orders,
            "attribution": rules.attribution,
            "attribution_window_days": rules.attribution_window_days,
            "half_life_days": rules.half_life_days,
            "paid_channels": list(rules.paid_channels),
        },
        "sources": {name: str(source) for name, source in events.sources.items()},
        "columns": {name: dict(roles) for name, roles in events.columns.items()},
    }


def _funnel(analysis: "Analysis") -> dict[str, Any]:
    """Return the funnel of all people, and by source where there is one."""
    whole, parts = analysis.funnel, analysis.funnel_by_source
    return {
        "stages": records(whole.stages, "funnel_stages"),
        "windows": records(whole.windows, "funnel_windows"),
        "by_source": None
        if parts is None
        else {
            "stages": records(parts.stages, "funnel_stages"),
            "windows": records(parts.windows, "funnel_windows"),
        },
    }


def _loop(analysis: "Analysis") -> dict[str, Any]:
    """Return self-circulation by month, R and its curve, and the gain."""
    loop = analysis.loop
    return {
        "months": records(loop.months, "loop_months"),
        "reproduction": records(loop.reproduction, "reproduction"),
        "curve": _thinned(records(loop.curve, "reproduction_curve")),
        "horizon_days": plain(loop.horizon_days),
        "multiplier": plain(loop.multiplier),
        "multiplier_low": plain(loop.multiplier_low),
        "multiplier_high": plain(loop.multiplier_high),
        "share_orders": plain(loop.share_orders),
        "share_revenue": plain(loop.share_revenue),
        "n_seeding": plain(loop.n_seeding),
    }


def _thinned(curve: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep about 60 points of a curve, the last one always."""
    step = max(1, math.ceil(len(curve) / _CURVE_POINTS))
    return curve[: len(curve) - 1 : step] + curve[-1:]


def _cohorts(analysis: "Analysis") -> list[dict[str, Any]]:
    """Return one entry per cohort, its months in lists that start at age 0."""
    cohorts: dict[str, dict[str, Any]] = {}
    for cell in records(analysis.cohorts.table, "cohorts"):
        name = cell["cohort"]
        empty = {"cohort": name, "n_people": cell["n_people"]}
        row = cohorts.setdefault(name, empty | {"n_active": [], "share_active": []})
        row["n_active"].append(cell["n_active"])
        row["share_active"].append(cell["share_active"])
        row["last_month"] = cell["status"]
    return list(cohorts.values())


def _lifetime(analysis: "Analysis") -> dict[str, Any]:
    """Return the fitted models, how they predict, and the values by source."""
    summary = analysis.value_summary
    known = analysis.lifetime is not None
    return {
        **lifetime_numbers(
            analysis.lifetime,
            analysis.backtest,
            horizon_days=analysis.horizon_days,
            discount_rate=analysis.discount_rate,
            why_no_backtest=analysis.unavailable.get("backtest", ""),
        ),
        "by_source": records(summary.by_source),
        "histogram": records(summary.histogram) if known else [],
        "histogram_of": summary.value_column,
    }


def _social(analysis: "Analysis") -> dict[str, Any]:
    """Return the ledger by tenth and by generation, and the network."""
    summary, network = analysis.value_summary, analysis.network
    return {
        "rule": analysis.rule,
        "deciles": records(summary.deciles),
        "totals": {key: plain(value) for key, value in summary.totals.items()},
        "generations": []
        if network is None
        else records(network.generations, "generations"),
        "network": None
        if network is None
        else {
            name: plain(getattr(network, name))
            for name in (
                "n_people", "n_links", "n_roots", "max_generation", "n_referrers",
                "window_days", "k_invitations", "k_conversion", "k",
            )
        },
    }  # fmt: skip


def _advocates(analysis: "Analysis") -> list[dict[str, Any]]:
    """Return the customers with the highest social value, if any has one."""
    if analysis.network is None:
        return []
    top = records(analysis.value_summary.advocates, "customer_value")
    return [row for row in top if (row["social_value"] or 0) > 0][:N_ADVOCATES]


def _audit(audit: pd.DataFrame) -> dict[str, Any]:
    """Return every line of the audit, and for each table its rows added up."""
    rows = records(audit, "audit")
    for row in rows:
        if isinstance(row["examples"], (list, tuple)):
            row["examples"] = " · ".join(map(str, row["examples"]))
    tables = [
        {
            "table": table,
            "n_rows": _rows_of(rows, table),
            "n_used": _rows_of(rows, table, "used"),
            "n_set_aside": _rows_of(rows, table, "set_aside"),
            "n_rejected": _rows_of(rows, table, "rejected"),
        }
        for table in dict.fromkeys(row["table"] for row in rows)
    ]
    return {"tables": tables, "rows": rows}


def _rows_of(rows: Sequence[Mapping[str, Any]], table: str, outcome: str = "") -> int:
    """Add up the rows of one table, of one outcome if given."""
    return sum(
        row["n_rows"]
        for row in rows
        if row["table"] == table and outcome in ("", row["outcome"])
    )
