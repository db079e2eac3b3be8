"""Real data with known answers.

The sample of Online Retail and the two epidemics are in the repository. Where the
variable SELFLOOP_DATA names a folder, the full files in it are read too: the tests run
for the files that are there.
"""

import os
import zlib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import selfloop as sl
from selfloop.core.settings import Sharing
from selfloop.measures.social import value_table

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "tests" / "fixtures"
SAMPLE = ROOT / "data" / "sample" / "online_retail" / "orders.parquet"
FOLDER = os.environ.get("SELFLOOP_DATA")
FULL = Path(FOLDER) if FOLDER else None

if FULL is not None and not FULL.is_dir():
    raise FileNotFoundError(f"SELFLOOP_DATA names {FOLDER!r}, which is no folder")


# Online Retail: guests, refunds, line items, ids stored as floats


@dataclass(frozen=True)
class Retail:
    """What is known of the orders; see the README beside the sample."""

    path: Path
    n_lines: int
    revenue: str
    guest_lines: int
    guest_revenue: str
    guest_orders: int
    n_customers: int
    known_orders: tuple[int, int, int]
    """Orders of known customers: net above zero, zero, below."""
    days: tuple[int, int, int]
    """Customer-days: net above zero, zero, below."""
    n_buyers: int
    n_repeat_buyers: int
    n_copies: int


RETAIL = [
    Retail(
        SAMPLE, 92_746, "1832246.311", 2_198, "4180.170", 44, 1_085,
        (4_229, 0, 873), (3_866, 12, 638), 1_076, 682, 1_161,
    )
]  # fmt: skip
if FULL is not None and (FULL / "online_retail.parquet").exists():
    RETAIL.append(
        Retail(
            FULL / "online_retail.parquet", 541_909, "9747747.934", 135_080,
            "1447682.12", 3_710, 4_372, (18_532, 4, 3_654), (16_608, 65, 2_623),
            4_334, 2_777, 5_268,
        )
    )  # fmt: skip

COLUMNS = {
    "orders": {
        "order_id": "InvoiceNo",
        "customer_id": "CustomerID",
        "ordered_at": "InvoiceDate",
        "quantity": "Quantity",
        "unit_price": "UnitPrice",
    }
}


@pytest.fixture(scope="module", params=RETAIL, ids=lambda retail: str(retail.n_lines))
def retail(request):
    known = request.param
    return known, sl.read_events(known.path, columns=COLUMNS)


def test_online_retail_adds_up_to_the_penny(retail):
    known, events = retail
    totals = events.totals
    assert totals["revenue"] == Decimal(known.revenue)
    assert totals["revenue_guests"] == Decimal(known.guest_revenue)
    customers = Decimal(known.revenue) - Decimal(known.guest_revenue)
    assert totals["revenue_customers"] == customers
    assert totals["n_order_rows"] == known.n_lines
    assert totals["n_customers"] == known.n_customers
    assert totals["n_orders_guests"] == known.guest_orders
    signs = tuple(totals[f"n_orders_{s}"] for s in ("positive", "zero", "negative"))
    assert signs == known.known_orders
    assert totals["n_orders"] == sum(known.known_orders) + known.guest_orders
    assert (totals["n_buyers"], totals["n_repeat_buyers"]) == (
        known.n_buyers,
        known.n_repeat_buyers,
    )
    assert totals["n_purchases"] == known.days[0]


def test_online_retail_accounts_for_every_line(retail):
    known, events = retail
    lines = events.audit.set_index("code")
    assert lines["n_rows"].to_dict() == {
        "": known.n_lines - known.guest_lines,
        "SL120": known.guest_lines,
    }
    assert sum(lines["amount"]) == Decimal(known.revenue)


def test_online_retail_counts_customer_days_exactly(retail):
    """Summed as floats, a few days that cancel to zero would turn positive."""
    known, events = retail
    net = events.baskets.net
    days = events.baskets.aggregate(
        above=(net > 0).sum(), zero=(net == 0).sum(), below=(net < 0).sum()
    )
    assert tuple(days.to_pandas().iloc[0]) == known.days


def test_online_retail_ids_lose_the_point_that_floats_gave_them(retail):
    _, events = retail
    ids = sl.people(events).person_id.to_pandas()
    assert ids.str.fullmatch(r"\d{5}").all()


def test_online_retail_notes_its_exact_copies(retail):
    known, events = retail
    notes = events.notes.set_index("code")["note"]
    assert notes["SL150"].startswith(f"{known.n_copies:,} rows are exact copies")


def test_online_retail_months_add_up(retail):
    known, events = retail
    months = sl.self_loop(events).months
    whole = months["revenue"].sum() + months["revenue_guests"].sum()
    assert whole == pytest.approx(float(known.revenue), abs=1e-6)
    assert months["n_orders"].sum() == known.days[0]
    assert months["status"].tolist()[-1] == "partial"  # 9 December 2011
    assert months["share_orders"].isna().all()  # who was referred is not known


def test_the_sample_is_the_part_of_the_whole_that_it_says_it_is():
    for known in RETAIL[1:]:
        lines = pd.read_parquet(known.path)
        number = lines["CustomerID"]
        chosen = [
            c
            for c in number.dropna().unique()
            if zlib.crc32(f"{c:.0f}".encode()) % 4 == 0
        ]
        days = ["2011-02-21", "2011-08-12", "2011-10-14", "2011-12-09"]
        guest = number.isna() & lines["InvoiceDate"].dt.strftime("%Y-%m-%d").isin(days)
        subset = lines[number.isin(chosen) | guest].reset_index(drop=True)
        pd.testing.assert_frame_equal(subset, pd.read_parquet(SAMPLE))


# Hagelloch: a forest with a parent column, and roots without a parent


@pytest.fixture(scope="module")
def hagelloch():
    """The epidemic as a table of people with a parent column, and one order."""
    orders = pd.DataFrame(
        {"customer_id": ["1"], "ordered_at": ["1862-01-24"], "amount": [1]}
    )
    columns = {"referrals": {"referred_at": "date_of_prodrome"}}
    return sl.read_events(orders, FIXTURES / "hagelloch_1861.csv", columns=columns)


def test_hagelloch_has_its_trees(hagelloch):
    network = sl.referral_network(hagelloch)
    assert network.generations["n_people"].tolist() == [4, 8, 50, 102, 22, 2]
    assert network.max_generation == 5
    assert (network.n_links, network.n_referrers) == (184, 62)
    # Tree sizes 173, 9, 5 and 1: the last is in no referral.
    assert network.trees["n_people"].tolist() == [173, 9, 5]
    assert set(network.trees["root_id"]) == {"173", "174", "184"}
    assert (network.n_people, network.n_roots) == (187, 3)
    people = network.people.to_pandas()
    assert people["n_invited"].nlargest(5).tolist() == [30, 8, 7, 7, 7]
    assert people["reach"].max() == 172


def test_hagelloch_accounts_for_every_row(hagelloch):
    lines = hagelloch.audit[hagelloch.audit["table"] == "referrals"]
    counts = dict(zip(lines["code"], lines["n_rows"], strict=True))
    assert counts == {"": 184, "SL201": 4}
    assert hagelloch.totals["n_people"] == 188
    assert (str(hagelloch.start), str(hagelloch.end)) == ("1861-10-30", "1862-01-24")


def test_hagelloch_lags(hagelloch):
    """Days from the prodrome of the one who infected to that of the infected."""
    frame = sl.people(hagelloch).to_pandas().set_index("person_id")
    raw = pd.read_csv(FIXTURES / "hagelloch_1861.csv", dtype=str)
    when = pd.to_datetime(raw.set_index("case_id")["date_of_prodrome"])
    referrer = frame["referrer_id"].dropna()
    assert referrer.to_dict() == raw.dropna().set_index("case_id")["infector"].to_dict()
    lag = (
        when[referrer.index].to_numpy() - when[referrer].to_numpy()
    ) / np.timedelta64(1, "D")
    assert (lag.min(), lag.max(), np.median(lag)) == (7, 16, 10)
    assert lag.mean().round(2) == 10.39


# MERS: several sources for one person, and only lags between them


@pytest.fixture(scope="module")
def mers():
    """Give every contact a time that keeps its lag, as the file has no dates."""
    contacts = pd.read_csv(FIXTURES / "mers_korea_contacts.csv", dtype=str)
    lag = contacts["diff_dt_onset"].astype(int)
    end = pd.Timestamp("2015-07-01")
    # The longer the lag, the earlier the contact: the source fell ill that much before.
    times = end - pd.to_timedelta(lag, unit="D")
    return contacts.rename(columns={"from": "referrer_id", "to": "referee_id"}).assign(
        referred_at=times
    )


def read_mers(contacts, attribution):
    orders = pd.DataFrame(
        {"customer_id": ["SK_1"], "ordered_at": ["2015-05-01"], "amount": [1.0]}
    )
    return sl.read_events(orders, contacts, attribution=attribution)


@pytest.mark.parametrize("attribution", ["first", "last", "linear", "time_decay"])
def test_mers_has_its_people_and_several_sources(mers, attribution):
    events = read_mers(mers, attribution)
    network = sl.referral_network(events)
    assert network.n_people == 97
    assert network.n_roots == 2
    assert network.max_generation == 3
    people = network.people.to_pandas().set_index("person_id")
    assert set(people[people["referrer_id"].isna()].index) == {"SK_1", "SK_76"}
    links = events.links.to_pandas()
    sources = links.groupby("referee_no").size()
    lines = events.audit[events.audit["table"] == "referrals"]
    counts = dict(zip(lines["code"], lines["n_rows"], strict=True))
    if attribution in ("linear", "time_decay"):
        assert counts == {"": 98}
        assert sources.value_counts().to_dict() == {1: 93, 2: 1, 3: 1}
        assert people["n_invited"].nlargest(5).tolist() == [38, 26, 21, 4, 2]
        weights = links.groupby("referee_no")["weight"].sum()
        assert weights.to_numpy() == pytest.approx(1.0)
    else:
        # SK_107 has two sources and SK_39 three: three rows are of other referrers.
        assert counts == {"": 95, "SL205": 3}
        assert (sources == 1).all()


def test_mers_text_is_trimmed(mers):
    """One exposure has a blank at its end: 'Family member '."""
    channels = {"referrals": {"channel": "exposure"}}
    orders = pd.DataFrame(
        {"customer_id": ["x"], "ordered_at": ["2015-05-01"], "amount": [1]}
    )
    events = sl.read_events(orders, mers, columns=channels)
    sizes = events.set_aside["referrals"].channel.value_counts().to_pandas()
    assert dict(zip(sizes.iloc[:, 0], sizes.iloc[:, 1], strict=True)) == {
        "Hospital room": 44,
        "Emergency room": 33,
        "Visit hospital": 12,
        "Contact with HCW": 8,
        "Family member": 1,
    }


# Beibei: rings, people with many referrers, one huge component

LAUNCHES = FULL / "beibei_launches.parquet" if FULL is not None else None

if LAUNCHES is not None and LAUNCHES.exists():

    @pytest.fixture(scope="module")
    def beibei():
        """Take initiators for referrers and each participation for an order of one.

        There are no times: the place in the file stands for one, which is arbitrary.
        """
        launches = pd.read_parquet(LAUNCHES)
        filled = launches[launches["participants"].notna()]
        second = pd.Timestamp("2020-01-01") + pd.to_timedelta(
            np.arange(len(filled)), unit="s"
        )
        rows = filled.assign(at=second).explode("participants")
        referrals = pd.DataFrame(
            {
                "referrer_id": rows["initiator"],
                "referee_id": rows["participants"].astype("int64"),
                "referred_at": rows["at"],
            }
        )
        orders = pd.concat(
            [
                filled.assign(at=second).rename(columns={"initiator": "customer_id"}),
                rows.drop(columns="initiator").rename(
                    columns={"participants": "customer_id"}
                ),
            ]
        )
        orders = pd.DataFrame(
            {
                "customer_id": orders["customer_id"].astype("int64"),
                # Nobody has bought before they are brought: the order is a day later.
                "ordered_at": orders["at"].max() + pd.Timedelta(days=1),
                "amount": 1,
            }
        )
        return orders, referrals

    def edges_of(referrals):
        """Distinct pairs with their first row, and who has led to whom, by hand."""
        pairs = referrals.drop_duplicates(["referrer_id", "referee_id"])
        return pairs.reset_index(drop=True)

    @pytest.mark.parametrize("attribution", ["first", "linear"])
    def test_beibei_accounts_for_every_edge(beibei, attribution):
        orders, referrals = beibei
        events = sl.read_events(
            orders, referrals, attribution=attribution, purchase="order"
        )
        assert len(referrals) == 335_828
        assert events.totals["n_orders"] == 668_654
        assert events.totals["revenue"] == 668_654
        lines = events.audit[events.audit["table"] == "referrals"]
        counts = dict(zip(lines["code"], lines["n_rows"], strict=True))
        assert sum(counts.values()) == 335_828
        assert counts["SL203"] == 335_828 - 332_240
        network = sl.referral_network(events)
        if attribution == "first":
            # One link for each of the participants, less those cut from a ring.
            assert counts[""] + counts["SL207"] == 142_151
            assert counts["SL205"] == 332_240 - 142_151
            assert network.n_links == counts[""]
            assert network.n_people - network.n_roots == network.n_links
        else:
            assert counts[""] + counts["SL207"] == 332_240
            assert events.links.count().to_pandas() == counts[""]
        assert counts["SL207"] > 0
        for rule in ("halving", "shapley"):
            values = value_table(
                events, None, Sharing(rule), horizon_days=365, discount_rate=0.0
            )
            sums = values.aggregate(
                total=values.total_value.sum(),
                revenue=values.revenue.sum(),
                social=values.social_value.sum(),
                gave=values.given_value.sum(),
            ).to_pandas().iloc[0]  # fmt: skip
            assert sums["total"] == pytest.approx(668_654, rel=1e-12)
            assert sums["revenue"] == 668_654
            assert sums["social"] == pytest.approx(sums["gave"], rel=1e-12)

    def test_beibei_rings_are_cut_once_each(beibei):
        """Followed by hand, each ring of first referrers loses one link, the latest."""
        orders, referrals = beibei
        events = sl.read_events(orders, referrals, purchase="order")
        first = (
            edges_of(referrals).drop_duplicates("referee_id").set_index("referee_id")
        )
        parent = first["referrer_id"].to_dict()
        when = first["referred_at"].to_dict()
        n_rings, done = 0, set()
        for start in parent:
            path = []
            person = start
            while person in parent and person not in done:
                done.add(person)
                path.append(person)
                person = parent[person]
            if person in path:
                ring = path[path.index(person) :]
                latest = max(ring, key=lambda p: (when[p], str(p)))
                n_rings += 1
                parent[latest] = None
        lines = events.audit.set_index(["table", "code"])["n_rows"]
        assert lines["referrals", "SL207"] == n_rings
        found = (
            sl.people(events).to_pandas().set_index("person_id")["referrer_id"].dropna()
        )
        expected = {str(k): str(v) for k, v in parent.items() if v is not None}
        assert found.to_dict() == expected
