"""How a command speaks: streams, languages, and words for what went wrong."""

import errno
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import click

from selfloop.core.errors import FileError, Problem, SelfloopError

Lang = Literal["en", "zh"]
PageLang = Literal["en", "zh", "both"]


@dataclass(frozen=True)
class Manner:
    """How a command speaks.

    Parameters
    ----------
    quiet : bool
        Say nothing on standard error but errors.
    progress : bool
        Show what is being done, on a terminal.
    lang : {"en", "zh", "both"} or None
        What the user asked for; None when nothing was asked.
    """

    quiet: bool = False
    progress: bool = True
    lang: PageLang | None = None

    @property
    def voice(self) -> Lang:
        """The one language of sentences: as asked, else of the environment."""
        return self.lang if self.lang in ("en", "zh") else environment_lang(os.environ)

    @property
    def shows_steps(self) -> bool:
        """Whether somebody watches the progress."""
        watched = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        return watched and self.progress and not self.quiet

    def tell(self, line: str) -> None:
        """Say a line on standard error, unless quiet."""
        if not self.quiet:
            say(line)


def environment_lang(environment: Mapping[str, str]) -> Lang:
    """Return the language of the environment, Chinese or else English.

    Parameters
    ----------
    environment : mapping of str to str
        Variables such as ``LANG``; ``LC_ALL`` wins over ``LC_MESSAGES`` over it.

    Returns
    -------
    {"en", "zh"}

    Examples
    --------
    >>> environment_lang({"LANG": "zh_CN.UTF-8"}), environment_lang({"LANG": "C"})
    ('zh', 'en')
    """
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(name):
            return "zh" if environment[name].lower().startswith("zh") else "en"
    return "en"


def visible(text: str) -> str:
    r"""Return a text whose control characters are written out.

    A value of a file may hold sequences that move the cursor of a terminal.

    Parameters
    ----------
    text : str
        Any text; its line ends stay.

    Returns
    -------
    str

    Examples
    --------
    >>> visible("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def say(text: str) -> None:
    """Write lines to standard error, where nobody may be reading any more.

    Parameters
    ----------
    text : str
        What to say; control characters are written out.
    """
    with suppress(BrokenPipeError):
        click.echo(visible(text), err=True)


def put(text: str) -> None:
    """Write a result to standard output.

    Parameters
    ----------
    text : str
        All of it. To a file or a pipe it goes as UTF-8, to a terminal in what the
        terminal has.

    Raises
    ------
    FileError
        Standard output cannot be written.
    BrokenPipeError
        Nobody reads it any more.
    """
    encoding = (sys.stdout.isatty() and sys.stdout.encoding) or "utf-8"
    put_bytes(text.encode(encoding, "replace"))


def put_bytes(content: bytes) -> None:
    """Write a result to standard output as it is.

    Parameters
    ----------
    content : bytes
        All of it.

    Raises
    ------
    FileError
        Standard output cannot be written.
    BrokenPipeError
        Nobody reads it any more.
    """
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        code = "SL142" if error.errno == errno.ENOSPC else "SL144"
        found = f"standard output cannot be written: {error.strerror or error}"
        raise FileError([Problem(code, "", found, "choose another place")]) from error


def discard_output() -> None:
    """Let what standard output still holds go nowhere, so that the exit is quiet."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


def complain(error: SelfloopError) -> None:
    """Say on standard error what went wrong and how to mend it.

    Parameters
    ----------
    error : SelfloopError
        All of its problems are listed.
    """
    problems: tuple[Problem, ...] = getattr(error, "problems", ())
    if problems:
        text = "\n\n".join(problem_lines(problem) for problem in problems)
    else:
        text = f"error: {error}"
        if error.code not in text:
            text += f"\n  code   {error.code}"
    say(text)


def problem_lines(problem: Problem) -> str:
    """Write one problem as the command line shows it.

    Parameters
    ----------
    problem : Problem
        What was found.

    Returns
    -------
    str
        Up to four lines: found, first examples, what helps here, code.

    Examples
    --------
    >>> print(problem_lines(Problem("SL103", "orders", "no rows", "check the file")))
    error: orders: no rows
      help   check the file
      code   SL103
    """
    where = f"{problem.table}: " if problem.table else ""
    lines = [f"error: {where}{problem.found}"]
    if problem.examples:
        lines.append("  first  " + " · ".join(problem.examples))
    lines.append(f"  help   {problem.fix_cli or problem.fix}")
    lines.append(f"  code   {problem.code}")
    return "\n".join(lines)


def complain_usage(error: click.ClickException) -> None:
    """Say on standard error how a command is used.

    Parameters
    ----------
    error : click.ClickException
        What click found wrong.
    """
    context = getattr(error, "ctx", None)
    lines = [f"error: {error.format_message()}"]
    if context is not None:
        lines.insert(0, context.get_usage())
        lines.append(f"  help   {context.command_path} --help")
    say("\n".join(lines))
