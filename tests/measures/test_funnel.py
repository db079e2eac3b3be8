"""Funnel: counts by hand, censoring to the day, plain pandas, scipy, laws, edges."""

import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from scipy import stats
from small_shops import orders, referrals, visits

import selfloop as sl
from selfloop.core import schema
from selfloop.core.errors import SettingError
from selfloop.kernels.intervals import wilson

WINDOWS = (30, 90, 180, 365)
PAIRS = {
    "conversion": ("arrived_day", "first_day"),
    "repurchase": ("first_day", "second_day"),
    "referral": ("first_day", "success_day"),
}


def cell(funnel, stage, window, segment="all"):
    """Return one line of the windows as a dict."""
    rows = funnel.windows
    chosen = rows["stage"].eq(stage) & rows["segment"].eq(segment)
    (found,) = rows[chosen & rows["window_days"].eq(window)].to_dict("records")
    return found


def line(funnel, stage, segment="all"):
    """Return one line of the stages as a dict."""
    rows = funnel.stages
    chosen = rows["stage"].eq(stage) & rows["segment"].eq(segment)
    (found,) = rows[chosen].to_dict("records")
    return found


def counts(row):
    """Return the counts of one window."""
    names = ("n_entered", "n_matured", "n_matured_reached", "n_reached", "n_open")
    return tuple(row[name] for name in names)


@pytest.fixture(scope="module")
def by_hand():
    """Seven people, observed to day 60.

    ann visits on day 0, buys on days 5 and 15, refers bob on day 6.
    bob buys on day 16. cat visits on day 10 and never buys. dan visits on day 55 and
    buys on day 58. eve has no visit and buys on days 20 and 50. fay visits on day 20;
    all she has is a refund on day 25. gus visits on day 53.
    """
    return sl.read_events(
        orders(
            ("ann", 5, 10), ("ann", 15, 10), ("bob", 16, 10), ("dan", 58, 10),
            ("eve", 20, 10), ("eve", 50, 10), ("fay", 25, -5),
        ),
        referrals(("ann", "bob", 6)),
        visits=visits(
            ("ann", 0, "ads"), ("cat", 10, None), ("dan", 55, "ads"),
            ("fay", 20, "mail"), ("gus", 53, "mail"),
        ),
        end=shops.date_of(60),
    )  # fmt: skip


@pytest.fixture(scope="module")
def small(by_hand):
    return sl.funnel(by_hand, windows_days=(10, 30), min_at_risk=1)


def test_conversion_by_hand(small):
    # Arrived: ann 0, bob 6 (referred), cat 10, eve 20 (her order), fay 20, gus 53,
    # dan 55. Bought after: ann 5 d, bob 10 d, dan 3 d, eve 0 d.
    assert line(small, "traffic")["n_reached"] == 7
    row = line(small, "conversion")
    assert (row["n_entered"], row["n_reached"]) == (7, 4)
    assert row["share_so_far"] == 4 / 7
    # Observed 10 days: all but gus (7) and dan (5); of them ann, bob on the very last
    # day of the window, and eve. dan is in n_reached; gus is open.
    assert counts(cell(small, "conversion", 10)) == (7, 5, 3, 4, 1)
    assert counts(cell(small, "conversion", 30)) == (7, 5, 3, 4, 1)
    assert cell(small, "conversion", 10)["share_matured"] == 3 / 5


def test_kaplan_meier_by_hand(small):
    # Day 0: 1 of 7, day 3: 1 of 6, day 5: 1 of 5; gus leaves on day 7; day 10: 1 of 3.
    # S(10) = 6/7 * 5/6 * 4/5 * 2/3 = 8/21.
    ten = cell(small, "conversion", 10)
    assert ten["share_within"] == pytest.approx(13 / 21)
    assert ten["n_at_risk"] == 3
    # On day 30 cat and fay are left, and nothing happened since day 10.
    assert cell(small, "conversion", 30)["share_within"] == pytest.approx(13 / 21)
    assert cell(small, "conversion", 30)["n_at_risk"] == 2
    # S(5) = 4/7 and S(10) = 8/21: half is passed on day 10.
    assert line(small, "conversion")["median_days"] == 10


def test_repurchase_by_hand(small):
    # Buyers: ann (again after 10 d), bob, dan (observed 2 d), eve (again after 30 d).
    assert counts(cell(small, "repurchase", 10)) == (4, 3, 1, 1, 1)
    assert counts(cell(small, "repurchase", 30)) == (4, 3, 2, 2, 1)
    # dan leaves on day 2. Day 10: 1 of 3; day 30: 1 of 2. S = 2/3, then 1/3.
    assert cell(small, "repurchase", 10)["share_within"] == pytest.approx(1 / 3)
    assert cell(small, "repurchase", 30)["share_within"] == pytest.approx(2 / 3)
    assert line(small, "repurchase")["median_days"] == 30


def test_referral_by_hand(small):
    # ann's referral succeeds when bob buys, 11 days after her own first order.
    assert counts(cell(small, "referral", 10)) == (4, 3, 0, 0, 1)
    assert counts(cell(small, "referral", 30)) == (4, 3, 1, 1, 1)
    assert cell(small, "referral", 30)["share_within"] == pytest.approx(1 / 3)
    assert np.isnan(line(small, "referral")["median_days"])


def test_a_breakdown_splits_the_same_people(by_hand):
    funnel = sl.funnel(by_hand, "source", windows_days=(10,), min_at_risk=1)
    entered = {
        s: line(funnel, "conversion", s)["n_entered"]
        for s in funnel.stages["segment"].unique()
    }
    # ann and dan came by ads; fay and gus by mail; bob was referred; cat's channel is
    # missing and eve has neither visit nor channel.
    assert entered == {"paid": 2, "organic": 2, "referral": 1, "unknown": 2}
    # Nobody who came by mail bought: a line of zeros, not a missing line.
    again = line(funnel, "repurchase", "organic")
    assert (again["n_entered"], again["n_reached"]) == (0, 0)
    assert np.isnan(again["share_so_far"])
    row = cell(funnel, "repurchase", 10, "organic")
    assert counts(row) == (0, 0, 0, 0, 0)
    assert (
        row["reason"] == "0 observed for 10 days, need 1; 0 at risk at day 10, need 1"
    )


def test_an_order_without_a_visit_is_an_arrival(by_hand):
    # eve is in no visit: she arrives with her first order and converts that day.
    people = sl.people(by_hand).to_pandas().set_index("person_id")
    assert people.loc["eve", "arrived_at"] == people.loc["eve", "first_order_at"]
    funnel = sl.funnel(by_hand, "person_id", windows_days=(10,), min_at_risk=1)
    assert counts(cell(funnel, "conversion", 10, "eve")) == (1, 1, 1, 1, 0)
    assert line(funnel, "conversion", "eve")["median_days"] == 0


def test_windows_and_follow_up_include_their_last_day():
    # Bought again after exactly 30 days, on the last observed day.
    table = orders(("a", 0, 1), ("a", 30, 1), ("b", 0, 1))
    funnel = sl.funnel(sl.read_events(table), windows_days=(29, 30, 31), min_at_risk=1)
    assert counts(cell(funnel, "repurchase", 29)) == (2, 2, 0, 0, 0)
    assert counts(cell(funnel, "repurchase", 30)) == (2, 2, 1, 1, 0)
    # Nobody was observed for 31 days; b is open.
    assert counts(cell(funnel, "repurchase", 31)) == (2, 0, 0, 1, 1)
    assert cell(funnel, "repurchase", 30)["n_at_risk"] == 2
    assert cell(funnel, "repurchase", 30)["share_within"] == 0.5


def test_times_of_day_do_not_move_a_window():
    # 23:59 to 00:01 thirty days later is 30 calendar days, and so is its reverse.
    late, early = 23.99 / 24, 0.01 / 24
    table = orders(
        ("a", late, 1), ("a", 30 + early, 1), ("b", early, 1), ("b", 30 + late, 1)
    )
    funnel = sl.funnel(sl.read_events(table), windows_days=(29, 30), min_at_risk=1)
    assert cell(funnel, "repurchase", 29)["n_reached"] == 0
    assert cell(funnel, "repurchase", 30)["n_reached"] == 2


def test_a_refund_is_no_repurchase():
    # The second day nets to zero, the third below: neither is a purchase.
    table = orders(("a", 0, 9), ("a", 5, 4), ("a", 5, -4), ("a", 7, -2), ("b", 60, 1))
    funnel = sl.funnel(sl.read_events(table))
    assert line(funnel, "repurchase")["n_reached"] == 0
    assert line(funnel, "repurchase")["n_entered"] == 2


def test_a_success_before_the_own_first_order_is_no_referral_of_a_buyer():
    # ann brings bob (buys day 3) before she buys on day 10, and eve (day 20) after.
    # zoe brings dan, and never buys anything after that.
    table = orders(("bob", 3, 1), ("ann", 10, 1), ("eve", 20, 1), ("zoe", 30, 1),
                   ("dan", 25, 1), ("bob", 40, 1))  # fmt: skip
    brought = referrals(("ann", "bob", 1), ("ann", "eve", 15), ("zoe", "dan", 24))
    funnel = sl.funnel(
        sl.read_events(table, brought), windows_days=(9, 10), min_at_risk=1
    )
    # Only ann's second success counts, 10 days after her first order.
    assert line(funnel, "referral")["n_reached"] == 1
    assert cell(funnel, "referral", 9)["n_reached"] == 0
    assert cell(funnel, "referral", 10)["n_reached"] == 1


@pytest.fixture(scope="module")
def thirty():
    """Thirty people bought on day 0 and were observed to day 10; one more young."""
    return [(f"c{i:02d}", 0, 5) for i in range(30)]


def test_thirty_observed_are_enough(thirty):
    events = sl.read_events(orders(*thirty), end=shops.date_of(10))
    row = cell(sl.funnel(events, windows_days=(10,)), "repurchase", 10)
    assert (row["n_matured"], row["n_at_risk"], row["reason"]) == (30, 30, "")
    assert (row["share_matured"], row["share_within"]) == (0, 0)
    assert row["share_matured_high"] == pytest.approx(float(wilson(0, 30)[1]))


def test_twenty_nine_are_not(thirty):
    events = sl.read_events(orders(*thirty[1:], ("young", 1, 5)), end=shops.date_of(10))
    row = cell(sl.funnel(events, windows_days=(10,)), "repurchase", 10)
    assert (row["n_entered"], row["n_matured"], row["n_open"]) == (30, 29, 1)
    shares = [row[c] for c in row if c.startswith("share_")]
    assert len(shares) == 9
    assert np.isnan(shares).all()
    assert row["reason"] == (
        "29 observed for 10 days, need 30; 29 at risk at day 10, need 30"
    )


def test_the_two_forms_are_missing_each_for_its_own_reason(thirty):
    # One of the thirty came back on day 4: thirty observed, 29 still at risk.
    events = sl.read_events(orders(*thirty, ("c07", 4, 5)), end=shops.date_of(10))
    row = cell(sl.funnel(events, windows_days=(10,)), "repurchase", 10)
    assert row["share_matured"] == 1 / 30
    assert np.isnan(row["share_within"])
    assert row["reason"] == "29 at risk at day 10, need 30"


def test_windows_longer_than_the_data_are_missing(untidy_events):
    # 300 days are observed.
    funnel = sl.funnel(untidy_events, windows_days=(1000,))
    assert (funnel.windows["n_matured"] == 0).all()
    assert (funnel.windows["n_at_risk"] == 0).all()
    assert funnel.windows.filter(like="share_").isna().all(axis=None)
    assert (funnel.windows["reason"] != "").all()


def test_counts_agree_with_pandas_on_real_orders(retail_events, retail_lines):
    known = retail_lines[retail_lines["customer"].notna()]
    days = known.groupby(["customer", known["InvoiceDate"].dt.normalize()])[
        "thousandths"
    ].sum()
    days = days[days > 0].reset_index().sort_values(["customer", "InvoiceDate"])
    first = days.groupby("customer")["InvoiceDate"].nth(0).to_numpy()
    second = days.groupby("customer")["InvoiceDate"].nth(1)
    who = days.groupby("customer")["customer"].nth(1).to_numpy()
    again = pd.Series(second.to_numpy(), who).reindex(days["customer"].unique())
    gap = (again.to_numpy() - first) / np.timedelta64(1, "D")
    followup = (np.datetime64("2011-12-09") - first) / np.timedelta64(1, "D")
    funnel = sl.funnel(retail_events)
    # The README of the sample: 1,076 customers with one day of net > 0, 682 with two.
    assert line(funnel, "repurchase")["n_entered"] == len(first) == 1076
    assert line(funnel, "repurchase")["n_reached"] == (~np.isnan(gap)).sum() == 682
    for window in WINDOWS:
        matured, within = followup >= window, gap <= window
        assert counts(cell(funnel, "repurchase", window)) == (
            1076,
            matured.sum(),
            (matured & within).sum(),
            within.sum(),
            (~matured & np.isnan(gap)).sum(),
        )
    assert set(
        funnel.windows.loc[funnel.windows["stage"] == "conversion", "reason"]
    ) == {"no table of visits"}
    assert set(funnel.windows.loc[funnel.windows["stage"] == "referral", "reason"]) == {
        "no table of referrals"
    }


@pytest.fixture(scope="module")
def by_source(simulated_events):
    return sl.funnel(simulated_events, "source")


@pytest.fixture(scope="module")
def undivided(simulated_events):
    return sl.funnel(simulated_events)


def spans(people, stage, segment):
    """Return days to the stage (missing if not reached) and follow-up, by pandas."""
    if segment != "all":
        people = people[people["source"] == segment]
    entry, reached = PAIRS[stage]
    people = people[people[entry].notna()]
    entered = people[entry]
    return (people[reached] - entered).to_numpy(float), (
        people["end_day"] - entered
    ).to_numpy(float)


# scipy says so of the days before the first event, which no window is.
@pytest.mark.filterwarnings("ignore:The confidence interval is undefined")
@pytest.mark.parametrize("segment", ["all", "organic", "paid", "referral"])
@pytest.mark.parametrize("stage", PAIRS)
def test_counts_and_kaplan_meier_agree_with_scipy(
    simulated_people, undivided, by_source, stage, segment
):
    funnel = undivided if segment == "all" else by_source
    gap, followup = spans(simulated_people, stage, segment)
    reached = ~np.isnan(gap)
    row = line(funnel, stage, segment)
    assert (row["n_entered"], row["n_reached"]) == (gap.size, reached.sum())
    low, high = wilson(reached.sum(), gap.size)
    assert (row["share_so_far_low"], row["share_so_far_high"]) == (low, high)
    curve = stats.ecdf(
        stats.CensoredData(uncensored=gap[reached], right=followup[~reached])
    )
    for window in WINDOWS:
        found = cell(funnel, stage, window, segment)
        matured, within = followup >= window, gap <= window
        assert counts(found) == (
            gap.size,
            matured.sum(),
            (matured & within).sum(),
            within.sum(),
            (~matured & ~reached).sum(),
        )
        assert found["share_matured"] == (matured & within).sum() / matured.sum()
        assert found["share_within"] == pytest.approx(curve.cdf.evaluate(window))
        band = curve.sf.confidence_interval(method="log-log")
        ends = [1 - band.high.evaluate(window), 1 - band.low.evaluate(window)]
        assert [found["share_within_low"], found["share_within_high"]] == pytest.approx(
            ends
        )
        last = np.where(reached, gap, followup)
        assert found["n_at_risk"] == (last >= window).sum()
    half = curve.sf.quantiles[curve.sf.probabilities <= 0.5]
    assert row["median_days"] == pytest.approx(
        half[0] if half.size else np.nan, nan_ok=True
    )


def test_the_truth_of_the_simulation_is_near(simulated, undivided):
    # One shop, so four standard errors rather than the interval.
    truths = {
        "conversion": simulated.truth.conversion,
        "repurchase": simulated.truth.repurchase["day"],
    }
    for stage, truth in truths.items():
        for window in (30, 90, 180):
            row = cell(undivided, stage, window)
            error = (row["share_within_high"] - row["share_within_low"]) / 3.92
            assert abs(row["share_within"] - truth[window]) < 4 * error


def test_counts_and_shares_keep_their_order(untidy_events, by_source):
    for funnel in (sl.funnel(untidy_events), by_source):
        rows = funnel.windows
        # Everybody is matured, or reached it before, or is open.
        early = rows["n_reached"] - rows["n_matured_reached"]
        assert (rows["n_matured"] + early + rows["n_open"] == rows["n_entered"]).all()
        assert (rows["n_matured_reached"] <= rows["n_matured"]).all()
        assert (rows["n_at_risk"] <= rows["n_matured"]).all()
        for _, part in rows.groupby(["segment", "stage"]):
            assert part["n_reached"].is_monotonic_increasing
            assert part["n_matured"].is_monotonic_decreasing
            assert part["share_within"].dropna().is_monotonic_increasing
        for name in ("share_matured", "share_within"):
            known = rows[rows[name].notna()]
            ends = known[f"{name}_low"], known[name], known[f"{name}_high"]
            assert (ends[0] >= 0).all()
            assert (ends[0] <= ends[1]).all()
            assert (ends[1] <= ends[2]).all()
            assert (ends[2] <= 1).all()
        stages = funnel.stages
        assert (stages["n_reached"] <= stages["n_entered"]).all()


@pytest.mark.parametrize(
    "by", ["source", "channel", "generation", "arrived_month", "n_invited"]
)
def test_segments_add_up_to_everybody(untidy_events, by):
    names = ["n_entered", "n_matured", "n_matured_reached", "n_reached", "n_open"]
    whole = sl.funnel(untidy_events).windows.set_index(["stage", "window_days"])[names]
    parts = sl.funnel(untidy_events, by).windows
    summed = parts.groupby(["stage", "window_days"])[names].sum()
    pd.testing.assert_frame_equal(summed.sort_index(), whole.sort_index())


def test_row_order_names_and_money_do_not_matter(
    untidy_events, shuffled_events, renamed_events, richer_events
):
    for by in (None, "channel"):
        expected = sl.funnel(untidy_events, by)
        for events in (shuffled_events, renamed_events, richer_events):
            found = sl.funnel(events, by)
            pd.testing.assert_frame_equal(found.stages, expected.stages)
            pd.testing.assert_frame_equal(found.windows, expected.windows)


def test_a_bystander_changes_nobody_else(untidy_events, bystander_events):
    expected = sl.funnel(untidy_events, "channel").windows
    found = sl.funnel(bystander_events, "channel").windows
    others = found[found["segment"] != "by the way"].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, expected)


def test_who_arrived_on_the_last_day_changes_no_rate(untidy, untidy_events):
    # The naive share falls; rates with a window do not move at all.
    young = [f"new{i}" for i in range(50)]
    tables = (
        pd.concat([untidy.orders, orders(*((who, 299.5, 5) for who in young))]),
        untidy.referrals,
        pd.concat([untidy.visits, visits(*((who, 299.2, "ads") for who in young))]),
    )
    found = sl.funnel(sl.read_events(*tables[:2], visits=tables[2]))
    expected = sl.funnel(untidy_events)
    assert (
        line(found, "repurchase")["share_so_far"]
        < (line(expected, "repurchase")["share_so_far"])
    )
    names = ["n_matured", "n_matured_reached", "share_matured", "share_matured_low",
             "share_matured_high", "n_at_risk"]  # fmt: skip
    same = found.windows[names], expected.windows[names]
    pd.testing.assert_frame_equal(*same)
    again = [f.windows[f.windows["stage"] == "repurchase"] for f in (found, expected)]
    pd.testing.assert_series_equal(again[0]["share_within"], again[1]["share_within"])


def test_a_cut_is_the_same_as_an_end(untidy):
    cut = shops.day(200)
    before = shops.Tables(
        untidy.orders[untidy.orders["ordered_at"] < cut],
        untidy.referrals[untidy.referrals["referred_at"] < cut],
        untidy.visits[untidy.visits["visited_at"] < cut],
    )
    end = shops.date_of(199)
    found = sl.funnel(sl.read_events(*untidy[:2], visits=untidy.visits, end=end))
    expected = sl.funnel(sl.read_events(*before[:2], visits=before.visits, end=end))
    pd.testing.assert_frame_equal(found.stages, expected.stages)
    pd.testing.assert_frame_equal(found.windows, expected.windows)


def test_a_missing_value_is_a_level_and_the_rarest_are_put_together():
    # c0 to c39: channel k has k + 1 visitors for k < 35; the channel of 3 is missing.
    rows = [(f"c{k:02d}-{i}", 0, f"k{k:02d}") for k in range(35) for i in range(k + 1)]
    rows += [(f"blank{i}", 0, None) for i in range(40)]
    events = sl.read_events(orders(("c34-0", 1, 1)), visits=visits(*rows))
    stages = sl.funnel(events, "channel").stages
    sizes = stages[stages["stage"] == "traffic"].set_index("segment")["n_reached"]
    # 36 levels: the largest 30 are (missing) and k06 to k34; k00 to k05 are the rest.
    assert len(sizes) == 31
    assert sizes["(missing)"] == 40
    assert sizes["k34"] == 35
    assert "k05" not in sizes
    assert sizes["(other)"] == 1 + 2 + 3 + 4 + 5 + 6


def test_breakdowns_by_month_and_referrer(by_hand):
    months = sl.funnel(by_hand, "arrived_month").stages
    traffic = months[months["stage"] == "traffic"].set_index("segment")["n_reached"]
    # Days 53 and 55 are 23 and 25 February.
    assert traffic.to_dict() == {"2026-01": 5, "2026-02": 2}
    # dan's first order, on day 58, is in February; three never bought.
    bought = sl.funnel(by_hand, "first_order_month").stages
    traffic = bought[bought["stage"] == "traffic"].set_index("segment")["n_reached"]
    assert traffic.to_dict() == {"(missing)": 3, "2026-01": 3, "2026-02": 1}
    by = sl.funnel(by_hand, "referrer_id").stages
    entered = by[by["stage"] == "conversion"].set_index("segment")["n_entered"]
    assert entered.to_dict() == {"(missing)": 6, "ann": 1}


@pytest.mark.parametrize("by", schema.names("people"))
def test_every_column_of_people_is_a_breakdown(by_hand, by):
    stages = sl.funnel(by_hand, by, windows_days=()).stages
    reached = stages.groupby("stage")["n_reached"].sum()
    assert reached.to_dict() == {
        "traffic": 7, "conversion": 4, "repurchase": 2, "referral": 1,
    }  # fmt: skip


def test_without_a_table_its_stage_is_missing_not_zero():
    events = sl.read_events(orders(("a", 0, 1), ("b", 3, 1)))
    funnel = sl.funnel(events)
    traffic, conversion = line(funnel, "traffic"), line(funnel, "conversion")
    assert pd.isna(traffic["n_entered"])
    assert pd.isna(traffic["n_reached"])
    # Who bought is known; of how many is not.
    assert pd.isna(conversion["n_entered"])
    assert conversion["n_reached"] == 2
    assert np.isnan(conversion["share_so_far"])
    assert pd.isna(line(funnel, "referral")["n_reached"])
    assert set(cell(funnel, "conversion", 30)) == set(cell(funnel, "repurchase", 30))
    missing = funnel.windows[funnel.windows["stage"] != "repurchase"]
    assert (
        missing.drop(columns=["segment", "segment_2", "stage", "window_days", "reason"])
        .isna()
        .all(axis=None)
    )
    # What a person did as a referrer is unknown as well.
    for by in ("n_invited", "n_referred", "generation", "referrer_id"):
        assert set(sl.funnel(events, by).stages["segment"]) == {"(missing)"}


@pytest.mark.parametrize(
    "table",
    [orders((None, 0, 5), (None, 3, 5)), orders(("a", 0, -5))],
    ids=["only guests", "only refunds"],
)
def test_nobody_bought(table):
    funnel = sl.funnel(sl.read_events(table))
    assert funnel.stages["stage"].tolist() == [
        "traffic", "conversion", "repurchase", "referral",
    ]  # fmt: skip
    assert line(funnel, "conversion")["n_reached"] == 0
    again = line(funnel, "repurchase")
    assert (again["n_entered"], again["n_reached"]) == (0, 0)
    assert np.isnan(again["share_so_far"])
    row = cell(funnel, "repurchase", 30)
    assert (row["n_matured"], row["n_at_risk"]) == (0, 0)
    assert row["reason"].startswith("0 observed for 30 days")


def test_one_customer():
    funnel = sl.funnel(sl.read_events(orders(("a", 0, 5))))
    assert counts(cell(funnel, "repurchase", 30)) == (1, 0, 0, 0, 1)


def test_tables_have_the_columns_of_the_schema(by_source, small):
    for funnel in (by_source, small):
        assert shops.has_columns(funnel.stages, "funnel_stages")
        assert shops.has_columns(funnel.windows, "funnel_windows")
        assert funnel.to_frame().equals(funnel.windows)
        numbers = funnel.windows.filter(regex="^n_")
        assert (numbers.dtypes == "Int64").all()


def test_a_hostile_level_is_inert():
    table = visits(("a", 0, shops.HOSTILE), ("b", 0, "=cmd()"))
    funnel = sl.funnel(sl.read_events(orders(("a", 1, 1)), visits=table), "channel")
    assert shops.HOSTILE in set(funnel.stages["segment"])
    page = funnel._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "repurchase" in repr(funnel)


@pytest.mark.parametrize("window", [0, -1, 30.5, float("inf"), "30", True])
def test_windows_are_whole_days(by_hand, window):
    with pytest.raises(SettingError, match="windows_days must be"):
        sl.funnel(by_hand, windows_days=(30, window))


def test_settings_are_checked(by_hand):
    with pytest.raises(SettingError, match=r"by must be one of .*source.*got 'sauce'"):
        sl.funnel(by_hand, "sauce")
    with pytest.raises(SettingError, match="min_at_risk must be at least 1"):
        sl.funnel(by_hand, min_at_risk=0)


# Two breakdowns, totals, the chain


@pytest.mark.parametrize("order", ["loop", "strict"])
def test_totals_are_the_funnel_without_a_breakdown(untidy_events, order):
    whole = sl.funnel(untidy_events, order=order)
    assert whole.stage_totals.empty
    assert whole.window_totals.empty
    one = sl.funnel(untidy_events, "channel", order=order)
    two = sl.funnel(untidy_events, ("source", "channel"), order=order)
    by_source = sl.funnel(untidy_events, "source", order=order)
    segments = ["segment", "segment_2"]
    for name in ("stage", "window"):
        expected = getattr(whole, f"{name}s").drop(columns=segments)
        rows = getattr(one, f"{name}_totals")
        assert (rows["segment"] == "(all)").all()
        pd.testing.assert_frame_equal(rows.drop(columns=segments), expected)
        rows = getattr(two, f"{name}_totals")
        assert (rows["segment_2"] == "(all)").all()
        all_of_them = rows["segment"] == "(all)"
        pd.testing.assert_frame_equal(
            rows[all_of_them].drop(columns=segments).reset_index(drop=True), expected
        )
        pd.testing.assert_frame_equal(
            rows[~all_of_them].drop(columns="segment_2").reset_index(drop=True),
            getattr(by_source, f"{name}s").drop(columns="segment_2"),
        )


def test_a_channel_may_be_called_like_the_total():
    events = sl.read_events(
        orders(("a", 0, 1), ("b", 0, 1)),
        visits=visits(("a", 0, "(all)"), ("b", 0, "x"), ("c", 0, "(all)")),
    )
    found = sl.funnel(events, "channel", min_at_risk=1)
    assert line(found, "conversion", "'(all)'")["n_entered"] == 2
    total = found.stage_totals.set_index("stage").loc["conversion"]
    assert total["segment"] == "(all)"
    assert (total["n_entered"], total["n_reached"]) == (3, 2)


@pytest.mark.parametrize("name", ["(all)", "(missing)", "(other)", "(rest)"])
def test_what_is_called_like_a_group_of_ours_stands_in_quotes(name):
    rows = visits(*((f"p{i}", 0, None) for i in range(40)),
                  *((f"q{i}", 0, name) for i in range(50)),
                  *((f"r{i}", 0, f"x{i % 40}") for i in range(60)))  # fmt: skip
    events = sl.read_events(orders(("p0", 0, 1)), visits=rows, end="2027-01-01")
    found = sl.funnel(events, "channel", min_at_risk=1).stages
    size = found[found["stage"] == "traffic"].set_index("segment")["n_entered"]
    assert size[f"'{name}'"] == 50
    assert size["(missing)"] == 40
    # 30 of 42 are kept: these two, and 28 of the 40 whose names differ.
    assert size["(other)"] == 150 - 50 - 40 - size[size.index.str.match("x")].sum()
    told = sl.compare_segments(events, "channel").table
    assert f"'{name}'" in set(told["segment"])
    against = sl.compare_segments(events, "channel", against=f"'{name}'").table
    conversion = against[against["stage"] == "conversion"]
    assert set(conversion["n_against"]) == {50}


def test_pairs_of_segments_are_segments_of_segments(untidy_events):
    two = sl.funnel(untidy_events, ["source", "channel"]).stages
    people = sl.people(untidy_events).to_pandas()
    channel = people["channel"].fillna("(missing)")
    expected = people.groupby(["source", channel]).size()
    rows = two[two["stage"] == "traffic"].set_index(["segment", "segment_2"])
    assert rows["n_entered"].astype(int).to_dict() == expected.to_dict()


@pytest.mark.parametrize(
    "by", [("source", "source"), ("source", "channel", "generation"), ("source", "x")]
)
def test_breakdowns_that_cannot_be(by_hand, by):
    with pytest.raises(SettingError, match="by must be one"):
        sl.funnel(by_hand, by)
    with pytest.raises(SettingError, match="order must be one of 'loop', 'strict'"):
        sl.funnel(by_hand, order="any")


def chain():
    """a buys on days 0 and 10 and brings b on day 5 and c on day 30.

    b buys on day 5 and 20, c on day 30; d comes on day 0 and does nothing; e on day 38.
    """
    return sl.read_events(
        orders(("a", 0, 1), ("a", 10, 1), ("b", 5, 1), ("b", 20, 1), ("c", 30, 1)),
        referrals(("a", "b", 4), ("a", "c", 29)),
        visits=visits(("a", 0, "ads"), ("d", 0, "ads"), ("e", 38, "mail")),
        end=shops.date_of(40),
    )


def test_strictly_who_brings_must_have_bought_twice():
    events = chain()
    loop = sl.funnel(events, windows_days=(20,), min_at_risk=1)
    strict = sl.funnel(events, windows_days=(20,), min_at_risk=1, order="strict")
    # In the loop a brought b, 5 days after the first purchase.
    assert counts(cell(loop, "referral", 20)) == (3, 2, 1, 1, 1)
    # Strictly a and b have bought twice (days 10 and 20); a then brought c, 20 days
    # after; b was watched for 20 days and brought nobody.
    assert counts(cell(strict, "referral", 20)) == (2, 2, 1, 1, 0)
    assert strict.order == "strict"
    for stage in ("conversion", "repurchase"):
        one, other = cell(strict, stage, 20), cell(loop, stage, 20)
        pd.testing.assert_series_equal(pd.Series(one), pd.Series(other))


def test_overall_shares_by_hand():
    # Arrived: a, d on day 0; b on day 4 and c on day 29, when they were referred; e on
    # day 38. Within 20 days of each step:
    events = chain()
    found = sl.funnel(events, windows_days=(20, 10), min_at_risk=1)
    strict = sl.funnel(events, windows_days=(20, 10), min_at_risk=1, order="strict")

    def overall(funnel, stage, window):
        row = cell(funnel, stage, window)
        return row["n_overall"], row["n_overall_reached"]

    # One step: a, b and d were watched for 20 days; a and b bought.
    assert overall(found, "conversion", 20) == (3, 2)
    # Two steps take 40 days: a and d; a bought again, and brought b.
    assert overall(found, "repurchase", 20) == (2, 1)
    assert overall(found, "referral", 20) == (2, 1)
    # Three steps take 60 days.
    assert overall(strict, "referral", 20) == (0, 0)
    assert np.isnan(cell(strict, "referral", 20)["share_overall"])
    # Of those watched for 30 days, a, b and d, nobody took 10 days or less thrice.
    assert overall(strict, "referral", 10) == (3, 0)
    assert overall(found, "referral", 10) == (3, 1)
    assert cell(found, "referral", 10)["share_overall"] == 1 / 3
