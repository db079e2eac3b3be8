"""Sentences on what follows from the loop, true of whatever the numbers are."""

from collections.abc import Mapping
from typing import Any

from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.sentence import Sentence

Numbers = Mapping[str, Any]

OUTSIDE = "(outside)"
"""Name of the line of everybody whom nobody brought."""

_FAR = 1.25  # times as much a day, or less, than before is worth a warning
_MUCH_MORE = 1.2  # times as many orders as later buyers is worth a sentence


def without_ads(outlook: Numbers) -> list[Sentence]:
    """Say how new buyers would grow or fade if nobody came from outside.

    Parameters
    ----------
    outlook : mapping
        From `selfloop.outputs.report.outlook.outlook_numbers`.

    Returns
    -------
    list of Sentence
        None without R, or where nobody brings anybody.
    """
    growth = outlook["growth"]
    if growth is None or growth["rate"] is None or not growth["verdict"]:
        return []
    name = "doubling_days" if growth["rate"] > 0 else "halving_days"
    days, low, high = (growth[name + end] for end in ("", "_low", "_high"))
    values = {"days": fmt.count(days), "age": fmt.count(growth["horizon_days"])}
    key = "grows" if growth["rate"] > 0 else "halves"
    if days is None:
        return []
    if low is None:
        return [Sentence(f"outlook.{key}_plain", values)]
    if high is None:
        return [Sentence(f"outlook.{key}_open", values | {"low": fmt.count(low)})]
    ends = {"low": fmt.count(low), "high": fmt.count(high)}
    return [Sentence(f"outlook.{key}", values | ends)]


def running_dry(outlook: Numbers) -> list[Sentence]:
    """Say whether later cohorts bring more or fewer people by the same age.

    Parameters
    ----------
    outlook : mapping
        From `selfloop.outputs.report.outlook.outlook_numbers`.

    Returns
    -------
    list of Sentence
        Of the horizon of 90 days; none when it is not known.
    """
    row = next((r for r in outlook["trend"] if r["horizon_days"] == 90), None)
    if row is None or row["ratio_low"] is None:
        return []
    change = "same"
    if row["ratio_low"] > 1:
        change = "more"
    elif row["ratio_high"] < 1:
        change = "less"
    values = {
        "n": fmt.count(row["n_cohorts"]),
        "change": _percent(row["ratio"]),
        "low": _percent(row["ratio_low"]),
        "high": _percent(row["ratio_high"]),
    }
    return [Sentence(f"outlook.cohorts_{change}", values)]


def _percent(ratio: float) -> str:
    """Write a factor as a change in percent with its sign."""
    return f"{100 * (ratio - 1):+.0f} %".replace("-", "\u2212")


def worth(outlook: Numbers, money: Money) -> list[Sentence]:
    """Say what somebody from outside is worth, and how much of it others bring.

    Parameters
    ----------
    outlook : mapping
        From `selfloop.outputs.report.outlook.outlook_numbers`.
    money : Money
        Currency.

    Returns
    -------
    list of Sentence
    """
    row = next(r for r in outlook["value"]["rows"] if r["segment"] == OUTSIDE)
    unit = "visitor" if row["visitor_value"] is not None else "buyer"
    value, low, high = (row[f"{unit}_value{end}"] for end in ("", "_low", "_high"))
    if value is None or low is None or row["share_brought"] is None:
        return []
    days = {"days": fmt.count(row["value_days"]), "value": money.short(value)}
    values = days | {
        "low": money.short(low),
        "share": fmt.share(row["share_brought"]),
    }
    if high is None:
        return [Sentence(f"outlook.worth_{unit}_open", values)]
    return [Sentence(f"outlook.worth_{unit}", values | {"high": money.short(high)})]


def stage(outlook: Numbers, money: Money, *, place: str = "outlook") -> list[Sentence]:
    """Say which stage has most leverage, and the money.

    Parameters
    ----------
    outlook : mapping
        From `selfloop.outputs.report.outlook.outlook_numbers`.
    money : Money
        Currency.
    place : {"outlook", "finding"}
        Where it is said: the finding leaves out the shares, which it has in another
        form.

    Returns
    -------
    list of Sentence
        None when no stage is known to add anything: the lower end is not above 0.
    """
    lever = outlook["leverage"]
    if lever is None or lever["best_stage"] is None:
        return []
    rows = [r for r in lever["rows"] if r["step"] == "+10%"]
    row = next(r for r in rows if r["stage"] == lever["best_stage"])
    if row["revenue_gain_low"] is None or row["revenue_gain_low"] <= 0:
        return []  # it may as well add nothing
    key = "clear" if lever["best_is_clear"] else "close"
    values = {
        "gain": money.short(row["revenue_gain"]),
        "low": money.short(row["revenue_gain_low"]),
        "high": money.short(row["revenue_gain_high"]),
    }
    if row["share"] is not None:
        values |= {
            "now": fmt.share(row["share"]),
            "then": fmt.share(row["share_then"]),
            "days": fmt.count(row["window_days"]),
        }
    return [Sentence(f"{place}.stage_{key}_{row['stage']}", values)]


def ahead(outlook: Numbers, money: Money) -> list[Sentence]:
    """Say what the months to come bring, with ads and without.

    Parameters
    ----------
    outlook : mapping
        From `selfloop.outputs.report.outlook.outlook_numbers`.
    money : Money
        Currency.

    Returns
    -------
    list of Sentence
    """
    found = outlook["ahead"]
    if found is None:
        return []
    totals = {row["scenario"]: row for row in found["totals"]}
    said = []
    for scenario in ("as_is", "no_ads"):
        row = totals.get(scenario)
        if row is None or row["revenue_low"] is None:
            continue
        said.append(Sentence(f"outlook.ahead_{scenario}", {
            "days": fmt.count(row["horizon_days"]),
            "recent": fmt.count(found["recent_days"]),
            "revenue": money.short(row["revenue"]),
            "low": money.short(row["revenue_low"]),
            "high": money.short(row["revenue_high"]),
            "buyers": fmt.count(row["buyers"]),
        }))  # fmt: skip
    jump = _jump(outlook, money) or _rise(totals["as_is"], money)
    return said + _old_customers(found) + jump


def _rise(row: Numbers, money: Money) -> list[Sentence]:
    """Warn of a sum that is far from what as many days brought before."""
    if row["revenue_low"] is None or not row["revenue_before"] > 0:
        return []
    daily = row["revenue_before"] / row["before_days"]
    low, high = (row[f"revenue_{end}"] / row["horizon_days"] for end in ("low", "high"))
    if low < _FAR * daily and high > daily / _FAR:
        return []
    return [Sentence("outlook.rise" if low > daily else "outlook.fall", {
        "before": money.short(daily),
        "days": fmt.count(row["before_days"]),
        "ahead": money.short(row["revenue"] / row["horizon_days"]),
    })]  # fmt: skip


def _old_customers(found: Numbers) -> list[Sentence]:
    """Say that the first buyers are unlike those who came later, where they are."""
    rows = found["cohorts"]
    if not rows or rows[0]["orders_level_low"] is None:
        return []
    level, low = rows[0]["orders_level"], rows[0]["orders_level_low"]
    if level < _MUCH_MORE or low <= 1:
        return []
    return [Sentence("outlook.old_customers", {
        "factor": fmt.number(level), "until": rows[0]["last_day"],
    })]  # fmt: skip


def _jump(outlook: Numbers, money: Money) -> list[Sentence]:
    """Warn of a first month ahead that is far above the last one there was."""
    if outlook["test"] is None:
        return []
    past = [row for row in outlook["test"]["rows"]
            if row["measure"] == "revenue" and row["status"] == "complete"
            and row["month"] != "all"]  # fmt: skip
    months = [row for row in outlook["ahead"]["months"]
              if row["scenario"] == "as_is" and row["status"] == "complete"
              and row["revenue_low"] is not None]  # fmt: skip
    if not past or not months or months[0]["revenue_low"] <= past[-1]["actual"]:
        return []
    return [Sentence("outlook.jump", {
        "month": months[0]["month"],
        "revenue": money.short(months[0]["revenue"]),
        "last": money.short(past[-1]["actual"]),
    })]  # fmt: skip


def tested(outlook: Numbers, money: Money) -> list[Sentence]:
    """Say how the same projection, made earlier, met what has happened.

    Parameters
    ----------
    outlook : mapping
        From `selfloop.outputs.report.outlook.outlook_numbers`.
    money : Money
        Currency.

    Returns
    -------
    list of Sentence
    """
    test = outlook["test"]
    if test is None:
        return []
    row = next(r for r in test["rows"]
               if r["month"] == "all" and r["measure"] == "revenue")  # fmt: skip
    if row["predicted_low"] is None:
        return []
    side = "within" if row["inside"] else "outside"
    return [Sentence(f"outlook.test_{side}", {
        "at": test["at"],
        "days": fmt.count(test["n_days"]),
        "predicted": money.short(row["predicted"]),
        "low": money.short(row["predicted_low"]),
        "high": money.short(row["predicted_high"]),
        "actual": money.short(row["actual"]),
    })]  # fmt: skip
