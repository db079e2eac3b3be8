"""Who is stuck at a stage, since when, and how many of such people still come."""

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from selfloop.core import schema
from selfloop.core.settings import MIN_AT_RISK, check_choice, check_days
from selfloop.inputs.baskets import EPOCH
from selfloop.inputs.events import Events
from selfloop.kernels.survival import KaplanMeier
from selfloop.measures.funnel.curves import histogram
from selfloop.measures.funnel.steps import STAGES, steps_of
from selfloop.measures.histograms import curve_of


def drop_offs(
    events: Events,
    stage: str = "repurchase",
    *,
    min_days: int = 0,
    within_days: int = 90,
    order: str = "loop",
) -> ir.Table:
    """Who could have reached a stage and has not, since when, and how many still will.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    stage : {"conversion", "repurchase", "referral"}, optional
        The stage they have not reached.
    min_days : int, optional
        Only people who have been stuck for at least so many days; 0 or more.
    within_days : int, optional
        Days ahead of `share_coming`, at least 1.
    order : {"loop", "strict"}, optional
        As in `funnel`: strictly, only who bought twice can be stuck at referral.

    Returns
    -------
    ibis table
        Columns of `schema.DROP_OFFS`, one row per person, in the engine and in no
        order.

    Raises
    ------
    SettingError
        There is no such stage or order, or a number is out of its range.
    MissingTableError
        The stage needs visits or referrals, and there are none.

    Notes
    -----
    `share_coming` is of all people of the shop who were stuck for as long and observed
    further: 1 - S(t + W) / S(t), with S the share not there yet by Kaplan-Meier, t the
    days stuck and W `within_days`. It is missing when fewer than 30 people were
    followed to t + W. It says nothing of one person's own history: `fit_lifetime` does.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals)
    >>> stuck = sl.drop_offs(events, "repurchase", min_days=60)
    >>> bool(stuck.days_stuck.min().execute() >= 60)
    True
    """
    Events.check(events)
    check_choice("stage", stage, STAGES[1:])
    check_days("min_days", min_days, low=0)
    within_days = check_days("within_days", within_days)
    steps = steps_of(events, None, order)
    if stage in steps.missing:
        table = "visits" if stage == "conversion" else "referrals"
        events.need(table, f"drop_offs at {stage}")
    step = next(s for s in steps.steps if s.stage == stage)
    km = curve_of(histogram(steps, step, events.end_day))
    people = steps.people
    stuck = people.filter(people[step.entry].notnull() & people[step.reached].isnull())
    stuck = stuck.mutate(days_stuck=events.end_day - stuck[step.entry])
    stuck = stuck.filter(stuck.days_stuck >= min_days)
    coming = events.engine.upload(_coming(km, within_days), "coming")
    joined = stuck.left_join(coming, stuck.days_stuck == coming.day)
    epoch = ibis.literal(EPOCH.isoformat()).cast("date")
    table = joined.mutate(
        stage=ibis.literal(stage),
        stuck_since=epoch + joined[step.entry] * ibis.interval(days=1),
    )
    return table.select(*schema.names("drop_offs"))


def _coming(km: KaplanMeier, within_days: int) -> pa.Table:
    """Return, by days stuck, which share of such people comes in the next days."""
    share = np.full(km.day.size, np.nan)
    n_known = km.day.size - within_days
    if n_known > 0:
        known = km.n_at_risk[within_days:] >= MIN_AT_RISK
        left = km.survival[:n_known]
        known &= left > 0
        share[:n_known][known] = 1.0 - km.survival[within_days:][known] / left[known]
    is_known = ~np.isnan(share)
    return pa.table({"day": km.day[is_known], "share_coming": share[is_known]})
