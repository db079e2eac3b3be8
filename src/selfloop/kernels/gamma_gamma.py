"""Gamma-Gamma: what a purchase of a customer is worth on average, noise removed.

A customer's purchases have values Gamma(p, rate nu) with the customer's own nu, and
nu is Gamma(q, rate v) across customers, independent of how often they buy. One
customer is two numbers: x purchases and their sum s = x z, with mean z.

References
----------
P. S. Fader and B. G. S. Hardie, The Gamma-Gamma Model of Monetary Value, note 025,
2013. P. S. Fader, B. G. S. Hardie and K. L. Lee, RFM and CLV: Using Iso-Value Curves
for Customer Base Analysis, Journal of Marketing Research 42(4), 2005.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, digamma, gammaln

from selfloop.core.errors import FitError
from selfloop.kernels.fitting import (
    N_WARM,
    Fit,
    FloatArray,
    Objective,
    Rows,
    distinct_rows,
    dot,
    maximise,
    rescaled,
)

_STIRLING = 20.0


class GammaGamma(NamedTuple):
    """Parameters of the model, all above 0.

    Parameters
    ----------
    p : float
        Shape of the values of one customer's purchases.
    q, v : float
        Shape and rate of nu among customers; v is in the unit of money.
    """

    p: float
    q: float
    v: float


def log_likelihood(rows: Rows) -> Objective:
    """Return a function that says how likely the rows are under given parameters.

    Parameters
    ----------
    rows : Rows
        Columns x > 0 (purchases) and s > 0 (their sum), and people per row.

    Returns
    -------
    callable
        Takes (p, q, v), gives the log-likelihood summed over people and its three
        derivatives.

    Notes
    -----
    For one customer with mean z = s / x::

        ln L = -ln B(px, q) - q ln(1 + s/v) - px ln(1 + v/s) - ln z

    Examples
    --------
    >>> value, gradient = log_likelihood(distinct_rows([[2], [44.7]]))(
    ...     np.array([6.25, 3.744, 15.44])
    ... )
    >>> round(value, 4), gradient.shape
    (-3.5504, (3,))
    """
    x, total = rows.columns
    people = rows.counts
    xs, x_no = np.unique(x, return_inverse=True)
    n_x = np.bincount(x_no, weights=people)
    log_mean = dot(people, np.log(total / x))
    n_purchases, n_total = people * x, people * total

    def objective(params: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives by p, q, v."""
        p, q, v = params.tolist()
        grow = dot(people, np.log1p(total / v))
        kept = dot(n_purchases, np.log1p(v / total))
        value = dot(n_x, _log_inverse_beta(p * xs, q)) - q * grow - p * kept - log_mean
        both = digamma(p * xs + q)
        inverse = 1 / (v + total)
        gradient = [
            dot(n_x * xs, both - digamma(p * xs)) - kept,
            dot(n_x, both - digamma(q)) - grow,
            q / v * dot(n_total, inverse) - p * dot(n_purchases, inverse),
        ]
        return float(value), np.array(gradient, dtype=np.float64)

    return objective


def _log_inverse_beta(m: FloatArray, n: float) -> FloatArray:
    """Return -ln B(m, n) without the cancellation of ln G of large numbers.

    ln G(k+d) - ln G(k) for the larger k is written by Stirling's series, whose large
    terms are differences that ``log1p`` takes exactly.
    """
    small, large = np.minimum(m, n), np.maximum(m, n)
    both = small + large
    rising = (
        (large - 0.5) * np.log1p(small / large)
        + small * (np.log(both) - 1)
        + _stirling_rest(both)
        - _stirling_rest(large)
    )
    return np.where(large > _STIRLING, rising - gammaln(small), -betaln(small, large))


def _stirling_rest(k: FloatArray) -> FloatArray:
    """Return what Stirling's formula leaves out of ln G(k); 2e-15 off at k = 20."""
    square = 1 / (k * k)
    return (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))) / k


def fit(
    x: npt.ArrayLike,
    *,
    total: npt.ArrayLike,
    counts: npt.ArrayLike | None = None,
    n_warm: int = N_WARM,
) -> Fit:
    """Estimate the three parameters by maximum likelihood.

    Parameters
    ----------
    x : array_like of int, shape (n,)
        Purchases, above 0.
    total : array_like of float, shape (n,)
        Their summed value, above 0.
    counts : array_like of float, shape (n,), optional
        People per row; one each by default.
    n_warm : int, optional
        Size of the sample to start from (see `maximise`).

    Returns
    -------
    Fit
        Names p, q, v; v and the log-likelihood in the unit of `total`.

    Raises
    ------
    FitError
        When a row is impossible, nobody is left, all rows are the same, or the
        search does not converge.

    Notes
    -----
    Money is divided by the mean value before the fit and v is scaled back, so the
    unit changes nothing else; ln L falls by ln(scale) per person.

    Examples
    --------
    >>> found = fit([1, 2, 3, 1, 4], total=[12.0, 50.0, 45.0, 33.0, 61.0])
    >>> sorted(found.params)
    ['p', 'q', 'v']
    """
    rows = distinct_rows([x, total], counts=counts)
    n_purchases, totals = rows.columns
    impossible = (n_purchases <= 0) | (totals <= 0)
    if impossible.any():
        raise FitError(
            f"{rows.counts[impossible].sum():,.0f} of {rows.n_people:,.0f} customers "
            "have no purchase or no value above 0; leave them out"
        )
    if rows.n_distinct < 2:
        raise FitError(
            f"{rows.n_people:,.0f} customers with {rows.n_distinct} distinct value "
            "of their purchases: their differences cannot be estimated"
        )
    scale = dot(totals, rows.counts) / dot(n_purchases, rows.counts)
    found = maximise(
        log_likelihood,
        Rows((n_purchases, totals / scale), rows.counts),
        names=GammaGamma._fields,
        starts=[(2.0, 3.0, 1.0), (6.0, 4.0, 0.5), (1.0, 11.0, 10.0), (20.0, 2.0, 0.05)],
        n_warm=n_warm,
    )
    return rescaled(
        found,
        name="v",
        factor=scale,
        log_likelihood_shift=-rows.n_people * math.log(scale),
    )


def has_mean(params: GammaGamma) -> bool:
    """Say whether the mean value of a purchase exists, that is q > 1.

    Parameters
    ----------
    params : GammaGamma
        Parameters of the model.

    Returns
    -------
    bool
        False when so many customers may spend without limit that the mean over
        all customers is infinite.

    Examples
    --------
    >>> has_mean(GammaGamma(6.25, 3.744, 15.44)), has_mean(GammaGamma(6.25, 1, 15.44))
    (True, False)
    """
    return params.q > 1


def expected_spend(
    params: GammaGamma, *, x: npt.ArrayLike, total: npt.ArrayLike
) -> FloatArray:
    """Say what the purchases of customers are worth on average in the long run.

    Parameters
    ----------
    params : GammaGamma
        Parameters of the model.
    x : array_like of int
        Purchases, at least 0.
    total : array_like of float
        Their summed value, 0 when there are none.

    Returns
    -------
    ndarray of float64
        Expected mean value of a purchase; NaN where it does not exist, because
        p x + q <= 1.

    Notes
    -----
    E = p (v + s) / (p x + q - 1): a weighted mean of the customer's own mean and
    that of everybody, p v / (q - 1), which is the answer for x = 0.

    Examples
    --------
    >>> cdnow = GammaGamma(6.249572, 3.744225, 15.443521)
    >>> expected_spend(cdnow, x=[0, 2], total=[0.0, 44.7]).round(2).tolist()
    [35.17, 24.66]
    """
    p, q, v = params
    purchases = np.asarray(x, dtype=np.float64)
    weight = p * purchases + q - 1
    value = p * (v + np.asarray(total, dtype=np.float64))
    return np.where(weight > 0, value / np.where(weight > 0, weight, 1.0), np.nan)
