"""Kinds of customers, times and calibration of referrals: drawn as in the tables."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

import selfloop as sl
from selfloop.core.settings import Sharing
from selfloop.measures.social import value_table
from selfloop.outputs import plots


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def events():
    shop = sl.simulate(3000, seed=9, days=400)
    return sl.read_events(shop.orders, shop.referrals)


@pytest.fixture(scope="module")
def grid(events):
    values = value_table(events, None, Sharing(), horizon_days=365, discount_rate=0.0)
    return sl.value_grid(values, own="revenue")


@pytest.fixture(scope="module")
def nothing():
    """A shop in which a referral has come to nothing."""
    orders = pd.DataFrame({
        "customer_id": ["a", "b"], "ordered_at": ["2026-01-01", "2026-01-02"],
        "amount": [1, 2],
    })  # fmt: skip
    pairs = pd.DataFrame({
        "referrer_id": ["a"], "referee_id": ["x"], "referred_at": ["2026-01-02"],
    })  # fmt: skip
    return sl.read_events(orders, pairs)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_bars_are_the_shares_of_the_kinds(grid, lang):
    ax = plots.plot_value_grid(grid, lang=lang)
    rows = ["n_people", "revenue", "social_value", "total_value"]
    cells = grid.cells
    for i, bars in enumerate(ax.containers):
        for bar, column in zip(bars, rows, strict=True):
            share = cells[column].iloc[i] / cells[column].sum()
            assert bar.get_width() == pytest.approx(share)
    for n, words in zip(cells["n_people"], ax.get_legend().get_texts(), strict=True):
        assert f"{n:,}" in words.get_text()
    ends = [bar.get_x() + bar.get_width() for bar in ax.containers[-1]]
    assert ends == pytest.approx([1, 1, 1, 1])


def test_a_shop_without_social_value_has_no_bar_of_it(nothing):
    values = value_table(nothing, None, Sharing(), horizon_days=9, discount_rate=0.0)
    ax = plots.plot_value_grid(sl.value_grid(values, own="revenue"))
    widths = [bars[2].get_width() for bars in ax.containers]
    assert np.isnan(widths).all()
    # Nobody is high in what is worth nothing: no champions, no advocates.
    assert [bars[0].get_width() for bars in ax.containers] == [0, 0.5, 0, 0.5]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_times_are_drawn_with_bands_and_medians(events, lang):
    times = sl.referral_times(events)
    ax = sl.plot(times, lang=lang)
    steps = times.steps.set_index("step")["days_50"]
    lines = [line for line in ax.lines if len(line.get_xdata()) > 1]
    assert len(lines) == len(ax.collections) == 3
    for line, step in zip(lines, steps.index, strict=True):
        rows = times.curve[times.curve["step"] == step]
        assert line.get_ydata() == pytest.approx(rows["share"].to_numpy())
    dots = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert dots == steps.tolist()


def test_what_never_happened_is_said(nothing):
    ax = plots.plot_referral_times(sl.referral_times(nothing))
    assert not ax.axison
    assert ax.texts[0].get_text()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_calibration_of_referrals_is_that_of_the_table(events, lang):
    test = sl.backtest_referrals(events, horizon_days=90)
    before = mpl.rcParams.copy()
    ax = sl.plot(test, lang=lang)
    assert mpl.rcParams == before
    (points,) = [c for c in ax.containers if c.get_label()]
    x, y = points[0].get_data()
    assert x == pytest.approx(test.deciles["predicted"].to_numpy())
    assert y == pytest.approx(test.deciles["actual"].to_numpy())
    (segments,) = [bars.get_segments() for bars in points[2]]
    ends = np.array([segment[:, 1] for segment in segments])
    assert ends[:, 0] == pytest.approx(test.deciles["actual_low"].to_numpy())
    assert ends[:, 1] == pytest.approx(test.deciles["actual_high"].to_numpy())


def test_an_axes_of_the_caller_is_drawn_on(grid):
    _, ax = plt.subplots()
    assert plots.plot_value_grid(grid, ax) is ax
