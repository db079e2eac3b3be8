"""Fit customer bases that are hard to fit, beside a dense search and lifetimes.

    python benchmarks/stress.py
    python benchmarks/stress.py --customers 300 --models mbg_nbd pareto_nbd

Exit code 1 when a fit of ours fails, misses a higher likelihood, or predicts what is no
number.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from child import HERE, ChildError, run_script
from run import RESULTS, _machine
from show import _table

from selfloop.core.errors import FitError
from selfloop.kernels.purchase_fit import fit_purchases

sys.path.insert(0, str(HERE.parent / "tests"))
import lifetime_regimes as regimes

WITH_PEER = ("bg_nbd", "mbg_nbd", "pareto_nbd", "bg_bb")
MODELS = (*WITH_PEER, "bg_cnbd_k", "mbg_cnbd_k", "nbd", "pdo")
WORSE = 1e-4
"""Log-likelihood that a fit may miss."""

NOTABLE = 0.1
"""Log-likelihood from which on a maximum of lifetimes is called worse."""

Row = dict[str, Any]


def main() -> int:
    """Fit everything and write it down; return the exit code."""
    options = _options()
    machine = _machine()
    rows = []
    for model, regime in _cases(options.models):
        row = _row(model, regime, options)
        print(*row.values(), file=sys.stderr, flush=True)
        rows.append(row)
    result = {
        "date": str(options.date),
        "customers": options.customers,
        "starts": options.starts,
        "limit": options.limit,
        "machine": machine,
        "versions": {p: version(p) for p in ("selfloop", "lifetimes", "scipy")},
        "rows": rows,
    }
    text = _page(result)
    name = f"{options.date}-stress-{options.customers}"
    RESULTS.mkdir(exist_ok=True)
    written = json.dumps(result, indent=1) + "\n"
    (RESULTS / f"{name}.json").write_text(written, encoding="utf-8")
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
    wrong = [r for r in rows if r["error"] or r["is_worse"] or not r["predictions"]]
    return int(bool(wrong))


def _options() -> argparse.Namespace:
    """Read the command line."""
    words = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument(
        "--customers", type=int, default=1000, metavar="N",
        help="customers of each regime that does not name a number (default 1000)",
    )  # fmt: skip
    parser.add_argument(
        "--starts", type=int, default=20, metavar="N",
        help="random starts of the dense search (default 20)",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=float, default=120, metavar="S",
        help="stop lifetimes after this many seconds; 0 leaves it out (default 120)",
    )  # fmt: skip
    parser.add_argument(
        "--models", nargs="+", choices=MODELS, default=MODELS, help="default: all"
    )
    parser.add_argument(
        "--date", type=date.fromisoformat, default=date.today(), help="of the results"
    )
    return parser.parse_args()


def _cases(models: list[str]) -> Iterator[tuple[str, str]]:
    """Say which model is fitted to which regime."""
    for model in models:
        for regime in regimes.DISCRETE if model == "bg_bb" else regimes.REGIMES:
            yield model, regime


def _row(name: str, regime: str, options: argparse.Namespace) -> Row:
    """Fit one model to one regime in all ways."""
    customers = regimes.customers_of(regime, options.customers)
    model = regimes.model_of(name, customers)
    row: Row = {"model": model.label, "regime": regime, "error": None}
    ends = regimes.dense_search(model, customers, n_starts=options.starts)
    best = ends[0].log_likelihood
    peer = None
    if name in WITH_PEER and options.limit:
        peer = _with_lifetimes(name, customers, options.limit)
        if "params" in peer:
            params = [peer["params"][p] for p in model.parameters]
            peer["log_likelihood"] = regimes.log_likelihood(model, customers, params)
            best = max(best, peer["log_likelihood"])
    started = time.perf_counter()
    try:
        fit = fit_purchases(
            model, customers.x, recency=customers.recency, age=customers.age
        )
    except FitError as error:
        no_fit = {"error": str(error), "is_worse": False, "predictions": None}
        return row | no_fit | {"lifetimes": peer}
    return row | {
        "seconds": time.perf_counter() - started,
        "params": fit.params,
        "log_likelihood": fit.log_likelihood,
        "above_dense": fit.log_likelihood - ends[0].log_likelihood,
        "is_worse": bool(fit.log_likelihood < best - WORSE),
        "at_bound": fit.at_bound,
        "predictions": _are_finite(model, customers, fit.estimates.tolist()),
        "lifetimes": peer,
    }


def _are_finite(
    model: regimes.PurchaseModel, customers: regimes.Customers, params: list[float]
) -> bool:
    """Say whether everything that is predicted for everybody is a number."""
    past = customers._asdict()
    horizon = float(customers.age.max())
    alive = model.p_alive(params, **past)
    ahead = model.expected_if_alive(params, **past, horizon=horizon)
    return bool(np.isfinite(alive).all() and np.isfinite(ahead).all())


def _with_lifetimes(name: str, customers: regimes.Customers, limit: float) -> Row:
    """Fit with lifetimes in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "customers.npz"
        np.savez(path, **customers._asdict())
        try:
            run = run_script("stress_work.py", name, str(path), limit=limit)
        except ChildError as error:
            return {"error": str(error).splitlines()[-1]}
    return run.answers if run.is_finished else {"error": f"stopped after {limit:g} s"}


def _page(result: dict[str, Any]) -> str:
    """Write all there is."""
    rows, machine = result["rows"], result["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    head = ["model", "regime", "log-likelihood", "above dense search", "s",
            "not identified", "lifetimes: below", "s", ""]  # fmt: skip
    lines = [
        f"# Customer bases that are hard to fit, {result['date']}",
        "",
        f"{result['customers']:,} customers where the regime does not say otherwise; "
        f"dense search: best of {result['starts']} random starts.",
        f"{machine['cores']} cores ({machine['processor']}), {machine['system']}; "
        f"{versions}.",
        "",
        *_table(["", "selfloop", "lifetimes"], _summary(rows)),
        "",
        *_table(head, [_line(row) for row in rows]),
    ]
    return "\n".join(lines) + "\n"


def _summary(rows: list[Row]) -> list[list[str]]:
    """Count what went wrong; in brackets in the fits that lifetimes has too."""
    shared = [row for row in rows if row["lifetimes"]]
    peers = [row["lifetimes"] for row in shared]
    below = [_below(row) for row in shared if "params" in row["lifetimes"]]

    def ours(key: str, label: str, theirs: int | str = "") -> list[str]:
        """Make a line of the table."""
        found = f"{_count(rows, key)} ({_count(shared, key)})"
        return [label, found, str(theirs)]

    infinite = [row for row in rows if row.get("predictions") is False]
    lost = f"{NOTABLE:g}"
    return [
        ours("model", "fits", len(peers)),
        ours("error", "failed", _count(peers, "error")),
        ours("is_worse", f"missed {WORSE:g} or more", sum(b > WORSE for b in below)),
        ["... missed " + lost, "", str(sum(b > NOTABLE for b in below))],
        ours("at_bound", "says what is not identified"),
        ["predictions that are not finite", str(len(infinite)), ""],
        ["standard errors NaN", "",
         str(sum(peer.get("has_errors") is False for peer in peers))],
    ]  # fmt: skip


def _below(row: Row) -> float:
    """Say how far below ours lifetimes has ended."""
    return row.get("log_likelihood", np.nan) - row["lifetimes"]["log_likelihood"]


def _count(rows: list[Row], key: str) -> int:
    """Count rows in which something is so."""
    return sum(bool(row.get(key)) for row in rows)


def _line(row: Row) -> list[str]:
    """Write one row."""
    who = [row["model"], row["regime"]]
    if row["error"]:
        ours = ["", "", "", f"failed: {row['error'][:60]}"]
    else:
        mark = " WORSE" if row["is_worse"] else ""
        ours = [
            f"{row['log_likelihood']:,.4f}{mark}",
            f"{row['above_dense']:.5f}".replace("-0.00000", "0.00000"),
            f"{row['seconds']:.3f}",
            ", ".join(row["at_bound"]),
        ]
    peer = row["lifetimes"]
    if peer is None:
        return [*who, *ours, "", "", ""]
    if "error" in peer:
        return [*who, *ours, "", "", peer["error"][:60]]
    below = _below(row)
    words = "worse, without a word" if below > NOTABLE else ""
    if peer["has_errors"] is False:
        words = ", ".join(filter(None, [words, "standard errors NaN"]))
    shown = f"{below:,.4f}".replace("-0.0000", "0.0000")
    return [*who, *ours, shown, f"{peer['seconds']:.2f}", words]


if __name__ == "__main__":
    sys.exit(main())
