"""Customer value: the ledger by hand and by naive recursion, conservation, laws."""

import functools
import itertools
import math

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from small_shops import orders, referrals

import selfloop as sl
from selfloop.core.errors import (
    FitError,
    FitWarning,
    MissingTableError,
    SettingError,
)
from selfloop.core.settings import Sharing
from selfloop.measures.social import value_table

LEDGER = ["given_value", "social_value", "total_value"]
OTHERS = ["reach", "direct_value", "network_value"]


def values(events, rule="halving"):
    """Return everybody's value without a model, by id."""
    table = value_table(
        events, None, Sharing(rule), horizon_days=365, discount_rate=0.0
    ).to_pandas()
    return table.set_index("person_id").sort_index()


def weighted_links(events):
    """Return the links that count: referrer, referee, weight."""
    names = events.core.select("person_no", "person_id").to_pandas()
    names = names.set_index("person_no")["person_id"]
    links = events.links.to_pandas()
    return list(
        zip(
            links["referrer_no"].map(names),
            links["referee_no"].map(names),
            links["weight"],
            strict=True,
        )
    )


def naive_ledger(own, links, rule):
    """Follow every yuan upwards, person by person, by the recursion as defined."""
    referrers = {who: [(v, w) for v, u, w in links if u == who] for who in own}
    referees = {who: [(u, w) for v, u, w in links if v == who] for who in own}

    @functools.cache
    def generation(u):
        return sum(w * (generation(v) + 1) for v, w in referrers[u])

    def tau(u):
        if not referrers[u]:
            return 0.0
        return 0.5 if rule == "halving" else generation(u) / (generation(u) + 1)

    @functools.cache
    def flow(v):
        return own[v] + sum(w * tau(u) * flow(u) for u, w in referees[v])

    lines = {}
    for v in own:
        given = tau(v) * own[v]
        social = (1 - tau(v)) * sum(w * tau(u) * flow(u) for u, w in referees[v])
        lines[v] = (given, social, own[v] - given + social)
    return pd.DataFrame.from_dict(lines, orient="index", columns=LEDGER).sort_index()


def check_ledger(events, rule):
    """Compare the ledger with the recursion, and check that it adds up."""
    table = values(events, rule)
    own = table["revenue"].to_dict()
    expected = naive_ledger(own, weighted_links(events), rule)
    np.testing.assert_allclose(
        table[LEDGER].to_numpy(float), expected.to_numpy(float), rtol=1e-9, atol=1e-9
    )
    revenue = float(events.totals["revenue_customers"])
    assert table["revenue"].sum() == pytest.approx(revenue, abs=1e-6)
    assert table["total_value"].sum() == pytest.approx(revenue, abs=1e-6)
    assert table["social_value"].sum() == pytest.approx(
        table["given_value"].sum(), abs=1e-6
    )
    return table


# By hand ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_hand():
    """ann (80) brings bob (40) and cat (-8 in all), bob brings dan (16).

    staff, who never bought, brings eve (100). fay (7) is in no referral. gus has only
    a refund of 3. zed visits and never buys.
    """
    return sl.read_events(
        orders(
            ("ann", 0, 80), ("bob", 5, 40), ("cat", 6, 2), ("cat", 9, -10),
            ("dan", 9, 16), ("eve", 9, 100), ("fay", 20, 7), ("gus", 20, -3),
        ),
        referrals(
            ("ann", "bob", 4), ("ann", "cat", 6), ("bob", "dan", 8),
            ("staff", "eve", 3),
        ),
        visits=shops.visits(("zed", 1, "ads")),
    )  # fmt: skip


def test_halving_by_hand(by_hand):
    table = values(by_hand)
    # F: dan 16, bob 40 + 16/2 = 48, cat -8, ann 80 + 48/2 - 8/2 = 100, eve 100,
    # staff 50. A referred person keeps half of F, a root all of it.
    expected = {
        # given, social, total
        "ann": (0, 20, 100), "bob": (20, 4, 24), "cat": (-4, 0, -4), "dan": (8, 0, 8),
        "eve": (50, 0, 50), "fay": (0, 0, 7), "gus": (0, 0, -3), "staff": (0, 50, 50),
    }  # fmt: skip
    found = {who: tuple(row) for who, row in table[LEDGER].iterrows()}
    assert found == expected
    # 80 + 40 - 8 + 16 + 100 + 7 - 3.
    assert table["total_value"].sum() == table["revenue"].sum() == 232


def test_shapley_by_hand(by_hand):
    table = values(by_hand, "shapley")
    # dan's 16 in thirds over ann, bob, dan; bob's 40 and cat's -8 in halves; eve's in
    # halves with staff.
    third = 16 / 3
    expected = {
        "ann": (0, 20 - 4 + third), "bob": (20, third), "cat": (-4, 0),
        "dan": (2 * third, 0), "eve": (50, 0), "fay": (0, 0), "gus": (0, 0),
        "staff": (0, 50),
    }  # fmt: skip
    for who, (passed_up, kept) in expected.items():
        row = table.loc[who]
        assert row["given_value"] == pytest.approx(passed_up)
        assert row["social_value"] == pytest.approx(kept)
        assert row["total_value"] == pytest.approx(row["revenue"] - passed_up + kept)
    assert table["total_value"].sum() == pytest.approx(232)


def test_values_that_do_not_add_up_by_hand(by_hand):
    table = values(by_hand)
    expected = {
        # reach, direct, network
        "ann": (3, 32, 48), "bob": (1, 16, 16), "cat": (0, 0, 0), "dan": (0, 0, 0),
        "eve": (0, 0, 0), "fay": (0, 0, 0), "gus": (0, 0, 0), "staff": (1, 100, 100),
    }  # fmt: skip
    found = {who: tuple(row) for who, row in table[OTHERS].iterrows()}
    assert found == expected
    # They are the same under every rule.
    pd.testing.assert_frame_equal(values(by_hand, "shapley")[OTHERS], table[OTHERS])


def test_who_has_a_line(by_hand):
    table = values(by_hand)
    # Buyers, people of the network and gus, whose refund is part of revenue; not zed.
    assert table.index.tolist() == [
        "ann", "bob", "cat", "dan", "eve", "fay", "gus", "staff",
    ]  # fmt: skip
    assert table["n_purchases"].tolist() == [1, 1, 1, 1, 1, 1, 0, 0]
    assert table.loc["staff", ["n_invited", "n_referred"]].tolist() == [1, 1]
    assert table.loc["staff", "revenue"] == 0
    assert pd.isna(table.loc["gus", "first_order_at"])
    assert table["source"].to_dict()["dan"] == "referral"
    # No model was used: what is expected is missing, and so is the lifetime value.
    missing = ["p_alive", "expected_purchases", "expected_value", "lifetime_value"]
    assert table[missing].isna().all(axis=None)


def test_shapley_is_the_shapley_value(by_hand):
    # An order happens only if the buyer and all above are there: v(S) is the revenue
    # of those whose whole chain lies in S. Average the gain over all 720 arrivals.
    own = {
        "ann": 80.0,
        "bob": 40.0,
        "cat": -8.0,
        "dan": 16.0,
        "eve": 100.0,
        "staff": 0.0,
    }
    parent = {"bob": "ann", "cat": "ann", "dan": "bob", "eve": "staff"}

    def chain(who):
        return {who} | (chain(parent[who]) if who in parent else set())

    def worth(present):
        return sum(value for who, value in own.items() if chain(who) <= present)

    mean = dict.fromkeys(own, 0.0)
    arrivals = list(itertools.permutations(own))
    for arrival in arrivals:
        for position, who in enumerate(arrival):
            before = set(arrival[:position])
            mean[who] += (worth(before | {who}) - worth(before)) / len(arrivals)
    table = values(by_hand, "shapley")
    for who, expected in mean.items():
        assert table.loc[who, "total_value"] == pytest.approx(expected)


def test_shared_credit_by_hand():
    # cat (90) was brought by ann and bob, half each; bob (40) by ann alone.
    events = sl.read_events(
        orders(("ann", 0, 10), ("bob", 2, 40), ("cat", 9, 90)),
        referrals(("ann", "bob", 1), ("ann", "cat", 4), ("bob", "cat", 5)),
        attribution="linear",
    )
    table = values(events)
    # F: cat 90; bob 40 + 90/4 = 62.5; ann 10 + 90/4 + 62.5/2 = 63.75.
    assert table.loc["cat", LEDGER].tolist() == [45, 0, 45]
    assert table.loc["bob", LEDGER].tolist() == [20, 11.25, 31.25]
    assert table.loc["ann", LEDGER].tolist() == [0, 53.75, 63.75]
    # Both brought cat: the spend of cat is in the direct value of both.
    assert table["direct_value"].to_dict() == {"ann": 130, "bob": 90, "cat": 0}
    check_ledger(events, "shapley")


# Recursion and conservation ---------------------------------------------------------


@pytest.fixture(
    scope="module", params=["first", "last", "linear", "time_decay", "position"]
)
def attributed(request, untidy, untidy_events):
    """Return the untidy shop, with rings and refunds, by each way to attribute."""
    if request.param == "first":
        return untidy_events
    return sl.read_events(
        untidy.orders,
        untidy.referrals,
        visits=untidy.visits,
        attribution=request.param,
    )


@pytest.mark.parametrize("rule", ["halving", "shapley"])
def test_an_untidy_shop_adds_up(attributed, rule):
    table = check_ledger(attributed, rule)
    assert (table["social_value"] > 0).sum() > 20
    assert (table["revenue"] < 0).any()


@pytest.mark.parametrize("rule", ["halving", "shapley"])
def test_the_simulated_shop_agrees_with_the_recursion(
    simulated_events, simulated_people, rule
):
    table = values(simulated_events, rule)
    revenue = simulated_people["revenue"].fillna(0)
    network = simulated_people["referrer"].dropna()
    members = set(network) | set(network.index)
    links = [(by, who, 1.0) for who, by in network.items()]
    own = {who: revenue[who] for who in members}
    expected = naive_ledger_of_forest(own, links, rule)
    found = table.loc[sorted(members), LEDGER]
    np.testing.assert_allclose(found, expected.loc[sorted(members)], atol=1e-6)
    outside = table.drop(index=sorted(members))
    assert (outside[["given_value", "social_value"]] == 0).all(axis=None)
    assert (outside["total_value"] == outside["revenue"]).all()
    assert table["total_value"].sum() == pytest.approx(revenue.sum())


def naive_ledger_of_forest(own, links, rule):
    """Follow every person's spend up their chain, link by link."""
    parent = {u: v for v, u, _ in links}
    lines = {who: [0.0, 0.0] for who in own}
    for who, value in own.items():
        chain = [who]
        while chain[-1] in parent:
            chain.append(parent[chain[-1]])
        if rule == "shapley":
            kept = [value / len(chain)] * len(chain)
        else:
            kept = [value / 2 ** (k + 1) for k in range(len(chain) - 1)]
            kept.append(value - sum(kept))
        lines[who][0] += value - kept[0]
        for above, part in zip(chain[1:], kept[1:], strict=True):
            lines[above][1] += part
    table = pd.DataFrame.from_dict(lines, orient="index", columns=LEDGER[:2])
    total = pd.Series(own) - table["given_value"] + table["social_value"]
    return table.assign(total_value=total)


def test_direct_and_network_value_agree_with_pandas(simulated_events, simulated_people):
    table = values(simulated_events)
    revenue = simulated_people["revenue"].fillna(0)
    parent = simulated_people["referrer"].dropna()
    direct = revenue[parent.index].groupby(parent).sum()
    assert table.loc[direct.index, "direct_value"].to_numpy() == pytest.approx(
        direct.to_numpy()
    )
    below = dict.fromkeys(direct.index, 0.0)
    for who in parent.index:
        above = parent[who]
        while True:
            below[above] += revenue[who]
            if above not in parent.index:
                break
            above = parent[above]
    found = table.loc[list(below), "network_value"].to_numpy()
    assert found == pytest.approx(list(below.values()))
    quiet = table[table["n_invited"] == 0]
    assert (quiet[OTHERS] == 0).all(axis=None)


person = st.integers(0, 6)
small_shop = st.tuples(
    st.lists(
        st.tuples(person, st.integers(0, 30), st.integers(-50, 100)),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.tuples(person, person, st.integers(-10, 30)), min_size=1, max_size=12),
    st.sampled_from(["first", "last", "linear", "time_decay", "position"]),
)


# Reading is slow for a property, so few examples; they are small as they are.
@settings(max_examples=12, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(small_shop)
def test_any_shop_adds_up(shop):
    bought, brought, attribution = shop
    events = sl.read_events(
        orders(*((f"p{who}", day, amount) for who, day, amount in bought)),
        referrals(*((f"p{by}", f"p{who}", day) for by, who, day in brought)),
        attribution=attribution,
    )
    for rule in ("halving", "shapley"):
        check_ledger(events, rule)


# Expected value ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(simulated_events):
    return sl.fit_lifetime(simulated_events)


def test_expected_values_are_those_of_the_model(simulated_events, model):
    table = shops.by_id(
        sl.customer_value(simulated_events, model=model, horizon_days=90)
    )
    table = table.set_index("person_id")
    expected = shops.by_id(model.predict(90)).set_index("person_id")
    buyers = table[table["n_purchases"] > 0]
    names = ["p_alive", "expected_purchases", "expected_value"]
    pd.testing.assert_frame_equal(buyers[names], expected[names])
    assert buyers["lifetime_value"].to_numpy() == pytest.approx(
        (buyers["revenue"] + expected["expected_value"]).to_numpy()
    )
    # Of people who never bought nothing is expected: missing, not zero.
    assert table.loc[table["n_purchases"] == 0, names].isna().all(axis=None)
    assert table.loc[table["n_purchases"] == 0, "lifetime_value"].isna().all()


def test_a_model_is_fitted_when_none_is_given(simulated_events, model):
    found = shops.by_id(sl.customer_value(simulated_events, horizon_days=30))
    expected = shops.by_id(
        sl.customer_value(simulated_events, model=model, horizon_days=30)
    )
    pd.testing.assert_frame_equal(found, expected)


def test_a_model_of_other_events_is_refused(model, untidy_events):
    with pytest.raises(SettingError, match=r"fit_lifetime\(events\) of these events"):
        sl.customer_value(untidy_events, model=model)


def test_discounting_and_a_shorter_horizon_lower_what_is_expected(
    simulated_events, model
):
    def total(**settings):
        table = sl.customer_value(simulated_events, model=model, **settings)
        return table.expected_value.sum().to_pandas()

    year = total(horizon_days=365)
    assert total(horizon_days=90) < year
    assert total(horizon_days=365, discount_rate=0.2) < year
    assert total(horizon_days=365, discount_rate=0.2) > year / 1.2


# pytest.warns says again what the engine's library says of itself.
@pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")
def test_data_that_allow_no_model_warn(by_hand):
    with pytest.warns(FitWarning, match=r"no expected values: .* at least 10 buyers"):
        table = sl.customer_value(by_hand)
    found = table.to_pandas().set_index("person_id").sort_index()
    pd.testing.assert_frame_equal(found, values(by_hand))


# Laws -------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["halving", "shapley"])
def test_row_order_and_names_do_not_matter(
    untidy_events, shuffled_events, renamed_events, rule
):
    expected = values(untidy_events, rule)
    pd.testing.assert_frame_equal(values(shuffled_events, rule), expected)
    expected.index = expected.index.map(lambda i: f"x{i[::-1]}")
    found = values(renamed_events, rule)
    pd.testing.assert_frame_equal(found, expected.sort_index(), check_names=False)


def test_ten_times_the_money_is_ten_times_the_value(untidy_events, richer_events):
    expected, found = values(untidy_events), values(richer_events)
    money = ["revenue", "direct_value", "network_value", *LEDGER]
    scaled = expected.assign(**(expected[money] * 10))
    pd.testing.assert_frame_equal(found, scaled)


def test_a_bystander_changes_nobody_else(untidy_events, bystander_events):
    expected, found = values(untidy_events), values(bystander_events)
    row = found.loc["by"]
    assert row[["revenue", *LEDGER]].tolist() == [15, 0, 0, 15]
    pd.testing.assert_frame_equal(found.drop(index="by"), expected)


def test_both_rules_share_the_same_money(untidy_events):
    halving, shapley = values(untidy_events), values(untidy_events, "shapley")
    # Where a chain has one link the rules agree; below it they do not.
    first = halving["generation"] <= 1
    assert halving.loc[first, "given_value"].to_numpy() == pytest.approx(
        shapley.loc[first, "given_value"].to_numpy()
    )
    assert halving["total_value"].sum() == pytest.approx(shapley["total_value"].sum())
    assert not np.allclose(halving["social_value"], shapley["social_value"])


# Edges ------------------------------------------------------------------------------


def test_without_referrals_the_social_side_is_missing(retail_events):
    table = values(retail_events)
    social = ["n_invited", "n_referred", *OTHERS, *LEDGER]
    assert table[social].isna().all(axis=None)
    assert table["generation"].isna().all()
    # 1,085 customers, of whom 1,076 bought; some of the others net to zero.
    assert (table["n_purchases"] > 0).sum() == 1076
    assert table["revenue"].sum() == pytest.approx(1_828_066.141, abs=1e-6)


@pytest.mark.parametrize(
    ("table", "n_rows", "revenue"),
    [(orders((None, 0, 5)), 2, 0), (orders(("a", 0, -5), ("b", 3, -1)), 2, -6)],
    ids=["only guests", "only refunds"],
)
def test_nobody_bought(table, n_rows, revenue):
    events = sl.read_events(table, referrals(("a", "b", 0)))
    found = check_ledger(events, "halving")
    assert len(found) == n_rows
    assert found["total_value"].sum() == revenue


def test_one_customer_and_no_link():
    events = sl.read_events(orders(("a", 0, 5)), referrals(("a", "a", 0)))
    (row,) = values(events).to_dict("records")
    assert [row[c] for c in LEDGER] == [0, 0, 5]
    assert row["reach"] == 0


def test_a_long_chain_passes_the_money_up():
    n = 400
    bought = orders(*((f"c{i:03d}", i, 1) for i in range(n)))
    brought = referrals(*((f"c{i:03d}", f"c{i + 1:03d}", i) for i in range(n - 1)))
    events = sl.read_events(bought, brought)
    table = values(events, "shapley")
    # Everybody's unit is split over the chain above: the root has 1 + 1/2 + 1/3 ...
    assert table.loc["c000", "total_value"] == pytest.approx(
        math.fsum(1 / k for k in range(1, n + 1))
    )
    assert table["total_value"].sum() == pytest.approx(n)
    assert values(events)["total_value"].sum() == pytest.approx(n)


def test_the_table_has_the_columns_of_the_schema(simulated_events, retail_events):
    for events in (simulated_events, retail_events):
        table = value_table(
            events, None, Sharing("halving"), horizon_days=365, discount_rate=0
        )
        assert shops.has_columns(table, "customer_value")


def test_two_calls_do_not_disturb_each_other(by_hand):
    first = value_table(
        by_hand, None, Sharing("halving"), horizon_days=365, discount_rate=0.0
    )
    before = first.to_pandas()
    values(by_hand, "shapley")
    pd.testing.assert_frame_equal(first.to_pandas(), before)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"rule": "equal"}, "rule must be one of 'halving', 'shapley', 'geometric'"),
        ({"beta": 0.3}, "beta is a setting of rule 'geometric'; rule is 'halving'"),
        ({"rule": "geometric", "beta": 2}, "beta must be between 0 and 1"),
        ({"max_levels": -1}, "max_levels must be between 0"),
        ({"max_levels": 1.5}, "max_levels must be a whole number"),
        ({"window_days": 0}, "window_days must be between 1"),
        ({"incrementality": 1.2}, "incrementality must be between 0 and 1"),
        ({"margin": 0}, "margin must be between"),
        ({"basis": "profit"}, "basis must be one of 'revenue', 'expected', 'lifetime'"),
        (
            {"basis": "expected", "window_days": 30},
            "window_days is about orders that were made; basis is 'expected'",
        ),
        ({"horizon_days": 0}, "horizon_days must be at least 1"),
        ({"discount_rate": -0.1}, "discount_rate must be at least 0"),
    ],
)
def test_settings_are_checked(by_hand, setting, message):
    with pytest.raises(SettingError, match=message):
        sl.customer_value(by_hand, **setting)


# Rules, levels, windows, bases -------------------------------------------------------


def shared(events, **settings):
    """Return everybody's value without a model, by id."""
    margin = settings.pop("margin", 1.0)
    table = value_table(
        events, None, Sharing(**settings), margin=margin, horizon_days=365,
        discount_rate=0.0,
    ).to_pandas()  # fmt: skip
    return table.set_index("person_id").sort_index()


def test_geometric_by_hand(by_hand):
    # A quarter goes on. dan 16: 12 stays, 4 reaches bob, of which 1 reaches ann.
    table = shared(by_hand, rule="geometric", beta=0.25)
    assert table.loc["dan", LEDGER].tolist() == [4, 0, 12]
    assert table.loc["bob", LEDGER].tolist() == [10, 3, 33]
    # ann: a quarter of bob 40, of cat -8, and 1 of dan.
    assert table.loc["ann", LEDGER].tolist() == [0, 10 - 2 + 1, 89]


def test_one_level_by_hand(by_hand):
    # dan's half stays with bob: nothing of it reaches ann.
    table = shared(by_hand, max_levels=1)
    assert table.loc["bob", LEDGER].tolist() == [20, 8, 28]
    assert table.loc["ann", LEDGER].tolist() == [0, 20 - 4, 96]
    assert table["total_value"].sum() == pytest.approx(table["revenue"].sum())
    nobody = shared(by_hand, max_levels=0)
    assert (nobody["total_value"] == nobody["revenue"]).all()


def test_incrementality_by_hand(by_hand):
    # Half of the referred would have come anyway: a quarter of each order goes up.
    half = shared(by_hand, incrementality=0.5)
    quarter = shared(by_hand, rule="geometric", beta=0.25)
    pd.testing.assert_frame_equal(half, quarter)
    none = shared(by_hand, incrementality=0)
    assert (none["total_value"] == none["revenue"]).all()


def test_a_window_by_hand(by_hand):
    # cat was referred on day 6, bought for 2 that day and sent back 10 on day 9: with
    # two days only the 2 is shared, with three all of it.
    assert shared(by_hand, window_days=2).loc["cat", LEDGER].tolist() == [1, 0, -9]
    assert shared(by_hand, window_days=3).loc["cat", LEDGER].tolist() == [-4, 0, -4]
    # eve came on day 3 and bought on day 9.
    assert shared(by_hand, window_days=5).loc["staff", "social_value"] == 0
    assert shared(by_hand, window_days=6).loc["staff", "social_value"] == 50
    # A window that holds everything is no window.
    pd.testing.assert_frame_equal(shared(by_hand, window_days=99), shared(by_hand))


def test_a_margin_scales_all_but_revenue(by_hand):
    whole, part = shared(by_hand), shared(by_hand, margin=0.25)
    assert (part["revenue"] == whole["revenue"]).all()
    for name in (*LEDGER, "direct_value", "network_value"):
        assert part[name].to_numpy() == pytest.approx(whole[name].to_numpy() / 4)


@pytest.fixture(scope="module")
def simulated_model(simulated_events):
    return sl.fit_lifetime(simulated_events, model="mbg_nbd")


@pytest.mark.parametrize("basis", ["revenue", "expected", "lifetime"])
@pytest.mark.parametrize("max_levels", [None, 1, 3])
def test_every_basis_adds_up(simulated_events, simulated_model, basis, max_levels):
    table = sl.customer_value(
        simulated_events, model=simulated_model, basis=basis, margin=0.4,
        max_levels=max_levels,
    ).to_pandas()  # fmt: skip
    revenue = 0.4 * table["revenue"].sum()
    expected = simulated_model.total(365, margin=0.4).value
    found = {"revenue": revenue, "expected": expected, "lifetime": revenue + expected}
    assert table["total_value"].sum() == pytest.approx(found[basis], rel=1e-9)
    assert table["social_value"].sum() == pytest.approx(
        table["given_value"].sum(), rel=1e-9
    )
    assert (table["social_value"] > 0).sum() > 50
    buyers = table[table["expected_value"].notna()]
    assert buyers["lifetime_value"].sum() == pytest.approx(
        0.4 * buyers["revenue"].sum() + expected, rel=1e-9
    )


def test_expected_value_cannot_be_shared_without_a_model(by_hand):
    with pytest.raises(FitError, match="at least 10 buyers"):
        sl.customer_value(by_hand, basis="expected")


# Single orders -----------------------------------------------------------------------


def test_parts_of_orders_by_hand(by_hand):
    parts = sl.order_credits(by_hand, customer_ids=["dan", "fay"])
    assert parts["customer_id"].tolist() == ["dan"] * 3 + ["fay"]
    assert parts["person_id"].tolist() == ["dan", "bob", "ann", "fay"]
    assert parts["level"].tolist() == [0, 1, 2, 0]
    assert parts["order_value"].tolist() == [16, 16, 16, 7]
    assert parts["credit_value"].tolist() == [8, 4, 4, 7]
    assert parts["order_id"].isna().all()
    even = sl.order_credits(by_hand, customer_ids=["dan"], rule="shapley")
    assert even["credit_value"].tolist() == pytest.approx([16 / 3] * 3)
    near = sl.order_credits(by_hand, customer_ids=["dan"], max_levels=1)
    assert near["person_id"].tolist() == ["dan", "bob"]
    assert near["credit_value"].tolist() == [8, 8]


@pytest.mark.parametrize(
    "settings",
    [
        {}, {"rule": "shapley"}, {"rule": "geometric", "beta": 0.2},
        {"max_levels": 1}, {"rule": "shapley", "max_levels": 2}, {"window_days": 20},
        {"incrementality": 0.5},
    ],
)  # fmt: skip
def test_parts_of_all_orders_are_the_ledger(attributed, settings):
    customers = sl.people(attributed).to_pandas()
    buyers = customers[customers["revenue"].notna() & (customers["revenue"] != 0)]
    parts = sl.order_credits(
        attributed, customer_ids=buyers["person_id"].tolist(), **settings
    )
    table = shared(attributed, **settings)
    whole = parts.groupby("person_id")["credit_value"].sum()
    np.testing.assert_allclose(
        whole, table["total_value"].reindex(whole.index), atol=1e-6
    )
    social = parts[parts["level"] > 0].groupby("person_id")["credit_value"].sum()
    np.testing.assert_allclose(
        social, table["social_value"].reindex(social.index), atol=1e-6
    )


def test_orders_are_found_by_their_id():
    table = orders(("ann", 0, 80), ("bob", 5, 40), ("bob", 7, 10)).assign(
        order_id=["A1", "B1", "B2"]
    )
    events = sl.read_events(table, referrals(("ann", "bob", 4)))
    parts = sl.order_credits(events, ["B2"])
    assert parts["order_id"].tolist() == ["B2", "B2"]
    assert parts["credit_value"].tolist() == [5, 5]
    with pytest.raises(SettingError, match=r"1 of 2 order_ids have no orders.*'C9'"):
        sl.order_credits(events, ["B2", "C9"])


def test_without_ids_each_row_is_an_order():
    events = sl.read_events(
        orders(("ann", 0, 80), ("bob", 5, 40), ("bob", 5, 10)),
        referrals(("ann", "bob", 4)),
    )
    parts = sl.order_credits(events, customer_ids=["bob"])
    assert parts["order_value"].tolist() == [10, 10, 40, 40]
    assert parts["credit_value"].tolist() == [5, 5, 20, 20]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "give order_ids or customer_ids, one of them"),
        ({"order_ids": ["a"], "customer_ids": ["b"]}, "one of them"),
        ({"customer_ids": "ann"}, "customer_ids must be a list of ids; got 'ann'"),
        ({"customer_ids": []}, r"customer_ids must be a list of ids; got \[\]"),
        ({"order_ids": ["a"]}, "orders have no order_id here"),
        ({"customer_ids": ["nobody"]}, "1 of 1 customer_ids have no orders of known"),
        ({"customer_ids": ["ann"], "rule": "equal"}, "rule must be one of"),
    ],
)
def test_what_is_asked_of_orders_is_checked(by_hand, asked, message):
    with pytest.raises(SettingError, match=message):
        sl.order_credits(by_hand, **asked)


def test_orders_cannot_be_shared_without_referrals():
    events = sl.read_events(orders(("ann", 0, 80)))
    with pytest.raises(MissingTableError, match="order_credits needs a table of"):
        sl.order_credits(events, customer_ids=["ann"])
