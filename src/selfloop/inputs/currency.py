"""How amounts are written: one currency, and one meaning of comma and point."""

from collections.abc import Mapping

import ibis.expr.types as ir

from selfloop.core.errors import Problem
from selfloop.inputs.typed import (
    as_text,
    currency_sign,
    has_comma_decimals,
    has_point_thousands,
)
from selfloop.inputs.validate import Counts, Typed


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


def comma_decimals(typed: Typed, counts: Counts) -> list[Problem]:
    """Say that amounts are written with a comma for decimals, all of them unclear.

    Next to ``12,50`` the amount ``1.234`` means 1234, but it can be read as 1.234: such
    rows must not be left when only the first kind is set aside.

    Returns
    -------
    list of Problem
        SL123 when both kinds occur; else empty.
    """
    if not counts.n_rows("SL112"):
        return []
    table, problems = typed.raw.table, []
    for role in ("amount", "unit_price", "quantity", "spend"):
        column = typed.columns.get(role)
        if column is None or not table[column].type().is_string():
            continue
        seen = table.aggregate(
            n_commas=has_comma_decimals(table[column]).sum(),
            n_points=has_point_thousands(table[column]).sum(),
        )
        n_commas, n_points = seen.to_pandas().fillna(0).iloc[0].astype(int)
        if n_commas and n_points:
            problems.append(
                Problem(
                    "SL123",
                    typed.name,
                    f"{n_commas:,} values of '{column}' have a comma before the "
                    f"decimals, like 12,50; {n_points:,} others are like 1.234, which "
                    "could then mean 1234",
                    "write all of them with a point before the decimals: 1234.50",
                    n_rows=int(n_commas),
                )
            )
    return problems


def _counted(names: ir.StringValue) -> list[tuple[str, int]]:
    """Count the rows of each name, the most frequent first."""
    rows = names.as_table().select(name=names)
    rows = rows.filter(rows.name.notnull())
    frame = rows.group_by("name").aggregate(n=rows.count()).to_pandas()
    frame = frame.sort_values(["n", "name"], ascending=[False, True])
    return [(str(row.name), int(row.n)) for row in frame.itertuples(index=False)]
