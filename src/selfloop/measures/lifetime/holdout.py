"""Events cut at a day, what came after it, and how a model predicts it."""

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from selfloop.core.errors import SettingError
from selfloop.core.settings import check_day, check_whole
from selfloop.inputs.events import Events
from selfloop.kernels.rows import FloatArray, Rows, dot, systematic_sample
from selfloop.measures.lifetime.flow import Histories, cut_horizon, flow
from selfloop.measures.lifetime.population import (
    KEYS,
    Population,
    later_purchases,
)
from selfloop.measures.lifetime.single import (
    Fitted,
)

MIN_HOLDOUT_DAYS = 28
"""A shorter holdout says too little."""

MAX_SCORED = 50_000
"""Customers whose log score is averaged: a systematic sample of more."""

_LEAST = 1e-300  # of a probability, so that its log can be written down


class Cut(NamedTuple):
    """A day to cut events at, and the days after it to predict.

    Parameters
    ----------
    at : date
        Last day that the models may see.
    horizon_days : int
        Days after it.
    """

    at: date
    horizon_days: int


class Holdout(NamedTuple):
    """What buyers known at a day did after it, by distinct history and outcome.

    Parameters
    ----------
    cut : Cut
        The day and the days after it.
    whom : Population
        The buyers as they stood that day.
    rows : Histories
        Their histories, in days.
    n_later : ndarray of float64, shape (n,)
        Purchases after it.
    n_people : ndarray of float64, shape (n,)
        Buyers with this history and outcome.
    """

    cut: Cut
    whom: Population
    rows: Histories
    n_later: FloatArray
    n_people: FloatArray


class HoldoutScore(NamedTuple):
    """How a model predicts a holdout.

    Parameters
    ----------
    log_score : float
        Mean over customers of the log of the probability of what they did.
    error : float
        (predicted - actual) / actual purchases of all.
    mae : float
        Mean absolute error per customer.
    """

    log_score: float
    error: float
    mae: float


def default_cut(
    events: Events, *, at: date | str | None, horizon_days: int | None
) -> tuple[Cut | None, str]:
    """Say where to cut events for a holdout, or why it cannot be done.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    at, horizon_days
        What the user asked for, if anything.

    Returns
    -------
    cut : Cut or None
    reason : str
        Empty when there is a cut.

    Raises
    ------
    SettingError
        When what was asked for lies outside the observed period.
    """
    span = (events.end - events.start).days + 1
    if at is not None:
        day = check_day("at", at)
        left = (events.end - day).days
        if not 1 <= left < span:
            raise SettingError(
                f"at must lie inside the observed period, {events.start} to "
                f"{events.end}, at least a day before its end; got {day}"
            )
        horizon_days = left if horizon_days is None else horizon_days
        check_whole("horizon_days", horizon_days, low=1, high=left)
        return Cut(day, int(horizon_days)), ""
    if horizon_days is not None:
        check_whole("horizon_days", horizon_days, low=1, high=span - 1)
    else:
        horizon_days = min(365, span // 3)
        if horizon_days < MIN_HOLDOUT_DAYS:
            return None, (
                f"{span} days of data: a holdout of a third of them would be shorter "
                f"than {MIN_HOLDOUT_DAYS} days"
            )
    days = int(horizon_days)
    return Cut(events.end - timedelta(days=days), days), ""


def hold_out(known: Population, cut: Cut) -> Holdout:
    """Count what buyers known at a day did after it, in the engine.

    Parameters
    ----------
    known : Population
        The buyers as they stood that day.
    cut : Cut
        The day and the days after it.

    Returns
    -------
    Holdout
    """
    people = later_purchases(
        known.people, known.events, at=cut.at, horizon_days=cut.horizon_days
    )
    keys = [*KEYS, "n_later"]
    table = (
        people.group_by(keys)
        .aggregate(n_people=people.count())
        .order_by(keys)
        .to_pyarrow()
    )
    columns = [table[c].to_numpy().astype(np.float64) for c in (*keys, "n_people")]
    rows = Histories(columns[0] - 1, columns[1], columns[2])
    return Holdout(cut, known, rows, columns[3], columns[4])


def score(fitted: Fitted, held: Holdout, unit_days: float) -> HoldoutScore:
    """Say how well a model that was fitted at a cut predicts what came after it.

    Parameters
    ----------
    fitted : Fitted
        The model, fitted on what was known at the cut.
    held : Holdout
        What came after it.
    unit_days : float
        Unit of time of the model, in days.

    Returns
    -------
    HoldoutScore
    """
    kernel, params = fitted.kernel, fitted.fit.estimates.tolist()
    x, recency, age = held.rows
    rows = Histories(x, recency / unit_days, age / unit_days)
    cut = cut_horizon(kernel, unit_days, held.cut.horizon_days, 0.0)
    found = flow(kernel, params, rows, unit_days=unit_days, cut=cut)
    expected, n = found.p_alive * found.if_alive, held.n_people
    actual = dot(held.n_later, n)
    return HoldoutScore(
        log_score=_log_score(fitted, held, unit_days),
        error=(dot(expected, n) - actual) / actual if actual else np.nan,
        mae=dot(np.abs(expected - held.n_later), n) / float(n.sum()),
    )


def _log_score(fitted: Fitted, held: Holdout, unit_days: float) -> float:
    """Return the mean log of the probability of what customers did."""
    kernel, params = fitted.kernel, fitted.fit.estimates.tolist()
    rows = Rows((*held.rows, held.n_later), held.n_people)
    if rows.n_people > MAX_SCORED:
        rows = systematic_sample(rows, MAX_SCORED)
    x, recency, age, n_later = rows.columns
    history = {"x": x, "recency": recency / unit_days, "age": age / unit_days}
    alive = kernel.p_alive(params, **history)
    mass = alive * kernel.pmf_if_alive(
        params, n=n_later, **history, horizon=held.cut.horizon_days / unit_days
    )
    mass += np.where(n_later == 0, 1 - alive, 0)
    return dot(np.log(np.maximum(mass, _LEAST)), rows.counts) / rows.n_people
