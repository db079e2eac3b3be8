"""The tables of a benchmark, as Markdown that also reads well in a terminal."""

from typing import Any

STAGES = {
    "start and imports": ("start and imports",),
    "reading, people, referrals that count": (
        "reading", "reading orders", "reading referrals", "reading visits",
        "checking rows", "ids and customer-days", "orders to purchases",
        "one row per person", "which referral counts",
    ),
    "funnel, cohorts, loop": ("funnel", "cohorts", "loop"),
    "network, lifetime value, customer value": (
        "referral network", "lifetime value", "customer value",
    ),
    "report": ("report",),
}  # fmt: skip
"""Steps of either program that do the same work."""

RUNS = {
    "selfloop": "selfloop",
    "visits": "selfloop, with visits",
    "tuned": "pandas + lifetimes + networkx, tuned",
    "documented": "pandas + lifetimes + networkx, as documented",
}
"""Names of the runs."""

PEERS = ("tuned", "documented")
GIGABYTE = 1e9


def page(result: dict[str, Any]) -> str:
    """Write everything that a benchmark has found."""
    shop, machine = result["shop"], result["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    lines = [
        f"# {shop['orders']:,} orders, {result['date']}",
        "",
        f"{shop['orders']:,} orders, {shop['buyers']:,} buyers, "
        f"{shop['referrals']:,} referrals that count, in Parquet.",
        f"{machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gb']:.0f} GB, {machine['system']}; load average "
        f"{machine['load_before']:.1f} before the runs.",
        f"{versions}.",
        "",
        "## Parquet to report",
        "",
        *_runs(result),
        "",
        *_stages(result["runs"]),
        "",
        "## Steps of selfloop",
        "",
        *_steps(result["runs"]),
        "",
        "## Goals",
        "",
        *_goals(result["goals"]),
        *(line for style in PEERS for line in _verdicts(result, style)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def headline(result: dict[str, Any]) -> str:
    """Say in a line or two whether the results are equal."""
    lines = []
    for style in PEERS:
        found = result["compared"].get(style)
        if not found:
            lines.append(f"{RUNS[style]}: nothing to compare.")
            continue
        wrong = [v["label"] for v in found if not v["is_equal"]]
        n = sum(v["n_values"] for v in found)
        what = f"DIFFERENT {', '.join(wrong)}" if wrong else f"all {n:,} numbers equal"
        lines.append(f"{RUNS[style]}: {what}.")
    return "\n".join(lines)


def _runs(result: dict[str, Any]) -> list[str]:
    """Table of the runs: wall time, processor time, memory."""
    runs = result["runs"]
    ours = runs["selfloop"]
    rows = []
    for key, name in RUNS.items():
        run = runs.get(key)
        if run is None:
            continue
        mark = "" if run["is_finished"] else ">"
        rows.append(
            [
                name,
                f"{mark}{run['seconds']:.1f}",
                f"{mark}{run['cpu_seconds']:.1f}",
                f"{mark}{run['peak_bytes'] / GIGABYTE:.2f}",
                f"{mark}{run['seconds'] / ours['seconds']:.2f}",
                f"{mark}{run['cpu_seconds'] / ours['cpu_seconds']:.2f}",
                f"{mark}{run['peak_bytes'] / ours['peak_bytes']:.2f}",
            ]
        )
    ratios = [f"{what} / selfloop" for what in ("wall", "CPU", "peak")]
    head = ["", "wall s", "CPU s", "peak GB", *ratios]
    return _table(head, rows)


def _stages(runs: dict[str, Any]) -> list[str]:
    """Table of the stages of the programs side by side, in seconds."""
    styles = [style for style in PEERS if style in runs]
    rows = []
    for stage, steps in STAGES.items():
        cells = [_stage(runs[style], steps) for style in styles]
        rows.append([stage, f"{_sum(runs['selfloop'], steps):.2f}", *cells])
    return _table(["seconds", "selfloop", *(f"peer, {s}" for s in styles)], rows)


def _stage(run: dict[str, Any], steps: tuple[str, ...]) -> str:
    """Write the seconds of a stage, of which there may be only a part."""
    begun = [step for step in steps if step in run["steps"]]
    if not begun:
        return "not begun"
    is_cut = not run["is_finished"] and list(run["steps"])[-1] in begun
    return f"{'>' if is_cut else ''}{_sum(run, steps):.2f}"


def _sum(run: dict[str, Any], steps: tuple[str, ...]) -> float:
    """Add up the seconds of some steps."""
    return sum(run["steps"].get(step, 0.0) for step in steps)


def _steps(runs: dict[str, Any]) -> list[str]:
    """Table of the steps of selfloop, without and with visits."""
    plain, visits = runs["selfloop"]["steps"], runs.get("visits", {}).get("steps", {})
    rows = [
        [step, *(f"{run[step]:.2f}" if step in run else "" for run in (plain, visits))]
        for step in dict.fromkeys([*visits, *plain])
    ]
    return _table(["step", "s", "s with visits"], rows)


def _goals(goals: list[dict[str, Any]]) -> list[str]:
    """Table of what was wanted."""
    rows = [
        [g["label"], f"{g['found']:.2f} {g['unit']}", f"{g['limit']:g} {g['unit']}",
         "met" if g["found"] <= g["limit"] else "missed"]
        for g in goals
    ]  # fmt: skip
    return _table(["", "found", "at most", ""], rows)


def _verdicts(result: dict[str, Any], style: str) -> list[str]:
    """Table of the comparisons; of several numbers the pair that differs most."""
    head = ["", f"## Results beside {RUNS[style]}", ""]
    run, compared = result["runs"].get(style), result["compared"].get(style)
    if run is None:
        return [*head, "Not run."]
    if not compared:
        return [
            *head,
            f"Not compared: it did not finish within {run['seconds']:.0f} s.",
        ]
    rows = [
        [v["label"], f"{v['n_values']:,}", _number(v["ours"]), _number(v["peer"]),
         v["name"], f"{v['difference']:.1e}", v["allowed"],
         "equal" if v["is_equal"] else "DIFFERS"]
        for v in compared
    ]  # fmt: skip
    names = ["", "numbers", "selfloop", "peer", "farthest", "apart", "allowed", ""]
    return [*head, *_table(names, rows)]


def _number(value: float | None) -> str:
    """Write a number with enough digits to see a difference."""
    if value is None:
        return "missing"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.10g}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Write a Markdown table with columns of equal width, numbers to the right."""
    cells = [head, *rows]
    widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(head))]
    is_text = [
        i == 0 or all(not _is_figure(r[i]) for r in rows) for i in range(len(head))
    ]

    def line(row: list[str]) -> str:
        """Write one line."""
        padded = [
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(row, widths, is_text, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * width if text else "-" * (width - 1) + ":"
        for width, text in zip(widths, is_text, strict=True)
    ]
    return [line(head), f"| {' | '.join(rule)} |", *map(line, rows)]


def _is_figure(cell: str) -> bool:
    """Say whether a cell starts with a number."""
    return cell.lstrip(">-")[:1].isdigit() if cell else True
