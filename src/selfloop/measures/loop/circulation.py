"""What carried each month and week: repeat, referred people, ads or chance."""

from collections.abc import Callable
from typing import NamedTuple

import ibis
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.settings import DEFAULT_PAID_CHANNELS
from selfloop.inputs.baskets import EPOCH
from selfloop.inputs.events import Events
from selfloop.inputs.typed import MONEY

SOURCES = ("referral", "paid", "organic", "unknown")
"""Sources of people, in the order of the tables."""

ROOT_SOURCES = SOURCES[1:]
"""Sources of people whom nobody brought."""

_NEW, _REPEAT, _BEFORE = 0, 1, 2
_UNITS = 10**MONEY.scale  # sums are exact, as whole numbers of the smallest unit
_MONDAY = 3  # days from the Monday before 1970-01-01, a Thursday, to that day


class Circulation(NamedTuple):
    """What carried a shop, by time and by whose trees it came from.

    Parameters
    ----------
    months, weeks : DataFrame
        Columns of `schema.LOOP_MONTHS` and `schema.LOOP_WEEKS`.
    lineage, lineage_months : DataFrame
        Columns of `schema.LOOP_LINEAGE` and `schema.LOOP_LINEAGE_MONTHS`.
    share_orders, share_revenue : float
        Self-circulation share of the whole period; missing when it is undefined.
    paid_reason : str
        Why shares of paid people are missing; empty when they are known.
    """

    months: pd.DataFrame
    weeks: pd.DataFrame
    lineage: pd.DataFrame
    lineage_months: pd.DataFrame
    share_orders: float
    share_revenue: float
    paid_reason: str


class _Days(NamedTuple):
    """Purchases and revenue by day, kind, source and source of the root."""

    sold: pd.DataFrame
    new: pd.DataFrame
    start: int
    end: int


def circulation(events: Events) -> Circulation:
    """Split purchases and revenue by what carried them.

    Parameters
    ----------
    events : Events
        Result of `read_events`.

    Returns
    -------
    Circulation
    """
    days = _days(events)
    month = _months_of(np.arange(days.start, days.end + 1))
    months = _periods(days, month[0], _months_of)
    months.insert(0, "month", _month_names(months.index))
    # A period is partial when the day before or after all is in it too.
    outside = np.array([days.start - 1, days.end + 1])
    months["status"] = _status(months.index, _months_of(outside))
    weeks = _periods(days, int(_weeks_of(np.array([days.start]))[0]), _weeks_of)
    weeks.insert(0, "week", _mondays(weeks.index))
    weeks["status"] = _status(weeks.index, _weeks_of(outside))
    whole = months.sum(numeric_only=True).to_frame().T
    guests = events.guest_months.set_index("month")["revenue"]
    guests = months["month"].map(guests).fillna(0)
    months["revenue_guests"] = [int(value * _UNITS) for value in guests]
    shares = [float(_share(whole, part).iloc[0]) for part in ("orders", "revenue")]
    reason = _paid_reason(events)
    hidden = list(_PAID_SHARES) if reason else []
    if "referrals" not in events.has:
        # Who was referred is unknown, so the share cannot be told either.
        hidden += ["n_first_referral", "revenue_first_referral", *_SHARES]
        shares = [np.nan, np.nan]
    lineage = _lineage(days)
    by_root = lineage.groupby("root_source", as_index=False)
    total = by_root.sum(numeric_only=True)
    return Circulation(
        months=_finished(months, hidden, "loop_months"),
        weeks=_finished(weeks, hidden, "loop_weeks"),
        lineage=_lineage_shares(total, "loop_lineage", events),
        lineage_months=_lineage_shares(lineage, "loop_lineage_months", events),
        share_orders=shares[0],
        share_revenue=shares[1],
        paid_reason=reason,
    )


_SHARES = ("share_orders", "share_revenue", "share_new")
_PAID_SHARES = tuple(f"{share}_paid" for share in _SHARES)


def _paid_reason(events: Events) -> str:
    """Say why the share of ads is unknown; empty when somebody came from ads."""
    core = events.core
    counted = core.aggregate(
        n_paid=(core.source == "paid").sum(), n_known=core.channel.count()
    )
    line = counted.to_pyarrow().to_pylist()[0]
    if line["n_paid"]:
        return ""
    if not line["n_known"]:
        return "no table has channels"
    if events.rules.paid_channels in ((), DEFAULT_PAID_CHANNELS):
        return "no channel is named as paid; pass paid_channels="
    return "nobody came from a channel named as paid; see paid_channels="


def _days(events: Events) -> _Days:
    """Sum purchases and revenue, in one pass over them."""
    core = events.core
    is_referred = core.source == "referral"
    roots = core.select(root_no="person_no", root_source="source")
    people = core.left_join(roots, "root_no") if "referrals" in events.has else core
    root_source = (
        ibis.ifelse(is_referred, people.root_source, core.source)
        if "referrals" in events.has
        else core.source
    )
    people = people.select(
        "person_no", "first_at", "first_day", "source", root_source=root_source
    )
    rows = events.baskets.join(people, "person_no")
    by_day = events.rules.purchase == "day"
    mine, first = (rows.day, rows.first_day) if by_day else (rows.at, rows.first_at)
    kind = ibis.cases(
        (rows.first_at.isnull() | (mine < first), _BEFORE),
        (mine > first, _REPEAT),
        else_=_NEW,
    )
    sold = rows.group_by("day", "source", "root_source", kind=kind).aggregate(
        n=rows.is_purchase.sum(), revenue=(rows.net.sum() * _UNITS).cast("int64")
    )
    # One per buyer: of several orders at the first moment the others repeat.
    buyers = people.filter(people.first_at.notnull())
    new = buyers.group_by("source", "root_source", day="first_day").aggregate(
        n=buyers.count()
    )
    keys = ["day", "source", "root_source"]
    return _Days(
        sold=sold.order_by([*keys, "kind"]).to_pandas(),
        new=new.order_by(keys).to_pandas(),
        start=(events.start - EPOCH).days,
        end=events.end_day,
    )


def _months_of(day: np.ndarray) -> np.ndarray:
    """Return months since 1970-01 of days since 1970-01-01."""
    return day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _weeks_of(day: np.ndarray) -> np.ndarray:
    """Return weeks, which begin on Mondays."""
    return (day.astype(np.int64) + _MONDAY) // 7


def _month_names(month: pd.Index) -> np.ndarray:
    """Write months as text such as 2026-01."""
    return month.to_numpy().astype("datetime64[M]").astype(str)


def _mondays(week: pd.Index) -> np.ndarray:
    """Write weeks as the date of their Monday."""
    return (week.to_numpy() * 7 - _MONDAY).astype("datetime64[D]").astype(str)


def _status(periods: pd.Index, outside: np.ndarray) -> np.ndarray:
    """Say which periods were not observed from their first to their last day."""
    is_partial = np.isin(periods, outside)
    return np.where(is_partial, "partial", "complete")


def _periods(
    days: _Days, first: int, period_of: Callable[[np.ndarray], np.ndarray]
) -> pd.DataFrame:
    """Write one line per period from the first to the last, quiet ones included."""
    last = int(period_of(np.array([days.end]))[0])
    index = pd.RangeIndex(first, last + 1)
    sold = days.sold.assign(period=period_of(days.sold["day"].to_numpy()))
    new = days.new.assign(period=period_of(days.new["day"].to_numpy()))
    firsts = new.pivot_table(
        index="period", columns="source", values="n", aggfunc="sum"
    ).reindex(index)
    money = sold.pivot_table(
        index="period", columns=["kind", "source"], values="revenue", aggfunc="sum"
    ).reindex(index)
    table = pd.DataFrame(index=index)
    counted = sold.groupby("period")["n"].sum()
    table["n_orders"] = counted.reindex(index, fill_value=0)
    table["n_repeat"] = table["n_orders"] - firsts.sum(axis=1)
    table["revenue"] = money.sum(axis=1)
    nothing = pd.Series(0, index=index)
    for source in SOURCES:
        table[f"n_first_{source}"] = firsts.get(source, nothing).fillna(0)
        part = money.get((_NEW, source), nothing)
        table[f"revenue_first_{source}"] = part.fillna(0)
    for kind, name in ((_REPEAT, "repeat"), (_BEFORE, "before")):
        parts = money.loc[:, money.columns.get_level_values("kind") == kind]
        table[f"revenue_{name}"] = parts.sum(axis=1)
    return _with_shares(table)


def _with_shares(table: pd.DataFrame) -> pd.DataFrame:
    """Add the shares of what carried a period, and of what ads bought."""
    for part in ("orders", "revenue"):
        table[f"share_{part}"] = _share(table, part)
        table[f"share_{part}_paid"] = _share(table, part, of=("first_paid",))
    n_new = table[[f"n_first_{source}" for source in SOURCES]].sum(axis=1)
    for name, source in (("share_new", "referral"), ("share_new_paid", "paid")):
        table[name] = table[f"n_first_{source}"] / n_new.where(n_new > 0)
    return table


def _share(
    table: pd.DataFrame, whole: str, of: tuple[str, ...] = ("repeat", "first_referral")
) -> "pd.Series[float]":
    """Return a share of all; missing where refunds leave none."""
    stem, total = ("n", "n_orders") if whole == "orders" else ("revenue", "revenue")
    part = sum(table[f"{stem}_{name}"] for name in of)
    share = part / table[total].where(table[total] > 0)
    # Sums in another order may leave a hair above 1.
    return share.where(share.between(-1e-9, 1 + 1e-9)).clip(0, 1)


def _finished(table: pd.DataFrame, hidden: list[str], name: str) -> pd.DataFrame:
    """Give a table its columns; what is not known is missing."""
    counts = {c: "int64" for c in table.columns if c.startswith("n_")}
    table = _in_money(table.astype(counts).reset_index(drop=True))
    return table.assign(**dict.fromkeys(hidden, np.nan))[schema.names(name)]


def _in_money(table: pd.DataFrame) -> pd.DataFrame:
    """Turn sums of the smallest unit into money."""
    money = [c for c in table.columns if c.startswith("revenue")]
    return table.assign(**{c: table[c] / _UNITS for c in money})


def _lineage(days: _Days) -> pd.DataFrame:
    """Sum by month and by the source of the person a tree begins with."""
    sold = days.sold.assign(month=_months_of(days.sold["day"].to_numpy()))
    new = days.new.assign(month=_months_of(days.new["day"].to_numpy()))
    is_root, is_new = sold["source"] != "referral", sold["kind"] == _NEW
    sold = sold.assign(
        n_orders=sold["n"],
        revenue_own=sold["revenue"].where(is_root, 0),
        revenue_direct=sold["revenue"].where(is_root & is_new, 0),
        revenue_brought=sold["revenue"].where(~is_root, 0),
    )
    root = new["source"] != "referral"
    new = new.assign(
        n_buyers=new["n"],
        n_roots=new["n"].where(root, 0),
        n_brought=new["n"].where(~root, 0),
    )
    keys = ["month", "root_source"]
    money = ["revenue", "revenue_own", "revenue_direct", "revenue_brought"]
    counts = ["n_buyers", "n_roots", "n_brought"]
    left = sold.groupby(keys)[["n_orders", *money]].sum()
    both = left.join(new.groupby(keys)[counts].sum(), how="outer").fillna(0)
    table = both.reset_index().astype(dict.fromkeys([*counts, "n_orders"], "int64"))
    order = {source: i for i, source in enumerate(ROOT_SOURCES)}
    table = table.assign(rank=table["root_source"].map(order))
    table = table.sort_values(["month", "rank"], ignore_index=True)
    return table.assign(month=_month_names(pd.Index(table["month"])))


def _lineage_shares(table: pd.DataFrame, name: str, events: Events) -> pd.DataFrame:
    """Add which share ads and others delivered directly, and which came of it."""
    table = _in_money(table)
    whole = table["revenue"].where(table["revenue"] > 0)
    for part in ("direct", "brought"):
        share = table[f"revenue_{part}"] / whole
        share = share.where(share.between(-1e-9, 1 + 1e-9)).clip(0, 1)
        table = table.assign(**{f"share_{part}": share})
    if "referrals" not in events.has:
        # Nor how many of them nobody brought.
        unknown = [
            "n_roots", "n_brought", "revenue_own", "revenue_direct", "revenue_brought",
            "share_direct", "share_brought",
        ]  # fmt: skip
        table = table.assign(**dict.fromkeys(unknown, np.nan))
    if "month" not in table:
        order = {source: i for i, source in enumerate(ROOT_SOURCES)}
        rank = table["root_source"].map(order)
        table = table.assign(rank=rank).sort_values("rank", ignore_index=True)
    return table[schema.names(name)]
