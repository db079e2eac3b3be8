"""Concentration of referrals: by hand, by plain pandas, laws, edges."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from small_shops import orders, referrals

import selfloop as sl
from selfloop.core.errors import MissingTableError, SettingError
from selfloop.measures.referral import concentration as module

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
    found = sl.referral_concentration(shop([10, 3, 3, 1, 1, 1, 1], n_buyers=40))
    line = row(found, "buyers")
    assert (line["n_people"], line["n_referrals"]) == (40, 20)
    assert line["share_top_10"] == pytest.approx(17 / 20)
    assert line["share_top_20"] == pytest.approx(1.0)
    # sum over pairs of |difference|: from 33 zeros 33 x 20 = 660; 10 with 3, 3: 14;
    # 10 with four 1: 36; 3 with four 1, twice: 16; together 726, both ways 1452
    # G = 1452 / (2 x 40^2 x 0.5)
    assert line["gini"] == pytest.approx(1452 / 1600)


def test_the_curve_by_hand():
    found = sl.referral_concentration(shop([10, 3, 3, 1, 1, 1, 1], n_buyers=40))
    people = np.array([0, 33, 37, 39, 40]) / 40
    total = np.array([0, 0, 4, 10, 20]) / 20
    np.testing.assert_allclose(found.curve["share_people"], people)
    np.testing.assert_allclose(found.curve["share_of_total"], total)
    # seven referrers are too few for a curve of their own
    assert set(found.curve["group"]) == {"buyers"}


def test_small_tops_have_no_value_or_no_interval_with_the_reason():
    found = sl.referral_concentration(shop([10, 3, 3, 1, 1, 1, 1], n_buyers=40))
    line = row(found, "buyers")
    assert np.isnan([line["share_top_1"], *(line[end] for end in ENDS)]).all()
    assert line["reason"] == (
        "gini: no interval under 200 people; share_top_1: less than one person; "
        "share_top_10: no interval under 30 people; "
        "share_top_20: no interval under 30 people"
    )
    few = row(found, "referrers")
    assert (few["n_people"], few["n_referrals"]) == (7, 20)
    assert np.isnan([few["gini"], few["share_top_10"], few["share_top_20"]]).all()
    assert few["reason"] == "7 people, fewer than 30"


def test_a_referrer_who_never_bought_is_a_referrer_and_no_buyer():
    events = sl.read_events(
        orders(("ann", 2, 10), ("bob", 3, 10)),
        referrals(("zoe", "ann", 1), ("zoe", "bob", 1), ("ann", "eve", 1)),
    )
    found = sl.referral_concentration(events)
    # eve never bought, so ann brought nobody who counts
    assert (row(found, "buyers")["n_people"], row(found, "buyers")["n_referrals"]) == (
        2, 0,
    )  # fmt: skip
    assert row(found, "referrers")["n_people"] == 1
    assert row(found, "referrers")["n_referrals"] == 2


# Recomputed -------------------------------------------------------------------------


def test_equals_plain_pandas(simulated):
    people = sl.people(simulated).to_pandas()
    found = sl.referral_concentration(simulated)
    groups = {
        "buyers": people.loc[people["n_purchases"] > 0, "n_referred"],
        "referrers": people.loc[people["n_referred"] > 0, "n_referred"],
    }
    for group, counts in groups.items():
        x = np.sort(counts.to_numpy(dtype=float))
        n, line = len(x), row(found, group)
        assert (line["n_people"], line["n_referrals"]) == (n, x.sum())
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
    line = row(sl.referral_concentration(simulated), "buyers")
    for name in ("gini", "share_top_1", "share_top_10", "share_top_20"):
        assert 0 < line[f"{name}_low"] < line[name] < line[f"{name}_high"] <= 1
    assert line["reason"] == ""


def test_the_curve_shows_the_same_numbers_as_the_shares(simulated):
    found = sl.referral_concentration(simulated)
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
    base = sl.referral_concentration(sl.read_events(tables.orders, tables.referrals))
    mixed = shops.shuffled(tables, 1)
    other = shops.renamed(tables, lambda name: f"Z{name[::-1]}")
    assert row(base, "buyers")["gini"] > 0
    for t in (mixed, other):
        found = sl.referral_concentration(sl.read_events(t.orders, t.referrals))
        pd.testing.assert_frame_equal(found.shares, base.shares)
        pd.testing.assert_frame_equal(found.curve, base.curve)


# Edges ------------------------------------------------------------------------------


def test_nobody_brought_a_buyer():
    events = sl.read_events(
        orders(*[(f"b{i}", 2, 10) for i in range(40)]), referrals(("b0", "eve", 1))
    )
    found = sl.referral_concentration(events)
    assert row(found, "buyers")["reason"] == "nobody brought a buyer"
    assert row(found, "referrers")["reason"] == "0 people, fewer than 30"
    assert found.curve.empty
    assert list(found.curve.columns) == ["group", "share_people", "share_of_total"]


def test_all_alike_have_no_interval():
    found = sl.referral_concentration(shop([1] * 300, n_buyers=700))
    line = row(found, "referrers")
    assert (line["gini"], line["share_top_10"]) == (0, pytest.approx(0.1))
    assert np.isnan([line[end] for end in ENDS]).all()
    assert line["reason"] == "no intervals: all brought the same number"


def test_without_referrals_it_is_missing_and_not_zero():
    events = sl.read_events(orders(("ann", 2, 10)))
    with pytest.raises(MissingTableError, match="referral_concentration needs"):
        sl.referral_concentration(events)


def test_wrong_settings_are_refused(simulated):
    with pytest.raises(SettingError, match="of must be one of 'referrals'"):
        sl.referral_concentration(simulated, of="revenue")
    with pytest.raises(SettingError, match="read_events"):
        sl.referral_concentration(pd.DataFrame())


def test_it_shows_itself(simulated):
    found = sl.referral_concentration(simulated)
    assert "buyers" in repr(found)
    assert "<table" in found._repr_html_()
    assert found.to_frame().equals(found.shares)
    assert found.to_frame() is not found.shares
    assert shops.has_columns(found.shares, "concentration")
    assert shops.has_columns(found.curve, "lorenz")
