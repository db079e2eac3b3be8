"""Along links: enumeration, least squares, published numbers, chance, known effects."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from selfloop.core.errors import SettingError
from selfloop.kernels import link_tests
from selfloop.kernels.link_hazards import (
    AtRisk,
    Links,
    Spells,
    common_ratio,
    count_at_risk,
    hazard_ratio,
)
from selfloop.kernels.link_tests import exchange_p_value, linked_difference

# Exchange of outcomes ---------------------------------------------------------------


def p_of_rows(stratum, owner, mine):
    """Reduce links to counts and test them."""
    n = np.bincount(stratum)
    counted = [
        np.bincount(stratum, weights=w, minlength=n.size).astype(int)
        for w in (owner, mine, owner & mine)
    ]
    return exchange_p_value(
        n, n_exposed=counted[0], n_cases=counted[1], n_both=counted[2]
    )


def enumerated(stratum, owner, mine):
    """Exchange outcomes within strata in every possible way."""
    groups = [np.flatnonzero(stratum == s) for s in np.unique(stratum)]
    ways = [
        [sum(owner[g] & np.isin(g, some)) for some in map(
            list, itertools.combinations(g, int(mine[g].sum())))]
        for g in groups
    ]  # fmt: skip
    sums = [sum(each) for each in itertools.product(*ways)]
    values, n = np.unique(sums, return_counts=True)
    seen = n[values == (owner & mine).sum()][0]
    return n[n <= seen].sum() / n.sum()


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.booleans(), st.booleans()),
        min_size=4,
        max_size=9,
    )
)
def test_exchange_is_what_enumeration_gives(rows):
    stratum, owner, mine = (np.array(c) for c in zip(*rows, strict=True))
    stratum = np.unique(stratum, return_inverse=True)[1]
    found = p_of_rows(stratum, owner, mine)
    if math.isnan(found):
        assert enumerated(stratum, owner, mine) == 1
    else:
        assert found == pytest.approx(enumerated(stratum, owner, mine))


def test_one_stratum_is_fishers_test():
    table = [[17, 22], [9, 41]]
    theirs = stats.fisher_exact(table).pvalue
    found = exchange_p_value([89], n_exposed=[39], n_cases=[26], n_both=[17])
    assert found == pytest.approx(theirs)


def test_two_strata_by_hand():
    # Two strata of 2 links, 1 exposed, 1 case: the sum is 0, 1, 2 with 1/4, 1/2, 1/4.
    pair = {"n_exposed": [1, 1], "n_cases": [1, 1]}
    assert exchange_p_value([2, 2], **pair, n_both=[1, 1]) == pytest.approx(0.5)
    assert exchange_p_value([2, 2], **pair, n_both=[1, 0]) == pytest.approx(1.0)
    assert exchange_p_value([2, 2], **pair, n_both=[0, 0]) == pytest.approx(0.5)


def test_large_samples_are_normal_and_close_to_exact(monkeypatch):
    n = np.array([3000, 5040, 2760])
    both = n // 12 + np.array([22, 17, 15])
    counts = {"n_exposed": n // 3, "n_cases": n // 4, "n_both": both}
    exact = exchange_p_value(n, **counts)
    monkeypatch.setattr(link_tests, "_EXACT", 10)
    assert exchange_p_value(n, **counts) == pytest.approx(exact, rel=0.1)
    assert exact < 0.05


def test_many_links_are_quick_and_have_no_rounding_to_zero():
    n = np.full(60, 600)
    half = n // 2
    found = exchange_p_value(n, n_exposed=half, n_cases=half, n_both=half // 2)
    assert found == pytest.approx(1.0)
    found = exchange_p_value(n, n_exposed=half, n_cases=half, n_both=half // 2 + 2)
    assert found == pytest.approx(2 * stats.norm.sf(119.5 / math.sqrt(
        60 * 300**4 / (600**2 * 599))), rel=0.03)  # fmt: skip


def test_nothing_to_exchange_is_no_p_value():
    assert math.isnan(exchange_p_value([5], n_exposed=[0], n_cases=[2], n_both=[0]))
    assert math.isnan(exchange_p_value([5], n_exposed=[2], n_cases=[5], n_both=[2]))
    assert math.isnan(exchange_p_value([], n_exposed=[], n_cases=[], n_both=[]))


def test_counts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        exchange_p_value([5], n_exposed=[2], n_cases=[2], n_both=[3])
    with pytest.raises(ValueError, match="do not fit"):
        exchange_p_value([5], n_exposed=[4], n_cases=[4], n_both=[2])


# Difference along links -------------------------------------------------------------


def test_linked_difference_is_least_squares_by_clusters():
    rng = np.random.default_rng(2)
    n = 200
    stratum, cluster = rng.integers(0, 6, n), rng.integers(0, 90, n)
    owner = rng.random(90)[cluster] < 0.3 + 0.05 * stratum
    mine = rng.random(n) < 0.3 + 0.2 * owner
    found = linked_difference(
        mine, referrer_has_it=owner, stratum=stratum, cluster=cluster
    )
    dummies = (stratum[:, None] == np.arange(6)) * 1.0
    design = np.column_stack([owner, dummies]).astype(float)
    beta, *_ = np.linalg.lstsq(design, mine.astype(float), rcond=None)
    rest = mine - design @ beta
    size = np.bincount(stratum)[stratum]
    rest = rest * np.sqrt(size / (size - 1))
    meat = np.zeros((7, 7))
    names = np.unique(cluster)
    for c in names:
        score = design[cluster == c].T @ rest[cluster == c]
        meat += np.outer(score, score)
    bread = np.linalg.inv(design.T @ design)
    error = math.sqrt((bread @ meat @ bread)[0, 0] * names.size / (names.size - 1))
    assert found.value == pytest.approx(beta[0])
    reach = stats.t.ppf(0.975, names.size - 1) * error
    assert found.high - found.value == pytest.approx(reach)


def test_linked_difference_by_hand():
    # 2 of 3 against 1 of 3. Deviations of x are +-1/2; residuals 1/3, 1/3, -2/3 and
    # 2/3, -1/3, -1/3; sum (x e)^2 = (1 + 1 + 4 + 4 + 1 + 1) / 36 = 1/3, times 6/5 of
    # the stratum and 6/5 of the clusters, over (6/4)^2.
    found = linked_difference(
        [1, 1, 0, 1, 0, 0],
        referrer_has_it=[1, 1, 1, 0, 0, 0],
        stratum=np.zeros(6, dtype=int),
        cluster=np.arange(6),
    )
    error = math.sqrt(1 / 3 * 1.2 * 1.2 / 2.25)
    assert found.value == pytest.approx(1 / 3)
    assert found.low == pytest.approx(1 / 3 - stats.t.ppf(0.975, 5) * error)
    assert math.isnan(found.p_value)


def test_linked_difference_without_variation_has_no_interval():
    zeros = np.zeros(4, dtype=int)
    ids = np.arange(4)
    found = linked_difference(
        [1, 0, 1, 0], referrer_has_it=[1] * 4, stratum=zeros, cluster=ids
    )
    assert math.isnan(found.value)
    found = linked_difference(
        [0] * 4, referrer_has_it=[1, 1, 0, 0], stratum=zeros, cluster=ids
    )
    assert found.value == 0
    assert math.isnan(found.low)
    nobody = np.zeros(0, dtype=int)
    found = linked_difference([], referrer_has_it=[], stratum=nobody, cluster=nobody)
    assert math.isnan(found.value)
    with pytest.raises(SettingError, match="confidence"):
        linked_difference(
            [1], referrer_has_it=[1], stratum=ids[:1], cluster=ids[:1], confidence=0
        )


# Hazards ----------------------------------------------------------------------------


def plain_counts(links, spells):
    """Count by looking at every link on every day."""
    shape = links.stratum.max() + 1, links.exit_age.max() + 1
    counts = np.zeros((4, *shape))
    for i, (s, _, exit_age, has_event) in enumerate(zip(*links, strict=True)):
        mine = spells.link == i
        for age in range(1, exit_age + 1):
            inside = (spells.from_age[mine] <= age) & (age <= spells.to_age[mine])
            state = 0 if inside.any() else 2
            counts[state + 1, s, age] += 1
            counts[state, s, age] += has_event and age == exit_age
    return AtRisk(*counts)


def draw_links(rng, *, n_referrers=250, ratio=1.0, alike=False, hazard=0.02):
    """Draw referees whose daily hazard is `ratio` times as high with the referrer.

    With `alike` the referees of one referrer share a factor of their hazard.
    """
    n_referees = rng.integers(1, 5, n_referrers)
    cluster = np.repeat(np.arange(n_referrers), n_referees)
    leaves = rng.geometric(0.015, n_referrers)
    back = leaves + rng.geometric(0.03, n_referrers)
    factor = rng.gamma(2, 0.5, n_referrers) if alike else np.ones(n_referrers)
    age = np.arange(1, 151)
    active = (age <= leaves[:, None]) | (age > back[:, None])
    risk = np.minimum(hazard * np.where(active, ratio, 1.0) * factor[:, None], 1.0)
    hits = rng.random((cluster.size, age.size)) < risk[cluster]
    last = rng.integers(30, 151, cluster.size)  # end of observation
    first_hit = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 10_000)
    exit_age = np.minimum(first_hit, last)
    stratum = rng.integers(0, 6, cluster.size)
    links = Links(stratum, cluster, exit_age, first_hit <= last)
    every = np.arange(cluster.size)
    away = back[cluster] + 1
    spells = Spells(
        np.concatenate([every, every[away <= exit_age]]),
        np.concatenate([np.ones_like(every), away[away <= exit_age]]),
        np.concatenate([
            np.minimum(leaves[cluster], exit_age), exit_age[away <= exit_age]
        ]),
    )  # fmt: skip
    return links, spells


def test_days_at_risk_are_those_of_a_loop():
    links, spells = draw_links(np.random.default_rng(4), n_referrers=30)
    for mine, theirs in zip(
        count_at_risk(links, spells), plain_counts(links, spells), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_the_british_doctors():
    """Deaths from coronary disease of smokers and others (Doll and Hill 1966).

    Stata gives for rates 1.424682 (1.154703 to 1.757784), the common ratio and its
    test-based limits by Greenland and Robins. Years times a million: then a death is
    rare in each of them, as for rates.
    """
    a1, n1, a0, n0 = np.array(
        [[32, 104, 206, 186, 102], [52407, 43248, 28612, 12663, 5317],
         [2, 12, 28, 28, 31], [18790, 10673, 5710, 2585, 1462]], dtype=float
    )  # fmt: skip
    ratio, variance = common_ratio(AtRisk(a1, n1 * 1e6, a0, n0 * 1e6))
    reach = 1.959964 * math.sqrt(variance)
    assert ratio == pytest.approx(1.424682, abs=1e-6)
    assert math.exp(math.log(ratio) - reach) == pytest.approx(1.154703, abs=1e-6)
    assert math.exp(math.log(ratio) + reach) == pytest.approx(1.757784, abs=1e-6)


def test_one_stratum_is_the_ratio_of_two_shares():
    # var ln(RR) = 1/4 - 1/40 + 1/6 - 1/30.
    ratio, variance = common_ratio(AtRisk(*np.array([[4.0], [40], [6], [30]])))
    assert ratio == pytest.approx((4 / 40) / (6 / 30))
    assert variance == pytest.approx(1 / 4 - 1 / 40 + 1 / 6 - 1 / 30)


def test_the_robust_variance_is_that_of_sums_over_referrers():
    links, spells = draw_links(
        np.random.default_rng(8), n_referrers=60, alike=True, hazard=0.05
    )
    a1, n1, a0, n0 = plain_counts(links, spells)
    n = np.maximum(n1 + n0, 1)
    top, ratio = (a1 * n0 / n).sum(), (a1 * n0 / n).sum() / (a0 * n1 / n).sum()
    base = (a1 + a0) / np.maximum(ratio * n1 + n0, 1e-9)
    sums = np.zeros(60)
    for i, (s, c, exit_age, has_event) in enumerate(zip(*links, strict=True)):
        mine = spells.link == i
        for age in range(1, exit_age + 1):
            inside = (spells.from_age[mine] <= age) & (age <= spells.to_age[mine])
            hit = has_event and age == exit_age
            if inside.any():
                sums[c] += (hit - ratio * base[s, age]) * n0[s, age] / n[s, age]
            else:
                sums[c] -= (hit - base[s, age]) * ratio * n1[s, age] / n[s, age]
    assert sums.sum() == pytest.approx(0, abs=1e-9)
    shared = (sums**2).sum() * 60 / 59 / top**2
    assert shared > common_ratio(AtRisk(a1, n1, a0, n0))[1]
    found = hazard_ratio(links, spells)
    assert found.value == pytest.approx(ratio)
    reach = stats.norm.ppf(0.975) * math.sqrt(shared)
    assert found.high == pytest.approx(ratio * math.exp(reach))
    p = 2 * stats.norm.sf(abs(math.log(ratio)) / math.sqrt(shared))
    assert found.p_value == pytest.approx(p)


def test_the_order_of_links_does_not_matter():
    links, spells = draw_links(np.random.default_rng(10), n_referrers=40)
    order = np.random.default_rng(1).permutation(links.stratum.size)
    place = np.argsort(order)
    moved = Links(*(c[order] for c in links))
    turned = Spells(place[spells.link][::-1], spells.from_age[::-1],
                    spells.to_age[::-1])  # fmt: skip
    assert hazard_ratio(moved, turned) == pytest.approx(hazard_ratio(links, spells))


def test_without_events_in_a_state_there_is_no_ratio():
    links = Links(*(np.array(c) for c in ([0, 0], [0, 1], [3, 4], [True, False])))
    spells = Spells(*(np.array([v]) for v in (0, 1, 3)))
    assert all(math.isnan(v) for v in hazard_ratio(links, spells))
    # One of one left on the same day in both states: nothing to learn an error from.
    links = Links(*(np.array(c) for c in ([0, 0], [0, 1], [3, 3], [True, True])))
    found = hazard_ratio(links, spells)
    assert found.value == 1.0
    assert all(math.isnan(v) for v in found[1:])
    nobody = np.zeros(0, dtype=int)
    nothing = hazard_ratio(Links(*[nobody] * 4), Spells(*[nobody] * 3))
    assert math.isnan(nothing.value)


# Chance alone, and known effects ----------------------------------------------------


def draw_pairs(rng, *, effect=0.0, n=500):
    """Draw links, several of a referrer, with an outcome at both ends."""
    cluster = rng.integers(0, 300, n)
    stratum = rng.integers(0, 12, n)
    owner = (rng.random(300) < 0.35)[cluster]
    mine = rng.random(n) < 0.2 + 0.02 * stratum + effect * owner
    return stratum, cluster, owner, mine


def test_chance_alone_is_reported_at_the_nominal_rate_along_links():
    """Links shuffled within strata of one shop with an effect, 200 times."""
    rng = np.random.default_rng(21)
    stratum, _, owner, mine = draw_pairs(rng, effect=0.2, n=1500)
    order = np.argsort(stratum, kind="stable")
    false = 0
    for _ in range(200):
        drawn = np.empty_like(mine)
        drawn[order] = mine[np.lexsort((rng.random(mine.size), stratum))]
        false += p_of_rows(stratum, owner, drawn) < 0.05
    assert 4 <= false <= 17, false  # 2 % to 8.5 %


def test_a_known_difference_along_links_is_found_and_covered():
    rng = np.random.default_rng(22)
    covered = found = 0
    for _ in range(300):
        stratum, cluster, owner, mine = draw_pairs(rng, effect=0.15)
        one = linked_difference(
            mine, referrer_has_it=owner, stratum=stratum, cluster=cluster
        )
        covered += one.low <= 0.15 <= one.high
        found += p_of_rows(stratum, owner, mine) < 0.05
    assert 0.92 <= covered / 300 <= 0.98, covered
    assert found / 300 > 0.8, found


@pytest.mark.parametrize("alike", [False, True])
def test_chance_alone_is_no_ratio_of_hazards(alike):
    """Referees whose hazard has nothing to do with the referrer, 200 times."""
    rng = np.random.default_rng(23)
    false = sum(
        hazard_ratio(*draw_links(rng, alike=alike)).p_value < 0.05 for _ in range(200)
    )
    assert 4 <= false <= 17, false  # 2 % to 8.5 %


def test_a_known_ratio_of_hazards_is_found_and_covered():
    rng = np.random.default_rng(24)
    covered = found = 0
    for _ in range(300):
        one = hazard_ratio(*draw_links(rng, ratio=0.6))
        covered += one.low <= 0.6 <= one.high
        found += one.p_value < 0.05 and one.high < 1
    assert 0.92 <= covered / 300 <= 0.98, covered
    assert found / 300 > 0.8, found
