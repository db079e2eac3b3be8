"""Buying again as pictures: drawn as in the tables, in both languages, with nobody."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.outputs import plots

HOSTILE = "$<script>alert(1)</script>$ a very long name of a channel"


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def events():
    shop = sl.simulate(4000, seed=9)
    return sl.read_events(shop.orders, shop.referrals, visits=shop.visits)


def made_of(*rows):
    """Read orders of (customer, date, amount)."""
    return sl.read_events(
        pd.DataFrame(rows, columns=["customer_id", "ordered_at", "amount"])
    )


@pytest.fixture(scope="module")
def nobody():
    return made_of(("a", "2026-01-01", -5), ("b", "2026-03-02", -1))


@pytest.fixture(scope="module")
def one_person():
    return made_of(("a", "2026-01-01", 5), ("a", "2026-01-09", 5))


def words_of(ax):
    """Return all words on a drawing."""
    found = [text.get_text() for text in ax.texts]
    legend = ax.get_legend()
    if legend is not None:
        found += [text.get_text() for text in legend.get_texts()]
    found += [label.get_text() for label in ax.get_xticklabels()]
    return "\n".join(found)


def dots_of(container):
    """Return the places, values and ends of the bars of some dots."""
    line, _, (bars,) = container
    parts = [s if len(s) else np.full((2, 2), np.nan) for s in bars.get_segments()]
    ends = np.array([part[:, 1] for part in parts])
    return (*line.get_data(), ends)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_ladder_is_that_of_the_table(events, lang):
    ladder = sl.repurchase(events)
    before = mpl.rcParams.copy()
    ax = sl.plot(ladder, lang=lang)
    assert mpl.rcParams == before
    rows = ladder.windows[ladder.windows["window_days"] == 90].set_index("step")
    matured, within = ax.containers
    steps, share, ends = dots_of(matured)
    known = rows[rows["share_matured"].notna()]
    assert list(steps) == known.index.tolist()
    assert share == pytest.approx(known["share_matured"].to_numpy())
    assert ends[:, 0] == pytest.approx(known["share_matured_low"].to_numpy())
    assert ends[:, 1] == pytest.approx(known["share_matured_high"].to_numpy())
    _, share, ends = dots_of(within)
    for values, name in (
        (share, "share_within"), (ends[:, 0], "share_within_low"),
        (ends[:, 1], "share_within_high"),
    ):  # fmt: skip
        assert values == pytest.approx(known[name].to_numpy(), nan_ok=True)
    assert f"1→2\nn={known['n_matured'].iloc[0]:,}" in words_of(ax)


def test_steps_without_enough_people_are_named(events):
    ladder = sl.repurchase(events, up_to=40)
    rows = ladder.windows[ladder.windows["window_days"] == 365]
    hidden = rows[rows["share_matured"].isna()]["step"].tolist()
    assert hidden
    ax = plots.plot_repurchase(ladder, window_days=365)
    assert f"{hidden[0]}→{hidden[0] + 1}" in words_of(ax)


def test_segments_are_drawn_beside_each_other(events):
    ladder = sl.repurchase(events, "source")
    ax = plots.plot_repurchase(ladder, window_days=30)
    rows = ladder.windows[ladder.windows["window_days"] == 30]
    sizes = rows[rows["step"] == 1].sort_values("n_entered", ascending=False)
    assert len(ax.containers) == len(sizes)
    for container, name in zip(ax.containers, sizes["segment"], strict=True):
        own = rows[(rows["segment"] == name) & rows["share_matured"].notna()]
        _, share, _ = dots_of(container)
        assert share == pytest.approx(own["share_matured"].to_numpy())
    both = sl.repurchase(events, ("source", "channel"))
    assert " · " in words_of(plots.plot_repurchase(both))


def test_many_segments_are_not_all_drawn(events):
    ladder = sl.repurchase(events, "first_order_month", up_to=2)
    assert ladder.steps["segment"].nunique() > 6
    ax = plots.plot_repurchase(ladder)
    assert len(ax.get_legend().get_texts()) <= 6
    assert str(ladder.steps["segment"].nunique()) in words_of(ax)


def test_a_window_that_is_not_there_is_named(events):
    with pytest.raises(SettingError, match="30, 90, 180, 365"):
        plots.plot_repurchase(sl.repurchase(events), window_days=45)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_hazard_is_that_of_the_table(events, lang):
    gaps = sl.repurchase_gaps(events)
    ax = sl.plot(gaps, lang=lang)
    bins = gaps.bins[gaps.bins["hazard"].notna() & (gaps.bins["from_day"] <= 365)]
    (curve,) = ax.lines
    edges, value = curve.get_data()
    assert edges[:-1] == pytest.approx(bins["from_day"].to_numpy() - 1)
    assert value[:-1] == pytest.approx(bins["hazard"].to_numpy())
    (band,) = ax.collections
    heights = band.get_paths()[0].vertices[:, 1]
    for end in ("low", "high"):
        assert np.isin(bins[f"hazard_{end}"].round(12), heights.round(12)).all()
    # The span is shaded from the start of its first day to the end of its last.
    (span,) = ax.patches
    line = gaps.reminders.iloc[0]
    assert span.get_x() == line["remind_from_day"] - 1
    assert span.get_x() + span.get_width() == line["remind_to_day"]
    assert f"{line['share_in_span'] * 100:.1f} %" in words_of(ax)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_share_returned_is_that_of_the_table(events, lang):
    gaps = sl.repurchase_gaps(events)
    ax = plots.plot_gaps(gaps, show="share", lang=lang)
    bins = gaps.bins[gaps.bins["share_returned"].notna()]
    bins = bins[bins["from_day"] <= 365]
    days, share = ax.lines[0].get_data()
    assert days[1:] == pytest.approx(bins["to_day"].to_numpy())
    assert share[1:] == pytest.approx(bins["share_returned"].to_numpy())
    line = gaps.reminders.iloc[0]
    for percent in (50, 80, 90):
        ends = line[f"days_{percent}_low"], line[f"days_{percent}_high"]
        assert f"[{ends[0]:g}, {ends[1]:g}]" in words_of(ax)


def test_segments_have_a_curve_and_a_band_each(events):
    gaps = sl.repurchase_gaps(events, "source", bin_days=30)
    for show in ("hazard", "share"):
        ax = plots.plot_gaps(gaps, show=show)
        assert len(ax.lines) == len(ax.collections) == len(gaps.reminders)
        assert not ax.patches
        for n in gaps.reminders["n_buyers"]:
            assert f"n = {n:,}" in words_of(ax)


def test_only_hazard_and_share_can_be_drawn(events):
    with pytest.raises(SettingError, match="'hazard', 'share'"):
        plots.plot_gaps(sl.repurchase_gaps(events), show="survival")


def test_days_of_orders_on_one_day_are_inside():
    orders = pd.DataFrame({
        "customer_id": [f"c{i}" for i in range(40)] * 3,
        "ordered_at": ["2026-01-01"] * 80 + ["2026-02-01"] * 40,
        "amount": 5,
    })  # fmt: skip
    gaps = sl.repurchase_gaps(
        sl.read_events(orders, purchase="order"), window_days=30, bin_days=30
    )
    ax = plots.plot_gaps(gaps)
    assert ax.get_xlim()[0] == -1
    assert gaps.bins["to_day"].iloc[0] == 0


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_three_rates_are_those_of_the_table(events, lang):
    result = sl.returning(events)
    ax = sl.plot(result, lang=lang)
    assert len(ax.get_legend().get_texts()) == 3
    lines = [line for line in ax.lines if line.get_linestyle() == "-"]
    names = ["repurchase_rate", "returning_customer_rate", "ever_repeat_share"]
    for line, name, band in zip(lines, names, ax.collections[::3], strict=True):
        values = result.table[name].to_numpy(float)
        assert line.get_ydata() == pytest.approx(values, nan_ok=True)
        heights = band.get_paths()[0].vertices[:, 1].round(12)
        high = result.table[f"{name}_high"].dropna().round(12)
        assert np.isin(high, heights).all()
    # The last month is not over: its marks are hollow.
    assert result.table["status"].iloc[-1] == "partial"
    hollow = [c[0] for c in ax.containers if c[0].get_markerfacecolor() == "#ffffff"]
    assert len(hollow) == 3
    assert f"n={result.table['n_customers'].iloc[0]:,}" in words_of(ax)


def test_many_periods_have_bands_without_bars(events):
    ax = plots.plot_returning(sl.returning(events, "week"))
    assert len(ax.collections) == 3
    assert len(ax.get_xticks()) <= 12


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("shop", ["nobody", "one_person"])
def test_what_is_not_known_is_said(request, shop, lang):
    few = request.getfixturevalue(shop)
    for result in (
        sl.repurchase(few), sl.repurchase_gaps(few), sl.returning(few),
        sl.repurchase(few, "source"), sl.repurchase_gaps(few, "source"),
    ):  # fmt: skip
        ax = sl.plot(result, lang=lang)
        assert not ax.axison
        said = ax.texts[0].get_text()
        assert "30" in said
        assert ("need" in said) == (lang == "en")


def test_hostile_names_are_drawn_as_they_are():
    days = pd.date_range("2026-01-01", periods=240, freq="D")
    orders = pd.DataFrame({
        "customer_id": [f"c{i % 80}" for i in range(240)],
        "ordered_at": days, "amount": 5,
        "channel": [HOSTILE if i % 2 else "other" for i in range(240)],
    })  # fmt: skip
    events = sl.read_events(orders)
    for result in (
        sl.repurchase(events, "channel"), sl.repurchase_gaps(events, "channel")
    ):  # fmt: skip
        ax = sl.plot(result)
        ax.figure.canvas.draw()
        assert r"\$<script>alert(1)" in words_of(ax)


def test_an_axes_of_the_caller_is_drawn_on(events):
    for result in (
        sl.repurchase(events), sl.repurchase_gaps(events), sl.returning(events)
    ):  # fmt: skip
        _, ax = plt.subplots()
        assert sl.plot(result, ax) is ax
