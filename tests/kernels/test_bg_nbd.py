"""BG/NBD against papers, other packages, high-precision values and simulated truth."""

import math
import warnings

import numpy as np
import pytest
from cdnow import calibration
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.special import betaln, gammaln

from selfloop.core.errors import FitError
from selfloop.kernels import bg_nbd
from selfloop.kernels.bg_nbd import BgNbd
from selfloop.kernels.fitting import distinct_rows

# Estimates printed by the BTYD walkthrough (McCarthy & Wadsworth 2014), 4.2.
WALKTHROUGH = BgNbd(0.2425967, 4.413659, 0.7929869, 2.426164)
# Rounded estimates of Fader, Hardie & Lee 2005.
PAPER = BgNbd(0.243, 4.414, 0.793, 2.426)

positive = st.floats(0.05, 20.0)
params = st.builds(BgNbd, positive, positive, positive, positive)


@st.composite
def customers(draw, max_x=30):
    """Rows of possible customers: x, t_x, T."""
    n = draw(st.integers(1, 8))
    x = draw(st.lists(st.integers(0, max_x), min_size=n, max_size=n))
    age = draw(st.lists(st.floats(0.01, 100), min_size=n, max_size=n))
    part = draw(st.lists(st.floats(0.01, 1), min_size=n, max_size=n))
    x, age = np.array(x), np.array(age)
    return x, np.where(x > 0, np.array(part) * age, 0.0), age


def draw_customers(n, rng, *, truth, period):
    """Draw customers from the model with exact times.

    Of k purchases wanted in T, uniform over T, the first x happen: the x-th of them
    is Beta(x, k + 1 - x) of T.
    """
    age = rng.uniform(0.2 * period, period, n)
    rate = rng.gamma(truth.r, 1 / truth.alpha, n)
    leaves = rng.beta(truth.a, truth.b, n)
    wanted = rng.poisson(rate * age)
    x = np.minimum(wanted, rng.geometric(np.maximum(leaves, 1e-12)))
    last = rng.beta(np.maximum(x, 1), wanted + 1.0 - np.minimum(x, wanted))
    return x, np.where(x > 0, age * last, 0.0), age


@pytest.fixture(scope="module")
def cdnow():
    """Calibration sample and its fit in weeks."""
    sample = calibration()
    fit = bg_nbd.fit(sample.x, recency=sample.recency / 7, age=sample.age / 7)
    return sample, fit


# Published numbers ----------------------------------------------------------


def test_cdnow_estimates(cdnow):
    # CLVTools test_correctness_bgnbd.R: .2425945 4.4136019 .7929199 2.4258881, log-
    # likelihood -9582.429; standard errors from a fit with 60-digit derivatives.
    sample, fit = cdnow
    assert (sample.x.size, sample.x.sum(), fit.n_distinct) == (2357, 2457, 1016)
    assert list(fit.params) == ["r", "alpha", "a", "b"]
    published = [0.2425945, 4.4136019, 0.7929199, 2.4258881]
    np.testing.assert_allclose(fit.estimates, published, rtol=2e-5)
    np.testing.assert_allclose(
        fit.estimates, [0.242595, 4.413602, 0.792922, 2.425908], rtol=2e-6
    )
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        [0.01256, 0.37822, 0.18573, 0.70541],
        atol=6e-6,
    )
    assert fit.log_likelihood == pytest.approx(-9582.429207, abs=1e-6)
    assert fit.gradient < 1e-12


def test_cdnow_covariance(cdnow):
    # Reference covariances to 3-6 digits; (r, alpha), (alpha, b), (a, b) among them.
    _, fit = cdnow
    assert fit.covariance[0, 0] == pytest.approx(1.577e-4, rel=3e-3)
    assert fit.covariance[0, 1] == pytest.approx(0.003706, rel=3e-4)
    assert fit.covariance[1, 3] == pytest.approx(0.010523, rel=3e-3)
    assert fit.covariance[2, 3] == pytest.approx(0.123218, rel=1e-4)
    np.testing.assert_allclose(fit.covariance, fit.covariance.T, rtol=1e-10)


def test_cdnow_without_zero_days():
    # Eight customers have no other purchase: 2,349 remain.
    sample = calibration(lowest=0.01)
    fit = bg_nbd.fit(sample.x, recency=sample.recency / 7, age=sample.age / 7)
    assert fit.n_people == 2349
    np.testing.assert_allclose(
        fit.estimates, [0.24390, 4.42244, 0.79251, 2.42294], rtol=3e-5
    )
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        [0.01263, 0.37895, 0.18553, 0.70415],
        atol=6e-6,
    )
    assert fit.log_likelihood == pytest.approx(-9578.1966, abs=1e-4)


def test_walkthrough_predictions():
    # BTYD walkthrough 4.3, weeks.
    assert bg_nbd.expected_new(WALKTHROUGH, 52) == pytest.approx(1.444004, rel=3e-6)
    customer = {"x": [26], "recency": [216 / 7], "age": [31]}
    expected = bg_nbd.expected_purchases(WALKTHROUGH, horizon=52, **customer)
    assert expected[0] == pytest.approx(25.75659, rel=2e-5)
    alive = bg_nbd.p_alive(WALKTHROUGH, **customer)
    assert alive[0] == pytest.approx(0.9688523, rel=1e-6)
    expected = bg_nbd.expected_purchases(
        WALKTHROUGH, x=[10, 15, 20, 25], recency=[20] * 4, age=[39] * 4, horizon=52
    )
    printed = [0.3474606, 0.04283391, 0.004158973, 0.0003583685]
    np.testing.assert_allclose(expected, printed, rtol=1e-4)


def test_new_customers():
    # Hardie's sheet at the paper's estimates, and pymc-marketing's tests.
    weeks = [1 / 7, 1, 3, 31.8571, 32]
    np.testing.assert_allclose(
        bg_nbd.expected_new(WALKTHROUGH, weeks),
        [0.0078, 0.0532, 0.1506, 1.0405, 1.0437],
        atol=6e-5,
    )
    np.testing.assert_allclose(
        bg_nbd.expected_new(PAPER, [1, 3, 6]),
        [0.05326789, 0.15086523, 0.28075589],
        rtol=1e-6,
    )


def test_cdnow_sums_and_holdout(cdnow):
    # Sums over the 2,357 customers, and means by calibration x (walkthrough 4.4).
    sample, fit = cdnow
    found = BgNbd(**fit.params)
    rows = {"x": sample.x, "recency": sample.recency / 7, "age": sample.age / 7}
    at_39 = bg_nbd.expected_purchases(found, horizon=39, **rows)
    at_52 = bg_nbd.expected_purchases(found, horizon=52, **rows)
    assert at_39.sum() == pytest.approx(1653.409, abs=1e-3)
    assert at_52.sum() == pytest.approx(2089.399, abs=1e-3)
    assert bg_nbd.p_alive(found, **rows).mean() == pytest.approx(0.8134398, abs=1e-7)
    groups = np.minimum(sample.x, 7)
    means = [at_39[groups == x].mean() for x in range(8)]
    printed = [
        0.2250893, 0.5231364, 1.044126, 1.520256, 2.163824, 2.653789, 3.503957, 6.157036
    ]  # fmt: skip
    np.testing.assert_allclose(means, printed, rtol=1e-4)


def test_agrees_with_lifetimes(cdnow):
    with warnings.catch_warnings():  # the package warns, and silences warnings
        warnings.simplefilter("ignore")
        from lifetimes import BetaGeoFitter  # noqa: PLC0415 - must not leak filters

        sample, fit = cdnow
        weeks = sample.recency / 7, sample.age / 7
        other = BetaGeoFitter().fit(sample.x, *weeks)
        theirs = BgNbd(*other.params_[["r", "alpha", "a", "b"]])
        alive = other.conditional_probability_alive(sample.x, *weeks)
        expected = other.conditional_expected_number_of_purchases_up_to_time(
            39, sample.x, *weeks
        )
    np.testing.assert_allclose(fit.estimates, theirs, rtol=1e-4)
    rows = {"x": sample.x, "recency": weeks[0], "age": weeks[1]}
    np.testing.assert_allclose(bg_nbd.p_alive(theirs, **rows), alive, rtol=1e-10)
    ours = bg_nbd.expected_purchases(theirs, horizon=39, **rows)
    np.testing.assert_allclose(ours, expected, rtol=1e-9)
    value, _ = bg_nbd.log_likelihood(distinct_rows([sample.x, *weeks]))(
        np.array(theirs)
    )
    # Theirs is the negative mean, with the largest T as the unit of time.
    shift = sample.x.sum() * math.log(weeks[1].max())
    per_person = -other._negative_log_likelihood_
    assert value == pytest.approx(per_person * sample.x.size - shift, abs=1e-4)
    assert fit.log_likelihood >= value


# Extreme arguments ----------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "recency", "age", "horizon", "expected", "alive"),
    [  # 50-digit arithmetic at the estimates of test_cdnow_estimates
        (0, 0, 38.86, 39, 0.19478242, 1),
        (2, 30.43, 38.86, 39, 1.2259072, 0.726609),
        (29, 38, 38.86, 52, 24.328884, 0.955226),
        (100, 38, 38.86, 520, 324.10222, 0.944754),
        (300, 38, 39, 52, 66.370106, 0.258035),
        (300, 100, 520, 52, 3.9113042e-207, 1.36411e-208),
        (1000, 50, 52, 52, 1.8462913e-10, 2.63773e-13),
        (1000, 10, 100, 52, 0, 0),  # 3e-855: below the smallest float
        (3000, 50, 52, 52, 7.3659436e-41, 3.50938e-44),
        (500, 500, 520, 5200, 0.0034970902, 2.25579e-6),
    ],
)
def test_extreme_customers(cdnow, x, recency, age, horizon, expected, alive):
    found = BgNbd(**cdnow[1].params)
    rows = {"x": [x], "recency": [recency], "age": [age]}
    # Tiny probabilities carry the last digits of the estimates to the power x.
    tolerance = 3e-6 if alive > 1e-3 or alive == 0 else 5e-4
    assert bg_nbd.p_alive(found, **rows)[0] == pytest.approx(
        alive, rel=tolerance, abs=1e-300
    )
    assert bg_nbd.expected_purchases(found, horizon=horizon, **rows)[0] == (
        pytest.approx(expected, rel=tolerance, abs=1e-300)
    )


@pytest.mark.parametrize(
    ("parameters", "x", "age", "horizon", "expected"),
    [  # 90-digit arithmetic; where the closed form has a hole
        ((1, 7, 1, 2.4), 2, 38.86, 30, 1.60386286254878),
        ((1, 7, 1, 2.4), 0, 0, 1e4, 14.5005803759191),
        ((1, 7, 1.0000001, 2.4), 29, 38.86, 520, 77.5671200317777),
        ((2, 20, 50, 10), 100, 38.86, 520, 3.24489795918367),
        ((2, 20, 50, 10), 100, 38.86, 1e4, 3.24489795918367),
        ((0.3, 5, 0.2, 0.8), 0, 1, 30, 1.14260309284611),  # c = a+b+x-1 = 0
        ((0.11, 2.24, 0.31, 0.5), 0, 1, 30, 0.564588615532785),  # lifetimes 302
        ((0.25, 4, 1e-6, 1000), 2, 38.86, 1e4, 524.964846569241),
        ((1, 7, 3, 0.1), 3000, 52, 1e4, 1500.99832194333),
        ((0.5, 3, 6, 2), 0, 520, 0.001, 9.56021916324589e-7),
        ((1000, 900, 30, 4000), 0, 38.86, 1e4, 138.931034482759),
        ((1e4, 1e4, 1e5, 1e6), 2, 38.86, 520, 11.0001200012),
    ],
)
def test_holes_of_the_closed_form(parameters, x, age, horizon, expected):
    found = bg_nbd.expected_if_alive(BgNbd(*parameters), x=x, age=age, horizon=horizon)
    assert found == pytest.approx(expected, rel=2e-10)


def test_nothing_in_no_time():
    found = bg_nbd.expected_if_alive(PAPER, x=[0, 3], age=[0.0, 9.0], horizon=0)
    assert found.tolist() == [0, 0]


def test_without_dropout_purchases_go_on():
    # a -> 0: (r + x) t / (alpha + T), here 2.5 * 10 / 20.
    found = bg_nbd.expected_if_alive(BgNbd(0.5, 8, 1e-12, 2), x=2, age=12, horizon=10)
    assert found == pytest.approx(1.25, rel=1e-9)


@settings(deadline=None)
@given(params, st.integers(0, 3000), st.floats(0, 500), st.floats(0.01, 1e4))
@example(BgNbd(1, 1, 1, 1), 0, 0.0, 1.0)
@example(BgNbd(0.5, 1, 0.5, 0.5), 0, 0.0, 1e4)
def test_closed_form_and_integral_agree(model, x, age, horizon):
    found = bg_nbd.expected_if_alive(model, x=x, age=age, horizon=horizon)
    ratio = np.array([horizon / (model.alpha + age)])
    other = bg_nbd._over_dropout(model, x=np.array([float(x)]), ratio=ratio)[0]
    assert found == pytest.approx(other, rel=1e-8)
    assert 0 <= found <= (model.r + x) * ratio[0] * (1 + 1e-12)


def test_many_holes_are_filled_in_blocks():
    x = np.arange(5000) % 7
    found = bg_nbd.expected_if_alive(
        BgNbd(1, 7, 1, 2.4), x=x, age=np.full(5000, 38.86), horizon=30
    )
    assert found.shape == (5000,)
    np.testing.assert_allclose(found[x == 2], 1.60386286254878, rtol=1e-12)
    assert np.unique(found).size == 7


# The likelihood -------------------------------------------------------------


def test_log_likelihood_of_one_time_buyers_by_hand():
    # x = 0: nothing in T, (alpha / (alpha + T))^r = (4 / 16)^0.5 = 1/2 each.
    rows = distinct_rows([[0, 0], [0, 0], [12, 12]])
    value, _ = bg_nbd.log_likelihood(rows)(np.array([0.5, 4.0, 0.8, 2.0]))
    assert value == pytest.approx(2 * math.log(0.5), rel=1e-14)


@settings(deadline=None)
@given(params, customers())
def test_log_likelihood_as_in_the_paper(model, rows):
    # Equation (6) of Fader, Hardie & Lee with gamma functions.
    x, recency, age = rows
    r, alpha, a, b = model
    again = np.maximum(x, 1)
    log_start = gammaln(r + x) - gammaln(r) + r * math.log(alpha)
    stays = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
    leaves = (
        betaln(a + 1, b + again - 1) - betaln(a, b) - (r + x) * np.log(alpha + recency)
    )
    each = np.where(x > 0, np.logaddexp(stays, leaves), stays) + log_start
    value, _ = bg_nbd.log_likelihood(distinct_rows(rows))(np.array(model))
    assert value == pytest.approx(each.sum(), rel=1e-10, abs=1e-10)


@settings(deadline=None)
@given(params, customers())
def test_gradient_is_that_of_the_likelihood(model, rows):
    objective = bg_nbd.log_likelihood(distinct_rows(rows))
    center = np.array(model)
    _, gradient = objective(center)
    for i, size in enumerate(center):
        step = np.zeros(4)
        step[i] = 1e-5 * size
        slope = (objective(center + step)[0] - objective(center - step)[0]) / (
            2 * step[i]
        )
        assert gradient[i] * size == pytest.approx(slope * size, rel=1e-5, abs=1e-5)


# Laws -----------------------------------------------------------------------


@pytest.mark.parametrize("unit", [7.0, 1 / 86_400, 365.25])
def test_unit_of_time_changes_alpha_alone(cdnow, unit):
    sample, weeks = cdnow
    fit = bg_nbd.fit(sample.x, recency=sample.recency / unit, age=sample.age / unit)
    factor = np.array([1, 7 / unit, 1, 1])
    np.testing.assert_allclose(fit.estimates, weeks.estimates * factor, rtol=1e-9)
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        np.array(list(weeks.standard_errors.values())) * factor,
        rtol=1e-6,
    )
    assert fit.log_likelihood == pytest.approx(
        weeks.log_likelihood - 2457 * math.log(7 / unit), abs=1e-6
    )


def test_days_by_hand(cdnow):
    # alpha 30.8952 and log-likelihood -14363.5304 in days.
    sample, _ = cdnow
    fit = bg_nbd.fit(sample.x, recency=sample.recency, age=sample.age)
    assert fit.params["alpha"] == pytest.approx(30.8952, abs=5e-5)
    assert fit.log_likelihood == pytest.approx(-14363.5304, abs=5e-5)


def test_order_and_counting_change_nothing(cdnow):
    sample, fit = cdnow
    order = np.random.default_rng(0).permutation(sample.x.size)
    shuffled = bg_nbd.fit(
        sample.x[order], recency=sample.recency[order] / 7, age=sample.age[order] / 7
    )
    rows = distinct_rows([sample.x, sample.recency / 7, sample.age / 7])
    x, recency, age = rows.columns
    counted = bg_nbd.fit(x, recency=recency, age=age, counts=rows.counts)
    for other in (shuffled, counted):
        assert np.array_equal(other.estimates, fit.estimates)
        assert np.array_equal(other.covariance, fit.covariance)


def test_warm_start_changes_nothing(cdnow):
    sample, fit = cdnow
    warm = bg_nbd.fit(
        sample.x, recency=sample.recency / 7, age=sample.age / 7, n_warm=300
    )
    np.testing.assert_allclose(warm.estimates, fit.estimates, rtol=1e-9)


@settings(deadline=None)
@given(params, customers())
def test_predictions_are_what_they_are_called(model, rows):
    x, recency, age = rows
    alive = bg_nbd.p_alive(model, x=x, recency=recency, age=age)
    assert np.all((alive >= 0) & (alive <= 1))
    assert np.all(alive[x == 0] == 1)
    short, long = (
        bg_nbd.expected_purchases(model, x=x, recency=recency, age=age, horizon=h)
        for h in (10.0, 20.0)
    )
    assert np.all(short >= 0)
    assert np.all(long >= short)


@settings(deadline=None)
@given(params, st.integers(1, 20), st.floats(1, 50))
def test_waiting_makes_alive_less_likely(model, x, recency):
    assume(recency > 0)
    ages = recency * np.array([1.0, 1.5, 2.0, 5.0])
    alive = bg_nbd.p_alive(model, x=x, recency=recency, age=ages)
    assert np.all(np.diff(alive) <= 0)


# Truth ----------------------------------------------------------------------


def test_truth_is_recovered():
    truth = BgNbd(0.9, 49.0, 0.6, 3.6)
    rng = np.random.default_rng(20)
    x, recency, age = draw_customers(150_000, rng, truth=truth, period=728)
    fit = bg_nbd.fit(x, recency=recency, age=age)
    errors = np.array(list(fit.standard_errors.values()))
    assert np.all(np.abs(fit.estimates - np.array(truth)) < 3 * errors)
    assert np.all(errors / fit.estimates < 0.03)


@pytest.mark.slow
def test_intervals_cover_the_truth():
    truth = BgNbd(0.8, 40.0, 0.7, 3.0)
    rng = np.random.default_rng(4)
    n_runs, inside = 300, np.zeros(4)
    for _ in range(n_runs):
        x, recency, age = draw_customers(1500, rng, truth=truth, period=540)
        fit = bg_nbd.fit(x, recency=recency, age=age)
        assert fit.at_bound == ()
        errors = np.array(list(fit.standard_errors.values())) / fit.estimates
        inside += np.abs(np.log(fit.estimates / np.array(truth))) < 1.96 * errors
    assert np.all((inside / n_runs >= 0.92) & (inside / n_runs <= 0.98)), inside


def test_expected_purchases_come_true():
    # What 60,000 customers buy in the next 180 days, from the true parameters.
    truth = BgNbd(0.8, 40.0, 0.7, 3.0)
    rng = np.random.default_rng(8)
    n, age, horizon = 60_000, 300.0, 180.0
    rate = rng.gamma(truth.r, 1 / truth.alpha, n)
    leaves = rng.geometric(rng.beta(truth.a, truth.b, n))
    before, after = rng.poisson(rate * age), rng.poisson(rate * horizon)
    x = np.minimum(before, leaves)
    last = rng.beta(np.maximum(x, 1), before + 1.0 - np.minimum(x, before)) * age
    recency = np.where(x > 0, last, 0.0)
    to_come = np.clip(leaves - before, 0, after)
    expected = bg_nbd.expected_purchases(
        truth, x=x, recency=recency, age=np.full(n, age), horizon=horizon
    )
    error = to_come.std() / math.sqrt(n)
    assert expected.mean() == pytest.approx(to_come.mean(), abs=4 * error)
    alive = bg_nbd.p_alive(truth, x=x, recency=recency, age=np.full(n, age))
    assert alive.mean() == pytest.approx((leaves > before).mean(), abs=0.006)
    for group in np.array_split(np.argsort(expected), 10):  # calibrated by decile
        noise = 4 * to_come[group].std() / math.sqrt(group.size) + 1e-3
        assert expected[group].mean() == pytest.approx(to_come[group].mean(), abs=noise)


# Edges ----------------------------------------------------------------------


def test_no_dropout_is_said_to_be_undetermined():
    rng = np.random.default_rng(1)
    age = rng.uniform(200, 300, 1500)
    x = rng.poisson(rng.gamma(0.5, 1 / 40, 1500) * age)
    recency = np.where(x > 0, age * rng.beta(np.maximum(x, 1), 1), 0.0)
    fit = bg_nbd.fit(x, recency=recency, age=age)
    assert {"a", "b"} & set(fit.at_bound)
    assert fit.covariance is None
    assert fit.standard_errors == {}
    assert fit.params["r"] == pytest.approx(0.5, rel=0.2)
    expected = bg_nbd.expected_purchases(
        BgNbd(**fit.params), x=x, recency=recency, age=age, horizon=100
    )
    assert expected.mean() == pytest.approx(0.5 / 40 * 100, rel=0.1)


def test_equal_customers_are_said_to_be_undetermined():
    # x = 6..9 in 200..300 days: less spread than even one common rate would give.
    age = np.linspace(200, 300, 1500)
    x = np.round(0.03 * age)
    fit = bg_nbd.fit(x, recency=age - 10, age=age)
    assert "r" in fit.at_bound
    assert fit.standard_errors == {}
    assert fit.params["r"] / fit.params["alpha"] == pytest.approx(0.03, rel=0.03)


def test_one_heavy_buyer_does_not_break_the_fit():
    sample = calibration()
    fit = bg_nbd.fit(
        np.append(sample.x, 2500),
        recency=np.append(sample.recency, 271),
        age=np.append(sample.age, 272),
    )
    assert fit.at_bound == ()
    assert fit.gradient < 1e-9


@pytest.mark.parametrize(
    ("x", "recency", "age", "message"),
    [
        ([0, 0, 0], [0, 0, 0], [5, 6, 7], "none of the 3 customers bought a second"),
        ([1, 1], [0, 0], [0, 0], "observed for any time"),
        ([2, 2, 2], [3, 3, 3], [9, 9, 9], "all 3 customers are the same"),
        ([1, 1], [9, 2], [5, 5], "1 of 2 customers are impossible"),
        ([1.5, 1], [1, 2], [5, 5], "1 of 2 customers are impossible"),
        ([-1, 1], [0, 2], [5, 5], "1 of 2 customers are impossible"),
        ([0, 1], [3, 2], [5, 5], "1 of 2 customers are impossible"),
        ([], [], [], "none of the 0 customers"),
    ],
)
def test_data_without_an_answer(x, recency, age, message):
    with pytest.raises(FitError, match=message):
        bg_nbd.fit(x, recency=recency, age=age)
