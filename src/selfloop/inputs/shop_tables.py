"""The events of a simulated shop as tables, batch by batch, and a tally of them."""

import operator
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np
import pyarrow as pa

from selfloop.core.errors import SettingError
from selfloop.core.settings import check_number
from selfloop.inputs.shop import Shop
from selfloop.inputs.shop_process import DAY_SECONDS, Batch, Ints, draw_batches
from selfloop.inputs.shop_truth import Truth, true_values

_TIME = pa.timestamp("us")
SCHEMAS = {
    "orders": pa.schema(
        [
            ("customer_id", pa.string()),
            ("ordered_at", _TIME),
            ("amount", pa.float64()),
            ("channel", pa.string()),
        ]
    ),
    "referrals": pa.schema(
        [
            ("referrer_id", pa.string()),
            ("referee_id", pa.string()),
            ("referred_at", _TIME),
        ]
    ),
    "visits": pa.schema(
        [
            ("visitor_id", pa.string()),
            ("visited_at", _TIME),
            ("channel", pa.string()),
        ]
    ),
    "spend": pa.schema(
        [("date", _TIME), ("channel", pa.string()), ("spend", pa.float64())]
    ),
}
"""Columns of each table."""

_ID_DIGITS = 8


@dataclass
class ShopRun:
    """Settings of a simulation, checked, and a tally of what was drawn so far.

    Parameters
    ----------
    n_visitors, seed, days, start, shop
        See `selfloop.inputs.simulate.simulate`.

    Raises
    ------
    SettingError
        When a setting is outside its range.

    Examples
    --------
    >>> run = ShopRun(100, 7, 90, date(2024, 1, 1), Shop())
    >>> [tables["visits"].num_rows for tables in run.tables()]
    [134]
    >>> run.counts["n_visits"]
    134
    """

    n_visitors: int
    seed: int
    days: int
    start: date
    shop: Shop
    arrivals: Ints = field(init=False)
    counts: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Check every range and start the tally at nothing."""
        self.n_visitors = _whole("n_visitors", self.n_visitors, low=1, high=10**9)
        self.seed = _whole("seed", self.seed, low=0, high=2**63 - 1)
        self.days = _whole("days", self.days, low=1, high=7300)
        if not isinstance(self.start, date):
            raise SettingError(f"start must be a date; got {self.start!r}")
        if isinstance(self.start, datetime):
            raise SettingError(f"start must be a date without time; got {self.start}")
        check_number("the year of start", self.start.year, low=1970, high=2200)
        if not isinstance(self.shop, Shop):
            raise SettingError(f"shop must be a Shop; got {self.shop!r}")
        self.arrivals = np.zeros((len(self.shop.channels), self.days), dtype=np.int64)
        names = ("n_people", "n_buyers", "n_orders", "n_referrals", "n_visits")
        self.counts = dict.fromkeys(names, 0)

    @property
    def n_visitors_done(self) -> int:
        """Visitors from outside who were drawn so far."""
        return self.counts["n_people"] - self.counts["n_referrals"]

    def tables(self) -> Iterator[dict[str, pa.Table]]:
        """Yield orders, referrals and visits of each batch, and count them."""
        batches = draw_batches(
            self.shop, n_visitors=self.n_visitors, seed=self.seed, days=self.days
        )
        for batch in batches:
            n_before = self.counts["n_people"]
            self._count(batch)
            yield self._batch_tables(batch, n_before)

    def _count(self, batch: Batch) -> None:
        """Add a batch to the tally."""
        cell = batch.channel * np.int64(self.days) + batch.arrived // DAY_SECONDS
        n_cells = self.arrivals.size
        self.arrivals += np.bincount(cell, minlength=n_cells).reshape(-1, self.days)
        self.counts["n_people"] += batch.arrived.size
        self.counts["n_buyers"] += int((batch.first >= 0).sum())
        self.counts["n_orders"] += batch.order_time.size
        self.counts["n_referrals"] += int((batch.inviter >= 0).sum())
        self.counts["n_visits"] += batch.visit_time.size

    def _batch_tables(self, batch: Batch, n_before: int) -> dict[str, pa.Table]:
        """Return the events of a batch as tables; ids go on from `n_before`."""
        invited = np.flatnonzero(batch.inviter >= 0)
        invited = invited[np.argsort(batch.arrived[invited], kind="stable")]
        columns = {
            "orders": [
                _ids(n_before + batch.order_person),
                self._times(batch.order_time),
                pa.array(batch.order_cents / 100),
                self._channels(batch.channel[batch.order_person]),
            ],
            "referrals": [
                _ids(n_before + batch.inviter[invited]),
                _ids(n_before + invited),
                self._times(batch.arrived[invited]),
            ],
            "visits": [
                _ids(n_before + batch.visit_person),
                self._times(batch.visit_time),
                self._channels(batch.channel[batch.visit_person]),
            ],
        }
        return {k: pa.table(v, schema=SCHEMAS[k]) for k, v in columns.items()}

    def spend(self) -> pa.Table:
        """Return the cost of each day and paid channel, zero on days of nobody."""
        paid = [i for i, source in enumerate(self.shop.sources) if source.is_paid]
        prices = [self.shop.sources[i].cost_per_visitor for i in paid]
        day = np.repeat(np.arange(self.days), len(paid))
        cost = np.round(self.arrivals[paid].T * np.array(prices), 2).ravel()
        channel = np.tile(np.array(paid, dtype=np.uint8), self.days)
        return pa.table(
            [self._times(day * DAY_SECONDS), pa.array(cost), self._channels(channel)],
            names=["date", "spend", "channel"],
        ).select(SCHEMAS["spend"].names)

    def truth(self) -> Truth:
        """Return the truth, given what was drawn."""
        return true_values(
            self.shop,
            arrivals=self.arrivals,
            n_visitors=self.n_visitors,
            seed=self.seed,
            days=self.days,
            start=self.start,
            counts=dict(self.counts),
        )

    def _times(self, seconds: Ints) -> pa.Array:
        """Return seconds since the start as timestamps."""
        first_day = np.datetime64(self.start, "us").astype(np.int64)
        return pa.array(first_day + seconds * 1_000_000).cast(_TIME)

    def _channels(self, number: np.ndarray) -> pa.Array:
        """Return numbers of channels as their names."""
        return pa.array(self.shop.channels, pa.string()).take(pa.array(number))


def _whole(name: str, value: object, *, low: int, high: int) -> int:
    """Return a whole number inside its range."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise SettingError(f"{name} must be a whole number; got {value!r}")
    number = operator.index(value)
    check_number(name, number, low=low, high=high)
    return number


def _ids(number: Ints) -> pa.Array:
    """Return people's numbers, from 0, as ids of one length such as ``c00000001``."""
    rest = number + 1
    width = max(_ID_DIGITS, len(str(int(rest.max(initial=0)))))
    # Written as bytes of one array: ten times faster than text by text.
    text = np.empty((number.size, width + 1), dtype=np.uint8)
    text[:, 0] = ord("c")
    for place in range(width, 0, -1):
        rest, digit = np.divmod(rest, 10)
        text[:, place] = digit + ord("0")
    offsets = np.arange(number.size + 1, dtype=np.int32) * np.int32(width + 1)
    return pa.StringArray.from_buffers(
        number.size, pa.py_buffer(offsets), pa.py_buffer(text)
    )
