"""Segments compared: by hand, equal ones are left alone, unequal ones are found."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from scipy import stats
from small_shops import orders, visits

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.measures.funnel.differences import REST, _shares, _with_verdicts


def two_channels():
    """Sixty people come by ads and 40 by search; 12 and 20 of them buy on day 3."""
    people = [(f"a{i:02d}", "ads") for i in range(60)]
    people += [(f"s{i:02d}", "search") for i in range(40)]
    seen = [(who, 0, channel) for who, channel in people]
    bought = [f"a{i:02d}" for i in range(12)] + [f"s{i:02d}" for i in range(20)]
    return sl.read_events(
        orders(*[(who, 3, 10) for who in bought]),
        visits=visits(*seen),
        end=shops.date_of(120),
    )


def cell(found, stage, segment):
    """Return one line as a dict."""
    rows = found.table
    chosen = rows["stage"].eq(stage) & rows["segment"].eq(segment)
    (line,) = rows[chosen].to_dict("records")
    return line


def test_by_hand():
    found = sl.compare_segments(two_channels(), "channel")
    line = cell(found, "conversion", "ads")
    assert (line["n_matured"], line["n_against"]) == (60, 40)
    assert line["difference"] == pytest.approx(12 / 60 - 20 / 40)
    # Newcombe's method 10 from the Wilson limits of 12 / 60 and 20 / 40.
    l1, u1 = 0.1183, 0.3178
    l2, u2 = 0.3520, 0.6480
    reach = np.hypot(0.2 - l1, u2 - 0.5), np.hypot(u1 - 0.2, 0.5 - l2)
    assert line["difference_low"] == pytest.approx(-0.3 - reach[0], abs=2e-4)
    assert line["difference_high"] == pytest.approx(-0.3 + reach[1], abs=2e-4)
    fisher = stats.fisher_exact([[12, 48], [20, 20]]).pvalue
    assert line["p_value"] == pytest.approx(fisher)
    # Four lines, two of them told: nobody bought twice, and no referrals.
    assert line["p_adjusted"] == pytest.approx(2 * fisher)
    assert line["verdict"] == "lower"
    assert cell(found, "conversion", "search")["verdict"] == "higher"
    again = cell(found, "repurchase", "ads")
    assert (again["verdict"], again["reason"]) == (
        "",
        "12 observed for the window, need 30",
    )
    assert found.missing == {"referral": "no table of referrals"}


def test_the_log_rank_test_is_that_of_scipy():
    found = sl.compare_segments(two_channels(), "channel")
    groups = [
        stats.CensoredData(uncensored=[3] * n, right=[120] * (size - n))
        for n, size in ((12, 60), (20, 40))
    ]
    expected = stats.logrank(*groups).pvalue
    assert cell(found, "conversion", "ads")["p_log_rank"] == pytest.approx(expected)


def test_against_one_segment_and_only_some(untidy_events):
    every = sl.compare_segments(untidy_events, "channel", min_at_risk=5)
    levels = set(every.table["segment"])
    found = sl.compare_segments(
        untidy_events, "channel", against="ads", min_at_risk=5, segments=["search"]
    )
    assert set(found.table["segment"]) == {"search"}
    assert set(found.table["against"]) == {"ads"}
    windows = sl.funnel(untidy_events, "channel", min_at_risk=5).windows
    windows = windows[windows["window_days"] == 90].set_index(["stage", "segment"])
    for line in found.table.to_dict("records"):
        here = windows.loc[(line["stage"], "search")]
        there = windows.loc[(line["stage"], "ads")]
        assert line["share_matured"] == here["share_matured"]
        assert line["share_against"] == there["share_matured"]
    others = sl.compare_segments(untidy_events, "channel", against="ads", min_at_risk=5)
    assert set(others.table["segment"]) == levels - {"ads"}


def test_the_rest_is_everybody_else(untidy_events):
    found = sl.compare_segments(untidy_events, "source", min_at_risk=5).table
    for _, rows in found[found["reason"] == ""].groupby("stage"):
        every = rows["n_matured"] + rows["n_against"]
        assert every.nunique() == 1


def drawn_counts(rng, rates):
    """Draw the people of segments, 40 to 3,000, and those who did it."""
    n = rng.integers(40, 3000, len(rates))
    hits = rng.binomial(n, rates)
    return {f"s{i}": (int(n[i]), int(hits[i])) for i in range(len(rates))}


def report_of(rng, rates_by_stage):
    """Write the table of one drawn report."""
    lines = []
    for stage, rates in rates_by_stage.items():
        counts = drawn_counts(rng, rates)
        for segment in counts:
            others = [s for s in counts if s != segment]
            line = {"segment": segment, "against": REST, "stage": stage}
            lines.append(line | _shares(counts, segment, others, least=30))
    table = pd.DataFrame(lines)
    return _with_verdicts(table.assign(p_log_rank=np.nan))


def test_ten_equal_segments_are_flagged_in_at_most_one_of_twenty_reports():
    rng = np.random.default_rng(3)
    equal = {
        "conversion": [0.3] * 10,
        "repurchase": [0.05] * 10,
        "referral": [0.01] * 10,
    }
    n_flagged, n_naive, n_reports = 0, 0, 400
    for _ in range(n_reports):
        table = report_of(rng, equal)
        n_flagged += table["verdict"].isin(["higher", "lower"]).any()
        n_naive += (table["p_value"] < 0.05).any()
        assert (table["verdict"] != "").all()
    assert n_flagged / n_reports <= 0.05
    assert n_naive / n_reports > 0.5  # what every test for itself would do


def test_a_segment_that_is_better_is_found_and_its_interval_holds():
    rng = np.random.default_rng(4)
    rates = [0.2] * 9 + [0.3]
    hits, found, n_reports = 0, 0, 300
    for _ in range(n_reports):
        did = rng.binomial(1500, rates).tolist()
        counts = {f"s{i}": (1500, did[i]) for i in range(10)}
        line = _shares(counts, "s9", [f"s{i}" for i in range(9)], least=30)
        hits += line["difference_low"] <= 0.1 <= line["difference_high"]
        found += line["p_value"] * 10 < 0.05
    assert 0.92 <= hits / n_reports <= 0.98
    assert found / n_reports > 0.9


def test_everybody_and_nobody_are_alike():
    for hits in (0, 50):
        line = _shares({"a": (50, hits), "b": (50, hits)}, "a", ["b"], least=30)
        assert line["p_value"] == 1
        assert line["difference"] == 0
        assert line["difference_low"] < 0 < line["difference_high"]


def test_row_order_changes_nothing(untidy, untidy_events):
    base = sl.compare_segments(untidy_events, "channel", min_at_risk=5)
    mixed = shops.shuffled(untidy, 3)
    other = sl.read_events(mixed.orders, mixed.referrals, visits=mixed.visits)
    found = sl.compare_segments(other, "channel", min_at_risk=5)
    pd.testing.assert_frame_equal(base.table, found.table)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"against": "nowhere"}, "no segment 'nowhere'; there are "),
        ({"segments": ["ads", "x"]}, "no segment 'x'"),
        ({"window_days": 0}, "window_days"),
        ({"min_at_risk": 0}, "min_at_risk"),
        ({"order": "any"}, "order must be one of"),
    ],
)
def test_settings_are_checked(untidy_events, settings, words):
    with pytest.raises(SettingError, match=words):
        sl.compare_segments(untidy_events, "channel", **settings)


def test_it_shows_itself(untidy_events):
    found = sl.compare_segments(untidy_events, "channel", min_at_risk=5)
    assert "Segments compared" in repr(found)
    assert "<table" in found._repr_html_()
    assert found.to_frame().equals(found.table)
    assert shops.has_columns(found.table, "segment_differences")
