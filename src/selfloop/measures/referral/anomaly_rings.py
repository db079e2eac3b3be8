"""Rings: people who referred each other, two of them or more in a circle."""

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from selfloop.inputs.events import Events
from selfloop.kernels.forest import break_rings
from selfloop.measures.referral.anomaly_rules import Found, as_pairs

SHOWN = 6
"""People of a ring that its description names."""

_SMALL = 100_000
"""So few links are not worth another round in the engine."""

IntArray = npt.NDArray[np.int64]


def find_rings(pairs: ir.Table, events: Events) -> list[Found]:
    """Find people who refer each other, two of them or more in a ring.

    Parameters
    ----------
    pairs : ibis table
        From `pairs_of`.
    events : Events
        Names and the engine.

    Returns
    -------
    list of Found
        Rings of three people or more, then pairs.

    Notes
    -----
    Only people who are on both sides can be on a ring, so the others are taken off
    in the engine, round by round, before the rest comes out as arrays.
    """
    engine = events.engine
    left = engine.keep(_both_sides(pairs), "both_sides")
    there = left.select(referrer_no="referee_no", referee_no="referrer_no")
    mutual = left.semi_join(there, ["referrer_no", "referee_no"])
    people = mutual.group_by(person_no=mutual.referrer_no).aggregate(
        n_observed=mutual.count()
    )
    reciprocal = Found(
        "reciprocal",
        "two people who each referred the other",
        people.to_pandas().assign(threshold=1),
        as_pairs(mutual),
    )
    core = left
    n = _size(core)
    while n > _SMALL:
        core = engine.keep(_both_sides(core), "both_sides")
        before, n = n, _size(core)
        if n > 0.9 * before:
            break
    return [_rings(core, events), reciprocal]


def _rings(links: ir.Table, events: Events) -> Found:
    """List the rings of three people or more among some links."""
    names = events.core.select("person_no", "person_id")
    ends = links.inner_join(names, links.referrer_no == names.person_no)
    ends = ends.rename(referrer_id="person_id").drop("person_no")
    ends = ends.inner_join(names, ends.referee_no == names.person_no)
    ends = ends.order_by("at", "referrer_id", "person_id")
    frame = ends.select(
        "referrer_no", "referee_no", "at", "referrer_id", referee_id="person_id"
    ).to_pandas()
    # By number of the place of their ids, so that ids alone decide between equals.
    ids, flat = np.unique(
        frame[["referrer_id", "referee_id"]].to_numpy(dtype=object).ravel(),
        return_inverse=True,
    )
    referrer, referee = flat.reshape(-1, 2).T
    rings = rings_of(referrer, referee)
    number = np.zeros(ids.size, dtype=np.int64)
    number[referrer] = frame["referrer_no"].to_numpy(np.int64)
    number[referee] = frame["referee_no"].to_numpy(np.int64)
    lines = [
        (number[person], ring.size, i, _ring_text(ids[ring]))
        for i, ring in enumerate(rings)
        for person in ring
    ]
    people = pd.DataFrame(lines, columns=["person_no", "n_observed", "place", "detail"])
    after = [number[np.roll(ring, -1)] for ring in rings]
    table = pa.table(
        {
            "referrer_no": people["person_no"].to_numpy(np.int64),
            "referee_no": np.concatenate([np.zeros(0, np.int64), *after]),
        }
    )
    return Found(
        "ring",
        "three people or more who referred each other in a ring",
        people.assign(threshold=3),
        as_pairs(events.engine.upload(table, "rings")),
    )


def rings_of(referrer: IntArray, referee: IntArray) -> list[IntArray]:
    """List rings of three people or more, none of which share a person.

    Parameters
    ----------
    referrer, referee : ndarray of int, shape (n_links,)
        Numbers of the people, earliest link first; each pair once.

    Returns
    -------
    list of ndarray
        The people of each ring, each followed by whom they referred, from the
        smallest number on; the smallest rings first, then by their smallest number.

    Notes
    -----
    Of two who referred each other the earlier link counts. In each group of people
    who can reach each other, everybody is followed up to the earliest referrer
    inside the group; each such walk ends in a ring. So every group with a ring shows
    one at least, and one dense group does not show all of its millions.

    Examples
    --------
    >>> rings_of(np.array([0, 1, 2, 2]), np.array([1, 2, 0, 3]))
    [array([0, 1, 2])]
    """
    if not referrer.size:
        return []
    n = int(max(referrer.max(), referee.max())) + 1
    low, high = np.minimum(referrer, referee), np.maximum(referrer, referee)
    _, first = np.unique(low * n + high, return_index=True)
    first.sort()
    tail, head = referrer[first], referee[first]
    links = coo_array((np.ones(tail.size, np.int8), (tail, head)), shape=(n, n))
    _, group = connected_components(links.tocsr(), connection="strong")
    inside = group[tail] == group[head]
    tail, head = tail[inside], head[inside]
    parent = np.full(n, -1, dtype=np.int32)
    parent[head[::-1]] = tail[::-1]  # written backwards, the earliest stays
    _, cut = break_rings(parent, np.zeros(n))
    rings = [_ring_from(int(person), parent) for person in np.flatnonzero(cut)]
    return sorted(rings, key=lambda ring: (ring.size, int(ring[0])))


def _ring_from(person: int, parent: npt.NDArray[np.int32]) -> IntArray:
    """Follow a ring down from one of its people, the smallest number first."""
    up = [person]
    while (above := int(parent[up[-1]])) != person:
        up.append(above)
    ring = np.array(up[::-1], dtype=np.int64)
    return np.roll(ring, -int(ring.argmin()))


def _ring_text(ids: npt.NDArray[np.object_]) -> str:
    """Name the people of a ring, the first few of a long one."""
    named = [str(i) for i in ids[:SHOWN]]
    rest = [f"{ids.size - SHOWN:,} more"] if ids.size > SHOWN else []
    return " -> ".join([*named, *rest, str(ids[0])])


def _both_sides(links: ir.Table) -> ir.Table:
    """Select links whose referrer was referred and whose referee has referred."""
    referees = links.select(referrer_no="referee_no").distinct()
    referrers = links.select(referee_no="referrer_no").distinct()
    # Not two semi joins in a row: sqlglot leaves the second to PostgreSQL as it is.
    return links.filter(
        links.referrer_no.isin(referees.referrer_no),
        links.referee_no.isin(referrers.referee_no),
    )


def _size(table: ir.Table) -> int:
    """Count the rows of a table."""
    return int(table.count().to_pyarrow().as_py())
