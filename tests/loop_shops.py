"""Simulated shops reduced to what the loop is computed from, without an engine.

`sl.loop_cells` does the same from tables; `test_loop_truth.py` holds both together. A
shop takes milliseconds in this way, so that hundreds of them can be looked at.
"""

from datetime import date, timedelta

import numpy as np

from selfloop.inputs.shop import Shop
from selfloop.inputs.shop_process import DAY_SECONDS, draw_batches
from selfloop.kernels.forest import heads
from selfloop.measures.loop.cells import ARRAYS, LoopCells
from selfloop.measures.loop.swings import BAND_DAYS, BLOCK_DAYS, Swings
from selfloop.measures.referral.histories import N_GROUPS

START = date(2024, 1, 1)


class DrawnShop:
    """A shop drawn once, to be looked at as of any day."""

    def __init__(self, shop: Shop, *, n_visitors: int, seed: int, days: int):
        (batch,) = draw_batches(shop, n_visitors=n_visitors, seed=seed, days=days)
        self.shop, self.days = shop, days
        kinds = ["paid" if s.is_paid else "organic" for s in shop.sources]
        names = np.array([*kinds, "referral"])
        self.source = names[batch.channel]
        self.inviter = batch.inviter
        self.arrived = batch.arrived // DAY_SECONDS
        self.first = np.where(batch.first >= 0, batch.first // DAY_SECONDS, -1)
        self.group = np.random.default_rng(seed).integers(
            0, N_GROUPS, batch.arrived.size
        )
        # A purchase is a customer-day.
        day = batch.order_time // DAY_SECONDS
        key = batch.order_person * np.int64(days) + day
        keys, place = np.unique(key, return_inverse=True)
        self.person, self.day = keys // days, keys % days
        self.value = np.bincount(place, batch.order_cents / 100)

    def cells(self, end: int | None = None) -> LoopCells:
        """Reduce to cells as of the close of a day, 0 for the first."""
        end = self.days - 1 if end is None else end
        came = self.arrived <= end
        first = np.where(self.first <= end, self.first, -1)
        bought = came & (first >= 0)
        seen = self.day <= end
        second = self._second(end)
        success = self._success(end, first)
        owner = self.inviter
        made = bought & (owner >= 0)
        parts = {
            "arrived": (came, end - self.arrived, None),
            "bought": (bought, first - self.arrived, None),
            "waiting": (came & ~bought, end - self.arrived, None),
            "followup": (bought, end - first, None),
            "again": (bought & (second >= 0), second - first, None),
            "alone": (bought & (second < 0), end - first, None),
            "success": (bought & (success >= 0), success - first, None),
            "quiet": (bought & (success < 0), end - first, None),
        }
        sources = sorted(set(self.source))
        number = {name: i for i, name in enumerate(sources)}
        kind = np.array([number[name] for name in self.source])
        shape = len(sources), N_GROUPS, end + 1
        arrays = {name: np.zeros(shape) for name in ARRAYS}
        for name, (mine, age, _) in parts.items():
            np.add.at(arrays[name], (kind[mine], self.group[mine], age[mine]), 1)
        person = self.person[seen]
        age = self.day[seen] - first[person]
        place = kind[person], self.group[person], age
        np.add.at(arrays["orders"], place, 1)
        np.add.at(arrays["revenue"], place, self.value[seen])
        parent = owner[made]
        place = kind[parent], self.group[parent], first[made] - first[parent]
        np.add.at(arrays["brought"], place, 1)
        late = age > 0
        place = kind[person[late]], self.group[person[late]], end - first[person[late]]
        np.add.at(arrays["orders_after"], place, 1)
        np.add.at(arrays["revenue_after"], place, self.value[seen][late])
        parent = parent[first[made] > first[parent]]
        place = kind[parent], self.group[parent], end - first[parent]
        np.add.at(arrays["brought_after"], place, 1)
        return LoopCells(
            source=tuple(sources),
            segment=tuple(sources),
            has_visits=True,
            has_referrals=True,
            daily=np.stack(
                [
                    np.bincount(end - self.day[seen], amount, end + 1)
                    for amount in (None, self.value[seen])
                ]
            ),
            end=START + timedelta(days=end),
            **arrays,
        )

    def _second(self, end: int) -> np.ndarray:
        """Return the day of each person's second purchase; -1 for none."""
        second = np.full(self.arrived.size, -1)
        seen = self.day <= end
        person, day = self.person[seen], self.day[seen]
        again = np.flatnonzero(person[1:] == person[:-1]) + 1
        # Sorted by person and day: the first repeat of each is the second purchase.
        again = again[np.r_[True, person[again][1:] != person[again][:-1]]]
        second[person[again]] = day[again]
        return second

    def _success(self, end: int, first: np.ndarray) -> np.ndarray:
        """Return the day on which each person first brought a buyer; -1 for none."""
        found = np.full(self.arrived.size, end + 1)
        made = (self.inviter >= 0) & (first >= 0)
        np.minimum.at(found, self.inviter[made], first[made])
        return np.where(found > end, -1, found)

    def swings(self, n_days: int, end: int) -> Swings:
        """See how far sums swing before the close of a day."""
        window = max(1, min(n_days, (end + 1) // 2))
        cut = end - window
        new = (self.first > cut) & (self.first <= end)
        there = (self.first >= 0) & (self.first <= cut)
        inside = np.flatnonzero(new & (self.inviter >= 0))
        cluster = np.arange(self.arrived.size)
        if inside.size:
            cluster[inside] = heads(inside, self.inviter[inside])
        rows = (self.day > cut) & (self.day <= end)
        person = np.flatnonzero(new)
        n_blocks = window // BLOCK_DAYS + 1
        spans = {
            "orders": (self.person[rows], self.day[rows], np.ones(int(rows.sum()))),
            "revenue": (self.person[rows], self.day[rows], self.value[rows]),
            "buyers": (person, self.first[person], np.ones(person.size)),
        }
        block, whole, shared = {}, {}, {"buyers": 0.0}
        band = (cut - self.first[there]) // BAND_DAYS
        n = np.maximum(np.bincount(band), 1)
        for name, (who, day, amount) in spans.items():
            head = cluster[who]
            both = np.bincount(head * n_blocks + (end - day) // BLOCK_DAYS, amount)
            block[name] = float((both**2).sum() / both.sum())
            x = np.bincount(head, amount, minlength=cluster.size)
            total = x.sum()
            mean = np.bincount(band, x[there]) / n
            x[there] -= mean[band]
            whole[name] = float((x**2).sum() / total)
            if name != "buyers":
                z = self._moves(name, cut, end)[there]
                z -= (np.bincount(band, z) / n)[band]
                shared[name] = max(0.0, float((z * x[there]).sum() / total))
        return Swings(block, whole, shared, window)

    def _moves(self, name: str, cut: int, end: int) -> np.ndarray:
        """Return how much what each did by the cut moves what is expected after it."""
        age = self.day - self.first[self.person]
        first = self.first[(self.first >= 0) & (self.first <= end)]
        counts = np.zeros(end + 1)
        for a in range(1, end + 1):
            seen = (first <= cut - a).sum()
            counts[a] = ((first <= end - a).sum() - seen) / seen if seen >= 30 else 0
        past = self.day <= cut
        amount = self.value if name == "revenue" else np.ones(self.day.size)
        amount = amount[past] * counts[age[past]]
        return np.bincount(self.person[past], amount, minlength=self.first.size)

    def happened(self, start: int, end: int) -> dict[str, float]:
        """Sum what happened on some days, both ends included."""
        rows = (self.day >= start) & (self.day <= end)
        return {
            "buyers": float(((self.first >= start) & (self.first <= end)).sum()),
            "orders": float(rows.sum()),
            "revenue": float(self.value[rows].sum()),
        }
