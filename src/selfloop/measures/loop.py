"""Does the shop feed itself: what carried each month, and how strong the loop is."""

from dataclasses import dataclass, field
from datetime import date

import ibis
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import format_value, show_html, show_text
from selfloop.core.settings import MIN_AT_RISK, WINDOWS_DAYS, check_number, check_whole
from selfloop.inputs.events import Events
from selfloop.kernels.renewal import multiplier
from selfloop.kernels.survival import (
    MeanCumulative,
    MeanInterval,
    mean_cumulative,
    mean_cumulative_interval,
)
from selfloop.measures.cohorts import last_month, month_index, month_names
from selfloop.measures.referral.histories import brought_buyers

_SOURCES = ("referral", "paid", "organic", "unknown")


@dataclass(frozen=True)
class SelfLoop:
    """The loop of a shop, made by `self_loop`.

    Parameters
    ----------
    months : DataFrame
        Columns of `schema.LOOP_MONTHS`: what carried each month.
    reproduction : DataFrame
        Columns of `schema.REPRODUCTION`: R(H) for each horizon; empty without
        referrals.
    curve : DataFrame
        Columns of `schema.REPRODUCTION_CURVE`: M(a) day by day.
    horizon_days : int or None
        The longest horizon whose R is known; the multiplier uses it.
    multiplier, multiplier_low, multiplier_high : float
        1 / (1 - R): customers that each customer from outside ends in. Missing
        (NaN) without R, infinite where R may be 1 or more.
    n_seeding : int or None
        Successful referrals by people who had not bought themselves; outside R.
    share_orders, share_revenue : float
        Self-circulation share of the whole period; missing when it is undefined.
    reason : str
        Why R is missing; empty when it is known.
    end : date
        Last observed day.
    """

    months: pd.DataFrame = field(repr=False)
    reproduction: pd.DataFrame = field(repr=False)
    curve: pd.DataFrame = field(repr=False)
    horizon_days: int | None
    multiplier: float
    multiplier_low: float
    multiplier_high: float
    n_seeding: int | None
    share_orders: float
    share_revenue: float
    reason: str
    end: date

    @property
    def headline(self) -> dict[str, object] | None:
        """The line of `reproduction` of the longest known horizon, or None."""
        if self.horizon_days is None:
            return None
        rows = self.reproduction
        return dict(rows[rows["horizon_days"] == self.horizon_days].iloc[0])

    def to_frame(self) -> pd.DataFrame:
        """Return the months, columns of `schema.LOOP_MONTHS`."""
        return self.months.copy()

    def __repr__(self) -> str:
        """Show the loop as text."""
        return show_text("Self-loop", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the loop in a notebook."""
        return show_html("Self-loop", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List the headline numbers; the share never stands without R."""
        line = self.headline
        if line is None:
            r = f"missing: {self.reason}"
        else:
            r = (
                f"{line['r']:.3f} ({line['r_low']:.3f} to {line['r_high']:.3f}) "
                f"by day {self.horizon_days}"
            )
        by_orders = format_value(self.share_orders, "share")
        return [
            ("observed to", self.end),
            ("reproduction number R", r),
            ("share of orders from repeat and referral", by_orders),
            ("share of revenue", format_value(self.share_revenue, "share")),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        few = ["month", "n_orders", "n_repeat", "n_first_referral", "n_first_paid",
               "n_first_organic", "n_first_unknown", "share_orders", "share_revenue",
               "status"]  # fmt: skip
        return [
            ("R(H)", self.reproduction, "reproduction"),
            ("by month", self.months[few].tail(12), "loop_months"),
        ]


def self_loop(
    events: Events,
    *,
    horizons_days: tuple[int, ...] = WINDOWS_DAYS,
    min_at_risk: int = MIN_AT_RISK,
) -> SelfLoop:
    """Say whether this shop feeds itself, and what carried each month.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    horizons_days : tuple of int
        Horizons H of R, in days, each at least 1. The longest age that at least
        `min_at_risk` buyers have reached is added.
    min_at_risk : int
        Fewer buyers observed to age H than this: R(H) is missing, with the reason;
        at least 1.

    Returns
    -------
    SelfLoop

    Raises
    ------
    SettingError
        A horizon is no whole number of days, or it or `min_at_risk` is below 1.

    Notes
    -----
    *Self-circulation share* of a month: (repeat purchases + first purchases of
    referred people) / all purchases of known customers; the rest was bought with
    advertising or came by itself. It answers what carried the month, not how strong
    the loop is: it falls when advertising grows, with the same loop. A share of
    revenue is missing where refunds push it out of 0 to 1.

    *Reproduction number*: with d(a) the buyers brought at age a of the buyer who
    brought them (age counted from the first purchase, dated by the first purchase of
    the person brought) and n(a) the buyers observed at least to age a,
    R(H) = M(H) = sum over a <= H of d(a) / n(a), the mean cumulative function [1]_,
    which needs no customer to have finished. Its interval is robust against buyers
    who differ: the variance sums, over buyers, the square of what each adds to the
    estimate [2]_, and is used on the log scale. Referrals by people who never bought
    or before their own first purchase are seeding from outside and not part of R.
    With several referrers by weight, R follows the first.

    References
    ----------
    .. [1] W. Nelson, "Graphical analysis of system repair data", J. Quality
       Technology 20 (1988).
    .. [2] J. F. Lawless, C. Nadeau, "Some simple robust methods for the analysis of
       recurrent events", Technometrics 37 (1995).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits)
    >>> loop = sl.self_loop(events)
    >>> bool(0 < loop.headline["r_low"] < loop.headline["r"])
    True
    """
    Events.check(events)
    for horizon in horizons_days:
        check_whole("horizons_days", horizon, low=1)
    check_number("min_at_risk", min_at_risk, low=1)
    months = _months(events)
    if "referrals" not in events.has:
        return _without_referrals(months, events.end)
    followup, brought, n_seeding = _referral_ages(events)
    curve = mean_cumulative(
        np.bincount(brought["age"], minlength=followup.size)[: followup.size],
        followup,
    )
    band = mean_cumulative_interval(
        curve,
        person=brought["person"].to_numpy(np.int64),
        age=brought["age"].to_numpy(np.int64),
        followup=brought["followup"].to_numpy(np.int64),
    )
    longest = _longest(curve, min_at_risk)
    horizons = {int(h) for h in horizons_days} | ({longest} if longest else set())
    lines = [_line(h, curve, band, min_at_risk) for h in sorted(horizons)]
    table = pd.DataFrame(lines, columns=schema.names("reproduction"))
    gain, low, high = _gain(curve, band, longest)
    period = months.sum(numeric_only=True).to_frame().T
    return SelfLoop(
        months=months,
        reproduction=table,
        curve=_curve(curve, band, longest),
        horizon_days=longest,
        multiplier=gain,
        multiplier_low=low,
        multiplier_high=high,
        n_seeding=n_seeding,
        share_orders=float(_share(period, "orders").iloc[0]),
        share_revenue=float(_share(period, "revenue").iloc[0]),
        reason="" if longest else f"fewer than {min_at_risk} buyers observed for a day",
        end=events.end,
    )


def _without_referrals(months: pd.DataFrame, end: date) -> SelfLoop:
    """Return what can be said without a table of referrals."""
    # Who was referred is unknown, so the share cannot be told either.
    hidden = [
        "n_first_referral",
        "share_orders",
        "revenue_first_referral",
        "share_revenue",
    ]
    return SelfLoop(
        months=months.assign(**dict.fromkeys(hidden, np.nan)),
        reproduction=pd.DataFrame(columns=schema.names("reproduction")),
        curve=pd.DataFrame(columns=schema.names("reproduction_curve")),
        horizon_days=None,
        multiplier=np.nan,
        multiplier_low=np.nan,
        multiplier_high=np.nan,
        n_seeding=None,
        share_orders=np.nan,
        share_revenue=np.nan,
        reason="no table of referrals",
        end=end,
    )


def _months(events: Events) -> pd.DataFrame:
    """Split purchases and revenue of each month by what carried them."""
    core = events.core
    rows = events.baskets.join(
        core.select("person_no", "first_at", "first_day", "source"), "person_no"
    )
    by_day = events.rules.purchase == "day"
    mine, first = (rows.day, rows.first_day) if by_day else (rows.at, rows.first_at)
    kind = ibis.cases(
        (rows.first_at.isnull() | (mine < first), "before"),
        (mine > first, "repeat"),
        else_=ibis.literal("first_") + rows.source,
    )
    sold = rows.group_by(month=month_index(rows.at), kind=kind).aggregate(
        n=rows.is_purchase.sum(), revenue=rows.net.sum().cast("float64")
    )
    # One per buyer: of several orders at the first moment the others repeat.
    buyers = core.filter(core.first_at.notnull())
    new = buyers.group_by(month=month_index(buyers.first_at), source="source")
    new = new.aggregate(n=buyers.count())
    return _month_table(sold.to_pandas(), new.to_pandas(), events)


def _month_table(sold: pd.DataFrame, new: pd.DataFrame, events: Events) -> pd.DataFrame:
    """Write one line per month from the first to the last, quiet months included."""
    last, closed = last_month(events.end)
    first = events.start.year * 12 + events.start.month - 1
    months = pd.RangeIndex(first, last + 1, name="month")
    money = sold.pivot_table(index="month", columns="kind", values="revenue")
    money = money.reindex(months).fillna(0.0)
    firsts = new.pivot_table(index="month", columns="source", values="n")
    firsts = firsts.reindex(months).fillna(0)
    table = pd.DataFrame(index=months)
    table["n_orders"] = sold.groupby("month")["n"].sum().reindex(months, fill_value=0)
    table["n_repeat"] = table["n_orders"] - firsts.sum(axis=1)
    table["revenue"] = money.sum(axis=1)
    for source in _SOURCES:
        table[f"n_first_{source}"] = firsts.get(source, 0)
    for kind in ("repeat", *(f"first_{source}" for source in _SOURCES), "before"):
        table[f"revenue_{kind}"] = money.get(kind, 0.0)
    for whole in ("orders", "revenue"):
        table[f"share_{whole}"] = _share(table, whole)
    partial = (months == last) & (not closed)
    partial |= (months == first) & (events.start.day > 1)
    table["status"] = np.where(partial, "partial", "complete")
    table = table.reset_index()
    table["month"] = month_names(table["month"])
    guests = events.guest_months.set_index("month")["revenue"].astype("float64")
    table["revenue_guests"] = table["month"].map(guests).fillna(0.0)
    counts = {c: "int64" for c in table.columns if c.startswith("n_")}
    return table.astype(counts)[schema.names("loop_months")]


def _share(months: pd.DataFrame, whole: str) -> "pd.Series[float]":
    """Return the share of repeat and referral; missing where refunds leave none."""
    stem, total = ("n", "n_orders") if whole == "orders" else ("revenue", "revenue")
    carried = months[f"{stem}_repeat"] + months[f"{stem}_first_referral"]
    share = carried / months[total].where(months[total] > 0)
    # Sums in another order may leave a hair above 1.
    return share.where(share.between(-1e-9, 1 + 1e-9)).clip(0, 1)


def _referral_ages(events: Events) -> tuple[np.ndarray, pd.DataFrame, int]:
    """Return buyers by days of follow-up, and each buyer brought by age."""
    core = events.core
    buyers = core.filter(core.first_day.notnull())
    days = buyers.select(followup=events.end_day - buyers.first_day)
    counted = days.group_by("followup").aggregate(n=days.count()).to_pandas()
    size = int(counted["followup"].max()) + 1 if len(counted) else 1
    followup = np.zeros(size, dtype=np.int64)
    followup[counted["followup"].to_numpy(np.int64)] = counted["n"].to_numpy(np.int64)
    brought = brought_buyers(events)
    rows = brought.select(
        person="referrer_no",
        age="age_days",
        followup=events.end_day - brought.own_day,
    ).to_pandas()
    inside = rows["age"].notna() & (rows["age"] >= 0)
    return followup, rows[inside].astype("int64"), int((~inside).sum())


def _longest(curve: MeanCumulative, min_at_risk: int) -> int | None:
    """Return the longest age that enough buyers have reached."""
    known = np.flatnonzero(curve.n_at_risk >= min_at_risk)
    return int(known[-1]) if known.size and known[-1] >= 1 else None


def _line(
    horizon: int, curve: MeanCumulative, band: MeanInterval, min_at_risk: int
) -> dict[str, object]:
    """Write R of one horizon, or the reason why it is missing."""
    n_buyers = int(curve.n_at_risk[0])
    seen = min(horizon, curve.age.size - 1)
    observed = int(curve.n_at_risk[horizon]) if horizon < curve.age.size else 0
    n_referrals = int(curve.n_events[: seen + 1].sum())
    line: dict[str, object] = {
        "horizon_days": horizon,
        "n_buyers": n_buyers,
        "n_observed": observed,
        "n_referrals": n_referrals,
        "k_naive": n_referrals / n_buyers if n_buyers else np.nan,
        "reason": "",
    }
    if observed < min_at_risk:
        why = f"{observed} buyers observed for {horizon} days, need {min_at_risk}"
        return line | {"r": np.nan, "r_low": np.nan, "r_high": np.nan, "reason": why}
    return line | {
        "r": float(curve.mean[horizon]),
        "r_low": float(band.low[horizon]),
        "r_high": float(band.high[horizon]),
    }


def _curve(
    curve: MeanCumulative, band: MeanInterval, longest: int | None
) -> pd.DataFrame:
    """Write M(a) for every age that enough buyers have reached."""
    keep = slice(0, 0 if longest is None else longest + 1)
    return pd.DataFrame(
        {
            "age_days": curve.age[keep],
            "n_at_risk": curve.n_at_risk[keep],
            "n_referrals": curve.n_events[keep],
            "r": curve.mean[keep],
            "r_low": band.low[keep],
            "r_high": band.high[keep],
        }
    )[schema.names("reproduction_curve")]


def _gain(
    curve: MeanCumulative, band: MeanInterval, longest: int | None
) -> tuple[float, float, float]:
    """Return the multiplier 1 / (1 - R) with its interval."""
    if longest is None:
        return np.nan, np.nan, np.nan
    found = multiplier(
        float(curve.mean[longest]),
        low=float(band.low[longest]),
        high=float(band.high[longest]),
    )
    return float(found.multiplier), float(found.low), float(found.high)
