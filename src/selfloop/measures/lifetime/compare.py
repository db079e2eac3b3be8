"""Which model of purchases fits these customers, and how each predicts a holdout."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import FitError
from selfloop.core.settings import Progress, check_choice, check_number
from selfloop.inputs.events import Events
from selfloop.kernels.fitting import FloatArray, Rows, dot, systematic_sample
from selfloop.measures.lifetime.flow import Histories, cut_horizon, flow
from selfloop.measures.lifetime.population import (
    KEYS,
    Population,
    later_purchases,
    population,
)
from selfloop.measures.lifetime.single import (
    Fitted,
    Form,
    check_size,
    fit_one,
    regularity_of,
)

CANDIDATES = ("mbg_nbd", "pareto_nbd")
"""Models that ``model="auto"`` chooses from; regular buyers add MBG/CNBD-k."""

BESIDE = {
    "bg_nbd": "beside: gives everybody who bought once P(alive) = 1",
    "nbd": "beside: nobody ever leaves",
}
"""Models that are shown for comparison and never chosen, and why."""

COMPARABLE = (*CANDIDATES, "mbg_cnbd_k", "bg_nbd", "bg_cnbd_k", "pdo", "nbd")
"""Models of the same data: their likelihoods can be compared."""

REGULAR = 1.5
"""Gaps more regular than this make MBG/CNBD-k a candidate."""

MIN_HOLDOUT_DAYS = 28
"""A shorter holdout says too little."""

MAX_SCORED = 50_000
"""Customers whose log score is averaged: a systematic sample of more."""

_NOTABLE = 0.001  # difference of log scores that is worth a word
_TIE = 0.05  # difference of AIC that does not show
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


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """Models of purchases side by side on the same customers.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.MODEL_COMPARISON`, the least AIC first.
    chosen : str
        Name of the chosen model: the least AIC among the candidates.
    reason : str
        Why, in a sentence.
    cut : Cut or None
        Where the holdout begins; None when there was none.
    holdout_reason : str
        Why there is no holdout; empty when there is one.
    fitted, before : dict of str to Fitted
        The models, on all data and on what was known at the cut.
    known : Population or None
        The buyers as they stood at the cut.
    """

    table: pd.DataFrame
    chosen: str
    reason: str
    cut: Cut | None
    holdout_reason: str
    fitted: dict[str, Fitted] = field(repr=False)
    before: dict[str, Fitted] = field(repr=False)
    known: Population | None = field(repr=False)

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        facts: list[tuple[str, object]] = [("chosen", self.reason)]
        if self.cut is None:
            facts.append(("no holdout", self.holdout_reason))
        else:
            text = f"{self.cut.horizon_days} days after {self.cut.at}"
            facts.append(("holdout", text))
        return facts

    def __repr__(self) -> str:
        """Show the table and the reason as text."""
        tables = [("", self.table, "model_comparison")]
        return show_text("ModelComparison", self._facts(), tables=tables)

    def _repr_html_(self) -> str:
        """Show the table and the reason in a notebook."""
        tables = [("", self.table, "model_comparison")]
        return show_html("ModelComparison", self._facts(), tables=tables)


def compare_models(
    events: Events,
    models: Sequence[str] | None = None,
    *,
    at: date | None = None,
    horizon_days: int | None = None,
    unit_days: float = 1.0,
    penalty: float = 0.0,
    progress: Progress | None = None,
) -> ModelComparison:
    """Fit models of purchases to the same customers and score each on a holdout.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    models : sequence of str, optional
        Names among `COMPARABLE`; by default MBG/NBD and Pareto/NBD, MBG/CNBD-k when
        purchases are regular, and BG/NBD and NBD beside them.
    at : date, optional
        Last day that the models may see for the holdout.
    horizon_days : int, optional
        Days of the holdout; by default the last third of the period, at most 365.
    unit_days : float, optional
        Unit of time of the likelihoods, in days.
    penalty : float, optional
        Weight of a penalty on the logs of the parameters, at least 0.
    progress : callable, optional
        Called with a short text at the start of each fit.

    Returns
    -------
    ModelComparison

    Raises
    ------
    FitError
        When no model can be fitted; with the reason of the first.
    SettingError
        When a name or a setting is outside its range.

    Notes
    -----
    AIC = 2 parameters - 2 log-likelihood on all data decides; the holdout stands
    beside it: each model is fitted again on what was known at the cut, and predicts
    the days after it. The log score is the mean log of the probability that it gave
    to what each customer did (higher is better; see Gneiting and Raftery, Strictly
    Proper Scoring Rules, JASA 102, 2007), over a systematic sample of 50,000 when there
    are more.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> comparison = sl.compare_models(sl.read_events(shop.orders))
    >>> comparison.chosen in ("mbg_nbd", "pareto_nbd")
    True
    """
    whom = population(events)
    for name in models or ():
        check_choice("models", name, COMPARABLE)
    cut, why = default_cut(events, at=at, horizon_days=horizon_days)
    return compare(
        whom,
        models,
        cut=cut,
        holdout_reason=why,
        unit_days=unit_days,
        penalty=penalty,
        progress=progress,
    )


def default_cut(
    events: Events, *, at: date | None, horizon_days: int | None
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
        left = (events.end - at).days
        check_number(
            "days between at and the end of the data", left, low=1, high=span - 1
        )
        horizon_days = left if horizon_days is None else horizon_days
        check_number("horizon_days", horizon_days, low=1, high=left)
        return Cut(at, int(horizon_days)), ""
    if horizon_days is not None:
        check_number("horizon_days", horizon_days, low=1, high=span - 1)
    else:
        horizon_days = min(365, span // 3)
        if horizon_days < MIN_HOLDOUT_DAYS:
            return None, (
                f"{span} days of data: a holdout of a third of them would be shorter "
                f"than {MIN_HOLDOUT_DAYS} days"
            )
    return Cut(events.end - timedelta(days=int(horizon_days)), int(horizon_days)), ""


def compare(
    whom: Population,
    models: Sequence[str] | None,
    *,
    cut: Cut | None,
    holdout_reason: str,
    unit_days: float,
    penalty: float,
    progress: Progress | None = None,
) -> ModelComparison:
    """Fit and score models on a population; see `compare_models`.

    Parameters
    ----------
    whom : Population
        The buyers.
    models, unit_days, penalty, progress
        As in `compare_models`.
    cut : Cut or None
        The holdout, if there is to be one.
    holdout_reason : str
        Why there is none.

    Returns
    -------
    ModelComparison

    Raises
    ------
    FitError
        When no candidate can be fitted.
    """
    say = progress or (lambda _: None)
    check_size(whom)
    if models is None:
        regular = ["mbg_cnbd_k"] if regularity_of(whom) > REGULAR else []
        models = [*CANDIDATES, *regular, *BESIDE]
    fitted: dict[str, Fitted] = {}
    failed: dict[str, FitError] = {}
    for name in models:
        say(f"fitting {name}")
        try:
            fitted[name] = fit_one(name, whom, unit_days=unit_days, penalty=penalty)
        except FitError as error:
            failed[name] = error
    eligible = [n for n in fitted if n not in BESIDE] or list(fitted)
    if not eligible:
        raise next(iter(failed.values()))
    chosen = min(eligible, key=lambda n: fitted[n].aic)
    scores: dict[str, HoldoutScore] = {}
    before: dict[str, Fitted] = {}
    known = None
    if cut is not None:
        say("predicting a holdout")
        known = population(whom.events, at=cut.at)
        before, holdout_reason = _before(known, fitted, cut, unit_days, penalty)
        held = hold_out(known, cut) if before else None
        scores = {n: score(one, held, unit_days) for n, one in before.items() if held}
        cut = cut if before else None
    table = _table(fitted, failed, scores, chosen=chosen)
    return ModelComparison(
        table=table,
        chosen=chosen,
        reason=_reason(fitted, scores, chosen=chosen, eligible=eligible),
        cut=cut,
        holdout_reason=holdout_reason,
        fitted=fitted,
        before=before,
        known=known if before else None,
    )


def _before(
    known: Population,
    fitted: dict[str, Fitted],
    cut: Cut,
    unit_days: float,
    penalty: float,
) -> tuple[dict[str, Fitted], str]:
    """Fit each model on what was known at the cut, in the form found on all data."""
    before: dict[str, Fitted] = {}
    try:
        check_size(known)
        for name, one in fitted.items():
            k, tau_days = one.settings.get("k"), one.settings.get("tau_days")
            form = Form(k=None if k is None else int(k), tau_days=tau_days)
            before[name] = fit_one(
                name, known, unit_days=unit_days, form=form, penalty=penalty
            )
    except FitError as error:
        return {}, f"at the cut, {cut.at}: {error}"
    return before, ""


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


def _table(
    fitted: dict[str, Fitted],
    failed: dict[str, FitError],
    scores: dict[str, HoldoutScore],
    *,
    chosen: str,
) -> pd.DataFrame:
    """Put all models side by side, the least AIC first."""
    best = fitted[chosen].aic
    nothing = HoldoutScore(np.nan, np.nan, np.nan)
    rows: list[tuple[object, ...]] = []
    for name in sorted(fitted, key=lambda n: fitted[n].aic):
        one = fitted[name]
        role = "chosen" if name == chosen else BESIDE.get(name, "candidate")
        rows.append((
            name, one.kernel.label, one.n_parameters, one.fit.log_likelihood, one.aic,
            one.aic - best, one.bic, *scores.get(name, nothing),
            ", ".join(one.fit.at_bound), role,
        ))  # fmt: skip
    for name, error in failed.items():
        rows.append((
            name, name, None, np.nan, np.nan, np.nan, np.nan, *nothing, "",
            f"does not fit: {error}",
        ))  # fmt: skip
    table = pd.DataFrame(rows, columns=schema.names("model_comparison"))
    return table.astype({"n_parameters": "Int64"})


def _reason(
    fitted: dict[str, Fitted],
    scores: dict[str, HoldoutScore],
    *,
    chosen: str,
    eligible: list[str],
) -> str:
    """Say in a sentence why a model was chosen."""
    label = fitted[chosen].kernel.label
    others = sorted((n for n in eligible if n != chosen), key=lambda n: fitted[n].aic)
    text = f"{label}, the only candidate that fits"
    if others:
        ahead = fitted[others[0]].aic - fitted[chosen].aic
        second = fitted[others[0]].kernel.label
        text = f"{label}: its AIC is {ahead:,.1f} below that of {second}"
        if ahead < _TIE:
            text = f"{label}: its AIC is that of {second}, and it comes first"
    found = scores.get(chosen)
    if found is not None and np.isfinite(found.error):
        text += f"; on the holdout its total was off by {found.error:+.1%}"
        best = max(eligible, key=lambda n: scores[n].log_score)
        if scores[best].log_score > found.log_score + _NOTABLE:
            text += (
                f", and {fitted[best].kernel.label} predicted customers better (log "
                f"score {scores[best].log_score:.3f} against {found.log_score:.3f})"
            )
    return text
