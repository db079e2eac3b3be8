"""Lifetime models as JSON files: what was fitted, on what, by which rules."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.errors import DataError, Problem
from selfloop.measures.lifetime.design import Covariate
from selfloop.measures.lifetime.parts import SpendModel
from selfloop.measures.lifetime.result import LifetimeModel
from selfloop.outputs.files import whole_file
from selfloop.outputs.json_files import read_json
from selfloop.outputs.lifetime_check import what_is_wrong

LIFETIME_SCHEMA = "selfloop.lifetime/1"
"""Name and version of the form of the file."""

_SPEND = (
    "params", "standard_errors", "coefficients", "log_likelihood", "n_people",
)  # fmt: skip
_PLAIN = (
    "model", "settings", "params", "standard_errors", "coefficients",
    "log_likelihood", "aic", "bic", "n_people", "n_repeat_buyers",
    "n_repeat_purchases", "n_distinct", "unit_days", "gradient", "penalty", "engine",
    "spend_reason", "share_kept", "timezone", "purchase", "zero_orders", "currency",
    "library_version",
)  # fmt: skip
_RULES = {
    "age": "days from the first purchase to the close of the last observed day",
    "repeat": "a purchase after the first one of a customer",
    "refunds": "inside the value of a purchase on its day; others lower every value "
    "by share_kept",
}


def write_lifetime(model: LifetimeModel, path: str | os.PathLike[str]) -> Path:
    """Write a fitted lifetime model to a JSON file.

    Parameters
    ----------
    model : LifetimeModel
        From `fit_lifetime`.
    path : path
        The file to make.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    FileError
        When it cannot be written; an older file of that name stays as it was.

    Examples
    --------
    >>> import tempfile
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=1000, seed=7)
    >>> model = sl.fit_lifetime(sl.read_events(shop.orders), model="mbg_nbd")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = sl.write_lifetime(model, f"{folder}/model.json")
    ...     again = sl.read_lifetime(file)
    >>> again.params == model.params
    True
    """
    content = {
        "schema": LIFETIME_SCHEMA,
        "rules": _RULES,
        **{name: getattr(model, name) for name in _PLAIN},
        "start": model.start.isoformat(),
        "end": model.end.isoformat(),
        "at_bound": list(model.at_bound),
        "covariance": _listed(model.covariance),
        "covariates": [asdict(c) for c in model.covariates],
        "tests": model.tests.to_dict("records"),
        "spend": None if model.spend is None else _spend(model.spend),
        "chosen_because": None if model.choice is None else model.choice.reason,
    }
    text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)
    with whole_file(path) as place:
        place.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def _spend(spend: SpendModel) -> dict[str, Any]:
    """Return a spend model as plain values."""
    plain = {name: getattr(spend, name) for name in _SPEND}
    return plain | {
        "at_bound": list(spend.at_bound),
        "covariance": _listed(spend.covariance),
    }


def _listed(covariance: np.ndarray | None) -> list[list[float]] | None:
    """Return a matrix as lists."""
    return None if covariance is None else covariance.tolist()


def read_lifetime(path: str | os.PathLike[str]) -> LifetimeModel:
    """Read a lifetime model from a file of `write_lifetime`.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    LifetimeModel
        It knows no customers: give `predict` and `total` their events.

    Raises
    ------
    FileError
        When there is no such file, or it cannot be read (SL105).
    DataError
        When it is not a model that this version can read (SL124).

    Examples
    --------
    >>> import tempfile
    >>> import selfloop as sl
    >>> events = sl.read_events(sl.simulate(n_visitors=1000, seed=7).orders)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/model.json"
    ...     file = write_lifetime(sl.fit_lifetime(events, model="mbg_nbd"), path)
    ...     model = read_lifetime(file)
    >>> model.total(90, events=events).n_people == events.totals["n_buyers"]
    True
    """
    file = Path(path)
    content = read_json(path, schema=LIFETIME_SCHEMA, wrong=_no_model)
    try:
        model = _model(content)
        wrong = what_is_wrong(model)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise _no_model(file, f"a part is missing or wrong ({reason})") from error
    if wrong:
        raise _no_model(file, "; ".join(wrong))
    return model


def _model(content: Mapping[str, Any]) -> LifetimeModel:
    """Build a model from plain values."""
    spend = content["spend"]
    return LifetimeModel(
        **{name: content[name] for name in _PLAIN},
        start=date.fromisoformat(content["start"]),
        end=date.fromisoformat(content["end"]),
        at_bound=tuple(content["at_bound"]),
        covariance=_matrix(content["covariance"]),
        covariates=tuple(
            Covariate(
                **{
                    **c,
                    "levels": tuple(c["levels"]),
                    "small": tuple(c.get("small", ())),
                }
            )
            for c in content["covariates"]
        ),
        tests=pd.DataFrame(content["tests"], columns=schema.names("covariate_tests")),
        spend=None
        if spend is None
        else SpendModel(
            **{name: spend[name] for name in _SPEND},
            at_bound=tuple(spend["at_bound"]),
            covariance=_matrix(spend["covariance"]),
            independence=None,
        ),
        choice=None,
        population=None,
    )


def _matrix(rows: list[list[float]] | None) -> np.ndarray | None:
    """Return lists as a matrix."""
    return None if rows is None else np.array(rows, dtype=np.float64)


def _no_model(file: Path, reason: str) -> DataError:
    """Say that a file holds no model."""
    return DataError([
        Problem(
            "SL124",
            "",
            f"{file.name!r} is not a lifetime model: {reason}",
            "write one with write_lifetime(model, path)",
        )
    ])  # fmt: skip
