"""Rising factorials start (start + 1) ... (start + n - 1), and the negative binomial.

They are what the gamma functions of the models come to. All is in logs, and nothing
cancels, however large start or n.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, gammaln, xlog1py

from selfloop.kernels.rows import FloatArray

_STIRLING = 20.0  # from here on, Stirling's series is exact to the last digit
_NO_TIME = 1e-300  # in less, nothing is bought: its inverse is no number
_ABOVE_MINUS_1 = float(np.nextafter(-1, 0))
_HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


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
        Log-probabilities, -inf where ratio is 0 (below 1e-300) and n is not.

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
    some, moves = np.maximum(n, 1.0), np.where(ratio > _NO_TIME, ratio, 1.0)
    total = some + k
    off = (some - k * moves) / (1 + moves)
    found = np.log(k / total) + 0.5 * np.log(total / k / some) - _HALF_LOG_2_PI
    found += _off_stirling(total) - _off_stirling(k) - _off_stirling(some)
    # A tiny shape beside a huge n would round k/(N q) to 0, whose log is no number.
    found -= xlog1py(k, np.maximum(-off / total * (1 + moves), _ABOVE_MINUS_1))
    found -= xlog1py(some, off / total * (1 + moves) / moves)
    found = np.where(ratio > _NO_TIME, found, -np.inf)
    return np.asarray(np.where(n > 0, found, -k * np.log1p(ratio)))


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
