"""Whether a few people bring most of the revenue, the purchases, the referrals."""

from dataclasses import dataclass, field
from datetime import date
from typing import Literal, get_args

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.settings import MIN_AT_RISK, check_choice
from selfloop.inputs.events import Events
from selfloop.kernels.concentration import Estimate, gini, lorenz, top_share

Of = Literal["revenue", "purchases", "referrals"]

TOPS_PERCENT = (1, 10, 20)
"""The tops whose share is told, in percent of the people."""

MIN_FOR_GINI = 200
"""Fewer people than this: the Gini coefficient has no interval, with the reason."""

MAX_POINTS = 200
"""A curve has about as many points at most."""


@dataclass(frozen=True, eq=False)
class Concentration:
    """How unevenly something is spread over people, made by `concentration`.

    Parameters
    ----------
    shares : DataFrame
        Columns of `schema.CONCENTRATION`, one row per group.
    curve : DataFrame
        Columns of `schema.LORENZ`: the Lorenz curve of each group that has shares.
    of : str
        What is spread.
    end : date
        Last observed day.
    """

    shares: pd.DataFrame = field(repr=False)
    curve: pd.DataFrame = field(repr=False)
    of: Of
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the shares, columns of `schema.CONCENTRATION`."""
        return self.shares.copy()

    def __repr__(self) -> str:
        """Show the shares as text."""
        return show_text("Concentration", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the shares in a notebook."""
        return show_html("Concentration", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what the tables are about."""
        return [("of", self.of), ("observed to", self.end)]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [("", self.shares, "concentration")]


def concentration(events: Events, of: Of = "revenue") -> Concentration:
    """Whether a few people bring most of it, or many bring a little each.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    of : {"revenue", "purchases", "referrals"}, optional
        What is spread over people: net revenue, purchases, or how many they referred
        who bought (`n_referred`).

    Returns
    -------
    Concentration

    Raises
    ------
    MissingTableError
        Referrals are asked for and there is no table of them.
    SettingError
        When `of` is none of these.

    Notes
    -----
    Two groups, because one question has two answers. ``buyers`` are all who bought.
    Beside them, of revenue and purchases, ``repeat_buyers``, who bought at least
    twice; of referrals ``referrers``, who brought at least one buyer, bought or not.
    The first says how much hangs on few people, the second whether these few are
    equals. Buyers who got more back than they paid are left out of revenue, and
    counted in `reason`.

    With L(p) the share of the total of the fraction p of the people who brought
    least, ``share_top_10`` is 1 - L(0.9) and ``gini`` twice the area between L and
    the diagonal. People at the border of a top count in part, so ties have no order.

    Intervals come from influence functions, on the logit scale [1]_, and are told
    where simulations found that 95 % of them cover 92 to 98 %: for the Gini
    coefficient from 200 people on, for a top with 30 people or more. A top share is
    missing when the top is less than one person. If the tail is so heavy that a
    single person can outweigh all others, as with one very large account, the
    intervals are too short and the estimates too low, however many people there are.

    All is of the time observed so far: who came last month had less of it than who
    came last year. Part of the concentration is that, and part is chance: if all
    people bring 0.1 on average, all alike, the Gini coefficient is still 0.9.

    References
    ----------
    .. [1] M. Langel, Y. Tille, "Variance estimation of the Gini index: revisiting a
       result several times published", Journal of the Royal Statistical Society A
       176 (2013); C. Beach, R. Davidson, "Distribution-free statistical inference
       with Lorenz curves and income shares", Review of Economic Studies 50 (1983).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals)
    >>> shares = sl.concentration(events).shares.set_index("group")
    >>> bool(shares["gini"]["buyers"] > shares["gini"]["repeat_buyers"])
    True
    """
    Events.check(events)
    check_choice("of", of, get_args(Of))
    if of == "referrals":
        events.need("referrals", "concentration of referrals")
    counts = _histogram(events, of)
    second = "referrers" if of == "referrals" else "repeat_buyers"
    lines, corners = [], []
    for group, rows in (
        ("buyers", counts[counts["is_buyer"]]),
        (second, counts[counts["is_second"]]),
    ):
        owing = rows["value"] < 0
        n_people = rows[~owing].groupby("value")["n_people"].sum()
        value = n_people.index.to_numpy(dtype=np.float64)
        people = n_people.to_numpy(dtype=np.float64)
        line = _line(group, of, value, people)
        n_owing = int(rows.loc[owing, "n_people"].sum())
        if n_owing:
            out = f"left out: {n_owing} with negative revenue"
            line["reason"] = "; ".join(filter(None, [str(line["reason"]), out]))
        lines.append(line)
        if line["gini"] == line["gini"]:
            corners.append(_curve(group, value, people))
    empty = pd.DataFrame({"group": [], "share_people": [], "share_of_total": []})
    return Concentration(
        shares=pd.DataFrame(lines, columns=schema.names("concentration")),
        curve=pd.concat(corners, ignore_index=True) if corners else empty,
        of=of,
        end=events.end,
    )


def _histogram(events: Events, of: Of) -> pd.DataFrame:
    """Count people by what they brought, and by the groups they are in."""
    core = events.core
    is_buyer = core.n_purchases > 0
    is_second = core.n_referred > 0 if of == "referrals" else core.n_purchases > 1
    value = {
        "revenue": core.revenue,
        "purchases": core.n_purchases,
        "referrals": core.n_referred,
    }[of]
    rows = core.select(
        is_buyer=is_buyer, is_second=is_second, value=value.cast("float64")
    ).filter(is_buyer | is_second)
    counted = rows.group_by("is_buyer", "is_second", "value")
    frame: pd.DataFrame = counted.aggregate(n_people=rows.count()).to_pandas()
    return frame.sort_values(["value", "is_buyer", "is_second"], ignore_index=True)


def _line(
    group: str, of: Of, value: np.ndarray, people: np.ndarray
) -> dict[str, str | int | float]:
    """Write the row of one group; what is not known is missing, with the reason."""
    n_people, total = int(people.sum()), float(value @ people)
    line: dict[str, str | int | float] = {
        "group": group,
        "n_people": n_people,
        "total": total,
        **dict.fromkeys(schema.names("concentration")[3:-1], np.nan),
        "reason": "",
    }
    if n_people < MIN_AT_RISK:
        return line | {"reason": f"{n_people} people, fewer than {MIN_AT_RISK}"}
    if not total:
        nothing = "nobody brought a buyer" if of == "referrals" else "no revenue"
        return line | {"reason": nothing}
    found = gini(value, people)
    reasons = []
    if n_people < MIN_FOR_GINI:
        reasons.append(f"gini: no interval under {MIN_FOR_GINI} people")
    line |= _columns("gini", found, known=n_people >= MIN_FOR_GINI)
    for percent in TOPS_PERCENT:
        name, n_top = f"share_top_{percent}", n_people * percent / 100
        if n_top < 1:
            reasons.append(f"{name}: less than one person")
            continue
        if n_top < MIN_AT_RISK:
            reasons.append(f"{name}: no interval under {MIN_AT_RISK} people")
        top = top_share(value, people, share=percent / 100)
        line |= _columns(name, top, known=n_top >= MIN_AT_RISK)
    if found.value == 0:
        reasons = ["no intervals: all brought the same"]
    return line | {"reason": "; ".join(reasons)}


def _columns(name: str, found: Estimate, *, known: bool) -> dict[str, float]:
    """Name a number and, where it can be trusted, its interval."""
    ends = (found.low, found.high) if known else (np.nan, np.nan)
    return {name: found.value, f"{name}_low": ends[0], f"{name}_high": ends[1]}


def _curve(group: str, value: np.ndarray, people: np.ndarray) -> pd.DataFrame:
    """Return the corners of a Lorenz curve, thinned along it when they are many."""
    share_people, share_of_total = lorenz(value, people)
    length = share_people + share_of_total
    near = np.searchsorted(length, np.linspace(0, length[-1], MAX_POINTS))
    kept = np.unique(np.minimum(near, length.size - 1))
    if length.size <= MAX_POINTS:
        kept = np.arange(length.size)
    return pd.DataFrame({
        "group": group,
        "share_people": share_people[kept],
        "share_of_total": share_of_total[kept],
    })  # fmt: skip
