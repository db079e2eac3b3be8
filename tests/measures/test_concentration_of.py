"""Concentration of referrals, purchases, revenue: by hand, by pandas, laws, edges."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from scipy import stats
from scipy.special import gamma as gammafn
from small_shops import orders, referrals

import selfloop as sl
from selfloop.core.errors import MissingTableError, SettingError
from selfloop.kernels.concentration import gini, top_share
from selfloop.measures import concentration as module

ENDS = [f"{name}{end}" for name in ("gini", "share_top_1", "share_top_10",
        "share_top_20") for end in ("_low", "_high")]  # fmt: skip


def shop(brought, *, n_buyers):
    """Buyers b0, b1, ...; the first bring as many new buyers as `brought` says.

    Those brought are among the buyers, so there must be enough of them.
    """
    names = [f"b{i}" for i in range(n_buyers)]
    newcomers = iter(names[::-1])
    pairs = [
        (names[i], next(newcomers), 1) for i, n in enumerate(brought) for _ in range(n)
    ]
    return sl.read_events(orders(*[(who, 2, 10) for who in names]), referrals(*pairs))


def row(found, group):
    """One row of the shares as a dict."""
    (line,) = found.shares[found.shares["group"] == group].to_dict("records")
    return line


@pytest.fixture(scope="module")
def simulated():
    """A shop with some thousand buyers."""
    made = sl.simulate(n_visitors=8000, seed=7)
    return sl.read_events(made.orders, made.referrals)


# By hand ----------------------------------------------------------------------------


def test_shares_by_hand():
    # 40 buyers bring 20: one 10, two 3, four 1, 33 nobody.
    # top 10 % = 4 people: 10 + 3 + 3 + 1 = 17; top 20 % = 8 people: all 20
    found = sl.concentration(shop([10, 3, 3, 1, 1, 1, 1], n_buyers=40), "referrals")
    line = row(found, "buyers")
    assert (line["n_people"], line["total"]) == (40, 20)
    assert line["share_top_10"] == pytest.approx(17 / 20)
    assert line["share_top_20"] == pytest.approx(1.0)
    # sum over pairs of |difference|: from 33 zeros 33 x 20 = 660; 10 with 3, 3: 14;
    # 10 with four 1: 36; 3 with four 1, twice: 16; together 726, both ways 1452
    # G = 1452 / (2 x 40^2 x 0.5)
    assert line["gini"] == pytest.approx(1452 / 1600)


def test_the_curve_by_hand():
    found = sl.concentration(shop([10, 3, 3, 1, 1, 1, 1], n_buyers=40), "referrals")
    people = np.array([0, 33, 37, 39, 40]) / 40
    total = np.array([0, 0, 4, 10, 20]) / 20
    np.testing.assert_allclose(found.curve["share_people"], people)
    np.testing.assert_allclose(found.curve["share_of_total"], total)
    # seven referrers are too few for a curve of their own
    assert set(found.curve["group"]) == {"buyers"}


def test_small_tops_have_no_value_or_no_interval_with_the_reason():
    found = sl.concentration(shop([10, 3, 3, 1, 1, 1, 1], n_buyers=40), "referrals")
    line = row(found, "buyers")
    assert np.isnan([line["share_top_1"], *(line[end] for end in ENDS)]).all()
    assert line["reason"] == (
        "gini: no interval under 200 people; share_top_1: less than one person; "
        "share_top_10: no interval under 30 people; "
        "share_top_20: no interval under 30 people"
    )
    few = row(found, "referrers")
    assert (few["n_people"], few["total"]) == (7, 20)
    assert np.isnan([few["gini"], few["share_top_10"], few["share_top_20"]]).all()
    assert few["reason"] == "7 people, fewer than 30"


def test_a_referrer_who_never_bought_is_a_referrer_and_no_buyer():
    events = sl.read_events(
        orders(("ann", 2, 10), ("bob", 3, 10)),
        referrals(("zoe", "ann", 1), ("zoe", "bob", 1), ("ann", "eve", 1)),
    )
    found = sl.concentration(events, "referrals")
    # eve never bought, so ann brought nobody who counts
    assert (row(found, "buyers")["n_people"], row(found, "buyers")["total"]) == (
        2, 0,
    )  # fmt: skip
    assert row(found, "referrers")["n_people"] == 1
    assert row(found, "referrers")["total"] == 2


# Recomputed -------------------------------------------------------------------------


def test_equals_plain_pandas(simulated):
    people = sl.people(simulated).to_pandas()
    found = sl.concentration(simulated, "referrals")
    groups = {
        "buyers": people.loc[people["n_purchases"] > 0, "n_referred"],
        "referrers": people.loc[people["n_referred"] > 0, "n_referred"],
    }
    for group, counts in groups.items():
        x = np.sort(counts.to_numpy(dtype=float))
        n, line = len(x), row(found, group)
        assert (line["n_people"], line["total"]) == (n, x.sum())
        # the textbook sum over ranks
        by_rank = (2 * np.arange(1, n + 1) - n - 1) @ x / (n * x.sum())
        assert line["gini"] == pytest.approx(by_rank, abs=1e-12)
        for percent in (1, 10, 20):
            whole = int(n * percent // 100)
            part = n * percent / 100 - whole
            top = x[::-1][:whole].sum() + part * x[::-1][whole]
            share = top / x.sum()
            assert line[f"share_top_{percent}"] == pytest.approx(share, abs=1e-12)


def test_intervals_hold_the_estimate_and_are_told_for_large_groups(simulated):
    line = row(sl.concentration(simulated, "referrals"), "buyers")
    for name in ("gini", "share_top_1", "share_top_10", "share_top_20"):
        assert 0 < line[f"{name}_low"] < line[name] < line[f"{name}_high"] <= 1
    assert line["reason"] == ""


def test_the_curve_shows_the_same_numbers_as_the_shares(simulated):
    found = sl.concentration(simulated, "referrals")
    for group, part in found.curve.groupby("group"):
        x, y = part["share_people"].to_numpy(), part["share_of_total"].to_numpy()
        area = 2 * np.trapezoid(x - y, x)
        assert row(found, group)["gini"] == pytest.approx(area, abs=1e-12)
        top = 1 - np.interp(0.9, x, y)
        assert row(found, group)["share_top_10"] == pytest.approx(top, abs=1e-12)


def test_a_long_curve_is_thinned_and_stays_close():
    value = np.arange(1.0, 5001.0)
    people = np.ones(5000)
    thin = module._curve("buyers", value, people)
    assert len(thin) <= module.MAX_POINTS
    x, y = thin["share_people"].to_numpy(), thin["share_of_total"].to_numpy()
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    # G of 1..n is (n - 1) / (3 n); the chords cut almost nothing off
    area = 2 * np.trapezoid(x - y, x)
    assert area == pytest.approx(4999 / (3 * 5000), abs=1e-4)


# Laws -------------------------------------------------------------------------------


def test_row_order_and_names_change_nothing():
    tables = shops.random_shop()
    base = sl.concentration(
        sl.read_events(tables.orders, tables.referrals), "referrals"
    )
    mixed = shops.shuffled(tables, 1)
    other = shops.renamed(tables, lambda name: f"Z{name[::-1]}")
    assert row(base, "buyers")["gini"] > 0
    for t in (mixed, other):
        found = sl.concentration(sl.read_events(t.orders, t.referrals), "referrals")
        pd.testing.assert_frame_equal(found.shares, base.shares)
        pd.testing.assert_frame_equal(found.curve, base.curve)


# Edges ------------------------------------------------------------------------------


def test_nobody_brought_a_buyer():
    events = sl.read_events(
        orders(*[(f"b{i}", 2, 10) for i in range(40)]), referrals(("b0", "eve", 1))
    )
    found = sl.concentration(events, "referrals")
    assert row(found, "buyers")["reason"] == "nobody brought a buyer"
    assert row(found, "referrers")["reason"] == "0 people, fewer than 30"
    assert found.curve.empty
    assert list(found.curve.columns) == ["group", "share_people", "share_of_total"]


def test_all_alike_have_no_interval():
    found = sl.concentration(shop([1] * 300, n_buyers=700), "referrals")
    line = row(found, "referrers")
    assert (line["gini"], line["share_top_10"]) == (0, pytest.approx(0.1))
    assert np.isnan([line[end] for end in ENDS]).all()
    assert line["reason"] == "no intervals: all brought the same"


def test_without_referrals_it_is_missing_and_not_zero():
    events = sl.read_events(orders(("ann", 2, 10)))
    with pytest.raises(MissingTableError, match="concentration of referrals needs"):
        sl.concentration(events, "referrals")


def test_wrong_settings_are_refused(simulated):
    with pytest.raises(SettingError, match="of must be one of 'revenue', 'purchases'"):
        sl.concentration(simulated, of="visits")
    with pytest.raises(SettingError, match="read_events"):
        sl.concentration(pd.DataFrame())


def test_it_shows_itself(simulated):
    found = sl.concentration(simulated, "referrals")
    assert "buyers" in repr(found)
    assert "<table" in found._repr_html_()
    assert found.to_frame().equals(found.shares)
    assert found.to_frame() is not found.shares
    assert shops.has_columns(found.shares, "concentration")
    assert shops.has_columns(found.curve, "lorenz")


# ---- revenue and purchases ---------------------------------------------------


def test_revenue_by_hand():
    # 40 buyers: 36 of 5 each (one purchase), 4 of 30 + 30; 180 + 240 = 420 in all.
    rows = [(f"one{i}", 0, 5) for i in range(36)]
    rows += [(f"two{i}", d, 30) for i in range(4) for d in (0, 9)]
    events = sl.read_events(orders(*rows))
    found = sl.concentration(events)
    line = row(found, "buyers")
    assert (line["n_people"], line["total"]) == (40, 420)
    # The top tenth are the four: 240 of 420; the top fifth has four more of 5.
    assert line["share_top_10"] == pytest.approx(240 / 420)
    assert line["share_top_20"] == pytest.approx(260 / 420)
    # Mean distance of two people, 2 * .9 * .1 * 55, over twice the mean.
    assert line["gini"] == pytest.approx(2 * 0.9 * 0.1 * 55 / (2 * 10.5))
    assert row(found, "repeat_buyers")["n_people"] == 4
    by_purchase = row(sl.concentration(events, "purchases"), "buyers")
    assert by_purchase["total"] == 44
    assert by_purchase["share_top_10"] == pytest.approx(8 / 44)


def test_who_got_more_back_than_paid_is_left_out_and_counted():
    rows = [(f"c{i}", 0, 10 + i) for i in range(40)] + [("owing", 0, 5)]
    refund = ("owing", 3, -50)
    found = sl.concentration(sl.read_events(orders(*rows, refund)))
    line = row(found, "buyers")
    assert line["n_people"] == 40
    assert "left out: 1 with negative revenue" in line["reason"]
    assert row(found, "repeat_buyers")["reason"] == "0 people, fewer than 30"


def test_revenue_against_plain_pandas_on_real_orders():
    events = sl.read_events(str(shops.DATA / "orders.csv"))
    table = events.core.filter(events.core.n_purchases > 0)
    revenue = table.select("revenue").to_pandas()["revenue"].astype(float)
    revenue = np.sort(revenue[revenue >= 0].to_numpy())
    n, total = revenue.size, revenue.sum()
    line = row(sl.concentration(events), "buyers")
    assert line["total"] == pytest.approx(total)
    rank = np.arange(1, n + 1)
    assert line["gini"] == pytest.approx(
        2 * (rank * revenue).sum() / (n * total) - (n + 1) / n
    )
    top = n * 0.1
    whole = int(top)
    share = revenue[n - whole :].sum() + (top - whole) * revenue[n - whole - 1]
    assert line["share_top_10"] == pytest.approx(share / total)


def gamma_money(rng, n):
    """Draw money of shape 1/2, and return its true Gini and share of the top tenth."""
    shape = 0.5
    true_gini = gammafn(shape + 0.5) / (gammafn(shape + 1) * np.pi**0.5)
    top = stats.gamma(shape + 1).sf(stats.gamma(shape).ppf(0.9))
    return rng.gamma(shape, 1, n), true_gini, top


def lognormal_money(rng, n):
    """The same of a lognormal tail of sigma 1."""
    true_gini = 2 * stats.norm.cdf(0.5**0.5) - 1
    top = stats.norm.cdf(1 - stats.norm.ppf(0.9))
    return rng.lognormal(0, 1, n), true_gini, top


@pytest.mark.parametrize("money", [gamma_money, lognormal_money])
def test_intervals_of_money_hold_the_truth(money):
    rng, n = np.random.default_rng(11), 1000
    hits = []
    for _ in range(400):
        drawn, true_gini, true_top = money(rng, n)
        g = gini(drawn, np.ones(n))
        top = top_share(drawn, np.ones(n), share=0.1)
        hits.append((g.low <= true_gini <= g.high, top.low <= true_top <= top.high))
    covered = np.mean(hits, axis=0)
    assert (covered >= 0.92).all(), covered
    assert (covered <= 0.98).all(), covered
