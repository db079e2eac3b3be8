import gzip
import json
import os

import duckdb
import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfloop.core.errors import DataError, FileError
from selfloop.inputs.duckdb_engine import connect
from selfloop.inputs.read import read_table

HEADER = "customer_id,ordered_at,amount\n"
ROWS = "a,2026-01-01,1\nb,2026-01-02,2\n"


@pytest.fixture(scope="module")
def engine():
    return connect()


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def rows(raw):
    return [tuple(row.values()) for row in raw.table.to_pyarrow().to_pylist()]


# CSV


@pytest.mark.parametrize(
    "text",
    [
        HEADER + ROWS,
        (HEADER + ROWS).rstrip("\n"),
        (HEADER + ROWS).replace("\n", "\r\n"),
        (HEADER + ROWS).replace("\n", "\r"),
        HEADER + "a,2026-01-01,1\r\nb,2026-01-02,2\n",
        HEADER + "\na,2026-01-01,1\n\n\nb,2026-01-02,2\n\n",
        "\n  \n" + HEADER + ROWS,
        (HEADER + ROWS).replace(",", ";"),
        (HEADER + ROWS).replace(",", "\t"),
        (HEADER + ROWS).replace(",", "|"),
        "\ufeff" + HEADER + ROWS,
        '"customer_id","ordered_at","amount"\n"a","2026-01-01","1"\n"b",2026-01-02,2\n',
    ],
)
def test_the_same_rows_however_they_are_written(engine, write, text):
    raw = read_table(write("a.csv", text), "orders", engine)
    assert raw.table.columns == ("customer_id", "ordered_at", "amount")
    assert rows(raw) == [("a", "2026-01-01", "1"), ("b", "2026-01-02", "2")]
    assert raw.n_malformed == 0
    assert raw.source == "a.csv (UTF-8)"


@pytest.mark.parametrize(
    ("name", "encode", "source"),
    [
        ("a.csv", lambda s: s.encode("gb18030"), "a.csv (GB18030)"),
        ("a.csv", lambda s: s.encode("utf-16"), "a.csv (UTF-16)"),
        ("a.csv.gz", lambda s: gzip.compress(s.encode()), "a.csv.gz (UTF-8)"),
        ("A.CSV.GZ", lambda s: gzip.compress(s.encode()), "A.CSV.GZ (UTF-8)"),
        (
            "a.csv.gz",
            lambda s: gzip.compress(s.encode("gb18030")),
            "a.csv.gz (GB18030)",
        ),
    ],
)
def test_encodings_are_said(engine, write, name, encode, source):
    text = "客户ID,下单时间,实付金额\n张三,2026-01-01,1\n"
    raw = read_table(write(name, encode(text)), "orders", engine)
    assert raw.source == source
    assert rows(raw) == [("张三", "2026-01-01", "1")]


def test_quotes_line_breaks_and_hostile_ids_are_kept(engine, write):
    text = (
        HEADER + '"a\nb",2026-01-01,1\n"c ""q""",2026-01-02,2\n5" nail,2026-01-03,3\n'
    )
    raw = read_table(write("a.csv", text), "orders", engine)
    assert [row[0] for row in rows(raw)] == ["a\nb", 'c "q"', '5" nail']


def test_everything_is_text_so_that_zeros_stay(engine, write):
    raw = read_table(write("a.csv", HEADER + "007,20260101,1e3\n"), "orders", engine)
    assert rows(raw) == [("007", "20260101", "1e3")]


def test_columns_without_a_name_have_a_place(engine, write):
    text = ",customer_id,\n0,a,\n1,b,\n"
    raw = read_table(write("a.csv", text), "orders", engine)
    assert raw.table.columns == ("(column 1)", "customer_id", "(column 3)")


@pytest.mark.parametrize(
    "name", ['a"b', "x'; DROP TABLE t;--", "{}", "%s", "emoji😀", "$1", "a b", "?"]
)
def test_hostile_column_names(engine, write, name):
    header = '"' + name.replace('"', '""') + '",amount\n'
    raw = read_table(write("a.csv", header + "1,2\n"), "orders", engine)
    assert raw.table.columns == (name, "amount")
    assert rows(raw) == [("1", "2")]


@pytest.mark.parametrize(
    ("bad", "example"),
    [
        ("x,2026-01-02", "line 3 'x,2026-01-02'"),
        ("x,2026-01-02,2,3", "line 3 'x,2026-01-02,2,3'"),
        ("  ", "line 3 '  '"),
        ("x" * 200, f"line 3 '{'x' * 60}'"),
    ],
)
def test_lines_that_do_not_fit_are_counted(engine, write, bad, example):
    text = HEADER + "a,2026-01-01,1\n" + bad + "\nb,2026-01-02,2\n"
    raw = read_table(write("a.csv", text), "orders", engine)
    assert rows(raw) == [("a", "2026-01-01", "1"), ("b", "2026-01-02", "2")]
    assert raw.n_malformed == 1
    assert raw.malformed == (example,)


def test_many_bad_lines_are_all_counted(engine, write):
    body = "".join(
        "bad\n" if i % 3 == 0 else f"c{i},2026-01-01,1\n" for i in range(9_000)
    )
    raw = read_table(write("a.csv", HEADER + body), "orders", engine)
    assert raw.n_malformed == 3_000
    assert len(rows(raw)) == 6_000
    assert raw.malformed == ("line 2 'bad'", "line 5 'bad'", "line 8 'bad'")


@pytest.mark.parametrize(
    "text",
    [
        'a,2026-01-01,1\n"b,2026-01-02,2\nc,2026-01-03,3\nd,2026-01-04,4\n',
        'a,2026-01-01,1\n"b,2026-01-02,2\nc,2026-01-03,"3"\nd,2026-01-04,4\n',
        'a,2026-01-01,1\n"x"y,2026-01-02,2\n',
        # The engine would make a row of the rest of this line: z", 3, 4.
        'a,2026-01-01,1\n"x"y,"z"w,3,4\n',
    ],
)
def test_quotes_out_of_place_are_an_error_not_lost_or_made_up_rows(engine, write, text):
    with pytest.raises(DataError, match=r"SL118.*a quote .* in line 3"):
        read_table(write("a.csv", HEADER + text), "orders", engine)


def test_all_lines_with_broken_quotes_are_counted(engine, write):
    text = HEADER + "".join(f'"x"{i},2026-01-01,1\n' for i in range(50))
    with pytest.raises(DataError, match=r"SL118.*50 lines from 2 on"):
        read_table(write("a.csv", text), "orders", engine)


def test_a_cell_too_long_for_any_line_is_rejected_alone(engine, write):
    text = HEADER + "a,2026-01-01,1\nb,x," + "9" * 17_000_000 + "\nc,2026-01-02,2\n"
    raw = read_table(write("a.csv", text), "orders", engine)
    assert [row[0] for row in rows(raw)] == ["a", "c"]
    assert raw.n_malformed == 1


def test_only_a_header(engine, write):
    assert rows(read_table(write("a.csv", HEADER), "orders", engine)) == []


def test_two_columns_of_one_name(engine, write):
    for header in ("a,b,a\n", "Amount,amount\n"):
        with pytest.raises(DataError, match=r"SL102.*a\.csv has 2 columns named"):
            read_table(write("a.csv", header), "orders", engine)


# Paths


@pytest.mark.parametrize(
    "name",
    ["o[1].csv", "o*x.csv", "o?x.csv", "o'x.csv", "o x.csv", "订单.csv", "{a}.csv"],
)
def test_names_of_files_are_not_patterns(engine, write, name):
    write("o1.csv", HEADER + "wrong,2026-01-01,1\n")
    write("o-x.csv", HEADER + "wrong,2026-01-01,1\n")
    path = write(name, HEADER + "right,2026-01-01,1\n")
    for given_as in (path, str(path)):
        raw = read_table(given_as, "orders", engine)
        assert rows(raw) == [("right", "2026-01-01", "1")]


def test_names_of_parquet_files_are_not_patterns(engine, tmp_path):
    for name, value in (("p1.parquet", "wrong"), ("p[1].parquet", "right")):
        pq.write_table(pa.table({"id": [value]}), tmp_path / name)
    raw = read_table(tmp_path / "p[1].parquet", "orders", engine)
    assert rows(raw) == [("right",)]


def test_folders_named_like_columns_change_nothing(engine, write, tmp_path):
    """The engine would replace the amounts of the file by the 5 of the folder."""
    text = HEADER + "a,2026-01-01,1\n"
    raw = read_table(write("amount=5/a.csv", text), "orders", engine)
    assert rows(raw) == [("a", "2026-01-01", "1")]
    pq.write_table(pa.table({"amount": [1.0]}), tmp_path / "amount=5" / "a.parquet")
    raw = read_table(tmp_path / "amount=5" / "a.parquet", "orders", engine)
    assert rows(raw) == [(1.0,)]


def test_missing_files_and_patterns(engine, tmp_path):
    with pytest.raises(FileError, match=r"SL105.*no\.csv cannot be read: No such file"):
        read_table(tmp_path / "no.csv", "orders", engine)
    with pytest.raises(FileError, match=r"SL105.*no file matches"):
        read_table(str(tmp_path / "*.csv"), "orders", engine)


# Several files


def test_a_glob_reads_all_files_in_the_order_of_their_names(engine, write, tmp_path):
    write("g/2.csv", "amount,customer_id,ordered_at\n2,b,2026-01-02\n")
    write("g/1.csv", HEADER + "a,2026-01-01,1\n")
    write("g/3.csv.gz", gzip.compress((HEADER + "张,2026-01-03,3\n").encode("gb18030")))
    raw = read_table(str(tmp_path / "g" / "*"), "orders", engine)
    assert [row[0] for row in rows(raw)] == ["a", "b", "张"]
    assert [row[2] for row in rows(raw)] == ["1", "2", "3"]
    assert "3 files" in raw.source
    assert "(GB18030, UTF-8)" in raw.source


def test_a_glob_through_folders(engine, write, tmp_path):
    write("y/2025/a.csv", HEADER + "a,2025-01-01,1\n")
    write("y/2026/a.csv", HEADER + "b,2026-01-01,1\n")
    raw = read_table(str(tmp_path / "y" / "**" / "*.csv"), "orders", engine)
    assert [row[0] for row in rows(raw)] == ["a", "b"]


def test_files_with_other_columns_are_an_error(engine, write, tmp_path):
    write("g/1.csv", HEADER + ROWS)
    write("g/2.csv", "customer_id,amount\nb,2\n")
    with pytest.raises(
        DataError, match=r"SL117.*2\.csv has other columns \(ordered_at"
    ):
        read_table(str(tmp_path / "g" / "*.csv"), "orders", engine)


def test_parquet_files_with_other_columns_are_an_error(engine, tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": [1], "currency": ["USD"]}), tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"SL117.*other columns \(currency\)"):
        read_table(str(tmp_path / "*.parquet"), "orders", engine)


def test_parquet_files_of_different_types_take_the_wider(engine, tmp_path):
    """Read by the first file alone, '007' would become 7."""
    pq.write_table(pa.table({"id": [7], "x": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"x": [1.5], "id": ["007"]}), tmp_path / "2.parquet")
    raw = read_table(str(tmp_path / "*.parquet"), "orders", engine)
    assert rows(raw) == [("7", 1.0), ("007", 1.5)]


def test_files_of_different_kinds_are_an_error(engine, write, tmp_path):
    write("g/1.csv", HEADER + ROWS)
    write("g/2.jsonl", "{}\n")
    with pytest.raises(DataError, match=r"SL107.*different types"):
        read_table(str(tmp_path / "g" / "*"), "orders", engine)


def test_one_empty_file_of_many_is_named(engine, write, tmp_path):
    write("g/1.csv", HEADER + ROWS)
    write("g/2.csv", "")
    with pytest.raises(DataError, match=r"SL103.*2\.csv is empty"):
        read_table(str(tmp_path / "g" / "*.csv"), "orders", engine)


def test_bad_lines_of_all_files_are_counted(engine, write, tmp_path):
    write("g/1.csv", HEADER + "a,2026-01-01,1\nbad\n")
    write("g/2.csv", HEADER + "bad,bad\nb,2026-01-01,1\n")
    raw = read_table(str(tmp_path / "g" / "*.csv"), "orders", engine)
    assert (raw.n_malformed, len(rows(raw))) == (2, 2)


# Parquet


def test_parquet_that_is_damaged(engine, write):
    with pytest.raises(DataError, match=r"SL106.*cannot be parsed"):
        read_table(write("a.parquet", b"PAR1" + b"x" * 100), "orders", engine)


def test_parquet_without_columns_or_with_double_names(engine, tmp_path):
    double = pa.table([pa.array([1]), pa.array([2])], names=["Amount", "amount"])
    pq.write_table(double, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"SL102.*'Amount' and 'amount'"):
        read_table(tmp_path / "a.parquet", "orders", engine)
    pq.write_table(pa.table({}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"SL103.*no columns"):
        read_table(tmp_path / "b.parquet", "orders", engine)


# JSON lines


def objects(raw):
    return raw.table.to_pyarrow().to_pylist()


def test_json_values_are_text(engine, write):
    text = (
        '{"id": "007", "n": 1.50, "d": "2026-01-01"}\n'
        '{"id": 12345678901234567890123, "n": null, "d": {"y": 1}}\n'
    )
    found = objects(read_table(write("a.jsonl", text), "orders", engine))
    assert found[0] == {"id": "007", "n": "1.5", "d": "2026-01-01"}
    assert found[1]["id"] == "12345678901234567890123"
    assert found[1]["n"] is None


def test_a_key_that_comes_late_is_not_lost(engine, write):
    """The engine alone looks at the first 20,480 lines only."""
    text = '{"a": "x"}\n' * 30_000 + '{"a": "y", "amount": 5}\n'
    raw = read_table(write("a.jsonl", text), "orders", engine)
    assert set(raw.table.columns) == {"a", "amount"}
    assert raw.table.amount.count().to_pandas() == 1


@pytest.mark.parametrize(
    "bad", ['{"a":', "5", "[1]", '"x"', "not json", '{"a": 1, "a": 2}', "null"]
)
def test_lines_that_are_no_objects_are_counted(engine, write, bad):
    text = '{"a": 1}\n' + bad + '\n\n{"a": 2}\n'
    raw = read_table(write("a.jsonl", text), "orders", engine)
    assert objects(raw) == [{"a": "1"}, {"a": "2"}]
    assert raw.n_malformed == 1
    assert raw.malformed == (repr(bad),)


@pytest.mark.parametrize(
    "text", ['[{"a": 1}]\n', "1\n2\n", HEADER + ROWS, "\n\n", "{}"]
)
def test_a_file_without_objects(engine, write, text):
    with pytest.raises(DataError, match=r"SL106.*no JSON objects"):
        read_table(write("a.jsonl", text), "orders", engine)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s.encode(),
        lambda s: s.replace("\n", "\r\n").encode(),
        lambda s: b"\xef\xbb\xbf" + s.encode(),
        lambda s: s.encode("gb18030"),
        lambda s: s.encode("utf-16"),
    ],
)
def test_json_in_all_encodings(engine, write, wrap):
    text = '{"客户": "张\\n三"}\n{"客户": "\\u5ba2 \\"q\\", x"}\n'
    raw = read_table(write("a.jsonl", wrap(text)), "orders", engine)
    assert objects(raw) == [{"客户": "张\n三"}, {"客户": '客 "q", x'}]


def test_zipped_json(engine, write):
    raw = read_table(write("a.jsonl.gz", gzip.compress(b'{"a":1}\n')), "orders", engine)
    assert objects(raw) == [{"a": "1"}]


def test_hostile_keys(engine, write):
    keys = ['a"b', "$.x", "x.y", "", "客户", "a'b", "/p", "*", "~", "a\\b", "0", "{}"]
    text = json.dumps({key: f"v{i}" for i, key in enumerate(keys)})
    (row,) = objects(read_table(write("a.jsonl", text), "orders", engine))
    # Nobody can name the column without a name.
    assert row == {key: f"v{i}" for i, key in enumerate(keys) if key}


def test_keys_that_differ_by_case(engine, write):
    with pytest.raises(DataError, match=r"SL102.*'Amount' and 'amount'"):
        read_table(write("a.jsonl", '{"Amount":1}\n{"amount":2}\n'), "orders", engine)


# Tables in memory

FRAME = {"id": ["007", "8"], "amount": [1.5, 2.0]}


def test_a_duckdb_relation_and_an_arrow_table(engine):
    con = duckdb.connect()
    relation = con.sql("SELECT '007' AS id, 1.5 AS amount")
    assert rows(read_table(relation, "orders", engine))[0][0] == "007"
    raw = read_table(pa.table(FRAME), "orders", engine)
    assert raw.source == "pyarrow table"
    assert rows(raw) == [("007", 1.5), ("8", 2.0)]


@pytest.mark.parametrize("wrap", ["table", "expression", "memtable", "polars"])
def test_ibis_tables_of_any_backend(engine, wrap):
    if wrap == "memtable":
        table = ibis.memtable(pd.DataFrame(FRAME))
    elif wrap == "polars":
        table = ibis.polars.connect().create_table("t", pa.table(FRAME))
    else:
        table = ibis.duckdb.connect().create_table("t", pa.table(FRAME))
    if wrap == "expression":
        table = table.filter(table.amount > 0).mutate(x=table.id.upper())
    raw = read_table(table, "orders", engine)
    assert [row[:2] for row in rows(raw)] == [("007", 1.5), ("8", 2.0)]
    assert raw.source == f"Ibis table on {'polars' if wrap == 'polars' else 'duckdb'}"


def test_an_ibis_table_without_data(engine):
    with pytest.raises(DataError, match=r"SL107.*no data"):
        read_table(ibis.table({"a": "int64"}, name="t"), "orders", engine)


def test_tables_without_columns_and_with_double_names(engine):
    with pytest.raises(DataError, match=r"SL103.*no columns"):
        read_table(pd.DataFrame(), "orders", engine)
    with pytest.raises(DataError, match=r"SL103.*no columns"):
        read_table(pd.DataFrame(index=[1, 2]), "orders", engine)
    double = pd.DataFrame([[1, 2]], columns=["Amount", "amount"])
    with pytest.raises(DataError, match=r"SL102.*'Amount' and 'amount'"):
        read_table(double, "orders", engine)


def test_a_type_the_engine_does_not_know_is_named(engine):
    halves = pa.array([[1.5]], pa.list_(pa.float16()))
    with pytest.raises(DataError, match=r"SL106.*Unsupported"):
        read_table(pa.table({"odd": halves}), "orders", engine)


# Law: what is written is read

cell = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8
).filter(lambda s: s.strip() == s)


@settings(max_examples=40, deadline=None)
@given(
    table=st.lists(st.tuples(cell, cell), min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
)
def test_any_text_survives_a_csv_file(table, end, delimiter):
    shared = _shared_engine()

    def quoted(text):
        return '"' + text.replace('"', '""') + '"'

    lines = [["first", "second"], *table]
    text = end.join(delimiter.join(map(quoted, line)) for line in lines) + end
    path = shared.folder / f"law{os.getpid()}.csv"
    path.write_bytes(text.encode())
    raw = read_table(path, "orders", shared)
    assert raw.n_malformed == 0
    # An empty text and a missing one are the same in a CSV file.
    assert rows(raw) == [tuple(v or None for v in row) for row in table]


def _shared_engine(made=[]):  # noqa: B006 - one engine for all examples
    if not made:
        made.append(connect())
    return made[0]
