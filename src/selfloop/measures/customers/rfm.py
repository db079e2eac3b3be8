"""Who bought how recently, how often and for how much: scores, names, a grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.inputs.events import Events
from selfloop.measures.customers.as_of import buyers_as_of, day_of
from selfloop.measures.customers.scores import (
    SEGMENTS,
    Scores,
    Scoring,
    scoring,
    segment_of,
    with_scores,
)

_SCORED = {"r_score": "recency_days", "f_score": "n_purchases", "m_score": "revenue"}


@dataclass(frozen=True, eq=False)
class Rfm:
    """Customers by recency, frequency and money, made by `rfm`.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.RFM`: one row per segment, the best first, all eleven.
    grid : DataFrame
        Columns of `schema.RFM_GRID`: one row per pair of recency and frequency scores.
    bounds : DataFrame
        Columns of `schema.RFM_BOUNDS`: which values have which score.
    people : ibis table
        Columns of `schema.RFM_PEOPLE`, one row per customer, in the engine.
    scores : str
        ``quantile`` or ``fixed``.
    n_scores : int
        The best score; the worst is 1.
    at : date
        The state is that at the close of this day.
    """

    table: pd.DataFrame = field(repr=False)
    grid: pd.DataFrame = field(repr=False)
    bounds: pd.DataFrame = field(repr=False)
    people: ir.Table = field(repr=False)
    scores: str
    n_scores: int
    at: date

    def to_frame(self) -> pd.DataFrame:
        """Return the segments, columns of `schema.RFM`."""
        return self.table.copy()

    def __repr__(self) -> str:
        """Show segments and bounds as text."""
        return show_text("RFM", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show segments and bounds in a notebook."""
        return show_html("RFM", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all segments."""
        return [
            ("at the close of", self.at),
            ("customers", int(self.table["n_people"].sum())),
            ("scores", f"{self.scores}, 1 to {self.n_scores}"),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [("", self.table, "rfm"), ("scores", self.bounds, "rfm_bounds")]


def rfm(
    events: Events,
    *,
    scores: Scores = "quantile",
    n_scores: int = 5,
    edges: Mapping[str, Sequence[float]] | None = None,
    at: str | date | None = None,
) -> Rfm:
    """Which customers are champions, new, at risk or lost, by recency and frequency.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    scores : {"quantile", "fixed"}
        By rank among the customers of that day, or by edges that stay the same from
        day to day and from shop to shop.
    n_scores : int
        Number of scores, 2 to 10; `n_scores` is the best.
    edges : dict of str to sequence of float, optional
        For fixed scores: rising edges, one fewer than scores, of ``recency_days`` (an
        edge is the last day that has the better score), of ``n_purchases`` and of
        ``revenue`` (an edge is the first value that has the better score). By default
        30, 90, 180, 365 days and 2, 3, 4, 6 purchases, so 1, 2, 3, 4-5 and 6 or more
        purchases score 1 to 5; money without edges is scored by rank.
    at : str or date, optional
        The state at the close of this day, of purchases and refunds up to it; the last
        observed day by default.

    Returns
    -------
    Rfm

    Raises
    ------
    SettingError
        A setting is outside its range, edges are missing or not asked for, or `at` is
        not an observed day.

    Notes
    -----
    Recency is days since the last purchase, frequency the number of purchases, money
    the net revenue. By rank a score is 1 + floor(n_scores x share of customers who are
    strictly worse): equal values always have equal scores, whatever the order of
    rows. Where half of the customers bought once they all have frequency 1, and the
    next score is 3; a score that no value has stays empty.

    Segments are names for pairs of recency and frequency, every pair has exactly one:

        R 5   new              potential        potential        champions  champions
        R 4   promising        potential        potential        loyal      loyal
        R 3   about_to_sleep   about_to_sleep   needs_attention  loyal      loyal
        R 2   hibernating      hibernating      at_risk          at_risk    cannot_lose
        R 1   lost             lost             at_risk          at_risk    cannot_lose
              F 1              F 2              F 3              F 4        F 5

    With another number of scores, the nearest of five evenly spaced levels counts.
    The scores come from direct marketing [1]_; there is no one source of the names,
    which are those that most tools use.

    References
    ----------
    .. [1] A. M. Hughes, Strategic Database Marketing, 1994; P. S. Fader, B. G. S.
       Hardie, K. L. Lee, "RFM and CLV: using iso-value curves for customer base
       analysis", Journal of Marketing Research 42 (2005).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> found = sl.rfm(sl.read_events(shop.orders), scores="fixed")
    >>> found.table["segment"].head(3).tolist()
    ['champions', 'loyal', 'potential']
    """
    Events.check(events)
    how = scoring(scores, n_scores, edges)
    day = events.observed_day(events.end if at is None else at)
    kept = events.engine.keep(scored_people(events, day, how), "rfm")
    sums = _sums(kept)
    return Rfm(
        table=_segments(sums),
        grid=_grid(sums, how.n_scores),
        bounds=_bounds(kept),
        people=_people(kept, events),
        scores=scores,
        n_scores=how.n_scores,
        at=day,
    )


def scored_people(events: Events, at: date, how: Scoring) -> ir.Table:
    """Score everybody who had bought by the close of a day.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    at : date
        An observed day.
    how : Scoring
        How they get their scores.

    Returns
    -------
    ibis table
        person_no, recency_days, n_purchases, revenue, r_score, f_score, m_score,
        segment.
    """
    rows = buyers_as_of(events, at)
    rows = rows.mutate(recency_days=(day_of(at) - rows.last_day).cast("int32"))
    return with_scores(rows.drop("last_day"), how)


def _people(kept: ir.Table, events: Events) -> ir.Table:
    """Name the people who were scored."""
    ids = events.core.select("person_no", "person_id")
    rows = kept.join(ids, "person_no")
    rows = rows.mutate(mean_value=rows.revenue.cast("float64") / rows.n_purchases)
    return rows.select(*schema.names("rfm_people"))


def _sums(kept: ir.Table) -> pd.DataFrame:
    """Add up customers by their pair of scores."""
    grouped = kept.group_by("r_score", "f_score", "segment").aggregate(
        n_people=kept.count(),
        revenue=kept.revenue.sum(),
        recency_days=kept.recency_days.sum(),
        n_purchases=kept.n_purchases.sum(),
    )
    frame: pd.DataFrame = grouped.to_pandas()
    return frame.astype({
        "revenue": "float64", "recency_days": "int64", "n_purchases": "int64",
    })  # fmt: skip


def _segments(sums: pd.DataFrame) -> pd.DataFrame:
    """Write one row per segment, also of those that are empty."""
    columns = ["n_people", "revenue", "recency_days", "n_purchases"]
    table = sums.groupby("segment")[columns].sum().reindex(list(SEGMENTS), fill_value=0)
    n = table["n_people"].where(table["n_people"] > 0)
    table["mean_recency_days"] = table["recency_days"] / n
    table["mean_purchases"] = table["n_purchases"] / n
    table["mean_revenue"] = table["revenue"] / n
    return _with_shares(table.reset_index())[schema.names("rfm")]


def _grid(sums: pd.DataFrame, n_scores: int) -> pd.DataFrame:
    """Write one row per pair of scores, also of those that nobody has."""
    span = range(1, n_scores + 1)
    pairs = [(r, f) for r in reversed(span) for f in span]
    keyed = sums.astype({"r_score": "int64", "f_score": "int64"})
    keyed = keyed.set_index(["r_score", "f_score"])[["n_people", "revenue"]]
    index = pd.MultiIndex.from_tuples(pairs, names=["r_score", "f_score"])
    table = keyed.reindex(index, fill_value=0).reset_index()
    table["segment"] = [segment_of(r, f, n_scores=n_scores) for r, f in pairs]
    return _with_shares(table)[schema.names("rfm_grid")]


def _with_shares(table: pd.DataFrame) -> pd.DataFrame:
    """Add shares of people and of revenue; missing where they are no shares."""
    table = table.astype({"n_people": "int64", "revenue": "float64"})
    n = int(table["n_people"].sum())
    table["share_people"] = table["n_people"] / n if n else np.nan
    table["share_of_revenue"] = shares_of(table["revenue"].to_numpy())
    return table


def shares_of(revenue: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return shares of a total; NaN where money was given back, or there is none.

    Parameters
    ----------
    revenue : ndarray of float64
        Parts of the total.

    Returns
    -------
    ndarray of float64

    Examples
    --------
    >>> shares_of(np.array([3.0, 1.0])).tolist()
    [0.75, 0.25]
    """
    total = revenue.sum()
    if not total > 0:
        return np.full(revenue.shape, np.nan)
    share = revenue / total
    return np.where((share >= 0) & (share <= 1), share, np.nan)


def _bounds(kept: ir.Table) -> pd.DataFrame:
    """Write which values have which score, of scores that somebody has."""
    parts: list[pd.DataFrame] = []
    for score, column in _SCORED.items():
        grouped = kept.group_by(score=kept[score]).aggregate(
            n_people=kept.count(),
            low=kept[column].min().cast("float64"),
            high=kept[column].max().cast("float64"),
        )
        found: pd.DataFrame = grouped.to_pandas()
        found.insert(0, "measure", column)
        parts.append(found.sort_values("score", ascending=False))
    table = pd.concat(parts, ignore_index=True)
    counts = {"score": "int64", "n_people": "int64"}
    return table.astype(counts)[schema.names("rfm_bounds")]
