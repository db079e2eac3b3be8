"""What the section on who brings whom shows: sentences, tiles, tables."""

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report import referral_words as words
from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.summary import Card, missing_tile, tile
from selfloop.outputs.report.voice import Voice

Numbers = Mapping[str, Any]
Write = Callable[[float | None], str]

_NOTHING = Markup("")
_DAYS = ("days_25", "days_50", "days_75",
         "naive_days_50", "longest_days")  # fmt: skip
_SHARES = ("conversion", "repurchase", "refund_share")


def referral_view(numbers: Numbers, voice: Voice, money: Money) -> dict[str, Any]:
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
        Words; the template lays them out. Empty without referrals.
    """
    referral = numbers["referral"]
    if referral is None:
        return {}
    compared = referral["compared"]
    return {
        "expected": voice.paragraphs(words.expected(referral, money)),
        "tested": voice.paragraphs(words.tested(referral)),
        "why_not": voice.reason(referral["ahead_reason"])
        if referral["ahead_reason"]
        else "",
        "tiles": _tiles(referral, voice, money),
        "grid": _grid(referral["grid"], voice, money),
        "differences": [_difference(row, voice, money)
                        for row in compared["differences"]],
        "links": voice.paragraphs(words.along_links(compared)),
        "few": [_few(row, voice) for row in referral["concentration"]],
        "times": [_time(row, voice) for row in referral["times"]],
        "rules": _rules(referral["anomalies"], voice, money),
        "n_rules": sum(not row["reason"] for row in referral["anomalies"]["rules"]),
        "flags": _flags(referral["anomalies"], voice),
        "scores": _scores(referral, voice),
    }  # fmt: skip


def _tiles(referral: Numbers, voice: Voice, money: Money) -> list[Card]:
    """Return people to come, their worth, one more, and the time it takes."""
    ahead = referral["ahead"]
    tiles = []
    if ahead and ahead["total"]:
        tiles += _totals(ahead["total"], ahead["worth"], voice, money)
    if ahead and ahead["worth"]:
        tiles.append(_one(ahead["worth"], voice, money))
    for row in referral["times"]:
        if row["step"] == "generation" and row["days_50"] is not None:
            about = _happen(voice, row["days_50_low"], row["days_50_high"], fmt.count)
            foot = voice.say("tile.generation_foot")
            name = voice.head("tile.generation")
            tiles.append(tile(name, fmt.count(row["days_50"]), about=about, foot=foot))
    return tiles


def _totals(
    total: Numbers, worth: Numbers | None, voice: Voice, money: Money
) -> list[Card]:
    """Return how many are to come, and what they are worth."""
    days = fmt.count(total["horizon_days"])
    ends = {e: fmt.count(total[f"referrals_mean_{e}"]) for e in ("low", "high")}
    people = tile(
        voice.head("tile.ahead", days=days),
        fmt.count(total["referrals"]),
        about=_happen(
            voice, total["referrals_low"], total["referrals_high"], fmt.count
        ),
        foot=voice.say("tile.ahead_foot", **ends),
    )
    name = voice.head("tile.ahead_value")
    if total["value"] is None:
        why = voice.reason(worth["reason"]) if worth else _NOTHING
        return [people, missing_tile(name, why)]
    ends = {e: money.short(total[f"value_mean_{e}"]) for e in ("low", "high")}
    value = tile(
        name,
        money.short(total["value"]),
        about=_happen(voice, total["value_low"], total["value_high"], money.short),
        foot=voice.say("tile.ahead_foot", **ends),
    )
    return [people, value]


def _one(worth: Numbers, voice: Voice, money: Money) -> Card:
    """Return what one more person brought is worth."""
    name = voice.head("tile.one")
    if worth["value"] is None:
        return missing_tile(name, voice.reason(worth["reason"]))
    foot = voice.say(
        "tile.one_foot",
        own=money.short(worth["own_value"]),
        days=fmt.count(worth["value_days"]),
        r=fmt.number(worth["r"]),
    )
    about = _happen(voice, worth["value_low"], worth["value_high"], money.short)
    return tile(name, money.short(worth["value"]), about=about, foot=foot)


def _happen(
    voice: Voice, low: float | None, high: float | None, write: Write
) -> Markup:
    """Write an interval, if there is one."""
    if low is None or high is None:
        return voice.say("forecast.no_interval")
    return voice.say("forecast.happen", low=write(low), high=write(high))


def _grid(grid: Numbers | None, voice: Voice, money: Money) -> dict[str, Any] | None:
    """Return the four kinds of customers."""
    if grid is None:
        return None
    cells = [
        {
            "segment": row["segment"],
            "name": voice.head(f"grid.{row['segment']}"),
            "means": voice.say(f"grid.{row['segment']}_is"),
            "n": fmt.count(row["n_people"]),
            "of": voice.say(
                "grid.of", share=fmt.share(row["share_people"]),
                revenue=money.short(row["revenue"]),
                social=money.short(row["social_value"]),
            ),
            "action": voice.say(f"grid.{row['segment']}_do"),
        }
        for row in grid["cells"]
    ]  # fmt: skip
    return {"lead": voice.paragraphs(words.kinds(grid, money)), "cells": cells}


def measure_form(measure: str, money: Money) -> Write:
    """Return how the numbers of one comparison are written.

    Parameters
    ----------
    measure : str
        As in `selfloop.core.schema.REFERRED_DIFFERENCES`.
    money : Money
        Currency.

    Returns
    -------
    callable
        Takes a number, gives text.
    """
    if measure in _SHARES:
        return fmt.share
    return money.short if measure == "value" else fmt.number


def _difference(row: Numbers, voice: Voice, money: Money) -> dict[str, Any]:
    """Return one comparison of referred people with others."""
    measure = row["measure"]
    write = measure_form(measure, money)
    ends = _ends(row, "difference", write)
    verdict = "same"
    if words.is_clear(row):
        verdict = "better" if row["difference"] > 0 else "worse"
    known = row["difference_low"] is not None
    return {
        "name": voice.say(f"compare.{measure}"),
        "cells": [fmt.count(row["n_referred"]), fmt.count(row["n_others"]),
                  write(row["referred"]), write(row["others"])],
        "difference": _signed(write(row["difference"])),
        "ends": _signed(ends),
        "is_clear": known and verdict != "same",
        "verdict": voice.say(f"compare.{verdict}") if known
        else voice.reason(row["reason"]),
    }  # fmt: skip


def _signed(shown: str) -> str:
    """Write negative numbers with a minus sign, as money has it."""
    return shown.replace("-", "−")


def _time(row: Numbers, voice: Voice) -> dict[str, Any]:
    """Return how long one step takes."""
    days = {name: fmt.count(row[name]) for name in _DAYS}
    known = row["days_50"] is not None
    return {
        "name": voice.say(f"times.{row['step']}"),
        "known": known,
        "reason": voice.reason(row["reason"]) if row["reason"] else "",
        "median": days["days_50"],
        "ends": _ends(row, "days_50", fmt.count),
        "quarters": f"{days['days_25']} – {days['days_75']}" if known else fmt.MISSING,
        "naive": days["naive_days_50"],
        "longest": days["longest_days"],
    }


def _few(row: Numbers, voice: Voice) -> dict[str, Any]:
    """Return how few of a group bring how many."""
    shown = [(fmt.share(row[f"share_top_{p}"]), _ends(row, f"share_top_{p}", fmt.share))
             for p in (1, 10, 20)]  # fmt: skip
    gini = (fmt.number(row["gini"]), _ends(row, "gini", fmt.number))
    return {"name": voice.say(f"few.{row['group']}"), "cells": [*shown, gini]}


def _ends(row: Numbers, name: str, write: Write) -> str:
    """Write the ends of an interval; nothing without any."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "" if low is None or high is None else f"{write(low)} – {write(high)}"


def _rules(anomalies: Numbers, voice: Voice, money: Money) -> list[dict[str, Any]]:
    """Return every rule that flagged somebody or could not be applied."""
    return [
        {
            "name": voice.known(f"anomaly.{row['rule']}", row["rule"]),
            "meaning": row["meaning"],
            "cells": [fmt.count(row["n_referrers"]), fmt.count(row["n_links"]),
                      money.short(row["revenue"])],
            "reason": voice.reason(row["reason"]) if row["reason"] else "",
        }
        for row in anomalies["rules"]
    ]  # fmt: skip


def _flags(anomalies: Numbers, voice: Voice) -> list[dict[str, Any]]:
    """Return who is flagged by which rule."""
    return [
        {
            "name": voice.known(f"anomaly.{row['rule']}", row["rule"]),
            "person_id": row["person_id"],
            "n_links": fmt.count(row["n_links"]),
            "detail": row["detail"],
        }
        for row in anomalies["flags"]
    ]


def _scores(referral: Numbers, voice: Voice) -> list[dict[str, Any]]:
    """Return the scores of each method, as words."""
    test = referral["ahead"]["backtest"] if referral["ahead"] else None
    return [
        {
            "method": voice.known(
                "measure.model" if row["method"] == "model" else
                f"method.{row['method']}", row["method"],
            ),
            "is_model": row["method"] == "model",
            "cells": [fmt.count(row["predicted"]), fmt.count(row["actual"]),
                      fmt.number(row["rmse"]), fmt.number(row["rank_correlation"]),
                      fmt.share(row["share_top_tenth"])],
        }
        for row in (test["scores"] if test else ())
    ]  # fmt: skip
