"""How well past referrals would have told who has brought others since."""

from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import format_value, show_html, show_text
from selfloop.core.errors import SettingError
from selfloop.core.settings import CONFIDENCE
from selfloop.inputs.baskets import EPOCH
from selfloop.inputs.events import Events
from selfloop.kernels.calibration import tenths
from selfloop.kernels.independence import rank_correlation
from selfloop.kernels.intervals import normal_quantile
from selfloop.kernels.referring import expected_more
from selfloop.kernels.rows import FloatArray, dot
from selfloop.measures.lifetime.holdout import Cut, default_cut
from selfloop.measures.referral.ahead import ReferralModel, ReferralTotal
from selfloop.measures.referral.fit import fit_referrals
from selfloop.measures.referral.histories import Histories, brought_buyers


@dataclass(frozen=True, eq=False)
class ReferralBacktest:
    """A model of referrals fitted to the past and what came after it.

    Made by `backtest_referrals`.

    Parameters
    ----------
    model : ReferralModel
        Fitted on what was known at the cut.
    at : date
        Last day that it saw.
    horizon_days : int
        Days after it.
    total : ReferralTotal
        What it predicts of all customers known at the cut.
    actual : int
        Buyers whom these customers brought after it.
    n_outside : int
        Buyers brought in the same days by people who bought first after the cut, or
        never: nobody could predict these people by name.
    scores : DataFrame
        Columns of `schema.BACKTEST_SCORES`: the model and naive baselines.
    deciles : DataFrame
        Columns of `schema.BACKTEST_DECILES`: calibration.
    """

    model: ReferralModel = field(repr=False)
    at: date
    horizon_days: int
    total: ReferralTotal = field(repr=False)
    actual: int
    n_outside: int
    scores: pd.DataFrame
    deciles: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """Return the scores, columns of `schema.BACKTEST_SCORES`."""
        return self.scores.copy()

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        total = self.total
        ends = (
            format_value(e, "int") for e in (total.referrals_low, total.referrals_high)
        )
        expected = format_value(total.referrals, "int")
        return [
            ("fitted on", f"{self.model.whom.events.start} to {self.at}"),
            ("predicted", f"{self.horizon_days} days after it"),
            ("customers", total.n_people),
            ("buyers to be brought", f"{expected} ({' to '.join(ends)})"),
            ("buyers they brought", self.actual),
            ("brought by others", self.n_outside),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [
            ("scores", self.scores, "backtest_scores"),
            ("calibration", self.deciles, "backtest_deciles"),
        ]

    def __repr__(self) -> str:
        """Show scores and calibration as text."""
        return show_text("Referrals backtest", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show scores and calibration in a notebook."""
        return show_html("Referrals backtest", self._facts(), tables=self._tables())


def backtest_referrals(
    events: Events,
    *,
    at: date | str | None = None,
    horizon_days: int | None = None,
) -> ReferralBacktest:
    """Predict from the past who brings others, and compare with what has happened.

    Parameters
    ----------
    events : Events
        Result of `read_events`, with referrals.
    at : str or date, optional
        Last day that the model may see.
    horizon_days : int, optional
        Days after it to predict; all that were observed by default, and the last
        third of the period, at most 365 days, when `at` is not given either.

    Returns
    -------
    ReferralBacktest

    Raises
    ------
    MissingTableError
        There is no table of referrals.
    FitError
        The days before the cut do not allow a model.
    SettingError
        The cut lies outside the observed period, or the data are too short for one.

    Notes
    -----
    Beside the model stand four naive methods. ``past count``: as many as so far;
    ``own rate``: as many per day as so far; ``everybody alike``: the mean of those of
    the same age; ``nobody``: nobody brings anybody any more. Ties in a ranking are
    shared evenly, so a method that ranks nobody gets the share of chance.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=3000, seed=7)
    >>> test = sl.backtest_referrals(sl.read_events(shop.orders, shop.referrals))
    >>> best = test.scores.set_index("method")["share_top_tenth"].idxmax()
    >>> best
    'model'
    """
    Events.check(events)
    events.need("referrals", "backtest_referrals")
    cut, why = default_cut(events, at=at, horizon_days=horizon_days)
    if cut is None:
        raise SettingError(f"{why}; give at or horizon_days")
    model = fit_referrals(events, at=cut.at)
    age, y, later, n_people, n_outside = _outcomes(model.whom, cut)
    mean, mean_later = model.shape.at(age), model.shape.at(age + cut.horizon_days)
    whom = {"y": y, "mean": mean, "mean_later": mean_later}
    known = np.isfinite(mean_later)
    if not known.all():
        raise SettingError(
            f"horizon_days={cut.horizon_days} goes beyond what can be said: "
            f"{model.growth_reason}"
        )
    guess = expected_more(model.k, **whom)
    guesses = {
        "model": guess,
        "past count": y,
        "own rate": y / (age + 1) * cut.horizon_days,
        "everybody alike": mean_later - mean,
        "nobody": np.zeros(y.size),
    }
    return ReferralBacktest(
        model=model,
        at=cut.at,
        horizon_days=cut.horizon_days,
        total=model.total(cut.horizon_days),
        actual=int(dot(later, n_people)),
        n_outside=n_outside,
        scores=_scores(guesses, later, n_people),
        deciles=_deciles(guess, later, n_people),
    )


def _outcomes(
    whom: Histories, cut: Cut
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, int]:
    """Count customers by age, number brought before the cut, and number after it."""
    day = (cut.at - EPOCH).days
    last = cut.at + timedelta(days=cut.horizon_days)
    brought = brought_buyers(whom.events, end=last)
    after = brought.filter(brought.first_day > day)
    by_known = after.filter(after.own_day <= day)
    counted = by_known.group_by(person_no="referrer_no").aggregate(
        n_later=by_known.count()
    )
    people = whom.people.left_join(counted, "person_no").drop("person_no_right")
    people = people.mutate(n_later=people.n_later.fill_null(0))
    keys = ["age_days", "n_brought", "n_later"]
    rows = people.group_by(keys).aggregate(n=people.count()).order_by(keys)
    found = rows.to_pyarrow()
    age, y, later, n = (
        found[c].to_numpy().astype(np.float64) for c in (*keys, "n")
    )  # fmt: skip
    n_all = int(after.count().to_pyarrow().as_py())
    return age, y, later, n, n_all - int(dot(later, n))


def _scores(
    guesses: dict[str, FloatArray], later: FloatArray, n_people: FloatArray
) -> pd.DataFrame:
    """Score the model and naive methods."""
    total, n = dot(later, n_people), float(n_people.sum())
    rows = []
    for method, guess in guesses.items():
        predicted = dot(guess, n_people)
        top = tenths(guess, predicted=guess, actual=later, counts=n_people)
        ranks = rank_correlation(guess, later, counts=n_people)
        rows.append({
            "method": method,
            "measure": "referrals",
            "actual": total,
            "predicted": predicted,
            "error": (predicted - total) / total if total else np.nan,
            "mae": dot(np.abs(guess - later), n_people) / n,
            "rmse": np.sqrt(dot((guess - later) ** 2, n_people) / n),
            "rank_correlation": ranks.value,
            "share_top_tenth": top.actual[0] / total if total else np.nan,
        })  # fmt: skip
    return pd.DataFrame(rows)[schema.names("backtest_scores")]


def _deciles(
    guess: FloatArray, later: FloatArray, n_people: FloatArray
) -> pd.DataFrame:
    """Compare predictions with what happened, by tenths of customers."""
    found = tenths(guess, predicted=guess, actual=later, counts=n_people)
    n = found.n_people
    mean = found.actual / n
    spread = np.maximum(found.actual_square / n - mean**2, 0) / n
    reach = normal_quantile(CONFIDENCE) * np.sqrt(spread)
    table = pd.DataFrame({
        "measure": "referrals",
        "decile": np.arange(1, 11),
        "n_people": np.rint(n).astype(np.int64),
        "predicted": found.predicted / n,
        "actual": mean,
        "actual_low": np.maximum(mean - reach, 0),
        # Of none seen in n people, 3.7 / n may be (exact Poisson, 97.5 %).
        "actual_high": np.where(mean > 0, mean + reach, -np.log(0.025) / n),
    })  # fmt: skip
    return table[schema.names("backtest_deciles")]
