"""Paragraphs, sections and tables of Markdown, in the languages of a report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.sentence import Sentence
from selfloop.outputs.report.voice import Voice
from selfloop.outputs.tables import markdown_cell
from selfloop.outputs.text import TEXTS, text

Numbers = Mapping[str, Any]
Table = tuple[Sequence[str], list[list[str]]]


@dataclass(frozen=True)
class Writer:
    """What every section is written with: numbers as rows, languages, currency.

    Parameters
    ----------
    n : mapping
        From `selfloop.outputs.report.numbers.report_numbers`, its tables as rows.
    voice : Voice
        Languages.
    money : Money
        Currency.
    """

    n: Numbers
    voice: Voice
    money: Money

    def say(self, key: str, **values: object) -> str:
        """Say a text in the languages of the report, on one line."""
        langs = self.voice.langs
        said = dict.fromkeys(text(key, lang, **values) for lang in langs)
        return " / ".join(said).replace("**", "")

    def known(self, key: str, otherwise: str) -> str:
        """Say a text when there is one of that key, and else show what was given."""
        return self.say(key) if key in TEXTS else otherwise


def paragraphs(writer: Writer, said: Sequence[Sentence]) -> Iterable[str]:
    """Write sentences as one paragraph for each language.

    Parameters
    ----------
    writer : Writer
        Languages.
    said : sequence of Sentence
        Sentences.

    Yields
    ------
    str
    """
    for lang in writer.voice.langs if said else ():
        gap = "" if lang == "zh" else " "
        yield gap.join(text(s.key, lang, **s.values) for s in said)


def section(writer: Writer, key: str, *tables: Table) -> Iterable[str]:
    """Write a heading and its tables; an empty one is said to be missing.

    Parameters
    ----------
    writer : Writer
        Languages.
    key : str
        Heading.
    *tables : Table
        Heads and rows.

    Yields
    ------
    str
    """
    yield f"## {writer.say(key)}"
    filled = [given for given in tables if given[1]]
    if not filled:
        yield writer.say("report.missing")
    for given in filled:
        yield table(writer, given)


def table(writer: Writer, given: Table) -> str:
    """Write a table.

    Parameters
    ----------
    writer : Writer
        Languages.
    given : Table
        Heads, as keys of texts, and rows.

    Returns
    -------
    str
        Texts of the user's stay inside their cells.
    """
    heads, rows = given
    rule = ["---", *["---:"] * (len(heads) - 1)]
    body = [[markdown_cell(cell) for cell in row] for row in rows]
    heads = [markdown_cell(writer.known(head, head)) for head in heads]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rule, *body])


def span(value: str, low: float | None, high: float | None, write: Any) -> str:  # noqa: ANN401
    """Write a value with its interval, if it has one.

    Parameters
    ----------
    value : str
        The value, formatted.
    low, high : float or None
        Ends of its interval.
    write : callable
        Formats an end.

    Returns
    -------
    str
    """
    if low is None or high is None:
        return value
    return f"{value} ({write(low)} – {write(high)})"
