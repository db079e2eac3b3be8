"""Settings of an analysis and their allowed ranges, checked in one place."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from math import inf
from numbers import Real
from typing import Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from selfloop.core.errors import SettingError

Attribution = Literal["first", "last", "linear", "time_decay", "position"]
Purchase = Literal["day", "order"]
ZeroOrders = Literal["ignore", "count"]
OnBadRows = Literal["raise", "quarantine"]
LedgerRule = Literal["halving", "shapley", "geometric"]
Basis = Literal["revenue", "expected", "lifetime"]

Progress = Callable[[str], None]
"""Called with a short text at the start of each step."""

WINDOWS_DAYS = (30, 90, 180, 365)
"""Windows of every rate, in days."""

CONFIDENCE = 0.95
"""Confidence level of every interval."""

MAX_LEVELS = 10_000
"""Most levels that the limit of a ledger may name."""

MAX_WINDOW_DAYS = 36_525
"""Longest window of a ledger, a hundred years."""

MIN_AT_RISK = 30
"""Fewer people than this behind a rate: the rate is missing, with the reason."""

DEFAULT_PAID_CHANNELS = (
    "ads", "ad", "paid", "paid_search", "paid_social", "cpc", "ppc", "sem",
    "display", "affiliate", "广告", "付费", "投放", "信息流", "竞价", "直通车",
)  # fmt: skip
"""Channel names taken as bought traffic when `paid_channels` is not given."""


DEFAULT_CODE_CHANNELS = (
    "code", "referral_code", "invite_code", "promo_code", "discount_code", "coupon",
    "推荐码", "邀请码", "优惠码", "折扣码", "优惠券", "口令",
)  # fmt: skip
"""Channels of referrals taken as a code used at the order, when `code_channels` is not
given."""


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise a `SettingError` unless `value` is one of `choices`.

    Examples
    --------
    >>> check_choice("purchase", "day", ("day", "order"))
    """
    if not isinstance(value, str) or value not in choices:
        allowed = ", ".join(repr(c) for c in choices)
        raise SettingError(f"{name} must be one of {allowed}; got {value!r}")


def check_number(name: str, value: float, *, low: float, high: float = inf) -> None:
    """Raise a `SettingError` unless ``low <= value <= high``.

    Examples
    --------
    >>> check_number("horizon_days", 365, low=1)
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        allowed = f"between {low} and {high}" if high < inf else f"at least {low}"
        raise SettingError(f"{name} must be {allowed}; got {value!r}")


def check_whole(name: str, value: float, *, low: float, high: float = inf) -> int:
    """Return a whole number in a range as int, or raise a `SettingError`.

    Examples
    --------
    >>> check_whole("max_levels", 2.0, low=1)
    2
    """
    check_number(name, value, low=low, high=high)
    if value % 1:
        raise SettingError(f"{name} must be a whole number; got {value!r}")
    return int(value)


def check_days(name: str, value: float, *, low: int = 1) -> int:
    """Return a number of days, at most a hundred years, or raise a `SettingError`.

    Examples
    --------
    >>> check_days("window_days", 90.0)
    90
    """
    return check_whole(name, value, low=low, high=MAX_WINDOW_DAYS)


def check_windows(name: str, values: object) -> tuple[int, ...]:
    """Return windows in days, each once, or raise a `SettingError`.

    Examples
    --------
    >>> check_windows("windows_days", [30, 90.0, 30])
    (30, 90)
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise SettingError(f"{name} must be days such as (30, 90); got {values!r}")
    return tuple(dict.fromkeys(check_days(name, value) for value in values))


def check_day(name: str, value: object) -> date:
    """Return a day given as date, text or timestamp at midnight, or raise.

    Examples
    --------
    >>> check_day("at", "2026-06-30")
    datetime.date(2026, 6, 30)
    """
    day = value.item() if type(value).__name__ == "datetime64" else value  # type: ignore[attr-defined]
    if isinstance(day, str):
        try:
            day = date.fromisoformat(day)
        except ValueError:
            day = None
    if isinstance(day, datetime) and day.timetz() == time():
        day = day.date()  # a timestamp of pandas at midnight is that day
    if isinstance(day, datetime) or not isinstance(day, date):
        raise SettingError(f"{name} must be a date such as '2026-06-30'; got {value!r}")
    return day


@dataclass(frozen=True)
class Rules:
    """How events are read: what a purchase is, which referral counts, which zone.

    Parameters
    ----------
    timezone : str
        Zone in which days, months and cohorts are cut and in which naive
        timestamps are taken, an IANA name such as ``"Asia/Shanghai"``.
    purchase : {"day", "order"}
        One purchase per customer-day with net amount > 0, or one per such order.
    zero_orders : {"ignore", "count"}
        Whether an order of amount zero is a purchase.
    attribution : {"first", "last", "linear", "time_decay", "position"}
        Which referrer counts when there are several: one, or all by weight. With
        ``position`` the first and the last get 40 % each, the others share 20 %.
    attribution_window_days : int
        A referral counts for the source of a customer when it precedes the first
        order by at most this many days; at least 1.
    half_life_days : float
        Half-life of the weights of ``time_decay``, in days; above 0.
    paid_channels : tuple of str
        Channels whose traffic is bought; compared without case.
    code_channels : tuple of str
        Channels of referrals that stand for a code used at the order, which beats
        clicks and invitations: where a customer has any, only these count.

    Raises
    ------
    SettingError
        When a value is outside its range; the message names the range.

    Examples
    --------
    >>> Rules(timezone="Asia/Shanghai").purchase
    'day'
    """

    timezone: str = "UTC"
    purchase: Purchase = "day"
    zero_orders: ZeroOrders = "ignore"
    attribution: Attribution = "first"
    attribution_window_days: int = 90
    half_life_days: float = 7.0
    paid_channels: tuple[str, ...] = DEFAULT_PAID_CHANNELS
    code_channels: tuple[str, ...] = DEFAULT_CODE_CHANNELS

    def __post_init__(self) -> None:
        """Check every range."""
        if self.timezone not in available_timezones():
            raise SettingError(
                "timezone must be an IANA name such as 'UTC' or 'Asia/Shanghai'; "
                f"got {self.timezone!r}"
            )
        check_choice("purchase", self.purchase, get_args(Purchase))
        check_choice("zero_orders", self.zero_orders, get_args(ZeroOrders))
        check_choice("attribution", self.attribution, get_args(Attribution))
        check_number("attribution_window_days", self.attribution_window_days, low=1)
        check_number("half_life_days", self.half_life_days, low=1e-6)
        for name in ("paid_channels", "code_channels"):
            channels = getattr(self, name)
            if isinstance(channels, str):
                raise SettingError(
                    f"{name} must be a list of names, such as [{channels!r}]; got the "
                    f"text {channels!r}"
                )

    @property
    def zone(self) -> ZoneInfo:
        """The zone as an object of the standard library."""
        return ZoneInfo(self.timezone)


@dataclass(frozen=True)
class Sharing:
    """How the value of an order is shared with those who brought the buyer.

    Parameters
    ----------
    rule : {"halving", "shapley", "geometric"}
        ``halving``: at each link both sides keep one half. ``shapley``: an order is
        split equally over the buyer and everybody above. ``geometric``: `beta` of
        what reaches a person goes on.
    beta : float
        Share of ``geometric`` that goes on, 0 to 1.
    max_levels : int or None
        Levels above the buyer that get a part, at least 0; the highest of them
        keeps the rest. None is all levels.
    window_days : int or None
        Only orders on days up to so many after that of the referral are shared, at
        least 1; None is all orders.
    incrementality : float
        Share of referred people who would not have come anyway, 0 to 1; of every
        order that part only is shared.

    Raises
    ------
    SettingError
        When a value is outside its range.

    Examples
    --------
    >>> Sharing("shapley", max_levels=2).max_levels
    2
    """

    rule: LedgerRule = "halving"
    beta: float = 0.5
    max_levels: int | None = None
    window_days: int | None = None
    incrementality: float = 1.0

    def __post_init__(self) -> None:
        """Check every range."""
        check_choice("rule", self.rule, get_args(LedgerRule))
        check_number("beta", self.beta, low=0, high=1)
        if self.beta != 0.5 and self.rule != "geometric":
            raise SettingError(
                f"beta is a setting of rule 'geometric'; rule is {self.rule!r}"
            )
        if self.max_levels is not None:
            check_whole("max_levels", self.max_levels, low=0, high=MAX_LEVELS)
        if self.window_days is not None:
            check_whole("window_days", self.window_days, low=1, high=MAX_WINDOW_DAYS)
        check_number("incrementality", self.incrementality, low=0, high=1)
