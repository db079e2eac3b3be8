"""Settings of funnel and repurchase that cannot be: one clear error, never a guess."""

import numpy as np
import pandas as pd
import pytest

import selfloop as sl

NO_WINDOWS = [90, None, "90", (0,), (90.5,), (10**30,), [True], ["90"]]
NO_BREAKDOWN = [5, 0, {}, 1.5, ["source", 3], ("source", "channel", "generation"),
                ("source", "source"), "nothing"]  # fmt: skip


@pytest.fixture(scope="module")
def events():
    shop = sl.simulate(n_visitors=300, seed=3)
    return sl.read_events(shop.orders, shop.referrals, visits=shop.visits)


@pytest.mark.parametrize("windows", NO_WINDOWS, ids=repr)
def test_windows_are_days(events, windows):
    for call, name in (
        (sl.funnel, "windows_days"), (sl.repurchase, "windows_days"),
        (sl.stage_times, "within_days"),
    ):  # fmt: skip
        with pytest.raises(sl.SettingError, match=f"^{name} must be"):
            call(events, **{name: windows})


def test_windows_of_any_sequence_are_one_setting(events):
    one = sl.funnel(events, windows_days=(30, 90)).windows
    for same in ([30, 90], np.array([30, 90]), pd.Series([30.0, 90.0]), (30, 90, 30)):
        pd.testing.assert_frame_equal(sl.funnel(events, windows_days=same).windows, one)


@pytest.mark.parametrize("by", NO_BREAKDOWN, ids=repr)
def test_breakdowns_are_names_of_columns(events, by):
    for call in (sl.funnel, sl.repurchase, sl.stage_times, sl.repurchase_gaps):
        with pytest.raises(sl.SettingError, match=r"^by must be one"):
            call(events, by)


@pytest.mark.parametrize("by", [None, (), [], {}, 0, ("source", "channel")], ids=repr)
def test_segments_are_compared_by_one_column(events, by):
    with pytest.raises(sl.SettingError, match=r"^by must be one breakdown"):
        sl.compare_segments(events, by)


@pytest.mark.parametrize("segments", [5, "paid"], ids=repr)
def test_segments_to_compare_are_a_list(events, segments):
    with pytest.raises(sl.SettingError, match=r"^segments must be a list of names"):
        sl.compare_segments(events, "source", segments=segments)


@pytest.mark.parametrize("edges", [[90], "90", [], 0], ids=repr)
def test_edges_are_a_dictionary(events, edges):
    with pytest.raises(sl.SettingError, match=r"^edges must be a dictionary"):
        sl.rfm(events, scores="fixed", edges=edges)


def test_edges_of_one_score_are_numbers(events):
    with pytest.raises(sl.SettingError, match="must be numbers; got 90"):
        sl.rfm(events, scores="fixed", edges={"revenue": 90})


@pytest.mark.parametrize("wrong", [np.array(["week", "month"]), pd.Series(["week"]), 3])
def test_a_choice_is_one_word(events, wrong):
    for call, name in (
        (sl.cohorts, "period"), (sl.cohorts, "clock"), (sl.lifecycle, "period"),
        (sl.funnel, "order"), (sl.concentration, "of"),
    ):  # fmt: skip
        with pytest.raises(sl.SettingError, match="must be one of"):
            call(events, **{name: wrong})


@pytest.mark.parametrize("least", [1.5, np.inf, 0, True, "30"], ids=repr)
def test_people_at_risk_are_a_whole_number(events, least):
    for call in (sl.funnel, sl.repurchase, sl.repurchase_gaps, sl.returning):
        with pytest.raises(sl.SettingError, match=r"^min_at_risk must be"):
            call(events, min_at_risk=least)


def test_whole_numbers_may_be_written_as_floats(events):
    days = {"dormant_after_days": 60, "lost_after_days": 180}
    floats = {name: float(value) for name, value in days.items()}
    one, two = (sl.lifecycle(events, **given) for given in (days, floats))
    pd.testing.assert_frame_equal(one.table, two.table)
    one, two = (sl.rfm(events, n_scores=n).people.to_pandas() for n in (4, 4.0))
    assert one["r_score"].value_counts().equals(two["r_score"].value_counts())
    one, two = (
        sl.drop_offs(events, within_days=w).to_pandas().sort_values("person_id")
        for w in (90, 90.0)
    )
    pd.testing.assert_frame_equal(
        one.reset_index(drop=True), two.reset_index(drop=True)
    )


@pytest.mark.parametrize("days", [10**30, 36_526, -1, 2.5], ids=repr)
def test_days_are_whole_and_at_most_a_hundred_years(events, days):
    for call, name in (
        (sl.compare_segments, "window_days"), (sl.segment_profile, "window_days"),
    ):  # fmt: skip
        with pytest.raises(sl.SettingError, match=f"^{name} must be"):
            call(events, "source", **{name: days})
    for call, name in (
        (sl.repurchase_gaps, "bin_days"), (sl.repurchase_gaps, "window_days"),
        (sl.returning, "window_days"), (sl.drop_offs, "within_days"),
        (sl.drop_offs, "min_days"), (sl.lifecycle, "dormant_after_days"),
    ):  # fmt: skip
        with pytest.raises(sl.SettingError, match=f"^{name} must be"):
            call(events, **{name: days})
