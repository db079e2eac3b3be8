"""Kaplan-Meier with interval of a million people, by one program in this process.

Run by `repeat.py`: curve_work.py JOB RECORD STARTED, where JOB is JSON. The people are
drawn with a seed: three in five buy again after a lognormal gap, watched for up to two
years. They come three ways: days with fractions, as differences of timestamps are;
whole days; and whole days in ten segments.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from stopwatch import Stopwatch, peak_bytes

N_SEGMENTS = 10
DAYS = (30, 90, 180, 365, 700)
"""Where the curves are compared."""

MODULES = {"selfloop": "selfloop.kernels.survival", "lifelines": "lifelines"}
Curve = list[list[float]]
"""Share, low and high at each of `DAYS`."""


def people(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return time watched or to the event, whether it came, and the segment."""
    rng = np.random.default_rng(7)
    when = np.where(rng.random(n) < 0.62, rng.lognormal(np.log(45), 0.9, n), np.inf)
    watched = rng.uniform(0, 730, n)
    return np.minimum(when, watched), when <= watched, rng.integers(0, N_SEGMENTS, n)


def selfloop(
    time_: np.ndarray, event: np.ndarray, segment: np.ndarray | None
) -> list[Curve]:
    """Count people by whole day in one pass, then estimate a curve per segment."""
    from selfloop.kernels.survival import cif_at, kaplan_meier

    day = time_ if time_.dtype.kind == "i" else time_.astype(np.int64)
    size, n = int(day.max()) + 1, 1 if segment is None else N_SEGMENTS
    cell = day if segment is None else segment * size + day
    counts = np.bincount(2 * cell + event, minlength=2 * size * n)
    found = []
    for left, came in counts.reshape(n, size, 2).transpose(0, 2, 1):
        at = cif_at(kaplan_meier(came, left), DAYS)
        found.append(np.column_stack([at.cif, at.low, at.high]).tolist())
    return found


def lifelines(
    time_: np.ndarray, event: np.ndarray, segment: np.ndarray | None
) -> list[Curve]:
    """Fit each segment."""
    if segment is None:
        return [_lifelines(time_, event)]
    masks = (segment == s for s in range(N_SEGMENTS))
    return [_lifelines(time_[mask], event[mask]) for mask in masks]


def _lifelines(time_: np.ndarray, event: np.ndarray) -> Curve:
    """Fit as its documentation says."""
    import lifelines as ll

    found = ll.KaplanMeierFitter().fit(time_, event)
    share = 1 - found.survival_function_at_times(DAYS).to_numpy()
    band = found.confidence_interval_
    place = np.searchsorted(band.index.to_numpy(), DAYS, side="right") - 1
    ends = 1 - band.to_numpy()[place]
    return np.column_stack([share, ends[:, 1], ends[:, 0]]).tolist()


PROGRAMS: dict[str, Callable[..., list[Curve]]] = {
    "selfloop": selfloop,
    "lifelines": lifelines,
}


def main(job: dict[str, Any], watch: Stopwatch) -> None:
    """Do every way a few times and hand over the least time of each."""
    program = job["program"]
    import_module(MODULES[program])
    fit = PROGRAMS[program]
    exact, event, segment = people(job["people"])
    whole = exact.astype(np.int64)
    ways = {
        "days with fractions": (exact, None),
        "whole days": (whole, None),
        "whole days, ten segments": (whole, segment),
    }
    watch.step("work")
    seconds, curves = {}, {}
    for way, (times, by) in ways.items():
        runs = []
        for _ in range(job["repeat"]):
            started = time.perf_counter()
            curves[way] = fit(times, event, by)
            runs.append(time.perf_counter() - started)
        seconds[way] = min(runs)
    watch.step(None)
    watch.answer({
        "seconds": seconds, "curves": curves, "peak_bytes": peak_bytes(),
        "version": version(program),
    })  # fmt: skip


if __name__ == "__main__":
    text, record, started = sys.argv[1:]
    asked = json.loads(text)
    python = asked.pop("python", None)
    if python is not None:  # the packages of this program live elsewhere
        os.execv(python, [python, __file__, json.dumps(asked), record, started])
    main(asked, Stopwatch(Path(record), started=float(started)))
