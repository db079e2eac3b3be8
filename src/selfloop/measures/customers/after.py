"""What people of each segment did after a day."""

from collections.abc import Sequence
from datetime import date

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

from selfloop.core import schema
from selfloop.core.settings import CONFIDENCE, MIN_AT_RISK
from selfloop.inputs.events import Events
from selfloop.kernels.intervals import wilson
from selfloop.measures.customers.as_of import day_of
from selfloop.measures.customers.rfm import shares_of
from selfloop.measures.referral.histories import brought_buyers

FloatArray = npt.NDArray[np.float64]


def what_came_after(
    events: Events, people: ir.Table, at: date, *, segments: Sequence[str]
) -> pd.DataFrame:
    """Sum what people did after the close of a day, by segment.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    people : ibis table
        person_no, segment; who had bought by then, once each.
    at : date
        The day.
    segments : sequence of str
        Every segment, also of nobody, in order.

    Returns
    -------
    DataFrame
        Columns of `schema.SEGMENT_AFTER`.
    """
    rows = events.baskets.filter(events.baskets.day > day_of(at))
    done = rows.group_by("person_no").aggregate(
        n_orders=rows.is_purchase.sum(), value=rows.net.sum()
    )
    people = people.left_join(done, "person_no").drop("person_no_right")
    brought = brought_buyers(events)
    brought = brought.filter(brought.first_day > day_of(at))
    counted = brought.group_by(person_no="referrer_no").aggregate(
        n_brought=brought.count()
    )
    people = people.left_join(counted, "person_no").drop("person_no_right")
    people = people.mutate(
        n_orders=people.n_orders.fill_null(0), value=people.value.fill_null(0)
    )
    money, orders = people.value.cast("float64"), people.n_orders.cast("float64")
    grouped = people.group_by("segment").aggregate(
        n_people=people.count(),
        n_again=(people.n_orders > 0).sum(),
        n_orders=people.n_orders.sum(),
        revenue=people.value.sum().cast("float64"),
        n_brought=people.n_brought.sum().fill_null(0),
        sd_purchases=orders.std(how="sample"),
        sd_revenue=money.std(how="sample"),
    )
    found: pd.DataFrame = grouped.to_pandas()
    table = found.set_index("segment").reindex(list(segments), fill_value=0)
    return _written(table.reset_index(), knows_links="referrals" in events.has)


def _written(table: pd.DataFrame, *, knows_links: bool) -> pd.DataFrame:
    """Add shares, means and intervals; none of fewer than 30 people."""
    counts = ["n_people", "n_again", "n_orders", "n_brought"]
    table = table.astype(dict.fromkeys(counts, "Int64"))
    if not knows_links:
        table["n_brought"] = pd.Series(pd.NA, table.index, dtype="Int64")
    n = table["n_people"].to_numpy(np.float64)
    table["share_people"] = n / n.sum() if n.sum() else np.nan
    again = table["n_again"].to_numpy(np.float64)
    enough = n >= MIN_AT_RISK
    known = np.where(enough, n, np.nan)
    table["share_again"] = again / known
    low, high = wilson(again, n)
    table["share_again_low"] = np.where(enough, low, np.nan)
    table["share_again_high"] = np.where(enough, high, np.nan)
    for name, total in (("purchases", "n_orders"), ("revenue", "revenue")):
        mean = table[total].to_numpy(np.float64) / known
        ends = mean_interval(mean, table[f"sd_{name}"].to_numpy(np.float64), known)
        table[f"person_{name}"] = mean
        table[f"person_{name}_low"], table[f"person_{name}_high"] = ends
    table["share_of_revenue"] = shares_of(table["revenue"].to_numpy(np.float64))
    few = table["n_people"].astype(str) + f" people, need {MIN_AT_RISK}"
    table["reason"] = few.mask(enough, "")
    return table[schema.names("segment_after")]


def mean_interval(
    mean: FloatArray, deviation: FloatArray, n: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the ends of mean +- t deviation / sqrt(n), of n independent people.

    Parameters
    ----------
    mean, deviation, n : ndarray of float64
        Mean and standard deviation of so many people; NaN stays NaN.

    Returns
    -------
    low, high : ndarray of float64

    Examples
    --------
    >>> low, high = mean_interval(np.array([10.0]), np.array([2.0]), np.array([25.0]))
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([9.174], [10.826])
    """
    reach = stdtrit(n - 1, (1 + CONFIDENCE) / 2) * deviation / np.sqrt(n)
    return mean - reach, mean + reach
