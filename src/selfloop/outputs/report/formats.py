"""Numbers as people read them; a missing one is a dash, never a zero."""

from dataclasses import dataclass

MISSING = "–"
"""How a missing number is shown."""

_SYMBOLS = {
    "CNY": "¥", "RMB": "¥", "JPY": "¥", "USD": "$", "EUR": "€", "GBP": "£",
    "HKD": "HK$", "TWD": "NT$", "SGD": "S$", "KRW": "₩", "INR": "₹", "VND": "₫",
}  # fmt: skip


def count(value: float | None) -> str:
    """Return a whole number.

    Parameters
    ----------
    value : float or None
        A count.

    Returns
    -------
    str

    Examples
    --------
    >>> count(58294), count(None)
    ('58,294', '–')
    """
    return MISSING if value is None else f"{value:,.0f}"


def share(value: float | None) -> str:
    """Return a share as percent, with more digits where one would read 0 or 100.

    Parameters
    ----------
    value : float or None
        A fraction of 1.

    Returns
    -------
    str

    Examples
    --------
    >>> share(0.106), share(0.00042), share(0.99991), share(0.0)
    ('10.6%', '0.042%', '99.991%', '0.0%')
    """
    if value is None:
        return MISSING
    percent = value * 100
    near = min(abs(percent), abs(100 - percent))
    digits = 1 if near == 0 or near >= 0.05 else 3
    if 0 < near < 0.0005:
        return "<0.001%" if percent < 50 else ">99.999%"
    return f"{percent:.{digits}f}%"


def number(value: float | None) -> str:
    """Return a number with two digits, three where it is small.

    Parameters
    ----------
    value : float or None
        A rate such as R.

    Returns
    -------
    str

    Examples
    --------
    >>> number(0.2855), number(0.031), number(0.00042), number(1234.5)
    ('0.29', '0.031', '0.00042', '1,234.5')
    """
    if value is None:
        return MISSING
    size = abs(value)
    if size >= 1000:
        return f"{value:,.1f}"
    if size >= 0.095 or size == 0:
        return f"{value:.2f}"
    return f"{value:.3f}" if size >= 0.0095 else f"{value:.2g}"


def per_hundred(value: float | None) -> str:
    """Return a rate per buyer as a number per 100 buyers.

    Parameters
    ----------
    value : float or None
        A rate per buyer.

    Returns
    -------
    str

    Examples
    --------
    >>> per_hundred(0.2855), per_hundred(0.004), per_hundred(0.9996), per_hundred(1.2)
    ('29', '0.4', '99.96', '120')
    """
    if value is None:
        return MISSING
    hundred = value * 100
    if hundred < 9.5:
        return f"{hundred:.2g}"
    # As many digits as it takes to stay on its side of 100, the threshold.
    shown = (f"{hundred:,.{digits}f}" for digits in range(6))
    return next((s for s in shown if (float(s.replace(",", "")) < 100) == (value < 1)),
                "100")  # fmt: skip


@dataclass(frozen=True)
class Money:
    """Amounts in one currency.

    Parameters
    ----------
    currency : str or None
        Code such as ``"CNY"``; ``None`` when it is not known.

    Examples
    --------
    >>> Money("CNY").short(1814.98), Money("CNY").exact(-5), Money(None).short(3.2)
    ('¥1,815', '−¥5.00', '3.20')
    """

    currency: str | None

    @property
    def symbol(self) -> str:
        """What stands before an amount."""
        if self.currency is None:
            return ""
        return _SYMBOLS.get(self.currency.upper(), f"{self.currency} ")

    def short(self, value: float | None) -> str:
        """Return an amount with cents only where it is small."""
        if value is None:
            return MISSING
        return self._signed(value, 2 if abs(value) < 100 and value % 1 else 0)

    def exact(self, value: float | None) -> str:
        """Return an amount to the cent."""
        return MISSING if value is None else self._signed(value, 2)

    def _signed(self, value: float, digits: int) -> str:
        """Write the sign before the symbol."""
        shown = f"{abs(value):,.{digits}f}"
        negative = value < 0 and any(c in "123456789" for c in shown)
        return f"{'−' if negative else ''}{self.symbol}{shown}"
