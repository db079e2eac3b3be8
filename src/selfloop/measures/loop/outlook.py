"""All that is to be said of the loop beyond R itself, each pass made once."""

from dataclasses import dataclass, field

import pandas as pd

from selfloop.core.errors import FitError, SettingError
from selfloop.core.settings import Progress
from selfloop.inputs.events import Events
from selfloop.measures.loop.ages import referral_ages
from selfloop.measures.loop.ahead import (
    RECENT_DAYS,
    Projection,
    days_ahead,
    projected,
)
from selfloop.measures.loop.backtest import LoopBacktest, backtest_loop
from selfloop.measures.loop.cells import LoopCells, loop_cells
from selfloop.measures.loop.growth import LoopGrowth, growth_of
from selfloop.measures.loop.leverage import Leverage, leverage_of
from selfloop.measures.loop.reproduction import (
    Reproduction,
    reproduction,
    reproduction_of,
)
from selfloop.measures.loop.spending import AcquisitionCost, cost_of
from selfloop.measures.loop.swings import swings
from selfloop.measures.loop.value import VisitorValue, value_of

MONTHS = 12
"""Whole months ahead by default."""

_QUARTER = "first_order_quarter"


@dataclass(frozen=True, eq=False)
class LoopOutlook:
    """What follows from the loop, made by `loop_outlook`.

    Parameters
    ----------
    growth : LoopGrowth or None
        Without ads; None without referrals.
    by_source, by_quarter : Reproduction or None
        R by source and by quarter of the first order; None without referrals.
    value : VisitorValue
        What visitors of each source are worth.
    cost : AcquisitionCost or None
        What advertising costs and returns; None without spend.
    leverage : Leverage or None
        Which stage to mend.
    projection : Projection or None
        The next 12 months.
    test : LoopBacktest or None
        How the same projection, made earlier, met what has happened since.
    cells : DataFrame
        Columns of `schema.LOOP_CELLS`: what all of it but R is computed from.
    unavailable : dict of str to str
        Parts that cannot be computed, and why.
    """

    growth: LoopGrowth | None
    by_source: Reproduction | None
    by_quarter: Reproduction | None
    value: VisitorValue
    cost: AcquisitionCost | None
    leverage: Leverage | None
    projection: Projection | None
    test: LoopBacktest | None
    cells: pd.DataFrame = field(repr=False)
    unavailable: dict[str, str] = field(default_factory=dict)


def loop_outlook(
    events: Events,
    *,
    horizon_days: int = 365,
    margin: float = 1.0,
    months: int = MONTHS,
    progress: Progress | None = None,
) -> LoopOutlook:
    """Compute what follows from the loop.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    horizon_days : int
        Age to which the value of visitors is counted, at most.
    margin : float
        Share of revenue that pays for acquisition.
    months : int
        Whole months ahead.
    progress : callable, optional
        Called with a short text at the start of each step.

    Returns
    -------
    LoopOutlook
    """
    say = progress or (lambda _: None)
    unavailable: dict[str, str] = {}
    has_referrals = "referrals" in events.has
    say("what visitors are worth")
    cells = loop_cells(events, "channel")
    by_source = cells._replace(segment=cells.source)
    cost = None
    if "spend" in events.has:
        cost = cost_of(events, cells, horizon_days=horizon_days, margin=margin)
    else:
        unavailable["acquisition cost"] = "no table of spend"
    say("months to come")
    leverage, projection = _ahead(
        events, by_source, horizon_days=horizon_days, months=months, why=unavailable
    )
    growth = by_quarter = None
    if has_referrals:
        # All quarters together are all buyers: one pass serves both.
        ages = referral_ages(events, _QUARTER)
        growth = growth_of(ages, end=events.end)
        by_quarter = reproduction_of(ages, by=_QUARTER, end=events.end)
    return LoopOutlook(
        growth=growth,
        by_source=reproduction(events, "source") if has_referrals else None,
        by_quarter=by_quarter,
        value=value_of(
            by_source, by="source", horizon_days=horizon_days, margin=margin,
            end=events.end,
        ),
        cost=cost,
        leverage=leverage,
        projection=projection,
        test=_test(events, unavailable),
        cells=cells.to_frame(),
        unavailable=unavailable,
    )  # fmt: skip


def _ahead(
    events: Events,
    cells: LoopCells,
    *,
    horizon_days: int,
    months: int,
    why: dict[str, str],
) -> tuple[Leverage | None, Projection | None]:
    """Run the loop on; note why it cannot be done."""
    try:
        leverage = leverage_of(
            cells, horizon_days=horizon_days, recent_days=RECENT_DAYS, end=events.end
        )
        projection = projected(
            cells,
            swings(events, n_days=days_ahead(events.end, months)),
            end=events.end,
            months=months,
            recent_days=RECENT_DAYS,
            targets={},
        )
    except FitError as error:
        why["months to come"] = str(error)
        return None, None
    return leverage, projection


def _test(events: Events, unavailable: dict[str, str]) -> LoopBacktest | None:
    """Test the projection on the past; note why it cannot be done."""
    try:
        return backtest_loop(events)
    except (FitError, SettingError) as error:
        unavailable["test of months to come"] = str(error)
        return None
