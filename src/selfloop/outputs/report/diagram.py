"""The loop diagram: four stages in a ring, a rate on each arrow."""

import math
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report.cards import headline
from selfloop.outputs.report.svg import COLOURS, el, figure, fill, stroke
from selfloop.outputs.report.voice import Voice

Numbers = Mapping[str, Any]

_NODES = {
    "traffic": (230.0, 65.0, "traf"),
    "conversion": (390.0, 225.0, "conv"),
    "repurchase": (230.0, 385.0, "rep"),
    "referral": (70.0, 225.0, "ref"),
}
_RING = 160.0
_CENTRE = (230.0, 225.0)


def loop_diagram(numbers: Numbers, voice: Voice) -> Markup:
    """Draw the loop.

    Parameters
    ----------
    numbers : mapping
        From `selfloop.outputs.report.numbers.report_numbers`.
    voice : Voice
        Languages of the page.

    Returns
    -------
    markupsafe.Markup
        Repurchase and referral both start from conversion, as both are shares of
        buyers. R is on the way back, the gain in the middle when R is surely below
        1; what is missing is a dash on a dashed line.
    """
    windows = numbers["funnel"]["windows"]
    rates = {
        stage: headline(windows, stage)["value"]
        for stage in ("conversion", "repurchase", "referral")
    }
    cards = {card["key"]: card for card in numbers["kpis"]}
    r = cards["r"]["value"]
    marks = [
        _arrow_head(),
        _arc(-63, -27, rates["conversion"], "conv", fmt.share(rates["conversion"])),
        _arc(27, 63, rates["repurchase"], "rep", fmt.share(rates["repurchase"])),
        _chord(rates["referral"], fmt.share(rates["referral"])),
        _arc(207, 243, r, "ref", f"R {fmt.number(r)}"),
        *_quiet_arc(),
        *(_node(stage, numbers, voice) for stage in _NODES),
        *_middle(cards["gain"], r, voice),
    ]
    return figure(
        "loop", 460.0, 450.0, *marks,
        title=voice.plain("loop.head"), desc=voice.plain("loop.desc"),
    )  # fmt: skip


def _arrow_head() -> Markup:
    """Define the head of the arrows."""
    head = el("path", d="M0,0 L10,5 L0,10 z", **fill("fg"))
    return el("defs", el(
        "marker", head, id="loop-head", viewBox="0 0 10 10", refX=6, refY=5,
        markerWidth=13, markerHeight=13, markerUnits="userSpaceOnUse", orient="auto",
    ))  # fmt: skip


def _on_ring(degrees: float, radius: float = _RING) -> tuple[float, float]:
    """Return a point of the ring, clockwise from the right."""
    angle = math.radians(degrees)
    return (
        _CENTRE[0] + radius * math.cos(angle),
        _CENTRE[1] + radius * math.sin(angle),
    )


def _line(way: str, rate: float | None, colour: str) -> Markup:
    """Draw one way, thicker for a larger rate, dashed for a missing one."""
    wide = 3 + 10 * min(rate, 1) if rate is not None else 2
    return el(
        "path", d=way, fill="none", marker_end="url(#loop-head)",
        stroke_dasharray=None if rate is not None else "5 5",
        **stroke(colour, round(wide, 1)),
    )  # fmt: skip


def _words(x: float, y: float, words: str, side: str = "middle") -> Markup:
    """Write the rate of a way, with a rim of the background."""
    return el(
        "text", words, x=x, y=y, text_anchor=side, font_size=16.5,
        font_weight=650, fill=COLOURS["fg"], class_="t lab",
    )  # fmt: skip


def _arc(
    start: float, end: float, rate: float | None, colour: str, words: str
) -> Markup:
    """Draw a way along the ring and write its rate outside."""
    (x1, y1), (x2, y2) = _on_ring(start), _on_ring(end)
    way = f"M{x1:.1f},{y1:.1f} A{_RING:g},{_RING:g} 0 0 1 {x2:.1f},{y2:.1f}"
    x, y = _on_ring((start + end) / 2, _RING + 14)
    side = "start" if x > _CENTRE[0] else "end"
    shown = _words(x, y + (0 if y < _CENTRE[1] else 12), words, side)
    return el("g", el("title", words), _line(way, rate, colour), shown)


def _chord(rate: float | None, words: str) -> Markup:
    """Draw the way from conversion straight to referral, below the middle."""
    way = "M338,262 Q230,318 124,264"
    return el("g", el("title", words), _line(way, rate, "ref"), _words(230, 311, words))


def _quiet_arc() -> list[Markup]:
    """Draw the part of the ring that carries no rate: repeat buyers refer too."""
    (x1, y1), (x2, y2) = _on_ring(117), _on_ring(153)
    way = f"M{x1:.1f},{y1:.1f} A{_RING:g},{_RING:g} 0 0 1 {x2:.1f},{y2:.1f}"
    return [el("path", d=way, fill="none", stroke_dasharray="2 6", **stroke("line", 3))]


def _node(stage: str, numbers: Numbers, voice: Voice) -> Markup:
    """Draw one stage with its people so far."""
    x, y, colour = _NODES[stage]
    rows = numbers["funnel"]["stages"]
    n = next((row["n_reached"] for row in rows if row["stage"] == stage), None)
    circle = el(
        "circle", cx=x, cy=y, r=61, fill=COLOURS["card"],
        stroke_dasharray=None if n is not None else "6 5",
        **stroke(colour, 4, more="node"),
    )  # fmt: skip
    # One language leaves room, so the two lines move together.
    near = 8 if len(voice.langs) == 1 else 0
    key = f"stage.{stage}"
    names = [_node_text(x, y - 12 + near, key, voice, i) for i in (0, 1)]
    people = el(
        "text", fmt.count(n), x=x, y=y + 29 - near, text_anchor="middle",
        font_size=16.5, font_weight=650, fill=COLOURS["fg"], class_="t",
    )  # fmt: skip
    return el("g", circle, *names, people)


def _node_text(x: float, y: float, key: str, voice: Voice, place: int) -> Markup:
    """Write the name of a stage, one line for each language."""
    weight = 650 if place == 0 else None
    return _line_of(x, y + 20 * place, key, voice, place, font_size=15.5,
                    font_weight=weight, fill=COLOURS["fg"], class_="t")  # fmt: skip


def _line_of(
    x: float, y: float, key: str, voice: Voice, place: int, **style: object
) -> Markup:
    """Write a text in the language at a place, nothing when there is none."""
    if place >= len(voice.langs):
        return Markup("")
    lang = voice.langs[place]
    code = {"en": "en", "zh": "zh-Hans"}[lang] if voice.lang == "both" else None
    return el("text", Voice(lang).plain(key), x=x, y=y, text_anchor="middle",
              lang=code, **style)  # fmt: skip


def _middle(gain: Numbers, r: float | None, voice: Voice) -> list[Markup]:
    """Write the gain with its interval; R itself where there is no gain."""
    known = gain["value"] is not None
    key = "loop.gain" if known else "loop.r_meaning"
    value = f"×{fmt.number(gain['value'])}" if known else f"R {fmt.number(r)}"
    below = f"{fmt.number(gain['low'])} – {fmt.number(gain['high'])}" if known else ""
    small = {"fill": COLOURS["muted"], "class_": "t sm"}
    top = 193 - 17 * (len(voice.langs) - 1)
    return [
        *(_line_of(230, top + 17 * place, key, voice, place, font_size=14, **small)
          for place in (0, 1)),
        el("text", value, x=230, y=231, font_size=36, font_weight=700,
           text_anchor="middle", fill=COLOURS["fg"], class_="t"),
        el("text", below, x=230, y=254, font_size=15, text_anchor="middle", **small)
        if below else Markup(""),
    ]  # fmt: skip
