"""Charts of a backtest: week by week, and by tenths of buyers."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from markupsafe import Markup

from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report.svg import (
    count_ticks,
    el,
    figure,
    fill,
    label,
    labels,
    levels,
    line,
    path,
    stroke,
    ticks,
)
from selfloop.outputs.report.voice import Voice

Row = Mapping[str, Any]

_WIDTH, _HEIGHT = 560.0, 238.0
_LEFT, _RIGHT, _TOP, _FOOT = 46.0, 550.0, 30.0, 214.0
_ROOM = 160.0  # of the words over the shaded days
_WEEK = 7
_MANY = 160  # weeks from which on their line is thin
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)  # steps of the labels below
_MOST_LABELS = 5


class _Week(NamedTuple):
    """A whole week: its last day, and purchases in it."""

    day: int
    actual: float
    expected: float


def weeks(test: Row, voice: Voice, *, desc: str) -> Markup:
    """Draw the repeat purchases of each week beside those expected.

    Parameters
    ----------
    test : mapping
        ``backtest`` of the numbers, its tables as rows.
    voice : Voice
        Languages of the page.
    desc : str
        What a screen reader says of it.

    Returns
    -------
    markupsafe.Markup
        The days that the model had not seen are shaded; a last week that is not over
        is left out. Nothing when there are fewer than two weeks.
    """
    rows = _whole_weeks(test["weeks"])
    if len(rows) < 2:
        return Markup("")
    begin, end = rows[0].day - _WEEK, rows[-1].day
    cut = date.fromisoformat(test["at"]).toordinal()
    values = count_ticks(int(max(max(r.actual, r.expected) for r in rows)) + 1)
    up, across = (_FOOT - _TOP) / values[-1], (_RIGHT - _LEFT) / (end - begin)
    x_cut = _LEFT + (cut - begin) * across

    def curve(name: str) -> str:
        """Return the way of one line through the middles of the weeks."""
        middle = begin + _WEEK / 2
        return path([
            (_LEFT + (r.day - middle) * across, _FOOT - getattr(r, name) * up)
            for r in rows
        ])  # fmt: skip

    return figure(
        "weeks", _WIDTH, _HEIGHT,
        el("rect", x=x_cut, y=_TOP, width=_RIGHT - x_cut, height=_FOOT - _TOP,
           opacity=0.22, **fill("org")),
        levels(_LEFT, _RIGHT, [_FOOT - v * up for v in values]),
        labels(*(label(_LEFT - 6, _FOOT - v * up + 4, fmt.count(v)) for v in values),
               anchor="end"),
        el("path", d=curve("actual"), fill="none",
           **stroke("rep", 1.6 if len(rows) <= _MANY else 1.0)),
        el("path", d=curve("expected"), fill="none", **stroke("fg", 2)),
        line(x_cut, _TOP - 8, x_cut, _FOOT, **stroke("muted", 1.5),
             stroke_dasharray="4 3"),
        _unseen(x_cut, voice),
        labels(*(label(_LEFT + (day - begin) * across, _FOOT + 18, name)
                 for day, name in _months(begin, end))),
        line(_LEFT, _FOOT, _RIGHT, _FOOT, **stroke("muted", 1)),
        title=voice.plain("backtest.weeks"), desc=desc,
    )  # fmt: skip


def calibration(test: Row, voice: Voice, *, desc: str) -> Markup:
    """Draw the mean purchases of each tenth of buyers beside those predicted.

    Parameters
    ----------
    test : mapping
        ``backtest`` of the numbers, its tables as rows.
    voice : Voice
        Languages of the page.
    desc : str
        What a screen reader says of it.

    Returns
    -------
    markupsafe.Markup
        A column is what was predicted, the dot and its line what happened. Nothing
        without purchases by tenths.
    """
    rows = [row for row in test["deciles"] if row["measure"] == "purchases"]
    if not rows:
        return Markup("")
    values = ticks(
        max(max(row["actual_high"] or row["actual"], row["predicted"]) for row in rows)
    )
    up, step = (_FOOT - _TOP) / values[-1], (_RIGHT - _LEFT) / len(rows)
    bars, lines, dots, names = [], [], [], []
    for i, row in enumerate(rows):
        x = _LEFT + (i + 0.5) * step
        high = row["predicted"] * up
        tip = _tip(row, voice)
        bars.append(el("rect", el("title", tip), x=x - step * 0.34, y=_FOOT - high,
                       width=step * 0.68, height=high))  # fmt: skip
        if row["actual_high"] is not None:
            lines.append(
                f"M{x:.1f},{_FOOT - max(row['actual_low'], 0) * up:.1f}"
                f"V{_FOOT - row['actual_high'] * up:.1f}"
            )
        y = _FOOT - row["actual"] * up
        dots.append(el("circle", cx=x, cy=y, r=4.5))
        names.append(label(x, _FOOT + 18, row["decile"]))
    return figure(
        "calib", _WIDTH, _HEIGHT,
        levels(_LEFT, _RIGHT, [_FOOT - v * up for v in values]),
        labels(*(label(_LEFT - 6, _FOOT - v * up + 4, f"{v:g}") for v in values),
               anchor="end"),
        el("g", *bars, **fill("org")),
        el("path", d="".join(lines), **stroke("rep", 2.5)) if lines else "",
        el("g", *dots, pointer_events="none", **fill("rep")),
        labels(*names), line(_LEFT, _FOOT, _RIGHT, _FOOT, **stroke("muted", 1)),
        title=voice.plain("backtest.deciles"), desc=desc,
    )  # fmt: skip


def _whole_weeks(rows: Sequence[Row]) -> list[_Week]:
    """Return the weeks that are over: the last one may be shorter."""
    found = [
        _Week(date.fromisoformat(r["last_day"]).toordinal(), r["actual"], r["expected"])
        for r in rows
    ]
    if len(found) > 1 and found[-1].day - found[-2].day < _WEEK:
        return found[:-1]
    return found


def _unseen(x_cut: float, voice: Voice) -> Markup:
    """Write over the shaded days that the model had not seen them."""
    words = voice.drawn("backtest.unseen")
    if x_cut + _ROOM < _RIGHT:
        return labels(label(x_cut + 6, _TOP - 12, words), anchor="start")
    return labels(label(_RIGHT, _TOP - 12, words), anchor="end")


def _months(begin: int, end: int) -> list[tuple[int, str]]:
    """Return a few first days of months between two days, with their names."""
    first, last = date.fromordinal(begin), date.fromordinal(end)
    n_months = 12 * (last.year - first.year) + last.month - first.month
    step = next((m for m in _MONTHS if n_months / m <= _MOST_LABELS), _MONTHS[-1])
    numbers = range(12 * first.year + first.month - 1, 12 * last.year + last.month)
    days = [
        date(number // 12, number % 12 + 1, 1)
        for number in numbers
        if number % 12 % step == 0 and (step <= 12 or number // 12 % (step // 12) == 0)
    ]
    # Half a label, in the large letters of a small screen.
    room = (end - begin) * 0.07
    return [
        (day.toordinal(), f"{day:%Y}" if step >= 12 else f"{day:%Y-%m}")
        for day in days
        if begin <= day.toordinal() <= end - room
    ]


def _tip(row: Row, voice: Voice) -> str:
    """Say what one tenth was predicted to buy and bought."""
    ends = ""
    if row["actual_high"] is not None:
        ends = f" ({fmt.number(row['actual_low'])} – {fmt.number(row['actual_high'])})"
    return (
        f"{row['decile']} · {voice.plain('backtest.predicted')}: "
        f"{fmt.number(row['predicted'])} · {voice.plain('backtest.actual')}: "
        f"{fmt.number(row['actual'])}{ends}, n = {fmt.count(row['n_people'])}"
    )
