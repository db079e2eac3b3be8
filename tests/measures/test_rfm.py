"""RFM: scores and names by hand, ties, real orders in pandas, a state of the past."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from hypothesis import given
from hypothesis import strategies as st
from small_shops import orders

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.measures.customers.scores import SEGMENTS, segment_of


def people_of(found):
    return shops.by_id(found.people).set_index("person_id")


# On day 400: last purchase, how often, how much.
#     ann   day 400, 6 times, 60     bob   day 370, twice, 20    cat  day 369, once, 5
#     dan   day 220, 4 times, 100    eve   day  35, 3 times, 3   fay  day  34, once, 5
# and dan gave 90 back on day 300, which is no purchase.
BY_HAND = orders(
    *(("ann", n, 10) for n in (300, 310, 320, 330, 340, 400)),
    ("bob", 100, 10), ("bob", 370, 10), ("cat", 369, 5),
    *(("dan", n, 25) for n in (205, 210, 215, 220)), ("dan", 300, -90),
    *(("eve", n, 1) for n in (10, 20, 35)), ("fay", 34, 5),
)  # fmt: skip


@pytest.fixture(scope="module")
def events():
    return sl.read_events(BY_HAND)


def test_fixed_scores_by_hand(events):
    found = sl.rfm(events, scores="fixed")
    people = people_of(found)
    # 30 days score 5, 31 score 4, 180 days 3, 365 days 2, more 1.
    assert people["recency_days"].to_dict() == {
        "ann": 0, "bob": 30, "cat": 31, "dan": 180, "eve": 365, "fay": 366,
    }  # fmt: skip
    assert people["r_score"].tolist() == [5, 5, 4, 3, 2, 1]
    assert people["n_purchases"].tolist() == [6, 2, 1, 4, 3, 1]
    assert people["f_score"].tolist() == [5, 2, 1, 4, 3, 1]
    assert people["revenue"].astype(float).tolist() == [60, 20, 5, 10, 3, 5]
    assert people["mean_value"].tolist() == [10, 10, 5, 2.5, 1, 5]
    # Money by rank: worse than 60 are 5 of 6, 1 + floor(25 / 6) = 5; than 20 four, 4;
    # than 10 three, 3; than 5 one, 1 + floor(5 / 6) = 1, for both; than 3 none.
    assert people["m_score"].tolist() == [5, 4, 1, 3, 1, 1]
    assert people["segment"].tolist() == [
        "champions", "potential", "promising", "loyal", "at_risk", "lost",
    ]  # fmt: skip


def test_scores_by_rank_by_hand(events):
    people = people_of(sl.rfm(events))
    # Of six: strictly worse are 5, 4, 3, 2, 1, 0 by recency; 1 + floor(5 worse / 6).
    assert people["r_score"].tolist() == [5, 4, 3, 2, 1, 1]
    # Purchases 6, 2, 1, 4, 3, 1: worse are 5, 2, 0, 4, 3, 0.
    assert people["f_score"].tolist() == [5, 2, 1, 4, 3, 1]
    two = people_of(sl.rfm(events, n_scores=2))
    assert two["r_score"].tolist() == [2, 2, 2, 1, 1, 1]
    assert two["f_score"].tolist() == [2, 1, 1, 2, 2, 1]
    assert two["segment"].tolist() == [
        "champions", "new", "new", "cannot_lose", "cannot_lose", "lost",
    ]  # fmt: skip


def test_small_tables_by_hand(events):
    found = sl.rfm(events, scores="fixed")
    for name in ("table", "grid", "bounds"):
        schema = "rfm" if name == "table" else f"rfm_{name}"
        assert shops.has_columns(getattr(found, name), schema)
    assert shops.has_columns(found.people.to_pandas(), "rfm_people")
    table = found.table.set_index("segment")
    assert tuple(table.index) == SEGMENTS
    assert table["n_people"].sum() == 6
    champions = table.loc["champions"]
    assert champions["share_people"] == 1 / 6
    assert champions["share_of_revenue"] == pytest.approx(60 / 103)
    assert champions[["mean_recency_days", "mean_purchases"]].tolist() == [0, 6]
    assert champions["mean_revenue"] == 60
    # Of nobody the money is known to be 0, and means are not known.
    assert table.loc["new", ["n_people", "revenue", "share_of_revenue"]].tolist() == [
        0, 0, 0,
    ]  # fmt: skip
    assert table.loc["new", ["mean_recency_days", "mean_revenue"]].isna().all()
    grid = found.grid.set_index(["r_score", "f_score"])
    assert len(grid) == 25
    assert grid["n_people"].sum() == 6
    assert grid.loc[(3, 4), "revenue"] == 10
    bounds = found.bounds.set_index(["measure", "score"])
    assert bounds.loc[("recency_days", 5), ["n_people", "low", "high"]].tolist() == [
        2, 0, 30,
    ]  # fmt: skip
    assert bounds.loc[("n_purchases", 1), ["n_people", "low", "high"]].tolist() == [
        2, 1, 1,
    ]  # fmt: skip
    assert ("revenue", 2) not in bounds.index


def test_edges_of_the_user(events):
    edges = {"recency_days": [0, 100], "n_purchases": [2, 3], "revenue": [5, 10.5]}
    people = people_of(sl.rfm(events, scores="fixed", n_scores=3, edges=edges))
    assert people["r_score"].tolist() == [3, 2, 2, 1, 1, 1]
    assert people["f_score"].tolist() == [3, 2, 1, 3, 3, 1]
    assert people["m_score"].tolist() == [3, 3, 2, 2, 1, 2]
    # Three scores stand for 1, 3 and 5.
    assert people["segment"].tolist() == [
        "champions", "needs_attention", "about_to_sleep", "cannot_lose",
        "cannot_lose", "lost",
    ]  # fmt: skip


def test_every_pair_of_scores_has_one_name_and_every_name_a_pair():
    names = [segment_of(r, f) for r, f in product(range(1, 6), range(1, 6))]
    assert set(names) == set(SEGMENTS)
    for n in range(2, 11):
        assert segment_of(n, n, n_scores=n) == "champions"
        assert segment_of(1, 1, n_scores=n) == "lost"
        assert segment_of(n, 1, n_scores=n) == "new"
        assert segment_of(1, n, n_scores=n) == "cannot_lose"


@given(st.integers(2, 10), st.data())
def test_a_better_score_never_has_a_lower_level(n, data):
    # Names follow five levels, and a level never falls when a score rises.
    order = ["lost", "hibernating", "about_to_sleep", "promising", "new"]
    first, second = sorted(data.draw(st.tuples(*[st.integers(1, n)] * 2)))
    levels = [order.index(segment_of(r, 1, n_scores=n)) for r in (first, second)]
    assert levels[0] <= levels[1]


def ranked(values, n_scores, *, lower_is_better=False):
    """Score by counting who is strictly worse, one customer after the other."""
    values = np.asarray(values, dtype=float)
    worse = [((values > v) if lower_is_better else (values < v)).sum() for v in values]
    return [1 + int(w) * n_scores // values.size for w in worse]


@pytest.mark.parametrize("n_scores", [3, 5, 10])
def test_scores_by_rank_count_who_is_worse_on_real_orders(retail_events, n_scores):
    people = people_of(sl.rfm(retail_events, n_scores=n_scores))
    assert len(people) == retail_events.totals["n_buyers"]
    r = ranked(people["recency_days"], n_scores, lower_is_better=True)
    assert people["r_score"].tolist() == r
    assert people["f_score"].tolist() == ranked(people["n_purchases"], n_scores)
    assert people["m_score"].tolist() == ranked(people["revenue"], n_scores)
    names = [
        segment_of(r, f, n_scores=n_scores)
        for r, f in zip(people["r_score"], people["f_score"], strict=True)
    ]
    assert people["segment"].tolist() == names


@pytest.mark.parametrize("scores", ["quantile", "fixed"])
def test_equal_values_have_equal_scores_and_better_ones_no_lower(
    simulated_events, scores
):
    people = people_of(sl.rfm(simulated_events, scores=scores))
    for column, score in (
        ("recency_days", "r_score"), ("n_purchases", "f_score"), ("revenue", "m_score")
    ):  # fmt: skip
        groups = people.groupby(people[column].astype(float))[score]
        assert (groups.nunique() == 1).all()
        rising = groups.first()
        better = rising.is_monotonic_increasing
        if column == "recency_days":
            better = rising.is_monotonic_decreasing
        assert better
        assert people[score].between(1, 5).all()
    # Most buy once or twice: no ties would be no test.
    assert people["n_purchases"].duplicated().sum() > 1000


def test_row_order_names_and_money_move_nobody(
    untidy_events, shuffled_events, renamed_events, richer_events
):
    columns = ["recency_days", "n_purchases", "r_score", "f_score", "m_score"]
    expected = people_of(sl.rfm(untidy_events))
    renamed = people_of(sl.rfm(renamed_events)).rename(lambda i: i[1:][::-1])
    others = [people_of(sl.rfm(e)) for e in (shuffled_events, richer_events)]
    for found in (*others, renamed.sort_index()):
        pd.testing.assert_frame_equal(
            found[[*columns, "segment"]], expected[[*columns, "segment"]]
        )
    money = others[1]["revenue"].astype(float)
    np.testing.assert_allclose(money, 10 * expected["revenue"].astype(float))


def test_the_tables_add_up(retail_events):
    found = sl.rfm(retail_events)
    people = people_of(found)
    revenue = people["revenue"].astype(float)
    for table in (found.table, found.grid):
        assert table["n_people"].sum() == len(people)
        assert table["share_people"].sum() == pytest.approx(1)
        assert table["revenue"].sum() == pytest.approx(revenue.sum())
        assert table["share_of_revenue"].sum() == pytest.approx(1)
    means = people.assign(revenue=revenue).groupby("segment")
    table = found.table.set_index("segment")
    table = table[table["n_people"] > 0]
    for column, mean in (
        ("recency_days", "mean_recency_days"), ("n_purchases", "mean_purchases"),
        ("revenue", "mean_revenue"),
    ):  # fmt: skip
        expected = means[column].mean().reindex(table.index)
        np.testing.assert_allclose(table[mean], expected)
    assert (found.bounds.groupby("measure")["n_people"].sum() == len(people)).all()


@pytest.mark.parametrize("at", ["2026-03-15", "2026-05-31"])
def test_a_state_of_the_past_is_that_of_events_read_to_that_day(
    untidy, untidy_events, at
):
    early = sl.read_events(*untidy[:2], visits=untidy.visits, end=at)
    for settings in ({}, {"scores": "fixed"}):
        then = sl.rfm(untidy_events, at=at, **settings)
        cut = sl.rfm(early, **settings)
        pd.testing.assert_frame_equal(people_of(then), people_of(cut))
        pd.testing.assert_frame_equal(then.table, cut.table)
        pd.testing.assert_frame_equal(then.bounds, cut.bounds)
    assert str(then.at) == at


def test_the_last_day_is_the_state_of_everything(untidy_events):
    found = sl.rfm(untidy_events, at=untidy_events.end)
    pd.testing.assert_frame_equal(found.table, sl.rfm(untidy_events).table)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"scores": "rank"}, "scores must be one of 'quantile', 'fixed'"),
        ({"n_scores": 1}, "n_scores must be between 2 and 10"),
        ({"n_scores": 2.5}, "must be a whole number"),
        ({"edges": {"revenue": [1, 2, 3, 4]}}, "edges are a setting of scores='fixed'"),
        ({"scores": "fixed", "n_scores": 3}, "must have 2 numbers for 'recency_days'"),
        ({"scores": "fixed", "edges": {"money": [1]}}, "a key of edges must be one of"),
        (
            {"scores": "fixed", "edges": {"revenue": [1, 2, 3]}},
            "must be 4 rising numbers",
        ),
        (
            {"scores": "fixed", "edges": {"revenue": [1, 2, 2, 3]}},
            "must be 4 rising numbers",
        ),
        (
            {"scores": "fixed", "edges": {"revenue": [1, 2, 3, float("nan")]}},
            "must be between",
        ),
        ({"at": "2025-01-01"}, "at must lie between 2026-01-11 and 2027-02-05"),
        ({"at": "soon"}, "at must be a date"),
    ],
)
def test_settings_outside_their_range_are_errors(events, settings, words):
    with pytest.raises(SettingError, match=words):
        sl.rfm(events, **settings)


@pytest.mark.parametrize("scores", ["quantile", "fixed"])
def test_nobody_bought(scores):
    found = sl.rfm(sl.read_events(orders(("a", 0, -5), ("b", 0, -1))), scores=scores)
    assert found.table["n_people"].sum() == 0
    assert found.table["share_people"].isna().all()
    assert len(found.grid) == 25
    assert found.bounds.empty
    assert len(found.people.to_pandas()) == 0
    assert "lost" in repr(found)


def test_one_customer_is_the_only_and_so_the_worst_by_rank():
    # Nobody is strictly worse.
    found = sl.rfm(sl.read_events(orders((shops.HOSTILE, 0, 5))))
    people = people_of(found)
    assert people[["r_score", "f_score", "m_score"]].to_numpy().tolist() == [[1, 1, 1]]
    assert people.index.tolist() == [shops.HOSTILE]


def test_money_given_back_has_no_share():
    rows = orders(("a", 0, 10), ("b", 0, 5), ("b", 1, -9))
    table = sl.rfm(sl.read_events(rows)).table.set_index("segment")
    # b bought once, for 5, and gave 9 back: -4 of 6 in all; both are in one segment.
    assert table["revenue"].sum() == 6
    grid = sl.rfm(sl.read_events(rows), n_scores=2).grid
    assert grid["revenue"].sum() == 6
    rows = orders(("a", 0, 10), ("a", 9, 10), ("b", 0, 5), ("b", 1, -9))
    found = sl.rfm(sl.read_events(rows), scores="fixed").table.set_index("segment")
    assert found.loc["potential", "revenue"] == 20
    assert found.loc["new", "revenue"] == -4
    assert found.loc[["potential", "new"], "share_of_revenue"].isna().all()


def test_results_show_themselves(events):
    found = sl.rfm(events)
    assert found.to_frame().equals(found.table)
    copy = found.to_frame()
    copy.loc[0, "segment"] = "changed"
    assert found.table.loc[0, "segment"] == "champions"
    assert "champions" in repr(found)
    assert "2027-02-05" in found._repr_html_()
