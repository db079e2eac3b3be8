"""By which day a share of people has got there, with interval."""

from typing import NamedTuple

import numpy as np

from selfloop.kernels.intervals import normal_quantile
from selfloop.kernels.rows import FloatArray
from selfloop.kernels.survival import KaplanMeier

# A product of fractions that is exactly the share may be rounded to just beside it.
_NEAR = 1e-12


class Days(NamedTuple):
    """A number of days and its interval; NaN when it is not reached.

    Parameters
    ----------
    days : float
        First day on which it is reached.
    low, high : float
        Ends of its interval; a missing `high` means that there is no upper end.
    """

    days: float
    low: float
    high: float


def quantile_days(km: KaplanMeier, share: float) -> Days:
    """Return the first day by which a share of all people has had the event.

    Parameters
    ----------
    km : KaplanMeier
        A curve from `survival.kaplan_meier`.
    share : float
        Above 0 and below 1.

    Returns
    -------
    Days
        NaN when the curve stays below the share.

    Notes
    -----
    The interval holds all days on which the interval of the curve holds the share [1]_:
    from the first day on which its upper end reaches it to the first on which its
    lower end does.

    References
    ----------
    .. [1] R. Brookmeyer, J. Crowley, "A confidence interval for the median survival
       time", Biometrics 38 (1982).

    Examples
    --------
    >>> from selfloop.kernels.survival import kaplan_meier
    >>> km = kaplan_meier(np.array([0, 40, 40]), np.array([0, 0, 20]))
    >>> quantile_days(km, 0.5)
    Days(days=2.0, low=1.0, high=2.0)
    """
    return Days(
        _first(km.cif >= share - _NEAR),
        _first(km.cif_high >= share - _NEAR),
        _first(km.cif_low >= share - _NEAR),
    )


def quantile_days_of_reached(
    km: KaplanMeier, share: float, *, within: int, confidence: float = 0.95
) -> Days:
    """Return the first day by which a share of those has had it who ever have it.

    Parameters
    ----------
    km : KaplanMeier
        A curve from `survival.kaplan_meier`.
    share : float
        Above 0 and below 1.
    within : int
        "Ever" is within so many days.
    confidence : float, optional
        Level of the interval, above 0 and below 1.

    Returns
    -------
    Days
        NaN when nobody has it within that time, or nobody was watched for so long.

    Notes
    -----
    The first t with F(t) >= share F(W), where F = 1 - S is the curve. With Greenwood's
    s^2(t), the variance of the gap F(t) - q F(W) for t <= W is

        S(t)^2 s^2(t) + q^2 S(W)^2 s^2(W) - 2 q S(t) S(W) s^2(t)

    and the interval reaches from the first day on which the gap plus z standard errors
    is at least 0 to the first on which the gap less z standard errors is: F is a step,
    and a day on which it lies clearly above may be the first with the share.

    Examples
    --------
    Half of those who come within 3 days have come by the first.

    >>> from selfloop.kernels.survival import kaplan_meier
    >>> km = kaplan_meier(np.array([0, 40, 20, 20]), np.array([0, 0, 0, 99]))
    >>> quantile_days_of_reached(km, 0.5, within=3).days
    1.0
    """
    z = normal_quantile(confidence)
    known = within < km.day.size and not np.isnan(km.cif[within])
    if not known or not km.cif[within] > 0:
        return Days(np.nan, np.nan, np.nan)
    survival = km.survival[: within + 1]
    spread = _greenwood(km)[: within + 1]
    gap = (1 - survival) - share * (1 - survival[-1])
    variance = (
        survival**2 * spread
        + share**2 * survival[-1] ** 2 * spread[-1]
        - 2 * share * survival * survival[-1] * spread
    )
    reach = z * np.sqrt(np.maximum(variance, 0.0))
    return Days(
        _first(gap >= -_NEAR),
        _first(gap + reach >= -_NEAR),
        _first(gap - reach >= -_NEAR),
    )


def _greenwood(km: KaplanMeier) -> FloatArray:
    """Return the sum of d / (n (n - d)) by day; no more of it once all had it."""
    left = km.n_at_risk - km.n_events
    some = (km.n_events > 0) & (left > 0)
    steps = np.zeros(km.day.size)
    steps[some] = km.n_events[some] / (km.n_at_risk[some] * left[some].astype(float))
    return np.cumsum(steps)


def _first(reached: np.ndarray) -> float:
    """Return the first day on which something holds, NaN when it never does."""
    days = np.flatnonzero(reached)
    return float(days[0]) if days.size else float("nan")
