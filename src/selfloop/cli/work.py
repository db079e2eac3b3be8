"""What commands that compute share: a scratch folder, progress, reading, targets."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import duckdb

from selfloop.cli.manner import Manner
from selfloop.cli.options import STREAM, Inputs
from selfloop.cli.steps import steps
from selfloop.inputs.duckdb_engine import failure
from selfloop.inputs.events import Events, read_events
from selfloop.inputs.textfiles import copy_stream
from selfloop.outputs.files import whole_file

Say = Callable[[str], None]


@contextmanager
def working(manner: Manner) -> Iterator[Say]:
    """Work in a scratch folder that is gone afterwards, showing the steps.

    Parameters
    ----------
    manner : Manner
        Whether steps are shown.

    Yields
    ------
    callable
        Called with a short text at the start of each step.

    Raises
    ------
    FileError, DataError
        The engine has stopped; see `selfloop.inputs.engine.failure`.
    """
    try:
        with _scratch(), steps(shown=manner.shows_steps) as say:
            yield say
    except duckdb.Error as error:
        explained = failure(error)
        if explained is error:
            raise
        raise explained from error


@contextmanager
def _scratch() -> Iterator[None]:
    """Keep every temporary file in one folder and remove it on every way out."""
    with tempfile.TemporaryDirectory(
        prefix="selfloop-", ignore_cleanup_errors=True
    ) as folder:
        usual = tempfile.tempdir
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = usual


def read(inputs: Inputs, say: Say) -> Events:
    """Read the events of a command; ``-`` is standard input.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    say : callable
        Called at the start of each step.

    Returns
    -------
    Events

    Raises
    ------
    DataError, FileError, SettingError
        As `selfloop.read_events`.
    """
    sources = fetched(inputs, say).sources
    orders = sources.pop("orders")
    tables: dict[str, Any] = {**sources, **inputs.settings}
    return read_events(orders, **tables, progress=say)


def fetched(inputs: Inputs, say: Say) -> Inputs:
    """Return inputs of which every table can be opened by name, and again.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    say : callable
        Called before standard input is read.

    Returns
    -------
    Inputs
    """
    names = {table: local(source, say) for table, source in inputs.sources.items()}
    return replace(inputs, sources=names)


def local(source: str, say: Say) -> str:
    """Return a source that can be opened by name.

    Parameters
    ----------
    source : str
        A path or glob, or ``-``, which is copied to a file first.
    say : callable
        Called before standard input is read.

    Returns
    -------
    str
    """
    if source != STREAM:
        return source
    say("reading standard input")
    # CSV by its name; a folder of its own keeps the name free.
    target = Path(tempfile.mkdtemp()) / "stdin.csv"
    copy_stream(sys.stdin.buffer, target)
    return str(target)


def target(out: str, suffixes: tuple[str, ...]) -> Path:
    """Check, before any work, that a file of this name can be written.

    Parameters
    ----------
    out : str
        What the user gave.
    suffixes : tuple of str
        Suffixes of the formats that can be written.

    Returns
    -------
    Path

    Raises
    ------
    click.BadParameter
        The suffix is none of these.
    FileError
        The folder is missing or cannot be written to.
    """
    path = Path(out)
    if path.suffix.lower() not in suffixes:
        allowed = ", ".join(suffixes)
        raise click.BadParameter(
            f"the format follows from the suffix, one of {allowed}; got {path.name!r}",
            param_hint="-o",
        )
    with suppress(_OnlyTryingError), whole_file(path):
        raise _OnlyTryingError
    return path


class _OnlyTryingError(Exception):
    """Leaves a file that was opened only to see whether it can be."""


def size(path: Path) -> str:
    """Return the size of a file as people read it.

    Parameters
    ----------
    path : Path
        An existing file.

    Returns
    -------
    str
        Such as ``98 KB``.
    """
    n = float(path.stat().st_size)
    for unit in ("bytes", "KB", "MB"):
        if n < 1000:
            digits = 0 if n >= 10 or unit == "bytes" else 1
            return f"{n:.{digits}f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"


def n_unreadable(events: Events) -> int:
    """Count the rows that could not be read.

    Parameters
    ----------
    events : Events
        Read with ``on_bad_rows="quarantine"``.

    Returns
    -------
    int
    """
    audit = events.audit
    return int(audit.loc[audit["outcome"] == "rejected", "n_rows"].sum())
