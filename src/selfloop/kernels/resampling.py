"""How far an estimate moves when groups of people are left out in turn."""

import numpy as np
import numpy.typing as npt

from selfloop.kernels.rows import FloatArray


def left_out(cells: npt.ArrayLike) -> FloatArray:
    """Sum over groups without each in turn, and over all of them.

    Parameters
    ----------
    cells : array_like, shape (n_groups, n)
        A sum per group and place.

    Returns
    -------
    ndarray of float64, shape (n_groups + 1, n)
        Row g is the sum without group g; the last row is the sum of all.

    Examples
    --------
    >>> left_out([[1, 2], [3, 4], [5, 6]]).tolist()
    [[8.0, 10.0], [6.0, 8.0], [4.0, 6.0], [9.0, 12.0]]
    """
    parts = np.asarray(cells, dtype=np.float64)
    whole = parts.sum(axis=0)
    return np.vstack([whole - parts, whole])


def at_risk(n_followup: npt.ArrayLike) -> FloatArray:
    """Count people followed to each day or longer, without each group and of all.

    Parameters
    ----------
    n_followup : array_like of int, shape (n_groups, n_days)
        People of each group followed for exactly 0, 1, 2, ... days.

    Returns
    -------
    ndarray of float64, shape (n_groups + 1, n_days)
        Rows as in `left_out`.

    Examples
    --------
    >>> at_risk([[1, 2], [3, 4]]).tolist()
    [[7.0, 4.0], [3.0, 2.0], [10.0, 6.0]]
    """
    return left_out(n_followup)[:, ::-1].cumsum(axis=1)[:, ::-1]


def jackknife_variance(replicates: npt.ArrayLike) -> FloatArray:
    """Return the variance of estimates from their values without each group.

    Parameters
    ----------
    replicates : array_like of float, shape (n_groups, ...)
        The estimates without each group of people in turn; two groups or more.

    Returns
    -------
    ndarray of float64, shape (...)
        (g - 1) / g times the sum of squares around their mean; NaN when one is.

    References
    ----------
    J. Shao, D. Tu, The Jackknife and Bootstrap, Springer 1995, section 2.3
    (delete-a-group jackknife).

    Examples
    --------
    For a mean it is the variance of the mean: of 1, 2 and 6, variance 7, over 3.

    >>> jackknife_variance([4.0, 3.5, 1.5]).round(6).item(), round(7 / 3, 6)
    (2.333333, 2.333333)
    """
    values = np.asarray(replicates, dtype=np.float64)
    n = values.shape[0]
    around = values - values.mean(axis=0)
    return np.asarray((n - 1) / n * (around**2).sum(axis=0))
