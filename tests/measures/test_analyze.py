"""Analysis: the numbers of its parts, summaries by pandas, what is missing and why."""

import math

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from small_shops import orders, referrals, visits

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.core.settings import Sharing
from selfloop.measures.social import value_table
from selfloop.measures.summary import N_ADVOCATES, N_BINS, summarise

SUMMARIES = {
    "by_source": [
        "source", "n_buyers", "revenue_per_buyer", "expected_per_buyer",
        "lifetime_value_per_buyer", "low", "high",
    ],
    "deciles": [
        "decile", "n_people", "revenue", "given_value", "social_value", "total_value",
        "share_total",
    ],
    "histogram": ["low_value", "high_value", "source_group", "n_people", "share"],
}  # fmt: skip
TOTALS = {
    "n_buyers", "revenue", "given_value", "social_value", "total_value",
    "expected_value", "social_per_buyer", "referred_buyers", "share_referred",
}  # fmt: skip


@pytest.fixture(scope="module")
def steps():
    return []


@pytest.fixture(scope="module")
def analysis(simulated_events, steps):
    return sl.analyze(simulated_events, horizon_days=180, progress=steps.append)


@pytest.fixture(scope="module")
def table(analysis):
    """Everybody's value, in pandas."""
    return shops.by_id(analysis.values)


@pytest.fixture(scope="module")
def retail(retail_events):
    """Real orders: no referrals, no visits."""
    return sl.analyze(retail_events)


def bare(events, rule="halving"):
    """Return everybody's value without a model."""
    return value_table(events, None, Sharing(rule), horizon_days=365, discount_rate=0.0)


# The parts --------------------------------------------------------------------------


def test_parts_are_those_of_the_single_calls(analysis, simulated_events, table):
    assert analysis.unavailable == {"acquisition cost": "no table of spend"}
    whole, parts = sl.funnel(simulated_events), sl.funnel(simulated_events, "source")
    pd.testing.assert_frame_equal(analysis.funnel.windows, whole.windows)
    pd.testing.assert_frame_equal(analysis.funnel_by_source.windows, parts.windows)
    triangle = sl.cohorts(simulated_events)
    pd.testing.assert_frame_equal(analysis.cohorts.table, triangle.table)
    loop = sl.self_loop(simulated_events)
    pd.testing.assert_frame_equal(analysis.loop.months, loop.months)
    pd.testing.assert_frame_equal(analysis.loop.reproduction, loop.reproduction)
    network = sl.referral_network(simulated_events, values=analysis.values)
    pd.testing.assert_frame_equal(analysis.network.generations, network.generations)
    model = sl.fit_lifetime(simulated_events)
    assert analysis.lifetime.params == model.params
    expected = sl.customer_value(simulated_events, model=model, horizon_days=180)
    pd.testing.assert_frame_equal(table, shops.by_id(expected))
    assert shops.has_columns(analysis.values, "customer_value")


def test_progress_names_each_step_once(analysis, steps):
    assert analysis.horizon_days == 180
    assert steps == [
        "funnel", "cohorts", "loop", "lifetime value", "backtest", "customer value",
        "referral network", "who was referred", "referrals to come",
        "referrals worth a look", "what visitors are worth", "months to come",
    ]  # fmt: skip


def test_parts_agree_with_each_other(analysis):
    totals = analysis.events.totals
    stages = analysis.funnel.stages.set_index("stage")
    assert stages.loc["conversion", "n_reached"] == totals["n_buyers"]
    assert stages.loc["repurchase", "n_reached"] == totals["n_repeat_buyers"]
    assert analysis.lifetime.n_people == totals["n_buyers"]
    assert analysis.network.generations["n_buyers"].sum() == totals["n_buyers"]
    n_first = analysis.loop.months["n_first_referral"].sum()
    # Everybody's first referrer bought in this shop: all successes are in R's count,
    # and those of the whole period are the links whose referee bought.
    assert analysis.network.n_successes == n_first
    counted = analysis.loop.curve["n_referrals"].sum() + analysis.loop.n_seeding
    assert 0 <= n_first - counted < 0.05 * n_first
    found = analysis.value_summary.totals
    assert found["referred_buyers"] == n_first
    assert found["revenue"] == pytest.approx(analysis.loop.months["revenue"].sum())
    assert found["expected_value"] == pytest.approx(
        analysis.lifetime.predict(180).expected_value.sum().to_pandas()
    )


# Summaries by pandas ----------------------------------------------------------------


def test_values_by_source_agree_with_pandas(analysis, table):
    found = analysis.value_summary.by_source.set_index("source")
    assert found.index.tolist() == ["all", *sorted(table["source"].unique())]
    buyers = table[table["n_purchases"] > 0]
    for source in found.index:
        rows = buyers if source == "all" else buyers[buyers["source"] == source]
        value = rows["lifetime_value"]
        reach = 1.959963984540054 * value.std(ddof=1) / math.sqrt(len(rows))
        expected = [
            len(rows), rows["revenue"].mean(), rows["expected_value"].mean(),
            value.mean(), value.mean() - reach, value.mean() + reach,
        ]  # fmt: skip
        assert found.loc[source].tolist() == pytest.approx(expected)


def test_deciles_agree_with_pandas(analysis, table):
    found = analysis.value_summary.deciles
    worth = (table["n_purchases"] > 0) | (table["social_value"] != 0)
    ranked = table[worth | (table["revenue"] != 0)].sort_values(
        ["total_value", "person_id"], ascending=[False, True]
    )
    money = ["revenue", "given_value", "social_value", "total_value"]
    parts = np.array_split(np.arange(len(ranked)), 10)
    assert found["decile"].tolist() == list(range(1, 11))
    assert found["n_people"].tolist() == [len(part) for part in parts]
    for row, part in zip(found.to_dict("records"), parts, strict=True):
        summed = ranked.iloc[part][money].sum()
        assert [row[c] for c in money] == pytest.approx(summed.tolist())
    # Nothing is lost: the tenths hold all the revenue of the shop.
    assert found["total_value"].sum() == pytest.approx(table["revenue"].sum())
    assert found["total_value"].is_monotonic_decreasing
    assert found["share_total"].sum() == pytest.approx(1)
    assert found["share_total"].iloc[0] == pytest.approx(
        found["total_value"].iloc[0] / table["total_value"].sum()
    )


def test_the_histogram_counts_every_buyer(analysis, table):
    found = analysis.value_summary.histogram
    buyers = table[table["n_purchases"] > 0]
    group = np.where(buyers["source"] == "referral", "referral", "direct")
    assert analysis.value_summary.value_column == "lifetime_value"
    assert len(found) == 2 * N_BINS
    for name, rows in found.groupby("source_group"):
        value = buyers.loc[group == name, "lifetime_value"]
        edges = [*rows["low_value"], math.inf]
        expected, _ = np.histogram(value, bins=edges)
        assert rows["n_people"].tolist() == expected.tolist()
        assert rows["n_people"].sum() == len(value)
        assert rows["share"].sum() == pytest.approx(1)
        assert rows["high_value"].tolist() == edges[1:]
    # Round widths, and about one buyer in forty in the open bar at the end.
    width = found["high_value"].iloc[0]
    assert f"{width:e}"[:3] in ("1.0", "2.0", "2.5", "5.0")
    assert found["n_people"].iloc[-2:].sum() < 0.05 * len(buyers)


def test_advocates_are_the_top_by_social_value(analysis, table):
    found = analysis.value_summary.advocates
    assert shops.has_columns(found, "customer_value")
    expected = table[table["social_value"] > 0].sort_values(
        ["social_value", "person_id"], ascending=[False, True]
    )
    assert len(found) == N_ADVOCATES
    assert found["person_id"].tolist() == expected["person_id"].head(50).tolist()


def test_totals_agree_with_pandas(analysis, table):
    found = analysis.value_summary.totals
    assert set(found) == TOTALS
    buyers = table[table["n_purchases"] > 0]
    for name in ("revenue", "given_value", "social_value", "total_value"):
        assert found[name] == pytest.approx(table[name].sum())
    assert found["total_value"] == pytest.approx(found["revenue"])
    assert found["social_value"] == pytest.approx(found["given_value"])
    assert found["n_buyers"] == len(buyers)
    referred = (buyers["source"] == "referral").sum()
    assert found["referred_buyers"] == referred
    assert found["share_referred"] == referred / len(buyers)
    assert found["social_per_buyer"] == pytest.approx(
        table["social_value"].sum() / len(buyers)
    )


def test_summaries_have_their_columns(analysis, retail):
    for summary in (analysis.value_summary, retail.value_summary):
        for name, columns in SUMMARIES.items():
            assert getattr(summary, name).columns.tolist() == columns, name
        assert set(summary.totals) == TOTALS


# By hand ----------------------------------------------------------------------------


def test_a_small_summary_by_hand():
    # ann (30) brings bob (20) and eve, who never buys; staff brings cat (10); dan has
    # refunds only. Halving: bob gives 10 to ann, cat 5 to staff.
    events = sl.read_events(
        orders(("ann", 0, 30), ("bob", 2, 20), ("cat", 3, 10), ("dan", 4, -6)),
        referrals(("ann", "bob", 1), ("ann", "eve", 1), ("staff", "cat", 1)),
    )
    summary = summarise(bare(events))
    assert summary.totals == {
        "n_buyers": 3, "revenue": 54, "given_value": 15, "social_value": 15,
        "total_value": 54, "expected_value": None, "social_per_buyer": 5,
        "referred_buyers": 2, "share_referred": 2 / 3,
    }  # fmt: skip
    # Five people in as many tenths, by total value: ann 40, bob 10, then cat and
    # staff 5 each, dan -6. eve neither bought nor was credited.
    assert summary.deciles["n_people"].tolist() == [1] * 5
    assert summary.deciles["total_value"].tolist() == [40, 10, 5, 5, -6]
    assert summary.advocates["person_id"].tolist() == ["ann", "staff"]
    assert summary.value_column == "revenue"
    source = summary.by_source.set_index("source")
    assert source["n_buyers"].to_dict() == {"all": 3, "referral": 2, "unknown": 1}
    assert source["revenue_per_buyer"].to_dict() == {
        "all": 20, "referral": 15, "unknown": 30,
    }  # fmt: skip
    assert source[["expected_per_buyer", "low", "high"]].isna().all(axis=None)
    # Bars: the largest revenues are near 30, over 20 bars 1.475 each, so 2; referred
    # bob and cat in the bars from 20 and 10, ann in that from 30.
    bars = summary.histogram[summary.histogram["n_people"] > 0]
    assert dict(zip(bars["low_value"], bars["source_group"], strict=True)) == {
        10: "referral", 20: "referral", 30: "direct",
    }  # fmt: skip


def test_the_summary_does_not_depend_on_row_order(untidy_events, shuffled_events):
    expected, found = (summarise(bare(e)) for e in (untidy_events, shuffled_events))
    for name in (*SUMMARIES, "advocates"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(expected, name))
    assert found.totals == pytest.approx(expected.totals)


def test_ten_times_the_money_scales_the_summary(untidy_events, richer_events):
    expected, found = (summarise(bare(e)) for e in (untidy_events, richer_events))
    for name in ("revenue", "given_value", "social_value", "social_per_buyer"):
        assert found.totals[name] == pytest.approx(10 * expected.totals[name])
    assert found.deciles["n_people"].equals(expected.deciles["n_people"])
    assert found.deciles["share_total"].to_numpy() == pytest.approx(
        expected.deciles["share_total"].to_numpy()
    )
    assert found.histogram["n_people"].equals(expected.histogram["n_people"])


# What is missing --------------------------------------------------------------------


def test_real_orders_have_no_referral_side(retail):
    assert retail.unavailable == {
        "acquisition cost": "no table of spend",
        "conversion": "no table of visits",
        "referral": "no table of referrals",
    }
    assert retail.network is None
    assert retail.lifetime.n_people == 1076
    totals = retail.value_summary.totals
    for name in ("given_value", "social_value", "total_value", "social_per_buyer",
                 "referred_buyers", "share_referred"):  # fmt: skip
        assert totals[name] is None
    assert totals["n_buyers"] == 1076
    assert totals["revenue"] == pytest.approx(1_828_066.141, abs=1e-6)
    assert retail.value_summary.deciles.empty
    assert retail.value_summary.advocates.empty
    assert retail.value_summary.histogram["source_group"].unique().tolist() == [
        "direct"
    ]
    assert retail.value_summary.histogram["n_people"].sum() == 1076


NOBODY_TWICE = orders(*((f"c{i:02d}", i, 10) for i in range(20)))
SMALL = {
    "only guests": (orders((None, 0, 5), (None, 9, 5)), None, None),
    "only refunds": (
        orders(("a", 0, -5), ("b", 3, -1)),
        referrals(("a", "b", 0)),
        None,
    ),
    "one customer": (orders(("a", 3, 5)), None, visits(("a", 0, "ads"))),
    "nobody twice": (NOBODY_TWICE, referrals(("c00", "c05", 2)), None),
    "one referrer": (
        NOBODY_TWICE,
        referrals(*(("c00", f"c{i:02d}", 0) for i in range(1, 20))),
        visits(("c00", 0, None)),
    ),
    "a staff referrer": (
        NOBODY_TWICE,
        referrals(*(("staff", f"c{i:02d}", 0) for i in range(20))),
        None,
    ),
}


@pytest.fixture(scope="module", params=SMALL)
def edge(request):
    table, brought, came = SMALL[request.param]
    events = sl.read_events(table, brought, visits=came)
    return request.param, sl.analyze(events)


def test_small_shops_say_what_they_cannot_tell(edge):
    name, analysis = edge
    missing = set(analysis.unavailable)
    given = analysis.events.has
    assert ("conversion" in missing) == ("visits" not in given)
    assert ("referral" in missing) == ("referrals" not in given)
    assert (analysis.network is None) == ("referrals" not in given)
    # None of them has anybody who bought twice.
    assert analysis.lifetime is None
    few = name in ("only guests", "only refunds", "one customer")
    reason = "at least 10 buyers" if few else "bought a second time"
    assert reason in analysis.unavailable["lifetime value"]


def test_small_shops_add_up(edge):
    name, analysis = edge
    totals = analysis.value_summary.totals
    n_buyers = {"only guests": 0, "only refunds": 0, "one customer": 1}.get(name, 20)
    assert totals["n_buyers"] == n_buyers
    assert totals["expected_value"] is None
    if analysis.network is not None:
        assert totals["total_value"] == pytest.approx(totals["revenue"])
        assert totals["social_value"] == pytest.approx(totals["given_value"])
    stages = analysis.funnel.stages.set_index("stage")["n_reached"]
    assert stages["conversion"] == n_buyers
    assert stages["repurchase"] == 0


def test_small_shops_have_the_columns_of_the_schema(edge):
    _, analysis = edge
    assert shops.has_columns(analysis.funnel.stages, "funnel_stages")
    assert shops.has_columns(analysis.funnel_by_source.windows, "funnel_windows")
    assert shops.has_columns(analysis.cohorts.table, "cohorts")
    assert shops.has_columns(analysis.loop.months, "loop_months")
    assert shops.has_columns(analysis.loop.reproduction, "reproduction")
    assert shops.has_columns(analysis.loop.curve, "reproduction_curve")
    assert shops.has_columns(analysis.values, "customer_value")
    for part, columns in SUMMARIES.items():
        assert getattr(analysis.value_summary, part).columns.tolist() == columns


def test_small_shops_show_themselves(edge):
    _, analysis = edge
    for part, why in analysis.unavailable.items():
        assert f"no {part}" in repr(analysis)
        assert why.split(" - ", maxsplit=1)[0] in repr(analysis)
        assert f"no {part}" in analysis._repr_html_()


def test_a_hostile_shop_is_inert():
    bad = shops.HOSTILE
    events = sl.read_events(
        orders((bad, 0, 1), ("b", 3, 1)),
        referrals((bad, "b", 1)),
        visits=visits((bad, 0, bad)),
    )
    analysis = sl.analyze(events)
    page = analysis._repr_html_() + analysis.network._repr_html_()
    assert "<script>" not in page
    assert analysis.value_summary.advocates["person_id"].tolist() == [bad]


def test_the_analysis_shows_share_and_r_together(analysis):
    shown = repr(analysis)
    assert f"{analysis.loop.headline['r']:.3f}" in shown
    assert f"{analysis.loop.share_orders * 100:.1f} %" in shown


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"rule": "equal"}, "rule must be one of"),
        ({"horizon_days": 0}, "horizon_days must be at least 1"),
        ({"discount_rate": -1}, "discount_rate must be at least 0"),
    ],
)
def test_settings_are_checked_before_the_work(simulated_events, setting, message):
    said = []
    with pytest.raises(SettingError, match=message):
        sl.analyze(simulated_events, progress=said.append, **setting)
    assert said == []


def test_the_model_of_purchases_can_be_chosen():
    shop = sl.simulate(n_visitors=2000, seed=7)
    events = sl.read_events(shop.orders)
    analysis = sl.analyze(events, model="bg_nbd")
    assert analysis.lifetime.model == analysis.backtest.model.model == "bg_nbd"
    assert analysis.lifetime.choice is None
    # The same model at the same cut as the one that a choice would be tested with.
    cut = sl.compare_models(events, ["bg_nbd"]).cut
    assert (analysis.backtest.at, analysis.backtest.horizon_days) == cut
    discrete = sl.analyze(events, model="bg_bb")
    assert discrete.lifetime.model == "bg_bb"
    assert discrete.backtest is None
    assert "opportunities" in discrete.unavailable["backtest"]
    with pytest.raises(SettingError, match="model must be one of 'auto'"):
        sl.analyze(events, model="best")
