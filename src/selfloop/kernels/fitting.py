"""Maximum likelihood on counted rows, with a check of the end.

A model gives its log-likelihood and gradient on a set of `Rows`; everything else
(compressing, starting, converging, standard errors, saying so when the data do not
determine a parameter) is the same for every model and lives here. Parameters are
positive and searched in their logs, except those named as free: coefficients that
may have either sign.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

from selfloop.core.errors import FitError
from selfloop.kernels.rows import FloatArray, Rows, dot, systematic_sample

Objective = Callable[[FloatArray], tuple[float, FloatArray]]
"""Parameters to the log-likelihood and its gradient, summed over all people."""

N_WARM = 20_000
"""People in the sample that a fit with many distinct rows starts from."""

N_TRIAL = 2_000
"""People in the sample on which the starts compete when there are many rows."""

_LOG_BOUND = 14.0  # parameters lie within exp(-14)..exp(14) times their typical size
_EDGE = 0.01  # this near to a bound is on it, in logs
_MAX_LOG_ERROR = 5.0  # a wider standard error of a log leaves four decades open
_FLAT = 1e-10  # curvature under the noise of numerical differences
_SHARE = 0.3  # of a unit step along which it is flat, for a parameter to be named
_MOST_STEP = 1.0  # of a logarithm, when a few people are left out
_STEP = 1e-4  # of the central differences, in logs
_N_NEWTON = 8  # steps to end a search
_MAX_RESTARTS = 8  # of a search that gave up on a ridge
_GRADIENT = 1e-6  # largest gradient of the mean log-likelihood at a maximum


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
    free : tuple of str
        Parameters that may have either sign; the others are above 0.
    penalty : float
        Weight of the penalty; 0 for plain maximum likelihood.
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
    free: tuple[str, ...] = ()
    penalty: float = 0.0

    @property
    def aic(self) -> float:
        """Akaike's criterion: 2 parameters - 2 log-likelihood; less is better."""
        return 2 * len(self.names) - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion: ln(people) parameters - 2 log-likelihood."""
        return float(np.log(self.n_people)) * len(self.names) - 2 * self.log_likelihood

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


def maximise(
    likelihood: Callable[[Rows], Objective],
    rows: Rows,
    *,
    names: Sequence[str],
    starts: Sequence[Sequence[float]],
    typical: Sequence[float] | FloatArray | None = None,
    free: Sequence[str] = (),
    penalty: float = 0.0,
    n_warm: int = N_WARM,
) -> Fit:
    """Find the parameters under which the rows are most likely.

    Parameters
    ----------
    likelihood : callable
        Gives the objective of a set of rows.
    rows : Rows
        The data, with at least one row.
    names : sequence of str
        Names of the parameters.
    starts : sequence of sequence of float
        Points to start from. All of them are tried, on a sample when there are many
        rows, and the best end counts.
    typical : sequence of float, optional
        The typical size of each parameter, above 0, such as the longest age for a
        time; 1 by default.
    free : sequence of str, optional
        Parameters that may have either sign; the others are above 0.
    penalty : float, optional
        Weight of a penalty that pulls parameters towards their typical size, and
        free ones towards 0; at least 0. It helps where the data say little.
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
    The mean log-likelihood, less penalty times the sum of theta^2, is maximised by
    L-BFGS-B with its analytic gradient, where theta = ln(parameter / typical) within
    -14 to 14, or parameter / typical for free ones. With many distinct rows, a
    systematic sample of `n_warm` people is fitted first; its curvature H = L L'
    turns the space so that all directions are alike, theta = theta_0 + L'^-1 z, and
    all rows then need only a few evaluations. One Newton step with the curvature of
    all rows ends the search. The curvature is the central difference of the analytic
    gradient, and the covariance its inverse.

    Examples
    --------
    >>> from selfloop.kernels.rows import distinct_rows
    >>> rows = distinct_rows([[1.0, 2.0, 3.0]])
    >>> def exponential(rows):
    ...     n, total = rows.n_people, float(rows.columns[0] @ rows.counts)
    ...     return lambda p: (n * np.log(p[0]) - p[0] * total, n / p - total)
    >>> fit = maximise(exponential, rows, names=["rate"], starts=[[1.0]])
    >>> round(fit.params["rate"], 9), round(fit.standard_errors["rate"], 6)
    (0.5, 0.288675)
    """
    space = _Space(
        tuple(names),
        np.ones(len(names)) if typical is None else np.asarray(typical, np.float64),
        np.array([name in free for name in names]),
    )
    begin = np.array([space.inward(np.asarray(s, np.float64)) for s in starts])

    def search_of(part: Rows) -> _Search:
        """Return the search on some of the rows."""
        return _Search(likelihood(part), part.n_people, space=space, penalty=penalty)

    search = search_of(rows)
    with _one_thread():
        theta = None
        if rows.n_distinct > 3 * n_warm:
            begin, rough = _warm(search_of, rows, begin, n_warm=n_warm)
            theta = _whitened(search, begin[0], rough)
        if theta is None:
            theta = _best(search, begin)
        if theta is not None:
            return _finish(search, theta, n_distinct=rows.n_distinct)
    raise FitError(
        f"the fit did not converge: no maximum of the likelihood was found in "
        f"{search.n_evaluations} evaluations from {len(begin)} starts, on "
        f"{rows.n_people:,.0f} people ({rows.n_distinct:,} distinct rows)"
    )


@cache
def _blas() -> ThreadpoolController:
    """Find the libraries of linear algebra, once."""
    return ThreadpoolController()


def _one_thread() -> AbstractContextManager[object]:
    """Keep linear algebra on one thread for a while.

    The search solves systems of 4 x 4 by the thousand. Waking threads for each takes
    many times as long as solving it, and more on a busy machine.
    """
    found: AbstractContextManager[object] = _blas().limit(limits=1, user_api="blas")
    return found


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


def at_point(
    likelihood: Callable[[Rows], Objective],
    rows: Rows,
    *,
    names: Sequence[str],
    estimates: Sequence[float],
    typical: Sequence[float] | FloatArray | None = None,
) -> Fit:
    """Describe given parameters as if they had been found: nothing is searched.

    Parameters
    ----------
    likelihood, rows, names, typical
        As in `maximise`.
    estimates : sequence of float
        The parameters, above 0.

    Returns
    -------
    Fit
        `Fit.gradient` says how far from a maximum they are.

    Examples
    --------
    >>> from selfloop.kernels.rows import distinct_rows
    >>> rows = distinct_rows([[1.0, 2.0, 3.0]])
    >>> def exponential(rows):
    ...     n, total = rows.n_people, float(rows.columns[0] @ rows.counts)
    ...     return lambda p: (n * np.log(p[0]) - p[0] * total, n / p - total)
    >>> at_point(exponential, rows, names=["rate"], estimates=[0.75]).gradient
    0.5
    """
    sizes = np.ones(len(names)) if typical is None else np.asarray(typical, np.float64)
    space = _Space(tuple(names), sizes, np.zeros(len(names), dtype=np.bool_))
    search = _Search(likelihood(rows), rows.n_people, space=space, penalty=0.0)
    theta = space.inward(np.asarray(estimates, dtype=np.float64))
    hessian = search.curvature(theta)
    return _described(search, theta, hessian, n_distinct=rows.n_distinct)


def one_step(
    likelihood: Callable[[Rows], Objective], rows: Rows, fit: Fit
) -> FloatArray:
    """Say about where the maximum is of rows that differ little from those fitted.

    Parameters
    ----------
    likelihood : callable
        As in `maximise`.
    rows : Rows
        Most of the rows that were fitted, such as all but a group of people.
    fit : Fit
        The fit of all of them, without a penalty.

    Returns
    -------
    ndarray of float64
        Parameters after one Newton step with the curvature of the fit, in the logs of
        those above 0; where the fit has no covariance, its estimates.

    Notes
    -----
    Without a fraction e of the people the step is off by terms of order e^2, while the
    parameters move by e.

    Examples
    --------
    >>> from selfloop.kernels.rows import distinct_rows
    >>> def exponential(rows):
    ...     n, total = rows.n_people, float(rows.columns[0] @ rows.counts)
    ...     return lambda p: (n * np.log(p[0]) - p[0] * total, n / p - total)
    >>> all_rows = distinct_rows([np.arange(1.0, 101.0)])
    >>> fit = maximise(exponential, all_rows, names=["rate"], starts=[[1.0]])
    >>> without = distinct_rows([np.arange(1.0, 100.0)])
    >>> one_step(exponential, without, fit).round(5), round(99 / 4950, 5)
    (array([0.02]), 0.02)
    """
    if fit.covariance is None:
        return fit.estimates
    is_free = np.array([name in fit.free for name in fit.names])
    slope = np.where(is_free, 1.0, fit.estimates)
    gradient = likelihood(rows)(fit.estimates)[1] * slope
    inverse = fit.covariance / np.outer(slope, slope) * fit.n_people / rows.n_people
    step = np.clip(np.einsum("ij,j->i", inverse, gradient), -_MOST_STEP, _MOST_STEP)
    moved = fit.estimates + np.where(is_free, step, 0.0)
    return np.asarray(np.where(is_free, moved, fit.estimates * np.exp(step)))


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
        Estimates.
    covariance : ndarray of float64, shape (m, m)
        Their covariance.

    Returns
    -------
    ndarray of float64, shape (k,)
        Variances of the numbers.

    Notes
    -----
    Delta method: g' C g, where C is the covariance of the parameters and g are the
    derivatives by them: central differences over steps of a thousandth of a standard
    error, or of 1e-4 of the estimate where that is less.

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
    errors = np.sqrt(np.diag(covariance))
    sizes = np.where(center == 0, errors, np.minimum(errors, np.abs(center)))
    steps = np.where(sizes > 0, _STEP * sizes, _STEP)
    slopes = np.array([
        (function(center + step) - function(center - step)) / (2 * step.sum())
        for step in np.diag(steps)
    ])  # fmt: skip
    return np.asarray(np.einsum("ik,ij,jk->k", slopes, covariance, slopes))


class _Space(NamedTuple):
    """Between parameters and the numbers theta that are searched."""

    names: tuple[str, ...]
    typical: FloatArray
    is_free: npt.NDArray[np.bool_]

    def inward(self, params: FloatArray) -> FloatArray:
        """Return theta of some parameters."""
        ratio = params / self.typical
        return np.where(self.is_free, ratio, np.log(np.where(self.is_free, 1, ratio)))

    def outward(self, theta: FloatArray) -> FloatArray:
        """Return the parameters of some theta."""
        grown = np.exp(np.where(self.is_free, 0, theta))
        return self.typical * np.where(self.is_free, theta, grown)

    def slopes(self, params: FloatArray) -> FloatArray:
        """Return the derivative of each parameter by its theta."""
        return np.where(self.is_free, self.typical, params)


class _Search:
    """The mean loss of an objective by theta; counts its evaluations."""

    def __init__(
        self, objective: Objective, n_people: float, *, space: _Space, penalty: float
    ) -> None:
        self.objective = objective
        self.n_people = n_people
        self.space = space
        self.penalty = penalty
        self.n_evaluations = 0
        self._last: tuple[FloatArray, tuple[float, FloatArray]] | None = None

    def loss(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Return minus the mean log-likelihood and its gradient by theta."""
        if self._last is not None and np.array_equal(theta, self._last[0]):
            return self._last[1]
        self.n_evaluations += 1
        params = self.space.outward(theta)
        value, gradient = self.objective(params)
        by_theta = gradient * self.space.slopes(params) / self.n_people
        result = (
            -value / self.n_people + self.penalty * dot(theta, theta),
            2 * self.penalty * theta - by_theta,
        )
        self._last = (theta.copy(), result)
        return result

    def log_likelihood(self, theta: FloatArray) -> float:
        """Return the log-likelihood of all people, without the penalty."""
        mean = self.loss(theta)[0] - self.penalty * dot(theta, theta)
        return -mean * self.n_people

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
    least_gain: float = 1e-15,
    flat: float = 1e-8,
) -> FloatArray:
    """Run L-BFGS-B; whether it ended well is judged by the gradient, not by it."""
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"ftol": least_gain, "gtol": flat, "maxiter": 1000, "maxfun": 2000},
    )
    return np.asarray(found.x, dtype=np.float64)


def _best(search: _Search, begin: FloatArray) -> FloatArray | None:
    """Return the best maximum that any of the starts leads to."""
    bounds = [(-_LOG_BOUND, _LOG_BOUND)] * begin.shape[1]
    found: list[tuple[float, FloatArray]] = []
    for start in begin:
        theta = _polished(search, _descend(search.loss, start, bounds=bounds))
        for _ in range(_MAX_RESTARTS):
            if search.is_maximum(theta):
                break
            # On a ridge the loss falls by less than its last digits: begin again
            # there and let the gradient alone say when to stop.
            theta = _descend(search.loss, theta, bounds=bounds, least_gain=0.0)
            theta = _polished(search, theta)
        if search.is_maximum(theta):
            found.append((search.loss(theta)[0], theta))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _polished(search: _Search, theta: FloatArray) -> FloatArray:
    """Walk on by Newton steps while the gradient shrinks.

    The value is a sum of large terms that cancel; where its differences drown, the
    gradient is still exact.
    """
    for _ in range(_N_NEWTON):
        slope = search.slope(theta)
        if slope <= _GRADIENT:
            break
        better = np.clip(theta + _newton(search, theta), -_LOG_BOUND, _LOG_BOUND)
        if not search.slope(better) < slope:
            break
        theta = better
    return theta


def _newton(search: _Search, theta: FloatArray) -> FloatArray:
    """Return a Newton step within the bounds; 0 where the curvature allows none."""
    gradient, hessian = search.loss(theta)[1], search.curvature(theta)
    edge = np.abs(theta) > _LOG_BOUND - _EDGE
    moves = ~(edge & (gradient * theta < 0))
    step = np.zeros(theta.size)
    while moves.any() and np.isfinite(hessian).all():
        part = hessian[np.ix_(moves, moves)]
        if float(np.linalg.eigvalsh(part)[0]) <= _FLAT:
            return np.zeros(theta.size)
        step = np.zeros(theta.size)
        step[moves] = -np.linalg.solve(part, gradient[moves])
        outward = edge & (step * theta > 0)
        if not outward.any():
            break
        moves &= ~outward
    # As a whole up to the first bound it meets: cut one by one, steps leave a ridge.
    room = _LOG_BOUND - np.sign(step) * theta
    far = np.abs(step) > room
    return step * float(np.min(room[far] / np.abs(step)[far], initial=1.0))


def _warm(
    search_of: Callable[[Rows], _Search],
    rows: Rows,
    begin: FloatArray,
    *,
    n_warm: int,
) -> tuple[FloatArray, FloatArray | None]:
    """Let the starts compete on samples: the starts with the winner first.

    Also returns the curvature of the sample at the winner, when there is one.
    """
    for n in (N_TRIAL, n_warm):
        rough = search_of(systematic_sample(rows, n))
        winner = _best(rough, begin if n == N_TRIAL else begin[:1])
        if winner is None:
            return begin, None
        begin = np.vstack([winner, begin])
    return begin, rough.curvature(begin[0])


def _whitened(
    search: _Search, origin: FloatArray, hessian: FloatArray | None
) -> FloatArray | None:
    """Descend where the curvature at the origin is the same in all directions."""
    if hessian is None or float(np.linalg.eigvalsh(hessian)[0]) <= _FLAT:
        return None
    back = np.linalg.inv(np.linalg.cholesky(hessian))

    def loss(z: FloatArray) -> tuple[float, FloatArray]:
        """Return the loss at a point of the turned space."""
        value, gradient = search.loss(origin + back.T @ z)
        return value, back @ gradient

    with np.errstate(all="ignore"):  # a wild step ends in a failed check, not here
        # The gradient of a mean over many is noise below; a Newton step follows.
        z = _descend(loss, np.zeros(origin.size), bounds=None, flat=1e-6)
        theta = origin + back.T @ z
        theta = _polished(search, theta)
        return theta if search.is_maximum(theta) else None


def _finish(search: _Search, theta: FloatArray, *, n_distinct: int) -> Fit:
    """Polish a maximum with one Newton step and describe it."""
    slope, downhill = search.slope(theta), search.loss(theta)[1]
    hessian = search.curvature(theta)
    if not _undetermined(theta, hessian, search=search):
        better = theta - np.linalg.solve(hessian, downhill)
        if search.is_maximum(better) and search.slope(better) < slope:
            theta = better
    return _described(search, theta, hessian, n_distinct=n_distinct)


def _described(
    search: _Search, theta: FloatArray, hessian: FloatArray, *, n_distinct: int
) -> Fit:
    """Put together what is known at a point, its covariance included."""
    at_bound = _undetermined(theta, hessian, search=search)
    params = search.space.outward(theta)
    covariance = None
    if not at_bound:
        slopes = search.space.slopes(params)
        covariance = np.linalg.inv(hessian) / search.n_people * np.outer(slopes, slopes)
    return Fit(
        names=search.space.names,
        estimates=params,
        covariance=covariance,
        log_likelihood=search.log_likelihood(theta),
        n_people=search.n_people,
        n_distinct=n_distinct,
        n_evaluations=search.n_evaluations,
        gradient=search.slope(theta),
        at_bound=at_bound,
        free=tuple(np.array(search.space.names)[search.space.is_free].tolist()),
        penalty=search.penalty,
    )


def _undetermined(
    theta: FloatArray, hessian: FloatArray, *, search: _Search
) -> tuple[str, ...]:
    """Name the parameters on the edge of their range, or along which it is flat."""
    flagged = np.abs(theta) > _LOG_BOUND - _EDGE
    values, vectors = np.linalg.eigh(hessian)
    flat = values <= _FLAT
    if flat.any():
        flagged |= np.any(np.abs(vectors[:, flat]) > _SHARE, axis=1)
    else:
        spread = np.sqrt(np.diag(np.linalg.inv(hessian)) / search.n_people)
        flagged |= spread > _MAX_LOG_ERROR
    names = zip(search.space.names, flagged, strict=True)
    return tuple(name for name, is_flagged in names if is_flagged)
