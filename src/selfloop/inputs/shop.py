"""The parameters of a simulated shop and their allowed ranges."""

import math
from dataclasses import dataclass

from selfloop.core.errors import SettingError
from selfloop.core.settings import check_number

REFERRAL = "referral"
"""Channel of people who were invited."""


@dataclass(frozen=True)
class Source:
    """One channel through which visitors arrive from outside.

    A visitor buys with probability `conversion`, after a delay that is
    Gamma distributed.

    Parameters
    ----------
    channel : str
        Name of the channel; not ``referral``.
    share : float
        Share of the visitors from outside, 0 to 1; the shares sum to 1.
    conversion : float
        Probability that a visitor ever buys, 0 to 1.
    delay_shape : float
        Shape of the delay from arrival to first order, 0.05 to 100.
    delay_days : float
        Scale of the delay in days, 0.001 to 3650; the mean is shape x scale.
    cost_per_visitor : float
        Price of one visitor; above 0 the channel is paid, at 0 it is organic.

    Raises
    ------
    SettingError
        When a value is outside its range.

    Examples
    --------
    >>> Source("ads", share=0.2, conversion=0.25, cost_per_visitor=1.5).is_paid
    True
    """

    channel: str
    share: float
    conversion: float
    delay_shape: float = 0.6
    delay_days: float = 25.0
    cost_per_visitor: float = 0.0

    def __post_init__(self) -> None:
        """Check every range."""
        name = self.channel
        if not isinstance(name, str) or not name.strip() or name == REFERRAL:
            raise SettingError(
                f"channel must be a name other than {REFERRAL!r}; got {name!r}"
            )
        check_number(f"share of {name}", self.share, low=0, high=1)
        check_number(f"conversion of {name}", self.conversion, low=0, high=1)
        check_number(f"delay_shape of {name}", self.delay_shape, low=0.05, high=100)
        check_number(f"delay_days of {name}", self.delay_days, low=0.001, high=3650)
        check_number(
            f"cost_per_visitor of {name}", self.cost_per_visitor, low=0, high=1e6
        )

    @property
    def is_paid(self) -> bool:
        """Whether visitors of this channel cost something."""
        return self.cost_per_visitor > 0


_SOURCES = (
    Source("ads", 0.20, 0.24, cost_per_visitor=2.4),
    Source("信息流", 0.14, 0.18, delay_days=30.0, cost_per_visitor=1.5),
    Source("search", 0.30, 0.30),
    Source("direct", 0.22, 0.36, delay_days=15.0),
    Source("小程序", 0.14, 0.32, delay_shape=0.8),
)

_RANGES: dict[str, tuple[float, float]] = {
    "purchase_r": (0.05, 100),
    "purchase_alpha_days": (0.1, 36_500),
    "dropout_a": (0.01, 100),
    "dropout_b": (0.01, 100),
    "spend_p": (0.1, 1e4),
    "spend_q": (1.01, 1e4),
    "spend_v": (1e-3, 1e9),
    "invitations": (0, 100),
    "invitation_k": (0.01, 1e6),
    "invitation_shape": (0.05, 100),
    "invitation_days": (0.01, 3650),
    "referral_conversion": (0, 1),
    "referral_delay_shape": (0.05, 100),
    "referral_delay_days": (0.001, 3650),
    "extra_visits": (0, 100),
    "extra_visit_days": (0.001, 3650),
}


@dataclass(frozen=True)
class Shop:
    """The parameters of a simulated shop.

    Parameters
    ----------
    sources : tuple of Source
        Channels of the visitors from outside.
    purchase_r, purchase_alpha_days : float
        A buyer's rate of repeat purchases per day is Gamma(r) / alpha.
    dropout_a, dropout_b : float
        After each repeat purchase a buyer leaves for good with a probability of
        their own, drawn from Beta(a, b).
    spend_p, spend_q, spend_v : float
        An order is worth Gamma(p) / nu, where nu of a buyer is Gamma(q) / v; the
        mean is p v / (q - 1), so q is above 1.
    invitations : float
        Mean number of people whom a buyer brings to the shop, 0 to 100.
    invitation_k : float
        How alike buyers are: their own means are spread by Gamma(k) / k.
    invitation_shape, invitation_days : float
        Age of the inviting buyer, counted from the own first order, when an
        invited person arrives: Gamma with this shape and this scale in days.
    referral_conversion : float
        Probability that an invited person ever buys, 0 to 1.
    referral_delay_shape, referral_delay_days : float
        Delay of an invited buyer from arrival to first order: shape, scale in days.
    extra_visits, extra_visit_days : float
        Mean number of further visits of a person, and the mean number of days
        after arrival at which each happens (exponential).

    Raises
    ------
    SettingError
        When a value is outside its range.

    Examples
    --------
    >>> Shop().reproduction
    0.5
    >>> Shop(invitations=0).reproduction
    0.0
    """

    sources: tuple[Source, ...] = _SOURCES
    purchase_r: float = 0.8
    purchase_alpha_days: float = 40.0
    dropout_a: float = 0.6
    dropout_b: float = 4.0
    spend_p: float = 6.0
    spend_q: float = 4.0
    spend_v: float = 40.0
    invitations: float = 1.0
    invitation_k: float = 0.5
    invitation_shape: float = 1.5
    invitation_days: float = 40.0
    referral_conversion: float = 0.5
    referral_delay_shape: float = 1.0
    referral_delay_days: float = 8.0
    extra_visits: float = 0.15
    extra_visit_days: float = 10.0

    def __post_init__(self) -> None:
        """Check every range."""
        for name, (low, high) in _RANGES.items():
            check_number(name, getattr(self, name), low=low, high=high)
        is_tuple = isinstance(self.sources, tuple) and bool(self.sources)
        if not is_tuple or not all(isinstance(s, Source) for s in self.sources):
            raise SettingError(
                f"sources must be a tuple of Source; got {self.sources!r}"
            )
        channels = [s.channel for s in self.sources]
        if len(set(channels)) < len(channels) or len(channels) > 200:
            raise SettingError(
                f"sources must have up to 200 different channels; got {channels}"
            )
        total = math.fsum(s.share for s in self.sources)
        if abs(total - 1) > 1e-9:
            raise SettingError(f"the shares of sources must sum to 1; got {total:g}")

    @property
    def channels(self) -> tuple[str, ...]:
        """Channels by their number: those of the sources, then ``referral``."""
        return (*(s.channel for s in self.sources), REFERRAL)

    @property
    def reproduction(self) -> float:
        """New buyers whom a buyer brings in the long run: the true R."""
        return self.invitations * self.referral_conversion
