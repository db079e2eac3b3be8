"""Which segments get further than others, beyond what chance does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import SettingError
from selfloop.core.settings import CONFIDENCE, MIN_AT_RISK, check_days, check_whole
from selfloop.inputs.events import Events
from selfloop.kernels.log_rank import log_rank
from selfloop.kernels.share_tests import shares_apart
from selfloop.kernels.stratified import holm
from selfloop.measures.funnel.curves import histogram
from selfloop.measures.funnel.rates import count_stages
from selfloop.measures.funnel.steps import steps_of
from selfloop.measures.histograms import curve_of

REST = "(rest)"
"""Everybody outside the segment."""

_MAX_NAMED = 12


@dataclass(frozen=True, eq=False)
class SegmentComparison:
    """Segments beside each other, made by `compare_segments`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.SEGMENT_DIFFERENCES`, one row per segment and stage.
    by : str
        The breakdown.
    window_days : int
        W of all shares.
    missing : dict of str to str
        Stages that cannot be computed, and why.
    end : date
        Last observed day.
    """

    table: pd.DataFrame = field(repr=False)
    by: str
    window_days: int
    missing: dict[str, str]
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the table, columns of `schema.SEGMENT_DIFFERENCES`."""
        return self.table.copy()

    def __repr__(self) -> str:
        """Show the table as text."""
        return show_text("Segments compared", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        return show_html("Segments compared", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        told = self.table["verdict"].isin(["higher", "lower"])
        facts: list[tuple[str, object]] = [
            ("observed to", self.end),
            ("by", self.by),
            ("within", f"{self.window_days} days"),
            ("differ", f"{int(told.sum())} of {len(self.table)} lines"),
        ]
        return facts + [(f"no {stage}", why) for stage, why in self.missing.items()]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show: headline columns only."""
        shown = [
            "segment", "against", "stage", "n_matured", "share_matured",
            "share_against", "difference", "difference_low", "difference_high",
            "p_adjusted", "verdict", "reason",
        ]  # fmt: skip
        return [("", self.table[shown], "segment_differences")]


def compare_segments(
    events: Events,
    by: str,
    *,
    window_days: int = 90,
    against: str = REST,
    segments: Sequence[str] | None = None,
    order: str = "loop",
    min_at_risk: int = MIN_AT_RISK,
) -> SegmentComparison:
    """Which segments convert, buy again and bring buyers more often than others.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    by : str
        One breakdown, as in `funnel`. To compare periods, one of its months or
        quarters, such as ``arrived_quarter``.
    window_days : int, optional
        W: reached within W days; at least 1.
    against : str, optional
        The segment that all are compared with; by default each with all others,
        ``(rest)``.
    segments : sequence of str, optional
        Only these; by default all. Fewer comparisons see smaller differences.
    order : {"loop", "strict"}, optional
        As in `funnel`.
    min_at_risk : int, optional
        Fewer people than this on either side: nothing is told; at least 1.

    Returns
    -------
    SegmentComparison

    Raises
    ------
    SettingError
        There is no such breakdown, order or segment, or a number is out of its range.

    Notes
    -----
    Shares are of people observed for at least W days, so that old segments have no
    advantage. The interval of the difference is Newcombe's [1]_; the p value that of
    Fisher's exact test [2]_; the verdict is given where it stays under 5 % after
    Holm's adjustment [3]_ for all lines of the table. So of the tables of a shop whose
    segments are all alike, at most one in twenty has any verdict but ``open``.
    Without that, every fifth to second table would (`docs/methods.md`, 4).

    The log-rank test [4]_ asks about the whole curve and uses everybody, also those
    who came last week. It stands beside and gives no verdict.

    References
    ----------
    .. [1] R. G. Newcombe, "Interval estimation for the difference between independent
       proportions", Statistics in Medicine 17 (1998), method 10.
    .. [2] R. A. Fisher, "The logic of inductive inference", JRSS 98 (1935).
    .. [3] S. Holm, "A simple sequentially rejective multiple test procedure",
       Scandinavian Journal of Statistics 6 (1979).
    .. [4] N. Mantel, "Evaluation of survival data and two new rank order statistics
       arising in its consideration", Cancer Chemotherapy Reports 50 (1966).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=3000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits)
    >>> found = sl.compare_segments(events, "source").table.set_index(
    ...     ["stage", "segment"]
    ... )
    >>> found.loc[("conversion", "referral"), "verdict"]
    'higher'
    """
    Events.check(events)
    if not isinstance(by, str):
        raise SettingError(f"by must be one breakdown such as 'source'; got {by!r}")
    window_days = check_days("window_days", window_days)
    check_whole("min_at_risk", min_at_risk, low=1)
    steps = steps_of(events, by, order)
    counts = count_stages(steps, (window_days,), events.end_day).set_index("segment")
    levels = sorted(segment for segment, _ in steps.segments)
    chosen = _chosen(levels, segments, against)
    lines = []
    for step in steps.steps:
        if step.stage in steps.missing:
            continue
        people = histogram(steps, step, events.end_day)
        n, hits = (
            counts[f"{step.stage}_matured{end}_{window_days}"]
            for end in ("", "_reached")
        )
        matured = {s: (int(n[s]), int(hits[s])) for s in levels}
        for segment in chosen:
            line: dict[str, object] = {
                "segment": segment,
                "against": against,
                "stage": step.stage,
                "window_days": window_days,
            }
            others = (
                [against] if against != REST else [s for s in levels if s != segment]
            )
            line |= _shares(matured, segment, others, least=min_at_risk)
            lines.append(line | _whole_curves(people, segment, others))
    table = pd.DataFrame(lines, columns=schema.names("segment_differences"))
    return SegmentComparison(
        table=_with_verdicts(table),
        by=by,
        window_days=window_days,
        missing=steps.missing,
        end=events.end,
    )


def _chosen(
    levels: list[str], segments: Sequence[str] | None, against: str
) -> list[str]:
    """Return the segments to compare, or say which of those asked for there are."""
    if isinstance(segments, str) or not isinstance(segments or (), Iterable):
        raise SettingError(f"segments must be a list of names; got {segments!r}")
    asked = list(levels if segments is None else segments)
    known = [*levels, REST]
    unknown = [s for s in [*asked, against] if not isinstance(s, str) or s not in known]
    if unknown:
        shown = ", ".join(levels[:_MAX_NAMED]) + (" ..." if levels[_MAX_NAMED:] else "")
        raise SettingError(f"no segment {unknown[0]!r}; there are {shown}")
    return [s for s in asked if s != against]


def _shares(
    matured: Mapping[str, tuple[int, int]],
    segment: str,
    others: list[str],
    *,
    least: int,
) -> dict[str, object]:
    """Compare the shares that reached a stage, of people observed long enough."""
    n, hits = matured[segment]
    n_against = sum(matured[other][0] for other in others)
    hits_against = sum(matured[other][1] for other in others)
    line: dict[str, object] = {"n_matured": n, "n_against": n_against, "reason": ""}
    if min(n, n_against) < least:
        few = f"{min(n, n_against)} observed for the window, need {least}"
        return line | {"reason": few}
    found = shares_apart(n, hits, n_second=n_against, hits_second=hits_against)
    return line | {
        "share_matured": hits / n,
        "share_against": hits_against / n_against,
        "difference": found.difference,
        "difference_low": found.low,
        "difference_high": found.high,
        "p_value": found.p_value,
    }


def _whole_curves(
    people: pd.DataFrame, segment: str, others: list[str]
) -> dict[str, float]:
    """Compare the whole curves of a segment and of others."""
    first, second = (
        curve_of(people[people["segment"].isin(names)]) for names in ([segment], others)
    )
    return {"p_log_rank": log_rank(first, second).p_value}


def _with_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Adjust the p values for their number and say which differences stand."""
    kinds = {
        c: "float64" for c in table.columns if c.startswith(("share", "p_", "diff"))
    }
    table = table.astype(kinds | {"n_matured": "int64", "n_against": "int64"})
    told = table["reason"] == ""
    table["p_log_rank"] = table["p_log_rank"].where(told)
    table["p_adjusted"] = holm(table["p_value"])
    table["p_log_rank_adjusted"] = holm(table["p_log_rank"])
    clear = table["p_adjusted"] < 1 - CONFIDENCE
    verdict = np.where(table["difference"] > 0, "higher", "lower")
    table["verdict"] = np.where(~told, "", np.where(clear, verdict, "open"))
    return table
