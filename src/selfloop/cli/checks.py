"""Commands that look at the input: where each row ends, what each column is."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import pandas as pd

from selfloop.cli.manner import Lang, Manner, problem_lines, say
from selfloop.cli.mapping import column_map
from selfloop.cli.options import Inputs
from selfloop.cli.results import Form, Result, Section, deliver
from selfloop.cli.texts import sentence
from selfloop.cli.work import fetched, local, n_unreadable, read, size, working
from selfloop.core.display import format_value
from selfloop.core.errors import FileError, Problem
from selfloop.core.schema import INPUT_ROLES
from selfloop.inputs.columns import match_columns
from selfloop.inputs.duckdb_engine import connect
from selfloop.inputs.events import Events
from selfloop.inputs.read import read_table
from selfloop.inputs.validate import RAISING, REASONS
from selfloop.outputs.tables import write_table

CHECK_FAILED = 1

_OUTCOMES = ("used", "set_aside", "rejected")


def validate(
    inputs: Inputs,
    manner: Manner,
    *,
    strict: bool,
    failures: str | None,
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
    table: str | None,
) -> None:
    """Show where every row of the input ends.

    Parameters
    ----------
    inputs : Inputs
        Files and settings; rows that cannot be read are set aside.
    manner : Manner
        How the command speaks.
    strict : bool
        Leave with 1 when a row cannot be read.
    failures : str or None
        Folder for the rows that cannot be read.
    out, format, table
        See `selfloop.cli.results.Form`.

    Raises
    ------
    SystemExit
        With 1, under `strict`.
    """
    form = Form(out, format, table)
    form.check()
    folder = None if failures is None else _folder(Path(failures))
    with working(manner) as step:
        inputs = fetched(inputs, step)
        events = read(inputs, step)
        balance = balance_of(events.audit)
        written = [] if folder is None else _write_failures(events, inputs, folder)
    n = n_unreadable(events)
    result = Result(
        "validate",
        {"audit": events.audit, "balance": balance, "notes": events.notes},
        {"end": events.end.isoformat(), "n_rejected": n},
        _sums(balance, manner.voice),
        [Section("audit", events.audit.drop(columns=["examples", "fix"]), "audit")],
        [*_reasons(events.audit), *_notes(events)],
    )
    deliver(result, form, manner)
    _tell_failures(events, written, folder, manner)
    if strict and n:
        raise SystemExit(CHECK_FAILED)


def _reasons(audit: pd.DataFrame) -> list[str]:
    """Say for each reason which rows it was and what to do about them."""
    return [
        f"{row.code} {row.table}, {row.reason}: {row.examples}\n    {row.fix}"
        for row in audit[audit["code"] != ""].itertuples()
    ]


def _notes(events: Events) -> list[str]:
    """Write the notes on the data."""
    return [f"{n.code} {n.table}: {n.note}" for n in events.notes.itertuples()]


def balance_of(audit: pd.DataFrame) -> pd.DataFrame:
    """Add up the audit: what was read is what was used, set aside and rejected.

    Parameters
    ----------
    audit : DataFrame
        Columns of `selfloop.core.schema.AUDIT`.

    Returns
    -------
    DataFrame
        table; n_read, n_used, n_set_aside, n_rejected; the same of amounts, missing
        for tables without money.
    """
    lines = []
    for table, part in audit.groupby("table", sort=False):
        line: dict[str, Any] = {"table": table, "n_read": int(part["n_rows"].sum())}
        money = part["amount"].notna().any()
        sums = {o: part[part["outcome"] == o] for o in _OUTCOMES}
        line |= {f"n_{o}": int(rows["n_rows"].sum()) for o, rows in sums.items()}
        line["amount_read"] = _total(part) if money else None
        line |= {f"amount_{o}": _total(r) if money else None for o, r in sums.items()}
        lines.append(line)
    return pd.DataFrame(lines)


def _total(rows: pd.DataFrame) -> Decimal:
    """Add up amounts exactly; rows whose amount cannot be read add nothing."""
    return sum((Decimal(a) for a in rows["amount"].dropna()), Decimal(0))


def _sums(balance: pd.DataFrame, lang: Lang) -> list[tuple[str, str]]:
    """Say for each table that rows and amounts add up."""
    lines = []
    for line in balance.to_dict("records"):
        ends = ("read", *_OUTCOMES)
        text = sentence("balance", lang, **{e: int(line[f"n_{e}"]) for e in ends})
        if not pd.isna(line["amount_read"]):
            money = {e: format_value(line[f"amount_{e}"], "money") for e in ends}
            text += sentence("amounts", lang, **money)
        lines.append((str(line["table"]), text))
    return lines


def _folder(folder: Path) -> Path:
    """Make the folder of the failures before any work."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        found = f"the folder {folder} cannot be made: {error.strerror or error}"
        fix = "make its parent folder first, or choose another"
        raise FileError([Problem("SL140", "", found, fix)]) from error
    return folder


def _write_failures(events: Events, inputs: Inputs, folder: Path) -> list[Path]:
    """Write the rows that cannot be read as they were found, one CSV per table."""
    written = []
    audit = events.audit
    bad = audit[(audit["outcome"] == "rejected") & (audit["code"] != "SL109")]
    for name in bad["table"].unique():
        path = folder / f"{name}_rejected.csv"
        write_table(_failed(events, name, inputs.sources[name]), path)
        written.append(path)
    return written


def _failed(events: Events, name: str, source: str) -> pd.DataFrame:
    """Return the rows of a table that cannot be read, as they were found."""
    rows = events.set_aside[name]
    codes = rows.select(row=ibis.row_number() + 1, code="code")
    codes = codes.filter(codes.code.isin(RAISING))
    found = read_table(source, name, events.engine).table
    found = found.mutate(sl_row=ibis.row_number() + 1)
    joined = codes.join(found, codes.row == found.sl_row).order_by("row")
    frame: pd.DataFrame = joined.drop("sl_row").to_pandas()
    reasons = [REASONS[code][0] for code in frame["code"]]
    frame.insert(2, "reason", reasons, allow_duplicates=True)
    return frame


def _tell_failures(
    events: Events, written: list[Path], folder: Path | None, manner: Manner
) -> None:
    """Say what was written, or that there is nothing to write."""
    if not n_unreadable(events):
        key = "passed" if folder is None else "no_failures"
        manner.tell(sentence(key, manner.voice))
        return
    for path in written:
        manner.tell(sentence("wrote", manner.voice, files=f"{path} ({size(path)})"))
    if folder is None:
        return
    lost = events.audit[events.audit["code"] == "SL109"]
    for line in lost.itertuples():
        values = {"table": line.table, "n": line.n_rows, "examples": line.examples}
        manner.tell(sentence("malformed", manner.voice, **values))


def columns(
    manner: Manner,
    *,
    file: str,
    table: str | None,
    map: tuple[str, ...],  # noqa: A002 - the name of the option
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
) -> None:
    """Show how each column of a file is recognised.

    Parameters
    ----------
    manner : Manner
        How the command speaks.
    file : str
        Path, glob or ``-``.
    table : str or None
        What the file is; guessed when None.
    map : tuple of str
        The user's own mapping.
    out, format
        See `selfloop.cli.results.Form`.

    Raises
    ------
    SystemExit
        With 1, when a required column is missing or ambiguous.
    """
    form = Form(out, format)
    form.check()
    with working(manner) as step:
        raw = read_table(local(file, step), table or "", connect())
        found = list(raw.table.columns)
        first = raw.table.limit(1).to_pyarrow().to_pylist()
    values = first[0] if first else dict.fromkeys(found)
    name = table or guess_table(found)
    given = column_map(map, [name])
    matched, problems = match_columns(name, found, given)
    result = Result(
        "columns",
        {"columns": recognised(name, found, matched, given.get(name, {}), values)},
        {"table": name, "source": raw.source},
    )
    shown = Section("", result.tables["columns"])
    deliver(
        Result(result.name, result.tables, result.facts, sections=[shown]),
        form,
        manner,
    )
    if table is None:
        manner.tell(sentence("guessed", manner.voice, table=name))
    for problem in problems:
        say(problem_lines(problem))
    if problems:
        raise SystemExit(CHECK_FAILED)


def guess_table(found: list[str]) -> str:
    """Return the input table whose required columns are best matched.

    Parameters
    ----------
    found : list of str
        Columns of a file.

    Returns
    -------
    str

    Examples
    --------
    >>> guess_table(["推荐人", "被推荐人", "推荐时间"])
    'referrals'
    """
    missing = {}
    for table, roles in INPUT_ROLES.items():
        matched, problems = match_columns(table, found, None)
        n_required = sum(role.need == "required" for role in roles)
        missing[table] = len(problems) / n_required - len(matched) / 100
    return min(missing, key=missing.__getitem__)


def recognised(
    table: str,
    found: list[str],
    matched: dict[str, str],
    given: dict[str, str],
    values: dict[str, Any],
) -> pd.DataFrame:
    """List the columns of a file with their roles, then the roles without a column.

    Parameters
    ----------
    table : str
        What the file is.
    found : list of str
        Its columns.
    matched : dict of str to str
        Role to column.
    given : dict of str to str
        The user's own mapping.
    values : dict
        Column to its first value.

    Returns
    -------
    DataFrame
        column, role, need, how (name, alias, mapped, unused or missing; for an
        amount also quantity x unit_price), example, map.
    """
    role_of = {column: role for role, column in matched.items()}
    need = {role.name: role.need for role in INPUT_ROLES[table]}
    lines = []
    for column in found:
        role = role_of.get(column)
        value = values[column]
        example = "" if value is None else str(value)
        flag = f"--map {table}.{role or 'ROLE'}={column}"
        how = _how(role, column, given)
        lines.append([column, role or "", need.get(role or "", ""), how, example, flag])
    has_factors = {"quantity", "unit_price"} <= set(matched)
    absent = {"amount": "quantity x unit_price"} if has_factors else {}
    lines += [
        [
            "",
            role,
            kind,
            absent.get(role, "missing"),
            "",
            f"--map {table}.{role}=COLUMN",
        ]
        for role, kind in need.items()
        if role not in matched
    ]
    names = ["column", "role", "need", "how", "example", "map"]
    return pd.DataFrame(lines, columns=names)


def _how(role: str | None, column: str, given: dict[str, str]) -> str:
    """Say how a column was recognised."""
    if role is None:
        return "unused"
    if role in given:
        return "mapped"
    return "name" if role == column else "alias"
