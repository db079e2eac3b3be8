"""Kaplan-Meier curves of stages by segment, from one histogram of days."""

import ibis
import pandas as pd

from selfloop.kernels.survival import KaplanMeier
from selfloop.measures.funnel.steps import Step, Steps
from selfloop.measures.histograms import KEY, curve_of

BY_DAY = ("days", "event")
"""Columns that tell the lines of one segment of a histogram apart."""


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
        segment, segment_2, days, event (whether they reached it) and n.
    """
    seen = steps.rows(step, end_day)
    event = seen.days.notnull()
    days = ibis.ifelse(event, seen.days, seen.followup_days)
    counted = seen.group_by(*KEY, days=days, event=event).aggregate(n=seen.count())
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
    return {
        (str(segment), str(second)): curve_of(part)
        for (segment, second), part in counted.groupby(KEY)
    }
