"""Strata: published numbers, least squares, laws, chance alone, known differences."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from selfloop.core.errors import SettingError
from selfloop.kernels.stratified import (
    Cells,
    RatioCells,
    holm,
    mean_difference,
    ratio_difference,
    ratio_of,
    share_difference,
    weights,
)

N_STRATA = 12


def cells_of(stratum, values, *, n_strata=N_STRATA):
    """Reduce values of one group to cells, the plain way."""
    parts = [values[stratum == s] for s in range(n_strata)]
    return Cells(
        np.array([float(p.size) for p in parts]),
        np.array([p.mean() if p.size else np.nan for p in parts]),
        np.array([p.var(ddof=1) if p.size > 1 else np.nan for p in parts]),
    )


def ratio_cells_of(stratum, top, bottom):
    """Reduce two numbers of each person of one group to cells."""
    one, other = cells_of(stratum, top), cells_of(stratum, bottom)
    both = [
        np.cov(top[stratum == s], bottom[stratum == s])[0, 1] if n > 1 else np.nan
        for s, n in enumerate(one.n)
    ]
    return RatioCells(*one, *other[1:], np.array(both))


def split(function, stratum, first, *values):
    """Reduce both groups."""
    return [function(stratum[g], *(v[g] for v in values)) for g in (first, ~first)]


def hits_of(stratum, values):
    """Count people and those who did it, by stratum."""
    n = np.bincount(stratum, minlength=N_STRATA)
    return n, np.bincount(stratum, weights=values, minlength=N_STRATA)


def compare_shares(stratum, first, values):
    """Compare shares of two groups of rows."""
    (n1, x1), (n0, x0) = split(hits_of, stratum, first, values)
    return share_difference(n1, x1, n_second=n0, hits_second=x0)


# Published numbers ------------------------------------------------------------------

NEWCOMBE = [
    # Newcombe (1998), table II, method 10: successes and people, low, high
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (0, 10, 0, 10, -0.2775, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0),
    (10, 10, 0, 10, 0.6075, 1.0),
]


@pytest.mark.parametrize(("x1", "n1", "x0", "n0", "low", "high"), NEWCOMBE)
def test_one_stratum_is_newcombe(x1, n1, x0, n0, low, high):
    found = share_difference([n1], [x1], n_second=[n0], hits_second=[x0])
    assert found.value == pytest.approx(x1 / n1 - x0 / n0)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert (found.p_value < 0.05) == (not low <= 0 <= high)


def test_one_stratum_is_welch():
    rng = np.random.default_rng(1)
    a, b = rng.gamma(2, 10, 40), rng.gamma(3, 8, 25)
    theirs = stats.ttest_ind(a, b, equal_var=False)
    ends = theirs.confidence_interval()
    zero = np.zeros
    found = mean_difference(
        cells_of(zero(40), a, n_strata=1), cells_of(zero(25), b, n_strata=1)
    )
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))
    assert found.p_value == pytest.approx(theirs.pvalue)


def test_holm_by_hand():
    # Sorted 0.001, 0.01, 0.02, 0.4 times 4, 3, 2, 1 is 0.004, 0.03, 0.04, 0.4.
    found = holm([0.02, 0.001, np.nan, 0.4, 0.01])
    assert found.tolist()[:2] == pytest.approx([0.04, 0.004])
    assert math.isnan(found[2])
    assert found[3:].tolist() == pytest.approx([0.4, 0.03])
    # The second, 0.011 * 2 = 0.022, may not be smaller than the first: 0.03.
    assert holm([0.010, 0.011, 0.9]).tolist() == pytest.approx([0.03, 0.03, 0.9])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).size == 0


# By hand ----------------------------------------------------------------------------


def test_mean_difference_by_hand():
    # Weights 4*4/8 = 2 and 6*3/9 = 2: (2 * 1 + 2 * 0) / 4 = 0.5.
    one = Cells(np.array([4.0, 6]), np.array([5.0, 8]), np.array([1.0, 2]))
    other = Cells(np.array([4.0, 3]), np.array([4.0, 8]), np.array([2.0, 1]))
    # Each part is (2/4)^2 v / n: 1/16, 1/12, 1/8, 1/12; together 17/48.
    parts = np.array([1 / 16, 1 / 12, 1 / 8, 1 / 12])
    df = (17 / 48) ** 2 / (parts**2 / [3, 5, 3, 2]).sum()
    reach = stats.t.ppf(0.975, df) * math.sqrt(17 / 48)
    found = mean_difference(one, other)
    assert found.value == 0.5
    assert found.low == pytest.approx(0.5 - reach)
    assert found.high == pytest.approx(0.5 + reach)
    p = 2 * stats.t.sf(0.5 / math.sqrt(17 / 48), df)
    assert found.p_value == pytest.approx(p)


def test_a_single_person_takes_the_variance_of_the_group():
    # Second cell of the first group: one person; pooled variance (3*1 + 1*3) / 4 = 1.5.
    one = Cells(
        np.array([4.0, 1, 2]), np.array([5.0, 9, 1]), np.array([1.0, np.nan, 3])
    )
    other = Cells(np.array([4.0] * 3), np.array([4.0, 8, 2]), np.ones(3))
    given_it = one._replace(variance=np.array([1.0, 1.5, 3]))
    w = weights(one.n, other.n)
    part = w / w.sum()
    variance = (part**2 * (given_it.variance / one.n + 1 / 4)).sum()
    found, same = mean_difference(one, other), mean_difference(given_it, other)
    assert found.value == same.value == pytest.approx((w @ [1, 1, -1]) / w.sum())
    freedom = np.array([3, 4, 1, 3, 3, 3])
    each = np.concatenate([part**2 * given_it.variance / one.n, part**2 / 4])
    df = variance**2 / (each**2 / freedom).sum()
    reach = stats.t.ppf(0.975, df) * math.sqrt(variance)
    assert found.high - found.value == pytest.approx(reach)


def test_ratio_difference_by_hand():
    # 3/20 - 1/20 = 0.1; variances of y - R x: 4 - 2*0.15*2 + 0.15^2*25 = 3.9625 and
    # 2 - 2*0.05*2 + 0.05^2*25 = 1.8625, each over 50 * 20^2.
    n, one = np.array([50.0]), np.array([1.0])
    more = RatioCells(n, 3 * one, 4 * one, 20 * one, 25 * one, 2 * one)
    less = RatioCells(n, one, 2 * one, 20 * one, 25 * one, 2 * one)
    found = ratio_difference(more, less)
    assert found.value == pytest.approx(0.1)
    error = math.sqrt((3.9625 + 1.8625) / 20_000)
    df = (3.9625 + 1.8625) ** 2 / ((3.9625**2 + 1.8625**2) / 49)
    assert found.high == pytest.approx(0.1 + stats.t.ppf(0.975, df) * error)


def test_nothing_is_known_without_a_stratum_of_both():
    one = Cells(np.array([5.0, 0]), np.array([1.0, np.nan]), np.array([1.0, np.nan]))
    other = Cells(np.array([0.0, 5]), np.array([np.nan, 1]), np.array([np.nan, 1.0]))
    assert all(math.isnan(v) for v in mean_difference(one, other))
    found = share_difference([5, 0], [1, 0], n_second=[0, 5], hits_second=[0, 1])
    assert all(math.isnan(v) for v in found)
    nobody = RatioCells(*(np.zeros(0) for _ in range(6)))
    assert all(math.isnan(v) for v in ratio_of(nobody))


def test_all_alike_has_a_difference_and_no_interval():
    same = Cells(np.array([5.0]), np.array([2.0]), np.array([0.0]))
    found = mean_difference(same, same._replace(mean=np.array([1.0])))
    assert found.value == 1.0
    assert all(math.isnan(v) for v in found[1:])
    # One person each: there is nobody to learn the variance from.
    lone = Cells(np.array([1.0]), np.array([2.0]), np.array([np.nan]))
    assert math.isnan(mean_difference(lone, lone).low)


def test_a_ratio_needs_a_denominator():
    n, zero = np.array([5.0]), np.array([0.0])
    empty = RatioCells(n, zero, zero, zero, zero, zero)
    assert math.isnan(ratio_difference(empty, empty).value)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="0 to all people"):
        share_difference([5], [6], n_second=[5], hits_second=[1])
    with pytest.raises(SettingError, match="confidence"):
        share_difference([5], [1], n_second=[5], hits_second=[1], confidence=1.0)
    one = Cells(np.array([5.0]), np.array([1.0]), np.array([1.0]))
    with pytest.raises(SettingError, match="confidence"):
        mean_difference(one, one, confidence=95)


def test_a_certain_difference_has_a_p_value_of_next_to_nothing():
    n = [10_000]
    assert share_difference(n, n, n_second=n, hits_second=[0]).p_value < 1e-300


# Least squares ----------------------------------------------------------------------


def test_the_difference_is_that_of_least_squares_with_constants_of_strata():
    rng = np.random.default_rng(3)
    stratum = rng.integers(0, N_STRATA, 300)
    first = rng.random(300) < 0.1 + 0.06 * stratum
    values = rng.normal(10 * stratum, 5)
    dummies = stratum[:, None] == np.arange(N_STRATA)
    design = np.column_stack([first, dummies]).astype(float)
    theirs = np.linalg.lstsq(design, values, rcond=None)[0][0]
    mine = mean_difference(*split(cells_of, stratum, first, values))
    assert mine.value == pytest.approx(theirs)
    shares = compare_shares(stratum, first, values > 50)
    theirs = np.linalg.lstsq(design, (values > 50) * 1.0, rcond=None)[0][0]
    assert shares.value == pytest.approx(theirs)


def test_strata_undo_an_unlike_mix():
    """Without strata referred people seem better by 7: they came in better months."""
    rng = np.random.default_rng(5)
    stratum = rng.integers(0, N_STRATA, 6000)
    first = rng.random(6000) < (stratum + 1) / 14
    values = rng.normal(3.0 * stratum, 1)
    raw = values[first].mean() - values[~first].mean()
    found = mean_difference(*split(cells_of, stratum, first, values))
    assert raw > 6
    assert abs(found.value) < 0.1
    assert found.high - found.low < 0.2


# Laws -------------------------------------------------------------------------------

counts = hnp.arrays(np.int64, 6, elements=st.integers(0, 30))


@given(counts, counts, st.randoms(use_true_random=False))
def test_shares_swap_turn_and_do_not_mind_order(n1, n0, random):
    assume((weights(n1, n0) > 0).any())
    x1 = np.array([random.randint(0, int(n)) for n in n1])
    x0 = np.array([random.randint(0, int(n)) for n in n0])
    found = share_difference(n1, x1, n_second=n0, hits_second=x0)
    swapped = share_difference(n0, x0, n_second=n1, hits_second=x1)
    turned = share_difference(n1, n1 - x1, n_second=n0, hits_second=n0 - x0)
    order = np.array([3, 1, 5, 0, 2, 4])
    moved = share_difference(
        n1[order], x1[order], n_second=n0[order], hits_second=x0[order]
    )
    back = (-found.value, -found.high, -found.low, found.p_value)
    assert swapped == pytest.approx(back, abs=1e-9)
    assert turned == pytest.approx(back, abs=1e-9)
    assert moved == pytest.approx(found, abs=1e-9)
    assert -1 - 1e-9 <= found.low <= found.value <= found.high <= 1 + 1e-9
    assert 0 <= found.p_value <= 1
    if abs(found.p_value - 0.05) > 1e-6:
        assert (found.p_value < 0.05) == (not found.low <= 0 <= found.high)


@given(
    hnp.arrays(np.float64, 30, elements=st.integers(-1000, 1000)),
    hnp.arrays(np.bool_, 30),
    hnp.arrays(np.int64, 30, elements=st.integers(0, 3)),
    st.integers(2, 50),
)
def test_money_scales_and_shifts(values, first, stratum, times):
    def compare(v):
        groups = split(lambda s, x: cells_of(s, x, n_strata=4), stratum, first, v)
        return np.array(mean_difference(*groups))

    found = compare(values)
    scale = np.array([times, times, times, 1])
    np.testing.assert_allclose(compare(values * times), found * scale, atol=1e-6)
    np.testing.assert_allclose(compare(values + 7), found, atol=1e-6)
    flip = (-found)[[0, 2, 1, 3]] * [1, 1, 1, -1]
    np.testing.assert_allclose(compare(-values), flip, atol=1e-6)


def test_a_stratum_without_one_group_says_nothing():
    rng = np.random.default_rng(6)
    stratum = rng.integers(0, 5, 100)
    first = rng.random(100) < 0.5
    values = rng.normal(size=100)
    alone = np.append(stratum, [7, 7, 7]), np.append(first, [True] * 3)
    more = np.append(values, [100.0, 200, 300])
    found = mean_difference(*split(cells_of, stratum, first, values))
    assert mean_difference(*split(cells_of, *alone, more)) == pytest.approx(found)
    shares = compare_shares(stratum, first, values > 0)
    assert compare_shares(*alone, more > 0) == pytest.approx(shares)


def test_a_mean_is_a_ratio_to_one():
    rng = np.random.default_rng(7)
    stratum, first = rng.integers(0, 5, 80), rng.random(80) < 0.5
    values = rng.gamma(2, 3, 80)
    means = mean_difference(*split(cells_of, stratum, first, values))
    ratios = ratio_difference(
        *split(ratio_cells_of, stratum, first, values, np.ones(80))
    )
    assert ratios == pytest.approx(means)


def test_ratio_of_clusters_is_a_mean_over_people():
    rng = np.random.default_rng(8)
    sizes = rng.integers(1, 5, 60)
    sums = np.array([rng.gamma(2, 5, n).sum() for n in sizes])
    cells = ratio_cells_of(np.zeros(60), sums, sizes.astype(float))
    found = ratio_of(RatioCells(*(c[:1] for c in cells)))
    mean = sums.sum() / sizes.sum()
    rest = sums - mean * sizes
    error = math.sqrt((rest**2).sum() / 59 * 60) / sizes.sum()
    assert found.value == pytest.approx(mean)
    assert found.high == pytest.approx(mean + stats.t.ppf(0.975, 59) * error)


# Chance alone, and known differences ------------------------------------------------

MEASURES = ("share", "rare", "mean", "ratio")


def draw(rng, *, effect=0.0, n=700):
    """Draw people of strata that differ in mix and level."""
    stratum = rng.integers(0, N_STRATA, n)
    first = rng.random(n) < 0.15 + 0.05 * stratum
    level = 0.2 + 0.03 * stratum
    up = effect * first
    share = rng.random(n) < level + 0.15 * up
    rare = rng.random(n) < 0.02 + 0.05 * up
    money = rng.gamma(0.8, 50, n) * (1 + level) + 20 * up
    gross = rng.gamma(1.5, 60, n) * (1 + level)
    back = np.where(rng.random(n) < 0.25, gross * (rng.random(n) * 0.8), 0.0)
    back += 0.08 * up * gross
    return stratum, first, {"share": share, "rare": rare, "mean": money,
                            "ratio": (back, gross)}  # fmt: skip


def estimate(kind, stratum, first, values):
    """Estimate one difference."""
    if kind in ("share", "rare"):
        return compare_shares(stratum, first, values)
    if kind == "mean":
        return mean_difference(*split(cells_of, stratum, first, values))
    return ratio_difference(*split(ratio_cells_of, stratum, first, *values))


def shuffled(rng, stratum, labels):
    """Exchange labels within strata."""
    drawn = np.empty_like(labels)
    places = np.argsort(stratum, kind="stable")
    drawn[places] = labels[np.lexsort((rng.random(labels.size), stratum))]
    return drawn


TRUTH = {"share": 0.15, "rare": 0.05, "mean": 20.0, "ratio": 0.08}
"""What `draw` builds in with an effect of 1."""


def test_chance_alone_is_reported_at_the_nominal_rate():
    """Labels shuffled within strata of one shop with an effect, 200 times."""
    rng = np.random.default_rng(11)
    stratum, first, values = draw(rng, effect=1.0)
    false = dict.fromkeys(MEASURES, 0)
    for _ in range(200):
        labels = shuffled(rng, stratum, first)
        for kind in MEASURES:
            false[kind] += estimate(kind, stratum, labels, values[kind]).p_value < 0.05
    assert all(4 <= n <= 17 for n in false.values()), false  # 2 % to 8.5 %


def test_known_differences_are_found_and_covered():
    """300 shops with the same effect: intervals cover it, and most find it."""
    rng = np.random.default_rng(12)
    covered = dict.fromkeys(MEASURES, 0)
    found = dict.fromkeys(MEASURES, 0)
    for _ in range(300):
        stratum, first, values = draw(rng, effect=1.0)
        for kind in MEASURES:
            one = estimate(kind, stratum, first, values[kind])
            covered[kind] += one.low <= TRUTH[kind] <= one.high
            found[kind] += one.p_value < 0.05 and one.value > 0
    assert all(0.92 <= n / 300 <= 0.98 for n in covered.values()), covered
    assert all(n / 300 > 0.6 for n in found.values()), found
