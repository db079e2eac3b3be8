"""Files as they are found: encoding, delimiter, header, and a suffix that is true."""

import codecs
import csv
import gzip
import io
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from selfloop.core.errors import DataError, FileError, Problem

_CHUNK = 1 << 20
_MAGIC = {
    b"PAR1": "Parquet",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "an Excel workbook or zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"ARROW1": "Arrow",
    b"{\\rtf": "rich text",
}
_MARKUP = (b"<!doctype", b"<html", b"<table", b"<?xml")
_SUFFIXES = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_ENCODINGS = ("utf-8-sig", "gb18030")
_HEADER_LINES = 100  # a quoted name may hold line breaks, but not this many


@dataclass(frozen=True)
class TextFile:
    """A text file that the engine can read as UTF-8.

    Parameters
    ----------
    path : Path
        The file itself, or its UTF-8 copy.
    name : str
        Name of the file that was given.
    encoding : str
        Encoding that was found.
    zipped : bool
        Whether `path` is gzip data.
    delimiter : str
        Character between the fields.
    header : tuple of str
        Column names; a column without a name is ``(column 3)``.
    n_skip : int
        Blank lines before the header.
    """

    path: Path
    name: str
    encoding: str
    zipped: bool
    delimiter: str = ""
    header: tuple[str, ...] = ()
    n_skip: int = 0


def file_kind(path: Path, table: str) -> str:
    """Tell how to read a file, after checking that its content fits its suffix.

    Parameters
    ----------
    path : Path
        An existing file.
    table : str
        Input table it is for, for the message.

    Returns
    -------
    str
        ``csv``, ``tsv``, ``parquet`` or ``jsonl``.

    Raises
    ------
    FileError
        The file cannot be read (SL105).
    DataError
        The suffix is unknown or untrue (SL106, SL107), or the file is empty (SL103).
    """
    suffixes = [s.lower() for s in path.suffixes]
    zipped = bool(suffixes) and suffixes[-1] == ".gz"
    if zipped:
        suffixes = suffixes[:-1]
    kind = _SUFFIXES.get(suffixes[-1] if suffixes else "")
    if kind is None:
        raise DataError([_unknown_suffix(path, table)])
    with open_file(path, table) as file:
        head = file.read(64)
    found = _content(head)
    expected = "gzip" if zipped else "Parquet" if kind == "parquet" else None
    if not head:
        raise DataError(
            [Problem("SL103", table, f"{path.name} is empty", "check the export")]
        )
    if found != expected:
        content = found or "plain text"
        raise DataError(
            [
                Problem(
                    "SL106",
                    table,
                    f"{path.name} is not what its suffix says: it holds {content}",
                    "rename it to its true type, or export it again as CSV in UTF-8",
                )
            ]
        )
    return kind


def _content(head: bytes) -> str | None:
    """Name what the first bytes show; None for plain text."""
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    if head.lstrip().lower().startswith(_MARKUP):
        return "a web page or XML"
    return None


def open_file(path: Path, table: str) -> IO[bytes]:
    """Open a file for reading, or say why it cannot be read.

    Parameters
    ----------
    path : Path
        File to open.
    table : str
        Input table it is for, for the message.

    Raises
    ------
    FileError
        The file cannot be read (SL105).
    """
    try:
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise FileError([cannot_read(path, table, error)]) from error


def cannot_read(path: Path, table: str, error: Exception) -> Problem:
    """Say that a file cannot be read, and why."""
    why = getattr(error, "strerror", None) or str(error)
    return Problem(
        "SL105",
        table,
        f"{path} cannot be read: {why}",
        "check the path and the read permission",
    )


def _unknown_suffix(path: Path, table: str) -> Problem:
    """Say that the kind of file is not known."""
    fix = "use .csv, .csv.gz, .tsv, .parquet or .jsonl"
    if path.suffix.lower() in {".xlsx", ".xls"}:
        fix = "save the sheet as CSV (UTF-8) or pass it as a pandas table"
    return Problem("SL107", table, f"{path.name} has an unknown type", fix)


def as_utf8(path: Path, kind: str, table: str, folder: Path) -> TextFile:
    """Find the encoding of a text file and give the engine a UTF-8 file.

    Parameters
    ----------
    path : Path
        Text file, gzipped or not.
    kind : str
        ``csv``, ``tsv`` or ``jsonl``.
    table : str
        Input table it is for, for messages.
    folder : Path
        Where a converted copy may be written.

    Returns
    -------
    TextFile
        The file as it is when it is UTF-8 with one kind of line end; else a copy
        that is.

    Raises
    ------
    FileError
        The file cannot be read (SL105).
    DataError
        No known encoding fits (SL108), the gzip data are damaged (SL106), or there
        is no header (SL103).
    """
    try:
        encoding, is_mixed = _encoding(path, table)
        source, zipped = path, path.suffix.lower() == ".gz"
        if encoding != "utf-8-sig" or is_mixed:
            source, zipped = _utf8_copy(path, encoding, table, folder), False
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        problem = Problem(
            "SL106", table, f"{path.name} is damaged gzip data", "export it again"
        )
        raise DataError([problem]) from error
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError([cannot_read(path, table, error)]) from error
    found = TextFile(source, path.name, encoding, zipped)
    return found if kind == "jsonl" else _with_header(found, kind, table)


def _raw(path: Path, table: str) -> IO[bytes]:
    """Open a file, unzipping it on the way."""
    file = open_file(path, table)
    if path.suffix.lower() != ".gz":
        return file
    zipped = gzip.GzipFile(fileobj=file)
    # By default a GzipFile leaves the file that it was given open.
    zipped.myfileobj = file  # type: ignore[assignment]
    return zipped  # type: ignore[return-value]


def _decoded(
    path: Path, encoding: str, table: str, lines: io.IncrementalNewlineDecoder
) -> Iterator[str]:
    """Yield the text of a file in pieces, failing on the first bad byte."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with _raw(path, table) as file:
        while chunk := file.read(_CHUNK):
            yield lines.decode(decoder.decode(chunk))
    yield lines.decode(decoder.decode(b"", final=True), final=True)


def _encoding(path: Path, table: str) -> tuple[str, bool]:
    """Find the first encoding that fits every byte, and whether line ends differ."""
    with _raw(path, table) as file:
        head = file.read(2)
    tried = ("utf-16",) if head in (b"\xff\xfe", b"\xfe\xff") else _ENCODINGS
    for encoding in tried:
        lines = io.IncrementalNewlineDecoder(None, translate=False)
        try:
            for _ in _decoded(path, encoding, table, lines):
                pass
        except UnicodeDecodeError:
            continue
        return encoding, isinstance(lines.newlines, tuple)
    raise DataError([_unknown_encoding(path.name, table)])


def _unknown_encoding(name: str, table: str) -> Problem:
    """Say that a text cannot be decoded."""
    return Problem(
        "SL108",
        table,
        f"{name} is neither UTF-8 nor GB18030 text",
        "save it again as CSV in UTF-8",
    )


def _utf8_copy(path: Path, encoding: str, table: str, folder: Path) -> Path:
    """Write a copy in UTF-8 with one kind of line end, and return where it is."""
    lines = io.IncrementalNewlineDecoder(None, translate=True)
    try:
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as out:
            for text in _decoded(path, encoding, table, lines):
                out.write(text.encode())
    except (FileError, gzip.BadGzipFile):
        raise
    except OSError as error:
        found = f"{path.name} cannot be converted to UTF-8: {error.strerror}"
        fix = "make room on the disk of temporary files"
        raise FileError([Problem("SL160", table, found, fix)]) from error
    return Path(out.name)


def _with_header(file: TextFile, kind: str, table: str) -> TextFile:
    """Read the header and the delimiter that splits it best."""
    with _raw(file.path, table) as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        first, n_skip = lines.readline(), 0
        while first and not first.strip():
            first, n_skip = lines.readline(), n_skip + 1
        for _ in range(_HEADER_LINES):
            if first.count('"') % 2 == 0:
                break
            first += lines.readline()
    if "\0" in first:
        # UTF-16 or UTF-32 without a mark: every other byte is zero.
        raise DataError([_unknown_encoding(file.name, table)])
    is_tabbed = kind == "tsv" and "\t" in first
    bare = re.sub(r'"([^"]|"")*"', "", first)
    delimiter = "\t" if is_tabbed else max(",\t;|", key=bare.count)
    fields = next(csv.reader(io.StringIO(first, newline=""), delimiter=delimiter), [])
    if not any(name.strip() for name in fields):
        raise DataError(
            [Problem("SL103", table, f"{file.name} has no header line", "add one")]
        )
    header = tuple(
        name.strip() or f"(column {i})" for i, name in enumerate(fields, start=1)
    )
    return replace(file, delimiter=delimiter, header=header, n_skip=n_skip)


def copy_stream(source: IO[bytes], target: Path) -> None:
    """Write a stream such as standard input to a file."""
    with target.open("wb") as out:
        shutil.copyfileobj(source, out)
