"""Counts by segment and day: their totals, and the curve and shares of each."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from selfloop.kernels.intervals import wilson
from selfloop.kernels.survival import KaplanMeier, cif_at, kaplan_meier

KEY = ["segment", "segment_2"]
"""Columns of the breakdowns."""

TOTAL = "(all)"
"""Segment of all segments together."""

NOBODY = kaplan_meier(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
"""The curve of a segment that nobody entered."""


def totals_of(
    counts: pd.DataFrame, n_levels: int, *, keys: Sequence[str] = ()
) -> pd.DataFrame:
    """Add up segments.

    Parameters
    ----------
    counts : DataFrame
        segment, segment_2, `keys`, and numbers that add up over segments.
    n_levels : int
        How many breakdowns there are: 0 for no totals; with 2 also those of each
        value of the first.
    keys : sequence of str, optional
        Columns that tell the lines of one segment apart, such as the day.

    Returns
    -------
    DataFrame
        The same columns; the segment of a total is ``(all)``.

    Examples
    --------
    >>> counts = pd.DataFrame({
    ...     "segment": ["paid", "paid", "organic"], "segment_2": "",
    ...     "day": [0, 1, 1], "n": [5, 6, 7],
    ... })
    >>> totals_of(counts, 1, keys=["day"]).to_numpy().tolist()
    [['(all)', '', 0, 5], ['(all)', '', 1, 13]]
    """
    columns = list(counts.columns)
    values = [c for c in columns if c not in (*KEY, *keys)]
    if not n_levels:
        return counts.iloc[:0]
    parts = []
    if n_levels > 1:
        by_first = counts.groupby(["segment", *keys], as_index=False)[values].sum()
        parts.append(by_first.assign(segment_2=TOTAL))
    every = counts.assign(segment=TOTAL)
    whole = every.groupby(["segment", *keys], as_index=False)[values].sum()
    parts.append(whole.assign(segment_2=TOTAL if n_levels > 1 else ""))
    return pd.concat(parts, ignore_index=True)[columns]


def total_pairs(
    pairs: Sequence[tuple[str, str]], n_levels: int
) -> list[tuple[str, str]]:
    """Name the totals of segments, also of those that nobody is in.

    Parameters
    ----------
    pairs : sequence of tuple of str
        Every pair of segments.
    n_levels : int
        How many breakdowns there are.

    Returns
    -------
    list of tuple of str
        As `totals_of` names them.

    Examples
    --------
    >>> total_pairs([("paid", "ads"), ("paid", "cpc")], 2)
    [('paid', '(all)'), ('(all)', '(all)')]
    """
    named = totals_of(pd.DataFrame(pairs, columns=KEY).assign(n=0), n_levels)
    return [(str(one), str(two)) for one, two in named[KEY].to_numpy().tolist()]


def curve_of(counts: pd.DataFrame) -> KaplanMeier:
    """Estimate the Kaplan-Meier curve of one segment.

    Parameters
    ----------
    counts : DataFrame
        ``days`` to the event or to the end of follow-up, ``event`` (which of the two)
        and ``n``.

    Returns
    -------
    KaplanMeier
        To the longest of the days; of nobody, `NOBODY`.

    Examples
    --------
    >>> counts = pd.DataFrame(
    ...     {"days": [1, 2], "event": [True, False], "n": [1, 3]})
    >>> curve_of(counts).cif.tolist()
    [0.0, 0.25, 0.25]
    """
    if counts.empty:
        return NOBODY
    size = int(counts["days"].max()) + 1
    days, n = counts["days"].to_numpy(np.int64), counts["n"].to_numpy(np.int64)
    event = counts["event"].to_numpy(bool)
    n_events, n_left = (np.zeros(size, dtype=np.int64) for _ in range(2))
    np.add.at(n_events, days[event], n[event])
    np.add.at(n_left, days[~event], n[~event])
    return kaplan_meier(n_events, n_left)


def share_line(name: str, n_hit: int, n: int) -> dict[str, object]:
    """Name a share and its interval.

    Parameters
    ----------
    name : str
        Name of its column.
    n_hit, n : int
        People who did it, of so many, at least 1.

    Returns
    -------
    dict
        The share and the ends of Wilson's interval.

    Examples
    --------
    >>> share_line("share_matured", 0, 30)["share_matured_low"]
    0.0
    """
    low, high = wilson(n_hit, n)
    return {name: n_hit / n, f"{name}_low": float(low), f"{name}_high": float(high)}


def within_line(
    km: KaplanMeier, window: int, least: float
) -> tuple[dict[str, object], str]:
    """Tell the Kaplan-Meier share within a window, or why it is missing.

    Parameters
    ----------
    km : KaplanMeier
        Of one segment.
    window : int
        W in days.
    least : float
        So many people must be at risk on day W.

    Returns
    -------
    line : dict
        n_at_risk and, if known, share_within with the ends of its interval.
    reason : str
        Why it is missing; empty when it is known.

    Examples
    --------
    >>> within_line(NOBODY, 90, 30)
    ({'n_at_risk': 0}, '0 at risk at day 90, need 30')
    """
    at = cif_at(km, [window])
    n_at_risk = int(at.n_at_risk[0])
    line: dict[str, object] = {"n_at_risk": n_at_risk}
    if n_at_risk < least:
        return line, f"{n_at_risk} at risk at day {window}, need {least}"
    return line | {
        "share_within": float(at.cif[0]),
        "share_within_low": float(at.low[0]),
        "share_within_high": float(at.high[0]),
    }, ""
