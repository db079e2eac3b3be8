"""BG/NBD: how often customers buy, when they silently leave, how much is to come.

While a customer is active, purchases come at a steady rate lambda; after each repeat
purchase the customer leaves for good with probability p. Across customers lambda is
Gamma(r, rate alpha) and p is Beta(a, b), independent of each other. One customer is
three numbers: x repeat purchases, the age t_x at the last of them (0 without any),
and the age T at the end of observation, in one unit of time.

In the variant MBG/NBD (see `mbg_nbd`) the first purchase is a chance to leave too.
The functions here serve both: `first_dropout`, m in the formulas, is 1 for MBG/NBD.
Customers who are still there at T have a rate that is Gamma(r+x, rate alpha+T) and a
probability to leave that is Beta(a, b+m+x); from then on the two models are one.

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
    expit,
    gammaln,
    hyp2f1,
    log_expit,
    psi,
    xlogy,
)

from selfloop.kernels.fitting import N_WARM, Fit, FloatArray, Objective, Rows, dot
from selfloop.kernels.purchase_fit import fit_purchases
from selfloop.kernels.purchase_model import Each, IntArray, Params, PurchaseModel

_ROWS_IN_CACHE = 16_384  # of the likelihood at a time: twice as fast as all at once
_OVERFLOW = 700.0  # e^z is finite below, and ln(1 + e^z) = z above
_N_BUCKETS = 65_536  # distinct times on a grid fall into one each
_MANY = 10_000  # rows from which it pays to look for equal ones
_N_KEYS = 2**24  # a table of all pairs may be that long
_STIRLING = 50.0  # from here on three terms of the series are exact
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


class BgNbd(NamedTuple):
    """Parameters of BG/NBD and MBG/NBD, all above 0.

    Parameters
    ----------
    r, alpha : float or ndarray of float64
        Shape and rate of the purchase rate among customers; alpha is in the unit
        of time.
    a, b : float or ndarray of float64
        Shape parameters of the probability to leave after a purchase.
    """

    r: float | FloatArray
    alpha: float | FloatArray
    a: float | FloatArray
    b: float | FloatArray


def objective(rows: Rows, *, first_dropout: int = 0) -> Objective:
    """Return a function that says how likely the rows are under given parameters.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and T with 0 <= t_x <= T, and people per row.
    first_dropout : {0, 1}, optional
        1 for MBG/NBD: customers may leave after the first purchase.

    Returns
    -------
    callable
        Takes (r, alpha, a, b), gives the log-likelihood summed over people and its
        four derivatives.

    Notes
    -----
    For one customer::

        ln L = ln G(r+x)/G(r) + ln B(a, b+m+x)/B(a, b) - r ln(1 + T/alpha)
               - x ln(alpha+T) + ln(1 + e^z)
        z    = ln a - ln(b+m+x-1) + (r+x) ln((alpha+T)/(alpha+t_x))

    without the last term for m = x = 0. Both ratios are products over j below x or
    m+x, so that all customers together need only the number of people with more
    than j repeat purchases: no gamma function, and nothing cancels however large r
    or b. Logs of ages are taken once per distinct age, when these lie on a grid.

    Examples
    --------
    >>> from selfloop.kernels.fitting import distinct_rows
    >>> value, gradient = objective(distinct_rows([[2], [30.43], [38.86]]))(
    ...     np.array([0.243, 4.414, 0.793, 2.426])
    ... )
    >>> round(value, 4), gradient.shape
    (-9.4586, (4,))
    """
    x, _, age = rows.columns[:3]
    people = rows.counts
    at_count = np.bincount(x.astype(np.int64), weights=people)
    n_above = np.cumsum(at_count[::-1])[::-1][1:]
    n_stayed = np.concatenate([[rows.n_people] * first_dropout, n_above])
    j, k = (np.arange(n.size, dtype=np.float64) for n in (n_above, n_stayed))
    grid = _on_grid(age)
    ages, age_no = (age, np.arange(age.size)) if grid is None else grid
    n_age = np.bincount(age_no, weights=people)
    x_age = np.bincount(age_no, weights=people * x)
    n_purchases = dot(people, x)
    leavers = _leavers(rows, age_no=age_no, first_dropout=first_dropout)

    def of_params(params: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives by r, alpha, a, b."""
        r, alpha, a, b = params.tolist()
        rj, bk = r + j, b + k
        at_age = _AtAge(np.log1p(ages / alpha), ages / (alpha + ages))
        left = _leaving(BgNbd(r, alpha, a, b), leavers, at_age=at_age)
        value = (
            dot(n_above, np.log(rj))
            - dot(n_stayed, np.log1p(a / bk))
            - dot(r * n_age + x_age, at_age.grown)
            - n_purchases * np.log(alpha)
            + left.log_likelihood
        )
        by_log_alpha = r * dot(n_age, at_age.part) - dot(x_age, 1 - at_age.part)
        gradient = [
            dot(n_above, 1 / rj) - dot(n_age, at_age.grown) + left.by_r,
            by_log_alpha / alpha + left.by_alpha,
            left.by_a - dot(n_stayed, 1 / (a + bk)),
            left.by_b + dot(n_stayed, a / (bk * (a + bk))),
        ]
        return float(value), np.array(gradient, dtype=np.float64)

    return of_params


class _AtAge(NamedTuple):
    """ln((alpha+t)/alpha) and t/(alpha+t), at each of some ages t."""

    grown: FloatArray
    part: FloatArray


class _Leavers(NamedTuple):
    """Rows of people who may have left, in runs of one x and t_x."""

    chances: FloatArray  # to leave, up to now: one per run
    x: FloatArray
    recency: FloatArray
    first: IntArray  # row of each run
    run: IntArray  # of each row
    age_no: IntArray
    people: FloatArray


def _leavers(rows: Rows, *, age_no: IntArray, first_dropout: int) -> _Leavers:
    """Pick those who had a chance to leave; rows with the same x and t_x are one run.

    A run shares two of three logs, and sums over it can wait until its end.
    """
    may = rows.columns[0] + first_dropout > 0
    x, recency = rows.columns[0][may], rows.columns[1][may]
    is_new = np.ones(x.size, dtype=np.bool_)
    is_new[1:] = (x[1:] != x[:-1]) | (recency[1:] != recency[:-1])
    first = np.flatnonzero(is_new)
    return _Leavers(
        chances=x[first] + first_dropout,
        x=x[first],
        recency=recency[first],
        first=first,
        run=np.cumsum(is_new) - 1,
        age_no=age_no[may],
        people=rows.counts[may],
    )


class _Leaving(NamedTuple):
    """Sum of ln(1 + e^z) over people, and its derivatives."""

    log_likelihood: float
    by_r: float
    by_alpha: float
    by_a: float
    by_b: float


def _leaving(params: BgNbd, leavers: _Leavers, *, at_age: _AtAge) -> _Leaving:
    """Add up what it adds that people may have left after their last purchase."""
    r, alpha, a, b = params
    if not leavers.first.size:
        return _Leaving(0.0, 0.0, 0.0, 0.0, 0.0)
    rate, bx = r + leavers.x, b + (leavers.chances - 1)
    grown = np.log1p(leavers.recency / alpha)
    start = np.log(a / bx) - rate * grown  # z without (r+x) ln((alpha+T)/alpha)
    gone = np.empty(leavers.people.size)
    space = np.empty((4, _ROWS_IN_CACHE))
    value = by_grown = by_part = 0.0
    for begin in range(0, gone.size, _ROWS_IN_CACHE):
        rows = slice(begin, begin + _ROWS_IN_CACHE)
        n, age_no, run = leavers.people[rows], leavers.age_no[rows], leavers.run[rows]
        at_end, shape, z, other = space[:, : n.size]
        # Numbers are in range; "clip" only spares `take` a copy of its output.
        np.take(at_age.grown, age_no, out=at_end, mode="clip")
        np.take(rate, run, out=shape, mode="clip")
        np.take(start, run, out=z, mode="clip")
        z += np.multiply(shape, at_end, out=other)
        if z.max() > _OVERFLOW:
            value += dot(n, np.maximum(z - _OVERFLOW, 0.0))
            np.minimum(z, _OVERFLOW, out=z)
        odds = np.exp(z, out=gone[rows])
        np.add(odds, 1.0, out=other)
        odds /= other
        odds *= n  # people who have left
        value += dot(n, np.log(other, out=other))
        by_grown += dot(odds, at_end)
        shape *= odds
        by_part += dot(shape, np.take(at_age.part, age_no, out=other, mode="clip"))
    in_run = np.add.reduceat(gone, leavers.first)
    earlier = dot(in_run * rate, leavers.recency / (alpha + leavers.recency))
    return _Leaving(
        log_likelihood=value,
        by_r=by_grown - dot(in_run, grown),
        by_alpha=float((earlier - by_part) / alpha),
        by_a=float(in_run.sum() / a),
        by_b=-dot(in_run, 1 / bx),
    )


def _on_grid(values: FloatArray) -> tuple[FloatArray, IntArray] | None:
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


def each(params: Params, rows: Rows, *, first_dropout: int = 0) -> Each:
    """Say how likely each row is, for one customer of it.

    Parameters
    ----------
    params : BgNbd
        Parameters, the same for all rows or one per row.
    rows : Rows
        Columns x, t_x and T, shape (n,); further columns are ignored.
    first_dropout : {0, 1}, optional
        1 for MBG/NBD.

    Returns
    -------
    Each
        Log-likelihoods, shape (n,), and derivatives, shape (4, n).

    Notes
    -----
    The formula is that of `objective`.

    Examples
    --------
    >>> from selfloop.kernels.fitting import distinct_rows
    >>> rows = distinct_rows([[0, 2], [0, 30.43], [38.86, 38.86]])
    >>> each(BgNbd(0.243, 4.414, 0.793, 2.426), rows).log_likelihood.round(4).tolist()
    [-0.5547, -9.4586]
    """
    r, alpha, a, b = (np.asarray(p, dtype=np.float64) for p in params)
    x, recency, age = rows.columns[:3]
    chances = x + first_dropout
    rate, by_rate = _rising(r, x)
    stays, by_stays = _rising(b, chances)
    all_, by_all = _rising(a + b, chances)
    now, since = alpha + age, alpha + recency
    grown, lag = np.log1p(age / alpha), np.log1p((age - recency) / since)
    bx = b + (np.maximum(chances, 1.0) - 1)
    z = np.where(chances > 0, np.log(a / bx) + (r + x) * lag, -np.inf)
    left = expit(z)
    value = rate + stays - all_ - r * grown - x * np.log(now) - log_expit(-z)
    gradient = np.empty((4, x.size))
    gradient[0] = by_rate - grown + left * lag
    gradient[1] = r * age / (alpha * now) - x / now
    gradient[1] -= left * (r + x) * (age - recency) / (now * since)
    gradient[2] = left / a - by_all
    gradient[3] = by_stays - by_all - left / bx
    return Each(value, gradient)


def _rising(z: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ln G(z+n)/G(z) for whole n, and its derivative by z."""
    if z.ndim > 0:
        return _log_rising(z, n), psi(z + n) - psi(z)
    factors = z + np.arange(n.max(initial=0.0))
    whole = n.astype(np.int64)
    value = np.concatenate([[0.0], np.cumsum(np.log(factors))])
    slope = np.concatenate([[0.0], np.cumsum(1 / factors)])
    return value[whole], slope[whole]


def _log_rising(z: FloatArray, n: FloatArray) -> FloatArray:
    """Return ln G(z+n)/G(z), by Stirling's series where two large logs would cancel."""
    large = np.maximum(z, _STIRLING)
    end = large + n
    far = (large - 0.5) * np.log1p(n / large) + n * (np.log(end) - 1)
    far += _stirling(end) - _stirling(large)
    return np.where(z < _STIRLING, gammaln(z + n) - gammaln(z), far)


def _stirling(z: FloatArray) -> FloatArray:
    """Return what Stirling's formula lacks of ln G(z), for large z."""
    square = 1 / (z * z)
    return (1 / 12 - square * (1 / 360 - square / 1260)) / z


def starts(rows: Rows) -> list[tuple[float, ...]]:
    """Return points to start a fit from.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and T, with somebody who bought again and some age above 0.

    Returns
    -------
    list of tuple of float
        Three times (r, alpha, a, b); alpha follows the unit of the ages.

    Examples
    --------
    >>> from selfloop.kernels.fitting import distinct_rows
    >>> starts(distinct_rows([[0, 2], [0, 9], [10, 10]]))[0]
    (1.0, 3.0, 1.0, 2.0)
    """
    x, _, age = rows.columns[:3]
    alpha = 0.3 * dot(age, rows.counts) / dot(x, rows.counts)
    return [(r, alpha, 1.0, 2.0) for r in (1.0, 0.3, 5.0)]


def p_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    first_dropout: int = 0,
) -> FloatArray:
    """Say how probable it is that customers have not left yet.

    Parameters
    ----------
    params : BgNbd
        Parameters, the same for all customers or one per customer.
    x : array_like of int
        Repeat purchases, at least 0.
    recency, age : array_like of float
        Age at the last purchase and at the end, in the unit of alpha.
    first_dropout : {0, 1}, optional
        1 for MBG/NBD.

    Returns
    -------
    ndarray of float64
        Probabilities; 1 for x = 0 in BG/NBD, because it lets nobody leave before a
        repeat purchase.

    Notes
    -----
    P = 1 / (1 + e^z), with z as in `objective`. It may underflow to 0.

    Examples
    --------
    >>> cdnow = BgNbd(0.243, 4.414, 0.793, 2.426)
    >>> float(p_alive(cdnow, x=2, recency=30.43, age=38.86).round(4))
    0.7266
    """
    r, alpha, a, b = (np.asarray(p, dtype=np.float64) for p in params)
    count, last, now = (np.asarray(v, dtype=np.float64) for v in (x, recency, age))
    bx = b + (np.maximum(count + first_dropout, 1.0) - 1)
    z = (r + count) * np.log1p((now - last) / (alpha + last)) + np.log(a / bx)
    may_leave = count + first_dropout > 0
    return np.asarray(np.where(may_leave, expit(-z), 1.0))


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
    >>> cdnow = BgNbd(0.2425945, 4.4136019, 0.7929199, 2.4258881)
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
        pairs = _few_pairs(*flat)
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
    >>> cdnow = BgNbd(0.243, 4.414, 0.793, 2.426)
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
        stays = np.exp(_log_rising(chances, count) - _log_rising(a + chances, count))
        exactly = np.exp(
            _log_rising(shape, count)
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
    >>> cdnow = BgNbd(0.243, 4.414, 0.793, 2.426)
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
    pairs = _few_pairs(count, ages)
    if pairs is not None:
        return pairs
    ages, age_no = np.unique(ages, return_inverse=True)
    key = count.astype(np.int64) * ages.size + age_no
    keys, number = np.unique(key, return_inverse=True)
    return Pairs((keys // ages.size).astype(np.float64), ages[keys % ages.size], number)


def _few_pairs(x: FloatArray, age: FloatArray) -> Pairs | None:
    """Return the distinct pairs without sorting; None when there may be too many."""
    counts, ages = _on_grid(x), _on_grid(age)
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


MODEL = PurchaseModel(
    name="bg_nbd",
    label="BG/NBD",
    parameters=BgNbd._fields,
    times=("alpha",),
    each=each,
    objective=objective,
    starts=starts,
    p_alive=p_alive,
    expected_if_alive=expected_if_alive,
    pmf_if_alive=pmf_if_alive,
    draw_if_alive=draw_if_alive,
    purchase_rate=("alpha", -1),
    dropout=("a", 1),
    one_time_may_leave=False,
)
"""BG/NBD as one of the models of purchases."""

log_likelihood = objective


def fit(
    x: npt.ArrayLike,
    *,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    counts: npt.ArrayLike | None = None,
    n_warm: int = N_WARM,
) -> Fit:
    """Estimate the four parameters of BG/NBD by maximum likelihood.

    Parameters
    ----------
    x : array_like of int, shape (n,)
        Repeat purchases, at least 0.
    recency, age : array_like of float, shape (n,)
        Age at the last purchase and at the end, 0 <= recency <= age, in any unit.
    counts : array_like of float, shape (n,), optional
        People per row; one each by default.
    n_warm : int, optional
        Size of the sample to start from (see `maximise`).

    Returns
    -------
    Fit
        Names r, alpha, a, b; alpha and the log-likelihood in the unit of `age`.

    Examples
    --------
    >>> found = fit([0, 0, 1, 2, 5, 0, 1, 3], recency=[0, 0, 9, 20, 30, 0, 2, 25],
    ...             age=[40, 35, 38, 36, 31, 30, 39, 33])
    >>> sorted(found.params)
    ['a', 'alpha', 'b', 'r']
    """
    return fit_purchases(
        MODEL, x, recency=recency, age=age, counts=counts, n_warm=n_warm
    )


def expected_purchases(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: float,
) -> FloatArray:
    """Say how many purchases to expect from customers, given what they did so far.

    Parameters
    ----------
    params : BgNbd
        Parameters of the model.
    x : array_like of int, shape (n,)
        Repeat purchases, at least 0.
    recency, age : array_like of float, shape (n,)
        Age at the last purchase and at the end, in the unit of alpha.
    horizon : float
        Length of the time to come, at least 0, in the unit of alpha.

    Returns
    -------
    ndarray of float64, shape (n,)
        `p_alive` times `expected_if_alive`.

    Examples
    --------
    >>> cdnow = BgNbd(0.2425945, 4.4136019, 0.7929199, 2.4258881)
    >>> args = {"x": [2], "recency": [30.43], "age": [38.86]}
    >>> float(expected_purchases(cdnow, horizon=39, **args)[0].round(4))
    1.2259
    """
    stays = p_alive(params, x=x, recency=recency, age=age)
    return stays * expected_if_alive(params, x=x, age=age, horizon=horizon)


def expected_new(params: Params, horizon: npt.ArrayLike) -> FloatArray:
    """Say how many repeat purchases to expect from somebody who just became a buyer.

    Parameters
    ----------
    params : BgNbd
        Parameters of the model.
    horizon : array_like of float
        Time since the first purchase, at least 0, in the unit of alpha.

    Returns
    -------
    ndarray of float64
        Expected purchases after the first one.

    Examples
    --------
    >>> cdnow = BgNbd(0.243, 4.414, 0.793, 2.426)
    >>> expected_new(cdnow, [1, 3, 6]).round(6).tolist()
    [0.053268, 0.150865, 0.280756]
    """
    return expected_if_alive(params, x=0, age=0, horizon=horizon)
