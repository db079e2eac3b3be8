"""Rules that flag a share too high for chance: minimum orders and refunds of referees.

Each asks of every referrer: had the people whom referrals brought been dealt out
blindly, how often would this referrer get so many of the odd ones?
"""

from collections.abc import Sequence
from decimal import Decimal
from math import ceil
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from selfloop.core.display import format_value
from selfloop.core.settings import MIN_AT_RISK
from selfloop.inputs.events import Events
from selfloop.kernels.link_tests import upper_tail
from selfloop.kernels.stratified import holm
from selfloop.measures.referral.anomaly_rules import Found, Limits, as_pairs

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_SAME = 1e-9


class _Tested(NamedTuple):
    """The referees that one rule counts.

    Parameters
    ----------
    rule : str
        Its name.
    what : str
        Who counts as odd, in words.
    among : str
        Whom the rule looks at, in words.
    rows : ibis table
        referrer_no, referee_no, is_odd; one row per referee and referrer.
    by_referrer : DataFrame
        person_no, n_tested, n_observed.
    n_tested, n_odd : int
        The same of the whole shop.
    """

    rule: str
    what: str
    among: str
    rows: ir.Table
    by_referrer: pd.DataFrame
    n_tested: int
    n_odd: int


def first_values(events: Events) -> ir.Table:
    """Express the value of everybody's first purchase.

    Parameters
    ----------
    events : Events
        With orders.

    Returns
    -------
    ibis table
        person_no, first_value, of all buyers.
    """
    core = events.core
    firsts = core.filter(core.first_at.notnull()).select("person_no", at="first_at")
    rows = events.baskets.filter(events.baskets.is_purchase)
    rows = rows.select("person_no", "at", "net").inner_join(firsts, ["person_no", "at"])
    return rows.group_by("person_no").aggregate(first_value=rows.net.min())


def find_shares(events: Events, firsts: ir.Table, limits: Limits) -> list[Found]:
    """Find referrers whose referees are odd too often for chance.

    Parameters
    ----------
    events : Events
        With referrals.
    firsts : ibis table
        From `first_values`.
    limits : Limits
        Who is tested, and at which level.

    Returns
    -------
    list of Found
        one_minimum_order, refund_share.

    Notes
    -----
    Both rules are one family: of the p-values of all their tests together Holm's
    are taken, so that a clean shop has any flag at all with a probability of at
    most the level.
    """
    rows = events.engine.keep(_links(events, firsts), "referee_orders")
    tested = [
        _minimum_orders(rows, firsts, events, limits),
        _refunds(rows, events, limits),
    ]
    reasons = [_reason(t, limits) for t in tested]
    usable = [t for t, why in zip(tested, reasons, strict=True) if not why]
    p_values = [_p_values(t) for t in usable]
    adjusted = iter(as_one_family(p_values))
    given = iter(p_values)
    found = []
    for test, why in zip(tested, reasons, strict=True):
        if why:
            found.append(_not_applied(test, limits, why))
        else:
            p, p_adjusted = next(given), next(adjusted)
            found.append(_flagged(test, p, p_adjusted, events, limits))
    return found


def as_one_family(p_values: Sequence[FloatArray]) -> list[FloatArray]:
    """Adjust the p values of several rules for their number, as one family.

    Parameters
    ----------
    p_values : sequence of ndarray
        The p values of each rule.

    Returns
    -------
    list of ndarray
        Holm's, in the same order: what is at most the level is flagged.

    Examples
    --------
    >>> as_one_family([np.array([0.01, 0.04]), np.array([0.03])])
    [array([0.03, 0.06]), array([0.06])]
    """
    if not p_values:
        return []
    sizes = np.cumsum([p.size for p in p_values])
    return np.split(holm(np.concatenate(p_values)), sizes[:-1])


def _links(events: Events, firsts: ir.Table) -> ir.Table:
    """Join the referrals that count with what their referees have ordered."""
    assert events.links is not None
    links = events.links.select("referrer_no", "referee_no")
    referees = links.select(person_no="referee_no").distinct()
    orders = events.baskets.semi_join(referees, "person_no")
    seen = orders.group_by("person_no").aggregate(
        seen_day=orders.day.min(), refund_day=orders.day.min(where=orders.refunds > 0)
    )
    core = events.core.select("person_no", "n_purchases", "first_day")
    people = seen.left_join(firsts, "person_no").drop("person_no_right")
    rows = links.inner_join(people, links.referee_no == people.person_no)
    return rows.inner_join(core, "person_no").drop("person_no")


def _minimum_orders(
    rows: ir.Table, firsts: ir.Table, events: Events, limits: Limits
) -> _Tested:
    """Count referees with one purchase, of the smallest value, and nothing after."""
    n = int(firsts.count().to_pyarrow().as_py())
    # The smallest value with at least this share at or below it; some shop has it.
    place = max(0, ceil(limits.smallest_share * n - _SAME) - 1)
    found = firsts.order_by("first_value").limit(1, offset=place).to_pyarrow()
    smallest = found["first_value"][0].as_py() if n else Decimal(0)
    bought = rows.filter(rows.n_purchases > 0)
    bought = bought.filter(events.end_day - bought.first_day >= limits.window_days)
    is_odd = (bought.n_purchases == 1) & (bought.first_value <= smallest)
    share = format_value(limits.smallest_share, "share")
    return _tested(
        "one_minimum_order",
        f"made one purchase, of at most {format_value(smallest, 'money')} (the "
        f"{share} quantile of {n:,} first purchases), and none after",
        f"referees who first bought {limits.window_days} days or more before the end",
        bought.select("referrer_no", "referee_no", is_odd=is_odd),
        limits,
    )


def _refunds(rows: ir.Table, events: Events, limits: Limits) -> _Tested:
    """Count referees with a refund soon after the first order."""
    days = limits.window_days
    # Everybody is watched for the same time, so that old customers are no odder.
    old = rows.filter(events.end_day - rows.seen_day >= days)
    is_odd = (old.refund_day - old.seen_day <= days).fill_null(
        ibis.literal(value=False)
    )
    return _tested(
        "refund_share",
        f"have a refund within {days} days after their first order",
        f"referees who first ordered {days} days or more before the end",
        old.select("referrer_no", "referee_no", is_odd=is_odd),
        limits,
    )


def _tested(
    rule: str, what: str, among: str, rows: ir.Table, limits: Limits
) -> _Tested:
    """Count the tested and the odd, by referrer and in all."""
    total = rows.aggregate(n=rows.count(), n_odd=rows.is_odd.sum())
    line = total.to_pyarrow().to_pylist()[0]
    counted = rows.group_by(person_no=rows.referrer_no).aggregate(
        n_tested=rows.count(), n_observed=rows.is_odd.sum()
    )
    counted = counted.filter(counted.n_tested >= limits.min_referees)
    table = counted.order_by("person_no").to_pandas()
    return _Tested(rule, what, among, rows, table, line["n"], line["n_odd"] or 0)


def _reason(test: _Tested, limits: Limits) -> str:
    """Say why a rule cannot be applied; empty when it can."""
    if test.n_tested < MIN_AT_RISK:
        return f"{test.n_tested} referees to test, need {MIN_AT_RISK}"
    if test.by_referrer.empty:
        return f"nobody has {limits.min_referees:,} referees to test"
    if test.rule == "refund_share" and not test.n_odd:
        return "no refund among the referees to test"
    return ""


def _meaning(test: _Tested, limits: Limits) -> str:
    """Say what a rule flags, with its numbers."""
    level = format_value(limits.significance, "share")
    return (
        f"more referees than chance gives who {test.what}; among {test.among}, of "
        f"whom a referrer needs {limits.min_referees:,} to be tested; exact test "
        f"against all of them, Holm's adjustment, level {level}"
    )


def _p_values(test: _Tested) -> FloatArray:
    """Test every referrer with enough referees."""
    return upper_tail(
        test.by_referrer["n_observed"].to_numpy(np.int64),
        test.by_referrer["n_tested"].to_numpy(np.int64),
        all_odd=test.n_odd,
        n_all=test.n_tested,
    )


def _not_applied(test: _Tested, limits: Limits, reason: str) -> Found:
    """Return a rule without a finding, and why."""
    nobody = pd.DataFrame({"person_no": [], "n_observed": []}, dtype="int64")
    return Found(test.rule, _meaning(test, limits), nobody, None, reason)


def _flagged(
    test: _Tested,
    p_value: FloatArray,
    p_adjusted: FloatArray,
    events: Events,
    limits: Limits,
) -> Found:
    """Keep the referrers whose share is too high for chance, with their numbers."""
    share = test.n_odd / test.n_tested
    people = test.by_referrer.assign(p_value=p_value, p_adjusted=p_adjusted)
    is_high = people["p_adjusted"] <= limits.significance
    people = people[is_high & (people["n_observed"] > 0)].reset_index(drop=True)
    people["expected"] = people["n_tested"] * share
    shop = format_value(share, "share")
    people["detail"] = [
        f"{r.n_observed:,} of {r.n_tested:,}; {shop} in the shop"
        for r in people.itertuples()
    ]
    numbers = people["person_no"].to_numpy(np.int64)
    chosen = events.engine.upload(pa.table({"referrer_no": numbers}), "flagged")
    mine = test.rows.semi_join(chosen, "referrer_no")
    if test.rule == "refund_share" and len(people):
        people["detail"] += _refunded(test.rows, mine, people["person_no"], events)
    odd = mine.filter(mine.is_odd).select("referrer_no", "referee_no")
    return Found(test.rule, _meaning(test, limits), people, as_pairs(odd))


def _refunded(
    rows: ir.Table, mine: ir.Table, numbers: "pd.Series[int]", events: Events
) -> "pd.Series[str]":
    """Say which part of the gross sales of referees was paid back, here and in all."""
    core = events.core.select("person_no", "revenue", "refunds")

    def sums(links: ir.Table) -> dict[str, ir.Value]:
        return {
            "refunds": links.refunds.sum().cast("float64"),
            "gross": (links.revenue + links.refunds).sum().cast("float64"),
        }

    every = rows.inner_join(core, rows.referee_no == core.person_no)
    shop = every.aggregate(**sums(every)).to_pandas().iloc[0]
    own = mine.inner_join(core, mine.referee_no == core.person_no)
    money = own.group_by("referrer_no").aggregate(**sums(own)).to_pandas()
    money = money.set_index("referrer_no").reindex(numbers)
    in_all = format_value(shop["refunds"] / shop["gross"], "share")
    return pd.Series([
        f"; {format_value(m.refunds, 'money')} of {format_value(m.gross, 'money')} "
        f"paid back, {in_all} in the shop"
        for m in money.itertuples()
    ], index=numbers.index)  # fmt: skip
