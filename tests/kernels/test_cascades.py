"""Sizes of cascades: by hand, simulated, inverted otherwise, in the end, and laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import gammaln
from scipy.stats import nbinom, poisson

from selfloop.kernels.cascades import (
    cascade_sizes,
    dies_out,
    expected_counts,
    final_sizes,
    mean_cascade,
)

KS = [0.05, 0.3, 1.0, 4.0, math.inf]


def fading(r, *, ages=40, scale=12.0, same_day=0.05):
    """Increments that sum to r, some of them on the day of the first order."""
    later = np.exp(-np.arange(1, ages) / scale)
    return np.append(same_day * r, later / later.sum() * (1 - same_day) * r)


def simulated(increments, *, k, n_days, n_runs, seed):
    """Sizes of cascades after n_days, person by person, a generation at a time."""
    rng = np.random.default_rng(seed)
    mean = np.zeros(n_days + 1)
    mean[: len(increments)] = increments[: n_days + 1]
    mean = np.cumsum(mean)
    size = np.ones(n_runs, dtype=int)
    run, born = np.arange(n_runs), np.zeros(n_runs, dtype=int)
    while run.size:
        keen = np.ones(run.size) if math.isinf(k) else rng.gamma(k, 1 / k, run.size)
        n_brought = rng.poisson(keen * mean[n_days - born])
        run, born = np.repeat(run, n_brought), np.repeat(born, n_brought)
        reached = rng.random(run.size) * mean[n_days - born]
        born = born + np.searchsorted(mean, reached, side="right")
        size += np.bincount(run, minlength=n_runs)
    return size


def inverted(increments, *, k, n_days, n_max):
    """Return the same numbers from F_t(s) on a circle, by a Fourier transform.

    J. Abate, W. Whitt, "Numerical inversion of probability generating functions",
    Operations Research Letters 12 (1992).
    """
    n_points = 4 * (n_max + 1)
    radius = 1e-12 ** (1 / n_points)
    s = radius * np.exp(-2j * np.pi * np.arange(n_points // 2 + 1) / n_points)
    births = np.zeros(n_days + 1)
    births[: len(increments)] = increments[: n_days + 1]
    found = np.zeros((n_days + 1, s.size), dtype=complex)
    for t in range(n_days + 1):
        older = births[1 : t + 1] @ (1 - found[:t][::-1])
        value = s
        for _ in range(70):  # each leaves less than births[0], 0.54, of the error
            fall = older + births[0] * (1 - value)
            value = s * (np.exp(-fall) if math.isinf(k) else (1 + fall / k) ** -k)
        found[t] = value
    scale = radius ** -np.arange(n_max + 1.0)
    return np.fft.irfft(found, n=n_points, axis=1)[:, : n_max + 1] * scale


def test_two_days_by_hand():
    # k = 1: the number brought is geometric. One buyer brings 1/2 at the age of 1 day:
    # nobody with 1 / (1 + 1/2) = 2/3, one with 2/3 * 1/3 = 2/9, two with 2/27.
    found = cascade_sizes([0.0, 0.5], k=1.0, n_days=2, n_max=3)
    assert found[0].tolist() == [0, 1, 0, 0]
    assert found[1] == pytest.approx([0, 2 / 3, 2 / 9, 2 / 27])
    # On day 2 those of day 1 have brought theirs. Size 2: one, who brought nobody;
    # size 3: two, who brought nobody, or one, who brought one.
    two, three = 2 / 9 * 2 / 3, 2 / 27 * (2 / 3) ** 2 + 2 / 9 * 2 / 9
    assert found[2] == pytest.approx([0, 2 / 3, two, three])


def test_people_brought_on_the_same_day_bring_theirs_that_day():
    # All is done on day 0, so every day is the end: Borel for k = inf.
    for k in KS:
        found = cascade_sizes([0.4], k=k, n_days=2, n_max=30)
        end = final_sizes(0.4, k=k, n_max=30)
        assert found == pytest.approx(np.tile(end, (3, 1)), abs=1e-15)


@pytest.mark.parametrize("k", [0.2, 1.5, math.inf])
@pytest.mark.parametrize(("r", "n_days"), [(0.6, 15), (0.9, 60), (1.6, 30)])
def test_equals_a_simulation(k, r, n_days):
    n_runs, n_max = 20_000, 12
    increments = fading(r, same_day=0.15)
    size = simulated(increments, k=k, n_days=n_days, n_runs=n_runs, seed=11)
    found = cascade_sizes(increments, k=k, n_days=n_days, n_max=n_max)[-1]
    found[0] = 1 - found.sum()  # the larger ones
    seen = np.bincount(np.where(size > n_max, 0, size), minlength=n_max + 1) / n_runs
    error = np.sqrt(found * (1 - found) / n_runs)
    assert (abs(seen - found) < 4 * error + 1e-12).all()
    mean = mean_cascade(increments, n_days=n_days)[-1]
    assert abs(size.mean() - mean) < 4 * size.std() / math.sqrt(n_runs)


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("r", [0.5, 0.95, 1.8])
def test_equals_the_inversion_of_generating_functions(k, r):
    increments = fading(r, same_day=0.3)
    given_ = {"k": k, "n_days": 120, "n_max": 60}
    found = cascade_sizes(increments, **given_)
    assert found == pytest.approx(inverted(increments, **given_), abs=1e-11)


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("r", [0.2, 0.6, 0.9])
def test_in_the_end_sizes_are_the_final_ones(k, r):
    # After 2,000 days even 40 generations of the oldest ages are done.
    found = cascade_sizes(fading(r), k=k, n_days=2000, n_max=40)[-1]
    assert found == pytest.approx(final_sizes(r, k=k, n_max=40), rel=1e-11)


@pytest.mark.parametrize("k", KS)
def test_the_mean_is_that_of_the_sizes(k):
    increments = fading(0.3, same_day=0.2)
    found = cascade_sizes(increments, k=k, n_days=50, n_max=1500)
    assert found.sum(axis=1) == pytest.approx(1.0)
    mean = found @ np.arange(1501)
    assert mean == pytest.approx(mean_cascade(increments, n_days=50), rel=1e-9)


def test_mean_by_hand():
    # N(0) = 1 / (1 - 0.2) = 1.25, N(1) = (1 + 0.4 * 1.25) / 0.8 = 1.875,
    # N(2) = (1 + 0.4 * 1.875) / 0.8 = 2.1875; R = 0.6, so in the end 2.5.
    found = mean_cascade([0.2, 0.4], n_days=80)
    assert found[:3].tolist() == pytest.approx([1.25, 1.875, 2.1875])
    assert found[-1] == pytest.approx(2.5)


def test_means_without_bound():
    assert (mean_cascade([1.0, 0.2], n_days=3) == np.inf).all()
    # Doubles every day, until it is no number; age 2 brings nobody.
    found = mean_cascade([0.0, 2.0, 0.0, 1e-3], n_days=2000)
    assert found[1] == 3.0
    assert found[-1] == np.inf
    assert not np.isnan(found).any()


def test_same_day_cascades_without_end():
    # R = 2 within the day: 0.2032 of them end, and these are the ones with a size.
    found = cascade_sizes([2.0], k=math.inf, n_days=1, n_max=400)
    assert found.sum(axis=1) == pytest.approx([dies_out(2.0, k=math.inf)] * 2)


def test_ages_beyond_the_days_do_not_matter():
    # Nor do zeros behind the last age.
    short = cascade_sizes([0.1, 0.3, 0.2], k=0.5, n_days=2, n_max=9)
    for more in ([5.0, 9.0], [0.0]):
        longer = cascade_sizes([0.1, 0.3, 0.2, *more], k=0.5, n_days=2, n_max=9)
        assert longer.tolist() == short.tolist()
    assert cascade_sizes([], k=1.0, n_days=1, n_max=2).tolist() == [[0, 1, 0]] * 2
    assert mean_cascade([], n_days=1).tolist() == [1.0, 1.0]


def test_fewer_sizes_or_days_are_the_beginning_of_more():
    many = cascade_sizes(fading(1.1), k=0.4, n_days=60, n_max=30)
    few = cascade_sizes(fading(1.1), k=0.4, n_days=25, n_max=7)
    assert few == pytest.approx(many[:26, :8], rel=1e-13)
    assert cascade_sizes(fading(1.1), k=0.4, n_days=0, n_max=1).shape == (1, 2)


births = st.lists(st.floats(0, 0.5), min_size=1, max_size=12)
alike = st.floats(0.02, 50) | st.just(math.inf)


@settings(deadline=None)
@given(births, alike, st.integers(0, 30), st.integers(1, 40))
def test_probabilities_that_only_grow(increments, k, n_days, n_max):
    found = cascade_sizes(increments, k=k, n_days=n_days, n_max=n_max)
    assert found.shape == (n_days + 1, n_max + 1)
    assert (found >= 0).all()
    at_most = np.cumsum(found, axis=1)
    assert (at_most <= 1 + 1e-12).all()
    # Nobody leaves a cascade: P(Z(t) <= n) never rises.
    assert (np.diff(at_most, axis=0) <= 1e-12).all()


@settings(deadline=None)
@given(births, st.floats(1, 3), alike)
def test_who_bring_more_have_larger_cascades(increments, factor, k):
    few = cascade_sizes(increments, k=k, n_days=20, n_max=25)
    many = cascade_sizes(np.multiply(increments, factor), k=k, n_days=20, n_max=25)
    assert (np.cumsum(many, axis=1) <= np.cumsum(few, axis=1) + 1e-12).all()


@settings(deadline=None)
@given(births)
def test_nearly_alike_is_alike(increments):
    near = cascade_sizes(increments, k=1e9, n_days=20, n_max=30)
    same = cascade_sizes(increments, k=math.inf, n_days=20, n_max=30)
    assert near == pytest.approx(same, abs=1e-7)
    r = float(np.sum(increments))
    near_end, end = (final_sizes(r, k=k, n_max=30) for k in (1e9, math.inf))
    assert near_end == pytest.approx(end, abs=1e-7)


def test_the_less_alike_the_more_seeds_stay_alone():
    alone = [cascade_sizes(fading(0.8), k=k, n_days=60, n_max=1)[-1, 1] for k in KS]
    assert (np.diff(alone) < 0).all()


@pytest.mark.parametrize("r", [0.3, 0.9, 1.7])
@pytest.mark.parametrize("k", KS)
def test_final_sizes_by_the_theorem_of_dwass(r, k):
    # P(Z = n) = P(n people bring n - 1) / n.
    n = np.arange(1, 60)
    if math.isinf(k):
        brought = poisson.pmf(n - 1, r * n)
    else:
        brought = nbinom.pmf(n - 1, k * n, k / (k + r))
    found = final_sizes(r, k=k, n_max=59)
    assert found[1:] == pytest.approx(brought / n, rel=1e-9)


def test_final_sizes_as_published():
    # Blumberg and Lloyd-Smith (2013), equation 2.
    r, k, n = 0.7, 0.35, np.arange(1, 40)
    log_p = gammaln(k * n + n - 1) - gammaln(k * n) - gammaln(n + 1)
    log_p += (n - 1) * math.log(r / k) - (k * n + n - 1) * math.log1p(r / k)
    assert final_sizes(r, k=k, n_max=39)[1:] == pytest.approx(np.exp(log_p))


def test_nobody_brings_anybody():
    assert final_sizes(0.0, k=0.3, n_max=3).tolist() == [0, 1, 0, 0]
    assert final_sizes(1e-320, k=math.inf, n_max=3) == pytest.approx([0, 1, 0, 0])


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("r", [0.3, 0.6, 1.8, 3.0])
def test_final_sizes_sum_to_the_cascades_that_end(k, r):
    found = final_sizes(r, k=k, n_max=20_000)
    assert found.sum() == pytest.approx(dies_out(r, k=k), abs=1e-8)
    if r < 1:
        # Each ends in 1 / (1 - R) people on average.
        assert found @ np.arange(20_001) == pytest.approx(1 / (1 - r), rel=1e-6)


def test_dying_out_by_hand():
    for r in (0.0, 0.5, 1.0):
        assert dies_out(r, k=0.5) == 1.0
    # k = 1: q = 1 / (1 + r (1 - q)) has the roots 1 and 1 / r.
    for r in (1.0001, 1.25, 4.0, 1e6):
        assert dies_out(r, k=1.0) == pytest.approx(1 / r, rel=1e-9)
    # Just above 1, 1 - q is 2 (r - 1) / (1 + 1/k).
    assert 1 - dies_out(1 + 1e-6, k=0.5) == pytest.approx(2e-6 / 3, rel=1e-4)
    assert dies_out(math.nextafter(1, 2), k=0.5) == pytest.approx(1.0)
    assert dies_out(800.0, k=math.inf) == pytest.approx(0.0, abs=1e-15)


@given(st.floats(1.01, 20), st.floats(0.05, 100) | st.just(math.inf))
def test_dying_out_equals_a_bracketing_solver(r, k):
    def off(q):
        left = r * (1 - q)
        return (math.exp(-left) if math.isinf(k) else (1 + left / k) ** -k) - q

    # The function is convex with a root at 1: it is below 0 just before.
    before = 1 - (r - 1) / (1 + 1 / k) / r**2
    assert off(before) < 0
    assert dies_out(r, k=k) == pytest.approx(brentq(off, 0, before), abs=1e-10)


def test_expected_counts_by_hand():
    # Row 0: all of size 1. Row 1: 1/2 of size 1, 1/4 of size 2, 1/4 larger.
    sizes = [[0, 1, 0], [0, 1 / 2, 1 / 4]]
    found = expected_counts([10, 8], sizes_prob=sizes, bins=[1, 2, 3])
    assert found.expected.tolist() == [14, 2, 2]
    # 8 * 1/4, 8 * 3/16, 8 * 3/16.
    assert found.std == pytest.approx(np.sqrt([2, 1.5, 1.5]))
    wide = expected_counts([10, 8], sizes_prob=sizes, bins=[1, 3])
    assert wide.expected.tolist() == [16, 2]
    only = expected_counts([10, 8], sizes_prob=sizes, bins=[1])
    assert (only.expected.tolist(), only.std.tolist()) == ([18], [0])


def test_expected_counts_equal_a_simulated_shop():
    bins = np.array([1, 2, 3, 4, 6, 11])
    followup = np.array([0] * 10 + [60] * 5 + [40] * 16)
    increments = fading(0.8, same_day=0.2)
    sizes = cascade_sizes(increments, k=0.4, n_days=30, n_max=10)
    found = expected_counts(followup, sizes_prob=sizes, bins=bins)
    assert found.expected.sum() == pytest.approx(followup.sum())
    n_shops, seen = 400, np.zeros((400, bins.size))
    for day, n in enumerate(followup):
        size = simulated(
            increments, k=0.4, n_days=day, n_runs=n * n_shops, seed=100 + day
        )
        place = np.searchsorted(bins, size, side="right").reshape(n_shops, n) - 1
        seen += (place[:, :, None] == np.arange(bins.size)).sum(axis=1)
    error = found.std / math.sqrt(n_shops)
    assert (abs(seen.mean(axis=0) - found.expected) < 4 * error).all()
    # A standard deviation of 400 has an error of 1/28 of it.
    assert seen.std(axis=0) == pytest.approx(found.std, rel=4 / 28)


@given(st.lists(st.integers(0, 50), min_size=6, max_size=6), alike)
def test_bins_split_the_seeds(followup, k):
    sizes = cascade_sizes(fading(1.2), k=k, n_days=5, n_max=8)
    fine = expected_counts(followup, sizes_prob=sizes, bins=range(1, 10))
    wide = expected_counts(followup, sizes_prob=sizes, bins=[1, 4, 9])
    parts = [fine.expected[:3].sum(), fine.expected[3:8].sum(), fine.expected[8]]
    assert wide.expected == pytest.approx(parts)
    assert (wide.std <= math.sqrt(sum(followup)) / 2 + 1e-9).all()


@pytest.mark.parametrize("wrong", [[0.1, -0.1], [math.inf], [math.nan], [[0.1]]])
def test_impossible_increments_are_refused(wrong):
    with pytest.raises(ValueError, match="finite and 0 or more"):
        cascade_sizes(wrong, k=1.0, n_days=3, n_max=3)
    with pytest.raises(ValueError, match="finite and 0 or more"):
        mean_cascade(wrong, n_days=3)


@pytest.mark.parametrize("k", [0.0, -1.0, math.nan])
def test_an_impossible_k_is_refused(k):
    with pytest.raises(ValueError, match="k must be above 0"):
        cascade_sizes([0.1], k=k, n_days=3, n_max=3)
    with pytest.raises(ValueError, match="k must be above 0"):
        final_sizes(0.5, k=k, n_max=3)
    with pytest.raises(ValueError, match="k must be above 0"):
        dies_out(0.5, k=k)


@pytest.mark.parametrize("r", [-0.1, math.inf, math.nan])
def test_an_impossible_r_is_refused(r):
    with pytest.raises(ValueError, match="R must be 0 or more"):
        final_sizes(r, k=1.0, n_max=3)
    with pytest.raises(ValueError, match="R must be 0 or more"):
        dies_out(r, k=1.0)


def test_impossible_numbers_of_days_and_sizes_are_refused():
    with pytest.raises(ValueError, match="n_days must be 0 or more, got -1"):
        cascade_sizes([0.1], k=1.0, n_days=-1, n_max=3)
    with pytest.raises(ValueError, match="n_days must be 0 or more, got -1"):
        mean_cascade([0.1], n_days=-1)
    with pytest.raises(ValueError, match="n_max must be 1 or more, got 0"):
        cascade_sizes([0.1], k=1.0, n_days=1, n_max=0)
    with pytest.raises(ValueError, match="n_max must be 1 or more, got 0"):
        final_sizes(0.5, k=1.0, n_max=0)


@pytest.mark.parametrize("bins", [[], [2, 3], [1, 1], [1, 5], [1.0, 2.5], [[1, 2]]])
def test_impossible_bins_are_refused(bins):
    with pytest.raises(ValueError, match="rising from 1"):
        expected_counts([1], sizes_prob=[[0, 1, 0, 0]], bins=bins)


def test_seeds_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="for each row of sizes_prob"):
        expected_counts([1, 2], sizes_prob=[[0, 1]], bins=[1])
    with pytest.raises(ValueError, match="finite and 0 or more"):
        expected_counts([-1], sizes_prob=[[0, 1]], bins=[1])
