"""Files as they are found: encoding, delimiter, header, and whether the suffix is true."""

import codecs
import csv
import gzip
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class TextFile:
    """A text file that the engine can read as UTF-8.

    Parameters
    ----------
    path : Path
        The file itself, or its UTF-8 copy.
    encoding : str
        Encoding that was found.
    delimiter : str
        Character between the fields.
    header : tuple of str
        Column names of the first line.
    """

    path: Path
    encoding: str
    delimiter: str
    header: tuple[str, ...]


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
        head = file.read(8)
    found = next(
        (name for magic, name in _MAGIC.items() if head[: len(magic)] == magic), None
    )
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
    except OSError as error:
        raise FileError([cannot_read(path, table, error)]) from error


def cannot_read(path: Path, table: str, error: OSError) -> Problem:
    """Say that a file cannot be read, and why."""
    why = error.strerror or type(error).__name__
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
        The file as it is when it is UTF-8; else its copy in UTF-8.

    Raises
    ------
    DataError
        No known encoding fits (SL108), or the gzip data are damaged (SL106).
    """
    try:
        encoding = _encoding(path, table)
        source = path
        if encoding != "utf-8-sig":
            source = (
                folder / f"{path.name.removesuffix('.gz')}.utf8{path.stat().st_ino}"
            )
            with open(source, "wb") as out:
                for text in _decoded(path, encoding, table):
                    out.write(text.encode())
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            raise FileError([cannot_read(path, table, error)]) from error
        problem = Problem(
            "SL106", table, f"{path.name} is damaged gzip data", "export it again"
        )
        raise DataError([problem]) from error
    if kind == "jsonl":
        return TextFile(source, encoding, "", ())
    delimiter, header = _header(source, kind, table)
    return TextFile(source, encoding, delimiter, header)


def _raw(path: Path, table: str) -> IO[bytes]:
    """Open a file, unzipping it on the way."""
    file = open_file(path, table)
    return gzip.GzipFile(fileobj=file) if path.suffix.lower() == ".gz" else file  # type: ignore[return-value]


def _decoded(path: Path, encoding: str, table: str) -> Iterator[str]:
    """Yield the text of a file in pieces, failing on the first bad byte."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with _raw(path, table) as file:
        while chunk := file.read(_CHUNK):
            yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _encoding(path: Path, table: str) -> str:
    """Find the first encoding that fits every byte."""
    with _raw(path, table) as file:
        head = file.read(2)
    tried = ("utf-16",) if head in (b"\xff\xfe", b"\xfe\xff") else _ENCODINGS
    for encoding in tried:
        try:
            for _ in _decoded(path, encoding, table):
                pass
        except UnicodeDecodeError:
            continue
        return encoding
    raise DataError(
        [
            Problem(
                "SL108",
                table,
                f"{path.name} is neither UTF-8 nor GB18030 text",
                "save it again as CSV in UTF-8",
            )
        ]
    )


def _header(path: Path, kind: str, table: str) -> tuple[str, tuple[str, ...]]:
    """Read the first line and the delimiter that splits it best."""
    with _raw(path, table) as file:
        lines = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        first = lines.readline()
        while first and not first.strip():
            first = lines.readline()
    delimiter = "\t" if kind == "tsv" else max(",\t;|", key=first.count)
    header = next(csv.reader([first], delimiter=delimiter), [])
    names = tuple(name.strip() for name in header)
    if not any(names):
        raise DataError(
            [Problem("SL103", table, f"{path.name} has no header line", "add one")]
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            [
                Problem(
                    "SL102",
                    table,
                    f"{path.name} has two columns named {', '.join(map(repr, twice))}",
                    "rename one of them",
                )
            ]
        )
    return delimiter, names


def copy_stream(source: IO[bytes], target: Path) -> None:
    """Write a stream such as standard input to a file."""
    with target.open("wb") as out:
        shutil.copyfileobj(source, out)
