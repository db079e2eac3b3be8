"""Times in text by their parts, for engines that cannot read a format."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from selfloop.inputs.dialect import groups, matches, to_zone

_UTC = dt.Timestamp(timezone="UTC")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august",
    "september", "october", "november", "december",
)  # fmt: skip
_DAYS = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)  # fmt: skip
_LENGTH = {"Y": 4, "y": 2, "m": 2, "d": 2, "H": 2, "I": 2, "M": 2, "S": 2, "f": 6}


def _any_case(words: Iterable[str]) -> str:
    """Write words as a pattern, in capitals or not."""
    letters = ("".join(f"[{c.upper()}{c}]" for c in word) for word in words)
    return "|".join(letters)


_WORDS = {
    "b": _any_case(m[:3] for m in _MONTHS),
    "B": _any_case(_MONTHS),
    "a": _any_case(d[:3] for d in _DAYS),
    "A": _any_case(_DAYS),
    "p": _any_case(["am", "pm"]),
    "z": "[+-][0-9]{2}:?[0-9]{2}|[+-][0-9]{2}",
}
READ = (*_LENGTH, *_WORDS)
"""Parts of a format that are read by their parts, and %X for %H:%M:%S."""

PARTS = {
    "Y": "year", "y": "short_year", "m": "month", "b": "short_month", "B": "long_month",
    "d": "day", "H": "hour", "I": "half_hour", "p": "half", "M": "minute",
    "S": "second", "f": "fraction", "z": "offset",
}  # fmt: skip
"""Parts that make a time, and their columns; a day of the week does not."""

WRITTEN = "time", "offset", "add_days"
"""Columns of times in ISO notation."""

_CENTURY_TURNS = 69
"""Two digits of a year below this are of this century, as strptime has it."""


@dataclass(frozen=True)
class Pattern:
    """A format as a regular expression.

    Parameters
    ----------
    regex : str
        The whole text, capitals or not.
    group : dict of str to int
        Which group holds which part.
    n_groups : int
        All groups, those that hold no part too.
    is_iso : bool
        Whether it is ISO notation.
    """

    regex: str
    group: Mapping[str, int]
    n_groups: int
    is_iso: bool = False


def unread(date_format: str) -> list[str]:
    """List the parts of a format that cannot be read here.

    Examples
    --------
    >>> unread("%Y-%m-%d %H:%M"), unread("%G week %V")
    ([], ['%G', '%V'])
    """
    found = re.findall("%-?([A-Za-z])", date_format.replace("%X", "%H:%M:%S"))
    return [f"%{part}" for part in found if part not in READ]


def pattern_of(date_format: str) -> Pattern:
    """Turn a format into a regular expression.

    Parameters
    ----------
    date_format : str
        In the notation of ``strptime``.

    Returns
    -------
    Pattern

    Examples
    --------
    >>> pattern_of("%d/%m/%Y").regex
    '^([0-9]{1,2})/([0-9]{1,2})/([0-9]{1,4})$'
    """
    pieces = re.findall(
        r"%-?[A-Za-z]|%%|\s+|.", date_format.replace("%X", "%H:%M:%S"), re.DOTALL
    )
    regex: list[str] = []
    group: dict[str, int] = {}
    for piece, after in zip(pieces, [*pieces[1:], ""], strict=True):
        part = piece.lstrip("%-")
        if len(piece) > 1 and piece[0] == "%" and part in READ:
            group[part] = len(group) + 1
            length = _LENGTH.get(part)
            # A number right before another one has all its digits.
            least = length if after.lstrip("%-") in _LENGTH and after[:1] == "%" else 1
            words = _WORDS.get(part) or f"[0-9]{{{least},{length}}}"
            regex.append(f"({words})")
        elif piece.isspace():
            regex.append(r"[ \t]+")
        else:
            regex.append(re.escape("%" if piece == "%%" else piece))
    return Pattern(f"^{''.join(regex)}$", group, len(group))


def _iso(separator: str) -> Pattern:
    """Return a time in ISO notation, with an offset or without, as a pattern."""
    date = f"([0-9]{{4}}){separator}([0-9]{{1,2}}){separator}([0-9]{{1,2}})"
    clock = r"[T ]([0-9]{1,2}):([0-9]{1,2})(:([0-9]{1,2})(\.([0-9]{1,6})[0-9]*)?)?"
    offset = "[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?"
    return Pattern(
        f"^{date}({clock}( ?(Z|z|UTC|GMT|{offset}))?)?$",
        {"Y": 1, "m": 2, "d": 3, "H": 5, "M": 6, "S": 8, "f": 10, "z": 12},
        n_groups=14,
        is_iso=True,
    )


ISO = (_iso("-"), _iso("/"))
"""Times in ISO notation, parted by hyphens or by strokes."""


def dotted(pattern: Pattern) -> Pattern:
    """Return a pattern of 31/1/2026 as one of 31.1.2026 and 31-1-2026."""
    return replace(pattern, regex=pattern.regex.replace("/", "[.-]"))


def which_of(text: ir.StringValue, patterns: Sequence[Pattern]) -> ir.IntegerValue:
    """Return the number of the first pattern that a text has; missing if none."""
    branches = [(matches(text, p.regex), i) for i, p in enumerate(patterns)]
    return ibis.cases(*branches, else_=ibis.null("int32"))


def groups_of(
    text: ir.StringValue, which: ir.IntegerValue, patterns: Sequence[Pattern]
) -> ir.ArrayValue:
    """Return what the groups of a text's pattern hold.

    Parameters
    ----------
    text : ibis column
        Tidy text.
    which : ibis column
        Result of `which_of`.
    patterns : sequence of Pattern
        The same.

    Returns
    -------
    ibis array column
        Missing or empty text where a group is left out.
    """
    branches = [
        (which == i, groups(text, p.regex, p.n_groups)) for i, p in enumerate(patterns)
    ]
    return ibis.cases(*branches, else_=ibis.null("array<string>"))


def parts_of(
    groups: ir.ArrayValue, which: ir.IntegerValue, patterns: Sequence[Pattern]
) -> dict[str, ir.StringValue]:
    """Return the parts of times as they are written; missing where they are left out.

    Parameters
    ----------
    groups : ibis array column
        Result of `groups_of`.
    which : ibis column
        Result of `which_of`.
    patterns : sequence of Pattern
        The same.

    Returns
    -------
    dict of str to ibis column
        The columns of `PARTS`, and iso: not missing where it is ISO notation.
    """
    nothing = ibis.null("string")
    found = {}
    for part, column in PARTS.items():
        branches = [
            (which == i, groups[pattern.group[part] - 1])
            for i, pattern in enumerate(patterns)
            if part in pattern.group
        ]
        words = ibis.cases(*branches, else_=nothing) if branches else nothing
        found[column] = words.nullif("")
    isos = [i for i, pattern in enumerate(patterns) if pattern.is_iso]
    found["iso"] = ibis.ifelse(which.isin(isos) if isos else False, "1", nothing)
    return found


def iso_of(parts: Mapping[str, ir.StringValue]) -> dict[str, ir.StringValue]:
    """Write times in ISO notation; missing where the parts are no time.

    Parameters
    ----------
    parts : mapping of str to ibis column
        Result of `parts_of`.

    Returns
    -------
    dict of str to ibis column
        The columns of `WRITTEN`: time and offset as +08:00, and days to add, which is
        1 where the end of a day is written as 24:00, as ISO notation allows.
    """
    found = _Parts(parts)
    year, month, day = found.year(), found.month(), found.number("day")
    hour, minute, second = found.hour(), found.number("minute"), found.number("second")
    fraction = ibis.coalesce(parts["fraction"], "0").rpad(6, "0")
    is_end = (hour == 24) & (minute == 0) & (second == 0) & (fraction == "000000")
    is_end = is_end & parts["iso"].notnull()
    is_clock = ((hour <= 23) & (minute <= 59) & (second <= 59)) | is_end
    numbers = (month, day, hour % 24, minute, second)
    two = [number.cast("string").lpad(2, "0") for number in numbers]
    written = year.cast("string").lpad(4, "0") + "-" + two[0] + "-" + two[1]
    written = written + " " + two[2] + ":" + two[3] + ":" + two[4]
    written = written + "." + fraction
    is_time = _is_day(year, month, day) & is_clock
    return {
        "time": ibis.ifelse(is_time, written, ibis.null("string")),
        "offset": _colon(parts["offset"]),
        "add_days": (hour // 24).cast("string"),
    }


def read_iso(written: Mapping[str, ir.StringValue], zone: str) -> ir.TimestampValue:
    """Return wall-clock times in a zone.

    Parameters
    ----------
    written : mapping of str to ibis column
        Result of `iso_of`.
    zone : str
        Zone of the analysis; times without an offset are already in it.

    Returns
    -------
    ibis timestamp column
    """
    time, offset, nothing = written["time"], written["offset"], ibis.null("string")
    naive = ibis.ifelse(offset.isnull(), time, nothing).cast(dt.timestamp)
    aware = ibis.ifelse(offset.notnull(), time + offset, nothing).cast(_UTC)
    found = ibis.coalesce(naive, to_zone(ibis.literal(zone), aware))
    later = found + ibis.interval(days=1)
    return ibis.ifelse(written["add_days"] == "1", later, found)


@dataclass(frozen=True)
class _Parts:
    """The parts of times; see `parts_of`."""

    parts: Mapping[str, ir.StringValue]

    def number(self, part: str) -> ir.IntegerValue:
        """Return a part that is a number; 0 where it is left out."""
        return ibis.coalesce(self.parts[part].cast("int32"), 0)

    def year(self) -> ir.IntegerValue:
        """Return the year, of two digits or four."""
        short = self.parts["short_year"].cast("int32")
        century = ibis.ifelse(short < _CENTURY_TURNS, 2000, 1900)
        return ibis.coalesce(self.parts["year"].cast("int32"), short + century)

    def month(self) -> ir.IntegerValue:
        """Return the number of the month, which may be named."""
        name = (
            ibis.coalesce(self.parts["short_month"], self.parts["long_month"])
            .lower()
            .substr(0, 3)
        )
        branches = [(name == m[:3], i) for i, m in enumerate(_MONTHS, start=1)]
        named = ibis.cases(*branches, else_=0)
        return ibis.coalesce(self.parts["month"].cast("int32"), named)

    def hour(self) -> ir.IntegerValue:
        """Return the hour, of 24 or of 12; more than 24 where it is none."""
        half = self.parts["half_hour"].cast("int32")
        later = ibis.ifelse(self.parts["half"].lower() == "pm", 12, 0)
        full = ibis.ifelse(half.between(1, 12), half % 12 + later, 99)
        full = ibis.ifelse(half.isnull(), ibis.null("int32"), full)
        return ibis.coalesce(self.parts["hour"].cast("int32"), full, 0)


def _colon(offset: ir.StringValue) -> ir.StringValue:
    """Write an offset as +08:00."""
    is_zero = offset.upper().isin(["Z", "UTC", "GMT"])
    digits = ibis.ifelse(is_zero, "+0000", offset.re_replace(":", ""))
    return digits.substr(0, 3) + ":" + digits.substr(3, 2).rpad(2, "0")


def _is_day(
    year: ir.IntegerValue, month: ir.IntegerValue, day: ir.IntegerValue
) -> ir.BooleanValue:
    """Tell whether there is such a day."""
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last = ibis.cases(
        (month == 2, ibis.ifelse(leap, 29, 28)),
        (month.isin([4, 6, 9, 11]), 30),
        else_=31,
    )
    is_month = year.between(1, 9999) & month.between(1, 12)
    return is_month & (day >= 1) & (day <= last)
