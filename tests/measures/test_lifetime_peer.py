"""The package lifetimes as an engine: same optimum here, and none of its defects."""

import warnings
from types import SimpleNamespace

import cdnow
import numpy as np
import pytest

import selfloop as sl
from selfloop.core.errors import FitWarning, SettingError
from selfloop.measures.lifetime import peer

WEEK = 7
CUT = "1997-09-30"


@pytest.fixture(scope="module")
def events():
    """CDNOW to the end of September 1997, days of value 0 counted."""
    return sl.read_events(cdnow.orders(), end=CUT, zero_orders="count")


@pytest.fixture(scope="module")
def fitters(events):
    """What lifetimes itself fits to the frame that is handed over."""
    frame = sl.to_lifetimes_frame(events, unit_days=WEEK)
    with warnings.catch_warnings():  # the package warns, and silences warnings
        warnings.simplefilter("ignore")
        import lifetimes  # noqa: PLC0415 - must not leak filters

        columns = [frame[c] for c in ("frequency", "recency", "T")]
        found = {
            name: getattr(lifetimes, name)().fit(*columns)
            for name in ("BetaGeoFitter", "ModifiedBetaGeoFitter")
        }
        again = frame[frame["frequency"] > 0]
        found["GammaGammaFitter"] = lifetimes.GammaGammaFitter().fit(
            again["frequency"], again["monetary_value"]
        )
    return found


def test_the_frame_is_what_lifetimes_fits(events):
    frame = sl.to_lifetimes_frame(events, unit_days=WEEK)
    assert list(frame.columns) == ["frequency", "recency", "T", "monetary_value"]
    assert frame.index.name == "customer_id"
    # Customer 1 of the reference: (2, 30.4286, 38.8571).
    one = frame.loc["0001"]
    assert one["frequency"] == 2
    assert one["recency"] == pytest.approx(213 / 7)
    assert one["T"] == pytest.approx(272 / 7)
    sample = cdnow.calibration()
    np.testing.assert_array_equal(frame["frequency"], sample.x)
    np.testing.assert_allclose(frame["recency"], sample.recency / 7)
    np.testing.assert_allclose(
        frame["monetary_value"], sample.repeat_total / np.maximum(sample.x, 1)
    )


@pytest.mark.parametrize("name", ["bg_nbd", "mbg_nbd", "pareto_nbd"])
def test_the_other_engine_ends_at_the_same_optimum(events, name):
    ours = sl.fit_lifetime(events, model=name, unit_days=WEEK)
    theirs = sl.fit_lifetime(events, model=name, unit_days=WEEK, engine="lifetimes")
    assert theirs.engine == "lifetimes"
    for key, value in ours.params.items():
        assert theirs.params[key] == pytest.approx(value, rel=5e-3), key
    assert theirs.log_likelihood == pytest.approx(ours.log_likelihood, abs=0.01)
    assert ours.log_likelihood >= theirs.log_likelihood - 1e-9
    # Its covariance is no covariance; ours at its estimates is.
    np.testing.assert_allclose(theirs.covariance, theirs.covariance.T, rtol=1e-9)
    for key, error in ours.standard_errors.items():
        assert theirs.standard_errors[key] == pytest.approx(error, rel=0.02), key


def test_the_random_state_of_the_user_is_left_alone(events):
    np.random.seed(3)  # noqa: NPY002 - the state that lifetimes draws from
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    one = sl.fit_lifetime(events, model="pareto_nbd", engine="lifetimes")
    assert np.random.random() == expected  # noqa: NPY002
    other = sl.fit_lifetime(events, model="pareto_nbd", engine="lifetimes")
    assert one.params == other.params


def test_a_worse_end_of_lifetimes_is_said(events, monkeypatch):
    def stopped_early(*_):
        """Return what a search that stopped early would."""
        return SimpleNamespace(params_={"r": 0.3, "alpha": 4.0, "a": 0.8, "b": 2.4})

    monkeypatch.setattr(peer, "_searched", stopped_early)
    with pytest.warns(FitWarning, match=r"lifetimes stopped .* of log-likelihood"):
        model = sl.fit_lifetime(
            events, model="bg_nbd", unit_days=WEEK, engine="lifetimes"
        )
    assert model.gradient > 1e-3


def test_taking_over_a_fitted_object(events, fitters):
    model = sl.from_lifetimes(
        fitters["ModifiedBetaGeoFitter"],
        events,
        unit_days=WEEK,
        spend=fitters["GammaGammaFitter"],
    )
    ours = sl.fit_lifetime(events, model="mbg_nbd", unit_days=WEEK)
    assert model.model == "mbg_nbd"
    assert model.log_likelihood == pytest.approx(ours.log_likelihood, abs=1e-3)
    for key, value in ours.spend.params.items():
        assert model.spend.params[key] == pytest.approx(value, rel=2e-3)
    assert model.spend.log_likelihood == pytest.approx(-4055.918, abs=1e-3)
    one, other = (m.total(365) for m in (model, ours))
    np.testing.assert_allclose(one, other, rtol=5e-3)


def test_predictions_of_what_was_taken_over_are_right_where_lifetimes_is(
    events, fitters
):
    frame = sl.to_lifetimes_frame(events, unit_days=WEEK)
    fitter = fitters["BetaGeoFitter"]
    columns = [frame[c] for c in ("frequency", "recency", "T")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = fitter.conditional_expected_number_of_purchases_up_to_time(
            39, *columns
        )
        alive = fitter.conditional_probability_alive(*columns)
    model = sl.from_lifetimes(fitter, events, unit_days=WEEK)
    rows = model.predict(39 * WEEK).to_pandas().set_index("person_id").loc[frame.index]
    np.testing.assert_allclose(rows["expected_purchases"], expected, rtol=1e-6)
    np.testing.assert_allclose(rows["p_alive"], alive, rtol=1e-6)


def test_what_cannot_be_taken_over(events, fitters):
    with pytest.raises(SettingError, match="got GammaGammaFitter"):
        sl.from_lifetimes(fitters["GammaGammaFitter"], events)
    unfitted = type(fitters["BetaGeoFitter"])()
    with pytest.raises(SettingError, match="fitter must be a fitted object"):
        sl.from_lifetimes(unfitted, events)
    with pytest.raises(SettingError, match="got ModifiedBetaGeoFitter"):
        sl.from_lifetimes(
            fitters["BetaGeoFitter"], events, spend=fitters["ModifiedBetaGeoFitter"]
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "nbd"}, "engine='lifetimes' has the models bg_nbd, mbg_nbd"),
        ({"penalty": 0.1}, "takes no penalty"),
    ],
)
def test_what_the_other_engine_cannot_do(events, settings, message):
    with pytest.raises(SettingError, match=message):
        sl.fit_lifetime(events, engine="lifetimes", **settings)


def test_a_missing_package_is_said_to_be_missing(events, monkeypatch):
    monkeypatch.setattr(peer, "find_spec", lambda _: None)
    with pytest.raises(SettingError, match=r"pip install 'selfloop\[lifetimes\]'"):
        sl.fit_lifetime(events, engine="lifetimes")
