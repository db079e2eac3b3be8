"""Show results as plain text and as a small HTML table, without computing anything."""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from html import escape
from math import isinf
from numbers import Integral, Real
from typing import Any

import pandas as pd

from selfloop.core.schema import TABLES, Column

MISSING = "–"
"""How a missing value is shown; never a zero."""

Fact = tuple[str, Any]
"""A label and its value: text as it is, anything else by its type."""

Section = tuple[str, pd.DataFrame, str]
"""A title, a table, and its name in `selfloop.core.schema.TABLES` (or ``""``)."""

_MAX_TEXT = 40
_NUMERIC = {"int", "float", "money", "share", "days"}
_PREFIXES = {"n_": "int", "share_": "share"}
_SUFFIXES = {"_days": "days", "_at": "time", "_value": "money"}
_ROOT = "color:inherit;background:transparent;font:inherit;overflow-x:auto"
_TABLE = (
    "color:inherit;background:transparent;border-collapse:collapse;"
    "font-variant-numeric:tabular-nums;margin:.3em 0 .8em;text-align:right"
)


def format_value(value: object, kind: str = "") -> str:
    """Return one value as people read it.

    Parameters
    ----------
    value : object
        A number, date, text or flag; ``None``, NaN and NaT are missing.
    kind : str, optional
        Kind of the column (see `selfloop.core.schema.Column`); by the type of the
        value when empty.

    Returns
    -------
    str
        ``12.3 %`` for a share, ``1,234.50`` for money, ``30 d`` for days, ``–`` for
        a missing value. Text comes back with control characters escaped.

    Examples
    --------
    >>> format_value(0.1234, "share"), format_value(1234.5, "money")
    ('12.3 %', '1,234.50')
    >>> format_value(float("nan"), "share")
    '–'
    """
    if isinstance(value, (list, tuple)):
        return " · ".join(format_value(v) for v in value)
    if _is_missing(value):
        return MISSING
    if kind in ("flag", "") and isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (date, pd.Period)):
        return _format_time(value, kind)
    if isinstance(value, (Real, Decimal)):
        return _format_number(value, kind)
    return _printable(str(value))


def text_table(
    frame: pd.DataFrame, title: str = "", *, table: str = "", max_rows: int = 20
) -> str:
    """Return a table as aligned plain text; Chinese characters take two places.

    Parameters
    ----------
    frame : pandas.DataFrame
        The table. Columns ``x``, ``x_low`` and ``x_high`` are shown as one.
    title : str, optional
        Line above the table.
    table : str, optional
        Its name in `selfloop.core.schema.TABLES`, which says the kind of each
        column; columns not found there go by their name and type.
    max_rows : int, optional
        Rows shown; the rest are counted in a last line.

    Returns
    -------
    str

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"segment": ["直播", "paid"], "n_reached": [1200, 7]})
    >>> print(text_table(frame, "Buyers"))
    Buyers
    segment  n_reached
    直播         1,200
    paid             7
    """
    heads, rows, numeric = _cells(frame, table, max_rows)
    lines = [_printable(title)] if title else []
    if not heads:
        return "\n".join([*lines, "(no columns)"])
    rows = [[_clip(cell) for cell in row] for row in rows]
    wrapped = [
        _wrap_head(head, max([10, *(_width(row[i]) for row in rows)]))
        for i, head in enumerate(heads)
    ]
    depth = max(len(parts) for parts in wrapped)
    grid = [
        [([""] * (depth - len(parts)) + parts)[level] for parts in wrapped]
        for level in range(depth)
    ] + rows
    widths = [max(_width(row[i]) for row in grid) for i in range(len(heads))]
    for row in grid:
        cells = [
            _pad(c, w, numeric=n) for c, w, n in zip(row, widths, numeric, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    lines += _rest(frame, max_rows)
    return "\n".join(lines)


def html_table(
    frame: pd.DataFrame,
    title: str = "",
    *,
    caption: str = "",
    table: str = "",
    max_rows: int = 12,
) -> str:
    """Return a table as HTML that looks right on a white and on a black page.

    Parameters
    ----------
    frame : pandas.DataFrame
        The table. Columns ``x``, ``x_low`` and ``x_high`` are shown as one.
    title : str, optional
        Bold line above the table.
    caption : str, optional
        Small line under the title.
    table : str, optional
        Its name in `selfloop.core.schema.TABLES`.
    max_rows : int, optional
        Rows shown; the rest are counted in a last line.

    Returns
    -------
    str
        Inline styles only, no script, every text escaped.

    Examples
    --------
    >>> import pandas as pd
    >>> "&lt;b&gt;" in html_table(pd.DataFrame({"person_id": ["<b>"]}))
    True
    """
    heads, rows, numeric = _cells(frame, table, max_rows)
    label = f"<strong>{_html(title)}</strong>" if title else ""
    if caption:
        label += f'<div style="opacity:.75">{_html(caption)}</div>'
    head = "".join(
        f'<th scope="col"{_align(numeric=n)}>{_html(h)}</th>'
        for h, n in zip(heads, numeric, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{_align(numeric=n)}>{escape(c)}</td>"
            for c, n in zip(row, numeric, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    rest = "".join(f"<div>{line}</div>" for line in _rest(frame, max_rows))
    return (
        f'<div style="{_ROOT}">{label}<table cellpadding="4" style="{_TABLE}">'
        f'<thead style="border-bottom:1px solid"><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>{rest}</div>"
    )


def show_text(
    title: str, facts: Iterable[Fact], *, tables: Sequence[Section] = ()
) -> str:
    """Return a whole result as plain text: a title, its facts, its tables.

    Parameters
    ----------
    title : str
        First line.
    facts : iterable of (label, value)
        Shown one a line; give `format_value` results where the kind matters.
    tables : sequence of (title, frame, schema name), optional
        Shown below, as `text_table` shows them.

    Returns
    -------
    str

    Examples
    --------
    >>> print(show_text("Loop", [("buyers", 1200), ("R(90)", "0.31")]))
    Loop
      buyers  1,200
      R(90)   0.31
    """
    shown = [(_printable(label), format_value(value)) for label, value in facts]
    width = max((_width(label) for label, _ in shown), default=0)
    blocks = ["\n".join([
        _printable(title),
        *(f"  {_pad(k, width, numeric=False)}  {v}" for k, v in shown),
    ])]  # fmt: skip
    blocks += [text_table(frame, head, table=name) for head, frame, name in tables]
    return "\n\n".join(blocks)


def show_html(
    title: str, facts: Iterable[Fact], *, tables: Sequence[Section] = ()
) -> str:
    """Return a whole result as a small HTML card: a title, its facts, its tables.

    Parameters
    ----------
    title : str
        First line.
    facts : iterable of (label, value)
        Shown on one line; give `format_value` results where the kind matters.
    tables : sequence of (title, frame, schema name), optional
        Shown below, as `html_table` shows them.

    Returns
    -------
    str
        Inline styles only, no script, every text escaped.

    Examples
    --------
    >>> card = show_html("Loop", [("buyers", 1200)])
    >>> "<strong>Loop</strong>" in card and "<b>1,200</b>" in card
    True
    """
    line = " &ensp; ".join(
        f"{_html(label)} <b>{escape(format_value(value))}</b>" for label, value in facts
    )
    parts = [html_table(frame, head, table=name) for head, frame, name in tables]
    return (
        f'<div style="{_ROOT}"><strong>{_html(title)}</strong>'
        f'<div style="margin:.2em 0 .8em">{line}</div>{"".join(parts)}</div>'
    )


def _is_missing(value: object) -> bool:
    """Say whether a scalar is None, NaN, NaT or NA."""
    return value is None or value is pd.NaT or value is pd.NA or value != value


def _printable(value: str) -> str:
    """Escape control characters, which could move a cursor or reverse a line."""
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)


def _html(value: str) -> str:
    """Escape a text for HTML."""
    return escape(_printable(value))


def _format_time(value: date | pd.Period, kind: str) -> str:
    """Show a time to the minute, a date to the day, a month to the month."""
    if kind == "month":
        return value.strftime("%Y-%m")
    if isinstance(value, datetime) and kind != "date":
        return value.strftime("%Y-%m-%d %H:%M")
    return value.strftime("%Y-%m-%d")


def _format_number(value: Real | Decimal, kind: str) -> str:
    """Show a number by the kind of its column."""
    number = float(value)
    if isinf(number):
        return "∞" if number > 0 else "-∞"
    if kind == "money":
        return f"{value:z,.2f}"
    if kind == "share":
        return f"{number * 100:.1f} %"
    if kind == "days":
        return f"{number:,.1f}".removesuffix(".0") + " d"
    if kind == "int" or isinstance(value, Integral):
        return f"{number:,.0f}"
    return f"{number:,.1f}" if abs(number) >= 1000 else f"{number:.4g}"


def _kind(column: str, values: "pd.Series[Any]", declared: Sequence[Column]) -> str:
    """Find the kind of a column: declared, else by its name, else by its type."""
    for known in declared:
        if known.name == column:
            return known.kind
    for prefix, kind in _PREFIXES.items():
        if column.startswith(prefix):
            return kind
    for suffix, kind in _SUFFIXES.items():
        if column.endswith(suffix):
            return kind
    if pd.api.types.is_bool_dtype(values.dtype):
        return "flag"
    if pd.api.types.is_integer_dtype(values.dtype):
        return "int"
    return "float" if pd.api.types.is_float_dtype(values.dtype) else ""


def _cells(
    frame: pd.DataFrame, table: str, max_rows: int
) -> tuple[list[str], list[list[str]], list[bool]]:
    """Return headings, formatted rows, and which columns hold numbers."""
    declared = TABLES[table] if table else ()
    names = [str(c) for c in frame.columns]
    top = frame.head(max_rows)
    ends = {f"{c}{end}" for c in names for end in ("_low", "_high")}
    ends = {e for e in ends if {f"{_stem(e)}_low", f"{_stem(e)}_high"} <= set(names)}
    heads: list[str] = []
    columns: list[list[str]] = []
    numeric: list[bool] = []
    for position, name in enumerate(names):
        if name in ends:
            continue
        kind = _kind(name, top.iloc[:, position], declared)
        shown = [format_value(v, kind) for v in top.iloc[:, position]]
        if f"{name}_low" in ends:
            low = top.iloc[:, names.index(f"{name}_low")]
            high = top.iloc[:, names.index(f"{name}_high")]
            shown = [
                _interval(s, format_value(a, kind), format_value(b, kind))
                for s, a, b in zip(shown, low, high, strict=True)
            ]
        heads.append(_printable(name))
        columns.append(shown)
        numeric.append(kind in _NUMERIC)
    rows = [list(row) for row in zip(*columns, strict=True)]
    return heads, rows, numeric


def _stem(name: str) -> str:
    """Return the name of a column without the end of its interval."""
    return name[:-4] if name.endswith("_low") else name.removesuffix("_high")


def _interval(value: str, low: str, high: str) -> str:
    """Write an estimate with its interval; just the estimate when there is none."""
    if MISSING in (value, low, high):
        return value
    for unit in (" %", " d"):
        low = low.removesuffix(unit)
    return f"{value} [{low}, {high.removesuffix(' %').removesuffix(' d')}]"


def _rest(frame: pd.DataFrame, max_rows: int) -> list[str]:
    """Say how many rows are not shown, or that there are none."""
    if len(frame) == 0:
        return ["(no rows)"]
    n_more = len(frame) - max_rows
    return [f"… {n_more:,} more rows"] if n_more > 0 else []


def _align(*, numeric: bool) -> str:
    """Return the style of a cell; numbers have that of the table."""
    return "" if numeric else ' style="text-align:left"'


def _width(value: str) -> int:
    """Count the places a text takes on a terminal."""
    return sum(
        0
        if unicodedata.combining(c)
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in value
    )


def _pad(value: str, width: int, *, numeric: bool) -> str:
    """Fill a cell to its width, numbers from the left."""
    space = " " * (width - _width(value))
    return space + value if numeric else value + space


def _clip(value: str) -> str:
    """Cut a long text, with a mark."""
    if _width(value) <= _MAX_TEXT:
        return value
    while _width(value) > _MAX_TEXT - 1:
        value = value[:-1]
    return value + "…"


def _wrap_head(head: str, width: int) -> list[str]:
    """Break a long heading after its underscores, so that tables stay narrow."""
    lines = [""]
    for part in head.replace("_", "_\n").split("\n"):
        if lines[-1] and _width(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return lines
