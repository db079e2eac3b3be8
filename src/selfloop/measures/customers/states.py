"""In which state every customer was at the close of a day, by one rule."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal, NamedTuple, get_args

import ibis.expr.types as ir

from selfloop.core.errors import SettingError
from selfloop.core.settings import check_choice
from selfloop.inputs.events import Events
from selfloop.measures.customers.as_of import buyers_as_of, day_of
from selfloop.measures.customers.lapses import STATES, Lapses, lapses_at, state_of
from selfloop.measures.customers.rfm import scored_people
from selfloop.measures.customers.scores import SEGMENTS, Scoring, scoring

Kind = Literal["rfm", "lifecycle"]
"""Which states: segments by recency and frequency, or active, dormant, lost."""


class Rule(NamedTuple):
    """How customers get a state.

    Parameters
    ----------
    kind : str
        ``rfm`` or ``lifecycle``.
    names : tuple of str
        Every state, the best first.
    how : Scoring or Lapses
        How they are scored, or after how many days they are dormant and lost.
    """

    kind: str
    names: tuple[str, ...]
    how: Scoring | Lapses

    def facts(self) -> list[tuple[str, object]]:
        """List its settings as people read them."""
        if isinstance(self.how, Lapses):
            return self.how.facts()
        return [("scores", f"{self.how.scores}, 1 to {self.how.n_scores}")]


def rule_of(
    events: Events,
    kind: str,
    known_to: date,
    *,
    scores: str,
    n_scores: int,
    edges: Mapping[str, Sequence[float]] | None,
    dormant_after_days: int | None,
    lost_after_days: int | None,
) -> Rule:
    """Check the settings of states, and find those that the shop itself suggests.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    kind : {"rfm", "lifecycle"}
        Which states.
    known_to : date
        Days of dormant and lost are found from purchases up to this day.
    scores, n_scores, edges
        As in `rfm`.
    dormant_after_days, lost_after_days
        As in `lifecycle`.

    Returns
    -------
    Rule

    Raises
    ------
    SettingError
        A setting is outside its range, belongs to the other states, or is needed.
    """
    check_choice("states", kind, get_args(Kind))
    if kind == "rfm":
        if dormant_after_days is not None or lost_after_days is not None:
            raise SettingError(
                "dormant_after_days and lost_after_days are settings of "
                "states='lifecycle'; states is 'rfm'"
            )
        return Rule(kind, SEGMENTS, scoring(scores, n_scores, edges))
    if scores != "quantile" or n_scores != 5 or edges is not None:
        raise SettingError(
            "scores, n_scores and edges are settings of states='rfm'; states is "
            "'lifecycle'"
        )
    lapses = lapses_at(events, day_of(known_to), dormant_after_days, lost_after_days)
    return Rule(kind, STATES, lapses)


def states_at(events: Events, at: date, rule: Rule) -> ir.Table:
    """Return the state of everybody who had bought by the close of a day.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    at : date
        An observed day.
    rule : Rule
        From `rule_of`.

    Returns
    -------
    ibis table
        person_no, state; one row per buyer.
    """
    if isinstance(rule.how, Scoring):
        scored = scored_people(events, at, rule.how)
        return scored.select("person_no", state="segment")
    people = buyers_as_of(events, at)
    silence = day_of(at) - people.last_day
    return people.select("person_no", state=state_of(silence, rule.how))
