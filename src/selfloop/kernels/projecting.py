"""What comes of the buyers there are, and of those who will come: day by day ahead."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.rows import FloatArray


class Doing(NamedTuple):
    """One thing that buyers do, made by `doing`.

    Parameters
    ----------
    steps : ndarray of float64, shape (..., n_kinds, n_ages)
        How much of it a new buyer does at age 0, 1, 2, ... days; as many ages as days
        ahead, or more.
    by_old : ndarray of float64, shape (..., n_days)
        How much of it buyers there are do on each day ahead.
    """

    steps: FloatArray
    by_old: FloatArray


def doing(
    steps: npt.ArrayLike,
    *,
    buyers: npt.ArrayLike,
    level: npt.ArrayLike = 1.0,
    n_days: int,
) -> Doing:
    """Add up what buyers there are do.

    Parameters
    ----------
    steps : array_like of float, shape (..., n_kinds, n_ages + n_days)
        How much of it a buyer does at age 0, 1, 2, ... days.
    buyers : array_like of float, shape (n_kinds, n_ages)
        Buyers there are, by kind and age in days at the end of the last day.
    level : array_like of float, shape (..., n_ages)
        By which factor buyers of that age do more of it at every later age.
    n_days : int
        Days ahead.

    Returns
    -------
    Doing

    Examples
    --------
    Two buyers of age 1 who do a third of what others do.

    >>> doing([[3.0, 2.0, 6.0, 9.0]], buyers=[[0, 2]], level=1 / 3, n_days=2).by_old
    array([4., 6.])
    """
    rates = np.asarray(steps, dtype=np.float64)
    there = np.asarray(buyers, dtype=np.float64)
    factor = np.asarray(level, dtype=np.float64)
    counted = there * (factor[..., None, :] if factor.ndim else factor)
    windows = np.lib.stride_tricks.sliding_window_view(rates, there.shape[-1], axis=-1)
    by_old = np.einsum("...ka,...kda->...d", counted, windows[..., 1 : n_days + 1, :])
    return Doing(rates, np.asarray(by_old))


class Ahead(NamedTuple):
    """What is expected on each day to come.

    Parameters
    ----------
    outside : ndarray of float64, shape (..., n_days)
        New buyers whom no buyer brings.
    brought : ndarray of float64, shape (..., n_days)
        New buyers whom buyers bring.
    done : tuple of ndarray of float64, shape (..., n_days)
        For each kind of doing: how much of it, by old and new buyers.
    """

    outside: FloatArray
    brought: FloatArray
    done: tuple[FloatArray, ...]


def project(
    coming: npt.ArrayLike,
    *,
    brings: Doing,
    does: tuple[Doing, ...],
    descent: int,
) -> Ahead:
    """Let the loop run on.

    Parameters
    ----------
    coming : array_like of float, shape (..., n_kinds, n_days)
        New buyers from outside on each day to come.
    brings : Doing
        Buyers whom a buyer brings; at age 0 below 1.
    does : tuple of Doing
        What else a buyer does: orders, revenue.
    descent : int
        Number of the kind to which those who are brought belong.

    Returns
    -------
    Ahead

    Raises
    ------
    ValueError
        When those who are brought bring one or more on the day of the first purchase.

    Notes
    -----
    The renewal equation, with n_k(a) buyers of kind k and age a and level l(a), and
    b_k(t) those who come on day t: B(t) = sum over k of (sum over a of n_k(a) l(a)
    m_k(a + t) + sum over s <= t of b_k(s) m_k(t - s)), where B(t) is part of b of the
    kind `descent` [1]_.

    References
    ----------
    .. [1] W. Feller, "On the integral equation of renewal theory", Annals of
       Mathematical Statistics 12 (1941).

    Examples
    --------
    One buyer of age 0; everybody brings half a buyer a day later and orders once.

    >>> brings = doing([[0.0, 0.5, 0.0, 0.0]], buyers=[[1.0]], n_days=3)
    >>> once = doing([[1.0, 0.0, 0.0, 0.0]], buyers=[[1.0]], n_days=3)
    >>> ahead = project([[0, 0, 0]], brings=brings, does=(once,), descent=0)
    >>> ahead.brought.tolist(), ahead.done[0].tolist()
    ([0.5, 0.25, 0.125], [0.5, 0.25, 0.125])
    """
    new = np.array(coming, dtype=np.float64)
    made = brings.steps
    same_day = made[..., descent, 0]
    if (same_day >= 1).any():
        raise ValueError("a buyer brings one or more on the day of the first purchase")
    outside = new.sum(axis=-2)
    brought = brings.by_old.copy()
    for day in range(new.shape[-1]):
        ages = made[..., day::-1]
        here = (new[..., : day + 1] * ages).sum(axis=(-2, -1))
        # Who is brought today may bring somebody today.
        brought[..., day] = (brought[..., day] + here) / (1.0 - same_day)
        new[..., descent, day] += brought[..., day]
    done = tuple(one.by_old + _of_new(new, one.steps) for one in does)
    return Ahead(outside, brought, done)


def _of_new(new: FloatArray, steps: FloatArray) -> FloatArray:
    """Sum over those who come of what they do on each day ahead."""
    n_days = new.shape[-1]
    shape = np.broadcast_shapes(new.shape[:-2], steps.shape[:-2])
    total = np.zeros((*shape, n_days))
    for day in range(n_days):
        total[..., day:] += np.einsum(
            "...k,...kd->...d", new[..., day], steps[..., : n_days - day]
        )
    return total
