"""Referrals to come: by hand, plain pandas, simulated truth, holdout, edges."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from scipy import stats
from scipy.optimize import minimize_scalar
from small_shops import date_of, orders, referrals

import selfloop as sl
from selfloop.core import schema
from selfloop.core.errors import FitError, MissingTableError, SettingError
from selfloop.kernels.calibration import tenths
from selfloop.kernels.referring import expected_more
from selfloop.measures.referral import ahead
from selfloop.measures.referral.fit import _lifts
from selfloop.measures.referral.histories import N_GROUPS, Ages, Histories, histories
from selfloop.measures.referral.shape import Shape, estimate

# By hand ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_hand():
    """36 buyers on day 0, of whom one brings a buyer on each of the days 1 to 6.

    Ten more buyers come on day 18; the last day is 20. 42 buyers are observed at ages
    3 to 14 and 52 at ages 0 to 2.
    """
    first = [(f"old{i:02d}", 0, 10) for i in range(36)]
    brought = [(f"new{i}", i, 30) for i in range(1, 7)]
    late = [(f"late{i}", 18, 10) for i in range(10)]
    return sl.read_events(
        orders(*first, *brought, *late, ("new1", 11, 12)),
        referrals(*(("old00", f"new{i}", i - 1) for i in range(1, 7))),
        end=date_of(20),
    )


MEAN = np.cumsum([0, 1 / 52, 1 / 52, *[1 / 42] * 4])


def test_curve_and_k_by_hand(by_hand):
    model = sl.fit_referrals(by_hand)
    assert (model.n_people, model.n_referrers, model.n_referrals) == (52, 1, 6)
    # 36 buyers are observed to day 20, and nobody longer.
    assert model.longest_days == 20
    curve = model.to_frame()
    assert curve["mean"].to_numpy()[:7] == pytest.approx(MEAN)
    assert (curve["mean"][6:] == curve["mean"][6]).all()

    def loss(log_k):
        k = math.exp(log_k)
        y = np.array([6, 0, 0])
        mean = np.array([MEAN[6], MEAN[6], MEAN[2]])
        return -stats.nbinom.logpmf(y, k, k / (k + mean)) @ [1, 41, 10]

    best = minimize_scalar(
        loss, bounds=(-12, 5), method="bounded", options={"xatol": 1e-10}
    )
    assert model.k == pytest.approx(math.exp(best.x), rel=1e-5)
    assert model.k_low < model.k < model.k_high


def test_people_by_hand(by_hand):
    model = sl.fit_referrals(by_hand)
    table = model.predict(4).to_pandas()
    assert list(table.columns) == schema.names("referrals_ahead")
    found = table.set_index("person_id")
    k = model.k
    late = found.loc["late3"]
    assert (late["age_days"], late["n_brought"]) == (2, 0)
    assert late["tendency"] == pytest.approx(k / (k + MEAN[2]))
    # They are 6 days old then: 4 / 42 are brought at ages 3 to 6.
    assert late["expected_referrals"] == pytest.approx(
        k / (k + MEAN[2]) * 4 / 42, abs=1e-6
    )
    one = found.loc["old00"]
    assert (one["age_days"], one["n_brought"]) == (20, 6)
    assert one["tendency"] == pytest.approx((k + 6) / (k + MEAN[6]))
    beyond = model.shape.at(np.array([24.0])) - model.shape.at(np.array([20.0]))
    assert one["expected_referrals"] == pytest.approx(
        one["tendency"] * beyond[0], abs=1e-6
    )
    # Nobody brings anybody after day 6, so that hardly anything is left.
    assert one["expected_referrals"] < 0.05
    total = model.total(4).referrals
    assert found["expected_referrals"].sum() == pytest.approx(total, abs=1e-4)


def test_worth_by_hand(by_hand):
    """Six people brought buy for 30 at age 0; one of them for 12 more at age 10.

    They are too few for the usual rule, so it is asked for them alone.
    """
    model = sl.fit_referrals(by_hand)
    one = model.worth()
    assert math.isnan(one.value)
    assert one.reason == "6 people brought have bought, need 30"
    table = model.predict(4).to_pandas()
    assert table["expected_social_value"].isna().all()
    assert table["social_value_high"].isna().all()
    assert table["expected_referrals"].notna().all()


@pytest.fixture(scope="module")
def thirty():
    """One person brings 40 buyers, of whom one brings 10 more; all observed 20 days.

    On day 0 root buys; on day 1 forty people, who spend 30; ten more on day 2. On
    day 5 half of the forty spend 8 more. The last day is 22.
    """
    forty = [(f"a{i:02d}", 1, 30) for i in range(40)]
    ten = [(f"b{i}", 2, 30) for i in range(10)]
    again = [(f"a{i:02d}", 5, 8) for i in range(20)]
    return sl.read_events(
        orders(("root", 0, 1), *forty, *ten, *again),
        referrals(
            *(("root", who, 0) for who, *_ in forty),
            *(("a39", who, 1) for who, *_ in ten),
        ),
        end=date_of(22),
    )


def test_worth_is_own_value_and_all_who_follow(thirty):
    one = sl.fit_referrals(thirty).worth()
    # 50 people were brought: 50 x 30 at age 0, and 20 x 8 at age 4 of 50 observed.
    own = 30 + 20 * 8 / 50
    # They brought ten at age 1: 10 / 50.
    assert one.own_value == pytest.approx(own)
    assert one.r == pytest.approx(0.2)
    assert one.value == pytest.approx(own / 0.8)
    assert (one.n_people, one.value_days, one.r_days) == (50, 21, 21)
    assert one.value_low < one.value < one.value_high
    kept = sl.fit_referrals(thirty).worth(margin=0.25)
    assert kept.value == pytest.approx(own / 0.8 / 4)
    soon = sl.fit_referrals(thirty).worth(value_days=3)
    assert soon.own_value == pytest.approx(30)
    assert soon.value_days == 3


def test_spread_of_worth(thirty):
    model = sl.fit_referrals(thirty)
    one = model.worth()
    # All but the ten are observed for the 21 days that count.
    spent = np.array([38.0] * 20 + [30.0] * 20)
    offspring = 0.2 + 0.04 / model.k
    variance = (spent.var(ddof=1) + offspring * one.value**2) / 0.8
    assert one.spread == pytest.approx(math.sqrt(variance))


def test_people_who_bring_as_many_again_have_no_finite_worth():
    """Forty people each bring one, who bring one each."""
    a = [(f"a{i}", 0, 5) for i in range(40)]
    b = [(f"b{i}", 1 + i % 3, 5) for i in range(40)]
    c = [(f"c{i}", 4 + i % 3, 5) for i in range(40)]
    d = [(f"d{i}", 8 + i % 3, 5) for i in range(40)]
    pairs = [
        (x[0], y[0], y[1] - 1)
        for q, r in ((a, b), (b, c), (c, d))
        for x, y in zip(q, r, strict=True)
    ]
    events = sl.read_events(orders(*a, *b, *c, *d), referrals(*pairs), end=date_of(60))
    one = sl.fit_referrals(events).worth()
    assert one.r == pytest.approx(2 / 3)
    # Each of the last forty brings four more on the last day but one: of those who
    # were brought, hardly any has had time to do the same.
    more = sl.read_events(
        orders(*a, *b, *c, *d, *((f"e{i}", 12, 5) for i in range(160))),
        referrals(*pairs, *((f"d{i % 40}", f"e{i}", 11) for i in range(160))),
        end=date_of(13),
    )
    none = sl.fit_referrals(more).worth()
    assert math.isnan(none.value)
    assert "their value has no end" in none.reason
    assert none.own_value == pytest.approx(5)


def test_people_who_give_back_more_than_they_buy_have_no_worth():
    """As `thirty`, but everybody who was brought gives back 50 after three days."""
    forty = [(f"a{i:02d}", 1, 30) for i in range(40)]
    back = [(f"a{i:02d}", 4, -50) for i in range(40)]
    events = sl.read_events(
        orders(("root", 0, 1), *forty, *back),
        referrals(*(("root", who, 0) for who, *_ in forty)), end=date_of(22),
    )  # fmt: skip
    model = sl.fit_referrals(events)
    one = model.worth()
    assert one.own_value == pytest.approx(-20)
    assert math.isnan(one.value)
    assert "given back as much as they bought" in one.reason
    total = model.total(5)
    assert np.isnan(total[7:]).all()
    table = model.predict(5).to_pandas()
    assert table[["social_value_low", "social_value_high"]].isna().all(axis=None)
    assert model.worth(value_days=2).value == pytest.approx(30)


# Plain pandas -----------------------------------------------------------------------


def test_histories_are_those_of_plain_pandas():
    shop = shops.random_shop(n_people=700)
    events = sl.read_events(*shop[:2], visits=shop.visits, end=date_of(320))
    model = sl.fit_referrals(events)
    people = sl.people(events).to_pandas().set_index("person_id")
    buyers = people[people["first_order_at"].notna()].copy()
    buyers["day"] = buyers["first_order_at"].dt.normalize()
    brought = buyers[buyers["referrer_id"].isin(buyers.index)]
    own = buyers["day"].reindex(brought["referrer_id"]).to_numpy()
    made = brought[brought["day"].to_numpy() >= own]
    count = made.groupby("referrer_id").size().reindex(buyers.index, fill_value=0)
    assert count.sum() >= 10
    found = model.predict(30).to_pandas().set_index("person_id")
    assert set(found.index) == set(buyers.index)
    assert (found["n_brought"] == count.reindex(found.index)).all()
    age = (pd.Timestamp(events.end) - buyers["day"]).dt.days
    assert (found["age_days"] == age.reindex(found.index)).all()
    assert model.n_referrals == len(made)


def test_r_is_that_of_the_loop():
    shop = sl.simulate(3000, seed=3, days=300)
    events = sl.read_events(shop.orders, shop.referrals)
    model = sl.fit_referrals(events)
    loop = sl.self_loop(events)
    assert model.longest_days == loop.horizon_days
    assert model.r == pytest.approx(loop.headline["r"], rel=1e-12)


def test_row_order_does_not_matter_and_money_is_money():
    shop = sl.simulate(3000, seed=3, days=300)
    one = sl.fit_referrals(sl.read_events(shop.orders, shop.referrals))
    orders_ = shop.orders.sample(frac=1, random_state=1)
    orders_["amount"] = orders_["amount"] * 3
    other = sl.fit_referrals(
        sl.read_events(orders_, shop.referrals.sample(frac=1, random_state=2))
    )
    a = one.predict(90).to_pandas().set_index("person_id").sort_index()
    b = other.predict(90).to_pandas().set_index("person_id").sort_index()
    money = ["expected_social_value", "social_value_low", "social_value_high"]
    pd.testing.assert_frame_equal(a.drop(columns=money), b.drop(columns=money))
    pd.testing.assert_frame_equal(3 * a[money], b[money], rtol=1e-9)
    assert (a["n_referrals_low"] <= a["n_referrals_high"]).all()
    assert (a["social_value_low"] <= a["social_value_high"]).all()
    assert 3 * one.total().value == pytest.approx(other.total().value)


def test_the_past_is_what_it_was():
    """Fitted at a day, as if the data ended there."""
    shop = sl.simulate(3000, seed=4, days=300)
    tables = shop.orders, shop.referrals
    whole = sl.read_events(*tables)
    at = whole.end - pd.Timedelta(days=80)
    cut = sl.fit_referrals(sl.read_events(*tables, end=at))
    past = sl.fit_referrals(whole, at=at)
    assert past.k == pytest.approx(cut.k, rel=1e-9)
    assert past.total(60)[:7] == pytest.approx(cut.total(60)[:7], rel=1e-9)
    assert past.worth()[:8] == pytest.approx(cut.worth()[:8], rel=1e-9)


# Truth ------------------------------------------------------------------------------


def drawn(rng, *, n=1500, k=0.5, total=0.6, scale=60.0, days=400, ahead_days=90):
    """Draw customers, whom they bring in time, and what they bring after the end.

    Referrals are Poisson with mean theta * total * (1 - exp(-age / scale)).
    """
    age = rng.integers(0, days, n)
    count = rng.poisson(total * rng.gamma(k, 1 / k, n))
    owner = np.repeat(np.arange(n), count)
    when = np.floor(rng.exponential(scale, owner.size)).astype(int)
    inside = when <= age[owner]
    soon = (when > age[owner]) & (when <= age[owner] + ahead_days)
    y = np.bincount(owner[inside], minlength=n).astype(float)
    later = np.bincount(owner[soon], minlength=n).astype(float)
    group = rng.integers(0, N_GROUPS, n)
    followup, made = (np.zeros((N_GROUPS, days), dtype=np.int64) for _ in range(2))
    np.add.at(followup, (group, age), 1)
    np.add.at(made, (group[owner[inside]], when[inside]), 1)
    whom = Histories(
        events=None, end=None, people=None, covariates=(),
        group=group.astype(float), age=age.astype(float), y=y,
        n_people=np.ones(n), design=np.empty((n, 0)), values={},
        ages=Ages(followup, made),
    )  # fmt: skip
    return whom, later


def model_of(whom):
    """Fit as `fit_referrals` does, without events."""
    at_risk = whom.ages.n_followup.sum(axis=0)[::-1].cumsum()[::-1]
    last = int(np.flatnonzero(at_risk >= 30)[-1]) + 1
    found = estimate(whom, whom.ages.n_brought.sum(axis=0)[:last], at_risk[:last])
    shape, fit = found.shape, found.spread
    return ahead.ReferralModel(
        k=shape.k, k_low=math.nan, k_high=math.nan, r=shape.mean[-1],
        longest_days=last - 1, growth=shape.growth, growth_reason="",
        n_people=whom.age.size, n_referrers=0, n_referrals=int(whom.y.sum()),
        at_bound=fit.at_bound, end=None, coefficients=_lifts(fit, ()),
        found=found,
        whom=whom,
    )  # fmt: skip


@pytest.mark.slow
def test_totals_cover_what_happens_and_the_truth(monkeypatch):
    none = SimpleNamespace(value=1.0, spread=0.0, replicates=np.ones(N_GROUPS))
    monkeypatch.setattr(ahead, "worth_of_one", lambda *_, **__: none)
    rng = np.random.default_rng(11)
    n_runs, covered, known, errors = 200, 0, 0, []
    for _ in range(n_runs):
        whom, later = drawn(rng)
        total = model_of(whom).total(90)
        covered += total.referrals_low <= later.sum() <= total.referrals_high
        now, then = (
            0.6 * (1 - np.exp(-(whom.age + 1 + more) / 60)) for more in (0, 90)
        )
        truth = ((0.5 + whom.y) / (0.5 + now) * (then - now)).sum()
        known += total.referrals_mean_low <= truth <= total.referrals_mean_high
        errors.append(total.referrals / truth - 1)
    assert 0.92 <= covered / n_runs <= 0.985
    assert 0.92 <= known / n_runs <= 0.985
    assert abs(np.mean(errors)) < 0.02


@pytest.mark.slow
def test_deciles_are_calibrated_and_both_baselines_beaten():
    """Six simulated shops, ninety days held out."""
    sums = []
    for seed in range(6):
        shop = sl.simulate(24_000, seed=100 + seed, days=450)
        events = sl.read_events(shop.orders, shop.referrals)
        test = sl.backtest_referrals(events, horizon_days=90)
        scores = test.scores.set_index("method")
        best = scores["share_top_tenth"]
        assert best["model"] > 1.5 * best["past count"]
        assert best["nobody"] == pytest.approx(0.1)
        assert best["model"] > best["everybody alike"]
        assert scores["rmse"].idxmin() == "model"
        table = test.deciles.set_index("decile")
        sums.append(table[["predicted", "actual"]].mul(table["n_people"], axis=0))
    pooled = sum(sums)
    ratio = pooled["predicted"] / pooled["actual"]
    # Of those who bring fewer, chance alone is 5 % and more.
    large = pooled["actual"] >= 400
    assert large.sum() >= 3
    assert ratio[large].between(0.9, 1.1).all()
    assert pooled["predicted"].sum() == pytest.approx(pooled["actual"].sum(), rel=0.03)


@pytest.mark.slow
def test_each_tenth_is_within_ten_percent():
    """A hundred shops of 25,000 customers, so that chance is small in all tenths."""
    rng = np.random.default_rng(6)
    predicted, actual = np.zeros(10), np.zeros(10)
    for _ in range(100):
        whom, later = drawn(rng, n=25_000, days=250)
        model = model_of(whom)
        guess = expected_more(model.k, **model.shape.ahead(whom, 90))
        found = tenths(guess, predicted=guess, actual=later, counts=whom.n_people)
        predicted += found.predicted
        actual += found.actual
    assert actual.min() > 1000
    assert predicted / actual == pytest.approx(np.ones(10), abs=0.1)


@pytest.mark.slow
def test_worth_is_what_people_brought_turn_out_to_be_worth():
    """Followed to the end: own spending in a year and that of all who follow."""
    shop = sl.simulate(40_000, seed=21, days=1500)
    events = sl.read_events(shop.orders, shop.referrals, purchase="order")
    one = sl.fit_referrals(events).worth(value_days=365)
    people = sl.people(events).to_pandas().set_index("person_id")
    people = people[people["first_order_at"].notna()]
    first = people["first_order_at"].dt.normalize()
    bought = shop.orders[shop.orders["customer_id"].isin(people.index)]
    age = (
        bought["ordered_at"].dt.normalize()
        - first.reindex(bought["customer_id"]).to_numpy()
    )
    own = bought[age.dt.days <= 365].groupby("customer_id")["amount"].sum()
    value = own.reindex(people.index).fillna(0.0)
    below = value.copy()
    # From the deepest generation up: everybody passes the whole sum to the referrer.
    for generation in range(int(people["generation"].max()), 0, -1):
        rows = people[people["generation"] == generation]
        up = below[rows.index].groupby(rows["referrer_id"]).sum()
        up = up[up.index.isin(below.index)]
        below[up.index] += up
    early = people["referrer_id"].notna() & (
        first < first.min() + pd.Timedelta(days=500)
    )
    truth, error = below[early].mean(), below[early].std() / math.sqrt(early.sum())
    assert one.value == pytest.approx(truth, abs=3.5 * error)
    assert error / truth < 0.06
    # And so far apart are single ones.
    assert one.spread == pytest.approx(below[early].std(), rel=0.3)


def test_covariates_that_matter_are_found_and_others_are_not():
    """Every other customer is twice as ready to bring others."""
    rng = np.random.default_rng(5)
    n = 3000
    ids = np.array([f"c{i:05d}" for i in range(n)])
    keen = np.arange(n) % 2 == 0
    first = rng.integers(0, 200, n)
    count = rng.poisson(np.where(keen, 0.8, 0.4) * rng.gamma(1.0, 1.0, n))
    owner = np.repeat(np.arange(n), count)
    when = first[owner] + rng.integers(1, 100, owner.size)
    brought = np.array([f"b{i:05d}" for i in range(owner.size)])
    bought = orders(
        *zip(ids, first.tolist(), [10] * n, strict=True),
        *zip(brought, when.tolist(), [10] * owner.size, strict=True),
    )
    pairs = referrals(*zip(ids[owner], brought, (when - 1).tolist(), strict=True))
    about = pd.DataFrame({
        "customer_id": np.concatenate([ids, brought]),
        "keen": np.where([*keen, *(rng.random(brought.size) < 0.5)], "yes", "no"),
        "noise": rng.normal(size=n + brought.size),
    })  # fmt: skip
    events = sl.read_events(bought, pairs, end=date_of(220))
    model = sl.fit_referrals(events, covariates=["keen", "noise"], attributes=about)
    found = model.coefficients.set_index("term")
    assert list(model.coefficients.columns) == schema.names("lifts")
    (line,) = [row for term, row in found.iterrows() if term.startswith("keen=")]
    ratio = line["ratio"] if line["reference"] == "no" else 1 / line["ratio"]
    assert ratio == pytest.approx(2, rel=0.15)
    assert not line["ratio_low"] < 1 < line["ratio_high"]
    noise = found.loc["noise"]
    assert noise["ratio_low"] < 1 < noise["ratio_high"]
    plain = sl.fit_referrals(events)
    with_, without = (
        m.predict(60).to_pandas().set_index("person_id")["expected_referrals"]
        for m in (model, plain)
    )
    assert with_.index.sort_values().equals(without.index.sort_values())
    assert with_.sum() == pytest.approx(without.sum(), rel=0.1)
    keen_ids, other_ids = ids[keen & (first > 150)], ids[~keen & (first > 150)]
    assert with_[keen_ids].mean() > 1.5 * with_[other_ids].mean()


# Edges ------------------------------------------------------------------------------


def test_what_cannot_be_said_is_said():
    few = sl.read_events(orders(("a", 0, 1), ("b", 1, 1)), referrals(("a", "b", 0)))
    with pytest.raises(FitError, match="2 buyers, of whom fewer than 30 were observed"):
        sl.fit_referrals(few)
    nobody = sl.read_events(
        orders(*((f"p{i}", i % 3, 1) for i in range(50))),
        referrals(("p0", "q", 1)), end=date_of(30),
    )  # fmt: skip
    with pytest.raises(FitError, match="nobody has brought anybody who bought"):
        sl.fit_referrals(nobody)
    with pytest.raises(MissingTableError, match="SL301  fit_referrals"):
        sl.fit_referrals(sl.read_events(orders(("a", 0, 1))))
    with pytest.raises(SettingError, match="at must lie between 2026-01-01"):
        sl.fit_referrals(few, at="2030-01-01")
    with pytest.raises(SettingError, match="min_at_risk must be at least 2"):
        sl.fit_referrals(few, min_at_risk=1)
    with pytest.raises(SettingError, match="covariates must be a list of names"):
        sl.fit_referrals(few, covariates="source")
    with pytest.raises(SettingError, match="holdout of a third"):
        sl.backtest_referrals(few)


def test_settings_of_predictions(by_hand):
    model = sl.fit_referrals(by_hand)
    with pytest.raises(SettingError, match="horizon_days must be between 1 and"):
        model.predict(0)
    with pytest.raises(SettingError, match="horizon_days must be between 1 and"):
        model.total(0)
    with pytest.raises(SettingError, match="value_days must be between 1 and"):
        model.worth(value_days=0)
    with pytest.raises(SettingError, match="margin must be between"):
        model.predict(4, margin=2)


def test_without_a_smooth_curve_the_oldest_are_missing():
    """Referrals at two ages only: nothing is said beyond the ages that were counted."""
    bought = [(f"p{i:02d}", i % 5, 10) for i in range(60)]
    events = sl.read_events(
        orders(*bought, ("x", 6, 1), ("y", 8, 1), ("z", 8, 1)),
        referrals(("p00", "x", 2), ("p00", "y", 3), ("p05", "z", 3)),
        end=date_of(20),
    )
    model = sl.fit_referrals(events)
    assert model.growth is None
    assert model.growth_reason.startswith("referrals at 2 ages")
    table = model.predict(5).to_pandas()
    old = table["age_days"] + 5 > model.longest_days
    assert old.any()
    assert not old.all()
    for column in ("expected_referrals", "n_referrals_low", "n_referrals_high"):
        assert table.loc[old, column].isna().all()
        assert table.loc[~old, column].notna().all()
    assert math.isnan(model.total(5).referrals)


def test_people_who_were_brought_by_those_who_bought_later_do_not_count():
    """ann brings bob before she buys herself: bob is seeding, not loop."""
    rest = [(f"p{i:02d}", 0, 10) for i in range(40)]
    made = [(f"q{i}", 2 + i, 10) for i in range(4)]
    events = sl.read_events(
        orders(*rest, *made, ("bob", 3, 5), ("ann", 9, 5)),
        referrals(("ann", "bob", 1), *((f"p{i:02d}", f"q{i}", 1) for i in range(4))),
        end=date_of(30),
    )
    model = sl.fit_referrals(events)
    assert model.n_referrals == 4
    table = model.predict(3).to_pandas().set_index("person_id")
    assert table.loc["ann", "n_brought"] == 0
    assert (histories(events).people.to_pandas()["n_brought"] >= 0).all()


def test_backtest_counts_by_hand():
    """At day 20: p00 has brought two; then brings one, p01 brings one, new n3 one."""
    rest = [(f"p{i:02d}", 0, 10) for i in range(40)]
    before = [("n0", 3, 10), ("n1", 5, 10), ("n2", 9, 10)]
    after = [("m0", 25, 10), ("m1", 30, 10), ("n3", 22, 10), ("m2", 40, 10)]
    events = sl.read_events(
        orders(*rest, *before, *after),
        referrals(
            ("p00", "n0", 1), ("p00", "n1", 2), ("p07", "n2", 3),
            ("p00", "m0", 21), ("p01", "m1", 22), ("n3", "m2", 30),
        ),
        end=date_of(50),
    )  # fmt: skip
    test = sl.backtest_referrals(events, at=date_of(20))
    assert (test.actual, test.n_outside, test.horizon_days) == (2, 1, 30)
    assert test.total.n_people == 43
    scores = test.scores.set_index("method")
    assert scores.loc["past count", "predicted"] == 3
    assert scores.loc["nobody", "mae"] == pytest.approx(2 / 43)
    # p00 was right by one, p07 wrong by one, p01 by one: squares 1 + 1 + 1.
    assert scores.loc["past count", "rmse"] == pytest.approx(math.sqrt(3 / 43))
    # The best tenth by count is 4.3 people: p00, p07, and 2.3 of the 41 others, of
    # whom one brought one.
    share = (1 + 2.3 / 41) / 2
    assert scores.loc["past count", "share_top_tenth"] == pytest.approx(share)
    assert test.deciles["n_people"].sum() == pytest.approx(43, abs=3)
    assert "43" in repr(test)


def test_results_show_themselves(by_hand):
    model = sl.fit_referrals(by_hand)
    text = repr(model)
    assert "who brought a buyer" in text
    assert "52" in text
    assert "<table" in model._repr_html_() or "<div" in model._repr_html_()


def test_shape_continues_where_counting_ends():
    shape = Shape(1.0, np.array([0.1, 0.2, 0.3]), None, np.ones(1))
    assert shape.at(np.array([0, 2, 3.0])).tolist()[:2] == [0.1, 0.3]
    assert math.isnan(shape.at(np.array([3.0]))[0])
