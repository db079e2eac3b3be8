"""After how many days without a purchase people are dormant, and when lost."""

from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np

from selfloop.core.errors import SettingError
from selfloop.core.settings import MIN_AT_RISK, check_whole
from selfloop.inputs.events import Events
from selfloop.kernels.quantiles import quantile_days_of_reached
from selfloop.kernels.survival import KaplanMeier
from selfloop.measures.histograms import curve_of

STATES = ("active", "dormant", "lost")
"""Where a buyer can be, by the days since the last purchase."""

WITHIN_DAYS = 365
"""Who comes back at all does so within so many days, for the defaults."""

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
    share_back_dormant, share_back_lost : float
        Of silences that have lasted D (L) days, the share that ends within 365 days of
        the last purchase; NaN where the data cannot say.
    """

    dormant_after_days: int
    lost_after_days: int
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
        check_whole("dormant_after_days", dormant_after_days, low=1)
    if lost_after_days is not None:
        low = 2 if dormant_after_days is None else dormant_after_days + 1
        check_whole("lost_after_days", lost_after_days, low=low)


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
    open one of everybody included: D is the first day with F(D) >= 0.8 F(365), and
    L = 3 D.
    """
    dormant = dormant_after_days
    if dormant is None:
        dormant = _expected_gap(curve)
        if lost_after_days is not None and lost_after_days <= dormant:
            raise SettingError(
                f"lost_after_days must be above dormant_after_days, which is {dormant} "
                f"by the gaps of these data; got {lost_after_days}. Give both"
            )
    lost = TIMES * dormant if lost_after_days is None else lost_after_days
    back = [_share_back(curve, days) for days in (dormant, lost)]
    return Lapses(int(dormant), int(lost), *back)


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


def _expected_gap(curve: KaplanMeier | None) -> int:
    """Return D by the gaps of the shop."""
    n_at_risk = _at_risk(curve)
    if curve is None or n_at_risk < MIN_AT_RISK:
        raise SettingError(
            "dormant_after_days must be given: the data are too young to tell it, with "
            f"{n_at_risk} silences that have lasted {WITHIN_DAYS} days and "
            f"{MIN_AT_RISK} needed; such as dormant_after_days=60, lost_after_days=180"
        )
    found = quantile_days_of_reached(curve, RETURNED, within=WITHIN_DAYS).days
    if np.isnan(found):
        raise SettingError(
            "dormant_after_days must be given: nobody has bought twice within "
            f"{WITHIN_DAYS} days; such as dormant_after_days=60, lost_after_days=180"
        )
    return max(1, int(found))


def _at_risk(curve: KaplanMeier | None) -> int:
    """Count silences that have lasted as long as it takes to tell."""
    if curve is None or curve.n_at_risk.size <= WITHIN_DAYS:
        return 0
    return int(curve.n_at_risk[WITHIN_DAYS])


def _share_back(curve: KaplanMeier | None, days: int) -> float:
    """Return which share of silences of so many days ends within 365."""
    if curve is None or days >= WITHIN_DAYS or _at_risk(curve) < MIN_AT_RISK:
        return float("nan")
    left = float(curve.survival[days])
    return (left - float(curve.survival[WITHIN_DAYS])) / left if left else float("nan")
