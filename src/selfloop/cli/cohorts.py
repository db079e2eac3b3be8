"""The command on cohorts: who comes back, for how much, and how far they will get."""

import pandas as pd

from selfloop.cli.manner import Manner
from selfloop.cli.options import Inputs
from selfloop.cli.results import Form, Result, Section, deliver
from selfloop.cli.tables import period, period_label, tell_notes
from selfloop.cli.texts import sentence
from selfloop.cli.work import read, working
from selfloop.core import schema
from selfloop.core.display import format_value
from selfloop.measures.cohorts import ahead as projection
from selfloop.measures.cohorts import triangle
from selfloop.measures.cohorts.cells import Clock
from selfloop.measures.periods import Period

_LAST_AGE = 12
_MEASURES: dict[str, projection.Measure] = {
    "share_active": "share_active",
    "n_orders": "n_orders",
    "revenue": "revenue",
    "value_per_customer": "revenue",
}
"""What is projected for each metric."""

_KINDS = {column.name: column.kind for column in schema.COHORTS}


def cohorts(
    inputs: Inputs,
    manner: Manner,
    *,
    period_length: Period,
    clock: Clock,
    by: str | None,
    metric: str,
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
    table: str | None,
) -> None:
    """Show how many customers of one period come back in the periods after.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    period_length, clock, by
        See `selfloop.cohorts`.
    metric : str
        Column that a terminal shows by cohort and age, and that is projected.
    out, format, table
        See `selfloop.cli.results.Form`.
    """
    form = Form(out, format, table)
    form.check()
    with working(manner) as say:
        events = read(inputs, say)
        say("cohorts")
        found = triangle.cohorts(events, period_length, clock=clock, by=by)
        ages = found.mean_by_age()
        say("projection")
        ahead = projection.project_cohorts(found, _MEASURES[metric])
    key = ["segment"] if by else []
    result = Result(
        "cohorts",
        {"cohorts": found.table, "ages": ages, "ahead": ahead.table},
        {**period(events), "period": period_length, "clock": clock, "by": by,
         "projected": _MEASURES[metric]},
        [*period_label(events), *([("by", by)] if by else [])],
        [Section("", _laid_out(found.table, metric, [*key, "cohort", "n_people"]))],
    )  # fmt: skip
    deliver(result, form, manner)
    if not form.is_file and format == "table" and table is None:
        manner.tell(sentence("first_ages", manner.voice, last=_LAST_AGE, column=metric))
    tell_notes(events, inputs, manner)


def _laid_out(cells: pd.DataFrame, metric: str, keys: list[str]) -> pd.DataFrame:
    """Lay the cells out by cohort and age; those that still run get a star."""
    near = cells[cells["age"] <= _LAST_AGE]
    texts = [
        format_value(value, _KINDS[metric]) + ("*" if status == "partial" else "")
        for value, status in zip(near[metric], near["status"], strict=True)
    ]
    wide = near.assign(cell=texts).pivot_table(
        index=keys, columns="age", values="cell", aggfunc="first"
    )
    wide.columns = [str(age) for age in wide.columns]
    return wide.reset_index().fillna("")
