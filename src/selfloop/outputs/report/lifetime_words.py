"""Sentences about a lifetime model that are true of whatever its numbers are."""

from collections.abc import Mapping, Sequence
from typing import Any

from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.sentence import Sentence

Numbers = Mapping[str, Any]

MODEL_NAME = "{purchases} + Gamma-Gamma"
"""What purchases and spend are modelled by, where both are."""

_NAIVE = "last period"
_ENDS = ("low", "high")


def model_name(lifetime: Numbers) -> str:
    """Return the name of the model of purchases, with that of spend if there is one.

    Parameters
    ----------
    lifetime : mapping
        From `selfloop.outputs.report.lifetime.lifetime_numbers`, with a model.

    Returns
    -------
    str
    """
    label: str = lifetime["label"]
    return label if lifetime["spend"] is None else MODEL_NAME.format(purchases=label)


def expected(lifetime: Numbers, money: Money) -> list[Sentence]:
    """Say what all buyers, and a new one, are going to bring.

    Parameters
    ----------
    lifetime : mapping
        From `selfloop.outputs.report.lifetime.lifetime_numbers`, with a model.
    money : Money
        Currency.

    Returns
    -------
    list of Sentence
        Without money where there is no spend model.
    """
    total, new = lifetime["total"], lifetime["new_customer"]
    days = fmt.count(total["horizon_days"])
    all_of_them = {
        "n": fmt.count(total["n_people"]),
        "days": days,
        "purchases": fmt.count(total["purchases"]),
    }
    one = {"days": days, "purchases": fmt.number(new["purchases"])}
    if total["value"] is None:
        return [
            Sentence("forecast.all_count", all_of_them),
            Sentence("forecast.one_count", one),
        ]
    return [
        Sentence("forecast.all", all_of_them | {"value": money.short(total["value"])}),
        Sentence("forecast.one", one | {"value": money.short(new["value"])}),
    ]


def backtested(lifetime: Numbers, money: Money) -> list[Sentence]:
    """Say how the model predicted what has happened, and a naive method beside it.

    Parameters
    ----------
    lifetime : mapping
        From `selfloop.outputs.report.lifetime.lifetime_numbers`.
    money : Money
        Currency.

    Returns
    -------
    list of Sentence
        None without a backtest.

    Notes
    -----
    When the naive method came closer to the total, that is said.
    """
    test = lifetime["backtest"]
    if test is None:
        return []
    model = score(test, "purchases", test["label"])
    assert model is not None  # purchases are always predicted
    values = {
        "at": test["at"],
        "days": fmt.count(test["horizon_days"]),
        "predicted": fmt.count(model["predicted"]),
        "actual": fmt.count(model["actual"]),
    }
    error = model["error"]
    if error is None:
        return [Sentence("backtest.none", values)]
    said = [Sentence(f"backtest.{_side(error)}", values | {"error": _size(error)})]
    inside = _inside(test, "purchases")
    if inside is not None:
        ends = {end: fmt.count(test["total"][f"purchases_{end}"]) for end in _ENDS}
        said.append(Sentence(f"backtest.{'within' if inside else 'outside'}", ends))
    naive = score(test, "purchases", _NAIVE)
    if naive and naive["error"] is not None:
        off = {"error": _size(naive["error"])}
        said.append(Sentence("backtest.naive", off))
        if abs(naive["error"]) < abs(error):
            said.append(Sentence("backtest.worse", {}))
    worth = score(test, "value", test["label"])
    if worth and worth["error"] is not None:
        amounts = {name: money.short(worth[name]) for name in ("predicted", "actual")}
        off = amounts | {"error": _size(worth["error"])}
        said.append(Sentence(f"backtest.value_{_side(worth['error'])}", off))
    return said


def chosen(lifetime: Numbers) -> list[Sentence]:
    """Say which model of purchases was chosen, and why.

    Parameters
    ----------
    lifetime : mapping
        From `selfloop.outputs.report.lifetime.lifetime_numbers`, with a model.

    Returns
    -------
    list of Sentence
    """
    label, choice = {"label": lifetime["label"]}, lifetime["choice"]
    if choice is None:
        return [Sentence("choice.asked", label)]
    others = [
        row
        for row in choice["models"]
        if row["role"] == "candidate" and row["aic_above_best"] is not None
    ]
    if not others:
        return [Sentence("choice.only", label)]
    other = min(others, key=lambda row: row["aic_above_best"])
    values = {"other": other["label"], "ahead": f"{other['aic_above_best']:,.1f}"}
    return [Sentence("choice.best", label | values), *_better_since(choice, others)]


def _better_since(choice: Numbers, others: Sequence[Numbers]) -> list[Sentence]:
    """Say when another candidate predicted the holdout better than the chosen model."""
    column = "holdout_log_score"
    own = next(r[column] for r in choice["models"] if r["model"] == choice["chosen"])
    scored = [row for row in others if row[column] is not None]
    if own is None or not scored:
        return []
    best = max(scored, key=lambda row: row[column])
    values = {"best": log_score(best[column]), "own": log_score(own)}
    # What reads the same is no difference.
    if best[column] <= own or values["best"] == values["own"]:
        return []
    return [Sentence("choice.other_since", values | {"other": best["label"]})]


def cautions(lifetime: Numbers, money: Money) -> list[list[Sentence]]:
    """Say what a reader of expected values must know: one note for each matter.

    Parameters
    ----------
    lifetime : mapping
        From `selfloop.outputs.report.lifetime.lifetime_numbers`, with a model.
    money : Money
        Currency.

    Returns
    -------
    list of list of Sentence
        A past that lay outside the interval, spend that goes with frequency,
        parameters that the data do not determine, refunds outside purchases; empty
        when there is nothing to say.
    """
    notes = []
    outside = _outside(lifetime["backtest"], money)
    if outside:
        notes.append(outside)
    verdict = independence(lifetime, calm=False)
    if verdict:
        notes.append(verdict)
    if lifetime["at_bound"]:
        names = {"names": ", ".join(lifetime["at_bound"])}
        notes.append([Sentence("caution.at_bound", names)])
    if lifetime["share_kept"] is not None and lifetime["share_kept"] < 1:
        kept = {"share": fmt.share(lifetime["share_kept"])}
        notes.append([Sentence("caution.share_kept", kept)])
    return notes


def independence(lifetime: Numbers, *, calm: bool) -> list[Sentence]:
    """Say whether spend goes with frequency, what that costs, and what to do.

    Parameters
    ----------
    lifetime : mapping
        From `selfloop.outputs.report.lifetime.lifetime_numbers`, with a model.
    calm : bool
        Whether to speak when spend does not go with frequency, or when it does.

    Returns
    -------
    list of Sentence
        None in the other case, or when it was not checked.
    """
    check = lifetime["spend"] and lifetime["spend"]["independence"]
    if not check or check["correlation"] is None:
        return []
    verdict = check["verdict"]
    if (verdict in ("unknown", "independent")) is not calm:
        return []
    values = {
        "r": _signed(check["correlation"]),
        "low": _signed(check["correlation_low"]),
        "high": _signed(check["correlation_high"]),
    }
    if calm:
        return [Sentence(f"spend.{verdict}", values)]
    side = "more" if check["correlation"] > 0 else "less"
    cost = _cost(check["groups"])
    return [Sentence(f"spend.{side}", values), *cost, Sentence(f"spend.{verdict}", {})]


def _cost(groups: Sequence[Numbers]) -> list[Sentence]:
    """Say by how much the spend of those with the fewest purchases is misjudged."""
    first = groups[0] if groups else None
    if first is None or not first["bias"]:
        return []
    x = str(first["x_low"])
    if first["x_high"] != first["x_low"]:
        x += f"–{first['x_high']}"
    side = "above" if first["bias"] > 0 else "below"
    return [Sentence(f"spend.{side}", {"x": x, "bias": _size(first["bias"])})]


def score(test: Numbers, measure: str, method: str) -> Numbers | None:
    """Return how one method predicted purchases or value.

    Parameters
    ----------
    test : mapping
        ``backtest`` of the numbers.
    measure : {"purchases", "value"}
        What was predicted.
    method : str
        Label of the model, or name of a baseline.

    Returns
    -------
    mapping or None
        None when it was not scored.
    """
    rows: Sequence[Numbers] = test["scores"]
    return next(
        (r for r in rows if (r["measure"], r["method"]) == (measure, method)), None
    )


def aic(value: float | None) -> str:
    """Return a difference of AIC with one digit.

    Parameters
    ----------
    value : float or None
        AIC less that of the chosen model.

    Returns
    -------
    str

    Examples
    --------
    >>> aic(116.24), aic(-61.66), aic(0.0), aic(None)
    ('+116.2', '−61.7', '0', '–')
    """
    if value is None:
        return fmt.MISSING
    if value == 0:
        return "0"
    return f"{'+' if value > 0 else '−'}{abs(value):,.1f}"


def log_score(value: float | None) -> str:
    """Return a log score with three digits.

    Parameters
    ----------
    value : float or None
        Mean log of a probability.

    Returns
    -------
    str

    Examples
    --------
    >>> log_score(-1.66812), log_score(None)
    ('−1.668', '–')
    """
    return fmt.MISSING if value is None else f"{value:.3f}".replace("-", "−")


def _inside(test: Numbers, measure: str) -> bool | None:
    """Say whether what happened lay inside the interval; None without either."""
    row = score(test, measure, test["label"])
    low, high = (test["total"][f"{measure}_{end}"] for end in _ENDS)
    if row is None or row["actual"] is None or low is None or high is None:
        return None
    return bool(low <= row["actual"] <= high)


def _outside(test: Numbers | None, money: Money) -> list[Sentence]:
    """Say that what happened lay outside the interval, if it did."""
    for measure, write in (("purchases", fmt.count), ("value", money.short)):
        if test is not None and _inside(test, measure) is False:
            row = score(test, measure, test["label"])
            assert row is not None
            values = {end: write(test["total"][f"{measure}_{end}"]) for end in _ENDS}
            values["actual"] = write(row["actual"])
            return [Sentence(f"caution.outside_{measure}", values)]
    return []


def signed_share(value: float | None) -> str:
    """Return an error as percent with its sign.

    Parameters
    ----------
    value : float or None
        A fraction of 1.

    Returns
    -------
    str

    Examples
    --------
    >>> signed_share(0.0162), signed_share(-0.4), signed_share(0.0), signed_share(None)
    ('+1.6%', '−40.0%', '0.0%', '–')
    """
    if value is None:
        return fmt.MISSING
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return sign + fmt.share(abs(value))


def _side(error: float) -> str:
    """Say on which side of what happened a prediction lies."""
    return "many" if error > 0 else "few" if error < 0 else "even"


def _size(error: float) -> str:
    """Return the size of an error as percent."""
    return fmt.share(abs(error))


def _signed(value: float | None) -> str:
    """Return a correlation with two digits and a minus that is as wide as a plus."""
    return fmt.MISSING if value is None else f"{value:.2f}".replace("-", "−")
