"""Who brought whom, when everybody has at most one referrer.

A forest is an array ``parent``: ``parent[v]`` is the number of the person who
brought person v, and -1 for people nobody brought (roots). Sums over subtrees run
level by level, one step per generation; forests of more than `MAX_LEVELS`
generations are summed by pointer doubling instead, in log2(depth) steps, so that
a chain of a million people is no harder than a star.

People with several referrers are the business of `selfloop.kernels.network`.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer[Any]]
FloatArray = npt.NDArray[np.float64]

MAX_LEVELS = 1_000
"""Deeper forests are summed by pointer doubling instead of level by level."""


@dataclass(frozen=True)
class Trees:
    """Size and shape of every tree of a forest, one entry per root.

    Parameters
    ----------
    root : ndarray of int64
        Number of the person the tree starts with, ascending.
    n_people, n_buyers : ndarray of int64
        People in the tree, the root included; of these, buyers.
    depth : ndarray of int64
        Largest generation in the tree; 0 for a root alone.
    structural_virality : ndarray of float64
        Mean distance between two of its people; NaN for a root alone.
    value, value_root : ndarray of float64
        Value of all people of the tree; of this, the root's own.
    """

    root: npt.NDArray[np.int64]
    n_people: npt.NDArray[np.int64]
    n_buyers: npt.NDArray[np.int64]
    depth: npt.NDArray[np.int64]
    structural_virality: FloatArray
    value: FloatArray
    value_root: FloatArray


def generations(
    parent: IntArray,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return how far everybody is from the start of their tree, and that start.

    Parameters
    ----------
    parent : ndarray of int, shape (n,)
        Number of everybody's referrer, 0 to n - 1; -1 for none.

    Returns
    -------
    generation : ndarray of int32, shape (n,)
        Links to the root; 0 for roots.
    root : ndarray of int32, shape (n,)
        Number of the root; roots are their own.

    Raises
    ------
    ValueError
        When people refer each other in a ring (see `break_rings`), or a referrer
        number is out of range.

    Notes
    -----
    Pointer doubling: everybody points k links up, then 2k, until all point at
    their root. It takes log2(depth) rounds and looks only at people who have not
    arrived yet.

    Examples
    --------
    >>> generation, root = generations(np.array([-1, 0, 1, -1]))
    >>> generation.tolist(), root.tolist()
    ([0, 1, 2, 0], [0, 0, 0, 3])
    """
    parent = _checked_parent(parent)
    distance, ancestor, lost = _climb(parent)
    if lost.size:
        n_on_rings = np.unique(ancestor[lost]).size
        raise ValueError(
            f"{n_on_rings} people refer each other in rings, so they have no "
            f"generation ({lost.size} people are on rings or below them); "
            "cut the rings first with break_rings()"
        )
    return distance, ancestor


def by_generation(generation: IntArray) -> npt.NDArray[np.int64]:
    """Put people in order of their generation, roots first.

    Parameters
    ----------
    generation : ndarray of int, shape (n,)
        Links to the root (see `generations`).

    Returns
    -------
    ndarray of int64, shape (n,)
        Numbers of the people; those of one generation in ascending order.

    Examples
    --------
    >>> by_generation(np.array([1, 0, 2, 0]))
    array([1, 3, 0, 2])
    """
    if generation.size and generation.max() <= np.iinfo(np.int16).max:
        # 16 bits sort by radix, several times faster than by comparison.
        generation = generation.astype(np.int16)
    return np.argsort(generation, kind="stable")


def climb(
    parent: IntArray,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Find generations and roots as far as there are any, and the rings.

    Parameters
    ----------
    parent : ndarray of int, shape (n,)
        Number of everybody's referrer, 0 to n - 1; -1 for none.

    Returns
    -------
    generation, root : ndarray of int32, shape (n,)
        As `generations`; without meaning for people on rings or below them.
    ring : ndarray of int32
        Numbers of the people who, by way of others, have referred themselves,
        ascending; not of those below them.

    Raises
    ------
    ValueError
        When a referrer number is out of range.

    Examples
    --------
    >>> climb(np.array([2, 0, 1, 1]))[2]
    array([0, 1, 2], dtype=int32)
    """
    distance, ancestor, lost = _climb(_checked_parent(parent))
    # After enough steps up, everybody below a ring has landed on it, and its own
    # people have only changed places: where the lost now point is all of it.
    return distance, ancestor, np.unique(ancestor[lost])


def heads(
    person: npt.NDArray[np.int64], referrer: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the first of those who lead to each person.

    Parameters
    ----------
    person, referrer : ndarray of int64, shape (n,)
        Who was brought by whom; every person once, no rings.

    Returns
    -------
    ndarray of int64, shape (n,)

    Examples
    --------
    >>> heads(np.array([2, 3, 9]), np.array([1, 2, 8])).tolist()
    [1, 1, 8]
    """
    every = np.sort(np.concatenate([person, referrer]))
    is_new = np.ones(every.size, dtype=bool)
    is_new[1:] = every[1:] != every[:-1]
    every = every[is_new]
    place = np.searchsorted(every, person)
    parent = np.full(every.size, -1)
    parent[place] = np.searchsorted(every, referrer)
    _, root = generations(parent)
    return np.asarray(every[root[place]])


def break_rings(
    parent: IntArray, time: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Cut one link of every ring of referrals, the latest.

    Parameters
    ----------
    parent : ndarray of int, shape (n,)
        Number of everybody's referrer, 0 to n - 1; -1 for none.
    time : ndarray, shape (n,)
        When everybody was referred: numbers or datetime64. Ignored for roots.
        Missing (NaN, NaT) counts as later than any known time.

    Returns
    -------
    parent : ndarray of int32, shape (n,)
        The same links without those that were cut: a forest.
    cut : ndarray of bool, shape (n,)
        True for the people whose link to their referrer was cut.

    Raises
    ------
    ValueError
        When the arrays differ in length or a referrer number is out of range.

    Notes
    -----
    With one referrer each, every connected group holds at most one ring, and
    cutting one of its links makes it a tree. Of equally late links the one of the
    person with the largest number is cut, so the result does not depend on the
    order of rows. A link to oneself is a ring of one. The cost is O(n log n).
    `selfloop.kernels.network.break_cycles` follows the same rule for people with
    several referrers.

    Examples
    --------
    >>> parent, cut = break_rings(np.array([2, 0, 1, 1]), np.array([5, 9, 7, 1]))
    >>> parent.tolist(), cut.tolist()
    ([2, -1, 1, 1], [False, True, False, False])
    """
    parent = _checked_parent(parent)
    if time.shape != parent.shape:
        raise ValueError(
            f"parent has {parent.size} entries and time {time.size}; need the same"
        )
    cut = np.zeros(parent.size, dtype=np.bool_)
    _, _, ring = climb(parent)
    if ring.size == 0:
        return parent.copy(), cut
    place = np.zeros(parent.size, dtype=np.int32)
    place[ring] = np.arange(ring.size, dtype=np.int32)
    above = place[parent[ring]]
    lateness = np.empty(ring.size, dtype=np.int64)
    lateness[np.lexsort((ring, time[ring]))] = np.arange(ring.size)
    latest = lateness.copy()
    for _ in range(int(ring.size).bit_length()):
        latest = np.maximum(latest, latest[above])
        above = above[above]
    cut[ring[latest == lateness]] = True
    return np.where(cut, np.int32(-1), parent), cut


def subtree_sum(
    parent: IntArray,
    generation: IntArray,
    *,
    value: npt.NDArray[Any],
    share: FloatArray | None = None,
) -> npt.NDArray[Any]:
    """Sum a value over everybody and all their descendants.

    Parameters
    ----------
    parent, generation : ndarray of int, shape (n,)
        A forest and its generations (see `generations`).
    value : ndarray of int or float, shape (n,)
        What to sum; whole numbers are summed exactly.
    share : ndarray of float, shape (n,), optional
        Part of what reaches a person that goes on to the referrer; all by default.

    Returns
    -------
    ndarray, shape (n,)
        Value of the person and of everybody below them: int64 for whole numbers
        and flags, else float64, as always with shares.

    Raises
    ------
    ValueError
        When the arrays differ in length.

    Examples
    --------
    >>> parent, generation = np.array([-1, 0, 1, 1]), np.array([0, 1, 2, 2])
    >>> subtree_sum(parent, generation, value=np.array([1, 2, 3, 4]))
    array([10,  9,  3,  4])
    >>> half = np.full(4, 0.5)
    >>> subtree_sum(parent, generation, value=np.array([1, 2, 3, 4]), share=half)
    array([3.75, 5.5 , 3.  , 4.  ])
    """
    # Sums outgrow the small types that hold their parts.
    is_whole = share is None and not np.issubdtype(value.dtype, np.floating)
    wide = value.astype(np.int64 if is_whole else np.float64)
    return _gather(parent, generation, value=wide, combine=np.add, share=share)


def descendants(parent: IntArray, generation: IntArray) -> npt.NDArray[np.int64]:
    """Count the people below everybody: those they brought, directly or not.

    Parameters
    ----------
    parent, generation : ndarray of int, shape (n,)
        A forest and its generations (see `generations`).

    Returns
    -------
    ndarray of int64, shape (n,)
        Number of descendants; 0 for people who brought nobody.

    Raises
    ------
    ValueError
        When the arrays differ in length.

    Examples
    --------
    >>> descendants(np.array([-1, 0, 1, 1]), np.array([0, 1, 2, 2]))
    array([3, 2, 0, 0])
    """
    ones = np.ones(parent.size, dtype=np.int64)
    size: npt.NDArray[np.int64] = subtree_sum(parent, generation, value=ones)
    return size - 1


def subtree_depth(parent: IntArray, generation: IntArray) -> npt.NDArray[np.int32]:
    """Count the levels below everybody.

    Parameters
    ----------
    parent, generation : ndarray of int, shape (n,)
        A forest and its generations (see `generations`).

    Returns
    -------
    ndarray of int32, shape (n,)
        Links down to the farthest descendant; 0 for people who brought nobody.

    Raises
    ------
    ValueError
        When the arrays differ in length.

    Examples
    --------
    >>> subtree_depth(np.array([-1, 0, 1, 1]), np.array([0, 1, 2, 2]))
    array([2, 1, 0, 0], dtype=int32)
    """
    own = generation.astype(np.int32)
    deepest = _gather(parent, generation, value=own, combine=np.maximum)
    levels: npt.NDArray[np.int32] = deepest - own
    return levels


def tree_stats(
    parent: IntArray,
    root: IntArray,
    *,
    generation: IntArray,
    is_buyer: npt.NDArray[np.bool_],
    value: npt.NDArray[Any],
) -> Trees:
    """Describe every tree: people, buyers, depth, shape and value.

    Parameters
    ----------
    parent, root, generation : ndarray of int, shape (n,)
        A forest, its roots and generations (see `generations`).
    is_buyer : ndarray of bool, shape (n,)
        Who ever bought.
    value : ndarray of float, shape (n,)
        Value of everybody's own orders.

    Returns
    -------
    Trees
        One entry per root, roots without descendants included.

    Raises
    ------
    ValueError
        When the arrays differ in length.

    Examples
    --------
    >>> trees = tree_stats(
    ...     np.array([-1, 0, 0, -1]),
    ...     np.array([0, 0, 0, 3]),
    ...     generation=np.array([0, 1, 1, 0]),
    ...     is_buyer=np.array([True, True, False, True]),
    ...     value=np.array([10.0, 5.0, 0.0, 7.0]),
    ... )
    >>> trees.n_people, trees.n_buyers, trees.value
    (array([3, 1]), array([2, 1]), array([15.,  7.]))
    >>> trees.structural_virality.round(3)
    array([1.333,   nan])
    """
    n = parent.size
    sizes = {root.size, generation.size, is_buyer.size, value.size, n}
    if len(sizes) > 1:
        raise ValueError(f"all arrays must have one length, found {sorted(sizes)}")
    money: FloatArray = value.astype(np.float64)
    tops = np.flatnonzero(parent < 0)
    tree = np.zeros(n, dtype=np.int64)
    tree[tops] = np.arange(tops.size)
    tree = tree[root]
    n_people = np.bincount(tree, minlength=tops.size)
    depth = np.zeros(tops.size, dtype=np.int64)
    np.maximum.at(depth, tree, generation.astype(np.int64))
    size = descendants(parent, generation) + 1
    return Trees(
        root=tops,
        n_people=n_people,
        n_buyers=np.bincount(tree[is_buyer], minlength=tops.size),
        depth=depth,
        structural_virality=structural_virality(size, tree=tree, n_people=n_people),
        value=np.bincount(tree, money, tops.size).astype(np.float64),
        value_root=money[tops],
    )


def structural_virality(
    size: IntArray, *, tree: IntArray, n_people: IntArray
) -> FloatArray:
    """Find the mean distance between two people of each tree.

    Parameters
    ----------
    size : ndarray of int
        People below each person, and the person; everybody of the trees.
    tree : ndarray of int
        Number of the tree of each person, 0 to the number of trees - 1.
    n_people : ndarray of int
        People of each tree.

    Returns
    -------
    ndarray of float64
        One entry per tree; NaN for a root alone.

    Notes
    -----
    Structural virality is the mean distance between two different people of a
    tree: about 2 for a star, (n + 1) / 3 for a chain of n. With s_v the size of
    the subtree of v, each link is crossed by s_v (n - s_v) pairs, so it is
    2 sum_v s_v (n - s_v) / (n (n - 1)) over all v but the root: O(n) instead of
    comparing all pairs.

    References
    ----------
    Goel, Anderson, Hofman and Watts (2016), The structural virality of online
    diffusion, Management Science 62(1).

    Examples
    --------
    A star of three.

    >>> structural_virality(
    ...     np.array([3, 1, 1]), tree=np.array([0, 0, 0]), n_people=np.array([3])
    ... ).round(3)
    array([1.333])
    """
    # Floats, because s (n - s) summed over a deep tree of millions leaves int64.
    # The root adds nothing: its s is n.
    s = size.astype(np.float64)
    crossings = np.bincount(
        tree, weights=s * (n_people[tree] - s), minlength=n_people.size
    )
    pairs = n_people * (n_people - 1.0)
    virality = np.full(n_people.size, np.nan)
    np.divide(2.0 * crossings, pairs, out=virality, where=pairs > 0)
    return virality


def _checked_parent(parent: IntArray) -> npt.NDArray[np.int32]:
    """Return the referrer numbers as int32, or say which are out of range."""
    if parent.ndim != 1:
        raise ValueError(f"parent must have one dimension, found {parent.ndim}")
    wrong = (parent < -1) | (parent >= parent.size)
    if wrong.any():
        raise ValueError(
            f"{int(wrong.sum())} referrer numbers are outside -1 to "
            f"{parent.size - 1}; first: {parent[wrong][:3].tolist()}"
        )
    return parent.astype(np.int32)


def _climb(
    parent: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.intp]]:
    """Climb to the roots; return distances, ancestors and who never arrives."""
    distance = (parent >= 0).astype(np.int32)
    ancestor = np.where(parent < 0, np.arange(parent.size, dtype=np.int32), parent)
    lost = np.flatnonzero(parent[ancestor] >= 0)
    # 2 ** bit_length > n: whoever is not at a root by then is on or below a ring.
    for _ in range(int(parent.size).bit_length()):
        if lost.size == 0:
            break
        above = ancestor[lost]
        distance[lost] += distance[above]
        ancestor[lost] = ancestor[above]
        lost = lost[parent[ancestor[lost]] >= 0]
    return distance, ancestor, lost


def _gather(
    parent: IntArray,
    generation: IntArray,
    *,
    value: npt.NDArray[Any],
    combine: np.ufunc,
    share: FloatArray | None = None,
) -> npt.NDArray[Any]:
    """Combine everybody's value with the values of all their descendants."""
    if not parent.size == generation.size == value.size:
        raise ValueError(
            f"parent, generation and value have {parent.size}, {generation.size} "
            f"and {value.size} entries; need the same"
        )
    if share is not None and share.size != parent.size:
        raise ValueError(f"{parent.size} people need as many shares; got {share.size}")
    gathered = value.copy()
    if parent.size == 0:
        return gathered
    deepest = int(generation.max())
    if deepest > MAX_LEVELS:
        _gather_doubling(gathered, parent, combine, share)
        return gathered
    start = np.cumsum(np.bincount(generation, minlength=deepest + 1))
    bounds = [slice(*ends) for ends in pairwise(start)]
    # Sorted by generation, a level is a slice, which is several times faster.
    is_sorted = bool((generation[1:] >= generation[:-1]).all())
    order = None if is_sorted else by_generation(generation)
    for bound in reversed(bounds):
        people = bound if order is None else order[bound]
        passed = gathered[people]
        if share is not None:
            passed = passed * share[people]
        combine.at(gathered, parent[people], passed)
    return gathered


def _gather_doubling(
    gathered: npt.NDArray[Any],
    parent: IntArray,
    combine: np.ufunc,
    share: FloatArray | None,
) -> None:
    """Gather in place over 1, 2, 4, ... levels at a time."""
    ancestor = parent.copy()
    reaching = None if share is None else share.astype(np.float64)
    live = np.flatnonzero(ancestor >= 0)
    while live.size:
        # Before a round everybody holds their nearest 2^k levels, `ancestor` is 2^k
        # links up, and `reaching` is the part that gets there. `gathered[live]` is a
        # copy, so a round reads old values.
        above = ancestor[live]
        passed = gathered[live]
        if reaching is not None:
            passed *= reaching[live]
            reaching[live] *= reaching[above]
        combine.at(gathered, above, passed)
        ancestor[live] = ancestor[above]
        live = live[ancestor[live] >= 0]
