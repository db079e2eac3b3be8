"""What everybody makes others spend, as shares that add up to all spending.

Every yuan stays with the buyer in part and goes up in part, from referee to
referrer, until a root keeps what is left. Nothing is counted twice: the totals of
all people sum to the spending of all people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from selfloop.core.settings import check_choice, check_number
from selfloop.kernels.forest import subtree_sum
from selfloop.kernels.network import collect, topological_order

IntArray = npt.NDArray[np.integer[Any]]
FloatArray = npt.NDArray[np.float64]

Rule = Literal["halving", "shapley", "geometric"]


@dataclass(frozen=True)
class Ledger:
    """Where everybody's spending is credited, one entry per person.

    Parameters
    ----------
    flow : ndarray of float64
        All that reaches the person: own spending and what comes up from others.
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


def passed_up(
    generation: npt.ArrayLike,
    *,
    rule: Rule = "halving",
    beta: float = 0.5,
    incrementality: float = 1.0,
    levels_left: int | None = None,
) -> FloatArray:
    """Return the share of what reaches everybody that goes on to their referrers.

    Parameters
    ----------
    generation : array_like of int or float
        Links to the root, 0 for people nobody referred (see
        `selfloop.kernels.forest.generations` and, for several referrers,
        `selfloop.kernels.network.mean_generation`).
    rule : {"halving", "shapley", "geometric"}, optional
        ``halving``: one half, so that at each link both sides share equally.
        ``shapley``: d / (d + 1) in generation d, so that an order is split equally
        over the buyer and everybody above. ``geometric``: `beta`.
    beta : float, optional
        Share of ``geometric``, 0 to 1.
    incrementality : float, optional
        Share of referred people who would not have come anyway, 0 to 1; the share
        passed up is multiplied by it.
    levels_left : int, optional
        How many levels further up may still get a part, at least 0; all by default.

    Returns
    -------
    ndarray of float64
        tau, 0 for people nobody referred.

    Raises
    ------
    SettingError
        When the rule is unknown or a number is outside its range.

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
    >>> passed_up([0, 1, 3], rule="shapley", levels_left=1)
    array([0. , 0.5, 0.5])
    """
    check_choice("rule", rule, get_args(Rule))
    check_number("beta", beta, low=0, high=1)
    check_number("incrementality", incrementality, low=0, high=1)
    left = np.asarray(generation, dtype=np.float64)
    if levels_left is not None:
        check_number("levels_left", levels_left, low=0)
        left = np.minimum(left, levels_left)
    if rule == "shapley":
        return np.asarray(incrementality * (left / (left + 1.0)))
    share = beta if rule == "geometric" else 0.5
    return np.where(left > 0, incrementality * share, 0.0)


def ledger(
    referrer: IntArray,
    referee: IntArray,
    *,
    weight: FloatArray,
    own_value: FloatArray,
    tau: FloatArray,
    link_value: FloatArray | None = None,
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
    link_value : ndarray of float, shape (n_links,), optional
        The part of the referee's own value that the link may carry, such as that of
        the orders soon after the referral; all of it by default.
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
    With r own value, w weights, e the part of it that a link may carry, and u the
    referees of v::

        I_v      = sum_u w_vu tau_u (e_vu + I_u)
        social_v = (1 - tau_v) I_v
        given_v  = tau_v sum_p w_pv e_pv
        total_v  = r_v - given_v + social_v

    When links carry everything, e = r, F = r + I is all that reaches a person, and
    total = (1 - tau) F. Everybody with referrers hands tau (e + I) to them in full,
    so sum of I = sum of given + sum of tau I; hence sum of social = sum of given, and
    sum of total = sum of r. I is found in one sparse triangular solve, O(people +
    links) at any depth.

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
    carried = _carried(referee, own_value, link_value)
    _check_ledger(referrer, referee, weight=weight, own_value=own_value, tau=tau)
    own = own_value.astype(np.float64)
    share = weight * tau[referee]
    direct = np.bincount(referrer, share * carried, n_people).astype(np.float64)
    inflow = collect(referrer, referee, share=share, own_value=direct, order=order)
    given = np.bincount(referee, share * carried, n_people).astype(np.float64)
    social = (1.0 - tau) * inflow
    return Ledger(
        flow=own + inflow,
        social_value=social,
        given_value=given,
        total_value=own - given + social,
    )


def forest_ledger(
    parent: IntArray,
    generation: IntArray,
    *,
    own_value: FloatArray,
    tau: FloatArray,
    carried: FloatArray | None = None,
) -> Ledger:
    """Credit spending as `ledger` does where everybody has at most one referrer.

    Parameters
    ----------
    parent, generation : ndarray of int, shape (n_people,)
        A forest and its generations (see `selfloop.kernels.forest.generations`).
    own_value, tau : ndarray of float, shape (n_people,)
        As in `ledger`.
    carried : ndarray of float, shape (n_people,), optional
        The part of the own value that the link to the referrer may carry; all of it
        by default.

    Returns
    -------
    Ledger
        One entry per person.

    Raises
    ------
    ValueError
        When shares lie outside [0, 1] or are passed up by roots, a value is not
        finite, or lengths differ.

    Notes
    -----
    The formulas are those of `ledger` with weights of 1. The sums run over
    generations, or by pointer doubling in deep forests, without a linear system.

    Examples
    --------
    As in `ledger`.

    >>> book = forest_ledger(
    ...     np.array([-1, 0, 1]),
    ...     np.array([0, 1, 2]),
    ...     own_value=np.array([0.0, 0.0, 100.0]),
    ...     tau=passed_up([0, 1, 2]),
    ... )
    >>> book.social_value, book.given_value, book.total_value
    (array([25., 25.,  0.]), array([ 0.,  0., 50.]), array([25., 25., 50.]))
    """
    own = own_value.astype(np.float64)
    spent = own if carried is None else carried
    if not parent.size == own.size == tau.size == spent.size:
        raise ValueError(
            f"{parent.size} people need as many values ({own.size}, {spent.size}) and "
            f"shares passed up ({tau.size})"
        )
    _check_values(own)
    _check_values(spent)
    _check_shares(tau, is_root=parent < 0)
    given = tau * spent
    brought = np.flatnonzero(parent >= 0)
    direct = np.bincount(parent[brought], given[brought], own.size)
    inflow = subtree_sum(parent, generation, value=direct.astype(np.float64), share=tau)
    social = (1.0 - tau) * inflow
    return Ledger(
        flow=own + inflow,
        social_value=social,
        given_value=given,
        total_value=own - given + social,
    )


def ledger_by_level(
    referrer: IntArray,
    referee: IntArray,
    *,
    weight: FloatArray,
    own_value: FloatArray,
    tau: Sequence[FloatArray],
    link_value: FloatArray | None = None,
) -> Ledger:
    """Credit spending to those who made it happen, up to some levels above.

    Parameters
    ----------
    referrer, referee, weight, own_value, link_value
        As in `ledger`.
    tau : sequence of ndarray of float, shape (n_people,)
        Share that everybody passes up of their own spending, of what came up from one
        level below, from two below, and so on. What comes from as many levels below as
        there are shares stays: the highest within reach keeps the rest.

    Returns
    -------
    Ledger

    Raises
    ------
    ValueError
        As `ledger` does, rings aside: they end here by themselves.

    Notes
    -----
    With I0 = e and j = 1, 2, ... levels::

        Ij_v     = sum_u w_vu tau(j-1)_u I(j-1)_u
        social_v = sum_j (1 - tauj_v) Ij_v

    and tau = 0 after the last level. One pass over the links per level.

    Examples
    --------
    As in `ledger`, but only the direct referrer counts.

    >>> book = ledger_by_level(
    ...     np.array([0, 1]),
    ...     np.array([1, 2]),
    ...     weight=np.array([1.0, 1.0]),
    ...     own_value=np.array([0.0, 0.0, 100.0]),
    ...     tau=[passed_up([0, 1, 2], levels_left=1)],
    ... )
    >>> book.social_value, book.total_value
    (array([ 0., 50.,  0.]), array([ 0., 50., 50.]))
    """
    n_people = own_value.size
    own = own_value.astype(np.float64)
    passing = _carried(referee, own_value, link_value)  # by each link
    given = np.zeros(n_people)
    social, inflow, flow = np.zeros(n_people), np.zeros(n_people), own.copy()
    for level, share in enumerate(tau):
        _check_ledger(referrer, referee, weight=weight, own_value=own_value, tau=share)
        passing = weight * share[referee] * passing
        kept = np.zeros(n_people)
        if level == 0:
            given = np.bincount(referee, passing, n_people).astype(np.float64)
        else:
            kept = (1.0 - share) * inflow
        social += kept
        inflow = np.bincount(referrer, passing, n_people).astype(np.float64)
        flow += inflow
        passing = inflow[referee]
    social += inflow
    return Ledger(
        flow=flow,
        social_value=social,
        given_value=given,
        total_value=own - given + social,
    )


def _carried(
    referee: IntArray, own_value: FloatArray, link_value: FloatArray | None
) -> FloatArray:
    """Return what each link may carry of the own value of its referee."""
    if link_value is None:
        return own_value[referee].astype(np.float64)
    if link_value.size != referee.size or not np.isfinite(link_value).all():
        raise ValueError(
            f"{referee.size} links need as many finite link values; "
            f"got {int(np.isfinite(link_value).sum())}"
        )
    return link_value.astype(np.float64)


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
    _check_values(own_value)
    if not (weight >= 0.0).all():
        raise ValueError("weights must be 0 or more")
    total = np.bincount(referee, weight, own_value.size)
    is_referred = np.zeros(own_value.size, dtype=np.bool_)
    is_referred[referee] = True
    _check_shares(tau, is_root=~is_referred)
    n_wrong = int((np.abs(total[is_referred] - 1.0) > 1e-9).sum())
    if n_wrong:
        raise ValueError(f"the weights of {n_wrong} referees do not sum to 1")


def _check_values(own_value: FloatArray) -> None:
    """Refuse values that do not add up."""
    n_missing = int((~np.isfinite(own_value)).sum())
    if n_missing:
        raise ValueError(f"{n_missing} own values are missing or infinite")


def _check_shares(tau: FloatArray, *, is_root: npt.NDArray[np.bool_]) -> None:
    """Refuse shares that lose something or make something."""
    if not ((tau >= 0.0) & (tau <= 1.0)).all():
        raise ValueError("shares passed up (tau) must lie in 0 to 1")
    n_roots = int((tau[is_root] > 0.0).sum())
    if n_roots:
        raise ValueError(
            f"{n_roots} people whom nobody referred have a share to pass up; "
            "it would be lost, so their tau must be 0"
        )
