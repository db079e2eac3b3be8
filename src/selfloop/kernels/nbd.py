"""NBD: how often customers buy, when nobody ever leaves; the baseline of all models.

Purchases of a customer come at a steady rate lambda for ever, and lambda is
Gamma(r, rate alpha) across customers. One customer is x repeat purchases and the age
T at the end of observation; when the last purchase was does not matter.

References
----------
A. S. C. Ehrenberg, The Pattern of Consumer Purchases, Applied Statistics 8(1), 1959.
P. S. Fader, B. G. S. Hardie and K. L. Lee, "Counting Your Customers" the Easy Way: An
Alternative to the Pareto/NBD Model, Marketing Science 24(2), 2005.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, gammaln, xlog1py

from selfloop.kernels.fitting import FloatArray, Objective, Rows, dot
from selfloop.kernels.purchase_model import Each, IntArray, Params, PurchaseModel

_STIRLING = 20.0  # from here on, Stirling's series is exact to the last digit
_ABOVE_MINUS_1 = float(np.nextafter(-1, 0))
_HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


class Nbd(NamedTuple):
    """Parameters of the model, all above 0.

    Parameters
    ----------
    r, alpha : float
        Shape and rate of the purchase rate among customers; alpha is in the unit
        of time.
    """

    r: float
    alpha: float


def log_rising(start: npt.ArrayLike, n: npt.ArrayLike) -> FloatArray:
    """Return the log of the product start (start + 1) ... (start + n - 1).

    Parameters
    ----------
    start : array_like of float
        First factor, above 0.
    n : array_like of float
        Number of factors, at least 0.

    Returns
    -------
    ndarray of float64
        ln G(start + n) - ln G(start), without its cancellation for a large start:
        there it is Stirling's series, whose large terms ``log1p`` subtracts exactly.

    Examples
    --------
    >>> float(log_rising(2, 3).round(6)), round(math.log(2 * 3 * 4), 6)
    (3.178054, 3.178054)
    """
    start, n = np.asarray(start, np.float64), np.asarray(n, np.float64)
    large, end = np.maximum(start, _STIRLING), np.maximum(start + n, _STIRLING)
    series = (large - 0.5) * np.log1p(n / large) + n * (np.log(end) - 1)
    series += _stirling_rest(end) - _stirling_rest(large)
    plain = gammaln(start + n) - gammaln(start)
    return np.asarray(np.where(start >= _STIRLING, series, plain))


def rising_slope(start: npt.ArrayLike, n: npt.ArrayLike) -> FloatArray:
    """Return the derivative of `log_rising` by the first factor.

    Parameters
    ----------
    start : array_like of float
        First factor, above 0.
    n : array_like of float
        Number of factors, at least 0.

    Returns
    -------
    ndarray of float64
        1/start + ... + 1/(start + n - 1) = psi(start + n) - psi(start).

    Examples
    --------
    >>> float(rising_slope(2, 3).round(6)), round(1 / 2 + 1 / 3 + 1 / 4, 6)
    (1.083333, 1.083333)
    """
    start, n = np.asarray(start, np.float64), np.asarray(n, np.float64)
    large, end = np.maximum(start, _STIRLING), np.maximum(start + n, _STIRLING)
    series = np.log1p(n / large) + _digamma_rest(end) - _digamma_rest(large)
    plain = digamma(start + n) - digamma(start)
    return np.asarray(np.where(start >= _STIRLING, series, plain))


def log_rising_gain(
    start: npt.ArrayLike, n: npt.ArrayLike, more: npt.ArrayLike
) -> FloatArray:
    """Return the log of how much `log_rising` grows when each factor does.

    Parameters
    ----------
    start : array_like of float
        First factor, above 0.
    n : array_like of int
        Number of factors, at least 0.
    more : array_like of float
        What is added to each factor, above -1 and above -start.

    Returns
    -------
    ndarray of float64
        ln(1 + more/start) + ... + ln(1 + more/(start + n - 1)), to nearly all digits
        even when more is next to nothing.

    Notes
    -----
    The difference of ln G(z + more) - ln G(z) between z = start + n and z = start, by
    Stirling's series; when start or n are below 20, after 20 factors by hand.

    Examples
    --------
    >>> gain = float(log_rising_gain(2, 3, 1))
    >>> round(gain, 6), round(math.log(3 / 2 * 4 / 3 * 5 / 4), 6)
    (0.916291, 0.916291)
    """
    start, n, more = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (start, n, more))
    )
    some = (start < _STIRLING) | (n < _STIRLING)
    found = np.asarray(_series_gain(np.where(some, _STIRLING, start), n, more))
    if some.any():
        first, left, plus = start[some], n[some], more[some]
        by_hand = np.zeros(first.shape)
        for _ in range(int(min(_STIRLING, left.max()))):
            by_hand += np.where(left > 0, np.log1p(plus / first), 0.0)
            first, left = first + 1, left - 1
        rest = _series_gain(np.maximum(first, _STIRLING), np.maximum(left, 0), plus)
        found[some] = by_hand + np.where(left > 0, rest, 0.0)
    return found


def _series_gain(start: FloatArray, n: FloatArray, more: FloatArray) -> FloatArray:
    """Return `log_rising_gain` for a first factor of at least 20."""
    ends = _log_shift(start + n, more) - _log_shift(start, more)
    return more * np.log1p(n / start) + ends


def _log_shift(z: FloatArray, more: FloatArray) -> FloatArray:
    """Return ln G(z + more)/G(z) - more ln z for z >= 20, relative to more."""
    p, q = 1 / z, 1 / (z + more)
    both = p * q
    third = p * p + q * q + both
    fifth = p**4 + q**4 + both * third
    seventh = p**6 + q**6 + both * fifth
    rest = 1 / 12 - third / 360 + fifth / 1260 - seventh / 1680
    return (z + more - 0.5) * np.log1p(more * p) - more - more * both * rest


def _stirling_rest(k: FloatArray) -> FloatArray:
    """Return what Stirling's formula leaves out of ln G(k); 2e-15 off at k = 20."""
    square = 1 / (k * k)
    return (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))) / k


def _digamma_rest(k: FloatArray) -> FloatArray:
    """Return psi(k) - ln k by its series; 1e-15 off at k = 20."""
    square = 1 / (k * k)
    return -0.5 / k - square * (
        1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240))
    )


def _off_stirling(k: FloatArray) -> FloatArray:
    """Return ln G(k + 1) - [(k + 1/2) ln k - k + ln(2 pi)/2] for k > 0."""
    small = np.minimum(k, _STIRLING)
    plain = gammaln(small + 1) - (small + 0.5) * np.log(small) + small - _HALF_LOG_2_PI
    return np.where(k < _STIRLING, plain, _stirling_rest(np.maximum(k, _STIRLING)))


def log_pmf(
    n: npt.ArrayLike, *, shape: npt.ArrayLike, ratio: npt.ArrayLike
) -> FloatArray:
    """Return the log-probability of n purchases at a rate that is Gamma distributed.

    Parameters
    ----------
    n : array_like of int
        Number of purchases, at least 0.
    shape : array_like of float
        Shape of the rate, above 0.
    ratio : array_like of float
        Length of time over the rate parameter of the Gamma distribution, at least 0,
        so that shape times ratio purchases are expected.

    Returns
    -------
    ndarray of float64
        Log-probabilities, -inf where ratio is 0 and n is not.

    Notes
    -----
    With k = shape, q = 1/(1 + ratio), N = n + k and d = n - N (1 - q)::

        ln P = ln(k/N) + ln sqrt(N/(2 pi k n)) + S(N) - S(k) - S(n)
               - k ln(1 - d/(N q)) - n ln(1 + d/(N (1 - q)))

    where S is what Stirling's formula leaves out (C. Loader, Fast and Accurate
    Computation of Binomial Probabilities, 2000): near the most probable n all terms
    are small, so millions of purchases cost no digits.

    Examples
    --------
    >>> float(np.exp(log_pmf(1, shape=1, ratio=1)).round(4))
    0.25
    """
    n, k, ratio = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (n, shape, ratio))
    )
    some, moves = np.maximum(n, 1.0), np.where(ratio > 0, ratio, 1.0)
    total = some + k
    off = (some - k * moves) / (1 + moves)
    found = np.log(k / total) + 0.5 * np.log(total / k / some) - _HALF_LOG_2_PI
    found += _off_stirling(total) - _off_stirling(k) - _off_stirling(some)
    # A tiny shape beside a huge n would round k/(N q) to 0, whose log is no number.
    found -= xlog1py(k, np.maximum(-off / total * (1 + moves), _ABOVE_MINUS_1))
    found -= xlog1py(some, off / total * (1 + moves) / moves)
    found = np.where(ratio > 0, found, -np.inf)
    return np.asarray(np.where(n > 0, found, -k * np.log1p(ratio)))


def each(params: Params, rows: Rows) -> Each:
    """Say how likely each row is, and how that changes with the parameters.

    Parameters
    ----------
    params : Nbd
        Numbers, or arrays with one number per row.
    rows : Rows
        Columns x, t_x (not used) and T, 0 <= T.

    Returns
    -------
    Each
        Log-likelihood of one customer of each row, and its derivatives by r, alpha.

    Notes
    -----
    ::

        ln L = ln G(r+x)/G(r) - r ln(1 + T/alpha) - x ln(alpha+T)

    without ln x! and the times of the purchases, like the other models here.

    Examples
    --------
    >>> rows = Rows((np.array([2.0]), np.array([30.43]), np.array([38.86])), np.ones(1))
    >>> each(Nbd(0.385, 12.072), rows).log_likelihood.round(4).tolist()
    [-9.044]
    """
    r, alpha = (np.asarray(p, dtype=np.float64) for p in params)
    x, _, age = rows.columns[:3]
    grown, total = np.log1p(age / alpha), alpha + age
    value = log_rising(r, x) - r * grown - x * np.log(total)
    by_alpha = (r * age / alpha - x) / total
    return Each(value, np.stack([rising_slope(r, x) - grown, by_alpha]))


def objective(rows: Rows) -> Objective:
    """Return a function that says how likely the rows are under given parameters.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x (not used) and T, and people per row.

    Returns
    -------
    callable
        Takes (r, alpha), gives the log-likelihood summed over people and its two
        derivatives.

    Notes
    -----
    All customers together need only the number of people with more than j repeat
    purchases, and those of each age.

    Examples
    --------
    >>> rows = Rows((np.array([2.0]), np.array([30.43]), np.array([38.86])), np.ones(1))
    >>> value, gradient = objective(rows)(np.array([0.385, 12.072]))
    >>> round(value, 4), gradient.shape
    (-9.044, (2,))
    """
    x, _, age = rows.columns[:3]
    people = rows.counts
    n_above = people_above(x, people)
    j = np.arange(n_above.size, dtype=np.float64)
    ages, age_no = np.unique(age, return_inverse=True)
    n_age = np.bincount(age_no, weights=people)
    x_age = np.bincount(age_no, weights=people * x)

    def of_params(params: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives by r, alpha."""
        r, alpha = params.tolist()
        grown, total = np.log1p(ages / alpha), alpha + ages
        value = dot(n_above, np.log(r + j)) - r * dot(n_age, grown)
        value -= dot(x_age, np.log(total))
        by_r = dot(n_above, 1 / (r + j)) - dot(n_age, grown)
        by_alpha = dot(r / alpha * n_age * ages - x_age, 1 / total)
        return value, np.array([by_r, by_alpha])

    return of_params


def people_above(x: FloatArray, people: FloatArray) -> FloatArray:
    """Count the people with more than j of something.

    Parameters
    ----------
    x : ndarray of float64, shape (n,)
        How many each row has: whole numbers, at least 0.
    people : ndarray of float64, shape (n,)
        People per row.

    Returns
    -------
    ndarray of float64, shape (max x,)
        People with more than j, for j = 0, 1, ..., max x - 1.

    Examples
    --------
    >>> people_above(np.array([0.0, 1.0, 3.0]), np.array([5.0, 2.0, 1.0])).tolist()
    [3.0, 1.0, 1.0]
    """
    at_count = np.bincount(x.astype(np.int64), weights=people)
    return np.asarray(np.cumsum(at_count[::-1])[::-1][1:])


def starts(rows: Rows) -> list[tuple[float, ...]]:
    """Return points to start a fit from.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and T, with a purchase and an age above 0.

    Returns
    -------
    list of tuple of float
        Values of r and alpha in the unit of T.

    Examples
    --------
    >>> starts(Rows((np.array([2.0]), np.array([5.0]), np.array([20.0])), np.ones(1)))
    [(0.5, 5.0), (5.0, 50.0)]
    """
    x, _, age = rows.columns[:3]
    gap = dot(age, rows.counts) / dot(x, rows.counts)
    return [(r, r * gap) for r in (0.5, 5.0)]


def p_alive(
    params: Params, *, x: npt.ArrayLike, recency: npt.ArrayLike, age: npt.ArrayLike
) -> FloatArray:
    """Say how probable it is that customers have not left yet: they never do.

    Parameters
    ----------
    params : Nbd
        Numbers, or arrays with one number per customer.
    x, recency, age : array_like of float
        Repeat purchases, age at the last one and age now.

    Returns
    -------
    ndarray of float64
        1 for everybody.

    Examples
    --------
    >>> p_alive(Nbd(0.385, 12.072), x=[0, 2], recency=[0, 9], age=[90, 10]).tolist()
    [1.0, 1.0]
    """
    given = (*params, x, recency, age)
    return np.ones(np.broadcast_shapes(*(np.shape(v) for v in given)))


def expected_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
) -> FloatArray:
    """Say how many purchases to expect within a horizon.

    Parameters
    ----------
    params : Nbd
        Numbers, or arrays with one number per customer.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency : array_like of float
        Age at the last of them; it does not matter.
    age : array_like of float
        Age now, at least 0, in the unit of alpha.
    horizon : array_like of float
        Length of the time to come, at least 0, in the unit of alpha.

    Returns
    -------
    ndarray of float64
        (r + x) t / (alpha + T).

    Examples
    --------
    >>> args = {"x": 2, "recency": 3, "age": 12, "horizon": 10}
    >>> float(expected_if_alive(Nbd(0.5, 8), **args))
    1.25
    """
    shape, ratio = _posterior(params, x=x, recency=recency, age=age, horizon=horizon)
    return np.asarray(shape * ratio)


def pmf_if_alive(
    params: Params,
    *,
    n: npt.ArrayLike,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
) -> FloatArray:
    """Say how probable it is that customers buy n times within a horizon.

    Parameters
    ----------
    params : Nbd
        Numbers, or arrays with one number per customer.
    n : array_like of int
        Number of purchases, at least 0.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency : array_like of float
        Age at the last of them; it does not matter.
    age, horizon : array_like of float
        Age now and length of the time to come, at least 0, in the unit of alpha.

    Returns
    -------
    ndarray of float64
        Probabilities; negative binomial (see `log_pmf`).

    Examples
    --------
    >>> args = {"x": 0, "recency": 0, "age": 1, "horizon": 2}
    >>> pmf_if_alive(Nbd(1, 1), n=[0, 1, 2], **args).round(4).tolist()
    [0.5, 0.25, 0.125]
    """
    shape, ratio = _posterior(params, x=x, recency=recency, age=age, horizon=horizon)
    return np.asarray(np.exp(log_pmf(n, shape=shape, ratio=ratio)))


def draw_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    rng: np.random.Generator,
) -> IntArray:
    """Draw how often customers buy within a horizon.

    Parameters
    ----------
    params : Nbd
        Numbers, or arrays with one number per customer.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency : array_like of float
        Age at the last of them; it does not matter.
    age, horizon : array_like of float
        Age now and length of the time to come, at least 0, in the unit of alpha.
    rng : Generator
        Source of the random numbers.

    Returns
    -------
    ndarray of int64
        Counts: Poisson, at a rate drawn given what customers did so far.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> args = {"x": 2, "recency": 3, "age": np.full(9000, 12.0), "horizon": 10}
    >>> bool(abs(draw_if_alive(Nbd(0.5, 8), rng=rng, **args).mean() - 1.25) < 0.05)
    True
    """
    shape, ratio = _posterior(params, x=x, recency=recency, age=age, horizon=horizon)
    return np.asarray(rng.poisson(rng.gamma(shape) * ratio), dtype=np.int64)


def _posterior(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
) -> tuple[FloatArray, FloatArray]:
    """Return the shape of the purchase rate, and the horizon over its rate."""
    r, alpha, n_repeat, _, now, ahead = np.broadcast_arrays(
        *(np.asarray(v, np.float64) for v in (*params, x, recency, age, horizon))
    )
    return r + n_repeat, ahead / (alpha + now)


MODEL = PurchaseModel(
    name="nbd",
    label="NBD",
    parameters=Nbd._fields,
    times=("alpha",),
    each=each,
    objective=objective,
    starts=starts,
    p_alive=p_alive,
    expected_if_alive=expected_if_alive,
    pmf_if_alive=pmf_if_alive,
    draw_if_alive=draw_if_alive,
    purchase_rate=("alpha", -1),
    dropout=None,
    one_time_may_leave=False,
)
