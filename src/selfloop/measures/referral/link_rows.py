"""Which rows of a plain table of links count, and what became of the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from selfloop.core import schema
from selfloop.core.errors import DataError, Problem
from selfloop.inputs.columns import (
    ColumnMap,
    check_map,
    match_columns,
    nearest,
    normalise,
)
from selfloop.inputs.frames import as_arrow
from selfloop.inputs.ids import People, id_texts, number_people
from selfloop.inputs.validate import REASONS, USED
from selfloop.kernels.forest import (
    break_rings,
    by_generation,
    climb,
    generations,
)

LINKS, VALUES = "referrals", "values"
"""Names of the two tables, in the audit and in `columns`."""

VALUE_ROLES = {"person_id": "whose value", "value": "money, such as revenue"}

CODES = (USED, "SL110", "SL201", "SL111", "SL202", "SL203", "SL205", "SL207")
_USED, _BLANK, _ALONE, _NO_TIME, _SELF, _DOUBLE, _OTHER, _RING = range(len(CODES))

_OTHER_FIX = "nothing: the first counts; read_events can share the credit"
N_EXAMPLES = 3

Numbers = npt.NDArray[np.int32]
Outcomes = npt.NDArray[np.int8]
Times = npt.NDArray[np.int64] | npt.NDArray[np.float64]


@dataclass(frozen=True)
class LinkRows:
    """A forest of links that count, with people as numbers 0 to n - 1, roots first.

    Parameters
    ----------
    ids : pyarrow.LargeStringArray
        Id of each person.
    parent, generation, root : ndarray of int32
        Numbers of the referrer (-1 for a root) and of the root, and distance to it.
    value : ndarray of float64 or None
        Value of each person, 0 for people without a row; None without values.
    audit : DataFrame
        Columns of `schema.AUDIT`.
    """

    ids: pa.LargeStringArray
    parent: Numbers
    generation: Numbers
    root: Numbers
    value: npt.NDArray[np.float64] | None
    audit: pd.DataFrame


def read_links(
    links: object, values: object | None, columns: ColumnMap | None
) -> LinkRows:
    """Give the people of links and values numbers, and one referrer each.

    Parameters
    ----------
    links, values, columns
        As in `link_network`.

    Returns
    -------
    LinkRows

    Raises
    ------
    DataError
        Columns are missing, a table is empty, or ids, times or values cannot be read.
    """
    own = _checked_map(columns)
    table = _open(links, LINKS)
    roles, problems = _link_columns(table.column_names, own)
    given = None if values is None else _open(values, VALUES)
    if given is not None:
        value_roles, wrong = _value_columns(given.column_names, own.get(VALUES, {}))
        problems += wrong
    if problems:
        raise DataError(problems)
    texts = [id_texts(table[roles[r]], LINKS, roles[r]) for r in _ENDS]
    if given is not None:
        name = value_roles["person_id"]
        texts.append(id_texts(given[name], VALUES, name))
    people = number_people(texts)
    referrer, referee = people.numbers[:2]
    time = _times(table[roles["referred_at"]]) if "referred_at" in roles else None
    outcome = _outcomes(referrer, referee, time, people)
    parent, generation, root = _forest(referrer, referee, time, people, outcome)
    lines = _link_lines(outcome, table.select([roles[r] for r in roles]))
    value = None
    if given is not None:
        amount = _amounts(given[value_roles["value"]], value_roles["value"])
        value, more = _values(people.numbers[2], amount, parent.size)
        lines += more
    order = by_generation(generation)
    place = np.empty(order.size + 1, np.int32)
    place[order], place[-1] = np.arange(order.size), -1  # -1 stays -1
    return LinkRows(
        ids=people.ids(order),
        parent=place[parent[order]],
        generation=generation[order],
        root=place[root[order]],
        value=None if value is None else value[order],
        audit=pd.DataFrame(lines, columns=schema.names("audit")),
    )


_ENDS = ("referrer_id", "referee_id")


def _checked_map(columns: ColumnMap | None) -> Mapping[str, Mapping[str, str]]:
    """Return the mapping of columns, or say what is unknown in it."""
    own = dict(columns) if isinstance(columns, Mapping) else columns
    values = own.pop(VALUES, {}) if isinstance(own, dict) else {}
    problems = check_map(own)
    for table in own or {}:
        if table in schema.INPUT_ROLES and table != LINKS:
            found = f"columns names the table {table!r}, which is not read here"
            fix = f"use {LINKS!r} for the links and {VALUES!r} for the values"
            problems.append(Problem("SL104", table, found, fix))
    known = ", ".join(VALUE_ROLES)
    if not isinstance(values, Mapping) or not set(values) <= set(VALUE_ROLES):
        found = f"columns names {values!r}; known roles: {known}"
        fix = 'columns={"values": {"value": "YOUR COLUMN"}}'
        problems.append(Problem("SL104", VALUES, found, fix))
    if problems:
        raise DataError(problems)
    return {**(own or {}), VALUES: values}


def _open(source: object, table: str) -> pa.Table:
    """Return a table in memory as Arrow; one without rows is an error."""
    if isinstance(source, (str, Path)):
        found = f"links and values are tables in memory; got the path {str(source)!r}"
        fix = "read it first, such as pandas.read_csv(path, dtype=str)"
        raise DataError([Problem("SL107", table, found, fix)])
    arrow = as_arrow(source, table)
    if arrow.num_rows == 0:
        fix = "check the export"
        fix += ", or leave values out when there are none" if table == VALUES else ""
        raise DataError([Problem("SL103", table, "the table has no rows", fix)])
    return arrow


def _link_columns(
    found: list[str], own: ColumnMap
) -> tuple[dict[str, str], list[Problem]]:
    """Find referrer, referee and, if there is one, the time."""
    matched, problems = match_columns(LINKS, found, own)
    wanted = (*_ENDS, "referred_at")
    # Times may be missing here, and nobody looks at channels.
    unasked = ("no column for 'referred_at'", "2 columns match 'channel'")
    problems = [p for p in problems if not p.found.startswith(unasked)]
    return {role: matched[role] for role in wanted if role in matched}, problems


def _value_columns(
    found: list[str], own: Mapping[str, str]
) -> tuple[dict[str, str], list[Problem]]:
    """Find the person and the value."""
    matched, problems = {}, []
    for role, meaning in VALUE_ROLES.items():
        name = own.get(role, role)
        same = [c for c in found if c == name] or [
            c for c in found if normalise(c) == normalise(name)
        ]
        if len(same) == 1:
            matched[role] = same[0]
            continue
        free = [c for c in found if c not in matched.values()]
        guess = same[0] if same else nearest(name, free)
        hint = f"did you mean {guess!r}? " if guess else ""
        problems.append(Problem(
            "SL102" if same else "SL101",
            VALUES,
            f"{len(same) or 'no'} columns for {role!r} ({meaning}); "
            f"found {', '.join(found[:30])}",
            f'{hint}columns={{"values": {{"{role}": "{guess or "YOUR COLUMN"}"}}}}',
        ))  # fmt: skip
    return matched, problems


def _times(column: pa.ChunkedArray) -> Times:
    """Return times as numbers; the least number for a missing one."""
    kind = column.type
    try:
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            column = column.cast(pa.timestamp("us"), safe=False)
            column = column.cast(pa.int64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        found = f"the times of type {kind} cannot be read: {error}"
        fix = "make them dates first, such as pandas.to_datetime(column)"
        raise DataError([Problem("SL111", LINKS, found, fix)]) from error
    if pa.types.is_floating(kind):
        floats = column.cast(pa.float64()).to_numpy()
        return np.where(np.isnan(floats), -np.inf, floats)
    times: Times = column.fill_null(_NEVER).to_numpy().astype(np.int64)
    return times


_NEVER = np.iinfo(np.int64).min


def _outcomes(
    referrer: Numbers, referee: Numbers, time: Times | None, people: People
) -> Outcomes:
    """Say what becomes of each row, rings aside."""
    outcome = np.full(referrer.size, _USED, np.int8)
    # The most basic problem last, so that it stands.
    outcome[referrer == referee] = _SELF
    if time is not None:
        outcome[time == (_NEVER if time.dtype == np.int64 else -np.inf)] = _NO_TIME
    outcome[referrer < 0] = _ALONE
    outcome[referee < 0] = _BLANK
    is_used = outcome == _USED
    n_referrers = np.bincount(referee[is_used], minlength=people.place.size)
    if n_referrers.max(initial=0) > 1:
        several = np.flatnonzero(is_used & (n_referrers[referee] > 1))
        when = np.zeros(several.size, np.int64) if time is None else time[several]
        outcome[several] = _one_each(referrer[several], referee[several], when, people)
    return outcome


def _forest(
    referrer: Numbers,
    referee: Numbers,
    time: Times | None,
    people: People,
    outcome: Outcomes,
) -> tuple[Numbers, Numbers, Numbers]:
    """Return parent, generation and root; cut the rings and say so in the outcome."""
    rows = np.flatnonzero(outcome == _USED)
    parent = np.full(people.place.size, -1, np.int32)
    parent[referee[rows]] = referrer[rows]
    generation, root, ring = climb(parent)
    if ring.size == 0:
        return parent, generation, root
    when = np.zeros(people.place.size, np.int64 if time is None else time.dtype)
    if time is not None:
        when[referee[rows]] = time[rows]
    late = np.zeros(people.place.size, np.int64)
    # Of equally late links that of the last id is cut.
    late[ring[np.lexsort((_ranks(people, ring), when[ring]))]] = np.arange(ring.size)
    parent, cut = break_rings(parent, late)
    outcome[rows[cut[referee[rows]]]] = _RING
    return parent, *generations(parent)


def _one_each(
    referrer: Numbers, referee: Numbers, time: Times, people: People
) -> Outcomes:
    """Say which row of each person counts: the earliest, then by id of the referrer."""
    order = np.lexsort((_ranks(people, referrer), time, referee))
    outcome = np.full(referrer.size, _DOUBLE, np.int8)
    pair = (referee.astype(np.int64) << 32) + referrer
    _, first = np.unique(pair[order], return_index=True)
    outcome[order[first]] = _OTHER
    _, first = np.unique(referee[order], return_index=True)
    outcome[order[first]] = _USED
    return outcome


def _ranks(people: People, numbers: Numbers) -> npt.NDArray[np.int64]:
    """Return the places of some people in the order of their ids."""
    few, where = np.unique(numbers, return_inverse=True)
    rank = np.empty(few.size, np.int64)
    rank[pc.sort_indices(people.ids(few)).to_numpy()] = np.arange(few.size)
    return rank[where]


def _link_lines(outcome: Outcomes, shown: pa.Table) -> list[tuple[object, ...]]:
    """Write the audit of the links: every row in one line."""
    lines: list[tuple[object, ...]] = []
    counts = np.bincount(outcome, minlength=len(CODES))
    for code, k in sorted((CODES[k], k) for k in np.flatnonzero(counts)):
        reason, what, fix = REASONS[code]
        few = np.flatnonzero(outcome == k)[: N_EXAMPLES if code else 0]
        lines.append((
            LINKS, code, reason, what, int(counts[k]), None, _examples(shown, few),
            _OTHER_FIX if k == _OTHER else fix,
        ))  # fmt: skip
    return lines


def _examples(shown: pa.Table, rows: npt.NDArray[np.int64]) -> str:
    """Write a few rows as they were found."""
    texts = []
    for row in rows.tolist():
        cells = [column[row].as_py() for column in shown.columns]
        words = ", ".join("" if c is None else str(c)[:30] for c in cells)
        texts.append(f"row {row + 1}: {words}")
    return " · ".join(texts)


def _amounts(column: pa.ChunkedArray, name: str) -> npt.NDArray[np.float64]:
    """Return values as numbers, or say that some are none."""
    kind = column.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not (is_number or pa.types.is_decimal(kind)):
        found = f"{name!r} is of type {kind}, not of numbers"
        fix = "make it numbers first, such as pandas.to_numeric(column)"
        raise DataError([Problem("SL112", VALUES, found, fix)])
    amount: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    n_infinite, n_missing = int(np.isinf(amount).sum()), int(np.isnan(amount).sum())
    fix = "leave the rows out, or write 0 where it is 0"
    problems = []
    if n_missing:
        found = f"{n_missing:,} of {amount.size:,} rows: {name!r} is missing"
        problems.append(Problem("SL112", VALUES, found, fix, n_rows=n_missing))
    if n_infinite:
        found = f"{n_infinite:,} of {amount.size:,} rows: {name!r} is infinite"
        fix = "write it as a finite number"
        problems.append(Problem("SL113", VALUES, found, fix, n_rows=n_infinite))
    if problems:
        raise DataError(problems)
    return amount


def _values(
    person: Numbers, amount: npt.NDArray[np.float64], n_people: int
) -> tuple[npt.NDArray[np.float64], list[tuple[object, ...]]]:
    """Sum the values of each person, and write their audit."""
    is_known = person >= 0
    value = np.bincount(person[is_known], amount[is_known], n_people)
    lines: list[tuple[object, ...]] = []
    for code, chosen in ((USED, is_known), ("SL110", ~is_known)):
        if chosen.any():
            reason, what, fix = REASONS[code]
            total = float(amount[chosen].sum())
            rows = ", ".join(str(i + 1) for i in np.flatnonzero(chosen)[:N_EXAMPLES])
            first = f"rows {rows}" if code else ""
            n = int(chosen.sum())
            lines.append((VALUES, code, reason, what, n, total, first, fix))
    return value.astype(np.float64), lines
