"""The rules that flag referrals: what each looks for, as expressions in the engine."""

from dataclasses import dataclass
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pandas as pd

from selfloop.core.settings import MAX_WINDOW_DAYS, check_number, check_whole
from selfloop.inputs.baskets import day_number
from selfloop.inputs.dialect import person_key
from selfloop.inputs.events import Events
from selfloop.inputs.validate import USED

SELF = "SL202"
"""Code of a row in which somebody refers themselves."""


_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Limits:
    """From where on a referral is flagged.

    Parameters
    ----------
    burst_days : int
        Length of the window of a burst in days, at least 1.
    min_burst : int
        Referees in it from which it is one, at least 2.
    min_referees : int
        Referees that a referrer must have to be tested, at least 1.
    window_days : int
        Days for which a referee must have been observed to be tested, at least 1.
    smallest_share : float
        The smallest order is this quantile of first purchases, 0 to 1.
    significance : float
        Probability that a clean shop has any statistical flag, at most; 0 to 1.

    Raises
    ------
    SettingError
        When a value is outside its range.
    """

    burst_days: int = 1
    min_burst: int = 10
    min_referees: int = 5
    window_days: int = 90
    smallest_share: float = 0.05
    significance: float = 0.05

    def __post_init__(self) -> None:
        """Check every range."""
        check_whole("burst_days", self.burst_days, low=1, high=MAX_WINDOW_DAYS)
        check_whole("min_burst", self.min_burst, low=2)
        check_whole("min_referees", self.min_referees, low=1)
        check_whole("window_days", self.window_days, low=1, high=MAX_WINDOW_DAYS)
        check_number("smallest_share", self.smallest_share, low=1e-6, high=1)
        check_number("significance", self.significance, low=0, high=1)


class Found(NamedTuple):
    """What one rule has found.

    Parameters
    ----------
    rule : str
        Its name.
    meaning : str
        What it flags, with its numbers.
    people : DataFrame
        person_no, n_observed of each flagged referrer; with n_tested, threshold,
        expected, p_value, p_adjusted, kind, detail and place (number of the ring)
        where there are any.
    pairs : ibis table or None
        kind, referrer_no, referee_no of the flagged referrals; None when the rule
        could not be applied.
    reason : str
        Why not; empty when it was.
    """

    rule: str
    meaning: str
    people: pd.DataFrame
    pairs: ir.Table | None
    reason: str = ""


def referral_rows(events: Events) -> ir.Table:
    """Select the rows that the rules look at: readable and not after the end.

    Parameters
    ----------
    events : Events
        With referrals.

    Returns
    -------
    ibis table
        code, referrer_id, referee_id, referred_at, referrer_no, referee_no.
    """
    rows = events.set_aside["referrals"]
    seen = rows.referred_at.date() <= ibis.literal(events.end)
    columns = ["code", "referrer_id", "referee_id", "referred_at"]
    rows = rows.filter(rows.code.isin([USED, SELF]) & seen).select(*columns)
    if events.excluded is not None:  # it was decided about them
        left_out = events.excluded.distinct()
        rows = rows.anti_join(left_out, ["referrer_id", "referee_id"]).select(*columns)
    return rows.mutate(
        referrer_no=person_key(rows.referrer_id),
        referee_no=person_key(rows.referee_id),
    )


def pairs_of(rows: ir.Table) -> ir.Table:
    """Express the pairs of two people, each at its earliest row.

    Parameters
    ----------
    rows : ibis table
        From `referral_rows`.

    Returns
    -------
    ibis table
        referrer_no, referee_no, at.
    """
    rows = rows.filter(rows.code == USED)
    return rows.group_by("referrer_no", "referee_no").aggregate(
        at=rows.referred_at.min()
    )


def find_self_referrals(rows: ir.Table) -> Found:
    """Find people who refer themselves.

    Parameters
    ----------
    rows : ibis table
        From `referral_rows`.

    Returns
    -------
    Found
    """
    own = rows.filter(rows.code == SELF)
    people = own.group_by(person_no=own.referrer_no).aggregate(n_observed=own.count())
    return Found(
        "self_referral",
        "rows in which the referrer is the referee (SL202)",
        people.to_pandas().assign(threshold=1),
        as_pairs(own.select("referrer_no", "referee_no").distinct()),
    )


def find_bursts(pairs: ir.Table, limits: Limits) -> Found:
    """Find referrers who bring many people within a few days.

    Parameters
    ----------
    pairs : ibis table
        From `pairs_of`.
    limits : Limits
        Length of the window and size of a burst.

    Returns
    -------
    Found
        The largest window of each, the earliest of equals.
    """
    meaning = (
        f"{limits.min_burst:,} referees or more of one referrer within "
        f"{_days(limits.burst_days)} (of the largest such window)"
    )
    length = limits.burst_days * _DAY_SECONDS
    brought = pairs.group_by("referrer_no").aggregate(n=pairs.count())
    many = brought.filter(brought.n >= limits.min_burst)
    rows = pairs.semi_join(many, "referrer_no")
    rows = rows.mutate(second=rows.at.epoch_seconds().cast("int64"))
    ahead = ibis.range_window(
        preceding=0, following=length - 1, group_by="referrer_no", order_by="second"
    )
    rows = rows.mutate(n=rows.count().over(ahead))
    place = ibis.row_number().over(
        group_by=rows.referrer_no, order_by=[rows.n.desc(), rows.second]
    )
    best = rows.mutate(place=place).filter(lambda t: t.place == 0)
    best = best.filter(best.n >= limits.min_burst)
    best = best.select("referrer_no", begin="second", n_observed="n")
    inside = rows.inner_join(best, "referrer_no")
    since = inside.second - inside.begin
    inside = inside.filter((since >= 0) & (since < length))
    people = (
        inside.group_by(person_no=inside.referrer_no)
        .aggregate(
            n_observed=inside.n_observed.max(),
            first_at=inside.at.min(),
            last_at=inside.at.max(),
        )
        .to_pandas()
    )
    people["detail"] = [
        f"{r.n_observed:,} people from {r.first_at:%Y-%m-%d} to {r.last_at:%Y-%m-%d}"
        for r in people.itertuples()
    ]
    people = people.drop(columns=["first_at", "last_at"])
    people["threshold"] = limits.min_burst
    return Found("burst", meaning, people, as_pairs(inside))


def find_early(pairs: ir.Table, events: Events) -> Found:
    """Find referrers who bring people on a day before they have bought themselves.

    Parameters
    ----------
    pairs : ibis table
        From `pairs_of`.
    events : Events
        Who bought when.

    Returns
    -------
    Found
    """
    core = events.core
    owners = core.select(
        referrer_no="person_no", own_day="first_day", own_at="first_at"
    )
    made = pairs.left_join(owners, "referrer_no").drop("referrer_no_right")
    early = made.filter(made.own_day.isnull() | (day_number(made.at) < made.own_day))
    kind = ibis.ifelse(early.own_day.isnull(), "never_bought", "bought_later")
    early = early.mutate(kind=kind)
    people = early.group_by("kind", person_no=early.referrer_no).aggregate(
        n_observed=early.count(), own_at=early.own_at.min()
    )
    since = ibis.literal("first purchase on ") + people.own_at.strftime("%Y-%m-%d")
    people = people.mutate(detail=since.fill_null("never bought")).drop("own_at")
    return Found(
        "before_first_purchase",
        "referrals on a day before the first purchase of the referrer, who bought "
        "later (bought_later) or not in the data (never_bought)",
        people.to_pandas().assign(threshold=1),
        early.select("kind", "referrer_no", "referee_no"),
    )


def as_pairs(links: ir.Table) -> ir.Table:
    """Reduce links to what the flagged pairs of every rule have.

    Parameters
    ----------
    links : ibis table
        referrer_no, referee_no.

    Returns
    -------
    ibis table
        kind (empty), referrer_no, referee_no.
    """
    rows = links.mutate(kind=ibis.literal(""))
    return rows.select("kind", "referrer_no", "referee_no")


def _days(n: int) -> str:
    """Write a number of days."""
    return f"{n:,} day" if n == 1 else f"{n:,} days"
