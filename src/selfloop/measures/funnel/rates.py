"""How many come, buy, buy again and bring others, with people who had no time yet."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import ibis
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.settings import MIN_AT_RISK, WINDOWS_DAYS, check_whole, check_windows
from selfloop.inputs.events import Events
from selfloop.kernels.intervals import wilson
from selfloop.kernels.survival import KaplanMeier, median_days
from selfloop.measures.funnel.curves import BY_DAY, curves_of, histogram
from selfloop.measures.funnel.steps import STAGES, Step, Steps, steps_of
from selfloop.measures.histograms import (
    KEY,
    NOBODY,
    share_line,
    totals_of,
    within_line,
)
from selfloop.measures.segments import breakdowns


@dataclass(frozen=True)
class Funnel:
    """The four stages of the loop, made by `funnel`.

    Parameters
    ----------
    stages : DataFrame
        Columns of `schema.FUNNEL_STAGES`: what happened so far.
    windows : DataFrame
        Columns of `schema.FUNNEL_WINDOWS`: rates that can be compared.
    stage_totals, window_totals : DataFrame
        The same of all segments together, ``(all)``; with two breakdowns also of each
        value of the first. Without a breakdown they have no lines.
    by : tuple of str
        Breakdowns; empty without any.
    order : str
        ``loop`` or ``strict``.
    end : date
        Last observed day.
    """

    stages: pd.DataFrame = field(repr=False)
    windows: pd.DataFrame = field(repr=False)
    stage_totals: pd.DataFrame = field(repr=False)
    window_totals: pd.DataFrame = field(repr=False)
    by: tuple[str, ...]
    order: str
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
        return [
            ("observed to", self.end),
            ("by", ", ".join(self.by) or "nothing"),
            ("order", self.order),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show: headline columns only."""
        hidden = KEY[len(self.by) or 1 :]
        headline = [
            "segment", "segment_2", "stage", "window_days", "n_matured",
            "share_matured", "share_matured_low", "share_matured_high", "share_within",
            "share_within_low", "share_within_high", "share_overall", "reason",
        ]  # fmt: skip
        stages = pd.concat([self.stages, self.stage_totals], ignore_index=True)
        windows = pd.concat([self.windows, self.window_totals], ignore_index=True)
        return [
            ("so far", stages.drop(columns=hidden), "funnel_stages"),
            ("within W days", windows[headline].drop(columns=hidden), "funnel_windows"),
        ]


def funnel(
    events: Events,
    by: str | Sequence[str] | None = None,
    *,
    windows_days: Sequence[int] = WINDOWS_DAYS,
    order: str = "loop",
    min_at_risk: int = MIN_AT_RISK,
) -> Funnel:
    """How many of those who came bought, bought again and brought a buyer.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    by : str or sequence of str, optional
        One or two breakdowns: any column of `schema.PEOPLE`, or ``arrived_month``,
        ``arrived_quarter``, ``first_order_month``, ``first_order_quarter``. The 30
        largest values of each are kept, of months and quarters all; a missing value
        is the level ``(missing)``.
    windows_days : sequence of int
        Windows W in days, each at least 1.
    order : {"loop", "strict"}
        In the loop repurchase and referral are both shares of buyers. Strictly, each
        stage is a share of the one before: who brings a buyer only counts from the
        own second purchase on.
    min_at_risk : int
        Fewer people than this behind a rate: it is missing, with the reason; at
        least 1.

    Returns
    -------
    Funnel

    Raises
    ------
    SettingError
        `by` is no column, there are more than two, `order` is another, a window is no
        whole number of days, or it or `min_at_risk` is below 1.

    Notes
    -----
    Conversion is a share of the people who arrived; repurchase and referral are both
    shares of buyers, counted from the first purchase. A referral succeeds when the
    referred person first buys. "Within W days" is inclusive, in calendar days.
    Three forms stand side by side: *matured*, reached within W / people observed for
    at least W days, with Wilson's interval [1]_; *within W by Kaplan-Meier* [2]_,
    which uses everybody, with the log-log interval; *so far*, which grows with
    follow-up and must not be compared between groups. *Overall* is the share of those
    who arrived that took each stage on the way within W of the one before, of people
    observed long enough for all of them. Without a table of visits it is not known
    who came and did not buy: traffic, conversion and overall shares are missing.

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
    windows_days = check_windows("windows_days", windows_days)
    check_whole("min_at_risk", min_at_risk, low=1)
    names = breakdowns(by)
    steps = steps_of(events, by, order)
    counts = count_stages(steps, windows_days, events.end_day)
    reached = {
        step.stage: histogram(steps, step, events.end_day)
        for step in steps.steps
        if step.stage not in steps.missing
    }
    stages, windows = _tables(steps, counts, reached, windows_days, min_at_risk)
    totals = totals_of(counts, len(names))
    together = {
        stage: totals_of(part, len(names), keys=BY_DAY)
        for stage, part in reached.items()
    }
    of_all = _tables(steps, totals, together, windows_days, min_at_risk)
    return Funnel(
        stages=stages,
        windows=windows,
        stage_totals=of_all[0],
        window_totals=of_all[1],
        by=names,
        order=order,
        end=events.end,
    )


def _tables(
    steps: Steps,
    counts: pd.DataFrame,
    reached: Mapping[str, pd.DataFrame],
    windows_days: Sequence[int],
    min_at_risk: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the lines of stages and of windows."""
    stages, windows = [], []
    forms = ["matured"] if "conversion" in steps.missing else ["matured", "overall"]
    for step in steps.steps:
        reason = steps.missing.get(step.stage, "")
        curves = {} if reason else curves_of(reached[step.stage])
        for count in counts.to_dict("records"):
            km = curves.get((count["segment"], count["segment_2"]))
            stages.append(_stage_line(count, step.stage, reason, km))
            windows += [
                _window_line(count, step, w, reason, km, forms, min_at_risk)
                for w in windows_days
            ]
            if step.stage == "conversion":
                stages.append(_traffic_line(count, reason))
    stage_frame = pd.DataFrame(stages, columns=schema.names("funnel_stages"))
    window_frame = pd.DataFrame(windows, columns=schema.names("funnel_windows"))
    return _sorted(stage_frame), _sorted(window_frame)


def count_stages(steps: Steps, windows: tuple[int, ...], end_day: int) -> pd.DataFrame:
    """Count entered, reached, matured and open of every stage, in one pass.

    Parameters
    ----------
    steps : Steps
        People.
    windows : tuple of int
        Windows W in days.
    end_day : int
        Last observed day, by number.

    Returns
    -------
    DataFrame
        segment, segment_2 and, for each stage and W, whole numbers such as
        ``conversion_matured_90`` and, of these, ``conversion_matured_reached_90``.
    """
    people = steps.people
    no = ibis.literal(value=False)
    parts = {}
    lag = {s.stage: people[s.reached] - people[s.entry] for s in steps.steps}
    came = end_day - people.arrived_day
    for step in steps.steps:
        name, days = step.stage, lag[step.stage]
        entered = people[step.entry].notnull()
        followup = end_day - people[step.entry]
        parts[f"{name}_n_entered"] = entered.sum()
        parts[f"{name}_n_reached"] = (entered & days.notnull()).sum()
        for w in windows:
            matured = entered & (followup >= w)
            within = entered & (days <= w).fill_null(no)
            parts[f"{name}_matured_{w}"] = matured.sum()
            parts[f"{name}_matured_reached_{w}"] = (matured & within).sum()
            parts[f"{name}_reached_{w}"] = within.sum()
            open_ = entered & ~(followup >= w) & days.isnull()
            parts[f"{name}_open_{w}"] = open_.sum()
            seen = came >= w * len(step.way)
            took = seen
            for stage in step.way:
                took = took & (lag[stage] <= w).fill_null(no)
            parts[f"{name}_overall_{w}"] = seen.sum()
            parts[f"{name}_overall_reached_{w}"] = took.sum()
    frame: pd.DataFrame = people.group_by(*KEY).aggregate(**parts).to_pandas()
    # A segment that nobody entered has its line too: its zeros are known.
    pairs = pd.MultiIndex.from_tuples(sorted(steps.segments), names=KEY)
    counts = frame.fillna(0).set_index(KEY).reindex(pairs, fill_value=0)
    return counts.astype("int64").reset_index()


def _stage_line(
    count: Mapping[Hashable, Any], stage: str, reason: str, km: KaplanMeier | None
) -> dict[str, object]:
    """Write the line of a stage: what happened so far."""
    line: dict[str, object] = {key: count[key] for key in KEY} | {"stage": stage}
    n_reached = count[f"{stage}_n_reached"]
    if reason:
        known = n_reached if stage == "conversion" else pd.NA
        return line | {"n_entered": pd.NA, "n_reached": known}
    n_entered = count[f"{stage}_n_entered"]
    low, high = wilson(n_reached, n_entered)
    return line | {
        "n_entered": n_entered,
        "n_reached": n_reached,
        "share_so_far": n_reached / n_entered if n_entered else np.nan,
        "share_so_far_low": float(low),
        "share_so_far_high": float(high),
        "median_days": median_days(km) if km else np.nan,
    }


def _traffic_line(count: Mapping[Hashable, Any], reason: str) -> dict[str, object]:
    """Write the line of the first stage, which everybody reaches."""
    n = pd.NA if reason else count["conversion_n_entered"]
    line = {key: count[key] for key in KEY} | {"stage": "traffic"}
    return line | {"n_entered": n, "n_reached": n}


def _window_line(
    count: Mapping[Hashable, Any],
    step: Step,
    window: int,
    reason: str,
    km: KaplanMeier | None,
    forms: Sequence[str],
    min_at_risk: int,
) -> dict[str, object]:
    """Write the line of one window, with the reason for what is missing."""
    stage = step.stage
    line: dict[str, object] = {key: count[key] for key in KEY} | {
        "stage": stage,
        "window_days": window,
        "reason": reason,
    }
    if reason:
        return line
    line |= {
        "n_entered": count[f"{stage}_n_entered"],
        "n_reached": count[f"{stage}_reached_{window}"],
        "n_open": count[f"{stage}_open_{window}"],
    }
    for form in forms:
        n, n_hit = (count[f"{stage}_{form}{hit}_{window}"] for hit in ("", "_reached"))
        line |= {f"n_{form}": n, f"n_{form}_reached": n_hit}
        if n >= min_at_risk:
            line |= share_line(f"share_{form}", n_hit, n)
    reasons = []
    n_matured = count[f"{stage}_matured_{window}"]
    if n_matured < min_at_risk:
        reasons.append(f"{n_matured} observed for {window} days, need {min_at_risk}")
    within, thin = within_line(km or NOBODY, window, min_at_risk)
    return line | within | {"reason": "; ".join(filter(None, [*reasons, thin]))}


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort by segment and stage, with whole numbers that may be missing."""
    order = {stage: i for i, stage in enumerate(STAGES)}
    counts = {c: "Int64" for c in frame.columns if c.startswith("n_")}
    shares = {c: "float64" for c in frame.columns if c.startswith(("share_", "median"))}
    frame = frame.assign(rank=frame["stage"].map(order)).astype(counts | shares)
    by = [*KEY, "rank"] + (["window_days"] if "window_days" in frame else [])
    return frame.sort_values(by, ignore_index=True).drop(columns="rank")
