"""PDO: steady purchases, and an opportunity to leave every tau units of time.

While a customer is there, purchases come at a steady rate lambda. At the ages tau,
2 tau, 3 tau, ... the customer leaves for good with probability p: periodic death
opportunities. Across customers lambda is Gamma(r, rate alpha) and p is Beta(a, b),
independent of each other. The opportunities come with calendar time, not with
purchases, so that one who never came back may have left. Long tau make it NBD, short
ones nearly Pareto/NBD. One customer is x repeat purchases, the age t_x at the last of
them (0 without any), and the age T at the end of observation, in one unit of time.

tau is not estimated with the rest, because the likelihood jumps in it: whenever an
opportunity passes a last purchase. Fit each of some candidates (see `taus`) and keep
the likeliest.

References
----------
K. Jerath, P. S. Fader and B. G. S. Hardie, New Perspectives on Customer "Death" Using
a Generalization of the Pareto/NBD Model, Marketing Science 30(5), 2011.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.kernels.fitting import Objective
from selfloop.kernels.purchase_model import Each, IntArray, Params, PurchaseModel
from selfloop.kernels.rising import (
    log_pmf,
    log_rising,
    log_rising_gain,
    people_above,
    rising_slope,
)
from selfloop.kernels.rows import FloatArray, Rows, distinct_rows, dot
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

_CLOSE = 1e-9  # this near to a whole number of tau is one: 3 * 0.1 is not 0.3
_RAREST = 1e-15  # probability, so that random numbers of trials stay within 64 bits


class Pdo(NamedTuple):
    """Parameters of the model, all above 0.

    Parameters
    ----------
    r, alpha : float
        Shape and rate of the purchase rate among customers; alpha is in the unit
        of time.
    a, b : float
        Shape parameters of the probability to leave at an opportunity.
    """

    r: float
    alpha: float
    a: float
    b: float


def model(tau: float) -> PurchaseModel:
    """Return the model with opportunities to leave every tau units of time.

    Parameters
    ----------
    tau : float
        Time between opportunities, above 0, in the unit of the ages. The work grows
        with the largest age over tau.

    Returns
    -------
    PurchaseModel

    Raises
    ------
    ValueError
        When tau is not a number above 0.

    Examples
    --------
    >>> model(3.0).label, model(3.0).parameters
    ('PDO', ('r', 'alpha', 'a', 'b'))
    """
    if not 0 < tau < math.inf:
        raise ValueError(f"tau must be a time above 0, got {tau}")
    return PurchaseModel(
        name="pdo",
        label="PDO",
        parameters=Pdo._fields,
        times=("alpha",),
        each=partial(each, tau=tau),
        objective=partial(objective, tau=tau),
        starts=partial(starts, tau=tau),
        p_alive=partial(p_alive, tau=tau),
        expected_if_alive=partial(expected_if_alive, tau=tau),
        pmf_if_alive=partial(pmf_if_alive, tau=tau),
        draw_if_alive=partial(draw_if_alive, tau=tau),
        purchase_rate=("alpha", -1),
        dropout=("a", 1),
        one_time_may_leave=True,
    )


def taus(
    age: npt.ArrayLike, *, step: float | None = None, n: int = 40
) -> tuple[float, ...]:
    """Return candidates for the time between opportunities to leave.

    Parameters
    ----------
    age : array_like of float
        Ages at the end of observation, the largest above 0.
    step : float, optional
        Candidates are multiples of it, such as 1/7 for whole days when ages are in
        weeks; by default any number will do.
    n : int, optional
        Number of candidates at most, at least 2.

    Returns
    -------
    tuple of float
        Rising by equal factors, from `step`, or 1/100 of the largest age, to just
        beyond the largest age, where the model is NBD.

    Raises
    ------
    ValueError
        When no age is above 0, or step or n make no grid.

    Notes
    -----
    The likelihood jumps between neighbours and often has several peaks. Once the best
    of these is found, the multiples of the step between its two neighbours are worth
    a look too.

    Examples
    --------
    >>> [round(tau, 2) for tau in taus([10, 39], n=5)]
    [0.39, 1.81, 8.4, 39.0, 39.39]
    >>> [round(tau * 7) for tau in taus([10, 39], step=1 / 7, n=6)]
    [1, 4, 16, 67, 273, 274]
    """
    longest = float(np.max(age))
    finest = longest / 100 if step is None else step
    if not (0 < finest <= longest < math.inf and n >= 2):
        raise ValueError(
            "taus needs ages above 0, a step above 0 that is no longer than the "
            f"largest age, and n of at least 2; got {longest:g}, {step} and {n}"
        )
    inner = np.geomspace(finest, longest, n - 1)
    if step is None:
        return (*inner.tolist(), 1.01 * longest)
    multiples = np.unique(np.floor(inner / step + _CLOSE))
    return tuple((np.append(multiples, multiples[-1] + 1) * step).tolist())


def _passed(age: FloatArray, tau: float) -> FloatArray:
    """Count the opportunities to leave up to some age, that one included."""
    return np.asarray(np.floor(age / tau + _CLOSE))


def _passed_before(recency: FloatArray, tau: float) -> FloatArray:
    """Count the opportunities that a customer certainly stayed at."""
    return np.asarray(np.maximum(np.ceil(recency / tau - _CLOSE), 1) - 1)


def _quiet(params: Sequence[FloatArray], chains: Chained, tau: float) -> Quiet:
    """Return how probable it is to buy nothing from one opportunity to the next."""
    r, alpha = params[:2]

    def quiet(
        which: IntArray, k: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the probability and the derivatives of its log."""
        age = chains.age[which]
        begin, end = np.minimum((k + 1) * tau, age), np.minimum((k + 2) * tau, age)
        shape = of_chains(r, which) + chains.x[which]
        since, length = of_chains(alpha, which) + begin, end - begin
        lag = np.log1p(length / since)
        by_alpha = shape * (length / (since * (since + length)))
        return np.exp(-shape * lag), -lag, by_alpha

    return quiet


def _silences(chains: Chained, before: FloatArray, tau: float) -> Silences:
    """Prepare the silences from the first opportunity after the last purchases."""
    return Silences(
        first=before.astype(np.int64),
        chain=chains.chain,
        last=_passed(chains.age, tau).astype(np.int64),
    )


def each(params: Params, rows: Rows, *, tau: float) -> Each:
    """Say how likely each row is, and how that changes with the parameters.

    Parameters
    ----------
    params : Pdo
        Numbers, or arrays with one number per row.
    rows : Rows
        Columns x, t_x and T with 0 <= t_x <= T.
    tau : float
        Time between opportunities to leave, above 0, in the unit of the ages.

    Returns
    -------
    Each
        Log-likelihood of one customer of each row, and its derivatives by r, alpha,
        a, b.

    Notes
    -----
    For one customer, over the opportunities j with t_x <= j tau <= T, and with
    J = floor(T/tau)::

        L = G(r+x)/G(r) alpha^r { B(a, b+J)/B(a, b) (alpha+T)^-(r+x)
            + sum_j B(a+1, b+j-1)/B(a, b) (alpha + j tau)^-(r+x) }

    What happened until the first of these opportunities is taken out; the rest is
    the probability of the silence since then (see `Silences`).

    Examples
    --------
    >>> rows = Rows((np.array([2.0]), np.array([30.43]), np.array([38.86])), np.ones(1))
    >>> cdnow = Pdo(0.5211, 10.3149, 0.4181, 2.3221)
    >>> each(cdnow, rows, tau=3.0).log_likelihood.round(4).tolist()
    [-9.5605]
    """
    x, recency, age = rows.columns[:3]
    shared = [np.asarray(p, dtype=np.float64) for p in params]
    r, alpha, a, b = shared
    before = _passed_before(recency, tau)
    chains = chained(shared, x, age)
    silence = _silences(chains, before, tau).judge((a, b), _quiet(shared, chains, tau))
    begin = np.minimum((before + 1) * tau, age)
    grown, total = np.log1p(begin / alpha), alpha + begin
    value = log_rising(r, x) - r * grown - x * np.log(total)
    value += np.log(silence.probability) - log_rising_gain(b, before, a)
    ends = rising_slope(a + b, before)
    slopes = [
        rising_slope(r, x) - grown,
        (r * begin / alpha - x) / total,
        -ends,
        rising_slope(b, before) - ends,
    ]
    return Each(value, np.stack(slopes) + silence.slopes)


def objective(rows: Rows, *, tau: float) -> Objective:
    """Return a function that says how likely the rows are under given parameters.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and T with 0 <= t_x <= T, and people per row.
    tau : float
        Time between opportunities to leave, above 0, in the unit of the ages.

    Returns
    -------
    callable
        Takes (r, alpha, a, b), gives the log-likelihood summed over people and its
        four derivatives.

    Notes
    -----
    t_x matters only by the opportunity that follows it, which makes many rows alike,
    and all with the same x and T are worked out in one recursion.

    Examples
    --------
    >>> rows = Rows((np.array([2.0]), np.array([30.43]), np.array([38.86])), np.ones(1))
    >>> likelihood = objective(rows, tau=3.0)
    >>> value, gradient = likelihood(np.array([0.5211, 10.3149, 0.4181, 2.3221]))
    >>> round(value, 4), gradient.shape
    (-9.5605, (4,))
    """
    x, recency, age = rows.columns[:3]
    alike = distinct_rows([x, _passed_before(recency, tau), age], counts=rows.counts)
    x, before, age = alike.columns
    people = alike.counts
    chains = chained((), x, age)
    silences = _silences(chains, before, tau)
    n_bought, n_stayed = people_above(x, people), people_above(before, people)
    j = np.arange(n_bought.size, dtype=np.float64)
    k = np.arange(n_stayed.size, dtype=np.float64)
    begins, begin_no = np.unique(
        np.minimum((before + 1) * tau, age), return_inverse=True
    )
    n_begin = np.bincount(begin_no, weights=people)
    x_begin = np.bincount(begin_no, weights=people * x)

    def of_params(params: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives."""
        r, alpha, a, b = params.tolist()
        shared = [np.asarray(p) for p in params]
        silence = silences.judge(shared[2:], _quiet(shared, chains, tau))
        grown, total = np.log1p(begins / alpha), alpha + begins
        value = (
            dot(n_bought, np.log(r + j))
            - r * dot(n_begin, grown)
            - dot(x_begin, np.log(total))
            - dot(n_stayed, np.log1p(a / (b + k)))
            + dot(people, np.log(silence.probability))
        )
        before_it = [
            dot(n_bought, 1 / (r + j)) - dot(n_begin, grown),
            dot(r / alpha * n_begin * begins - x_begin, 1 / total),
            -dot(n_stayed, 1 / (a + b + k)),
            dot(n_stayed, a / ((b + k) * (a + b + k))),
        ]
        after = [dot(people, slope) for slope in silence.slopes]
        return value, np.array(before_it) + after

    return of_params


def starts(rows: Rows, *, tau: float) -> list[tuple[float, ...]]:
    """Return points to start a fit from.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and T, with a purchase and an age above 0.
    tau : float
        Time between opportunities to leave, above 0, in the unit of the ages.

    Returns
    -------
    list of tuple of float
        Values of r, alpha, a, b.

    Examples
    --------
    >>> rows = Rows((np.array([2.0]), np.array([5.0]), np.array([20.0])), np.ones(1))
    >>> starts(rows, tau=5.0)[:3]
    [(1.0, 3.0, 1.0, 4.0), (0.3, 3.0, 0.5, 4.0), (1.0, 3.0, 10.0, 40.0)]
    """
    x, _, age = rows.columns[:3]
    in_all = dot(age, rows.counts)
    alpha = 0.3 * in_all / dot(x, rows.counts)
    b = max(in_all / rows.n_people / tau, 1.0)
    usual = [(1.0, alpha, 1.0, b), (0.3, alpha, 0.5, b), (1.0, alpha, 10.0, 10 * b)]
    return [*usual, (1.0, alpha, 0.01, 0.03)]  # hardly anybody leaves


def p_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    tau: float,
) -> FloatArray:
    """Say how probable it is that customers have not left yet.

    Parameters
    ----------
    params : Pdo
        Numbers, or arrays with one number per customer.
    x : array_like of int
        Repeat purchases, at least 0.
    recency, age : array_like of float
        Age at the last purchase and at the end, in the unit of alpha.
    tau : float
        Time between opportunities to leave, above 0, in the same unit.

    Returns
    -------
    ndarray of float64
        Probabilities; 1 for those whose last purchase is younger than the last
        opportunity. One at the very end has passed.

    Notes
    -----
    The share that the first term has of L in `each`: that of those who stayed at all
    opportunities. It may underflow to 0.

    Examples
    --------
    >>> cdnow = Pdo(0.5211, 10.3149, 0.4181, 2.3221)
    >>> p_alive(cdnow, x=[0, 2], recency=[0, 30.43], age=38.86, tau=3).round(4).tolist()
    [0.335, 0.9219]
    """
    shared, (x, recency, age), shape = flat(params, x, recency, age)
    chains = chained(shared, x, age)
    silence = _silences(chains, _passed_before(recency, tau), tau).judge(
        shared[2:], _quiet(shared, chains, tau)
    )
    return np.asarray(silence.unbroken / silence.probability).reshape(shape)


class _Future(NamedTuple):
    """What comes after age T: purchases at a Gamma rate, opportunities to leave."""

    shape: FloatArray  # of the purchase rate
    rate: FloatArray
    a: FloatArray  # of the probability to leave
    b: FloatArray
    horizon: FloatArray
    wait: FloatArray  # until the next opportunity
    n: FloatArray  # opportunities within the horizon


def _future(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    tau: float,
) -> _Future:
    """Return what customers who are there at age T are like, and what awaits them."""
    r, alpha, a, b, n_repeat, _, now, ahead = np.broadcast_arrays(
        *(np.asarray(v, np.float64) for v in (*params, x, recency, age, horizon))
    )
    passed = _passed(now, tau)
    return _Future(
        shape=r + n_repeat,
        rate=alpha + now,
        a=a,
        b=b + passed,
        horizon=ahead,
        wait=(passed + 1) * tau - now,
        n=_passed(now + ahead, tau) - passed,
    )


def expected_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    tau: float,
) -> FloatArray:
    """Say how many purchases to expect from customers who have not left.

    Parameters
    ----------
    params : Pdo
        Numbers, or arrays with one number per customer.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency : array_like of float
        Age at the last of them; it does not matter for those still there.
    age, horizon : array_like of float
        Age now and length of the time to come, at least 0, in the unit of alpha.
    tau : float
        Time between opportunities to leave, above 0, in the same unit.

    Returns
    -------
    ndarray of float64
        Expected purchases within the horizon.

    Notes
    -----
    The expected rate times the expected time until leaving: the wait w until the next
    opportunity, tau after each of the m opportunities in the horizon that the
    customer stays at, and what is left after the last::

        E = (r+x)/(alpha+T) [w + tau sum_(i=1..m-1) S_i + S_m (t - w - (m-1) tau)]
        S_i = B(a, b+J+i)/B(a, b+J)

    The sum has a closed form (see `expected_stays`).

    Examples
    --------
    >>> cdnow = Pdo(0.5211, 10.3149, 0.4181, 2.3221)
    >>> new = {"x": 0, "recency": 0, "age": 0}
    >>> float(expected_if_alive(cdnow, **new, horizon=52, tau=3).round(4))
    1.4883
    """
    on = _future(params, x=x, recency=recency, age=age, horizon=horizon, tau=tau)
    stays_first = on.b / (on.a + on.b)
    whole = stays_first * expected_stays(on.a, on.b + 1, np.maximum(on.n - 1, 0))
    stays_last = np.exp(-log_rising_gain(on.b, on.n, on.a))
    rest = np.maximum(on.horizon - on.wait - (on.n - 1) * tau, 0.0)
    there = on.wait + tau * whole + stays_last * rest
    return np.asarray(on.shape / on.rate * np.where(on.n > 0, there, on.horizon))


def pmf_if_alive(
    params: Params,
    *,
    n: npt.ArrayLike,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    tau: float,
) -> FloatArray:
    """Say how probable it is that customers buy n times within a horizon.

    Parameters
    ----------
    params : Pdo
        Numbers, or arrays with one number per customer.
    n : array_like of int
        Number of purchases, at least 0.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency : array_like of float
        Age at the last of them; it does not matter for those still there.
    age, horizon : array_like of float
        Age now and length of the time to come, at least 0, in the unit of alpha.
    tau : float
        Time between opportunities to leave, above 0, in the same unit.

    Returns
    -------
    ndarray of float64
        Probabilities for customers who have not left.

    Notes
    -----
    The sum over the opportunities at which the customer may leave of the probability
    of that times the negative binomial probability of n purchases until then.

    Examples
    --------
    >>> cdnow = Pdo(0.5211, 10.3149, 0.4181, 2.3221)
    >>> new = {"x": 0, "recency": 0, "age": 0}
    >>> found = pmf_if_alive(cdnow, n=np.arange(200), **new, horizon=52, tau=3)
    >>> found[:3].round(4).tolist(), float(found.sum().round(9))
    ([0.5701, 0.164, 0.0819], 1.0)
    """
    on = _future(params, x=x, recency=recency, age=age, horizon=horizon, tau=tau)
    every = np.broadcast_arrays(np.asarray(n, dtype=np.float64), *on)
    shape = every[0].shape
    bought, *parts = (v.reshape(-1, 1) for v in every)
    case = _Future(*parts)
    found = np.zeros(bought.size)
    for rows, columns in by_width(case.n[:, 0].astype(np.int64) + 1):
        of_rows = _Future(*(v[rows] for v in case))
        found[rows] = _pmf(bought[rows], of_rows, columns, tau=tau)
    return found.reshape(shape)


def _pmf(n: FloatArray, on: _Future, columns: IntArray, *, tau: float) -> FloatArray:
    """Add up the probabilities over the opportunities at which customers may leave."""
    stays_for = on.b + columns
    leaves = np.log1p(on.a / stays_for)
    stayed = np.cumsum(leaves, axis=1) - leaves
    # Those who stay at all opportunities buy until the horizon.
    last = columns == on.n
    ends = np.where(last, 0.0, np.log(on.a / (on.a + stays_for)))
    time = np.minimum(on.wait + columns * tau, on.horizon)
    logs = ends - stayed + log_pmf(n, shape=on.shape, ratio=time / on.rate)
    return np.asarray(np.exp(np.where(columns <= on.n, logs, -np.inf)).sum(axis=1))


def draw_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    tau: float,
    rng: np.random.Generator,
) -> IntArray:
    """Draw how often customers buy within a horizon who have not left.

    Parameters
    ----------
    params : Pdo
        Numbers, or arrays with one number per customer.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency : array_like of float
        Age at the last of them; it does not matter for those still there.
    age, horizon : array_like of float
        Age now and length of the time to come, at least 0, in the unit of alpha.
    tau : float
        Time between opportunities to leave, above 0, in the same unit.
    rng : Generator
        Source of the random numbers.

    Returns
    -------
    ndarray of int64
        Counts.

    Examples
    --------
    >>> cdnow = Pdo(0.5211, 10.3149, 0.4181, 2.3221)
    >>> args = {"x": 2, "recency": 9, "age": np.full(9000, 12.0), "horizon": 10}
    >>> drawn = draw_if_alive(cdnow, tau=3, rng=np.random.default_rng(0), **args)
    >>> expected = expected_if_alive(cdnow, tau=3, **args)[0]
    >>> bool(abs(drawn.mean() - expected) < 0.05)
    True
    """
    on = _future(params, x=x, recency=recency, age=age, horizon=horizon, tau=tau)
    tries = rng.geometric(np.maximum(rng.beta(on.a, on.b), _RAREST))
    there = np.minimum(on.wait + (tries - 1) * tau, on.horizon)
    return np.asarray(rng.poisson(rng.gamma(on.shape) / on.rate * there), np.int64)
