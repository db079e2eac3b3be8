"""Which comes first, leaving or buying, when both have gamma-distributed rates.

Given what is known of a customer at some age, the purchase rate lambda is
Gamma(m, a) and the hazard mu of leaving Gamma(s, b). Whatever comes first is leaving
with the probability Q = E[mu / (lambda + mu)], which depends on time through the ratio
k = a / b alone.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from selfloop.kernels.purchase_model import IntArray
from selfloop.kernels.rows import FloatArray

INTEGRALS_IN_CACHE = 256  # the same, with 50 to 300 nodes each
STEP = 0.22  # of the trapezoidal rule; at 0.4 its error is 1e-9, at 0.3 1e-11
CUT = 38.0  # integrands are nothing once e^-38 of their scale
_LEFT = -3.7  # there the transformed integrand is e^-40
_PANEL = 1.0  # widest range of ln k that one polynomial covers
_NARROW = 2e-3  # ranges below are widened to it: rounding must not look like slope
_LOG_ACCURACY = 32.0  # polynomials end where their terms are e^-32
_MOST_UNUSED = 8  # times as many counts as rows, or sorting is quicker
ALL, VALUE, SLOPES = slice(0, 4), slice(0, 1), slice(1, 4)


class Leaving(NamedTuple):
    """The log of Q, and its derivatives by r (or x), by s, and by ln k."""

    log: FloatArray
    by_r: FloatArray
    by_s: FloatArray
    by_log_ratio: FloatArray


def integrated(shape: FloatArray, s: FloatArray, log_ratio: FloatArray) -> Leaving:
    """Return ln Q by integration, block by block; shape is r + x."""
    found = [
        _integrated_block(shape[rows], s[rows], log_ratio[rows])
        for rows in blocks(shape.size, INTEGRALS_IN_CACHE)
    ]
    return Leaving(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _integrated_block(
    shape: FloatArray, s: FloatArray, log_ratio: FloatArray
) -> Leaving:
    """Return ln Q for r + x = shape by way of Q for one more power of time.

    By parts, and by positive terms alone::

        (r+x+s) Q(r, s) = s [k + (1-k) Q(r, s+1)]       where k <= 1
                        = s + (r+x) (1-1/k) Q(r+1, s)   where k > 1

    The raised Q has a short tail however small r and s are.
    """
    below = log_ratio <= 0
    log_q, by_r, by_s, by_log_ratio = _raised(
        shape + ~below, s + below, log_ratio=log_ratio
    )
    ratio, both = np.exp(log_ratio), shape + s
    first = s * np.minimum(ratio, 1)
    weight = np.where(below, s, shape) * -np.expm1(-np.abs(log_ratio))
    second = weight * np.exp(log_q)
    total = first + second  # (r+x+s) Q
    by_weight = second / np.where(below, s, shape)
    of_r = second * by_r + np.where(below, 0, by_weight)
    of_s = first / s + second * by_s + np.where(below, by_weight, 0)
    # The weight vanishes at k = 1, where its slope does not.
    turn = np.where(below, -s * ratio, shape / ratio) * np.exp(log_q)
    of_log_ratio = np.where(below, first, 0) + turn + second * by_log_ratio
    return Leaving(
        np.log(total / both),
        of_r / total - 1 / both,
        of_s / total - 1 / both,
        of_log_ratio / total,
    )


def _raised(m: FloatArray, s: FloatArray, *, log_ratio: FloatArray) -> Leaving:
    """Return ln Q for m = r + x by integration over the log of the time to leaving.

    ::

        Q = s k Int (1 + w)^-m (1 + k w)^-(s+1) dw

    where w = e^y and y = c + v - e^-v with c at the scale of the integrand: it then
    vanishes doubly exponentially on the left and exponentially on the right, and the
    trapezoidal rule in v needs some 60 nodes for nearly all digits.
    """
    ratio, power = np.exp(log_ratio), s + 1
    scale = -np.log(m + power * ratio)
    high = _right_end(m, power, log_ratio=log_ratio, scale=scale) - scale
    v = np.arange(_LEFT, high.max() + STEP, STEP)
    bend = np.exp(-v)
    y = scale[:, None] + (v - bend)
    w = np.exp(y)
    grown = np.log1p(w)
    w *= ratio[:, None]
    grown_too = np.log1p(w)
    y -= m[:, None] * grown
    y -= power[:, None] * grown_too
    terms = np.exp(y, out=y)
    terms *= 1 + bend
    total = terms.sum(axis=1)
    return Leaving(
        np.log(s * ratio * total * STEP),
        -np.einsum("ij,ij->i", terms, grown) / total,
        1 / s - np.einsum("ij,ij->i", terms, grown_too) / total,
        1 - power * np.einsum("ij,ij->i", terms, w / (1 + w)) / total,
    )


def _right_end(
    m: FloatArray, power: FloatArray, *, log_ratio: FloatArray, scale: FloatArray
) -> FloatArray:
    """Return a log of time beyond which the integrand is negligible.

    Its log lies below three straight lines, of slopes 1, then 1 less one of the
    powers, then 1 less both, with bends where w = 1 and where k w = 1.
    """
    early, late = np.minimum(0, -log_ratio), np.maximum(0, -log_ratio)
    fall = np.where(log_ratio <= 0, m, power) - 1
    least = scale - CUT
    at_late = early - fall * (late - early)
    beyond = late + np.maximum(at_late - least, 0) / (m + power - 1)
    before = early + (early - least) / np.where(fall > 0, fall, 1)
    return np.where(at_late > least, beyond, before)


class Table(NamedTuple):
    """Polynomials in ln k, one for each x and panel, for ln Q and its derivatives.

    Coefficients have shape (degree + 1, n_x * n_panels), the highest power first.
    """

    low: float
    width: float
    n_panels: int
    coefficients: Leaving

    def place(
        self, x_no: IntArray, log_ratio: FloatArray
    ) -> tuple[IntArray, FloatArray]:
        """Return which polynomial each row needs, and where from -1 to 1."""
        u = (log_ratio - self.low) * (2 / self.width)
        u -= 1
        if self.n_panels == 1:
            return x_no, u
        panel = np.clip(np.floor((u + 1) / 2), 0, self.n_panels - 1)
        u -= 2 * panel
        return x_no * self.n_panels + panel.astype(np.int64), u


def table_if_shorter(
    r: float | FloatArray,
    s: float | FloatArray,
    x: FloatArray,
    *,
    low: float,
    high: float,
    n_values: int,
) -> Table | None:
    """Tabulate ln Q for some x over a range of ln k; None if values are quicker.

    ln Q is analytic in ln k where the imaginary part of that is below pi, and its own
    imaginary part is below pi there, since mu/(lambda+mu) turns by less. Chebyshev
    coefficients over a range of half-width h hence fall as e^(-j c) with
    sinh c = pi/h, whatever r, s and x are.
    """
    width = max(high - low, _NARROW)
    n_panels = math.ceil(width / _PANEL)
    n_nodes = math.ceil(_LOG_ACCURACY / math.asinh(2 * math.pi * n_panels / width))
    if x.size * n_panels * n_nodes > n_values:
        return None
    low, width = (low + high - width) / 2, width / n_panels
    interpolation = _interpolation(n_nodes)
    nodes = low + width * (np.arange(n_panels)[:, None] + interpolation.nodes)
    shape = np.repeat(r + x, nodes.size)
    values = integrated(shape, np.full(shape.size, s), np.tile(nodes.ravel(), x.size))
    parts = [interpolation.polynomials(v.reshape(-1, n_nodes)) for v in values]
    return Table(low, width, n_panels, Leaving(*parts))


class _Interpolation(NamedTuple):
    """From values at Chebyshev's nodes, within 0 to 1, to polynomials from -1 to 1."""

    nodes: FloatArray
    to_chebyshev: FloatArray
    to_powers: FloatArray

    def polynomials(self, values: FloatArray) -> FloatArray:
        """Return coefficients, the highest power first, of each row of values.

        By way of Chebyshev polynomials: in one step, rounding would grow 1e5 times.
        """
        fitted = np.einsum("kj,cj->kc", self.to_chebyshev, values)
        return np.ascontiguousarray(
            np.einsum("kp,kc->pc", self.to_powers, fitted)[::-1]
        )


@cache
def _interpolation(n: int) -> _Interpolation:
    """Return how to interpolate between n nodes."""
    angles = math.pi * (np.arange(n) + 0.5) / n
    to_chebyshev = np.cos(np.arange(n)[:, None] * angles) * (2 / n)
    to_chebyshev[0] /= 2
    to_powers = np.zeros((n, n))
    for k, unit in enumerate(np.eye(n)):
        to_powers[k, : k + 1] = np.polynomial.chebyshev.cheb2poly(unit[: k + 1])
    return _Interpolation((1 + np.cos(angles)) / 2, to_chebyshev, to_powers)


def read_table(coefficients: FloatArray, cell: IntArray, u: FloatArray) -> FloatArray:
    """Return the value at u of each row's polynomial, by Horner's rule."""
    found = np.zeros_like(u)
    if (cell == cell[0]).all():  # which three times as quick
        for number in coefficients[:, cell[0]].tolist():
            found *= u
            found += number
        return found
    each_own = np.empty_like(u)
    for of_power in coefficients:
        found *= u
        # Anything but "raise" lets numpy write without a copy; cells are in range.
        found += np.take(of_power, cell, out=each_own, mode="clip")
    return found


def blocks(n: int, size: int) -> Iterator[slice]:
    """Cut n rows into blocks."""
    return (slice(start, start + size) for start in range(0, n, size))


def numbered(x: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the distinct values, rising, and the number of each; whole and >= 0."""
    if x.max() > _MOST_UNUSED * x.size:
        return np.unique(x, return_inverse=True)
    whole = x.astype(np.int64)
    is_used = np.bincount(whole) > 0
    number = np.cumsum(is_used) - 1
    return np.flatnonzero(is_used).astype(np.float64), number[whole]
