"""BG/NBD against papers, other packages, high-precision values and simulated truth.

The laws are tested for MBG/NBD too, which shares the functions.
"""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from cdnow import calibration, orders
from drawn_fits import shares_inside
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.special import betaln, gammainc, gammaln
from scipy.stats import beta, chi2, gamma, poisson

from selfloop.core.errors import FitError
from selfloop.kernels import bg_future, bg_nbd, grid, mbg_nbd
from selfloop.kernels.bg_nbd import BgNbd
from selfloop.kernels.purchase_fit import fit_purchases
from selfloop.kernels.purchase_model import summed
from selfloop.kernels.rows import Rows, distinct_rows

MODEL = bg_nbd.MODEL
# Estimates printed by the BTYD walkthrough (McCarthy & Wadsworth 2014), 4.2.
WALKTHROUGH = BgNbd(0.2425967, 4.413659, 0.7929869, 2.426164)
# Rounded estimates of Fader, Hardie & Lee 2005.
PAPER = BgNbd(0.243, 4.414, 0.793, 2.426)

positive = st.floats(0.05, 20.0)
params = st.builds(BgNbd, positive, positive, positive, positive)
both = pytest.mark.parametrize(
    "kernel", [bg_nbd.MODEL, mbg_nbd.MODEL], ids=["bg", "mbg"]
)


@st.composite
def customers(draw, max_x=30):
    """Rows of possible customers: x, t_x, T."""
    n = draw(st.integers(1, 8))
    x = draw(st.lists(st.integers(0, max_x), min_size=n, max_size=n))
    age = draw(st.lists(st.floats(0.01, 100), min_size=n, max_size=n))
    part = draw(st.lists(st.floats(0.01, 1), min_size=n, max_size=n))
    x, age = np.array(x), np.array(age)
    return x, np.where(x > 0, np.array(part) * age, 0.0), age


def rows_of(x, recency, age):
    """Rows as they come: neither sorted nor merged."""
    columns = tuple(np.asarray(c, dtype=np.float64) for c in (x, recency, age))
    return Rows(columns, np.ones(columns[0].size))


def draw_customers(n, rng, *, truth, period):
    """Draw customers from the model with exact times.

    Of k purchases wanted in T, uniform over T, the first x happen: the x-th of them
    is Beta(x, k + 1 - x) of T.
    """
    age = rng.uniform(0.2 * period, period, n)
    rate = rng.gamma(truth.r, 1 / truth.alpha, n)
    leaves = rng.beta(truth.a, truth.b, n)
    wanted = rng.poisson(rate * age)
    x = np.minimum(wanted, rng.geometric(np.maximum(leaves, 1e-12)))
    last = rng.beta(np.maximum(x, 1), wanted + 1.0 - np.minimum(x, wanted))
    return x, np.where(x > 0, age * last, 0.0), age


def fitted(sample, unit=7.0):
    """Fit the calibration sample in a unit of so many days."""
    return fit_purchases(
        MODEL, sample.x, recency=sample.recency / unit, age=sample.age / unit
    )


def expected_purchases(kernel, model, *, x, recency, age, horizon):
    """Expected purchases, given the history."""
    given = {"x": x, "recency": recency, "age": age}
    stays = kernel.p_alive(model, **given)
    return stays * kernel.expected_if_alive(model, **given, horizon=horizon)


def averaged(known, *, r, alpha, a, b):
    """Average over rates and probabilities to leave, both by Gauss-Legendre.

    With whole parameters the integrand is smooth; rates above 12 are nothing.
    """
    node, weight = np.polynomial.legendre.leggauss(120)
    p, rate = (node[:, None] + 1) / 2, 6 * (node + 1)
    density = beta.pdf(p, a, b) / 2 * gamma.pdf(rate, r, scale=1 / alpha) * 6
    return np.einsum("i,j,ij,ij->", weight, weight, density, known(p, rate))


@pytest.fixture(scope="module")
def cdnow():
    """Calibration sample and its fit in weeks."""
    sample = calibration()
    return sample, fitted(sample)


# Published numbers ----------------------------------------------------------


def test_cdnow_estimates(cdnow):
    # CLVTools test_correctness_bgnbd.R: .2425945 4.4136019 .7929199 2.4258881, log-
    # likelihood -9582.429; standard errors from a fit with 60-digit derivatives.
    sample, fit = cdnow
    assert (sample.x.size, sample.x.sum(), fit.n_distinct) == (2357, 2457, 1016)
    assert list(fit.params) == ["r", "alpha", "a", "b"]
    published = [0.2425945, 4.4136019, 0.7929199, 2.4258881]
    np.testing.assert_allclose(fit.estimates, published, rtol=2e-5)
    np.testing.assert_allclose(
        fit.estimates, [0.242595, 4.413602, 0.792922, 2.425908], rtol=2e-6
    )
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        [0.01256, 0.37822, 0.18573, 0.70541],
        atol=6e-6,
    )
    assert fit.log_likelihood == pytest.approx(-9582.429207, abs=1e-6)
    assert fit.gradient < 1e-12


def test_cdnow_covariance(cdnow):
    # Reference covariances to 3-6 digits; (r, alpha), (alpha, b), (a, b) among them.
    _, fit = cdnow
    assert fit.covariance[0, 0] == pytest.approx(1.577e-4, rel=3e-3)
    assert fit.covariance[0, 1] == pytest.approx(0.003706, rel=3e-4)
    assert fit.covariance[1, 3] == pytest.approx(0.010523, rel=3e-3)
    assert fit.covariance[2, 3] == pytest.approx(0.123218, rel=1e-4)
    np.testing.assert_allclose(fit.covariance, fit.covariance.T, rtol=1e-10)


def test_cdnow_without_zero_days():
    # Eight customers have no other purchase: 2,349 remain.
    fit = fitted(calibration(lowest=0.01))
    assert fit.n_people == 2349
    np.testing.assert_allclose(
        fit.estimates, [0.24390, 4.42244, 0.79251, 2.42294], rtol=3e-5
    )
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        [0.01263, 0.37895, 0.18553, 0.70415],
        atol=6e-6,
    )
    assert fit.log_likelihood == pytest.approx(-9578.1966, abs=1e-4)


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
        fit.estimates, [0.25356, 5.44726, 0.60737, 2.64723], rtol=2e-5
    )
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        [0.01091, 0.39830, 0.11092, 0.63805],
        atol=6e-6,
    )
    assert fit.log_likelihood == pytest.approx(-17138.2340, abs=1e-4)


def test_walkthrough_predictions():
    # BTYD walkthrough 4.3, weeks.
    assert MODEL.expected_new(WALKTHROUGH, 52) == pytest.approx(1.444004, rel=3e-6)
    customer = {"x": 26, "recency": 216 / 7, "age": 31}
    expected = expected_purchases(MODEL, WALKTHROUGH, horizon=52, **customer)
    assert expected == pytest.approx(25.75659, rel=2e-5)
    alive = MODEL.p_alive(WALKTHROUGH, **customer)
    assert alive == pytest.approx(0.9688523, rel=1e-6)
    expected = expected_purchases(
        MODEL, WALKTHROUGH, x=[10, 15, 20, 25], recency=20, age=39, horizon=52
    )
    printed = [0.3474606, 0.04283391, 0.004158973, 0.0003583685]
    np.testing.assert_allclose(expected, printed, rtol=1e-4)


def test_new_customers():
    # Hardie's sheet at the paper's estimates, and pymc-marketing's tests.
    weeks = [1 / 7, 1, 3, 31.8571, 32]
    np.testing.assert_allclose(
        MODEL.expected_new(WALKTHROUGH, weeks),
        [0.0078, 0.0532, 0.1506, 1.0405, 1.0437],
        atol=6e-5,
    )
    np.testing.assert_allclose(
        MODEL.expected_new(PAPER, [1, 3, 6]),
        [0.05326789, 0.15086523, 0.28075589],
        rtol=1e-6,
    )


def test_counts_of_new_customers():
    # BTYD manual, bgnbd.pmf, at the estimates of the paper.
    assert MODEL.pmf_new(PAPER, n=10, horizon=2) == pytest.approx(1.07869e-7, rel=2e-6)
    assert MODEL.pmf_new(PAPER, n=0, horizon=39) == pytest.approx(0.5737864, rel=1e-7)
    printed = [
        0.0019995214, 0.0015170236, 0.0011633150, 0.0009003148, 0.0007023638,
        0.0005517902, 0.0004361913, 0.0003467171, 0.0002769613, 0.0002222260,
    ]  # fmt: skip
    found = MODEL.pmf_new(PAPER, n=np.arange(11, 21), horizon=30)
    np.testing.assert_allclose(found, printed, rtol=3e-7)


def test_cdnow_sums_and_holdout(cdnow):
    # Sums over the 2,357 customers, and means by calibration x (walkthrough 4.4).
    sample, fit = cdnow
    found = BgNbd(**fit.params)
    rows = {"x": sample.x, "recency": sample.recency / 7, "age": sample.age / 7}
    at_39 = expected_purchases(MODEL, found, horizon=39, **rows)
    at_52 = expected_purchases(MODEL, found, horizon=52, **rows)
    assert at_39.sum() == pytest.approx(1653.409, abs=1e-3)
    assert at_52.sum() == pytest.approx(2089.399, abs=1e-3)
    assert MODEL.p_alive(found, **rows).mean() == pytest.approx(0.8134398, abs=1e-7)
    groups = np.minimum(sample.x, 7)
    means = [at_39[groups == x].mean() for x in range(8)]
    printed = [
        0.2250893, 0.5231364, 1.044126, 1.520256, 2.163824, 2.653789, 3.503957, 6.157036
    ]  # fmt: skip
    np.testing.assert_allclose(means, printed, rtol=1e-4)


def test_cdnow_tracking():
    # Expected repeat purchases of all up to weeks 20 to 25 (walkthrough 4.4).
    age = calibration().age
    born = (age.max() - age) / 7
    weeks = np.arange(20, 26)[:, None]
    expected = MODEL.expected_new(WALKTHROUGH, np.maximum(weeks - born, 0))
    printed = [1312.458, 1387.346, 1460.392, 1531.713, 1601.418, 1669.6]
    np.testing.assert_allclose(expected.sum(axis=1), printed, rtol=2e-6)


def test_agrees_with_lifetimes(cdnow):
    with warnings.catch_warnings():  # the package warns, and silences warnings
        warnings.simplefilter("ignore")
        from lifetimes import BetaGeoFitter  # noqa: PLC0415 - must not leak filters

        sample, fit = cdnow
        weeks = sample.recency / 7, sample.age / 7
        other = BetaGeoFitter().fit(sample.x, *weeks)
        theirs = BgNbd(*other.params_[["r", "alpha", "a", "b"]])
        alive = other.conditional_probability_alive(sample.x, *weeks)
        expected = other.conditional_expected_number_of_purchases_up_to_time(
            39, sample.x, *weeks
        )
    np.testing.assert_allclose(fit.estimates, theirs, rtol=1e-4)
    rows = {"x": sample.x, "recency": weeks[0], "age": weeks[1]}
    np.testing.assert_allclose(MODEL.p_alive(theirs, **rows), alive, rtol=1e-10)
    ours = expected_purchases(MODEL, theirs, horizon=39, **rows)
    np.testing.assert_allclose(ours, expected, rtol=1e-9)
    value, _ = MODEL.objective(distinct_rows([sample.x, *weeks]))(np.array(theirs))
    # Theirs is the negative mean, with the largest T as the unit of time.
    shift = sample.x.sum() * math.log(weeks[1].max())
    per_person = -other._negative_log_likelihood_
    assert value == pytest.approx(per_person * sample.x.size - shift, abs=1e-4)
    assert fit.log_likelihood >= value


@pytest.mark.parametrize(
    ("model", "customer", "horizon", "truth"),
    [  # 60-digit arithmetic; #302 of lifetimes, and a = 1
        ((0.11, 2.24, 0.31, 0.5), (0, 0, 1), 30, 0.564588615532785),
        ((1, 7, 1, 0.4), (0, 0, 0), 1e4, 3.69799867154129),
    ],
)
def test_right_where_lifetimes_is_not(model, customer, horizon, truth):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lifetimes import BetaGeoFitter  # noqa: PLC0415 - must not leak filters

        other = BetaGeoFitter()
        other.params_ = pd.Series(dict(zip(MODEL.parameters, model, strict=True)))
        theirs = other.conditional_expected_number_of_purchases_up_to_time(
            horizon, *(np.array([float(v)]) for v in customer)
        )
    assert not np.isfinite(np.asarray(theirs)).any()
    x, recency, age = customer
    rows = {"x": x, "recency": recency, "age": age}
    ours = expected_purchases(MODEL, BgNbd(*model), horizon=horizon, **rows)
    assert ours == pytest.approx(truth, rel=1e-11)


# Extreme arguments ----------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "recency", "age", "horizon", "expected", "alive"),
    [  # 50-digit arithmetic at the estimates of test_cdnow_estimates
        (0, 0, 38.86, 39, 0.19478242, 1),
        (2, 30.43, 38.86, 39, 1.2259072, 0.726609),
        (29, 38, 38.86, 52, 24.328884, 0.955226),
        (100, 38, 38.86, 520, 324.10222, 0.944754),
        (300, 38, 39, 52, 66.370106, 0.258035),
        (300, 100, 520, 52, 3.9113042e-207, 1.36411e-208),
        (1000, 50, 52, 52, 1.8462913e-10, 2.63773e-13),
        (1000, 10, 100, 52, 0, 0),  # 3e-855: below the smallest float
        (3000, 50, 52, 52, 7.3659436e-41, 3.50938e-44),
        (500, 500, 520, 5200, 0.0034970902, 2.25579e-6),
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
    assert expected_purchases(MODEL, found, horizon=horizon, **rows) == (
        pytest.approx(expected, rel=tolerance, abs=1e-300)
    )


# With b1 = b (BG) or b + 1 (MBG), c = a + b1 + x - 1 and q = (alpha+T)/(alpha+T+t),
# c/(a-1) * (1 - q**(a-1) * mpmath.hyp2f1(a-1, a+b1-1-r, c, 1-q)) with 120 to 480
# digits, until they agree to 20; a = 1 as 1 + 1e-30, c = 0 as 1e-30.
EXPECTED = [
    (PAPER, 20000, 520, 1e4, 83142.8143253497, 83145.2032165902),
    (PAPER, 20000, 0.5, 1e-3, 4.06972518913388, 4.06972520554499),
    (PAPER, 0, 0, 1e4, 15.0679133150552, 19.0145648607613),
    (PAPER, 3000, 1e4, 1e4, 2235.76955217701, 2235.93742205061),
    ((1, 7, 1, 2.4), 20000, 38.86, 52, 15159.9672920838, 15160.1938314683),
    ((1, 7, 1, 0.4), 0, 0, 1e4, 3.69799867154129, 9.45205544713981),
    ((1, 7, 0.9999, 2.4), 0, 38.86, 0.01, 2.18040967525891e-4, 2.18044145200158e-4),
    ((0.5, 4, 1.5, 2), 0, 0, 1e4, 4.38408631474646, 5.98758670815129),
    ((1.9999, 15, 2.9999, 1), 0, 1, 1e4, 1.49998318876046, 1.99991291045594),
    ((0.03, 0.0156, 0.9713, 82), 5, 0, 1e4, 1057.12258846344, 1067.91357509083),
    ((0.11, 2.24, 0.31, 0.5), 0, 1, 30, 0.564588615532785, 0.723949444189917),
    ((0.3, 5, 0.2, 0.8), 0, 1, 30, 1.14260309284611, 1.27031308275382),  # c = 0
    ((1e-6, 5, 0.8, 2), 0, 10, 52, 2.55758412451257e-6, 2.72565974650203e-6),
    ((1e-6, 5, 0.8, 2), 0, 0, 1e4, 7.38053311723453e-5, 9.5189500085311e-5),
    ((0.5, 8, 1e-6, 2), 2, 12, 52, 6.49999542751359, 6.4999961133327),
    ((0.5, 8, 1e-6, 1e-6), 0, 12, 52, 0.886476406937023, 1.29999863366623),
    ((0.5, 8, 0.7, 1e-6), 0, 0, 52, 0.634853292449869, 1.48718402850981),
    ((0.25, 4, 1e-6, 1000), 2, 38.86, 1e4, 524.964846569241, 524.964846695248),
    ((0.25, 4, 0.5, 1e6), 29, 38.86, 52, 35.4873085665907, 35.4873085669162),
    ((2, 20, 50, 10), 100, 38.86, 1e4, 3.24489795918367, 3.26530612244898),
    ((1e6, 1e7, 0.8, 2.5), 3, 50, 52, 3.99208171954456, 4.11823100111245),
    ((1e4, 1e4, 1e5, 1e6), 2, 38.86, 520, 11.0001200012, 11.0001300013),
    ((9e5, 0.5, 3e-4, 0.03), 35, 0, 1e4, 17898003105.1688, 17898156385.2351),
    ((169.251, 0.191535, 0.842186, 617388), 59, 0, 1e4, 2377958.35329179,
     2377960.67624549),
    ((29.2737, 0.104321, 0.315515, 0.811697), 0, 1e4, 1e-3, 2.92733822142643e-6,
     2.92733880447846e-6),
    ((0.001, 2.5, 0.5, 0.001), 20000, 0, 1e4, 2490107.82620953, 2490169.09468708),
]  # fmt: skip


@pytest.mark.parametrize(("model", "x", "age", "horizon", "bg", "mbg"), EXPECTED)
def test_expected_purchases_are_exact(model, x, age, horizon, bg, mbg):
    asked = {"x": x, "recency": age, "age": age, "horizon": horizon}
    found = [k.expected_if_alive(model, **asked) for k in (MODEL, mbg_nbd.MODEL)]
    np.testing.assert_allclose(found, [bg, mbg], rtol=1e-11)


@pytest.mark.parametrize(
    ("model", "x", "recency", "age", "bg", "mbg"),
    [  # 1 / (1 + a/(b+m+x-1) ((alpha+T)/(alpha+t_x))**(r+x)) with 60 digits
        (PAPER, 20000, 519.9, 520, 0.998205620809883, 0.998205710356999),
        (PAPER, 20000, 1e4, 1e4, 0.999960354398679, 0.999960356380641),
        (PAPER, 1, 0, 1e4, 2.06450670064088e-4, 2.91525065991076e-4),
        (PAPER, 0, 0, 1e4, 1, 0.318810810783637),
        (PAPER, 3000, 9990, 1e4, 0.994719057570111, 0.994720807176369),
        ((1e-6, 5, 0.8, 2), 0, 0, 38.86, 1, 0.714285271109012),
        ((0.5, 8, 1e-6, 1e-6), 1, 5, 12, 0.343852150459288, 0.999998091778864),
        ((0.5, 8, 0.7, 0.01), 1, 3, 38.86, 0.00162211825703548, 0.14096736957689),
        ((0.5, 8, 0.7, 0.01), 0, 0, 0, 1, 0.0140845070422535),  # b / (a + b)
        ((1e6, 1e7, 0.8, 2.5), 3, 20, 50, 0.218782151780912, 0.255002624849057),
        ((0.5, 8, 1e6, 0.5), 2, 9, 9.5, 1.3951401424762e-6, 2.32523140811121e-6),
    ],
)
def test_probability_alive_is_exact(model, x, recency, age, bg, mbg):
    asked = {"x": x, "recency": recency, "age": age}
    found = [k.p_alive(model, **asked) for k in (MODEL, mbg_nbd.MODEL)]
    np.testing.assert_allclose(found, [bg, mbg], rtol=1e-11)


# ln[G(r+x)/G(r) alpha^r B(a, b+m+x)/B(a, b) ((alpha+T)^-(r+x) + a/(b+m+x-1)
# (alpha+t_x)^-(r+x))] with 60 digits, without the second term for x = m = 0.
LIKELIHOODS = [
    (PAPER, 20000, 519.9, 520, 52812.835521084462, 52812.835481350349),
    (PAPER, 3000, 1, 1e4, 15935.713765318101, 15935.713168113752),  # e^z overflows
    (PAPER, 0, 0, 1e4, -1.8774180891210556, -1.0170876091394372),
    ((1e-6, 5, 0.8, 2), 0, 0, 38.86, -2.1715648305556418e-6, -1.5511172549177772e-6),
    ((1e-6, 5, 0.8, 2), 5, 3, 38.86, -24.076818563443822, -24.338930883763543),
    ((0.5, 8, 1e-6, 1e-6), 1, 5, 12, -3.772628491437311, -4.840171092386502),
    ((1e6, 1e7, 0.8, 2.5), 3, 20, 50, -11.035189208598064, -11.324188094381121),
    ((0.5, 8, 1e6, 1e6), 2, 9, 9.5, -7.0597199584764778, -7.7528666571460572),
    ((0.25, 4, 0.5, 1e6), 29, 38, 38.86, -42.132852820141039, -42.132853320127319),
]


@pytest.mark.parametrize(("model", "x", "recency", "age", "bg", "mbg"), LIKELIHOODS)
def test_likelihood_is_exact(model, x, recency, age, bg, mbg):
    rows = rows_of([x], [recency], [age])
    own = BgNbd(*(np.array([v], dtype=np.float64) for v in model))
    for kernel, truth in ((MODEL, bg), (mbg_nbd.MODEL, mbg)):
        near = pytest.approx(truth, rel=1e-11, abs=2e-15)
        assert kernel.objective(rows)(np.array(model, np.float64))[0] == near
        assert kernel.each(model, rows).log_likelihood[0] == near
        # One set of parameters per row: differences of gamma functions.
        assert kernel.each(own, rows).log_likelihood[0] == pytest.approx(
            truth, rel=1e-9, abs=1e-9
        )


@pytest.mark.parametrize(
    ("model", "n", "x", "age", "horizon", "bg", "mbg"),
    [  # mpmath.beta, rf, factorial and betainc with 80 digits: the formula of the notes
        (PAPER, 0, 0, 0, 1e4, 0.15298458885191, 0.15298458885191),
        (PAPER, 1, 0, 0, 52, 0.204600982737989, 0.184689676985086),
        (PAPER, 300, 0, 0, 1e4, 2.91235938616111e-5, 3.84589980696732e-5),
        (PAPER, 20000, 20000, 520, 520, 8.08552957316993e-4, 8.08568926631848e-4),
        (PAPER, 19000, 20000, 520, 520, 1.21316817919035e-5, 1.21316090962311e-5),
        (PAPER, 5, 20000, 520, 0.1, 0.148324692252073, 0.148324693058314),
        (PAPER, 2000, 3000, 52, 1e4, 1.05769356859254e-4, 1.05759378135402e-4),
        ((1, 7, 1, 0.4), 3, 0, 0, 1e4, 0.0489989333722592, 0.0936087431756021),
        ((0.5, 8, 1e-6, 1e-6), 4, 1, 12, 52, 0.0980234073130592, 0.0980234641732229),
        ((0.5, 1e-6, 0.7, 2), 5000, 0, 0, 1e4, 5.56404871337271e-7,
         7.50891409912003e-7),
        ((1e6, 1e7, 0.8, 2.5), 6, 3, 50, 52, 0.100914130873247, 0.10643825479759),
        ((0.25, 4, 1e5, 1e6), 2, 29, 38.86, 52, 0.0826426008583343,
         0.0826425332433574),
    ],
)  # fmt: skip
def test_probability_of_counts_is_exact(model, n, x, age, horizon, bg, mbg):
    asked = {"n": n, "x": x, "recency": age, "age": age, "horizon": horizon}
    found = [k.pmf_if_alive(model, **asked) for k in (MODEL, mbg_nbd.MODEL)]
    np.testing.assert_allclose(found, [bg, mbg], rtol=1e-9)


@both
def test_nothing_in_no_time(kernel):
    asked = {"x": [0, 3], "recency": [0.0, 5.0], "age": [0.0, 9.0], "horizon": 0}
    assert kernel.expected_if_alive(PAPER, **asked).tolist() == [0, 0]
    assert kernel.pmf_if_alive(PAPER, n=0, **asked).tolist() == [1, 1]
    assert kernel.pmf_if_alive(PAPER, n=2, **asked).tolist() == [0, 0]
    rng = np.random.default_rng(0)
    assert kernel.draw_if_alive(PAPER, **asked, rng=rng).tolist() == [0, 0]


def test_without_dropout_purchases_go_on():
    # a -> 0: (r + x) t / (alpha + T), here 2.5 * 10 / 20.
    found = MODEL.expected_if_alive(
        BgNbd(0.5, 8, 1e-12, 2), x=2, recency=5, age=12, horizon=10
    )
    assert found == pytest.approx(1.25, rel=1e-9)


@settings(deadline=None)
@given(params, st.integers(0, 3000), st.floats(0, 500), st.floats(0.01, 1e4))
@example(BgNbd(1, 1, 1, 1), 0, 0.0, 1.0)
@example(BgNbd(0.5, 1, 0.5, 0.5), 0, 0.0, 1e4)
def test_all_ways_to_expected_purchases_agree(model, x, age, horizon):
    # The closed form or the series on one side, the integral on the other.
    found = bg_future.expected_if_alive(model, x=x, age=age, horizon=horizon)
    ratio = horizon / (model.alpha + age)
    one = (model.r, model.a, model.b, x, ratio)
    case = bg_future._Case(*(np.array([v], dtype=np.float64) for v in one))
    assert found == pytest.approx(bg_future._over_dropout(case)[0], rel=1e-10)
    assert 0 <= found <= (model.r + x) * ratio * (1 + 1e-12)


def test_the_integral_is_taken_in_blocks():
    # a = 1: all 5,000 rows are holes of the closed form.
    x = np.arange(5000) % 7
    found = bg_future.expected_if_alive(
        BgNbd(1, 7, 1, 2.4), x=x, age=np.full(5000, 38.86), horizon=30
    )
    assert found.shape == (5000,)
    # mpmath as for EXPECTED
    np.testing.assert_allclose(found[x == 2], 1.60386286254878, rtol=1e-12)
    assert np.unique(found).size == 7


# The likelihood -------------------------------------------------------------


def test_log_likelihood_of_one_time_buyers_by_hand():
    # x = 0: nothing in T, (alpha / (alpha + T))^r = (4 / 16)^0.5 = 1/2 each.
    rows = distinct_rows([[0, 0], [0, 0], [12, 12]])
    value, _ = MODEL.objective(rows)(np.array([0.5, 4.0, 0.8, 2.0]))
    assert value == pytest.approx(2 * math.log(0.5), rel=1e-14)


@settings(deadline=None)
@given(params, customers())
def test_log_likelihood_as_in_the_paper(model, rows):
    # Equation (6) of Fader, Hardie & Lee with gamma functions.
    x, recency, age = rows
    r, alpha, a, b = model
    again = np.maximum(x, 1)
    log_start = gammaln(r + x) - gammaln(r) + r * math.log(alpha)
    stays = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
    leaves = (
        betaln(a + 1, b + again - 1) - betaln(a, b) - (r + x) * np.log(alpha + recency)
    )
    each = np.where(x > 0, np.logaddexp(stays, leaves), stays) + log_start
    value, _ = MODEL.objective(distinct_rows(rows))(np.array(model))
    assert value == pytest.approx(each.sum(), rel=1e-10, abs=1e-10)
    found = MODEL.each(model, rows_of(*rows)).log_likelihood
    np.testing.assert_allclose(found, each, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("m", [0, 1])
@pytest.mark.parametrize(("x", "recency", "age"), [(0, 0, 9), (1, 2.5, 9), (4, 8, 9)])
def test_likelihood_by_integration(m, x, recency, age):
    # What somebody with a known rate and probability to leave does, averaged: stay
    # through m + x chances to leave, or leave at the last of them.
    def known(p, rate):
        found = (1 - p) ** (x + m) * np.exp(-rate * age)
        if x + m:
            found += p * (1 - p) ** (x + m - 1) * np.exp(-rate * recency)
        return rate**x * found

    truth = averaged(known, r=2, alpha=5, a=2, b=3)
    model = BgNbd(2.0, 5.0, 2.0, 3.0)
    kernel = [MODEL, mbg_nbd.MODEL][m]
    found = kernel.each(model, rows_of([x], [recency], [age])).log_likelihood[0]
    assert found == pytest.approx(math.log(truth), rel=1e-11)


@both
@settings(deadline=None)
@given(params, customers())
def test_gradient_is_that_of_the_likelihood(kernel, model, rows):
    objective = kernel.objective(distinct_rows(rows))
    center = np.array(model)
    _, gradient = objective(center)
    each = kernel.each(model, rows_of(*rows)).gradient.sum(axis=1)
    for i, size in enumerate(center):
        step = np.zeros(4)
        step[i] = 1e-5 * size
        slope = (objective(center + step)[0] - objective(center - step)[0]) / (
            2 * step[i]
        )
        assert gradient[i] * size == pytest.approx(slope * size, rel=1e-5, abs=1e-5)
        assert each[i] * size == pytest.approx(gradient[i] * size, rel=1e-9, abs=1e-9)


@both
@pytest.mark.parametrize("grid", [1.0, 1 / 7, None])
def test_sum_over_people_is_that_of_the_rows(kernel, grid):
    # Many rows, so that they come in blocks, with ages on a grid and without one.
    rng = np.random.default_rng(3)
    x, recency, age = draw_customers(
        40_000, rng, truth=BgNbd(0.9, 49.0, 0.6, 3.6), period=728
    )
    if grid is not None:
        recency, age = np.floor(recency) * grid, np.ceil(age) * grid
    rows = distinct_rows([x, recency, age], counts=rng.integers(1, 4, x.size))
    point = np.array([0.8, 40.0, 0.7, 3.0])
    value, gradient = kernel.objective(rows)(point)
    slow, slopes = summed(kernel.each)(rows)(point)
    assert rows.n_distinct > 2 * bg_nbd._ROWS_IN_CACHE
    assert value == pytest.approx(slow, rel=1e-12)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-9)


# Laws -----------------------------------------------------------------------


@pytest.mark.parametrize("unit", [7.0, 1 / 86_400, 365.25])
def test_unit_of_time_changes_alpha_alone(cdnow, unit):
    sample, weeks = cdnow
    fit = fitted(sample, unit)
    factor = np.array([1, 7 / unit, 1, 1])
    np.testing.assert_allclose(fit.estimates, weeks.estimates * factor, rtol=1e-9)
    np.testing.assert_allclose(
        list(fit.standard_errors.values()),
        np.array(list(weeks.standard_errors.values())) * factor,
        rtol=1e-6,
    )
    assert fit.log_likelihood == pytest.approx(
        weeks.log_likelihood - 2457 * math.log(7 / unit), abs=1e-6
    )


def test_days_by_hand(cdnow):
    # alpha 30.8952 and log-likelihood -14363.5304 in days.
    fit = fitted(cdnow[0], 1.0)
    assert fit.params["alpha"] == pytest.approx(30.8952, abs=5e-5)
    assert fit.log_likelihood == pytest.approx(-14363.5304, abs=5e-5)


def test_order_and_counting_change_nothing(cdnow):
    sample, fit = cdnow
    order = np.random.default_rng(0).permutation(sample.x.size)
    shuffled = fit_purchases(
        MODEL,
        sample.x[order],
        recency=sample.recency[order] / 7,
        age=sample.age[order] / 7,
    )
    rows = distinct_rows([sample.x, sample.recency / 7, sample.age / 7])
    x, recency, age = rows.columns
    counted = fit_purchases(MODEL, x, recency=recency, age=age, counts=rows.counts)
    for other in (shuffled, counted):
        assert np.array_equal(other.estimates, fit.estimates)
        assert np.array_equal(other.covariance, fit.covariance)


def test_warm_start_changes_nothing(cdnow):
    sample, fit = cdnow
    warm = fit_purchases(
        MODEL, sample.x, recency=sample.recency / 7, age=sample.age / 7, n_warm=300
    )
    np.testing.assert_allclose(warm.estimates, fit.estimates, rtol=1e-9)


def test_starts_follow_the_unit_of_time():
    rows = distinct_rows([[0, 3], [0, 5], [6, 9]], counts=[3, 1])
    # 0.3 * (3 * 6 + 9) / 3 = 2.7
    assert MODEL.starts(rows)[0] == pytest.approx((1.0, 2.7, 1.0, 2.0), rel=1e-14)
    x, recency, age = rows.columns
    days = Rows((x, 7 * recency, 7 * age), rows.counts)
    for week, day in zip(MODEL.starts(rows), MODEL.starts(days), strict=True):
        assert np.array(day) == pytest.approx(np.array(week) * [1, 7, 1, 1], rel=1e-14)


@both
@settings(deadline=None)
@given(params, customers())
def test_predictions_are_what_they_are_called(kernel, model, rows):
    x, recency, age = rows
    alive = kernel.p_alive(model, x=x, recency=recency, age=age)
    assert np.all((alive >= 0) & (alive <= 1))
    if not kernel.one_time_may_leave:
        assert np.all(alive[x == 0] == 1)
    short, long = (
        kernel.expected_if_alive(model, x=x, recency=recency, age=age, horizon=h)
        for h in (10.0, 20.0)
    )
    assert np.all(short >= 0)
    assert np.all(long >= short * (1 - 1e-12))  # they may have reached the end


@both
@settings(deadline=None)
@given(params, st.integers(0, 20), st.floats(1, 50))
def test_waiting_makes_alive_less_likely(kernel, model, x, recency):
    assume(x > 0 or kernel.one_time_may_leave)
    since = recency if x else 0.0
    ages = recency * np.array([1.0, 1.5, 2.0, 5.0])
    alive = kernel.p_alive(model, x=x, recency=since, age=ages)
    assert np.all(np.diff(alive) <= 0)
    assert alive[0] > alive[-1] or alive[0] == 0


@both
@settings(deadline=None)
@given(
    st.builds(BgNbd, positive, st.floats(1.0, 20.0), positive, positive),
    st.integers(0, 30),
    st.floats(0, 100),
    st.floats(0.001, 3),
)
def test_counts_sum_to_one_and_to_the_expectation(kernel, model, x, age, ratio):
    # At most 3 times as long as behind: more than 1,500 purchases never happen.
    asked = {"x": x, "recency": age, "age": age, "horizon": ratio * (model.alpha + age)}
    n = np.arange(1500)
    mass = kernel.pmf_if_alive(model, n=n, **asked)
    assert np.all(mass >= 0)
    assert mass.sum() == pytest.approx(1, rel=1e-10)
    expected = kernel.expected_if_alive(model, **asked)
    assert (n * mass).sum() == pytest.approx(expected, rel=1e-9)


@both
@settings(deadline=None)
@given(st.lists(params, min_size=8, max_size=8), customers())
def test_each_row_may_have_its_own_parameters(kernel, models, rows):
    x, recency, age = rows
    own = models[: x.size]
    arrays = BgNbd(*np.array(own).T)
    each = kernel.each(arrays, rows_of(*rows))
    given = {"x": x, "recency": recency, "age": age}
    ahead = {**given, "horizon": 5.0}
    found = (
        each.log_likelihood,
        each.gradient.T,
        kernel.p_alive(arrays, **given),
        kernel.expected_if_alive(arrays, **ahead),
        kernel.pmf_if_alive(arrays, n=x % 4, **ahead),
    )
    for i, model in enumerate(own):
        one = kernel.each(model, rows_of(x[[i]], recency[[i]], age[[i]]))
        given = {"x": x[i], "recency": recency[i], "age": age[i]}
        ahead = {**given, "horizon": 5.0}
        scalars = (
            one.log_likelihood[0],
            one.gradient[:, 0],
            kernel.p_alive(model, **given),
            kernel.expected_if_alive(model, **ahead),
            kernel.pmf_if_alive(model, n=x[i] % 4, **ahead),
        )
        for many, alone in zip(found, scalars, strict=True):
            np.testing.assert_allclose(many[i], alone, rtol=1e-9, atol=1e-12)


@both
def test_all_arguments_broadcast(kernel):
    model = PAPER._replace(alpha=np.array([3.0, 4.0]))
    asked = {"x": [[0], [1], [2]], "recency": 0.5, "age": 3.0}
    ahead = {**asked, "horizon": np.ones((4, 1, 1))}
    rng = np.random.default_rng(0)
    assert kernel.p_alive(model, **asked).shape == (3, 2)
    assert kernel.expected_if_alive(model, **ahead).shape == (4, 3, 2)
    assert kernel.pmf_if_alive(model, n=1, **ahead).shape == (4, 3, 2)
    assert kernel.draw_if_alive(model, **ahead, rng=rng).shape == (4, 3, 2)
    alone = {"x": 1, "age": 3.0, "horizon": 2.0}
    recency = np.zeros(5)  # decides the shape alone
    assert kernel.expected_if_alive(PAPER, recency=recency, **alone).shape == (5,)
    assert kernel.pmf_if_alive(PAPER, n=1, recency=recency, **alone).shape == (5,)


@both
@pytest.mark.parametrize("grid", [1 / 7, None])
def test_many_customers_are_the_same_as_few(kernel, grid):
    # Above 10,000 rows equal pairs of x and age are computed once, if on a grid.
    rng = np.random.default_rng(5)
    n = 12_000
    x, age = rng.poisson(1.5, n), rng.uniform(1, 100, n)
    if grid is not None:
        age = np.round(age / grid) * grid
    asked = {"x": x, "recency": np.zeros(n), "age": age}
    some = np.arange(0, n, 37)
    few = {name: v[some] for name, v in asked.items()}
    for horizon in (1.0, 52.0):
        np.testing.assert_allclose(
            kernel.expected_if_alive(PAPER, **asked, horizon=horizon)[some],
            kernel.expected_if_alive(PAPER, **few, horizon=horizon),
            rtol=1e-13,
        )
        np.testing.assert_allclose(
            kernel.pmf_if_alive(PAPER, n=2, **asked, horizon=horizon)[some],
            kernel.pmf_if_alive(PAPER, n=2, **few, horizon=horizon),
            rtol=1e-13,
        )


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from([0.0, 1 / 7, 2 / 7, 5.0, 1e9])),
        max_size=30,
    ),
    st.booleans(),
)
def test_distinct_pairs_are_all_pairs(pairs, off_grid):
    x = np.array([p[0] for p in pairs])
    age = np.array([p[1] for p in pairs])
    if off_grid:  # two ages in one bucket of the largest
        age = np.where(age == 5.0, np.nextafter(5.0, 6.0), age)
        x, age = np.append(x, [1, 1]), np.append(age, [5.0, 1e9])
    found = grid.distinct_pairs(x, age)
    assert np.array_equal(found.x[found.number], x)
    assert np.array_equal(found.age[found.number], age)
    truth = sorted(set(zip(x.tolist(), age.tolist(), strict=True)))
    assert list(zip(found.x.tolist(), found.age.tolist(), strict=True)) == truth


# Truth ----------------------------------------------------------------------


@both
@pytest.mark.parametrize(("x", "age", "horizon"), [(0, 0.0, 30.0), (6, 20.0, 40.0)])
def test_draws_follow_the_probabilities(kernel, x, age, horizon):
    model = BgNbd(0.7, 5.0, 0.8, 2.5)
    asked = {"x": x, "recency": age / 2, "age": age, "horizon": horizon}
    n = 200_000
    many = {**asked, "x": np.full(n, x)}
    drawn = kernel.draw_if_alive(model, **many, rng=np.random.default_rng(7))
    assert drawn.dtype == np.int64
    mass = kernel.pmf_if_alive(model, n=np.arange(2000), **asked)
    mean = kernel.expected_if_alive(model, **asked)
    spread = math.sqrt((np.arange(2000) ** 2 * mass).sum() - mean**2)
    assert drawn.mean() == pytest.approx(mean, abs=4 * spread / math.sqrt(n))
    common = int(np.argmax(np.cumsum(mass) > 0.999))
    seen = np.bincount(np.minimum(drawn, common), minlength=common + 1)
    hoped = n * np.append(mass[:common], mass[common:].sum())
    statistic = ((seen - hoped) ** 2 / hoped).sum()
    assert statistic < chi2.ppf(0.9999, common)


@pytest.mark.parametrize("m", [0, 1])
@pytest.mark.parametrize(("n", "x"), [(0, 2), (1, 0), (3, 2)])
def test_probability_of_counts_by_integration(m, n, x):
    # Stay through n purchases, or leave at the n-th of at least n wanted.
    def known(p, rate):
        wanted = rate * 9.0
        stays = (1 - p) ** n * poisson.pmf(n, wanted)
        return stays + (p * (1 - p) ** (n - 1) * gammainc(n, wanted) if n else 0.0)

    truth = averaged(known, r=2 + x, alpha=5 + 6, a=2, b=3 + m + x)
    found = [MODEL, mbg_nbd.MODEL][m].pmf_if_alive(
        BgNbd(2.0, 5.0, 2.0, 3.0), n=n, x=x, recency=3.0, age=6.0, horizon=9.0
    )
    assert found == pytest.approx(truth, rel=1e-11)


def test_truth_is_recovered():
    truth = BgNbd(0.9, 49.0, 0.6, 3.6)
    rng = np.random.default_rng(20)
    x, recency, age = draw_customers(150_000, rng, truth=truth, period=728)
    fit = fit_purchases(MODEL, x, recency=recency, age=age)
    errors = np.array(list(fit.standard_errors.values()))
    assert np.all(np.abs(fit.estimates - np.array(truth)) < 3 * errors)
    assert np.all(errors / fit.estimates < 0.03)


@pytest.mark.slow
def test_intervals_cover_the_truth():
    truth = BgNbd(0.8, 40.0, 0.7, 3.0)
    rng = np.random.default_rng(4)

    def draw():
        return draw_customers(1500, rng, truth=truth, period=540)

    inside = shares_inside(MODEL, truth, draw, n_runs=250)
    assert np.all((inside >= 0.92) & (inside <= 0.98)), inside


def test_expected_purchases_come_true():
    # What 60,000 customers buy in the next 180 days, from the true parameters.
    truth = BgNbd(0.8, 40.0, 0.7, 3.0)
    rng = np.random.default_rng(8)
    n, age, horizon = 60_000, 300.0, 180.0
    rate = rng.gamma(truth.r, 1 / truth.alpha, n)
    leaves = rng.geometric(rng.beta(truth.a, truth.b, n))
    before, after = rng.poisson(rate * age), rng.poisson(rate * horizon)
    x = np.minimum(before, leaves)
    last = rng.beta(np.maximum(x, 1), before + 1.0 - np.minimum(x, before)) * age
    recency = np.where(x > 0, last, 0.0)
    to_come = np.clip(leaves - before, 0, after)
    rows = {"x": x, "recency": recency, "age": np.full(n, age)}
    expected = expected_purchases(MODEL, truth, **rows, horizon=horizon)
    error = to_come.std() / math.sqrt(n)
    assert expected.mean() == pytest.approx(to_come.mean(), abs=4 * error)
    alive = MODEL.p_alive(truth, **rows)
    assert alive.mean() == pytest.approx((leaves > before).mean(), abs=0.006)
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
    assert fit.covariance is None
    assert fit.standard_errors == {}
    assert fit.params["r"] == pytest.approx(0.5, rel=0.2)
    rows = {"x": x, "recency": recency, "age": age}
    expected = expected_purchases(MODEL, BgNbd(**fit.params), **rows, horizon=100)
    assert expected.mean() == pytest.approx(0.5 / 40 * 100, rel=0.1)


def test_equal_customers_are_said_to_be_undetermined():
    # x = 6..9 in 200..300 days: less spread than even one common rate would give.
    age = np.linspace(200, 300, 1500)
    x = np.round(0.03 * age)
    fit = fit_purchases(MODEL, x, recency=age - 10, age=age)
    assert "r" in fit.at_bound
    assert fit.standard_errors == {}
    assert fit.params["r"] / fit.params["alpha"] == pytest.approx(0.03, rel=0.03)


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


def test_rows_of_one_time_buyers_alone():
    # Nobody had a chance to leave: 2 r ln(alpha / (alpha + T)) = 2 * 0.5 ln(1/2).
    rows = rows_of([0, 0], [0, 0], [4, 4])
    value, gradient = MODEL.objective(rows)(np.array([0.5, 4.0, 0.8, 2.0]))
    assert value == pytest.approx(math.log(0.5), rel=1e-14)
    assert gradient[2:].tolist() == [0, 0]
    found = MODEL.each(BgNbd(0.5, 4.0, 0.8, 2.0), rows)
    assert found.gradient[2:].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("x", "recency", "age", "message"),
    [
        ([0, 0, 0], [0, 0, 0], [5, 6, 7], "none of the 3 customers bought a second"),
        ([1, 1], [0, 0], [0, 0], "observed for any time"),
        ([2, 2, 2], [3, 3, 3], [9, 9, 9], "all 3 customers are the same"),
        ([1, 1], [9, 2], [5, 5], "1 of 2 customers are impossible"),
        ([1.5, 1], [1, 2], [5, 5], "1 of 2 customers are impossible"),
        ([-1, 1], [0, 2], [5, 5], "1 of 2 customers are impossible"),
        ([0, 1], [3, 2], [5, 5], "1 of 2 customers are impossible"),
        ([], [], [], "none of the 0 customers"),
    ],
)
def test_data_without_an_answer(x, recency, age, message):
    with pytest.raises(FitError, match=message):
        fit_purchases(MODEL, x, recency=recency, age=age)
