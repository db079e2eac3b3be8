"""How a daily rate goes on beyond the oldest age at which it was observed."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.rows import FloatArray

_FROM = 0.25  # of the observed ages: the young ones have a shape of their own
_STEPS = 100


class Tail(NamedTuple):
    """A daily rate by age: exp(level + by_log log(a + 1) + by_age (a + 1)).

    Parameters
    ----------
    level, by_log, by_age : float
        The log of the rate is level + by_log log(a + 1) + by_age (a + 1); minus
        infinity when nothing happened.
    from_age : int
        First age that the curve was fitted to.
    """

    level: float
    by_log: float
    by_age: float
    from_age: int


def fit_tail(steps: npt.ArrayLike, *, n_at_risk: npt.ArrayLike) -> Tail:
    """Lay a curve through the daily rates of the last three quarters of the ages.

    Parameters
    ----------
    steps : array_like of float, shape (n_ages,)
        Events per person at age 0, 1, 2, ... days, 0 or more.
    n_at_risk : array_like of float, shape (n_ages,)
        People observed to that age, above 0.

    Returns
    -------
    Tail
        By Poisson quasi-likelihood [1]_. A curve that would rise after the last age is
        replaced by a power of age, and that, if it rises, by a constant.

    Notes
    -----
    A power of age times an exponential: Gamma distributed ages at referral have exactly
    this rate, and repeat purchases of buy-till-you-die models nearly so: what follows
    within as many days again is met within 6 % by tests.

    References
    ----------
    .. [1] P. McCullagh, J. A. Nelder, Generalized Linear Models, 2nd edition, 1989,
       chapter 9.

    Examples
    --------
    >>> age = np.arange(100)
    >>> tail = fit_tail(np.exp(-age / 20) * (age + 1.0), n_at_risk=np.full(100, 1000))
    >>> round(tail.by_log, 6), round(-1 / tail.by_age, 6)
    (1.0, 20.0)
    """
    rate = np.asarray(steps, dtype=np.float64)
    people = np.asarray(n_at_risk, dtype=np.float64)
    first = int(rate.size * _FROM)
    y, weight = rate[first:], people[first:]
    if not (y * weight).sum() > 0:
        return Tail(-np.inf, 0.0, 0.0, first)
    age = np.arange(first, rate.size) + 1.0
    # Scaled to about 1, or the equations are hard to solve.
    columns = np.stack([np.ones(y.size), np.log(age / age[-1]), age / age[-1] - 1.0])
    for n_terms in (3, 2, 1):
        beta = np.zeros(3)
        beta[:n_terms] = _fit(columns[:n_terms], y, weight)
        # Falling after the last age, and for ever.
        if n_terms == 1 or (beta[1] + beta[2] <= 0 and beta[2] <= 0):
            break
    level = beta[0] - beta[1] * np.log(age[-1]) - beta[2]
    return Tail(float(level), float(beta[1]), float(beta[2] / age[-1]), first)


def _fit(columns: FloatArray, y: FloatArray, weight: FloatArray) -> FloatArray:
    """Solve the score equations by Newton's method; the log-likelihood is concave."""
    beta = np.zeros(columns.shape[0])
    beta[0] = np.log((y * weight).sum() / weight.sum())

    def likelihood(values: FloatArray) -> float:
        """Return the log-likelihood up to a constant."""
        with np.errstate(over="ignore"):
            log_rate = values @ columns
            return float((weight * (y * log_rate - np.exp(log_rate))).sum())

    best = likelihood(beta)
    for _ in range(_STEPS):
        mean = weight * np.exp(beta @ columns)
        slope = columns @ (weight * y - mean)
        curvature = (columns * mean) @ columns.T
        step, *_ = np.linalg.lstsq(curvature, slope, rcond=1e-12)
        size = 1.0
        while not (found := likelihood(beta + size * step)) >= best and size > 1e-10:
            size /= 2
        gain = found - best
        if not gain > 1e-12 * abs(best):
            break
        beta, best = beta + size * step, found
    return beta


def tail_rate(tail: Tail, age: npt.ArrayLike) -> FloatArray:
    """Return the daily rate at some ages.

    Parameters
    ----------
    tail : Tail
        From `fit_tail`.
    age : array_like of float
        Days, 0 or more.

    Returns
    -------
    ndarray of float64

    Examples
    --------
    >>> tail_rate(Tail(0.0, -1.0, 0.0, 0), [0, 1, 3]).tolist()
    [1.0, 0.5, 0.25]
    """
    days = np.asarray(age, dtype=np.float64) + 1.0
    return np.asarray(
        np.exp(tail.level + tail.by_log * np.log(days) + tail.by_age * days)
    )
