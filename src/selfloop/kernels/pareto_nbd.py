"""Pareto/NBD: customers who buy at a rate of their own and may leave at any moment.

While a customer is active, purchases come at a steady rate lambda; at any moment,
whether or not anything is bought, the customer leaves for good with hazard mu. Across
customers lambda is Gamma(r, rate alpha) and mu is Gamma(s, rate beta), independent of
each other. One customer is three numbers: x repeat purchases, the age t_x at the last
of them (0 without any), and the age T at the end of observation, in one unit of time.

Everything rests on one probability: that the next event of a customer who is still
there at age t, after x purchases, is to leave and not to buy. Given that history,
lambda is Gamma(r+x, alpha+t) and mu is Gamma(s, beta+t), so it depends on time by the
ratio k = (alpha+t)/(beta+t) alone::

    Q = E[mu/(lambda+mu)] = k s/(r+x+s) F(s+1, 1; r+x+s+1; 1-k)

What is known of a customer then is one of two cases: no event until T and then a
purchase first, or no purchase after t_x because leaving came first. With
S(t) = (1 + t/alpha)^-(r+x) (1 + t/beta)^-s::

    L = G(r+x)/G(r) alpha^-x [S(T) (1 - Q(T)) + S(t_x) Q(t_x)]

All terms are positive, so nothing cancels whatever the data, and Q is needed for
pairs (x, t_x) and (x, T) only, of which there are far fewer than customers.

References
----------
D. C. Schmittlein, D. G. Morrison and R. Colombo, Counting Your Customers: Who Are They
and What Will They Do Next?, Management Science 33(1), 1987. P. S. Fader and
B. G. S. Hardie, A Note on Deriving the Pareto/NBD Model and Related Expressions, 2005.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, exprel, wrightomega

from selfloop.kernels.fitting import Objective
from selfloop.kernels.leaving import (
    ALL,
    CUT,
    INTEGRALS_IN_CACHE,
    SLOPES,
    STEP,
    VALUE,
    Leaving,
    Table,
    blocks,
    integrated,
    numbered,
    read_table,
    table_if_shorter,
)
from selfloop.kernels.purchase_model import Each, IntArray, Params, PurchaseModel
from selfloop.kernels.rising import log_pmf, log_rising, people_above, rising_slope
from selfloop.kernels.rows import FloatArray, Rows, dot

_ROWS_IN_CACHE = 16_384  # at a time, with a few temporary arrays
_STEP_OF_FALL = 0.035  # at most, of the way over which an integrand vanishes
_OUTSIDE = 200.0  # logits beyond which integrands have vanished
_HALVINGS = 26  # of a range of logits: to 1e-5
_LOG_FOR_EVER = 600.0  # e^600 units of time never end
_MANY_ALIKE = 2048  # for a block of their own to pay


class ParetoNbd(NamedTuple):
    """Parameters of the model, all above 0.

    Parameters
    ----------
    r, alpha : float
        Shape and rate of the purchase rate among customers; alpha is in the unit
        of time.
    s, beta : float
        Shape and rate of the hazard to leave among customers; beta is in the unit
        of time.
    """

    r: float
    alpha: float
    s: float
    beta: float


def each(params: Params, rows: Rows) -> Each:
    """Say how likely each row is, and how that changes with the parameters.

    Parameters
    ----------
    params : ParetoNbd
        Numbers, or arrays with one number per row; quick while r and s are numbers.
    rows : Rows
        Columns x, t_x and T with 0 <= t_x <= T; more columns are ignored.

    Returns
    -------
    Each
        Log-likelihood of one customer of each row, and its derivatives by r, alpha,
        s, beta.

    Notes
    -----
    The formula is at the head of this module; ln x! and the times of the purchases
    are left out, as in the papers.

    Examples
    --------
    >>> rows = Rows((np.array([2.0]), np.array([30.43]), np.array([38.86])), np.ones(1))
    >>> each(ParetoNbd(0.5533, 10.5777, 0.6062, 11.6687), rows).log_likelihood.round(4)
    array([-9.5543])
    """
    people, _ = _people(params, *rows.columns[:3])
    n = people.x.size
    value, gradient = np.empty(n), np.empty((4, n))
    q = _lookup(people)
    for part in blocks(n, _ROWS_IN_CACHE):
        value[part], gradient[:, part] = _each_block(people.cut(part), q, part)
    return Each(value, gradient)


def _each_block(
    people: "_People", q: "_Lookup", part: slice
) -> tuple[FloatArray, list[FloatArray]]:
    """Return the log-likelihood of some rows and its derivatives."""
    r, alpha, s, beta, x, recency, age = people
    at_last, at_end = (Leaving(*q.read(part, y, ALL)) for y in people.log_ratios())
    q_end = np.exp(at_end.log)
    cases = _cases(people.log_fall() + at_last.log, q_end)
    grown, grown_too = np.log1p(age / alpha), np.log1p(age / beta)
    value = log_rising(r, x) - x * np.log(alpha) - (r + x) * grown - s * grown_too
    # What stays with S(T), what hangs on t_x, and what Q(T) takes off the first case.
    left, stays, taken = cases.left, 1 - cases.left, cases.alive * q_end
    by_r = left * (at_last.by_r - np.log1p(recency / alpha))
    by_s = left * (at_last.by_s - np.log1p(recency / beta))
    by_r += rising_slope(r, x) - stays * grown - taken * at_end.by_r
    by_s -= stays * grown_too + taken * at_end.by_s
    turn, turn_end = left * at_last.by_log_ratio, taken * at_end.by_log_ratio
    since, total = alpha + recency, alpha + age
    by_alpha = (r + x) / alpha * (left * recency / since + stays * age / total)
    by_alpha += turn / since - turn_end / total - x / alpha
    since, total = beta + recency, beta + age
    by_beta = s / beta * (left * recency / since + stays * age / total)
    by_beta += turn_end / total - turn / since
    return value + cases.log, [by_r, by_alpha, by_s, by_beta]


def objective(rows: Rows) -> Objective:
    """Return a function that says how likely the rows are under given parameters.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and T with 0 <= t_x <= T, and people per row.

    Returns
    -------
    callable
        Takes (r, alpha, s, beta), gives the log-likelihood summed over people and its
        four derivatives.

    Notes
    -----
    The formula is at the head of this module. Q is found once for each pair (x, t_x)
    and (x, T): from polynomials in ln k, one for each x, through a few values of the
    integral. On a day grid a million customers have some fifty thousand pairs.

    Examples
    --------
    >>> rows = Rows((np.array([2.0]), np.array([30.43]), np.array([38.86])), np.ones(1))
    >>> value, gradient = objective(rows)(np.array([0.5533, 10.5777, 0.6062, 11.6687]))
    >>> round(value, 4), gradient.shape
    (-9.5543, (4,))
    """
    return _Likelihood(rows).at


def starts(rows: Rows) -> list[tuple[float, ...]]:
    """Return points to start a fit from.

    Parameters
    ----------
    rows : Rows
        Columns x, t_x and T, with at least one repeat purchase.

    Returns
    -------
    list of tuple of float
        Values of r, alpha, s, beta; alpha and beta in the unit of the rows.

    Examples
    --------
    >>> one = Rows((np.array([2.0]), np.array([30.0]), np.array([40.0])), np.ones(1))
    >>> starts(one)[0]
    (1.0, 6.0, 1.0, 6.0)
    """
    x, _, age = rows.columns[:3]
    scale = 0.3 * dot(age, rows.counts) / dot(x, rows.counts)
    # Few customers can have a maximum where they are alike, or where they differ.
    return [
        (1.0, scale, 1.0, scale),
        (0.3, scale, 0.3, scale),
        (5.0, 5 * scale, 0.3, scale),
        # Hardly anybody leaves, or some leave at once: other maxima of small shops.
        (1.0, scale, 0.01, 0.0003 * float(age.max())),
        (1.0, scale, 1.0, 100 * float(age.max())),
    ]


def p_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
) -> FloatArray:
    """Say how probable it is that customers have not left yet.

    Parameters
    ----------
    params : ParetoNbd
        Numbers, or arrays with one number per customer; quick while r and s are
        numbers.
    x : array_like of int
        Repeat purchases, at least 0.
    recency, age : array_like of float
        Age at the last purchase and at the end, 0 <= recency <= age, in the unit of
        alpha.

    Returns
    -------
    ndarray of float64
        Probabilities; 1 where recency equals age. They may underflow to 0.

    Notes
    -----
    With Q and S of the head of this module, P = 1 / (1 - Q(T) + Q(t_x) S(t_x)/S(T)).

    Examples
    --------
    >>> cdnow = ParetoNbd(0.553277, 10.577682, 0.606240, 11.668740)
    >>> float(p_alive(cdnow, x=2, recency=30.43, age=38.86).round(4))
    0.8691
    """
    people, shape = _people(params, x, recency, age)
    n = people.x.size
    found = np.empty(n)
    q = _lookup(people)
    for part in blocks(n, _ROWS_IN_CACHE):
        of_part = people.cut(part)
        (log_last,), (log_end,) = (q.read(part, y, VALUE) for y in of_part.log_ratios())
        found[part] = _cases(of_part.log_fall() + log_last, np.exp(log_end)).alive
    return found.reshape(shape)


def expected_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,  # noqa: ARG001 - the same for all models
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
) -> FloatArray:
    """Say how many purchases to expect from customers who have not left.

    Parameters
    ----------
    params : ParetoNbd
        Numbers, or arrays with one number per customer.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency : array_like of float
        Age at the last of them; it does not matter for those who are still there.
    age, horizon : array_like of float
        Age now and length of the time to come, at least 0, in the unit of alpha.

    Returns
    -------
    ndarray of float64
        Expected purchases within the horizon.

    Notes
    -----
    ::

        E = (r+x)/(alpha+T) (beta+T) (1 - e^-((s-1) l)) / (s-1),  l = ln(1 + t/(beta+T))

    with its limit l for the last fraction at s = 1.

    Examples
    --------
    >>> cdnow = ParetoNbd(0.553277, 10.577682, 0.606240, 11.668740)
    >>> found = expected_if_alive(cdnow, x=0, recency=0, age=0, horizon=52)
    >>> float(found.round(5))
    1.47343
    """
    r, alpha, s, beta = (np.asarray(p, dtype=np.float64) for p in params)
    count, now, ahead = (np.asarray(v, np.float64) for v in (x, age, horizon))
    rate = (r + count) / (alpha + now)
    grown = np.log1p(ahead / (beta + now))
    active = (beta + now) * grown * exprel((1 - s) * grown)
    return np.asarray(rate * active)


def pmf_if_alive(
    params: Params,
    *,
    n: npt.ArrayLike,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,  # noqa: ARG001 - the same for all models
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
) -> FloatArray:
    """Say how probable n purchases are for customers who have not left.

    Parameters
    ----------
    params : ParetoNbd
        Numbers, or arrays with one number per customer.
    n : array_like of int
        Number of purchases within the horizon, at least 0.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency : array_like of float
        Age at the last of them; it does not matter for those who are still there.
    age, horizon : array_like of float
        Age now and length of the time to come, at least 0, in the unit of alpha.

    Returns
    -------
    ndarray of float64
        Probabilities; they sum to 1 over n.

    Notes
    -----
    With P(n; u) the NBD probability of n purchases within u, of shape r+x and rate
    alpha+T, and b = beta+T::

        P = (1 + t/b)^-s P(n; t) + Int_0^t s/b (1 + u/b)^-(s+1) P(n; u) du

    by the trapezoidal rule; all terms are positive. For n = 0 it is
    Q(T) + S(T+t)/S(T) (1 - Q(T+t)), by the head of this module.

    Examples
    --------
    >>> cdnow = ParetoNbd(0.553277, 10.577682, 0.606240, 11.668740)
    >>> pmf_if_alive(cdnow, n=[0, 1, 2], x=2, recency=30, age=39, horizon=39).round(4)
    array([0.3195, 0.2526, 0.1746])
    """
    wanted, count, now, ahead, *own = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (n, x, age, horizon, *params))
    )
    found, some = np.empty(wanted.shape), wanted > 0
    found[some] = _pmf(*(v[some] for v in (wanted, count, now, ahead, *own)))
    found[~some] = _pmf_of_none(
        [
            v if np.ndim(v) == 0 else of[~some]
            for v, of in zip(params, own, strict=True)
        ],
        count[~some],
        age=now[~some],
        horizon=ahead[~some],
    )
    return found


def _pmf_of_none(
    params: Params, x: FloatArray, *, age: FloatArray, horizon: FloatArray
) -> FloatArray:
    """Return how probable no purchase is: to leave first, or to buy after the horizon.

    S(t) is that of somebody there at T, who has bought nothing from then on.
    """
    people, _ = _people(params, x, age, age + horizon)
    lookup, found = _lookup(people), np.empty(x.size)
    for part in blocks(x.size, _ROWS_IN_CACHE):
        of_part = people.cut(part)
        now, later = (
            np.exp(lookup.read(part, y, VALUE)[0]) for y in of_part.log_ratios()
        )
        either = now + np.exp(-of_part.log_fall()) * (1 - later)
        found[part] = np.minimum(either, 1)
    return found


def _pmf(
    n: FloatArray,
    x: FloatArray,
    age: FloatArray,
    horizon: FloatArray,
    r: FloatArray,
    alpha: FloatArray,
    s: FloatArray,
    beta: FloatArray,
) -> FloatArray:
    """Return how probable some purchases are, block by block."""
    values = n, r + x, s, horizon / (alpha + age), horizon / (beta + age)
    found = np.empty(n.size)
    for part in blocks(n.size, INTEGRALS_IN_CACHE):
        found[part] = _pmf_block(*(v[part] for v in values))
    return found


def draw_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,  # noqa: ARG001 - the same for all models
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    rng: np.random.Generator,
) -> IntArray:
    """Draw how often customers who have not left buy within a horizon.

    Parameters
    ----------
    params : ParetoNbd
        Numbers, or arrays with one number per customer.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency : array_like of float
        Age at the last of them; it does not matter for those who are still there.
    age, horizon : array_like of float
        Age now and length of the time to come, at least 0, in the unit of alpha.
    rng : Generator
        Source of the random numbers.

    Returns
    -------
    ndarray of int64
        Counts, at a purchase rate and until a moment of leaving that are drawn given
        what customers did so far.

    Notes
    -----
    lambda is Gamma(r+x, alpha+T). With mu from Gamma(s, beta+T) and an exponential
    time until leaving, that time is (beta+T) (e^(v/s) - 1) for a standard exponential
    v. The count is Poisson over that time or the horizon, whichever is shorter.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> cdnow = ParetoNbd(0.553277, 10.577682, 0.606240, 11.668740)
    >>> new = {"x": 0, "recency": 0, "age": np.zeros(20_000)}
    >>> drawn = draw_if_alive(cdnow, horizon=52, rng=rng, **new)
    >>> bool(abs(drawn.mean() - 1.4734) < 0.1)
    True
    """
    r, alpha, s, beta, count, now, ahead = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (*params, x, age, horizon))
    )
    rate = rng.gamma(r + count) / (alpha + now)
    exponent = np.minimum(rng.standard_exponential(s.shape) / s, _LOG_FOR_EVER)
    stays = np.minimum((beta + now) * np.expm1(exponent), ahead)
    return np.asarray(rng.poisson(rate * stays), dtype=np.int64)


class _People(NamedTuple):
    """Parameters and data of customers: each flat, or one number for all of them."""

    r: FloatArray
    alpha: FloatArray
    s: FloatArray
    beta: FloatArray
    x: FloatArray
    recency: FloatArray
    age: FloatArray

    def cut(self, part: slice) -> "_People":
        """Return some of the customers."""
        return _People(*(v if v.ndim == 0 else v[part] for v in self))

    def log_ratios(self) -> tuple[FloatArray, FloatArray]:
        """Return ln k at the last purchase and at the end."""
        last = (self.alpha + self.recency) / (self.beta + self.recency)
        end = (self.alpha + self.age) / (self.beta + self.age)
        return np.log(last), np.log(end)

    def log_fall(self) -> FloatArray:
        """Return ln S(t_x)/S(T), at least 0."""
        gap = self.age - self.recency
        slower = np.log1p(gap / (self.alpha + self.recency))
        leaves = np.log1p(gap / (self.beta + self.recency))
        return (self.r + self.x) * slower + self.s * leaves


def _people(params: Params, *data: npt.ArrayLike) -> tuple[_People, tuple[int, ...]]:
    """Make customers flat, and tell the shape they had."""
    values = [np.asarray(v, dtype=np.float64) for v in (*params, *data)]
    shape = np.broadcast_shapes(*(v.shape for v in values))
    flat = [np.broadcast_to(v, shape).ravel() for v in values[-len(data) :]]
    shared = [
        v if v.ndim == 0 else np.broadcast_to(v, shape).ravel()
        for v in values[: -len(data)]
    ]
    return _People(*shared, *flat), shape


class _Lookup(NamedTuple):
    """Where to find ln Q of customers: in a table, or by integration for each."""

    r: FloatArray
    s: FloatArray
    x: FloatArray
    x_no: IntArray
    table: Table | None

    def read(
        self, part: slice, log_ratio: FloatArray, which: slice
    ) -> tuple[FloatArray, ...]:
        """Return ln Q of some customers, or which of its derivatives are wanted."""
        if self.table is not None:
            cell, u = self.table.place(self.x_no[part], log_ratio)
            return tuple(read_table(c, cell, u) for c in self.table.coefficients[which])
        r, s = (v if v.ndim == 0 else v[part] for v in (self.r, self.s))
        shape, s = np.broadcast_arrays(r + self.x[part], s)
        return tuple(integrated(shape, s, log_ratio))[which]


def _lookup(people: _People) -> _Lookup:
    """Say where to find ln Q of customers."""
    r, s = people.r, people.s
    if r.ndim or s.ndim or people.x.size == 0:
        return _Lookup(r, s, people.x, np.empty(0, dtype=np.int64), None)
    distinct, x_no = numbered(people.x)
    if people.alpha.ndim or people.beta.ndim:
        ends = np.stack(people.log_ratios())
    else:  # ln k only rises, or only falls
        span = np.array([people.recency.min(), people.age.max()])
        ends = np.log((people.alpha + span) / (people.beta + span))
    low, high = float(ends.min()), float(ends.max())
    table = table_if_shorter(
        r, s, distinct, low=low, high=high, n_values=2 * people.x.size
    )
    return _Lookup(r, s, people.x, x_no, table)


class _Cases(NamedTuple):
    """What a history says of the two cases, with S(T) = 1.

    The log of 1 - Q(T) + e^z, the probability of the second case, and the
    probability to be there still.
    """

    log: FloatArray
    left: FloatArray
    alive: FloatArray


def _cases(z: FloatArray, q_end: FloatArray) -> _Cases:
    """Weigh the two cases; z is ln of Q(t_x) S(t_x)/S(T)."""
    over = np.maximum(z, 0)
    second, scale = np.exp(z - over), np.exp(-over)
    both = second + scale * (1 - q_end)
    return _Cases(over + np.log(both), second / both, np.minimum(scale / both, 1))


class _Likelihood:
    """The log-likelihood of rows that share their parameters.

    Pairs are the distinct (x, t_x), then the distinct (x, T).
    """

    def __init__(self, rows: Rows) -> None:
        x, recency, age = rows.columns[:3]
        self.people = rows.counts
        self.n_above = people_above(x, rows.counts)
        self.distinct, x_no = numbered(x)
        is_new = np.ones(x.size, dtype=np.bool_)
        is_new[1:] = (x[1:] != x[:-1]) | (recency[1:] != recency[:-1])
        self.first = np.flatnonzero(is_new)
        self.last_no = np.cumsum(is_new) - 1
        ages, age_no = np.unique(age, return_inverse=True)
        keys, self.end_no = np.unique(x_no * ages.size + age_no, return_inverse=True)
        self.n_end = np.bincount(self.end_no, weights=self.people)
        self.time = np.concatenate([recency[self.first], ages[keys % ages.size]])
        self.x_no = np.concatenate([x_no[self.first], keys // ages.size])
        self.x = self.distinct[self.x_no]
        self.parts = _parts_alike(self.x_no)

    def at(self, params: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood and its derivatives by r, alpha, s, beta."""
        model = ParetoNbd(*params.tolist())
        q, n_last = self._lookup(model), self.first.size
        log_q, log_s = np.empty(self.time.size), np.empty(self.time.size)
        for part in self.parts:
            grown, grown_too, log_ratio = _grown(model, self.time[part])
            (log_q[part],) = q.read(part, log_ratio, VALUE)
            grown *= model.r + self.x[part]
            grown += model.s * grown_too
            np.negative(grown, out=log_s[part])
        log_end, q_end = log_s[n_last:], np.exp(log_q[n_last:])
        log_last = log_s[:n_last] + log_q[:n_last]
        value, left, alive = self._weigh(log_last, log_end, q_end)
        on_s, on_q = np.empty(self.time.size), np.empty(self.time.size)
        on_s[:n_last] = on_q[:n_last] = np.add.reduceat(left, self.first)
        left_end = np.bincount(self.end_no, weights=left, minlength=q_end.size)
        np.subtract(self.n_end, left_end, out=on_s[n_last:])
        alive_end = np.bincount(self.end_no, weights=alive, minlength=q_end.size)
        np.multiply(alive_end, -q_end, out=on_q[n_last:])
        slopes = self._slopes(model, q, on_s=on_s, on_q=on_q)
        rising = model.r + np.arange(self.n_above.size)
        value += dot(self.n_end, log_end)
        value += dot(self.n_above, np.log(rising / model.alpha))
        slopes[0] += dot(self.n_above, 1 / rising)
        slopes[1] -= self.n_above.sum() / model.alpha
        return value, slopes

    def _lookup(self, model: ParetoNbd) -> _Lookup:
        """Say where to find ln Q of the pairs."""
        ends = np.array([self.time.min(), self.time.max()])
        low, high = sorted(_grown(model, ends)[2].tolist())
        table = table_if_shorter(
            model.r, model.s, self.distinct, low=low, high=high, n_values=self.time.size
        )
        r, s = np.asarray(model.r), np.asarray(model.s)
        return _Lookup(r, s, self.x, self.x_no, table)

    def _weigh(
        self, log_last: FloatArray, log_end: FloatArray, q_end: FloatArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Add up what the two cases give, and the people in the second and alive."""
        n = self.people.size
        value, left, alive = 0.0, np.empty(n), np.empty(n)
        for part in blocks(n, _ROWS_IN_CACHE):
            people, end_no = self.people[part], self.end_no[part]
            z = log_last.take(self.last_no[part])
            z -= log_end.take(end_no)
            found = _cases(z, q_end.take(end_no))
            value += dot(people, found.log)
            np.multiply(people, found.left, out=left[part])
            np.multiply(people, found.alive, out=alive[part])
        return value, left, alive

    def _slopes(
        self, model: ParetoNbd, q: _Lookup, *, on_s: FloatArray, on_q: FloatArray
    ) -> FloatArray:
        """Add up the derivatives, given the weight of ln S and of ln Q of each pair."""
        r, alpha, s, beta = model
        slopes = np.zeros(4)
        for part in self.parts:
            time, of_q = self.time[part], on_q[part]
            grown, grown_too, log_ratio = _grown(model, time)
            by_r, by_s, turn = q.read(part, log_ratio, SLOPES)
            turn *= of_q
            passed = on_s[part] * time
            slopes += (
                dot(of_q, by_r) - dot(on_s[part], grown),
                dot((r + self.x[part]) / alpha * passed + turn, 1 / (alpha + time)),
                dot(of_q, by_s) - dot(on_s[part], grown_too),
                dot(s / beta * passed - turn, 1 / (beta + time)),
            )
        return slopes


def _parts_alike(x_no: IntArray) -> list[slice]:
    """Cut pairs into blocks, with blocks of its own for each x that has many."""
    change = np.flatnonzero(x_no[1:] != x_no[:-1]) + 1
    ends = np.append(change, x_no.size).tolist()
    parts, start, last = [], 0, 0
    for end in ends:
        if end - last >= _MANY_ALIKE or end - start >= _ROWS_IN_CACHE:
            parts += [slice(start, last)] if last > start else []
            parts += [
                slice(i, min(i + _ROWS_IN_CACHE, end))
                for i in range(last, end, _ROWS_IN_CACHE)
            ]
            start = end
        last = end
    return parts + ([slice(start, last)] if last > start else [])


def _grown(
    model: ParetoNbd, time: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return ln(1 + t/alpha), ln(1 + t/beta), and ln k."""
    grown, grown_too = np.log1p(time / model.alpha), np.log1p(time / model.beta)
    log_ratio = grown - grown_too
    log_ratio += math.log(model.alpha / model.beta)
    return grown, grown_too, log_ratio


def _pmf_block(
    n: FloatArray, m: FloatArray, s: FloatArray, a: FloatArray, b: FloatArray
) -> FloatArray:
    """Return the probability of n purchases, for some customers.

    With m = r + x, h = u/t, and a, b the horizon over alpha+T and beta+T, it is
    P(n; t) times::

        (1+b)^-s + s b Int_0^1 h^n ((1+a)/(1+a h))^(m+n) (1+b h)^-(s+1) dh

    where h = 1/(1 + e^-y) and y = v + e^(v-c): c, above 0 and the peak, is where the
    rest of the way to h = 1 becomes short. In ln h the log of the integrand, with
    dh/dy, is concave: it rises, then falls.
    """
    at = _Counts(*(v[:, None] for v in (n, m, s, a, b)))
    far = np.full(at.n.shape, _OUTSIDE)
    peak = _boundary(at.is_rising, -far, far)
    bend = np.maximum(peak, 0)
    middle = peak - wrightomega(peak - bend)  # where y is at the peak
    top = at.log_integrand(middle, bend)
    low = _boundary(lambda v: at.log_integrand(v, bend) < top - CUT, -far, middle)
    high = _boundary(
        lambda v: at.log_integrand(v, bend) > top - CUT,
        middle,
        bend + math.log(_OUTSIDE),
    )
    finest = np.minimum(STEP, _STEP_OF_FALL * np.minimum(middle - low, high - middle))
    n_nodes = math.ceil(((high - low) / finest).max()) + 1
    step = (high - low) / (n_nodes - 1)
    terms = np.exp(at.log_integrand(low + step * np.arange(n_nodes), bend) - top)
    total = step[:, 0] * terms.sum(axis=1)
    with np.errstate(divide="ignore"):  # no horizon, no time to leave: ln 0 = -inf
        log_leaves = top[:, 0] + np.log(s * b * total)
    both = np.logaddexp(-s * np.log1p(b), log_leaves)
    return np.asarray(np.exp(log_pmf(n, shape=m, ratio=a) + both))


class _Counts(NamedTuple):
    """What the integral of `_pmf_block` is over; columns of customers."""

    n: FloatArray
    m: FloatArray
    s: FloatArray
    a: FloatArray
    b: FloatArray

    def log_integrand(self, v: FloatArray, bend: FloatArray) -> FloatArray:
        """Return its log, with dh/dv."""
        n, m, s, a, b = self
        stretch = np.exp(v - bend)
        y = v + stretch
        log_h, log_rest = -np.log1p(np.exp(-y)), -np.log1p(np.exp(y))
        h = np.exp(log_h)
        found = (n + 1) * log_h + log_rest + np.log1p(stretch)
        found += (m + n) * (np.log1p(a) - np.log1p(a * h)) - (s + 1) * np.log1p(b * h)
        return np.asarray(found)

    def is_rising(self, y: FloatArray) -> npt.NDArray[np.bool_]:
        """Say where it, with dh/dy, still rises."""
        n, m, s, a, b = self
        h = expit(y)
        slope = (n + 1) - (m + n) * (a * h / (1 + a * h))
        slope -= (s + 1) * (b * h / (1 + b * h))
        return np.asarray(slope * expit(-y) > h)


def _boundary(
    is_before: Callable[[FloatArray], npt.NDArray[np.bool_]],
    low: FloatArray,
    high: FloatArray,
) -> FloatArray:
    """Return where something ends to be true between two points, by halving."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        before = is_before(middle)
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    return (low + high) / 2


MODEL = PurchaseModel(
    name="pareto_nbd",
    label="Pareto/NBD",
    parameters=ParetoNbd._fields,
    times=("alpha", "beta"),
    each=each,
    objective=objective,
    starts=starts,
    p_alive=p_alive,
    expected_if_alive=expected_if_alive,
    pmf_if_alive=pmf_if_alive,
    draw_if_alive=draw_if_alive,
    purchase_rate=("alpha", -1),
    dropout=("beta", -1),
)
