"""Forests: by hand, brute force, closed forms, a real tree, and extreme shapes."""

import csv
from datetime import date
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfloop.kernels import forest
from selfloop.kernels.forest import (
    break_rings,
    by_generation,
    descendants,
    generations,
    subtree_depth,
    subtree_sum,
    tree_stats,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"
MILLION = 1_000_000


@st.composite
def forests(draw, max_people=30):
    """Draw a forest whose numbers do not follow its generations."""
    n = draw(st.integers(1, max_people))
    parent = np.array([draw(st.integers(-1, v - 1)) for v in range(n)])
    rename = np.array(draw(st.permutations(range(n))))
    renamed = np.full(n, -1)
    renamed[rename] = np.where(parent >= 0, rename[parent], -1)
    return renamed


def chain(n):
    return np.arange(-1, n - 1)


def star(n):
    return np.where(np.arange(n) == 0, -1, 0)


def ancestors(parent, v):
    """List everybody above a person, nearest first."""
    above = []
    while parent[v] >= 0:
        v = parent[v]
        above.append(v)
    return above


def stats_of(parent, *, is_buyer=None, value=None):
    n = parent.size
    generation, root = generations(parent)
    return tree_stats(
        parent,
        root,
        generation=generation,
        is_buyer=np.ones(n, dtype=bool) if is_buyer is None else is_buyer,
        value=np.ones(n) if value is None else value,
    )


# Generations -----------------------------------------------------------------


def test_six_people_by_hand():
    #   4        1
    #  / \       |
    # 0   2      3
    #     |
    #     5
    parent = np.array([4, -1, 4, 1, -1, 2])
    generation, root = generations(parent)
    assert generation.tolist() == [1, 0, 1, 1, 0, 2]
    assert root.tolist() == [4, 1, 4, 1, 4, 4]
    assert generation.dtype == root.dtype == np.int32
    assert by_generation(generation).tolist() == [1, 4, 0, 2, 3, 5]
    assert descendants(parent, generation).tolist() == [0, 1, 1, 0, 3, 0]
    assert subtree_depth(parent, generation).tolist() == [0, 1, 1, 0, 2, 0]
    value = np.array([1, 2, 3, 4, 5, 6])
    assert subtree_sum(parent, generation, value=value).tolist() == [
        1, 6, 9, 4, 15, 6,
    ]  # fmt: skip


def test_nobody():
    none = np.zeros(0, dtype=np.int32)
    generation, root = generations(none)
    assert generation.size == root.size == descendants(none, generation).size == 0
    assert stats_of(none).root.size == 0
    parent, cut = break_rings(none, none)
    assert parent.size == cut.size == 0


@given(parent=forests())
def test_generation_and_root_equal_walking_up(parent):
    generation, root = generations(parent)
    for v in range(parent.size):
        above = ancestors(parent, v)
        assert generation[v] == len(above)
        assert root[v] == (above[-1] if above else v)


@pytest.mark.parametrize("max_levels", [forest.MAX_LEVELS, -1])  # levels, doubling
@given(parent=forests(), seed=st.integers(0, 999))
def test_sums_and_depths_equal_walking_up(parent, seed, max_levels):
    value = np.random.default_rng(seed).integers(-50, 50, parent.size)
    reach, depth = np.zeros(parent.size, int), np.zeros(parent.size, int)
    total = value.copy()
    for v in range(parent.size):
        for steps, above in enumerate(ancestors(parent, v), start=1):
            reach[above] += 1
            total[above] += value[v]
            depth[above] = max(depth[above], steps)
    generation, _ = generations(parent)
    before = parent.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forest, "MAX_LEVELS", max_levels)
        assert descendants(parent, generation).tolist() == reach.tolist()
        assert subtree_depth(parent, generation).tolist() == depth.tolist()
        sums = subtree_sum(parent, generation, value=value)
        assert sums.tolist() == total.tolist()
        halves = subtree_sum(parent, generation, value=value / 2)
        assert halves == pytest.approx(total / 2)
    assert parent.tolist() == before.tolist()  # inputs stay as they are


def test_small_types_do_not_overflow():
    parent = star(1000)
    generation, _ = generations(parent)
    flags = np.ones(1000, dtype=bool)
    assert subtree_sum(parent, generation, value=flags)[0] == 1000
    hundreds = np.full(1000, 100, dtype=np.int8)
    assert subtree_sum(parent, generation, value=hundreds)[0] == 100_000


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="3, 3 and 2 entries"):
        subtree_sum(chain(3), np.arange(3), value=np.ones(2))
    with pytest.raises(ValueError, match="one length"):
        tree_stats(
            chain(3),
            np.zeros(3, int),
            generation=np.arange(3),
            is_buyer=np.ones(3, bool),
            value=np.ones(4),
        )


@pytest.mark.parametrize("wrong", [-2, 3])
def test_numbers_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=rf"outside -1 to 2; first: \[{wrong}\]"):
        generations(np.array([-1, 0, wrong]))
    with pytest.raises(ValueError, match="one dimension"):
        generations(np.array([[-1, 0]]))


# Rings -----------------------------------------------------------------------


def test_a_ring_is_an_error_that_counts():
    # 0 -> 1 -> 2 -> 0 with 3 and 4 below it, 5 <-> 6, 7 alone.
    parent = np.array([2, 0, 1, 1, 3, 6, 5, -1])
    with pytest.raises(ValueError, match=r"^5 people refer .*\(7 people are on rings"):
        generations(parent)


def test_the_latest_link_of_each_ring_is_cut():
    parent = np.array([2, 0, 1, 1, 3, 6, 5, -1])
    time = np.array([30, 10, 20, 99, 99, 1, 2, 99])
    cleared, cut = break_rings(parent, time)
    assert np.flatnonzero(cut).tolist() == [0, 6]
    assert cleared.tolist() == [-1, 0, 1, 1, 3, 6, -1, -1]
    assert parent[0] == 2  # the input stays as it is


def test_ties_go_to_the_largest_number_and_missing_times_are_latest():
    ring = np.array([1, 2, 0])
    assert break_rings(ring, np.zeros(3))[1].tolist() == [False, False, True]
    missing = np.array([5.0, np.nan, 7.0])
    assert break_rings(ring, missing)[1].tolist() == [False, True, False]
    times = np.array(["2026-01-03", "NaT", "2026-01-01"], dtype="datetime64[s]")
    assert break_rings(ring, times)[1].tolist() == [False, True, False]


def test_referring_oneself_is_a_ring_of_one():
    parent, cut = break_rings(np.array([-1, 1, 1]), np.zeros(3))
    assert parent.tolist() == [-1, -1, 1]
    assert cut.tolist() == [False, True, False]


@given(
    parent=st.integers(1, 25).flatmap(
        lambda n: st.lists(st.integers(-1, n - 1), min_size=n, max_size=n)
    ),
    seed=st.integers(0, 999),
)
def test_rings_equal_those_of_networkx(parent, seed):
    parent = np.array(parent)
    time = np.random.default_rng(seed).integers(0, 5, parent.size)
    links = [(int(p), v) for v, p in enumerate(parent) if p >= 0]
    expected = {
        max(ring, key=lambda v: (time[v], v))
        for ring in nx.simple_cycles(nx.DiGraph(links))
    }
    cleared, cut = break_rings(parent, time)
    assert set(np.flatnonzero(cut).tolist()) == expected
    assert cleared.tolist() == np.where(cut, -1, parent).tolist()
    generations(cleared)  # no ring is left


def test_ring_lengths_must_agree():
    with pytest.raises(ValueError, match="parent has 2 entries and time 3"):
        break_rings(np.array([1, 0]), np.zeros(3))


# Trees -----------------------------------------------------------------------


def test_two_trees_by_hand():
    # Tree of 0: 0 - 1, 0 - 2, 2 - 3. Distances: 0-1 1, 0-2 1, 0-3 2, 1-2 2, 1-3 3,
    # 2-3 1: mean 10 / 6. Person 4 is alone.
    trees = stats_of(
        np.array([-1, 0, 0, 2, -1]),
        is_buyer=np.array([True, False, True, True, False]),
        value=np.array([10.0, 0.0, -3.0, 5.0, 0.0]),
    )
    assert trees.root.tolist() == [0, 4]
    assert trees.n_people.tolist() == [4, 1]
    assert trees.n_buyers.tolist() == [3, 0]
    assert trees.depth.tolist() == [2, 0]
    assert trees.structural_virality[0] == pytest.approx(10 / 6)
    assert np.isnan(trees.structural_virality[1])
    assert trees.value.tolist() == [12.0, 0.0]
    assert trees.value_root.tolist() == [10.0, 0.0]


@given(n=st.integers(2, 3000))
def test_virality_of_stars_and_chains(n):
    assert stats_of(star(n)).structural_virality[0] == pytest.approx(2 * (n - 1) / n)
    assert stats_of(chain(n)).structural_virality[0] == pytest.approx((n + 1) / 3)


@settings(max_examples=40)
@given(parent=forests(max_people=60))
def test_virality_equals_the_wiener_index(parent):
    trees = stats_of(parent)
    graph = nx.Graph([(int(p), v) for v, p in enumerate(parent) if p >= 0])
    for root, n, virality in zip(
        trees.root, trees.n_people, trees.structural_virality, strict=True
    ):
        if n > 1:
            people = nx.node_connected_component(graph, root)
            wiener = nx.wiener_index(graph.subgraph(people))
            assert virality == pytest.approx(2 * wiener / (n * (n - 1)))


@pytest.mark.parametrize("shape", [0.2, 0.8, 1.0, 3.0])
def test_virality_of_a_tree_of_500_is_that_of_networkx(shape):
    """From nearly a chain (late ones bring most) to nearly a star."""
    rng = np.random.default_rng(5)
    n = 500
    late = rng.random(n) ** shape
    parent = np.array([-1, *(late[1:] * np.arange(1, n)).astype(int)])
    graph = nx.Graph([(int(p), v) for v, p in enumerate(parent) if p >= 0])
    mean = 2 * nx.wiener_index(graph) / (n * (n - 1))
    assert stats_of(parent).structural_virality[0] == pytest.approx(mean, rel=1e-12)


@given(parent=forests())
def test_trees_account_for_everybody(parent):
    rng = np.random.default_rng(parent.size)
    value = rng.normal(size=parent.size)
    is_buyer = rng.random(parent.size) < 0.5
    trees = stats_of(parent, is_buyer=is_buyer, value=value)
    assert trees.n_people.sum() == parent.size
    assert trees.n_buyers.sum() == is_buyer.sum()
    assert trees.value.sum() == pytest.approx(value.sum())
    assert trees.value_root == pytest.approx(value[parent < 0])


def hagelloch():
    """Return parent and day of the 188 people of the Hagelloch outbreak."""
    with (FIXTURES / "hagelloch_1861.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    number = {row["case_id"]: v for v, row in enumerate(rows)}
    parent = np.array(
        [number[row["infector"]] if row["infector"] else -1 for row in rows]
    )
    day = [date.fromisoformat(row["date_of_prodrome"]).toordinal() for row in rows]
    return [row["case_id"] for row in rows], parent, np.array(day)


def test_hagelloch():
    # Figures of the data set: measles_hagelloch_1861 of the R package outbreaks.
    names, parent, day = hagelloch()
    generation, _ = generations(parent)
    assert (parent.size, (parent >= 0).sum()) == (188, 184)
    trees = stats_of(parent)
    assert {names[v] for v in trees.root} == {"141", "173", "174", "184"}
    assert sorted(trees.n_people, reverse=True) == [173, 9, 5, 1]
    assert trees.depth.max() == 5
    assert np.bincount(generation).tolist() == [4, 8, 50, 102, 22, 2]
    fanout = np.bincount(parent[parent >= 0], minlength=188)
    assert (fanout > 0).sum() == 62
    assert sorted(fanout, reverse=True)[:5] == [30, 8, 7, 7, 7]
    linked = parent >= 0
    lag = day[linked] - day[parent[linked]]
    assert (lag.min(), np.median(lag), lag.max()) == (7, 10, 16)
    _, cut = break_rings(parent, day)
    assert not cut.any()
    reach = descendants(parent, generation)
    assert reach.sum() == generation.sum()
    assert reach[trees.root].tolist() == (trees.n_people - 1).tolist()


# Extreme shapes --------------------------------------------------------------


def test_a_chain_of_a_million():
    parent = chain(MILLION)
    generation, root = generations(parent)
    assert generation[-1] == MILLION - 1
    assert not root.any()
    countdown = np.arange(MILLION - 1, -1, -1)
    assert np.array_equal(descendants(parent, generation), countdown)
    assert np.array_equal(subtree_depth(parent, generation), countdown)
    virality = stats_of(parent).structural_virality[0]
    assert virality == pytest.approx((MILLION + 1) / 3, rel=1e-9)


def test_a_star_of_a_million():
    parent = star(MILLION)
    generation, _ = generations(parent)
    reach = descendants(parent, generation)
    assert reach[0] == MILLION - 1
    assert not reach[1:].any()
    assert stats_of(parent).depth.tolist() == [1]


def test_a_ring_of_a_million_loses_one_link():
    parent = np.roll(np.arange(MILLION), 1)
    time = np.random.default_rng(3).permutation(MILLION)
    cleared, cut = break_rings(parent, time)
    assert np.flatnonzero(cut).tolist() == [time.argmax()]
    generation, _ = generations(cleared)
    assert generation.max() == MILLION - 1
