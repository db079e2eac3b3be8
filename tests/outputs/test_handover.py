"""Hand-over: graphs by hand, hostile ids, files that other programs read back."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import ibis
import igraph
import networkx as nx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import selfloop as sl
from selfloop.core import schema
from selfloop.core.errors import FileError, SettingError
from selfloop.measures.referral.network import ReferralNetwork
from selfloop.outputs import handover
from selfloop.outputs.handover import xml_characters

DAY_0 = pd.Timestamp("2026-01-01")

HOSTILE = [
    "plain", "<script>alert(1)</script>", "a & b", "\"quoted\" 'twice'", "]]>", "&amp;",
    "tab\tline\nreturn\r", "bell\x07", "bell\\u0007", "nul\x00", "\\", "\\\\", "\\u",
    "del\x7f\x85", "no\ufffe\uffff", " spaces ", "客户 𠮷", "‮reversed", "--><!--", "n0",
]  # fmt: skip
"""Ids that break what is glued together from text, and pairs that may collide."""


def events(orders, referrals):
    """Read orders of (customer, day) and referrals of (referrer, referee, day)."""
    bought = pd.DataFrame(orders, columns=["customer_id", "ordered_at"])
    brought = pd.DataFrame(
        referrals, columns=["referrer_id", "referee_id", "referred_at"]
    )
    for table, column in ((bought, "ordered_at"), (brought, "referred_at")):
        table[column] = DAY_0 + pd.to_timedelta(table[column], unit="D")
    return sl.read_events(bought.assign(amount=10.0), brought)


@pytest.fixture(scope="module")
def by_hand():
    """ann brings bob and cat, bob brings dan, who never bought; fay brings gus."""
    return sl.referral_network(
        events(
            [("ann", 0), ("bob", 5), ("cat", 6), ("gus", 20), ("hal", 21)],
            [("ann", "bob", 4), ("ann", "cat", 6), ("bob", "dan", 8),
             ("fay", "gus", 19)],
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def simulated():
    """The network of a simulated shop."""
    shop = sl.simulate(n_visitors=3000, seed=7)
    return sl.referral_network(sl.read_events(shop.orders, shop.referrals))


def of_people(ids, *, base):
    """A network whose people form one chain, with these ids."""
    n = len(ids)
    people = pa.table({
        "person_id": ids,
        "referrer_id": [None, *ids[:-1]],
        "root_id": [ids[0]] * n,
        "generation": np.arange(n),
        "n_invited": np.ones(n, int),
        "n_referred": np.ones(n, int),
        "reach": n - 1 - np.arange(n),
        "subtree_depth": n - 1 - np.arange(n),
    })  # fmt: skip
    parts = {name: getattr(base, name) for name in base.__dataclass_fields__}
    return ReferralNetwork(**parts | {"people": ibis.memtable(people), "n_people": n})


EDGES = {("ann", "bob"), ("ann", "cat"), ("bob", "dan"), ("fay", "gus")}


# By hand ----------------------------------------------------------------------------


def test_networkx_by_hand(by_hand):
    graph = sl.to_networkx(by_hand)
    assert graph.is_directed()
    assert set(graph.edges) == EDGES
    # hal is in no referral
    assert set(graph) == {"ann", "bob", "cat", "dan", "fay", "gus"}
    ann = graph.nodes["ann"]
    assert [ann[name] for name in ("root_id", "generation", "n_invited", "n_referred",
            "reach", "subtree_depth")] == ["ann", 0, 2, 2, 3, 2]  # fmt: skip
    # all other columns are there, but the referrer whom ann does not have
    assert set(ann) == set(schema.names("network_people")[1:]) - {"referrer_id"}
    assert graph.nodes["dan"]["referrer_id"] == "bob"
    assert "referrer_id" not in graph.nodes["fay"]  # absent, not None and not 0


def test_igraph_by_hand(by_hand):
    graph = sl.to_igraph(by_hand)
    assert graph.is_directed()
    names = graph.vs["name"]
    assert {(names[e.source], names[e.target]) for e in graph.es} == EDGES
    ann, fay = graph.vs.find(name="ann"), graph.vs.find(name="fay")
    assert (ann["n_invited"], ann["reach"], ann["root_id"]) == (2, 3, "ann")
    assert fay["referrer_id"] is None
    assert set(graph.vs.attributes()) == {"name", *schema.names("network_people")[1:]}


def test_graphml_by_hand(by_hand, tmp_path):
    path = sl.write_graph(by_hand, tmp_path / "shop.graphml")
    assert path == tmp_path / "shop.graphml"
    same_graph(nx.read_graphml(path), sl.to_networkx(by_hand))
    text = path.read_text("utf-8")
    assert '<key id="d2" for="node" attr.name="generation" attr.type="long"/>' in text
    assert '<edge source="ann" target="bob"/>' in text


def test_parquet_by_hand(by_hand, tmp_path):
    path = sl.write_graph(by_hand, tmp_path / "shop.parquet")
    table = pd.read_parquet(path)
    assert list(table.columns) == schema.names("network_people")
    assert table["person_id"].tolist() == ["ann", "fay", "bob", "cat", "gus", "dan"]
    brought = table.dropna(subset="referrer_id")
    assert set(zip(brought["referrer_id"], brought["person_id"], strict=True)) == EDGES


# Recomputed -------------------------------------------------------------------------


def same_graph(one, other):
    """Compare nodes, data and edges."""
    assert dict(one.nodes(data=True)) == dict(other.nodes(data=True))
    assert set(one.edges) == set(other.edges)


def test_networkx_finds_what_the_network_says(simulated):
    graph = sl.to_networkx(simulated)
    assert graph.number_of_nodes() == simulated.n_people
    assert graph.number_of_edges() == simulated.n_links
    assert nx.number_weakly_connected_components(graph) == simulated.n_roots
    for person, data in graph.nodes(data=True):
        assert graph.out_degree(person) == data["n_invited"]
        assert len(nx.descendants(graph, person)) == data["reach"]


def test_igraph_is_the_same_graph(simulated):
    mine, theirs = sl.to_networkx(simulated), sl.to_igraph(simulated)
    names = theirs.vs["name"]
    assert {(names[a], names[b]) for a, b in theirs.get_edgelist()} == set(mine.edges)
    for vertex in theirs.vs:
        data = {k: v for k, v in vertex.attributes().items() if v is not None}
        assert mine.nodes[data.pop("name")] == data


def test_files_read_back_as_the_same_graph(simulated, tmp_path):
    path = sl.write_graph(simulated, tmp_path / "shop.graphml")
    same_graph(nx.read_graphml(path), sl.to_networkx(simulated))
    theirs = igraph.Graph.Read_GraphML(str(path))
    ids = theirs.vs["id"]
    edges = {(ids[a], ids[b]) for a, b in theirs.get_edgelist()}
    assert edges == set(sl.to_networkx(simulated).edges)


def test_batches_do_not_show(simulated, tmp_path, monkeypatch):
    whole = sl.write_graph(simulated, tmp_path / "whole.graphml").read_bytes()
    monkeypatch.setattr(handover, "_PIECE", 7)
    pieces = sl.write_graph(simulated, tmp_path / "pieces.graphml").read_bytes()
    assert pieces == whole


def test_row_order_does_not_change_the_files(tmp_path):
    shop = sl.simulate(n_visitors=1500, seed=3)
    files = []
    for seed in (None, 1, 2):
        tables = [shop.orders, shop.referrals]
        if seed is not None:
            tables = [t.sample(frac=1, random_state=seed) for t in tables]
        network = sl.referral_network(sl.read_events(*tables))
        path = sl.write_graph(network, tmp_path / f"{seed}.graphml")
        rows = pd.read_parquet(sl.write_graph(network, tmp_path / f"{seed}.parquet"))
        files.append((path.read_bytes(), rows))
    for text, rows in files[1:]:
        assert text == files[0][0]
        pd.testing.assert_frame_equal(rows, files[0][1])


# Hostile ids ------------------------------------------------------------------------


def test_hostile_ids_survive_graphml(by_hand, tmp_path):
    network = of_people(HOSTILE, base=by_hand)
    path = sl.write_graph(network, tmp_path / "hostile.graphml")
    ET.parse(path)  # well-formed
    names = {xml_characters(name) for name in HOSTILE}
    read = nx.read_graphml(path)
    assert set(read) == names
    assert len(names) == len(HOSTILE)
    expected = {(xml_characters(a), xml_characters(b))
                for a, b in pairwise(HOSTILE)}  # fmt: skip
    assert set(read.edges) == expected
    for by, whom in expected:
        assert read.nodes[whom]["referrer_id"] == by  # data agree with edges


def test_hostile_ids_stay_as_they_are_elsewhere(by_hand, tmp_path):
    network = of_people(HOSTILE, base=by_hand)
    assert list(sl.to_networkx(network)) == HOSTILE
    assert sl.to_igraph(network).vs["name"] == HOSTILE
    table = pd.read_parquet(sl.write_graph(network, tmp_path / "hostile.parquet"))
    assert table["person_id"].tolist() == HOSTILE


@given(st.lists(st.text(st.characters(), max_size=6), max_size=8))
def test_every_text_has_its_own_xml(texts):
    # Surrogates and control characters included.
    written = [xml_characters(t) for t in texts]
    assert len(set(written)) == len(set(texts))
    for line in written:
        ET.fromstring(f"<a>{line.translate(str.maketrans({'<': ' ', '&': ' '}))}</a>")


def test_replacements_by_hand():
    assert xml_characters("half \ud800") == "half \\ud800"
    assert xml_characters("half \\ud800") == "half \\\\ud800"
    assert xml_characters("shop\\ann") == "shop\\ann"


@given(st.lists(st.text("\\u0\x00 7", max_size=7), max_size=8))
def test_replacements_never_meet(texts):
    assert len({xml_characters(t) for t in texts}) == len(set(texts))


# Kinds of columns -------------------------------------------------------------------


def test_other_kinds_of_columns_keep_their_type(by_hand, tmp_path):
    network = of_people(["ann", "bob"], base=by_hand)
    more = network.people.mutate(
        weight=ibis.cases((network.people.generation == 0, float("nan")), else_=0.5),
        is_buyer=network.people.generation == 0,
        referred_at=ibis.timestamp("2026-01-02 03:04:05"),
        revenue=ibis.literal("12.50").cast("decimal(10, 2)"),
    )
    parts = {name: getattr(network, name) for name in network.__dataclass_fields__}
    wide = type(network)(**parts | {"people": more})
    path = sl.write_graph(wide, tmp_path / "wide.graphml")
    ann, bob = (nx.read_graphml(path).nodes[name] for name in ("ann", "bob"))
    assert "weight" not in ann  # no number is missing, not "nan"
    assert "weight" not in sl.to_networkx(wide).nodes["ann"]
    assert (bob["weight"], ann["is_buyer"], bob["is_buyer"]) == (0.5, True, False)
    assert ann["revenue"] == 12.5
    assert type(sl.to_networkx(wide).nodes["ann"]["revenue"]) is float
    assert ann["referred_at"].startswith("2026-01-02 03:04:05")


# Edges ------------------------------------------------------------------------------


def test_a_network_of_nobody(tmp_path):
    network = sl.referral_network(events([("ann", 0)], [("bob", "bob", 1)]))
    assert network.n_people == 0
    path = sl.write_graph(network, tmp_path / "empty.graphml")
    for graph in (nx.read_graphml(path), sl.to_networkx(network)):
        assert len(graph) == 0
    assert sl.to_igraph(network).vcount() == 0
    assert len(pd.read_parquet(sl.write_graph(network, tmp_path / "e.parquet"))) == 0


def test_an_unknown_suffix_names_the_known_ones(by_hand, tmp_path):
    with pytest.raises(
        SettingError, match=r"one of \.graphml, \.parquet; got 'a.gexf'"
    ):
        sl.write_graph(by_hand, tmp_path / "a.gexf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", handover.FORMATS)
def test_a_file_appears_whole_or_not_at_all(by_hand, tmp_path, monkeypatch, suffix):
    target = tmp_path / f"shop{suffix}"
    target.write_text("older")
    with pytest.raises(FileError, match="SL140"):
        sl.write_graph(by_hand, tmp_path / "nowhere" / f"shop{suffix}")

    def stop(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(handover, "_write_lines", stop)
    monkeypatch.setattr(handover.pq, "write_table", stop)
    with pytest.raises(FileError, match="SL142"):
        sl.write_graph(by_hand, target)
    assert target.read_text() == "older"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("call", ["to_networkx", "to_igraph"])
def test_a_missing_package_is_named_with_the_command(by_hand, monkeypatch, call):
    monkeypatch.setattr(handover, "find_spec", lambda _: None)
    package = call.removeprefix("to_")
    with pytest.raises(SettingError, match=rf"{call} needs the package {package}") as e:
        getattr(sl, call)(by_hand)
    assert "pip install 'selfloop[graph]'" in str(e.value)


@pytest.mark.parametrize("call", ["to_networkx", "to_igraph", "write_graph"])
def test_anything_but_a_network_is_refused(call, tmp_path):
    more = [tmp_path / "a.graphml"] if call == "write_graph" else []
    with pytest.raises(SettingError, match=r"link_network\(...\); got DataFrame"):
        getattr(sl, call)(pd.DataFrame(), *more)


def test_the_network_is_not_changed(by_hand):
    before = by_hand.people.order_by("person_id").to_pandas()
    sl.to_networkx(by_hand).nodes["ann"]["reach"] = 99
    pd.testing.assert_frame_equal(
        by_hand.people.order_by("person_id").to_pandas(), before
    )


def test_networks_of_links_alone_are_handed_over_too(tmp_path):
    links = pd.DataFrame(
        {"referrer_id": ["a", "a", "b"], "referee_id": ["b", "c", "d"]}
    )
    values = pd.DataFrame({"person_id": ["b", "d"], "value": [2.0, 6.0]})
    network = sl.link_network(links, values)
    graph = sl.to_networkx(network)
    assert set(graph.edges) == {("a", "b"), ("a", "c"), ("b", "d")}
    assert graph.nodes["a"]["reach"] == 3
    # Half of d's 6 goes to b, and half of b's 2 + 3 to a.
    assert graph.nodes["a"]["social_value"] == pytest.approx(2.5)
    path = sl.write_graph(network, tmp_path / "links.graphml")
    read = nx.read_graphml(path)
    assert set(read.edges) == set(graph.edges)
    assert read.nodes["b"]["value"] == 2.0
    table = pd.read_parquet(sl.write_graph(network, tmp_path / "links.parquet"))
    assert len(table) == 4
    assert sl.to_igraph(network).ecount() == 3
