"""Known truth over 300 drawn shops: rates and days of each step, and the engine."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from scipy.special import ndtr, ndtri

import selfloop as sl
from selfloop.kernels.intervals import wilson
from selfloop.kernels.quantiles import quantile_days_of_reached
from selfloop.kernels.survival import cif_at, kaplan_meier, median_days

N_RUNS = 300
N_PEOPLE = 400
N_DAYS = 360
WINDOW = 90
STAY = (0.62, 0.7, 0.75, 0.8)
"""Share who ever go on, by step; the last for all that follow."""

MEDIAN = (45.0, 38.0, 30.0, 25.0)
"""Median days of those who do: lognormal, so that the day itself is the next whole."""

SIGMA = 0.9
QUANTILES = (25, 50, 75)


def _at(values, step):
    return values[min(step, len(values)) - 1]


def share_by(day, step):
    """Return the true share that has gone on by a whole day."""
    spread = np.log(day / _at(MEDIAN, step)) / SIGMA
    return _at(STAY, step) * ndtr(spread)


def true_day(percent, step):
    """Return the true day by which a share of those within the window has gone on."""
    level = percent / 100 * share_by(WINDOW, step) / _at(STAY, step)
    return np.ceil(_at(MEDIAN, step) * np.exp(SIGMA * ndtri(level)))


def true_median(step):
    """Return the true day by which half of all have gone on."""
    return np.ceil(_at(MEDIAN, step) * np.exp(SIGMA * ndtri(0.5 / _at(STAY, step))))


def drawn(seed):
    """Draw the purchases of one shop: person, step, day, days to the next, event."""
    rng = np.random.default_rng(seed)
    who = np.arange(N_PEOPLE)
    day = rng.integers(0, N_DAYS, N_PEOPLE)
    parts = []
    for step in range(1, 60):
        gap = np.ceil(_at(MEDIAN, step) * np.exp(SIGMA * rng.normal(size=who.size)))
        gap = np.maximum(gap, 1).astype(int)
        gap[rng.random(who.size) > _at(STAY, step)] = N_DAYS
        event = day + gap < N_DAYS
        followup = N_DAYS - 1 - day
        days = np.where(event, gap, followup)
        parts.append(pd.DataFrame({
            "who": who, "step": step, "day": day, "days": days, "event": event,
            "followup": followup,
        }))  # fmt: skip
        who, day = who[event], (day + gap)[event]
        if not who.size:
            break
    return pd.concat(parts, ignore_index=True)


def by_kernels(rows, step):
    """Return estimates with their ends, without the engine."""
    part = rows[rows["step"] == step]
    days, event = part["days"].to_numpy(), part["event"].to_numpy()
    matured = part["followup"].to_numpy() >= WINDOW
    n, n_hit = int(matured.sum()), int((matured & event & (days <= WINDOW)).sum())
    low, high = wilson(n_hit, n)
    km = kaplan_meier(
        np.bincount(days[event], minlength=N_DAYS),
        np.bincount(days[~event], minlength=N_DAYS),
    )
    at = cif_at(km, [WINDOW])
    found = {
        "share_matured": (n_hit / n, float(low), float(high)),
        "share_within": (at.cif[0], at.low[0], at.high[0]),
    }
    for percent in QUANTILES:
        found[f"days_{percent}"] = tuple(
            quantile_days_of_reached(km, percent / 100, within=WINDOW)
        )
    return found | {"median_days": (median_days(km), np.nan, np.nan)}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_engine_says_what_the_kernels_say(seed):
    rows = drawn(seed)
    table = shops.orders(*zip(rows["who"].astype(str), rows["day"], rows["step"],
                              strict=True))  # fmt: skip
    events = sl.read_events(table, end=shops.date_of(N_DAYS - 1))
    ladder = sl.repurchase(events, windows_days=(WINDOW,), min_at_risk=1)
    tables = [t.set_index("step") for t in (ladder.steps, ladder.windows, ladder.days)]
    for step in (1, 2, 3, 4):
        for name, numbers in by_kernels(rows, step).items():
            (home,) = [t for t in tables if name in t.columns]
            ends = [name] if name == "median_days" else [
                name, f"{name}_low", f"{name}_high"]  # fmt: skip
            found = home.loc[step, ends].astype(float).tolist()
            assert found == pytest.approx(numbers[: len(ends)], nan_ok=True), name


@pytest.fixture(scope="module")
def runs():
    """Estimates of every step in every shop."""
    found = []
    for seed in range(1000, 1000 + N_RUNS):
        rows = drawn(seed)
        found.append({step: by_kernels(rows, step) for step in (1, 2)})
    return found


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("form", ["share_matured", "share_within"])
def test_shares_are_unbiased_and_their_intervals_cover(runs, step, form):
    value, low, high = np.array([run[step][form] for run in runs]).T
    true = share_by(WINDOW, step)
    error = value - true
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(N_RUNS)
    coverage = ((low <= true) & (true <= high)).mean()
    assert 0.92 <= coverage <= 0.98, coverage


@pytest.mark.parametrize("step", [1, 2])
def test_intervals_of_days_cover(runs, step):
    held = []
    for percent in QUANTILES:
        day, low, high = np.array([run[step][f"days_{percent}"] for run in runs]).T
        true = true_day(percent, step)
        assert abs(np.mean(day) - true) < 1.5
        held.append((low <= true) & (true <= np.nan_to_num(high, nan=np.inf)))
        # Days are whole, so an interval holds a little more than it says.
        assert held[-1].mean() >= 0.92, percent
    assert 0.92 <= np.mean(held) <= 0.98


def test_the_median_of_all_is_met_and_that_of_those_seen_so_far_is_not(runs):
    found = np.array([run[1]["median_days"][0] for run in runs])
    # Missing where under half have gone on so far.
    assert np.isfinite(found).mean() > 0.9
    assert np.nanmedian(found) == pytest.approx(true_median(1), rel=0.03)
    naive = [
        np.median(rows.loc[rows["event"] & (rows["step"] == 1), "days"])
        for rows in (drawn(seed) for seed in range(1000, 1040))
    ]
    assert np.mean(naive) < 0.95 * MEDIAN[0]
