"""What people do by their distance to somebody who came alone."""

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.errors import SettingError
from selfloop.core.settings import CONFIDENCE, MIN_AT_RISK
from selfloop.inputs.baskets import soon
from selfloop.inputs.events import Events
from selfloop.kernels.intervals import normal_quantile, wilson


def generation_table(
    events: Events, window_days: int, values: ir.Table | None
) -> pd.DataFrame:
    """Count people, buyers and money by generation, and what they did in W days.

    Parameters
    ----------
    events : Events
        With referrals.
    window_days : int
        W.
    values : ibis table or None
        Result of `customer_value`, for the lifetime value.

    Returns
    -------
    DataFrame
        Columns of `schema.GENERATIONS`.

    Raises
    ------
    SettingError
        `values` is another table.
    """
    core = events.core
    seen = events.end_day - core.arrived_day >= window_days
    soon = (core.first_day - core.arrived_day).between(0, window_days)
    table: pd.DataFrame = (
        core.group_by("generation")
        .aggregate(
            n_people=core.count(),
            n_buyers=(core.n_purchases > 0).sum(),
            revenue=core.revenue.sum().cast("float64"),
            n_matured=core.count(where=seen),
            n_soon=core.count(where=seen & soon),
        )
        .order_by("generation")
        .to_pandas()
    )
    buyers = table["n_buyers"].where(table["n_buyers"] > 0)
    table["share_buyers"] = table["n_buyers"] / table["n_people"]
    table["revenue_per_buyer"] = table["revenue"] / buyers
    enough = table["n_matured"] >= MIN_AT_RISK
    if "visits" not in events.has:  # then only buyers are seen to come by themselves
        enough &= table["generation"] > 0
    low, high = wilson(table["n_soon"], table["n_matured"], confidence=CONFIDENCE)
    table["share_matured"] = (table["n_soon"] / table["n_matured"]).where(enough)
    table["share_matured_low"] = pd.Series(low, table.index).where(enough)
    table["share_matured_high"] = pd.Series(high, table.index).where(enough)
    parts = _spent_soon(events, window_days), _lifetime_values(values)
    for part in parts:
        table = table.merge(part, on="generation", how="left")
    table["n_buyers_matured"] = table["n_buyers_matured"].fillna(0).astype("int64")
    return table[schema.names("generations")]


def _spent_soon(events: Events, window_days: int) -> pd.DataFrame:
    """Average what buyers of each generation spent in W days, of those seen so long."""
    core = events.core
    people = core.filter(core.first_day <= events.end_day - window_days)
    rows = soon(events.baskets, people, window_days)
    spent = rows.group_by("person_no").aggregate(value=rows.net.sum().cast("float64"))
    spent = spent.join(people.select("person_no", "generation"), "person_no")
    table: pd.DataFrame = (
        spent.group_by("generation")
        .aggregate(
            n_buyers_matured=spent.count(),
            mean=spent.value.mean(),
            spread=spent.value.std(how="sample"),
        )
        .to_pandas()
    )
    n = table["n_buyers_matured"]
    mean = table.pop("mean").astype("float64").where(n >= MIN_AT_RISK)
    reach = normal_quantile(CONFIDENCE) * table.pop("spread").astype("float64")
    table["value_matured"] = mean
    table["value_matured_low"] = mean - reach / np.sqrt(n)
    table["value_matured_high"] = mean + reach / np.sqrt(n)
    return table


def _lifetime_values(values: ir.Table | None) -> pd.DataFrame:
    """Average the lifetime value of the buyers of each generation."""
    column = "lifetime_value_per_buyer"
    if values is None:
        empty = {"generation": np.empty(0, np.int64), column: np.empty(0)}
        return pd.DataFrame(empty)
    if not {"generation", "n_purchases", "lifetime_value"} <= set(values.columns):
        raise SettingError("values must be the result of customer_value(events)")
    buyers = values.filter(values.n_purchases > 0)
    table: pd.DataFrame = (
        buyers.group_by("generation")
        .aggregate(**{column: buyers.lifetime_value.mean()})
        .to_pandas()
    )
    return table
