import csv
import errno
import json
import os
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import ibis
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfloop.core.errors import FileError, SettingError
from selfloop.outputs import excel, files
from selfloop.outputs.files import whole_file
from selfloop.outputs.tables import FORMULA_START, format_table, inert, write_table

HOSTILE = ["=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1",
           "</script>", "<script>alert(1)</script>", 'a"b,c\nd', "007",
           "直播"]  # fmt: skip


@pytest.fixture
def people():
    """Customers with every type of column and names chosen to do harm."""
    n = len(HOSTILE)
    return pd.DataFrame({
        "person_id": HOSTILE,
        "first_order_at": [datetime(2026, 1, 2, 3, 4, 5)] * (n - 1) + [None],
        "day": [date(2026, 1, 2)] * n,
        "n_purchases": pd.array([1] * (n - 1) + [None], dtype="Int64"),
        "revenue": [Decimal("-10.10")] * (n - 1) + [None],
        "p_alive": [0.25] * (n - 1) + [float("nan")],
        "is_new": [True] * n,
    })  # fmt: skip


def in_engine(frame):
    return ibis.memtable(pa.Table.from_pandas(frame, preserve_index=False))


@pytest.fixture(params=["frame", "engine"])
def table(request, people):
    """The same rows in pandas and in the engine."""
    return people if request.param == "frame" else in_engine(people)


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as source:
        return list(csv.reader(source))


def test_csv_has_a_mark_for_excel_and_runs_nothing(table, tmp_path):
    path = write_table(table, tmp_path / "people.csv")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    head, *rows = read_csv(path)
    assert head == ["person_id", "first_order_at", "day", "n_purchases", "revenue",
                    "p_alive", "is_new"]  # fmt: skip
    assert [r[0] for r in rows[:8]] == [f"'{text}" for text in HOSTILE[:8]]
    assert [r[0] for r in rows[8:]] == HOSTILE[8:]
    # Numbers below zero are numbers: no apostrophe, exact to the cent.
    assert rows[0][1:] == ["2026-01-02 03:04:05", "2026-01-02", "1", "-10.10", "0.25",
                           "true"]  # fmt: skip
    # What is missing is empty, not zero and not "nan".
    assert rows[-1][1:] == ["", "2026-01-02", "", "", "", "true"]


def test_csv_guards_headings_too(tmp_path):
    path = write_table(pd.DataFrame({"=1+1": ["a"]}), tmp_path / "t.csv")
    assert read_csv(path)[0] == ["'=1+1"]


@given(st.text())
def test_inert_text_starts_with_nothing_that_runs(text):
    shown = inert(text)
    assert shown[:1] not in tuple(FORMULA_START)
    assert shown.removeprefix("'") == text.removeprefix("'")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"))))
def test_csv_and_python_agree_on_every_text(texts):
    frame = pd.DataFrame({"a": pd.Series(texts, dtype="str"), "b": 1})
    back = list(csv.reader(format_table(frame, format="csv").splitlines(keepends=True)))
    assert [r[0] for r in back[1:]] == [inert(text) for text in texts]


def test_excel_holds_texts_as_texts(table, tmp_path):
    path = write_table(table, tmp_path / "people.xlsx")
    sheet = openpyxl.load_workbook(path).active
    cells = [row[0] for row in sheet.iter_rows(min_row=2)]
    assert {cell.data_type for cell in cells} == {"s"}
    # The format itself turns a carriage return into a line end.
    assert [c.value.replace("_x000D_", "\r") for c in cells][:5] == HOSTILE[:5]
    assert all(cell.hyperlink is None for cell in cells)
    row = [cell.value for cell in sheet[2]]
    assert row[1:] == [datetime(2026, 1, 2, 3, 4, 5), datetime(2026, 1, 2), 1, -10.1,
                       0.25, True]  # fmt: skip
    assert [cell.value for cell in sheet[len(HOSTILE) + 1]][3:6] == [None, None, None]


def test_parquet_keeps_types_and_texts(table, tmp_path):
    back = pq.read_table(write_table(table, tmp_path / "people.parquet"))
    assert back.column("person_id").to_pylist() == HOSTILE
    assert back.column("revenue").to_pylist()[0] == Decimal("-10.10")
    assert back.column("n_purchases").to_pylist()[-1] is None


def test_json_is_a_list_of_records(table, tmp_path):
    path = write_table(table, tmp_path / "people.json")
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert [r["person_id"] for r in rows] == HOSTILE
    assert rows[0]["first_order_at"] == "2026-01-02T03:04:05"
    assert rows[0]["revenue"] == -10.1
    assert rows[-1]["n_purchases"] is None
    assert rows[-1]["p_alive"] is None


def test_markdown_keeps_one_line_a_row(table, tmp_path):
    lines = write_table(table, tmp_path / "t.md").read_text("utf-8").splitlines()
    assert len(lines) == 2 + len(HOSTILE)
    assert "<script>" not in "\n".join(lines)
    assert lines[2].startswith("| =cmd() | 2026-01-02 03:04 | 2026-01-02 | 1 |")


def test_empty_tables_keep_their_headings(tmp_path):
    frame = pd.DataFrame({"a": pd.Series(dtype="str"), "b": pd.Series(dtype="int64")})
    assert format_table(frame, format="csv") == '"a","b"\n'
    assert format_table(frame, format="json") == "[]\n"
    assert format_table(frame, format="md") == "| a | b |\n| --- | ---: |\n"
    write_table(frame, tmp_path / "t.xlsx")
    assert openpyxl.load_workbook(tmp_path / "t.xlsx").active.dimensions == "A1:B1"


def test_months_and_categories_are_written_as_text(tmp_path):
    frame = pd.DataFrame({"month": pd.PeriodIndex(["2026-01"], freq="M")})
    frame["source"] = pd.Categorical(["paid"])
    assert format_table(frame, format="csv") == '"month","source"\n"2026-01","paid"\n'
    write_table(frame, tmp_path / "t.parquet")


def test_the_table_given_is_not_changed(people, tmp_path):
    before = people.copy(deep=True)
    write_table(people, tmp_path / "t.csv")
    pd.testing.assert_frame_equal(people, before)


def test_unknown_formats_name_the_known_ones(people, tmp_path):
    with pytest.raises(SettingError, match=r"one of \.csv, \.parquet.*got 't\.pdf'"):
        write_table(people, tmp_path / "t.pdf")
    with pytest.raises(SettingError, match="'csv', 'json', 'md'; got 'xml'"):
        format_table(people, format="xml")
    assert list(tmp_path.iterdir()) == []


def test_no_xlsxwriter_names_the_extra(people, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(FileError, match=r'pip install "selfloop\[excel\]"') as error:
        write_table(people, tmp_path / "t.xlsx")
    assert error.value.code == "SL146"
    assert list(tmp_path.iterdir()) == []


def test_a_sheet_that_is_too_long_or_too_wide_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(excel, "MAX_ROWS", 2)
    with pytest.raises(FileError, match="more than 2 rows"):
        write_table(pd.DataFrame({"a": [1, 2, 3]}), tmp_path / "t.xlsx")
    with pytest.raises(FileError, match="a text over 32,767 long"):
        write_table(pd.DataFrame({"a": ["x" * 32_768]}), tmp_path / "t.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_missing_folder(people, tmp_path):
    with pytest.raises(FileError, match=r"there is no folder .*nowhere") as error:
        write_table(people, tmp_path / "nowhere" / "t.csv")
    assert error.value.code == "SL140"
    assert "mkdir -p" in str(error.value)


def test_a_folder_is_no_target(people, tmp_path):
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(FileError, match="it is a folder") as error:
        write_table(people, tmp_path / "t.csv")
    assert error.value.code == "SL143"


def test_no_permission(people, tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    # The superuser may write anywhere, so the refusal is played.
    monkeypatch.setattr(files.Path, "mkdir", refuse)
    with pytest.raises(FileError, match="permission denied") as error:
        write_table(people, tmp_path / "t.csv")
    assert error.value.code == "SL141"


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json", "md", "xlsx"])
@pytest.mark.parametrize("kind", ["frame", "engine"])
def test_a_full_disk_leaves_nothing_behind(kind, suffix, tmp_path):
    # A process that may write no file over 20 KB stands for a disk that is full.
    code = """
import resource, sys, ibis, numpy as np, pandas as pd
from selfloop.outputs.tables import write_table
from selfloop.core.errors import FileError
frame = pd.DataFrame({"a": np.random.default_rng(1).normal(size=20_000)})
table = frame if sys.argv[1] == "frame" else ibis.memtable({"a": frame["a"].to_numpy()})
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_table(table, sys.argv[2])
except FileError as error:
    print(error.code)
"""
    target = tmp_path / f"t.{suffix}"
    target.write_text("the older file")
    done = subprocess.run([sys.executable, "-c", code, kind, str(target)],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.stdout == "SL142\n", done.stderr
    assert target.read_text() == "the older file"
    assert [p.name for p in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("stop", [KeyboardInterrupt("stop"), RuntimeError("stop")])
def test_an_interruption_leaves_nothing_behind(stop, tmp_path):
    target = tmp_path / "t.csv"
    target.write_text("the older file")

    def interrupted():
        with whole_file(target) as place:
            place.write_text("half a f")
            raise stop

    with pytest.raises(type(stop), match="stop"):
        interrupted()
    assert target.read_text() == "the older file"
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_a_link_is_followed_and_modes_are_usual(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "a.txt")
    with whole_file(tmp_path / "link.txt") as place:
        place.write_text("x")
    assert (tmp_path / "link.txt").is_symlink()
    mask = os.umask(0)
    os.umask(mask)
    made = tmp_path / "real" / "a.txt"
    assert made.stat().st_mode & 0o777 == 0o666 & ~mask
