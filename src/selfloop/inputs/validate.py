"""Each input row gets one code: used, or why not; the audit counts them all."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from selfloop.core import schema
from selfloop.core.errors import Problem
from selfloop.core.schema import INPUT_ROLES
from selfloop.core.settings import Rules
from selfloop.inputs.engine import Engine
from selfloop.inputs.read import Raw
from selfloop.inputs.staged import Staged, stage
from selfloop.inputs.typed import (
    as_id,
    as_money,
    as_product,
    as_text,
    as_time,
    is_infinite,
    is_untidy,
    time_patterns,
    written_time,
)

USED = ""

REASONS: dict[str, tuple[str, str, str]] = {
    # code: (reason, outcome, what to do)
    USED: ("used", "used", ""),
    "SL109": (
        "malformed_row",
        "rejected",
        "give the line as many fields as the header",
    ),
    "SL110": ("blank_id", "rejected", "fill in the id, or leave the row out"),
    "SL111": ("unreadable_date", "rejected", "correct the date, or set date_format"),
    "SL112": ("unreadable_amount", "rejected", "write the amount as a plain number"),
    "SL113": ("infinite_amount", "rejected", "write the amount as a finite number"),
    "SL116": ("negative_spend", "rejected", "spend is a cost: write it above zero"),
    "SL120": ("guest", "used", "give guests an id to count them as people"),
    "SL121": ("after_end", "set_aside", "move end, or leave it as it is"),
    "SL122": ("anonymous_visit", "set_aside", "give visitors an id to count them"),
    "SL201": ("no_referrer", "set_aside", "nothing, if nobody referred this person"),
    "SL202": ("self_referral", "set_aside", "check for abuse of the programme"),
    "SL203": ("duplicate_pair", "set_aside", "nothing: the earliest row counts"),
    "SL204": ("already_customer", "set_aside", "nothing: they had bought before"),
    "SL205": ("other_referrer", "set_aside", 'or attribution="linear" to share credit'),
    "SL206": ("outside_window", "set_aside", "or a longer attribution_window_days"),
    "SL208": ("excluded", "set_aside", "nothing: exclude_referrals names them"),
    "SL207": ("ring", "set_aside", "nothing: the latest link of a ring is cut"),
}
"""Every reason a row can have: code -> (reason, outcome, what to do)."""

_KEPT_ROWS = 2_000_000
"""Typed copies of tables up to this size are kept, about 60 bytes a row."""

RAISING = tuple(code for code, reason in REASONS.items() if reason[1] == "rejected")
"""Codes that stop the reading unless ``on_bad_rows="quarantine"``."""


@dataclass(frozen=True)
class Typed:
    """One input table with typed columns and one code per row.

    Parameters
    ----------
    name : str
        ``orders``, ``referrals``, ``visits`` or ``spend``.
    rows : ibis table
        Role columns with their types, and `code`.
    raw : Raw
        The table as it was found.
    columns : mapping of str to str
        Role to the column it came from.
    found : ibis table or None
        Where rows have no order to be told by: the columns as they were found, with
        the code of each row.
    """

    name: str
    rows: ir.Table
    raw: Raw
    columns: Mapping[str, str]
    found: ir.Table | None = None

    @property
    def used(self) -> ir.Table:
        """The rows that count."""
        return self.rows.filter(self.rows.code == USED).drop("code")


@dataclass(frozen=True)
class Reading:
    """How a table is read, beside its columns.

    Parameters
    ----------
    rules : Rules
        Settings of the analysis.
    end : date or None
        Last day of observation when the user gave one.
    date_format : str or None
        The one format of dates in text.
    day_first : bool or None
        Meaning of 1/2/2026 in this table.
    """

    rules: Rules
    end: date | None
    date_format: str | None
    day_first: bool | None


def typed_table(
    name: str, raw: Raw, columns: Mapping[str, str], reading: Reading, engine: Engine
) -> Typed:
    """Give one input table types and codes.

    Parameters
    ----------
    name : str
        ``orders``, ``referrals``, ``visits`` or ``spend``.
    raw : Raw
        The table as it was found.
    columns : mapping of str to str
        Role to column.
    reading : Reading
        Zone, end and date format.
    engine : Engine
        Where the typed table is kept when its source is text.

    Returns
    -------
    Typed
    """
    untidy = _is_text(name, raw.table, columns) or _untidy(
        raw.table, list(columns.values())
    )
    source = Staged(raw.table, columns, {})
    if untidy and not engine.reads_formats:
        patterns = time_patterns(reading.date_format, day_first=reading.day_first)
        source = stage(name, raw.table, columns, patterns, engine)
    tidy = not untidy or bool(source.columns != columns)
    also = {} if engine.has_row_order else _as_found(source.table, columns)
    rows = _with_types(name, source, reading, also, tidy=tidy)
    if untidy or _is_small(raw.table):
        # Several passes follow: keeping what was read costs less than reading again,
        # but for large tables that are typed already it would only cost memory.
        rows = engine.keep(rows, f"{name}_typed")
    if source.table is not raw.table:
        engine.drop(source.table)
    coded = rows.mutate(code=_code(name, rows, reading.end)).drop("is_infinite")
    found = [column for column in coded.columns if column.startswith(_FOUND)]
    return Typed(name, coded.drop(*found), raw, columns, coded if found else None)


_FOUND = "sl_found_"


def _as_found(table: ir.Table, columns: Mapping[str, str]) -> dict[str, ir.Value]:
    """Return the columns as they were found, under names of ours."""
    shown = dict.fromkeys(columns.values())
    return {f"{_FOUND}{i}": table[c].cast("string") for i, c in enumerate(shown)}


def _is_small(table: ir.Table) -> bool:
    """Tell whether a typed copy takes little memory."""
    return int(table.count().to_pyarrow().as_py()) <= _KEPT_ROWS


def _untidy(table: ir.Table, columns: list[str]) -> bool:
    """Tell whether any text column needs tidying, in one pass."""
    flags = {
        c: is_untidy(table[c]).any() for c in columns if table[c].type().is_string()
    }
    if not flags:
        return False
    found = table.aggregate(**flags).to_pyarrow().to_pylist()[0]
    return any(found.values())


def _is_text(name: str, table: ir.Table, columns: Mapping[str, str]) -> bool:
    """Tell whether times or amounts have to be read from text."""
    costly = {
        r.name for r in INPUT_ROLES[name] if r.kind in ("time", "money", "number")
    }
    return any(
        table[column].type().is_string()
        for role, column in columns.items()
        if role in costly
    )


def _with_types(
    name: str,
    source: Staged,
    reading: Reading,
    also: Mapping[str, ir.Value],
    *,
    tidy: bool,
) -> ir.Table:
    """Express the typed columns, and whether an amount is infinite."""
    table, columns = source.table, source.columns
    typed: dict[str, ir.Value] = {}
    infinite: list[ir.BooleanValue] = []
    for role in INPUT_ROLES[name]:
        if role.name not in columns or role.name in ("quantity", "unit_price"):
            continue
        column = table[columns[role.name]]
        if role.kind == "id":
            is_ready = tidy and column.type().is_string()
            typed[role.name] = column if is_ready else as_id(column)
        elif role.name in source.written:
            written = source.written[role.name]
            typed[role.name] = written_time(written, reading.rules.timezone)
        elif role.kind == "time":
            typed[role.name] = as_time(
                column,
                zone=reading.rules.timezone,
                date_format=reading.date_format,
                day_first=reading.day_first,
            )
        elif role.kind in ("money", "number"):
            typed[role.name] = as_money(column, tidy=tidy)
            infinite.append(is_infinite(column))
        else:
            is_ready = tidy and column.type().is_string()
            typed[role.name] = column if is_ready else as_text(column)
    if name == "orders" and "amount" not in columns:
        factors = [table[columns[c]] for c in ("quantity", "unit_price")]
        typed["amount"] = as_product(*factors, tidy=tidy)
        infinite += [is_infinite(column) for column in factors]
    any_infinite = ibis.literal(value=False)
    for flag in infinite:
        any_infinite = any_infinite | flag
    return table.select(**typed, **also, is_infinite=any_infinite)


def _code(name: str, typed: ir.Table, end: date | None) -> ir.StringValue:
    """Express the one code of each row, the most basic problem first."""
    time_role = next(r.name for r in INPUT_ROLES[name] if r.kind == "time")
    branches: list[tuple[ir.BooleanValue, str]] = []
    if name == "referrals":
        no_referrer = typed["referrer_id"].isnull()
        branches.append((typed["referee_id"].isnull(), "SL110"))
        branches.append((no_referrer, "SL201"))
    if name == "visits":
        branches.append((typed["visitor_id"].isnull(), "SL122"))
    branches.append((typed[time_role].isnull(), "SL111"))
    money = {"orders": "amount", "spend": "spend"}.get(name)
    if money is not None:
        branches.append((typed.is_infinite, "SL113"))
        branches.append((typed[money].isnull(), "SL112"))
    if name == "spend":
        branches.append((typed["spend"] < 0, "SL116"))
    if name == "referrals":
        branches.append((typed["referrer_id"] == typed["referee_id"], "SL202"))
    if end is not None:
        branches.append((typed[time_role].date() > ibis.literal(end), "SL121"))
    return ibis.cases(*branches, else_=USED)


@dataclass(frozen=True)
class Counts:
    """What one pass over a typed table has counted.

    Parameters
    ----------
    by_code : DataFrame
        One row per code: code, n_rows, amount, first_at, last_at.
    """

    by_code: pd.DataFrame

    def n_rows(self, *codes: str) -> int:
        """Rows with one of the codes; all rows when none is named."""
        frame = self.by_code
        if codes:
            frame = frame[frame["code"].isin(codes)]
        return int(frame["n_rows"].sum())

    def day(self, which: str) -> date | None:
        """First or last day on which the rows say that something happened."""
        # Somebody whom nobody referred came on that day all the same.
        happened = self.by_code["code"].isin([USED, "SL120", "SL201"])
        used = self.by_code[happened][which].dropna()
        if used.empty:
            return None
        moment = used.min() if which == "first_at" else used.max()
        return pd.Timestamp(moment).date()


def count_codes(typed: Typed) -> Counts:
    """Count rows and money by code, in one pass."""
    rows = typed.rows
    time_role = next(r.name for r in INPUT_ROLES[typed.name] if r.kind == "time")
    money = {"orders": "amount", "spend": "spend"}.get(typed.name)
    code = rows.code
    if typed.name == "orders":
        guest = (code == USED) & rows.customer_id.isnull()
        code = ibis.ifelse(guest, "SL120", code)
    amount = rows[money].sum() if money else ibis.null("decimal(38, 4)")
    frame = (
        rows.group_by(code=code)
        .aggregate(
            n_rows=rows.count(),
            amount=amount,
            first_at=rows[time_role].min(),
            last_at=rows[time_role].max(),
        )
        .to_pandas()
    )
    if typed.raw.n_malformed:
        extra = {"code": ["SL109"], "n_rows": [typed.raw.n_malformed]}
        frame = pd.concat([frame, pd.DataFrame(extra)], ignore_index=True)
    return Counts(frame.sort_values("code", ignore_index=True))


def examples(typed: Typed, code: str, *, n: int = 3) -> tuple[str, ...]:
    """Return the first rows with a code, as they were found."""
    if code == "SL109":
        return typed.raw.malformed
    if typed.found is not None:
        return _first_found(typed.found, code, n)
    rows = typed.rows
    if code == "SL120":
        chosen = rows.mutate(sl_row=ibis.row_number()).filter(
            (rows.code == USED) & rows.customer_id.isnull()
        )
    else:
        chosen = rows.mutate(sl_row=ibis.row_number()).filter(rows.code == code)
    found = chosen.order_by("sl_row").limit(n).to_pandas()
    numbers = [int(i) for i in found["sl_row"]]
    if not numbers:
        return ()
    columns = list(dict.fromkeys(typed.columns.values()))
    raw = typed.raw.table.select(*columns).mutate(sl_row=ibis.row_number())
    original = raw.filter(raw.sl_row.isin(numbers)).order_by("sl_row").to_pandas()
    return tuple(_shown(row, columns) for row in original.to_dict("records"))


def _first_found(found: ir.Table, code: str, n: int) -> tuple[str, ...]:
    """Return the first rows with a code, in the order of their values."""
    is_chosen = found.code == code
    if code == "SL120":
        is_chosen = (found.code == USED) & found.customer_id.isnull()
    columns = [column for column in found.columns if column.startswith(_FOUND)]
    rows = found.filter(is_chosen).select(*columns).order_by(*columns).limit(n)
    rows_found = rows.to_pandas().itertuples(index=False)
    return tuple(", ".join(_cell(value) for value in row) for row in rows_found)


def _shown(row: dict[str, Any], columns: list[str]) -> str:
    """Write one row for a message: its number and its values."""
    values = ", ".join(_cell(row[c]) for c in columns)
    return f"row {int(row['sl_row']) + 1}: {values}"


def _cell(value: Any) -> str:  # noqa: ANN401 - any value of the user's table
    """Write one value for a message; a list or a struct is never missing."""
    missing = pd.api.types.is_scalar(value) and pd.isna(value)
    return "" if missing else str(value)[:30]


def bad_rows(typed: Typed, counts: Counts) -> list[Problem]:
    """List the rows that cannot be read, one problem per code."""
    problems = []
    total = counts.n_rows()
    for code in RAISING:
        n = counts.n_rows(code)
        if n:
            reason, _, fix = REASONS[code]
            problems.append(
                Problem(
                    code,
                    typed.name,
                    f"{n:,} of {total:,} rows: {reason.replace('_', ' ')}",
                    f'{fix}, or on_bad_rows="quarantine"',
                    "--on-bad-rows quarantine",
                    examples(typed, code),
                    n,
                )
            )
    return problems


def audit_rows(typed: Typed, counts: Counts) -> pd.DataFrame:
    """Write one line of the audit per code of a table.

    Returns
    -------
    DataFrame
        Columns of `schema.AUDIT`; rows and amounts add up to what was read.
    """
    lines = []
    for row in counts.by_code.to_dict("records"):
        reason, outcome, fix = REASONS[row["code"]]
        lines.append(
            {
                "table": typed.name,
                "code": row["code"],
                "reason": reason,
                "outcome": outcome,
                "n_rows": int(row["n_rows"]),
                "amount": None if pd.isna(row["amount"]) else row["amount"],
                "examples": ""
                if not row["code"]
                else " · ".join(examples(typed, row["code"])),
                "fix": fix,
            }
        )
    return pd.DataFrame(lines, columns=schema.names("audit"))
