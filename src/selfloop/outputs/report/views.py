"""What the sections of the page show, as words: the numbers, formatted."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from selfloop.outputs.report import charts
from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report.cards import HEADLINE_DAYS, headline
from selfloop.outputs.report.voice import Voice

Numbers = Mapping[str, Any]

MAX_MONTHS = 36
"""Months of the chart of self-circulation; the JSON has all of them."""

MAX_COHORTS = 24
"""Cohorts of the table; the JSON has all of them."""

MAX_AGES = 13
"""Months of age of that table, the first included."""

STAGE_COLOURS = {
    "traffic": "traf", "conversion": "conv", "repurchase": "rep", "referral": "ref",
}  # fmt: skip
"""Colour of each stage in the style sheet."""


def funnel_stages(numbers: Numbers, voice: Voice) -> list[dict[str, Any]]:
    """Return the four stages with count, rate, bar and interval.

    Parameters
    ----------
    numbers : mapping
        From `selfloop.outputs.report.numbers.report_numbers`.
    voice : Voice
        Languages of the page.

    Returns
    -------
    list of dict
        Widths in percent of the bar; a rate of ``None`` with its reason.
    """
    rows = {row["stage"]: row for row in numbers["funnel"]["stages"]}
    stages = []
    for name, colour in STAGE_COLOURS.items():
        n = rows[name]["n_reached"] if name in rows else None
        stage = {"name": name, "colour": colour, "n_reached": n, "reason": ""}
        if name == "traffic":
            known = n is not None
            stages.append(stage | {
                "rate": 1.0 if known else None, "width": "100", "whisk": None,
                "label": fmt.share(1.0), "about": "", "behind": "",
                "reason": voice.say("missing.no_visits"),
            })  # fmt: skip
        else:
            stages.append(stage | _bar(numbers, name, voice))
    return stages


def sources(numbers: Numbers, voice: Voice) -> list[dict[str, Any]]:
    """Return people and headline rates of each source, over one window.

    Parameters
    ----------
    numbers : mapping
        From `selfloop.outputs.report.numbers.report_numbers`.
    voice : Voice
        Languages of the page.

    Returns
    -------
    list of dict
        ``name``, ``n`` and ``rates``; all matured within the first headline window,
        because rates over unequal windows cannot be compared.
    """
    parts = numbers["funnel"]["by_source"]
    by_segment: dict[str, dict[str, Any]] = {}
    for row in parts["stages"] if parts else ():
        found = by_segment.setdefault(row["segment"], {"n": None, "rates": {}})
        if row["stage"] == "traffic":
            found["n"] = row["n_reached"]
    for row in parts["windows"] if parts else ():
        if row["window_days"] == HEADLINE_DAYS[0]:
            by_segment[row["segment"]]["rates"][row["stage"]] = {
                "value": row["share_matured"],
                "low": row["share_matured_low"],
                "high": row["share_matured_high"],
                "reason": why(row, "matured", numbers, voice),
            }
    empty = dict.fromkeys(("value", "low", "high"))
    nobody = empty | {"reason": voice.say("missing.no_buyers")}
    return [
        {
            "name": voice.known(charts.source_key(segment), segment),
            "n": found["n"],
            "rates": [found["rates"].get(s, nobody) for s in list(STAGE_COLOURS)[1:]],
        }
        for segment, found in by_segment.items()
    ]


def why(row: Numbers, form: str, numbers: Numbers, voice: Voice) -> Markup:
    """Say why a rate of one window is missing.

    Parameters
    ----------
    row : mapping
        Row of `selfloop.core.schema.FUNNEL_WINDOWS`.
    form : {"matured", "within"}
        Which form of the rate.
    numbers : mapping
        From `selfloop.outputs.report.numbers.report_numbers`.
    voice : Voice
        Languages of the page.

    Returns
    -------
    markupsafe.Markup
    """
    n = row["n_matured" if form == "matured" else "n_at_risk"]
    if n is None:
        table = "visits" if row["stage"] == "conversion" else "referrals"
        given = row["stage"] == "repurchase" or table in numbers["meta"]["has"]
        return voice.say("missing.young" if given else f"missing.no_{table}")
    need, days = numbers["meta"]["min_at_risk"], row["window_days"]
    key = "missing.observed" if form == "matured" else "missing.at_risk"
    return voice.say(key, n=fmt.count(n), days=days, need=need)


def circulation(numbers: Numbers, voice: Voice) -> dict[str, Any]:
    """Return the chart of orders by month and its legend.

    Parameters
    ----------
    numbers : mapping
        From `selfloop.outputs.report.numbers.report_numbers`.
    voice : Voice
        Languages of the page.

    Returns
    -------
    dict
        Only what has orders is in the legend; shares only where R is known.
    """
    months = numbers["loop"]["months"]
    latest = months[-MAX_MONTHS:]
    r = next(card for card in numbers["kpis"] if card["key"] == "r")
    carried = [c for c in charts.CARRIED if any(row[c[0]] for row in months)]
    return {
        "chart": charts.circulation(latest, voice, shares=r["value"] is not None),
        "legend": [
            {"column": column, "colour": colour, "words": voice.each(key, **places)}
            for column, colour, key, places in carried
        ],
        "partial": any(row["status"] == "partial" for row in latest),
        "n_shown": len(latest),
        "n_hidden": len(months) - len(latest),
    }  # fmt: skip


def cohorts(numbers: Numbers) -> dict[str, Any]:
    """Return the latest cohorts with the depth of colour of each cell.

    Parameters
    ----------
    numbers : mapping
        From `selfloop.outputs.report.numbers.report_numbers`.

    Returns
    -------
    dict
        ``rows``, ``ages``, ``n_hidden`` (cohorts) and ``is_cut`` (ages).
    """
    latest = numbers["cohorts"][-MAX_COHORTS:]
    longest = max((len(row["n_active"]) for row in latest), default=0)
    n_ages = min(longest, MAX_AGES)
    deepest = max(
        (share for row in latest for share in row["share_active"][1:n_ages]), default=0
    )
    rows = [
        {
            "cohort": row["cohort"],
            "n_people": row["n_people"],
            "cells": [_cell(row, age, deepest) for age in range(n_ages)],
        }
        for row in latest
    ]
    hidden = len(numbers["cohorts"]) - len(latest)
    return {
        "rows": rows,
        "ages": range(n_ages),
        "n_hidden": hidden,
        "is_cut": longest > n_ages,
    }


def _bar(numbers: Numbers, stage: str, voice: Voice) -> dict[str, Any]:
    """Return the headline rate of a stage as a bar."""
    found = headline(numbers["funnel"]["windows"], stage)
    rate, low, high = found["value"], found["low"], found["high"]
    if rate is None:
        days = HEADLINE_DAYS[0]
        rows = (r for r in numbers["funnel"]["windows"] if r["window_days"] == days)
        row = next((r for r in rows if r["stage"] == stage), None)
        empty = voice.say("missing.no_buyers")
        return {"rate": None, "reason": why(row, "matured", numbers, voice) if row
                else empty}  # fmt: skip
    shown = fmt.share(rate)
    whisk = None
    if low is not None and high is not None:
        whisk = (f"{low * 100:.2f}", f"{(high - low) * 100:.2f}")
        shown += f" ({fmt.share(low)} – {fmt.share(high)})"
    usual = found["form"] == "matured" and found["days"] == HEADLINE_DAYS[0]
    key = "funnel.in_window" if found["form"] == "matured" else "funnel.estimate"
    behind = f"{fmt.count(found['n_reached'])} / {fmt.count(found['n'])}"
    return {
        "rate": rate,
        "width": f"{rate * 100:.2f}",
        "whisk": whisk,
        "label": f"{voice.plain('stage.' + stage)} {shown}",
        # The lead of the section says the usual window once for all.
        "about": "" if usual else voice.say(key, days=found["days"]),
        "behind": behind if found["form"] == "matured" else "",
    }


def _cell(row: Numbers, age: int, deepest: float) -> dict[str, Any] | None:
    """Return one month of a cohort; None where it lies ahead."""
    if age >= len(row["n_active"]):
        return None
    share = row["share_active"][age]
    return {
        "shown": f"{share * 100:.1f}",
        "depth": f"{share / deepest if deepest else 0:.2f}".lstrip("0") or "0",
        "partial": row["last_month"] == "partial" and age + 1 == len(row["n_active"]),
    }
