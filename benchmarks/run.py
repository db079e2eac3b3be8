"""Time selfloop beside pandas + lifetimes + networkx, and compare the results.

    python benchmarks/run.py                       10 million orders
    python benchmarks/run.py --orders 100_000 1_000_000
    python benchmarks/run.py --data FOLDER         tables that are already there

Each program runs in a process of its own. Exit code 1 when a result differs.
"""

import argparse
import dataclasses
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from child import HERE, ChildError, Run, run_script, shortest
from compare import compare
from show import headline, page

DATA, RESULTS = HERE / "data", HERE / "results"
PACKAGES = ("selfloop", "duckdb", "ibis-framework", "pyarrow", "pandas", "numpy",
            "scipy", "lifetimes", "networkx")  # fmt: skip
STYLES = ("tuned", "documented")
N_STARTS = 7
START_GOALS = {"selfloop --help": 0.3, "import selfloop": 0.5}
FULL_SIZE = 10_000_000


def main() -> int:
    """Run all sizes; return the exit code."""
    options = _options()
    sizes = [None] if options.data else options.orders
    try:
        codes = [_one_size(n, options) for n in sizes]
    except ChildError as error:
        print(error, file=sys.stderr)
        return 1
    return max(codes)


def _options() -> argparse.Namespace:
    """Read the command line."""
    words = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=words)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--orders", type=int, nargs="+", default=[FULL_SIZE], metavar="N",
        help="about how many orders to simulate; several sizes one after the other",
    )  # fmt: skip
    what.add_argument(
        "--data", type=Path, metavar="FOLDER",
        help="read orders, referrals and visits (.parquet) here, instead",
    )  # fmt: skip
    parser.add_argument(
        "--keep", action="store_true", help="keep the simulated tables for the next run"
    )
    parser.add_argument(
        "--peer-limit", type=float, default=1800, metavar="S",
        help="stop a peer after this many seconds; 0 leaves both out (default 1800)",
    )  # fmt: skip
    parser.add_argument(
        "--repeat", type=int, default=1, metavar="N",
        help="run each program N times and keep the fastest (default 1)",
    )  # fmt: skip
    parser.add_argument(
        "--date", type=date.fromisoformat, default=date.today(), help="of the results"
    )
    return parser.parse_args()


def _one_size(n_orders: int | None, options: argparse.Namespace) -> int:
    """Simulate, run, compare and write down one size; return the exit code."""
    folder, made = _data(n_orders, options)
    try:
        result = _measure(folder, made, options)
    finally:
        if made is not None and not options.keep:
            shutil.rmtree(folder)
    text = page(result)
    name = f"{options.date}-{n_orders or result['shop']['orders']}"
    RESULTS.mkdir(exist_ok=True)
    written = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    (RESULTS / f"{name}.json").write_text(written, encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(f"{text}\n{headline(result)}")
    verdicts = [v for found in result["compared"].values() for v in found]
    return int(any(not verdict["is_equal"] for verdict in verdicts))


def _data(n_orders: int | None, options: argparse.Namespace) -> tuple[Path, Run | None]:
    """Return the folder of the tables, and the run that has made them, if any."""
    if n_orders is None:
        return options.data, None
    folder = DATA / str(n_orders)
    if (folder / "truth.json").exists():
        return folder, None
    DATA.mkdir(exist_ok=True)
    return folder, _tell(
        "simulation", lambda: run_script("data.py", str(folder), str(n_orders))
    )


def _measure(
    folder: Path, made: Run | None, options: argparse.Namespace
) -> dict[str, Any]:
    """Run the programs and put what they found together."""
    for path in folder.glob("*.parquet"):
        # Nobody is the first to read a file from the disk.
        path.read_bytes()
    machine = _machine()
    runs = _fastest(_programs(folder, options), options.repeat)
    if made is not None:
        runs["simulation"] = made
    starts = _starts()
    ours = runs["selfloop"].answers
    compared = {
        style: [dataclasses.asdict(v) for v in compare(ours, runs[style].answers)]
        for style in STYLES
        if style in runs and runs[style].answers
    }
    return {
        "date": str(options.date),
        "shop": {
            "orders": ours["n_order_rows"],
            "buyers": ours["n_buyers"],
            "referrals": ours["n_links"],
        },
        "machine": machine,
        "versions": {name: version(name) for name in PACKAGES},
        "runs": {name: _plain(run) for name, run in runs.items()},
        "starts": starts,
        "goals": _goals(runs["selfloop"], starts, made),
        "compared": compared,
    }


def _programs(
    folder: Path, options: argparse.Namespace
) -> dict[str, Callable[[], Run]]:
    """Return the programs to run, by name."""

    def program(*arguments: str, limit: float | None = None) -> Callable[[], Run]:
        """Return a run that is still to be made."""
        return lambda: run_script(*arguments, limit=limit)

    place, tables = str(folder), "orders,referrals"
    found = {"selfloop": program("ours.py", place, tables)}
    if (folder / "visits.parquet").exists():
        found["visits"] = program("ours.py", place, f"{tables},visits")
    if options.peer_limit:
        for style in STYLES:
            found[style] = program("peer.py", place, style, limit=options.peer_limit)
    return found


def _fastest(programs: dict[str, Callable[[], Run]], times: int) -> dict[str, Run]:
    """Run each program several times, taking turns, and keep the fastest runs."""
    runs: dict[str, list[Run]] = {name: [] for name in programs}
    for _ in range(times):
        for name, work in programs.items():
            runs[name].append(_tell(name, work))
    return {name: min(made, key=lambda run: run.seconds) for name, made in runs.items()}


def _tell(name: str, work: Callable[[], Run]) -> Run:
    """Run a program and say how long it took."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    run = work()
    mark = "" if run.is_finished else "stopped after "
    print(f"{name}: {mark}{run.seconds:.1f} s", file=sys.stderr, flush=True)
    return run


def _starts() -> dict[str, float]:
    """Measure how long the start of Python, of the package and of its help takes."""
    python = sys.executable
    beside = Path(python).with_name("selfloop")
    program = [str(beside)] if beside.exists() else [python, "-m", "selfloop"]
    calls = {
        "python": [python, "-c", "pass"],
        "import selfloop": [python, "-c", "import selfloop"],
        "import selfloop and what a notebook uses": [
            python, "-c", "from selfloop import read_events, analyze, write_report",
        ],
        "selfloop --help": [*program, "--help"],
    }  # fmt: skip
    return {name: shortest(call, times=N_STARTS) for name, call in calls.items()}


def _goals(
    ours: Run, starts: dict[str, float], made: Run | None
) -> list[dict[str, Any]]:
    """Set what was found beside what was wanted."""
    # A little under: the number of orders that a simulation makes is random.
    is_full = ours.answers["n_order_rows"] >= 0.95 * FULL_SIZE
    rows = [(name, starts[name], limit, "s") for name, limit in START_GOALS.items()]
    if is_full:
        rows += [
            ("10 million orders to report", ours.seconds, 90, "s"),
            ("10 million orders to report, the aim", ours.seconds, 60, "s"),
            ("10 million orders, memory", ours.peak_bytes / 1e9, 4, "GB"),
        ]
    if is_full and made is not None:
        rows.append(("10 million orders simulated", made.seconds, 120, "s"))
    names = ("label", "found", "limit", "unit")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _plain(run: Run) -> dict[str, Any]:
    """Return a run as it is written down."""
    found = dataclasses.asdict(run)
    answers = found.pop("answers")
    return found | {"report_bytes": answers.get("report_bytes")}


def _machine() -> dict[str, Any]:
    """Describe the machine."""
    cores = (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count()
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": cores,
        "processor": _processor(),
        "memory_gb": memory / 1e9,
        "load_before": os.getloadavg()[0],
        "system": f"{platform.system()}, Python {platform.python_version()}",
    }


def _processor() -> str:
    """Return the name of the processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
