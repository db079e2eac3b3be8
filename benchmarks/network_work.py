"""From tables of links and values to a network, by one program in this process.

Run by `network.py`: network_work.py JOB RECORD STARTED, where JOB is JSON. Packages are
imported by the programs that need them: this file also runs where selfloop is not
installed.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from network_data import read_links
from stopwatch import Stopwatch, cpu_seconds, peak_bytes

COLUMNS = (
    "person_id", "root_id", "generation", "reach", "subtree_depth",
    "direct_value", "network_value", "social_value",
)  # fmt: skip
"""What every program finds for each person; of a root, reach and depth of the tree."""

MODULES = {
    "selfloop": "selfloop.measures.referral.links",
    "networkx": "networkx",
    "igraph": "igraph",
    "rustworkx": "rustworkx",
}
"""Loaded before anything is timed."""


def selfloop(links: pa.Table, values: pa.Table) -> pa.Table:
    """Make one call."""
    import selfloop as sl

    return sl.link_network(links, values).people.select(COLUMNS)


def networkx(n: int, referrer: np.ndarray, referee: np.ndarray) -> Iterable[int]:
    """Return people, referrers first."""
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(zip(referrer.tolist(), referee.tolist(), strict=True))
    return nx.topological_sort(graph)


def igraph(n: int, referrer: np.ndarray, referee: np.ndarray) -> Iterable[int]:
    """Return people, referrers first."""
    import igraph as ig

    pairs = np.column_stack([referrer, referee])
    return ig.Graph(n=n, edges=pairs, directed=True).topological_sorting()


def rustworkx(n: int, referrer: np.ndarray, referee: np.ndarray) -> Iterable[int]:
    """Return people, referrers first."""
    import rustworkx as rx

    graph = rx.PyDiGraph(node_count_hint=n, edge_count_hint=referee.size)
    graph.add_nodes_from(range(n))
    pairs = list(zip(referrer.tolist(), referee.tolist(), strict=True))
    graph.add_edges_from_no_data(pairs)
    return rx.topological_sort(graph)


PEERS: dict[str, Callable[[int, np.ndarray, np.ndarray], Iterable[int]]] = {
    "networkx": networkx,
    "igraph": igraph,
    "rustworkx": rustworkx,
}


def by_peer(program: str, links: pa.Table, values: pa.Table) -> pa.Table:
    """Number the ids, order the people by a graph library, and sum in one loop.

    None of the libraries sums over descendants with a share at each link. The quickest
    way round it that we know: people as numbers from pyarrow, one walk down and one up
    the order that the library has found, with lists.
    """
    ids, referrer, referee, value = _numbered(links, values)
    n = len(ids)
    order = list(PEERS[program](n, referrer, referee))
    parent = np.full(n, -1)
    parent[referee] = referrer
    found = _walk(order, parent.tolist(), value.tolist())
    return pa.table(
        {"person_id": ids, "root_id": ids.take(pa.array(found.pop("root_id"))), **found}
    ).select(COLUMNS)


def _numbered(
    links: pa.Table, values: pa.Table
) -> tuple[pa.Array, np.ndarray, np.ndarray, np.ndarray]:
    """Return the ids, the numbers of both ends of the links, and the values."""
    columns = [links["referrer_id"], links["referee_id"], values["person_id"]]
    chunks = [chunk for column in columns for chunk in column.chunks]
    every = pa.concat_arrays(chunks).dictionary_encode()
    number, m = every.indices.to_numpy(), links.num_rows
    money = values["value"].to_numpy()
    value = np.bincount(number[2 * m :], money, len(every.dictionary))
    return every.dictionary, number[:m], number[m : 2 * m], value


def _walk(
    order: list[int], parent: list[int], value: list[float]
) -> dict[str, list[Any]]:
    """Walk down for generations and roots, and up for the sums."""
    n = len(order)
    generation, root, size, depth = [0] * n, list(range(n)), [0] * n, [0] * n
    direct, below, inflow = [0.0] * n, [0.0] * n, [0.0] * n
    for person in order:
        above = parent[person]
        if above >= 0:
            generation[person] = generation[above] + 1
            root[person] = root[above]
    for person in reversed(order):
        above = parent[person]
        if above >= 0:
            own = value[person]
            size[above] += size[person] + 1
            direct[above] += own
            below[above] += own + below[person]
            inflow[above] += 0.5 * (own + inflow[person])
            if depth[person] >= depth[above]:
                depth[above] = depth[person] + 1
    kept = zip(inflow, parent, strict=True)
    return {
        "root_id": root,
        "generation": generation,
        "reach": size,
        "subtree_depth": depth,
        "direct_value": direct,
        "network_value": below,
        "social_value": [0.5 * x if above >= 0 else x for x, above in kept],
    }


def main(job: dict[str, Any], watch: Stopwatch) -> None:
    """Read the tables, do the work, several times if it is quick, and write it down."""
    program = job["program"]
    import_module(MODULES[program])
    watch.step("reading")
    links, values = read_links(Path(job["folder"]))
    watch.step("work")
    runs: list[tuple[float, float]] = []
    while len(runs) < job["repeat"] and sum(w for w, _ in runs) <= job["patience"]:
        found = None
        wall, cpu = time.perf_counter(), cpu_seconds()
        if program == "selfloop":
            found = selfloop(links, values)
        else:
            found = by_peer(program, links, values)
        runs.append((time.perf_counter() - wall, cpu_seconds() - cpu))
    peak = peak_bytes()
    watch.step("writing")
    with pa.ipc.new_file(job["answers"], found.schema) as file:
        file.write_table(found)
    watch.step(None)
    name = f"{program} {version(program)}"
    watch.answer({"runs": runs, "peak_bytes": peak, "version": name})


if __name__ == "__main__":
    text, record, started = sys.argv[1:]
    asked = json.loads(text)
    python = asked.pop("python", None)
    if python is not None:  # the packages of this program live elsewhere
        os.execv(python, [python, __file__, json.dumps(asked), record, started])
    main(asked, Stopwatch(Path(record), started=float(started)))
