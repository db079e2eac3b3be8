"""A result as text, JSON, CSV or Markdown, on standard output or in a file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from selfloop.cli.manner import Manner, PageLang, put, visible
from selfloop.cli.options import STREAM
from selfloop.cli.texts import legend, sentence, title
from selfloop.cli.work import size, target
from selfloop.core import schema
from selfloop.core.display import show_text, text_table
from selfloop.outputs.files import whole_file
from selfloop.outputs.tables import FORMATS, format_table, write_table
from selfloop.outputs.text import Lang, text

if TYPE_CHECKING:
    from selfloop.outputs.report.sentence import Sentence

TEXT_SUFFIXES = {".json": "json", ".md": "md"}
"""Files that hold all tables of a result; the others hold one."""


@dataclass(frozen=True)
class Section:
    """A table as it is shown on a terminal.

    Parameters
    ----------
    key : str
        Key of its title in `selfloop.cli.texts.TITLES`, or ``""``.
    frame : pandas.DataFrame
        What is shown.
    schema : str
        Name in `selfloop.core.schema.TABLES`, or ``""``.
    """

    key: str
    frame: pd.DataFrame
    schema: str = ""


@dataclass(frozen=True)
class Result:
    """The answer of a command.

    Parameters
    ----------
    name : str
        Name of the command; ``selfloop.NAME/1`` is the schema of its JSON.
    tables : dict of str to pandas.DataFrame
        All of the answer, the main table first.
    facts : dict
        Plain values beside the tables, for JSON.
    labels : list of (str, str)
        What stands above the tables on a terminal and in Markdown: key of
        `selfloop.cli.texts.TITLES`, text.
    sections : list of Section
        What a terminal shows of the tables.
    lines : list of str
        What a terminal shows below them: texts too long for a table.
    """

    name: str
    tables: Mapping[str, pd.DataFrame]
    facts: Mapping[str, Any] = field(default_factory=dict)
    labels: Sequence[tuple[str, str]] = ()
    sections: Sequence[Section] = ()
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Form:
    """Where and how a result goes.

    Parameters
    ----------
    out : str or None
        File; standard output when None or ``-``.
    format : str
        ``table``, ``json``, ``csv`` or ``md``, on standard output.
    table : str or None
        The one table that is wanted.
    """

    out: str | None
    format: str
    table: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether a file is written."""
        return self.out is not None and self.out != STREAM

    def check(self) -> None:
        """Check the file before any work; see `selfloop.cli.work.target`."""
        if self.is_file:
            target(str(self.out), FORMATS)


def deliver(result: Result, form: Form, manner: Manner) -> None:
    """Write a result to standard output or to its file.

    Parameters
    ----------
    result : Result
        What was computed.
    form : Form
        Where it goes.
    manner : Manner
        Language, and whether anything is said beside it.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    if not form.is_file:
        put(rendered(result, form.format, form.table, manner.lang or manner.voice))
        _tell_one(result, form, form.format, manner)
        return
    path = target(str(form.out), FORMATS)
    kind = TEXT_SUFFIXES.get(path.suffix.lower())
    if kind is None or form.table:
        write_table(result.tables[form.table or _main(result)], path)
    else:
        with whole_file(path) as place:
            text = rendered(result, kind, None, manner.lang or "en")
            place.write_text(text, encoding="utf-8")
    _tell_one(result, form, kind or "csv", manner)
    manner.tell(sentence("wrote", manner.voice, files=f"{path} ({size(path)})"))


def _main(result: Result) -> str:
    """Return the name of the main table."""
    return next(iter(result.tables))


def _tell_one(result: Result, form: Form, kind: str, manner: Manner) -> None:
    """Say that there are other tables where only one was written."""
    others = [name for name in result.tables if name != _main(result)]
    if kind == "csv" and others and form.table is None:
        name, rest = _main(result), "|".join(others)
        manner.tell(sentence("one_table", manner.voice, name=name, others=rest))


def rendered(result: Result, kind: str, table: str | None, lang: PageLang) -> str:
    """Return a result as text.

    Parameters
    ----------
    result : Result
        What was computed.
    kind : {"table", "json", "csv", "md"}
        Form of the text. CSV is one table; the others are all of them.
    table : str or None
        The one table that is wanted.
    lang : {"en", "zh", "both"}
        Language of titles.

    Returns
    -------
    str
    """
    if kind == "csv":
        return format_table(result.tables[table or _main(result)], format="csv")
    if table is not None:
        frame = result.tables[table]
        if kind == "table":
            return _with_legend([Section("", frame, _schema(result, table))], [], lang)
        return format_table(frame, format="json" if kind == "json" else "md")
    if kind == "json":
        return _json(result)
    if kind == "md":
        return _markdown(result, lang)
    labels = [(title(key, lang), value) for key, value in result.labels]
    head = show_text(title(result.name, lang), labels)
    text = _with_legend(result.sections, [head], lang)
    return text + "".join(f"\n{visible(line)}\n" for line in result.lines)


def _schema(result: Result, table: str) -> str:
    """Return the schema of a table where a section shows it."""
    return next((s.schema for s in result.sections if s.key == table), "")


def _with_legend(sections: Sequence[Section], blocks: list[str], lang: PageLang) -> str:
    """Write sections below other blocks, and explain their columns in Chinese."""
    for part in sections:
        head = title(part.key, lang) if part.key else ""
        rows = max(len(part.frame), 1)
        blocks.append(text_table(part.frame, head, table=part.schema, max_rows=rows))
    names = [str(c) for part in sections for c in part.frame.columns]
    explained = legend([n for n in names if not n.endswith(("_low", "_high"))], lang)
    return "\n\n".join([*blocks, explained] if explained else blocks) + "\n"


def _json(result: Result) -> str:
    """Write facts and all tables as one JSON object."""
    tables = {
        name: json.loads(format_table(frame, format="json"))
        for name, frame in result.tables.items()
    }
    whole = {"schema": f"selfloop.{result.name}/1", **result.facts, **tables}
    return json.dumps(whole, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _markdown(result: Result, lang: PageLang) -> str:
    """Write facts and all tables as Markdown."""
    blocks = [f"# {title(result.name, lang)}"]
    if result.labels:
        blocks.append("\n".join(f"- {title(k, lang)}: {v}" for k, v in result.labels))
    for name, frame in result.tables.items():
        blocks += [f"## {name}", format_table(frame, format="md").rstrip()]
    return "\n\n".join(blocks) + "\n"


def empty(table: str) -> pd.DataFrame:
    """Return a table without rows.

    Parameters
    ----------
    table : str
        Name in `selfloop.core.schema.TABLES`.

    Returns
    -------
    pandas.DataFrame
    """
    return pd.DataFrame(columns=schema.names(table))


def paragraph(sentences: "Sequence[Sentence]", lang: Lang) -> str:
    """Join sentences for a terminal.

    Parameters
    ----------
    sentences : sequence of Sentence
        What is said.
    lang : {"en", "zh"}
        Language.

    Returns
    -------
    str
        Nothing is strong here.
    """
    gap = "" if lang == "zh" else " "
    shown = gap.join(text(s.key, lang, **s.values) for s in sentences)
    return shown.replace("**", "")
