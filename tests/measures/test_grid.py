"""Grid of own and social value: by hand, plain pandas, laws, edges."""

import math

import pandas as pd
import pytest
import small_shops as shops
from small_shops import orders, referrals

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.core.settings import Sharing
from selfloop.measures.social import value_table


@pytest.fixture(scope="module")
def by_hand():
    """ann (40) brings bob (100) and cat (20); dan (10) brings eve (90); fay buys for 4.

    gus never bought; he brings hal (30). ivy never bought nor brought anybody.
    """
    return sl.read_events(
        orders(
            ("ann", 0, 40), ("bob", 5, 100), ("cat", 6, 20), ("dan", 9, 10),
            ("eve", 12, 90), ("fay", 13, 4), ("hal", 14, 30),
        ),
        referrals(
            ("ann", "bob", 4), ("ann", "cat", 5), ("dan", "eve", 10),
            ("gus", "hal", 11), ("gus", "ivy", 11),
        ),
    )  # fmt: skip


@pytest.fixture
def grid(by_hand):
    return sl.value_grid(shops_values(by_hand), own="revenue")


def shops_values(events):
    """Value people without a model, as for shops where none can be fitted."""
    return value_table(events, None, Sharing(), horizon_days=365, discount_rate=0.0)


def test_cells_by_hand(grid):
    # Half of what a referee buys goes to the referrer: ann 60, dan 45, gus 15.
    # Eight customers (gus has social value, ivy nothing): own 294 / 8 = 36.75; social
    # 120 / 8 = 15.
    assert grid.own_cut == pytest.approx(36.75)
    assert grid.social_cut == pytest.approx(15)
    people = grid.people.to_pandas().set_index("person_id")["segment"]
    assert people.to_dict() == {
        "ann": "champions", "bob": "affluents", "eve": "affluents",
        "dan": "advocates", "gus": "advocates",
        "cat": "misers", "fay": "misers", "hal": "misers",
    }  # fmt: skip
    cells = grid.cells.set_index("segment")
    assert cells["n_people"].tolist() == [1, 2, 2, 3]
    assert cells["share_people"].tolist() == [1 / 8, 2 / 8, 2 / 8, 3 / 8]
    assert cells["n_referred"].tolist() == [2, 0, 2, 0]
    assert cells["revenue"].tolist() == [40, 190, 10, 54]
    assert cells["social_value"].tolist() == [60, 0, 60, 0]
    # cat and hal keep half of theirs, fay all of hers.
    assert cells["total_value"].tolist() == [100, 95, 70, 10 + 4 + 15]
    assert cells["lifetime_value"].isna().all()
    assert cells["action"].str.len().min() > 20


def test_advocates_by_hand(grid):
    table = grid.advocates.set_index("person_id")
    assert table.index.tolist() == ["ann", "dan", "gus"]
    assert table["kept_value"].tolist() == [40, 10, 0]
    assert table["share_social"].tolist() == [60 / 100, 45 / 55, 1]
    assert table["n_referred"].tolist() == [2, 1, 1]
    assert table["n_invited"].tolist() == [2, 1, 2]
    assert table["expected_referrals"].isna().all()
    # ann, dan and gus are worth more for whom they bring.
    assert grid.n_more_for_others == 3
    assert grid.social_value_of_those == 120


def test_cuts_can_be_given(by_hand):
    grid = sl.value_grid(
        shops_values(by_hand), own="revenue", own_cut=90, social_cut=50
    )
    cells = grid.cells.set_index("segment")
    assert cells["n_people"].tolist() == [0, 2, 1, 5]
    # Nobody of a kind has no money.
    assert cells.loc["champions", "revenue"] == 0


def test_it_is_that_of_plain_pandas(simulated_events):
    values = sl.customer_value(simulated_events)
    model = sl.fit_referrals(simulated_events)
    grid = sl.value_grid(values, model.predict(60))
    frame = values.to_pandas().set_index("person_id")
    frame = frame[(frame["n_purchases"] > 0) | (frame["social_value"] > 0)]
    rich = frame["lifetime_value"] >= frame["lifetime_value"].mean()
    social = frame["social_value"] >= frame["social_value"].mean()
    assert grid.own_cut == pytest.approx(frame["lifetime_value"].mean())
    kind = pd.Series("misers", frame.index)
    kind[rich & social], kind[rich & ~social] = "champions", "affluents"
    kind[~rich & social] = "advocates"
    cells = grid.cells.set_index("segment")
    assert (kind.value_counts().reindex(cells.index) == cells["n_people"]).all()
    for column in ("revenue", "lifetime_value", "social_value", "total_value"):
        sums = frame.groupby(kind)[column].sum().reindex(cells.index)
        assert cells[column].to_numpy() == pytest.approx(sums.to_numpy(), rel=1e-9)
    assert cells["total_value"].sum() == pytest.approx(frame["revenue"].sum())
    kept = frame["total_value"] - frame["social_value"]
    more = frame["social_value"] > kept
    assert grid.n_more_for_others == more.sum()
    best = frame.sort_values("social_value", ascending=False).head(20).index
    assert grid.advocates["person_id"].head(20).tolist() == best.tolist()
    ahead = model.predict(60).to_pandas().set_index("person_id")
    found = grid.advocates.set_index("person_id")["expected_referrals"].dropna()
    assert len(found) > 50
    assert found.to_numpy() == pytest.approx(
        ahead.loc[found.index, "expected_referrals"].to_numpy()
    )


def test_tables_have_the_columns_of_the_schema(grid):
    assert shops.has_columns(grid.cells, "value_grid")
    assert shops.has_columns(grid.advocates, "advocates")
    assert shops.has_columns(grid.people.to_pandas(), "grid_people")
    assert "champions" in repr(grid)
    assert "champions" in grid._repr_html_()
    assert grid.to_frame().equals(grid.cells)


def test_what_is_no_table_of_values_is_refused(by_hand):
    with pytest.raises(SettingError, match=r"values must be the result of customer_v"):
        sl.value_grid(sl.people(by_hand))
    with pytest.raises(SettingError, match=r"values must be the result of customer_v"):
        sl.value_grid(pd.DataFrame({"social_value": [1]}))
    values = shops_values(by_hand)
    with pytest.raises(SettingError, match="take own='revenue'"):
        sl.value_grid(values)
    with pytest.raises(SettingError, match="own must be one of"):
        sl.value_grid(values, own="both")
    with pytest.raises(SettingError, match="own_cut must"):
        sl.value_grid(values, own="revenue", own_cut=math.nan)
    with pytest.raises(SettingError, match="ahead must be the result of fit_referrals"):
        sl.value_grid(values, sl.people(by_hand), own="revenue")
    alone = sl.read_events(orders(*((f"p{i}", i, 10) for i in range(5))))
    with pytest.raises(SettingError, match="read the events with referrals"):
        sl.value_grid(shops_values(alone), own="revenue")


def test_below_zero_nothing_is_high():
    """eve gives back more than she bought, and so costs ann who brought her."""
    events = sl.read_events(
        orders(
            ("ann", 0, 10), ("eve", 3, 40), ("eve", 9, -100), ("bob", 4, 5),
            ("cat", 5, 8), ("cat", 9, -20),
        ),
        referrals(("ann", "eve", 1), ("bob", "cat", 4)),
    )  # fmt: skip
    grid = sl.value_grid(shops_values(events), own="revenue")
    # Revenue 10, -60, 5, -12: the mean is below 0, and social value is -30 and -6.
    assert grid.own_cut < 0
    assert grid.social_cut < 0
    kinds = grid.people.to_pandas().set_index("person_id")["segment"]
    assert kinds.to_dict() == {
        "ann": "affluents",
        "bob": "affluents",
        "eve": "misers",
        "cat": "misers",
    }
    assert grid.n_more_for_others == 0
    assert grid.social_value_of_those == 0


def test_a_share_is_a_share():
    """ann keeps -8 of her own and is credited with 10: no part of 2."""
    events = sl.read_events(
        orders(("ann", 0, 10), ("ann", 2, -18), ("bob", 3, 20)),
        referrals(("ann", "bob", 1)),
    )
    (row,) = sl.value_grid(shops_values(events), own="revenue").advocates.itertuples()
    assert (row.kept_value, row.social_value) == (-8, 10)
    assert math.isnan(row.share_social)
