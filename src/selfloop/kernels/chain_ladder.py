"""How far cohorts will get, from how far older ones got from the same age."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.rows import FloatArray

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_ROUNDING = 1e-12


class Development(NamedTuple):
    """How sums grow from each age to the next.

    Parameters
    ----------
    factor : ndarray of float64, shape (n_ages - 1,)
        Sum at age a + 1 over sum at age a, of the cohorts that have finished a + 1;
        NaN where there are none, or their sum at age a is not above 0.
    base : ndarray of float64, shape (n_ages - 1,)
        Their sum at age a.
    n_cohorts : ndarray of int64, shape (n_ages - 1,)
        How many they are.
    variance : ndarray of float64, shape (n_ages - 1,)
        Mack's sigma^2: variance of the next sum of a cohort over its sum now; NaN
        where it is not known.
    """

    factor: FloatArray
    base: FloatArray
    n_cohorts: IntArray
    variance: FloatArray


class ChainLadder(NamedTuple):
    """Sums of cohorts, completed, and how sure they are.

    Parameters
    ----------
    development : Development
        From age to age.
    expected : ndarray of float64, shape (n_cohorts, n_ages)
        What is known, and what is expected beyond it; NaN where nothing is.
    std_error : ndarray of float64, shape (n_cohorts, n_ages)
        Of what is expected; 0 where it is known.
    ahead : float
        Expected of all cohorts until the last age, beyond what is known.
    ahead_std_error : float
        Its standard error.
    """

    development: Development
    expected: FloatArray
    std_error: FloatArray
    ahead: float
    ahead_std_error: float


class Outlook(NamedTuple):
    """What cohorts will do, and how far it may be off.

    Parameters
    ----------
    expected : ndarray of float64, shape (n_cohorts, n_ages)
        At ages that are not finished; NaN elsewhere and where nothing is known.
    std_error : ndarray of float64, shape (n_cohorts, n_ages)
        Root of the mean square of actual less expected.
    factor_error : ndarray of float64, shape (n_ages - 1,)
        Standard error of the log of each factor.
    spread : float
        By how much the squared errors of finished cohorts are larger than customers'
        own chance explains; at least 1.
    """

    expected: FloatArray
    std_error: FloatArray
    factor_error: FloatArray
    spread: float


def develop(cumulative: npt.ArrayLike, finished: npt.ArrayLike) -> Development:
    """Estimate how sums grow from each age to the next.

    Parameters
    ----------
    cumulative : array_like of float, shape (n_cohorts, n_ages)
        Sum up to each age; what lies beyond the finished ages is not looked at.
    finished : array_like of int, shape (n_cohorts,)
        Last finished age of each cohort; -1 for none.

    Returns
    -------
    Development

    Notes
    -----
    Of an age that only one cohort has finished, sigma^2 is Mack's extrapolation: the
    least of the two before and of the square of the last over the one before it.

    Examples
    --------
    Two cohorts grew by half together; the third is not there yet.

    >>> develop([[10, 12], [20, 33], [5, 0]], [1, 1, 0]).factor
    array([1.5])
    """
    sums = np.asarray(cumulative, dtype=np.float64)
    is_next = np.arange(1, sums.shape[1]) <= np.asarray(finished)[:, None]
    before = np.where(is_next, sums[:, :-1], 0.0)
    after = np.where(is_next, sums[:, 1:], 0.0)
    base, n = before.sum(axis=0), is_next.sum(axis=0)
    factor = np.divide(
        after.sum(axis=0), base, out=np.full(base.size, np.nan), where=base > 0
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.where(is_next, (after - factor * before) ** 2 / before, 0.0)
    off = np.where(np.isfinite(off), off, 0.0).sum(axis=0)
    variance = np.divide(off, n - 1, out=np.full(base.size, np.nan), where=n > 1)
    for a in np.flatnonzero(n == 1):
        if a >= 2 and variance[a - 2] > 0:
            last, earlier = variance[a - 1], variance[a - 2]
            variance[a] = min(last**2 / earlier, last, earlier)
    return Development(factor, base, n.astype(np.int64), variance)


def chain_ladder(cumulative: npt.ArrayLike, *, finished: npt.ArrayLike) -> ChainLadder:
    """Complete the sums of cohorts by the chain ladder, with Mack's standard errors.

    Parameters
    ----------
    cumulative : array_like of float, shape (n_cohorts, n_ages)
        Sum up to each age; what lies beyond the finished ages is not looked at.
    finished : array_like of int, shape (n_cohorts,)
        Last finished age of each cohort; -1 for none.

    Returns
    -------
    ChainLadder

    Notes
    -----
    With C the sum of a cohort, f the factors, S their bases and sigma^2 the variances
    of `develop`, a sum at age n of a cohort that has finished age k is expected to be
    C(k) f(k) ... f(n - 1), and its mean square error is [1]_

        C(n)^2 sum over a from k to n - 1 of sigma(a)^2 / f(a)^2 (1 / C(a) + 1 / S(a)).

    The first part is chance in the cohort itself, the second that the factors are
    estimates, which cohorts have in common: of all of them together it is counted for
    every pair. Cohorts count as independent of one another, and each step as
    independent of those before it.

    References
    ----------
    .. [1] T. Mack, "Distribution-free calculation of the standard error of chain
       ladder reserve estimates", ASTIN Bulletin 23 (1993).

    Examples
    --------
    >>> found = chain_ladder([[10, 12, 12], [20, 33, 0], [6, 0, 0]], finished=[2, 1, 0])
    >>> found.expected[2].tolist(), found.ahead
    ([6.0, 9.0, 9.0], 3.0)
    """
    sums = np.asarray(cumulative, dtype=np.float64)
    last = np.asarray(finished, dtype=np.int64)
    found = develop(sums, last)
    known = np.arange(sums.shape[1]) <= last[:, None]
    expected = np.where(known, sums, np.nan)
    own, shared = np.zeros(sums.shape), np.zeros(sums.shape)
    for a in range(sums.shape[1] - 1):
        ahead = (last <= a) & (last >= 0)
        factor = found.factor[a]
        now, chance = expected[ahead, a], found.variance[a] / factor**2
        expected[ahead, a + 1] = now * factor
        own[ahead, a + 1] = own[ahead, a] + chance / np.where(now > 0, now, np.nan)
        shared[ahead, a + 1] = shared[ahead, a] + chance / found.base[a]
    error = np.where(known, 0.0, expected * np.sqrt(own + shared))
    end = expected[:, -1]
    mine = np.flatnonzero((last >= 0) & np.isfinite(end))
    # A pair has in common the steps of the cohort that is ahead of the other.
    pairs = np.minimum.outer(shared[mine, -1], shared[mine, -1])
    together = np.outer(end[mine], end[mine]) * pairs
    np.fill_diagonal(together, error[mine, -1] ** 2)
    start = sums[mine, np.minimum(last[mine], sums.shape[1] - 1)]
    return ChainLadder(
        development=found,
        expected=expected,
        std_error=error,
        ahead=float((end[mine] - start).sum()),
        ahead_std_error=float(np.sqrt(together.sum())),
    )


def sums_ahead(
    done: npt.ArrayLike, *, n_people: npt.ArrayLike, finished: npt.ArrayLike
) -> Outlook:
    """Project sums up to each age by the chain ladder, with customers' own chance.

    Parameters
    ----------
    done : array_like of float, shape (n_cohorts, n_groups, n_ages)
        What the people of each cohort and group did at each age; groups are drawn by
        lot, two or more.
    n_people : array_like of float, shape (n_cohorts,)
        People of each cohort, at least 1.
    finished : array_like of int, shape (n_cohorts,)
        Last finished age of each cohort; -1 for none. What lies beyond is not looked
        at.

    Returns
    -------
    Outlook

    Notes
    -----
    A cohort with the sum C(k) at its last finished age is expected at C(k) F, with F
    the product of factors up to age n. One of its customers is off by
    z = c(n) - F c(k), whose mean is 0 when cohorts are alike. Customers are
    independent, their own steps are not (who bought much goes on to), so that the
    variance of z is taken over the whole way from k to n: with z of groups in the
    cohorts J that have finished age n, each around the mean of its cohort,

        v = sum of squares * G / (G - 1) / (people of J)

    and n_c v is the variance of the cohort's own error. The factors move by
    sum over J of (c(a + 1) - f c(a)) / (f S) of each group on the log scale; these
    are added up along the way, and their squares over groups are the variance of
    log F. Both variances are multiplied by

        spread = max(1, sum of (Z_j^2 / (n_j v)) / sum of (|J| - 1))

    with Z_j the sum of z in a finished cohort j, over all k and n that two cohorts or
    more have finished: cohorts of a changing shop differ by more than chance.

    Examples
    --------
    >>> done = [[[5, 1], [5, 1]], [[10, 7], [10, 6]], [[3, 0], [3, 0]]]
    >>> found = sums_ahead(done, n_people=[10, 20, 6], finished=[1, 1, 0])
    >>> found.expected[2].tolist()
    [nan, 9.0]
    """
    cells = np.asarray(done, dtype=np.float64)
    return _ahead(cells, cells.cumsum(axis=2), n_people, finished)


def steps_ahead(
    done: npt.ArrayLike, *, n_people: npt.ArrayLike, finished: npt.ArrayLike
) -> Outlook:
    """Project what cohorts do at single ages by the chain ladder of their sums.

    Parameters
    ----------
    done, n_people, finished : array_like
        As for `sums_ahead`.

    Returns
    -------
    Outlook

    Notes
    -----
    Age n is expected to add C(k) (F(n) - F(n - 1)); customers are off by
    x(n) - (F(n) - F(n - 1)) c(k), with x what they do at that age, and all else is as
    in `sums_ahead`. If x is 1 for everybody at age 0 and at most 1 later, this draws
    the level of a cohort towards the mean, the more the less it has lived: of a
    customer active m times in k later ages it expects in proportion to 1 + m, as a
    gamma mixture of Poisson rates with shape 1 does.

    Examples
    --------
    >>> done = [[[5, 1], [5, 1]], [[10, 7], [10, 6]], [[3, 0], [3, 0]]]
    >>> found = steps_ahead(done, n_people=[10, 20, 6], finished=[1, 1, 0])
    >>> found.expected[2].tolist()
    [nan, 3.0]
    """
    cells = np.asarray(done, dtype=np.float64)
    return _ahead(cells, cells, n_people, finished)


def _ahead(
    cells: FloatArray,
    wanted: FloatArray,
    n_people: npt.ArrayLike,
    finished: npt.ArrayLike,
) -> Outlook:
    """Project sums, or steps when these are wanted."""
    people = np.asarray(n_people, dtype=np.float64)
    last = np.asarray(finished, dtype=np.int64)
    sums = cells.cumsum(axis=2)
    whole = sums.sum(axis=1)
    n_ages = whole.shape[1]
    found = develop(whole, last)
    moved = _moved(sums, found, last)
    is_there = np.arange(n_ages) <= last[:, None]
    made = np.where(is_there[:, None], wanted, 0.0)
    growth, drift = _growth(found.factor, moved, is_sum=wanted is not cells)
    own = _square(_centred(made), _centred(sums), growth, is_there)
    own /= np.maximum(people @ is_there, 1.0)
    root = np.sqrt(people)[:, None, None]
    whole_made = made.sum(axis=1, keepdims=True)
    between = _square(whole_made / root, whole[:, None] / root, growth, is_there)
    expected = np.full(whole.shape, np.nan)
    variance = expected.copy()
    for k in np.unique(last[(last >= 0) & (last < n_ages - 1)]).tolist():
        mine, ages = last == k, slice(k + 1, None)
        start = whole[mine, k][:, None]
        expected[mine, ages] = start * growth[k, ages]
        chance = people[mine][:, None] * own[k, ages]
        variance[mine, ages] = chance + start**2 * drift[k, ages]
    spread = _spread(between, own, is_there, last)
    return Outlook(
        expected=expected,
        std_error=np.sqrt(spread * variance),
        factor_error=np.sqrt(spread * (_centred(moved[None]) ** 2).sum(axis=(0, 1))),
        spread=spread,
    )


def _growth(
    factor: FloatArray, moved: FloatArray, *, is_sum: bool
) -> tuple[FloatArray, FloatArray]:
    """Return what a sum at age k makes by or at age n, and the variance of that."""
    growth, drift = np.full((2, factor.size + 1, factor.size + 1), np.nan)
    for k in range(factor.size):
        path = np.cumprod(np.insert(factor[k:], 0, 1.0))
        way = np.insert(moved[:, k:], 0, 0.0, axis=1).cumsum(axis=1)
        swing = np.asarray(path * way)
        if not is_sum:
            path, swing = np.diff(path, prepend=0.0), np.diff(swing, prepend=0.0)
        growth[k, k:] = path
        drift[k, k:] = (_centred(swing[None]) ** 2).sum(axis=(0, 1))
    return growth, drift


def _square(
    made: FloatArray, sums: FloatArray, growth: FloatArray, is_there: BoolArray
) -> FloatArray:
    """Sum squares of made(n) - growth(k, n) sums(k) over cohorts that have finished n.

    Multiplied out: of all pairs of ages at once that is one product of matrices.
    """
    straight = (made**2).sum(axis=(0, 1))
    crossed = np.tensordot(sums, made, axes=((0, 1), (0, 1)))
    before = (sums**2).sum(axis=1).T @ is_there
    found = straight - 2 * growth * crossed + growth**2 * before
    # What rounding leaves of nothing is nothing.
    return np.asarray(np.where(found > _ROUNDING * straight, found, 0.0 * found))


def _spread(
    between: FloatArray, own: FloatArray, is_there: BoolArray, last: IntArray
) -> float:
    """Return by how much finished cohorts are further off than customers' chance."""
    n_there = is_there.sum(axis=0)
    k, n = np.indices(own.shape)
    told = (k < n) & np.isin(k, last) & (n_there > 1) & (own > 0)
    degrees = np.where(told, n_there - 1, 0).sum()
    if not degrees:
        return 1.0
    return max(1.0, float((between[told] / own[told]).sum() / degrees))


def _moved(sums: FloatArray, found: Development, last: IntArray) -> FloatArray:
    """Return by how much each group moves the log of each factor."""
    is_next = np.arange(1, sums.shape[2]) <= last[:, None]
    off = sums[:, :, 1:] - found.factor * sums[:, :, :-1]
    off = np.where(is_next[:, None], off, 0.0).sum(axis=0)
    whole = found.factor * found.base
    moved = np.full(off.shape, np.nan)
    np.divide(off, whole, out=moved, where=np.isfinite(whole) & (whole != 0))
    return moved


def _centred(parts: FloatArray) -> FloatArray:
    """Return groups around their mean; squares then sum to the variance of a sum."""
    n = parts.shape[1]
    around = parts - parts.mean(axis=1, keepdims=True)
    return np.asarray(around * np.sqrt(n / (n - 1)))
