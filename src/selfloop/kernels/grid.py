"""Distinct values of columns without sorting, where they lie on a grid such as days."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.purchase_model import IntArray
from selfloop.kernels.rows import FloatArray

_N_BUCKETS = 65_536  # distinct times on a grid fall into one each
_N_KEYS = 2**24  # a table of all pairs may be that long


def on_grid(values: FloatArray) -> tuple[FloatArray, IntArray] | None:
    """Return distinct values, rising, and which one each is; None if off any grid.

    Values on a grid of up to some 65,000 steps, such as days, fall into buckets of
    their own, which takes a tenth of the time of sorting them.
    """
    if not values.size:
        return None
    low, span = values.min(), np.ptp(values)
    share = (values - low) / (span if span > 0 else 1.0)
    bucket = (share * (_N_BUCKETS - 1)).astype(np.int64)
    kept = np.full(_N_BUCKETS, np.nan)
    kept[bucket] = values
    if not np.array_equal(kept[bucket], values):
        return None
    used = np.flatnonzero(~np.isnan(kept))
    number = np.zeros(_N_BUCKETS, dtype=np.int64)
    number[used] = np.arange(used.size)
    return kept[used], number[bucket]


class Pairs(NamedTuple):
    """Distinct pairs of x and age, and which one each row has.

    Parameters
    ----------
    x, age : ndarray of float64, shape (n_pairs,)
        The pairs, by rising x, then age.
    number : ndarray of int64, shape (n,)
        Number of the pair of each row.
    """

    x: FloatArray
    age: FloatArray
    number: IntArray


def distinct_pairs(x: npt.ArrayLike, age: npt.ArrayLike) -> Pairs:
    """Return the distinct pairs of x and age, and which one each row has.

    Parameters
    ----------
    x : array_like of int, shape (n,)
        Repeat purchases.
    age : array_like of float, shape (n,)
        Ages.

    Returns
    -------
    Pairs

    Examples
    --------
    >>> distinct_pairs([1, 0, 1], [5.0, 2.0, 5.0]).number.tolist()
    [1, 0, 1]
    """
    count, ages = np.asarray(x, np.float64), np.asarray(age, np.float64)
    pairs = few_pairs(count, ages)
    if pairs is not None:
        return pairs
    ages, age_no = np.unique(ages, return_inverse=True)
    key = count.astype(np.int64) * ages.size + age_no
    keys, number = np.unique(key, return_inverse=True)
    return Pairs((keys // ages.size).astype(np.float64), ages[keys % ages.size], number)


def few_pairs(x: FloatArray, age: FloatArray) -> Pairs | None:
    """Return the distinct pairs without sorting; None when there may be too many."""
    counts, ages = on_grid(x), on_grid(age)
    if counts is None or ages is None:
        return None
    n_keys = counts[0].size * ages[0].size
    if n_keys > _N_KEYS:
        return None
    key = counts[1] * ages[0].size + ages[1]
    seen = np.zeros(n_keys, dtype=np.bool_)
    seen[key] = True
    used = np.flatnonzero(seen)
    number = np.empty(n_keys, dtype=np.int64)
    number[used] = np.arange(used.size)
    x_no, age_no = np.divmod(used, ages[0].size)
    return Pairs(counts[0][x_no], ages[0][age_no], number[key])
