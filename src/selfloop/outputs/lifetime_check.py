"""What may be wrong with a lifetime model that comes from a file."""

from typing import get_args
from zoneinfo import available_timezones

import numpy as np

from selfloop.core.settings import Purchase, ZeroOrders
from selfloop.kernels.gamma_gamma import GammaGamma, has_mean
from selfloop.kernels.rows import FloatArray
from selfloop.measures.lifetime.design import Covariate
from selfloop.measures.lifetime.parts import SpendModel
from selfloop.measures.lifetime.result import PROCESSES, LifetimeModel

_COUNTS = ("n_people", "n_repeat_buyers", "n_repeat_purchases", "n_distinct")
_NUMBERS = ("log_likelihood", "aic", "bic", "gradient", "share_kept")
_TEXTS = ("model", "engine", "spend_reason", "library_version")


def what_is_wrong(model: LifetimeModel) -> list[str]:
    """List what a model cannot be, so that no prediction is made of it.

    Parameters
    ----------
    model : LifetimeModel
        As it stands in a file; all its numbers are finite.

    Returns
    -------
    list of str
        Empty when everything fits together.
    """
    wrong = _wrong_values(model)
    if wrong:
        return wrong  # the rest builds on them
    terms = [term for c in model.covariates for term in c.terms]
    names = [f"{PROCESSES[0]}: {term}" for term in terms]
    if model.kernel.dropout is not None:
        names += [f"{PROCESSES[1]}: {term}" for term in terms]
    wrong = _wrong_part("", model, model.kernel.parameters, names)
    if model.spend is not None:
        names = [f"{PROCESSES[2]}: {term}" for term in terms]
        if not model.spend.coefficients:
            names = []
        wrong += _wrong_part("spend ", model.spend, GammaGamma._fields, names)
        if not wrong and not has_mean(model.spend.kernel):
            wrong.append(
                f"the mean spend does not exist (q = {model.spend.kernel.q:g})"
            )
        if not model.share_kept > 0:
            wrong.append(f"share_kept is {model.share_kept:g}, not above 0")
    return wrong


def _wrong_values(model: LifetimeModel) -> list[str]:
    """List plain values that are of another kind or outside their range."""
    wrong = [name for name in _COUNTS if not _is_count(getattr(model, name))]
    wrong += [name for name in _NUMBERS if not _is_number(getattr(model, name))]
    wrong += [name for name in _TEXTS if not isinstance(getattr(model, name), str)]
    ranges = {
        "unit_days": _is_number(model.unit_days) and model.unit_days > 0,
        "penalty": _is_number(model.penalty) and model.penalty >= 0,
        "settings": _is_numbers(model.settings, low=0),
        "params": _is_numbers(model.params, low=0),
        "standard_errors": _is_numbers(model.standard_errors),
        "coefficients": _is_numbers(model.coefficients),
        "covariates": all(_is_covariate(c) for c in model.covariates),
        "timezone": model.timezone in available_timezones(),
        "purchase": model.purchase in get_args(Purchase),
        "zero_orders": model.zero_orders in get_args(ZeroOrders),
        "currency": model.currency is None or isinstance(model.currency, str),
        "start and end": model.start <= model.end,
    }
    if model.spend is not None:
        ranges |= {
            "spend params": _is_numbers(model.spend.params, low=0),
            "spend standard_errors": _is_numbers(model.spend.standard_errors),
            "spend coefficients": _is_numbers(model.spend.coefficients),
            "spend n_people": _is_count(model.spend.n_people),
            "spend log_likelihood": _is_number(model.spend.log_likelihood),
        }
    wrong += [name for name, is_right in ranges.items() if not is_right]
    return [f"{name} is not what it can be" for name in wrong]


def _wrong_part(
    what: str,
    part: LifetimeModel | SpendModel,
    parameters: tuple[str, ...],
    coefficients: list[str],
) -> list[str]:
    """List what does not fit together in the fit of purchases, or of spend."""
    if tuple(part.params) != parameters:
        return [f"{what}parameters are {list(part.params)}, not {list(parameters)}"]
    if list(part.coefficients) != coefficients:
        return [f"{what}coefficients do not go with the covariates"]
    names = {*parameters, *coefficients}
    if not set(part.at_bound) <= names:
        return [f"{what}at_bound names other things than parameters"]
    if part.covariance is None:
        return []
    if not _is_covariance(part.covariance, part.values.size):
        return [f"{what}covariance is none of {part.values.size} numbers"]
    return []


def _is_covariance(matrix: FloatArray, n: int) -> bool:
    """Say whether a matrix can be the covariance of n numbers."""
    return bool(
        matrix.shape == (n, n)
        and np.allclose(matrix, matrix.T)
        and (np.diag(matrix) >= 0).all()
    )


def _is_number(value: object) -> bool:
    """Say whether a value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    """Say whether a value is a whole number, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_numbers(values: object, *, low: float | None = None) -> bool:
    """Say whether values are numbers by name, above `low` if that is given."""
    return isinstance(values, dict) and all(
        _is_number(v) and (low is None or v > low) for v in values.values()
    )


def _is_covariate(covariate: Covariate) -> bool:
    """Say whether a covariate is a number, or has levels."""
    texts = (covariate.name, covariate.reference, *covariate.levels, *covariate.small)
    return all(isinstance(t, str) for t in texts) and _is_number(covariate.mean)
