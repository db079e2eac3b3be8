from collections import Counter
from datetime import date
from decimal import Decimal
from functools import cache

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfloop.core import schema
from selfloop.core.settings import Rules
from selfloop.inputs.columns import match_columns
from selfloop.inputs.duckdb_engine import connect
from selfloop.inputs.read import read_table
from selfloop.inputs.validate import (
    RAISING,
    REASONS,
    USED,
    Reading,
    audit_rows,
    bad_rows,
    count_codes,
    examples,
    typed_table,
)


@cache
def engine():
    return connect()


def typed(name, source, *, end=None, date_format=None, day_first=None, zone="UTC"):
    raw = read_table(source, name, engine())
    columns, problems = match_columns(name, list(raw.table.columns), None)
    assert problems == []
    reading = Reading(Rules(timezone=zone), end, date_format, day_first)
    return typed_table(name, raw, columns, reading, engine())


def orders(*rows, **kwargs):
    columns = ["customer_id", "ordered_at", "amount"]
    return typed("orders", pd.DataFrame(rows, columns=columns), **kwargs)


def outcome(table):
    """Rows and money by code."""
    lines = audit_rows(table, count_codes(table))
    return {
        line.code: (line.n_rows, None if pd.isna(line.amount) else line.amount)
        for line in lines.itertuples()
    }


D = "2026-01-01"


# By hand: each row ends in one place, the most basic problem first


def test_every_row_of_orders_has_one_code():
    table = orders(
        ("a", D, "1.50"),
        (None, D, "2"),
        ("b", "never", "4"),
        (None, "never", "8"),
        ("c", D, "x"),
        ("c", "", "x"),
        ("d", D, "inf"),
        ("d", D, None),
        ("e", "2026-03-01", "16"),
        end=date(2026, 2, 1),
    )
    # SL111: 4 + 8, and the row whose amount cannot be read either adds nothing.
    assert outcome(table) == {
        USED: (1, Decimal("1.5")),
        "SL120": (1, Decimal(2)),
        "SL111": (3, Decimal(12)),
        "SL112": (2, None),
        "SL113": (1, None),
        "SL121": (1, Decimal(16)),
    }


def test_every_row_of_referrals_has_one_code():
    columns = ["referrer_id", "referee_id", "referred_at"]
    rows = [
        ("a", "b", D), ("a", "", D), ("", "b", D), (None, None, D), ("a", "a", D),
        ("a", " a ", D), ("a", "b", "x"), ("", "b", "x"), ("a", "c", "2026-03-01"),
        ("a", "A", D),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=columns)
    found = outcome(typed("referrals", frame, end=date(2026, 2, 1)))
    assert {code: n for code, (n, _) in found.items()} == {
        USED: 2,  # a -> b and a -> A: ids are told apart by case
        "SL110": 2,  # no referee
        "SL201": 2,  # no referrer
        "SL202": 2,
        "SL111": 1,
        "SL121": 1,
    }


def test_every_row_of_visits_has_one_code():
    rows = [("a", D), ("", D), (None, "x"), ("b", "x")]
    frame = pd.DataFrame(rows, columns=["visitor_id", "visited_at"])
    found = outcome(typed("visits", frame))
    assert found == {USED: (1, None), "SL122": (2, None), "SL111": (1, None)}


def test_every_row_of_spend_has_one_code():
    rows = [(D, "ads", 5.0), (D, "ads", -1.0), ("x", "ads", 2.0), (D, "ads", None)]
    rows += [(D, "ads", float("inf")), (D, "ads", 0.0)]
    frame = pd.DataFrame(rows, columns=["date", "channel", "spend"])
    assert outcome(typed("spend", frame)) == {
        USED: (2, Decimal(5)),
        "SL116": (1, Decimal(-1)),
        "SL111": (1, Decimal(2)),
        "SL112": (1, None),
        "SL113": (1, None),
    }


def test_the_last_day_is_inside():
    table = orders(
        ("a", "2026-01-31 23:59:59", "1"),
        ("a", "2026-02-01 00:00:00", "2"),
        end=date(2026, 1, 31),
    )
    assert outcome(table) == {USED: (1, Decimal(1)), "SL121": (1, Decimal(2))}


def test_the_last_day_is_that_of_the_zone():
    """20:00 in UTC is 04:00 of the next day in Shanghai."""
    moment = pd.Timestamp("2026-01-31 20:00", tz="UTC")
    late = orders(("a", moment, 1.0), end=date(2026, 1, 31), zone="Asia/Shanghai")
    early = orders(("a", moment, 1.0), end=date(2026, 1, 31), zone="UTC")
    assert list(outcome(late)) == ["SL121"]
    assert list(outcome(early)) == [USED]


def test_quantity_and_price_make_an_amount():
    rows = [("a", D, "2", "1.25"), ("a", D, "x", "1"), ("a", D, "inf", "1")]
    rows += [("a", D, "-1", "1.25"), ("a", D, "1e9", "1e9")]
    names = ["customer_id", "ordered_at", "quantity", "unit_price"]
    assert outcome(typed("orders", pd.DataFrame(rows, columns=names))) == {
        USED: (2, Decimal("1.25")),  # 2 x 1.25 - 1 x 1.25
        "SL112": (2, None),
        "SL113": (1, None),
    }


def test_a_money_column_that_is_no_number():
    table = orders(("a", D, pd.Timestamp(D)), ("a", D, pd.Timestamp(D)))
    assert outcome(table) == {"SL112": (2, None)}


def test_a_time_column_that_is_no_time():
    table = orders(("a", True, 1.0))
    assert outcome(table) == {"SL111": (1, Decimal(1))}


def test_a_table_of_no_type_at_all():
    assert outcome(orders((None, None, None))) == {"SL111": (1, None)}


def test_an_empty_table():
    counts = count_codes(orders())
    assert counts.n_rows() == 0
    assert counts.day("last_at") is None


def test_days_of_the_rows_that_count():
    table = orders(
        ("a", "2026-01-05", "1"), (None, "2026-01-09", "1"), ("a", "2026-01-12", "x")
    )
    counts = count_codes(table)
    assert counts.day("first_at") == date(2026, 1, 5)
    assert counts.day("last_at") == date(2026, 1, 9)


# Tables that need no tidying are taken as they are, and read the same


@pytest.mark.parametrize("id_", ["a", " a", "a\t", "\ufeffa", "nUlL", "", "a\u3000"])
def test_tidy_tables_read_like_untidy_ones(id_):
    kinds = {"ordered_at": "datetime64[us]", "amount": "float64"}
    columns = ["customer_id", "ordered_at", "amount"]
    alone = pd.DataFrame([(id_, D, 1)], columns=columns).astype(kinds)
    beside = pd.DataFrame([(id_, D, 1), (" z ", D, 0)], columns=columns).astype(kinds)
    one = typed("orders", alone).rows.customer_id.to_pandas().tolist()
    two = typed("orders", beside).rows.customer_id.to_pandas().tolist()
    assert pd.isna(one[0]) == pd.isna(two[0])
    assert pd.isna(one[0]) or one[0] == two[0]


# Examples and problems


def test_problems_say_how_many_which_and_what_to_do(tmp_path):
    path = tmp_path / "o.csv"
    lines = [
        "customer_id,ordered_at,amount",
        f"a,{D},1",
        "b,soon,1",
        f"c,{D},1O",
        "d,1",
    ]
    path.write_text("\n".join([*lines, f"e,{D},1O", "f,later,1", "g,late,1", "h,?,1"]))
    table = typed("orders", path)
    problems = {p.code: p for p in bad_rows(table, count_codes(table))}
    assert set(problems) == {"SL109", "SL111", "SL112"}
    dates = problems["SL111"]
    assert dates.found == "4 of 8 rows: unreadable date"
    assert dates.n_rows == 4
    assert dates.examples[0] == "row 2: b, soon, 1"
    assert len(dates.examples) == 3
    assert 'on_bad_rows="quarantine"' in dates.fix
    assert dates.fix_cli == "--on-bad-rows quarantine"
    assert problems["SL109"].found == "1 of 8 rows: malformed row"
    assert problems["SL109"].examples == ("line 5 'd,1'",)


def test_examples_are_the_rows_as_they_were_found():
    table = orders((None, D, 1.0), ("a", D, 2.0), (float("nan"), D, 3.0), ("", D, 4.0))
    found = examples(table, "SL120")
    assert found == (
        "row 1: , 2026-01-01, 1.0",
        "row 3: , 2026-01-01, 3.0",
        "row 4: , 2026-01-01, 4.0",
    )
    assert examples(table, "SL112") == ()


def test_examples_of_hostile_values_are_short():
    table = orders(("x" * 10_000 + "'; DROP TABLE t;--", "{}" * 9, "%s\n"))
    (example,) = examples(table, "SL111")
    assert example == "row 1: " + "x" * 30 + ", " + "{}" * 9 + ", %s\n"


def test_examples_of_lists_do_not_break():
    names = ["customer_id", "ordered_at", "amount"]
    lists = pa.table(dict(zip(names, ([[1, 2]], ["x"], [1.0]), strict=True)))
    (example,) = examples(typed("orders", lists), "SL111")
    assert example.startswith("row 1: [1")


# The audit as a table


def test_the_audit_has_its_columns_and_known_codes():
    table = orders(("a", D, "1"), (None, D, "x"))
    lines = audit_rows(table, count_codes(table))
    assert list(lines.columns) == schema.names("audit")
    assert set(lines["code"]) <= set(REASONS)
    assert (lines["outcome"].isin(["used", "set_aside", "rejected"])).all()


def test_reasons_are_complete():
    names = [reason for reason, _, _ in REASONS.values()]
    assert len(set(names)) == len(names)
    assert set(RAISING) == {c for c, r in REASONS.items() if r[1] == "rejected"}


# Law: rows and money in = used + set aside + rejected, whatever is wrong

ids = st.sampled_from(["a", "b", "007", "", None, " ", "NULL", "'; --", "😀", "a\nb"])
whens = st.sampled_from(
    [
        D,
        "2026/2/3 10:00",
        "2026-01-02T03:04:05Z",
        "2026-06-01",
        "x",
        "",
        None,
        "13/13/2026",
    ]
)
amounts = st.one_of(
    st.decimals(-10_000, 10_000, places=2).map(str),
    st.sampled_from(["", None, "x", "inf", "1,234.50", "12,50", "$5", "1e3", "NaN"]),
)
READS = {"1,234.50": Decimal("1234.50"), "$5": Decimal(5), "1e3": Decimal(1000)}


def value_of(text):
    """Amount of a text of the strategy above; zero when it cannot be read."""
    if text in READS:
        return READS[text]
    unreadable = ("", None, "x", "inf", "12,50", "NaN")
    return Decimal(0) if text in unreadable else Decimal(text)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(ids, whens, amounts), min_size=1, max_size=30),
    st.sampled_from([None, date(2026, 1, 31)]),
)
def test_rows_and_money_are_all_accounted_for(rows, end):
    found = outcome(orders(*rows, end=end))
    assert sum(n for n, _ in found.values()) == len(rows)
    money = sum((amount or Decimal(0) for _, amount in found.values()), Decimal(0))
    assert money == sum((value_of(text) for _, _, text in rows), Decimal(0))


def code_of(row, end):
    """Apply the rules to one row, without the engine."""
    who, when, amount = row
    days = {
        D: date(2026, 1, 1), "2026/2/3 10:00": date(2026, 2, 3),
        "2026-01-02T03:04:05Z": date(2026, 1, 2), "2026-06-01": date(2026, 6, 1),
    }  # fmt: skip
    if when not in days:
        return "SL111"
    if amount == "inf":
        return "SL113"
    if amount in ("", None, "x", "12,50", "NaN"):
        return "SL112"
    if end is not None and days[when] > end:
        return "SL121"
    return "SL120" if who in ("", None, " ", "NULL") else USED


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(ids, whens, amounts), min_size=1, max_size=30),
    st.sampled_from([None, date(2026, 1, 31)]),
)
def test_codes_are_those_of_the_rules(rows, end):
    found = outcome(orders(*rows, end=end))
    expected = Counter(code_of(row, end) for row in rows)
    assert {code: n for code, (n, _) in found.items()} == dict(expected)
