"""SVG elements as safe text, and the scales of a chart."""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

COLOURS = {
    "traf": "#64748b", "conv": "#2b6cb8", "rep": "#13806f", "ref": "#c2570c",
    "org": "#9fb0c4", "unk": "#d3dae3", "line": "#dfe4ea", "muted": "#5a6675",
    "fg": "#16202c", "card": "#ffffff",
}  # fmt: skip
"""Colour names of the style sheet with their values on white.

Every mark carries both: the value for viewers that drop style sheets, the class for
the dark scheme."""


def fill(name: str) -> dict[str, object]:
    """Return the attributes that fill a mark with a colour of the style sheet."""
    return {"fill": COLOURS[name], "class_": f"f-{name}"}


def stroke(name: str, width: float, *, more: str = "") -> dict[str, object]:
    """Return the attributes of a line in a colour of the style sheet."""
    css = f"s-{name} {more}".strip()
    return {"stroke": COLOURS[name], "stroke_width": width, "class_": css}


def el(name: str, *inside: object, **attributes: object) -> Markup:
    """Return one element.

    Parameters
    ----------
    name : str
        Element name.
    *inside
        Text and elements in it; text is escaped.
    **attributes
        ``stroke_width`` becomes ``stroke-width`` and ``class_`` becomes ``class``;
        ``None`` leaves one out; numbers are rounded to a tenth of a unit.

    Returns
    -------
    markupsafe.Markup

    Examples
    --------
    >>> print(el("text", "<b>", x=1.04, class_="ax"))
    <text x="1" class="ax">&lt;b&gt;</text>
    """
    shown = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _attribute(value))
        for key, value in attributes.items()
        if value is not None
    )
    body = Markup("").join(escape(part) for part in inside)
    if not body:
        return Markup("<{}{}/>").format(name, shown)
    return Markup("<{0}{1}>{2}</{0}>").format(name, shown, body)


def label(x: float, y: float, words: object, *, more: str = "") -> Markup:
    """Return a text of an axis, to stand in a group made by `labels`."""
    return el("text", words, x=x, y=y, class_=more or None)


def labels(*inside: Markup, anchor: str = "middle") -> Markup:
    """Return a group of axis texts that share size, colour and side."""
    return el(
        "g", *inside, fill=COLOURS["muted"], font_size=13, class_="ax",
        text_anchor=None if anchor == "start" else anchor,
    )  # fmt: skip


def levels(left: float, right: float, heights: Sequence[float]) -> Markup:
    """Return the lines of a vertical axis as one mark."""
    way = "".join(f"M{_short(left)},{_short(y)}H{_short(right)}" for y in heights)
    return el("path", d=way, **stroke("line", 1))


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> Markup:
    """Return a straight line."""
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def path(points: Sequence[tuple[float, float]]) -> str:
    """Return the data of a path through points."""
    return "M" + " L".join(f"{_short(x)},{_short(y)}" for x, y in points)


def count_ticks(top: int) -> list[float]:
    """Return whole round numbers from 0 to at least `top`.

    Parameters
    ----------
    top : int
        Largest count; not negative.

    Returns
    -------
    list of float

    Examples
    --------
    >>> count_ticks(12), count_ticks(2), count_ticks(0)
    ([0.0, 5.0, 10.0, 15.0], [0.0, 1.0, 2.0], [0.0, 1.0])
    """
    return ticks(top, n=max(1, min(5, top)), steps=(1, 2, 5, 10))


def ticks(
    top: float, *, n: int = 5, steps: Sequence[float] = (1, 2, 2.5, 5, 10)
) -> list[float]:
    """Return round numbers from 0 to at least `top`.

    Parameters
    ----------
    top : float
        Largest value; not negative.
    n : int, optional
        About how many steps.
    steps : sequence of float, optional
        Steps to choose from, times a power of ten.

    Returns
    -------
    list of float

    Examples
    --------
    >>> ticks(0.23), ticks(870)
    ([0.0, 0.05, 0.1, 0.15, 0.2, 0.25], [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0])
    """
    if not top > 0 or math.isinf(top):
        return [0.0, 1.0]
    raw = top / n
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(m * base for m in steps if m * base >= raw * 0.999)
    # Products of the step, not sums: sums carry the rounding along.
    return [float(f"{i * step:.12g}") for i in range(math.ceil(top / step - 1e-9) + 1)]


def figure(
    ident: str, width: float, height: float, *marks: object, title: str, desc: str
) -> Markup:
    """Return a whole picture with what a screen reader says about it."""
    return el(
        "svg",
        el("title", title, id=f"{ident}-t"),
        el("desc", desc, id=f"{ident}-d") if desc else "",
        *marks,
        viewBox=f"0 0 {_short(width)} {_short(height)}",
        role="img",
        aria_labelledby=f"{ident}-t {ident}-d" if desc else f"{ident}-t",
        font_family="system-ui,sans-serif",
    )


def _short(value: float) -> str:
    """Round to a tenth of a unit."""
    return f"{value:.1f}".removesuffix(".0")


def _attribute(value: object) -> str:
    """Return a value as the text of an attribute."""
    return _short(value) if isinstance(value, float) else str(value)
