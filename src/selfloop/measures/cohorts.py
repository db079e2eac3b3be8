"""Whether the customers of one month come back in the months after."""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.inputs.events import Events
from selfloop.measures.periods import last_period, period_names, period_number


@dataclass(frozen=True)
class Cohorts:
    """Repurchase by month of the first purchase, made by `cohorts`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.COHORTS`. A month that nobody has lived to see has no
        row; the month that is still running is ``partial``.
    end : date
        Last observed day.
    """

    table: pd.DataFrame = field(repr=False)
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the table, columns of `schema.COHORTS`."""
        return self.table.copy()

    def mean_by_age(self) -> pd.DataFrame:
        """Pool the finished cells of each age.

        Returns
        -------
        DataFrame
            age_months, n_people, n_active, share_active; partial cells are left out.
        """
        done = self.table[self.table["status"] == "complete"]
        pooled = done.groupby("age_months", as_index=False)[
            ["n_people", "n_active"]
        ].sum()
        return pooled.assign(share_active=pooled["n_active"] / pooled["n_people"])

    def __repr__(self) -> str:
        """Show the table as text."""
        facts = [("observed to", self.end)]
        return show_text("Cohorts", facts, tables=[("", self.table, "cohorts")])

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        facts = [("observed to", self.end)]
        return show_html("Cohorts", facts, tables=[("", self.table, "cohorts")])


def cohorts(events: Events) -> Cohorts:
    """Count, of those who first bought in a month, who bought in each month after.

    Parameters
    ----------
    events : Events
        Result of `read_events`.

    Returns
    -------
    Cohorts

    Notes
    -----
    Calendar months in the time zone of the events. Month 0 is the month of the first
    purchase, in which everybody is active. Unobserved months have no row, and the
    last month counts as complete only when `end` is its last day.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=500, seed=7)
    >>> sl.cohorts(sl.read_events(shop.orders)).table["share_active"].iloc[0]
    np.float64(1.0)
    """
    Events.check(events)
    core = events.core
    firsts = core.filter(core.first_at.notnull()).select(
        "person_no", cohort_at="first_at"
    )
    rows = events.baskets.filter(events.baskets.is_purchase)
    active = rows.select("person_no", month=period_number(rows.at, "month")).distinct()
    joined = active.join(firsts, "person_no")
    counted = (
        joined.group_by(cohort=period_number(joined.cohort_at, "month"), month="month")
        .aggregate(n_active=joined.count())
        .to_pandas()
    )
    return Cohorts(_triangle(counted, events.end), events.end)


def _triangle(counted: pd.DataFrame, end: date) -> pd.DataFrame:
    """Fill in the observed months in which nobody bought."""
    last, closed = last_period(end, "month")
    if counted.empty:
        return pd.DataFrame(columns=schema.names("cohorts"))
    sizes = counted[counted["cohort"] == counted["month"]]
    parts = []
    for cohort, size in zip(sizes["cohort"], sizes["n_active"], strict=True):
        ages = np.arange(last - cohort + 1)
        parts.append(
            pd.DataFrame({"cohort": cohort, "age_months": ages, "n_people": size})
        )
    grid = pd.concat(parts, ignore_index=True)
    grid["month"] = grid["cohort"] + grid["age_months"]
    full = grid.merge(counted, on=["cohort", "month"], how="left")
    full["n_active"] = full["n_active"].fillna(0).astype("int64")
    full["share_active"] = full["n_active"] / full["n_people"]
    running = (full["month"] == last) & (not closed)
    full["status"] = np.where(running, "partial", "complete")
    full = full.sort_values(["cohort", "age_months"], ignore_index=True)
    full["cohort"] = period_names(full["cohort"], "month")
    return full[schema.names("cohorts")]
