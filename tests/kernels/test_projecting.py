"""The loop run on: by hand, buyer by buyer, without referrals, in the long run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfloop.kernels.projecting import Doing, doing, project

DESCENT = 0


def draw_loop(seed, *, n_kinds=2, n_ages=4, n_days=6):
    """Draw a loop: buyers there are, coming, brings, and two things done."""
    rng = np.random.default_rng(seed)
    there = rng.integers(0, 9, (n_kinds, n_ages)).astype(float)
    coming = rng.integers(0, 5, (n_kinds, n_days)).astype(float)
    brings = rng.uniform(0, 0.2, (n_kinds, n_ages + n_days))
    does = tuple(rng.uniform(-1, 5, brings.shape) for _ in range(2))
    return there, coming, brings, does


def run(there, coming, brings, does, *, descent=DESCENT):
    """Run a loop on."""
    n_days = coming.shape[-1]
    made, *done = (
        doing(steps, buyers=there, n_days=n_days) for steps in (brings, *does)
    )
    return project(coming, brings=made, does=tuple(done), descent=descent)


def by_people(there, coming, brings, does):
    """Do the same by a register of buyers (in parts) by kind, birthday and day."""
    n_ages, n_days = there.shape[1], coming.shape[1]
    kinds = range(len(there))
    # Born on day -age; the first day ahead is day 1.
    born = {(k, -age): there[k, age] for k in kinds for age in range(n_ages)}
    brought, done = [], [[] for _ in does]
    for day in range(1, n_days + 1):
        for k in kinds:
            born[k, day] = coming[k, day - 1]
        made = sum(n * brings[k, day - b] for (k, b), n in born.items())
        # Those who are brought today bring others today: a geometric sum.
        made /= 1 - brings[DESCENT, 0]
        born[DESCENT, day] += made
        brought.append(made)
        for total, steps in zip(done, does, strict=True):
            total.append(sum(n * steps[k, day - b] for (k, b), n in born.items()))
    return coming.sum(axis=0), brought, done


def test_by_hand():
    # A buyer of age 1 of kind 0, one of age 0 of kind 1; kind 0 brings a half at age 1,
    # kind 1 one at age 2. Two of kind 1 come on day 2. Everybody spends 1 at age 0 and
    # 10 at age 1. Who is brought is of kind 0.
    # Day 1: ages 2 and 1: nobody brought; the second spends 10.
    # Day 2: ages 3 and 2: one brought by the second, spends 1; two come and spend 2.
    # Day 3: the one of age 1 brings 1/2, spends 10; the half 0.5; the two spend 20.
    ahead = run(
        np.array([[0, 1.0], [1, 0]]),
        np.array([[0, 0, 0], [0, 2.0, 0]]),
        np.array([[0, 0.5, 0, 0, 0], [0, 0, 1.0, 0, 0]]),
        ([[1.0, 10, 0, 0, 0]] * 2,),
    )
    assert ahead.outside.tolist() == [0, 2, 0]
    assert ahead.brought.tolist() == [0, 1, 0.5]
    assert ahead.done[0].tolist() == [10, 3, 30.5]


@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 5), st.integers(1, 8))
def test_buyer_by_buyer(seed, n_kinds, n_ages, n_days):
    loop = draw_loop(seed, n_kinds=n_kinds, n_ages=n_ages, n_days=n_days)
    ahead = run(*loop)
    outside, brought, done = by_people(*loop)
    np.testing.assert_allclose(ahead.outside, outside)
    np.testing.assert_allclose(ahead.brought, brought)
    for found, expected in zip(ahead.done, done, strict=True):
        np.testing.assert_allclose(found, expected)


@given(st.integers(0, 10_000), st.floats(0, 9), st.floats(0, 9))
def test_it_is_linear_in_people(seed, p, q):
    there, coming, brings, does = draw_loop(seed)
    one = run(there, 0 * coming, brings, does)
    two = run(0 * there, coming, brings, does)
    both = run(p * there, q * coming, brings, does)
    for found, a, b in zip(
        (both.outside, both.brought, *both.done),
        (one.outside, one.brought, *one.done),
        (two.outside, two.brought, *two.done),
        strict=True,
    ):
        np.testing.assert_allclose(found, p * a + q * b, atol=1e-9)


@given(st.integers(0, 10_000))
def test_without_referrals_it_is_a_convolution(seed):
    there, coming, brings, does = draw_loop(seed)
    ahead = run(there, coming, 0 * brings, does)
    n_ages, n_days = there.shape[1], coming.shape[1]
    assert (ahead.brought == 0).all()
    expected = np.zeros(n_days)
    for k, steps in enumerate(does[0]):
        # The past in reverse, then those who come: the buyers by day of birth.
        births = np.append(there[k, ::-1], coming[k])
        expected += np.convolve(births, steps)[n_ages : n_ages + n_days]
    np.testing.assert_allclose(ahead.done[0], expected)


def test_in_the_long_run_each_buyer_leads_to_r_over_one_less_r():
    # Kind 1 brings 0.6 buyers, who are of kind 0 and bring 0.5 each, and so on:
    # 0.6 (1 + 1/2 + 1/4 + ...) = 1.2. Seven come on the first day.
    n_days = 400
    brings = np.zeros((2, 1 + n_days))
    brings[0, [0, 2, 7]] = 0.1, 0.3, 0.1
    brings[1, [0, 5]] = 0.2, 0.4
    coming = np.zeros((2, n_days))
    coming[1, 0] = 7
    once = np.zeros(brings.shape)
    once[:, 0] = 1
    ahead = run(np.zeros((2, 1)), coming, brings, (once,))
    assert ahead.brought.sum() == pytest.approx(7 * 1.2)
    # Everybody orders once: as many orders as buyers.
    assert ahead.done[0].sum() == pytest.approx(7 * 2.2)


def test_an_old_buyer_brings_only_what_is_left():
    # By age 3 half of R = 0.5 has been brought: 0.25 to come, and those who follow.
    brings = np.zeros((1, 304))
    brings[0, [1, 6]] = 0.25
    there = np.array([[0, 0, 0, 8.0]])
    ahead = run(there, np.zeros((1, 300)), brings, ())
    assert ahead.brought.sum() == pytest.approx(8 * 0.25 / (1 - 0.5))


@given(st.integers(0, 10_000))
def test_a_longer_view_begins_with_the_shorter(seed):
    there, coming, brings, does = draw_loop(seed, n_days=8)
    long = run(there, coming, brings, does)
    short = run(there, coming[:, :5], brings[:, :9], tuple(d[:, :9] for d in does))
    np.testing.assert_allclose(long.brought[:5], short.brought)
    np.testing.assert_allclose(long.done[1][:5], short.done[1])


def test_rows_run_apart():
    there, coming, brings, does = draw_loop(1)
    other = draw_loop(2)
    both = run(
        there,
        np.stack([coming, other[1]]),
        np.stack([brings, other[2]]),
        tuple(np.stack(pair) for pair in zip(does, other[3], strict=True)),
    )
    for row, alone in enumerate(
        (run(there, coming, brings, does), run(there, *other[1:]))
    ):
        np.testing.assert_allclose(both.brought[row], alone.brought)
        np.testing.assert_allclose(both.done[0][row], alone.done[0])


def test_levels_multiply_what_old_buyers_do_and_nothing_else():
    there, coming, brings, does = draw_loop(5)
    level = np.array([1.0, 2.0, 0.5, 0.0])
    found = doing(does[0], buyers=there, level=level, n_days=6)
    expected = doing(does[0], buyers=there * level, n_days=6)
    np.testing.assert_allclose(found.by_old, expected.by_old)
    assert found.steps is expected.steps or (found.steps == does[0]).all()
    ahead = project(
        coming, brings=Doing(brings * 0, np.zeros(6)), does=(found,), descent=DESCENT
    )
    new_alone = run(there * 0, coming, brings * 0, does)
    np.testing.assert_allclose(ahead.done[0] - found.by_old, new_alone.done[0])


def test_rows_have_levels_of_their_own():
    there, _, brings, _ = draw_loop(6)
    levels = np.array([[1.0, 2.0, 0.5, 0.0], [1.0, 1.0, 1.0, 1.0]])
    both = doing(np.stack([brings, brings]), buyers=there, level=levels, n_days=6)
    for row, level in enumerate(levels):
        alone = doing(brings, buyers=there, level=level, n_days=6)
        np.testing.assert_allclose(both.by_old[row], alone.by_old)


def test_inputs_are_not_changed():
    loop, same = draw_loop(3), draw_loop(3)
    run(*loop)
    for part, before in zip(loop[:3] + loop[3], same[:3] + same[3], strict=True):
        assert np.array_equal(part, before)


def test_one_or_more_on_the_first_day_has_no_end():
    there, coming, brings, does = draw_loop(4)
    brings[DESCENT, 0] = 1.2
    with pytest.raises(ValueError, match="day of the first purchase"):
        run(there, coming, brings, does)
