"""Two analyses beside each other: what has changed, and what may be chance."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import DataError, Problem, SettingError
from selfloop.core.settings import CONFIDENCE
from selfloop.kernels.share_tests import shares_apart
from selfloop.kernels.stratified import holm
from selfloop.kernels.two_estimates import Known, apart
from selfloop.measures.analyze import Analysis
from selfloop.outputs.json_files import read_json
from selfloop.outputs.report.folding import to_rows
from selfloop.outputs.report.numbers import SCHEMA, report_numbers

_TOTALS = ("n_people", "n_buyers", "n_purchases", "revenue")
_NO_INTERVAL = "no interval"
_MOST_PEOPLE = 1 << 53
_DAMAGE = (
    ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError,
)  # fmt: skip
"""What numbers of another shape lead to."""

Source = Analysis | Mapping[str, Any] | str | os.PathLike[str]
"""An analysis, the numbers of a report, or the JSON file beside a report."""


@dataclass(frozen=True, eq=False)
class AnalysesCompared:
    """Two analyses beside each other, made by `compare`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.ANALYSES_COMPARED`.
    names : tuple of str
        What the first and the second are called.
    periods : tuple of tuple of date
        First and last observed day of each.
    n_days_shared : int
        Days that both observed: the people of these days are in both.
    notes : tuple of str
        What makes the two less alike than they look.
    """

    table: pd.DataFrame = field(repr=False)
    names: tuple[str, str]
    periods: tuple[tuple[date, date], tuple[date, date]]
    n_days_shared: int
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the table, columns of `schema.ANALYSES_COMPARED`."""
        return self.table.copy()

    def __repr__(self) -> str:
        """Show the table as text."""
        return show_text("Compared", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        return show_html("Compared", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        facts: list[tuple[str, object]] = [
            (place, f"{name}, {start} to {end}")
            for place, name, (start, end) in zip(
                ("first", "second"), self.names, self.periods, strict=True
            )
        ]
        told = self.table["verdict"].isin(["higher", "lower"])
        n_tested = int((self.table["verdict"] != "").sum())
        facts.append(("changed", f"{int(told.sum())} of {n_tested} lines tested"))
        return facts + [("note", note) for note in self.notes]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show: headline columns only."""
        hidden = ["p_value", "ratio"]
        return [("", self.table.drop(columns=hidden), "analyses_compared")]


def compare(
    first: Source, second: Source, *, names: tuple[str, str] | None = None
) -> AnalysesCompared:
    """Say what has changed from one analysis to another, and what may be chance.

    Parameters
    ----------
    first, second : Analysis, path or dict
        From `analyze`; or the JSON file that `write_report` makes beside a report,
        or its content.
    names : tuple of str, optional
        What to call them; by default the names of the files, else ``first`` and
        ``second``.

    Returns
    -------
    AnalysesCompared

    Raises
    ------
    FileError
        When a file cannot be read (SL105).
    DataError
        When a file is no report of this version (SL125).
    SettingError
        When something else is given.

    Notes
    -----
    Compared are totals; the shares of each stage within each window, for all and by
    source; R(H) for horizons that both know; self-circulation; what a new customer
    and a visitor of each source are worth. Shares are compared as in
    `compare_segments`. Other estimates have an interval in both; that of their
    difference is made from these by square-and-add [1]_. Totals and shares of a
    period have no sampling error to speak of, and are not tested. p values are
    adjusted for the number of lines by Holm's method.

    Two analyses of one shop share people when their days overlap. Then the estimates
    go up and down together, and intervals and p values are on the safe side.

    References
    ----------
    .. [1] G. Y. Zou, A. Donner, "Construction of confidence limits about effect
       measures: a general approach", Statistics in Medicine 27 (2008).

    Examples
    --------
    >>> import selfloop as sl
    >>> orders = sl.simulate(n_visitors=300, seed=7).orders
    >>> before, after = (
    ...     sl.analyze(sl.read_events(orders, end=end), model="mbg_nbd")
    ...     for end in ("2025-06-30", None)
    ... )
    >>> found = sl.compare(before, after)
    >>> found.table["measure"].unique().tolist()[:3]
    ['n_people', 'n_buyers', 'n_purchases']
    """
    one, other = _numbers_of(first), _numbers_of(second)
    table = pd.DataFrame(_lines(one, other), columns=schema.names("analyses_compared"))
    periods = (_period(one), _period(other))
    shared = _n_days_shared(periods)
    return AnalysesCompared(
        table=_with_verdicts(table),
        names=names or (_name(first, "first"), _name(second, "second")),
        periods=periods,
        n_days_shared=shared,
        notes=tuple(_notes(one, other, shared)),
    )


def _numbers_of(source: Source) -> Mapping[str, Any]:
    """Return the numbers of a report."""
    if isinstance(source, Analysis):
        return report_numbers(source)
    if isinstance(source, Mapping):
        if source.get("schema") != SCHEMA:
            raise SettingError(
                f"the dictionary must be of the schema {SCHEMA!r}; "
                f"got {source.get('schema')!r}"
            )
        return _checked(source, "the dictionary")
    if isinstance(source, str | os.PathLike):
        name = repr(Path(source).name)
        numbers = read_json(
            source, schema=SCHEMA, wrong=lambda _, reason: _no_report(name, reason)
        )
        return _checked(numbers, name)
    raise SettingError(
        "compare takes results of analyze, or the JSON files beside reports; "
        f"got {type(source).__name__}"
    )


def _checked(numbers: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the numbers of a report if all that is compared is there."""
    try:
        _lines(numbers, numbers)  # with itself: whatever is wrong is its own
        _period(numbers)
        list(_notes(numbers, numbers, 0))
    except _DAMAGE as error:
        reason = f"a part is missing or wrong ({type(error).__name__}: {error})"
        raise _no_report(name, reason) from error
    return numbers


def _no_report(name: str, reason: str) -> DataError:
    """Say that something is no report."""
    return DataError([
        Problem(
            "SL125",
            "",
            f"{name} is not the JSON file of a report: {reason}",
            "write one with write_report(analysis, 'report.json')",
            "selfloop report ... --out report.html writes report.json beside it",
        )
    ])  # fmt: skip


def _name(source: Source, otherwise: str) -> str:
    """Return the name of a file, without its folder."""
    if isinstance(source, str | os.PathLike):
        return Path(source).name
    return otherwise


def _period(numbers: Mapping[str, Any]) -> tuple[date, date]:
    """Return the first and last observed day."""
    meta = numbers["meta"]
    return date.fromisoformat(meta["start"]), date.fromisoformat(meta["end"])


def _n_days_shared(
    periods: tuple[tuple[date, date], tuple[date, date]],
) -> int:
    """Count the days that both observed."""
    start = max(period[0] for period in periods)
    end = min(period[1] for period in periods)
    return max(0, (end - start).days + 1)


def _notes(
    one: Mapping[str, Any], other: Mapping[str, Any], n_days_shared: int
) -> Iterator[str]:
    """Say what makes the two less alike than they look."""
    if n_days_shared:
        yield (
            f"{n_days_shared} days are in both: differences of estimates are known "
            "better than their intervals say"
        )
    for key, what in (("currency", "currency"), ("timezone", "time zone"),
                      ("rules", "rules"), ("has", "tables")):  # fmt: skip
        if one["meta"][key] != other["meta"][key]:
            yield f"the {what} of the two differ"


def _lines(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare everything that both know."""
    return [
        *_totals(one, other),
        *_stages(one, other),
        *_loop(one, other),
        *_worth(one, other),
    ]


def _line(measure: str, segment: str = "all", window: object = None) -> dict[str, Any]:
    """Begin a line."""
    days = math.nan if window is None else float(str(window))
    return {"measure": measure, "segment": segment, "window_days": days, "reason": ""}


def _both(
    line: dict[str, Any],
    one: Mapping[str, Any] | None,
    other: Mapping[str, Any] | None,
    name: str,
) -> dict[str, Any]:
    """Add an estimate of both, with the interval of the difference where it has one."""
    known = []
    for place, row in (("first", one), ("second", other)):
        values = [
            math.nan if row is None or row.get(key) is None else float(row[key])
            for key in (name, f"{name}_low", f"{name}_high")
        ]
        known.append(Known(*values))
        ends = ("", "_low", "_high")
        line |= {f"{place}{e}": v for e, v in zip(ends, values, strict=True)}
    found = apart(known[1], known[0])
    line |= {
        "difference": found.difference,
        "difference_low": found.low,
        "difference_high": found.high,
        "p_value": found.p_value,
    }
    if math.isnan(found.p_value):
        missing = any(math.isnan(k.value) for k in known)
        line["reason"] = "not known in both" if missing else _NO_INTERVAL
    return line


def _totals(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Compare what was counted."""
    for name in _TOTALS:
        line = _both(_line(name), one["totals"], other["totals"], name)
        if line["reason"] == _NO_INTERVAL:
            line["reason"] = "counted, not estimated"
        yield line


def _stages(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Compare the shares of each stage within each window."""
    tables = [
        {
            (row["stage"], row["segment"], row["window_days"]): row
            for part in (n["funnel"], n["funnel"]["by_source"] or {"windows": {}})
            for row in to_rows(part["windows"])
        }
        for n in (one, other)
    ]
    for key in tables[0]:
        if key not in tables[1]:
            continue
        stage, segment, window = key
        first, second = tables[0][key], tables[1][key]
        line = _both(_line(stage, segment, window), first, second, "share_matured")
        if not line["reason"]:
            line |= _two_shares(first, second)
        yield line


def _two_shares(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, float]:
    """Compare two shares by their counts, which say more than rounded shares."""
    n, hits = _count(one["n_matured"]), _count(one["n_matured_reached"])
    m, others = _count(other["n_matured"]), _count(other["n_matured_reached"])
    found = shares_apart(m, others, n_second=n, hits_second=hits)
    return {
        "difference": found.difference,
        "difference_low": found.low,
        "difference_high": found.high,
        "p_value": found.p_value,
    }


def _count(number: float) -> int:
    """Return a number of people; a file may say anything."""
    if not 0 <= number <= _MOST_PEOPLE:
        raise ValueError(f"{number!r} is no number of people")
    return int(number)


def _loop(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Compare R for horizons that both know, and the self-circulation of late."""
    tables = [
        {row["horizon_days"]: row for row in to_rows(n["loop"]["reproduction"])}
        for n in (one, other)
    ]
    for horizon in tables[0]:
        if horizon in tables[1]:
            first, second = (table[horizon] for table in tables)
            yield _both(_line("r", "all", horizon), first, second, "r")
    for name in ("share_orders", "share_revenue"):
        yield _both(_line(name), one["loop"], other["loop"], name)


def _worth(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Compare what a new customer and a visitor are worth, over equal horizons."""
    new, then = (n["lifetime"].get("new_customer") for n in (one, other))
    if new and then and new["horizon_days"] == then["horizon_days"]:
        line = _line("new_customer_value", "all", new["horizon_days"])
        yield _both(line, new, then, "value")
    here, there = (
        {
            row["segment"]: row
            for row in to_rows((n["outlook"]["value"] or {}).get("rows", {}))
        }
        for n in (one, other)
    )
    for segment, first in here.items():
        second = there.get(segment)
        if second is not None and first["value_days"] == second["value_days"]:
            line = _line("visitor_value", segment, first["value_days"])
            yield _both(line, first, second, "visitor_value")


def _with_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Adjust the p values for their number and say what has changed."""
    words = ("measure", "segment", "verdict", "reason")
    table = table.astype({c: "float64" for c in table.columns if c not in words})
    comparable = (table["first"] > 0) & (table["second"] > 0)
    table["ratio"] = (table["second"] / table["first"]).where(comparable)
    table["p_adjusted"] = holm(table["p_value"])
    told = table["p_adjusted"].notna()
    clear = table["p_adjusted"] < 1 - CONFIDENCE
    verdict = np.where(table["difference"] > 0, "higher", "lower")
    table["verdict"] = np.where(~told, "", np.where(clear, verdict, "open"))
    return table
