"""When customers come back: by days since the last purchase, whichever it was."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.settings import (
    CONFIDENCE,
    MIN_AT_RISK,
    WINDOWS_DAYS,
    check_days,
    check_whole,
)
from selfloop.inputs.events import Events
from selfloop.kernels.hazards import Hazards, Span, hazards, peak_span
from selfloop.kernels.timing import Timing, first_timing, quantile_days
from selfloop.measures.histograms import KEY, total_pairs, totals_of
from selfloop.measures.referral.histories import N_GROUPS, group_of
from selfloop.measures.repurchase.spells import in_segments, spells
from selfloop.measures.segments import ALL, breakdowns, with_segments

QUANTILES = (50, 80, 90)
"""Shares of those who return, in percent, whose last day is told."""

_SPELL = ("group_no", "days", "event")


@dataclass(frozen=True)
class RepurchaseGaps:
    """When customers come back, made by `repurchase_gaps`.

    Parameters
    ----------
    bins : DataFrame
        Columns of `schema.REPURCHASE_GAPS`: by days since the last purchase.
    reminders : DataFrame
        Columns of `schema.REPURCHASE_REMINDERS`: one line per segment.
    bin_totals, reminder_totals : DataFrame
        The same of all segments together, ``(all)``; with two breakdowns also of each
        value of the first. Without a breakdown they have no lines.
    by : tuple of str
        Breakdowns; empty without any.
    bin_days, window_days : int
        Length of a bin, and W: the time within which a customer counts as returned.
    end : date
        Last observed day.
    """

    bins: pd.DataFrame = field(repr=False)
    reminders: pd.DataFrame = field(repr=False)
    bin_totals: pd.DataFrame = field(repr=False)
    reminder_totals: pd.DataFrame = field(repr=False)
    by: tuple[str, ...]
    bin_days: int
    window_days: int
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the hazard by bin, columns of `schema.REPURCHASE_GAPS`."""
        return self.bins.copy()

    def __repr__(self) -> str:
        """Show both tables as text."""
        return show_text("When they come back", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show both tables in a notebook."""
        return show_html("When they come back", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        return [
            ("observed to", self.end),
            ("by", ", ".join(self.by) or "nothing"),
            ("purchases", "all of a customer, pooled: this describes"),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show, the one with a line per segment first."""
        hidden = KEY[len(self.by) :]
        both = [
            pd.concat(pair, ignore_index=True).drop(columns=hidden)
            for pair in (
                (self.reminders, self.reminder_totals),
                (self.bins, self.bin_totals),
            )
        ]
        return [
            ("when to remind", both[0], "repurchase_reminders"),
            ("by days since the last purchase", both[1], "repurchase_gaps"),
        ]


class _Setting(NamedTuple):
    """What holds for every segment."""

    first_day: int
    bin_days: int
    window_days: int
    min_at_risk: int


class _Found(NamedTuple):
    """What is known of one segment."""

    n_buyers: int
    n_gaps: int
    n_returns: int
    n_within: int
    n_people_at_window: int
    hazards: Hazards | None
    span: Span | None
    timing: Timing | None


def repurchase_gaps(
    events: Events,
    by: str | Sequence[str] | None = None,
    *,
    bin_days: int = 7,
    window_days: int | None = None,
    min_at_risk: int = MIN_AT_RISK,
) -> RepurchaseGaps:
    """How readily customers buy again, by days since their last purchase.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    by : str or sequence of str, optional
        One or two breakdowns, as in `funnel`.
    bin_days : int
        Length of a bin in days, at least 1; with 7 or 14 the days of the week even
        out.
    window_days : int, optional
        W: who comes back within so many days has returned, at least 1. The days by
        which they have done so, and where in time, are told of these. By default the
        longest of 365, 180, 90 and 30 days that enough customers have waited.
    min_at_risk : int
        Fewer customers than this: a number is missing, with the reason; at least 1.

    Returns
    -------
    RepurchaseGaps

    Raises
    ------
    SettingError
        `by` is no column, there are more than two, or a setting is out of range.

    Notes
    -----
    All gaps of all customers together, the last, open one of each included: a gap that
    is still open has not failed to end. With d(a) purchases on day a after the last
    one and n(a) gaps that last to that day, the hazard of a bin is sum d / sum n, the
    share of those waiting who buy on a day; the share returned is
    1 - prod (1 - d(a) / n(a)).

    One customer adds many gaps, and they are alike. So the intervals come from leaving
    out 50 groups of customers in turn (by the hash of their id), and at least
    `min_at_risk` *customers* are needed. In 600 simulated shops 95 to 97 % of them held
    the truth; those of plain Kaplan-Meier, with gaps as independent, 84 to 90 %.

    **The span to remind in** goes to both sides of the peak, the bin whose interval has
    the highest low end, up to where the hazard is surely lower: with much data it is
    short. It says when customers come back by themselves, not that a reminder works.

    Pooled over purchases this describes, and does not predict a customer: frequent
    buyers add most of the short gaps, so the hazard falls with time even where that
    of each customer stays the same. For one customer see `customer_gaps`.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> gaps = sl.repurchase_gaps(sl.read_events(shop.orders))
    >>> gaps.bins[["from_day", "to_day"]].head(2).to_numpy().tolist()
    [[1, 7], [8, 14]]
    """
    Events.check(events)
    bin_days = check_days("bin_days", bin_days)
    if window_days is not None:
        window_days = check_days("window_days", window_days)
    min_at_risk = check_whole("min_at_risk", min_at_risk, low=1)
    names = breakdowns(by)
    people, segments = with_segments(events, by)
    found = spells(events).select("person_no", "days", "event")
    found = found.join(events.core.select("person_no", "id_hash"), "person_no")
    rows = events.engine.keep(in_segments(found, people, names), "spells")
    counts, longest = _counts(rows), _longest(rows)
    events.engine.drop(rows)
    # Two purchases of one day are one, unless orders are counted.
    first_day = 1 if events.rules.purchase == "day" else 0
    window = window_days or _window(longest, min_at_risk)
    setting = _Setting(first_day, bin_days, window, min_at_risk)
    pairs = segments if names else [(ALL, "")]
    bins, reminders = _tables(counts, longest, pairs, setting)
    of_all = _tables(
        totals_of(counts, len(names), keys=_SPELL),
        totals_of(longest, len(names), keys=("days",)),
        total_pairs(pairs, len(names)),
        setting,
    )
    return RepurchaseGaps(
        bins=bins,
        reminders=reminders,
        bin_totals=of_all[0],
        reminder_totals=of_all[1],
        by=names,
        bin_days=int(bin_days),
        window_days=setting.window_days,
        end=events.end,
    )


def _window(longest: pd.DataFrame, least: float) -> int:
    """Return the longest window that enough customers have waited, else the least."""
    for window in reversed(WINDOWS_DAYS):
        if longest.loc[longest["days"] >= window, "n"].sum() >= least:
            return window
    return WINDOWS_DAYS[0]


def _counts(rows: ir.Table) -> pd.DataFrame:
    """Count gaps by group of customers, days and whether they have ended."""
    counted = rows.group_by(
        *KEY, group_no=group_of(rows.id_hash), days="days", event="event"
    ).aggregate(n=rows.count())
    found: pd.DataFrame = counted.to_pandas()
    return found


def _longest(rows: ir.Table) -> pd.DataFrame:
    """Count customers by the days of their longest gap."""
    own = rows.group_by(*KEY, "person_no").aggregate(days=rows.days.max())
    counted = own.group_by(*KEY, "days").aggregate(n=own.count())
    found: pd.DataFrame = counted.to_pandas()
    return found


def _tables(
    counts: pd.DataFrame,
    longest: pd.DataFrame,
    pairs: Sequence[tuple[str, str]],
    setting: _Setting,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the lines of bins and of reminders."""
    of_gaps, of_people = (dict(iter(t.groupby(KEY))) for t in (counts, longest))
    bins: list[dict[str, object]] = []
    reminders: list[dict[str, object]] = []
    for segment, second in sorted(pairs):
        key = {"segment": segment, "segment_2": second}
        found = _found(
            of_gaps.get((segment, second), counts.iloc[:0]),
            of_people.get((segment, second), longest.iloc[:0]),
            setting,
        )
        bins += [key | line for line in _bin_lines(found, setting)]
        reminders.append(key | _reminder(found, setting))
    return (
        _typed(pd.DataFrame(bins, columns=schema.names("repurchase_gaps"))),
        _typed(pd.DataFrame(reminders, columns=schema.names("repurchase_reminders"))),
    )


def _found(counts: pd.DataFrame, longest: pd.DataFrame, setting: _Setting) -> _Found:
    """Estimate the hazard of one segment, its peak, and when its returns happen."""
    n_days = int(longest["days"].max()) + 1 if len(longest) else 1
    cells = np.zeros((2, N_GROUPS, n_days), dtype=np.int64)
    where = (counts[c].to_numpy(np.int64) for c in ("event", "group_no", "days"))
    np.add.at(cells, tuple(where), counts["n"].to_numpy(np.int64))
    open_, ended = cells
    people = np.zeros(n_days, dtype=np.int64)
    np.add.at(people, longest["days"].to_numpy(np.int64), longest["n"].to_numpy())
    window, least = setting.window_days, setting.min_at_risk
    n_at_window, hazard, span, timing = int(people[window:].sum()), None, None, None
    if n_days > setting.first_day:
        hazard = hazards(
            ended, open_, n_longest=people, first_days=_starts(n_days, setting),
            confidence=CONFIDENCE,
        )  # fmt: skip
        span = peak_span(hazard, min_people=least, confidence=CONFIDENCE)
    if n_at_window >= least:
        # A gap that lasts longer was watched for W days, and had not ended.
        left = open_[:, : window + 1].copy()
        left[:, -1] += cells[:, :, window + 1 :].sum(axis=(0, 2))
        within = ended[:, : window + 1]
        timing = first_timing(within, left, min_at_risk=1, confidence=CONFIDENCE)
    return _Found(
        n_buyers=int(people.sum()),
        n_gaps=int(cells.sum()),
        n_returns=int(ended.sum()),
        n_within=int(ended[:, : window + 1].sum()),
        n_people_at_window=n_at_window,
        hazards=hazard,
        span=span,
        timing=timing,
    )


def _starts(n_days: int, setting: _Setting) -> np.ndarray:
    """Return the first day of each bin; day 0 is a bin of its own where it can be."""
    starts = np.arange(1, n_days, setting.bin_days)
    return np.append(0, starts) if setting.first_day == 0 else starts


def _bin_lines(found: _Found, setting: _Setting) -> list[dict[str, object]]:
    """Write the bins of one segment, with the reason for what is missing."""
    of = found.hazards
    if of is None:
        return []
    least, lines = setting.min_at_risk, []
    for i in range(of.first_day.size):
        first, last = int(of.first_day[i]), int(of.last_day[i])
        line: dict[str, object] = {
            "from_day": first,
            "to_day": last,
            "n_at_risk": of.n_at_risk[i],
            "n_people": of.n_people[i],
            "n_returns": of.n_events[i],
            "reason": "",
        }
        for name, day, n, values in (
            ("hazard", first, of.n_people[i],
             (of.hazard[i], of.hazard_low[i], of.hazard_high[i])),
            ("share_returned", last, of.n_people_last[i],
             (of.share[i], of.share_low[i], of.share_high[i])),
        ):  # fmt: skip
            if n >= least:
                line |= {name: values[0], f"{name}_low": values[1]}
                line[f"{name}_high"] = values[2]
            elif not line["reason"]:
                line["reason"] = f"{n} at risk at day {day}, need {least}"
        lines.append(line | {"share_of_returns": _share_between(found, first, last)})
    return lines


def _share_between(found: _Found, first: int, last: int) -> float:
    """Return the share of the returns within W that fall on some days."""
    if found.timing is None or first >= found.timing.share.size:
        return float("nan")
    share = found.timing.share
    before = share[first - 1] if first else 0.0
    return float(max(share[min(last, share.size - 1)] - before, 0.0))


def _reminder(found: _Found, setting: _Setting) -> dict[str, object]:
    """Write when one segment comes back, with the reason for what is missing."""
    window, least = setting.window_days, setting.min_at_risk
    line: dict[str, object] = {
        "n_buyers": found.n_buyers,
        "n_gaps": found.n_gaps,
        "n_returns": found.n_returns,
        "window_days": window,
    }
    reasons = []
    if found.hazards is not None and found.span is not None:
        of, (peak, first, last) = found.hazards, found.span
        start, stop = int(of.first_day[first]), int(of.last_day[last])
        line |= {
            "peak_from_day": int(of.first_day[peak]),
            "peak_to_day": int(of.last_day[peak]),
            "remind_from_day": start,
            "remind_to_day": stop,
            "share_in_span": _share_between(found, start, stop),
        }
    elif found.n_buyers < least:
        reasons.append(f"{found.n_buyers} people, need {least}")
    else:
        reasons.append("nobody came back while enough were at risk")
    if found.n_people_at_window < least:
        n = found.n_people_at_window
        reasons.append(f"{n} at risk at day {window}, need {least}")
    elif found.n_within < least or found.timing is None:
        n = found.n_within
        reasons.append(f"{n} returned within {window} days, need {least}")
    else:
        for percent in QUANTILES:
            name = f"days_{percent}"
            day, low, high = quantile_days(found.timing, percent / 100)
            line |= {name: day, f"{name}_low": low, f"{name}_high": high}
    return line | {"reason": "; ".join(reasons)}


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Give counts, days and shares their types, also where all are missing."""
    kinds = {"n_": "int64", "peak_": "Int64", "remind_": "Int64", "days_": "float64"}
    kinds |= {"share_": "float64", "hazard": "float64"}
    kinds |= {"from_day": "int64", "to_day": "int64", "window_days": "int64"}
    return frame.astype({
        c: kind for c in frame.columns for start, kind in kinds.items()
        if c.startswith(start)
    })  # fmt: skip
