"""Charts of what follows from the loop: worth, stages, months to come."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.svg import (
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

STAGE_COLOURS = {
    "traffic": "traf", "conversion": "conv", "repurchase": "rep", "referral": "ref",
}  # fmt: skip
"""Colours of the stages, as everywhere on the page."""

SCENARIOS = {"as_is": "conv", "no_ads": "traf"}
"""Scenarios drawn, with their colours."""

_WIDTH = 560.0


def worth(rows: Sequence[Row], unit: str, voice: Voice, money: Money) -> Markup:
    """Draw what a visitor or a buyer of each segment is worth, in two parts.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of `selfloop.core.schema.VISITOR_VALUE` whose value is known.
    unit : {"visitor", "buyer"}
        Whose value.
    voice : Voice
        Languages of the page.
    money : Money
        Currency.

    Returns
    -------
    markupsafe.Markup
        The part people bring stands at the end of a bar, the interval across it.
    """
    left, right, top = 168.0, 530.0, 8.0
    foot = top + 40 * len(rows)
    highs = [row[f"{unit}_value_high"] or row[f"{unit}_value"] for row in rows]
    values = ticks(max(highs))
    across = (right - left) / values[-1]
    own, brought, ends, names = [], [], [], []
    for i, row in enumerate(rows):
        y = top + 40 * i + 8
        parts = _parts(row, unit)
        name = _name(row["segment"], voice)
        tip = (
            f"{name}: {voice.plain('worth.own')} {money.short(parts[0])} + "
            f"{voice.plain('worth.brought')} {money.short(parts[1])}"
        )
        own.append(_bar(left, y, max(parts[0], 0) * across, 24, tip))
        start = left + max(parts[0], 0) * across
        brought.append(_bar(start, y, max(parts[1], 0) * across, 24, tip))
        ends.append(_whisker(row, unit, (left, across, y + 12, right)))
        names.append(label(left - 10, y + 17, _drawn(row["segment"], voice), more="lb"))
    ways = "".join(f"M{left + v * across:.1f},{top:g}V{foot:g}" for v in values)
    return figure(
        "worth", _WIDTH, foot + 26,
        el("path", d=ways, **stroke("line", 1)),
        labels(*(label(left + v * across, foot + 18, money.short(v)) for v in values)),
        el("g", *own, **fill("conv")), el("g", *brought, **fill("ref")), *ends,
        labels(*names, anchor="end"),
        title=voice.plain(f"worth.{unit}"), desc="",
    )  # fmt: skip


def _parts(row: Row, unit: str) -> tuple[float, float]:
    """Return the own part of a value, and that of people brought."""
    if unit == "visitor":
        return row["visitor_own_value"], row["visitor_brought_value"]
    return row["own_value"], row["brought_value"]


def _name(segment: str, voice: Voice) -> str:
    """Return the name of a source for a title."""
    outside = segment == "(outside)"
    return voice.plain("worth.outside" if outside else f"source.{segment}")


def _drawn(segment: str, voice: Voice) -> Markup:
    """Return the name of a source inside a picture."""
    outside = segment == "(outside)"
    return voice.drawn("worth.outside" if outside else f"source.{segment}")


def _whisker(row: Row, unit: str, scale: tuple[float, float, float, float]) -> Markup:
    """Draw an interval; without an upper end it runs out of the picture."""
    left, across, y, right = scale
    low, high = row[f"{unit}_value_low"], row[f"{unit}_value_high"]
    if low is None:
        return Markup("")
    end = right if high is None else left + high * across
    return line(left + low * across, y, end, y, **stroke("fg", 2))


def stages(rows: Sequence[Row], voice: Voice, money: Money) -> Markup:
    """Draw what 10 % more of each stage adds to the revenue of a year.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of `selfloop.core.schema.STAGE_LEVERAGE` of 10 % whose gain is known.
    voice : Voice
        Languages of the page.
    money : Money
        Currency.

    Returns
    -------
    markupsafe.Markup
    """
    left, right, top = 168.0, 530.0, 8.0
    foot = top + 40 * len(rows)
    values = ticks(max(max(row["revenue_gain_high"] or 0, 0) for row in rows))
    across = (right - left) / values[-1]
    marks, names = [], []
    for i, row in enumerate(rows):
        y = top + 40 * i + 8
        key = f"stage.{row['stage']}"
        ends = [row[f"revenue_gain_{end}"] for end in ("low", "high")]
        shown = " – ".join(money.short(end) for end in ends)
        tip = f"{voice.plain(key)}: {money.short(row['revenue_gain'])} ({shown})"
        wide = max(row["revenue_gain"], 0) * across
        bar = _bar(left, y, wide, 24, tip)
        marks.append(el("g", bar, **fill(STAGE_COLOURS[row["stage"]])))
        low, high = (left + max(end, 0) * across for end in ends)
        marks.append(line(low, y + 12, high, y + 12, **stroke("fg", 2)))
        names.append(label(left - 10, y + 17, voice.drawn(key), more="lb"))
    ways = "".join(f"M{left + v * across:.1f},{top:g}V{foot:g}" for v in values)
    return figure(
        "stages", _WIDTH, foot + 26,
        el("path", d=ways, **stroke("line", 1)),
        labels(*(label(left + v * across, foot + 18, money.short(v)) for v in values)),
        *marks, labels(*names, anchor="end"),
        title=voice.plain("stage.head"), desc="",
    )  # fmt: skip


def months(
    rows: Sequence[Row], past: Sequence[Row], voice: Voice, money: Money
) -> Markup:
    """Draw revenue of the last months, and of those to come with their ranges.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of `selfloop.core.schema.PROJECTION_MONTHS` of whole months.
    past : sequence of mapping
        Rows of `selfloop.core.schema.LOOP_MONTHS` of whole months.
    voice : Voice
        Languages of the page.
    money : Money
        Currency.

    Returns
    -------
    markupsafe.Markup
    """
    left, right, top, foot = 76.0, 550.0, 14.0, 230.0
    ahead = sorted({row["month"] for row in rows})
    names = [row["month"] for row in past] + ahead
    step = (right - left) / max(1, len(names) - 1)
    place = {name: left + i * step for i, name in enumerate(names)}
    tops = [row["revenue_high"] or row["revenue"] for row in rows]
    values = ticks(max([*tops, *(row["revenue"] for row in past)]))
    up = (foot - top) / values[-1]

    def at(row: Row, name: str) -> tuple[float, float]:
        """Return the point of a number of a month."""
        return place[row["month"]], foot - max(row[name], 0) * up

    marks = [
        levels(left, right, [foot - v * up for v in values]),
        labels(*(label(left - 6, foot - v * up + 4, money.short(v)) for v in values),
               anchor="end"),
    ]  # fmt: skip
    if past:
        drawn = path([at(row, "revenue") for row in past])
        marks.append(el("path", d=drawn, fill="none", **stroke("fg", 2)))
    for scenario, colour in SCENARIOS.items():
        mine = [row for row in rows if row["scenario"] == scenario]
        known = [row for row in mine if row["revenue_low"] is not None]
        if known:
            around = [at(row, "revenue_high") for row in known]
            around += [at(row, "revenue_low") for row in reversed(known)]
            band = path(around) + "Z"
            marks.append(el("path", d=band, fill_opacity=0.18, **fill(colour)))
        if mine:
            drawn = path([at(row, "revenue") for row in mine])
            marks.append(el("path", d=drawn, fill="none", **stroke(colour, 2.5)))
        dots = [
            el("circle", el("title", _tip(row, voice, money)), cx=at(row, "revenue")[0],
               cy=at(row, "revenue")[1], r=3.5)
            for row in mine
        ]  # fmt: skip
        marks.append(el("g", *dots, **fill(colour)))
    every = max(1, -(-len(names) // 8))
    marks.append(labels(*(label(place[name], foot + 20, str(name)[2:])
                          for name in names[::every])))  # fmt: skip
    return figure(
        "ahead", _WIDTH, foot + 28, *marks,
        line(left, foot, right, foot, **stroke("muted", 1)),
        title=voice.plain("ahead.head"), desc="",
    )  # fmt: skip


def _tip(row: Row, voice: Voice, money: Money) -> str:
    """Say what a month is expected to bring."""
    shown = f"{row['month']} · {voice.plain('ahead.' + row['scenario'])}: "
    shown += money.short(row["revenue"])
    if row["revenue_low"] is None:
        return shown
    ends = f"{money.short(row['revenue_low'])} – {money.short(row['revenue_high'])}"
    return f"{shown} ({ends})"


def _bar(x: float, y: float, wide: float, high: float, tip: str) -> Markup:
    """Draw one bar with what it says when pointed at."""
    return el("rect", el("title", tip), x=x, y=y, width=wide, height=float(high))
