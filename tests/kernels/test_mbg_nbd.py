"""MBG/NBD against other packages, high-precision values and simulated truth.

What it shares with BG/NBD is tested there for both.
"""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from cdnow import calibration, orders
from drawn_fits import shares_inside
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln, gammaln, hyp2f1

from selfloop.core.errors import FitError
from selfloop.kernels import bg_future, bg_nbd
from selfloop.kernels.bg_nbd import BgNbd
from selfloop.kernels.mbg_nbd import MODEL
from selfloop.kernels.purchase_fit import fit_purchases
from selfloop.kernels.rows import distinct_rows

positive = st.floats(0.05, 20.0)
params = st.builds(BgNbd, positive, positive, positive, positive)


def draw_customers(n, rng, *, truth, period):
    """Draw customers from the model with exact times.

    The first purchase is a chance to leave: of k purchases wanted in T, uniform over
    T, those before the leaving one and that one happen.
    """
    age = rng.uniform(0.2 * period, period, n)
    rate = rng.gamma(truth.r, 1 / truth.alpha, n)
    leaves = rng.beta(truth.a, truth.b, n)
    wanted = rng.poisson(rate * age)
    x = np.minimum(wanted, rng.geometric(np.maximum(leaves, 1e-12)) - 1)
    last = rng.beta(np.maximum(x, 1), wanted + 1.0 - np.minimum(x, wanted))
    return x, np.where(x > 0, age * last, 0.0), age


def fitted(sample):
    """Fit the calibration sample in weeks."""
    return fit_purchases(
        MODEL, sample.x, recency=sample.recency / 7, age=sample.age / 7
    )


def expected_purchases(model, *, x, recency, age, horizon):
    """Expected purchases, given the history."""
    given = {"x": x, "recency": recency, "age": age}
    stays = MODEL.p_alive(model, **given)
    return stays * MODEL.expected_if_alive(model, **given, horizon=horizon)


@pytest.fixture(scope="module")
def cdnow():
    """Calibration sample and its fit in weeks."""
    sample = calibration()
    return sample, fitted(sample)


# Reference numbers ----------------------------------------------------------


def test_cdnow_estimates(cdnow):
    # lifetimes tests/test_estimation.py, from BTYDplus: .525 6.183 .891 1.614; more
    # digits, standard errors and covariances from a fit with 60-digit derivatives.
    _, fit = cdnow
    assert (fit.n_people, fit.n_distinct) == (2357, 1016)
    assert list(fit.params) == ["r", "alpha", "a", "b"]
    np.testing.assert_allclose(fit.estimates, [0.525, 6.183, 0.891, 1.614], atol=5e-4)
    np.testing.assert_allclose(
        fit.estimates, [0.524843, 6.183086, 0.891359, 1.614002], rtol=2e-6
    )
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        [0.08327, 0.69562, 0.15479, 0.53749],
        atol=6e-6,
    )
    assert fit.log_likelihood == pytest.approx(-9582.135716, abs=1e-6)
    assert fit.gradient < 1e-12
    upper = fit.covariance[np.triu_indices(4, 1)]
    printed = [0.048478, -0.007508, -0.037571, -0.053208, -0.236108, 0.073804]
    np.testing.assert_allclose(upper, printed, atol=2e-6)


def test_cdnow_without_zero_days():
    # Eight customers have no other purchase: 2,349 remain.
    fit = fitted(calibration(lowest=0.01))
    assert fit.n_people == 2349
    np.testing.assert_allclose(
        fit.estimates, [0.52693, 6.19747, 0.89464, 1.62706], rtol=3e-5
    )
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        [0.08308, 0.69540, 0.15547, 0.53995],
        atol=6e-6,
    )
    assert fit.log_likelihood == pytest.approx(-9577.9820, abs=1e-4)


def test_cdnow_all_78_weeks():
    # Reference fit of the same customers up to the end of June 1998.
    days = orders().drop_duplicates(["customer_id", "ordered_at"])
    people = days.groupby("customer_id")["ordered_at"].agg(["size", "min", "max"])
    end = pd.Timestamp("1998-06-30")
    fit = fit_purchases(
        MODEL,
        people["size"] - 1,
        recency=(people["max"] - people["min"]).dt.days / 7,
        age=(end - people["min"]).dt.days / 7,
    )
    np.testing.assert_allclose(
        fit.estimates, [0.61784, 8.65696, 0.55152, 1.00906], rtol=2e-5
    )
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        [0.09051, 0.97225, 0.05779, 0.22256],
        atol=6e-6,
    )
    assert fit.log_likelihood == pytest.approx(-17127.3733, abs=1e-4)


def test_new_customers(cdnow):
    # Reference values at the estimates; 1, 3 and 6 weeks from pymc-marketing's tests.
    found = BgNbd(**cdnow[1].params)
    np.testing.assert_allclose(
        MODEL.expected_new(found, [39, 52]), [1.1822797, 1.4188848], rtol=3e-7
    )
    np.testing.assert_allclose(
        MODEL.expected_new(BgNbd(0.525, 6.183, 0.891, 1.614), [1, 3, 6]),
        [0.05308480, 0.15086329, 0.28136022],
        rtol=1e-7,
    )


def test_cdnow_predictions(cdnow):
    # Reference values at the estimates; customer 1516 is x = 26, t_x = 216/7, T = 31.
    sample, fit = cdnow
    found = BgNbd(**fit.params)
    customer = {"x": 26, "recency": 216 / 7, "age": 31}
    assert expected_purchases(found, **customer, horizon=52) == pytest.approx(
        23.99819, rel=3e-7
    )
    assert MODEL.p_alive(found, **customer) == pytest.approx(0.9654847, rel=1e-7)
    np.testing.assert_allclose(
        expected_purchases(found, x=[10, 15, 20, 25], recency=20, age=39, horizon=52),
        [0.3516936, 0.0497290, 0.00557182, 0.000555337],
        rtol=2e-6,
    )
    rows = {"x": sample.x, "recency": sample.recency / 7, "age": sample.age / 7}
    at_39 = expected_purchases(found, horizon=39, **rows)
    assert at_39.sum() == pytest.approx(1576.728, abs=1e-3)
    at_52 = expected_purchases(found, horizon=52, **rows)
    assert at_52.sum() == pytest.approx(1980.033, abs=1e-3)
    assert MODEL.p_alive(found, **rows).mean() == pytest.approx(0.4487214, abs=1e-7)
    groups = np.minimum(sample.x, 7)
    means = [at_39[groups == x].mean() for x in range(8)]
    reference = [
        0.185161, 0.551359, 1.048952, 1.492933, 2.104309, 2.563553, 3.360821, 5.848510
    ]  # fmt: skip
    np.testing.assert_allclose(means, reference, rtol=3e-6)


def test_agrees_with_lifetimes(cdnow):
    with warnings.catch_warnings():  # the package warns, and silences warnings
        warnings.simplefilter("ignore")
        from lifetimes import ModifiedBetaGeoFitter  # noqa: PLC0415 - leaks filters

        sample, fit = cdnow
        weeks = sample.recency / 7, sample.age / 7
        other = ModifiedBetaGeoFitter().fit(sample.x, *weeks)
        theirs = BgNbd(*other.params_[["r", "alpha", "a", "b"]])
        alive = other.conditional_probability_alive(sample.x, *weeks)
        expected = other.conditional_expected_number_of_purchases_up_to_time(
            39, sample.x, *weeks
        )
        new = other.expected_number_of_purchases_up_to_time([1, 39, 52])
    np.testing.assert_allclose(fit.estimates, theirs, rtol=1e-4)
    rows = {"x": sample.x, "recency": weeks[0], "age": weeks[1]}
    np.testing.assert_allclose(MODEL.p_alive(theirs, **rows), alive, rtol=1e-10)
    ours = expected_purchases(theirs, horizon=39, **rows)
    np.testing.assert_allclose(ours, expected, rtol=1e-9)
    np.testing.assert_allclose(MODEL.expected_new(theirs, [1, 39, 52]), new, rtol=1e-9)
    value, _ = MODEL.objective(distinct_rows([sample.x, *weeks]))(np.array(theirs))
    # Theirs is the negative mean, with the largest T as the unit of time.
    shift = sample.x.sum() * math.log(weeks[1].max())
    per_person = -other._negative_log_likelihood_
    assert value == pytest.approx(per_person * sample.x.size - shift, abs=1e-4)
    assert fit.log_likelihood >= value


def test_right_where_lifetimes_is_not(cdnow):
    # E = 1.7516724e-39 in 50-digit arithmetic.
    found = BgNbd(**cdnow[1].params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifetimes import ModifiedBetaGeoFitter  # noqa: PLC0415 - leaks filters

        other = ModifiedBetaGeoFitter()
        other.params_ = pd.Series(found._asdict())
        theirs = other.conditional_expected_number_of_purchases_up_to_time(
            52, np.array([3000.0]), np.array([50.0]), np.array([52.0])
        )
    assert not np.isfinite(np.asarray(theirs)).any()
    ours = expected_purchases(found, x=3000, recency=50, age=52, horizon=52)
    assert ours == pytest.approx(1.7516724e-39, rel=5e-4)


@pytest.mark.parametrize(
    ("x", "recency", "age", "horizon", "expected", "alive"),
    [  # 50-digit arithmetic at the estimates of test_cdnow_estimates
        (0, 0, 38.86, 39, 0.15395431, 0.389715),
        (2, 30.43, 38.86, 39, 1.2626694, 0.706126),
        (29, 38, 38.86, 52, 22.862344, 0.951075),
        (100, 38, 38.86, 520, 278.96531, 0.942585),
        (300, 38, 39, 52, 69.408838, 0.288677),
        (300, 100, 520, 52, 1.2433421e-205, 4.36644e-207),
        (1000, 50, 52, 52, 4.7020511e-10, 7.10416e-13),
        (1000, 10, 100, 52, 0, 0),  # 2e-812: below the smallest float
        (3000, 50, 52, 52, 1.7516724e-39, 8.82761e-43),
        (500, 500, 520, 5200, 0.0029018024, 2.12254e-6),
    ],
)
def test_extreme_customers(cdnow, x, recency, age, horizon, expected, alive):
    found = BgNbd(**cdnow[1].params)
    rows = {"x": x, "recency": recency, "age": age}
    # Tiny probabilities carry the last digits of the estimates to the power x.
    tolerance = 3e-6 if alive > 1e-3 or alive == 0 else 5e-4
    assert MODEL.p_alive(found, **rows) == pytest.approx(
        alive, rel=tolerance, abs=1e-300
    )
    assert expected_purchases(found, horizon=horizon, **rows) == (
        pytest.approx(expected, rel=tolerance, abs=1e-300)
    )


# Laws -----------------------------------------------------------------------


def test_one_purchase_by_hand():
    # x = 0: still there b/(a+b) = 3/4 of the time and then nothing in T, which is
    # (alpha / (alpha + T))^r = (4 / 16)^0.5 = 1/2; or left: 3/4 * 1/2 + 1/4 = 5/8.
    rows = distinct_rows([[0, 0], [0, 0], [12, 12]])
    value, _ = MODEL.objective(rows)(np.array([0.5, 4.0, 1.0, 3.0]))
    assert value == pytest.approx(2 * math.log(5 / 8), rel=1e-14)
    alive = MODEL.p_alive(BgNbd(0.5, 4.0, 1.0, 3.0), x=0, recency=0, age=12)
    assert alive == pytest.approx(3 / 5, rel=1e-14)


@settings(deadline=None)
@given(
    params,
    st.lists(
        st.tuples(st.integers(0, 30), st.floats(0.01, 100), st.floats(0.01, 1)),
        min_size=1,
        max_size=8,
    ),
)
def test_log_likelihood_with_gamma_functions(model, people):
    # One more chance to stay than in equation (6) of Fader, Hardie & Lee.
    r, alpha, a, b = model
    x, age, part = (np.array(column) for column in zip(*people, strict=True))
    recency = np.where(x > 0, part * age, 0.0)
    stays = betaln(a, b + x + 1) - (r + x) * np.log(alpha + age)
    leaves = betaln(a + 1, b + x) - (r + x) * np.log(alpha + recency)
    each = gammaln(r + x) - gammaln(r) + r * np.log(alpha) - betaln(a, b)
    each = each + np.logaddexp(stays, leaves)
    value, _ = MODEL.objective(distinct_rows([x, recency, age]))(np.array(model))
    assert value == pytest.approx(each.sum(), rel=1e-10, abs=1e-10)
    alive = MODEL.p_alive(model, x=x, recency=recency, age=age)
    np.testing.assert_allclose(alive, np.exp(-np.logaddexp(0, leaves - stays)))


@settings(deadline=None)
@given(params, st.integers(0, 300), st.floats(0, 100), st.floats(0.01, 1e3))
def test_who_is_there_is_a_bg_customer_with_one_more_stay(model, x, age, horizon):
    more = model._replace(b=model.b + 1)
    asked = {"x": x, "recency": age, "age": age, "horizon": horizon}
    assert MODEL.expected_if_alive(model, **asked) == pytest.approx(
        bg_future.expected_if_alive(more, **asked), rel=1e-12
    )
    assert MODEL.pmf_if_alive(model, n=2, **asked) == pytest.approx(
        bg_future.pmf_if_alive(more, n=2, **asked), rel=1e-12
    )


@pytest.mark.parametrize("weeks", [1, 10, 39, 52])
def test_new_customers_as_in_the_literature(weeks):
    # E[X(t)] = b/(a-1) [1 - (alpha/(alpha+t))^r F(r, b+1; a+b; t/(alpha+t))].
    r, alpha, a, b = model = BgNbd(0.525, 6.183, 0.891, 1.614)
    f = hyp2f1(r, b + 1, a + b, weeks / (alpha + weeks))
    truth = b / (a - 1) * (1 - (alpha / (alpha + weeks)) ** r * f)
    assert MODEL.expected_new(model, weeks) == pytest.approx(truth, rel=1e-10)
    # Nothing: left at once, or nothing wanted; a/(a+b) + b/(a+b) (alpha/(alpha+t))^r.
    nothing = (a + b * (alpha / (alpha + weeks)) ** r) / (a + b)
    assert MODEL.pmf_new(model, n=0, horizon=weeks) == pytest.approx(nothing, rel=1e-12)
    n = np.arange(1000)
    mass = MODEL.pmf_new(model, n=n, horizon=weeks)
    assert mass.sum() == pytest.approx(1, rel=1e-10)
    assert (n * mass).sum() == pytest.approx(truth, rel=1e-9)


# Truth ----------------------------------------------------------------------


def test_truth_is_recovered():
    truth = BgNbd(0.9, 49.0, 0.6, 2.4)
    rng = np.random.default_rng(21)
    x, recency, age = draw_customers(150_000, rng, truth=truth, period=728)
    fit = fit_purchases(MODEL, x, recency=recency, age=age)
    errors = np.array(list(fit.standard_errors.values()))
    assert np.all(np.abs(fit.estimates - np.array(truth)) < 3 * errors)
    assert np.all(errors / fit.estimates < 0.03)


@pytest.mark.slow
def test_intervals_cover_the_truth():
    truth = BgNbd(1.2, 40.0, 0.8, 2.4)
    rng = np.random.default_rng(6)

    def draw():
        return draw_customers(3000, rng, truth=truth, period=540)

    inside = shares_inside(MODEL, truth, draw, n_runs=250)
    assert np.all((inside >= 0.92) & (inside <= 0.98)), inside


def test_expected_purchases_come_true():
    # What 60,000 customers buy in the next 180 days, from the true parameters.
    truth = BgNbd(0.8, 40.0, 0.7, 3.0)
    rng = np.random.default_rng(9)
    n, age, horizon = 60_000, 300.0, 180.0
    rate = rng.gamma(truth.r, 1 / truth.alpha, n)
    leaves = rng.geometric(rng.beta(truth.a, truth.b, n)) - 1
    before, after = rng.poisson(rate * age), rng.poisson(rate * horizon)
    x = np.minimum(before, leaves)
    last = rng.beta(np.maximum(x, 1), before + 1.0 - np.minimum(x, before)) * age
    recency = np.where(x > 0, last, 0.0)
    to_come = np.clip(leaves - before, 0, after)
    rows = {"x": x, "recency": recency, "age": np.full(n, age)}
    expected = expected_purchases(truth, **rows, horizon=horizon)
    error = to_come.std() / math.sqrt(n)
    assert expected.mean() == pytest.approx(to_come.mean(), abs=4 * error)
    alive = MODEL.p_alive(truth, **rows)
    for some in (x == 0, x > 0):
        share = (leaves > before)[some].mean()
        noise = 4 * math.sqrt(share * (1 - share) / some.sum())
        assert alive[some].mean() == pytest.approx(share, abs=noise)
    for group in np.array_split(np.argsort(expected), 10):  # calibrated by decile
        noise = 4 * to_come[group].std() / math.sqrt(group.size) + 1e-3
        assert expected[group].mean() == pytest.approx(to_come[group].mean(), abs=noise)


# Edges ----------------------------------------------------------------------


def test_no_dropout_is_said_to_be_undetermined():
    rng = np.random.default_rng(1)
    age = rng.uniform(200, 300, 1500)
    x = rng.poisson(rng.gamma(0.5, 1 / 40, 1500) * age)
    recency = np.where(x > 0, age * rng.beta(np.maximum(x, 1), 1), 0.0)
    fit = fit_purchases(MODEL, x, recency=recency, age=age)
    assert {"a", "b"} & set(fit.at_bound)
    assert fit.standard_errors == {}
    rows = {"x": x, "recency": recency, "age": age}
    expected = expected_purchases(BgNbd(**fit.params), **rows, horizon=100)
    assert expected.mean() == pytest.approx(0.5 / 40 * 100, rel=0.1)


def test_one_heavy_buyer_does_not_break_the_fit():
    sample = calibration()
    fit = fit_purchases(
        MODEL,
        np.append(sample.x, 2500),
        recency=np.append(sample.recency, 271),
        age=np.append(sample.age, 272),
    )
    assert fit.at_bound == ()
    assert fit.gradient < 1e-9


def test_one_time_buyers_alone_say_nothing():
    with pytest.raises(FitError, match="none of the 3 customers bought a second"):
        fit_purchases(MODEL, [0, 0, 0], recency=[0, 0, 0], age=[5, 6, 7])


def test_the_model_names_itself():
    assert (MODEL.name, MODEL.label) == ("mbg_nbd", "MBG/NBD")
    assert MODEL.one_time_may_leave
    assert not bg_nbd.MODEL.one_time_may_leave
    assert MODEL.parameters == ("r", "alpha", "a", "b")
    assert MODEL.times == ("alpha",)
