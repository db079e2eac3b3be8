"""What goes together along a referral: tenure, staying, refunds and lapses."""

import math
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd

from selfloop.core import schema
from selfloop.inputs.baskets import day_number, soon
from selfloop.inputs.events import Events
from selfloop.kernels.intervals import wilson
from selfloop.kernels.link_hazards import (
    Links,
    Spells,
    count_at_risk,
    hazard_ratio,
)
from selfloop.kernels.link_tests import exchange_p_value, linked_difference
from selfloop.kernels.stratified import UNKNOWN, Estimate, RatioCells, holm, ratio_of
from selfloop.measures.periods import period_number
from selfloop.measures.referral.network import in_network

TENURES = (
    (-math.inf, "before own purchase"),
    (0, "0-29 days"),
    (30, "30-89 days"),
    (90, "90-179 days"),
    (180, "180-364 days"),
    (365, "365 days or more"),
)
"""First day of each band of tenure, and its name."""

BAND_DAYS = 30
"""Width of the bands of age in which lapses are shown."""


class Staying(NamedTuple):
    """Lapses of referees by state of the referrer, and what they say together."""

    table: pd.DataFrame
    n_links: int
    ratio: Estimate
    reason: str


def buyers_within(events: Events, window_days: int) -> ir.Table:
    """Sum what each buyer did in the days after the first purchase.

    Parameters
    ----------
    events : Events
        With referrals.
    window_days : int
        W: from the day of the first purchase to W days after, inclusive.

    Returns
    -------
    ibis table
        person_no, referrer_no, first_day, month, is_referred, orders, value, refunds,
        gross, again (0 or 1), referrals, of the buyers observed for W days.
    """
    core = events.core
    buyers = core.filter(core.first_day <= events.end_day - window_days)
    rows = soon(events.baskets, buyers, window_days)
    done = rows.group_by("person_no").aggregate(
        orders=rows.is_purchase.sum().cast("float64"),
        value=rows.net.sum().cast("float64"),
        refunds=rows.refunds.sum().cast("float64"),
    )
    owners = buyers.select(referrer_no="person_no", own_day="first_day")
    referees = core.filter(core.first_day.notnull())
    made = referees.select("referrer_no", "first_day").join(owners, "referrer_no")
    wait = made.first_day - made.own_day
    made = made.filter((wait >= 0) & (wait <= window_days))
    brought = made.group_by(person_no="referrer_no").aggregate(referrals=made.count())
    people = buyers.select(
        "person_no",
        "referrer_no",
        "first_day",
        month=period_number(buyers.first_at, "month"),
        is_referred=buyers.source == "referral",
        again=(buyers.second_day - buyers.first_day <= window_days)
        .fill_null(ibis.literal(value=False))
        .cast("int32")
        .cast("float64"),
    )
    people = people.join(done, "person_no")
    people = people.left_join(brought, "person_no").drop("person_no_right")
    return people.mutate(
        gross=people.value + people.refunds,
        referrals=people.referrals.fill_null(0).cast("float64"),
    )


def by_tenure(events: Events, buyers: ir.Table, min_at_risk: int) -> pd.DataFrame:
    """Describe referees by how long the referrer had been a customer at the time.

    Parameters
    ----------
    events : Events
        With referrals.
    buyers : ibis table
        Result of `buyers_within`.
    min_at_risk : int
        Fewer referees than this: the line is missing.

    Returns
    -------
    DataFrame
        Columns of `schema.REFERRER_TENURE`, one row per band of `TENURES`.
    """
    links, owners = events.links, events.core
    assert links is not None
    owners = owners.select(referrer_no="person_no", own_day="first_day")
    rows = buyers.join(
        links.select("referrer_no", "referred_at", person_no="referee_no"),
        ["person_no", "referrer_no"],
    ).left_join(owners, "referrer_no")
    tenure = day_number(rows.referred_at) - rows.own_day
    # A referrer who never bought has no tenure: the first band.
    passed = [(tenure >= start).cast("int32") for start, _ in TENURES[1:]]
    band = sum(passed).fill_null(0)
    teams = rows.group_by("referrer_no", band=band).aggregate(
        n=rows.count().cast("float64"), value=rows.value.sum(), again=rows.again.sum()
    )
    sums = (
        teams.group_by("band")
        .aggregate(
            n_referrers=teams.count(),
            n_referees=teams.n.sum(),
            again=teams.again.sum(),
            mean=teams.value.mean(),
            variance=teams.value.var(how="sample"),
            base=teams.n.mean(),
            base_variance=teams.n.var(how="sample"),
            covariance=teams.value.cov(teams.n, how="sample"),
        )
        .to_pandas()
        .set_index("band")
        .reindex(range(len(TENURES)))
    )
    lines = [
        _tenure_line(name, sums.iloc[[i]], min_at_risk)
        for i, (_, name) in enumerate(TENURES)
    ]
    return pd.DataFrame(lines, columns=schema.names("referrer_tenure"))


def _tenure_line(name: str, sums: pd.DataFrame, min_at_risk: int) -> dict[str, object]:
    """Write the line of one band of tenure."""
    counts = sums[["n_referrers", "n_referees", "again"]].fillna(0).iloc[0]
    n, n_again = int(counts["n_referees"]), int(counts["again"])
    line: dict[str, object] = {
        "tenure": name,
        "n_referrers": int(counts["n_referrers"]),
        "n_referees": n,
    }
    if n < min_at_risk:
        return line | {"reason": f"{n} referees, need {min_at_risk}"}
    columns = ["mean", "variance", "base", "base_variance", "covariance"]
    cells = [sums[c].to_numpy(np.float64) for c in ["n_referrers", *columns]]
    found = ratio_of(RatioCells(*cells))
    low, high = wilson(n_again, n)
    return line | {
        "value": found.value,
        "value_low": found.low,
        "value_high": found.high,
        "share_repurchase": n_again / n,
        "share_repurchase_low": float(low),
        "share_repurchase_high": float(high),
        "reason": "" if np.isfinite(found.low) else "no interval: all alike",
    }


def clustering(buyers: ir.Table, min_at_risk: int) -> pd.DataFrame:
    """Say whether refunds and lapses of both ends of a referral go together.

    Parameters
    ----------
    buyers : ibis table
        Result of `buyers_within`.
    min_at_risk : int
        Fewer links with or without than this: the line is missing.

    Returns
    -------
    DataFrame
        Columns of `schema.LINK_CLUSTERING`.
    """
    outcomes = {"refund": buyers.refunds > 0, "lapse": buyers.again == 0}
    marked = buyers.mutate(**outcomes)
    owners = marked.select(
        referrer_no="person_no", refund_owner="refund", lapse_owner="lapse"
    )
    rows = marked.join(owners, "referrer_no").select(
        "month", "referrer_no", *outcomes, *(f"{name}_owner" for name in outcomes)
    )
    frame = rows.to_pandas()
    stratum = pd.factorize(frame["month"], sort=True)[0].astype(np.int64)
    cluster = pd.factorize(frame["referrer_no"], sort=True)[0].astype(np.int64)
    lines = [
        {"outcome": name}
        | _clustering_line(
            frame[name].to_numpy(bool),
            frame[f"{name}_owner"].to_numpy(bool),
            stratum=stratum,
            cluster=cluster,
            min_at_risk=min_at_risk,
        )
        for name in outcomes
    ]
    table = pd.DataFrame(lines, columns=schema.names("link_clustering"))
    return table.assign(p_adjusted=holm(table["p_value"].to_numpy(np.float64)))


def _clustering_line(
    mine: npt.NDArray[np.bool_],
    owners: npt.NDArray[np.bool_],
    *,
    stratum: npt.NDArray[np.int64],
    cluster: npt.NDArray[np.int64],
    min_at_risk: int,
) -> dict[str, object]:
    """Write the line of one outcome."""
    n = np.bincount(stratum)
    n_with = np.bincount(stratum, weights=owners).astype(np.int64)
    used = (n_with > 0) & (n_with < n)
    line: dict[str, object] = {
        "n_links": mine.size,
        "n_referrers": np.unique(cluster).size,
        "n_with": int(owners.sum()),
        "n_without": int((~owners).sum()),
        "share_with": _mean(mine[owners], min_at_risk),
        "share_without": _mean(mine[~owners], min_at_risk),
        "n_strata": int(used.sum()),
    }
    fewest = min(int(n_with[used].sum()), int((n - n_with)[used].sum()))
    if fewest < min_at_risk:
        reason = f"{fewest} links of one kind, need {min_at_risk}"
        return line | {"p_value": np.nan, "reason": reason}
    found = linked_difference(
        mine, referrer_has_it=owners, stratum=stratum, cluster=cluster
    )
    p_value = exchange_p_value(
        n,
        n_exposed=n_with,
        n_cases=np.bincount(stratum, weights=mine).astype(np.int64),
        n_both=np.bincount(stratum, weights=mine & owners).astype(np.int64),
    )
    return line | {
        "difference": found.value,
        "difference_low": found.low,
        "difference_high": found.high,
        "p_value": p_value,
        "reason": "" if np.isfinite(found.low) else "no interval: all alike",
    }


def _mean(values: npt.NDArray[np.bool_], min_at_risk: int) -> float:
    """Return a share, or NaN of too few."""
    return float(values.mean()) if values.size >= max(min_at_risk, 1) else np.nan


def staying(events: Events, lapse_days: int, min_at_risk: int) -> Staying:
    """Follow referees while their referrer is active, and after.

    Parameters
    ----------
    events : Events
        With referrals.
    lapse_days : int
        G: a person lapses G days after a purchase that none follows within G days.
    min_at_risk : int
        Fewer referees than this in a state: the ratio is missing.

    Returns
    -------
    Staying
    """
    spells = events.engine.keep(_spells(events, lapse_days), "spells")
    links, active = _histories(events, spells)
    events.engine.drop(spells)
    counts = count_at_risk(links, active)
    in_active, in_after = _n_referees(links, active)
    ratio, reason = UNKNOWN, ""
    if min(in_active, in_after) < min_at_risk:
        reason = (
            f"{in_active} referees seen while the referrer was active and {in_after} "
            f"after, need {min_at_risk}"
        )
    else:
        ratio = hazard_ratio(links, active)
        if np.isnan(ratio.value):
            reason = "no lapses in one of the states"
        elif np.isnan(ratio.low):
            reason = "no interval: all alike"
    sums = [count.sum(axis=0) for count in counts]
    lines = []
    for start in range(lapse_days, sums[0].size, BAND_DAYS):
        band = slice(start, start + BAND_DAYS)
        hits, days, hits_after, days_after = (round(c[band].sum()) for c in sums)
        lines.append((
            start, start + BAND_DAYS - 1,
            hits, days, BAND_DAYS * hits / days if days else np.nan,
            hits_after, days_after,
            BAND_DAYS * hits_after / days_after if days_after else np.nan,
        ))  # fmt: skip
    table = pd.DataFrame(lines, columns=schema.names("referrer_active"))
    return Staying(table, links.stratum.size, ratio, reason)


def _spells(events: Events, lapse_days: int) -> ir.Table:
    """Join the purchases of a person that follow within G days of each other.

    Of people in the network only: nobody else is brought by anybody or brings any.
    """
    core = events.core
    people = core.filter(in_network(core) & core.first_day.notnull())
    rows = events.baskets.filter(events.baskets.is_purchase)
    days = rows.select("person_no", "day").semi_join(people, "person_no")
    if events.rules.purchase == "order":  # else there is one row per customer-day
        days = days.distinct()
    order = ibis.window(group_by="person_no", order_by="day")
    days = days.mutate(gap=days.day - days.day.lag().over(order))
    begins = (days.gap.isnull() | (days.gap > lapse_days)).cast("int32")
    so_far = ibis.cumulative_window(group_by="person_no", order_by="day")
    days = days.mutate(spell=begins.sum().over(so_far))
    spells = days.group_by("person_no", "spell").aggregate(
        from_day=days.day.min(), lapse_day=days.day.max() + lapse_days
    )
    return spells


def _histories(events: Events, spells: ir.Table) -> tuple[Links, Spells]:
    """Bring one row per link out of the engine, and the spells of its referrer."""
    core = events.core
    own = core.select(referrer_no="person_no", own_day="first_day")
    first = spells.filter(spells.spell == 1).select("person_no", "lapse_day")
    rows = core.filter(core.first_day.notnull()).join(own, "referrer_no")
    rows = rows.filter(rows.own_day <= rows.first_day).join(first, "person_no")
    links = events.engine.keep(
        rows.select(
            "person_no",
            "referrer_no",
            "first_day",
            month=period_number(rows.first_at, "month"),
            exit_age=ibis.least(rows.lapse_day, events.end_day) - rows.first_day,
            has_event=rows.lapse_day <= events.end_day,
        ),
        "lapses",
    )
    theirs = spells.select("from_day", "lapse_day", referrer_no="person_no")
    active = links.join(theirs, "referrer_no")
    # Whether somebody is active on a day is known before it begins.
    start = ibis.greatest(active.from_day + 1 - active.first_day, 1)
    stop = ibis.least(active.lapse_day - active.first_day, active.exit_age)
    active = active.filter(start <= stop).select(
        "person_no", from_age=start, to_age=stop
    )
    found = links.order_by("person_no").to_pandas()
    shared = active.order_by("person_no", "from_age").to_pandas()
    events.engine.drop(links)
    position = np.searchsorted(found["person_no"], shared["person_no"])
    return (
        Links(
            pd.factorize(found["month"], sort=True)[0].astype(np.int64),
            pd.factorize(found["referrer_no"], sort=True)[0].astype(np.int64),
            found["exit_age"].to_numpy(np.int64),
            found["has_event"].to_numpy(bool),
        ),
        Spells(
            position.astype(np.int64),
            shared["from_age"].to_numpy(np.int64),
            shared["to_age"].to_numpy(np.int64),
        ),
    )


def _n_referees(links: Links, spells: Spells) -> tuple[int, int]:
    """Count referees with a day at risk in either state."""
    length = spells.to_age - spells.from_age + 1
    active = np.bincount(spells.link, weights=length, minlength=links.stratum.size)
    return int((active > 0).sum()), int((active < links.exit_age).sum())
