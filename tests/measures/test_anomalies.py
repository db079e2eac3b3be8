"""Referrals worth a look: every rule by hand, a clean shop, built-in fraud, laws."""

from itertools import combinations

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom
from small_shops import day, orders, referrals

import selfloop as sl
from selfloop.core.errors import MissingTableError, SettingError
from selfloop.kernels.link_tests import upper_tail
from selfloop.measures.referral.anomalies import RULES
from selfloop.measures.referral.anomaly_rings import rings_of
from selfloop.measures.referral.anomaly_shares import as_one_family


def find(orders, referrals, **settings):
    """Read a shop and look for anomalies."""
    return sl.referral_anomalies(sl.read_events(orders, referrals), **settings)


def flagged(found, rule):
    """Return the flags of one rule by person."""
    return found.flags[found.flags["rule"] == rule].set_index("person_id")


def rule_line(found, rule):
    """Return the line of a rule."""
    return found.rules.set_index("rule").loc[rule]


def pairs(found, rule):
    """Return the flagged rows of a rule as pairs of ids."""
    rows = found.links(rule)
    return list(zip(rows["referrer_id"], rows["referee_id"], strict=True))


def only(found):
    """Return the rules that have flagged somebody."""
    return set(found.flags["rule"])


# By hand ----------------------------------------------------------------------------

SOLD = [("ann", 0, 10), ("bob", 5, 20), ("cat", 6, 30)]


@pytest.fixture(scope="module")
def clean():
    """Events of three buyers, two of whom the first has brought."""
    return sl.read_events(
        orders(*SOLD), referrals(("ann", "bob", 4), ("ann", "cat", 6))
    )


def test_a_clean_shop_has_empty_tables_and_says_so(clean):
    found = sl.referral_anomalies(clean)
    assert found.flags.empty
    assert shops.has_columns(found.flags, "anomalies")
    assert found.links().empty
    assert shops.has_columns(found.links(), "anomaly_links")
    assert list(found.rules["rule"]) == list(RULES)
    assert shops.has_columns(found.rules, "anomaly_rules")
    assert found.n_rows == 2
    assert found.n_flagged == 0
    assert "nothing looks wrong by the 5 rules" in repr(found)
    assert "nothing looks wrong by the 5 rules" in found._repr_html_()
    # Two tests have nobody to test: their counts are missing, not zero.
    assert found.rules["n_links"].isna().sum() == 2
    line = rule_line(found, "one_minimum_order")
    assert line["reason"] == "0 referees to test, need 30"
    assert pd.isna(line["revenue"])
    assert rule_line(found, "ring")["n_links"] == 0


def test_self_referral_by_hand():
    """Eve refers herself twice; a row of hers about bob is not part of it."""
    events = sl.read_events(
        orders(*SOLD, ("eve", 7, 40), ("eve", 8, -5)),
        referrals(("eve", "eve", 2), ("eve", "eve", 3), ("cat", "bob", 4),
                  ("mal", "mal", 4)),
    )  # fmt: skip
    found = sl.referral_anomalies(events)
    flags = flagged(found, "self_referral")
    assert list(flags.index) == ["eve", "mal"]  # two rows, then one
    assert flags.loc["eve", ["n_links", "n_observed", "threshold"]].tolist() == [
        2, 2, 1,
    ]  # fmt: skip
    # She is the person brought: 40 - 5 net, 5 back; mal has ordered nothing.
    assert flags.loc["eve", ["revenue", "refunds"]].tolist() == [35.0, 5.0]
    assert pd.isna(flags.loc["mal", "revenue"])
    assert flags.loc["eve", "examples"] == "eve on 2026-01-03"
    assert pairs(found, "self_referral") == [("eve", "eve")] * 2 + [("mal", "mal")]
    line = rule_line(found, "self_referral")
    assert line[["n_referrers", "n_links", "revenue"]].tolist() == [2, 3, 35.0]
    assert events.audit.set_index("code")["n_rows"]["SL202"] == 3


def test_reciprocal_by_hand():
    """Ann and bob bring each other; cat brings dan only."""
    found = find(
        orders(*SOLD),
        referrals(("ann", "bob", 4), ("bob", "ann", 5), ("cat", "dan", 6),
                  ("bob", "ann", 6)),
    )  # fmt: skip
    flags = flagged(found, "reciprocal")
    assert list(flags.index) == ["ann", "bob"]
    assert flags["n_observed"].tolist() == [1, 1]
    assert flags["n_links"].tolist() == [1, 2]  # one of the rows came twice
    assert flags["revenue"].tolist() == [20.0, 10.0]
    assert pairs(found, "reciprocal") == [("ann", "bob")] + [("bob", "ann")] * 2
    assert "ring" not in only(found)


def test_ring_by_hand():
    """A -> b -> c -> a is a ring, with d hanging on it; e and f only refer d."""
    found = find(
        orders(("a", 9, 1), ("b", 9, 2), ("c", 9, 4), ("d", 9, 8)),
        referrals(("a", "b", 1), ("b", "c", 2), ("c", "a", 3), ("c", "d", 4),
                  ("e", "d", 5), ("f", "e", 5)),
    )  # fmt: skip
    flags = flagged(found, "ring")
    assert list(flags.index) == ["a", "b", "c"]
    assert flags["n_observed"].tolist() == [3, 3, 3]
    assert set(flags["detail"]) == {"a -> b -> c -> a"}
    assert pairs(found, "ring") == [("a", "b"), ("b", "c"), ("c", "a")]
    assert rule_line(found, "ring")["revenue"] == 7.0  # 1 + 2 + 4, d is not on it
    assert "reciprocal" not in only(found)


def test_a_ring_that_no_longer_counts_is_still_seen():
    """The last link finds somebody who had bought: set aside, and a ring all the same.

    Without it the audit has no ring.
    """
    sold = orders(("a", 0, 1), ("b", 5, 1), ("c", 9, 1))
    made = referrals(("a", "b", 4), ("b", "c", 8), ("c", "a", 12))
    events = sl.read_events(sold, made)
    assert "SL207" not in set(events.audit["code"])
    assert list(flagged(sl.referral_anomalies(events), "ring").index) == ["a", "b", "c"]


def test_burst_by_hand():
    """Max brings ten people in one day; ida ten in two days, five on each."""
    hours = [(f"m{i}", 2 + i / 24) for i in range(10)]
    halves = [(f"i{i}", 2 + (i >= 5)) for i in range(10)]
    made = referrals(
        ("max", "before", 1), *(("max", who, n) for who, n in hours),
        ("max", "after", 9), ("max", "m0", 2.1),
        *(("ida", who, n) for who, n in halves),
    )  # fmt: skip
    found = find(orders(*SOLD, ("m0", 3, 50)), made)
    flags = flagged(found, "burst")
    assert list(flags.index) == ["max"]
    assert flags.loc["max", ["n_observed", "n_links", "threshold"]].tolist() == [
        10, 11, 10,  # m0 was referred twice that day
    ]  # fmt: skip
    assert flags.loc["max", "detail"] == "10 people from 2026-01-03 to 2026-01-03"
    assert flags.loc["max", "revenue"] == 50.0
    assert {b for _, b in pairs(found, "burst")} == {who for who, _ in hours}
    # In a window of two days ida's are a burst too, and max has not one more:
    # "before" came 24 hours and more earlier than the last.
    wider = flagged(
        sl.referral_anomalies(sl.read_events(orders(*SOLD), made), burst_days=2),
        "burst",
    )
    assert wider.loc["ida", "n_observed"] == 10
    assert wider.loc["ida", "detail"] == "10 people from 2026-01-03 to 2026-01-04"
    assert wider.loc["max", "n_observed"] == 11
    assert wider.loc["max", "detail"] == "11 people from 2026-01-02 to 2026-01-03"


def test_a_window_of_one_day_ends_before_the_same_time_of_the_next():
    """Nine people, and a tenth 24 hours to the second after the first: no burst."""
    made = [("max", f"m{i}", 2 + i / 100) for i in range(9)]
    exact = find(orders(*SOLD), referrals(*made, ("max", "m9", 3)))
    assert "burst" not in only(exact)
    before = referrals(*made, ("max", "m9", 3 - 1 / 86_400))
    assert flagged(find(orders(*SOLD), before), "burst").loc["max", "n_observed"] == 10


def test_before_first_purchase_by_hand():
    """Bob refers on the days 3, 5 and 7 and buys on day 5; gus never buys."""
    found = find(
        orders(*SOLD),
        referrals(("bob", "x", 3), ("bob", "y", 5), ("bob", "cat", 6),
                  ("gus", "z", 6), ("ann", "bob", 4)),
    )  # fmt: skip
    flags = flagged(found, "before_first_purchase")
    assert list(flags.index) == ["bob", "gus"]
    assert flags["kind"].tolist() == ["bought_later", "never_bought"]
    assert flags["n_observed"].tolist() == [1, 1]
    assert flags["detail"].tolist() == ["first purchase on 2026-01-06", "never bought"]
    rows = found.links("before_first_purchase")
    assert rows["kind"].tolist() == ["bought_later", "never_bought"]
    assert pairs(found, "before_first_purchase") == [("bob", "x"), ("gus", "z")]


# The two rules that test ------------------------------------------------------------


def shares_shop(n_others=40, n_bad=6, amount=1.0):
    """One referrer with n_bad odd referees, ten with n_others / 10 ordinary ones each.

    The odd ones buy once, for `amount`, and nothing after. The others buy twice, for
    20 each, so that the minimum order is that of the odd ones: they are more than
    5 % of all first purchases.
    """
    sold, made = [("boss", 0, 20.0), ("boss", 9, 20.0)], []
    for i in range(n_bad):
        sold.append((f"bad{i}", 10 + i, amount))
        made.append(("boss", f"bad{i}", 5 + i))
    for k in range(10):
        sold += [(f"r{k}", 0, 20.0), (f"r{k}", 9, 20.0)]
    for i in range(n_others):
        sold += [(f"u{i:02d}", 10, 20.0), (f"u{i:02d}", 30, 20.0)]
        made.append((f"r{i % 10}", f"u{i:02d}", 5))
    sold.append(("late", 200, 20.0))
    return sold, made


def test_one_minimum_order_by_hand():
    """Six odd among 46; boss has all six of his six.

    p = 1 / C(46, 6) = 1 / 9,366,819. Nobody else has five referees, so he is the only
    one tested by this rule; refunds there are none.
    """
    sold, made = shares_shop()
    found = find(orders(*sold), referrals(*made))
    flags = flagged(found, "one_minimum_order")
    assert list(flags.index) == ["boss"]
    line = flags.loc["boss"]
    assert line[["n_links", "n_observed", "n_tested"]].tolist() == [6, 6, 6]
    assert line["expected"] == pytest.approx(6 * 6 / 46)
    assert line["p_value"] == pytest.approx(1 / 9_366_819, rel=1e-9)
    assert line["p_adjusted"] == line["p_value"]
    assert line["revenue"] == 6.0
    assert line["detail"] == "6 of 6; 13.0 % in the shop"
    assert {b for _, b in pairs(found, "one_minimum_order")} == {
        f"bad{i}" for i in range(6)
    }
    meaning = rule_line(found, "one_minimum_order")["meaning"]
    # 58 buyers: boss, 10 referrers, 46 brought, and late.
    assert "at most 1.00 (the 5.0 % quantile of 58 first purchases)" in meaning
    assert rule_line(found, "refund_share")["reason"] == (
        "no refund among the referees to test"
    )
    assert only(found) == {"one_minimum_order"}


def test_an_order_above_the_minimum_a_second_one_or_a_young_one_is_not_odd():
    sold, made = shares_shop()
    above = orders(*sold, ("bad0", 11, 0.5))  # buys again
    assert flagged(find(above, referrals(*made)), "one_minimum_order").loc[
        "boss", ["n_observed", "n_tested"]
    ].tolist() == [5, 6]
    young = [(w, 120 if w == "bad0" else n, a) for w, n, a in sold]  # end: day 200
    moved = referrals(*[(a, b, 119 if b == "bad0" else n) for a, b, n in made])
    assert flagged(find(orders(*young), moved), "one_minimum_order").loc[
        "boss", ["n_observed", "n_tested"]
    ].tolist() == [5, 5]
    dear = [(w, n, 25.0 if w == "bad0" else a) for w, n, a in sold]
    assert flagged(find(orders(*dear), referrals(*made)), "one_minimum_order").loc[
        "boss", "n_observed"
    ] == 5  # fmt: skip


def test_the_smallest_order_has_its_share_at_or_below_it():
    """Of 20 first purchases 1, 2, ... 20 the 5 % quantile is 1, and of 21 it is 2."""
    rows = [(f"c{i}", i, i) for i in range(1, 21)]
    made = [(f"c{i}", f"c{i + 1}", i) for i in range(1, 20)]
    for n, text in ((20, "at most 1.00 "), (21, "at most 2.00 ")):
        found = find(orders(*rows, *[("c21", 21, 21)] * (n - 20)), referrals(*made))
        assert text in rule_line(found, "one_minimum_order")["meaning"]


def test_refund_share_by_hand():
    """Seven of the eight refunded in time are boss's, of 7 and 47 people.

    Money: his have 7 x 30 gross and 7 x 6 back; one of the other 40, who have
    40 x 40 gross, got 6 back, so the shop has 48 of 1,810.
    """
    sold, made = [("boss", 0, 9)], []
    for i in range(7):
        who = f"b{i}"
        sold += [(who, 10, 20), (who, 30, 10), (who, 100 if i else 101, -6)]
        made.append(("boss", who, 5))
    for i in range(40):
        sold += [(f"u{i}", 10, 20), (f"u{i}", 30, 20)]
        made.append((f"r{i % 10}", f"u{i}", 5))
    # Back on day 90 after the first order counts, on day 91 no more.
    sold += [("u0", 100, -6), ("end", 200, 5)]
    found = find(orders(*sold), referrals(*made))
    line = flagged(found, "refund_share").loc["boss"]
    assert line[["n_links", "n_observed", "n_tested"]].tolist() == [6, 6, 7]
    # 7 of 47 in all: p = (C(7,6) C(40,1) + C(7,7) ) / C(47,7) with 7 odd ones drawn
    # from; X = 6 or 7 among 7.
    p = hypergeom.sf(5, 47, 7, 7)
    assert line["p_value"] == pytest.approx(p, rel=1e-9)
    assert line["p_value"] == pytest.approx((7 * 40 + 1) / 62_891_499, rel=1e-9)
    # One family of two tests: the other rule tests boss too.
    assert line["p_adjusted"] == pytest.approx(2 * p, rel=1e-9)
    assert line["revenue"] == 6 * 24.0
    assert line["refunds"] == 36.0
    assert line["detail"] == (
        "6 of 7; 14.9 % in the shop; 42.00 of 210.00 paid back, 2.7 % in the shop"
    )
    assert {b for _, b in pairs(found, "refund_share")} == {
        f"b{i}" for i in range(1, 7)
    }


def test_an_order_that_is_paid_back_the_same_day_is_a_refund():
    """Such a person is no buyer, yet ordered: the classic fraud is not overlooked."""
    sold, made = shares_shop()
    back = [(w, n, -a) for w, n, a in sold if w.startswith("bad")]
    line = flagged(find(orders(*sold, *back), referrals(*made)), "refund_share")
    assert line.loc["boss", "n_observed"] == 6


def test_a_share_that_everybody_has_flags_nobody():
    """Six of six, and 40 of 40 elsewhere: p = 1."""
    sold, made = shares_shop()
    same = [(w, n, 1.0) for w, n, a in sold if n != 30]
    found = find(orders(*same), referrals(*made))
    assert found.flags.empty
    assert rule_line(found, "one_minimum_order")["n_referrers"] == 0


def test_few_tested_referees_are_too_few_to_test():
    sold, made = shares_shop(n_others=23)
    found = find(orders(*sold), referrals(*made))
    assert rule_line(found, "one_minimum_order")["reason"] == (
        "29 referees to test, need 30"
    )
    sold, made = shares_shop(n_others=24, n_bad=6)
    found = find(orders(*sold), referrals(*made), min_referees=7)
    assert rule_line(found, "one_minimum_order")["reason"] == (
        "nobody has 7 referees to test"
    )
    assert list(flagged(find(orders(*sold), referrals(*made)),
                        "one_minimum_order").index) == ["boss"]  # fmt: skip


# The arithmetic of the tests --------------------------------------------------------


def test_upper_tail_by_counting_all_ways():
    """Deal 3 of 7 people, 3 of them odd, in all 35 ways."""
    odd = {0, 1, 2}
    hands = [len(odd & set(h)) for h in combinations(range(7), 3)]
    for x in range(4):
        p = upper_tail(np.array([x]), np.array([3]), all_odd=3, n_all=7)
        assert p[0] == pytest.approx(sum(h >= x for h in hands) / 35, rel=1e-12)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_upper_tail_is_that_of_scipy(data):
    n_all = data.draw(st.integers(1, 5000))
    all_odd = data.draw(st.integers(0, n_all))
    n = data.draw(st.integers(1, n_all))
    x = data.draw(st.integers(max(0, n - (n_all - all_odd)), min(n, all_odd)))
    p = upper_tail(np.array([x]), np.array([n]), all_odd=all_odd, n_all=n_all)
    assert p[0] == pytest.approx(hypergeom.sf(x - 1, n_all, all_odd, n), rel=1e-6)


def test_in_a_large_shop_it_is_the_binomial_test():
    x, n = np.array([3, 8, 15]), np.array([20, 20, 40])
    p = upper_tail(x, n, all_odd=3_000_000, n_all=30_000_000)
    assert p == pytest.approx(binom.sf(x - 1, n, 0.1), rel=1e-4)


def test_holm_by_hand():
    """Sorted .01 .02 .03 .5 times 4 3 2 1 is .04 .06 .06 .5, none below another."""
    first, second = as_one_family([np.array([0.03, 0.01]), np.array([0.5, 0.02])])
    assert first == pytest.approx([0.06, 0.04])
    assert second == pytest.approx([0.5, 0.06])
    assert as_one_family([]) == []


def test_few_clean_shops_have_any_statistical_flag():
    """Two rules, 60 referrers each: at the 5 % level at most 5 % of 2,000 shops."""
    rng = np.random.default_rng(3)
    size = 5 + rng.geometric(0.2, 60)
    wrong = 0
    for _ in range(2_000):
        p = []
        for share in (0.04, 0.2):
            odd = rng.random(size.sum()) < share
            mine = np.add.reduceat(odd, np.cumsum(size) - size)
            p.append(
                upper_tail(mine, size, all_odd=int(odd.sum()), n_all=int(size.sum()))
            )
        wrong += any((q <= 0.05).any() for q in as_one_family(p))
    # 5 % of 2,000 is 100, and the standard error 10; discrete tests stay below.
    assert 10 < wrong < 120


# Rings ------------------------------------------------------------------------------


def edges_of(rings):
    """Return the links of rings as pairs."""
    return [
        (int(a), int(b))
        for ring in rings
        for a, b in zip(ring, np.roll(ring, -1), strict=True)
    ]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40))
@settings(max_examples=200, deadline=None)
def test_rings_are_rings_and_every_group_with_one_shows_one(rows):
    links = [e for e in dict.fromkeys(rows) if e[0] != e[1]]
    arrays = np.array(links, dtype=np.int64).reshape(-1, 2).T
    rings = rings_of(arrays[0], arrays[1])
    assert set(edges_of(rings)) <= set(links)
    people = [int(p) for ring in rings for p in ring]
    assert len(set(people)) == len(people)
    assert all(ring.size >= 3 and ring[0] == ring.min() for ring in rings)
    # Of two who referred each other the earlier link counts.
    once = nx.DiGraph(e for i, e in enumerate(links) if e[::-1] not in links[:i])
    groups = [c for c in nx.strongly_connected_components(once) if len(c) > 1]
    for group in groups:
        assert any(set(ring.tolist()) <= group for ring in rings)
    assert sum(bool(set(r.tolist()) <= g) for r in rings for g in groups) == len(rings)


def test_a_long_ring_names_the_first_few():
    n = 1_000
    ids = [f"p{i:04d}" for i in range(n)]
    made = [(ids[i], ids[(i + 1) % n], i / n) for i in range(n)]
    flags = flagged(find(orders(*SOLD), referrals(*made)), "ring")
    assert len(flags) == n
    assert set(flags["n_observed"]) == {n}
    assert flags["detail"].iloc[0] == (
        "p0000 -> p0001 -> p0002 -> p0003 -> p0004 -> p0005 -> 994 more -> p0000"
    )


def test_small_rings_come_first_and_stay_together():
    made = [("a", "y", 1), ("y", "b", 2), ("b", "c", 3), ("c", "a", 4)]
    made += [("d", "z", 1), ("z", "e", 2), ("e", "d", 3)]
    flags = flagged(find(orders(*SOLD), referrals(*made)), "ring")
    assert list(flags.index) == ["d", "e", "z", "a", "b", "c", "y"]


# A simulated shop, clean and with fraud ---------------------------------------------


@pytest.fixture(scope="module")
def simulated():
    """A simulated shop, and refunds that have nothing to do with referrals."""
    shop = sl.simulate(4_000, seed=11)
    sold = shop.orders[["customer_id", "ordered_at", "amount"]]
    rng = np.random.default_rng(5)
    back = sold[rng.random(len(sold)) < 0.05]
    back = back.assign(
        amount=-back["amount"], ordered_at=back["ordered_at"] + pd.Timedelta(days=4)
    )
    return pd.concat([sold, back], ignore_index=True), shop.referrals


END = "2025-12-20"


def test_a_simulated_shop_is_clean(simulated):
    sold, made = simulated
    found = sl.referral_anomalies(sl.read_events(sold, made, end=END))
    assert found.flags.empty
    assert (found.rules["reason"] == "").all()
    assert "nothing looks wrong by the 7 rules" in repr(found)


def with_fraud(sold, made):
    """Add one fraud of each kind; people of fraud have ids that begin with ``!``."""
    start = pd.Timestamp("2025-03-01")
    bought, brought = [], []
    for name, amount, back in (("!mini", 9.99, 0.0), ("!refund", 90.0, 90.0)):
        bought.append((name, start, 80.0))
        for i in range(12):
            who, when = f"{name}{i:02d}", start + pd.Timedelta(days=3 * i)
            brought.append((name, who, when))
            bought.append((who, when + pd.Timedelta(days=1), amount))
            if back:
                bought.append((who, when + pd.Timedelta(days=3), -back))
                bought.append((who, when + pd.Timedelta(days=9), 50.0))
    bought.append(("!burst", start, 80.0))
    for i in range(30):
        brought.append(("!burst", f"!burst{i:02d}", start + pd.Timedelta(minutes=i)))
    for a, b in (("!a", "!b"), ("!b", "!c"), ("!c", "!a"), ("!s", "!s")):
        brought.append((a, b, start))
    return (
        pd.concat([sold, pd.DataFrame(bought, columns=sold.columns)]),
        pd.concat([made, pd.DataFrame(brought, columns=made.columns)]),
    )


def test_fraud_is_found_and_nobody_else(simulated):
    found = sl.referral_anomalies(sl.read_events(*with_fraud(*simulated), end=END))
    people = found.flags.groupby("rule")["person_id"].agg(list).to_dict()
    assert people == {
        "self_referral": ["!s"],
        "ring": ["!a", "!b", "!c"],
        "burst": ["!burst"],
        "one_minimum_order": ["!mini"],
        "refund_share": ["!refund"],
        "before_first_purchase": ["!a", "!b", "!c"],
    }
    assert found.n_flagged == 7
    assert "people flagged: 7, by 6 of 7 rules" in repr(found)
    mini = flagged(found, "one_minimum_order").loc["!mini"]
    assert mini[["n_observed", "n_tested"]].tolist() == [12, 12]
    assert {b for _, b in pairs(found, "one_minimum_order")} == {
        f"!mini{i:02d}" for i in range(12)
    }
    assert {b for _, b in pairs(found, "refund_share")} == {
        f"!refund{i:02d}" for i in range(12)
    }
    assert len(found.links("burst")) == 30


def test_flags_against_plain_pandas(simulated):
    """The two shares of every referrer, counted again without the engine."""
    sold, made = with_fraud(*simulated)
    found = sl.referral_anomalies(
        sl.read_events(sold, made, end=END), significance=1.0, min_referees=3
    )
    made = made[made["referrer_id"] != made["referee_id"]]
    visits = pd.DataFrame(columns=["visitor_id", "visited_at", "channel"])
    people = shops.plain_people(
        sold, made.sort_values("referred_at"), visits.astype({"visited_at": "M8[us]"}),
        end=END,
    )  # fmt: skip
    each = sold.assign(day=sold["ordered_at"].dt.normalize())
    net = each.groupby(["customer_id", "day"])["amount"].sum().round(4)
    first = net[net > 0].groupby("customer_id").first()
    limit = np.sort(first.to_numpy())[int(np.ceil(0.05 * len(first))) - 1]
    table = people.join(first.rename("first_value"))
    table = table[table["referrer"].notna() & (table["n_purchases"] > 0)]
    table = table[table["end_day"] - table["first_day"] >= 90]
    odd = (table["n_purchases"] == 1) & (table["first_value"] <= limit)
    counts = odd.groupby(table["referrer"]).agg(["sum", "size"])
    counts = counts[(counts["size"] >= 3) & (counts["sum"] > 0)]
    p = hypergeom.sf(counts["sum"] - 1, len(table), odd.sum(), counts["size"])
    flags = flagged(found, "one_minimum_order").sort_index()
    assert list(flags.index) == sorted(counts.index)
    assert flags["n_observed"].tolist() == counts["sum"].tolist()
    assert flags["n_tested"].tolist() == counts["size"].tolist()
    assert flags["p_value"].to_numpy() == pytest.approx(p, rel=1e-6)


# Laws -------------------------------------------------------------------------------


def untidy():
    """A shop of few people with rings, doubles, refunds and late referrals."""
    sold, made, _ = shops.random_shop(seed=9)
    rng = np.random.default_rng(2)
    ids = sorted(set(made["referrer_id"]))
    extra = [
        (ids[0], i, shops.DAY_0 + pd.Timedelta(days=50, minutes=k))
        for k, i in enumerate(rng.permutation(ids)[:40])
    ]
    extra += [(i, i, shops.DAY_0 + pd.Timedelta(days=3, seconds=k))
              for k, i in enumerate(ids[5:8])]  # fmt: skip
    return sold, pd.concat([made, pd.DataFrame(extra, columns=made.columns)])


RELAXED = {
    "min_burst": 3, "burst_days": 7, "min_referees": 2, "window_days": 30,
    "significance": 1.0, "smallest_share": 0.3,
}  # fmt: skip


def everything(sold, made):
    """Return flags, rows and rules of an untidy shop with relaxed limits."""
    found = find(sold, made, **RELAXED)
    return found.flags, found.links(), found.rules


@pytest.fixture(scope="module")
def found_untidy():
    return everything(*untidy())


def test_the_untidy_shop_has_flags_of_every_rule(found_untidy):
    flags, rows, rules = found_untidy
    assert set(flags["rule"]) == set(RULES)
    assert (rules["reason"] == "").all()
    # Flags, rules and rows are three views of the same.
    counted = rows.groupby(["rule", "referrer_id"]).size()
    listed = flags.set_index(["rule", "person_id"])["n_links"].sort_index()
    assert listed.to_dict() == counted.to_dict()
    in_all = rules.set_index("rule")["n_links"]
    assert in_all.to_dict() == rows.groupby("rule").size().to_dict()
    places = [RULES.index(r) for r in flags["rule"]]
    assert places == sorted(places)


def test_order_of_rows_does_not_matter(found_untidy):
    again = everything(*(t.sample(frac=1, random_state=1) for t in untidy()))
    for a, b in zip(found_untidy, again, strict=True):
        pd.testing.assert_frame_equal(a, b)


def test_renaming_people_renames_the_flags(found_untidy):
    flags, rows, rules = found_untidy

    def name(i):  # keeps the order, so that ties by id stay as they are
        return f"<b>{i}'\"\n🙂"

    ids = ["customer_id", "referrer_id", "referee_id"]
    renamed = [
        t.assign(**{c: t[c].map(name, na_action="ignore") for c in ids if c in t})
        for t in untidy()
    ]
    flags_2, rows_2, rules_2 = everything(*renamed)
    numbers = [c for c in flags if c not in ("person_id", "detail", "examples")]
    pd.testing.assert_frame_equal(flags[numbers], flags_2[numbers])
    assert flags["person_id"].map(name).tolist() == flags_2["person_id"].tolist()
    for c in ("referrer_id", "referee_id"):
        assert rows[c].map(name).tolist() == rows_2[c].tolist()
    pd.testing.assert_frame_equal(rules, rules_2)


def test_events_after_the_end_change_nothing():
    sold, made = untidy()
    cut = day(200)
    early = [
        sold[sold["ordered_at"] < cut],
        made[made["referred_at"] < cut],
    ]
    before = sl.read_events(*early, end=shops.date_of(199))
    whole = sl.read_events(sold, made, end=shops.date_of(199))
    a, b = (sl.referral_anomalies(e, **RELAXED) for e in (before, whole))
    pd.testing.assert_frame_equal(a.flags, b.flags)
    pd.testing.assert_frame_equal(a.links(), b.links())


def test_nothing_is_removed_and_inputs_are_not_changed():
    sold, made = untidy()
    before = sold.copy(), made.copy()
    events = sl.read_events(sold, made)
    audit, links = events.audit.copy(), events.links.to_pandas()
    found = sl.referral_anomalies(events)
    pd.testing.assert_frame_equal(events.audit, audit)
    key = ["referrer_no", "referee_no"]
    pd.testing.assert_frame_equal(
        events.links.to_pandas().sort_values(key), links.sort_values(key)
    )
    pd.testing.assert_frame_equal(sold, before[0])
    pd.testing.assert_frame_equal(made, before[1])
    frame = found.to_frame()
    frame["rule"] = "changed"
    assert "changed" not in set(found.flags["rule"])


def test_what_looks_at_all_rows_does_not_depend_on_who_gets_the_credit(found_untidy):
    sold, made = untidy()
    events = sl.read_events(sold, made, attribution="linear")
    found = sl.referral_anomalies(events, **RELAXED)
    raw = ["self_referral", "ring", "reciprocal", "burst", "before_first_purchase"]
    rows = found_untidy[1]
    rows = rows[rows["rule"].isin(raw)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.links(raw), rows)
    tested = flagged(found, "one_minimum_order")["n_tested"].sum()
    assert tested > 0


# Edges ------------------------------------------------------------------------------


def test_hostile_ids_are_text():
    ids = [shops.HOSTILE, "a' OR 1=1 --", "张三", "007", "7"]
    made = [
        (a, b, i) for i, (a, b) in enumerate(zip(ids, np.roll(ids, -1), strict=True))
    ]
    made.append((shops.HOSTILE, shops.HOSTILE, 9))
    found = find(orders(*((i, 20, 5) for i in ids)), referrals(*made))
    flags = flagged(found, "ring")
    assert set(flags.index) == set(ids)
    assert flags["n_observed"].tolist() == [5] * 5
    assert found.links("self_referral")["referee_id"].tolist() == [shops.HOSTILE]
    assert "<script>" not in found._repr_html_()


def test_no_referrals_no_answer():
    with pytest.raises(MissingTableError, match="SL301  referral_anomalies needs"):
        sl.referral_anomalies(sl.read_events(orders(*SOLD)))


def test_orders_are_no_events():
    with pytest.raises(SettingError, match="events must be the result of read_events"):
        sl.referral_anomalies(orders(*SOLD))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("burst_days", 0), ("burst_days", 1.5), ("min_burst", 1),
        ("min_referees", 0), ("window_days", 0), ("smallest_share", 0),
        ("smallest_share", 1.1), ("significance", -0.1), ("significance", 2),
    ],
)  # fmt: skip
def test_settings_are_checked(name, value, clean):
    with pytest.raises(SettingError, match=name):
        sl.referral_anomalies(clean, **{name: value})


def test_an_unknown_rule_is_an_error(clean):
    found = sl.referral_anomalies(clean)
    with pytest.raises(SettingError, match="rules must be one of 'self_referral'"):
        found.links(["ring", "fraud"])


def test_only_bad_rows_in_the_table_of_referrals():
    found = find(orders(*SOLD), referrals(("ann", "ann", 4)))
    assert only(found) == {"self_referral"}
    assert found.n_rows == 1


def test_a_shop_without_purchases():
    found = find(orders(("ann", 0, -5)), referrals(("ann", "bob", 4)))
    assert only(found) == {"before_first_purchase"}
    assert rule_line(found, "one_minimum_order")["reason"]
