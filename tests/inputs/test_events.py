import gzip
import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import ibis
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import selfloop as sl
from selfloop.core import schema
from selfloop.core.errors import (
    DataError,
    FileError,
    MissingTableError,
    SettingError,
)
from selfloop.inputs.events import read_events

D = "2026-01-01"


def orders(*rows, names=("customer_id", "ordered_at", "amount")):
    return pd.DataFrame(rows, columns=list(names))


def referrals(*rows):
    return pd.DataFrame(rows, columns=["referrer_id", "referee_id", "referred_at"])


def visits(*rows):
    return pd.DataFrame(rows, columns=["visitor_id", "visited_at", "channel"])


def counts(events, table):
    lines = events.audit[events.audit["table"] == table]
    return dict(zip(lines["code"], lines["n_rows"], strict=True))


def note(events, code):
    notes = events.notes[events.notes["code"] == code]["note"]
    return notes.iloc[0] if len(notes) else None


def people_of(events):
    frame = sl.people(events).to_pandas()
    return frame.sort_values("person_id", ignore_index=True)


# By hand: four tables


@pytest.fixture(scope="module")
def shop():
    """Ann brings Bob and Cem and names herself; Dan names Bob, who was a customer."""
    return read_events(
        orders(
            ("ann", "2026-01-05 10:00", 10),
            ("ann", "2026-02-05 10:00", 20),
            ("bob", "2026-01-20 10:00", 30),
            ("bob", "2026-01-21 10:00", -5),
            (None, "2026-01-22 10:00", 7),
            ("eve", "2026-03-31 10:00", 1),
        ),
        referrals(
            ("ann", "bob", "2026-01-10"),
            ("ann", "bob", "2026-01-11"),
            ("ann", "cem", "2026-01-12"),
            ("ann", "ann", "2026-01-12"),
            ("dan", "bob", "2026-02-01"),
        ),
        visits=visits(
            ("ann", "2026-01-01", "ads"),
            ("ann", "2026-01-02", "search"),
            ("eve", "2026-03-30", "search"),
            (None, "2026-03-30", "search"),
        ),
        spend=pd.DataFrame({"date": [D], "channel": ["ads"], "spend": [4.5]}),
        end="2026-03-31",
    )


def test_totals(shop):
    expected = {
        "n_people": 5, "n_customers": 3, "n_buyers": 3, "n_repeat_buyers": 1,
        "n_purchases": 4, "n_orders": 6, "n_orders_positive": 4, "n_orders_zero": 0,
        "n_orders_negative": 1, "n_orders_guests": 1, "n_order_rows": 6,
        "revenue": Decimal(63), "revenue_customers": Decimal(56),
        "revenue_guests": Decimal(7), "refunds_customers": Decimal(5),
    }  # fmt: skip
    assert {name: shop.totals[name] for name in expected} == expected
    assert (shop.start, shop.end) == (date(2026, 1, 1), date(2026, 3, 31))
    assert shop.has == {"orders", "referrals", "visits", "spend"}
    assert shop.currency is None


def test_the_audit_has_a_line_for_every_row(shop):
    assert counts(shop, "orders") == {"": 5, "SL120": 1}
    assert counts(shop, "referrals") == {"": 2, "SL202": 1, "SL203": 1, "SL204": 1}
    assert counts(shop, "visits") == {"": 3, "SL122": 1}
    assert counts(shop, "spend") == {"": 1}
    assert list(shop.audit.columns) == schema.names("audit")
    used = shop.audit.set_index(["table", "code"])["amount"]
    assert used["orders", ""] == Decimal(56)
    assert used["orders", "SL120"] == Decimal(7)
    assert used["spend", ""] == Decimal("4.5")


def test_the_audit_says_what_each_row_was(shop):
    lines = shop.audit.set_index(["table", "code"])["examples"]
    assert lines["referrals", "SL204"] == "dan -> bob on 2026-02-01"
    assert lines["referrals", "SL203"] == "ann -> bob on 2026-01-10"
    assert lines["orders", "SL120"] == "row 5: , 2026-01-22 10:00, 7"
    assert lines["orders", ""] == ""


def test_people_of_the_shop(shop):
    frame = people_of(shop).set_index("person_id")
    assert list(frame.index) == ["ann", "bob", "cem", "dan", "eve"]
    assert frame["source"].tolist() == [
        "paid", "referral", "referral", "unknown", "organic",
    ]  # fmt: skip
    assert frame["generation"].tolist() == [0, 1, 1, 0, 0]
    assert frame["n_invited"].tolist() == [2, 0, 0, 0, 0]
    assert frame["n_referred"].tolist() == [1, 0, 0, 0, 0]
    assert frame.loc["ann", "channel"] == "ads"
    assert frame.loc["ann", "arrived_at"] == pd.Timestamp("2026-01-01")
    assert frame.loc["dan", "arrived_at"] == pd.Timestamp("2026-02-01")
    assert frame.loc["ann", "first_success_at"] == pd.Timestamp("2026-01-20 10:00")


def test_events_show_themselves(shop):
    assert "2026-01-01 to 2026-03-31 (UTC)" in repr(shop)
    assert "63.00" in repr(shop)
    assert "self_referral" in shop._repr_html_()


# The same shop from any source

ROWS = [
    ("007", "2026-01-05 10:00:00", "10.50"),
    ("008", "2026-02-05 10:00:00", "-1.25"),
]
NAMES = ["customer_id", "ordered_at", "amount"]


def as_csv(folder, name, *, end="\n", encode=str.encode, delimiter=","):
    lines = [delimiter.join(row) for row in [NAMES, *ROWS]]
    path = folder / name
    path.write_bytes(encode(end.join(lines) + end))
    return path


def typed_frame():
    frame = orders(*ROWS)
    frame["ordered_at"] = pd.to_datetime(frame["ordered_at"])
    return frame.assign(amount=frame["amount"].astype(float))


def write_parquet(folder):
    typed_frame().to_parquet(folder / "o.parquet")
    return folder / "o.parquet"


def write_jsonl(folder):
    lines = [json.dumps(dict(zip(NAMES, row, strict=True))) for row in ROWS]
    (folder / "o.jsonl").write_text("\n".join(lines))
    return folder / "o.jsonl"


SOURCES = {
    "csv": lambda folder: as_csv(folder, "o.csv"),
    "crlf text": lambda folder: str(as_csv(folder, "o.csv", end="\r\n")),
    "tsv": lambda folder: as_csv(folder, "o.tsv", delimiter="\t"),
    "zipped gb18030": lambda folder: as_csv(
        folder, "o.csv.gz", encode=lambda s: gzip.compress(s.encode("gb18030"))
    ),
    "glob": lambda folder: str(as_csv(folder, "o-1.csv").parent / "o-*.csv"),
    "parquet": write_parquet,
    "jsonl": write_jsonl,
    "text": lambda _: orders(*ROWS),
    "categories": lambda _: orders(*ROWS).astype("category"),
    "nullable": lambda _: typed_frame().convert_dtypes(),
    "zoned": lambda _: typed_frame().assign(
        ordered_at=lambda t: t.ordered_at.dt.tz_localize("UTC").dt.tz_convert(
            "Asia/Tokyo"
        )
    ),
    "decimals": lambda _: orders(*[(a, b, Decimal(c)) for a, b, c in ROWS]),
    "polars": lambda _: pl.from_pandas(typed_frame()),
    "lazy": lambda _: pl.from_pandas(typed_frame()).lazy(),
    "arrow": lambda _: pa.Table.from_pandas(typed_frame()),
    "duckdb": lambda _: duckdb.from_arrow(pa.Table.from_pandas(typed_frame())),
    "ibis": lambda _: ibis.duckdb.connect().create_table("o", typed_frame()),
}


@pytest.mark.parametrize("source", list(SOURCES))
def test_every_source_gives_the_same_events(tmp_path, source):
    events = read_events(SOURCES[source](tmp_path))
    frame = people_of(events)
    assert frame["person_id"].tolist() == ["007", "008"]
    assert frame["first_order_at"].iloc[0] == pd.Timestamp("2026-01-05 10:00")
    assert frame["revenue"].tolist() == [Decimal("10.5"), Decimal("-1.25")]
    assert events.totals["revenue"] == Decimal("9.25")
    assert (events.start, events.end) == (date(2026, 1, 5), date(2026, 2, 5))


# Errors: all problems at once, with code, counts, examples and fix


def test_all_problems_of_all_tables_are_listed(tmp_path):
    (tmp_path / "r.csv").write_bytes(b"PAR1....")
    with pytest.raises(DataError) as caught:
        read_events(
            orders(("a", D, 1), names=("custmer", "when", "amount")),
            tmp_path / "r.csv",
            visits=[1, 2],
            spend=pd.DataFrame(
                {"date": [D], "渠道": ["a"], "投放渠道": ["b"], "cost": [1]}
            ),
            columns={"orders": {"chanel": "x"}},
        )
    found = [(p.code, p.table) for p in caught.value.problems]
    assert found == [
        ("SL104", "orders"), ("SL101", "orders"), ("SL101", "orders"),
        ("SL106", "referrals"), ("SL107", "visits"), ("SL102", "spend"),
    ]  # fmt: skip
    assert str(caught.value).startswith("6 problems")


def test_files_that_cannot_be_read_are_all_listed(tmp_path):
    with pytest.raises(FileError, match=r"(?s)2 problems.*o\.csv.*r\.csv") as caught:
        read_events(tmp_path / "o.csv", tmp_path / "r.csv")
    assert [p.code for p in caught.value.problems] == ["SL105", "SL105"]


def test_all_bad_rows_of_all_tables_are_listed():
    with pytest.raises(DataError, match="3 problems") as caught:
        read_events(
            orders(("a", D, "1"), ("a", "x", "1"), ("a", D, "x")),
            referrals(("a", None, D)),
        )
    found = [(p.code, p.table, p.n_rows) for p in caught.value.problems]
    assert found == [
        ("SL111", "orders", 1),
        ("SL112", "orders", 1),
        ("SL110", "referrals", 1),
    ]
    assert "row 2: a, x, 1" in str(caught.value)


def test_no_orders_at_all():
    with pytest.raises(DataError, match=r"SL107  orders: cannot read a .*NoneType"):
        read_events(None)


@pytest.mark.parametrize(
    ("tables", "name"),
    [
        ({"orders": orders()}, "orders"),
        ({"orders": orders(("a", D, 1)), "referrals": referrals()}, "referrals"),
        ({"orders": orders(("a", D, 1)), "visits": visits()}, "visits"),
    ],
)
def test_empty_tables(tables, name):
    with pytest.raises(DataError, match=f"SL103  {name}: the table has no rows"):
        read_events(**tables)


def test_a_file_with_only_a_header(tmp_path):
    (tmp_path / "o.csv").write_text("customer_id,ordered_at,amount\n")
    with pytest.raises(DataError, match="SL103  orders: the table has no rows"):
        read_events(tmp_path / "o.csv")


def test_lines_that_do_not_fit_are_in_the_audit(tmp_path):
    path = tmp_path / "o.csv"
    path.write_text("customer_id,ordered_at,amount\na,2026-01-01,5\nb,2026-01-02\n")
    with pytest.raises(DataError, match=r"(?s)SL109.*1 of 2 rows.*line 3 'b,2026"):
        read_events(path)
    events = read_events(path, on_bad_rows="quarantine")
    assert counts(events, "orders") == {"": 1, "SL109": 1}
    line = events.audit.set_index("code").loc["SL109"]
    assert (line["outcome"], line["examples"]) == ("rejected", "line 3 'b,2026-01-02'")
    assert pd.isna(line["amount"])
    assert events.totals["revenue"] == 5


def test_a_table_without_one_readable_row(tmp_path):
    table = orders(("a", "x", "y"), ("b", "x", "1"))
    with pytest.raises(DataError, match=r"SL111  orders: 2 of 2 rows"):
        read_events(table, on_bad_rows="quarantine")
    path = tmp_path / "o.csv"
    path.write_text("customer_id,ordered_at,amount\nb,2026-01-02\n")
    with pytest.raises(DataError, match=r"SL109  orders: 1 of 1 rows"):
        read_events(path, on_bad_rows="quarantine")


def test_referrals_without_one_readable_row():
    bad = referrals(("a", "b", "x"), (None, None, D))
    events = read_events(orders(("a", D, 1)), bad, on_bad_rows="quarantine")
    assert counts(events, "referrals") == {"SL110": 1, "SL111": 1}
    assert sl.referral_network(events).n_links == 0


def test_two_currencies():
    names = (*NAMES, "currency")
    table = orders(
        ("a", D, 1, "CNY"), ("b", D, 1, "usd"), ("c", D, 1, None), names=names
    )
    with pytest.raises(DataError, match=r"SL114.*CNY \(1 rows\), USD \(1 rows\)"):
        read_events(table)
    events = read_events(table[table["customer_id"] != "b"])
    assert events.currency == "CNY"


def test_two_currency_signs():
    with pytest.raises(DataError, match=r"SL114.*currency signs in 'amount'"):
        read_events(orders(("a", D, "$1"), ("a", D, "€1")))


def test_days_and_months_that_cannot_be_told_apart():
    table = orders(("a", "1/2/2026", 1), ("a", "3/4/2026", 1))
    with pytest.raises(DataError, match=r"SL115.*no day is above 12"):
        read_events(table)
    events = read_events(table, date_format="%d/%m/%Y")
    assert events.start == date(2026, 2, 1)


def test_a_date_format_for_one_table():
    table = orders(("b", "1/2/2026 10:30", 1))
    brought = referrals(("a", "b", "2026-01-31"))
    with pytest.raises(DataError, match=r"SL111  referrals: 1 of 1 rows"):
        read_events(table, brought, date_format="%d/%m/%Y")
    events = read_events(table, brought, date_format={"orders": "%d/%m/%Y"})
    assert (events.start, events.end) == (date(2026, 1, 31), date(2026, 2, 1))


def test_european_amounts_stop_the_reading_in_every_mode():
    table = orders(("a", D, "1.234,50"), ("a", D, "1.234"))
    for on_bad_rows in ("raise", "quarantine"):
        with pytest.raises(DataError, match="SL123"):
            read_events(table, on_bad_rows=on_bad_rows)


def test_a_damaged_parquet_file(tmp_path):
    frame = pd.DataFrame({n: [r[i] for r in ROWS] * 50 for i, n in enumerate(NAMES)})
    path = tmp_path / "o.parquet"
    frame.to_parquet(path, compression=None)
    data = path.read_bytes()
    path.write_bytes(data[:10] + b"\xff" * 40 + data[50:])
    with pytest.raises(DataError, match=r"SL106.*cannot be read to its end"):
        read_events(path)


def test_a_customer_day_that_is_too_large():
    table = orders(*[("a", D, 9e13)] * 3)
    with pytest.raises(DataError, match=r"(?s)SL161.*too large.*larger unit"):
        read_events(table)


def test_too_little_memory():
    n = 400_000
    frame = pd.DataFrame(
        {
            "customer_id": [f"customer {i}" for i in range(n)],
            "ordered_at": D,
            "amount": 1,
        }
    )
    with pytest.raises(FileError, match=r"SL160.*the engine stopped"):
        read_events(frame, memory_limit="4MB")


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"end": "soon"}, "end must be a date"),
        ({"end": "1/2/2026"}, "end must be a date"),
        ({"end": ""}, "end must be a date"),
        ({"end": 20260630}, "end must be a date"),
        ({"end": pd.NaT}, "end must be a date"),
        ({"timezone": "Peking"}, "timezone must be an IANA name"),
        ({"timezone": None}, "timezone must be an IANA name"),
        ({"on_bad_rows": "ignore"}, "on_bad_rows must be one of"),
        ({"attribution": "middle"}, "attribution must be one of"),
        ({"attribution_window_days": 0}, "attribution_window_days must be at least"),
        ({"purchase": "week"}, "purchase must be one of"),
        ({"zero_orders": True}, "zero_orders must be one of"),
        ({"paid_channels": "ads"}, "paid_channels must be a list"),
        ({"date_format": "%Q"}, "date_format must be"),
        ({"date_format": {"order": "%Y"}}, "a table of date_format must be one of"),
        ({"memory_limit": "much"}, "memory_limit must be"),
    ],
    ids=str,
)
def test_settings_out_of_range(setting, match):
    with pytest.raises(SettingError, match=match):
        read_events(orders(("a", D, 1)), **setting)


def test_a_measure_that_needs_a_table_says_so():
    events = read_events(orders(("a", D, 1)))
    with pytest.raises(MissingTableError, match=r"SL301.*referral_network.*not zero"):
        sl.referral_network(events)


# Time


def test_the_end_is_the_last_day_with_any_event():
    events = read_events(
        orders(("a", "2026-01-05 23:00", 1)),
        referrals(("a", "b", "2026-02-01 12:00")),
        spend=pd.DataFrame({"date": ["2026-06-30"], "channel": ["x"], "spend": [1]}),
    )
    assert events.end == date(2026, 2, 1)


@pytest.mark.parametrize(
    "end",
    ["2026-01-31", " 2026-01-31 ", date(2026, 1, 31), datetime(2026, 1, 31, 23),
     pd.Timestamp("2026-01-31")],
    ids=repr,
)  # fmt: skip
def test_the_end_in_every_form(end):
    events = read_events(
        orders(("a", "2026-01-31 23:59:59", 1), ("a", "2026-02-01", 2)), end=end
    )
    assert events.end == date(2026, 1, 31)
    assert counts(events, "orders") == {"": 1, "SL121": 1}
    assert events.totals["revenue"] == 1


def test_an_end_before_everything():
    with pytest.raises(DataError, match=r"SL103.*no order lies before end"):
        read_events(orders(("a", D, 1)), end="2025-12-31")


def test_days_are_cut_in_the_zone():
    """23:00 and 01:00 in UTC are one day in Shanghai, two in London."""
    table = orders(("a", "2026-01-01 23:00:00Z", 1), ("a", "2026-01-02 01:00:00Z", 1))
    assert read_events(table).totals["n_purchases"] == 2
    assert read_events(table, timezone="Asia/Shanghai").totals["n_purchases"] == 1


def test_mixed_zones_are_converted_and_noted():
    table = orders(("a", "2026-01-01 23:00:00Z", 1), ("b", "2026-01-02 07:00:00", 1))
    events = read_events(table, timezone="Asia/Shanghai")
    frame = people_of(events)
    assert frame["first_order_at"].nunique() == 1
    assert "1 times carry a zone and 1 do not" in note(events, "SL151")


# Odd shops: an audited result, never a traceback


@pytest.mark.parametrize(
    ("name", "tables", "n_people", "n_buyers", "revenue"),
    [
        ("one customer", (orders(("a", D, 5)), None), 1, 1, 5),
        ("only guests", (orders((None, D, 5), ("", D, 1)), None), 0, 0, 6),
        ("guests and links", (orders((None, D, 5)), referrals(("a", "b", D))), 2, 0, 5),
        ("only refunds", (orders(("a", D, -5)), referrals(("a", "b", D))), 2, 0, -5),
        ("only zeros", (orders(("a", D, 0)), None), 1, 0, 0),
        (
            "only self-referrals",
            (orders(("a", D, 5)), referrals(("a", "a", D))),
            1,
            1,
            5,
        ),
        # b came, although nobody brought them: a person all the same.
        ("no referrers", (orders(("a", D, 5)), referrals((None, "b", D))), 2, 1, 5),
        (
            "a ring",
            (orders(("a", D, 5)), referrals(("a", "b", D), ("b", "a", D))),
            2,
            1,
            5,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_odd_shops_can_be_read_and_analysed(name, tables, n_people, n_buyers, revenue):
    events = read_events(*tables)
    assert events.totals["n_people"] == n_people, name
    assert events.totals["n_buyers"] == n_buyers
    assert events.totals["revenue"] == revenue
    assert isinstance(events.totals["revenue"], Decimal)
    for table, source in zip(("orders", "referrals"), tables, strict=True):
        if source is not None:
            assert sum(counts(events, table).values()) == len(source)
    analysis = sl.analyze(events)
    assert analysis.lifetime is None
    assert "at least 10 buyers" in analysis.unavailable["lifetime value"]
    assert repr(analysis)
    assert (
        analysis.values.to_pandas()["revenue"].sum()
        == revenue - (events.totals["revenue_guests"])
    )


# Rows that are odd


def test_exact_copies_are_kept_and_noted():
    rows = [("a", D, 1.0)] * 3 + [("b", D, 1.0)]
    events = read_events(orders(*rows))
    assert events.totals["revenue"] == 4
    assert note(events, "SL150").startswith("2 rows are exact copies")
    assert note(read_events(orders(("a", D, 1), ("b", D, 1))), "SL150") is None


def test_referrers_who_never_bought_are_noted():
    events = read_events(orders(("b", "2026-01-02", 1)), referrals(("a", "b", D)))
    assert note(events, "SL210").startswith("1 referrers never bought")


HOSTILE = [
    "'; DROP TABLE t;--", '"', "{}", "%s", "{0.__class__}", "😀", "a\nb", "\\",
    "<script>alert(1)</script>", "=cmd()", "x" * 10_000, "007", "7", "nullx",
]  # fmt: skip


def test_hostile_ids_columns_and_channels_are_only_text():
    names = ['it\'s "who"', "{when}", "%(amount)s; --", "channel"]
    rows = [(who, D, 1.0, who) for who in HOSTILE]
    roles = dict(zip([*NAMES, "channel"], names, strict=True))
    chain = referrals(*zip(HOSTILE, HOSTILE[1:], [D] * len(HOSTILE), strict=False))
    events = read_events(orders(*rows, names=names), chain, columns={"orders": roles})
    frame = people_of(events)
    expected = sorted(HOSTILE)
    assert frame["person_id"].tolist() == expected
    assert frame["channel"].tolist() == expected
    assert frame["n_invited"].sum() == len(HOSTILE) - 1
    assert repr(events)
    assert "<script>" not in events._repr_html_()


def test_other_columns_may_hold_anything():
    table = orders(("a", D, 1.0), ("b", D, 2.0)).assign(
        lists=[[1], []], dicts=[{"a": 1}, None], blobs=[b"\xff", b""],
        times=pd.to_timedelta([1, 2], unit="D"), mixed=[object(), "x"],
        periods=pd.period_range("2026", periods=2), nothing=None, code="", sl_row=1,
    )  # fmt: skip
    assert read_events(table).totals["revenue"] == 3


def test_the_callers_tables_stay_as_they_are():
    first = orders((" a ", "2026-01-02", "1"), (None, D, "x"), (7, D, None))
    second = referrals((" a ", "b", D))
    first.index = pd.Index([5, 5, 5])
    before = first.copy(deep=True), second.copy(deep=True)
    read_events(first, second, on_bad_rows="quarantine")
    pd.testing.assert_frame_equal(first, before[0])
    pd.testing.assert_frame_equal(second, before[1])


def test_later_changes_of_the_callers_table_change_nothing():
    table = orders(("a", pd.Timestamp(D), 1.0), ("b", pd.Timestamp(D), 2.0))
    events = read_events(table)
    before = people_of(events)
    table.loc[:, "amount"] = 1_000.0
    pd.testing.assert_frame_equal(people_of(events), before)


def test_progress_and_sources_are_said(tmp_path):
    said = []
    path = as_csv(tmp_path, "订单.csv", encode=lambda s: s.encode("gb18030"))
    events = read_events(path, progress=said.append)
    assert said[0] == "reading orders"
    assert len(said) >= 4
    assert events.sources["orders"].startswith("订单.csv (")


def test_scratch_files_go_away(tmp_path):
    path = as_csv(tmp_path, "o.csv", encode=lambda s: s.encode("utf-16"))
    events = read_events(path)
    folder = events.engine.folder
    assert Path(folder).exists()
    assert list(tmp_path.iterdir()) == [path]


# Laws


cells = st.tuples(
    st.sampled_from(["a", "b", "c", "", None]),
    st.sampled_from([D, "2026-01-15 10:00", "2026-02-20", "x", None]),
    st.sampled_from(["5", "1,234.50", "-2.5", "0", "x", "inf", None]),
)
links = st.tuples(
    st.sampled_from(["a", "b", "c", "d", "", None]),
    st.sampled_from(["a", "b", "c", "d", "", None]),
    st.sampled_from([D, "2026-01-10", "x", None]),
)


def is_good(row):
    return row[1] not in ("x", None) and row[2] not in ("x", "inf", None)


@settings(max_examples=6, deadline=None)
@given(
    st.lists(cells, max_size=15).map(lambda rows: [("a", D, "5"), *rows]),
    st.lists(links, min_size=1, max_size=12),
)
def test_quarantine_is_reading_without_the_bad_rows(rows, brought):
    """And every row of both tables is in one line of the audit."""
    quarantined = read_events(
        orders(*rows), referrals(*brought), on_bad_rows="quarantine"
    )
    assert sum(counts(quarantined, "orders").values()) == len(rows)
    assert sum(counts(quarantined, "referrals").values()) == len(brought)
    good = [row for row in rows if is_good(row)]
    linked = [
        row for row in brought if row[1] and (not row[0] or row[2] not in ("x", None))
    ]
    if linked:
        clean = read_events(orders(*good), referrals(*linked))
        pd.testing.assert_frame_equal(people_of(quarantined), people_of(clean))
        assert quarantined.totals == clean.totals


def test_parquet_written_from_the_audit_has_all_rows(shop, tmp_path):
    for name, table in shop.set_aside.items():
        table.to_parquet(tmp_path / f"{name}.parquet")
        n = pq.read_metadata(tmp_path / f"{name}.parquet").num_rows
        assert n == sum(counts(shop, name).values())
