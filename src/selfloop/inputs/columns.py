"""Which column of a table plays which role: exact name, known alias, or an error."""

import difflib
import json
import shlex
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from selfloop.core.errors import Problem
from selfloop.core.schema import INPUT_ROLES, Role

ColumnMap = Mapping[str, Mapping[str, str]]

_FACTORS = {"quantity", "unit_price"}
_MAX_LISTED = 30


def normalise(name: str) -> str:
    """Return a column name as it is compared: width, case and separators removed.

    Examples
    --------
    >>> normalise(" Customer_ID ") == normalise("customer id")
    True
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join(c for c in text if not c.isspace() and c not in "_-.\ufeff")


@cache
def _aliases() -> dict[str, dict[str, frozenset[str]]]:
    """Read the table of known names once."""
    text = files("selfloop.inputs.presets").joinpath("aliases.toml").read_text("utf-8")
    return {
        table: {
            role: frozenset(normalise(name) for name in known)
            for role, known in roles.items()
        }
        for table, roles in tomllib.loads(text).items()
    }


def nearest(word: str, choices: Sequence[str]) -> str | None:
    """Return the choice most like `word`, or None when none is near.

    Examples
    --------
    >>> nearest("amout", ["amount", "channel"])
    'amount'
    """
    by_form = {normalise(choice): choice for choice in choices}
    found = difflib.get_close_matches(normalise(word), by_form, n=1, cutoff=0.6)
    return by_form[found[0]] if found else None


def doubled(table: str, found: Sequence[str], label: str) -> list[Problem]:
    """List names that two columns share; the engine does not tell case apart.

    Parameters
    ----------
    table : str
        Input table, for messages.
    found : sequence of str
        Columns of the user's table.
    label : str
        Name of the file; empty for a table in memory.

    Returns
    -------
    list of Problem
        Empty when all names differ.

    Examples
    --------
    >>> len(doubled("orders", ["Amount", "amount", "note"], "orders.csv"))
    1
    """
    same: dict[str, list[str]] = {}
    for name in found:
        same.setdefault(name.lower(), []).append(name)
    where = f"{label} has " if label else "there are "
    return [
        Problem(
            "SL102",
            table,
            f"{where}{len(names)} columns named {' and '.join(map(repr, names))}",
            "rename one of them; names that differ by case alone count as equal",
        )
        for names in same.values()
        if len(names) > 1
    ]


def check_map(columns: ColumnMap | None) -> list[Problem]:
    """List unknown tables and roles of a column mapping.

    Parameters
    ----------
    columns : mapping of mapping, optional
        ``{table: {role: column}}`` as given by the user.

    Returns
    -------
    list of Problem
        Empty when every table and role is known.
    """
    if not isinstance(columns, Mapping | None):
        return [_no_map("", columns)]
    problems = []
    for table, roles in (columns or {}).items():
        if table not in INPUT_ROLES:
            problems.append(_unknown("table", table, list(INPUT_ROLES), ""))
            continue
        if not isinstance(roles, Mapping):
            problems.append(_no_map(table, roles))
            continue
        known = [role.name for role in INPUT_ROLES[table]]
        problems += [
            _unknown("role", role, known, table) for role in roles if role not in known
        ]
    return problems


def _no_map(table: str, given: object) -> Problem:
    """Say that something is not a mapping."""
    return Problem(
        "SL104",
        table,
        f"columns must map tables to roles to columns; got {given!r}",
        'columns={"orders": {"amount": "YOUR COLUMN"}}',
    )


def _unknown(what: str, word: str, known: list[str], table: str) -> Problem:
    """Say that a word of the mapping is not known."""
    guess = nearest(str(word), known)
    hint = f"did you mean {guess!r}? " if guess else ""
    return Problem(
        "SL104",
        table,
        f"columns names the unknown {what} {word!r}; known: {', '.join(known)}",
        f"{hint}use one of the known names",
    )


def match_columns(
    table: str, found: Sequence[str], columns: ColumnMap | None
) -> tuple[dict[str, str], list[Problem]]:
    """Find the column of each role of one input table.

    Parameters
    ----------
    table : str
        ``orders``, ``referrals``, ``visits`` or ``spend``.
    found : sequence of str
        Columns of the user's table.
    columns : mapping, optional
        The user's mapping; it wins over every guess.

    Returns
    -------
    matched : dict of str to str
        Role to column.
    problems : list of Problem
        Missing and ambiguous columns; empty when all is well.

    Examples
    --------
    >>> matched, problems = match_columns(
    ...     "orders", ["客户ID", "下单时间", "实付金额", "note"], None
    ... )
    >>> matched["amount"], problems
    ('实付金额', [])
    """
    own = columns.get(table) if isinstance(columns, Mapping) else None
    # What is no mapping has been named by `check_map`.
    roles = own if isinstance(own, Mapping) else {}
    given = {role: str(name) for role, name in roles.items()}
    taken = set(given.values())
    faulty = set(given)
    matched: dict[str, str] = {}
    problems: list[Problem] = []
    for role in INPUT_ROLES[table]:
        if role.name in given:
            if given[role.name] in found:
                matched[role.name] = given[role.name]
            else:
                problems.append(_not_there(table, role, given[role.name], found))
            continue
        candidates = _candidates(table, role, [c for c in found if c not in taken])
        if len(candidates) == 1:
            matched[role.name] = candidates[0]
        elif candidates and not (role.name in _FACTORS and "amount" in matched):
            problems.append(_ambiguous(table, role, candidates))
            faulty.add(role.name)
    _choose_value(matched, given)
    problems += _clashes(table, matched)
    has_factors = set(matched) >= _FACTORS
    for role in INPUT_ROLES[table]:
        known = role.name in matched or role.name in faulty
        if role.name == "amount" and has_factors:
            continue
        if role.need == "required" and not known:
            problems.append(_missing(table, role, found, matched))
    return matched, problems


def _choose_value(matched: dict[str, str], given: Mapping[str, str]) -> None:
    """Keep the amount or its factors, whichever the user has named."""
    if set(given) >= _FACTORS and "amount" not in given:
        # Whatever else looks like an amount may be the total of the whole order.
        matched.pop("amount", None)
    elif "amount" in matched:
        for factor in _FACTORS:
            matched.pop(factor, None)


def _candidates(table: str, role: Role, found: list[str]) -> list[str]:
    """Find the columns that may play a role: the exact name, else its known aliases."""
    if role.name in found:
        return [role.name]
    same = [c for c in found if normalise(c) == normalise(role.name)]
    if same:
        return same
    known = _aliases()[table][role.name]
    return [c for c in found if normalise(c) in known]


def _clashes(table: str, matched: dict[str, str]) -> list[Problem]:
    """List the columns that were matched to two roles."""
    problems = []
    for column in sorted(set(matched.values())):
        roles = [r for r, c in matched.items() if c == column]
        if len(roles) > 1:
            text = f"column {column!r} is matched to {' and '.join(map(repr, roles))}"
            problems.append(Problem("SL102", table, text, "map each role yourself"))
    return problems


def _flag(table: str, role: str, column: str) -> str:
    """Write how to map a column on the command line."""
    return "--map " + shlex.quote(f"{table}.{role}={column}")


def _mapping(table: str, role: str, column: str) -> str:
    """Write how to map a column in Python."""
    return (
        f'columns={{"{table}": {{"{role}": {json.dumps(column, ensure_ascii=False)}}}}}'
    )


def _not_there(table: str, role: Role, column: str, found: Sequence[str]) -> Problem:
    """Say that the mapped column does not exist."""
    guess = nearest(column, found)
    name = guess or "YOUR COLUMN"
    hint = f"did you mean {guess!r}? " if guess else ""
    return Problem(
        "SL101",
        table,
        f"no column {column!r} for '{role.name}'; found {_listed(found)}",
        hint + _mapping(table, role.name, name),
        _flag(table, role.name, name),
    )


def _listed(names: Sequence[str]) -> str:
    """List the columns of a table, the first 30 of a wide one."""
    shown = ", ".join(names[:_MAX_LISTED])
    more = len(names) - _MAX_LISTED
    return f"{shown} and {more:,} more" if more > 0 else shown


def _ambiguous(table: str, role: Role, candidates: list[str]) -> Problem:
    """Say that several columns may play one role."""
    listed = ", ".join(repr(c) for c in candidates)
    return Problem(
        "SL102",
        table,
        f"{len(candidates)} columns match '{role.name}': {listed}",
        "choose one: " + _mapping(table, role.name, candidates[0]),
        _flag(table, role.name, candidates[0]),
    )


def _missing(
    table: str, role: Role, found: Sequence[str], matched: dict[str, str]
) -> Problem:
    """Say that a required column is missing, with the nearest name."""
    free = [c for c in found if c not in matched.values()]
    guess = nearest(role.name, free)
    name = guess or "YOUR COLUMN"
    hint = f"did you mean {guess!r}? " if guess else ""
    done = ", ".join(f"{r} <- {c}" for r, c in matched.items()) or "nothing"
    return Problem(
        "SL101",
        table,
        f"no column for '{role.name}' ({role.meaning}); "
        f"found {_listed(found)}; matched {done}",
        hint + _mapping(table, role.name, name),
        _flag(table, role.name, name),
    )
