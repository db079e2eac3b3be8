"""What an average customer does at each age, from all cohorts that have finished it."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

from selfloop.core import schema
from selfloop.core.settings import CONFIDENCE, MIN_AT_RISK
from selfloop.kernels.intervals import normal_quantile, wilson
from selfloop.kernels.resampling import jackknife_variance, left_out
from selfloop.kernels.rows import FloatArray
from selfloop.measures.cohorts.cells import Ages, Blocks, Cells, blocks_of

BoolArray = npt.NDArray[np.bool_]

_SQUARES = {"orders": ("n_orders", "orders_squared"),
            "revenue": ("revenue", "revenue_squared")}  # fmt: skip
_CUMULATIVE = {"orders_cumulative_per_customer": "n_orders",
               "value_per_customer": "revenue"}  # fmt: skip


def pool(cells: Cells, ages: Ages) -> pd.DataFrame:
    """Pool the finished cells of each age.

    Parameters
    ----------
    cells : Cells
        Result of `cells.count_cells`.
    ages : Ages
        Result of `cells.ages_of`.

    Returns
    -------
    DataFrame
        Columns of `schema.COHORT_AGES`.
    """
    parts = [
        _of_segment(blocks_of(cells, ages, number), name)
        for number, name in enumerate(cells.segments)
    ]
    table = pd.concat(parts, ignore_index=True)
    table = table.sort_values(["segment", "age"], ignore_index=True)
    return table[schema.names("cohort_ages")]


def _of_segment(blocks: Blocks, name: str) -> pd.DataFrame:
    """Pool the cells of one value of the breakdown."""
    finished = blocks.ages.finished
    n_ages = int(finished.max(initial=-1)) + 1
    is_done = np.arange(n_ages) <= finished[:, None]
    people = np.einsum("cg,ca->ga", blocks.n_people, is_done)
    pooled = {
        key: np.where(is_done[:, None], part[..., :n_ages], 0.0).sum(axis=0)
        for key, part in blocks.sums.items()
    }
    n = people.sum(axis=0)
    total = {key: part.sum(axis=0) for key, part in pooled.items()}
    low, high = wilson(total["n_active"], n)
    table = pd.DataFrame({
        "segment": name,
        "age": np.arange(n_ages),
        "n_people": n.astype(np.int64),
        "n_cohorts": is_done.sum(axis=0),
        "n_active": total["n_active"].astype(np.int64),
        "share_active": total["n_active"] / n,
        "share_active_low": low,
        "share_active_high": high,
    })  # fmt: skip
    enough = n >= MIN_AT_RISK
    known = []
    for stem, (sums, squares) in _SQUARES.items():
        mean = total[sums] / n
        spread = np.maximum(total[squares] - n * mean**2, 0.0)
        variance = np.divide(
            spread, n * (n - 1), out=np.full(n_ages, np.nan), where=n > 1
        )
        known.append(_put(table, f"{stem}_per_customer", mean, variance, enough))
    without = left_out(people)
    reach = _reach(without.shape[0] - 1)
    for name, sums in _CUMULATIVE.items():
        by_age = np.divide(
            left_out(pooled[sums]), without, out=np.full(without.shape, np.nan),
            where=without > 0,
        ).cumsum(axis=1)  # fmt: skip
        variance = jackknife_variance(by_age[:-1]) * reach**2
        known.append(_put(table, name, by_age[-1], variance, enough))
    table["reason"] = [
        ""
        if all(is_known)
        else f"{count:.0f} people, need {MIN_AT_RISK}"
        if count < MIN_AT_RISK
        else "not above 0"
        for count, *is_known in zip(n, *known, strict=True)
    ]
    return table


def _put(
    table: pd.DataFrame,
    name: str,
    mean: FloatArray,
    variance: FloatArray,
    enough: BoolArray,
) -> BoolArray:
    """Add a mean and its interval on the log scale; say where that is known."""
    known = enough & (mean > 0) & np.isfinite(variance)
    reach = normal_quantile(CONFIDENCE) * np.sqrt(np.where(known, variance, np.nan))
    factor = np.exp(np.divide(reach, mean, out=np.full(mean.size, np.nan), where=known))
    table[name] = mean
    table[f"{name}_low"] = mean / factor
    table[f"{name}_high"] = mean * factor
    return known


def _reach(n_groups: int) -> float:
    """Return how much further Student's quantile reaches than the normal one."""
    tail = 0.5 + CONFIDENCE / 2
    return float(stdtrit(n_groups - 1, tail)) / normal_quantile(CONFIDENCE)
