"""What a fitted lifetime model says: parameters, people, new customers, totals."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import Fact, Section, format_value, show_html, show_text
from selfloop.core.errors import SettingError
from selfloop.core.settings import (
    CONFIDENCE,
    Purchase,
    ZeroOrders,
    check_number,
    check_whole,
)
from selfloop.inputs.events import Events
from selfloop.kernels.covariates import Effect, effects_of
from selfloop.kernels.intervals import normal_quantile
from selfloop.kernels.purchase_model import PurchaseModel
from selfloop.kernels.purchase_models import purchase_model
from selfloop.kernels.rows import FloatArray
from selfloop.measures.lifetime.compare import ModelComparison
from selfloop.measures.lifetime.design import Covariate
from selfloop.measures.lifetime.flow import Histories, cut_horizon
from selfloop.measures.lifetime.forecast import (
    Forecast,
    Part,
    attached,
    new_customer,
    totals,
)
from selfloop.measures.lifetime.parts import (
    ExpectedTotal,
    FrequencyRecency,
    NewCustomer,
    SpendModel,
)
from selfloop.measures.lifetime.population import Population, population
from selfloop.measures.lifetime.ranges import intervals

_MAX_SHOWN = 1_000  # rows or columns of a matrix
_MOST_LOG_LIFT = 20.0  # a lift of more than 485 million is one of the unit

PROCESSES = ("purchase rate", "leaving", "order value")
"""What a covariate may act on."""


@dataclass(frozen=True, eq=False)
class LifetimeModel:
    """A fitted model of purchases and spend; made by `fit_lifetime`.

    Parameters
    ----------
    model : str
        Name of the model of purchases, such as ``"mbg_nbd"``.
    settings : dict of str to float
        What fixes its form: k, tau_days or opportunity_days; mostly empty.
    params, standard_errors : dict of str to float
        Parameters, times in units of `unit_days`, where covariates are 0. No standard
        errors when `at_bound` names anything.
    coefficients : dict of str to float
        What each term of the covariates adds to the log of the purchase rate, and to
        that of the tendency to leave; by process and term.
    covariance : ndarray or None
        Covariance of the parameters, then the coefficients.
    log_likelihood, aic, bic : float
        With time in units of `unit_days`, without the terms that hold no parameter
        of any model.
    n_people, n_repeat_buyers, n_repeat_purchases : int
        Buyers, those with a second purchase, and all purchases but the first ones.
    n_distinct : int
        Distinct histories: the work of the fit.
    unit_days : float
        Unit of time of the parameters, in days.
    at_bound : tuple of str
        Parameters that the data do not determine. Predictions hold nevertheless:
        the likelihood is flat in what they do not depend on.
    gradient : float
        Largest derivative of the mean log-likelihood at the estimates.
    penalty : float
        Weight of the penalty; 0 is plain maximum likelihood.
    engine : str
        What searched: ``"selfloop"`` or ``"lifetimes"``.
    covariates : tuple of Covariate
        How covariates enter; empty without any.
    tests : DataFrame
        Columns of `schema.COVARIATE_TESTS`; no row without covariates.
    spend : SpendModel or None
        None when values cannot be modelled.
    spend_reason : str
        Why there is no spend model; empty when there is one.
    share_kept : float
        Net revenue / value of purchases: what refunds outside purchases leave.
    start, end : date
        First and last observed day; ages and horizons count from the close of `end`.
    timezone, purchase, zero_orders : str
        Rules by which events became purchases.
    currency : str or None
        Currency of all money.
    library_version : str
        Version of selfloop that fitted it.
    choice : ModelComparison or None
        The models it was chosen from and why; None when the user chose.
    population : Population or None
        Who it was fitted on, and for whom it predicts; None when read from a file.
    """

    model: str
    settings: dict[str, float]
    params: dict[str, float]
    standard_errors: dict[str, float]
    coefficients: dict[str, float]
    covariance: FloatArray | None = field(repr=False)
    log_likelihood: float
    aic: float
    bic: float
    n_people: int
    n_repeat_buyers: int
    n_repeat_purchases: int
    n_distinct: int
    unit_days: float
    at_bound: tuple[str, ...]
    gradient: float
    penalty: float
    engine: str
    covariates: tuple[Covariate, ...]
    tests: pd.DataFrame = field(repr=False)
    spend: SpendModel | None
    spend_reason: str
    share_kept: float
    start: date
    end: date
    timezone: str
    purchase: Purchase
    zero_orders: ZeroOrders
    currency: str | None
    library_version: str
    choice: ModelComparison | None = field(repr=False)
    population: Population | None = field(repr=False)

    @property
    def kernel(self) -> PurchaseModel:
        """The model of purchases, in the unit of time of the parameters."""
        k, tau_days = self.settings.get("k"), self.settings.get("tau_days")
        return purchase_model(
            self.model,
            k=None if k is None else int(k),
            tau=None if tau_days is None else tau_days / self.unit_days,
        )

    @property
    def label(self) -> str:
        """Name of the model of purchases for people."""
        return self.kernel.label

    @property
    def values(self) -> FloatArray:
        """Parameters and coefficients as they were searched."""
        return np.array([*self.params.values(), *self.coefficients.values()])

    @property
    def effects(self) -> tuple[Effect, ...]:
        """What the coefficients act on."""
        if not self.coefficients:
            return ()
        purchase, dropout = (self._columns(p, self) for p in PROCESSES[:2])
        return effects_of(self.kernel, purchase=purchase, dropout=dropout)

    @property
    def _terms(self) -> list[str]:
        """Names of the columns of the design."""
        return [term for c in self.covariates for term in c.terms]

    def _columns(
        self, process: str, part: "LifetimeModel | SpendModel"
    ) -> tuple[int, ...]:
        """Return the columns of the design that act on a process."""
        names = part.coefficients
        return tuple(
            i for i, term in enumerate(self._terms) if f"{process}: {term}" in names
        )

    def _design(self, given: Mapping[str, str | float]) -> FloatArray:
        """Return the design of one customer with some covariates."""
        known = [c.name for c in self.covariates]
        if not isinstance(given, Mapping):
            raise SettingError(f"given must be a dict; got {given!r}")
        strange = [name for name in given if name not in known]
        if strange:
            raise SettingError(
                f"given must name covariates of the model ({', '.join(known) or 'none'}"
                f"); got {', '.join(map(repr, strange))}"
            )
        parts = [np.zeros((1, 0))]
        for c in self.covariates:
            value = given.get(c.name, c.reference if c.levels else c.mean)
            if c.levels and value not in (c.reference, *c.levels, *c.small):
                raise SettingError(
                    f"{c.name} must be one of {(c.reference, *c.levels)}; got {value!r}"
                )
            if not c.levels:
                check_number(c.name, value, low=-1e100, high=1e100)  # type: ignore[arg-type]
            parts.append(c.design(np.array([value], dtype=object)))
        return np.concatenate(parts, axis=1)

    def summary(self) -> pd.DataFrame:
        """Show the parameters with their standard errors and intervals.

        Returns
        -------
        DataFrame
            parameter, estimate, standard_error, low, high, reason. The 95 %
            interval of a parameter is taken on the log scale, estimate *
            exp(-+ 1.96 se/estimate), so it stays above 0; that of a coefficient is
            symmetric. Where the data do not determine the parameters, error and
            interval are missing and `reason` says so.
        """
        z = normal_quantile(CONFIDENCE)
        rows = []
        for part in (self, self.spend):
            if part is None:
                continue
            errors = _errors(part)
            names = [*part.params, *part.coefficients]
            reason = _reason(part.at_bound)
            for name, value, error in zip(names, part.values, errors, strict=True):
                if name in part.params:
                    factor = math.exp(z * error / value)
                    ends = (value / factor, value * factor)
                else:
                    ends = (value - z * error, value + z * error)
                rows.append((name, value, error, *ends, reason))
        columns = ["parameter", "estimate", "standard_error", "low", "high", "reason"]
        return pd.DataFrame(rows, columns=columns)

    def lifts(self) -> pd.DataFrame:
        """Show how much more or less customers with a covariate buy, leave and spend.

        Returns
        -------
        DataFrame
            Columns of `schema.LIFTS`: for each process and term the ratio
            exp(coefficient) with its 95 % interval, or the reason why there is none.
            No row without covariates.
        """
        z = normal_quantile(CONFIDENCE)
        rows = []
        for part in (self, self.spend):
            if part is None or not part.coefficients:
                continue
            errors = _errors(part)[len(part.params) :]
            reason = _reason(part.at_bound)
            for (name, value), error in zip(
                part.coefficients.items(), errors, strict=True
            ):
                process, term = name.split(": ", 1)
                logs = np.array([value, value - z * error, value + z * error])
                why = reason
                if np.abs(logs[np.isfinite(logs)]).max() > _MOST_LOG_LIFT:
                    logs[:] = math.nan
                    why = f"one unit of {term} is far more than its range"
                ends = np.exp(logs).tolist()
                rows.append((process, term, self._reference(term), *ends, why))
        return pd.DataFrame(rows, columns=schema.names("lifts"))

    def predict(
        self,
        horizon_days: float = 365.0,
        *,
        discount_rate: float = 0.0,
        margin: float = 1.0,
        events: Events | None = None,
        attributes: object | None = None,
    ) -> ir.Table:
        """Say what each buyer is still going to buy, and what it is worth.

        Parameters
        ----------
        horizon_days : float, optional
            Days to come after the last observed day, 1 to 36,525.
        discount_rate : float, optional
            Annual rate by which money to come is discounted, 0 to 10; 0.1 is 10 %.
        margin : float, optional
            Share of revenue that is kept after the cost of what was sold, above 0 to 1.
        events : Events, optional
            Other events to predict for, read by the same rules; those that it was
            fitted on by default.
        attributes : path or table, optional
            The customers of other events, when the model has covariates of theirs.

        Returns
        -------
        ibis table
            Columns of `schema.LIFETIME_PEOPLE`, one row per buyer, in no order.
            Columns of value are missing without a spend model (see `spend_reason`).
            Purchases are not discounted, value is.

        Raises
        ------
        SettingError
            When the horizon, rate or margin is outside its range, or the events do
            not fit the model.

        Notes
        -----
        expected_value = p_alive * purchases_if_alive * expected_order_value *
        discount_factor * margin. The discount factor is the sum over months k of
        [E(t_k) - E(t_(k-1))] * (1 + rate)^-((t_(k-1) + t_k) / 2 / 365.25) over E,
        where E(t) are the purchases expected within t days and t_k are multiples of
        30.4375 days, the last one cut at the horizon. E is computed once for each
        distinct history, and joined to the people in the engine. Orders of value 0
        are purchases only with ``zero_orders="count"``; refunds on the day of a
        purchase are inside its value, and all others lower every value by `share_kept`.

        Examples
        --------
        >>> import selfloop as sl
        >>> shop = sl.simulate(n_visitors=500, seed=7)
        >>> model = sl.fit_lifetime(sl.read_events(shop.orders))
        >>> table = model.predict(horizon_days=90)
        >>> int(table.count().to_pandas()) == model.n_people
        True
        """
        model = self.on(events, attributes)
        forecast = model.forecast(
            horizon_days, discount_rate=discount_rate, margin=margin
        )
        whom = model.whom
        core = whom.events.core
        bought = whom.people.select("person_no")
        people = attached(forecast, whom, core.semi_join(bought, "person_no"))
        revenue = people.revenue.cast("float64")
        if not whom.is_roster:
            own = whom.people.select(
                "person_no", now=whom.people.revenue.cast("float64")
            )
            people = people.left_join(own, "person_no").drop("person_no_right")
            revenue = people.now
        people = people.mutate(historic_value=revenue * margin)
        people = people.mutate(
            lifetime_value=people.historic_value + people.expected_value
        )
        return people.select(*schema.names("lifetime_people"))

    def attach(
        self,
        people: ir.Table,
        horizon_days: float,
        *,
        discount_rate: float = 0.0,
        margin: float = 1.0,
    ) -> ir.Table:
        """Add what is expected of them to rows of `Events.core`.

        Parameters
        ----------
        people : ibis table
            Rows of `Events.core` of the events it was fitted on, buyers or not.
        horizon_days, discount_rate, margin : float
            As in `predict`.

        Returns
        -------
        ibis table
            The same rows with p_alive, purchases_if_alive, expected_purchases,
            discount_factor, expected_order_value and expected_value; missing for
            people who never bought.
        """
        forecast = self.forecast(
            horizon_days, discount_rate=discount_rate, margin=margin
        )
        return attached(forecast, self.whom, people)

    def predict_intervals(
        self,
        horizon_days: float = 365.0,
        *,
        discount_rate: float = 0.0,
        margin: float = 1.0,
        confidence: float = CONFIDENCE,
        events: Events | None = None,
        attributes: object | None = None,
    ) -> ir.Table:
        """Say how sure the prediction of each buyer is, and what may happen.

        Parameters
        ----------
        horizon_days, discount_rate, margin, events, attributes
            As in `predict`.
        confidence : float, optional
            Confidence level, above 0 and below 1.

        Returns
        -------
        ibis table
            Columns of `schema.LIFETIME_INTERVALS`, one row per buyer, in no order.
            Ends of means are missing without standard errors, those of value without
            a spend model.

        Raises
        ------
        SettingError
            As `predict`, and when the confidence is outside its range.

        Notes
        -----
        P(alive) and expected purchases by the delta method: how well the model knows
        these means. n_purchases_low to high, and value_low to high, are quantiles of
        what one customer may do, at the estimated parameters.
        """
        normal_quantile(confidence)
        model = self.on(events, attributes)
        forecast = model.forecast(
            horizon_days, discount_rate=discount_rate, margin=margin
        )
        table = intervals(forecast, model.whom, confidence=confidence)
        return table.select(*schema.names("lifetime_intervals"))

    def expected_new_customer(
        self,
        horizon_days: float = 365.0,
        *,
        discount_rate: float = 0.0,
        margin: float = 1.0,
        given: Mapping[str, str | float] | None = None,
    ) -> NewCustomer:
        """Say what to expect of somebody who has just bought for the first time.

        Parameters
        ----------
        horizon_days : float, optional
            Days after the first purchase, 1 to 36,525.
        discount_rate, margin : float, optional
            As in `predict`.
        given : dict, optional
            Covariates of that customer, such as ``{"source": "referral"}``; the
            reference level, or the mean, of those that are not named.

        Returns
        -------
        NewCustomer
            Expected repeat purchases and their value. The first purchase is not
            included.

        Raises
        ------
        SettingError
            When the horizon or the rate is outside its range, or a covariate is not
            one of the model.
        """
        forecast = self.forecast(
            horizon_days, discount_rate=discount_rate, margin=margin
        )
        found = new_customer(forecast, self._design(given or {}))
        return NewCustomer(*found[0], *found[1])

    def new_customers(
        self,
        by: str,
        horizon_days: float = 365.0,
        *,
        discount_rate: float = 0.0,
        margin: float = 1.0,
    ) -> pd.DataFrame:
        """Compare what to expect of new customers that differ in one covariate.

        Parameters
        ----------
        by : str
            A categorical covariate of the model, such as ``"source"``.
        horizon_days, discount_rate, margin : float, optional
            As in `expected_new_customer`.

        Returns
        -------
        DataFrame
            Columns of `schema.NEW_CUSTOMERS`, one row per level, the reference first.

        Raises
        ------
        SettingError
            When it is no such covariate.
        """
        found = [c for c in self.covariates if c.name == by and c.levels]
        if not found:
            known = [c.name for c in self.covariates if c.levels]
            raise SettingError(
                f"by must be a categorical covariate of the model ({known}); got "
                f"{by!r}; fit it with fit_lifetime(events, covariates=[{by!r}])"
            )
        rows = []
        for level in (found[0].reference, *found[0].levels):
            new = self.expected_new_customer(
                horizon_days,
                discount_rate=discount_rate,
                margin=margin,
                given={by: level},
            )
            rows.append((level, *new))
        return pd.DataFrame(rows, columns=schema.names("new_customers"))

    def total(
        self,
        horizon_days: float = 365.0,
        *,
        discount_rate: float = 0.0,
        margin: float = 1.0,
        events: Events | None = None,
        attributes: object | None = None,
    ) -> ExpectedTotal:
        """Say what all buyers together are going to buy, and what it is worth.

        Parameters
        ----------
        horizon_days, discount_rate, margin, events, attributes
            As in `predict`.

        Returns
        -------
        ExpectedTotal
            Sums of `predict`, with 95 % intervals of what will happen, and of the
            expectation alone.

        Raises
        ------
        SettingError
            As `predict`.

        Notes
        -----
        Delta method on the log of the sum for the expectation; the variance of what
        happens by chance is added for what will happen (see `forecast.totals`).
        """
        model = self.on(events, attributes)
        forecast = model.forecast(
            horizon_days, discount_rate=discount_rate, margin=margin
        )
        purchases, value = totals(forecast, model.whom)
        return ExpectedTotal(
            model.whom.n_people,
            *purchases.actual,
            *purchases.mean[1:],
            *value.actual,
            *value.mean[1:],
        )

    def matrix(
        self, horizon_days: float = 365.0, *, max_purchases: int = 20, n_ages: int = 40
    ) -> FrequencyRecency:
        """Show what the model says of customers by purchases and the last of them.

        Parameters
        ----------
        horizon_days : float, optional
            Days to come, 1 to 36,525.
        max_purchases : int, optional
            Most purchases shown, 1 to 1,000.
        n_ages : int, optional
            Ages at the last purchase shown, 2 to 1,000.

        Returns
        -------
        FrequencyRecency
            For customers observed as long as the first buyers, covariates at 0.

        Raises
        ------
        SettingError
            When a number is outside its range.
        """
        check_whole("max_purchases", max_purchases, low=1, high=_MAX_SHOWN)
        check_whole("n_ages", n_ages, low=2, high=_MAX_SHOWN)
        forecast = self.forecast(horizon_days, discount_rate=0.0, margin=1.0)
        age = float((self.end - self.start).days)
        if self.kernel.is_discrete:
            age -= age % self.unit_days
        last = np.linspace(0, age, n_ages)
        if self.kernel.is_discrete:
            last = np.arange(0, age + 1, self.unit_days)
        n = np.arange(1, max_purchases + 1, dtype=np.float64)
        x, recency = (grid.ravel() for grid in np.meshgrid(n - 1, last, indexing="ij"))
        possible = (x == 0) == (recency == 0)
        if self.kernel.is_discrete:
            possible &= x <= recency / self.unit_days
        rows = Histories(
            x, recency / self.unit_days, np.full(x.size, age / self.unit_days)
        )
        kept = Histories(*(column[possible] for column in rows))
        design = np.zeros((1, len(self._terms)))
        found = forecast.flow(self.values, kept, design)
        shape = (n.size, last.size)
        grids = []
        for values in (found.p_alive, found.p_alive * found.if_alive):
            grid = np.full(x.size, math.nan)
            grid[possible] = values
            grids.append(grid.reshape(shape))
        return FrequencyRecency(n, last, age, float(horizon_days), *grids)

    def forecast(
        self, horizon_days: float, *, discount_rate: float, margin: float
    ) -> Forecast:
        """Return the model and a horizon, ready to be asked.

        Parameters
        ----------
        horizon_days, discount_rate, margin : float
            As in `predict`.

        Returns
        -------
        Forecast

        Raises
        ------
        SettingError
            When one is outside its range.
        """
        check_number("margin", margin, low=1e-9, high=1)
        kernel = self.kernel
        spend = None
        if self.spend is not None:
            effects = (Effect(2, 1, self._columns("order value", self.spend)),)
            with_terms = effects if self.spend.coefficients else ()
            spend = Part(self.spend.values, self.spend.covariance, with_terms, 3)
        return Forecast(
            kernel=kernel,
            purchases=Part(
                self.values, self.covariance, self.effects, len(kernel.parameters)
            ),
            spend=spend,
            unit_days=self.unit_days,
            cut=cut_horizon(kernel, self.unit_days, horizon_days, discount_rate),
            money_factor=margin * self.share_kept,
        )

    @property
    def whom(self) -> Population:
        """The buyers for whom it predicts."""
        found = self.on(None).population
        assert found is not None
        return found

    def on(
        self, events: Events | None, attributes: object | None = None
    ) -> "LifetimeModel":
        """Return this model with other events to predict for.

        Parameters
        ----------
        events : Events or None
            Events read by the same rules; None for those that it was fitted on.
        attributes : path or table, optional
            Their customers, when the model has covariates of theirs.

        Returns
        -------
        LifetimeModel

        Raises
        ------
        SettingError
            When there are no events, or they were read by other rules.
        """
        if events is None or (self.population and events is self.population.events):
            if self.population is None:
                raise SettingError(
                    "a model read from a file knows no customers; pass events="
                )
            return self
        Events.check(events)
        given = (events.rules.timezone, events.rules.purchase, events.rules.zero_orders)
        fitted = (self.timezone, self.purchase, self.zero_orders)
        if given != fitted or events.currency != self.currency:
            raise SettingError(
                f"events must be read as those of the model: timezone, purchase, "
                f"zero_orders and currency {(*fitted, self.currency)}; "
                f"got {(*given, events.currency)}"
            )
        opportunity = self.settings.get("opportunity_days")
        people = population(
            events,
            opportunity_days=None if opportunity is None else int(opportunity),
            covariates=self.covariates,
            attributes=attributes,
        )
        return replace(self, population=people, end=events.end)

    def _reference(self, term: str) -> str:
        """Return what a term is compared with."""
        for covariate in self.covariates:
            if term in covariate.terms:
                return covariate.reference or "one unit less"
        return ""

    def _facts(self) -> list[Fact]:
        """List what a reader wants to know first."""
        facts: list[Fact] = [
            ("model", self.label + (" and Gamma-Gamma" if self.spend else "")),
            ("observed until", self.end),
            ("unit of time", format_value(self.unit_days, "days")),
            ("buyers", self.n_people),
            ("with a repeat purchase", self.n_repeat_buyers),
            ("repeat purchases", self.n_repeat_purchases),
            ("log-likelihood", f"{self.log_likelihood:,.3f}"),
        ]
        if self.choice is not None:
            facts.insert(1, ("chosen", self.choice.reason))
        if self.spend is None:
            facts.append(("no spend model", self.spend_reason))
        return facts

    def _sections(self) -> list[Section]:
        """List the tables to show; reasons only when there are any."""
        table = self.summary()
        shown = table if table["reason"].any() else table.drop(columns="reason")
        sections: list[Section] = [("", shown, "")]
        if self.coefficients:
            lifts = self.lifts()
            lifts = lifts if lifts["reason"].any() else lifts.drop(columns="reason")
            sections.append(("lift of covariates", lifts, "lifts"))
        return sections

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


def _errors(part: LifetimeModel | SpendModel) -> FloatArray:
    """Return standard errors of parameters and coefficients; NaN without any."""
    if part.covariance is None:
        return np.full(part.values.size, math.nan)
    return np.sqrt(np.diag(part.covariance))
