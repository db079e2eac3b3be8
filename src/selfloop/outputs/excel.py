"""Write one Excel sheet; the only place that knows xlsxwriter."""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from selfloop.core.errors import FileError, Problem

MAX_ROWS = 1_048_575
"""Rows of an Excel sheet under its heading."""

MAX_TEXT = 32_767
"""Characters of one cell."""


def write_sheet(
    names: Sequence[str], rows: Iterable[Sequence[object]], place: Path
) -> None:
    """Write one sheet, row by row, in which every text stays a text.

    Parameters
    ----------
    names : sequence of str
        Headings.
    rows : iterable of sequences
        Text, numbers, dates, times, flags; a missing value leaves its cell empty.
    place : pathlib.Path
        The file to make, ending in ``.xlsx``.

    Raises
    ------
    FileError
        ``SL145`` a sheet cannot hold the table, ``SL146`` the extra ``excel`` is
        not installed.

    Notes
    -----
    Texts are written as shared strings and never as formulas or links, so a
    customer called ``=1+1`` is shown and not run.
    """
    book = _workbook(place)
    sheet = book.add_worksheet("selfloop")
    try:
        n_rows = _fill(book, sheet, names, rows)
        sheet.autofilter(0, 0, max(n_rows, 1), max(len(names) - 1, 0))
        book.close()
    except _no_room() as error:
        raise error.args[0] from error
    finally:
        # After a failure its scratch file would stay open.
        sheet.row_data_fh.close()


def _fill(
    book: Any,  # noqa: ANN401 - the package has no types
    sheet: Any,  # noqa: ANN401
    names: Sequence[str],
    rows: Iterable[Sequence[object]],
) -> int:
    """Write headings and rows; return how many rows there were."""
    write = _cell_writer(sheet, book.add_format({"num_format": "yyyy-mm-dd"}))
    bold = book.add_format({"bold": True})
    sheet.freeze_panes(1, 0)
    for column, name in enumerate(names):
        sheet.set_column(column, column, max(10, len(name) + 2))
        sheet.write_string(0, column, name, bold)
    n_rows = 0
    for n_rows, row in enumerate(rows, start=1):
        if n_rows > MAX_ROWS:
            raise FileError([_too_large(f"more than {MAX_ROWS:,} rows")])
        for column, value in enumerate(row):
            if isinstance(value, str) and len(value) > MAX_TEXT:
                raise FileError([_too_large(f"a text over {MAX_TEXT:,} long")])
            write(n_rows, column, value)
    return n_rows


def _workbook(place: Path) -> Any:  # noqa: ANN401 - the package has no types
    """Open a workbook; without the extra ``excel`` say how to get it."""
    try:
        xlsxwriter = import_module("xlsxwriter")
    except ModuleNotFoundError as error:
        raise FileError([Problem(
            "SL146", "", "writing .xlsx needs the package xlsxwriter, which is not "
            "installed", 'pip install "selfloop[excel]", or write .csv',
            'pip install "selfloop[excel]", or -o with .csv',
        )]) from error  # fmt: skip
    return xlsxwriter.Workbook(
        str(place),
        {
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "constant_memory": True,
            "default_date_format": "yyyy-mm-dd hh:mm",
            "tmpdir": str(place.parent),
        },
    )


def _no_room() -> type[Exception]:
    """Return the error in which the package wraps an OSError."""
    error: type[Exception] = import_module("xlsxwriter.exceptions").FileCreateError
    return error


def _cell_writer(
    sheet: Any,  # noqa: ANN401
    day: Any,  # noqa: ANN401
) -> Callable[[int, int, object], None]:
    """Return a function that writes one value by its type."""

    def write(row: int, column: int, value: object) -> None:
        """Write one value; a missing one leaves the cell empty."""
        if isinstance(value, str):
            sheet.write_string(row, column, value)
        elif isinstance(value, bool):
            sheet.write_boolean(row, column, value)
        elif isinstance(value, datetime):
            sheet.write_datetime(row, column, value.replace(tzinfo=None))
        elif isinstance(value, date):
            sheet.write_datetime(row, column, value, day)
        elif isinstance(value, (int, float, Decimal)) and math.isfinite(value):
            sheet.write_number(row, column, value)

    return write


def _too_large(what: str) -> Problem:
    """Say that a sheet cannot hold a table."""
    return Problem(
        "SL145", "", f"an Excel sheet cannot hold the table: {what}",
        "write .parquet or .csv", "-o with .parquet or .csv",
    )  # fmt: skip
