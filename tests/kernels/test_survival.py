"""Kaplan-Meier and the mean cumulative function: by hand, oracles, brute force."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from scipy.stats import CensoredData, ecdf
from scipy.stats import t as student

from selfloop.core.errors import SettingError
from selfloop.kernels.intervals import normal_quantile
from selfloop.kernels.survival import (
    at_risk_at,
    cif_at,
    kaplan_meier,
    log_t_interval,
    mean_cumulative,
    mean_cumulative_interval,
    median_days,
    weighted_sum,
)

Z = normal_quantile(0.95)


def counts(days, n_days):
    return np.bincount(np.asarray(days, dtype=np.int64), minlength=n_days)


def curve_of(event_days, censored_days, n_days=None):
    if n_days is None:
        n_days = max([*event_days, *censored_days]) + 1
    return kaplan_meier(counts(event_days, n_days), counts(censored_days, n_days))


# Kaplan-Meier ----------------------------------------------------------------


def test_five_people_by_hand():
    # Events on days 2, 2 and 5; observation ends on days 3 and 6.
    # Day 2: 5 at risk, 2 events, S = 3/5. Day 5: 2 at risk, S = 3/5 * 1/2 = 3/10.
    km = curve_of([2, 2, 5], [3, 6])
    assert km.day.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert km.n_at_risk.tolist() == [5, 5, 5, 3, 2, 2, 1]
    assert km.survival == pytest.approx([1, 1, 0.6, 0.6, 0.6, 0.3, 0.3])
    assert km.cif == pytest.approx(1 - km.survival)
    # Greenwood on day 2: 2 / (5 * 3) = 0.1333, s = 0.365148; log S = -0.510826;
    # exponent exp(1.959964 * 0.365148 / 0.510826) = 4.059308;
    # 0.6 ** 4.059308 = 0.125730, 0.6 ** (1 / 4.059308) = 0.881757.
    assert km.cif_low[2] == pytest.approx(1 - 0.881757, abs=2e-6)
    assert km.cif_high[2] == pytest.approx(1 - 0.125730, abs=2e-6)


def test_events_come_before_censorings_of_the_same_day():
    # Day 1: the person censored that day is still at risk for the event: S = 1 - 1/3,
    # not 1 - 1/2.
    km = curve_of([1], [1, 2])
    assert km.survival[1] == pytest.approx(2 / 3)


def test_event_on_the_day_of_entry():
    km = curve_of([0], [0, 3])
    assert km.survival.tolist() == pytest.approx([2 / 3] * 4)


days = st.lists(st.integers(0, 12), max_size=40)


@settings(max_examples=200)
@given(events=days, censored=days)
def test_equals_scipy(events, censored):
    if not events:
        events = [3]
    km = curve_of(events, censored)
    oracle = ecdf(CensoredData(uncensored=events, right=censored)).sf
    observed = km.n_at_risk > 0
    at = km.day[observed]
    assert km.survival[observed] == pytest.approx(oracle.evaluate(at), abs=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy where S is 0 or 1
        limits = oracle.confidence_interval(method="log-log")
    inside = observed & (km.survival > 1e-12) & (km.survival < 1)
    at = km.day[inside]
    assert km.cif_low[inside] == pytest.approx(1 - limits.high.evaluate(at), abs=1e-9)
    assert km.cif_high[inside] == pytest.approx(1 - limits.low.evaluate(at), abs=1e-9)


@given(events=days, censored=days)
def test_interval_holds_the_share_and_never_has_width_zero(events, censored):
    km = curve_of(events, censored, n_days=14)
    known = ~np.isnan(km.cif)
    assert (np.diff(km.cif[known]) >= 0).all()
    assert (km.cif_low[known] <= km.cif[known] + 1e-12).all()
    assert (km.cif_high[known] >= km.cif[known] - 1e-12).all()
    assert (km.cif_high[known] > km.cif_low[known]).all()
    assert (known == ~np.isnan(km.cif_low)).all()
    assert (known | (km.n_at_risk == 0)).all()


def test_no_event_yet_gets_the_wilson_limit_of_those_still_at_risk():
    # 10 people: 6 leave on day 1, 4 on day 3, nobody has the event.
    km = curve_of([], [1] * 6 + [3] * 4)
    assert km.cif.tolist() == [0, 0, 0, 0]
    assert km.cif_low.tolist() == [0, 0, 0, 0]
    at_risk = np.array([10, 10, 4, 4])
    assert km.cif_high == pytest.approx(Z**2 / (at_risk + Z**2))


def test_everybody_had_it():
    # Day 0: 1 of 100; day 1: the other 99. The day before reads next to nothing, so
    # the Wilson limit of the 99 stands: 99 / (99 + z^2).
    km = curve_of([0] + [1] * 99, [], n_days=4)
    assert km.survival[1:].tolist() == [0, 0, 0]
    assert km.cif_low[1:] == pytest.approx([99 / (99 + Z**2)] * 3)
    assert km.cif_high[1:].tolist() == [1, 1, 1]
    # 98 on day 0, the last 2 on day 1: the limit of day 0 stands, it is higher than
    # that of the last two, 2 / (2 + z^2) = 0.34.
    km = curve_of([0] * 98 + [1] * 2, [])
    assert km.cif_low[1] == km.cif_low[0] > 0.9


def test_nothing_is_known_after_the_last_observed_day():
    km = curve_of([1], [2, 2], n_days=6)
    assert np.isnan(km.survival[3:]).all()
    assert np.isnan(km.cif_low[3:]).all()
    assert km.n_at_risk[3:].tolist() == [0, 0, 0]
    cif, low, high, n_at_risk = cif_at(km, [2, 4, 90])
    assert cif[0] == pytest.approx(1 / 3)
    assert np.isnan([*cif[1:], *low[1:], *high[1:]]).all()
    assert n_at_risk.tolist() == [2, 0, 0]


def test_after_everybody_had_it_the_share_stays_one():
    cif, low, high, n_at_risk = cif_at(curve_of([0, 1], []), [1, 365])
    assert cif.tolist() == [1, 1]
    assert low[0] == low[1] > 0
    assert high.tolist() == [1, 1]
    assert n_at_risk.tolist() == [1, 0]


def test_nobody_at_all():
    empty = kaplan_meier(np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    assert np.isnan(cif_at(empty, [0, 30]).cif).all()
    assert np.isnan(median_days(empty))
    nobody = kaplan_meier(np.zeros(3, dtype=int), np.zeros(3, dtype=int))
    assert np.isnan(nobody.cif).all()


def test_at_risk_outside_the_curve_is_zero():
    km = curve_of([1], [2, 2])
    assert at_risk_at(km, [-1, 0, 2, 3]).tolist() == [0, 3, 2, 0]


def test_median_is_the_first_day_at_one_half():
    # 3/4 * 2/3 = 1/2 exactly, which floats may miss.
    assert median_days(curve_of([3, 7], [7, 7])) == 7.0
    assert median_days(curve_of([1, 1, 4], [9])) == 1.0
    assert np.isnan(median_days(curve_of([1], [9, 9])))


def test_recovers_a_known_law_where_the_naive_share_fails():
    # A second order follows with probability 0.62 after a lognormal gap (median 45 d,
    # sigma 0.9); buyers arrive evenly over 180 days. True share within 90 days:
    # 0.62 * Phi(log(90 / 45) / 0.9) = 0.483.
    rng = np.random.default_rng(20260501)
    n = 40_000
    followup = rng.integers(0, 181, n)
    gap = np.where(
        rng.random(n) < 0.62, np.ceil(45 * np.exp(0.9 * rng.standard_normal(n))), 1e9
    )
    seen = gap <= followup
    km = kaplan_meier(counts(gap[seen].astype(int), 181), counts(followup[~seen], 181))
    for window in (30, 90):
        truth = 0.62 * ndtr(np.log(window / 45) / 0.9)
        cif, low, high, _ = cif_at(km, window)
        assert low[0] < truth < high[0]
        assert cif[0] == pytest.approx(truth, abs=0.015)
    assert (gap[seen] <= 90).sum() / n < 0.40


@pytest.mark.parametrize(
    ("events", "censored", "message"),
    [([1, 2], [1], "one length"), ([1, -1], [0, 0], "n_events holds negative")],
)
def test_bad_histograms_are_refused(events, censored, message):
    with pytest.raises(ValueError, match=message):
        kaplan_meier(np.array(events), np.array(censored))


def test_bad_settings_are_refused():
    with pytest.raises(SettingError, match="confidence"):
        kaplan_meier(np.array([1]), np.array([1]), confidence=95)
    with pytest.raises(ValueError, match="0 or more"):
        cif_at(curve_of([1], [2]), -1)


# Mean cumulative function ----------------------------------------------------


def mean_of(followup, person, age, n_ages=None, confidence=0.95):
    followup, person = np.asarray(followup), np.asarray(person, dtype=np.int64)
    age = np.asarray(age, dtype=np.int64)
    n_ages = n_ages or int(followup.max()) + 1
    curve = mean_cumulative(counts(age, n_ages), counts(followup, n_ages))
    interval = mean_cumulative_interval(
        curve,
        person=person,
        age=age,
        followup=followup[person],
        confidence=confidence,
    )
    return curve, interval


def brute_force(followup, person, age, weights):
    """Sum over people and ages as the formulas are written: V, and n_eff."""
    n_ages = len(weights)
    n = [sum(c >= a for c in followup) for a in range(n_ages)]
    d = [list(age).count(a) for a in range(n_ages)]
    off = []
    for i, c in enumerate(followup):
        own = sum(weights[a] / n[a] for p, a in zip(person, age, strict=True) if p == i)
        inside = [a for a in range(min(c, n_ages - 1) + 1) if d[a]]
        off.append(own - sum(weights[a] * d[a] / n[a] ** 2 for a in inside))
    variance = sum(u**2 for u in off)
    if variance < 1e-18:
        # Zero spread with events is not knowledge: missing. Zero events too.
        return np.nan, np.nan
    return variance, variance**2 / sum(u**4 for u in off)


def brute_force_curve(followup, person, age, n_ages):
    """Return the standard error and n_eff of M(H) for every H."""
    found = [
        brute_force(followup, person, age, [float(a <= h) for a in range(n_ages)])
        for h in range(n_ages)
    ]
    variance, n_effective = np.array(found).T
    return np.sqrt(variance), n_effective


def test_mean_cumulative_by_hand():
    # Followed for 0, 1, 3 and 3 days. Person 2 has events at ages 0, 3, 3; person 1
    # at age 1. M = 1/4, + 1/3 (three reach age 1), + 0, + 2/2.
    curve, interval = mean_of([0, 1, 3, 3], person=[2, 1, 2, 2], age=[0, 1, 3, 3])
    assert curve.n_at_risk.tolist() == [4, 3, 2, 2]
    assert curve.increment == pytest.approx([1 / 4, 1 / 3, 0, 1])
    assert curve.mean == pytest.approx([1 / 4, 7 / 12, 7 / 12, 19 / 12])
    # At age 0 each of the four expects 1/16 of a share: person 2 is 1/4 - 1/16 off,
    # the others 1/16: V = 9/256 + 3/256.
    assert interval.standard_error[0] == pytest.approx((12 / 256) ** 0.5)
    # n_eff = V^2 / sum u^4 = (12/256)^2 / ((3/16)^4 + 3 (1/16)^4) = 144/84 = 12/7;
    # t has 19/7 degrees of freedom.
    assert interval.n_effective[0] == pytest.approx(12 / 7)
    reach = np.exp(student.ppf(0.975, 19 / 7) * (12 / 256) ** 0.5 / (1 / 4))
    assert interval.low[0] == pytest.approx(0.25 / reach)
    assert interval.high[0] == pytest.approx(0.25 * reach)
    quantile = student.ppf(0.975, interval.n_effective + 1)
    reach = np.exp(quantile * interval.standard_error / curve.mean)
    assert interval.low == pytest.approx(curve.mean / reach)
    assert interval.high == pytest.approx(curve.mean * reach)


def test_everybody_counts_when_all_are_equally_far_off():
    # Twenty of forty have one event each: all are 1/80 off, and n_eff is 40. With one
    # person alone having events, n_eff is 1 but for what the others are off:
    # 1 / (1 + 39 / 39^4) (1 + 39 / 39^2)^2 = 1.052.
    _, interval = mean_of([1] * 40, person=range(20), age=[1] * 20)
    assert interval.n_effective[1] == pytest.approx(40)
    _, interval = mean_of([1] * 40, person=[3] * 9, age=[1] * 9)
    expected = (1 + 39 / 39**2) ** 2 / (1 + 39 / 39**4)
    assert interval.n_effective[1] == pytest.approx(expected)


@st.composite
def histories(draw):
    followup = draw(st.lists(st.integers(0, 6), min_size=2, max_size=8))
    person = draw(st.lists(st.integers(0, len(followup) - 1), max_size=12))
    age = [draw(st.integers(0, followup[p])) for p in person]
    return followup, person, age


@settings(max_examples=200)
@given(history=histories())
def test_error_curve_equals_brute_force(history):
    followup, person, age = history
    curve, interval = mean_of(followup, person, age)
    error, n_effective = brute_force_curve(followup, person, age, curve.age.size)
    assert interval.standard_error == pytest.approx(error, abs=1e-9, nan_ok=True)
    assert interval.n_effective == pytest.approx(n_effective, rel=1e-6, nan_ok=True)


@given(history=histories())
def test_interval_holds_the_mean_and_widens_with_confidence(history):
    followup, person, age = history
    curve, narrow = mean_of(followup, person, age, confidence=0.5)
    _, wide = mean_of(followup, person, age, confidence=0.95)
    _, sure = mean_of(followup, person, age, confidence=1 - 1e-9)
    known = ~np.isnan(wide.low)
    # Known wherever there is spread, or nothing to spread.
    assert (known == (~np.isnan(wide.standard_error) | (curve.mean == 0))).all()
    for inner, outer in ((narrow, wide), (wide, sure)):
        assert (inner.low[known] <= curve.mean[known]).all()
        assert (inner.high[known] >= curve.mean[known]).all()
        assert (outer.low[known] <= inner.low[known]).all()
        assert (outer.high[known] >= inner.high[known]).all()
        assert np.isfinite(outer.high[known]).all()
    assert ((narrow.n_effective >= 1) | np.isnan(narrow.n_effective)).all()
    assert not (narrow.n_effective > len(followup) * (1 + 1e-9)).any()


@given(history=histories(), seed=st.integers(0, 99))
def test_order_and_names_of_people_do_not_matter(history, seed):
    followup, person, age = history
    rng = np.random.default_rng(seed)
    shuffle = rng.permutation(len(person))
    rename = 1_000 - rng.permutation(len(followup))
    curve, interval = mean_of(followup, person, age)
    ends = np.array(followup)[np.array(person, dtype=int)][shuffle]
    again = mean_cumulative_interval(
        curve,
        person=rename[np.array(person, dtype=int)][shuffle],
        age=np.array(age, dtype=int)[shuffle],
        followup=ends,
    )
    for ours, theirs in zip(interval, again, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9, nan_ok=True)


def test_without_events_the_upper_end_is_the_poisson_limit():
    # P(no event | mean n R) = exp(-n R) = 0.025 at R = log(40) / n.
    curve, interval = mean_of([0] * 5 + [1] * 20, person=[], age=[])
    assert curve.mean.tolist() == [0, 0]
    assert interval.low.tolist() == [0, 0]
    assert interval.high == pytest.approx([np.log(40) / 25, np.log(40) / 20])
    assert np.isnan(interval.standard_error).all()


def test_no_spread_is_missing_not_zero_width():
    curve, interval = mean_of([2], person=[0, 0], age=[1, 2])
    assert curve.mean.tolist() == [0, 1, 2]
    assert np.isnan(interval.standard_error[1:]).all()
    assert np.isnan([interval.low[1:], interval.high[1:]]).all()


def test_ages_nobody_was_followed_to_are_missing():
    curve, interval = mean_of([1, 2], person=[0], age=[1], n_ages=5)
    assert np.isnan(curve.mean[3:]).all()
    assert np.isnan(interval.low[3:]).all()
    assert np.isnan(interval.high[3:]).all()
    assert np.isnan(interval.standard_error[3:]).all()


def test_intervals_cover_the_truth():
    # People differ (gamma rates, variance 2), follow-up is uneven: 600 shops of 400
    # people, true mean number of events by age 60 is 0.6.
    rng = np.random.default_rng(7)
    n, n_shops, hits, poisson_hits = 400, 600, 0, 0
    for _ in range(n_shops):
        followup = rng.integers(0, 91, n)
        n_events = rng.poisson(0.6 * rng.gamma(0.5, 2.0, n))
        person = np.repeat(np.arange(n), n_events)
        age = rng.integers(1, 61, person.size)
        seen = age <= followup[person]
        curve, interval = mean_of(followup, person[seen], age[seen])
        hits += interval.low[60] < 0.6 < interval.high[60]
        weight = np.divide(curve.n_events, curve.n_at_risk.astype(float) ** 2)
        naive = np.exp(Z * np.sqrt(weight[:61].sum()) / curve.mean[60])
        poisson_hits += curve.mean[60] / naive < 0.6 < curve.mean[60] * naive
    assert 0.92 <= hits / n_shops <= 0.98
    assert poisson_hits / n_shops < 0.90


def test_events_after_the_follow_up_are_refused():
    with pytest.raises(ValueError, match="1 events at ages to which nobody"):
        mean_cumulative(np.array([0, 0, 1]), np.array([1, 1, 0]))
    curve = mean_cumulative(np.array([0, 1]), np.array([1, 1]))
    one = np.array([1])
    with pytest.raises(ValueError, match="later than the follow-up"):
        mean_cumulative_interval(curve, person=one, age=one, followup=one - 1)
    with pytest.raises(ValueError, match="follow-up at most 1 days"):
        mean_cumulative_interval(curve, person=one, age=one, followup=one + 1)


def test_events_that_are_not_those_of_the_curve_are_refused():
    curve = mean_cumulative(np.array([0, 2]), np.array([1, 1]))
    one = np.array([1])
    with pytest.raises(ValueError, match="1 events given, but the curve counts 2"):
        mean_cumulative_interval(curve, person=one, age=one, followup=one)
    with pytest.raises(ValueError, match="one each per event"):
        mean_cumulative_interval(curve, person=one, age=np.array([1, 1]), followup=one)


def test_limits_with_few_people_are_those_of_student():
    # 0.6 exp(+-t 0.2 / 0.6), t with 9 + 1 degrees: 2.228139.
    low, high = log_t_interval(0.6, standard_error=0.2, n_effective=9)
    assert low == pytest.approx(0.6 * np.exp(-2.228139 / 3), rel=1e-6)
    assert high == pytest.approx(0.6 * np.exp(2.228139 / 3), rel=1e-6)
    # Many people: the normal quantile.
    low, high = log_t_interval(0.6, standard_error=0.2, n_effective=1e9)
    assert (high / low) == pytest.approx(np.exp(2 * Z / 3))
    low, high = log_t_interval(
        [0.0, np.nan, 0.6, 0.6], standard_error=[0.1, 0.1, np.nan, 0.1], n_effective=3
    )
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [True] * 3 + [False]
    # However little is known, the ends stay numbers.
    low, high = log_t_interval(
        1e-3, standard_error=10.0, n_effective=1, confidence=0.999999
    )
    assert 0 < low < high < np.inf
    with pytest.raises(SettingError, match="confidence"):
        log_t_interval(1.0, standard_error=0.1, n_effective=2, confidence=1.0)


# Sums weighted by age --------------------------------------------------------


def weighted_of(followup, person, age, weights):
    followup, person = np.asarray(followup), np.asarray(person, dtype=np.int64)
    age = np.asarray(age, dtype=np.int64)
    curve = mean_cumulative(counts(age, len(weights)), counts(followup, len(weights)))
    return weighted_sum(
        curve, weights=weights, person=person, age=age, followup=followup[person]
    )


def test_a_weighted_sum_by_hand():
    # Followed for 0, 1, 3 and 3 days; person 2 has events at ages 0, 3, 3, person 1 at
    # age 1: d/n = 1/4, 1/3, 0, 2/2. Weights 4, 3, 1, 2: 1 + 1 + 0 + 2 = 4.
    found = weighted_of([0, 1, 3, 3], [2, 1, 2, 2], [0, 1, 3, 3], [4, 3, 1, 2])
    assert found.value == pytest.approx(4)
    # w/n: 1, 1, -, 1. Own: person 1 has 1, person 2 has 1 + 1 + 1 = 3.
    # w d/n^2: 1/4, 1/3, 0, 1, summed 1/4, 7/12, 7/12, 19/12. Off: person 0 -1/4,
    # person 1 1 - 7/12 = 5/12, person 2 3 - 19/12 = 17/12, person 3 -19/12.
    off = np.array([-3, 5, 17, -19]) / 12
    assert found.standard_error == pytest.approx((off**2).sum() ** 0.5)
    assert found.n_effective == pytest.approx((off**2).sum() ** 2 / (off**4).sum())


@given(history=histories(), seed=st.integers(0, 999))
def test_a_weighted_sum_equals_brute_force(history, seed):
    followup, person, age = history
    rng = np.random.default_rng(seed)
    weights = rng.choice([0.0, 1.0, rng.random(), 1e3], max(followup) + 1)
    found = weighted_of(followup, person, age, weights)
    n = np.array([sum(c >= a for c in followup) for a in range(weights.size)])
    value = sum(weights[a] / n[a] for a in age)
    assert found.value == pytest.approx(value)
    variance, n_effective = brute_force(followup, person, age, weights)
    assert found.standard_error == pytest.approx(variance**0.5, rel=1e-9, nan_ok=True)
    assert found.n_effective == pytest.approx(n_effective, rel=1e-9, nan_ok=True)


@given(history=histories(), horizon=st.integers(0, 6), scale=st.sampled_from([1, 50]))
def test_weights_of_one_to_an_age_give_the_mean(history, horizon, scale):
    followup, person, age = history
    horizon = min(horizon, max(followup))
    curve, interval = mean_of(followup, person, age)
    weights = scale * (curve.age <= horizon)
    found = weighted_of(followup, person, age, weights)
    assert found.value == pytest.approx(scale * curve.mean[horizon])
    for ours, theirs in (
        (found.standard_error / scale, interval.standard_error[horizon]),
        (found.n_effective, interval.n_effective[horizon]),
    ):
        assert ours == pytest.approx(theirs, rel=1e-6, nan_ok=True)


@given(history=histories(), seed=st.integers(0, 99))
def test_order_and_names_do_not_matter_to_a_weighted_sum(history, seed):
    followup, person, age = history
    rng = np.random.default_rng(seed)
    shuffle, rename = rng.permutation(len(person)), rng.permutation(len(followup))
    weights = rng.random(max(followup) + 1)
    found = weighted_of(followup, person, age, weights)
    ends = np.empty(len(followup), dtype=int)
    ends[rename] = followup
    whose = rename[np.array(person, dtype=int)][shuffle]
    again = weighted_of(ends, whose, np.array(age, dtype=int)[shuffle], weights)
    assert tuple(found) == pytest.approx(tuple(again), nan_ok=True)


def test_a_weight_where_nobody_was_followed_leaves_the_sum_missing():
    found = weighted_of([1, 2], [0], [1], [1, 1, 1, 0])
    assert found.value == 0.5
    assert np.isnan(weighted_of([1, 2], [0], [1], [1, 1, 1, 0.1])).all()
    # No event, or one person: a value, no spread.
    assert weighted_of([1, 2], [], [], [1, 1, 1])[:1] == (0.0,)
    for known in (
        weighted_of([1, 2], [], [], [1, 1, 1]),
        weighted_of([1], [0], [1], [3, 3]),
    ):
        assert np.isnan(known[1:]).all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 1], "2 weights for the 3 ages"),
        ([1, -1, 0], "finite and 0 or more"),
        ([1, np.inf, 0], "finite and 0 or more"),
        ([1, np.nan, 0], "finite and 0 or more"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    curve = mean_cumulative(np.array([0, 1, 0]), np.array([0, 1, 1]))
    with pytest.raises(ValueError, match=message):
        weighted_sum(
            curve,
            weights=weights,
            person=np.array([0]),
            age=np.array([1]),
            followup=np.array([2]),
        )
