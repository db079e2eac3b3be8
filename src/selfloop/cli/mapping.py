"""What ``--map`` says: which column of which table plays which role."""

import difflib
from collections.abc import Sequence

import click

from selfloop.core.schema import INPUT_ROLES


def column_map(
    pairs: Sequence[str], tables: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Read ``--map`` options.

    Parameters
    ----------
    pairs : sequence of str
        ``role=column`` or ``table.role=column``.
    tables : sequence of str
        Input tables that are given; a role without a table belongs to the one of
        them that has it.

    Returns
    -------
    dict of dict
        ``{table: {role: column}}``

    Raises
    ------
    click.BadParameter
        No such table or role, or a role of several tables.

    Examples
    --------
    >>> column_map(["amount=实付金额", "visits.channel=来源"], ["orders", "visits"])
    {'orders': {'amount': '实付金额'}, 'visits': {'channel': '来源'}}
    """
    found: dict[str, dict[str, str]] = {}
    for pair in pairs:
        key, equals, column = pair.partition("=")
        if not (equals and key.strip() and column.strip()):
            raise _bad_map(f"{pair!r} is not ROLE=COLUMN")
        table, role = _placed(key.strip(), tables)
        if found.setdefault(table, {}).setdefault(role, column.strip()) != (
            column.strip()
        ):
            raise _bad_map(
                f"{table}.{role} is mapped to two columns: "
                f"{found[table][role]!r} and {column.strip()!r}"
            )
    return found


def _bad_map(text: str) -> click.BadParameter:
    """Return the error of a ``--map`` option."""
    return click.BadParameter(text, param_hint="--map")


def _placed(key: str, tables: Sequence[str]) -> tuple[str, str]:
    """Return the table and the role that a key means."""
    table, dot, role = key.rpartition(".")
    if dot:
        if table not in INPUT_ROLES:
            raise _bad_map(
                f"there is no table {table!r}{_did_you_mean(table, list(INPUT_ROLES))}"
            )
        if table not in tables:
            raise _bad_map(f"{key} names {table}, but no file of {table} is given")
        roles = [r.name for r in INPUT_ROLES[table]]
        if role not in roles:
            raise _bad_map(f"{table} have no role {role!r}{_did_you_mean(role, roles)}")
        return table, role
    having = [t for t in tables if key in {r.name for r in INPUT_ROLES[t]}]
    if len(having) > 1:
        choices = " or ".join(f"{t}.{key}=..." for t in having)
        raise _bad_map(f"{key!r} is a role of {' and '.join(having)}: say {choices}")
    if not having:
        known = sorted({r.name for t in tables for r in INPUT_ROLES[t]})
        raise _bad_map(f"there is no role {key!r}{_did_you_mean(key, known)}")
    return having[0], key


def _did_you_mean(word: str, choices: Sequence[str]) -> str:
    """Name the choice most like a word, else all of them."""
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f" (of {', '.join(choices)})"
