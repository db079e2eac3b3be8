"""Gamma-Gamma against the published note, lifetimes and simulated truth."""

import contextlib
import io
import itertools
import math
import warnings

import mpmath
import numpy as np
import pytest
from cdnow import calibration
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import gammaln
from scipy.stats import betaprime, chi2, invgamma

from selfloop.core.errors import FitError
from selfloop.kernels import gamma_gamma
from selfloop.kernels.gamma_gamma import GammaGamma
from selfloop.kernels.rows import Rows, distinct_rows, dot

CDNOW = GammaGamma(6.249572, 3.744225, 15.443521)

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
    value, _ = gamma_gamma.objective(distinct_rows([x, total]))(np.array(theirs))
    per_person = -other._negative_log_likelihood_
    assert value == pytest.approx(per_person * x.size, abs=1e-4)
    assert fit.log_likelihood >= value


def test_likelihood_by_hand():
    # p = q = v = 1, one purchase of 1: the mixture of nu e^-nu e^-nu over nu is
    # Int nu e^(-2 nu) d nu = 1/4.
    value, _ = gamma_gamma.objective(distinct_rows([[1], [1.0]]))(np.ones(3))
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
    value, _ = gamma_gamma.objective(rows)(np.array([p, q, v]))
    assert value == pytest.approx(math.log(exact), rel=1e-10)


@settings(deadline=None)
@given(params, spenders())
def test_gradient_is_that_of_the_likelihood(model, rows):
    objective = gamma_gamma.objective(distinct_rows(rows))
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
    rng = np.random.default_rng(12)  # 1,500 runs over five seeds: 96.4, 94.0, 96.3 %
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
        ([1, 0, 2], [5.0, 5.0, 7.0], "1 of 3 customers have no whole number"),
        ([1, 2, 2], [5.0, 0.0, -7.0], "2 of 3 customers have .* no value above 0"),
        ([1, 2.5, 2], [5.0, 3.0, 7.0], "1 of 3 customers have no whole number"),
        ([], [], "0 customers with 0 distinct pairs"),
        ([4], [5.0], "1 customers with 1 distinct pairs"),
        ([1, 1, 1, 1], [5.0, 5.0, 7.0, 7.0], "4 customers with 2 distinct pairs"),
        ([1, 2, 3, 7], [1.1, 2.2, 3.3, 7.7], r"all 4 .* same per purchase \(1.1\)"),
        ([1, 2, 3], [1e-60, 1.0, 1e60], "between 1e-60 and 3.33e.59 per purchase"),
    ],
)
def test_data_without_an_answer(x, total, message):
    with pytest.raises(FitError, match=message):
        gamma_gamma.fit(x, total=total)


def test_a_value_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="must be finite"):
        gamma_gamma.fit([1, 2, 3], total=[4.0, math.nan, 5.0])


# The likelihood: row by row, in cells of money, at extremes.

EXTREME = [
    (6.25, 3.744, 15.44),
    (1e-3, 1.0001, 1e-6),
    (1.0, 1 + 1e-9, 1.0),
    (500.0, 1.5, 1e-3),
    (0.2, 300.0, 1e4),
    (1e6, 0.3, 1e-6),
    (1e-6, 1e6, 1e6),
    (1e6, 1e6, 1.0),
]


def one_row(x, total):
    """Rows of one customer."""
    return Rows((np.array([float(x)]), np.array([total])), np.ones(1))


@pytest.mark.parametrize("model", EXTREME, ids=str)
def test_likelihood_and_gradient_at_extremes(model):
    p, q, v = map(mpf, model)
    with mpmath.workdps(50):
        for x, mean in itertools.product([1, 2, 7, 137, 20_000], [1e-9, 0.01, 35, 1e9]):
            total = x * mean
            px, s = p * x, mpf(total)
            both, grow, kept = px + q, mpmath.log1p(s / v), mpmath.log1p(v / s)
            exact = [
                mpmath.loggamma(both) - mpmath.loggamma(px) - mpmath.loggamma(q)
                - q * grow - px * kept - mpmath.log(s / x),
                p * x * (mpmath.digamma(both) - mpmath.digamma(px) - kept),
                q * (mpmath.digamma(both) - mpmath.digamma(q) - grow),
                v * (q * s / v - px) / (v + s),
            ]  # fmt: skip
            of_row = gamma_gamma.each(model, one_row(x, total))
            value, slopes = gamma_gamma.objective(one_row(x, total))(np.array(model))
            for found, gradient in (
                (of_row.log_likelihood[0], of_row.gradient[:, 0]),
                (value, slopes),
            ):
                ours = [found, *(gradient * np.array(model))]  # by the logs
                for a, b in zip(ours, exact, strict=True):
                    assert abs(a - b) <= 1e-9 * max(1, abs(b)), (x, mean)


@pytest.mark.parametrize(
    ("k", "d"), [(25.0, 1e-6), (1e6, 3.0), (2e10, 0.5), (21.0, 1e6), (0.3, 40.0)]
)
def test_rise_of_digamma(k, d):
    with mpmath.workdps(60):
        exact = mpmath.digamma(mpf(k) + mpf(d)) - mpmath.digamma(mpf(k))
        found = gamma_gamma._digamma_rise(np.array([k]), np.array([d]))[0]
        assert abs(found / exact - 1) < 1e-12


@settings(deadline=None)
@given(params, spenders())
def test_rows_add_up_to_the_objective(model, rows):
    rows = distinct_rows(rows, counts=np.arange(1.0, len(rows[0]) + 1))
    each = gamma_gamma.each(model, rows)
    value, gradient = gamma_gamma.objective(rows)(np.array(model))
    assert dot(each.log_likelihood, rows.counts) == pytest.approx(value, rel=1e-12)
    slopes = [dot(by, rows.counts) for by in each.gradient]
    np.testing.assert_allclose(slopes, gradient, rtol=1e-9, atol=1e-9)


def test_parameters_of_their_own_for_each_row():
    rng = np.random.default_rng(20)
    n = 50
    x, total = draw_spenders(n, rng, truth=GammaGamma(5.0, 4.0, 30.0))
    rows = Rows((x.astype(float), total), np.ones(n))
    own = [rng.uniform(0.5, 9, n) for _ in range(3)]
    together = gamma_gamma.each(own, rows)
    only_v = gamma_gamma.each([5.0, 4.0, own[2]], rows)
    for i in range(n):
        row = Rows((rows.columns[0][i : i + 1], total[i : i + 1]), np.ones(1))
        alone = gamma_gamma.each([a[i] for a in own], row)
        np.testing.assert_allclose(together.log_likelihood[i], alone.log_likelihood)
        np.testing.assert_allclose(together.gradient[:, i], alone.gradient[:, 0])
        alone = gamma_gamma.each([5.0, 4.0, own[2][i]], row)
        np.testing.assert_allclose(only_v.log_likelihood[i], alone.log_likelihood)
        np.testing.assert_allclose(only_v.gradient[:, i], alone.gradient[:, 0])


def test_a_table_of_x_changes_nothing():
    # 300 rows with x up to 8 take the table, the same beside a heavy buyer do not.
    rng = np.random.default_rng(21)
    x, total = draw_spenders(300, rng, truth=CDNOW)
    table = gamma_gamma.each(CDNOW, Rows((x.astype(float), total), np.ones(300)))
    more = Rows((np.append(x, 5_000.0), np.append(total, 9.0)), np.ones(301))
    direct = gamma_gamma.each(CDNOW, more)
    assert np.array_equal(table.log_likelihood, direct.log_likelihood[:300])
    assert np.array_equal(table.gradient, direct.gradient[:, :300])


@pytest.fixture(scope="module")
def many():
    """Rows that are enough to be added up in cells of money."""
    rng = np.random.default_rng(22)
    x, total = draw_spenders(60_000, rng, truth=CDNOW)
    return distinct_rows([x, total], counts=rng.integers(1, 4, x.size))


def one_by_one(rows, monkeypatch):
    """Make the objective of the rows without cells."""
    with monkeypatch.context() as patch:
        patch.setattr(gamma_gamma, "_ROWS_PER_CELL", rows.n_distinct + 1)
        return gamma_gamma.objective(rows)


def test_cells_of_money_give_what_rows_give(many, monkeypatch):
    money = gamma_gamma._money(many)
    assert money.people.shape == (5, money.centre.size)
    assert money.centre.size < many.n_distinct / 10
    assert money.people[0].sum() == many.n_people
    cells, rows = gamma_gamma.objective(many), one_by_one(many, monkeypatch)
    rng = np.random.default_rng(23)
    for logs in rng.uniform(-14, 14, (100, 3)):
        value, gradient = cells(np.exp(logs))
        exact, slopes = rows(np.exp(logs))
        assert value == pytest.approx(exact, rel=1e-12)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-10)


def test_sums_in_cells_keep_their_relative_accuracy(many):
    # Far from the money the sums are tiny: ln(1 + s/v) is about s/v, and so on.
    x, total = many.columns
    for v in (1e-9, 1e-3, 20.0, 1e5, 1e12):
        found = gamma_gamma._meeting(gamma_gamma._money(many), v=v)
        exact = [
            dot(many.counts, np.log1p(total / v)),
            dot(many.counts * x, np.log1p(v / total)),
            dot(many.counts, total / (v + total)),
            dot(many.counts * x, v / (v + total)),
        ]
        np.testing.assert_allclose(found, exact, rtol=2e-14)


def test_order_of_rows_does_not_matter_to_the_objective(many):
    order = np.random.default_rng(24).permutation(many.n_distinct)
    mixed = Rows(tuple(c[order] for c in many.columns), many.counts[order])
    value, gradient = gamma_gamma.objective(mixed)(np.array(CDNOW))
    exact, slopes = gamma_gamma.objective(many)(np.array(CDNOW))
    assert value == pytest.approx(exact, rel=1e-13)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-7)  # small near the maximum


def test_cells_lead_to_the_same_optimum(many, monkeypatch):
    x, total = many.columns
    fit = gamma_gamma.fit(x, total=total, counts=many.counts)
    with monkeypatch.context() as patch:
        patch.setattr(gamma_gamma, "_ROWS_PER_CELL", many.n_distinct + 1)
        other = gamma_gamma.fit(x, total=total, counts=many.counts)
    np.testing.assert_allclose(fit.estimates, other.estimates, rtol=1e-9)
    assert fit.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-13)
    errors = np.array(list(fit.standard_errors.values()))
    assert np.all(np.abs(fit.estimates - np.array(CDNOW)) < 4 * errors)


# What is to come.


def test_spend_variance_by_hand():
    # Q = 3 + 2*2 = 7: mean 2 (6 + 14) / 6 = 20/3, variance (20/3)^2 / 5 = 80/9.
    # x = 0: Q = 3, mean 6, variance 36 / 1.
    found = gamma_gamma.spend_variance(GammaGamma(2, 3, 6), x=[0, 2], total=[0, 14])
    np.testing.assert_allclose(found, [36, 80 / 9], rtol=1e-14)


def test_value_moments_by_hand():
    # (v + s) p n / (Q-1) = 20 * 2 * 3 / 6 = 20;
    # (v + s)^2 p n (p n + Q - 1) / ((Q-1)^2) = 400 * 6 * 12 / (36 * 5) = 160.
    mean, variance = gamma_gamma.value_moments(
        GammaGamma(2, 3, 6), n=[0, 3], x=2, total=14
    )
    np.testing.assert_allclose(mean, [0, 20], rtol=1e-14)
    np.testing.assert_allclose(variance, [0, 160], rtol=1e-14)


def test_moments_that_do_not_exist():
    # Q = p x + q = 0.8, 1.3, 1.8, 2.3 for x = 0..3: no mean, no variance twice, both.
    uneven, x, total = GammaGamma(0.5, 0.8, 10), np.arange(4), np.arange(4) * 5.0
    spread = gamma_gamma.spend_variance(uneven, x=x, total=total)
    mean, variance = gamma_gamma.value_moments(uneven, n=2, x=x, total=total)
    assert np.isnan(mean[0])
    assert np.isfinite(mean[1:]).all()
    for found in (spread, variance):
        assert np.isnan(found[0])
        assert np.isinf(found[1:3]).all()
        assert np.isfinite(found[3])
    nothing = gamma_gamma.value_moments(uneven, n=0, x=x, total=total)
    assert not np.any(nothing)
    # At exactly 1 and 2 they do not exist either.
    edge = [1.0, np.array([1.0, 2.0]), 1.0]
    found = gamma_gamma.spend_variance(edge, x=0, total=0.0)
    assert np.isnan(found[0])
    assert np.isinf(found[1])


@pytest.mark.parametrize(("x", "total"), [(0, 0.0), (2, 44.7), (40, 900.0)])
@pytest.mark.parametrize("n", [1, 4, 60])
def test_value_is_beta_prime(n, x, total):
    exact = betaprime(CDNOW.p * n, CDNOW.q + CDNOW.p * x, scale=CDNOW.v + total)
    mean, variance = gamma_gamma.value_moments(CDNOW, n=n, x=x, total=total)
    assert mean == pytest.approx(exact.mean(), rel=1e-12)
    assert variance == pytest.approx(exact.var(), rel=1e-11)
    value = exact.ppf([1e-6, 0.01, 0.3, 0.9, 0.9999])
    found = gamma_gamma.value_cdf(CDNOW, value, n=n, x=x, total=total)
    np.testing.assert_allclose(found, exact.cdf(value), rtol=1e-10)
    own = invgamma(CDNOW.q + CDNOW.p * x, scale=CDNOW.p * (CDNOW.v + total))
    spread = gamma_gamma.spend_variance(CDNOW, x=x, total=total)
    assert spread == pytest.approx(own.var(), rel=1e-12)


def incomplete_beta(a, b, u):
    """I_u(a, b) by its continued fraction (Lentz), at the precision of mpmath."""
    if u > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - u)
    logs = a * mpmath.log(u) + b * mpmath.log1p(-u) - mpmath.log(a)
    logs += mpmath.loggamma(a + b) - mpmath.loggamma(a) - mpmath.loggamma(b)
    c, d = mpf(1), 1 / (1 - (a + b) * u / (a + 1))
    h = d
    for m in itertools.count(1):
        for top in (
            m * (b - m) * u / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * u / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            c, d = 1 + top / c, 1 / (1 + top * d)
            h *= c * d
        if abs(c * d - 1) < mpf(10) ** -30:
            return mpmath.exp(logs) * h


@pytest.mark.parametrize("x", [0, 1, 137, 20_000])
@pytest.mark.parametrize(
    "model",
    [
        (6.25, 3.744, 15.44),
        (0.01, 1.0001, 1e-3),
        (1.0, 1 + 1e-9, 1.0),
        (50.0, 1.5, 1e-3),
    ],
    ids=str,
)
def test_predictions_at_extremes(model, x):
    p, q, v = map(mpf, model)
    for mean, n in itertools.product([1e-6, 35.0, 1e9], [1, 20_000]):
        args = {"x": x, "total": x * mean}
        with mpmath.workdps(40):
            rate, shape = v + mpf(x * mean), q + p * x
            spend = p * rate / (shape - 1)
            spread = spend**2 / (shape - 2) if shape > 2 else mpmath.inf
            value = gamma_gamma.value_moments(model, n=n, **args)
            found = [
                gamma_gamma.expected_spend(model, **args), value.mean,
                gamma_gamma.spend_variance(model, **args), value.variance,
            ]  # fmt: skip
            exact = [
                spend, n * spend, spread, n * (p * n + shape - 1) / p * spread
            ]  # fmt: skip
            for a, b in zip(found, exact, strict=True):
                # q - 1 = 1e-9 itself has 8 digits; it is taken as it is.
                assert (a == math.inf and b == mpmath.inf) or abs(a / b - 1) < 1e-9
            for times in (0.01, 0.99, 1.0, 2.0, 1e6):
                money = float(p * n / shape * rate) * times
                u = mpf(money) / (mpf(money) + rate)
                exact_cdf = incomplete_beta(p * n, shape, u)
                found_cdf = gamma_gamma.value_cdf(model, money, n=n, **args)
                assert 0 <= found_cdf <= 1
                off = abs(float(found_cdf) - exact_cdf)
                assert off <= 1e-9 * exact_cdf + mpf(10) ** -290


@settings(deadline=None)
@given(params, st.integers(1, 40), st.integers(0, 40), st.floats(0.01, 1e4))
def test_probabilities_rise_to_1(model, n, x, mean):
    value = np.concatenate([[-1.0, 0.0], np.geomspace(1e-9, 1e12, 60)])
    found = gamma_gamma.value_cdf(model, value, n=n, x=x, total=x * mean)
    assert not found[:2].any()
    assert np.all(np.diff(found) >= 0)
    assert np.all((found >= 0) & (found <= 1))
    more = gamma_gamma.value_cdf(model, value, n=n + 1, x=x, total=x * mean)
    assert np.all(more <= found * (1 + 1e-12))  # one purchase more is never worth less


def test_no_purchase_is_worth_nothing():
    found = gamma_gamma.value_cdf(CDNOW, [-1.0, 0.0, 5.0], n=0, x=3, total=60.0)
    assert found.tolist() == [0, 1, 1]


def test_predictions_broadcast():
    rng = np.random.default_rng(25)
    own = [rng.uniform(2.5, 6, (4, 1)), rng.uniform(2.5, 6, (4, 1)), 15.0]
    x, total, n = np.arange(3), np.array([0.0, 20, 70]), np.array([2, 0, 5])
    cdf = gamma_gamma.value_cdf(own, 60.0, n=n, x=x, total=total)
    moments = gamma_gamma.value_moments(own, n=n, x=x, total=total)
    spread = gamma_gamma.spend_variance(own, x=x, total=total)
    spend = gamma_gamma.expected_spend(own, x=x, total=total)
    drawn = gamma_gamma.draw_value(own, n=n, x=x, total=total, rng=rng)
    assert drawn.shape == (4, 3)
    assert not drawn[:, 1].any()
    assert np.all(drawn[:, ::2] > 0)
    for i, j in np.ndindex(4, 3):
        one = GammaGamma(float(own[0][i, 0]), float(own[1][i, 0]), 15.0)
        past = {"x": x[j], "total": total[j]}
        assert cdf[i, j] == gamma_gamma.value_cdf(one, 60.0, n=n[j], **past)
        alone = gamma_gamma.value_moments(one, n=n[j], **past)
        assert (moments.mean[i, j], moments.variance[i, j]) == alone
        assert spread[i, j] == gamma_gamma.spend_variance(one, **past)
        assert spend[i, j] == gamma_gamma.expected_spend(one, **past)


@pytest.mark.parametrize(("n", "x", "total"), [(1, 0, 0.0), (3, 2, 44.7), (200, 9, 99)])
def test_draws_follow_the_distribution(n, x, total):
    rng = np.random.default_rng(26)
    size = 100_000
    drawn = gamma_gamma.draw_value(CDNOW, n=np.full(size, n), x=x, total=total, rng=rng)
    place = gamma_gamma.value_cdf(CDNOW, drawn, n=n, x=x, total=total)
    in_bin = np.bincount((place * 50).astype(int), minlength=50)
    statistic = ((in_bin - size / 50) ** 2 / (size / 50)).sum()
    assert statistic < chi2.ppf(0.9999, 49)
    mean, variance = gamma_gamma.value_moments(CDNOW, n=n, x=x, total=total)
    assert drawn.mean() == pytest.approx(mean, abs=4 * math.sqrt(variance / size))


def test_values_come_true_among_those_with_the_same_past():
    # Customers drawn from the model who bought twice for 38 to 42, their next three.
    truth, rng, n = GammaGamma(5.0, 4.0, 30.0), np.random.default_rng(27), 2_000_000
    nu = rng.gamma(truth.q, 1 / truth.v, n)
    total = rng.gamma(2 * truth.p, size=n) / nu
    alike = (total > 38) & (total < 42)
    value = rng.gamma(3 * truth.p, size=alike.sum()) / nu[alike]
    known = {"n": 3, "x": 2, "total": total[alike]}
    mean, variance = gamma_gamma.value_moments(truth, **known)
    error = math.sqrt(variance.mean() / value.size)
    assert value.mean() == pytest.approx(mean.mean(), abs=4 * error)
    assert value.var() == pytest.approx(variance.mean(), rel=0.05)
    place = gamma_gamma.value_cdf(truth, value, **known)
    np.testing.assert_allclose(
        np.quantile(place, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.01
    )


def test_draws_of_a_model_without_a_mean_stay_finite():
    rng = np.random.default_rng(28)
    drawn = gamma_gamma.draw_value(
        GammaGamma(1e-3, 1e-4, 1.0), n=np.full(1000, 1), x=0, total=0.0, rng=rng
    )
    assert np.isfinite(drawn).all()
    assert drawn.max() > 1e300  # such a model knows no limit


# Hard data: against a dense search, and against lifetimes.


def lifetimes_fit(x, total):
    """Parameters that lifetimes finds; None when it gives up."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from lifetimes import GammaGammaFitter  # noqa: PLC0415 - must not leak filters
        from lifetimes.utils import ConvergenceError  # noqa: PLC0415

        try:
            other = GammaGammaFitter().fit(x, total / x)
        except ConvergenceError:
            return None
    return np.array(other.params_[["p", "q", "v"]])


def dense_search(x, total, *, n_starts=20):
    """Return the highest log-likelihood from many starts, within the same range."""
    log_scale = np.log(total / x).mean()
    objective = gamma_gamma.objective(distinct_rows([x, total / np.exp(log_scale)]))

    def loss(theta):
        value, gradient = objective(np.exp(theta))
        return -value / x.size, -gradient * np.exp(theta) / x.size

    starts = np.random.default_rng(30).uniform([-4, -4, -6], 7, (n_starts, 3))
    ends = [
        minimize(
            loss,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(-14, 14)] * 3,
            options={"maxiter": 3000, "maxfun": 5000, "ftol": 1e-15, "gtol": 1e-9},
        ).fun
        for start in starts
    ]
    return (-min(ends) - log_scale) * x.size


def regime(rng, *, model=(6.0, 4.0, 15.0), x=None, first=None):
    """Purchases and totals of 600 customers, the first of them replaced."""
    p, q, v = model
    x = rng.geometric(0.4, 600) if x is None else x
    total = rng.gamma(p * x) / rng.gamma(q, 1 / v, 600)
    if first is not None:
        x[0], total[0] = first
    return x, total


def of_mean(make):
    """Make a regime from the mean values of 600 customers."""

    def regime_of_mean(rng):
        x = rng.geometric(0.4, 600)
        return x, x * make(rng, x)

    return regime_of_mean


ONCE = np.ones(600, dtype=np.int64)
HARD = {
    "q near 1": lambda rng: regime(rng, model=(3.0, 1.05, 5.0)),
    "q below 1": lambda rng: regime(rng, model=(3.0, 0.5, 5.0)),
    "billions": lambda rng: regime(rng, model=(6.0, 4.0, 15e9)),
    "tiny money": lambda rng: regime(rng, model=(6.0, 4.0, 15e-9)),
    "noisy purchases": lambda rng: regime(rng, model=(0.1, 4.0, 15.0)),
    "heavy buyers": lambda rng: regime(rng, x=rng.integers(1, 20_001, 600)),
    "one purchase each": lambda rng: regime(rng, x=ONCE),
    "whale": lambda rng: regime(rng, first=(20_000, 6e5)),
    "rich whale": lambda rng: regime(rng, first=(20_000, 1e10)),
    "poor whale": lambda rng: regime(rng, first=(20_000, 2.0)),
    "one fortune": lambda rng: regime(rng, first=(3, 1e9)),
    "one cent": lambda rng: regime(rng, first=(3, 0.01)),
    "customers alike": of_mean(lambda rng, x: rng.gamma(6.0 * x) / x),
    "two kinds": of_mean(
        lambda rng, x: rng.gamma(2.0 * x) / x / np.where(rng.random(600) < 0.5, 1, 0.01)
    ),
    "purchases alike": of_mean(lambda rng, x: rng.lognormal(2, 0.5, x.size)),
    "wide": of_mean(lambda rng, x: rng.lognormal(2, 3, x.size)),
    "three prices": lambda rng: (ONCE, rng.choice([9.99, 19.99, 49.99], 600)),
    "n = 4": lambda _: (np.array([1, 2, 1, 3]), np.array([12.0, 50, 33, 61])),
    "n = 3": lambda _: (np.array([1, 2, 3]), np.array([10.0, 21, 29])),
}

# What ends on a bound, or is not determined by the data, is named.
OPEN = {
    "heavy buyers": {"p", "v"},
    "poor whale": {"v"},
    "three prices": {"p", "v"},
    "n = 4": {"q", "v"},
    "n = 3": {"p", "v"},
}


def hard_data(name):
    """Purchases and totals of a regime, always the same."""
    return HARD[name](np.random.default_rng(29))


@pytest.mark.parametrize("name", HARD)
def test_no_better_optimum_is_left_behind(name):
    x, total = hard_data(name)
    fit = gamma_gamma.fit(x, total=total)
    assert fit.log_likelihood >= dense_search(x, total) - 1e-6
    assert np.isfinite(fit.estimates).all()
    assert set(fit.at_bound) == OPEN.get(name, set())
    theirs = lifetimes_fit(x, total)
    if theirs is not None:
        value, _ = gamma_gamma.objective(distinct_rows([x, total]))(theirs)
        assert fit.log_likelihood >= value - 1e-6


def test_lifetimes_gives_up_where_we_do_not():
    # Money in billions alone stops its search; nothing about the data is hard.
    x, total = hard_data("billions")
    assert lifetimes_fit(x, total) is None
    fit = gamma_gamma.fit(x, total=total)
    assert fit.at_bound == ()
    assert fit.params["v"] == pytest.approx(15e9, rel=0.5)


def test_a_penalty_decides_what_four_people_leave_open():
    x, total = hard_data("n = 4")
    fit = gamma_gamma.fit(x, total=total, penalty=1e-3)
    assert fit.at_bound == ()
    assert fit.log_likelihood < gamma_gamma.fit(x, total=total).log_likelihood
    other = gamma_gamma.fit(x, total=total * 1e6, penalty=1e-3)
    np.testing.assert_allclose(other.estimates, fit.estimates * [1, 1, 1e6], rtol=1e-6)


@settings(deadline=None)
@given(st.floats(1e-9, 1e9))
def test_starts_are_free_of_scale(factor):
    x, total = draw_spenders(50, np.random.default_rng(32), truth=CDNOW)
    here = gamma_gamma.starts(distinct_rows([x, total]))
    there = gamma_gamma.starts(distinct_rows([x, total * factor]))
    np.testing.assert_allclose(there, np.array(here) * [1, 1, factor], rtol=1e-9)


def test_truth_is_recovered():
    truth, rng = GammaGamma(6.25, 3.744, 15.44), np.random.default_rng(31)
    x = rng.geometric(0.3, 200_000)
    total = rng.gamma(truth.p * x) / rng.gamma(truth.q, 1 / truth.v, x.size)
    fit = gamma_gamma.fit(x, total=total)
    errors = np.array(list(fit.standard_errors.values()))
    assert np.all(np.abs(fit.estimates - np.array(truth)) < 4 * errors)
    assert np.all(errors / fit.estimates < 0.02)


@pytest.mark.parametrize("kind", ["within", "between", "both"])
@pytest.mark.parametrize("spread", [1e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02])
def test_spend_that_hardly_varies_converges(kind, spread):
    # A sharp ridge: the value of the likelihood has lost digits, its gradient not.
    rng = np.random.default_rng(33)
    for n in (20, 200, 600):
        x = rng.geometric(0.4, n)
        mean = np.full(n, 10.0)
        if kind != "between":
            mean *= 1 + spread * rng.normal(size=n) / np.sqrt(x)
        if kind != "within":
            mean *= 1 + spread * rng.normal(size=n)
        fit = gamma_gamma.fit(x, total=x * mean)
        assert fit.gradient < 1e-6
        p, q, v = fit.estimates
        assert p * v / (q - 1) == pytest.approx(10, rel=0.02)


def test_hardly_any_people_converge():
    rng = np.random.default_rng(34)
    for _ in range(100):
        n = int(rng.integers(3, 9))
        x = rng.geometric(0.4, n)
        total = rng.gamma(2 * x) / rng.gamma(3, 1 / 30, n)
        assert gamma_gamma.fit(x, total=total).gradient < 1e-6
