"""Known truth, many shops: estimates are right and intervals cover as they say."""

import numpy as np
import pandas as pd
import pytest

import selfloop as sl

N_RUNS = 240
N_VISITORS = 1500


def _compared(line, name, row, form, truth):
    """Add the error of an estimate and whether its interval holds the truth."""
    line[name] = row[form] - truth
    line[f"{name}_in"] = row[f"{form}_low"] <= truth <= row[f"{form}_high"]


def _one_shop(seed):
    """Estimates and intervals of R, conversion and repurchase in one shop."""
    shop = sl.simulate(n_visitors=N_VISITORS, seed=seed, days=540)
    events = sl.read_events(
        shop.orders, shop.referrals, visits=shop.visits, end="2025-06-23"
    )
    loop = sl.self_loop(events).reproduction.set_index("horizon_days")
    truth = shop.truth
    line = {}
    for horizon in (90, 180, 365):
        _compared(
            line, f"r_{horizon}", loop.loc[horizon], "r", truth.reproduction[horizon]
        )
    rates = sl.funnel(events, windows_days=(90,)).windows.set_index("stage")
    by_source = sl.funnel(events, "source", windows_days=(90,)).windows
    organic = by_source[by_source["segment"] == "organic"].set_index("stage")
    # The share of referred people among arrivals grows with the age of a shop, so
    # over all sources only the matured share has one truth: that of who matured.
    _compared(
        line, "conversion_matured", rates.loc["conversion"], "share_matured",
        truth.conversion[90],
    )  # fmt: skip
    for form in ("matured", "within"):
        _compared(
            line, f"organic_{form}", organic.loc["conversion"], f"share_{form}",
            truth.conversion_by_source["organic"][90],
        )  # fmt: skip
    for form in ("matured", "within"):
        _compared(
            line, f"repurchase_{form}", rates.loc["repurchase"], f"share_{form}",
            truth.repurchase["day"][90],
        )  # fmt: skip
    return line


@pytest.fixture(scope="module")
def runs():
    return pd.DataFrame([_one_shop(seed) for seed in range(1000, 1000 + N_RUNS)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "r_90",
        "r_180",
        "r_365",
        "conversion_matured",
        "organic_matured",
        "organic_within",
        "repurchase_matured",
        "repurchase_within",
    ],
)
def test_estimates_are_unbiased_and_intervals_cover(runs, name):
    error = runs[name]
    # The mean of so many runs may be off by Monte-Carlo error, not by more.
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(N_RUNS)
    coverage = runs[f"{name}_in"].mean()
    assert 0.92 <= coverage <= 0.98, f"{name}: {coverage:.3f} of {N_RUNS} runs"
