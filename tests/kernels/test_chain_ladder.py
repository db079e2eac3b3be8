"""The chain ladder against published triangles, plain loops, and simulated truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfloop.kernels.chain_ladder import (
    chain_ladder,
    develop,
    steps_ahead,
    sums_ahead,
)

# Taylor and Ashe (1983), as in Mack (1993): payments of each year, one triangle.
TAYLOR_ASHE = """
357848 766940 610542 482940 527326 574398 146342 139950 227229 67948
352118 884021 933894 1183289 445745 320996 527804 266172 425046
290507 1001799 926219 1016654 750816 146923 495992 280405
310608 1108250 776189 1562400 272482 352053 206286
443160 693190 991983 769488 504851 470639
396132 937085 847498 805037 705960
440832 847631 1131398 1063269
359480 1061648 1443370
376686 986608
344014
"""

# The triangle of the Reinsurance Association of America, as in Mack (1994): sums.
RAA = """
5012 8269 10907 11805 13539 16181 18009 18608 18662 18834
106 4285 5396 10666 13782 15599 15496 16169 16704
3410 8992 13873 16141 18735 22214 22863 23466
5655 11555 15766 21266 23425 26083 27067
1092 9565 15836 22169 25955 26180
1513 6445 11702 12935 15852
557 4020 10946 12314
1351 6947 13112
3133 5395
2063
"""


def triangle(text):
    """Return a triangle with NaN where nothing is known, and the last known ages."""
    rows = [[float(x) for x in line.split()] for line in text.split("\n") if line]
    table = np.full((len(rows), len(rows[0])), np.nan)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return table, np.array([len(row) - 1 for row in rows])


def test_taylor_and_ashe_as_published_by_mack():
    paid, last = triangle(TAYLOR_ASHE)
    found = chain_ladder(paid.cumsum(axis=1), finished=last)
    known = paid.cumsum(axis=1)[np.arange(10), last]
    reserves = found.expected[:, -1] - known
    published = [0, 94634, 469511, 709638, 984889, 1419459, 2177641, 3920301, 4278972,
                 4625811]  # fmt: skip
    np.testing.assert_allclose(reserves, published, atol=0.5)
    errors = [0, 75535, 121699, 133549, 261406, 411010, 558317, 875328, 971258,
              1363155]  # fmt: skip
    np.testing.assert_allclose(found.std_error[:, -1], errors, atol=0.5)
    assert found.ahead == pytest.approx(18_680_856, abs=0.5)
    assert found.ahead_std_error == pytest.approx(2_447_095, abs=0.5)
    # The first factors of the paper.
    np.testing.assert_allclose(
        found.development.factor[:4], [3.490, 1.747, 1.457, 1.174], atol=0.001
    )
    # sigma^2 / 1000 of the paper; the last is extrapolated.
    np.testing.assert_allclose(
        found.development.variance / 1000,
        [160, 37.7, 42.0, 15.2, 13.7, 8.19, 0.447, 1.15, 0.447],
        rtol=0.005,
    )


def test_the_reinsurance_triangle_as_published():
    sums, last = triangle(RAA)
    found = chain_ladder(sums, finished=last)
    assert found.ahead == pytest.approx(52_135, abs=1)
    assert found.ahead_std_error == pytest.approx(26_909, abs=1)
    ahead = found.expected[:, -1] - sums[np.arange(10), last]
    np.testing.assert_allclose(
        ahead, [0, 154, 617, 1636, 2747, 3649, 5435, 10907, 10650, 16339], atol=0.6
    )
    np.testing.assert_allclose(
        found.std_error[:, -1],
        [0, 206, 623, 747, 1469, 2002, 2209, 5358, 6333, 24566],
        atol=0.6,
    )


def test_what_lies_beyond_is_not_looked_at():
    paid, last = triangle(TAYLOR_ASHE)
    sums = paid.cumsum(axis=1)
    whole = np.where(np.isnan(sums), 1e9, sums)
    for one, other in zip(
        chain_ladder(sums, finished=last)[1:],
        chain_ladder(whole, finished=last)[1:],
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_no_cohort_no_base_and_one_cohort():
    # Nobody has finished age 2; the sum at age 0 is 0 in the second table.
    found = develop([[2, 3, 9], [2, 5, 9]], [1, 1])
    np.testing.assert_array_equal(found.factor, [2.0, np.nan])
    assert found.n_cohorts.tolist() == [2, 0]
    assert np.isnan(develop([[0.0, 3.0]], [1]).factor).all()
    # One cohort alone: the factor is known, how far it swings is not.
    alone = chain_ladder([[2, 3], [4, 0]], finished=[1, 0])
    assert alone.expected[1].tolist() == [4, 6]
    assert np.isnan(alone.std_error[1, 1])
    # A cohort that has finished nothing is expected to do nothing known.
    assert np.isnan(chain_ladder([[2, 3], [4, 6]], finished=[1, -1]).expected[1]).all()


def squares(values):
    """Variance of a sum over groups, from how the groups differ."""
    return np.var(values) * len(values) ** 2 / (len(values) - 1)


def moves(sums, last, factor, base):
    """By how much each group moves the log of each factor."""
    n_cohorts, n_groups, n_ages = sums.shape
    return [
        [
            sum(
                sums[c, p, a + 1] - factor[a] * sums[c, p, a]
                for c in range(n_cohorts)
                if last[c] >= a + 1
            )
            / (factor[a] * base[a])
            for a in range(n_ages - 1)
        ]
        for p in range(n_groups)
    ]


def plain(done, people, last, *, steps):
    """Errors by loops over cohorts, groups and pairs of ages, as the notes say them."""
    n_cohorts, _, n_ages = done.shape
    sums = done.cumsum(axis=2)
    older = [[c for c in range(n_cohorts) if last[c] >= a] for a in range(n_ages)]
    base = [sums[older[a + 1], :, a].sum() for a in range(n_ages - 1)]
    factor = [sums[older[a + 1], :, a + 1].sum() / base[a] for a in range(n_ages - 1)]
    moved = moves(sums, last, factor, base)
    wanted = done if steps else sums
    expected, error, ratios, degrees = {}, {}, 0.0, 0
    pairs = [(a, b) for b in range(n_ages) for a in range(b) if a in last]
    for k, n in pairs:
        j, path, before = older[n], np.prod(factor[k:n]), np.prod(factor[k : n - 1])
        g = path - before if steps else path
        off = {c: wanted[c, :, n] - g * sums[c, :, k] for c in j}
        own = sum(squares(z) for z in off.values()) / sum(people[c] for c in j)
        drift = squares([
            path * sum(step[k:n]) - (before * sum(step[k : n - 1]) if steps else 0.0)
            for step in moved
        ])  # fmt: skip
        for c in (c for c in range(n_cohorts) if last[c] == k):
            start = sums[c, :, k].sum()
            expected[c, n] = g * start
            error[c, n] = people[c] * own + start**2 * drift
        if len(j) > 1:
            ratios += sum(z.sum() ** 2 / people[c] for c, z in off.items()) / own
            degrees += len(j) - 1
    spread = max(1.0, ratios / degrees)
    return expected, {key: np.sqrt(spread * v) for key, v in error.items()}, spread


@pytest.mark.parametrize("steps", [False, True])
@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_errors_are_those_of_plain_loops(steps, seed):
    rng = np.random.default_rng(seed)
    done = rng.gamma(1.0, 2.0, (5, 3, 4))
    people = rng.integers(5, 50, 5).astype(float)
    last = np.array([3, 3, 2, 1, 0])
    ahead = steps_ahead if steps else sums_ahead
    found = ahead(done, n_people=people, finished=last)
    expected, error, spread = plain(done, people, last, steps=steps)
    assert found.spread == pytest.approx(spread)
    for key, value in expected.items():
        assert found.expected[key] == pytest.approx(value)
        assert found.std_error[key] == pytest.approx(error[key])
    assert np.isfinite(found.expected).sum() == len(expected)


@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_units_of_money_and_the_order_of_groups_do_not_matter(seed, unit):
    rng = np.random.default_rng(seed)
    done, last = rng.gamma(1.0, 2.0, (4, 5, 4)), np.array([3, 3, 1, 0])
    people = np.full(4, 20.0)
    one = sums_ahead(done, n_people=people, finished=last)
    mixed = done[:, rng.permutation(5)] * unit
    other = sums_ahead(mixed, n_people=people, finished=last)
    np.testing.assert_allclose(other.expected, one.expected * unit)
    np.testing.assert_allclose(other.std_error, one.std_error * unit)
    assert other.spread == pytest.approx(one.spread)


def test_steps_add_up_to_sums():
    rng = np.random.default_rng(5)
    done, last = rng.gamma(1.0, 2.0, (5, 4, 5)), np.array([4, 4, 3, 2, 0])
    given_ = {"n_people": np.full(5, 9.0), "finished": last}
    sums, steps = sums_ahead(done, **given_), steps_ahead(done, **given_)
    known = done.cumsum(axis=2).sum(axis=1)
    for c in range(5):
        for age in range(last[c] + 1, 5):
            added = steps.expected[c, last[c] + 1 : age + 1].sum()
            assert sums.expected[c, age] == pytest.approx(known[c, last[c]] + added)


def test_both_ladders_expect_the_same():
    rng = np.random.default_rng(6)
    done, last = rng.gamma(1.0, 2.0, (6, 4, 5)), np.array([4, 4, 3, 2, 1, 0])
    known = np.arange(5) <= last[:, None]
    mack = chain_ladder(done.sum(axis=1).cumsum(axis=1), finished=last)
    ours = sums_ahead(done, n_people=np.full(6, 9.0), finished=last)
    np.testing.assert_allclose(ours.expected[~known], mack.expected[~known])


def test_who_always_does_the_same_leaves_no_doubt():
    # Every group buys 2 and then 1 more: the factor is 1.5 and nothing swings.
    done = np.tile([2.0, 1.0], (3, 4, 1))
    found = sums_ahead(done, n_people=[8, 8, 8], finished=[1, 1, 0])
    assert found.expected[2, 1] == 12
    assert found.std_error[2, 1] == 0
    assert found.factor_error.tolist() == [0]
    assert found.spread == 1


@pytest.mark.parametrize("shape", [(0, 4, 0), (0, 4, 3), (2, 4, 0), (2, 4, 1)])
def test_without_cohorts_or_ages_nothing_is_expected(shape):
    last = np.full(shape[0], shape[2] - 1)
    for ahead in (sums_ahead, steps_ahead):
        found = ahead(np.ones(shape), n_people=np.ones(shape[0]), finished=last)
        assert found.expected.shape == (shape[0], shape[2])
        assert np.isnan(found.expected).all()
        assert found.spread == 1
