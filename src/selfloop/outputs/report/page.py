"""The numbers of a report as one HTML page that needs nothing from the network."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from selfloop.core.schema import names
from selfloop.outputs.fonts import UNICODE_RANGE, web_subset
from selfloop.outputs.report import charts, summary, views
from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report.cards import HEADLINE_DAYS
from selfloop.outputs.report.diagram import loop_diagram
from selfloop.outputs.report.finding import finding
from selfloop.outputs.report.folding import unfold
from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.lifetime_view import lifetime_view
from selfloop.outputs.report.outlook_view import outlook_view
from selfloop.outputs.report.referral_view import referral_view
from selfloop.outputs.report.sentence import Sentence
from selfloop.outputs.report.voice import PageLang, Voice
from selfloop.outputs.tables import format_table
from selfloop.outputs.text import Lang

EmbedFont = Literal["auto", "always", "never"]
Numbers = Mapping[str, Any]

_DEFINITIONS = (
    ("stage.conversion", "define.conversion"),
    ("stage.repurchase", "define.repurchase"),
    ("stage.referral", "define.referral"),
    ("kpi.r", "define.r"),
    ("kpi.gain", "define.gain"),
    ("kpi.circulation", "define.circulation"),
    ("lifetime.head", "define.lifetime"),
    ("social.head", "define.social"),
)
_LOCAL_FONTS = (
    "PingFang SC", "PingFangSC-Regular", "Hiragino Sans GB", "Microsoft YaHei",
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Micro Hei",
)  # fmt: skip
_OUTCOMES = {
    "used": ("pass", "✓"),
    "set_aside": ("info", "i"),
    "rejected": ("fail", "✕"),
}
_CLIP = 60


def page(
    numbers: Numbers,
    *,
    lang: PageLang = "both",
    embed_font: EmbedFont = "auto",
    json_name: str = "report.json",
) -> str:
    """Return a report as HTML.

    Parameters
    ----------
    numbers : mapping
        From `selfloop.outputs.report.numbers.report_numbers`.
    lang : {"both", "en", "zh"}, optional
        Languages of the page; with both, the page has a switch.
    embed_font : {"auto", "always", "never"}, optional
        Chinese characters of the page as a font inside it: ``auto`` where the
        reader's machine has no Chinese font of its own, ``always`` also where it
        has, ``never`` to save about 70 KB.
    json_name : str, optional
        Name of the file beside the page that holds the same numbers.

    Returns
    -------
    str
        One document: styles, pictures, data and a script of 1 KB are inside. It
        works without the script, which sorts a table, unfolds parts for print and
        makes the link to the numbers one to the numbers inside. A content security
        policy forbids every request and every other script.
    """
    folded, numbers = numbers, unfold(numbers)
    voice, money = Voice(lang), Money(numbers["meta"]["currency"])
    environment = _environment(money)
    script = _file(environment, "script.js")
    values = {
        "n": numbers,
        "voice": voice,
        "data": safe_json(folded),
        "json_name": json_name,
        "style": Markup(_file(environment, "style.css")),
        "script": Markup(script),
        "script_hash": Markup("sha256-" + _base64(hashlib.sha256(script.encode()))),
        "made_at": _moment(numbers["meta"]["made_at"]),
        "short": lambda key: (
            voice.plain(key) if lang != "both" else Voice("en").plain(key)
        ),
        "badge": lambda outcome: _badge(outcome, voice),
        "why": lambda row, form: views.why(row, form, numbers, voice),
        **_sections(numbers, voice, money),
    }
    template = environment.get_template("page.html.j2")
    html = template.render(values)
    if embed_font == "never":
        return html
    # The font holds the characters of the page, so the page comes first.
    return html.replace("<style>", f"<style>{_font_face(html, embed_font)}", 1)


def safe_json(value: object) -> Markup:
    r"""Return JSON that can stand inside a script element.

    Parameters
    ----------
    value : object
        Anything that JSON has.

    Returns
    -------
    markupsafe.Markup
        The characters that HTML reads are written as ``\u003c`` and so on, so that
        no text in it can end the element.

    Examples
    --------
    >>> print(safe_json({"id": "</script>"}))
    {"id":"\u003c/script\u003e"}
    """
    shown = json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    for mark in "<>&\u2028\u2029":
        shown = shown.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(shown)


def clip(value: object, length: int = _CLIP) -> str:
    """Return a text of the user's for the page, cut when it is very long.

    Parameters
    ----------
    value : object
        Text, or ``None``.
    length : int, optional
        Characters to keep.

    Returns
    -------
    str

    Examples
    --------
    >>> clip("007"), clip(None), clip("x" * 70, 5)
    ('007', '', 'xxxx…')
    """
    text = "" if value is None else str(value)
    return text if len(text) <= length else text[: length - 1] + "…"


def _environment(money: Money) -> Environment:
    """Return the templates, which escape everything that is not marked safe."""
    environment = Environment(
        loader=PackageLoader("selfloop.outputs.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": fmt.count,
        "share": fmt.share,
        "number": fmt.number,
        "money": money.short,
        "exact": money.exact,
        "clip": clip,
        "digits": lambda value: fmt.MISSING if value is None else f"{value:.5g}",
    }
    environment.globals |= {"share": fmt.share, "number": fmt.number}
    return environment


def _file(environment: Environment, name: str) -> str:
    """Return a file of the templates as it is."""
    if environment.loader is None:
        raise RuntimeError("the templates have no loader")
    return environment.loader.get_source(environment, name)[0].strip()


def _sections(numbers: Numbers, voice: Voice, money: Money) -> dict[str, Any]:
    """Return what the sections show."""
    r, months = _card(numbers, "r"), numbers["loop"]["months"]
    has_curve = r["value"] is not None and bool(numbers["loop"]["curve"])
    said = finding(numbers)
    top = max((row["social_value"] for row in numbers["advocates"]), default=1)
    return {
        "r": r,
        "partial": bool(months) and months[-1]["status"] == "partial",
        "finding": {lang: _paragraph(said, lang) for lang in voice.langs},
        "cards": summary.cards(numbers, voice, money),
        "funnel": {
            "days": HEADLINE_DAYS[0],
            "stages": views.funnel_stages(numbers, voice),
        },
        "sources": views.sources(numbers, voice),
        "diagram": loop_diagram(numbers, voice),
        "circulation": views.circulation(numbers, voice),
        "curve": charts.reproduction(numbers["loop"]["curve"], r, voice)
        if has_curve
        else "",
        "cohorts": views.cohorts(numbers),
        "outlook": outlook_view(numbers, voice, money),
        "lifetime": lifetime_view(numbers, voice, money),
        "deciles": charts.deciles(numbers["social"]["deciles"], voice, money)
        if numbers["social"]["deciles"]
        else "",
        "referral": referral_view(numbers, voice, money),
        "flags_csv": _csv_uri(_flags(numbers), names("anomalies")),
        "has_visits": "visits" in numbers["meta"]["has"],
        "width": lambda value: f"{100 * value / top:.0f}",
        "definitions": _DEFINITIONS,
        "advocates_csv": _csv_uri(numbers["advocates"], names("customer_value")),
        "audit_csv": _csv_uri(numbers["audit"]["rows"], names("audit")),
    }


def _flags(numbers: Numbers) -> Sequence[Numbers]:
    """Return the flags of referrals, none without referrals."""
    referral = numbers["referral"]
    return () if referral is None else referral["anomalies"]["flags"]


def _moment(text: str) -> str:
    """Return a time to the minute, with its zone if it has one."""
    moment = datetime.fromisoformat(text)
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".strip()


def _card(numbers: Numbers, key: str) -> dict[str, Any]:
    """Return one key number."""
    return next(card for card in numbers["kpis"] if card["key"] == key)


def _paragraph(said: Sequence[Sentence], lang: Lang) -> Markup:
    """Join the sentences of the finding, their numbers in bold."""
    gap = "" if lang == "zh" else " "
    voice = Voice(lang)
    return Markup(gap).join(voice.say(s.key, **s.values) for s in said)


def _badge(outcome: str, voice: Voice) -> Markup:
    """Return an outcome of the audit as sign, word and colour."""
    css, sign = _OUTCOMES[outcome]
    return Markup(
        '<span class="badge {}"><span aria-hidden="true">{} </span>{}</span>'
    ).format(css, sign, voice.say(f"outcome.{outcome}"))


def _csv_uri(rows: Sequence[Numbers], columns: list[str]) -> str:
    """Return rows as a CSV file inside a link."""
    frame = pd.DataFrame(rows, columns=columns)
    shown = "\ufeff" + format_table(frame, format="csv")
    return f"data:text/csv;charset=utf-8;base64,{_base64(shown.encode())}"


def _base64(data: Any) -> str:  # noqa: ANN401 - bytes or a hash
    """Return bytes, or the digest of a hash, in base64."""
    raw = data if isinstance(data, bytes) else data.digest()
    return base64.b64encode(raw).decode("ascii")


def _font_face(text: str, embed_font: EmbedFont) -> str:
    """Return the style of a font with the Chinese characters of a page."""
    packed = web_subset(text)
    if not packed:
        return ""
    # Local fonts first: a reader who has one keeps it, and boxes are impossible.
    own = "".join(f'local("{name}"),' for name in _LOCAL_FONTS)
    before = own if embed_font == "auto" else ""
    return (
        f'@font-face{{font-family:"SL CJK";src:{before}'
        f'url(data:font/woff;base64,{packed}) format("woff");'
        f"unicode-range:{UNICODE_RANGE};font-display:block}}"
    )
