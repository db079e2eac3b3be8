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


def goals(rows: list[Row], n: int) -> list[dict[str, Any]]:
    """Set what was found beside what was wanted."""
    found = {(r["kind"], r["model"], r["n"], r["program"]): r for r in rows}
    wanted = [
        ("fit", "bg_nbd", n, "lifetimes", 20),
        ("fit", "bg_nbd", n, "pymc", 15),
        ("fit", "pareto_nbd", n // 5, "lifetimes", 50),
        ("fit", "pareto_nbd", n // 5, "pymc", 50),
        ("fit", "gamma_gamma", n, "lifetimes", 10),
        ("fit", "gamma_gamma", n, "pymc", 10),
        *(
            ("predict", model, n, peer, 10)
            for model in ("bg_nbd", "mbg_nbd", "pareto_nbd")
            for peer in ("lifetimes", "pymc")
        ),
    ]
    listed = []
    for kind, model, size, peer, limit in wanted:
        theirs = found.get((kind, model, size, peer))
        if theirs is None or theirs["state"] == "failed":
            continue
        ratio = _seconds(theirs) / _seconds(found[kind, model, size, "selfloop"])
        what = {"fit": "fit", "predict": "predictions"}[kind]
        label = f"{LABELS[model]}, {size:,}, {what}: times faster than {NAMES[peer]}"
        listed.append(
            {"label": label, "found": ratio, "limit": limit, "is_cut": _is_cut(theirs),
             "is_met": ratio >= limit}
        )  # fmt: skip
    for row in rows:
        if row["kind"] == "fit" and row["n"] == 10 * n:
            name = f"{LABELS[row['model']]}, {row['n']:,}"
            for what, value, most in (
                ("fit, s", row["seconds"]["fit"], 20),
                ("memory, GB", row["peak_bytes"] / GIGABYTE, 4),
            ):
                listed.append(
                    {"label": f"{name}, {what}, at most", "found": value, "limit": most,
                     "is_cut": False, "is_met": value <= most}
                )  # fmt: skip
    return listed


def _seconds(row: Row) -> float:
    """Return how long a row took, or how long it was let."""
    return row["stopped_after"] if _is_cut(row) else sum(row["seconds"].values())


def _is_cut(row: Row) -> bool:
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
    return f"{'>' if _is_cut(row) else ''}{_seconds(row):.3f}"


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
    return f"{'>' if _is_cut(row) else ''}{_seconds(row) / _seconds(ours):.1f}"


def _number(numbers: Row, name: str, form: str) -> str:
    """Write a number that may be missing."""
    value = numbers.get(name)
    return "" if value is None else format(value, form)


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
