"""Commands that write the report."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from selfloop.cli.manner import Manner, put_bytes
from selfloop.cli.options import STREAM, Inputs
from selfloop.cli.texts import sentence
from selfloop.cli.work import n_unreadable, read, size, target, working
from selfloop.core.settings import LedgerRule
from selfloop.measures.analyze import Analysis, analyze
from selfloop.outputs.report import FORMATS, Report, write_report
from selfloop.outputs.report.formats import Money, count, number, share
from selfloop.outputs.text import Lang, text

_HEADLINES = ("buyers", "conversion", "repurchase", "r", "circulation", "lifetime")


def report(
    inputs: Inputs,
    manner: Manner,
    *,
    rule: LedgerRule,
    horizon_days: int,
    discount_rate: float,
    title: str | None,
    embed_font: Literal["auto", "always", "never"],
    out: str,
    page_format: str,
) -> None:
    """Write the whole analysis as one page.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    rule, horizon_days, discount_rate
        See `selfloop.analyze`.
    title, embed_font
        See `selfloop.write_report`.
    out : str
        File, or ``-`` for standard output.
    page_format : {"html", "json", "md"}
        Format on standard output.
    """
    path = None if out == STREAM else report_target(out)
    with working(manner) as say:
        events = read(inputs, say)
        analysis = analyze(
            events, horizon_days=horizon_days, discount_rate=discount_rate,
            rule=rule, progress=say,
        )  # fmt: skip
        say("writing the report")
        place = path or Path(tempfile.mkdtemp()) / f"report.{page_format}"
        written = write_report(
            analysis, place, lang=manner.lang or "both", title=title,
            embed_font=embed_font,
        )  # fmt: skip
        content = b"" if path else place.read_bytes()
    if path is None:
        put_bytes(content)
    else:
        manner.tell(wrote(written, manner))
    manner.tell(headline(written.numbers, manner.voice))
    manner.tell(outlook(analysis, inputs, manner.voice))


def report_target(out: str) -> Path:
    """Check, before any work, that a report can be written.

    Parameters
    ----------
    out : str
        What the user gave.

    Returns
    -------
    Path

    Raises
    ------
    click.BadParameter, FileError
        See `selfloop.cli.work.target`.
    """
    path = target(out, FORMATS)
    if path.suffix.lower() == ".html":
        target(str(path.with_suffix(".json")), FORMATS)
    return path


def wrote(written: Report, manner: Manner) -> str:
    """Say which files were written, and how large they are.

    Parameters
    ----------
    written : Report
        From `selfloop.write_report`.
    manner : Manner
        Language.

    Returns
    -------
    str
    """
    files = ", ".join(f"{path} ({size(path)})" for path in written.paths)
    return sentence("wrote", manner.voice, files=files)


def headline(numbers: Mapping[str, Any], lang: Lang) -> str:
    """Write the headline numbers of a report on one line; those that are known.

    Parameters
    ----------
    numbers : mapping
        Of `selfloop.outputs.report.Report`.
    lang : {"en", "zh"}
        Language.

    Returns
    -------
    str
    """
    cards = {card["key"]: card for card in numbers["kpis"]}
    currency = numbers["meta"]["currency"]
    return " · ".join(
        _card(cards[key], lang, currency)
        for key in _HEADLINES
        if cards[key]["value"] is not None
    )


def _card(card: Mapping[str, Any], lang: Lang, currency: str | None) -> str:
    """Write one key number with its interval, as the page does."""
    unit = {"count": count, "share": share, "number": number}
    shown = unit.get(card["unit"], Money(currency).short)
    days, value = card["days"], shown(card["value"])
    if card["key"] == "r":
        words = text("kpi.short", lang, days=days, r=value)
    else:
        words = f"{text('kpi.' + card['key'], lang, days=days)} {value}"
    if card["low"] is not None and card["high"] is not None:
        words += f" [{shown(card['low'])}, {shown(card['high'])}]"
    return words


def outlook(analysis: Analysis, inputs: Inputs, lang: Lang) -> str:
    """Write on one line what to know and what to do next.

    Parameters
    ----------
    analysis : Analysis
        What was computed.
    inputs : Inputs
        What the command read.
    lang : {"en", "zh"}
        Language.

    Returns
    -------
    str
    """
    n = n_unreadable(analysis.events)
    parts = [sentence("unreadable", lang, n=n)] if n else []
    n_notes = len(analysis.events.notes)
    if n_notes:
        parts.append(sentence("notes", lang, n=n_notes))
    if analysis.unavailable:
        named = ", ".join(f"{k} ({v})" for k, v in analysis.unavailable.items())
        parts.append(sentence("missing", lang, parts=named))
    if n:
        command = inputs.command("validate", "--failures", "rejected")
    else:
        command = inputs.command("customers", "-o", "customers.csv")
    return "; ".join([*parts, sentence("next", lang, command=command)])
