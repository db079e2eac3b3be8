"""The command that compares two reports."""

from selfloop.cli.manner import Manner
from selfloop.cli.results import Form, Result, Section, deliver
from selfloop.cli.work import working
from selfloop.outputs import compare as compare_reports

_COLUMNS = [
    "measure", "segment", "window_days", "first", "first_low", "first_high",
    "second", "second_low", "second_high", "difference", "difference_low",
    "difference_high", "p_adjusted", "verdict",
]  # fmt: skip


def compare(
    manner: Manner,
    *,
    first: str,
    second: str,
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
) -> None:
    """Show what has changed from one report to another.

    Parameters
    ----------
    manner : Manner
        How the command speaks.
    first, second : str
        JSON files beside reports.
    out, format
        See `selfloop.cli.results.Form`.
    """
    form = Form(out, format)
    form.check()
    with working(manner) as say:
        say("comparing")
        found = compare_reports.compare(first, second)
    periods = [f"{start} – {end}" for start, end in found.periods]
    result = Result(
        "compare",
        {"compare": found.table},
        {
            "first_file": found.names[0],
            "second_file": found.names[1],
            "n_days_shared": found.n_days_shared,
            "notes": list(found.notes),
        },
        [
            ("first", f"{found.names[0]}, {periods[0]}"),
            ("second", f"{found.names[1]}, {periods[1]}"),
        ],
        [Section("", found.table[_COLUMNS], "analyses_compared")],
    )
    deliver(result, form, manner)
    for note in found.notes:
        manner.tell(f"note: {note}")
