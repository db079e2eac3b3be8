"""What a visitor and a buyer are worth: what they spend, and whom they bring."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.core.settings import CONFIDENCE, MIN_AT_RISK
from selfloop.kernels.curves import Curves, mean_curves, reached_curves
from selfloop.kernels.intervals import log_interval, normal_quantile
from selfloop.kernels.resampling import jackknife_variance
from selfloop.kernels.rows import FloatArray
from selfloop.measures.loop.cells import LoopCells


class Estimate(NamedTuple):
    """A number, its interval, and its values without each group of people.

    Parameters
    ----------
    value, low, high : float
        The number and its 95 % interval; missing (NaN) when it is not known.
    replicates : ndarray of float64, shape (N_GROUPS + 1,)
        The number without each group in turn, and of all people.
    """

    value: float
    low: float
    high: float
    replicates: FloatArray

    @property
    def variance(self) -> float:
        """Variance of the number, by the delete-a-group jackknife."""
        return float(jackknife_variance(self.replicates[:-1]))


def estimate(replicates: npt.ArrayLike) -> Estimate:
    """Say how sure a positive number is that was computed without each group.

    Parameters
    ----------
    replicates : array_like of float, shape (n_groups + 1,)
        Without each group in turn, and of all people.

    Returns
    -------
    Estimate
        On the log scale, by the delete-a-group jackknife; a number that is not above
        0 has no interval.

    Examples
    --------
    >>> found = estimate([2.0, 2.2, 1.8, 2.0])
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (2.0, 1.595, 2.508)
    """
    numbers = np.asarray(replicates, dtype=np.float64)
    value = float(numbers[-1])
    if not value > 0:
        return Estimate(value, np.nan, np.nan, numbers)
    variance = float(jackknife_variance(numbers[:-1]))
    if np.isnan(variance):
        return Estimate(value, np.nan, np.nan, numbers)
    found = log_interval(value, variance, confidence=CONFIDENCE)
    return Estimate(value, float(found.low), float(found.high), numbers)


def difference(replicates: npt.ArrayLike) -> Estimate:
    """Say how sure a difference is that was computed without each group.

    Parameters
    ----------
    replicates : array_like of float, shape (n_groups + 1,)
        Without each group in turn, and of all people.

    Returns
    -------
    Estimate
        Symmetric, by the delete-a-group jackknife.

    Examples
    --------
    >>> found = difference([2.0, 2.2, 1.8, 2.0])
    >>> round(found.low, 3), round(found.high, 3)
    (1.547, 2.453)
    """
    numbers = np.asarray(replicates, dtype=np.float64)
    value = float(numbers[-1])
    reach = normal_quantile(CONFIDENCE) * float(
        np.sqrt(jackknife_variance(numbers[:-1]))
    )
    return Estimate(value, value - reach, value + reach, numbers)


def estimate_through(
    number: Callable[[FloatArray], FloatArray], r: FloatArray
) -> Estimate:
    """Say how sure a number is that has no end as R nears 1.

    Parameters
    ----------
    number : callable
        Returns the number, without each group of people and of all, from R of those
        who are brought, likewise.
    r : ndarray of float64, shape (n_groups + 1,)
        That R, without each group in turn, and of all people.

    Returns
    -------
    Estimate
        What R contributes is taken from the ends of its own interval, the rest from
        the jackknife with R held; both distances are added as squares, on the log
        scale [1]_. The upper end is infinite where R may be 1 or more.

    References
    ----------
    .. [1] G. Y. Zou, A. Donner, "Construction of confidence limits about effect
       measures: a general approach", Statistics in Medicine 27 (2008).

    Examples
    --------
    >>> r = np.array([0.5, 0.6, 0.4, 0.5])
    >>> found = estimate_through(lambda r: 10 / (1 - r), r)
    >>> found.value, round(found.low, 1), round(found.high, 1)
    (20.0, 14.7, 46.8)
    """
    whole = number(r)
    value = float(whole[-1])
    held = estimate(number(np.full(r.size, r[-1])))
    if np.isnan(held.low):
        return Estimate(value, np.nan, np.nan, whole)
    around = estimate(r)
    if np.isnan(around.low):  # nobody was brought: R is 0 and nothing follows
        return held._replace(replicates=whole)
    low = float(number(np.full(r.size, around.low))[-1])
    high = np.inf
    if around.high < 1:
        high = float(number(np.full(r.size, around.high))[-1])
    reach = np.log([value / held.low, value / low, high / value])
    return Estimate(
        value,
        value * float(np.exp(-np.hypot(reach[0], reach[1]))),
        value * float(np.exp(np.hypot(reach[0], reach[2]))),
        whole,
    )


class Descent(NamedTuple):
    """What one more buyer who was brought is worth, with all who follow.

    Parameters
    ----------
    value : ndarray of float64, shape (N_GROUPS + 1,)
        own / (1 - r); NaN when r is 1 or more.
    own, r : ndarray of float64, shape (N_GROUPS + 1,)
        What they spend, and whom they bring, by `days`.
    days : int
        Age to which both are counted.
    reason : str
        Why the value is missing; empty when it is known.
    """

    value: FloatArray
    own: FloatArray
    r: FloatArray
    days: int
    reason: str


class BuyerWorth(NamedTuple):
    """What a buyer is worth, without each group of people and of all.

    Parameters
    ----------
    first, repeat : ndarray of float64, shape (N_GROUPS + 1,)
        Net revenue on the day of the first purchase, and after it.
    r : ndarray of float64, shape (N_GROUPS + 1,)
        Buyers brought by `days`.
    after : Descent
        What one more buyer who is brought is worth.
    is_brought : bool
        Whether they are all who were brought, so that R is one and the same.
    days : int
        Age to which all is counted.
    n_buyers : int
        Buyers.
    """

    first: FloatArray
    repeat: FloatArray
    r: FloatArray
    after: Descent
    is_brought: bool
    days: int
    n_buyers: int

    @property
    def own(self) -> FloatArray:
        """What a buyer spends."""
        return self.first + self.repeat

    def brought(self, r_brought: FloatArray) -> FloatArray:
        """Return the worth of those whom a buyer brings, and of all who follow.

        Parameters
        ----------
        r_brought : ndarray of float64, shape (N_GROUPS + 1,)
            R of those who are brought, such as `after.r`.

        Returns
        -------
        ndarray of float64, shape (N_GROUPS + 1,)
            NaN where what follows has no end.
        """
        r = r_brought if self.is_brought else self.r
        with np.errstate(divide="ignore"):
            each = np.where(r_brought < 1, self.after.own / (1 - r_brought), np.nan)
        # Who brings nobody needs no worth of those brought.
        return np.where(r == 0, 0.0, r * each)

    def total(self, r_brought: FloatArray) -> FloatArray:
        """Return what a buyer spends and makes others spend; see `brought`."""
        return self.own + self.brought(r_brought)


def revenue_curves(cells: LoopCells) -> Curves:
    """Return mean net revenue by age of one kind of buyers."""
    return mean_curves(cells.revenue[0], n_followup=cells.followup[0])


def brought_curves(cells: LoopCells) -> Curves:
    """Return mean buyers brought by age of one kind of buyers."""
    return mean_curves(cells.brought[0], n_followup=cells.followup[0])


def conversion_curves(cells: LoopCells) -> Curves:
    """Return the share that buys by days since arrival, of one kind of people."""
    return reached_curves(cells.bought[0], n_waiting=cells.waiting[0])


def descent(cells: LoopCells, *, horizon_days: int) -> Descent:
    """Say what one more buyer who was brought is worth.

    Parameters
    ----------
    cells : LoopCells
        Of all kinds of people.
    horizon_days : int
        Age to which revenue and people brought are counted, at most.

    Returns
    -------
    Descent

    Notes
    -----
    The own value, and that of each of the r people whom such a buyer brings, who are
    worth as much: S = own + r S, so that S = own / (1 - r).
    """
    nothing = np.full(cells.followup.shape[1] + 1, np.nan)
    if not cells.has_referrals:
        return Descent(nothing, nothing, nothing, 0, "no table of referrals")
    mine = cells.where(source="referral")
    n_buyers = int(mine.followup.sum())
    money, made = revenue_curves(mine), brought_curves(mine)
    longest = money.longest(MIN_AT_RISK)
    if longest is None:
        why = f"{n_buyers} people brought have bought, need {MIN_AT_RISK}"
        return Descent(nothing, nothing, nothing, 0, why)
    days = min(longest, horizon_days)
    own, r = money.by(days), made.by(days)
    if not r[-1] < 1:
        why = f"people who were brought bring {r[-1]:.2f} each: what follows has no end"
        return Descent(nothing, own, r, days, why)
    with np.errstate(divide="ignore"):
        value = np.where(r < 1, own / (1 - r), np.nan)
    return Descent(value, own, r, days, "")


def buyer_worth(
    cells: LoopCells, after: Descent, *, horizon_days: int, is_brought: bool = False
) -> BuyerWorth | None:
    """Say what a buyer of one kind is worth.

    Parameters
    ----------
    cells : LoopCells
        Of one kind of people.
    after : Descent
        What one more buyer who is brought is worth.
    horizon_days : int
        Age to which all is counted, at most.
    is_brought : bool
        Whether they are all who were brought, so that R is one and the same.

    Returns
    -------
    BuyerWorth or None
        None with fewer than 30 buyers.
    """
    money, made = revenue_curves(cells), brought_curves(cells)
    longest = money.longest(MIN_AT_RISK)
    if longest is None:
        return None
    days = min(longest, horizon_days)
    # Without a table of referrals it is unknown who brought whom, not none.
    r = made.by(days) if cells.has_referrals else after.r
    return BuyerWorth(
        first=money.by(0),
        repeat=money.by(days) - money.by(0),
        r=r,
        after=after,
        is_brought=is_brought,
        days=days,
        n_buyers=int(cells.followup.sum()),
    )


def conversion(
    cells: LoopCells, *, horizon_days: int
) -> tuple[FloatArray | None, int, str]:
    """Say which share of visitors of one kind buys.

    Parameters
    ----------
    cells : LoopCells
        Of one kind of people.
    horizon_days : int
        Days from arrival, at most.

    Returns
    -------
    share : ndarray of float64, shape (N_GROUPS + 1,), or None
        None when it is not known.
    days : int
        Days from arrival to which it is counted.
    reason : str
        Why it is missing; empty when it is known.
    """
    if not cells.has_visits:
        return None, 0, "no table of visits"
    curves = conversion_curves(cells)
    longest = curves.longest(MIN_AT_RISK)
    if longest is None:
        n = int(cells.arrived.sum())
        return None, 0, f"{n} arrived, need {MIN_AT_RISK}"
    days = min(longest, horizon_days)
    return curves.by(days), days, ""
