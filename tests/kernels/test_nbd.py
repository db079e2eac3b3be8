"""NBD against papers, high-precision values, numerical integration, simulated truth."""

import math

import numpy as np
import pytest
from cdnow import calibration
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import gamma, nbinom

from selfloop.kernels import nbd, rising
from selfloop.kernels.nbd import MODEL, Nbd
from selfloop.kernels.purchase_fit import fit_purchases
from selfloop.kernels.rows import Rows, distinct_rows

CDNOW = Nbd(0.384766, 12.072024)

positive = st.floats(0.05, 20.0)
params = st.builds(Nbd, positive, positive)


@st.composite
def customers(draw, max_x=30):
    """Rows of possible customers: x, t_x, T."""
    n = draw(st.integers(1, 8))
    x = np.array(draw(st.lists(st.integers(0, max_x), min_size=n, max_size=n)), float)
    age = np.array(draw(st.lists(st.floats(0.01, 100), min_size=n, max_size=n)))
    return x, np.where(x > 0, 0.5 * age, 0.0), age


def rows_of(x, recency, age):
    """One row per customer, in the order given."""
    columns = tuple(np.asarray(v, dtype=np.float64) for v in (x, recency, age))
    return Rows(columns, np.ones(columns[0].size))


def draw_customers(n, rng, *, truth, period):
    """Draw customers who buy at their rate for ever."""
    age = rng.uniform(0.2 * period, period, n)
    x = rng.poisson(rng.gamma(truth.r, 1 / truth.alpha, n) * age)
    recency = np.where(x > 0, age * rng.beta(np.maximum(x, 1), 1), 0.0)
    return x, recency, age


# Published numbers ----------------------------------------------------------


def test_cdnow_estimates():
    # Fader, Hardie & Lee 2005: .385 12.072, -9763.7; from an independent fit:
    # .384766 12.072024, -9763.6576.
    sample = calibration()
    fit = fit_purchases(MODEL, sample.x, recency=sample.recency / 7, age=sample.age / 7)
    assert list(fit.params) == ["r", "alpha"]
    np.testing.assert_allclose(fit.estimates, [0.385, 12.072], atol=5e-4)
    np.testing.assert_allclose(fit.estimates, [0.384766, 12.072024], rtol=2e-6)
    assert fit.log_likelihood == pytest.approx(-9763.6576, abs=5e-5)
    assert fit.at_bound == ()


def test_unit_of_time_changes_alpha_alone():
    sample = calibration()
    weeks, seconds = (
        fit_purchases(MODEL, sample.x, recency=sample.recency * u, age=sample.age * u)
        for u in (1 / 7, 86_400.0)
    )
    factor = np.array([1, 7 * 86_400])
    np.testing.assert_allclose(seconds.estimates, weeks.estimates * factor, rtol=1e-8)
    assert seconds.log_likelihood == pytest.approx(
        weeks.log_likelihood - 2457 * math.log(7 * 86_400), abs=1e-6
    )


# Products of rising factors -------------------------------------------------


@pytest.mark.parametrize(
    ("start", "n", "more", "expected"),
    [  # mpmath at 50 digits: L(c+e) - L(c), L(c) = loggamma(c+n) - loggamma(c)
        (0.5, 3, 1e-12, 3.06666666666436e-12),
        (2, 10**6, -0.5, -6.78697366634652),
        (1e-6, 25, 1e-6, 0.693150956515717),
        (1e6, 25, 1e-9, 2.49997000048999e-14),
        (1e6, 1, 1e5, 0.0953101798043249),
        (3, 10**7, 1e5, 560986.376955783),
        (19.9, 20, -0.9999, -0.721758767496085),
        (7.0, 0, 0.5, 0.0),
    ],
)
def test_gain_of_rising_products(start, n, more, expected):
    assert rising.log_rising_gain(start, n, more) == pytest.approx(expected, rel=2e-11)


@settings(deadline=None)
@given(st.floats(1e-3, 1e6), st.integers(0, 60), st.floats(-0.9, 1e3))
def test_rising_products_factor_by_factor(start, n, more):
    factors = start + np.arange(n)
    logs = np.log(factors)
    # log(c) of a factor near 1 has an error of eps itself, not relative to the log.
    room = 1e-13 * (1 + np.abs(logs).sum())
    assert rising.log_rising(start, n) == pytest.approx(logs.sum(), abs=room)
    slope = rising.rising_slope(start, n)
    assert slope == pytest.approx((1 / factors).sum(), rel=1e-10)
    if more > -start:
        gain = np.log1p(more / factors).sum()
        found = rising.log_rising_gain(start, n, more)
        assert found == pytest.approx(gain, rel=1e-9, abs=1e-13)


def test_gain_of_many_at_once():
    start = np.array([[0.5], [3.0], [40.0]])
    n = np.array([0, 5, 19, 20, 500])
    found = rising.log_rising_gain(start, n, 0.7)
    by_one = [[rising.log_rising_gain(c, m, 0.7) for m in n] for c in start[:, 0]]
    np.testing.assert_allclose(found, by_one, rtol=1e-15)


@pytest.mark.parametrize(
    ("n", "shape", "ratio", "expected"),
    [  # mpmath at 50 digits: loggamma(k+n) - loggamma(k) - loggamma(n+1)
        #                      - k log1p(R) + n log(R/(1+R))
        (0, 2.5, 1e-8, -2.4999999875e-8),
        (3, 1e-6, 10, -15.2000542839413),
        (20_000, 20_000.5, 1, -6.21725902475271),
        (70_000_000, 9e4, 800, -48.6141456382781),
        (1, 1e-6, 1e5, -13.8155320708497),
        (5000, 0.3, 1e4, -10.3209613408489),
        (40, 1e5, 1e-4, -28.212936855137),
    ],
)
def test_extreme_probabilities(n, shape, ratio, expected):
    found = rising.log_pmf(n, shape=shape, ratio=ratio)
    assert found == pytest.approx(expected, rel=1e-12)


def test_probabilities_at_the_edge_of_floats():
    # k/(N q) rounds to 0 here, and nothing may become infinite or NaN.
    assert math.isfinite(rising.log_pmf(10**9, shape=1e-10, ratio=1.0))
    assert rising.log_pmf(3, shape=2.0, ratio=0.0) == -math.inf
    assert rising.log_pmf(0, shape=2.0, ratio=0.0) == 0


# The likelihood -------------------------------------------------------------


def test_log_likelihood_by_hand():
    # x = 0: (alpha/(alpha+T))^r = (4/16)^0.5 = 1/2. x = 2, r = 1: 1 * 2 * 4 / 16^3.
    found = nbd.each(Nbd(0.5, 4.0), rows_of([0], [0], [12])).log_likelihood
    assert found[0] == pytest.approx(math.log(0.5), rel=1e-14)
    found = nbd.each(Nbd(1.0, 4.0), rows_of([2], [5], [12])).log_likelihood
    assert found[0] == pytest.approx(math.log(8 / 16**3), rel=1e-14)


@pytest.mark.parametrize("x", [0, 1, 7, 40])
def test_likelihood_is_the_integral_over_rates(x):
    model, age = Nbd(0.7, 5.0), 30.0
    density = gamma(model.r, scale=1 / model.alpha).pdf
    total, _ = quad(
        lambda y: density(math.exp(y)) * math.exp((x + 1) * y - math.exp(y) * age),
        -40,
        3,
        points=[math.log((x + model.r) / (age + model.alpha))],
        epsabs=0,
        epsrel=1e-11,
        limit=500,
    )
    found = nbd.each(model, rows_of([x], [min(x, 1)], [age])).log_likelihood[0]
    assert found == pytest.approx(math.log(total), rel=1e-9)


@settings(deadline=None)
@given(params, customers())
@example(
    Nbd(1e5, 1e6), (np.array([3.0, 0.0]), np.array([1.0, 0.0]), np.array([9.0, 0.0]))
)
def test_sum_and_rows_agree(model, rows):
    counts = 1.0 + np.arange(rows[0].size)
    distinct = distinct_rows(rows, counts=counts)
    value, gradient = nbd.objective(distinct)(np.array(model))
    found = nbd.each(model, distinct)
    assert value == pytest.approx(
        (found.log_likelihood * distinct.counts).sum(), rel=1e-11, abs=1e-9
    )
    by_row = (found.gradient * distinct.counts).sum(axis=1)
    np.testing.assert_allclose(gradient, by_row, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(params, customers())
def test_gradient_is_that_of_the_likelihood(model, rows):
    rows = rows_of(*rows)
    found = nbd.each(model, rows)
    for i, size in enumerate(model):
        step = np.zeros(2)
        step[i] = 1e-5 * size
        up, down = (
            nbd.each(np.array(model) + s, rows).log_likelihood for s in (step, -step)
        )
        np.testing.assert_allclose(
            found.gradient[i] * size, (up - down) / 2e-5, rtol=1e-6, atol=1e-6
        )


# Predictions ----------------------------------------------------------------


def test_predictions_by_hand():
    # (r + x) t / (alpha + T) = 2.5 * 10 / 20.
    args = {"x": [2, 0], "recency": [3, 0], "age": [12.0, 0.0]}
    found = nbd.expected_if_alive((0.5, 8.0), **args, horizon=10)
    assert found.tolist() == [1.25, 0.625]
    assert nbd.p_alive((0.5, 8.0), **args).tolist() == [1, 1]
    assert MODEL.expected_new((0.5, 8.0), [0, 16]).tolist() == [0, 1]
    assert MODEL.pmf_new((1.0, 1.0), n=[0, 1], horizon=1.0) == pytest.approx(
        [0.5, 0.25]
    )


@settings(deadline=None)
@given(params, st.integers(0, 30), st.floats(0, 100), st.floats(0.01, 50))
def test_probabilities_are_negative_binomial(model, x, age, horizon):
    n = np.arange(60)
    args = {"x": x, "recency": min(x, 1) * age, "age": age, "horizon": horizon}
    found = nbd.pmf_if_alive(model, n=n, **args)
    share = (model.alpha + age) / (model.alpha + age + horizon)
    np.testing.assert_allclose(found, nbinom.pmf(n, model.r + x, share), rtol=1e-9)


@pytest.mark.parametrize("x", [0, 3, 20_000])
def test_probabilities_sum_to_one_around_the_expectation(x):
    args = {"x": x, "recency": 20.0 * (x > 0), "age": 30.0, "horizon": 100.0}
    n = np.arange(120_000)
    found = nbd.pmf_if_alive(CDNOW, n=n, **args)
    assert found.sum() == pytest.approx(1, abs=1e-10)
    expected = nbd.expected_if_alive(CDNOW, **args)
    assert (n * found).sum() == pytest.approx(float(expected), rel=1e-9)


def test_extremes_are_finite():
    args = {"x": [0, 20_000, 0], "recency": [0, 9e3, 0], "age": [0, 1e4, 1e4]}
    for model in (Nbd(1e-6, 1e-6), Nbd(1e6, 1e-6), Nbd(1e-6, 1e6), Nbd(1e6, 1e6)):
        for horizon in (0.0, 1e4):
            found = nbd.expected_if_alive(model, **args, horizon=horizon)
            assert np.isfinite(found).all()
            for n in (0, 1, 10_000):
                chance = nbd.pmf_if_alive(model, n=n, **args, horizon=horizon)
                assert np.all((chance >= 0) & (chance <= 1 + 1e-12))
        assert np.isfinite(nbd.each(model, rows_of(**args)).log_likelihood).all()


def test_draws_have_their_probabilities():
    args = {"x": 3, "recency": 9.0, "age": 20.0, "horizon": 25.0}
    rng = np.random.default_rng(1)
    n_draws = 60_000
    drawn = nbd.draw_if_alive(CDNOW, **args | {"x": np.full(n_draws, 3)}, rng=rng)
    expected = float(nbd.expected_if_alive(CDNOW, **args))
    error = drawn.std() / math.sqrt(n_draws)
    assert drawn.mean() == pytest.approx(expected, abs=4 * error)
    chance = nbd.pmf_if_alive(CDNOW, n=np.arange(8), **args)
    shares = np.bincount(drawn, minlength=8)[:8] / n_draws
    room = 4 * np.sqrt(chance * (1 - chance) / n_draws)
    assert np.all(np.abs(shares - chance) < room)


def test_parameters_may_differ_between_customers():
    r, alpha = np.array([0.3, 1.0, 25.0]), np.array([4.0, 9.0, 70.0])
    x, recency, age = np.array([0, 4, 2]), np.array([0, 3.0, 8]), np.array([5, 9.0, 8])
    kwargs = {"x": x, "recency": recency, "age": age}
    found = nbd.each((r, alpha), rows_of(**kwargs))
    expected = nbd.expected_if_alive((r, 4.0), **kwargs, horizon=[1, 2, 3])
    chance = nbd.pmf_if_alive((0.3, alpha), n=[0, 1, 2], **kwargs, horizon=2)
    assert nbd.p_alive((r[:, None], alpha), **kwargs).shape == (3, 3)
    for i in range(3):
        one = {k: v[i] for k, v in kwargs.items()}
        row = nbd.each((r[i], alpha[i]), rows_of(x[[i]], recency[[i]], age[[i]]))
        assert found.log_likelihood[i] == pytest.approx(
            row.log_likelihood[0], rel=1e-14
        )
        np.testing.assert_allclose(found.gradient[:, i], row.gradient[:, 0], rtol=1e-14)
        alone = nbd.expected_if_alive((r[i], 4.0), **one, horizon=i + 1)
        assert expected[i] == pytest.approx(float(alone), rel=1e-14)
        alone = nbd.pmf_if_alive((0.3, alpha[i]), n=i, **one, horizon=2)
        assert chance[i] == pytest.approx(float(alone), rel=1e-12)
        assert alone.shape == ()


# Truth ----------------------------------------------------------------------


def test_truth_is_recovered():
    truth = Nbd(0.9, 49.0)
    rng = np.random.default_rng(20)
    x, recency, age = draw_customers(100_000, rng, truth=truth, period=728)
    fit = fit_purchases(MODEL, x, recency=recency, age=age)
    errors = np.array(list(fit.standard_errors.values()))
    assert np.all(np.abs(fit.estimates - np.array(truth)) < 3 * errors)
    assert np.all(errors / fit.estimates < 0.02)


@pytest.mark.slow
def test_intervals_cover_the_truth():
    truth = Nbd(0.8, 40.0)
    rng = np.random.default_rng(5)
    n_runs, inside = 400, np.zeros(2)
    for _ in range(n_runs):
        x, recency, age = draw_customers(1000, rng, truth=truth, period=540)
        fit = fit_purchases(MODEL, x, recency=recency, age=age)
        errors = np.array(list(fit.standard_errors.values())) / fit.estimates
        inside += np.abs(np.log(fit.estimates / np.array(truth))) < 1.96 * errors
    assert np.all((inside / n_runs >= 0.92) & (inside / n_runs <= 0.98)), inside


def test_equal_rates_are_said_to_be_undetermined():
    # Less spread than one common rate would give: r and alpha run away together.
    age = np.linspace(200, 300, 1500)
    fit = fit_purchases(MODEL, np.round(0.03 * age), recency=age - 10, age=age)
    assert {"r", "alpha"} & set(fit.at_bound)
    assert fit.standard_errors == {}
    assert fit.params["r"] / fit.params["alpha"] == pytest.approx(0.03, rel=0.03)
