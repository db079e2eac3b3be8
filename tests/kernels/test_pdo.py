"""PDO against NBD, exact fractions, high-precision values, and simulated truth."""

import math
from fractions import Fraction

import numpy as np
import pytest
from cdnow import calibration
from drawn_fits import shares_inside
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gammaln, roots_sh_jacobi
from scipy.stats import gamma

from selfloop.core.errors import FitError
from selfloop.kernels import nbd, pdo
from selfloop.kernels.pdo import Pdo
from selfloop.kernels.purchase_fit import fit_purchases
from selfloop.kernels.rows import Rows, distinct_rows

# Estimates of a reference fit of CDNOW at tau = 3 weeks.
CDNOW = Pdo(0.5211, 10.3149, 0.4181, 2.3221)
TAU = 3.0
NEW = {"x": 0, "recency": 0, "age": 0}

positive = st.floats(0.05, 20.0)
params = st.builds(Pdo, positive, positive, positive, positive)
periods = st.floats(0.5, 40.0)


@st.composite
def customers(draw, max_x=30):
    """Rows of possible customers: x, t_x, T."""
    n = draw(st.integers(1, 8))
    x = np.array(draw(st.lists(st.integers(0, max_x), min_size=n, max_size=n)), float)
    age = np.array(draw(st.lists(st.floats(0, 100), min_size=n, max_size=n)))
    part = np.array(draw(st.lists(st.floats(0, 1), min_size=n, max_size=n)))
    return x, np.where(x > 0, part * age, 0.0), age


def rows_of(x, recency, age):
    """One row per customer, in the order given."""
    columns = np.broadcast_arrays(
        *(np.asarray(v, np.float64) for v in (x, recency, age))
    )
    return Rows(tuple(np.atleast_1d(c) for c in columns), np.ones(columns[0].size))


def draw_customers(age, rng, *, truth, tau):
    """Draw purchases until the end of age, or until the customer leaves; and when."""
    rate = rng.gamma(truth.r, 1 / truth.alpha, age.size)
    leaves = np.maximum(rng.beta(truth.a, truth.b, age.size), 1e-12)
    left_at = rng.geometric(leaves) * tau
    end = np.minimum(left_at, age)
    x = rng.poisson(rate * end)
    recency = np.where(x > 0, end * rng.beta(np.maximum(x, 1), 1), 0.0)
    return x, recency, rate, left_at


@pytest.fixture(scope="module")
def sample():
    """CDNOW calibration sample in weeks."""
    days = calibration()
    return {"x": days.x, "recency": days.recency / 7, "age": days.age / 7}


# Published numbers ----------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "expected"),
    [  # log-likelihoods of an independent fit, tau on a grid of days
        pytest.param(1, -9589.571, marks=pytest.mark.slow),
        (7, -9588.845),
        (14, -9587.605),
        (20, -9589.147),
        (21, -9585.080),
        (22, -9586.644),
        (28, -9594.018),
        (42, -9597.005),
        (91, -9649.733),
    ],
)
def test_cdnow_log_likelihood(sample, days, expected):
    fit = fit_purchases(pdo.model(days / 7), **sample)
    assert fit.log_likelihood == pytest.approx(expected, abs=5.1e-4)
    assert fit.at_bound == ()
    assert fit.gradient < 1e-9


def test_cdnow_best_period(sample):
    fit = fit_purchases(pdo.model(3.0), **sample)
    assert list(fit.params) == ["r", "alpha", "a", "b"]
    np.testing.assert_allclose(fit.estimates, CDNOW, atol=5.1e-5)
    assert fit.log_likelihood == pytest.approx(-9585.080, abs=5.1e-4)


@pytest.mark.parametrize("tau", [39.0, 1e6])
def test_cdnow_without_opportunities_is_nbd(sample, tau):
    fit = fit_purchases(pdo.model(tau), **sample)
    plain = fit_purchases(nbd.MODEL, **sample)
    assert fit.log_likelihood == pytest.approx(-9763.658, abs=5.1e-4)
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood, rel=1e-13)
    np.testing.assert_allclose(fit.estimates[:2], plain.estimates, rtol=1e-7)
    assert {"a", "b"} <= set(fit.at_bound)
    assert fit.standard_errors == {}


@pytest.mark.parametrize("unit", [7.0, 7 * 86_400.0, 1 / 52])
def test_unit_of_time_changes_alpha_alone(sample, unit):
    weeks = fit_purchases(pdo.model(3.0), **sample)
    other = fit_purchases(
        pdo.model(3 * unit),
        sample["x"],
        recency=sample["recency"] * unit,
        age=sample["age"] * unit,
    )
    factor = np.array([1, unit, 1, 1])
    np.testing.assert_allclose(other.estimates, weeks.estimates * factor, rtol=1e-7)
    assert other.log_likelihood == pytest.approx(
        weeks.log_likelihood - 2457 * math.log(unit), abs=1e-6
    )


# Extreme arguments ----------------------------------------------------------

# mpmath at 50 digits: the sum in the notes of `pdo.each` term by term, the share of
# its first term, and (r+x)/(alpha+T) [w + sum of S_i times the time until the next].
EXTREMES = [
    (CDNOW, (0, 0, 38.86), 39, 3, -0.524860345158968, 0.334956587291771,
     0.352719021300065),
    (CDNOW, (2, 30.43, 38.86), 520, 3, -9.56046641117195, 0.921922144573068,
     13.0034385161181),
    (CDNOW, (29, 38, 38.86), 10_000, 3, -45.4765995237698, 1, 1006.15100766191),
    (CDNOW, (300, 100, 520), 52, 3, -11.6295229838838, 1.14660011570154e-201,
     28.8955033567245),
    (CDNOW, (1000, 10, 100), 52, 3, 2799.63522282527, 0, 432.401252991355),
    (CDNOW, (20_000, 9990, 10_000), 10_000, 21.1, -6162.94095754123, 1,
     17058.8854357198),
    (CDNOW, (20_000, 10, 10), 10_000, 0.35, 117841.778758099, 1, 944687.975436683),
    ((1, 7, 1, 2.4), (0, 0, 0), 10_000, 3, 0, 1, 7.67252236626202),
    ((1, 7, 1, 2.4), (2, 30.43, 38.86), 0.001, 3, -10.4297017073835,
     0.818910677041278, 6.54164849542085e-5),
    ((50, 200, 1.0000001, 300), (100, 38, 38.86), 10_000, 0.35, -101.327523541362,
     0.99071018982913, 384.555942106399),
    ((0.3, 5, 0.2, 0.4), (0, 0, 10_000), 39, 0.35, -0.317999730827479,
     0.0121200469030183, 1.1689605113773e-3),
    ((1e-6, 1, 1e-6, 3), (2, 30.43, 38.86), 520, 21.1, -21.1862602062407, 1,
     26.0912959848561),
    ((2, 3, 1e5, 1e6), (29, 38, 38.86), 10_000, 3, -40.0525074590829, 1,
     22.3210812280125),
    ((1e5, 1e6, 2, 0.01), (1, 0.5, 10_000), 520, 21.1, -4.41715581948387, 0,
     48.8505735154659),
    ((0.5, 4, 0.99999, 1e-4), (0, 0, 520), 10_000, 3, -0.279837006062793,
     6.68150910726827e-8, 1.49063910402372),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "customer", "horizon", "tau", "likelihood", "alive", "expected"), EXTREMES
)
def test_extreme_customers(model, customer, horizon, tau, likelihood, alive, expected):
    rows = dict(zip(("x", "recency", "age"), customer, strict=True))
    found = pdo.each(model, rows_of(**rows), tau=tau)
    assert found.log_likelihood[0] == pytest.approx(likelihood, rel=1e-11, abs=1e-15)
    assert np.isfinite(found.gradient).all()
    found = pdo.p_alive(model, **rows, tau=tau)
    assert found == pytest.approx(alive, rel=1e-10, abs=1e-300)
    found = pdo.expected_if_alive(model, **rows, horizon=horizon, tau=tau)
    assert found == pytest.approx(expected, rel=1e-11)


def test_extremes_are_finite():
    rows = {
        "x": np.array([0, 0, 1, 20_000, 20_000, 7]),
        "recency": np.array([0.0, 0, 1, 10, 10_000, 3]),
        "age": np.array([0.0, 10_000, 900, 10, 10_000, 3000]),
    }
    tiny, huge, tau = math.exp(-14), math.exp(14), 40.0
    for pick in range(16):
        model = Pdo(*(huge if pick >> i & 1 else tiny for i in range(4)))
        found = pdo.each(model, rows_of(**rows), tau=tau)
        assert np.isfinite(found.log_likelihood).all()
        assert np.isfinite(found.gradient).all()
        alive = pdo.p_alive(model, **rows, tau=tau)
        assert np.all((alive >= 0) & (alive <= 1))
        rate = (model.r + rows["x"]) / (model.alpha + rows["age"])
        for horizon in (0, 1e-3, 10_000):
            args = rows | {"horizon": horizon, "tau": tau}
            expected = pdo.expected_if_alive(model, **args)
            assert np.all((expected >= 0) & (expected <= rate * horizon * (1 + 1e-9)))
            chance = pdo.pmf_if_alive(model, n=[0, 0, 1, 2, 10_000, 3], **args)
            assert np.all((chance >= 0) & (chance <= 1 + 1e-9))


# The likelihood -------------------------------------------------------------


def test_log_likelihood_by_hand():
    # r = 1, alpha = 2, a = b = 1, tau = 3, one purchase at 2, T = 7: opportunities 3
    # and 6 with chances 1/2 and 1/2 * 1/3 of leaving, 1/3 of staying; then
    # L = alpha [1/2 / 5^2 + 1/6 / 8^2 + 1/3 / 9^2].
    total = 2 * (1 / 2 / 25 + 1 / 6 / 64 + 1 / 3 / 81)
    model, rows = (1.0, 2.0, 1.0, 1.0), {"x": 1, "recency": 2, "age": 7}
    found = pdo.each(model, rows_of(**rows), tau=3).log_likelihood[0]
    assert found == pytest.approx(math.log(total), rel=1e-14)
    alive = pdo.p_alive(model, **rows, tau=3)
    assert alive == pytest.approx(2 / 3 / 81 / total, rel=1e-14)
    # 2 until the next opportunity, then 3 with chance 3/4, then 1 with 3/4 * 4/5.
    expected = pdo.expected_if_alive(model, **rows, horizon=6, tau=3)
    assert expected == pytest.approx(2 / 9 * (2 + 3 * 3 / 4 + 1 * 3 / 5), rel=1e-14)


def exact(model, *, x, recency, age, tau):
    """L without G(r+x)/G(r), and P(alive), in fractions; r must be whole."""
    r, alpha, a, b, recency, age, tau = (
        Fraction(v) for v in (*model, recency, age, tau)
    )
    stayed, total, n = Fraction(1), Fraction(0), age // tau
    shape = int(r) + x
    for j in range(1, int(n) + 1):
        leaves = a / (a + b + j - 1)
        if j * tau >= recency:
            total += stayed * leaves / (alpha + j * tau) ** shape
        stayed *= 1 - leaves
    there = stayed / (alpha + age) ** shape
    return alpha ** int(r) * (total + there), there / (total + there)


@settings(deadline=None)
@given(
    st.integers(1, 5), positive, positive, positive,
    st.integers(0, 12), st.floats(0, 1), st.floats(0, 60), periods,
)  # fmt: skip
@example(1, 1.0, 1.0, 1.0, 0, 0.0, 0.0, 5.0)
@example(2, 1.0, 1.0, 1.0, 3, 1.0, 15.0, 5.0)
def test_likelihood_in_fractions(r, alpha, a, b, x, part, age, tau):
    recency = part * age if x else 0.0
    for time in (recency, age):  # where a rounding error decides, either may be meant
        off = abs(time / tau - round(time / tau))
        assume(off > 1e-6 or Fraction(time) % Fraction(tau) == 0)
    model = Pdo(float(r), alpha, a, b)
    rows = {"x": x, "recency": recency, "age": age}
    total, alive = exact(model, **rows, tau=tau)
    value = math.log(total) + float(gammaln(r + x) - gammaln(r))
    found = pdo.each(model, rows_of(**rows), tau=tau).log_likelihood[0]
    assert found == pytest.approx(value, rel=1e-11, abs=1e-11)
    found = pdo.p_alive(model, **rows, tau=tau)
    assert found == pytest.approx(float(alive), rel=1e-10)


@pytest.mark.parametrize("x", [0, 2, 15])
@pytest.mark.parametrize("age", [2.0, 10.0, 39.0])
def test_likelihood_is_the_integral_over_customers(x, age):
    # Over p by Gauss-Jacobi, exact for polynomials, and over lambda numerically.
    model, recency = Pdo(0.7, 5.0, 0.6, 1.8), min(x, 1) * 0.3 * age
    p, weight = roots_sh_jacobi(30, model.a + model.b - 1, model.a)
    weight = weight / weight.sum()
    passed = np.arange(1, int(age // TAU) + 1)
    open_to = passed[passed * TAU >= recency]
    leaves = [(weight * p * (1 - p) ** (j - 1)).sum() for j in open_to]
    stays = (weight * (1 - p) ** passed.size).sum()
    density = gamma(model.r, scale=1 / model.alpha).pdf

    def silence(rate):
        ends = zip(leaves, open_to, strict=True)
        gone = sum(chance * math.exp(-rate * j * TAU) for chance, j in ends)
        return gone + stays * math.exp(-rate * age)

    total, _ = quad(
        lambda y: density(math.exp(y)) * math.exp((x + 1) * y) * silence(math.exp(y)),
        -40,
        4,
        points=[math.log((x + model.r) / (0.5 * age + model.alpha))],
        epsabs=0,
        epsrel=1e-11,
        limit=500,
    )
    rows = {"x": x, "recency": recency, "age": age}
    found = pdo.each(model, rows_of(**rows), tau=TAU).log_likelihood[0]
    assert found == pytest.approx(math.log(total), rel=1e-9)


@settings(deadline=None)
@given(params, customers(), periods)
def test_without_opportunities_it_is_nbd(model, rows, tau):
    tau = rows[2].max() + tau
    found, plain = (
        pdo.each(model, rows_of(*rows), tau=tau),
        nbd.each(model[:2], rows_of(*rows)),
    )
    assert np.array_equal(found.log_likelihood, plain.log_likelihood)
    assert np.array_equal(found.gradient[:2], plain.gradient)
    assert np.all(found.gradient[2:] == 0)


@settings(deadline=None)
@given(params, customers(), periods)
def test_sum_and_rows_agree(model, rows, tau):
    distinct = distinct_rows(rows, counts=1.0 + np.arange(rows[0].size))
    value, gradient = pdo.objective(distinct, tau=tau)(np.array(model))
    found = pdo.each(model, distinct, tau=tau)
    total = (found.log_likelihood * distinct.counts).sum()
    assert value == pytest.approx(total, rel=1e-11, abs=1e-9)
    by_row = (found.gradient * distinct.counts).sum(axis=1)
    np.testing.assert_allclose(gradient, by_row, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(params, customers(), periods)
def test_gradient_is_that_of_the_likelihood(model, rows, tau):
    rows = rows_of(*rows)
    found = pdo.each(model, rows, tau=tau)
    for i, size in enumerate(model):
        step = np.zeros(4)
        step[i] = 1e-5 * size
        up, down = (
            pdo.each(np.array(model) + s, rows, tau=tau).log_likelihood
            for s in (step, -step)
        )
        np.testing.assert_allclose(
            found.gradient[i] * size, (up - down) / 2e-5, rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize("tau", [0.1, 3 / 7, 21 / 7, 7 * 86_400 / 1e6, 1 / 3])
def test_opportunities_at_the_hour_of_a_purchase(tau):
    # j tau and t_x may differ in the last digit, as 3 * 0.1 and 0.3 do; an opportunity
    # at the last purchase, or at the end, is one at which the customer may have left.
    j = np.arange(1, 400)
    for time in (j * tau, j * (tau * 7) / 7, np.cumsum(np.full(j.size, tau))):
        assert np.array_equal(pdo._passed_before(time, tau), j - 1)
        assert np.array_equal(pdo._passed(time, tau), j)
    assert pdo._passed_before(np.array([0.0]), tau) == 0
    assert pdo._passed(np.array([0.0]), tau) == 0
    alive = pdo.p_alive(CDNOW, x=1, recency=3 * tau, age=3 * tau, tau=tau)
    # Left at j = 3, or stayed: (b + 2)/(a + b + 2).
    assert alive == pytest.approx(4.3221 / 4.7402, rel=1e-12)


# Laws -----------------------------------------------------------------------


@settings(deadline=None)
@given(params, st.integers(0, 20), st.floats(0, 50), periods)
def test_waiting_makes_alive_less_likely(model, x, recency, tau):
    recency = recency if x else 0.0
    ages = recency + np.array([0.0, 0.5, 1, 5, 20, 100])
    alive = pdo.p_alive(model, x=x, recency=recency, age=ages, tau=tau)
    assert np.all((alive >= 0) & (alive <= 1))
    # Within a period nobody leaves, but silence speaks for those who already had.
    assert np.all(np.diff(alive) <= 1e-14)


def test_one_who_never_came_back_may_have_left():
    found = pdo.p_alive(CDNOW, x=0, recency=0, age=[0, 2.9, 3.1, 38.86], tau=TAU)
    assert found[:2].tolist() == [1, 1]
    assert found[2] < 1
    assert found[3] == pytest.approx(0.334956587291771, rel=1e-12)
    assert pdo.model(TAU).one_time_may_leave


@settings(deadline=None)
@given(
    st.builds(Pdo, st.floats(0.05, 5), st.floats(2, 20), positive, positive),
    st.integers(0, 10), st.floats(0, 50), st.floats(0, 20), periods,
)  # fmt: skip
@example(CDNOW, 0, 0.0, 0.0, 3.0)
@example(CDNOW, 3, 9.0, 6.0, 3.0)
def test_probabilities_sum_to_one_around_the_expectation(model, x, age, horizon, tau):
    args = {"x": x, "recency": 0.5 * age * (x > 0), "age": age, "horizon": horizon}
    n = np.arange(4000)
    found = pdo.pmf_if_alive(model, n=n, **args, tau=tau)
    assert found.sum() == pytest.approx(1, rel=1e-11)
    expected = float(pdo.expected_if_alive(model, **args, tau=tau))
    assert (n * found).sum() == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_new_customers_and_long_horizons():
    # Without opportunities r t / alpha; with a very long horizon and a > 1, those who
    # leave for good: the expected number of periods is (a + b - 1)/(a - 1).
    long = pdo.model(1e9).expected_new(CDNOW, 52)
    assert long == pytest.approx(0.5211 / 10.3149 * 52, rel=1e-13)
    model = Pdo(0.5, 10.0, 3.0, 4.0)
    found = pdo.model(2.0).expected_new(model, 1e7)
    assert found == pytest.approx(0.05 * 2 * 6 / 2, rel=1e-9)
    chances = pdo.model(TAU).pmf_new(CDNOW, n=np.arange(300), horizon=39)
    assert chances.sum() == pytest.approx(1, rel=1e-10)


def test_expectation_grows_steadily():
    horizon = np.linspace(0, 40, 4001)
    args = {"x": 3, "recency": 7.0, "age": 7.7}
    found = pdo.expected_if_alive(CDNOW, **args, horizon=horizon, tau=TAU)
    slopes = np.diff(found) / 0.01
    assert found[0] == 0
    assert slopes[0] == pytest.approx(3.5211 / 18.0149, rel=1e-9)
    assert np.all(np.diff(slopes) <= 1e-9)


def test_draws_have_their_probabilities():
    args = {"x": 3, "recency": 9.0, "age": 20.0, "horizon": 25.0, "tau": TAU}
    rng = np.random.default_rng(1)
    n_draws = 60_000
    drawn = pdo.draw_if_alive(CDNOW, **args | {"x": np.full(n_draws, 3)}, rng=rng)
    expected = float(pdo.expected_if_alive(CDNOW, **args))
    error = drawn.std() / math.sqrt(n_draws)
    assert drawn.mean() == pytest.approx(expected, abs=4 * error)
    chance = pdo.pmf_if_alive(CDNOW, n=np.arange(8), **args)
    shares = np.bincount(drawn, minlength=8)[:8] / n_draws
    room = 4 * np.sqrt(chance * (1 - chance) / n_draws)
    assert np.all(np.abs(shares - chance) < room)
    assert pdo.draw_if_alive(CDNOW, **args | {"horizon": 0}, rng=rng) == 0
    # Nobody ever leaves: even tiny parameters draw.
    stays = pdo.draw_if_alive((1e6, 1e3, 1e-6, 1e6), **args, rng=rng)
    assert stays == pytest.approx(25 * 1e6 / 1020, rel=0.05)


def test_parameters_may_differ_between_customers():
    rng = np.random.default_rng(3)
    x, recency = np.array([0, 4, 2, 4]), np.array([0, 5.5, 7.0, 5.5])
    kwargs = {"x": x, "recency": recency, "age": np.array([3.0, 16, 9, 16])}
    by_row = tuple(rng.uniform(0.2, 3, (4, 4)))
    mixed = (0.6, by_row[1], by_row[2], 2.5)
    for model in (by_row, mixed):
        found = pdo.each(model, rows_of(**kwargs), tau=TAU)
        alive = pdo.p_alive(model, **kwargs, tau=TAU)
        ahead = [0.0, 1, 5, 29]
        expected = pdo.expected_if_alive(model, **kwargs, horizon=ahead, tau=TAU)
        chance = pdo.pmf_if_alive(model, n=[0, 1, 2, 3], **kwargs, horizon=9, tau=TAU)
        for i in range(4):
            one = {k: float(v[i]) for k, v in kwargs.items()}
            own = tuple(float(p[i]) if np.ndim(p) else p for p in model)
            row = pdo.each(own, rows_of(**one), tau=TAU)
            np.testing.assert_allclose(found.log_likelihood[i], row.log_likelihood[0])
            np.testing.assert_allclose(found.gradient[:, i], row.gradient[:, 0])
            alone = pdo.p_alive(own, **one, tau=TAU)
            assert alone.shape == ()
            assert alive[i] == pytest.approx(float(alone), rel=1e-14)
            alone = pdo.expected_if_alive(own, **one, horizon=ahead[i], tau=TAU)
            assert expected[i] == pytest.approx(float(alone), rel=1e-13)
            alone = pdo.pmf_if_alive(own, n=i, **one, horizon=9, tau=TAU)
            assert chance[i] == pytest.approx(float(alone), rel=1e-13)
    table = pdo.p_alive(by_row, x=x[:, None], recency=recency[:, None], age=20, tau=TAU)
    cell = pdo.p_alive([p[1] for p in by_row], x=2, recency=7.0, age=20, tau=TAU)
    assert table.shape == (4, 4)
    assert table[2, 1] == pytest.approx(float(cell), rel=1e-14)


def test_nobody_to_predict():
    rows = {"x": [], "recency": [], "age": [], "tau": TAU}
    assert pdo.p_alive(CDNOW, **rows).shape == (0,)
    assert pdo.expected_if_alive(CDNOW, **rows, horizon=3).shape == (0,)
    assert pdo.pmf_if_alive(CDNOW, n=1, **rows, horizon=3).shape == (0,)


# Truth ----------------------------------------------------------------------


def test_truth_is_recovered():
    truth, tau = Pdo(0.9, 49.0, 0.7, 3.0), 60.0
    rng = np.random.default_rng(20)
    age = rng.integers(10, 73, 60_000) * 10.0
    x, recency, _, _ = draw_customers(age, rng, truth=truth, tau=tau)
    fit = fit_purchases(pdo.model(tau), x, recency=recency, age=age)
    errors = np.array(list(fit.standard_errors.values()))
    assert np.all(np.abs(fit.estimates - np.array(truth)) < 3 * errors)
    assert np.all(errors / fit.estimates < 0.06)
    # The period itself shows in the likelihood.
    for other in (45.0, 55.0, 80.0):
        wrong = fit_purchases(pdo.model(other), x, recency=recency, age=age)
        assert wrong.log_likelihood < fit.log_likelihood - 10


@pytest.mark.slow
def test_intervals_cover_the_truth():
    truth, tau = Pdo(0.8, 20.0, 0.9, 3.0), 60.0
    rng = np.random.default_rng(7)

    def draw():
        age = rng.integers(2, 10, 3000) * 54.0
        x, recency, _, _ = draw_customers(age, rng, truth=truth, tau=tau)
        return x, recency, age

    inside = shares_inside(pdo.model(tau), truth, draw, n_runs=240)
    assert np.all((inside >= 0.92) & (inside <= 0.98)), inside


def test_expected_purchases_come_true():
    # What 60,000 customers buy in the next 180 days, from the true parameters.
    truth, tau, age, horizon = Pdo(0.8, 40.0, 0.7, 3.0), 50.0, 330.0, 180.0
    rng = np.random.default_rng(8)
    n = 60_000
    x, recency, rate, left_at = draw_customers(
        np.full(n, age), rng, truth=truth, tau=tau
    )
    to_come = rng.poisson(rate * np.clip(left_at - age, 0, horizon))
    rows = {"x": x, "recency": recency, "age": np.full(n, age), "tau": tau}
    alive = pdo.p_alive(truth, **rows)
    assert alive.mean() == pytest.approx((left_at > age).mean(), abs=0.006)
    expected = alive * pdo.expected_if_alive(truth, **rows, horizon=horizon)
    for group in np.array_split(np.argsort(expected), 10):  # calibrated by decile
        noise = 4 * to_come[group].std() / math.sqrt(group.size) + 1e-3
        assert expected[group].mean() == pytest.approx(to_come[group].mean(), abs=noise)


# Edges ----------------------------------------------------------------------


def test_no_dropout_is_said_to_be_undetermined():
    rng = np.random.default_rng(0)
    age = rng.integers(4, 9, 3000) * 40.0
    x, recency, _, _ = draw_customers(age, rng, truth=Pdo(1, 40, 1e-9, 10), tau=60.0)
    fit = fit_purchases(pdo.model(60.0), x, recency=recency, age=age)
    assert {"a", "b"} & set(fit.at_bound)
    assert fit.standard_errors == {}
    assert fit.params["r"] == pytest.approx(1, rel=0.1)


def test_candidates_for_the_period():
    ages = [10.0, 272 / 7]
    grid = pdo.taus(ages, step=1 / 7)
    days = np.array(grid) * 7
    assert days[:7].round(9).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert days[-2:].round(9).tolist() == [272, 273]
    assert np.all(np.diff(days) >= 1 - 1e-9)
    assert len(grid) <= 40
    free = np.array(pdo.taus(ages, n=12))
    assert free.size == 12
    assert free[0] == pytest.approx(272 / 700)
    assert free[-1] > 272 / 7
    np.testing.assert_allclose(free[1:-1] / free[:-2], free[1] / free[0], rtol=1e-12)
    assert pdo.taus([5.0], step=5.0) == (5.0, 10.0)


def test_best_of_the_candidates(sample):
    # Of all whole days, three weeks are the likeliest.
    neighbours = [t for t in pdo.taus(sample["age"], step=1 / 7, n=60) if 2 < t < 5]
    values = {
        round(7 * t): fit_purchases(pdo.model(t), **sample).log_likelihood
        for t in (*neighbours, 3.0)
    }
    assert max(values, key=values.get) == 21


@pytest.mark.parametrize(
    ("age", "options"),
    [([0.0], {}), ([5.0], {"step": 0}), ([5.0], {"step": 6}), ([5.0], {"n": 1})],
)
def test_no_candidates(age, options):
    with pytest.raises(ValueError, match="taus needs ages above 0"):
        pdo.taus(age, **options)


@pytest.mark.parametrize("tau", [0, -1, math.inf, math.nan])
def test_no_period(tau):
    with pytest.raises(ValueError, match="tau must be a time above 0"):
        pdo.model(tau)


def test_impossible_customers():
    with pytest.raises(ValueError, match="recency must not be above age"):
        pdo.p_alive(CDNOW, x=1, recency=9.0, age=5.0, tau=TAU)
    with pytest.raises(FitError, match="1 of 2 customers are impossible"):
        fit_purchases(pdo.model(TAU), [1, 1], recency=[9.0, 2], age=[5.0, 4])
