"""Lifetime models as files: what comes back is what went in, or a clear error."""

import json

import numpy as np
import pandas as pd
import pytest

import selfloop as sl
from selfloop.core.errors import DataError, FileError, SettingError


@pytest.fixture(scope="module")
def shop():
    """A simulated shop with referrals."""
    return sl.simulate(n_visitors=3000, seed=7)


@pytest.fixture(scope="module")
def events(shop):
    return sl.read_events(shop.orders, shop.referrals, visits=shop.visits)


@pytest.fixture(scope="module")
def lifted(events):
    """A model with one covariate of two levels: six numbers, and four of spend."""
    return sl.fit_lifetime(events, model="mbg_nbd", covariates=["was_referred"])


def frame(table):
    return table.to_pandas().sort_values("person_id", ignore_index=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "mbg_nbd", "unit_days": 7},
        {"model": "pareto_nbd", "covariates": ["source"]},
        {"model": "mbg_cnbd_k", "k": 2},
        {"model": "pdo", "tau_days": 30},
        {"model": "bg_bb", "opportunity_days": 60},
        {"model": "auto"},
    ],
)
def test_a_model_comes_back_as_it_was(events, tmp_path, settings):
    model = sl.fit_lifetime(events, **settings)
    file = sl.write_lifetime(model, tmp_path / "model.json")
    again = sl.read_lifetime(file)
    for name in (
        "model", "settings", "params", "standard_errors", "coefficients", "covariates",
        "log_likelihood", "aic", "bic", "n_people", "unit_days", "at_bound", "penalty",
        "start", "end", "timezone", "purchase", "zero_orders", "currency",
        "library_version", "share_kept", "spend_reason", "engine",
    ):  # fmt: skip
        assert getattr(again, name) == getattr(model, name), name
    np.testing.assert_array_equal(again.covariance, model.covariance)
    pd.testing.assert_frame_equal(again.summary(), model.summary())
    pd.testing.assert_frame_equal(again.lifts(), model.lifts())
    pd.testing.assert_frame_equal(again.tests, model.tests, check_dtype=False)
    horizon = 180
    np.testing.assert_array_equal(
        again.expected_new_customer(horizon), model.expected_new_customer(horizon)
    )
    pd.testing.assert_frame_equal(
        frame(again.predict(horizon, events=events)), frame(model.predict(horizon))
    )
    np.testing.assert_array_equal(
        again.total(horizon, events=events), model.total(horizon)
    )


def test_a_file_says_what_was_fitted_and_by_which_rules(events, tmp_path):
    model = sl.fit_lifetime(events, model="mbg_nbd", unit_days=7)
    content = json.loads(sl.write_lifetime(model, tmp_path / "m.json").read_text())
    assert content["schema"] == "selfloop.lifetime/1"
    assert content["unit_days"] == 7
    assert content["timezone"] == "UTC"
    assert content["end"] == events.end.isoformat()
    assert content["purchase"] == "day"
    assert "share_kept" in content["rules"]["refunds"]
    assert content["library_version"] == sl.__version__


def test_a_model_from_a_file_needs_events_read_by_the_same_rules(
    shop, events, tmp_path
):
    model = sl.fit_lifetime(events, model="mbg_nbd")
    again = sl.read_lifetime(sl.write_lifetime(model, tmp_path / "m.json"))
    with pytest.raises(SettingError, match="knows no customers; pass events="):
        again.predict()
    other = sl.read_events(shop.orders, purchase="order")
    with pytest.raises(SettingError, match="events must be read as those of the model"):
        again.predict(events=other)


def test_a_model_predicts_for_new_customers_of_later_events(shop, tmp_path):
    cut = shop.orders["ordered_at"].min() + pd.Timedelta(days=400)
    early = sl.read_events(shop.orders, end=cut.date())
    model = sl.fit_lifetime(early, model="mbg_nbd")
    later = sl.read_events(shop.orders)
    rows = frame(model.predict(90, events=later))
    assert len(rows) == later.totals["n_buyers"] > early.totals["n_buyers"]
    again = sl.read_lifetime(sl.write_lifetime(model, tmp_path / "m.json"))
    pd.testing.assert_frame_equal(frame(again.predict(90, events=later)), rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is no JSON"),
        ("[1, 2]", "its schema is None"),
        ('{"schema": "selfloop.report/1"}', "its schema is 'selfloop.report/1'"),
        ('{"schema": "selfloop.lifetime/1"}', "a part is missing or wrong"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(DataError, match=f"SL124  .*{message}"):
        sl.read_lifetime(file)


def changed(content, path, value):
    """Return a copy of a file's content with one value changed."""
    copy = json.loads(json.dumps(content))
    *above, last = path.split(".")
    place = copy
    for name in above:
        place = place[name]
    place[last] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model", "nonsense", "a part is missing or wrong"),
        ("end", "someday", "a part is missing or wrong"),
        ("end", "1990-01-01", "start and end is not what"),
        ("params", {"r": 1.0}, r"parameters are \['r'\], not \['r', 'alpha'"),
        ("params.r", -1.0, "params is not what it can be"),
        ("params.r", None, "params is not what it can be"),
        ("settings", None, "settings is not what it can be"),
        ("settings", [1], "settings is not what it can be"),
        ("coefficients", None, "coefficients is not what it can be"),
        ("coefficients", {}, "coefficients do not go with the covariates"),
        ("covariates", [], "coefficients do not go with the covariates"),
        ("share_kept", -1, "share_kept is -1, not above 0"),
        ("share_kept", None, "share_kept is not what it can be"),
        ("unit_days", -1, "unit_days is not what it can be"),
        ("unit_days", "day", "unit_days is not what it can be"),
        ("log_likelihood", None, "log_likelihood is not what it can be"),
        ("n_people", -1, "n_people is not what it can be"),
        ("at_bound", "x", "at_bound names other things"),
        ("timezone", "Mars", "timezone is not what it can be"),
        ("currency", 3, "currency is not what it can be"),
        ("covariance", [[1.0]], "covariance is none of 6 numbers"),
        ("covariance", -1, "covariance is none of 6 numbers"),
        ("spend.params.q", 0.5, "the mean spend does not exist"),
        ("spend.params", {"p": 1.0}, "spend parameters are"),
        ("spend.covariance", [], "spend covariance is none of 4 numbers"),
        ("spend.n_people", "many", "spend n_people is not what"),
    ],
)
def test_a_changed_file_is_refused(lifted, tmp_path, path, value, message):
    file = sl.write_lifetime(lifted, tmp_path / "m.json")
    content = changed(json.loads(file.read_text(encoding="utf-8")), path, value)
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=f"SL124.*{message}"):
        sl.read_lifetime(file)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"unit_days": 1.0', '"unit_days": NaN'),
        ('"unit_days": 1.0', '"unit_days": 1e400'),
        ('"unit_days": 1.0', '"unit_days": ' + "9" * 5000),
        ('"unit_days": 1.0', '"unit_days": ' + "[" * 100_000),
    ],
    ids=["none", "infinite", "5,000 digits", "nested"],
)
def test_a_file_of_what_is_no_number_is_refused(lifted, tmp_path, old, new):
    file = sl.write_lifetime(lifted, tmp_path / "m.json")
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=r"SL124.*it is no JSON"):
        sl.read_lifetime(file)


def test_a_byte_order_mark_is_read(lifted, tmp_path):
    file = sl.write_lifetime(lifted, tmp_path / "m.json")
    text = file.read_text(encoding="utf-8")
    file.write_text(text, encoding="utf-8-sig")
    assert sl.read_lifetime(file).params == lifted.params


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileError, match=r"SL105  .*'no.json' cannot be read"):
        sl.read_lifetime(tmp_path / "no.json")


def test_nothing_is_left_half_written(events, tmp_path):
    model = sl.fit_lifetime(events, model="mbg_nbd")
    with pytest.raises(FileError, match="SL140"):
        sl.write_lifetime(model, tmp_path / "none" / "m.json")
    assert list(tmp_path.iterdir()) == []
