"""Profiles of segments: what came after by hand, rates of the funnel, own tables."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from scipy import stats
from small_shops import orders, referrals, visits

import selfloop as sl
from selfloop.core.errors import DataError, SettingError
from selfloop.measures.customers.lapses import STATES
from selfloop.measures.customers.scores import SEGMENTS

# Looked at from the close of day 10. Dormant after 5 days, lost after 8.
#     a  days 0, 9, then 11 (7), 20 (5, and 2 given back on day 21); brings d on day 12
#     b  day 4 (6 days ago), then 30 (100)
#     c  day 1 (9 days ago), then nothing
#     d  first on day 12: not yet a customer
BY_HAND = orders(
    ("a", 0, 1), ("a", 9, 1), ("a", 11, 7), ("a", 20, 5), ("a", 21, -2),
    ("b", 4, 1), ("b", 30, 100), ("c", 1, 50), ("d", 12, 9),
)  # fmt: skip
LINKS = referrals(("a", "b", 3), ("a", "d", 11))
LIFECYCLE = {"dormant_after_days": 5, "lost_after_days": 8, "at": shops.date_of(10)}


def test_what_came_after_by_hand():
    events = sl.read_events(BY_HAND, LINKS)
    found = sl.segment_profile(events, "lifecycle", **LIFECYCLE)
    after = found.after.set_index("segment")
    assert shops.has_columns(found.after, "segment_after")
    assert tuple(after.index) == STATES
    assert after["n_people"].tolist() == [1, 1, 1]  # a, b, c
    assert after["n_again"].tolist() == [1, 1, 0]
    assert after["n_orders"].tolist() == [2, 1, 0]
    assert after["revenue"].tolist() == [10, 100, 0]  # 7 + 5 - 2
    assert after["share_of_revenue"].tolist() == [10 / 110, 100 / 110, 0]
    assert after["n_brought"].tolist() == [1, 0, 0]  # d; b was there before
    assert (after["reason"] == "1 people, need 30").all()
    assert after["share_again"].isna().all()
    # Of what people bought so far nothing is told: it made the segments.
    assert found.table.empty
    assert shops.has_columns(found.table, "segment_profile")
    assert "only what came after" in repr(found)


def test_without_links_it_is_not_known_whom_they_brought():
    found = sl.segment_profile(sl.read_events(BY_HAND), "lifecycle", **LIFECYCLE)
    assert found.after["n_brought"].isna().all()


@pytest.fixture(scope="module")
def events(simulated_events):
    return simulated_events


def test_after_agrees_with_pandas(events):
    found = sl.segment_profile(events, "rfm", at="2025-06-30")
    after = found.after.set_index("segment")
    assert tuple(after.index) == SEGMENTS
    people = sl.rfm(events, at="2025-06-30").people.to_pandas()
    rows = events.baskets.join(events.core, "person_no").to_pandas()
    rows = rows[rows["at"] >= "2025-07-01"].assign(net=rows["net"].astype(float))
    done = rows.groupby("person_id").agg(n=("is_purchase", "sum"), value=("net", "sum"))
    people = people[["person_id", "segment"]].join(done, on="person_id").fillna(0)
    for segment, part in people.groupby("segment"):
        line = after.loc[segment]
        assert line["n_people"] == len(part)
        assert line["n_again"] == (part["n"] > 0).sum()
        assert line["n_orders"] == part["n"].sum()
        assert line["revenue"] == pytest.approx(part["value"].sum())
        if len(part) < 30:
            assert np.isnan(line["person_revenue"])
            continue
        again = stats.binomtest(int((part["n"] > 0).sum()), len(part))
        ends = again.proportion_ci(method="wilson")
        assert line["share_again_low"] == pytest.approx(ends.low)
        assert line["share_again_high"] == pytest.approx(ends.high)
        for name, column in (("purchases", "n"), ("revenue", "value")):
            values = part[column].astype(float)
            ends = stats.t.interval(
                0.95, len(part) - 1, values.mean(), stats.sem(values)
            )
            assert line[f"person_{name}"] == pytest.approx(values.mean())
            assert line[f"person_{name}_low"] == pytest.approx(ends[0])
            assert line[f"person_{name}_high"] == pytest.approx(ends[1])
    bought = events.core.to_pandas()
    later = bought[bought["first_at"] >= "2025-07-01"]
    referrers = bought.set_index("person_no")["first_at"]
    own = later["referrer_no"].dropna().map(referrers)
    assert after["n_brought"].sum() == (own < "2025-07-01").sum()


def test_states_are_those_of_90_days_before_the_end(events):
    found = sl.segment_profile(events, "rfm")
    assert (events.end - found.at).days == 90
    at = sl.segment_profile(events, "rfm", at=found.at)
    pd.testing.assert_frame_equal(found.after, at.after)
    assert found.to_frame().equals(found.after)
    sizes = sl.rfm(events, at=found.at).table["n_people"]
    assert found.after["n_people"].tolist() == sizes.tolist()


def test_rates_are_those_of_the_funnel_and_sums_those_of_people(events):
    found = sl.segment_profile(events, "source", window_days=60)
    table = found.table.set_index("segment")
    assert shops.has_columns(found.table, "segment_profile")
    assert found.after.empty
    assert found.to_frame().equals(found.table)
    windows = sl.funnel(events, "source", windows_days=(60,)).windows
    for name, stage, share in (
        ("share_converted", "conversion", "share_matured"),
        ("share_repurchased", "repurchase", "share_matured"),
        ("share_within", "repurchase", "share_within"),
        ("share_referred", "referral", "share_matured"),
    ):
        rates = windows[windows["stage"] == stage].set_index("segment")
        for end in ("", "_low", "_high"):
            expected = rates[f"{share}{end}"].reindex(table.index)
            np.testing.assert_allclose(table[f"{name}{end}"], expected)
    people = sl.people(events).to_pandas()
    people["revenue"] = people["revenue"].astype(float)
    for segment, part in people.groupby("source"):
        line, buyers = table.loc[segment], part[part["n_purchases"] > 0]
        assert (line["n_people"], line["n_buyers"]) == (len(part), len(buyers))
        assert line["revenue"] == pytest.approx(part["revenue"].sum())
        values = buyers["revenue"]
        low, high = stats.t.interval(
            0.95, len(values) - 1, values.mean(), stats.sem(values)
        )
        assert line["buyer_revenue"] == pytest.approx(values.mean())
        assert line["buyer_revenue_low"] == pytest.approx(low)
        assert line["buyer_revenue_high"] == pytest.approx(high)
        mean = buyers["n_purchases"].mean()
        assert line["buyer_purchases"] == pytest.approx(mean)
    assert table["share_of_revenue"].sum() == pytest.approx(1)
    assert found.table["n_people"].is_monotonic_decreasing


def test_a_table_of_ones_own_does_what_a_column_does(events):
    people = sl.people(events)
    own = people.select("person_id", segment="source")
    by_column = sl.segment_profile(events, "source", at="2025-06-30")
    for source in (own, own.to_pandas(), own.to_pyarrow()):
        found = sl.segment_profile(events, source, at="2025-06-30")
        assert found.by == "table"
        assert found.n_unknown == 0
        pd.testing.assert_frame_equal(found.table, by_column.table)
        pd.testing.assert_frame_equal(found.after, by_column.after)


def test_people_without_a_segment_and_segments_without_people():
    events = sl.read_events(BY_HAND, LINKS, visits=visits(("e", 5, "ads")))
    own = pd.DataFrame({"person_id": ["a", "b", "zoe"], "segment": ["x", None, "x"]})
    before = own.copy()
    found = sl.segment_profile(events, own, at=shops.date_of(10))
    assert found.n_unknown == 1
    assert "people in no events" in repr(found)
    sizes = found.table.set_index("segment")["n_people"]
    assert sizes.to_dict() == {"(missing)": 4, "x": 1}  # b, c, d and e
    assert found.after.set_index("segment")["n_people"].to_dict() == {
        "(missing)": 2, "x": 1,
    }  # fmt: skip
    pd.testing.assert_frame_equal(own, before)


def test_reasons_say_what_is_missing():
    events = sl.read_events(BY_HAND)
    line = sl.segment_profile(events, "source").table.iloc[0]
    assert line["reason"] == (
        "4 buyers, need 30; conversion: no table of visits; repurchase: 0 observed "
        "for 90 days, need 30; repurchase: 0 at risk at day 90, need 30; referral: no "
        "table of referrals"
    )
    names = [n for n in line.index if n.startswith(("share_", "buyer_"))]
    assert line[names].drop("share_of_revenue").isna().all()
    assert line["share_of_revenue"] == 1


def test_many_own_segments_are_put_into_one(events):
    ids = sl.people(events).to_pandas()["person_id"].sort_values()
    own = pd.DataFrame({
        "person_id": ids, "segment": [f"<b>$s{i % 40}$" for i in range(len(ids))],
    })  # fmt: skip
    table = sl.segment_profile(events, own).table
    assert len(table) == 31
    assert "(other)" in set(table["segment"])
    assert table["n_people"].sum() == len(ids)


@pytest.mark.parametrize("by", ["rfm", "source"])
def test_row_order_and_names_do_not_matter(
    untidy_events, shuffled_events, renamed_events, by
):
    expected = sl.segment_profile(untidy_events, by, at="2026-05-31")
    for events in (shuffled_events, renamed_events):
        found = sl.segment_profile(events, by, at="2026-05-31")
        pd.testing.assert_frame_equal(found.after, expected.after)
        pd.testing.assert_frame_equal(found.table, expected.table)


@pytest.mark.parametrize(
    ("by", "settings", "words"),
    [
        ("mood", {}, "by must be one of"),
        (pd.DataFrame({"id": ["a"]}), {}, "columns person_id and segment; it has id"),
        (
            pd.DataFrame({"person_id": ["a", "a"], "segment": ["x", "y"]}), {},
            "1 rows are of people who have one already",
        ),
        ("source", {"dormant_after_days": 9}, "are settings of by='lifecycle'"),
        ("rfm", {}, "at must be given: 2026-01-01 to 2026-01-31"),
        ("rfm", {"at": "2026-01-31"}, "nothing came after it"),
        ("source", {"at": "2026-02-01"}, "at must lie between"),
        ("source", {"window_days": 0}, "window_days must be between 1 and"),
        ("lifecycle", {"at": "2026-01-20"}, "dormant_after_days must be given"),
    ],
)  # fmt: skip
def test_settings_outside_their_range_are_errors(by, settings, words):
    with pytest.raises(SettingError, match=words):
        sl.segment_profile(sl.read_events(BY_HAND), by, **settings)


def test_what_is_no_table_is_an_error():
    with pytest.raises(DataError, match="by"):
        sl.segment_profile(sl.read_events(BY_HAND), 7)


def test_nobody_bought():
    events = sl.read_events(orders(("a", 0, -5), ("b", 100, -1)))
    after = sl.segment_profile(events, "rfm").after
    assert after["n_people"].sum() == 0
    assert after["share_people"].isna().all()
    table = sl.segment_profile(events, "source").table
    assert table["n_buyers"].tolist() == [0]
    assert table["revenue"].tolist() == [-6]
    assert "0 buyers, need 30" in table["reason"].iloc[0]
