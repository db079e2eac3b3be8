"""The ledger: closed forms, brute force, and the law that it adds up."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfloop.core.errors import SettingError
from selfloop.kernels.credit import split_orders
from selfloop.kernels.forest import generations
from selfloop.kernels.ledger import (
    Ledger,
    direct_value,
    ledger,
    ledger_by_level,
    network_value,
    passed_up,
)
from selfloop.kernels.network import (
    break_cycles,
    mean_generation,
    topological_order,
)

MILLION = 1_000_000
RULES = ["halving", "shapley"]


def forest_ledger(parent, own, *, rule="halving"):
    """Return the ledger of a forest."""
    linked = np.flatnonzero(parent >= 0)
    generation, _ = generations(parent)
    return ledger(
        parent[linked],
        linked,
        weight=np.ones(linked.size),
        own_value=np.asarray(own, dtype=float),
        tau=passed_up(generation, rule=rule),
    )


def check_adds_up(book: Ledger, own) -> None:
    """Check the two sums of the design, relative to the money that moves."""
    scale = max(np.abs(own).sum(), 1e-300)
    assert abs(book.total_value.sum() - own.sum()) <= 1e-9 * scale
    assert abs(book.social_value.sum() - book.given_value.sum()) <= 1e-9 * scale


money = st.floats(-1e6, 1e6, allow_subnormal=False)


@st.composite
def forests_with_money(draw, max_people=25):
    n = draw(st.integers(1, max_people))
    parent = np.array([draw(st.integers(-1, v - 1)) for v in range(n)])
    own = np.array([draw(money) for _ in range(n)])
    rename = np.array(draw(st.permutations(range(n))))
    moved, moved_own = np.full(n, -1), np.zeros(n)
    moved[rename] = np.where(parent >= 0, rename[parent], -1)
    moved_own[rename] = own
    return moved, moved_own


@st.composite
def networks_with_money(draw, max_people=15):
    """Draw people with several weighted referrers, without rings."""
    n = draw(st.integers(1, max_people))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    pairs = [(a, b) for b in range(n) for a in range(b) if rng.random() < 0.3]
    rename = rng.permutation(n)
    referrer = rename[np.array([a for a, _ in pairs], dtype=int)]
    referee = rename[np.array([b for _, b in pairs], dtype=int)]
    weight = rng.random(referrer.size) + 0.01
    weight /= np.bincount(referee, weight, n)[referee]
    own = np.array([draw(money) for _ in range(n)])
    return referrer, referee, weight, own


# By hand ---------------------------------------------------------------------


def test_halving_by_hand():
    # 0 brings 1, 1 brings 2 and 3. Own: 10, 20, 40, 80.
    # F2 = 40, F3 = 80, inflow of 1 = (40 + 80) / 2 = 60, F1 = 20 + 60 = 80,
    # inflow of 0 = 40, F0 = 50.
    book = forest_ledger(np.array([-1, 0, 1, 1]), [10, 20, 40, 80])
    assert book.flow.tolist() == [50, 80, 40, 80]
    assert book.social_value.tolist() == [40, 30, 0, 0]
    assert book.given_value.tolist() == [0, 10, 20, 40]
    assert book.total_value.tolist() == [50, 40, 20, 40]  # 150 in all, as own


def test_shapley_by_hand():
    # The same people: 0 spends 10, kept. 20 of 1 is split over 1 and 0; 40 of 2 over
    # 2, 1 and 0; 80 of 3 over 3, 1 and 0.
    book = forest_ledger(np.array([-1, 0, 1, 1]), [10, 20, 40, 80], rule="shapley")
    expected = [10 + 10 + 40, 10 + 40, 40 / 3, 80 / 3]
    assert book.total_value == pytest.approx(expected)
    assert book.social_value == pytest.approx([50, 40, 0, 0])


def test_two_referrers_by_hand():
    # 0 and 1 brought 2 with weights 3/4 and 1/4; 2 spends 100 and passes up half.
    book = ledger(
        np.array([0, 1]),
        np.array([2, 2]),
        weight=np.array([0.75, 0.25]),
        own_value=np.array([0.0, 8.0, 100.0]),
        tau=np.array([0.0, 0.0, 0.5]),
    )
    assert book.social_value.tolist() == [37.5, 12.5, 0]
    assert book.total_value.tolist() == [37.5, 20.5, 50]


def test_a_refund_is_shared_like_an_order():
    book = forest_ledger(np.array([-1, 0]), [10, -6])
    assert book.social_value.tolist() == [-3, 0]
    assert book.total_value.tolist() == [7, -3]


def test_nobody_and_nobody_referred():
    book = forest_ledger(np.zeros(0, dtype=int), [])
    assert book.total_value.size == 0
    book = forest_ledger(np.array([-1, -1]), [5, 7])
    assert book.total_value.tolist() == book.flow.tolist() == [5, 7]
    assert book.social_value.tolist() == book.given_value.tolist() == [0, 0]


def test_shares_passed_up():
    assert passed_up([0, 1, 2, 9]).tolist() == [0, 0.5, 0.5, 0.5]
    shapley = passed_up([0, 1, 2, 9], rule="shapley")
    assert shapley == pytest.approx([0, 1 / 2, 2 / 3, 9 / 10])
    with pytest.raises(SettingError, match="got 'equal'"):
        passed_up([0], rule="equal")
    assert passed_up([0, 1, 9], rule="geometric", beta=0.3).tolist() == [0, 0.3, 0.3]
    # One referred person in five would have come anyway: four fifths go up.
    assert passed_up([0, 3], incrementality=0.8).tolist() == [0, 0.4]
    capped = passed_up([0, 1, 2, 9], rule="shapley", levels_left=2)
    assert capped == pytest.approx([0, 1 / 2, 2 / 3, 2 / 3])
    assert passed_up([0, 5], levels_left=0).tolist() == [0, 0]
    for wrong in ({"beta": 1.1}, {"incrementality": -0.1}, {"levels_left": -1}):
        with pytest.raises(SettingError, match=next(iter(wrong))):
            passed_up([0, 1], **wrong)


# Closed forms ----------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 5, 12])
def test_binary_tree(depth):
    # Everybody spends 1 and brings two. Halving: F = 1 + 2 * F(child) / 2, so F is the
    # height + 1. Shapley: the root gets 2^d / (d + 1) from generation d.
    n = 2 ** (depth + 1) - 1
    parent = (np.arange(n) + 1) // 2 - 1
    generation, _ = generations(parent)
    book = forest_ledger(parent, np.ones(n))
    assert book.flow.tolist() == (depth - generation + 1.0).tolist()
    assert book.total_value[0] == depth + 1
    book = forest_ledger(parent, np.ones(n), rule="shapley")
    assert book.total_value[0] == pytest.approx(
        sum(2**d / (d + 1) for d in range(depth + 1))
    )


def test_a_chain_of_a_million():
    # Only the last spends, 2^40. Halving: 2^(39 - j) to the person j links up, all
    # but nothing to the root. Shapley: one millionth to everybody.
    parent = np.arange(-1, MILLION - 1)
    own = np.zeros(MILLION)
    own[-1] = 2.0**40
    book = forest_ledger(parent, own)
    assert book.total_value[::-1][:40].tolist() == [2.0 ** (39 - j) for j in range(40)]
    assert book.total_value[0] == 0.0
    check_adds_up(book, own)
    book = forest_ledger(parent, own, rule="shapley")
    np.testing.assert_allclose(book.total_value, 2.0**40 / MILLION, rtol=1e-9)
    check_adds_up(book, own)


@pytest.mark.parametrize("rule", RULES)
def test_a_star_of_a_million(rule):
    own = np.ones(MILLION)
    book = forest_ledger(np.where(np.arange(MILLION) == 0, -1, 0), own, rule=rule)
    assert book.total_value[0] == pytest.approx(1 + (MILLION - 1) / 2)
    assert (book.total_value[1:] == 0.5).all()
    check_adds_up(book, own)


def test_a_deep_network_of_several_referrers():
    # Each is brought half by the one before, half by the one before that.
    n = 100_000
    referrer = np.concatenate([np.arange(n - 1), np.arange(n - 2)])
    referee = np.concatenate([np.arange(1, n), np.arange(2, n)])
    weight = 1.0 / np.bincount(referee, minlength=n)[referee]
    order = topological_order(referrer, referee, n_people=n)
    d = mean_generation(referrer, referee, weight=weight, order=order)
    own = np.random.default_rng(5).gamma(1.0, 100.0, n)
    for rule in RULES:
        book = ledger(
            referrer,
            referee,
            weight=weight,
            own_value=own,
            tau=passed_up(d, rule=rule),
            order=order,
        )
        check_adds_up(book, own)
        assert (book.social_value[:-1] > 0).all()
        assert book.social_value[-1] == 0


# Laws ------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
@given(case=forests_with_money())
def test_forests_add_up(case, rule):
    parent, own = case
    book = forest_ledger(parent, own, rule=rule)
    check_adds_up(book, own)
    generation, _ = generations(parent)
    tau = passed_up(generation, rule=rule)
    expected = (1 - tau) * book.flow
    assert book.total_value == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(case=networks_with_money(), seed=st.integers(0, 999))
def test_weighted_networks_add_up_under_any_shares(case, seed):
    referrer, referee, weight, own = case
    tau = np.random.default_rng(seed).random(own.size)
    tau[np.setdiff1d(np.arange(own.size), referee)] = 0.0
    before = own.copy()
    book = ledger(referrer, referee, weight=weight, own_value=own, tau=tau)
    check_adds_up(book, own)
    assert own.tolist() == before.tolist()  # inputs stay as they are
    # F = (I - M)^-1 r, as the formula is written.
    matrix = np.zeros((own.size, own.size))
    matrix[referrer, referee] = weight * tau[referee]
    flow = np.linalg.solve(np.eye(own.size) - matrix, own)
    assert book.flow == pytest.approx(flow, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("rule", RULES)
@given(case=forests_with_money(), factor=st.sampled_from([-1.0, 0.25, 1024.0]))
def test_money_times_k_is_value_times_k(case, factor, rule):
    parent, own = case
    book = forest_ledger(parent, own, rule=rule)
    scaled = forest_ledger(parent, factor * own, rule=rule)
    for name in ("flow", "social_value", "given_value", "total_value"):
        ours, theirs = factor * getattr(book, name), getattr(scaled, name)
        assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("rule", RULES)
@given(case=forests_with_money(), bystander=money)
def test_a_bystander_changes_nobody(case, bystander, rule):
    parent, own = case
    book = forest_ledger(parent, own, rule=rule)
    more = forest_ledger(np.append(parent, -1), np.append(own, bystander), rule=rule)
    assert more.total_value[:-1].tolist() == book.total_value.tolist()
    assert more.total_value[-1] == bystander


@given(case=networks_with_money(), seed=st.integers(0, 99))
def test_order_of_rows_and_names_do_not_matter(case, seed):
    referrer, referee, weight, own = case
    rng = np.random.default_rng(seed)
    rows, rename = rng.permutation(referrer.size), rng.permutation(own.size)
    tau = np.zeros(own.size)
    tau[referee] = 0.5
    own_again, tau_again = np.empty_like(own), np.empty_like(tau)
    own_again[rename], tau_again[rename] = own, tau
    book = ledger(referrer, referee, weight=weight, own_value=own, tau=tau)
    again = ledger(
        rename[referrer][rows],
        rename[referee][rows],
        weight=weight[rows],
        own_value=own_again,
        tau=tau_again,
    )
    expected = pytest.approx(book.total_value, rel=1e-9, abs=1e-6)
    assert again.total_value[rename] == expected


def shapley_brute_force(parent, own):
    """Average the marginal contributions over all coalitions of the others."""
    n = len(own)
    chains = []
    for v in range(n):
        chain, up = {v}, parent[v]
        while up >= 0:
            chain.add(up)
            up = parent[up]
        chains.append(chain)

    def worth(people):
        return sum(own[v] for v in range(n) if chains[v] <= people)

    value = np.zeros(n)
    for v in range(n):
        others = [u for u in range(n) if u != v]
        for size in range(n):
            for group in combinations(others, size):
                gain = worth({*group, v}) - worth(set(group))
                value[v] += gain / (n * comb(n - 1, size))
    return value


@pytest.mark.parametrize("seed", range(12))
def test_shapley_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    n = 1 + seed % 8
    parent = np.array([-1, *(rng.integers(-1, v) for v in range(1, n))])
    own = rng.normal(50, 40, n)
    book = forest_ledger(parent, own, rule="shapley")
    assert book.total_value == pytest.approx(shapley_brute_force(parent, own))


# Values that do not add up ---------------------------------------------------


def test_direct_and_network_value_by_hand():
    parent = np.array([-1, 0, 1, 1])
    own = np.array([10.0, 20.0, 40.0, -5.0])
    generation, _ = generations(parent)
    linked = np.flatnonzero(parent >= 0)
    direct = direct_value(parent[linked], linked, own_value=own)
    assert direct.tolist() == [20, 35, 0, 0]
    everybody = network_value(parent, generation, own_value=own)
    assert everybody.tolist() == [55, 35, 0, 0]


@given(case=forests_with_money())
def test_network_value_counts_an_order_once_per_generation(case):
    parent, own = case
    generation, _ = generations(parent)
    value = network_value(parent, generation, own_value=own)
    scale = (generation * np.abs(own)).sum()
    assert abs(value.sum() - (generation * own).sum()) <= 1e-9 * max(scale, 1.0)
    linked = np.flatnonzero(parent >= 0)
    direct = direct_value(parent[linked], linked, own_value=own)
    assert direct.sum() == pytest.approx(own[linked].sum(), abs=1e-6)


# Bad input -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": [1.0, 0.4, 0.4]}, "weights of 1 referees do not sum to 1"),
        ({"weight": [1.0, 1.5, -0.5]}, "weights must be 0 or more"),
        ({"weight": [1.0, np.nan, 0.5]}, "weights must be 0 or more"),
        ({"weight": [1.0]}, "3 links need as many weights"),
        ({"tau": [0.0, 1.5, 0.5]}, "must lie in 0 to 1"),
        ({"tau": [0.0, np.nan, 0.5]}, "must lie in 0 to 1"),
        ({"tau": [0.5, 0.5, 0.5]}, "1 people whom nobody referred"),
        ({"tau": [0.0]}, "as many shares"),
        ({"own_value": [1.0, np.nan, np.inf]}, "2 own values are missing"),
        ({"referee": [1, 2, 0]}, "rings"),
        ({"referee": [1, 2, 3]}, "outside 0 to 2"),
    ],
)
def test_input_that_would_not_add_up_is_refused(change, message):
    case = {
        "referrer": [0, 0, 1],
        "referee": [1, 2, 2],
        "weight": [1.0, 0.5, 0.5],
        "own_value": [1.0, 2.0, 3.0],
        "tau": [0.0, 0.5, 0.5],
    } | change
    arrays = {name: np.array(value) for name, value in case.items()}
    if message == "rings":
        arrays["referrer"] = np.array([0, 1, 2])
    with pytest.raises(ValueError, match=message):
        ledger(arrays.pop("referrer"), arrays.pop("referee"), **arrays)


# Levels, windows, single orders ----------------------------------------------


SHARES = [
    {"rule": "halving"}, {"rule": "shapley"}, {"rule": "geometric", "beta": 0.3},
    {"rule": "halving", "incrementality": 0.6},
    {"rule": "shapley", "incrementality": 0.6},
]  # fmt: skip


def depth_of(referrer, referee, weight, n):
    order = topological_order(referrer, referee, n_people=n)
    return mean_generation(referrer, referee, weight=weight, order=order)


def level_shares(depth, n_levels, **how):
    """Shares by level when only so many levels up get a part."""
    return [passed_up(depth, levels_left=n_levels - j, **how) for j in range(n_levels)]


def test_two_levels_by_hand():
    # 0 brings 1 brings 2 brings 3; 3 spends 96. Halving up to two levels above: 3
    # keeps 48, 2 keeps 24, 1 has the rest, 24. Shapley: 32 each.
    referrer, referee, n = np.array([0, 1, 2]), np.array([1, 2, 3]), 4
    own = np.array([0.0, 0.0, 0.0, 96.0])
    depth = np.arange(4)
    book = ledger_by_level(
        referrer, referee, weight=np.ones(3), own_value=own,
        tau=level_shares(depth, 2),
    )  # fmt: skip
    assert book.total_value.tolist() == [0, 24, 24, 48]
    book = ledger_by_level(
        referrer, referee, weight=np.ones(3), own_value=own,
        tau=level_shares(depth, 2, rule="shapley"),
    )  # fmt: skip
    assert book.total_value == pytest.approx([0, 32, 32, 32])
    assert book.given_value == pytest.approx([0, 0, 0, 64])
    assert book.flow == pytest.approx([0, 32, 64, 96])
    assert n == own.size


def test_a_window_by_hand():
    # 1 spends 100, of which 60 soon after 0 brought them; half of these goes up.
    book = ledger(
        np.array([0]), np.array([1]), weight=np.ones(1),
        own_value=np.array([10.0, 100.0]), tau=np.array([0.0, 0.5]),
        link_value=np.array([60.0]),
    )  # fmt: skip
    assert book.given_value.tolist() == [0, 30]
    assert book.social_value.tolist() == [30, 0]
    assert book.total_value.tolist() == [40, 70]
    for wrong in (np.array([1.0, 2.0]), np.array([np.nan])):
        with pytest.raises(ValueError, match="1 links need as many finite link values"):
            ledger(
                np.array([0]), np.array([1]), weight=np.ones(1),
                own_value=np.ones(2), tau=np.array([0.0, 0.5]), link_value=wrong,
            )  # fmt: skip


@pytest.mark.parametrize("how", SHARES, ids=lambda how: str(list(how.values())))
@given(
    case=networks_with_money(),
    n_levels=st.integers(0, 5),
    share=st.floats(0, 1),
)
def test_levels_and_windows_add_up(case, how, n_levels, share):
    referrer, referee, weight, own = case
    depth = depth_of(referrer, referee, weight, own.size)
    args = {"weight": weight, "own_value": own, "link_value": share * own[referee]}
    shares = level_shares(depth, n_levels, **how)
    book = ledger_by_level(referrer, referee, tau=shares, **args)
    check_adds_up(book, own)
    book = ledger(referrer, referee, tau=passed_up(depth, **how), **args)
    check_adds_up(book, own)


@pytest.mark.parametrize("how", SHARES, ids=lambda how: str(list(how.values())))
@given(case=forests_with_money())
def test_as_many_levels_as_there_are_is_no_limit(case, how):
    parent, own = case
    linked = np.flatnonzero(parent >= 0)
    generation, _ = generations(parent)
    n_levels = int(generation.max(initial=0)) + 1
    args = {"weight": np.ones(linked.size), "own_value": own}
    tau = passed_up(generation, **how)
    whole = ledger(parent[linked], linked, tau=tau, **args)
    limited = ledger_by_level(
        parent[linked], linked, tau=level_shares(generation, n_levels, **how), **args
    )
    scale = 1 + np.abs(own).sum()
    for name in ("flow", "social_value", "given_value", "total_value"):
        np.testing.assert_allclose(
            getattr(limited, name), getattr(whole, name), rtol=1e-9, atol=1e-9 * scale
        )


def brute_shares(parent, buyer, how, n_levels):
    """Share of an order that each person of the chain gets, walked link by link."""
    found, left, person, level = {}, 1.0, buyer, 0
    generation, _ = generations(parent)
    while True:
        up = min(generation[person], n_levels - level)
        rule, theta = how["rule"], how.get("incrementality", 1.0)
        pass_on = {
            "halving": 0.5, "geometric": how.get("beta", 0.5),
            "shapley": up / (up + 1),
        }[rule] * theta * (up > 0)  # fmt: skip
        found[person] = left * (1 - pass_on)
        left *= pass_on
        if left == 0:
            return found
        person, level = parent[person], level + 1


@pytest.mark.parametrize("how", SHARES, ids=lambda how: str(list(how.values())))
@given(case=forests_with_money(max_people=12), n_levels=st.integers(0, 4))
def test_levels_are_what_walking_up_gives(case, how, n_levels):
    parent, own = case
    linked = np.flatnonzero(parent >= 0)
    generation, _ = generations(parent)
    book = ledger_by_level(
        parent[linked], linked, weight=np.ones(linked.size), own_value=own,
        tau=level_shares(generation, n_levels, **how),
    )  # fmt: skip
    expected = np.zeros(own.size)
    for buyer in range(own.size):
        for person, share in brute_shares(parent, buyer, how, n_levels).items():
            expected[person] += share * own[buyer]
    scale = 1 + np.abs(own).sum()
    np.testing.assert_allclose(book.total_value, expected, atol=1e-9 * scale)


@pytest.mark.parametrize("how", SHARES, ids=lambda how: str(list(how.values())))
@given(case=networks_with_money(), seed=st.integers(0, 999))
def test_parts_of_orders_sum_to_the_orders_and_to_the_ledger(case, how, seed):
    referrer, referee, weight, own = case
    n = own.size
    rng = np.random.default_rng(seed)
    buyer = rng.integers(0, n, 30)
    value = rng.normal(20, 30, 30)
    time, open_until = rng.integers(0, 9, 30), rng.integers(0, 9, referrer.size)
    own = np.bincount(buyer, value, n)
    tau = passed_up(depth_of(referrer, referee, weight, n), **how)
    parts = split_orders(
        referrer, referee, weight=weight, tau=lambda _: tau, buyer=buyer,
        value=value, time=time, open_until=open_until,
    )  # fmt: skip
    np.testing.assert_allclose(
        np.bincount(parts.order, parts.value, 30), value, rtol=1e-12, atol=1e-9
    )
    soon = np.array([
        value[(buyer == u) & (time <= until)].sum()
        for u, until in zip(referee, open_until, strict=True)
    ])  # fmt: skip
    book = ledger(
        referrer, referee, weight=weight, own_value=own, tau=tau, link_value=soon
    )
    is_buyer = parts.level == 0
    keeps = np.bincount(parts.person[is_buyer], parts.value[is_buyer], n)
    gets = np.bincount(parts.person[~is_buyer], parts.value[~is_buyer], n)
    np.testing.assert_allclose(keeps, own - book.given_value, atol=1e-8)
    np.testing.assert_allclose(gets, book.social_value, atol=1e-8)
    places = list(zip(parts.order, parts.level, parts.person, strict=True))
    assert places == sorted(set(places))


def test_no_orders_have_no_parts():
    none = np.empty(0, dtype=np.int64)
    parts = split_orders(
        none, none, weight=np.empty(0), tau=lambda _: np.zeros(3), buyer=none,
        value=np.empty(0),
    )  # fmt: skip
    assert parts.order.size == parts.value.size == 0


@settings(max_examples=60)
@given(data=st.data())
def test_what_is_left_of_rings_adds_up(data):
    """Any links at all, rings cut: with weights, levels and a window, to 1e-9."""
    n = data.draw(st.integers(2, 14))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    pairs = [(a, b) for a in range(n) for b in range(n) if a != b]
    dense = data.draw(st.sampled_from([0.05, 0.4]))
    chosen = [pair for pair in pairs if rng.random() < dense]
    referrer = np.array([a for a, _ in chosen], dtype=int)
    referee = np.array([b for _, b in chosen], dtype=int)
    keep = break_cycles(referrer, referee, time=rng.permutation(referrer.size))
    referrer, referee = referrer[keep], referee[keep]
    weight = rng.random(referrer.size) + 0.01
    weight /= np.bincount(referee, weight, n)[referee]
    own = np.round(rng.gamma(0.5, 100, n), 2)
    links = {
        "referrer": referrer, "referee": referee, "weight": weight, "own_value": own,
        "link_value": own[referee] * rng.random(referrer.size),
    }  # fmt: skip
    order = topological_order(referrer, referee, n_people=n)
    depth = mean_generation(referrer, referee, weight=weight, order=order)
    for rule in ("halving", "shapley", "geometric"):
        share = passed_up(depth, rule=rule, beta=0.3, incrementality=0.8)
        whole = ledger(**links, tau=share, order=order)
        by_level = ledger_by_level(**links, tau=[share] * 2)
        for book in (whole, by_level):
            assert book.total_value.sum() == pytest.approx(own.sum(), rel=1e-9)
            assert book.social_value.sum() == pytest.approx(
                book.given_value.sum(), rel=1e-9, abs=1e-12
            )
