"""Hazards by days since the last event: by hand, coverage of unlike people, edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from selfloop.kernels.hazards import hazards, peak_span
from selfloop.kernels.survival import kaplan_meier
from selfloop.kernels.timing import first_timing, quantile_days

N_GROUPS = 50
N_DAYS = 540
BINS = np.arange(1, N_DAYS, 7)
WINDOW = 180


def test_by_hand():
    # Ten people with one spell each. Day 1: 2 of 10 come back; one is lost from sight;
    # day 2: 1 of 7; day 3: 0 of 6; day 4: 3 of 6. The rest are seen to day 4.
    ended = np.zeros((2, 5), int)
    ended[0] = [0, 1, 1, 0, 1]
    ended[1] = [0, 1, 0, 0, 2]
    left = np.zeros((2, 5), int)
    left[0] = [0, 1, 0, 0, 1]
    left[1] = [0, 0, 0, 0, 2]
    longest = (ended + left).sum(axis=0)
    found = hazards(ended, left, n_longest=longest, first_days=[1, 3])
    assert found.first_day.tolist() == [1, 3]
    assert found.last_day.tolist() == [2, 4]
    assert found.n_at_risk.tolist() == found.n_people.tolist() == [10, 6]
    assert found.n_people_last.tolist() == [7, 6]
    assert found.n_events.tolist() == [3, 3]
    # 3 in 10 + 7 days, 3 in 6 + 6 days.
    assert found.n_exposed.tolist() == [17, 12]
    assert found.hazard == pytest.approx([3 / 17, 3 / 12])
    # S(2) = 8/10 * 6/7, S(4) = that * 3/6.
    assert found.share == pytest.approx([1 - 24 / 35, 1 - 12 / 35])
    # Without the first group: 1 + 0 in 4 + 3 + ... of the second's five people.
    assert found.without[0] == pytest.approx([1 / (5 + 4), 2 / (4 + 4)])


@given(st.integers(0, 10_000))
def test_the_share_is_kaplan_meier_and_the_hazard_of_days_makes_it(seed):
    rng = np.random.default_rng(seed)
    ended, left = rng.integers(0, 5, (2, 6, 30))
    longest = rng.integers(1, 9, 30)
    days = np.arange(30)
    found = hazards(ended, left, n_longest=longest, first_days=days)
    km = kaplan_meier(ended.sum(axis=0), left.sum(axis=0))
    known = ~np.isnan(km.cif)
    assert found.share[known] == pytest.approx(km.cif[known])
    assert 1 - np.cumprod(1 - found.hazard[known]) == pytest.approx(km.cif[known])
    both = np.isfinite(found.share_low)
    assert (found.share_low[both] <= found.share[both] + 1e-12).all()
    assert (found.share[both] <= found.share_high[both] + 1e-12).all()
    assert (found.hazard_low[both] <= found.hazard[both]).all()
    assert (found.hazard[both] <= found.hazard_high[both]).all()


def test_alike_and_independent_people_have_the_binomial_error():
    # One spell each, followed for one day: the hazard is a share of n people.
    rng = np.random.default_rng(1)
    ratio = []
    for _ in range(200):
        ended = np.stack([np.zeros(N_GROUPS, int), rng.binomial(40, 0.3, N_GROUPS)])
        left = np.stack([np.zeros(N_GROUPS, int), 40 - ended[1]])
        found = hazards(ended.T, left.T, n_longest=[0, 2000], first_days=[1])
        half = np.log(found.hazard_high[0] / found.hazard_low[0]) / 2
        error = half * found.hazard[0] / stats.t.ppf(0.975, N_GROUPS - 1)
        ratio.append(error / np.sqrt(0.3 * 0.7 / 2000))
    assert np.mean(ratio) == pytest.approx(1, abs=0.03)


def test_many_spells_of_few_people_are_as_wide_as_people():
    """The same spells ten times over, by the same people: nothing more is known."""
    rng = np.random.default_rng(2)
    ended, left = rng.poisson(3, (2, N_GROUPS, 20))
    longest = (ended + left).sum(axis=0)
    once = hazards(ended, left, n_longest=longest, first_days=[1, 8])
    tenfold = hazards(10 * ended, 10 * left, n_longest=longest, first_days=[1, 8])
    for name in ("hazard", "hazard_low", "hazard_high", "share_low", "share_high"):
        assert getattr(once, name) == pytest.approx(getattr(tenfold, name))


def test_no_event_and_nothing_but_events():
    left = np.zeros((2, 3), int)
    left[:, 2] = 50
    found = hazards(np.zeros((2, 3), int), left, n_longest=[0, 0, 100], first_days=[1])
    assert (found.hazard[0], found.hazard_low[0]) == (0, 0)
    # 100 people for 2 days each.
    assert found.hazard_high[0] == pytest.approx(np.log(40) / 200)
    z = stats.norm.ppf(0.975)
    assert (found.share[0], found.share_low[0]) == (0, 0)
    assert found.share_high[0] == pytest.approx(z**2 / (100 + z**2))
    assert peak_span(found, min_people=1) is None
    every = np.zeros((2, 3), int)
    every[:, 2] = 50
    found = hazards(every, 0 * every, n_longest=[0, 0, 100], first_days=[1])
    assert (found.share[0], found.share_high[0]) == (1, 1)
    assert found.share_low[0] == pytest.approx(100 / (100 + z**2))


def test_one_event_does_not_claim_to_be_many():
    ended, left = np.zeros((2, 40, 8), int)
    left[:, 7] = 5
    ended[3, 4] = 1
    longest = np.append(np.zeros(7, int), 200)
    found = hazards(ended, left, n_longest=longest, first_days=[1])
    assert found.hazard_low[0] <= -np.log(0.95) / found.n_exposed[0] * (1 + 1e-9)
    assert found.hazard_high[0] > 3 * found.hazard[0]


def draw(rng, n):
    """Draw unlike people: rate, whether they stay, and when they begin differ.

    Returns the gaps that end and those still open, by group and days, and the people
    by the days of their longest gap.
    """
    day = rng.integers(0, N_DAYS, n)
    rate, group = rng.gamma(0.7, 0.03 / 0.7, n), rng.integers(0, N_GROUPS, n)
    ended, left = np.zeros((2, N_GROUPS, N_DAYS), dtype=np.int64)
    longest, who = np.zeros(n, dtype=np.int64), np.arange(n)
    while who.size:
        gap = 1 + rng.gamma(2, 1 / np.maximum(2 * rate[who], 1e-9))
        gap[rng.random(who.size) > 0.75] = N_DAYS
        came = day[who] + np.floor(np.minimum(gap, N_DAYS))
        again = came < N_DAYS
        days = np.where(again, came - day[who], N_DAYS - 1 - day[who]).astype(np.int64)
        np.add.at(ended, (group[who[again]], days[again]), 1)
        np.add.at(left, (group[who[~again]], days[~again]), 1)
        longest[who] = np.maximum(longest[who], days)
        day[who[again]] = came[again].astype(np.int64)
        who = who[again]
    return ended, left, np.bincount(longest, minlength=N_DAYS)


def timing_of(ended, left):
    """Return when those come back who do so within the window."""
    cut = left[:, : WINDOW + 1].copy()
    cut[:, -1] += (ended + left)[:, WINDOW + 1 :].sum(axis=1)
    return first_timing(ended[:, : WINDOW + 1], cut, min_at_risk=30)


@pytest.fixture(scope="module")
def truth():
    """A shop of a million people."""
    ended, left, longest = draw(np.random.default_rng(1), 1_000_000)
    found = hazards(ended, left, n_longest=longest, first_days=BINS)
    timing = timing_of(ended, left)
    return found, [quantile_days(timing, q)[0] for q in (0.5, 0.8, 0.9)]


@pytest.mark.parametrize(("n_people", "most"), [(300, 140), (2000, 280)])
def test_intervals_hold_the_truth_though_people_differ(truth, n_people, most):
    true, true_days = truth
    rng = np.random.default_rng(n_people)
    runs = 300
    in_hazard, in_share, enough, enough_last = np.zeros((4, runs, BINS.size), bool)
    in_span, in_days = [], []
    for run in range(runs):
        ended, left, longest = draw(rng, n_people)
        found = hazards(ended, left, n_longest=longest, first_days=BINS)
        enough[run] = found.n_people >= 30
        enough_last[run] = found.n_people_last >= 30
        in_hazard[run] = (found.hazard_low <= true.hazard) & (
            true.hazard <= found.hazard_high
        )
        in_share[run] = (found.share_low <= true.share) & (
            true.share <= found.share_high
        )
        span = peak_span(found, min_people=30)
        in_span.append(span.first <= np.argmax(true.hazard) <= span.last)
        timing = timing_of(ended, left)
        for q, day in zip((0.5, 0.8, 0.9), true_days, strict=True):
            _, low, high = quantile_days(timing, q)
            in_days.append(low <= day <= np.nan_to_num(high, nan=np.inf))
    always = most > BINS
    assert enough[:, always].all()
    assert enough_last[:, always].all()
    for name, held in (("hazard", in_hazard), ("share", in_share)):
        coverage = held[:, always].mean()
        assert 0.92 <= coverage <= 0.98, (name, coverage)
        # Bins in which hardly anything happens are held more often, none much less.
        assert held[:, always].mean(axis=0).min() >= 0.90, name
    assert np.mean(in_span) >= 0.92
    assert 0.92 <= np.mean(in_days) <= 0.98


def test_an_interval_that_takes_gaps_for_independent_is_too_short(truth):
    """Why people are left out, not gaps: among unlike people gaps hang together."""
    true, _ = truth
    rng = np.random.default_rng(3)
    held = []
    for _ in range(200):
        ended, left, _ = draw(rng, 2000)
        km = kaplan_meier(ended.sum(axis=0), left.sum(axis=0))
        day = true.last_day[3]
        held.append(km.cif_low[day] <= true.share[3] <= km.cif_high[day])
    assert np.mean(held) < 0.85


def test_the_span_goes_to_both_sides_of_the_peak_and_no_further():
    # Per bin of one day, of 1,000 in each group's turn: low, high, high, low, high.
    n_groups = 20
    chance = np.array([0.0, 0.02, 0.10, 0.101, 0.02, 0.10])
    left = np.zeros((n_groups, 6), int)
    ended = np.zeros((n_groups, 6), int)
    rest = np.full(n_groups, 1000)
    rng = np.random.default_rng(4)
    for day in range(1, 6):
        ended[:, day] = rng.binomial(rest, chance[day])
        rest = rest - ended[:, day]
    left[:, 5] = rest
    longest = (ended + left).sum(axis=0)
    found = hazards(ended, left, n_longest=longest, first_days=[1, 2, 3, 4, 5])
    span = peak_span(found, min_people=30)
    assert (span.first, span.last) == (1, 2)
    assert span.peak in (1, 2)
    # Too few people everywhere: no peak.
    assert peak_span(found, min_people=10**6) is None
    # Wide intervals cannot tell the days apart.
    loose = peak_span(found, min_people=30, confidence=1 - 1e-16)
    assert (loose.first, loose.last) != (span.first, span.last)


@pytest.mark.parametrize(("n_left", "last"), [(2, 2), (100, 0)])
def test_a_thin_bin_without_events_is_not_surely_low(n_left, last):
    ended, left = np.zeros((2, 10, 4), int)
    ended[:, 1] = 4
    left[:, 1] = 96 - n_left
    left[:, 3] = n_left  # nothing happens to them on days 2 and 3
    longest = (ended + left).sum(axis=0)
    found = hazards(ended, left, n_longest=longest, first_days=[1, 2, 3])
    # At 4 % a day none of 20 people is no surprise, none of 1,000 is.
    assert peak_span(found, min_people=10) == (0, 0, last)
