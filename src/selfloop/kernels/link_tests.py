"""Whether what happens to one end of a referral goes with what happens to the other.

Two questions about links from a referrer to a referee: do referees have it more often
when their referrer has it (a difference of shares within strata), and could that be
chance (an exact permutation test). Several referees of one referrer are one cluster.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import erfc, gammaln, stdtrit

from selfloop.kernels.intervals import normal_quantile
from selfloop.kernels.stratified import UNKNOWN, Estimate

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_EXACT = 20_000  # values of the statistic, over all strata, up to which it is exact


def exchange_p_value(
    n: npt.ArrayLike,
    *,
    n_exposed: npt.ArrayLike,
    n_cases: npt.ArrayLike,
    n_both: npt.ArrayLike,
) -> float:
    """Say how often chance alone would link cases to exposed as much as here.

    Parameters
    ----------
    n : array_like of int
        Links by stratum.
    n_exposed, n_cases : array_like of int
        Links whose referrer has it, and whose referee has it.
    n_both : array_like of int
        Links where both have it.

    Returns
    -------
    float
        Two-sided; NaN when no exchange within a stratum could change anything.

    Raises
    ------
    ValueError
        When the counts of a stratum do not fit together.

    Notes
    -----
    Null: outcomes of referees may be exchanged among the referees of a stratum. Then
    the cases among the exposed of stratum s are hypergeometric, independently, and
    their sum over strata, which is the Mantel-Haenszel difference of shares but for
    constants, has the convolution of these distributions. The p value sums what is
    not more likely than what was seen. No random numbers are drawn. With more than
    20,000 possible values in the strata together: normal, with the exact mean and
    variance of the exchange.

    References
    ----------
    Mehta, Patel and Gray (1985), Computing an exact confidence interval for the
    common odds ratio in several 2x2 contingency tables, JASA 80.

    Examples
    --------
    Fisher's tea: 3 of the 4 cups that were named were right.

    >>> round(exchange_p_value([8], n_exposed=[4], n_cases=[4], n_both=[3]), 4)
    0.4857
    """
    people, exposed, cases, both = (
        np.atleast_1d(np.asarray(c, dtype=np.int64))
        for c in (n, n_exposed, n_cases, n_both)
    )
    low = np.maximum(exposed + cases - people, 0)
    high = np.minimum(exposed, cases)
    if (low > both).any() or (both > high).any():
        raise ValueError("the counts of a stratum do not fit together")
    free = high > low
    if not free.any():
        return math.nan
    people, exposed, cases, both, low, high = (
        c[free] for c in (people, exposed, cases, both, low, high)
    )
    if int((high - low + 1).sum()) > _EXACT:
        return _normal_p(people, exposed, cases, both)
    chances = np.ones(1)
    for one in zip(people, exposed, cases, low, high, strict=True):
        chances = np.convolve(chances, _hypergeometric(*(int(v) for v in one)))
    seen = chances[int((both - low).sum())]
    # What is as likely must not be lost to rounding.
    return min(float(chances[chances <= seen * (1 + 1e-7)].sum()), 1.0)


def _hypergeometric(
    n: int, exposed: int, cases: int, low: int, high: int
) -> FloatArray:
    """Return the chances of low to high cases among the exposed."""
    at = np.arange(low, high, dtype=np.float64)
    ratio = (exposed - at) * (cases - at) / ((at + 1) * (n - exposed - cases + at + 1))
    logs = np.concatenate([[0.0], np.cumsum(np.log(ratio))])
    chances = np.exp(logs - logs.max())
    return np.asarray(chances / chances.sum())


def _normal_p(
    people: IntArray, exposed: IntArray, cases: IntArray, both: IntArray
) -> float:
    """Return the p value by the exact mean and variance of the exchange."""
    n, one, two = (c.astype(np.float64) for c in (people, exposed, cases))
    mean = one * two / n
    variance = mean * (n - one) * (n - two) / (n * (n - 1))
    z = float((both - mean).sum()) / math.sqrt(float(variance.sum()))
    return float(erfc(abs(z) / math.sqrt(2)))


def linked_difference(
    has_it: npt.ArrayLike,
    *,
    referrer_has_it: npt.ArrayLike,
    stratum: IntArray,
    cluster: IntArray,
    confidence: float = 0.95,
) -> Estimate:
    """Say how much more often it happens to referees whose referrer has it.

    Parameters
    ----------
    has_it, referrer_has_it : array_like of bool
        Outcome of the referee and of the referrer of each link.
    stratum, cluster : ndarray of int64
        Number of the stratum and of the referrer of each link, from 0.
    confidence : float, optional
        Level of the interval, above 0 and below 1.

    Returns
    -------
    Estimate
        Difference of shares, -1 to 1, with its interval. The p value is NaN: it is
        that of `exchange_p_value`.

    Notes
    -----
    Mantel-Haenszel difference, which is least squares of the outcome on
    `referrer_has_it` with a constant per stratum. With residuals e and deviations x
    from the mean of the stratum, the variance sums over clusters
    (sum x e sqrt(n_s / (n_s - 1)))^2 / (sum x^2)^2, times C / (C - 1) for C clusters:
    right also when the referees of one referrer are alike. Student's t with C - 1
    degrees of freedom.

    References
    ----------
    Liang and Zeger (1986), Longitudinal data analysis using generalized linear
    models, Biometrika 73.

    Examples
    --------
    >>> found = linked_difference(
    ...     [1, 1, 0, 1, 0, 0],
    ...     referrer_has_it=[1, 1, 1, 0, 0, 0],
    ...     stratum=np.zeros(6, dtype=int),
    ...     cluster=np.arange(6),
    ... )
    >>> round(found.value, 4), found.low < 0 < found.high
    (0.3333, True)
    """
    normal_quantile(confidence)  # refuses a level that is none
    y = np.asarray(has_it, dtype=np.float64)
    x = np.asarray(referrer_has_it, dtype=np.float64)
    if y.size == 0:
        return UNKNOWN
    n = np.bincount(stratum)[stratum]
    x = x - (np.bincount(stratum, weights=x) / np.bincount(stratum).clip(1))[stratum]
    y = y - (np.bincount(stratum, weights=y) / np.bincount(stratum).clip(1))[stratum]
    across = float(x @ x)
    if not across > 1e-12:
        return UNKNOWN
    value = float(x @ y) / across
    pull = x * (y - value * x) * np.sqrt(n / np.maximum(n - 1, 1))
    sums = np.bincount(cluster, weights=pull)[np.unique(cluster)]
    if sums.size < 2 or not float(sums @ sums) > 1e-24:
        return Estimate(value, math.nan, math.nan, math.nan)
    error = math.sqrt(float(sums @ sums) * sums.size / (sums.size - 1)) / across
    reach = float(stdtrit(sums.size - 1, 0.5 + confidence / 2)) * error
    low, high = max(value - reach, -1.0), min(value + reach, 1.0)
    return Estimate(value, low, high, math.nan)


def upper_tail(n_odd: IntArray, n: IntArray, *, all_odd: int, n_all: int) -> FloatArray:
    """Probability to draw so many odd ones or more by chance.

    Parameters
    ----------
    n_odd, n : ndarray of int
        Odd ones among those drawn, and how many were drawn.
    all_odd, n_all : int
        The same of everybody, from whom they were drawn without putting back.

    Returns
    -------
    ndarray of float64

    Notes
    -----
    The upper tail of the hypergeometric distribution (Fisher's exact test): the
    binomial test in which the share of the shop is not guessed but is that of the
    very people who are dealt out. In a large shop the two agree.

    Examples
    --------
    All 2 odd ones of 4 people among the 2 of one referrer: 1 of 6 ways.

    >>> upper_tail(np.array([2]), np.array([2]), all_odd=2, n_all=4).round(6)
    array([0.166667])
    """
    result = np.ones(n.size)
    for size in np.unique(n):
        low, high = max(0, size - (n_all - all_odd)), min(size, all_odd)
        x = np.arange(low, high + 1)
        log_p = (
            _log_choose(all_odd, x)
            + _log_choose(n_all - all_odd, size - x)
            - _log_choose(n_all, size)
        )
        tail = np.cumsum(np.exp(log_p[::-1]))[::-1]  # the smallest terms first
        mine = n == size
        result[mine] = tail[np.clip(n_odd[mine] - low, 0, tail.size - 1)]
    return np.minimum(result, 1.0)


def _log_choose(n: int | IntArray, k: int | IntArray) -> FloatArray:
    """Logarithm of the number of ways to choose k of n."""
    n, k = np.asarray(n, np.float64), np.asarray(k, np.float64)
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
