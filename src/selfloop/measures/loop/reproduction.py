"""How many buyers a buyer brings: R by age, source, cohort and any column."""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import FitError, SettingError
from selfloop.core.settings import CONFIDENCE, MIN_AT_RISK, WINDOWS_DAYS, check_whole
from selfloop.inputs.events import Events
from selfloop.kernels.survival import MeanCumulative, MeanInterval
from selfloop.kernels.trend import log_trend
from selfloop.measures.loop.ages import ReferralAges, referral_ages
from selfloop.measures.segments import PERIODS


@dataclass(frozen=True, eq=False)
class Reproduction:
    """How many buyers a buyer brings, by segment; made by `reproduction`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.REPRODUCTION_SEGMENTS`: R(H) of each segment and horizon.
    curve : DataFrame
        Columns of `schema.REPRODUCTION_SEGMENTS_CURVE`: M(a) day by day.
    trend : DataFrame
        Columns of `schema.REPRODUCTION_TREND`: whether R changes from cohort to
        cohort at equal age; no row unless the breakdown is by month or quarter.
    by : str or None
        Breakdown.
    end : date
        Last observed day.
    """

    table: pd.DataFrame = field(repr=False)
    curve: pd.DataFrame = field(repr=False)
    trend: pd.DataFrame = field(repr=False)
    by: str | None
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return R by segment, columns of `schema.REPRODUCTION_SEGMENTS`."""
        return self.table.copy()

    def __repr__(self) -> str:
        """Show the tables as text."""
        return show_text("Reproduction", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the tables in a notebook."""
        return show_html("Reproduction", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        return [("observed to", self.end), ("by", self.by or "nothing")]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        parts = [("R(H)", self.table, "reproduction_segments")]
        if len(self.trend):
            parts.append(("from cohort to cohort", self.trend, "reproduction_trend"))
        return parts


def reproduction(
    events: Events,
    by: str | None = "source",
    *,
    horizons_days: tuple[int, ...] = WINDOWS_DAYS,
    min_at_risk: int = MIN_AT_RISK,
) -> Reproduction:
    """Say how many buyers a buyer brings, for each source, cohort or other group.

    Parameters
    ----------
    events : Events
        Result of `read_events`, with referrals.
    by : str or None
        Breakdown of the buyers who bring others: a column of `schema.PEOPLE`, or
        ``arrived_month``, ``arrived_quarter``, ``first_order_month``,
        ``first_order_quarter``. The 30 largest values are kept, of months and
        quarters all.
    horizons_days : tuple of int
        Horizons H of R, in days, each at least 1. The longest age that at least
        `min_at_risk` buyers of the segment have reached is added.
    min_at_risk : int
        Fewer buyers observed to age H than this: R(H) is missing, with the reason;
        at least 1.

    Returns
    -------
    Reproduction
        ``table``, ``curve`` and, by month or quarter, ``trend``: whether later
        cohorts bring more or fewer people by the same age.

    Raises
    ------
    MissingTableError
        There is no table of referrals.
    SettingError
        There is no such breakdown, or a number is outside its range.

    Notes
    -----
    R(H) of a segment is the mean cumulative function of its own buyers, with the
    interval of `self_loop`. Whoever they bring may belong to any segment.

    The trend compares cohorts at equal age: with y people brought by age H, of the n
    buyers of a cohort that were observed at least to age H, the mean of a cohort at
    time t is exp(alpha + beta t), by Poisson quasi-likelihood [1]_ with the variance
    of the persons' own counts [2]_; ``ratio`` is exp(beta) per month or quarter.

    References
    ----------
    .. [1] P. McCullagh, J. A. Nelder, Generalized Linear Models, 2nd edition,
       Chapman and Hall 1989, chapter 9.
    .. [2] H. White, "Maximum likelihood estimation of misspecified models",
       Econometrica 50 (1982).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals)
    >>> table = sl.reproduction(events, "source").table
    >>> sorted(table["segment"].unique())
    ['organic', 'paid', 'referral']
    """
    Events.check(events)
    events.need("referrals", "reproduction")
    check_horizons(horizons_days, min_at_risk)
    return reproduction_of(
        referral_ages(events, by), by=by, end=events.end, horizons_days=horizons_days,
        min_at_risk=min_at_risk,
    )  # fmt: skip


def reproduction_of(
    ages: ReferralAges,
    *,
    by: str | None,
    end: date,
    horizons_days: tuple[int, ...] = WINDOWS_DAYS,
    min_at_risk: int = MIN_AT_RISK,
) -> Reproduction:
    """Say the same from buyers as parents of buyers.

    Parameters
    ----------
    ages : ReferralAges
        By segment.
    by : str or None
        Their breakdown.
    end : date
        Last observed day.
    horizons_days, min_at_risk : tuple of int, int
        As in `reproduction`.

    Returns
    -------
    Reproduction
    """
    lines, curves = [], []
    # By name, so that cohorts are in the order of time.
    for number in np.argsort(np.array(ages.segments, dtype=object)):
        mine = ages.of(int(number))
        if not mine.n_followup.sum():
            continue
        curve, band = mine.curve()
        table = r_table(curve, band, horizons_days, min_at_risk)
        lines.append(table.assign(segment=mine.segments[0]))
        longest = longest_age(curve, min_at_risk)
        days = r_curve(curve, band, longest)
        curves.append(days.assign(segment=mine.segments[0]))
    trends = []
    if by in PERIODS:
        trends = [_trend(ages, by, horizon) for horizon in sorted(set(horizons_days))]
    return Reproduction(
        table=_together(lines, "reproduction_segments"),
        curve=_together(curves, "reproduction_segments_curve"),
        trend=pd.DataFrame(trends, columns=schema.names("reproduction_trend")),
        by=by,
        end=end,
    )


def _together(parts: list[pd.DataFrame], name: str) -> pd.DataFrame:
    """Put the tables of all segments under each other."""
    columns = schema.names(name)
    if not parts:
        return pd.DataFrame(columns=columns)
    return pd.concat(parts, ignore_index=True)[columns]


def check_horizons(horizons_days: tuple[int, ...], min_at_risk: int) -> None:
    """Raise unless horizons are whole days and enough people are asked for.

    Parameters
    ----------
    horizons_days : tuple of int
        Each at least 1.
    min_at_risk : int
        At least 1.

    Raises
    ------
    SettingError
        When they are not.
    """
    if not isinstance(horizons_days, (tuple, list)):
        raise SettingError(
            f"horizons_days must be several numbers of days; got {horizons_days!r}"
        )
    for horizon in horizons_days:
        check_whole("horizons_days", horizon, low=1)
    check_whole("min_at_risk", min_at_risk, low=1)


def longest_age(curve: MeanCumulative, min_at_risk: int) -> int | None:
    """Return the longest age that enough buyers have reached.

    Parameters
    ----------
    curve : MeanCumulative
        Of buyers brought.
    min_at_risk : int
        How many are enough.

    Returns
    -------
    int or None
        At least 1; None when not enough buyers have reached the age of a day.
    """
    known = np.flatnonzero(curve.n_at_risk >= min_at_risk)
    return int(known[-1]) if known.size and known[-1] >= 1 else None


def r_table(
    curve: MeanCumulative,
    band: MeanInterval,
    horizons_days: tuple[int, ...],
    min_at_risk: int,
) -> pd.DataFrame:
    """Write R(H) for each horizon, or the reason why it is missing.

    Parameters
    ----------
    curve, band : MeanCumulative, MeanInterval
        Of buyers brought.
    horizons_days : tuple of int
        Horizons; the longest known age is added.
    min_at_risk : int
        Fewer buyers observed so long: missing.

    Returns
    -------
    DataFrame
        Columns of `schema.REPRODUCTION`.
    """
    longest = longest_age(curve, min_at_risk)
    horizons = {int(h) for h in horizons_days} | ({longest} if longest else set())
    lines = [_line(h, curve, band, min_at_risk) for h in sorted(horizons)]
    return pd.DataFrame(lines, columns=schema.names("reproduction"))


def _line(
    horizon: int, curve: MeanCumulative, band: MeanInterval, min_at_risk: int
) -> dict[str, object]:
    """Write R of one horizon, or the reason why it is missing."""
    n_buyers = int(curve.n_at_risk[0])
    seen = min(horizon, curve.age.size - 1)
    observed = int(curve.n_at_risk[horizon]) if horizon < curve.age.size else 0
    n_referrals = int(curve.n_events[: seen + 1].sum())
    line: dict[str, object] = {
        "horizon_days": horizon,
        "n_buyers": n_buyers,
        "n_observed": observed,
        "n_referrals": n_referrals,
        "k_naive": n_referrals / n_buyers if n_buyers else np.nan,
        "reason": "",
    }
    if observed < min_at_risk:
        why = f"{observed} buyers observed for {horizon} days, need {min_at_risk}"
        return line | {"r": np.nan, "r_low": np.nan, "r_high": np.nan, "reason": why}
    return line | {
        "r": float(curve.mean[horizon]),
        "r_low": float(band.low[horizon]),
        "r_high": float(band.high[horizon]),
    }


def r_curve(
    curve: MeanCumulative, band: MeanInterval, longest: int | None
) -> pd.DataFrame:
    """Write M(a) for every age that enough buyers have reached.

    Parameters
    ----------
    curve, band : MeanCumulative, MeanInterval
        Of buyers brought.
    longest : int or None
        Last age; no row without one.

    Returns
    -------
    DataFrame
        Columns of `schema.REPRODUCTION_CURVE`.
    """
    keep = slice(0, 0 if longest is None else longest + 1)
    return pd.DataFrame(
        {
            "age_days": curve.age[keep],
            "n_at_risk": curve.n_at_risk[keep],
            "n_referrals": curve.n_events[keep],
            "r": curve.mean[keep],
            "r_low": band.low[keep],
            "r_high": band.high[keep],
        }
    )[schema.names("reproduction_curve")]


def _trend(ages: ReferralAges, by: str, horizon: int) -> dict[str, object]:
    """Say whether R(H) changes from cohort to cohort."""
    observed = ages.n_followup[:, horizon:].sum(axis=1)
    is_in = (ages.followup >= horizon) & (ages.age <= horizon)
    _, place, count = np.unique(
        ages.person[is_in], return_index=True, return_counts=True
    )
    segment = ages.segment[is_in][place]  # a person is in one
    size = len(ages.segments)
    total = np.bincount(segment, count, size)
    squares = np.bincount(segment, count**2.0, size)
    time = np.array([_time_of(name, by) for name in ages.segments])
    kept = (observed > 0) & ~np.isnan(time)
    line: dict[str, object] = {
        "horizon_days": horizon,
        "n_cohorts": int(kept.sum()),
        "n_buyers": int(observed[kept].sum()),
        "n_referrals": int(total[kept].sum()),
        "unit": by.rsplit("_", 1)[1],
    }
    if kept.sum() < 2:
        few = f"{int(kept.sum())} cohorts observed for {horizon} days, need 2"
        return line | {"reason": few}
    order = np.argsort(time[kept])
    try:
        found = log_trend(
            time[kept][order],
            n_people=observed[kept][order],
            total=total[kept][order],
            squares=squares[kept][order],
            confidence=CONFIDENCE,
        )
    except FitError as error:
        return line | {"reason": str(error)}
    return line | {
        "ratio": found.ratio,
        "ratio_low": found.low,
        "ratio_high": found.high,
        "p_value": found.p_value,
        "reason": "" if found.low == found.low else "too alike to tell by chance",
    }


def _time_of(name: str, by: str) -> float:
    """Return the time of a cohort in months or quarters."""
    year, mark, part = name.partition("-")
    if not mark:  # nobody of these has a date
        return np.nan
    if by.endswith("_quarter"):
        return int(year) * 4 + int(part.removeprefix("Q"))
    return int(year) * 12 + int(part)
