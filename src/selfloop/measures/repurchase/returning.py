"""New and returning customers by period, and three rates that are often confused."""

from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

import ibis
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.settings import MIN_AT_RISK, check_choice, check_days, check_whole
from selfloop.inputs.events import Events
from selfloop.inputs.typed import MONEY
from selfloop.kernels.intervals import wilson
from selfloop.measures.periods import (
    PERIODS,
    Period,
    first_days,
    last_period,
    number_of,
    period_names,
    period_number,
)

_BEFORE, _NEW, _RETURNING = range(3)
_UNITS = 10**MONEY.scale  # sums are exact, as whole numbers of the smallest unit


@dataclass(frozen=True)
class Returning:
    """New and returning customers by period, made by `returning`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.RETURNING`.
    period : str
        ``day``, ``week``, ``month`` or ``quarter``.
    window_days : int
        W of `repurchase_rate`.
    end : date
        Last observed day.
    """

    table: pd.DataFrame = field(repr=False)
    period: str
    window_days: int
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the table, columns of `schema.RETURNING`."""
        return self.table.copy()

    def __repr__(self) -> str:
        """Show the three rates, and who bought, as text."""
        return show_text("New and returning", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the three rates, and who bought, in a notebook."""
        return show_html("New and returning", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """Say what each of the three rates is."""
        return [
            ("observed to", self.end),
            ("returning_customer_rate", "of a period's customers: had bought before"),
            ("ever_repeat_share", "of all buyers so far: have bought twice"),
            (
                "repurchase_rate",
                f"of a period's new customers: again within {self.window_days} days",
            ),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show: the newest periods."""
        newest = self.table.iloc[::-1]
        rates = [
            "period", "n_customers", "returning_customer_rate",
            "returning_customer_rate_low", "returning_customer_rate_high", "n_buyers",
            "ever_repeat_share", "n_matured", "repurchase_rate", "repurchase_rate_low",
            "repurchase_rate_high", "status", "reason",
        ]  # fmt: skip
        sold = [
            "period", "n_new", "n_returning", "n_orders_new", "n_orders_returning",
            "share_orders_returning", "revenue_new", "revenue_returning",
            "share_revenue_returning", "status",
        ]  # fmt: skip
        return [
            ("three rates, newest first", newest[rates], "returning"),
            ("who bought, newest first", newest[sold], "returning"),
        ]


class _Rate(NamedTuple):
    """One of the three rates: its counts, and how a lack of people is put in words."""

    name: str
    n: str
    n_hit: str
    lack: str


def returning(
    events: Events,
    period: Period = "month",
    *,
    window_days: int = 90,
    min_at_risk: int = MIN_AT_RISK,
) -> Returning:
    """How many customers of each period are new, and how many come back.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    period : {"day", "week", "month", "quarter"}
        Length of a period; weeks begin on Mondays.
    window_days : int
        W of `repurchase_rate` in days, at least 1.
    min_at_risk : int
        Fewer people than this behind a rate: it is missing, with the reason; at
        least 1.

    Returns
    -------
    Returning

    Raises
    ------
    SettingError
        There is no such period, or a setting is out of range.

    Notes
    -----
    Three rates that are often confused keep three names:

    - `returning_customer_rate`: of the customers of a period, the share who had bought
      before it. This is a *mix* of who buys: it falls when more new customers come,
      and rises when they stay away, with loyalty unchanged.
    - `ever_repeat_share`: of everybody who has ever bought by the close of the period,
      the share who have bought twice. It grows with the age of the shop, and falls
      when many are new.
    - `repurchase_rate`: of the first-time buyers of a period, observed for W days, the
      share who bought again within W. **Only this one compares periods**: it is the
      matured share of `funnel(events, "first_order_month")`.

    Each has Wilson's interval. A customer is new in the period of the first purchase in
    the data: where the data begin later than the shop, the first periods have too many
    new ones. Purchases of a new customer in the same period count as of a new one.
    Refunds belong to the period and the customer they are given to, and to
    `revenue_before` when that customer had not bought yet, or never does. Guests are
    left out.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> table = sl.returning(sl.read_events(shop.orders), "quarter").table
    >>> int(table["n_returning"].iloc[0])
    0
    """
    Events.check(events)
    check_choice("period", period, PERIODS)
    window_days = check_days("window_days", window_days)
    check_whole("min_at_risk", min_at_risk, low=1)
    window = int(window_days)
    last, closed = last_period(events.end, period)
    first = number_of(events.start, period)
    index = pd.RangeIndex(first, last + 1)
    table = _sold(events, period, index).join(_cohorts(events, period, window, index))
    begun = first_days([first], period)[0] < np.datetime64(events.start)
    partial = np.zeros(len(index), dtype=bool)
    partial[0] = begun
    partial[-1] |= not closed
    table["status"] = np.where(partial, "partial", "complete")
    table["period"] = period_names(index, period)
    table["window_days"] = window
    rates = (
        _Rate("returning_customer_rate", "n_customers", "n_returning", "customers"),
        _Rate("ever_repeat_share", "n_buyers", "n_repeaters", "buyers so far"),
        _Rate(
            "repurchase_rate", "n_matured", "n_matured_reached",
            f"observed for {window} days",
        ),
    )  # fmt: skip
    for rate in rates:
        table = _with_rate(table, rate, min_at_risk)
    table["reason"] = _reasons(table, rates, min_at_risk)
    table = table.reset_index(drop=True)[schema.names("returning")]
    return Returning(table, period, window, events.end)


def _sold(events: Events, period: Period, index: pd.RangeIndex) -> pd.DataFrame:
    """Count customers, orders and revenue by period and by who bought."""
    baskets, core = events.baskets, events.core
    rows = baskets.select(
        "person_no", "net", "is_purchase", number=period_number(baskets.at, period)
    )
    own = rows.group_by("person_no", "number").aggregate(
        n=rows.is_purchase.sum(), net=rows.net.sum()
    )
    firsts = core.filter(core.first_at.notnull()).select(
        "person_no", first=period_number(core.first_at, period)
    )
    own = own.left_join(firsts, "person_no")
    kind = ibis.cases(
        (own["first"].isnull() | (own.number < own["first"]), _BEFORE),
        (own.number > own["first"], _RETURNING),
        else_=_NEW,
    )
    counted = own.group_by("number", kind=kind).aggregate(
        n_customers=(own.n > 0).sum(),
        n_orders=own.n.sum(),
        revenue=(own.net.sum() * _UNITS).cast("int64"),
    )
    by_kind = counted.to_pandas().pivot_table(
        index="number", columns="kind",
        values=["n_customers", "n_orders", "revenue"], aggfunc="sum",
    )  # fmt: skip
    found = by_kind.reindex(index).fillna(0).astype("int64")
    nothing = pd.Series(0, index=index)

    def of(value: str, who: int) -> "pd.Series[int]":
        """Return one number of one kind of customers."""
        return found[value, who] if (value, who) in found.columns else nothing

    table = pd.DataFrame(index=index)
    table["n_new"] = of("n_customers", _NEW)
    table["n_returning"] = of("n_customers", _RETURNING)
    table["n_customers"] = table["n_new"] + table["n_returning"]
    for value in ("n_orders", "revenue"):
        new, again = of(value, _NEW), of(value, _RETURNING)
        table[f"{value}_new"], table[f"{value}_returning"] = new, again
        both = new + again
        share = again / both.where(both > 0)
        # Where refunds outweigh the sales of one kind, a share says nothing.
        table[f"share_{value.removeprefix('n_')}_returning"] = share.where(
            share.between(0, 1)
        )
    table["n_orders"] = table["n_orders_new"] + table["n_orders_returning"]
    table["revenue_before"] = of("revenue", _BEFORE)
    money = ["revenue_new", "revenue_returning", "revenue_before"]
    table["revenue"] = table[money].sum(axis=1)
    return table.assign(**{c: table[c] / _UNITS for c in ["revenue", *money]})


def _cohorts(
    events: Events, period: Period, window: int, index: pd.RangeIndex
) -> pd.DataFrame:
    """Count first-time buyers who matured and came back, and repeaters so far."""
    core = events.core
    buyers = core.filter(core.first_day.notnull())
    matured = events.end_day - buyers.first_day >= window
    soon = (buyers.second_day - buyers.first_day <= window).fill_null(
        ibis.literal(value=False)
    )
    firsts = (
        buyers.group_by(number=period_number(buyers.first_at, period))
        .aggregate(
            n_first=buyers.count(),
            n_matured=matured.sum(),
            n_matured_reached=(matured & soon).sum(),
        )
        .to_pandas()
        .set_index("number")
    )
    repeaters = buyers.filter(buyers.second_day.notnull())
    seconds = (
        repeaters.group_by(number=period_number(repeaters.second_at, period))
        .aggregate(n_second=repeaters.count())
        .to_pandas()
        .set_index("number")
    )
    both: pd.DataFrame = firsts.join(seconds, how="outer").reindex(index)
    found = both.fillna(0).astype("int64")
    found["n_buyers"] = found["n_first"].cumsum()
    found["n_repeaters"] = found["n_second"].cumsum()
    return found


def _with_rate(table: pd.DataFrame, rate: _Rate, min_at_risk: float) -> pd.DataFrame:
    """Add a rate with its interval; missing where there are too few people."""
    enough = table[rate.n] >= min_at_risk
    low, high = wilson(table[rate.n_hit].to_numpy(), table[rate.n].to_numpy())
    value = table[rate.n_hit] / table[rate.n].where(table[rate.n] > 0)
    table = table.copy()
    table[rate.name] = value.where(enough)
    table[f"{rate.name}_low"] = np.where(enough, low, np.nan)
    table[f"{rate.name}_high"] = np.where(enough, high, np.nan)
    return table


def _reasons(
    table: pd.DataFrame, rates: tuple[_Rate, ...], min_at_risk: float
) -> list[str]:
    """Say why rates are missing."""
    return [
        "; ".join(
            f"{row[rate.n]} {rate.lack}, need {min_at_risk}"
            for rate in rates
            if row[rate.n] < min_at_risk
        )
        for row in table[[rate.n for rate in rates]].to_dict("records")
    ]
