"""When things happen: by hand, closed forms, coverage, edges."""

import numpy as np
import pytest

from selfloop.kernels.survival import kaplan_meier, mean_cumulative
from selfloop.kernels.timing import (
    Timing,
    first_timing,
    quantile_days,
    repeated_timing,
)

N_GROUPS = 50


def split(group, day, n_days):
    """Count by group and day."""
    cells = np.zeros((N_GROUPS, n_days), dtype=np.int64)
    np.add.at(cells, (group, day), 1)
    return cells


def test_first_events_by_hand():
    # Four people: events on days 1 and 3, left without on days 2 and 3. At risk on day
    # 1: 4, on day 3: 2. Survival 3/4, then 3/4 * 1/2.
    found = first_timing(
        np.array([[0, 1, 0, 1]]), np.array([[0, 0, 1, 1]]), min_at_risk=1
    )
    assert found.reached == pytest.approx(1 - 3 / 8)
    assert found.share.tolist() == pytest.approx([0, 0.25 / 0.625, 0.4, 1])
    assert quantile_days(found, 0.4)[0] == 1
    assert quantile_days(found, 0.5)[0] == 3


def test_repeated_events_by_hand():
    # Three people followed 2, 2 and 4 days; events on days 0, 2, 2 and 4.
    found = repeated_timing(
        np.array([[1, 0, 2, 0, 1]]), np.array([[0, 0, 2, 0, 1]]), min_at_risk=1
    )
    # M = 1/3, 1/3, 1, 1, 2.
    assert found.reached == pytest.approx(2)
    assert found.share.tolist() == pytest.approx([1 / 6, 1 / 6, 0.5, 0.5, 1])
    assert quantile_days(found, 0.5)[0] == 2
    short = repeated_timing(
        np.array([[1, 0, 2, 0, 1]]), np.array([[0, 0, 2, 0, 1]]), min_at_risk=2
    )
    assert short.last_day == 2
    assert short.share.tolist() == pytest.approx([1 / 3, 1 / 3, 1])


def test_they_are_the_estimators_of_survival():
    rng = np.random.default_rng(1)
    events, left = rng.integers(0, 9, (2, N_GROUPS, 30))
    km = kaplan_meier(events.sum(axis=0), left.sum(axis=0))
    found = first_timing(events, left, min_at_risk=1)
    assert found.share * found.reached == pytest.approx(1 - km.survival)
    curve = mean_cumulative(events.sum(axis=0), left.sum(axis=0))
    found = repeated_timing(events, left, min_at_risk=1)
    assert found.share * found.reached == pytest.approx(
        curve.mean[: found.last_day + 1]
    )


def test_medians_are_covered_although_most_are_young():
    """Median of an exponential of mean 60 days, cut at 250; most have not had time."""
    rng = np.random.default_rng(7)
    truth = -60 * np.log(1 - 0.5 * (1 - np.exp(-250 / 60)))
    n_runs, covered, naive = 300, 0, []
    for _ in range(n_runs):
        group, followup = rng.integers(0, N_GROUPS, 900), rng.integers(0, 260, 900)
        owner = np.repeat(np.arange(900), rng.poisson(0.6 * rng.gamma(0.8, 1.25, 900)))
        day = np.floor(rng.exponential(60, owner.size)).astype(int)
        seen = day <= followup[owner]
        found = repeated_timing(
            split(group[owner[seen]], day[seen], 260),
            split(group, followup, 260), min_at_risk=30,
        )  # fmt: skip
        _, low, high = quantile_days(found, 0.5)
        covered += low <= truth <= high + 1
        naive.append(np.median(day[seen]))
    assert 0.92 <= covered / n_runs <= 0.985
    assert np.mean(naive) < 0.85 * truth


def test_what_has_not_happened_has_no_times():
    none = np.zeros((2, 5), dtype=np.int64)
    people = np.full((2, 5), 9)
    assert first_timing(none, people, min_at_risk=1) is None
    assert repeated_timing(none, people, min_at_risk=1) is None
    assert repeated_timing(people, none, min_at_risk=1) is None
    assert first_timing(none + 1, none, min_at_risk=99) is None


def test_an_end_that_is_not_known_is_missing():
    share = np.array([0.2, 1.0])
    curve = Timing(1, 0.5, share, np.array([0.0, 0.4]), share)
    day, low, high = quantile_days(curve, 0.5)
    assert (day, low) == (1, 1)
    assert np.isnan(high)
