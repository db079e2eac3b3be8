"""How far sums swing by chance, because customers differ and bring each other."""

from datetime import date
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from selfloop.core.settings import MIN_AT_RISK
from selfloop.inputs.baskets import EPOCH
from selfloop.inputs.events import Events
from selfloop.kernels.forest import heads
from selfloop.kernels.rows import FloatArray
from selfloop.measures.loop.cells import of_buyers
from selfloop.measures.referral.histories import brought_buyers

BLOCK_DAYS = 30
"""Length of the short spans whose sums are looked at."""

BAND_DAYS = 30
"""Buyers whose first purchases fall into so many days are compared with each other."""

MEASURES = ("buyers", "orders", "revenue")
"""What is summed: new buyers, purchases, net revenue."""

REPEATED = ("orders", "revenue")
"""What one and the same buyer does before the window and in it."""


class Swings(NamedTuple):
    """Variance of sums over some days, as a multiple of the sums.

    Parameters
    ----------
    block : dict of str to float
        By measure: of a sum over `BLOCK_DAYS` days.
    window : dict of str to float
        By measure: of a sum over `window_days` days.
    shared : dict of str to float
        By measure: covariance of a sum over `window_days` days with what was to be
        expected of it from the days before, as a multiple of the sum.
    window_days : int
        Length of the last part of the data that was looked at.
    """

    block: dict[str, float]
    window: dict[str, float]
    shared: dict[str, float]
    window_days: int

    def ratio(self, measure: str, n_days: int) -> float:
        """Return by how much an error of prediction varies beyond that of estimation.

        Parameters
        ----------
        measure : str
            One of `MEASURES`.
        n_days : int
            Length in days.

        Returns
        -------
        float
            As a multiple of the sum: its variance, less twice the covariance with the
            estimate; not below 0. The variance is on the straight line through those
            of both lengths and at least that of a block, the covariance in proportion
            to the length and no more than that of the window.
        """
        short, long = self.block[measure], self.window[measure]
        both = 2 * self.shared[measure] * min(1.0, n_days / self.window_days)
        if self.window_days <= BLOCK_DAYS:
            return max(0.0, max(short, long) - both)
        slope = (long - short) / (self.window_days - BLOCK_DAYS)
        return max(0.0, max(short, short + slope * (n_days - BLOCK_DAYS)) - both)


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
    links apart; x_c is its sum. Clusters of new buyers come at random (a compound
    Poisson sum): their variance is the sum of x_c^2. Those of the buyers there were
    are known to be there: theirs is the sum of squares around the mean of buyers who
    first bought within the same 30 days.

    Who bought much before buys much again, so that a sum goes with what was expected
    of it. z_c is how much a buyer's purchases before the window, by age, move what is
    expected of all in it: each counts as many times as there were buyer-days of that
    age in the window, over buyers at risk before. The covariance is the sum of
    (z_c - mean) (x_c - mean).
    """
    last = events.end if end is None else end
    end_day = (last - EPOCH).days
    n_observed = end_day - (events.start - EPOCH).days + 1
    window_days = max(1, min(n_days, n_observed // 2))
    cut = end_day - window_days
    clusters = _clusters(events, cut + 1, last)
    window = _window(events, cut, end_day, clusters)
    sums = window.group_by("cluster", "block").aggregate(
        **{name: window[name].sum() for name in MEASURES}
    )
    by_block = events.engine.keep(sums, "loop_blocks")
    squares = by_block.aggregate(
        **{name: by_block[name].sum() for name in MEASURES},
        **{f"{name}_squares": (by_block[name] * by_block[name]).sum()
           for name in MEASURES},
    ).to_pyarrow().to_pylist()[0]  # fmt: skip
    block = {name: _ratio(squares[f"{name}_squares"], squares[name])
             for name in MEASURES}  # fmt: skip
    moments = _moments(events, by_block, cut, window_days)
    events.engine.drop(by_block)
    return Swings(block, *_ratios(moments), window_days)


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


def _window(
    events: Events, cut: int, end_day: int, clusters: ir.Table | None
) -> ir.Table:
    """Select new buyers, purchases and revenue after the cut, by cluster and block."""
    rows = of_buyers(events)
    rows = rows.filter((rows.day > cut) & (rows.day <= end_day))
    made = rows.select(
        "person_no",
        block=((ibis.literal(end_day) - rows.day) // BLOCK_DAYS).cast("int64"),
        buyers=ibis.literal(0.0),
        orders=rows.is_purchase.cast("int32").cast("float64"),
        revenue=rows.net.cast("float64"),
    )
    core = events.core
    new = core.filter((core.first_day > cut) & (core.first_day <= end_day))
    came = new.select(
        "person_no",
        block=((ibis.literal(end_day) - new.first_day) // BLOCK_DAYS).cast("int64"),
        buyers=ibis.literal(1.0),
        orders=ibis.literal(0.0),
        revenue=ibis.literal(0.0),
    )
    both = made.union(came)
    if clusters is None:
        return both.mutate(cluster="person_no")
    both = both.left_join(clusters, "person_no").drop("person_no_right")
    return both.mutate(cluster=ibis.coalesce(both.cluster, both.person_no))


def _moments(
    events: Events, window: ir.Table, cut: int, window_days: int
) -> dict[str, FloatArray]:
    """Sum x, z and their products over clusters, by band of first purchases.

    Bands are of buyers there were before the window; the last one is of all others.
    """
    core = events.core
    there = core.filter(core.first_day <= cut)
    none = {name: ibis.literal(0.0) for name in (*MEASURES, "z_orders", "z_revenue")}
    band = ((ibis.literal(cut) - there.first_day) // BAND_DAYS).cast("int64")
    parts = [
        there.select(cluster="person_no", band=band, **none),
        window.select(
            "cluster",
            band=ibis.null("int64"),
            **none | {name: window[name] for name in MEASURES},
        ),
    ]
    before = _before(events, there, cut, window_days)
    if before is not None:
        z = {f"z_{name}": before[name] for name in REPEATED}
        parts.append(
            before.select(cluster="person_no", band=ibis.null("int64"), **none | z)
        )
    rows = ibis.union(*parts)
    sums = rows.group_by("cluster").aggregate(
        band=rows.band.max(), **{name: rows[name].sum() for name in none}
    )
    products = {f"{name}_squares": sums[name] * sums[name] for name in MEASURES}
    products |= {f"{name}_both": sums[name] * sums[f"z_{name}"] for name in REPEATED}
    found = (
        sums.group_by("band")
        .aggregate(
            n=sums.count().cast("float64"),
            **{name: sums[name].sum() for name in none},
            **{name: value.sum() for name, value in products.items()},
        )
        .order_by(ibis.asc("band", nulls_first=False))
        .to_pyarrow()
    )
    moments = {name: found[name].to_numpy().astype(np.float64)
               for name in found.column_names if name != "band"}  # fmt: skip
    moments["is_there"] = found["band"].is_valid().to_numpy().astype(np.float64)
    return moments


def _before(
    events: Events, there: ir.Table, cut: int, window_days: int
) -> ir.Table | None:
    """Select what buyers did before the window, times how much it moves the sum."""
    core = events.core
    bought = core.filter(core.first_day <= cut + window_days)
    counted = bought.group_by("first_day").aggregate(n=bought.count()).to_pyarrow()
    first, n = (column.to_numpy() for column in counted.columns)
    weight = weights(first, n, cut=cut, window_days=window_days)
    if not weight.any():
        return None
    table = pa.table({"age": np.arange(weight.size), "weight": weight})
    rows = events.baskets
    rows = rows.filter(rows.day <= cut)
    rows = rows.join(there.select("person_no", "first_day"), "person_no")
    rows = rows.mutate(age=(rows.day - rows.first_day).cast("int64"))
    rows = rows.join(events.engine.upload(table, "weights"), "age")
    return rows.select(
        "person_no",
        orders=rows.is_purchase.cast("int32").cast("float64") * rows.weight,
        revenue=rows.net.cast("float64") * rows.weight,
    )


def weights(
    first: npt.NDArray[np.int64],
    n: npt.NDArray[np.int64],
    *,
    cut: int,
    window_days: int,
) -> FloatArray:
    """Say how often what happens at an age counts for what is expected.

    Parameters
    ----------
    first, n : ndarray of int64
        Days to the end of the window, and how many buyers first bought on each.
    cut : int
        Last day before the window.
    window_days : int
        Length of the window.

    Returns
    -------
    ndarray of float64, shape (n_ages,)
        Buyer-days at age 0, 1, 2, ... in the window, over buyers who were seen at that
        age by the cut; 0 at age 0 and where fewer than 30 were.

    Examples
    --------
    30 buyers of day 0 and 60 of day 1, seen to day 1 and then for a day.

    >>> weights(np.array([0, 1]), np.array([30, 60]), cut=1, window_days=1).tolist()
    [0.0, 2.0]
    """
    is_there = first <= cut
    before = np.bincount(cut - first[is_there], n[is_there], minlength=1)
    known = before[::-1].cumsum()[::-1]
    after = np.bincount(cut + window_days - first, n, minlength=known.size)
    later = after[::-1].cumsum()[::-1][: known.size]
    enough = known >= MIN_AT_RISK
    found = np.divide(later - known, known, out=np.zeros(known.size), where=enough)
    found[0] = 0.0
    return np.asarray(found)


def _ratios(
    moments: dict[str, FloatArray],
) -> tuple[dict[str, float], dict[str, float]]:
    """Return variance / sum of each measure, and covariance / sum."""
    n = np.where(moments["is_there"] > 0, moments["n"], np.inf)
    window, shared = {}, dict.fromkeys(MEASURES, 0.0)
    for name in MEASURES:
        x = moments[name]
        total = float(x.sum())
        window[name] = _ratio(
            float((moments[f"{name}_squares"] - x**2 / n).sum()), total
        )
        if name in REPEATED:
            both = moments[f"{name}_both"] - x * moments[f"z_{name}"] / n
            shared[name] = _ratio(float(both.sum()), total)
    return window, shared


def _ratio(squares: float | None, total: float | None) -> float:
    """Return squares / total where both are above 0."""
    return squares / total if total and squares and min(squares, total) > 0 else 0.0
