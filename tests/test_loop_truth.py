"""Known truth, many shops: worth, months to come, stages, and R under any ads."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from loop_shops import DrawnShop
from scipy.optimize import brentq
from scipy.special import hyp2f1

import selfloop as sl
from selfloop.inputs.shop import Shop, Source
from selfloop.inputs.shop_truth import (
    _conversion,
    _first_success,
    _reproduction,
    _second_day,
)
from selfloop.measures.loop.ahead import projected
from selfloop.measures.loop.cells import ARRAYS, loop_cells
from selfloop.measures.loop.leverage import leverage_of
from selfloop.measures.loop.swings import swings
from selfloop.measures.loop.value import OUTSIDE, value_of

END = date(2025, 6, 30)
N_RUNS = 300


def test_drawn_cells_are_those_of_the_engine():
    drawn = DrawnShop(Shop(), n_visitors=1500, seed=5, days=400)
    shop = sl.simulate(n_visitors=1500, seed=5, days=400)
    events = sl.read_events(
        shop.orders, shop.referrals, visits=shop.visits, end="2025-02-03"
    )
    found, other = loop_cells(events), drawn.cells()
    assert found.source == other.source
    for name in ARRAYS:
        # Groups are by the hash of ids there and drawn here.
        sums = [getattr(cells, name).sum(axis=1) for cells in (found, other)]
        np.testing.assert_allclose(*sums, rtol=1e-12, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(found.daily, other.daily, atol=1e-9)
    one, two = swings(events, n_days=100), drawn.swings(100, 399)
    assert one.window_days == two.window_days
    assert one.window == pytest.approx(two.window)
    assert one.block == pytest.approx(two.block)
    assert one.shared == pytest.approx(two.shared)
    assert one.shared["orders"] > 0


# Worth and months to come: bias and coverage


def own_value(shop, horizon):
    """Return what a buyer spends by an age; the first order has any time of day.

    Repeat purchases by Fader, Hardie and Lee (2005), equation 9.
    """
    r, alpha = shop.purchase_r, shop.purchase_alpha_days
    a, b = shop.dropout_a, shop.dropout_b
    age = horizon + (np.arange(100) + 0.5) / 100
    z = age / (alpha + age)
    left = (alpha / (alpha + age)) ** r * hyp2f1(r, b, a + b - 1, z)
    repeat = (a + b - 1) / (a - 1) * (1 - left)
    mean = shop.spend_p * shop.spend_v / (shop.spend_q - 1)
    return mean * (1 + float(np.mean(repeat)))


def true_values(shop, horizon):
    """Return V of each source, by the formula on the true parameters."""
    r, own = _reproduction(shop, horizon), own_value(shop, horizon)
    each = own + r * own / (1 - r)
    parts = {"paid": 0.0, "organic": 0.0}
    shares = dict(parts)
    for i, source in enumerate(shop.sources):
        name = "paid" if source.is_paid else "organic"
        shares[name] += source.share
        parts[name] += source.share * _conversion(shop, i, horizon)
    values = {name: parts[name] / shares[name] * each for name in parts}
    return values | {
        "referral": _conversion(shop, len(shop.sources), horizon) * each,
        OUTSIDE: sum(parts.values()) * each,
    }


def one_run(shop, truth, seed):
    """Return errors and hits of one shop, known to day 540 of 720."""
    drawn, cut = DrawnShop(shop, n_visitors=2500, seed=seed, days=720), 539
    cells = drawn.cells(cut)
    line = {"n_buyers": cells.followup.sum(), "brought": cells.brought.sum()}
    rows = value_of(cells, by="source", horizon_days=365, margin=1.0, end=END).table
    for name, true in truth.items():
        row = rows.set_index("segment").loc[name]
        line[name] = row["visitor_value"] / true - 1
        low, high = row["visitor_value_low"], row["visitor_value_high"]
        line[f"{name}_in"] = low <= true <= high
    # To the end of 2025 from 30 June: 184 days; 180 have happened.
    ahead = projected(
        cells, drawn.swings(180, cut), end=date(2025, 7, 4), months=5, recent_days=90,
        targets={},
    ).totals.iloc[0]  # fmt: skip
    assert ahead["horizon_days"] == 180
    happened = drawn.happened(cut + 1, 719)
    for name, actual in happened.items():
        line[name] = ahead[name] / actual - 1
        line[f"{name}_in"] = ahead[f"{name}_low"] <= actual <= ahead[f"{name}_high"]
    return line


@pytest.fixture(scope="module")
def runs():
    shop = Shop()
    truth = true_values(shop, 365)
    return pd.DataFrame([one_run(shop, truth, 5000 + i) for i in range(N_RUNS)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paid", "organic", "referral", OUTSIDE])
def test_values_of_visitors_are_unbiased_and_covered(runs, name):
    error = runs[name]
    assert abs(error.mean()) < 0.03
    assert 0.92 <= runs[f"{name}_in"].mean() <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("name", ["buyers", "orders", "revenue"])
def test_the_next_half_year_is_unbiased_and_covered(runs, name):
    error = runs[name]
    assert abs(error.mean()) < 0.02
    assert 0.92 <= runs[f"{name}_in"].mean() <= 0.98


@pytest.mark.slow
def test_counting_referrals_per_buyer_is_too_low(runs):
    naive = runs["brought"] / runs["n_buyers"]
    assert naive.mean() < 0.93 * _reproduction(Shop(), 365)


# Value: followed to the end


@pytest.mark.slow
def test_v_is_what_visitors_turn_out_to_be_worth():
    # Customers who buy fast and leave soon, so that all is over in 500 days.
    shop = Shop(purchase_r=3, purchase_alpha_days=20, dropout_a=2, dropout_b=3)
    drawn = DrawnShop(shop, n_visitors=60_000, seed=11, days=1500)
    spent = np.bincount(drawn.person, drawn.value, drawn.source.size)
    # Everybody stands after the one who invited them: pass all up, the last first.
    total = spent.copy()
    for person in range(total.size - 1, -1, -1):
        if drawn.inviter[person] >= 0:
            total[drawn.inviter[person]] += total[person]
    table = value_of(drawn.cells(), by="source", horizon_days=500, margin=1.0, end=END)
    rows = table.table.set_index("segment")
    early = drawn.arrived < 700
    for source in ("paid", "organic"):
        followed = total[early & (drawn.source == source)]
        error = followed.std() / np.sqrt(followed.size)
        row = rows.loc[source]
        known_to = (row["visitor_value_high"] - row["visitor_value_low"]) / 3.92
        gap = row["visitor_value"] - followed.mean()
        assert abs(gap) < 3 * np.hypot(error, known_to)
        assert error < 0.05 * followed.mean()


# Stages: the same order as by simulating again


def changed_shop(shop, stage):
    """Return the shop with 10 % more of a stage."""
    if stage == "conversion":
        sources = tuple(
            Source(s.channel, s.share, 1.1 * s.conversion, s.delay_shape, s.delay_days,
                   s.cost_per_visitor)
            for s in shop.sources
        )  # fmt: skip
        more = 1.1 * shop.referral_conversion
        return Shop(**(vars(shop) | {"sources": sources, "referral_conversion": more}))
    rate, name, low, high = {
        "repurchase": (_second_day, "purchase_alpha_days", 10.0, 400.0),
        "referral": (_first_success, "invitations", 0.1, 5.0),
    }[stage]
    goal = 1.1 * rate(shop, 90)

    def gap(value):
        return rate(Shop(**(vars(shop) | {name: value})), 90) - goal

    return Shop(**(vars(shop) | {name: brentq(gap, low, high, xtol=1e-4)}))


@pytest.mark.slow
def test_stages_rank_as_simulating_again_ranks_them():
    shop = Shop(invitations=1.4, purchase_alpha_days=120, invitation_k=2)
    worth = {}
    for stage in ("now", "conversion", "repurchase", "referral"):
        other = shop if stage == "now" else changed_shop(shop, stage)
        drawn = DrawnShop(other, n_visitors=40_000, seed=3, days=1200)
        worth[stage] = drawn.value.sum() / 40_000
    gains = {stage: worth[stage] - worth["now"] for stage in worth if stage != "now"}
    gains["traffic"] = 0.1 * worth["now"]
    by_simulation = sorted(gains, key=lambda stage: -gains[stage])
    drawn = DrawnShop(shop, n_visitors=40_000, seed=3, days=1200)
    found = leverage_of(drawn.cells(), horizon_days=1000, recent_days=90, end=END)
    rows = found.table[found.table["step"] == "+10%"]
    by_value = rows.sort_values("value_gain", ascending=False)["stage"].tolist()
    assert by_value == by_simulation == ["conversion", "referral", "traffic",
                                         "repurchase"]  # fmt: skip


def happened_with(drawn, cut, stage, factor):
    """Return next revenue, if more people reach a stage from the cut on.

    Everybody who is won at a step has as many copies as the factor says, and all who
    follow from them have too: in a branching process that is what is expected of
    simulating again with the stage changed.
    """
    first, inviter = drawn.first, drawn.inviter
    own = np.ones(first.size)
    invited = inviter >= 0
    if stage == "traffic":
        own[~invited & (drawn.arrived > cut)] = factor
    elif stage == "conversion":
        own[first > cut] = factor
    elif stage == "referral":
        own[invited & (first > cut)] = factor
    copies = own
    for _ in range(100):
        more = own * np.where(invited, copies[inviter], 1.0)
        if (more == copies).all():
            break
        copies = more
    rows = drawn.day > cut
    each = copies[drawn.person[rows]]
    if stage == "repurchase":
        each = np.where(drawn.day[rows] > first[drawn.person[rows]], factor, 1.0)
    return float((drawn.value[rows] * each).sum())


@pytest.mark.slow
def test_gains_of_next_year_are_those_of_simulating_again():
    shop, cut, runs = Shop(invitations=1.4, purchase_alpha_days=120), 539, []
    for seed in range(40):
        drawn = DrawnShop(shop, n_visitors=2500, seed=700 + seed, days=540 + 365)
        found = leverage_of(
            drawn.cells(cut), horizon_days=365, recent_days=90, end=END
        ).table
        found = found[found["step"] == "+10%"].set_index("stage")
        same = happened_with(drawn, cut, "none", 1.0)
        for stage, row in found.iterrows():
            gain = happened_with(drawn, cut, stage, 1.1) - same
            runs.append((stage, row["revenue_gain"], gain))
    table = pd.DataFrame(runs, columns=["stage", "found", "again"])
    mean = table.groupby("stage").mean()
    # The mean of 40 shops is known to 4 %; those of 150 were .97 to 1.02.
    np.testing.assert_allclose(mean["found"] / mean["again"], 1, atol=0.09)
    ranks = mean.rank()
    assert (ranks["found"] == ranks["again"]).all()


# One loop, four histories of advertising


def trees_kept(shop, share_of_day):
    """Return the events of a shop whose visitors from outside come less on some days.

    Trees do not depend on each other, so leaving out whole trees by the day on which
    their first person came is a shop with fewer visitors on those days.
    """
    start = shop.visits["visited_at"].min().normalize()
    parent = shop.referrals.set_index("referee_id")["referrer_id"].to_dict()
    first = shop.visits.groupby("visitor_id")["visited_at"].min()
    day = (first - start).dt.days
    draw = pd.Series(
        np.random.default_rng(9).random(len(first)), index=sorted(first.index)
    )
    roots = {}

    def root(person):
        path = []
        while person in parent and person not in roots:
            path.append(person)
            person = parent[person]
        top = roots.get(person, person)
        roots.update(dict.fromkeys(path, top))
        return top

    kept = {p for p in first.index if draw[root(p)] < share_of_day(day[root(p)])}
    return (
        shop.orders[shop.orders["customer_id"].isin(kept)],
        shop.referrals[shop.referrals["referee_id"].isin(kept)],
        shop.visits[shop.visits["visitor_id"].isin(kept)],
    )


HISTORIES = {
    "growing": lambda day: 0.15 + 0.85 * day / 720,
    "flat": lambda _: 0.6,
    "halved": lambda day: 0.8 if day < 420 else 0.4,
    "off": lambda day: 0.8 if day < 420 else 0.0,
}


@pytest.mark.slow
def test_r_stays_and_the_share_moves_with_advertising():
    only_ads = (Source("ads", 1.0, 0.25, cost_per_visitor=2.0),)
    few_repeat = {"purchase_r": 0.3, "purchase_alpha_days": 60, "dropout_a": 2.0,
                  "dropout_b": 3.0}  # fmt: skip
    shop = sl.simulate(15_000, seed=21, shop=Shop(sources=only_ads, **few_repeat))
    truth, shares = shop.truth.reproduction[180], {}
    for name, share_of_day in HISTORIES.items():
        orders, referrals, visits = trees_kept(shop, share_of_day)
        events = sl.read_events(orders, referrals, visits=visits, end="2025-12-20")
        loop = sl.self_loop(events)
        row = loop.reproduction.set_index("horizon_days").loc[180]
        assert row["r_low"] <= truth <= row["r_high"], name
        late = loop.months[loop.months["status"] == "complete"].tail(2)
        carried = late["n_repeat"] + late["n_first_referral"]
        shares[name] = carried.sum() / late["n_orders"].sum()
    assert shares["growing"] < shares["flat"] < shares["halved"] < shares["off"]
    assert 0.65 < shares["growing"] < 0.75
    assert shares["off"] > 0.995
