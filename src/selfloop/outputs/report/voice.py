"""The two languages of a page: one text in English, in Chinese, or in both."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

from selfloop.outputs.report.reasons import said_in
from selfloop.outputs.report.sentence import Sentence
from selfloop.outputs.text import TEXTS, Lang, text

PageLang = Literal["both", "en", "zh"]

_STRONG = re.compile(r"\*\*(.+?)\*\*")


@dataclass(frozen=True)
class Voice:
    """Says texts of the catalogue in the languages of a page.

    Parameters
    ----------
    lang : {"both", "en", "zh"}
        With ``"both"`` each text is there twice, and the switch of the page hides
        one of them.
    """

    lang: PageLang

    @property
    def langs(self) -> tuple[Lang, ...]:
        """The languages of the page, English first."""
        return ("en", "zh") if self.lang == "both" else (self.lang,)

    @property
    def root(self) -> str:
        """The language code of the page as a whole."""
        return "zh-Hans" if self.lang == "zh" else "en"

    def say(self, key: str, **values: object) -> Markup:
        """Return a text inside a line; the style writes a stroke between the two."""
        return self._joined(key, values, Markup(""))

    def head(self, key: str, **values: object) -> Markup:
        """Return a heading; a space stands between the two."""
        return self._joined(key, values, Markup(" "))

    def drawn(self, key: str, **values: object) -> Markup:
        """Return a text inside a picture: ``English · 中文``, each in its own part."""
        said = {lang: self._one(key, lang, values) for lang in self.langs}
        if len(set(said.values())) == 1:
            return next(iter(said.values()))
        return Markup('<tspan class="sep"> · </tspan>').join(
            Markup("<tspan{}>{}</tspan>").format(self._mark(lang), words)
            for lang, words in said.items()
        )

    def each(self, key: str, **keys: str) -> Markup:
        """Return a text whose places are filled with other texts of the catalogue."""
        said = {
            lang: self._one(key, lang, {k: text(v, lang) for k, v in keys.items()})
            for lang in self.langs
        }
        return self._marked(said, Markup(""))

    def block(self, key: str, **values: object) -> Markup:
        """Return a paragraph for each language."""
        return Markup("").join(
            Markup("<p{}>{}</p>").format(self._mark(lang), self._one(key, lang, values))
            for lang in self.langs
        )

    def paragraphs(self, sentences: Sequence[Sentence]) -> Markup:
        """Return sentences as one paragraph for each language; nothing without any."""
        if not sentences:
            return Markup("")
        return Markup("").join(
            Markup("<p{}>{}</p>").format(
                self._mark(lang),
                Markup("" if lang == "zh" else " ").join(
                    self._one(s.key, lang, dict(s.values)) for s in sentences
                ),
            )
            for lang in self.langs
        )

    def plain(self, key: str, **values: object) -> str:
        """Return a text without marks, for titles and labels that are read out."""
        return " · ".join(dict.fromkeys(text(key, x, **values) for x in self.langs))

    def known(self, key: str, otherwise: str) -> Markup:
        """Say a text when there is one of that key, and else show what was given."""
        return self.say(key) if key in TEXTS else escape(otherwise)

    def reason(self, reason: str) -> Markup:
        """Say a reason of a measure, as given where there are no words for it."""
        said = {lang: escape(said_in(reason, lang)) for lang in self.langs}
        return self._marked(said, Markup(""))

    def _one(self, key: str, lang: Lang, values: dict[str, object]) -> Markup:
        """Return an escaped text with its strong parts marked."""
        safe = str(escape(text(key, lang, **values)))
        return Markup(_STRONG.sub(r"<b>\1</b>", safe))

    def _mark(self, lang: Lang) -> Markup:
        """Return the attribute of a part in one language."""
        if self.lang != "both":
            return Markup("")
        return Markup(' lang="zh-Hans"' if lang == "zh" else ' lang="en"')

    def _joined(self, key: str, values: dict[str, object], gap: Markup) -> Markup:
        """Join the languages of a page."""
        return self._marked(
            {lang: self._one(key, lang, values) for lang in self.langs}, gap
        )

    def _marked(self, said: dict[Lang, Markup], gap: Markup) -> Markup:
        """Mark each language; a text that reads the same in both stands once."""
        if len(set(said.values())) == 1:
            return next(iter(said.values()))
        return gap.join(
            Markup("<span{}>{}</span>").format(self._mark(lang), words)
            for lang, words in said.items()
        )
