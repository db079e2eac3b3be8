"""What a fitted lifetime model says: parameters, people, new customers, totals.

It is computed once for each distinct triple of purchases and ages, and goes back to
the engine, where it meets the people.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa

from selfloop.core import schema
from selfloop.core.display import Fact, Section, format_value, show_html, show_text
from selfloop.core.settings import CONFIDENCE, check_number
from selfloop.inputs.events import Events
from selfloop.kernels import bg_nbd, gamma_gamma
from selfloop.kernels.bg_nbd import BgNbd
from selfloop.kernels.fitting import FloatArray, delta_variance
from selfloop.kernels.gamma_gamma import GammaGamma
from selfloop.kernels.horizon import Steps, steps, within
from selfloop.kernels.intervals import normal_quantile

Model = Literal["bg_nbd"]
"""Models of purchases."""

KEYS = ("n_purchases", "recency_days", "age_days")
"""Columns of a triple: all that the model needs to know of a buyer."""

MAX_DAYS = 36_525
"""Longest horizon and unit of time, in days: 100 years."""


class NewCustomer(NamedTuple):
    """What to expect of somebody after a first purchase, which is not included.

    Parameters
    ----------
    purchases : float
        Repeat purchases expected within the horizon.
    value : float
        Their expected value; NaN without a spend model.
    """

    purchases: float
    value: float


class ExpectedTotal(NamedTuple):
    """What all customers together are expected to bring within a horizon.

    Parameters
    ----------
    n_people : int
        Buyers.
    purchases, purchases_low, purchases_high : float
        Expected purchases; the ends are NaN when there are no standard errors.
    value, value_low, value_high : float
        Their expected value, discounted; NaN without a spend model.
    """

    n_people: int
    purchases: float
    purchases_low: float
    purchases_high: float
    value: float
    value_low: float
    value_high: float


@dataclass(frozen=True, eq=False)
class SpendModel:
    """Gamma-Gamma: what a purchase of each customer is worth.

    Parameters
    ----------
    params, standard_errors : dict of str to float
        p, q, v; v in the unit of money. No standard errors when `at_bound` names
        anything.
    covariance : ndarray or None
        Covariance of the estimates, in the order of `params`.
    log_likelihood : float
        Of the mean repeat value of each person, in the unit of money.
    n_people : int
        People with repeat purchases of positive value: those it is fitted on.
    at_bound : tuple of str
        Parameters that the data do not determine.
    """

    params: dict[str, float]
    standard_errors: dict[str, float]
    covariance: FloatArray | None = field(repr=False)
    log_likelihood: float
    n_people: int
    at_bound: tuple[str, ...]

    @property
    def mean_order_value(self) -> float:
        """Expected value of a purchase of somebody of whom nothing is known."""
        return float(gamma_gamma.expected_spend(self.kernel, x=0, total=0.0))

    @property
    def kernel(self) -> GammaGamma:
        """Parameters as the kernel takes them."""
        return GammaGamma(**self.params)


class Triples(NamedTuple):
    """Distinct triples of buyers, with their people and money.

    Parameters
    ----------
    n_purchases, recency_days, age_days : ndarray of float64
        Purchases, age at the last one, age at the end: the triple.
    n_people : ndarray of float64
        Buyers with this triple.
    repeat_value : ndarray of float64
        Value of all their repeat purchases.
    """

    n_purchases: FloatArray
    recency_days: FloatArray
    age_days: FloatArray
    n_people: FloatArray
    repeat_value: FloatArray


class _Flow(NamedTuple):
    """Probability of being alive, purchases to come, and these discounted."""

    p_alive: FloatArray
    purchases: FloatArray
    discounted: FloatArray


@dataclass(frozen=True, eq=False)
class LifetimeModel:
    """A fitted model of purchases and spend; made by `fit_lifetime`.

    Parameters
    ----------
    model : str
        ``"bg_nbd"``.
    params, standard_errors : dict of str to float
        r, alpha, a, b; alpha in units of `unit_days`. No standard errors when
        `at_bound` names anything.
    covariance : ndarray or None
        Covariance of the estimates, in the order of `params`.
    log_likelihood : float
        With time in units of `unit_days`, without the terms that hold no parameter.
    n_people, n_repeat_buyers, n_repeat_purchases : int
        Buyers, those with a second purchase, and all purchases but the first ones.
    n_distinct : int
        Distinct (purchases, age at the last one, age now): the work of the fit.
    unit_days : float
        Unit of time of the parameters, in days.
    at_bound : tuple of str
        Parameters that the data do not determine. Predictions hold nevertheless:
        the likelihood is flat in what they do not depend on.
    spend : SpendModel or None
        None when values cannot be modelled.
    spend_reason : str
        Why there is no spend model; empty when there is one.
    end : date
        Last observed day; ages and horizons count from its close.
    currency : str or None
        Currency of all money.
    events : Events
        What it was fitted on, and for whom it predicts.
    triples : Triples
        The buyers, compressed.
    """

    model: Model
    params: dict[str, float]
    standard_errors: dict[str, float]
    covariance: FloatArray | None = field(repr=False)
    log_likelihood: float
    n_people: int
    n_repeat_buyers: int
    n_repeat_purchases: int
    n_distinct: int
    unit_days: float
    at_bound: tuple[str, ...]
    spend: SpendModel | None
    spend_reason: str
    end: date
    currency: str | None
    events: Events = field(repr=False)
    triples: Triples = field(repr=False)

    def summary(self) -> pd.DataFrame:
        """Show the parameters with their standard errors and intervals.

        Returns
        -------
        DataFrame
            parameter, estimate, standard_error, low, high, reason. The 95 %
            interval is taken on the log scale, estimate * exp(-+ 1.96 se/estimate),
            so it stays above 0. Where the data do not determine the parameters,
            error and interval are missing and `reason` says so.
        """
        z = normal_quantile(CONFIDENCE)
        rows = []
        for part in (self, self.spend):
            if part is None:
                continue
            for name, value in part.params.items():
                error = part.standard_errors.get(name, math.nan)
                factor = math.exp(z * error / value)
                ends = (value / factor, value * factor)
                rows.append((name, value, error, *ends, _reason(part.at_bound)))
        columns = ["parameter", "estimate", "standard_error", "low", "high", "reason"]
        return pd.DataFrame(rows, columns=columns)

    def predict(
        self, horizon_days: float = 365.0, *, discount_rate: float = 0.0
    ) -> ir.Table:
        """Say what each buyer is still going to buy, and what it is worth.

        Parameters
        ----------
        horizon_days : float, optional
            Days to come after the last observed day, 1 to 36,525.
        discount_rate : float, optional
            Annual rate by which money to come is discounted, 0 to 10; 0.1 is 10 %.

        Returns
        -------
        ibis table
            Columns of `schema.LIFETIME_PEOPLE`, one row per buyer, in no order.
            expected_order_value and expected_value are missing without a spend
            model (see `spend_reason`). Purchases are not discounted, value is.

        Raises
        ------
        SettingError
            When the horizon or the rate is outside its range.

        Notes
        -----
        expected_value = expected_order_value * sum over months k of
        [E(t_k) - E(t_(k-1))] * (1 + rate)^-((t_(k-1) + t_k) / 2 / 365.25),
        where E(t) are the expected purchases within t days and t_k are multiples of
        30.4375 days, the last one cut at the horizon. E is computed once for each
        distinct triple, and joined to the people in the engine.

        Examples
        --------
        >>> import selfloop as sl
        >>> shop = sl.simulate(n_visitors=500, seed=7)
        >>> model = sl.fit_lifetime(sl.read_events(shop.orders))
        >>> table = model.predict(horizon_days=90)
        >>> int(table.count().to_pandas()) == model.n_people
        True
        """
        people = self.attach(
            buyers(self.events), horizon_days, discount_rate=discount_rate
        )
        return people.select(*schema.names("lifetime_people"))

    def attach(
        self, people: ir.Table, horizon_days: float, *, discount_rate: float
    ) -> ir.Table:
        """Add what is expected of them to rows of `Events.core`.

        Parameters
        ----------
        people : ibis table
            Rows of `Events.core` of these events, buyers or not.
        horizon_days, discount_rate : float
            As in `predict`.

        Returns
        -------
        ibis table
            The same rows with p_alive, expected_purchases, expected_order_value and
            expected_value; missing for people who never bought.
        """
        flow = self._flow(self.params.values(), _steps(horizon_days, discount_rate))
        found = {
            "n_purchases": self.triples.n_purchases.astype(np.int32),
            "recency_days": self.triples.recency_days,
            "age_days": self.triples.age_days,
            "p_alive": flow.p_alive,
            "expected_purchases": flow.purchases,
            "discounted": flow.discounted,
        }
        table = self.events.engine.upload(pa.table(found), "lifetime")
        people = people.left_join(table, KEYS)
        people = people.drop(*(f"{key}_right" for key in KEYS))
        order_value = self._order_value(people)
        return people.mutate(
            expected_order_value=order_value,
            expected_value=order_value * people.discounted,
        ).drop("discounted")

    def expected_new_customer(
        self, horizon_days: float = 365.0, *, discount_rate: float = 0.0
    ) -> NewCustomer:
        """Say what to expect of somebody who has just bought for the first time.

        Parameters
        ----------
        horizon_days : float, optional
            Days after the first purchase, 1 to 36,525.
        discount_rate : float, optional
            Annual rate by which money to come is discounted, 0 to 10.

        Returns
        -------
        NewCustomer
            Expected repeat purchases and their value. The first purchase is not
            included.

        Raises
        ------
        SettingError
            When the horizon or the rate is outside its range.
        """
        kernel, unit = BgNbd(**self.params), self.unit_days
        purchases, discounted = within(
            lambda days: bg_nbd.expected_new(kernel, days / unit),
            _steps(horizon_days, discount_rate),
        )
        value = math.nan if self.spend is None else self.spend.mean_order_value
        return NewCustomer(float(purchases), float(discounted) * value)

    def total(
        self, horizon_days: float = 365.0, *, discount_rate: float = 0.0
    ) -> ExpectedTotal:
        """Say what all buyers together are going to buy, and what it is worth.

        Parameters
        ----------
        horizon_days : float, optional
            Days to come after the last observed day, 1 to 36,525.
        discount_rate : float, optional
            Annual rate by which money to come is discounted, 0 to 10.

        Returns
        -------
        ExpectedTotal
            Sums of `predict`, with 95 % intervals.

        Raises
        ------
        SettingError
            When the horizon or the rate is outside its range.

        Notes
        -----
        Delta method on the log of the total: its variance is g' C g, where g are the
        derivatives by the log of each parameter and C is the covariance of those
        logs; purchases and spend are fitted apart and taken as independent. The
        interval says how well the *expected* total is known. What really happens
        varies more, because purchases are random even with known parameters.
        """
        cut = _steps(horizon_days, discount_rate)
        people = self.triples.n_people
        spend = self.spend
        spent = people * math.nan if spend is None else self._spent(spend.kernel)

        def by_flow(params: FloatArray) -> FloatArray:
            """Return purchases and value under other purchase parameters."""
            flow = self._flow(params, cut)
            return np.array([flow.purchases @ people, flow.discounted @ spent])

        def by_spend(params: FloatArray) -> FloatArray:
            """Return the value under other spend parameters."""
            return np.array([discounted @ self._spent(GammaGamma(*params))])

        _, purchases, discounted = self._flow(self.params.values(), cut)
        sums = np.array([purchases @ people, discounted @ spent])
        variance = _variance(by_flow, self, n=2)
        if spend is not None:
            variance[1] += _variance(by_spend, spend, n=1)[0]
        relative = np.sqrt(variance) / np.where(sums > 0, sums, 1.0)
        factor = np.exp(normal_quantile(CONFIDENCE) * relative)
        ends = np.stack([sums, sums / factor, sums * factor], axis=1)
        return ExpectedTotal(self.n_people, *ends.ravel().tolist())

    def _flow(self, params: Iterable[float], cut: Steps) -> _Flow:
        """Compute what is to come from each triple, under given parameters."""
        kernel = BgNbd(*params)
        x = self.triples.n_purchases - 1
        age = self.triples.age_days / self.unit_days
        recency = self.triples.recency_days / self.unit_days
        alive = bg_nbd.p_alive(kernel, x=x, recency=recency, age=age)
        pair_x, pair_age, pair_no = bg_nbd.distinct_pairs(x, age)
        purchases, discounted = within(
            lambda days: bg_nbd.expected_if_alive(
                kernel, x=pair_x, age=pair_age, horizon=days / self.unit_days
            ),
            cut,
        )
        return _Flow(alive, alive * purchases[pair_no], alive * discounted[pair_no])

    def _spent(self, params: GammaGamma) -> FloatArray:
        """Sum the expected order value over the people of each triple."""
        triples = self.triples
        # It is linear in what a person spent: the mean total gives the mean value.
        mean_total = triples.repeat_value / triples.n_people
        value = gamma_gamma.expected_spend(
            params, x=triples.n_purchases - 1, total=mean_total
        )
        return value * triples.n_people

    def _order_value(self, people: ir.Table) -> ir.Value:
        """Write the expected value of a purchase as an expression for the engine."""
        if self.spend is None:
            return ibis.null("float64")
        p, q, v = self.spend.kernel
        x = (people.n_purchases - 1).cast("float64")
        return (people.repeat_value + v) * p / (x * p + (q - 1))

    def _facts(self) -> list[Fact]:
        """List what a reader wants to know first."""
        facts: list[Fact] = [
            ("model", "BG/NBD" + (" and Gamma-Gamma" if self.spend else "")),
            ("observed until", self.end),
            ("unit of time", format_value(self.unit_days, "days")),
            ("buyers", self.n_people),
            ("with a repeat purchase", self.n_repeat_buyers),
            ("repeat purchases", self.n_repeat_purchases),
            ("log-likelihood", f"{self.log_likelihood:,.3f}"),
        ]
        if self.spend is None:
            facts.append(("no spend model", self.spend_reason))
        return facts

    def _sections(self) -> list[Section]:
        """List the tables to show; reasons only when there are any."""
        table = self.summary()
        return [
            ("", table if table["reason"].any() else table.drop(columns="reason"), "")
        ]

    def __repr__(self) -> str:
        """Show the fit and its parameters as text."""
        return show_text("LifetimeModel", self._facts(), tables=self._sections())

    def _repr_html_(self) -> str:
        """Show the fit and its parameters in a notebook."""
        return show_html("LifetimeModel", self._facts(), tables=self._sections())


def _reason(at_bound: tuple[str, ...]) -> str:
    """Say why there are no standard errors; nothing when there are."""
    if not at_bound:
        return ""
    return f"not determined by the data: {', '.join(at_bound)}"


def _variance(
    function: Callable[[FloatArray], FloatArray],
    part: LifetimeModel | SpendModel,
    *,
    n: int,
) -> FloatArray:
    """Return the variance of `n` numbers, missing when the fit has no errors."""
    if part.covariance is None:
        return np.full(n, math.nan)
    estimates = list(part.params.values())
    return delta_variance(function, estimates=estimates, covariance=part.covariance)


def _steps(horizon_days: float, discount_rate: float) -> Steps:
    """Check horizon and rate, and cut the horizon into months."""
    check_number("horizon_days", horizon_days, low=1, high=MAX_DAYS)
    check_number("discount_rate", discount_rate, low=0, high=10)
    return steps(horizon_days, discount_rate=discount_rate)


def buyers(events: Events) -> ir.Table:
    """Return everybody with a purchase.

    Parameters
    ----------
    events : Events
        Result of `read_events`.

    Returns
    -------
    ibis table
        Rows of `Events.core`.
    """
    return events.core.filter(events.core.n_purchases > 0)
