"""Opening the input tables: columns found, types given, bad rows named."""

import re
from collections.abc import Mapping
from datetime import date

import duckdb

from selfloop.core import schema
from selfloop.core.errors import DataError, FileError, Problem, SettingError
from selfloop.core.settings import OnBadRows, Progress, Rules, check_choice
from selfloop.inputs.columns import ColumnMap, check_map, match_columns
from selfloop.inputs.currency import comma_decimals, currency_problems
from selfloop.inputs.engine import Engine
from selfloop.inputs.read import Raw, read_table
from selfloop.inputs.strptime import unread
from selfloop.inputs.typed import time_notation
from selfloop.inputs.validate import (
    USED,
    Counts,
    Reading,
    Typed,
    bad_rows,
    typed_table,
)


def date_formats(
    date_format: str | Mapping[str, str] | None, engine: Engine
) -> dict[str, str]:
    """Return the date format of each table that has one, after checking it.

    Parameters
    ----------
    date_format : str, mapping or None
        One format for all tables, or one per table.
    engine : Engine
        Which has to understand it.

    Returns
    -------
    dict of str to str

    Raises
    ------
    SettingError
        A table is unknown, or a format is not understood.
    """
    if date_format is None:
        return {}
    if isinstance(date_format, str):
        date_format = dict.fromkeys(schema.INPUT_ROLES, date_format)
    for table, words in date_format.items():
        check_choice("a table of date_format", table, list(schema.INPUT_ROLES))
        check_date_format(words, engine)
    return dict(date_format)


def check_date_format(date_format: str, engine: Engine) -> None:
    """Raise unless a date format names year, month and day in words of the engine.

    Parameters
    ----------
    date_format : str
        Format in the notation of ``strptime``.
    engine : Engine
        Engine that will use it.

    Raises
    ------
    SettingError
        The format cannot be used; the message says why.
    """
    # Without a year every date would be in 1900.
    needed = {"year": "[Yy]", "month": "-?[mbBj]", "day": "-?[dj]"}
    lost = [what for what, words in needed.items()
            if not re.search(f"%{words}", date_format)]  # fmt: skip
    why = f"it has no {' and no '.join(lost)}" if lost else ""
    if "%Z" in date_format:
        why = "a zone can be read as an offset, %z, but not by its name, %Z"
    if engine.reads_formats:
        try:
            engine.backend.con.execute("SELECT try_strptime('x', ?)", [date_format])
        except duckdb.InvalidInputException as error:
            why = why or str(error).splitlines()[0]
    elif strange := unread(date_format):
        why = why or f"{', '.join(strange)} cannot be read on {engine.backend.name}"
    if why:
        raise SettingError(
            "date_format must be a format of strptime such as '%d/%m/%Y'; "
            f"got {date_format!r}: {why}"
        )


def open_tables(
    sources: Mapping[str, object],
    columns: ColumnMap | None,
    engine: Engine,
    say: Progress,
) -> tuple[dict[str, Raw], dict[str, dict[str, str]]]:
    """Read all tables and find their columns; raise all problems at once.

    Parameters
    ----------
    sources : mapping of str to object
        Table to what the user gave for it.
    columns : mapping or None
        The user's own mapping of columns.
    engine : Engine
        Where the tables go.
    say : callable
        Told each step.

    Returns
    -------
    raws : dict of str to Raw
        The tables as they were found.
    matched : dict of str to dict
        Role to column, by table.

    Raises
    ------
    DataError, FileError
        Anything cannot be read or matched; all problems are listed.
    """
    problems, n_unread = check_map(columns), 0
    raws: dict[str, Raw] = {}
    matched: dict[str, dict[str, str]] = {}
    for name, source in sources.items():
        say(f"reading {name}")
        try:
            raws[name] = read_table(source, name, engine)
        except (DataError, FileError) as error:
            problems += error.problems
            n_unread += isinstance(error, FileError)
            continue
        found = list(raws[name].table.columns)
        matched[name], wrong = match_columns(name, found, columns)
        problems += wrong
    if n_unread:
        raise FileError(problems)
    if problems:
        raise DataError(problems)
    return raws, matched


def type_tables(
    raws: dict[str, Raw],
    matched: dict[str, dict[str, str]],
    rules: Rules,
    end: date | None,
    formats: Mapping[str, str],
    engine: Engine,
) -> tuple[dict[str, Typed], list[tuple[str, str, str]]]:
    """Give every table its types; collect notes on zones.

    Parameters
    ----------
    raws, matched
        As returned by `open_tables`.
    rules : Rules
        Zone of the analysis.
    end : date or None
        Last day of observation when the user gave one.
    formats : mapping of str to str
        Format of dates by table.
    engine : Engine
        Where typed tables are kept.

    Returns
    -------
    typed : dict of str to Typed
        Typed rows with one code each.
    notes : list of tuple
        (code, table, text) of things to know.

    Raises
    ------
    DataError
        Day and month cannot be told apart, or there are two currencies.
    """
    problems: list[Problem] = []
    notes: list[tuple[str, str, str]] = []
    readings: dict[str, Reading] = {}
    for name, raw in raws.items():
        role = next(r.name for r in schema.INPUT_ROLES[name] if r.kind == "time")
        column = matched[name][role]
        day_first, n_aware, n_naive, problem = time_notation(
            raw.table[column], name, column
        )
        if problem is not None and name not in formats:
            problems.append(problem)
        if n_aware and n_naive:
            notes.append(
                (
                    "SL151",
                    name,
                    f"{n_aware:,} times carry a zone and {n_naive:,} do not; "
                    f"those without are taken in {rules.timezone}",
                )
            )
        readings[name] = Reading(rules, end, formats.get(name), day_first)
    problems += currency_problems(raws["orders"].table, matched["orders"])
    if problems:
        raise DataError(problems)
    typed = {
        name: typed_table(name, raws[name], matched[name], readings[name], engine)
        for name in raws
    }
    return typed, notes


def check_tables(
    typed: dict[str, Typed], counts: dict[str, Counts], on_bad_rows: OnBadRows
) -> None:
    """Raise one error for every empty table and, if asked, every bad row.

    Parameters
    ----------
    typed : dict of str to Typed
        The typed tables.
    counts : dict of str to Counts
        Their rows by code.
    on_bad_rows : {"raise", "quarantine"}
        Whether rows that cannot be read are an error.

    Raises
    ------
    DataError
        All problems found.
    """
    problems: list[Problem] = []
    for name, table in typed.items():
        if counts[name].n_rows() == 0:
            fix = "check the export"
            if name != "orders":
                fix += f", or leave {name} out when there are none"
            problems.append(Problem("SL103", name, "the table has no rows", fix))
            continue
        problems += comma_decimals(table, counts[name])
        if on_bad_rows == "raise":
            problems += bad_rows(table, counts[name])
    orders = counts["orders"]
    if not problems and not orders.n_rows(USED, "SL120"):
        problems += bad_rows(typed["orders"], orders) or [
            Problem("SL103", "orders", "no order lies before end", "choose a later end")
        ]
    if problems:
        raise DataError(problems)
