"""Results shown as text and as HTML."""

import unicodedata
from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfloop.core import schema
from selfloop.core.display import (
    format_value,
    html_table,
    show_html,
    show_text,
    text_table,
)


def width(text: str) -> int:
    """Places on a terminal, counted independently of the module."""
    return sum(1 + (unicodedata.east_asian_width(c) in ("W", "F")) for c in text)


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (0.1234, "share", "12.3 %"),
        (0.0, "share", "0.0 %"),
        (1.0, "share", "100.0 %"),
        (1234.5, "money", "1,234.50"),
        (Decimal("-1234567.895"), "money", "-1,234,567.90"),  # half to even at .895
        (-0.001, "money", "0.00"),
        (30, "days", "30 d"),
        (1234.56, "days", "1,234.6 d"),
        (1234567, "int", "1,234,567"),
        (np.int32(1200), "int", "1,200"),
        (1200.0, "int", "1,200"),
        (0.24261, "float", "0.2426"),
        (-9582.4289, "float", "-9,582.4"),
        (float("inf"), "float", "∞"),
        (pd.Timestamp("2024-03-05 14:05:59"), "time", "2024-03-05 14:05"),
        (pd.Timestamp("2024-03-05"), "date", "2024-03-05"),
        (date(2024, 3, 5), "month", "2024-03"),
        (pd.Period("2024-03", "M"), "month", "2024-03"),
        ("2024-03", "month", "2024-03"),
        (True, "flag", "yes"),
        (["a", 1], "text", "a · 1"),
    ],
)
def test_each_kind_has_its_own_form(value, kind, shown):
    assert format_value(value, kind) == shown


@pytest.mark.parametrize("value", [None, float("nan"), pd.NA, pd.NaT, Decimal("NaN")])
@pytest.mark.parametrize("kind", ["text", "share", "money", "int", "days", "time"])
def test_missing_is_a_dash_and_never_a_zero(value, kind):
    assert format_value(value, kind) == "–"


def test_money_of_decimals_is_exact():
    # 0.1 + 0.2 as a double times 10^15 would show a wrong last digit.
    value = Decimal("9007199254740993.01")
    assert format_value(value, "money") == "9,007,199,254,740,993.01"


def test_kind_comes_from_the_schema_of_the_table():
    frame = pd.DataFrame({"window_days": [30], "share_matured": [0.5]})
    frame["share_matured_low"], frame["share_matured_high"] = 0.4, 0.6
    text = text_table(frame, table="funnel_windows")
    assert text.splitlines()[-1].split("  ") == ["", " 30 d", "50.0 % [40.0, 60.0]"]
    assert "low" not in text


def test_kind_comes_from_the_name_outside_the_schema():
    frame = pd.DataFrame(
        {"n_orders": [1200], "share_x": [0.5], "gap_days": [7], "tree_value": [9]}
    )
    assert text_table(frame).splitlines()[-1].split() == [
        "1,200", "50.0", "%", "7", "d", "9.00",
    ]  # fmt: skip


def test_interval_without_ends_shows_the_estimate_alone():
    frame = pd.DataFrame({"r": [0.5], "r_low": [np.nan], "r_high": [np.nan]})
    assert text_table(frame, table="reproduction").splitlines()[-1].strip() == "0.5"


def test_an_end_without_its_partner_keeps_its_own_column():
    frame = pd.DataFrame({"r": [0.5], "r_low": [0.25]})
    assert text_table(frame).splitlines()[0].split() == ["r", "r_low"]


texts = st.text(max_size=60)


@settings(deadline=None)  # the first example pays for imports
@given(rows=st.lists(st.tuples(texts, st.integers(0, 10**9)), min_size=1, max_size=6))
def test_columns_line_up_whatever_the_text(rows):
    frame = pd.DataFrame(rows, columns=["person_id", "n_orders"])
    lines = text_table(frame).splitlines()
    combining = any(unicodedata.combining(c) for line in lines for c in line)
    assert len(lines) == len(rows) + 1
    if not combining:
        assert len({width(line) for line in lines}) == 1


def test_chinese_takes_two_places():
    frame = pd.DataFrame({"channel": ["直播间", "ads"], "n_people": [5, 12]})
    assert text_table(frame).splitlines() == [
        "channel  n_people",
        "直播间          5",
        "ads            12",
    ]


def test_control_characters_cannot_move_the_cursor():
    text = text_table(pd.DataFrame({"person_id": ["a\x1b[2Jb\nc\u202e"]}))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text.splitlines()) == 2


def test_a_long_text_is_cut_and_marked():
    line = text_table(pd.DataFrame({"channel": ["长" * 100]})).splitlines()[-1]
    assert line.endswith("…")
    assert width(line) <= 40


def test_rows_left_out_are_counted():
    frame = pd.DataFrame({"n_people": range(1030)})
    assert text_table(frame, max_rows=30).splitlines()[-1] == "… 1,000 more rows"
    assert "… 1,018 more rows" in html_table(frame)


def test_an_empty_table_says_so():
    frame = pd.DataFrame(columns=schema.names("generations"))
    assert text_table(frame, table="generations").endswith("(no rows)")
    assert "(no rows)" in html_table(frame, table="generations")
    assert text_table(pd.DataFrame(), "Empty") == "Empty\n(no columns)"


def test_an_unknown_table_name_is_an_error():
    with pytest.raises(KeyError, match="funnels"):
        text_table(pd.DataFrame({"a": [1]}), table="funnels")


@settings(deadline=None)  # the first example pays for imports
@given(text=st.text(max_size=30))
def test_html_escapes_every_text(text):
    frame = pd.DataFrame({text + "<i>": [text + "<script>alert('x')</script>"]})
    html = show_html(
        text + "<u>", [(text + "&", text + '">')], tables=[(text, frame, "")]
    )
    assert "<script" not in html
    assert "<i>" not in html
    assert "<u>" not in html


def test_html_is_small_and_takes_the_colours_of_the_page():
    columns = ["segment", "stage", "n_entered", "n_reached", "share_so_far"]
    frame = pd.DataFrame([["all", "conversion", 1000, 300, 0.3]] * 8, columns=columns)
    html = html_table(frame, "Funnel", caption="to 2024-01-31", table="funnel_stages")
    assert len(html) < 4000
    assert "<style" not in html
    assert "color:inherit;background:transparent" in html
    assert "#" not in html  # no colour of our own


def test_show_text_puts_facts_above_tables():
    frame = pd.DataFrame({"n_people": [3]})
    shown = show_text("Loop", [("买家", 1200), ("R", None)], tables=[("T", frame, "")])
    assert shown == "Loop\n  买家  1,200\n  R     –\n\nT\nn_people\n       3"


def test_the_frame_is_not_changed():
    frame = pd.DataFrame({"share_x": [0.5, np.nan]}, index=[5, 5])
    before = frame.copy()
    text_table(frame)
    html_table(frame)
    pd.testing.assert_frame_equal(frame, before)
