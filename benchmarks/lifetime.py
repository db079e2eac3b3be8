"""Time lifetime value beside lifetimes and pymc-marketing, and compare the results.

    python benchmarks/lifetime.py                          1 million customers
    python benchmarks/lifetime.py --customers 20_000       quick
    python benchmarks/lifetime.py --pymc-python VENV/bin/python

Each fit and each prediction of each program runs in a process of its own. Exit code 1
when a peer finds a higher likelihood, or other predictions.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from child import ChildError, Run, run_script
from lifetime_data import read_customers, write_customers
from lifetime_show import GIGABYTE, LABELS, NAMES, is_cut, page, seconds_of
from run import RESULTS, _machine

from selfloop.kernels import gamma_gamma
from selfloop.kernels.fitting import Objective
from selfloop.kernels.purchase_models import purchase_model
from selfloop.kernels.rows import distinct_rows

MODELS = ("bg_nbd", "mbg_nbd", "pareto_nbd")
PEERS = ("lifetimes", "pymc")
LESS = 5
"""Pareto/NBD of the peers has so many times fewer customers."""

MORE = 10
"""Ours alone has so many times more."""

EQUAL = 1e-3
"""Log-likelihood by which a peer may be higher and count as equal."""

CLOSE = 1e-8
"""Relative difference of predictions that counts as equal."""

CONVENTIONS = 0.03
"""The same for sums of value: months of 4.345 weeks, discounted at their ends."""

BEFORE = ("start and imports", "reading", "preparing")
"""Steps whose time does not count."""

FULL_SIZE = 1_000_000
FASTER = (
    ("fit", "bg_nbd", 1, "lifetimes", 20),
    ("fit", "bg_nbd", 1, "pymc", 15),
    ("fit", "pareto_nbd", LESS, "lifetimes", 50),
    ("fit", "pareto_nbd", LESS, "pymc", 50),
    ("fit", "gamma_gamma", 1, "lifetimes", 10),
    ("fit", "gamma_gamma", 1, "pymc", 10),
    *(("predict", m, 1, peer, 10) for m in MODELS for peer in PEERS),
)
"""Times that a peer should take as long, by a so-maniest part of the customers."""

MOST_SECONDS, MOST_GIGABYTES = 20, 4
"""Of a fit to more customers."""

KINDS = {"fit": "fit", "predict": "predictions"}
Params = dict[str, float]


def main() -> int:
    """Measure, compare and write down; return the exit code."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        write_customers(Path(folder), max(1, MORE * options.more) * options.customers)
        try:
            result = Measurement(Path(folder), options).result()
        except ChildError as error:
            print(error, file=sys.stderr)
            return 1
    text = page(result)
    name = f"{options.date}-lifetime-{options.customers}"
    RESULTS.mkdir(exist_ok=True)
    written = json.dumps(result, indent=1) + "\n"
    (RESULTS / f"{name}.json").write_text(written, encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
    return int(any(row["is_equal"] is False for row in result["rows"]))


def _options() -> argparse.Namespace:
    """Read the command line."""
    words = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument(
        "--customers", type=int, default=FULL_SIZE, metavar="N",
        help=f"customers; also a {LESS}th and {MORE} times as many (default 1,000,000)",
    )  # fmt: skip
    parser.add_argument(
        "--pymc-python", type=Path, metavar="PYTHON",
        help="a Python that has pymc-marketing; without it, that peer is left out",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=float, default=600, metavar="S",
        help="stop a peer's process after this many seconds (default 600)",
    )  # fmt: skip
    parser.add_argument(
        "--repeat", type=int, default=3, metavar="N",
        help="do everything N times and keep the fastest (default 3) ...",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=float, default=20, metavar="S",
        help="... but not again once it took this many seconds (default 20)",
    )  # fmt: skip
    parser.add_argument(
        "--no-more", dest="more", action="store_false",
        help=f"leave out ours on {MORE} times as many customers",
    )  # fmt: skip
    parser.add_argument(
        "--date", type=date.fromisoformat, default=date.today(), help="of the results"
    )
    return parser.parse_args()


class Measurement:
    """Everything that is measured on one set of customers.

    Parameters
    ----------
    folder : Path
        Where the customers are.
    options : Namespace
        The command line.
    """

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.options = options
        self.programs = ["selfloop", "lifetimes"]
        if options.pymc_python is not None:
            self.programs.append("pymc")
        self.versions = {name: version(name) for name in ("numpy", "scipy")}

    def result(self) -> dict[str, Any]:
        """Run all there is."""
        machine = _machine()
        fits = [row for cell in self._cells() for row in self._fits(*cell)]
        n = self.options.customers
        params = {
            row["model"]: row["params"]
            for row in fits
            if row["program"] == "selfloop" and row["n"] == n
        }
        predictions = [row for m in MODELS for row in self._predictions(m, params)]
        rows = fits + predictions
        return {
            "date": str(self.options.date),
            "customers": n,
            "machine": machine,
            "versions": self.versions,
            "limit": self.options.limit,
            "repeat": self.options.repeat,
            "patience": self.options.patience,
            "rows": rows,
            "goals": _goals(rows, n) if n >= FULL_SIZE else [],
        }

    def _cells(self) -> Iterator[tuple[str, int, list[str]]]:
        """Say which model is fitted to how many customers by whom."""
        n, ours = self.options.customers, ["selfloop"]
        for model in ("bg_nbd", "mbg_nbd"):
            yield model, n // LESS, self.programs
            yield model, n, self.programs
        yield "pareto_nbd", n // LESS, self.programs
        yield "pareto_nbd", n, ours
        yield "gamma_gamma", n, self.programs
        if self.options.more:
            for model in MODELS[:2]:
                yield model, n * MORE, ours

    def _fits(self, model: str, n: int, programs: list[str]) -> list[dict[str, Any]]:
        """Fit one model with several programs, and judge the optima by one function."""
        rows = []
        for program in programs:
            job = {"kind": "fit", "program": program, "model": model, "n": n}
            row = self._row(job)
            row["params"] = row.pop("answers", {}).get("params")
            rows.append(row)
        objective = self._objective(model, n)
        best = _at(objective, rows[0]["params"])
        for row in rows:
            row["is_equal"] = None
            if row["params"] is not None:
                value = _at(objective, row["params"])
                row["log_likelihood"], row["below"] = value, best - value
                row["is_equal"] = bool(best >= value - EQUAL)
        return rows

    def _objective(self, model: str, n: int) -> Objective:
        """Return the log-likelihood of the customers, the same for all programs."""
        data = read_customers(self.folder, n)
        if model == "gamma_gamma":
            again = data["x"] > 0
            rows = distinct_rows([data["x"][again], data["total"][again]])
            return gamma_gamma.objective(rows)
        rows = distinct_rows([data[c] for c in ("x", "recency", "age")])
        return purchase_model(model).objective(rows)

    def _predictions(
        self, model: str, params: dict[str, Params]
    ) -> list[dict[str, Any]]:
        """Predict with several programs and the same parameters, and compare."""
        rows, ours = [], None
        for program in self.programs:
            answers = self.folder / f"{model}-{program}.npz"
            job = {
                "kind": "predict", "program": program, "model": model,
                "n": self.options.customers, "params": params[model],
                "spend": params["gamma_gamma"], "answers": str(answers),
            }  # fmt: skip
            row = self._row(job)
            row.pop("answers", None)
            row["is_equal"] = None
            if row["state"] == "finished":
                with np.load(answers) as file:
                    found = {name: file[name] for name in file.files}
                ours = found if ours is None else ours
                row |= _compared(ours, found)
                answers.unlink()
            rows.append(row)
        return rows

    def _row(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run one job; a peer that fails or takes too long does not end the rest."""
        program = job["program"]
        head = {name: job[name] for name in ("kind", "model", "n", "program")}
        print(*head.values(), "...", file=sys.stderr, flush=True)
        whole = job | {
            "folder": str(self.folder),
            "repeat": self.options.repeat,
            "patience": self.options.patience,
        }
        if program == "pymc":
            whole["python"] = str(self.options.pymc_python.absolute())
        limit = self.options.limit if program in PEERS else None
        try:
            run = run_script("lifetime_work.py", json.dumps(whole), limit=limit)
        except ChildError as error:
            if program not in PEERS:
                raise
            print(error, file=sys.stderr)
            return head | {"state": "failed", "why": str(error).splitlines()[-1]}
        row = head | self._measured(run)
        print(row["state"], f"{run.seconds:.1f} s", file=sys.stderr, flush=True)
        return row

    def _measured(self, run: Run) -> dict[str, Any]:
        """Return what a run says."""
        if not run.is_finished:
            step = list(run.steps)[-1]
            worked = [s for name, s in run.steps.items() if name not in BEFORE]
            if not worked:
                return {"state": "failed", "why": f"{step} took {run.seconds:.0f} s"}
            return {"state": "stopped", "step": step, "stopped_after": sum(worked)}
        answers = run.answers
        name, number = answers["version"].split()
        self.versions[name] = number
        runs = answers["runs"]
        return {
            "state": "finished",
            "seconds": {task: min(wall for wall, _ in r) for task, r in runs.items()},
            "cpu": {task: min(cpu for _, cpu in r) for task, r in runs.items()},
            "runs": runs,
            "start": run.steps["start and imports"] + run.steps["reading"],
            "peak_bytes": answers["peak_bytes"],
            "answers": answers,
        }


def _at(objective: Objective, params: Params) -> float:
    """Return the log-likelihood of some parameters, -inf where there is none."""
    with np.errstate(all="ignore"):  # peers may end anywhere
        value, _ = objective(np.array(list(params.values())))
    return value if np.isfinite(value) else -np.inf


def _compared(
    ours: dict[str, np.ndarray], peer: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Compare predictions of every customer, and the sum of their value."""
    row: dict[str, Any] = {"apart": {}, "not_finite": {}}
    for name in ("purchases", "alive"):
        is_finite = np.isfinite(peer[name])
        a, b = ours[name][is_finite], peer[name][is_finite]
        # Chances that nobody could tell from 0 are not compared digit by digit.
        apart = np.abs(a - b) / np.maximum(b, 1e-12)
        row["apart"][name] = float(apart.max(initial=0.0))
        row["not_finite"][name] = int(peer[name].size - is_finite.sum())
    is_finite = np.isfinite(peer["value"])
    row["not_finite"]["value"] = int(peer["value"].size - is_finite.sum())
    ratio = peer["value"][is_finite].sum() / ours["value"][is_finite].sum()
    row["value_ratio"] = float(ratio)
    row["is_equal"] = bool(
        max(row["apart"].values()) <= CLOSE and abs(ratio - 1) <= CONVENTIONS
    )
    return row


def _goals(rows: list[dict[str, Any]], n: int) -> list[dict[str, Any]]:
    """Set what was found beside what was wanted."""
    by_what = {(r["kind"], r["model"], r["n"], r["program"]): r for r in rows}
    goals = []
    for kind, model, part, peer, least in FASTER:
        theirs = by_what.get((kind, model, n // part, peer))
        if theirs is None or theirs["state"] == "failed":
            continue
        ours = by_what[kind, model, n // part, "selfloop"]
        ratio = seconds_of(theirs) / seconds_of(ours)
        goals.append({
            "label": f"{LABELS[model]}, {n // part:,}, {KINDS[kind]}: times as fast as "
            f"{NAMES[peer]}",
            "found": ratio, "is_cut": is_cut(theirs), "limit": least,
            "is_met": ratio >= least,
        })  # fmt: skip
    for row in rows:
        if row["kind"] != "fit" or row["n"] != MORE * n:
            continue
        found = {
            "s at most": (seconds_of(row), MOST_SECONDS),
            "GB at most": (row["peak_bytes"] / GIGABYTE, MOST_GIGABYTES),
        }
        for unit, (value, most) in found.items():
            goals.append({
                "label": f"{LABELS[row['model']]}, {row['n']:,}, fit: {unit}",
                "found": value, "is_cut": False, "limit": most,
                "is_met": value <= most,
            })  # fmt: skip
    return goals


if __name__ == "__main__":
    sys.exit(main())
