from collections import Counter, defaultdict
from datetime import datetime, timedelta
from functools import cache
from time import perf_counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.core.settings import Rules
from selfloop.inputs import validate
from selfloop.inputs.dialect import person_key
from selfloop.inputs.duckdb_engine import connect
from selfloop.inputs.links import Links, resolve

START = datetime(2026, 1, 1)


@cache
def engine():
    return connect()


def day(n):
    return START + timedelta(days=n)


def resolved(rows, firsts=None, **rules):
    """Resolve rows (referrer, referee, time) with the days of first purchases."""
    firsts = firsts or {}
    kinds = [pa.string(), pa.string(), pa.timestamp("us"), pa.string()]
    names = ["referrer_id", "referee_id", "referred_at", "channel"]
    n_columns = len(rows[0]) if rows else 3  # a channel may follow
    kinds, names = kinds[:n_columns], names[:n_columns]
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    arrays = {
        name: pa.array(values, kind)
        for name, values, kind in zip(names, columns, kinds, strict=True)
    }
    referrals = engine().upload(pa.table(arrays), "referrals")
    bought = pa.table(
        {
            "id": pa.array(list(firsts), pa.string()),
            "first_day": pa.array(
                [(t - datetime(1970, 1, 1)).days for t in firsts.values()], pa.int32()
            ),
        }
    )
    stats = engine().upload(bought, "firsts")
    stats = stats.select("first_day", person_no=person_key(stats.id))
    links = resolve(referrals, stats, rules=Rules(**rules), engine=engine())
    return links, edges_of(links, {name for row in rows for name in row[:2]})


def edges_of(links: Links, ids):
    """Links that count: (referrer, referee) to (time, weight)."""
    table = engine().upload(pa.table({"id": sorted(ids) or ["x"]}), "ids")
    keys = table.select("id", key=person_key(table.id)).to_pandas()
    name = dict(zip(keys["key"], keys["id"], strict=True))
    return {
        (name[e.referrer_no], name[e.referee_no]): (e.referred_at, e.weight)
        for e in links.table.to_pandas().itertuples()
    }


# By hand


def test_a_duplicate_pair_counts_once_at_its_earliest_row():
    rows = [("a", "b", day(5)), ("a", "b", day(2)), ("a", "b", day(2))]
    links, edges = resolved(rows)
    assert edges == {("a", "b"): (day(2), 1.0)}
    assert links.outcomes == {"": 1, "SL203": 2}
    assert links.examples["SL203"] == ("a -> b on 2026-01-03",)


@pytest.mark.parametrize(
    ("referred", "bought", "code"),
    [
        (10, 9, "SL204"),
        (10, 10, ""),  # the same day: nobody knows what came first
        (10, 99, ""),
        (10, 100, ""),  # exactly 90 days
        (10, 101, "SL206"),
    ],
)
def test_a_referral_explains_a_purchase_within_the_window(referred, bought, code):
    links, _ = resolved([("a", "b", day(referred))], {"b": day(bought)})
    assert links.outcomes == {code: 1}


def test_people_who_never_bought_are_referred_at_any_age():
    assert resolved([("a", "b", day(0))])[0].outcomes == {"": 1}


def test_the_window_can_be_set():
    rows, firsts = [("a", "b", day(0))], {"b": day(8)}
    assert resolved(rows, firsts, attribution_window_days=8)[0].outcomes == {"": 1}
    assert resolved(rows, firsts, attribution_window_days=7)[0].outcomes == {"SL206": 1}


@pytest.mark.parametrize(
    ("n_referrers", "expected"),
    [
        (1, [1.0]),
        (2, [0.5, 0.5]),
        (3, [0.4, 0.2, 0.4]),
        (4, [0.4, 0.1, 0.1, 0.4]),
        (6, [0.4, 0.05, 0.05, 0.05, 0.05, 0.4]),
    ],
)
def test_weights_by_position(n_referrers, expected):
    rows = [(f"r{i}", "x", day(i)) for i in range(n_referrers)]
    _, edges = resolved(rows, attribution="position")
    found = [edges[f"r{i}", "x"][1] for i in range(n_referrers)]
    assert found == pytest.approx(expected)


CODED = [
    ("ann", "x", day(1), "click"),
    ("bob", "x", day(5), "Coupon"),
    ("cat", "x", day(7), None),
    ("bob", "y", day(3), "invitation"),
    ("ann", "y", day(2), "click"),
]


def test_a_code_at_the_order_beats_an_earlier_click():
    # x used bob's code on day 5, after ann's click on day 1; y used none.
    links, edges = resolved(CODED, {"x": day(9), "y": day(9)})
    assert set(edges) == {("bob", "x"), ("ann", "y")}
    assert links.outcomes == {"": 2, "SL205": 3}


def test_only_codes_share_the_credit_where_there_are_any():
    rows = [*CODED, ("dan", "x", day(8), "邀请码")]
    _, edges = resolved(rows, {"x": day(9), "y": day(9)}, attribution="linear")
    assert {pair: weight for pair, (_, weight) in edges.items()} == {
        ("bob", "x"): 0.5, ("dan", "x"): 0.5, ("ann", "y"): 0.5, ("bob", "y"): 0.5,
    }  # fmt: skip


def test_a_code_that_does_not_count_beats_nobody():
    # bob's code came after the first purchase: x was ann's already.
    links, edges = resolved(CODED, {"x": day(4), "y": day(9)})
    assert set(edges) == {("ann", "x"), ("ann", "y")}
    assert links.outcomes == {"": 2, "SL204": 2, "SL205": 1}


def test_which_channels_are_codes_can_be_set():
    firsts = {"x": day(9), "y": day(9)}
    _, edges = resolved(CODED, firsts, code_channels=("click",))
    assert set(edges) == {("ann", "x"), ("ann", "y")}
    _, edges = resolved(CODED, firsts, code_channels=())
    assert set(edges) == {("ann", "x"), ("ann", "y")}


SEVERAL = [("b", "x", day(3)), ("a", "x", day(10)), ("c", "x", day(17))]


@pytest.mark.parametrize(
    ("attribution", "expected", "n_other"),
    [
        ("first", {"b": 1.0}, 2),
        ("last", {"c": 1.0}, 2),
        ("linear", {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, 0),
        ("position", {"b": 0.4, "a": 0.2, "c": 0.4}, 0),
        # Half as much for every seven days: 1/4, 1/2 and 1 of 1.75.
        ("time_decay", {"a": 0.5 / 1.75, "b": 0.25 / 1.75, "c": 1 / 1.75}, 0),
    ],
)
def test_several_referrers(attribution, expected, n_other):
    links, edges = resolved(SEVERAL, attribution=attribution)
    assert {giver: w for (giver, _), (_, w) in edges.items()} == pytest.approx(expected)
    assert links.outcomes.get("SL205", 0) == n_other


def test_the_last_referrer_is_the_last_before_the_purchase():
    links, edges = resolved(SEVERAL, {"x": day(12)}, attribution="last")
    assert list(edges) == [("a", "x")]
    assert links.outcomes == {"": 1, "SL204": 1, "SL205": 1}


def test_at_one_moment_the_first_id_counts():
    rows = [(giver, "x", day(1)) for giver in "cab"]
    for attribution in ("first", "last"):
        _, edges = resolved(rows, attribution=attribution)
        assert list(edges) == [("a", "x")]


def test_a_ring_loses_its_latest_link():
    rows = [
        ("a", "b", day(1)),
        ("b", "c", day(2)),
        ("c", "a", day(3)),
        ("c", "d", day(9)),
    ]
    links, edges = resolved(rows)
    assert set(edges) == {("a", "b"), ("b", "c"), ("c", "d")}
    assert links.outcomes == {"": 3, "SL207": 1}
    assert links.examples["SL207"] == ("c -> a on 2026-01-04",)


def test_two_people_who_name_each_other():
    links, edges = resolved([("a", "b", day(1)), ("b", "a", day(2))])
    assert set(edges) == {("a", "b")}
    assert links.outcomes == {"": 1, "SL207": 1}


@pytest.mark.parametrize("attribution", ["first", "linear"])
def test_a_ring_of_equal_times_loses_one_link_whatever_the_order_of_rows(attribution):
    rows = [("a", "b", day(1)), ("b", "c", day(1)), ("c", "a", day(1))]
    kept = []
    for shift in range(3):
        links, edges = resolved(rows[shift:] + rows[:shift], attribution=attribution)
        kept.append(set(edges))
        assert links.outcomes == {"": 2, "SL207": 1}
    assert kept[0] == kept[1] == kept[2]


@pytest.mark.parametrize("attribution", ["linear", "time_decay", "position"])
def test_weights_of_a_cut_link_go_to_the_others(attribution):
    rows = [("a", "b", day(1)), ("x", "a", day(1)), ("b", "a", day(2))]
    links, edges = resolved(rows, attribution=attribution)
    assert edges[("x", "a")][1] == 1.0
    assert links.outcomes == {"": 2, "SL207": 1}


def test_generations_and_roots():
    rows = [("a", "b", day(1)), ("b", "c", day(2)), ("x", "y", day(1))]
    links, _ = resolved(rows)
    forest = links.forest.to_pandas()
    assert sorted(forest["generation"]) == [0, 0, 1, 1, 2]
    assert forest["referrer_no"].isna().sum() == 2
    assert forest["root_no"].nunique() == 2


def test_first_seen_is_told_of_everybody_even_of_links_that_do_not_count():
    rows = [("a", "b", day(9)), ("c", "b", day(4)), ("a", "b", day(2))]
    links, _ = resolved(rows, {"b": day(0)})
    seen = links.reach.to_pandas()["seen_at"].sort_values().tolist()
    assert links.outcomes == {"SL203": 1, "SL204": 2}
    assert seen == [day(2), day(2), day(4)]


def test_no_rows_at_all():
    links, edges = resolved([])
    assert edges == {}
    assert links.outcomes == {}
    assert links.n_links == 0
    assert len(links.forest.to_pandas()) == 0


def test_no_row_that_counts():
    links, edges = resolved([("a", "b", day(9))], {"b": day(1)})
    assert edges == {}
    assert links.outcomes == {"SL204": 1}
    assert len(links.reach.to_pandas()) == 2


HOSTILE = [
    "'; DROP TABLE t;--",
    '"',
    "{}",
    "%s",
    "😀",
    "a\nb",
    "x" * 10_000,
    "\\",
    "null ",
]


def test_hostile_ids():
    rows = [(HOSTILE[i], HOSTILE[i + 1], day(i)) for i in range(len(HOSTILE) - 1)]
    links, edges = resolved(rows)
    assert set(edges) == {(giver, taker) for giver, taker, _ in rows}
    assert links.forest.generation.max().to_pandas() == len(HOSTILE) - 1


# Large


def frame_of(referrer, referee, seconds):
    start = np.datetime64("2026-01-01", "us")
    times = start + np.asarray(seconds).astype("timedelta64[s]")
    return engine().upload(
        pa.table(
            {
                "referrer_id": pa.array(
                    np.char.add("p", np.asarray(referrer).astype(str))
                ),
                "referee_id": pa.array(
                    np.char.add("p", np.asarray(referee).astype(str))
                ),
                "referred_at": pa.array(times, pa.timestamp("us")),
            }
        ),
        "referrals",
    )


def nobody_bought():
    table = engine().upload(
        pa.table(
            {"person_no": pa.array([], "int64"), "first_day": pa.array([], "int32")}
        ),
        "firsts",
    )
    return table


@pytest.mark.parametrize("attribution", ["first", "linear"])
def test_a_chain_100_000_deep(attribution):
    n = 100_000
    chain = frame_of(np.arange(n), np.arange(1, n + 1), np.arange(n))
    started = perf_counter()
    links = resolve(
        chain, nobody_bought(), rules=Rules(attribution=attribution), engine=engine()
    )
    assert links.outcomes == {"": n}
    assert links.forest.generation.max().to_pandas() == n
    assert perf_counter() - started < 30


def test_a_ring_100_000_long_loses_one_link():
    n = 100_000
    ring = frame_of(np.arange(n), (np.arange(n) + 1) % n, np.arange(n))
    links = resolve(ring, nobody_bought(), rules=Rules(), engine=engine())
    assert links.outcomes == {"": n - 1, "SL207": 1}
    assert links.forest.generation.max().to_pandas() == n - 1


def test_a_million_referees_of_one_referrer():
    n = 1_000_000
    star = frame_of(np.zeros(n, dtype=int), np.arange(1, n + 1), np.arange(n) % 86_400)
    started = perf_counter()
    links = resolve(star, nobody_bought(), rules=Rules(), engine=engine())
    assert links.outcomes == {"": n}
    sizes = links.forest.group_by("generation").aggregate(n=links.forest.count())
    assert sizes.order_by("generation").to_pandas()["n"].tolist() == [1, n]
    assert perf_counter() - started < 60


# Law: the same as the rules applied by hand, and every row in one place


def by_hand(rows, firsts, attribution):
    """Apply the rules in plain Python, for one referrer per person."""
    codes = Counter()
    earliest = {}
    for giver, taker, when in rows:
        pair = (giver, taker)
        codes["SL203"] += pair in earliest
        earliest[pair] = min(when, earliest.get(pair, when))
    offers = defaultdict(list)
    for (giver, taker), when in earliest.items():
        lead = (firsts[taker].date() - when.date()).days if taker in firsts else 0
        if lead < 0:
            codes["SL204"] += 1
        elif lead > 90:
            codes["SL206"] += 1
        else:
            offers[taker].append((when, giver))
    parent = {}
    for taker, found in offers.items():
        parent[taker] = min(found) if attribution == "first" else max(found)
        codes["SL205"] += len(found) - 1
    for start in list(parent):
        path, person = [], start
        while person in parent and person not in path:
            path.append(person)
            person = parent[person][1]
        if person in path:
            ring = path[path.index(person) :]
            del parent[max(ring, key=lambda p: parent[p][0])]
            codes["SL207"] += 1
    codes[""] = len(parent)
    kept = {(giver, taker) for taker, (_, giver) in parent.items()}
    return {code: n for code, n in codes.items() if n}, kept


people = st.sampled_from("abcdefg")


@st.composite
def networks(draw):
    """Rows at times that all differ, and first purchases of some people."""
    pairs = draw(st.lists(st.tuples(people, people), min_size=1, max_size=25))
    pairs = [(a, b) for a, b in pairs if a != b] or [("a", "b")]
    hours = draw(st.permutations(range(len(pairs))))
    rows = [
        (a, b, START + timedelta(hours=97 * hour))
        for (a, b), hour in zip(pairs, hours, strict=True)
    ]
    firsts = draw(st.dictionaries(people, st.integers(0, 150).map(day), max_size=7))
    return rows, firsts


@settings(max_examples=15, deadline=None)
@given(networks(), st.sampled_from(["first", "last"]))
def test_links_are_those_of_the_rules(network, attribution):
    rows, firsts = network
    links, edges = resolved(rows, firsts, attribution=attribution)
    codes, kept = by_hand(rows, firsts, attribution)
    assert links.outcomes == codes
    assert set(edges) == kept


@settings(max_examples=12, deadline=None)
@given(networks(), st.sampled_from(["linear", "time_decay", "position"]))
def test_shared_credit_adds_up_and_runs_in_no_ring(network, attribution):
    rows, firsts = network
    links, edges = resolved(rows, firsts, attribution=attribution)
    assert sum(links.outcomes.values()) == len(rows)
    weights = pd.Series({pair: w for pair, (_, w) in edges.items()}, dtype=float)
    if len(weights):
        sums = weights.groupby(level=1).sum()
        assert sums.to_numpy() == pytest.approx(1.0)
    above = defaultdict(set)
    for giver, taker in edges:
        above[taker].add(giver)
    left = dict(above)
    while left:  # take away whoever has nobody above: nobody is left of no ring
        free = {p for p in left if not (left[p] & set(left))}
        assert free
        left = {p: givers for p, givers in left.items() if p not in free}


# Left out by the user ----------------------------------------------------------------


SHOP = {
    "orders": pd.DataFrame({
        "customer_id": ["a", "b", "c", "d"],
        "ordered_at": ["2026-01-01", "2026-01-05", "2026-01-06", "2026-01-07"],
        "amount": [10, 20, 30, 40],
    }),
    "referrals": pd.DataFrame({
        "referrer_id": ["a", "a", "b", "c"], "referee_id": ["b", "c", "c", "d"],
        "referred_at": ["2026-01-02", "2026-01-03", "2026-01-04", "2026-01-06"],
    }),
}  # fmt: skip


def test_referrals_that_are_left_out_do_not_count():
    out = pd.DataFrame({"referrer_id": ["a ", "x"], "referee_id": ["c", "y"]})
    events = sl.read_events(**SHOP, exclude_referrals=out)
    audit = events.audit.set_index("code")
    # a -> c is out, so that b -> c, the second, counts.
    assert audit.loc["SL208", "n_rows"] == 1
    assert audit.loc["SL208", "outcome"] == "set_aside"
    assert audit.loc["SL208", "examples"] == "a -> c on 2026-01-03"
    assert "SL205" not in audit.index
    people = sl.people(events).to_pandas().set_index("person_id")
    assert people["referrer_id"].dropna().to_dict() == {"b": "a", "c": "b", "d": "c"}
    rows = events.audit[events.audit["table"] == "referrals"]["n_rows"]
    assert rows.sum() == len(SHOP["referrals"])


def test_flagged_referrals_can_be_left_out(tmp_path):
    events = sl.read_events(**SHOP)
    pairs = SHOP["referrals"].iloc[[3]]
    for table in (pairs, pa.Table.from_pandas(pairs)):
        found = sl.read_events(**SHOP, exclude_referrals=table)
        assert found.audit.set_index("code").loc["SL208", "n_rows"] == 1
    path = tmp_path / "out.csv"
    pairs.to_csv(path, index=False)
    from_file = sl.read_events(**SHOP, exclude_referrals=path)
    assert from_file.audit.set_index("code").loc["SL208", "n_rows"] == 1
    assert "SL208" not in set(events.audit["code"])


def test_what_was_decided_about_is_not_flagged_again():
    events = sl.read_events(**SHOP)
    early = sl.referral_anomalies(events, burst_days=9, min_burst=2)
    links = early.links("burst")
    assert len(links) == 2  # a brought two within nine days
    again = sl.read_events(**SHOP, exclude_referrals=links)
    assert again.audit.set_index("code").loc["SL208", "n_rows"] == 2
    found = sl.referral_anomalies(again, burst_days=9, min_burst=2)
    assert found.n_rows == 2
    assert "burst" not in set(found.flags["rule"])


def test_ids_that_are_numbers_are_left_out_like_text():
    """17850.0 is 17850, as in every other table."""
    numbers = {
        "orders": SHOP["orders"].assign(customer_id=[17850.0, 2.0, 3.0, 4.0]),
        "referrals": SHOP["referrals"].assign(
            referrer_id=[17850.0, 17850.0, 2.0, 3.0], referee_id=[2.0, 3.0, 3.0, 4.0]
        ),
    }
    for out in (
        pd.DataFrame({"referrer_id": [17850.0], "referee_id": [3.0]}),
        pd.DataFrame({"referrer_id": [17850], "referee_id": [3]}),
        pd.DataFrame({"referrer_id": [" 17850"], "referee_id": ["3"]}),
    ):
        events = sl.read_events(**numbers, exclude_referrals=out)
        assert events.audit.set_index("code").loc["SL208", "n_rows"] == 1


def test_a_table_without_pairs_is_refused():
    with pytest.raises(SettingError, match="must have columns referrer_id and referee"):
        sl.read_events(**SHOP, exclude_referrals=pd.DataFrame({"who": ["a"]}))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_any_precision_are_read_when_tables_are_not_kept(monkeypatch, unit):
    """Above two million rows, tables stay as they came."""
    monkeypatch.setattr(validate, "_KEPT_ROWS", 1)
    orders, referrals = (
        pa.table({
            name: pa.array(pd.to_datetime(frame[name]), pa.timestamp(unit))
            if name.endswith("_at") else pa.array(frame[name])
            for name in frame
        })
        for frame in SHOP.values()
    )  # fmt: skip
    events = sl.read_events(orders, referrals)
    people = sl.people(events).to_pandas().set_index("person_id")
    assert people["referrer_id"].dropna().to_dict() == {"b": "a", "c": "a", "d": "c"}
