"""(M)BG/CNBD-k against brute force, high-precision values and simulated truth."""

import math

import mpmath
import numpy as np
import pandas as pd
import pytest
from cdnow import CALIBRATION_END, calibration, orders
from drawn_fits import shares_inside
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.special import pdtrc

from selfloop.core.errors import FitError
from selfloop.kernels import bg_nbd, cnbd_counts, mbg_nbd
from selfloop.kernels.cnbd_k import CnbdK, gap_term, model, regularity
from selfloop.kernels.purchase_fit import fit_purchases
from selfloop.kernels.rows import Rows, distinct_rows

# BG/CNBD-2 and MBG/CNBD-2 on CDNOW in weeks, and groceries.
BG_2 = CnbdK(0.22692, 1.46292, 0.94400, 2.07433)
MBG_2 = CnbdK(0.57990, 2.28815, 1.13445, 1.58498)
GROCER = CnbdK(1.44, 0.76, 0.4, 1.2)

positive = st.floats(0.05, 20.0)
params = st.builds(CnbdK, positive, positive, positive, positive)
regularities = st.integers(1, 12)
first_dropouts = st.integers(0, 1)


@st.composite
def customers(draw, max_x=30):
    """Rows of possible customers: x, t_x, T."""
    n = draw(st.integers(1, 8))
    x = draw(st.lists(st.integers(0, max_x), min_size=n, max_size=n))
    age = draw(st.lists(st.floats(0.01, 100), min_size=n, max_size=n))
    part = draw(st.lists(st.floats(0.01, 1), min_size=n, max_size=n))
    x, age = np.array(x), np.array(age)
    return x, np.where(x > 0, np.array(part) * age, 0.0), age


class Simulated:
    """Customers drawn purchase by purchase, and what they do up to their end."""

    def __init__(self, n, rng, *, truth, k, first_dropout, end):
        end = np.broadcast_to(np.asarray(end, dtype=float), (n,))
        rate = rng.gamma(truth.r, 1 / truth.alpha, n)
        leaves = rng.beta(truth.a, truth.b, n)
        self.n, self.left_at = n, np.full(n, np.inf)
        last = np.zeros(n)
        if first_dropout:
            self.left_at[rng.random(n) < leaves] = 0.0
        active = np.flatnonzero(np.isinf(self.left_at))
        who, when, gaps = [], [], []
        while active.size:
            gap = rng.gamma(k, 1 / rate[active])
            inside = last[active] + gap <= end[active]
            active, gap = active[inside], gap[inside]
            last[active] += gap
            who.append(active)
            when.append(last[active])
            gaps.append(gap)
            goes = rng.random(active.size) < leaves[active]
            self.left_at[active[goes]] = last[active[goes]]
            active = active[~goes]
        self.who, self.when = np.concatenate(who), np.concatenate(when)
        self.gaps = np.concatenate(gaps)

    def until(self, age):
        """Reduce purchases up to an age to x, t_x, T."""
        age = np.broadcast_to(np.asarray(age, dtype=float), (self.n,))
        seen = self.when <= age[self.who]
        x = np.bincount(self.who[seen], minlength=self.n)
        recency = np.zeros(self.n)
        np.maximum.at(recency, self.who[seen], self.when[seen])
        return {"x": x, "recency": recency, "age": age}


def expected_purchases(which, values, *, horizon, **given):
    """Expected purchases given the history."""
    stays = which.p_alive(values, **given)
    return stays * which.expected_if_alive(values, **given, horizon=horizon)


# Reference values -----------------------------------------------------------


def calibration_days():
    """Days on which each customer bought in the calibration period, in order."""
    table = orders()
    days = table.loc[table["ordered_at"] <= CALIBRATION_END]
    days = days[["customer_id", "ordered_at"]].drop_duplicates()
    return days.sort_values(["customer_id", "ordered_at"])


@pytest.fixture(scope="module")
def cdnow():
    """Calibration sample, and the sum of the logs of its gaps in weeks."""
    days = calibration_days()
    gaps = days.groupby("customer_id")["ordered_at"].diff().dropna()
    weeks = gaps / pd.Timedelta(days=7)
    assert len(weeks) == 2457
    return calibration(), float(np.log(weeks).sum())


@pytest.mark.parametrize(
    ("k", "first_dropout", "estimates", "log_likelihood"),
    [  # computed elsewhere, by another program, from the same sample
        (1, 0, [0.24259, 4.41360, 0.79292, 2.42590], -9582.4292),
        (2, 0, [0.22692, 1.46292, 0.94400, 2.07433], -9855.3270),
        (3, 0, [0.21948, 0.83343, 1.02610, 2.09415], -10393.5651),
        (4, 0, [0.21445, 0.56985, 1.08185, 2.13809], -11030.1916),
        (1, 1, [0.52484, 6.18309, 0.89136, 1.61399], -9582.1357),
        (2, 1, [0.57990, 2.28815, 1.13445, 1.58498], -9853.2531),
        (3, 1, [0.53297, 1.25820, 1.28866, 1.84520], -10394.3627),
        (4, 1, [0.49586, 0.83082, 1.40668, 2.08914], -11033.9409),
    ],
)
def test_cdnow(cdnow, k, first_dropout, estimates, log_likelihood):
    sample, sum_log_gaps = cdnow
    fit = fit_purchases(
        model(k, first_dropout=first_dropout),
        sample.x,
        recency=sample.recency / 7,
        age=sample.age / 7,
    )
    assert list(fit.params) == ["r", "alpha", "a", "b"]
    np.testing.assert_allclose(fit.estimates, estimates, atol=6e-6, rtol=2e-5)
    found = fit.log_likelihood + gap_term(
        k, sum_log_gaps=sum_log_gaps, n_purchases=sample.x.sum()
    )
    assert found == pytest.approx(log_likelihood, abs=6e-5)
    assert fit.at_bound == ()


def test_regularity_of_cdnow_agrees_with_the_likelihood():
    # k = 1, as the log-likelihoods above; 507 customers bought at least three times.
    days = calibration_days()
    gaps = days.groupby("customer_id")["ordered_at"].diff().dt.days.dropna()
    lists = gaps.groupby(days["customer_id"]).agg(list)
    pairs = np.array([g[-2:] for g in lists if len(g) > 1], dtype=float)
    assert len(pairs) == 507
    assert regularity(pairs[:, 0], pairs[:, 1]) == pytest.approx(1, abs=0.1)


# Names and shapes -----------------------------------------------------------


def test_what_a_model_says_of_itself():
    found = model(2, first_dropout=0)
    assert (found.name, found.label) == ("bg_cnbd_2", "BG/CNBD-2")
    assert found.parameters == ("r", "alpha", "a", "b")
    assert found.times == ("alpha",)
    assert (found.purchase_rate, found.dropout) == (("alpha", -1), ("a", 1))
    assert (found.uses_recency, found.one_time_may_leave, found.k) == (True, False, 2)
    assert not found.is_discrete
    other = model(1, first_dropout=1)
    assert (other.name, other.label) == ("mbg_cnbd_1", "MBG/CNBD-1")
    assert (other.uses_recency, other.one_time_may_leave, other.k) == (False, True, 1)


@pytest.mark.parametrize("k", [0, 13, -1, 1.5])
def test_k_out_of_range(k):
    with pytest.raises(ValueError, match="k must be a whole number from 1 to 12"):
        model(k, first_dropout=0)


def test_first_dropout_out_of_range():
    with pytest.raises(ValueError, match="first_dropout must be 0 or 1, got 2"):
        model(2, first_dropout=2)


# k = 1 is BG/NBD and MBG/NBD ------------------------------------------------


@settings(deadline=None)
@given(params, customers(), st.floats(0, 200), st.integers(0, 1))
def test_k_1_is_the_plain_model(values, rows, horizon, first_dropout):
    plain = (bg_nbd.MODEL, mbg_nbd.MODEL)[first_dropout]
    ours = model(1, first_dropout=first_dropout)
    table = distinct_rows(rows)
    for one, two in zip(
        ours.each(values, table), plain.each(values, table), strict=True
    ):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-9)
    one, two = (m.objective(table)(np.array(values)) for m in (ours, plain))
    assert one[0] == pytest.approx(two[0], rel=1e-12, abs=1e-12)
    np.testing.assert_allclose(one[1], two[1], rtol=1e-9, atol=1e-9)
    x, recency, age = rows
    given = {"x": x, "recency": recency, "age": age}
    np.testing.assert_allclose(
        ours.p_alive(values, **given), plain.p_alive(values, **given), rtol=1e-12
    )
    given["horizon"] = horizon
    np.testing.assert_allclose(
        ours.expected_if_alive(values, **given),
        plain.expected_if_alive(values, **given),
        rtol=1e-8,
        atol=1e-300,
    )
    np.testing.assert_allclose(
        ours.pmf_if_alive(values, **given, n=3),
        plain.pmf_if_alive(values, **given, n=3),
        rtol=1e-8,
        atol=1e-200,
    )


# The likelihood -------------------------------------------------------------


def test_log_likelihood_of_one_time_buyers_by_hand():
    # k = 2, nothing bought in T = 12: no hidden event, (4/16)^0.5 = 1/2, or exactly
    # one, 1/2 * 0.5 * 12/16 = 3/16. With dropout after the first purchase the chance
    # to stay is 2/2.8 = 5/7, to leave 2/7.
    one = Rows((np.array([0.0]), np.array([0.0]), np.array([12.0])), np.array([2.0]))
    values = np.array([0.5, 4.0, 0.8, 2.0])
    value, _ = model(2, first_dropout=0).objective(one)(values)
    assert value == pytest.approx(2 * math.log(11 / 16), rel=1e-14)
    value, _ = model(2, first_dropout=1).objective(one)(values)
    assert value == pytest.approx(2 * math.log(11 / 16 * 5 / 7 + 2 / 7), rel=1e-14)


class Grid:
    """Integrals over the rate and the chance to leave, by the trapezoidal rule."""

    def __init__(self, values):
        r, alpha, a, b = values
        v = np.linspace(-60 / min(r, 1), 7, 1500)
        u = np.linspace(-60 / min(a, 1), 60 / min(b, 1), 1500)
        self.rate, self.p = np.exp(v) / alpha, 1 / (1 + np.exp(-u))
        self.stay = 1 / (1 + np.exp(u))
        by_rate = np.exp(r * v - np.exp(v) - math.lgamma(r))
        log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
        by_p = np.exp(a * np.log(self.p) + b * np.log(self.stay) - log_beta)
        self.by_rate, self.by_p = by_rate * (v[1] - v[0]), by_p * (u[1] - u[0])

    def over(self, of_both):
        """Integrate a function of both, shape (rates, chances)."""
        return float(np.einsum("i,j,ij->", self.by_rate, self.by_p, of_both))


HISTORIES = [([], 5.0), ([2.3], 4.0), ([0.7, 1.9, 1.2], 7.5), ([0.4, 0.3], 0.7)]


@pytest.mark.parametrize("first_dropout", [0, 1])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize(("gaps", "age"), HISTORIES, ids=["0", "1", "3", "just"])
def test_likelihood_by_integration(k, first_dropout, gaps, age):
    values = CnbdK(0.9, 1.7, 0.8, 2.2)
    which, grid = model(k, first_dropout=first_dropout), Grid(values)
    x, recency = len(gaps), min(sum(gaps), age)
    rate, stay = grid.rate[:, None], grid.stay[None, :]
    density = np.ones_like(rate)
    for gap in gaps:  # Erlang-k
        density = density * rate**k * gap ** (k - 1) * np.exp(-rate * gap)
        density /= math.gamma(k)
    wait = rate * (age - recency)
    silent = sum(wait**j / math.factorial(j) for j in range(k)) * np.exp(-wait)
    n_chances = x + first_dropout
    there = grid.over(density * silent * stay**n_chances)
    gone = 0.0
    if n_chances:
        gone = grid.over(density * stay ** (n_chances - 1) * grid.p[None, :])
    rows = distinct_rows([[x], [recency], [age]])
    found = which.each(values, rows).log_likelihood[0]
    found += gap_term(k, sum_log_gaps=float(np.log(gaps).sum()), n_purchases=x)
    assert found == pytest.approx(math.log(there + gone), rel=1e-11, abs=1e-11)
    alive = which.p_alive(values, x=x, recency=recency, age=age)
    assert alive == pytest.approx(there / (there + gone), rel=1e-11)


@settings(deadline=None)
@given(params, customers(), regularities, first_dropouts)
def test_gradient_is_that_of_the_likelihood(values, rows, k, first_dropout):
    table = distinct_rows(rows)
    objective = model(k, first_dropout=first_dropout).objective(table)
    center = np.array(values)
    _, gradient = objective(center)
    for i, size in enumerate(center):
        step = np.zeros(4)
        step[i] = 1e-5 * size
        slope = (objective(center + step)[0] - objective(center - step)[0]) / 2e-5
        assert gradient[i] * size == pytest.approx(slope, rel=1e-5, abs=1e-5)


@settings(deadline=None)
@given(params, customers(), regularities, first_dropouts)
def test_objective_is_the_sum_of_each(values, rows, k, first_dropout):
    which, table = model(k, first_dropout=first_dropout), distinct_rows(rows)
    value, gradient = which.objective(table)(np.array(values))
    each = which.each(values, table)
    assert value == pytest.approx((each.log_likelihood * table.counts).sum(), rel=1e-11)
    np.testing.assert_allclose(
        gradient, (each.gradient * table.counts).sum(axis=1), rtol=1e-8, atol=1e-8
    )


def test_objective_of_many_rows_is_summed_in_blocks():
    rng = np.random.default_rng(3)
    x = rng.integers(0, 6, 40_000).astype(float)
    age = rng.uniform(1, 50, x.size)
    rows = Rows((x, np.where(x > 0, 0.7 * age, 0.0), age), rng.uniform(1, 3, x.size))
    which = model(3, first_dropout=1)
    each = which.each(GROCER, rows)
    value, gradient = which.objective(rows)(np.array(GROCER))
    assert value == pytest.approx((each.log_likelihood * rows.counts).sum(), rel=1e-12)
    np.testing.assert_allclose(
        gradient, (each.gradient * rows.counts).sum(axis=1), rtol=1e-10
    )


@pytest.mark.parametrize(
    ("values", "x", "recency", "age"),
    [
        ((1e-6, 1e-6, 1e-6, 1e-6), 3, 2.0, 2.5),
        ((1e6, 1e6, 1e6, 1e6), 20_000, 9_000.0, 10_000.0),
        ((0.3, 0.01, 2.0, 0.1), 20_000, 10_000.0, 10_000.0),
        ((1.0, 1.0, 1.0, 0.5), 0, 0.0, 0.0),
        ((2.0, 1e-6, 1e6, 1e-6), 0, 0.0, 10_000.0),
        ((0.5, 2.0, 1e-6, 1e6), 2_500, 10.0, 10_000.0),
    ],
)
@pytest.mark.parametrize("k", [1, 2, 12])
@pytest.mark.parametrize("first_dropout", [0, 1])
def test_likelihood_at_the_edges(values, x, recency, age, k, first_dropout):
    which = model(k, first_dropout=first_dropout)
    rows = distinct_rows([[x], [recency], [age]])
    each = which.each(values, rows)
    value, gradient = which.objective(rows)(np.array(values))
    with mpmath.workdps(60):
        r, alpha, a, b, last, end = map(mpmath.mpf, (*values, recency, age))
        shape, stayed = r + k * x, x + first_dropout
        waited = (end - last) / (alpha + end)
        silent = mpmath.fsum(
            mpmath.rf(shape, j) / mpmath.factorial(j) * waited**j for j in range(k)
        )
        ratio = (alpha + end) / (alpha + last)
        gone = a / (b + stayed - 1) * ratio**shape if stayed else 0
        truth = (
            mpmath.loggamma(shape) - mpmath.loggamma(r)
            + mpmath.loggamma(b + stayed) - mpmath.loggamma(b)
            + mpmath.loggamma(a + b) - mpmath.loggamma(a + b + stayed)
            - r * mpmath.log(1 + end / alpha) - k * x * mpmath.log(alpha + end)
            + mpmath.log(silent + gone)
        )  # fmt: skip
    assert each.log_likelihood[0] == pytest.approx(float(truth), rel=1e-10, abs=1e-11)
    assert value == pytest.approx(float(truth), rel=1e-10, abs=1e-11)
    np.testing.assert_allclose(
        each.gradient[:, 0] * values, gradient * values, rtol=1e-7, atol=1e-7
    )


def test_gap_term_by_hand():
    # k = 3: (3-1) * 5 - 9 ln 2!
    found = gap_term(3, sum_log_gaps=5.0, n_purchases=9)
    assert found == pytest.approx(10 - 9 * math.log(2), rel=1e-15)
    assert gap_term(1, sum_log_gaps=5.0, n_purchases=9) == 0


# P(alive) and expectations --------------------------------------------------


def in_mpmath(k, first_dropout, values, history, horizon, *, dps=30):
    """E[Y | alive] term by term and P(alive), at 30 digits."""
    with mpmath.workdps(dps):
        x, recency, age = history
        r, alpha, a, b, last, end, ahead = map(
            mpmath.mpf, (*values, recency, age, horizon)
        )
        shape, b1 = r + k * x, b + x + first_dropout
        ratio, waited = ahead / (alpha + end), (end - last) / (alpha + end)
        silent, total, term = mpmath.mpf(0), mpmath.mpf(0), mpmath.mpf(1)
        for j in range(k):
            chance = (1 + ratio) ** (-shape - j)
            m, n, bought = 0, 0, mpmath.mpf(0)
            more, mean = mpmath.mpf(1), mpmath.mpf(0)
            while True:
                while n < (m + j) // k:
                    bought += more
                    more *= (b1 + n) / (a + b1 + n)
                    n += 1
                mean += chance * bought
                falls = max((shape + j + m) / (m + 1), 1) * ratio / (1 + ratio)
                left = chance * bought - mean * (1 - falls) ** 2 / 10**20
                if m > k and falls < 1 and left <= 0:
                    break
                chance *= (shape + j + m) / (m + 1) * ratio / (1 + ratio)
                m += 1
            silent += term
            total += term * mean
            term *= (shape + j) / (j + 1) * waited
        alive = mpmath.mpf(1)
        if x + first_dropout:
            gone = ((alpha + end) / (alpha + last)) ** shape * a / (b1 - 1)
            alive = silent / (silent + gone)
        return float(total / silent), float(alive)


@pytest.mark.parametrize("first_dropout", [0, 1])
@pytest.mark.parametrize("k", [1, 2, 3, 12])
@pytest.mark.parametrize(
    ("values", "history", "horizon"),
    [
        (BG_2, (2, 30.43, 38.86), 39.0),
        (MBG_2, (0, 0.0, 38.86), 39.0),
        (MBG_2, (29, 38.0, 38.86), 52.0),
        (BG_2, (7, 38.86, 38.86), 1.0),  # just bought
        ((1.0, 7.0, 1.0, 2.4), (2, 30.0, 38.86), 1e-6),
        ((1e-6, 5.0, 0.2, 0.8), (0, 0.0, 1.0), 3.0),
        ((1.0, 1.0, 1.0, 0.3), (0, 0.0, 0.0), 12.0),  # a = 1, alpha = b... at once
        ((10.0, 9.0, 3e5, 4e5), (20, 1.0, 300.0), 52.0),
        ((0.3, 0.5, 1e-6, 1e-3), (1, 0.5, 2.0), 30.0),
    ],
)
def test_expectation_term_by_term(k, first_dropout, values, history, horizon):
    expected, alive = in_mpmath(k, first_dropout, values, history, horizon)
    which = model(k, first_dropout=first_dropout)
    given = dict(zip(("x", "recency", "age"), history, strict=True))
    found = which.expected_if_alive(values, **given, horizon=horizon)
    assert found == pytest.approx(expected, rel=1e-11)
    assert which.p_alive(values, **given) == pytest.approx(alive, rel=1e-11)


@pytest.mark.parametrize(
    ("k", "first_dropout", "values", "history", "horizon", "expected", "alive"),
    [  # in_mpmath(k, first_dropout, values, history, horizon, dps=40); up to a minute
        (2, 1, (0.58, 2.29, 1.134, 1.585), (20_000, 500.0, 520.0), 1e4,
         49452.05066324735, 0.0),
        (2, 0, (0.58, 2.29, 1.0, 1.585), (20_000, 9990.0, 1e4), 1e4,
         13861.592805245657, 3.443451497651322e-12),
        (12, 1, (0.5, 0.8, 1.4, 2.0), (20_000, 9999.0, 1e4), 300.0,
         588.0803903353919, 0.9730204196859158),
        (3, 0, (0.2, 0.8, 1.0, 2.0), (5000, 1e4, 1e4), 1e4,
         3465.9553009144665, 0.9998000799680128),
        (2, 0, (0.227, 1.463, 0.944, 2.074), (0, 0.0, 0.0), 1e4,
         9.342733227611921, 1.0),
        (4, 0, (1e-5, 1.463, 0.3, 0.01), (0, 0.0, 0.0), 1e3,
         6.456374088030037e-05, 1.0),
        (12, 0, (0.3, 1.463, 0.8, 0.01), (0, 0.0, 0.0), 1e3,
         0.7028494512227232, 1.0),
        (12, 1, (0.3, 1.463, 0.74, 0.76), (1, 1.0, 2.0), 1e3,
         27.879546004106256, 0.7002370327726717),
        (12, 1, (5.0, 1.463, 2.4, 0.76), (1, 1.0, 2.0), 1e3,
         2.9693433234989204, 0.4027246979252988),
        (3, 1, (0.4, 1.0, 1e-6, 1e-6), (3, 2.0, 2.5), 500.0,
         495.2009408720275, 0.9999995750100089),
        (3, 1, (0.4, 1.0, 1e6, 1e6), (3, 2.0, 2.5), 500.0,
         2.000005000004991, 0.4395667934331139),
        (2, 1, (0.4, 1.0, 1e6, 0.01), (3, 2.0, 2.5), 500.0,
         1.0000040100039504, 2.1483887388206793e-06),
    ],
)  # fmt: skip
def test_extreme_customers(k, first_dropout, values, history, horizon, expected, alive):
    which = model(k, first_dropout=first_dropout)
    given = dict(zip(("x", "recency", "age"), history, strict=True))
    found = which.expected_if_alive(values, **given, horizon=horizon)
    assert found == pytest.approx(expected, rel=5e-11)
    assert which.p_alive(values, **given) == pytest.approx(alive, rel=1e-11)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize(("gaps", "age"), HISTORIES, ids=["0", "1", "3", "just"])
def test_counts_by_integration(k, gaps, age):
    # The rate by the trapezoidal rule, hidden events by the Poisson distribution:
    # P(Y >= n) = sum_j P(j) P(wants n | j) E[(1-p)^(n-1)].
    values, horizon = CnbdK(0.9, 1.7, 0.8, 2.2), 6.0
    grid = Grid(values)
    x, recency = len(gaps), min(sum(gaps), age)
    rate, wait = grid.rate, grid.rate * (age - recency)
    by_rate = grid.by_rate * rate ** (k * x) * np.exp(-rate * age)
    by_p = grid.by_p * grid.stay ** (x + 1)
    n = np.arange(1, 120)
    reach = np.zeros(n.size)
    for j in range(k):
        weight = by_rate * wait**j / math.factorial(j)
        tail = pdtrc((n * k - j - 1)[:, None], rate[None, :] * horizon)
        reach += np.einsum("i,ni->n", weight, tail)
    reach *= [float((by_p * grid.stay**i).sum()) for i in n - 1]
    silent = sum(wait**j / math.factorial(j) for j in range(k))
    reach /= float((by_rate * silent).sum()) * float(by_p.sum())
    assert reach[-1] < 1e-12
    which = model(k, first_dropout=1)
    given = {"x": x, "recency": recency, "age": age, "horizon": horizon}
    found = which.expected_if_alive(values, **given)
    assert found == pytest.approx(reach.sum(), rel=1e-10)
    chances = which.pmf_if_alive(values, **given, n=np.arange(10))
    exactly = -np.diff(np.append(1.0, reach))[:10]
    np.testing.assert_allclose(chances, exactly, rtol=1e-8, atol=1e-14)


def test_waiting_customers_are_due():
    # Given that she is still there, a regular buyer buys the sooner the longer ago
    # the last purchase is; of one who buys by chance that says nothing.
    ages = np.array([40.0, 40.0])
    given = {"x": 10, "recency": np.array([40.0, 36.0]), "age": ages, "horizon": 2.0}
    by_chance = model(1, first_dropout=1).expected_if_alive(GROCER, **given)
    assert by_chance[0] == by_chance[1]
    just, due = model(3, first_dropout=1).expected_if_alive(GROCER, **given)
    assert due > 1.5 * just


def test_new_customers():
    # Stays after the first purchase with chance 1.2/1.6; k = 1 is known in closed form.
    which = model(2, first_dropout=1)
    new = {"x": 0, "recency": 0.0, "age": 0.0}
    assert which.p_alive(GROCER, **new) == pytest.approx(0.75, rel=1e-15)
    expected = which.expected_new(GROCER, [0.0, 4.0, 52.0])
    inside = which.expected_if_alive(GROCER, **new, horizon=[0.0, 4.0, 52.0])
    np.testing.assert_allclose(expected, 0.75 * inside, rtol=1e-15)
    assert expected[0] == 0
    chances = which.pmf_new(GROCER, n=np.arange(3000), horizon=4.0)
    assert chances.sum() == pytest.approx(1, rel=1e-10)
    assert chances @ np.arange(3000) == pytest.approx(expected[1], rel=1e-8)
    assert model(2, first_dropout=0).p_alive(GROCER, **new) == 1


@settings(deadline=None)
@given(
    regularities,
    st.floats(1e-3, 300),
    st.floats(-14, 14).map(math.exp),
    st.floats(-5, 14).map(math.exp),
    st.floats(1.0, 30),
)
@example(12, 1e-6, 7e4, 150.0, 8.0)
@example(5, 20.0, 1.0, 0.5, 10.0)
@example(3, 2.0, 0.5, 0.5, 25.0)
def test_series_and_integral_agree(k, shape, a, b, ratio):
    columns = (np.array([float(v)]) for v in (shape, a, b, ratio, 0.0))
    there = cnbd_counts.There(*columns)
    terms = cnbd_counts._n_terms(there.shape + k, there.ratio)
    series = cnbd_counts._series(there, terms, k=k)
    assume((shape + k) * ratio < 600)
    if terms[0] > 100 * k:  # with few terms the roots cancel; it is not used there
        integral = cnbd_counts._over_dropout(there, k=k)
        np.testing.assert_allclose(series, integral, rtol=1e-10)
    assert np.all(series >= 0)
    assert np.all(series[-1] <= ((shape + k - 1) * ratio + k - 1) / k * (1 + 1e-12))


def test_series_goes_on_until_the_rest_is_negligible():
    there = cnbd_counts.There(*(np.array([v, v]) for v in (2.0, 0.5, 3.0, 9.0, 0.1)))
    enough = cnbd_counts._n_terms(there.shape + 3, there.ratio)
    found = cnbd_counts._series(there, enough, k=3)
    short = cnbd_counts._series(there, np.array([20.0, 70.0]), k=3)
    np.testing.assert_allclose(short, found, rtol=1e-13)


def test_many_customers_are_worked_off_in_blocks():
    # Short and long series, doubled rows, integrals; against one at a time.
    rng = np.random.default_rng(6)
    n = 3000
    x = rng.integers(0, 40, n) ** 2
    age = np.exp(rng.uniform(-3, 5, n))
    recency = np.where(x > 0, age * rng.uniform(0, 1, n), 0.0)
    horizon = np.exp(rng.uniform(-4, 8, n))
    given = {"x": x, "recency": recency, "age": age, "horizon": horizon}
    which = model(3, first_dropout=1)
    found = which.expected_if_alive(GROCER, **given)
    chances = which.pmf_if_alive(GROCER, **given, n=2)
    for i in range(0, n, 100):
        one = {name: column[i] for name, column in given.items()}
        alone = which.expected_if_alive(GROCER, **one)
        assert found[i] == pytest.approx(alone, rel=1e-11)
        alone = which.pmf_if_alive(GROCER, **one, n=2)
        assert chances[i] == pytest.approx(alone, rel=1e-11, abs=1e-300)


@settings(deadline=None)
@given(params, customers(), regularities, first_dropouts)
def test_predictions_are_what_they_are_called(values, rows, k, first_dropout):
    x, recency, age = rows
    given = {"x": x, "recency": recency, "age": age}
    which = model(k, first_dropout=first_dropout)
    alive = which.p_alive(values, **given)
    assert np.all((alive >= 0) & (alive <= 1))
    if not first_dropout:
        assert np.all(alive[x == 0] == 1)
    none, short, long = (
        which.expected_if_alive(values, **given, horizon=h) for h in (0.0, 10.0, 20.0)
    )
    assert np.all(none == 0)
    assert np.all(short >= 0)
    assert np.all(long >= short * (1 - 1e-12))  # all have left in either
    longer = which.p_alive(values, x=x, recency=recency, age=2 * age)
    assert np.all(longer <= alive * (1 + 1e-12))


@settings(deadline=None)
@given(params, customers(), regularities, st.floats(0.001, 1000))
def test_unit_of_time_changes_nothing(values, rows, k, unit):
    x, recency, age = rows
    which = model(k, first_dropout=1)
    other = values._replace(alpha=values.alpha * unit)
    one = {"x": x, "recency": recency, "age": age, "horizon": 7.0}
    two = {
        "x": x, "recency": recency * unit, "age": age * unit, "horizon": 7.0 * unit
    }  # fmt: skip
    np.testing.assert_allclose(
        which.expected_if_alive(values, **one),
        which.expected_if_alive(other, **two),
        rtol=1e-9,
    )


@settings(deadline=None, max_examples=50)
@given(
    st.builds(CnbdK, *[st.floats(0.2, 5)] * 4),
    st.sampled_from([1, 2, 3, 7, 12]),
    st.integers(0, 8),
    st.floats(0, 1),
    st.floats(1, 20),
)
def test_pmf_sums_to_1_and_has_the_mean(values, k, x, part, horizon):
    given = {"x": x, "recency": 0.0 if x == 0 else 30 * part, "age": 30.0}
    given["horizon"] = horizon
    which, n = model(k, first_dropout=1), np.arange(400)
    chances = which.pmf_if_alive(values, **given, n=n)
    assert np.all(chances >= 0)
    assert chances.sum() == pytest.approx(1, rel=1e-11)
    mean = which.expected_if_alive(values, **given)
    assert (chances * n).sum() == pytest.approx(mean, rel=1e-10)


@pytest.mark.parametrize(
    ("k", "first_dropout", "values", "history", "horizon", "chances"),
    [  # the sum in the notes of pmf_if_alive with mpmath at 40 digits
        (2, 1, (0.58, 2.29, 1.134, 1.585), (2, 30.43, 38.86), 39.0,
         {0: 0.09035059737354645, 1: 0.3688865107764756, 5: 0.03149219183087071,
          100: 1.7935892176943062e-57}),
        (12, 1, (0.5, 0.8, 1.4, 2.0), (20_000, 9999.0, 1e4), 300.0,
         {0: 0.0, 1: 6.99846033872548e-05, 590: 0.018879190419398492,
          604: 0.046813446041804554, 700: 1.2796597809497236e-41}),
        (2, 0, (0.58, 2.29, 1.0, 1.585), (20_000, 9990.0, 1e4), 1e4,
         {1: 4.999353833517018e-05, 19_985: 0.0014139271968852914}),
        (5, 1, (1e4, 1e4, 1e5, 1e6), (29, 38.0, 38.86), 52.0,
         {0: 2.602404303574126e-18, 10: 0.12923759595121068,
          20: 1.4406116632682493e-09}),
        (4, 1, (1e-6, 2.0, 0.5, 0.5), (0, 0.0, 5.0), 30.0,
         {0: 0.9999989196288138, 1: 6.945594012862815e-07,
          50: 9.877873297478812e-24}),
        (4, 1, (0.5, 2.0, 0.5, 0.5), (0, 0.0, 5.0), 1e-9,
         {0: 0.999999999965746, 1: 3.4254083085969924e-11,
          2: 1.0758457956740026e-49}),
        (4, 1, (0.5, 2.0, 0.5, 0.5), (3, 1.0, 5.0), 0.0, {0: 1.0, 1: 0.0, 9: 0.0}),
    ],
)  # fmt: skip
def test_extreme_chances(k, first_dropout, values, history, horizon, chances):
    which = model(k, first_dropout=first_dropout)
    given = dict(zip(("x", "recency", "age"), history, strict=True))
    found = which.pmf_if_alive(values, **given, horizon=horizon, n=list(chances))
    np.testing.assert_allclose(found, list(chances.values()), rtol=5e-11, atol=1e-300)


# Parameters that differ between customers -----------------------------------


@pytest.mark.parametrize("first_dropout", [0, 1])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_parameters_per_customer(k, first_dropout):
    which = model(k, first_dropout=first_dropout)
    rng = np.random.default_rng(5)
    x = np.array([0.0, 1.0, 2.0, 7.0, 30.0])
    age = np.array([0.0, 5.0, 30.0, 31.0, 52.0])
    recency = np.array([0.0, 1.0, 30.0, 20.0, 50.0])
    rows = Rows((x, recency, age), np.ones(5))
    values = tuple(rng.uniform(0.3, 3.0, 5) for _ in range(4))
    given = {"x": x, "recency": recency, "age": age}
    each = which.each(values, rows)
    alive = which.p_alive(values, **given)
    expected = which.expected_if_alive(values, **given, horizon=12.0)
    chance = which.pmf_if_alive(values, **given, horizon=12.0, n=2)
    for i in range(5):
        own = tuple(float(v[i]) for v in values)
        one = {name: column[i] for name, column in given.items()}
        row = Rows((x[i : i + 1], recency[i : i + 1], age[i : i + 1]), np.ones(1))
        alone = which.each(own, row)
        assert each.log_likelihood[i] == pytest.approx(
            alone.log_likelihood[0], rel=1e-13
        )
        np.testing.assert_allclose(
            each.gradient[:, i], alone.gradient[:, 0], rtol=1e-11
        )
        assert alive[i] == pytest.approx(which.p_alive(own, **one), rel=1e-13)
        alone = which.expected_if_alive(own, **one, horizon=12.0)
        assert expected[i] == pytest.approx(alone, rel=1e-12)
        alone = which.pmf_if_alive(own, **one, horizon=12.0, n=2)
        assert chance[i] == pytest.approx(alone, rel=1e-12)


def test_everything_broadcasts():
    which = model(2, first_dropout=1)
    given = {"x": np.array([[0], [3]]), "recency": np.array([[0.0], [7.0]])}
    given["age"] = np.array([8.0, 9.0, 10.0])
    alpha = np.array([1.0, 2.0, 3.0])
    values = (1.44, alpha, 0.4, 1.2)
    assert which.p_alive(values, **given).shape == (2, 3)
    assert which.expected_if_alive(values, **given, horizon=4.0).shape == (2, 3)
    assert which.pmf_if_alive(values, **given, horizon=4.0, n=1).shape == (2, 3)
    rng = np.random.default_rng(0)
    drawn = which.draw_if_alive(values, **given, horizon=4.0, rng=rng)
    assert (drawn.shape, drawn.dtype) == ((2, 3), np.int64)
    nobody = {"x": [], "recency": [], "age": [], "horizon": 4.0}
    assert which.expected_if_alive(GROCER, **nobody).shape == (0,)
    one = {"x": 3, "recency": 7.0, "age": 9.0}
    assert which.expected_if_alive(GROCER, **one, horizon=4.0).shape == ()


# Draws ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "history", "horizon"),
    [(1, (3, 8.0, 10.0), 6.0), (3, (3, 8.0, 10.0), 6.0), (3, (0, 0.0, 0.0), 9.0),
     (12, (2, 9.0, 10.0), 20.0)],
)  # fmt: skip
def test_draws_agree_with_pmf_and_mean(k, history, horizon):
    which, n = model(k, first_dropout=1), 200_000
    values = CnbdK(1.2, 0.8 / k, 0.6, 1.7)
    given = dict(zip(("x", "recency", "age"), history, strict=True))
    given["horizon"] = horizon
    many = given | {"horizon": np.full(n, horizon)}
    drawn = which.draw_if_alive(values, **many, rng=np.random.default_rng(k))
    error = drawn.std() / math.sqrt(n)
    expected = which.expected_if_alive(values, **given)
    assert drawn.mean() == pytest.approx(expected, abs=4 * error)
    chances = which.pmf_if_alive(values, **given, n=np.arange(8))
    cells = np.append(chances, 1 - chances.sum()) * n
    seen = np.bincount(np.minimum(drawn, 8), minlength=9)
    kept = cells > 20
    distance = ((seen - cells)[kept] ** 2 / cells[kept]).sum()
    assert distance < kept.sum() + 4 * math.sqrt(2 * kept.sum())


def test_draws_at_the_edges():
    rng = np.random.default_rng(2)
    n = 1000
    nothing = model(4, first_dropout=0).draw_if_alive(
        GROCER, x=np.full(n, 3), recency=5.0, age=9.0, horizon=0.0, rng=rng
    )
    assert not nothing.any()
    stays = model(2, first_dropout=1).draw_if_alive(
        (2.0, 1.0, 1e-6, 1e6), x=np.full(n, 20_000), recency=1e4, age=1e4,
        horizon=1e4, rng=rng,
    )  # fmt: skip
    assert stays.mean() == pytest.approx(20_000, rel=0.01)
    leaves = model(2, first_dropout=1).draw_if_alive(
        (2.0, 1.0, 1e6, 1e-6), x=np.zeros(n), recency=0.0, age=1.0,
        horizon=1e4, rng=rng,
    )  # fmt: skip
    assert leaves.max() == 1


# Regularity -----------------------------------------------------------------


def test_regularity_by_hand():
    # M = 1/4 and 3/4: v = 1/16, k = (1 - 1/4) / (1/2) = 3/2; the order is no matter.
    assert regularity([1.0, 3.0], [3.0, 1.0]) == 1.5
    assert regularity([3.0, 3.0], [1.0, 1.0]) == 1.5
    assert regularity([7.0, 21.0], [21.0, 7.0]) == 1.5
    assert regularity([1e308, 1e308], [5e307, 5e307]) == pytest.approx(4, rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_regularity_whatever_the_rates(k):
    rng = np.random.default_rng(k)
    rate = rng.gamma(0.4, 1.0, 200_000) + 1e-9
    gaps = rng.gamma(k, 1 / rate, (2, rate.size))
    assert regularity(gaps[0], gaps[1]) == pytest.approx(k, rel=0.015)


@pytest.mark.parametrize(
    ("earlier", "later", "error", "message"),
    [
        ([1.0], [2.0], FitError, "regularity of 1 pairs of gaps cannot be estimated"),
        ([], [], FitError, "regularity of 0 pairs"),
        ([2.0, 5.0], [2.0, 5.0], FitError, "not all with two equal gaps"),
        ([1.0, 2.0], [2.0], ValueError, "gaps must be pairs"),
        (1.0, 2.0, ValueError, "gaps must be pairs"),
        ([1.0, 0.0], [2.0, 1.0], ValueError, "gaps must be above 0"),
        ([1.0, math.nan], [2.0, 1.0], ValueError, "above 0 and finite"),
    ],
)
def test_regularity_without_an_answer(earlier, later, error, message):
    with pytest.raises(error, match=message):
        regularity(earlier, later)


# Truth ----------------------------------------------------------------------


@pytest.mark.parametrize(("k", "first_dropout"), [(2, 1), (3, 0)])
def test_truth_is_recovered(k, first_dropout):
    truth = CnbdK(0.9, 49.0 / k, 0.6, 3.6)
    rng = np.random.default_rng(20 + k)
    n = 60_000
    ages = rng.uniform(150, 728, n)
    people = Simulated(n, rng, truth=truth, k=k, first_dropout=first_dropout, end=ages)
    fit = fit_purchases(model(k, first_dropout=first_dropout), **people.until(ages))
    errors = np.array(list(fit.standard_errors.values()))
    assert np.all(np.abs(fit.estimates - np.array(truth)) < 3.5 * errors)
    assert np.all(errors / fit.estimates < 0.06)


@pytest.mark.parametrize("first_dropout", [0, 1])
def test_likelihood_finds_the_regularity(first_dropout):
    truth = CnbdK(1.1, 15.0, 0.6, 3.0)
    rng = np.random.default_rng(9)
    people = Simulated(
        1500, rng, truth=truth, k=3, first_dropout=first_dropout, end=400.0
    )
    rows = people.until(400.0)
    found = {}
    for k in range(1, 6):
        fit = fit_purchases(model(k, first_dropout=first_dropout), **rows)
        found[k] = fit.log_likelihood + gap_term(
            k, sum_log_gaps=np.log(people.gaps).sum(), n_purchases=people.gaps.size
        )
    assert max(found, key=found.__getitem__) == 3
    order = np.lexsort([people.when, people.who])
    who, gaps = people.who[order], people.gaps[order]
    again = np.append(who[1:] == who[:-1], False)
    last = again & ~np.append(again[1:], False)  # the last but one of each customer
    pair = np.flatnonzero(last)
    estimate = regularity(gaps[pair], gaps[pair + 1])
    assert estimate == pytest.approx(3, abs=0.5)


@pytest.mark.parametrize(("k", "first_dropout"), [(2, 1), (4, 0)])
def test_expected_purchases_come_true(k, first_dropout):
    # What 60,000 customers buy in the next 180 days, from the true parameters.
    truth = CnbdK(0.8, 40.0 / k, 0.7, 3.0)
    which = model(k, first_dropout=first_dropout)
    rng = np.random.default_rng(8 + k)
    n, age, horizon = 60_000, 300.0, 180.0
    people = Simulated(
        n, rng, truth=truth, k=k, first_dropout=first_dropout, end=age + horizon
    )
    before, after = people.until(age), people.until(age + horizon)
    to_come = after["x"] - before["x"]
    expected = expected_purchases(which, truth, **before, horizon=horizon)
    error = to_come.std() / math.sqrt(n)
    assert expected.mean() == pytest.approx(to_come.mean(), abs=4 * error)
    alive = which.p_alive(truth, **before)
    for group in np.array_split(np.argsort(expected), 10):  # calibrated by decile
        noise = 4 * to_come[group].std() / math.sqrt(group.size) + 1e-3
        assert expected[group].mean() == pytest.approx(to_come[group].mean(), abs=noise)
        there = people.left_at[group] > age
        noise = 4 * math.sqrt(0.25 / group.size)
        assert alive[group].mean() == pytest.approx(there.mean(), abs=noise)


@pytest.mark.slow
@pytest.mark.parametrize(("k", "first_dropout"), [(2, 1), (3, 0)])
def test_intervals_cover_the_truth(k, first_dropout):
    truth = CnbdK(0.8, 40.0 / k, 0.7, 3.0)
    which, rng = model(k, first_dropout=first_dropout), np.random.default_rng(4)

    def draw():
        ages = rng.uniform(108, 540, 1500)
        people = Simulated(
            1500, rng, truth=truth, k=k, first_dropout=first_dropout, end=ages
        )
        found = people.until(ages)
        return found["x"], found["recency"], found["age"]

    inside = shares_inside(which, truth, draw, n_runs=300)
    assert np.all((inside >= 0.92) & (inside <= 0.98)), inside
