"""Migration between states: by hand, laws, cut data, and intervals that cover."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from small_shops import orders

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.core.settings import check_day
from selfloop.measures.customers.migration import shares_of_moves
from selfloop.measures.customers.rfm import scored_people
from selfloop.measures.customers.scores import SEGMENTS
from selfloop.measures.customers.states import rule_of, states_at

# Dormant after 10 days, lost after 20; from the close of day 30 to that of day 60.
#     a  bought on days 5 and 30; 55     active, then active
#     b  bought on day 20; 40            active, then dormant (20 days)
#     c  bought on day 19; 41            dormant (11 days), then dormant (19 days)
#     d  bought on day 10; 50            dormant (20 days), then active (10 days)
#     e  bought on day 9; never again    lost (21 days), then lost
#     f  bought on day 31                new, then lost (29 days)
#     g  bought on day 60                new, then active
BY_HAND = orders(
    ("a", 5, 1), ("a", 30, 1), ("a", 55, 1), ("b", 20, 1), ("b", 40, 1),
    ("c", 19, 1), ("c", 41, 1), ("d", 10, 1), ("d", 50, 1), ("e", 9, 1),
    ("f", 31, 1), ("g", 60, 1),
)  # fmt: skip
DAYS = {"states": "lifecycle", "dormant_after_days": 10, "lost_after_days": 20}


def test_moves_by_hand():
    found = sl.migration(sl.read_events(BY_HAND), shops.date_of(30), **DAYS)
    assert shops.has_columns(found.table, "migration")
    matrix = found.matrix()
    assert matrix.columns.tolist() == ["active", "dormant", "lost"]
    assert matrix.to_numpy().tolist() == [
        [1, 1, 0],  # active: a, b
        [1, 1, 0],  # dormant: d, c
        [0, 0, 1],  # lost: e
        [1, 0, 1],  # (new): g, f
    ]
    assert matrix.index.tolist() == ["active", "dormant", "lost", "(new)"]
    assert found.table["n_from"].tolist() == [2] * 6 + [1] * 3 + [2] * 3
    # Too few people for shares, and it says so.
    assert found.table["share"].isna().all()
    assert found.table["reason"].unique().tolist() == [
        "2 people, need 30", "1 people, need 30",
    ]  # fmt: skip


def test_the_end_can_be_earlier_than_the_last_day():
    events = sl.read_events(BY_HAND)
    found = sl.migration(events, shops.date_of(30), end=shops.date_of(40), **DAYS)
    assert found.matrix().to_numpy().tolist() == [
        [2, 0, 0],  # a, 10 days; b, on that day
        [0, 0, 2],  # c, 21 days; d, 30 days
        [0, 0, 1],  # e
        [1, 0, 0],  # f, 9 days; g has not bought yet
    ]


def test_shares_and_intervals_by_hand():
    counted = pd.DataFrame({
        "state_from": ["x", "x", "(new)"], "state_to": ["x", "y", "y"],
        "n_people": [30, 10, 29],
    })  # fmt: skip
    table = shares_of_moves(counted, ["x", "y"]).set_index(["state_from", "state_to"])
    # 30 of 40: centre (0.75 + 0.0480) / 1.0960 = 0.7281, half-width 0.1301.
    stayed = table.loc[("x", "x"), ["share", "share_low", "share_high"]]
    assert stayed.tolist() == pytest.approx([0.75, 0.5981, 0.8582], abs=1e-4)
    assert table.loc[("x", "y"), "share"] == 0.25
    assert table.loc[("y", "x"), ["n_from", "n_people"]].tolist() == [0, 0]
    assert table.loc[("y", "x"), "reason"] == "0 people, need 30"
    assert table.loc[("(new)", "y"), "reason"] == "29 people, need 30"
    assert np.isnan(table.loc[("(new)", "y"), "share"])


@pytest.mark.parametrize(
    "settings",
    [{}, {"scores": "fixed"}, {"states": "lifecycle", "dormant_after_days": 30}],
    ids=["rank", "fixed", "lifecycle"],
)
def test_rows_and_columns_sum_to_the_states_of_both_days(simulated_events, settings):
    found = sl.migration(simulated_events, "2024-11-30", end="2025-03-31", **settings)
    table, matrix = found.table, found.matrix()
    sizes = table.groupby("state_from")["n_from"].first()
    assert (matrix.sum(axis=1) == sizes.reindex(matrix.index)).all()
    shares = table.groupby("state_from")["share"].sum(min_count=1).dropna()
    np.testing.assert_allclose(shares, 1)
    inside = table.dropna(subset="share")
    assert (inside["share_low"] <= inside["share"]).all()
    assert (inside["share"] <= inside["share_high"]).all()
    assert (table["share"].isna() == (table["n_from"] < 30)).all()
    if "states" in settings:
        for day, sums in (
            ("2024-11-30", sizes.drop("(new)")), ("2025-03-31", matrix.sum())
        ):  # fmt: skip
            events = simulated_events
            rows = events.baskets.to_pandas()
            rows = rows[rows["is_purchase"] & (rows["at"] < f"{day} 23:59:59.999999")]
            silence = (pd.Timestamp(day) - rows.groupby("person_no")["at"].max()).dt
            silence = np.ceil(silence.total_seconds() / 86_400)
            assert sums["active"] == (silence <= 30).sum()
            assert sums["lost"] == (silence > 90).sum()
        return
    for day, sums in (
        ("2024-11-30", sizes.drop("(new)")), ("2025-03-31", matrix.sum())
    ):  # fmt: skip
        states = sl.rfm(simulated_events, at=day, **settings).table
        states = states.set_index("segment")["n_people"]
        assert sums.reindex(states.index).tolist() == states.tolist()


@pytest.mark.parametrize("kind", ["rfm", "lifecycle"])
def test_states_at_the_start_are_those_of_events_read_to_it(
    simulated, simulated_events, kind
):
    at = check_day("at", "2025-06-30")
    cut = sl.read_events(simulated.orders, simulated.referrals, end=at)
    options = {
        "scores": "quantile", "n_scores": 5, "edges": None,
        "dormant_after_days": None, "lost_after_days": None,
    }  # fmt: skip

    def states(events):
        rule = rule_of(events, kind, at, **options)
        rows = states_at(events, at, rule).join(events.core, "person_no")
        rows = rows.select("person_id", "state")
        return rule, shops.by_id(rows)

    whole, early = states(simulated_events), states(cut)
    assert whole[0] == early[0]  # the days of dormant and lost too
    pd.testing.assert_frame_equal(whole[1], early[1])
    found = sl.migration(simulated_events, at, states=kind)
    sizes = early[1]["state"].value_counts()
    row_sums = found.matrix().sum(axis=1).drop("(new)")
    assert row_sums[row_sums > 0].sort_index().to_dict() == sizes.to_dict()
    last = sl.migration(simulated_events, "2025-06-29", end=at, states=kind)
    if kind == "rfm":
        column_sums = last.matrix().sum()
        assert column_sums[column_sums > 0].to_dict() == sizes.to_dict()


def test_nothing_after_the_end_matters(untidy, untidy_events):
    early = sl.read_events(*untidy[:2], visits=untidy.visits, end="2026-06-30")
    for settings in ({}, {"states": "lifecycle", "dormant_after_days": 20}):
        whole = sl.migration(untidy_events, "2026-04-30", end="2026-06-30", **settings)
        cut = sl.migration(early, "2026-04-30", **settings)
        pd.testing.assert_frame_equal(whole.table, cut.table)


def test_row_order_and_names_do_not_matter(
    untidy_events, shuffled_events, renamed_events, richer_events
):
    expected = sl.migration(untidy_events, "2026-05-31").table
    for events in (shuffled_events, renamed_events, richer_events):
        found = sl.migration(events, "2026-05-31").table
        pd.testing.assert_frame_equal(found, expected)


@pytest.fixture(scope="module")
def many_shops():
    """People of 300 shops of 300, who buy at random and leave with a hazard.

    Each person belongs to one shop; a shop is one draw of the same process.
    """
    rng = np.random.default_rng(11)
    n, days = 90_000, 300
    rate = rng.gamma(1.2, 1 / 40, n)
    leaves = rng.exponential(150, n)
    first = rng.uniform(0, 150, n)
    gaps = rng.exponential(1 / rate[:, None], (n, 40)).cumsum(axis=1)
    gaps[gaps > leaves[:, None]] = np.inf
    at = first[:, None] + np.hstack([np.zeros((n, 1)), gaps])
    who, k = np.nonzero(at < days)
    rows = pd.DataFrame({
        "customer_id": who.astype(str),
        "ordered_at": shops.DAY_0 + pd.to_timedelta(at[who, k].astype(int), unit="D"),
        "amount": 10,
    })  # fmt: skip
    return sl.read_events(rows, end=shops.date_of(days - 1))


def test_intervals_hold_the_shares_of_all_shops(many_shops):
    # The shares of all 90,000 people are the truth for each 300 of them.
    events = many_shops
    start, end = (check_day("at", shops.date_of(n)) for n in (160, 250))
    options = {"scores": "fixed", "n_scores": 5, "edges": None}
    days = {"dormant_after_days": 30, "lost_after_days": 80}
    none = dict.fromkeys(days)
    for kind, settings in (
        ("lifecycle", {"scores": "quantile", "n_scores": 5, "edges": None} | days),
        ("rfm", options | none),
    ):
        rule = rule_of(events, kind, start, **settings)
        before = states_at(events, start, rule).rename(state_from="state")
        after = states_at(events, end, rule).rename(state_to="state")
        rows = after.join(before, "person_no").join(events.core, "person_no")
        people = rows.select("person_id", "state_from", "state_to").to_pandas()
        assert len(people) == 90_000
        shop = people["person_id"].astype(int) % 300
        keys = ["state_from", "state_to"]

        def counted(part, keys=keys):
            return part.groupby(keys, as_index=False).size().rename(
                columns={"size": "n_people"}
            )  # fmt: skip

        truth = shares_of_moves(counted(people), rule.names).set_index(keys)["share"]
        held = []
        for _, part in people.groupby(shop):
            table = shares_of_moves(counted(part), rule.names).set_index(keys)
            known = table["share"].notna() & truth.between(0.02, 0.98)
            low, high = table["share_low"][known], table["share_high"][known]
            held += ((low <= truth[known]) & (truth[known] <= high)).tolist()
        assert len(held) > 2000
        assert 0.935 < np.mean(held) < 0.965, (kind, np.mean(held))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"start": "2026-03-02"}, "start must lie before end, 2026-03-02"),
        ({"start": "2025-03-02"}, "start must lie between 2026-01-06 and 2026-03-02"),
        ({"end": "2026-03-03"}, "end must lie between"),
        ({"end": "2026-01-20"}, "start must lie before end, 2026-01-20"),
        ({"states": "moods"}, "states must be one of 'rfm', 'lifecycle'"),
        ({"dormant_after_days": 9}, "are settings of states='lifecycle'"),
        ({"states": "lifecycle", "n_scores": 3}, "are settings of states='rfm'"),
        ({"states": "lifecycle"}, "dormant_after_days must be given"),
        ({"scores": "fixed", "n_scores": 3}, "must have 2 numbers"),
    ],
)
def test_settings_outside_their_range_are_errors(settings, words):
    chosen = {"start": "2026-01-31"} | settings
    with pytest.raises(SettingError, match=words):
        sl.migration(sl.read_events(BY_HAND), **chosen)


def test_nobody_bought():
    rows = orders(("a", 0, -5), ("b", 9, -1))
    found = sl.migration(sl.read_events(rows), shops.date_of(5))
    assert found.table["n_people"].sum() == 0
    assert len(found.table) == 12 * 11
    assert (found.table["reason"] == "0 people, need 30").all()
    assert "(no rows)" in repr(found)


def test_results_show_themselves(simulated_events):
    found = sl.migration(simulated_events, "2025-06-30")
    assert found.to_frame().equals(found.table)
    copy = found.to_frame()
    copy.loc[0, "state_to"] = "changed"
    assert found.table.loc[0, "state_to"] == "champions"
    assert found.matrix().index.tolist() == [*SEGMENTS, "(new)"]
    assert "cannot_lose" in repr(found)
    assert "2025-06-30" in found._repr_html_()
    scored = scored_people(simulated_events, found.start, found.rule.how)
    assert scored.count().to_pandas() == found.matrix().iloc[:-1].to_numpy().sum()
