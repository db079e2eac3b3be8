"""The catalogue of words, and the font that can show them."""

import base64
import io
import re

import pytest
from fontTools.ttLib import TTFont

from selfloop.core.errors import SettingError
from selfloop.outputs import text as catalogue
from selfloop.outputs.fonts import FONT_FAMILY, FONT_FILE, web_subset
from selfloop.outputs.text import TEXTS, places, text

CHINESE = re.compile("[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")


@pytest.fixture(scope="module")
def font():
    """The shipped font."""
    with TTFont(FONT_FILE) as opened:
        yield opened


def woff_characters(encoded: str) -> set[str]:
    """Characters of a font for a web page."""
    data = base64.b64decode(encoded)
    assert data[:4] == b"wOFF"
    with TTFont(io.BytesIO(data)) as opened:
        return {chr(c) for c in opened.getBestCmap()}


@pytest.mark.parametrize("key", sorted(TEXTS))
def test_every_text_exists_in_both_languages_with_the_same_places(key):
    assert set(TEXTS[key]) == {"en", "zh"}
    assert all(sentence.strip() for sentence in TEXTS[key].values())
    assert places(TEXTS[key]["en"]) == places(TEXTS[key]["zh"])


def test_english_texts_hold_no_chinese():
    mixed = [key for key, value in TEXTS.items() if CHINESE.search(value["en"])]
    assert mixed == []


def test_no_key_stands_twice():
    parts = [catalogue._TERMS, catalogue._PLOTS, catalogue._REPORT]
    assert sum(map(len, parts)) == len(TEXTS)


def test_places_are_filled():
    # funnel.count: "{reached} of {n}" and "{n} 人中 {reached} 人"
    assert text("funnel.count", reached=3, n=10) == "3 of 10"
    assert text("funnel.count", "zh", reached=3, n=10) == "10 人中 3 人"


def test_an_unknown_language_is_an_error():
    with pytest.raises(SettingError, match="lang must be one of 'en', 'zh'; got 'fr'"):
        text("stage.traffic", "fr")


def test_an_unknown_key_is_an_error():
    with pytest.raises(KeyError, match="no_such"):
        text("no_such")


def test_a_place_without_value_is_an_error():
    with pytest.raises(KeyError, match="n"):
        text("funnel.traffic")


def test_the_font_has_every_character_of_the_catalogue(font):
    used = {c for value in TEXTS.values() for c in value["zh"] if c.isprintable()}
    assert {c for c in used if ord(c) not in font.getBestCmap()} == set()


def test_the_font_has_all_of_gb2312(font):
    # Rows 16 to 87 hold the 3,755 + 3,008 = 6,763 characters of levels 1 and 2.
    cells = [
        bytes([row, cell]) for row in range(0xB0, 0xF8) for cell in range(161, 255)
    ]
    characters = "".join(cell.decode("gb2312", "ignore") for cell in cells)
    assert len(characters) == 6763
    assert {c for c in characters if ord(c) not in font.getBestCmap()} == set()


def test_the_font_has_a_name_of_its_own_and_its_licence(font):
    names = {number: font["name"].getDebugName(number) for number in (1, 4, 6, 13)}
    assert names[1] == names[4] == FONT_FAMILY
    assert "Noto" not in names[1] + names[6]
    assert "SIL Open Font License" in names[13]
    licence = FONT_FILE.with_name("OFL.txt").read_text("utf-8")
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence
    assert FONT_FILE.stat().st_size < 1.6e6


def test_web_subset_holds_the_chinese_characters_of_a_text_and_no_others():
    assert woff_characters(web_subset("自循环率 R = 0.3，自")) == set("自循环率，")


def test_web_subset_is_the_same_for_the_same_characters():
    assert web_subset("循环自") == web_subset("自自循环 loop")


def test_web_subset_of_what_the_font_lacks_is_empty():
    assert web_subset("") == ""
    assert web_subset("plain ASCII, ¥") == ""
    assert web_subset("𠮷") == ""


def test_web_subset_of_the_catalogue_is_small():
    page = "".join(value["zh"] for value in TEXTS.values())
    assert len(web_subset(page)) < 200_000
