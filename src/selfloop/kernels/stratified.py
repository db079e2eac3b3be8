"""Two groups compared within strata, so that unlike mixes do not pass for effects.

People who came in another month met another shop. Each estimator compares the groups
inside every stratum and takes the mean over strata, with the weights of Mantel and
Haenszel: w = n1 n0 / (n1 + n0), which are 0 where one group is absent.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr, stdtr, stdtrit

from selfloop.kernels.intervals import normal_quantile

FloatArray = npt.NDArray[np.float64]

_LARGEST_Z = 38.0  # beyond, p is below the least number that floats can tell from 0


class Cells(NamedTuple):
    """People of one group by stratum, and what they did on average.

    Parameters
    ----------
    n : ndarray of float64
        People.
    mean, variance : ndarray of float64
        Mean and sample variance (divisor n - 1) of the outcome; NaN when unknown.
    """

    n: FloatArray
    mean: FloatArray
    variance: FloatArray


class RatioCells(NamedTuple):
    """People of one group by stratum, and two numbers whose ratio is looked at.

    Parameters
    ----------
    n : ndarray of float64
        People.
    mean, variance : ndarray of float64
        Mean and sample variance of the numerator.
    base, base_variance : ndarray of float64
        The same of the denominator.
    covariance : ndarray of float64
        Sample covariance of both.
    """

    n: FloatArray
    mean: FloatArray
    variance: FloatArray
    base: FloatArray
    base_variance: FloatArray
    covariance: FloatArray


class Estimate(NamedTuple):
    """A number with its interval and p value; NaN where the data cannot tell."""

    value: float
    low: float
    high: float
    p_value: float


UNKNOWN = Estimate(math.nan, math.nan, math.nan, math.nan)
"""What is known without a stratum that holds both groups."""


def weights(n_first: npt.ArrayLike, n_second: npt.ArrayLike) -> FloatArray:
    """Return the weight of each stratum, n1 n0 / (n1 + n0); 0 where a group is absent.

    Parameters
    ----------
    n_first, n_second : array_like of float
        People of both groups by stratum, 0 or more.

    Returns
    -------
    ndarray of float64

    Examples
    --------
    >>> weights([10, 0, 4], [30, 8, 4])
    array([7.5, 0. , 2. ])
    """
    first = np.asarray(n_first, dtype=np.float64)
    second = np.asarray(n_second, dtype=np.float64)
    total = first + second
    return np.asarray(first * second / np.where(total > 0, total, 1.0))


def mean_difference(
    first: Cells, second: Cells, *, confidence: float = 0.95
) -> Estimate:
    """Say by how much the mean of the first group exceeds that of the second.

    Parameters
    ----------
    first, second : Cells
        Both groups, over the same strata.
    confidence : float, optional
        Level of the interval, above 0 and below 1.

    Returns
    -------
    Estimate
        The difference in units of the outcome.

    Notes
    -----
    d = sum_s w_s (m1s - m0s) / sum_s w_s. Its variance is
    sum_s w_s^2 (v1s / n1s + v0s / n0s) / (sum_s w_s)^2 with the sample variance of
    each cell, so that neither the groups nor the strata need to vary alike. A single
    person in a cell takes the variance pooled over the cells of that group. Interval
    and p value from Student's t with the degrees of freedom of Satterthwaite.

    References
    ----------
    Mantel and Haenszel (1959), JNCI 22; Satterthwaite (1946), Biometrics Bulletin 2.

    Examples
    --------
    >>> one = Cells(np.array([4.0, 6]), np.array([5.0, 8]), np.array([1.0, 2]))
    >>> other = Cells(np.array([4.0, 3]), np.array([4.0, 8]), np.array([2.0, 1]))
    >>> found = mean_difference(one, other)
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (0.5, -0.809, 1.809)
    """
    return ratio_difference(_over_one(first), _over_one(second), confidence=confidence)


def _over_one(cells: Cells) -> RatioCells:
    """Write a mean as a ratio with the denominator 1."""
    zero = np.zeros_like(cells.mean)
    return RatioCells(*cells, base=zero + 1.0, base_variance=zero, covariance=zero)


def ratio_difference(
    first: RatioCells, second: RatioCells, *, confidence: float = 0.95
) -> Estimate:
    """Say by how much a ratio of sums of the first group exceeds the second's.

    Parameters
    ----------
    first, second : RatioCells
        Both groups, over the same strata.
    confidence : float, optional
        Level of the interval, above 0 and below 1.

    Returns
    -------
    Estimate
        The difference of the ratios; NaN when a denominator is not above 0.

    Notes
    -----
    Combined ratio of each group, with the same weights for both:
    R_g = sum_s w_s y_gs / sum_s w_s x_gs, y and x the means of numerator and
    denominator. A ratio in each stratum would be biased where strata are small.
    Linearised variance: that of y - R_g x in each cell, as in `mean_difference`.

    References
    ----------
    Cochran (1977), Sampling Techniques, section 6.11.

    Examples
    --------
    >>> n, one = np.array([50.0]), np.array([1.0])
    >>> more = RatioCells(n, 3 * one, 4 * one, 20 * one, 25 * one, 2 * one)
    >>> less = RatioCells(n, one, 2 * one, 20 * one, 25 * one, 2 * one)
    >>> found = ratio_difference(more, less)
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.1, 0.066, 0.134)
    """
    weight = weights(first.n, second.n)
    used = weight > 0
    if not used.any():
        return UNKNOWN
    value, parts, freedoms = 0.0, [], []
    for sign, group in ((1.0, first), (-1.0, second)):
        ratio, part, freedom = _ratio(group, weight, used)
        value += sign * ratio
        parts.append(part)
        freedoms.append(freedom)
    part, freedom = np.concatenate(parts), np.concatenate(freedoms)
    return _student(value, part, freedom, confidence)


def ratio_of(cells: RatioCells, *, confidence: float = 0.95) -> Estimate:
    """Return a ratio of sums over all strata, each unit counted once.

    Parameters
    ----------
    cells : RatioCells
        One group; its units may be clusters of people, the denominator their number.
    confidence : float, optional
        Level of the interval, above 0 and below 1.

    Returns
    -------
    Estimate
        The ratio; its p value is NaN, because nothing is tested.

    Notes
    -----
    R = sum n y / sum n x with the variance of y - R x, units within strata.

    Examples
    --------
    >>> one = np.array([1.0])
    >>> teams = RatioCells(20 * one, 30 * one, 100 * one, 2 * one, one, 5 * one)
    >>> found = ratio_of(teams)
    >>> found.value, round(found.low, 2), round(found.high, 2)
    (15.0, 11.9, 18.1)
    """
    used = cells.n > 0
    if not used.any():
        return UNKNOWN
    value, part, freedom = _ratio(cells, cells.n, used)
    return _student(value, part, freedom, confidence)._replace(p_value=math.nan)


def _ratio(
    group: RatioCells, weight: FloatArray, used: npt.NDArray[np.bool_]
) -> tuple[float, FloatArray, FloatArray]:
    """Return a combined ratio, the parts of its variance and their freedom."""
    n, mean, variance, base, base_variance, covariance = (c[used] for c in group)
    weight = weight[used]
    bottom = float(weight @ base)
    if not bottom > 0:
        return math.nan, np.full(n.size, np.nan), n
    ratio = float(weight @ mean) / bottom
    spread = variance - 2 * ratio * covariance + ratio**2 * base_variance
    known = n > 1
    freedom = float((n[known] - 1).sum())
    pooled = float((n[known] - 1) @ spread[known]) / freedom if freedom else math.nan
    spread = np.maximum(np.where(known, spread, pooled), 0.0)
    parts = (weight / bottom) ** 2 * spread / n
    return ratio, parts, np.where(known, n - 1, freedom)


def _student(
    value: float, parts: FloatArray, freedom: FloatArray, confidence: float
) -> Estimate:
    """Return interval and p value of a sum of independent cells."""
    normal_quantile(confidence)  # refuses a level that is none
    variance = float(parts.sum())
    if not variance > 0:  # all alike, or nobody to learn the variance from
        return Estimate(value, math.nan, math.nan, math.nan)
    # Shares of the variance: their squares cannot underflow.
    share = parts / variance
    some = share > 0
    df = 1.0 / float((share[some] ** 2 / freedom[some]).sum())
    error = math.sqrt(variance)
    reach = float(stdtrit(df, 0.5 + confidence / 2)) * error
    p_value = 2 * float(stdtr(df, -abs(value) / error))
    return Estimate(value, value - reach, value + reach, p_value)


def share_difference(
    n_first: npt.ArrayLike,
    hits_first: npt.ArrayLike,
    *,
    n_second: npt.ArrayLike,
    hits_second: npt.ArrayLike,
    confidence: float = 0.95,
) -> Estimate:
    """Say by how much a share of the first group exceeds that of the second.

    Parameters
    ----------
    n_first, hits_first : array_like of float
        People of the first group by stratum, and of these who did it.
    n_second, hits_second : array_like of float
        The same of the second group.
    confidence : float, optional
        Level of the interval, above 0 and below 1.

    Returns
    -------
    Estimate
        The difference, from -1 to 1.

    Raises
    ------
    ValueError
        When fewer than 0 or more than all did it.

    Notes
    -----
    p_g = sum_s w_s p_gs / sum_s w_s, and d = p1 - p0. Newcombe's interval on the
    standardised shares: with the Wilson limits l, u of p_g at the effective number of
    people n_g = (sum w)^2 / sum (w^2 / n_gs),

        d - sqrt((p1 - l1)^2 + (u0 - p0)^2)  to  d + sqrt((u1 - p1)^2 + (p0 - l0)^2)

    It keeps its width when nobody or everybody did it. The p value is that of the
    level at which the interval begins at 0, so that both always agree.

    References
    ----------
    Newcombe (1998), Statistics in Medicine 17, method 10; Yan and Su (2010),
    Stratified Wilson and Newcombe confidence intervals for multiple binomial
    proportions, Statistics in Biopharmaceutical Research 2(3).

    Examples
    --------
    Newcombe's example (a): 56 of 70 and 48 of 80.

    >>> found = share_difference([70], [56], n_second=[80], hits_second=[48])
    >>> round(found.value, 4), round(found.low, 4), round(found.high, 4)
    (0.2, 0.0524, 0.3339)
    """
    weight = weights(n_first, n_second)
    used = weight > 0
    z = normal_quantile(confidence)
    groups = []
    for people, hits in ((n_first, hits_first), (n_second, hits_second)):
        n = np.asarray(people, dtype=np.float64)
        hit = np.asarray(hits, dtype=np.float64)
        if (hit < 0).any() or (hit > n).any():
            raise ValueError("those who did it must be from 0 to all people")
        if used.any():
            w = weight[used] / weight[used].sum()
            share = min(float(w @ (hit[used] / n[used])), 1.0)
            groups.append((share, 1.0 / float((w**2 / n[used]).sum())))
    if not groups:
        return UNKNOWN
    one, other = groups
    value = one[0] - other[0]
    low, high = value - _reach(one, other, z), value + _reach(other, one, z)
    return Estimate(value, low, high, _share_p(one, other))


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Return the Wilson limits of a share of n people at z standard errors."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share)


def _reach(above: tuple[float, float], below: tuple[float, float], z: float) -> float:
    """Return how far below its estimate the difference above - below may lie."""
    low, _ = _wilson(*above, z)
    _, high = _wilson(*below, z)
    return math.hypot(above[0] - low, high - below[0])


def _share_p(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the p value at which Newcombe's interval begins at 0."""
    above, below = (one, other) if one[0] >= other[0] else (other, one)
    gap = above[0] - below[0]
    if gap < 1e-15:
        return 1.0
    if gap >= _reach(above, below, _LARGEST_Z):
        return 0.0
    z = brentq(lambda z: _reach(above, below, z) - gap, 0.0, _LARGEST_Z, xtol=1e-12)
    return 2 * float(ndtr(-z))


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Adjust p values for their number: at most 5 % of families show a false one.

    Parameters
    ----------
    p_values : array_like of float
        One per question; NaN where there was none.

    Returns
    -------
    ndarray of float64
        NaN stays NaN and does not count.

    Notes
    -----
    The k-th smallest of m is multiplied by m - k + 1, and none may be smaller than
    one before it: Holm (1979), Scandinavian Journal of Statistics 6(2).

    Examples
    --------
    >>> holm([0.01, 0.04, np.nan, 0.03])
    array([0.03, 0.06,  nan, 0.06])
    """
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
