"""BG/CNBD-k and MBG/CNBD-k: customers who buy at regular intervals and silently leave.

While a customer is active, hidden events come at a steady rate lambda and every k-th
of them is a purchase, so that the gaps between purchases are Erlang-k: the larger k,
the more regular. After each repeat purchase the customer leaves for good with
probability p; in MBG/CNBD-k also right after the first purchase. Across customers
lambda is Gamma(r, rate alpha) and p is Beta(a, b), independent of each other. k = 1
is BG/NBD and MBG/NBD.

References
----------
T. Reutterer, M. Platzer and N. Schroeder, Leveraging Purchase Regularity for
Predicting Customer Behavior the Easy Way, International Journal of Research in
Marketing 38(1), 2021.

R. D. Wheat and D. G. Morrison, Estimating Purchase Regularity with Two Interpurchase
Times, Journal of Marketing Research 27(1), 1990.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincc, expit, gammaln

from selfloop.core.errors import FitError
from selfloop.kernels.fitting import Objective
from selfloop.kernels.purchase_model import Each, IntArray, Params, PurchaseModel
from selfloop.kernels.rising import (
    log_pmf,
    log_rising,
    log_rising_gain,
    people_above,
    rising_slope,
)
from selfloop.kernels.rows import FloatArray, Rows, dot

MAX_K = 12
"""The most regular gaps that a model is made for."""

_ROWS_IN_CACHE = 16_384  # of the likelihood at a time: twice as fast as all at once
_CELLS_PER_BLOCK = 2**15  # rows x terms x 8 bytes = 256 kB per array, in the cache
_MAX_TERMS = 2000.0  # of the series; from there on the integral costs less
_MAX_MEAN = 600.0  # exp(-600) is still a normal float, so the series can start there
_NEGLIGIBLE = 1e-15
_STEP = 0.27  # of the trapezoidal rule in logits: its error is about exp(-pi^2/0.27)
_FEW = 1e-3  # chance to stay below which the mean purchases are a short polynomial
_NOBODY = 1e-22  # share of customers that cannot change a digit
_FEW_TERMS = 5  # of it: 1e-3 to the fifth is nothing
_PILED = 0.75  # smaller shapes pile up at the end: that end is integrated by hand
_STIRLING = 16.0  # from here on five terms of Stirling's series have all digits


class CnbdK(NamedTuple):
    """Parameters of the model, all above 0.

    Parameters
    ----------
    r, alpha : float
        Shape and rate of the rate of hidden events among customers; alpha is in the
        unit of time. A purchase takes k hidden events.
    a, b : float
        Shape parameters of the probability to leave after a purchase.
    """

    r: float
    alpha: float
    a: float
    b: float


def model(k: int, *, first_dropout: int) -> PurchaseModel:
    """Return the model with gaps of regularity k.

    Parameters
    ----------
    k : int
        Hidden events per purchase, 1 to 12.
    first_dropout : int
        1 if customers can leave right after their first purchase (MBG/CNBD-k), 0 if
        not (BG/CNBD-k).

    Returns
    -------
    PurchaseModel
        With the parameters of `CnbdK`.

    Raises
    ------
    ValueError
        When k or first_dropout is out of range.

    Examples
    --------
    >>> found = model(2, first_dropout=1)
    >>> found.name, found.label, found.k
    ('mbg_cnbd_2', 'MBG/CNBD-2', 2)
    >>> args = {"x": 2, "recency": 30.43, "age": 38.86}
    >>> float(found.p_alive(CnbdK(0.58, 2.29, 1.13, 1.58), **args).round(4))
    0.6824
    """
    if k not in range(1, MAX_K + 1):
        raise ValueError(f"k must be a whole number from 1 to {MAX_K}, got {k!r}")
    if first_dropout not in (0, 1):
        raise ValueError(f"first_dropout must be 0 or 1, got {first_dropout!r}")
    shaped: dict[str, Any] = {"k": int(k), "first_dropout": int(first_dropout)}
    prefix = "mbg" if first_dropout else "bg"
    return PurchaseModel(
        name=f"{prefix}_cnbd_{k}",
        label=f"{prefix.upper()}/CNBD-{k}",
        parameters=CnbdK._fields,
        times=("alpha",),
        each=partial(each, **shaped),
        objective=partial(objective, **shaped),
        starts=partial(starts, k=int(k)),
        p_alive=partial(p_alive, **shaped),
        expected_if_alive=partial(expected_if_alive, **shaped),
        pmf_if_alive=partial(pmf_if_alive, **shaped),
        draw_if_alive=partial(draw_if_alive, **shaped),
        purchase_rate=("alpha", -1),
        dropout=("a", 1),
        uses_recency=k > 1,
        one_time_may_leave=first_dropout == 1,
        k=int(k),
    )


# The likelihood -------------------------------------------------------------


def each(params: Params, rows: Rows, *, k: int, first_dropout: int) -> Each:
    """Say how likely each row is under given parameters.

    Parameters
    ----------
    params : sequence of float or ndarray
        r, alpha, a, b; arrays give each row its own.
    rows : Rows
        Columns x, t_x and T with 0 <= t_x <= T.
    k : int
        Hidden events per purchase, 1 to 12.
    first_dropout : int
        1 for MBG/CNBD-k, 0 for BG/CNBD-k.

    Returns
    -------
    Each
        Log-likelihood of one customer of each row, shape (n,), and its derivatives
        by r, alpha, a and b, shape (4, n).

    Notes
    -----
    With m = `first_dropout`, for one customer::

        ln L = ln G(r+kx)/G(r) + ln B(a, b+x+m)/B(a, b) - r ln(1 + T/alpha)
               - kx ln(alpha+T) + ln(S + e^z)
        S    = sum_{j=0..k-1} G(r+kx+j) / (G(r+kx) j!) ((T-t_x)/(alpha+T))^j
        z    = ln a - ln(b+x-1+m) + (r+kx) ln((alpha+T)/(alpha+t_x))

    without e^z for x + m = 0. S counts the hidden events since the last purchase
    of one who is still there. What no parameter touches is left out: `gap_term`
    has it.

    Examples
    --------
    >>> one = Rows((np.array([2.0]), np.array([30.43]), np.array([38.86])), np.ones(1))
    >>> found = each(CnbdK(0.58, 2.29, 1.13, 1.58), one, k=2, first_dropout=1)
    >>> found.log_likelihood.round(4).tolist(), found.gradient.shape
    ([-14.5417], (4, 1))
    """
    r, alpha, a, b = (np.asarray(p, dtype=np.float64) for p in params)
    x, recency, age = rows.columns[:3]
    hidden, stayed = k * x, x + first_dropout
    ends = _ends(
        (r, alpha, a, b), x, recency, age=age, k=k, first_dropout=first_dropout
    )
    grown = np.log1p(age / alpha)
    value = (
        log_rising(r, hidden)
        - hidden * np.log(alpha + age)
        - log_rising_gain(b, stayed, a)
        - r * grown
        + ends.log_likelihood
    )
    leaving = rising_slope(a + b, stayed)
    gradient = [
        rising_slope(r, hidden) - grown + ends.by_r,
        (r / alpha * age - hidden) / (alpha + age) + ends.by_alpha,
        ends.by_a - leaving,
        rising_slope(b, stayed) - leaving + ends.by_b,
    ]
    return Each(value, np.array(gradient))


def objective(rows: Rows, *, k: int, first_dropout: int) -> Objective:
    """Return a function that says how likely all rows are under given parameters.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and T with 0 <= t_x <= T, and people per row.
    k : int
        Hidden events per purchase, 1 to 12.
    first_dropout : int
        1 for MBG/CNBD-k, 0 for BG/CNBD-k.

    Returns
    -------
    callable
        Takes (r, alpha, a, b), gives the log-likelihood summed over people and its
        four derivatives.

    Notes
    -----
    The sum of `each`. The ratios of gamma functions are products, so that all
    customers together need only the number of people with more than j repeat
    purchases: no gamma function, and nothing cancels however large r or b.

    Examples
    --------
    >>> one = Rows((np.array([2.0]), np.array([30.43]), np.array([38.86])), np.ones(1))
    >>> value, _ = objective(one, k=2, first_dropout=1)(
    ...     np.array([0.58, 2.29, 1.13, 1.58])
    ... )
    >>> round(value, 4)
    -14.5417
    """
    x, recency, age = rows.columns[:3]
    people = rows.counts
    n_above = people_above(x, people)
    n_stayed = people_above(x + first_dropout, people)
    hidden = np.arange(n_above.size * k, dtype=np.float64).reshape(-1, k)
    j = np.arange(n_stayed.size, dtype=np.float64)
    ages, age_no = np.unique(age, return_inverse=True)
    n_age = np.bincount(age_no, weights=people)
    hidden_age = np.bincount(age_no, weights=people * (k * x))
    shaped = {"k": k, "first_dropout": first_dropout}

    def of_params(params: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives by r, alpha, a, b."""
        r, alpha, a, b = params.tolist()
        ri, bj, cj = r + hidden, b + j, a + b + j
        grown = np.log1p(ages / alpha)
        ends = np.zeros(5)
        for start in range(0, x.size, _ROWS_IN_CACHE):
            part = slice(start, start + _ROWS_IN_CACHE)
            found = _ends(params, x[part], recency[part], age=age[part], **shaped)
            ends += [dot(people[part], column) for column in found]
        value = (
            dot(n_above, np.log(ri).sum(axis=1))
            - dot(n_stayed, np.log1p(a / bj))
            - r * dot(n_age, grown)
            - dot(hidden_age, np.log(alpha + ages))
            + ends[0]
        )
        by_alpha = r / alpha * dot(n_age, ages / (alpha + ages))
        gradient = [
            dot(n_above, (1 / ri).sum(axis=1)) - dot(n_age, grown),
            by_alpha - dot(hidden_age, 1 / (alpha + ages)),
            -dot(n_stayed, 1 / cj),
            dot(n_stayed, a / (bj * cj)),
        ]
        return float(value), np.array(gradient) + ends[1:]

    return of_params


class _Since(NamedTuple):
    """What the time since the last purchase says."""

    shape: FloatArray
    gap: FloatArray
    lag: FloatArray
    waited: FloatArray
    silent: FloatArray
    by_shape: FloatArray
    by_waited: FloatArray
    stayed: FloatArray
    log_odds: FloatArray


def _since(
    params: Params | FloatArray,
    x: FloatArray,
    recency: FloatArray,
    *,
    age: FloatArray,
    k: int,
    first_dropout: int,
) -> _Since:
    """Return S, its derivatives, and the log-odds of having left, z - ln S."""
    r, alpha, a, b = params
    shape, gap, total = r + k * x, age - recency, alpha + age
    lag = np.log1p(gap / (alpha + recency))
    waited = gap / total
    silent, by_shape, by_waited = _silent(shape, waited, k=k)
    stayed = np.maximum(x - (1 - first_dropout), 0.0)
    log_odds = np.log(a / (b + stayed)) + shape * lag
    if k > 1:
        log_odds = log_odds - np.log(silent)
    if not first_dropout:
        log_odds = np.where(x > 0, log_odds, -np.inf)
    return _Since(
        shape, gap, lag, waited, silent, by_shape, by_waited, stayed, log_odds
    )


def _silent(
    shape: FloatArray, waited: FloatArray, *, k: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return S and its derivatives by its two arguments, by Horner's rule."""
    found = np.ones_like(waited * shape)
    by_shape = by_waited = np.zeros_like(found)
    for j in range(k - 2, -1, -1):
        rising = (shape + j) / (j + 1)
        by_shape = waited * (found / (j + 1) + rising * by_shape)
        by_waited = rising * (found + waited * by_waited)
        found = 1 + rising * waited * found
    return found, by_shape, by_waited


class _Ends(NamedTuple):
    """The values of ln(S + e^z), and their derivatives."""

    log_likelihood: FloatArray
    by_r: FloatArray
    by_alpha: FloatArray
    by_a: FloatArray
    by_b: FloatArray


def _ends(
    params: Params | FloatArray,
    x: FloatArray,
    recency: FloatArray,
    *,
    age: FloatArray,
    k: int,
    first_dropout: int,
) -> _Ends:
    """Say how likely it is to wait this long, or to have left."""
    _, alpha, a, b = params
    since = _since(params, x, recency, age=age, k=k, first_dropout=first_dropout)
    odds = since.log_odds
    small = np.exp(-np.abs(odds))
    value = np.maximum(odds, 0) + np.log1p(small)  # ln(1 + e^odds)
    gone = np.where(odds > 0, 1.0, small) / (1 + small)
    by_r = gone * since.lag
    by_alpha = -gone * since.shape * since.gap / ((alpha + age) * (alpha + recency))
    if k > 1:
        there = np.where(odds > 0, small, 1.0) / ((1 + small) * since.silent)
        value += np.log(since.silent)
        by_r += there * since.by_shape
        by_alpha -= there * since.by_waited * since.waited / (alpha + age)
    return _Ends(value, by_r, by_alpha, gone / a, -gone / (b + since.stayed))


def starts(rows: Rows, *, k: int) -> list[tuple[float, ...]]:
    """Return points to start a fit from.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and T, with at least one repeat purchase.
    k : int
        Hidden events per purchase.

    Returns
    -------
    list of tuple of float
        Values of r, alpha, a, b; alpha in the unit of the rows.

    Examples
    --------
    >>> one = Rows((np.array([2.0]), np.array([30.0]), np.array([40.0])), np.ones(1))
    >>> starts(one, k=2)[0]
    (1.0, 3.0, 1.0, 2.0)
    """
    x, _, age = rows.columns[:3]
    alpha = 0.3 * dot(age, rows.counts) / (k * dot(x, rows.counts))
    return [(r, alpha, 1.0, 2.0) for r in (1.0, 0.3, 5.0)]


def gap_term(k: int, *, sum_log_gaps: float, n_purchases: float) -> float:
    """Return the part of the log-likelihood that no parameter touches.

    Parameters
    ----------
    k : int
        Hidden events per purchase.
    sum_log_gaps : float
        Sum of the logs of all gaps between purchases, in the unit of the ages.
    n_purchases : float
        How many gaps there are: the repeat purchases of all customers.

    Returns
    -------
    float
        To be added to the log-likelihood before different k are compared.

    Notes
    -----
    (k-1) sum ln(gaps) - n ln G(k).

    Examples
    --------
    >>> gap_term(1, sum_log_gaps=5.0, n_purchases=9)
    0.0
    >>> round(gap_term(3, sum_log_gaps=5.0, n_purchases=9), 4)  # 2 * 5 - 9 ln 2
    3.7617
    """
    return (k - 1) * sum_log_gaps - n_purchases * math.lgamma(k)


def regularity(earlier: npt.ArrayLike, later: npt.ArrayLike) -> float:
    """Estimate how regular purchases are, from two adjacent gaps of each customer.

    Parameters
    ----------
    earlier, later : array_like of float, shape (n,)
        Two adjacent gaps of each customer with at least three purchases, the last
        two for instance, above 0, in any unit.

    Returns
    -------
    float
        Estimate of k, above 0; 1 is as irregular as chance.

    Raises
    ------
    ValueError
        When the gaps differ in number, or one is not above 0 and finite.
    FitError
        When there are fewer than two customers, or none with unequal gaps.

    Notes
    -----
    If gaps are Erlang-k, the share M = earlier/(earlier+later) is Beta(k, k) whatever
    the rates of the customers, with variance 1/(4 (2k+1)), so::

        k = (1 - 4 v) / (8 v),    v = mean of (M - 1/2)^2

    by Wheat and Morrison. The mean of M is known, which makes the result the same
    whichever gap comes first. The variance around the mean of the sample with one
    gap at random first, as in BTYDplus, agrees with it for many customers.

    Examples
    --------
    >>> regularity([1.0, 3.0], [3.0, 1.0])  # M = 1/4 and 3/4, v = 1/16
    1.5
    """
    one, two = (np.asarray(g, dtype=np.float64) for g in (earlier, later))
    if one.ndim != 1 or one.shape != two.shape:
        raise ValueError(f"gaps must be pairs, got shapes {one.shape} and {two.shape}")
    if not (np.isfinite([one, two]).all() and (one > 0).all() and (two > 0).all()):
        raise ValueError("gaps must be above 0 and finite")
    half, other = one / 2, two / 2  # so that their sum cannot overflow
    share = (half - other) / (half + other) / 2
    variance = dot(share, share) / max(share.size, 1)
    if share.size < 2 or variance == 0:
        raise FitError(
            f"the regularity of {share.size} pairs of gaps cannot be estimated: it "
            "takes at least two customers, not all with two equal gaps"
        )
    return (1 - 4 * variance) / (8 * variance)


# Given the history ----------------------------------------------------------


def p_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    k: int,
    first_dropout: int,
) -> FloatArray:
    """Say how probable it is that customers have not left yet.

    Parameters
    ----------
    params : sequence of float or ndarray
        r, alpha, a, b; arrays give each customer their own.
    x : array_like of int
        Repeat purchases, at least 0.
    recency, age : array_like of float
        Age at the last purchase and at the end, in the unit of alpha.
    k : int
        Hidden events per purchase, 1 to 12.
    first_dropout : int
        1 for MBG/CNBD-k, 0 for BG/CNBD-k.

    Returns
    -------
    ndarray of float64
        Probabilities. In BG/CNBD-k they are 1 for x = 0, because it lets nobody
        leave before a repeat purchase.

    Notes
    -----
    P = S / (S + e^z), with S and z as in `each`. It may underflow to 0.

    Examples
    --------
    >>> grocer = CnbdK(1.44, 0.76, 0.4, 1.2)  # weeks; a customer who came every 4
    >>> args = {"x": 10, "recency": 40, "k": 2, "first_dropout": 1}
    >>> p_alive(grocer, age=[41, 45, 52], **args).round(3).tolist()
    [0.962, 0.887, 0.394]
    """
    values = (np.asarray(v, dtype=np.float64) for v in (*params, x, recency, age))
    *own, x, recency, age = np.broadcast_arrays(*values)
    since = _since(own, x, recency, age=age, k=k, first_dropout=first_dropout)
    return np.asarray(expit(-since.log_odds))


class _There(NamedTuple):
    """Posterior of customers who have not left, each array of shape (n,).

    The rate is Gamma(shape + j, alpha + T) with j hidden events since the last
    purchase, and the chance to leave is Beta(leaves, stays).
    """

    shape: FloatArray
    leaves: FloatArray
    stays: FloatArray
    ratio: FloatArray
    waited: FloatArray


def _there(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    n: npt.ArrayLike = 0.0,
    k: int,
    first_dropout: int,
) -> tuple[_There, FloatArray]:
    """Return the posterior, one row per customer, and n in the shape of the answer."""
    given = (*params, x, recency, age, horizon, n)
    values = (np.asarray(v, dtype=np.float64) for v in given)
    r, alpha, a, b, x, recency, age, horizon, n = np.broadcast_arrays(*values)
    total = alpha + age
    posterior = (
        r + k * x,
        a,
        b + x + first_dropout,
        horizon / total,
        (age - recency) / total,
    )
    return _There(*(v.ravel() for v in posterior)), n


def expected_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    k: int,
    first_dropout: int,
) -> FloatArray:
    """Say how many purchases to expect from customers who have not left.

    Parameters
    ----------
    params : sequence of float or ndarray
        r, alpha, a, b; arrays give each customer their own.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency, age : array_like of float
        Age at the last purchase and now, in the unit of alpha.
    horizon : array_like of float
        Length of the time to come, at least 0, in the unit of alpha.
    k : int
        Hidden events per purchase, 1 to 12.
    first_dropout : int
        1 for MBG/CNBD-k, 0 for BG/CNBD-k.

    Returns
    -------
    ndarray of float64
        Expected purchases within the horizon.

    Notes
    -----
    Given that a customer is still there, j = 0..k-1 hidden events have passed since
    the last purchase, with weights as the terms of S in `each`, and the rate is then
    Gamma(r+kx+j, alpha+T). M hidden events to come make N = floor((M+j)/k) purchases
    if nobody leaves, and::

        E = sum_j w_j sum_M P(M | j) g(floor((M+j)/k))
        g(N) = sum_{n=1..N} B(a, b+x+m+n-1) / B(a, b+x+m)

    where M is negative binomial with the ratio u = t/(alpha+T). All terms are
    positive. Where there would be thousands, the sum over M is taken in closed form
    for each chance to leave p, with the k-th roots v of 1-p in the complex plane::

        sum_v v^(j+1) / (k (1-p)(1-v)) (1 - (1 + (1-v) u)^-(r+kx+j))

    and integrated over p by the trapezoidal rule in ln(p/(1-p)).

    Examples
    --------
    >>> grocer = CnbdK(1.44, 0.76, 0.4, 1.2)  # weeks; a customer who came every 4
    >>> args = {"x": 10, "recency": 40, "k": 2, "first_dropout": 1}
    >>> found = expected_if_alive(grocer, age=[40, 44], horizon=4, **args)
    >>> found.round(3).tolist()  # just bought, and due
    [0.8, 1.053]
    """
    there, shaped = _there(
        params, x=x, recency=recency, age=age, horizon=horizon,
        k=k, first_dropout=first_dropout,
    )  # fmt: skip
    first, row = _distinct(there[:4])  # the age at the last purchase only weighs
    by_hidden = _expected(_take(there, first), k=k)
    return _weighted(by_hidden, there, row).reshape(shaped.shape)


def _weighted(by_hidden: FloatArray, there: _There, row: IntArray) -> FloatArray:
    """Average over the hidden events since the last purchase, which row says what."""
    found, weights = np.zeros((2, row.size))
    term = np.ones(row.size)
    for j, values in enumerate(by_hidden):
        found += term * values[row]
        weights += term
        term *= (there.shape + j) / (j + 1) * there.waited
    return np.asarray(found / weights)


def _distinct(columns: Sequence[FloatArray]) -> tuple[IntArray, IntArray]:
    """Return where each distinct row is first, and which one each row is."""
    varying = [c for c in columns if c.size and c.min() < c.max()]
    if not varying:
        n = columns[0].size
        return np.zeros(min(n, 1), dtype=np.int64), np.zeros(n, dtype=np.int64)
    order = np.lexsort(varying)
    is_new = np.zeros(order.size, dtype=np.bool_)
    is_new[0] = True
    for column in varying:
        ordered = column[order]
        is_new[1:] |= ordered[1:] != ordered[:-1]
    row = np.empty(order.size, dtype=np.int64)
    row[order] = np.cumsum(is_new) - 1
    return order[is_new], row


def _expected(there: _There, *, k: int) -> FloatArray:
    """Return expected purchases by hidden events so far, shape (k, n)."""
    terms = _n_terms(there.shape + k, there.ratio)
    mean = (there.shape + k) * there.ratio
    is_short = (terms <= _MAX_TERMS) & (mean <= _MAX_MEAN)
    found = np.empty((k, terms.size))
    short, long = np.flatnonzero(is_short), np.flatnonzero(~is_short)
    if short.size:
        found[:, short] = _series(_take(there, short), terms[short], k=k)
    if long.size:
        found[:, long] = _over_dropout(_take(there, long), k=k)
    return found


def _n_terms(shape: FloatArray, ratio: FloatArray) -> FloatArray:
    """Return how many hidden events are beyond reach: less than about e^-40.

    By Newton's rule from above, for the exponent of the chance by Stirling's formula.
    """
    mean = shape * ratio
    odds = np.maximum(ratio, np.finfo(np.float64).tiny) / (1 + ratio)
    found = mean + np.sqrt(80 * mean * (1 + ratio)) + 40 * (1 + ratio)
    for _ in range(3):
        fewer = np.log(odds * (shape + found) / found)
        exponent = -found * fewer - shape * np.log1p((found - mean) / (shape + mean))
        found += (exponent - 40) / fewer
    return found


def _take(there: _There, rows: IntArray) -> _There:
    """Return some of the rows."""
    return _There(*(column[rows] for column in there))


def _series(there: _There, terms: FloatArray, *, k: int) -> FloatArray:
    """Sum over hidden events to come, in blocks of rows alike, shape (k, n)."""
    n_gaps = np.ceil(terms / k).astype(np.int64) + 2
    found = np.empty((k, n_gaps.size))
    to_do = np.argsort(n_gaps, kind="stable")
    while to_do.size:
        unsettled, start = [], 0
        while start < to_do.size:
            # The last row of a block, with the most terms, has few more than the first.
            size = max(1, int(_CELLS_PER_BLOCK // (k * n_gaps[to_do[start]])))
            rows = to_do[start : start + size]
            n = int(n_gaps[rows[-1]])
            found[:, rows], is_settled = _series_block(_take(there, rows), n, k=k)
            unsettled.append(rows[~is_settled])
            start += size
        to_do = np.concatenate(unsettled)
        n_gaps[to_do] *= 2
    return found


def _series_block(
    there: _There, n_gaps: int, *, k: int
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Sum the chance to want n purchases times that to stay for n-1, n < n_gaps.

    Gives expected purchases, shape (k, n), and whether the rest is negligible.
    """
    shape, a, b, ratio, _ = there
    odds = ratio / (1 + ratio)
    m = np.arange(k * n_gaps - 1.0)[:, None]
    chance = np.empty((k * n_gaps, shape.size))
    chance[0] = np.exp(-shape * np.log1p(ratio))
    np.add(shape, m, out=chance[1:])
    chance[1:] *= odds
    chance[1:] *= 1 / (m + 1)
    np.multiply.accumulate(chance, axis=0, out=chance)
    by_gap = chance.reshape(n_gaps, k, shape.size)
    n = np.arange(1.0, n_gaps)[:, None]
    # At least k n hidden events, added up from the smallest chance.
    reaches = np.cumsum(by_gap[:0:-1].sum(axis=1), axis=0)[::-1]
    stays = np.ones_like(reaches)
    np.divide(b + (n[:-1] - 1), a + b + (n[:-1] - 1), out=stays[1:])
    np.multiply.accumulate(stays, axis=0, out=stays)
    found = np.empty((k, shape.size))
    factor = 1 + ratio
    for j in range(k):
        if j > 0:  # one hidden event less to come, and a shape more by one
            factor = (shape + (k * n - j)) * (
                factor / ((shape + (j - 1)) * (1 + ratio))
            )
            reaches += factor * by_gap[:-1, k - j]
        found[j] = np.einsum("ij,ij->j", reaches, stays)
    # From here on chances fall at least this fast, and purchases grow by 1/k at most.
    end = k * n_gaps - 1
    last = chance[-1]
    for j in range(k - 1):
        last = last * (shape + (end + j)) / ((shape + j) * (1 + ratio))
    falls = 1 - np.maximum((shape + (k + end)) / (end + 1), 1.0) * odds
    rest = last * (n_gaps * np.abs(falls) + 1 / k)
    return found, (falls > 0) & (rest <= _NEGLIGIBLE * falls**2 * found[0])


def _over_dropout(there: _There, *, k: int) -> FloatArray:
    """Average expected purchases over the probability to leave, shape (k, n)."""
    low, high, step = _range(there)
    n_nodes = np.ceil((high - low) / step).astype(np.int64) + 1
    order = np.argsort(n_nodes, kind="stable")
    found = np.empty((k, order.size))
    start = 0
    while start < order.size:
        size = max(1, int(_CELLS_PER_BLOCK // n_nodes[order[start]]))
        rows = order[start : start + size]
        grid = np.linspace(low[rows], high[rows], int(n_nodes[rows[-1]]), axis=1)
        found[:, rows] = _over_nodes(_take(there, rows), grid, k=k)
        start += size
    return found


def _range(there: _There) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return ends of the nodes, where the integrand has vanished, and their step."""
    shape, a, b, ratio, _ = there
    left, right = a + (a < _PILED), b + (b < _PILED)
    middle = np.log(left / right)
    spread = np.sqrt((left + right) / (left * right))
    # e^-38 is nothing: along the tail of the density, or that of the integrand.
    tail = np.maximum(0.0, middle + np.log1p(shape * ratio)) + 38 / left
    slow = 38 / np.where(a > 1, a - 1, 1e-9)
    low = middle - np.minimum(slow, tail) - 9 * spread
    high = middle + 38 / right + 9 * spread
    mode = np.log(a / b)
    return low - mode, high - mode, np.minimum(_STEP, 0.6 * spread)


def _over_nodes(there: _There, away: FloatArray, *, k: int) -> FloatArray:
    """Integrate over nodes ln(p/(1-p)) - ln(a/b), shape (n, n_nodes); gives (k, n).

    Where the Beta density piles up at an end, the value of the integrand there is
    taken out and integrated by hand: its mean is known.
    """
    a, b = there.leaves[:, None], there.stays[:, None]
    u = np.log(a / b) + away
    thin = np.log1p(np.exp(-np.abs(u)))
    log_p, log_stay = np.minimum(u, 0) - thin, -np.maximum(u, 0) - thin
    weight = _beta_density(a, b, away=away)
    weight *= (away[:, -1:] - away[:, :1]) / (away.shape[1] - 1)
    stay = np.exp(log_stay)
    found = _over_hasty(there, np.where(stay < _FEW, weight, 0.0), stay, k=k)
    faithful, hasty = there.leaves < _PILED, there.stays < _PILED
    if faithful.any():
        at_0 = np.where(faithful, _wanted(there, k=k), 0.0)
        mean = there.stays / (there.leaves + there.stays)
        found += at_0 * (mean - np.einsum("ij,ij->i", weight, stay))
    if hasty.any():
        at_1 = np.where(hasty, _reaches(there, 1, k=k), 0.0)
        mean = there.leaves / (there.leaves + there.stays)
        found += at_1 * (mean - np.einsum("ij,ij->i", weight, np.exp(log_p)))
    weight[stay < _FEW] = 0.0
    return found + _over_roots(there, weight, log_stay, k=k)


def _over_hasty(
    there: _There, weight: FloatArray, stay: FloatArray, *, k: int
) -> FloatArray:
    """Integrate over nodes where next to nobody stays, shape (k, n).

    There the roots would cancel, and the purchases are a short polynomial.
    """
    found = np.zeros((k, weight.shape[0]))
    rows = np.flatnonzero(weight.sum(axis=1) > _NOBODY)
    some, weight, stay = _take(there, rows), weight[rows], stay[rows]
    for n in range(1, _FEW_TERMS + 1):
        found[:, rows] += _reaches(some, n, k=k) * weight.sum(axis=1)
        weight = weight * stay
    return found


def _over_roots(
    there: _There, weight: FloatArray, log_stay: FloatArray, *, k: int
) -> FloatArray:
    """Integrate the closed form over nodes with given weights, shape (k, n)."""
    shape, ratio = there.shape[:, None], there.ratio[:, None]
    root = np.exp(log_stay / k)
    # The lowest power of the root over the chance to stay; complex roots in pairs.
    start = weight * np.exp(log_stay * (1 - k) / k) / k
    found = np.zeros((k, there.shape.size))
    for i in range(k // 2 + 1):
        if i == 0:
            turn, gap = 1.0, -np.expm1(log_stay / k)
        elif 2 * i == k:
            turn, gap = -1.0, 1 + root
        else:
            turn = np.exp(2j * math.pi * i / k)
            gap = 1 - turn * root
        hidden = ratio * gap
        ends = -np.expm1(-shape * np.log1p(hidden))
        factor = start * (turn * (1.0 if np.isreal(turn) else 2.0)) / gap
        onward, shrinks = turn * root, 1 / (1 + hidden)
        for j in range(k):
            found[j] += np.einsum("ij,ij->i", factor, ends).real
            ends = (ends + hidden) * shrinks
            factor = factor * onward
    return found


def _wanted(there: _There, *, k: int) -> FloatArray:
    """Return the mean purchases of those who never leave, shape (k, n)."""
    shape, ratio = there.shape, there.ratio
    found = np.array([(shape + j) * ratio / k for j in range(k)])
    for i in range(1, k):
        turn = np.exp(2j * math.pi * i / k)
        hidden = ratio * (1 - turn)
        for j in range(k):
            ends = -np.expm1(-(shape + j) * np.log1p(hidden))
            found[j] += (turn ** (j + 1) / (k * (1 - turn)) * ends).real
    return found


def _reaches(there: _There, n: int, *, k: int) -> FloatArray:
    """Return the chance to want at least n > 0 purchases, shape (k, n)."""
    parts = [_at_least(n * k - j, there.shape + j, there.ratio) for j in range(k)]
    return np.array(parts)


def pmf_if_alive(
    params: Params,
    *,
    n: npt.ArrayLike,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    k: int,
    first_dropout: int,
) -> FloatArray:
    """Say how probable exactly n purchases are from customers who have not left.

    Parameters
    ----------
    params : sequence of float or ndarray
        r, alpha, a, b; arrays give each customer their own.
    n : array_like of int
        Purchases within the horizon, at least 0.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency, age : array_like of float
        Age at the last purchase and now, in the unit of alpha.
    horizon : array_like of float
        Length of the time to come, at least 0, in the unit of alpha.
    k : int
        Hidden events per purchase, 1 to 12.
    first_dropout : int
        1 for MBG/CNBD-k, 0 for BG/CNBD-k.

    Returns
    -------
    ndarray of float64
        Probabilities; they sum to 1 over n.

    Notes
    -----
    With N, j and w_j as in `expected_if_alive`: either the n-th purchase was wanted
    and the customer left after it, or exactly n were wanted and none was the last::

        P(n) = sum_j w_j (P(N >= n | j) E[p (1-p)^(n-1)] + P(N = n | j) E[(1-p)^n])

    without the first term for n = 0.

    Examples
    --------
    >>> args = {"x": 10, "recency": 40, "age": 44, "k": 2, "first_dropout": 1}
    >>> grocer = CnbdK(1.44, 0.76, 0.4, 1.2)
    >>> pmf_if_alive(grocer, n=[0, 1, 2, 3], horizon=4, **args).round(4).tolist()
    [0.2472, 0.5012, 0.2081, 0.0388]
    """
    there, count = _there(
        params, n=n, x=x, recency=recency, age=age, horizon=horizon,
        k=k, first_dropout=first_dropout,
    )  # fmt: skip
    wanted = count.ravel()
    first, row = _distinct((*there[:4], wanted))
    by_hidden = _chances(_take(there, first), wanted[first], k=k)
    return _weighted(by_hidden, there, row).reshape(count.shape)


def _chances(there: _There, wanted: FloatArray, *, k: int) -> FloatArray:
    """Return the chance of so many purchases by hidden events so far, shape (k, n)."""
    shape, leaves, stays, ratio, _ = there
    before = np.maximum(wanted - 1, 0.0)
    leaving = np.exp(-log_rising_gain(stays, before, leaves)) * leaves
    leaving = np.where(wanted > 0, leaving / (leaves + stays + before), 0.0)
    staying = np.exp(-log_rising_gain(stays, wanted, leaves))
    reaches = np.where(wanted > 0, _at_least(k * before + k, shape, ratio), 0.0)
    odds = ratio / (1 + ratio)
    found = np.empty((k, wanted.size))
    for j in range(k):
        first = np.maximum(k * wanted - j, 0.0)
        chance = np.exp(log_pmf(first, shape=shape + j, ratio=ratio))
        if j > 0:  # one hidden event less to come, and a shape more by one
            reaches = reaches + (1 + ratio) * chance
        exactly = np.zeros_like(chance)
        for i in range(k):
            # Nobody has bought after 0..k-1-j hidden events, one after the k-th.
            exactly += chance if i < k - j else np.where(wanted > 0, chance, 0.0)
            chance = chance * ((shape + j + first + i) / (first + i + 1) * odds)
        found[j] = reaches * leaving + exactly * staying
    return found


def draw_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    rng: np.random.Generator,
    k: int,
    first_dropout: int,
) -> IntArray:
    """Draw numbers of purchases of customers who have not left.

    Parameters
    ----------
    params : sequence of float or ndarray
        r, alpha, a, b; arrays give each customer their own.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency, age : array_like of float
        Age at the last purchase and now, in the unit of alpha.
    horizon : array_like of float
        Length of the time to come, at least 0, in the unit of alpha.
    rng : numpy.random.Generator
        Source of random numbers.
    k : int
        Hidden events per purchase, 1 to 12.
    first_dropout : int
        1 for MBG/CNBD-k, 0 for BG/CNBD-k.

    Returns
    -------
    ndarray of int64
        One count per customer, distributed as `pmf_if_alive` says.

    Examples
    --------
    >>> args = {"x": 10, "recency": 40, "age": 44, "k": 2, "first_dropout": 1}
    >>> grocer, rng = CnbdK(1.44, 0.76, 0.4, 1.2), np.random.default_rng(1)
    >>> counts = draw_if_alive(grocer, horizon=np.full(9, 4.0), rng=rng, **args)
    >>> counts.shape, bool((counts >= 0).all())
    ((9,), True)
    """
    there, shaped = _there(
        params, x=x, recency=recency, age=age, horizon=horizon,
        k=k, first_dropout=first_dropout,
    )  # fmt: skip
    silent = _silent(there.shape, there.waited, k=k)[0]
    target = rng.random(shaped.size) * silent
    hidden, passed = np.zeros((2, silent.size))
    term = np.ones_like(silent)
    for j in range(k - 1):
        passed = passed + term
        hidden += passed <= target
        term *= (there.shape + j) / (j + 1) * there.waited
    to_come = rng.poisson(rng.gamma(there.shape + hidden) * there.ratio)
    wanted = (to_come + hidden) // k
    # Purchases until one leaves, from an exponential time: no p is too small for it.
    leaves = rng.beta(there.leaves, there.stays).clip(1e-300, 1 - 2**-53)
    last = np.floor(rng.standard_exponential(shaped.size) / -np.log1p(-leaves)) + 1
    bought = np.minimum(wanted, last).astype(np.int64)
    return np.asarray(bought.reshape(shaped.shape))


# Distributions --------------------------------------------------------------


def _at_least(
    m: FloatArray | float, shape: FloatArray, ratio: FloatArray
) -> FloatArray:
    """Return the chance of at least m > 0 hidden events: negative binomial."""
    m, few = np.broadcast_to(m, shape.shape), ratio < 1
    found = np.empty(shape.shape)
    found[few] = betainc(m[few], shape[few], (ratio / (1 + ratio))[few])
    found[~few] = betaincc(shape[~few], m[~few], (1 / (1 + ratio))[~few])
    return found


def _stirling(z: npt.ArrayLike) -> FloatArray:
    """Return what Stirling's formula for ln G(z) leaves out, about 1/(12 z)."""
    z = np.asarray(z, dtype=np.float64)
    low, high = np.minimum(z, _STIRLING), np.maximum(z, _STIRLING)
    rest = gammaln(low) - (
        (low - 0.5) * np.log(low) - low + 0.5 * math.log(2 * math.pi)
    )
    w = 1 / high**2
    series = (
        1 / 12 - w * (1 / 360 - w * (1 / 1260 - w * (1 / 1680 - w * (1 / 1188))))
    ) / high
    return np.asarray(np.where(z < _STIRLING, rest, series))


def _beta_density(a: FloatArray, b: FloatArray, *, away: FloatArray) -> FloatArray:
    """Return the Beta density by ln(p/(1-p)), this far away from ln(a/b).

    Written with the distance from the mode and the smaller of a and b, so that
    nothing large cancels.
    """
    c, less = a + b, np.minimum(a, b)
    rest = _stirling(a) + _stirling(b) - _stirling(c)
    rest += 0.5 * np.log(2 * math.pi * c / (a * b))
    side = np.where(a <= b, away, -away)
    return np.asarray(
        np.exp(less * side - c * np.log1p(less / c * np.expm1(side)) - rest)
    )
