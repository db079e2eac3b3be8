"""Values and tables as JSON has them: text, numbers, None."""

import math
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd

from selfloop.core.schema import TABLES


def plain(value: object, kind: str = "") -> Any:  # noqa: ANN401 - any JSON value
    """Return a value as JSON has it.

    Parameters
    ----------
    value : object
        A cell of a table: text, number, date, or a missing value of any kind.
    kind : str, optional
        Kind of its column (see `selfloop.core.schema.Column`).

    Returns
    -------
    str, int, float, bool or None
        ``None`` for every missing value and for infinity; floats with 12 digits,
        which keeps the cent and drops the noise behind it, shares with 6.

    Examples
    --------
    >>> import pandas as pd
    >>> plain(float("nan")), plain(pd.NaT), plain(0.1 + 0.2)
    (None, None, 0.3)
    >>> plain(pd.Timestamp("2026-03-01"), "month")
    '2026-03'
    """
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, Decimal)):
        digits = 6 if kind == "share" else 12
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    if isinstance(value, pd.Period) or (isinstance(value, date) and kind == "month"):
        return value.strftime("%Y-%m")
    if isinstance(value, datetime) and kind != "date":
        return value.isoformat(timespec="seconds")
    return value.strftime("%Y-%m-%d") if isinstance(value, date) else str(value)


def records(frame: pd.DataFrame, table: str = "") -> list[dict[str, Any]]:
    """Return the rows of a table as dictionaries of plain values.

    Parameters
    ----------
    frame : pandas.DataFrame
        A small table.
    table : str, optional
        Its name in `selfloop.core.schema.TABLES`, for the kinds of its columns.

    Returns
    -------
    list of dict

    Examples
    --------
    >>> records(pd.DataFrame({"stage": ["referral"], "n_reached": [7]}))
    [{'stage': 'referral', 'n_reached': 7}]
    """
    kinds = {c.name: c.kind for c in TABLES[table]} if table else {}
    names = [str(name) for name in frame.columns]
    columns = [
        [plain(value, kinds.get(name, "")) for value in frame.iloc[:, place]]
        for place, name in enumerate(names)
    ]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
