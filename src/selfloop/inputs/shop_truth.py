"""What the measures should find in a simulated shop, computed from its parameters."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.integrate import quad
from scipy.special import (
    gammainc,
    gammaincc,
    gammainccinv,
    gammaincinv,
    roots_jacobi,
    roots_legendre,
)

from selfloop.core.settings import WINDOWS_DAYS
from selfloop.inputs.shop import Shop

Windows = dict[int, float]

_NODES = 40
# Within one day nothing bends much: 4 nodes would do for all but the first days.
_DAY_NODES = 8
# ln(u / (1 - u)) beyond which less than 1e-17 of the people are.
_TAIL = 40.0


@dataclass(frozen=True)
class Truth:
    """The true values behind a simulation.

    Windows are on the day grid of the measures: a step is reached within W when the
    difference of the two calendar days is at most W. Shares are probabilities in
    [0, 1]; a window is a key of 30, 90, 180 and 365 days.

    Parameters
    ----------
    n_visitors, seed, days, start
        Settings of the simulation; `start` is the first day.
    shop : Shop
        Its parameters: those of purchases, dropout, spend and invitations.
    conversion_by_channel : dict of str to dict of int to float
        Probability to buy within W of arrival, by channel and window.
    conversion_by_source : dict of str to dict of int to float
        The same for ``paid``, ``organic`` and ``referral``, given how many arrived
        through each channel at least W days before the last day; NaN for nobody.
    conversion : dict of int to float
        The same for everybody.
    repurchase : dict of str to dict of int to float
        Probability of a second purchase within W of the first; by purchase rule,
        ``order`` or ``day``.
    referral : dict of int to float
        Probability that a first referral succeeds within W of the own first order.
    reproduction : dict of int to float
        R(H): new buyers brought by age H, per buyer.
    reproduction_total : float
        R: the same for H without end.
    multiplier : float or None
        1 / (1 - R): customers in whom a customer from outside ends; None if R >= 1.
    mean_order_value : float
        Mean value of an order, p v / (q - 1).
    counts : dict of str to int
        What was drawn: n_people, n_buyers, n_orders, n_referrals, n_visits.

    Notes
    -----
    An event falls uniformly within its day, because the visitors from outside do:
    a delay D is within W days when U + D < W + 1, with U uniform in [0, 1). Hence

    - conversion within W = p integral_W^(W+1) F(x) dx, with F the Gamma
      distribution function of the delay;
    - R(H) = R integral_H^(H+1) F_X(x) dx, where X is the age of the inviter at the
      arrival plus the delay of the invited person; by quadrature, to 1e-8;
    - first success within W = E[1 - (k / (k + R F_X(W + U)))^k], since the
      successes of a buyer are Poisson with a Gamma(k) / k mean;
    - second order within W = E[1 - (alpha / (alpha + W + U))^r], as nobody leaves
      before the first repeat purchase;
    - second *purchase day* within W: orders of the first day, of length V = 1 - U
      after the first order, are part of the first purchase, but may end in leaving:
      E[(alpha / (alpha + P V))^r - (alpha / (alpha + P V + W))^r], P ~ Beta(a, b).

    Times are cut to whole seconds, and a delay is at least one: this moves the
    values by about 1e-5.

    Referrals are taken whatever the delay. An analysis drops those whose delay is
    beyond its ``attribution_window_days``: with the default shop and 90 days about
    one successful referral in 75,000.

    Examples
    --------
    >>> truth = true_values(Shop(), arrivals=None, n_visitors=10, seed=1, days=720,
    ...                     start=date(2024, 1, 1), counts={})
    >>> truth.reproduction_total, round(truth.reproduction[90], 4)
    (0.5, 0.3742)
    """

    n_visitors: int
    seed: int
    days: int
    start: date
    shop: Shop
    conversion_by_channel: dict[str, Windows]
    conversion_by_source: dict[str, Windows]
    conversion: Windows
    repurchase: dict[str, Windows]
    referral: Windows
    reproduction: Windows
    reproduction_total: float
    multiplier: float | None
    mean_order_value: float
    counts: dict[str, int]

    def to_dict(self) -> dict[str, object]:
        """Return everything as plain values, ready for JSON.

        Returns
        -------
        dict
            Windows are text keys, the date is ISO text, a missing share is None.
        """
        return {name: _plain(value) for name, value in asdict(self).items()}


def _plain(value: object) -> object:
    """Return a value with text keys, ISO dates and None for NaN."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def true_values(
    shop: Shop,
    *,
    arrivals: npt.NDArray[np.int64] | None,
    n_visitors: int,
    seed: int,
    days: int,
    start: date,
    counts: dict[str, int],
) -> Truth:
    """Return the truth of a simulation.

    Parameters
    ----------
    shop : Shop
        The shop.
    arrivals : array of int64 of shape (n_channels, days) or None
        People who arrived, by number of the channel and day; None for nobody yet.
    n_visitors, seed, days, start, counts
        See `Truth`.

    Returns
    -------
    Truth
    """
    if arrivals is None:
        arrivals = np.zeros((len(shop.channels), days), dtype=np.int64)
    by_channel = {
        channel: _windows(partial(_conversion, shop, i))
        for i, channel in enumerate(shop.channels)
    }
    sources = [*("paid" if s.is_paid else "organic" for s in shop.sources), "referral"]
    by_source = {
        source: _mix(by_channel, arrivals, [s == source for s in sources])
        for source in ("paid", "organic", "referral")
    }
    r = shop.reproduction
    return Truth(
        n_visitors=n_visitors,
        seed=seed,
        days=days,
        start=start,
        shop=shop,
        conversion_by_channel=by_channel,
        conversion_by_source=by_source,
        conversion=_mix(by_channel, arrivals, [True] * len(sources)),
        repurchase={
            "order": _windows(partial(_second_order, shop)),
            "day": _windows(partial(_second_day, shop)),
        },
        referral=_windows(partial(_first_success, shop)),
        reproduction=_windows(partial(_reproduction, shop)),
        reproduction_total=r,
        multiplier=1 / (1 - r) if r < 1 else None,
        mean_order_value=shop.spend_p * shop.spend_v / (shop.spend_q - 1),
        counts=counts,
    )


def _windows(value: Callable[[int], float]) -> Windows:
    """Return a value for each window."""
    return {window: float(value(window)) for window in WINDOWS_DAYS}


def _mix(
    by_channel: dict[str, Windows], arrivals: npt.NDArray[np.int64], rows: list[bool]
) -> Windows:
    """Return the conversion of several channels, weighted by matured arrivals."""
    mixed: Windows = {}
    for window in WINDOWS_DAYS:
        share = np.array([values[window] for values in by_channel.values()])[rows]
        matured = arrivals[rows, : max(0, arrivals.shape[1] - window)].sum(axis=1)
        n = matured.sum()
        mixed[window] = float(matured @ share / n) if n else math.nan
    return mixed


def _integrated_cdf(shape: float, scale: float, x: float) -> float:
    """Return the integral from 0 to x of a Gamma distribution function."""
    if x <= 0:
        return 0.0
    z = x / scale
    area = x * gammainc(shape, z) - shape * scale * gammainc(shape + 1, z)
    return float(area)


def _conversion(shop: Shop, channel: int, window: int) -> float:
    """Return the probability to buy within a window, of one channel."""
    if channel < len(shop.sources):
        s = shop.sources[channel]
        p, shape, scale = s.conversion, s.delay_shape, s.delay_days
    else:
        p, shape = shop.referral_conversion, shop.referral_delay_shape
        scale = shop.referral_delay_days
    upper = _integrated_cdf(shape, scale, window + 1)
    return p * (upper - _integrated_cdf(shape, scale, window))


def _over_age(shop: Shop, of_age: Callable[[float], float], ends: list[float]) -> float:
    """Return the mean of a function of the inviter's age, 0 above the last end.

    The integral runs over s = ln(u / (1 - u)) of the quantile u of the age, so that
    no density is infinite and both tails keep their digits. It is cut at each end,
    where the function may bend, and where the delay of the invited ends before it.
    """
    shape, scale = shop.invitation_shape, shop.invitation_days
    delay = shop.referral_delay_days * gammaincinv(
        shop.referral_delay_shape, [0.0, 0.01, 0.5, 0.99]
    )
    # A cut nearer to its end than the digits of an age would be noise.
    delays = {0.0, *delay[delay > 1e-6].tolist()}
    cuts = sorted({end - d for end in ends for d in delays if end > d})
    below, above = (f(shape, np.array(cuts) / scale) for f in (gammainc, gammaincc))
    with np.errstate(divide="ignore"):
        s = np.clip(np.log(below) - np.log(above), -_TAIL, _TAIL)

    def weighted(s: float) -> float:
        u = 1 / (1 + math.exp(-s))
        age = (
            gammaincinv(shape, u)
            if s < 0
            else gammainccinv(shape, 1 / (1 + math.exp(s)))
        )
        return of_age(scale * float(age)) * u / (1 + math.exp(s))

    pieces = zip([-_TAIL, *s[:-1]], s, strict=True)
    return math.fsum(
        quad(weighted, low, high, epsabs=1e-9, epsrel=1e-7, limit=200)[0]
        for low, high in pieces
        if low < high
    )


def _reproduction(shop: Shop, window: int) -> float:
    """Return R(H)."""
    shape, scale = shop.referral_delay_shape, shop.referral_delay_days

    def within(age: float) -> float:
        upper = _integrated_cdf(shape, scale, window + 1 - age)
        return upper - _integrated_cdf(shape, scale, window - age)

    return shop.reproduction * _over_age(shop, within, [window, window + 1])


def _share_done(shop: Shop, x: float) -> float:
    """Return the share of a buyer's successful referrals that are in by age `x`."""
    shape, scale = shop.referral_delay_shape, shop.referral_delay_days

    def bought(age: float) -> float:
        return float(gammainc(shape, max(0.0, x - age) / scale))

    return _over_age(shop, bought, [x])


def _first_success(shop: Shop, window: int) -> float:
    """Return the probability of a successful referral within a window."""
    nodes, weights = roots_legendre(_DAY_NODES)
    done = np.array([_share_done(shop, window + (1 + node) / 2) for node in nodes])
    k = shop.invitation_k
    return float(weights / 2 @ -np.expm1(-k * np.log1p(shop.reproduction * done / k)))


def _second_order(shop: Shop, window: int) -> float:
    """Return the probability of a second order within a window."""
    nodes, weights = roots_legendre(_NODES)
    x = window + (1 + nodes) / 2
    alpha, r = shop.purchase_alpha_days, shop.purchase_r
    return float(weights / 2 @ (1 - (alpha / (alpha + x)) ** r))


def _second_day(shop: Shop, window: int) -> float:
    """Return the probability of a second purchase day within a window."""
    nodes, weights = roots_legendre(_NODES)
    v = (1 + nodes) / 2
    # Gauss-Jacobi: the nodes carry the Beta density of the dropout probability.
    nodes_p, weights_p = roots_jacobi(_NODES, shop.dropout_b - 1, shop.dropout_a - 1)
    p = ((1 + nodes_p) / 2)[:, None]
    alpha, r = shop.purchase_alpha_days, shop.purchase_r
    stays = (alpha / (alpha + p * v)) ** r
    silent = (alpha / (alpha + p * v + window)) ** r
    mean = weights_p / weights_p.sum() @ (stays - silent)
    return float(mean @ weights / 2)
