"""What segments of people are like, and what they did next."""

from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import SettingError
from selfloop.core.settings import MIN_AT_RISK, check_days
from selfloop.inputs.events import Events
from selfloop.inputs.read import read_table
from selfloop.inputs.typed import as_id
from selfloop.measures.customers.after import mean_interval, what_came_after
from selfloop.measures.customers.as_of import buyers_as_of
from selfloop.measures.customers.rfm import shares_of
from selfloop.measures.customers.states import Rule, rule_of, states_at
from selfloop.measures.funnel.rates import funnel
from selfloop.measures.segments import with_segment

AHEAD_DAYS = 90
"""Without a day, states are those so many days before the end."""

_STATES = ("rfm", "lifecycle")
_COLUMNS = {
    "share_converted": ("conversion", "share_matured"),
    "share_repurchased": ("repurchase", "share_matured"),
    "share_within": ("repurchase", "share_within"),
    "share_referred": ("referral", "share_matured"),
}
_CIRCULAR = "what people bought makes the segments: only what came after is told"


@dataclass(frozen=True)
class SegmentProfile:
    """What segments are like, made by `segment_profile`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.SEGMENT_PROFILE`: everything so far. No rows for states,
        which are made of what people bought.
    after : DataFrame
        Columns of `schema.SEGMENT_AFTER`: what those who had bought by the close of
        `at` did after it. No rows without such a day.
    by : str
        The breakdown; ``table`` for a table of segments.
    window_days : int
        Window W of the rates in `table`.
    rule : Rule or None
        How states were found, for states.
    n_unknown : int
        People of a table of segments who are in no events.
    at : date or None
        The day that `after` begins after.
    end : date
        Last observed day.
    """

    table: pd.DataFrame = field(repr=False)
    after: pd.DataFrame = field(repr=False)
    by: str
    window_days: int
    rule: Rule | None
    n_unknown: int
    at: date | None
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return `after` where there is a day, else `table`."""
        return (self.table if self.at is None else self.after).copy()

    def __repr__(self) -> str:
        """Show the tables that have rows as text."""
        return show_text("Segments", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the tables that have rows in a notebook."""
        return show_html("Segments", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        facts: list[tuple[str, object]] = [("by", self.by)]
        if self.at is not None:
            facts += [("after the close of", self.at)]
        facts += [("observed to", self.end)]
        if self.rule is not None:
            facts += [*self.rule.facts(), ("note", _CIRCULAR)]
        if self.n_unknown:
            facts += [("people in no events", self.n_unknown)]
        return facts

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables that have rows."""
        named = (
            (f"so far; rates within {self.window_days} days", self.table,
             "segment_profile"),
            ("after that day", self.after, "segment_after"),
        )  # fmt: skip
        return [(head, table, name) for head, table, name in named if len(table)]


def segment_profile(
    events: Events,
    by: object,
    *,
    at: str | date | None = None,
    window_days: int = 90,
    dormant_after_days: int | None = None,
    lost_after_days: int | None = None,
) -> SegmentProfile:
    """Tell what people of each segment are like: rates, revenue, what came after.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    by : str or table
        A breakdown as in `funnel` (a column of `schema.PEOPLE`, or a month or quarter
        of arrival or first purchase); ``"rfm"`` or ``"lifecycle"``; or a table of
        person_id and segment, one row per person: a file, a pandas, Polars, Arrow or
        Ibis table.
    at : str or date, optional
        A day after which to look at what people do who had bought by then. For states
        90 days before the last observed day by default, for others none.
    window_days : int
        Window W of the rates, at least 1.
    dormant_after_days, lost_after_days
        As in `lifecycle`, for ``by="lifecycle"``. By default as the gaps up to `at`
        suggest.

    Returns
    -------
    SegmentProfile

    Raises
    ------
    SettingError
        There is no such breakdown, the table lacks a column or has a person twice, `at`
        is no observed day before the last, or a setting is outside its range.

    Warnings
    --------
    A segment that is made of what people bought must not be described by what they
    bought: champions have high revenue because that is how they were chosen. For states
    nothing so far is told, only what came after `at`, which had no part in the choice.
    The same holds for your own segments and for columns that grow with purchases
    (``n_purchases``, ``revenue``): give `at`, and segments that were known by then.

    Notes
    -----
    Rates are those of `funnel`: matured, with Wilson's interval, repurchase also by
    Kaplan-Meier. A mean per buyer (per person after `at`) is mean +- t s / sqrt(n): one
    buyer is one unit, however many orders. Where a few hold most of the revenue such
    an interval is too short. Revenue so far grows with the time since people came: do
    not compare it between segments of different age. Fewer than 30 people: missing,
    with the reason. The 30 largest segments are kept, the others are ``(other)``.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals)
    >>> sl.segment_profile(events, "rfm").after["segment"].iloc[0]
    'champions'
    """
    Events.check(events)
    window_days = check_days("window_days", window_days)
    is_lapses = dormant_after_days is not None or lost_after_days is not None
    if is_lapses and not (isinstance(by, str) and by == "lifecycle"):
        raise SettingError(
            "dormant_after_days and lost_after_days are settings of by='lifecycle'"
        )
    is_state = isinstance(by, str) and by in _STATES
    day = _day(events, at, is_state=is_state)
    if is_state and day is not None:
        rule = rule_of(
            events, str(by), day, scores="quantile", n_scores=5, edges=None,
            dormant_after_days=dormant_after_days, lost_after_days=lost_after_days,
        )  # fmt: skip
        people = states_at(events, day, rule).rename(segment="state")
        after = what_came_after(events, people, day, segments=rule.names)
        empty = pd.DataFrame(columns=schema.names("segment_profile"))
        return SegmentProfile(
            empty, after, str(by), window_days, rule, 0, day, events.end
        )
    n_unknown = 0
    column, name = by, by
    if not isinstance(by, str):
        events, n_unknown = _with_own(events, by)
        column, name = "channel", "table"
    rows, segments = with_segment(events, str(column))
    table = _so_far(events, str(column), rows, window_days)
    after = pd.DataFrame(columns=schema.names("segment_after"))
    if day is not None:
        people = rows.select("person_no", "segment")
        people = people.semi_join(buyers_as_of(events, day), "person_no")
        after = what_came_after(events, people, day, segments=segments)
    return SegmentProfile(
        table, after, str(name), window_days, None, n_unknown, day, events.end
    )


def _day(events: Events, at: str | date | None, *, is_state: bool) -> date | None:
    """Return the day to look ahead from, or none."""
    if at is None and not is_state:
        return None
    if at is not None:
        day = events.observed_day(at)
        if day >= events.end:
            raise SettingError(
                f"at must lie before the last observed day, {events.end}: nothing came "
                "after it"
            )
        return day
    day = events.end - timedelta(days=AHEAD_DAYS)
    if day < events.start:
        raise SettingError(
            f"at must be given: {events.start} to {events.end} is less than "
            f"{AHEAD_DAYS} days"
        )
    return day


def _with_own(events: Events, source: object) -> tuple[Events, int]:
    """Put segments of the user in the place of the channels; count unknown people."""
    given = read_table(source, "by", events.engine).table
    needed = ("person_id", "segment")
    if not set(needed) <= set(given.columns):
        raise SettingError(
            "by must be a breakdown, or a table with columns person_id and segment; it "
            f"has {', '.join(given.columns)}"
        )
    own = given.select(
        person_id=as_id(given.person_id), own_segment=given.segment.cast("string")
    )
    own = own.filter(own.person_id.notnull())
    ids = events.core.select("person_no", "person_id")
    found = own.left_join(ids, "person_id").select("person_no", "own_segment")
    kept = events.engine.keep(found, "segments")
    line = kept.aggregate(
        n=kept.count(), n_known=kept.person_no.count(), n_once=kept.person_no.nunique()
    )
    counts = line.to_pyarrow().to_pylist()[0]
    if counts["n_known"] > counts["n_once"]:
        n_more = counts["n_known"] - counts["n_once"]
        raise SettingError(
            f"by must have one row per person; {n_more} rows are of people who have "
            "one already"
        )
    core = events.core.left_join(kept, "person_no").drop("person_no_right")
    core = core.mutate(channel=core.own_segment).drop("own_segment")
    return replace(events, core=core), int(counts["n"] - counts["n_known"])


def _so_far(
    events: Events, column: str, rows: ir.Table, window_days: int
) -> pd.DataFrame:
    """Write what each segment did so far, the largest first."""
    bought = rows.n_purchases > 0
    money = rows.revenue.cast("float64")
    grouped = rows.group_by("segment").aggregate(
        n_people=rows.count(),
        n_buyers=bought.sum(),
        revenue=rows.revenue.sum().cast("float64"),
        mean_revenue=money.mean(where=bought),
        sd_revenue=money.std(how="sample", where=bought),
        mean_purchases=rows.n_purchases.mean(where=bought),
        sd_purchases=rows.n_purchases.std(how="sample", where=bought),
    )
    table: pd.DataFrame = grouped.to_pandas()
    table = table.sort_values(
        ["n_people", "segment"], ascending=[False, True], ignore_index=True
    ).astype({"n_people": "int64", "n_buyers": "int64"})
    table["share_of_revenue"] = shares_of(table["revenue"].to_numpy(np.float64))
    enough = table["n_buyers"] >= MIN_AT_RISK
    n = table["n_buyers"].where(enough).to_numpy(np.float64)
    for name in ("revenue", "purchases"):
        mean = table[f"mean_{name}"].where(enough).to_numpy(np.float64)
        ends = mean_interval(mean, table[f"sd_{name}"].to_numpy(np.float64), n)
        table[f"buyer_{name}"] = mean
        table[f"buyer_{name}_low"], table[f"buyer_{name}_high"] = ends
    few = table["n_buyers"].astype(str) + f" buyers, need {MIN_AT_RISK}"
    table["reason"] = few.mask(enough, "")
    windows = funnel(events, column, windows_days=(window_days,)).windows
    return _with_rates(table, windows)[schema.names("segment_profile")]


def _with_rates(table: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    """Add the rates of the funnel, and why one is missing."""
    for name, (stage, share) in _COLUMNS.items():
        rates = windows[windows["stage"] == stage].set_index("segment")
        for end in ("", "_low", "_high"):
            table[f"{name}{end}"] = table["segment"].map(rates[f"{share}{end}"])
    for stage in ("conversion", "repurchase", "referral"):
        rates = windows[windows["stage"] == stage].set_index("segment")
        reasons = rates["reason"]
        if stage != "repurchase":  # no Kaplan-Meier share of it is told
            first = reasons.str.split("; ").str[0]
            reasons = first.where(rates["share_matured"].isna(), "")
        said = table["segment"].map(reasons.map(lambda r, s=stage: _said(s, r)))
        gap = np.where((table["reason"] != "") & (said != ""), "; ", "")
        table["reason"] = table["reason"] + gap + said
    return table


def _said(stage: str, reasons: str) -> str:
    """Say of which stage each reason is."""
    return "; ".join(f"{stage}: {part}" for part in reasons.split("; ") if part)
