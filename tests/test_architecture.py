"""The rules of the folder, checked on the source itself."""

import ast
import inspect
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pandas as pd
import pytest

import selfloop as sl
from selfloop.core import schema
from selfloop.core.settings import Sharing
from selfloop.measures.loop.cells import loop_cells
from selfloop.measures.social import value_table

SRC = Path(sl.__file__).parent
FILES = sorted(SRC.rglob("*.py"))
MAX_LINES = 400
MAX_BODY = 60
"""Lines of a function beside its docstring: what fits a screen."""

LONGER = {
    "inputs/validate.py": "one code for each row, and the account of them all",
    "core/display.py": "one way to show a table, as text and as HTML",
    "core/schema.py": "every column of every table, a line each",
    "inputs/events.py": "one object, what it tells, and how it is put together",
    "kernels/bg_bb.py": "one model: likelihood and predictions, with formulas",
    "kernels/cnbd_k.py": "one model: likelihood and predictions, with formulas",
    "cli/commands.py": "one list: the words and options of every command",
    "kernels/fitting.py": "one optimiser and its standard errors, with formulas",
    "kernels/forest.py": "one structure; most lines are definitions and examples",
    "kernels/gamma_gamma.py": "one model: likelihood and predictions, with formulas",
    "kernels/independence.py": "one question, with what its answer is made of",
    "kernels/ledger.py": "one ledger in three forms; most lines are definitions",
    "kernels/network.py": "one structure; most lines are definitions and examples",
    "kernels/pareto_nbd.py": "one model: likelihood and predictions, with formulas",
    "kernels/pdo.py": "one model: likelihood and predictions, with formulas",
    "kernels/survival.py": "two estimators of one kind, with formulas and sources",
    "measures/lifetime/fit.py": "one call with its choices and what leads to it",
    "measures/lifetime/result.py": "one result with what it can predict",
    "outputs/report/charts.py": "the drawings of one page",
}
"""Modules that may pass the limit, and why."""

LATE = {"matplotlib", "jinja2", "rich", "networkx", "scipy", "pandas", "ibis", "numpy"}
"""Packages that ``import selfloop`` must not load."""

NEED_MORE = {
    "lifetime_people", "lifetime_intervals", "lifts", "covariate_tests",
    "new_customers", "model_comparison", "spend_distribution", "backtest_scores",
    "backtest_deciles", "backtest_weeks", "backtest_frequencies", "generations",
    "trees", "network_people", "order_credits", "referral_times",
    "referral_times_curve", "concentration", "lorenz", "anomaly_rules", "anomalies",
    "anomaly_links", "link_people", "link_trees", "referred_differences",
    "referred_months", "referrer_tenure", "referrer_active", "link_clustering",
    "referrals_ahead", "value_grid", "grid_people", "advocates",
    "reproduction_segments", "reproduction_segments_curve", "reproduction_trend",
    "cascades", "spend_channels", "spend_months", "spend_trends", "projection_months",
    "projection_totals", "stage_leverage", "what_if", "loop_backtest",
    "loop_cohorts", "product_gaps", "product_customers", "drop_offs",
    "segment_differences", "analyses_compared", "migration", "segment_after",
}  # fmt: skip
"""Tables that a shop of one order does not have."""

PUBLIC = [name for name in sl.__all__ if not name.startswith("__")]
CALLS = [name for name in PUBLIC if inspect.isfunction(getattr(sl, name))]


def name_of(path):
    return path.relative_to(SRC).as_posix()


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def functions_of(tree):
    """List functions and methods; not what is defined inside a function."""
    places = [
        tree,
        *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)),
    ]
    return [n for place in places for n in place.body if isinstance(n, ast.FunctionDef)]


# Modules and functions


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_modules_say_what_they_are_for_and_are_short(path):
    assert ast.get_docstring(tree_of(path)), "no docstring"
    n_lines = path.read_text(encoding="utf-8").count("\n")
    assert n_lines <= MAX_LINES or name_of(path) in LONGER, f"{n_lines} lines"


def test_no_exception_is_kept_longer_than_needed():
    for name, reason in LONGER.items():
        assert reason
        assert (SRC / name).read_text(encoding="utf-8").count("\n") > MAX_LINES, name


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_functions_are_documented_and_fit_a_screen(path):
    for node in functions_of(tree_of(path)):
        text = ast.get_docstring(node, clean=False)
        is_special = node.name.startswith("__") and node.name.endswith("__")
        assert text or is_special, f"{node.name} has no docstring"
        n_lines = node.end_lineno - node.lineno - (text or "").count("\n")
        assert n_lines < MAX_BODY, f"{node.name}: {n_lines} lines"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_caught_whole_and_nothing_is_left_open(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno} catches everything"
            names = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}
            assert not names & {"Exception", "BaseException"}, node.lineno
            body = [n for n in node.body if not isinstance(n, ast.Pass)]
            assert body, f"line {node.lineno} swallows an error"
        if isinstance(node, ast.Raise):
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            assert "NotImplementedError" not in names, node.lineno


# Imports


def imported_by(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {module.split(".")[0] for module in done.stdout.split()}


def test_import_is_light():
    assert not LATE & imported_by("import selfloop")


def test_reading_needs_no_plots_and_no_terminal():
    loaded = imported_by("import selfloop; selfloop.read_events")
    assert not {"matplotlib", "jinja2", "click", "networkx"} & loaded


def module_of(path):
    """Return the dotted name of a module, that of the package for its __init__."""
    name = "selfloop." + name_of(path).removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def loaded_first(body, packages):
    """List the modules of selfloop that these statements load when they are run."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield node.module
            yield from (
                f"{node.module}.{alias.name}"
                for alias in node.names
                if node.module in packages
            )
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            yield from loaded_first(
                [*node.body, *getattr(node, "orelse", [])], packages
            )


def order_of_loading(sources):
    """Sort modules, given by name and text, so that each comes after what it needs.

    Beside what it names, a module needs the packages that hold what it names, but
    those that it is in itself: they have begun to load before it.
    """
    packages = {name.rpartition(".")[0] for name in sources}
    needs = {}
    for name, text in sources.items():
        needs[name] = set()
        for other in loaded_first(ast.parse(text).body, packages):
            parts = other.split(".")
            whole = [".".join(parts[: i + 1]) for i in range(len(parts))]
            needs[name] |= {
                need for need in whole
                if need in sources and not f"{name}.".startswith(f"{need}.")
            }  # fmt: skip
    return list(TopologicalSorter(needs).static_order())


def test_no_imports_run_in_a_circle():
    """In a circle, one order of imports works and another fails."""
    sources = {module_of(path): path.read_text(encoding="utf-8") for path in FILES}
    order = order_of_loading(sources)
    assert len(order) == len(FILES)
    assert order.index("selfloop.core.errors") < order.index("selfloop.inputs.engine")
    assert order.index("selfloop.inputs.engine") < order.index("selfloop.cli.work")


def test_a_circle_of_imports_is_noticed():
    sources = {"a": "from a.one import x", "a.one": "from a.two import y", "a.two": ""}
    assert order_of_loading(sources) == ["a.two", "a.one", "a"]
    with pytest.raises(CycleError):
        order_of_loading(sources | {"a.two": "import a.one"})
    late = "def f():\n    import a.one\n"
    assert order_of_loading(sources | {"a.two": late}) == ["a.two", "a.one", "a"]
    # Whoever loads a module of a package loads the package first.
    sources |= {"b": "from a.two import y", "a.one": "from b import y"}
    with pytest.raises(CycleError):
        order_of_loading(sources)


# Public names


def test_public_names_are_listed_once_and_typed():
    tree = tree_of(SRC / "__init__.py")
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.If)
        for inner in ast.walk(node)
        if isinstance(inner, ast.ImportFrom)
        for alias in inner.names
    }
    assert typed == set(PUBLIC)
    assert len(set(sl.__all__)) == len(sl.__all__)
    assert set(PUBLIC) <= set(dir(sl))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = sl.no_such_name


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    text = getattr(sl, name).__doc__
    assert text
    first = text.strip().splitlines()[0]
    assert first.endswith((".", "?")), first


@pytest.mark.parametrize("name", CALLS)
def test_public_calls_have_numpydoc_sections(name):
    text = inspect.getdoc(getattr(sl, name))
    for section in ("Parameters", "Returns", "Examples"):
        assert f"\n{section}\n{'-' * len(section)}\n" in text, section


@pytest.mark.parametrize("name", CALLS)
def test_public_calls_take_two_positional_arguments_and_no_switches(name):
    parameters = inspect.signature(getattr(sl, name)).parameters.values()
    positional = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    assert len(positional) <= 2, positional
    switches = [p.name for p in parameters if isinstance(p.default, bool)]
    assert not switches, f"a switch means two functions: {switches}"
    assert all(p.annotation is not p.empty for p in parameters)


# Tables: exactly the declared columns


@pytest.fixture(scope="module")
def tables():
    """Everything a shop gives, by name of its table."""
    shop = sl.simulate(2_000, seed=7)
    events = sl.read_events(
        shop.orders, shop.referrals, visits=shop.visits, spend=shop.spend
    )
    funnel, loop = sl.funnel(events), sl.self_loop(events)
    ladder, gaps = sl.repurchase(events), sl.repurchase_gaps(events)
    products = sl.product_gaps(
        sl.read_events(shop.orders.assign(product=shop.orders["channel"]))
    )
    network, model = sl.referral_network(events), sl.fit_lifetime(events)
    by_source = sl.fit_lifetime(events, model="mbg_nbd", covariates=["source"])
    test = sl.backtest_lifetime(events, model="mbg_nbd")
    values = sl.customer_value(events, model=model)
    grid, compared = sl.value_grid(values), sl.compare_referred(events)
    times, anomalies = sl.referral_times(events), sl.referral_anomalies(events)
    concentration, stages = sl.concentration(events), sl.stage_times(events)
    now = sl.analyze(sl.read_events(shop.orders), model="mbg_nbd")
    links = sl.link_network(shop.referrals)
    groups = sl.reproduction(events, "first_order_quarter")
    cohorts = sl.cohorts(events)
    projected = sl.project_cohorts(cohorts)
    cost, ahead = sl.acquisition_cost(events), sl.project_loop(events, months=3)
    life, rfm = sl.lifecycle(events, dormant_after_days=60), sl.rfm(events)
    return {
        "audit": events.audit,
        "people": sl.people(events),
        "funnel_stages": funnel.stages,
        "funnel_windows": funnel.windows,
        "stage_times": stages.quantiles,
        "stage_times_curve": stages.curve,
        "drop_offs": sl.drop_offs(events),
        "segment_differences": sl.compare_segments(events, "source").table,
        "analyses_compared": sl.compare(now, now).table,
        "repurchase_steps": ladder.steps,
        "repurchase_windows": ladder.windows,
        "repurchase_days": ladder.days,
        "repurchase_gaps": gaps.bins,
        "repurchase_reminders": gaps.reminders,
        "customer_gaps": sl.customer_gaps(events),
        "returning": sl.returning(events).table,
        "product_gaps": products.products,
        "product_customers": products.people,
        "cohorts": cohorts.table,
        "lifecycle": life.table,
        "lifecycle_previous": life.previous,
        "rfm": rfm.table,
        "rfm_grid": rfm.grid,
        "rfm_bounds": rfm.bounds,
        "rfm_people": rfm.people,
        "migration": sl.migration(events, "2024-12-31").table,
        "segment_profile": sl.segment_profile(events, "source").table,
        "segment_after": sl.segment_profile(events, "rfm").after,
        "cohort_ages": cohorts.mean_by_age(),
        "cohort_projection": projected.table,
        "cohort_factors": projected.factors,
        "lifetime_people": model.predict(),
        "lifetime_intervals": model.predict_intervals(),
        "lifts": by_source.lifts(),
        "covariate_tests": by_source.tests,
        "new_customers": by_source.new_customers("source"),
        "model_comparison": model.choice.table,
        "spend_distribution": sl.spend_distribution(model).table,
        "backtest_scores": test.scores,
        "backtest_deciles": test.deciles,
        "backtest_weeks": test.weeks,
        "backtest_frequencies": test.frequencies,
        "generations": network.generations,
        "referral_times": times.steps,
        "referral_times_curve": times.curve,
        "trees": network.trees,
        "network_people": network.people,
        "concentration": concentration.shares,
        "lorenz": concentration.curve,
        "anomaly_rules": anomalies.rules,
        "anomalies": anomalies.flags,
        "anomaly_links": anomalies.links(),
        "link_people": links.people.to_pandas(),
        "link_trees": links.trees,
        "referred_differences": compared.differences,
        "referred_months": compared.by_month,
        "referrer_tenure": compared.tenure,
        "referrer_active": compared.survival,
        "link_clustering": compared.clustering,
        "referrals_ahead": sl.fit_referrals(events).predict(),
        "customer_value": values,
        "value_grid": grid.cells,
        "grid_people": grid.people,
        "advocates": grid.advocates,
        "order_credits": sl.order_credits(
            events, customer_ids=shop.orders["customer_id"].unique()[:50].tolist()
        ),
        "loop_months": loop.months,
        "reproduction": loop.reproduction,
        "reproduction_curve": loop.curve,
        "loop_weeks": loop.weeks,
        "loop_lineage": loop.lineage,
        "loop_lineage_months": loop.lineage_months,
        "reproduction_segments": groups.table,
        "reproduction_segments_curve": groups.curve,
        "reproduction_trend": groups.trend,
        "cascades": sl.loop_growth(events).cascades,
        "loop_cells": loop_cells(events).to_frame(),
        "visitor_value": sl.visitor_value(events).table,
        "spend_channels": cost.channels,
        "spend_months": cost.months,
        "spend_trends": cost.trends,
        "projection_months": ahead.months,
        "projection_totals": ahead.totals,
        "loop_cohorts": ahead.cohorts,
        "stage_leverage": sl.stage_leverage(events).table,
        "what_if": sl.what_if(events, traffic=2).table,
        "loop_backtest": sl.backtest_loop(events).table,
    }


@pytest.fixture(scope="module")
def bare_tables():
    """The same of a shop of one order, without any other table."""
    orders = pd.DataFrame({"customer_id": ["a"], "date": ["2026-01-01"], "amount": [1]})
    events = sl.read_events(orders)
    funnel, loop = sl.funnel(events), sl.self_loop(events)
    ladder, gaps = sl.repurchase(events), sl.repurchase_gaps(events)
    cohorts = sl.cohorts(events)
    projected = sl.project_cohorts(cohorts)
    life, rfm = sl.lifecycle(events, dormant_after_days=60), sl.rfm(events)
    return {
        "audit": events.audit,
        "people": sl.people(events),
        "funnel_stages": funnel.stages,
        "funnel_windows": funnel.windows,
        "stage_times": sl.stage_times(events).quantiles,
        "stage_times_curve": sl.stage_times(events).curve,
        "repurchase_steps": ladder.steps,
        "repurchase_windows": ladder.windows,
        "repurchase_days": ladder.days,
        "repurchase_gaps": gaps.bins,
        "repurchase_reminders": gaps.reminders,
        "customer_gaps": sl.customer_gaps(events),
        "returning": sl.returning(events).table,
        "cohorts": cohorts.table,
        "lifecycle": life.table,
        "lifecycle_previous": life.previous,
        "rfm": rfm.table,
        "rfm_grid": rfm.grid,
        "rfm_bounds": rfm.bounds,
        "rfm_people": rfm.people,
        "segment_profile": sl.segment_profile(events, "source").table,
        "cohort_ages": cohorts.mean_by_age(),
        "cohort_projection": projected.table,
        "cohort_factors": projected.factors,
        "customer_value": value_table(
            events, None, Sharing("halving"), horizon_days=365, discount_rate=0.0
        ),
        "loop_months": loop.months,
        "reproduction": loop.reproduction,
        "reproduction_curve": loop.curve,
        "loop_weeks": loop.weeks,
        "loop_lineage": loop.lineage,
        "loop_lineage_months": loop.lineage_months,
        "visitor_value": sl.visitor_value(events).table,
        "loop_cells": loop_cells(events).to_frame(),
    }


def frame_of(table):
    return table if isinstance(table, pd.DataFrame) else table.to_pandas()


def test_every_declared_table_is_looked_at(tables):
    assert set(tables) == set(schema.TABLES)


@pytest.mark.parametrize("name", list(schema.TABLES))
def test_tables_have_exactly_their_columns(tables, name):
    assert list(frame_of(tables[name]).columns) == schema.names(name)


@pytest.mark.parametrize("name", list(schema.TABLES))
def test_tables_of_a_bare_shop_have_the_same_columns(bare_tables, name):
    if name in NEED_MORE:
        assert name not in bare_tables  # these need more than one order
    else:
        assert list(frame_of(bare_tables[name]).columns) == schema.names(name)


IS_KIND = {
    "int": pd.api.types.is_integer_dtype,
    "share": pd.api.types.is_float_dtype,
    "float": pd.api.types.is_float_dtype,
    "time": pd.api.types.is_datetime64_any_dtype,
    "days": pd.api.types.is_numeric_dtype,
}


@pytest.mark.parametrize("name", list(schema.TABLES))
def test_columns_hold_what_they_are_declared_to_hold(tables, name):
    frame = frame_of(tables[name])
    for column in schema.TABLES[name]:
        values = frame[column.name].dropna()
        check = IS_KIND.get(column.kind)
        if check is not None and len(values):
            assert check(values.convert_dtypes()) or check(values), column
        if column.kind == "share" and len(values):
            assert values.between(0, 1).all(), column
        if column.name.startswith("n_"):
            assert (values >= 0).all(), column


def test_declared_columns_are_named_after_what_they_hold():
    for name, columns in schema.TABLES.items():
        names = [column.name for column in columns]
        assert len(set(names)) == len(names), name
        for column in columns:
            assert column.meaning, column
            if column.name.startswith("n_"):
                assert column.kind == "int", column
            if column.name.startswith("share_"):
                assert column.kind == "share", column
            if column.name.endswith("_at"):
                assert column.kind == "time", column
            if column.name.endswith("_days"):
                assert column.kind == "days", column
            if column.name.endswith("_value") and column.name != "p_value":
                assert column.kind == "money", column
