"""What advertising costs per visitor and buyer, what it returns, and how soon."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import ibis
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.settings import MIN_AT_RISK, check_number, check_whole
from selfloop.inputs.baskets import EPOCH, day_number
from selfloop.inputs.dialect import lowered
from selfloop.inputs.events import Events
from selfloop.kernels.accruing import accrued, accrued_after
from selfloop.kernels.horizon import MAX_DAYS
from selfloop.kernels.rows import FloatArray
from selfloop.measures.loop.cells import LoopCells, loop_cells
from selfloop.measures.loop.spend_months import (
    WINDOW_DAYS,
    spend_months,
    spend_trend,
)
from selfloop.measures.loop.worth import (
    brought_curves,
    buyer_worth,
    conversion,
    descent,
    estimate,
    estimate_through,
    revenue_curves,
)
from selfloop.measures.segments import MAX_SEGMENTS

ALL_CHANNELS = "(all)"
"""Name of the line of all channels with spend."""


@dataclass(frozen=True, eq=False)
class AcquisitionCost:
    """What advertising costs and returns, made by `acquisition_cost`.

    Parameters
    ----------
    channels : DataFrame
        Columns of `schema.SPEND_CHANNELS`.
    months : DataFrame
        Columns of `schema.SPEND_MONTHS`.
    trends : DataFrame
        Columns of `schema.SPEND_TRENDS`.
    horizon_days : int
        Age to which the value of buyers is counted, at most.
    margin : float
        Share of revenue that pays for acquisition.
    end : date
        Last observed day.
    """

    channels: pd.DataFrame = field(repr=False)
    months: pd.DataFrame = field(repr=False)
    trends: pd.DataFrame = field(repr=False)
    horizon_days: int
    margin: float
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the channels, columns of `schema.SPEND_CHANNELS`."""
        return self.channels.copy()

    def __repr__(self) -> str:
        """Show channels and trends as text."""
        return show_text("Acquisition cost", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show channels and trends in a notebook."""
        return show_html("Acquisition cost", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        return [
            ("observed to", self.end),
            ("horizon", f"{self.horizon_days} days"),
            ("margin", f"{self.margin:.0%}"),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        few = ["channel", "spend", "n_arrived", "n_buyers", "cost_per_visitor", "cac",
               "cac_low", "cac_high", "cac_naive", "buyer_ceiling", "return_ratio",
               "return_ratio_low", "return_ratio_high", "payback_days",
               "reason"]  # fmt: skip
        return [
            ("", self.channels[few], "spend_channels"),
            ("trends", self.trends, "spend_trends"),
        ]


class _Paid(NamedTuple):
    """Spend, and people who came, by channel and day."""

    spend: pd.DataFrame
    came: pd.DataFrame


def acquisition_cost(
    events: Events, *, horizon_days: int = 365, margin: float = 1.0
) -> AcquisitionCost:
    """Say what a buyer from each paid channel costs, returns, and when it is paid back.

    Parameters
    ----------
    events : Events
        Result of `read_events`, with spend.
    horizon_days : int
        Age of buyers to which their value counts, at most; 1 to 36,525.
    margin : float
        Share of revenue that pays for acquisition, above 0 to 1.

    Returns
    -------
    AcquisitionCost

    Raises
    ------
    MissingTableError
        There is no table of spend.
    SettingError
        A number is outside its range.

    Notes
    -----
    Cost of a buyer (CAC) = cost per visitor / p, with p the share of visitors who buy
    in the end (Kaplan-Meier): spend / buyers so far is too high while the latest
    visitors are still deciding. Without visits that is all that is known. p is that of
    everybody who came through the channel; spend and visitors are taken as they are,
    so the interval of the CAC is that of p. The value of
    a buyer is that of `visitor_value`, for people who came through the channel and
    whom nobody brought. Payback is the first age t at which margin x w(t) reaches the
    CAC, w(t) = what a buyer and all who follow have spent by then.

    Elasticity: slope of log(buyers) on log(spend) over whole months, by least squares
    with Student's t; the cost of one buyer more is CAC / elasticity. It says how both
    moved together, not what would happen.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=3000, seed=7)
    >>> events = sl.read_events(
    ...     shop.orders, shop.referrals, visits=shop.visits, spend=shop.spend
    ... )
    >>> sl.acquisition_cost(events).channels["channel"].tolist()
    ['(all)', 'ads', '信息流']
    """
    Events.check(events)
    events.need("spend", "acquisition_cost")
    check_whole("horizon_days", horizon_days, low=1, high=MAX_DAYS)
    check_number("margin", margin, low=1e-6, high=1)
    cells = loop_cells(events, "channel")
    return cost_of(events, cells, horizon_days=int(horizon_days), margin=margin)


def cost_of(
    events: Events, cells: LoopCells, *, horizon_days: int, margin: float
) -> AcquisitionCost:
    """Say the same from what people did by age.

    Parameters
    ----------
    events : Events
        With spend.
    cells : LoopCells
        Of these events, by channel.
    horizon_days, margin : int, float
        As in `acquisition_cost`.

    Returns
    -------
    AcquisitionCost
    """
    paid = _paid(events)
    # As in `paid_channels`, "Ads" and "ads" are one.
    found = paid.spend.groupby("key")["channel"].min()
    names = {str(key): str(name) for key, name in found.items()}
    lines, trends = [], []
    months = [pd.DataFrame(columns=schema.names("spend_months"))]
    pairs = list(zip(cells.source, cells.segment, strict=True))
    for key in [ALL_CHANNELS, *sorted(names)] if names else []:
        name, mine = names.get(key, key), _only(paid, key)
        wanted = {key} if key in names else set(names)
        kinds = [s != "referral" and c.lower() in wanted for s, c in pairs]
        part = cells.only(kinds, name)
        if key in names and len(mine.came) and not any(kinds):
            why = f"not among the {MAX_SEGMENTS} largest channels: value not known"
            line = _first_facts(name, mine) | {"reason": why}
        else:
            line = _channel(name, mine, part, cells, horizon_days, margin)
        table = spend_months(name, mine.spend, mine.came, events)
        lines.append(line)
        months.append(table)
        trends.append(spend_trend(name, table, line.get("cac", np.nan)))
    return AcquisitionCost(
        channels=pd.DataFrame(lines, columns=schema.names("spend_channels")),
        months=pd.concat(months[1:] or months, ignore_index=True),
        trends=pd.DataFrame(trends, columns=schema.names("spend_trends")),
        horizon_days=horizon_days,
        margin=margin,
        end=events.end,
    )


def _paid(events: Events) -> _Paid:
    """Sum spend, and the people who came through channels with spend, by day."""
    table = events.set_aside["spend"]
    day = day_number(table.date)
    first = (events.start - EPOCH).days
    used = table.filter((table.code == "") & day.between(first, events.end_day))
    used = used.mutate(key=lowered(used.channel), day=day_number(used.date))
    parts = {"channel": used.channel.min(), "spend": used.spend.sum().cast("float64")}
    if "visitors" in used.columns:
        # One row that does not say how many came leaves the sum unknown.
        whole = used.visitors.sum().cast("float64")
        is_known = ~used.visitors.isnull().any()
        parts["visitors"] = ibis.ifelse(is_known, whole, ibis.null("float64"))
    spend = used.group_by("key", "day").aggregate(**parts)
    core = events.core
    names = used.select("key").distinct()
    people = core.filter(core.source != "referral")
    people = people.mutate(key=lowered(people.channel)).semi_join(names, "key")
    has_visits = "visits" in events.has
    entry = people.arrived_day if has_visits else people.first_day
    soon = (people.first_day - people.arrived_day <= WINDOW_DAYS).fill_null(
        ibis.literal(value=False)
    )
    people = people.mutate(entry=entry, soon=soon if has_visits else True)
    people = people.filter(people.entry.notnull())
    came = people.group_by("key", day="entry").aggregate(
        n_arrived=people.count(),
        n_buyers=people.first_day.count(),
        n_soon=people.soon.sum(),
    )
    keys = ["key", "day"]
    return _Paid(
        spend.order_by(keys).to_pandas(),
        came.order_by(keys).to_pandas(),
    )


def _only(paid: _Paid, name: str) -> _Paid:
    """Return one channel, or all together; people only of the days with spend."""
    spend, came = paid
    if name != ALL_CHANNELS:
        spend = spend[spend["key"] == name]
        came = came[came["key"] == name]
    days = spend.groupby("key")["day"].agg(["min", "max"]).astype("float64")
    first, last = (
        came["key"].map(days[end]).astype("float64") for end in ("min", "max")
    )
    return _Paid(spend, came[came["day"].between(first, last)])


def _channel(
    name: str,
    paid: _Paid,
    mine: LoopCells,
    cells: LoopCells,
    horizon_days: int,
    margin: float,
) -> dict[str, Any]:
    """Write the line of a channel, with the reasons for what is missing."""
    line = _first_facts(name, paid)
    spend = line["spend"]
    cac, reasons = _cac(line, paid, mine, horizon_days)
    after = descent(cells, horizon_days=horizon_days)
    worth = buyer_worth(mine, after, horizon_days=horizon_days)
    if worth is None:
        n = int(mine.followup.sum())
        reasons.append(f"{n} buyers, need {MIN_AT_RISK}")
        return line | {"reason": "; ".join(reasons)}
    total = worth.total(after.r)
    if np.isnan(total[-1]):
        reasons.append(after.reason)
    own = _value_by_age(mine, worth.days)
    line |= {
        "buyer_ceiling": margin * float(total[-1]),
        "value_days": worth.days,
        "share_brought": float(worth.brought(after.r)[-1] / total[-1])
        if worth.own[-1] > 0 < total[-1]
        else np.nan,
        "reason": "; ".join(reasons),
    }
    if not spend:
        reasons.append("nothing was spent: there is no return on it")
        return line | {"reason": "; ".join(reasons)}
    if cac is None:
        return line
    ratio = estimate_through(lambda r: margin * worth.total(r) / cac, after.r)
    line |= {
        "return_ratio": ratio.value,
        "return_ratio_low": ratio.low,
        "return_ratio_high": ratio.high,
        "return_ratio_own": float(margin * worth.own[-1] / cac[-1]),
        "payback_days_own": _first((margin * own / cac[:, None])[-1]),
    }
    if after.reason:
        return line | {"reason": "; ".join(dict.fromkeys([*reasons, after.reason]))}
    every = _value_with_brought(mine, cells, min(worth.days, after.days))
    return line | _payback(margin * every / cac[:, None])


def _first_facts(name: str, paid: _Paid) -> dict[str, Any]:
    """Write what is known of a channel whatever its people are worth."""
    spend, n_buyers = float(paid.spend["spend"].sum()), int(paid.came["n_buyers"].sum())
    n_arrived = int(paid.came["n_arrived"].sum())
    return {
        "channel": name,
        "spend": spend,
        "first_date": _date(paid.spend["day"].min()),
        "last_date": _date(paid.spend["day"].max()),
        "n_arrived": n_arrived,
        "n_buyers": n_buyers,
        "cac_naive": spend / n_buyers if n_buyers else np.nan,
    }


def _cac(
    line: dict[str, object], paid: _Paid, mine: LoopCells, horizon_days: int
) -> tuple[FloatArray | None, list[str]]:
    """Add the cost per visitor and per buyer; return that without each group."""
    spend, n_buyers = float(paid.spend["spend"].sum()), int(paid.came["n_buyers"].sum())
    share, _, why = conversion(mine, horizon_days=horizon_days)
    if mine.has_visits:
        n_arrived = int(paid.came["n_arrived"].sum())
        if not n_arrived:
            return None, ["nobody came through it on days with spend"]
        line["cost_per_visitor"] = spend / n_arrived
        if share is None:
            return None, [why]
        if not share[-1] > 0:
            return None, ["nobody who came through it has bought"]
        # Without the group of the only buyer there is no cost of one.
        with np.errstate(divide="ignore"):
            each = np.where(share > 0, spend / n_arrived / share, np.nan)
        found = estimate(each)
        line["share_converted"] = float(share[-1])
        line |= {"cac": found.value, "cac_low": found.low, "cac_high": found.high}
        return found.replicates, []
    line["n_arrived"] = pd.NA
    if "visitors" in paid.spend:
        came = float(paid.spend["visitors"].sum(skipna=False))
        if came > 0:
            line |= {"n_arrived": round(came), "cost_per_visitor": spend / came}
    if not n_buyers:
        return None, ["nobody who came through it has bought", why]
    line["cac"] = spend / n_buyers
    return np.full(mine.followup.shape[1] + 1, spend / n_buyers), [why]


def _date(day: float) -> date:
    """Return a day as a date."""
    return (np.datetime64(0, "D") + int(day)).item()


def _value_by_age(cells: LoopCells, days: int) -> FloatArray:
    """Return what a buyer has spent by each age."""
    return np.cumsum(revenue_curves(cells).steps[:, : days + 1], axis=1)


def _value_with_brought(mine: LoopCells, cells: LoopCells, days: int) -> FloatArray:
    """Return what a buyer and all who follow have spent by each age."""
    referred = cells.where(source="referral")
    steps = [
        curves(part).steps[:, : days + 1]
        for part in (referred, mine)
        for curves in (revenue_curves, brought_curves)
    ]
    # Without some group those brought may bring one more each on the first day.
    endless = steps[1][:, 0] >= 1
    steps[1] = np.where(endless[:, None], np.nan, steps[1])
    following = accrued(steps[0], brought=steps[1])
    every = accrued_after(steps[2], brought=steps[3], following=following)
    return np.cumsum(every, axis=1)


def _payback(ratio: FloatArray) -> dict[str, object]:
    """Say when a buyer has paid the cost, from value / cost by age."""
    bands = [estimate(column) for column in ratio.T]
    return {
        "payback_days": _first(ratio[-1]),
        "payback_days_low": _first(np.array([band.high for band in bands])),
        "payback_days_high": _first(np.array([band.low for band in bands])),
    }


def _first(ratio: FloatArray) -> float:
    """Return the first age at which a ratio reaches 1; NaN when it does not."""
    reached = np.flatnonzero(ratio >= 1)
    return float(reached[0]) if reached.size else np.nan
