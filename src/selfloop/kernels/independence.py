"""Check of Gamma-Gamma: spend is independent of how often customers buy, or not.

The mean of many purchases is less skewed than that of few, so mean spend and number
of purchases are correlated in rank even where the assumption holds (by 0.04 on data
like CDNOW, by 0.2 where single purchases vary a lot). The check therefore ranks each
customer's mean spend among customers with as many purchases, as the model has it.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.gamma_gamma import GammaGamma, expected_spend, value_cdf
from selfloop.kernels.intervals import normal_quantile
from selfloop.kernels.rows import FloatArray, Rows, distinct_rows, dot

IntArray = npt.NDArray[np.int64]

Verdict = Literal["unknown", "independent", "moderate", "strong"]
"""What the check comes to; see `check_independence`."""

MODERATE = 0.1
"""Rank correlation from which the assumption costs something."""

STRONG = 0.3
"""Rank correlation from which it costs a lot."""

_UNKNOWN = 0.2  # an interval around 0 that reaches further excludes too little
_GROUP = 0.05  # share of the customers that a group of x has at least
_MOST = 100_000  # customers placed among their like: r is then 0.003 off
_FEWEST = 4  # customers for an interval: its variance is over n - 3


class Correlation(NamedTuple):
    """A rank correlation with its 95 % interval.

    Parameters
    ----------
    value : float
        Spearman's coefficient; NaN when one of the two does not vary.
    low, high : float
        Ends of the interval; -1 and 1 when nothing is known.
    """

    value: float
    low: float
    high: float


class SpendFrequency(NamedTuple):
    """How mean spend and number of purchases go together.

    Parameters
    ----------
    n_people : float
        Customers compared.
    pearson, pearson_of_logs : float
        Correlation of x and mean spend, and of their logs; NaN when one of them does
        not vary.
    spearman : Correlation
        Correlation of their ranks.
    eta_squared : float
        Share of the variance of mean spend that lies between groups of customers
        with as many purchases (those of `SpendByFrequency`); NaN when it does not
        vary. Chance alone brings it to (groups - 1) / (customers - 1).
    """

    n_people: float
    pearson: float
    pearson_of_logs: float
    spearman: Correlation
    eta_squared: float


class SpendByFrequency(NamedTuple):
    """Spend of customers by how often they bought, beside what the model expects.

    Parameters
    ----------
    x_low, x_high : ndarray of int64, shape (n_groups,)
        Fewest and most purchases of a customer of the group.
    n_people : ndarray of float64
        Customers.
    mean_spend, standard_error : ndarray of float64
        Mean of their mean spends and its standard error; NaN for one customer.
    expected : ndarray of float64
        Mean of what the model expects of them; NaN when that does not exist.
    bias : ndarray of float64
        expected / mean_spend - 1: what the assumption costs.
    """

    x_low: IntArray
    x_high: IntArray
    n_people: FloatArray
    mean_spend: FloatArray
    standard_error: FloatArray
    expected: FloatArray
    bias: FloatArray


class Independence(NamedTuple):
    """Result of `check_independence`.

    Parameters
    ----------
    raw : SpendFrequency
        How mean spend and number of purchases go together, model aside.
    beyond_model : Correlation
        Rank correlation of x with the place of the mean spend among customers with
        as many purchases: 0 when the assumption holds.
    model_mean : float
        Mean value of a purchase over all customers, p v / (q - 1), which is what is
        expected of those of whom no purchase is known; NaN when it does not exist.
    groups : SpendByFrequency
        What the assumption costs, by number of purchases.
    verdict : str
        ``"unknown"``, ``"independent"``, ``"moderate"`` or ``"strong"``.
    """

    raw: SpendFrequency
    beyond_model: Correlation
    model_mean: float
    groups: SpendByFrequency
    verdict: Verdict


class _Ranked(NamedTuple):
    """Distinct values in rising order, and which of them each row has."""

    number: IntArray
    place: FloatArray  # midpoint of their people among all, from -1/2 to 1/2
    share: FloatArray  # of all people


def spend_frequency(
    x: npt.ArrayLike,
    *,
    mean_spend: npt.ArrayLike,
    counts: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> SpendFrequency:
    """Say how the mean spend of customers goes together with how often they buy.

    Parameters
    ----------
    x : array_like of int, shape (n,)
        Purchases, above 0.
    mean_spend : array_like of float, shape (n,)
        Mean value of these purchases, above 0.
    counts : array_like of float, shape (n,), optional
        People per row; one each by default.
    confidence : float, optional
        Confidence level of the interval.

    Returns
    -------
    SpendFrequency

    Raises
    ------
    ValueError
        When arrays differ in length or are empty, or a value is not finite or not
        above 0.

    Notes
    -----
    These are what is usually looked at. They are not 0 where spend is independent of
    frequency: see `check_independence`.

    Examples
    --------
    >>> found = spend_frequency([1, 1, 2, 3, 5], mean_spend=[9.0, 12, 8, 30, 25])
    >>> round(found.pearson, 4), round(found.spearman.value, 4)
    (0.7504, 0.5643)
    """
    rows = _checked(x, mean_spend, counts=counts)
    return _compared(*rows.columns, people=rows.counts, confidence=confidence)


def _compared(
    x: FloatArray, spend: FloatArray, *, people: FloatArray, confidence: float
) -> SpendFrequency:
    """Correlate purchases and mean spend in all ways."""
    return SpendFrequency(
        float(people.sum()),
        _pearson(x, spend, people=people),
        _pearson(np.log(x), np.log(spend), people=people),
        _correlated(x, spend, people=people, confidence=confidence),
        _eta_squared(spend, people=people, group=_grouped(x, people=people)),
    )


def rank_correlation(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    counts: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> Correlation:
    """Say how two numbers rank people alike, with an interval.

    Parameters
    ----------
    a, b : array_like of float, shape (n,)
        The numbers.
    counts : array_like of float, shape (n,), optional
        People per row; one each by default.
    confidence : float, optional
        Confidence level of the interval.

    Returns
    -------
    Correlation
        Spearman's coefficient; NaN, from -1 to 1, when a or b does not vary.

    Raises
    ------
    ValueError
        When arrays differ in length, or a value is not finite.

    Notes
    -----
    Ties have the mean of their ranks, so that counted rows give what one row per
    person would. The interval is symmetric in atanh(r). Its variance there is that
    of the influence of each person on r, divided by n - 3 and (1 - r^2)^2, and at
    least 1 / (n - 3), which it is for independent numbers: right for any joint
    distribution and any ties, where Fisher's and Fieller's variances cover 87 % for
    a relation that is not monotone. A perfect correlation is taken for one pair of
    neighbours away from perfect. With fewer than 4 people nothing is known.

    Examples
    --------
    >>> found = rank_correlation([1, 1, 2, 3, 5], [9.0, 12.0, 8.0, 30.0, 25.0])
    >>> round(found.value, 4), round(found.low, 2), round(found.high, 2)
    (0.5643, -0.63, 0.97)
    """
    rows = distinct_rows([a, b], counts=counts)
    return _correlated(*rows.columns, people=rows.counts, confidence=confidence)


def _correlated(
    a: FloatArray, b: FloatArray, *, people: FloatArray, confidence: float
) -> Correlation:
    """Return the rank correlation of two columns; see `rank_correlation`."""
    n = float(people.sum())
    first, second = _ranked(a, people=people), _ranked(b, people=people)
    if first.share.size < 2 or second.share.size < 2:
        return Correlation(math.nan, -1.0, 1.0)
    r, influence = _spearman(first, second, people=people)
    if n < _FEWEST:
        return Correlation(r, -1.0, 1.0)
    nearest = 1 - 12 / (n**3 - n)  # r of the order that is one swap from perfect
    z = math.atanh(min(max(r, -nearest), nearest))
    of_r = dot(people, influence * influence) / n
    of_z = max(of_r * math.cosh(z) ** 4, 1.0)  # 1 - r^2 = 1 / cosh(z)^2
    reach = normal_quantile(confidence) * math.sqrt(of_z / (n - 3))
    return Correlation(r, min(math.tanh(z - reach), r), max(math.tanh(z + reach), r))


def check_independence(
    params: GammaGamma,
    *,
    x: npt.ArrayLike,
    total: npt.ArrayLike,
    counts: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> Independence:
    """Say whether spend is independent of frequency, and what it costs if not.

    Parameters
    ----------
    params : GammaGamma
        Parameters fitted to these customers.
    x : array_like of int, shape (n,)
        Purchases, above 0.
    total : array_like of float, shape (n,)
        Their summed value, above 0. Where covariates multiply v by a factor for each
        customer, this is the value divided by that factor.
    counts : array_like of float, shape (n,), optional
        People per row; one each by default.
    confidence : float, optional
        Confidence level of the intervals.

    Returns
    -------
    Independence

    Raises
    ------
    ValueError
        When arrays differ in length or are empty, or a value is not finite or not
        above 0.

    Notes
    -----
    Under the model the place u = F(s; x) of a customer's total among customers with
    as many purchases (`value_cdf`) is uniform whatever x, so its rank correlation r
    with x is 0 if and only if frequency tells nothing about the order of spend.
    The verdict is read from r and its interval:

    ``"unknown"``
        The interval holds 0 and reaches beyond 0.2 to a side: too few customers.
    ``"independent"``
        The interval holds 0 and ends within 0.2; or it does not hold 0, but r is
        below 0.1 in size.
    ``"moderate"``
        The interval does not hold 0, and r is from 0.1 to below 0.3 in size.
    ``"strong"``
        The interval does not hold 0, and r is 0.3 or more in size.

    Where the model does not fit how single purchases vary, r is not quite 0 either:
    0.05 for lognormal purchases with a standard deviation of logs of 1, 0.09 with
    1.5.

    Of more than 100,000 distinct rows, 100,000 people in steady steps are placed so:
    the standard error of r is then 0.003.

    The limits are by cost. On data like CDNOW with nu proportional to x^-g, g = 0.1,
    0.2, 0.3 and 0.5 give r = 0.10, 0.20, 0.30 and 0.46. What the model expects of
    customers with one repeat purchase is then 3, 7, 12 and 23 % too much, and the
    mean over all, which it expects of those without one, lies 8, 17, 28 and 57 %
    above the mean spend of those with one. Frequent customers are 1 to 4 % too
    low: their own spend outweighs the mean. Below 0.1 that is less than the standard
    error of most fits; from 0.3 the model should not value customers with few
    purchases, and spend should be fitted by groups of customers, or with covariates.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x = rng.integers(1, 9, 2000)
    >>> total = rng.gamma(6 * x) / rng.gamma(4, 1 / 15, 2000)
    >>> check_independence(GammaGamma(6, 4, 15), x=x, total=total).verdict
    'independent'
    >>> dear = total * x**0.5
    >>> check_independence(GammaGamma(5, 4, 40), x=x, total=dear).verdict
    'strong'
    """
    rows = _checked(x, total, counts=counts)
    purchases, value = rows.columns
    some = _thinned(rows)
    place = value_cdf(params, some.columns[1], n=some.columns[0], x=0, total=0.0)
    beyond = _correlated(
        some.columns[0], place, people=some.counts, confidence=confidence
    )
    return Independence(
        raw=_compared(
            purchases, value / purchases, people=rows.counts, confidence=confidence
        ),
        beyond_model=beyond,
        model_mean=float(expected_spend(params, x=0, total=0.0)),
        groups=_by_frequency(params, rows),
        verdict=_verdict(beyond),
    )


def _thinned(rows: Rows) -> Rows:
    """Return every k-th person, in the order of the rows, if there are very many."""
    if rows.n_distinct <= _MOST:
        return rows
    passed = np.cumsum(rows.counts)
    places = (np.arange(_MOST) + 0.5) * (passed[-1] / _MOST)
    picked, n = np.unique(np.searchsorted(passed, places), return_counts=True)
    return Rows(tuple(c[picked] for c in rows.columns), n.astype(np.float64))


def _verdict(found: Correlation) -> Verdict:
    """Read the code from a correlation and its interval."""
    if found.low <= 0 <= found.high:
        reach = max(-found.low, found.high)
        return "unknown" if reach > _UNKNOWN else "independent"
    if abs(found.value) < MODERATE:
        return "independent"
    return "moderate" if abs(found.value) < STRONG else "strong"


def _checked(
    x: npt.ArrayLike, money: npt.ArrayLike, *, counts: npt.ArrayLike | None
) -> Rows:
    """Return the distinct rows, or refuse numbers that are not above 0."""
    rows = distinct_rows([x, money], counts=counts)
    if not rows.n_distinct:
        raise ValueError("there are no customers to compare")
    if not all((column > 0).all() for column in rows.columns):
        raise ValueError("purchases and money must be above 0")
    return rows


def _pearson(a: FloatArray, b: FloatArray, *, people: FloatArray) -> float:
    """Return the correlation of two numbers over people; NaN if one is constant."""
    n = people.sum()
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    a, b = a - dot(people, a) / n, b - dot(people, b) / n
    wide, high = dot(people, a * a), dot(people, b * b)
    return dot(people, a * b) / math.sqrt(wide) / math.sqrt(high)


def _ranked(column: FloatArray, *, people: FloatArray) -> _Ranked:
    """Rank people by a number; ties share the middle of their places."""
    values, number = np.unique(column, return_inverse=True)
    n = np.bincount(number, weights=people, minlength=values.size)
    total = n.sum()
    return _Ranked(number, (np.cumsum(n) - n / 2) / total - 0.5, n / total)


def _spearman(
    first: _Ranked, second: _Ranked, *, people: FloatArray
) -> tuple[float, FloatArray]:
    """Return Spearman's coefficient and the influence of a person of each row on it.

    It is cov / sqrt(var var) of the places. A person adds to the mean of the product
    of places by its own, and by moving those behind it: E[1(behind) place].
    """
    a, b = first.place[first.number], second.place[second.number]
    weight = people / people.sum()
    covariance = dot(weight, a * b)
    moved = (
        a * b
        + _behind(first, weight * b)
        + _behind(second, weight * a)
        - 3 * covariance
    )
    ratios, scale = np.zeros(a.size), 1.0
    for ranked in (first, second):
        cubes = float((ranked.share**3).sum())
        variance = (1 - cubes) / 12
        ratios += (cubes - ranked.share[ranked.number] ** 2) / (4 * variance)
        scale *= math.sqrt(variance)
    r = covariance / scale
    return min(max(r, -1.0), 1.0), moved / scale - r / 2 * ratios


def _behind(ranked: _Ranked, weight: FloatArray) -> FloatArray:
    """Add up weights of those ranked behind each row, and half of its ties."""
    of_value = np.bincount(ranked.number, weights=weight, minlength=ranked.share.size)
    after = of_value.sum() - np.cumsum(of_value) + of_value / 2
    return np.asarray(after[ranked.number])


class _Groups(NamedTuple):
    """Groups of neighbouring numbers of purchases, and the group of each row."""

    number: IntArray
    x_low: IntArray
    x_high: IntArray
    n_people: FloatArray


def _grouped(x: FloatArray, *, people: FloatArray) -> _Groups:
    """Join neighbouring x until each group has 5 % of the people."""
    values, value_no = np.unique(x, return_inverse=True)
    n = np.bincount(value_no, weights=people, minlength=values.size)
    enough = _GROUP * n.sum()
    starts, gathered = [0], 0.0
    for i, here in enumerate(n.tolist()):
        if gathered >= enough:
            starts.append(i)
            gathered = 0.0
        gathered += here
    if gathered < enough and len(starts) > 1:
        starts.pop()  # what is left over joins the last group
    first = np.array(starts)
    last = np.append(first[1:], values.size) - 1
    of_value = np.searchsorted(first, np.arange(values.size), side="right") - 1
    return _Groups(
        of_value[value_no],
        values[first].astype(np.int64),
        values[last].astype(np.int64),
        np.add.reduceat(n, first),
    )


def _group_means(
    value: FloatArray, *, people: FloatArray, group: _Groups
) -> FloatArray:
    """Return the mean over people of each group."""
    sums = np.bincount(group.number, weights=people * value)
    return np.asarray(sums / group.n_people)


def _eta_squared(value: FloatArray, *, people: FloatArray, group: _Groups) -> float:
    """Return the share of the variance that lies between groups; NaN without any."""
    if np.ptp(value) == 0:
        return math.nan
    means = _group_means(value, people=people, group=group)
    center = dot(people, value) / people.sum()
    between = dot(group.n_people, (means - center) ** 2)
    return between / dot(people, (value - center) ** 2)


def _by_frequency(params: GammaGamma, rows: Rows) -> SpendByFrequency:
    """Lay out mean spend and expectation by number of purchases."""
    x, total = rows.columns
    group = _grouped(x, people=rows.counts)
    spend = total / x
    expected = _group_means(
        expected_spend(params, x=x, total=total), people=rows.counts, group=group
    )
    mean = _group_means(spend, people=rows.counts, group=group)
    squares = _group_means(
        (spend - mean[group.number]) ** 2, people=rows.counts, group=group
    )
    others = group.n_people - 1
    error = np.sqrt(squares / np.where(others > 0, others, np.nan))
    return SpendByFrequency(
        group.x_low, group.x_high, group.n_people, mean, error, expected,
        expected / mean - 1,
    )  # fmt: skip
