"""One fit with lifetimes on customers that are hard to fit, in this process.

Run by `stress.py`: stress_work.py MODEL FILE RECORD STARTED.
"""

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from lifetime_work import FITTERS
from stopwatch import Stopwatch

DISCRETE = {"bg_bb": "BetaGeoBetaBinomFitter"}


def main(model: str, path: Path, watch: Stopwatch) -> None:
    """Fit, and hand over where it has ended."""
    with np.load(path) as file:
        columns = [file[name] for name in ("x", "recency", "age")]
    watch.step("fit")
    found = _fit(model, columns)
    watch.step(None)
    watch.answer(found)


def _fit(model: str, columns: list[np.ndarray]) -> dict[str, Any]:
    """Return parameters, or the error of a search that did not converge."""
    import lifetimes
    from lifetimes.utils import ConvergenceError

    # Its Pareto/NBD starts from these random numbers.
    np.random.seed(0)  # noqa: NPY002 - lifetimes draws from no other state
    fitter = getattr(lifetimes, (FITTERS | DISCRETE)[model])()
    started = time.perf_counter()
    try:
        fitter.fit(*columns)
    except ConvergenceError:
        return {"error": "ConvergenceError"}
    errors = getattr(fitter, "standard_errors_", None)
    return {
        "seconds": time.perf_counter() - started,
        "params": {name: float(value) for name, value in fitter.params_.items()},
        "has_errors": None if errors is None else bool(np.isfinite(errors).all()),
    }


if __name__ == "__main__":
    name, file, record, started = sys.argv[1:]
    warnings.simplefilter("ignore")
    main(name, Path(file), Stopwatch(Path(record), started=float(started)))
