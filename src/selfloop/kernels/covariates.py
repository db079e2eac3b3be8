"""Models of purchases whose rates differ with what is known of a customer.

A covariate z, fixed in time, multiplies the purchase rate of a customer by
exp(gamma z), and the tendency to leave by exp(delta z): the odds of leaving after a
purchase in the models of the BG family, the hazard of leaving in Pareto/NBD.

References
----------
P. S. Fader and B. G. S. Hardie, Incorporating Time-Invariant Covariates into the
Pareto/NBD and BG/NBD Models, note 019, 2007.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from selfloop.core.errors import FitError
from selfloop.kernels.fitting import Fit, Objective, maximise
from selfloop.kernels.purchase_fit import check_customers, typical_sizes
from selfloop.kernels.purchase_model import Each, Params, PurchaseModel
from selfloop.kernels.rows import FloatArray, Rows, dot

_MAX_GROUPS = 64  # distinct covariate rows up to which each has a likelihood of its own


class Effect(NamedTuple):
    """A parameter of a model and the covariates that shift its log.

    Parameters
    ----------
    parameter : int
        Place of the parameter in the model.
    sign : int
        1 or -1: whether it grows or falls with exp(coefficient * covariate).
    columns : tuple of int
        Columns of the design that act on it.
    """

    parameter: int
    sign: int
    columns: tuple[int, ...]


def effects_of(
    model: PurchaseModel, *, purchase: Sequence[int], dropout: Sequence[int]
) -> tuple[Effect, ...]:
    """Say which parameters of a model the columns of a design act on.

    Parameters
    ----------
    model : PurchaseModel
        One of `purchase_models`.
    purchase, dropout : sequence of int
        Columns that act on the purchase rate, and on leaving.

    Returns
    -------
    tuple of Effect

    Raises
    ------
    FitError
        When something is to act on leaving in a model in which nobody leaves.

    Examples
    --------
    >>> from selfloop.kernels import bg_nbd
    >>> effects_of(bg_nbd.MODEL, purchase=[0], dropout=[0])[0]
    Effect(parameter=1, sign=-1, columns=(0,))
    """
    found = []
    for target, columns in ((model.purchase_rate, purchase), (model.dropout, dropout)):
        if not columns:
            continue
        if target is None:
            raise FitError(f"nobody leaves in {model.label}: nothing can act on it")
        name, sign = target
        found.append(Effect(model.parameters.index(name), sign, tuple(columns)))
    return tuple(found)


def spread(
    base: Sequence[float],
    coefficients: Sequence[float],
    *,
    effects: Sequence[Effect],
    design: FloatArray,
) -> list[float | FloatArray]:
    """Return the parameters of every row, given its covariates.

    Parameters
    ----------
    base : sequence of float
        Parameters where all covariates are 0.
    coefficients : sequence of float
        One per effect and column, in their order.
    effects : sequence of Effect
        What acts on what.
    design : ndarray of float64, shape (n_rows, n_columns)
        Covariates.

    Returns
    -------
    list of float or ndarray, one per parameter
        Parameter j of row i is base_j exp(sign * sum of coefficient * covariate).

    Examples
    --------
    >>> design = np.array([[0.0], [1.0]])
    >>> params = spread([2.0, 8.0], [np.log(2)], effects=[Effect(1, -1, (0,))],
    ...                 design=design)
    >>> params[0], params[1].round(9).tolist()
    (2.0, [8.0, 4.0])
    """
    params: list[float | FloatArray] = [float(b) for b in base]
    start = 0
    for parameter, sign, columns in effects:
        gamma = np.asarray(coefficients[start : start + len(columns)], dtype=np.float64)
        shift = np.einsum("ij,j->i", design[:, list(columns)], gamma)
        params[parameter] = params[parameter] * np.exp(sign * shift)
        start += len(columns)
    return params


def with_covariates(
    each: Callable[[Params, Rows], Each],
    *,
    n_parameters: int,
    n_data: int,
    effects: Sequence[Effect],
    objective: Callable[[Rows], Objective] | None = None,
) -> Callable[[Rows], Objective]:
    """Make the objective of a model whose parameters differ with covariates.

    Parameters
    ----------
    each : callable
        Log-likelihood and gradient row by row.
    n_parameters : int
        Parameters of the model without covariates.
    n_data : int
        Columns of the rows that the model itself uses; the design follows them.
    effects : sequence of Effect
        What acts on what.
    objective : callable, optional
        The fast sum over rows that share their parameters. It is used when there are
        few distinct rows of the design, as with a few groups.

    Returns
    -------
    callable
        Takes rows, gives the objective of base parameters and coefficients.

    Notes
    -----
    With theta_j = base_j exp(s z gamma), the derivative by gamma is s z theta_j times
    the derivative by theta_j, and that by base_j is theta_j / base_j times it.

    Examples
    --------
    >>> from selfloop.kernels import bg_nbd
    >>> from selfloop.kernels.rows import distinct_rows
    >>> effects = effects_of(bg_nbd.MODEL, purchase=[0], dropout=[])
    >>> of_rows = with_covariates(
    ...     bg_nbd.MODEL.each, n_parameters=4, n_data=3, effects=effects)
    >>> rows = distinct_rows([[2], [30.0], [38.0], [1.0]])
    >>> value, gradient = of_rows(rows)(np.array([0.2, 4.0, 0.8, 2.4, 0.1]))
    >>> gradient.shape
    (5,)
    """

    def of_rows(rows: Rows) -> Objective:
        """Return the objective of a set of rows."""
        design = np.stack(rows.columns[n_data:], axis=1)
        kinds, kind_no = np.unique(design, axis=0, return_inverse=True)
        if objective is not None and len(kinds) <= _MAX_GROUPS:
            parts = [
                _part(rows, kind_no.ravel() == i, n_data) for i in range(len(kinds))
            ]
            return _grouped(
                [objective(part) for part in parts], kinds, n_parameters, effects
            )
        data = Rows(rows.columns[:n_data], rows.counts)
        return _rowwise(each, data, design, n_parameters, effects)

    return of_rows


def _part(rows: Rows, kept: FloatArray, n_data: int) -> Rows:
    """Select rows, without their design."""
    return Rows(tuple(c[kept] for c in rows.columns[:n_data]), rows.counts[kept])


def _grouped(
    objectives: Sequence[Objective],
    kinds: FloatArray,
    n_parameters: int,
    effects: Sequence[Effect],
) -> Objective:
    """Add up the objectives of groups of rows that share their covariates."""

    def total(values: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives."""
        base, gamma = values[:n_parameters], values[n_parameters:]
        params = spread(base.tolist(), gamma.tolist(), effects=effects, design=kinds)
        table = np.stack(np.broadcast_arrays(*params, kinds[:, 0])[:-1], axis=1)
        found = [of(row) for of, row in zip(objectives, table, strict=True)]
        by_params = np.stack([slopes for _, slopes in found], axis=1)
        scaled = by_params * table.T
        return sum(value for value, _ in found), _chained(
            scaled, base, kinds, effects=effects
        )

    return total


def _rowwise(
    each: Callable[[Params, Rows], Each],
    data: Rows,
    design: FloatArray,
    n_parameters: int,
    effects: Sequence[Effect],
) -> Objective:
    """Add up what each row says under parameters of its own."""

    def total(values: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives."""
        base, gamma = values[:n_parameters], values[n_parameters:]
        params = spread(base.tolist(), gamma.tolist(), effects=effects, design=design)
        found = each(params, data)
        table = np.stack([np.broadcast_to(p, data.counts.shape) for p in params])
        scaled = found.gradient * table * data.counts
        value = dot(found.log_likelihood, data.counts)
        return value, _chained(scaled, base, design, effects=effects)

    return total


def _chained(
    scaled: FloatArray,
    base: FloatArray,
    design: FloatArray,
    *,
    effects: Sequence[Effect],
) -> FloatArray:
    """Turn derivatives by the logs of each row's parameters into those searched by."""
    slopes = [scaled.sum(axis=1) / base]
    slopes += [
        e.sign * np.einsum("i,ij->j", scaled[e.parameter], design[:, list(e.columns)])
        for e in effects
    ]
    return np.concatenate(slopes)


def fit_with_covariates(
    model: PurchaseModel,
    rows: Rows,
    *,
    effects: Sequence[Effect],
    names: Sequence[str],
    start: Sequence[float],
    penalty: float = 0.0,
) -> Fit:
    """Estimate a model of purchases and what covariates do to it.

    Parameters
    ----------
    model : PurchaseModel
        One of `purchase_models`.
    rows : Rows
        Columns x, t_x, T, then those of the design.
    effects : sequence of Effect
        What acts on what, by the columns of the design.
    names : sequence of str
        Names of the coefficients, one per effect and column.
    start : sequence of float
        Parameters to start from: those of the fit without covariates.
    penalty : float, optional
        As in `maximise`; it pulls coefficients to 0.

    Returns
    -------
    Fit
        Parameters where all covariates are 0, then coefficients, which are free.

    Raises
    ------
    FitError
        When a row is impossible or the search does not converge.

    Examples
    --------
    >>> from selfloop.kernels import bg_nbd
    >>> from selfloop.kernels.rows import distinct_rows
    >>> x, recency = [0, 0, 1, 2, 5, 0, 1, 3], [0, 0, 9, 20, 30, 0, 2, 25]
    >>> age, group = [40, 35, 38, 36, 31, 30, 39, 33], [0, 0, 0, 1, 1, 0, 1, 1]
    >>> effects = effects_of(bg_nbd.MODEL, purchase=[0], dropout=[])
    >>> fit = fit_with_covariates(
    ...     bg_nbd.MODEL, distinct_rows([x, recency, age, group]), effects=effects,
    ...     names=["group"], start=[1.0, 20.0, 1.0, 2.0], penalty=0.01)
    >>> fit.params["group"] > 0, fit.free
    (True, ('group',))
    """
    check_customers(model, rows)
    return search_with_covariates(
        model.each,
        rows,
        objective=model.objective,
        n_data=3,
        effects=effects,
        parameters=model.parameters,
        names=names,
        start=start,
        typical=typical_sizes(model, rows).tolist(),
        penalty=penalty,
    )


def search_with_covariates(
    each: Callable[[Params, Rows], Each],
    rows: Rows,
    *,
    objective: Callable[[Rows], Objective],
    n_data: int,
    effects: Sequence[Effect],
    parameters: Sequence[str],
    names: Sequence[str],
    start: Sequence[float],
    typical: Sequence[float],
    penalty: float,
) -> Fit:
    """Search for the parameters of any model and what covariates do to them.

    Parameters
    ----------
    each, objective, n_data, effects
        As in `with_covariates`.
    rows : Rows
        Columns of the data, then those of the design; effects may leave some out.
    parameters : sequence of str
        Names of the parameters.
    names : sequence of str
        Names of the coefficients, one per effect and column.
    start, typical : sequence of float
        Parameters to start from, and their typical sizes.
    penalty : float
        As in `maximise`.

    Returns
    -------
    Fit
        Parameters where all covariates are 0, then coefficients, which are free.

    Raises
    ------
    FitError
        When the search does not converge.

    Examples
    --------
    >>> from selfloop.kernels import gamma_gamma
    >>> from selfloop.kernels.rows import distinct_rows
    >>> x, total = [1, 2, 1, 3, 2, 1], [10.0, 31.0, 22.0, 36.0, 55.0, 12.0]
    >>> fit = search_with_covariates(
    ...     gamma_gamma.each, distinct_rows([x, total, [0, 0, 1, 0, 1, 0]]),
    ...     objective=gamma_gamma.objective, n_data=2, effects=[Effect(2, 1, (0,))],
    ...     parameters=["p", "q", "v"], names=["friend"], start=[3.0, 3.0, 10.0],
    ...     typical=[1.0, 1.0, 10.0], penalty=0.01)
    >>> fit.params["friend"] > 0
    True
    """
    columns = [c for e in effects for c in e.columns]
    sizes = np.array([c.std() or 1.0 for c in rows.columns[n_data:]])
    return maximise(
        with_covariates(
            each,
            n_parameters=len(parameters),
            n_data=n_data,
            effects=effects,
            objective=objective,
        ),
        rows,
        names=[*parameters, *names],
        starts=[[*start, *np.zeros(len(columns))]],
        typical=[*typical, *(1 / sizes[columns])],
        free=names,
        penalty=penalty,
    )
