"""How far sums swing by chance, because customers differ and bring each other."""

from datetime import date
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from selfloop.inputs.baskets import EPOCH
from selfloop.inputs.events import Events
from selfloop.kernels.forest import heads
from selfloop.measures.referral.histories import brought_buyers

BLOCK_DAYS = 30
"""Length of the short spans whose sums are looked at."""

MEASURES = ("buyers", "orders", "revenue")
"""What is summed: new buyers, purchases, net revenue."""


class Swings(NamedTuple):
    """Variance of sums over some days, as a multiple of the sums.

    Parameters
    ----------
    block : dict of str to float
        By measure: of a sum over `BLOCK_DAYS` days.
    window : dict of str to float
        By measure: of a sum over `window_days` days.
    window_days : int
        Length of the last part of the data that was looked at.
    """

    block: dict[str, float]
    window: dict[str, float]
    window_days: int

    def ratio(self, measure: str, n_days: int) -> float:
        """Return variance / sum of a sum over some days.

        Parameters
        ----------
        measure : str
            One of `MEASURES`.
        n_days : int
            Length in days.

        Returns
        -------
        float
            On the straight line through both, and at least that of a block.
        """
        short, long = self.block[measure], self.window[measure]
        if self.window_days <= BLOCK_DAYS:
            return max(short, long)
        slope = (long - short) / (self.window_days - BLOCK_DAYS)
        return max(short, short + slope * (n_days - BLOCK_DAYS))


def swings(events: Events, *, n_days: int, end: date | None = None) -> Swings:
    """See how far sums swing, from the last days of the data.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    n_days : int
        Days of interest; as many are looked at, and at most half of all.
    end : date, optional
        Last day that counts; the last observed day by default.

    Returns
    -------
    Swings

    Notes
    -----
    Customers and those whom they bring within the window are one cluster, however many
    links apart. With x_c the sum of cluster c, the variance of the sum of all is at
    most sum of x_c^2 (exactly that, if clusters come at random: a compound Poisson
    sum), so variance / sum = sum of x_c^2 / sum of x_c.
    """
    last = events.end if end is None else end
    end_day = (last - EPOCH).days
    n_observed = end_day - (events.start - EPOCH).days + 1
    window_days = max(1, min(n_days, n_observed // 2))
    first = end_day - window_days + 1
    sums = _sums(events, first, end_day, _clusters(events, first, last))
    measures = list(MEASURES)
    by_block = sums.group_by("cluster", "block").aggregate(
        **{name: sums[name].sum() for name in measures}
    )
    whole = sums.group_by("cluster").aggregate(
        **{name: sums[name].sum() for name in measures}
    )
    return Swings(_ratios(by_block), _ratios(whole), window_days)


def _clusters(events: Events, first: int, last: date) -> ir.Table | None:
    """Say whose cluster people belong to who were brought within the window."""
    if "referrals" not in events.has:
        return None
    rows = brought_buyers(events, end=last)
    rows = rows.filter((rows.first_day >= first) & (rows.age_days >= 0))
    found = rows.select("person_no", "referrer_no").to_pyarrow()
    person, referrer = (column.to_numpy() for column in found.columns)
    if not person.size:
        return None
    head = heads(person, referrer)
    table = pa.table({"person_no": person, "cluster": head})
    return events.engine.upload(table, "clusters")


def _sums(
    events: Events, first: int, end_day: int, clusters: ir.Table | None
) -> ir.Table:
    """Select new buyers, purchases and revenue of the window, by cluster and block."""
    rows = events.baskets
    rows = rows.filter(rows.day.between(first, end_day))
    made = rows.select(
        "person_no",
        block=(ibis.literal(end_day) - rows.day) // BLOCK_DAYS,
        buyers=ibis.literal(0.0),
        orders=rows.is_purchase.cast("float64"),
        revenue=rows.net.cast("float64"),
    )
    core = events.core
    new = core.filter(core.first_day.between(first, end_day))
    came = new.select(
        "person_no",
        block=(ibis.literal(end_day) - new.first_day) // BLOCK_DAYS,
        buyers=ibis.literal(1.0),
        orders=ibis.literal(0.0),
        revenue=ibis.literal(0.0),
    )
    both = made.cast({"block": "int64"}).union(came.cast({"block": "int64"}))
    if clusters is None:
        return both.mutate(cluster="person_no")
    both = both.left_join(clusters, "person_no").drop("person_no_right")
    return both.mutate(cluster=ibis.coalesce(both.cluster, both.person_no))


def _ratios(sums: ir.Table) -> dict[str, float]:
    """Return sum of squares / sum, by measure; 0 where the sum is not above 0."""
    parts: dict[str, ir.Value] = {}
    for name in MEASURES:
        parts[name] = sums[name].sum()
        parts[f"{name}_squares"] = (sums[name] * sums[name]).sum()
    line = sums.aggregate(**parts).to_pyarrow().to_pylist()[0]
    return {name: _ratio(line[f"{name}_squares"], line[name]) for name in MEASURES}


def _ratio(squares: float | None, total: float | None) -> float:
    """Return squares / total where the total is above 0."""
    return squares / total if total and squares and total > 0 else 0.0
