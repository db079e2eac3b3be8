"""The account of an input: where every row went, the totals, what to know beside."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from selfloop.core import schema
from selfloop.inputs.dialect import copies
from selfloop.inputs.links import Links
from selfloop.inputs.validate import REASONS, USED, Counts, Typed, audit_rows


def audit_of(
    typed: dict[str, Typed], counts: dict[str, Counts], links: Links | None
) -> pd.DataFrame:
    """Write the audit: every row of every table in one line.

    Parameters
    ----------
    typed : dict of str to Typed
        The typed tables.
    counts : dict of str to Counts
        Their rows by code.
    links : Links or None
        What the rules made of the readable referrals.

    Returns
    -------
    DataFrame
        Columns of `schema.AUDIT`.
    """
    parts = []
    for name, table in typed.items():
        part = audit_rows(table, counts[name])
        if name == "referrals" and links is not None:
            part = _referral_lines(part, links)
        parts.append(part)
    return pd.concat([p for p in parts if len(p)], ignore_index=True)


def _referral_lines(part: pd.DataFrame, links: Links) -> pd.DataFrame:
    """Split the readable referral rows by what the rules made of them."""
    others = part[part["code"] != USED]
    lines = []
    for code in sorted(links.outcomes):
        reason, outcome, fix = REASONS[code]
        found = " · ".join(links.examples.get(code, ())) if code else ""
        lines.append(
            ["referrals", code, reason, outcome, links.outcomes[code], None, found, fix]
        )
    ruled = pd.DataFrame(lines, columns=schema.names("audit"))
    joined = [frame for frame in (ruled, others) if len(frame)]
    return pd.concat(joined, ignore_index=True).sort_values("code", ignore_index=True)


def guest_months(orders: ir.Table) -> pd.DataFrame:
    """Sum the revenue of guests by month.

    Parameters
    ----------
    orders : ibis table
        Used rows of orders, guests included.

    Returns
    -------
    DataFrame
        month, revenue.
    """
    rows = orders.filter(orders.customer_id.isnull())
    month = rows.ordered_at.strftime("%Y-%m")
    grouped = rows.group_by(month=month).aggregate(revenue=rows.amount.sum())
    frame: pd.DataFrame = grouped.order_by("month").to_pandas()
    return frame


def guest_orders(orders: ir.Table) -> int:
    """Count the orders of guests; a row without an order id is one order.

    Parameters
    ----------
    orders : ibis table
        Used rows of orders, guests included.

    Returns
    -------
    int
    """
    rows = orders.filter(orders.customer_id.isnull())
    if "order_id" not in rows.columns:
        return int(rows.count().to_pyarrow().as_py())
    named, nameless = rows.order_id.nunique(), rows.order_id.isnull().sum()
    line = rows.aggregate(named=named, nameless=nameless).to_pyarrow().to_pylist()[0]
    return int(line["named"] or 0) + int(line["nameless"] or 0)


def totals_of(
    counts: Counts,
    core: ir.Table,
    stats: ir.Table,
    n_guest_orders: int,
    signs: pd.DataFrame,
) -> dict[str, Any]:
    """Add up the whole: rows, orders, people, money.

    Parameters
    ----------
    counts : Counts
        Order rows by code.
    core, stats : ibis table
        People, and their purchases.
    n_guest_orders : int
        Result of `guest_orders`.
    signs : DataFrame
        Result of `baskets.order_signs`.

    Returns
    -------
    dict
        Counts as int, money as Decimal.
    """
    people = core.aggregate(
        n_people=core.count(),
        n_buyers=(core.n_purchases > 0).sum(),
        n_repeat_buyers=(core.n_purchases > 1).sum(),
        n_purchases=core.n_purchases.sum(),
    )
    money = stats.aggregate(
        revenue_customers=stats.revenue.sum(),
        refunds_customers=stats.refunds.sum(),
        n_customers=stats.count(),
    )
    totals: dict[str, Any] = {}
    for part in (people.to_pandas(), money.to_pandas(), signs):
        totals |= dict(part.iloc[0])
    totals = {k: (0 if pd.isna(v) else v) for k, v in totals.items()}
    used = counts.by_code.set_index("code")["amount"]
    totals["n_order_rows"] = counts.n_rows(USED, "SL120")
    totals["revenue"] = sum(used.get(c, 0) or 0 for c in (USED, "SL120"))
    totals["revenue_guests"] = used.get("SL120", 0) or 0
    totals["n_orders_guests"] = n_guest_orders
    known = sum(int(totals[f"n_orders_{s}"]) for s in ("positive", "zero", "negative"))
    totals["n_orders"] = known + totals["n_orders_guests"]
    return {k: int(v) if k.startswith("n_") else Decimal(v) for k, v in totals.items()}


_SILENT_DAYS = 30
"""An end so many days after the last event is worth a note."""


def silence_note(days: Sequence[date], end: date) -> list[tuple[str, str, str]]:
    """Say that the period ends long after anything happened in it.

    Parameters
    ----------
    days : sequence of date
        Day of the last event of each table; at least one up to the end.
    end : date
        Last day of observation.

    Returns
    -------
    list of tuple
        (code, table, text) when there is something to say.

    Examples
    --------
    >>> silence_note([date(2026, 3, 1)], date(2026, 3, 31))
    []
    >>> silence_note([date(2026, 3, 1)], date(2026, 6, 1))[0][0]
    'SL153'
    """
    last = max(day for day in days if day <= end)
    n_days = (end - last).days
    if n_days <= _SILENT_DAYS:
        return []
    text = (
        f"the last event is of {last}, {n_days:,} days before the end, {end}; the days "
        "between count as observed, so that everybody counts as not having come back. "
        f"If the data stop on {last}, leave end out"
    )
    return [("SL153", "", text)]


def notes_of(typed: dict[str, Typed], core: ir.Table) -> list[tuple[str, str, str]]:
    """Collect what a reader should know beside the audit.

    Parameters
    ----------
    typed : dict of str to Typed
        The typed tables.
    core : ibis table
        People.

    Returns
    -------
    list of tuple
        (code, table, text).
    """
    notes = []
    for name, table in typed.items():
        n_copies = _exact_copies(table)
        if n_copies:
            text = (
                f"{n_copies:,} rows are exact copies of another row; they are kept, "
                "because nothing says that they are errors"
            )
            notes.append(("SL150", name, text))
    if "visits" in typed:
        notes += _unseen_buyers(core)
    if "referrals" in typed:
        silent = core.filter((core.n_invited > 0) & (core.n_purchases == 0))
        n = int(silent.count().to_pandas())
        if n:
            text = f"{n:,} referrers never bought; they are people with zero spend"
            notes.append(("SL210", "referrals", text))
    return notes


def _unseen_buyers(core: ir.Table) -> list[tuple[str, str, str]]:
    """Say how many buyers were not seen before they bought."""
    bought = core.filter(core.first_at.notnull())
    before = bought.visited_at.date() <= bought.first_at.date()
    seen = before.fill_null(ibis.literal(value=False))
    line = (
        bought.aggregate(n=bought.count(), n_seen=seen.sum()).to_pyarrow().to_pylist()
    )
    n, n_unseen = line[0]["n"], line[0]["n"] - (line[0]["n_seen"] or 0)
    if not n_unseen:
        return []
    text = (
        f"{n_unseen:,} of {n:,} buyers have no visit up to the day of their first "
        "purchase; they count as people who bought on the day they came, which makes "
        "conversion look higher than it is"
    )
    return [("SL152", "visits", text)]


def _exact_copies(table: Typed) -> int:
    """Count rows that equal another row in every column of the source."""
    line = copies(table.raw.table).to_pandas().iloc[0]
    return int(line["n"] - line["n_distinct"])
