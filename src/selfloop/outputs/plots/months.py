"""Months under a picture: their places, their names, and what stands with them."""

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.measures.periods import Period, period_names

_MOST = 14
_LEVEL = 7
_ASLANT = 3  # lines that a month takes when it is written aslant


def name_months(
    ax: Axes, months: Sequence[object], people: Sequence[str] | None = None
) -> int:
    """Write months under their places, all of them or every second, third and so on.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        With one place for each month, from 0.
    months : sequence of str
        As ``"2026-01"``.
    people : sequence of str, optional
        How many people stand behind each, written below.

    Returns
    -------
    int
        Lines of words that this takes.
    """
    every = max(1, -(-len(months) // _MOST))
    places = list(range(0, len(months), every))
    labels = [format_value(months[i], "month") for i in places]
    if people is not None:
        labels = [
            f"{name}\nn={people[i]}" for i, name in zip(places, labels, strict=True)
        ]
    ax.set_xticks(places, labels, fontsize="small")
    ax.set_xlim(-0.6, len(months) - 0.4)
    if len(places) <= _LEVEL:
        return 1 if people is None else 2
    ax.tick_params(axis="x", labelrotation=45)
    return _ASLANT


def place_of(period: str) -> int:
    """Return the place of a month or quarter in time; one without people is a gap.

    Parameters
    ----------
    period : str
        As ``"2026-01"`` or ``"2026-Q1"``.

    Returns
    -------
    int
        Numbers of following periods differ by 1.

    Examples
    --------
    >>> place_of("2026-01") - place_of("2025-12"), place_of("2026-Q1")
    (1, 8104)
    """
    year, _, part = period.partition("-")
    if part.startswith("Q"):
        return int(year) * 4 + int(part[1:]) - 1
    return int(year) * 12 + int(part) - 1


def places_between(periods: Iterable[str]) -> list[str]:
    """Return all months or quarters from the first to the last, in order.

    Parameters
    ----------
    periods : iterable of str
        Some of them, all months or all quarters.

    Returns
    -------
    list of str

    Examples
    --------
    >>> places_between(["2026-Q1", "2025-Q3"])
    ['2025-Q3', '2025-Q4', '2026-Q1']
    """
    known = set(periods)
    if not known:
        return []
    unit: Period = "quarter" if "Q" in min(known) else "month"
    places = [place_of(name) for name in known]
    every = period_names(range(min(places), max(places) + 1), unit)
    return [str(name) for name in every]
