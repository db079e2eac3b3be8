"""How long it takes: to bring the first person, to be won over, from buyer to buyer."""

from dataclasses import dataclass, field
from datetime import date

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.settings import CONFIDENCE, MIN_AT_RISK
from selfloop.inputs.baskets import day_number
from selfloop.inputs.events import Events
from selfloop.kernels.timing import Timing, first_timing, quantile_days, repeated_timing
from selfloop.measures.referral.histories import brought_buyers, cells, group_of

IntArray = npt.NDArray[np.int64]

STEPS = ("first_referral", "conversion", "generation")
"""From the own first purchase to that of the first person brought; from a referral to
the first purchase of the referee; from each first purchase to those it led to."""


@dataclass(frozen=True, eq=False)
class ReferralTimes:
    """How long referrals take, made by `referral_times`.

    Parameters
    ----------
    steps : DataFrame
        Columns of `schema.REFERRAL_TIMES`, one row per step.
    curve : DataFrame
        Columns of `schema.REFERRAL_TIMES_CURVE`: by each day.
    end : date
        Last observed day.
    """

    steps: pd.DataFrame
    curve: pd.DataFrame = field(repr=False)
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the steps, columns of `schema.REFERRAL_TIMES`."""
        return self.steps.copy()

    def __repr__(self) -> str:
        """Show the steps as text."""
        return show_text("Referral times", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the steps in a notebook."""
        return show_html("Referral times", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        return [("observed to", self.end)]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [("", self.steps, "referral_times")]


def referral_times(events: Events) -> ReferralTimes:
    """Say how long it takes to bring others, and from one generation to the next.

    Parameters
    ----------
    events : Events
        Result of `read_events`, with referrals.

    Returns
    -------
    ReferralTimes

    Raises
    ------
    MissingTableError
        There is no table of referrals.

    Notes
    -----
    ``first_referral``: days from the first purchase of a buyer to that of the first
    person they brought; ``conversion``: from a referral to the first purchase of the
    referee; ``generation``: from the first purchase of a buyer to that of each person
    they brought. Slow ones of recent people have not happened yet, so the median of
    those seen so far (`naive_days_50`) is too short. Here the curves are 1 -
    Kaplan-Meier, and for generations the mean cumulative function of `self_loop`,
    each divided by its value on the last day with 30 people at risk: the quantiles are
    of what happens within `longest_days`.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=3000, seed=7)
    >>> times = sl.referral_times(sl.read_events(shop.orders, shop.referrals))
    >>> row = times.steps.set_index("step").loc["generation"]
    >>> bool(row.naive_days_50 <= row.days_50)
    True
    """
    Events.check(events)
    events.need("referrals", "referral_times")
    lines, curves = [], []
    for step in STEPS:
        n, n_reached, naive, timing = _step(events, step)
        lines.append(_line(step, n, n_reached, naive, timing))
        if timing is not None:
            curves.append(_curve(step, timing))
    empty = pd.DataFrame(columns=schema.names("referral_times_curve"))
    return ReferralTimes(
        steps=pd.DataFrame(lines, columns=schema.names("referral_times")),
        curve=pd.concat(curves, ignore_index=True) if curves else empty,
        end=events.end,
    )


def _step(events: Events, step: str) -> tuple[int, int, float, Timing | None]:
    """Count what began and what was reached, its naive median, and when it happens."""
    rows = {
        "first_referral": _first_referrals,
        "conversion": _conversions,
        "generation": _followups,
    }[step](events)
    begun = rows.group_by("group_no", "followup").aggregate(n=rows.count())
    if step == "generation":
        made = brought_buyers(events)
        made = made.filter(made.age_days >= 0)
        made = made.select(group_no=group_of(made.own_hash), day="age_days")
    else:
        made = rows.filter(rows.day.notnull()).select("group_no", "day")
        left = rows.filter(rows.day.isnull())
        begun = left.group_by("group_no", "followup").aggregate(n=left.count())
    seen = made.group_by("group_no", "day").aggregate(n=made.count())
    n_days = (events.end - events.start).days + 1
    left_cells, seen_cells = (
        cells(table, n_days).astype(np.int64) for table in (begun, seen)
    )
    n_reached = int(seen_cells.sum())
    n = int(left_cells.sum()) + (0 if step == "generation" else n_reached)
    find = repeated_timing if step == "generation" else first_timing
    timing = find(
        seen_cells, left_cells, min_at_risk=MIN_AT_RISK, confidence=CONFIDENCE
    )
    return n, n_reached, _median(seen_cells.sum(axis=0)), timing


def _first_referrals(events: Events) -> ir.Table:
    """Select buyers, with the day of their first success since the first purchase."""
    core = events.core
    rows = core.filter(core.first_day.notnull())
    return rows.select(
        group_no=group_of(rows.id_hash),
        followup=events.end_day - rows.first_day,
        day=rows.success_after_day - rows.first_day,
    )


def _conversions(events: Events) -> ir.Table:
    """Select the first referral of everybody who was referred, and the first order."""
    assert events.links is not None
    links = events.links
    core = events.core.select("person_no", "referrer_no", "first_day")
    begun = links.group_by("referee_no").aggregate(
        referred_day=day_number(links.referred_at.min())
    )
    owners = events.core.select(referrer_no="person_no", own_hash="id_hash")
    rows = core.join(begun, core.person_no == begun.referee_no)
    rows = rows.join(owners, "referrer_no")
    return rows.select(
        group_no=group_of(rows.own_hash),
        followup=events.end_day - rows.referred_day,
        day=rows.first_day - rows.referred_day,
    )


def _followups(events: Events) -> ir.Table:
    """Select buyers with their days of follow-up."""
    core = events.core
    rows = core.filter(core.first_day.notnull())
    return rows.select(
        group_no=group_of(rows.id_hash), followup=events.end_day - rows.first_day
    )


def _median(counts: IntArray) -> float:
    """Return the median of days, given how many there are of each; NaN of none."""
    total = int(counts.sum())
    if not total:
        return np.nan
    before = np.cumsum(counts)
    middle = [(total - 1) // 2, total // 2]
    return float(np.mean(np.searchsorted(before, middle, side="right")))


def _line(
    step: str, n: int, n_reached: int, naive: float, timing: Timing | None
) -> dict[str, object]:
    """Write one step, or the reason why its times are missing."""
    line: dict[str, object] = {
        "step": step,
        "n_people": n,
        "n_reached": n_reached,
        "naive_days_50": naive,
        "reason": "",
    }
    if timing is None:
        few = n < MIN_AT_RISK
        why = f"{n} people, need {MIN_AT_RISK}" if few else "nothing happened"
        return line | {"reason": why}
    for percent in (25, 50, 75):
        line[f"days_{percent}"], low, high = quantile_days(timing, percent / 100)
        if percent == 50:
            line["days_50_low"], line["days_50_high"] = low, high
    falls = np.diff(timing.share, prepend=0.0)
    days = np.arange(falls.size)
    return line | {
        "longest_days": timing.last_day,
        "reached": timing.reached,
        "mean_days": float((falls * days).sum()),
    }


def _curve(step: str, timing: Timing) -> pd.DataFrame:
    """Write the share of all that happens, by each day."""
    return pd.DataFrame({
        "step": step,
        "days": np.arange(timing.share.size),
        "share": timing.share,
        "share_low": timing.low,
        "share_high": timing.high,
    })[schema.names("referral_times_curve")]  # fmt: skip
