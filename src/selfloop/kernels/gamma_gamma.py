"""Gamma-Gamma: what a purchase of a customer is worth on average, noise removed.

A customer's purchases have values Gamma(p, rate nu) with the customer's own nu, and
nu is Gamma(q, rate v) across customers, independent of how often they buy. One
customer is two numbers: x purchases and their sum s = x z, with mean z.

References
----------
P. S. Fader and B. G. S. Hardie, The Gamma-Gamma Model of Monetary Value, note 025,
2013. P. S. Fader, B. G. S. Hardie and K. L. Lee, RFM and CLV: Using Iso-Value Curves
for Customer Base Analysis, Journal of Marketing Research 42(4), 2005.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincc, betaln, digamma, gammaln

from selfloop.core.errors import FitError
from selfloop.kernels.fitting import Fit, Objective, maximise, rescaled
from selfloop.kernels.purchase_model import Each, Params
from selfloop.kernels.rows import FloatArray, Rows, distinct_rows, dot

_STIRLING = 20.0
_CELL_SHIFT = 52 - 9  # bits of the mantissa beyond 512 cells from c to 2 c
_POWERS = 5  # terms of a series within a cell: the next is (1/1024)^5 / 5 = 2e-16
_ROWS_IN_CACHE = 32_768  # at a time
_ROWS_PER_CELL = 4  # fewer rows than that are quicker one by one
_SAME = 1e-9  # relative difference of two means that rounding may leave
_MOST_SPREAD = 200.0  # of the logs of mean values; money does not span 87 digits
_LOG_LARGEST = math.log(np.finfo(np.float64).max)


class GammaGamma(NamedTuple):
    """Parameters of the model, all above 0.

    Parameters
    ----------
    p : float
        Shape of the values of one customer's purchases.
    q, v : float
        Shape and rate of nu among customers; v is in the unit of money.
    """

    p: float
    q: float
    v: float


class ValueMoments(NamedTuple):
    """Mean and variance of the value of purchases to come.

    Parameters
    ----------
    mean, variance : ndarray of float64
        One number per customer, in the unit of money and its square.
    """

    mean: FloatArray
    variance: FloatArray


def each(params: Params, rows: Rows) -> Each:
    """Say how likely each row is under parameters that may differ between rows.

    Parameters
    ----------
    params : sequence of float or ndarray of float64, shape (n_rows,)
        p, q and v, above 0: one number for all rows, or one per row.
    rows : Rows
        Columns x > 0 (purchases) and s > 0 (their sum); further ones are ignored.

    Returns
    -------
    Each
        Log-likelihood of one customer of each row, and its derivatives by p, q, v.

    Notes
    -----
    See `objective`.

    Examples
    --------
    >>> rows = distinct_rows([[1, 2], [20.0, 44.7]])
    >>> found = each([6.25, 3.744, np.array([15.44, 30.0])], rows)
    >>> found.log_likelihood.round(4).tolist(), found.gradient.shape
    ([-3.5932, -4.5853], (3, 2))
    """
    p, q, v = (np.asarray(a, dtype=np.float64) for a in params)
    x, total = rows.columns[:2]
    counts = _counting_each(p, q, x=x)
    grow, kept = np.log1p(total / v), np.log1p(v / total)
    both = v + total
    value = counts.value - q * grow - p * x * kept - np.log(total / x)
    gradient = [
        x * (counts.by_px - kept),
        counts.by_q - grow,
        (q * total / v - p * x) / both,
    ]
    return Each(value, np.array(gradient))


class _Counting(NamedTuple):
    """What the likelihood owes to the number of purchases alone: gamma functions."""

    value: FloatArray
    by_px: FloatArray
    by_q: FloatArray


def _counting(px: FloatArray, q: FloatArray) -> _Counting:
    """Return -ln B(px, q) and its derivatives by px and q."""
    return _Counting(
        _log_inverse_beta(px, q), _digamma_rise(px, q), _digamma_rise(q, px)
    )


def _counting_each(p: FloatArray, q: FloatArray, *, x: FloatArray) -> _Counting:
    """Return the same per row; if p and q are numbers, from a table of all x."""
    whole = x.astype(np.int64)
    most = int(whole.max(initial=0))
    if p.ndim or q.ndim or most > x.size or not np.array_equal(whole, x):
        return _counting(p * x, q)
    table = _counting(p * np.maximum(np.arange(most + 1), 1), q)
    return _Counting(*(column[whole] for column in table))


def objective(rows: Rows) -> Objective:
    """Return a function that says how likely the rows are under given parameters.

    Parameters
    ----------
    rows : Rows
        Columns x > 0 (purchases) and s > 0 (their sum), and people per row.

    Returns
    -------
    callable
        Takes (p, q, v), gives the log-likelihood summed over people and its three
        derivatives.

    Notes
    -----
    For one customer with mean z = s / x::

        ln L = -ln B(px, q) - q ln(1 + s/v) - px ln(1 + v/s) - ln z

    The gamma functions are needed once for each x. Money meets v in two sums over
    customers, of ln(1 + s/v) and of x ln(1 + v/s). With many customers, those with
    s = c (1 + d) within 0.1 % of a common c are added up beforehand: the sums of
    d^k, k = 0 to 4, give the sum of ln(1 + s/v) to 16 digits by the series of
    ln(1 + e d), e = c/(v + c), for every v. An evaluation then takes as long as
    some thousand customers do, whatever their number.

    Examples
    --------
    >>> value, gradient = objective(distinct_rows([[2], [44.7]]))(
    ...     np.array([6.25, 3.744, 15.44])
    ... )
    >>> round(value, 4), gradient.shape
    (-3.5504, (3,))
    """
    x, total = rows.columns[:2]
    people = rows.counts
    is_first = np.ones(x.size, dtype=np.bool_)
    is_first[1:] = x[1:] != x[:-1]
    first = np.flatnonzero(is_first)
    xs, n_x = x[first], np.add.reduceat(people, first)
    log_mean = dot(people, np.log(total / x))
    money = _money(rows)

    def at(params: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives by p, q, v."""
        p, q, v = params
        of_x, of_s = _counting(p * xs, q), _meeting(money, v=float(v))
        value = dot(n_x, of_x.value) - q * of_s.grow - p * of_s.kept - log_mean
        gradient = [
            dot(n_x * xs, of_x.by_px) - of_s.kept,
            dot(n_x, of_x.by_q) - of_s.grow,
            (q * of_s.near - p * of_s.far) / v,
        ]
        return float(value), np.array(gradient, dtype=np.float64)

    return at


class _Money(NamedTuple):
    """Customers by their money: sums of d^k with s = c (1 + d), k = 0, 1, ...

    Columns are cells of money with centre c; `people` counts a customer once,
    `purchases` x times. Rows are k; there is only k = 0 when each cell is a row.
    """

    centre: FloatArray
    people: FloatArray
    purchases: FloatArray


def _money(rows: Rows) -> _Money:
    """Add customers up in cells of money if there are many, else leave them alone."""
    x, total = rows.columns[:2]
    lowest, highest = _cell(np.array([total.min(), total.max()])).tolist()
    n_cells = highest - lowest + 1
    if total.size < _ROWS_PER_CELL * n_cells:
        return _Money(total, rows.counts[None], (rows.counts * x)[None])
    edge = np.arange(lowest, lowest + n_cells, dtype=np.int64) << _CELL_SHIFT
    centre = (edge + (1 << (_CELL_SHIFT - 1))).view(np.float64)
    people, purchases = np.zeros((2, _POWERS, n_cells))
    for start in range(0, total.size, _ROWS_IN_CACHE):
        block = slice(start, start + _ROWS_IN_CACHE)
        cell = _cell(total[block]) - lowest
        d = total[block] / centre[cell] - 1
        begin = int(cell.min())
        cell -= begin
        n, nx = rows.counts[block], rows.counts[block] * x[block]
        for k in range(_POWERS):
            here = np.bincount(cell, weights=n)
            purchases[k, begin : begin + here.size] += np.bincount(cell, weights=nx)
            people[k, begin : begin + here.size] += here
            n, nx = n * d, nx * d
    used = people[0] > 0
    return _Money(centre[used], people[:, used], purchases[:, used])


def _cell(money: FloatArray) -> npt.NDArray[np.int64]:
    """Return the numbers of cells of equal relative width, rising with the money."""
    # The leading bits of a positive float are its exponent and first digits.
    return np.ascontiguousarray(money).view(np.int64) >> _CELL_SHIFT


class _Meeting(NamedTuple):
    """Sums over customers of what money and v make together.

    `grow` is that of ln(1 + s/v), `kept` of x ln(1 + v/s), `near` of s/(v + s) and
    `far` of x v/(v + s).
    """

    grow: float
    kept: float
    near: float
    far: float


def _meeting(money: _Money, *, v: float) -> _Meeting:
    """Evaluate the sums at v; every term keeps its relative accuracy."""
    c, people, purchases = money
    near, far = c / (v + c), v / (v + c)
    sums = np.array([
        dot(people[0], np.log1p(c / v)),
        dot(purchases[0], np.log1p(v / c)),
        dot(people[0], near),
        dot(purchases[0], far),
    ])  # fmt: skip
    power, lost = np.ones(c.size), np.zeros(c.size)  # near^k and 1 - near^k
    for k in range(1, len(people)):
        lost += power * far
        power *= near
        slope = power * far
        sign = 1.0 if k % 2 else -1.0
        sums += sign * np.array([
            dot(people[k], power) / k,
            -dot(purchases[k], lost) / k,
            dot(people[k], slope),
            -dot(purchases[k], slope),
        ])  # fmt: skip
    return _Meeting(*sums.tolist())


def _log_inverse_beta(m: FloatArray, n: FloatArray) -> FloatArray:
    """Return -ln B(m, n) without the cancellation of ln G of large numbers.

    ln G(k+d) - ln G(k) for the larger k is written by Stirling's series, whose large
    terms are differences that ``log1p`` takes exactly.
    """
    small, large = np.minimum(m, n), np.maximum(m, n)
    both = small + large
    rising = (
        (large - 0.5) * np.log1p(small / large)
        + small * (np.log(both) - 1)
        + _stirling_rest(both)
        - _stirling_rest(large)
    )
    return np.where(large > _STIRLING, rising - gammaln(small), -betaln(small, large))


def _stirling_rest(k: FloatArray) -> FloatArray:
    """Return what Stirling's formula leaves out of ln G(k); 2e-15 off at k = 20."""
    k = np.maximum(k, _STIRLING)  # below, it is not used, and may overflow
    square = 1 / (k * k)
    return (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))) / k


def _digamma_rise(k: FloatArray, d: FloatArray) -> FloatArray:
    """Return psi(k + d) - psi(k), by the asymptotic series where k is large."""
    near = np.maximum(k, _STIRLING)
    far = near + d
    half = d / (2 * near * far)
    series = np.log1p(d / near) + half + _digamma_rest(near) - _digamma_rest(far)
    return np.where(k > _STIRLING, series, digamma(k + d) - digamma(k))


def _digamma_rest(k: FloatArray) -> FloatArray:
    """Return ln k - 1/(2k) - psi(k), k >= 20; 1e-16 off there."""
    square = 1 / (k * k)
    return square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240)))


def starts(rows: Rows) -> list[tuple[float, ...]]:
    """Return points to start a fit from.

    Parameters
    ----------
    rows : Rows
        Columns x > 0 (purchases) and s > 0 (their sum), and people per row; mean
        values s / x that differ.

    Returns
    -------
    list of tuple of float
        Values of p, q and v, the latter in the unit of s: half of the spread of mean
        values is between customers, nearly none, or nearly all of it.

    Notes
    -----
    ln z varies by about 1/p within customers and 1/q between them; their variance w
    over customers gives p and 1 + q as 2/w and 2/w, 1/w and 10/w, 10/w and 1/w. The
    geometric mean of z is about p v / q.

    Examples
    --------
    >>> [tuple(map(round, start)) for start in starts(distinct_rows([[1, 2], [9, 98]]))]
    [(3, 4, 29), (1, 15, 225), (14, 2, 4)]
    """
    x, total = rows.columns[:2]
    log_mean = np.log(total / x)
    middle = dot(log_mean, rows.counts) / rows.n_people
    varies = dot((log_mean - middle) ** 2, rows.counts) / rows.n_people
    size = math.exp(middle)
    shapes = [(a / varies, 1 + b / varies) for a, b in ((2, 2), (1, 10), (10, 1))]
    return [(p, q, size * q / p) for p, q in shapes]


def fit(
    x: npt.ArrayLike,
    *,
    total: npt.ArrayLike,
    counts: npt.ArrayLike | None = None,
    penalty: float = 0.0,
) -> Fit:
    """Estimate the three parameters by maximum likelihood.

    Parameters
    ----------
    x : array_like of int, shape (n,)
        Purchases, above 0.
    total : array_like of float, shape (n,)
        Their summed value, above 0.
    counts : array_like of float, shape (n,), optional
        People per row; one each by default.
    penalty : float, optional
        Weight of the penalty on the logs of the parameters (see `maximise`).

    Returns
    -------
    Fit
        Names p, q, v; v and the log-likelihood in the unit of `total`.

    Raises
    ------
    FitError
        When a row is impossible, there are fewer than three distinct rows, all
        customers spend the same per purchase, money spans more than 87 digits, or
        the search does not converge.

    Notes
    -----
    Money is divided by the geometric mean of the customers' mean values before the
    fit, which no single customer can drag away, and v is scaled back, so the unit
    changes nothing else; ln L falls by ln(scale) per person.

    Examples
    --------
    >>> found = fit([1, 2, 3, 1, 4], total=[12.0, 50.0, 45.0, 33.0, 61.0])
    >>> sorted(found.params)
    ['p', 'q', 'v']
    """
    rows = distinct_rows([x, total], counts=counts)
    log_scale = _check(rows)
    scale = math.exp(log_scale)
    n_purchases, totals = rows.columns
    scaled = Rows((n_purchases, totals / scale), rows.counts)
    found = maximise(
        objective,
        scaled,
        names=GammaGamma._fields,
        starts=starts(scaled),
        typical=[1.0, 3.0, 1.0],  # a penalty pulls q to where the mean exists
        penalty=penalty,
        n_warm=rows.n_distinct,  # evaluations are cheap enough without a sample
    )
    return rescaled(
        found,
        name="v",
        factor=scale,
        log_likelihood_shift=-rows.n_people * log_scale,
    )


def _check(rows: Rows) -> float:
    """Refuse rows that determine nothing; return the mean log of the mean values."""
    x, total = rows.columns
    n_people = rows.n_people
    impossible = (x <= 0) | (x % 1 != 0) | (total <= 0)
    if impossible.any():
        raise FitError(
            f"{rows.counts[impossible].sum():,.0f} of {n_people:,.0f} customers have "
            "no whole number of purchases above 0 or no value above 0; leave them out"
        )
    if rows.n_distinct < 3:
        raise FitError(
            f"{n_people:,.0f} customers with {rows.n_distinct} distinct pairs of "
            "purchases and value: three parameters need at least 3"
        )
    log_mean = np.log(total / x)
    spread = float(np.ptp(log_mean))
    if spread < _SAME:
        raise FitError(
            f"all {n_people:,.0f} customers spend the same per purchase "
            f"({total[0] / x[0]:.6g}): there is nothing to estimate"
        )
    if spread > _MOST_SPREAD:
        raise FitError(
            f"customers spend between {(total / x).min():.3g} and "
            f"{(total / x).max():.3g} per purchase: this is no money in one unit"
        )
    return dot(log_mean, rows.counts) / n_people


def has_mean(params: GammaGamma) -> bool:
    """Say whether the mean value of a purchase exists, that is q > 1.

    Parameters
    ----------
    params : GammaGamma
        Parameters of the model.

    Returns
    -------
    bool
        False when so many customers may spend without limit that the mean over
        all customers is infinite.

    Examples
    --------
    >>> has_mean(GammaGamma(6.25, 3.744, 15.44)), has_mean(GammaGamma(6.25, 1, 15.44))
    (True, False)
    """
    return params.q > 1


class _Known(NamedTuple):
    """What the past says: nu is Gamma(shape, rate) now, for each customer."""

    p: FloatArray
    shape: FloatArray
    rate: FloatArray


def _known(params: Params, *, x: npt.ArrayLike, total: npt.ArrayLike) -> _Known:
    """Update nu by x purchases worth `total` together."""
    p, q, v = (np.asarray(a, dtype=np.float64) for a in params)
    shape = q + p * np.asarray(x, dtype=np.float64)
    return _Known(p, shape, v + np.asarray(total, dtype=np.float64))


def expected_spend(
    params: Params, *, x: npt.ArrayLike, total: npt.ArrayLike
) -> FloatArray:
    """Say what the purchases of customers are worth on average in the long run.

    Parameters
    ----------
    params : sequence of float or array_like of float
        p, q and v; all arguments broadcast.
    x : array_like of int
        Purchases, at least 0.
    total : array_like of float
        Their summed value, 0 when there are none.

    Returns
    -------
    ndarray of float64
        Expected mean value of a purchase; NaN where it does not exist, because
        p x + q <= 1.

    Notes
    -----
    E = p (v + s) / (p x + q - 1): a weighted mean of the customer's own mean and
    that of everybody, p v / (q - 1), which is the answer for x = 0.

    Examples
    --------
    >>> cdnow = GammaGamma(6.249572, 3.744225, 15.443521)
    >>> expected_spend(cdnow, x=[0, 2], total=[0.0, 44.7]).round(2).tolist()
    [35.17, 24.66]
    """
    p, shape, rate = _known(params, x=x, total=total)
    return _over(p * rate, shape - 1, missing=np.nan)


def spend_variance(
    params: Params, *, x: npt.ArrayLike, total: npt.ArrayLike
) -> FloatArray:
    """Say how far what purchases are worth in the long run may be from expectation.

    Parameters
    ----------
    params : sequence of float or array_like of float
        p, q and v; all arguments broadcast.
    x : array_like of int
        Purchases, at least 0.
    total : array_like of float
        Their summed value, 0 when there are none.

    Returns
    -------
    ndarray of float64
        Variance of the customer's own mean value M = p / nu given the past. It is
        inf where it is infinite although the mean exists, 1 < p x + q <= 2, and NaN
        where there is no mean to vary about, p x + q <= 1.

    Notes
    -----
    With Q = q + p x::

        Var = (p (v + s) / (Q - 1))^2 / (Q - 2)

    For x = 0 it is the variance of M across customers.

    Examples
    --------
    >>> cdnow = GammaGamma(6.249572, 3.744225, 15.443521)
    >>> spend_variance(cdnow, x=[0, 2], total=[0.0, 44.7]).round(2).tolist()
    [709.17, 42.69]
    """
    p, shape, rate = _known(params, x=x, total=total)
    mean = _over(p * rate, shape - 1, missing=np.nan)
    return _over(mean * mean, shape - 2, missing=np.inf)


def _over(value: FloatArray, weight: FloatArray, *, missing: float) -> FloatArray:
    """Divide where the weight is above 0; elsewhere `missing`, or NaN for NaN."""
    value, weight = np.broadcast_arrays(value, weight)
    exists = weight > 0
    filled = np.where(np.isnan(value), np.nan, missing)
    return np.where(exists, value / np.where(exists, weight, 1.0), filled)


def value_moments(
    params: Params, *, n: npt.ArrayLike, x: npt.ArrayLike, total: npt.ArrayLike
) -> ValueMoments:
    """Say what the next n purchases of customers are worth together.

    Parameters
    ----------
    params : sequence of float or array_like of float
        p, q and v; all arguments broadcast.
    n : array_like of int
        Purchases to come, at least 0.
    x : array_like of int
        Purchases so far, at least 0.
    total : array_like of float
        Their summed value, 0 when there are none.

    Returns
    -------
    ValueMoments
        Mean and variance, 0 for n = 0. The mean is NaN where it does not exist,
        p x + q <= 1, and so is the variance then; the variance is inf where it
        is infinite, 1 < p x + q <= 2.

    Notes
    -----
    The value V of n purchases is Gamma(p n, rate nu) with nu ~ Gamma(Q, rate v + s),
    Q = q + p x, so that V / (v + s) is beta prime with shapes p n and Q::

        E   = (v + s) p n / (Q - 1)
        Var = (v + s)^2 p n (p n + Q - 1) / ((Q - 1)^2 (Q - 2))

    It holds what customers differ in beside what the past tells, and the noise of
    each purchase; that of n itself is to be added.

    Examples
    --------
    >>> cdnow = GammaGamma(6.249572, 3.744225, 15.443521)
    >>> mean, variance = value_moments(cdnow, n=[0, 3], x=2, total=44.7)
    >>> mean.round(2).tolist(), variance.round(2).tolist()
    ([0.0, 73.97], [0.0, 696.55])
    """
    p, shape, rate = _known(params, x=x, total=total)
    count = np.asarray(n, dtype=np.float64)
    mean = _over(p * rate, shape - 1, missing=np.nan)  # of one purchase
    spread = _over(mean * mean, shape - 2, missing=np.inf)
    some = count > 0
    # p n + Q - 1 = p n + (Q - 1): n^2 Var M and n E of the variance of one purchase
    share = np.where(some, count * (count + (shape - 1) / p), 1.0)
    return ValueMoments(
        np.where(some, count * mean, 0.0), np.where(some, share * spread, 0.0)
    )


def value_cdf(
    params: Params,
    value: npt.ArrayLike,
    *,
    n: npt.ArrayLike,
    x: npt.ArrayLike,
    total: npt.ArrayLike,
) -> FloatArray:
    """Say how probable it is that the next n purchases are worth `value` at most.

    Parameters
    ----------
    params : sequence of float or array_like of float
        p, q and v; all arguments broadcast.
    value : array_like of float
        Value of all n together, in the unit of v.
    n : array_like of int
        Purchases to come, at least 0.
    x : array_like of int
        Purchases so far, at least 0.
    total : array_like of float
        Their summed value, 0 when there are none.

    Returns
    -------
    ndarray of float64
        Probabilities; for n = 0 the value is 0 for certain.

    Notes
    -----
    The incomplete beta function I_u(p n, Q) at u = V / (V + v + s), with
    Q = q + p x; above the middle from the other side, 1 - I_{1-u}(Q, p n), because
    1 - u has lost its digits there.

    Examples
    --------
    >>> cdnow = GammaGamma(6.249572, 3.744225, 15.443521)
    >>> value_cdf(cdnow, [50, 100], n=3, x=2, total=44.7).round(4).tolist()
    [0.1658, 0.8539]
    """
    p, shape, rate = _known(params, x=x, total=total)
    count = np.asarray(n, dtype=np.float64)
    money, count, p, shape, rate = np.broadcast_arrays(
        np.asarray(value, dtype=np.float64), count, p, shape, rate
    )
    pn = p * count
    some = (money > 0) & (count > 0)
    low, high = some & (money <= rate), some & (money > rate)
    found = np.where((count > 0) | (money < 0), 0.0, 1.0)
    share = money[low] / (money[low] + rate[low])
    found[low] = betainc(pn[low], shape[low], share)
    share = rate[high] / (money[high] + rate[high])
    found[high] = betaincc(shape[high], pn[high], share)
    return found


def draw_value(
    params: Params,
    *,
    n: npt.ArrayLike,
    x: npt.ArrayLike,
    total: npt.ArrayLike,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw what the next n purchases of customers are worth together.

    Parameters
    ----------
    params : sequence of float or array_like of float
        p, q and v; all arguments broadcast.
    n : array_like of int
        Purchases to come, at least 0.
    x : array_like of int
        Purchases so far, at least 0.
    total : array_like of float
        Their summed value, 0 when there are none.
    rng : numpy.random.Generator
        Source of random numbers.

    Returns
    -------
    ndarray of float64
        One value per customer, 0 for n = 0. One beyond the largest float, which
        only parameters without a mean can bring, is the largest float.

    Notes
    -----
    nu is drawn from what is known of it, then V ~ Gamma(p n, rate nu); both in logs,
    so that small shapes do not underflow.

    Examples
    --------
    >>> cdnow = GammaGamma(6.249572, 3.744225, 15.443521)
    >>> rng = np.random.default_rng(1)
    >>> draw_value(cdnow, n=[0, 3, 3], x=2, total=44.7, rng=rng).shape
    (3,)
    """
    p, shape, rate = _known(params, x=x, total=total)
    count = np.asarray(n, dtype=np.float64)
    some, pn, shape, rate = np.broadcast_arrays(
        count > 0, p * np.maximum(count, 1.0), shape, rate
    )
    log_nu = _log_gamma(shape, rng=rng) - np.log(rate)
    log_value = _log_gamma(pn, rng=rng) - log_nu
    return np.where(some, np.exp(np.minimum(log_value, _LOG_LARGEST)), 0.0)


def _log_gamma(shape: FloatArray, *, rng: np.random.Generator) -> FloatArray:
    """Draw ln G, G ~ Gamma(shape): that of shape + 1 times U^(1/shape)."""
    larger = np.log(rng.standard_gamma(shape + 1))
    return np.asarray(larger - rng.standard_exponential(np.shape(shape)) / shape)
