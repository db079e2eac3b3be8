"""Kaplan-Meier curves of stages by segment, from one histogram of days."""

import ibis
import numpy as np
import pandas as pd

from selfloop.kernels.survival import KaplanMeier, kaplan_meier
from selfloop.measures.funnel.steps import KEY, TOTAL, Step, Steps

NOBODY = kaplan_meier(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
"""The curve of a segment that nobody entered."""


def totals_of(counts: pd.DataFrame, n_levels: int) -> pd.DataFrame:
    """Add up segments.

    Parameters
    ----------
    counts : DataFrame
        segment, segment_2, perhaps day and event, and whole numbers that add up.
    n_levels : int
        How many breakdowns there are: 0 for no totals; with 2 also those of each
        value of the first.

    Returns
    -------
    DataFrame
        The same columns; the segment of a total is ``(all)``.
    """
    values = [c for c in counts.columns if c not in (*KEY, "day", "event")]
    rest = [c for c in ("day", "event") if c in counts.columns]
    parts = [counts.iloc[:0]]
    if n_levels > 1:
        by_first = counts.groupby(["segment", *rest], as_index=False)[values].sum()
        parts.append(by_first.assign(segment_2=TOTAL))
    if n_levels:
        every = counts.assign(segment=TOTAL)
        whole = every.groupby(["segment", *rest], as_index=False)[values].sum()
        parts.append(whole.assign(segment_2=TOTAL if n_levels > 1 else ""))
    found = pd.concat(parts[n_levels > 0 :], ignore_index=True)
    return found[list(counts.columns)]


def histogram(steps: Steps, step: Step, end_day: int) -> pd.DataFrame:
    """Count people by days to a stage, or to the end of their follow-up.

    Parameters
    ----------
    steps : Steps
        People.
    step : Step
        Stage.
    end_day : int
        Last observed day, by number.

    Returns
    -------
    DataFrame
        segment, segment_2, day, event (whether they reached it) and n.
    """
    seen = steps.rows(step, end_day)
    event = seen.days.notnull()
    days = ibis.ifelse(event, seen.days, seen.followup_days)
    counted = seen.group_by(*KEY, day=days, event=event).aggregate(n=seen.count())
    found: pd.DataFrame = counted.to_pandas()
    return found


def curves_of(counted: pd.DataFrame) -> dict[tuple[str, str], KaplanMeier]:
    """Estimate one Kaplan-Meier curve per segment.

    Parameters
    ----------
    counted : DataFrame
        From `histogram`, or its `totals_of`.

    Returns
    -------
    dict
        By pair of segments; those that nobody entered are absent.
    """
    curves = {}
    for (segment, second), part in counted.groupby(KEY):
        size = int(part["day"].max()) + 1
        hits = [
            np.bincount(
                half["day"].to_numpy(np.int64), half["n"].to_numpy(), minlength=size
            ).astype(np.int64)
            for half in (part[part["event"]], part[~part["event"]])
        ]
        curves[str(segment), str(second)] = kaplan_meier(hits[0], hits[1])
    return curves
