"""The report of an analysis: HTML, JSON and Markdown from the same numbers."""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from selfloop.core.errors import SettingError
from selfloop.core.settings import check_choice
from selfloop.outputs.files import whole_file
from selfloop.outputs.report.markdown import markdown
from selfloop.outputs.report.numbers import report_numbers
from selfloop.outputs.report.page import EmbedFont, page
from selfloop.outputs.report.voice import PageLang

if TYPE_CHECKING:
    from selfloop.measures.analyze import Analysis

__all__ = ["FORMATS", "Report", "write_report"]

FORMATS = (".html", ".json", ".md")
"""Suffixes that `write_report` knows."""


@dataclass(frozen=True)
class Report:
    """A report that has been written.

    Parameters
    ----------
    paths : tuple of pathlib.Path
        The files, the one that was asked for first.
    numbers : dict
        What they say; see `selfloop.outputs.report.numbers.report_numbers`.
    """

    paths: tuple[Path, ...]
    numbers: dict[str, Any] = field(repr=False)

    @property
    def path(self) -> Path:
        """The file that was asked for."""
        return self.paths[0]


def write_report(
    analysis: "Analysis",
    path: str | os.PathLike[str],
    *,
    lang: PageLang = "both",
    title: str | None = None,
    embed_font: EmbedFont = "auto",
    now: datetime | None = None,
) -> Report:
    """Write the report of an analysis; the suffix says the format.

    Parameters
    ----------
    analysis : Analysis
        From `selfloop.analyze`.
    path : path
        Target, ending in ``.html`` (the same numbers go to ``.json`` beside it),
        ``.json`` or ``.md``.
    lang : {"both", "en", "zh"}, optional
        Languages; a page in both has a switch.
    title : str, optional
        Title, such as the name of the shop.
    embed_font : {"auto", "always", "never"}, optional
        Chinese characters as a font in the page: where the reader has none, always,
        or never.
    now : datetime, optional
        When the report is made; by default ``SOURCE_DATE_EPOCH`` or the clock.

    Returns
    -------
    Report
        The files and the numbers.

    Raises
    ------
    SettingError
        When the suffix, the language or `embed_font` is not one of these.
    FileError
        When a file cannot be written. Files appear when they are complete; nothing
        half-written is left behind.

    Examples
    --------
    >>> import tempfile
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=300, seed=7)
    >>> analysis = sl.analyze(sl.read_events(shop.orders, shop.referrals))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = sl.write_report(analysis, f"{folder}/report.html")
    ...     [file.name for file in report.paths]
    ['report.html', 'report.json']
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in FORMATS:
        raise SettingError(
            f"the format follows from the suffix, one of {', '.join(FORMATS)}; "
            f"got {target.name!r}"
        )
    check_choice("lang", lang, get_args(PageLang))
    check_choice("embed_font", embed_font, get_args(EmbedFont))
    numbers = report_numbers(analysis, title=title, now=now)
    makers: dict[str, Callable[[], str]] = {
        ".html": lambda: page(
            numbers,
            lang=lang,
            embed_font=embed_font,
            json_name=target.with_suffix(".json").name,
        ),
        ".json": lambda: json.dumps(numbers, ensure_ascii=False, indent=1) + "\n",
        ".md": lambda: markdown(numbers, lang=lang),
    }
    files = {target: makers[suffix]()}
    if suffix == ".html":
        files[target.with_suffix(".json")] = makers[".json"]()
    # All are written before the first appears; the one asked for appears first.
    with ExitStack() as stack:
        for file, content in reversed(files.items()):
            place = stack.enter_context(whole_file(file))
            place.write_text(content, encoding="utf-8")
    return Report(tuple(files), numbers)
