"""Known truth, many shops: estimates are right and intervals cover as they say."""

import numpy as np
import pandas as pd
import pytest

import selfloop as sl

N_RUNS = 240
N_VISITORS = 1500


def _one_shop(seed):
    """Estimate and interval of R and conversion in one simulated shop."""
    shop = sl.simulate(n_visitors=N_VISITORS, seed=seed, days=540)
    events = sl.read_events(
        shop.orders, shop.referrals, visits=shop.visits, end="2025-06-23"
    )
    loop = sl.self_loop(events).reproduction.set_index("horizon_days")
    rates = sl.funnel(events, windows_days=(90,)).windows.set_index("stage")
    truth = shop.truth
    line = {"seed": seed}
    for horizon in (90, 180, 365):
        line[f"r_{horizon}"] = loop.loc[horizon, "r"] - truth.reproduction[horizon]
        line[f"r_{horizon}_in"] = (
            loop.loc[horizon, "r_low"]
            <= truth.reproduction[horizon]
            <= loop.loc[horizon, "r_high"]
        )
    for form in ("matured", "within"):
        low, high = (rates.loc["conversion", f"share_{form}_{e}"] for e in ("low", "high"))
        line[f"conversion_{form}"] = (
            rates.loc["conversion", f"share_{form}"] - truth.conversion[90]
        )
        line[f"conversion_{form}_in"] = low <= truth.conversion[90] <= high
    again = rates.loc["repurchase"]
    line["repurchase"] = again["share_within"] - truth.repurchase["day"][90]
    line["repurchase_in"] = (
        again["share_within_low"]
        <= truth.repurchase["day"][90]
        <= again["share_within_high"]
    )
    return line


@pytest.fixture(scope="module")
def runs():
    return pd.DataFrame([_one_shop(seed) for seed in range(1000, 1000 + N_RUNS)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["r_90", "r_180", "r_365", "conversion_matured", "conversion_within", "repurchase"],
)
def test_estimates_are_unbiased_and_intervals_cover(runs, name):
    error = runs[name]
    # The mean of so many runs may be off by Monte-Carlo error, not by more.
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(N_RUNS)
    coverage = runs[f"{name}_in"].mean()
    assert 0.92 <= coverage <= 0.98, f"{name}: {coverage:.3f} of {N_RUNS} runs"
