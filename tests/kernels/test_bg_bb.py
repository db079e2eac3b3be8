"""BG/BB against the paper, exact fractions, high-precision values, simulated truth."""

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from drawn_fits import shares_inside
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import betaln

from selfloop.core.errors import FitError
from selfloop.kernels import bg_bb, silence
from selfloop.kernels.bg_bb import MODEL, BgBb
from selfloop.kernels.purchase_fit import fit_purchases
from selfloop.kernels.rows import Rows, distinct_rows

# Donors of 1995 by (x, t_x), six yearly opportunities to give again: table of Fader,
# Hardie & Shang, Marketing Science 29(6) 2010.
DONORS = {
    (0, 0): 3464,
    (1, 1): 1091, (1, 2): 277, (1, 3): 129, (1, 4): 78, (1, 5): 119, (1, 6): 129,
    (2, 2): 613, (2, 3): 255, (2, 4): 155, (2, 5): 173, (2, 6): 234,
    (3, 3): 322, (3, 4): 181, (3, 5): 225, (3, 6): 357,
    (4, 4): 240, (4, 5): 284, (4, 6): 512,
    (5, 5): 335, (5, 6): 728,
    (6, 6): 1203,
}  # fmt: skip
N_DONORS = 11_104
X, RECENCY = (np.array(v, float) for v in zip(*DONORS, strict=True))
PEOPLE = np.array(list(DONORS.values()), float)
# Estimates printed by the BTYD walkthrough (McCarthy & Wadsworth 2014), 5.2.
WALKTHROUGH = BgBb(1.203528, 0.749726, 0.656781, 2.783796)
PAPER = BgBb(1.204, 0.750, 0.657, 2.783)
NEW = {"x": 0, "recency": 0, "age": 0}

positive = st.floats(0.05, 20.0)
params = st.builds(BgBb, positive, positive, positive, positive)
history = st.tuples(*[st.integers(0, 12)] * 3).map(sorted)


@st.composite
def customers(draw, max_n=15):
    """Rows of possible customers: x, t_x, n."""
    n = np.array(draw(st.lists(st.integers(0, max_n), min_size=1, max_size=8)))
    part = [draw(st.floats(0, 1)) for _ in range(2 * n.size)]
    recency = np.rint(n * part[: n.size])
    x = np.rint(recency * part[n.size :])
    x = np.where(recency > 0, np.maximum(x, 1), 0)
    return x, recency, n.astype(float)


def rows_of(x, recency, age):
    """One row per customer, in the order given."""
    columns = np.broadcast_arrays(
        *(np.asarray(v, np.float64) for v in (x, recency, age))
    )
    return Rows(tuple(np.atleast_1d(c) for c in columns), np.ones(columns[0].size))


def lives(n, rng, *, truth, ages):
    """Draw purchases opportunity by opportunity, and who is there for the next one."""
    buys, leaves = rng.beta(truth.alpha, truth.beta, n), rng.beta(*truth[2:], n)
    there, x, recency = np.ones(n, bool), np.zeros(n), np.zeros(n)
    for i in range(1, int(ages.max()) + 1):
        there &= (rng.random(n) >= leaves) | (i > ages)
        bought = there & (rng.random(n) < buys) & (i <= ages)
        x, recency = x + bought, np.where(bought, i, recency)
    return x, recency, there & (rng.random(n) >= leaves)


@pytest.fixture(scope="module")
def donors():
    """Fit of the donors, counted rows."""
    return fit_purchases(
        MODEL, X, recency=RECENCY, age=np.full(X.size, 6.0), counts=PEOPLE
    )


# Published numbers ----------------------------------------------------------


def test_donor_estimates(donors):
    # The paper: 1.204 .750 .657 2.783, -33225.6; walkthrough: 1.203528 .749726
    # .656781 2.783796, -33225.58; an independent fit: 1.203515 .749714 .656732
    # 2.783531, -33225.5813.
    assert PEOPLE.sum() == donors.n_people == N_DONORS
    assert list(donors.params) == ["alpha", "beta", "gamma", "delta"]
    np.testing.assert_allclose(donors.estimates, PAPER, atol=1.1e-3)
    np.testing.assert_allclose(donors.estimates, WALKTHROUGH, rtol=2e-4)
    np.testing.assert_allclose(
        donors.estimates, [1.203515, 0.749714, 0.656732, 2.783531], rtol=5e-5
    )
    assert donors.gradient < 1e-12
    assert donors.log_likelihood == pytest.approx(-33225.5813, abs=5e-5)
    assert donors.at_bound == ()
    at_theirs, _ = bg_bb.objective(
        distinct_rows([X, RECENCY, 0 * X + 6], counts=PEOPLE)
    )(np.array(WALKTHROUGH))
    assert at_theirs == pytest.approx(-33225.58, abs=5e-3)
    assert at_theirs < donors.log_likelihood


def test_new_donor():
    # E[X(n)], n = 1..11, from Hardie's sheet, and E[X(10)] from the walkthrough, 5.3.
    printed = [
        0.4985, 0.9233, 1.2969, 1.6323, 1.9381, 2.2202, 2.4826, 2.7285, 2.9603, 3.1798,
        3.3887,
    ]  # fmt: skip
    found = MODEL.expected_new(WALKTHROUGH, np.arange(1, 12))
    np.testing.assert_allclose(found, printed, atol=1.01e-4)
    assert found[9] == pytest.approx(3.179805, abs=1e-6)


def test_two_donors():
    # Next ten years of A (0, 0) and B (4, 5), walkthrough 5.3.
    rows = {"x": [0, 4], "recency": [0, 5], "age": 6}
    found = bg_bb.p_alive(WALKTHROUGH, **rows)
    found = found * bg_bb.expected_if_alive(WALKTHROUGH, **rows, horizon=10)
    np.testing.assert_allclose(found, [0.1302169, 3.627858], rtol=1e-6)


def test_table_6():
    # Alive in 2002, at opportunity n + 1: .11 .59 .93 in the paper.
    found = bg_bb.p_alive(PAPER, x=[0, 2, 6], recency=[0, 4, 6], age=6)
    assert found.round(2).tolist() == [0.11, 0.59, 0.93]
    # Opportunity n + 1 is the first of the horizon: (alpha + x)/(alpha + beta + n).
    one = bg_bb.expected_if_alive(
        PAPER, x=[0, 2, 6], recency=[0, 4, 6], age=6, horizon=1
    )
    np.testing.assert_allclose(one, (1.204 + np.array([0, 2, 6])) / 7.954, rtol=1e-14)


def test_next_five_years():
    # Walkthrough 5.4, means by x and by t_x; the sum from Hardie's sheet.
    by_x = [0.07286318, 0.3248841, 0.7089417, 1.333666, 2.031203, 2.784482, 3.752500]
    by_last = [
        0.07286318,
        0.0856939,
        0.1798423,
        0.4041111,
        0.8510811,
        1.726323,
        3.027190,
    ]
    rows = {"x": X, "recency": RECENCY, "age": 6}
    found = bg_bb.p_alive(WALKTHROUGH, **rows)
    found = found * bg_bb.expected_if_alive(WALKTHROUGH, **rows, horizon=5)
    for groups, printed in ((X, by_x), (RECENCY, by_last)):
        sums = np.bincount(groups.astype(int), weights=PEOPLE * found)
        means = sums / np.bincount(groups.astype(int), weights=PEOPLE)
        np.testing.assert_allclose(means, printed, rtol=5e-6)
    assert (PEOPLE * found).sum() == pytest.approx(12884.2, abs=0.3)
    assert (PEOPLE * found).sum() == pytest.approx(12883.96, abs=0.01)


def test_donations_by_year():
    # Walkthrough 5.4: 1996 to 2006, and cumulative.
    cumulative = N_DONORS * MODEL.expected_new(WALKTHROUGH, np.arange(12))
    printed = [
        5535.833, 4717.059, 4147.621, 3724.665, 3395.888, 3131.647, 2913.778, 2730.482,
        2573.731, 2437.854, 2318.727,
    ]  # fmt: skip
    np.testing.assert_allclose(np.diff(cumulative), printed, atol=1.5e-3)
    printed = [
        5535.833, 10252.89, 14400.51, 18125.18, 21521.07, 24652.71, 27566.49, 30296.97,
        32870.7, 35308.56, 37627.29,
    ]  # fmt: skip
    np.testing.assert_allclose(cumulative[1:], printed, rtol=2e-6)


def test_donors_by_number_of_donations():
    # In-sample fit of the paper: 3454.9 donors with none and 1253.1 with six.
    found = N_DONORS * MODEL.pmf_new(WALKTHROUGH, n=np.arange(7), horizon=6)
    assert found[0] == pytest.approx(3454.9, abs=0.1)
    assert found[6] == pytest.approx(1253.1, abs=0.1)
    assert found.sum() == pytest.approx(N_DONORS, rel=1e-13)


def test_agrees_with_lifetimes(donors):
    with warnings.catch_warnings():  # the package warns, and silences warnings
        warnings.simplefilter("ignore")
        from lifetimes import BetaGeoBetaBinomFitter  # noqa: PLC0415 - no leaked filters

        other = BetaGeoBetaBinomFitter().fit(X, RECENCY, 0 * X + 6, weights=PEOPLE)
        theirs = BgBb(*other.params_[["alpha", "beta", "gamma", "delta"]])
        expected = other.conditional_expected_number_of_purchases_up_to_time(
            5, X, RECENCY, 0 * X + 6
        )
        alive = other.conditional_probability_alive(1, X, RECENCY, 0 * X + 6)
    np.testing.assert_allclose(donors.estimates, theirs, rtol=3e-3)
    rows = {"x": X, "recency": RECENCY, "age": 6}
    ours = bg_bb.p_alive(theirs, **rows)
    np.testing.assert_allclose(ours, np.asarray(alive), rtol=1e-9)
    ours = ours * bg_bb.expected_if_alive(theirs, **rows, horizon=5)
    np.testing.assert_allclose(ours, np.asarray(expected), rtol=1e-9)
    at_theirs, _ = bg_bb.objective(
        distinct_rows([X, RECENCY, 0 * X + 6], counts=PEOPLE)
    )(np.array(theirs))
    assert donors.log_likelihood >= at_theirs


# Extreme arguments ----------------------------------------------------------

# mpmath at 50 digits; u_k are the products of the ratios below, from t_x on:
#   L = B(al+x, be+t_x-x)/B(al, be) B(ga, de+t_x)/B(ga, de) [...]
#   [...] = sum_(k < n) u_k ga/(ga+de+k) + u_n
#   u_(k+1)/u_k = (de+k)/(ga+de+k) (be+k-x)/(al+be+k),  P = u_n (de+n)/(ga+de+n) / [...]
#   E = (al+x)/(al+be+n) sum_(i < m) prod_(l < i) (de+n+1+l)/(ga+de+n+1+l)
EXTREMES = [
    (PAPER, (0, 0, 6), 10, -1.16726247267389, 0.108016584168674, 1.2044797788614),
    (PAPER, (0, 0, 10_000), 10_000, -1.24731192740068, 1.88794991954907e-7,
     0.942010996120238),
    (PAPER, (100, 9000, 10_000), 5, -566.750978345239, 3.19158752183209e-3,
     0.0505854705476689),
    (PAPER, (3000, 3010, 3100), 10_000, -84.7636208912349, 1.40322695540957e-159,
     5593.64375301797),
    (PAPER, (20_000, 20_000, 20_000), 10_000, -13.2336649476679, 0.999967155649228,
     8700.255201229),
    (PAPER, (20_000, 20_000, 24_000), 52, -23.5573582501031, 0, 43.3022056266325),
    ((1, 1, 1, 1), (0, 0, 0), 10_000, 0.0, 0.5, 8.78770602604538),
    ((1, 1, 1, 1), (4, 5, 6), 10, -6.1403381698344, 0.552631578947368,
     4.23347689891808),
    ((50, 200, 1.0000001, 300), (3, 5, 90), 10_000, -9.42952127584929,
     2.41081056341978e-6, 199.990263088586),
    ((0.01, 0.02, 0.003, 0.05), (1, 1, 5000), 5, -6.99665757746346,
     1.22254356324803e-3, 1.00999272854175e-3),
    ((0.3, 5, 0.2, 0.4), (0, 0, 6), 10_000, -0.132011388943954, 0.404961544477845,
     77.4537537480197),
    ((1e-6, 1e-5, 1e-6, 3), (6, 6, 6), 10_000, -2.39791932390089, 0.999999888888901,
     9999.92367563741),
    ((2, 3, 1e5, 1e6), (2, 4, 30), 10_000, -5.12779320893788, 5.68388628874145e-4,
     1.25718971475429),
    ((1e5, 1e6, 2, 0.01), (100, 9000, 10_000), 10_000, -1114.04679684662,
     2.84863682038974e-39, 450.9687580597),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "customer", "horizon", "likelihood", "alive", "expected"), EXTREMES
)
def test_extreme_customers(model, customer, horizon, likelihood, alive, expected):
    rows = dict(zip(("x", "recency", "age"), customer, strict=True))
    found = bg_bb.each(model, rows_of(**rows))
    # 1.2 = 20,000 ln 20,000 - ...: a few eps of the largest terms are left.
    assert found.log_likelihood[0] == pytest.approx(likelihood, rel=1e-10, abs=1e-15)
    assert np.isfinite(found.gradient).all()
    assert bg_bb.p_alive(model, **rows) == pytest.approx(alive, rel=1e-10, abs=1e-300)
    found = bg_bb.expected_if_alive(model, **rows, horizon=horizon)
    assert found == pytest.approx(expected, rel=1e-10)


def test_expectation_is_smooth_where_its_formula_has_a_hole():
    at_1 = bg_bb.expected_if_alive((1, 1, 1.0, 2), **NEW, horizon=5)
    # c = 3: 1 + 3/4 + 3/5 + 3/6 + 3/7, times alpha/(alpha+beta) = 1/2.
    assert at_1 == pytest.approx(0.5 * (1 + 3 / 4 + 3 / 5 + 3 / 6 + 3 / 7), rel=1e-13)
    for off in (1e-16, 1e-14, 1e-9, -1e-9):
        beside = bg_bb.expected_if_alive((1, 1, 1.0 + off, 2), **NEW, horizon=5)
        assert beside == pytest.approx(float(at_1), rel=3 * abs(off) + 1e-13)


def test_extremes_are_finite():
    x, recency = np.array([0, 0, 1, 7, 7]), np.array([0, 0, 1, 7, 9])
    rows = {"x": x, "recency": recency, "age": np.array([0, 3000, 900, 7, 9])}
    tiny, huge = math.exp(-14), math.exp(14)
    for pick in range(16):
        model = BgBb(*(huge if pick >> i & 1 else tiny for i in range(4)))
        found = bg_bb.each(model, rows_of(**rows))
        assert np.isfinite(found.log_likelihood).all()
        assert np.all(found.log_likelihood <= 1e-9)
        assert np.isfinite(found.gradient).all()
        alive = bg_bb.p_alive(model, **rows)
        assert np.all((alive >= 0) & (alive <= 1))
        for horizon in (0, 1, 10_000):
            expected = bg_bb.expected_if_alive(model, **rows, horizon=horizon)
            assert np.all((expected >= 0) & (expected <= horizon))
            chance = bg_bb.pmf_if_alive(
                model, n=[0, 0, 1, 2, 3], **rows, horizon=horizon
            )
            assert np.all((chance >= 0) & (chance <= 1 + 1e-9))


# The likelihood -------------------------------------------------------------


def exact(model, *, x, recency, age):
    """L and the share of those alive at n + 1, in fractions, by the paper's sum."""
    alpha, beta, gamma, delta = (Fraction(v) for v in model)

    def rising(start, n):
        return math.prod((start + i for i in range(n)), start=Fraction(1))

    def term(k, ends):
        buys = rising(alpha, x) * rising(beta, k - x) / rising(alpha + beta, k)
        stays = rising(delta, k) / rising(gamma + delta, k)
        return buys * stays * (gamma / (gamma + delta + k) if ends else 1)

    there = term(age, ends=False)
    total = there + sum(term(k, ends=True) for k in range(recency, age))
    return total, there * (delta + age) / (gamma + delta + age) / total


@settings(deadline=None)
@given(params, history)
@example(PAPER, [0, 0, 0])
@example(PAPER, [1, 4, 4])
def test_likelihood_in_fractions(model, history):
    x, recency, age = history
    x = max(x, 1) if recency else 0
    total, alive = exact(model, x=x, recency=recency, age=age)
    found = bg_bb.each(model, rows_of(x, recency, age)).log_likelihood[0]
    assert found == pytest.approx(math.log(total), rel=1e-12, abs=1e-12)
    found = bg_bb.p_alive(model, x=x, recency=recency, age=age)
    assert found == pytest.approx(float(alive), rel=1e-12)


@settings(deadline=None, max_examples=50)
@given(params, st.integers(0, 9))
def test_likelihoods_of_all_histories_sum_to_one(model, age):
    # All sequences of purchases with the same x and t_x are equally likely:
    # (t_x - 1 over x - 1) of them.
    pairs = [(x, t) for t in range(1, age + 1) for x in range(1, t + 1)]
    x, recency = np.array([(0, 0), *pairs], float).T
    found = np.exp(bg_bb.each(model, rows_of(x, recency, age)).log_likelihood)
    n_ways = [1, *(math.comb(t - 1, x - 1) for x, t in pairs)]
    assert (found * n_ways).sum() == pytest.approx(1, rel=1e-12)


@settings(deadline=None)
@given(params, customers())
def test_log_likelihood_as_in_the_paper(model, rows):
    # With the beta functions of Fader, Hardie & Shang, equation (5), row by row.
    alpha, beta, gamma, delta = model
    found = bg_bb.each(model, rows_of(*rows)).log_likelihood
    for value, x, recency, age in zip(found, *rows, strict=True):
        k = np.arange(recency, age)
        ends = betaln(alpha + x, beta + k - x) + betaln(gamma + 1, delta + k)
        stays = betaln(alpha + x, beta + age - x) + betaln(gamma, delta + age)
        total = np.logaddexp.reduce([*ends, stays])
        total -= betaln(alpha, beta) + betaln(gamma, delta)
        assert value == pytest.approx(total, rel=1e-10, abs=1e-10)


@settings(deadline=None)
@given(params, customers())
def test_sum_and_rows_agree(model, rows):
    distinct = distinct_rows(rows, counts=1.0 + np.arange(rows[0].size))
    value, gradient = bg_bb.objective(distinct)(np.array(model))
    found = bg_bb.each(model, distinct)
    total = (found.log_likelihood * distinct.counts).sum()
    assert value == pytest.approx(total, rel=1e-11, abs=1e-10)
    by_row = (found.gradient * distinct.counts).sum(axis=1)
    np.testing.assert_allclose(gradient, by_row, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(params, customers())
def test_gradient_is_that_of_the_likelihood(model, rows):
    rows = rows_of(*rows)
    found = bg_bb.each(model, rows)
    for i, size in enumerate(model):
        step = np.zeros(4)
        step[i] = 1e-5 * size
        up, down = (
            bg_bb.each(np.array(model) + s, rows).log_likelihood for s in (step, -step)
        )
        np.testing.assert_allclose(
            found.gradient[i] * size, (up - down) / 2e-5, rtol=1e-6, atol=1e-6
        )


def test_many_chains_of_many_lengths():
    # More chains than are worked on at a time, silences from 0 to 120.
    rng = np.random.default_rng(2)
    age = rng.integers(1, 200, 40_000)
    recency = np.maximum(rng.integers(0, age + 1), age - 120)
    x = np.where(recency > 0, rng.integers(1, recency.clip(1) + 1), 0)
    found = bg_bb.each(PAPER, rows_of(x, recency, age))
    n_chains = np.unique(np.stack([x, age]), axis=1).shape[1]
    assert n_chains > 2 * silence._CHAINS_IN_CACHE
    some = rng.integers(0, x.size, 200)
    for i in some:
        row = rows_of(x[[i]], recency[[i]], age[[i]])
        alone = bg_bb.each(PAPER, row)
        assert found.log_likelihood[i] == alone.log_likelihood[0]
        assert np.array_equal(found.gradient[:, i], alone.gradient[:, 0])


# Laws -----------------------------------------------------------------------


@settings(deadline=None)
@given(params, history)
def test_waiting_makes_alive_less_likely(model, history):
    x, recency, _ = history
    x = max(x, 1) if recency else 0
    ages = recency + np.arange(10)
    alive = bg_bb.p_alive(model, x=x, recency=recency, age=ages)
    assert np.all((alive >= 0) & (alive <= 1))
    assert np.all(np.diff(alive) <= 1e-15)


@settings(deadline=None)
@given(params, history, st.integers(0, 25))
@example(PAPER, [0, 0, 0], 0)
@example(BgBb(0.05, 0.05, 0.05, 20.0), [0, 0, 12], 25)
def test_probabilities_sum_to_one_around_the_expectation(model, history, horizon):
    args = dict(zip(("x", "recency", "age"), history, strict=True), horizon=horizon)
    n = np.arange(horizon + 3)
    found = bg_bb.pmf_if_alive(model, n=n, **args)
    assert found.sum() == pytest.approx(1, rel=1e-12)
    assert found[horizon + 1 :].tolist() == [0, 0]
    expected = float(bg_bb.expected_if_alive(model, **args))
    assert (n * found).sum() == pytest.approx(expected, rel=1e-11, abs=1e-15)


def test_probabilities_over_a_long_horizon():
    args = {"x": 300, "recency": 500, "age": 520, "horizon": 3000}
    n = np.arange(3001)
    found = bg_bb.pmf_if_alive(PAPER, n=n, **args)
    assert found.sum() == pytest.approx(1, rel=1e-9)
    expected = float(bg_bb.expected_if_alive(PAPER, **args))
    assert (n * found).sum() == pytest.approx(expected, rel=1e-9)


def test_probabilities_by_hand():
    # All parameters 1, n = 0, alive at opportunity 1: theta is Beta(1, 2), so there for
    # one of two with probability 1/3; p is uniform, so all counts are equally likely:
    # P(0) = 1/3 * 1/2 + 2/3 * 1/3, P(1) the same, P(2) = 2/3 * 1/3.
    found = bg_bb.pmf_if_alive((1, 1, 1, 1), n=[0, 1, 2], **NEW, horizon=2)
    assert found == pytest.approx([7 / 18, 7 / 18, 4 / 18], rel=1e-14)
    # Not there at all with probability 1/2.
    found = MODEL.pmf_new((1, 1, 1, 1), n=[0, 1, 2], horizon=2)
    assert found == pytest.approx([25 / 36, 7 / 36, 4 / 36], rel=1e-14)


def test_history_and_future_are_one_process():
    # P(nothing in n + 1 opportunities) = L(0, 0, n) [1 - P(alive) P(buy)].
    for n in range(6):
        longer = bg_bb.each(PAPER, rows_of(0, 0, n + 1)).log_likelihood[0]
        shorter = bg_bb.each(PAPER, rows_of(0, 0, n)).log_likelihood[0]
        args = {"x": 0, "recency": 0, "age": n}
        once = bg_bb.p_alive(PAPER, **args)
        once = once * bg_bb.pmf_if_alive(PAPER, n=1, **args, horizon=1)
        assert math.exp(longer - shorter) == pytest.approx(float(1 - once), rel=1e-13)


def test_draws_have_their_probabilities():
    args = {"x": 2, "recency": 4, "age": 6, "horizon": 8}
    rng = np.random.default_rng(1)
    n_draws = 60_000
    drawn = bg_bb.draw_if_alive(PAPER, **args | {"x": np.full(n_draws, 2)}, rng=rng)
    expected = float(bg_bb.expected_if_alive(PAPER, **args))
    error = drawn.std() / math.sqrt(n_draws)
    assert drawn.mean() == pytest.approx(expected, abs=4 * error)
    chance = bg_bb.pmf_if_alive(PAPER, n=np.arange(9), **args)
    shares = np.bincount(drawn, minlength=9) / n_draws
    room = 4 * np.sqrt(chance * (1 - chance) / n_draws)
    assert np.all(np.abs(shares - chance) < room)
    none = bg_bb.draw_if_alive(PAPER, **args | {"horizon": 0}, rng=rng)
    assert none == 0
    # Nobody ever leaves and everybody always buys: even tiny parameters draw.
    sure = bg_bb.draw_if_alive((1e6, 1e-6, 1e-6, 1e6), **args | {"x": 6}, rng=rng)
    assert sure == 8


def test_parameters_may_differ_between_customers():
    rng = np.random.default_rng(3)
    x, recency, age = (
        np.array([0, 4, 2, 4]),
        np.array([0, 5, 7, 5]),
        np.array([3, 6, 9, 6]),
    )
    kwargs = {"x": x, "recency": recency, "age": age}
    by_row = tuple(rng.uniform(0.2, 3, (4, 4)))
    mixed = (by_row[0], 0.7, by_row[2], 2.5)
    for model in (by_row, mixed):
        found = bg_bb.each(model, rows_of(**kwargs))
        alive = bg_bb.p_alive(model, **kwargs)
        expected = bg_bb.expected_if_alive(model, **kwargs, horizon=[0, 1, 5, 9])
        chance = bg_bb.pmf_if_alive(model, n=[0, 1, 2, 3], **kwargs, horizon=9)
        for i in range(4):
            one = {k: int(v[i]) for k, v in kwargs.items()}
            own = tuple(float(p[i]) if np.ndim(p) else p for p in model)
            row = bg_bb.each(own, rows_of(**one))
            np.testing.assert_allclose(found.log_likelihood[i], row.log_likelihood[0])
            np.testing.assert_allclose(found.gradient[:, i], row.gradient[:, 0])
            alone = bg_bb.p_alive(own, **one)
            assert alone.shape == ()
            assert alive[i] == pytest.approx(float(alone), rel=1e-14)
            alone = bg_bb.expected_if_alive(own, **one, horizon=[0, 1, 5, 9][i])
            assert expected[i] == pytest.approx(float(alone), rel=1e-13)
            alone = bg_bb.pmf_if_alive(own, n=i, **one, horizon=9)
            assert chance[i] == pytest.approx(float(alone), rel=1e-13)
    table = bg_bb.p_alive(by_row, x=x[:, None], recency=recency[:, None], age=10)
    assert table.shape == (4, 4)
    cell = bg_bb.p_alive([p[1] for p in by_row], x=x[2], recency=recency[2], age=10)
    assert table[2, 1] == pytest.approx(float(cell), rel=1e-14)


def test_nobody_to_predict():
    rows = {"x": [], "recency": [], "age": []}
    assert bg_bb.p_alive(PAPER, **rows).shape == (0,)
    assert bg_bb.expected_if_alive(PAPER, **rows, horizon=3).shape == (0,)
    assert bg_bb.pmf_if_alive(PAPER, n=1, **rows, horizon=3).shape == (0,)


# Truth ----------------------------------------------------------------------


def test_truth_is_recovered():
    truth = BgBb(1.2, 1.5, 0.7, 4.0)
    rng = np.random.default_rng(6)
    age = rng.integers(4, 25, 60_000)
    x, recency, _ = lives(age.size, rng, truth=truth, ages=age)
    fit = fit_purchases(MODEL, x, recency=recency, age=age)
    errors = np.array(list(fit.standard_errors.values()))
    assert np.all(np.abs(fit.estimates - np.array(truth)) < 3 * errors)
    assert np.all(errors / fit.estimates < 0.04)


@pytest.mark.slow
def test_intervals_cover_the_truth():
    truth = BgBb(1.2, 0.75, 0.66, 2.8)
    rng = np.random.default_rng(7)

    def draw():
        age = rng.integers(6, 9, 4000)
        x, recency, _ = lives(age.size, rng, truth=truth, ages=age)
        return x, recency, age

    inside = shares_inside(MODEL, truth, draw, n_runs=240)
    assert np.all((inside >= 0.92) & (inside <= 0.98)), inside


def test_expected_purchases_come_true():
    # What 60,000 customers buy at the next 5 of 13 opportunities.
    rng = np.random.default_rng(8)
    n, age, horizon = 60_000, 8, 5
    buys = rng.beta(PAPER.alpha, PAPER.beta, n)
    life = rng.geometric(rng.beta(PAPER.gamma, PAPER.delta, n)) - 1
    bought = rng.random((n, age + horizon)) < buys[:, None]
    bought &= np.arange(age + horizon) < life[:, None]
    x, to_come = bought[:, :age].sum(axis=1), bought[:, age:].sum(axis=1)
    last = age - np.argmax(bought[:, age - 1 :: -1], axis=1)
    rows = {"x": x, "recency": np.where(x > 0, last, 0), "age": age}
    alive = bg_bb.p_alive(PAPER, **rows)
    assert alive.mean() == pytest.approx((life > age).mean(), abs=0.006)
    expected = alive * bg_bb.expected_if_alive(PAPER, **rows, horizon=horizon)
    for group in np.array_split(np.argsort(expected), 10):  # calibrated by decile
        noise = 4 * to_come[group].std() / math.sqrt(group.size) + 1e-3
        assert expected[group].mean() == pytest.approx(to_come[group].mean(), abs=noise)


# Edges ----------------------------------------------------------------------


def test_no_dropout_is_said_to_be_undetermined():
    rng = np.random.default_rng(1)
    age = rng.integers(5, 20, 3000)
    x, recency, _ = lives(age.size, rng, truth=BgBb(1, 2, 1e-9, 10), ages=age)
    fit = fit_purchases(MODEL, x, recency=recency, age=age)
    assert {"gamma", "delta"} & set(fit.at_bound)
    assert fit.standard_errors == {}
    assert fit.params["alpha"] == pytest.approx(1, rel=0.1)


def test_one_opportunity_determines_nothing():
    # Whether 300 of 500 bought or not leaves three parameters open.
    x = np.repeat([0, 1], [200, 300])
    fit = fit_purchases(MODEL, x, recency=x, age=np.ones(500))
    assert fit.at_bound
    assert fit.covariance is None
    new = MODEL.expected_new(fit.estimates.tolist(), 1)
    assert new == pytest.approx(0.6, rel=1e-5)


def test_starts_stay_above_zero():
    # Somebody who bought at every opportunity.
    for start in bg_bb.starts(rows_of([5, 3], [5, 3], [5, 3])):
        assert min(start) > 0


@pytest.mark.parametrize("horizon", [1.5, -1, [2, 0.1]])
def test_horizons_between_opportunities(horizon):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="whole number of opportunities"):
        bg_bb.expected_if_alive(PAPER, **NEW, horizon=horizon)
    with pytest.raises(ValueError, match="whole number of opportunities"):
        bg_bb.pmf_if_alive(PAPER, n=1, **NEW, horizon=horizon)
    with pytest.raises(ValueError, match="whole number of opportunities"):
        bg_bb.draw_if_alive(PAPER, **NEW, horizon=horizon, rng=rng)


@pytest.mark.parametrize(
    ("x", "recency", "age", "message"),
    [
        (3, 2, 5, "0 <= x <= recency"),
        (1, 1.5, 5, "whole numbers"),
        (1, 1, 5.5, "whole numbers"),
        (-1, 1, 5, "0 <= x"),
        (1, 6, 5, "recency must not be above age"),
    ],
)
def test_impossible_customers(x, recency, age, message):
    with pytest.raises(ValueError, match=message):
        bg_bb.p_alive(PAPER, x=x, recency=recency, age=age)
    with pytest.raises(FitError, match="1 of 2 customers are impossible"):
        fit_purchases(MODEL, [x, 1], recency=[recency, 1], age=[age, 2])
