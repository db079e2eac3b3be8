"""The tables of the benchmark of networks, as Markdown."""

from typing import Any

from show import _table

GIGABYTE = 1e9
Row = dict[str, Any]


def page(result: Row) -> str:
    """Write everything that the benchmark has found."""
    machine = result["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    lines = [
        f"# Networks of {result['links']:,} links, {result['date']}",
        "",
        f"{machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gb']:.0f} GB, {machine['system']}; load average "
        f"{machine['load_before']:.1f} before the runs.",
        f"{versions}.",
        f"From Arrow tables to generation, root, descendants, depth, direct, network "
        f"and social value of everybody. Least of {result['repeat']} runs in one "
        f"process, or of fewer slow ones; peers are stopped after "
        f"{result['limit']:g} s.",
        "",
        *_rows(result["rows"]),
    ]
    if result["goals"]:
        goals = [
            [g["label"], f"{g['found']:.2f}", f"{g['limit']:g}",
             "met" if g["is_met"] else "missed"]
            for g in result["goals"]
        ]  # fmt: skip
        lines += ["", "## Goals", "", *_table(["", "found", "goal", ""], goals)]
    return "\n".join(lines).rstrip() + "\n"


def seconds_of(row: Row) -> float:
    """Return how long a row took, or how long it was let."""
    found: float = row["seconds" if row["state"] == "finished" else "stopped_after"]
    return found


def _rows(rows: list[Row]) -> list[str]:
    """Table of all runs."""
    ours = {(r["shape"], r["links"]): r for r in rows if r["program"] == "selfloop"}
    lines = []
    for row in rows:
        is_cut = row["state"] != "finished"
        mark = ">" if is_cut else ""
        ratio = seconds_of(row) / ours[row["shape"], row["links"]]["seconds"]
        lines.append([
            row["shape"], f"{row['links']:,}", row["program"],
            f"{mark}{seconds_of(row):.2f}",
            "" if is_cut else f"{row['cpu']:.2f}",
            "" if is_cut else f"{row['peak_bytes'] / GIGABYTE:.2f}",
            f"{mark}{ratio:.1f}", _verdict(row),
        ])  # fmt: skip
    head = ["shape", "links", "", "wall s", "CPU s", "peak GB", "x selfloop", "result"]
    return _table(head, lines)


def _verdict(row: Row) -> str:
    """Say in a word whether every number of every person is ours."""
    if row["program"] == "selfloop":
        return ""
    if row["state"] != "finished":
        return "stopped"
    if not row["is_equal"]:
        return f"DIFFERS for {row['n_differ']:,}"
    return f"equal ({row['apart']:.0e})"
