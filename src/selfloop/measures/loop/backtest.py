"""How the projection, made earlier, met what has happened since."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import ibis
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import SettingError
from selfloop.core.settings import check_whole
from selfloop.inputs.baskets import EPOCH
from selfloop.inputs.events import Events
from selfloop.measures.loop.ahead import EXPECTED, RECENT_DAYS, scenario_tables
from selfloop.measures.loop.cells import loop_cells
from selfloop.measures.loop.running import no_change, running
from selfloop.measures.loop.swings import swings

ALL_MONTHS = "all"
"""Name of the lines of all months together."""

MAX_DAYS = 365
"""Most days that are predicted by default."""

_SHARE = 3  # the last third of the days is predicted by default
_MIN_DAYS = 28


@dataclass(frozen=True, eq=False)
class LoopBacktest:
    """A projection beside what happened, made by `backtest_loop`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.LOOP_BACKTEST`, by measure and month, and for the whole.
    at : date
        Last day that the projection knew.
    n_days : int
        Days that were predicted.
    share_inside : float
        Share of the months that fell into their ranges, over all measures.
    notes : tuple of str
        As in `Projection`.
    end : date
        Last day that was predicted.
    """

    table: pd.DataFrame = field(repr=False)
    at: date
    n_days: int
    share_inside: float
    notes: tuple[str, ...]
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the comparison, columns of `schema.LOOP_BACKTEST`."""
        return self.table.copy()

    def __repr__(self) -> str:
        """Show the comparison as text."""
        return show_text("Loop backtest", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the comparison in a notebook."""
        return show_html("Loop backtest", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        return [
            ("known to", self.at),
            ("predicted to", self.end),
            ("months inside their range", f"{self.share_inside:.0%}"),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [("", self.table, "loop_backtest")]


def backtest_loop(
    events: Events, *, at: str | date | None = None, recent_days: int = RECENT_DAYS
) -> LoopBacktest:
    """Project the loop from an earlier day and compare with what has happened since.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    at : str or date, optional
        Last day that is known. By default the last third of the days is predicted, at
        most 365.
    recent_days : int
        As in `project_loop`.

    Returns
    -------
    LoopBacktest

    Raises
    ------
    FitError
        With fewer than 30 buyers observed for a week by then.
    SettingError
        `at` is outside the period, or fewer than 28 days follow it.

    Notes
    -----
    Only rows up to `at` are used; sources of people are those known in the end. What
    happened: purchases and net revenue of people from the day of their first purchase.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits)
    >>> sl.backtest_loop(events).n_days
    240
    """
    Events.check(events)
    check_whole("recent_days", recent_days, low=7)
    cut = _cut(events, at)
    n_days = (events.end - cut).days
    cells = loop_cells(events, end=cut)
    loop = running(cells, n_days=n_days, recent_days=int(recent_days))
    swing = swings(events, n_days=n_days, end=cut)
    ahead = loop.run(no_change(cells.followup.shape[1]))
    months, total = scenario_tables("as_is", ahead, swing, end=cut, loop=loop)
    actual = _actual(events, cut)
    by_month = actual.groupby("month")[list(EXPECTED)].sum()
    status = _status(months, events.end)
    lines = [
        _line(row, name, by_month, state)
        for name in EXPECTED
        for row, state in zip(months.to_dict("records"), status, strict=True)
    ]
    whole = total.to_dict("records")[0] | {"month": ALL_MONTHS}
    sums = actual[list(EXPECTED)].sum().to_frame(ALL_MONTHS).T
    lines += [_line(whole, name, sums, "complete") for name in EXPECTED]
    table = pd.DataFrame(lines, columns=schema.names("loop_backtest"))
    seen = table[(table["month"] != ALL_MONTHS) & table["inside"].notna()]
    return LoopBacktest(
        table=table,
        at=cut,
        n_days=n_days,
        share_inside=float(seen["inside"].astype(float).mean()),
        notes=loop.notes,
        end=events.end,
    )


def _cut(events: Events, at: str | date | None) -> date:
    """Return the last day that is known."""
    n_days = (events.end - events.start).days + 1
    if at is None:
        ahead = min(n_days // _SHARE, MAX_DAYS)
        if ahead < _MIN_DAYS:
            raise SettingError(
                f"{n_days} days are too few to test a projection: a third of them is "
                f"{ahead}, need {_MIN_DAYS}"
            )
        return events.end - timedelta(days=ahead)
    day = events.observed_day(at)
    if (events.end - day).days < _MIN_DAYS:
        raise SettingError(
            f"at must leave {_MIN_DAYS} days or more before {events.end}; got {day}"
        )
    return day


def _actual(events: Events, cut: date) -> pd.DataFrame:
    """Sum what happened after the cut by day."""
    core, first = events.core, (cut - EPOCH).days + 1
    rows = events.baskets.filter(events.baskets.day >= first)
    rows = rows.join(core.select("person_no", "first_day"), "person_no")
    rows = rows.filter(rows.day >= rows.first_day)
    made = rows.group_by("day").aggregate(
        orders=rows.is_purchase.sum(), revenue=rows.net.sum().cast("float64")
    )
    new = core.filter(core.first_day >= first)
    came = new.group_by(day="first_day").aggregate(buyers=new.count())
    days = np.arange(first, events.end_day + 1)
    table = pd.DataFrame(index=days)
    for part in (made, came):
        frame = part.order_by(ibis.asc("day")).to_pandas().set_index("day")
        table = table.join(frame.astype("float64"))
    table = table.fillna(0.0)  # a day without rows is a day without purchases
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(str)
    return table.assign(month=months)


def _status(months: pd.DataFrame, end: date) -> list[str]:
    """Say which months were predicted from their first to their last day."""
    states = months["status"].tolist()
    tomorrow = np.datetime64(end) + 1
    if tomorrow != tomorrow.astype("datetime64[M]").astype("datetime64[D]"):
        states[-1] = "partial"
    return states


def _line(
    row: dict[Hashable, Any], name: str, actual: pd.DataFrame, status: str
) -> dict[str, object]:
    """Write one measure of one month."""
    happened = float(actual[name].to_dict()[str(row["month"])])
    predicted = float(row[name])
    low, high = (float(row[f"{name}_{end}"]) for end in ("low", "high"))
    is_known = not np.isnan(low)
    return {
        "month": row["month"],
        "measure": name,
        "predicted": predicted,
        "predicted_low": low,
        "predicted_high": high,
        "actual": happened,
        "error": predicted / happened - 1 if happened else np.nan,
        "inside": bool(low <= happened <= high) if is_known else pd.NA,
        "status": status,
    }
