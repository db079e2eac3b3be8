"""Maximum likelihood for positive parameters: on counted rows, with a check of the end.

A model gives its log-likelihood and gradient on a set of `Rows`; everything else
(compressing, starting, converging, standard errors, saying so when the data do not
determine a parameter) is the same for every model and lives here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from selfloop.core.errors import FitError

FloatArray = npt.NDArray[np.float64]

Objective = Callable[[FloatArray], tuple[float, FloatArray]]
"""Parameters to the log-likelihood and its gradient, summed over all people."""

N_WARM = 20_000
"""People in the sample that a fit with many distinct rows starts from."""

_LOG_BOUND = 14.0  # parameters lie in exp(-14)..exp(14), with data scaled to about 1
_EDGE = 0.01  # this near to a bound is on it, in logs
_MAX_LOG_ERROR = 5.0  # a wider standard error of a log leaves four decades open
_FLAT = 1e-10  # curvature under the noise of numerical differences
_SHARE = 0.3  # of a unit step along which it is flat, for a parameter to be named
_STEP = 1e-4  # of the central differences, in logs
_GRADIENT = 1e-6  # largest gradient of the mean log-likelihood at a maximum


@dataclass(frozen=True, eq=False)
class Rows:
    """Distinct rows of data and how many people each stands for.

    Parameters
    ----------
    columns : tuple of ndarray of float64
        The columns, all of one length, in rising order of the rows.
    counts : ndarray of float64
        People per row, above 0.
    """

    columns: tuple[FloatArray, ...]
    counts: FloatArray

    @property
    def n_people(self) -> float:
        """People behind all rows."""
        return float(self.counts.sum())

    @property
    def n_distinct(self) -> int:
        """Distinct rows."""
        return int(self.counts.size)


@dataclass(frozen=True, eq=False)
class Fit:
    """Where a log-likelihood is largest, and how well the data say so.

    Parameters
    ----------
    names : tuple of str
        Names of the parameters.
    estimates : ndarray of float64
        Their estimates, above 0.
    covariance : ndarray of float64 or None
        Covariance of the estimates from the observed information; None when
        `at_bound` names anything, because there is no honest one.
    log_likelihood : float
        At the maximum, summed over all people.
    n_people : float
        People fitted.
    n_distinct : int
        Distinct rows fitted.
    n_evaluations : int
        Evaluations of the log-likelihood on all rows.
    gradient : float
        Largest derivative of the mean log-likelihood in log-parameters at the
        estimates, leaving out parameters that push against their bound.
    at_bound : tuple of str
        Parameters that the data do not determine: they run against the edge of
        their range, or the likelihood is flat in them.
    """

    names: tuple[str, ...]
    estimates: FloatArray
    covariance: FloatArray | None
    log_likelihood: float
    n_people: float
    n_distinct: int
    n_evaluations: int
    gradient: float
    at_bound: tuple[str, ...]

    @property
    def params(self) -> dict[str, float]:
        """Estimates by name."""
        return dict(zip(self.names, self.estimates.tolist(), strict=True))

    @property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors by name; empty when there is no covariance."""
        if self.covariance is None:
            return {}
        errors = np.sqrt(np.diag(self.covariance))
        return dict(zip(self.names, errors.tolist(), strict=True))


def dot(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Sum the products of two arrays.

    ``a @ b`` would wake the threads of BLAS for every call, which makes a fit with
    many short calls ten times slower, and more on a busy machine.

    Examples
    --------
    >>> dot(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    11.0
    """
    return float(np.einsum("i,i->", a, b))


def distinct_rows(
    columns: Sequence[npt.ArrayLike], *, counts: npt.ArrayLike | None = None
) -> Rows:
    """Return the distinct rows of a table and how many people each stands for.

    Parameters
    ----------
    columns : sequence of array_like of float, shape (n,)
        The columns, finite.
    counts : array_like of float, shape (n,), optional
        People per row, at least 0; one each by default. Rows of nobody go.

    Returns
    -------
    Rows
        In rising order of the first column, then the second, and so on; the order
        of the input does not matter.

    Raises
    ------
    ValueError
        When columns differ in length, a value is not finite, or a count is negative.

    Examples
    --------
    >>> rows = distinct_rows([[1, 0, 1], [5.0, 2.0, 5.0]])
    >>> rows.columns[0].tolist(), rows.counts.tolist()
    ([0.0, 1.0], [1.0, 2.0])
    """
    arrays = [np.asarray(c, dtype=np.float64) for c in columns]
    people = np.ones(arrays[0].shape) if counts is None else np.asarray(counts, float)
    if any(a.shape != people.shape or a.ndim != 1 for a in arrays):
        shapes = [a.shape for a in (*arrays, people)]
        raise ValueError(f"columns and counts must have one length, got {shapes}")
    if not all(np.isfinite(a).all() for a in (*arrays, people)) or (people < 0).any():
        raise ValueError("columns and counts must be finite and counts at least 0")
    kept = people > 0
    order = np.lexsort([a[kept] for a in reversed(arrays)])
    arrays = [a[kept][order] for a in arrays]
    people = people[kept][order]
    is_new = np.ones(people.size, dtype=np.bool_)
    if people.size:
        is_new[1:] = np.any([a[1:] != a[:-1] for a in arrays], axis=0)
    first = np.flatnonzero(is_new)
    counted = np.add.reduceat(people, first) if people.size else people
    return Rows(tuple(a[first] for a in arrays), counted)


def maximise(
    likelihood: Callable[[Rows], Objective],
    rows: Rows,
    *,
    names: Sequence[str],
    starts: Sequence[Sequence[float]],
    n_warm: int = N_WARM,
) -> Fit:
    """Find the parameters under which the rows are most likely.

    Parameters
    ----------
    likelihood : callable
        Gives the objective of a set of rows. Times and money should be scaled so
        that the parameters are of the order of 1.
    rows : Rows
        The data, with at least one row.
    names : sequence of str
        Names of the parameters, all of them positive.
    starts : sequence of sequence of float
        Points to start from. The later ones are used only when the first does not
        end in a maximum inside the range; the best maximum found then counts.
    n_warm : int, optional
        Size of the sample to start from. It is used when there are more than three
        times as many distinct rows.

    Returns
    -------
    Fit

    Raises
    ------
    FitError
        When no start ends at a point where the gradient vanishes.

    Notes
    -----
    The mean log-likelihood is maximised in the logs of the parameters by L-BFGS-B
    with its analytic gradient, within exp(-14) to exp(14). With many distinct rows,
    a systematic sample of `n_warm` people is fitted first; its curvature
    H = L L' turns the space so that all directions are alike,
    theta = theta_0 + L'^-1 z, and all rows then need only a few evaluations.
    One Newton step with the curvature of all rows ends the search. The curvature is
    the central difference of the analytic gradient, and the covariance its inverse.

    Examples
    --------
    >>> rows = distinct_rows([[1.0, 2.0, 3.0]])
    >>> def exponential(rows):
    ...     n, total = rows.n_people, float(rows.columns[0] @ rows.counts)
    ...     return lambda p: (n * np.log(p[0]) - p[0] * total, n / p - total)
    >>> fit = maximise(exponential, rows, names=["rate"], starts=[[1.0]])
    >>> round(fit.params["rate"], 9), round(fit.standard_errors["rate"], 6)
    (0.5, 0.288675)
    """
    search = _Search(likelihood(rows), rows.n_people)
    begin = np.log(np.asarray(starts, dtype=np.float64))
    theta = None
    if rows.n_distinct > 3 * n_warm:
        sample = _systematic_sample(rows, n_warm)
        rough = _Search(likelihood(sample), sample.n_people)
        warm = _best(rough, begin)
        if warm is not None:
            begin = np.vstack([warm, begin])
            theta = _whitened(search, warm, rough.curvature(warm))
    if theta is None:
        theta = _best(search, begin)
    if theta is None:
        raise FitError(
            f"the fit did not converge: no maximum of the likelihood was found in "
            f"{search.n_evaluations} evaluations from {len(begin)} starts, on "
            f"{rows.n_people:,.0f} people ({rows.n_distinct:,} distinct rows)"
        )
    return _finish(search, theta, names=tuple(names), n_distinct=rows.n_distinct)


def rescaled(fit: Fit, *, name: str, factor: float, log_likelihood_shift: float) -> Fit:
    """Return a fit in another unit of time or money.

    Parameters
    ----------
    fit : Fit
        The fit in the old unit.
    name : str
        The parameter that carries the unit.
    factor : float
        What its values are multiplied by.
    log_likelihood_shift : float
        What the change of unit adds to the log-likelihood.

    Returns
    -------
    Fit

    Examples
    --------
    >>> fit = Fit(("v",), np.array([2.0]), np.array([[0.25]]), -3.0, 9, 9, 5, 0.0, ())
    >>> weekly = rescaled(fit, name="v", factor=7, log_likelihood_shift=-1.0)
    >>> weekly.params["v"], weekly.standard_errors["v"], weekly.log_likelihood
    (14.0, 3.5, -4.0)
    """
    scale = np.where(np.array(fit.names) == name, factor, 1.0)
    covariance = fit.covariance
    return replace(
        fit,
        estimates=fit.estimates * scale,
        covariance=None if covariance is None else covariance * np.outer(scale, scale),
        log_likelihood=fit.log_likelihood + log_likelihood_shift,
    )


def delta_variance(
    function: Callable[[FloatArray], FloatArray],
    *,
    estimates: npt.ArrayLike,
    covariance: FloatArray,
) -> FloatArray:
    """Say how uncertain numbers are that depend on fitted parameters.

    Parameters
    ----------
    function : callable
        Takes parameters, gives the numbers, shape (k,).
    estimates : array_like of float, shape (m,)
        Estimates, above 0.
    covariance : ndarray of float64, shape (m, m)
        Their covariance.

    Returns
    -------
    ndarray of float64, shape (k,)
        Variances of the numbers.

    Notes
    -----
    Delta method: g' C g, where C is the covariance of the logs of the parameters and
    g the derivatives by those logs, by central differences.

    Examples
    --------
    >>> variance = delta_variance(
    ...     lambda p: np.array([p[0] * p[1]]),
    ...     estimates=[2.0, 5.0], covariance=np.diag([0.01, 0.04]),
    ... )
    >>> variance.round(6).tolist()
    [0.41]
    """
    center = np.asarray(estimates, dtype=np.float64)
    slopes = np.array([
        (function(center * np.exp(step)) - function(center * np.exp(-step)))
        for step in _STEP * np.eye(center.size)
    ]) / (2 * _STEP)  # fmt: skip
    of_logs = covariance / np.outer(center, center)
    return np.asarray(np.einsum("ik,ij,jk->k", slopes, of_logs, slopes))


class _Search:
    """The mean loss of an objective in log-parameters; counts its evaluations."""

    def __init__(self, objective: Objective, n_people: float) -> None:
        self.objective = objective
        self.n_people = n_people
        self.n_evaluations = 0
        self._last: tuple[FloatArray, tuple[float, FloatArray]] | None = None

    def loss(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Return minus the mean log-likelihood and its gradient in logs."""
        if self._last is not None and np.array_equal(theta, self._last[0]):
            return self._last[1]
        self.n_evaluations += 1
        params = np.exp(theta)
        value, gradient = self.objective(params)
        result = (-value / self.n_people, -gradient * params / self.n_people)
        self._last = (theta.copy(), result)
        return result

    def slope(self, theta: FloatArray) -> float:
        """Return the largest derivative that a step within the bounds could use."""
        _, gradient = self.loss(theta)
        blocked = (np.abs(theta) > _LOG_BOUND - _EDGE) & (gradient * theta < 0)
        return float(np.max(np.abs(np.where(blocked, 0.0, gradient))))

    def is_maximum(self, theta: FloatArray) -> bool:
        """Say whether the gradient vanishes at a point of the allowed range."""
        inside = bool(np.all(np.abs(theta) <= _LOG_BOUND))
        return inside and self.slope(theta) <= _GRADIENT

    def curvature(self, theta: FloatArray) -> FloatArray:
        """Return the Hessian of the mean loss by differences of its gradient."""
        steps = _STEP * np.eye(theta.size)
        columns = [
            (self.loss(theta + h)[1] - self.loss(theta - h)[1]) / (2 * _STEP)
            for h in steps
        ]
        hessian = np.array(columns)
        return (hessian + hessian.T) / 2


def _descend(
    loss: Callable[[FloatArray], tuple[float, FloatArray]],
    start: FloatArray,
    *,
    bounds: Sequence[tuple[float, float]] | None,
) -> FloatArray:
    """Run L-BFGS-B; whether it ended well is judged by the gradient, not by it."""
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": 1e-15, "gtol": 1e-8, "maxiter": 1000, "maxfun": 2000},
    )
    return np.asarray(found.x, dtype=np.float64)


def _best(search: _Search, begin: FloatArray) -> FloatArray | None:
    """Return the maximum from the first start, or the best of all if it is no good."""
    bounds = [(-_LOG_BOUND, _LOG_BOUND)] * begin.shape[1]
    found: list[tuple[float, FloatArray]] = []
    for start in begin:
        theta = _descend(search.loss, start, bounds=bounds)
        if search.is_maximum(theta):
            found.append((search.loss(theta)[0], theta))
            if len(found) == 1 and np.all(np.abs(theta) < _LOG_BOUND - _EDGE):
                return theta
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _whitened(
    search: _Search, origin: FloatArray, hessian: FloatArray
) -> FloatArray | None:
    """Descend where the curvature at the origin is the same in all directions."""
    if float(np.linalg.eigvalsh(hessian)[0]) <= _FLAT:
        return None
    back = np.linalg.inv(np.linalg.cholesky(hessian))

    def loss(z: FloatArray) -> tuple[float, FloatArray]:
        """Return the loss at a point of the turned space."""
        value, gradient = search.loss(origin + back.T @ z)
        return value, back @ gradient

    with np.errstate(all="ignore"):  # a wild step ends in a failed check, not here
        theta = origin + back.T @ _descend(loss, np.zeros(origin.size), bounds=None)
        return theta if search.is_maximum(theta) else None


def _systematic_sample(rows: Rows, n: int) -> Rows:
    """Return every k-th person in the order of the rows: no random numbers."""
    passed = np.cumsum(rows.counts)
    places = (np.arange(n) + 0.5) * (passed[-1] / n)
    picked = np.searchsorted(passed, places).clip(max=rows.n_distinct - 1)
    index, counts = np.unique(picked, return_counts=True)
    return Rows(tuple(c[index] for c in rows.columns), counts.astype(np.float64))


def _finish(
    search: _Search, theta: FloatArray, *, names: tuple[str, ...], n_distinct: int
) -> Fit:
    """Polish a maximum with one Newton step and attach its covariance."""
    slope, downhill = search.slope(theta), search.loss(theta)[1]
    hessian = search.curvature(theta)
    at_bound = _undetermined(theta, hessian, names=names, n_people=search.n_people)
    if not at_bound:
        better = theta - np.linalg.solve(hessian, downhill)
        if search.is_maximum(better) and search.slope(better) < slope:
            theta, slope = better, search.slope(better)
    params = np.exp(theta)
    covariance = None
    if not at_bound:
        covariance = np.linalg.inv(hessian) / search.n_people * np.outer(params, params)
    return Fit(
        names=names,
        estimates=params,
        covariance=covariance,
        log_likelihood=-search.loss(theta)[0] * search.n_people,
        n_people=search.n_people,
        n_distinct=n_distinct,
        n_evaluations=search.n_evaluations,
        gradient=slope,
        at_bound=at_bound,
    )


def _undetermined(
    theta: FloatArray, hessian: FloatArray, *, names: tuple[str, ...], n_people: float
) -> tuple[str, ...]:
    """Name the parameters on the edge of their range, or along which it is flat."""
    flagged = np.abs(theta) > _LOG_BOUND - _EDGE
    values, vectors = np.linalg.eigh(hessian)
    flat = values <= _FLAT
    if flat.any():
        flagged |= np.any(np.abs(vectors[:, flat]) > _SHARE, axis=1)
    else:
        spread = np.sqrt(np.diag(np.linalg.inv(hessian)) / n_people)
        flagged |= spread > _MAX_LOG_ERROR
    return tuple(n for n, f in zip(names, flagged, strict=True) if f)
