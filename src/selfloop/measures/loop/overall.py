"""Does the shop feed itself: what carried each month, and how strong the loop is."""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import format_value, show_html, show_text
from selfloop.core.settings import MIN_AT_RISK, WINDOWS_DAYS
from selfloop.inputs.events import Events
from selfloop.kernels.renewal import multiplier
from selfloop.kernels.survival import MeanCumulative, MeanInterval
from selfloop.measures.loop.ages import referral_ages
from selfloop.measures.loop.circulation import Circulation, circulation
from selfloop.measures.loop.reproduction import (
    check_horizons,
    longest_age,
    r_curve,
    r_table,
)


@dataclass(frozen=True)
class SelfLoop:
    """The loop of a shop, made by `self_loop`.

    Parameters
    ----------
    months, weeks : DataFrame
        Columns of `schema.LOOP_MONTHS` and `schema.LOOP_WEEKS`: what carried each
        month and week.
    lineage, lineage_months : DataFrame
        Columns of `schema.LOOP_LINEAGE` and `schema.LOOP_LINEAGE_MONTHS`: what came of
        the people whom nobody brought, by their source.
    reproduction : DataFrame
        Columns of `schema.REPRODUCTION`: R(H) for each horizon; empty without
        referrals.
    curve : DataFrame
        Columns of `schema.REPRODUCTION_CURVE`: M(a) day by day.
    horizon_days : int or None
        The longest horizon whose R is known; the multiplier uses it.
    multiplier, multiplier_low, multiplier_high : float
        1 / (1 - R): customers that each customer from outside ends in. Missing
        (NaN) without R, infinite where R may be 1 or more.
    n_seeding : int or None
        Successful referrals by people who had not bought themselves; outside R.
    share_orders, share_revenue : float
        Self-circulation share of the whole period; missing when it is undefined.
    paid_reason : str
        Why the shares of ads are missing; empty when they are known.
    reason : str
        Why R is missing; empty when it is known.
    end : date
        Last observed day.
    """

    months: pd.DataFrame = field(repr=False)
    weeks: pd.DataFrame = field(repr=False)
    lineage: pd.DataFrame = field(repr=False)
    lineage_months: pd.DataFrame = field(repr=False)
    reproduction: pd.DataFrame = field(repr=False)
    curve: pd.DataFrame = field(repr=False)
    horizon_days: int | None
    multiplier: float
    multiplier_low: float
    multiplier_high: float
    n_seeding: int | None
    share_orders: float
    share_revenue: float
    paid_reason: str
    reason: str
    end: date

    @property
    def headline(self) -> dict[str, object] | None:
        """The line of `reproduction` of the longest known horizon, or None."""
        if self.horizon_days is None:
            return None
        rows = self.reproduction
        return dict(rows[rows["horizon_days"] == self.horizon_days].iloc[0])

    def to_frame(self) -> pd.DataFrame:
        """Return the months, columns of `schema.LOOP_MONTHS`."""
        return self.months.copy()

    def __repr__(self) -> str:
        """Show the loop as text."""
        return show_text("Self-loop", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the loop in a notebook."""
        return show_html("Self-loop", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List the headline numbers; the share never stands without R."""
        line = self.headline
        if line is None:
            r = f"missing: {self.reason}"
        else:
            r = (
                f"{line['r']:.3f} ({line['r_low']:.3f} to {line['r_high']:.3f}) "
                f"by day {self.horizon_days}"
            )
        by_orders = format_value(self.share_orders, "share")
        return [
            ("observed to", self.end),
            ("reproduction number R", r),
            ("share of orders from repeat and referral", by_orders),
            ("share of revenue", format_value(self.share_revenue, "share")),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        few = ["month", "n_orders", "n_repeat", "n_first_referral", "n_first_paid",
               "n_first_organic", "n_first_unknown", "share_orders", "share_revenue",
               "status"]  # fmt: skip
        return [
            ("R(H)", self.reproduction, "reproduction"),
            ("by month", self.months[few].tail(12), "loop_months"),
        ]


def self_loop(
    events: Events,
    *,
    horizons_days: tuple[int, ...] = WINDOWS_DAYS,
    min_at_risk: int = MIN_AT_RISK,
) -> SelfLoop:
    """Say whether this shop feeds itself, and what carried each month.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    horizons_days : tuple of int
        Horizons H of R, in days, each at least 1. The longest age that at least
        `min_at_risk` buyers have reached is added.
    min_at_risk : int
        Fewer buyers observed to age H than this: R(H) is missing, with the reason;
        at least 1.

    Returns
    -------
    SelfLoop

    Raises
    ------
    SettingError
        A horizon is no whole number of days, or it or `min_at_risk` is below 1.

    Notes
    -----
    *Self-circulation share* of a month: (repeat purchases + first purchases of
    referred people) / all purchases of known customers; the rest was bought with
    advertising or came by itself. It answers what carried the month, not how strong
    the loop is: it falls when advertising grows, with the same loop. A share of
    revenue is missing where refunds push it out of 0 to 1.

    *Reproduction number*: with d(a) the buyers brought at age a of the buyer who
    brought them (age counted from the first purchase, dated by the first purchase of
    the person brought) and n(a) the buyers observed at least to age a,
    R(H) = M(H) = sum over a <= H of d(a) / n(a), the mean cumulative function [1]_,
    which needs no customer to have finished. Its interval is robust against buyers
    who differ: the variance sums, over buyers, the square of what each adds to the
    estimate [2]_, and is used on the log scale with Student's t. Referrals by people
    who never bought or before their own first purchase are seeding from outside and
    not part of R.
    With several referrers by weight, R follows the first.

    References
    ----------
    .. [1] W. Nelson, "Graphical analysis of system repair data", J. Quality
       Technology 20 (1988).
    .. [2] J. F. Lawless, C. Nadeau, "Some simple robust methods for the analysis of
       recurrent events", Technometrics 37 (1995).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits)
    >>> loop = sl.self_loop(events)
    >>> bool(0 < loop.headline["r_low"] < loop.headline["r"])
    True
    """
    Events.check(events)
    check_horizons(horizons_days, min_at_risk)
    carried = circulation(events)
    if "referrals" not in events.has:
        return _without_referrals(carried, events.end)
    ages = referral_ages(events)
    curve, band = ages.curve()
    longest = longest_age(curve, min_at_risk)
    gain, low, high = _gain(curve, band, longest)
    return SelfLoop(
        **carried._asdict(),
        reproduction=r_table(curve, band, horizons_days, min_at_risk),
        curve=r_curve(curve, band, longest),
        horizon_days=longest,
        multiplier=gain,
        multiplier_low=low,
        multiplier_high=high,
        n_seeding=ages.n_seeding,
        reason="" if longest else f"fewer than {min_at_risk} buyers observed for a day",
        end=events.end,
    )


def _without_referrals(carried: Circulation, end: date) -> SelfLoop:
    """Return what can be said without a table of referrals."""
    return SelfLoop(
        **carried._asdict(),
        reproduction=pd.DataFrame(columns=schema.names("reproduction")),
        curve=pd.DataFrame(columns=schema.names("reproduction_curve")),
        horizon_days=None,
        multiplier=np.nan,
        multiplier_low=np.nan,
        multiplier_high=np.nan,
        n_seeding=None,
        reason="no table of referrals",
        end=end,
    )


def _gain(
    curve: MeanCumulative, band: MeanInterval, longest: int | None
) -> tuple[float, float, float]:
    """Return the multiplier 1 / (1 - R) with its interval."""
    if longest is None:
        return np.nan, np.nan, np.nan
    found = multiplier(
        float(curve.mean[longest]),
        low=float(band.low[longest]),
        high=float(band.high[longest]),
    )
    return float(found.multiplier), float(found.low), float(found.high)
