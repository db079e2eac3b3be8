"""Reasons that a measure gives in English, said in the language of the reader."""

import re
from functools import cache

from selfloop.outputs.text import TEXTS, Lang, places, text

_WHY = "why."
_WORDS = "because."
_AND = "; "  # between several reasons
_INNER = "reason"  # a place that holds another reason


def said_in(reason: str, lang: Lang) -> str:
    """Return a reason of a measure in one language.

    Parameters
    ----------
    reason : str
        As `Analysis.unavailable`, a `FitError` or the role of a model has it.
    lang : {"en", "zh"}
        Language.

    Returns
    -------
    str
        As it was given where the catalogue has no words for it.

    Notes
    -----
    The English texts ``why.*`` are the sentences of the measures with places for
    their numbers: a reason that one of them fits is said in the other language with
    the same numbers.

    Examples
    --------
    >>> said_in("a lifetime model needs at least 10 buyers; there are 4", "zh")
    '终身价值模型至少需要 10 位买家，现有 4 位'
    >>> said_in("the dog ate them", "zh")
    'the dog ate them'
    """
    if _WORDS + reason in TEXTS:
        return text(_WORDS + reason, lang)
    for key, pattern in _patterns():
        found = pattern.fullmatch(reason)
        if found and not any(_AND in value for value in found.groupdict().values()):
            values = found.groupdict()
            if _INNER in values:
                values[_INNER] = said_in(values[_INNER], lang)
            return text(key, lang, **values)
    if _AND in reason:
        parts = [said_in(part, lang) for part in reason.split(_AND)]
        return ("；" if lang == "zh" else _AND).join(parts)
    return reason


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Return what each reason looks like, its places as named groups."""
    return tuple(
        (key, re.compile(_pattern(said["en"]), re.DOTALL))
        for key, said in TEXTS.items()
        if key.startswith(_WHY)
    )


def _pattern(sentence: str) -> str:
    """Return a regular expression of a sentence with places."""
    pattern = re.escape(sentence)
    for place in places(sentence):
        pattern = pattern.replace(re.escape(f"{{{place}}}"), f"(?P<{place}>.+?)")
    return pattern
