"""Purchases week by week beside what a model expects."""

from datetime import timedelta

import numpy as np
import pandas as pd

from selfloop.inputs.baskets import EPOCH
from selfloop.kernels.horizon import MAX_DAYS
from selfloop.kernels.rows import FloatArray, dot
from selfloop.measures.lifetime.holdout import Cut
from selfloop.measures.lifetime.result import LifetimeModel

_WEEK = 7


def track(fitted: LifetimeModel, cut: Cut) -> pd.DataFrame:
    """Track repeat purchases week by week, before and after a cut.

    Parameters
    ----------
    fitted : LifetimeModel
        Fitted on what was known at the cut.
    cut : Cut
        The day and the days after it.

    Returns
    -------
    DataFrame
        Columns of `schema.BACKTEST_WEEKS`. Expected are the sums over the customers
        known at the cut of the purchases that the model expects of somebody by that
        age, whatever they did: conditional on nothing.
    """
    whom = fitted.whom
    first, n_born = _born(fitted)
    longest = (cut.at - EPOCH).days - first
    last = longest + cut.horizon_days
    ends = np.append(np.arange(_WEEK, last, _WEEK), last)
    forecast = fitted.forecast(min(MAX_DAYS, last), discount_rate=0.0, margin=1.0)
    expected = forecast.expected_by_age(last, whom)
    born = np.flatnonzero(n_born)
    sums = np.array(
        [dot(n_born[born], expected[np.maximum(end - born, 0)]) for end in ends]
    )
    origin = EPOCH + timedelta(days=first)
    counted = _per_day(fitted, first, last)
    counted[: n_born.size] -= n_born  # the first purchase is no repeat
    actual = np.cumsum(counted)[ends].astype(np.int64)
    phase = np.where(ends <= longest, "fitted", "holdout")
    straddles = (ends > longest) & (np.append(0, ends[:-1]) < longest)
    phase = np.where(straddles, "both", phase)
    return pd.DataFrame(
        {
            "week": np.arange(1, ends.size + 1),
            "last_day": [origin + timedelta(days=int(end)) for end in ends],
            "phase": phase,
            "actual": np.diff(actual, prepend=0),
            "expected": np.diff(sums, prepend=0.0),
            "actual_so_far": actual,
            "expected_so_far": sums,
        }
    )


def _born(fitted: LifetimeModel) -> tuple[int, FloatArray]:
    """Return the first day of the shop and the new customers of each day from it."""
    people = fitted.whom.people
    by_day = people.group_by("first_day").aggregate(n=people.count()).to_pyarrow()
    days = by_day["first_day"].to_numpy().astype(np.int64)
    first = int(days.min())
    n = by_day["n"].to_numpy().astype(np.float64)
    return first, np.asarray(np.bincount(days - first, weights=n), dtype=np.float64)


def _per_day(fitted: LifetimeModel, first: int, last: int) -> FloatArray:
    """Count purchases by day since the first, of the customers at the cut."""
    whom, rows = fitted.whom, fitted.whom.events.baskets
    bought = rows.filter(rows.is_purchase, rows.day <= first + last)
    bought = bought.semi_join(whom.people.select("person_no"), "person_no")
    by_day = bought.group_by("day").aggregate(n=bought.count()).to_pyarrow()
    days = by_day["day"].to_numpy().astype(np.int64) - first
    n = by_day["n"].to_numpy().astype(np.float64)
    counts = np.bincount(days, weights=n, minlength=last + 1)
    return np.asarray(counts, dtype=np.float64)
