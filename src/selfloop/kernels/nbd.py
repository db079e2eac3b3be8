"""NBD: how often customers buy, when nobody ever leaves; the baseline of all models.

Purchases of a customer come at a steady rate lambda for ever, and lambda is
Gamma(r, rate alpha) across customers. One customer is x repeat purchases and the age
T at the end of observation; when the last purchase was does not matter.

References
----------
A. S. C. Ehrenberg, The Pattern of Consumer Purchases, Applied Statistics 8(1), 1959.
P. S. Fader, B. G. S. Hardie and K. L. Lee, "Counting Your Customers" the Easy Way: An
Alternative to the Pareto/NBD Model, Marketing Science 24(2), 2005.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.fitting import Objective
from selfloop.kernels.purchase_model import Each, IntArray, Params, PurchaseModel
from selfloop.kernels.rising import log_pmf, log_rising, people_above, rising_slope
from selfloop.kernels.rows import FloatArray, Rows, dot


class Nbd(NamedTuple):
    """Parameters of the model, all above 0.

    Parameters
    ----------
    r, alpha : float
        Shape and rate of the purchase rate among customers; alpha is in the unit
        of time.
    """

    r: float
    alpha: float


def each(params: Params, rows: Rows) -> Each:
    """Say how likely each row is, and how that changes with the parameters.

    Parameters
    ----------
    params : Nbd
        Numbers, or arrays with one number per row.
    rows : Rows
        Columns x, t_x (not used) and T, 0 <= T.

    Returns
    -------
    Each
        Log-likelihood of one customer of each row, and its derivatives by r, alpha.

    Notes
    -----
    ::

        ln L = ln G(r+x)/G(r) - r ln(1 + T/alpha) - x ln(alpha+T)

    without ln x! and the times of the purchases, like the other models here.

    Examples
    --------
    >>> rows = Rows((np.array([2.0]), np.array([30.43]), np.array([38.86])), np.ones(1))
    >>> each(Nbd(0.385, 12.072), rows).log_likelihood.round(4).tolist()
    [-9.044]
    """
    r, alpha = (np.asarray(p, dtype=np.float64) for p in params)
    x, _, age = rows.columns[:3]
    grown, total = np.log1p(age / alpha), alpha + age
    value = log_rising(r, x) - r * grown - x * np.log(total)
    by_alpha = (r * age / alpha - x) / total
    return Each(value, np.stack([rising_slope(r, x) - grown, by_alpha]))


def objective(rows: Rows) -> Objective:
    """Return a function that says how likely the rows are under given parameters.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x (not used) and T, and people per row.

    Returns
    -------
    callable
        Takes (r, alpha), gives the log-likelihood summed over people and its two
        derivatives.

    Notes
    -----
    All customers together need only the number of people with more than j repeat
    purchases, and those of each age.

    Examples
    --------
    >>> rows = Rows((np.array([2.0]), np.array([30.43]), np.array([38.86])), np.ones(1))
    >>> value, gradient = objective(rows)(np.array([0.385, 12.072]))
    >>> round(value, 4), gradient.shape
    (-9.044, (2,))
    """
    x, _, age = rows.columns[:3]
    people = rows.counts
    n_above = people_above(x, people)
    j = np.arange(n_above.size, dtype=np.float64)
    ages, age_no = np.unique(age, return_inverse=True)
    n_age = np.bincount(age_no, weights=people)
    x_age = np.bincount(age_no, weights=people * x)

    def of_params(params: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives by r, alpha."""
        r, alpha = params.tolist()
        grown, total = np.log1p(ages / alpha), alpha + ages
        value = dot(n_above, np.log(r + j)) - r * dot(n_age, grown)
        value -= dot(x_age, np.log(total))
        by_r = dot(n_above, 1 / (r + j)) - dot(n_age, grown)
        by_alpha = dot(r / alpha * n_age * ages - x_age, 1 / total)
        return value, np.array([by_r, by_alpha])

    return of_params


def starts(rows: Rows) -> list[tuple[float, ...]]:
    """Return points to start a fit from.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and T, with a purchase and an age above 0.

    Returns
    -------
    list of tuple of float
        Values of r and alpha in the unit of T.

    Examples
    --------
    >>> starts(Rows((np.array([2.0]), np.array([5.0]), np.array([20.0])), np.ones(1)))
    [(0.5, 5.0), (5.0, 50.0)]
    """
    x, _, age = rows.columns[:3]
    gap = dot(age, rows.counts) / dot(x, rows.counts)
    return [(r, r * gap) for r in (0.5, 5.0)]


def p_alive(
    params: Params, *, x: npt.ArrayLike, recency: npt.ArrayLike, age: npt.ArrayLike
) -> FloatArray:
    """Say how probable it is that customers have not left yet: they never do.

    Parameters
    ----------
    params : Nbd
        Numbers, or arrays with one number per customer.
    x, recency, age : array_like of float
        Repeat purchases, age at the last one and age now.

    Returns
    -------
    ndarray of float64
        1 for everybody.

    Examples
    --------
    >>> p_alive(Nbd(0.385, 12.072), x=[0, 2], recency=[0, 9], age=[90, 10]).tolist()
    [1.0, 1.0]
    """
    given = (*params, x, recency, age)
    return np.ones(np.broadcast_shapes(*(np.shape(v) for v in given)))


def expected_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
) -> FloatArray:
    """Say how many purchases to expect within a horizon.

    Parameters
    ----------
    params : Nbd
        Numbers, or arrays with one number per customer.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency : array_like of float
        Age at the last of them; it does not matter.
    age : array_like of float
        Age now, at least 0, in the unit of alpha.
    horizon : array_like of float
        Length of the time to come, at least 0, in the unit of alpha.

    Returns
    -------
    ndarray of float64
        (r + x) t / (alpha + T).

    Examples
    --------
    >>> args = {"x": 2, "recency": 3, "age": 12, "horizon": 10}
    >>> float(expected_if_alive(Nbd(0.5, 8), **args))
    1.25
    """
    shape, ratio = _posterior(params, x=x, recency=recency, age=age, horizon=horizon)
    return np.asarray(shape * ratio)


def pmf_if_alive(
    params: Params,
    *,
    n: npt.ArrayLike,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
) -> FloatArray:
    """Say how probable it is that customers buy n times within a horizon.

    Parameters
    ----------
    params : Nbd
        Numbers, or arrays with one number per customer.
    n : array_like of int
        Number of purchases, at least 0.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency : array_like of float
        Age at the last of them; it does not matter.
    age, horizon : array_like of float
        Age now and length of the time to come, at least 0, in the unit of alpha.

    Returns
    -------
    ndarray of float64
        Probabilities; negative binomial (see `log_pmf`).

    Examples
    --------
    >>> args = {"x": 0, "recency": 0, "age": 1, "horizon": 2}
    >>> pmf_if_alive(Nbd(1, 1), n=[0, 1, 2], **args).round(4).tolist()
    [0.5, 0.25, 0.125]
    """
    shape, ratio = _posterior(params, x=x, recency=recency, age=age, horizon=horizon)
    return np.asarray(np.exp(log_pmf(n, shape=shape, ratio=ratio)))


def draw_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    rng: np.random.Generator,
) -> IntArray:
    """Draw how often customers buy within a horizon.

    Parameters
    ----------
    params : Nbd
        Numbers, or arrays with one number per customer.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency : array_like of float
        Age at the last of them; it does not matter.
    age, horizon : array_like of float
        Age now and length of the time to come, at least 0, in the unit of alpha.
    rng : Generator
        Source of the random numbers.

    Returns
    -------
    ndarray of int64
        Counts: Poisson, at a rate drawn given what customers did so far.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> args = {"x": 2, "recency": 3, "age": np.full(9000, 12.0), "horizon": 10}
    >>> bool(abs(draw_if_alive(Nbd(0.5, 8), rng=rng, **args).mean() - 1.25) < 0.05)
    True
    """
    shape, ratio = _posterior(params, x=x, recency=recency, age=age, horizon=horizon)
    return np.asarray(rng.poisson(rng.gamma(shape) * ratio), dtype=np.int64)


def _posterior(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
) -> tuple[FloatArray, FloatArray]:
    """Return the shape of the purchase rate, and the horizon over its rate."""
    r, alpha, n_repeat, _, now, ahead = np.broadcast_arrays(
        *(np.asarray(v, np.float64) for v in (*params, x, recency, age, horizon))
    )
    return r + n_repeat, ahead / (alpha + now)


MODEL = PurchaseModel(
    name="nbd",
    label="NBD",
    parameters=Nbd._fields,
    times=("alpha",),
    each=each,
    objective=objective,
    starts=starts,
    p_alive=p_alive,
    expected_if_alive=expected_if_alive,
    pmf_if_alive=pmf_if_alive,
    draw_if_alive=draw_if_alive,
    purchase_rate=("alpha", -1),
    dropout=None,
    one_time_may_leave=False,
)
