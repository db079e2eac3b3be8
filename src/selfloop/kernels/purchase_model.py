"""The one interface of the models of purchases: what each of them can say.

A customer is three numbers, in one unit of time: x repeat purchases, the age t_x at
the last of them (0 without any), and the age T at the end of observation. Age counts
from the first purchase, which is no repeat. Each model lives in a module of its own
and is listed in `purchase_models`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from selfloop.kernels.fitting import Objective
from selfloop.kernels.rows import FloatArray, Rows, dot

IntArray = npt.NDArray[np.int64]

Params = Sequence[float | FloatArray]
"""Parameters of a model in its order: numbers, or one number per customer."""


class Each(NamedTuple):
    """What each row says, for itself.

    Parameters
    ----------
    log_likelihood : ndarray of float64, shape (n_rows,)
        Log-likelihood of one customer of each row.
    gradient : ndarray of float64, shape (n_parameters, n_rows)
        Its derivatives by the parameters.
    """

    log_likelihood: FloatArray
    gradient: FloatArray


class GivenHistory(Protocol):
    """Something about customers, given what they did so far."""

    def __call__(
        self,
        params: Params,
        *,
        x: npt.ArrayLike,
        recency: npt.ArrayLike,
        age: npt.ArrayLike,
    ) -> FloatArray:
        """Return one number per customer."""


class WithinHorizon(Protocol):
    """Something that customers who have not left do within a horizon."""

    def __call__(
        self,
        params: Params,
        *,
        x: npt.ArrayLike,
        recency: npt.ArrayLike,
        age: npt.ArrayLike,
        horizon: npt.ArrayLike,
    ) -> FloatArray:
        """Return one number per customer."""


class CountWithinHorizon(Protocol):
    """How probable numbers of purchases are within a horizon."""

    def __call__(
        self,
        params: Params,
        *,
        n: npt.ArrayLike,
        x: npt.ArrayLike,
        recency: npt.ArrayLike,
        age: npt.ArrayLike,
        horizon: npt.ArrayLike,
    ) -> FloatArray:
        """Return one probability per customer."""


class DrawWithinHorizon(Protocol):
    """Random numbers of purchases within a horizon."""

    def __call__(
        self,
        params: Params,
        *,
        x: npt.ArrayLike,
        recency: npt.ArrayLike,
        age: npt.ArrayLike,
        horizon: npt.ArrayLike,
        rng: np.random.Generator,
    ) -> IntArray:
        """Return one count per customer."""


@dataclass(frozen=True)
class PurchaseModel:
    """A model of purchases.

    Parameters
    ----------
    name : str
        Name in code, such as ``"mbg_nbd"``.
    label : str
        Name for people, such as ``"MBG/NBD"``.
    parameters : tuple of str
        Names of the parameters, all of them above 0, in their order.
    times : tuple of str
        Those of them that are times, in the unit of the ages.
    each : callable
        Log-likelihood and gradient row by row; takes parameters that may differ
        between rows.
    objective : callable
        The same summed over all people, for parameters that all share; fast.
    starts : callable
        Points to start a fit from, given the rows, for any unit of time.
    p_alive : callable
        Probability that customers have not left yet.
    expected_if_alive : callable
        Expected purchases within a horizon of customers who have not left.
    pmf_if_alive : callable
        Probability that they make exactly n purchases within it.
    draw_if_alive : callable
        Random counts of their purchases within it, with parameters known.
    purchase_rate : tuple of (str, int)
        The parameter whose log a covariate of the purchase rate shifts, and the sign.
    dropout : tuple of (str, int) or None
        The same for leaving; None in a model in which nobody leaves.
    uses_recency : bool
        Whether t_x still matters for customers who have not left.
    one_time_may_leave : bool
        Whether a customer without a repeat purchase can have left.
    k : int
        Purchase gaps are Erlang-k; 1 is exponential.
    is_discrete : bool
        Whether time is counted in opportunities to buy.
    """

    name: str
    label: str
    parameters: tuple[str, ...]
    times: tuple[str, ...]
    each: Callable[[Params, Rows], Each]
    objective: Callable[[Rows], Objective]
    starts: Callable[[Rows], list[tuple[float, ...]]]
    p_alive: GivenHistory
    expected_if_alive: WithinHorizon
    pmf_if_alive: CountWithinHorizon
    draw_if_alive: DrawWithinHorizon
    purchase_rate: tuple[str, int]
    dropout: tuple[str, int] | None
    uses_recency: bool = False
    one_time_may_leave: bool = True
    k: int = 1
    is_discrete: bool = False

    def expected_new(self, params: Params, horizon: npt.ArrayLike) -> FloatArray:
        """Say how many repeat purchases to expect from a customer who just became one.

        Parameters
        ----------
        params : sequence of float
            Parameters of the model.
        horizon : array_like of float
            Time since the first purchase, at least 0.

        Returns
        -------
        ndarray of float64
            Expected purchases after the first one.
        """
        new = {"x": 0, "recency": 0.0, "age": 0.0}
        stays = self.p_alive(params, **new)
        return stays * self.expected_if_alive(params, **new, horizon=horizon)

    def pmf_new(
        self, params: Params, *, n: npt.ArrayLike, horizon: npt.ArrayLike
    ) -> FloatArray:
        """Say how probable a number of repeat purchases is for a new customer.

        Parameters
        ----------
        params : sequence of float
            Parameters of the model.
        n : array_like of int
            Number of purchases after the first one, at least 0.
        horizon : array_like of float
            Time since the first purchase, at least 0.

        Returns
        -------
        ndarray of float64
            Probabilities; they sum to 1 over n.
        """
        new = {"x": 0, "recency": 0.0, "age": 0.0}
        stays = self.p_alive(params, **new)
        found = stays * self.pmf_if_alive(params, n=n, **new, horizon=horizon)
        return found + np.where(np.asarray(n) == 0, 1 - stays, 0.0)


def summed(
    each: Callable[[Params, Rows], Each],
) -> Callable[[Rows], Objective]:
    """Make an objective of all people from what each row says.

    Parameters
    ----------
    each : callable
        Log-likelihood and gradient row by row.

    Returns
    -------
    callable
        Takes rows, gives their objective.
    """

    def of_rows(rows: Rows) -> Objective:
        """Return the objective of a set of rows."""

        def objective(params: FloatArray) -> tuple[float, FloatArray]:
            """Return the log-likelihood and its derivatives, summed over people."""
            found = each(params.tolist(), rows)
            slopes = [dot(by, rows.counts) for by in found.gradient]
            return dot(found.log_likelihood, rows.counts), np.array(slopes)

        return objective

    return of_rows
