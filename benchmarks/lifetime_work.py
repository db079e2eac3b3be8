"""One fit or prediction of one program, timed, in this process.

Run by `lifetime.py`: lifetime_work.py JOB RECORD STARTED, where JOB is JSON. Packages
are imported by the programs that need them: this file also runs where selfloop is not
installed.
"""

import json
import os
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from lifetime_data import read_customers
from stopwatch import Stopwatch, cpu_seconds, peak_bytes

Data = dict[str, np.ndarray]
Params = dict[str, float]

WEEKS_AHEAD = 52
MONTHS_AHEAD = 12
ANNUAL_RATE = 0.1
MONTHLY_RATE = (1 + ANNUAL_RATE) ** (1 / 12) - 1

PARAMETERS = {
    "bg_nbd": ("r", "alpha", "a", "b"),
    "mbg_nbd": ("r", "alpha", "a", "b"),
    "pareto_nbd": ("r", "alpha", "s", "beta"),
    "gamma_gamma": ("p", "q", "v"),
}
FITTERS = {
    "bg_nbd": "BetaGeoFitter",
    "mbg_nbd": "ModifiedBetaGeoFitter",
    "pareto_nbd": "ParetoNBDFitter",
    "gamma_gamma": "GammaGammaFitter",
}
"""Models of lifetimes."""

PYMC_MODELS = {
    "bg_nbd": "BetaGeoModel",
    "mbg_nbd": "ModifiedBetaGeoModel",
    "pareto_nbd": "ParetoNBDModel",
    "gamma_gamma": "GammaGammaModel",
}
"""Models of pymc-marketing."""

FEW = 200
"""Customers that its models are made with, to predict for others."""


class Program(ABC):
    """What every program can be asked; the data are ready when it begins."""

    package: str
    modules: tuple[str, ...]
    """Loaded before anything is timed."""

    def __init__(self, model: str, data: Data) -> None:
        for module in self.modules:
            import_module(module)
        self.model = model
        self.data = data
        if model == "gamma_gamma":
            again = data["x"] > 0
            self.data = {name: column[again] for name, column in data.items()}

    @abstractmethod
    def fit(self) -> Params:
        """Estimate the parameters of the model."""

    @abstractmethod
    def predictions(
        self, params: Params, spend: Params
    ) -> dict[str, Callable[[], Any]]:
        """Return what is to be predicted, with parameters that are given."""

    def version(self) -> str:
        """Name the package and its version."""
        return f"{self.package} {version(self.package)}"


class Selfloop(Program):
    """This package."""

    package = "selfloop"
    modules = ("selfloop.kernels.purchase_models", "selfloop.kernels.gamma_gamma")

    def fit(self) -> Params:
        """Compress the customers to distinct rows and fit these."""
        from selfloop.kernels import gamma_gamma
        from selfloop.kernels.purchase_fit import fit_purchases
        from selfloop.kernels.purchase_models import purchase_model

        data = self.data
        if self.model == "gamma_gamma":
            return gamma_gamma.fit(data["x"], total=data["total"]).params
        model = purchase_model(self.model)
        return fit_purchases(
            model, data["x"], recency=data["recency"], age=data["age"]
        ).params

    def predictions(
        self, params: Params, spend: Params
    ) -> dict[str, Callable[[], Any]]:
        """Predict for distinct histories."""
        from selfloop.kernels.gamma_gamma import expected_spend
        from selfloop.kernels.horizon import steps
        from selfloop.kernels.purchase_models import purchase_model
        from selfloop.measures.lifetime.flow import Flow, Histories, flow

        model, values = purchase_model(self.model), list(params.values())
        x, recency, age = (self.data[name] for name in ("x", "recency", "age"))

        def ahead(days: float, rate: float) -> Flow:
            """Return what is to come within some days."""
            cut = steps(days, discount_rate=rate)
            rows = Histories(x, recency, age)
            return flow(model, values, rows, unit_days=7, cut=cut)

        def purchases() -> np.ndarray:
            """Return expected purchases."""
            found = ahead(7 * WEEKS_AHEAD, 0.0)
            return found.p_alive * found.if_alive

        def value() -> np.ndarray:
            """Return discounted value."""
            found = ahead(365.25, ANNUAL_RATE)
            each = expected_spend(list(spend.values()), x=x, total=self.data["total"])
            return found.p_alive * found.discounted * each

        return {
            "purchases": purchases,
            "alive": lambda: model.p_alive(values, x=x, recency=recency, age=age),
            "value": value,
        }


class Lifetimes(Program):
    """The package lifetimes, as its documentation shows."""

    package = "lifetimes"
    modules = ("lifetimes",)

    def __init__(self, model: str, data: Data) -> None:
        import pandas as pd

        super().__init__(model, data)
        columns = self.data
        self.columns = [pd.Series(columns[c]) for c in ("x", "recency", "age")]
        self.mean = pd.Series(columns["total"] / np.maximum(columns["x"], 1))

    def _fitter(self, model: str) -> Any:
        """Return a fitter that is not fitted."""
        import lifetimes

        # Its Pareto/NBD starts from these random numbers.
        np.random.seed(0)  # noqa: NPY002 - lifetimes draws from no other state
        return getattr(lifetimes, FITTERS[model])()

    def fit(self) -> Params:
        """Fit all customers."""
        fitter = self._fitter(self.model)
        if self.model == "gamma_gamma":
            fitter.fit(self.columns[0], self.mean)
        else:
            fitter.fit(*self.columns)
        return dict(fitter.params_)

    def predictions(
        self, params: Params, spend: Params
    ) -> dict[str, Callable[[], Any]]:
        """Predict with fitters that are given their parameters."""
        import pandas as pd

        fitter, money = self._fitter(self.model), self._fitter("gamma_gamma")
        fitter.params_, money.params_ = pd.Series(params), pd.Series(spend)
        ask = fitter.conditional_expected_number_of_purchases_up_to_time
        fitter.predict = ask
        return {
            "purchases": lambda: ask(WEEKS_AHEAD, *self.columns),
            "alive": lambda: fitter.conditional_probability_alive(*self.columns),
            "value": lambda: money.customer_lifetime_value(
                fitter, *self.columns, self.mean,
                time=MONTHS_AHEAD, discount_rate=MONTHLY_RATE, freq="W",
            ),
        }  # fmt: skip


class PymcMarketing(Program):
    """The package pymc-marketing: maximum a posteriori with flat priors."""

    package = "pymc-marketing"
    modules = ("pymc_marketing.clv",)

    def __init__(self, model: str, data: Data) -> None:
        import pandas as pd

        super().__init__(model, data)
        columns = self.data
        self.frame = pd.DataFrame(
            {
                "customer_id": np.arange(columns["x"].size),
                "frequency": columns["x"].astype(np.int64),
                "recency": columns["recency"],
                "T": columns["age"],
                "monetary_value": columns["total"] / np.maximum(columns["x"], 1),
            }
        )

    def _fitted(self, model: str, frame: Any, most: int = 5000) -> Any:
        """Return a fitted model; `most` evaluations, by default what is the default."""
        from pymc_extras.prior import Prior
        from pymc_marketing import clv

        flat = {name: Prior("HalfFlat") for name in PARAMETERS[model]}
        made = getattr(clv, PYMC_MODELS[model])(model_config=flat)
        made.fit(data=frame, method="map", progressbar=False, maxeval=most)
        return made

    def fit(self) -> Params:
        """Fit all customers."""
        made = self._fitted(self.model, self.frame)
        names = PARAMETERS[self.model]
        return {n: float(made.fit_result[n].values.ravel()[0]) for n in names}

    def predictions(
        self, params: Params, spend: Params
    ) -> dict[str, Callable[[], Any]]:
        """Predict with models of a few customers that are given their parameters."""
        few = self.frame[self.frame["frequency"] > 0].head(FEW)
        made = self._fitted(self.model, few, most=5)
        money = self._fitted("gamma_gamma", few, most=5)
        for model, given in ((made, params), (money, spend)):
            for name, number in given.items():
                model.idata.posterior[name].values[...] = number
        return {
            "purchases": lambda: made.expected_purchases(
                self.frame, future_t=WEEKS_AHEAD
            ).to_numpy(),
            "alive": lambda: made.expected_probability_alive(self.frame).to_numpy(),
            "value": lambda: money.expected_customer_lifetime_value(
                transaction_model=made, data=self.frame.copy(),
                future_t=MONTHS_AHEAD, discount_rate=MONTHLY_RATE, time_unit="W",
            ).to_numpy(),
        }  # fmt: skip


PROGRAMS: dict[str, type[Program]] = {
    "selfloop": Selfloop,
    "lifetimes": Lifetimes,
    "pymc": PymcMarketing,
}


def main(job: dict[str, Any], watch: Stopwatch) -> None:
    """Read the customers and do what is asked, several times if it is quick."""
    watch.step("reading")
    data = read_customers(Path(job["folder"]), job["n"])
    program = PROGRAMS[job["program"]](job["model"], data)
    if job["kind"] == "fit":
        tasks: dict[str, Callable[[], Any]] = {"fit": program.fit}
    else:
        watch.step("preparing")
        tasks = program.predictions(job["params"], job["spend"])
    runs, found = {}, {}
    for name, task in tasks.items():
        watch.step(name)
        runs[name], found[name] = _timed(task, job["repeat"], job["patience"])
    peak = peak_bytes()
    watch.step(None)
    answers = {"runs": runs, "peak_bytes": peak, "version": program.version()}
    if job["kind"] == "fit":
        answers["params"] = found["fit"]
    else:
        np.savez(job["answers"], **{k: np.ravel(v) for k, v in found.items()})
    watch.answer(answers)


def _timed(
    task: Callable[[], Any], repeat: int, patience: float
) -> tuple[list[tuple[float, float]], Any]:
    """Do a task, and again while it is quick; return wall and processor seconds."""
    runs: list[tuple[float, float]] = []
    while len(runs) < repeat and sum(wall for wall, _ in runs) <= patience:
        wall, cpu = time.perf_counter(), cpu_seconds()
        found = task()
        runs.append((time.perf_counter() - wall, cpu_seconds() - cpu))
    return runs, found


if __name__ == "__main__":
    text, record, started = sys.argv[1:]
    asked = json.loads(text)
    python = asked.pop("python", None)
    if python is not None:  # the packages of this program live elsewhere
        os.execv(python, [python, __file__, json.dumps(asked), record, started])
    warnings.simplefilter("ignore")
    main(asked, Stopwatch(Path(record), started=float(started)))
