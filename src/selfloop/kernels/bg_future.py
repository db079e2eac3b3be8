"""What a customer of BG/NBD who is still there does next.

Given alive at T, the rate is Gamma(r+x, rate alpha+T) and the probability to leave
after each purchase is Beta(a, b+m+x), where m is 1 for MBG/NBD and 0 for BG/NBD. From
then on the two models are one.

References
----------
P. S. Fader, B. G. S. Hardie and K. L. Lee, "Counting Your Customers" the Easy Way: An
Alternative to the Pareto/NBD Model, Marketing Science 24(2), 2005.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy.special import (
    betainc,
    betaincc,
    gammaln,
    hyp2f1,
    xlogy,
)

from selfloop.kernels.grid import few_pairs
from selfloop.kernels.purchase_model import IntArray, Params
from selfloop.kernels.rising import log_rising
from selfloop.kernels.rows import FloatArray

_ROWS_IN_CACHE = 16_384  # of the likelihood at a time: twice as fast as all at once
_MANY = 10_000  # rows from which it pays to look for equal ones
_N_TERMS = 24  # of the series for short horizons: the last is below 1e-17
_ROWS_PER_BLOCK = 512  # x some 200 nodes x 8 bytes: fits the cache
_STEP = 0.25  # between nodes: the error is some exp(-pi^2 / step)
_STEP_OF_SPREAD = 0.35  # the same in standard deviations of a narrow Beta
_TAIL = 40.0  # e^-40 is nothing
_TINY = 1e-300
_CANCELLED = 1e-4  # below, the closed form has lost more than four of 16 digits
_STEEP = 1000.0  # above, hyp2f1 loses digits
_NEAR_POLE = -0.99  # of F at c = -1, where a and b are tiny
_NEAR_END = 0.9  # so near to its singularity at 1, hyp2f1 takes differences


def expected_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    recency: npt.ArrayLike = 0.0,
    first_dropout: int = 0,
) -> FloatArray:
    """Say how many purchases to expect from customers who have not left.

    Parameters
    ----------
    params : BgNbd
        Parameters, the same for all customers or one per customer.
    x : array_like of int
        Repeat purchases so far, at least 0.
    age : array_like of float
        Age now, at least 0, in the unit of alpha.
    horizon : array_like of float
        Length of the time to come, at least 0, in the unit of alpha.
    recency : array_like of float, optional
        Age at the last purchase: it does not matter for those who are still there.
    first_dropout : {0, 1}, optional
        1 for MBG/NBD.

    Returns
    -------
    ndarray of float64
        Expected purchases within the horizon.

    Notes
    -----
    With c = a+b+m+x-1, rho = t/(alpha+T) and q = 1/(1+rho), Euler's transformation
    of equation (10) of Fader, Hardie and Lee gives::

        E = c/(a-1) * (1 - q^(a-1) F(a-1, c-r-x; c; 1-q))

    where nothing overflows for large x. For short horizons E is a series with
    falling terms, rho (r+x) sum_k (-rho)^k (r+x+1)_k (a)_k / ((k+1)! (c+1)_k).
    Where the difference above cancels (a near 1, large b) or F is not to be trusted
    (c = 0 or near -1, very large a or r, t above 9 (alpha+T)), E is the mean over p
    of the purchases of one who leaves with probability p::

        E = Int_0^1 [1 - (1 + p rho)^-(r+x)] / p  Beta(p; a, b+m+x) dp

    by the trapezoidal rule in ln(p/(1-p)), which has none of these holes. Of many
    customers under one set of parameters, each pair of x and age is computed once.

    Examples
    --------
    >>> cdnow = (0.2425945, 4.4136019, 0.7929199, 2.4258881)
    >>> float(expected_if_alive(cdnow, x=0, age=0, horizon=52).round(4))
    1.444
    """
    r, alpha, a, b = (np.asarray(p, dtype=np.float64) for p in params)
    count, now, ahead = (np.asarray(v, dtype=np.float64) for v in (x, age, horizon))

    def given(count: FloatArray, now: FloatArray) -> FloatArray:
        """Return the expected purchases for some x and ages."""
        case = _Case(r, a, b + first_dropout, count, ahead / (alpha + now))
        shape = np.broadcast_shapes(*(v.shape for v in case))
        flat = (np.broadcast_to(v, shape).ravel() for v in case)
        return _expected(_Case(*flat)).reshape(shape)

    same = (r, alpha, a, b, ahead)
    return _by_pairs(given, x=count, age=now, same=same, like=np.shape(recency))


def _by_pairs(
    given: Callable[[FloatArray, FloatArray], FloatArray],
    *,
    x: FloatArray,
    age: FloatArray,
    same: tuple[FloatArray, ...],
    like: tuple[int, ...],
) -> FloatArray:
    """Compute something from x and age: once per pair, when all else is the same.

    The result has the shape of all arguments together, and `like`.
    """
    shape = np.broadcast_shapes(x.shape, age.shape, like)
    if math.prod(shape) > _MANY and all(v.ndim == 0 for v in same):
        flat = (np.broadcast_to(v, shape).ravel() for v in (x, age))
        pairs = few_pairs(*flat)
        if pairs is not None:
            return given(pairs.x, pairs.age)[pairs.number].reshape(shape)
    return given(np.broadcast_to(x, shape), age)


class _Case(NamedTuple):
    """What expected purchases depend on, one number per customer.

    The customer leaves with a probability that is Beta(a, b+x); ratio is the horizon
    by alpha+T.
    """

    r: FloatArray
    a: FloatArray
    b: FloatArray
    x: FloatArray
    ratio: FloatArray

    def part(self, which: IntArray | slice) -> Self:
        """Return some customers."""
        return self._replace(**{k: v[which] for k, v in self._asdict().items()})


def _expected(case: _Case) -> FloatArray:
    """Compute each customer's expected purchases in the way that is exact for it."""
    expected = np.empty(case.x.size)
    holes = []
    for begin in range(0, expected.size, _ROWS_IN_CACHE):
        rows = case.part(slice(begin, begin + _ROWS_IN_CACHE))
        is_short = (rows.ratio < 0.1) & ((rows.r + rows.x) * rows.ratio < 1)
        short, far = np.flatnonzero(is_short), np.flatnonzero(~is_short)
        expected[begin + short] = _by_series(rows.part(short))
        expected[begin + far], is_right = _closed_form(rows.part(far))
        holes.append(begin + far[~is_right])
    hole = np.concatenate([[], *holes]).astype(np.int64)
    for begin in range(0, hole.size, _ROWS_PER_BLOCK):
        block = hole[begin : begin + _ROWS_PER_BLOCK]
        expected[block] = _over_dropout(case.part(block))
    return expected


def _by_series(case: _Case) -> FloatArray:
    """Sum the series for short horizons, from its smallest term on."""
    r, a, b, x, ratio = case
    total = np.ones(x.size)
    for k in range(_N_TERMS, 0, -1):
        term = (r + x + k) * ratio / (k + 1) * (a + k - 1) / (a + b + x + k - 1)
        total = 1 - term * total
    return (r + x) * ratio * total


def _closed_form(case: _Case) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return Euler's form, and where it can be trusted."""
    r, a, b, x, ratio = case
    c, steep = a + b + x - 1, a + b - 1 - r
    share = ratio / (1 + ratio)
    with np.errstate(all="ignore"):  # what is not finite is not right
        f = hyp2f1(a - 1, steep, c, share)
        rest = 1 - np.exp((1 - a) * np.log1p(ratio)) * f
        expected = c / (a - 1) * rest
        # Somebody who never leaves buys (r+x) t/(alpha+T) times: nobody buys more.
        is_right = (expected >= 0) & (expected <= (r + x) * ratio)
        is_right &= (np.abs(rest) > _CANCELLED) & (np.abs(steep) < _STEEP)
    return expected, is_right & (share < _NEAR_END) & (c > _NEAR_POLE)


def _over_dropout(case: _Case) -> FloatArray:
    """Average expected purchases over the probability to leave.

    The nodes are even in u = ln(p/(1-p)), with ends where the integrand has vanished.
    Where the Beta density piles up at an end (a < 1 or b+x < 1), the value of the
    integrand there is taken out and integrated by hand: its mean is known. What is
    left has a factor p or 1-p, which goes to the density.
    """
    r, a, b, x, ratio = (v[:, None] for v in case)
    shape, b = r + x, b + x
    piles_0, piles_1 = a < 1, b < 1
    left, right = a + piles_0, b + piles_1
    at_0 = np.where(piles_0, shape * ratio, 0.0)
    at_1 = np.where(piles_1, -np.expm1(-shape * np.log1p(ratio)), 0.0)
    middle = np.log(left / right)
    off = _nodes(case, middle=middle, left=left, right=right)
    # ln of the density, less that at the middle: exact however narrow it is.
    mean = left / (left + right)
    density = np.exp(left * off - (left + right) * np.log1p(mean * np.expm1(off)))
    odds = np.exp(middle + off)
    p, q = odds / (1 + odds), 1 / (1 + odds)
    purchases = -np.expm1(-shape * np.log1p(p * ratio)) / p
    purchases -= at_0 * q + at_1 * p
    purchases /= np.where(piles_0, p, 1.0) * np.where(piles_1, q, 1.0)
    mean_part = (density * purchases).sum(axis=1) / density.sum(axis=1)
    # B(left, right) / B(a, b)
    weight = np.where(piles_0, a / (a + b), 1.0)
    weight *= np.where(piles_1, b / (left + b), 1.0)
    ends = (at_0 * b + at_1 * a) / (a + b)
    return np.asarray(ends[:, 0] + weight[:, 0] * mean_part)


def _nodes(
    case: _Case, *, middle: FloatArray, left: FloatArray, right: FloatArray
) -> FloatArray:
    """Return nodes, counted from the middle, shape (n, n_nodes)."""
    a, shape, ratio = case.a[:, None], (case.r + case.x)[:, None], case.ratio[:, None]
    spread = np.sqrt(1 / left + 1 / right)
    # Downwards until the tail of the density is nothing, or that of the integrand.
    tail = np.maximum(0.0, middle + np.log1p(shape * ratio)) + _TAIL / left
    slow = _TAIL / np.where(a > 1, np.maximum(a - 1, _TINY), a)
    low = -np.minimum(slow, tail) - 10 * spread
    high = _TAIL / right + 10 * spread
    step = np.minimum(_STEP, _STEP_OF_SPREAD * spread)
    n = int(np.ceil((high - low) / step).max()) + 1
    return np.asarray(low + (high - low) * np.linspace(0.0, 1.0, n))


def pmf_if_alive(
    params: Params,
    *,
    n: npt.ArrayLike,
    x: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    recency: npt.ArrayLike = 0.0,
    first_dropout: int = 0,
) -> FloatArray:
    """Say how probable a number of purchases is for customers who have not left.

    Parameters
    ----------
    params : BgNbd
        Parameters, the same for all customers or one per customer.
    n : array_like of int
        Number of purchases within the horizon, at least 0.
    x : array_like of int
        Repeat purchases so far, at least 0.
    age : array_like of float
        Age now, at least 0, in the unit of alpha.
    horizon : array_like of float
        Length of the time to come, at least 0, in the unit of alpha.
    recency : array_like of float, optional
        Age at the last purchase: it does not matter for those who are still there.
    first_dropout : {0, 1}, optional
        1 for MBG/NBD.

    Returns
    -------
    ndarray of float64
        Probabilities; they sum to 1 over n.

    Notes
    -----
    Let N be the purchases of one who never leaves: negative binomial with shape r+x
    and success probability (alpha+T)/(alpha+T+t). With d = b+m+x::

        P(n) = B(a, d+n)/B(a, d) [P(N = n) + a/(d+n-1) P(N >= n)]

    without the second term for n = 0: the n-th purchase was one of at least n
    wanted, and the last. P(N >= n) is an incomplete beta function.

    Examples
    --------
    >>> cdnow = (0.243, 4.414, 0.793, 2.426)
    >>> pmf_if_alive(cdnow, n=[0, 11, 20], x=0, age=0, horizon=30).round(7).tolist()
    [0.6071103, 0.0019995, 0.0002222]
    """
    r, alpha, a, b = (np.asarray(p, dtype=np.float64) for p in params)
    before, now, ahead, count = (
        np.asarray(v, np.float64) for v in (x, age, horizon, n)
    )

    def given(before: FloatArray, now: FloatArray) -> FloatArray:
        """Return the probabilities for some x and ages."""
        shape, chances, now = r + before, b + first_dropout + before, alpha + now
        share = ahead / (now + ahead)
        stays = np.exp(log_rising(chances, count) - log_rising(a + chances, count))
        exactly = np.exp(
            log_rising(shape, count)
            - gammaln(count + 1)
            - shape * np.log1p(ahead / now)
            + xlogy(count, share)
        )
        last = a / (chances + (np.maximum(count, 1.0) - 1))
        more = _at_least(count, shape=shape, share=share, rest=now / (now + ahead))
        return np.asarray(stays * (exactly + last * more))

    same = (r, alpha, a, b, ahead, count)
    return _by_pairs(given, x=before, age=now, same=same, like=np.shape(recency))


def _at_least(
    n: FloatArray, *, shape: FloatArray, share: FloatArray, rest: FloatArray
) -> FloatArray:
    """Return the probability of at least n wanted purchases, and 0 for n = 0."""
    n, shape, share, rest = np.broadcast_arrays(n, shape, share, rest)
    found = np.zeros(n.shape)
    low = (n > 0) & (share < 0.5)
    found[low] = betainc(n[low], shape[low], share[low])
    # Here 1 - share has more digits.
    high = (n > 0) & (share >= 0.5)
    found[high] = betaincc(shape[high], n[high], rest[high])
    return found


def draw_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    rng: np.random.Generator,
    recency: npt.ArrayLike = 0.0,
    first_dropout: int = 0,
) -> IntArray:
    """Draw how many purchases customers make who have not left.

    Parameters
    ----------
    params : BgNbd
        Parameters, the same for all customers or one per customer.
    x : array_like of int
        Repeat purchases so far, at least 0.
    age : array_like of float
        Age now, at least 0, in the unit of alpha.
    horizon : array_like of float
        Length of the time to come, at least 0, in the unit of alpha.
    rng : numpy.random.Generator
        Source of the random numbers.
    recency : array_like of float, optional
        Age at the last purchase: it does not matter for those who are still there.
    first_dropout : {0, 1}, optional
        1 for MBG/NBD.

    Returns
    -------
    ndarray of int64
        Purchases within the horizon, one draw per customer.

    Notes
    -----
    The rate and the probability to leave are drawn from what is known of them; of
    the purchases wanted at that rate, those up to the leaving one happen.

    Examples
    --------
    >>> cdnow = (0.243, 4.414, 0.793, 2.426)
    >>> rng = np.random.default_rng(0)
    >>> draw_if_alive(cdnow, x=[0, 9, 29], age=38.0, horizon=39, rng=rng).tolist()
    [0, 3, 26]
    """
    r, alpha, a, b = (np.asarray(p, dtype=np.float64) for p in params)
    before, now, ahead = (np.asarray(v, dtype=np.float64) for v in (x, age, horizon))
    arrays = (r, alpha, a, b, before, now, ahead)
    size = np.broadcast_shapes(np.shape(recency), *(v.shape for v in arrays))
    rate = rng.gamma(r + before, size=size) / (alpha + now)
    leaves = rng.beta(a, b + first_dropout + before, size=size)
    wanted = rng.poisson(rate * ahead)
    # A probability below the smallest float is drawn as 0: nobody lives to see it.
    until = rng.geometric(np.maximum(leaves, _TINY))
    return np.asarray(np.minimum(wanted, until), dtype=np.int64)
