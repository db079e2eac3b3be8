"""Distinct rows of data, and how many people each stands for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_INTEGERS = 2**62  # packed rows stay below
_SMALL = 2**21  # whole numbers below need no ranks
_GLANCE = 1_000  # values that tell whether a column may lie evenly


@dataclass(frozen=True, eq=False)
class Rows:
    """Distinct rows of data and how many people each stands for.

    Parameters
    ----------
    columns : tuple of ndarray of float64
        The columns, all of one length, in rising order of the rows.
    counts : ndarray of float64
        People per row, above 0.
    """

    columns: tuple[FloatArray, ...]
    counts: FloatArray

    @property
    def n_people(self) -> float:
        """People behind all rows."""
        return float(self.counts.sum())

    @property
    def n_distinct(self) -> int:
        """Distinct rows."""
        return int(self.counts.size)


def dot(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Sum the products of two arrays.

    ``a @ b`` would wake the threads of BLAS for every call, which makes a fit with
    many short calls ten times slower, and more on a busy machine.

    Examples
    --------
    >>> dot(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    11.0
    """
    return float(np.einsum("i,i->", a, b))


def distinct_rows(
    columns: Sequence[npt.ArrayLike], *, counts: npt.ArrayLike | None = None
) -> Rows:
    """Return the distinct rows of a table and how many people each stands for.

    Parameters
    ----------
    columns : sequence of array_like of float, shape (n,)
        The columns, finite.
    counts : array_like of float, shape (n,), optional
        People per row, at least 0; one each by default. Rows of nobody go.

    Returns
    -------
    Rows
        In rising order of the first column, then the second, and so on; the order
        of the input does not matter.

    Raises
    ------
    ValueError
        When columns differ in length, a value is not finite, or a count is negative.

    Examples
    --------
    >>> rows = distinct_rows([[1, 0, 1], [5.0, 2.0, 5.0]])
    >>> rows.columns[0].tolist(), rows.counts.tolist()
    ([0.0, 1.0], [1.0, 2.0])
    """
    arrays = [np.asarray(c, dtype=np.float64) for c in columns]
    people = np.ones(arrays[0].shape) if counts is None else np.asarray(counts, float)
    if any(a.shape != people.shape or a.ndim != 1 for a in arrays):
        shapes = [a.shape for a in (*arrays, people)]
        raise ValueError(f"columns and counts must have one length, got {shapes}")
    if not all(np.isfinite(a).all() for a in (*arrays, people)) or (people < 0).any():
        raise ValueError("columns and counts must be finite and counts at least 0")
    if not (people > 0).all():
        arrays = [a[people > 0] for a in arrays]
        people = people[people > 0]
    coded = [_ranked(a) for a in arrays]
    sizes = [int(number.max()) + 1 if number.size else 1 for number, _ in coded]
    if math.prod(sizes) >= _INTEGERS:
        order = np.lexsort(arrays[::-1])
        return _merged([a[order] for a in arrays], people[order])
    key = np.zeros(people.size, dtype=np.int64)
    for (number, _), size in zip(coded, sizes, strict=True):
        key *= size
        key += number
    if bool((key[1:] > key[:-1]).all()):
        return Rows(tuple(arrays), people)
    if counts is None:
        key.sort()
        first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
        counted = np.diff(first, append=key.size).astype(np.float64)
    else:
        order = np.argsort(key, kind="stable")
        key = key[order]
        first = np.flatnonzero(np.append(True, key[1:] != key[:-1]))
        counted = np.add.reduceat(people[order], first)
    key = key[first]
    parts: list[FloatArray] = []
    for (_, values), size in zip(reversed(coded), reversed(sizes), strict=True):
        key, number = np.divmod(key, size)
        parts.append(number.astype(np.float64) if values is None else values[number])
    return Rows(tuple(parts[::-1]), counted)


def _ranked(
    column: FloatArray,
) -> tuple[npt.NDArray[np.int64], FloatArray | None]:
    """Return whole numbers that sort like a column, and what each stands for.

    None instead when the column itself is small whole numbers.
    """
    whole = np.zeros(0, dtype=np.int64)
    if column.size and column.min() >= 0 and column.max() < _SMALL:
        whole = column.astype(np.int64)
    if column.size == 0 or (whole.size and np.array_equal(column, whole)):
        return whole, None
    found = _by_place(column)
    if found is not None:
        return found
    order = np.argsort(column)  # ties in any order: they get one number
    rising = column[order]
    is_new = np.append(True, rising[1:] != rising[:-1])
    number = np.empty(column.size, dtype=np.int64)
    number[order] = np.cumsum(is_new) - 1
    return number, rising[is_new]


def _by_place(
    column: FloatArray,
) -> tuple[npt.NDArray[np.int64], FloatArray] | None:
    """Do what `_ranked` does by where values lie, if they lie evenly enough.

    Days counted in weeks do, and then sorting the values is all the sorting.
    """
    if _scale(_rising(column[:_GLANCE])) is None:  # all of them lie no less densely
        return None
    values = _rising(column)
    scale = _scale(values)
    if scale is None:
        return None
    place = ((values - values[0]) * scale).astype(np.int64)
    number = np.zeros(place[-1] + 1, dtype=np.int64)
    number[place] = np.arange(values.size)
    return number[((column - values[0]) * scale).astype(np.int64)], values


def _rising(column: FloatArray) -> FloatArray:
    """Return the distinct values of a column in rising order."""
    values: FloatArray = np.sort(column)
    distinct: FloatArray = values[np.append(True, values[1:] != values[:-1])]
    return distinct


def _scale(values: FloatArray) -> float | None:
    """Return what keeps values at least 2 apart; None when they then reach too far."""
    with np.errstate(all="ignore"):  # too wide or too near is None
        scale = float(2 / np.diff(values).min(initial=np.inf))
        return scale if (values[-1] - values[0]) * scale < _SMALL else None


def _merged(columns: Sequence[FloatArray], people: FloatArray) -> Rows:
    """Merge equal rows that follow each other."""
    changes = np.any([a[1:] != a[:-1] for a in columns], axis=0)
    first = np.flatnonzero(np.append(True, changes))
    return Rows(tuple(a[first] for a in columns), np.add.reduceat(people, first))


def systematic_sample(rows: Rows, n: int) -> Rows:
    """Return every k-th person in the order of the rows: no random numbers.

    Parameters
    ----------
    rows : Rows
        Distinct rows and their people.
    n : int
        People to take, at least 1.

    Returns
    -------
    Rows
        The rows that were hit, with how often as their counts: n in all.

    Examples
    --------
    >>> rows = Rows((np.array([0.0, 1.0, 2.0]),), np.array([10.0, 1.0, 9.0]))
    >>> sample = systematic_sample(rows, 4)
    >>> sample.columns[0].tolist(), sample.counts.tolist()
    ([0.0, 2.0], [2.0, 2.0])
    """
    passed = np.cumsum(rows.counts)
    places = (np.arange(n) + 0.5) * (passed[-1] / n)
    picked = np.searchsorted(passed, places).clip(max=rows.n_distinct - 1)
    index, counts = np.unique(picked, return_counts=True)
    return Rows(tuple(c[index] for c in rows.columns), counts.astype(np.float64))
