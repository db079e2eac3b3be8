"""How long stages take: by hand, against the funnel, plain pandas, laws, edges."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from small_shops import orders, referrals, visits
from statsmodels.duration.survfunc import SurvfuncRight

import selfloop as sl
from selfloop.core.errors import SettingError


def thirty_and_more():
    """Forty buyers of day 0; 10 buy again on day 5, 10 on day 9; seen to day 20."""
    rows = [(f"c{i:02d}", 0, 10) for i in range(40)]
    rows += [(f"c{i:02d}", 5 if i < 10 else 9, 10) for i in range(20)]
    return sl.read_events(orders(*rows), end=shops.date_of(20))


def quantile(times, stage, share, within=None, segment="all"):
    """Return one line of the quantiles as a dict."""
    rows = times.quantiles
    at = rows["within_days"].isna() if within is None else rows["within_days"] == within
    chosen = rows["stage"].eq(stage) & rows["share"].eq(share) & at
    (found,) = rows[chosen & rows["segment"].eq(segment)].to_dict("records")
    return found


def test_by_hand():
    times = sl.stage_times(thirty_and_more(), within_days=(9, 15), min_at_risk=20)
    # Of all 40 a quarter has come on day 5, half on day 9, three quarters never.
    assert quantile(times, "repurchase", 0.25)["days"] == 5
    assert quantile(times, "repurchase", 0.5)["days"] == 9
    late = quantile(times, "repurchase", 0.75)
    assert np.isnan(late["days"])
    assert late["reason"] == "fewer than 75% by day 20"
    # Of the 20 who come within 9 days half have come on day 5, three quarters on day 9.
    for within in (9, 15):
        assert quantile(times, "repurchase", 0.5, within)["days"] == 5
        assert quantile(times, "repurchase", 0.75, within)["days"] == 9
    curve = times.curve.set_index("day")
    assert len(curve) == 21
    assert curve["n_at_risk"][[0, 5, 6, 9, 10]].tolist() == [40, 40, 30, 30, 20]
    assert curve["n_reached"].sum() == 20
    assert curve["share_within"][[4, 5, 9]].tolist() == [0, 0.25, 0.5]


def test_days_end_where_too_few_are_left():
    times = sl.stage_times(thirty_and_more(), within_days=(8, 9, 10))
    assert times.curve["day"].max() == 9  # 30 at risk on day 9, 20 on day 10
    assert quantile(times, "repurchase", 0.5, 9)["days"] == 5
    line = quantile(times, "repurchase", 0.5, 10)
    assert line["reason"] == "20 at risk at day 10, need 30"
    assert np.isnan(line["days"])


def test_it_agrees_with_the_funnel(untidy_events):
    by = "source"
    times = sl.stage_times(untidy_events, by, min_at_risk=5)
    funnel = sl.funnel(untidy_events, by, min_at_risk=5)
    for curves, windows in (
        (times.curve, funnel.windows),
        (times.curve_totals, funnel.window_totals),
    ):
        known = windows[windows["share_within"].notna()]
        assert len(known)
        joined = known.merge(
            curves,
            left_on=["segment", "segment_2", "stage", "window_days"],
            right_on=["segment", "segment_2", "stage", "day"],
            suffixes=("", "_curve"),
        )
        assert len(joined) == len(known)
        for name in ("share_within", "share_within_low", "share_within_high"):
            np.testing.assert_array_equal(joined[name], joined[f"{name}_curve"])


def test_the_curve_is_that_of_statsmodels(untidy, untidy_events):
    people = shops.plain_people(*untidy, end=untidy_events.end)
    buyers = people[people["first_day"].notna()]
    end = (pd.Timestamp(untidy_events.end) - pd.Timestamp("1970-01-01")).days
    event = buyers["second_day"].notna()
    days = (buyers["second_day"].fillna(end) - buyers["first_day"]).astype(int)
    theirs = SurvfuncRight(days + 1, event.astype(int))
    times = sl.stage_times(untidy_events, min_at_risk=1)
    curve = times.curve[times.curve["stage"] == "repurchase"].set_index("day")
    at = theirs.surv_times - 1
    np.testing.assert_allclose(
        1 - curve["share_within"][at], theirs.surv_prob, atol=1e-9
    )
    assert curve["n_reached"].sum() == event.sum()


def test_totals_are_those_without_a_breakdown(untidy_events):
    plain = sl.stage_times(untidy_events)
    assert plain.quantile_totals.empty
    assert plain.curve_totals.empty
    for by in ("channel", ("source", "channel")):
        found = sl.stage_times(untidy_events, by)
        rows = found.quantile_totals
        rows = rows[
            (rows["segment"] == "(all)") & rows["segment_2"].isin(["", "(all)"])
        ]
        keys = ["segment", "segment_2"]
        pd.testing.assert_frame_equal(
            rows.drop(columns=keys).reset_index(drop=True),
            plain.quantiles.drop(columns=keys),
        )


def test_missing_stages_are_named_not_empty_lines():
    times = sl.stage_times(sl.read_events(orders(("ann", 0, 5), ("ann", 3, 5))))
    assert set(times.missing) == {"conversion", "referral"}
    assert set(times.quantiles["stage"]) == {"repurchase"}
    assert times.curve.empty
    assert "no table of visits" in repr(times)
    assert "<table" in times._repr_html_()
    assert times.to_frame().equals(times.quantiles)


def test_nobody_bought():
    events = sl.read_events(
        orders(("ann", 0, -5)),
        referrals(("ann", "bob", 1)),
        visits=visits(("ann", 0, "")),
    )
    times = sl.stage_times(events)
    assert (times.quantiles["reason"] != "").all()
    assert times.quantiles["days"].isna().all()


@pytest.mark.parametrize(
    "wrong", [{"within_days": (0,)}, {"min_at_risk": 0}, {"order": "any"}, {"by": "x"}]
)
def test_settings_are_checked(wrong):
    with pytest.raises(SettingError):
        sl.stage_times(thirty_and_more(), **wrong)


def test_tables_have_the_columns_of_the_schema(untidy_events):
    times = sl.stage_times(untidy_events, "source")
    for table in (times.quantiles, times.quantile_totals):
        assert shops.has_columns(table, "stage_times")
    for table in (times.curve, times.curve_totals):
        assert shops.has_columns(table, "stage_times_curve")


# ---- who is stuck ------------------------------------------------------------


def stuck(events, stage, **settings):
    """Return who is stuck, by id."""
    rows = sl.drop_offs(events, stage, **settings).to_pandas()
    return rows.set_index("person_id").sort_index()


def test_who_is_stuck_by_hand():
    events = sl.read_events(
        orders(("ann", 5, 10), ("ann", 15, 10), ("bob", 16, 10), ("eve", 20, 7)),
        referrals(("ann", "bob", 6)),
        visits=visits(("ann", 0, "ads"), ("cat", 10, "ads")),
        end=shops.date_of(60),
    )
    assert stuck(events, "conversion")["days_stuck"].to_dict() == {"cat": 50}
    again = stuck(events, "repurchase")
    assert again["days_stuck"].to_dict() == {"bob": 44, "eve": 40}
    assert again["stuck_since"].astype(str).to_dict() == {
        "bob": shops.date_of(16), "eve": shops.date_of(20),
    }  # fmt: skip
    assert again["revenue"].astype(float).to_dict() == {"bob": 10, "eve": 7}
    assert list(stuck(events, "repurchase", min_days=41).index) == ["bob"]
    assert list(stuck(events, "referral").index) == ["bob", "eve"]
    # Strictly only who bought twice could bring somebody: ann did on day 16 >= 15.
    assert stuck(events, "referral", order="strict").empty
    assert again["share_coming"].isna().all()  # too few to say


def test_how_many_of_such_people_still_come():
    # Of 100 buyers of day 0, 40 buy again on day 5 and 10 on day 30; all seen to day
    # 60. Of the 60 left after day 10, 10 come within 30 days, and none after day 30.
    rows = [(f"c{i:03d}", 0, 1) for i in range(100)]
    rows += [(f"c{i:03d}", 5 if i < 40 else 30, 1) for i in range(50)]
    rows += [("new", 50, 1), ("newer", 56, 1), ("old", 5, 1)]
    events = sl.read_events(orders(*rows), end=shops.date_of(60))
    found = stuck(events, "repurchase", within_days=30)
    # "new" is stuck since day 50, 10 days: they are at risk up to day 10 only, and
    # "newer" up to day 4, so from day 11 on it is the 100 and "old" alone.
    coming = found["share_coming"].dropna()
    assert coming["new"] == pytest.approx(10 / 61)
    before = 1 - (1 - 40 / 102) * (1 - 10 / 61)  # by day 34
    assert coming["newer"] == pytest.approx(before)
    assert "c099" not in coming  # nobody was followed to day 90


def test_stuck_and_reached_are_all_who_entered(untidy_events):
    funnel = sl.funnel(untidy_events).stages.set_index("stage")
    for stage in ("conversion", "repurchase", "referral"):
        row = funnel.loc[stage]
        n_stuck = sl.drop_offs(untidy_events, stage).count().execute()
        assert n_stuck == row["n_entered"] - row["n_reached"]


def test_a_stage_without_its_table_is_an_error():
    events = sl.read_events(orders(("ann", 0, 5)))
    for stage, table in (("conversion", "visits"), ("referral", "referrals")):
        with pytest.raises(sl.MissingTableError, match=f"needs a table of {table}"):
            sl.drop_offs(events, stage)
    for wrong in ({"stage": "traffic"}, {"min_days": -1}, {"within_days": 0}):
        with pytest.raises(SettingError):
            sl.drop_offs(events, **wrong)
