"""Columns as ids, times and money, whatever type they arrived in."""

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from selfloop.core.errors import Problem
from selfloop.inputs.engine import parse_time, to_zone

MONEY = dt.Decimal(18, 4)
"""Money of one row: exact, four decimals, below 10**14."""

_BLANK_WORDS = ("", "nan", "null", "none", "<na>", "nat", "n/a", "#n/a")
_AWARE = r"\d:\d\d(:\d\d(\.\d+)?)?\s*([Zz]|[+-]\d\d(:?\d\d)?)$"
_SLASHED = r"^(\d{1,2})[/.-](\d{1,2})[/.-]\d{4}\b"
_GROUPED = r"^-?\d{1,3}(,\d{3})+(\.\d+)?$"
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_FORMATS = (
    "%Y%m%d",
    "%Y%m%d%H%M%S",
    "%Y.%m.%d",
    "%Y.%m.%d %H:%M",
    "%Y.%m.%d %H:%M:%S",
    "%Y年%m月%d日",
    "%Y年%m月%d日 %H:%M",
    "%Y年%m月%d日 %H:%M:%S",
    "%Y年%m月%d日%H时%M分%S秒",
    "%d %b %Y",
    "%b %d, %Y",
    "%b %d %Y",
    "%d-%b-%Y",
)
_BLANK_SPELLINGS = sorted(
    {f(word) for word in _BLANK_WORDS for f in (str.lower, str.upper, str.title)}
    | {"NaN", "NaT"}
)
_LONGEST_BLANK = max(len(word) for word in _BLANK_WORDS)
_YEARS = (1700, 2200)


def as_text(column: ir.Value) -> ir.StringValue:
    """Trim a column to text; blanks and words for missing become missing."""
    if column.type().is_string():
        # Exports also have full-width blanks, which no engine trims.
        text = column.replace("\u3000", " ").strip()
        # Long ids are told apart from these words by their length alone, which is cheap.
        blank = (text.length() <= _LONGEST_BLANK) & text.lower().isin(_BLANK_WORDS)
        return ibis.ifelse(blank, ibis.null("string"), text)
    return column.cast("string")


def is_untidy(column: ir.StringValue) -> ir.BooleanValue:
    """Tell whether `as_text` would change a text, by comparisons that cost little."""
    first_is_blank = column < "!"
    first_is_wide = (column >= "\u3000") & (column < "\u3001")
    untidy = first_is_blank | first_is_wide | column.isin(_BLANK_SPELLINGS)
    for blank in (" ", "\t", "\n", "\r", "\u3000"):
        untidy = untidy | column.endswith(blank)
    return untidy


def as_id(column: ir.Value) -> ir.StringValue:
    """Return ids as text: ``007`` stays ``007`` and the float 17850.0 is ``17850``."""
    kind = column.type()
    if kind.is_floating():
        whole = column.try_cast("int64")
        written = ibis.ifelse(
            whole.cast("float64") == column, whole.cast("string"), column.cast("string")
        )
        return ibis.ifelse(column.isnan(), ibis.null("string"), written)
    if kind.is_decimal():
        whole = column.try_cast("int64")
        is_whole = whole.cast(kind) == column
        return ibis.ifelse(is_whole, whole.cast("string"), column.cast("string"))
    return as_text(column)


def as_money(column: ir.Value) -> ir.DecimalValue:
    """Return money as a decimal; missing when it cannot be read."""
    kind = column.type()
    if kind.is_string():
        text = as_text(column)
        bare = text.re_replace(r"[¥￥$€£元\s]", "")
        grouped = bare.re_search(_GROUPED)
        digits = ibis.ifelse(grouped, bare.replace(",", ""), bare)
        return ibis.coalesce(text.try_cast(MONEY), digits.try_cast(MONEY))
    if kind.is_floating():
        usable = ~(column.isnan() | column.isinf())
        return ibis.ifelse(usable, column, ibis.null(kind)).try_cast(MONEY)
    return column.try_cast(MONEY)


def is_infinite(column: ir.Value) -> ir.BooleanValue:
    """Tell whether an amount is infinite, as a number or in words."""
    kind = column.type()
    if kind.is_floating():
        return column.isinf().fill_null(ibis.literal(value=False))
    if kind.is_string():
        return (
            as_text(column)
            .lower()
            .re_search(r"^[+-]?inf(inity)?$")
            .fill_null(ibis.literal(value=False))
        )
    return ibis.literal(value=False)


def as_time(
    column: ir.Value, *, zone: str, date_format: str | None, day_first: bool | None
) -> ir.TimestampValue:
    """Return wall-clock times in `zone`, without a zone; missing when unreadable.

    Parameters
    ----------
    column : ibis column
        Timestamps with or without a zone, dates, or text.
    zone : str
        Zone of the analysis; naive times are already in it.
    date_format : str or None
        The one format of text, in the notation of ``strptime``.
    day_first : bool or None
        Meaning of ``1/2/2026``; None leaves such text unread.

    Returns
    -------
    ibis timestamp column
    """
    kind = column.type()
    if kind.is_timestamp():
        time = column
        if kind.timezone is not None:
            time = to_zone(
                ibis.literal(zone), column.cast(dt.Timestamp(timezone="UTC"))
            )
        time = time.cast(dt.timestamp)
    elif kind.is_date():
        time = column.cast(dt.timestamp)
    elif kind.is_string() or kind.is_integer() or kind.is_floating():
        text = as_id(column) if not kind.is_string() else as_text(column)
        time = _text_time(text, zone, date_format, day_first)
    else:
        time = ibis.null(dt.timestamp)
    inside = time.year().between(*_YEARS)
    return ibis.ifelse(inside, time, ibis.null(dt.timestamp))


def _text_time(
    text: ir.StringValue, zone: str, date_format: str | None, day_first: bool | None
) -> ir.TimestampValue:
    """Read times from text."""
    if date_format is not None:
        return parse_time(text, ibis.array([date_format]))
    formats = list(_FORMATS)
    if day_first is not None:
        date = "%d/%m/%Y" if day_first else "%m/%d/%Y"
        formats += [date + clock for clock in _CLOCKS]
    slashed = ibis.ifelse(
        text.re_search(_SLASHED),
        text.re_replace(r"^(\d+)[.-](\d+)[.-]", r"\1/\2/"),
        text,
    )
    naive = ibis.coalesce(
        text.try_cast(dt.timestamp), parse_time(slashed, ibis.array(formats))
    )
    moment = text.try_cast(dt.Timestamp(timezone="UTC"))
    return ibis.ifelse(
        text.re_search(_AWARE), to_zone(ibis.literal(zone), moment), naive
    )


def time_notation(
    column: ir.Value, table: str, name: str
) -> tuple[bool | None, int, int, Problem | None]:
    """Look at a time column once: zones, and what ``1/2/2026`` means in it.

    Parameters
    ----------
    column : ibis column
        The time column as it was found.
    table, name : str
        Its table and name, for the message.

    Returns
    -------
    day_first : bool or None
        True for day/month/year, False for month/day/year, None when there is none.
    n_aware : int
        Values that carry a zone.
    n_naive : int
        Values that carry none.
    problem : Problem or None
        Set when the column does not tell which is the day (SL115).
    """
    kind = column.type()
    if not kind.is_string():
        aware = kind.is_timestamp() and kind.timezone is not None
        return None, int(aware), int(not aware), None
    text = as_text(column)
    first = text.re_extract(_SLASHED, 1).try_cast("int64")
    second = text.re_extract(_SLASHED, 2).try_cast("int64")
    aware = text.re_search(_AWARE)
    seen = (
        column.as_table()
        .aggregate(
            n_slashed=text.re_search(_SLASHED).sum(),
            day_is_first=(first > 12).sum(),
            day_is_second=(second > 12).sum(),
            n_aware=aware.sum(),
            n=text.count(),
        )
        .to_pyarrow()
        .to_pylist()[0]
    )
    n_aware, n = int(seen["n_aware"] or 0), int(seen["n"] or 0)
    if not seen["n_slashed"]:
        return None, n_aware, n - n_aware, None
    is_first, is_second = bool(seen["day_is_first"]), bool(seen["day_is_second"])
    if is_first != is_second:
        return is_first, n_aware, n - n_aware, None
    why = "both orders occur" if is_first else "no day is above 12"
    problem = Problem(
        "SL115",
        table,
        f"{seen['n_slashed']:,} values of '{name}' are like 1/2/2026 and it cannot be "
        f"told which is the day: {why}",
        'say it: date_format="%d/%m/%Y" or date_format="%m/%d/%Y"',
        "--date-format %d/%m/%Y",
    )
    return None, n_aware, n - n_aware, problem
