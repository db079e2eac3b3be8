"""One currency per analysis: what the orders say of it, in words and in signs."""

from collections.abc import Mapping

import ibis.expr.types as ir

from selfloop.core.errors import Problem
from selfloop.inputs.typed import as_text, currency_sign


def currency_of(orders: ir.Table, columns: Mapping[str, str]) -> str | None:
    """Return the currency of the orders, when they have a column that says it.

    Parameters
    ----------
    orders : ibis table
        The orders as they were found.
    columns : mapping of str to str
        Role to column.

    Returns
    -------
    str or None
        The most frequent one; `currency_problems` makes sure that there is one.
    """
    if "currency" not in columns:
        return None
    found = _counted(as_text(orders[columns["currency"]]).upper())
    return found[0][0] if found else None


def currency_problems(orders: ir.Table, columns: Mapping[str, str]) -> list[Problem]:
    """Say that there is more than one currency.

    Parameters
    ----------
    orders : ibis table
        The orders as they were found.
    columns : mapping of str to str
        Role to column.

    Returns
    -------
    list of Problem
        SL114 for two values in the column of the currency, or for two currency
        signs in the amounts; else empty.
    """
    found = {}
    if "currency" in columns:
        found["currencies"] = _counted(as_text(orders[columns["currency"]]).upper())
    for role in ("amount", "unit_price"):
        if role in columns and orders[columns[role]].type().is_string():
            signs = _counted(currency_sign(orders[columns[role]]))
            found[f"currency signs in '{columns[role]}'"] = signs
    return [
        Problem(
            "SL114",
            "orders",
            f"{len(counted)} {what}: "
            + ", ".join(f"{name} ({n:,} rows)" for name, n in counted),
            "convert the amounts to one currency, or read one currency at a time",
        )
        for what, counted in found.items()
        if len(counted) > 1
    ]


def _counted(names: ir.StringValue) -> list[tuple[str, int]]:
    """Count the rows of each name, the most frequent first."""
    rows = names.as_table().select(name=names)
    rows = rows.filter(rows.name.notnull())
    frame = rows.group_by("name").aggregate(n=rows.count()).to_pandas()
    frame = frame.sort_values(["n", "name"], ascending=[False, True])
    return [(str(row.name), int(row.n)) for row in frame.itertuples(index=False)]
