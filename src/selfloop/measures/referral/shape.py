"""How many people are brought by which age, and how much customers differ in it."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.core.errors import FitError
from selfloop.kernels.fitting import Fit
from selfloop.kernels.growing import Growth, fit_growth, growth_near, mean_by_age
from selfloop.kernels.keenness import fit_spread, fit_spread_by, spread_near
from selfloop.kernels.rows import FloatArray
from selfloop.measures.referral.histories import Histories


class Shape(NamedTuple):
    """What is common to all customers: how many are brought by which age.

    Parameters
    ----------
    k : float
        How alike customers are.
    mean : ndarray of float64
        Mean number brought by age 0, 1, ... days, as far as it was counted.
    growth : Growth or None
        A smooth curve to look beyond; None when the data do not allow one.
    ratio : ndarray of float64, shape (n_terms + 1,)
        Mean where all covariates are 0, to the mean of all, and the coefficients.
    """

    k: float
    mean: FloatArray
    growth: Growth | None
    ratio: FloatArray

    def at(self, age: FloatArray) -> FloatArray:
        """Return the mean number by some ages; NaN beyond what can be said."""
        last = self.mean.size - 1
        known = self.mean[np.minimum(age, last).astype(np.int64)]
        if self.growth is None:
            return np.where(age > last, math.nan, known)
        beyond = mean_by_age(self.growth, np.maximum(age, last))
        return np.asarray(known + beyond - mean_by_age(self.growth, last))

    def ahead(self, whom: Histories, horizon_days: int) -> dict[str, FloatArray]:
        """Return numbers brought, and the means by the age now and then."""
        factor = self.ratio[0] * np.exp(whom.design @ self.ratio[1:])
        return {
            "y": whom.y,
            "mean": factor * self.at(whom.age),
            "mean_later": factor * self.at(whom.age + horizon_days),
        }


class Estimates(NamedTuple):
    """What was found, and how it was found.

    Parameters
    ----------
    shape : Shape
        The estimates.
    spread : Fit
        Of k, and of the coefficients of covariates.
    growth : Fit or None
        Of the smooth curve.
    growth_reason : str
        Why there is none; empty when there is one.
    """

    shape: Shape
    spread: Fit
    growth: Fit | None
    growth_reason: str


def estimate(whom: Histories, brought: FloatArray, at_risk: FloatArray) -> Estimates:
    """Estimate curve, growth and k.

    Parameters
    ----------
    whom : Histories
        Buyers up to a day.
    brought, at_risk : ndarray, shape (n_ages,)
        Buyers brought at each age, and buyers observed to it.

    Returns
    -------
    Estimates

    Raises
    ------
    FitError
        When nobody has brought a buyer.
    """
    growth, why = None, ""
    try:
        growth = fit_growth(brought, n_at_risk=at_risk)
    except FitError as error:
        why = str(error)
    smooth = None if growth is None else Growth(*growth.estimates.tolist())
    curve = Shape(1.0, np.cumsum(brought / at_risk), smooth, np.ones(1))
    given = {"mean": _means(curve, whom.age), "counts": whom.n_people}
    terms = [term for c in whom.covariates for term in c.terms]
    if terms:
        spread = fit_spread_by(whom.y, design=whom.design, names=terms, **given)
    else:
        spread = fit_spread(whom.y, **given)
    return Estimates(_with(curve, spread.estimates), spread, growth, why)


def estimate_without(
    found: Estimates,
    whom: Histories,
    brought: FloatArray,
    at_risk: FloatArray,
    *,
    kept: npt.NDArray[np.bool_],
) -> Shape:
    """Estimate the same without a few customers.

    Parameters
    ----------
    found : Estimates
        Of all of them.
    whom : Histories
        All of them.
    brought, at_risk : ndarray, shape (n_ages,)
        As in `estimate`, without some.
    kept : ndarray of bool
        Histories of the others.

    Returns
    -------
    Shape
        The curve as it is counted without them; growth and k by one Newton step.
    """
    if not brought.any():  # all were brought by those who are left out
        none = Growth(0.0, 1.0, 1.0)
        return found.shape._replace(mean=np.zeros(brought.size), growth=none)
    smooth = None
    if found.growth is not None:
        smooth = growth_near(found.growth, brought, n_at_risk=at_risk)
    curve = Shape(1.0, np.cumsum(brought / at_risk), smooth, np.ones(1))
    estimates = spread_near(
        found.spread,
        whom.y[kept],
        mean=_means(curve, whom.age[kept]),
        counts=whom.n_people[kept],
        design=whom.design[kept],
    )
    return _with(curve, estimates)


def _means(curve: Shape, age: FloatArray) -> FloatArray:
    """Return the mean number by the age of each customer.

    Fewer than `min_at_risk` are older than the curve: without a smooth one they count
    as that old.
    """
    return curve.at(age if curve.growth else np.minimum(age, curve.mean.size - 1))


def _with(curve: Shape, estimates: FloatArray) -> Shape:
    """Return a curve with k, and with what covariates do."""
    k, *ratio = estimates.tolist()
    return curve._replace(k=k, ratio=np.array(ratio or [1.0]))
