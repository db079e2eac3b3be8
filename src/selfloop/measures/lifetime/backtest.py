"""How well a model would have predicted what has already happened."""

from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import FitError, SettingError
from selfloop.core.settings import CONFIDENCE, Progress
from selfloop.inputs.baskets import EPOCH
from selfloop.inputs.events import Events
from selfloop.kernels.independence import rank_correlation
from selfloop.kernels.intervals import normal_quantile
from selfloop.kernels.rows import FloatArray, dot
from selfloop.measures.lifetime.fit import Model, fit_lifetime
from selfloop.measures.lifetime.holdout import Cut, default_cut
from selfloop.measures.lifetime.population import later_purchases
from selfloop.measures.lifetime.result import LifetimeModel
from selfloop.measures.lifetime.tracking import track

MEASURES = ("purchases", "value")
"""What is predicted."""

BASELINES = ("last period", "average", "own rate")
"""Naive methods: as in the same number of days before the cut; everybody like the
average customer; everybody at their own rate so far."""

_MAX_ROW = 7  # purchases from which on customers are shown together
_MAX_PEOPLE = 500_000  # a fixed part by hash of more is ranked and averaged


@dataclass(frozen=True, eq=False)
class Backtest:
    """A model fitted to the past and what came after it; made by `backtest_lifetime`.

    Parameters
    ----------
    model : LifetimeModel
        Fitted on what was known at the cut.
    at : date
        Last day that it saw.
    horizon_days : int
        Days after it.
    n_people : int
        Customers known at the cut: those who are predicted.
    scores : DataFrame
        Columns of `schema.BACKTEST_SCORES`: the model and naive baselines.
    deciles : DataFrame
        Columns of `schema.BACKTEST_DECILES`: calibration.
    weeks : DataFrame
        Columns of `schema.BACKTEST_WEEKS`: tracking.
    frequencies : DataFrame
        Columns of `schema.BACKTEST_FREQUENCIES`: by purchases up to the cut.
    """

    model: LifetimeModel = field(repr=False)
    at: date
    horizon_days: int
    n_people: int
    scores: pd.DataFrame
    deciles: pd.DataFrame
    weeks: pd.DataFrame = field(repr=False)
    frequencies: pd.DataFrame

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        return [
            ("model", self.model.label),
            ("fitted on", f"{self.model.start} to {self.at}"),
            ("predicted", f"{self.horizon_days} days after it"),
            ("customers", self.n_people),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [
            ("scores", self.scores, "backtest_scores"),
            ("calibration", self.deciles, "backtest_deciles"),
        ]

    def __repr__(self) -> str:
        """Show scores and calibration as text."""
        return show_text("Backtest", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show scores and calibration in a notebook."""
        return show_html("Backtest", self._facts(), tables=self._tables())


def backtest_lifetime(
    events: Events,
    *,
    at: date | str | None = None,
    horizon_days: int | None = None,
    model: Model = "auto",
    progress: Progress | None = None,
) -> Backtest:
    """Fit a model to the past, predict what has happened since, and score it.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    at : str or date, optional
        Last day that the model may see.
    horizon_days : int, optional
        Days after it to predict; all that were observed by default, and the last
        third of the period, at most 365 days, when `at` is not given either.
    model : str, optional
        As in `fit_lifetime`, but not ``"bg_bb"``.
    progress : callable, optional
        Called with a short text at the start of each step.

    Returns
    -------
    Backtest

    Raises
    ------
    FitError
        When the data are too short for a holdout, or do not allow a model at the cut.
    SettingError
        When the cut lies outside the observed period.

    Notes
    -----
    Customers who first bought after the cut are not predicted. Baselines: ``last
    period`` repeats what each customer did in as many days before the cut;
    ``average`` gives everybody the mean rate of all, so it cannot rank anybody;
    ``own rate`` goes on as each customer did on average since the first purchase.
    Value baselines multiply by the customer's mean repeat value, the mean of all for
    those without one. Actual value includes all refunds of the horizon.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=3000, seed=7)
    >>> test = sl.backtest_lifetime(sl.read_events(shop.orders), horizon_days=180)
    >>> sorted(test.scores["method"].unique())
    ['MBG/NBD', 'average', 'last period', 'own rate']
    """
    Events.check(events)
    say = progress or (lambda _: None)
    if model == "bg_bb":
        raise SettingError(
            "model must count purchases; 'bg_bb' counts opportunities with a purchase, "
            "which is something else"
        )
    cut, why = default_cut(events, at=at, horizon_days=horizon_days)
    if cut is None:
        raise FitError(f"no holdout: {why}")
    fitted = fit_lifetime(events, model=model, at=cut.at, progress=progress)
    return backtest_of(fitted, cut, progress=say)


def backtest_of(
    fitted: LifetimeModel, cut: Cut, *, progress: Progress | None = None
) -> Backtest:
    """Score a model that was fitted on what was known at a cut.

    Parameters
    ----------
    fitted : LifetimeModel
        From ``fit_lifetime(events, at=cut.at)``.
    cut : Cut
        The day and the days after it.
    progress : callable, optional
        Called with a short text at the start of each step.

    Returns
    -------
    Backtest
    """
    say = progress or (lambda _: None)
    say("predicting the holdout")
    people = _people(fitted, cut)
    say("scoring")
    deciles = _deciles(people, fitted)
    return Backtest(
        model=fitted,
        at=cut.at,
        horizon_days=cut.horizon_days,
        n_people=fitted.n_people,
        scores=_scores(people, fitted),
        deciles=deciles,
        weeks=track(fitted, cut),
        frequencies=_frequencies(people),
    )


class _Rows(NamedTuple):
    """What was predicted of customers and what they did, one row each."""

    n_purchases: FloatArray
    actual: dict[str, FloatArray]
    predicted: dict[tuple[str, str], FloatArray]
    sums: dict[str, float]


def _people(fitted: LifetimeModel, cut: Cut) -> _Rows:
    """Predict the holdout by the model and the baselines, in the engine."""
    whom = fitted.whom
    core = whom.events.core.semi_join(whom.people.select("person_no"), "person_no")
    people = fitted.attach(core, cut.horizon_days)
    people = later_purchases(
        people, whom.events, at=cut.at, horizon_days=cut.horizon_days
    )
    people = _with_last_period(people, fitted, cut)
    x = (people.n_purchases - 1).cast("float64")
    triples = whom.triples
    n_repeat = dot(triples.n_purchases - 1, triples.n_people)
    rate = n_repeat / dot(triples.age_days, triples.n_people)
    worth = float(triples.repeat_value.sum()) / n_repeat
    own_worth = ibis.ifelse(x > 0, people.repeat_value / x.nullif(0), worth)
    own = ibis.ifelse(
        people.age_days > 0, x / people.age_days.nullif(0) * cut.horizon_days, 0.0
    )
    average = ibis.literal(rate * cut.horizon_days)
    columns = {
        "n_purchases": people.n_purchases,
        "actual_purchases": people.n_later,
        "actual_value": people.later_value,
        "model_purchases": people.expected_purchases,
        "model_value": people.expected_value,
        "last period_purchases": people.n_last,
        "last period_value": people.last_value,
        "average_purchases": average,
        "average_value": ibis.literal(rate * cut.horizon_days * worth, "float64"),
        "own rate_purchases": own,
        "own rate_value": own * own_worth,
    }
    chosen = people.select(
        "person_no", "id_hash", **{k: v.cast("float64") for k, v in columns.items()}
    )
    table = whom.events.engine.keep(chosen, "backtest")
    sums = table.aggregate(**{f"{c}_sum": table[c].sum() for c in columns})
    line = sums.to_pyarrow().to_pylist()[0]
    part = -(-whom.n_people // _MAX_PEOPLE)
    rows = table.filter(table.id_hash % part == 0) if part > 1 else table
    arrow = rows.order_by("id_hash", "person_no").to_pyarrow()
    whom.events.engine.drop(table)
    found = {c: arrow[c].to_numpy().astype(np.float64) for c in columns}
    return _Rows(
        found["n_purchases"],
        {m: found[f"actual_{m}"] for m in MEASURES},
        {(b, m): found[f"{b}_{m}"] for b in ("model", *BASELINES) for m in MEASURES},
        {c: float(line[f"{c}_sum"] or 0.0) for c in columns},
    )


def _with_last_period(people: ir.Table, fitted: LifetimeModel, cut: Cut) -> ir.Table:
    """Add what customers did in as many days before the cut."""
    end = (cut.at - EPOCH).days
    rows = fitted.whom.events.baskets
    rows = rows.filter(rows.day <= end, rows.day > end - cut.horizon_days)
    before = rows.group_by("person_no").aggregate(
        n_last=rows.is_purchase.sum(), last_value=rows.net.sum().cast("float64")
    )
    joined = people.left_join(before, "person_no").drop("person_no_right")
    return joined.mutate(
        n_last=joined.n_last.fill_null(0), last_value=joined.last_value.fill_null(0)
    )


def _scores(rows: _Rows, fitted: LifetimeModel) -> pd.DataFrame:
    """Score the model and the baselines."""
    lines = []
    for (method, measure), predicted in rows.predicted.items():
        if fitted.spend is None and measure == "value" and method == "model":
            continue
        actual = rows.actual[measure]
        total = rows.sums[f"actual_{measure}"]
        guess = rows.sums[f"{method}_{measure}"]
        off = predicted - actual
        error = (guess - total) / total if total > 0 else np.nan
        name = fitted.label if method == "model" else method
        lines.append((
            name, measure, total, guess, error,
            float(np.abs(off).mean()), float(np.sqrt((off**2).mean())),
            rank_correlation(predicted, actual).value, _top_tenth(predicted, actual),
        ))  # fmt: skip
    frame = pd.DataFrame(lines, columns=schema.names("backtest_scores"))
    order = pd.Categorical(frame["measure"], MEASURES, ordered=True)
    return frame.iloc[order.argsort(kind="stable")].reset_index(drop=True)


def _top_tenth(predicted: FloatArray, actual: FloatArray) -> float:
    """Return the share of the actual sum by the tenth that was predicted highest.

    Customers with equal predictions share the places left, so that their order does
    not matter; nobody can be picked when all predictions are equal.
    """
    total = float(actual.sum())
    if total <= 0 or predicted.min() == predicted.max():
        return float("nan")
    n_top = predicted.size / 10
    values, group = np.unique(-predicted, return_inverse=True)
    people = np.bincount(group, minlength=values.size)
    brought = np.bincount(group, weights=actual, minlength=values.size)
    before = np.cumsum(people) - people
    taken = np.clip(n_top - before, 0, people) / people
    return dot(taken, brought) / total


def _deciles(rows: _Rows, fitted: LifetimeModel) -> pd.DataFrame:
    """Compare predicted and actual means by tenths of customers, highest first."""
    z = normal_quantile(CONFIDENCE)
    lines = []
    for measure in MEASURES:
        if fitted.spend is None and measure == "value":
            continue
        predicted, actual = rows.predicted["model", measure], rows.actual[measure]
        # Ties are broken by what is known at the cut alone, never by the outcome.
        order = np.lexsort((rows.n_purchases, -predicted))
        for decile, part in enumerate(np.array_split(order, 10), 1):
            if not part.size:
                continue
            mean, n = float(actual[part].mean()), part.size
            reach = (
                z * float(actual[part].std(ddof=1)) / np.sqrt(n) if n > 1 else np.nan
            )
            lines.append((
                measure, decile, n, float(predicted[part].mean()), mean, mean - reach,
                mean + reach,
            ))  # fmt: skip
    return pd.DataFrame(lines, columns=schema.names("backtest_deciles"))


def _frequencies(rows: _Rows) -> pd.DataFrame:
    """Compare predicted and actual purchases by purchases up to the cut."""
    group = np.minimum(rows.n_purchases, _MAX_ROW)
    lines = []
    for n in np.unique(group):
        part = group == n
        predicted = rows.predicted["model", "purchases"][part]
        actual = rows.actual["purchases"][part]
        lines.append((
            int(n), int(part.sum()), float(predicted.mean()), float(actual.mean())
        ))  # fmt: skip
    return pd.DataFrame(lines, columns=schema.names("backtest_frequencies"))
