"""Lifecycle: four customers by hand, a slow simulation, exact balances, real orders."""

from collections import Counter
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_shops import orders, visits

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.measures.periods import PERIODS, number_of

START = date(2026, 1, 1)

# Dormant after 3 days, lost after 6; weeks begin on Mondays, days -3, 4, 11 and 18.
#
#     day    0  1  2  3 | 4  5  6  7  8  9 10 |11 12 13 14 15 16 17 |18 19 20
#     ann    N     r    |       d        L*B r|          d        L |      B
#     bob       N       |    d*b       d      |    L                |
#     cat               | N           d       | L                   |
#     dan             N |          d  b       | r           d       | L
#
# N first purchase, r repeat, b back from dormant, B back from lost, d falls dormant,
# L is lost; * on the same day, before the purchase. The refund of bob, -4 on day 12,
# is no purchase. eve looks around on day 0 and never buys.
BY_HAND = orders(
    ("ann", 0, 1), ("ann", 2, 1), ("ann", 9, 1), ("ann", 10, 1), ("ann", 20, 1),
    ("bob", 1, 10), ("bob", 5, 10), ("bob", 12, -4),
    ("cat", 4, 1000),
    ("dan", 3, 100), ("dan", 8, 100), ("dan", 11, 100),
)  # fmt: skip
EVE = visits(("eve", 0, "ads"))


def by_hand(**settings):
    chosen = {"dormant_after_days": 3, "lost_after_days": 6} | settings
    return sl.lifecycle(sl.read_events(BY_HAND, visits=EVE), "week", **chosen)


def column(table, name):
    return table[name].tolist()


def test_the_four_customers_by_hand():
    found = by_hand()
    table = found.table
    assert shops.has_columns(table, "lifecycle")
    weeks = ["2025-12-29", "2026-01-05", "2026-01-12", "2026-01-19"]
    assert column(table, "period") == weeks
    # 21 January is a Wednesday: the fourth week is running.
    assert column(table, "status") == ["complete"] * 3 + ["partial"]
    assert column(table, "n_new") == [3, 1, 0, 0]
    assert column(table, "n_from_dormant") == [0, 2, 0, 0]  # bob on 5, dan on 8
    assert column(table, "n_from_lost") == [0, 1, 0, 1]  # ann on 9 and on 20
    assert column(table, "n_resurrected") == [0, 3, 0, 1]
    assert column(table, "n_lapsed") == [0, 5, 2, 0]  # 5, 6, 7, 8, 9; 14, 15
    assert column(table, "n_lost") == [0, 1, 3, 1]  # 9; 11, 12, 17; 18
    # 0 + 3; 3 + 1 + 3 - 5; 2 - 2; 0 + 1
    assert column(table, "n_opening") == [0, 3, 2, 0]
    assert column(table, "n_closing") == [3, 2, 0, 1]
    # 0; 5 - 2 - 1; 2 + 2 - 3; 1 - 1
    assert column(table, "n_dormant_opening") == [0, 0, 2, 1]
    assert column(table, "n_dormant_closing") == [0, 2, 1, 0]
    assert column(table, "n_lost_opening") == [0, 0, 0, 3]
    assert column(table, "n_lost_closing") == [0, 0, 3, 3]  # 0 + 1 - 1; + 3; + 1 - 1
    assert column(table, "n_people") == [4, 5, 5, 5]  # eve is one of them
    assert column(table, "share_active_buyers") == [3 / 3, 2 / 4, 0, 1 / 4]
    assert column(table, "share_active_people") == [3 / 4, 2 / 5, 0, 1 / 5]


def test_buyers_and_money_by_hand():
    table = by_hand().table
    assert column(table, "n_buyers") == [3, 4, 1, 1]
    assert column(table, "n_new_buyers") == [3, 1, 0, 0]
    assert column(table, "n_repeat_buyers") == [0, 0, 1, 0]
    assert column(table, "n_resurrected_buyers") == [0, 3, 0, 1]
    # ann twice 1, bob 10, dan 100; cat 1000 and again 112; dan 100, bob -4; ann 1.
    assert column(table, "revenue_new") == [112, 1000, 0, 0]
    assert column(table, "revenue_repeat") == [0, 0, 100, 0]
    assert column(table, "revenue_resurrected") == [0, 112, 0, 1]
    assert column(table, "revenue_other") == [0, 0, -4, 0]
    assert column(table, "revenue") == [112, 1112, 96, 1]


def test_the_memory_of_one_period_by_hand():
    table = by_hand().previous
    assert shops.has_columns(table, "lifecycle_previous")
    assert column(table, "n_new") == [3, 1, 0, 0]
    assert column(table, "n_repeat") == [0, 3, 1, 0]  # ann, bob, dan; dan
    assert column(table, "n_resurrected") == [0, 0, 0, 1]  # ann bought in week 2 last
    assert column(table, "n_dormant") == [0, 0, 3, 1]
    assert column(table, "n_buyers") == [3, 4, 1, 1]


def slowly(people, end, period, dormant, lost):
    """Walk through all days of all people, one state after the other."""
    counts, stocks = Counter(), {}
    last, state, bought_in = {}, {}, {}
    for n in range(end + 1):
        p = number_of(START + timedelta(days=n), period)
        for who, days in people.items():
            silence = n - last[who] if who in last else None
            if silence == dormant + 1:
                state[who] = "dormant"
                counts[p, "n_lapsed"] += 1
            if silence == lost + 1:
                state[who] = "lost"
                counts[p, "n_lost"] += 1
            if n not in days:
                continue
            came = {None: "new", "active": "repeat"}.get(state.get(who), "resurrected")
            if came == "resurrected":
                counts[p, f"n_from_{state[who]}"] += 1
            counts[p, "n_new"] += came == "new"
            if bought_in.get(who) != p:
                counts[p, f"n_{came}_buyers"] += 1
            counts[p, f"revenue_{kind_of(who, p, came, bought_in)}"] += 1
            bought_in[who] = p
            last[who], state[who] = n, "active"
        stocks[p] = Counter(state.values())
    return counts, stocks


_KIND = {}


def kind_of(who, p, came, bought_in):
    """Remember how somebody came to the first purchase of a period."""
    if bought_in.get(who) != p:
        _KIND[who, p] = came
    return _KIND[who, p]


SHOPS = st.lists(
    st.sets(st.integers(0, 110), min_size=1, max_size=9), min_size=1, max_size=5
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(
    SHOPS, st.sampled_from(PERIODS), st.integers(1, 30), st.integers(1, 50),
    st.integers(0, 40),
)  # fmt: skip
def test_it_is_what_a_walk_through_all_days_finds(days, period, dormant, more, after):
    people = {f"p{i}": bought for i, bought in enumerate(days)}
    rows = orders(*((who, n, 1) for who, bought in people.items() for n in bought))
    end = max(map(max, days)) + after
    events = sl.read_events(rows, end=shops.date_of(end))
    lost = dormant + more
    found = sl.lifecycle(
        events, period, dormant_after_days=dormant, lost_after_days=lost
    )
    counts, stocks = slowly(people, end, period, dormant, lost)
    table = found.table
    first = number_of(START + timedelta(days=min(map(min, days))), period)
    for i, line in enumerate(table.to_dict("records")):
        p = first + i
        for name in (
            "n_new", "n_from_dormant", "n_from_lost", "n_lapsed", "n_lost",
            "n_new_buyers", "n_repeat_buyers", "n_resurrected_buyers", "revenue_new",
            "revenue_repeat", "revenue_resurrected",
        ):  # fmt: skip
            assert line[name] == counts[p, name], (name, p)
        closing = {
            "active": line["n_closing"], "dormant": line["n_dormant_closing"],
            "lost": line["n_lost_closing"],
        }  # fmt: skip
        assert closing == {name: stocks[p][name] for name in closing}
    assert len(table) == len({p for p in stocks if p >= first})
    balances(found)


def balances(found):
    """Check that every stock is what it was, and what came, less what went."""
    t, previous = found.table, found.previous
    came = t["n_new"] + t["n_from_dormant"] + t["n_from_lost"]
    assert (t["n_opening"] + came - t["n_lapsed"] == t["n_closing"]).all()
    left = t["n_from_dormant"] + t["n_lost"]
    dormant = t["n_dormant_opening"] + t["n_lapsed"] - left
    assert (dormant == t["n_dormant_closing"]).all()
    gone = t["n_lost_opening"] + t["n_lost"] - t["n_from_lost"]
    assert (gone == t["n_lost_closing"]).all()
    for stock in ("n", "n_dormant", "n_lost"):
        opening = t[f"{stock}_closing"].shift(fill_value=0)
        assert (t[f"{stock}_opening"] == opening).all()
    everybody = t["n_closing"] + t["n_dormant_closing"] + t["n_lost_closing"]
    assert (everybody == t["n_new"].cumsum()).all()
    kinds = t["n_new_buyers"] + t["n_repeat_buyers"] + t["n_resurrected_buyers"]
    assert (kinds == t["n_buyers"]).all()
    assert (t["n_new_buyers"] == t["n_new"]).all()
    assert (previous["n_buyers"] == t["n_buyers"]).all()
    before = previous["n_buyers"].shift(fill_value=0)
    assert (before == previous["n_repeat"] + previous["n_dormant"]).all()


@pytest.mark.parametrize("period", PERIODS)
def test_balances_and_money_of_whole_shops(period, retail_events, untidy_events):
    for events in (retail_events, untidy_events):
        found = sl.lifecycle(events, period, dormant_after_days=20)
        balances(found)
        assert found.lapses.lost_after_days == 60
        assert found.table["n_new"].sum() == events.totals["n_buyers"]
        assert found.table["n_people"].iloc[-1] == events.totals["n_people"]
    # All money of known customers; in the untidy shop some give back before any buys.
    total = float(retail_events.totals["revenue_customers"])
    found = sl.lifecycle(retail_events, period, dormant_after_days=20)
    assert found.table["revenue"].sum() == pytest.approx(total)


def test_active_customers_are_those_pandas_finds_on_real_orders(
    retail_events, retail_lines
):
    known = retail_lines[retail_lines["customer"].notna()]
    day = known["InvoiceDate"].dt.normalize()
    net = known.groupby(["customer", day])["thousandths"].sum()
    bought = net[net > 0].reset_index()
    found = sl.lifecycle(retail_events, dormant_after_days=60).table
    for line in found.to_dict("records"):
        close = pd.Period(line["period"]).end_time.normalize()
        close = min(close, pd.Timestamp(retail_events.end))
        last = bought[bought["InvoiceDate"] <= close].groupby("customer").max()
        silence = (close - last["InvoiceDate"]).dt.days
        assert line["n_closing"] == (silence <= 60).sum()
        assert line["n_dormant_closing"] == silence.between(61, 180).sum()
        assert line["n_lost_closing"] == (silence > 180).sum()


def expected_gap(events):
    """Return D by a plain product over the days, from rows."""
    rows = events.baskets.to_pandas()
    rows = rows[rows["is_purchase"]].sort_values(["person_no", "day"])
    following = rows.groupby("person_no")["day"].shift(-1)
    event = following.notna().to_numpy()
    days = (following.fillna(events.end_day) - rows["day"]).to_numpy()
    left, curve = 1.0, [0.0]
    for n in range(1, 366):
        left *= 1 - (event & (days == n)).sum() / (days >= n).sum()
        curve.append(1 - left)
    return next(n for n, share in enumerate(curve) if share >= 0.8 * curve[365])


def test_default_days_are_found_in_the_gaps(simulated_events):
    slow = sl.simulate(600, seed=3, days=900)
    for events in (simulated_events, sl.read_events(slow.orders, slow.referrals)):
        lapses = sl.lifecycle(events).lapses
        assert lapses.dormant_after_days == expected_gap(events)
        assert lapses.lost_after_days == 3 * lapses.dormant_after_days
        # Some come back all the same, the lost less often than the dormant.
        assert 0 < lapses.share_back_lost < lapses.share_back_dormant < 1


def test_days_that_were_given_are_taken(simulated_events):
    default = sl.lifecycle(simulated_events).lapses.dormant_after_days
    lapses = sl.lifecycle(simulated_events, lost_after_days=300).lapses
    assert lapses[:2] == (default, 300)
    both = sl.lifecycle(simulated_events, dormant_after_days=9, lost_after_days=10)
    assert both.lapses[:2] == (9, 10)
    with pytest.raises(SettingError, match=f"which is {default} by the gaps"):
        sl.lifecycle(simulated_events, lost_after_days=default)


def test_a_young_shop_must_say_its_days():
    many = [(f"p{i}", n, 1) for i in range(40) for n in (0, 9)]
    young = sl.read_events(orders(*many), end=shops.date_of(60))
    with pytest.raises(SettingError, match=r"too young .* 0 silences .* 90 days"):
        sl.lifecycle(young)
    assert len(sl.lifecycle(young, dormant_after_days=30).table) == 3
    for end, within in ((99, 90), (188, 90), (189, 180), (374, 365)):
        older = sl.read_events(orders(*many), end=shops.date_of(end))
        lapses = sl.lifecycle(older).lapses
        assert (lapses.within_days, lapses.dormant_after_days) == (within, 9)
    # 29 of 30 have been silent for long enough.
    few = orders(*((f"p{i}", 0, 1) for i in range(29)), ("q", 0, 1), ("q", 9, 1))
    with pytest.raises(SettingError, match="with 29 silences"):
        sl.lifecycle(sl.read_events(few, end=shops.date_of(98)))
    once = orders(*((f"p{i}", 0, 1) for i in range(40)))
    with pytest.raises(SettingError, match="nobody has bought twice"):
        sl.lifecycle(sl.read_events(once, end=shops.date_of(400)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dormant_after_days": 0}, "dormant_after_days must be between 1 and"),
        ({"dormant_after_days": 1.5}, "must be a whole number"),
        ({"dormant_after_days": 9, "lost_after_days": 9}, "between 10 and"),
        ({"lost_after_days": 1}, "between 2 and"),
    ],
)
def test_days_outside_their_range_are_errors(settings, words):
    with pytest.raises(SettingError, match=words):
        by_hand(**{"dormant_after_days": None, "lost_after_days": None} | settings)


def test_another_period_is_an_error(untidy_events):
    with pytest.raises(SettingError, match="period must be one of"):
        sl.lifecycle(untidy_events, "year", dormant_after_days=9)
    with pytest.raises(SettingError, match="events must be the result"):
        sl.lifecycle(BY_HAND)


def lines(events):
    return sl.lifecycle(events, "week", dormant_after_days=20)


def test_row_order_and_names_do_not_matter(
    untidy_events, shuffled_events, renamed_events, richer_events
):
    expected = lines(untidy_events)
    for events in (shuffled_events, renamed_events):
        pd.testing.assert_frame_equal(lines(events).table, expected.table)
        pd.testing.assert_frame_equal(lines(events).previous, expected.previous)
    richer = lines(richer_events).table
    for name in expected.table:
        factor = 10 if name.startswith("revenue") else 1
        if name not in ("period", "status"):
            np.testing.assert_allclose(richer[name], factor * expected.table[name])


def test_a_cut_leaves_finished_weeks_as_they_are(untidy, untidy_events):
    # Day 150 is Sunday, 31 May.
    early = sl.read_events(*untidy[:2], visits=untidy.visits, end="2026-05-31")
    table = lines(early).table
    whole = lines(untidy_events).table.iloc[: len(table)]
    assert (table["status"] == "complete").all()
    pd.testing.assert_frame_equal(table, whole)


def test_the_order_of_purchases_of_one_day_does_not_matter():
    # Two orders in the morning of day 9 are one return and one repeat.
    rows = orders(("a", 0, 5), ("a", 9, 5), ("a", 9, 7), ("a", 9.2, 1))
    for table in (rows, rows[::-1]):
        events = sl.read_events(table, purchase="order", end="2026-01-31")
        line = sl.lifecycle(events, dormant_after_days=5).table.iloc[0]
        assert (line["n_new"], line["n_from_dormant"], line["n_lapsed"]) == (1, 1, 2)
        assert line["revenue_new"] == line["revenue"] == 18


@pytest.mark.parametrize(
    "rows",
    [orders((None, 0, 5)), orders(("a", 0, -5), ("b", 0, -1))],
    ids=["only guests", "only refunds"],
)
def test_nobody_bought(rows):
    found = sl.lifecycle(sl.read_events(rows), dormant_after_days=9)
    assert shops.has_columns(found.table, "lifecycle")
    assert found.table.empty
    assert found.previous.empty
    assert "(no rows)" in repr(found)
    with pytest.raises(SettingError, match="too young"):
        sl.lifecycle(sl.read_events(rows))


def test_results_show_themselves():
    found = by_hand()
    assert found.to_frame().equals(found.table)
    copy = found.to_frame()
    copy.loc[0, "n_new"] = 99
    assert found.table.loc[0, "n_new"] == 3
    assert "2026-01-05" in repr(found)
    assert "3 days" in found._repr_html_()
