"""The backtest: each number again with pandas and scipy, laws, and what has none."""

import datetime as dt
import math

import cdnow
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import selfloop as sl
from selfloop.core import schema
from selfloop.core.errors import FitError, SettingError

CUT = dt.date(1997, 9, 30)
Z = 1.959963984540054
BASELINES = ("last period", "average", "own rate")


def by_hand(orders, *, at, horizon_days, purchase="day", zero_orders="ignore"):
    """Return what buyers known at a day did before and after it, with pandas alone.

    Columns: x, age, repeat, n_later, later_value, n_last, last_value, first (a day).
    """
    rows = orders.assign(day=orders["ordered_at"].dt.floor("D"))
    keys = ["customer_id", "day"]
    if purchase == "day":
        rows = rows.groupby(keys, as_index=False).agg(
            net=("amount", "sum"), low=("amount", "min"), at=("ordered_at", "min")
        )
    else:
        rows = rows.assign(
            net=rows["amount"], low=rows["amount"], at=rows["ordered_at"]
        )
    rows["bought"] = rows["net"] > 0
    if zero_orders == "count":
        rows["bought"] |= (rows["net"] == 0) & (rows["low"] >= 0)
    at = pd.Timestamp(at)
    span = pd.Timedelta(days=horizon_days)
    past = rows[rows["day"] <= at]
    bought = past[past["bought"]]
    first = bought.groupby("customer_id")["at"].min()
    people = pd.DataFrame({"first": first})
    people["x"] = bought.groupby("customer_id").size() - 1
    if purchase == "day":
        people["age"] = (at - first.dt.floor("D")).dt.days * 1.0
    else:
        close = at + pd.Timedelta(days=1)
        people["age"] = (close - first) / pd.Timedelta(days=1)
    is_first = bought["at"] == bought["customer_id"].map(first)
    people["repeat"] = bought[~is_first].groupby("customer_id")["net"].sum()
    for name, part in (
        ("later", rows[(rows["day"] > at) & (rows["day"] <= at + span)]),
        ("last", rows[(rows["day"] <= at) & (rows["day"] > at - span)]),
    ):
        people[f"n_{name}"] = part[part["bought"]].groupby("customer_id").size()
        people[f"{name}_value"] = part.groupby("customer_id")["net"].sum()
    # Sums of cents, exact as in the engine: rounding would break ties.
    money = ["repeat", "later_value", "last_value"]
    return people.fillna(0.0).round(dict.fromkeys(money, 2))


def predictions(people, horizon_days):
    """Return the baselines' purchases and value of each customer."""
    rate = people["x"].sum() / people["age"].sum()
    worth = people["repeat"].sum() / people["x"].sum()
    own = np.where(
        people["age"] > 0,
        people["x"] / people["age"].where(people["age"] > 0, 1) * horizon_days,
        0.0,
    )
    own_worth = np.where(
        people["x"] > 0, people["repeat"] / people["x"].where(people["x"] > 0, 1), worth
    )
    average = np.full(len(people), rate * horizon_days)
    return {
        ("last period", "purchases"): people["n_last"].to_numpy(),
        ("last period", "value"): people["last_value"].to_numpy(),
        ("average", "purchases"): average,
        ("average", "value"): average * worth,
        ("own rate", "purchases"): own,
        ("own rate", "value"): own * own_worth,
    }


def share_of_top_tenth(predicted, actual):
    """Average over ties by brute force: everybody cut into ten equal pieces."""
    if predicted.min() == predicted.max() or actual.sum() <= 0:
        return math.nan
    n = predicted.size
    taken = np.zeros(n)
    left = n / 10
    for value in np.unique(predicted)[::-1]:
        group = predicted == value
        share = min(1.0, left / group.sum())
        taken[group] = share
        left -= share * group.sum()
        if left <= 1e-12:
            break
    return float((taken * actual).sum() / actual.sum())


def check_scores(test, people, horizon_days):
    """Compare every score of every method with pandas, numpy and scipy."""
    mine = test.model.predict(horizon_days).to_pandas().set_index("person_id")
    mine = mine.loc[people.index]
    predicted = predictions(people, horizon_days)
    predicted[test.model.label, "purchases"] = mine["expected_purchases"].to_numpy()
    if test.model.spend is not None:
        predicted[test.model.label, "value"] = mine["expected_value"].to_numpy()
    actual = {"purchases": people["n_later"], "value": people["later_value"]}
    scores = test.scores.set_index(["method", "measure"])
    assert set(scores.index) == set(predicted)
    for key, guess in predicted.items():
        truth, row = actual[key[1]].to_numpy(), scores.loc[key]
        off = guess - truth
        expected = {
            "actual": truth.sum(),
            "predicted": guess.sum(),
            "error": guess.sum() / truth.sum() - 1,
            "mae": np.abs(off).mean(),
            "rmse": math.sqrt((off**2).mean()),
            "share_top_tenth": share_of_top_tenth(guess, truth),
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-9, nan_ok=True), (key, name)
        if key[0] == "average":
            assert math.isnan(row["rank_correlation"])
        else:
            rank = spearmanr(guess, truth).statistic
            assert row["rank_correlation"] == pytest.approx(rank, abs=1e-9), key


def check_deciles(test, people, horizon_days):
    """Compare the calibration by tenths."""
    mine = test.model.predict(horizon_days).to_pandas().set_index("person_id")
    mine = mine.loc[people.index]
    for measure, guess, truth in (
        ("purchases", mine["expected_purchases"], people["n_later"]),
        ("value", mine["expected_value"], people["later_value"]),
    ):
        table = test.deciles[test.deciles["measure"] == measure]
        if test.model.spend is None and measure == "value":
            assert table.empty
            continue
        assert table["decile"].tolist() == list(range(1, 11))
        n = len(people)
        sizes = [n // 10 + (i < n % 10) for i in range(10)]
        assert table["n_people"].tolist() == sizes
        assert table["predicted"].is_monotonic_decreasing
        weight = table["n_people"] / n
        assert (table["predicted"] * weight).sum() == pytest.approx(guess.mean())
        assert (table["actual"] * weight).sum() == pytest.approx(truth.mean())
        # Only whoever ties with the edge of a tenth could be in another one.
        ranked = guess.sort_values(ascending=False).to_numpy()
        ends = np.cumsum([0, *sizes])
        for row, start, stop in zip(
            table.itertuples(), ends[:-1], ends[1:], strict=True
        ):
            assert row.predicted == pytest.approx(ranked[start:stop].mean(), rel=1e-9)
            tied = (start > 0 and ranked[start] == ranked[start - 1]) or (
                stop < n and ranked[stop] == ranked[stop - 1]
            )
            assert row.actual_low <= row.actual <= row.actual_high
            if tied:
                continue
            inside = truth[(guess >= ranked[stop - 1]) & (guess <= ranked[start])]
            assert len(inside) == stop - start
            reach = Z * inside.std(ddof=1) / math.sqrt(len(inside))
            assert row.actual == pytest.approx(inside.mean())
            assert row.actual_high - row.actual == pytest.approx(reach)
            assert row.actual - row.actual_low == pytest.approx(reach)


def check_weeks(test, orders, people, horizon_days, *, purchase="day", zero=False):
    """Compare weekly counts with the raw orders, and the expected with the kernel."""
    rows = orders.assign(day=orders["ordered_at"].dt.floor("D"))
    if purchase == "day":
        rows = rows.groupby(["customer_id", "day"], as_index=False)["amount"].sum()
    rows = rows[(rows["amount"] > 0) | (zero & (rows["amount"] == 0))]
    rows = rows[rows["customer_id"].isin(people.index)]
    first = people["first"].dt.floor("D")
    cut = pd.Timestamp(test.at)
    origin, last = first.min(), cut + pd.Timedelta(days=horizon_days)
    weeks = test.weeks
    assert list(weeks.columns) == schema.names("backtest_weeks")
    days = [pd.Timestamp(day) for day in weeks.iloc[:, 1]]
    assert days[-1] == last
    assert days[:-1] == [
        origin + pd.Timedelta(days=7 * (i + 1)) for i in range(len(days) - 1)
    ]
    assert weeks["week"].tolist() == list(range(1, len(days) + 1))
    so_far = [(rows["day"] <= day).sum() - (first <= day).sum() for day in days]
    assert weeks["actual_so_far"].tolist() == so_far
    assert weeks["actual"].tolist() == np.diff(so_far, prepend=0).tolist()
    starts = [origin - pd.Timedelta(days=1), *days[:-1]]
    phases = [
        "fitted" if day <= cut else "holdout" if start >= cut else "both"
        for start, day in zip(starts, days, strict=True)
    ]
    assert weeks["phase"].tolist() == phases
    kernel, params = test.model.kernel, list(test.model.params.values())
    for day, found in list(zip(days, weeks["expected_so_far"], strict=True))[::9]:
        ages = np.maximum((day - first).dt.days, 0).to_numpy(dtype=float)
        distinct, n = np.unique(ages, return_counts=True)
        total = float((kernel.expected_new(params, distinct) * n).sum())
        assert found == pytest.approx(total, rel=1e-9)
    np.testing.assert_allclose(
        weeks["expected"], np.diff(weeks["expected_so_far"], prepend=0), rtol=1e-9
    )
    return weeks


def check_frequencies(test, people, horizon_days):
    """Compare the means by purchases up to the cut; 7 and more are together."""
    mine = test.model.predict(horizon_days).to_pandas().set_index("person_id")
    group = np.minimum(people["x"] + 1, 7).astype(int)
    expected = pd.DataFrame(
        {
            "n_people": group.groupby(group).size(),
            "predicted": mine["expected_purchases"]
            .loc[people.index]
            .groupby(group)
            .mean(),
            "actual": people["n_later"].groupby(group).mean(),
        }
    )
    found = test.frequencies.set_index("n_purchases")
    assert found.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(found, expected, rtol=1e-9)


# CDNOW -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def discs():
    """All 78 weeks of CDNOW."""
    return sl.read_events(cdnow.orders(), zero_orders="count")


@pytest.fixture(scope="module")
def of_discs(discs):
    """MBG/NBD on 39 weeks, scored on the next 39."""
    return sl.backtest_lifetime(discs, at=CUT, model="mbg_nbd")


@pytest.fixture(scope="module")
def disc_people():
    return by_hand(cdnow.orders(), at=CUT, horizon_days=273, zero_orders="count")


def test_cdnow_scores(of_discs, disc_people):
    assert (of_discs.at, of_discs.horizon_days, of_discs.n_people) == (CUT, 273, 2357)
    assert disc_people["n_later"].sum() == 1882
    check_scores(of_discs, disc_people, 273)
    best = of_discs.scores.set_index(["measure", "method"])
    for measure in ("purchases", "value"):
        rmse = best.loc[measure, "rmse"]
        assert rmse.idxmin() == "MBG/NBD"


def test_cdnow_deciles(of_discs, disc_people):
    check_deciles(of_discs, disc_people, 273)


def test_cdnow_weeks(of_discs, disc_people):
    weeks = check_weeks(of_discs, cdnow.orders(), disc_people, 273, zero=True)
    assert weeks["actual_so_far"].iloc[-1] == 4339
    assert len(weeks) == 78


def test_cdnow_frequencies(of_discs, disc_people):
    check_frequencies(of_discs, disc_people, 273)


def test_tables_are_those_declared(of_discs):
    for name in ("scores", "deciles", "weeks", "frequencies"):
        found = list(getattr(of_discs, name).columns)
        assert found == schema.names(f"backtest_{name}")
    text = repr(of_discs)
    assert "MBG/NBD" in text
    assert "1997-09-30" in text
    assert "own rate" in of_discs._repr_html_()


def test_a_shorter_horizon_and_a_text_as_day(discs):
    test = sl.backtest_lifetime(discs, at="1997-09-30", horizon_days=60, model="bg_nbd")
    people = by_hand(cdnow.orders(), at=CUT, horizon_days=60, zero_orders="count")
    assert test.at == CUT
    check_scores(test, people, 60)
    check_deciles(test, people, 60)
    check_frequencies(test, people, 60)
    check_weeks(test, cdnow.orders(), people, 60, zero=True)


def test_the_default_cut_is_the_last_third(discs):
    # 546 days: the last 182 are the holdout; 1998-06-30 less 182 days.
    test = sl.backtest_lifetime(discs, model="mbg_nbd")
    assert test.horizon_days == 182
    assert test.at == dt.date(1997, 12, 30)
    given = sl.backtest_lifetime(discs, horizon_days=182, model="mbg_nbd")
    pd.testing.assert_frame_equal(test.scores, given.scores)


def test_the_order_of_rows_does_not_matter(of_discs):
    orders = cdnow.orders().sample(frac=1, random_state=3)
    events = sl.read_events(orders, zero_orders="count")
    other = sl.backtest_lifetime(events, at=CUT, model="mbg_nbd")
    for name in ("scores", "deciles", "weeks", "frequencies"):
        pd.testing.assert_frame_equal(
            getattr(other, name), getattr(of_discs, name), rtol=1e-9
        )


def test_cutting_equals_reading_less(of_discs):
    less = sl.read_events(cdnow.orders(), zero_orders="count", end=CUT)
    model = sl.fit_lifetime(less, model="mbg_nbd")
    assert model.params == of_discs.model.params
    assert model.spend.params == of_discs.model.spend.params
    row = of_discs.scores.iloc[0]
    assert model.total(273).purchases == pytest.approx(row["predicted"], rel=1e-12)
    value = of_discs.scores.set_index(["method", "measure"]).loc[("MBG/NBD", "value")]
    assert model.total(273).value == pytest.approx(value["predicted"], rel=1e-12)


def test_what_comes_after_the_horizon_does_not_matter(discs):
    end = CUT + dt.timedelta(days=60)
    less = sl.read_events(cdnow.orders(), zero_orders="count", end=end)
    one, other = (
        sl.backtest_lifetime(e, at=CUT, horizon_days=60, model="mbg_nbd")
        for e in (discs, less)
    )
    for name in ("scores", "deciles", "weeks", "frequencies"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize(
    "name", ["auto", "pareto_nbd", "mbg_cnbd_k", "bg_cnbd_k", "nbd"]
)
def test_every_model_is_scored(discs, disc_people, name):
    test = sl.backtest_lifetime(discs, at=CUT, model=name)
    check_scores(test, disc_people, 273)
    assert test.model.label in set(test.scores["method"])
    assert np.isfinite(test.weeks["expected"]).all()


# A small shop with everything in it ---------------------------------------------


def untidy_shop():
    """Return orders with several orders a day, refunds, zeros, and newcomers."""
    rng = np.random.default_rng(7)
    rows = []
    for i in range(80):
        day = float(rng.integers(0, 230))
        for _ in range(1 + rng.poisson(3)):
            if day >= 300:
                break
            amount = round(float(rng.gamma(3) * 9), 2)
            rows.append((f"k{i}", day + rng.uniform(0.3, 0.6), amount))
            if rng.random() < 0.15:  # another order of the same day
                rows.append((f"k{i}", day + 0.7, round(amount / 3, 2)))
            if rng.random() < 0.15:  # part of it comes back the same day
                rows.append((f"k{i}", day + 0.8, -round(amount / 4, 2)))
            if rng.random() < 0.2:  # or weeks later
                rows.append((f"k{i}", day + 20.5, -round(amount / 2, 2)))
            if rng.random() < 0.1:  # all of it on the day: no purchase by day
                rows.append((f"k{i}", day + 5.2, amount))
                rows.append((f"k{i}", day + 5.9, -amount))
            if rng.random() < 0.1:
                rows.append((f"k{i}", day + 3.5, 0.0))
            day += int(rng.integers(1, 50))
    rows += [("back", 40.4, -5.0), ("back", 250.2, -7.0)]  # only ever gives back
    rows += [("once", 0.6, 3.0), ("late", 299.6, 4.0)]
    orders = pd.DataFrame(rows, columns=["customer_id", "day", "amount"])
    orders = orders[orders["day"] < 300]
    start = pd.Timestamp("2025-03-01")
    orders["ordered_at"] = start + pd.to_timedelta(
        orders.pop("day"), unit="D"
    ).dt.floor("s")
    return orders.sample(frac=1, random_state=1)


UNTIDY_CUT = dt.date(2025, 9, 16)  # day 199


@pytest.mark.parametrize("zero_orders", ["ignore", "count"])
def test_an_untidy_shop_by_day(zero_orders):
    orders = untidy_shop()
    events = sl.read_events(orders, zero_orders=zero_orders)
    test = sl.backtest_lifetime(events, at=UNTIDY_CUT, model="mbg_nbd")
    people = by_hand(orders, at=UNTIDY_CUT, horizon_days=100, zero_orders=zero_orders)
    assert test.horizon_days == 100
    assert test.n_people == len(people)
    assert "back" not in people.index
    assert "late" not in people.index
    # Refunds of purchases before the cut fall into the holdout, and count there.
    assert (people.loc[people["n_later"] == 0, "later_value"] < 0).any()
    check_scores(test, people, 100)
    check_deciles(test, people, 100)
    check_frequencies(test, people, 100)


def test_the_weeks_of_an_untidy_shop():
    orders = untidy_shop()
    test = sl.backtest_lifetime(sl.read_events(orders), at=UNTIDY_CUT, model="mbg_nbd")
    people = by_hand(orders, at=UNTIDY_CUT, horizon_days=100)
    weeks = check_weeks(test, orders, people, 100)
    # 300 days: 42 whole weeks after the first day, and what is left.
    assert len(weeks) == 43
    assert (weeks["actual"] >= 0).all()


def test_an_untidy_shop_by_order():
    orders = untidy_shop()
    events = sl.read_events(orders, purchase="order")
    test = sl.backtest_lifetime(events, at=UNTIDY_CUT, model="mbg_nbd")
    people = by_hand(orders, at=UNTIDY_CUT, horizon_days=100, purchase="order")
    assert test.n_people == len(people)
    check_scores(test, people, 100)
    check_deciles(test, people, 100)
    check_frequencies(test, people, 100)
    weeks = check_weeks(test, orders, people, 100, purchase="order")
    assert (weeks["actual"] >= 0).all()


def test_customers_of_the_holdout_are_not_predicted(discs):
    orders = cdnow.orders()
    new = orders.head(300).assign(
        customer_id="new" + orders["customer_id"].head(300).str[1:],
        ordered_at=pd.Timestamp("1998-01-05"),
        amount=1000.0,
    )
    events = sl.read_events(pd.concat([orders, new]), zero_orders="count")
    one, other = (
        sl.backtest_lifetime(e, at=CUT, model="mbg_nbd") for e in (discs, events)
    )
    assert one.n_people == other.n_people
    pd.testing.assert_frame_equal(one.scores, other.scores)
    pd.testing.assert_frame_equal(one.weeks, other.weeks)


def test_value_without_a_spend_model():
    # Eight repeat buyers of positive value are too few for a spend model.
    days = {f"c{i}": [(i, 9.0)] for i in range(60)}
    days |= {
        f"d{i}": [(i, 9.0 + i), (20 + 5 * i, 12.0 + i), (140, 8.0)] for i in range(8)
    }
    rows = [
        (who, pd.Timestamp("2026-01-01") + pd.Timedelta(days=day), amount)
        for who, of_them in days.items()
        for day, amount in of_them
    ]
    orders = pd.DataFrame(rows, columns=["customer_id", "ordered_at", "amount"])
    cut = dt.date(2026, 4, 10)
    test = sl.backtest_lifetime(sl.read_events(orders), at=cut, model="bg_nbd")
    assert test.model.spend is None
    people = by_hand(orders, at=cut, horizon_days=41)
    assert people["n_later"].sum() == 8
    check_scores(test, people, 41)
    check_deciles(test, people, 41)
    assert set(test.scores[test.scores["measure"] == "value"]["method"]) == {*BASELINES}


def test_a_shop_to_which_nobody_comes_back(discs):
    orders = cdnow.orders()
    orders = orders[orders["ordered_at"] <= pd.Timestamp(CUT)]
    last = orders.head(1).assign(customer_id="x", ordered_at=pd.Timestamp("1998-06-30"))
    events = sl.read_events(pd.concat([orders, last]), zero_orders="count")
    test = sl.backtest_lifetime(events, at=CUT, model="mbg_nbd")
    expected = sl.backtest_lifetime(discs, at=CUT, model="mbg_nbd").scores
    assert (test.scores["actual"] == 0).all()
    np.testing.assert_allclose(test.scores["predicted"], expected["predicted"])
    # With nothing to compare with there is no relative error and nobody to rank.
    for name in ("error", "rank_correlation", "share_top_tenth"):
        assert test.scores[name].isna().all(), name
    np.testing.assert_allclose(
        test.scores["mae"], test.scores["predicted"] / test.n_people
    )
    assert (test.deciles["actual"] == 0).all()
    assert (test.weeks.loc[test.weeks["phase"] == "holdout", "actual"] == 0).all()


# Settings and data without a backtest --------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"at": "1999-01-01"}, "at must lie inside the observed .* got 1999-01-01"),
        ({"at": "1998-06-30"}, "at least a day before its end; got 1998-06-30"),
        ({"at": "1990-01-01"}, "at must lie inside the observed period, 1997-01-01"),
        ({"at": CUT, "horizon_days": 274}, "horizon_days must be between 1 and 273"),
        ({"at": CUT, "horizon_days": 0}, "horizon_days must be between 1 and 273"),
        ({"at": CUT, "horizon_days": math.nan}, "horizon_days must be between 1 and"),
        ({"at": CUT, "horizon_days": True}, "horizon_days must be between 1 and"),
        ({"at": CUT, "horizon_days": "60"}, "horizon_days must be between 1 and"),
        ({"horizon_days": 546}, "horizon_days must be between 1 and 545; got 546"),
        ({"horizon_days": -1}, "horizon_days must be between 1 and 545; got -1"),
        ({"model": "crystal ball"}, "model must be one of 'auto', 'bg_nbd'"),
        ({"model": "bg_bb"}, "bg_bb"),
    ],
)
def test_settings_outside_their_range(discs, settings, message):
    with pytest.raises(SettingError, match=message):
        sl.backtest_lifetime(discs, **settings)


def test_too_few_buyers_at_the_cut(discs):
    with pytest.raises(FitError, match="none of the 18 customers bought a second time"):
        sl.backtest_lifetime(discs, at="1997-01-01", model="mbg_nbd")
    few = cdnow.orders()
    few = few[few["customer_id"].isin(few["customer_id"].unique()[:9])]
    with pytest.raises(FitError, match="at least 10 buyers; there are 9"):
        sl.backtest_lifetime(sl.read_events(few), model="mbg_nbd")


def test_too_short_a_period_has_no_holdout():
    orders = cdnow.orders()
    short = orders[orders["ordered_at"] < pd.Timestamp("1997-03-24")]
    events = sl.read_events(short)  # 82 days, a third of which is 27
    with pytest.raises(FitError, match=r"no holdout: 82 days of data: .* than 28 days"):
        sl.backtest_lifetime(events)
    assert sl.backtest_lifetime(events, horizon_days=20, model="bg_nbd").n_people > 1000
    one_day = orders[orders["ordered_at"] == orders["ordered_at"].min()]
    with pytest.raises(FitError, match="no holdout: 1 days of data"):
        sl.backtest_lifetime(sl.read_events(one_day))


def test_progress_is_told(discs):
    said = []
    sl.backtest_lifetime(discs, at=CUT, model="nbd", progress=said.append)
    assert said == [
        "fitting nbd", "fitting spend", "predicting the holdout", "scoring",
    ]  # fmt: skip


@pytest.mark.parametrize("price", [100.0, 1e6])
def test_one_round_price_is_no_overflow(price):
    # A mean times a price as decimals had more than 18 digits.
    rng = np.random.default_rng(1)
    first = rng.integers(0, 300, 200)
    rows = [
        (f"c{i}", pd.Timestamp("2024-01-01") + pd.Timedelta(days=int(day)), price)
        for i in range(200)
        for day in (first[i], *rng.integers(first[i], 400, rng.poisson(2)))
    ]
    orders = pd.DataFrame(rows, columns=["customer_id", "ordered_at", "amount"])
    found = sl.backtest_lifetime(sl.read_events(orders))
    scores = found.scores.set_index(["method", "measure"])
    value, purchases = (scores.loc["average", m] for m in ("value", "purchases"))
    assert value["predicted"] == pytest.approx(price * purchases["predicted"])
