"""Text read step by step, for engines that cannot read a format.

Each step is kept: an expression on a text names it many times, and PostgreSQL would
find it again each time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import ibis.expr.types as ir

from selfloop.core.schema import INPUT_ROLES
from selfloop.inputs.engine import Engine
from selfloop.inputs.strptime import (
    PARTS,
    WRITTEN,
    Pattern,
    groups_of,
    iso_of,
    parts_of,
    which_of,
)
from selfloop.inputs.typed import as_id


@dataclass(frozen=True)
class Staged:
    """A table whose text is tidy and whose times in text are in one notation.

    Parameters
    ----------
    table : ibis table
        As it was found, and columns of ours beside.
    columns : mapping of str to str
        Role to column of tidy text, else to the column as it was found.
    written : mapping of str to mapping
        Role of each time in text to the columns of `strptime.WRITTEN`.
    """

    table: ir.Table
    columns: Mapping[str, str]
    written: Mapping[str, Mapping[str, ir.StringValue]]


def stage(
    name: str,
    table: ir.Table,
    columns: Mapping[str, str],
    patterns: Sequence[Pattern],
    engine: Engine,
) -> Staged:
    """Tidy the text of a table and find how its times are written.

    Parameters
    ----------
    name : str
        ``orders``, ``referrals``, ``visits`` or ``spend``.
    table : ibis table
        As it was found.
    columns : mapping of str to str
        Role to column.
    patterns : sequence of Pattern
        How times may be written; the first that fits counts.
    engine : Engine
        Where the steps are kept.

    Returns
    -------
    Staged
    """
    times = {role.name for role in INPUT_ROLES[name] if role.kind == "time"}
    kinds = {role: table[column].type() for role, column in columns.items()}
    text_times = {
        role for role in times & set(columns) if not kinds[role].is_temporal()
    }
    tidy = {
        role: f"sl_{role}"
        for role in columns
        if role in text_times or kinds[role].is_string()
    }
    found = engine.keep(
        table.mutate(**{tidy[role]: as_id(table[columns[role]]) for role in tidy}),
        f"{name}_tidy",
    )
    for step in (_which, _groups, _parts, _iso):
        before = found
        made = {
            name: value
            for role in sorted(text_times)
            for name, value in step(before, tidy[role], patterns)
        }
        if made:
            found = engine.keep(before.mutate(**made), f"{name}_written")
            engine.drop(before)
    written = {
        role: {word: found[f"{tidy[role]}_{word}"] for word in WRITTEN}
        for role in text_times
    }
    return Staged(found, {**columns, **tidy}, written)


_Columns = Iterator[tuple[str, ir.Value]]


def _which(rows: ir.Table, column: str, patterns: Sequence[Pattern]) -> _Columns:
    """Name the pattern of each text."""
    yield f"{column}_which", which_of(rows[column], patterns)


def _groups(rows: ir.Table, column: str, patterns: Sequence[Pattern]) -> _Columns:
    """Name the groups of its pattern in each text."""
    yield (
        f"{column}_groups",
        groups_of(rows[column], rows[f"{column}_which"], patterns),
    )


def _parts(rows: ir.Table, column: str, patterns: Sequence[Pattern]) -> _Columns:
    """Name the parts of each text."""
    groups, which = rows[f"{column}_groups"], rows[f"{column}_which"]
    for part, words in parts_of(groups, which, patterns).items():
        yield f"{column}_{part}", words


def _iso(rows: ir.Table, column: str, patterns: Sequence[Pattern]) -> _Columns:  # noqa: ARG001 - as the others
    """Write each time in one notation."""
    parts = {part: rows[f"{column}_{part}"] for part in (*PARTS.values(), "iso")}
    for word, value in iso_of(parts).items():
        yield f"{column}_{word}", value
