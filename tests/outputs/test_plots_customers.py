"""Lifecycle, RFM and migration: drawn as in the tables, in both languages."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

import selfloop as sl
from selfloop.core.errors import SettingError
from selfloop.measures.customers.scores import SEGMENTS
from selfloop.outputs import plots
from selfloop.outputs.report.reasons import said_in
from selfloop.outputs.text import text


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def events():
    shop = sl.simulate(3000, seed=9, days=500)
    return sl.read_events(shop.orders, shop.referrals)


@pytest.fixture(scope="module")
def life(events):
    return sl.lifecycle(events, dormant_after_days=60, lost_after_days=180)


def shop_of(*rows):
    orders = pd.DataFrame(rows, columns=["customer_id", "ordered_at", "amount"])
    return sl.read_events(orders)


@pytest.fixture(scope="module")
def nobody():
    return shop_of(("a", "2026-01-01", -5), ("b", "2026-04-01", -1))


@pytest.fixture(scope="module")
def one():
    return shop_of(("<b>$x$", "2026-01-01", 5), ("<b>$x$", "2026-03-02", 5))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_bars_of_the_lifecycle_are_those_of_the_table(life, lang):
    before = mpl.rcParams.copy()
    ax = sl.plot(life, lang=lang)
    assert mpl.rcParams == before
    repeat, new, back, lapsed = ax.containers
    table = life.table
    for bars, column in (
        (repeat, "n_repeat_buyers"), (new, "n_new_buyers"),
        (back, "n_resurrected_buyers"),
    ):  # fmt: skip
        assert [bar.get_height() for bar in bars] == table[column].tolist()
    tops = [bar.get_y() + bar.get_height() for bar in back]
    assert tops == table["n_buyers"].tolist()
    assert [-bar.get_height() for bar in lapsed] == table["n_lapsed"].tolist()
    assert all(bar.get_y() == 0 for bar in lapsed)
    (line,) = [x for x in ax.lines if len(x.get_xdata()) == len(table)]
    assert line.get_ydata().tolist() == table["n_closing"].tolist()
    # Only the running month is hatched, and the words under the axis say what that is.
    partial = (table["status"] == "partial").tolist()
    assert [bool(bar.get_hatch()) for bar in new] == partial
    assert text("lifecycle.partial", lang) in ax.get_xlabel()
    assert "60" in ax.get_xlabel()
    assert "180" in ax.get_xlabel()
    keys = [t.get_text() for t in ax.get_legend().get_texts()]
    assert keys == [
        text(f"lifecycle.{k}", lang)
        for k in ("repeat", "new", "resurrected", "lapsed", "active_line")
    ]


def test_the_memory_of_one_period_is_drawn_from_its_table(life):
    ax = plots.plot_lifecycle(life, memory="previous")
    columns = ["n_repeat", "n_new", "n_resurrected"]
    for bars, column in zip(ax.containers[:3], columns, strict=True):
        assert [b.get_height() for b in bars] == life.previous[column].tolist()
    below = [-b.get_height() for b in ax.containers[3]]
    assert below == life.previous["n_dormant"].tolist()
    assert "60" not in ax.get_xlabel()
    with pytest.raises(SettingError, match="memory must be one of"):
        plots.plot_lifecycle(life, memory="none")


def test_a_stock_far_above_the_bars_is_written_and_not_drawn(events):
    daily = sl.lifecycle(events, "day", dormant_after_days=60)
    ax = sl.plot(daily)
    assert [len(x.get_xdata()) for x in ax.lines] == [2]  # the line of 0
    last = daily.table["n_closing"].iloc[-1]
    assert f"active at the last close: {last:,}" in ax.get_xlabel()
    top = daily.table["n_buyers"].max()
    assert ax.get_ylim()[1] < 1.2 * top


@pytest.mark.parametrize("period", ["week", "quarter"])
def test_other_periods_have_their_names(events, period):
    found = sl.lifecycle(events, period, dormant_after_days=60)
    labels = [t.get_text() for t in sl.plot(found).get_xticklabels()]
    assert labels[0] == found.table["period"].iloc[0]
    assert set(labels) <= set(found.table["period"])


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("scores", ["quantile", "fixed"])
def test_cells_of_rfm_have_people_share_and_name(events, lang, scores):
    found = sl.rfm(events, scores=scores)
    ax = sl.plot(found, lang=lang)
    words = {t.get_position(): t.get_text().split("\n") for t in ax.texts[1:]}
    assert len(words) == 25
    for cell in found.grid.itertuples():
        shown = words[cell.f_score - 1, cell.r_score - 1]
        assert shown[0] == text(f"rfm.{cell.segment}", lang)
        if cell.n_people:
            share = f"{cell.share_of_revenue * 100:.1f} %"
            assert shown[1:] == [f"{cell.n_people:,}", share]
        else:
            assert len(shown) == 1
    (image,) = ax.images
    wide = found.grid.pivot(
        index="r_score", columns="f_score", values="share_of_revenue"
    )
    np.testing.assert_allclose(image.get_array(), wide.to_numpy())
    assert ax.get_ylim() == (-0.5, 4.5)  # the best recency on top
    bounds = found.bounds.set_index(["measure", "score"])
    low, high = bounds.loc[("recency_days", 5), ["low", "high"]]
    label = ax.get_yticklabels()[4].get_text()
    assert label == (f"5\n{low:.0f}–{high:.0f}" if low < high else f"5\n{low:.0f}")


def test_words_are_white_on_dark_cells_only(events):
    ax = sl.plot(sl.rfm(events))
    image = ax.images[0]
    for words in ax.texts[1:]:
        x, y = words.get_position()
        share = image.get_array()[int(y), int(x)] / image.norm.vmax
        assert (to_hex(words.get_color()) == "#ffffff") == (share > 0.62)


def test_many_scores_have_no_names(events):
    ax = sl.plot(sl.rfm(events, n_scores=10))
    assert len(ax.texts) == 101
    assert max(t.get_text().count("\n") for t in ax.texts) == 1


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("states", ["rfm", "lifecycle"])
def test_cells_of_a_migration_are_its_shares_with_intervals(events, lang, states):
    days = {"dormant_after_days": 60} if states == "lifecycle" else {}
    found = sl.migration(events, "2024-11-30", states=states, **days)
    ax = sl.plot(found, lang=lang)
    table = found.table[found.table["n_from"] > 0]
    rows = [s for s in [*found.rule.names, "(new)"] if s in set(table["state_from"])]
    assert len(ax.get_yticklabels()) == len(rows)
    words = {t.get_position(): t.get_text() for t in ax.texts}
    for cell in table.itertuples():
        place = (found.rule.names.index(cell.state_to), rows.index(cell.state_from))
        if cell.n_people and not cell.reason:
            ends = f"{cell.share_low * 100:.0f}–{cell.share_high * 100:.0f}"
            assert words.pop(place) == f"{cell.share * 100:.0f}\n{ends}"
    few = table[table["reason"] != ""]["state_from"].nunique()
    assert len(words) == few  # nothing else, but why a row is empty
    sizes = table.groupby("state_from")["n_from"].first()
    for label, state in zip(ax.get_yticklabels(), rows, strict=True):
        assert f"n={sizes[state]:,}" in label.get_text()
        key = "migration.new" if state == "(new)" else f"{states}.{state}"
        assert text(key, lang) in label.get_text()


def test_rows_of_few_people_say_so(events):
    found = sl.migration(events, "2024-02-10", scores="fixed")
    few = found.table[found.table["n_from"].between(1, 29)]
    assert len(few)
    for lang, words in (("en", "need 30"), ("zh", "至少需要 30 人")):
        ax = sl.plot(found, lang=lang)
        said = [t.get_text() for t in ax.texts if words in t.get_text()]
        assert len(said) == few["state_from"].nunique()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_nobody_and_one_person(nobody, one, lang):
    for events in (nobody, one):
        results = (
            sl.lifecycle(events, dormant_after_days=9), sl.rfm(events),
            sl.rfm(events, scores="fixed"), sl.migration(events, "2026-02-01"),
        )  # fmt: skip
        for result in results:
            ax = sl.plot(result, lang=lang)
            ax.figure.canvas.draw()
            assert ax.axison == (events is one)
            if events is nobody:
                assert ax.texts[-1].get_text() == text("plot.no_data", lang)


def test_an_axes_of_the_caller_is_drawn_on(life, events):
    moved = sl.migration(events, "2024-11-30")
    for result in (life, sl.rfm(events), moved):
        figure, ax = plt.subplots()
        assert sl.plot(result, ax) is ax
        figure.canvas.draw()


def test_every_segment_and_state_has_its_words():
    for key in [f"rfm.{s}" for s in SEGMENTS] + [
        "lifecycle.active", "lifecycle.dormant", "lifecycle.lost",
    ]:  # fmt: skip
        assert text(key, "en") != text(key, "zh")


def test_reasons_of_a_profile_are_said_in_chinese(one):
    reason = sl.segment_profile(one, "source").table["reason"].iloc[0]
    said = said_in(reason, "zh")
    assert "转化" in said
    assert "转介绍" in said
    assert "need" not in said
