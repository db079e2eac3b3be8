"""The package lifetimes as a second engine, and the way from and to its objects."""

import math
import warnings
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from selfloop.core.errors import FitError, FitWarning, SettingError
from selfloop.inputs.events import Events
from selfloop.kernels.fitting import at_point
from selfloop.kernels.purchase_fit import check_customers, fit_purchases, typical_sizes
from selfloop.kernels.purchase_models import purchase_model
from selfloop.kernels.rows import distinct_rows
from selfloop.measures.lifetime.flow import histories
from selfloop.measures.lifetime.population import Population, population
from selfloop.measures.lifetime.single import Fitted

FITTERS = {
    "bg_nbd": "BetaGeoFitter",
    "mbg_nbd": "ModifiedBetaGeoFitter",
    "pareto_nbd": "ParetoNBDFitter",
}
"""Models that lifetimes has too, and what it calls them."""

_WORSE = 0.01  # of log-likelihood: two prints of one optimum differ by less


def fit_with_lifetimes(name: str, whom: Population, *, unit_days: float) -> Fitted:
    """Let lifetimes search for the parameters, and check where it ended.

    Parameters
    ----------
    name : str
        Name of the model.
    whom : Population
        The buyers.
    unit_days : float
        Unit of time of the parameters, in days.

    Returns
    -------
    Fitted
        Its estimates, with our log-likelihood and covariance at them. A `FitWarning`
        says when the likelihood is higher elsewhere.

    Raises
    ------
    FitError
        When lifetimes does not converge.
    SettingError
        When the package is missing, or does not have the model.
    """
    if name not in FITTERS:
        raise SettingError(
            f"engine='lifetimes' has the models {', '.join(FITTERS)}; got {name!r}"
        )
    kernel = purchase_model(name)
    x, recency, age = histories(whom.triples, unit_days)
    n_people = whom.triples.n_people
    check_customers(kernel, distinct_rows([x, recency, age], counts=n_people))
    fitter = _searched(FITTERS[name], [x, recency, age], n_people)
    found = taken_over(name, fitter, whom, unit_days=unit_days)
    best = fit_purchases(kernel, x, recency=recency, age=age, counts=n_people)
    lost = best.log_likelihood - found.fit.log_likelihood
    if lost > _WORSE:
        warnings.warn(
            f"lifetimes stopped {lost:,.3f} of log-likelihood below the maximum of "
            f"{kernel.label}; engine='selfloop' finds it",
            FitWarning,
            stacklevel=2,
        )
    return found


def _searched(fitter: str, columns: list[np.ndarray], n_people: np.ndarray) -> Any:  # noqa: ANN401 - an object of an optional package
    """Fit with lifetimes, from a fixed start, without leaving traces."""
    if find_spec("lifetimes") is None:
        raise SettingError(
            "engine='lifetimes' needs that package: pip install 'selfloop[lifetimes]'"
        )
    state = np.random.get_state()  # noqa: NPY002 - the start of its Pareto/NBD
    with warnings.catch_warnings():  # the package warns, and changes filters
        warnings.simplefilter("ignore")
        package = import_module("lifetimes")
        failure = import_module("lifetimes.utils").ConvergenceError
        try:
            np.random.seed(0)  # noqa: NPY002 - it draws from no other state
            fitted = getattr(package, fitter)().fit(*columns, weights=n_people)
        except failure as error:
            raise FitError(
                f"lifetimes did not converge ({fitter}); use engine='selfloop'"
            ) from error
        finally:
            np.random.set_state(state)  # noqa: NPY002 - that of the user
    params = {str(k): float(v) for k, v in fitted.params_.items()}
    if not all(math.isfinite(v) and v > 0 for v in params.values()):
        raise FitError(f"lifetimes ended at {params}; use engine='selfloop'")
    return fitted


def taken_over(
    name: str,
    fitter: Any,  # noqa: ANN401 - an object of an optional package
    whom: Population,
    *,
    unit_days: float,
) -> Fitted:
    """Describe what a fitted object of lifetimes says of a population.

    Parameters
    ----------
    name : str
        Name of its model here.
    fitter : object
        The fitted object.
    whom : Population
        The buyers.
    unit_days : float
        Its unit of time, in days.

    Returns
    -------
    Fitted
        Its estimates, with our log-likelihood and covariance at them.

    Raises
    ------
    SettingError
        When it is not fitted.
    FitError
        When a customer is impossible.
    """
    kernel = purchase_model(name)
    x, recency, age = histories(whom.triples, unit_days)
    rows = distinct_rows([x, recency, age], counts=whom.triples.n_people)
    check_customers(kernel, rows)
    found = at_point(
        kernel.objective,
        rows,
        names=kernel.parameters,
        estimates=params_of_fitter(fitter, kernel.parameters),
        typical=typical_sizes(kernel, rows),
    )
    return Fitted(name, {}, kernel, found)


def to_lifetimes_frame(events: Events, *, unit_days: float = 1.0) -> pd.DataFrame:
    """Return what lifetimes and its successors fit: frequency, recency, T, value.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    unit_days : float, optional
        Unit of time in days, above 0; 7 for weeks.

    Returns
    -------
    DataFrame
        Indexed by customer_id, in its order: frequency (repeat purchases), recency
        (age at the last one), T (age now), monetary_value (mean value of repeat
        purchases; 0 without any, as lifetimes wants it).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=500, seed=7)
    >>> list(to_lifetimes_frame(sl.read_events(shop.orders)).columns)
    ['frequency', 'recency', 'T', 'monetary_value']
    """
    Events.check(events)
    people = population(events).people
    frame: pd.DataFrame = people.select(
        "person_id", "n_purchases", "recency_days", "age_days", "repeat_value"
    ).to_pandas()
    frame = frame.set_index("person_id").sort_index()
    frame.index.name = "customer_id"
    x = frame["n_purchases"].astype("int64") - 1
    mean = frame["repeat_value"] / x.where(x > 0)
    return pd.DataFrame(
        {
            "frequency": x,
            "recency": frame["recency_days"] / unit_days,
            "T": frame["age_days"] / unit_days,
            "monetary_value": mean.fillna(0.0),
        }
    )


def params_of_fitter(fitter: Any, names: tuple[str, ...]) -> list[float]:  # noqa: ANN401
    """Return the parameters of a fitted object of lifetimes.

    Parameters
    ----------
    fitter : object
        A fitted ``BetaGeoFitter``, ``GammaGammaFitter`` or the like.
    names : tuple of str
        The parameters to take, in order.

    Returns
    -------
    list of float

    Raises
    ------
    SettingError
        When it is not fitted, or has other parameters.
    """
    params = getattr(fitter, "params_", None)
    if params is None or not set(names) <= set(params.keys()):
        raise SettingError(
            f"fitter must be a fitted object of lifetimes with parameters "
            f"{', '.join(names)}; got {type(fitter).__name__}"
        )
    return [float(params[name]) for name in names]
