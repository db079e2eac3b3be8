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

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import (
    expit,
    log_expit,
)

from selfloop.kernels.bg_future import draw_if_alive, expected_if_alive, pmf_if_alive
from selfloop.kernels.fitting import Objective
from selfloop.kernels.grid import on_grid
from selfloop.kernels.purchase_model import Each, IntArray, Params, PurchaseModel
from selfloop.kernels.rising import log_rising, rising_slope
from selfloop.kernels.rows import FloatArray, Rows, dot

_ROWS_IN_CACHE = 16_384  # of the likelihood at a time: twice as fast as all at once
_OVERFLOW = 700.0  # e^z is finite below, and ln(1 + e^z) = z above


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
    >>> from selfloop.kernels.rows import distinct_rows
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
    grid = on_grid(age)
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
    >>> from selfloop.kernels.rows import distinct_rows
    >>> rows = distinct_rows([[0, 2], [0, 30.43], [38.86, 38.86]])
    >>> each(BgNbd(0.243, 4.414, 0.793, 2.426), rows).log_likelihood.round(4).tolist()
    [-0.5547, -9.4586]
    """
    r, alpha, a, b = (np.asarray(p, dtype=np.float64) for p in params)
    x, recency, age = rows.columns[:3]
    chances = x + first_dropout
    rate, by_rate = (log_rising(r, x), rising_slope(r, x))
    stays, by_stays = (log_rising(b, chances), rising_slope(b, chances))
    all_, by_all = (log_rising(a + b, chances), rising_slope(a + b, chances))
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


def starts(rows: Rows) -> list[tuple[float, ...]]:
    """Return points to start a fit from.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and T, with somebody who bought again and some age above 0.

    Returns
    -------
    list of tuple of float
        Times (r, alpha, a, b); alpha follows the unit of the ages. Small shops in which
        hardly anybody leaves, or one buys for all, have several maxima: the last two
        starts lead to those that the first three miss.

    Examples
    --------
    >>> from selfloop.kernels.rows import distinct_rows
    >>> starts(distinct_rows([[0, 2], [0, 9], [10, 10]]))[0]
    (1.0, 3.0, 1.0, 2.0)
    """
    x, _, age = rows.columns[:3]
    alpha = 0.3 * dot(age, rows.counts) / dot(x, rows.counts)
    usual = [(r, alpha, 1.0, 2.0) for r in (1.0, 0.3, 5.0)]
    return [*usual, (1.0, 0.01 * alpha, 0.01, 0.03), (0.05, alpha, 1.0, 1000.0)]


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
