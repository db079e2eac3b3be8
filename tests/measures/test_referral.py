"""Referral network: by hand, two epidemics with known trees, networkx, laws, edges."""

import math

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from small_shops import orders, referrals

import selfloop as sl
from selfloop.core.errors import MissingTableError, SettingError
from selfloop.kernels.intervals import wilson
from selfloop.measures.referral.network import N_TREES, forest_of


def people_of(network):
    """Return everybody in the network by id."""
    return network.people.to_pandas().set_index("person_id")


def outcomes(events):
    """Return rows of the referral table by audit code."""
    audit = events.audit[events.audit["table"] == "referrals"]
    return audit.set_index("code")["n_rows"].to_dict()


# By hand ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_hand():
    """Two trees: ann brings bob and cat, bob dan, dan eve; and fay brings gus.

    eve and fay never bought; hal is in no referral.
    """
    return sl.read_events(
        orders(
            ("ann", 0, 10), ("bob", 5, 20), ("cat", 6, 30), ("dan", 9, 40),
            ("dan", 12, -15), ("gus", 20, 50), ("hal", 21, 60),
        ),
        referrals(
            ("ann", "bob", 4), ("ann", "cat", 6), ("bob", "dan", 8), ("dan", "eve", 15),
            ("fay", "gus", 19),
        ),
    )  # fmt: skip


def test_people_by_hand(by_hand):
    found = people_of(sl.referral_network(by_hand))
    expected = {
        # referrer, root, generation, invited, referred (bought), reach, depth below,
        # own revenue and that of all below as well
        "ann": (None, "ann", 0, 2, 2, 4, 3, 10, 10 + 20 + 30 + 25),
        "bob": ("ann", "ann", 1, 1, 1, 2, 2, 20, 20 + 25),
        "cat": ("ann", "ann", 1, 0, 0, 0, 0, 30, 30),
        "dan": ("bob", "ann", 2, 1, 0, 1, 1, 25, 25),
        "eve": ("dan", "ann", 3, 0, 0, 0, 0, 0, 0),
        "fay": (None, "fay", 0, 1, 1, 1, 1, 0, 50),
        "gus": ("fay", "fay", 1, 0, 0, 0, 0, 50, 50),
    }
    table = {
        who: tuple(None if pd.isna(v) else v for v in row)
        for who, row in zip(found.index, found.itertuples(index=False), strict=True)
    }
    assert table == expected


def test_generations_by_hand(by_hand):
    table = sl.referral_network(by_hand).generations
    # Generation 0 has everybody who was not referred, hal too.
    assert table["n_people"].tolist() == [3, 3, 1, 1]
    assert table["n_buyers"].tolist() == [2, 3, 1, 0]
    assert table["revenue"].tolist() == [70, 100, 25, 0]
    assert table["share_buyers"].tolist() == [2 / 3, 1, 1, 0]
    assert table["revenue_per_buyer"].tolist()[:3] == [35, 100 / 3, 25]
    assert math.isnan(table["revenue_per_buyer"].iloc[3])
    assert table["share_matured"].isna().all()  # fewer than 30
    assert table["lifetime_value_per_buyer"].isna().all()  # no values given


@pytest.fixture(scope="module")
def two_generations():
    """40 buyers of day 0 for 10; each brings one person the next day.

    30 of these 40 buy for 4 after 5 days, the others after 15 days; 20 of the 30 buy
    for 6 more after another 10 days and get 1 back on the next. One more person is
    brought on day 28. The last day is 30 and W is 10 days.
    """
    old = [(f"a{i:02d}", 0, 10) for i in range(40)]
    new = [(f"b{i:02d}", 6 if i < 30 else 16, 4) for i in range(40)]
    again = [(f"b{i:02d}", 16, 6) for i in range(20)]
    back = [(f"b{i:02d}", 17, -1) for i in range(20)]
    return sl.read_events(
        orders(*old, *new, *again, *back, ("late", 30, 8)),
        referrals(
            *((f"a{i:02d}", f"b{i:02d}", 1) for i in range(40)), ("a00", "late", 28)
        ),
        end=shops.date_of(30),
    )


def test_generations_are_compared_by_the_same_days(two_generations):
    table = sl.referral_network(two_generations, window_days=10).generations
    line = table.set_index("generation").loc[1]
    # 41 people came, 40 of them 10 days ago or more; 30 bought within 10 days.
    assert (line["n_people"], line["n_matured"]) == (41, 40)
    assert line["share_matured"] == 30 / 40
    low, high = wilson(30, 40)
    assert line["share_matured_low"] == pytest.approx(float(low))
    assert line["share_matured_high"] == pytest.approx(float(high))
    # All 40 bought 10 days ago or more. In the days 0 to 10 after that, 20 spent
    # 4 + 6 and the refund of day 11 is outside; 20 spent 4.
    assert line["n_buyers_matured"] == 40
    spent = np.array([10.0] * 20 + [4.0] * 20)
    reach = 1.959964 * spent.std(ddof=1) / math.sqrt(40)
    assert line["value_matured"] == pytest.approx(7)
    assert line["value_matured_low"] == pytest.approx(7 - reach)
    assert line["value_matured_high"] == pytest.approx(7 + reach)


def test_lifetime_value_by_generation_is_the_mean_of_buyers(simulated_events):
    values = sl.customer_value(simulated_events)
    table = sl.referral_network(simulated_events, values=values).generations
    frame = values.to_pandas()
    buyers = frame[frame["n_purchases"] > 0]
    mean = buyers.groupby("generation")["lifetime_value"].mean()
    found = table.set_index("generation")["lifetime_value_per_buyer"].dropna()
    assert found.index.tolist() == mean.index.tolist()
    assert found.to_numpy() == pytest.approx(mean.to_numpy(), rel=1e-9)


def test_settings_of_generations(by_hand):
    with pytest.raises(SettingError, match="window_days must be between 1 and"):
        sl.referral_network(by_hand, window_days=0)
    with pytest.raises(SettingError, match=r"values must be the result of customer_va"):
        sl.referral_network(by_hand, values=sl.people(by_hand))


def test_trees_by_hand(by_hand):
    table = sl.referral_network(by_hand).trees
    assert table["root_id"].tolist() == ["ann", "fay"]
    assert table["n_people"].tolist() == [5, 2]
    assert table["n_buyers"].tolist() == [4, 1]
    assert table["depth"].tolist() == [3, 1]
    # ann's: distances ab 1, ac 1, ad 2, ae 3, bc 2, bd 1, be 2, cd 3, ce 4, de 1 = 20
    # over 10 pairs; fay's: one pair at distance 1.
    assert table["structural_virality"].tolist() == [2, 1]
    assert table["revenue"].tolist() == [85, 50]
    assert table["revenue_root"].tolist() == [10, 0]
    assert table["revenue_brought"].tolist() == [75, 50]


def test_k_has_its_denominators(by_hand):
    network = sl.referral_network(by_hand)
    # 5 links by 4 people of whom 4 referees bought; 6 buyers in the shop.
    assert (network.n_people, network.n_links, network.n_roots) == (7, 5, 2)
    assert (network.n_referrers, network.n_successes) == (4, 4)
    assert network.max_generation == 3
    assert network.k_invitations == 5 / 6
    assert network.k_conversion == 4 / 5
    assert network.k == pytest.approx(4 / 6)
    shown = "5 referrals / 6 buyers = 0.8333, x 4 who bought / 5 = 80.0 %, makes 0.6667"
    assert shown in repr(network)


def test_a_second_referrer_is_in_the_network_without_a_tree():
    # cat was brought by ann and, later, by bob. In the forest ann alone counts.
    events = sl.read_events(
        orders(("ann", 0, 1), ("bob", 0, 1), ("cat", 9, 1)),
        referrals(("ann", "cat", 3), ("bob", "cat", 5)),
        attribution="linear",
    )
    network = sl.referral_network(events)
    assert network.trees["root_id"].tolist() == ["ann"]
    assert (network.n_people, network.n_links, network.n_roots) == (3, 1, 2)
    found = people_of(network)
    assert found.loc["bob", ["n_invited", "n_referred", "reach"]].tolist() == [1, 1, 0]
    assert found.loc["ann", ["n_invited", "n_referred", "reach"]].tolist() == [1, 1, 1]


# Hagelloch --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hagelloch_cases():
    cases = pd.read_csv(shops.FIXTURES / "hagelloch_1861.csv", dtype=str)
    return cases.assign(onset=pd.to_datetime(cases["date_of_prodrome"]))


@pytest.fixture(scope="module")
def hagelloch(hagelloch_cases):
    """The measles of Hagelloch as referrals: a case is brought by its infector.

    Every case buys one unit on its own day, on which it was infected as well.
    """
    units = hagelloch_cases.rename(
        columns={"case_id": "customer_id", "onset": "ordered_at"}
    )
    return sl.read_events(
        units[["customer_id", "ordered_at"]].assign(amount=1),
        shops.FIXTURES / "hagelloch_1861.csv",
        columns={
            "referrals": {
                "referrer_id": "infector",
                "referee_id": "case_id",
                "referred_at": "date_of_prodrome",
            }
        },
    )


@pytest.fixture(scope="module")
def hagelloch_network(hagelloch):
    return sl.referral_network(hagelloch)


def test_hagelloch_every_row_is_accounted_for(hagelloch, hagelloch_network):
    # 188 cases, 184 of them with an infector.
    assert outcomes(hagelloch) == {"": 184, "SL201": 4}
    assert hagelloch_network.n_links == 184
    assert hagelloch_network.n_successes == 184
    assert hagelloch_network.k == 184 / 188


def test_hagelloch_generations(hagelloch_network):
    table = hagelloch_network.generations
    assert table["generation"].tolist() == [0, 1, 2, 3, 4, 5]
    assert table["n_people"].tolist() == [4, 8, 50, 102, 22, 2]
    assert table["n_buyers"].tolist() == [4, 8, 50, 102, 22, 2]
    assert table["revenue"].tolist() == [4, 8, 50, 102, 22, 2]
    assert hagelloch_network.max_generation == 5


def test_hagelloch_trees(hagelloch, hagelloch_network):
    # Four roots; one of them infected nobody and is in no referral.
    assert hagelloch_network.trees["n_people"].tolist() == [173, 9, 5]
    assert hagelloch_network.n_roots == 3
    assert hagelloch_network.n_people == 187
    everybody = set(sl.people(hagelloch).to_pandas()["person_id"])
    alone = everybody - set(people_of(hagelloch_network).index)
    assert set(hagelloch_network.trees["root_id"]) | alone == {
        "141", "173", "174", "184",
    }  # fmt: skip


def test_hagelloch_fan_outs(hagelloch_network):
    found = people_of(hagelloch_network)
    fan_out = found["n_invited"].sort_values(ascending=False)
    assert fan_out.head(5).tolist() == [30, 8, 7, 7, 7]
    assert (fan_out > 0).sum() == hagelloch_network.n_referrers == 62
    assert fan_out.sum() == 184


def test_hagelloch_generation_time_and_r(hagelloch):
    # Lags of 7 to 16 days, mean 10.39, median 10.
    loop = sl.self_loop(hagelloch, horizons_days=(6, 16), min_at_risk=1)
    curve = loop.curve
    ages = np.repeat(curve["age_days"], curve["n_referrals"])
    assert (ages.size, ages.min(), ages.max()) == (184, 7, 16)
    assert np.median(ages) == 10
    assert ages.mean() == pytest.approx(10.39, abs=0.005)
    r = loop.reproduction.set_index("horizon_days")["r"]
    assert r[6] == 0
    # An epidemic that ended: nearly one each, all but the last seen to the end.
    assert r[16] == pytest.approx(184 / 188, rel=0.01)
    assert loop.n_seeding == 0


def test_hagelloch_agrees_with_networkx(hagelloch_cases, hagelloch_network):
    links = hagelloch_cases.dropna(subset="infector")
    agrees_with_networkx(hagelloch_network, links[["infector", "case_id"]].to_numpy())


# MERS -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contacts():
    """The contacts of MERS in Korea, with the onset of both in days.

    The table has lags, not dates; along all contacts they add up without a conflict.
    """
    table = pd.read_csv(shops.FIXTURES / "mers_korea_contacts.csv")
    onset = {"SK_1": 0, "SK_76": 0}
    while len(onset) < 97:
        for row in table.itertuples():
            source, case = row[1], row[2]
            if source in onset:
                assert onset.setdefault(case, onset[source] + row.diff_dt_onset) == (
                    onset[source] + row.diff_dt_onset
                )
    return table, onset


@pytest.fixture(scope="module")
def mers(contacts):
    """Referrals on the onset of the source; everybody buys one unit on their own."""
    table, onset = contacts
    brought = table.assign(
        at=shops.DAY_0 + pd.to_timedelta(table["from"].map(onset), "D")
    )
    units = orders(*((who, day, 1) for who, day in onset.items()))
    columns = {
        "referrals": {"referrer_id": "from", "referee_id": "to", "referred_at": "at"}
    }

    def read(attribution):
        return sl.read_events(units, brought, columns=columns, attribution=attribution)

    return {rule: read(rule) for rule in ("first", "last", "linear", "time_decay")}


def weights(events):
    """Return {(referrer, referee): weight} of the links that count."""
    names = events.core.select("person_no", "person_id").to_pandas()
    names = names.set_index("person_no")["person_id"]
    links = events.links.to_pandas()
    pairs = zip(
        links["referrer_no"].map(names), links["referee_no"].map(names), strict=True
    )
    return dict(zip(pairs, links["weight"], strict=True))


def test_mers_first_and_last_source(mers):
    # SK_39 has SK_14 (onset day 6), SK_11 (9) and SK_12 (10); SK_107 has SK_16 (9)
    # and SK_87 (24): 98 contacts, 95 people with a source, 3 rows set aside.
    for rule, sources in (("first", ("SK_14", "SK_16")), ("last", ("SK_12", "SK_87"))):
        assert outcomes(mers[rule]) == {"": 95, "SL205": 3}
        network = sl.referral_network(mers[rule])
        found = people_of(network)["referrer_id"]
        assert (found["SK_39"], found["SK_107"]) == sources
        assert (network.n_people, network.n_links, network.n_roots) == (97, 95, 2)
        assert network.trees["root_id"].tolist() == ["SK_1", "SK_76"]
        assert network.trees["n_people"].tolist() == [94, 3]
        assert set(weights(mers[rule]).values()) == {1}


def test_mers_depth_and_fan_outs(mers):
    network = sl.referral_network(mers["first"])
    assert network.max_generation == 3
    fan_out = people_of(network)["n_invited"].sort_values(ascending=False)
    assert fan_out.head(4).to_dict() == {
        "SK_14": 38,
        "SK_1": 26,
        "SK_16": 21,
        "SK_15": 4,
    }
    assert set(fan_out.index[fan_out == 2]) == {"SK_6", "SK_76"}


def test_mers_every_contact_counts_when_credit_is_shared(mers, contacts):
    for rule in ("linear", "time_decay"):
        assert outcomes(mers[rule]) == {"": 98}
        found = weights(mers[rule])
        pairs = contacts[0][["from", "to"]].itertuples(index=False, name=None)
        assert set(found) == set(pairs)
        per_case = pd.Series(found).groupby(level=1).sum()
        assert len(per_case) == 95
        assert per_case.to_numpy() == pytest.approx(1)
    linear, decay = weights(mers["linear"]), weights(mers["time_decay"])
    assert linear["SK_87", "SK_107"] == 1 / 2
    assert linear["SK_12", "SK_39"] == pytest.approx(1 / 3)
    # Half-life of 7 days: 15 days between the sources of SK_107.
    assert decay["SK_16", "SK_107"] / decay["SK_87", "SK_107"] == pytest.approx(
        2 ** (-15 / 7)
    )
    assert decay["SK_14", "SK_39"] / decay["SK_12", "SK_39"] == pytest.approx(
        2 ** (-4 / 7)
    )


def test_mers_the_forest_of_shared_credit_is_that_of_the_first(mers):
    first = sl.referral_network(mers["first"])
    shared = sl.referral_network(mers["linear"])
    pd.testing.assert_frame_equal(shared.generations, first.generations)
    pd.testing.assert_frame_equal(shared.trees, first.trees)
    # Invitations are those of all sources.
    assert people_of(shared)["n_invited"].sum() == 98
    assert people_of(first)["n_invited"].sum() == 95
    assert (shared.n_links, shared.n_successes) == (95, 95)


# networkx ---------------------------------------------------------------------------


def agrees_with_networkx(network, links):
    """Compare every number of a network of (referrer, referee) with networkx."""
    graph = nx.DiGraph()
    graph.add_edges_from(map(tuple, links))
    found = people_of(network)
    assert set(found.index) == set(graph)
    assert network.n_people == graph.number_of_nodes()
    assert network.n_links == graph.number_of_edges()
    roots = [who for who, n in graph.in_degree if n == 0]
    assert network.n_roots == len(roots)
    trees = {}
    for root in roots:
        depth = nx.single_source_shortest_path_length(graph, root)
        branch = graph.subgraph(depth)
        pairs = len(depth) * (len(depth) - 1) / 2
        mean = nx.wiener_index(branch.to_undirected()) / pairs
        trees[root] = (len(depth), max(depth.values()), mean)
        for who, generation in depth.items():
            assert found.at[who, "root_id"] == root
            assert found.at[who, "generation"] == generation
    assert network.max_generation == max(depth for _, depth, _ in trees.values())
    for who in graph:
        below = nx.single_source_shortest_path_length(graph, who)
        assert found.at[who, "reach"] == len(below) - 1
        assert found.at[who, "subtree_depth"] == max(below.values())
        assert found.at[who, "n_invited"] == graph.out_degree(who)
        above = list(graph.predecessors(who))
        referrer = found.at[who, "referrer_id"]
        assert above == ([] if pd.isna(referrer) else [referrer])
    sizes = sorted((size for size, _, _ in trees.values()), reverse=True)
    assert network.trees["n_people"].tolist() == sizes[:N_TREES]
    for tree in network.trees.itertuples():
        size, depth, mean = trees[tree.root_id]
        assert (tree.n_people, tree.depth) == (size, depth)
        assert tree.structural_virality == pytest.approx(mean)


@pytest.fixture(scope="module")
def simulated_network(simulated_events):
    return sl.referral_network(simulated_events)


def test_the_simulated_network_agrees_with_networkx(
    simulated_network, simulated_people
):
    links = simulated_people["referrer"].dropna().reset_index()
    agrees_with_networkx(simulated_network, links[["referrer", "person_id"]].to_numpy())
    assert simulated_network.max_generation >= 4
    assert len(simulated_network.trees) == N_TREES


def test_buyers_and_revenue_agree_with_pandas(simulated_network, simulated_people):
    people = simulated_people.assign(
        is_buyer=simulated_people["n_purchases"] > 0,
        generation=people_of(simulated_network)["generation"],
    ).fillna({"generation": 0, "revenue": 0})
    expected = people.groupby("generation").agg(
        n_people=("revenue", "size"),
        n_buyers=("is_buyer", "sum"),
        revenue=("revenue", "sum"),
    )
    found = simulated_network.generations.set_index("generation")
    for column in expected:
        assert found[column].to_numpy() == pytest.approx(expected[column].to_numpy())
    referred = people["referrer"].notna()
    n_buyers = people["is_buyer"].sum()
    assert simulated_network.n_successes == (referred & people["is_buyer"]).sum()
    assert simulated_network.k_invitations == referred.sum() / n_buyers
    root = people_of(simulated_network)["root_id"].reindex(people.index)
    for column, what in (("n_buyers", "is_buyer"), ("revenue", "revenue")):
        summed = people.groupby(root)[what].sum()
        trees = simulated_network.trees
        assert trees[column].to_numpy() == pytest.approx(
            summed[trees["root_id"]].to_numpy()
        )


def test_a_forest_of_arrays_is_that_of_the_table(untidy_events):
    forest = forest_of(untidy_events)
    names = untidy_events.core.select("person_no", "person_id").to_pandas()
    ids = names.set_index("person_no")["person_id"].reindex(forest.person_no).to_numpy()
    found = people_of(sl.referral_network(untidy_events)).loc[ids]
    referrer = np.where(forest.parent < 0, None, ids[forest.parent])
    assert (
        found["referrer_id"]
        .astype(object)
        .where(found["referrer_id"].notna(), None)
        .tolist()
        == referrer.tolist()
    )
    assert found["root_id"].tolist() == ids[forest.root].tolist()
    assert found["generation"].tolist() == forest.generation.tolist()
    people = sl.people(untidy_events).to_pandas().set_index("person_id").loc[ids]
    assert (people["n_purchases"] > 0).tolist() == forest.is_buyer.tolist()
    assert forest.revenue == pytest.approx(people["revenue"].astype(float).to_numpy())


# Laws -------------------------------------------------------------------------------


def test_row_order_does_not_matter(untidy_events, shuffled_events):
    expected = sl.referral_network(untidy_events)
    found = sl.referral_network(shuffled_events)
    pd.testing.assert_frame_equal(found.generations, expected.generations)
    pd.testing.assert_frame_equal(found.trees, expected.trees)
    pd.testing.assert_frame_equal(
        people_of(found).sort_index(), people_of(expected).sort_index()
    )


def test_renaming_people_renames_the_result(untidy_events, renamed_events):
    def rename(i):
        return i if pd.isna(i) else f"x{i[::-1]}"

    expected = people_of(sl.referral_network(untidy_events))
    expected.index = expected.index.map(rename)
    for column in ("referrer_id", "root_id"):
        expected[column] = expected[column].map(rename)
    found = people_of(sl.referral_network(renamed_events))
    pd.testing.assert_frame_equal(
        found.sort_index(), expected.sort_index(), check_names=False
    )


def test_ten_times_the_money_changes_money_only(untidy_events, richer_events):
    expected = sl.referral_network(untidy_events)
    found = sl.referral_network(richer_events)
    for name in ("generations", "trees"):
        table = getattr(expected, name)
        money = [c for c in table if c.startswith(("revenue", "value"))]
        pd.testing.assert_frame_equal(
            getattr(found, name), table.assign(**(table[money] * 10))
        )


def test_a_bystander_changes_nobody_else(untidy_events, bystander_events):
    expected = sl.referral_network(untidy_events)
    found = sl.referral_network(bystander_events)
    pd.testing.assert_frame_equal(
        people_of(found).sort_index(), people_of(expected).sort_index()
    )
    pd.testing.assert_frame_equal(found.trees, expected.trees)
    assert found.generations["n_people"].tolist() == [
        n + (generation == 0)
        for generation, n in enumerate(expected.generations["n_people"])
    ]


def test_people_of_generations_are_all_people(untidy_events, simulated_events):
    for events in (untidy_events, simulated_events):
        table = sl.referral_network(events).generations
        assert table["n_people"].sum() == events.totals["n_people"]
        assert table["n_buyers"].sum() == events.totals["n_buyers"]
        assert table["revenue"].sum() == pytest.approx(
            float(events.totals["revenue_customers"])
        )


# Edges ------------------------------------------------------------------------------


def test_a_ring_loses_its_latest_link():
    # a -> b -> c -> a: c brought a last, so a is the root of a chain of three.
    events = sl.read_events(
        orders(("a", 30, 1), ("b", 30, 1), ("c", 30, 1)),
        referrals(("a", "b", 1), ("b", "c", 2), ("c", "a", 3)),
    )
    network = sl.referral_network(events)
    assert outcomes(events) == {"": 2, "SL207": 1}
    assert network.trees["root_id"].tolist() == ["a"]
    assert network.max_generation == 2
    assert network.trees["structural_virality"].tolist() == pytest.approx([4 / 3])


def test_no_referral_counts():
    events = sl.read_events(
        orders(("a", 0, 1), ("b", 0, 1)), referrals(("a", "a", 0), ("a", "b", 5))
    )
    network = sl.referral_network(events)
    assert outcomes(events) == {"SL202": 1, "SL204": 1}
    assert (network.n_people, network.n_links, network.n_roots) == (0, 0, 0)
    assert network.trees.empty
    assert network.people.to_pandas().empty
    assert network.generations["n_people"].tolist() == [2]
    assert (network.max_generation, network.n_referrers, network.k) == (0, 0, 0)
    # Of no invitations no share has bought.
    assert math.isnan(network.k_conversion)
    assert "K so far" in repr(network)


def test_everybody_brought_by_one_who_never_bought():
    events = sl.read_events(
        orders(*((f"c{i}", i, 2) for i in range(10))),
        referrals(*(("staff", f"c{i}", i) for i in range(10))),
    )
    network = sl.referral_network(events)
    (tree,) = network.trees.to_dict("records")
    assert tree["root_id"] == "staff"
    assert (tree["n_people"], tree["n_buyers"], tree["depth"]) == (11, 10, 1)
    # A star of eleven: 2 (n - 1) / n.
    assert tree["structural_virality"] == pytest.approx(20 / 11)
    assert (tree["revenue"], tree["revenue_root"]) == (20, 0)
    assert network.k_invitations == 1


@pytest.mark.parametrize(
    "table", [orders((None, 0, 5)), orders(("a", 0, -5))], ids=["guests", "refunds"]
)
def test_nobody_bought(table):
    network = sl.referral_network(sl.read_events(table, referrals(("a", "b", 0))))
    assert (network.n_people, network.n_links, network.n_successes) == (2, 1, 0)
    assert math.isnan(network.k_invitations)
    assert math.isnan(network.k)
    assert network.k_conversion == 0
    assert network.generations["revenue_per_buyer"].isna().all()


def test_a_deep_chain():
    n = 3_000
    table = referrals(*((f"c{i}", f"c{i + 1}", i / n) for i in range(n - 1)))
    network = sl.referral_network(sl.read_events(orders(("c0", 0, 1)), table))
    assert network.max_generation == n - 1
    assert network.trees["structural_virality"].tolist() == pytest.approx([(n + 1) / 3])
    assert people_of(network).loc["c0", "reach"] == n - 1


def test_referrals_are_needed(retail_events):
    with pytest.raises(MissingTableError, match=r"referral_network needs .* referrals"):
        sl.referral_network(retail_events)


def test_tables_have_the_columns_of_the_schema(simulated_network):
    assert shops.has_columns(simulated_network.generations, "generations")
    assert shops.has_columns(simulated_network.trees, "trees")
    assert shops.has_columns(simulated_network.people, "network_people")
    assert simulated_network.to_frame().equals(simulated_network.generations)


def test_hostile_ids_are_inert():
    events = sl.read_events(
        orders((shops.HOSTILE, 0, 1), ("b", 3, 1)), referrals((shops.HOSTILE, "b", 1))
    )
    network = sl.referral_network(events)
    assert network.trees["root_id"].tolist() == [shops.HOSTILE]
    page = network._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert shops.HOSTILE in repr(network)
