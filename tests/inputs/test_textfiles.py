import gzip
import os
import pickle
import threading
from contextlib import contextmanager

import pytest

from selfloop.core.errors import DataError, FileError
from selfloop.inputs.textfiles import as_utf8, copy_stream, file_kind, open_file

HEADER = "customer_id,ordered_at,amount\n"
ROWS = "a,2026-01-01,1\nb,2026-01-02,2\n"


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@contextmanager
def as_nobody():
    """Run as a user whom permissions concern, even where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


# What a file is


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", HEADER, "csv"),
        ("a.CSV", HEADER, "csv"),
        ("a.txt", HEADER, "csv"),
        ("a.tsv", HEADER, "tsv"),
        ("a.csv.gz", gzip.compress(HEADER.encode(), mtime=0), "csv"),
        ("a.CSV.GZ", gzip.compress(HEADER.encode(), mtime=0), "csv"),
        ("a.parquet", b"PAR1....", "parquet"),
        ("a.pq", b"PAR1....", "parquet"),
        ("a.jsonl", "{}\n", "jsonl"),
        ("a.ndjson.gz", gzip.compress(b"{}", mtime=0), "jsonl"),
        ("2026.01.csv", HEADER, "csv"),
    ],
)
def test_kind_of_a_file(write, name, content, kind):
    assert file_kind(write(name, content), "orders") == kind


@pytest.mark.parametrize(
    ("name", "content", "holds"),
    [
        ("a.csv", b"PAR1....", "Parquet"),
        ("a.csv", gzip.compress(b"x", mtime=0), "gzip"),
        ("a.csv", b"PK\x03\x04....", "an Excel workbook or zip archive"),
        ("a.csv", b"\xd0\xcf\x11\xe0....", "an old Excel workbook"),
        ("a.csv", b"%PDF-1.4", "a PDF"),
        ("a.csv", b"ARROW1..", "Arrow"),
        ("a.csv", b"{\\rtf1 x", "rich text"),
        ("a.csv", "<!DOCTYPE html><html>", "a web page or XML"),
        ("a.csv", "\n <HTML>", "a web page or XML"),
        ("a.csv", '<?xml version="1.0"?>', "a web page or XML"),
        ("a.parquet", HEADER, "plain text"),
        ("a.csv.gz", HEADER, "plain text"),
        ("a.jsonl", b"PAR1....", "Parquet"),
    ],
)
def test_a_file_that_is_not_what_its_suffix_says(write, name, content, holds):
    with pytest.raises(DataError, match=f"SL106.*it holds {holds}"):
        file_kind(write(name, content), "orders")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a.xlsx", "save the sheet as CSV"),
        ("a.xls", "save the sheet as CSV"),
        ("a.dat", "use .csv"),
        ("a", "use .csv"),
        ("a.gz", "use .csv"),
    ],
)
def test_a_suffix_that_is_not_known(write, name, advice):
    with pytest.raises(DataError, match=f"(?s)SL107.*{advice}"):
        file_kind(write(name, HEADER), "orders")


def test_an_empty_file(write):
    with pytest.raises(DataError, match=r"SL103.*a\.csv is empty"):
        file_kind(write("a.csv", ""), "orders")


@pytest.mark.parametrize(
    ("name", "why"),
    [("no.csv", "No such file"), ("a\0b.csv", "null byte"), ("d/x.csv", "No such")],
)
def test_a_file_that_is_not_there(tmp_path, name, why):
    with pytest.raises(FileError, match=f"SL105.*cannot be read: .*{why}"):
        file_kind(tmp_path / name, "orders")


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(FileError, match=r"SL105.*Is a directory"):
        file_kind(tmp_path / "x.csv", "orders")


def test_a_file_without_read_permission(tmp_path, write):
    path = write("secret.csv", HEADER + ROWS)
    path.chmod(0)
    # The folders above must let anybody through, or they would be the reason.
    for folder in tmp_path.parents[:3]:
        if folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    with as_nobody(), pytest.raises(FileError, match=r"SL105.*Permission denied"):
        file_kind(path, "orders")


def test_a_folder_without_permission(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "x.csv").write_text(HEADER)
    folder.chmod(0)
    with as_nobody(), pytest.raises(FileError, match=r"SL105.*Permission denied"):
        open_file(folder / "x.csv", "orders")


def test_file_errors_survive_pickling(tmp_path):
    with pytest.raises(FileError, match="SL105") as caught:
        open_file(tmp_path / "no.csv", "orders")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.problems == caught.value.problems


# Encodings


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8-sig"),
        ("utf-8-sig", "utf-8-sig"),
        ("gb18030", "gb18030"),
        ("gbk", "gb18030"),
        ("utf-16", "utf-16"),
    ],
)
def test_encodings_are_found(write, scratch, encoding, found, suffix):
    content = "客户ID,下单时间,金额\n张三,2026-01-01,1\n".encode(encoding)
    path = write(
        "a.csv" + suffix, gzip.compress(content, mtime=0) if suffix else content
    )
    file = as_utf8(path, "csv", "orders", scratch)
    assert file.encoding == found
    assert file.name == path.name
    assert file.header == ("客户ID", "下单时间", "金额")
    if found == "utf-8-sig":
        assert file.path == path
    else:
        assert file.path.read_text("utf-8").endswith("张三,2026-01-01,1\n")
        assert file.path.parent == scratch
        assert not file.zipped
    assert path.read_bytes() == (gzip.compress(content, mtime=0) if suffix else content)


def test_utf16_big_endian(write, scratch):
    path = write("a.csv", b"\xfe\xff" + HEADER.encode("utf-16-be"))
    assert as_utf8(path, "csv", "orders", scratch).encoding == "utf-16"


@pytest.mark.parametrize(
    "content",
    [
        HEADER.encode() + b"\xff\xff\xff,2026-01-01,1\n",
        (HEADER + "José,2026-01-01,1\n").encode("latin-1"),
        HEADER.encode("utf-16-le"),
        HEADER.encode("utf-16-be"),
        HEADER.encode("utf-32"),
        b"\xff\xfe" + HEADER.encode("utf-16-le")[:-1],
        bytes(range(1, 256)),
    ],
    ids=["bytes", "latin-1", "16le", "16be", "utf-32", "cut", "any"],
)
def test_an_encoding_that_is_not_known(write, scratch, content):
    with pytest.raises(DataError, match=r"SL108.*neither UTF-8 nor GB18030"):
        as_utf8(write("a.csv", content), "csv", "orders", scratch)


def test_a_character_cut_by_a_chunk_is_read(write, scratch, monkeypatch):
    monkeypatch.setattr("selfloop.inputs.textfiles._CHUNK", 7)
    text = HEADER + "客户张三李四,2026-01-01,1\r\nb,2026-01-02,2\n"
    path = write("a.csv", text.encode("gb18030"))
    file = as_utf8(path, "csv", "orders", scratch)
    assert file.path.read_text("utf-8") == text.replace("\r", "")


# Damaged gzip


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-20],
        lambda data: data[:30],
        lambda data: data[:20] + b"\xff" * 40 + data[60:],
        lambda data: data[:-8] + b"\0" * 8,
    ],
    ids=["cut", "short", "overwritten", "checksum"],
)
def test_damaged_gzip(write, scratch, damage):
    rows = "".join(f"a{i},2026-01-01,{i * 7919 % 1000}\n" for i in range(2_000))
    path = write("a.csv.gz", damage(gzip.compress((HEADER + rows).encode())))
    with pytest.raises(DataError, match=r"SL106.*damaged gzip|SL108"):
        as_utf8(path, "csv", "orders", scratch)


def test_no_file_stays_open(write, scratch, recwarn):
    path = write("a.csv.gz", gzip.compress((HEADER + "张\n").encode("gb18030")))
    as_utf8(path, "csv", "orders", scratch)
    assert not [w for w in recwarn if issubclass(w.category, ResourceWarning)]


# Header and delimiter


@pytest.mark.parametrize(
    ("first", "delimiter"),
    [
        ("a,b,c\n", ","),
        ("a;b;c\n", ";"),
        ("a\tb\tc\n", "\t"),
        ("a|b|c\n", "|"),
        ("a;b,1;c;d\n", ";"),
        ('"a,1,2";"b"\n', ";"),
    ],
)
def test_delimiters(write, scratch, first, delimiter):
    file = as_utf8(write("a.csv", first), "csv", "orders", scratch)
    assert file.delimiter == delimiter


def test_a_tsv_may_hold_commas_and_a_csv_tabs(write, scratch):
    tabs = as_utf8(write("a.tsv", "a,b\tc\n"), "tsv", "orders", scratch)
    commas = as_utf8(write("b.tsv", "a,b\n"), "tsv", "orders", scratch)
    assert tabs.header == ("a,b", "c")
    assert commas.header == ("a", "b")


@pytest.mark.parametrize(
    ("text", "header", "n_skip"),
    [
        ("a,b\n", ("a", "b"), 0),
        ("a,b", ("a", "b"), 0),
        (" a , b \r\n1,2\r\n", ("a", "b"), 0),
        ("\n  \n\na,b\n1,2\n", ("a", "b"), 3),
        (",a,b,\n", ("(column 1)", "a", "b", "(column 4)"), 0),
        ('"a\nx",b\n1,2\n', ("a\nx", "b"), 0),
        ('"a ""q""",b\n', ('a "q"', "b"), 0),
        ("\ufeffa,b\n", ("a", "b"), 0),
    ],
)
def test_headers(write, scratch, text, header, n_skip):
    file = as_utf8(write("a.csv", text), "csv", "orders", scratch)
    assert file.header == header
    assert file.n_skip == n_skip


@pytest.mark.parametrize("text", ["\n\n", "\ufeff", ",,,\n", "  \n"])
def test_no_header(write, scratch, text):
    with pytest.raises(DataError, match=r"SL103.*no header"):
        as_utf8(write("a.csv", text), "csv", "orders", scratch)


# Line ends


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_one_kind_of_line_end_needs_no_copy(write, scratch, end):
    path = write("a.csv", (HEADER + ROWS).replace("\n", end))
    assert as_utf8(path, "csv", "orders", scratch).path == path


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "a,2026-01-01,1\r\nb,2026-01-02,2\n",
        HEADER.replace("\n", "\r\n") + "a,2026-01-01,1\r\nb,2026-01-02,2\n",
        HEADER + "a,2026-01-01,1\rb,2026-01-02,2\n",
    ],
)
def test_mixed_line_ends_are_made_one_kind_in_a_copy(write, scratch, text):
    file = as_utf8(write("a.csv", text), "csv", "orders", scratch)
    assert file.path.parent == scratch
    assert file.path.read_bytes().decode() == HEADER + ROWS


def test_two_files_of_one_name_get_two_copies(tmp_path, scratch):
    paths = []
    for folder, who in (("x", "张"), ("y", "李")):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "a.csv"
        path.write_bytes((HEADER + who).encode("gb18030"))
        paths.append(as_utf8(path, "csv", "orders", scratch).path)
    assert [p.read_text("utf-8")[-1] for p in paths] == ["张", "李"]


def test_no_room_for_the_copy(write):
    path = write("a.csv", (HEADER + "张").encode("gb18030"))
    with pytest.raises(FileError, match=r"(?s)SL160.*cannot be converted.*make room"):
        as_utf8(path, "csv", "orders", path.parent / "no such folder")


def test_a_stream_is_written_to_a_file(tmp_path):
    reader, writer = os.pipe()

    def feed():
        with os.fdopen(writer, "wb") as out:
            out.write(HEADER.encode())

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reader, "rb") as stream:
        copy_stream(stream, tmp_path / "stdin.csv")
    thread.join()
    assert (tmp_path / "stdin.csv").read_text() == HEADER
