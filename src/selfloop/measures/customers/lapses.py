"""After how many days without a purchase people are dormant, and when lost."""

from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np

from selfloop.core.errors import SettingError
from selfloop.core.settings import MIN_AT_RISK, check_days
from selfloop.inputs.events import Events
from selfloop.kernels.quantiles import quantile_days_of_reached
from selfloop.kernels.survival import KaplanMeier, at_risk_at
from selfloop.measures.histograms import curve_of

STATES = ("active", "dormant", "lost")
"""Where a buyer can be, by the days since the last purchase."""

WITHIN_DAYS = (365, 180, 90)
"""Who comes back at all does so within so many days, for the defaults: the longest
that enough silences have lasted."""

RETURNED = 0.8
"""Dormant by default: when this part of those who come back has done so."""

TIMES = 3
"""Lost by default: after so many times the days of dormant."""


class Lapses(NamedTuple):
    """Days without a purchase after which people are dormant and lost.

    Parameters
    ----------
    dormant_after_days, lost_after_days : int
        D and L: active to D days, dormant to L days, lost after that.
    within_days : int or None
        W: who comes back at all does so within W days; None where the data are too
        young to tell.
    share_back_dormant, share_back_lost : float
        Of silences that have lasted D (L) days, the share that ends within W days of
        the last purchase; NaN where the data cannot say.
    """

    dormant_after_days: int
    lost_after_days: int
    within_days: int | None
    share_back_dormant: float
    share_back_lost: float

    def facts(self) -> list[tuple[str, object]]:
        """List them as people read them."""
        return [
            ("dormant after", f"{self.dormant_after_days} days"),
            ("lost after", f"{self.lost_after_days} days"),
        ]


def check_lapses(dormant_after_days: int | None, lost_after_days: int | None) -> None:
    """Raise unless the days that were given are whole and rise.

    Parameters
    ----------
    dormant_after_days, lost_after_days : int or None
        What the user gave.

    Raises
    ------
    SettingError
        When one is no whole number of at least 1, or they do not rise.
    """
    if dormant_after_days is not None:
        check_days("dormant_after_days", dormant_after_days)
    if lost_after_days is not None:
        low = 2 if dormant_after_days is None else int(dormant_after_days) + 1
        check_days("lost_after_days", lost_after_days, low=low)


def gaps_until(events: Events, last_day: int) -> ir.Table:
    """Select purchases up to a day, each with that after it.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    last_day : int
        Number of the last day that counts.

    Returns
    -------
    ibis table
        day, next_day (missing when there is none yet).
    """
    rows = events.baskets
    bought = rows.filter(rows.is_purchase & (rows.day <= last_day))
    by_person = ibis.window(group_by=bought.person_no, order_by=bought.day)
    return bought.select("day", next_day=bought.day.lead().over(by_person))


def gap_curve(rows: ir.Table, last_day: int) -> KaplanMeier:
    """Estimate after how many days people buy again, from all gaps, open ones too.

    Parameters
    ----------
    rows : ibis table
        day, next_day of every purchase.
    last_day : int
        Number of the last day that was observed.

    Returns
    -------
    KaplanMeier
        By days since a purchase.
    """
    event = rows.next_day.notnull()
    days = rows.next_day.fill_null(last_day) - rows.day
    counted = rows.group_by(days=days, event=event).aggregate(n=rows.count())
    return curve_of(counted.to_pandas())


def lapses_of(
    curve: KaplanMeier | None,
    dormant_after_days: int | None,
    lost_after_days: int | None,
) -> Lapses:
    """Return the days that were given, or those that the gaps of the shop suggest.

    Parameters
    ----------
    curve : KaplanMeier or None
        From `gap_curve`; None only when nothing has to be found in it.
    dormant_after_days, lost_after_days : int or None
        What the user gave, checked by `check_lapses`.

    Returns
    -------
    Lapses

    Raises
    ------
    SettingError
        The days are not given, and the data are too young or too few to tell; or the
        days found and the days given do not rise.

    Notes
    -----
    With F = 1 - S the Kaplan-Meier curve of all gaps between purchases, the last and
    open one of everybody included: D is the first day with F(D) >= 0.8 F(W), and
    L = 3 D. W is the longest of 365, 180 and 90 days that 30 silences have lasted.
    """
    within = _within(curve)
    if dormant_after_days is not None:
        dormant = int(dormant_after_days)
    else:
        dormant = _expected_gap(curve, within)
        if lost_after_days is not None and lost_after_days <= dormant:
            raise SettingError(
                f"lost_after_days must be above dormant_after_days, which is {dormant} "
                f"by the gaps of these data; got {lost_after_days}. Give both"
            )
    lost = TIMES * dormant if lost_after_days is None else int(lost_after_days)
    back = [_share_back(curve, days, within) for days in (dormant, lost)]
    return Lapses(dormant, lost, within, *back)


def lapses_at(
    events: Events,
    last_day: int,
    dormant_after_days: int | None,
    lost_after_days: int | None,
) -> Lapses:
    """Return the days as `lapses_of` does, from purchases up to a day only.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    last_day : int
        Number of the last day that counts.
    dormant_after_days, lost_after_days : int or None
        What the user gave.

    Returns
    -------
    Lapses

    Raises
    ------
    SettingError
        As `lapses_of`.
    """
    check_lapses(dormant_after_days, lost_after_days)
    curve = None
    if dormant_after_days is None:
        curve = gap_curve(gaps_until(events, last_day), last_day)
    return lapses_of(curve, dormant_after_days, lost_after_days)


def state_of(silence: ir.IntegerValue, lapses: Lapses) -> ir.StringValue:
    """Express the state of people by the days since their last purchase."""
    return ibis.cases(
        (silence <= lapses.dormant_after_days, STATES[0]),
        (silence <= lapses.lost_after_days, STATES[1]),
        else_=STATES[2],
    )


def _within(curve: KaplanMeier | None) -> int | None:
    """Return W: the longest of the windows that enough silences have lasted."""
    if curve is None:
        return None
    at_risk = at_risk_at(curve, WITHIN_DAYS)
    known = [w for w, n in zip(WITHIN_DAYS, at_risk, strict=True) if n >= MIN_AT_RISK]
    return known[0] if known else None


def _expected_gap(curve: KaplanMeier | None, within: int | None) -> int:
    """Return D by the gaps of the shop."""
    example = "such as dormant_after_days=60, lost_after_days=180"
    if curve is None or within is None:
        least = WITHIN_DAYS[-1]
        n = 0 if curve is None else int(at_risk_at(curve, [least])[0])
        raise SettingError(
            "dormant_after_days must be given: the data are too young to tell it, with "
            f"{n} silences that have lasted {least} days and {MIN_AT_RISK} needed; "
            f"{example}"
        )
    found = quantile_days_of_reached(curve, RETURNED, within=within).days
    if np.isnan(found):
        raise SettingError(
            "dormant_after_days must be given: nobody has bought twice within "
            f"{within} days; {example}"
        )
    return max(1, int(found))


def _share_back(curve: KaplanMeier | None, days: int, within: int | None) -> float:
    """Return which share of silences of so many days ends within W."""
    if curve is None or within is None or days >= within:
        return float("nan")
    left = float(curve.survival[days])
    return (left - float(curve.survival[within])) / left if left else float("nan")
