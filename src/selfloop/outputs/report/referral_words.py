"""Sentences about referrals that are true of whatever their numbers are."""

from collections.abc import Mapping
from typing import Any

from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.sentence import Sentence

Numbers = Mapping[str, Any]

MOST = 0.5
"""Share of all referrals by the top tenth from which on few bring most."""

SIGNIFICANT = 0.05
"""A difference is called one when its adjusted p value is below this."""


def expected(referral: Numbers, money: Money) -> list[Sentence]:
    """Say whom all buyers are going to bring, and how few bring how many.

    Parameters
    ----------
    referral : mapping
        From `selfloop.outputs.report.referral.referral_numbers`.
    money : Money
        Currency.

    Returns
    -------
    list of Sentence
        The first is missing where nothing can be said; `why_not` says why.
    """
    said = []
    ahead = referral["ahead"]
    total = ahead["total"] if ahead else None
    if total:
        values = {
            "n": fmt.count(total["n_people"]),
            "days": fmt.count(total["horizon_days"]),
            "referrals": fmt.count(total["referrals"]),
        }
        if total["value"] is None:
            said.append(Sentence("ahead.all_count", values))
        else:
            days = fmt.count(ahead["worth"]["value_days"])
            worth = {"value": money.short(total["value"]), "value_days": days}
            said.append(Sentence("ahead.all", values | worth))
    few = referral["concentration"][0] if referral["concentration"] else None
    if few and few["share_top_10"] is not None:
        share = few["share_top_10"]
        key = "ahead.few" if share >= MOST else "ahead.many"
        said.append(Sentence(key, {"share": fmt.share(share)}))
    return said


def tested(referral: Numbers) -> list[Sentence]:
    """Say how the same method predicted what has happened.

    Parameters
    ----------
    referral : mapping
        From `selfloop.outputs.report.referral.referral_numbers`.

    Returns
    -------
    list of Sentence
        None without a test.
    """
    test = referral["ahead"]["backtest"] if referral["ahead"] else None
    if test is None or test["predicted"] is None:
        return []
    values = {
        "at": test["at"],
        "days": fmt.count(test["horizon_days"]),
        "predicted": fmt.count(test["predicted"]),
        "actual": fmt.count(test["actual"]),
    }
    low, high = test["low"], test["high"]
    if low is None or high is None:
        said = [Sentence("ahead.test_plain", values)]
    else:
        side = "within" if low <= test["actual"] <= high else "outside"
        ends = {"low": fmt.count(low), "high": fmt.count(high)}
        said = [Sentence(f"ahead.test_{side}", values | ends)]
    tops = {row["method"]: row["share_top_tenth"] for row in test["scores"]}
    model, past = tops.get("model"), tops.get("past count")
    if model is not None and past is not None:
        shares = {"share": fmt.share(model), "past": fmt.share(past)}
        said.append(Sentence("ahead.gain", shares))
    return said


def kinds(grid: Numbers, money: Money) -> list[Sentence]:
    """Say where the lines of the grid are, and who is worth more for others.

    Parameters
    ----------
    grid : mapping
        ``referral["grid"]``.
    money : Money
        Currency.

    Returns
    -------
    list of Sentence
    """
    values = {
        "own": money.short(grid["own_cut"]),
        "social": money.short(grid["social_cut"]),
        "n": fmt.count(grid["n_more_for_others"]),
        "value": money.short(grid["social_value_of_those"]),
    }
    return [Sentence("grid.lead", values)]


def along_links(compared: Numbers) -> list[Sentence]:
    """Say what goes along links, where more than chance does.

    Parameters
    ----------
    compared : mapping
        ``referral["compared"]``.

    Returns
    -------
    list of Sentence
    """
    said = []
    p_value = compared["hazard_p_value"]
    if p_value is not None and p_value < SIGNIFICANT:
        said.append(Sentence("compare.hazard", {
            "ratio": fmt.number(compared["hazard_ratio"]),
            "low": fmt.number(compared["hazard_ratio_low"]),
            "high": fmt.number(compared["hazard_ratio_high"]),
            "days": fmt.count(compared["lapse_days"]),
        }))  # fmt: skip
    for row in compared["clustering"]:
        if is_clear(row) and row["difference_low"] > 0:
            said.append(Sentence(f"compare.links_{row['outcome']}", {
                "one": fmt.share(row["share_with"]),
                "other": fmt.share(row["share_without"]),
            }))  # fmt: skip
    return said


def is_clear(row: Numbers) -> bool:
    """Say whether a difference is more than chance makes of so many comparisons.

    Parameters
    ----------
    row : mapping
        With p_adjusted and the ends of an interval.

    Returns
    -------
    bool
    """
    p_value = row["p_adjusted"]
    known = p_value is not None and row["difference_low"] is not None
    return bool(known and p_value < SIGNIFICANT)
