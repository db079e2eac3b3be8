"""Customers with known truth: BG/NBD purchases of Gamma-Gamma value, on a grid of days.

Purchases of one day stay apart: merging them would change the truth.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

PURCHASES = {"r": 0.9, "alpha": 7.0, "a": 0.6, "b": 3.6}
SPEND = {"p": 6.25, "q": 3.74, "v": 15.44}
WEEKS = 104
ARRIVALS = 0.9
"""People come evenly over this share of the weeks."""

COLUMNS = ("x", "recency", "age", "total")
_DAYS = 7
_SEED = 7
_AT_ONCE = 1_000_000

FloatArray = npt.NDArray[np.float64]


def write_customers(folder: Path, n: int) -> None:
    """Write each column of n customers to a file.

    Parameters
    ----------
    folder : Path
        Where the files go.
    n : int
        Number of customers; the first ones are the same for every number.
    """
    starts = range(0, n, _AT_ONCE)
    seeds = np.random.SeedSequence(_SEED).spawn(len(starts))
    parts = [
        _draw(np.random.default_rng(seed))[: n - start]
        for start, seed in zip(starts, seeds, strict=True)
    ]
    whole = np.concatenate(parts)
    for name in COLUMNS:
        np.save(folder / f"{name}.npy", whole[name])


def read_customers(folder: Path, n: int) -> dict[str, FloatArray]:
    """Read the first n customers: x, recency and age in weeks, total value.

    Parameters
    ----------
    folder : Path
        Where the files are.
    n : int
        Number of customers.

    Returns
    -------
    dict of str to ndarray of float64, shape (n,)
    """
    found = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r")[:n].astype(np.float64)
        for name in COLUMNS
    }
    for name in ("recency", "age"):
        found[name] /= _DAYS
    return found


def _draw(rng: np.random.Generator) -> np.ndarray:
    """Draw customers, with times in days.

    The purchases that they would make if they never left are spread evenly over their
    time; those up to the leaving one happen.
    """
    n, days = _AT_ONCE, WEEKS * _DAYS
    rate = rng.gamma(PURCHASES["r"], 1 / (PURCHASES["alpha"] * _DAYS), n)
    leaves = rng.beta(PURCHASES["a"], PURCHASES["b"], n)
    came = rng.uniform(0, ARRIVALS * days, n)
    wanted = rng.poisson(rate * (days - came))
    x = np.minimum(wanted, rng.geometric(np.maximum(leaves, 1e-12)))
    share = rng.beta(np.maximum(x, 1), wanted + 1.0 - x)
    last = np.where(x > 0, came + (days - came) * share, came)
    nu = rng.gamma(SPEND["q"], 1 / SPEND["v"], n)
    total = rng.gamma(SPEND["p"] * np.maximum(x, 1)) / nu
    kinds = [(name, np.float32) for name in COLUMNS[:3]] + [("total", np.float64)]
    found = np.empty(n, dtype=kinds)
    found["x"] = x
    found["recency"] = np.floor(last) - np.floor(came)
    found["age"] = days - np.floor(came)
    found["total"] = np.where(x > 0, np.maximum(total.round(2), 0.01), 0.0)
    return found
