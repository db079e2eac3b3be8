"""A network from a plain table of links: by hand, laws, the way of events, edges."""

import warnings
from decimal import Decimal

import networkx as nx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import selfloop as sl
from selfloop.core import schema
from selfloop.core.settings import Sharing
from selfloop.inputs import ids as id_module
from selfloop.inputs.duckdb_engine import connect
from selfloop.inputs.ids import number_people
from selfloop.inputs.typed import as_text
from selfloop.kernels import forest
from selfloop.kernels.ledger import forest_ledger, ledger, passed_up
from selfloop.measures.referral.links import N_TREES
from selfloop.measures.social import value_table

DAY_0 = pd.Timestamp("2026-01-01")
MONEY = [c.name for c in schema.TABLES["link_people"] if c.kind == "money"]


def links_of(*rows):
    """Return a table of links: referrer, referee and, if given, the day."""
    names = ["referrer_id", "referee_id", "referred_at"][: len(rows[0])]
    frame = pd.DataFrame(rows, columns=names)
    if "referred_at" in frame:
        frame["referred_at"] = DAY_0 + pd.to_timedelta(frame["referred_at"], "D")
    return frame


def values_of(**values):
    """Return a table of values."""
    pairs = {"person_id": list(values), "value": list(values.values())}
    return pd.DataFrame(pairs)


def people_of(network):
    """Return the people by id."""
    return network.to_frame().set_index("person_id").sort_index()


def counts_of(network, table="referrals"):
    """Return rows of a table by code of the audit."""
    audit = network.audit[network.audit["table"] == table]
    return audit.set_index("code")["n_rows"].to_dict()


# By hand ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_hand():
    """Ann brings bob and cat, bob brings dan; eve is in no link."""
    links = links_of(("ann", "bob"), ("ann", "cat"), ("bob", "dan"))
    return sl.link_network(links, values_of(bob=20, cat=30.0, dan=40, eve=7))


def test_people_by_hand(by_hand):
    # dan's 40: 20 stay, 20 go to bob, who keeps 10 and hands on 10.
    # bob's 20: 10 stay, 10 go to ann. cat's 30: 15 stay, 15 go to ann.
    expected = {
        # referrer, generation, root, invited, reach, depth below,
        # value, direct, network, given, social, total
        "ann": (None, 0, "ann", 2, 3, 2, 0, 50, 90, 0, 10 + 10 + 15, 35),
        "bob": ("ann", 1, "ann", 1, 1, 1, 20, 40, 40, 10, 10, 20),
        "cat": ("ann", 1, "ann", 0, 0, 0, 30, 0, 0, 15, 0, 15),
        "dan": ("bob", 2, "ann", 0, 0, 0, 40, 0, 0, 20, 0, 20),
        "eve": (None, 0, "eve", 0, 0, 0, 7, 0, 0, 0, 0, 7),
    }
    found = people_of(by_hand)
    assert [by_hand.people.column_names] == [schema.names("link_people")]
    for person, row in expected.items():
        got = [None if pd.isna(x) else x for x in found.loc[person]]
        assert got == list(row), person


def test_the_network_by_hand(by_hand):
    assert (by_hand.n_people, by_hand.n_links, by_hand.n_roots) == (5, 3, 2)
    assert by_hand.max_generation == 2
    assert list(by_hand.trees.columns) == schema.names("link_trees")
    # Distances: ann-bob 1, ann-cat 1, ann-dan 2, bob-cat 2, bob-dan 1, cat-dan 3.
    tree = by_hand.trees.iloc[0]
    assert len(by_hand.trees) == 1
    assert tree["structural_virality"] == pytest.approx(10 / 6)
    assert tuple(tree.drop("structural_virality")) == ("ann", 4, 2, 90, 0)
    assert counts_of(by_hand) == {"": 3}
    line = by_hand.audit[by_hand.audit["table"] == "values"].iloc[0]
    assert (line["n_rows"], line["amount"]) == (4, 97.0)


def test_without_values_money_is_missing_and_never_zero():
    network = sl.link_network(links_of(("a", "b")))
    assert people_of(network)[MONEY].isna().all(axis=None)
    assert network.trees[["value", "root_value"]].isna().all(axis=None)
    assert set(network.audit["table"]) == {"referrals"}
    assert people_of(network)["reach"].to_dict() == {"a": 1, "b": 0}


def test_each_step_is_counted():
    links = links_of(
        ("", "x", 0), ("a", "b", 1), ("a", "b", 0), ("z", "b", 0), ("c", "c", 0),
        ("b", "d", 5), ("d", "e", 6), ("e", "d", 4), ("d", "f", 9), ("f", "a", 3),
        ("b", "f", 2),
    )  # fmt: skip
    # b: a on day 0 and z on day 0: a by its id. d: e on day 4 before b on day 5.
    # d and e bring each other: e -> d is of day 4, d -> e of day 6: the latter is cut.
    # f: b on day 2 before d on day 9. a <- f <- b <- a: the latest is f -> a, day 3.
    network = sl.link_network(links)
    assert counts_of(network) == {
        "": 3, "SL201": 1, "SL202": 1, "SL203": 1, "SL205": 3, "SL207": 2,
    }  # fmt: skip
    referrers = people_of(network)["referrer_id"].dropna().to_dict()
    assert referrers == {"b": "a", "d": "e", "f": "b"}
    assert network.audit["n_rows"].sum() == len(links)
    examples = network.audit.set_index("code")["examples"]
    assert examples["SL202"] == "row 5: c, c, 2026-01-01 00:00:00"
    assert list(schema.names("audit")) == list(network.audit.columns)
    # Whoever is named stays, if only as a root.
    assert {"x", "z", "c"} <= set(people_of(network).index)


def test_rows_that_cannot_be_read_are_counted_and_said():
    links = links_of(("a", "b", 0), ("a", " ", 1), ("a", "c", float("nan")))
    values = values_of(a=1.0, b=2.0)
    values.loc[2] = [None, 30.0]
    with pytest.warns(sl.DataWarning, match=r"1 rows of referrals: SL110 blank_id"):
        network = sl.link_network(links, values)
    assert counts_of(network) == {"": 1, "SL110": 1, "SL111": 1}
    kept = network.audit.set_index(["table", "code"])["amount"]
    assert kept["values", ""] == 3
    assert kept["values", "SL110"] == 30
    assert people_of(network)["total_value"].sum() == pytest.approx(3)


def test_equally_late_links_of_a_ring_are_cut_at_the_last_id():
    rows = [("x", "b", 1), ("b", "z", 1), ("z", "x", 1)]
    for turn in range(3):
        network = sl.link_network(links_of(*rows[turn:], *rows[:turn]))
        assert people_of(network)["referrer_id"].isna().to_dict() == {
            "b": False, "x": False, "z": True,
        }  # fmt: skip


def test_values_of_several_rows_are_summed():
    values = pd.DataFrame({"person_id": ["b", "b", "a"], "value": [1.5, 2, -1]})
    found = people_of(sl.link_network(links_of(("a", "b")), values))
    assert found["value"].to_dict() == {"a": -1, "b": 3.5}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"rule": "shapley"}, [30, 30, 30]),
        ({"rule": "geometric", "beta": 0.2}, [90 * 0.04, 90 * 0.16, 90 * 0.8]),
        ({"max_levels": 1}, [0, 45, 45]),
        ({"max_levels": 0}, [0, 0, 90]),
        ({"incrementality": 0.5}, [90 / 16, 90 * 3 / 16, 90 * 3 / 4]),
    ],
)
def test_rules_by_hand(setting, expected):
    links = links_of(("a", "b"), ("b", "c"))
    found = people_of(sl.link_network(links, values_of(c=90.0), **setting))
    assert found["total_value"].to_list() == pytest.approx(expected)


# Ids --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine():
    return connect()


def test_ids_are_text():
    network = sl.link_network(links_of(("007", "7"), ("7", " 8 "), ("8", "９")))
    assert set(people_of(network).index) == {"007", "7", "8", "９"}
    assert network.max_generation == 3


def test_words_for_missing_are_missing():
    links = links_of(
        ("a", "b"), ("NaN", "c"), (None, "d"), ("null", "e"), ("nano", "f")
    )
    assert counts_of(sl.link_network(links)) == {"": 2, "SL201": 3}


def test_whole_numbers_are_ids():
    links = pd.DataFrame({"referrer_id": [1.0, np.nan], "referee_id": [2, 3]})
    values = pd.DataFrame({"person_id": ["2"], "value": [Decimal("2.50")]})
    found = people_of(sl.link_network(links, values))
    assert found["referrer_id"].dropna().to_dict() == {"2": "1"}
    assert found.index.to_list() == ["1", "2", "3"]
    assert found.loc["2", "value"] == 2.5


@pytest.mark.parametrize("number", [1.5, 2.0**53 + 2, np.inf])
def test_numbers_that_are_no_ids_are_an_error(number):
    links = pd.DataFrame({"referrer_id": [number], "referee_id": ["b"]})
    with pytest.raises(sl.DataError, match=r"(?s)1 numbers are no ids.*as text"):
        sl.link_network(links)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 31, 32, 33, 100])
def test_ids_of_any_length_are_told_apart(length):
    rng = np.random.default_rng(length)
    texts = ["".join(rng.choice(list("ab"), length)) for _ in range(400)]
    texts += [t[:-1] for t in texts[:50]] + ["公司" + t for t in texts[:50]]
    found = number_people([pa.array(texts, pa.large_string())])
    names = found.ids().to_pylist()
    assert sorted(names) == sorted({t for t in texts if t})
    got = [None if i < 0 else names[i] for i in found.numbers[0]]
    assert got == [t or None for t in texts]


def test_ids_with_a_zero_byte_are_told_apart():
    texts = ["abcdef", "abcdef\0", "abcdef\0\0"]
    found = number_people([pa.array(texts, pa.large_string())])
    assert len(set(found.numbers[0].tolist())) == 3


def test_ids_that_share_a_mix_are_told_apart(monkeypatch):
    """Without the multiplication, words that change places share a mix."""
    monkeypatch.setattr(id_module, "_ODD", np.uint64(1))
    monkeypatch.setattr(id_module, "_HALF", np.uint64(63))
    texts = ["aaaaaaaabbbbbbbb", "bbbbbbbbaaaaaaaa"]
    column = pa.array(texts, pa.large_string())
    assert id_module._by_words(column) is None
    assert number_people([column]).ids().to_pylist() == texts


def test_many_ids_are_numbered_in_parts():
    n = 3 * id_module._PART
    rng = np.random.default_rng(1)
    column = pa.array(rng.integers(0, n, 2 * n)).cast(pa.large_string())
    found = number_people([column[:n], column[n:]])
    for half, numbers in zip((column[:n], column[n:]), found.numbers, strict=True):
        assert found.ids(numbers).equals(half)
    assert len(found.place) == len(column.unique())


WORDS = st.sampled_from(
    ["nan", "NULL", "n/a", "NA", "0", "o\u00e9", "张", "a b", "x" * 33]
)
BLANKS = st.text(" \t\n\u00a0\u3000\u200b\ufeff", max_size=2)


@given(
    st.lists(st.tuples(BLANKS, WORDS | st.just(""), BLANKS).map("".join), max_size=9)
)
@settings(max_examples=60, deadline=None)
def test_ids_are_tidied_as_those_of_events(engine, texts):
    column = pa.array(texts, pa.large_string())
    table = engine.upload(pa.table({"id": column, "n": range(len(texts))}), "ids")
    expected = table.select("n", id=as_text(table.id)).order_by("n").to_pyarrow()
    found = number_people([column])
    names = found.ids().to_pylist()
    assert len(set(names)) == len(names)
    got = [None if i < 0 else names[i] for i in found.numbers[0]]
    assert got == expected["id"].to_pylist()


# Kinds of tables ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["pandas", "object", "category", "arrow", "chunks", "polars", "view"]
)
def test_every_kind_of_table_gives_the_same(kind, by_hand):
    links = links_of(("ann", "bob"), ("ann", "cat"), ("bob", "dan"))
    values = values_of(bob=20, cat=30.0, dan=40, eve=7)
    make = {
        "pandas": lambda f: f,
        "object": lambda f: f.astype(object),
        "category": lambda f: f.astype({f.columns[0]: "category"}),
        "arrow": lambda f: pa.Table.from_pandas(f, preserve_index=False),
        "chunks": lambda f: pa.concat_tables(
            [pa.Table.from_pandas(f[i : i + 1], preserve_index=False) for i in range(3)]
            + [pa.Table.from_pandas(f[3:], preserve_index=False)]
        ),
        "polars": pl.from_pandas,
        "view": lambda f: pa.table(
            {
                c: pa.array(f[c]).cast(pa.string_view())
                if f[c].dtype == "str"
                else f[c]
                for c in f
            }
        ),
    }[kind]
    given_links, given_values = make(links), make(values)
    before = links.copy()
    found = sl.link_network(given_links, given_values)
    pd.testing.assert_frame_equal(people_of(found), people_of(by_hand))
    pd.testing.assert_frame_equal(links, before)


@pytest.mark.parametrize(
    "times",
    [
        [3, 1, 2],
        [3.5, 1.5, 2.5],
        ["2026-01-03", "2026-01-01", "2026-01-02"],
        pd.to_datetime(["2026-01-03", "2026-01-01", "2026-01-02"]),
        pd.to_datetime(["2026-01-03", "2026-01-01", "2026-01-02"]).tz_localize("UTC"),
        pd.to_datetime(["2026-01-03", "2026-01-01", "2026-01-02"]).date,
    ],
    ids=["int", "float", "text", "time", "zone", "date"],
)
def test_the_first_referrer_counts_for_times_of_any_kind(times):
    links = links_of(("a", "x"), ("c", "x"), ("b", "x")).assign(referred_at=times)
    assert people_of(sl.link_network(links)).loc["x", "referrer_id"] == "c"


def test_known_names_and_own_names_of_columns():
    links = pd.DataFrame({"邀请人": ["a"], "被邀请人": ["b"]})
    values = pd.DataFrame({"uid": ["b"], "gmv": [8.0]})
    columns = {
        "referrals": {"referrer_id": "邀请人", "referee_id": "被邀请人"},
        "values": {"person_id": "uid", "value": "gmv"},
    }
    found = people_of(sl.link_network(links, values, columns=columns))
    assert found["total_value"].to_dict() == {"a": 4, "b": 4}


# Laws -------------------------------------------------------------------------------


@st.composite
def networks(draw):
    """Draw links with rings, doubles and blanks, and values of some people."""
    person = st.sampled_from(["", *"abcdefghij"])
    links = st.lists(
        st.tuples(person, st.sampled_from("abcdefghij"), st.integers(0, 5)),
        min_size=1, max_size=30,
    )  # fmt: skip
    money = st.floats(-1e6, 1e6)
    values = st.dictionaries(st.sampled_from("abcdefghijkl"), money, min_size=1)
    return links_of(*draw(links)), values_of(**draw(values))


@given(
    networks(), st.sampled_from(["halving", "shapley"]), st.sampled_from([None, 0, 2])
)
@settings(max_examples=60, deadline=None)
def test_totals_sum_to_the_values_and_rows_are_accounted_for(given, rule, levels):
    links, values = given
    network = sl.link_network(links, values, rule=rule, max_levels=levels)
    found = people_of(network)
    scale = values["value"].abs().sum() + 1
    assert found["total_value"].sum() == pytest.approx(
        values["value"].sum(), abs=1e-9 * scale
    )
    assert found["social_value"].sum() == pytest.approx(
        found["given_value"].sum(), abs=1e-9 * scale
    )
    assert sum(counts_of(network).values()) == len(links)
    assert network.n_people == len(found) == found.index.nunique()
    assert network.n_links == found["referrer_id"].notna().sum()
    assert network.n_roots == network.n_people - network.n_links
    assert found["n_invited"].sum() == network.n_links == counts_of(network).get("", 0)


@given(networks(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_rows_does_not_matter(given, chance):
    links, values = given
    mixed = links.iloc[chance.sample(range(len(links)), len(links))]
    one, other = sl.link_network(links, values), sl.link_network(mixed, values[::-1])
    pd.testing.assert_frame_equal(people_of(one), people_of(other))
    pd.testing.assert_frame_equal(one.trees, other.trees)
    assert counts_of(one) == counts_of(other)


@given(networks())
@settings(max_examples=40, deadline=None)
def test_networkx_finds_the_same_tree(given):
    links, values = given
    found = people_of(sl.link_network(links, values))
    graph = nx.DiGraph()
    graph.add_nodes_from(found.index)
    graph.add_edges_from(found["referrer_id"].dropna().items())  # upwards
    assert nx.is_directed_acyclic_graph(graph)
    for person, row in found.iterrows():
        below = nx.ancestors(graph, person)
        assert row["reach"] == len(below)
        assert row["generation"] == len(nx.descendants(graph, person))
        value = found.loc[list(below), "value"].sum()
        assert row["network_value"] == pytest.approx(value, rel=1e-9, abs=1e-4)
        lengths = nx.single_source_shortest_path_length(graph.reverse(), person)
        assert row["subtree_depth"] == max(lengths.values())


def test_a_bystander_changes_nobody_else(by_hand):
    links = links_of(("ann", "bob"), ("ann", "cat"), ("bob", "dan"), ("yan", "zoe"))
    values = values_of(bob=20, cat=30.0, dan=40, eve=7, zoe=1000)
    found = people_of(sl.link_network(links, values))
    before = people_of(by_hand)
    pd.testing.assert_frame_equal(found.loc[before.index], before)


# The way of events -------------------------------------------------------------------


@pytest.mark.parametrize("n_people", [4, 30, 500])
@pytest.mark.parametrize(("rule", "levels"), [("halving", None), ("shapley", 2)])
def test_the_same_numbers_as_from_events(n_people, rule, levels):
    rng = np.random.default_rng(n_people)
    ids = np.array([f"p{i}" for i in range(n_people)])
    n = 2 * n_people
    links = pd.DataFrame({
        "referrer_id": ids[rng.integers(0, n_people, n)],
        "referee_id": ids[rng.integers(0, n_people, n)],
        "referred_at": DAY_0 + pd.to_timedelta(rng.integers(0, 20, n), "D"),
    })  # fmt: skip
    links.loc[0, "referrer_id"] = None
    buyers = ids[: n_people // 2]
    amounts = np.round(rng.gamma(2, 50, buyers.size), 2)
    orders = pd.DataFrame(
        {"customer_id": buyers, "ordered_at": DAY_0 + pd.Timedelta("30D"),
         "amount": amounts}
    )  # fmt: skip
    events = sl.read_events(orders, links)
    values = pd.DataFrame({"person_id": buyers, "value": amounts})
    network = sl.link_network(links, values, rule=rule, max_levels=levels)
    found = people_of(network)
    sharing = Sharing(rule, max_levels=levels)
    worth = value_table(events, None, sharing, horizon_days=365, discount_rate=0.0)
    worth = worth.to_pandas().set_index("person_id").sort_index()
    same = ["generation", "n_invited", "reach", *MONEY[1:]]
    pd.testing.assert_frame_equal(
        found.loc[worth.index, same], worth[same], check_dtype=False, rtol=1e-9
    )
    theirs = sl.referral_network(events)
    people = theirs.people.to_pandas().set_index("person_id").sort_index()
    same = ["referrer_id", "root_id", "generation", "reach", "subtree_depth"]
    pd.testing.assert_frame_equal(
        found.loc[people.index, same], people[same], check_dtype=False
    )
    trees = theirs.trees.set_index("root_id").sort_index()
    ours = network.trees.set_index("root_id").sort_index().loc[trees.index]
    for name, other in (
        ("n_people", "n_people"), ("depth", "depth"), ("value", "revenue"),
        ("structural_virality", "structural_virality"), ("root_value", "revenue_root"),
    ):  # fmt: skip
        assert ours[name].to_numpy() == pytest.approx(trees[other].to_numpy()), name
    audit = events.audit[events.audit["table"] == "referrals"]
    assert counts_of(network) == audit.set_index("code")["n_rows"].to_dict()


# Deep, wide, many -------------------------------------------------------------------


def test_a_chain_of_200_000_comes_to_an_end():
    n = 200_000
    ids = pa.array(np.arange(n)).cast(pa.string())
    rows = np.random.default_rng(1).permutation(n - 1)
    links = pa.table({"referrer_id": ids.take(rows), "referee_id": ids.take(rows + 1)})
    values = pa.table({"person_id": ids, "value": np.full(n, 2.0)})
    network = sl.link_network(links, values)
    found = network.to_frame()
    assert network.max_generation == n - 1
    at = found["person_id"].astype("int64").to_numpy()
    assert (found["generation"].to_numpy() == at).all()
    assert (found["reach"].to_numpy() == n - 1 - at).all()
    assert (found["network_value"].to_numpy() == 2.0 * (n - 1 - at)).all()
    assert found["total_value"].sum() == pytest.approx(2.0 * n, rel=1e-12)
    tree = network.trees.iloc[0]
    assert tree["structural_virality"] == pytest.approx((n + 1) / 3)


def test_a_ring_of_20_000_is_cut_once():
    n = 20_000
    ids = pa.array(np.arange(n)).cast(pa.string())
    links = pa.table(
        {"referrer_id": ids, "referee_id": ids.take(np.roll(np.arange(n), -1)),
         "referred_at": np.arange(n)}
    )  # fmt: skip
    network = sl.link_network(links)
    assert counts_of(network) == {"": n - 1, "SL207": 1}
    assert network.trees["root_id"].to_list() == ["0"]  # the last link leads to 0


def test_a_star():
    n = 5_000
    names = [f"p{i}" for i in range(n)]
    links = pd.DataFrame({"referrer_id": "boss", "referee_id": names})
    values = pd.DataFrame({"person_id": names, "value": 1.0})
    found = people_of(sl.link_network(links, values)).loc["boss"]
    assert (found["reach"], found["social_value"]) == (n, n / 2)


def test_the_largest_trees_are_listed_and_ties_go_by_id():
    rows = [(f"r{i:03}", f"x{i:03}") for i in range(N_TREES + 50)]
    rows += [("r120", "y")]
    trees = sl.link_network(links_of(*rows[::-1])).trees
    assert len(trees) == N_TREES
    expected = ["r120", *(f"r{i:03}" for i in range(N_TREES - 1))]
    assert trees["root_id"].to_list() == expected


def test_links_that_all_fall_away_leave_people_alone():
    network = sl.link_network(links_of(("a", "a"), ("b", "b")), values_of(a=1.0, c=2.0))
    assert (network.n_links, network.n_roots, network.max_generation) == (0, 3, 0)
    assert network.trees.empty
    assert people_of(network)["total_value"].to_dict() == {"a": 1, "b": 0, "c": 2}


# The kernels behind it ----------------------------------------------------------------


@pytest.mark.parametrize("depth", [5, forest.MAX_LEVELS * 3])
def test_the_ledger_of_a_forest_is_that_of_its_links(depth):
    """Shallow forests are summed level by level, deep ones by pointer doubling."""
    rng = np.random.default_rng(depth)
    n = 4_000
    above = np.arange(n) - rng.integers(1, max(2, 2 * n // depth), n)
    parent = np.where(above < 0, -1, above).astype(np.int32)
    generation, _ = forest.generations(parent)
    assert (generation.max() > forest.MAX_LEVELS) == (depth > forest.MAX_LEVELS)
    own, part = rng.normal(0, 100, n), rng.random(n)
    referee = np.flatnonzero(parent >= 0)
    for rule in ("halving", "shapley"):
        tau = passed_up(generation, rule=rule)
        for carried in (None, own * part):
            one = forest_ledger(
                parent, generation, own_value=own, tau=tau, carried=carried
            )
            other = ledger(
                parent[referee],
                referee,
                weight=np.ones(referee.size),
                own_value=own,
                tau=tau,
                link_value=None if carried is None else carried[referee],
            )
            for name in ("flow", "social_value", "given_value", "total_value"):
                expected = getattr(other, name)
                assert getattr(one, name) == pytest.approx(expected, rel=1e-9, abs=1e-7)
            assert one.total_value.sum() == pytest.approx(own.sum(), rel=1e-9, abs=1e-6)


def test_the_ledger_of_a_forest_refuses_what_does_not_add_up():
    parent, generation = np.array([-1, 0]), np.array([0, 1])
    own, tau = np.array([1.0, 2.0]), np.array([0.0, 0.5])
    good = {"own_value": own, "tau": tau}
    for wrong, message in (
        ({"own_value": np.array([1.0, np.nan])}, "1 own values are missing"),
        ({"carried": np.array([1.0, np.inf])}, "1 own values are missing"),
        ({"tau": np.array([0.0, 1.5])}, "must lie in 0 to 1"),
        ({"tau": np.array([0.5, 0.5])}, "1 people whom nobody referred"),
        ({"tau": np.array([0.5])}, "2 people need as many"),
    ):
        with pytest.raises(ValueError, match=message):
            forest_ledger(parent, generation, **{**good, **wrong})
    with pytest.raises(ValueError, match="2 people need as many shares; got 1"):
        forest.subtree_sum(parent, generation, value=own, share=tau[:1])


# Errors and shows --------------------------------------------------------------------

GOOD = links_of(("a", "b"))


@pytest.mark.parametrize(
    ("links", "values", "columns", "message"),
    [
        (pd.DataFrame({"ref": ["a"], "referee_id": ["b"]}), None, None,
         r"no column for 'referrer_id'.*columns="),
        (GOOD[:0], None, None, r"SL103  referrals: the table has no rows"),
        (GOOD, values_of(), None, r"SL103  values: the table has no rows"),
        (GOOD, pd.DataFrame({"person_id": ["a"], "valeu": [1]}), None,
         r"SL101  values: no columns for 'value'.*did you mean 'valeu'"),
        (GOOD, pd.DataFrame({"person_id": ["a"], "Value": [1], "VALUE ": [1]}), None,
         r"SL102  values: 2 columns for 'value'"),
        (GOOD, values_of(a="10"), None, r"SL112.*not of numbers.*to_numeric"),
        (GOOD, values_of(a=None, b=1.0), None, r"SL112.*1 of 2 rows: 'value' is miss"),
        (GOOD, values_of(a=np.inf), None, r"SL113.*infinite"),
        ("links.csv", None, None, r"SL107.*'links.csv'.*pandas.read_csv"),
        ([("a", "b")], None, None, r"SL107  referrals: cannot read a builtins.list"),
        (GOOD.assign(referred_at="soon"), None, None, r"SL111.*pandas.to_datetime"),
        (GOOD.assign(referrer_id=True), None, None, r"SL107.*of type bool"),
        (GOOD, None, {"links": {}}, r"SL104.*unknown table 'links'.*known"),
        (GOOD, None, {"orders": {}}, r"SL104.*use 'referrals' for the links"),
        (GOOD, None, {"referrals": {"who": "a"}}, r"SL104.*unknown role 'who'"),
        (GOOD, values_of(a=1), {"values": {"amount": "value"}}, r"SL104.*known roles"),
        (GOOD, None, {"referrals": {"referrer_id": "nobody"}}, r"no column 'nobody'"),
    ],
)  # fmt: skip
def test_bad_input_is_an_error_that_says_how_to_mend_it(
    links, values, columns, message
):
    with pytest.raises(sl.DataError, match="(?s)" + message) as error:
        sl.link_network(links, values, columns=columns)
    assert all(problem.fix for problem in error.value.problems)


def test_all_missing_columns_are_named_at_once():
    with pytest.raises(sl.DataError) as error:
        sl.link_network(pd.DataFrame({"x": [1]}), pd.DataFrame({"y": [1]}))
    assert len(error.value.problems) == 4


@pytest.mark.parametrize(
    "setting",
    [{"rule": "third"}, {"rule": "geometric", "beta": 2}, {"max_levels": -1},
     {"incrementality": 1.5}, {"beta": 0.3}],
)  # fmt: skip
def test_settings_outside_their_range_are_errors(setting):
    with pytest.raises(sl.SettingError, match=list(setting)[-1]):
        sl.link_network(GOOD, **setting)


def test_a_second_channel_is_nobodys_business():
    links = GOOD.assign(channel="x", Channel="y")
    assert sl.link_network(links).n_links == 1


def test_it_shows_itself(by_hand):
    text, page = repr(by_hand), by_hand._repr_html_()
    for word in ("Network of links", "links that count", "ann", "97.00"):
        assert word in text
        assert word in page
    hostile = sl.link_network(links_of(("<b>x</b>", "y")))
    assert "<b>x</b>" not in hostile._repr_html_()


def test_nothing_is_warned_of_when_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sl.link_network(GOOD, values_of(a=1))
