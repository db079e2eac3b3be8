"""Fit any model of purchases to customers, whatever the unit of time."""

import numpy as np
import numpy.typing as npt

from selfloop.core.errors import FitError
from selfloop.kernels.fitting import N_WARM, Fit, maximise
from selfloop.kernels.purchase_model import PurchaseModel
from selfloop.kernels.rows import FloatArray, Rows, distinct_rows


def fit_purchases(
    model: PurchaseModel,
    x: npt.ArrayLike,
    *,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    counts: npt.ArrayLike | None = None,
    penalty: float = 0.0,
    n_warm: int = N_WARM,
) -> Fit:
    """Estimate the parameters of a model of purchases by maximum likelihood.

    Parameters
    ----------
    model : PurchaseModel
        One of `purchase_models`.
    x : array_like of int, shape (n,)
        Repeat purchases, at least 0.
    recency, age : array_like of float, shape (n,)
        Age at the last purchase and at the end, 0 <= recency <= age, in any unit;
        whole numbers of opportunities for a discrete model.
    counts : array_like of float, shape (n,), optional
        People per row; one each by default.
    penalty : float, optional
        Weight of the penalty on the logs of the parameters (see `maximise`).
    n_warm : int, optional
        Size of the sample to start from (see `maximise`).

    Returns
    -------
    Fit
        Parameters and log-likelihood in the unit of `age`.

    Raises
    ------
    FitError
        When nobody bought twice, nobody was observed for any time, there are fewer
        distinct rows than parameters, a row is impossible, or the search does not
        converge.

    Notes
    -----
    The unit of time changes the parameters that are times and nothing else; ln L
    falls by k ln(unit) per repeat purchase.

    Examples
    --------
    >>> from selfloop.kernels import bg_nbd
    >>> found = fit_purchases(
    ...     bg_nbd.MODEL, [0, 0, 1, 2, 5, 0, 1, 3],
    ...     recency=[0, 0, 9, 20, 30, 0, 2, 25],
    ...     age=[40, 35, 38, 36, 31, 30, 39, 33],
    ... )
    >>> sorted(found.params)
    ['a', 'alpha', 'b', 'r']
    """
    columns = [np.asarray(c, dtype=np.float64) for c in (x, recency, age)]
    unknown = ~np.isfinite(columns).all(axis=0)
    if unknown.any():
        raise FitError(
            f"{unknown.sum():,} of {unknown.size:,} rows have a missing or infinite x, "
            f"recency or age; leave them out (first: row {int(np.argmax(unknown))})"
        )
    rows = distinct_rows(columns, counts=counts)
    check_customers(model, rows)
    return maximise(
        model.objective,
        rows,
        names=model.parameters,
        starts=model.starts(rows),
        typical=typical_sizes(model, rows),
        penalty=penalty,
        n_warm=n_warm,
    )


def typical_sizes(model: PurchaseModel, rows: Rows) -> FloatArray:
    """Return the size around which each parameter is searched.

    Parameters
    ----------
    model : PurchaseModel
        One of `purchase_models`.
    rows : Rows
        Customers: x, t_x, T.

    Returns
    -------
    ndarray of float64, shape (n_parameters,)
        The longest age for times, 1 for all others.

    Examples
    --------
    >>> from selfloop.kernels import bg_nbd
    >>> rows = distinct_rows([[0, 1], [0, 9], [40, 35]])
    >>> typical_sizes(bg_nbd.MODEL, rows).tolist()
    [1.0, 40.0, 1.0, 1.0]
    """
    longest = float(rows.columns[2].max())
    return np.array([longest if n in model.times else 1.0 for n in model.parameters])


def check_customers(model: PurchaseModel, rows: Rows) -> None:
    """Refuse rows that no parameters could explain, or that all parameters could.

    Parameters
    ----------
    model : PurchaseModel
        What is to be fitted.
    rows : Rows
        Customers: x, t_x, T.

    Raises
    ------
    FitError
        With the reason and the counts behind it.

    Examples
    --------
    >>> from selfloop.kernels import bg_nbd
    >>> check_customers(bg_nbd.MODEL, distinct_rows([[0, 0], [0, 0], [5, 6]]))
    Traceback (most recent call last):
    ...
    selfloop.core.errors.FitError: none of the 2 customers bought a second time, so \
nothing says how often customers come back; wait for more purchases, or widen the period
    """
    x, recency, age = rows.columns[:3]
    n_people = rows.n_people
    impossible = (x < 0) | (x % 1 != 0) | (recency < 0) | (recency > age)
    # A gap of several orders at one moment is 0 long; without one there is no last.
    impossible |= (x == 0) & (recency > 0)
    if model.is_discrete:
        impossible |= (recency % 1 != 0) | (age % 1 != 0) | (x > recency)
        impossible |= (x > 0) & (recency < 1)
    if impossible.any():
        whole = ", ages whole and at most one per opportunity"
        raise FitError(
            f"{rows.counts[impossible].sum():,.0f} of {n_people:,.0f} customers are "
            "impossible: repeat purchases must be whole and at least 0, and "
            "0 <= recency <= age, with recency 0 when nothing was bought again"
            + (whole if model.is_discrete else "")
            + f"; first: {_example(rows, impossible)}"
        )
    if not (x > 0).any():
        if model.is_discrete:
            raise FitError(
                f"none of the {n_people:,.0f} customers bought again within a complete "
                "opportunity, so nothing says how often customers come back; take "
                "shorter opportunities, or wait for more purchases"
            )
        raise FitError(
            f"none of the {n_people:,.0f} customers bought a second time, so nothing "
            "says how often customers come back; wait for more purchases, or widen "
            "the period"
        )
    if age.max() <= 0:
        raise FitError(
            f"all {n_people:,.0f} customers first bought at the very end: nobody was "
            "observed for any time"
        )
    if rows.n_distinct == 1:
        raise FitError(
            f"all {n_people:,.0f} customers are the same ({x[0]:,.0f} repeat "
            "purchases at the same ages), so their differences cannot be estimated"
        )
    if n_people < len(model.parameters):
        raise FitError(
            f"{n_people:,.0f} customers are fewer than the {len(model.parameters)} "
            f"parameters of {model.label}"
        )


def _example(rows: Rows, impossible: npt.NDArray[np.bool_]) -> str:
    """Show the first impossible customer."""
    first = int(np.flatnonzero(impossible)[0])
    x, recency, age = (float(c[first]) for c in rows.columns[:3])
    return f"x = {x:g}, recency = {recency:g}, age = {age:g}"
