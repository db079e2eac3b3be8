"""Trend of a mean per person: by hand, fitted otherwise, coverage, laws, refusals."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import t as student

from selfloop.core.errors import FitError, SettingError
from selfloop.kernels.trend import Trend, log_trend


def of_people(time, counts):
    """Trend of cohorts given as one array of numbers per cohort."""
    return log_trend(
        time,
        n_people=[len(c) for c in counts],
        total=[np.sum(c) for c in counts],
        squares=[np.sum(np.square(c, dtype=float)) for c in counts],
    )


def drawn(rng, *, mean, k, n_people):
    """Counts of people who differ, one array per cohort."""
    return [
        rng.poisson(m * rng.gamma(k, 1 / k, n))
        for m, n in zip(mean, n_people, strict=True)
    ]


def test_two_cohorts_by_hand():
    # Means 1 and 1/4 at times 0 and 2: the ratio is (1/4)^(1/2).
    found = log_trend([0, 2], n_people=[4, 8], total=[4, 2], squares=[8, 2])
    assert found.ratio == pytest.approx(0.5)
    assert found.n_cohorts == 2
    # Squares around the means: 8 - 4 = 4 and 2 - 8/16 = 1.5, relative to the squared
    # totals 4/16 and 1.5/4; the factor is 12/10. So beta, half the log of the ratio of
    # the means, has the variance (0.25 + 0.375) * 1.2 / 4.
    error = math.sqrt((0.25 + 0.375) * 1.2 / 4)
    freedom = 0.625**2 / (0.25**2 / 4 + 0.375**2 / 8) - 2
    reach = student.ppf(0.975, freedom) * error
    beta = math.log(0.5)
    assert (found.low, found.high) == pytest.approx(
        (math.exp(beta - reach), math.exp(beta + reach))
    )
    assert found.p_value == pytest.approx(2 * student.sf(-beta / error, freedom))


def test_cohorts_on_a_line_give_its_slope():
    # Means 8, 4, 2, 1: halved each time, however many people there are.
    n = np.array([5, 70, 10, 400])
    mean = np.array([8.0, 4.0, 2.0, 1.0])
    found = log_trend([3, 4, 5, 6], n_people=n, total=n * mean, squares=2 * n * mean**2)
    assert found.ratio == pytest.approx(0.5, rel=1e-12)


def test_equals_a_general_optimiser_and_a_sandwich_by_person():
    rng = np.random.default_rng(3)
    for _ in range(20):
        n = rng.integers(3, 80, 7)
        time = rng.choice(30, 7, replace=False) * 1.0
        mean = np.exp(rng.normal(0, 0.5) - rng.normal(0, 0.05) * time)
        counts = drawn(rng, mean=mean, k=0.5, n_people=n)
        x = np.column_stack([np.ones(n.sum()), np.repeat(time, n)])
        y = np.concatenate(counts)

        def loss(b, x=x, y=y):
            mean = np.exp(x @ b)
            return (mean.sum() - y @ (x @ b)) / y.sum(), x.T @ (mean - y) / y.sum()

        best = minimize(loss, [0, 0], jac=True, method="BFGS", options={"gtol": 1e-10})
        mu = np.exp(x @ best.x)
        bread = np.linalg.inv((x * mu[:, None]).T @ x)
        score = x * (y - mu)[:, None]
        variance = (bread @ (score.T @ score) @ bread)[1, 1]
        found = of_people(time, counts)
        assert math.log(found.ratio) == pytest.approx(best.x[1], abs=1e-7)
        # The share of each cohort in the variance says how many people carry it.
        part = (bread @ score.T)[1] ** 2
        by_cohort = np.add.reduceat(part, np.append(0, np.cumsum(n)[:-1]))
        freedom = by_cohort.sum() ** 2 / (by_cohort**2 / n).sum() - 2
        error = math.sqrt(variance * n.sum() / (n.sum() - 2))
        reach = student.ppf(0.975, freedom) * error
        assert math.log(found.high / found.ratio) == pytest.approx(reach, rel=1e-5)
        assert math.log(found.ratio / found.low) == pytest.approx(reach, rel=1e-5)
        p_value = 2 * student.sf(abs(best.x[1]) / error, freedom)
        assert found.p_value == pytest.approx(p_value, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize(("beta", "people"), [(0.0, 80), (-0.08, 80), (0.05, 15)])
def test_intervals_cover_counts_of_unlike_people(beta, people):
    rng = np.random.default_rng(8)
    time = np.arange(12.0)
    n = np.round(people * np.linspace(0.5, 1.5, 12)).astype(int)
    mean = 0.6 * np.exp(beta * (time - 5.5))
    n_runs, covered, significant = 1000, 0, 0
    for _ in range(n_runs):
        found = of_people(time, drawn(rng, mean=mean, k=0.3, n_people=n))
        covered += found.low <= math.exp(beta) <= found.high
        significant += found.p_value < 0.05
    assert 0.92 <= covered / n_runs <= 0.98
    if beta == 0:
        assert 0.03 <= significant / n_runs <= 0.07
    else:
        assert significant / n_runs > 0.1


def test_intervals_cover_few_people():
    rng = np.random.default_rng(9)
    n_runs, covered = 1000, 0
    for _ in range(n_runs):
        counts = drawn(rng, mean=np.ones(12), k=0.3, n_people=[5] * 12)
        found = of_people(np.arange(12), counts)
        covered += found.low <= 1 <= found.high
    assert 0.92 <= covered / n_runs <= 0.98


def test_intervals_cover_money():
    # Most spend nothing, the others lognormal amounts: means fall by 3 % a month.
    rng = np.random.default_rng(10)
    time, n_runs, covered = np.arange(12), 500, 0
    for _ in range(n_runs):
        amounts = rng.lognormal(4, 0.8, (12, 150)) * (rng.random((12, 150)) < 0.3)
        found = of_people(time, list(amounts * 0.97 ** time[:, None]))
        covered += found.low <= 0.97 <= found.high
    assert 0.92 <= covered / n_runs <= 0.98


def test_a_lower_level_is_a_narrower_interval():
    given_ = {"n_people": [50, 60, 70], "total": [30, 20, 25], "squares": [50, 30, 45]}
    wide, narrow = (log_trend([0, 1, 2], **given_, confidence=c) for c in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.ratio < narrow.high < wide.high
    assert wide.ratio == narrow.ratio
    assert wide.p_value == narrow.p_value


def test_the_p_value_and_the_interval_agree():
    # At the level 1 - p the interval ends at 1.
    cohorts = {"n_people": [50, 60, 70], "total": [40, 30, 25], "squares": [60, 40, 35]}
    p = log_trend([0, 1, 2], **cohorts).p_value
    assert log_trend([0, 1, 2], **cohorts, confidence=1 - p).high == pytest.approx(1.0)


def test_cohorts_without_people_do_not_count():
    found = log_trend(
        [0, 1, 2, 5], n_people=[4, 0, 8, 0], total=[4, 0, 2, 0], squares=[8, 0, 2, 0]
    )
    assert found == log_trend([0, 2], n_people=[4, 8], total=[4, 2], squares=[8, 2])
    assert found.n_cohorts == 2


def test_a_cohort_may_be_split():
    whole = log_trend([0, 1], n_people=[9, 8], total=[9, 4], squares=[15, 6])
    split = log_trend(
        [0, 0, 1], n_people=[5, 4, 8], total=[7, 2, 4], squares=[13, 2, 6]
    )
    assert split.ratio == pytest.approx(whole.ratio)
    assert split.n_cohorts == 3


cohort = st.tuples(
    st.integers(0, 40), st.lists(st.integers(0, 6), min_size=1, max_size=12)
)
cohorts_ = st.lists(cohort, min_size=2, max_size=8)


def split(cohorts):
    """Return times and counts of drawn cohorts that have a trend to find."""
    time = np.array([float(t) for t, _ in cohorts])
    total = np.array([sum(c) for _, c in cohorts])
    assume(np.unique(time).size > 1)
    assume(total[time > time.min()].any())
    assume(total[time < time.max()].any())
    return time, [np.array(c) for _, c in cohorts]


def same(one, other, *, power=1.0):
    """Say whether two trends agree, the second to the power."""
    for field in ("ratio", "low", "high"):
        a, b = (math.log(getattr(trend, field)) for trend in (one, other))
        assert a == pytest.approx(b * power, rel=1e-6, abs=1e-8, nan_ok=True)
    assert one.p_value == pytest.approx(other.p_value, abs=1e-6, nan_ok=True)


@given(cohorts_)
def test_the_estimating_equations_hold(cohorts):
    time, counts = split(cohorts)
    found = of_people(time, counts)
    n, y = np.array([len(c) for c in counts]), np.array([c.sum() for c in counts])
    expected = n * found.ratio ** (time - time.mean())
    expected *= y.sum() / expected.sum()
    assert expected @ time == pytest.approx(y @ time, rel=1e-7, abs=1e-7)
    assert math.isnan(found.low) or found.low <= found.ratio <= found.high
    assert math.isnan(found.p_value) or 0 <= found.p_value <= 1


@given(cohorts_, st.randoms(use_true_random=False))
def test_order_does_not_matter(cohorts, random):
    time, counts = split(cohorts)
    order = list(range(len(cohorts)))
    random.shuffle(order)
    mixed = of_people(time[order], [counts[i] for i in order])
    same(mixed, of_people(time, counts))


@given(cohorts_, st.floats(0.01, 1000), st.floats(-500, 500), st.floats(0.1, 30))
def test_units_of_money_and_time(cohorts, money, shift, unit):
    time, counts = split(cohorts)
    found = of_people(time, counts)
    same(of_people(time, [money * c for c in counts]), found)
    same(of_people(time + shift, counts), found)
    same(of_people(time * unit, counts), found, power=1 / unit)
    # Backwards in time the ratio is the inverse.
    back = of_people(-time, counts)
    swapped = back._replace(low=back.high, high=back.low)
    same(swapped, found, power=-1)


def test_inputs_are_not_changed():
    given_ = {
        name: np.array(values, dtype=float)
        for name, values in (
            ("time", [0, 1]), ("n_people", [9, 8]), ("total", [9, 4]),
            ("squares", [15, 6]),
        )
    }  # fmt: skip
    before = {name: values.copy() for name, values in given_.items()}
    log_trend(given_.pop("time"), **given_)
    assert all((before[name] == values).all() for name, values in given_.items())


def test_when_all_have_the_same_nothing_tells_how_sure_it_is():
    found = log_trend([0, 1], n_people=[5, 5], total=[10, 5], squares=[20, 5])
    assert found.ratio == pytest.approx(0.5)
    assert np.isnan([found.low, found.high, found.p_value]).all()
    # 0.1 is no binary number: what is left of the squares is rounding.
    tenths = np.full(30, 0.1)
    assert math.isnan(of_people([0, 1], [tenths, 3 * tenths]).low)
    assert math.isnan(of_people([0, 1], [np.array([1]), np.array([3])]).p_value)


def test_extreme_but_possible_cohorts():
    # A million people and one event, beside ten people and a hundred.
    n, y, q = [1e6, 1e6, 10.0], [1.0, 1.0, 100.0], [1.0, 1.0, 2000.0]
    found = log_trend([0, 1, 1.001], n_people=n, total=y, squares=q)
    assert isinstance(found, Trend)
    assert 1 < found.low < found.ratio < found.high < math.inf
    # Nearly all at one end: 4,810,569 of 218,086 people and 3 of 684,840,798.
    n, y, q = [218086, 684840798], [4810569, 3], [2e8, 3]
    found = log_trend([0, 20000.5], n_people=n, total=y, squares=q)
    ratio = (3 / n[1] / (y[0] / n[0])) ** (1 / 20000.5)
    assert found.ratio == pytest.approx(ratio, rel=1e-14)
    # Two times are 100,000 times closer than the third, which has nothing: 5 of 50 in
    # a hundredth of the unit. Farther still, the ratio is the least that is a number.
    cohorts = {"n_people": [9] * 3, "total": [50, 5, 0], "squares": [500, 5, 0]}
    found = log_trend([0, 0.01, 1000], **cohorts)
    assert math.log(found.ratio) == pytest.approx(100 * math.log(0.1), rel=1e-9)
    assert 0 < log_trend([0, 1e-9, 1000], **cohorts).ratio < 1e-300


def test_far_apart_and_unlike_cohorts_have_a_trend():
    """The search ends where one cohort has next to all, and times are uneven."""
    rng = np.random.default_rng(12)
    times = np.array([0, 1, 2, 3, 7, 1e-6, 1e-9, 1e3, 20000.5, -5e4])
    n_found = 0
    for _ in range(2000):
        time = rng.choice(times, rng.integers(2, 9), replace=False)
        n = np.round(10 ** rng.uniform(0, 9, time.size))
        y = np.round(10 ** rng.uniform(-1, 9, time.size)) * (rng.random(n.size) < 0.7)
        y = np.minimum(y, 50 * n)
        q = np.minimum(np.maximum(1.5 * y * y / n, y), y * y)
        if not (y[time > time.min()].any() and y[time < time.max()].any()):
            continue
        found = log_trend(time, n_people=n, total=y, squares=np.maximum(q, y * y / n))
        assert math.isnan(found.low) or found.low <= found.ratio <= found.high
        n_found += 1
    assert n_found > 1000


@pytest.mark.parametrize("total", [[9, 0, 0], [0, 0, 9]])
def test_all_at_one_end_has_no_ratio(total):
    squares = [t * 3 for t in total]
    with pytest.raises(FitError, match=r"all of the total is in the (first|last) of 3"):
        log_trend([0, 1, 2], n_people=[9, 9, 9], total=total, squares=squares)


def test_nothing_at_all_has_no_trend():
    with pytest.raises(FitError, match="total of all 2 cohorts is 0"):
        log_trend([0, 1], n_people=[9, 9], total=[0, 0], squares=[0, 0])


def test_one_time_has_no_trend():
    for time, n in (([1, 1], [9, 9]), ([0, 1], [9, 0])):
        with pytest.raises(ValueError, match="at least 2 times, got 1"):
            log_trend(time, n_people=n, total=[9, 0], squares=[9, 0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_people": [-1, 9]}, "n_people must be finite"),
        ({"total": [math.nan, 9]}, "total must be finite"),
        ({"squares": [9, math.inf]}, "squares must be finite"),
        ({"total": [9]}, "one number per cohort"),
        ({"n_people": [0, 9]}, "without people has a total"),
        ({"squares": [9, 8]}, "squares must lie between"),
        ({"squares": [82, 9]}, "squares must lie between"),
    ],
)
def test_impossible_cohorts_are_refused(change, words):
    right = {"n_people": [9, 9], "total": [9, 9], "squares": [9, 9]}
    with pytest.raises(ValueError, match=words):
        log_trend([0, 1], **right | change)


def test_impossible_times_and_levels_are_refused():
    right = {"n_people": [9, 9], "total": [9, 9], "squares": [9, 9]}
    with pytest.raises(ValueError, match="time must be finite"):
        log_trend([0, math.nan], **right)
    with pytest.raises(SettingError, match="confidence"):
        log_trend([0, 1], **right, confidence=1.0)
