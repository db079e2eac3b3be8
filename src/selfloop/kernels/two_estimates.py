"""How far two estimates are apart, each known by its interval."""

import math
from typing import NamedTuple

from scipy.special import ndtr

from selfloop.kernels.intervals import normal_quantile


class Known(NamedTuple):
    """An estimate and its interval.

    Parameters
    ----------
    value : float
        The estimate.
    low, high : float
        Ends of its interval, on both sides of it.
    """

    value: float
    low: float
    high: float


class Apart(NamedTuple):
    """The difference of two estimates.

    Parameters
    ----------
    difference : float
        First less second.
    low, high : float
        Ends of its interval.
    p_value : float
        As far apart by chance; NaN where an interval is missing.
    """

    difference: float
    low: float
    high: float
    p_value: float


def apart(first: Known, second: Known, *, confidence: float = 0.95) -> Apart:
    """Say by how much one estimate exceeds another, from their intervals alone.

    Parameters
    ----------
    first, second : Known
        Estimates from different people, with intervals of the same level.
    confidence : float, optional
        That level, above 0 and below 1.

    Returns
    -------
    Apart
        Ends are NaN where an end that they need is missing or infinite.

    Notes
    -----
    Square-and-add [1]_: with estimates a, b and their limits l, u the ends are

        a - b - sqrt((a - l_a)^2 + (u_b - b)^2)
        a - b + sqrt((u_a - a)^2 + (b - l_b)^2)

    This keeps the skewness of both; Newcombe's interval of two shares is its case
    with Wilson's limits. The p value takes the reach towards 0 as that of a
    normal curve, so that it is under 1 - confidence when the interval leaves 0 out.
    Estimates that share people go up and down together: their difference is then
    known better than the interval says, never worse.

    References
    ----------
    .. [1] G. Y. Zou, A. Donner, "Construction of confidence limits about effect
       measures: a general approach", Statistics in Medicine 27 (2008).

    Examples
    --------
    >>> found = apart(Known(5.0, 2.0, 9.0), Known(1.0, 0.0, 5.0))
    >>> found.difference, found.low, round(found.high, 3)
    (4.0, -1.0, 8.123)
    """
    z = normal_quantile(confidence)
    difference = first.value - second.value
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    down, up = (reach if math.isfinite(reach) else math.nan for reach in (down, up))
    reach = down if difference >= 0 else up
    p_value = math.nan
    if reach > 0:
        p_value = 2 * float(ndtr(-z * abs(difference) / reach))
    return Apart(difference, difference - down, difference + up, p_value)
