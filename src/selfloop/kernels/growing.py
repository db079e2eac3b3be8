"""How many people a customer has brought by any age, as a smooth curve.

The counted mean ends at the age of the oldest customers; to say what these are going to
do, a curve is laid through the daily counts and continued.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.core.errors import FitError
from selfloop.kernels.fitting import Fit, Objective, maximise, one_step
from selfloop.kernels.rows import FloatArray, Rows, dot


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
    rows = _rows(n_events, n_at_risk)
    age, rate = rows.columns
    n_ages = int((rate > 0).sum())
    if n_ages < 3:
        raise FitError(
            f"referrals at {n_ages} ages: their growth with age needs at least 3"
        )
    total = float(rate.sum())
    made = rate * rows.counts
    middle = dot(age, made) / float(made.sum()) + 0.5
    starts = [
        [total, 1.0, middle],
        [total, 1.5, middle],
        [2 * total, 0.8, 2 * middle],
    ]
    return maximise(
        _growth_objective,
        rows,
        names=Growth._fields,
        starts=starts,
        typical=[total, 1.0, middle],
    )


def growth_near(
    fit: Fit, n_events: npt.ArrayLike, *, n_at_risk: npt.ArrayLike
) -> Growth:
    """Estimate the curve without a few of the customers that were fitted.

    Parameters
    ----------
    fit : Fit
        From `fit_growth`, of all of them.
    n_events, n_at_risk : array_like of int, shape (n_ages,)
        As in `fit_growth`, without some.

    Returns
    -------
    Growth
        By one Newton step (`one_step`).

    Examples
    --------
    >>> days = np.arange(60)
    >>> events = np.rint(400 * (np.exp(-days / 20) - np.exp(-(days + 1) / 20)))
    >>> fit = fit_growth(events, n_at_risk=np.full(60, 1000))
    >>> events[0] -= 5
    >>> again = fit_growth(events, n_at_risk=np.full(60, 1000)).params["total"]
    >>> near = growth_near(fit, events, n_at_risk=np.full(60, 1000)).total
    >>> bool(abs(near - again) < 0.02 * abs(again - fit.params["total"]))
    True
    """
    rows = _rows(n_events, n_at_risk)
    return Growth(*one_step(_growth_objective, rows, fit).tolist())


def _rows(n_events: npt.ArrayLike, n_at_risk: npt.ArrayLike) -> Rows:
    """Return ages with anybody at risk, rates, and people."""
    events = np.asarray(n_events, dtype=np.float64)
    people = np.asarray(n_at_risk, dtype=np.float64)
    kept = people > 0
    age = np.arange(events.size, dtype=np.float64)[kept]
    return Rows((age, events[kept] / people[kept]), people[kept])


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
