"""How many buyers one buyer has led to after some days, and in the end.

A cascade is a buyer nobody brought (the seed) and all who follow from them, self
included. By the age of a days a buyer has brought Poisson many others with mean
theta M(a): M is the same for all, and theta is the buyer's own tendency, Gamma(k, k)
distributed with mean 1, drawn anew for everybody. The smaller k, the more of all
cascades are small and the larger the largest (see `selfloop.kernels.keenness`).
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from selfloop.kernels.rising import log_pmf
from selfloop.kernels.rows import FloatArray

_LAST_STEP = 1e-15  # of a search in [0, 1]: below is rounding


class SeedCounts(NamedTuple):
    """Expected numbers of seeds by the size of their cascade.

    Parameters
    ----------
    expected : ndarray of float64, shape (n_bins,)
        Expected number of seeds.
    std : ndarray of float64, shape (n_bins,)
        How far from it chance alone moves the number: a standard deviation.
    """

    expected: FloatArray
    std: FloatArray


def cascade_sizes(
    increments: npt.ArrayLike, *, k: float, n_days: int, n_max: int
) -> FloatArray:
    """Return how likely each size of a cascade is, by the days it has run.

    Parameters
    ----------
    increments : array_like of float, shape (n_ages,)
        New buyers per buyer at age 0, 1, 2, ... days, 0 or more; none later.
    k : float
        How alike buyers are in bringing others, above 0; ``inf`` when they are alike.
    n_days : int
        Most days since the seed's first order, 0 or more.
    n_max : int
        Largest size asked for, 1 or more.

    Returns
    -------
    ndarray of float64, shape (n_days + 1, n_max + 1)
        P(Z(t) = n) in row t and column n; column 0 is 0, since the seed counts. What a
        row lacks to 1 is the probability of more than `n_max`. Exact but for rounding:
        nothing is cut off, and no two terms cancel.

    Raises
    ------
    ValueError
        When an increment is negative or not finite, or a number is out of range.

    Notes
    -----
    The seed's offspring of day a start cascades of their own that have run t - a days,
    so the generating functions F_t(s) = E s^Z(t) solve ::

        F_t(s) = s (1 + sum_{a <= t} m(a) (1 - F_{t-a}(s)) / k)^(-k)

    or s exp(-sum ...) for k = inf. The right side is s times a compound negative
    binomial, so its coefficients follow from one another as in [1]_: with
    Y_n(t) = sum_{a <= t} m(a) P(Z(t - a) = n) / (1 + M(t) / k) ::

        P(Z(t) = 1) = (1 + M(t) / k)^(-k)
        P(Z(t) = n + 1) = sum_{j=1..n} (j + (n - j) / k) Y_j(t) P(Z(t) = n + 1 - j) / n

    A size needs only smaller sizes, of all days, so people brought on the day of the
    own first order (a = 0) need no convention. All terms are positive. It takes
    n_max convolutions over the days and n_max^2 n_days / 2 products.

    When increments of age 0 sum to 1 or more, a cascade may have no end within a day;
    a row then never sums to 1.

    References
    ----------
    .. [1] H. H. Panjer, "Recursive evaluation of a family of compound distributions",
       ASTIN Bulletin 12 (1981).

    Examples
    --------
    Half a buyer per buyer, at the age of one day. On day 0 the seed is alone; on day 1
    they have brought Poisson(1/2) others, who have brought nobody yet.

    >>> cascade_sizes([0, 0.5], k=np.inf, n_days=1, n_max=3).round(4).tolist()
    [[0.0, 1.0, 0.0, 0.0], [0.0, 0.6065, 0.3033, 0.0758]]
    """
    births = _checked_increments(increments, n_days)
    _check_k(k)
    _check_from(n_max, 1, "n_max")
    by_age = np.zeros(n_days + 1)
    by_age[: births.size] = births
    mean = np.cumsum(by_age)
    sizes = np.zeros((n_max + 1, n_days + 1))
    started = np.zeros((n_max, n_days + 1))
    sizes[1] = np.exp(-_minus_log_none(mean, k))
    for n in range(1, n_max):
        started[n] = np.convolve(births, sizes[n])[: n_days + 1] / (1.0 + mean / k)
        j = np.arange(1.0, n + 1)
        weight = (j + (n - j) / k) / n
        sizes[n + 1] = np.einsum(
            "j,jt,jt->t", weight, started[1 : n + 1], sizes[n:0:-1]
        )
    return sizes.T


def mean_cascade(increments: npt.ArrayLike, *, n_days: int) -> FloatArray:
    """Return the mean size of a cascade by the days it has run.

    Parameters
    ----------
    increments : array_like of float, shape (n_ages,)
        New buyers per buyer at age 0, 1, 2, ... days, 0 or more; none later.
    n_days : int
        Most days since the seed's first order, 0 or more.

    Returns
    -------
    ndarray of float64, shape (n_days + 1,)
        Buyers, the seed included, after 0, 1, ... days; ``inf`` when increments of
        age 0 sum to 1 or more, or when it is no number any more.

    Raises
    ------
    ValueError
        When an increment is negative or not finite, or `n_days` is negative.

    Notes
    -----
    The renewal equation N(t) = 1 + sum over a <= t of m(a) N(t - a). It does not ask
    how unlike buyers are. It tends to 1 / (1 - R) when R = sum m(a) is below 1.

    References
    ----------
    K. B. Athreya, P. E. Ney, Branching Processes, Springer 1972, chapter IV.

    Examples
    --------
    >>> mean_cascade([0, 0.5], n_days=3).tolist()
    [1.0, 1.5, 1.75, 1.875]
    """
    births = _checked_increments(increments, n_days)
    same_day = float(births[0])
    found = np.full(n_days + 1, np.inf)
    if same_day >= 1.0:
        return found
    # Without the zeros, since 0 times infinity is no number.
    age = np.flatnonzero(births[1:]) + 1
    later = births[age]
    with np.errstate(over="ignore"):
        for t in range(n_days + 1):
            n_old = int(np.searchsorted(age, t, side="right"))
            led = np.einsum("a,a->", later[:n_old], found[t - age[:n_old]])
            found[t] = (1.0 + led) / (1.0 - same_day)
    return found


def final_sizes(r: float, *, k: float, n_max: int) -> FloatArray:
    """Return how likely each size of a cascade is once nobody brings anybody more.

    Parameters
    ----------
    r : float
        Buyers one buyer brings in all, on average (R), 0 or more.
    k : float
        How alike buyers are in bringing others, above 0; ``inf`` when they are alike.
    n_max : int
        Largest size asked for, 1 or more.

    Returns
    -------
    ndarray of float64, shape (n_max + 1,)
        P(Z = n) in place n; place 0 is 0, since the seed counts. They sum to
        `dies_out` as n_max grows: the rest of the cascades never ends.

    Raises
    ------
    ValueError
        When a number is out of range.

    Notes
    -----
    n people brought n - 1 in all, and one in n of the orders in which they may stand
    is that of a cascade [1]_. What n people bring is negative binomial with shape k n
    and mean r n, so [2]_ ::

        P(Z = n) = G(k n + n - 1) / (G(k n) G(n + 1)) (r/k)^(n-1)
                   / (1 + r/k)^(k n + n - 1)

    and e^(-r n) (r n)^(n - 1) / n! for k = inf (Borel).

    References
    ----------
    .. [1] M. Dwass, "The total progeny in a branching process and a related random
       walk", Journal of Applied Probability 6 (1969).
    .. [2] S. Blumberg, J. O. Lloyd-Smith, "Inference of R0 and transmission
       heterogeneity from the size distribution of stuttering chains", PLoS
       Computational Biology 9(5): e1002993 (2013).

    Examples
    --------
    >>> final_sizes(0.5, k=np.inf, n_max=3).round(4).tolist()
    [0.0, 0.6065, 0.1839, 0.0837]
    """
    _check_r(r)
    _check_k(k)
    _check_from(n_max, 1, "n_max")
    n = np.arange(1.0, n_max + 1)
    found = np.zeros(n_max + 1)
    if r == 0.0:
        found[1] = 1.0
    elif math.isinf(k):
        found[1:] = np.exp((n - 1) * np.log(r * n) - r * n - gammaln(n + 1))
    else:
        brought = log_pmf(n - 1, shape=k * n, ratio=r / k)
        found[1:] = np.exp(brought - np.log(n))
    return found


def dies_out(r: float, *, k: float) -> float:
    """Return how likely a cascade comes to an end by itself.

    Parameters
    ----------
    r : float
        Buyers one buyer brings in all, on average (R), 0 or more.
    k : float
        How alike buyers are in bringing others, above 0; ``inf`` when they are alike.

    Returns
    -------
    float
        1 when R is 1 or less.

    Raises
    ------
    ValueError
        When a number is out of range.

    Notes
    -----
    The smallest q in [0, 1] with q = (1 + r (1 - q) / k)^(-k): all cascades of the
    people the seed brings must end. What is solved for is 1 - q, from 1 down, by
    Newton's method on a convex function, which cannot pass the root.

    References
    ----------
    J. O. Lloyd-Smith et al., "Superspreading and the effect of individual variation on
    disease emergence", Nature 438 (2005).

    Examples
    --------
    At R = 2 most cascades end all the same when few buyers bring most.

    >>> round(dies_out(2.0, k=np.inf), 4), round(dies_out(2.0, k=0.1), 4)
    (0.2032, 0.8904)
    """
    _check_r(r)
    _check_k(k)
    if r <= 1.0:
        return 1.0
    lives = 1.0
    while True:
        log_q = -float(_minus_log_none(np.float64(r * lives), k))
        slope = 1.0 - r * math.exp(log_q - math.log1p(r * lives / k))
        step = (lives + math.expm1(log_q)) / slope
        lives -= step
        if step <= _LAST_STEP:
            return 1.0 - max(lives, 0.0)


def expected_counts(
    followup: npt.ArrayLike, *, sizes_prob: npt.ArrayLike, bins: npt.ArrayLike
) -> SeedCounts:
    """Return how many seeds should have cascades of which size by now.

    Parameters
    ----------
    followup : array_like of int, shape (n_days + 1,)
        Seeds whose first order was 0, 1, 2, ... days ago.
    sizes_prob : array_like of float, shape (n_days + 1, n_max + 1)
        From `cascade_sizes`.
    bins : array_like of int, shape (n_bins,)
        Smallest size of each bin, rising from 1; the last bin has no upper end. The
        last of them is at most n_max + 1.

    Returns
    -------
    SeedCounts
        Sum over seeds of the probability p of the bin, and the square root of the sum
        of p (1 - p): seeds do not depend on each other.

    Raises
    ------
    ValueError
        When the shapes do not fit, a number of seeds is negative, or the bins are not
        as above.

    Examples
    --------
    100 seeds of today and 100 of yesterday; the bins are 1, 2 and more.

    >>> sizes = cascade_sizes([0, 0.5], k=np.inf, n_days=1, n_max=2)
    >>> found = expected_counts([100, 100], sizes_prob=sizes, bins=[1, 2, 3])
    >>> found.expected.round(1).tolist(), found.std.round(1).tolist()
    ([160.7, 30.3, 9.0], [4.9, 4.6, 2.9])
    """
    seeds = np.asarray(followup, dtype=np.float64)
    sizes = np.asarray(sizes_prob, dtype=np.float64)
    first = np.asarray(bins)
    if sizes.ndim != 2 or seeds.shape != sizes.shape[:1]:
        raise ValueError(
            "one number of seeds is needed for each row of sizes_prob, got shapes "
            f"{seeds.shape} and {sizes.shape}"
        )
    if not (np.isfinite(seeds) & (seeds >= 0)).all():
        raise ValueError("numbers of seeds must be finite and 0 or more")
    rising = first.ndim == 1 and first.size > 0 and (np.diff(first) > 0).all()
    whole = np.issubdtype(first.dtype, np.integer)
    if not (rising and whole) or first[0] != 1 or first[-1] > sizes.shape[1]:
        raise ValueError(
            "bins must be whole numbers rising from 1 to at most "
            f"n_max + 1 = {sizes.shape[1]}, got {first.tolist()}"
        )
    below = np.cumsum(sizes, axis=1)[:, first - 1]
    ends = np.column_stack([below, np.ones(seeds.size)])
    share = np.clip(np.diff(ends, axis=1), 0.0, 1.0)
    variance = seeds @ (share * (1.0 - share))
    return SeedCounts(seeds @ share, np.sqrt(variance))


def _minus_log_none(mean: npt.ArrayLike, k: float) -> FloatArray:
    """Return minus the log of the chance to bring nobody where `mean` are expected."""
    expected = np.asarray(mean, dtype=np.float64)
    return expected if math.isinf(k) else np.asarray(k * np.log1p(expected / k))


def _checked_increments(increments: npt.ArrayLike, n_days: int) -> FloatArray:
    """Return the increments that count within `n_days`, at least that of age 0."""
    _check_from(n_days, 0, "n_days")
    births = np.asarray(increments, dtype=np.float64)
    if births.ndim != 1 or not (np.isfinite(births) & (births >= 0.0)).all():
        raise ValueError("increments must be a row of numbers, finite and 0 or more")
    births = births[: n_days + 1]
    ages = np.flatnonzero(births)
    return births[: ages[-1] + 1] if ages.size else np.zeros(1)


def _check_k(k: float) -> None:
    """Refuse a k that is not above 0."""
    if not k > 0.0:
        raise ValueError(f"k must be above 0 (inf when all are alike), got {k!r}")


def _check_r(r: float) -> None:
    """Refuse an R that is negative, missing or infinite."""
    if not 0.0 <= r < math.inf:
        raise ValueError(f"R must be 0 or more and finite, got {r!r}")


def _check_from(number: int, least: int, name: str) -> None:
    """Refuse a whole number below the least one allowed."""
    if number < least:
        raise ValueError(f"{name} must be {least} or more, got {number!r}")
