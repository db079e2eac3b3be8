"""What customers of BG/CNBD-k and MBG/CNBD-k do next, given that they have not left.

The formulas are in the notes of `expected_if_alive` and `pmf_if_alive`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from selfloop.kernels.cnbd_counts import There, chances, expected, take
from selfloop.kernels.purchase_model import IntArray, Params
from selfloop.kernels.rows import FloatArray


def _there(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    n: npt.ArrayLike = 0.0,
    k: int,
    first_dropout: int,
) -> tuple[There, FloatArray]:
    """Return the posterior, one row per customer, and n in the shape of the answer."""
    given = (*params, x, recency, age, horizon, n)
    values = (np.asarray(v, dtype=np.float64) for v in given)
    r, alpha, a, b, x, recency, age, horizon, n = np.broadcast_arrays(*values)
    total = alpha + age
    posterior = (
        r + k * x,
        a,
        b + x + first_dropout,
        horizon / total,
        (age - recency) / total,
    )
    return There(*(v.ravel() for v in posterior)), n


def expected_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    k: int,
    first_dropout: int,
) -> FloatArray:
    """Say how many purchases to expect from customers who have not left.

    Parameters
    ----------
    params : sequence of float or ndarray
        r, alpha, a, b; arrays give each customer their own.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency, age : array_like of float
        Age at the last purchase and now, in the unit of alpha.
    horizon : array_like of float
        Length of the time to come, at least 0, in the unit of alpha.
    k : int
        Hidden events per purchase, 1 to 12.
    first_dropout : int
        1 for MBG/CNBD-k, 0 for BG/CNBD-k.

    Returns
    -------
    ndarray of float64
        Expected purchases within the horizon.

    Notes
    -----
    Given that a customer is still there, j = 0..k-1 hidden events have passed since
    the last purchase, with weights as the terms of S in `each`, and the rate is then
    Gamma(r+kx+j, alpha+T). M hidden events to come make N = floor((M+j)/k) purchases
    if nobody leaves, and::

        E = sum_j w_j sum_M P(M | j) g(floor((M+j)/k))
        g(N) = sum_{n=1..N} B(a, b+x+m+n-1) / B(a, b+x+m)

    where M is negative binomial with the ratio u = t/(alpha+T). All terms are
    positive. Where there would be thousands, the sum over M is taken in closed form
    for each chance to leave p, with the k-th roots v of 1-p in the complex plane::

        sum_v v^(j+1) / (k (1-p)(1-v)) (1 - (1 + (1-v) u)^-(r+kx+j))

    and integrated over p by the trapezoidal rule in ln(p/(1-p)).

    Examples
    --------
    >>> grocer = (1.44, 0.76, 0.4, 1.2)  # weeks; a customer who came every 4
    >>> args = {"x": 10, "recency": 40, "k": 2, "first_dropout": 1}
    >>> found = expected_if_alive(grocer, age=[40, 44], horizon=4, **args)
    >>> found.round(3).tolist()  # just bought, and due
    [0.8, 1.053]
    """
    there, shaped = _there(
        params, x=x, recency=recency, age=age, horizon=horizon,
        k=k, first_dropout=first_dropout,
    )  # fmt: skip
    first, row = _distinct(there[:4])  # the age at the last purchase only weighs
    by_hidden = expected(take(there, first), k=k)
    return _weighted(by_hidden, there, row).reshape(shaped.shape)


def _weighted(by_hidden: FloatArray, there: There, row: IntArray) -> FloatArray:
    """Average over the hidden events since the last purchase, which row says what."""
    found, weights = np.zeros((2, row.size))
    term = np.ones(row.size)
    for j, values in enumerate(by_hidden):
        found += term * values[row]
        weights += term
        term *= (there.shape + j) / (j + 1) * there.waited
    return np.asarray(found / weights)


def _distinct(columns: Sequence[FloatArray]) -> tuple[IntArray, IntArray]:
    """Return where each distinct row is first, and which one each row is."""
    varying = [c for c in columns if c.size and c.min() < c.max()]
    if not varying:
        n = columns[0].size
        return np.zeros(min(n, 1), dtype=np.int64), np.zeros(n, dtype=np.int64)
    order = np.lexsort(varying)
    is_new = np.zeros(order.size, dtype=np.bool_)
    is_new[0] = True
    for column in varying:
        ordered = column[order]
        is_new[1:] |= ordered[1:] != ordered[:-1]
    row = np.empty(order.size, dtype=np.int64)
    row[order] = np.cumsum(is_new) - 1
    return order[is_new], row


def pmf_if_alive(
    params: Params,
    *,
    n: npt.ArrayLike,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    k: int,
    first_dropout: int,
) -> FloatArray:
    """Say how probable exactly n purchases are from customers who have not left.

    Parameters
    ----------
    params : sequence of float or ndarray
        r, alpha, a, b; arrays give each customer their own.
    n : array_like of int
        Purchases within the horizon, at least 0.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency, age : array_like of float
        Age at the last purchase and now, in the unit of alpha.
    horizon : array_like of float
        Length of the time to come, at least 0, in the unit of alpha.
    k : int
        Hidden events per purchase, 1 to 12.
    first_dropout : int
        1 for MBG/CNBD-k, 0 for BG/CNBD-k.

    Returns
    -------
    ndarray of float64
        Probabilities; they sum to 1 over n.

    Notes
    -----
    With N, j and w_j as in `expected_if_alive`: either the n-th purchase was wanted
    and the customer left after it, or exactly n were wanted and none was the last::

        P(n) = sum_j w_j (P(N >= n | j) E[p (1-p)^(n-1)] + P(N = n | j) E[(1-p)^n])

    without the first term for n = 0.

    Examples
    --------
    >>> args = {"x": 10, "recency": 40, "age": 44, "k": 2, "first_dropout": 1}
    >>> grocer = (1.44, 0.76, 0.4, 1.2)
    >>> pmf_if_alive(grocer, n=[0, 1, 2, 3], horizon=4, **args).round(4).tolist()
    [0.2472, 0.5012, 0.2081, 0.0388]
    """
    there, count = _there(
        params, n=n, x=x, recency=recency, age=age, horizon=horizon,
        k=k, first_dropout=first_dropout,
    )  # fmt: skip
    wanted = count.ravel()
    first, row = _distinct((*there[:4], wanted))
    by_hidden = chances(take(there, first), wanted[first], k=k)
    return _weighted(by_hidden, there, row).reshape(count.shape)


def draw_if_alive(
    params: Params,
    *,
    x: npt.ArrayLike,
    recency: npt.ArrayLike,
    age: npt.ArrayLike,
    horizon: npt.ArrayLike,
    rng: np.random.Generator,
    k: int,
    first_dropout: int,
) -> IntArray:
    """Draw numbers of purchases of customers who have not left.

    Parameters
    ----------
    params : sequence of float or ndarray
        r, alpha, a, b; arrays give each customer their own.
    x : array_like of int
        Repeat purchases so far, at least 0.
    recency, age : array_like of float
        Age at the last purchase and now, in the unit of alpha.
    horizon : array_like of float
        Length of the time to come, at least 0, in the unit of alpha.
    rng : numpy.random.Generator
        Source of random numbers.
    k : int
        Hidden events per purchase, 1 to 12.
    first_dropout : int
        1 for MBG/CNBD-k, 0 for BG/CNBD-k.

    Returns
    -------
    ndarray of int64
        One count per customer, distributed as `pmf_if_alive` says.

    Examples
    --------
    >>> args = {"x": 10, "recency": 40, "age": 44, "k": 2, "first_dropout": 1}
    >>> grocer, rng = (1.44, 0.76, 0.4, 1.2), np.random.default_rng(1)
    >>> counts = draw_if_alive(grocer, horizon=np.full(9, 4.0), rng=rng, **args)
    >>> counts.shape, bool((counts >= 0).all())
    ((9,), True)
    """
    there, shaped = _there(
        params, x=x, recency=recency, age=age, horizon=horizon,
        k=k, first_dropout=first_dropout,
    )  # fmt: skip
    quiet = silent(there.shape, there.waited, k=k)[0]
    target = rng.random(shaped.size) * quiet
    hidden, passed = np.zeros((2, quiet.size))
    term = np.ones_like(quiet)
    for j in range(k - 1):
        passed = passed + term
        hidden += passed <= target
        term *= (there.shape + j) / (j + 1) * there.waited
    to_come = rng.poisson(rng.gamma(there.shape + hidden) * there.ratio)
    wanted = (to_come + hidden) // k
    # Purchases until one leaves, from an exponential time: no p is too small for it.
    leaves = rng.beta(there.leaves, there.stays).clip(1e-300, 1 - 2**-53)
    last = np.floor(rng.standard_exponential(shaped.size) / -np.log1p(-leaves)) + 1
    bought = np.minimum(wanted, last).astype(np.int64)
    return np.asarray(bought.reshape(shaped.shape))


def silent(
    shape: FloatArray, waited: FloatArray, *, k: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Say how probable silence is, over the chance of no hidden event at all.

    Parameters
    ----------
    shape : ndarray of float64
        r + kx.
    waited : ndarray of float64
        (T - t_x) / (alpha + T).
    k : int
        Hidden events per purchase.

    Returns
    -------
    value, by_shape, by_waited : ndarray of float64
        S as in `cnbd_k.each`, and its derivatives, by Horner's rule.

    Examples
    --------
    >>> value, _, _ = silent(np.array([2.0]), np.array([0.5]), k=2)  # 1 + 2 * 0.5
    >>> value.tolist()
    [2.0]
    """
    found = np.ones_like(waited * shape)
    by_shape = by_waited = np.zeros_like(found)
    for j in range(k - 2, -1, -1):
        rising = (shape + j) / (j + 1)
        by_shape = waited * (found / (j + 1) + rising * by_shape)
        by_waited = rising * (found + waited * by_waited)
        found = 1 + rising * waited * found
    return found, by_shape, by_waited
