"""Referrals worth a look: who is flagged by which rule, with numbers and rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.settings import check_choice
from selfloop.inputs.events import Events
from selfloop.measures.referral.anomaly_rings import find_rings
from selfloop.measures.referral.anomaly_rules import (
    Found,
    Limits,
    find_bursts,
    find_early,
    find_self_referrals,
    pairs_of,
    referral_rows,
)
from selfloop.measures.referral.anomaly_shares import find_shares, first_values

RULES = (
    "self_referral",
    "ring",
    "reciprocal",
    "burst",
    "one_minimum_order",
    "refund_share",
    "before_first_purchase",
)
"""Every rule, what is hardest to explain innocently first."""

N_EXAMPLES = 3
"""A flag shows this many of its referrals."""


@dataclass(frozen=True, eq=False)
class Anomalies:
    """Referrals worth a look, made by `referral_anomalies`. Nothing was removed.

    Parameters
    ----------
    rules : DataFrame
        Columns of `schema.ANOMALY_RULES`: every rule and what it found.
    flags : DataFrame
        Columns of `schema.ANOMALIES`: one row per flagged person and rule.
    rows : ibis table
        rule_no (place in `rules`), kind, referrer_id, referee_id, referred_at and
        numbers of both people: the flagged rows, which `links` brings out.
    n_rows : int
        Referral rows looked at.
    n_flagged : int
        People with a flag.
    end : date
        Last observed day.
    """

    rules: pd.DataFrame = field(repr=False)
    flags: pd.DataFrame = field(repr=False)
    rows: ir.Table = field(repr=False)
    n_rows: int
    n_flagged: int
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the flags, columns of `schema.ANOMALIES`."""
        return self.flags.copy()

    def links(self, rules: str | Sequence[str] | None = None) -> pd.DataFrame:
        """Return the flagged referral rows, to look at or to leave out.

        Parameters
        ----------
        rules : str or sequence of str, optional
            Names of rules; by default all.

        Returns
        -------
        DataFrame
            Columns of `schema.ANOMALY_LINKS`, by rule, referrer and time. A row that
            two rules flag is there twice.

        Raises
        ------
        SettingError
            There is no such rule.
        """
        wanted = RULES if rules is None else rules
        wanted = (wanted,) if isinstance(wanted, str) else tuple(wanted)
        for name in wanted:
            check_choice("rules", name, RULES)
        chosen = self.rows.filter(
            self.rows.rule_no.isin([RULES.index(name) for name in wanted])
        )
        frame: pd.DataFrame = chosen.order_by(
            "rule_no", "referrer_id", "referred_at", "referee_id"
        ).to_pandas()
        frame["rule"] = [RULES[i] for i in frame["rule_no"]]
        frame = frame.astype({"rule": "str"})
        return frame[schema.names("anomaly_links")]

    def __repr__(self) -> str:
        """Show rules and first flags as text."""
        return show_text("Referral anomalies", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show rules and first flags in a notebook."""
        return show_html("Referral anomalies", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List the headline, the verdict in words."""
        n_applied = int((self.rules["reason"] == "").sum())
        n_hit = int((self.rules["n_referrers"].fillna(0) > 0).sum())
        verdict = (
            f"people flagged: {self.n_flagged:,}, by {n_hit} of {n_applied} rules: "
            "worth a look, nothing was removed"
            if self.n_flagged
            else f"nothing looks wrong by the {n_applied} rules that could be applied"
        )
        return [
            ("observed to", self.end),
            ("referral rows looked at", self.n_rows),
            ("result", verdict),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show; flags only where there are any."""
        rules = self.rules[["rule", "n_referrers", "n_links", "revenue", "reason"]]
        tables = [("rules", rules, "anomaly_rules")]
        if len(self.flags):
            few = ["rule", "person_id", "n_links", "n_observed", "expected",
                   "p_adjusted", "revenue", "detail"]  # fmt: skip
            tables.append(("flags", self.flags[few].head(10), "anomalies"))
        return tables


def referral_anomalies(
    events: Events,
    *,
    burst_days: int = 1,
    min_burst: int = 10,
    min_referees: int = 5,
    window_days: int = 90,
    smallest_share: float = 0.05,
    significance: float = 0.05,
) -> Anomalies:
    """Flag referrals that look odd, with the rule, the numbers and the rows.

    Parameters
    ----------
    events : Events
        Result of `read_events`, with referrals.
    burst_days : int
        Window of a burst in days, at least 1.
    min_burst : int
        Referees of one referrer in that window from which it is a burst, at least 2.
    min_referees : int
        Referees that count and were observed long enough, from which a referrer is
        tested for minimum orders and refunds, at least 1.
    window_days : int
        For how many days a referee must have been observed to be tested, and within
        how many a refund counts; at least 1.
    smallest_share : float
        The smallest order is this quantile of the first purchases of all buyers;
        above 0, at most 1.
    significance : float
        Probability that a clean shop has any flag of the two rules that test, at
        most; 0 to 1.

    Returns
    -------
    Anomalies

    Raises
    ------
    MissingTableError
        There is no table of referrals.
    SettingError
        A setting is outside its range.

    Notes
    -----
    A flag is a reason to look, not a proof, and nothing is removed. The rules:

    - ``self_referral``: rows in which referrer and referee are the same.
    - ``ring``: three people or more who referred each other in a ring. Of two who
      referred each other the earlier link counts here; in each group of people who
      can reach each other everybody is followed up to the earliest referrer inside
      it, and the rings in which that ends are listed.
    - ``reciprocal``: two people who each referred the other.
    - ``burst``: `min_burst` different referees or more of one referrer within
      `burst_days` times 24 hours; the largest window, the earliest of equals.
    - ``one_minimum_order``: with v the `smallest_share` quantile of first purchases
      of all buyers (the least value with that share of them at or below it), the
      referees with one purchase, of at most v, among those who first bought
      `window_days` or more before the end.
    - ``refund_share``: the referees with a refund within `window_days` after their
      first order, among those who first ordered that long before the end.
    - ``before_first_purchase``: referrals on a day before the referrer first bought;
      kind ``bought_later`` or, where the data have no purchase, ``never_bought``.

    The first four and the last look at every readable row, also at those that do not
    count, because abuse is often what a rule of attribution sets aside. The two that
    test look at referrals that count. They ask of every referrer with `min_referees`
    such people: were they dealt out to referrers blindly, with what probability p
    would this one get so many? That is the upper tail of the hypergeometric
    distribution (Fisher's exact test), the binomial test with the share of the shop
    taken from the very people who are dealt out, hence exact in small shops too. All
    p of both rules are one family, adjusted by Holm's method [1]_: a flag points at a
    person, so a clean shop shall have none with probability 1 - `significance`;
    the method of Benjamini and Hochberg would let a share of the flags be wrong.
    People who are alike for other reasons, such as one town with a bad courier, can
    be flagged as well.

    References
    ----------
    .. [1] S. Holm, "A simple sequentially rejective multiple test procedure",
       Scandinavian Journal of Statistics 6 (1979).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> found = sl.referral_anomalies(sl.read_events(shop.orders, shop.referrals))
    >>> len(found.rules), len(found.links("self_referral"))
    (7, 0)
    """
    Events.check(events)
    events.need("referrals", "referral_anomalies")
    limits = Limits(
        burst_days, min_burst, min_referees, window_days, smallest_share, significance
    )
    rows = referral_rows(events)
    engine = events.engine
    pairs = engine.keep(pairs_of(rows), "referral_pairs")
    firsts = engine.keep(first_values(events), "first_values")
    every = [
        find_self_referrals(rows),
        *find_rings(pairs, events),
        find_bursts(pairs, limits),
        *find_shares(events, firsts, limits),
        find_early(pairs, events),
    ]
    by_name = {found.rule: found for found in every}
    ordered = [by_name[name] for name in RULES]
    flagged = engine.keep(_flagged_rows(rows, ordered), "flagged_rows")
    engine.drop(pairs)
    engine.drop(firsts)
    flags = _flags(flagged, ordered, events)
    return Anomalies(
        rules=_rules(flagged, flags, ordered, events),
        flags=flags,
        rows=flagged,
        n_rows=int(rows.count().to_pyarrow().as_py()),
        n_flagged=int(flags["person_id"].nunique()),
        end=events.end,
    )


def _flagged_rows(rows: ir.Table, every: list[Found]) -> ir.Table:
    """Join the flagged pairs of all rules back to their rows."""
    parts = [
        found.pairs.mutate(rule_no=ibis.literal(i, "int8"))
        for i, found in enumerate(every)
        if found.pairs is not None
    ]
    pairs = ibis.union(*parts)
    joined = rows.inner_join(pairs, ["referrer_no", "referee_no"])
    return joined.select(
        "rule_no", "kind", "referrer_id", "referee_id", "referred_at",
        "referrer_no", "referee_no",
    )  # fmt: skip


def _money(events: Events) -> ir.Table:
    """Express revenue and refunds of everybody as referees."""
    core = events.core
    return core.select(
        referee_no="person_no",
        revenue=core.revenue.cast("float64"),
        refunds=core.refunds.cast("float64"),
    )


def _flags(flagged: ir.Table, every: list[Found], events: Events) -> pd.DataFrame:
    """Write one line per flagged person and rule, in order of weight."""
    parts = [
        found.people.assign(rule_no=i, rule=found.rule) for i, found in enumerate(every)
    ]
    people = pd.concat([p for p in parts if len(p)] or parts[:1])
    keys = ["rule_no", "person_no"]
    counted = flagged.group_by("rule_no", person_no=flagged.referrer_no).aggregate(
        person_id=flagged.referrer_id.min(), n_links=flagged.count()
    )
    reached = flagged.select("rule_no", "referrer_no", "referee_no").distinct()
    reached = reached.inner_join(_money(events), "referee_no")
    money = reached.group_by("rule_no", person_no=reached.referrer_no).aggregate(
        revenue=reached.revenue.sum(), refunds=reached.refunds.sum()
    )
    table = people.merge(counted.to_pandas(), on=keys)
    table = table.merge(money.to_pandas(), on=keys, how="left")
    table = table.merge(_examples(flagged), on=keys, how="left")
    for name in ("kind", "detail"):
        table[name] = table[name].fillna("") if name in table else ""
    table = table.reindex(columns=[*keys, "place", *schema.names("anomalies")])
    table = table.sort_values(
        ["rule_no", "p_value", "place", "n_observed", "person_id"],
        ascending=[True, True, True, False, True],
        ignore_index=True,
    )
    kinds = {"int": "Int64", "float": "float64", "money": "float64", "text": "str"}
    return table[schema.names("anomalies")].astype(
        {column.name: kinds[column.kind] for column in schema.TABLES["anomalies"]}
    )


def _examples(flagged: ir.Table) -> pd.DataFrame:
    """Write the first referrals of each flag."""
    pairs = flagged.group_by("rule_no", "referrer_no", "referee_id").aggregate(
        at=flagged.referred_at.min()
    )
    place = ibis.row_number().over(
        group_by=[pairs.rule_no, pairs.referrer_no],
        order_by=[pairs.at, pairs.referee_id],
    )
    few = pairs.mutate(place=place).filter(lambda t: t.place < N_EXAMPLES)
    text = few.referee_id + " on " + few.at.strftime("%Y-%m-%d")
    # In the order of places by pandas: not every engine joins text in an order.
    rows = few.select("rule_no", "place", person_no="referrer_no", text=text)
    shown = rows.to_pandas().sort_values("place").groupby(["rule_no", "person_no"])
    frame: pd.DataFrame = shown["text"].agg(" · ".join).rename("examples").reset_index()
    return frame


def _rules(
    flagged: ir.Table, flags: pd.DataFrame, every: list[Found], events: Events
) -> pd.DataFrame:
    """Write one line per rule."""
    reached = flagged.select("rule_no", "referee_no").distinct()
    reached = reached.inner_join(_money(events), "referee_no")
    money = reached.group_by("rule_no").aggregate(revenue=reached.revenue.sum())
    revenue = money.to_pandas().set_index("rule_no")["revenue"]
    grouped = flags.groupby("rule")
    n_referrers, n_links = grouped.size(), grouped["n_links"].sum()
    lines = []
    for i, found in enumerate(every):
        line: dict[str, object] = {
            "rule": found.rule,
            "meaning": found.meaning,
            "reason": found.reason,
        }
        if not found.reason:
            line |= {
                "n_referrers": n_referrers.get(found.rule, 0),
                "n_links": n_links.get(found.rule, 0),
                "revenue": revenue.get(i, 0.0),
            }
        lines.append(line)
    table = pd.DataFrame(lines, columns=schema.names("anomaly_rules"))
    return table.astype({"n_referrers": "Int64", "n_links": "Int64"})
