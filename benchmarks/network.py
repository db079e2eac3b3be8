"""Time a network of links beside graph libraries, and compare the results.

    python benchmarks/network.py --peer-python VENV/bin/python     1 million links
    python benchmarks/network.py --links 100_000 ...               quick
    python benchmarks/network.py --shape chain ...                 one shape only

Each program runs in a process of its own, on the same Arrow tables with ids of text.
Exit code 1 when a peer finds other numbers.
"""

import argparse
import json
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from child import ChildError, run_script
from network_data import SHAPES, write_links
from network_show import GIGABYTE, page, seconds_of
from run import RESULTS, _machine

PEERS = ("networkx", "igraph", "rustworkx")
MORE = 10
"""Ours alone has so many times more links of the first shape."""

CLOSE = 1e-9
"""Relative difference of money that counts as equal."""

FULL_SIZE = 1_000_000
FASTER = {"networkx": 15, "igraph": 4, "rustworkx": 4}
"""Times as long a peer should take on a forest."""

MOST_SECONDS = {"forest": 2, "chain": 5, "star": 5}
MOST_SECONDS_MORE, MOST_GIGABYTES_MORE = 25, 6
Row = dict[str, Any]


def main() -> int:
    """Measure, compare and write down; return the exit code."""
    options = _options()
    machine = _machine()
    versions: dict[str, str] = {"numpy": np.__version__, "pyarrow": pa.__version__}
    try:
        rows = [
            row for cell in _cells(options) for row in _cell(*cell, options, versions)
        ]
    except ChildError as error:
        print(error, file=sys.stderr)
        return 1
    result = {
        "date": str(options.date),
        "links": options.links,
        "machine": machine,
        "versions": versions,
        "repeat": options.repeat,
        "limit": options.limit,
        "rows": rows,
        "goals": _goals(rows, options.links),
    }
    text = page(result)
    name = f"{options.date}-network-{options.links}"
    if options.shape is not None:
        name += f"-{options.shape}"
    RESULTS.mkdir(exist_ok=True)
    written = json.dumps(result, indent=1) + "\n"
    (RESULTS / f"{name}.json").write_text(written, encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
    return int(any(row.get("is_equal") is False for row in rows))


def _options() -> argparse.Namespace:
    """Read the command line."""
    words = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument(
        "--links", type=int, default=FULL_SIZE, metavar="N",
        help=f"links; ours alone also {MORE} times as many (default 1,000,000)",
    )  # fmt: skip
    parser.add_argument(
        "--peer-python", type=Path, metavar="PYTHON",
        help="a Python that has networkx, igraph and rustworkx; without it, ours alone",
    )  # fmt: skip
    parser.add_argument("--shape", choices=SHAPES, help="one shape only")
    parser.add_argument(
        "--limit", type=float, default=600, metavar="S",
        help="stop a peer's process after this many seconds (default 600)",
    )  # fmt: skip
    parser.add_argument(
        "--repeat", type=int, default=5, metavar="N",
        help="do everything N times and keep the fastest (default 5) ...",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=float, default=20, metavar="S",
        help="... but not again once it took this many seconds (default 20)",
    )  # fmt: skip
    parser.add_argument(
        "--no-more", dest="more", action="store_false",
        help=f"leave out ours on {MORE} times as many links",
    )  # fmt: skip
    parser.add_argument(
        "--date", type=date.fromisoformat, default=date.today(), help="of the results"
    )
    return parser.parse_args()


def _cells(options: argparse.Namespace) -> list[tuple[str, int, tuple[str, ...]]]:
    """Say which shape of how many links is done by whom."""
    peers = PEERS if options.peer_python is not None else ()
    shapes = SHAPES if options.shape is None else (options.shape,)
    cells = [(shape, options.links, ("selfloop", *peers)) for shape in shapes]
    if options.more:
        cells.append((shapes[0], options.links * MORE, ("selfloop",)))
    return cells


def _cell(
    shape: str,
    n_links: int,
    programs: tuple[str, ...],
    options: argparse.Namespace,
    versions: dict[str, str],
) -> list[Row]:
    """Run some programs on the same links, and compare them with the first."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_links(folder, n_links, shape)
        ours = folder / "selfloop.arrow"
        for program in programs:
            answers = folder / f"{program}.arrow"
            row = _run(program, folder, answers, options, versions)
            row |= {"program": program, "shape": shape, "links": n_links}
            if answers != ours and row["state"] == "finished":
                row |= _compared(_read(ours), _read(answers))
                answers.unlink()
            rows.append(row)
    return rows


def _run(
    program: str,
    folder: Path,
    answers: Path,
    options: argparse.Namespace,
    versions: dict[str, str],
) -> Row:
    """Run one program and return what it says."""
    job: Row = {
        "program": program,
        "folder": str(folder),
        "answers": str(answers),
        "repeat": options.repeat,
        "patience": options.patience,
    }
    limit = None
    if program != "selfloop":
        # Not resolved: a virtual environment is known by the name it is called by.
        job["python"], limit = str(options.peer_python.absolute()), options.limit
    run = run_script("network_work.py", json.dumps(job), limit=limit)
    if not run.is_finished:
        return {"state": "stopped", "stopped_after": run.steps.get("work", 0.0)}
    found = run.answers
    name, number = found["version"].split()
    versions[name] = number
    wall, cpu = min(found["runs"])
    return {
        "state": "finished", "seconds": wall, "cpu": cpu, "runs": found["runs"],
        "peak_bytes": found["peak_bytes"],
    }  # fmt: skip


def _read(path: Path) -> pa.Table:
    """Read the answers of one program."""
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def _compared(ours: pa.Table, peer: pa.Table) -> Row:
    """Compare every number of every person."""
    place = pc.index_in(ours["person_id"], value_set=peer["person_id"].combine_chunks())
    if ours.num_rows != peer.num_rows or place.null_count:
        return {"is_equal": False, "apart": None, "n_differ": ours.num_rows}
    peer = peer.take(place)
    differ, apart = np.zeros(ours.num_rows, bool), 0.0
    for name in ours.column_names:
        a, b = ours[name], peer[name]
        if name.endswith("_value"):
            x, y = a.to_numpy(), b.to_numpy()
            relative = np.abs(x - y) / np.maximum(np.abs(y), 1.0)
            apart = max(apart, float(relative.max(initial=0.0)))
            differ |= relative > CLOSE
        else:
            differ |= pc.not_equal(a, b.cast(a.type)).to_numpy()
    sums = {
        name: [float(pc.sum(t[name]).as_py()) for t in (ours, peer)]
        for name in ours.column_names
        if not name.endswith("_id")
    }
    n = int(differ.sum())
    return {"is_equal": n == 0, "apart": apart, "n_differ": n, "sums": sums}


def _goals(rows: list[Row], n_links: int) -> list[Row]:
    """Set what was found beside what was wanted."""
    if n_links < FULL_SIZE:
        return []
    ours = {(r["shape"], r["links"]): r for r in rows if r["program"] == "selfloop"}
    goals: list[Row] = []
    for (shape, links), row in ours.items():
        most = {"s at most": (row["seconds"], MOST_SECONDS[shape])}
        if links > n_links:
            most = {
                "s at most": (row["seconds"], MOST_SECONDS_MORE),
                "GB at most": (row["peak_bytes"] / GIGABYTE, MOST_GIGABYTES_MORE),
            }
        goals += [
            {"label": f"{shape} of {links:,}: {unit}", "found": found, "limit": limit,
             "is_met": found <= limit}
            for unit, (found, limit) in most.items()
        ]  # fmt: skip
    for row in rows:
        if row["program"] == "selfloop" or row["shape"] != "forest":
            continue
        ratio = seconds_of(row) / ours[row["shape"], row["links"]]["seconds"]
        least = FASTER[row["program"]]
        goals.append({
            "label": f"{row['shape']} of {row['links']:,}: times as fast as "
            f"{row['program']}, at least",
            "found": ratio, "limit": least, "is_met": ratio >= least,
        })  # fmt: skip
    return goals


if __name__ == "__main__":
    sys.exit(main())
