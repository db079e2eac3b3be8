"""How unevenly something is spread over people: Lorenz curve, Gini, top shares."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from selfloop.kernels.intervals import normal_quantile, wilson

FloatArray = npt.NDArray[np.float64]


class Lorenz(NamedTuple):
    """The corners of a Lorenz curve, straight in between.

    Parameters
    ----------
    share_people : ndarray of float64
        Share of the people, those with least first, from 0 to 1.
    share_of_total : ndarray of float64
        What they have together, as a share of the total, from 0 to 1.
    """

    share_people: FloatArray
    share_of_total: FloatArray


class Estimate(NamedTuple):
    """A number in [0, 1] with what is known of it.

    Parameters
    ----------
    value : float
        The estimate.
    std_error : float
        Its standard error.
    low, high : float
        Ends of its confidence interval; NaN where the data cannot say.
    """

    value: float
    std_error: float
    low: float
    high: float


def lorenz(value: npt.ArrayLike, count: npt.ArrayLike) -> Lorenz:
    """Return which share of the total the people with least have together.

    Parameters
    ----------
    value : array_like of float, shape (n,)
        What each person of a row has: finite, at least 0, not 0 for everybody.
    count : array_like of int, shape (n,)
        People of each row, at least 1.

    Returns
    -------
    Lorenz
        One corner per distinct value, after (0, 0). Between corners everybody has
        the same, so the straight line splits ties fractionally, in no order.

    Raises
    ------
    ValueError
        When a value or a count is not as above.

    Examples
    --------
    >>> curve = lorenz([0, 1, 3], [2, 1, 1])
    >>> curve.share_people.tolist(), curve.share_of_total.tolist()
    ([0.0, 0.5, 0.75, 1.0], [0.0, 0.0, 0.25, 1.0])
    """
    values, people = _distinct(value, count)
    return _corners(values, people)


def gini(
    value: npt.ArrayLike, count: npt.ArrayLike, *, confidence: float = 0.95
) -> Estimate:
    """Return the Gini coefficient: 0 when all have the same, near 1 when one has all.

    Parameters
    ----------
    value : array_like of float, shape (n,)
        What each person of a row has: finite, at least 0, not 0 for everybody.
    count : array_like of int, shape (n,)
        People of each row, at least 1 and at least 2 in all.
    confidence : float, optional
        Confidence level, above 0 and below 1.

    Returns
    -------
    Estimate
        Twice the area between diagonal and Lorenz curve, at most (n - 1) / n. When
        all have the same, nothing tells how well that is known: the ends are NaN.

    Raises
    ------
    ValueError
        When a value or a count is not as above.
    SettingError
        When the level is not between 0 and 1.

    Notes
    -----
    With mean m, G = E|X - Y| / (2 m) for two people drawn with replacement. The
    influence of one person with x is ::

        z(x) = E|x - Y| / m - G (1 + x / m),   std_error^2 = sum z^2 / (n (n - 1))

    exact with ties [1]_. The interval is symmetric for ln(G / (1 - G)), so it stays
    inside (0, 1). Of 95 % intervals, 94 to 96 % covered the truth for counts of
    which many are 0 from 200 people on, and 94 to 95 % for counts from 1; below 200
    people the latter covered 84 to 94 %. Tails so heavy that the variance is
    infinite break it: for a Pareto tail of 1.5 (G = 1/2) 72 % covered with 1,000
    people and 78 % with 5,000, the estimate being too low.

    References
    ----------
    .. [1] M. Langel, Y. Tille, "Variance estimation of the Gini index: revisiting a
       result several times published", Journal of the Royal Statistical Society A
       176 (2013); F. Cowell, E. Flachaire, "Income distribution and inequality
       measurement: the problem of extreme values", Journal of Econometrics 141
       (2007), for the tails.

    Examples
    --------
    >>> round(gini([0, 1], [90, 10]).value, 6)
    0.9
    """
    z = normal_quantile(confidence)
    values, people = _distinct(value, count)
    curve = _corners(values, people)
    below, total = curve.share_people[1:], curve.share_of_total[1:]
    areas = np.diff(curve.share_people) * (total + curve.share_of_total[:-1])
    if values.size == 1:
        return Estimate(0.0, 0.0, np.nan, np.nan)
    found = float(1.0 - areas.sum())
    # E|x - Y| / m: the people below x, and those above it, at their distances.
    scaled = values / np.average(values, weights=people)
    distance = scaled * (2.0 * below - 1.0) + 1.0 - 2.0 * total
    error = _std_error(distance - found * (1.0 + scaled), people)
    return Estimate(found, error, *_on_logit_scale(found, error, z))


def top_share(
    value: npt.ArrayLike,
    count: npt.ArrayLike,
    *,
    share: float,
    confidence: float = 0.95,
) -> Estimate:
    """Return which share of the total the people with most have together.

    Parameters
    ----------
    value : array_like of float, shape (n,)
        What each person of a row has: finite, at least 0, not 0 for everybody.
    count : array_like of int, shape (n,)
        People of each row, at least 1 and at least 2 in all.
    share : float
        Size of the top, above 0 and below 1; 0.1 is the top tenth.
    confidence : float, optional
        Confidence level, above 0 and below 1.

    Returns
    -------
    Estimate
        1 - L(1 - share), with L the Lorenz curve: people at the border count in
        part. It is never below `share`. When all have the same, the ends are NaN.

    Raises
    ------
    ValueError
        When a value or a count is not as above, or the share is not in (0, 1).
    SettingError
        When the level is not between 0 and 1.

    Notes
    -----
    With mean m, q the least that somebody at the top has, and T the top share, the
    influence of one person with x is ::

        z(x) = -[min(x, q) - E min(X, q) - (1 - T)(x - m)] / m

    which is Beach and Davidson's variance of a Lorenz ordinate [1]_. The interval is
    symmetric for ln(T / (1 - T)). A share s of people who have anything that is not
    larger than the top makes T exactly 1, and z is 0; the Wilson interval of s then
    says how far T may be from 1: the upper end is 1 when s may be that small, and
    the lower end of T = 1 is the T of the same people with as few zeros as s allows.

    Of 95 % intervals, 93 to 96 % covered the truth with 30 people at the top; with
    10 people 88 to 94 %, and with 2 as few as 61 %. Infinite variance breaks it: for
    a Pareto tail of 1.5, 74 % covered for the top tenth of 1,000 people.

    References
    ----------
    .. [1] C. Beach, R. Davidson, "Distribution-free statistical inference with Lorenz
       curves and income shares", Review of Economic Studies 50 (1983); F. Cowell,
       M.-P. Victoria-Feser, "Distribution-free inference for welfare indices under
       complete and incomplete information", Journal of Economic Inequality 1 (2003),
       for the influence function.

    Examples
    --------
    >>> round(top_share([0, 1, 3], [2, 1, 1], share=0.25).value, 6)
    0.75
    """
    z = normal_quantile(confidence)
    if not 0.0 < share < 1.0:
        raise ValueError(f"the share must lie between 0 and 1, got {share!r}")
    values, people = _distinct(value, count)
    if values.size == 1:
        return Estimate(share, 0.0, np.nan, np.nan)
    curve = _corners(values, people)
    found = _top(curve, share)
    border = np.searchsorted(curve.share_people[1:-1], 1.0 - share)
    kept = np.minimum(values, values[border])
    mean = np.average(values, weights=people)
    gap = kept - np.average(kept, weights=people) - (1.0 - found) * (values - mean)
    error = _std_error(-gap / mean, people)
    n_with = people[values > 0].sum()
    ends = wilson(n_with, people.sum(), confidence=confidence)
    least, most = float(ends[0]), float(ends[1])
    if found == 1.0:
        low = 1.0 if most <= share else _top_of_having(values, people, share / most)
        return Estimate(found, error, low, 1.0)
    low, high = _on_logit_scale(found, error, z)
    return Estimate(found, error, max(low, share), 1.0 if least <= share else high)


def _distinct(
    value: npt.ArrayLike, count: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Check values and counts; return distinct values up to 1 in order, with people."""
    values = np.asarray(value, dtype=np.float64)
    people = np.asarray(count, dtype=np.float64)
    if values.ndim != 1 or values.shape != people.shape:
        raise ValueError(
            f"one count is needed for each value, got shapes {values.shape} and "
            f"{people.shape}"
        )
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError("values must be finite and at least 0")
    if not (np.isfinite(people) & (people >= 1)).all():
        raise ValueError("counts must be finite and at least 1")
    if not values.any():
        raise ValueError("nobody has anything: there is no share of nothing")
    distinct, place = np.unique(values, return_inverse=True)
    # No measure has a unit; relative to the largest, no product overflows.
    counts = np.bincount(place, weights=people).astype(np.float64)
    return distinct / distinct[-1], counts


def _corners(values: FloatArray, people: FloatArray) -> Lorenz:
    """Return the Lorenz curve of ascending distinct values."""
    sums = [np.cumsum(people), np.cumsum(values * people)]
    shares = [np.concatenate([[0.0], s / s[-1]]) for s in sums]
    return Lorenz(shares[0], shares[1])


def _top(curve: Lorenz, share: float) -> float:
    """Return the share of the total at the top of a Lorenz curve."""
    return 1.0 - float(np.interp(1.0 - share, *curve))


def _top_of_having(values: FloatArray, people: FloatArray, share: float) -> float:
    """Return the share of the total at the top of those who have anything."""
    having = values > 0
    return _top(_corners(values[having], people[having]), share)


def _std_error(influence: FloatArray, people: FloatArray) -> float:
    """Return the standard error of a mean of influences."""
    n = people.sum()
    if n < 2:
        raise ValueError("a standard error needs at least 2 people")
    spread = influence - np.average(influence, weights=people)
    return float(np.sqrt(people @ spread**2 / n / (n - 1.0)))


def _on_logit_scale(share: float, error: float, z: float) -> tuple[float, float]:
    """Return the ends of an interval that is symmetric for the logit of a share."""
    half = z * error / (share * (1.0 - share))
    return float(expit(logit(share) - half)), float(expit(logit(share) + half))
