"""The CDNOW sample, read from the lifetimes package without importing it.

Purchases of 2,357 customers who first bought in January to March 1997, to June 1998.
The package is a test dependency; the file is not shipped with selfloop.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

CALIBRATION_END = pd.Timestamp("1997-09-30")


class Calibration(NamedTuple):
    """Customers up to the end of September 1997, times in days, in order of id."""

    x: npt.NDArray[np.int64]
    recency: npt.NDArray[np.float64]
    age: npt.NDArray[np.float64]
    repeat_total: npt.NDArray[np.float64]


def orders() -> pd.DataFrame:
    """Read the purchases: customer_id, ordered_at, amount."""
    spec = find_spec("lifetimes")
    assert spec is not None
    assert spec.origin is not None
    table = pd.read_csv(
        Path(spec.origin).parent / "datasets" / "CDNOW_sample.txt",
        sep=r"\s+",
        header=None,
        names=["master_id", "customer_id", "ordered_at", "n_cds", "amount"],
        dtype={"master_id": str, "customer_id": str, "ordered_at": str},
    )
    table["ordered_at"] = pd.to_datetime(table["ordered_at"], format="%Y%m%d")
    return table[["customer_id", "ordered_at", "amount"]]


def calibration(*, lowest: float = 0.0) -> Calibration:
    """Reduce customer-days worth at least `lowest` to customers."""
    table = orders()
    table = table[table["ordered_at"] <= CALIBRATION_END]
    days = table.groupby(["customer_id", "ordered_at"], as_index=False)["amount"].sum()
    days = days[days["amount"] >= lowest]
    first = days.groupby("customer_id")["ordered_at"].transform("min")
    days["repeat"] = days["amount"].where(days["ordered_at"] > first, 0.0)
    people = days.groupby("customer_id").agg(
        n=("ordered_at", "size"),
        first=("ordered_at", "min"),
        last=("ordered_at", "max"),
        repeat=("repeat", "sum"),
    )
    return Calibration(
        people["n"].to_numpy() - 1,
        (people["last"] - people["first"]).dt.days.to_numpy(dtype=np.float64),
        (CALIBRATION_END - people["first"]).dt.days.to_numpy(dtype=np.float64),
        people["repeat"].to_numpy(),
    )
