"""Time funnel, cohorts and curves beside other programs, and compare the results.

    python benchmarks/repeat.py --peer-python VENV/bin/python     10 million events
    python benchmarks/repeat.py --events 100_000 ...              quick

The Python of the peers has pandas, polars, duckdb, retentioneering and lifelines. Each
program runs in a process of its own, on the same Parquet files of one simulated shop.
Exit code 1 when a peer finds other numbers.
"""

import argparse
import json
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from child import ChildError, run_script
from run import RESULTS, _machine
from show import _table

PEERS = ("duckdb", "polars", "pandas", "retentioneering")
EVENTS_PER_ORDER = 1.7
"""Of 17 events of the simulated shop, 10 are orders, 6 visits and 1 a referral."""

FULL_SIZE = 10_000_000
CLOSE = 1e-9
GIGABYTE = 1e9
FASTER_THAN_LIFELINES = 20
MOST_SECONDS = 10
"""Of the questions of selfloop, once events are read."""

Row = dict[str, Any]


def main() -> int:
    """Measure, compare and write down; return the exit code."""
    options = _options()
    machine, versions = _machine(), dict[str, str]()
    try:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            counts = _simulate(folder, options.events)
            rows = _programs(folder, options, versions)
        curves = _curves(options, versions)
    except ChildError as error:
        print(error, file=sys.stderr)
        return 1
    result = {
        "date": str(options.date),
        "events": options.events,
        "counts": counts,
        "machine": machine,
        "versions": versions,
        "rows": rows,
        "curves": curves,
        "goals": _goals(rows, curves, options.events),
    }
    name = f"{options.date}-repeat-{options.events}"
    RESULTS.mkdir(exist_ok=True)
    text = _page(result)
    written = json.dumps(result, indent=1) + "\n"
    (RESULTS / f"{name}.json").write_text(written, encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
    every = [*rows, *curves]
    return int(any(row.get("n_differ") for row in every))


def _options() -> argparse.Namespace:
    """Read the command line."""
    words = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument(
        "--events", type=int, default=FULL_SIZE, metavar="N",
        help="orders, visits and referrals together (default 10,000,000)",
    )  # fmt: skip
    parser.add_argument(
        "--people", type=int, default=1_000_000, metavar="N",
        help="people of the Kaplan-Meier curves (default 1,000,000)",
    )  # fmt: skip
    parser.add_argument(
        "--peer-python", type=Path, metavar="PYTHON",
        help="a Python that has the peers; without it, ours alone",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=float, default=600, metavar="S",
        help="stop a peer's process after this many seconds (default 600)",
    )  # fmt: skip
    parser.add_argument(
        "--date", type=date.fromisoformat, default=date.today(), help="of the results"
    )
    return parser.parse_args()


def _simulate(folder: Path, n_events: int) -> dict[str, int]:
    """Write the tables of a shop; return how many rows each has."""
    n_orders = round(n_events / EVENTS_PER_ORDER)
    run = run_script("data.py", str(folder), str(n_orders))
    return {key: int(value) for key, value in run.answers.items()}


def _programs(
    folder: Path, options: argparse.Namespace, versions: dict[str, str]
) -> list[Row]:
    """Run every program on the same files, and compare it with ours."""
    programs = ("selfloop", *(PEERS if options.peer_python else ()))
    rows: list[Row] = []
    ours: dict[tuple[Any, ...], float] = {}
    for program in programs:
        job: Row = {"program": program, "folder": str(folder)}
        found = _run("repeat_work.py", job, options, versions)
        row: Row = {"program": program, **found}
        numbers = {tuple(key): n for *key, n in row.pop("found", [])}
        # A cell in which nobody bought has a line with us, and none in a group-by.
        numbers = {key: n for key, n in numbers.items() if n}
        if program == "selfloop":
            ours = numbers
        elif row["state"] == "finished":
            keys = ours.keys() | numbers.keys()
            if program == "retentioneering":  # it answers two of the questions
                keys = numbers.keys()
            gaps = [abs(ours.get(k, 0) - numbers.get(k, 0)) for k in keys]
            row |= {"n_equal": sum(g <= CLOSE for g in gaps),
                    "n_differ": sum(g > CLOSE for g in gaps)}  # fmt: skip
        rows.append(row)
    return rows


def _curves(options: argparse.Namespace, versions: dict[str, str]) -> list[Row]:
    """Estimate the same curves by both programs."""
    programs = ("selfloop", *(("lifelines",) if options.peer_python else ()))
    found = {}
    for program in programs:
        job = {"program": program, "people": options.people, "repeat": 5}
        found[program] = _run("curve_work.py", job, options, versions)
    lines: list[Row] = []
    for way, seconds in found["selfloop"]["seconds"].items():
        line: Row = {"way": way, "selfloop": seconds}
        if "lifelines" in found:
            peer = found["lifelines"]
            line |= {"lifelines": peer["seconds"][way],
                     "ratio": peer["seconds"][way] / seconds}  # fmt: skip
            if way != "days with fractions":  # whole days are another curve
                pairs = [
                    abs(a - b)
                    for one, other in zip(
                        found["selfloop"]["curves"][way], peer["curves"][way],
                        strict=True,
                    )
                    for first, second in zip(one, other, strict=True)
                    for a, b in zip(first, second, strict=True)
                ]  # fmt: skip
                line |= {"apart": max(pairs), "n_differ": sum(p > CLOSE for p in pairs)}
        lines.append(line)
    return lines


def _run(
    script: str, job: Row, options: argparse.Namespace, versions: dict[str, str]
) -> Row:
    """Run one program and return what it says."""
    limit = None
    if job["program"] != "selfloop":
        # Not resolved: a virtual environment is known by the name it is called by.
        job = job | {"python": str(options.peer_python.absolute())}
        limit = options.limit
    run = run_script(script, json.dumps(job), limit=limit)
    if not run.is_finished:
        return {"state": "stopped", "stopped_after": run.seconds}
    answers = dict(run.answers)
    versions[job["program"]] = answers.pop("version")
    return {"state": "finished", **answers}


def _goals(rows: list[Row], curves: list[Row], n_events: int) -> list[Row]:
    """Set what was found beside what was wanted."""
    goals: list[Row] = []
    if n_events >= FULL_SIZE:
        found = rows[0]["questions"]
        goals.append({"label": "s of the questions once events are read, at most",
                      "found": found, "limit": MOST_SECONDS,
                      "is_met": found <= MOST_SECONDS})  # fmt: skip
    if "ratio" in curves[0]:
        found = curves[0]["ratio"]
        goals.append({"label": "times as fast as lifelines, at least",
                      "found": found, "limit": FASTER_THAN_LIFELINES,
                      "is_met": found >= FASTER_THAN_LIFELINES})  # fmt: skip
    return goals


def _page(result: Row) -> str:
    """Write everything that the benchmark has found."""
    machine = result["machine"]
    counts = ", ".join(f"{n:,} {k[2:]}" for k, n in result["counts"].items())
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    lines = [
        f"# Funnel, cohorts and curves of {result['events']:,} events, "
        f"{result['date']}",
        "",
        f"{machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gb']:.0f} GB, {machine['system']}; load average "
        f"{machine['load_before']:.1f} before the runs.",
        f"{versions}.",
        f"{counts}.",
        "",
        "From Parquet to: the three counts of three stages by channel, the "
        "Kaplan-Meier share of repurchase within 90 days, the triangle of cohorts by "
        "month, the share of the top tenth. Reading is up to one row per person; with "
        "selfloop it checks every row, writes the audit, follows referrals and finds "
        "the sources, also for all other measures. retentioneering answers how many "
        "came and bought; the rest it has not.",
        "",
        *_table(
            ["", "wall s", "read s", "questions s", "CPU s", "peak GB", "numbers"],
            [_cells(row) for row in result["rows"]],
        ),
        "",
        "## Kaplan-Meier with interval",
        "",
        *_table(
            ["", "selfloop ms", "lifelines ms", "ratio", "apart"],
            [
                [
                    line["way"], f"{line['selfloop'] * 1000:.1f}",
                    *(
                        [f"{line['lifelines'] * 1000:.1f}", f"{line['ratio']:.0f}",
                         f"{line['apart']:.0e}" if "apart" in line else ""]
                        if "ratio" in line else ["", "", ""]
                    ),
                ]
                for line in result["curves"]
            ],
        ),
    ]  # fmt: skip
    if result["goals"]:
        goals = [
            [g["label"], f"{g['found']:.1f}", f"{g['limit']:g}",
             "met" if g["is_met"] else "missed"]
            for g in result["goals"]
        ]  # fmt: skip
        lines += ["", "## Goals", "", *_table(["", "found", "goal", ""], goals)]
    return "\n".join(lines).rstrip() + "\n"


def _cells(row: Row) -> list[str]:
    """Write one program."""
    if row["state"] != "finished":
        return [row["program"], f">{row['stopped_after']:.0f}", "", "", "", "", ""]
    verdict = ""
    if "n_equal" in row:
        verdict = f"{row['n_equal']:,} equal"
        if row["n_differ"]:
            verdict += f", {row['n_differ']:,} DIFFER"
    return [
        row["program"], f"{row['seconds']:.1f}", f"{row['read']:.1f}",
        f"{row['questions']:.1f}", f"{row['cpu']:.1f}",
        f"{row['peak_bytes'] / GIGABYTE:.2f}", verdict,
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
