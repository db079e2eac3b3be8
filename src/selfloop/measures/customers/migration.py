"""Where the customers of each state are some time later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import SettingError
from selfloop.core.settings import MIN_AT_RISK
from selfloop.inputs.events import Events
from selfloop.kernels.intervals import wilson
from selfloop.measures.customers.scores import Scores
from selfloop.measures.customers.states import Kind, Rule, rule_of, states_at

NEW = "(new)"
"""Where people come from who first bought in between."""


@dataclass(frozen=True)
class Migration:
    """How customers moved between states from one day to another, by `migration`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.MIGRATION`: every pair of states, also those without people.
    rule : Rule
        Which states, and by which settings.
    start, end : date
        States are those at the close of these days.
    """

    table: pd.DataFrame = field(repr=False)
    rule: Rule
    start: date
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the table, columns of `schema.MIGRATION`."""
        return self.table.copy()

    def matrix(self) -> pd.DataFrame:
        """Return the numbers of people, a row per state at the start.

        Returns
        -------
        DataFrame
            A column per state at the end; the last row is ``(new)``.
        """
        wide = self.table.pivot(
            index="state_from", columns="state_to", values="n_people"
        )
        return wide.reindex(index=[*self.rule.names, NEW], columns=[*self.rule.names])

    def __repr__(self) -> str:
        """Show the numbers of people as text."""
        return show_text("Migration", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the numbers of people in a notebook."""
        return show_html("Migration", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all rows."""
        days = f"{self.start} to {self.end}"
        return [("from the close of", days), ("states", self.rule.kind),
                *self.rule.facts()]  # fmt: skip

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show: people, then shares that are worth a look."""
        people = self.matrix().rename_axis(columns=None).reset_index()
        moved = self.table[self.table["n_people"] > 0].reset_index(drop=True)
        return [("people", people, ""), ("shares", moved, "migration")]


def migration(
    events: Events,
    start: str | date,
    *,
    end: str | date | None = None,
    states: Kind = "rfm",
    scores: Scores = "quantile",
    n_scores: int = 5,
    edges: Mapping[str, Sequence[float]] | None = None,
    dormant_after_days: int | None = None,
    lost_after_days: int | None = None,
) -> Migration:
    """Where the customers of each state went: who stayed, who rose, who was lost.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    start : str or date
        First of two days; the states are those at its close.
    end : str or date, optional
        The later day; the last observed day by default.
    states : {"rfm", "lifecycle"}
        Segments by recency and frequency, or active, dormant and lost.
    scores, n_scores, edges
        As in `rfm`, for ``states="rfm"``.
    dormant_after_days, lost_after_days
        As in `lifecycle`, for ``states="lifecycle"``. By default as the gaps up to
        `start` suggest; the same days hold on both dates.

    Returns
    -------
    Migration

    Raises
    ------
    SettingError
        A day is not observed, the days do not rise, or a setting is outside its range,
        belongs to the other states, or is needed.

    Notes
    -----
    Shares are of the people in a state at the start, so those of a row sum to 1, with
    Wilson's interval [1]_: what another set of such customers might have done. Fewer
    than 30 people in a state have no shares, with the reason. Who first bought in
    between comes from ``(new)``. Nothing after a day enters the states of that day:
    those at `start` equal the states of events read with ``end=start``.

    With scores by rank a customer can move because others did: a state says where
    somebody stands among the customers of that day. Take ``scores="fixed"`` to see
    only what people did themselves.

    References
    ----------
    .. [1] E. B. Wilson, "Probable inference, the law of succession, and statistical
       inference", JASA 22 (1927).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders)
    >>> moved = sl.migration(
    ...     events, "2024-09-30", states="lifecycle", dormant_after_days=60
    ... )
    >>> moved.matrix().index.tolist()
    ['active', 'dormant', 'lost', '(new)']
    """
    Events.check(events)
    first = events.observed_day(start, name="start")
    last = events.observed_day(events.end if end is None else end, name="end")
    if first >= last:
        raise SettingError(f"start must lie before end, {last}; got {first}")
    rule = rule_of(
        events, states, first, scores=scores, n_scores=n_scores, edges=edges,
        dormant_after_days=dormant_after_days, lost_after_days=lost_after_days,
    )  # fmt: skip
    counted = _pairs(events, rule, first, last)
    return Migration(shares_of_moves(counted, rule.names), rule, first, last)


def _pairs(events: Events, rule: Rule, start: date, end: date) -> pd.DataFrame:
    """Count people by their states on both days."""
    before = states_at(events, start, rule).rename(state_from="state")
    after = states_at(events, end, rule).rename(state_to="state")
    # Who has bought stays a customer, so everybody is in the later state.
    rows = after.left_join(before, "person_no")
    rows = rows.mutate(state_from=rows.state_from.fill_null(NEW))
    counted = rows.group_by("state_from", "state_to").aggregate(n_people=rows.count())
    frame: pd.DataFrame = counted.to_pandas()
    return frame


def shares_of_moves(counted: pd.DataFrame, states: Sequence[str]) -> pd.DataFrame:
    """Write one row for every pair of states, with shares and intervals.

    Parameters
    ----------
    counted : DataFrame
        state_from, state_to, n_people of pairs that somebody has.
    states : sequence of str
        All states, in order.

    Returns
    -------
    DataFrame
        Columns of `schema.MIGRATION`.
    """
    keys = ["state_from", "state_to"]
    pairs = pd.MultiIndex.from_product([[*states, NEW], states], names=keys)
    table = counted.set_index(keys).reindex(pairs, fill_value=0).reset_index()
    table["n_people"] = table["n_people"].astype("int64")
    table["n_from"] = table.groupby("state_from")["n_people"].transform("sum")
    enough = table["n_from"] >= MIN_AT_RISK
    n_from = table["n_from"].where(enough)
    low, high = wilson(table["n_people"], table["n_from"])
    table["share"] = table["n_people"] / n_from
    table["share_low"] = pd.Series(low, table.index).where(enough)
    table["share_high"] = pd.Series(high, table.index).where(enough)
    few = table["n_from"].astype(str) + f" people, need {MIN_AT_RISK}"
    table["reason"] = few.mask(enough, "")
    return table[schema.names("migration")]
