"""How many customers are active, dormant and lost, and how they move between."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import format_value, show_html, show_text
from selfloop.core.settings import check_choice
from selfloop.inputs.baskets import EPOCH
from selfloop.inputs.events import Events
from selfloop.measures.customers.as_of import day_of
from selfloop.measures.customers.lapses import (
    Lapses,
    check_lapses,
    gap_curve,
    lapses_of,
)
from selfloop.measures.customers.moves import (
    count_arrivals,
    count_moves,
    sum_buyers,
    with_neighbours,
)
from selfloop.measures.periods import (
    PERIODS,
    Period,
    last_period,
    number_of,
    period_names,
)

_NUMBERS = {"new": [0], "repeat": [1], "resurrected": [2, 3], "other": [4]}
"""Names of the kinds of `moves.sum_buyers`."""

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lifecycle:
    """Stocks of customers by state and every move between, made by `lifecycle`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.LIFECYCLE`, one row per period.
    previous : DataFrame
        Columns of `schema.LIFECYCLE_PREVIOUS`: the same periods with a memory of one
        period, as product-analytics tools count.
    period : str
        Length of the periods.
    lapses : Lapses
        After how many days people are dormant and lost, given or found.
    end : date
        Last observed day.
    """

    table: pd.DataFrame = field(repr=False)
    previous: pd.DataFrame = field(repr=False)
    period: str
    lapses: Lapses
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the table, columns of `schema.LIFECYCLE`."""
        return self.table.copy()

    def __repr__(self) -> str:
        """Show both tables as text."""
        return show_text("Lifecycle", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show both tables in a notebook."""
        return show_html("Lifecycle", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all periods."""
        lapses = self.lapses
        return [
            ("observed to", self.end),
            *lapses.facts(),
            ("back within", f"{lapses.within_days or '–'} days"),
            ("of the dormant, back", format_value(lapses.share_back_dormant, "share")),
            ("of the lost, back", format_value(lapses.share_back_lost, "share")),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show, the latest periods: moves first."""
        moves = [
            "period", "n_opening", "n_new", "n_from_dormant", "n_from_lost",
            "n_lapsed", "n_closing", "n_dormant_closing", "n_lost", "n_lost_closing",
            "share_active_buyers", "n_buyers", "status",
        ]  # fmt: skip
        last = self.table[moves].tail(20).reset_index(drop=True)
        previous = self.previous.tail(20).reset_index(drop=True)
        return [
            ("by days since the last purchase", last, "lifecycle"),
            ("by the period before", previous, "lifecycle_previous"),
        ]


def lifecycle(
    events: Events,
    period: Period = "month",
    *,
    dormant_after_days: int | None = None,
    lost_after_days: int | None = None,
) -> Lifecycle:
    """How many customers are active, and who came, came back and fell silent.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    period : {"month", "week", "quarter", "day"}
        Length of the periods; weeks begin on Mondays.
    dormant_after_days : int, optional
        D: a buyer is active for D days after a purchase and dormant from the next day
        on, at least 1. By default as the gaps of the shop suggest.
    lost_after_days : int, optional
        L: lost from the day after L days without a purchase, above D. By default 3 D.

    Returns
    -------
    Lifecycle
        Both numbers are in its ``lapses``.

    Raises
    ------
    SettingError
        `period` is none of these, the days are no whole numbers that rise, or they are
        not given and fewer than 30 silences have lasted 90 days: give them.

    Notes
    -----
    With s the days since the latest purchase, a buyer is active while s <= D, dormant
    while D < s <= L, lost while s > L. Who buys after s days of silence is *repeat* for
    s <= D, else *resurrected*: back from dormant, or for s > L from lost. All moves are
    counted as they happen, so that in every period, exactly,

        opening + new + from_dormant + from_lost - lapsed = closing     (active)
        opening + lapsed - from_dormant - lost = closing                (dormant)
        opening + lost - from_lost = closing                            (lost)

    also when one person lapses and returns within a period. A fall into silence
    happens on day D + 1 after a purchase, before a purchase of that day. Buyers of a
    period are counted once each, by their first purchase in it; `revenue_other` is of
    people who bought nothing in the period, mostly refunds.

    By default D is the expected gap: the day by which 80 % of those who buy again
    within W days have done so, by Kaplan-Meier [1]_ over all gaps between purchases,
    with the last and open gap of everybody; W is 365 days, in younger data 180 or 90.
    Frequent buyers have more gaps, so people who buy rarely are called dormant early:
    ``lapses`` tells which share of the dormant and lost comes back all the same. L =
    3 D; in the data it was tried on (W 365), 96 to 97 %
    of those who return within a year have returned by then.

    With a memory of one period (`previous`): active = new + repeat + resurrected, and
    active of the period before = repeat + dormant. The last period is partial unless
    it was observed to its close: fewer have lapsed in it so far, and with the memory
    of one period too many look dormant.

    References
    ----------
    .. [1] E. L. Kaplan, P. Meier, "Nonparametric estimation from incomplete
       observations", JASA 53 (1958).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders)
    >>> found = sl.lifecycle(events, dormant_after_days=60, lost_after_days=180)
    >>> line = found.table.iloc[3]
    >>> came = line["n_new"] + line["n_resurrected"]
    >>> bool(line["n_opening"] + came - line["n_lapsed"] == line["n_closing"])
    True
    """
    Events.check(events)
    check_choice("period", period, PERIODS)
    check_lapses(dormant_after_days, lost_after_days)
    rows = events.engine.keep(with_neighbours(events, period), "lifecycle")
    try:
        bought = rows.filter(rows.is_purchase)
        curve = gap_curve(bought, events.end_day)
        lapses = lapses_of(curve, dormant_after_days, lost_after_days)
        moves = count_moves(bought, lapses)
        money = sum_buyers(rows, lapses)
    finally:
        events.engine.drop(rows)
    people = count_arrivals(events)
    span = _span(moves, events.end, period)
    return Lifecycle(
        table=_table(span, moves, money, people, lapses),
        previous=_previous(span, moves),
        period=period,
        lapses=lapses,
        end=events.end,
    )


class _Span(NamedTuple):
    """The periods from the first purchase to the end, and which day is in which.

    Parameters
    ----------
    names, status : list of str
        Of each period.
    first : int
        Number of the first.
    first_day, end_day : int
        Numbers of the first and the last day.
    place : ndarray of int64
        For each day, in which period it is, from 0.
    """

    names: list[str]
    status: list[str]
    first: int
    first_day: int
    end_day: int
    place: IntArray

    def by_period(self, rows: pd.DataFrame, *, after: int = 0) -> IntArray:
        """Add up `n` of rows by period, so many days after their days."""
        day = rows["day"].to_numpy(np.int64) + after
        seen = day <= self.end_day
        n = rows["n"].to_numpy(np.int64)[seen]
        return _added(self.place[day[seen] - self.first_day], n, len(self.names))


def _span(moves: pd.DataFrame, end: date, period: Period) -> _Span:
    """Return the periods from the first purchase to the end."""
    end_day = day_of(end)
    first_day = int(moves["day"].min()) if len(moves) else end_day + 1
    days = [EPOCH + timedelta(days=d) for d in range(first_day, end_day + 1)]
    number = np.array([number_of(day, period) for day in days], dtype=np.int64)
    first = int(number[0]) if number.size else 0
    place = number - first
    size = int(place[-1]) + 1 if number.size else 0
    status = ["complete"] * size
    if size and not last_period(end, period).closed:
        status[-1] = "partial"
    names = period_names(np.arange(size) + first, period).tolist()
    return _Span(names, status, first, first_day, end_day, place)


def _added(place: IntArray, n: IntArray, size: int) -> IntArray:
    """Add up whole numbers by place."""
    return np.bincount(place, n, minlength=size).astype(np.int64)


def _table(
    span: _Span,
    moves: pd.DataFrame,
    money: pd.DataFrame,
    people: pd.DataFrame,
    lapses: Lapses,
) -> pd.DataFrame:
    """Write one row per period: moves, stocks, buyers and revenue."""
    kind, left = moves["kind"], moves["left"]
    came = [span.by_period(moves[kind == k]) for k in range(4)]
    lapsed = span.by_period(moves[left >= 1], after=lapses.dormant_after_days + 1)
    lost = span.by_period(moves[left == 2], after=lapses.lost_after_days + 1)
    active = np.cumsum(came[0] + came[2] + came[3] - lapsed)
    dormant = np.cumsum(lapsed - came[2] - lost)
    gone = np.cumsum(lost - came[3])
    is_later = people["day"] >= span.first_day
    n_before = int(people["n"][~is_later].sum())
    n_people = n_before + np.cumsum(span.by_period(people[is_later]))
    table = pd.DataFrame({
        "period": span.names,
        "n_opening": _opening(active),
        "n_new": came[0],
        "n_from_dormant": came[2],
        "n_from_lost": came[3],
        "n_resurrected": came[2] + came[3],
        "n_lapsed": lapsed,
        "n_closing": active,
        "n_dormant_opening": _opening(dormant),
        "n_lost": lost,
        "n_dormant_closing": dormant,
        "n_lost_opening": _opening(gone),
        "n_lost_closing": gone,
        "n_people": n_people,
        "share_active_buyers": active / np.cumsum(came[0]),
        "share_active_people": active / n_people,
        "status": span.status,
    })  # fmt: skip
    return table.assign(**_buyers(span, money))[schema.names("lifecycle")]


def _buyers(span: _Span, money: pd.DataFrame) -> dict[str, npt.NDArray[np.number]]:
    """Return how many bought and for how much, each person once per period."""
    # Money given back before anybody bought is in no period.
    size = len(span.names)
    money = money[money["period"].between(span.first, span.first + size - 1)]
    columns: dict[str, npt.NDArray[np.number]] = {
        "n_buyers": np.zeros(size, dtype=np.int64),
        "revenue": np.zeros(size),
    }
    for name, numbers in _NUMBERS.items():
        rows = money[money["kind"].isin(numbers)]
        place = rows["period"].to_numpy(np.int64) - span.first
        value = rows["revenue"].astype(np.float64).to_numpy()
        columns[f"revenue_{name}"] = np.bincount(place, value, minlength=size)
        columns["revenue"] = columns["revenue"] + columns[f"revenue_{name}"]
        if name != "other":
            n = _added(place, rows["n"].to_numpy(np.int64), size)
            columns[f"n_{name}_buyers"] = n
            columns["n_buyers"] = columns["n_buyers"] + n
    return columns


def _previous(span: _Span, moves: pd.DataFrame) -> pd.DataFrame:
    """Write one row per period that remembers the period before only."""
    since = moves["since"]
    new, repeat, back = (span.by_period(moves[since == s]) for s in (-1, 1, 2))
    active = new + repeat + back
    table = pd.DataFrame({
        "period": span.names,
        "n_new": new,
        "n_repeat": repeat,
        "n_resurrected": back,
        "n_buyers": active,
        "n_dormant": _opening(active) - repeat,
        "status": span.status,
    })  # fmt: skip
    return table[schema.names("lifecycle_previous")]


def _opening(closing: IntArray) -> IntArray:
    """Return what a stock is when each period begins."""
    return np.append(np.zeros(1, dtype=np.int64), closing)[: closing.size]
