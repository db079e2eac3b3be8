import json
import math
import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import fftconvolve
from scipy.special import hyp2f1

from selfloop.core.errors import FileError, SettingError
from selfloop.core.schema import INPUT_ROLES
from selfloop.core.settings import WINDOWS_DAYS
from selfloop.inputs.shop import Shop, Source
from selfloop.inputs.shop_process import draw_batches, expected_people
from selfloop.inputs.shop_truth import true_values
from selfloop.inputs.simulate import Simulation, sample_shop, simulate, simulate_files

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
TABLES = ("orders", "referrals", "visits", "spend")
DAYS = 720


def truth_of(shop, days=DAYS, arrivals=None):
    return true_values(
        shop,
        arrivals=arrivals,
        n_visitors=1,
        seed=0,
        days=days,
        start=date(2024, 1, 1),
        counts={},
    )


@pytest.fixture(scope="module")
def shop():
    """A shop of two batches."""
    return simulate(150_000, seed=11)


@pytest.fixture(scope="module")
def people(shop):
    """One row per person, made from the events alone."""
    visits = shop.visits.sort_values("visited_at", kind="stable")
    first_visit = visits.drop_duplicates("visitor_id").set_index("visitor_id")
    people = first_visit.rename(columns={"visited_at": "arrived"})
    orders = shop.orders.groupby("customer_id")["ordered_at"]
    people["first"] = orders.min()
    people["n_orders"] = orders.size()
    referrals = shop.referrals.set_index("referee_id")
    people["referrer"] = referrals["referrer_id"]
    people["referred"] = referrals["referred_at"]
    for name in ("arrived", "first"):
        people[f"{name}_day"] = day_of(people[name])
    return people


def day_of(times):
    return (times.dt.normalize() - pd.Timestamp("2024-01-01")) / pd.Timedelta(days=1)


def assert_share(n_hit, n, p):
    """The number of hits is within 5 sigma of its binomial mean."""
    assert n > 1000
    assert abs(n_hit - n * p) < 5 * math.sqrt(n * p * (1 - p)) + 1


def assert_mean(values, expected):
    """The mean is within 5 standard errors."""
    values = np.asarray(values, dtype=float)
    assert len(values) > 1000
    assert abs(values.mean() - expected) < 5 * values.std() / math.sqrt(len(values))


class TestTruthByHand:
    def test_conversion_of_an_exponential_delay(self):
        # p E[1 - exp(-(W + U) / s)] = p (1 - s exp(-W / s) (1 - exp(-1 / s)))
        ads = Source("ads", 1.0, 0.4, delay_shape=1.0, delay_days=20.0)
        truth = truth_of(Shop(sources=(ads,)))
        for w, value in truth.conversion_by_channel["ads"].items():
            by_hand = 1 - 20 * math.exp(-w / 20) * (1 - math.exp(-1 / 20))
            assert value == pytest.approx(0.4 * by_hand, abs=1e-12)

    def test_reproduction_when_the_invited_buy_at_once(self):
        # Only the exponential age of the inviter is left; R = 1.2 x 0.5.
        shop = Shop(
            invitations=1.2, invitation_shape=1.0, invitation_days=60.0,
            referral_delay_shape=1.0, referral_delay_days=0.001,
        )  # fmt: skip
        truth = truth_of(shop)
        for w, value in truth.reproduction.items():
            by_hand = 1 - 60 * math.exp(-w / 60) * (1 - math.exp(-1 / 60))
            assert value == pytest.approx(0.6 * by_hand, abs=2e-5)
        assert truth.reproduction_total == pytest.approx(0.6, abs=1e-12)
        assert truth.multiplier == pytest.approx(2.5, abs=1e-12)

    def test_second_order_with_r_equal_to_one(self):
        # E[1 - alpha / (alpha + W + U)] = 1 - alpha ln((alpha + W + 1)/(alpha + W))
        truth = truth_of(Shop(purchase_r=1.0, purchase_alpha_days=40.0))
        for w, value in truth.repurchase["order"].items():
            by_hand = 1 - 40 * math.log((41 + w) / (40 + w))
            assert value == pytest.approx(by_hand, abs=1e-12)

    def test_second_day_when_nobody_leaves(self):
        # 1 - (alpha / (alpha + W))^r: the first day then tells nothing.
        shop = Shop(
            purchase_r=0.8, purchase_alpha_days=40.0, dropout_a=0.01, dropout_b=100
        )
        for w, value in truth_of(shop).repurchase["day"].items():
            assert value == pytest.approx(1 - (40 / (40 + w)) ** 0.8, abs=1e-5)

    def test_mean_order_value(self):
        # 6 x 40 / (4 - 1) = 80
        assert truth_of(Shop(spend_p=6, spend_q=4, spend_v=40)).mean_order_value == 80

    def test_no_multiplier_when_the_loop_feeds_itself(self):
        assert truth_of(Shop(invitations=2.0)).multiplier is None

    def test_nobody_invites(self):
        truth = truth_of(Shop(invitations=0))
        assert set(truth.reproduction.values()) == {0.0}
        assert set(truth.referral.values()) == {0.0}
        assert truth.multiplier == 1.0

    def test_mixed_conversion_counts_matured_arrivals_only(self):
        # 100 days: 3 of ads and 1 of direct are seen for 90 days, on day 0; the 50
        # of day 10 (ads) are seen for 89. (3 x .2 + 1 x .4) / 4 = .25, delay tiny.
        shop = Shop(
            sources=(
                Source("ads", 0.5, 0.2, delay_days=0.001, cost_per_visitor=1),
                Source("direct", 0.5, 0.4, delay_days=0.001),
            )
        )
        arrivals = np.zeros((3, 100), dtype=np.int64)
        arrivals[:2, 0] = 3, 1
        arrivals[0, 10] = 50
        truth = truth_of(shop, days=100, arrivals=arrivals)
        assert truth.conversion[90] == pytest.approx(0.25, abs=1e-9)
        assert truth.conversion_by_source["paid"][90] == pytest.approx(0.2)
        assert truth.conversion_by_source["organic"][90] == pytest.approx(0.4)
        assert math.isnan(truth.conversion_by_source["referral"][90])
        assert math.isnan(truth.conversion[180])


@pytest.mark.parametrize("delay_shape", [0.4, 1.0, 3.0])
def test_reproduction_equals_a_convolution_on_a_fine_grid(delay_shape):
    shop = Shop(invitation_shape=0.7, referral_delay_shape=delay_shape)
    step = 1 / 256
    edges = np.arange(0, 400, step)
    age = np.diff(stats.gamma(0.7, scale=40).cdf(edges))
    delay = np.diff(stats.gamma(delay_shape, scale=8).cdf(edges))
    # The sum of two cells is triangular over two cells: spread it half and half.
    total = fftconvolve(age, delay)[: len(edges) - 1]
    cdf = np.concatenate([[0], np.cumsum(total) - total / 2])
    truth = truth_of(shop)
    for w in WINDOWS_DAYS:
        inside = cdf[int(w / step) : int((w + 1) / step) + 1]
        mean = np.trapezoid(inside, dx=step)
        assert truth.reproduction[w] == pytest.approx(0.5 * mean, abs=2e-6)


class TestEvents:
    def test_columns_and_types(self, shop):
        for name in TABLES:
            table = getattr(shop, name)
            roles = [role.name for role in INPUT_ROLES[name]]
            assert set(table.columns) <= set(roles)
            assert not table.isna().any(axis=None)
        assert shop.orders["ordered_at"].dtype == "datetime64[us]"

    def test_no_row_outside_the_period(self, shop):
        start, end = pd.Timestamp("2024-01-01"), pd.Timestamp("2025-12-21")
        assert (end - start).days == DAYS
        for table, column in (
            (shop.orders, "ordered_at"),
            (shop.referrals, "referred_at"),
            (shop.visits, "visited_at"),
            (shop.spend, "date"),
        ):
            assert table[column].between(start, end, inclusive="left").all()
            assert (table[column].dt.microsecond == 0).all()

    def test_counts_of_the_truth(self, shop, people):
        counts = shop.truth.counts
        assert counts == {
            "n_people": len(people),
            "n_buyers": people["first"].notna().sum(),
            "n_orders": len(shop.orders),
            "n_referrals": len(shop.referrals),
            "n_visits": len(shop.visits),
        }
        assert counts["n_people"] - counts["n_referrals"] == shop.truth.n_visitors

    def test_ids_belong_together(self, shop, people):
        assert people.index.is_unique
        assert people.index.str.fullmatch(r"c\d{8}").all()
        assert shop.orders["customer_id"].isin(people.index).all()
        assert shop.referrals["referee_id"].is_unique
        buyers = people.index[people["first"].notna()]
        assert shop.referrals["referrer_id"].isin(buyers).all()

    def test_referral_stands_between_two_first_orders(self, people):
        invited = people[people["referrer"].notna()]
        inviter_first = people["first"].reindex(invited["referrer"]).to_numpy()
        assert (invited["referred"].to_numpy() > inviter_first).all()
        assert (invited["referred"] == invited["arrived"]).all()
        bought = invited[invited["first"].notna()]
        assert len(bought) > 1000
        assert (bought["referred"] < bought["first"]).all()

    def test_channels(self, shop, people):
        assert ((people["channel"] == "referral") == people["referrer"].notna()).all()
        of_order = people["channel"].reindex(shop.orders["customer_id"])
        assert (of_order.to_numpy() == shop.orders["channel"].to_numpy()).all()
        outside = people[people["referrer"].isna()]["channel"].value_counts()
        for source in shop.truth.shop.sources:
            n = outside[source.channel]
            assert_share(n, shop.truth.n_visitors, source.share)

    def test_amounts_are_whole_cents(self, shop):
        cents = shop.orders["amount"] * 100
        assert (cents >= 1).all()
        assert (shop.orders["amount"] == cents.round() / 100).all()

    def test_spend_is_cost_times_visitors(self, shop, people):
        prices = {"ads": 2.4, "信息流": 1.5}
        assert len(shop.spend) == 2 * DAYS
        by_day = shop.spend.pivot_table(index="date", columns="channel", values="spend")
        for channel, price in prices.items():
            arrived = people.loc[people["channel"] == channel, "arrived"]
            n = arrived.dt.normalize().value_counts().reindex(by_day.index)
            expected = (n.fillna(0) * price).round(2)
            assert (by_day[channel] == expected).all()

    def test_batches_are_in_order_of_time(self, shop):
        for table, column in (
            (shop.orders, "ordered_at"),
            (shop.referrals, "referred_at"),
            (shop.visits, "visited_at"),
        ):
            falls = table[column].diff() < pd.Timedelta(0)
            assert falls.sum() == 1  # where the second batch starts

    def test_repr_says_how_much(self, shop):
        text = repr(shop)
        assert text.startswith("Simulation(seed=11, n_visitors=150000, n_people=")
        assert text.endswith(f"n_orders={len(shop.orders)})")


@pytest.mark.parametrize("window", WINDOWS_DAYS)
class TestMeasuredEqualsTruth:
    def test_conversion(self, shop, people, window):
        matured = people[people["arrived_day"] <= DAYS - 1 - window]
        lag = matured["first_day"] - matured["arrived_day"]
        hit = lag <= window
        truth = shop.truth
        assert_share(hit.sum(), len(hit), truth.conversion[window])
        for channel, values in truth.conversion_by_channel.items():
            of_channel = hit[matured["channel"] == channel]
            assert_share(of_channel.sum(), len(of_channel), values[window])
        paid = hit[matured["channel"].isin(["ads", "信息流"])]
        expected = truth.conversion_by_source["paid"][window]
        assert_share(paid.sum(), len(paid), expected)

    def test_repurchase_by_order(self, shop, people, window):
        orders = shop.orders.sort_values("ordered_at", kind="stable")
        rank = orders.groupby("customer_id").cumcount()
        second = orders[rank == 1].set_index("customer_id")["ordered_at"]
        buyers = people[people["first_day"] <= DAYS - 1 - window]
        hit = day_of(second).reindex(buyers.index) - buyers["first_day"] <= window
        expected = shop.truth.repurchase["order"][window]
        assert_share(hit.sum(), len(hit), expected)

    def test_repurchase_by_day(self, shop, people, window):
        order_day = day_of(shop.orders["ordered_at"])
        first_day = people["first_day"].reindex(shop.orders["customer_id"])
        lag = order_day.to_numpy() - first_day.to_numpy()
        inside = (lag > 0) & (lag <= window)
        again = shop.orders["customer_id"][inside].unique()
        buyers = people[people["first_day"] <= DAYS - 1 - window]
        hit = buyers.index.isin(again)
        assert_share(hit.sum(), len(hit), shop.truth.repurchase["day"][window])

    def test_referral_and_reproduction(self, shop, people, window):
        brought = people[people["referrer"].notna() & people["first"].notna()]
        own = people["first_day"].reindex(brought["referrer"]).to_numpy()
        inside = brought[brought["first_day"] - own <= window]
        buyers = people[people["first_day"] <= DAYS - 1 - window]
        n = inside["referrer"].value_counts().reindex(buyers.index, fill_value=0)
        assert_share((n > 0).sum(), len(n), shop.truth.referral[window])
        assert_mean(n, shop.truth.reproduction[window])


class TestModelMoments:
    def test_expected_repeat_purchases(self, shop, people):
        # Fader, Hardie & Lee (2005), equation 9, with 2F1
        r, alpha, a, b = 0.8, 40.0, 0.6, 4.0
        end = pd.Timestamp("2025-12-21")
        first = people["first"].reindex(shop.orders["customer_id"]).to_numpy()
        age = (shop.orders["ordered_at"] - first) / pd.Timedelta(days=1)
        for t in (30, 180, 365):
            matured = people.index[people["first"] <= end - pd.Timedelta(days=t)]
            ids = shop.orders["customer_id"][(age > 0) & (age <= t)]
            n = ids.value_counts().reindex(matured, fill_value=0)
            f = hyp2f1(r, b, a + b - 1, t / (alpha + t))
            mean = (a + b - 1) / (a - 1) * (1 - (alpha / (alpha + t)) ** r * f)
            assert_mean(n, mean)
            assert_share((n == 0).sum(), len(n), (alpha / (alpha + t)) ** r)

    def test_one_repeat_and_gone(self, shop, people):
        # A buyer leaves after the first repeat with probability E[p] = a / (a + b).
        # Of buyers whose first repeat came at age x, those who stay come again in
        # the 300 days after it at a rate that is Gamma(r + 1) / (alpha + x).
        r, alpha, a, b = 0.8, 40.0, 0.6, 4.0
        orders = shop.orders.sort_values("ordered_at", kind="stable")
        rank = orders.groupby("customer_id").cumcount()
        times = [orders[rank == i].set_index("customer_id") for i in (1, 2)]
        second, third = (t["ordered_at"].reindex(people.index) for t in times)
        one_day = pd.Timedelta(days=1)
        x = (second - people["first"]) / one_day
        chosen = (x <= 30) & (people["first_day"] < DAYS - 340)
        again = ((third - second) / one_day <= 300)[chosen]
        x = x[chosen].to_numpy()
        stays = b / (a + b) * (1 - ((alpha + x) / (alpha + x + 300)) ** (r + 1))
        assert_share(again.sum(), len(again), stays.mean())

    def test_order_values(self, shop):
        # z = Gamma(p) / nu, nu ~ Gamma(q) / v: E z = p v / (q - 1) = 80 and
        # E z^2 = p (p + 1) v^2 / ((q - 1)(q - 2)) = 42 x 1600 / 6 = 11200;
        # E of 1 / (1 + z) has no heavy tail: Beta prime, by quadrature.
        first = shop.orders.drop_duplicates("customer_id")["amount"]
        assert_mean(first, 80)
        law = stats.betaprime(6, 4, scale=40)
        assert_mean(1 / (1 + first), law.expect(lambda z: 1 / (1 + z)))
        for quantile in (0.1, 0.5, 0.9):
            n_below = (first <= law.ppf(quantile)).sum()
            assert_share(n_below, len(first), quantile)

    def test_values_of_one_buyer_are_alike(self, shop):
        # Given nu, orders are independent with CV^2 = 1 / p. For two of one buyer,
        # E[z1 z2] = p^2 v^2 / ((q - 1)(q - 2)) = 36 x 1600 / 6 = 9600.
        orders = shop.orders
        rank = orders.groupby("customer_id").cumcount()
        pair = [orders[rank == i].set_index("customer_id")["amount"] for i in (0, 1)]
        product = (pair[0].reindex(pair[1].index) * pair[1]).to_numpy()
        assert_mean(product, 9600)

    def test_invitations_are_gamma_poisson(self):
        # All ages fall inside the first days: the count per buyer is negative
        # binomial with mean m and P(0) = (k / (k + m))^k.
        shop = Shop(
            invitations=0.8, invitation_k=0.5, invitation_days=0.01,
            referral_conversion=0, sources=(Source("direct", 1, 1, delay_days=0.01),),
        )  # fmt: skip
        drawn = simulate(50_000, seed=3, days=30, shop=shop)
        n = drawn.referrals["referrer_id"].value_counts()
        n_buyers = drawn.truth.counts["n_buyers"]
        n_zero = n_buyers - len(n)
        assert_share(n_zero, n_buyers, (0.5 / 1.3) ** 0.5)
        counts = np.concatenate([n.to_numpy(), np.zeros(n_zero)])
        assert_mean(counts, 0.8)
        assert_mean((counts - 0.8) ** 2, 0.8 + 0.8**2 / 0.5)

    def test_further_visits(self, shop, people):
        # Poisson(0.15) each, exponential with mean 10 days; the first 600 days of
        # arrivals have at least 12 means left: 1e-5 of them are cut off.
        early = people.index[people["arrived_day"] < 600]
        n = shop.visits["visitor_id"].value_counts().reindex(early) - 1
        assert_mean(n, 0.15)

    def test_arrivals_are_uniform(self, people):
        outside = people[people["referrer"].isna()]
        share = outside["arrived_day"] / DAYS
        assert_mean(share, (DAYS - 1) / 2 / DAYS)
        hour = (outside["arrived"].dt.hour < 6).sum()
        assert_share(hour, len(outside), 0.25)


class TestSameRows:
    def test_same_seed_same_rows(self):
        one, two = simulate(2_000, seed=5), simulate(2_000, seed=5)
        for name in TABLES:
            pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name))
        assert one.truth == two.truth

    def test_other_seed_other_rows(self):
        one, two = simulate(2_000, seed=5), simulate(2_000, seed=6)
        assert not one.orders["ordered_at"].equals(two.orders["ordered_at"])

    def test_parquet_holds_the_rows_of_simulate(self, shop, tmp_path):
        progress = []
        truth = simulate_files(
            tmp_path,
            n_visitors=150_000,
            seed=11,
            progress=lambda *x: progress.append(x),
        )
        assert truth == shop.truth
        for name in TABLES:
            read = pd.read_parquet(tmp_path / f"{name}.parquet")
            pd.testing.assert_frame_equal(read, getattr(shop, name))
        assert progress == [(131_072, 150_000), (150_000, 150_000)]

    def test_csv_holds_the_rows_of_simulate(self, tmp_path):
        simulate_files(tmp_path, n_visitors=2_000, seed=5, format="csv")
        drawn = simulate(2_000, seed=5)
        for name in TABLES:
            want = getattr(drawn, name)
            times = [c for c in want.columns if want[c].dtype == "datetime64[us]"]
            read = pd.read_csv(tmp_path / f"{name}.csv")
            read[times] = read[times].astype("datetime64[us]")
            pd.testing.assert_frame_equal(read, want)

    def test_csv_quotes_channels_that_need_it(self, tmp_path):
        odd = 'a "b", c'
        shop = Shop(sources=(Source(odd, 1.0, 1.0),), invitations=0)
        simulate_files(tmp_path, n_visitors=50, seed=5, shop=shop, format="csv")
        orders = pd.read_csv(tmp_path / "orders.csv")
        assert set(orders["channel"]) == {odd}

    def test_first_batch_does_not_depend_on_the_number_of_visitors(self):
        few = next(draw_batches(Shop(), n_visitors=131_072, seed=1, days=90))
        many = next(draw_batches(Shop(), n_visitors=400_000, seed=1, days=90))
        np.testing.assert_array_equal(few.order_time, many.order_time)
        np.testing.assert_array_equal(few.order_cents, many.order_cents)

    def test_truth_json(self, tmp_path):
        truth = simulate_files(tmp_path, n_visitors=20, seed=1, days=60)
        text = (tmp_path / "truth.json").read_text(encoding="utf-8")
        read = json.loads(text, parse_constant=pytest.fail)
        assert read == json.loads(json.dumps(truth.to_dict()))
        assert read["conversion"]["90"] is None  # nobody was seen for 90 days
        assert read["shop"]["sources"][1]["channel"] == "信息流"
        assert read["start"] == "2024-01-01"


class TestMemory:
    def test_peak_does_not_grow_with_the_number_of_batches(self):
        shop = Shop(invitations=1.9, dropout_a=2.0)  # small batches
        peaks = []
        for n_batches in (3, 9):
            size = 1 << int(math.log2(250_000 / expected_people(shop, days=DAYS)))
            tracemalloc.start()
            sizes = [
                batch.arrived.size
                for batch in draw_batches(
                    shop, n_visitors=n_batches * size, seed=2, days=DAYS
                )
            ]
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert len(sizes) == n_batches
            assert max(sizes) < 500_000
        assert peaks[1] < 1.3 * peaks[0]

    def test_expected_people_is_an_upper_limit_and_near(self):
        # Long after the last invitation, 1 + conversion m / (1 - R).
        shop = Shop(sources=(Source("direct", 1, 0.5),), invitation_days=5.0)
        limit = 1 + 0.5 * 1.0 / (1 - 0.5)
        value = expected_people(shop, days=2_000)
        assert 0.97 * limit < value < limit
        drawn = simulate(20_000, seed=1, days=2_000, shop=shop).truth.counts
        assert drawn["n_people"] / 20_000 < 1.02 * value


ranges = st.floats(0.2, 3.0)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    days=st.integers(1, 400),
    n=st.integers(1, 60),
    invitations=st.floats(0, 2.5),
    r=ranges,
    a=ranges,
    k=ranges,
)
def test_any_shop_keeps_the_order_of_things(seed, days, n, invitations, r, a, k):
    shop = Shop(invitations=invitations, purchase_r=r, dropout_a=a, invitation_k=k)
    drawn = simulate(n, seed=seed, days=days, shop=shop)
    end = pd.Timestamp("2024-01-01") + pd.Timedelta(days=days)
    arrived = drawn.visits.groupby("visitor_id")["visited_at"].min()
    first = drawn.orders.groupby("customer_id")["ordered_at"].min()
    assert len(arrived) == n + len(drawn.referrals) == drawn.truth.counts["n_people"]
    assert (first > arrived.reindex(first.index)).all()
    assert drawn.orders["ordered_at"].lt(end).all()
    assert drawn.visits["visited_at"].lt(end).all()
    referred = drawn.referrals.set_index("referee_id")
    assert (referred["referred_at"] == arrived.reindex(referred.index)).all()
    inviter = first.reindex(referred["referrer_id"]).to_numpy()
    assert (referred["referred_at"].to_numpy() > inviter).all()


class TestSettings:
    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ({"n_visitors": 0}, "n_visitors must be between 1"),
            ({"n_visitors": 10.5}, "n_visitors must be a whole number; got 10.5"),
            ({"n_visitors": True}, "n_visitors must be a whole number; got True"),
            ({"seed": -1}, "seed must be between 0"),
            ({"days": 0}, "days must be between 1 and 7300; got 0"),
            ({"days": 7301}, "days must be between 1 and 7300; got 7301"),
            ({"start": "2024-01-01"}, "start must be a date; got '2024-01-01'"),
            ({"start": datetime(2024, 1, 1, 5)}, "start must be a date without time"),
            ({"start": date(1960, 1, 1)}, "year of start must be between 1970"),
            ({"shop": None}, "shop must be a Shop"),
        ],
    )
    def test_of_simulate(self, setting, message, tmp_path):
        arguments = {"n_visitors": 10, **setting}
        with pytest.raises(SettingError, match=message):
            simulate(**arguments)
        with pytest.raises(SettingError, match=message):
            simulate_files(tmp_path, **arguments)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ({"purchase_r": 0}, "purchase_r must be between 0.05 and 100; got 0"),
            ({"purchase_alpha_days": math.inf}, "purchase_alpha_days must be"),
            ({"dropout_a": math.nan}, "dropout_a must be between .*; got nan"),
            ({"spend_q": 1}, "spend_q must be between 1.01"),
            ({"invitations": -0.1}, "invitations must be between 0 and 100"),
            ({"invitation_k": "0.5"}, "invitation_k must be between .*; got '0.5'"),
            ({"referral_conversion": 1.1}, "referral_conversion must be between 0"),
            ({"sources": ()}, "sources must be a tuple of Source"),
            ({"sources": ["ads"]}, "sources must be a tuple of Source"),
            ({"sources": (Source("a", 0.4, 1),)}, "sum to 1; got 0.4"),
            (
                {"sources": (Source("a", 0.5, 1), Source("a", 0.5, 1))},
                "different channels",
            ),
        ],
    )
    def test_of_shop(self, setting, message):
        with pytest.raises(SettingError, match=message):
            replace(Shop(), **setting)

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ({"channel": "referral"}, "channel must be a name other than 'referral'"),
            ({"channel": " "}, "channel must be a name"),
            ({"channel": 3}, "channel must be a name"),
            ({"share": 1.5}, "share of ads must be between 0 and 1; got 1.5"),
            ({"conversion": -0.1}, "conversion of ads must be between 0 and 1"),
            ({"delay_shape": 0}, "delay_shape of ads must be between 0.05"),
            ({"delay_days": 0}, "delay_days of ads must be between 0.001"),
            ({"cost_per_visitor": -1}, "cost_per_visitor of ads must be between 0"),
        ],
    )
    def test_of_source(self, setting, message):
        with pytest.raises(SettingError, match=message):
            replace(Source("ads", 1.0, 0.5), **setting)

    def test_a_loop_that_explodes_is_refused_at_once(self):
        shop = Shop(invitations=20, invitation_days=5)
        with pytest.raises(SettingError, match=r"more than 100,000 people .*R = 10"):
            simulate(10, shop=shop)

    def test_format(self, tmp_path):
        with pytest.raises(
            SettingError, match="format must be one of 'parquet', 'csv'"
        ):
            simulate_files(tmp_path, n_visitors=10, format="xlsx")

    def test_numpy_integers_are_whole_numbers(self):
        drawn = simulate(np.int64(20), seed=np.int32(1), days=np.int64(30))
        assert drawn.truth.n_visitors == 20


class TestFiles:
    def test_makes_the_last_part_of_the_folder_only(self, tmp_path):
        simulate_files(tmp_path / "new", n_visitors=20)
        names = sorted(p.name for p in (tmp_path / "new").iterdir())
        assert names == [
            "orders.parquet", "referrals.parquet", "spend.parquet", "truth.json",
            "visits.parquet",
        ]  # fmt: skip
        with pytest.raises(FileError, match=r"SL140 .*No such file") as caught:
            simulate_files(tmp_path / "no" / "folder", n_visitors=20)
        assert caught.value.code == "SL140"

    def test_a_file_in_the_place_of_the_folder(self, tmp_path):
        (tmp_path / "taken").write_text("mine")
        with pytest.raises(FileError, match=r"cannot write to the folder .*taken"):
            simulate_files(tmp_path / "taken", n_visitors=20)
        assert (tmp_path / "taken").read_text() == "mine"

    def test_an_interruption_leaves_older_files_as_they_were(self, tmp_path):
        (tmp_path / "orders.csv").write_text("older")

        def interrupt(*_):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            simulate_files(tmp_path, n_visitors=20, format="csv", progress=interrupt)
        assert [p.name for p in tmp_path.iterdir()] == ["orders.csv"]
        assert (tmp_path / "orders.csv").read_text() == "older"

    @pytest.mark.skipif(os.name != "posix", reason="limits of a process are POSIX")
    @pytest.mark.parametrize("file_format", ["parquet", "csv"])
    def test_no_room_for_a_file(self, tmp_path, file_format):
        code = (
            "import resource, sys\n"
            "from selfloop.core.errors import FileError\n"
            "from selfloop.inputs.simulate import simulate_files\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
            "try:\n"
            "    simulate_files(sys.argv[1], n_visitors=9_000, format=sys.argv[2])\n"
            "except FileError as error:\n"
            "    print(error)\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), file_format],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "SL142" in run.stdout
        assert "free some space" in run.stdout
        assert run.stderr == ""
        assert list(tmp_path.iterdir()) == []


class TestSample:
    def test_sample_is_drawn_byte_by_byte(self, tmp_path):
        simulate_files(tmp_path, n_visitors=2_000, seed=7, format="csv")
        for name in TABLES:
            made = (tmp_path / f"{name}.csv").read_bytes()
            assert made == (SAMPLE / f"{name}.csv").read_bytes(), name
        made, kept = (
            pd.json_normalize(json.loads((f / "truth.json").read_text("utf-8")))
            for f in (tmp_path, SAMPLE)
        )
        pd.testing.assert_frame_equal(made, kept, rtol=1e-9)

    def test_sample_shop_is_the_sample(self):
        drawn = sample_shop()
        assert isinstance(drawn, Simulation)
        kept = pd.read_csv(SAMPLE / "orders.csv", parse_dates=["ordered_at"])
        pd.testing.assert_frame_equal(kept, drawn.orders, check_dtype=False)

    def test_sample_is_small(self):
        assert sum(p.stat().st_size for p in SAMPLE.iterdir() if p.is_file()) < 1e6

    def test_readme_states_the_truth(self):
        text = (SAMPLE / "README.md").read_text("utf-8")
        drawn = sample_shop()
        truth = drawn.truth
        rows = {f"conversion, `{k}`": v for k, v in truth.conversion_by_channel.items()}
        rows["conversion, invited"] = rows.pop("conversion, `referral`")
        rows["conversion, everybody who arrived here"] = truth.conversion
        rows["second purchase day"] = truth.repurchase["day"]
        rows["first successful referral"] = truth.referral
        rows["R(H), new buyers brought per buyer"] = truth.reproduction
        for name, values in rows.items():
            cells = " | ".join(f"{v:.4f}" for v in values.values())
            assert f"| {name} | {cells} |" in text
        for name in TABLES:
            assert f"| {len(getattr(drawn, name)):,} |" in text
        assert "Drawn were 3,031 people, 1,051 of them buyers." in text
        assert truth.counts["n_people"] == 3_031
        assert truth.counts["n_buyers"] == 1_051
