"""What a buyer of each source is going to do at each age, and how cohorts differ."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from selfloop.core import schema
from selfloop.core.settings import CONFIDENCE, MIN_AT_RISK
from selfloop.kernels.curves import Curves, mean_curves
from selfloop.kernels.intervals import normal_quantile
from selfloop.kernels.levels import Levels, cohort_levels
from selfloop.kernels.projecting import Doing, doing
from selfloop.kernels.rows import FloatArray
from selfloop.kernels.tails import fit_tail, tail_rate
from selfloop.measures.loop.cells import LoopCells

COHORT_DAYS = 30
"""Buyers whose first purchases fall into so many days are a cohort."""

MIN_EXPECTED = 10
"""Fewest things that a cohort was to do for its level to be told."""

DOINGS = ("orders", "revenue", "brought")
"""What buyers do, as named in `LoopCells`."""


class Doings(NamedTuple):
    """All that buyers do.

    Parameters
    ----------
    orders, revenue, brought : Doing
        Purchases, net revenue and buyers brought.
    cohorts : DataFrame
        Columns of `schema.LOOP_COHORTS`.
    notes : tuple of str
        What was taken from all buyers, because there are too few of a kind.
    """

    orders: Doing
    revenue: Doing
    brought: Doing
    cohorts: pd.DataFrame
    notes: tuple[str, ...]


def oldest_age(kind: LoopCells) -> int | None:
    """Return the oldest age that 30 buyers of a kind have reached.

    Parameters
    ----------
    kind : LoopCells
        One kind of people.

    Returns
    -------
    int or None
        None when there are not 30 buyers.
    """
    return mean_curves(kind.orders[0], n_followup=kind.followup[0]).longest(MIN_AT_RISK)


def doings(
    kinds: list[LoopCells], pooled: LoopCells, *, longest: int, n_days: int
) -> Doings:
    """Say what buyers are going to do.

    Parameters
    ----------
    kinds : list of LoopCells
        Each kind of people.
    pooled : LoopCells
        All of them together.
    longest : int
        Oldest age that 30 of all have reached.
    n_days : int
        Days ahead.

    Returns
    -------
    Doings

    Notes
    -----
    Rates by age and levels of cohorts are fitted together (`levels.cohort_levels`), so
    that what is known of old ages, from the first cohorts alone, is not taken for what
    later cohorts will do. Those to come are an average cohort. Levels of a cohort are
    told from 30 buyers on of whom 10 purchases, or 10 people brought, were to be
    expected, and where there are three such cohorts.
    """
    n_ages = pooled.n_days + n_days
    cohort = cohort_of(pooled.n_days)
    levels = {name: _levels(kinds, pooled, name, cohort) for name in DOINGS}
    weights = {name: found.level[:, cohort] for name, found in levels.items()}
    whole: dict[str, FloatArray] = {}
    for name in ("orders", "brought"):
        curves = _curves(pooled, name, weights[name])
        whole[name] = _extended(curves, longest, n_ages)
    money = _curves(pooled, "revenue", weights["revenue"])
    whole["revenue"] = _revenue(money, whole["orders"], longest, n_ages)
    ages = [oldest_age(kind) for kind in kinds]
    buyers = np.stack([kind.followup[0].sum(axis=0) for kind in kinds])
    parts = {}
    for name, weight in weights.items():
        steps = [
            _of_kind(kind, name, whole[name], weight, oldest)
            for kind, oldest in zip(kinds, ages, strict=True)
        ]
        parts[name] = doing(
            np.stack(steps, axis=1), buyers=buyers, level=weight, n_days=n_days
        )
    few = [k for k, age in zip(kinds, ages, strict=True) if age is None]
    return Doings(
        **parts,
        cohorts=_table(levels, cohort, pooled),
        notes=tuple(
            f"{int(kind.followup.sum())} buyers of source {kind.source[0]}: taken as "
            "all buyers are"
            for kind in few
            if kind.followup.sum()
        ),
    )


def cohort_of(n_days: int) -> npt.NDArray[np.int64]:
    """Return the number of the cohort of buyers followed for 0, 1, 2, ... days.

    Parameters
    ----------
    n_days : int
        Days observed.

    Returns
    -------
    ndarray of int64, shape (n_days,)
        0 for those whose first purchase fell into the first 30 days of the data.

    Examples
    --------
    >>> cohort_of(32).tolist() == [1, 1] + [0] * 30
    True
    """
    return np.asarray((n_days - 1 - np.arange(n_days)) // COHORT_DAYS)


def _levels(
    kinds: list[LoopCells],
    pooled: LoopCells,
    name: str,
    cohort: npt.NDArray[np.int64],
) -> Levels:
    """Fit the levels of cohorts."""
    by_age, by_followup, people = (
        np.concatenate([getattr(kind, part) for kind in kinds])
        for part in (name, f"{name}_after", "followup")
    )
    counted = "brought" if name == "brought" else "orders"
    rate = mean_curves(getattr(pooled, counted)[0], n_followup=pooled.followup[0])
    by_now = np.nan_to_num(rate.steps[-1, 1:]).cumsum()
    followed = pooled.followup[0].sum(axis=0)
    n_expected = np.bincount(cohort, followed * np.append(0.0, by_now))
    return cohort_levels(
        by_age,
        by_followup=by_followup,
        n_followup=people,
        cohort=cohort,
        enough=(np.bincount(cohort, followed) >= MIN_AT_RISK)
        & (n_expected >= MIN_EXPECTED),
    )


def _curves(kind: LoopCells, name: str, level: FloatArray) -> Curves:
    """Return what buyers of one kind do at each age, at a level of 1."""
    return mean_curves(getattr(kind, name)[0], n_followup=kind.followup[0], level=level)


def _known_to(curves: Curves, oldest: int) -> int:
    """Return the oldest age that as many as 30 average buyers have reached."""
    return int(np.flatnonzero(curves.exposure[: oldest + 1] >= MIN_AT_RISK)[-1])


def _extended(curves: Curves, oldest: int, n_ages: int) -> FloatArray:
    """Return a daily rate of all buyers, and its curve beyond the oldest age."""
    longest = _known_to(curves, oldest)
    known = curves.steps[:, : longest + 1]
    people = curves.exposure[: longest + 1]
    later = np.arange(longest + 1, n_ages)
    # The day of the first purchase has its own rate: it is no part of the curve.
    rest = [
        tail_rate(fit_tail(row[1:], n_at_risk=people[1:]), later - 1) for row in known
    ]
    return np.hstack([known, np.array(rest)])


def _revenue(
    curves: Curves, orders: FloatArray, oldest: int, n_ages: int
) -> FloatArray:
    """Return daily revenue of all buyers; beyond the oldest age by orders."""
    longest = _known_to(curves, oldest)
    known = curves.steps[:, : longest + 1]
    last = slice(max(1, longest // 4), longest + 1)
    made = orders[:, last].sum(axis=1)
    per_order = np.divide(
        known[:, last].sum(axis=1), made, out=np.zeros(made.size), where=made > 0
    )
    rest = orders[:, longest + 1 : n_ages] * per_order[:, None]
    return np.hstack([known, rest])


def _of_kind(
    kind: LoopCells,
    name: str,
    common: FloatArray,
    level: FloatArray,
    oldest: int | None,
) -> FloatArray:
    """Return a daily rate of one kind; beyond its oldest age that of all, scaled."""
    if oldest is None:
        return common
    curves = _curves(kind, name, level)
    oldest = _known_to(curves, oldest)
    known = curves.steps[:, : oldest + 1]
    last = slice(min(oldest, max(1, oldest // 4)), oldest + 1)
    whole = common[:, last].sum(axis=1)
    # From a few events nothing can be said of how a kind differs from all.
    n_expected = float((common[-1, last] * curves.n_at_risk[last]).sum())
    if name == "revenue":
        n_expected *= float(kind.orders.sum()) / max(float(kind.revenue.sum()), 1e-9)
    if n_expected < MIN_AT_RISK:
        return np.hstack([known, common[:, oldest + 1 :]])
    ratio = np.divide(
        known[:, last].sum(axis=1), whole, out=np.zeros(whole.size), where=whole != 0
    )
    return np.hstack([known, common[:, oldest + 1 :] * ratio[:, None]])


def _table(
    levels: dict[str, Levels], cohort: npt.NDArray[np.int64], pooled: LoopCells
) -> pd.DataFrame:
    """Write the levels of each cohort."""
    days = pd.Timestamp(pooled.end) - pd.to_timedelta(np.arange(cohort.size), unit="D")
    buyers = pd.Series(pooled.followup[0].sum(axis=0).astype(np.int64))
    by_cohort = pd.DataFrame({"day": days, "n_buyers": buyers}).groupby(cohort)
    table = by_cohort.agg(
        first_day=("day", "min"), last_day=("day", "max"), n_buyers=("n_buyers", "sum")
    )
    for name in DOINGS:
        found = levels[name]
        table[f"{name}_level"] = found.level[-1]
        table[f"{name}_level_raw"] = found.raw
        reach = normal_quantile(CONFIDENCE) * found.std_error
        table[f"{name}_level_low"] = found.raw * np.exp(-reach)
        table[f"{name}_level_high"] = found.raw * np.exp(reach)
    return table[schema.names("loop_cohorts")]
