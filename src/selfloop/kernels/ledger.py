"""What everybody makes others spend, as shares that add up to all spending.

Every yuan stays with the buyer in part and goes up in part, from referee to
referrer, until a root keeps what is left. Nothing is counted twice: the totals of
all people sum to the spending of all people.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from selfloop.core.errors import SettingError
from selfloop.kernels.forest import subtree_sum
from selfloop.kernels.network import collect, topological_order

IntArray = npt.NDArray[np.integer[Any]]
FloatArray = npt.NDArray[np.float64]

Rule = Literal["halving", "shapley"]


@dataclass(frozen=True)
class Ledger:
    """Where everybody's spending is credited, one entry per person.

    Parameters
    ----------
    flow : ndarray of float64
        F, all that reaches the person: own spending and what comes up from others.
    social_value : ndarray of float64
        Credit kept from the spending of others.
    given_value : ndarray of float64
        Part of the own spending credited to those who brought the person.
    total_value : ndarray of float64
        own - given + social; sums to the spending of all people.
    """

    flow: FloatArray
    social_value: FloatArray
    given_value: FloatArray
    total_value: FloatArray


def passed_up(generation: npt.ArrayLike, *, rule: Rule = "halving") -> FloatArray:
    """Return the share of what reaches everybody that goes on to their referrers.

    Parameters
    ----------
    generation : array_like of int or float
        Links to the root, 0 for people nobody referred (see
        `selfloop.kernels.forest.generations` and, for several referrers,
        `selfloop.kernels.network.mean_generation`).
    rule : {"halving", "shapley"}, optional
        ``halving``: one half, so that at each link both sides share equally.
        ``shapley``: d / (d + 1) in generation d, so that an order is split equally
        over the buyer and everybody above.

    Returns
    -------
    ndarray of float64
        tau, 0 for people nobody referred.

    Raises
    ------
    SettingError
        When the rule is unknown.

    Notes
    -----
    In a forest ``shapley`` gives the Shapley value of the game in which an order
    happens only if everybody above the buyer takes part. With several referrers the
    chains of one person differ in length; d is their weighted mean, an approximation
    that still adds up.

    Examples
    --------
    >>> passed_up([0, 1, 2]), passed_up([0, 1, 3], rule="shapley")
    (array([0. , 0.5, 0.5]), array([0.  , 0.5 , 0.75]))
    """
    depth = np.asarray(generation, dtype=np.float64)
    if rule == "halving":
        return np.where(depth > 0, 0.5, 0.0)
    if rule == "shapley":
        share: FloatArray = depth / (depth + 1.0)
        return share
    raise SettingError(f"rule must be 'halving' or 'shapley', got {rule!r}")


def ledger(
    referrer: IntArray,
    referee: IntArray,
    *,
    weight: FloatArray,
    own_value: FloatArray,
    tau: FloatArray,
    order: IntArray | None = None,
) -> Ledger:
    """Credit the spending of everybody to those who made it happen.

    Parameters
    ----------
    referrer, referee : ndarray of int, shape (n_links,)
        Numbers of the people, 0 to n_people - 1; no rings.
    weight : ndarray of float, shape (n_links,)
        Credit of each link, 0 or more; sums to 1 over the links of each referee.
    own_value : ndarray of float, shape (n_people,)
        Value of everybody's own orders; negative where refunds exceed them.
    tau : ndarray of float, shape (n_people,)
        Share passed up, in [0, 1]; 0 for people nobody referred (see `passed_up`).
    order : ndarray of int, shape (n_people,), optional
        Referrers before referees, if already known; else it is found here.

    Returns
    -------
    Ledger
        One entry per person.

    Raises
    ------
    ValueError
        When there are rings, weights do not sum to 1, shares lie outside [0, 1] or
        are passed up by people nobody referred, a value is not finite, or lengths
        differ.

    Notes
    -----
    With r own value, w weights and u the referees of v::

        F_v      = r_v + sum_u w_vu tau_u F_u
        social_v = (1 - tau_v) sum_u w_vu tau_u F_u
        given_v  = tau_v r_v
        total_v  = r_v - given_v + social_v = (1 - tau_v) F_v

    Everybody with referrers hands tau F to them in full, so sum F = sum r +
    sum tau F; hence sum of total = sum of r, and sum of social = sum of given. F is
    found in one sparse triangular solve, O(people + links) at any depth.

    References
    ----------
    Hubbell (1965), An input-output approach to clique identification, Sociometry
    28(4), for the flow; Rahwan et al. (2014), Towards a fair allocation of rewards
    in multi-level marketing, arXiv:1404.0542, for the Shapley shares.

    Examples
    --------
    Person 0 brings 1, 1 brings 2; 2 spends 100. Half goes up at each link.

    >>> book = ledger(
    ...     np.array([0, 1]),
    ...     np.array([1, 2]),
    ...     weight=np.array([1.0, 1.0]),
    ...     own_value=np.array([0.0, 0.0, 100.0]),
    ...     tau=passed_up([0, 1, 2]),
    ... )
    >>> book.social_value, book.given_value, book.total_value
    (array([25., 25.,  0.]), array([ 0.,  0., 50.]), array([25., 25., 50.]))
    """
    n_people = own_value.size
    if order is None:
        order = topological_order(referrer, referee, n_people=n_people)
    _check_ledger(referrer, referee, weight=weight, own_value=own_value, tau=tau)
    own = own_value.astype(np.float64)
    share = weight * tau[referee]
    flow = collect(referrer, referee, share=share, own_value=own, order=order)
    # Summed anew: F - r would lose digits where the own value is much larger.
    inflow = np.bincount(referrer, share * flow[referee], n_people)
    social = (1.0 - tau) * inflow
    given = tau * own
    return Ledger(
        flow=flow,
        social_value=social,
        given_value=given,
        total_value=own - given + social,
    )


def direct_value(
    referrer: IntArray, referee: IntArray, *, own_value: FloatArray
) -> FloatArray:
    """Sum the spending of the people everybody referred directly.

    Parameters
    ----------
    referrer, referee : ndarray of int, shape (n_links,)
        Numbers of the people, 0 to n_people - 1.
    own_value : ndarray of float, shape (n_people,)
        Value of everybody's own orders.

    Returns
    -------
    ndarray of float64, shape (n_people,)
        Not additive: it counts again what the referees count as their own, and
        somebody with two referrers counts in full for both.

    Examples
    --------
    >>> direct_value(
    ...     np.array([0, 1]), np.array([1, 2]), own_value=np.array([1.0, 20.0, 300.0])
    ... )
    array([ 20., 300.,   0.])
    """
    spent = own_value[referee].astype(np.float64)
    return np.bincount(referrer, spent, own_value.size).astype(np.float64)


def network_value(
    parent: IntArray, generation: IntArray, *, own_value: FloatArray
) -> FloatArray:
    """Sum the spending of everybody's descendants.

    Parameters
    ----------
    parent, generation : ndarray of int, shape (n_people,)
        A forest and its generations; with several referrers, that of
        `selfloop.kernels.network.primary_parent`.
    own_value : ndarray of float, shape (n_people,)
        Value of everybody's own orders.

    Returns
    -------
    ndarray of float64, shape (n_people,)
        What would be gone had the person not been there. Not additive: an order
        counts for everybody above the buyer.

    Examples
    --------
    >>> network_value(
    ...     np.array([-1, 0, 1]),
    ...     np.array([0, 1, 2]),
    ...     own_value=np.array([1.0, 20.0, 300.0]),
    ... )
    array([320., 300.,   0.])
    """
    spent = own_value.astype(np.float64)
    links = np.flatnonzero(parent >= 0)
    below = subtree_sum(parent, generation, value=spent)
    # Sum over the children instead of subtracting the own value, which would leave
    # rounding behind for people who brought nobody.
    return np.bincount(parent[links], below[links], spent.size).astype(np.float64)


def _check_ledger(
    referrer: IntArray,
    referee: IntArray,
    *,
    weight: FloatArray,
    own_value: FloatArray,
    tau: FloatArray,
) -> None:
    """Refuse input whose credits would not add up."""
    if weight.size != referrer.size or tau.size != own_value.size:
        raise ValueError(
            f"{referrer.size} links need as many weights ({weight.size}), and "
            f"{own_value.size} people as many shares passed up ({tau.size})"
        )
    n_missing = int((~np.isfinite(own_value)).sum())
    if n_missing:
        raise ValueError(f"{n_missing} own values are missing or infinite")
    if not ((tau >= 0.0) & (tau <= 1.0)).all():
        raise ValueError("shares passed up (tau) must lie in 0 to 1")
    if not (weight >= 0.0).all():
        raise ValueError("weights must be 0 or more")
    total = np.bincount(referee, weight, own_value.size)
    is_referred = np.zeros(own_value.size, dtype=np.bool_)
    is_referred[referee] = True
    n_wrong = int((np.abs(total[is_referred] - 1.0) > 1e-9).sum())
    if n_wrong:
        raise ValueError(f"the weights of {n_wrong} referees do not sum to 1")
    n_roots = int((tau[~is_referred] > 0.0).sum())
    if n_roots:
        raise ValueError(
            f"{n_roots} people whom nobody referred have a share to pass up; "
            "it would be lost, so their tau must be 0"
        )
