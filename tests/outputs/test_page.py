"""The page in a browser: headless Chromium with the network off."""

import base64
import csv
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from selfloop.outputs.report import write_report
from selfloop.outputs.report.folding import to_columns
from selfloop.outputs.report.numbers import report_numbers
from selfloop.outputs.report.page import page, safe_json

AXE = Path(__file__).parents[1] / "fixtures" / "axe.min.js"
CHINESE = re.compile("[\u3400-\u9fff]")
ENGLISH = re.compile(r"\b(?:the|of|and|buyers|within)\b")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SHOPS = ("analysis", "orders_only", "nobody", "hostile", "young", "uneven")


@pytest.fixture(scope="module")
def files(request, tmp_path_factory):
    """A report of each shop, as a file."""
    folder = tmp_path_factory.mktemp("reports")
    return {
        name: write_report(
            request.getfixturevalue(name), folder / f"{name}.html", now=NOW
        ).path
        for name in SHOPS
    }


@pytest.fixture
def show(browser):
    """Open a file offline; at the end nothing may have gone wrong on the page."""
    wrong, contexts = [], []

    def opened(path, *, width=1200, scheme="light", **options):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme,
            offline=True, **options,
        )  # fmt: skip
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: wrong.append(f"console: {message.text}"))
        tab.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        tab.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        tab.on(
            "request",
            lambda r: (
                r.url.startswith(("file:", "data:", "blob:"))
                or wrong.append(f"request: {r.url}")
            ),
        )
        tab.goto(path.as_uri())
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def words_of_ours(tab):
    """All text of the page but what the user gave: names, columns, settings."""
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    tab.evaluate("document.querySelectorAll('.ex, .id').forEach(e => e.remove())")
    return tab.locator("main").inner_text()


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("name", SHOPS)
def test_the_page_opens_offline_without_sideways_scroll(show, files, name, width):
    tab = show(files[name], width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("h1").is_visible()
    assert tab.locator("#summary .kpi").count() == 8


@pytest.mark.parametrize(
    ("name", "scheme"),
    [("analysis", "light"), ("analysis", "dark"), ("orders_only", "dark"),
     ("nobody", "light"), ("hostile", "light"), ("young", "light"),
     ("uneven", "dark")],
)  # fmt: skip
def test_axe_finds_nothing(show, files, name, scheme):
    tab = show(files[name], scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    tab.evaluate(AXE.read_text("utf-8"))
    found = tab.evaluate("axe.run()")
    assert found["passes"]
    assert [(v["id"], [n["html"] for n in v["nodes"]])
            for v in found["violations"]] == []  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_scheme_can_be_chosen_against_the_system(show, files, scheme):
    tab = show(files["analysis"], scheme=scheme)
    colour = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(246, 247, 249)", "rgb(16, 21, 28)"
    assert tab.evaluate(colour) == {"light": light, "dark": dark}[scheme]
    tab.locator("label[for=t-dark]").click()
    assert tab.evaluate(colour) == dark
    tab.locator("label[for=t-light]").click()
    assert tab.evaluate(colour) == light


def test_the_language_switch_needs_no_script(show, files):
    tab = show(files["analysis"], java_script_enabled=False)
    finding = tab.locator(".finding")
    assert CHINESE.search(finding.inner_text())
    assert ENGLISH.search(finding.inner_text())
    tab.locator("label[for=l-en]").click()
    assert CHINESE.search(finding.inner_text()) is None
    assert "bought within 90 days" in finding.inner_text()
    tab.locator("label[for=l-zh]").click()
    assert ENGLISH.search(finding.inner_text()) is None
    assert "天内完成首购" in finding.inner_text()


@pytest.mark.parametrize(("switch", "other"), [("l-en", CHINESE), ("l-zh", ENGLISH)])
def test_the_switch_hides_all_of_the_other_language(show, files, switch, other):
    tab = show(files["analysis"])
    assert other.search(words_of_ours(tab))
    tab.locator(f"label[for={switch}]").click()
    assert other.search(words_of_ours(tab)) is None


@pytest.mark.parametrize(("lang", "root"), [("en", "en"), ("zh", "zh-Hans")])
def test_a_page_in_one_language_has_no_other(show, analysis, tmp_path, lang, root):
    path = write_report(analysis, tmp_path / "a.html", lang=lang, now=NOW).path
    tab = show(path)
    assert tab.locator("html").get_attribute("lang") == root
    assert tab.locator("#l-en").count() == 0
    other = CHINESE if lang == "en" else ENGLISH
    assert other.search(words_of_ours(tab)) is None


# Rectangles of the labels of a chart: in its card, and none over another.
OVERLAPS = """() => [...document.querySelectorAll('#lifetime figure')].flatMap(f => {
  const card = f.getBoundingClientRect();
  const boxes = [...f.querySelectorAll('svg text')]
    .map(t => [t.textContent, t.getBoundingClientRect()])
    .filter(([, b]) => b.width > 0);
  const out = boxes.filter(([, b]) => b.left < card.left || b.right > card.right)
    .map(([t]) => 'outside: ' + t);
  boxes.forEach(([t, a], i) => boxes.slice(i + 1).forEach(([u, b]) => {
    if (a.left < b.right - 1 && b.left < a.right - 1 &&
        a.top < b.bottom - 4 && b.top < a.bottom - 4) out.push(t + ' over ' + u);
  }));
  return out;
})"""


@pytest.mark.parametrize("switch", ["l-both", "l-en", "l-zh"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["analysis", "young", "uneven"])
def test_labels_of_the_lifetime_charts_stay_apart(show, files, name, width, switch):
    tab = show(files[name], width=width)
    tab.locator(f"label[for={switch}]").click()
    assert tab.locator("#lifetime figure svg text").count() > 0
    assert tab.evaluate(OVERLAPS) == []


def test_the_backtest_is_a_sentence_two_charts_and_a_table(show, files, analysis):
    tab = show(files["analysis"])
    tab.locator("label[for=l-en]").click()
    section = tab.locator("#lifetime")
    test = analysis.backtest
    assert f"Fitted on what was known on {test.at}, the model predicted" in (
        section.inner_text()
    )
    for ident in ("weeks", "calib"):
        assert section.locator(f"svg[aria-labelledby^={ident}-t]").is_visible()
    scores = section.locator("details").first
    assert not scores.locator("table").first.is_visible()
    scores.locator("summary").click()
    methods = scores.locator("table").first.locator("tbody th").all_inner_texts()
    assert methods == [*([test.model.label, "last period", "average", "own rate"] * 2)]


def test_without_a_backtest_the_page_says_why(show, files):
    tab = show(files["young"])
    section = tab.locator("#lifetime")
    tab.locator("label[for=l-en]").click()
    assert "not available: 69 days of data: a holdout" in section.inner_text()
    tab.locator("label[for=l-zh]").click()
    assert "数据仅 69 天" in section.inner_text()
    assert section.locator("svg[aria-labelledby^=weeks-t]").count() == 0


def test_without_a_model_the_page_says_why(show, files):
    tab = show(files["nobody"])
    tab.locator("label[for=l-zh]").click()
    said = tab.locator("#lifetime").inner_text()
    assert "终身价值模型至少需要 10 位买家，现有 0 位" in said


def test_without_a_spend_model_purchases_are_forecast(show, files):
    tab = show(files["uneven"])
    tab.locator("label[for=l-en]").click()
    section = tab.locator("#lifetime")
    said = section.inner_text()
    assert "more purchases. After the first purchase" in said
    assert "is so uneven that its mean does not exist" in said
    assert "Buyers by revenue to date" in said
    values = section.locator(".kpi .value").all_inner_texts()
    assert [value == "–" for value in values] == [False, True, False, False]


def test_parts_unfold_without_a_script(show, files):
    tab = show(files["analysis"], java_script_enabled=False)
    table = tab.locator("#funnel details table").first
    assert not table.is_visible()
    tab.locator("#funnel summary").first.click()
    assert table.is_visible()
    assert tab.locator("table").count() == tab.locator("table caption").count()
    assert tab.locator("th:not([scope])").count() == 0


def test_a_heading_sorts_the_advocates(show, files):
    tab = show(files["analysis"])
    cells = tab.locator("#advocates tbody tr td:nth-child(4)")

    def column():
        return [float(c.replace(",", "")) for c in cells.all_inner_texts()]

    heading = tab.locator("#advocates thead th:nth-child(4)")
    before = column()
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert column() == sorted(before, reverse=True) != before
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert column() == sorted(before)
    assert tab.locator("[aria-sort]").count() == 1


def test_hostile_ids_are_text(show, files, hostile_ids):
    tab = show(files["hostile"])
    shown = set(tab.locator("#advocates code").all_inner_texts())
    # The last of the chain brought nobody, so it is no advocate.
    assert {i for i in hostile_ids[:-1] if "202e" not in ascii(i)} <= shown
    assert tab.locator("img").count() == 0
    assert tab.locator("script").count() == 2
    data = json.loads(tab.locator("#selfloop-data").text_content())
    assert set(data["advocates"]["person_id"]) == set(hostile_ids[:-1])


def test_hostile_ids_are_inert_in_the_csv(show, files, hostile_ids):
    tab = show(files["hostile"])
    link = tab.locator("a[download='advocates.csv']").get_attribute("href")
    raw = base64.b64decode(link.split("base64,")[1])
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(raw.decode("utf-8-sig").splitlines()))
    cells = [cell for row in rows for cell in (row["person_id"], row["channel"])]
    assert {c.removeprefix("'") for c in cells} >= set(hostile_ids[:-1])
    assert not any(c[0] in "=+-@" for c in cells)


def test_the_numbers_can_be_saved(show, files):
    tab = show(files["analysis"])
    with tab.expect_download() as waiting:
        tab.locator("#json").click()
    assert waiting.value.suggested_filename == "analysis.json"
    saved = json.loads(Path(waiting.value.path()).read_text("utf-8"))
    beside = files["analysis"].with_suffix(".json").read_text("utf-8")
    assert saved == json.loads(beside)


def test_without_a_script_the_numbers_are_the_file_beside(show, files):
    tab = show(files["analysis"], java_script_enabled=False)
    assert tab.locator("#json").get_attribute("href") == "analysis.json"


def test_the_page_itself_forbids_other_scripts(browser, files, tmp_path):
    html = files["analysis"].read_text("utf-8")
    path = tmp_path / "a.html"
    planted = html.replace("</footer>", "</footer><script>window.planted=1</script>")
    path.write_text(planted, "utf-8")
    context = browser.new_context(offline=True)
    tab, said = context.new_page(), []
    tab.on("console", lambda message: said.append(message.text))
    tab.goto(path.as_uri())
    assert tab.evaluate("window.planted") is None
    assert ["Content Security Policy" in text for text in said] == [True]
    context.close()


class Nesting(HTMLParser):
    """Reads a page and notes each element that is closed in the wrong place."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong = [], []

    def handle_starttag(self, tag, _attrs):
        if tag not in {"meta", "link", "input"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, _attrs):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append((tag, self.getpos()))


@pytest.mark.parametrize("lang", ["both", "en", "zh"])
@pytest.mark.parametrize("name", SHOPS)
def test_elements_are_nested(request, name, lang):
    reader = Nesting()
    analysis = request.getfixturevalue(name)
    reader.feed(page(report_numbers(analysis), lang=lang, embed_font="never"))
    assert (reader.wrong, reader.open) == ([], [])


def test_the_page_is_small(analysis):
    html = page(report_numbers(analysis, now=NOW), embed_font="never")
    assert len(html.encode()) < 272_000


def test_the_font_has_what_the_page_needs(show, files, analysis):
    tab = show(files["analysis"])
    ready = "document.fonts.ready.then(() => document.fonts.check('16px \"SL CJK\"'))"
    assert tab.evaluate(ready)
    numbers = report_numbers(analysis, now=NOW)
    auto, always, never = (
        page(numbers, embed_font=choice) for choice in ("auto", "always", "never")
    )
    assert 'local("PingFang SC")' in auto
    assert "local(" not in always
    assert "@font-face" in always
    assert "@font-face" not in never


def test_marks_keep_their_colour_without_the_style_sheet(analysis):
    html = page(report_numbers(analysis, now=NOW))
    pictures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(pictures) == 14
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        for mark in root.iter():
            css = mark.get("class", "")
            assert ("fill" in mark.attrib) >= css.startswith("f-")
            assert ("stroke" in mark.attrib) >= css.startswith("s-")
    # Every picture but the small lines of the cards says what it is.
    assert sum('role="img"' in p and "<title" in p for p in pictures) == 11


def test_print_is_a_few_pages_with_all_parts_open(show, files, tmp_path):
    tab = show(files["analysis"])
    pdf = tab.pdf(path=tmp_path / "a.pdf", prefer_css_page_size=True)
    n_pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))
    assert 3 <= n_pages <= 15


def test_data_cannot_end_its_element():
    texts = ["</script>", "<!--", "]]>", "&amp;", "\u2028"]
    safe = str(safe_json(texts))
    assert not any(mark in safe for mark in "<>&\u2028")
    assert json.loads(safe) == texts


def test_a_name_far_too_long_does_not_break_the_page(show, analysis, tmp_path):
    numbers = report_numbers(analysis, title="店" * 300, now=NOW)
    rows = [{key: values[0] for key, values in numbers["advocates"].items()}]
    rows[0] |= {"person_id": "x" * 5000, "channel": "频道" * 900}
    path = tmp_path / "a.html"
    path.write_text(page(numbers | {"advocates": to_columns(rows)}), "utf-8")
    tab = show(path, width=390)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
