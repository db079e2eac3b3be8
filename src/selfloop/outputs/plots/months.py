"""Months under a picture: their names, and what stands with them."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from selfloop.core.display import format_value

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
