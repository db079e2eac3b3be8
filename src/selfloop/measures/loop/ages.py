"""Buyers by how long they were followed, and whom they brought at which age."""

from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt

from selfloop.inputs.events import Events
from selfloop.kernels.survival import (
    MeanCumulative,
    MeanInterval,
    mean_cumulative,
    mean_cumulative_interval,
)
from selfloop.measures.referral.histories import brought_buyers
from selfloop.measures.segments import with_segment

IntArray = npt.NDArray[np.int64]


class ReferralAges(NamedTuple):
    """Buyers as parents of buyers, by segment.

    Parameters
    ----------
    segments : tuple of str
        Segments by their number.
    n_followup : ndarray of int64, shape (n_segments, n_ages)
        Buyers of each segment followed for exactly 0, 1, 2, ... days.
    segment, person, age, followup : ndarray of int64, shape (n_referrals,)
        For every buyer brought inside the loop: segment and number of the one who
        brought them, that one's age in days at the time, and how long that one was
        followed.
    brought, brought_followup : ndarray of int64, shape (n_referrals,)
        Number of the buyer who was brought, and how long this one was followed.
    n_seeding : int
        Buyers brought by people who had not bought themselves; outside the loop.
    """

    segments: tuple[str, ...]
    n_followup: IntArray
    segment: IntArray
    person: IntArray
    age: IntArray
    followup: IntArray
    brought: IntArray
    brought_followup: IntArray
    n_seeding: int

    def of(self, number: int) -> "ReferralAges":
        """Return one segment alone.

        Parameters
        ----------
        number : int
            Its number.

        Returns
        -------
        ReferralAges
        """
        mine = self.segment == number
        return self._replace(
            segments=(self.segments[number],),
            n_followup=self.n_followup[number : number + 1],
            segment=np.zeros(int(mine.sum()), dtype=np.int64),
            person=self.person[mine],
            age=self.age[mine],
            followup=self.followup[mine],
            brought=self.brought[mine],
            brought_followup=self.brought_followup[mine],
        )

    def curve(self) -> tuple[MeanCumulative, MeanInterval]:
        """Return M(a) of all segments together, with its interval.

        Returns
        -------
        MeanCumulative, MeanInterval
        """
        followup = self.n_followup.sum(axis=0)
        made = np.bincount(self.age, minlength=followup.size)
        curve = mean_cumulative(made, followup)
        band = mean_cumulative_interval(
            curve, person=self.person, age=self.age, followup=self.followup
        )
        return curve, band


def referral_ages(events: Events, by: str | None = None) -> ReferralAges:
    """Reduce events to buyers by follow-up, and each buyer brought.

    Parameters
    ----------
    events : Events
        With referrals.
    by : str, optional
        Breakdown of those who bring, as in `segments.with_segment`.

    Returns
    -------
    ReferralAges

    Raises
    ------
    SettingError
        There is no such breakdown.
    """
    people, segments = with_segment(events, by)
    people = people.select("person_no", "first_day", segment=_number(people, segments))
    buyers = people.filter(people.first_day.notnull())
    days = buyers.select("segment", followup=events.end_day - buyers.first_day)
    counted = days.group_by("segment", "followup").aggregate(n=days.count())
    number, followup, n = (c.to_numpy() for c in counted.to_pyarrow().columns)
    size = int(followup.max(initial=0)) + 1
    cells = np.zeros((len(segments), size), dtype=np.int64)
    cells[number.astype(np.int64), followup.astype(np.int64)] = n
    brought = brought_buyers(events)
    owner = people.select(referrer_no="person_no", segment="segment")
    rows = brought if by is None else brought.join(owner, "referrer_no")
    found = rows.select(
        segment=rows.segment if by is not None else ibis.literal(0),
        person="referrer_no",
        age="age_days",
        followup=events.end_day - rows.own_day,
        brought="person_no",
        brought_followup=events.end_day - rows.first_day,
    ).to_pyarrow()
    age = found["age"].to_numpy(zero_copy_only=False)
    inside = np.greater_equal(
        age, 0, where=~np.isnan(age), out=np.zeros(age.size, bool)
    )
    columns = {
        name: found[name].to_numpy(zero_copy_only=False)[inside].astype(np.int64)
        for name in found.column_names
    }
    return ReferralAges(
        segments=tuple(segments),
        n_followup=cells,
        n_seeding=int((~inside).sum()),
        **columns,
    )


def _number(people: ir.Table, segments: list[str]) -> ir.IntegerValue:
    """Return the number of each segment."""
    if len(segments) == 1:
        return ibis.literal(0)
    return ibis.cases(*[(people.segment == name, i) for i, name in enumerate(segments)])
