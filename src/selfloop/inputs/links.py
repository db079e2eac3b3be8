"""Which referral counts: from rows to the referral forest, every row accounted for."""

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from selfloop.core.settings import Rules
from selfloop.inputs.baskets import day_number
from selfloop.inputs.dialect import lowered, person_key
from selfloop.inputs.engine import Engine
from selfloop.kernels.forest import break_rings, climb, generations
from selfloop.kernels.network import break_cycles

SHARED = ("linear", "time_decay", "position")
"""Rules under which all referrers of a person count, by weight."""

ENDS_WEIGHT = 0.4
"""Weight of the first and of the last referrer by ``position``."""


@dataclass(frozen=True)
class Links:
    """The referrals that count, and what became of the others.

    Parameters
    ----------
    table : ibis table
        referrer_no, referee_no, referred_at, weight (1 per referee in all).
    forest : ibis table
        person_no, referrer_no, generation, root_no of everybody in the network.
    reach : ibis table
        person_no, seen_at: first time seen in any readable referral.
    outcomes : dict of str to int
        Rows by audit code; the empty code is the rows that count.
    examples : dict of str to tuple of str
        First rows of each code.
    n_links : int
        Referrals that count.
    """

    table: ir.Table
    forest: ir.Table
    reach: ir.Table
    outcomes: dict[str, int]
    examples: dict[str, tuple[str, ...]]
    n_links: int


def resolve(
    referrals: ir.Table,
    stats: ir.Table,
    *,
    rules: Rules,
    engine: Engine,
    alone: ir.Table | None = None,
    excluded: ir.Table | None = None,
) -> Links:
    """Apply the rules of `Rules.attribution` to readable referral rows.

    Parameters
    ----------
    referrals : ibis table
        Used rows: referrer_id, referee_id, referred_at.
    stats : ibis table
        person_no, first_day: first purchases.
    rules : Rules
        Attribution and its window.
    engine : Engine
        Where intermediate tables are kept.
    alone : ibis table, optional
        Rows that name a person (referee_id, referred_at) whom nobody referred.
    excluded : ibis table, optional
        referrer_id, referee_id of referrals that the user leaves out.

    Returns
    -------
    Links

    Notes
    -----
    In this order: a pair that occurs twice counts at its earliest row; a pair that the
    user leaves out does not count; a referral on
    a day after the first purchase finds somebody who was already a customer; one
    more than the window before it does not explain the purchase; a code used at the
    order beats what is no code; of several referrers the first or last counts, or all
    by weight; a ring loses its latest link.
    """
    pairs = engine.keep(_coded(referrals, stats, rules, excluded), "pairs")
    rows = pairs.group_by("code").aggregate(n=pairs.count(), n_rows=pairs.n_rows.sum())
    counted = rows.to_pandas().set_index("code")
    outcomes = {str(code): int(row["n"]) for code, row in counted.iterrows()}
    outcomes["SL203"] = int(counted["n_rows"].sum() - counted["n"].sum())
    examples = {code: _examples(pairs, pairs.code == code) for code in outcomes}
    examples["SL203"] = _examples(pairs, pairs.n_rows > 1)
    edges, keep = _edges(pairs, rules)
    if not keep.all():
        cut = edges[~keep]
        outcomes["SL207"] = len(cut)
        outcomes[""] = outcomes.get("", 0) - len(cut)
        chosen = pairs.referee_no.isin([int(i) for i in cut["referee_no"].head(3)])
        examples["SL207"] = _examples(pairs, chosen & (pairs.code == ""))
    edges = edges[keep].reset_index(drop=True)
    edges["weight"] = _weights(edges, rules)
    table = pa.table(
        {
            "referrer_no": edges["referrer_no"].to_numpy(np.int64),
            "referee_no": edges["referee_no"].to_numpy(np.int64),
            "referred_at": pa.array(edges["at"].to_numpy(), pa.timestamp("us")),
            "weight": edges["weight"].to_numpy(np.float64),
        }
    )
    return Links(
        table=engine.upload(table, "links"),
        forest=engine.upload(_forest(edges), "forest"),
        reach=engine.keep(_first_seen(pairs, alone), "referral_seen"),
        outcomes={code: n for code, n in outcomes.items() if n},
        examples=examples,
        n_links=len(edges),
    )


def _edges(pairs: ir.Table, rules: Rules) -> tuple[pd.DataFrame, npt.NDArray[np.bool_]]:
    """Return the links that count, in an order of their own, and which stay."""
    used = pairs.filter(pairs.code == "")
    if rules.attribution not in SHARED:
        # One link each: unless there are rings, any order does, and numbers are
        # sorted many times faster than ids.
        edges = used.select("referrer_no", "referee_no", "at").to_pandas()
        referrer, referee, n_people = _positions(edges)
        parent = np.full(n_people, -1, dtype=np.int32)
        parent[referee] = referrer
        if climb(parent)[2].size == 0:
            order = np.argsort(edges["referee_no"].to_numpy())
            return edges.iloc[order], np.ones(len(edges), dtype=np.bool_)
    ordered = used.order_by("referee_id", "at", "referrer_id")
    edges = ordered.select("referrer_no", "referee_no", "at").to_pandas()
    return edges, _acyclic(edges, rules)


def _coded(
    referrals: ir.Table, stats: ir.Table, rules: Rules, excluded: ir.Table | None
) -> ir.Table:
    """Express one row per pair with its code."""
    referrals = referrals.mutate(is_code=_is_code(referrals, rules))
    pairs = referrals.group_by("referrer_id", "referee_id").aggregate(
        at=referrals.referred_at.min(),
        n_rows=referrals.count(),
        is_code=referrals.is_code.max(),
    )
    pairs = pairs.mutate(
        referrer_no=person_key(pairs.referrer_id),
        referee_no=person_key(pairs.referee_id),
    )
    firsts = stats.select(referee_no="person_no", first_day="first_day")
    pairs = pairs.left_join(firsts, "referee_no").drop("referee_no_right")
    pairs = _marked(pairs, excluded)
    lead = pairs.first_day - day_number(pairs.at)
    code = ibis.cases(
        (pairs.is_excluded, "SL208"),
        (lead < 0, "SL204"),
        (lead > rules.attribution_window_days, "SL206"),
        else_="",
    )
    pairs = pairs.mutate(code=code)
    if "channel" in referrals.columns:
        pairs = _codes_first(pairs)
    if rules.attribution in SHARED:
        return pairs
    order = pairs.at if rules.attribution == "first" else pairs.at.desc()
    place = ibis.row_number().over(
        group_by=[pairs.referee_no, pairs.code], order_by=[order, pairs.referrer_id]
    )
    pairs = pairs.mutate(place=place)
    later = (pairs.code == "") & (pairs.place > 0)
    return pairs.mutate(code=ibis.ifelse(later, "SL205", pairs.code)).drop("place")


def _marked(pairs: ir.Table, excluded: ir.Table | None) -> ir.Table:
    """Mark pairs that the user leaves out."""
    if excluded is None:
        return pairs.mutate(is_excluded=ibis.literal(value=False))
    marks = excluded.select(
        referrer_no=person_key(excluded.referrer_id),
        referee_no=person_key(excluded.referee_id),
        is_excluded=ibis.literal(value=True),
    ).distinct()
    keys = ["referrer_no", "referee_no"]
    found = pairs.left_join(marks, keys)
    found = found.drop(*(f"{key}_right" for key in keys))
    return found.mutate(is_excluded=found.is_excluded.notnull())


def _is_code(referrals: ir.Table, rules: Rules) -> ir.IntegerValue:
    """Return 1 for rows that stand for a code used at the order, else 0."""
    codes = [name.casefold() for name in rules.code_channels]
    if "channel" not in referrals.columns or not codes:
        return ibis.literal(0, "int8")
    return ibis.ifelse(lowered(referrals.channel).isin(codes), 1, 0)


def _codes_first(pairs: ir.Table) -> ir.Table:
    """Set aside what is no code where the same person used one."""
    rank = ibis.ifelse(pairs.code == "", pairs.is_code, 0)
    best = rank.max().over(ibis.window(group_by=pairs.referee_no))
    beaten = (pairs.code == "") & (pairs.is_code < best)
    return pairs.mutate(code=ibis.ifelse(beaten, "SL205", pairs.code))


def _examples(pairs: ir.Table, chosen: ir.BooleanValue) -> tuple[str, ...]:
    """Write the first few pairs that fit a condition."""
    few = pairs.filter(chosen).order_by("referee_id", "at", "referrer_id").limit(3)
    frame = few.select("referrer_id", "referee_id", "at").to_pandas()
    return tuple(
        f"{r.referrer_id} -> {r.referee_id} on {r.at:%Y-%m-%d}"
        for r in frame.itertuples()
    )


def _acyclic(edges: pd.DataFrame, rules: Rules) -> npt.NDArray[np.bool_]:
    """Mark the links that stay when every ring has lost its latest link."""
    if edges.empty:
        return np.ones(0, dtype=np.bool_)
    referrer, referee, n_people = _positions(edges)
    time = edges["at"].to_numpy("datetime64[us]").astype(np.int64)
    if rules.attribution in SHARED:
        kept: npt.NDArray[np.bool_] = break_cycles(referrer, referee, time=time)
        return kept
    parent = np.full(n_people, -1, dtype=np.int32)
    parent[referee] = referrer
    when = np.zeros(n_people, dtype=np.int64)
    when[referee] = time
    _, cut = break_rings(parent, when)
    return ~cut[referee]


def _positions(
    edges: pd.DataFrame,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Give people the numbers 0 to n - 1, referees in the order of their ids.

    Links come sorted by the id of the referee, so the place of a person who was
    brought is a matter of ids alone, and ties in time are cut the same in every run.
    """
    both = np.concatenate([edges["referee_no"], edges["referrer_no"]])
    codes, people = pd.factorize(both)
    return codes[len(edges) :], codes[: len(edges)], people.size


def _weights(edges: pd.DataFrame, rules: Rules) -> npt.NDArray[np.float64]:
    """Share a referee between referrers; the weights of each referee sum to 1."""
    if rules.attribution not in SHARED:
        return np.ones(len(edges))
    if rules.attribution == "position":
        raw = _position_weights(edges)
    elif rules.attribution != "time_decay":
        raw = np.ones(len(edges))
    else:
        age = edges.groupby("referee_no")["at"].transform("max") - edges["at"]
        raw = 0.5 ** (age.dt.total_seconds().to_numpy() / 86_400 / rules.half_life_days)
    total = pd.Series(raw).groupby(edges["referee_no"].to_numpy()).transform("sum")
    return np.asarray(raw / total.to_numpy(), dtype=np.float64)


def _position_weights(edges: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Give 40 % to the first and the last referrer and 20 % to all between."""
    by_referee = edges.groupby("referee_no", sort=False)["at"]
    n = by_referee.transform("size").to_numpy()
    place = by_referee.cumcount().to_numpy()  # sorted by time within a referee
    is_end = (place == 0) | (place == n - 1)
    return np.where(is_end, ENDS_WEIGHT, (1 - 2 * ENDS_WEIGHT) / np.maximum(n - 2, 1))


def _forest(edges: pd.DataFrame) -> pa.Table:
    """Find generation and root of everybody in the network, by the first referrer."""
    both = np.concatenate([edges["referrer_no"], edges["referee_no"]])
    flat, nodes = pd.factorize(both.astype(np.int64))
    referrer, referee = flat[: len(edges)], flat[len(edges) :]
    parent = np.full(nodes.size, -1, dtype=np.int32)
    # Edges are sorted by time within a referee: written backwards, the first stays.
    parent[referee[::-1]] = referrer[::-1]
    generation, root = generations(parent)
    is_root = parent < 0
    return pa.table(
        {
            "person_no": nodes,
            "referrer_no": pa.array(nodes[parent], pa.int64(), mask=is_root),
            "generation": generation.astype(np.int32),
            "root_no": nodes[root],
        }
    )


def _first_seen(pairs: ir.Table, alone: ir.Table | None) -> ir.Table:
    """Find the first time each person is named in the table of referrals."""
    # Tables that are too large to be kept carry the precision of their source, and
    # times of different precision cannot stand in one column.
    parts = [
        pairs.select(person_no="referrer_no", at=pairs.at.cast("timestamp")),
        pairs.select(person_no="referee_no", at=pairs.at.cast("timestamp")),
    ]
    if alone is not None:
        parts.append(
            alone.select(
                person_no=person_key(alone.referee_id),
                at=alone.referred_at.cast("timestamp"),
            )
        )
    every = ibis.union(*parts)
    return every.group_by("person_no").aggregate(seen_at=every.at.min())
