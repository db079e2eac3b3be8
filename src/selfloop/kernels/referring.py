"""How many people a customer is going to bring, given how many they have brought.

Successful referrals of customer i by age a are Poisson with mean theta_i M(a): M is the
mean number by that age, the same for all, and theta_i is the customer's own tendency,
Gamma(k, k) distributed with mean 1. Who has brought many for their age is likely to
bring more; who has brought none may only be young.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from selfloop.core.errors import FitError
from selfloop.kernels.fitting import Fit, Objective, maximise
from selfloop.kernels.rising import log_pmf, rising_slope
from selfloop.kernels.rows import FloatArray, Rows, distinct_rows, dot

_MAX_COUNT = 1_000_000  # of people brought by one customer, in a search for a quantile


class Growth(NamedTuple):
    """A smooth mean number of referrals by age: total (1 - exp(-(a / scale)^shape)).

    Parameters
    ----------
    total : float
        Referrals of a customer in the long run.
    shape : float
        1 for a constant readiness that fades, above 1 when it comes later.
    scale : float
        Age in days by which 63 % of them have been made.
    """

    total: float
    shape: float
    scale: float


def objective(rows: Rows) -> Objective:
    """Return the log-likelihood of how alike customers are.

    Parameters
    ----------
    rows : Rows
        Columns y (people brought) and m (mean number by that age), and customers.

    Returns
    -------
    callable
        Takes k, gives the log-likelihood of all customers and its derivative.

    Notes
    -----
    Negative binomial with mean m and shape k::

        ln L = ln G(k + y) - ln G(k) - ln y! + k ln(k / (k + m)) + y ln(m / (k + m))

    Examples
    --------
    >>> rows = distinct_rows([[0, 1, 3], [0.5, 0.5, 0.5]])
    >>> value, gradient = objective(rows)(np.array([1.0]))
    >>> round(value, 4), gradient.shape
    (-5.6108, (1,))
    """
    y, mean = rows.columns

    def of_k(values: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivative."""
        k = float(values[0])
        each = log_pmf(y, shape=k, ratio=mean / k)
        slope = rising_slope(np.full(y.shape, k), y) - np.log1p(mean / k)
        slope += (mean - y) / (k + mean)
        return dot(each, rows.counts), np.array([dot(slope, rows.counts)])

    return of_k


def fit_spread(
    y: npt.ArrayLike, *, mean: npt.ArrayLike, counts: npt.ArrayLike | None = None
) -> Fit:
    """Estimate how alike customers are in bringing others.

    Parameters
    ----------
    y : array_like of int, shape (n,)
        People brought who bought, at least 0.
    mean : array_like of float, shape (n,)
        Mean number by the age of each customer, at least 0; where it is 0 nobody of
        that age has brought anybody, and the customer says nothing.
    counts : array_like of float, shape (n,), optional
        Customers per row; one each by default.

    Returns
    -------
    Fit
        Parameter k. The less it is, the more few customers bring most; large and
        flagged in `Fit.at_bound` when customers do not differ.

    Raises
    ------
    FitError
        When nobody brought anybody, or somebody did at an age at which nobody does.

    Examples
    --------
    >>> fit = fit_spread([0, 0, 0, 0, 0, 0, 1, 5], mean=[0.75] * 8)
    >>> 0.05 < fit.params["k"] < 1
    True
    """
    rows = distinct_rows([y, mean], counts=counts)
    x, m = rows.columns
    if ((m <= 0) & (x > 0)).any():
        raise FitError("people were brought at an age at which nobody brings any")
    if not (x > 0).any():
        raise FitError("nobody has brought anybody who bought: nothing says who will")
    kept = m > 0
    rows = Rows((x[kept], m[kept]), rows.counts[kept])
    return maximise(objective, rows, names=["k"], starts=[[1.0], [0.1], [10.0]])


def expected_more(
    k: float, *, y: npt.ArrayLike, mean: npt.ArrayLike, mean_later: npt.ArrayLike
) -> FloatArray:
    """Say how many people more a customer is expected to bring.

    Parameters
    ----------
    k : float
        How alike customers are, above 0.
    y : array_like of int
        People brought so far.
    mean, mean_later : array_like of float
        Mean number by the age now, and by the age then.

    Returns
    -------
    ndarray of float64

    Notes
    -----
    (k + y) / (k + M(a)) * (M(a + h) - M(a)): the Gamma distribution of theta after y
    referrals by age a has mean (k + y) / (k + M(a)).

    Examples
    --------
    >>> expected_more(0.5, y=[0, 3], mean=0.5, mean_later=0.7).round(3).tolist()
    [0.1, 0.7]
    """
    now = np.asarray(mean, dtype=np.float64)
    tendency = (k + np.asarray(y, dtype=np.float64)) / (k + now)
    return np.asarray(tendency * (np.asarray(mean_later, dtype=np.float64) - now))


def variance_of_more(
    k: float, *, y: npt.ArrayLike, mean: npt.ArrayLike, mean_later: npt.ArrayLike
) -> FloatArray:
    """Say how far from the expected number what happens may be.

    Parameters
    ----------
    k, y, mean, mean_later
        As in `expected_more`.

    Returns
    -------
    ndarray of float64
        E + E^2 / (k + y): chance, and what is not known of the customer.

    Examples
    --------
    >>> variance_of_more(0.5, y=[0, 3], mean=0.5, mean_later=0.7).round(3).tolist()
    [0.12, 0.84]
    """
    more = expected_more(k, y=y, mean=mean, mean_later=mean_later)
    return np.asarray(more + more**2 / (k + np.asarray(y, dtype=np.float64)))


def quantile_of_more(
    k: float,
    level: float,
    *,
    y: npt.ArrayLike,
    mean: npt.ArrayLike,
    mean_later: npt.ArrayLike,
) -> FloatArray:
    """Return the least number more that is reached with some probability.

    Parameters
    ----------
    k, y, mean, mean_later
        As in `expected_more`.
    level : float
        Probability, above 0 and below 1.

    Returns
    -------
    ndarray of float64
        Whole numbers: the least n such that at most n are brought with at least this
        probability.

    Notes
    -----
    Negative binomial with shape k + y and success (k + M(a)) / (k + M(a + h)); its
    distribution function is an incomplete beta function. The search halves a range
    that first grows until it holds the quantile.

    Examples
    --------
    >>> quantile_of_more(0.5, 0.975, y=[0, 3], mean=0.5, mean_later=0.7).tolist()
    [1.0, 3.0]
    """
    shape, now, then = np.broadcast_arrays(
        k + np.asarray(y, dtype=np.float64),
        np.asarray(mean, dtype=np.float64),
        np.asarray(mean_later, dtype=np.float64),
    )
    success = (k + now) / (k + then)

    def reaches(n: FloatArray) -> npt.NDArray[np.bool_]:
        """Say whether at most n has at least the probability."""
        return np.asarray(betainc(shape, n + 1, success) >= level)

    high = np.zeros(shape.shape)
    while not (enough := reaches(high)).all() and high.max(initial=0) < _MAX_COUNT:
        high = np.where(enough, high, 2 * high + 1)
    low = np.where(high > 0, (high - 1) / 2 + 1, 0.0)
    while (low < high).any():
        middle = np.floor((low + high) / 2)
        enough = reaches(middle)
        high = np.where(enough, middle, high)
        low = np.where(enough, low, middle + 1)
    return high


def fit_growth(n_events: npt.ArrayLike, *, n_at_risk: npt.ArrayLike) -> Fit:
    """Estimate a smooth mean number of referrals by age, to look beyond the oldest.

    Parameters
    ----------
    n_events : array_like of int, shape (n_ages,)
        Referrals made at age 0, 1, 2, ... days.
    n_at_risk : array_like of int, shape (n_ages,)
        Customers observed at that age.

    Returns
    -------
    Fit
        Parameters of `Growth`.

    Raises
    ------
    FitError
        When there are no referrals, at fewer than three ages, or no maximum is found.

    Notes
    -----
    Each day is taken as Poisson with mean n_at_risk * (M(a + 1) - M(a)). Customers
    differ more than that, which moves standard errors but not the estimates.

    Examples
    --------
    >>> days = np.arange(60)
    >>> events = np.rint(400 * (np.exp(-days / 20) - np.exp(-(days + 1) / 20)))
    >>> fit = fit_growth(events, n_at_risk=np.full(60, 1000))
    >>> round(fit.params["total"], 1), round(fit.params["scale"])
    (0.4, 20)
    """
    events = np.asarray(n_events, dtype=np.float64)
    people = np.asarray(n_at_risk, dtype=np.float64)
    age = np.arange(events.size, dtype=np.float64)
    kept = people > 0
    if (events[kept] > 0).sum() < 3:
        raise FitError(
            f"referrals at {int((events[kept] > 0).sum())} ages: their growth with age "
            "needs at least 3"
        )
    rows = Rows((age[kept], events[kept] / people[kept]), people[kept])
    total = float(np.sum(events[kept] / people[kept]))
    middle = dot(age, events) / float(events.sum()) + 0.5
    return maximise(
        _growth_objective,
        rows,
        names=Growth._fields,
        starts=[
            [total, 1.0, middle],
            [total, 1.5, middle],
            [2 * total, 0.8, 2 * middle],
        ],
        typical=[total, 1.0, middle],
    )


def _growth_objective(rows: Rows) -> Objective:
    """Return the log-likelihood of daily referrals under a smooth growth."""
    age, rate = rows.columns

    def of_params(values: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives."""
        total, shape, scale = values.tolist()
        ends, by_shape, by_scale = [], [], []
        for edge in (age, age + 1):
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                log_ratio = np.log(edge / scale)
                hazard = np.exp(shape * log_ratio)
                falls = np.where(edge > 0, np.exp(-hazard) * hazard, 0.0)
                falls = np.where(np.isfinite(falls), falls, 0.0)
                ends.append(-np.expm1(-hazard))
                by_shape.append(np.where(falls > 0, falls * log_ratio, 0.0))
                by_scale.append(-falls * shape / scale)
        part = np.maximum(ends[1] - ends[0], 1e-300)
        value = rate * np.log(total * part) - total * part
        by_part = rate / part - total
        gradient = [
            dot(rate / total - part, rows.counts),
            dot(by_part * (by_shape[1] - by_shape[0]), rows.counts),
            dot(by_part * (by_scale[1] - by_scale[0]), rows.counts),
        ]
        return dot(value, rows.counts), np.array(gradient)

    return of_params


def mean_by_age(growth: Growth, age: npt.ArrayLike) -> FloatArray:
    """Return the smooth mean number of referrals up to and including some age.

    Parameters
    ----------
    growth : Growth
        From `fit_growth`.
    age : array_like of float
        Age in days, at least 0; the day itself counts whole.

    Returns
    -------
    ndarray of float64

    Examples
    --------
    >>> mean_by_age(Growth(0.4, 1.0, 20.0), [0, 19, 10_000]).round(3).tolist()
    [0.02, 0.253, 0.4]
    """
    end = np.asarray(age, dtype=np.float64) + 1
    return np.asarray(-growth.total * np.expm1(-((end / growth.scale) ** growth.shape)))
