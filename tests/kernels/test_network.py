"""Several referrers per person: the rule for rings, order, weighted sums."""

import csv
from collections import Counter
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from selfloop.kernels import network
from selfloop.kernels.forest import break_rings, generations
from selfloop.kernels.network import (
    break_cycles,
    collect,
    mean_generation,
    primary_parent,
    topological_order,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"


@st.composite
def links(draw, max_people=12, max_links=40, max_time=40):
    """Draw links between people, rings and doubled links included."""
    n = draw(st.integers(1, max_people))
    m = draw(st.integers(0, max_links))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    times = rng.integers(0, draw(st.integers(1, max_time)), m)
    return rng.integers(0, n, m), rng.integers(0, n, m), times, n


def even_weights(referee, n):
    return 1.0 / np.bincount(referee, minlength=n)[referee]


# Rings -----------------------------------------------------------------------


def test_two_rings_by_hand():
    # 0 -> 1 (1), 1 -> 2 (2), 2 -> 0 (3) closes; 2 -> 3 (4), 3 -> 1 (5) closes;
    # 3 -> 4 (6) is on no ring.
    referrer = np.array([0, 1, 2, 2, 3, 3])
    referee = np.array([1, 2, 0, 3, 1, 4])
    keep = break_cycles(referrer, referee, time=np.arange(1, 7))
    assert keep.tolist() == [True, True, False, True, False, True]


def test_pairs_self_links_ties_and_missing_times():
    keep = break_cycles(np.array([0, 1]), np.array([1, 0]), time=np.array([9, 3]))
    assert keep.tolist() == [False, True]
    keep = break_cycles(np.array([0, 1]), np.array([1, 0]), time=np.array([4, 4]))
    assert keep.tolist() == [True, False]
    day = np.array(["NaT", "2026-02-01"], dtype="datetime64[D]")
    assert break_cycles(np.array([0, 1]), np.array([1, 0]), time=day).tolist() == [
        False,
        True,
    ]
    alone = np.array([5])
    assert break_cycles(alone, alone, time=alone).tolist() == [False]
    none = np.zeros(0, dtype=int)
    assert break_cycles(none, none, time=none).size == 0


@given(network_=links())
def test_a_link_goes_if_the_referee_already_led_to_the_referrer(network_):
    referrer, referee, time, n = network_
    graph = nx.DiGraph()
    graph.add_nodes_from(range(n))
    expected = np.ones(referrer.size, dtype=bool)
    for e in np.argsort(time, kind="stable"):
        expected[e] = not nx.has_path(graph, referee[e], referrer[e])
        graph.add_edge(referrer[e], referee[e])
    keep = break_cycles(referrer, referee, time=time)
    assert keep.tolist() == expected.tolist()
    topological_order(referrer[keep], referee[keep], n_people=n)  # no ring is left


@given(network_=links(max_time=10**9), seed=st.integers(0, 99))
def test_order_of_rows_and_names_do_not_matter(network_, seed):
    referrer, referee, _, n = network_
    rng = np.random.default_rng(seed)
    time = rng.permutation(referrer.size)  # without ties
    rows, rename = rng.permutation(referrer.size), 7 * rng.permutation(n)
    keep = break_cycles(referrer, referee, time=time)
    again = break_cycles(rename[referrer][rows], rename[referee][rows], time=time[rows])
    assert again.tolist() == keep[rows].tolist()


@given(network_=links())
def test_later_links_do_not_change_what_was_cut(network_):
    referrer, referee, time, _ = network_
    early = time <= np.median(time) if time.size else time == 0
    keep = break_cycles(referrer, referee, time=time)
    cut_short = break_cycles(referrer[early], referee[early], time=time[early])
    assert cut_short.tolist() == keep[early].tolist()


@given(
    parent=st.integers(1, 25).flatmap(
        lambda n: st.lists(st.integers(-1, n - 1), min_size=n, max_size=n)
    ),
    seed=st.integers(0, 999),
)
def test_one_referrer_each_is_cut_as_in_a_forest(parent, seed):
    parent = np.array(parent)
    time = np.random.default_rng(seed).integers(0, 5, parent.size)
    linked = np.flatnonzero(parent >= 0)
    keep = break_cycles(parent[linked], linked, time=time[linked])
    _, cut = break_rings(parent, time)
    assert keep.tolist() == (~cut[linked]).tolist()


def test_a_large_tangle():
    # About the size of a year of group buying: 300,000 links among 170,000 people,
    # half of whom lead to each other.
    rng = np.random.default_rng(11)
    n, m = 170_000, 300_000
    referrer, referee = rng.integers(0, n, m), rng.integers(0, n, m)
    keep = break_cycles(referrer, referee, time=rng.random(m))
    graph = csr_array((np.ones(m), (referrer, referee)), shape=(n, n))
    _, part = connected_components(graph, connection="strong")
    assert np.bincount(part).max() > 80_000
    assert 0 < (~keep).sum() < m / 5
    position = np.empty(n, dtype=int)
    position[topological_order(referrer[keep], referee[keep], n_people=n)] = range(n)
    assert (position[referrer[keep]] < position[referee[keep]]).all()


def test_ring_input_must_agree():
    with pytest.raises(ValueError, match="2, 2 and 3 entries"):
        break_cycles(np.array([0, 1]), np.array([1, 0]), time=np.zeros(3))


# Order -----------------------------------------------------------------------


@pytest.mark.parametrize("max_layers", [0, 1, 1000])
@given(network_=links(max_people=20, max_links=60))
def test_referrers_come_first(network_, max_layers):
    referrer, referee, _, n = network_
    down = referrer < referee  # no rings, doubled links stay
    referrer, referee = n - 1 - referrer[down], n - 1 - referee[down]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "MAX_LAYERS", max_layers)
        order = topological_order(referrer, referee, n_people=n)
    assert sorted(order.tolist()) == list(range(n))
    position = np.argsort(order)
    assert (position[referrer] < position[referee]).all()


def test_deep_network_with_shortcuts():
    n = 200_000
    referrer = np.concatenate([np.arange(n - 1), np.arange(n - 2)])
    referee = np.concatenate([np.arange(1, n), np.arange(2, n)])
    order = topological_order(referrer, referee, n_people=n)
    assert np.array_equal(order, np.arange(n))
    weight = even_weights(referee, n)
    # d_v = 1 + (d_(v-1) + d_(v-2)) / 2 grows by 2 / 3 a step.
    d = mean_generation(referrer, referee, weight=weight, order=order)
    assert d[:4].tolist() == [0, 1, 1.5, 2.25]
    assert d[-1] - d[-4] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("referrer", "referee"), [([0, 1], [1, 0]), ([0, 1, 3, 3], [1, 0, 0, 2])]
)
def test_rings_have_no_order(referrer, referee):
    with pytest.raises(ValueError, match=r"2 people .* rings"):
        topological_order(np.array(referrer), np.array(referee), n_people=4)


@pytest.mark.parametrize(
    ("referrer", "referee", "message"),
    [
        ([0], [3], "1 referee numbers are outside 0 to 2"),
        ([-1], [0], "1 referrer numbers are outside 0 to 2"),
        ([0, 1], [1], "2 referrers and 1 referees"),
    ],
)
def test_impossible_links_are_refused(referrer, referee, message):
    with pytest.raises(ValueError, match=message):
        topological_order(np.array(referrer), np.array(referee), n_people=3)


# Sums and primary referrers --------------------------------------------------


@given(network_=links())
def test_collect_equals_a_dense_solve(network_):
    referrer, referee, _, n = network_
    down = referrer < referee
    referrer, referee = referrer[down], referee[down]
    rng = np.random.default_rng(n)
    share, own = rng.random(referrer.size), rng.normal(size=n)
    matrix = np.zeros((n, n))
    np.add.at(matrix, (referrer, referee), share)
    expected = np.linalg.solve(np.eye(n) - matrix, own)
    order = topological_order(referrer, referee, n_people=n)
    flow = collect(referrer, referee, share=share, own_value=own, order=order)
    assert flow == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_wrong_order_is_refused():
    ends = np.array([0, 1]), np.array([1, 2])
    with pytest.raises(ValueError, match="order has 2 referees before"):
        collect(*ends, share=np.ones(2), own_value=np.ones(3), order=np.arange(3)[::-1])
    with pytest.raises(ValueError, match=r"entries of order \(2\)"):
        collect(*ends, share=np.ones(2), own_value=np.ones(3), order=np.arange(2))


def test_primary_referrer_has_the_largest_weight_then_the_first_row():
    parent = primary_parent(
        np.array([3, 1, 2, 0]),
        np.array([4, 4, 4, 1]),
        weight=np.array([0.2, 0.4, 0.4, 1.0]),
        n_people=5,
    )
    assert parent.tolist() == [-1, 0, -1, -1, 1]
    with pytest.raises(ValueError, match="1 links need as many weights: 2"):
        primary_parent(np.array([0]), np.array([1]), weight=np.ones(2), n_people=2)


def test_mean_generation_of_a_forest_is_its_generation():
    rng = np.random.default_rng(2)
    parent = np.array([-1, *(rng.integers(-1, v) for v in range(1, 500))])
    linked = np.flatnonzero(parent >= 0)
    order = topological_order(parent[linked], linked, n_people=500)
    d = mean_generation(
        parent[linked], linked, weight=np.ones(linked.size), order=order
    )
    assert d.tolist() == generations(parent)[0].tolist()


def test_mers_korea():
    # Figures of the data set: mers_korea_2015 of the R package outbreaks.
    with (FIXTURES / "mers_korea_contacts.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row[end].strip() for row in rows for end in ("from", "to")})
    number = {name: v for v, name in enumerate(names)}
    referrer = np.array([number[row["from"].strip()] for row in rows])
    referee = np.array([number[row["to"].strip()] for row in rows])
    n = len(names)
    assert (len(rows), n) == (98, 97)
    lag = np.array([int(row["diff_dt_onset"]) for row in rows])
    assert (lag.min(), np.median(lag), lag.max()) == (2, 14, 27)

    assert break_cycles(referrer, referee, time=lag).all()
    order = topological_order(referrer, referee, n_people=n)
    roots = np.setdiff1d(np.arange(n), referee)
    assert [names[v] for v in roots] == ["SK_1", "SK_76"]
    fanout = Counter(names[v] for v in referrer).most_common(5)
    assert fanout == [
        ("SK_14", 38),
        ("SK_1", 26),
        ("SK_16", 21),
        ("SK_15", 4),
        ("SK_6", 2),
    ]
    n_sources = np.bincount(referee, minlength=n)
    several = {names[v]: int(n_sources[v]) for v in np.flatnonzero(n_sources > 1)}
    assert several == {"SK_39": 3, "SK_107": 2}

    weight = even_weights(referee, n)
    parent = primary_parent(referrer, referee, weight=weight, n_people=n)
    generation, _ = generations(parent)
    assert generation.max() == 3
    d = mean_generation(referrer, referee, weight=weight, order=order)
    single = n_sources <= 1
    assert d[single].tolist() == generation[single].tolist()
