"""The eight key numbers, each with its interval or with why it is missing."""

from collections.abc import Mapping, Sequence
from typing import Any

Numbers = Mapping[str, Any]

HEADLINE_DAYS = (90, 30)
"""Windows of the headline rates; the second where the first is not there yet."""


def cards(numbers: Numbers) -> list[dict[str, Any]]:
    """Select the key numbers.

    Parameters
    ----------
    numbers : mapping
        The other parts of `selfloop.outputs.report.numbers.report_numbers`.

    Returns
    -------
    list of dict
        ``key``, ``value``, ``low``, ``high``, ``unit`` (count, share, number or
        money), ``days`` (window or horizon), ``n`` (people or orders behind it),
        ``form`` (``matured`` or ``within`` for a rate) and ``reason`` (code of why
        the value is missing; ``""`` when it is not).
    """
    r = _r(numbers)
    return [
        _buyers(numbers),
        _rate(numbers, "conversion"),
        _rate(numbers, "repurchase"),
        r,
        _gain(numbers, r),
        _circulation(numbers, r),
        _lifetime(numbers),
        _social(numbers),
    ]


def headline(rows: Sequence[Numbers], stage: str) -> dict[str, Any]:
    """Choose the headline rate of a stage.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of `selfloop.core.schema.FUNNEL_WINDOWS` of one segment.
    stage : str
        ``conversion``, ``repurchase`` or ``referral``.

    Returns
    -------
    dict
        ``value``, ``low``, ``high``, ``days``, ``n``, ``n_reached`` and ``form``:
        ``matured`` where enough people are observed for the window, else
        ``within`` (Kaplan-Meier); a value of ``None`` where there is neither.
    """
    by_days = {row["window_days"]: row for row in rows if row["stage"] == stage}
    for form, n in (("matured", "n_matured"), ("within", "n_entered")):
        for days in HEADLINE_DAYS:
            row = by_days.get(days)
            if row is not None and row[f"share_{form}"] is not None:
                return {
                    "value": row[f"share_{form}"],
                    "low": row[f"share_{form}_low"],
                    "high": row[f"share_{form}_high"],
                    "days": days,
                    "n": row[n],
                    "n_reached": row["n_matured_reached"],
                    "form": form,
                }
    empty = dict.fromkeys(("value", "low", "high", "n", "n_reached"))
    return empty | {"days": HEADLINE_DAYS[0], "form": "matured"}


def _card(
    key: str, unit: str, found: Mapping[str, Any], reason: str = ""
) -> dict[str, Any]:
    """Return a card; a reason only where the value is missing."""
    parts = ("value", "low", "high", "days", "n", "form")
    card = {"key": key, "unit": unit} | {part: found.get(part) for part in parts}
    return card | {"reason": reason if card["value"] is None else ""}


def _stage(numbers: Numbers, stage: str, column: str) -> Any:  # noqa: ANN401
    """Return one number of a stage of the funnel; None without the stage."""
    rows = numbers["funnel"]["stages"]
    return next((row[column] for row in rows if row["stage"] == stage), None)


def _buyers(numbers: Numbers) -> dict[str, Any]:
    """Return how many bought, of how many who came."""
    n = _stage(numbers, "traffic", "n_reached")
    return _card("buyers", "count", {"value": numbers["totals"]["n_buyers"], "n": n})


def _rate(numbers: Numbers, stage: str) -> dict[str, Any]:
    """Return the headline rate of a stage."""
    missing = "young"
    if stage == "conversion" and "visits" not in numbers["meta"]["has"]:
        missing = "no_visits"
    found = headline(numbers["funnel"]["windows"], stage)
    return _card(stage, "share", found, missing)


def _r(numbers: Numbers) -> dict[str, Any]:
    """Return R at the longest horizon that the data reach."""
    if "referrals" not in numbers["meta"]["has"]:
        return _card("r", "number", {"days": HEADLINE_DAYS[0]}, "no_referrals")
    loop = numbers["loop"]
    known = (row for row in loop["reproduction"] if row["r"] is not None)
    row = next((x for x in known if x["horizon_days"] == loop["horizon_days"]), None)
    if row is None:
        return _card("r", "number", {"days": HEADLINE_DAYS[0]}, "young")
    found = {
        "value": row["r"],
        "low": row["r_low"],
        "high": row["r_high"],
        "days": row["horizon_days"],
        "n": row["n_observed"],
    }
    return _card("r", "number", found)


def _gain(numbers: Numbers, r: Mapping[str, Any]) -> dict[str, Any]:
    """Return what one buyer from outside becomes; only where R is surely below 1."""
    loop = numbers["loop"]
    below = r["high"] is not None and r["high"] < 1
    found = {
        "value": loop["multiplier"] if below else None,
        "low": loop["multiplier_low"] if below else None,
        "high": loop["multiplier_high"] if below else None,
        "days": r["days"],
    }
    return _card("gain", "number", found, r["reason"] or "not_below_one")


def _circulation(numbers: Numbers, r: Mapping[str, Any]) -> dict[str, Any]:
    """Return the self-circulation share; never without R beside it."""
    known = r["value"] is not None
    found = {
        "value": numbers["loop"]["share_orders"] if known else None,
        "n": numbers["totals"].get("n_purchases"),
    }
    return _card("circulation", "share", found, "young" if known else "needs_r")


def _lifetime(numbers: Numbers) -> dict[str, Any]:
    """Return what a buyer is worth, to date and within the horizon."""
    lifetime = numbers["lifetime"]
    rows = (row for row in lifetime["by_source"] if row["source"] == "all")
    row: Numbers = next(rows, {})
    found = {
        "value": row.get("lifetime_value_per_buyer"),
        "low": row.get("low"),
        "high": row.get("high"),
        "days": numbers["meta"]["horizon_days"],
        "n": row.get("n_buyers"),
    }
    missing = "no_model" if lifetime["model"] is None else "no_spend_model"
    return _card("lifetime", "money", found, missing)


def _social(numbers: Numbers) -> dict[str, Any]:
    """Return the spending per buyer credited to those who brought the buyers."""
    if "referrals" not in numbers["meta"]["has"]:
        return _card("social", "money", {}, "no_referrals")
    totals = numbers["social"]["totals"]
    found = {"value": totals["social_per_buyer"], "n": totals["n_buyers"]}
    return _card("social", "money", found, "no_buyers")
