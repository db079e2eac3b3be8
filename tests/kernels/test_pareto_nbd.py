"""Pareto/NBD against papers, lifetimes, high-precision values and simulated truth."""

import math
import warnings

import mpmath
import numpy as np
import pandas as pd
import pytest
from cdnow import calibration, orders
from drawn_fits import shares_inside
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import gammaln
from scipy.stats import chisquare

from selfloop.core.errors import FitError
from selfloop.kernels import pareto_nbd
from selfloop.kernels.pareto_nbd import MODEL, ParetoNbd
from selfloop.kernels.purchase_fit import fit_purchases
from selfloop.kernels.rows import Rows, distinct_rows

# Maximum-likelihood estimates on CDNOW, weeks, to seven digits.
CDNOW = ParetoNbd(0.553277, 10.577682, 0.606240, 11.668740)
# Parameters of tests of CLVTools and of lifetimes on customers that are hard.
CLVTOOLS = ParetoNbd(0.5143, 2.8845, 0.2856, 14.1087)
LIFETIMES = ParetoNbd(10.465, 0.00798565, 3.0516, 2.820)
ROUNDED = ParetoNbd(0.55, 10.58, 0.61, 11.67)

positive = st.floats(0.05, 20.0)
params = st.builds(ParetoNbd, positive, positive, positive, positive)


@st.composite
def customers(draw, max_x=30):
    """Rows of possible customers: x, t_x, T."""
    n = draw(st.integers(1, 8))
    x = draw(st.lists(st.integers(0, max_x), min_size=n, max_size=n))
    age = draw(st.lists(st.floats(0, 100), min_size=n, max_size=n))
    part = draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))
    x, age = np.array(x, dtype=np.float64), np.array(age)
    return x, np.where(x > 0, np.array(part) * age, 0.0), age


def draw_customers(n, rng, *, truth, period):
    """Draw customers from the model with exact times, and whether they are there.

    Given how often somebody bought while active, the last time is the largest of as
    many uniform ones.
    """
    age = rng.uniform(0.2 * period, period, n)
    rate = rng.gamma(truth.r, 1 / truth.alpha, n)
    hazard = rng.gamma(truth.s, 1 / truth.beta, n)
    leaves = rng.exponential(size=n) / hazard
    active = np.minimum(leaves, age)
    x = rng.poisson(rate * active)
    recency = np.where(x > 0, active * rng.beta(np.maximum(x, 1), 1), 0.0)
    return (x.astype(np.float64), recency, age), leaves > age, (rate, leaves)


def customers_until(end):
    """Reduce the purchases of the sample until some day to x, t_x, T in weeks."""
    table = orders()
    days = table[table["ordered_at"] <= end].drop_duplicates(
        ["customer_id", "ordered_at"]
    )
    people = days.groupby("customer_id")["ordered_at"].agg(["size", "min", "max"])
    recency = (people["max"] - people["min"]).dt.days / 7
    age = (pd.Timestamp(end) - people["min"]).dt.days / 7
    return people["size"].to_numpy() - 1, recency.to_numpy(), age.to_numpy()


def leaving_first(shape, s, ratio):
    """Probability to leave before the next purchase, by Gauss's function."""
    if ratio <= 1:
        f = mpmath.hyp2f1(s + 1, 1, shape + s + 1, 1 - ratio)
        return s * ratio / (shape + s) * f
    return s / (shape + s) * mpmath.hyp2f1(1, shape, shape + s + 1, 1 - 1 / ratio)


def p_alive_exactly(model, x, recency, age):
    """P(alive) to 60 digits by Gauss's function."""
    with mpmath.workdps(60):
        r, alpha, s, beta, x, last, end = map(mpmath.mpf, (*model, x, recency, age))
        fall = (r + x) * mpmath.log((alpha + end) / (alpha + last))
        fall += s * mpmath.log((beta + end) / (beta + last))
        first = leaving_first(r + x, s, (alpha + end) / (beta + end))
        later = leaving_first(r + x, s, (alpha + last) / (beta + last))
        return 1 / (1 - first + mpmath.exp(fall) * later)


def p_alive_by_integration(model, x, recency, age):
    """P(alive) to 30 digits by the integral over the time of leaving."""
    with mpmath.workdps(40):
        r, alpha, s, beta, x, last, end = map(mpmath.mpf, (*model, x, recency, age))

        def hazard(t):
            """Density of having left at t, relative to still being there."""
            slower = ((alpha + end) / (alpha + t)) ** (r + x)
            return slower * ((beta + end) / (beta + t)) ** s / (beta + t)

        knots = [last + (end - last) / mpmath.mpf(2) ** j for j in range(24, -1, -1)]
        return 1 / (1 + s * mpmath.quad(hazard, [last, *knots]))


def expected(model, *, x, recency, age, horizon):
    """Expected purchases of customers of whom it is not known if they are there."""
    rows = {"x": x, "recency": recency, "age": age}
    alive = pareto_nbd.p_alive(model, **rows)
    return alive * pareto_nbd.expected_if_alive(model, **rows, horizon=horizon)


@pytest.fixture(scope="module")
def cdnow():
    """Calibration sample in weeks and its fit."""
    sample = calibration()
    rows = {"x": sample.x, "recency": sample.recency / 7, "age": sample.age / 7}
    return rows, fit_purchases(MODEL, **rows)


# Published numbers ----------------------------------------------------------


def test_cdnow_estimates(cdnow):
    # CLVTools test_correctness_pnbd_nocovstaticcov.R (log-likelihood -9594.976), the
    # BTYD walkthrough 3.2, and a fit with 60-digit derivatives.
    _, fit = cdnow
    assert list(fit.params) == ["r", "alpha", "s", "beta"]
    clvtools = [0.55315, 10.57633, 0.60625, 11.67150]
    np.testing.assert_allclose(fit.estimates, clvtools, rtol=3e-4)
    np.testing.assert_allclose(
        fit.estimates, [0.553, 10.580, 0.606, 11.656], rtol=1.5e-3
    )
    np.testing.assert_allclose(fit.estimates, CDNOW, rtol=2e-6)
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        [0.04763, 0.84272, 0.18728, 6.2111],
        rtol=1e-4,
    )
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        [0.0476264, 0.8427222, 0.1872594, 6.2105448],
        rtol=2e-4,
    )
    assert fit.log_likelihood == pytest.approx(-9594.976179, abs=2e-6)
    assert fit.gradient < 1e-10


def test_cdnow_covariance(cdnow):
    # Upper triangle of reference covariances, in the order r, alpha, s, beta.
    _, fit = cdnow
    printed = [
        0.002268, 0.032983, -0.003154, -0.140686, 0.710181, -0.026926, -1.205964,
        0.035074, 1.130158, 38.577987,
    ]  # fmt: skip
    found = fit.covariance[np.triu_indices(4)]
    np.testing.assert_allclose(found, printed, rtol=3e-4, atol=6e-7)
    np.testing.assert_allclose(fit.covariance, fit.covariance.T, rtol=1e-9)


def test_cdnow_without_zero_days():
    # Eight customers have no other purchase: 2,349 remain.
    sample = calibration(lowest=0.01)
    fit = fit_purchases(MODEL, sample.x, recency=sample.recency / 7, age=sample.age / 7)
    assert fit.n_people == 2349
    np.testing.assert_allclose(
        fit.estimates, [0.55623, 10.60345, 0.60777, 11.73703], rtol=1e-5
    )
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        [0.04788, 0.84520, 0.18821, 6.25014],
        rtol=1.5e-4,
    )
    assert fit.log_likelihood == pytest.approx(-9590.9286, abs=1e-4)


def test_cdnow_all_weeks():
    # The parameters of the example of pnbd.DERT in BTYD are these estimates.
    x, recency, age = customers_until("1998-06-30")
    assert (x.size, x.sum(), (x == 0).sum()) == (2357, 4339, 1218)
    fit = fit_purchases(MODEL, x, recency=recency, age=age)
    np.testing.assert_allclose(
        fit.estimates, [0.56300, 12.55917, 0.40811, 10.51456], rtol=1e-5
    )
    np.testing.assert_allclose(
        fit.estimates, [0.5629966, 12.5590370, 0.4081095, 10.5148048], rtol=3e-5
    )
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        [0.04389, 0.89374, 0.07401, 4.22999],
        rtol=1.5e-4,
    )
    assert fit.log_likelihood == pytest.approx(-17135.8359, abs=1e-4)


def test_walkthrough_predictions():
    # BTYD walkthrough 3.3; its estimates have not fully converged, so that its
    # numbers are within 1e-3, and those at the maximum within all printed digits.
    assert MODEL.expected_new(CDNOW, 52) == pytest.approx(1.473434, rel=1e-6)
    customer = {"x": 26, "recency": 216 / 7, "age": 31}
    assert expected(CDNOW, **customer, horizon=52) == pytest.approx(25.45518, rel=1e-6)
    assert expected(CDNOW, **customer, horizon=52) == pytest.approx(25.45647, rel=1e-4)
    alive = pareto_nbd.p_alive(CDNOW, **customer)
    assert alive == pytest.approx(0.9978734, abs=6e-8)
    assert alive == pytest.approx(0.997874, abs=1e-6)
    found = expected(CDNOW, x=[10, 15, 20, 25], recency=20, age=39, horizon=52)
    printed = [0.7062289, 0.1442396, 0.02250658, 0.00309267]
    np.testing.assert_allclose(found, printed, rtol=1e-3)
    at_maximum = [0.7058885, 0.1441508, 0.02249015, 0.00309007]
    np.testing.assert_allclose(found, at_maximum, rtol=2e-6)


def test_new_customers():
    # BTYD manual, and pymc-marketing's tests.
    manual = [
        0, 0.05077821, 0.09916088, 0.14542507, 0.18979930, 0.23247466, 0.27361274,
        0.31335159, 0.35181024, 0.38909211,
    ]  # fmt: skip
    found = MODEL.expected_new(ParetoNbd(0.55, 10.56, 0.61, 11.64), np.arange(10))
    np.testing.assert_allclose(found, manual, atol=6e-9)
    pymc = ParetoNbd(0.5534, 10.5802, 0.6061, 11.6562)
    np.testing.assert_allclose(
        MODEL.expected_new(pymc, [1, 3, 6]),
        [0.05100453, 0.14612427, 0.27505064],
        rtol=1e-6,
    )


def test_cdnow_sums_and_holdout(cdnow):
    # Sums over the 2,357 customers, and means by calibration x (walkthrough 3.4).
    rows, fit = cdnow
    found = ParetoNbd(**fit.params)
    at_39 = expected(found, **rows, horizon=39)
    assert at_39.sum() == pytest.approx(1665.513, abs=1e-3)
    assert expected(found, **rows, horizon=52).sum() == pytest.approx(
        2109.960, abs=1e-3
    )
    alive = pareto_nbd.p_alive(found, **rows)
    # The seventh digit hangs on that of the estimates.
    assert alive.mean() == pytest.approx(0.4462774, abs=5e-7)
    groups = np.minimum(rows["x"], 7)
    means = [at_39[groups == x].mean() for x in range(8)]
    printed = [0.138, 0.600, 1.196, 1.714, 2.399, 2.907, 3.819, 6.403]
    np.testing.assert_allclose(means, printed, atol=1e-3)
    precise = [
        0.138447, 0.599471, 1.195837, 1.713843, 2.398308, 2.907208, 3.818560, 6.403067
    ]  # fmt: skip
    np.testing.assert_allclose(means, precise, rtol=5e-6)


def test_cdnow_tracking(cdnow):
    # Walkthrough 3.5: expected repeat purchases until the end of weeks 20 to 25, and
    # those of each week, of customers who came when they did.
    rows, fit = cdnow
    found = ParetoNbd(**fit.params)
    came = rows["age"].max() - rows["age"]
    total = [
        MODEL.expected_new(found, np.maximum(week - came, 0)).sum()
        for week in range(20, 26)
    ]
    printed = [1308.912, 1385.334, 1459.985, 1532.970, 1604.386, 1674.321]
    np.testing.assert_allclose(total, printed, atol=6e-4)
    walkthrough = [76.419, 74.648, 72.983, 71.414, 69.933]
    np.testing.assert_allclose(np.diff(total), walkthrough, atol=4e-3)


# lifetimes ------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitter():
    """The fitter of lifetimes, which warns, and silences warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifetimes import ParetoNBDFitter  # noqa: PLC0415 - must not leak filters
    return ParetoNBDFitter()


def theirs(fitter, model, function, *args):
    """Call a function of lifetimes at some parameters, in silence."""
    fitter.params_ = pd.Series(list(model), index=["r", "alpha", "s", "beta"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(getattr(fitter, function)(*args))


def test_agrees_with_lifetimes(cdnow, fitter):
    rows, _ = cdnow
    data = rows["x"], rows["recency"], rows["age"]
    alive = theirs(fitter, CDNOW, "conditional_probability_alive", *data)
    np.testing.assert_allclose(pareto_nbd.p_alive(CDNOW, **rows), alive, rtol=1e-9)
    for horizon in (1.0, 39.0, 520.0):
        name = "conditional_expected_number_of_purchases_up_to_time"
        other = theirs(fitter, CDNOW, name, horizon, *data)
        found = expected(CDNOW, **rows, horizon=horizon)
        np.testing.assert_allclose(found, other, rtol=1e-8)
    each = pareto_nbd.each(CDNOW, Rows(data, np.ones(data[0].size)))
    other = theirs(fitter, CDNOW, "_conditional_log_likelihood", CDNOW, *data)
    np.testing.assert_allclose(each.log_likelihood, other, rtol=1e-10)
    for n in (0, 1, 5):
        name = "conditional_probability_of_n_purchases_up_to_time"
        other = theirs(fitter, CDNOW, name, n, 39.0, *data)
        if_alive = pareto_nbd.pmf_if_alive(CDNOW, n=n, **rows, horizon=39.0)
        found = alive * if_alive + (n == 0) * (1 - alive)
        np.testing.assert_allclose(found, other, rtol=1e-6)


@pytest.mark.parametrize(("age", "heaviest"), [(52, 170), (104, 148), (200, 132)])
def test_right_where_lifetimes_is_not(fitter, age, heaviest):
    # Customers who bought on the last day: NaN there from some x on, 1 here.
    x = np.arange(heaviest - 2, heaviest + 40)
    there = theirs(fitter, CDNOW, "conditional_probability_alive", x, age, age)
    assert np.isnan(there[x >= heaviest]).any()
    found = pareto_nbd.p_alive(CDNOW, x=x, recency=age, age=age)
    np.testing.assert_array_equal(found, 1)
    before = pareto_nbd.p_alive(CDNOW, x=x, recency=age - 1 / 7, age=age)
    exact = [float(p_alive_exactly(CDNOW, n, age - 1 / 7, age)) for n in x[::10]]
    np.testing.assert_allclose(before[::10], exact, rtol=1e-12)


def test_heavy_buyers_of_the_tests_of_lifetimes(fitter):
    # From a comment there; lifetimes gives NaN today.
    rows = {"x": np.array([132, 133]), "recency": 200.0, "age": 200.0}
    name = "conditional_expected_number_of_purchases_up_to_time"
    other = theirs(fitter, ROUNDED, name, 10.0, *rows.values())
    assert np.isnan(other).all()
    found = expected(ROUNDED, **rows, horizon=10)
    np.testing.assert_allclose(found, [6.20605178895, 6.25287224756], rtol=1e-11)


# Extreme arguments ----------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "customer", "alive"),
    [  # 60-digit arithmetic
        (CLVTOOLS, (221, 103.42857, 103.57143), 0.999596052),
        (CLVTOOLS, (254, 97.14286, 97.28571), 0.999558226),
        (CLVTOOLS, (161, 94.71429, 98), 0.749487752),
        (CLVTOOLS, (204, 98.57143, 99.42857), 0.994255080),
        (LIFETIMES, (40, 5, 6), 0.00188512818),
        (LIFETIMES, (50, 1, 37), 1.41714414e-96),
        (LIFETIMES, (50, 4, 37), 6.73297471e-60),
    ],
)
def test_alive_of_hard_customers(model, customer, alive):
    x, recency, age = customer
    found = pareto_nbd.p_alive(model, x=x, recency=recency, age=age)
    assert found == pytest.approx(alive, rel=4e-9)


@pytest.mark.parametrize(
    ("customer", "log_integral"),
    [
        ((400, 5, 6), -674.01597878144),
        ((500, 1, 37), -15.717869761672),
        ((500, 4, 37), -721.30107533025),
    ],
)
def test_likelihood_of_hard_customers(customer, log_integral):
    # ln of Int (alpha+t)^-(r+x) (beta+t)^-(s+1) dt from t_x to T: what is left of the
    # likelihood when it is certain that they left.
    r, alpha, s, beta = LIFETIMES
    x, _, age = customer
    rows = Rows(tuple(np.array([float(v)]) for v in customer), np.ones(1))
    found = pareto_nbd.each(LIFETIMES, rows).log_likelihood[0]
    found -= gammaln(r + x) - gammaln(r) + r * math.log(alpha) + s * math.log(beta)
    there = -(r + x) * math.log(alpha + age) - s * math.log(beta + age)
    gone = found + math.log1p(-math.exp(there - found))
    assert gone - math.log(s) == pytest.approx(log_integral, rel=1e-11)


@pytest.mark.parametrize(
    ("x", "recency", "age", "horizon", "purchases", "alive"),
    [  # 50-digit arithmetic at the estimates on CDNOW
        (0, 0, 38.86, 39, 0.10705889, 0.295096),
        (2, 30.43, 38.86, 39, 1.4550988, 0.869116),
        (29, 38, 38.86, 52, 24.314441, 0.986469),
        (100, 38, 38.86, 520, 405.26362, 0.972073),
        (300, 38, 39, 52, 131.04187, 0.523995),
        (300, 100, 520, 52, 1.1092311e-201, 3.87493e-203),
        (1000, 50, 52, 52, 8.6769348e-9, 1.2664e-11),
        (1000, 10, 100, 52, 0, 0),  # 1e-728: below the smallest float
        (3000, 50, 52, 52, 4.7695744e-36, 2.32125e-39),
        (500, 500, 520, 5200, 0.0070943386, 3.59212e-6),
    ],
)
def test_extreme_customers(cdnow, x, recency, age, horizon, purchases, alive):
    found = ParetoNbd(**cdnow[1].params)
    rows = {"x": x, "recency": recency, "age": age}
    # Tiny probabilities carry the last digits of the estimates to the power x.
    tolerance = 3e-6 if alive > 1e-3 or alive == 0 else 1e-4
    assert pareto_nbd.p_alive(found, **rows) == pytest.approx(
        alive, rel=tolerance, abs=1e-300
    )
    assert expected(found, **rows, horizon=horizon) == pytest.approx(
        purchases, rel=tolerance, abs=1e-300
    )


EXTREME = [
    CDNOW,
    LIFETIMES,
    ParetoNbd(0.5, 10, 0.6, 10),  # alpha = beta
    ParetoNbd(2, 5, 1, 5),  # and s = 1
    ParetoNbd(0.8, 1e4, 1, 1),  # alpha >> beta
    ParetoNbd(0.8, 1, 1.7, 1e4),  # alpha << beta
    ParetoNbd(1e-4, 3, 1e-4, 5),
    ParetoNbd(1e-6, 7, 2.5, 1e-3),
    ParetoNbd(300, 1000, 200, 500),
    ParetoNbd(0.3, 4, 1e-6, 9),
]
HISTORIES = [
    (x, part * age, age)
    for x, part, age in [
        (0, 0, 0), (0, 0, 1), (0, 0, 10_000), (3, 1, 10_000), (1, 1e-4, 39),
        (1, 0.5, 520), (30, 0.999, 39), (300, 0.99, 520), (300, 0.5, 1),
        (3000, 0.999, 10_000), (20_000, 0.9999, 10_000),
        (20_000, 0.97, 39),
    ]
]  # fmt: skip


@pytest.mark.parametrize("model", EXTREME)
def test_alive_to_all_digits(model):
    x, recency, age = np.array(HISTORIES, dtype=np.float64).T
    exact = [p_alive_exactly(model, *row) for row in HISTORIES]
    alone = [
        float(pareto_nbd.p_alive(model, x=a, recency=b, age=c)) for a, b, c in HISTORIES
    ]
    # Many customers at a time share polynomials.
    many = pareto_nbd.p_alive(
        model, x=np.tile(x, 400), recency=np.tile(recency, 400), age=np.tile(age, 400)
    )
    for found in (alone, many[: x.size], many[-x.size :]):
        for probability, truth in zip(found, exact, strict=True):
            if truth < 1e-300:
                assert probability == pytest.approx(float(truth), abs=1e-305)
            else:
                assert abs(mpmath.mpf(probability) / truth - 1) < 1e-12
    at_once = pareto_nbd.p_alive(model, x=x, recency=x * 0 + age, age=age)
    np.testing.assert_array_equal(at_once, 1)


@pytest.mark.parametrize("model", EXTREME)
@pytest.mark.parametrize("customer", [(1, 3, 39), (300, 500, 520)])
def test_alive_by_another_formula(model, customer):
    truth = p_alive_by_integration(model, *customer)
    x, recency, age = customer
    found = float(pareto_nbd.p_alive(model, x=x, recency=recency, age=age))
    assert abs(mpmath.mpf(found) / truth - 1) < 1e-12


@pytest.mark.parametrize("model", EXTREME)
@pytest.mark.parametrize("horizon", [1e-6, 1.0, 520.0, 1e4])
def test_expected_to_all_digits(model, horizon):
    for x, _, age in HISTORIES:
        with mpmath.workdps(60):
            r, alpha, s, beta, n, now, ahead = map(
                mpmath.mpf, (*model, x, age, horizon)
            )
            grown = mpmath.log1p(ahead / (beta + now))
            active = grown if s == 1 else -mpmath.expm1((1 - s) * grown) / (s - 1)
            truth = (r + n) * (beta + now) / (alpha + now) * active
        rows = {"x": x, "recency": 0, "age": age, "horizon": horizon}
        found = float(pareto_nbd.expected_if_alive(model, **rows))
        assert abs(mpmath.mpf(found) / truth - 1) < 1e-12


def test_expected_near_the_hole_of_the_formula():
    # s -> 1: (r+x)/(alpha+T) (beta+T) ln(1 + t/(beta+T)) = 3/10 * 10 * ln 2.
    for s in (1 - 1e-13, 1, 1 + 1e-13):
        found = pareto_nbd.expected_if_alive(
            ParetoNbd(1, 4, s, 4), x=2, recency=0, age=6, horizon=10
        )
        assert found == pytest.approx(3 * math.log(2), rel=1e-12)


def test_nothing_in_no_time():
    rows = {"x": [0, 3], "recency": [0, 5.0], "age": [0, 9.0], "horizon": 0}
    assert pareto_nbd.expected_if_alive(CDNOW, **rows).tolist() == [0, 0]
    for n, probability in [(0, 1), (1, 0), (9, 0)]:
        found = pareto_nbd.pmf_if_alive(CDNOW, n=n, **rows)
        assert found == pytest.approx([probability] * 2, abs=1e-15)
    drawn = pareto_nbd.draw_if_alive(CDNOW, **rows, rng=np.random.default_rng(0))
    assert drawn.tolist() == [0, 0]


def test_nobody():
    nobody = np.empty(0)
    rows = {"x": nobody, "recency": nobody, "age": nobody}
    assert pareto_nbd.p_alive(CDNOW, **rows).shape == (0,)
    assert pareto_nbd.pmf_if_alive(CDNOW, n=1, **rows, horizon=1).shape == (0,)
    assert pareto_nbd.each(CDNOW, Rows((nobody,) * 3, nobody)).gradient.shape == (4, 0)


# The likelihood -------------------------------------------------------------


def test_log_likelihood_by_hand():
    # r = s = alpha = beta = T = 1: somebody who buys nothing has no event at all with
    # E[e^-(lambda+mu)] = (1/2)^2 = 1/4; otherwise, leaving comes first half the time.
    rows = Rows((np.zeros(1), np.zeros(1), np.ones(1)), np.full(1, 3.0))
    one = ParetoNbd(1, 1, 1, 1)
    value = math.log(1 / 4 + 1 / 2 * 3 / 4)
    assert pareto_nbd.each(one, rows).log_likelihood == pytest.approx(
        [value], rel=1e-13
    )
    total, _ = pareto_nbd.objective(rows)(np.array(one))
    assert total == pytest.approx(3 * value, rel=1e-13)
    alive = pareto_nbd.p_alive(one, x=0, recency=0, age=1)
    assert alive == pytest.approx(1 / 4 / (5 / 8), rel=1e-13)


@pytest.mark.parametrize(
    "model",
    [
        CDNOW,
        ParetoNbd(2.0, 5, 1, 5),
        ParetoNbd(0.7, 0.5, 3, 40),
        ParetoNbd(4, 60, 0.5, 1),
    ],
)
def test_log_likelihood_is_the_mean_over_customers(model):
    # Over lambda and mu: one known customer has
    # lambda^x / (lambda+mu) (mu e^-(lambda+mu) t_x + lambda e^-(lambda+mu) T).
    x = np.array([0, 0, 1, 1, 7, 40.0])
    recency = np.array([0, 0, 0.3, 39, 12, 38])
    age = np.array([0, 39, 39, 39, 30, 38.5])
    logs = np.linspace(-85, 8, 1400)
    rate, hazard = np.exp(logs)[:, None], np.exp(logs)
    grid = logs[1] - logs[0]
    r, alpha, s, beta = model
    weights = np.exp(r * (logs + math.log(alpha)) - alpha * np.exp(logs) - gammaln(r))
    of_hazard = np.exp(s * (logs + math.log(beta)) - beta * np.exp(logs) - gammaln(s))
    weights = weights[:, None] * of_hazard * grid**2
    both = rate + hazard
    exact = [
        np.sum(
            weights * rate**n / both
            * (hazard * np.exp(-both * last) + rate * np.exp(-both * end))
        )
        for n, last, end in zip(x, recency, age, strict=True)
    ]  # fmt: skip
    found = pareto_nbd.each(model, Rows((x, recency, age), np.ones(6)))
    np.testing.assert_allclose(
        found.log_likelihood, np.log(exact), rtol=1e-9, atol=1e-10
    )


def slopes(function, center):
    """Return derivatives by logs, by central differences of fourth order."""
    found = []
    for i in range(center.size):
        unit = np.eye(center.size)[i]
        near, far = (
            function(center * np.exp(h * unit)) - function(center * np.exp(-h * unit))
            for h in (1e-3, 2e-3)
        )
        found.append((8 * near - far) / 12e-3)
    return np.array(found)


@settings(deadline=None)
@given(params, customers())
@example(ParetoNbd(1, 1, 1, 1), (np.zeros(1), np.zeros(1), np.zeros(1)))
def test_gradient_is_that_of_the_likelihood(model, rows):
    objective = pareto_nbd.objective(distinct_rows(rows))
    center = np.array(model)
    value, gradient = objective(center)
    numeric = slopes(lambda p: objective(p)[0], center)
    scale = 1 + abs(value)
    np.testing.assert_allclose(gradient * center, numeric, rtol=1e-7, atol=1e-9 * scale)


@settings(deadline=None)
@given(params, customers())
def test_objective_is_the_sum_of_each(model, rows):
    distinct = distinct_rows(rows)
    value, gradient = pareto_nbd.objective(distinct)(np.array(model))
    each = pareto_nbd.each(model, distinct)
    assert value == pytest.approx(
        each.log_likelihood @ distinct.counts, rel=1e-11, abs=1e-11
    )
    found = each.gradient @ distinct.counts
    np.testing.assert_allclose(gradient, found, rtol=1e-9, atol=1e-10)


def many_customers(n=30_000, truth=CDNOW, seed=5):
    """Rows enough for polynomials, and for blocks of a single x."""
    data, _, _ = draw_customers(n, np.random.default_rng(seed), truth=truth, period=80)
    return distinct_rows(data)


@pytest.mark.parametrize(
    "model",
    [
        CDNOW,
        *EXTREME[2:6],
        ParetoNbd(0.05, 1e-4, 0.05, 3e4),
        ParetoNbd(1e5, 1e6, 1e5, 1),
    ],
)
def test_polynomials_are_as_good_as_integrals(model):
    rows = many_customers()
    assert rows.n_distinct == 30_000
    value, gradient = pareto_nbd.objective(rows)(np.array(model))
    # Parameters of each row of their own: nothing is shared.
    own = [np.full(rows.n_distinct, v) for v in model]
    each, shared = pareto_nbd.each(own, rows), pareto_nbd.each(model, rows)
    np.testing.assert_allclose(
        shared.log_likelihood, each.log_likelihood, rtol=1e-11, atol=1e-11
    )
    assert value == pytest.approx(each.log_likelihood.sum(), rel=1e-12)
    size = np.abs(each.gradient).sum(axis=1)
    assert np.all(np.abs(gradient - each.gradient.sum(axis=1)) < 1e-11 * size)
    assert np.all(np.abs(shared.gradient - each.gradient).sum(axis=1) < 1e-10 * size)
    data = dict(zip(("x", "recency", "age"), rows.columns, strict=True))
    alive, other = pareto_nbd.p_alive(model, **data), pareto_nbd.p_alive(own, **data)
    np.testing.assert_allclose(alive, other, rtol=1e-11)


def test_rows_count_and_their_order_does_not():
    rows = many_customers(3000)
    x, recency, age = (np.round(c) for c in rows.columns)
    order = np.random.default_rng(1).permutation(x.size)
    shuffled = Rows((x[order], recency[order], age[order]), np.ones(x.size))
    counted = distinct_rows([x, recency, age])
    assert counted.n_distinct < 0.6 * x.size
    at = np.array([0.6, 9, 0.7, 14])
    value, gradient = pareto_nbd.objective(counted)(at)
    other, other_gradient = pareto_nbd.objective(shuffled)(at)
    assert other == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(other_gradient, gradient, rtol=1e-10)


def test_every_customer_with_another_count():
    # 5,000 numbers of purchases: integrals for each, and in rows far apart.
    x = np.arange(5000.0) * 4
    recency, age = 0.98 * np.sqrt(x), np.sqrt(x) + 1
    recency[0] = 0
    rows = distinct_rows([x, recency, age])
    value, gradient = pareto_nbd.objective(rows)(np.array(CDNOW))
    each = pareto_nbd.each([np.full(5000, v) for v in CDNOW], rows)
    assert value == pytest.approx(each.log_likelihood.sum(), rel=1e-13)
    np.testing.assert_allclose(gradient, each.gradient.sum(axis=1), rtol=1e-9)


def test_likelihood_at_the_ends_of_the_range():
    # Where a search may look: nothing overflows, and the gradient is a number.
    rows = many_customers(500)
    objective = pareto_nbd.objective(rows)
    for signs in np.ndindex(2, 2, 2, 2):
        at = np.exp(14.0 * (2 * np.array(signs) - 1)) * np.array([1, 80, 1, 80])
        value, gradient = objective(at)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


# Laws -----------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(params, customers(), st.integers(0, 2**31))
def test_parameters_per_row_are_those_of_the_row(model, rows, seed):
    x, recency, age = rows
    rng = np.random.default_rng(seed)
    own = [v * np.exp(rng.normal(0, 0.3, x.size)) for v in model]
    shared = [own[0][0], own[1], own[2][0], own[3]]  # as covariates make them
    data = {"x": x, "recency": recency, "age": age}
    for values in (own, shared):
        found = (
            pareto_nbd.p_alive(values, **data),
            pareto_nbd.expected_if_alive(values, **data, horizon=20),
            pareto_nbd.pmf_if_alive(values, n=2, **data, horizon=20),
        )
        each = pareto_nbd.each(values, Rows(rows, np.ones(x.size)))
        for i in range(x.size):
            one = [float(np.broadcast_to(v, x.shape)[i]) for v in values]
            of_one = {k: v[i] for k, v in data.items()}
            alone = (
                pareto_nbd.p_alive(one, **of_one),
                pareto_nbd.expected_if_alive(one, **of_one, horizon=20),
                pareto_nbd.pmf_if_alive(one, n=2, **of_one, horizon=20),
            )
            for many, single in zip(found, alone, strict=True):
                assert single.shape == ()
                assert many[i] == pytest.approx(float(single), rel=1e-11)
            row = Rows(tuple(c[i : i + 1] for c in rows), np.ones(1))
            single = pareto_nbd.each(one, row)
            assert each.log_likelihood[i] == pytest.approx(
                single.log_likelihood[0], rel=1e-11, abs=1e-11
            )
            np.testing.assert_allclose(
                each.gradient[:, i], single.gradient[:, 0], rtol=1e-8, atol=1e-9
            )


def test_all_arguments_broadcast():
    rows = {"x": np.array([[0], [4]]), "recency": 0.0, "age": np.array([9.0, 20, 39])}
    assert pareto_nbd.p_alive(CDNOW, **rows).shape == (2, 3)
    rows["horizon"] = np.full((5, 1, 1), 8.0)
    assert pareto_nbd.expected_if_alive(CDNOW, **rows).shape == (5, 2, 3)
    assert pareto_nbd.pmf_if_alive(CDNOW, n=2, **rows).shape == (5, 2, 3)
    drawn = pareto_nbd.draw_if_alive(CDNOW, rng=np.random.default_rng(0), **rows)
    assert drawn.shape == (5, 2, 3)
    assert drawn.dtype == np.int64


def test_columns_of_others_are_ignored():
    rows = many_customers(200)
    wider = Rows((*rows.columns, np.ones(rows.n_distinct)), rows.counts)
    np.testing.assert_array_equal(
        pareto_nbd.each(CDNOW, wider).gradient, pareto_nbd.each(CDNOW, rows).gradient
    )
    at = np.array(CDNOW)
    assert pareto_nbd.objective(wider)(at)[0] == pareto_nbd.objective(rows)(at)[0]


@settings(deadline=None)
@given(params, st.integers(0, 40), st.floats(0, 50))
def test_waiting_makes_alive_less_likely(model, x, recency):
    recency = recency if x else 0.0
    ages = recency + np.array([0, 1e-3, 0.5, 2, 10, 300])
    alive = pareto_nbd.p_alive(model, x=x, recency=recency, age=ages)
    assert alive[0] == 1
    assert np.all((alive >= 0) & (alive <= 1))
    assert np.all(np.diff(alive) < 1e-14)


@settings(deadline=None)
@given(params, st.integers(0, 40), st.floats(0.1, 50))
def test_later_purchases_make_alive_more_likely(model, x, age):
    recency = age * np.array([0.01, 0.3, 0.7, 0.99])
    alive = pareto_nbd.p_alive(model, x=x + 1, recency=recency, age=age)
    assert np.all(np.diff(alive) > -1e-14)


@settings(deadline=None)
@given(params, customers(max_x=3000), st.floats(0.01, 1e4))
def test_expected_is_what_it_is_called(model, rows, horizon):
    x, recency, age = rows
    data = {"x": x, "recency": recency, "age": age}
    short = pareto_nbd.expected_if_alive(model, **data, horizon=horizon)
    longer = pareto_nbd.expected_if_alive(model, **data, horizon=2 * horizon)
    most = (model.r + x) * horizon / (model.alpha + age)  # of one who never leaves
    assert np.all((short > 0) & (short <= most * (1 + 1e-12)))
    assert np.all(longer >= short * (1 - 1e-12))
    assert np.all(longer <= 2 * short * (1 + 1e-12))


# Numbers of purchases -------------------------------------------------------


def pmf_exactly(model, n, x, age, horizon):
    """Probability of n purchases by its integral, piece by piece, to 20 digits."""
    with mpmath.workdps(25):
        r, alpha, s, beta, now, ahead = map(mpmath.mpf, (*model, age, horizon))
        a, b, shape = alpha + now, beta + now, r + x
        log_ways = mpmath.loggamma(shape + n) - mpmath.loggamma(shape)
        log_ways -= mpmath.loggamma(n + 1)

        def of_active(u):
            """Probability of n purchases within an active time."""
            grows = n * mpmath.log(u / (a + u)) if n else 0
            return mpmath.exp(log_ways + shape * mpmath.log(a / (a + u)) + grows)

        pieces = [ahead / mpmath.mpf(2) ** j for j in range(36, 6, -2)]
        pieces += [ahead * j / 60 for j in range(1, 61)]
        inside = mpmath.quad(
            lambda u: s / b * (1 + u / b) ** (-s - 1) * of_active(u),
            [0, *pieces],
            maxdegree=4,
        )
        return (1 + ahead / b) ** -s * of_active(ahead) + inside


@pytest.mark.parametrize(
    ("model", "n", "x", "age", "horizon"),
    [
        (CDNOW, 0, 0, 0, 39),
        (CDNOW, 3, 2, 38.86, 39),
        (CDNOW, 20, 30, 39, 10_000),
        (ParetoNbd(2, 5, 1, 5), 300, 300, 39, 52),
        (ParetoNbd(0.8, 1000, 1, 0.1), 300, 300, 39, 52),
        (ParetoNbd(1e-3, 3, 1e-3, 1000), 1, 0, 5, 100),
        (LIFETIMES, 40, 40, 6, 1),
        (CDNOW, 2000, 20_000, 1000, 100),
        (CDNOW, 0, 20_000, 1000, 1),
    ],
)
def test_pmf_to_all_digits(model, n, x, age, horizon):
    rows = {"x": x, "recency": 0, "age": age, "horizon": horizon}
    found = float(pareto_nbd.pmf_if_alive(model, n=n, **rows))
    truth = pmf_exactly(model, n, x, age, horizon)
    assert abs(mpmath.mpf(found) / truth - 1) < 2e-11


@settings(deadline=None, max_examples=40)
@given(params, st.integers(0, 50), st.floats(0, 60), st.floats(0.01, 2))
@example(ParetoNbd(0.5, 0.01, 3, 2), 3, 5.0, 0.2)
def test_pmf_sums_to_one_and_has_the_mean(model, x, age, share):
    rows = {"x": x, "recency": 0, "age": age, "horizon": share * (model.alpha + age)}
    n = np.arange(1500)
    found = pareto_nbd.pmf_if_alive(model, n=n, **rows)
    assert np.all(found >= 0)
    assert found.sum() == pytest.approx(1, abs=1e-11)
    mean = float(pareto_nbd.expected_if_alive(model, **rows))
    assert (n * found).sum() == pytest.approx(mean, rel=1e-9)


def test_pmf_of_new_customers_sums_to_one():
    found = MODEL.pmf_new(CDNOW, n=np.arange(400), horizon=52)
    assert found.sum() == pytest.approx(1, abs=1e-11)
    mean = (np.arange(400) * found).sum()
    assert mean == pytest.approx(float(MODEL.expected_new(CDNOW, 52)), rel=1e-9)


@pytest.mark.parametrize(
    ("model", "x", "age", "horizon"),
    [(CDNOW, 2, 39, 39), (ParetoNbd(2, 5, 1.5, 5), 10, 8, 20), (CDNOW, 0, 0, 52)],
)
def test_draws_have_the_distribution(model, x, age, horizon):
    rows = {"x": x, "recency": 0, "age": age, "horizon": horizon}
    n = 200_000
    rng = np.random.default_rng(7)
    drawn = pareto_nbd.draw_if_alive(
        model, **rows | {"age": np.full(n, float(age))}, rng=rng
    )
    mean = float(pareto_nbd.expected_if_alive(model, **rows))
    assert drawn.mean() == pytest.approx(mean, abs=4 * drawn.std() / math.sqrt(n))
    top = np.flatnonzero(np.bincount(drawn) >= 20)[-1]
    probability = pareto_nbd.pmf_if_alive(model, n=np.arange(top), **rows)
    wanted = n * np.append(probability, 1 - probability.sum())
    counted = np.bincount(np.minimum(drawn, top), minlength=top + 1)
    assert chisquare(counted, wanted).pvalue > 1e-3


def test_draws_without_anybody_leaving():
    # s -> 0: the time until leaving overflows and no longer matters. 2.5 * 10 / 20.
    drawn = pareto_nbd.draw_if_alive(
        ParetoNbd(0.5, 8, 1e-9, 2),
        x=2,
        recency=3,
        age=np.full(100_000, 12.0),
        horizon=10,
        rng=np.random.default_rng(3),
    )
    assert drawn.mean() == pytest.approx(1.25, abs=4 * drawn.std() / math.sqrt(1e5))


# Fits -----------------------------------------------------------------------


@pytest.mark.parametrize("unit", [7.0, 1 / 86_400])
def test_unit_of_time_changes_times_alone(cdnow, unit):
    rows, weeks = cdnow
    fit = fit_purchases(
        MODEL,
        rows["x"],
        recency=rows["recency"] * 7 / unit,
        age=rows["age"] * 7 / unit,
    )
    factor = np.array([1, 7 / unit, 1, 7 / unit])
    np.testing.assert_allclose(fit.estimates, weeks.estimates * factor, rtol=1e-7)
    shift = 2457 * math.log(7 / unit)
    assert fit.log_likelihood == pytest.approx(weeks.log_likelihood - shift, abs=1e-5)


def test_warm_start_changes_nothing(cdnow):
    rows, fit = cdnow
    warm = fit_purchases(MODEL, **rows, n_warm=300)
    np.testing.assert_allclose(warm.estimates, fit.estimates, rtol=1e-7)


def test_starts_are_where_the_data_are():
    # 0.3 * mean age 40 / mean x 2 = 6.
    rows = distinct_rows([[1, 3], [20.0, 30.0], [30.0, 50.0]])
    # The longest age is 50: 0.0003 * 50 and 100 * 50.
    wanted = [(1, 6, 1, 6), (0.3, 6, 0.3, 6), (5, 30, 0.3, 6)]
    wanted += [(1, 6, 0.01, 0.015), (1, 6, 1, 5000)]
    np.testing.assert_allclose(pareto_nbd.starts(rows), wanted, rtol=1e-14)


def test_no_dropout_is_said_to_be_undetermined():
    rng = np.random.default_rng(1)
    age = rng.uniform(200, 300, 1500)
    x = rng.poisson(rng.gamma(0.5, 1 / 40, 1500) * age)
    recency = np.where(x > 0, age * rng.beta(np.maximum(x, 1), 1), 0.0)
    fit = fit_purchases(MODEL, x, recency=recency, age=age)
    assert {"s", "beta"} & set(fit.at_bound)
    assert fit.covariance is None
    assert fit.params["r"] == pytest.approx(0.5, rel=0.2)
    found = expected(
        ParetoNbd(**fit.params), x=x, recency=recency, age=age, horizon=100
    )
    assert found.mean() == pytest.approx(0.5 / 40 * 100, rel=0.1)


def test_one_heavy_buyer_does_not_break_the_fit(cdnow):
    rows, _ = cdnow
    more = {"x": 2500, "recency": 271 / 7, "age": 272 / 7}
    fit = fit_purchases(MODEL, **{k: np.append(v, more[k]) for k, v in rows.items()})
    assert fit.at_bound == ()
    assert fit.gradient < 1e-9


def test_data_without_an_answer():
    with pytest.raises(FitError, match="none of the 3 customers bought a second"):
        fit_purchases(MODEL, [0, 0, 0], recency=[0, 0, 0], age=[5, 6, 7])


# Truth ----------------------------------------------------------------------


def test_truth_is_recovered():
    truth = ParetoNbd(0.9, 49.0, 0.7, 90.0)
    data, _, _ = draw_customers(
        120_000, np.random.default_rng(20), truth=truth, period=728
    )
    fit = fit_purchases(MODEL, data[0], recency=data[1], age=data[2])
    errors = np.array(list(fit.standard_errors.values()))
    assert np.all(np.abs(fit.estimates - np.array(truth)) < 3 * errors)
    assert np.all(errors / fit.estimates < 0.05)


def test_predictions_come_true():
    # Who of 60,000 customers is still there, and what they buy in the next 180 days.
    truth = ParetoNbd(0.8, 40.0, 0.7, 60.0)
    rng = np.random.default_rng(8)
    n, horizon = 60_000, 180.0
    data, is_there, (rate, leaves) = draw_customers(n, rng, truth=truth, period=400)
    rows = dict(zip(("x", "recency", "age"), data, strict=True))
    to_come = rng.poisson(rate * np.clip(leaves - rows["age"], 0, horizon))
    alive = pareto_nbd.p_alive(truth, **rows)
    found = expected(truth, **rows, horizon=horizon)
    assert alive.mean() == pytest.approx(is_there.mean(), abs=0.008)
    for group in np.array_split(np.argsort(alive, kind="stable"), 10):
        assert alive[group].mean() == pytest.approx(is_there[group].mean(), abs=0.026)
    for group in np.array_split(np.argsort(found, kind="stable"), 10):
        noise = 4 * to_come[group].std() / math.sqrt(group.size) + 1e-3
        assert found[group].mean() == pytest.approx(to_come[group].mean(), abs=noise)


@pytest.mark.slow
def test_intervals_cover_the_truth():
    truth = ParetoNbd(1.5, 40.0, 1.2, 60.0)
    rng = np.random.default_rng(4)

    def draw():
        return draw_customers(800, rng, truth=truth, period=300)[0]

    inside = shares_inside(MODEL, truth, draw, n_runs=200)
    assert np.all((inside >= 0.92) & (inside <= 0.98)), inside
