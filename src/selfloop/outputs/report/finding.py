"""The finding: one to five sentences that are true of whatever the numbers are."""

from collections.abc import Mapping
from typing import Any

from selfloop.outputs.report.formats import Money, count, number, per_hundred, share
from selfloop.outputs.report.outlook_words import stage
from selfloop.outputs.report.sentence import Sentence

Numbers = Mapping[str, Any]


def finding(numbers: Numbers) -> list[Sentence]:
    """Choose the sentences that answer whether the business feeds itself.

    Parameters
    ----------
    numbers : mapping
        From `selfloop.outputs.report.numbers.report_numbers`; its ``kpis``, ``meta``
        and ``outlook`` are read.

    Returns
    -------
    list of Sentence
        Conversion; repurchase; what a buyer brings, with what it means for the
        loop; self-circulation, only beside R; the stage with most leverage, where it
        is known. One sentence when nobody bought.

    Notes
    -----
    "Sustains itself" is said only when the lower end of R is at least 1, the gain
    only when its upper end is below 1. A number that is missing is said to be
    missing, and why; none is replaced.
    """
    cards = {card["key"]: card for card in numbers["kpis"]}
    if not cards["buyers"]["value"]:
        return [Sentence("finding.nobody", {})]
    said = [
        _conversion(cards, numbers["meta"]["has"]),
        _rate("repurchase", cards["repurchase"]),
        _loop(cards, numbers["meta"]["has"]),
    ]
    circulation = cards["circulation"]["value"]
    if circulation is not None and cards["r"]["value"] is not None:
        said.append(Sentence("finding.circulation", {"share": share(circulation)}))
    money = Money(numbers["meta"]["currency"])
    return said + stage(numbers["outlook"], money, place="finding")


def _conversion(cards: Mapping[str, Any], has: list[str]) -> Sentence:
    """Say how many of those who come buy."""
    buyers = cards["buyers"]
    if "visits" not in has:
        return Sentence("finding.no_visits", {"buyers": count(buyers["value"])})
    if cards["conversion"]["value"] is None:
        values = {"n": count(buyers["n"]), "buyers": count(buyers["value"])}
        return Sentence("finding.conversion_young", values)
    return _rate("conversion", cards["conversion"])


def _rate(stage: str, card: Mapping[str, Any]) -> Sentence:
    """Say a rate within a window in the form that is there."""
    if card["value"] is None:
        return Sentence(f"finding.{stage}_young", {})
    values = {"share": share(card["value"]), "days": count(card["days"])}
    if card["form"] == "matured":
        return Sentence(f"finding.{stage}", values | {"n": count(card["n"])})
    return Sentence(f"finding.{stage}_within", values)


def _loop(cards: Mapping[str, Any], has: list[str]) -> Sentence:
    """Say what a buyer brings and whether the loop carries itself."""
    if "referrals" not in has:
        return Sentence("finding.no_referrals", {})
    r, low, high = (cards["r"][end] for end in ("value", "low", "high"))
    if r is None:
        return Sentence("finding.r_young", {})
    values = {"r": per_hundred(r), "days": count(cards["r"]["days"])}
    if low is None or high is None:
        return Sentence("finding.no_interval", values)
    values |= {"low": per_hundred(low), "high": per_hundred(high)}
    if low < 1 <= high:
        return Sentence("finding.unsure", values)
    if low >= 1:
        return Sentence("finding.sustains", values)
    gain = cards["gain"]
    ends = {"value": "gain", "low": "gain_low", "high": "gain_high"}
    values |= {name: number(gain[end]) for end, name in ends.items()}
    return Sentence("finding.fades", values)
