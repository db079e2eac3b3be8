"""The stages: where each begins and ends for every person, in days before the end."""

from collections.abc import Sequence
from typing import NamedTuple

import ibis
import ibis.expr.types as ir

from selfloop.core.settings import check_choice
from selfloop.inputs.events import Events
from selfloop.measures.histograms import KEY
from selfloop.measures.referral.histories import brought_buyers
from selfloop.measures.segments import with_segments

STAGES = ("traffic", "conversion", "repurchase", "referral")
"""The stages of the loop."""

ORDERS = ("loop", "strict")
"""How stages follow each other: repurchase and referral side by side, or in a chain."""


class Step(NamedTuple):
    """One stage of a funnel.

    Parameters
    ----------
    stage : str
        One of `STAGES` after the first.
    entry, reached : str
        Columns of `Steps.people`: the day the clock starts, and that of the stage.
    way : tuple of str
        Stages on the way from the arrival to this one, itself included.
    """

    stage: str
    entry: str
    reached: str
    way: tuple[str, ...]


class Steps(NamedTuple):
    """People and the days of their stages.

    Parameters
    ----------
    people : ibis table
        segment, segment_2, person_no, and the columns that `steps` name.
    segments : list of tuple of str
        Every pair of segments.
    steps : tuple of Step
        Conversion, repurchase and referral.
    missing : dict of str to str
        Stages that cannot be computed, and why.
    """

    people: ir.Table
    segments: list[tuple[str, str]]
    steps: tuple[Step, ...]
    missing: dict[str, str]

    def rows(self, step: Step, end_day: int) -> ir.Table:
        """Return who entered a stage.

        Parameters
        ----------
        step : Step
            Stage.
        end_day : int
            Last observed day, by number.

        Returns
        -------
        ibis table
            segment, segment_2, days (to the stage; missing if not reached) and
            followup_days.
        """
        rows = self.people.filter(self.people[step.entry].notnull())
        return rows.select(
            *KEY,
            days=rows[step.reached] - rows[step.entry],
            followup_days=end_day - rows[step.entry],
        )


_LOOP = (
    Step("conversion", "arrived_day", "first_day", ("conversion",)),
    Step("repurchase", "first_day", "second_day", ("conversion", "repurchase")),
    Step("referral", "first_day", "success_after_day", ("conversion", "referral")),
)

_STRICT = (
    *_LOOP[:2],
    Step(
        "referral", "second_day", "success_later_day",
        ("conversion", "repurchase", "referral"),
    ),
)  # fmt: skip


def steps_of(
    events: Events, by: str | Sequence[str] | None, order: str = "loop"
) -> Steps:
    """Return people with the days of their stages.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    by : str, sequence of str or None
        One or two breakdowns.
    order : str
        One of `ORDERS`.

    Returns
    -------
    Steps

    Raises
    ------
    SettingError
        There is no such breakdown or order.
    """
    check_choice("order", order, ORDERS)
    rows, segments = with_segments(events, by)
    missing = {}
    if "visits" not in events.has:
        missing["conversion"] = "no table of visits"
    if "referrals" not in events.has:
        missing["referral"] = "no table of referrals"
    if order == "loop":
        return Steps(rows, segments, _LOOP, missing)
    if missing.get("referral"):
        rows = rows.mutate(success_later_day=ibis.null("int32"))
    else:
        rows = _with_later_success(rows, events)
    return Steps(rows, segments, _STRICT, missing)


def _with_later_success(rows: ir.Table, events: Events) -> ir.Table:
    """Add the day of the first buyer brought on or after the second purchase."""
    brought = brought_buyers(events)
    owners = events.core.select(referrer_no="person_no", own_second="second_day")
    made = brought.select("referrer_no", "first_day").join(owners, "referrer_no")
    made = made.filter(made.first_day >= made.own_second)
    later = made.group_by(person_no="referrer_no").aggregate(
        success_later_day=made.first_day.min()
    )
    return rows.left_join(later, "person_no").drop("person_no_right")
