from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfloop.core.errors import DataError
from selfloop.inputs.frames import as_arrow

CHINA = timezone(timedelta(hours=8))


def read(values, **kwargs):
    frame = pd.DataFrame({"a": pd.Series(values, **kwargs)})
    return as_arrow(frame, "orders")["a"].to_pylist()


def read_objects(*values):
    return read(list(values), dtype=object)


# By hand: objects of one kind stay what they are


@pytest.mark.parametrize(
    "values",
    [
        [7, 8, None],
        ["007", None],
        [Decimal("1.50"), Decimal("2.00"), None],
        [date(2026, 1, 1), None],
        [datetime(2026, 1, 1, 5), None],
        [True, None],
    ],
)
def test_objects_of_one_kind_keep_it(values):
    assert read_objects(*values) == values


def test_moments_of_different_zones_stay_moments():
    here, there = datetime(2026, 1, 1, tzinfo=CHINA), datetime(2026, 1, 1, tzinfo=UTC)
    assert read_objects(here, there) == [here, there]


# Mixed objects become text that reads the same everywhere


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([7, "007"], ["7", "007"]),
        ([17850.0, "A1", None, np.nan, pd.NA], ["17850", "A1", None, None, None]),
        ([1.5, "x"], ["1.5", "x"]),
        ([Decimal("17850.00"), "x"], ["17850", "x"]),
        ([Decimal("1.50"), Decimal("Infinity")], ["1.50", "Infinity"]),
        ([b"7", b"\xff"], ["7", "\\xff"]),
        ([[1, 2], "x"], ["[1, 2]", "x"]),
        ([{"a": 1}, "x"], ["{'a': 1}", "x"]),
        (["\ud800", "\ud801", "\U0001f600"], ["\\ud800", "\\ud801", "\U0001f600"]),
        ([2**70, 1], [str(2**70), "1"]),
        ([UUID(int=1)], [str(UUID(int=1))]),
        (
            ["2026-01-01", datetime(2026, 1, 1, 5)],
            ["2026-01-01", "2026-01-01 05:00:00"],
        ),
    ],
)
def test_mixed_objects_become_text(values, text):
    assert read_objects(*values) == text


def test_arrays_in_cells_do_not_break_reading():
    assert read_objects(np.array([1, 2]), "x", None) == ["[1 2]", "x", None]


@pytest.mark.parametrize("reverse", [False, True])
def test_times_with_and_without_zone_are_told_apart(reverse):
    """Arrow alone would take the naive time for UTC, eight hours off in China."""
    values = [datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=CHINA)]
    text = ["2026-01-01 00:00:00", "2026-01-01 00:00:00+08:00"]
    if reverse:
        values, text = values[::-1], text[::-1]
    assert read_objects(*values) == text


def test_dates_and_times_are_told_apart():
    """Arrow alone would cut the time off."""
    found = read_objects(date(2026, 1, 1), datetime(2026, 1, 1, 5))
    assert found == ["2026-01-01", "2026-01-01 05:00:00"]


# Types of pandas


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (pd.Categorical(["x", None]), ["x", None]),
        (pd.Categorical([7, 8]), [7, 8]),
        (pd.array([7, None], dtype="Int64"), [7, None]),
        (pd.array([1.5, None], dtype="Float64"), [1.5, None]),
        (pd.array(["007", None], dtype="string[python]"), ["007", None]),
        (pd.array(["007", None], dtype="string[pyarrow]"), ["007", None]),
        (pd.period_range("2026-01-01", periods=1, freq="D"), ["2026-01-01"]),
        (pd.arrays.SparseArray([0, 7]), ["0", "7"]),
        ([1.5, np.nan], [1.5, None]),
        ([None, None], [None, None]),
        ([1 + 2j], ["(1+2j)"]),
    ],
)
def test_types_of_pandas(values, found):
    assert read(values) == found


def test_the_zone_of_pandas_times_is_kept():
    moment = pd.Timestamp("2026-01-01 00:00", tz="Asia/Shanghai")
    assert read([moment]) == [moment]


def test_index_and_column_order_do_not_matter_and_nothing_is_changed():
    frame = pd.DataFrame({"a": [1, "x"], "b": [1.5, None]}, index=[7, 7])
    before = frame.copy(deep=True)
    table = as_arrow(frame, "orders")
    assert table.column_names == ["a", "b"]
    pd.testing.assert_frame_equal(frame, before)


def test_names_of_columns_are_text():
    frame = pd.DataFrame([[1, 2, 3]], columns=[0, ("a", "b"), None])
    assert as_arrow(frame, "orders").column_names[:2] == ["0", "('a', 'b')"]


# Other libraries

ROWS = {"id": ["007", None], "amount": [1.5, 2.0]}


@pytest.mark.parametrize(
    "source",
    [
        pl.DataFrame(ROWS),
        pl.LazyFrame(ROWS),
        pa.table(ROWS),
        pa.table(ROWS).to_batches()[0],
        pa.table(ROWS).to_reader(),
        duckdb.from_arrow(pa.table(ROWS)),
        pd.DataFrame(ROWS),
    ],
    ids=["polars", "lazy", "arrow", "batch", "reader", "duckdb", "pandas"],
)
def test_tables_of_other_libraries(source):
    table = as_arrow(source, "orders")
    assert table.to_pydict() == ROWS


def test_polars_objects_are_their_values():
    frame = pl.DataFrame({"a": pl.Series([UUID(int=7)], dtype=pl.Object), "b": [1]})
    assert as_arrow(frame, "orders").to_pydict() == {"a": [str(UUID(int=7))], "b": [1]}


def test_types_the_engine_does_not_know_are_widened():
    half = pa.array([np.float16(1.5)], pa.float16())
    wide = pa.array([Decimal("1.5")], pa.decimal256(50, 2))
    table = as_arrow(pa.table({"half": half, "wide": wide}), "orders")
    assert table.to_pydict() == {"half": [1.5], "wide": ["1.50"]}


@pytest.mark.parametrize(
    "source",
    [
        None,
        5,
        [1, 2],
        {"a": [1]},
        np.zeros((2, 2)),
        b"orders.csv",
        pd.Series([1], name="a"),
        pl.Series("a", [1]),
        pa.array([1]),
        (row for row in ()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_table_is_named(source):
    name = type(source).__name__
    with pytest.raises(DataError, match=f"SL107.*cannot read a .*{name}"):
        as_arrow(source, "orders")


# Law: nothing is lost, nothing is made up

cells = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.booleans(),
    st.decimals(allow_nan=False),
    st.datetimes(),
    st.dates(),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(cells, min_size=1, max_size=6))
def test_any_objects_keep_their_number_and_their_gaps(values):
    found = read_objects(*values)
    assert [v is None for v in found] == [v is None for v in values]
