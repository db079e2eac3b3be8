"""Keep the documents true: what can be read off the code is read off the code.

Run ``python docs/refresh.py`` after changing a column, a module, a docstring or a
message. It writes ``docs/tables.md``, the list of modules in ``docs/architecture.md``,
the versions of packages in the README, and under each example what it really prints.
The tests fail while a document differs from what this module would write.
"""

import ast
import io
import os
import re
import tempfile
import tomllib
import warnings
from contextlib import contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

import selfloop as sl
from selfloop.core.schema import INPUT_ROLES, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]

READMES = ("README.md", "README.zh.md")
"""Documents with tables of packages."""

EXAMPLES = (*READMES, "docs/errors.md")
"""Documents with examples: a ``python`` block, then a ``text`` block."""

_MODULES = re.compile(r"(<!-- modules -->)\n.*?(<!-- end -->)", re.DOTALL)
_EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
_FOLDER = "/shop"

_MADE_BY = {
    "audit": ("`events.audit`", "Where every input row went."),
    "people": ("`sl.people(events)`", "One row per person, in the engine."),
    "funnel_stages": ("`sl.funnel(events).stages`", "What happened so far."),
    "funnel_windows": ("`sl.funnel(events).windows`", "Rates within W days."),
    "repurchase_steps": (
        "`sl.repurchase(events).steps`",
        "From each purchase to the next, so far.",
    ),
    "repurchase_windows": (
        "`sl.repurchase(events).windows`",
        "From each purchase to the next, within W days.",
    ),
    "repurchase_days": (
        "`sl.repurchase(events).days`",
        "How long those take who return within W days.",
    ),
    "repurchase_gaps": (
        "`sl.repurchase_gaps(events).bins`",
        "By days since the last purchase.",
    ),
    "repurchase_reminders": (
        "`sl.repurchase_gaps(events).reminders`",
        "When customers come back, one row per segment.",
    ),
    "customer_gaps": (
        "`sl.customer_gaps(events)`",
        "One row per buyer, in the engine.",
    ),
    "product_gaps": (
        "`sl.product_gaps(events).products`",
        "When products are bought again.",
    ),
    "product_customers": (
        "`sl.product_gaps(events).people`",
        "One row per customer and product, in the engine.",
    ),
    "returning": (
        "`sl.returning(events).table`",
        "New and returning customers, and three rates by period.",
    ),
    "stage_times": ("`sl.stage_times(events).quantiles`", "When people come."),
    "stage_times_curve": ("`sl.stage_times(events).curve`", "The same day by day."),
    "drop_offs": (
        "`sl.drop_offs(events, stage)`",
        "Who is stuck; one row per person, in the engine.",
    ),
    "segment_differences": (
        "`sl.compare_segments(events, by).table`",
        "Which segments differ.",
    ),
    "analyses_compared": (
        "`sl.compare(first, second).table`",
        "What has changed.",
    ),
    "cohorts": (
        "`sl.cohorts(events).table`",
        "Who comes back, how often and for how much, by period of the first purchase.",
    ),
    "cohort_ages": (
        "`sl.cohorts(events).mean_by_age()`",
        "What an average customer does at each age.",
    ),
    "cohort_projection": (
        "`sl.project_cohorts(cohorts).table`",
        "How far each cohort will get.",
    ),
    "cohort_factors": (
        "`sl.project_cohorts(cohorts).factors`",
        "How cohorts grow from each age to the next.",
    ),
    "lifecycle": (
        "`sl.lifecycle(events).table`",
        "Active, dormant and lost customers, and every move between.",
    ),
    "lifecycle_previous": (
        "`sl.lifecycle(events).previous`",
        "The same with a memory of one period.",
    ),
    "rfm": ("`sl.rfm(events).table`", "Segments by recency and frequency."),
    "rfm_grid": ("`sl.rfm(events).grid`", "Every pair of two scores."),
    "rfm_bounds": ("`sl.rfm(events).bounds`", "Which values have which score."),
    "rfm_people": (
        "`sl.rfm(events).people`",
        "One row per customer, in the engine.",
    ),
    "migration": (
        "`sl.migration(events, start).table`",
        "Where customers of each state went.",
    ),
    "segment_profile": (
        "`sl.segment_profile(events, by).table`",
        "What segments are like so far.",
    ),
    "segment_after": (
        "`sl.segment_profile(events, by).after`",
        "What segments did after a day.",
    ),
    "lifetime_people": (
        "`sl.fit_lifetime(events).predict()`",
        "One row per buyer, in the engine.",
    ),
    "lifetime_intervals": (
        "`sl.fit_lifetime(events).predict_intervals()`",
        "How sure, and what may happen; one row per buyer, in the engine.",
    ),
    "lifts": ("`sl.fit_lifetime(events, covariates=[...]).lifts()`", "Covariates."),
    "covariate_tests": (
        "`sl.fit_lifetime(events, covariates=[...]).tests`",
        "Likelihood-ratio tests.",
    ),
    "new_customers": ("`model.new_customers(by)`", "By level of a covariate."),
    "model_comparison": ("`sl.compare_models(events).table`", "Models side by side."),
    "spend_distribution": (
        "`sl.spend_distribution(model).table`",
        "Mean repeat spend, beside the model.",
    ),
    "backtest_scores": (
        "`sl.backtest_lifetime(events).scores`",
        "The model beside naive methods.",
    ),
    "backtest_deciles": ("`sl.backtest_lifetime(events).deciles`", "Calibration."),
    "backtest_weeks": ("`sl.backtest_lifetime(events).weeks`", "Tracking."),
    "backtest_frequencies": (
        "`sl.backtest_lifetime(events).frequencies`",
        "By purchases up to the cut.",
    ),
    "generations": ("`sl.referral_network(events).generations`", "By generation."),
    "trees": ("`sl.referral_network(events).trees`", "The 100 largest trees."),
    "network_people": (
        "`sl.referral_network(events).people`",
        "One row per person of the network, in the engine.",
    ),
    "link_people": (
        "`sl.link_network(links, values).people`",
        "One row per person, a table of Arrow.",
    ),
    "link_trees": (
        "`sl.link_network(links, values).trees`",
        "The 100 largest trees.",
    ),
    "customer_value": (
        "`sl.customer_value(events)`",
        "One row per customer, in the engine.",
    ),
    "order_credits": (
        "`sl.order_credits(events, order_ids)`",
        "One row per order and person who gets a part of it.",
    ),
    "referral_times": (
        "`sl.referral_times(events).steps`",
        "How long it takes to bring others.",
    ),
    "referral_times_curve": (
        "`sl.referral_times(events).curve`",
        "The same day by day.",
    ),
    "concentration": (
        "`sl.concentration(events).shares`",
        "How few bring how much.",
    ),
    "lorenz": (
        "`sl.concentration(events).curve`",
        "Lorenz curves.",
    ),
    "anomaly_rules": (
        "`sl.referral_anomalies(events).rules`",
        "Every rule and what it found.",
    ),
    "anomalies": (
        "`sl.referral_anomalies(events).flags`",
        "Who is flagged by which rule.",
    ),
    "anomaly_links": (
        "`sl.referral_anomalies(events).links()`",
        "The flagged referrals.",
    ),
    "value_grid": (
        "`sl.value_grid(values).cells`",
        "Four kinds of customers.",
    ),
    "grid_people": (
        "`sl.value_grid(values).people`",
        "The kind of everybody, in the engine.",
    ),
    "advocates": (
        "`sl.value_grid(values).advocates`",
        "The 100 with the most social value.",
    ),
    "referrals_ahead": (
        "`sl.fit_referrals(events).predict()`",
        "One row per buyer, in the engine.",
    ),
    "referred_differences": (
        "`sl.compare_referred(events).differences`",
        "Referred people beside others.",
    ),
    "referred_months": (
        "`sl.compare_referred(events).by_month`",
        "What the differences are made of.",
    ),
    "referrer_tenure": (
        "`sl.compare_referred(events).tenure`",
        "Referees by tenure of the referrer.",
    ),
    "referrer_active": (
        "`sl.compare_referred(events).survival`",
        "Lapses while the referrer is active and after.",
    ),
    "link_clustering": (
        "`sl.compare_referred(events).clustering`",
        "What goes along links.",
    ),
    "loop_months": ("`sl.self_loop(events).months`", "What carried each month."),
    "reproduction": ("`sl.self_loop(events).reproduction`", "R(H) by horizon."),
    "reproduction_curve": ("`sl.self_loop(events).curve`", "M(a) day by day."),
    "loop_weeks": ("`sl.self_loop(events).weeks`", "What carried each week."),
    "loop_lineage": (
        "`sl.self_loop(events).lineage`",
        "What came of people whom nobody brought, by their source.",
    ),
    "loop_lineage_months": (
        "`sl.self_loop(events).lineage_months`",
        "The same by month.",
    ),
    "reproduction_segments": ("`sl.reproduction(events, by).table`", "R by group."),
    "reproduction_segments_curve": (
        "`sl.reproduction(events, by).curve`",
        "M(a) by group.",
    ),
    "reproduction_trend": (
        '`sl.reproduction(events, "first_order_quarter").trend`',
        "Whether R changes from cohort to cohort.",
    ),
    "cascades": ("`sl.loop_growth(events).cascades`", "Sizes of cascades."),
    "loop_cells": (
        "`sl.analyze(events).outlook.cells`",
        "What people did by age: all of the outlook is computed from it.",
    ),
    "loop_cohorts": (
        "`sl.project_loop(events).cohorts`",
        "How much more or less the buyers of each 30 days do than the average cohort.",
    ),
    "visitor_value": (
        "`sl.visitor_value(events).table`",
        "What visitors and buyers are worth.",
    ),
    "spend_channels": (
        "`sl.acquisition_cost(events).channels`",
        "What advertising costs and returns.",
    ),
    "spend_months": ("`sl.acquisition_cost(events).months`", "The same by month."),
    "spend_trends": (
        "`sl.acquisition_cost(events).trends`",
        "How buyers moved with spend.",
    ),
    "projection_months": ("`sl.project_loop(events).months`", "Months to come."),
    "projection_totals": ("`sl.project_loop(events).totals`", "All of them together."),
    "stage_leverage": ("`sl.stage_leverage(events).table`", "Which stage to mend."),
    "what_if": ("`sl.what_if(events, ...).table`", "What a target would do."),
    "loop_backtest": (
        "`sl.backtest_loop(events).table`",
        "An earlier projection beside what happened.",
    ),
}

_HEAD = """\
# Every table and every public name

Made by `python docs/refresh.py` from `src/selfloop/core/schema.py` and the
docstrings; a test compares. Definitions and formulas are in [methods.md](methods.md).

Kinds: `int` counts; `share` a fraction from 0 to 1; `money` in the currency of the
orders; `days` in days; `time` local time, without a zone; `month` text such as
`2026-03`; `float` has no unit. A missing value is missing (NaN, NA, NaT), never 0.
"""


def tables_page() -> str:
    """Return the text of ``docs/tables.md``."""
    parts = [_HEAD, "## Input tables\n"]
    for table, roles in INPUT_ROLES.items():
        lines = [f"| `{r.name}` | {r.kind} | {r.need} | {r.meaning} |" for r in roles]
        parts.append(_table(f"`{table}`", "column | kind | need | meaning", lines))
    parts.append("## Tables that come back\n")
    for table, columns in TABLES.items():
        call, about = _MADE_BY[table]
        lines = [f"| `{c.name}` | {c.kind} | {c.meaning} |" for c in columns]
        title = f"`{table}`\n\n{call}. {about}"
        parts.append(_table(title, "column | kind | meaning", lines))
    parts.append("## Public names\n\n" + _public_names())
    return "\n".join(parts)


def _table(title: str, heads: str, lines: list[str]) -> str:
    """Return a heading and a table."""
    rule = "|" + "---|" * (heads.count("|") + 1)
    return "\n".join([f"### {title}", "", f"| {heads} |", rule, *lines, ""])


def _public_names() -> str:
    """Return the public names with the first line of their docstrings."""
    lines = ["| name | what it answers |", "|---|---|"]
    for name in sorted(set(sl.__all__) - {"__version__"}, key=str.casefold):
        first = (getattr(sl, name).__doc__ or "").strip().splitlines()[0]
        lines.append(f"| `sl.{name}` | {first} |")
    return "\n".join([*lines, "| `sl.__version__` | Version of the package. |", ""])


def with_modules(text: str) -> str:
    """Return a document with the list of modules as they are now.

    Parameters
    ----------
    text : str
        A document with the marks ``<!-- modules -->`` and ``<!-- end -->``.

    Returns
    -------
    str
    """
    source = ROOT / "src/selfloop"
    lines = ["| module | what it does |", "|---|---|"]
    for folder in ("core", "kernels", "inputs", "measures", "outputs", "cli"):
        for path in sorted((source / folder).rglob("*.py")):
            about = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
            name = path.relative_to(source).as_posix().removesuffix("/__init__.py")
            lines.append(f"| `{name}` | {about.splitlines()[0]} |")
    return _MODULES.sub(lambda m: "\n".join([m[1], *lines, "", m[2]]), text)


def with_versions(text: str) -> str:
    """Return a README whose tables of packages have the versions of the project.

    Parameters
    ----------
    text : str
        A document with a row for each package, and one for each extra.

    Returns
    -------
    str
        Rows are not added or taken away: each needs a reason, which nobody but a
        person can write.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for package in project["dependencies"]:
        name = re.escape(re.split("[<>=]", package)[0])
        row = re.compile(rf"^\| `{name}[<>=][^`]*` \|", re.MULTILINE)
        text = row.sub(f"| `{package}` |", text)
    for extra, packages in project["optional-dependencies"].items():
        listed = ", ".join(f"`{package}`" for package in packages)
        row = re.compile(rf"^\| `{extra}` \| `[^|]*` \|", re.MULTILINE)
        text = row.sub(f"| `{extra}` | {listed} |", text)
    return text


def with_outputs(text: str) -> str:
    """Return a document with the outputs that its examples print now.

    Parameters
    ----------
    text : str
        A document in Markdown.

    Returns
    -------
    str
        The same, what stands in each ``text`` block replaced.
    """

    def renewed(found: re.Match[str]) -> str:
        """Return one example with its output."""
        code = found.group(1)
        return f"```python\n{code}```\n\n```text\n{output(code)}\n```"

    return _EXAMPLE.sub(renewed, text)


@cache
def output(code: str) -> str:
    """Run an example in an empty folder and return what a reader would see.

    Parameters
    ----------
    code : str
        Statements; the value of a last expression is shown, and an error or a
        warning of selfloop by its name and text. ``pd`` and ``sl`` are there, and
        so is the folder ``data`` of the project.

    Returns
    -------
    str
    """
    *body, last = ast.parse(code).body
    if isinstance(last, ast.Expr):
        call = ast.Call(ast.Name("show", ast.Load()), [last.value], [])
        last = ast.Expr(call)
    tree = ast.fix_missing_locations(ast.Module([*body, last], []))
    shown = io.StringIO()

    def show(value: object) -> None:
        """Write the value of the last expression as a console does."""
        shown.write("" if value is None else f"{value!r}\n")

    names: dict[str, Any] = {"pd": pd, "sl": sl, "Path": Path, "show": show}
    with _workplace() as folder, redirect_stdout(shown), _seen(shown):
        try:
            exec(compile(tree, "example", "exec"), names)
        except sl.SelfloopError as error:
            shown.write(f"{type(error).__name__}: {error}\n")
    lines = shown.getvalue().replace(folder, _FOLDER).rstrip().split("\n")
    return "\n".join(line.rstrip() for line in lines)


@contextmanager
def _workplace() -> "Iterator[str]":
    """Work in a scratch folder that sees the data of the project."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "data").symlink_to(ROOT / "data")
        os.chdir(folder)
        try:
            with pd.option_context("display.width", 96, "display.max_columns", 12):
                yield str(folder)
        finally:
            os.chdir(before)


@contextmanager
def _seen(shown: io.StringIO) -> "Iterator[None]":
    """Write the warnings of selfloop below the output; others stay warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for one in caught:
        if issubclass(one.category, (sl.DataWarning, sl.FitWarning)):
            shown.write(f"{one.category.__name__}: {one.message}\n")


def main() -> None:
    """Write all that is read off the code."""
    (ROOT / "docs/tables.md").write_text(tables_page(), encoding="utf-8")
    steps = [("docs/architecture.md", with_modules)]
    steps += [(name, with_versions) for name in READMES]
    steps += [(name, with_outputs) for name in EXAMPLES]
    for name, step in steps:
        path = ROOT / name
        path.write_text(step(path.read_text("utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
