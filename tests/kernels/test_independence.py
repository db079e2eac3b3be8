"""Spend against frequency: against scipy on expanded data, by hand, in truth."""

import math

import numpy as np
import pytest
from cdnow import calibration
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from selfloop.kernels import gamma_gamma, independence
from selfloop.kernels.gamma_gamma import GammaGamma
from selfloop.kernels.independence import (
    check_independence,
    rank_correlation,
    spend_frequency,
)
from selfloop.kernels.rows import distinct_rows

TRUTH = GammaGamma(6.25, 3.744, 15.44)


@st.composite
def counted(draw):
    """Rows of x, mean spend and people, with ties in both; both vary."""
    n = draw(st.integers(2, 12))
    x = draw(st.lists(st.integers(1, 5), min_size=n, max_size=n))
    spend = draw(
        st.lists(st.sampled_from([1, 2.5, 7, 30, 1e3]), min_size=n, max_size=n)
    )
    people = draw(st.lists(st.integers(1, 6), min_size=n, max_size=n))
    x[0], x[-1], spend[0], spend[-1] = 1, 2, 1, 2.5
    return np.array(x), np.array(spend, dtype=float), np.array(people)


def draw_people(n, rng, *, truth=TRUTH, trend=0.0):
    """Draw customers whose spend grows as x to the power of `trend`."""
    x = rng.geometric(0.4, n)
    nu = rng.gamma(truth.q, 1 / truth.v, n) / x**trend
    return x, rng.gamma(truth.p * x) / nu


@pytest.fixture(scope="module")
def cdnow():
    """Repeat buyers of the calibration sample, and their model."""
    sample = calibration()
    again = sample.x > 0
    x, total = sample.x[again], sample.repeat_total[again]
    return x, total, GammaGamma(**gamma_gamma.fit(x, total=total).params)


def test_cdnow(cdnow):
    # Correlations of the 946 repeat buyers of the log: Pearson .114, Spearman .206.
    x, total, model = cdnow
    found = spend_frequency(x, mean_spend=total / x)
    assert found.n_people == 946
    assert found.pearson == pytest.approx(0.1139, abs=5e-5)
    assert found.spearman.value == pytest.approx(0.2063, abs=5e-5)
    checked = check_independence(model, x=x, total=total)
    assert checked.raw == found
    assert checked.verdict == "moderate"
    assert 0.1 < checked.beyond_model.low < checked.beyond_model.value < 0.206
    assert checked.model_mean == pytest.approx(35.17, abs=0.005)
    groups = checked.groups
    assert groups.x_low.tolist() == [1, 2, 3, 4, 5, 7]
    assert groups.x_high.tolist() == [1, 2, 3, 4, 6, 29]
    assert groups.n_people.tolist() == [439, 214, 100, 62, 67, 64]
    # Those with one repeat purchase spend 32.40 each and are held for 33.25.
    assert groups.mean_spend[0] == pytest.approx(32.403, abs=5e-4)
    assert groups.expected[0] == pytest.approx(33.248, abs=5e-4)
    assert groups.bias[0] == pytest.approx(33.248 / 32.403 - 1, abs=5e-5)


@settings(deadline=None)
@given(counted())
def test_counted_rows_give_what_people_give(rows):
    x, spend, people = rows
    all_x, all_spend = np.repeat(x, people), np.repeat(spend, people)
    found = spend_frequency(x, mean_spend=spend, counts=people)
    one_each = spend_frequency(all_x, mean_spend=all_spend)
    np.testing.assert_allclose(found[:3], one_each[:3], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.spearman, one_each.spearman, rtol=1e-9, atol=1e-9)
    assert found.eta_squared == pytest.approx(one_each.eta_squared)
    assert found.spearman.value == pytest.approx(
        stats.spearmanr(all_x, all_spend).statistic, abs=1e-13
    )
    assert found.pearson == pytest.approx(
        stats.pearsonr(all_x, all_spend).statistic, abs=1e-12
    )
    assert found.pearson_of_logs == pytest.approx(
        stats.pearsonr(np.log(all_x), np.log(all_spend)).statistic, abs=1e-12
    )
    assert -1 <= found.spearman.low <= found.spearman.value <= found.spearman.high <= 1


def test_spearman_by_hand():
    # Ranks 1.5 1.5 3 4 and 1 3 2 4, centred -1 -1 .5 1.5 and -1.5 .5 -.5 1.5:
    # products 1.5 - .5 - .25 + 2.25 = 3; squares 4.5 and 5.
    found = rank_correlation([1, 1, 2, 3], [10.0, 30, 20, 40])
    assert found.value == pytest.approx(3 / math.sqrt(22.5), rel=1e-14)


@settings(deadline=None)
@given(counted(), st.integers(0, 11))
def test_influence_is_the_derivative_by_people(rows, place):
    x, spend, people = rows
    i = place % x.size
    step = np.zeros(x.size)
    step[i] = 1e-5 * people.sum()
    more, less = (
        rank_correlation(x, spend, counts=people + h).value for h in (step, -step)
    )
    first, second = (
        independence._ranked(a.astype(float), people=people.astype(float))
        for a in (x, spend)
    )
    _, influence = independence._spearman(first, second, people=people.astype(float))
    assert influence[i] == pytest.approx((more - less) / 2e-5, abs=1e-5)
    # Adding everybody once more changes nothing.
    assert people @ influence == pytest.approx(0, abs=1e-9)


def test_eta_squared_is_that_of_an_analysis_of_variance():
    rng = np.random.default_rng(1)
    x = rng.integers(1, 6, 400)  # each x has 5 % of the people: a group of its own
    spend = rng.lognormal(3, 0.5, 400) * x**0.2
    found = spend_frequency(x, mean_spend=spend).eta_squared
    f = stats.f_oneway(*(spend[x == k] for k in range(1, 6))).statistic
    assert found == pytest.approx(4 * f / (4 * f + 395), rel=1e-10)


@pytest.mark.parametrize(
    ("people", "low", "high"),
    [
        # 5 % of 100 is 5: 4 and 3 join, 60 is alone, 2 is left over and joins it.
        ([4, 3, 91, 2], [1, 3], [2, 7]),
        ([25, 25, 25, 25], [1, 2, 3, 7], [1, 2, 3, 7]),
        ([1, 1, 1, 97], [1], [7]),
        ([97, 1, 1, 1], [1], [7]),
    ],
)
def test_groups_have_enough_people(people, low, high):
    x = [1, 2, 3, 7]
    found = check_independence(TRUTH, x=x, total=[9.0, 8, 7, 6], counts=people).groups
    assert found.x_low.tolist() == low
    assert found.x_high.tolist() == high
    assert found.n_people.sum() == 100


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_groups_part_the_people(x):
    x = np.array(x)
    found = check_independence(TRUTH, x=x, total=x * 5.0).groups
    inside = (x[:, None] >= found.x_low) & (x[:, None] <= found.x_high)
    assert inside.sum(axis=1).tolist() == [1] * x.size
    assert inside.sum(axis=0).tolist() == found.n_people.tolist()
    assert np.all(found.n_people >= 0.05 * x.size)
    assert np.isin(found.x_low, x).all()
    assert np.isin(found.x_high, x).all()


def test_bias_is_the_pull_of_the_mean():
    # p = 2, q = 3, v = 6: mean 6. For x = 1, E = (2 (6 + s)) / 4 = 3 + s/2: customers
    # of 4 and 8 are held for 5 and 7, right on average; those of 10 and 14 for 8
    # and 10, -25 %.
    model = GammaGamma(2, 3, 6)
    right = check_independence(model, x=[1, 1], total=[4.0, 8.0])
    low = check_independence(model, x=[1, 1], total=[10.0, 14.0])
    assert right.model_mean == pytest.approx(6)
    assert right.groups.expected == pytest.approx([6])
    assert right.groups.bias == pytest.approx([0], abs=1e-15)
    assert low.groups.expected == pytest.approx([9])
    assert low.groups.bias == pytest.approx([-0.25])
    # Standard error of two values 4 apart: sqrt(8 / 1 / 2) = 2.
    assert low.groups.standard_error == pytest.approx([2])


def test_ranks_of_means_are_correlated_although_independent():
    # What a customer's mean is skewed by goes with x, and only the check knows.
    rng = np.random.default_rng(2)
    noisy = GammaGamma(0.5, 3.0, 60.0)
    x, total = draw_people(50_000, rng, truth=noisy)
    found = check_independence(noisy, x=x, total=total)
    assert found.raw.spearman.low > 0.15
    assert found.beyond_model.low < 0 < found.beyond_model.high
    assert found.beyond_model.high < 0.02
    assert found.verdict == "independent"


@pytest.mark.parametrize(
    ("trend", "verdict"),
    [(0.0, "independent"), (0.03, "independent"), (0.2, "moderate"), (0.6, "strong")],
)
def test_verdicts(trend, verdict):
    x, total = draw_people(4_000, np.random.default_rng(3), trend=trend)
    model = GammaGamma(**gamma_gamma.fit(x, total=total).params)
    assert check_independence(model, x=x, total=total).verdict == verdict


def test_falling_spend_is_seen_too():
    x, total = draw_people(4_000, np.random.default_rng(4), trend=-0.6)
    model = GammaGamma(**gamma_gamma.fit(x, total=total).params)
    found = check_independence(model, x=x, total=total)
    assert found.verdict == "strong"
    assert found.beyond_model.high < -0.3
    assert found.groups.bias[0] < 0 < found.groups.bias[-1]


def test_costs_as_documented():
    # nu proportional to x^-0.3 on the x of CDNOW: r = 0.3, 12 % and 28 % too much.
    sample = calibration()
    rng = np.random.default_rng(5)
    x = rng.choice(sample.x[sample.x > 0], 100_000)
    nu = rng.gamma(TRUTH.q, 1 / TRUTH.v, x.size) / x**0.3
    total = rng.gamma(TRUTH.p * x) / nu
    model = GammaGamma(**gamma_gamma.fit(x, total=total).params)
    found = check_independence(model, x=x, total=total)
    assert found.beyond_model.value == pytest.approx(0.3, abs=0.02)
    assert found.groups.bias[0] == pytest.approx(0.12, abs=0.01)
    excess = found.model_mean / found.groups.mean_spend[0] - 1
    assert excess == pytest.approx(0.28, abs=0.02)
    assert -0.04 < found.groups.bias[-1] < -0.01


def test_what_covariates_explain_is_divided_out():
    # Frequent customers come from a dear channel: v is three times as large there.
    rng = np.random.default_rng(11)
    dear = rng.random(5_000) < 0.5
    x = rng.geometric(np.where(dear, 0.2, 0.6))
    factor = np.where(dear, 3.0, 1.0)
    total = rng.gamma(TRUTH.p * x) / rng.gamma(TRUTH.q, 1 / (TRUTH.v * factor))
    assert check_independence(TRUTH, x=x, total=total).verdict == "strong"
    alike = check_independence(TRUTH, x=x, total=total / factor)
    assert alike.verdict == "independent"
    assert alike.beyond_model.low < 0 < alike.beyond_model.high


def test_too_few_to_say():
    x, total = draw_people(25, np.random.default_rng(6))
    found = check_independence(TRUTH, x=x, total=total)
    assert found.verdict == "unknown"
    assert found.beyond_model.low < 0 < found.beyond_model.high


@pytest.mark.parametrize(
    ("x", "spend"), [([2, 2, 2], [1.0, 5, 7]), ([1, 2, 3], [4.0, 4, 4]), ([1], [9.0])]
)
def test_nothing_to_compare(x, spend):
    found = spend_frequency(x, mean_spend=spend)
    assert math.isnan(found.spearman.value)
    assert found.spearman[1:] == (-1, 1)
    assert math.isnan(found.pearson)
    if len(set(spend)) == 1:
        assert math.isnan(found.eta_squared)
    else:
        assert found.eta_squared == 0  # one group
    total = np.array(x) * np.array(spend)
    if len(set(x)) == 1:
        checked = check_independence(TRUTH, x=x, total=total)
        assert checked.verdict == "unknown"
        assert math.isnan(checked.beyond_model.value)


def test_three_people_say_nothing():
    found = rank_correlation([1, 2, 3], [5.0, 9.0, 7.0])
    assert found == pytest.approx((0.5, -1, 1))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_order_has_an_interval(sign):
    # The nearest other order of 20 has r = 1 - 12 / 7980; atanh less 1.96 / sqrt(17).
    found = rank_correlation(np.arange(20), sign * np.arange(20.0) ** 3)
    assert found.value == pytest.approx(sign, rel=1e-14)
    end = math.tanh(math.atanh(1 - 12 / 7980) - 1.959964 / math.sqrt(17))
    low, high = sorted([sign * end, float(sign)])
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)


def test_money_and_order_change_nothing(cdnow):
    x, total, model = cdnow
    order = np.random.default_rng(7).permutation(x.size)
    found = check_independence(model, x=x, total=total)
    mixed = check_independence(model, x=x[order], total=total[order])
    assert mixed.raw == found.raw
    assert mixed.beyond_model == found.beyond_model
    dear = model._replace(v=model.v * 1024)
    other = check_independence(dear, x=x, total=total * 1024)
    assert other.beyond_model == pytest.approx(found.beyond_model)
    np.testing.assert_allclose(other.groups.bias, found.groups.bias, rtol=1e-9)


def test_very_many_are_sampled(monkeypatch):
    x, total = draw_people(20_000, np.random.default_rng(8), trend=0.2)
    everybody = check_independence(TRUTH, x=x, total=total)
    monkeypatch.setattr(independence, "_MOST", 5_000)
    some = check_independence(TRUTH, x=x, total=total)
    assert some.raw == everybody.raw
    assert np.array_equal(some.groups.bias, everybody.groups.bias)
    assert some.beyond_model.low < everybody.beyond_model.value < some.beyond_model.high
    assert some.beyond_model != everybody.beyond_model
    # One row for half of all people counts as such in the sample, too.
    x, total = np.append(x, 1), np.append(total, 30.0)
    counts = np.append(np.ones(20_000), 20_000)
    monkeypatch.setattr(independence, "_MOST", 4_000)
    rows = distinct_rows([x, total], counts=counts)
    sample = independence._thinned(rows)
    assert sample.n_people == 4_000
    assert sample.counts.max() == pytest.approx(2_000, abs=1)


def test_a_mean_that_does_not_exist_is_missing():
    uneven = GammaGamma(0.5, 0.4, 10.0)  # p x + q > 1 from x = 2 on
    found = check_independence(uneven, x=[1, 2, 3], total=[5.0, 9.0, 7.0])
    assert math.isnan(found.model_mean)
    assert np.isnan(found.groups.expected[0])
    assert np.isfinite(found.groups.expected[1:]).all()
    assert np.isnan(found.groups.bias[0])


@pytest.mark.parametrize(
    ("x", "spend", "message"),
    [
        ([], [], "no customers to compare"),
        ([0, 1], [4.0, 5.0], "must be above 0"),
        ([2, 1], [4.0, -5.0], "must be above 0"),
        ([2, 1], [4.0, math.inf], "must be finite"),
        ([2, 1], [4.0], "must have one length"),
    ],
)
def test_impossible_input_is_refused(x, spend, message):
    with pytest.raises(ValueError, match=message):
        spend_frequency(x, mean_spend=spend)
    with pytest.raises(ValueError, match=message):
        check_independence(TRUTH, x=x, total=spend)


def skewed(n, rng):
    """Few purchases, spend that grows with them."""
    x = rng.geometric(0.5, n)
    return x, rng.gamma(2.0 * x) / rng.gamma(3.0, size=n) / x**0.7


def not_monotone(n, rng):
    """Spend that falls and rises again: 87 % with the variances of the textbook."""
    x = rng.geometric(0.3, n)
    return x, rng.gamma(5.0, size=n) * np.exp(0.5 * np.abs(x - 4))


def mostly_one(n, rng):
    """Nine of ten with one purchase."""
    x = rng.geometric(0.9, n)
    return x, rng.gamma(2.0 * x) / rng.gamma(3.0, size=n) / x**0.5


@pytest.mark.slow
@pytest.mark.parametrize("make", [skewed, not_monotone, mostly_one])
def test_intervals_cover_the_truth(make):
    rng = np.random.default_rng(9)
    true = rank_correlation(*make(500_000, rng)).value
    n_runs = 1_000
    found = [rank_correlation(*make(300, rng)) for _ in range(n_runs)]
    covered = sum(one.low <= true <= one.high for one in found) / n_runs
    assert 0.925 <= covered <= 0.98, covered


@pytest.mark.slow
def test_the_check_of_a_fitted_model_seldom_cries_wolf():
    # With the fit on the same people the interval is wider than need be, never
    # narrower: it holds 0 in 95 % of the runs or more.
    rng, n_runs, held = np.random.default_rng(10), 200, 0
    for _ in range(n_runs):
        x, total = draw_people(400, rng)
        model = GammaGamma(**gamma_gamma.fit(x, total=total).params)
        found = check_independence(model, x=x, total=total)
        held += found.beyond_model.low <= 0 <= found.beyond_model.high
        assert found.verdict != "strong"
    assert held / n_runs >= 0.93
