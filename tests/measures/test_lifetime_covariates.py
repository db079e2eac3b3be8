"""Covariates from tables to lifts: truth, laws, files, and tables that do not fit."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import selfloop as sl
from selfloop.core import schema
from selfloop.core.errors import FitError, FitWarning, MissingTableError, SettingError
from selfloop.kernels.gamma_gamma import GammaGamma, expected_spend

START = pd.Timestamp("2024-01-01")
DAYS = 500
END = (START + pd.Timedelta(days=DAYS - 1)).date()


def shop(n, *, seed, rate=1.5, leaving=0.6, value=1.3, slope=0.0):
    """Draw a shop of MBG/NBD whose referred customers buy, leave and spend otherwise.

    Returns orders, referrals and one row per customer: group, and a number z that
    multiplies the purchase rate by exp(slope z).
    """
    rng = np.random.default_rng(seed)
    referred = rng.random(n) < 0.4
    z = rng.normal(size=n).round(2)
    rates = rng.gamma(0.9, 1 / 25, n) * np.where(referred, rate, 1) * np.exp(slope * z)
    leaves = rng.beta(0.8 * np.where(referred, leaving, 1), 2.5)
    nu = rng.gamma(4.0, 1, n) / (40 * np.where(referred, value, 1))
    first = rng.uniform(0, 0.6 * DAYS, n)
    rows = []
    for i in range(n):
        day = first[i]
        while day < DAYS:
            rows.append((f"c{i}", day))
            if rng.random() < leaves[i]:
                break
            day += rng.exponential(1 / rates[i])
    orders = pd.DataFrame(rows, columns=["customer_id", "day"])
    orders["ordered_at"] = START + pd.to_timedelta(
        orders.pop("day"), unit="D"
    ).dt.floor("s")
    who = orders["customer_id"].str[1:].astype(int).to_numpy()
    orders["amount"] = (rng.gamma(6.0, 1 / nu[who])).round(2) + 0.01
    ids = np.array([f"c{i}" for i in range(n)])
    referrals = pd.DataFrame(
        {
            "referrer_id": "c"
            + pd.Series((np.flatnonzero(referred) + 1) % n).astype(str),
            "referee_id": ids[referred],
            "referred_at": START + pd.to_timedelta(first[referred] - 1, unit="D"),
        }
    )
    people = pd.DataFrame(
        {"customer_id": ids, "group": np.where(referred, "friend", "alone"), "z": z}
    )
    return orders, referrals, people


def read(orders, referrals=None, **settings):
    return sl.read_events(orders, referrals, end=END, **settings)


def frame(table):
    return table.to_pandas().sort_values("person_id", ignore_index=True)


def ratios(model):
    return model.lifts().set_index(["process", "term"])


@pytest.fixture(scope="module")
def tables():
    """700 customers."""
    return shop(700, seed=1, slope=0.3)


@pytest.fixture(scope="module")
def events(tables):
    return read(tables[0])


@pytest.fixture(scope="module")
def both(events, tables):
    """MBG/NBD with the group and the number."""
    return sl.fit_lifetime(
        events, model="mbg_nbd", covariates=["group", "z"], attributes=tables[2]
    )


@pytest.fixture(scope="module")
def plain(events):
    return sl.fit_lifetime(events, model="mbg_nbd")


# Truth -----------------------------------------------------------------------


def test_the_lift_of_being_referred_is_recovered():
    orders, referrals, people = shop(5000, seed=3, slope=0.25)
    events = read(orders, referrals, purchase="order")
    model = sl.fit_lifetime(
        events, model="mbg_nbd", covariates=["was_referred", "z"], attributes=people
    )
    table = ratios(model)
    truth = {
        ("purchase rate", "was_referred=yes"): 1.5,
        ("purchase rate", "z"): math.exp(0.25),
        ("leaving", "was_referred=yes"): 0.6,
        ("leaving", "z"): 1.0,
        ("order value", "was_referred=yes"): 1.3,
        ("order value", "z"): 1.0,
    }
    assert set(table.index) == set(truth)
    for key, value in truth.items():
        row = table.loc[key]
        assert row["ratio_low"] < value < row["ratio_high"], key
        assert row["ratio_high"] / row["ratio_low"] < 1.8, key
    assert table.loc[("purchase rate", "was_referred=yes"), "reference"] == "no"
    tests = model.tests.set_index(["covariate", "process"])["p_value"]
    assert tests[("was_referred", "purchases")] < 1e-10
    assert tests[("was_referred", "order value")] < 1e-10
    assert tests[("z", "purchases")] < 1e-10
    assert tests[("z", "order value")] > 0.01
    base = [0.9, 25.0, 0.8, 2.5]
    off = np.log(np.array(list(model.params.values())) / base)
    errors = np.array(list(model.standard_errors.values())) / list(
        model.params.values()
    )
    # Parameters stand where covariates are 0: not referred, z at its mean of about 0.
    assert (np.abs(off) < 3.5 * errors).all()


def test_source_and_was_referred_agree_where_nobody_else_is_known(tables):
    orders, referrals, _ = tables
    events = read(orders, referrals)
    one, other = (
        sl.fit_lifetime(events, model="mbg_nbd", covariates=[name])
        for name in ("was_referred", "source")
    )
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-7)
    assert ratios(other).index[0] == ("purchase rate", "source=referral")
    np.testing.assert_allclose(
        frame(one.predict(90))["expected_value"],
        frame(other.predict(90))["expected_value"],
        rtol=1e-6,
    )


# What the result says ----------------------------------------------------------


def test_predictions_are_the_kernel_with_parameters_of_each_person(both, tables):
    rows = frame(both.predict(120)).merge(
        tables[2], left_on="person_id", right_on="customer_id"
    )
    assert len(rows) == 700
    friend, z = (rows["group"] == "friend") * 1.0, rows["z"] - both.covariates[1].mean
    assert both.covariates[1].mean == pytest.approx(tables[2]["z"].mean())
    c = both.coefficients
    r, alpha, a, b = both.params.values()
    faster = c["purchase rate: group=friend"] * friend + c["purchase rate: z"] * z
    sooner = c["leaving: group=friend"] * friend + c["leaving: z"] * z
    own = [r, alpha * np.exp(-faster), a * np.exp(sooner), b]
    history = {
        "x": rows["n_purchases"].to_numpy() - 1,
        "recency": rows["recency_days"].to_numpy(),
        "age": rows["age_days"].to_numpy(),
    }
    own = [np.asarray(p) for p in own]
    alive = both.kernel.p_alive(own, **history)
    more = both.kernel.expected_if_alive(own, **history, horizon=120.0)
    np.testing.assert_allclose(rows["p_alive"], alive, rtol=1e-10)
    np.testing.assert_allclose(rows["purchases_if_alive"], more, rtol=1e-10)
    dearer = (
        both.spend.coefficients["order value: group=friend"] * friend
        + both.spend.coefficients["order value: z"] * z
    )
    p, q, v = both.spend.params.values()
    repeat = repeat_value(tables[0]).reindex(rows["person_id"]).to_numpy()
    value = expected_spend(
        GammaGamma(p, q, 0.0), x=history["x"], total=v * np.exp(dearer) + repeat
    )
    np.testing.assert_allclose(rows["expected_order_value"], value, rtol=1e-9)
    total = both.total(120)
    assert total.purchases == pytest.approx((alive * more).sum(), rel=1e-10)
    assert total.value == pytest.approx(rows["expected_value"].sum(), rel=1e-9)
    spread = frame(both.predict_intervals(120))
    np.testing.assert_allclose(spread["p_alive"], rows["p_alive"], rtol=1e-12)
    assert (spread["p_alive_low"] <= spread["p_alive"]).all()
    assert (spread["p_alive"] <= spread["p_alive_high"]).all()


def repeat_value(orders):
    """Return the value of all days but the first, by customer."""
    days = orders.assign(day=orders["ordered_at"].dt.floor("D"))
    days = days.groupby(["customer_id", "day"])["amount"].sum()
    return days.groupby("customer_id").sum() - days.groupby("customer_id").first()


def test_tables_are_those_declared(both):
    assert list(both.lifts().columns) == schema.names("lifts")
    assert list(both.tests.columns) == schema.names("covariate_tests")
    assert list(both.new_customers("group").columns) == schema.names("new_customers")
    assert "lift of covariates" in repr(both)
    summary = both.summary()
    assert len(summary) == 4 + 4 + 3 + 2
    row = summary.set_index("parameter").loc["leaving: z"]
    z95 = 1.959963984540054
    assert row["low"] == pytest.approx(row["estimate"] - z95 * row["standard_error"])
    lift = ratios(both).loc[("leaving", "z")]
    assert lift["ratio"] == pytest.approx(math.exp(row["estimate"]))
    assert lift["ratio_low"] == pytest.approx(math.exp(row["low"]))
    assert lift["ratio_high"] == pytest.approx(math.exp(row["high"]))
    assert lift["reference"] == "one unit less"


def test_tests_are_twice_the_loss_of_likelihood(both, plain, events, tables):
    tests = both.tests.set_index(["covariate", "process"])
    for name, other in (("group", "z"), ("z", "group")):
        less = sl.fit_lifetime(
            events, model="mbg_nbd", covariates=[other], attributes=tables[2]
        )
        for process, gain in (
            ("purchases", both.log_likelihood - less.log_likelihood),
            ("order value", both.spend.log_likelihood - less.spend.log_likelihood),
        ):
            row = tests.loc[(name, process)]
            df = 2 if process == "purchases" else 1
            assert row["n_coefficients"] == df
            assert row["chi_square"] == pytest.approx(2 * gain, abs=1e-6)
            assert row["p_value"] == pytest.approx(
                chi2.sf(row["chi_square"], df), rel=1e-9
            )
        single = less.tests.set_index("process").loc["purchases"]
        assert single["chi_square"] == pytest.approx(
            2 * (less.log_likelihood - plain.log_likelihood), abs=1e-6
        )


def test_more_covariates_never_fit_worse(both, plain, events, tables):
    one = sl.fit_lifetime(
        events, model="mbg_nbd", covariates=["group"], attributes=tables[2]
    )
    for less, more in ((plain, one), (one, both)):
        assert less.log_likelihood <= more.log_likelihood + 1e-9
        assert less.spend.log_likelihood <= more.spend.log_likelihood + 1e-9
    assert both.aic == pytest.approx(2 * 8 - 2 * both.log_likelihood)
    assert both.bic == pytest.approx(np.log(700) * 8 - 2 * both.log_likelihood)


def test_new_customers_are_expected_one_by_one(both):
    table = both.new_customers("group", 200, discount_rate=0.1, margin=0.5)
    assert table["level"].tolist() == ["alone", "friend"]
    for row in table.itertuples(index=False):
        one = both.expected_new_customer(
            200, discount_rate=0.1, margin=0.5, given={"group": row.level}
        )
        assert tuple(one) == tuple(row)[1:]
    at_mean = both.expected_new_customer(
        200, given={"group": "alone", "z": both.covariates[1].mean}
    )
    assert at_mean == both.expected_new_customer(200)
    more = both.expected_new_customer(200, given={"z": 2.0})
    assert more.purchases > at_mean.purchases
    for new in (at_mean, more):
        assert new.purchases_low < new.purchases < new.purchases_high
        assert new.value_low < new.value < new.value_high
    kernel, (r, alpha, a, b) = both.kernel, both.params.values()
    c = both.coefficients
    own = [
        r,
        alpha * math.exp(-c["purchase rate: group=friend"]),
        a * math.exp(c["leaving: group=friend"]),
        b,
    ]
    friend = both.expected_new_customer(200, given={"group": "friend"})
    assert friend.purchases == pytest.approx(float(kernel.expected_new(own, 200.0)))


# Laws --------------------------------------------------------------------------


def check_same_totals(one, other):
    """Compare totals; what chance does is measured on draws, in the order of rows."""
    totals = [m.total(90) for m in (one, other)]
    for field in ("purchases", "value"):
        for end, rtol in (
            ("", 1e-6), ("_mean_low", 1e-5), ("_mean_high", 1e-5), ("_low", 0.02),
            ("_high", 0.02),
        ):  # fmt: skip
            found, expected = (getattr(t, field + end) for t in totals)
            assert found == pytest.approx(expected, rel=rtol), field + end


def test_names_of_levels_and_columns_change_nothing_but_names(events, tables):
    people = tables[2]
    one = sl.fit_lifetime(
        events, model="mbg_nbd", covariates=["group"], attributes=people
    )
    renamed = people.assign(
        **{"来 源": people["group"].map({"friend": 'a "b"; --', "alone": "z=1: y"})}
    )
    other = sl.fit_lifetime(
        events, model="mbg_nbd", covariates=["来 源"], attributes=renamed
    )
    assert other.covariates[0].reference == "z=1: y"
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-9)
    np.testing.assert_allclose(one.values, other.values, rtol=1e-9)
    pd.testing.assert_frame_equal(
        frame(one.predict(90)), frame(other.predict(90)), rtol=1e-9
    )
    check_same_totals(one, other)
    np.testing.assert_allclose(
        one.new_customers("group")["purchases"],
        other.new_customers("来 源")["purchases"],
        rtol=1e-9,
    )


@pytest.mark.parametrize("coding", ["0 and 1", "1 and 0", "level"])
def test_coding_and_reference_change_no_prediction(events, tables, coding):
    people, friend = tables[2], tables[2]["group"] == "friend"
    one = sl.fit_lifetime(
        events, model="mbg_nbd", covariates=["group"], attributes=people
    )
    column = {
        "0 and 1": friend * 5.0 - 2.0,
        "1 and 0": 1 - friend.astype(int),
        "level": friend,
    }[coding]
    other = sl.fit_lifetime(
        events, model="mbg_nbd", covariates=["c"], attributes=people.assign(c=column)
    )
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-7)
    pd.testing.assert_frame_equal(
        frame(one.predict(90)), frame(other.predict(90)), rtol=1e-5
    )
    check_same_totals(one, other)
    size = {"0 and 1": 5.0, "1 and 0": -1.0, "level": 1.0}[coding]
    np.testing.assert_allclose(
        list(other.coefficients.values()),
        np.array(list(one.coefficients.values())) / size,
        rtol=1e-4,
        atol=1e-7,
    )


def test_rows_of_attributes_in_any_order_and_of_strangers(both, events, tables):
    people = pd.concat(
        [tables[2], tables[2].assign(customer_id="x" + tables[2]["customer_id"], z=1e9)]
    ).sample(frac=1, random_state=0)
    other = sl.fit_lifetime(
        events, model="mbg_nbd", covariates=["group", "z"], attributes=people
    )
    np.testing.assert_allclose(other.values, both.values, rtol=1e-9)
    np.testing.assert_allclose(other.spend.values, both.spend.values, rtol=1e-9)


def test_covariates_in_another_order_are_the_same_model(both, events, tables):
    other = sl.fit_lifetime(
        events, model="mbg_nbd", covariates=["z", "group"], attributes=tables[2]
    )
    assert other.log_likelihood == pytest.approx(both.log_likelihood, abs=1e-7)
    for name, value in both.coefficients.items():
        assert other.coefficients[name] == pytest.approx(value, rel=1e-4, abs=1e-6)


def test_a_csv_of_text_is_the_same_as_a_table(both, events, tables, tmp_path):
    file = tmp_path / "people.csv"
    tables[2].to_csv(file, index=False)
    for source in (file, str(file)):
        other = sl.fit_lifetime(
            events, model="mbg_nbd", covariates=["group", "z"], attributes=source
        )
        assert other.params == both.params
        assert other.covariates == both.covariates
        assert other.covariates[1].levels == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(group=t["group"].astype("category")),
        lambda t: t.assign(group=t["group"].astype("string")),
        lambda t: t.assign(z=t["z"].astype("float32").astype("float64").round(2)),
    ],
    ids=["category", "string", "float"],
)
def test_types_of_columns_do_not_matter(both, events, tables, change):
    other = sl.fit_lifetime(
        events, model="mbg_nbd", covariates=["group", "z"], attributes=change(tables[2])
    )
    assert other.params == both.params


def test_the_past_with_covariates_equals_reading_less(events, tables):
    cut = (START + pd.Timedelta(days=330)).date()
    settings = {
        "model": "mbg_nbd", "covariates": ["group"], "attributes": tables[2],
    }  # fmt: skip
    past = sl.fit_lifetime(events, at=cut, **settings)
    less = sl.fit_lifetime(sl.read_events(tables[0], end=cut), **settings)
    assert past.params == less.params
    assert past.coefficients == less.coefficients
    assert past.spend.coefficients == less.spend.coefficients
    pd.testing.assert_frame_equal(frame(past.predict(60)), frame(less.predict(60)))


@pytest.mark.parametrize(
    ("name", "processes"),
    [
        ("bg_nbd", 3), ("pareto_nbd", 3), ("bg_cnbd_k", 3), ("mbg_cnbd_k", 3),
        ("bg_bb", 3), ("nbd", 2), ("auto", 3),
    ],
)  # fmt: skip
def test_every_model_takes_covariates(events, tables, name, processes):
    model = sl.fit_lifetime(
        events, model=name, covariates=["group"], attributes=tables[2]
    )
    bare = sl.fit_lifetime(events, model=name)
    assert len(model.lifts()) == processes
    assert model.log_likelihood >= bare.log_likelihood - 1e-8
    assert ratios(model).loc[("purchase rate", "group=friend"), "ratio"] > 1.2
    df = model.tests.set_index("process").loc["purchases", "n_coefficients"]
    assert df == processes - 1
    rows = frame(model.predict(90))
    assert not rows.isna().any().any()
    assert model.total(90).purchases == pytest.approx(rows["expected_purchases"].sum())


def test_periodic_leaving_takes_covariates(events, tables):
    model = sl.fit_lifetime(
        events, model="pdo", tau_days=25, covariates=["group"], attributes=tables[2]
    )
    assert list(model.coefficients) == [
        "purchase rate: group=friend", "leaving: group=friend",
    ]  # fmt: skip
    assert np.isfinite(list(model.total(90))).all()


def test_progress_of_covariates_is_told(events, tables):
    said = []
    sl.fit_lifetime(
        events, model="nbd", covariates=["z"], attributes=tables[2],
        progress=said.append,
    )  # fmt: skip
    assert said == ["fitting nbd", "fitting spend", "fitting covariates"]


def test_a_covariate_counts_in_the_tracking_of_a_model(both):
    # Expected by age of a new customer: the mean over the people by their covariates.
    forecast = both.forecast(90, discount_rate=0.0, margin=1.0)
    found = forecast.expected_by_age(90, both.whom)
    assert found[0] == 0
    assert (np.diff(found) > 0).all()
    first = both.whom.triples.design[0]
    alone = dataclasses.replace(
        both.whom,
        triples=both.whom.triples._replace(design=first[None, :], n_people=np.ones(1)),
    )
    given = {
        "group": "friend" if first[0] else "alone",
        "z": first[1] + both.covariates[1].mean,
    }
    assert forecast.expected_by_age(90, alone)[90] == pytest.approx(
        both.expected_new_customer(90, given=given).purchases, rel=1e-10
    )


# Missing, constant, collinear, unknown -----------------------------------------


def fit_with(events, people, *covariates):
    return sl.fit_lifetime(
        events, model="mbg_nbd", covariates=list(covariates), attributes=people
    )


@pytest.mark.parametrize("how", ["no row", "NaN", "CSV"])
def test_a_missing_number_is_an_error(events, tables, tmp_path, how):
    people = tables[2]
    source = {
        "no row": people.iloc[3:],
        "NaN": people.assign(z=people["z"].where(people.index > 2)),
        "CSV": tmp_path / "some.csv",
    }[how]
    if how == "CSV":
        people.assign(z=people["z"].where(people.index > 2)).to_csv(source, index=False)
    message = "'z' is missing for 3 of 700 buyers; fill it"
    with pytest.raises(FitError, match=message):
        fit_with(events, source, "z")


# pytest.warns says again what the engine's library says of itself.
ENGINE = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")


@ENGINE
@pytest.mark.parametrize("how", ["no row", "None"])
def test_missing_text_is_a_level_of_its_own(events, tables, how):
    people = tables[2]
    source = {
        "no row": people.iloc[100:],
        "None": people.assign(group=people["group"].where(people.index >= 100, None)),
    }[how]
    with pytest.warns(
        FitWarning, match=r"'group' is missing for 100 buyers; they form"
    ):
        model = fit_with(events, source, "group")
    assert "(missing)" in model.covariates[0].levels
    assert model.new_customers("group")["level"].tolist()[-1] == "(missing)"


@ENGINE
def test_missing_truth_values_are_a_level_of_their_own(events, tables):
    friend = pd.array(tables[2]["group"] == "friend", dtype="boolean")
    friend[:80] = pd.NA
    with pytest.warns(FitWarning, match=r"'f' is missing for 80 buyers"):
        model = fit_with(events, tables[2].assign(f=friend), "f")
    assert model.covariates[0].levels == ("yes", "(missing)")
    assert model.covariates[0].reference == "no"


@ENGINE
def test_small_levels_are_taken_like_the_reference_and_named(events, tables, tmp_path):
    people = tables[2]
    group = people["group"].to_numpy(object)
    few = group.copy()
    few[:9], few[9:12] = "nine", "three"
    few[12:22] = "ten"
    with pytest.warns(
        FitWarning,
        match=r"levels 'nine', 'three' of covariate 'g' \(12 buyers\) are taken like "
        r"'alone': a level needs 10 buyers",
    ):
        model = fit_with(events, people.assign(g=few), "g")
    assert model.covariates[0].levels == ("friend", "ten")
    assert model.covariates[0].small == ("nine", "three")
    # The same as if they had been written as the reference.
    few[:12] = "alone"
    same = fit_with(events, people.assign(g=few), "g")
    assert model.coefficients == same.coefficients
    assert model.standard_errors == same.standard_errors
    assert model.new_customers("g")["level"].tolist() == ["alone", "friend", "ten"]
    ahead = model.expected_new_customer(90, given={"g": "nine"})
    assert ahead == model.expected_new_customer(90)
    again = sl.read_lifetime(sl.write_lifetime(model, tmp_path / "model.json"))
    assert again.covariates == model.covariates


def test_a_lift_of_a_unit_beyond_all_customers_is_not_shown(events, tables):
    model = fit_with(events, tables[2].assign(z=tables[2]["z"] / 1e4), "z")
    lifts = model.lifts()
    assert lifts[["ratio", "ratio_low", "ratio_high"]].isna().all(axis=None)
    assert (lifts["reason"] == "one unit of z is far more than its range").all()
    # The same model: what it expects does not depend on the unit.
    same = fit_with(events, tables[2], "z")
    assert same.total(90).purchases == pytest.approx(model.total(90).purchases)


@pytest.mark.parametrize("name", ["was_referred", "generation", "source"])
def test_covariates_of_referrals_need_referrals(name):
    orders, referrals, _ = shop(300, seed=23)
    known, unknown = read(orders, referrals), sl.read_events(orders)
    model = sl.fit_lifetime(known, model="mbg_nbd", covariates=[name])
    with pytest.raises(MissingTableError, match=f"covariate '{name}' needs a"):
        model.total(90, events=unknown)


def one_column(make):
    """Return a function that adds a column c to a table."""
    return lambda t: t.assign(c=make(t))


@pytest.mark.parametrize(
    ("change", "covariates", "message"),
    [
        (one_column(lambda _: 5), ["c"], "'c' is 5.0 for every buyer, so it explains"),
        (one_column(lambda _: "x"), ["c"], "'c' is 'x' for every buyer"),
        (
            lambda t: t.assign(customer_id="x" + t["customer_id"]), ["group"],
            r"'group' is '\(missing\)' for every buyer",
        ),
        (one_column(lambda _: np.nan), ["c"], "'c' is missing for 700 of 700 buyers"),
        (
            one_column(lambda t: np.where(t["group"] == "friend", 1.0, 3.0)),
            ["group", "c"], "'group=friend', 'c' are collinear: each follows from",
        ),
        (
            one_column(lambda t: 3e6 * t["z"] - 2), ["z", "group", "c"],
            "covariates 'z', 'c' are collinear",
        ),
        (
            one_column(lambda t: [f"l{i % 21}" for i in range(len(t))]), ["c"],
            "'c' has 21 levels of 10 or more buyers, at most 20 can be told apart",
        ),
        (
            one_column(lambda t: np.where(t.index < 9, "x", "y")), ["c"],
            r"'c' has no second level of 10 buyers beside 'y' \(9 buyers have other",
        ),
        (
            one_column(lambda t: np.where(t.index == 4, np.inf, t["z"])), ["c"],
            "'c' is not finite for every buyer",
        ),
    ],
    ids=["constant", "constant text", "other ids", "no number", "level and number",
         "two numbers", "21 levels", "one small level", "infinite"],
)  # fmt: skip
def test_covariates_that_cannot_be_used(events, tables, change, covariates, message):
    with pytest.raises(FitError, match=message):
        fit_with(events, change(tables[2]), *covariates)


@pytest.mark.parametrize(
    ("change", "covariate", "message"),
    [
        (lambda t: t, "gruop", r"got 'gruop'; did you mean 'group'\?"),
        (lambda t: t, "sorce", r"got 'sorce'; did you mean 'source'\?"),
        (lambda t: t, "nothing like it", r"got 'nothing like it'$"),
        (
            lambda _: None,
            "group",
            r"among source, channel, generation, was_referred, or",
        ),
        (
            lambda t: t.drop(columns="customer_id"),
            "group",
            "attributes must have a column customer_id; it has group, z",
        ),
        (
            lambda t: pd.concat([t, t.head(3)]),
            "group",
            "one row per customer_id; 703 rows have 700 ids",
        ),
    ],
    ids=["typo", "typo of ours", "unknown", "no attributes", "no id", "doubled"],
)
def test_attributes_that_do_not_fit(events, tables, change, covariate, message):
    with pytest.raises(SettingError, match=message):
        fit_with(events, change(tables[2]), covariate)


def test_a_level_of_which_nobody_came_back_is_flagged_not_invented(events, tables):
    people, orders = tables[2], tables[0]
    days = orders.assign(day=orders["ordered_at"].dt.floor("D"))
    n = days.drop_duplicates(["customer_id", "day"]).groupby("customer_id").size()
    once = people["customer_id"].map(n) == 1
    level = np.where(once & (once.cumsum() <= 15), "never again", "others")
    model = fit_with(events, people.assign(c=level), "c")
    assert model.at_bound
    assert model.standard_errors == {}
    assert model.lifts()["ratio_low"].isna().all()
    assert "not determined by the data" in model.summary()["reason"].iloc[0]
    lifts = model.lifts().set_index("process")
    assert lifts["ratio_low"].isna()["purchase rate"]
    assert "not determined by the data" in lifts["reason"]["purchase rate"]
    rows = frame(model.predict(90))
    assert not rows.isna().any().any()
    gone = rows[rows["person_id"].isin(people["customer_id"][level == "never again"])]
    assert (gone["expected_purchases"] < 0.5).all()


def test_settings_of_new_customers_outside_their_range(both, plain):
    with pytest.raises(
        SettingError, match=r"group must be one of \('alone', 'friend'\)"
    ):
        both.expected_new_customer(given={"group": "enemy"})
    with pytest.raises(SettingError, match=r"given must name covariates .*got 'age'"):
        both.expected_new_customer(given={"age": 3})
    with pytest.raises(SettingError, match=r"by must be a categorical covariate .*'z'"):
        both.new_customers("z")
    with pytest.raises(SettingError, match=r"model \(none\); got 'group'"):
        plain.expected_new_customer(given={"group": "alone"})
    with pytest.raises(SettingError, match=r"got 'group'; fit it with fit_lifetime"):
        plain.new_customers("group")


# Files -------------------------------------------------------------------------


def with_channels(orders, names, seed):
    """Give each customer a channel."""
    rng = np.random.default_rng(seed)
    ids = orders["customer_id"].unique()
    of = dict(zip(ids, rng.choice(names, ids.size), strict=True))
    return orders.assign(channel=orders["customer_id"].map(of))


def test_a_model_from_a_file_predicts_other_events(tmp_path):
    orders, referrals, _ = shop(500, seed=21)
    names = ["ads", "mail", "search"]
    events = read(with_channels(orders, names, 0), referrals)
    model = sl.fit_lifetime(
        events, model="pareto_nbd", covariates=["channel", "was_referred"]
    )
    again = sl.read_lifetime(sl.write_lifetime(model, tmp_path / "m.json"))
    assert again.covariates == model.covariates
    other_orders, other_referrals, _ = shop(200, seed=22)
    # Another order of frequencies must not change what the levels mean.
    other = read(with_channels(other_orders, names[::-1][:2], 1), other_referrals)
    rows = frame(again.predict(90, events=other))
    assert len(rows) == 200
    assert not rows.isna().any().any()
    pd.testing.assert_frame_equal(rows, frame(model.predict(90, events=other)))
    total = again.total(90, events=other)
    assert total.purchases == pytest.approx(rows["expected_purchases"].sum())
    spread = frame(again.predict_intervals(90, events=other))
    np.testing.assert_allclose(spread["p_alive"], rows["p_alive"], rtol=1e-12)
    person = rows.iloc[0]
    channel = other_of(other, person["person_id"])
    c = again.coefficients
    term = f"purchase rate: channel={channel['channel']}"
    shift = (
        c.get(term, 0.0) + c["purchase rate: was_referred=yes"] * channel["referred"]
    )
    away = c.get(f"leaving: channel={channel['channel']}", 0.0)
    away += c["leaving: was_referred=yes"] * channel["referred"]
    r, alpha, s, beta = again.params.values()
    alive = again.kernel.p_alive(
        [r, alpha * math.exp(-shift), s, beta * math.exp(-away)],
        x=person["n_purchases"] - 1,
        recency=person["recency_days"],
        age=person["age_days"],
    )
    assert person["p_alive"] == pytest.approx(float(alive), rel=1e-10)


def other_of(events, person_id):
    """Return the channel of a person, and whether they were referred."""
    people = sl.people(events).to_pandas().set_index("person_id").loc[person_id]
    return {
        "channel": people["channel"], "referred": people["source"] == "referral",
    }  # fmt: skip


def test_an_unseen_level_is_said_to_be_unseen(tmp_path):
    orders, referrals, _ = shop(300, seed=23)
    events = read(with_channels(orders, ["ads", "mail"], 0), referrals)
    model = sl.fit_lifetime(events, model="mbg_nbd", covariates=["channel"])
    again = sl.read_lifetime(sl.write_lifetime(model, tmp_path / "m.json"))
    other = read(with_channels(orders, ["ads", "radio", "tv"], 0), referrals)
    message = r"'channel' has levels that were not fitted: 'radio', 'tv'"
    with pytest.raises(FitError, match=message):
        again.predict(90, events=other)
    with pytest.raises(FitError, match=message):
        model.total(90, events=other)


def test_a_file_holds_the_covariates(both, tmp_path):
    file = sl.write_lifetime(both, tmp_path / "m.json")
    content = json.loads(file.read_text())
    again = sl.read_lifetime(file)
    assert "alone" in file.read_text()
    assert content["schema"].startswith("selfloop.lifetime/")
    assert again.expected_new_customer(50, given={"group": "friend", "z": 1.5}) == (
        both.expected_new_customer(50, given={"group": "friend", "z": 1.5})
    )
    pd.testing.assert_frame_equal(
        again.new_customers("group", 50), both.new_customers("group", 50)
    )
