"""New and returning customers: by hand, plain pandas, the funnel, money, edges."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from small_shops import has_columns, orders

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.kernels.intervals import wilson

PERIODS = {"day": "D", "week": "W-SUN", "month": "M", "quarter": "Q"}


@pytest.fixture(scope="module")
def by_hand():
    """Five people, from 2026-01-05 (day 4) to 2026-05-15 (day 134).

    ann buys on days 4, 20, 40, 100 and gets 3 back on day 45; bob buys on day 40;
    cat on days 70 and 134; dan only gets 7 back, on day 50; eve gets 2 back on
    day 10, and buys on day 90.
    """
    table = orders(
        ("ann", 4, 10), ("ann", 20, 10), ("ann", 40, 10), ("ann", 45, -3),
        ("ann", 100, 10), ("bob", 40, 20), ("cat", 70, 5), ("cat", 134, 5),
        ("dan", 50, -7), ("eve", 10, -2), ("eve", 90, 1),
    )  # fmt: skip
    return sl.read_events(table)


def test_by_hand(by_hand):
    table = sl.returning(by_hand, window_days=30, min_at_risk=1).table
    table = table.set_index("period")
    assert table.index.tolist() == [f"2026-0{m}" for m in range(1, 6)]
    # January: ann. February (days 31-58): ann, bob. March (59-89): cat. April
    # (90-119): ann, eve. May: cat.
    assert table["n_customers"].tolist() == [1, 2, 1, 2, 1]
    assert table["n_new"].tolist() == [1, 1, 1, 1, 0]
    assert table["n_returning"].tolist() == [0, 1, 0, 1, 1]
    assert table["returning_customer_rate"].tolist() == [0, 0.5, 0, 0.5, 1]
    # ann's second purchase of January is one of a new customer.
    assert table["n_orders_new"].tolist() == [2, 1, 1, 1, 0]
    assert table["n_orders_returning"].tolist() == [0, 1, 0, 1, 1]
    assert table["n_orders"].tolist() == [2, 2, 1, 2, 1]
    assert table["share_orders_returning"].tolist() == [0, 0.5, 0, 0.5, 1]
    assert table["revenue_new"].tolist() == [20, 20, 5, 1, 0]
    assert table["revenue_returning"].tolist() == [0, 7, 0, 10, 5]
    # eve before she bought, dan who never did.
    assert table["revenue_before"].tolist() == [-2, -7, 0, 0, 0]
    assert table["revenue"].tolist() == [18, 20, 5, 11, 5]
    assert table["share_revenue_returning"].tolist() == [0, 7 / 27, 0, 10 / 11, 1]
    # Twice by the close of January: ann; cat only in May.
    assert table["n_buyers"].tolist() == [1, 2, 3, 4, 4]
    assert table["n_repeaters"].tolist() == [1, 1, 1, 1, 2]
    assert table["ever_repeat_share"].tolist() == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 2]
    # Within 30 days: ann after 16; cat after 64. All of them are observed for 30.
    assert table["n_matured"].tolist() == [1, 1, 1, 1, 0]
    assert table["n_matured_reached"].tolist() == [1, 0, 0, 0, 0]
    assert table["repurchase_rate"].tolist()[:4] == [1, 0, 0, 0]
    assert np.isnan(table["repurchase_rate"].iloc[4])
    assert table["reason"].tolist() == [*[""] * 4, "0 observed for 30 days, need 1"]
    # The data begin on 5 January and end on 15 May.
    assert table["status"].tolist() == ["partial", *["complete"] * 3, "partial"]


def test_intervals_are_wilsons_and_few_people_have_none(simulated_events):
    table = sl.returning(simulated_events).table
    for rate, n, n_hit in (
        ("returning_customer_rate", "n_customers", "n_returning"),
        ("ever_repeat_share", "n_buyers", "n_repeaters"),
        ("repurchase_rate", "n_matured", "n_matured_reached"),
    ):
        enough = table[n] >= 30
        assert (table[rate].notna() == enough).all()
        low, high = wilson(table.loc[enough, n_hit], table.loc[enough, n])
        assert table.loc[enough, f"{rate}_low"].to_numpy() == pytest.approx(low)
        assert table.loc[enough, f"{rate}_high"].to_numpy() == pytest.approx(high)
        assert table.loc[~enough, f"{rate}_low"].isna().all()
    missing = table[["repurchase_rate", "returning_customer_rate"]].isna().any(axis=1)
    missing |= table["ever_repeat_share"].isna()
    assert ((table["reason"] != "") == missing).all()


def test_the_repurchase_rate_of_months_is_the_funnels(simulated_events):
    table = sl.returning(simulated_events).table
    funnel = sl.funnel(simulated_events, "first_order_month").windows
    rows = funnel[(funnel["stage"] == "repurchase") & (funnel["window_days"] == 90)]
    rows = rows.set_index("segment").reindex(table["period"])
    assert table["n_matured"].tolist() == rows["n_matured"].fillna(0).tolist()
    for end in ("", "_low", "_high"):
        assert table[f"repurchase_rate{end}"].to_numpy() == pytest.approx(
            rows[f"share_matured{end}"].to_numpy(), nan_ok=True
        )


def plain(table, period):
    """Count by pandas, from customer-days."""
    known = table[table["customer_id"].notna()]
    days = known["ordered_at"].dt.normalize()
    cents = (known["amount"] * 100).round().astype("int64")
    net = cents.groupby([known["customer_id"], days.rename("day")]).sum().reset_index()
    net.columns = ["who", "day", "cents"]
    net["bought"] = net["cents"] > 0
    first = net[net["bought"]].groupby("who")["day"].min()
    net["period"] = net["day"].dt.to_period(PERIODS[period])
    net["first"] = net["who"].map(first).dt.to_period(PERIODS[period])
    return net


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("shop", ["simulated", "untidy"])
def test_counts_and_money_agree_with_pandas(request, shop, period):
    tables, events = (request.getfixturevalue(n) for n in (shop, f"{shop}_events"))
    net = plain(tables.orders, period)
    table = sl.returning(events, period, min_at_risk=1).table
    whole = pd.period_range(events.start, events.end, freq=PERIODS[period])
    name_of = {
        "month": lambda p: f"{p.year}-{p.month:02d}",
        "quarter": lambda p: f"{p.year}-Q{p.quarter}",
    }.get(period, lambda p: f"{p.start_time:%Y-%m-%d}")
    names = [name_of(p) for p in whole]
    assert table["period"].tolist() == names
    again = net["period"] > net["first"]
    new = net["period"] == net["first"]
    before = ~again & ~new

    def per_period(rows, column):
        """Sum or count distinct people by period."""
        by = rows.groupby("period")[column]
        found = by.nunique() if column == "who" else by.sum()
        return found.reindex(whole, fill_value=0).to_numpy()

    bought = net["bought"]
    for name, rows, column in (
        ("n_customers", bought, "who"),
        ("n_new", bought & new, "who"),
        ("n_returning", bought & again, "who"),
        ("n_orders_new", new, "bought"),
        ("n_orders_returning", again, "bought"),
    ):
        assert table[name].tolist() == per_period(net[rows], column).tolist(), name
    for name, rows in (
        ("revenue_new", new), ("revenue_returning", again), ("revenue_before", before),
        ("revenue", new | ~new),
    ):  # fmt: skip
        cents = per_period(net[rows], "cents")
        assert table[name].to_numpy() == pytest.approx(cents / 100, abs=1e-9), name
    # By the close of each period.
    days = net[bought].groupby("who")["day"]
    first, second = days.min(), days.nth(1)
    close = whole.end_time
    assert table["n_buyers"].tolist() == [(first <= t).sum() for t in close]
    assert table["n_repeaters"].tolist() == [(second <= t).sum() for t in close]


def test_all_orders_and_all_money_of_customers_are_there(untidy_events):
    table = sl.returning(untidy_events, "week").table
    core = untidy_events.core.to_pandas()
    assert table["n_orders"].sum() == core["n_purchases"].sum()
    assert table["n_new"].sum() == core["first_at"].notna().sum()
    assert table["revenue"].sum() == pytest.approx(float(core["revenue"].sum()))


def test_advertising_moves_the_mix_and_not_the_repurchase_rate():
    """Ten times as many new customers from June on, everybody behaving as before."""
    rng = np.random.default_rng(8)
    rows = []
    for month in range(12):
        for i in range(60 if month < 6 else 600):
            day = int(rng.integers(30 * month, 30 * month + 30))
            rows.append((f"{month}-{i}", day, 5))
            if rng.random() < 0.4:
                rows.append((f"{month}-{i}", day + int(rng.integers(1, 80)), 5))
    events = sl.read_events(orders(*rows), end=shops.date_of(360))
    table = sl.returning(events).table.set_index("period")
    calm, storm = table.loc["2026-06"], table.loc["2026-07"]
    assert storm["returning_customer_rate"] < 0.3 * calm["returning_customer_rate"]
    assert storm["ever_repeat_share"] < calm["ever_repeat_share"] - 0.1
    assert calm["repurchase_rate_low"] < 0.4 < calm["repurchase_rate_high"]
    assert storm["repurchase_rate_low"] < 0.4 < storm["repurchase_rate_high"]


def test_several_orders_of_one_moment_are_one_new_customer():
    table = orders(("ann", 0, 5), ("ann", 0, 6), ("bob", 40, 5))
    events = sl.read_events(table, purchase="order")
    first = sl.returning(events, min_at_risk=1).table.iloc[0]
    assert (first["n_customers"], first["n_new"], first["n_orders_new"]) == (1, 1, 2)
    assert first["n_repeaters"] == 1


def test_refunds_larger_than_sales_leave_no_share():
    table = orders(("ann", 0, 5), ("ann", 40, 5), ("ann", 41, -50), ("bob", 41, 9))
    row = sl.returning(sl.read_events(table)).table.iloc[1]
    assert row["revenue_returning"] == -45
    assert np.isnan(row["share_revenue_returning"])
    assert row["share_orders_returning"] == 0.5


def test_row_order_names_and_bystanders(
    untidy_events, shuffled_events, renamed_events, bystander_events, richer_events
):
    first = sl.returning(untidy_events).table
    for other in (shuffled_events, renamed_events):
        pd.testing.assert_frame_equal(first, sl.returning(other).table)
    richer = sl.returning(richer_events).table
    money = [c for c in first if c.startswith("revenue")]
    assert richer[money].to_numpy() == pytest.approx(10 * first[money].to_numpy())
    pd.testing.assert_frame_equal(
        richer.drop(columns=[*money, "share_revenue_returning"]),
        first.drop(columns=[*money, "share_revenue_returning"]),
    )
    more = sl.returning(bystander_events).table
    assert (more["n_new"] - first["n_new"]).sum() == 1


def test_cutting_the_table_is_ending_the_observation(untidy):
    early = untidy.orders[untidy.orders["ordered_at"] < shops.day(150)]
    cut, ended = (
        sl.returning(sl.read_events(t, end=shops.date_of(149))).table
        for t in (early, untidy.orders)
    )
    pd.testing.assert_frame_equal(cut, ended)


def test_nobody_bought():
    found = sl.returning(sl.read_events(orders(("a", 0, -5), ("b", 40, -1))))
    table = found.table
    assert has_columns(table, "returning")
    assert table["n_customers"].tolist() == [0, 0]
    assert table["revenue_before"].tolist() == [-5, -1]
    assert table["returning_customer_rate"].isna().all()
    assert table["reason"].iloc[0] == (
        "0 customers, need 30; 0 buyers so far, need 30; "
        "0 observed for 90 days, need 30"
    )
    assert "New and returning" in repr(found)


def test_it_shows_itself(simulated_events):
    found = sl.returning(simulated_events, "quarter")
    assert has_columns(found.table, "returning")
    assert "again within 90 days" in repr(found)
    assert "three rates" in found._repr_html_()
    assert found.to_frame().equals(found.table)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"period": "year"}, "period"),
        ({"window_days": 0}, "window_days"),
        ({"window_days": 7.5}, "whole"),
        ({"min_at_risk": 0}, "min_at_risk"),
    ],
)
def test_wrong_settings_are_named(by_hand, given, word):
    with pytest.raises(SettingError, match=word):
        sl.returning(by_hand, **given)


def test_only_events_will_do():
    with pytest.raises(SettingError, match="read_events"):
        sl.returning(orders(("a", 0, 5)))
