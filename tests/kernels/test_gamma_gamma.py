"""Gamma-Gamma against the published note, lifetimes and simulated truth."""

import math
import warnings

import numpy as np
import pytest
from cdnow import calibration
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gammaln

from selfloop.core.errors import FitError
from selfloop.kernels import gamma_gamma
from selfloop.kernels.fitting import distinct_rows
from selfloop.kernels.gamma_gamma import GammaGamma

positive = st.floats(0.1, 50.0)
params = st.builds(GammaGamma, positive, positive, positive)


@st.composite
def spenders(draw):
    """Rows of x and total."""
    n = draw(st.integers(1, 8))
    x = draw(st.lists(st.integers(1, 30), min_size=n, max_size=n))
    mean = draw(st.lists(st.floats(0.01, 1000), min_size=n, max_size=n))
    return np.array(x, dtype=float), np.array(x) * np.array(mean)


def draw_spenders(n, rng, *, truth):
    """Draw customers with 1 to 8 purchases from the model."""
    x = rng.integers(1, 9, n)
    return x, rng.gamma(truth.p * x) / rng.gamma(truth.q, 1 / truth.v, n)


@pytest.fixture(scope="module")
def cdnow():
    """Repeat buyers of the calibration sample and their fit."""
    sample = calibration()
    again = sample.x > 0
    x, total = sample.x[again], sample.repeat_total[again]
    return x, total, gamma_gamma.fit(x, total=total)


def test_cdnow_estimates(cdnow):
    # Fader & Hardie note 025: 6.25 3.74 15.44; CLVTools: log-likelihood -4055.9177.
    x, _, fit = cdnow
    assert x.size == 946
    np.testing.assert_allclose(fit.estimates, [6.25, 3.744, 15.44], rtol=3e-4)
    np.testing.assert_allclose(
        fit.estimates, [6.249572, 3.744225, 15.443521], rtol=1e-6
    )
    np.testing.assert_allclose(
        list(fit.standard_errors.values()), [1.19006, 0.29013, 4.15942], atol=6e-6
    )
    assert fit.log_likelihood == pytest.approx(-4055.917695, abs=1e-6)


def test_cdnow_expected_spend(cdnow):
    # Note 025, customers 1 to 10.
    sample = calibration()
    found = gamma_gamma.expected_spend(
        GammaGamma(**cdnow[2].params), x=sample.x[:10], total=sample.repeat_total[:10]
    )
    printed = [
        24.65, 18.91, 35.17, 35.17, 35.17, 71.46, 18.91, 35.17, 27.28, 35.17
    ]  # fmt: skip
    np.testing.assert_allclose(found, printed, atol=0.0055)


def test_agrees_with_lifetimes(cdnow):
    x, total, fit = cdnow
    with warnings.catch_warnings():  # the package warns, and silences warnings
        warnings.simplefilter("ignore")
        from lifetimes import GammaGammaFitter  # noqa: PLC0415 - must not leak filters

        other = GammaGammaFitter().fit(x, total / x)
        theirs = GammaGamma(*other.params_[["p", "q", "v"]])
        expected = other.conditional_expected_average_profit(x, total / x)
    np.testing.assert_allclose(fit.estimates, theirs, rtol=1e-3)
    ours = gamma_gamma.expected_spend(theirs, x=x, total=total)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    value, _ = gamma_gamma.log_likelihood(distinct_rows([x, total]))(np.array(theirs))
    per_person = -other._negative_log_likelihood_
    assert value == pytest.approx(per_person * x.size, abs=1e-4)
    assert fit.log_likelihood >= value


def test_likelihood_by_hand():
    # p = q = v = 1, one purchase of 1: the mixture of nu e^-nu e^-nu over nu is
    # Int nu e^(-2 nu) d nu = 1/4.
    value, _ = gamma_gamma.log_likelihood(distinct_rows([[1], [1.0]]))(np.ones(3))
    assert value == pytest.approx(math.log(0.25), rel=1e-14)


@pytest.mark.parametrize(("x", "mean"), [(1, 30.0), (3, 12.0), (8, 55.0)])
def test_likelihood_is_the_mixture(x, mean):
    # The mean of x purchases is Gamma(p x, rate nu x); average over nu by quadrature.
    p, q, v = 6.25, 3.744, 15.44

    def density(nu):
        of_mean = (
            p * x * math.log(nu * x)
            + (p * x - 1) * math.log(mean)
            - nu * x * mean
            - gammaln(p * x)
        )
        of_nu = q * math.log(v) + (q - 1) * math.log(nu) - v * nu - gammaln(q)
        return math.exp(of_mean + of_nu)

    exact, _ = quad(density, 0, 3, epsabs=0, epsrel=1e-12, limit=200)
    rows = distinct_rows([[x], [x * mean]])
    value, _ = gamma_gamma.log_likelihood(rows)(np.array([p, q, v]))
    assert value == pytest.approx(math.log(exact), rel=1e-10)


@settings(deadline=None)
@given(params, spenders())
def test_gradient_is_that_of_the_likelihood(model, rows):
    objective = gamma_gamma.log_likelihood(distinct_rows(rows))
    center = np.array(model)
    _, gradient = objective(center)
    for i, size in enumerate(center):
        step = np.zeros(3)
        step[i] = 1e-5 * size
        slope = (objective(center + step)[0] - objective(center - step)[0]) / (
            2 * step[i]
        )
        assert gradient[i] * size == pytest.approx(slope * size, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize(
    ("m", "n", "exact"),
    [  # 50-digit arithmetic; scipy's betaln is 1e-9 off in the first
        (12.5, 1e6, 153.95960633732948),
        (0.3, 5e4, 2.1501333905022093),
        (1e6, 0.7, 9.4099900390433317),
        (25.0, 21.0, 32.003587780261411),
        (4.0, 19.0, 10.283976674574115),
        (3e5, 2e5, 336510.76218907812),
    ],
)
def test_inverse_beta_of_large_numbers(m, n, exact):
    found = gamma_gamma._log_inverse_beta(np.array([m]), n)[0]
    assert found == pytest.approx(exact, rel=1e-14)


@settings(max_examples=10, deadline=None)
@given(st.floats(1e-3, 1e6))
def test_money_changes_v_alone(factor):
    rng = np.random.default_rng(5)
    x, total = draw_spenders(400, rng, truth=GammaGamma(4.0, 3.0, 20.0))
    fit = gamma_gamma.fit(x, total=total)
    other = gamma_gamma.fit(x, total=total * factor)
    np.testing.assert_allclose(
        other.estimates, fit.estimates * [1, 1, factor], rtol=1e-8
    )
    assert other.log_likelihood == pytest.approx(
        fit.log_likelihood - 400 * math.log(factor), abs=1e-6
    )


def test_order_and_counting_change_nothing(cdnow):
    x, total, fit = cdnow
    order = np.random.default_rng(1).permutation(x.size)
    shuffled = gamma_gamma.fit(x[order], total=total[order])
    rows = distinct_rows([x, total])
    counted = gamma_gamma.fit(
        rows.columns[0], total=rows.columns[1], counts=rows.counts
    )
    for other in (shuffled, counted):
        assert np.array_equal(other.estimates, fit.estimates)


@pytest.mark.slow
def test_intervals_cover_the_truth():
    truth = GammaGamma(5.0, 4.0, 30.0)
    rng = np.random.default_rng(6)
    n_runs, inside = 300, np.zeros(3)
    for _ in range(n_runs):
        x, total = draw_spenders(800, rng, truth=truth)
        fit = gamma_gamma.fit(x, total=total)
        errors = np.array(list(fit.standard_errors.values())) / fit.estimates
        inside += np.abs(np.log(fit.estimates / np.array(truth))) < 1.96 * errors
    assert np.all((inside / n_runs >= 0.92) & (inside / n_runs <= 0.98)), inside


def test_expected_spend_comes_true():
    # The next purchase of those who spent a given amount, by decile of expectation.
    truth = GammaGamma(5.0, 4.0, 30.0)
    rng = np.random.default_rng(7)
    n = 200_000
    nu = rng.gamma(truth.q, 1 / truth.v, n)
    x = rng.integers(0, 5, n)
    total = rng.gamma(np.maximum(truth.p * x, 1e-9)) / nu * (x > 0)
    to_come = rng.gamma(truth.p, size=n) / nu
    expected = gamma_gamma.expected_spend(truth, x=x, total=total)
    for group in np.array_split(np.argsort(expected), 10):
        noise = 4 * to_come[group].std() / math.sqrt(group.size)
        assert expected[group].mean() == pytest.approx(to_come[group].mean(), abs=noise)


def test_expected_spend_by_hand():
    # p (v + s) / (p x + q - 1): 2 (6 + 0) / 2 = 6; 2 (6 + 14) / (2 * 2 + 2) = 20/3.
    found = gamma_gamma.expected_spend(GammaGamma(2, 3, 6), x=[0, 2], total=[0, 14])
    np.testing.assert_allclose(found, [6, 20 / 3], rtol=1e-14)


def test_a_mean_that_does_not_exist_is_missing():
    uneven = GammaGamma(0.5, 0.4, 10)
    assert not gamma_gamma.has_mean(uneven)
    found = gamma_gamma.expected_spend(uneven, x=[0, 1, 2], total=[0, 5, 9])
    # p x + q - 1 = -0.6, -0.1, 0.4
    assert np.isnan(found[:2]).all()
    assert found[2] == pytest.approx(0.5 * 19 / 0.4)


def test_very_uneven_spend_gives_q_below_1():
    rng = np.random.default_rng(9)
    x, total = draw_spenders(3000, rng, truth=GammaGamma(3.0, 0.7, 5.0))
    fit = gamma_gamma.fit(x, total=total)
    assert fit.params["q"] == pytest.approx(0.7, abs=0.07)
    assert not gamma_gamma.has_mean(GammaGamma(**fit.params))


def test_customers_all_alike_are_said_to_be_undetermined():
    # Each purchase varies, customers do not: q and v run away, their ratio stays.
    rng = np.random.default_rng(10)
    x = np.full(500, 4)
    total = rng.permutation(np.linspace(38, 42, 500))
    fit = gamma_gamma.fit(x, total=total)
    assert fit.at_bound
    assert fit.standard_errors == {}
    p, q, v = fit.estimates
    assert p * v / (q - 1) == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize(
    ("x", "total", "message"),
    [
        ([1, 0], [5.0, 5.0], "1 of 2 customers have no purchase"),
        ([1, 2], [5.0, 0.0], "1 of 2 customers have no purchase"),
        ([1, 1], [5.0, 5.0], "2 customers with 1 distinct value"),
        ([], [], "0 customers with 0 distinct value"),
    ],
)
def test_data_without_an_answer(x, total, message):
    with pytest.raises(FitError, match=message):
        gamma_gamma.fit(x, total=total)
