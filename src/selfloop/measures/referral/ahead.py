"""Who is going to bring others: each customer's referrals to come, and their worth."""

import math
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import NamedTuple

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.settings import CONFIDENCE, check_number, check_whole
from selfloop.kernels.growing import Growth
from selfloop.kernels.horizon import MAX_DAYS
from selfloop.kernels.intervals import gamma_interval, log_interval
from selfloop.kernels.referring import (
    expected_more,
    quantile_of_more,
    value_quantile,
    variance_of_more,
)
from selfloop.kernels.resampling import at_risk, jackknife_variance, left_out
from selfloop.kernels.rows import dot
from selfloop.measures.referral.histories import N_GROUPS, Histories
from selfloop.measures.referral.shape import Estimates, Shape, estimate_without
from selfloop.measures.referral.worth import PersonWorth, worth_of_one

_TAIL = (1 - CONFIDENCE) / 2


class ReferralTotal(NamedTuple):
    """People to be brought by all customers together, and what they are worth.

    Parameters
    ----------
    n_people, horizon_days : int
        Customers, and days ahead.
    referrals, referrals_low, referrals_high : float
        Expected number of people brought who buy, and the 95 % range of what will
        happen.
    referrals_mean_low, referrals_mean_high : float
        95 % interval of the expected number: how well it is known.
    value, value_low, value_high, value_mean_low, value_mean_high : float
        The same of what these people and all who follow from them are worth; missing
        when that is not known (see `PersonWorth.reason`).
    """

    n_people: int
    horizon_days: int
    referrals: float
    referrals_low: float
    referrals_high: float
    referrals_mean_low: float
    referrals_mean_high: float
    value: float
    value_low: float
    value_high: float
    value_mean_low: float
    value_mean_high: float


@dataclass(frozen=True, eq=False)
class ReferralModel:
    """Referrals of customers by age, and how they differ; made by `fit_referrals`.

    Parameters
    ----------
    k, k_low, k_high : float
        How alike customers are in bringing others, with its 95 % interval: under 1 a
        few bring most; the ends are missing where it is not determined (`at_bound`).
    r : float
        People brought per customer by age `longest_days`: R of `self_loop`.
    longest_days : int
        Age up to which enough customers were observed.
    growth : Growth or None
        Smooth mean number by age, used beyond `longest_days`.
    growth_reason : str
        Why there is none; empty when there is one.
    n_people, n_referrers, n_referrals : int
        Buyers, those who brought a buyer since their own first purchase, and the
        buyers they brought.
    at_bound : tuple of str
        Parameters that the data do not determine.
    end : date
        Last day that counts.
    coefficients : DataFrame
        Columns of `schema.LIFTS`: what is known of customers and makes them bring
        more or fewer people; no row without covariates.
    """

    k: float
    k_low: float
    k_high: float
    r: float
    longest_days: int
    growth: Growth | None
    growth_reason: str
    n_people: int
    n_referrers: int
    n_referrals: int
    at_bound: tuple[str, ...]
    end: date
    coefficients: pd.DataFrame = field(repr=False)
    found: Estimates = field(repr=False)
    whom: Histories = field(repr=False)

    def predict(
        self, horizon_days: int = 90, *, value_days: int = 365, margin: float = 1.0
    ) -> ir.Table:
        """Say how many people each buyer is going to bring, and what they are worth.

        Parameters
        ----------
        horizon_days : int
            Days to come after the last day that counts, 1 to 36,525.
        value_days : int
            Days after their first purchase in which what the people brought spend
            counts, at least 1.
        margin : float
            Share of revenue that is kept, above 0 to 1.

        Returns
        -------
        ibis table
            Columns of `schema.REFERRALS_AHEAD`, one row per buyer, in no order.
            Missing beyond the ages that can be spoken of (`growth_reason`), and
            values when the worth of a person is not known (`worth`).

        Raises
        ------
        SettingError
            When a setting is outside its range.

        Notes
        -----
        With y people brought by age a, (k + y) / (k + M(a)) is the `tendency` of the
        buyer, 1 on average, and tendency * (M(a + h) - M(a)) are expected in the next h
        days. Each is worth L / (1 - R): what a referred buyer spends, and all who
        follow from them. People to come are counted once, at the customer of today
        whom they come from, so these values add up.

        Examples
        --------
        >>> import selfloop as sl
        >>> shop = sl.simulate(n_visitors=2000, seed=7)
        >>> model = sl.fit_referrals(sl.read_events(shop.orders, shop.referrals))
        >>> table = model.predict(90)
        >>> int(table.count().to_pandas()) == model.n_people
        True
        """
        check_whole("horizon_days", horizon_days, low=1, high=MAX_DAYS)
        one = self.worth(value_days=value_days, margin=margin)
        ahead = self.shape.ahead(self.whom, horizon_days)
        # A smooth curve never quite ends; a millionth of a person is nobody.
        more = np.round(expected_more(self.k, **ahead), 6)
        low, high = (quantile_of_more(self.k, q, **ahead) for q in (_TAIL, 1 - _TAIL))
        value_low, value_high = (
            value_quantile(self.k, q, worth=one.value, spread=one.spread, **ahead)
            for q in (_TAIL, 1 - _TAIL)
        )
        known = np.isfinite(more)
        keys = {
            "age_days": self.whom.age.astype(np.int64),
            "n_brought": self.whom.y.astype(np.int64),
            **self.whom.values,
        }
        rows = {
            "tendency": (self.k + ahead["y"]) / (self.k + ahead["mean"]),
            "expected_referrals": more,
            "n_referrals_low": np.where(known, low, math.nan),
            "n_referrals_high": np.where(known, high, math.nan),
            "expected_social_value": more * one.value,
            "social_value_low": value_low,
            "social_value_high": value_high,
        }
        first = _first_of_each(self.whom)
        table = pa.table({name: c[first] for name, c in {**keys, **rows}.items()})
        table = self.whom.events.engine.upload(table, "referrals_ahead")
        joined = self.whom.people.join(table, list(keys))
        return joined.select(*schema.names("referrals_ahead"))

    def worth(self, *, value_days: int = 365, margin: float = 1.0) -> PersonWorth:
        """Say what one more buyer who is brought is worth, with all who follow.

        Parameters
        ----------
        value_days, margin
            As in `predict`.

        Returns
        -------
        PersonWorth

        Raises
        ------
        SettingError
            When a setting is outside its range.
        """
        check_whole("value_days", value_days, low=1, high=MAX_DAYS)
        check_number("margin", margin, low=1e-9, high=1)
        asked = value_days, margin
        if asked not in self._worths:
            self._worths[asked] = worth_of_one(
                self.whom, self.k, value_days=value_days, margin=margin
            )
        return self._worths[asked]

    def total(
        self, horizon_days: int = 90, *, value_days: int = 365, margin: float = 1.0
    ) -> ReferralTotal:
        """Add up the referrals to come of all buyers, with intervals.

        Parameters
        ----------
        horizon_days, value_days, margin
            As in `predict`.

        Returns
        -------
        ReferralTotal

        Raises
        ------
        SettingError
            When a setting is outside its range.

        Notes
        -----
        What is not known of the curve, of k and of the worth of a person is measured by
        leaving out each of 50 groups of customers in turn and predicting for everybody
        (delete-a-group jackknife). What happens varies by chance as well: the variance
        of each customer's number and value is added.
        """
        check_whole("horizon_days", horizon_days, low=1, high=MAX_DAYS)
        one = self.worth(value_days=value_days, margin=margin)
        counts = self.whom.n_people

        def sum_of(shape: Shape) -> float:
            """Return the expected number under other estimates."""
            ahead = shape.ahead(self.whom, horizon_days)
            return dot(expected_more(shape.k, **ahead), counts)

        ahead = self.shape.ahead(self.whom, horizon_days)
        number = sum_of(self.shape)
        others = np.array([sum_of(shape) for shape in self.replicates])
        chance = dot(variance_of_more(self.k, **ahead), counts)
        known = float(jackknife_variance(others))
        value = number * one.value
        value_known = float(jackknife_variance(others * one.replicates))
        value_chance = number * one.spread**2 + chance * one.value**2
        return ReferralTotal(
            self.n_people,
            horizon_days,
            *gamma_interval(number, known + chance, confidence=CONFIDENCE),
            *log_interval(number, known, confidence=CONFIDENCE)[1:],
            *gamma_interval(value, value_known + value_chance, confidence=CONFIDENCE),
            *log_interval(value, value_known, confidence=CONFIDENCE)[1:],
        )

    @cached_property
    def _worths(self) -> dict[tuple[float, float], PersonWorth]:
        """What was asked for already: each takes passes over the orders."""
        return {}

    @property
    def shape(self) -> Shape:
        """The estimates of all customers together."""
        return self.found.shape

    @cached_property
    def replicates(self) -> list[Shape]:
        """Estimates without each of 50 groups of customers in turn."""
        ages = self.whom.ages
        people = at_risk(ages.n_followup)
        brought = left_out(ages.n_brought)
        last = self.longest_days + 1
        shapes = []
        for group in range(N_GROUPS):
            kept = self.whom.group != group
            counts = brought[group, :last], people[group, :last]
            shapes.append(
                self.found.shape
                if kept.all()
                else estimate_without(self.found, self.whom, *counts, kept=kept)
            )
        return shapes

    def to_frame(self) -> pd.DataFrame:
        """Return the mean number brought by age: age_days, mean."""
        mean = self.shape.mean
        return pd.DataFrame({"age_days": np.arange(mean.size), "mean": mean})

    def _facts(self) -> list[tuple[str, object]]:
        """List what a reader wants to know first."""
        k = f"{self.k:.3f} ({self.k_low:.3f} to {self.k_high:.3f})"
        if self.at_bound:
            k = "large: customers are alike" if self.k > 1 else "not determined"
        return [
            ("observed until", self.end),
            ("buyers", self.n_people),
            ("who brought a buyer", self.n_referrers),
            ("buyers they brought", self.n_referrals),
            (f"brought per buyer by day {self.longest_days}", f"{self.r:.3f}"),
            ("k, how alike buyers are", k),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        shown = self.coefficients
        return [("covariates", shown, "lifts")] if len(shown) else []

    def __repr__(self) -> str:
        """Show the model as text."""
        return show_text("Referrals ahead", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the model in a notebook."""
        return show_html("Referrals ahead", self._facts(), tables=self._tables())


def _first_of_each(whom: Histories) -> npt.NDArray[np.int64]:
    """Return one row per history, whatever the group."""
    table = pd.DataFrame({"age": whom.age, "y": whom.y, **whom.values})
    return np.flatnonzero(~table.duplicated().to_numpy())
