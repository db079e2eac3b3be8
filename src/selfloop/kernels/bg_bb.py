"""BG/BB: how often customers buy when there are countable opportunities to buy.

Time is a row of opportunities: years of a charity, weekly markets, annual meetings.
Before each opportunity a customer who is still there leaves for good with probability
theta; if not, the customer buys at it with probability p. Across customers p is
Beta(alpha, beta) and theta is Beta(gamma, delta), independent of each other. One
customer is x opportunities with a purchase, the number t_x of the last of them (0
without any), and the n opportunities so far. The purchase that made somebody a
customer, before opportunity 1, does not count.

"Alive" means here: still there for the next opportunity, n + 1.

References
----------
P. S. Fader, B. G. S. Hardie and J. Shang, Customer-Base Analysis in a Discrete-Time
Noncontractual Setting, Marketing Science 29(6), 2010.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.fitting import Objective
from selfloop.kernels.purchase_model import Each, IntArray, Params, PurchaseModel
from selfloop.kernels.rising import (
    log_rising,
    log_rising_gain,
    people_above,
    rising_slope,
)
from selfloop.kernels.rows import FloatArray, Rows, dot
from selfloop.kernels.silence import (
    Chained,
    Quiet,
    Silences,
    by_width,
    chained,
    expected_stays,
    flat,
    of_chains,
)

_RAREST = 1e-15  # probability, so that random numbers of trials stay within 64 bits


class BgBb(NamedTuple):
    """Parameters of the model, all above 0.

    Parameters
    ----------
    alpha, beta : float
        Shape parameters of the probability to buy at an opportunity.
    gamma, delta : float
        Shape parameters of the probability to leave before an opportunity.
    """

    alpha: float
    beta: float
    gamma: float
    delta: float


# The model -------------------------------------------------------------------


def _quiet(params: Sequence[FloatArray], x: FloatArray) -> Quiet:
    """Return how probable it is to skip an opportunity, for chains with given x."""
    alpha, beta = params[:2]

    def quiet(
        chains: IntArray, k: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the probability and the derivatives of its log."""
        bought = of_chains(alpha, chains) + x[chains]
        skipped = of_chains(beta, chains) + (k - x[chains])
        total = bought + skipped
        return skipped / total, -1 / total, bought / (skipped * total)

    return quiet


def _silences(chains: Chained, x: FloatArray, recency: FloatArray) -> Silences:
    """Prepare the silences after the last purchases."""
    ages = chains.age
    whole = (x % 1 == 0).all() and (recency % 1 == 0).all() and (ages % 1 == 0).all()
    if not (whole and (x >= 0).all() and (x <= recency).all()):
        raise ValueError(
            "x, recency and age must be whole numbers of opportunities with "
            "0 <= x <= recency <= age"
        )
    return Silences(
        first=recency.astype(np.int64),
        chain=chains.chain,
        last=ages.astype(np.int64),
    )


def each(params: Params, rows: Rows) -> Each:
    """Say how likely each row is, and how that changes with the parameters.

    Parameters
    ----------
    params : BgBb
        Numbers, or arrays with one number per row.
    rows : Rows
        Columns x, t_x and n, whole, with 0 <= x <= t_x <= n.

    Returns
    -------
    Each
        Log-likelihood of one customer of each row, and its derivatives by alpha,
        beta, gamma, delta.

    Notes
    -----
    For one customer, with the last term for those who are still there::

        L = sum_(k = t_x .. n-1) B(alpha+x, beta+k-x)/B(alpha, beta)
                                 * B(gamma+1, delta+k)/B(gamma, delta)
            + B(alpha+x, beta+n-x)/B(alpha, beta) * B(gamma, delta+n)/B(gamma, delta)

    is what happened until t_x times the probability of the silence since then (see
    `Silences`), each of them without cancellation.

    Examples
    --------
    >>> rows = Rows((np.array([4.0]), np.array([5.0]), np.array([6.0])), np.ones(1))
    >>> each(BgBb(1.204, 0.750, 0.657, 2.783), rows).log_likelihood.round(4).tolist()
    [-5.0957]
    """
    x, recency, age = rows.columns[:3]
    shared = [np.asarray(p, dtype=np.float64) for p in params]
    alpha, beta, gamma, delta = shared
    chains = chained(shared, x, age)
    silence = _silences(chains, x, recency).judge(
        (gamma, delta), _quiet(shared, chains.x)
    )
    value = log_rising(alpha, x) + log_rising(beta, recency - x)
    value += np.log(silence.probability) - log_rising(alpha + beta, recency)
    value -= log_rising_gain(delta, recency, gamma)
    both, ends = (
        rising_slope(alpha + beta, recency),
        rising_slope(gamma + delta, recency),
    )
    before = [
        rising_slope(alpha, x) - both,
        rising_slope(beta, recency - x) - both,
        -ends,
        rising_slope(delta, recency) - ends,
    ]
    return Each(value, np.stack(before) + silence.slopes)


def objective(rows: Rows) -> Objective:
    """Return a function that says how likely the rows are under given parameters.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and n, whole, with 0 <= x <= t_x <= n, and people per row.

    Returns
    -------
    callable
        Takes (alpha, beta, gamma, delta), gives the log-likelihood summed over
        people and its four derivatives.

    Notes
    -----
    All customers together need the numbers of people with more than j purchases,
    skips and opportunities before their last purchase, and one recursion for all
    customers with the same x and n.

    Examples
    --------
    >>> rows = Rows((np.array([4.0]), np.array([5.0]), np.array([6.0])), np.ones(1))
    >>> value, gradient = objective(rows)(np.array([1.204, 0.750, 0.657, 2.783]))
    >>> round(value, 4), gradient.shape
    (-5.0957, (4,))
    """
    x, recency, age = rows.columns[:3]
    people = rows.counts
    chains = chained((), x, age)
    silences = _silences(chains, x, recency)
    n_bought, n_skipped, n_there = (
        people_above(n, people) for n in (x, recency - x, recency)
    )
    j, j_skipped, j_there = (
        np.arange(n.size, dtype=np.float64) for n in (n_bought, n_skipped, n_there)
    )

    def of_params(params: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives."""
        alpha, beta, gamma, delta = params.tolist()
        shared = [np.asarray(p) for p in params]
        silence = silences.judge(shared[2:], _quiet(shared, chains.x))
        both, ends = alpha + beta + j_there, gamma + delta + j_there
        value = (
            dot(n_bought, np.log(alpha + j))
            + dot(n_skipped, np.log(beta + j_skipped))
            - dot(n_there, np.log(both) + np.log1p(gamma / (delta + j_there)))
            + dot(people, np.log(silence.probability))
        )
        all_both = dot(n_there, 1 / both)
        before = [
            dot(n_bought, 1 / (alpha + j)) - all_both,
            dot(n_skipped, 1 / (beta + j_skipped)) - all_both,
            -dot(n_there, 1 / ends),
            dot(n_there, gamma / (ends * (delta + j_there))),
        ]
        after = [dot(people, slope) for slope in silence.slopes]
        return value, np.array(before) + after

    return of_params


def starts(rows: Rows) -> list[tuple[float, ...]]:
    """Return points to start a fit from.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and n, with a purchase.

    Returns
    -------
    list of tuple of float
        Values of alpha, beta, gamma, delta.

    Examples
    --------
    >>> rows = Rows((np.array([2.0]), np.array([5.0]), np.array([8.0])), np.ones(1))
    >>> starts(rows)[:3]
    [(1.0, 3.0, 1.0, 8.0), (0.5, 0.5, 0.5, 2.0), (1.0, 3.0, 10.0, 80.0)]
    """
    x, _, age = rows.columns[:3]
    bought, seen = dot(x, rows.counts), dot(age, rows.counts)
    n_mean = seen / rows.n_people
    skips = max(seen / bought - 1, 0.1)
    return [
        (1.0, skips, 1.0, n_mean),
        (0.5, 0.5, 0.5, 0.25 * n_mean),
        (1.0, skips, 10.0, 10 * n_mean),
        # Hardly anybody leaves, or nearly all do at once: maxima of small tables.
        (1.0, 1.0, 0.01, 0.03),
        (30.0, 30.0, 1.0, 0.1),
    ]


def p_alive(
    params: Params, *, x: npt.ArrayLike, recency: npt.ArrayLike, age: npt.ArrayLike
) -> FloatArray:
    """Say how probable it is that customers are there for the next opportunity.

    Parameters
    ----------
    params : BgBb
        Numbers, or arrays with one number per customer.
    x, recency, age : array_like of int
        Opportunities with a purchase, number of the last of them, and opportunities
        so far: 0 <= x <= recency <= age.

    Returns
    -------
    ndarray of float64
        Probabilities to be there at opportunity n + 1, as in table 6 of Fader,
        Hardie and Shang. For a new customer it is delta / (gamma + delta).

    Notes
    -----
    ::

        P = B(alpha+x, beta+n-x)/B(alpha, beta) / L
            * B(gamma, delta+n+1)/B(gamma, delta)

    Examples
    --------
    >>> donors = BgBb(1.204, 0.750, 0.657, 2.783)
    >>> p_alive(donors, x=[0, 2, 6], recency=[0, 4, 6], age=6).round(2).tolist()
    [0.11, 0.59, 0.93]
    """
    shared, (x, recency, age), shape = flat(params, x, recency, age)
    chains = chained(shared, x, age)
    silence = _silences(chains, x, recency).judge(shared[2:], _quiet(shared, chains.x))
    gamma, delta = shared[2:]
    stays = (delta + age) / (gamma + delta + age)
    return np.asarray(stays * silence.unbroken / silence.probability).reshape(shape)


def expected_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
) -> FloatArray:
    """Say at how many of the next opportunities to expect a purchase.

    Parameters
    ----------
    params : BgBb
        Numbers, or arrays with one number per customer.
    x : array_like of int
        Opportunities with a purchase so far, at least 0.
    recency : array_like of int
        Number of the last of them; it does not matter for those still there.
    age : array_like of int
        Opportunities so far.
    horizon : array_like of int
        Opportunities to come.

    Returns
    -------
    ndarray of float64
        Expected purchases of customers who are there for the next opportunity.
        `p_alive` times this is the expectation of Fader, Hardie and Shang.

    Raises
    ------
    ValueError
        When the horizon is not a whole number of opportunities.

    Notes
    -----
    ::

        E = (alpha+x)/(alpha+beta+n) * sum_(i < m) prod_(l < i) (c+l)/(gamma+c+l)
        c = delta+n+1

    for a horizon of m opportunities (see `expected_stays`).

    Examples
    --------
    >>> donors = BgBb(1.203528, 0.749726, 0.656781, 2.783796)
    >>> new = {"x": 0, "recency": 0, "age": 0}
    >>> found = p_alive(donors, **new) * expected_if_alive(donors, **new, horizon=10)
    >>> float(found.round(4))
    3.1798
    """
    alpha, beta, gamma, delta, n_repeat, _, n, ahead = np.broadcast_arrays(
        *(np.asarray(v, np.float64) for v in (*params, x, recency, age, horizon))
    )
    _check_horizon(ahead)
    there = expected_stays(gamma, delta + n + 1, ahead)
    return np.asarray((alpha + n_repeat) / (alpha + beta + n) * there)


def _check_horizon(horizon: FloatArray) -> None:
    """Refuse horizons that end between opportunities."""
    if not ((horizon >= 0) & (horizon % 1 == 0)).all():
        wrong = horizon[~((horizon >= 0) & (horizon % 1 == 0))].ravel()[0]
        raise ValueError(
            "horizon must be a whole number of opportunities, at least 0; "
            f"got {wrong:g}"
        )


def pmf_if_alive(
    params: Params,
    *,
    n: npt.ArrayLike,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
) -> FloatArray:
    """Say how probable purchases at n of the next opportunities are.

    Parameters
    ----------
    params : BgBb
        Numbers, or arrays with one number per customer.
    n : array_like of int
        Number of purchases, at least 0.
    x : array_like of int
        Opportunities with a purchase so far, at least 0.
    recency : array_like of int
        Number of the last of them; it does not matter for those still there.
    age, horizon : array_like of int
        Opportunities so far and to come.

    Returns
    -------
    ndarray of float64
        Probabilities for customers who are there for the next opportunity; 0 for
        more purchases than opportunities.

    Raises
    ------
    ValueError
        When the horizon is not a whole number of opportunities.

    Notes
    -----
    The sum over the number i of opportunities that the customer is there for, of its
    probability times that of n out of i (beta-binomial), in logs.

    Examples
    --------
    >>> donors = BgBb(1.204, 0.750, 0.657, 2.783)
    >>> args = {"x": 4, "recency": 5, "age": 6, "horizon": 2}
    >>> found = pmf_if_alive(donors, n=[0, 1, 2], **args)
    >>> found.round(4).tolist(), float(found.sum().round(9))
    ([0.1574, 0.4178, 0.4248], 1.0)
    """
    every = np.broadcast_arrays(
        *(np.asarray(v, np.float64) for v in (*params, n, x, age, horizon, recency))
    )
    shape = every[0].shape
    alpha, beta, gamma, delta, some, bought, past, ahead = (
        v.ravel() for v in every[:8]
    )
    _check_horizon(ahead)
    case = _Future(
        some, ahead, gamma, delta + past + 1, alpha + bought, beta + past - bought
    )
    found = np.where((ahead == 0) & (some == 0), 1.0, 0.0)
    fewest = np.maximum(some, 1.0)
    for rows, columns in by_width((ahead - fewest + 1).astype(np.int64)):
        found[rows] = _pmf(_Future(*(v[rows, None] for v in case)), columns)
    return found.reshape(shape)


class _Future(NamedTuple):
    """Purchases n in m opportunities, and what leaving and buying depend on then."""

    n: FloatArray
    m: FloatArray
    a: FloatArray
    c: FloatArray
    buys: FloatArray
    skips: FloatArray


def _pmf(case: _Future, columns: IntArray) -> FloatArray:
    """Add up the probabilities over the opportunities that customers are there for."""
    n, m, a, c, buys, skips = case
    fewest = np.maximum(n, 1.0)
    there = fewest + columns
    growth = np.log(
        (c + there - 1) / (a + c + there - 1)
        * ((there + 1) / (there + 1 - n))
        * ((skips + there - n) / (buys + skips + there))
    )  # fmt: skip
    first = log_rising(buys, n) + log_rising(skips, fewest - n)
    first -= log_rising(buys + skips, fewest) + log_rising_gain(c, fewest - 1, a)
    logs = np.cumsum(np.concatenate([first, growth[:, :-1]], axis=1), axis=1)
    logs += np.where(there < m, np.log(a / (a + c + there - 1)), 0.0)
    logs = np.where(there <= m, logs, -np.inf)
    top = logs.max(axis=1, keepdims=True)
    return np.asarray(np.exp(top[:, 0]) * np.exp(logs - top).sum(axis=1))


def draw_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    rng: np.random.Generator,
) -> IntArray:
    """Draw at how many of the next opportunities customers buy.

    Parameters
    ----------
    params : BgBb
        Numbers, or arrays with one number per customer.
    x : array_like of int
        Opportunities with a purchase so far, at least 0.
    recency : array_like of int
        Number of the last of them; it does not matter for those still there.
    age, horizon : array_like of int
        Opportunities so far and to come.
    rng : Generator
        Source of the random numbers.

    Returns
    -------
    ndarray of int64
        Counts of customers who are there for the next opportunity.

    Raises
    ------
    ValueError
        When the horizon is not a whole number of opportunities.

    Examples
    --------
    >>> donors = BgBb(1.204, 0.750, 0.657, 2.783)
    >>> args = {"x": 4, "recency": 5, "age": np.full(9000, 6), "horizon": 5}
    >>> drawn = draw_if_alive(donors, rng=np.random.default_rng(0), **args)
    >>> expected = expected_if_alive(donors, **args)[0]
    >>> bool(abs(drawn.mean() - expected) < 0.05)
    True
    """
    alpha, beta, gamma, delta, bought, _, past, ahead = np.broadcast_arrays(
        *(np.asarray(v, np.float64) for v in (*params, x, recency, age, horizon))
    )
    _check_horizon(ahead)
    leaves = rng.beta(gamma, delta + past + 1)
    buys = rng.beta(alpha + bought, beta + past - bought)
    there = np.minimum(rng.geometric(np.maximum(leaves, _RAREST)), ahead)
    return np.asarray(rng.binomial(there.astype(np.int64), buys), dtype=np.int64)


MODEL = PurchaseModel(
    name="bg_bb",
    label="BG/BB",
    parameters=BgBb._fields,
    times=(),
    each=each,
    objective=objective,
    starts=starts,
    p_alive=p_alive,
    expected_if_alive=expected_if_alive,
    pmf_if_alive=pmf_if_alive,
    draw_if_alive=draw_if_alive,
    purchase_rate=("alpha", 1),
    dropout=("gamma", 1),
    uses_recency=False,
    one_time_may_leave=True,
    is_discrete=True,
)
