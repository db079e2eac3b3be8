"""Steps from purchase to purchase: by hand, the funnel, statsmodels, laws, edges."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from small_shops import has_columns, orders
from statsmodels.duration.survfunc import SurvfuncRight

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.kernels.intervals import wilson
from selfloop.measures.histograms import NOBODY, curve_of, totals_of

WINDOWS = (30, 90, 180, 365)
FULL = Path(os.environ["SELFLOOP_DATA"]) if os.environ.get("SELFLOOP_DATA") else None
COUNTS = ["n_entered", "n_matured", "n_matured_reached", "n_reached", "n_open"]


def at(ladder, step, window, segment="all", table="windows"):
    """Return one line of a table as a dict."""
    rows = getattr(ladder, table)
    rows = rows[rows["segment"].eq(segment) & rows["step"].eq(step)]
    (found,) = rows[rows["window_days"].eq(window)].to_dict("records")
    return found


def counts(row):
    """Return the counts of one window."""
    return tuple(row[name] for name in COUNTS)


def so_far(ladder):
    """Return step, n_entered and n_reached of every step."""
    return ladder.steps[["step", "n_entered", "n_reached"]].to_numpy().tolist()


def plain_spells(table, end):
    """Number purchases and take their gaps, by pandas."""
    known = table[table["customer_id"].notna()]
    days = (known["ordered_at"].dt.normalize() - shops.DAY_0).dt.days
    cents = (known["amount"] * 10_000).round().astype("int64")
    net = cents.groupby([known["customer_id"], days.rename("day")]).sum()
    rows = net[net > 0].reset_index().sort_values(["customer_id", "day"])
    by_person = rows.groupby("customer_id")["day"]
    rows["step"] = by_person.cumcount() + 1
    rows["gap"] = by_person.shift(-1) - rows["day"]
    rows["followup"] = end - rows["day"]
    rows["event"] = rows["gap"].notna()
    rows["days"] = rows["gap"].fillna(rows["followup"]).astype(int)
    return rows


@pytest.fixture(scope="module")
def by_hand():
    """Four customers, observed to day 100.

    ann buys on days 0, 10, 40; bob on days 5 and 95; cat on day 20, and gets money
    back on day 30; dan buys on day 95.
    """
    table = orders(
        ("ann", 0, 10), ("ann", 10, 10), ("ann", 40, 10), ("bob", 5, 10),
        ("bob", 95, 10), ("cat", 20, 10), ("cat", 30, -5), ("dan", 95, 10),
    )  # fmt: skip
    return sl.read_events(table, end=shops.date_of(100))


@pytest.fixture(scope="module")
def small(by_hand):
    return sl.repurchase(by_hand, windows_days=(30, 90), min_at_risk=1)


def test_steps_by_hand(small):
    # Once: ann, bob, cat, dan; again: ann, bob; a third time: ann, who is still
    # waited for, 60 days after it.
    assert so_far(small) == [[1, 4, 2], [2, 2, 1], [3, 1, 0]]
    first, second, third = small.steps.to_dict("records")
    assert first["share_so_far"] == 0.5
    low, high = wilson(2, 4)
    assert (first["share_so_far_low"], first["share_so_far_high"]) == (low, high)
    # ann came back after 10 days; dan leaves after 5, cat after 80. Day 10: 1 of 3;
    # day 90: 1 of 1, nobody is left. Half is passed on day 90.
    assert first["median_days"] == 90
    # Second to third: bob leaves after 5 days, ann after 30 days: 1 of 1.
    assert second["median_days"] == 30
    assert np.isnan(third["median_days"])


def test_windows_by_hand(small):
    # Observed 30 days since the first purchase: ann, bob, cat; back: ann.
    assert counts(at(small, 1, 30)) == (4, 3, 1, 1, 1)
    # Observed 90 days: ann (100) and bob (95), both back, bob on the very last day of
    # the window. cat is open after 80 days, dan after 5.
    assert counts(at(small, 1, 90)) == (4, 2, 2, 2, 2)
    assert at(small, 1, 90)["share_matured"] == 1
    # Observed 30 days since the second purchase: ann alone, back on day 30.
    assert counts(at(small, 2, 30)) == (2, 1, 1, 1, 1)
    assert counts(at(small, 3, 90)) == (1, 0, 0, 0, 1)
    # Kaplan-Meier: S(30) = 2/3; on day 30 bob and cat are waited for.
    row = at(small, 1, 30)
    assert (row["share_within"], row["n_at_risk"]) == (pytest.approx(1 / 3), 2)
    assert at(small, 1, 90)["share_within"] == 1
    assert at(small, 3, 90)["reason"] == (
        "0 observed for 90 days, need 1; 0 at risk at day 90, need 1"
    )


def test_days_of_those_who_return_by_hand(small):
    # F(10) = 1/3 and F(90) = 1: a quarter of those within 90 days by day 10, half of
    # them and three quarters by day 90.
    row = at(small, 1, 90, table="days")
    assert [row[f"days_{q}"] for q in (25, 50, 75)] == [10, 90, 90]
    # Within 30 days only ann returns.
    row = at(small, 1, 30, table="days")
    assert (row["days_25"], row["days_75"], row["n_reached"]) == (10, 10, 1)
    row = at(small, 3, 30, table="days")
    assert np.isnan(row["days_50"])
    assert row["reason"] == "0 returned within 30 days, need 1"


def test_up_to_ends_the_ladder(by_hand):
    ladder = sl.repurchase(by_hand, up_to=2)
    assert so_far(ladder) == [[1, 4, 2], [2, 2, 1]]
    assert sorted(ladder.windows["step"].unique()) == [1, 2]


def test_too_few_are_missing_with_the_reason():
    # Thirty bought on day 0 and were observed to day 10; one of them came back.
    table = orders(*((f"c{i:02d}", 0, 5) for i in range(30)), ("c07", 4, 5))
    events = sl.read_events(table, end=shops.date_of(10))
    row = at(sl.repurchase(events, windows_days=(10,)), 1, 10)
    assert row["share_matured"] == 1 / 30
    assert np.isnan(row["share_within"])
    assert row["reason"] == "29 at risk at day 10, need 30"
    days = at(sl.repurchase(events, windows_days=(10,)), 1, 10, table="days")
    assert days["reason"] == "29 at risk at day 10, need 30"
    days = at(
        sl.repurchase(events, windows_days=(10,), min_at_risk=29), 1, 10, table="days"
    )
    assert days["reason"] == "1 returned within 10 days, need 29"


def stages_of(funnel, *, totals=False):
    """Return the funnel's repurchase as the first step of a ladder has it."""
    pair = (funnel.stages, funnel.windows)
    if totals:
        pair = (funnel.stage_totals, funnel.window_totals)
    return [t[t["stage"] == "repurchase"].reset_index(drop=True) for t in pair]


@pytest.mark.parametrize("by", [None, "source", ("source", "first_order_quarter")])
@pytest.mark.parametrize("shop", ["simulated_events", "untidy_events"])
def test_the_first_step_is_the_funnel(request, shop, by):
    events = request.getfixturevalue(shop)
    ladder, funnel = sl.repurchase(events, by), sl.funnel(events, by)
    for totals in (False, True):
        stages, windows = stages_of(funnel, totals=totals)
        steps = ladder.step_totals if totals else ladder.steps
        rates = ladder.window_totals if totals else ladder.windows
        for mine, theirs in ((steps, stages), (rates, windows)):
            mine = mine[mine["step"] == 1].drop(columns="step")
            shared = [c for c in mine.columns if c in theirs.columns]
            assert len(shared) == len(mine.columns)
            pd.testing.assert_frame_equal(
                mine.reset_index(drop=True), theirs[shared], check_dtype=False,
                rtol=1e-12,
            )  # fmt: skip


@pytest.mark.parametrize("purchase", ["day", "order"])
def test_the_first_step_is_the_funnel_however_purchases_count(untidy, purchase):
    events = sl.read_events(untidy.orders, purchase=purchase, zero_orders="count")
    ladder, funnel = sl.repurchase(events), sl.funnel(events)
    stages, windows = stages_of(funnel)
    first = ladder.windows[ladder.windows["step"] == 1]
    for name in (*COUNTS, "share_matured", "share_within", "n_at_risk"):
        assert first[name].tolist() == pytest.approx(
            windows[name].astype(float).tolist(), nan_ok=True
        )
    assert ladder.steps["n_reached"].iloc[0] == stages["n_reached"].iloc[0]
    # Everybody's purchases are somebody's step.
    n = events.core.aggregate(n=events.core.n_purchases.sum()).to_pandas()["n"].iloc[0]
    every = sl.repurchase(events, up_to=1000)
    assert every.steps["n_entered"].sum() == n


def test_orders_of_one_day_are_steps_only_when_orders_are_counted():
    table = orders(("ann", 0, 5), ("ann", 0.5, 5), ("bob", 3, 5))
    assert so_far(sl.repurchase(sl.read_events(table))) == [[1, 2, 0]]
    events = sl.read_events(table, purchase="order", end=shops.date_of(10))
    ladder = sl.repurchase(events, windows_days=(1,), min_at_risk=1)
    assert so_far(ladder) == [[1, 2, 1], [2, 1, 0]]
    # Back on the same day: after 0 days.
    assert ladder.days["days_50"].iloc[0] == 0


def test_counts_agree_with_pandas(simulated, simulated_events):
    end = (pd.Timestamp(simulated_events.end) - shops.DAY_0).days
    rows = plain_spells(simulated.orders, end)
    ladder = sl.repurchase(simulated_events)
    assert so_far(ladder) == [
        [n, len(part), part["event"].sum()]
        for n, part in rows[rows["step"] <= 10].groupby("step")
    ]
    for step, part in rows[rows["step"] <= 10].groupby("step"):
        for window in WINDOWS:
            matured, within = part["followup"] >= window, part["gap"] <= window
            assert counts(at(ladder, step, window)) == (
                len(part),
                matured.sum(),
                (matured & within).sum(),
                within.sum(),
                (~matured & ~part["event"]).sum(),
            )


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_kaplan_meier_agrees_with_statsmodels(simulated, simulated_events, step):
    end = (pd.Timestamp(simulated_events.end) - shops.DAY_0).days
    rows = plain_spells(simulated.orders, end)
    part = rows[rows["step"] == step]
    peer = SurvfuncRight(part["days"], part["event"])
    ladder = sl.repurchase(simulated_events)
    for window in WINDOWS:
        row = at(ladder, step, window)
        if row["n_at_risk"] < 30:
            assert np.isnan(row["share_within"])
            continue
        place = np.searchsorted(peer.surv_times, window, side="right") - 1
        assert row["share_within"] == pytest.approx(1 - peer.surv_prob[place])
        # The interval is on the log(-log) scale, from the same standard error.
        s, error = peer.surv_prob[place], peer.surv_prob_se[place]
        reach = 1.959963984540054 * error / abs(s * np.log(s))
        assert row["share_within_low"] == pytest.approx(1 - s ** np.exp(-reach))
        assert row["share_within_high"] == pytest.approx(1 - s ** np.exp(reach))
        assert row["n_at_risk"] == (part["days"] >= window).sum()
    line = ladder.steps.set_index("step").loc[step]
    assert line["median_days"] == pytest.approx(peer.quantile(0.5), nan_ok=True)


def test_days_are_quantiles_of_the_curve(simulated, simulated_events):
    end = (pd.Timestamp(simulated_events.end) - shops.DAY_0).days
    rows = plain_spells(simulated.orders, end)
    part = rows[rows["step"] == 2]
    peer = SurvfuncRight(part["days"], part["event"])
    ladder = sl.repurchase(simulated_events)
    for window in (30, 90):
        share = 1 - peer.surv_prob[peer.surv_times <= window]
        row = at(ladder, 2, window, table="days")
        for percent in (25, 50, 75):
            first = np.flatnonzero(share >= percent / 100 * share[-1] - 1e-12)[0]
            assert row[f"days_{percent}"] == peer.surv_times[first]
            assert row[f"days_{percent}_low"] <= peer.surv_times[first]
            assert row[f"days_{percent}_high"] >= peer.surv_times[first]


# The sample, and the full file where SELFLOOP_DATA names its folder: see their README.
REAL = [(shops.DATA / "online_retail" / "orders.parquet", 3866, 1076, 682)]
if FULL is not None and (FULL / "online_retail.parquet").exists():
    REAL.append((FULL / "online_retail.parquet", 16_608, 4334, 2777))


@pytest.mark.parametrize(("path", "n_days", "n_buyers", "n_again"), REAL)
def test_real_customers_who_came_back(path, n_days, n_buyers, n_again):
    # Customer-days of net > 0, customers with one and with two.
    events = sl.read_events(path, columns={"orders": shops.RETAIL_COLUMNS})
    assert so_far(sl.repurchase(events))[0] == [1, n_buyers, n_again]
    (row,) = sl.repurchase_gaps(events).reminders.to_dict("records")
    assert (row["n_gaps"], row["n_buyers"]) == (n_days, n_buyers)
    last = sl.returning(events).table.iloc[-1]
    assert (last["n_buyers"], last["n_repeaters"]) == (n_buyers, n_again)


def test_who_reaches_a_step_enters_the_next(untidy_events, simulated_events):
    for events in (untidy_events, simulated_events):
        for by in (None, "source"):
            ladder = sl.repurchase(events, by)
            for _, rows in ladder.steps.groupby("segment"):
                reached = rows["n_reached"].tolist()[:-1]
                assert reached == rows["n_entered"].tolist()[1:]


def test_totals_are_the_undivided_ladder(simulated_events):
    whole = sl.repurchase(simulated_events)
    for by, second in (("source", ""), (("source", "channel"), "(all)")):
        split = sl.repurchase(simulated_events, by)
        for mine, total in (
            (whole.steps, split.step_totals),
            (whole.windows, split.window_totals),
            (whole.days, split.day_totals),
        ):
            total = total[total["segment"] == "(all)"].reset_index(drop=True)
            assert set(total["segment_2"]) == {second}
            both = (t.drop(columns=["segment", "segment_2"]) for t in (mine, total))
            pd.testing.assert_frame_equal(*both)
    # And of each value of the first.
    by_source = sl.repurchase(simulated_events, "source").steps
    part = split.step_totals[split.step_totals["segment"] != "(all)"]
    pd.testing.assert_frame_equal(
        part.drop(columns="segment_2").reset_index(drop=True),
        by_source.drop(columns="segment_2"),
    )


SHOP = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 60), st.integers(-2, 9)),
    min_size=1, max_size=40,
)  # fmt: skip


# Each example reads a shop five times.
@settings(max_examples=4, phases=(Phase.explicit, Phase.generate))
@given(SHOP, st.integers(0, 60))
def test_laws_of_any_shop(rows, cut):
    table = orders(*rows)
    windows = (5, 20)
    events = sl.read_events(table, end=shops.date_of(60))
    ladder = sl.repurchase(events, windows_days=windows, min_at_risk=1)
    # By pandas, whatever the shop.
    plain = plain_spells(table, 60)
    expected = [[n, len(p), p["event"].sum()] for n, p in plain.groupby("step")]
    assert so_far(ladder) == (expected or [[1, 0, 0]])[:10]
    assert (ladder.windows["n_matured_reached"] <= ladder.windows["n_matured"]).all()
    # The order of rows is nothing.
    again = sl.repurchase(
        sl.read_events(table.iloc[::-1], end=shops.date_of(60)),
        windows_days=windows, min_at_risk=1,
    )  # fmt: skip
    for name in ("steps", "windows", "days"):
        pd.testing.assert_frame_equal(getattr(ladder, name), getattr(again, name))
    # People who came on the last day had no time: they lower nothing.
    more = pd.concat([table, orders(*((f"new{i}", 60, 1) for i in range(9)))])
    young = sl.repurchase(
        sl.read_events(more, end=shops.date_of(60)), windows_days=windows, min_at_risk=1
    )
    shares = ["share_matured", "share_within"]
    old_rows = young.windows.iloc[: len(ladder.windows)]
    pd.testing.assert_frame_equal(old_rows[shares], ladder.windows[shares])
    # Cutting the table is the same as ending the observation.
    early = table[table["ordered_at"] < shops.day(cut + 1)]
    if len(early):
        cut_off, ended = (
            sl.repurchase(sl.read_events(t, end=shops.date_of(cut)), min_at_risk=1)
            for t in (early, table)
        )
        for name in ("steps", "windows", "days"):
            pd.testing.assert_frame_equal(getattr(cut_off, name), getattr(ended, name))


def test_renaming_and_shuffling_change_nothing(
    untidy_events, shuffled_events, renamed_events, richer_events
):
    first = sl.repurchase(untidy_events)
    for other in (shuffled_events, renamed_events, richer_events):
        again = sl.repurchase(other)
        pd.testing.assert_frame_equal(first.windows, again.windows)
        pd.testing.assert_frame_equal(first.days, again.days)


def test_a_bystander_adds_to_the_first_two_steps_only(untidy_events, bystander_events):
    before, after = (sl.repurchase(e) for e in (untidy_events, bystander_events))
    added = np.array(so_far(after)) - np.array(so_far(before))
    assert added[0].tolist() == [0, 1, 1]
    assert added[1].tolist() == [0, 1, 0]
    assert not added[2:].any()


def test_nobody_bought():
    events = sl.read_events(orders(("a", 0, -5), ("b", 3, -1)))
    for by in (None, "source"):
        ladder = sl.repurchase(events, by)
        assert so_far(ladder) == [[1, 0, 0]]
        assert (ladder.windows["n_entered"] == 0).all()
        assert ladder.windows.filter(like="share_").isna().all(axis=None)
        assert (ladder.windows["reason"] != "").all()
        assert ladder.days.filter(like="days_").isna().all(axis=None)
        assert (ladder.days["reason"] != "").all()
        assert len(ladder.step_totals) == (by is not None)


def test_a_segment_in_which_nobody_bought_has_lines_of_zeros():
    events = sl.read_events(
        orders(("a", 0, 5), ("a", 9, 5)),
        visits=shops.visits(("a", 0, "ads"), ("b", 0, "mail")),
    )
    ladder = sl.repurchase(events, "channel")
    mail = ladder.steps[ladder.steps["segment"] == "mail"]
    assert mail["n_entered"].tolist() == [0, 0]
    assert mail["share_so_far"].isna().all()


def test_tables_have_their_columns_and_show_themselves(by_hand, simulated_events):
    for ladder in (sl.repurchase(by_hand), sl.repurchase(simulated_events, "channel")):
        for name in ("step", "window", "day"):
            for table in (
                getattr(ladder, f"{name}s"),
                getattr(ladder, f"{name}_totals"),
            ):
                assert has_columns(table, f"repurchase_{name}s")
        assert "Buying again" in repr(ladder)
        assert "so far" in ladder._repr_html_()
    assert "segment" not in repr(sl.repurchase(by_hand))
    assert ladder.to_frame().equals(ladder.windows)
    assert ladder.to_frame() is not ladder.windows


def test_segments_are_untrusted_text():
    table = orders(("a", 0, 5), ("b", 3, 5)).assign(channel=shops.HOSTILE)
    ladder = sl.repurchase(sl.read_events(table), "channel")
    assert set(ladder.steps["segment"]) == {shops.HOSTILE}
    assert "<script" not in ladder._repr_html_()


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"windows_days": (0,)}, "windows_days"),
        ({"windows_days": (30.5,)}, "whole"),
        ({"up_to": 0}, "up_to"),
        ({"up_to": 2.5}, "whole"),
        ({"up_to": 1001}, "up_to"),
        ({"min_at_risk": 0}, "min_at_risk"),
        ({"by": "colour"}, "by must be"),
    ],
)
def test_wrong_settings_are_named(by_hand, given, word):
    with pytest.raises(SettingError, match=word):
        sl.repurchase(by_hand, **given)


def test_only_events_will_do():
    with pytest.raises(SettingError, match="read_events"):
        sl.repurchase(orders(("a", 0, 5)))


def test_totals_of_nothing_and_of_two_levels():
    table = pd.DataFrame({
        "segment": ["a", "a", "b"], "segment_2": ["x", "y", "x"],
        "day": [0, 0, 1], "n": [1, 2, 4],
    })  # fmt: skip
    assert totals_of(table, 0, keys=["day"]).empty
    found = totals_of(table, 2, keys=["day"]).to_numpy().tolist()
    assert found == [
        ["a", "(all)", 0, 3], ["b", "(all)", 1, 4],
        ["(all)", "(all)", 0, 3], ["(all)", "(all)", 1, 4],
    ]  # fmt: skip
    assert totals_of(table.drop(columns="day"), 1)["n"].tolist() == [7]


def test_the_curve_of_nobody_has_no_share():
    empty = pd.DataFrame({"days": [], "event": [], "n": []})
    assert curve_of(empty) is NOBODY
    assert NOBODY.n_at_risk.tolist() == [0]
