"""Tables as lists of columns, each name once, and back to rows."""

from collections.abc import Callable, Mapping
from typing import Any

Rows = list[dict[str, Any]]

TABLES = (
    ("funnel", "stages"),
    ("funnel", "windows"),
    ("funnel", "by_source", "stages"),
    ("funnel", "by_source", "windows"),
    ("loop", "months"),
    ("loop", "reproduction"),
    ("loop", "curve"),
    ("outlook", "growth", "cascades"),
    ("outlook", "by_source"),
    ("outlook", "by_quarter"),
    ("outlook", "trend"),
    ("outlook", "value", "rows"),
    ("outlook", "cost", "channels"),
    ("outlook", "cost", "trends"),
    ("outlook", "leverage", "rows"),
    ("outlook", "ahead", "months"),
    ("outlook", "ahead", "totals"),
    ("outlook", "ahead", "cohorts"),
    ("outlook", "test", "rows"),
    ("lifetime", "parameters"),
    ("lifetime", "by_source"),
    ("lifetime", "histogram"),
    ("lifetime", "spend", "independence", "groups"),
    ("lifetime", "choice", "models"),
    ("lifetime", "backtest", "scores"),
    ("lifetime", "backtest", "deciles"),
    ("lifetime", "backtest", "weeks"),
    ("lifetime", "backtest", "frequencies"),
    ("social", "deciles"),
    ("social", "generations"),
    ("referral", "times"),
    ("referral", "concentration"),
    ("referral", "ahead", "backtest", "scores"),
    ("referral", "ahead", "backtest", "deciles"),
    ("referral", "grid", "cells"),
    ("referral", "compared", "differences"),
    ("referral", "compared", "tenure"),
    ("referral", "compared", "survival"),
    ("referral", "compared", "clustering"),
    ("referral", "anomalies", "rules"),
    ("referral", "anomalies", "flags"),
    ("advocates",),
    ("audit", "rows"),
)
"""Where the tables are in the numbers of a report."""


def to_columns(rows: Rows) -> dict[str, list[Any]]:
    """Return a table as its columns, which is what ``pandas.DataFrame`` takes.

    Parameters
    ----------
    rows : list of dict
        Rows with the same keys.

    Returns
    -------
    dict of list
        Empty without rows.

    Examples
    --------
    >>> to_columns([{"month": "2026-01", "n": 3}, {"month": "2026-02", "n": 5}])
    {'month': ['2026-01', '2026-02'], 'n': [3, 5]}
    """
    return {key: [row[key] for row in rows] for key in (rows[0] if rows else ())}


def to_rows(columns: Mapping[str, list[Any]]) -> Rows:
    """Return a table as its rows.

    Parameters
    ----------
    columns : mapping of list
        From `to_columns`.

    Returns
    -------
    list of dict

    Examples
    --------
    >>> to_rows({"n": [3, 5]})
    [{'n': 3}, {'n': 5}]
    """
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


def fold(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a report with every table as columns.

    Parameters
    ----------
    numbers : mapping
        With tables as rows; it is not changed.

    Returns
    -------
    dict
    """
    return _changed(numbers, to_columns)


def unfold(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a report with every table as rows.

    Parameters
    ----------
    numbers : mapping
        From `selfloop.outputs.report.numbers.report_numbers`; it is not changed.

    Returns
    -------
    dict
    """
    return _changed(numbers, to_rows)


def _changed(
    numbers: Mapping[str, Any], change: Callable[[Any], Any]
) -> dict[str, Any]:
    """Return a copy in which every table is changed."""
    result = dict(numbers)
    for place in TABLES:
        _change(result, place, change)
    return result


def _change(
    part: dict[str, Any], place: tuple[str, ...], change: Callable[[Any], Any]
) -> None:
    """Change one table, where there is one, copying what lies above it."""
    key, *rest = place
    if part.get(key) is None:
        return
    if rest:
        part[key] = dict(part[key])
        _change(part[key], tuple(rest), change)
    else:
        part[key] = change(part[key])
