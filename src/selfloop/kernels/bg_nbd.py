"""BG/NBD: how often customers buy, when they silently leave, how much is to come.

While a customer is active, purchases come at a steady rate lambda; after each repeat
purchase the customer leaves for good with probability p. Across customers lambda is
Gamma(r, rate alpha) and p is Beta(a, b), independent of each other. One customer is
three numbers: x repeat purchases, the age t_x at the last of them (0 without any),
and the age T at the end of observation, in one unit of time.

References
----------
P. S. Fader, B. G. S. Hardie and K. L. Lee, "Counting Your Customers" the Easy Way: An
Alternative to the Pareto/NBD Model, Marketing Science 24(2), 2005.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, expit, hyp2f1

from selfloop.core.errors import FitError
from selfloop.kernels.fitting import (
    N_WARM,
    Fit,
    FloatArray,
    Objective,
    Rows,
    distinct_rows,
    dot,
    maximise,
    rescaled,
)

_N_NODES = 512
_ROWS_IN_CACHE = 16_384  # of the likelihood at a time: twice as fast as all at once
_ROWS_PER_BLOCK = 2048  # nodes x rows x 8 bytes = 8 MB at a time
_CANCELLED = 1e-5  # below, the closed form has lost more than five of 16 digits


class BgNbd(NamedTuple):
    """Parameters of the model, all above 0.

    Parameters
    ----------
    r, alpha : float
        Shape and rate of the purchase rate among customers; alpha is in the unit
        of time.
    a, b : float
        Shape parameters of the probability to leave after a repeat purchase.
    """

    r: float
    alpha: float
    a: float
    b: float


def log_likelihood(rows: Rows) -> Objective:
    """Return a function that says how likely the rows are under given parameters.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and T with 0 <= t_x <= T, and people per row.

    Returns
    -------
    callable
        Takes (r, alpha, a, b), gives the log-likelihood summed over people and its
        four derivatives.

    Notes
    -----
    For one customer::

        ln L = ln G(r+x)/G(r) + ln B(a, b+x)/B(a, b) - r ln(1 + T/alpha)
               - x ln(alpha+T) + ln(1 + e^z)
        z    = ln a - ln(b+x-1) + (r+x) ln((alpha+T)/(alpha+t_x)),   x > 0

    without the last term for x = 0. Both ratios are products over j = 0..x-1, so
    that all customers together need only the number of people with more than j
    repeat purchases: no gamma function, and nothing cancels however large r or b.

    Examples
    --------
    >>> value, gradient = log_likelihood(distinct_rows([[2], [30.43], [38.86]]))(
    ...     np.array([0.243, 4.414, 0.793, 2.426])
    ... )
    >>> round(value, 4), gradient.shape
    (-9.4586, (4,))
    """
    x, recency, age = rows.columns
    people = rows.counts
    at_count = np.bincount(x.astype(np.int64), weights=people)
    n_above = np.cumsum(at_count[::-1])[::-1][1:]
    j = np.arange(n_above.size, dtype=np.float64)
    ages, age_no = np.unique(age, return_inverse=True)
    n_age = np.bincount(age_no, weights=people)
    x_age = np.bincount(age_no, weights=people * x)
    again = x > 0
    repeaters = Rows((x[again], recency[again], age[again]), people[again])

    def objective(params: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives by r, alpha, a, b."""
        r, alpha, a, b = params.tolist()
        rj, bj, cj = r + j, b + j, a + b + j
        grown = np.log1p(ages / alpha)
        left = _leaving(BgNbd(r, alpha, a, b), repeaters)
        value = (
            dot(n_above, np.log(rj) - np.log1p(a / bj))
            - r * dot(n_age, grown)
            - dot(x_age, np.log(alpha + ages))
            + left.log_likelihood
        )
        by_alpha = r / alpha * dot(n_age, ages / (alpha + ages))
        gradient = [
            dot(n_above, 1 / rj) - dot(n_age, grown) + left.by_r,
            by_alpha - dot(x_age, 1 / (alpha + ages)) + left.by_alpha,
            left.by_a - dot(n_above, 1 / cj),
            left.by_b + dot(n_above, a / (bj * cj)),
        ]
        return float(value), np.array(gradient, dtype=np.float64)

    return objective


class _Leaving(NamedTuple):
    """Sum of ln(1 + e^z) over people, and its derivatives."""

    log_likelihood: float
    by_r: float
    by_alpha: float
    by_a: float
    by_b: float


def _leaving(params: BgNbd, repeaters: Rows) -> _Leaving:
    """Add up what it adds that people may have left after their last purchase."""
    r, alpha, a, b = params
    x, recency, age = repeaters.columns
    n = repeaters.counts
    sums = np.zeros(5)
    for start in range(0, n.size, _ROWS_IN_CACHE):
        rows = slice(start, start + _ROWS_IN_CACHE)
        gap, since = age[rows] - recency[rows], alpha + recency[rows]
        rx, bx = r + x[rows], b - 1 + x[rows]
        lag = np.log1p(gap / since)
        z = math.log(a) - np.log(bx) + rx * lag
        small = np.exp(-np.abs(z))
        each = np.maximum(z, 0) + np.log1p(small)  # ln(1 + e^z)
        gone = n[rows] * np.where(z > 0, 1.0, small) / (1 + small)
        sums += (
            dot(n[rows], each),
            dot(gone, lag),
            -dot(gone, rx * gap / ((alpha + age[rows]) * since)),
            gone.sum() / a,
            -dot(gone, 1 / bx),
        )
    return _Leaving(*sums.tolist())


def fit(
    x: npt.ArrayLike,
    *,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    counts: npt.ArrayLike | None = None,
    n_warm: int = N_WARM,
) -> Fit:
    """Estimate the four parameters by maximum likelihood.

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

    Raises
    ------
    FitError
        When nobody bought twice, nobody was observed for any time, all rows are
        the same, a row is impossible, or the search does not converge.

    Notes
    -----
    Ages are divided by the largest before the fit and alpha is scaled back, so the
    unit changes nothing else; ln L falls by ln(scale) per repeat purchase.

    Examples
    --------
    >>> found = fit([0, 0, 1, 2, 5, 0, 1, 3], recency=[0, 0, 9, 20, 30, 0, 2, 25],
    ...             age=[40, 35, 38, 36, 31, 30, 39, 33])
    >>> sorted(found.params)
    ['a', 'alpha', 'b', 'r']
    """
    rows = distinct_rows([x, recency, age], counts=counts)
    _check(rows)
    n_repeat, recencies, ages = rows.columns
    scale = float(ages.max())
    scaled = Rows((n_repeat, recencies / scale, ages / scale), rows.counts)
    n_purchases = dot(n_repeat, rows.counts)
    alpha = 0.3 * dot(ages, rows.counts) / scale / n_purchases
    found = maximise(
        log_likelihood,
        scaled,
        names=BgNbd._fields,
        starts=[(r, alpha, 1.0, 2.0) for r in (1.0, 0.3, 5.0)],
        n_warm=n_warm,
    )
    return rescaled(
        found,
        name="alpha",
        factor=scale,
        log_likelihood_shift=-n_purchases * math.log(scale),
    )


def _check(rows: Rows) -> None:
    """Refuse rows that no parameters could explain, or that all parameters could."""
    x, recency, age = rows.columns
    n_people = rows.n_people
    impossible = (x < 0) | (x % 1 != 0) | (recency < 0) | (recency > age)
    impossible |= (x == 0) & (recency > 0)
    if impossible.any():
        raise FitError(
            f"{rows.counts[impossible].sum():,.0f} of {n_people:,.0f} customers are "
            "impossible: repeat purchases must be whole and at least 0, and "
            "0 <= recency <= age, with recency 0 when nothing was bought again"
        )
    if not (x > 0).any():
        raise FitError(
            f"none of the {n_people:,.0f} customers bought a second time, so nothing "
            "says how often customers come back"
        )
    if age.max() <= 0:
        raise FitError(
            f"all {n_people:,.0f} customers first bought at the very end: nobody was "
            "observed for any time"
        )
    if rows.n_distinct == 1:
        raise FitError(
            f"all {n_people:,.0f} customers are the same ({x[0]:,.0f} repeat "
            "purchases at the same ages), so their differences cannot be estimated"
        )


def p_alive(
    params: BgNbd, *, x: npt.ArrayLike, recency: npt.ArrayLike, age: npt.ArrayLike
) -> FloatArray:
    """Say how probable it is that customers have not left yet.

    Parameters
    ----------
    params : BgNbd
        Parameters of the model.
    x : array_like of int
        Repeat purchases, at least 0.
    recency, age : array_like of float
        Age at the last purchase and at the end, in the unit of alpha.

    Returns
    -------
    ndarray of float64
        Probabilities; 1 for x = 0, because the model lets nobody leave before a
        repeat purchase.

    Notes
    -----
    P = 1 / (1 + e^z), with z as in `log_likelihood`. It may underflow to 0.

    Examples
    --------
    >>> cdnow = BgNbd(0.243, 4.414, 0.793, 2.426)
    >>> float(p_alive(cdnow, x=2, recency=30.43, age=38.86).round(4))
    0.7266
    """
    r, alpha, a, b = params
    x, recency, age = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (x, recency, age))
    )
    again = np.maximum(x, 1.0)
    lag = np.log1p((age - recency) / (alpha + recency))
    z = math.log(a) - np.log(b + again - 1) + (r + x) * lag
    return np.where(x > 0, expit(-z), 1.0)


def expected_if_alive(
    params: BgNbd, *, x: npt.ArrayLike, age: npt.ArrayLike, horizon: npt.ArrayLike
) -> FloatArray:
    """Say how many purchases to expect from customers who have not left.

    Parameters
    ----------
    params : BgNbd
        Parameters of the model.
    x : array_like of int
        Repeat purchases so far, at least 0.
    age : array_like of float
        Age now, at least 0, in the unit of alpha.
    horizon : array_like of float
        Length of the time to come, at least 0, in the unit of alpha.

    Returns
    -------
    ndarray of float64
        Expected purchases within the horizon; the age at the last purchase does
        not matter for those who are still there.

    Notes
    -----
    With c = a+b+x-1 and q = (alpha+T)/(alpha+T+t), Euler's transformation of
    equation (10) of Fader, Hardie and Lee gives::

        E = c/(a-1) * (1 - q^(a-1) F(a-1, a+b-1-r; c; 1-q))

    where x occurs in c alone and nothing overflows. Where the difference cancels
    (a near 1, very short horizons) or F is not finite (c = 0, large a with a very
    long horizon), E is the mean over p of the purchases of one who leaves with
    probability p::

        E = Int_0^1 [1 - (1 + p t/(alpha+T))^-(r+x)] / p  Beta(p; a, b+x) dp

    by the trapezoidal rule in ln(p/(1-p)), which has none of these holes.

    Examples
    --------
    >>> cdnow = BgNbd(0.2425945, 4.4136019, 0.7929199, 2.4258881)
    >>> float(expected_if_alive(cdnow, x=0, age=0, horizon=52).round(4))
    1.444
    """
    r, alpha, a, b = params
    x, age, horizon = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (x, age, horizon))
    )
    c = a + b - 1 + x
    total = alpha + age + horizon
    with np.errstate(all="ignore"):  # the holes are found and filled below
        f = hyp2f1(a - 1, a + b - 1 - r, c, horizon / total)
        rest = 1 - ((alpha + age) / total) ** (a - 1) * f
        expected = np.asarray(c / np.float64(a - 1) * rest)
    # Somebody who never leaves buys (r+x) t/(alpha+T) times: nobody buys more.
    most = (r + x) * horizon / (alpha + age)
    hole = ~(np.abs(rest) > _CANCELLED) | ~((expected >= 0) & (expected <= most))
    if hole.any():
        flat = np.flatnonzero(hole)
        ratio = np.ravel(horizon / (alpha + age))[flat]
        filled = expected.ravel()
        filled[flat] = _over_dropout(params, x=np.ravel(x)[flat], ratio=ratio)
        expected = filled.reshape(expected.shape)
    return expected


def _over_dropout(params: BgNbd, *, x: FloatArray, ratio: FloatArray) -> FloatArray:
    """Average expected purchases over the probability to leave, block by block."""
    blocks = range(0, x.size, _ROWS_PER_BLOCK)
    parts = [
        _over_dropout_block(
            params,
            x=x[i : i + _ROWS_PER_BLOCK, None],
            ratio=ratio[i : i + _ROWS_PER_BLOCK, None],
        )
        for i in blocks
    ]
    return np.concatenate(parts)


def _over_dropout_block(
    params: BgNbd, *, x: FloatArray, ratio: FloatArray
) -> FloatArray:
    """Integrate over u = ln(p/(1-p)) with ends where the integrand has vanished.

    Where the Beta density piles up at an end (a < 1 or b+x < 1), the value of the
    integrand there is taken out and integrated by hand: its mean is known.
    """
    shape, a, b = params.r + x, params.a, params.b + x
    at_0 = np.where(a < 1, shape * ratio, 0.0)
    at_1 = np.where(b < 1, -np.expm1(-shape * np.log1p(ratio)), 0.0)
    left, right = a + (a < 1), b + (b < 1)
    middle = np.log(left / right)
    spread = np.sqrt((left + right) / (left * right))
    # e^-40 is nothing: along the tail of the density, or that of the integrand.
    tail = np.maximum(0.0, middle + np.log1p(shape * ratio)) + 40 / left
    slow = 40 / (a - 1) if a > 1 else 40 / a
    low = middle - np.minimum(slow, tail) - 10 * spread
    high = middle + 40 / right + 10 * spread
    u = low + (high - low) * np.linspace(0.0, 1.0, _N_NODES)
    log_p, log_1_p = -np.logaddexp(0.0, -u), -np.logaddexp(0.0, u)
    p = np.exp(log_p)
    purchases = -np.expm1(-shape * np.log1p(p * ratio)) / p
    density = np.exp(a * log_p + b * log_1_p - betaln(a, b))
    middle_part = density * (purchases - at_0 * np.exp(log_1_p) - at_1 * p)
    step = (high - low)[:, 0] / (_N_NODES - 1)
    ends = (at_0 * b + at_1 * a) / (a + b)
    return np.asarray(ends[:, 0] + step * middle_part.sum(axis=1))


def expected_purchases(
    params: BgNbd,
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
        `p_alive` times `expected_if_alive`, the latter computed once for each
        distinct pair of x and age.

    Examples
    --------
    >>> cdnow = BgNbd(0.2425945, 4.4136019, 0.7929199, 2.4258881)
    >>> args = {"x": [2], "recency": [30.43], "age": [38.86]}
    >>> float(expected_purchases(cdnow, horizon=39, **args)[0].round(4))
    1.2259
    """
    count, pair_age, pair_no = distinct_pairs(x, age)
    alive = expected_if_alive(params, x=count, age=pair_age, horizon=horizon)
    return p_alive(params, x=x, recency=recency, age=age) * alive[pair_no]


def distinct_pairs(
    x: npt.ArrayLike, age: npt.ArrayLike
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int64]]:
    """Return the distinct pairs of x and age, and which one each row has.

    Parameters
    ----------
    x : array_like of int, shape (n,)
        Repeat purchases.
    age : array_like of float, shape (n,)
        Ages.

    Returns
    -------
    x, age : ndarray of float64, shape (n_pairs,)
    pair_no : ndarray of int64, shape (n,)
        Number of the pair of each row.

    Examples
    --------
    >>> distinct_pairs([1, 0, 1], [5.0, 2.0, 5.0])[2].tolist()
    [1, 0, 1]
    """
    count = np.asarray(x, dtype=np.int64)
    ages, age_no = np.unique(np.asarray(age, dtype=np.float64), return_inverse=True)
    keys, pair_no = np.unique(count * ages.size + age_no, return_inverse=True)
    return (keys // ages.size).astype(np.float64), ages[keys % ages.size], pair_no


def expected_new(params: BgNbd, horizon: npt.ArrayLike) -> FloatArray:
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
