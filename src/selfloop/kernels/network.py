"""Who brought whom, when people may have several referrers.

Referrals are two arrays, ``referrer`` and ``referee``, one entry per link, with
people as numbers 0 to n - 1. Rings are cut by one rule that needs no iteration
order, people are put in an order that follows the links, and values flow along
the links in one sparse triangular solve, however deep the network is.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import spsolve_triangular

from selfloop.kernels.forest import by_generation, generations

IntArray = npt.NDArray[np.integer[Any]]
FloatArray = npt.NDArray[np.float64]

MAX_LAYERS = 1_000
"""Layers ordered at once; what lies deeper is ordered person by person."""


def break_cycles(
    referrer: IntArray, referee: IntArray, *, time: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Say which links to keep so that nobody refers themselves by way of others.

    Parameters
    ----------
    referrer, referee : ndarray of int, shape (n_links,)
        Numbers of the people, 0 or more.
    time : ndarray, shape (n_links,)
        When it happened: numbers or datetime64. Missing (NaN, NaT) counts as later
        than any known time. Of equally late links the later entry is the later.

    Returns
    -------
    ndarray of bool, shape (n_links,)
        True for links to keep. What is kept has no ring.

    Raises
    ------
    ValueError
        When the arrays differ in length.

    Notes
    -----
    The rule: a link is cut if and only if it is the latest link of some ring, that
    is, if the referee had already led to the referrer through earlier links. Every
    ring has a latest link, so none remains; a link on no ring is never cut; a
    single ring loses its latest link, as in `selfloop.kernels.forest.break_rings`.
    Whether a link goes depends on earlier links only, so later data do not change
    it.

    Link e = (u, v) closes a ring when u and v are in one strongly connected
    component of the links up to e. The moment at which two people first are is
    found by bisection over time, for all links together: each round finds the
    components of the earlier half of every part, hands links inside a component to
    the earlier half and contracts the component for the later half. That is
    log2(n_links) rounds over at most all links: O(E log E).

    Examples
    --------
    Person 0 brings 1, 1 brings 2, 2 claims to have brought 0.

    >>> break_cycles(np.array([0, 1, 2]), np.array([1, 2, 0]), time=np.array([1, 2, 3]))
    array([ True,  True, False])
    """
    if not referrer.size == referee.size == time.size:
        raise ValueError(
            f"referrer, referee and time have {referrer.size}, {referee.size} and "
            f"{time.size} entries; need the same"
        )
    keep = np.ones(referrer.size, dtype=np.bool_)
    by_time = np.argsort(time, kind="stable")
    tail, head = _dense(referrer[by_time].astype(np.int64), referee[by_time])
    part = _components(tail, head)
    on_ring = np.flatnonzero(part[tail] == part[head])
    closing = _closing_links(tail[on_ring], head[on_ring])
    keep[by_time[on_ring[closing]]] = False
    return keep


def topological_order(
    referrer: IntArray, referee: IntArray, *, n_people: int
) -> npt.NDArray[np.int64]:
    """Put people in an order in which referrers come before their referees.

    Parameters
    ----------
    referrer, referee : ndarray of int, shape (n_links,)
        Numbers of the people, 0 to n_people - 1.
    n_people : int
        Number of people, those without links included.

    Returns
    -------
    ndarray of int64, shape (n_people,)
        Numbers of the people in order.

    Raises
    ------
    ValueError
        When there are rings, or a number is out of range.

    Notes
    -----
    With one referrer each, people are sorted by generation. Otherwise layers are
    peeled off (all people whose referrers are placed), each in one step; after
    `MAX_LAYERS` layers the rest follows one by one.

    Examples
    --------
    >>> topological_order(np.array([2, 2, 1]), np.array([1, 0, 0]), n_people=3)
    array([2, 1, 0])
    """
    _check_people(referrer, referee, n_people=n_people)
    n_referrers = np.bincount(referee, minlength=n_people)
    if n_referrers.size and n_referrers.max() <= 1:
        parent = np.full(n_people, -1, dtype=np.int32)
        parent[referee] = referrer
        generation, _ = generations(parent)
        return by_generation(generation)
    layers = _peel(referrer, referee, n_waiting=n_referrers)
    order = np.concatenate([np.empty(0, dtype=np.int64), *layers])
    if order.size < n_people:
        raise ValueError(
            f"{n_people - order.size} people are on rings of referrals or below them; "
            "cut the rings first with break_cycles()"
        )
    return order


def collect(
    referrer: IntArray,
    referee: IntArray,
    *,
    share: FloatArray,
    own_value: FloatArray,
    order: IntArray,
) -> FloatArray:
    """Sum what reaches everybody when each link carries a share upwards.

    Parameters
    ----------
    referrer, referee : ndarray of int, shape (n_links,)
        Numbers of the people; no rings.
    share : ndarray of float, shape (n_links,)
        Part of what reaches the referee that goes on to the referrer.
    own_value : ndarray of float, shape (n_people,)
        What everybody starts with.
    order : ndarray of int, shape (n_people,)
        Referrers before referees (see `topological_order`).

    Returns
    -------
    ndarray of float64, shape (n_people,)
        F_v = own_v + sum over the referees u of v of share_vu F_u.

    Raises
    ------
    ValueError
        When the order has a referee before their referrer, a number is out of range,
        or lengths differ.

    Examples
    --------
    >>> collect(
    ...     np.array([0, 1]),
    ...     np.array([1, 2]),
    ...     share=np.array([0.5, 0.5]),
    ...     own_value=np.array([0.0, 0.0, 100.0]),
    ...     order=np.array([0, 1, 2]),
    ... )
    array([ 25.,  50., 100.])
    """
    n = own_value.size
    _check_people(referrer, referee, n_people=n)
    if order.size != n or share.size != referrer.size:
        raise ValueError(
            f"{n} people need as many entries of order ({order.size}), and "
            f"{referrer.size} links as many shares ({share.size})"
        )
    if referrer.size == 0:
        return own_value.astype(np.float64)
    place = np.empty(n, dtype=np.int32)
    place[order] = np.arange(n, dtype=np.int32)
    # The solve would pass over what runs against the order without a word.
    n_backward = int((place[referrer] >= place[referee]).sum())
    if n_backward:
        raise ValueError(
            f"the order has {n_backward} referees before their referrers; "
            "make it with topological_order()"
        )
    everybody = np.arange(n, dtype=np.int32)
    # (I - M) F = own, upper triangular because receivers come first.
    system = csr_array(
        (
            np.concatenate([-share, np.ones(n)]),
            (
                np.concatenate([place[referrer], everybody]),
                np.concatenate([place[referee], everybody]),
            ),
        ),
        shape=(n, n),
    )
    solved = spsolve_triangular(
        system, own_value[order].astype(np.float64), lower=False, unit_diagonal=True
    )
    flow: FloatArray = np.empty(n)
    flow[order] = solved
    return flow


def primary_parent(
    referrer: IntArray, referee: IntArray, *, weight: FloatArray, n_people: int
) -> npt.NDArray[np.int32]:
    """Choose one referrer per person: the one with the largest weight.

    Parameters
    ----------
    referrer, referee : ndarray of int, shape (n_links,)
        Numbers of the people, 0 to n_people - 1.
    weight : ndarray of float, shape (n_links,)
        Credit of the link; of equal ones the earlier entry counts.
    n_people : int
        Number of people, those without links included.

    Returns
    -------
    ndarray of int32, shape (n_people,)
        Number of the referrer; -1 for people nobody referred. A forest if the
        links have no ring.

    Raises
    ------
    ValueError
        When the arrays differ in length or a number is out of range.

    Examples
    --------
    >>> primary_parent(
    ...     np.array([0, 1]),
    ...     np.array([2, 2]),
    ...     weight=np.array([0.25, 0.75]),
    ...     n_people=3,
    ... )
    array([-1, -1,  1], dtype=int32)
    """
    _check_people(referrer, referee, n_people=n_people)
    if weight.size != referrer.size:
        raise ValueError(f"{referrer.size} links need as many weights: {weight.size}")
    parent = np.full(n_people, -1, dtype=np.int32)
    # Sorted so that the first link of every referee is the one to take.
    order = np.lexsort((np.arange(referee.size), -weight, referee))
    people, first = np.unique(referee[order], return_index=True)
    parent[people] = referrer[order][first]
    return parent


def mean_generation(
    referrer: IntArray,
    referee: IntArray,
    *,
    weight: FloatArray,
    order: IntArray,
) -> FloatArray:
    """Return how far everybody is from a root, on average over their referrers.

    Parameters
    ----------
    referrer, referee : ndarray of int, shape (n_links,)
        Numbers of the people; no rings.
    weight : ndarray of float, shape (n_links,)
        Weights of the links; they sum to 1 over the links of each referee.
    order : ndarray of int, shape (n_people,)
        Referrers before referees (see `topological_order`).

    Returns
    -------
    ndarray of float64, shape (n_people,)
        0 for roots, else 1 + the weighted mean over the referrers; the generation
        when everybody has one referrer.

    Raises
    ------
    ValueError
        As `collect` does.

    Examples
    --------
    Person 2 was brought half by 0 (a root), half by 1, whom 0 brought.

    >>> mean_generation(
    ...     np.array([0, 0, 1]),
    ...     np.array([1, 2, 2]),
    ...     weight=np.array([1.0, 0.5, 0.5]),
    ...     order=np.array([0, 1, 2]),
    ... )
    array([0. , 1. , 1.5])
    """
    is_referred = np.zeros(order.size)
    is_referred[referee] = 1.0
    # Distances flow down where values flow up: the same sum, roles exchanged.
    return collect(
        referee, referrer, share=weight, own_value=is_referred, order=order[::-1]
    )


def _closing_links(
    tail: npt.NDArray[np.int64], head: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return which of these links, all on rings and in time order, close one."""
    # The step at which the two people of a link first lead to each other lies from
    # `low` to `high`; the link closes a ring when that is its own step.
    links = np.arange(tail.size)
    low, high = np.zeros_like(links), np.full_like(links, tail.size - 1)
    closing = [np.empty(0, dtype=np.int64)]
    while links.size:
        is_known = low == high
        closing.append(links[is_known & (links == low)])
        links, tail, head, low, high = _keep(~is_known, links, tail, head, low, high)
        middle = (low + high) // 2
        early = links <= middle
        tail, head = _dense(tail, head)
        part = _components(tail, head, use=early)
        joined = part[tail] == part[head]
        # Joined by the middle and later than the middle: joined before its own step.
        closing.append(links[joined & ~early])
        # Joined: search before the middle. Else after it, each part seen as one.
        tail = np.where(joined, tail, part.size + part[tail])
        head = np.where(joined, head, part.size + part[head])
        low = np.where(joined, low, middle + 1)
        high = np.where(joined, middle, high)
        is_open = early | ~joined
        links, tail, head, low, high = _keep(is_open, links, tail, head, low, high)
    return np.concatenate(closing)


def _keep(
    chosen: npt.NDArray[np.bool_], *arrays: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], ...]:
    """Keep the chosen entries of every array."""
    return tuple(array[chosen] for array in arrays)


def _dense(
    tail: npt.NDArray[np.int64], head: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Renumber the people of links without gaps."""
    if tail.size == 0:
        return tail, head.astype(np.int64)
    used = np.zeros(int(max(tail.max(), head.max())) + 1, dtype=np.int64)
    used[tail] = 1
    used[head] = 1
    number = np.cumsum(used) - 1
    return number[tail], number[head]


def _components(
    tail: IntArray, head: IntArray, *, use: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.int64]:
    """Give people one number if they lead to each other by the links in use."""
    if tail.size == 0:
        return np.empty(0, dtype=np.int64)
    n_people = int(max(tail.max(), head.max())) + 1
    if use is not None:
        tail, head = tail[use], head[use]
    links = coo_array((np.ones(tail.size), (tail, head)), shape=(n_people, n_people))
    _, part = connected_components(links.tocsr(), directed=True, connection="strong")
    return part.astype(np.int64)


def _check_people(referrer: IntArray, referee: IntArray, *, n_people: int) -> None:
    """Refuse links of unequal length or to people who do not exist."""
    if referrer.size != referee.size:
        raise ValueError(
            f"{referrer.size} referrers and {referee.size} referees; need the same"
        )
    for name, people in (("referrer", referrer), ("referee", referee)):
        wrong = (people < 0) | (people >= n_people)
        if wrong.any():
            raise ValueError(
                f"{int(wrong.sum())} {name} numbers are outside 0 to {n_people - 1}; "
                f"first: {people[wrong][:3].tolist()}"
            )


def _peel(
    referrer: IntArray, referee: IntArray, *, n_waiting: IntArray
) -> list[npt.NDArray[np.int64]]:
    """Take people whose referrers are all taken, layer by layer."""
    n_people = n_waiting.size
    below = referee[np.argsort(referrer, kind="stable")]
    start = np.zeros(n_people + 1, dtype=np.int64)
    np.cumsum(np.bincount(referrer, minlength=n_people), out=start[1:])
    waiting = n_waiting.copy()
    layers: list[npt.NDArray[np.int64]] = []
    layer = np.flatnonzero(waiting == 0)
    while layer.size and len(layers) < MAX_LAYERS:
        layers.append(layer)
        n_below = start[layer + 1] - start[layer]
        offset = np.repeat(start[layer] - np.cumsum(n_below) + n_below, n_below)
        reached = below[offset + np.arange(offset.size)]
        np.subtract.at(waiting, reached, 1)
        layer = np.unique(reached[waiting[reached] == 0])
    if layer.size:
        layers.append(_peel_one_by_one(layer, below=below, start=start, left=waiting))
    return layers


def _peel_one_by_one(
    first: npt.NDArray[np.int64], *, below: IntArray, start: IntArray, left: IntArray
) -> npt.NDArray[np.int64]:
    """Do the work of `_peel` in plain Python: thin layers do not pay for arrays."""
    ready: list[int] = first.tolist()
    people: list[int] = below.tolist()
    begin: list[int] = start.tolist()
    waiting: list[int] = left.tolist()
    for person in ready:  # grows while it is walked
        for referee in people[begin[person] : begin[person + 1]]:
            waiting[referee] -= 1
            if waiting[referee] == 0:
                ready.append(referee)
    return np.array(ready, dtype=np.int64)
