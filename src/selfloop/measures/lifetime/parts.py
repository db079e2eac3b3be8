"""The parts of which a lifetime model and its answers are made."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from selfloop.kernels.gamma_gamma import GammaGamma, expected_spend
from selfloop.kernels.independence import Independence
from selfloop.kernels.rows import FloatArray


class FrequencyRecency(NamedTuple):
    """What the model says of customers by purchases and the age at the last one.

    Parameters
    ----------
    n_purchases : ndarray of float64, shape (n,)
        Purchases.
    recency_days : ndarray of float64, shape (m,)
        Age at the last one.
    age_days, horizon_days : float
        Age of these customers now, and days to come.
    p_alive, expected_purchases : ndarray of float64, shape (n, m)
        NaN where no such customer can be.
    """

    n_purchases: FloatArray
    recency_days: FloatArray
    age_days: float
    horizon_days: float
    p_alive: FloatArray
    expected_purchases: FloatArray


class NewCustomer(NamedTuple):
    """What to expect of somebody after a first purchase, which is not included.

    Parameters
    ----------
    purchases, purchases_low, purchases_high : float
        Repeat purchases expected within the horizon; the interval says how well that
        mean is known, and is NaN without standard errors.
    value, value_low, value_high : float
        Their expected net value, discounted; NaN without a spend model.
    """

    purchases: float
    purchases_low: float
    purchases_high: float
    value: float
    value_low: float
    value_high: float


class ExpectedTotal(NamedTuple):
    """What all customers together are going to bring within a horizon.

    Parameters
    ----------
    n_people : int
        Buyers.
    purchases : float
        Expected purchases.
    purchases_low, purchases_high : float
        Interval of what will happen: parameters are uncertain and purchases random.
    purchases_mean_low, purchases_mean_high : float
        Interval of the expectation alone: how well the parameters are known.
    value, value_low, value_high, value_mean_low, value_mean_high : float
        The same for their net value, discounted; NaN without a spend model.
    """

    n_people: int
    purchases: float
    purchases_low: float
    purchases_high: float
    purchases_mean_low: float
    purchases_mean_high: float
    value: float
    value_low: float
    value_high: float
    value_mean_low: float
    value_mean_high: float


@dataclass(frozen=True, eq=False)
class SpendModel:
    """Gamma-Gamma: what a purchase of each customer is worth.

    Parameters
    ----------
    params, standard_errors : dict of str to float
        p, q, v; v in the unit of money, where covariates are 0. No standard errors
        when `at_bound` names anything.
    coefficients : dict of str to float
        What each term of the covariates adds to the log of the order value.
    covariance : ndarray or None
        Covariance of the parameters, then the coefficients.
    log_likelihood : float
        Of the mean repeat value of each person, in the unit of money.
    n_people : int
        People with repeat purchases of positive value: those it is fitted on.
    at_bound : tuple of str
        Parameters that the data do not determine.
    independence : Independence or None
        Whether spend goes with frequency, which the model takes for granted not to;
        None when read from a file.
    """

    params: dict[str, float]
    standard_errors: dict[str, float]
    coefficients: dict[str, float]
    covariance: FloatArray | None = field(repr=False)
    log_likelihood: float
    n_people: int
    at_bound: tuple[str, ...]
    independence: Independence | None = field(repr=False)

    @property
    def mean_order_value(self) -> float:
        """Expected value of a purchase of somebody of whom nothing is known."""
        return float(expected_spend(self.kernel, x=0, total=0.0))

    @property
    def kernel(self) -> GammaGamma:
        """Parameters as the kernel takes them."""
        return GammaGamma(**self.params)

    @property
    def values(self) -> FloatArray:
        """Parameters and coefficients as they were searched."""
        return np.array([*self.params.values(), *self.coefficients.values()])
