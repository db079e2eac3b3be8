"""Charts of the report: inline SVG, drawn from the numbers and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report.formats import Money
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

CARRIED: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("n_repeat", "rep", "circulation.repeat", {}),
    ("n_first_referral", "ref", "circulation.first", {"source": "source.referral"}),
    ("n_first_paid", "traf", "circulation.first", {"source": "source.paid"}),
    ("n_first_organic", "org", "circulation.first", {"source": "source.organic"}),
    ("n_first_unknown", "unk", "circulation.first", {"source": "source.unknown"}),
)
"""What carries a month: column, colour and words; the part of the loop first."""

GROUPS = {"direct": "conv", "referral": "ref"}
"""Groups of the distribution of lifetime value, with their colours."""

_WIDTH = 560.0


def spark(values: Sequence[float | None], colour: str) -> Markup:
    """Draw a small line without axes; nothing for fewer than three values.

    Parameters
    ----------
    values : sequence of float
        Points at equal distances; missing ones are left out.
    colour : str
        A colour of `selfloop.outputs.report.svg.COLOURS`.

    Returns
    -------
    markupsafe.Markup
    """
    known = [(i, v) for i, v in enumerate(values) if v is not None]
    if len(known) < 3:
        return Markup("")
    low, high = min(v for _, v in known), max(v for _, v in known)
    across, up = 112 / (len(values) - 1), 22 / ((high - low) or 1)
    points = [(4 + i * across, 26 - (v - low) * up) for i, v in known]
    x, y = points[-1]
    return el(
        "svg",
        el("path", d=path(points), fill="none", **stroke(colour, 2)),
        el("circle", cx=x, cy=y, r=2.6, **fill(colour)),
        viewBox="0 0 120 30", class_="spark", aria_hidden="true",
    )  # fmt: skip


def circulation(months: Sequence[Row], voice: Voice, *, shares: bool) -> Markup:
    """Draw the orders of each month by what carried them.

    Parameters
    ----------
    months : sequence of mapping
        Rows of `selfloop.core.schema.LOOP_MONTHS`.
    voice : Voice
        Languages of the page.
    shares : bool
        Whether to write the self-circulation share above each column.

    Returns
    -------
    markupsafe.Markup
        The loop's own part, repeat and referred, stands at the foot of a column.
    """
    left, right, top, foot = 46.0, 552.0, 40.0, 380.0
    values = count_ticks(max(row["n_orders"] for row in months))
    up, step = (foot - top) / values[-1], (right - left) / len(months)
    wide, every = min(step * 0.76, 46.0), -(-len(months) // 12)
    centres = [left + step * (i + 0.5) for i in range(len(months))]
    heights = [0.0] * len(months)
    marks = [
        levels(left, right, [foot - v * up for v in values]),
        labels(*(label(left - 6, foot - v * up + 4, fmt.count(v)) for v in values),
               anchor="end"),
    ]  # fmt: skip
    for column, colour, _, places in CARRIED:
        bars, name = [], voice.plain(places.get("source", "stage.repurchase"))
        for i, row in enumerate(months):
            high = (row[column] or 0) * up
            heights[i] += high
            if high:
                tip = f"{row['month']} · {name}: {fmt.count(row[column])}"
                bars.append(_bar(centres[i] - wide / 2, foot - heights[i], wide, high,
                                 tip))  # fmt: skip
        marks.append(el("g", *bars, **fill(colour)) if bars else Markup(""))
    marks += [
        _dashed(x - wide / 2 - 2, foot - high - 2, wide + 4, high + 2)
        for x, high, row in zip(centres, heights, months, strict=True)
        if row["status"] == "partial"
    ]
    marks.append(labels(*(label(centres[i], 400, _month(months, i, every))
                          for i in range(0, len(months), every))))  # fmt: skip
    if shares:
        marks.append(labels(*(label(centres[i], 22, _percent(months[i]), more="lb")
                              for i in range(0, len(months), every))))  # fmt: skip
    return figure(
        "circ", _WIDTH, 406.0, *marks, _baseline(left, right, foot),
        title=voice.plain("circulation.months"), desc="",
    )  # fmt: skip


def reproduction(
    curve: Sequence[Row], headline: Row, voice: Voice, *, width: float = 560.0
) -> Markup:
    """Draw R by the age of the buyer, with its interval.

    Parameters
    ----------
    curve : sequence of mapping
        Rows of `selfloop.core.schema.REPRODUCTION_CURVE`.
    headline : mapping
        The card of R, marked on the curve.
    voice : Voice
        Languages of the page.
    width : float, optional
        Width of the picture in its own units.

    Returns
    -------
    markupsafe.Markup
        With a dashed line at 1 when that is near.
    """
    left, right, top, foot = 46.0, width - 12, 14.0, 212.0
    highest = max(row["r_high"] or row["r"] or 0 for row in curve)
    last = max(row["age_days"] for row in curve) or 1
    values = ticks(max(highest, 1.05 if highest > 0.6 else 0))
    up, across = (foot - top) / values[-1], (right - left) / last

    def at(row: Row, end: str) -> tuple[float, float]:
        """Return where a point of the curve lies."""
        return left + row["age_days"] * across, foot - row[end] * up

    marks = [
        levels(left, right, [foot - v * up for v in values]),
        labels(*(label(left - 6, foot - v * up + 4, fmt.number(v)) for v in values),
               anchor="end"),
    ]  # fmt: skip
    band = [row for row in curve if row["r_high"] is not None]
    if band:
        edge = [at(r, "r_high") for r in band] + [at(r, "r_low") for r in band[::-1]]
        marks.append(el("path", d=path(edge) + " Z", opacity=0.18, **fill("ref")))
    if values[-1] >= 1:
        y = foot - up
        marks.append(line(left, y, right, y, **stroke("fg", 1.5),
                          stroke_dasharray="5 4"))  # fmt: skip
        marks.append(labels(label(right, y - 5, "R = 1"), anchor="end"))
    known = [row for row in curve if row["r"] is not None]
    drawn = path([at(row, "r") for row in known])
    marks.append(el("path", d=drawn, fill="none", **stroke("ref", 2.5)))
    dots = [_dot(*at(row, "r"), 3.5, _r_tip(row))
            for row in known[:: max(1, len(known) // 12)]]  # fmt: skip
    end = {"age_days": headline["days"], "r": headline["value"]}
    tip = voice.plain("kpi.short", days=headline["days"], r=fmt.number(end["r"]))
    marks.append(el("g", *dots, _dot(*at(end, "r"), 5, tip), **fill("ref")))
    marks.append(labels(
        *(label(left + v * across, 230, f"{v:g}") for v in ticks(last) if v <= last),
        label((left + right) / 2, 250, voice.drawn("reproduction.days")),
    ))  # fmt: skip
    return figure(
        "rcurve", width, 254.0, *marks, _baseline(left, right, foot),
        title=voice.plain("reproduction.head"), desc=tip,
    )  # fmt: skip


def histogram(bins: Sequence[Row], voice: Voice, money: Money) -> Markup:
    """Draw the distribution of lifetime value, referred beside all others.

    Parameters
    ----------
    bins : sequence of mapping
        ``low_value``, ``high_value``, ``source_group``, ``n_people``, ``share``.
    voice : Voice
        Languages of the page.
    money : Money
        Currency.

    Returns
    -------
    markupsafe.Markup
    """
    left, right, top, foot = 46.0, 550.0, 14.0, 200.0
    edges = sorted({row["low_value"] for row in bins})
    values = ticks(max(row["share"] or 0 for row in bins))
    up, step = (foot - top) / values[-1], (right - left) / len(edges)
    groups = [g for g in GROUPS if any(row["source_group"] == g for row in bins)]
    wide = (step - 4) / len(groups)
    marks = [
        levels(left, right, [foot - v * up for v in values]),
        labels(*(label(left - 6, foot - v * up + 4, f"{v * 100:g}%") for v in values),
               anchor="end"),
    ]  # fmt: skip
    for place, group in enumerate(groups):
        name, bars = voice.plain(f"source.{group}"), []
        for row in bins:
            if row["source_group"] != group or not row["share"]:
                continue
            x = left + edges.index(row["low_value"]) * step + 2 + place * wide
            tip = (
                f"{_span(row, money)} · {name}: {fmt.share(row['share'])} "
                f"({fmt.count(row['n_people'])})"
            )
            high = row["share"] * up
            bars.append(_bar(x, foot - high, wide - 0.5, high, tip))
        marks.append(el("g", *bars, **fill(GROUPS[group])))
    every = max(1, -(-len(edges) // 8))
    marks.append(labels(*(label(left + i * step, 218, money.short(edges[i]))
                          for i in range(0, len(edges), every))))  # fmt: skip
    return figure(
        "hist", _WIDTH, 226.0, *marks, _baseline(left, right, foot),
        title=voice.plain("lifetime.histogram"), desc="",
    )  # fmt: skip


def by_source(rows: Sequence[Row], voice: Voice, money: Money) -> Markup:
    """Draw the lifetime value per buyer of each source, with its interval.

    Parameters
    ----------
    rows : sequence of mapping
        ``source``, ``n_buyers``, ``lifetime_value_per_buyer``, ``low``, ``high``.
    voice : Voice
        Languages of the page.
    money : Money
        Currency.

    Returns
    -------
    markupsafe.Markup
    """
    left, right, top = 168.0, 530.0, 8.0
    known = [row for row in rows if row["lifetime_value_per_buyer"] is not None]
    foot = top + 40 * len(known)
    values = ticks(
        max(max(row["high"] or 0, row["lifetime_value_per_buyer"]) for row in known)
    )
    across = (right - left) / values[-1]
    ways = "".join(f"M{left + v * across:.1f},{top:g}V{foot:g}" for v in values)
    marks = [
        el("path", d=ways, **stroke("line", 1)),
        labels(*(label(left + v * across, foot + 18, money.short(v)) for v in values)),
    ]
    names = []
    for i, row in enumerate(known):
        y = top + 40 * i + 20
        key = source_key(row["source"])
        names.append(label(left - 10, y + 5, voice.drawn(key), more="lb"))
        marks.append(_whisker(row, voice.plain(key), (left, across, y), money))
    return figure("bysource", _WIDTH, foot + 26, *marks, labels(*names, anchor="end"),
                  title=voice.plain("lifetime.by_source"), desc="")  # fmt: skip


def deciles(rows: Sequence[Row], voice: Voice, money: Money) -> Markup:
    """Draw the total value of each tenth of people, social value on top.

    Parameters
    ----------
    rows : sequence of mapping
        ``decile``, ``n_people``, ``revenue``, ``social_value``, ``total_value``.
    voice : Voice
        Languages of the page.
    money : Money
        Currency.

    Returns
    -------
    markupsafe.Markup
        A column is as high as the total value; its upper part is the social value.
    """
    left, right, top, foot = 76.0, 550.0, 14.0, 206.0
    values = ticks(max(max(row["total_value"] or 0, 0) for row in rows))
    up, step = (foot - top) / values[-1], (right - left) / len(rows)
    wide = step * 0.68
    own, social, names = [], [], []
    for i, row in enumerate(rows):
        x = left + i * step + step * 0.16
        total = max(row["total_value"] or 0, 0) * up
        upper = min(max(row["social_value"] or 0, 0) * up, total)
        tip = (
            f"{row['decile']} · {voice.plain('col.total')}: "
            f"{money.short(row['total_value'])} · {voice.plain('col.social')}: "
            f"{money.short(row['social_value'])}"
        )
        own.append(_bar(x, foot - total + upper, wide, total - upper, tip))
        social.append(_bar(x, foot - total, wide, upper, tip))
        names.append(label(x + wide / 2, 224, row["decile"]))
    names.append(label((left + right) / 2, 246, voice.drawn("social.decile")))
    return figure(
        "dec", _WIDTH, 250.0,
        levels(left, right, [foot - v * up for v in values]),
        labels(*(label(left - 6, foot - v * up + 4, money.short(v)) for v in values),
               anchor="end"),
        el("g", *own, **fill("conv")), el("g", *social, **fill("ref")),
        labels(*names), _baseline(left, right, foot),
        title=voice.plain("social.deciles"), desc="",
    )  # fmt: skip


def source_key(source: str) -> str:
    """Return the key of the words for a source; there is none for one not ours.

    Parameters
    ----------
    source : str
        ``paid``, ``organic``, ``referral``, ``unknown`` or ``all``.

    Returns
    -------
    str

    Examples
    --------
    >>> source_key("paid"), source_key("all")
    ('source.paid', 'segment.all')
    """
    return "segment.all" if source == "all" else f"source.{source}"


def _baseline(left: float, right: float, y: float) -> Markup:
    """Draw the line on which columns stand."""
    return line(left, y, right, y, **stroke("muted", 1))


def _bar(x: float, y: float, wide: float, high: float, tip: str) -> Markup:
    """Draw one bar with what it says when pointed at."""
    return el("rect", el("title", tip), x=x, y=y, width=wide, height=high)


def _dot(x: float, y: float, r: float, tip: str) -> Markup:
    """Draw one point with what it says when pointed at."""
    return el("circle", el("title", tip), cx=x, cy=y, r=r)


def _whisker(
    row: Row, name: str, scale: tuple[float, float, float], money: Money
) -> Markup:
    """Draw the value of one source with its interval."""
    left, across, y = scale
    colour = {"referral": "ref", "paid": "traf"}.get(row["source"], "conv")
    value, low, high = (row[c] for c in ("lifetime_value_per_buyer", "low", "high"))
    shown, ends = money.short(value), Markup("")
    if low is not None and high is not None:
        shown += f" ({money.short(low)} – {money.short(high)})"
        ends = line(left + max(low, 0) * across, y, left + high * across, y,
                    **stroke(colour, 3))  # fmt: skip
    tip = el("title", f"{name}: {shown}, n = {fmt.count(row['n_buyers'])}")
    dot = el("circle", cx=left + max(value, 0) * across, cy=y, r=5.5, **fill(colour))
    return el("g", tip, ends, dot)


def _dashed(x: float, y: float, wide: float, high: float) -> Markup:
    """Draw a dashed frame around a month that is still running."""
    return el("rect", x=x, y=y, width=wide, height=high, fill="none",
              stroke_dasharray="4 3", **stroke("muted", 1.2))  # fmt: skip


def _percent(row: Row) -> str:
    """Write the self-circulation share of a month as a whole percent."""
    return "" if row["share_orders"] is None else f"{row['share_orders'] * 100:.0f}%"


def _month(months: Sequence[Row], i: int, every: int) -> str:
    """Write a month: with its year in the first place and in each January."""
    year, month = str(months[i]["month"]).split("-")
    before = str(months[i - every]["month"]).split("-")[0] if i >= every else ""
    return f"{year[2:]}-{month}" if year != before else month


def _r_tip(row: Row) -> str:
    """Say R at one age, in no language."""
    ends = f" ({fmt.number(row['r_low'])} – {fmt.number(row['r_high'])})"
    tip = f"R({row['age_days']}) = {fmt.number(row['r'])}"
    return tip + (ends if row["r_low"] is not None else "")


def _span(row: Row, money: Money) -> str:
    """Write the ends of a bin; the last one is open."""
    if row["high_value"] is None:
        return f"{money.short(row['low_value'])}+"
    return f"{money.short(row['low_value'])} – {money.short(row['high_value'])}"
