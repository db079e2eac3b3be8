"""What comes of the buyers there are, and of those who will come: day by day ahead."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.rows import FloatArray


class Doing(NamedTuple):
    """One thing that buyers do.

    Parameters
    ----------
    steps : ndarray of float64, shape (..., n_kinds, n_ages + n_days)
        How much of it a new buyer does at age 0, 1, 2, ... days.
    level : ndarray of float64, shape (..., n_ages)
        By which factor buyers there are, of age 0, 1, 2, ..., do more of it at every
        later age.
    """

    steps: FloatArray
    level: FloatArray


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
    buyers: npt.ArrayLike,
    *,
    coming: npt.ArrayLike,
    brings: Doing,
    does: tuple[Doing, ...],
    descent: int,
) -> Ahead:
    """Let the loop run on.

    Parameters
    ----------
    buyers : array_like of float, shape (n_kinds, n_ages)
        Buyers there are, by kind and age in days at the end of the last day.
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

    >>> brings = Doing(np.array([[0.0, 0.5, 0.0, 0.0]]), np.ones(1))
    >>> once = Doing(np.array([[1.0, 0.0, 0.0, 0.0]]), np.ones(1))
    >>> ahead = project([[1.0]], coming=[[0, 0, 0]], brings=brings, does=(once,),
    ...     descent=0)
    >>> ahead.brought.tolist(), ahead.done[0].tolist()
    ([0.5, 0.25, 0.125], [0.5, 0.25, 0.125])
    """
    there = np.asarray(buyers, dtype=np.float64)
    new = np.array(coming, dtype=np.float64)
    made = brings.steps
    if (made[..., descent, 0] >= 1).any():
        raise ValueError("a buyer brings one or more on the day of the first purchase")
    n_days = new.shape[-1]
    outside = new.sum(axis=-2)
    brought = _of_those_there(there, brings, n_days).sum(axis=-2)
    for day in range(n_days):
        ages = made[..., day::-1]
        same_day = made[..., descent, 0]
        here = (new[..., : day + 1] * ages).sum(axis=(-2, -1))
        # Who is brought today may bring somebody today.
        brought[..., day] = (brought[..., day] + here) / (1.0 - same_day)
        new[..., descent, day] += brought[..., day]
    done = tuple(
        (_of_those_there(there, one, n_days) + _of_new(new, one.steps)).sum(axis=-2)
        for one in does
    )
    return Ahead(outside, brought, done)


def _of_those_there(there: FloatArray, doing: Doing, n_days: int) -> FloatArray:
    """Sum over those there of what they do on each day ahead, by kind."""
    n_ages = there.shape[-1]
    counted = there * doing.level[..., None, :]
    windows = np.lib.stride_tricks.sliding_window_view(doing.steps, n_ages, axis=-1)
    return np.asarray(
        np.einsum("...ka,...kda->...kd", counted, windows[..., 1 : n_days + 1, :])
    )


def _of_new(new: FloatArray, steps: FloatArray) -> FloatArray:
    """Sum over those who come of what they do on each day ahead, by kind."""
    n_days = new.shape[-1]
    total = np.zeros(np.broadcast_shapes(new.shape, steps[..., :n_days].shape))
    for day in range(n_days):
        total[..., day:] += new[..., day, None] * steps[..., : n_days - day]
    return total
