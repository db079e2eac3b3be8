"""How many come, buy, buy again and bring others, with people who had no time yet."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.settings import MIN_AT_RISK, WINDOWS_DAYS, check_number, check_whole
from selfloop.inputs.events import Events
from selfloop.kernels.intervals import wilson
from selfloop.kernels.survival import KaplanMeier, cif_at, kaplan_meier, median_days
from selfloop.measures.segments import with_segment

STAGES = ("traffic", "conversion", "repurchase", "referral")
"""The stages of the loop; repurchase and referral both branch from conversion."""

_NOBODY = kaplan_meier(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
"""The curve of a segment that nobody entered."""


@dataclass(frozen=True)
class Funnel:
    """The four stages of the loop, made by `funnel`.

    Parameters
    ----------
    stages : DataFrame
        Columns of `schema.FUNNEL_STAGES`: what happened so far.
    windows : DataFrame
        Columns of `schema.FUNNEL_WINDOWS`: rates that can be compared.
    by : str or None
        Breakdown.
    end : date
        Last observed day.
    """

    stages: pd.DataFrame = field(repr=False)
    windows: pd.DataFrame = field(repr=False)
    by: str | None
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the rates by window, columns of `schema.FUNNEL_WINDOWS`."""
        return self.windows.copy()

    def __repr__(self) -> str:
        """Show both tables as text."""
        return show_text("Funnel", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show both tables in a notebook."""
        return show_html("Funnel", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        return [("observed to", self.end), ("by", self.by or "nothing")]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show: headline columns only."""
        headline = [
            "segment", "stage", "window_days", "n_matured", "share_matured",
            "share_matured_low", "share_matured_high", "share_within",
            "share_within_low", "share_within_high", "reason",
        ]  # fmt: skip
        return [
            ("so far", self.stages, "funnel_stages"),
            ("within W days", self.windows[headline], "funnel_windows"),
        ]


def funnel(
    events: Events,
    by: str | None = None,
    *,
    windows_days: tuple[int, ...] = WINDOWS_DAYS,
    min_at_risk: int = MIN_AT_RISK,
) -> Funnel:
    """How many of those who came bought, bought again and brought a buyer.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    by : str, optional
        Any column of `schema.PEOPLE`, or ``arrived_month``, ``arrived_quarter``,
        ``first_order_month``, ``first_order_quarter``. The 30 largest values are
        kept, of months and quarters all; a missing value is the level
        ``(missing)``.
    windows_days : tuple of int
        Windows W in days, each at least 1.
    min_at_risk : int
        Fewer people than this behind a rate: it is missing, with the reason; at
        least 1.

    Returns
    -------
    Funnel

    Raises
    ------
    SettingError
        `by` is no column, a window is no whole number of days, or it or
        `min_at_risk` is below 1.

    Notes
    -----
    Conversion is a share of the people who arrived; repurchase and referral are both
    shares of buyers, counted from the first purchase. A referral succeeds when the
    referred person first buys. "Within W days" is inclusive, in calendar days.
    Three forms stand side by side: *matured*, reached within W / people observed for
    at least W days, with Wilson's interval [1]_; *within W by Kaplan-Meier* [2]_,
    which uses everybody, with the log-log interval; *so far*, which grows with
    follow-up and must not be compared between groups. Without a table of visits it
    is not known who came and did not buy: traffic and conversion are missing.

    References
    ----------
    .. [1] E. B. Wilson, "Probable inference, the law of succession, and statistical
       inference", JASA 22 (1927).
    .. [2] E. L. Kaplan, P. Meier, "Nonparametric estimation from incomplete
       observations", JASA 53 (1958).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits)
    >>> sl.funnel(events, by="source").stages["stage"].unique().tolist()
    ['traffic', 'conversion', 'repurchase', 'referral']
    """
    Events.check(events)
    for window in windows_days:
        check_whole("windows_days", window, low=1)
    check_number("min_at_risk", min_at_risk, low=1)
    rows, segments = with_segment(events, by)
    stages, windows = [], []
    for stage in STAGES[1:]:
        reason = _why_missing(events, stage)
        seen = _stage_rows(rows, stage, events.end_day)
        counts = _counts(seen, windows_days, segments)
        curves = _curves(seen) if not reason else {}
        for count in counts.to_dict("records"):
            segment = count["segment"]
            km = curves.get(segment)
            stages.append(_stage_line(count, stage, reason, km))
            windows += [
                _window_line(count, stage, w, reason, km, min_at_risk)
                for w in windows_days
            ]
            if stage == "conversion":
                stages.append(_traffic_line(count, reason))
    order = {stage: i for i, stage in enumerate(STAGES)}
    stage_frame = pd.DataFrame(stages, columns=schema.names("funnel_stages"))
    window_frame = pd.DataFrame(windows, columns=schema.names("funnel_windows"))
    return Funnel(
        stages=_sorted(stage_frame, order),
        windows=_sorted(window_frame, order),
        by=by,
        end=events.end,
    )


def _why_missing(events: Events, stage: str) -> str:
    """Say why a stage cannot be computed; empty when it can."""
    if stage == "conversion" and "visits" not in events.has:
        return "no table of visits"
    if stage == "referral" and "referrals" not in events.has:
        return "no table of referrals"
    return ""


def _stage_rows(rows: ir.Table, stage: str, end_day: int) -> ir.Table:
    """Return segment, days to the stage (missing if not reached) and follow-up."""
    entry, reached = {
        "conversion": ("arrived_day", "first_day"),
        "repurchase": ("first_day", "second_day"),
        "referral": ("first_day", "success_after_day"),
    }[stage]
    rows = rows.filter(rows[entry].notnull())
    return rows.select(
        "segment",
        days=rows[reached] - rows[entry],
        followup_days=end_day - rows[entry],
    )


def _counts(
    seen: ir.Table, windows: tuple[int, ...], segments: list[str]
) -> pd.DataFrame:
    """Count entered, reached and, for each window, matured and open, in one pass."""
    parts = {"n_entered": seen.count(), "n_reached": seen.days.count()}
    for w in windows:
        matured = seen.followup_days >= w
        within = (seen.days <= w).fill_null(ibis.literal(value=False))
        parts[f"matured_{w}"] = matured.sum()
        parts[f"matured_reached_{w}"] = (matured & within).sum()
        parts[f"reached_{w}"] = within.sum()
        parts[f"open_{w}"] = (~matured & seen.days.isnull()).sum()
    frame: pd.DataFrame = seen.group_by("segment").aggregate(**parts).to_pandas()
    # A segment that nobody entered has its line too: its zeros are known.
    counts = frame.set_index("segment").reindex(sorted(segments), fill_value=0)
    return counts.rename_axis("segment").reset_index()


def _curves(seen: ir.Table) -> dict[str, KaplanMeier]:
    """Estimate one Kaplan-Meier curve per segment from a histogram of days."""
    event = seen.days.notnull()
    days = ibis.ifelse(event, seen.days, seen.followup_days)
    counted = (
        seen.group_by("segment", day=days, event=event).aggregate(n=seen.count())
    ).to_pandas()
    curves = {}
    for segment, part in counted.groupby("segment"):
        size = int(part["day"].max()) + 1
        hits = [
            np.bincount(
                half["day"].to_numpy(np.int64), half["n"].to_numpy(), minlength=size
            ).astype(np.int64)
            for half in (part[part["event"]], part[~part["event"]])
        ]
        curves[str(segment)] = kaplan_meier(hits[0], hits[1])
    return curves


def _stage_line(
    count: Mapping[Hashable, Any], stage: str, reason: str, km: KaplanMeier | None
) -> dict[str, object]:
    """Write the line of a stage: what happened so far."""
    line: dict[str, object] = {"segment": count["segment"], "stage": stage}
    if reason:
        known = count["n_reached"] if stage == "conversion" else pd.NA
        return line | {"n_entered": pd.NA, "n_reached": known}
    n_entered = count["n_entered"]
    low, high = wilson(count["n_reached"], n_entered)
    return line | {
        "n_entered": n_entered,
        "n_reached": count["n_reached"],
        "share_so_far": count["n_reached"] / n_entered if n_entered else np.nan,
        "share_so_far_low": float(low),
        "share_so_far_high": float(high),
        "median_days": median_days(km) if km else np.nan,
    }


def _traffic_line(count: Mapping[Hashable, Any], reason: str) -> dict[str, object]:
    """Write the line of the first stage, which everybody reaches."""
    n = pd.NA if reason else count["n_entered"]
    line = {"segment": count["segment"], "stage": "traffic"}
    return line | {"n_entered": n, "n_reached": n}


def _window_line(
    count: Mapping[Hashable, Any],
    stage: str,
    window: int,
    reason: str,
    km: KaplanMeier | None,
    min_at_risk: int,
) -> dict[str, object]:
    """Write the line of one window, with the reason for what is missing."""
    line: dict[str, object] = {
        "segment": count["segment"],
        "stage": stage,
        "window_days": window,
        "reason": reason,
    }
    if reason:
        return line
    n_matured = count[f"matured_{window}"]
    n_hit = count[f"matured_reached_{window}"]
    line |= {
        "n_entered": count["n_entered"],
        "n_matured": n_matured,
        "n_matured_reached": n_hit,
        "n_reached": count[f"reached_{window}"],
        "n_open": count[f"open_{window}"],
    }
    at = cif_at(km or _NOBODY, [window])
    n_at_risk = int(at.n_at_risk[0])
    line["n_at_risk"] = n_at_risk
    reasons = []
    if n_matured >= min_at_risk:
        low, high = wilson(n_hit, n_matured)
        line |= {
            "share_matured": n_hit / n_matured,
            "share_matured_low": float(low),
            "share_matured_high": float(high),
        }
    else:
        reasons.append(f"{n_matured} observed for {window} days, need {min_at_risk}")
    if n_at_risk >= min_at_risk:
        line |= {
            "share_within": float(at.cif[0]),
            "share_within_low": float(at.low[0]),
            "share_within_high": float(at.high[0]),
        }
    else:
        reasons.append(f"{n_at_risk} at risk at day {window}, need {min_at_risk}")
    return line | {"reason": "; ".join(reasons)}


def _sorted(frame: pd.DataFrame, order: dict[str, int]) -> pd.DataFrame:
    """Sort by segment and stage, with whole numbers that may be missing."""
    counts = {c: "Int64" for c in frame.columns if c.startswith("n_")}
    shares = {c: "float64" for c in frame.columns if c.startswith(("share_", "median"))}
    frame = frame.assign(rank=frame["stage"].map(order)).astype(counts | shares)
    by = ["segment", "rank"] + (["window_days"] if "window_days" in frame else [])
    return frame.sort_values(by, ignore_index=True).drop(columns="rank")
