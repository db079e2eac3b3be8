from decimal import Decimal

import pandas as pd
import polars as pl
import pytest

import selfloop as sl
from selfloop.core import schema
from selfloop.inputs.events import read_events
from selfloop.inputs.people import people

T = pd.Timestamp


def table_of(events):
    return people(events).to_pandas().set_index("person_id").sort_index()


def orders(*rows):
    names = ["customer_id", "ordered_at", "amount", "channel"]
    return pd.DataFrame(rows, columns=names)


def referrals(*rows):
    return pd.DataFrame(rows, columns=["referrer_id", "referee_id", "referred_at"])


def visits(*rows):
    return pd.DataFrame(rows, columns=["visitor_id", "visited_at", "channel"])


@pytest.fixture(scope="module")
def shop():
    """Everybody has a story of their own, told in their name."""
    return table_of(
        read_events(
            orders(
                ("root", "2026-01-01 09:00", 10, "search"),
                ("root", "2026-01-03 09:00", 10, "ads"),
                ("root", "2026-01-02 09:00", -4, None),
                ("child", "2026-02-01 09:00", 10, "ads"),
                ("grandchild", "2026-03-01 09:00", 10, "ads"),
                ("late", "2026-01-01 09:00", 10, "Ads"),
                ("stale", "2026-06-01 09:00", 10, "ads"),
                ("silent", "2026-01-05 09:00", 10, None),
                ("returner", "2026-01-05 09:00", -3, "search"),
                ("two", "2026-01-09 09:00", 10, "search"),
                ("two", "2026-01-09 09:00", 10, "ads"),
            ),
            referrals(
                ("root", "child", "2026-01-20"),
                ("child", "grandchild", "2026-02-20"),
                ("root", "late", "2026-01-02"),  # had bought the day before
                ("root", "stale", "2026-01-02"),  # 150 days before the purchase
                ("root", "invited", "2026-01-15"),
                ("friend", "invited", "2026-01-16"),  # the second to invite
            ),
            visits=visits(
                ("child", "2026-01-30 09:00", "ads"),
                ("looker", "2026-01-04 09:00", "信息流"),
                ("looker", "2026-01-03 09:00", "wechat"),
                ("silent", "2026-01-04 09:00", None),
                ("stale", "2026-05-31", "direct"),
            ),
        )
    )


def test_one_row_for_everybody_named_anywhere(shop):
    assert list(shop.index) == [
        "child", "friend", "grandchild", "invited", "late", "looker", "returner",
        "root", "silent", "stale", "two",
    ]  # fmt: skip
    assert list(shop.reset_index().columns) == schema.names("people")


@pytest.mark.parametrize(
    ("who", "source", "channel"),
    [
        ("root", "organic", "search"),  # the first order's channel
        ("child", "referral", "ads"),  # brought, whatever the visit says
        ("grandchild", "referral", "ads"),
        ("invited", "referral", None),
        ("late", "paid", "Ads"),  # was a customer before; case does not matter
        ("stale", "organic", "direct"),  # the referral is too old; the visit counts
        ("looker", "organic", "wechat"),  # the first visit
        ("silent", "unknown", None),
        ("friend", "unknown", None),
        ("two", "paid", "ads"),  # at one moment, the first name
    ],
)
def test_source_and_channel(shop, who, source, channel):
    found = shop.loc[who, "channel"]
    assert (None if pd.isna(found) else found) == channel
    assert shop.loc[who, "source"] == source


@pytest.mark.parametrize(
    ("who", "arrived"),
    [
        ("root", "2026-01-01 09:00"),  # the first order
        ("child", "2026-01-20"),  # invited, before the first visit
        ("stale", "2026-01-02"),  # invited too early, but seen
        ("late", "2026-01-01 09:00"),
        ("friend", "2026-01-16"),  # seen as a referrer
        ("looker", "2026-01-03 09:00"),
        ("silent", "2026-01-04 09:00"),  # the visit, before the order
        ("returner", "2026-01-05 09:00"),
    ],
)
def test_people_arrive_when_they_are_first_seen(shop, who, arrived):
    assert shop.loc[who, "arrived_at"] == T(arrived)


def test_referrers_and_generations(shop):
    referrer = shop["referrer_id"].dropna().to_dict()
    assert referrer == {"child": "root", "grandchild": "child", "invited": "root"}
    generation = shop["generation"]
    assert generation[["root", "child", "grandchild", "invited"]].tolist() == [
        0,
        1,
        2,
        1,
    ]
    assert generation[["late", "stale", "friend", "looker"]].tolist() == [0, 0, 0, 0]


def test_what_their_referrals_came_to(shop):
    assert shop.loc["root", ["n_invited", "n_referred"]].tolist() == [2, 1]
    assert shop.loc["child", ["n_invited", "n_referred"]].tolist() == [1, 1]
    assert shop.loc["friend", ["n_invited", "n_referred"]].tolist() == [0, 0]
    assert shop.loc["root", "first_success_at"] == T("2026-02-01 09:00")
    assert pd.isna(shop.loc["friend", "first_success_at"])


def test_purchases_and_money(shop):
    root = shop.loc["root"]
    assert root["n_purchases"] == 2
    assert root["first_order_at"] == T("2026-01-01 09:00")
    assert root["second_order_at"] == root["last_order_at"] == T("2026-01-03 09:00")
    assert (root["revenue"], root["refunds"]) == (Decimal(16), Decimal(4))
    returner = shop.loc["returner"]
    assert returner["n_purchases"] == 0
    assert pd.isna(returner["first_order_at"])
    assert (returner["revenue"], returner["refunds"]) == (Decimal(-3), Decimal(3))
    assert shop.loc["looker", "n_purchases"] == 0
    assert shop.loc["two", "n_purchases"] == 1


def test_without_referrals_what_is_unknown_is_missing_not_zero():
    frame = table_of(read_events(orders(("a", "2026-01-01", 1, "ads"))))
    unknown = [
        "referrer_id",
        "generation",
        "n_invited",
        "n_referred",
        "first_success_at",
    ]
    assert frame.loc["a", unknown].isna().all()
    assert frame.loc["a", "source"] == "paid"


def test_with_referrals_zero_is_known():
    events = read_events(
        orders(("a", "2026-01-01", 1, None)), referrals(("b", "c", "2026-01-01"))
    )
    frame = table_of(events)
    assert frame.loc["a", ["generation", "n_invited", "n_referred"]].tolist() == [
        0,
        0,
        0,
    ]


def test_paid_channels_can_be_named():
    table = orders(("a", "2026-01-01", 1, "TikTok"), ("b", "2026-01-01", 1, "ads"))
    frame = table_of(read_events(table, paid_channels=["tiktok"]))
    assert frame["source"].tolist() == ["paid", "organic"]
    frame = table_of(read_events(table, paid_channels=[]))
    assert frame["source"].tolist() == ["organic", "organic"]


def test_the_attribution_window_is_that_of_the_source():
    table = orders(("b", "2026-01-31", 1, "ads"))
    brought = referrals(("a", "b", "2026-01-01"))
    in_time = table_of(read_events(table, brought, attribution_window_days=30))
    too_old = table_of(read_events(table, brought, attribution_window_days=29))
    assert in_time.loc["b", "source"] == "referral"
    assert too_old.loc["b", "source"] == "paid"
    assert pd.isna(too_old.loc["b", "referrer_id"])


def test_the_table_goes_out_in_every_form(tmp_path):
    shop = sl.simulate(300, seed=7)
    events = read_events(shop.orders, shop.referrals, visits=shop.visits)
    table = people(events)
    frame = table.to_pandas()
    table.to_parquet(tmp_path / "people.parquet")
    assert len(pd.read_parquet(tmp_path / "people.parquet")) == len(frame)
    assert isinstance(table.to_polars(), pl.DataFrame)
    assert frame["person_id"].is_unique
    assert len(frame) == events.totals["n_people"]
    assert frame["revenue"].sum() == events.totals["revenue_customers"]
    assert frame["n_purchases"].sum() == events.totals["n_purchases"]
    assert (frame["n_purchases"] > 0).sum() == events.totals["n_buyers"]
    # Everybody who was brought has a referrer one generation up.
    up = frame.set_index("person_id")["generation"]
    brought = frame.dropna(subset="referrer_id")
    above = up[brought["referrer_id"]].to_numpy()
    assert (brought["generation"].to_numpy() == above + 1).all()
    assert brought.groupby("referrer_id").size().sum() == frame["n_invited"].sum()
    buyers = frame.dropna(subset="first_order_at")
    assert (buyers["arrived_at"] <= buyers["first_order_at"]).all()
