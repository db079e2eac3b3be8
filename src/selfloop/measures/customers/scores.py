"""Scores of customers by recency, frequency and money, and the names of the pairs."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import ibis
import ibis.expr.types as ir

from selfloop.core.errors import SettingError
from selfloop.core.settings import check_choice, check_number, check_whole

Scores = Literal["quantile", "fixed"]
"""By rank among the customers of that day, or by edges that stay."""

EDGES: dict[str, tuple[float, ...]] = {
    "recency_days": (30, 90, 180, 365),
    "n_purchases": (2, 3, 4, 6),
}
"""Edges of five fixed scores: bought within 30, 90, 180, 365 days; 2, 3, 4, 6 times."""

SEGMENTS = (
    "champions", "loyal", "potential", "new", "promising", "needs_attention",
    "about_to_sleep", "at_risk", "cannot_lose", "hibernating", "lost",
)  # fmt: skip
"""Names of customers by recency and frequency, the best first."""

_BY_RECENCY = {
    5: ("new", "potential", "potential", "champions", "champions"),
    4: ("promising", "potential", "potential", "loyal", "loyal"),
    3: ("about_to_sleep", "about_to_sleep", "needs_attention", "loyal", "loyal"),
    2: ("hibernating", "hibernating", "at_risk", "at_risk", "cannot_lose"),
    1: ("lost", "lost", "at_risk", "at_risk", "cannot_lose"),
}
"""The name of each pair: recency 5 to 1, in each line frequency 1 to 5."""

_LOWER_IS_BETTER = "recency_days"


class Scoring(NamedTuple):
    """How customers get their scores.

    Parameters
    ----------
    scores : str
        One of `Scores`.
    n_scores : int
        The best score; the worst is 1.
    edges : dict of str to tuple of float
        Edges by column, rising; columns without any are scored by rank.
    """

    scores: str
    n_scores: int
    edges: Mapping[str, tuple[float, ...]]


def scoring(
    scores: str, n_scores: int, edges: Mapping[str, Sequence[float]] | None
) -> Scoring:
    """Check how customers are to get their scores.

    Parameters
    ----------
    scores : {"quantile", "fixed"}
        By rank or by edges.
    n_scores : int
        Number of scores, 2 to 10.
    edges : dict of str to sequence of float, or None
        For fixed scores: rising edges of recency_days, n_purchases or revenue, one
        fewer than scores.

    Returns
    -------
    Scoring

    Raises
    ------
    SettingError
        When a value is outside its range, or edges are missing or not asked for.
    """
    check_choice("scores", scores, get_args(Scores))
    n_scores = check_whole("n_scores", n_scores, low=2, high=10)
    if scores == "quantile":
        if edges is not None:
            raise SettingError("edges are a setting of scores='fixed'; got 'quantile'")
        return Scoring(scores, n_scores, {})
    known = (*EDGES, "revenue")
    if edges is not None and not isinstance(edges, Mapping):
        raise SettingError(
            f"edges must be a dictionary such as {{'revenue': (50, 100, 200, 400)}}; "
            f"got {edges!r}"
        )
    chosen = {}
    for name, values in (edges or {}).items():
        check_choice("a key of edges", name, known)
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise SettingError(f"edges[{name!r}] must be numbers; got {values!r}")
        chosen[name] = tuple(values)
    for name, standard in EDGES.items():
        if n_scores == len(standard) + 1:
            chosen.setdefault(name, standard)
        elif name not in chosen:
            raise SettingError(
                f"edges must have {n_scores - 1} numbers for {name!r}: only 5 scores "
                "have edges of their own"
            )
    for name, values in chosen.items():
        _check_edges(name, values, n_scores)
    return Scoring(scores, n_scores, {k: chosen[k] for k in known if k in chosen})


def _check_edges(name: str, values: tuple[float, ...], n_scores: int) -> None:
    """Raise unless edges are rising numbers, one fewer than scores."""
    for value in values:
        check_number(f"edges[{name!r}]", value, low=-1e15, high=1e15)
    if len(values) != n_scores - 1 or any(a >= b for a, b in pairwise(values)):
        raise SettingError(
            f"edges[{name!r}] must be {n_scores - 1} rising numbers for {n_scores} "
            f"scores; got {values}"
        )


def with_scores(people: ir.Table, how: Scoring) -> ir.Table:
    """Add scores and the name of their pair.

    Parameters
    ----------
    people : ibis table
        recency_days, n_purchases, revenue; one row per customer.
    how : Scoring
        From `scoring`.

    Returns
    -------
    ibis table
        With r_score, f_score, m_score and segment.

    Notes
    -----
    By rank: 1 + floor(n_scores x share of customers strictly worse), in whole numbers.
    By edges: recency scores 1 more for each edge that it is at most, the others for
    each edge that they are at least.
    """
    columns = {
        "r_score": "recency_days", "f_score": "n_purchases", "m_score": "revenue",
    }  # fmt: skip
    people = people.mutate(
        **{score: _score(people, column, how) for score, column in columns.items()}
    )
    return people.mutate(segment=_name(people.r_score, people.f_score, how.n_scores))


def _score(people: ir.Table, column: str, how: Scoring) -> ir.IntegerValue:
    """Express one score of everybody."""
    value = people[column]
    lower = column == _LOWER_IS_BETTER
    if column in how.edges:
        score = ibis.literal(1)
        for edge in how.edges[column]:
            passed = value <= edge if lower else value.cast("float64") >= edge
            score = score + passed.cast("int8")
        return score.cast("int8")
    # Ranks of equal values are equal: how many are strictly worse.
    n_worse = ibis.rank().over(order_by=ibis.desc(value) if lower else value)
    n = people.count().as_scalar()
    return (1 + n_worse * how.n_scores // n).cast("int8")


def _name(
    recency: ir.IntegerValue, frequency: ir.IntegerValue, n_scores: int
) -> ir.StringValue:
    """Express the name of a pair of scores."""
    pairs: dict[str, list[int]] = {}
    for r in range(1, n_scores + 1):
        for f in range(1, n_scores + 1):
            pairs.setdefault(segment_of(r, f, n_scores=n_scores), []).append(
                100 * r + f
            )
    pair = recency.cast("int32") * 100 + frequency
    return ibis.cases(*((pair.isin(codes), name) for name, codes in pairs.items()))


def segment_of(r_score: int, f_score: int, *, n_scores: int = 5) -> str:
    """Return the name of customers with a pair of scores.

    Parameters
    ----------
    r_score, f_score : int
        Scores of recency and frequency, 1 to `n_scores`.
    n_scores : int, optional
        The best score. Names are for five; other scores are spread evenly over them,
        the worst and the best stay so.

    Returns
    -------
    str
        One of `SEGMENTS`.

    Examples
    --------
    >>> segment_of(5, 5), segment_of(1, 5), segment_of(3, 3, n_scores=3)
    ('champions', 'cannot_lose', 'champions')
    """
    r, f = (_level(score, n_scores) for score in (r_score, f_score))
    return _BY_RECENCY[r][f - 1]


def _level(score: int, n_scores: int) -> int:
    """Return the nearest of five levels, halves upwards."""
    steps = n_scores - 1
    return 1 + (8 * (score - 1) + steps) // (2 * steps)
