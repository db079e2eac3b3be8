"""The loop run on: who is there, who comes, and what each is going to do."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from selfloop.core.errors import FitError
from selfloop.core.settings import MIN_AT_RISK
from selfloop.kernels.projecting import Ahead, Doing, project
from selfloop.kernels.rows import FloatArray
from selfloop.measures.loop.cells import LoopCells
from selfloop.measures.loop.circulation import SOURCES
from selfloop.measures.loop.doing import doings, oldest_age
from selfloop.measures.loop.worth import conversion_curves


class Change(NamedTuple):
    """By which factor each stage of the loop changes; 1 leaves it as it is.

    Parameters
    ----------
    traffic : float
        Visitors from outside.
    paid : float
        Of these, those from paid channels, on top.
    conversion, repurchase, referral : ndarray of float64, shape (N_GROUPS + 1,)
        Visitors who buy, purchases after the first, buyers whom a buyer brings;
        without each group of people and of all.
    """

    traffic: float
    paid: float
    conversion: FloatArray
    repurchase: FloatArray
    referral: FloatArray


def with_factor(change: Change, stage: str, factor: FloatArray | float) -> Change:
    """Return a change with another factor of one stage.

    Parameters
    ----------
    change : Change
        Factors of all stages.
    stage : str
        One of its fields.
    factor : ndarray of float64 or float
        The new factor; a number is the same without each group.

    Returns
    -------
    Change
    """
    if stage in ("traffic", "paid"):
        return Change(**(change._asdict() | {stage: float(np.ravel(factor)[-1])}))
    every = np.broadcast_to(factor, change.conversion.shape)
    return Change(**(change._asdict() | {stage: np.asarray(every, dtype=np.float64)}))


def no_change(n_groups: int) -> Change:
    """Return the change that leaves everything as it is."""
    one = np.ones(n_groups + 1)
    return Change(1.0, 1.0, one, one, one)


class Running(NamedTuple):
    """A loop that can be run on.

    Parameters
    ----------
    coming : ndarray of float64, shape (N_GROUPS + 1, n_kinds, n_days)
        New buyers from outside on each day ahead who are yet to arrive.
    deciding : ndarray, same shape
        The same who have arrived and not bought yet.
    brings, orders, revenue : Doing
        What a buyer does at each age, and how cohorts differ.
    before : ndarray of float64, shape (3, n_days or all observed)
        New buyers, purchases and net revenue on the last days there were.
    cohorts : DataFrame
        Columns of `schema.LOOP_COHORTS`.
    n_days : int
        Days ahead.
    longest_days : int
        Oldest age that 30 buyers have reached; what follows is a curve laid through.
    recent_days : int
        Days before the end whose arrivals go on as they were; no more than observed.
    has_referrals : bool
        Whether it is known who brought whom.
    notes : tuple of str
        What was taken from all buyers, because there are too few of a kind.
    """

    coming: FloatArray
    deciding: FloatArray
    brings: Doing
    orders: Doing
    revenue: Doing
    before: FloatArray
    cohorts: pd.DataFrame
    n_days: int
    longest_days: int
    recent_days: int
    has_referrals: bool
    notes: tuple[str, ...]

    def run(self, change: Change) -> Ahead:
        """Let it run.

        Parameters
        ----------
        change : Change
            What is different from tomorrow on.

        Returns
        -------
        Ahead
            Of each group left out and of all people; `done` has orders and revenue.

        Raises
        ------
        FitError
            People brought bring one or more on the day of their first purchase.
        """
        arriving = self.coming * change.traffic
        arriving[:, SOURCES.index("paid")] *= change.paid
        flows = (arriving + self.deciding) * change.conversion[:, None, None]
        lift = change.referral * change.conversion
        brings = self.brings.steps * lift[:, None, None]
        same_day = brings[:, SOURCES.index("referral"), 0].copy()
        # Without some group of people it may have no end; the range is then unknown.
        lift = np.where(same_day >= 1, np.nan, lift)
        brings[same_day >= 1] = np.nan
        if same_day[-1] >= 1:
            raise FitError(
                "people who are brought would bring one more each on the very day of "
                "their first purchase: there is no end to it within a day"
            )
        return project(
            flows,
            brings=Doing(brings, self.brings.by_old * lift[:, None]),
            does=tuple(
                _after_the_first(doing, change.repurchase)
                for doing in (self.orders, self.revenue)
            ),
            descent=SOURCES.index("referral"),
        )


def _after_the_first(doing: Doing, factor: FloatArray) -> Doing:
    """Multiply what a buyer does after the day of the first purchase."""
    scale = np.ones((factor.size, 1, doing.steps.shape[-1]))
    scale[:, :, 1:] = factor[:, None, None]
    # Buyers there are have had that day.
    return Doing(doing.steps * scale, doing.by_old * factor[:, None])


def running(cells: LoopCells, *, n_days: int, recent_days: int) -> Running:
    """Prepare a loop to be run on.

    Parameters
    ----------
    cells : LoopCells
        What people did by age.
    n_days : int
        Days ahead.
    recent_days : int
        Days before the end whose arrivals are taken to go on as they were.

    Returns
    -------
    Running

    Raises
    ------
    FitError
        With fewer than 30 buyers observed for a week.
    """
    kinds = [cells.where(source=source) for source in SOURCES]
    pooled = cells.where()
    longest = oldest_age(pooled)
    if longest is None or longest < 7:
        raise FitError(
            f"fewer than {MIN_AT_RISK} buyers were observed for a week: what buyers "
            "are going to do cannot be told"
        )
    does = doings(kinds, pooled, longest=longest, n_days=n_days)
    notes = list(does.notes)
    recent = min(recent_days, cells.n_days)
    flows = [
        _flows(kind, source, n_days, recent, notes)
        for source, kind in zip(SOURCES, kinds, strict=True)
    ]
    return Running(
        coming=np.stack([arriving for arriving, _ in flows], axis=1),
        deciding=np.stack([deciding for _, deciding in flows], axis=1),
        brings=does.brought,
        orders=does.orders,
        revenue=does.revenue,
        before=np.vstack([pooled.followup[0].sum(axis=0), cells.daily])[:, :n_days],
        cohorts=does.cohorts,
        n_days=n_days,
        longest_days=longest,
        recent_days=recent,
        has_referrals=cells.has_referrals,
        notes=tuple(notes),
    )


def _flows(
    kind: LoopCells, source: str, n_days: int, recent: int, notes: list[str]
) -> tuple[FloatArray, FloatArray]:
    """Return new buyers per day ahead: yet to arrive, and still deciding."""
    shape = kind.followup.shape[1] + 1, n_days
    if source == "referral":
        # Brought by people who never bought: from outside the loop.
        return _per_day(kind.seeded[0], recent, n_days), np.zeros(shape)
    if not kind.has_visits:
        return _per_day(kind.followup[0], recent, n_days), np.zeros(shape)
    curves = conversion_curves(kind)
    longest = curves.longest(MIN_AT_RISK)
    if longest is None:
        if kind.arrived.sum():
            n = int(kind.arrived.sum())
            notes.append(f"{n} people of source {source}: new buyers as of late")
        return _per_day(kind.followup[0], recent, n_days), np.zeros(shape)
    n_lags = kind.n_days + n_days
    falls = np.zeros((shape[0], n_lags))
    falls[:, : longest + 1] = curves.steps[:, : longest + 1]
    share = np.cumsum(falls, axis=1)
    rate = _per_day(kind.arrived[0], recent, n_days)
    arriving = rate * share[:, :n_days]
    waiting = kind.waiting[0].sum(axis=0)
    left = 1.0 - share[:, : kind.n_days]
    odds = np.divide(waiting, left, out=np.zeros(left.shape), where=left > 0)
    windows = np.lib.stride_tricks.sliding_window_view(falls, kind.n_days, axis=-1)
    deciding = np.einsum("ga,gda->gd", odds, windows[:, 1 : n_days + 1])
    return arriving, deciding


def _per_day(counts: FloatArray, recent: int, n_days: int) -> FloatArray:
    """Return how many come per day of late, on each day ahead, without each group."""
    late = counts[:, :recent].sum(axis=1)
    n_groups = late.size
    # Without a group there are fewer: as many as all of them would have been.
    without = (late.sum() - late) * n_groups / (n_groups - 1)
    per_day = np.append(without, late.sum()) / recent
    return np.repeat(per_day[:, None], n_days, axis=1)
