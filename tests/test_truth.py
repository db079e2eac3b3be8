"""Known truth, many shops: estimates are right and intervals cover as they say."""

import numpy as np
import pytest
from loop_shops import DrawnShop

import selfloop as sl
from selfloop.inputs.shop import Shop
from selfloop.kernels.intervals import wilson
from selfloop.kernels.survival import (
    cif_at,
    kaplan_meier,
    mean_cumulative,
    mean_cumulative_interval,
)

N_RUNS = 300
N_VISITORS = 1500
N_DAYS = 540
WINDOW = 90
HORIZONS = (90, 180, 365)


def by_engine(seed):
    """Estimates and intervals in one shop, by what users call."""
    shop = sl.simulate(n_visitors=N_VISITORS, seed=seed, days=N_DAYS)
    events = sl.read_events(
        shop.orders, shop.referrals, visits=shop.visits, end="2025-06-23"
    )
    loop = sl.self_loop(events).reproduction.set_index("horizon_days")
    line = {
        f"r_{h}": tuple(loop.loc[h, ["r", "r_low", "r_high"]].astype(float))
        for h in HORIZONS
    }
    rates = sl.funnel(events, windows_days=(WINDOW,)).windows.set_index("stage")
    by_source = sl.funnel(events, "source", windows_days=(WINDOW,)).windows
    organic = by_source[by_source["segment"] == "organic"].set_index("stage")
    for name, row in (
        ("conversion", rates.loc["conversion"]),
        ("organic", organic.loc["conversion"]),
        ("repurchase", rates.loc["repurchase"]),
    ):
        for form in ("matured", "within"):
            ends = [f"share_{form}{end}" for end in ("", "_low", "_high")]
            line[f"{name}_{form}"] = tuple(row[ends].astype(float))
    return line


def by_kernels(seed):
    """The same without an engine, from the shop as it was drawn."""
    drawn = DrawnShop(Shop(), n_visitors=N_VISITORS, seed=seed, days=N_DAYS)
    end = N_DAYS - 1
    came, first = drawn.arrived <= end, drawn.first
    bought = first >= 0
    line = {}
    made = bought & (drawn.inviter >= 0)
    owner = drawn.inviter[made]
    age = first[made] - first[owner]
    curve = mean_cumulative(
        np.bincount(age, minlength=N_DAYS),
        np.bincount(end - first[bought], minlength=N_DAYS),
    )
    band = mean_cumulative_interval(
        curve, person=owner, age=age, followup=end - first[owner]
    )
    for h in HORIZONS:
        line[f"r_{h}"] = curve.mean[h], band.low[h], band.high[h]
    second = drawn._second(end)
    organic = came & (drawn.source == "organic")
    for name, who, start, reached in (
        ("conversion", came, drawn.arrived, first),
        ("organic", organic, drawn.arrived, first),
        ("repurchase", bought, first, second),
    ):
        line |= rates_of(name, start[who], reached[who], end)
    return line


def rates_of(name, start, reached, end):
    """Return the matured share and that of Kaplan-Meier, with intervals."""
    got = reached >= 0
    matured = start <= end - WINDOW
    n_hit = int((matured & got & (reached - start <= WINDOW)).sum())
    n = int(matured.sum())
    low, high = wilson(n_hit, n)
    km = kaplan_meier(
        np.bincount((reached - start)[got], minlength=N_DAYS),
        np.bincount((end - start)[~got], minlength=N_DAYS),
    )
    at = cif_at(km, [WINDOW])
    return {
        f"{name}_matured": (n_hit / n, float(low), float(high)),
        f"{name}_within": (at.cif[0], at.low[0], at.high[0]),
    }


@pytest.mark.parametrize("seed", [1000, 1001, 1002, 1003])
def test_the_engine_says_what_the_kernels_say(seed):
    found, expected = by_engine(seed), by_kernels(seed)
    assert set(found) == set(expected)
    for name, numbers in found.items():
        assert numbers == pytest.approx(expected[name], rel=1e-9), name


def truth_of(seed):
    """Return the true values of a shop, given through which channels people came."""
    real = sl.simulate(n_visitors=N_VISITORS, seed=seed, days=N_DAYS).truth
    return {
        **{f"r_{h}": real.reproduction[h] for h in HORIZONS},
        "conversion_matured": real.conversion[WINDOW],
        "organic_matured": real.conversion_by_source["organic"][WINDOW],
        "organic_within": real.conversion_by_source["organic"][WINDOW],
        "repurchase_matured": real.repurchase["day"][WINDOW],
        "repurchase_within": real.repurchase["day"][WINDOW],
    }


@pytest.fixture(scope="module")
def runs():
    seeds = range(1000, 1000 + N_RUNS)
    return [(by_kernels(seed), truth_of(seed)) for seed in seeds]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "r_90",
        "r_180",
        "r_365",
        # The share of referred people among arrivals grows with the age of a shop, so
        # over all sources only the matured share has one truth: that of who matured.
        "conversion_matured",
        "organic_matured",
        "organic_within",
        "repurchase_matured",
        "repurchase_within",
    ],
)
def test_estimates_are_unbiased_and_intervals_cover(runs, name):
    rows = [(*found[name], truth[name]) for found, truth in runs]
    value, low, high, true = np.array(rows).T
    error = value - true
    # The mean of so many runs may be off by Monte-Carlo error, not by more.
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(N_RUNS)
    coverage = ((low <= true) & (true <= high)).mean()
    assert 0.92 <= coverage <= 0.98, f"{name}: {coverage:.3f} of {N_RUNS} runs"
