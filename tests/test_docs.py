"""The documents say what the code does: codes, columns, names, examples, packages."""

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

import selfloop as sl
from selfloop.core.schema import INPUT_ROLES, TABLES
from selfloop.inputs.validate import REASONS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

import refresh  # noqa: E402 - a script beside the documents

REFRESH = "run: python docs/refresh.py"


def read(name):
    return (ROOT / name).read_text("utf-8")


def source_files():
    files = [p for p in (ROOT / "src").rglob("*") if p.suffix in (".py", ".toml")]
    assert len(files) > 50
    return files


def sections(text):
    """Heading of each code to what stands under it."""
    parts = re.split(r"^### (SL\d{3}) · (.+)$", text, flags=re.MULTILINE)
    codes, titles, bodies = parts[1::3], parts[2::3], parts[3::3]
    assert len(set(codes)) == len(codes), "a code has two sections"
    return dict(zip(codes, zip(titles, bodies, strict=True), strict=True))


def test_every_code_is_explained_and_no_other():
    used = set()
    for path in source_files():
        used |= set(re.findall(r"SL\d{3}", path.read_text("utf-8")))
    assert set(sections(read("docs/errors.md"))) == used


def test_every_section_of_a_code_says_what_to_do():
    for code, (_, body) in sections(read("docs/errors.md")).items():
        if code != "SL000":
            assert "**Fix:**" in body, code


@pytest.mark.parametrize("code", [code for code in REASONS if code])
def test_a_reason_of_the_audit_is_the_title_of_its_section(code):
    reason, outcome, _ = REASONS[code]
    title, body = sections(read("docs/errors.md"))[code]
    assert title == reason
    if code < "SL200":
        assert body.strip().startswith(outcome.replace("_", " ").capitalize())


def test_the_rules_of_referrals_stand_in_both_languages_in_order():
    codes = ["SL110", "SL201", "SL111", "SL202", "SL121", "SL203", "SL208", "SL204",
             "SL206", "SL205", "SL207"]  # fmt: skip
    for name in ("docs/methods.md", "docs/methods.zh.md"):
        rows = re.findall(r"^\| \d+ \|.*\| `(SL\d+)` \|$", read(name), re.MULTILINE)
        assert rows == codes, name


def test_tables_are_those_of_the_schema():
    assert read("docs/tables.md") == refresh.tables_page(), REFRESH


def test_every_column_and_every_public_name_is_there():
    page = read("docs/tables.md")
    for table, columns in (TABLES | INPUT_ROLES).items():
        part = page.split(f"### `{table}`")[1].split("\n### ")[0]
        for column in columns:
            assert f"| `{column.name}` |" in part, f"{table}.{column.name}"
    for name in sl.__all__:
        assert f"| `sl.{name}` |" in page, name


def test_modules_are_those_of_the_source():
    page = read("docs/architecture.md")
    assert page == refresh.with_modules(page), REFRESH
    assert "| `kernels/forest.py` |" in page


@pytest.mark.parametrize("name", refresh.EXAMPLES)
def test_examples_print_what_stands_under_them(name):
    page = read(name)
    assert "```text\n" in page
    assert page == refresh.with_outputs(page), REFRESH


def test_an_example_that_prints_something_else_is_noticed():
    page = "```python\nprint(1 + 1)\n1 / 4\n```\n\n```text\n3\n```\n"
    assert refresh.with_outputs(page) == page.replace("3\n", "2\n0.25\n")


def test_an_example_shows_errors_and_warnings_of_selfloop_alone():
    code = "raise sl.SettingError('too large')"
    assert refresh.output(code) == "SettingError: too large"
    code = "import warnings\nwarnings.warn('few', sl.FitWarning)\nprint(1)"
    assert refresh.output(code) == "1\nFitWarning: few"
    with pytest.raises(ZeroDivisionError, match="division"):
        refresh.output("1 / 0")


def without_blocks(page):
    return re.sub(r"```.*?```", "", page, flags=re.DOTALL)


def formulas(name):
    """The formulas of a document without their words."""
    found = re.findall(r"^```math\n(.*?)\n```$", read(name), re.MULTILINE | re.DOTALL)
    return [re.sub(r"\\text\{[^}]*\}|\s", "", f) for f in found]


def test_both_languages_have_the_same_formulas_and_sections():
    english, chinese = formulas("docs/methods.md"), formulas("docs/methods.zh.md")
    assert len(english) > 20
    # The order of words differs inside one formula: "referrals of i", "i 的推荐".
    assert [sorted(f) for f in english] == [sorted(f) for f in chinese]
    numbers = [
        re.findall(r"^##+ ([\d.]+) ", read(name), re.MULTILINE)
        for name in ("docs/methods.md", "docs/methods.zh.md")
    ]
    assert numbers[0] == numbers[1]


def test_both_languages_name_the_same_columns_and_settings():
    names = [
        set(
            re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", read(name), flags=re.S))
        )
        for name in ("docs/methods.md", "docs/methods.zh.md")
    ]
    ours = {"monospace", "等宽字体"}
    assert names[0] - ours == names[1] - ours


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_readme_lists_exactly_the_packages_of_the_project(name):
    project = tomllib.loads(read("pyproject.toml"))["project"]
    page = read(name)
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \|$", page, re.MULTILINE)
    needed = [row for row in rows if re.search(r"[<>=]=?\d", row)]
    assert needed == project["dependencies"]
    extras = {
        extra: re.findall(r"`([^`]+)`", packages)
        for extra, packages in re.findall(
            r"^\| `(\w+)` \| (`[^|]+`) \| [^|]+ \|$", page, re.MULTILINE
        )
        if extra in project["optional-dependencies"]
    }
    assert extras == project["optional-dependencies"]


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_readme_lists_the_columns_that_are_read(name):
    page = read(name)
    for table, roles in INPUT_ROLES.items():
        row = re.search(rf"^\| {table}\b.*$", page, re.MULTILINE)
        assert row is not None, table
        assert set(re.findall(r"`(\w+)`", row[0])) == {role.name for role in roles}


def pages():
    names = [p.relative_to(ROOT).as_posix() for p in ROOT.glob("*.md")]
    return names + [p.relative_to(ROOT).as_posix() for p in DOCS.rglob("*.md")]


def anchor(heading):
    """The name that a heading gets on the usual hosts."""
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


@pytest.mark.parametrize("name", pages())
def test_links_lead_somewhere(name):
    page = without_blocks(read(name))
    links = re.findall(r"\]\(([^)\s]+)\)", page)
    for link in links:
        if link.startswith("http"):
            continue
        path, _, part = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if part:
            heads = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            assert part in [anchor(head) for head in heads], link


def test_the_truth_in_the_readme_is_that_of_the_sample():
    truth = json.loads(read("data/sample/truth.json"))
    for name in ("README.md", "README.zh.md"):
        page = read(name)
        assert f"R = {truth['reproduction_total']:g}" in page
        assert f"{truth['reproduction']['90']:.3f}" in page
        share = 100 * truth["conversion"]["90"]
        assert f"{share:.1f}" in page


def test_the_changelog_has_the_version():
    assert f"## {sl.__version__}" in read("CHANGELOG.md")
