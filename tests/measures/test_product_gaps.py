"""When products are bought again: by hand, plain pandas on real orders, edges."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from statsmodels.duration.survfunc import SurvfuncRight

import selfloop as sl
from selfloop.core.errors import SettingError


def lines(*rows):
    """Make order lines of (customer, day, product, amount)."""
    names = ["customer_id", "ordered_at", "product", "amount"]
    return pd.DataFrame(
        [(who, shops.day(n), what, money) for who, n, what, money in rows],
        columns=names,
    )


def row(found, product):
    """Return the line of one product."""
    (line,) = found.products[found.products["product"] == product].to_dict("records")
    return line


def test_by_hand():
    # 40 people buy tea on day 0; 10 again on day 20, 30 more never, seen to day 60.
    # Bob buys a cup on day 0 twice, gives one back on day 5, and buys tea on day 3.
    rows = [(f"c{i:02d}", 0, "tea", 5) for i in range(40)]
    rows += [(f"c{i:02d}", 20, "tea", 5) for i in range(10)]
    rows += [("bob", 0, "cup", 9), ("bob", 0, "cup", 9), ("bob", 5, "cup", -9)]
    rows += [("bob", 3, "tea", 4), ("bob", 4, None, 7), (None, 4, "tea", 7)]
    events = sl.read_events(lines(*rows), end=shops.date_of(60))
    found = sl.product_gaps(events, window_days=30, min_at_risk=10)
    assert found.n_products == 2
    assert found.products["product"].tolist() == ["tea", "cup"]
    tea = row(found, "tea")
    assert (tea["n_buyers"], tea["n_purchases"], tea["n_repeaters"]) == (41, 51, 10)
    assert tea["revenue"] == 254
    assert tea["n_at_risk"] == 31
    assert tea["share_within"] == pytest.approx(10 / 41)
    assert [tea[f"days_{q}"] for q in (25, 50, 75)] == [20, 20, 20]
    cup = row(found, "cup")
    assert (cup["n_buyers"], cup["n_purchases"], cup["n_repeaters"]) == (1, 1, 0)
    assert cup["reason"] == "1 at risk at day 30, need 10"
    people = found.people.to_pandas().set_index(["person_id", "product"])
    assert people.loc[("c00", "tea"), "median_gap_days"] == 20
    assert people.loc[("c00", "tea"), "days_since_last"] == 40
    assert people.loc[("c00", "tea"), "overdue"] == 2
    assert np.isnan(people.loc[("bob", "tea"), "median_gap_days"])
    assert len(people) == 42


def test_against_plain_pandas_on_real_orders():
    table = pd.read_parquet(shops.DATA / "online_retail" / "orders.parquet")
    columns = {"orders": shops.RETAIL_COLUMNS | {"product": "StockCode"}}
    events = sl.read_events(table, columns=columns)
    found = sl.product_gaps(events, window_days=60, top=5)
    known = table[table["CustomerID"].notna()].assign(
        day=lambda t: t["InvoiceDate"].dt.normalize(),
        net=lambda t: (t["Quantity"] * t["UnitPrice"]).round(4),
    )
    days = known.groupby(["CustomerID", "StockCode", "day"])["net"].sum().round(4)
    days = days[days > 0].reset_index()
    sizes = days.groupby("StockCode")["CustomerID"].nunique()
    order = sorted(sizes.index, key=lambda p: (-sizes[p], p))[:5]
    assert found.products["product"].tolist() == order
    end = pd.Timestamp(events.end)
    for product in order:
        rows = days[days["StockCode"] == product].sort_values("day")
        ranked = rows.assign(rank=rows.groupby("CustomerID").cumcount())
        firsts = ranked[ranked["rank"] == 0].set_index("CustomerID")["day"]
        seconds = ranked[ranked["rank"] == 1].set_index("CustomerID")["day"]
        event = firsts.index.isin(seconds.index)
        length = (seconds.reindex(firsts.index).fillna(end) - firsts).dt.days
        theirs = SurvfuncRight(length + 1, event.astype(int))
        line = row(found, product)
        assert line["n_buyers"] == len(firsts)
        assert line["n_purchases"] == len(rows)
        assert line["n_repeaters"] == event.sum()
        if line["share_within"] == line["share_within"]:
            at = np.searchsorted(theirs.surv_times, 61, side="right") - 1
            assert line["share_within"] == pytest.approx(1 - theirs.surv_prob[at])
    assert found.products["share_within"].notna().any()


def test_row_order_and_the_own_table_do_not_matter():
    rows = [(f"c{i % 7}", i, "ab"[i % 2], 3 + i) for i in range(40)]
    table = lines(*rows)
    before = table.copy()
    base = sl.product_gaps(sl.read_events(table), min_at_risk=1)
    other = sl.read_events(table.sample(frac=1, random_state=1))
    found = sl.product_gaps(other, min_at_risk=1)
    pd.testing.assert_frame_equal(base.products, found.products)
    pd.testing.assert_frame_equal(table, before)


def test_ids_stay_as_they_were_given():
    rows = [("ann", 0, "007", 5), ("ann", 3, 7.0, 5)]
    found = sl.product_gaps(sl.read_events(lines(*rows)))
    assert sorted(found.products["product"]) == ["007", "7"]
    numbers = lines(("ann", 0, 85123.0, 5))
    numbers["product"] = numbers["product"].astype(float)
    assert row(sl.product_gaps(sl.read_events(numbers)), "85123")["n_buyers"] == 1


def test_without_products_it_says_how_to_name_them():
    events = sl.read_events(shops.orders(("ann", 0, 5)))
    with pytest.raises(SettingError, match="--map product=StockCode"):
        sl.product_gaps(events)


@pytest.mark.parametrize(
    "wrong", [{"window_days": 0}, {"top": 0}, {"top": 10**6}, {"min_at_risk": 0}]
)
def test_settings_are_checked(wrong):
    events = sl.read_events(lines(("ann", 0, "tea", 5)))
    with pytest.raises(SettingError):
        sl.product_gaps(events, **wrong)


def test_only_refunds_are_no_purchase():
    found = sl.product_gaps(sl.read_events(lines(("ann", 0, "tea", -5))))
    assert found.products.empty
    assert found.n_products == 0
    assert shops.has_columns(found.products, "product_gaps")


def test_it_shows_itself():
    rows = [(f"c{i}", d, "<b>tea</b>", 3) for i in range(40) for d in (0, 9)]
    found = sl.product_gaps(sl.read_events(lines(*rows)), window_days=9)
    assert "Products" in repr(found)
    assert "<b>tea" not in found._repr_html_()
    assert found.to_frame().equals(found.products)
    assert shops.has_columns(found.products, "product_gaps")
    assert shops.has_columns(found.people.to_pandas(), "product_customers")
