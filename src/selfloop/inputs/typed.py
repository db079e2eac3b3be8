"""Columns as ids, times and money, whatever type they arrived in."""

from collections.abc import Mapping

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from selfloop.core.errors import Problem
from selfloop.inputs.dialect import (
    matches,
    parse_moment,
    parse_time,
    replace,
    to_zone,
    try_cast,
)
from selfloop.inputs.strptime import ISO, Pattern, dotted, pattern_of, read_iso

MONEY = dt.Decimal(18, 4)
"""Money of one row: exact, four decimals, below 10**14."""

FACTOR = dt.Decimal(19, 6)
"""Quantity and unit price: six decimals, so that 0.00125 x 10,000 is 12.5.

Nineteen digits, because DuckDB keeps a product of two eighteens in eighteen."""

# Patterns are written so that RE2, Java and PostgreSQL read them alike: characters
# stand for themselves, digits are 0 to 9, and there are no marks of word ends.
# Blanks of all alphabets, and the two marks that nobody sees.
_BLANK = (
    # Not the characters themselves: Spark takes a tab for a t in the text of a query.
    r"[\t\n\f\r\x0b "
    "\u00a0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff]"
)
EDGES = f"^{_BLANK}+|{_BLANK}+$"
MISSING_WORDS = "(?i)^(nan|null|none|<na>|nat|n/a|#n/a)$"
_SIGNS = "[¥￥$€£元]"
_NUMBER = r"([0-9]+|[0-9]{1,3}(,[0-9]{3})+|[0-9]{1,3}( [0-9]{3})+)(\.[0-9]*)?"
# One sign of a currency, before the number or after it.
_AMOUNT = rf"^[+-]?( ?[¥￥$€£] ?[+-]?{_NUMBER}|{_NUMBER}( ?{_SIGNS})?)$"
_COMMA_DECIMALS = r"^[^,]*[0-9],[0-9]{1,2}[ ¥￥$€£元]*$|\.[0-9]{3},[0-9]"
_POINT_THOUSANDS = r"^[^0-9]*[1-9][0-9]{0,2}(\.[0-9]{3})+[ ¥￥$€£元]*$"
_DATE = "[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}"
_OFFSET = "[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?"
_SECONDS = r"[0-9]{1,2}(\.[0-9]+)?"
_AWARE = rf"[0-9]:[0-9][0-9](:[0-9][0-9](\.[0-9]+)?)? ?(Z|z|UTC|GMT|{_OFFSET})$"
_ISO = rf"^{_DATE}([T ][0-9]{{1,2}}:[0-9]{{1,2}}(:{_SECONDS})?)?$"
_ISO_AWARE = rf"^{_DATE}[T ][0-9]{{1,2}}:[0-9][0-9]:[0-9][0-9](\.[0-9]+)?(Z|{_OFFSET})$"
_WORD_END = "([^0-9A-Za-z_]|$)"
_SLASHED = rf"^([0-9]{{1,2}})[/.-]([0-9]{{1,2}})[/.-][0-9]{{4}}{_WORD_END}"
_DOTTED = rf"^([0-9]{{1,2}})[.-]([0-9]{{1,2}})[.-]([0-9]{{4}}){_WORD_END}"
# No date: a row of digits of another length, such as the 13 of a Unix time, and
# words such as 'epoch', which the engine would take for one.
_NO_DATE = "^[0-9]{1,7}$|^[0-9]{9,13}$|^[0-9]{15,}$|^[^0-9]*$"
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
_YEARS = (1700, 2200)
_INFINITY = float("inf")  # not isinf: ibis 12 finds none in Spark
LONGEST_MISSING = 4


def as_text(column: ir.Value) -> ir.StringValue:
    """Trim a column to text; blanks and words for missing become missing."""
    if column.type().is_string():
        return column.re_replace(EDGES, "").re_replace(MISSING_WORDS, "").nullif("")
    return column.cast("string")


def is_untidy(column: ir.StringValue) -> ir.BooleanValue:
    """Tell whether `as_text` would change a text."""
    # Long ids are told apart from these words by their length alone, which is cheap.
    is_missing = (column.length() <= LONGEST_MISSING) & matches(column, MISSING_WORDS)
    return matches(column, EDGES) | is_missing | (column == "")


def as_id(column: ir.Value) -> ir.StringValue:
    """Return ids as text: ``007`` stays ``007`` and the float 17850.0 is ``17850``."""
    kind = column.type()
    if kind.is_floating():
        whole = try_cast(column, "int64")
        written = ibis.ifelse(
            whole.cast("float64") == column, whole.cast("string"), column.cast("string")
        )
        return ibis.ifelse(column.isnan(), ibis.null("string"), written)
    if kind.is_decimal():
        whole = try_cast(column, "int64")
        is_whole = whole.cast(kind) == column
        return ibis.ifelse(is_whole, whole.cast("string"), column.cast("string"))
    return as_text(column)


def as_money(
    column: ir.Value, kind: dt.Decimal = MONEY, *, tidy: bool = False
) -> ir.DecimalValue:
    """Return money as a decimal; missing when it cannot be read.

    Parameters
    ----------
    column : ibis column
        Numbers or text: ``1,234.50``, ``¥1234.5``, ``12.50元``. A comma parts
        thousands, and nothing else: ``12,50`` cannot be read.
    kind : decimal type
        Digits that are kept.
    tidy : bool
        Whether text is tidy already.

    Returns
    -------
    ibis decimal column
    """
    found = column.type()
    if found.is_string():
        text = column if tidy else as_text(column)
        digits = text.re_extract(_AMOUNT, 0).re_replace("[^0-9.+-]", "")
        return ibis.coalesce(try_cast(text, kind), try_cast(digits, kind))
    if found.is_floating():
        usable = ~(column.isnan() | (column.abs() == _INFINITY))
        return try_cast(ibis.ifelse(usable, column, ibis.null(found)), kind)
    if found.is_integer() or found.is_decimal():
        return try_cast(column, kind)
    return ibis.null(kind)


def as_product(
    quantity: ir.Value, unit_price: ir.Value, *, tidy: bool = False
) -> ir.DecimalValue:
    """Return quantity times unit price as money; missing when it cannot be told."""
    factors = (as_money(c, FACTOR, tidy=tidy) for c in (quantity, unit_price))
    return try_cast(next(factors) * next(factors), MONEY)


def has_comma_decimals(column: ir.StringValue) -> ir.BooleanValue:
    """Tell whether a text is an amount such as ``12,50`` or ``1.234,50``."""
    return matches(as_text(column), _COMMA_DECIMALS)


def has_point_thousands(column: ir.StringValue) -> ir.BooleanValue:
    """Tell whether a text is an amount such as ``1.234``, or looks like one."""
    return matches(as_text(column), _POINT_THOUSANDS)


def currency_sign(column: ir.StringValue) -> ir.StringValue:
    """Return the currency sign in an amount of text; missing when it has none."""
    sign = column.re_extract(_SIGNS, 0)
    sign = ibis.ifelse(sign.isin(("￥", "元")), "¥", sign)
    return sign.nullif("")


def is_infinite(column: ir.Value) -> ir.BooleanValue:
    """Tell whether an amount is infinite, as a number or in words."""
    kind = column.type()
    if kind.is_floating():
        return (column.abs() == _INFINITY).fill_null(ibis.literal(value=False))
    if kind.is_string():
        words = matches(as_text(column), "(?i)^[+-]?inf(inity)?$")
        return words.fill_null(ibis.literal(value=False))
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
        The one format of text, in the notation of ``strptime``; one without a clock
        also reads dates that have one.
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
        time = _text_time(text, zone, date_format, day_first=day_first)
    else:
        time = ibis.null(dt.timestamp)
    return _in_years(time)


def written_time(written: Mapping[str, ir.StringValue], zone: str) -> ir.TimestampValue:
    """Return the times of a column of text; missing when unreadable.

    Parameters
    ----------
    written : mapping of str to ibis column
        Result of `strptime.iso_of`.
    zone : str
        Zone of the analysis; naive times are already in it.

    Returns
    -------
    ibis timestamp column
    """
    return _in_years(read_iso(written, zone))


def _in_years(time: ir.TimestampValue) -> ir.TimestampValue:
    """Leave out times of years that nobody means."""
    inside = time.year().between(*_YEARS)
    return ibis.ifelse(inside, time, ibis.null(dt.timestamp))


def _text_time(
    text: ir.StringValue, zone: str, date_format: str | None, *, day_first: bool | None
) -> ir.TimestampValue:
    """Read times from text, with a zone or without."""
    here = ibis.literal(zone)
    if date_format is not None:
        formats = _with_clocks(date_format)
        text = text.re_replace("^[^0-9]*$", "")
        if "%z" in date_format:
            # DuckDB reads the 31st of June as the 1st of July where there is a zone.
            bare = text.re_replace(f" ?(Z|{_OFFSET})$", "")
            day = parse_time(bare, ibis.array([date_format.replace("%z", "").strip()]))
            moment = to_zone(here, parse_moment(text, ibis.array(formats)))
            return ibis.ifelse(day.notnull(), moment, ibis.null(dt.timestamp))
        return parse_time(text, ibis.array(formats))
    # Each of the three is missing where its pattern is not found. The patterns keep
    # the engine from reading '... UTC' as if nothing were said of a zone.
    moment = _with_offset(text).re_extract(_ISO_AWARE, 0)
    return ibis.coalesce(
        text.re_extract(_ISO, 0).try_cast(dt.timestamp),
        to_zone(here, moment.try_cast(dt.Timestamp(timezone="UTC"))),
        _written_time(text, day_first=day_first),
    )


def _with_clocks(date_format: str) -> list[str]:
    """Return a format and, if it has no clock, the same with the usual clocks."""
    has_clock = any(part in date_format for part in ("%H", "%I", "%-H", "%-I", "%X"))
    return [date_format] if has_clock else [date_format + c for c in _CLOCKS]


def _with_offset(text: ir.StringValue) -> ir.StringValue:
    """Write the zone of a time as the engine reads it: ``10:30:00+0800``."""
    text = text.re_replace(r" ?(UTC|GMT|z|Z)$", "Z")
    text = replace(text, "( )([+-][0-9:]+)$", r"\2")
    return replace(text, "([T ][0-9]{1,2}:[0-9][0-9])(Z|[+-])", r"\1:00\2")


def _written_time(text: ir.StringValue, *, day_first: bool | None) -> ir.TimestampValue:
    """Read times as people write them, with no zone."""
    formats = [*_FORMATS, *_slashed(day_first=day_first)]
    text = replace(text, _DOTTED, r"\1/\2/\3\4")
    return parse_time(text.re_replace(_NO_DATE, ""), ibis.array(formats))


def _slashed(*, day_first: bool | None) -> list[str]:
    """List the formats of dates such as 1/2/2026, when it is known which is the day."""
    if day_first is None:
        return []
    date = "%d/%m/%Y" if day_first else "%m/%d/%Y"
    return [date + clock for clock in _CLOCKS]


def time_patterns(date_format: str | None, *, day_first: bool | None) -> list[Pattern]:
    """List how times may be written, for engines that cannot read a format.

    Parameters
    ----------
    date_format : str or None
        The one format, when the user has given one.
    day_first : bool or None
        Meaning of ``1/2/2026``.

    Returns
    -------
    list of Pattern
        The first that fits a text counts.
    """
    if date_format is not None:
        return [pattern_of(words) for words in _with_clocks(date_format)]
    slashed = [pattern_of(words) for words in _slashed(day_first=day_first)]
    written = [pattern_of(words) for words in _FORMATS]
    return [*ISO, *written, *slashed, *(dotted(pattern) for pattern in slashed)]


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
    first = try_cast(text.re_extract(_SLASHED, 1), "int64")
    second = try_cast(text.re_extract(_SLASHED, 2), "int64")
    aware = matches(text, _AWARE)
    seen = (
        column.as_table()
        .aggregate(
            n_slashed=matches(text, _SLASHED).sum(),
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
