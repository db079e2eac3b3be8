"""How long people take to reach a stage: the whole curve, and its quantiles."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.settings import MIN_AT_RISK, WINDOWS_DAYS, check_whole, check_windows
from selfloop.inputs.events import Events
from selfloop.kernels.quantiles import Days, quantile_days, quantile_days_of_reached
from selfloop.kernels.survival import KaplanMeier, at_risk_at
from selfloop.measures.funnel.curves import BY_DAY, curves_of, histogram
from selfloop.measures.funnel.steps import steps_of
from selfloop.measures.histograms import KEY, NOBODY, totals_of
from selfloop.measures.segments import breakdowns

SHARES = (0.25, 0.5, 0.75)
"""Quantiles that are told: a quarter, half and three quarters have come."""


@dataclass(frozen=True, eq=False)
class StageTimes:
    """How long people take to reach each stage, made by `stage_times`.

    Parameters
    ----------
    quantiles : DataFrame
        Columns of `schema.STAGE_TIMES`.
    curve : DataFrame
        Columns of `schema.STAGE_TIMES_CURVE`: one row per day, as far as enough
        people are at risk.
    quantile_totals, curve_totals : DataFrame
        The same of all segments together, ``(all)``, as in `Funnel`.
    by : tuple of str
        Breakdowns; empty without any.
    order : str
        ``loop`` or ``strict``.
    missing : dict of str to str
        Stages that cannot be computed, and why.
    end : date
        Last observed day.
    """

    quantiles: pd.DataFrame = field(repr=False)
    curve: pd.DataFrame = field(repr=False)
    quantile_totals: pd.DataFrame = field(repr=False)
    curve_totals: pd.DataFrame = field(repr=False)
    by: tuple[str, ...]
    order: str
    missing: dict[str, str]
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the quantiles, columns of `schema.STAGE_TIMES`."""
        return self.quantiles.copy()

    def __repr__(self) -> str:
        """Show the quantiles as text."""
        return show_text("Stage times", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the quantiles in a notebook."""
        return show_html("Stage times", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        facts: list[tuple[str, object]] = [
            ("observed to", self.end),
            ("by", ", ".join(self.by) or "nothing"),
        ]
        return facts + [(f"no {stage}", why) for stage, why in self.missing.items()]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        hidden = KEY[len(self.by) or 1 :]
        every = pd.concat([self.quantiles, self.quantile_totals], ignore_index=True)
        return [("", every.drop(columns=hidden), "stage_times")]


def stage_times(
    events: Events,
    by: str | Sequence[str] | None = None,
    *,
    within_days: Sequence[int] = WINDOWS_DAYS,
    order: str = "loop",
    min_at_risk: int = MIN_AT_RISK,
) -> StageTimes:
    """How long people take to buy, to buy again and to bring a buyer.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    by : str or sequence of str, optional
        One or two breakdowns, as in `funnel`.
    within_days : sequence of int
        "Of those who come within so many days", each at least 1.
    order : {"loop", "strict"}
        As in `funnel`.
    min_at_risk : int
        The curve ends on the last day with so many people at risk; at least 1.

    Returns
    -------
    StageTimes

    Raises
    ------
    SettingError
        There is no such breakdown or order, or a number is out of its range.

    Notes
    -----
    Days are counted from the stage before, so a purchase on the same day is day 0.
    The curve is 1 - Kaplan-Meier, which counts people for as long as they were
    observed; those who came last week are in it for a week. The days seen so far
    among those who came are too short on young data, because the slow have not come
    yet.

    Two kinds of quantiles: of *all* (`within_days` missing) the first day by which
    the share of everybody has come, which may never be the case; and of *those who
    come within W days*, which says how long these take. Intervals: of the first all
    days on which the interval of the curve holds the share [1]_; of the second the
    days on which the gap between the curve and that share of its value at W is
    within its standard error (`docs/methods.md`, 4).

    References
    ----------
    .. [1] R. Brookmeyer, J. Crowley, "A confidence interval for the median survival
       time", Biometrics 38 (1982).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=3000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits)
    >>> times = sl.stage_times(events, within_days=(90,)).quantiles
    >>> rows = times[(times["stage"] == "repurchase") & (times["within_days"] == 90)]
    >>> rows["days"].is_monotonic_increasing
    True
    """
    Events.check(events)
    within_days = check_windows("within_days", within_days)
    check_whole("min_at_risk", min_at_risk, low=1)
    names = breakdowns(by)
    steps = steps_of(events, by, order)
    counted = {
        step.stage: histogram(steps, step, events.end_day)
        for step in steps.steps
        if step.stage not in steps.missing
    }
    together = {
        stage: totals_of(part, len(names), keys=BY_DAY)
        for stage, part in counted.items()
    }
    quantiles, curve = _tables(counted, steps.segments, within_days, min_at_risk)
    of_all = _tables(together, [], within_days, min_at_risk)
    return StageTimes(
        quantiles=quantiles,
        curve=curve,
        quantile_totals=of_all[0],
        curve_totals=of_all[1],
        by=names,
        order=order,
        missing=steps.missing,
        end=events.end,
    )


def _tables(
    counted: Mapping[str, pd.DataFrame],
    segments: Sequence[tuple[str, str]],
    within_days: Sequence[int],
    min_at_risk: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write quantiles and curves of every stage and segment."""
    lines, curves = [], [pd.DataFrame(columns=schema.names("stage_times_curve"))]
    for stage, part in counted.items():
        found = curves_of(part)
        for key in segments or found:  # a segment that nobody entered has lines too
            km = found.get(key, NOBODY)
            line = {"segment": key[0], "segment_2": key[1], "stage": stage}
            last = _last_day(km, min_at_risk)
            lines += _quantile_lines(line, km, within_days, min_at_risk)
            if last >= 0:
                curves.append(_curve(line, km, last))
    table = pd.DataFrame(lines, columns=schema.names("stage_times"))
    curve = pd.concat(curves[len(curves) > 1 :], ignore_index=True)
    return table.astype({"n_entered": "int64"}), curve


def _last_day(km: KaplanMeier, min_at_risk: int) -> int:
    """Return the last day with enough people at risk; -1 without any."""
    enough = np.flatnonzero(km.n_at_risk >= min_at_risk)
    return int(enough[-1]) if enough.size else -1


def _quantile_lines(
    line: dict[str, str],
    km: KaplanMeier,
    within_days: Sequence[int],
    min_at_risk: int,
) -> list[dict[str, object]]:
    """Write the quantiles of one stage and segment, of all and of those within W."""
    n_entered = int(km.n_at_risk[0])
    last = _last_day(km, min_at_risk)
    lines = []
    for within in (None, *within_days):
        n_at_risk = n_entered if within is None else int(at_risk_at(km, [within])[0])
        reason = ""
        if n_at_risk < min_at_risk:
            at = "" if within is None else f" at risk at day {within}"
            reason = f"{n_at_risk}{at or ' people'}, need {min_at_risk}"
        for share in SHARES:
            found = Days(np.nan, np.nan, np.nan)
            why = reason
            if not reason and within is None:
                found, why = _of_all(km, share, last)
            elif not reason and within is not None:
                found = quantile_days_of_reached(km, share, within=within)
                why = f"nobody within {within} days" if np.isnan(found.days) else ""
            lines.append(
                line
                | {
                    "within_days": np.nan if within is None else float(within),
                    "share": share,
                    "n_entered": n_entered,
                    "days": found.days,
                    "days_low": found.low,
                    "days_high": found.high,
                    "reason": why,
                }
            )
    return lines


def _of_all(km: KaplanMeier, share: float, last: int) -> tuple[Days, str]:
    """Return the day by which a share of everybody has come, as far as it is known."""
    found = quantile_days(km, share)
    if not found.days <= last:
        return (
            Days(np.nan, np.nan, np.nan),
            f"fewer than {share:.0%} by day {last}",
        )
    # Beyond the last day with enough people there is no upper end to be believed.
    high = found.high if found.high <= last else np.nan
    return found._replace(high=high), ""


def _curve(line: dict[str, str], km: KaplanMeier, last: int) -> pd.DataFrame:
    """Write the curve of one stage and segment, day by day."""
    days = slice(0, last + 1)
    frame = pd.DataFrame({
        "day": km.day[days],
        "n_at_risk": km.n_at_risk[days],
        "n_reached": km.n_events[days],
        "share_within": km.cif[days],
        "share_within_low": km.cif_low[days],
        "share_within_high": km.cif_high[days],
    })  # fmt: skip
    return frame.assign(**line)[schema.names("stage_times_curve")]
