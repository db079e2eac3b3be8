"""What people do by an age, for all of them and without each group of them in turn."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.resampling import at_risk, left_out
from selfloop.kernels.rows import FloatArray


class Curves(NamedTuple):
    """What happens on each day of age, without each group in turn and of all people.

    Parameters
    ----------
    steps : ndarray of float64, shape (n_groups + 1, n_days)
        Mean per person on that day of age; the last row is of all people. NaN where
        nobody of the row was observed.
    n_at_risk : ndarray of float64, shape (n_days,)
        People observed to that age, all of them.
    exposure : ndarray of float64, shape (n_days,)
        What the steps of the last row were divided by: `n_at_risk`, unless people
        count by their levels.
    """

    steps: FloatArray
    n_at_risk: FloatArray
    exposure: FloatArray

    def longest(self, enough: int) -> int | None:
        """Return the longest age that enough people have reached.

        Parameters
        ----------
        enough : int
            How many; at least 1.

        Returns
        -------
        int or None
            None when not even enough people are observed at all.
        """
        known = np.flatnonzero(self.n_at_risk >= enough)
        return int(known[-1]) if known.size else None

    def by(self, age: int) -> FloatArray:
        """Return what has happened by an age.

        Parameters
        ----------
        age : int
            In days, inclusive.

        Returns
        -------
        ndarray of float64, shape (n_groups + 1,)
        """
        return np.asarray(self.steps[:, : age + 1].sum(axis=1))


def mean_curves(
    happened: npt.ArrayLike,
    *,
    n_followup: npt.ArrayLike,
    level: npt.ArrayLike | None = None,
) -> Curves:
    """Estimate what a person does on each day of age, using everybody.

    Parameters
    ----------
    happened : array_like of float, shape (n_groups, n_days)
        Events, or money, at age 0, 1, 2, ... days.
    n_followup : array_like of int, shape (n_groups, n_days)
        People followed for exactly so many days.
    level : array_like of float, shape (n_groups + 1, n_days), optional
        By which factor people who were followed for so many days do more after age 0
        than those whose rates are wanted; without each group in turn and of all.

    Returns
    -------
    Curves
        Increments of the mean cumulative function (`survival.mean_cumulative`); with
        levels, what happened over the sum of the levels of people at risk.

    Examples
    --------
    Two groups of one person each, followed for 1 and 2 days.

    >>> curves = mean_curves([[1, 0, 0], [0, 0, 4]], n_followup=[[0, 1, 0], [0, 0, 1]])
    >>> curves.steps[-1].tolist(), curves.n_at_risk.tolist()
    ([0.5, 0.0, 4.0], [2.0, 2.0, 1.0])
    >>> curves.by(1).tolist()
    [0.0, 1.0, 0.5]
    """
    people = at_risk(n_followup)
    counted = people
    if level is not None:
        each = left_out(n_followup) * np.asarray(level, dtype=np.float64)
        counted = each[:, ::-1].cumsum(axis=1)[:, ::-1]
        counted[:, 0] = people[:, 0]
    steps = np.full(people.shape, np.nan)
    np.divide(left_out(happened), counted, out=steps, where=people > 0)
    return Curves(steps, people[-1], counted[-1])


def reached_curves(reached: npt.ArrayLike, *, n_waiting: npt.ArrayLike) -> Curves:
    """Estimate which share of people gets somewhere on each day, using everybody.

    Parameters
    ----------
    reached : array_like of int, shape (n_groups, n_days)
        People who got there 0, 1, 2, ... days after they entered.
    n_waiting : array_like of int, shape (n_groups, n_days)
        People who have not, by the days they were followed.

    Returns
    -------
    Curves
        Falls of the Kaplan-Meier curve (`survival.kaplan_meier`), which sum to the
        share that got there; `n_at_risk` counts those still waiting.

    Examples
    --------
    One of two on day 1; the other followed for 2 days.

    >>> reached_curves([[0, 1, 0], [0, 0, 0]], n_waiting=[[0, 0, 0], [0, 0, 1]]).by(2)
    array([0. , 1. , 0.5])
    """
    hits = left_out(reached)
    still = at_risk(np.asarray(reached) + np.asarray(n_waiting))
    hazard = np.divide(hits, still, out=np.zeros(still.shape), where=still > 0)
    stays = np.cumprod(1.0 - hazard, axis=1)
    before = np.hstack([np.ones((stays.shape[0], 1)), stays[:, :-1]])
    # With nobody left to watch no more is known, unless all have got there.
    is_known = (still > 0) | (before == 0)
    steps = np.where(is_known, before * hazard, np.nan)
    return Curves(steps, still[-1], still[-1])
