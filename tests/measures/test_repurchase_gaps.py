"""When customers come back: by hand, plain pandas, who is drawn, laws, edges."""

from hashlib import md5

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from small_shops import by_id, has_columns, orders

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.kernels.hazards import hazards
from selfloop.kernels.survival import kaplan_meier


def plain_gaps(table, end):
    """Return the gaps of everybody by pandas: person, days, event."""
    known = table[table["customer_id"].notna()]
    days = (known["ordered_at"].dt.normalize() - shops.DAY_0).dt.days
    cents = (known["amount"] * 10_000).round().astype("int64")
    net = cents.groupby([known["customer_id"], days.rename("day")]).sum()
    rows = net[net > 0].reset_index().sort_values(["customer_id", "day"])
    gap = rows.groupby("customer_id")["day"].shift(-1) - rows["day"]
    rows["event"] = gap.notna()
    rows["days"] = gap.fillna(end - rows["day"]).astype(int)
    return rows.rename(columns={"customer_id": "person_id"})


@pytest.fixture(scope="module")
def by_hand():
    """Three customers, observed to day 20.

    ann buys on days 0, 3, 6, 9; bob on days 0 and 12; cat on day 20.
    """
    rows = [("ann", day, 5) for day in (0, 3, 6, 9)]
    rows += [("bob", 0, 5), ("bob", 12, 5), ("cat", 20, 5)]
    return sl.read_events(orders(*rows), end=shops.date_of(20))


def test_bins_by_hand(by_hand):
    gaps = sl.repurchase_gaps(by_hand, bin_days=5, window_days=12, min_at_risk=1)
    # Gaps: ann 3, 3, 3 and 11 days open; bob 12 and 8 days open; cat 0 days open.
    bins = gaps.bins.set_index("from_day")
    assert bins.index.tolist() == [1, 6, 11]
    assert bins["to_day"].tolist() == [5, 10, 12]
    assert bins["n_at_risk"].tolist() == [6, 3, 2]
    assert bins["n_people"].tolist() == [2, 2, 2]
    assert bins["n_returns"].tolist() == [3, 0, 1]
    # At risk on days 1 to 5: 6, 6, 6, 3, 3; on 6 to 10: 3, 3, 3, 2, 2; then 2 and 1.
    assert bins["hazard"].tolist() == pytest.approx([3 / 24, 0, 1 / 3])
    # S(3) = 3/6; S(12) = 0: bob's is the last one, and ends.
    assert bins["share_returned"].tolist() == pytest.approx([0.5, 0.5, 1])
    assert bins["share_of_returns"].tolist() == pytest.approx([0.5, 0, 0.5])
    (row,) = gaps.reminders.to_dict("records")
    assert (row["n_buyers"], row["n_gaps"], row["n_returns"]) == (3, 7, 4)
    # Half of those within 12 days by day 3, the rest by day 12.
    assert (row["days_50"], row["days_80"], row["days_90"]) == (3, 12, 12)


def test_a_bin_that_the_window_cuts_counts_to_the_window(by_hand):
    gaps = sl.repurchase_gaps(by_hand, bin_days=5, window_days=8, min_at_risk=1)
    share = gaps.bins["share_of_returns"].tolist()
    assert share[:2] == [1, 0]
    assert np.isnan(share[2])


def test_too_few_people_are_missing_however_many_gaps_they_have():
    # One customer buys every day for 60 days: 59 gaps, one person.
    events = sl.read_events(orders(*(("ann", day, 1) for day in range(60))))
    gaps = sl.repurchase_gaps(events)
    assert gaps.bins["n_at_risk"].iloc[0] == 59
    assert gaps.bins["hazard"].isna().all()
    assert gaps.bins["reason"].iloc[0] == "1 at risk at day 1, need 30"
    (row,) = gaps.reminders.to_dict("records")
    assert row["reason"] == "1 people, need 30; 0 at risk at day 30, need 30"
    assert pd.isna(row["remind_from_day"])


@pytest.mark.parametrize("shop", ["simulated", "untidy"])
def test_bins_agree_with_pandas(request, shop):
    tables, events = (request.getfixturevalue(n) for n in (shop, f"{shop}_events"))
    end = (pd.Timestamp(events.end) - shops.DAY_0).days
    rows = plain_gaps(tables.orders, end)
    gaps = sl.repurchase_gaps(events, bin_days=14, min_at_risk=1)
    lengths = rows["days"].to_numpy()
    event = rows["event"].to_numpy()
    size = lengths.max() + 1
    km = kaplan_meier(
        np.bincount(lengths[event], minlength=size),
        np.bincount(lengths[~event], minlength=size),
    )
    longest = rows.groupby("person_id")["days"].max()
    for row in gaps.bins.to_dict("records"):
        first, last = row["from_day"], row["to_day"]
        days = np.arange(first, last + 1)
        exposed = sum((lengths >= d).sum() for d in days)
        hits = (event & (lengths >= first) & (lengths <= last)).sum()
        assert row["n_returns"] == hits
        assert row["n_at_risk"] == (lengths >= first).sum()
        assert row["n_people"] == (longest >= first).sum()
        assert row["hazard"] == pytest.approx(hits / exposed)
        assert row["share_returned"] == pytest.approx(km.cif[last])
    assert gaps.bins["to_day"].iloc[-1] == size - 1
    n_returns = rows["event"].sum()
    assert gaps.bins["n_returns"].sum() == n_returns
    within = gaps.bins["share_of_returns"].sum()
    assert within == pytest.approx(1)
    fits = [w for w in (30, 90, 180, 365) if (longest >= w).sum() >= 30]
    assert gaps.window_days == max(fits, default=30)


def test_intervals_leave_out_customers(simulated, simulated_events):
    """The kernel on a table made by pandas gives the very numbers."""
    ids = simulated_events.core.person_id.to_pandas()
    group = {i: int(md5(i.encode()).hexdigest()[:6], 16) % 50 for i in ids}
    end = (pd.Timestamp(simulated_events.end) - shops.DAY_0).days
    rows = plain_gaps(simulated.orders, end)
    size = rows["days"].max() + 1
    ended, left = np.zeros((2, 50, size), dtype=int)
    where = rows["person_id"].map(group).to_numpy(), rows["days"].to_numpy()
    for cells, kind in ((ended, rows["event"]), (left, ~rows["event"])):
        np.add.at(cells, tuple(w[kind] for w in where), 1)
    longest = np.bincount(rows.groupby("person_id")["days"].max(), minlength=size)
    found = hazards(ended, left, n_longest=longest, first_days=np.arange(1, size, 7))
    bins = sl.repurchase_gaps(simulated_events, min_at_risk=1).bins
    for name in ("hazard_low", "hazard_high"):
        assert bins[name].to_numpy() == pytest.approx(getattr(found, name))
    for name in ("low", "high"):
        ours = bins[f"share_returned_{name}"].to_numpy()
        assert ours == pytest.approx(getattr(found, f"share_{name}"), nan_ok=True)


def test_the_span_is_where_customers_come_back():
    # Everybody comes back about 30 days later, two thirds of the time.
    rng = np.random.default_rng(3)
    rows = []
    for i in range(400):
        day = int(rng.integers(0, 300))
        while day < 400:
            rows.append((f"c{i}", day, 9))
            if rng.random() > 0.66:
                break
            day += int(rng.normal(30, 3))
    events = sl.read_events(orders(*rows), end=shops.date_of(399))
    gaps = sl.repurchase_gaps(events, window_days=90)
    (row,) = gaps.reminders.to_dict("records")
    assert (row["peak_from_day"], row["peak_to_day"]) == (29, 35)
    assert (row["remind_from_day"], row["remind_to_day"]) == (29, 35)
    assert row["share_in_span"] > 0.5
    assert row["days_50"] == pytest.approx(30, abs=1)
    assert row["days_50_low"] <= row["days_50"] <= row["days_50_high"]


def test_orders_of_one_day_are_a_bin_when_orders_are_counted(untidy):
    table = orders(("ann", 0, 5), ("ann", 0.5, 5), ("bob", 3, 5), ("bob", 9, 5))
    events = sl.read_events(table, purchase="order")
    bins = sl.repurchase_gaps(events, min_at_risk=1).bins
    assert bins[["from_day", "to_day"]].to_numpy().tolist() == [[0, 0], [1, 7], [8, 9]]
    # Day 0: four gaps begin, and one of them ends at once.
    assert bins["n_returns"].tolist() == [1, 1, 0]
    assert bins["hazard"].iloc[0] == 1 / 4
    by_day = sl.repurchase_gaps(sl.read_events(table), min_at_risk=1).bins
    assert by_day["from_day"].tolist() == [1, 8]
    every = sl.read_events(untidy.orders, purchase="order")
    n = every.core.aggregate(n=every.core.n_purchases.sum()).to_pandas()["n"].iloc[0]
    assert sl.repurchase_gaps(every).reminders["n_gaps"].iloc[0] == n


def test_totals_are_the_undivided_gaps(simulated_events):
    whole = sl.repurchase_gaps(simulated_events)
    for by in ("source", ("source", "channel")):
        split = sl.repurchase_gaps(simulated_events, by)
        for mine, total in (
            (whole.bins, split.bin_totals),
            (whole.reminders, split.reminder_totals),
        ):
            total = total[total["segment"] == "(all)"].reset_index(drop=True)
            both = (t.drop(columns=["segment", "segment_2"]) for t in (mine, total))
            pd.testing.assert_frame_equal(*both)
        counts = ["n_buyers", "n_gaps", "n_returns"]
        sums = split.reminders[counts].sum()
        assert sums.equals(whole.reminders[counts].iloc[0].astype("int64"))


@settings(max_examples=3, phases=(Phase.explicit, Phase.generate))
@given(st.integers(0, 10_000))
def test_people_of_the_last_day_and_the_order_of_rows_are_nothing(seed):
    rng = np.random.default_rng(seed)
    rows = [(f"p{rng.integers(30)}", int(rng.integers(0, 90)), 5) for _ in range(150)]
    table = orders(*rows)
    one = sl.repurchase_gaps(
        sl.read_events(table, end=shops.date_of(90)), window_days=30, min_at_risk=5
    )
    young = pd.concat([table, orders(*((f"new{i}", 90, 1) for i in range(9)))])
    other = sl.repurchase_gaps(
        sl.read_events(young.sample(frac=1, random_state=seed)),
        window_days=30, min_at_risk=5,
    )  # fmt: skip
    pd.testing.assert_frame_equal(one.bins, other.bins)
    same = one.reminders.columns.drop(["n_buyers", "n_gaps"])
    pd.testing.assert_frame_equal(one.reminders[same], other.reminders[same])


def test_nobody_bought_or_only_just_now():
    for rows in ([("a", 0, -5), ("b", 3, -1)], [("a", 3, 5), ("b", 3, 1)]):
        events = sl.read_events(orders(*rows))
        gaps = sl.repurchase_gaps(events, "source")
        assert gaps.bins.empty
        assert has_columns(gaps.bins, "repurchase_gaps")
        (row,) = gaps.reminders.to_dict("records")
        n = row["n_buyers"]
        assert n in (0, 2)
        assert row["reason"] == f"{n} people, need 30; 0 at risk at day 30, need 30"
        assert "When they come back" in repr(gaps)


def test_nobody_came_back():
    table = orders(*((f"c{i}", 0, 5) for i in range(40)))
    events = sl.read_events(table, end=shops.date_of(400))
    gaps = sl.repurchase_gaps(events)
    assert (gaps.bins["hazard"] == 0).all()
    assert (gaps.bins["hazard_high"] > 0).all()
    (row,) = gaps.reminders.to_dict("records")
    assert row["reason"] == (
        "nobody came back while enough were at risk; "
        "0 returned within 365 days, need 30"
    )


def test_tables_have_their_columns_and_show_themselves(simulated_events):
    for by in (None, "channel"):
        gaps = sl.repurchase_gaps(simulated_events, by)
        for table in (gaps.bins, gaps.bin_totals):
            assert has_columns(table, "repurchase_gaps")
        for table in (gaps.reminders, gaps.reminder_totals):
            assert has_columns(table, "repurchase_reminders")
        assert "when to remind" in gaps._repr_html_()
        assert gaps.to_frame().equals(gaps.bins)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"bin_days": 0}, "bin_days"),
        ({"bin_days": 1.5}, "whole"),
        ({"window_days": 0}, "window_days"),
        ({"min_at_risk": 0}, "min_at_risk"),
        ({"by": "colour"}, "by must be"),
    ],
)
def test_wrong_settings_are_named(by_hand, given, word):
    with pytest.raises(SettingError, match=word):
        sl.repurchase_gaps(by_hand, **given)


def test_only_events_will_do():
    for call in (sl.repurchase_gaps, sl.customer_gaps):
        with pytest.raises(SettingError, match="read_events"):
            call(orders(("a", 0, 5)))


def test_customers_by_hand(by_hand):
    table = sl.customer_gaps(by_hand)
    assert has_columns(table, "customer_gaps")
    ann, bob, cat = by_id(table).to_dict("records")
    assert (ann["n_gaps"], ann["median_gap_days"], ann["mean_gap_days"]) == (3, 3, 3)
    # 11 days since the last purchase.
    assert (ann["days_since_last"], ann["overdue"]) == (11, 11 / 3)
    assert (bob["n_gaps"], bob["median_gap_days"], bob["overdue"]) == (1, 12, 8 / 12)
    assert (cat["n_gaps"], cat["days_since_last"]) == (0, 0)
    assert np.isnan(
        [cat["median_gap_days"], cat["mean_gap_days"], cat["overdue"]]
    ).all()


@pytest.mark.parametrize("shop", ["simulated", "untidy"])
def test_customers_agree_with_pandas(request, shop):
    tables, events = (request.getfixturevalue(n) for n in (shop, f"{shop}_events"))
    end = (pd.Timestamp(events.end) - shops.DAY_0).days
    rows = plain_gaps(tables.orders, end)
    ended = rows[rows["event"]].groupby("person_id")["days"]
    own = pd.DataFrame({
        "n_gaps": ended.size(), "median_gap_days": ended.median(),
        "mean_gap_days": ended.mean(),
    })  # fmt: skip
    own = own.reindex(sorted(rows["person_id"].unique()))
    own["n_gaps"] = own["n_gaps"].fillna(0)
    own["days_since_last"] = end - rows.groupby("person_id")["day"].max()
    own["overdue"] = own["days_since_last"] / own["median_gap_days"]
    found = by_id(sl.customer_gaps(events)).set_index("person_id")
    pd.testing.assert_frame_equal(found, own, check_dtype=False, check_names=False)


def test_a_median_of_no_days_makes_nobody_overdue():
    table = orders(("ann", 0, 5), ("ann", 0.2, 5), ("bob", 9, 5))
    ann, _ = by_id(sl.customer_gaps(sl.read_events(table, purchase="order"))).to_dict(
        "records"
    )
    assert (ann["n_gaps"], ann["median_gap_days"]) == (1, 0)
    assert np.isnan(ann["overdue"])
