"""When customers buy the same product again, and who is due."""

from dataclasses import dataclass, field
from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import SettingError
from selfloop.core.settings import MIN_AT_RISK, check_days, check_whole
from selfloop.inputs.baskets import day_number
from selfloop.inputs.dialect import person_key
from selfloop.inputs.events import Events
from selfloop.inputs.validate import USED
from selfloop.kernels.quantiles import quantile_days_of_reached
from selfloop.measures.histograms import curve_of, within_line

MAX_PRODUCTS = 10_000
"""Products of a table: those with most buyers."""


@dataclass(frozen=True, eq=False)
class ProductGaps:
    """When products are bought again, made by `product_gaps`.

    Parameters
    ----------
    products : DataFrame
        Columns of `schema.PRODUCT_GAPS`, those with most buyers first.
    people : ibis table
        Columns of `schema.PRODUCT_CUSTOMERS`, one row per customer and product, of all
        products, in the engine.
    n_products : int
        Products that anybody bought.
    window_days : int
        W of all shares.
    end : date
        Last observed day.
    """

    products: pd.DataFrame = field(repr=False)
    people: ir.Table = field(repr=False)
    n_products: int
    window_days: int
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the products, columns of `schema.PRODUCT_GAPS`."""
        return self.products.copy()

    def __repr__(self) -> str:
        """Show the products as text."""
        return show_text("Products", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the products in a notebook."""
        return show_html("Products", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        return [
            ("observed to", self.end),
            ("products", f"{len(self.products):,} of {self.n_products:,}"),
            ("within", f"{self.window_days} days"),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [("", self.products, "product_gaps")]


def product_gaps(
    events: Events,
    *,
    window_days: int = 180,
    top: int = 100,
    min_at_risk: int = MIN_AT_RISK,
) -> ProductGaps:
    """When customers buy the same product again, and which of them are due.

    Parameters
    ----------
    events : Events
        Result of `read_events` of orders with a column ``product``.
    window_days : int, optional
        W: bought again within W days, at least 1.
    top : int, optional
        So many products, those with most buyers; 1 to 10,000.
    min_at_risk : int, optional
        Fewer people than this at risk, or back: it is missing, with the reason; at
        least 1.

    Returns
    -------
    ProductGaps

    Raises
    ------
    SettingError
        The orders have no product, or a number is out of its range.

    Notes
    -----
    A purchase of a product is a customer-day on which its rows are worth more than 0
    together. From the first purchase of the product by each customer to the second: the
    share who bought it again within W days by Kaplan-Meier, which counts people for as
    long as they were observed, and how long those took who did (`stage_times`). The
    median of the gaps seen so far would be too short: slow ones are still open.

    `people` has the own gaps of each customer: `overdue` = days since they last bought
    it / median of their finished gaps. It orders a list to remind, and is no
    probability, as in `customer_gaps`.

    Examples
    --------
    >>> import pandas as pd
    >>> import selfloop as sl
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["ann", "ann", "bob"], "product": ["tea", "tea", "cup"],
    ...     "date": ["2026-01-01", "2026-01-31", "2026-02-15"], "amount": [5, 5, 9],
    ... })
    >>> found = sl.product_gaps(sl.read_events(orders))
    >>> found.products[["product", "n_buyers", "n_repeaters"]].to_numpy().tolist()
    [['cup', 1, 0], ['tea', 1, 1]]
    """
    Events.check(events)
    window_days = check_days("window_days", window_days)
    check_whole("top", top, low=1, high=MAX_PRODUCTS)
    check_whole("min_at_risk", min_at_risk, low=1)
    bought = events.engine.keep(_purchases(events), "products")
    sizes, n_products = _sizes(bought, top)
    curves = _histogram(bought, sizes["product"].tolist(), events.end_day)
    parts = dict(iter(curves.groupby("product")))
    lines = [
        row | _line(parts[row["product"]], window_days, min_at_risk)
        for row in sizes.to_dict("records")
    ]
    table = pd.DataFrame(lines, columns=schema.names("product_gaps"))
    return ProductGaps(
        products=_typed(table),
        people=_people(bought, events),
        n_products=n_products,
        window_days=window_days,
        end=events.end,
    )


def _purchases(events: Events) -> ir.Table:
    """Select customer, product and day of every purchase, with the day after it."""
    rows = events.set_aside["orders"]
    if "product" not in rows.columns:
        raise SettingError(
            "the orders have no product; name its column: "
            "read_events(orders, columns={'orders': {'product': 'StockCode'}}), on "
            "the command line --map product=StockCode"
        )
    known = rows.customer_id.notnull() & rows["product"].notnull()
    rows = rows.filter((rows.code == USED) & known)
    rows = rows.select(
        "product",
        person_no=person_key(rows.customer_id),
        day=day_number(rows.ordered_at),
        amount="amount",
    )
    days = rows.group_by("person_no", "product", "day").aggregate(net=rows.amount.sum())
    days = days.filter(days.net > 0)
    in_turn = ibis.window(group_by=[days.person_no, days["product"]], order_by=days.day)
    return days.mutate(
        net=days.net.cast("float64"),
        previous_day=days.day.lag().over(in_turn),
        next_day=days.day.lead().over(in_turn),
    )


def _sizes(bought: ir.Table, top: int) -> tuple[pd.DataFrame, int]:
    """Count buyers, purchases and repeaters of the products with most buyers."""
    is_first = bought.previous_day.isnull()
    sizes = bought.group_by("product").aggregate(
        n_buyers=is_first.sum(),
        n_purchases=bought.count(),
        revenue=bought.net.sum(),
        n_repeaters=(is_first & bought.next_day.notnull()).sum(),
    )
    n_products = int(sizes.count().to_pandas())
    largest = sizes.order_by(ibis.desc("n_buyers"), "product").limit(top)
    frame: pd.DataFrame = largest.to_pandas()
    return frame, n_products


def _histogram(bought: ir.Table, products: list[str], end_day: int) -> pd.DataFrame:
    """Count customers by days from their first purchase of a product to the second."""
    firsts = bought.filter(
        bought.previous_day.isnull() & bought["product"].isin(products)
    )
    event = firsts.next_day.notnull()
    days = firsts.next_day.fill_null(end_day) - firsts.day
    counted = firsts.group_by("product", days=days, event=event)
    frame: pd.DataFrame = counted.aggregate(n=firsts.count()).to_pandas()
    return frame


def _line(part: pd.DataFrame, window: int, least: int) -> dict[str, object]:
    """Write when a product is bought again, with the reason for what is missing."""
    km = curve_of(part)
    line, thin = within_line(km, window, least)
    line["window_days"] = window
    if thin:
        return line | {"reason": thin}
    back = part[part["event"].astype(bool) & (part["days"] <= window)]
    n_back = int(back["n"].sum())
    if n_back < least:
        return line | {"reason": f"{n_back} again within {window} days, need {least}"}
    for percent in (25, 50, 75):
        found = quantile_days_of_reached(km, percent / 100, within=window)
        line[f"days_{percent}"] = found.days
        if percent == 50:
            line |= {"days_50_low": found.low, "days_50_high": found.high}
    return line | {"reason": ""}


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Give counts and shares their types, also in a table without lines."""
    floats = ("share_", "days_", "revenue", "window_")
    counts = {c: "int64" for c in table.columns if c.startswith("n_")}
    return table.astype(
        counts | {c: "float64" for c in table.columns if c.startswith(floats)}
    )


def _people(bought: ir.Table, events: Events) -> ir.Table:
    """Say how often each customer buys each product, and for how long not now."""
    gap = bought.next_day - bought.day
    own = bought.group_by("person_no", "product").aggregate(
        n_purchases=bought.count(),
        median_gap_days=gap.median().cast("float64"),
        last_day=bought.day.max(),
    )
    since = (events.end_day - own.last_day).cast("int64")
    ids = events.core.select("person_no", "person_id")
    rows = own.mutate(days_since_last=since, overdue=since / own.median_gap_days).join(
        ids, "person_no"
    )
    return rows.select(*schema.names("product_customers"))
