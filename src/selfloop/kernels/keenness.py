"""How much customers differ in how many people they bring.

Successful referrals of customer i by age a are Poisson with mean theta_i M(a): M is the
mean number by that age, the same for all, and theta_i is the customer's own tendency,
Gamma(k, k) distributed with mean 1. Here k is found, and what is known of people that
makes them bring more; `selfloop.kernels.referring` looks ahead.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from selfloop.core.errors import FitError
from selfloop.kernels.covariates import (
    Effect,
    search_with_covariates,
    with_covariates,
)
from selfloop.kernels.fitting import Fit, Objective, maximise, one_step
from selfloop.kernels.purchase_model import Each, Params
from selfloop.kernels.rising import log_pmf, rising_slope
from selfloop.kernels.rows import FloatArray, Rows, distinct_rows, dot


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
    y: npt.ArrayLike,
    *,
    mean: npt.ArrayLike,
    counts: npt.ArrayLike | None = None,
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


def each(params: Params, rows: Rows) -> Each:
    """Say how likely each row is when customers of different kinds bring more or less.

    Parameters
    ----------
    params : sequence of float or ndarray of float64, shape (n_rows,)
        k and ratio, above 0: one number for all rows, or one per row.
    rows : Rows
        Columns y (people brought) and m (mean number by that age, above 0); further
        ones are ignored.

    Returns
    -------
    Each
        Log-likelihood of one customer of each row, and its derivatives by k and ratio.

    Notes
    -----
    As `objective`, with mean ratio * m.

    Examples
    --------
    >>> rows = distinct_rows([[0, 1, 3], [0.5, 0.5, 0.5]])
    >>> found = each([1.0, np.array([1.0, 2.0, 1.0])], rows)
    >>> found.log_likelihood.round(4).tolist(), found.gradient.shape
    ([-0.4055, -1.3863, -3.7013], (2, 3))
    """
    k, ratio = (np.asarray(a, dtype=np.float64) for a in params)
    y, m = rows.columns[:2]
    mean = ratio * m
    wide = np.broadcast_to(k, y.shape)
    slope = rising_slope(wide, y) - np.log1p(mean / k) + (mean - y) / (k + mean)
    by_mean = y / mean - (k + y) / (k + mean)
    return Each(log_pmf(y, shape=k, ratio=mean / k), np.array([slope, by_mean * m]))


def _of_pair(rows: Rows) -> Objective:
    """Return the log-likelihood of k and one ratio for all."""

    def total(values: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives."""
        found = each(values.tolist(), rows)
        gradient = [dot(line, rows.counts) for line in found.gradient]
        return dot(found.log_likelihood, rows.counts), np.array(gradient)

    return total


def fit_spread_by(
    y: npt.ArrayLike,
    *,
    mean: npt.ArrayLike,
    design: FloatArray,
    names: Sequence[str],
    counts: npt.ArrayLike | None = None,
) -> Fit:
    """Estimate how alike customers are, and what is known to make them bring more.

    Parameters
    ----------
    y, mean, counts
        As in `fit_spread`.
    design : ndarray of float64, shape (n, n_terms)
        What is known of the customers.
    names : sequence of str
        Names of its columns.

    Returns
    -------
    Fit
        Parameters k, ratio (of the mean where all columns are 0, to `mean`), and a
        coefficient per column: one unit more multiplies the mean by its exp.

    Raises
    ------
    FitError
        As `fit_spread`, or when the search does not converge.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> friend = rng.random(4000) < 0.5
    >>> y = rng.poisson(np.where(friend, 1.0, 0.5) * rng.gamma(1.0, 1.0, 4000))
    >>> fit = fit_spread_by(y, mean=np.full(4000, 0.75), design=friend[:, None] * 1.0,
    ...                     names=["friend"])
    >>> bool(abs(fit.params["friend"] - np.log(2)) < 0.15)
    True
    """
    x, m = np.asarray(y, np.float64), np.asarray(mean, np.float64)
    first = fit_spread(x, mean=m, counts=counts)
    rows = distinct_rows([x, m, *design.T], counts=counts)
    kept = rows.columns[1] > 0
    rows = Rows(tuple(c[kept] for c in rows.columns), rows.counts[kept])
    return search_with_covariates(
        each,
        rows,
        objective=_of_pair,
        n_data=2,
        effects=_effects(design.shape[1]),
        parameters=["k", "ratio"],
        names=names,
        start=[first.params["k"], 1.0],
        typical=[1.0, 1.0],
        penalty=0.0,
    )


def _effects(n_terms: int) -> tuple[Effect]:
    """Return what the columns of a design act on: the ratio."""
    return (Effect(1, 1, tuple(range(n_terms))),)


def spread_near(
    fit: Fit,
    y: npt.ArrayLike,
    *,
    mean: npt.ArrayLike,
    counts: npt.ArrayLike,
    design: FloatArray,
) -> FloatArray:
    """Estimate how alike customers are without a few of those that were fitted.

    Parameters
    ----------
    fit : Fit
        From `fit_spread` or `fit_spread_by`, of all of them.
    y, mean, counts, design
        As in `fit_spread_by`, without some; no column for `fit_spread`.

    Returns
    -------
    ndarray of float64
        Parameters as in `fit`, by one Newton step (`one_step`).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> y = rng.poisson(rng.gamma(0.5, 2, 2000) * 0.6)
    >>> fit = fit_spread(y, mean=np.full(2000, 0.6))
    >>> again = fit_spread(y[40:], mean=np.full(1960, 0.6)).params["k"]
    >>> near = spread_near(fit, y[40:], mean=np.full(1960, 0.6), counts=np.ones(1960),
    ...                    design=np.empty((1960, 0)))
    >>> bool(abs(near[0] - again) < 0.05 * abs(again - fit.params["k"]))
    True
    """
    means = np.asarray(mean, dtype=np.float64)
    kept = means > 0
    columns = np.asarray(y, np.float64), means, *design.T
    people = np.asarray(counts, np.float64)[kept]
    rows = Rows(tuple(c[kept] for c in columns), people)
    if not design.shape[1]:
        return one_step(objective, rows, fit)
    by_row = with_covariates(
        each, n_parameters=2, n_data=2, effects=_effects(design.shape[1]),
        objective=_of_pair,
    )  # fmt: skip
    return one_step(by_row, rows, fit)
