"""The tables of the benchmark of lifetime value, as Markdown."""

from typing import Any

from show import _table

LABELS = {
    "bg_nbd": "BG/NBD",
    "mbg_nbd": "MBG/NBD",
    "pareto_nbd": "Pareto/NBD",
    "gamma_gamma": "Gamma-Gamma",
}
NAMES = {
    "selfloop": "selfloop",
    "lifetimes": "lifetimes",
    "pymc": "pymc-marketing",
}
TASKS = ("purchases", "alive", "value")
GIGABYTE = 1e9
NOTABLE = 0.01
"""Log-likelihood by which an optimum is worse than another."""

Row = dict[str, Any]


def page(result: dict[str, Any]) -> str:
    """Write everything that the benchmark has found."""
    machine, rows = result["machine"], result["rows"]
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    lines = [
        f"# Lifetime value of {result['customers']:,} customers, {result['date']}",
        "",
        f"{machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gb']:.0f} GB, {machine['system']}; load average "
        f"{machine['load_before']:.1f} before the runs.",
        f"{versions}.",
        f"Least of {result['repeat']} runs in one process, or of fewer when they took "
        f"{result['patience']:g} s; peers are stopped after {result['limit']:g} s.",
        "",
        "## Fits",
        "",
        *_fits([row for row in rows if row["kind"] == "fit"]),
        "",
        "## Predictions",
        "",
        *_predictions([row for row in rows if row["kind"] == "predict"]),
    ]
    if result["goals"]:
        lines += ["", "## Goals", "", *_goals(result["goals"])]
    return "\n".join(lines).rstrip() + "\n"


def seconds_of(row: Row) -> float:
    """Return how long a row took, or how long it was let."""
    return row["stopped_after"] if is_cut(row) else sum(row["seconds"].values())


def is_cut(row: Row) -> bool:
    """Say whether it was stopped."""
    return bool(row["state"] == "stopped")


def _fits(rows: list[Row]) -> list[str]:
    """Table of the fits."""
    ours = {(r["model"], r["n"]): r for r in rows if r["program"] == "selfloop"}
    lines = []
    for row in rows:
        own = ours[row["model"], row["n"]]
        line = [LABELS[row["model"]], f"{row['n']:,}", NAMES[row["program"]]]
        line += [_wall(row), _cpu(row), _peak(row), _ratio(row, own)]
        line += [_number(row, "log_likelihood", ",.4f"), _number(row, "below", ".4f")]
        lines.append([*line, _verdict(row)])
    head = ["model", "customers", "", "wall s", "CPU s", "peak GB", "x selfloop",
            "log-likelihood", "below selfloop", "optimum"]  # fmt: skip
    return _table(head, lines)


def _predictions(rows: list[Row]) -> list[str]:
    """Table of the predictions."""
    ours = {r["model"]: r for r in rows if r["program"] == "selfloop"}
    lines = []
    for row in rows:
        line = [LABELS[row["model"]], NAMES[row["program"]]]
        seconds, apart = row.get("seconds", {}), row.get("apart", {})
        line += [_number(seconds, task, ".3f") for task in TASKS]
        line += [_wall(row), _peak(row), _ratio(row, ours[row["model"]])]
        line += [_number(apart, task, ".0e") for task in TASKS[:2]]
        line += [_number(row, "value_ratio", ".4f")]
        line += [_number(row.get("not_finite", {}), TASKS[0], ",")]
        lines.append([*line, _verdict(row)])
    head = ["model", "", "purchases s", "P(alive) s", "value s", "sum s", "peak GB",
            "x selfloop", "purchases apart", "P(alive) apart", "value / ours",
            "not finite", "result"]  # fmt: skip
    return _table(head, lines)


def _wall(row: Row) -> str:
    """Write the wall time of everything in a row."""
    if row["state"] == "failed":
        return ""
    return f"{'>' if is_cut(row) else ''}{seconds_of(row):.3f}"


def _cpu(row: Row) -> str:
    """Write the processor time."""
    return f"{sum(row['cpu'].values()):.3f}" if "cpu" in row else ""


def _peak(row: Row) -> str:
    """Write the most memory held."""
    return f"{row['peak_bytes'] / GIGABYTE:.2f}" if "peak_bytes" in row else ""


def _ratio(row: Row, ours: Row) -> str:
    """Write how many times as long as ours it took."""
    if row["state"] == "failed":
        return ""
    return f"{'>' if is_cut(row) else ''}{seconds_of(row) / seconds_of(ours):.1f}"


def _number(numbers: Row, name: str, form: str) -> str:
    """Write a number that may be missing."""
    value = numbers.get(name)
    return "" if value is None else format(value, form).replace("-0.0000", "0.0000")


def _verdict(row: Row) -> str:
    """Say in a word whether results are as good as ours, or why there are none."""
    if row["state"] == "failed":
        return f"failed: {row['why'][:60]}"
    if row["state"] == "stopped":
        return f"stopped: {row['step']}"
    if row["program"] == "selfloop":
        return ""
    if not row["is_equal"]:
        return "HIGHER" if row["kind"] == "fit" else "DIFFERS"
    is_lower = row["kind"] == "fit" and row["below"] > NOTABLE
    return "lower" if is_lower else "equal"


def _goals(goals: list[dict[str, Any]]) -> list[str]:
    """Table of what was wanted."""
    rows = [
        [g["label"], f"{'>' if g['is_cut'] else ''}{g['found']:.1f}",
         f"{g['limit']:g}", "met" if g["is_met"] else "missed"]
        for g in goals
    ]  # fmt: skip
    return _table(["", "found", "goal", ""], rows)
