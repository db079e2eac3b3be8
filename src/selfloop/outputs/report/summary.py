"""The cards of the summary: each key number with what it means, in words."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from markupsafe import Markup

from selfloop.outputs.report import charts
from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.voice import Voice

Numbers = Mapping[str, Any]

_NOTHING = Markup("")


class Card(NamedTuple):
    """One card of the summary.

    Parameters
    ----------
    name : markupsafe.Markup
        What the number is.
    known : bool
        Whether there is a number.
    value : str
        The number, or a dash.
    about : markupsafe.Markup
        Its interval or its denominator, or why it is missing.
    spark : markupsafe.Markup
        A small line, or nothing.
    foot : markupsafe.Markup
        What it means.
    """

    name: Markup
    known: bool
    value: str
    about: Markup
    spark: Markup
    foot: Markup


class _Parts(NamedTuple):
    """The lines of a card below its value."""

    about: Markup
    spark: Markup
    foot: Markup


class _Desk(NamedTuple):
    """What every card is written with."""

    numbers: Numbers
    voice: Voice
    money: Money


def tile(name: Markup, value: str, *, about: Markup, foot: Markup) -> Card:
    """Return a card without a small line; a dash is no number.

    Parameters
    ----------
    name, value, about, foot
        As in `Card`.

    Returns
    -------
    Card
    """
    return Card(name, value != fmt.MISSING, value, about, _NOTHING, foot)


def missing_tile(name: Markup, why: Markup) -> Card:
    """Return a card without a number, and why there is none.

    Parameters
    ----------
    name, why : markupsafe.Markup
        What the number would be, and why it is missing.

    Returns
    -------
    Card
    """
    return tile(name, fmt.MISSING, about=why, foot=_NOTHING)


def cards(numbers: Numbers, voice: Voice, money: Money) -> list[Card]:
    """Return the cards of the summary.

    Parameters
    ----------
    numbers : mapping
        From `selfloop.outputs.report.numbers.report_numbers`.
    voice : Voice
        Languages of the page.
    money : Money
        Currency.

    Returns
    -------
    list of Card
        A missing number is a dash, with the reason below.
    """
    return [_card(card, _Desk(numbers, voice, money)) for card in numbers["kpis"]]


def show(card: Numbers, end: str, money: Money) -> str:
    """Return the value of a card or an end of its interval as people read it.

    Parameters
    ----------
    card : mapping
        One of ``kpis``.
    end : {"value", "low", "high"}
        Which number.
    money : Money
        Currency.

    Returns
    -------
    str
    """
    write = {"count": fmt.count, "share": fmt.share, "number": fmt.number,
             "money": money.short}[card["unit"]]  # fmt: skip
    times = "×" if card["key"] == "gain" and card["value"] is not None else ""
    return f"{times}{write(card[end])}"


def _card(card: Numbers, desk: _Desk) -> Card:
    """Write one card."""
    known = card["value"] is not None
    if known:
        parts = _WRITERS[card["key"]](card, desk)
    else:
        why = desk.voice.say(f"missing.{card['reason']}")
        parts = _Parts(why, _NOTHING, _NOTHING)
    return Card(
        name=desk.voice.head(f"kpi.{card['key']}", days=_days(card)),
        known=known,
        value=show(card, "value", desk.money),
        about=parts.about,
        spark=parts.spark,
        foot=parts.foot,
    )


def _days(card: Numbers) -> str:
    """Return the window or horizon of a card."""
    return fmt.count(card["days"])


def _interval(card: Numbers, desk: _Desk) -> Markup:
    """Write the interval of a card, if it has one."""
    if card["low"] is None or card["high"] is None:
        return _NOTHING
    low, high = (show(card, end, desk.money) for end in ("low", "high"))
    return desk.voice.say("interval", low=low, high=high)


def _with(number: str, words: Markup) -> Markup:
    """Put a number before the words that are said in each language."""
    return Markup("{} {}").format(number, words)


def _buyers(card: Numbers, desk: _Desk) -> _Parts:
    """Say of how many people, how many of the buyers were referred, since when."""
    numbers, voice = desk.numbers, desk.voice
    if card["n"] is None:
        n_purchases = fmt.count(numbers["totals"]["n_purchases"])
        about = _with(n_purchases, voice.say("kpi.buyers.orders"))
    else:
        about = _with(fmt.count(card["n"]), voice.say("kpi.buyers.of"))
    # The first month of a cohort is unfinished only when it is its last one too.
    done = [c for c in numbers["cohorts"]
            if len(c["n_active"]) > 1 or c["last_month"] == "complete"]  # fmt: skip
    line = charts.spark([c["n_people"] for c in done], "conv")
    referred = numbers["social"]["totals"]["share_referred"]
    foot = voice.say("kpi.buyers.foot") if line else _NOTHING
    if referred is not None and "referrals" in numbers["meta"]["has"]:
        foot = _with(fmt.share(referred), voice.say("kpi.buyers.referred"))
    return _Parts(about, line, foot)


def _rate(card: Numbers, desk: _Desk) -> _Parts:
    """Say which form of the rate it is."""
    words = desk.voice.say(f"kpi.form.{card['form']}")
    foot = _with(fmt.count(card["n"]), words)
    return _Parts(_interval(card, desk), _NOTHING, foot)


def _r(card: Numbers, desk: _Desk) -> _Parts:
    """Say to which age R counts, and draw it by age."""
    line = charts.spark([row["r"] for row in desk.numbers["loop"]["curve"]], "ref")
    foot = desk.voice.say("kpi.r.foot", days=_days(card))
    return _Parts(_interval(card, desk), line, foot)


def _gain(card: Numbers, desk: _Desk) -> _Parts:
    """Say what the gain counts."""
    return _Parts(_interval(card, desk), _NOTHING, desk.voice.say("kpi.gain.foot"))


def _circulation(card: Numbers, desk: _Desk) -> _Parts:
    """Put R beside the share."""
    numbers, voice = desk.numbers, desk.voice
    months = numbers["loop"]["months"]
    done = [row["share_orders"] for row in months if row["status"] == "complete"]
    r = next(other for other in numbers["kpis"] if other["key"] == "r")
    return _Parts(
        _with(fmt.count(card["n"]), voice.say("kpi.circulation.of")),
        charts.spark(done, "rep"),
        voice.say("kpi.circulation.foot", r=show(r, "value", desk.money)),
    )


def _lifetime(card: Numbers, desk: _Desk) -> _Parts:
    """Say what is counted."""
    foot = desk.voice.say("kpi.lifetime.foot", days=_days(card))
    return _Parts(_interval(card, desk), _NOTHING, foot)


def _social(_card: Numbers, desk: _Desk) -> _Parts:
    """Say how much of all revenue it is; the ledger adds up, so this may be said."""
    social, voice = desk.numbers["social"], desk.voice
    words = voice.say("kpi.social.of", revenue=desk.money.short(
        social["totals"]["revenue"]))  # fmt: skip
    about = _with(desk.money.short(social["totals"]["social_value"]), words)
    foot = voice.each("kpi.social.foot", rule=f"rule.{social['rule']}")
    return _Parts(about, _NOTHING, foot)


_WRITERS: dict[str, Callable[[Numbers, _Desk], _Parts]] = {
    "buyers": _buyers,
    "conversion": _rate,
    "repurchase": _rate,
    "r": _r,
    "gain": _gain,
    "circulation": _circulation,
    "lifetime": _lifetime,
    "social": _social,
}
