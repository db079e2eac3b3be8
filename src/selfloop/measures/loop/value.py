"""What a visitor of each source is worth, and how much may be paid for one."""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.settings import check_number, check_whole
from selfloop.inputs.events import Events
from selfloop.kernels.horizon import MAX_DAYS
from selfloop.kernels.rows import FloatArray
from selfloop.measures.loop.cells import LoopCells, loop_cells
from selfloop.measures.loop.worth import (
    BuyerWorth,
    buyer_worth,
    conversion,
    descent,
    estimate,
    estimate_through,
)

OUTSIDE = "(outside)"
"""Name of the line of everybody whom nobody brought."""


@dataclass(frozen=True, eq=False)
class VisitorValue:
    """What visitors and buyers are worth, made by `visitor_value`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.VISITOR_VALUE`: one line per segment, and one, named
        ``(outside)``, for everybody whom nobody brought.
    descent_value : float
        What one more buyer who is brought is worth, with all who follow; missing with
        `descent_reason`.
    descent_own_value, descent_r : float
        What such a buyer spends, and whom they bring, by age `descent_days`.
    descent_days : int
        Age to which both are counted.
    descent_reason : str
        Why the value is missing; empty when it is known.
    by : str
        Breakdown.
    horizon_days : int
        Age to which all is counted, at most.
    margin : float
        Share of revenue that may be spent on acquisition.
    end : date
        Last observed day.
    """

    table: pd.DataFrame = field(repr=False)
    descent_value: float
    descent_own_value: float
    descent_r: float
    descent_days: int
    descent_reason: str
    by: str
    horizon_days: int
    margin: float
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the lines, columns of `schema.VISITOR_VALUE`."""
        return self.table.copy()

    def __repr__(self) -> str:
        """Show the headline columns as text."""
        return show_text("Visitor value", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the headline columns in a notebook."""
        return show_html("Visitor value", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        worth = self.descent_reason or f"{self.descent_value:,.2f}"
        return [
            ("observed to", self.end),
            ("horizon", f"{self.horizon_days} days"),
            ("margin", f"{self.margin:.0%}"),
            ("one more buyer who is brought", worth),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        few = ["segment", "n_arrived", "n_buyers", "share_converted", "own_value",
               "r", "buyer_value", "buyer_value_low", "buyer_value_high",
               "visitor_value", "visitor_value_low", "visitor_value_high",
               "share_brought", "reason"]  # fmt: skip
        return [("", self.table[few], "visitor_value")]


def visitor_value(
    events: Events,
    by: str = "source",
    *,
    horizon_days: int = 365,
    margin: float = 1.0,
) -> VisitorValue:
    """Say what a visitor and a buyer of each source are worth, people brought included.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    by : str
        Breakdown: ``source``, ``channel``, or what `reproduction` takes.
    horizon_days : int
        Revenue and people brought count up to so many days after the first purchase,
        and purchases so many days after arrival; 1 to 36,525. Where fewer than 30
        people were observed so long, to the longest age with 30 (`value_days`,
        `conversion_days`): the value is then a lower bound.
    margin : float
        Share of revenue that may be spent on acquisition, above 0 to 1: the ceilings
        are this share of the values.

    Returns
    -------
    VisitorValue

    Raises
    ------
    SettingError
        There is no such breakdown, or a number is outside its range.

    Notes
    -----
    V = p (L + R S), with p the share of visitors who buy (Kaplan-Meier), L the mean
    net revenue of a buyer and R the buyers whom a buyer brings, both mean cumulative
    functions, and S = L_ref / (1 - R_ref) the worth of one more buyer who is brought:
    what referred buyers spend, and those whom they bring, and so on. L and R are those
    of the segment; L_ref and R_ref those of all referred buyers. Discounts are not
    applied.

    Intervals are by the delete-a-group jackknife over 50 groups of people, on the log
    scale [1]_. Values have no end as R_ref nears 1: what it adds to the interval is
    taken from the ends of its own, by the same jackknife, and both distances are added
    as squares [2]_. The upper end is infinite where R_ref may be 1 or more.

    References
    ----------
    .. [1] J. Shao, D. Tu, The Jackknife and Bootstrap, Springer 1995, section 2.3.
    .. [2] G. Y. Zou, A. Donner, "Construction of confidence limits about effect
       measures: a general approach", Statistics in Medicine 27 (2008).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits)
    >>> table = sl.visitor_value(events).table
    >>> table["segment"].tolist()
    ['(outside)', 'organic', 'paid', 'referral']
    """
    Events.check(events)
    check_whole("horizon_days", horizon_days, low=1, high=MAX_DAYS)
    check_number("margin", margin, low=1e-6, high=1)
    cells = loop_cells(events, by)
    return value_of(
        cells, by=by, horizon_days=int(horizon_days), margin=margin, end=events.end
    )


def value_of(
    cells: LoopCells, *, by: str, horizon_days: int, margin: float, end: date
) -> VisitorValue:
    """Say the same from what people did by age.

    Parameters
    ----------
    cells : LoopCells
        Result of `cells.loop_cells`.
    by : str
        Its breakdown.
    horizon_days : int
        As in `visitor_value`.
    margin : float
        As in `visitor_value`.
    end : date
        Last observed day.

    Returns
    -------
    VisitorValue
    """
    after = descent(cells, horizon_days=horizon_days)
    parts = {OUTSIDE: outside(cells)}
    parts |= {name: cells.where(segment=name) for name in sorted(set(cells.segment))}
    referred = [source == "referral" for source in cells.source]
    lines = []
    for name, part in parts.items():
        is_brought = [segment == name for segment in cells.segment] == referred
        worth = buyer_worth(
            part, after, horizon_days=horizon_days, is_brought=is_brought
        )
        lines.append(_line(part, worth, horizon_days=horizon_days, margin=margin))
    return VisitorValue(
        table=pd.DataFrame(lines, columns=schema.names("visitor_value")),
        descent_value=float(after.value[-1]),
        descent_own_value=float(after.own[-1]),
        descent_r=float(after.r[-1]),
        descent_days=after.days,
        descent_reason=after.reason,
        by=by,
        horizon_days=horizon_days,
        margin=margin,
        end=end,
    )


def outside(cells: LoopCells) -> LoopCells:
    """Add up everybody whom nobody brought.

    Parameters
    ----------
    cells : LoopCells
        Of all kinds of people.

    Returns
    -------
    LoopCells
    """
    return cells.only([source != "referral" for source in cells.source], OUTSIDE)


def _line(
    cells: LoopCells, worth: BuyerWorth | None, *, horizon_days: int, margin: float
) -> dict[str, object]:
    """Write the line of one segment, with the reasons for what is missing."""
    line: dict[str, object] = {
        "segment": cells.segment[0],
        "n_arrived": int(cells.arrived.sum()) if cells.has_visits else pd.NA,
        "n_buyers": int(cells.followup.sum()),
    }
    share, days, why = conversion(cells, horizon_days=horizon_days)
    if share is not None:
        line |= _converted(share, days)
    if worth is None:
        few = f"{line['n_buyers']} buyers, need 30"
        return line | {"reason": "; ".join(dict.fromkeys(filter(None, [few, why])))}
    r = worth.after.r
    brings = not np.isnan(worth.brought(r)[-1])
    reasons = [why] if brings else [worth.after.reason, why]
    line |= _of_buyers(worth, margin=margin) | {
        "reason": "; ".join(dict.fromkeys(filter(None, reasons)))
    }
    if share is None:
        return line
    value = estimate_through(lambda r: share * worth.total(r), r)
    return line | {
        "visitor_own_value": float(share[-1] * worth.own[-1]),
        "visitor_brought_value": float(share[-1] * worth.brought(r)[-1]),
        "visitor_value": value.value,
        "visitor_value_low": value.low,
        "visitor_value_high": value.high,
        "visitor_ceiling": value.value * margin,
        "visitor_ceiling_low": value.low * margin,
        "visitor_ceiling_high": value.high * margin,
    }


def _converted(share: FloatArray, days: int) -> dict[str, object]:
    """Write which share of visitors buys."""
    found = estimate(share)
    return {
        "conversion_days": days,
        "share_converted": found.value,
        "share_converted_low": found.low,
        "share_converted_high": found.high,
    }


def _of_buyers(worth: BuyerWorth, *, margin: float) -> dict[str, object]:
    """Write what a buyer is worth."""
    r = worth.after.r
    value, brought = (estimate_through(f, r) for f in (worth.total, worth.brought))
    own, total = estimate(worth.own), value.value
    return {
        "value_days": worth.days,
        "first_value": float(worth.first[-1]),
        "repeat_value": float(worth.repeat[-1]),
        "own_value": own.value,
        "own_value_low": own.low,
        "own_value_high": own.high,
        "r": float(worth.r[-1]),
        "brought_value": brought.value,
        "brought_value_low": brought.low,
        "brought_value_high": brought.high,
        "buyer_value": value.value,
        "buyer_value_low": value.low,
        "buyer_value_high": value.high,
        # A share of a sum only where both parts are above 0.
        "share_brought": brought.value / total if own.value > 0 < total else np.nan,
        "buyer_ceiling": value.value * margin,
        "buyer_ceiling_low": value.low * margin,
        "buyer_ceiling_high": value.high * margin,
    }
