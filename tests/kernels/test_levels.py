"""Levels of cohorts: by hand, margins, laws, recovery of the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfloop.kernels.levels import cohort_levels, rates

N_GROUPS = 50


def parts_of(group, kind, cohort, day, happened):
    """Sum what people did: rows of `happened` are people, columns ages 0, 1, 2, ..."""
    n_days = happened.shape[1]
    shape = int(kind.max()) + 1, N_GROUPS, n_days
    by_age, by_followup, people = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    followup = n_days - 1 - day
    np.add.at(people, (kind, group, followup), 1)
    for age in range(n_days):
        seen = followup >= age
        place = kind[seen], group[seen]
        np.add.at(by_age, (*place, age), happened[seen, age])
        if age:
            np.add.at(by_followup, (*place, followup[seen]), happened[seen, age])
    by_day = np.zeros(n_days, dtype=np.int64)
    by_day[followup] = cohort
    return by_age, by_followup, people, by_day


def draw(rng, levels, *, n_people=400, width=10, shape=2.0):
    """Draw cohorts of people who differ, with rates that fall with age."""
    n_cohorts = len(levels)
    n_days = n_cohorts * width
    cohort = rng.integers(0, n_cohorts, n_people)
    day = cohort * width + rng.integers(0, width, n_people)
    kind = rng.integers(0, 2, n_people)
    keen = rng.gamma(shape, 1 / shape, n_people) * np.asarray(levels)[cohort]
    age = np.arange(n_days)
    rate = np.where(kind[:, None] == 0, 0.3, 0.15) / (1 + age / 20)
    happened = rng.poisson(keen[:, None] * rate).astype(float)
    happened[:, 0] = 1
    parts = parts_of(rng.integers(0, N_GROUPS, n_people), kind, cohort, day, happened)
    # Numbers of cohorts by follow-up also where nobody was drawn.
    by_day = (n_days - 1 - np.arange(n_days)) // width
    return *parts[:3], by_day


def fit(by_age, by_followup, people, cohort, enough=None):
    """Fit levels, of all cohorts by default."""
    known = np.ones(int(cohort.max()) + 1, bool) if enough is None else enough
    return cohort_levels(
        by_age, by_followup=by_followup, n_followup=people, cohort=cohort, enough=known
    )


def test_by_hand():
    # Two groups, alike. Cohort 0: followed for 3 days, 8 things after day 0; cohort 1:
    # for 2 days, 2 things; cohort 2: for 1 day, 1 thing. One person of each.
    # Rates g: day 1 has 4 + 1 + 1, day 2 has 2 + 1, day 3 has 2.
    # With levels 4, 1, 1 (times a common factor): 6 / 6 = 1, 3 / 5, 2 / 4: sums
    # 4 (1 + .6 + .5) = 8.4, not 8, so that the levels are others; check the margins.
    by_age = np.array([[[0, 6.0, 3.0, 2.0]] * 2])
    by_followup = np.array([[[0, 1.0, 2.0, 8.0]] * 2])
    people = np.array([[[0, 1.0, 1.0, 1.0]] * 2])
    cohort = np.array([3, 2, 1, 0])
    found = fit(by_age, by_followup, people, cohort, np.array([True] * 3 + [False]))
    a, b, c = found.raw[:3]
    g = 6 / (a + b + c), 3 / (a + b), 2 / a
    assert a * sum(g) == pytest.approx(8)
    assert b * (g[0] + g[1]) == pytest.approx(2)
    assert c * g[0] == pytest.approx(1)
    assert np.isnan(found.raw[3])
    assert found.level[-1, 3] == 1
    # The average of the later ones is 1.
    assert a > 3
    assert (b + c) / 2 == pytest.approx(1, abs=0.05)


@given(st.integers(0, 10_000))
def test_sums_by_cohort_and_by_age_are_met(seed):
    rng = np.random.default_rng(seed)
    by_age, by_followup, people, cohort = draw(rng, rng.uniform(0.5, 2, 4))
    found = fit(by_age, by_followup, people, cohort)
    made, there = by_age.sum(axis=1), people.sum(axis=1)
    made[:, 0] = 0
    weight = found.raw[cohort]
    steps = rates(made, there * weight)
    member = np.eye(4)[cohort]
    expected = (there * weight * steps.cumsum(axis=1)).sum(axis=0) @ member
    np.testing.assert_allclose(expected, by_followup.sum(axis=(0, 1)) @ member, 1e-4)
    assert found.n_expected * found.raw == pytest.approx(expected, rel=1e-4)


@given(st.integers(0, 10_000), st.floats(0.1, 50))
def test_the_unit_does_not_matter(seed, unit):
    by_age, by_followup, people, cohort = draw(
        np.random.default_rng(seed), [2, 1, 1, 0.8]
    )
    one = fit(by_age, by_followup, people, cohort)
    other = fit(by_age * unit, by_followup * unit, people, cohort)
    np.testing.assert_allclose(other.level, one.level, rtol=1e-5)
    np.testing.assert_allclose(other.raw, one.raw, rtol=1e-5)


@given(st.integers(0, 10_000))
def test_cohorts_are_drawn_together(seed):
    rng = np.random.default_rng(seed)
    parts = draw(rng, rng.uniform(0.5, 2, 5))
    found = fit(*parts)
    later_level, later_raw = found.level[-1, 1:], found.raw[1:]
    # No farther from each other.
    assert np.ptp(np.log(later_level)) <= np.ptp(np.log(later_raw)) + 1e-9


def test_cohorts_that_are_alike_are_left_as_they_are():
    runs = [fit(*draw(np.random.default_rng(i), [1] * 6)) for i in range(200)]
    spreads = np.array([found.spread for found in runs])
    # Five later cohorts: a sum of squares below its mean in 59 % of the runs.
    assert 0.45 < (spreads == 0).mean() < 0.75
    nothing = [found for found in runs if found.spread == 0]
    for found in nothing:
        np.testing.assert_allclose(found.level[-1, 1:], 1, rtol=1e-12)
    drawn = np.array([found.level[-1] for found in runs])
    seen = np.array([found.raw for found in runs])
    assert (drawn.std(axis=0) < 0.85 * seen.std(axis=0)).all()
    assert (drawn.std(axis=0) < 0.7 * seen.std(axis=0))[1:].all()
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.02)


def test_true_levels_are_found_and_covered():
    truth = np.array([2.0, 1, 1, 1, 1, 1, 1])
    runs = [
        fit(*draw(np.random.default_rng(500 + i), truth, n_people=800))
        for i in range(300)
    ]
    raw = np.array([found.raw for found in runs])
    error = np.array([found.std_error for found in runs])
    level = np.array([found.level[-1] for found in runs])
    # The last cohort has followed hardly anybody: 5 days on average.
    np.testing.assert_allclose(np.median(raw, axis=0), truth, rtol=0.04)
    inside = np.abs(np.log(raw) - np.log(truth)) < 1.96 * error
    assert ((inside.mean(axis=0) > 0.90) & (inside.mean(axis=0) < 0.98)).all()
    # The first is believed, because it stands out; the others are drawn together.
    assert level[:, 0].mean() == pytest.approx(2, rel=0.05)
    assert level[:, 1:].std() < 0.6 * raw[:, 1:].std()


def test_cohorts_that_truly_differ_are_told_apart():
    rng = np.random.default_rng(7)
    truth = np.exp(rng.normal(0, 0.4, 12))
    runs = [
        fit(*draw(np.random.default_rng(i), truth, n_people=4000)) for i in range(20)
    ]
    found = np.mean([np.log(run.level[-1, 1:]) for run in runs], axis=0)
    away = np.log(truth[1:]) - found
    assert np.ptp(away[:-1]) < 0.15
    spread = np.mean([run.spread for run in runs])
    assert spread == pytest.approx(np.log(truth[1:]).std(ddof=1), rel=0.25)


def test_from_two_cohorts_nothing_can_be_told():
    parts = draw(np.random.default_rng(1), [3, 1])
    found = fit(*parts)
    assert (found.level == 1).all()
    assert found.spread == 0
    assert np.isnan(found.std_error).all()
    assert np.isnan(found.raw).all()


@pytest.mark.parametrize("quiet", [0, 2, 4])
def test_a_cohort_that_did_next_to_nothing_is_believed(quiet):
    truth = np.ones(6)
    truth[quiet] = 0.003
    found = fit(*draw(np.random.default_rng(3), truth, n_people=3000))
    assert found.raw[quiet] < 0.05
    assert found.level[-1, quiet] < 0.15
    rest = np.delete(found.level[-1], quiet)
    assert (rest > 0.75).all()


@pytest.mark.parametrize("taken", [0.0, -1.0, -500.0])
def test_a_cohort_that_took_money_back_counts_as_nothing(taken):
    by_age, by_followup, people, cohort = draw(
        np.random.default_rng(5), [1] * 6, n_people=3000
    )
    mine = cohort == 2
    made = by_followup[..., mine].sum()
    by_followup[..., mine] = 0
    by_followup[..., mine] += taken / by_followup[..., mine].size
    # Its things are taken from the sums by age as well.
    by_age[..., 1:] *= 1 - made / by_age[..., 1:].sum()
    found = fit(by_age, by_followup, people, cohort)
    assert found.raw[2] < 0.02
    assert 0 < found.level[-1, 2] < 0.1
    np.testing.assert_allclose(np.delete(found.level[-1], 2).mean(), 1, atol=0.3)
    assert np.isfinite(found.level).all()


def test_inputs_are_not_changed():
    parts = draw(np.random.default_rng(2), [1] * 4)
    before = [part.copy() for part in parts]
    fit(*parts)
    for part, same in zip(parts, before, strict=True):
        assert np.array_equal(part, same)
