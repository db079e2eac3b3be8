"""The values of customers in small tables: by source, by tenth, as a histogram."""

from dataclasses import dataclass, field
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from selfloop.kernels.intervals import normal_quantile

N_ADVOCATES = 50
"""The table of advocates keeps this many."""

N_BINS = 20
"""Bars of the distribution of lifetime value."""


@dataclass(frozen=True)
class ValueSummary:
    """What customers are worth, in small tables.

    Parameters
    ----------
    by_source : DataFrame
        source, n_buyers, revenue_per_buyer, expected_per_buyer,
        lifetime_value_per_buyer and the ends `low`, `high` of its interval over
        customers; the first row, ``all``, is everybody.
    deciles : DataFrame
        decile (1 = top tenth by total value of all who bought or were credited with
        the spend of others), n_people, revenue, given_value,
        social_value, total_value, share_total; empty without referrals.
    histogram : DataFrame
        low_value, high_value, source_group (``referral`` or ``direct``), n_people,
        share of the group, of lifetime value (historic value without a model).
    advocates : DataFrame
        Columns of `schema.CUSTOMER_VALUE`: the 50 with the most social value.
    totals : dict
        n_buyers, revenue, given_value, social_value, total_value, expected_value,
        social_per_buyer, referred_buyers, share_referred; missing values are None.
    value_column : str
        ``lifetime_value``, or ``revenue`` without a model.
    """

    by_source: pd.DataFrame = field(repr=False)
    deciles: pd.DataFrame = field(repr=False)
    histogram: pd.DataFrame = field(repr=False)
    advocates: pd.DataFrame = field(repr=False)
    totals: dict[str, Any]
    value_column: str


def summarise(values: ir.Table) -> ValueSummary:
    """Reduce the table of customer values to small tables, in the engine.

    Parameters
    ----------
    values : ibis table
        Columns of `schema.CUSTOMER_VALUE`.

    Returns
    -------
    ValueSummary
        Intervals of means are over customers: mean +- z sd / sqrt(n).
    """
    buyers = values.filter(values.n_purchases > 0)
    by_source = _by_source(buyers)
    known = bool(by_source["lifetime_value_per_buyer"].notna().any())
    column = "lifetime_value" if known else "revenue"
    return ValueSummary(
        by_source=by_source,
        deciles=_deciles(values),
        histogram=_histogram(buyers, column),
        advocates=_advocates(values),
        totals=_value_totals(values),
        value_column=column,
    )


def _by_source(buyers: ir.Table) -> pd.DataFrame:
    """Average the values of buyers by source, everybody first."""
    parts = []
    for rows in (
        buyers.mutate(group=ibis.literal("all")),
        buyers.mutate(group="source"),
    ):
        parts.append(
            rows.group_by(source="group").aggregate(
                n_buyers=rows.count(),
                revenue_per_buyer=rows.revenue.mean(),
                expected_per_buyer=rows.expected_value.mean(),
                lifetime_value_per_buyer=rows.lifetime_value.mean(),
                spread=rows.lifetime_value.std(how="sample"),
            )
        )
    frame: pd.DataFrame = pd.concat(
        [part.order_by("source").to_pandas() for part in parts]
    )
    frame = frame.reset_index(drop=True).astype({"n_buyers": "int64"})
    numbers = frame.columns.drop(["source", "n_buyers"])
    frame = frame.astype(dict.fromkeys(numbers, "float64"))
    reach = normal_quantile(0.95) * frame.pop("spread") / np.sqrt(frame["n_buyers"])
    mean = frame["lifetime_value_per_buyer"]
    return frame.assign(low=mean - reach, high=mean + reach)


def _deciles(values: ir.Table) -> pd.DataFrame:
    """Sum the ledger over tenths of all who bought or were credited, richest first."""
    worth = (
        (values.n_purchases > 0) | (values.revenue != 0) | (values.social_value != 0)
    )
    rows = values.filter(values.total_value.notnull() & worth)
    # Ties are broken by id, so that the order of rows does not matter.
    tenth = ibis.ntile(10).over(order_by=[rows.total_value.desc(), rows.person_id])
    rows = rows.mutate(decile=tenth + 1)
    frame: pd.DataFrame = (
        rows.group_by("decile")
        .aggregate(
            n_people=rows.count(),
            revenue=rows.revenue.sum(),
            given_value=rows.given_value.sum(),
            social_value=rows.social_value.sum(),
            total_value=rows.total_value.sum(),
        )
        .order_by("decile")
        .to_pandas()
    )
    whole = float(frame["total_value"].sum())
    frame["share_total"] = frame["total_value"] / whole if whole > 0 else np.nan
    return frame


def _histogram(buyers: ir.Table, column: str) -> pd.DataFrame:
    """Count buyers by value; the last bar is open above."""
    empty = pd.DataFrame(
        columns=["low_value", "high_value", "source_group", "n_people", "share"]
    )
    top = (
        buyers.aggregate(top=buyers[column].quantile(0.975)).to_pandas()["top"].iloc[0]
    )
    if pd.isna(top) or top <= 0:
        return empty
    width = _round_up(float(top) / N_BINS)
    position = (buyers[column] / width).floor().clip(0, N_BINS - 1).cast("int64")
    group = ibis.ifelse(buyers.source == "referral", "referral", "direct")
    frame: pd.DataFrame = (
        buyers.group_by(position=position, source_group=group)
        .aggregate(n_people=buyers.count())
        .to_pandas()
    )
    grid = pd.MultiIndex.from_product(
        [range(N_BINS), sorted(frame["source_group"].unique())],
        names=["position", "source_group"],
    )
    frame = frame.set_index(["position", "source_group"]).reindex(grid, fill_value=0)
    frame = frame.reset_index()
    frame["low_value"] = frame["position"] * width
    frame["high_value"] = np.where(
        frame["position"] == N_BINS - 1, np.inf, (frame["position"] + 1) * width
    )
    totals = frame.groupby("source_group")["n_people"].transform("sum")
    frame["share"] = frame["n_people"] / totals
    return frame.reindex(columns=empty.columns)


def _round_up(width: float) -> float:
    """Return the next width of 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(width))
    return float(next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= width))


def _advocates(values: ir.Table) -> pd.DataFrame:
    """List those whose people spent the most, with some social value at least."""
    rows = values.filter(values.social_value > 0)
    best = rows.order_by(ibis.desc("social_value"), "person_id").limit(N_ADVOCATES)
    frame: pd.DataFrame = best.to_pandas()
    return frame


def _value_totals(values: ir.Table) -> dict[str, Any]:
    """Add up the ledger and count referred buyers."""
    is_buyer = values.n_purchases > 0
    line = values.aggregate(
        n_buyers=is_buyer.sum(),
        revenue=values.revenue.sum(),
        given_value=values.given_value.sum(),
        social_value=values.social_value.sum(),
        total_value=values.total_value.sum(),
        expected_value=values.expected_value.sum(),
        referred_buyers=(is_buyer & (values.source == "referral")).sum(),
    ).to_pandas()
    totals: dict[str, Any] = {
        str(k): (None if pd.isna(v) else v) for k, v in line.iloc[0].items()
    }
    n_buyers = int(totals["n_buyers"] or 0)
    social = totals["social_value"]
    known = n_buyers > 0 and social is not None
    totals["n_buyers"] = n_buyers
    totals["social_per_buyer"] = float(social) / n_buyers if known else None
    totals["referred_buyers"] = int(totals["referred_buyers"] or 0) if known else None
    totals["share_referred"] = totals["referred_buyers"] / n_buyers if known else None
    return totals
