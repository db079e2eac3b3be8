"""What the section on lifetime value shows: sentences, tiles, charts, tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from selfloop.outputs.report import charts, lifetime_words, tracking
from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.sentence import Sentence
from selfloop.outputs.report.summary import Card, missing_tile, tile
from selfloop.outputs.report.voice import Voice

Numbers = Mapping[str, Any]

_NOTHING = Markup("")


def lifetime_view(numbers: Numbers, voice: Voice, money: Money) -> dict[str, Any]:
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
        Words and pictures; the template lays them out. Without a model only
        ``why``.
    """
    lifetime = numbers["lifetime"]
    if lifetime["model"] is None:
        why = numbers["unavailable"].get("lifetime value", "")
        return {"why": voice.reason(why)}
    bins, sources = lifetime["histogram"], lifetime["by_source"]
    worth = [row["lifetime_value_per_buyer"] for row in sources]
    said = {
        "expected": lifetime_words.expected(lifetime, money),
        "tested": lifetime_words.backtested(lifetime, money),
        "chosen": lifetime_words.chosen(lifetime),
        "independence": lifetime_words.independence(lifetime, calm=True),
    }
    return {
        "name": lifetime_words.model_name(lifetime),
        "tiles": _tiles(lifetime, voice, money),
        **{name: voice.paragraphs(sentences) for name, sentences in said.items()},
        "cautions": [
            voice.paragraphs(note) for note in lifetime_words.cautions(lifetime, money)
        ],
        "histogram": charts.histogram(bins, voice, money) if bins else "",
        "heading": "lifetime.histogram"
        if lifetime["histogram_of"] == "lifetime_value"
        else "lifetime.histogram_revenue",
        "groups": [
            (group, colour)
            for group, colour in charts.GROUPS.items()
            if any(row["source_group"] == group for row in bins)
        ],
        "by_source": charts.by_source(sources, voice, money)
        if any(value is not None for value in worth)
        else "",
        **_pictures(lifetime, said["tested"], voice),
        "scores": _scores(lifetime, voice, money),
        "models": _models(lifetime, voice),
        "deciles": _deciles(lifetime, money),
    }


def _pictures(
    lifetime: Numbers, said: Sequence[Sentence], voice: Voice
) -> dict[str, Markup]:
    """Draw the backtest, if there is one."""
    test = lifetime["backtest"]
    if test is None:
        return {"weeks": _NOTHING, "calibration": _NOTHING}
    desc = voice.plain(said[0].key, **said[0].values).replace("**", "")
    return {
        "weeks": tracking.weeks(test, voice, desc=desc),
        "calibration": tracking.calibration(test, voice, desc=""),
    }


def _tiles(lifetime: Numbers, voice: Voice, money: Money) -> list[Card]:
    """Return the forecast in four numbers: purchases, value, a new buyer, the test."""
    total = lifetime["total"]
    return [
        _total(total, "purchases", voice, fmt.count),
        _total(total, "value", voice, money.short),
        _new_customer(lifetime["new_customer"], voice, money),
        _test(lifetime, voice),
    ]


def _total(total: Numbers, what: str, voice: Voice, write: Any) -> Card:  # noqa: ANN401
    """Write what all buyers are going to bring."""
    name = voice.head(f"forecast.{what}", days=fmt.count(total["horizon_days"]))
    if total[what] is None:
        return missing_tile(name, voice.say("missing.no_spend_model"))
    about = _interval(total, what, voice, write)
    foot = _NOTHING
    if total[f"{what}_low"] is not None:
        ends = {end: write(total[f"{what}_mean_{end}"]) for end in ("low", "high")}
        foot = voice.say("forecast.mean", **ends)
    return tile(name, write(total[what]), about=about, foot=foot)


def _new_customer(new: Numbers, voice: Voice, money: Money) -> Card:
    """Write what a new buyer is going to bring; purchases where money is unknown."""
    days = fmt.count(new["horizon_days"])
    purchases = fmt.number(new["purchases"])
    if new["value"] is None:
        return tile(
            voice.head("forecast.new_count", days=days),
            purchases,
            about=_interval(new, "purchases", voice, fmt.number),
            foot=voice.say("forecast.new_after"),
        )
    if new["purchases_low"] is None:
        foot = voice.say("forecast.new_foot_alone", purchases=purchases)
    else:
        ends = {e: fmt.number(new[f"purchases_{e}"]) for e in ("low", "high")}
        foot = voice.say("forecast.new_foot", purchases=purchases, **ends)
    about = _interval(new, "value", voice, money.short)
    name = voice.head("forecast.new", days=days)
    return tile(name, money.short(new["value"]), about=about, foot=foot)


def _test(lifetime: Numbers, voice: Voice) -> Card:
    """Write by how much the model was off on what has happened."""
    name, test = voice.head("forecast.tested"), lifetime["backtest"]
    if test is None:
        return missing_tile(name, voice.reason(lifetime["backtest_reason"]))
    row = lifetime_words.score(test, "purchases", test["label"])
    assert row is not None
    values = {part: fmt.count(row[part]) for part in ("predicted", "actual")}
    about = voice.say("forecast.tested_of", **values)
    foot = voice.say("forecast.tested_foot", days=fmt.count(test["horizon_days"]))
    shown = lifetime_words.signed_share(row["error"])
    return tile(name, shown, about=about, foot=foot)


def _interval(found: Numbers, what: str, voice: Voice, write: Any) -> Markup:  # noqa: ANN401
    """Write the interval of a number, or why there is none."""
    low, high = found[f"{what}_low"], found[f"{what}_high"]
    if low is None or high is None:
        return voice.say("forecast.no_interval")
    return voice.say("forecast.happen", low=write(low), high=write(high))


def _scores(lifetime: Numbers, voice: Voice, money: Money) -> list[dict[str, Any]]:
    """Return the scores of each method, as words."""
    test = lifetime["backtest"]
    rows = []
    for row in test["scores"] if test else ():
        if not lifetime_words.score(test, row["measure"], test["label"]):
            continue  # naive methods alone say nothing of the model
        of_money = row["measure"] == "value"
        total = money.short if of_money else fmt.count
        each = money.short if of_money else fmt.number
        rows.append({
            "measure": voice.say(f"measure.{row['measure']}"),
            "method": voice.known(f"method.{row['method']}", row["method"]),
            "is_model": row["method"] == test["label"],
            "cells": [
                total(row["predicted"]), total(row["actual"]),
                lifetime_words.signed_share(row["error"]), each(row["mae"]),
                each(row["rmse"]), fmt.number(row["rank_correlation"]),
                fmt.share(row["share_top_tenth"]),
            ],
        })  # fmt: skip
    return rows


def _models(lifetime: Numbers, voice: Voice) -> list[dict[str, Any]]:
    """Return the models side by side, as words."""
    choice = lifetime["choice"]
    rows = []
    for row in choice["models"] if choice else ():
        names = row["undetermined"]
        rows.append({
            "label": row["label"],
            "is_chosen": row["model"] == choice["chosen"],
            "cells": [
                fmt.count(row["n_parameters"]),
                lifetime_words.aic(row["aic_above_best"]),
                lifetime_words.signed_share(row["holdout_error"]),
                lifetime_words.log_score(row["holdout_log_score"]),
            ],
            "role": voice.reason(row["role"]),
            "undetermined": voice.say("role.undetermined", names=names)
            if names
            else "",
        })  # fmt: skip
    return rows


def _deciles(lifetime: Numbers, money: Money) -> dict[str, Any]:
    """Return the tenths of buyers, predicted and actual, as words."""
    test = lifetime["backtest"]
    rows: dict[int, dict[str, Any]] = {}
    measures = []
    for row in test["deciles"] if test else ():
        if row["measure"] not in measures:
            measures.append(row["measure"])
        write = money.short if row["measure"] == "value" else fmt.number
        ends = ""
        if row["actual_high"] is not None:
            ends = f"{write(row['actual_low'])} – {write(row['actual_high'])}"
        line = rows.setdefault(
            row["decile"],
            {"decile": row["decile"], "n": fmt.count(row["n_people"]), "cells": []},
        )
        line["cells"].append((write(row["predicted"]), write(row["actual"]), ends))
    return {"rows": list(rows.values()), "measures": measures}
