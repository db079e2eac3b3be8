"""Predictions beside what happened, by tenths of people, however many are alike."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.rows import FloatArray


class Tenths(NamedTuple):
    """Sums over tenths of people, the highest score first.

    Parameters
    ----------
    n_people : ndarray of float64, shape (10,)
        People, a tenth of all.
    predicted, actual, actual_square : ndarray of float64, shape (10,)
        Sums of what was predicted, of what happened, and of its square.
    """

    n_people: FloatArray
    predicted: FloatArray
    actual: FloatArray
    actual_square: FloatArray


def tenths(
    score: npt.ArrayLike,
    *,
    predicted: npt.ArrayLike,
    actual: npt.ArrayLike,
    counts: npt.ArrayLike,
) -> Tenths:
    """Sum predictions and outcomes over tenths of people by a score.

    Parameters
    ----------
    score : array_like of float, shape (n,)
        What people are ranked by.
    predicted, actual : array_like of float, shape (n,)
        What was predicted of each person of a row, and what happened.
    counts : array_like of float, shape (n,)
        People per row.

    Returns
    -------
    Tenths

    Notes
    -----
    People of equal score are one group: where the edge of a tenth runs through it, each
    side gets its share of the sums of the group, so that no order of rows matters.

    Examples
    --------
    Ten people of score 2 and ten of score 1: the tenths are of two people each.

    >>> found = tenths([2, 1], predicted=[1.0, 0.0], actual=[2.0, 0.5], counts=[10, 10])
    >>> found.n_people[0], found.actual[[0, 4, 5]].tolist()
    (np.float64(2.0), [4.0, 4.0, 1.0])
    """
    n = np.asarray(counts, dtype=np.float64)
    happened = np.asarray(actual, dtype=np.float64)
    guess = np.asarray(predicted, dtype=np.float64)
    level, place = np.unique(-np.asarray(score, dtype=np.float64), return_inverse=True)
    columns = [
        np.bincount(place, weights=n * each, minlength=level.size)
        for each in (np.ones(n.size), guess, happened, happened**2)
    ]
    edge = np.concatenate([[0.0], np.cumsum(columns[0])])
    cuts = np.linspace(0.0, edge[-1], 11)
    sums = [
        np.diff(np.interp(cuts, edge, np.concatenate([[0.0], np.cumsum(column)])))
        for column in columns
    ]
    return Tenths(*sums)
