"""Run one of the programs in a process of its own and read what it wrote down."""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class ChildError(Exception):
    """A program ended with an error; the text is the end of what it said."""


@dataclass(frozen=True)
class Run:
    """One run of a program, from the start of the process to its last step.

    Parameters
    ----------
    seconds : float
        Wall time; the limit when it did not finish.
    cpu_seconds : float
        Processor time of all threads, up to the last step it began.
    peak_bytes : int
        Most memory held, up to the last step it began.
    is_finished : bool
        Whether it came to the end within the limit.
    steps : dict of str to float
        Seconds of each step, in order; of the last one up to the limit.
    answers : dict
        Its results; empty when it did not finish.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    is_finished: bool
    steps: dict[str, float]
    answers: dict[str, Any] = field(repr=False)


def run_script(name: str, *arguments: str, limit: float | None = None) -> Run:
    """Run a script of this folder and stop it after `limit` seconds of wall time.

    Raises
    ------
    ChildError
        The script failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        record, said = Path(folder) / "record", Path(folder) / "said"
        with said.open("w", encoding="utf-8") as stream:
            started = time.monotonic()
            command = [sys.executable, str(HERE / name), *arguments, str(record)]
            process = subprocess.Popen(
                [*command, repr(started)], stdout=stream, stderr=stream
            )
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                process.kill()
                process.wait()
        if code not in (0, None):
            words = said.read_text(encoding="utf-8").strip()[-2000:]
            raise ChildError(f"{name} ended with code {code}:\n{words}")
        # A line that was being written when the process was stopped has no end.
        lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
    return _run(
        [json.loads(line) for line in lines if line.endswith("\n")], limit or 0.0
    )


def _run(lines: list[dict[str, Any]], limit: float) -> Run:
    """Put the lines of a stopwatch together."""
    steps: dict[str, float] = {}
    marks = [line for line in lines if "step" in line]
    is_finished = marks[-1]["step"] is None
    ends = [mark["at"] for mark in marks[1:]]
    if not is_finished:
        ends.append(limit)
    for mark, end in zip(marks, ends, strict=False):
        name = mark["step"]
        steps[name] = steps.get(name, 0.0) + end - mark["at"]
    return Run(
        seconds=ends[-1],
        cpu_seconds=marks[-1]["cpu"],
        peak_bytes=marks[-1]["peak"],
        is_finished=is_finished,
        steps=steps,
        answers=next((line["answers"] for line in lines if "answers" in line), {}),
    )


def shortest(command: list[str], *, times: int) -> float:
    """Return the least wall time of a command out of several.

    Raises
    ------
    ChildError
        The command failed.
    """
    found = []
    for _ in range(times):
        started = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found.append(time.monotonic() - started)
        if done.returncode:
            raise ChildError(f"{command} ended with {done.returncode}:\n{done.stderr}")
    return min(found)
