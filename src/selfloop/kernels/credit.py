"""Who gets which part of single orders, link by link."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer[Any]]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Credits:
    """Parts of orders, one entry per order, person and level.

    Parameters
    ----------
    order : ndarray of int64
        Place of the order in the input.
    person : ndarray of int64
        Who gets the part.
    level : ndarray of int64
        Links up from the buyer; 0 for the buyer.
    value : ndarray of float64
        The part; those of an order sum to its value.
    """

    order: npt.NDArray[np.int64]
    person: npt.NDArray[np.int64]
    level: npt.NDArray[np.int64]
    value: FloatArray


class _Parts(NamedTuple):
    """What arrived at people of one level: order, person, value."""

    order: npt.NDArray[np.int64]
    person: npt.NDArray[np.int64]
    value: FloatArray


def split_orders(
    referrer: IntArray,
    referee: IntArray,
    *,
    weight: FloatArray,
    tau: Callable[[int], FloatArray],
    buyer: IntArray,
    value: FloatArray,
    time: npt.NDArray[Any] | None = None,
    open_until: npt.NDArray[Any] | None = None,
) -> Credits:
    """Share orders between their buyers and the people above them.

    Parameters
    ----------
    referrer, referee : ndarray of int, shape (n_links,)
        Numbers of the people, 0 to n_people - 1; no rings.
    weight : ndarray of float, shape (n_links,)
        Credit of each link; sums to 1 over the links of each referee.
    tau : callable
        Takes a level; gives the share, shape (n_people,), that everybody passes up of
        what came from so many levels below: level 0 is their own orders. It must be 0
        for people nobody referred (see `selfloop.kernels.ledger.passed_up`).
    buyer : ndarray of int, shape (n_orders,)
        Number of the buyer of each order.
    value : ndarray of float, shape (n_orders,)
        Value of each order.
    time, open_until : ndarray, optional
        When each order happened, shape (n_orders,), and until when each link carries
        orders of its referee, shape (n_links,); a later order does not pass it.

    Returns
    -------
    Credits
        By order, then level, then person; nobody who gets nothing but the buyer.

    Notes
    -----
    Summed over all orders, the parts of level 0 and those of higher levels are what
    `selfloop.kernels.ledger` calls own less given, and social value.

    Examples
    --------
    Person 0 brings 1, 1 brings 2; 2 buys for 100. Half goes up at each link.

    >>> from selfloop.kernels.ledger import passed_up
    >>> parts = split_orders(
    ...     np.array([0, 1]), np.array([1, 2]), weight=np.ones(2),
    ...     tau=lambda level: passed_up([0, 1, 2]),
    ...     buyer=np.array([2]), value=np.array([100.0]),
    ... )
    >>> parts.person.tolist(), parts.level.tolist(), parts.value.tolist()
    ([2, 1, 0], [0, 1, 2], [50.0, 25.0, 25.0])
    """
    by_referee = np.argsort(referee, kind="stable")
    below = referee[by_referee]
    found: list[Credits] = []
    at = _Parts(
        np.arange(buyer.size, dtype=np.int64),
        buyer.astype(np.int64),
        value.astype(np.float64),
    )
    level = 0
    while at.order.size:
        share = tau(level)[at.person]
        start = np.searchsorted(below, at.person)
        n_links = np.searchsorted(below, at.person, side="right") - start
        row = np.repeat(np.arange(at.order.size), n_links)
        offset = np.arange(row.size) - np.repeat(np.cumsum(n_links) - n_links, n_links)
        link = by_referee[start[row] + offset]
        part = at.value[row] * share[row] * weight[link]
        if level == 0 and time is not None and open_until is not None:
            part = np.where(time[at.order[row]] <= open_until[link], part, 0.0)
        kept = at.value - np.bincount(row, part, at.order.size)
        stays = (kept != 0) | (level == 0)
        found.append(_credits(at, kept, level, stays))
        at = _arrived(at.order[row], referrer[link].astype(np.int64), part)
        level += 1
    return _sorted(found)


def _credits(
    at: _Parts, kept: FloatArray, level: int, stays: npt.NDArray[np.bool_]
) -> Credits:
    """Write down what stays with the people of a level."""
    order = at.order[stays]
    return Credits(
        order, at.person[stays], np.full(order.size, level, np.int64), kept[stays]
    )


def _arrived(
    order: npt.NDArray[np.int64], person: npt.NDArray[np.int64], value: FloatArray
) -> _Parts:
    """Merge the parts of an order that reach a person by several links."""
    goes = value != 0
    order, person, value = order[goes], person[goes], value[goes]
    if order.size == 0:
        return _Parts(order, person, value)
    sequence = np.lexsort((person, order))
    order, person, value = order[sequence], person[sequence], value[sequence]
    is_new = np.append(True, (order[1:] != order[:-1]) | (person[1:] != person[:-1]))
    first = np.flatnonzero(is_new)
    return _Parts(order[first], person[first], np.add.reduceat(value, first))


def _sorted(parts: list[Credits]) -> Credits:
    """Put all levels together, order by order."""
    if not parts:
        none = np.empty(0, dtype=np.int64)
        return Credits(none, none, none, np.empty(0))
    whole = [
        np.concatenate([getattr(p, name) for p in parts])
        for name in ("order", "person", "level", "value")
    ]
    sequence = np.lexsort((whole[1], whole[2], whole[0]))
    return Credits(*(column[sequence] for column in whole))
