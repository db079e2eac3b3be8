"""The command line: what each command answers, where it goes, how it speaks."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
from click.testing import CliRunner, Result

import selfloop as sl
from selfloop.cli import app as cli_app
from selfloop.cli import manner, mapping, options, texts
from selfloop.cli.commands import COMMANDS, MODELS
from selfloop.cli.steps import steps
from selfloop.core import schema
from selfloop.core.errors import DataWarning
from selfloop.inputs.duckdb_engine import DEFAULT_MEMORY_LIMIT
from selfloop.measures.cohorts.cells import CLOCKS
from selfloop.measures.customers.scores import Scores
from selfloop.measures.funnel.steps import ORDERS as FUNNEL_ORDERS
from selfloop.measures.funnel.steps import STAGES
from selfloop.measures.lifetime.fit import Model
from selfloop.measures.periods import PERIODS
from selfloop.outputs.plots.cohorts import METRICS as COHORT_METRICS

# The oldest click that is supported mixes the streams unless told not to.
_APART = "mix_stderr" in signature(CliRunner).parameters
RUNNER = CliRunner(**{"mix_stderr": False} if _APART else {})

# By hand: A buys twice (10, 5) and brings B, who buys once (20); G is a guest (7).
# A visited and bought on the first day, B came by A, C only visited.
ORDERS = """customer_id,ordered_at,amount
A,2026-01-01,10
A,2026-01-20,5
B,2026-01-10,20
,2026-01-11,7
"""
REFERRALS = """referrer_id,referee_id,referred_at
A,B,2026-01-05
"""
VISITS = """visitor_id,visited_at,channel
A,2026-01-01,ads
B,2026-01-05,direct
C,2026-01-02,ads
"""

# Signals reach a child as on a terminal, even where the tests ignore Ctrl-C.
ENTRY = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from selfloop.cli import main
main()
"""


def run(*args: str, stdin: str | None = None, **environment: str) -> Result:
    """Run a command in this process."""
    usual = {"LANG": "C", "LC_ALL": "", "LC_MESSAGES": "", "NO_COLOR": "1"}
    return RUNNER.invoke(cli_app.app, list(args), input=stdin, env=usual | environment)


def good(*args: str, **more: str) -> Result:
    """Run a command that must succeed."""
    result = run(*args, **more)
    assert result.exit_code == 0, result.output
    return result


def bad(code: int, *args: str) -> str:
    """Run a command that fails with a code; return what it says."""
    result = run(*args)
    assert result.exit_code == code, result.stderr
    return result.stderr


def child(*args: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start the command line as a process."""
    return subprocess.Popen(
        [sys.executable, "-c", ENTRY, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"LC_ALL": "C.UTF-8"} | environment,
    )


def finished(
    *args: str, stdin: bytes = b"", **environment: str
) -> tuple[int, str, str]:
    """Run the command line as a process to its end."""
    with child(*args, **environment) as process:
        out, err = process.communicate(stdin, timeout=120)
    return process.returncode, out.decode(), err.decode()


def records(text: str) -> list[dict[str, str]]:
    """Read CSV."""
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The three tables by hand."""
    folder = tmp_path_factory.mktemp("tiny")
    tables = {"orders": ORDERS, "referrals": REFERRALS, "visits": VISITS}
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return {name: str(folder / f"{name}.csv") for name in tables}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A simulated shop large enough for rates."""
    folder = tmp_path_factory.mktemp("shop")
    sl.simulate_files(folder, n_visitors=800, seed=3, format="csv")
    names = ("orders", "referrals", "visits", "spend")
    return {name: str(folder / f"{name}.csv") for name in names}


# --- help, version, completion


def test_help_lists_every_command_and_exit_code() -> None:
    shown = good("--help").stdout
    for command in COMMANDS:
        assert f"  {command.name} " in shown
    assert "Exit codes: 0 good, 1 a check failed, 2" in shown
    assert "130 interrupted" in shown


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: str(c.name))
def test_help_of_each_command_begins_with_one_example(command: object) -> None:
    name = str(getattr(command, "name"))  # noqa: B009 - any command of click
    lines = good(name, "--help").stdout.splitlines()
    assert lines[0].startswith(f"Usage: selfloop {name} ")
    assert lines[2].strip().startswith(f"Example: selfloop {name}")
    assert sum("Example:" in line for line in lines) == 1


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: str(c.name))
def test_the_example_of_each_command_can_be_parsed(command: object) -> None:
    name = str(getattr(command, "name"))  # noqa: B009
    example = good(name, "--help").stdout.splitlines()[2].split("selfloop ", 1)[1]
    words = example.split(" >> ")[0].split()
    found = cli_app.app.commands[name]
    context = found.make_context(name, words[1:], resilient_parsing=False)
    assert context.info_name == name


def test_without_a_command_the_help_goes_to_stderr() -> None:
    result = run()
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Commands:" in result.stderr


def test_version() -> None:
    assert good("--version").stdout == f"selfloop {sl.__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str) -> None:
    script = good("completion", shell).stdout
    assert f"_SELFLOOP_COMPLETE={shell}_complete" in script


def test_completion_completes_commands_and_options() -> None:
    asked = {"_SELFLOOP_COMPLETE": "bash_complete", "COMP_CWORD": "1"}
    code, out, _ = finished(COMP_WORDS="selfloop fu", **asked)
    assert (code, out.split()) == (0, ["plain,funnel"])
    asked["COMP_CWORD"] = "2"
    _, out, _ = finished(COMP_WORDS="selfloop funnel --pur", **asked)
    assert out.split() == ["plain,--purchase"]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, selfloop.cli;"
        "print(sorted({'pandas', 'numpy', 'ibis', 'duckdb', 'pyarrow', 'rich', "
        "'matplotlib', 'jinja2', 'scipy'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                           check=True)  # fmt: skip
    assert shown.stdout == "[]\n"


def test_help_takes_less_than_three_tenths_of_a_second() -> None:
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "selfloop", "--help"], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
        seconds.append(time.perf_counter() - begin)
    # The best of five: a busy machine only ever adds.
    assert min(seconds) < 0.3


def test_both_ways_to_start_are_the_same() -> None:
    module = subprocess.run([sys.executable, "-m", "selfloop", "--help"], text=True,
                            capture_output=True, check=True)  # fmt: skip
    entry = Path(sys.executable).with_name("selfloop")
    script = subprocess.run([entry, "--help"], text=True, capture_output=True,
                            check=True)  # fmt: skip
    assert module.stdout == script.stdout
    assert module.stdout.startswith("Usage: selfloop [OPTIONS] COMMAND") or (
        module.stdout.startswith("Usage: selfloop [OPTIONS] [COMMAND]")
    )


# --- funnel


def test_funnel_by_hand(tiny: dict[str, str]) -> None:
    result = good("funnel", *tiny.values(), "--format", "json")
    answer = json.loads(result.stdout)
    assert answer["schema"] == "selfloop.funnel/1"
    assert (answer["start"], answer["end"]) == ("2026-01-01", "2026-01-20")
    reached = {row["stage"]: row["n_reached"] for row in answer["stages"]}
    # 3 came, A and B bought, A bought again and brought B.
    assert reached == {"traffic": 3, "conversion": 2, "repurchase": 1, "referral": 1}


def test_visits_may_come_as_third_argument_or_as_option(tiny: dict[str, str]) -> None:
    one = good("funnel", *tiny.values(), "--format", "csv").stdout
    orders, referrals, visits = tiny.values()
    two = good("funnel", orders, "--visits", visits, "--referrals", referrals,
               "--format", "csv").stdout  # fmt: skip
    assert one == two
    without = good("funnel", orders, referrals, "--format", "csv").stdout
    assert "no table of visits" in without


def test_funnel_table_is_for_people(shop: dict[str, str]) -> None:
    result = good("funnel", shop["orders"], shop["referrals"], shop["visits"])
    assert result.stdout.startswith("Funnel\n  period  2024-01-01")
    assert re.search(r"^conversion +90 d .* %", result.stdout, re.MULTILINE)
    assert result.stderr == ""


def test_funnel_by_column_shows_every_row(shop: dict[str, str]) -> None:
    result = good("funnel", shop["orders"], shop["referrals"], shop["visits"],
                  "--by", "channel")  # fmt: skip
    assert "by      channel" in result.stdout
    assert "more rows" not in result.stdout
    assert "小程序" in result.stdout


def test_one_table_can_be_chosen(tiny: dict[str, str]) -> None:
    result = good("funnel", *tiny.values(), "--table", "stages", "--format", "csv")
    assert [row["stage"] for row in records(result.stdout)] == [
        "traffic", "conversion", "repurchase", "referral",
    ]  # fmt: skip
    assert result.stderr == ""
    listed = json.loads(good("funnel", *tiny.values(), "--table", "stages",
                             "--format", "json").stdout)  # fmt: skip
    assert isinstance(listed, list)
    assert len(listed) == 4


def test_csv_says_which_table_it_is(tiny: dict[str, str]) -> None:
    result = good("funnel", *tiny.values(), "--format", "csv")
    assert result.stderr == (
        "this is the table windows; for others: --table stages|times|differences\n"
    )
    quiet = good("funnel", *tiny.values(), "--format", "csv", "-q")
    assert quiet.stderr == ""
    assert quiet.stdout == result.stdout


def test_markdown_has_all_tables(tiny: dict[str, str]) -> None:
    shown = good("funnel", *tiny.values(), "--format", "md").stdout
    assert shown.startswith("# Funnel\n\n- period: 2026-01-01")
    assert "\n## windows\n\n| segment |" in shown
    assert "\n## stages\n\n| segment |" in shown


@pytest.mark.parametrize("suffix", ["json", "md", "csv", "parquet", "xlsx"])
def test_a_result_goes_to_a_file_by_its_suffix(
    tiny: dict[str, str], tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"funnel.{suffix}"
    result = good("funnel", *tiny.values(), "-o", str(path))
    assert result.stdout == ""
    assert f"wrote {path} (" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if suffix in ("json", "md"):
        on_screen = good("funnel", *tiny.values(), "--format", suffix).stdout
        assert path.read_text(encoding="utf-8") == on_screen
    else:
        read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "xlsx": pd.read_excel}
        assert list(read[suffix](path).columns) == schema.names("funnel_windows")


# --- cohorts and loop


def test_cohorts_by_hand(tiny: dict[str, str]) -> None:
    answer = json.loads(good("cohorts", tiny["orders"], "--format", "json").stdout)
    # Two first bought in January, the only month, which is still running.
    assert answer["cohorts"] == [
        {"segment": "all", "cohort": "2026-01", "age": 0, "n_people": 2, "n_active": 2,
         "share_active": 1.0, "share_active_low": pytest.approx(0.342, abs=1e-3),
         "share_active_high": 1.0, "share_active_since_so_far": 1.0, "n_orders": 3,
         "revenue": 35.0, "n_orders_cumulative": 3, "revenue_cumulative": 35.0,
         "value_per_customer": 17.5, "status": "partial"}
    ]  # fmt: skip


def test_cohorts_are_laid_out_as_a_triangle(shop: dict[str, str]) -> None:
    result = good("cohorts", shop["orders"])
    lines = result.stdout.splitlines()
    head = next(line for line in lines if line.startswith("cohort"))
    assert head.split() == ["cohort", "n_people", *map(str, range(13))]
    assert lines[-1].count("%") == 1
    assert lines[-1].endswith("*")
    assert "--format csv" in result.stderr


def test_segments_are_compared_by_one_column(shop: dict[str, str]) -> None:
    tables = shop["orders"], shop["referrals"], shop["visits"]
    answer = json.loads(
        good("funnel", *tables, "--by", "source", "--format", "json").stdout
    )
    events = sl.read_events(tables[0], tables[1], visits=tables[2])
    expected = sl.compare_segments(events, "source").table
    found = pd.DataFrame(answer["differences"])
    assert found["verdict"].tolist() == expected["verdict"].tolist()
    assert found["difference"].tolist() == pytest.approx(expected["difference"])
    times = pd.DataFrame(answer["times"])
    assert set(times["segment"]) == {"(all)", *expected["segment"]}
    shown = good("funnel", *tables, "--by", "source", "--against", "paid")
    assert "comparisons allowed for" in shown.stderr
    assert "segments that differ" in shown.stdout
    assert "no segment 'x'" in bad(
        2, "funnel", *tables, "--by", "source", "--against", "x"
    )
    assert "--against needs one --by" in bad(2, "funnel", *tables, "--against", "paid")


def test_who_is_stuck(shop: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "stuck.csv"
    good("stuck", shop["orders"], "--min-days", "60", "-o", str(path))
    written = pd.read_csv(path)
    events = sl.read_events(shop["orders"])
    expected = sl.drop_offs(events, min_days=60).to_pandas()
    assert set(written["person_id"]) == set(expected["person_id"])
    shown = good("stuck", shop["orders"], "--min-days", "60", "--top", "3")
    assert f"the top 3 of {len(expected)} people by revenue" in shown.stderr
    assert bad(2, "stuck", shop["orders"], "--stage", "conversion").startswith(
        "error: SL301"
    )


def test_repurchase_is_that_of_the_library(shop: dict[str, str]) -> None:
    answer = json.loads(good("repurchase", shop["orders"], "--format", "json").stdout)
    events = sl.read_events(shop["orders"])
    ladder, gaps = sl.repurchase(events), sl.repurchase_gaps(events)
    found = pd.DataFrame(answer["windows"])
    assert found["n_matured"].tolist() == ladder.windows["n_matured"].tolist()
    assert answer["reminders"][0]["days_50"] == gaps.reminders["days_50"].iloc[0]
    rates = pd.DataFrame(answer["returning"])
    assert rates["n_new"].sum() == events.totals["n_buyers"]
    by_source = good("repurchase", shop["orders"], "--by", "source", "--period", "week")
    for words in ("(all)", "when to remind them", "three rates"):
        assert words in by_source.stdout


def test_windows_can_be_chosen(shop: dict[str, str]) -> None:
    windows = "--within", "14", "--within", "60", "--format", "json"
    for command, key in (("funnel", "stage"), ("repurchase", "step")):
        answer = json.loads(good(command, shop["orders"], *windows).stdout)
        assert {row["window_days"] for row in answer["windows"]} == {14, 60}
        assert len({row[key] for row in answer["windows"]}) > 1
    events = sl.read_events(shop["orders"])
    found = sl.funnel(events, windows_days=(14, 60)).windows
    answer = json.loads(good("funnel", shop["orders"], *windows).stdout)
    n_matured = [row["n_matured"] for row in answer["windows"]]
    assert n_matured == found["n_matured"].astype(object).where(
        found["n_matured"].notna(), None
    ).tolist()  # fmt: skip
    shown = good("repurchase", shop["orders"], "--within", "14")
    assert "14" in shown.stdout
    assert "--within" in bad(2, "funnel", shop["orders"], "--within", "0")


def test_segments_are_those_of_the_library(shop: dict[str, str]) -> None:
    options = "--dormant-after-days", "60", "--scores", "fixed", "--since", "2025-06-30"
    answer = json.loads(
        good("segments", shop["orders"], *options, "--format", "json").stdout
    )
    events = sl.read_events(shop["orders"])
    counts = sl.rfm(events, scores="fixed").table["n_people"]
    assert [s["n_people"] for s in answer["segments"]] == counts.tolist()
    moved = sl.migration(events, "2025-06-30", scores="fixed").table
    assert [m["n_people"] for m in answer["migration"]] == moved["n_people"].tolist()
    flows = sl.lifecycle(events, dormant_after_days=60).table
    assert [p["n_closing"] for p in answer["lifecycle"]] == flows["n_closing"].tolist()
    assert answer["missing"] == []
    shown = good("segments", shop["orders"], "--lang", "zh").stdout
    for words in ("按最近购买与次数", "收入集中度", "列说明"):
        assert words in shown


def test_segments_of_a_young_shop_say_what_is_missing(shop: dict[str, str]) -> None:
    young = good("segments", shop["orders"], "--end", "2024-06-30")
    assert "lifecycle: dormant_after_days must be given" in young.stdout
    answer = good("segments", shop["orders"], "--end", "2024-02-15", "--format", "json")
    assert json.loads(answer.stdout)["lifecycle"] == []
    said = bad(2, "segments", shop["orders"], "--since", "2031-01-01")
    assert "since must lie between" in said


def test_products_and_who_is_due(shop: dict[str, str], tmp_path: Path) -> None:
    named = "--map", "orders.product=channel"
    answer = json.loads(
        good("products", shop["orders"], *named, "--format", "json").stdout
    )
    columns = {"orders": {"product": "channel"}}
    events = sl.read_events(shop["orders"], columns=columns)
    expected = sl.product_gaps(events, top=20).products
    assert [p["product"] for p in answer["products"]] == expected["product"].tolist()
    path = tmp_path / "due.csv"
    good("products", shop["orders"], *named, "--due", "-o", str(path))
    assert (pd.read_csv(path)["overdue"] >= 1).all()
    said = bad(2, "products", shop["orders"])
    assert "--map product=StockCode" in said


def test_two_reports_are_compared(shop: dict[str, str], tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{name}.json") for name in ("old", "new")]
    good("report", shop["orders"], "--end", "2025-06-30", "-o", paths[0])
    good("report", shop["orders"], "-o", paths[1])
    answer = json.loads(good("compare", *paths, "--format", "json").stdout)
    expected = sl.compare(*paths).table
    assert [line["measure"] for line in answer["compare"]] == expected[
        "measure"
    ].tolist()
    assert answer["n_days_shared"] > 300
    shown = good("compare", *paths)
    assert "days are in both" in shown.stderr
    assert "old.json" in shown.stdout
    assert "SL125" in bad(2, "compare", paths[0], shop["orders"])
    assert "SL105" in bad(3, "compare", paths[0], str(tmp_path / "none.json"))


def test_cohorts_are_those_of_the_library(shop: dict[str, str]) -> None:
    options = "--period", "week", "--clock", "rolling", "--metric", "n_orders"
    answer = json.loads(
        good("cohorts", shop["orders"], *options, "--format", "json").stdout
    )
    events = sl.read_events(shop["orders"])
    expected = sl.cohorts(events, "week", clock="rolling")
    cells = pd.DataFrame(answer["cohorts"])
    assert cells["n_active"].tolist() == expected.table["n_active"].tolist()
    ahead = sl.project_cohorts(expected, "n_orders").table
    assert len(answer["ahead"]) == len(ahead)
    assert answer["projected"] == "n_orders"
    by_source = good("cohorts", shop["orders"], "--by", "source", "--metric", "revenue")
    assert by_source.stdout.count("organic") > 3


def test_loop_by_hand(tiny: dict[str, str]) -> None:
    answer = json.loads(good("loop", *tiny.values(), "--format", "json").stdout)
    [month] = answer["months"]
    # Three purchases: A first (ads, paid), B first (referral), A again.
    assert (month["n_orders"], month["n_repeat"], month["n_first_referral"]) == (
        3,
        1,
        1,
    )
    assert month["n_first_paid"] == 1
    assert answer["share_orders"] == pytest.approx(2 / 3)
    # Two buyers are too few for R: missing, with the reason, and not zero.
    assert answer["multiplier"] is None
    assert answer["reason"] == "fewer than 30 buyers observed for a day"


def test_the_share_of_months_never_stands_without_r(shop: dict[str, str]) -> None:
    result = good("loop", shop["orders"], shop["referrals"], "--format", "csv")
    assert "R = 0." in result.stderr
    table = good("loop", shop["orders"], shop["referrals"]).stdout
    assert re.search(r"reproduction number R +0\.\d+ \[", table)


def test_loop_without_referrals_is_missing_not_zero(shop: dict[str, str]) -> None:
    table = good("loop", shop["orders"]).stdout
    assert re.search(r"reproduction number R +– \(no table of referrals\)", table)


# --- customers


def test_customers_to_a_file_are_all_of_them(
    shop: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "customers.parquet"
    good("customers", shop["orders"], shop["referrals"], "-o", str(path))
    frame = pd.read_parquet(path)
    assert list(frame.columns) == schema.names("customer_value")
    revenue = sl.read_events(shop["orders"]).totals["revenue"]
    assert frame["total_value"].sum() == pytest.approx(float(revenue))


def test_customers_without_a_file_are_the_top_ones(shop: dict[str, str]) -> None:
    result = good("customers", shop["orders"], shop["referrals"], "--top", "3",
                  "--format", "csv")  # fmt: skip
    rows = records(result.stdout)
    totals = [float(row["total_value"]) for row in rows]
    assert len(rows) == 3
    assert totals == sorted(totals, reverse=True)
    assert re.search(r"top 3 of [\d,]+ people by total_value", result.stderr)


def test_customers_to_standard_output_are_all_of_them(shop: dict[str, str]) -> None:
    result = good("customers", shop["orders"], "-o", "-", "--format", "json", "-q")
    people = json.loads(result.stdout)
    n = sl.read_events(shop["orders"]).totals["n_buyers"]
    assert len(people) == n
    values = [person["lifetime_value"] for person in people]
    assert values == sorted(values, reverse=True)
    assert {person["social_value"] for person in people} == {None}


def test_the_rule_of_the_ledger_reaches_the_values(tiny: dict[str, str]) -> None:
    # B passes up half of 20 by halving, and by Shapley half of 20 in generation 1.
    for rule in ("halving", "shapley"):
        result = good("customers", *tiny.values(), "--rule", rule, "--format", "json")
        social = {p["person_id"]: p["social_value"] for p in json.loads(result.stdout)}
        assert social == {"A": 10.0, "B": 0.0}


def test_a_warning_is_one_line_of_text(tiny: dict[str, str]) -> None:
    result = good("customers", *tiny.values())
    assert result.stderr.count("warning: no expected values: ") == 1
    assert "FitWarning" not in result.stderr


def test_formulas_of_a_customer_id_are_inert(tmp_path: Path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text("customer_id,ordered_at,amount\n=cmd(),2026-01-01,1\n")
    shown = good("customers", str(orders), "--format", "csv").stdout
    assert records(shown)[0]["person_id"] == "'=cmd()"


# --- lifetime


@pytest.fixture(scope="module")
def lifetime_json(shop: dict[str, str]) -> dict[str, object]:
    """What the command on lifetime value says of the shop, as JSON."""
    result = good("lifetime", shop["orders"], "--horizon-days", "180", "--format",
                  "json", "-q")  # fmt: skip
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


def test_lifetime_is_that_of_the_library(
    shop: dict[str, str], lifetime_json: dict[str, object]
) -> None:
    model = sl.fit_lifetime(sl.read_events(shop["orders"]))
    # Not that of the file of a model, which read_lifetime reads.
    assert lifetime_json["schema"] == "selfloop.lifetime_value/1"
    assert (lifetime_json["model"], lifetime_json["label"]) == (
        model.model,
        model.label,
    )
    total = model.total(180)
    told = lifetime_json["total"]
    assert isinstance(told, dict)
    assert told["horizon_days"] == 180
    assert told["purchases"] == pytest.approx(total.purchases)
    assert told["value_high"] == pytest.approx(total.value_high)
    for name, frame in (
        ("parameters", model.summary()),
        ("comparison", model.choice.table),
    ):
        rows = lifetime_json[name]
        assert isinstance(rows, list)
        assert list(rows[0]) == list(frame)
        assert len(rows) == len(frame)


def test_lifetime_tests_the_model_on_the_past(
    shop: dict[str, str], lifetime_json: dict[str, object]
) -> None:
    test = sl.backtest_lifetime(sl.read_events(shop["orders"]))
    scores, weeks = lifetime_json["scores"], lifetime_json["weeks"]
    assert isinstance(scores, list)
    assert isinstance(weeks, list)
    assert [row["method"] for row in scores] == test.scores["method"].tolist()
    assert scores[0]["predicted"] == pytest.approx(test.scores["predicted"][0])
    assert len(weeks) == len(test.weeks)


def test_lifetime_table_is_for_people(shop: dict[str, str]) -> None:
    result = good("lifetime", shop["orders"])
    assert result.stdout.startswith("Lifetime value\n  period")
    assert re.search(r"^  purchases of all buyers, 95 % +[\d,]+ \[", result.stdout,
                     re.MULTILINE)  # fmt: skip
    for head in ("parameters", "models of purchases", "backtest"):
        assert f"\n{head}\n" in result.stdout
    assert re.search(r"was chosen: its AIC is [\d,.]+ below", result.stdout)
    assert "Fitted on what was known on 20" in result.stdout
    assert "**" not in result.stdout


def test_lifetime_by_a_model_that_was_asked_for(shop: dict[str, str]) -> None:
    result = good("lifetime", shop["orders"], "--model", "nbd", LANG="zh_CN.UTF-8")
    assert "按要求使用 NBD" in result.stdout
    assert "购买模型对比" not in result.stdout
    assert "回测" in result.stdout
    assert "rank_correlation 秩相关" in result.stdout
    empty = good("lifetime", shop["orders"], "--model", "nbd", "--table", "comparison",
                 "--format", "csv")  # fmt: skip
    assert records(empty.stdout) == []
    assert empty.stdout.startswith('"model","label"')


# --- referrals


@pytest.fixture(scope="module")
def referrals_json(shop: dict[str, str]) -> dict[str, object]:
    """What the command on referrals says of the shop, as JSON."""
    result = good("referrals", shop["orders"], shop["referrals"], shop["visits"],
                  "--horizon-days", "60", "--format", "json", "-q")  # fmt: skip
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


def test_referrals_are_those_of_the_library(
    shop: dict[str, str], referrals_json: dict[str, object]
) -> None:
    events = sl.read_events(shop["orders"], shop["referrals"], visits=shop["visits"])
    model = sl.fit_referrals(events)
    assert referrals_json["schema"] == "selfloop.referrals/1"
    ahead = referrals_json["ahead"]
    assert isinstance(ahead, dict)
    assert ahead["k"] == pytest.approx(model.k)
    total = model.total(60)
    for name in ("referrals", "referrals_low", "value", "value_high"):
        assert ahead["total"][name] == pytest.approx(getattr(total, name))
    for name, frame in (
        ("generations", sl.referral_network(events).generations),
        ("times", sl.referral_times(events).steps),
        ("differences", sl.compare_referred(events).differences),
        ("rules", sl.referral_anomalies(events).rules),
    ):
        rows = referrals_json[name]
        assert isinstance(rows, list)
        assert list(rows[0]) == list(frame)
        assert len(rows) == len(frame)
    grid = referrals_json["grid"]
    assert isinstance(grid, list)
    assert sum(row["n_people"] for row in grid) >= events.totals["n_buyers"]


def test_referrals_table_is_for_people(shop: dict[str, str]) -> None:
    result = good("referrals", shop["orders"], shop["referrals"])
    for head in ("four kinds of customers", "generations", "how long it takes",
                 "referred people beside others", "worth a look"):  # fmt: skip
        assert f"\n{head}\n" in result.stdout
    assert re.search(r"^  buyers to be brought, 95 % +[\d,]+ \[", result.stdout,
                     re.MULTILINE)  # fmt: skip
    assert "are expected to bring" in result.stdout
    assert "**" not in result.stdout
    zh = good("referrals", shop["orders"], shop["referrals"], LANG="zh_CN.UTF-8")
    assert "四类客户" in zh.stdout
    assert "预计带来" in zh.stdout


def test_one_table_of_referrals(shop: dict[str, str]) -> None:
    result = good("referrals", shop["orders"], shop["referrals"], "--table",
                  "advocates", "--format", "csv", "-q")  # fmt: skip
    rows = records(result.stdout)
    assert 0 < len(rows) <= 100
    values = [float(row["social_value"]) for row in rows]
    assert values == sorted(values, reverse=True)


def test_the_models_of_the_command_line_are_those_of_the_library() -> None:
    assert get_args(Model) == MODELS


@pytest.mark.parametrize(
    ("command", "name", "expected"),
    [
        ("funnel", "order", FUNNEL_ORDERS),
        ("stuck", "order", FUNNEL_ORDERS),
        ("stuck", "stage", STAGES[1:]),
        ("repurchase", "period_length", PERIODS),
        ("segments", "period_length", PERIODS),
        ("segments", "scores", get_args(Scores)),
        ("cohorts", "period_length", PERIODS),
        ("cohorts", "clock", CLOCKS),
        ("cohorts", "metric", COHORT_METRICS),
    ],
)
def test_the_choices_of_the_command_line_are_those_of_the_library(
    command: str, name: str, expected: tuple[str, ...]
) -> None:
    (found,) = [c for c in COMMANDS if c.name == command]
    (option,) = [p for p in found.params if p.name == name]
    assert tuple(option.type.choices) == expected


def test_lifetime_goes_to_a_file(shop: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "weeks.parquet"
    good("lifetime", shop["orders"], "--table", "weeks", "-o", str(path))
    assert list(pd.read_parquet(path).columns) == schema.names("backtest_weeks")
    path = tmp_path / "lifetime.md"
    good("lifetime", shop["orders"], "-o", str(path))
    shown = path.read_text(encoding="utf-8")
    assert shown.startswith("# Lifetime value\n\n- period: ")
    for table in ("parameters", "comparison", "scores", "deciles", "weeks"):
        assert f"\n## {table}\n" in shown


def test_lifetime_of_a_young_shop_says_why_it_is_not_tested(tmp_path: Path) -> None:
    sl.simulate_files(tmp_path, n_visitors=1500, seed=3, days=70, format="csv")
    orders = str(tmp_path / "orders.csv")
    shown = good("lifetime", orders).stdout
    assert "\nbacktest\n" not in shown
    assert re.search(r"on the past: \d+ days of data: a holdout of a third", shown)
    answer = json.loads(good("lifetime", orders, "--format", "json").stdout)
    assert answer["scores"] == []
    assert answer["holdout"] is None
    asked = good("lifetime", orders, "--model", "mbg_nbd", LANG="zh_CN.UTF-8").stdout
    assert re.search("回测：|回测: ", asked)
    assert "留出检验将不足 28 天" in asked


def test_lifetime_without_a_model_is_an_error_with_its_reason(
    tiny: dict[str, str],
) -> None:
    result = run("lifetime", tiny["orders"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "a lifetime model needs at least 10 buyers; there are 2" in result.stderr
    assert "SL310" in result.stderr


# --- outlook


OUTLOOK_COLUMNS = {
    "value": "buyer_value", "stages": "revenue_gain", "channels": "cac",
    "totals": "revenue_high", "what_if": "difference", "backtest": "predicted_low",
    "cascades": "expected",
}  # fmt: skip
"""A column to compare of each table."""


@pytest.fixture(scope="module")
def outlook_json(shop: dict[str, str]) -> dict[str, object]:
    """What the command on the outlook says of the shop, as JSON."""
    result = good("outlook", shop["orders"], shop["referrals"], shop["visits"],
                  "--spend", shop["spend"], "--target", "repurchase_90d=0.7",
                  "--format", "json")  # fmt: skip
    return json.loads(result.stdout)


def test_outlook_is_that_of_the_library(
    shop: dict[str, str], outlook_json: dict[str, object]
) -> None:
    events = sl.read_events(shop["orders"], shop["referrals"], visits=shop["visits"],
                            spend=shop["spend"])  # fmt: skip
    assert outlook_json["schema"] == "selfloop.outlook/1"
    tables = {
        "value": sl.visitor_value(events).table,
        "stages": sl.stage_leverage(events).table,
        "totals": sl.project_loop(events).totals,
        "channels": sl.acquisition_cost(events).channels,
        "what_if": sl.what_if(events, repurchase_90d=0.7).table,
        "backtest": sl.backtest_loop(events).table,
        "cascades": sl.loop_growth(events).cascades,
    }
    for name, table in tables.items():
        rows = outlook_json[name]
        assert len(rows) == len(table), name
        column = OUTLOOK_COLUMNS[name]
        for row, value in zip(rows, table[column], strict=True):
            known = pd.notna(value)
            assert (row[column] == pytest.approx(value)) if known else not row[column]
    growth = outlook_json["growth"]
    assert growth["halving_days"] == pytest.approx(sl.loop_growth(events).halving_days)


def test_outlook_is_for_people(shop: dict[str, str]) -> None:
    result = good("outlook", shop["orders"], shop["referrals"], shop["visits"])
    assert "which stage to mend" in result.stdout
    assert "Most leverage" in result.stdout
    assert "cost of acquisition: no table of spend was given" in result.stdout
    zh = good("outlook", shop["orders"], shop["referrals"], LANG="zh_CN.UTF-8")
    assert "该改进哪一环" in zh.stdout
    assert "获客成本: 未提供花费表" in zh.stdout


@pytest.mark.parametrize("target", ["repurchase", "repurchase_90d=", "x=0.4",
                                    "conversion_90d=2"])  # fmt: skip
def test_a_target_that_cannot_be_is_an_error(shop: dict[str, str], target: str) -> None:
    result = run("outlook", shop["orders"], "--target", target)
    assert result.exit_code == 2
    assert "target" in result.stderr or "conversion_90d" in result.stderr


def test_lineage_of_the_loop(shop: dict[str, str]) -> None:
    result = good("loop", shop["orders"], shop["referrals"], "--table", "lineage",
                  "--format", "csv")  # fmt: skip
    rows = pd.read_csv(io.StringIO(result.stdout))
    assert (rows["revenue_own"] + rows["revenue_brought"]).tolist() == pytest.approx(
        rows["revenue"].tolist()
    )


# --- report and demo


def test_report_ends_with_three_lines(shop: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    result = good("report", shop["orders"], shop["referrals"], "--visits",
                  shop["visits"], "--spend", shop["spend"], "-o", str(path),
                  "--title", "My shop")  # fmt: skip
    assert result.stdout == ""
    wrote, headline, outlook = result.stderr.splitlines()
    assert re.fullmatch(
        rf"wrote {path} \([\d.]+ [KM]B\), {path.with_suffix('.json')} \(\S+ KB\)", wrote
    )
    numbers = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    cards = {card["key"]: card for card in numbers["kpis"]}
    assert headline.startswith(f"Buyers {cards['buyers']['value']:,} · Conversion")
    assert f"R {cards['r']['value']:.2f} at {cards['r']['days']} d" in headline
    assert outlook.startswith("next: selfloop customers ")
    assert "My shop" in path.read_text(encoding="utf-8")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json"]


@pytest.mark.parametrize("form", ["html", "json", "md"])
def test_report_to_standard_output_is_only_the_report(
    tiny: dict[str, str], form: str
) -> None:
    result = good("report", *tiny.values(), "-o", "-", "--format", form, "-q",
                  SOURCE_DATE_EPOCH="1767225600")  # fmt: skip
    assert result.stderr == ""
    begin = {"html": "<!doctype html>", "json": '{\n "schema"', "md": "# "}
    assert result.stdout.lower().startswith(begin[form])


def test_report_says_what_it_could_not_compute(tiny: dict[str, str]) -> None:
    result = good("report", tiny["orders"], "-o", "-", "--format", "md")
    assert "not computed: conversion (no table of visits)" in result.stderr
    assert "referral (no table of referrals)" in result.stderr


def test_report_speaks_chinese(tiny: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    result = good("report", *tiny.values(), "-o", str(path), "--lang", "zh")
    assert result.stderr.startswith("已写入")
    assert "买家 2" in result.stderr
    assert '<html lang="zh-Hans"' in path.read_text(encoding="utf-8")


def test_the_page_has_both_languages_and_the_lines_that_of_lang(
    tiny: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "r.html"
    result = good("report", *tiny.values(), "-o", str(path), LANG="zh_CN.UTF-8")
    assert result.stderr.startswith("已写入")
    page = path.read_text(encoding="utf-8")
    assert "Repurchase" in page
    assert "复购" in page


def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = good("demo")
    path, headline = result.stdout.splitlines()
    assert path == str(Path("out/report.html"))
    assert (tmp_path / "out" / "report.json").exists()
    # The sample shop has 1,051 buyers; its README says so.
    assert headline.startswith("Buyers 1,051 · Conversion within 90 d ")
    assert "warning" not in result.stderr


# --- validate


BAD_ORDERS = """customer_id,ordered_at,amount
A,2026-01-01,10
A,someday,5
"<b>=1+1",2026-01-03,many
B,2026-01-04,2.5
"""


def test_validate_by_hand(tmp_path: Path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text(BAD_ORDERS, encoding="utf-8")
    result = good("validate", str(orders), "--format", "json")
    answer = json.loads(result.stdout)
    assert answer["n_rejected"] == 2
    # 4 rows = 2 used + 2 rejected; 10 + 2.5 used, 5 of the row without a date.
    assert answer["balance"] == [
        {"table": "orders", "n_read": 4, "n_used": 2, "n_set_aside": 0,
         "n_rejected": 2, "amount_read": 17.5, "amount_used": 12.5,
         "amount_set_aside": 0.0, "amount_rejected": 5.0}
    ]  # fmt: skip
    assert {row["code"]: row["n_rows"] for row in answer["audit"]} == {
        "": 2, "SL111": 1, "SL112": 1,
    }  # fmt: skip


def test_validate_shows_the_sums(tmp_path: Path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text(BAD_ORDERS, encoding="utf-8")
    shown = good("validate", str(orders)).stdout
    assert (
        "4 rows read = 2 used + 0 set aside by a rule + 2 that cannot be read; "
        "amount 17.50 = 12.50 + 0.00 + 5.00"
    ) in shown


def test_validate_strict_leaves_with_one(tiny: dict[str, str], tmp_path: Path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text(BAD_ORDERS, encoding="utf-8")
    assert run("validate", str(orders), "--strict").exit_code == 1
    passed = good("validate", *tiny.values(), "--strict")
    assert passed.stderr == "every row can be read\n"


def test_validate_writes_the_rows_as_they_were(tmp_path: Path) -> None:
    orders, folder = tmp_path / "orders.csv", tmp_path / "rejected"
    orders.write_text(BAD_ORDERS, encoding="utf-8")
    result = good("validate", str(orders), "--failures", str(folder))
    [path] = folder.iterdir()
    assert path.name == "orders_rejected.csv"
    assert f"wrote {path}" in result.stderr
    rows = records(path.read_text(encoding="utf-8-sig"))
    assert rows == [
        {"row": "2", "code": "SL111", "reason": "unreadable_date", "customer_id": "A",
         "ordered_at": "someday", "amount": "5"},
        {"row": "3", "code": "SL112", "reason": "unreadable_amount",
         "customer_id": "<b>=1+1", "ordered_at": "2026-01-03", "amount": "many"},
    ]  # fmt: skip


def test_failures_are_inert_in_a_spreadsheet(tmp_path: Path) -> None:
    orders, folder = tmp_path / "orders.csv", tmp_path / "rejected"
    orders.write_text("customer_id,ordered_at,amount\nA,2026-01-01,1\n=1+1,x,2\n")
    good("validate", str(orders), "--failures", str(folder))
    text = (folder / "orders_rejected.csv").read_text(encoding="utf-8-sig")
    assert records(text)[0]["customer_id"] == "'=1+1"


def test_failures_of_parquet_and_of_standard_input(tmp_path: Path) -> None:
    folder = tmp_path / "rejected"
    frame = pd.DataFrame(
        {"customer_id": ["A", "B"], "ordered_at": ["2026-01-01", "x"], "amount": [1, 2]}
    )
    frame.to_parquet(tmp_path / "orders.parquet")
    good("validate", str(tmp_path / "orders.parquet"), "--failures", str(folder))
    first = (folder / "orders_rejected.csv").read_text(encoding="utf-8-sig")
    good("validate", "-", "--failures", str(folder), stdin=frame.to_csv(index=False))
    second = (folder / "orders_rejected.csv").read_text(encoding="utf-8-sig")
    assert records(first) == records(second)
    assert records(first)[0]["ordered_at"] == "x"


def test_no_failures_no_file(tiny: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "rejected"
    result = good("validate", tiny["orders"], "--failures", str(folder))
    assert list(folder.iterdir()) == []
    assert result.stderr == "every row can be read: nothing to write\n"


def test_other_commands_say_how_many_rows_they_left_out(tmp_path: Path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text(BAD_ORDERS, encoding="utf-8")
    result = good("funnel", str(orders), "--on-bad-rows", "quarantine")
    assert "warning: 2 rows cannot be read and are left out" in result.stderr
    assert f"see: selfloop validate {orders}" in result.stderr


# --- columns


def test_columns_says_how_each_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text("customer_id,下单时间,实付金额,备注\n007,2026-01-01,5,x\n")
    result = good("columns", str(path), "--format", "json", "--map", "channel=备注")
    answer = json.loads(result.stdout)
    assert answer["table"] == "orders"
    how = {row["column"]: (row["role"], row["how"]) for row in answer["columns"][:4]}
    assert how == {
        "customer_id": ("customer_id", "name"), "下单时间": ("ordered_at", "alias"),
        "实付金额": ("amount", "alias"), "备注": ("channel", "mapped"),
    }  # fmt: skip
    assert answer["columns"][0]["example"] == "007"
    assert answer["columns"][2]["map"] == "--map orders.amount=实付金额"
    assert "read as orders" in result.stderr


def test_columns_knows_that_quantity_and_price_are_an_amount(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"CustomerID": [7], "InvoiceDate": ["2026-01-01"], "Quantity": [6],
         "UnitPrice": [2.5]}
    )  # fmt: skip
    frame.to_parquet(tmp_path / "o.parquet")
    shown = good("columns", str(tmp_path / "o.parquet"), "--format", "json").stdout
    how = {row["role"]: row["how"] for row in json.loads(shown)["columns"]}
    assert how["amount"] == "quantity x unit_price"
    examples = [row["example"] for row in json.loads(shown)["columns"]][:4]
    assert examples == ["7", "2026-01-01", "6", "2.5"]


@pytest.mark.parametrize("table", ["orders", "referrals", "visits", "spend"])
def test_columns_guesses_the_table(shop: dict[str, str], table: str) -> None:
    answer = json.loads(good("columns", shop[table], "--format", "json").stdout)
    assert answer["table"] == table


def test_columns_with_a_missing_column_is_a_failed_check(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text("customer_id,ordered_at,amout\n1,2026-01-01,5\n")
    result = run("columns", str(path), "--table", "orders")
    assert result.exit_code == 1
    assert "--map orders.amount=amout" in result.stderr
    assert "unused" in result.stdout
    assert good("columns", str(path), "--map", "amount=amout").exit_code == 0


# --- simulate


def test_simulate_writes_what_the_seed_says(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    args = ("--visitors", "300", "--seed", "7", "--days", "200", "--format", "parquet")
    result = good("simulate", str(folder), *args)
    assert result.stdout.splitlines() == [
        str(folder / name) for name in ("orders.parquet", "referrals.parquet",
                                        "visits.parquet", "spend.parquet", "truth.json")
    ]  # fmt: skip
    drawn = sl.simulate(300, seed=7, days=200)
    orders = pd.read_parquet(folder / "orders.parquet")
    assert len(orders) == len(drawn.orders)
    assert f"{drawn.truth.counts['n_people']} people" in result.stderr
    assert json.loads((folder / "truth.json").read_text())["seed"] == 7


def test_the_next_command_of_simulate_works(tmp_path: Path) -> None:
    result = good("simulate", str(tmp_path / "s"), "--visitors", "50")
    command = result.stderr.splitlines()[-1].removeprefix("next: selfloop ").split()
    good(*command[:-1], str(tmp_path / "report.md"))
    assert (tmp_path / "report.md").exists()


# --- options


def test_settings_reach_the_reading(tmp_path: Path) -> None:
    orders = tmp_path / "o.csv"
    orders.write_text("who,when,how much\n1,03/04/2026 23:30,1\n1,04/04/2026 01:00,0\n")
    flags = ("--map", "orders.customer_id=who", "--map", "ordered_at=when",
             "--map", "amount=how much", "--date-format", "%d/%m/%Y %H:%M",
             "--end", "2026-04-03", "--purchase", "order", "--zero-orders", "count",
             "--tz", "Asia/Shanghai", "--memory-limit", "1GB")  # fmt: skip
    answer = json.loads(
        good("validate", str(orders), *flags, "--format", "json").stdout
    )
    assert answer["end"] == "2026-04-03"
    assert {row["code"]: row["n_rows"] for row in answer["audit"]} == {
        "": 1, "SL121": 1,
    }  # fmt: skip


def test_every_setting_of_read_events_has_an_option() -> None:
    args = ["o.csv", "r.csv", "v.csv", "--spend", "s.csv", "--memory-limit", "1GB"]
    context = cli_app.app.commands["report"].make_context("report", args)
    inputs = options.packed(context.params)["inputs"]
    code = sl.read_events.__code__
    names = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    assert set(inputs.sources) | set(inputs.settings) == names - {"progress"}


def test_defaults_are_those_of_the_library() -> None:
    context = cli_app.app.commands["report"].make_context("report", ["o.csv"])
    inputs = options.packed(context.params)["inputs"]
    defaults = sl.read_events.__kwdefaults__ | {"columns": {}}
    assert inputs.settings == {name: defaults[name] for name in inputs.settings}
    shown = good("report", "--help").stdout
    assert f"{DEFAULT_MEMORY_LIMIT} by default" in " ".join(shown.split())


def test_options_come_from_the_environment(tiny: dict[str, str]) -> None:
    shown = good("funnel", *tiny.values(), SELFLOOP_FORMAT="json",
                 SELFLOOP_TZ="Asia/Shanghai").stdout  # fmt: skip
    assert json.loads(shown)["timezone"] == "Asia/Shanghai"
    # What is said on the command line wins.
    shown = good("funnel", *tiny.values(), "--format", "md", SELFLOOP_FORMAT="json")
    assert shown.stdout.startswith("# Funnel")


def test_lists_in_the_environment_have_separators(tmp_path: Path) -> None:
    orders = tmp_path / "o.csv"
    orders.write_text("who,the day,amount\n1,2026-01-01,1\n")
    good("funnel", str(orders), SELFLOOP_MAP="customer_id=who;ordered_at=the day")
    context = cli_app.app.commands["funnel"].make_context(
        "funnel", ["o.csv", "--paid-channel", "tv", "--paid-channel", "radio"]
    )
    inputs = options.packed(context.params)["inputs"]
    assert inputs.settings["paid_channels"] == ("tv", "radio")


def test_map_without_a_table_belongs_to_the_table_that_has_the_role() -> None:
    tables = ["orders", "referrals", "visits"]
    assert mapping.column_map(["referee_id=新客"], tables) == {
        "referrals": {"referee_id": "新客"}
    }
    assert mapping.column_map(["channel=a=b"], ["orders"]) == {
        "orders": {"channel": "a=b"}
    }


def test_standard_input_is_any_one_table(tiny: dict[str, str]) -> None:
    from_file = good("loop", tiny["orders"], tiny["referrals"], "--format", "json")
    from_pipe = good("loop", "-", tiny["referrals"], "--format", "json", stdin=ORDERS)
    other = good("loop", tiny["orders"], "-", "--format", "json", stdin=REFERRALS)
    assert from_file.stdout == from_pipe.stdout == other.stdout


def test_globs_are_for_the_reader(tmp_path: Path) -> None:
    head, *rows = ORDERS.splitlines(keepends=True)
    (tmp_path / "a1.csv").write_text(head + "".join(rows[:2]))
    (tmp_path / "a2.csv").write_text(head + "".join(rows[2:]))
    result = good("validate", str(tmp_path / "a*.csv"), "--format", "json")
    assert json.loads(result.stdout)["balance"][0]["n_read"] == 4


# --- languages


def test_chinese_readers_get_the_columns_explained(tiny: dict[str, str]) -> None:
    english = good("funnel", *tiny.values()).stdout
    chinese = good("funnel", *tiny.values(), LANG="zh_CN.UTF-8").stdout
    both = good("funnel", *tiny.values(), "--lang", "both").stdout
    assert "列说明" not in english
    assert chinese.startswith("漏斗\n")
    assert "share_matured 满期者中的比例" in chinese
    assert both.startswith("Funnel 漏斗\n")


def test_every_shown_column_has_a_chinese_name() -> None:
    shown = (
        "funnel_stages", "funnel_windows", "cohorts", "loop_months", "reproduction",
        "reproduction_curve", "customer_value", "audit", "model_comparison",
        "backtest_scores", "backtest_deciles", "backtest_weeks",
    )  # fmt: skip
    for table in shown:
        for name in schema.names(table):
            if not name.endswith(("_low", "_high")):
                assert texts.COLUMNS_ZH[name], f"{table}.{name}"


@pytest.mark.parametrize("key", texts.SENTENCES)
def test_sentences_have_the_same_places_in_both_languages(key: str) -> None:
    english, chinese = (texts.SENTENCES[key][lang] for lang in ("en", "zh"))
    assert sorted(re.findall(r"{\w+}", english)) == sorted(
        re.findall(r"{\w+}", chinese)
    )
    assert re.search("[\u4e00-\u9fff]", chinese)
    assert english.isascii()


def test_environment_decides_in_its_order() -> None:
    assert manner.environment_lang({"LC_ALL": "en_US", "LANG": "zh_CN"}) == "en"
    assert manner.environment_lang({"LC_ALL": "", "LANG": "zh_TW.UTF-8"}) == "zh"
    assert manner.environment_lang({}) == "en"


# --- streams


def test_data_on_stdout_the_rest_on_stderr_no_colours(shop: dict[str, str]) -> None:
    code, out, err = finished("customers", shop["orders"], "--format", "csv")
    assert code == 0
    assert len(records(out)) == 20
    assert err.startswith("the top 20 of ")
    assert "\x1b" not in out + err


def test_text_to_a_pipe_is_utf8_whatever_the_locale(shop: dict[str, str]) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "selfloop", "funnel", shop["orders"], shop["referrals"],
         shop["visits"], "--by", "channel", "--format", "csv"],
        capture_output=True, check=True,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert "小程序" in process.stdout.decode("utf-8")


def test_a_reader_that_stops_early_is_no_error(shop: dict[str, str]) -> None:
    with child("customers", shop["orders"], "-o", "-", "--format", "csv") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.close()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("args", [("--help",), ("columns",)])
def test_a_full_standard_output_is_an_error(
    tiny: dict[str, str], args: tuple[str, ...]
) -> None:
    words = [*args, *([tiny["orders"]] if args == ("columns",) else [])]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "selfloop", *words],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_progress_waits_a_second_and_needs_somebody_who_watches() -> None:
    with steps(shown=False) as say:
        say("reading")
    with steps(shown=True) as say:
        say("quick")
    assert not manner.Manner(progress=False).shows_steps
    assert not manner.Manner(quiet=True).shows_steps
    # Nobody watches the tests.
    assert not manner.Manner().shows_steps


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("no_color", ["", "1"])
def test_progress_on_a_terminal(
    tiny: dict[str, str], tmp_path: Path, no_color: str
) -> None:
    import pty  # noqa: PLC0415 - not everywhere

    mother, daughter = pty.openpty()
    code = (
        "import time, selfloop.inputs.events as e; usual = e.engine_for\n"
        "def slow(*a, **k): time.sleep(2.5); return usual(*a, **k)\n"
        "e.engine_for = slow\n"
        "from selfloop.cli import main; main()"
    )
    environment = os.environ | {
        "TERM": "xterm",
        "NO_COLOR": no_color,
        "LC_ALL": "C.UTF-8",
    }
    with subprocess.Popen(
        [sys.executable, "-c", code, "funnel", tiny["orders"], "-o",
         str(tmp_path / "f.csv")],
        stdout=subprocess.PIPE, stderr=daughter, env=environment,
    ) as process:  # fmt: skip
        os.close(daughter)
        seen = b""
        # Linux reports the end of a pseudo-terminal as an error.
        try:
            while chunk := os.read(mother, 4096):
                seen += chunk
        except OSError:
            pass
        assert process.stdout is not None
        assert process.stdout.read() == b""
    os.close(mother)
    text = seen.decode()
    assert "starting" in text
    assert ("\x1b[3" in text) == (no_color == "")
    assert "wrote" in text.splitlines()[-1]


def _in_words(work: Callable[[], None]) -> None:
    """Do some work as the command line does it."""
    with cli_app._warnings_in_words():
        work()


def test_our_warnings_are_lines_and_others_stay(capsys: pytest.CaptureFixture) -> None:
    def work() -> None:
        warnings.warn("odd\x1b data", DataWarning, stacklevel=1)
        warnings.warn("odd\x1b data", DataWarning, stacklevel=1)
        warnings.warn("of another library", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="of another library"):
        _in_words(work)
    assert capsys.readouterr().err == "warning: odd\\x1b data\n"


# --- interruption


def _wait_for(found: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Wait until something is there."""
    deadline = time.monotonic() + 60
    while not found():
        assert process.poll() is None, "the command ended too early"
        assert time.monotonic() < deadline, "nothing happened within a minute"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interruption_while_reading_leaves_nothing(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    scratch, target = tmp_path / "scratch", tmp_path / "target"
    scratch.mkdir()
    target.mkdir()
    args = ("report", "-", "-o", str(target / "report.html"))
    with child(*args, TMPDIR=str(scratch)) as process:
        _wait_for(lambda: list(scratch.rglob("stdin.csv")), process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err == b"interrupted\n"
    assert list(scratch.iterdir()) == []
    assert list(target.iterdir()) == []


# The signal arrives when half of the file is on the disk.
INTERRUPTED_WRITE = """
import os, pathlib, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
usual = pathlib.Path.write_text
def half(self, text, **more):
    usual(self, text[: len(text) // 2], **more)
    os.kill(os.getpid(), signal.SIGINT)
    return usual(self, text, **more)
pathlib.Path.write_text = half
from selfloop.cli import main
main()
"""


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_an_interruption_while_writing_leaves_the_older_file(
    tiny: dict[str, str], tmp_path: Path, name: str
) -> None:
    scratch, target = tmp_path / "scratch", tmp_path / "target"
    scratch.mkdir()
    target.mkdir()
    (target / name).write_text("older")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_WRITE, "report", *tiny.values(), "-o",
         str(target / name)],
        capture_output=True, text=True, check=False,
        env=os.environ | {"TMPDIR": str(scratch)},
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr == "interrupted\n"
    assert [path.name for path in target.iterdir()] == [name]
    assert (target / name).read_text() == "older"
    assert list(scratch.iterdir()) == []


def test_an_interruption_in_the_engine_ends_at_once(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ready = tmp_path / "ready"
    # A query of many minutes in place of the first step of reading.
    code = f"""
import pathlib, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import selfloop.inputs.events as events
usual = events.engine_for
def slow(*given, **more):
    engine = usual(*given, **more)
    pathlib.Path({str(ready)!r}).touch()
    query = "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"
    engine.backend.con.execute(query).to_arrow_table()
events.engine_for = slow
from selfloop.cli import main
main()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, "funnel", "x.csv"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(scratch)},
    ) as process:  # fmt: skip
        _wait_for(ready.exists, process)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == b"interrupted\n"
    assert list(scratch.iterdir()) == []


def test_an_interrupted_simulation_leaves_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    with child("simulate", str(folder), "--visitors", "3000000") as process:
        _wait_for(lambda: list(folder.rglob("orders.csv")), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == b"interrupted\n"
    assert not folder.exists()


def test_temporary_files_are_gone_after_a_good_run(
    tiny: dict[str, str], tmp_path: Path
) -> None:
    code, _, _ = finished("report", "-", tiny["referrals"], "-o", "-", "-q",
                          stdin=ORDERS.encode(), TMPDIR=str(tmp_path))  # fmt: skip
    assert code == 0
    assert list(tmp_path.iterdir()) == []
