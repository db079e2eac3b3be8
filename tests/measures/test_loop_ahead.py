"""The loop ahead: cells, projection, targets, leverage, backtest, growth, cascades."""

import math
from datetime import date

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import small_shops as shops
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from small_shops import day, orders, referrals, visits

import selfloop as sl
from selfloop.core.errors import FitError, MissingTableError, SettingError
from selfloop.measures.loop.ahead import days_ahead
from selfloop.measures.loop.cells import ARRAYS, loop_cells

EXPECTED = ("buyers", "orders", "revenue")


def line(table, **where):
    """Return the one line of a table with some values."""
    for key, value in where.items():
        table = table[table[key] == value]
    (row,) = table.to_dict("records")
    return row


def numbers(row, *names):
    """Return some numbers of a line."""
    return [row[name] for name in names]


@pytest.fixture(scope="module")
def year(simulated):
    """The simulated shop to the last of November: twelve months ahead are 365 days."""
    return sl.read_events(
        simulated.orders, simulated.referrals, visits=simulated.visits,
        end="2025-11-30",
    )  # fmt: skip


@pytest.fixture(scope="module")
def cells(simulated_events):
    return loop_cells(simulated_events)


@pytest.fixture(scope="module")
def leverage(year):
    return sl.stage_leverage(year)


@pytest.fixture(scope="module")
def projection(simulated_events):
    return sl.project_loop(simulated_events, months=3)


# Cells -----------------------------------------------------------------------------


def test_cells_are_what_pandas_counts(cells, simulated, simulated_people):
    people = simulated_people
    first, second = people["first_day"], people["second_day"]
    end, came = people["end_day"], people["arrived_day"]
    own = people["referrer"].map(first)
    inside = first >= own
    outside = first.notna() & people["referrer"].notna() & ~inside
    days = {
        "arrived": end - came,
        "bought": first - came,
        "waiting": (end - came)[first.isna()],
        "followup": end - first,
        "again": second - first,
        "alone": (end - first)[second.isna()],
        "success": people["success_day"] - first,
        "quiet": (end - first)[people["success_day"].isna()],
        "brought": (first - own)[inside],
        "seeded": (end - first)[outside],
    }
    by_source = dict.fromkeys(days, people["source"]) | {
        "brought": people["referrer"].map(people["source"])
    }
    for source in cells.source:
        part = cells.where(source=source)
        for name, number in days.items():
            mine = number[(by_source[name] == source)].dropna().astype(int)
            expected = np.bincount(mine, minlength=cells.n_days)
            found = getattr(part, name)[0].sum(axis=0)
            np.testing.assert_array_equal(found, expected, err_msg=name)
    spent = simulated.orders.assign(
        day=simulated.orders["ordered_at"].dt.normalize() - day(0)
    )
    since_1970 = (day(0) - pd.Timestamp("1970-01-01")).days
    age = spent["day"].dt.days + since_1970 - spent["customer_id"].map(first)
    expected = np.bincount(age.astype(int), spent["amount"], cells.n_days)
    np.testing.assert_allclose(cells.where().revenue[0].sum(axis=0), expected)
    ages = spent.assign(age=age).drop_duplicates(["customer_id", "age"])["age"]
    expected = np.bincount(ages.astype(int), minlength=cells.n_days)
    np.testing.assert_array_equal(cells.where().orders[0].sum(axis=0), expected)


@pytest.mark.parametrize("which", ["untidy", "simulated"])
def test_a_cut_is_an_end(request, which):
    tables = request.getfixturevalue(which)
    events = request.getfixturevalue(f"{which}_events")
    cut = events.start + (events.end - events.start) * 0.6
    early = sl.read_events(
        tables.orders, tables.referrals, visits=tables.visits, end=cut
    )
    # What somebody is called in the end may differ: they are looked at all together.
    found, expected = loop_cells(events, end=cut).where(), loop_cells(early).where()
    for name in ARRAYS:
        one, other = (getattr(c, name) for c in (found, expected))
        assert other.sum() > 0 or name == "seeded"
        if name == "revenue":
            np.testing.assert_allclose(one, other, atol=1e-9)
        else:
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_sources_are_the_sums_of_their_channels(cells, simulated_events):
    by_channel = loop_cells(simulated_events, "channel")
    assert len(by_channel.source) > len(cells.source)
    for source in cells.source:
        one, other = (c.where(source=source) for c in (cells, by_channel))
        for name in ARRAYS:
            np.testing.assert_allclose(getattr(one, name), getattr(other, name))


def test_cells_of_nobody():
    found = loop_cells(sl.read_events(orders((None, 0, 5), (None, 40, 5))))
    assert found.where().followup.sum() == 0


# Projection ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "months", "n_days"),
    [
        (date(2026, 1, 31), 1, 28), (date(2024, 1, 31), 1, 29),
        (date(2026, 1, 30), 1, 29), (date(2026, 12, 31), 12, 365),
        (date(2026, 12, 31), 1, 31), (date(2025, 11, 30), 12, 365),
        (date(2026, 2, 1), 1, 27 + 31),
    ],
)  # fmt: skip
def test_days_ahead_by_hand(end, months, n_days):
    assert days_ahead(end, months) == n_days


@given(st.dates(date(1990, 1, 1), date(2090, 1, 1)), st.integers(1, 60))
def test_days_ahead_end_with_a_month(end, months):
    last = pd.Timestamp(end) + pd.Timedelta(days=days_ahead(end, months))
    assert last.is_month_end
    whole = pd.Period(last, "M") - pd.Period(pd.Timestamp(end), "M")
    assert whole.n == months


def test_months_add_up(projection):
    assert shops.has_columns(projection.months, "projection_months")
    assert shops.has_columns(projection.totals, "projection_totals")
    sums = ["buyers_outside", "buyers_brought", "orders_repeat", *EXPECTED]
    for scenario, months in projection.months.groupby("scenario"):
        total = line(projection.totals, scenario=scenario)
        assert months[sums].sum().tolist() == pytest.approx(numbers(total, *sums))
        # 20 December 2025 to the end of March.
        assert total["horizon_days"] == 11 + 31 + 28 + 31
        assert months["month"].tolist() == ["2025-12", "2026-01", "2026-02", "2026-03"]
        assert months["status"].tolist() == ["partial", *["complete"] * 3]
    for table in (projection.months, projection.totals):
        new = table["buyers_outside"] + table["buyers_brought"]
        assert new.tolist() == pytest.approx(table["buyers"].tolist())
        # A purchase is the first one of somebody new, or a repeat.
        both = table["buyers"] + table["orders_repeat"]
        assert both.tolist() == pytest.approx(table["orders"].tolist())


def test_what_was_before_is_the_last_days_in_plain_pandas(projection, simulated):
    end = pd.Timestamp(projection.end)
    rows = simulated.orders.assign(day=simulated.orders["ordered_at"].dt.normalize())
    for row in projection.totals.to_dict("records"):
        since = end - pd.Timedelta(days=row["horizon_days"] - 1)
        assert row["before_days"] == row["horizon_days"]
        late = rows[rows["day"].between(since, end)]
        assert row["orders_before"] == len(late.drop_duplicates(["customer_id", "day"]))
        assert row["revenue_before"] == pytest.approx(late["amount"].sum())
        first = rows.groupby("customer_id")["day"].min()
        assert row["buyers_before"] == first.between(since, end).sum()


def test_of_what_was_before_no_more_is_taken_than_was_observed(simulated_events):
    found = sl.project_loop(simulated_events, months=48).totals.iloc[0]
    n_days = (simulated_events.end - simulated_events.start).days + 1
    assert found["before_days"] == n_days < found["horizon_days"]


def test_ranges_are_nested(projection):
    for name in EXPECTED:
        ends = [f"{name}_low", f"{name}_mean_low", name, f"{name}_mean_high",
                f"{name}_high"]  # fmt: skip
        values = projection.months[ends].to_numpy(float)
        assert (np.diff(values, axis=1) > 0).all()


def test_without_ads_is_with_ads_stopped(simulated_events, projection):
    stopped = sl.project_loop(simulated_events, months=3, targets={"paid_traffic": 0})
    for part in ("months", "totals"):
        table = getattr(stopped, part).set_index("scenario")
        no_ads, what_if = (
            table.loc[[name]].reset_index(drop=True) for name in ("no_ads", "what_if")
        )
        pd.testing.assert_frame_equal(what_if, no_ads)
    total = {s: line(projection.totals, scenario=s) for s in ("as_is", "no_ads")}
    assert total["no_ads"]["buyers_outside"] < total["as_is"]["buyers_outside"]
    assert total["no_ads"]["revenue"] < total["as_is"]["revenue"]


def steady(*, channel, start=0, n=100, name="c", step=1.0):
    """Make buyers of one channel, one a day, who buy again ten days later.

    Every second brings somebody, who buys 30 days after them and does the same.
    """
    rows, links, seen = [], [], []
    for i in range(n):
        who, at, depth = f"{name}{i:03d}", start + i * step, 0
        seen.append((who, at, channel))
        while at <= 160:
            rows += [(who, at, 10), (who, at + 10, 10)]
            if (i >> depth) % 2:
                break
            links.append((who, f"{who}+", at + 29))
            who, at, depth = f"{who}+", at + 30, depth + 1
    return rows, links, seen


def read(*parts, end=160, **more):
    """Read shops made by `steady` together."""
    rows, links, seen = ([row for part in parts for row in part[i]] for i in range(3))
    rows = [row for row in rows if row[1] <= end]
    links = [row for row in links if row[2] <= end]
    table = orders(*rows).assign(channel=None)
    return sl.read_events(
        table, referrals(*links), visits=visits(*seen), end=shops.date_of(end), **more
    )


def test_where_nobody_is_paid_there_is_no_scenario_without_ads():
    found = sl.project_loop(read(steady(channel="mail", n=140)), months=2)
    assert found.totals["scenario"].tolist() == ["as_is"]


def test_without_new_visitors_only_the_loop_goes_on():
    # Everybody buys on the day of the first visit: nobody is still deciding.
    events = read(steady(channel="ads", n=140))
    found = sl.project_loop(events, months=3, targets={"traffic": 0.0})
    for scenario in ("no_ads", "what_if"):
        total = line(found.totals, scenario=scenario)
        assert total["buyers_outside"] == pytest.approx(0)
        assert total["buyers_brought"] > 10
    as_is = line(found.totals, scenario="as_is")
    # One a day came of late, to day 139 of 160: 69 of the last 90 days.
    assert as_is["buyers_outside"] == pytest.approx(
        as_is["horizon_days"] * 69 / 90, rel=0.02
    )


def test_a_young_kind_of_buyers_brings_others_as_all_do():
    # In the last 20 days 60 come from ads, who are like all others. Nobody brings
    # anybody before day 30: nothing is known of how many those from ads will bring.
    old = steady(channel="mail", n=130)
    young = {
        channel: steady(channel=channel, start=140, n=60, name="y", step=0.25)
        for channel in ("mail", "ads")
    }
    brought = {
        channel: line(
            sl.project_loop(read(old, part), months=3, targets={"traffic": 0.0}).totals,
            scenario="what_if",
        )["buyers_brought"]
        for channel, part in young.items()
    }
    assert brought["ads"] == pytest.approx(brought["mail"], rel=0.2)


def test_row_order_does_not_matter(simulated, simulated_events, projection):
    tables = [t.sample(frac=1, random_state=4) for t in
              (simulated.orders, simulated.referrals, simulated.visits)]  # fmt: skip
    other = sl.project_loop(
        sl.read_events(tables[0], tables[1], visits=tables[2]), months=3
    )
    pd.testing.assert_frame_equal(other.months, projection.months)
    growths = [
        sl.loop_growth(events).to_frame()
        for events in (simulated_events, sl.read_events(*tables[:2]))
    ]
    assert growths[0]["n_seeds"].tolist() == growths[1]["n_seeds"].tolist()


def test_too_few_buyers():
    events = sl.read_events(orders(*((f"c{i}", i, 1) for i in range(29))))
    for measure in (sl.project_loop, sl.stage_leverage):
        with pytest.raises(FitError, match="fewer than 30 buyers"):
            measure(events)
    with pytest.raises(FitError, match="fewer than 30 buyers"):
        sl.what_if(events, traffic=2)


# Targets ---------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["conversion", "repurchase", "referral"])
def test_the_share_of_today_changes_nothing(year, leverage, stage):
    share = line(leverage.table, stage=stage, step="+10%")["share"]
    within = sl.funnel(year).windows
    row = line(within[within["segment"] == "all"], stage=stage, window_days=90)
    assert share == pytest.approx(row["share_within"])
    found = sl.what_if(year, months=1, **{f"{stage}_90d": share}).table
    assert found["then"].tolist() == pytest.approx(found["today"].tolist())
    gap = found["difference"] / found["today"]
    assert gap.tolist() == pytest.approx([0] * 4, abs=1e-9)


@pytest.mark.parametrize("stage", ["conversion", "repurchase", "referral"])
def test_a_target_is_the_leverage_of_the_same_factor(year, leverage, stage):
    step = line(leverage.table, stage=stage, step="+10%")
    table = sl.what_if(year, **{f"{stage}_90d": step["share_then"]}).table
    for measure in ("value", "revenue"):
        row = line(table, measure=measure)
        assert numbers(row, "today", "difference") == pytest.approx(
            numbers(step, measure, f"{measure}_gain")
        )


def test_traffic_is_a_multiple(year, leverage):
    table = sl.what_if(year, traffic=1.1).table
    step = line(leverage.table, stage="traffic", step="+10%")
    for measure in ("value", "revenue"):
        row = line(table, measure=measure)
        assert row["difference"] == pytest.approx(step[f"{measure}_gain"])


def test_what_if_shows_the_months_that_it_compares(year):
    found = sl.what_if(year, months=2, repurchase_90d=0.7, traffic=0.5)
    totals = found.projection.totals
    assert totals["scenario"].tolist() == ["as_is", "what_if"]
    for name in EXPECTED:
        row = line(found.table, measure=name)
        ends = [line(totals, scenario=s)[name] for s in ("as_is", "what_if")]
        assert numbers(row, "today", "then") == pytest.approx(ends)
        assert row["difference"] == pytest.approx(ends[1] - ends[0])
    assert found.targets == {"repurchase_90d": 0.7, "traffic": 0.5}
    assert shops.has_columns(found.to_frame(), "what_if")
    assert "repurchase_90d" in repr(found)
    assert "repurchase_90d" in found._repr_html_()


def test_a_value_without_end_then_is_not_called_unknown_today(year, leverage):
    # 0.9 is several times the share of today: R of those who are brought is above 1.
    row = line(sl.what_if(year, months=1, referral_90d=0.9).table, measure="value")
    assert row["today"] == pytest.approx(leverage.table["value"].iloc[0])
    assert math.isnan(row["then"])
    assert row["reason"] != ""
    assert "today" not in row["reason"]


def test_a_loop_that_explodes_within_a_day_cannot_be_a_target():
    # Each of 150 brings one on the same day; the first of those brings 150 at once. So
    # 151 of 450 bring somebody, and who is brought brings 150 / 300 on the same day:
    # twice as many, and they would bring one each, who would bring one each, ...
    rows = [(f"c{i:03d}", i, 10) for i in range(150)]
    rows += [(f"d{i:03d}", i + 0.5, 10) for i in range(150)]
    rows += [(f"e{i:03d}", 0.8, 10) for i in range(150)]
    links = [(f"c{i:03d}", f"d{i:03d}", i + 0.1) for i in range(150)]
    links += [("d000", f"e{i:03d}", 0.6) for i in range(150)]
    events = sl.read_events(orders(*rows), referrals(*links))
    share = 151 / 450
    table = sl.what_if(events, months=1, referral_90d=1.5 * share).table
    # One a day comes from outside and brings 1.5, who bring 0.75 each: 1 + 1.5 / 0.25.
    # 30 May 2026 is the last day: 31 days to the end of June.
    assert line(table, measure="buyers")["then"] == pytest.approx(31 * 7)
    with pytest.raises(FitError, match="no end to it within a day"):
        sl.what_if(events, months=1, referral_90d=2.1 * share)


def test_a_leader_who_brings_sixty_on_the_first_day():
    # d is brought and brings 60 at once: 60 of 61 is below one, but without a group of
    # these 60 it may not be. What is expected is known whatever its range.
    rows = [(f"c{i:03d}", i, 10) for i in range(150)] + [("d", 3, 10)]
    rows += [(f"e{i:02d}", 3.5, 10) for i in range(60)]
    links = [("c000", "d", 2.5), *(("d", f"e{i:02d}", 3.2) for i in range(60))]
    events = sl.read_events(orders(*rows), referrals(*links))
    total = line(sl.project_loop(events, months=1).totals, scenario="as_is")
    # 30 May 2026 is the last day. One a day comes from outside; each brings 1 / 147 by
    # age 3 (147 are as old), and each of those ends in 61; 31 reach that age in time.
    assert total["buyers_outside"] == pytest.approx(31)
    assert total["buyers_brought"] == pytest.approx(31 / 147 * 61)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ({}, "name a target"),
        ({"conversion": 0.4}, "a target must be traffic"),
        ({"conversion_0d": 0.4}, "a target must be traffic"),
        ({"conversion_90": 0.4}, "a target must be traffic"),
        ({"retention_90d": 0.4}, "a target must be traffic"),
        ({"conversion_90d": 0}, "conversion_90d must be"),
        ({"conversion_90d": 1.01}, "conversion_90d must be"),
        ({"conversion_90d": math.nan}, "conversion_90d must be"),
        ({"conversion_90d": "0.5"}, "conversion_90d must be"),
        ({"traffic": -1}, "traffic must be"),
        ({"traffic": True}, "traffic must be"),
        ({"conversion_90d": 0.4, "conversion_30d": 0.3}, "one target per stage"),
        ({"conversion_90d": 0.99}, "more people of source"),
        ({"repurchase_719d": 0.9}, "repurchase_719d cannot be a target: .* at risk"),
        ({"repurchase_9999d": 0.9}, "repurchase_9999d cannot be a target: 0 at risk"),
        ({"traffic": 1, "months": 0}, "months must be"),
        ({"traffic": 1, "months": 61}, "months must be"),
        ({"traffic": 1, "recent_days": 6}, "recent_days must be"),
        ({"traffic": 1, "horizon_days": 0}, "horizon_days must be"),
    ],
)
def test_targets_that_cannot_be(simulated_events, targets, message):
    with pytest.raises(SettingError, match=message):
        sl.what_if(simulated_events, **targets)


def test_what_is_not_known_cannot_be_a_target(simulated):
    events = sl.read_events(simulated.orders)
    with pytest.raises(SettingError, match="no table of visits"):
        sl.what_if(events, conversion_90d=0.5)
    with pytest.raises(SettingError, match="no table of referrals"):
        sl.what_if(events, referral_90d=0.5)
    # Nobody came from ads: there is nothing to multiply.
    free = sl.read_events(simulated.orders, paid_channels=())
    with pytest.raises(SettingError, match="paid_traffic"):
        sl.what_if(free, paid_traffic=0)
    with pytest.raises(SettingError, match="targets must be"):
        sl.project_loop(events, targets=["traffic"])


def test_buyers_without_a_visit_do_not_forbid_a_conversion():
    # 200 came by mail, half of them buy; 40 are only seen when they buy.
    rows = [(f"m{i:03d}", i / 2, 10) for i in range(0, 200, 2)]
    rows += [(f"o{i:03d}", i, 10) for i in range(40)]
    seen = visits(*((f"m{i:03d}", i / 2, "mail") for i in range(200)))
    events = sl.read_events(orders(*rows), visits=seen, end=shops.date_of(250))
    found = sl.what_if(events, months=1, conversion_90d=0.7)
    assert (found.table["measure"] == ["value", *EXPECTED]).all()


# Leverage --------------------------------------------------------------------------


def test_ten_percent_more_traffic_is_ten_percent_of_v(leverage):
    row = line(leverage.table, stage="traffic", step="+10%")
    assert row["value_gain"] == pytest.approx(0.1 * row["value"], rel=1e-12)
    assert 0 < row["revenue_gain"] < 0.1 * row["revenue"]
    assert shops.has_columns(leverage.table, "stage_leverage")


def test_leverage_by_the_formula(year, leverage):
    found = sl.visitor_value(year)
    out = line(found.table, segment="(outside)")
    ref = line(found.table, segment="referral")

    def value(p=1.0, repeat=1.0, r=1.0):
        """V = p (L + R L_ref / (1 - R_ref)) with some of it multiplied."""
        own, own_ref = (row["first_value"] + repeat * row["repeat_value"]
                        for row in (out, ref))  # fmt: skip
        after = own_ref / (1 - ref["r"] * r * p)
        return p * out["share_converted"] * (own + out["r"] * r * p * after)

    assert value() == pytest.approx(out["visitor_value"])
    for stage, name in (
        ("conversion", "p"),
        ("repurchase", "repeat"),
        ("referral", "r"),
    ):
        for step in ("+10%", "+1 point"):
            row = line(leverage.table, stage=stage, step=step)
            factor = row["share_then"] / row["share"]
            more = 0.1 * row["share"] if step == "+10%" else 0.01
            assert row["share_then"] - row["share"] == pytest.approx(more)
            assert row["value"] == pytest.approx(value())
            assert row["value_gain"] == pytest.approx(value(**{name: factor}) - value())
            assert row["value_gain_low"] < row["value_gain"] < row["value_gain_high"]


def test_the_stage_that_is_named_gains_most(leverage):
    steps = leverage.table[leverage.table["step"] == "+10%"]
    best = steps.loc[steps["revenue_gain"].idxmax()]
    assert leverage.best_stage == best["stage"]
    assert leverage.best_stage in repr(leverage)
    assert leverage.unit == "visitor"


def test_without_visits_a_buyer_is_valued(simulated):
    events = sl.read_events(simulated.orders, simulated.referrals)
    found = sl.stage_leverage(events)
    assert found.unit == "buyer"
    out = line(sl.visitor_value(events).table, segment="(outside)")
    row = line(found.table, stage="traffic", step="+10%")
    assert row["value"] == pytest.approx(out["buyer_value"])
    missing = line(found.table, stage="conversion", step="+10%")
    assert missing["reason"] == "no table of visits"
    assert math.isnan(missing["revenue_gain"])


def test_without_referrals_the_value_is_missing_and_the_revenue_is_not(simulated):
    found = sl.stage_leverage(sl.read_events(simulated.orders, visits=simulated.visits))
    row = line(found.table, stage="repurchase", step="+10%")
    assert math.isnan(row["value"])
    assert row["revenue_gain"] > 0
    assert row["reason"] != ""
    assert line(found.table, stage="referral", step="+10%")["reason"] == (
        "no table of referrals"
    )
    repr(found)


def test_one_person_who_brought_somebody():
    # Without that one nobody has reached the stage: the range is not known, the
    # number is.
    rows = [(f"c{i:03d}", i, 10) for i in range(100)]
    rows += [(f"c{i:03d}", i + 20, 5) for i in range(0, 100, 3)]
    events = sl.read_events(
        orders(*rows), referrals(("c000", "c040", 10)), end=shops.date_of(200)
    )
    row = line(sl.stage_leverage(events).table, stage="referral", step="+10%")
    assert row["share"] == pytest.approx(0.01)
    assert row["share_then"] == pytest.approx(0.011)
    table = sl.what_if(events, months=1, referral_90d=0.05).table
    assert (table["difference"].iloc[1:] >= 0).all()


def test_a_share_never_exceeds_everybody():
    # 950 of 1,000 buy again after a week: 10 % more of them are not there.
    rows = [(f"c{i:04d}", i % 200, 10) for i in range(1000)]
    rows += [(f"c{i:04d}", i % 200 + 7, 10) for i in range(1000) if i % 20]
    table = sl.stage_leverage(
        sl.read_events(orders(*rows), end=shops.date_of(320))
    ).table
    point, more = (
        line(table, stage="repurchase", step=step) for step in ("+1 point", "+10%")
    )
    assert numbers(point, "share", "share_then") == pytest.approx([0.95, 0.96])
    assert not more["share_then"] > 1
    assert more["reason"] != ""


def test_settings_are_checked(simulated_events):
    with pytest.raises(SettingError, match="horizon_days must be"):
        sl.stage_leverage(simulated_events, horizon_days=0)
    with pytest.raises(SettingError, match="recent_days must be"):
        sl.stage_leverage(simulated_events, recent_days=3)
    with pytest.raises(SettingError, match="months must be"):
        sl.project_loop(simulated_events, months=1.5)


# Backtest --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backtest(simulated_events):
    return sl.backtest_loop(simulated_events, at="2025-08-15")


def test_what_happened_in_plain_pandas(backtest, simulated):
    rows = simulated.orders.assign(day=simulated.orders["ordered_at"].dt.normalize())
    first = rows.groupby("customer_id")["day"].min()
    late = rows[rows["day"] > "2025-08-15"]
    by_month = {
        "buyers": first[first > "2025-08-15"].dt.strftime("%Y-%m").value_counts(),
        "orders": late.drop_duplicates(["customer_id", "day"])["day"]
        .dt.strftime("%Y-%m")
        .value_counts(),
        "revenue": late.groupby(late["day"].dt.strftime("%Y-%m"))["amount"].sum(),
    }
    months = ["2025-08", "2025-09", "2025-10", "2025-11", "2025-12"]
    for name, expected in by_month.items():
        mine = backtest.table[backtest.table["measure"] == name].set_index("month")
        assert mine.index.tolist() == [*months, "all"]
        assert mine.loc[months, "actual"].tolist() == pytest.approx(
            expected.reindex(months).fillna(0).tolist()
        )
        assert mine.loc["all", "actual"] == pytest.approx(expected.sum())
        assert mine.loc["all", "predicted"] == pytest.approx(
            mine.loc[months, "predicted"].sum()
        )
        # The data end on 20 December.
        assert mine["status"].tolist() == [
            "partial", *["complete"] * 3, "partial", "complete",
        ]  # fmt: skip
    assert (backtest.at, backtest.n_days) == (date(2025, 8, 15), 127)


def test_errors_of_a_backtest_are_of_its_numbers(backtest):
    table = backtest.table
    assert shops.has_columns(table, "loop_backtest")
    error = table["predicted"] / table["actual"] - 1
    assert table["error"].tolist() == pytest.approx(error.tolist())
    inside = table["actual"].between(table["predicted_low"], table["predicted_high"])
    assert table["inside"].tolist() == inside.tolist()
    months = table["month"] != "all"
    assert backtest.share_inside == pytest.approx(inside[months].mean())
    # Three months of a shop that goes on as it was: within a quarter.
    assert table.loc[~months, "error"].abs().max() < 0.25


def test_a_backtest_is_the_projection_of_that_day(simulated):
    whole = sl.read_events(simulated.orders, end="2025-11-30")
    early = sl.read_events(simulated.orders, end="2025-08-31")
    found = sl.backtest_loop(whole, at="2025-08-31").table
    ahead = sl.project_loop(early, months=3).months
    ahead = ahead[ahead["scenario"] == "as_is"]
    for name in EXPECTED:
        mine = found[found["measure"] == name].iloc[:3]
        for end in ("", "_low", "_high"):
            expected = ahead[f"{name}{end}"].tolist()
            assert mine[f"predicted{end}"].tolist() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("2023-12-31", "at must lie between"), ("2026-01-01", "at must lie between"),
        ("2025-11-30", "at must leave 28 days"), ("soon", "at must be"),
    ],
)  # fmt: skip
def test_cuts_that_cannot_be(simulated_events, at, message):
    with pytest.raises(SettingError, match=message):
        sl.backtest_loop(simulated_events, at=at)


def test_short_data_cannot_be_tested():
    events = sl.read_events(orders(*((f"c{i}", i, 1) for i in range(83))))
    with pytest.raises(SettingError, match="a third of them is 27, need 28"):
        sl.backtest_loop(events)
    with pytest.raises(FitError, match="fewer than 30 buyers"):
        sl.backtest_loop(events, at=shops.date_of(20))


def test_quiet_months_have_no_error():
    # Nobody buys after day 60: what was predicted for March is not divided by 0.
    events = sl.read_events(
        orders(*((f"c{i}", i % 60, 1) for i in range(120))), end=shops.date_of(150)
    )
    found = sl.backtest_loop(events, at=shops.date_of(60))
    assert (found.table["actual"] == 0).all()
    assert found.table["error"].isna().all()
    repr(found)


# Growth and cascades ---------------------------------------------------------------


@pytest.fixture(scope="module")
def growth(simulated_events):
    return sl.loop_growth(simulated_events)


def sizes_by_networkx(orders, people):
    """Return the sizes of the trees of buyers who were brought by buyers."""
    first = orders.groupby("customer_id")["ordered_at"].min().dt.normalize()
    graph = nx.Graph()
    graph.add_nodes_from(first.index)
    known = people["referrer"].dropna()
    for whom, by in known.items():
        if whom in first.index and by in first.index and first[by] <= first[whom]:
            graph.add_edge(by, whom)
    return np.array([len(tree) for tree in nx.connected_components(graph)])


def test_cascades_by_networkx(growth, simulated, simulated_people):
    sizes = sizes_by_networkx(simulated.orders, simulated_people)
    table = growth.cascades
    assert shops.has_columns(table, "cascades")
    low, high = table["size_low"], table["size_high"].fillna(10**9)
    for size_low, size_high, n_seeds in zip(low, high, table["n_seeds"], strict=True):
        assert n_seeds == ((sizes >= size_low) & (sizes <= size_high)).sum()
    assert growth.n_seeds == sizes.size == table["n_seeds"].sum()
    assert growth.mean_size == pytest.approx(sizes.mean())
    assert table["share"].tolist() == pytest.approx(table["n_seeds"] / len(sizes))
    # All of them are somewhere: the prediction adds up too.
    assert table["expected"].sum() == pytest.approx(growth.n_seeds)
    assert table["final_share"].sum() == pytest.approx(1)
    assert (table["final_share"] >= 0).all()
    assert (table["expected_low"] <= table["expected"]).all()
    assert (table["expected"] <= table["expected_high"]).all()


def test_the_rate_solves_euler_lotka(growth, simulated_events):
    curve = sl.self_loop(simulated_events).curve
    births = np.diff(curve["r"], prepend=0)

    def births_less_one(rate):
        return (np.exp(-rate * curve["age_days"]) * births).sum() - 1

    rate = brentq(births_less_one, -0.05, 0.05)
    assert growth.rate == pytest.approx(rate, rel=1e-6)
    assert growth.rate_low < growth.rate < growth.rate_high < 0
    assert growth.halving_days == pytest.approx(-math.log(2) / rate, rel=1e-6)
    assert math.isnan(growth.doubling_days)
    line_of_r = sl.self_loop(simulated_events)
    assert growth.r == line_of_r.headline["r"]
    assert growth.multiplier == line_of_r.multiplier
    assert growth.verdict == "fades"
    assert growth.share_dying == pytest.approx(1)


def grown(n_brought, *, n_seeds=60, generations=4):
    """Make seeds of day 0 of whom each brings so many ten days later, and so on."""
    rows, links = [], []
    born = [f"s{i:02d}" for i in range(n_seeds)]
    rows += [(who, 0, 10) for who in born]
    for g in range(1, generations + 1):
        brought = []
        for i, who in enumerate(born):
            for k in range(n_brought(g, i)):
                brought.append(f"{who}.{k}")
                links.append((who, brought[-1], 10 * g - 1))
        rows += [(who, 10 * g, 10) for who in brought]
        born = brought
    return sl.read_events(
        orders(*rows), referrals(*links), end=shops.date_of(10 * generations + 5)
    )


def test_a_loop_that_doubles_in_ten_days():
    # Half bring three, half one: two each, ten days later.
    found = sl.loop_growth(grown(lambda _, i: 3 if i % 2 else 1, n_seeds=40))
    assert found.r == pytest.approx(2)
    assert found.rate == pytest.approx(math.log(2) / 10, rel=1e-6)
    assert found.doubling_days == pytest.approx(10)
    assert math.isnan(found.halving_days)
    assert found.verdict == "sustains"
    assert found.multiplier == math.inf
    assert found.cascades["final_share"].isna().all()
    assert 0 <= found.share_dying < 1


def test_one_tree_that_holds_most():
    # One of 40 brings 200, who bring nobody: 39 cascades of 1 and one of 201.
    rows = [(f"s{i:02d}", 0, 10) for i in range(40)]
    rows += [(f"b{i:03d}", 10 + i % 20, 10) for i in range(200)]
    links = [("s00", f"b{i:03d}", 9) for i in range(200)]
    found = sl.loop_growth(
        sl.read_events(orders(*rows), referrals(*links), end=shops.date_of(60))
    )
    assert found.cascades["n_seeds"].tolist() == [39, 0, 0, 0, 0, 0, 0, 1]
    assert found.mean_size == pytest.approx(240 / 40)
    # One person brought all: whether R is below 1 cannot be told.
    assert found.verdict == "open"
    assert found.k < 0.1
    repr(found)


def test_nobody_refers():
    # A referral that came to nothing: R is 0 and that is known.
    rows = [(f"c{i:02d}", i, 10) for i in range(60)]
    found = sl.loop_growth(
        sl.read_events(orders(*rows), referrals(("c00", "z", 1)), end=shops.date_of(99))
    )
    assert (found.r, found.multiplier, found.verdict) == (0, 1, "fades")
    assert found.cascades["n_seeds"].tolist() == [60, 0, 0, 0, 0, 0, 0, 0]
    assert math.isnan(found.k)
    # Everybody stays alone, whatever k may be.
    assert found.share_dying == 1
    assert found.expected_size == 1
    assert "fades" in repr(found)
    found._repr_html_()


def test_people_brought_before_the_own_purchase_begin_a_cascade():
    # a brings b before buying; c brings d; staff, who never buys, brings e.
    rows = orders(("a", 5, 1), ("b", 2, 1), ("c", 0, 1), ("d", 0.5, 1), ("e", 3, 1))
    links = referrals(("a", "b", 1), ("c", "d", 0.1), ("staff", "e", 1))
    found = sl.loop_growth(
        sl.read_events(rows, links, end=shops.date_of(9)), min_at_risk=1
    )
    assert found.n_seeds == 4
    assert found.cascades["n_seeds"].tolist() == [3, 1, 0, 0, 0, 0, 0, 0]


def test_few_buyers_have_no_growth():
    events = sl.read_events(orders(("a", 0, 1), ("b", 9, 1)), referrals(("a", "b", 1)))
    found = sl.loop_growth(events)
    assert found.reason == "fewer than 30 buyers observed for a day"
    assert found.verdict == ""
    assert math.isnan(found.r)
    assert found.n_seeds == 1
    assert "missing" in repr(found)


def test_growth_needs_referrals(simulated):
    with pytest.raises(MissingTableError, match="SL301  loop_growth needs"):
        sl.loop_growth(sl.read_events(simulated.orders))
    for measure in (sl.loop_growth, sl.project_loop, sl.stage_leverage,
                    sl.backtest_loop, sl.what_if):  # fmt: skip
        with pytest.raises(SettingError, match="read_events"):
            measure(simulated.orders)
