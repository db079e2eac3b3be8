"""Which stage to mend: what a little more of each brings."""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import FitError
from selfloop.core.settings import MIN_AT_RISK, check_whole
from selfloop.inputs.events import Events
from selfloop.kernels.horizon import MAX_DAYS
from selfloop.kernels.rows import FloatArray
from selfloop.measures.loop.ahead import (
    RECENT_DAYS,
)
from selfloop.measures.loop.cells import LoopCells, loop_cells
from selfloop.measures.loop.running import (
    Change,
    Running,
    no_change,
    running,
    with_factor,
)
from selfloop.measures.loop.stages import stage_rate
from selfloop.measures.loop.value import outside
from selfloop.measures.loop.worth import (
    brought_curves,
    conversion,
    difference,
    revenue_curves,
)

YEAR_DAYS = 365
"""Days ahead whose revenue is compared."""

WINDOW_DAYS = 90
"""Days within which a stage is reached, to state its rate."""

STAGES = ("traffic", "conversion", "repurchase", "referral")
"""Stages of the loop that can be mended."""


@dataclass(frozen=True, eq=False)
class Leverage:
    """What a little more of each stage is worth, made by `stage_leverage`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.STAGE_LEVERAGE`: each stage 10 % and one point up.
    best_stage : str or None
        Stage of which 10 % more adds most revenue in the next 365 days.
    best_is_clear : bool
        Whether it adds more than every other stage beyond doubt (95 % interval of the
        difference).
    unit : str
        What `value` is of: ``visitor``, or ``buyer`` without visits.
    horizon_days : int
        Age to which value is counted, at most.
    end : date
        Last observed day.
    """

    table: pd.DataFrame = field(repr=False)
    best_stage: str | None
    best_is_clear: bool
    unit: str
    horizon_days: int
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the stages, columns of `schema.STAGE_LEVERAGE`."""
        return self.table.copy()

    def __repr__(self) -> str:
        """Show the stages as text."""
        return show_text("Stage leverage", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the stages in a notebook."""
        return show_html("Stage leverage", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        best = self.best_stage or "not known"
        return [
            ("observed to", self.end),
            ("value of a", self.unit),
            ("most leverage", best if self.best_is_clear else f"{best} (not clearly)"),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [("", self.table, "stage_leverage")]


def stage_leverage(
    events: Events, *, horizon_days: int = 365, recent_days: int = RECENT_DAYS
) -> Leverage:
    """Say which stage of the loop is worth most to mend.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    horizon_days : int
        Age to which the value of visitors is counted, at most; 1 to 36,525.
    recent_days : int
        People from outside arrive as in so many days before the end; at least 7.

    Returns
    -------
    Leverage

    Raises
    ------
    FitError
        With fewer than 30 buyers observed for a week.
    SettingError
        A number is outside its range.

    Notes
    -----
    Each stage alone is changed, and everything that follows from it:

    - traffic: visitors from outside;
    - conversion: visitors who buy, of every source, so that also more of those who are
      invited become buyers;
    - repurchase: all purchases after the day of the first one, in the proportion in
      which the share of buyers who buy again within 90 days changes;
    - referral: buyers whom a buyer brings, in the proportion in which the share of
      buyers who bring one within 90 days changes.

    ``value`` is V of `visitor_value` of people from outside (of a buyer without
    visits), per present visitor; ``revenue`` that of the next 365 days by
    `project_loop`. What it costs to change a stage is not known here.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits)
    >>> sl.stage_leverage(events).best_stage
    'repurchase'
    """
    Events.check(events)
    check_whole("horizon_days", horizon_days, low=1, high=MAX_DAYS)
    check_whole("recent_days", recent_days, low=7)
    return leverage_of(
        loop_cells(events),
        horizon_days=int(horizon_days),
        recent_days=int(recent_days),
        end=events.end,
    )


def leverage_of(
    cells: LoopCells, *, horizon_days: int, recent_days: int, end: date
) -> Leverage:
    """Say the same from what people did by age.

    Parameters
    ----------
    cells : LoopCells
        By source.
    horizon_days, recent_days : int
        As in `stage_leverage`.
    end : date
        Last observed day.

    Returns
    -------
    Leverage
    """
    loop = running(cells, n_days=YEAR_DAYS, recent_days=recent_days)
    same = no_change(cells.followup.shape[1])
    now = value_under(cells, same, horizon_days), _revenue(loop, same)
    lines, gains = [], {}
    for stage in STAGES:
        for step in ("+10%", "+1 point"):
            line, gain = _line(cells, loop, stage, step, now, horizon_days)
            lines.append(line)
            if step == "+10%" and gain is not None:
                gains[stage] = gain
    best, clear = _best(gains)
    return Leverage(
        table=pd.DataFrame(lines, columns=schema.names("stage_leverage")),
        best_stage=best,
        best_is_clear=clear,
        unit="visitor" if cells.has_visits else "buyer",
        horizon_days=horizon_days,
        end=end,
    )


def _best(gains: dict[str, FloatArray]) -> tuple[str | None, bool]:
    """Return the stage that gains most, and whether that is beyond doubt."""
    known = {stage: gain for stage, gain in gains.items() if gain[-1] > 0}
    if not known:
        return None, False
    best = max(known, key=lambda stage: float(known[stage][-1]))
    rest = [difference(known[best] - gain) for s, gain in known.items() if s != best]
    # With nothing to compare with, none is better than others.
    sure = bool(rest) and all(one.low > 0 for one in rest)
    return best, sure and difference(known[best]).low > 0


def _line(
    cells: LoopCells,
    loop: Running,
    stage: str,
    step: str,
    now: tuple[FloatArray, FloatArray],
    horizon_days: int,
) -> tuple[dict[str, object], FloatArray | None]:
    """Write what a step of one stage is worth, or why that is not known."""
    line: dict[str, object] = {"stage": stage, "step": step, "reason": ""}
    factor: FloatArray | float
    if stage == "traffic":
        if step != "+10%":
            return line | {"reason": "traffic is a number, not a share"}, None
        factor = 1.1
    else:
        rate = stage_rate(cells, stage, WINDOW_DAYS)
        if rate.reason:
            return line | {"reason": rate.reason}, None
        if not rate.share[-1] > 0:
            return line | {"reason": "nobody has reached the stage"}, None
        more = rate.share * 1.1 if step == "+10%" else rate.share + 0.01
        if more[-1] > 1:
            return line | {"reason": "the share would be above 1"}, None
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where(rate.share > 0, more / rate.share, np.nan)
        line |= {
            "window_days": WINDOW_DAYS,
            "share": float(rate.share[-1]),
            "share_then": float(more[-1]),
        }
    change = with_factor(no_change(cells.followup.shape[1]), stage, factor)
    try:
        then = value_under(cells, change, horizon_days), _revenue(loop, change)
    except FitError as error:
        return line | {"reason": str(error)}, None
    gains = [after - before for after, before in zip(then, now, strict=True)]
    for name, before, gain in zip(("value", "revenue"), now, gains, strict=True):
        found = difference(gain)
        line |= {
            name: float(before[-1]),
            f"{name}_gain": found.value,
            f"{name}_gain_low": found.low,
            f"{name}_gain_high": found.high,
        }
    if np.isnan(gains[0][-1]):
        line["reason"] = "the value of those who are brought is not known"
    return line, gains[1]


def _revenue(loop: Running, change: Change) -> FloatArray:
    """Return the revenue of the days ahead."""
    return np.asarray(loop.run(change).done[1].sum(axis=1))


def value_under(cells: LoopCells, change: Change, horizon_days: int) -> FloatArray:
    """Return V of people from outside, of a buyer without visits, under a change.

    Parameters
    ----------
    cells : LoopCells
        By source.
    change : Change
        What changes.
    horizon_days : int
        Age to which it is counted, at most.

    Returns
    -------
    ndarray of float64, shape (N_GROUPS + 1,)
        Without each group of people in turn and of all; NaN where it is not known.
    """
    nothing = np.full(cells.followup.shape[1] + 1, np.nan)
    if change.paid != 1:
        return nothing  # the mix of visitors is another one
    own, brings = [], []
    for kind in (outside(cells), cells.where(source="referral")):
        money, made = revenue_curves(kind), brought_curves(kind)
        longest = money.longest(MIN_AT_RISK)
        if longest is None:
            return nothing
        days = min(longest, horizon_days)
        first = money.by(0)
        own.append(first + change.repurchase * (money.by(days) - first))
        brings.append(made.by(days) * change.referral * change.conversion)
    share = np.ones(nothing.size)
    if cells.has_visits:
        found, _, why = conversion(outside(cells), horizon_days=horizon_days)
        if found is None or why:
            return nothing
        share = found * change.conversion
    with np.errstate(divide="ignore"):
        after = np.where(brings[1] < 1, own[1] / (1 - brings[1]), np.nan)
    return np.asarray(change.traffic * share * (own[0] + brings[0] * after))
