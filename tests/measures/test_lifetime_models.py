"""Every model of purchases from events: published numbers, choice, and bad settings."""

import datetime as dt

import cdnow
import numpy as np
import pandas as pd
import pytest

import selfloop as sl
from selfloop.core import schema
from selfloop.core.errors import FitError, SettingError
from selfloop.kernels.rows import dot

WEEK = 7
CUT = dt.date(1997, 9, 30)


@pytest.fixture(scope="module")
def events():
    """The whole CDNOW sample, 78 weeks, days of value 0 counted."""
    return sl.read_events(cdnow.orders(), zero_orders="count")


@pytest.fixture(scope="module")
def chosen(events):
    """The default model of all 78 weeks, in weeks."""
    return sl.fit_lifetime(events, unit_days=WEEK)


def regular_shop(n=400, *, k=4, seed=5):
    """Return orders whose gaps are Erlang-k of customers who sometimes leave."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        day, rate = rng.uniform(0, 200), rng.gamma(2.0, 1 / 6.0)
        leaves = rng.beta(0.8, 4.0)
        rows.append((f"c{i}", day))
        while rng.random() > leaves:
            day += rng.gamma(k, 1 / rate)
            if day >= 500:
                break
            rows.append((f"c{i}", day))
    orders = pd.DataFrame(rows, columns=["customer_id", "day"])
    start = pd.Timestamp("2024-01-01")
    orders["ordered_at"] = start + pd.to_timedelta(orders.pop("day"), unit="D")
    return orders.assign(amount=rng.gamma(3.0, 10.0, len(orders)).round(2) + 0.01)


# Published numbers ----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params", "log_likelihood"),
    [  # CDNOW to 1997-09-30, weeks: papers and R packages (see the kernels' tests)
        ("bg_nbd", [0.2426, 4.4136, 0.7929, 2.4259], -9582.429),
        ("mbg_nbd", [0.5248, 6.1831, 0.8914, 1.6140], -9582.136),
        ("pareto_nbd", [0.5533, 10.5777, 0.6062, 11.6687], -9594.976),
        ("nbd", [0.3848, 12.0720], -9763.658),
    ],
)
def test_cdnow_calibration(events, name, params, log_likelihood):
    model = sl.fit_lifetime(events, model=name, at=CUT, unit_days=WEEK)
    assert (model.n_people, model.n_repeat_purchases) == (2357, 2457)
    assert model.end == CUT
    np.testing.assert_allclose(list(model.params.values()), params, atol=6e-5)
    assert model.log_likelihood == pytest.approx(log_likelihood, abs=6e-4)
    assert model.aic == pytest.approx(2 * len(params) - 2 * model.log_likelihood)
    assert model.bic == pytest.approx(
        np.log(2357) * len(params) - 2 * model.log_likelihood
    )


@pytest.mark.parametrize(
    ("name", "k", "log_likelihood"),
    [
        ("bg_cnbd_k", 1, -9582.4292),
        ("bg_cnbd_k", 2, -9855.3270),
        ("mbg_cnbd_k", 1, -9582.1357),
        ("mbg_cnbd_k", 3, -10394.3627),
    ],
)
def test_cdnow_by_regularity(events, name, k, log_likelihood):
    model = sl.fit_lifetime(events, model=name, k=k, at=CUT, unit_days=WEEK)
    assert model.settings == {"k": k}
    assert model.log_likelihood == pytest.approx(log_likelihood, abs=2e-4)


def test_cdnow_regularity_is_chosen_by_likelihood(events):
    model = sl.fit_lifetime(events, model="mbg_cnbd_k", at=CUT, unit_days=WEEK)
    assert model.settings == {"k": 1}
    # k was chosen from the data, so it counts: 2 * (4 + 1) - 2 * -9582.1357.
    assert model.aic == pytest.approx(10 + 2 * 9582.1357, abs=1e-3)


def test_cdnow_periodic_leaving(events):
    # Best tau 3.00 weeks on a grid of days, r .5211 alpha 10.3149 a .4181 b 2.3221.
    model = sl.fit_lifetime(events, model="pdo", tau_days=21, at=CUT, unit_days=WEEK)
    assert model.log_likelihood == pytest.approx(-9585.080, abs=6e-4)
    np.testing.assert_allclose(
        list(model.params.values()), [0.5211, 10.3149, 0.4181, 2.3221], atol=6e-5
    )
    free = sl.fit_lifetime(events, model="pdo", at=CUT, unit_days=WEEK)
    assert free.log_likelihood >= model.log_likelihood - 1e-6
    assert free.aic == pytest.approx(10 - 2 * free.log_likelihood)


def test_all_78_weeks(events):
    # 9.4 of the reference: MBG/NBD, and Pareto/NBD = BTYD's example of pnbd.DERT.
    found = sl.compare_models(events, unit_days=WEEK).table.set_index("model")
    printed = {"mbg_nbd": -17127.3733, "pareto_nbd": -17135.8359, "bg_nbd": -17138.2340}
    for name, value in printed.items():
        assert found.loc[name, "log_likelihood"] == pytest.approx(value, abs=2e-4)


def test_opportunities_by_hand():
    # Opportunities of 10 days, the last day is 35: whole ones are 1-10, 11-20, 21-30.
    days = {"a": [0, 4, 9, 25], "b": [0, 10, 11, 31], "c": [0], "d": [20, 34]}
    days |= {f"x{i}": [0, i] for i in range(1, 13)}
    first = pd.Timestamp("2026-01-01")
    orders = pd.DataFrame(
        [
            (who, first + pd.Timedelta(days=day), 5)
            for who, of_them in days.items()
            for day in of_them
        ],
        columns=["customer_id", "ordered_at", "amount"],
    )
    events = sl.read_events(orders, end="2026-02-05")
    model = sl.fit_lifetime(events, model="bg_bb", opportunity_days=10, penalty=0.01)
    table = model.predict(30).to_pandas().set_index("person_id")
    # a: 4 and 9 fall into the first, 25 into the third. b: day 10 into the first, 11
    # into the second, 31 into the unfinished fourth. d: age 15, one whole opportunity,
    # and 34 is 14 days after the first: the unfinished second.
    expected = {"a": (3, 30, 30), "b": (3, 20, 30), "c": (1, 0, 30), "d": (1, 0, 10)}
    for who, history in expected.items():
        row = table.loc[who, ["n_purchases", "recency_days", "age_days"]]
        assert tuple(row) == history, who
    # Of a horizon, the opportunities that end within it count.
    assert model.total(39).purchases == model.total(30).purchases
    with pytest.raises(SettingError, match="horizon_days must reach the end of an opp"):
        model.predict(9)


def test_discrete_model_discounts_at_the_end_of_each_opportunity(events):
    model = sl.fit_lifetime(events, model="bg_bb", opportunity_days=91)
    plain = [model.total(91 * n).value for n in (1, 2)]
    discounted = model.total(182, discount_rate=0.1).value
    by_hand = plain[0] * 1.1 ** (-91 / 365.25)
    by_hand += (plain[1] - plain[0]) * 1.1 ** (-182 / 365.25)
    assert discounted == pytest.approx(by_hand, rel=1e-9)


# The choice -----------------------------------------------------------------


def test_auto_takes_the_least_aic_and_says_so(chosen):
    table = chosen.choice.table
    assert list(table.columns) == schema.names("model_comparison")
    assert chosen.model == "mbg_nbd"
    assert chosen.choice.chosen == "mbg_nbd"
    rows = table.set_index("model")
    assert rows.loc["mbg_nbd", "role"] == "chosen"
    assert rows.loc["mbg_nbd", "aic"] == chosen.aic
    # -2 * (-17135.8359 + 17127.3733) = 16.9
    assert rows.loc["pareto_nbd", "aic_above_best"] == pytest.approx(16.925, abs=1e-3)
    assert "MBG/NBD: its AIC is 16.9 below that of Pareto/NBD" in chosen.choice.reason
    assert chosen.choice.reason in repr(chosen)
    assert table["aic"].is_monotonic_increasing


def test_one_time_buyers_are_not_certainly_alive_by_default(chosen, events):
    rows = chosen.predict(30).to_pandas()
    once = rows[rows["n_purchases"] == 1]
    assert len(once) > 1000
    assert (once["p_alive"] < 0.5).all()
    beside = chosen.choice.table.set_index("model").loc[["bg_nbd", "nbd"], "role"]
    assert beside.str.startswith("beside: ").all()
    bg = sl.fit_lifetime(events, model="bg_nbd").predict(30).to_pandas()
    assert (bg.loc[bg["n_purchases"] == 1, "p_alive"] == 1).all()


def test_auto_never_takes_a_model_without_dropout_even_when_it_fits_best():
    rng = np.random.default_rng(2)
    rows = []
    for i in range(300):
        gaps = rng.exponential(30, rng.poisson(4))
        days = rng.uniform(0, 100) + np.cumsum(np.append(0, gaps))
        rows += [(f"c{i}", day, 9) for day in days]
    orders = pd.DataFrame(rows, columns=["customer_id", "day", "amount"])
    days = pd.to_timedelta(orders.pop("day"), unit="D")
    orders["ordered_at"] = pd.Timestamp("2024-01-01") + days
    choice = sl.fit_lifetime(sl.read_events(orders)).choice
    assert choice.chosen in ("mbg_nbd", "pareto_nbd", "mbg_cnbd_k")
    assert "chosen" not in set(choice.table.set_index("model").loc[["nbd"], "role"])


def test_regular_buyers_get_a_model_of_regular_buyers():
    events = sl.read_events(regular_shop())
    model = sl.fit_lifetime(events)
    assert model.model == "mbg_cnbd_k"
    assert 3 <= model.settings["k"] <= 5
    rows = model.choice.table.set_index("model")
    assert rows.loc["mbg_nbd", "aic_above_best"] > 100
    # It wins on the holdout as well: regular gaps say when the next purchase is due.
    assert rows["holdout_log_score"].idxmax() == "mbg_cnbd_k"
    k = int(model.settings["k"])
    around = [
        sl.fit_lifetime(events, model="mbg_cnbd_k", k=n).log_likelihood
        for n in (k - 1, k, k + 1)
    ]
    assert max(around) == around[1] == pytest.approx(model.log_likelihood, abs=1e-6)


def test_holdout_scores_by_hand(events):
    comparison = sl.compare_models(events, ["mbg_nbd"], at=CUT, unit_days=WEEK)
    assert (comparison.cut.at, comparison.cut.horizon_days) == (CUT, 273)
    row = comparison.table.iloc[0]
    past = sl.fit_lifetime(events, model="mbg_nbd", at=CUT, unit_days=WEEK)
    table = past.predict(273).to_pandas().set_index("person_id")
    orders = cdnow.orders()
    later = orders[orders["ordered_at"] > pd.Timestamp(CUT)].drop_duplicates(
        ["customer_id", "ordered_at"]
    )
    n_later = later.groupby("customer_id").size().reindex(table.index, fill_value=0)
    assert n_later.sum() == 1882
    predicted = table["expected_purchases"]
    assert predicted.sum() == pytest.approx(1576.728, abs=1e-3)
    assert row["holdout_error"] == pytest.approx(predicted.sum() / 1882 - 1)
    assert row["holdout_mae"] == pytest.approx((predicted - n_later).abs().mean())
    history = {
        "x": table["n_purchases"].to_numpy() - 1,
        "recency": table["recency_days"].to_numpy() / WEEK,
        "age": table["age_days"].to_numpy() / WEEK,
    }
    kernel, params = past.kernel, list(past.params.values())
    alive = kernel.p_alive(params, **history)
    mass = alive * kernel.pmf_if_alive(
        params, n=n_later.to_numpy(), horizon=39, **history
    ) + (n_later.to_numpy() == 0) * (1 - alive)
    assert row["holdout_log_score"] == pytest.approx(np.log(mass).mean())


def test_a_short_history_has_no_holdout_and_says_so():
    orders = regular_shop(k=1)
    start = orders["ordered_at"].min()
    orders = orders[orders["ordered_at"] < start + pd.Timedelta(days=70)]
    model = sl.fit_lifetime(sl.read_events(orders))
    assert model.choice.cut is None
    assert "shorter than 28 days" in model.choice.holdout_reason
    assert model.choice.table["holdout_error"].isna().all()
    assert "no holdout" in repr(model.choice)


def test_the_past_gives_the_same_model_as_reading_less(events):
    less = sl.read_events(cdnow.orders(), zero_orders="count", end=CUT)
    past = sl.fit_lifetime(events, model="mbg_nbd", at=CUT)
    other = sl.fit_lifetime(less, model="mbg_nbd")
    assert past.params == other.params
    assert past.spend.params == other.spend.params
    tables = [
        m.predict(90).to_pandas().sort_values("person_id", ignore_index=True)
        for m in (past, other)
    ]
    pd.testing.assert_frame_equal(*tables)
    assert past.total(90) == other.total(90)


# Settings -------------------------------------------------------------------


def test_a_penalty_pulls_towards_the_typical_size(events):
    plain = sl.fit_lifetime(events, model="mbg_nbd", at=CUT)
    pulled = sl.fit_lifetime(events, model="mbg_nbd", at=CUT, penalty=10.0)
    assert pulled.penalty == 10
    assert abs(np.log(pulled.params["r"])) < abs(np.log(plain.params["r"]))
    assert abs(np.log(pulled.params["alpha"] / 272)) < 0.3
    assert pulled.log_likelihood < plain.log_likelihood


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "pareto"}, "model must be one of 'auto', 'bg_nbd'"),
        ({"engine": "stan"}, "engine must be one of 'selfloop', 'lifetimes'"),
        ({"k": 2}, "k is a setting of bg_cnbd_k and mbg_cnbd_k; model is 'auto'"),
        ({"model": "mbg_cnbd_k", "k": 13}, "k must be between 1 and 12"),
        ({"model": "mbg_cnbd_k", "k": 1.5}, "k must be a whole number"),
        ({"model": "pdo", "tau_days": 0}, "tau_days must be between"),
        (
            {"model": "pdo", "tau_days": 0.1},
            "tau_days must be at least 0.109",
        ),
        ({"model": "bg_bb", "opportunity_days": 0}, "opportunity_days must be between"),
        ({"unit_days": 0}, "unit_days must be between"),
        ({"penalty": -1}, "penalty must be at least 0"),
        ({"at": "1996-01-01"}, "at must lie between 1997-01-01 and 1998-06-30"),
        ({"at": "soon"}, "at must be a date such as"),
        ({"at": dt.datetime(1997, 9, 30, 3)}, "at must be a date such as"),
        ({"covariates": "source"}, "covariates must be a list of names"),
        ({"covariates": ["source", "source"]}, "must not name a column twice"),
    ],
)
def test_settings_outside_their_range(events, settings, message):
    with pytest.raises(SettingError, match=message):
        sl.fit_lifetime(events, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"models": ["bg_bb"]}, "models must be one of 'mbg_nbd'"),
        ({"models": []}, r"models must be a list of names .*; got \[\]"),
        ({"models": "nbd"}, "models must be a list of names .*; got 'nbd'"),
        ({"at": dt.date(1999, 1, 1)}, "at must lie inside the observed period"),
        ({"horizon_days": 600}, "horizon_days must be between 1 and 545"),
        ({"at": CUT, "horizon_days": 274}, "horizon_days must be between 1 and 273"),
    ],
)
def test_comparisons_outside_their_range(events, settings, message):
    with pytest.raises(SettingError, match=message):
        sl.compare_models(events, **settings)


def test_regular_models_refuse_purchases_at_one_moment():
    orders = regular_shop()
    twice = orders.groupby("customer_id").head(1).assign(amount=3.0)
    events = sl.read_events(pd.concat([orders, twice]), purchase="order")
    with pytest.raises(FitError, match="400 purchases came at the very moment of the"):
        sl.fit_lifetime(events, model="mbg_cnbd_k", k=2)
    assert sl.fit_lifetime(events, model="mbg_cnbd_k").settings == {"k": 1}


def test_the_first_day_says_nothing(events):
    with pytest.raises(FitError, match="none of the 18 customers bought a second time"):
        sl.fit_lifetime(events, at="1997-01-01", model="mbg_nbd")


def test_progress_is_told(events):
    said = []
    sl.fit_lifetime(events, progress=said.append)
    assert said == [
        "fitting mbg_nbd", "fitting pareto_nbd", "fitting bg_nbd", "fitting nbd",
        "predicting a holdout", "fitting spend",
    ]  # fmt: skip


# Matrices and distributions -------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_purchases": 0}, "max_purchases must be between 1 and 1000; got 0"),
        ({"max_purchases": "a"}, "max_purchases must be between 1 and 1000; got 'a'"),
        ({"max_purchases": 2.5}, "max_purchases must be a whole number; got 2.5"),
        ({"n_ages": 1}, "n_ages must be between 2 and 1000; got 1"),
    ],
)
def test_a_matrix_outside_its_range(chosen, settings, message):
    with pytest.raises(SettingError, match=message):
        chosen.matrix(90, **settings)


@pytest.mark.parametrize(
    "day", [pd.Timestamp(CUT), dt.datetime(1997, 9, 30), np.datetime64("1997-09-30")]
)
def test_a_timestamp_at_midnight_is_a_day(events, day):
    model = sl.fit_lifetime(events, model="nbd", at=day)
    assert model.end == CUT


@pytest.mark.parametrize(
    "measure",
    [
        sl.fit_lifetime, sl.compare_models, sl.backtest_lifetime, sl.people, sl.funnel,
        sl.cohorts, sl.referral_network, sl.customer_value, sl.self_loop, sl.analyze,
        sl.to_lifetimes_frame,
    ],
)  # fmt: skip
def test_a_table_is_no_events(measure):
    with pytest.raises(SettingError, match=r"result of read_events.*got DataFrame"):
        measure(cdnow.orders())


def test_a_table_is_nothing_to_predict_for(chosen):
    with pytest.raises(SettingError, match=r"result of read_events.*got DataFrame"):
        chosen.predict(events=cdnow.orders())


def test_opportunities_longer_than_the_period_are_said_to_be(events):
    with pytest.raises(FitError, match="bought again within a complete opportunity"):
        sl.fit_lifetime(events, model="bg_bb", opportunity_days=600)


def test_a_penalty_keeps_the_mean_of_spend_in_reach(events):
    # Pulled to p = 1 and q = 3, v = 1 times the geometric mean of spend: the mean of
    # a purchase is then half of that, whatever else is known.
    found = sl.fit_lifetime(events, model="nbd", penalty=1e6).spend
    assert found.params["q"] == pytest.approx(3, rel=0.01)
    assert found.params["p"] == pytest.approx(1, rel=0.01)
    assert found.mean_order_value > 0


def test_matrix_is_the_kernel_on_a_grid(chosen):
    found = chosen.matrix(90, max_purchases=4, n_ages=5)
    assert found.p_alive.shape == (4, 5)
    assert found.age_days == 545
    np.testing.assert_allclose(found.recency_days, [0, 136.25, 272.5, 408.75, 545])
    # One purchase has no age of a last repeat one, and more have one above 0.
    assert np.isnan(found.p_alive[0, 1:]).all()
    assert np.isnan(found.p_alive[1:, 0]).all()
    one = chosen.kernel.p_alive(
        list(chosen.params.values()), x=2, recency=272.5 / WEEK, age=545 / WEEK
    )
    assert found.p_alive[2, 2] == pytest.approx(float(one))
    known = ~np.isnan(found.p_alive)
    assert np.array_equal(known, ~np.isnan(found.expected_purchases))
    # The later the last purchase, the likelier somebody is still there.
    assert (np.diff(found.p_alive[1:, 1:], axis=1) > 0).all()


def test_spend_distribution_counts_everybody(chosen):
    found = sl.spend_distribution(chosen, n_bins=12)
    table = found.table
    assert list(table.columns) == schema.names("spend_distribution")
    assert table["n_people"].sum() == found.n_people == chosen.spend.n_people
    assert table["share"].sum() == pytest.approx(1)
    assert table["share_expected"].sum() == pytest.approx(1)
    # 2.5 % of people lie in the open bar.
    assert table["share"].iloc[-1] == pytest.approx(0.025, abs=0.002)
    # Discs have price points, which no smooth distribution has.
    off = (table["share"] - table["share_expected"]).abs()
    assert off.max() < 0.05
    # Against draws from the model for customers with as many purchases.
    people = chosen.predict(30).to_pandas()
    x = people["n_purchases"].to_numpy() - 1
    x = np.repeat(x[x > 0], 50)
    p, q, v = chosen.spend.params.values()
    rng = np.random.default_rng(0)
    drawn = rng.gamma(p * x) / rng.gamma(q, 1 / v, x.size) / x
    counts = np.histogram(drawn, np.append(table["low_value"], np.inf))[0] / x.size
    np.testing.assert_allclose(table["share_expected"], counts, atol=0.006)


def test_expected_purchases_of_everybody_are_tracked(events):
    # Expected repeat purchases by day 7j from 1997-01-01 at the cut of 39 weeks.
    test = sl.backtest_lifetime(events, at=CUT, model="bg_nbd")
    weeks = test.weeks.set_index("week")
    expected = [1312.462, 1387.350, 1460.396, 1531.718, 1601.423, 1669.605]
    for week, value in enumerate(expected, 20):
        assert weeks.loc[week, "expected_so_far"] == pytest.approx(value, abs=5e-3)
    # 1,882 repeat purchases in the holdout, 4,339 in all.
    assert weeks["actual_so_far"].iloc[-1] == 4339
    at_cut = weeks[weeks["last_day"] <= CUT].iloc[-1]
    assert at_cut["phase"] == "fitted"
    assert set(weeks["phase"]) == {"fitted", "both", "holdout"}


def test_means_by_frequency_as_published(events):
    # BTYD walkthrough 4.4: BG/NBD by repeat purchases 0..6; actual of the holdout.
    test = sl.backtest_lifetime(events, at=CUT, model="bg_nbd")
    table = test.frequencies.set_index("n_purchases")
    predicted = [0.2250893, 0.5231364, 1.044126, 1.520256, 2.163824, 2.653789]
    actual = [0.2367116, 0.6970387, 1.392523, 1.560, 2.532258, 2.947368]
    np.testing.assert_allclose(table["predicted"].iloc[:6], predicted, rtol=1e-4)
    np.testing.assert_allclose(table["actual"].iloc[:6], actual, rtol=1e-6)
    assert table["n_people"].tolist()[:6] == [1411, 439, 214, 100, 62, 38]
    score = test.scores.set_index(["method", "measure"]).loc[("BG/NBD", "purchases")]
    assert score["actual"] == 1882
    assert score["predicted"] == pytest.approx(1653.409, abs=1e-3)
    assert dot(table["n_people"].to_numpy(), table["actual"].to_numpy()) == 1882
