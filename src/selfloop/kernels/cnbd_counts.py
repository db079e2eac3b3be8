"""How many purchases are to come when every k-th hidden event is a purchase.

Rows are customers who have not left, as the posterior `There` describes them; columns
of results are hidden events since the last purchase, 0 to k-1.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincc, gammaln

from selfloop.kernels.purchase_model import IntArray
from selfloop.kernels.rising import log_pmf, log_rising_gain
from selfloop.kernels.rows import FloatArray

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


class There(NamedTuple):
    """Posterior of customers who have not left.

    The rate of hidden events is Gamma(shape + j, alpha + T) with j of them since the
    last purchase, and the chance to leave is Beta(leaves, stays).

    Parameters
    ----------
    shape : ndarray of float64, shape (n,)
        r + kx.
    leaves, stays : ndarray of float64, shape (n,)
        Shape parameters of the chance to leave.
    ratio : ndarray of float64, shape (n,)
        t / (alpha + T) for the horizon t.
    waited : ndarray of float64, shape (n,)
        (T - t_x) / (alpha + T).
    """

    shape: FloatArray
    leaves: FloatArray
    stays: FloatArray
    ratio: FloatArray
    waited: FloatArray


def expected(there: There, *, k: int) -> FloatArray:
    """Say how many purchases to expect, by hidden events since the last purchase.

    Parameters
    ----------
    there : There
        Customers who have not left; what they waited does not matter.
    k : int
        Hidden events per purchase.

    Returns
    -------
    ndarray of float64, shape (k, n)

    Examples
    --------
    >>> one = There(*(np.array([v]) for v in (2.0, 0.5, 3.0, 1.0, 0.0)))
    >>> expected(one, k=1).round(4).tolist()
    [[1.6952]]
    """
    terms = _n_terms(there.shape + k, there.ratio)
    mean = (there.shape + k) * there.ratio
    is_short = (terms <= _MAX_TERMS) & (mean <= _MAX_MEAN)
    found = np.empty((k, terms.size))
    short, long = np.flatnonzero(is_short), np.flatnonzero(~is_short)
    if short.size:
        found[:, short] = _series(take(there, short), terms[short], k=k)
    if long.size:
        found[:, long] = _over_dropout(take(there, long), k=k)
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


def take(there: There, rows: IntArray) -> There:
    """Return some of the customers.

    Parameters
    ----------
    there : There
        Customers who have not left.
    rows : ndarray of int64
        Which of them.

    Returns
    -------
    There

    Examples
    --------
    >>> two = There(*(np.array([v, v + 1]) for v in (2.0, 0.5, 3.0, 1.0, 0.0)))
    >>> take(two, np.array([1])).shape.tolist()
    [3.0]
    """
    return There(*(column[rows] for column in there))


def _series(there: There, terms: FloatArray, *, k: int) -> FloatArray:
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
            found[:, rows], is_settled = _series_block(take(there, rows), n, k=k)
            unsettled.append(rows[~is_settled])
            start += size
        to_do = np.concatenate(unsettled)
        n_gaps[to_do] *= 2
    return found


def _series_block(
    there: There, n_gaps: int, *, k: int
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


def _over_dropout(there: There, *, k: int) -> FloatArray:
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
        found[:, rows] = _over_nodes(take(there, rows), grid, k=k)
        start += size
    return found


def _range(there: There) -> tuple[FloatArray, FloatArray, FloatArray]:
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


def _over_nodes(there: There, away: FloatArray, *, k: int) -> FloatArray:
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
    there: There, weight: FloatArray, stay: FloatArray, *, k: int
) -> FloatArray:
    """Integrate over nodes where next to nobody stays, shape (k, n).

    There the roots would cancel, and the purchases are a short polynomial.
    """
    found = np.zeros((k, weight.shape[0]))
    rows = np.flatnonzero(weight.sum(axis=1) > _NOBODY)
    some, weight, stay = take(there, rows), weight[rows], stay[rows]
    for n in range(1, _FEW_TERMS + 1):
        found[:, rows] += _reaches(some, n, k=k) * weight.sum(axis=1)
        weight = weight * stay
    return found


def _over_roots(
    there: There, weight: FloatArray, log_stay: FloatArray, *, k: int
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


def _wanted(there: There, *, k: int) -> FloatArray:
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


def _reaches(there: There, n: int, *, k: int) -> FloatArray:
    """Return the chance to want at least n > 0 purchases, shape (k, n)."""
    parts = [_at_least(n * k - j, there.shape + j, there.ratio) for j in range(k)]
    return np.array(parts)


def chances(there: There, wanted: FloatArray, *, k: int) -> FloatArray:
    """Say how probable a number of purchases is, by hidden events since the last one.

    Parameters
    ----------
    there : There
        Customers who have not left; what they waited does not matter.
    wanted : ndarray of float64, shape (n,)
        Number of purchases of each.
    k : int
        Hidden events per purchase.

    Returns
    -------
    ndarray of float64, shape (k, n)

    Examples
    --------
    >>> one = There(*(np.array([v]) for v in (2.0, 0.5, 3.0, 1.0, 0.0)))
    >>> chances(one, np.array([0.0]), k=1).round(4).tolist()  # 1/2 squared
    [[0.25]]
    """
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
