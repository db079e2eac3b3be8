"""What the section on what follows from the loop shows: sentences, charts, tables."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report import outlook_charts as charts
from selfloop.outputs.report import outlook_words as words
from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.voice import Voice

Numbers = Mapping[str, Any]
Write = Callable[[float | None], str]

_PAST = 12
_R_DAYS = 90


def outlook_view(numbers: Numbers, voice: Voice, money: Money) -> dict[str, Any]:
    """Return what the section shows.

    Parameters
    ----------
    numbers : mapping
        From `selfloop.outputs.report.numbers.report_numbers`, its tables as rows.
    voice : Voice
        Languages of the page.
    money : Money
        Currency.

    Returns
    -------
    dict
        Words and pictures; the template lays them out.
    """
    outlook = numbers["outlook"]
    said = [
        *words.without_ads(outlook),
        *words.running_dry(outlook),
        *words.worth(outlook, money),
        *words.stage(outlook, money),
    ]
    later = [*words.ahead(outlook, money), *words.tested(outlook, money)]
    unit = unit_of(outlook["value"]["rows"])
    known = [r for r in outlook["value"]["rows"] if unit and r[f"{unit}_value"]]
    steps = _steps(outlook["leverage"])
    return {
        "said": voice.paragraphs(said),
        "ahead": voice.paragraphs(later),
        "unit": unit,
        "worth": charts.worth(known, unit, voice, money) if unit else "",
        "values": [_value(row, voice, money) for row in outlook["value"]["rows"]],
        "why_value": _why(outlook["value"]["rows"], voice),
        "stages": charts.stages(steps, voice, money) if steps else "",
        "steps": [_step(row, voice, money) for row in outlook["leverage"]["rows"]]
        if outlook["leverage"] else [],
        "why_ahead": _reason(outlook, "months to come", voice),
        "months": _months(numbers, voice, money),
        "totals": _totals(outlook["ahead"], voice, money),
        "cost": [_cost(row, voice, money) for row in outlook["cost"]["channels"]]
        if outlook["cost"] else [],
        "groups": _groups(outlook, voice),
        "cascades": [_cascade(row) for row in outlook["growth"]["cascades"]]
        if outlook["growth"] else [],
    }  # fmt: skip


def unit_of(rows: Sequence[Numbers]) -> str:
    """Return whose value is known: of visitors, of buyers, or of nobody.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of `selfloop.core.schema.VISITOR_VALUE`.

    Returns
    -------
    str
        ``visitor``, ``buyer`` or nothing.
    """
    for unit in ("visitor", "buyer"):
        if any(row[f"{unit}_value"] for row in rows):
            return unit
    return ""


def _reason(outlook: Numbers, part: str, voice: Voice) -> Markup | str:
    """Say why a part is missing; nothing when it is there."""
    why = outlook["unavailable"].get(part, "")
    return voice.reason(why) if why else ""


def _why(rows: Sequence[Numbers], voice: Voice) -> Markup | str:
    """Say why no value is known."""
    reasons = list(dict.fromkeys(p for r in rows for p in r["reason"].split("; ") if p))
    return voice.reason(reasons[0]) if reasons else ""


def _ends(row: Numbers, name: str, write: Write) -> str:
    """Write an interval; nothing without a lower end, open without an upper one."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None:
        return ""
    return f"{write(low)} – {write(high)}" if high is not None else f"≥ {write(low)}"


def _segment(name: str, voice: Voice) -> Markup:
    """Return the name of a source."""
    return voice.say("worth.outside" if name == words.OUTSIDE else f"source.{name}")


def _value(row: Numbers, voice: Voice, money: Money) -> dict[str, Any]:
    """Return what people of one source are worth."""
    return {
        "name": _segment(row["segment"], voice),
        "cells": [
            (
                fmt.share(row["share_converted"]),
                _ends(row, "share_converted", fmt.share),
            ),
            (money.short(row["own_value"]), _ends(row, "own_value", money.short)),
            (fmt.number(row["r"]), ""),
            (money.short(row["buyer_value"]), _ends(row, "buyer_value", money.short)),
            (
                money.short(row["visitor_value"]),
                _ends(row, "visitor_value", money.short),
            ),
            (fmt.share(row["share_brought"]), ""),
        ],
    }


def _steps(lever: Numbers | None) -> list[Numbers]:
    """Return the stages of which 10 % more is known to add something."""
    if lever is None:
        return []
    rows = [row for row in lever["rows"] if row["step"] == "+10%"]
    return [row for row in rows if row["revenue_gain_low"] is not None]


def _step(row: Numbers, voice: Voice, money: Money) -> dict[str, Any]:
    """Return what a step of a stage adds."""
    return {
        "name": voice.say(f"stage.{row['stage']}"),
        "step": row["step"].replace("%", " %").replace(" point", " pp"),
        "reason": voice.reason(row["reason"]) if row["reason"] else "",
        "cells": [
            (fmt.share(row["share"]), ""),
            (fmt.share(row["share_then"]), ""),
            (money.short(row["value_gain"]), _ends(row, "value_gain", money.short)),
            (money.short(row["revenue_gain"]),
             _ends(row, "revenue_gain", money.short)),
        ],
    }  # fmt: skip


def _months(numbers: Numbers, voice: Voice, money: Money) -> Markup | str:
    """Draw the months to come behind those that were."""
    found = numbers["outlook"]["ahead"]
    if found is None:
        return ""
    past = [m for m in numbers["loop"]["months"] if m["status"] == "complete"][-_PAST:]
    rows = [row for row in found["months"] if row["status"] == "complete"]
    return charts.months(rows, past, voice, money)


def _totals(found: Numbers | None, voice: Voice, money: Money) -> list[dict[str, Any]]:
    """Return all months to come together, by scenario."""
    if found is None:
        return []
    return [
        {
            "name": voice.say(f"ahead.{row['scenario']}"),
            "cells": [
                (fmt.count(row["buyers"]), _ends(row, "buyers", fmt.count)),
                (money.short(row["revenue"]), _ends(row, "revenue", money.short)),
            ],
        }
        for row in found["totals"]
    ]


def _cost(row: Numbers, voice: Voice, money: Money) -> dict[str, Any]:
    """Return what one channel costs and returns."""
    name: Any = row["channel"]
    return {
        "name": voice.say("cost.all") if name == "(all)" else name,
        "is_channel": name != "(all)",
        "reason": voice.reason(row["reason"].split("; ")[0]) if row["reason"] else "",
        "cells": [
            (money.short(row["spend"]), ""),
            (money.short(row["cac"]), _ends(row, "cac", money.short)),
            (money.short(row["buyer_ceiling"]), ""),
            (fmt.number(row["return_ratio"]), _ends(row, "return_ratio", fmt.number)),
            (fmt.count(row["payback_days"]), _ends(row, "payback_days", fmt.count)),
        ],
    }


def _groups(outlook: Numbers, voice: Voice) -> list[dict[str, Any]]:
    """Return R of sources and of quarters, all by the same age."""
    return [
        {
            "name": voice.say(f"source.{row['segment']}") if is_source
            else row["segment"],
            "n": fmt.count(row["n_observed"]),
            "r": fmt.number(row["r"]),
            "ends": _ends(row, "r", fmt.number),
        }
        for is_source, rows in ((True, "by_source"), (False, "by_quarter"))
        for row in outlook[rows]
        if row["horizon_days"] == _R_DAYS and row["r"] is not None
    ]  # fmt: skip


def _cascade(row: Numbers) -> dict[str, Any]:
    """Return cascades of one size."""
    low, high = row["size_low"], row["size_high"]
    size = f"{low}+" if high is None else str(low) if low == high else f"{low} – {high}"
    expected = "" if row["expected"] is None else fmt.count(row["expected"])
    ends = "" if row["expected"] is None else _ends(row, "expected", fmt.count)
    return {"size": size, "n": fmt.count(row["n_seeds"]),
            "share": fmt.share(row["share"]), "expected": expected,
            "ends": ends}  # fmt: skip
