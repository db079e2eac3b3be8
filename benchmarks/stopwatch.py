"""Seconds, processor seconds and peak memory of the steps of this process.

Every line goes to a file at once, so that the process that started this one knows how
far it came when it is stopped.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    # Not ru_maxrss where it can be avoided: on Linux it starts at the size of the
    # process that started this one.
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def cpu_seconds() -> float:
    """Return the processor time of all threads of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Stopwatch:
    """Write down when each step of this process begins.

    Parameters
    ----------
    path : Path
        Where the lines go.
    started : float
        `time.monotonic` when the process was started, by the one that started it.
    """

    def __init__(self, path: Path, *, started: float) -> None:
        self._path = path
        self._started = started
        self._write({"step": "start and imports", "at": 0.0, "cpu": 0.0, "peak": 0})

    def step(self, name: str | None) -> None:
        """Begin a step; without a name, end the part that is measured."""
        at = time.monotonic() - self._started
        line = {"step": name, "at": at, "cpu": cpu_seconds(), "peak": peak_bytes()}
        self._write(line)

    def answer(self, answers: dict[str, Any]) -> None:
        """Hand over the results."""
        self._write({"answers": answers})

    def _write(self, line: dict[str, Any]) -> None:
        """Add a line to the file."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
