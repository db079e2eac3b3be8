"""Lifetime models from events: published numbers, laws, truth, and missing values."""

import dataclasses
import itertools
import math
import subprocess
import sys

import cdnow
import numpy as np
import pandas as pd
import pytest

import selfloop as sl
from selfloop.core import schema
from selfloop.core.errors import FitError, SettingError
from selfloop.kernels import bg_nbd
from selfloop.kernels.bg_nbd import BgNbd
from selfloop.kernels.horizon import steps

WEEK = 7


def as_orders(purchases):
    """Turn {customer: [(day, amount), ...]} into an order table."""
    rows = [
        (who, pd.Timestamp("2026-01-01") + pd.Timedelta(days=day), amount)
        for who, all_of_them in purchases.items()
        for day, amount in all_of_them
    ]
    return pd.DataFrame(rows, columns=["customer_id", "ordered_at", "amount"])


def some_shop(n=60, *, repeat=0.6):
    """Return orders of `n` customers, some of whom come back."""
    rng = np.random.default_rng(0)
    people = {}
    for i in range(n):
        first = int(rng.integers(0, 60))
        n_more = rng.geometric(0.5) * (rng.random() < repeat)
        days = first + np.cumsum(rng.integers(1, 25, int(n_more)))
        people[f"c{i}"] = [
            (int(d), 20 * rng.gamma(3)) for d in (first, *days) if d < 120
        ]
    return as_orders(people)


def frame(table):
    """Bring a table with one row per person out, in order of id."""
    return table.to_pandas().sort_values("person_id", ignore_index=True)


@pytest.fixture(scope="module")
def events():
    """The CDNOW sample to the end of September 1997, days of value 0 counted."""
    return sl.read_events(cdnow.orders(), end="1997-09-30", zero_orders="count")


@pytest.fixture(scope="module")
def model(events):
    """Its model in weeks."""
    return sl.fit_lifetime(events, model="bg_nbd", unit_days=WEEK)


# Published numbers ----------------------------------------------------------


def test_cdnow_to_four_digits(model):
    # Fader, Hardie & Lee 2005, CLVTools and Fader & Hardie note 025.
    assert model.n_people == 2357
    assert model.n_repeat_purchases == 2457
    assert model.n_repeat_buyers == 946
    assert model.n_distinct == 1016
    assert list(model.params) == ["r", "alpha", "a", "b"]
    found = np.array(list(model.params.values()))
    np.testing.assert_allclose(found, [0.2426, 4.4136, 0.7929, 2.4259], atol=5e-5)
    errors = np.array(list(model.standard_errors.values()))
    np.testing.assert_allclose(errors, [0.01256, 0.37822, 0.18573, 0.70541], atol=6e-6)
    assert model.log_likelihood == pytest.approx(-9582.429, abs=5e-4)
    assert model.at_bound == ()
    spend = model.spend
    assert spend.n_people == 946
    np.testing.assert_allclose(
        list(spend.params.values()), [6.25, 3.744, 15.44], rtol=3e-4
    )
    assert spend.log_likelihood == pytest.approx(-4055.918, abs=5e-4)
    assert spend.mean_order_value == pytest.approx(35.1704, abs=5e-5)


def test_cdnow_predictions(model):
    # BTYD walkthrough 4.3 for customer 1516, note 025 for the values of 1 to 10.
    table = frame(model.predict(52 * WEEK))
    assert len(table) == 2357
    assert table["expected_purchases"].sum() == pytest.approx(2089.399, abs=1e-3)
    assert table["p_alive"].mean() == pytest.approx(0.8134398, abs=1e-6)
    best = table[table["person_id"] == "1516"].iloc[0]
    assert best["n_purchases"] == 27
    assert best["expected_purchases"] == pytest.approx(25.75734, abs=1e-4)
    assert best["p_alive"] == pytest.approx(0.9688544, abs=1e-6)
    printed = [24.65, 18.91, 35.17, 35.17, 35.17, 71.46, 18.91, 35.17, 27.28, 35.17]
    first = table["expected_order_value"].head(10)
    np.testing.assert_allclose(first, printed, atol=0.0055)


def test_cdnow_new_customer(model):
    # E[X(52)] = 1.444004, from the second purchase on.
    new = model.expected_new_customer(52 * WEEK)
    assert new.purchases == pytest.approx(1.444004, rel=1e-5)
    assert new.value == pytest.approx(1.444004 * 35.1704, rel=1e-5)


def test_summary_by_hand(model):
    table = model.summary().set_index("parameter")
    assert list(table.index) == ["r", "alpha", "a", "b", "p", "q", "v"]
    # a: 0.7929 exp(-+ 1.96 * 0.18573 / 0.7929) = 0.5010 .. 1.2549
    assert table.loc["a", "low"] == pytest.approx(0.50102, abs=2e-4)
    assert table.loc["a", "high"] == pytest.approx(1.25489, abs=4e-4)
    assert (table["reason"] == "").all()


# Predictions ----------------------------------------------------------------


def test_prediction_is_the_declared_table(model):
    table = model.predict(30)
    assert list(table.columns) == schema.names("lifetime_people")
    rows = frame(table)
    assert rows["person_id"].is_unique
    assert not rows.isna().any().any()
    assert rows["p_alive"].between(0, 1).all()
    value = rows["expected_purchases"] * rows["expected_order_value"]
    np.testing.assert_allclose(rows["expected_value"], value, rtol=1e-12)


def test_prediction_equals_the_kernel(model):
    rows = frame(model.predict(200)).head(300)
    history = {
        "x": rows["n_purchases"].to_numpy() - 1,
        "recency": rows["recency_days"].to_numpy() / WEEK,
        "age": rows["age_days"].to_numpy() / WEEK,
    }
    params = BgNbd(**model.params)
    alive = bg_nbd.MODEL.p_alive(params, **history)
    more = bg_nbd.MODEL.expected_if_alive(params, **history, horizon=200 / WEEK)
    np.testing.assert_allclose(rows["p_alive"], alive, rtol=1e-12)
    np.testing.assert_allclose(rows["purchases_if_alive"], more, rtol=1e-12)
    np.testing.assert_allclose(rows["expected_purchases"], alive * more, rtol=1e-12)


def test_discount_by_hand(model):
    # 45 days at 10 %: what comes by day 30.4375 and what comes after it.
    rows = [
        frame(model.predict(days, discount_rate=rate)).head(50)
        for days, rate in ((30.4375, 0.0), (45.0, 0.0), (45.0, 0.1))
    ]
    month, all_of_it, discounted = (r["expected_value"] for r in rows)
    by_hand = month * 1.1 ** (-15.21875 / 365.25) + (all_of_it - month) * 1.1 ** (
        -37.71875 / 365.25
    )
    np.testing.assert_allclose(discounted, by_hand, rtol=1e-12)
    # Purchases are not money: they are not discounted.
    np.testing.assert_array_equal(
        rows[1]["expected_purchases"], rows[2]["expected_purchases"]
    )


@pytest.mark.parametrize("rate", [0.0, 0.12])
def test_total_is_the_sum_of_people(model, rate):
    rows = frame(model.predict(273, discount_rate=rate))
    total = model.total(273, discount_rate=rate)
    assert total.n_people == len(rows)
    assert total.purchases == pytest.approx(rows["expected_purchases"].sum(), rel=1e-10)
    assert total.value == pytest.approx(rows["expected_value"].sum(), rel=1e-10)
    for what in ("purchases", "value"):
        low, mean_low, mean, mean_high, high = (
            getattr(total, what + end)
            for end in ("_low", "_mean_low", "", "_mean_high", "_high")
        )
        assert low < mean_low < mean < mean_high < high


def test_total_interval_agrees_with_draws(model):
    # Parameters drawn from their estimated distribution, on the log scale.
    rng = np.random.default_rng(0)
    draws = []
    for part in (model, model.spend):
        center = np.array(list(part.params.values()))
        of_logs = part.covariance / np.outer(center, center)
        logs = rng.multivariate_normal(np.log(center), of_logs, size=150)
        draws.append([dict(zip(part.params, row, strict=True)) for row in np.exp(logs)])
    totals = [
        dataclasses.replace(
            model, params=flow, spend=dataclasses.replace(model.spend, params=spend)
        ).total(273)
        for flow, spend in zip(*draws, strict=True)
    ]
    total = model.total(273)
    for name in ("purchases", "value"):
        drawn = np.log([getattr(t, name) for t in totals]).std()
        low = getattr(total, f"{name}_mean_low")
        high = getattr(total, f"{name}_mean_high")
        assert math.log(high / low) / 3.92 == pytest.approx(drawn, rel=0.2)


def test_only_buyers_are_predicted():
    orders = some_shop()
    referrals = pd.DataFrame(
        {"referrer_id": ["c1"], "referee_id": ["never"], "referred_at": ["2026-01-05"]}
    )
    events = sl.read_events(orders, referrals)
    model = sl.fit_lifetime(events)
    assert "never" in set(sl.people(events).to_pandas()["person_id"])
    assert set(frame(model.predict())["person_id"]) == set(orders["customer_id"])
    assert model.n_people == orders["customer_id"].nunique()


# Laws -----------------------------------------------------------------------


def test_unit_of_time_changes_alpha_and_likelihood_alone(events, model):
    days = sl.fit_lifetime(events, model="bg_nbd")
    factor = {"r": 1, "alpha": WEEK, "a": 1, "b": 1}
    for name, value in model.params.items():
        assert days.params[name] == pytest.approx(value * factor[name], rel=1e-9)
    shift = 2457 * math.log(WEEK)
    assert days.log_likelihood == pytest.approx(model.log_likelihood - shift, abs=1e-6)
    pd.testing.assert_frame_equal(
        frame(days.predict(100)), frame(model.predict(100)), rtol=1e-9
    )
    np.testing.assert_allclose(days.total(100), model.total(100), rtol=1e-6)


def test_order_of_rows_and_names_of_people_do_not_matter():
    orders = some_shop()
    plain = frame(sl.fit_lifetime(sl.read_events(orders)).predict(90))
    other = orders.sample(frac=1, random_state=1)
    other["customer_id"] = "x" + other["customer_id"]
    renamed = frame(sl.fit_lifetime(sl.read_events(other)).predict(90))
    plain["person_id"] = "x" + plain["person_id"]
    pd.testing.assert_frame_equal(plain, renamed, rtol=1e-9)


def test_money_changes_money_alone():
    orders = some_shop()
    orders["amount"] = orders["amount"].round(2)
    model = sl.fit_lifetime(sl.read_events(orders))
    rich = sl.fit_lifetime(sl.read_events(orders.assign(amount=orders["amount"] * 100)))
    assert rich.params == model.params
    assert rich.spend.params["v"] == pytest.approx(100 * model.spend.params["v"])
    assert rich.spend.params["p"] == pytest.approx(model.spend.params["p"])
    few, many = frame(model.predict(90)), frame(rich.predict(90))
    money = [
        "historic_value", "expected_order_value", "expected_value", "lifetime_value",
    ]  # fmt: skip
    few[money] *= 100
    pd.testing.assert_frame_equal(few, many, rtol=1e-8)


def test_predicting_twice_gives_the_same(model):
    pd.testing.assert_frame_equal(frame(model.predict(30)), frame(model.predict(30)))


def test_a_longer_horizon_brings_more(model):
    totals = [model.total(days) for days in (1, 30, 365, 3650)]
    assert all(a.purchases < b.purchases for a, b in itertools.pairwise(totals))


# Truth ----------------------------------------------------------------------


def test_truth_of_a_simulated_shop():
    shop = sl.simulate(n_visitors=20_000, seed=11)
    events = sl.read_events(shop.orders, purchase="order")
    model = sl.fit_lifetime(events, model="bg_nbd")
    truth = shop.truth.shop
    true = {
        "r": truth.purchase_r,
        "alpha": truth.purchase_alpha_days,
        "a": truth.dropout_a,
        "b": truth.dropout_b,
        "p": truth.spend_p,
        "q": truth.spend_q,
        "v": truth.spend_v,
    }
    found = model.params | model.spend.params
    errors = model.standard_errors | model.spend.standard_errors
    for name, value in true.items():
        assert abs(found[name] - value) < 3 * errors[name], name
        assert errors[name] < 0.1 * value, name


def test_holdout_of_a_simulated_shop():
    # Fit on 540 days, predict 180, compare with what the same people bought.
    shop = sl.simulate(n_visitors=20_000, seed=12)
    cut = shop.orders["ordered_at"].min().normalize() + pd.Timedelta(days=540)
    end = (cut - pd.Timedelta(days=1)).date()
    events = sl.read_events(shop.orders, purchase="order", end=end)
    model = sl.fit_lifetime(events, model="bg_nbd")
    predicted = frame(model.predict(180))
    later = shop.orders[
        (shop.orders["ordered_at"] >= cut)
        & (shop.orders["ordered_at"] < cut + pd.Timedelta(days=180))
    ]
    later = later[later["customer_id"].isin(predicted["person_id"])]
    actual = later.groupby("customer_id")["amount"].agg(["size", "sum"])
    rows = predicted.join(actual, on="person_id").fillna({"size": 0, "sum": 0})
    assert rows["expected_purchases"].sum() == pytest.approx(
        rows["size"].sum(), rel=0.03
    )
    assert rows["expected_value"].sum() == pytest.approx(
        float(rows["sum"].sum()), rel=0.04
    )
    ranked = rows.sort_values("expected_purchases")
    for group in np.array_split(ranked.index, 10):
        part = rows.loc[group]
        noise = 4 * part["size"].std() / math.sqrt(len(part)) + 0.02
        assert part["expected_purchases"].mean() == pytest.approx(
            part["size"].mean(), abs=noise
        )


# What cannot be computed ----------------------------------------------------


def test_few_repeat_buyers_leave_value_missing():
    once = {f"c{i}": [(i % 50, 10 + i)] for i in range(40)}
    twice = {f"d{i}": [(i, 10 + i), (i + 9 + 3 * i, 12.0)] for i in range(9)}
    late = {"e": [(60, 5)]}
    events = sl.read_events(as_orders(once | twice | late))
    model = sl.fit_lifetime(events, model="mbg_nbd")
    assert model.spend is None
    assert "at least 10 people" in model.spend_reason
    assert "there are 9" in model.spend_reason
    rows = frame(model.predict(90))
    assert rows["expected_value"].isna().all()
    assert rows["expected_order_value"].isna().all()
    assert (rows["expected_purchases"] > 0).all()
    total, new = model.total(90), model.expected_new_customer(90)
    assert total.purchases == pytest.approx(rows["expected_purchases"].sum())
    assert np.isnan([total.value, total.value_low, total.value_high, new.value]).all()
    assert new.purchases > 0
    assert "there are 9" in repr(model)
    assert list(model.summary()["parameter"]) == ["r", "alpha", "a", "b"]


def test_spend_without_a_mean_leaves_value_missing():
    # Values proportional to 1 / nu with nu ~ Gamma(0.6): no mean.
    orders = some_shop(300, repeat=0.9)
    rng = np.random.default_rng(3)
    people = orders["customer_id"].unique()
    scale = pd.Series(1 / rng.gamma(0.6, size=people.size), index=people)
    noise = rng.gamma(4, size=len(orders))
    orders["amount"] = (noise * orders["customer_id"].map(scale)).round(2) + 0.01
    model = sl.fit_lifetime(sl.read_events(orders))
    assert model.spend is None
    assert "its mean does not exist (q = 0." in model.spend_reason
    assert frame(model.predict(30))["expected_value"].isna().all()


def test_equal_values_leave_a_note_not_an_error():
    orders = cdnow.orders().drop_duplicates(["customer_id", "ordered_at"])
    model = sl.fit_lifetime(sl.read_events(orders.assign(amount=9.5)))
    assert model.spend.at_bound
    assert model.spend.standard_errors == {}
    assert model.spend.mean_order_value == pytest.approx(9.5, rel=1e-3)
    assert frame(model.predict(30))["expected_order_value"].to_numpy() == (
        pytest.approx(9.5, rel=1e-3)
    )
    total = model.total(30)
    assert np.isfinite([total.purchases_low, total.purchases_high, total.value]).all()
    assert np.isnan([total.value_low, total.value_high]).all()


def test_undetermined_parameters_have_no_errors():
    # Everybody keeps buying every ten days: nothing says that anybody leaves.
    people = {
        f"c{i}": [(d, 10.0 + (i * d) % 7) for d in range(i % 9, 120, 8 + i % 5)]
        for i in range(80)
    }
    model = sl.fit_lifetime(sl.read_events(as_orders(people)))
    assert {"a", "b"} & set(model.at_bound)
    assert model.standard_errors == {}
    table = model.summary().set_index("parameter")
    assert table.loc[["r", "alpha", "a", "b"], "standard_error"].isna().all()
    assert "not determined by the data" in table.loc["a", "reason"]
    assert "not determined by the data" in repr(model)
    total = model.total(100)
    # 80 people, one purchase about every 10 days.
    assert total.purchases == pytest.approx(800, rel=0.1)
    assert np.isnan([total.purchases_low, total.purchases_high]).all()


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ({f"c{i}": [(i, 5)] for i in range(3)}, "at least 10 buyers; there are 3"),
        ({f"c{i}": [(i, 5)] for i in range(20)}, "none of the 20 customers bought a"),
        (
            {f"c{i}": [(0, 5), (9, 5)] for i in range(20)},
            "all 20 customers are the same",
        ),
        (
            {f"c{i}": [(0, 5)] for i in range(12)},
            "none of the 12 customers bought a second",
        ),
    ],
)
def test_data_without_a_model(people, message):
    with pytest.raises(FitError, match=message):
        sl.fit_lifetime(sl.read_events(as_orders(people)))


def test_two_orders_on_one_day_are_one_purchase():
    orders = pd.concat([as_orders({f"c{i}": [(0, 5)] for i in range(12)})] * 2)
    with pytest.raises(FitError, match="none of the 12 customers bought a second"):
        sl.fit_lifetime(sl.read_events(orders))


def test_settings_outside_their_range(events, model):
    with pytest.raises(SettingError, match=r"model must be one of 'auto'"):
        sl.fit_lifetime(events, model="pareto")
    with pytest.raises(SettingError, match="unit_days must be between"):
        sl.fit_lifetime(events, unit_days=0)
    for call in (model.predict, model.total, model.expected_new_customer):
        for horizon in (0, -5, float("nan"), 1e6, True):
            with pytest.raises(SettingError, match="horizon_days must be between 1"):
                call(horizon)
        with pytest.raises(SettingError, match="discount_rate must be between 0"):
            call(30, discount_rate=-0.1)


# The result as an object ----------------------------------------------------


def test_it_shows_itself(model):
    text = repr(model)
    for part in (
        "BG/NBD and Gamma-Gamma",
        "1997-09-30",
        "2,357",
        "-9,582.429",
        "alpha",
    ):
        assert part in text
    html = model._repr_html_()
    assert "<strong>LifetimeModel</strong>" in html
    assert "alpha" in html


def test_it_is_frozen(model):
    with pytest.raises(dataclasses.FrozenInstanceError, match="params"):
        model.params = {}


def test_steps_end_at_the_horizon():
    assert steps(100, discount_rate=0.1).ends_days[-1] == 100


def test_importing_selfloop_does_not_load_the_optimiser():
    code = "import sys, selfloop; sys.exit('scipy.optimize' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0
