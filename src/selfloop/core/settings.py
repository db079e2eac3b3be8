"""Settings of an analysis and their allowed ranges, checked in one place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from math import inf
from numbers import Real
from typing import Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

from selfloop.core.errors import SettingError

Attribution = Literal["first", "last", "linear", "time_decay"]
Purchase = Literal["day", "order"]
ZeroOrders = Literal["ignore", "count"]
OnBadRows = Literal["raise", "quarantine"]
LedgerRule = Literal["halving", "shapley"]

Progress = Callable[[str], None]
"""Called with a short text at the start of each step."""

WINDOWS_DAYS = (30, 90, 180, 365)
"""Windows of every rate, in days."""

CONFIDENCE = 0.95
"""Confidence level of every interval."""

MIN_AT_RISK = 30
"""Fewer people than this behind a rate: the rate is missing, with the reason."""

DEFAULT_PAID_CHANNELS = (
    "ads", "ad", "paid", "paid_search", "paid_social", "cpc", "ppc", "sem",
    "display", "affiliate", "广告", "付费", "投放", "信息流", "竞价", "直通车",
)  # fmt: skip
"""Channel names taken as bought traffic when `paid_channels` is not given."""


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise a `SettingError` unless `value` is one of `choices`.

    Examples
    --------
    >>> check_choice("purchase", "day", ("day", "order"))
    """
    if value not in choices:
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


def check_whole(name: str, value: float, *, low: int, high: float = inf) -> None:
    """Raise a `SettingError` unless `value` is a whole number in a range.

    Examples
    --------
    >>> check_whole("max_levels", 2, low=1)
    """
    check_number(name, value, low=low, high=high)
    if value % 1:
        raise SettingError(f"{name} must be a whole number; got {value!r}")


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
    attribution : {"first", "last", "linear", "time_decay"}
        Which referrer counts when there are several.
    attribution_window_days : int
        A referral counts for the source of a customer when it precedes the first
        order by at most this many days; at least 1.
    half_life_days : float
        Half-life of the weights of ``time_decay``, in days; above 0.
    paid_channels : tuple of str
        Channels whose traffic is bought; compared without case.

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
        if isinstance(self.paid_channels, str):
            raise SettingError(
                "paid_channels must be a list of names, such as "
                f"[{self.paid_channels!r}]; got the text {self.paid_channels!r}"
            )

    @property
    def zone(self) -> ZoneInfo:
        """The zone as an object of the standard library."""
        return ZoneInfo(self.timezone)
