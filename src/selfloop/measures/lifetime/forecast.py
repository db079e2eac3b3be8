"""What is to come within a horizon: for each buyer, for all, and for new ones."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from selfloop.core.errors import FitError
from selfloop.kernels.covariates import Effect, spread
from selfloop.kernels.fitting import delta_variance
from selfloop.kernels.gamma_gamma import GammaGamma, expected_spend
from selfloop.kernels.horizon import Steps
from selfloop.kernels.intervals import Interval, gamma_interval, log_interval
from selfloop.kernels.purchase_model import Params, PurchaseModel
from selfloop.kernels.rows import FloatArray, dot
from selfloop.measures.lifetime.flow import (
    Flow,
    Histories,
    Worth,
    chance,
    flow,
    histories,
    ratio,
    worth,
)
from selfloop.measures.lifetime.population import Population

_NEAR = 1e-200  # a rate this many times as high or low is beyond all numbers


class Total(NamedTuple):
    """Sums over all buyers.

    Parameters
    ----------
    mean : Interval
        The expected sum and how well it is known.
    actual : Interval
        The same sum and the range of what will happen.
    """

    mean: Interval
    actual: Interval


@dataclass(frozen=True, eq=False)
class Part:
    """A fitted part of a model: purchases, or spend.

    Parameters
    ----------
    values : ndarray of float64
        Parameters, then coefficients.
    covariance : ndarray of float64 or None
        Their covariance.
    effects : tuple of Effect
        What the coefficients act on.
    n_parameters : int
        How many of the values are parameters.
    """

    values: FloatArray
    covariance: FloatArray | None
    effects: tuple[Effect, ...]
    n_parameters: int

    def params(self, values: FloatArray, design: FloatArray) -> Params:
        """Return the parameters of rows with some covariates."""
        n = self.n_parameters
        base = values[:n].tolist()
        with np.errstate(over="ignore"):  # checked below
            found = spread(
                base, values[n:].tolist(), effects=self.effects, design=design
            )
        for parameter, _, _ in self.effects:
            factor = np.asarray(found[parameter]) / base[parameter]
            if factor.size and not _NEAR <= factor.min() <= factor.max() <= 1 / _NEAR:
                raise FitError(
                    "covariates lie so far from those that were fitted that they "
                    f"multiply a rate by {factor.max():.3g} or {factor.min():.3g}; "
                    "nothing is known of such customers"
                )
        return found

    def variance(
        self, function: Callable[[FloatArray], FloatArray], n: int
    ) -> FloatArray:
        """Return the variance of n numbers; NaN where the fit has no errors."""
        if self.covariance is None:
            return np.full(n, math.nan)
        return delta_variance(
            function, estimates=self.values, covariance=self.covariance
        )


@dataclass(frozen=True, eq=False)
class Forecast:
    """A fitted model and a horizon, ready to be asked.

    Parameters
    ----------
    kernel : PurchaseModel
        The model of purchases.
    purchases : Part
        Its fit.
    spend : Part or None
        The fit of the spend model.
    unit_days : float
        Unit of time of the model, in days.
    cut : Steps
        The horizon.
    money_factor : float
        What every value is multiplied by: margin times the share that refunds leave.
    """

    kernel: PurchaseModel
    purchases: Part
    spend: Part | None
    unit_days: float
    cut: Steps
    money_factor: float

    @property
    def horizon(self) -> float:
        """Length of the horizon in the unit of the model."""
        return float(self.cut.ends_days[-1]) / self.unit_days

    def flow(self, values: FloatArray, rows: Histories, design: FloatArray) -> Flow:
        """Return what is to come from each history, under given parameters."""
        return flow(
            self.kernel,
            self.purchases.params(values, design),
            rows,
            unit_days=self.unit_days,
            cut=self.cut,
        )

    def expected_by_age(self, n_days: int, whom: Population) -> FloatArray:
        """Return purchases expected of a new customer by each age in days from 0.

        With covariates it is the mean over the people of a population.
        """
        design, n = whom.triples.design, whom.triples.n_people
        kinds, kind_no = np.unique(design, axis=0, return_inverse=True)
        weight = np.bincount(kind_no.ravel(), weights=n) / n.sum()
        days = np.arange(n_days + 1, dtype=np.float64)
        horizon = days / self.unit_days
        if self.kernel.is_discrete:
            horizon = np.floor(horizon)
        total = np.zeros(days.size)
        for row, share in zip(kinds, weight, strict=True):
            params = self.purchases.params(self.purchases.values, row[None, :])
            own = [float(np.ravel(p)[0]) for p in params]
            total += share * self.kernel.expected_new(own, horizon)
        return total

    def spend_params(
        self, values: FloatArray, design: FloatArray
    ) -> tuple[GammaGamma, FloatArray | float]:
        """Return the spend model, and v of each history."""
        assert self.spend is not None
        p, q, v = self.spend.params(values, design)
        own = np.asarray(v)
        return GammaGamma(float(p), float(q), float(self.spend.values[2])), own


def attached(forecast: Forecast, whom: Population, people: ir.Table) -> ir.Table:
    """Add what is expected of them to people of a population, in the engine.

    Parameters
    ----------
    forecast : Forecast
        What to ask.
    whom : Population
        The buyers.
    people : ibis table
        Rows of `Events.core`, buyers or not.

    Returns
    -------
    ibis table
        The same rows with p_alive, purchases_if_alive, expected_purchases,
        discount_factor, expected_order_value and expected_value; missing for people
        who never bought.
    """
    triples = whom.triples
    rows = histories(triples, forecast.unit_days)
    found = forecast.flow(forecast.purchases.values, rows, triples.design)
    columns = {
        "n_purchases": triples.n_purchases.astype(np.int32),
        "recency_days": triples.recency_days,
        "age_days": triples.age_days,
        **whom.values,
        "p_alive": found.p_alive,
        "purchases_if_alive": found.if_alive,
        "discount_factor": ratio(found.discounted, found.if_alive),
    }
    if forecast.spend is not None:
        _, v = forecast.spend_params(forecast.spend.values, triples.design)
        columns["spend_v"] = np.broadcast_to(v, found.p_alive.shape)
    table = whom.events.engine.upload(pa.table(columns), "lifetime")
    if not whom.is_roster:  # histories differ from those in the roster
        own = whom.people.select("person_no", "repeat_value", *whom.keys)
        people = people.drop(
            *(c for c in ("repeat_value", *whom.keys) if c in people.columns)
        )
        people = people.left_join(own, "person_no").drop("person_no_right")
    people = people.left_join(table, list(whom.keys))
    people = people.drop(*(f"{key}_right" for key in whom.keys))
    people = people.mutate(
        expected_purchases=people.p_alive * people.purchases_if_alive,
        expected_order_value=_order_value(forecast, people),
    )
    value = people.expected_purchases * people.expected_order_value
    return people.mutate(
        expected_value=value * people.discount_factor * forecast.money_factor
    )


def _order_value(forecast: Forecast, people: ir.Table) -> ir.Value:
    """Write the expected value of a purchase as an expression for the engine."""
    if forecast.spend is None:
        return ibis.null("float64")
    p, q = forecast.spend.values[:2].tolist()
    x = (people.n_purchases - 1).cast("float64")
    return (people.repeat_value + people.spend_v) * p / (x * p + (q - 1))


def totals(forecast: Forecast, whom: Population) -> tuple[Total, Total]:
    """Add up purchases and value over all buyers, with intervals.

    Parameters
    ----------
    forecast : Forecast
        What to ask.
    whom : Population
        The buyers.

    Returns
    -------
    purchases, value : Total
        Value is NaN without a spend model.

    Notes
    -----
    The variance of the expected sum is g' C g (delta method), where g are the
    derivatives by the parameters and C is their covariance; purchases and spend are
    fitted apart and taken as independent. What happens varies by chance as well:
    that variance is added (see `flow.chance`). The interval of the expectation is taken
    on the log scale, that of what happens from a gamma variable of this mean and
    variance.
    """
    triples, n = whom.triples, whom.triples.n_people
    rows = histories(triples, forecast.unit_days)

    def money(values: FloatArray) -> Worth:
        """Return what purchases are worth under given spend parameters."""
        params, v = forecast.spend_params(values, triples.design)
        return worth(params, triples, v)

    spend = forecast.spend
    priced = None if spend is None else money(spend.values)
    mean = n * math.nan if priced is None else n * priced.mean * forecast.money_factor

    def summed(found: Flow) -> FloatArray:
        """Return purchases and value of everybody."""
        purchases, value = found.if_alive, found.discounted
        return np.array(
            [dot(found.p_alive * purchases, n), dot(found.p_alive * value, mean)]
        )

    part = forecast.purchases
    found = forecast.flow(part.values, rows, triples.design)
    sums = summed(found)
    variance = part.variance(
        lambda values: summed(forecast.flow(values, rows, triples.design)), 2
    )
    if spend is not None:
        discounted = found.p_alive * found.discounted * n * forecast.money_factor
        variance[1] += spend.variance(
            lambda values: np.array([dot(discounted, money(values).mean)]), 1
        )[0]
    random = chance(
        forecast.kernel,
        part.params(part.values, triples.design),
        rows,
        n_people=n,
        found=found,
        horizon=forecast.horizon,
        money=priced,
    )
    luck = np.array([random.purchases, random.value * forecast.money_factor**2])
    purchases, value = (
        Total(log_interval(s, v), gamma_interval(s, v + chance_of))
        for s, v, chance_of in zip(sums, variance, luck, strict=True)
    )
    return purchases, value


def new_customer(forecast: Forecast, design: FloatArray) -> tuple[Interval, Interval]:
    """Say what to expect of somebody who has just bought for the first time.

    Parameters
    ----------
    forecast : Forecast
        What to ask.
    design : ndarray of float64, shape (1, n_terms)
        Their covariates.

    Returns
    -------
    purchases, value : Interval
        Intervals say how well the means are known. Value is NaN without a spend model.
    """
    rows = Histories(np.zeros(1), np.zeros(1), np.zeros(1))
    spend, factor = forecast.spend, forecast.money_factor

    def price(values: FloatArray) -> float:
        """Return the expected value of a purchase."""
        params, v = forecast.spend_params(values, design)
        mean = expected_spend(GammaGamma(params.p, params.q, 0.0), x=0, total=v)
        return float(np.ravel(mean)[0])

    one = math.nan if spend is None else price(spend.values) * factor

    def by_flow(values: FloatArray) -> FloatArray:
        """Return purchases and value under other purchase parameters."""
        found = forecast.flow(values, rows, design)
        alive = float(found.p_alive[0])
        return np.array(
            [alive * float(found.if_alive[0]), alive * float(found.discounted[0]) * one]
        )

    sums = by_flow(forecast.purchases.values)
    variance = forecast.purchases.variance(by_flow, 2)
    if spend is not None:
        per_money = sums[1] / one
        variance[1] += spend.variance(
            lambda values: np.array([per_money * price(values) * factor]), 1
        )[0]
    return log_interval(sums[0], variance[0]), log_interval(sums[1], variance[1])
