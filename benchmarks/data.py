"""Simulate a shop of a given number of orders: one process, timed.

Run by `run.py`: data.py FOLDER ORDERS RECORD STARTED.
"""

import sys
from pathlib import Path

from stopwatch import Stopwatch

import selfloop as sl

SEED = 7
VISITORS_PER_ORDER = 0.54
INVITATIONS = 0.55
"""Of 10 orders 2 are first ones, and there is 1 referral."""


def main(folder: Path, n_orders: int, watch: Stopwatch) -> None:
    """Write the four tables."""
    watch.step("simulate")
    truth = sl.simulate_files(
        folder,
        n_visitors=round(n_orders * VISITORS_PER_ORDER),
        seed=SEED,
        shop=sl.Shop(invitations=INVITATIONS),
    )
    watch.step(None)
    watch.answer(truth.counts)


if __name__ == "__main__":
    place, n, record, started = sys.argv[1:]
    main(Path(place), int(n), Stopwatch(Path(record), started=float(started)))
