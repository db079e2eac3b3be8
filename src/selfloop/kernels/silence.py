"""What silence says of customers who may leave before each opportunity to be heard of.

A chain is a row of opportunities that some customers share; a silence is the part of
it from some opportunity on in which nothing was heard. Models with a beta probability
to leave at each opportunity differ only in how probable it is to stay quiet.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.purchase_model import IntArray, Params
from selfloop.kernels.rising import (
    log_rising_gain,
)
from selfloop.kernels.rows import FloatArray

_CHAINS_IN_CACHE = 4096  # of the recursion at a time
_CELLS_IN_CACHE = 16_384  # chains times steps, whose coefficients are made at once
_CELLS_PER_BLOCK = 500_000  # of sums over opportunities: 4 MB at a time
_BESIDE = 1e-15  # of 1: next to it, for what is a limit there

Quiet = Callable[[IntArray, IntArray], tuple[FloatArray, FloatArray, FloatArray]]
"""Takes chains, and opportunities k for each of them: shape (n_steps, n_chains).

Gives the probability to buy nothing after k when one stays, until the next one, and
the derivatives of its log by the two parameters of buying.
"""


class Silence(NamedTuple):
    """What it says of customers that they did nothing from some opportunity on.

    Parameters
    ----------
    probability : ndarray of float64, shape (n,)
        Of the silence, given that they were there before it.
    unbroken : ndarray of float64, shape (n,)
        Of the silence and of their being there until its end.
    slopes : ndarray of float64, shape (4, n)
        Derivatives of ln probability: by the two parameters of buying, then by the
        two of leaving.
    """

    probability: FloatArray
    unbroken: FloatArray
    slopes: FloatArray


class _Block(NamedTuple):
    """Chains that are worked on together, and the rows that read from them."""

    chains: IntArray  # those with the longest silence first
    last: IntArray  # their last opportunity
    least: IntArray  # the first one of any of their rows
    n_active: IntArray  # how many of them go on at each step
    rows: IntArray  # in rising order of their length
    places: IntArray  # of the chains of the rows
    bounds: IntArray  # of the rows that end at each step


class Silences:
    """Silences of many customers, worked out together for those that end alike.

    Parameters
    ----------
    first : ndarray of int64, shape (n_rows,)
        Opportunities before the silence.
    chain : ndarray of int64, shape (n_rows,)
        The chain of each row: rows of one chain differ in `first` alone.
    last : ndarray of int64, shape (n_chains,)
        Opportunities at the end of the silence, at least `first`.

    Raises
    ------
    ValueError
        When a silence ends before it begins.

    Notes
    -----
    With h_k = a/(a+b+k), the probability to leave at the opportunity that follows k
    others, and q_k, that to buy nothing after it when one stays::

        W_k = h_k + (1 - h_k) q_k W_(k+1),   W_last = 1

    All terms are positive, so nothing cancels, and W never falls below h. The
    derivatives follow the same recursion.
    """

    def __init__(self, *, first: IntArray, chain: IntArray, last: IntArray) -> None:
        self.n_rows = first.size
        length = last[chain] - first
        if (length < 0).any():
            raise ValueError("recency must not be above age")
        longest = np.zeros(last.size, dtype=np.int64)
        np.maximum.at(longest, chain, length)
        order = np.argsort(-longest, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        starts = range(0, order.size, _CHAINS_IN_CACHE)
        block_no = place[chain] // _CHAINS_IN_CACHE
        rows = np.lexsort((length, block_no))
        ends = np.searchsorted(block_no[rows], np.arange(len(starts) + 1))
        self._blocks = []
        for i, start in enumerate(starts):
            chains = order[start : start + _CHAINS_IN_CACHE]
            own = rows[ends[i] : ends[i + 1]]
            steps = np.arange(longest[chains[0]] + 2)
            self._blocks.append(
                _Block(
                    chains=chains,
                    last=last[chains],
                    least=last[chains] - longest[chains],
                    n_active=np.searchsorted(-longest[chains], -steps),
                    rows=own,
                    places=place[chain[own]] - start,
                    bounds=np.searchsorted(length[own], steps),
                )
            )

    def judge(self, leave: Sequence[FloatArray], quiet: Quiet) -> Silence:
        """Say how probable the silences are.

        Parameters
        ----------
        leave : sequence of ndarray of float64, shape () or (n_chains,)
            Shape parameters a and b of the probability to leave.
        quiet : callable
            How probable it is that somebody who stays buys nothing.

        Returns
        -------
        Silence
            For each row.

        Examples
        --------
        One opportunity that somebody stays at with probability 1/2, and skips with
        probability 1/2 when there: 1/2 + 1/2 * 1/2.

        >>> one = Silences(
        ...     first=np.array([0]), chain=np.array([0]), last=np.array([1])
        ... )
        >>> half = np.array([0.5]), np.array([0.0]), np.array([0.0])
        >>> fair = np.array(1.0), np.array(1.0)
        >>> one.judge(fair, lambda chains, k: half).probability.tolist()
        [0.75]
        """
        found = np.empty((6, self.n_rows))
        for block in self._blocks:
            a, b = (of_chains(p, block.chains) for p in leave)
            _judge_block(block, a, b, quiet=quiet, found=found)
        return Silence(found[5], found[0], found[1:5] / found[5])


def of_chains(values: FloatArray, chains: IntArray | slice) -> FloatArray:
    """Return the values of some chains; a single number is that of all of them.

    Parameters
    ----------
    values : ndarray of float64, shape () or (n_chains,)
        A number, or one number per chain.
    chains : ndarray of int64 or slice
        Which chains.

    Returns
    -------
    ndarray of float64

    Examples
    --------
    >>> of_chains(np.array([3.0, 4.0]), np.array([1])).tolist()
    [4.0]
    """
    return np.asarray(values[chains]) if values.ndim else values


def _judge_block(
    block: _Block, a: FloatArray, b: FloatArray, *, quiet: Quiet, found: FloatArray
) -> None:
    """Go back from the end of the silences, opportunity by opportunity."""
    state = np.zeros((6, block.chains.size))
    state[0] = state[5] = 1.0  # unbroken, and W; between them the derivatives of W
    n_steps = block.n_active.size - 2
    begin = many = 0
    for step in range(n_steps + 1):
        if block.bounds[step] < block.bounds[step + 1]:
            ends = slice(block.bounds[step], block.bounds[step + 1])
            found[:, block.rows[ends]] = state[:, block.places[ends]]
        if step == n_steps:
            return
        if step == many:
            some = max(1, _CELLS_IN_CACHE // int(block.n_active[step]))
            begin, many = step, min(step + some, n_steps)
            kept, moved, added = _steps(block, a, b, range(begin, many), quiet=quiet)
        on = slice(block.n_active[step])
        moves = moved[step - begin, :, on] * state[5, on]
        state[:, on] *= kept[step - begin, on]
        state[1:5, on] += moves
        state[3:, on] += added[step - begin, :, on]


def _steps(
    block: _Block, a: FloatArray, b: FloatArray, steps: range, *, quiet: Quiet
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return what some steps do: new = kept * old + moved * W + added."""
    on = slice(block.n_active[steps[0]])
    k = block.last[on] - 1 - np.array(steps)[:, None]
    k = np.maximum(k, block.least[on])
    q, by_1, by_2 = quiet(block.chains[on], k)
    a, b = of_chains(a, on), of_chains(b, on)
    total = a + b + k
    leaves, stays = a / total, (b + k) / total
    kept = stays * q
    moved, added = np.empty((len(k), 4, k.shape[1])), np.empty((len(k), 3, k.shape[1]))
    moved[:, 0], moved[:, 1] = kept * by_1, kept * by_2
    moved[:, 2], moved[:, 3] = -kept / total, leaves * q / total
    added[:, 0], added[:, 1], added[:, 2] = stays / total, -leaves / total, leaves
    return kept, moved, added


class Chained(NamedTuple):
    """Customers whose silences end alike.

    Parameters
    ----------
    chain : ndarray of int64, shape (n,)
        The chain of each customer.
    x, age : ndarray of float64, shape (n_chains,)
        Repeat purchases and age of each chain.
    """

    chain: IntArray
    x: FloatArray
    age: FloatArray


def chained(params: Sequence[FloatArray], x: FloatArray, age: FloatArray) -> Chained:
    """Put customers into chains: those with the same x and age and parameters.

    Parameters
    ----------
    params : sequence of ndarray of float64, shape () or (n,)
        Parameters; when they may differ, each customer is a chain.
    x, age : ndarray of float64, shape (n,)
        Repeat purchases and ages.

    Returns
    -------
    Chained

    Examples
    --------
    >>> args = np.array([1.0, 0.0, 1.0]), np.array([5.0, 2.0, 5.0])
    >>> chained([np.array(0.5)], *args).chain.tolist()
    [1, 0, 1]
    """
    if any(p.ndim for p in params):
        return Chained(np.arange(x.size), x, age)
    xs, x_no = np.unique(x, return_inverse=True)
    ages, age_no = np.unique(age, return_inverse=True)
    keys, chain = np.unique(x_no * ages.size + age_no, return_inverse=True)
    return Chained(chain, xs[keys // ages.size], ages[keys % ages.size])


def flat(
    params: Params, *values: npt.ArrayLike
) -> tuple[list[FloatArray], list[FloatArray], tuple[int, ...]]:
    """Write parameters and what is known of customers as flat arrays.

    Parameters
    ----------
    params : sequence of float or ndarray of float64
        Parameters; numbers stay numbers.
    *values : array_like of float
        What is known; all of it and the parameters broadcast.

    Returns
    -------
    params : list of ndarray of float64, shape () or (n,)
    values : list of ndarray of float64, shape (n,)
    shape : tuple of int
        The common shape, of n elements.

    Examples
    --------
    >>> flat([2.0], 1, [[3, 4]])[1:]
    ([array([1., 1.]), array([3., 4.])], (1, 2))
    """
    shape = np.broadcast_shapes(*(np.shape(v) for v in (*params, *values)))
    spread = [
        np.broadcast_to(np.asarray(v, dtype=np.float64), shape).ravel() for v in values
    ]
    shared = [
        np.broadcast_to(p, shape).ravel() if np.ndim(p) else np.asarray(p, np.float64)
        for p in params
    ]
    return shared, spread, shape


def expected_stays(
    a: npt.ArrayLike, start: npt.ArrayLike, n: npt.ArrayLike
) -> FloatArray:
    """Say at how many of n opportunities somebody is there who is at the first.

    Parameters
    ----------
    a : array_like of float
        First shape parameter of the probability to leave before the next one.
    start : array_like of float
        The second one, given what is known: above 1 - a.
    n : array_like of float
        Opportunities, whole and at least 0.

    Returns
    -------
    ndarray of float64
        Expected number, from 0 to n.

    Notes
    -----
    ::

        sum_(i < n) prod_(l < i) (c+l)/(a+c+l)
            = (a+c-1)/(a-1) [1 - prod_(l < n) (c+l)/(a-1+c+l)]

    where the product is taken relative to a - 1, so that nothing cancels near a = 1;
    at a = 1 the next number beside it is as good.

    Examples
    --------
    >>> expected_stays([2, 1], 1, 3).round(4).tolist(), 1 + 1 / 3 + 1 / 6
    ([1.5, 1.8333], 1.5)
    """
    a, start = np.asarray(a, np.float64), np.asarray(start, np.float64)
    beyond = np.where(a == 1, _BESIDE, a - 1)
    gain = log_rising_gain(start, n, beyond)
    return np.minimum((start + beyond) * -np.expm1(-gain) / beyond, n)


def by_width(width: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Cut rows of different widths into tables that fit into memory.

    Parameters
    ----------
    width : ndarray of int64, shape (n,)
        Cells of each row; rows without any are left out.

    Yields
    ------
    rows : ndarray of int64, shape (m,)
        Some of the rows, of similar widths.
    columns : ndarray of int64, shape (largest width of them,)
        0, 1, 2, ...

    Examples
    --------
    >>> [(r.tolist(), c.tolist()) for r, c in by_width(np.array([2, 0, 1]))]
    [([0, 2], [0, 1])]
    """
    order = np.argsort(-width, kind="stable")
    order = order[: np.count_nonzero(width > 0)]
    while order.size:
        widest = width[order[0]]
        n = max(1, _CELLS_PER_BLOCK // int(widest))
        yield order[:n], np.arange(widest)
        order = order[n:]
