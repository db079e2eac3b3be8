"""What people do wrong, and odd data: a clear error or an audited result, always."""

import gzip
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from selfloop.cli.app import app

# The oldest click that is supported mixes the streams unless told not to.
_APART = "mix_stderr" in signature(CliRunner).parameters
RUNNER = CliRunner(**{"mix_stderr": False} if _APART else {})

HEAD = "customer_id,ordered_at,amount\n"
GOOD = HEAD + "A,2026-01-01,10\nB,2026-01-02,20\nA,2026-01-20,5\n"
LINKS = "referrer_id,referee_id,referred_at\n"


def run(*args: str, stdin: str | None = None) -> Result:
    """Run a command in this process; an exception that is no exit is a traceback."""
    result = RUNNER.invoke(
        app, list(args), input=stdin, env={"LANG": "C", "LC_ALL": "", "LC_MESSAGES": ""}
    )
    assert result.exception is None or isinstance(result.exception, SystemExit), (
        result.exc_info
    )
    assert "Traceback" not in result.stdout + result.stderr
    return result


def audit(*args: str) -> dict[tuple[str, str], int]:
    """Read with everything that can be read; return rows by table and code."""
    result = run("validate", *args, "--format", "json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    for line in answer["balance"]:
        parts = ("used", "set_aside", "rejected")
        assert line["n_read"] == sum(line[f"n_{part}"] for part in parts)
        if line["amount_read"] is not None:
            amounts = [line[f"amount_{part}"] for part in parts]
            assert line["amount_read"] == pytest.approx(sum(amounts))
    return {(row["table"], row["code"]): row["n_rows"] for row in answer["audit"]}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], str]:
    """Write a file and return its path."""

    def write_file(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write_file


Write = Callable[[str, str], str]


# --- errors in the data

BAD_ORDERS = {
    # name: (content, code, what the message has to say)
    "missing column": ("customer_id,ordered_at,amout\nA,2026-01-01,1\n", "SL101",
                       ["'amount'", "amout", "help   --map orders.amount=amout"]),
    "ambiguous column": ("customer_id,ordered_at,total,revenue\nA,2026-01-01,1,1\n",
                         "SL102", ["'total', 'revenue'", "--map orders.amount=total"]),
    "one name twice": ("customer_id,ordered_at,amount,amount\nA,2026-01-01,1,1\n",
                       "SL102", ["'amount'"]),
    "unreadable date": (HEAD + "A,2026/13/02,1\nA,2026-01-02,1\n", "SL111",
                        ["1 of 2", "2026/13/02", "--on-bad-rows quarantine"]),
    "no number": (HEAD + "A,2026-01-01,many\n", "SL112", ["many"]),
    "infinite": (HEAD + "A,2026-01-01,inf\nA,2026-01-02,1\n", "SL113", ["inf"]),
    "two currencies": ("customer_id,ordered_at,amount,currency\nA,2026-01-01,1,CNY\n"
                       "A,2026-01-02,1,USD\n", "SL114", ["CNY", "USD"]),
    "day or month": (HEAD + "A,01/02/2026,1\nA,03/04/2026,1\n", "SL115",
                     ["--date-format"]),
    "no rows": (HEAD, "SL103", ["no rows"]),
    "no content": ("", "SL103", ["empty"]),
    "torn line": (HEAD + "A,2026-01-01,1\nA,2026-01-02,1,9,9\n", "SL109",
                  ["--on-bad-rows quarantine"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ORDERS)
@pytest.mark.parametrize("command", ["report", "funnel", "customers", "loop"])
def test_bad_orders(write: Write, tmp_path: Path, command: str, name: str) -> None:
    content, code, words = BAD_ORDERS[name]
    orders = write("orders.csv", content)
    out = ["-o", str(tmp_path / "report.html")] if command == "report" else []
    result = run(command, orders, *out)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: orders: ")
    assert f"  code   {code}" in result.stderr
    for word in words:
        assert word in result.stderr
    assert os.listdir(tmp_path) == ["orders.csv"]


def test_all_problems_at_once(write: Write) -> None:
    orders = write("o.csv", HEAD + "A,x,1\nA,2026-01-01,y\nA,2026-01-01,inf\n")
    links = write("r.csv", LINKS + ",,2026-01-01\nA,B,z\n")
    result = run("funnel", orders, links)
    assert result.exit_code == 2
    assert result.stderr.count("error: ") == 5
    for code in ("SL110", "SL111", "SL112", "SL113"):
        assert f"  code   {code}" in result.stderr
    columns = run("funnel", write("c.csv", "a,b\n1,2\n"), write("d.csv", "a,b\n1,2\n"))
    assert columns.stderr.count("SL101") == 6


def test_bad_rows_can_be_left_out(write: Write) -> None:
    orders = write("o.csv", GOOD + "A,x,1\nA,2026-01-01,y\nA,2026-01-01,inf\n")
    found = audit(orders)
    assert found == {
        ("orders", ""): 3, ("orders", "SL111"): 1, ("orders", "SL112"): 1,
        ("orders", "SL113"): 1,
    }  # fmt: skip
    result = run("funnel", orders, "--on-bad-rows", "quarantine")
    assert result.exit_code == 0
    assert "warning: 3 rows cannot be read" in result.stderr


def test_only_bad_rows_are_an_error_also_when_left_out(write: Write) -> None:
    orders = write("o.csv", HEAD + "A,x,1\n")
    result = run("funnel", orders, "--on-bad-rows", "quarantine")
    assert result.exit_code == 2
    assert "SL111" in result.stderr


def test_a_message_cannot_move_the_cursor(write: Write) -> None:
    orders = write("o.csv", HEAD + "A,\x1b[2J\x07,1\nA,2026-01-01,1\n")
    for command in ("funnel", "validate"):
        result = run(command, orders)
        shown = result.stdout + result.stderr
        assert "\x1b" not in shown
        assert "\\x1b[2J" in shown


# --- odd data with an audited result


def test_blank_ids(write: Write) -> None:
    orders = write("o.csv", GOOD + ",2026-01-03,7\n")
    links = write("r.csv", LINKS + "A,,2026-01-01\n,B,2026-01-01\n")
    visits = write("v.csv", "visitor_id,visited_at\n,2026-01-01\nA,2026-01-01\n")
    assert audit(orders, links, visits) == {
        ("orders", ""): 3, ("orders", "SL120"): 1,
        ("referrals", "SL110"): 1, ("referrals", "SL201"): 1,
        ("visits", ""): 1, ("visits", "SL122"): 1,
    }  # fmt: skip


ODD_ORDERS = {
    "only guests": HEAD + ",2026-01-01,10\n,2026-01-02,5\n",
    "only refunds": HEAD + "A,2026-01-01,-10\nB,2026-01-02,-5\n",
    "only free orders": HEAD + "A,2026-01-01,0\nB,2026-01-02,0\n",
    "one customer": HEAD + "A,2026-01-01,10\n",
    "unsorted": HEAD + "B,2026-01-02,20\nA,2026-01-20,5\nA,2026-01-01,10\n",
}


@pytest.mark.parametrize("name", ODD_ORDERS)
@pytest.mark.parametrize(
    "command", ["report", "funnel", "cohorts", "customers", "loop"]
)
def test_odd_orders_have_a_result(
    write: Write, tmp_path: Path, command: str, name: str
) -> None:
    orders = write("o.csv", ODD_ORDERS[name])
    out = ["-o", str(tmp_path / "r.html")] if command == "report" else []
    result = run(command, orders, *out)
    assert result.exit_code == 0, result.output
    assert "nan" not in (result.stdout + result.stderr).lower()


@pytest.mark.parametrize("name", ["only guests", "only refunds"])
def test_nobody_who_bought_is_no_zero_rate(write: Write, name: str) -> None:
    orders = write("o.csv", ODD_ORDERS[name])
    answer = json.loads(run("funnel", orders, "--format", "json").stdout)
    shares = {row["share_matured"] for row in answer["windows"]}
    assert shares <= {None}
    audit(orders)


def test_the_order_of_rows_does_not_matter(write: Write) -> None:
    one, two = write("a.csv", GOOD), write("b.csv", ODD_ORDERS["unsorted"])
    for command in ("funnel", "cohorts", "loop", "customers"):
        left = run(command, one, "--format", "json").stdout
        assert left == run(command, two, "--format", "json").stdout


def test_self_referrals_and_rings(write: Write) -> None:
    # Everybody buys late, so that only the rules on links decide.
    orders = write("o.csv", HEAD + "".join(f"{p},2026-02-01,1\n" for p in "ABC"))
    links = write("r.csv", LINKS + "A,A,2026-01-01\nA,B,2026-01-02\nB,C,2026-01-03\n"
                  "C,A,2026-01-04\nA,B,2026-01-09\n")  # fmt: skip
    found = audit(orders, links)
    assert found["referrals", "SL202"] == 1
    assert found["referrals", "SL203"] == 1
    # The ring A B C A loses its latest link.
    assert found["referrals", "SL207"] == 1
    assert found["referrals", ""] == 2


def test_copies_of_rows_are_kept_and_said(write: Write) -> None:
    orders = write("o.csv", GOOD + "A,2026-01-20,5\n")
    result = run("funnel", orders)
    assert result.exit_code == 0
    assert "note: orders: 1 rows are exact copies" in result.stderr
    assert "(SL150)" in result.stderr


def test_zones_are_mixed(write: Write) -> None:
    orders = write(
        "o.csv", HEAD + "A,2026-01-01T23:00:00Z,1\nA,2026-01-02 08:00:00,1\n"
    )
    result = run("validate", orders, "--tz", "Asia/Shanghai", "--format", "json")
    notes = json.loads(result.stdout)["notes"]
    assert [note["code"] for note in notes] == ["SL151"]
    # 23:00 UTC is 07:00 of the second in Shanghai: both on one day, one purchase.
    loop = json.loads(run("loop", orders, "--tz", "Asia/Shanghai", "--format", "json",
                          "-q").stdout)  # fmt: skip
    assert [row["n_orders"] for row in loop["months"]] == [1]


def _timed(people: np.ndarray, column: str) -> pd.DataFrame:
    """Give each person an order a minute after the one before."""
    start = np.datetime64("2025-01-01T00:00:00")
    minutes = np.arange(people.size).astype("timedelta64[m]")
    return pd.DataFrame({column: people, "at": start + minutes})


def _deep_and_wide(
    tmp_path: Path, referrer: np.ndarray, referee: np.ndarray
) -> list[str]:
    """Write an order a minute, and the referral of each 45 seconds before it."""
    links = _timed(referee, "referee_id").rename(columns={"at": "referred_at"})
    links.insert(0, "referrer_id", referrer)
    people = np.concatenate([[referrer[0]], referee])
    orders = _timed(people, "customer_id").rename(columns={"at": "ordered_at"})
    orders["ordered_at"] -= np.timedelta64(30, "s")
    orders["amount"] = 1.0
    links["referred_at"] -= np.timedelta64(15, "s")
    orders.to_parquet(tmp_path / "orders.parquet")
    links.to_parquet(tmp_path / "referrals.parquet")
    return [str(tmp_path / "orders.parquet"), str(tmp_path / "referrals.parquet")]


def test_a_chain_of_100_000(tmp_path: Path) -> None:
    ids = np.arange(100_001)
    paths = _deep_and_wide(tmp_path, ids[:-1], ids[1:])
    assert audit(*paths)["referrals", ""] == 100_000
    out = tmp_path / "c.parquet"
    result = run("customers", *paths, "-o", str(out), "-q")
    assert result.exit_code == 0, result.output
    people = pd.read_parquet(out)
    assert people["generation"].max() == 100_000
    assert people["reach"].max() == 100_000
    assert people["total_value"].sum() == pytest.approx(100_001)


def test_a_million_referees_of_one(tmp_path: Path) -> None:
    ids = np.arange(1_000_001)
    paths = _deep_and_wide(tmp_path, np.zeros(1_000_000, dtype=np.int64), ids[1:])
    out = tmp_path / "c.parquet"
    result = run("customers", *paths, "-o", str(out), "-q")
    assert result.exit_code == 0, result.output
    people = pd.read_parquet(out, columns=["person_id", "n_referred", "total_value"])
    assert people["n_referred"].max() == 1_000_000
    # Each passes up half of 1: the one keeps 1 + 500,000.
    assert people["total_value"].max() == pytest.approx(500_001)


# --- files

NOT_WHAT_IT_SAYS = {
    "orders.parquet": b"customer_id,ordered_at,amount\n",
    "orders.csv": b"PAR1\x00\x00",
    "orders.csv.gz": b"customer_id,ordered_at,amount\n",
    "orders.tsv": b"PK\x03\x04rest",
    "orders.jsonl": b"\x1f\x8b\x08",
}


@pytest.mark.parametrize("name", NOT_WHAT_IT_SAYS)
def test_a_file_that_is_not_what_its_suffix_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(NOT_WHAT_IT_SAYS[name])
    for command in ("funnel", "columns"):
        result = run(command, str(path))
        assert result.exit_code == 2
        assert "is not what its suffix says" in result.stderr
        assert "  code   SL106" in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("o.csv.gz", gzip.compress(GOOD.encode())[:-9], "SL106"),
        ("o.parquet", b"PAR1" + b"\x00" * 50, "SL106"),
        ("o.jsonl", b'{"customer_id": 1,\n', "SL106"),
        ("o.csv", b"customer_id,ordered_at,amount\n\xff\xff,2026-01-01,1\n", "SL108"),
        ("o.xlsx", b"PK\x03\x04", "SL107"),
        ("o", b"x", "SL107"),
    ],
    ids=["cut gzip", "cut parquet", "cut json", "no encoding", "excel", "no suffix"],
)
def test_damaged_or_unknown_files(
    tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    (tmp_path / name).write_bytes(content)
    result = run("funnel", str(tmp_path / name))
    assert result.exit_code == 2
    assert f"  code   {code}" in result.stderr


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for name in ("orders.csv", "*.csv", "."):
        result = run("funnel", str(tmp_path / name))
        assert result.exit_code in (2, 3)
        assert result.stderr.startswith("error: orders: ")
    assert run("funnel", str(tmp_path / "orders.csv")).exit_code == 3
    assert run("columns", str(tmp_path / "orders.csv")).exit_code == 3


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").mkdir()
    result = run("funnel", str(tmp_path / "orders.csv"))
    assert result.exit_code == 3
    assert "Is a directory" in result.stderr


# The superuser reads everything: become nobody, once all modules are there.
AS_NOBODY = """
import os, selfloop.cli, selfloop.cli.tables
if os.geteuid() == 0:
    os.setegid(65534), os.seteuid(65534)
selfloop.cli.main()
"""


def test_no_permission_to_read(tmp_path: Path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text(GOOD)
    orders.chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, "funnel", str(orders)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "Permission denied" in done.stderr
    assert "  code   SL105" in done.stderr
    assert "Traceback" not in done.stderr


OUTPUTS = [
    ("report", "r.html"), ("report", "r.md"), ("funnel", "f.csv"), ("loop", "l.json"),
    ("customers", "c.parquet"), ("validate", "v.xlsx"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "name"), OUTPUTS)
def test_an_output_folder_that_does_not_exist(
    tmp_path: Path, command: str, name: str
) -> None:
    # It is said before the (missing) input is looked at: no work for nothing.
    target = tmp_path / "no" / name
    result = run(command, str(tmp_path / "absent.csv"), "-o", str(target))
    assert result.exit_code == 3
    assert "  code   SL140" in result.stderr
    assert "mkdir -p" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("command", "name"), OUTPUTS)
def test_an_unknown_suffix(write: Write, command: str, name: str) -> None:
    result = run(command, write("o.csv", GOOD), "-o", f"{name}.docx")
    assert result.exit_code == 2
    assert "the format follows from the suffix" in result.stderr


def test_an_output_that_is_a_folder(write: Write, tmp_path: Path) -> None:
    (tmp_path / "r.html").mkdir()
    result = run("report", write("o.csv", GOOD), "-o", str(tmp_path / "r.html"))
    assert result.exit_code == 3
    assert "  code   SL143" in result.stderr


def test_folders_that_cannot_be_made(write: Write, tmp_path: Path) -> None:
    orders = write("o.csv", GOOD)
    place = str(tmp_path / "a" / "b")
    for args in (("validate", orders, "--failures", place), ("simulate", place)):
        result = run(*args)
        assert result.exit_code == 3
        assert "  code   SL140" in result.stderr
    in_a_file = run("simulate", f"{orders}/x", "--visitors", "10")
    assert in_a_file.exit_code == 3


# Files may not grow beyond a few bytes: the disk is full.
FULL_DISK = """
import resource, selfloop.cli
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
selfloop.cli.main()
"""


@pytest.mark.parametrize(
    ("command", "name"),
    [*OUTPUTS, ("simulate", "")],
)
def test_a_full_disk(tmp_path: Path, command: str, name: str) -> None:
    orders, target = tmp_path / "orders.csv", tmp_path / "target"
    rows = "".join(f"{i},2026-01-{i % 28 + 1:02},{i}\n" for i in range(1, 400))
    orders.write_text(HEAD + rows)
    target.mkdir()
    args = {
        "simulate": [str(target), "--visitors", "200"],
    }.get(command, [str(orders), "-o", str(target / name)])
    done = subprocess.run(
        [sys.executable, "-B", "-c", FULL_DISK, command, *args],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "  code   SL142" in done.stderr
    assert list(target.iterdir()) == []


def test_too_little_memory_is_said(tmp_path: Path) -> None:
    n = 200_000
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "customer_id": rng.permutation(n),
            "ordered_at": np.datetime64("2026-01-01"),
            "amount": 1.0,
        }
    )
    frame.to_parquet(tmp_path / "orders.parquet")
    result = run("funnel", str(tmp_path / "orders.parquet"), "--memory-limit", "2MB")
    assert result.exit_code == 3
    assert "Out of Memory" in result.stderr


# --- usage

USAGE = {
    "unknown command": (["reprot", "o.csv"], "did you mean 'report'?"),
    "unknown option": (["funnel", "o.csv", "--formta", "md"], "--format"),
    "no argument": (["report"], "ORDERS"),
    "too many arguments": (["report", "a", "b", "c", "d"], "unexpected extra argument"),
    "choice": (["funnel", "o.csv", "--format", "pdf"], "'table', 'json', 'csv', 'md'"),
    "zone": (["funnel", "o.csv", "--tz", "asia/shangai"],
             "did you mean Asia/Shanghai?"),
    "end": (["funnel", "o.csv", "--end", "June"], "'June' does not match"),
    "window": (["funnel", "o.csv", "--attribution-window", "0"], "x>=1"),
    "memory": (["funnel", "o.csv", "--memory-limit", "much"], "such as 500MB"),
    "by": (["funnel", "o.csv", "--by", "sorce"], "'source'"),
    "map without =": (["funnel", "o.csv", "--map", "amount"], "is not ROLE=COLUMN"),
    "map to nothing": (["funnel", "o.csv", "--map", "amount="], "is not ROLE=COLUMN"),
    "map role": (["funnel", "o.csv", "--map", "amout=x"], "did you mean 'amount'?"),
    "map table": (["funnel", "o.csv", "--map", "order.amount=x"],
                  "did you mean 'orders'?"),
    "map table role": (["funnel", "o.csv", "--map", "orders.amout=x"],
                       "did you mean 'amount'?"),
    "map absent table": (["funnel", "o.csv", "--map", "visits.channel=x"],
                         "no file of visits is given"),
    "map of two tables": (["funnel", "o.csv", "r.csv", "--map", "channel=x"],
                          "orders.channel=... or referrals.channel=..."),
    "map twice": (["funnel", "o.csv", "--map", "amount=x", "--map", "orders.amount=y"],
                  "mapped to two columns: 'x' and 'y'"),
    "table twice": (["funnel", "o.csv", "r.csv", "--referrals", "s.csv"],
                    "referrals are given twice: r.csv and --referrals s.csv"),
    "stdin twice": (["funnel", "-", "-"], "one table only"),
    "negative rate": (["customers", "o.csv", "--discount-rate", "-1"], "0<=x<=10"),
    "no rows": (["customers", "o.csv", "--top", "0"], "x>=1"),
    "shell": (["completion", "tcsh"], "'bash'"),
    "visitors": (["simulate", "d", "--visitors", "0"], "1<=x<="),
}  # fmt: skip


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage(name: str) -> None:
    args, words = USAGE[name]
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    usage, error, *_, hint = result.stderr.splitlines()
    assert usage.startswith("Usage: selfloop ")
    assert error.startswith("error: ")
    assert words in result.stderr
    assert hint.endswith("--help")


def test_a_file_in_place_of_a_command(write: Write) -> None:
    orders = write("orders.csv", GOOD)
    result = run(orders)
    assert result.exit_code == 2
    assert f"did you mean: selfloop report {orders}" in result.stderr


def test_the_command_line_fix_works(write: Write) -> None:
    orders = write("o.csv", "customer_id,ordered_at,amout\nA,2026-01-01,1\n")
    result = run("funnel", orders)
    line = next(x for x in result.stderr.splitlines() if x.startswith("  help   "))
    assert run("funnel", orders, *line.split()[1:]).exit_code == 0


def test_signals_of_the_caller_are_left_as_they_were() -> None:
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    run("--version")
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 200
