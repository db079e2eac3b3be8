"""What would follow if stages of the loop reached a target."""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import SettingError
from selfloop.core.settings import check_whole
from selfloop.inputs.events import Events
from selfloop.kernels.horizon import MAX_DAYS
from selfloop.measures.loop.ahead import (
    AS_IS,
    MAX_MONTHS,
    RECENT_DAYS,
    WHAT_IF,
    Projection,
    days_ahead,
    projection_of,
)
from selfloop.measures.loop.cells import LoopCells, loop_cells
from selfloop.measures.loop.leverage import value_under
from selfloop.measures.loop.running import Change, Running, no_change, running
from selfloop.measures.loop.stages import changed, check_targets
from selfloop.measures.loop.swings import swings
from selfloop.measures.loop.worth import difference, estimate


@dataclass(frozen=True, eq=False)
class WhatIf:
    """What would follow if stages reached targets, made by `what_if`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.WHAT_IF`: today, then, and the difference.
    projection : Projection
        The months ahead with and without the change.
    targets : dict of str to float
        What is changed.
    end : date
        Last observed day.
    """

    table: pd.DataFrame = field(repr=False)
    projection: Projection = field(repr=False)
    targets: dict[str, float]
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the comparison, columns of `schema.WHAT_IF`."""
        return self.table.copy()

    def __repr__(self) -> str:
        """Show the comparison as text."""
        return show_text("What if", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the comparison in a notebook."""
        return show_html("What if", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what is changed."""
        return [("observed to", self.end), *self.targets.items()]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [("", self.table, "what_if")]


def what_if(
    events: Events,
    *,
    months: int = 12,
    horizon_days: int = 365,
    recent_days: int = RECENT_DAYS,
    **targets: float,
) -> WhatIf:
    """Say what would follow if some stages of the loop reached a target.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    months : int
        Whole calendar months ahead, 1 to 60.
    horizon_days : int
        Age to which the value of visitors is counted, at most; 1 to 36,525.
    recent_days : int
        People from outside arrive as in so many days before the end; at least 7.
    **targets : float
        ``conversion_90d``, ``repurchase_90d``, ``referral_90d``, with any number of
        days: the share of people who reach the stage within so many days (the
        ``share_within`` of `funnel`), above 0 to 1. ``traffic``, ``paid_traffic``:
        visitors from outside, and from ads, as a multiple of today's; 0 stops them.

    Returns
    -------
    WhatIf

    Raises
    ------
    FitError
        With fewer than 30 buyers observed for a week.
    SettingError
        There is no target, or one cannot be.

    Notes
    -----
    A stage changes as in `stage_leverage`, from tomorrow on and for everybody. Ranges
    of differences say how well they are known from the data (delete-a-group
    jackknife), provided that the stage does change and the rest stays.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits)
    >>> found = sl.what_if(events, repurchase_90d=0.7).table.set_index("measure")
    >>> bool(found.loc["revenue", "difference"] > 0)
    True
    """
    Events.check(events)
    check_whole("months", months, low=1, high=MAX_MONTHS)
    check_whole("horizon_days", horizon_days, low=1, high=MAX_DAYS)
    check_whole("recent_days", recent_days, low=7)
    wishes = check_targets(targets)
    if not wishes:
        raise SettingError("name a target, such as what_if(events, repurchase_90d=0.4)")
    cells, days = loop_cells(events), days_ahead(events.end, int(months))
    change = changed(cells, wishes)
    loop = running(cells, n_days=days, recent_days=int(recent_days))
    scenarios = {AS_IS: no_change(cells.followup.shape[1]), WHAT_IF: change}
    return WhatIf(
        table=_compared(cells, loop, change, int(horizon_days)),
        projection=projection_of(
            loop,
            scenarios,
            swings(events, n_days=days),
            end=events.end,
            targets=wishes,
        ),
        targets=wishes,
        end=events.end,
    )


def _compared(
    cells: LoopCells, loop: Running, change: Change, horizon_days: int
) -> pd.DataFrame:
    """Write today, then, and the difference of each measure."""
    same = no_change(cells.followup.shape[1])
    before, after = loop.run(same), loop.run(change)
    rows = {
        "value": [value_under(cells, c, horizon_days) for c in (same, change)],
        "buyers": [(a.outside + a.brought).sum(axis=1) for a in (before, after)],
        "orders": [a.done[0].sum(axis=1) for a in (before, after)],
        "revenue": [a.done[1].sum(axis=1) for a in (before, after)],
    }
    lines = []
    for name, (old, new) in rows.items():
        gap, today, then = difference(new - old), estimate(old), estimate(new)
        lines.append({
            "measure": name,
            "today": today.value,
            "today_low": today.low,
            "today_high": today.high,
            "then": then.value,
            "then_low": then.low,
            "then_high": then.high,
            "difference": gap.value,
            "difference_low": gap.low,
            "difference_high": gap.high,
            "reason": _reason(today.value, gap.value, change),
        })  # fmt: skip
    return pd.DataFrame(lines, columns=schema.names("what_if"))


def _reason(today: float, gap: float, change: Change) -> str:
    """Say why a difference is missing."""
    if not np.isnan(gap):
        return ""
    if change.paid != 1:
        return "ads change who visits: the value of a visitor is that of today's mix"
    if np.isnan(today):
        return "not known today"
    return "people who are brought would bring one more each: it has no end"
