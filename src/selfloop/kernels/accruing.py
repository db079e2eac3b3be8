"""What a buyer and all who follow have come to by an age."""

import numpy as np
import numpy.typing as npt

from selfloop.kernels.rows import FloatArray


def accrued(own: npt.ArrayLike, *, brought: npt.ArrayLike) -> FloatArray:
    """Return what a buyer, those brought, and those whom they bring spend by each age.

    Parameters
    ----------
    own : array_like of float, shape (..., n_days)
        What a buyer spends at age 0, 1, 2, ... days.
    brought : array_like of float, shape (..., n_days)
        Buyers whom a buyer brings at that age, 0 or more; those of age 0 below 1.

    Returns
    -------
    ndarray of float64, shape (..., n_days)
        What falls on each day after the first purchase, of them all together.

    Raises
    ------
    ValueError
        When a buyer brings one more or more on the day of the first purchase.

    Notes
    -----
    The renewal equation w(t) = own(t) + sum over a <= t of brought(a) w(t - a) [1]_.

    References
    ----------
    .. [1] W. Feller, "On the integral equation of renewal theory", Annals of
       Mathematical Statistics 12 (1941).

    Examples
    --------
    Everybody spends 8 at once and brings half a buyer a day later.

    >>> accrued([8.0, 0.0, 0.0], brought=[0.0, 0.5, 0.0]).tolist()
    [8.0, 4.0, 2.0]
    """
    spent = np.asarray(own, dtype=np.float64)
    made = np.asarray(brought, dtype=np.float64)
    if (made[..., 0] >= 1).any():
        raise ValueError("a buyer brings one or more on the day of the first purchase")
    value: FloatArray = np.zeros(np.broadcast_shapes(spent.shape, made.shape))
    for day in range(spent.shape[-1]):
        earlier = (made[..., 1 : day + 1] * value[..., :day][..., ::-1]).sum(axis=-1)
        value[..., day] = (spent[..., day] + earlier) / (1.0 - made[..., 0])
    return value


def accrued_after(
    own: npt.ArrayLike, *, brought: npt.ArrayLike, following: npt.ArrayLike
) -> FloatArray:
    """Return the same of a buyer who differs from those who are brought.

    Parameters
    ----------
    own, brought : array_like of float, shape (..., n_days)
        Of this buyer.
    following : array_like of float, shape (..., n_days)
        `accrued` of those who are brought.

    Returns
    -------
    ndarray of float64, shape (..., n_days)
        own(t) + sum over a <= t of brought(a) following(t - a).

    Examples
    --------
    >>> accrued_after([10, 0, 0], brought=[0, 1, 0], following=[8, 4, 2]).tolist()
    [10.0, 8.0, 4.0]
    """
    spent = np.asarray(own, dtype=np.float64)
    made = np.asarray(brought, dtype=np.float64)
    after = np.asarray(following, dtype=np.float64)
    value = np.array(np.broadcast_to(spent, np.broadcast_shapes(
        spent.shape, made.shape, after.shape)))  # fmt: skip
    for age in range(spent.shape[-1]):
        value[..., age:] += made[..., age, None] * after[..., : after.shape[-1] - age]
    return value
