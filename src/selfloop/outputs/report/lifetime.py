"""What a report says of a lifetime model: parameters, choice, forecast, backtest."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from selfloop.outputs.report.plain import plain, records

if TYPE_CHECKING:
    from selfloop.kernels.independence import Independence
    from selfloop.measures.lifetime.backtest import Backtest
    from selfloop.measures.lifetime.compare import ModelComparison
    from selfloop.measures.lifetime.parts import SpendModel
    from selfloop.measures.lifetime.result import LifetimeModel

Numbers = Mapping[str, Any]

_DIGITS = 6  # of the weeks and the calibration: a page has hundreds of them


def lifetime_numbers(
    model: "LifetimeModel | None",
    test: "Backtest | None",
    *,
    horizon_days: float,
    discount_rate: float = 0.0,
    why_no_backtest: str = "",
) -> dict[str, Any]:
    """Select what a report says of a lifetime model, as plain values.

    Parameters
    ----------
    model : LifetimeModel or None
        The fitted model, if there is one.
    test : Backtest or None
        How it predicted what has happened, if that was tried.
    horizon_days : float
        Days to come of the forecast.
    discount_rate : float, optional
        Annual rate by which money to come is discounted.
    why_no_backtest : str, optional
        Why `test` is None.

    Returns
    -------
    dict
        ``model``, ``label``, ``unit_days``, ``n_people``, ``n_repeat_purchases``,
        ``log_likelihood``, ``at_bound``, ``parameters``, ``spend``, ``spend_reason``,
        ``share_kept``, ``new_customer``, ``total``, ``choice``, ``backtest`` and
        ``backtest_reason``; all of them ``None``, or empty, without a model.
    """
    tested = {
        "backtest": None if test is None else _backtest(test),
        "backtest_reason": why_no_backtest,
    }
    if model is None:
        names = ("model", "label", "unit_days", "n_people", "n_repeat_purchases",
                 "log_likelihood", "spend", "share_kept", "new_customer", "total",
                 "choice")  # fmt: skip
        empty: dict[str, Any] = {"at_bound": [], "parameters": [], "spend_reason": ""}
        return dict.fromkeys(names) | empty | tested
    new = model.expected_new_customer(horizon_days, discount_rate=discount_rate)
    total = model.total(horizon_days, discount_rate=discount_rate)
    ahead = {"horizon_days": horizon_days, "discount_rate": discount_rate}
    spend = model.spend
    bounds = (*model.at_bound, *(spend.at_bound if spend else ()))
    return {
        "model": model.model,
        "label": model.label,
        "unit_days": plain(model.unit_days),
        "n_people": plain(model.n_people),
        "n_repeat_purchases": plain(model.n_repeat_purchases),
        "log_likelihood": plain(model.log_likelihood),
        "at_bound": list(bounds),
        "parameters": records(model.summary()),
        "spend": None if spend is None else _spend(spend),
        "spend_reason": model.spend_reason,
        "share_kept": plain(model.share_kept),
        "new_customer": _tuple(new) | ahead,
        "total": _tuple(total) | ahead,
        "choice": None if model.choice is None else _choice(model.choice),
        **tested,
    }


def _tuple(found: Any) -> dict[str, Any]:  # noqa: ANN401 - any named tuple
    """Return a named tuple of numbers as plain values."""
    return {name: plain(value) for name, value in found._asdict().items()}


def _spend(spend: "SpendModel") -> dict[str, Any]:
    """Return what is known of the value of a purchase, and of its assumption."""
    check = spend.independence
    return {
        "n_people": plain(spend.n_people),
        "mean_order_value": plain(spend.mean_order_value),
        "independence": None if check is None else _independence(check),
    }


def _independence(check: "Independence") -> dict[str, Any]:
    """Return how spend goes with frequency, and what that costs."""
    groups = pd.DataFrame(check.groups._asdict()).astype({"n_people": np.int64})
    return {
        "verdict": check.verdict,
        "n_people": int(check.raw.n_people),
        **{f"correlation{end}": plain(getattr(check.beyond_model, name))
           for end, name in (("", "value"), ("_low", "low"), ("_high", "high"))},
        "groups": records(groups),
    }  # fmt: skip


def _choice(choice: "ModelComparison") -> dict[str, Any]:
    """Return the models side by side, and why one was chosen."""
    cut = choice.cut
    return {
        "chosen": choice.chosen,
        "reason": choice.reason,
        "at": None if cut is None else plain(cut.at, "date"),
        "horizon_days": None if cut is None else cut.horizon_days,
        "holdout_reason": choice.holdout_reason,
        "models": records(choice.table, "model_comparison"),
    }


def _backtest(test: "Backtest") -> dict[str, Any]:
    """Return how the model predicted what has happened since the cut."""
    return {
        "model": test.model.model,
        "label": test.model.label,
        "start": plain(test.model.start, "date"),
        "at": plain(test.at, "date"),
        "horizon_days": test.horizon_days,
        "n_people": plain(test.n_people),
        "total": _tuple(test.model.total(test.horizon_days)),
        "scores": records(test.scores, "backtest_scores"),
        "deciles": records(_rounded(test.deciles), "backtest_deciles"),
        "weeks": records(_rounded(test.weeks), "backtest_weeks"),
        "frequencies": records(_rounded(test.frequencies), "backtest_frequencies"),
    }


def _rounded(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep six digits of numbers that are not whole."""
    rounded = {
        str(name): [float(f"{value:.{_DIGITS}g}") for value in frame[name]]
        for name in frame.select_dtypes(include=np.floating)
    }
    return frame.assign(**rounded)
