"""Which model of purchases fits these customers, and how each predicts a holdout."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import FitError, SettingError
from selfloop.core.settings import Progress, check_choice
from selfloop.inputs.events import Events
from selfloop.measures.lifetime.holdout import (
    Cut,
    HoldoutScore,
    default_cut,
    hold_out,
    score,
)
from selfloop.measures.lifetime.population import (
    Population,
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
    "bg_cnbd_k": "beside: gives everybody who bought once P(alive) = 1",
    "nbd": "beside: nobody ever leaves",
}
"""Models that are shown for comparison and never chosen, and why."""

COMPARABLE = (*CANDIDATES, "mbg_cnbd_k", "bg_nbd", "bg_cnbd_k", "pdo", "nbd")
"""Models of the same data: their likelihoods can be compared."""

REGULAR = 1.5
"""Gaps more regular than this make MBG/CNBD-k a candidate."""


_NOTABLE = 0.001  # difference of log scores that is worth a word
_TIE = 0.05  # difference of AIC that does not show


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
    at: date | str | None = None,
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
    at : str or date, optional
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
    Events.check(events)
    if models is not None and (isinstance(models, str) or not models):
        raise SettingError(
            f"models must be a list of names such as ['mbg_nbd']; got {models!r}"
        )
    for name in models or ():
        check_choice("models", name, COMPARABLE)
    whom = population(events)
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
        models = [*CANDIDATES, *regular, "bg_nbd", "nbd"]
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
