"""Every sentence that people read in plots and reports, in English and Chinese."""

import tomllib
from importlib.resources import files
from string import Formatter
from typing import Literal

from selfloop.core.settings import check_choice

Lang = Literal["en", "zh"]

_TERMS: dict[str, dict[str, str]] = {
    "stage.traffic": {"en": "Traffic", "zh": "流量"},
    "stage.conversion": {"en": "Conversion", "zh": "转化"},
    "stage.repurchase": {"en": "Repurchase", "zh": "复购"},
    "stage.referral": {"en": "Referral", "zh": "转介绍"},
    "source.paid": {"en": "paid", "zh": "付费"},
    "source.organic": {"en": "organic", "zh": "自然到来"},
    "source.referral": {"en": "referred", "zh": "被推荐"},
    "source.direct": {"en": "not referred", "zh": "非推荐"},
    "source.unknown": {"en": "unknown", "zh": "来源未知"},
    "segment.all": {"en": "all", "zh": "全部"},
    "segment.missing": {"en": "(missing)", "zh": "（缺失）"},
    "segment.other": {"en": "(other)", "zh": "（其他）"},
    "unit.days": {"en": "{n} d", "zh": "{n} 天"},
    "unit.people": {"en": "people", "zh": "人"},
    "unit.currency": {"en": "currency of the orders", "zh": "订单货币"},
}


def _words(name: str) -> dict[str, dict[str, str]]:
    """Read a file of words: those of plots and reports are many and hold no code."""
    return tomllib.loads(files("selfloop.outputs").joinpath(name).read_text("utf-8"))


_PLOTS = _words("plot_texts.toml")
_REPORT = (
    _words("report_texts.toml")
    | _words("referral_texts.toml")
    | _words("loop_texts.toml")
)

TEXTS: dict[str, dict[str, str]] = {**_TERMS, **_PLOTS, **_REPORT}
"""Every text: key -> language -> sentence with ``{named}`` places."""


def text(key: str, lang: Lang = "en", **values: object) -> str:
    """Return a text of the catalogue in one language, its places filled.

    Parameters
    ----------
    key : str
        A key of `TEXTS`.
    lang : {"en", "zh"}, optional
        Language.
    **values
        What goes into the ``{named}`` places, formatted by the caller.

    Returns
    -------
    str

    Raises
    ------
    SettingError
        When the language is not one of the two.
    KeyError
        When there is no such key, or a place has no value.

    Examples
    --------
    >>> text("stage.referral", "zh")
    '转介绍'
    >>> text("plot.end", end="2024-12-31")
    'data to 2024-12-31'
    """
    check_choice("lang", lang, ("en", "zh"))
    return TEXTS[key][lang].format(**values)


def places(sentence: str) -> set[str]:
    """Return the names of the places of a sentence.

    Parameters
    ----------
    sentence : str
        A sentence of the catalogue.

    Returns
    -------
    set of str

    Examples
    --------
    >>> sorted(places("{reached} of {n}"))
    ['n', 'reached']
    """
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}
