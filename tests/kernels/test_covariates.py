"""Covariates on purchase and leaving rates: gradients, laws, truth, tests, limits."""

import numpy as np
import pytest
from drawn_fits import fit_near
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaincc
from scipy.stats import kstest

from selfloop.core.errors import FitError
from selfloop.kernels import bg_bb, bg_nbd, gamma_gamma, mbg_nbd, nbd, pareto_nbd
from selfloop.kernels.covariates import (
    Effect,
    effects_of,
    fit_with_covariates,
    spread,
    with_covariates,
)
from selfloop.kernels.fitting import maximise
from selfloop.kernels.purchase_fit import fit_purchases
from selfloop.kernels.purchase_models import purchase_model
from selfloop.kernels.rows import Rows, distinct_rows

MODELS = [
    bg_nbd.MODEL,
    mbg_nbd.MODEL,
    pareto_nbd.MODEL,
    bg_bb.MODEL,
    nbd.MODEL,
    purchase_model("bg_cnbd_k", k=2),
    purchase_model("mbg_cnbd_k", k=3),
    purchase_model("pdo", tau=5.0),
]
PARAMS = {
    "bg_nbd": (0.7, 9.0, 0.8, 2.5),
    "mbg_nbd": (0.7, 9.0, 0.8, 2.5),
    "pareto_nbd": (0.7, 9.0, 0.8, 12.0),
    "bg_bb": (1.2, 0.75, 0.66, 2.8),
    "nbd": (0.7, 9.0),
    "bg_cnbd_2": (0.7, 4.0, 0.8, 2.5),
    "mbg_cnbd_3": (0.7, 3.0, 0.8, 2.5),
    "pdo": (0.7, 9.0, 0.6, 2.5),
}
by_name = pytest.mark.parametrize("model", MODELS, ids=lambda m: m.name)


# Simulated customers ---------------------------------------------------------


def drawn(model, params, n, rng, *, low=15, high=60):
    """Draw customers of a model: x, t_x, T; parameters may differ between them."""
    age = rng.integers(low, high, n).astype(np.float64)
    if model.is_discrete:
        return drawn_at_opportunities(params, age, rng)
    own = [np.broadcast_to(p, n) for p in params]
    rate = rng.gamma(own[0]) / own[1]
    if model.name == "nbd":
        return counted(rate, age, age, rng)
    if model.name == "pareto_nbd":
        leaves_at = rng.exponential(1.0, n) / (rng.gamma(own[2]) / own[3])
        return counted(rate, np.minimum(leaves_at, age), age, rng)
    leaves = np.maximum(rng.beta(own[2], own[3]), 1e-12)
    if model.name == "pdo":
        leaves_at = np.minimum(5.0 * rng.geometric(leaves), 1e9)
        return counted(rate, np.minimum(leaves_at, age), age, rng)
    n_most = rng.geometric(leaves) - (1 if model.one_time_may_leave else 0)
    # Purchase number j is hidden event number k j of a Poisson process.
    wanted = rng.poisson(rate * age)
    x = np.minimum(wanted // model.k, n_most)
    place = model.k * np.maximum(x, 1)
    last = age * rng.beta(place, np.maximum(wanted - place, 0) + 1)
    return x, np.where(x > 0, last, 0.0), age


def counted(rate, until, age, rng):
    """Draw purchases at a steady rate until a time of each customer."""
    x = rng.poisson(rate * until)
    last = until * rng.beta(np.maximum(x, 1), 1.0)
    return x, np.where(x > 0, last, 0.0), age


def drawn_at_opportunities(params, age, rng):
    """Draw customers of BG/BB, opportunity by opportunity."""
    n = age.size
    buys = rng.beta(np.broadcast_to(params[0], n), np.broadcast_to(params[1], n))
    leaves = rng.beta(np.broadcast_to(params[2], n), np.broadcast_to(params[3], n))
    there, x, last = np.ones(n, dtype=bool), np.zeros(n), np.zeros(n)
    for i in range(1, int(age.max()) + 1):
        there &= (rng.random(n) >= leaves) & (i <= age)
        bought = there & (rng.random(n) < buys)
        x += bought
        last = np.where(bought, i, last)
    return x, last, age


def of_group(model, base, group, *, rate, leaving):
    """Return parameters of each customer: a group buys and leaves at other rates."""
    effects = both(model, [0])
    gamma = [np.log(rate)] + ([np.log(leaving)] if len(effects) > 1 else [])
    return spread(base, gamma, effects=effects, design=group[:, None])


def both(model, columns):
    """Return the effects of columns on both processes, where there are two."""
    return effects_of(model, purchase=columns, dropout=columns if model.dropout else [])


def names_of(effects):
    """Return one name per coefficient."""
    return [f"{e.parameter}:{c}" for e in effects for c in e.columns]


def fitted(model, customers, design, *, columns=None, start=None, penalty=0.0):
    """Fit a model with a design, from its plain fit."""
    columns = list(range(design.shape[1])) if columns is None else columns
    effects = both(model, columns)
    if start is None:
        start = fit_purchases(
            model, customers[0], recency=customers[1], age=customers[2]
        ).estimates
    return fit_with_covariates(
        model,
        distinct_rows([*customers, *design.T]),
        effects=effects,
        names=names_of(effects),
        start=list(start),
        penalty=penalty,
    )


def objectives(model, rows, effects):
    """Return the objective by groups and row by row."""
    args = {"n_parameters": len(model.parameters), "n_data": 3, "effects": effects}
    grouped = with_covariates(model.each, objective=model.objective, **args)
    return grouped(rows), with_covariates(model.each, **args)(rows)


# By hand ---------------------------------------------------------------------


def test_parameters_by_hand():
    # alpha 8 exp(-(z1 ln 2 + z2 ln 3)): 8, 8/2, 8/3, 8/6; a 5 exp(z2 ln 4): 5 or 20.
    design = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    r, alpha, a, b = spread(
        (2.0, 8.0, 5.0, 1.0),
        np.log([2, 3, 4]),
        effects=[Effect(1, -1, (0, 1)), Effect(2, 1, (1,))],
        design=design,
    )
    assert (r, b) == (2.0, 1.0)
    np.testing.assert_allclose(alpha, [8, 4, 8 / 3, 8 / 6], rtol=1e-15)
    np.testing.assert_allclose(a, [5, 5, 20, 20], rtol=1e-15)


def test_two_effects_on_one_parameter_multiply():
    found = spread(
        (6.0,),
        np.log([2, 5]),
        effects=[Effect(0, 1, (0,)), Effect(0, -1, (0,))],
        design=np.array([[1.0]]),
    )
    assert found[0] == pytest.approx(6 * 2 / 5)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (bg_nbd.MODEL, [(1, -1, (0, 2)), (2, 1, (2,))]),
        (mbg_nbd.MODEL, [(1, -1, (0, 2)), (2, 1, (2,))]),
        (pareto_nbd.MODEL, [(1, -1, (0, 2)), (3, -1, (2,))]),
        (bg_bb.MODEL, [(0, 1, (0, 2)), (2, 1, (2,))]),
        (purchase_model("pdo", tau=5.0), [(1, -1, (0, 2)), (2, 1, (2,))]),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_what_acts_on_what(model, expected):
    found = effects_of(model, purchase=[0, 2], dropout=[2])
    assert [tuple(e) for e in found] == expected


def test_nothing_acts_on_leaving_where_nobody_leaves():
    assert effects_of(nbd.MODEL, purchase=[0], dropout=[]) == (Effect(1, -1, (0,)),)
    with pytest.raises(FitError, match="nobody leaves in NBD: nothing can act on it"):
        effects_of(nbd.MODEL, purchase=[0], dropout=[0])


@by_name
def test_a_covariate_does_what_it_is_called(model):
    # More purchases with a higher rate, fewer with more leaving, for new customers.
    base = PARAMS[model.name]

    def expected(rate, leaving):
        own = of_group(model, base, np.array([1.0]), rate=rate, leaving=leaving)
        return float(np.ravel(model.expected_new([np.ravel(p)[0] for p in own], 30))[0])

    assert expected(1.5, 1.0) > expected(1.0, 1.0) > expected(1 / 1.5, 1.0)
    if model.dropout:
        assert expected(1.0, 0.6) > expected(1.0, 1.0) > expected(1.0, 1 / 0.6)


def test_the_hazard_of_leaving_is_multiplied_in_pareto_nbd():
    # Alive at T of those who cannot buy: E[exp(-mu T)] = (beta / (beta + T))^s, so a
    # hazard twice as high is twice the time: P(no purchase, gone) with rate ~ 0.
    base = (1e-9, 9.0, 0.8, 12.0)
    once, twice = (
        of_group(pareto_nbd.MODEL, base, np.array([1.0]), rate=1.0, leaving=m)
        for m in (1.0, 2.0)
    )
    alive = [
        float(np.ravel(pareto_nbd.MODEL.p_alive(p, x=0, recency=0.0, age=t))[0])
        for p, t in ((once, 40.0), (twice, 20.0))
    ]
    assert alive[0] == pytest.approx((12 / 52) ** 0.8, rel=1e-6)
    assert alive[0] == pytest.approx(alive[1], rel=1e-9)


# Gradients -------------------------------------------------------------------


@by_name
@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), n_kinds=st.sampled_from([1, 2, 5, 40]))
def test_gradient_against_differences_by_groups_and_rows(model, seed, n_kinds):
    rng = np.random.default_rng(seed)
    customers = drawn(model, PARAMS[model.name], 40, rng)
    kinds = np.column_stack([
        rng.integers(0, 2, n_kinds), rng.normal(0, 1, n_kinds).round(3)
    ])  # fmt: skip
    rows = distinct_rows([*customers, *kinds[rng.integers(0, n_kinds, 40)].T])
    effects = both(model, [0, 1])
    n_gamma = sum(len(e.columns) for e in effects)
    point = np.concatenate([
        PARAMS[model.name] * np.exp(rng.normal(0, 0.3, len(model.parameters))),
        rng.normal(0, 0.5, n_gamma),
    ])  # fmt: skip
    grouped, rowwise = objectives(model, rows, effects)
    values, slopes = zip(*(of(point) for of in (grouped, rowwise)), strict=True)
    assert values[0] == pytest.approx(values[1], rel=1e-11)
    np.testing.assert_allclose(
        slopes[0], slopes[1], rtol=1e-9, atol=1e-9 * abs(slopes[1]).max()
    )
    for i, slope in enumerate(slopes[0]):
        h = 1e-5 * max(abs(point[i]), 0.05)
        ahead, behind = point.copy(), point.copy()
        ahead[i] += h
        behind[i] -= h
        numeric = (grouped(ahead)[0] - grouped(behind)[0]) / (2 * h)
        # The differences themselves are off by h^2 f''' / 6 and eps f / h.
        reach = 1e-6 * abs(slopes[0]).max() + 1e-14 * abs(values[0]) / h
        assert slope == pytest.approx(numeric, rel=1e-5, abs=reach)


@by_name
def test_sixty_five_kinds_of_customers_are_worked_on_row_by_row(model):
    rng = np.random.default_rng(1)
    customers = drawn(model, PARAMS[model.name], 200, rng)
    effects = both(model, [0])
    called = []

    def noted(rows):
        called.append(rows)
        return model.objective(rows)

    n_gamma = len(effects)
    point = np.concatenate([PARAMS[model.name], np.full(n_gamma, 0.2)])
    for n_kinds, n_called in ((64, 64), (65, 0)):
        z = (np.arange(200) % n_kinds) / n_kinds
        rows = distinct_rows([*customers, z])
        args = {"n_parameters": len(model.parameters), "n_data": 3, "effects": effects}
        fast = with_covariates(model.each, objective=noted, **args)(rows)
        slow = with_covariates(model.each, **args)(rows)
        assert len(called) == n_called
        called.clear()
        assert fast(point)[0] == pytest.approx(slow(point)[0], rel=1e-12)
        np.testing.assert_allclose(fast(point)[1], slow(point)[1], rtol=1e-8)


@by_name
def test_coefficients_of_0_are_the_plain_model(model):
    rng = np.random.default_rng(2)
    customers = drawn(model, PARAMS[model.name], 100, rng)
    z = rng.integers(0, 3, 100)
    effects = both(model, [0])
    point = np.concatenate([PARAMS[model.name], np.zeros(len(effects))])
    plain_value, plain_slopes = model.objective(distinct_rows(customers))(
        np.array(PARAMS[model.name])
    )
    for of in objectives(model, distinct_rows([*customers, z]), effects):
        value, slopes = of(point)
        assert value == pytest.approx(plain_value, rel=1e-12)
        np.testing.assert_allclose(
            slopes[: len(model.parameters)], plain_slopes, rtol=1e-8, atol=1e-9
        )


@by_name
def test_counts_are_people(model):
    rng = np.random.default_rng(3)
    customers = drawn(model, PARAMS[model.name], 30, rng)
    z = rng.integers(0, 2, 30).astype(np.float64)
    effects = both(model, [0])
    point = np.concatenate([PARAMS[model.name], np.full(len(effects), -0.3)])
    one = distinct_rows([*customers, z])
    three = Rows(one.columns, one.counts * 3)
    for of_one, of_three in zip(
        objectives(model, one, effects), objectives(model, three, effects), strict=True
    ):
        assert of_three(point)[0] == pytest.approx(3 * of_one(point)[0], rel=1e-12)
        np.testing.assert_allclose(of_three(point)[1], 3 * of_one(point)[1], rtol=1e-9)


# Laws of the fit -------------------------------------------------------------


@pytest.fixture(scope="module")
def customers():
    """1,500 customers of MBG/NBD, a third of whom are of another kind."""
    rng = np.random.default_rng(4)
    group = (rng.random(1500) < 1 / 3) * 1.0
    own = of_group(mbg_nbd.MODEL, PARAMS["mbg_nbd"], group, rate=1.5, leaving=0.6)
    return drawn(mbg_nbd.MODEL, own, 1500, rng), group


def test_the_other_level_as_reference_changes_only_the_names(customers):
    data, group = customers
    one = fitted(mbg_nbd.MODEL, data, group[:, None])
    other = fitted(mbg_nbd.MODEL, data, 1 - group[:, None])
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-7)
    gamma, delta = one.estimates[4:]
    np.testing.assert_allclose(other.estimates[4:], [-gamma, -delta], rtol=1e-5)
    r, alpha, a, b = one.estimates[:4]
    moved = [r, alpha * np.exp(-gamma), a * np.exp(delta), b]
    np.testing.assert_allclose(other.estimates[:4], moved, rtol=1e-5)
    np.testing.assert_allclose(
        np.sqrt(np.diag(one.covariance))[4:],
        np.sqrt(np.diag(other.covariance))[4:],
        rtol=1e-4,
    )


@pytest.mark.parametrize("factor", [1e-6, 1000.0, 1e9])
def test_the_unit_of_a_covariate_changes_its_coefficient_alone(customers, factor):
    data, group = customers
    one = fitted(mbg_nbd.MODEL, data, group[:, None])
    other = fitted(mbg_nbd.MODEL, data, factor * group[:, None])
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-7)
    np.testing.assert_allclose(other.estimates[:4], one.estimates[:4], rtol=1e-5)
    np.testing.assert_allclose(
        other.estimates[4:] * factor, one.estimates[4:], rtol=1e-5
    )
    np.testing.assert_allclose(
        list(other.standard_errors.values())[4:],
        np.array(list(one.standard_errors.values())[4:]) / factor,
        rtol=1e-4,
    )


def test_a_covariate_never_lowers_the_likelihood(customers):
    data, group = customers
    rng = np.random.default_rng(5)
    noise = rng.normal(size=group.size).round(1)
    plain = fit_purchases(mbg_nbd.MODEL, data[0], recency=data[1], age=data[2])
    one = fitted(mbg_nbd.MODEL, data, group[:, None])
    two = fitted(mbg_nbd.MODEL, data, np.column_stack([group, noise]))
    assert plain.log_likelihood < one.log_likelihood < two.log_likelihood
    # 2 * gain of the true group is beyond chance (chi-square, 2), that of noise not.
    assert 2 * (one.log_likelihood - plain.log_likelihood) > 13.8  # p = 0.001
    assert 2 * (two.log_likelihood - one.log_likelihood) < 9.2  # p = 0.01


def test_two_groups_that_share_no_parameter_are_two_fits():
    # NBD with one r per group is not what covariates do; with r known to be alike,
    # alpha differs by the ratio of mean rates: E[x] = r T / alpha.
    rng = np.random.default_rng(6)
    group = (np.arange(4000) % 2) * 1.0
    own = of_group(nbd.MODEL, (1.2, 10.0), group, rate=2.0, leaving=1.0)
    x, recency, age = drawn(nbd.MODEL, own, 4000, rng, low=30, high=31)
    found = fitted(nbd.MODEL, (x, recency, age), group[:, None])
    # With one T the likelihood equation of alpha of a group is mean x = r T / alpha.
    r, alpha, gamma = found.estimates
    assert r * 30 / alpha == pytest.approx(x[group == 0].mean(), rel=1e-5)
    ratio = x[group == 1].mean() / x[group == 0].mean()
    assert np.exp(gamma) == pytest.approx(ratio, rel=1e-5)


def test_a_penalty_pulls_coefficients_to_0(customers):
    data, group = customers
    free = fitted(mbg_nbd.MODEL, data, group[:, None])
    light, heavy = (
        fitted(mbg_nbd.MODEL, data, group[:, None], penalty=p) for p in (1e-3, 1e3)
    )
    assert np.abs(heavy.estimates[4:]).max() < 0.01 < abs(free.estimates[4])
    assert heavy.log_likelihood < light.log_likelihood < free.log_likelihood
    assert (light.penalty, heavy.penalty) == (1e-3, 1e3)


def test_one_customer_with_an_extreme_covariate_breaks_nothing(customers):
    # 1e6 standard deviations away: exp(coefficient * covariate) must not overflow.
    data, group = customers
    far = np.zeros(group.size)
    far[17] = 1e6
    found = fitted(mbg_nbd.MODEL, data, np.column_stack([group, far]))
    assert np.isfinite(found.estimates).all()
    assert (
        found.log_likelihood
        >= fitted(mbg_nbd.MODEL, data, group[:, None]).log_likelihood - 1e-6
    )


# Truth -----------------------------------------------------------------------


@by_name
def test_effects_are_recovered(model):
    rng = np.random.default_rng(8)
    n = 6000
    group = (rng.random(n) < 0.4) * 1.0
    age_of_person = rng.normal(0, 1, n).round(1)
    design = np.column_stack([group, age_of_person])
    effects = both(model, [0, 1])
    truth = [np.log(1.5), -0.3, np.log(0.6), 0.4][: 2 * len(effects)]
    own = spread(PARAMS[model.name], truth, effects=effects, design=design)
    data = drawn(model, own, n, rng)
    found = fitted(model, data, design)
    assert found.at_bound == ()
    assert found.gradient < 1e-6
    errors = np.sqrt(np.diag(found.covariance))
    off = (found.estimates - [*PARAMS[model.name], *truth]) / errors
    assert np.abs(off).max() < 3.5
    # A rate is known to a tenth; leaving of those who seldom buy is known less well.
    n_base = len(model.parameters)
    assert errors[n_base : n_base + 2].max() < 0.1
    assert errors[n_base:].max() < 0.3


def test_spend_effect_is_recovered():
    # Order value x 1.3 for a group: v grows, so every value does.
    rng = np.random.default_rng(9)
    n = 5000
    group = (rng.random(n) < 0.4) * 1.0
    x = rng.integers(1, 9, n)
    nu = rng.gamma(4.0, size=n) / (40.0 * 1.3**group)
    total = rng.gamma(6.0 * x) / nu
    rows = distinct_rows([x, total, group])
    args = {"n_parameters": 3, "n_data": 2, "effects": [Effect(2, 1, (0,))]}
    found = maximise(
        with_covariates(gamma_gamma.each, objective=gamma_gamma.objective, **args),
        rows,
        names=["p", "q", "v", "group"],
        starts=[[2.0, 2.0, 20.0, 0.0]],
        typical=[1.0, 1.0, 20.0, 1.0],
        free=["group"],
    )
    errors = np.sqrt(np.diag(found.covariance))
    off = (found.estimates - [6.0, 4.0, 40.0, np.log(1.3)]) / errors
    assert np.abs(off).max() < 3.5
    assert errors[3] < 0.03
    value, slopes = with_covariates(gamma_gamma.each, **args)(rows)(found.estimates)
    assert value == pytest.approx(found.log_likelihood, rel=1e-12)
    assert np.abs(slopes * found.estimates).max() / n < 1e-6


def likelihood_ratio(model, data, group, *, near):
    """Return the p-value of a group, which has two coefficients."""
    plain = fit_near(model, near, data[0], recency=data[1], age=data[2])
    full = fitted(model, data, group[:, None], start=plain.estimates)
    chi_square = 2 * (full.log_likelihood - plain.log_likelihood)
    assert chi_square > -1e-6
    return float(gammaincc(1.0, max(chi_square, 0.0) / 2))


@pytest.mark.slow
def test_the_likelihood_ratio_test_is_uniform_without_an_effect():
    rng = np.random.default_rng(10)
    p_values = []
    for _ in range(240):
        data = drawn(mbg_nbd.MODEL, PARAMS["mbg_nbd"], 1200, rng)
        group = rng.integers(0, 2, 1200) * 1.0
        near = PARAMS["mbg_nbd"]
        p_values.append(likelihood_ratio(mbg_nbd.MODEL, data, group, near=near))
    assert 0.025 <= np.mean(np.array(p_values) < 0.05) <= 0.08
    assert kstest(p_values, "uniform").pvalue > 0.01


@pytest.mark.parametrize("name", ["mbg_nbd", "pareto_nbd", "bg_bb"])
def test_the_likelihood_ratio_test_sees_an_effect(name):
    model, rng = purchase_model(name), np.random.default_rng(13)
    for _ in range(3):
        group = rng.integers(0, 2, 1500) * 1.0
        own = of_group(model, PARAMS[name], group, rate=1.5, leaving=0.6)
        data = drawn(model, own, 1500, rng)
        assert likelihood_ratio(model, data, group, near=PARAMS[name]) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n"), [("mbg_nbd", 1200), ("pareto_nbd", 800)])
def test_intervals_of_lifts_cover(name, n):
    model, rng = purchase_model(name), np.random.default_rng(11)
    truth = np.log([1.5, 0.6])
    inside = []
    for _ in range(220):
        group = rng.integers(0, 2, n) * 1.0
        own = of_group(model, PARAMS[name], group, rate=1.5, leaving=0.6)
        data = drawn(model, own, n, rng)
        full = fitted(model, data, group[:, None], start=PARAMS[name])
        errors = np.sqrt(np.diag(full.covariance))[4:]
        inside.append(np.abs(full.estimates[4:] - truth) < 1.959964 * errors)
    covered = np.mean(inside, axis=0)
    assert ((covered >= 0.92) & (covered <= 0.98)).all(), covered


# What cannot be fitted ---------------------------------------------------------


def test_impossible_rows_are_refused_here_too():
    rows = distinct_rows([[0, 1, 2], [3.0, 2.0, 5.0], [9.0, 9.0, 9.0], [0, 1, 0]])
    with pytest.raises(FitError, match="1 of 3 customers are impossible"):
        fit_with_covariates(
            bg_nbd.MODEL, rows, effects=both(bg_nbd.MODEL, [0]), names=["g", "d"],
            start=[1.0, 5.0, 1.0, 1.0],
        )  # fmt: skip


def test_a_group_that_never_comes_back_is_not_determined():
    # Its rate wants to be 0 and its leaving anything: no honest standard errors.
    rng = np.random.default_rng(12)
    x, recency, age = drawn(mbg_nbd.MODEL, PARAMS["mbg_nbd"], 400, rng)
    group = (np.arange(400) % 4 == 0) * 1.0
    x, recency = np.where(group, 0, x), np.where(group, 0.0, recency)
    found = fitted(mbg_nbd.MODEL, (x, recency, age), group[:, None])
    assert found.at_bound
    assert found.covariance is None
