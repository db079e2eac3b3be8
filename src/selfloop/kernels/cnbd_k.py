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
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from selfloop.core.errors import FitError
from selfloop.kernels.cnbd_future import (
    draw_if_alive,
    expected_if_alive,
    pmf_if_alive,
    silent,
)
from selfloop.kernels.fitting import Objective
from selfloop.kernels.purchase_model import Each, Params, PurchaseModel
from selfloop.kernels.rising import (
    log_rising,
    log_rising_gain,
    people_above,
    rising_slope,
)
from selfloop.kernels.rows import FloatArray, Rows, dot

MAX_K = 12
"""The most regular gaps that a model is made for."""

_ROWS_IN_CACHE = 16_384  # of the likelihood at a time: twice as fast as all at once


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
    quiet, by_shape, by_waited = silent(shape, waited, k=k)
    stayed = np.maximum(x - (1 - first_dropout), 0.0)
    log_odds = np.log(a / (b + stayed)) + shape * lag
    if k > 1:
        log_odds = log_odds - np.log(quiet)
    if not first_dropout:
        log_odds = np.where(x > 0, log_odds, -np.inf)
    return _Since(shape, gap, lag, waited, quiet, by_shape, by_waited, stayed, log_odds)


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
    usual = [(r, alpha, 1.0, 2.0) for r in (1.0, 0.3, 5.0)]
    # As in BG/NBD, hard cases have maxima that the usual starts miss.
    return [*usual, (1.0, 0.01 * alpha, 0.01, 0.03), (0.05, alpha, 1.0, 1000.0)]


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
