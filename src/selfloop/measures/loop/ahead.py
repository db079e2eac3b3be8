"""Buyers, orders and revenue of the months to come, with ads and without."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import nan

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.settings import CONFIDENCE, check_whole
from selfloop.inputs.events import Events
from selfloop.kernels.intervals import log_interval
from selfloop.kernels.projecting import Ahead
from selfloop.kernels.rows import FloatArray
from selfloop.measures.loop.cells import LoopCells, loop_cells
from selfloop.measures.loop.doing import DOINGS
from selfloop.measures.loop.running import Change, Running, no_change, running
from selfloop.measures.loop.stages import changed, check_targets
from selfloop.measures.loop.swings import Swings, swings
from selfloop.measures.loop.worth import estimate

AS_IS, NO_ADS, WHAT_IF = "as_is", "no_ads", "what_if"
"""Scenarios: ads as they are, none from tomorrow on, and stages as the user says."""

EXPECTED = ("buyers", "orders", "revenue")
"""What is projected with ranges."""

MAX_MONTHS = 60
"""Most months ahead."""

RECENT_DAYS = 90
"""Days before the end whose arrivals are taken to go on as they were."""


@dataclass(frozen=True, eq=False)
class Projection:
    """The months to come, made by `project_loop`.

    Parameters
    ----------
    months : DataFrame
        Columns of `schema.PROJECTION_MONTHS`, by scenario.
    totals : DataFrame
        Columns of `schema.PROJECTION_TOTALS`: the same of all months together.
    cohorts : DataFrame
        Columns of `schema.LOOP_COHORTS`: how much more or less those do who first
        bought within the same 30 days. Buyers to come are an average cohort.
    targets : dict of str to float
        What the scenario ``what_if`` changes.
    recent_days : int
        Days before the end whose arrivals are taken to go on as they were.
    longest_days : int
        Oldest age that 30 buyers have reached; older buyers follow a fitted curve.
    notes : tuple of str
        What was taken from all buyers, because there are too few of a kind.
    end : date
        Last observed day; the first day ahead is the next.
    """

    months: pd.DataFrame = field(repr=False)
    totals: pd.DataFrame = field(repr=False)
    cohorts: pd.DataFrame = field(repr=False)
    targets: dict[str, float]
    recent_days: int
    longest_days: int
    notes: tuple[str, ...]
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the months, columns of `schema.PROJECTION_MONTHS`."""
        return self.months.copy()

    def __repr__(self) -> str:
        """Show totals and months as text."""
        return show_text("Projection", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show totals and months in a notebook."""
        return show_html("Projection", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        facts: list[tuple[str, object]] = [
            ("observed to", self.end),
            ("arrivals as in the last", f"{self.recent_days} days"),
        ]
        facts += [(f"what if {name}", value) for name, value in self.targets.items()]
        return facts + [("note", note) for note in self.notes]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        ranges = [f"{c}{e}" for c in EXPECTED for e in ("", "_low", "_high")]
        total = [
            "scenario",
            "horizon_days",
            "buyers_outside",
            "buyers_brought",
            *ranges,
        ]
        month = ["month", "scenario", *ranges, "status"]
        levels = ["first_day", "n_buyers", *(f"{name}_level" for name in DOINGS)]
        return [
            ("all months", self.totals[total], "projection_totals"),
            ("by month", self.months[month], "projection_months"),
            ("levels of cohorts", self.cohorts[levels], "loop_cohorts"),
        ]


def project_loop(
    events: Events,
    *,
    months: int = 12,
    recent_days: int = RECENT_DAYS,
    targets: Mapping[str, float] | None = None,
) -> Projection:
    """Say how many will buy, how often and for how much in the months to come.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    months : int
        Whole calendar months ahead, 1 to 60; the rest of a month that the data end
        within comes before them.
    recent_days : int
        People from outside are taken to arrive as in so many days before the end; at
        least 7.
    targets : mapping of str to float, optional
        Stages of a third scenario, as in `what_if`.

    Returns
    -------
    Projection
        Scenarios ``as_is``; ``no_ads``, where somebody came from ads; ``what_if`` with
        targets.

    Raises
    ------
    FitError
        With fewer than 30 buyers observed for a week.
    SettingError
        A number is outside its range, or a target cannot be.

    Notes
    -----
    The loop is run on by the renewal equation: buyers there are, by age and source;
    visitors who have not decided yet, by days since arrival; and visitors who arrive
    as of late. Each buyer orders, spends and brings others by age as buyers of the
    same source have done so far, times the level of the cohort (`cohorts`): those who
    first bought in the first 30 days of the data are often old customers, and those to
    come are not taken to be like them. Beyond the oldest observed age the daily rates
    of all buyers follow exp(c + b log(a) + d a), fitted to the last three quarters of
    the ages. There are no seasons in it, and no trend in arrivals: see how it has done
    with `backtest_loop`.

    Two ranges: ``mean_low`` to ``mean_high`` says how well the expectation is known
    (delete-a-group jackknife), ``low`` to ``high`` where the sum will fall, with the
    swings of customers on top (`swings`), both on the log scale at 95 %.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits)
    >>> sl.project_loop(events, months=3).totals["scenario"].tolist()
    ['as_is', 'no_ads']
    """
    Events.check(events)
    check_whole("months", months, low=1, high=MAX_MONTHS)
    check_whole("recent_days", recent_days, low=7)
    wishes = check_targets(targets or {})
    days = days_ahead(events.end, int(months))
    return projected(
        loop_cells(events),
        swings(events, n_days=days),
        end=events.end,
        months=int(months),
        recent_days=int(recent_days),
        targets=wishes,
    )


def days_ahead(end: date, months: int) -> int:
    """Count the days to the end of so many whole months.

    Parameters
    ----------
    end : date
        Last observed day.
    months : int
        Whole months after it.

    Returns
    -------
    int

    Examples
    --------
    >>> days_ahead(date(2026, 1, 31), 1), days_ahead(date(2026, 1, 30), 1)
    (28, 29)
    """
    tomorrow = end + timedelta(days=1)
    extra = 0 if tomorrow.day == 1 else 1
    month = tomorrow.year * 12 + tomorrow.month - 1 + months + extra
    return (date(month // 12, month % 12 + 1, 1) - tomorrow).days


def projected(
    cells: LoopCells,
    swing: Swings,
    *,
    end: date,
    months: int,
    recent_days: int,
    targets: dict[str, float],
) -> Projection:
    """Say the same from what people did by age.

    Parameters
    ----------
    cells : LoopCells
        By source.
    swing : Swings
        How far sums swing.
    end : date
        Last observed day.
    months, recent_days, targets : int, int, dict
        As in `project_loop`.

    Returns
    -------
    Projection
    """
    loop = running(cells, n_days=days_ahead(end, months), recent_days=recent_days)
    same = no_change(cells.followup.shape[1])
    scenarios: dict[str, Change] = {AS_IS: same}
    if (np.array(cells.source) == "paid").any():
        scenarios[NO_ADS] = same._replace(paid=0.0)
    if targets:
        scenarios[WHAT_IF] = changed(cells, targets)
    return projection_of(loop, scenarios, swing, end=end, targets=targets)


def projection_of(
    loop: Running,
    scenarios: Mapping[str, Change],
    swing: Swings,
    *,
    end: date,
    targets: dict[str, float],
) -> Projection:
    """Run a prepared loop on under some scenarios.

    Parameters
    ----------
    loop : Running
        Result of `running.running`.
    scenarios : mapping of str to Change
        Scenarios by name.
    swing : Swings
        How far sums swing.
    end : date
        Last observed day.
    targets : dict
        What the scenario ``what_if`` changes.

    Returns
    -------
    Projection
    """
    tables = [
        scenario_tables(name, loop.run(change), swing, end=end, loop=loop)
        for name, change in scenarios.items()
    ]
    return Projection(
        months=pd.concat([m for m, _ in tables], ignore_index=True),
        totals=pd.concat([t for _, t in tables], ignore_index=True),
        cohorts=loop.cohorts,
        targets=targets,
        recent_days=loop.recent_days,
        longest_days=loop.longest_days,
        notes=loop.notes,
        end=end,
    )


def scenario_tables(
    name: str, ahead: Ahead, swing: Swings, *, end: date, loop: Running
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write one scenario by month, and in all.

    Parameters
    ----------
    name : str
        Scenario.
    ahead : Ahead
        Day by day, without each group and of all.
    swing : Swings
        How far sums swing.
    end : date
        Last observed day.
    loop : Running
        What was run on.

    Returns
    -------
    months, totals : DataFrame
        Columns of `schema.PROJECTION_MONTHS` and `schema.PROJECTION_TOTALS`.
    """
    n_days = ahead.outside.shape[-1]
    day = np.datetime64(end) + 1 + np.arange(n_days)
    month = day.astype("datetime64[M]")
    lines = []
    for one in np.unique(month):
        mine = month == one
        # Only the first can have begun before.
        begins = day[mine][0].astype("datetime64[M]").astype("datetime64[D]")
        status = "complete" if day[mine][0] == begins else "partial"
        line = {"month": str(one), "scenario": name, "status": status}
        lines.append(line | _sums(ahead, mine, swing))
    whole = {"scenario": name, "horizon_days": n_days} | _sums(
        ahead, np.ones(n_days, dtype=bool), swing
    )
    whole["before_days"] = loop.before.shape[1]
    for measure, total in zip(EXPECTED, loop.before.sum(axis=1), strict=True):
        is_money = measure == "revenue"
        whole[f"{measure}_before"] = float(total) if is_money else int(total)
    unknown = (
        {} if loop.has_referrals else {"buyers_outside": nan, "buyers_brought": nan}
    )
    return (
        pd.DataFrame(lines, columns=schema.names("projection_months")).assign(
            **unknown
        ),
        pd.DataFrame([whole], columns=schema.names("projection_totals")).assign(
            **unknown
        ),
    )


def _sums(ahead: Ahead, days: np.ndarray, swing: Swings) -> dict[str, object]:
    """Add up some days, with both ranges."""
    new = ahead.outside + ahead.brought
    orders, revenue = ahead.done
    n_days = int(days.sum())
    line: dict[str, object] = {
        "buyers_outside": float(ahead.outside[-1, days].sum()),
        "buyers_brought": float(ahead.brought[-1, days].sum()),
        "orders_repeat": float((orders - new)[-1, days].sum()),
    }
    for name, daily, measure in (
        ("buyers", new, "buyers"),
        ("orders", orders, "orders"),
        ("revenue", revenue, "revenue"),
    ):
        line |= _ranges(name, daily[:, days].sum(axis=1), swing.ratio(measure, n_days))
    return line


def _ranges(name: str, replicates: FloatArray, ratio: float) -> dict[str, object]:
    """Write an expected sum, how well it is known, and where the sum will fall."""
    found = estimate(replicates)
    line: dict[str, object] = {
        name: found.value,
        f"{name}_mean_low": found.low,
        f"{name}_mean_high": found.high,
    }
    if np.isnan(found.low):
        return line
    variance = found.variance + ratio * found.value
    wide = log_interval(found.value, variance, confidence=CONFIDENCE)
    return line | {f"{name}_low": wide.low, f"{name}_high": wide.high}
