"""Show what is being done, on a terminal and only when it takes time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

DELAY_SECONDS = 1.0
"""Shorter work shows nothing."""


@contextmanager
def steps(*, shown: bool) -> Iterator[Callable[[str], None]]:
    """Give a function that says what is being done.

    Parameters
    ----------
    shown : bool
        Whether anybody watches; otherwise the function does nothing.

    Yields
    ------
    callable
        Called with a short text at the start of each step.

    Examples
    --------
    >>> with steps(shown=False) as say:
    ...     say("reading orders")
    """
    if not shown:
        yield _say_nothing
        return
    line = _Line()
    timer = threading.Timer(DELAY_SECONDS, line.open)
    timer.daemon = True
    timer.start()
    try:
        yield line.say
    finally:
        timer.cancel()
        line.close()


def _say_nothing(_: str) -> None:
    """Say nothing."""


class _Line:
    """One moving line on standard error: what is being done, and for how long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text = "starting"
        self._bar: Any = None
        self._is_closed = False

    def say(self, text: str) -> None:
        """Change the text."""
        with self._lock:
            self._text = text
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], description=text)

    def open(self) -> None:
        """Begin to show the line."""
        # rich is slow to import, and short work does not need it.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import (  # noqa: PLC0415
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        with self._lock:
            if self._is_closed:
                return
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._bar.add_task(self._text, total=None)
            self._bar.start()

    def close(self) -> None:
        """Take the line away."""
        with self._lock:
            self._is_closed = True
            if self._bar is not None:
                self._bar.stop()
