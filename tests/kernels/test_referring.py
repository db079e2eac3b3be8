"""Referrals to come: by hand, against scipy, simulation, laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import approx_fprime

from selfloop.core.errors import FitError
from selfloop.kernels.growing import Growth, fit_growth, mean_by_age
from selfloop.kernels.keenness import each, fit_spread, fit_spread_by, objective
from selfloop.kernels.referring import (
    expected_more,
    quantile_of_more,
    value_quantile,
    variance_of_more,
)
from selfloop.kernels.rows import distinct_rows


def test_likelihood_is_that_of_a_negative_binomial():
    y, mean = np.array([0, 1, 4, 0, 12]), np.array([0.3, 0.3, 1.2, 2.0, 0.7])
    for k in (0.05, 1.0, 7.5):
        value, _ = objective(distinct_rows([y, mean]))(np.array([k]))
        other = stats.nbinom.logpmf(y, k, k / (k + mean)).sum()
        assert value == pytest.approx(other, rel=1e-12)


@pytest.mark.parametrize("k", [0.02, 0.4, 3.0, 50.0])
def test_gradient_is_that_of_differences(k):
    of_k = objective(distinct_rows([[0, 0, 1, 9, 3], [0.2, 1.5, 0.4, 0.8, 3.0]]))
    _, gradient = of_k(np.array([k]))
    differences = approx_fprime(np.array([k]), lambda v: of_k(v)[0], 1e-6 * k)
    assert gradient == pytest.approx(differences, rel=1e-4)


def test_expected_more_by_hand():
    # k = 1/2, M = 1/2 now and 3/4 then: who brought nobody has the tendency 1/2, who
    # brought two 5/2, each times the quarter to come.
    found = expected_more(0.5, y=[0, 2], mean=0.5, mean_later=0.75)
    assert found.tolist() == [0.125, 0.625]
    # Before anything could be seen everybody is like everybody: M itself.
    assert expected_more(0.3, y=0, mean=0.0, mean_later=0.8) == pytest.approx(0.8)


@pytest.mark.parametrize("level", [0.025, 0.5, 0.975])
def test_quantiles_are_those_of_scipy(level):
    rng = np.random.default_rng(3)
    y, now = rng.integers(0, 30, 400), rng.uniform(0, 3, 400)
    then = now + rng.uniform(0, 5, 400)
    found = quantile_of_more(0.2, level, y=y, mean=now, mean_later=then)
    shape, success = 0.2 + y, (0.2 + now) / (0.2 + then)
    other = stats.nbinom.ppf(level, shape, success)
    np.testing.assert_array_equal(found, other)


def test_mean_and_variance_are_those_of_draws():
    rng = np.random.default_rng(4)
    k, y, now, then = 0.6, 3, 0.8, 2.1
    theta = rng.gamma(k + y, 1 / (k + now), 400_000)
    more = rng.poisson(theta * (then - now))
    history = {"y": y, "mean": now, "mean_later": then}
    expected = float(expected_more(k, **history))
    variance = float(variance_of_more(k, **history))
    assert more.mean() == pytest.approx(expected, abs=4 * (variance / 400_000) ** 0.5)
    assert more.var() == pytest.approx(variance, rel=0.03)
    high = float(quantile_of_more(k, 0.975, **history))
    assert (more <= high).mean() >= 0.974
    assert (more <= high - 1).mean() < 0.976


@given(
    k=st.floats(0.01, 100),
    y=st.integers(0, 50),
    now=st.floats(0, 5),
    more=st.floats(0, 5),
    later=st.floats(0, 5),
)
def test_laws(k, y, now, more, later):
    def ahead(count, start, end):
        return float(expected_more(k, y=count, mean=start, mean_later=end))

    then = now + more
    found = ahead(y, now, then)
    assert found >= 0
    assert ahead(y + 1, now, then) >= found  # who brought more brings more
    both = found + ahead(y, now, then + later) - ahead(y, now, then)
    assert ahead(y, now, then + later) == pytest.approx(both)  # time adds up
    assert ahead(y, now, now) == 0


def test_intervals_cover_the_truth():
    # 300 shops of 2,000 customers of ages 0 to 300 days; k = 0.5. The mean by age is
    # taken as known, as it is far better known than k.
    rng = np.random.default_rng(5)
    truth, inside, logs = 0.5, [], []
    for _ in range(300):
        mean = 0.6 * -np.expm1(-rng.uniform(0, 300, 2000) / 60)
        y = rng.poisson(rng.gamma(truth, 1 / truth, 2000) * mean)
        fit = fit_spread(y, mean=mean)
        error = fit.standard_errors["k"] / fit.params["k"]
        log = np.log(fit.params["k"] / truth)
        logs.append(log)
        inside.append(abs(log) <= 1.96 * error)
    assert 0.92 <= np.mean(inside) <= 0.98
    assert abs(np.mean(logs)) < 4 * np.std(logs) / 300**0.5 + 0.01


def test_customers_who_do_not_differ_have_no_k():
    rng = np.random.default_rng(6)
    mean = rng.uniform(0.2, 1.0, 3000)
    fit = fit_spread(rng.binomial(1, mean), mean=mean)  # less spread than Poisson
    assert fit.at_bound == ("k",)
    assert fit.covariance is None


def test_growth_is_found():
    # 20,000 customers who enter evenly over 300 days.
    rng = np.random.default_rng(7)
    truth = Growth(0.5, 1.4, 45.0)
    at_risk = np.linspace(20_000, 60, 300).round()
    steps = np.diff(mean_by_age(truth, np.arange(-1, 300)))
    fit = fit_growth(rng.poisson(at_risk * steps), n_at_risk=at_risk)
    for name, value in truth._asdict().items():
        error = fit.standard_errors[name]
        assert fit.params[name] == pytest.approx(value, abs=4 * error)
        assert error < 0.1 * value


def test_growth_of_an_exponential_by_hand():
    # Mean 1 - e^(-a): 1 - 1/e of it on day 0.
    found = mean_by_age(Growth(1.0, 1.0, 1.0), [0, 1])
    assert found == pytest.approx([1 - np.exp(-1), 1 - np.exp(-2)])


def test_what_cannot_be_fitted_is_said():
    with pytest.raises(FitError, match="nobody has brought anybody"):
        fit_spread([0, 0, 0], mean=[0.1, 0.2, 0.3])
    with pytest.raises(FitError, match="at an age at which nobody brings any"):
        fit_spread([0, 1], mean=[0.5, 0.0])
    with pytest.raises(FitError, match="referrals at 1 ages"):
        fit_growth([0, 3, 0], n_at_risk=[9, 9, 9])


def test_each_row_is_what_the_sum_is_made_of():
    y, m = np.array([0, 2, 5.0]), np.array([0.4, 1.0, 0.2])
    rows = distinct_rows([y, m])
    value, slope = objective(rows)(np.array([0.6]))
    found = each([0.6, 1.0], rows)
    assert found.log_likelihood.sum() == pytest.approx(value, rel=1e-12)
    assert found.gradient[0].sum() == pytest.approx(slope[0], rel=1e-12)
    numeric = approx_fprime(
        [0.6, 1.3], lambda p: each(p.tolist(), rows).log_likelihood.sum(), 1e-7
    )
    gradient = each([0.6, 1.3], rows).gradient.sum(axis=1)
    assert gradient == pytest.approx(numeric, rel=1e-5)


def test_what_makes_customers_bring_more_is_covered():
    """Interval of the coefficient of a kind that brings 1.5 times as many."""
    rng = np.random.default_rng(2)
    n_runs, covered, n = 200, 0, 800
    for _ in range(n_runs):
        kind = (rng.random(n) < 0.4) * 1.0
        mean = rng.choice([0.3, 0.8], n)
        y = rng.poisson(mean * 1.5**kind * rng.gamma(0.7, 1 / 0.7, n))
        fit = fit_spread_by(y, mean=mean, design=kind[:, None], names=["kind"])
        away = fit.params["kind"] - np.log(1.5)
        covered += abs(away) < 1.96 * fit.standard_errors["kind"]
    assert 0.92 <= covered / n_runs <= 0.98


def test_quantiles_of_value_are_about_those_of_draws():
    rng = np.random.default_rng(4)
    k, now, then, worth, spread = 0.5, 0.4, 1.1, 100.0, 120.0
    for y in (0, 1, 6):
        theta = rng.gamma(k + y, 1 / (k + now), 200_000)
        n = rng.poisson(theta * (then - now))
        shape = worth**2 / spread**2
        value = np.where(n > 0, rng.gamma(np.maximum(n, 1) * shape, worth / shape), 0.0)
        for level in (0.025, 0.5, 0.9, 0.975):
            found = value_quantile(
                k, level, y=y, mean=now, mean_later=then, worth=worth, spread=spread
            )
            assert (value <= found).mean() == pytest.approx(level, abs=0.02) or (
                found == 0 and (n == 0).mean() >= level
            )


def test_no_worth_no_quantile():
    given = {"y": [0, 2], "mean": 0.5, "mean_later": 0.9}
    unknown = value_quantile(0.5, 0.9, worth=np.nan, spread=np.nan, **given)
    assert np.isnan(unknown).all()
    certain = value_quantile(0.5, 0.9, worth=10.0, spread=0.0, **given)
    assert (certain > 0).all()
