"""Funnel, time to the second purchase, cohorts and top tenth, by one program.

Run by `repeat.py`: repeat_work.py JOB RECORD STARTED, where JOB is JSON. Packages are
imported by the programs that need them: this file also runs where selfloop is not
installed.

All programs count the same: people by the channel of their first visit (ties by
name); one purchase per customer and day of positive sum; a referral counts when it is
the first of its referee, before the referee's first purchase and at most 90 days older.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from stopwatch import Stopwatch, cpu_seconds, peak_bytes

WINDOW = 90
Answers = list[list[Any]]
"""Task, one or two keys, and a number."""

MODULES = {
    "selfloop": ("selfloop", "selfloop.measures.analyze"),
    "duckdb": ("duckdb",),
    "polars": ("polars",),
    "pandas": ("pandas",),
    "retentioneering": ("retentioneering.eventstream",),
    "lifelines": ("lifelines",),
}
"""Loaded before anything is timed."""


def selfloop(folder: Path, watch: dict[str, float]) -> Answers:
    """Read, then make a call per question."""
    import selfloop as sl

    events = sl.read_events(
        str(folder / "orders.parquet"),
        str(folder / "referrals.parquet"),
        visits=str(folder / "visits.parquet"),
    )
    watch["read"] = time.perf_counter()
    funnel = sl.funnel(events, "channel", windows_days=(WINDOW,))
    times = sl.stage_times(events, within_days=(WINDOW,))
    cohorts = sl.cohorts(events)
    top = sl.concentration(events)
    watch["questions"] = time.perf_counter()
    found: Answers = []
    for row in funnel.windows.to_dict("records"):
        for name in ("n_entered", "n_matured", "n_matured_reached"):
            key = f"{row['stage']} {name}"
            found.append(["funnel", row["segment"], key, int(row[name])])
    line = funnel.stage_totals.set_index("stage").loc["conversion"]
    found.append(["total", "", "came", int(line["n_entered"])])
    found.append(["total", "", "bought", int(line["n_reached"])])
    curve = times.curve[times.curve["stage"] == "repurchase"].set_index("day")
    found.append(["curve", "", "", float(curve["share_within"][WINDOW])])
    for row in cohorts.table.to_dict("records"):
        found.append(["cohort", row["cohort"], str(row["age"]), int(row["n_active"])])
    share = top.shares.set_index("group")["share_top_10"]["buyers"]
    found.append(["top", "", "", float(share)])
    return found


PEOPLE = """
WITH bought AS (
    SELECT customer_id AS who, CAST(ordered_at AS DATE) AS day, sum(amount) AS net
    FROM orders GROUP BY ALL
), days AS (
    SELECT who, day, row_number() OVER (PARTITION BY who ORDER BY day) AS rank
    FROM bought WHERE net > 0
), people AS (
    SELECT who, min(day) AS first_day, min(day) FILTER (rank = 2) AS second_day
    FROM days GROUP BY who
), seen AS (
    SELECT visitor_id AS who, min(visited_at) AS at,
        arg_min(channel, (visited_at, channel)) AS channel
    FROM visits GROUP BY who
), firsts AS (
    SELECT referee_id AS who, arg_min(referrer_id, (referred_at, referrer_id)) AS by,
        min(referred_at) AS at
    FROM referrals GROUP BY referee_id
), times AS (
    SELECT customer_id AS who, min(ordered_at) AS at FROM orders WHERE amount > 0
    GROUP BY who
), wins AS (
    SELECT f.by AS who, p.first_day AS day
    FROM firsts f JOIN people p USING (who) JOIN times t USING (who)
    WHERE f.at <= t.at AND f.at >= t.at - INTERVAL 90 DAY
), success AS (
    SELECT p.who, min(w.day) AS day FROM wins w JOIN people p USING (who)
    WHERE w.day >= p.first_day GROUP BY p.who
)
SELECT coalesce(s.who, p.who) AS who, CAST(s.at AS DATE) AS arrived_day,
    s.channel, p.first_day, p.second_day, x.day AS success_day
FROM seen s FULL JOIN people p ON s.who = p.who LEFT JOIN success x ON x.who = p.who
"""


def duckdb(folder: Path, watch: dict[str, float]) -> Answers:
    """Ask in SQL."""
    import duckdb as db

    con = db.connect()
    for name in ("orders", "referrals", "visits"):
        file = folder / f"{name}.parquet"
        con.sql(f"CREATE VIEW {name} AS SELECT * FROM '{file}'")
    con.sql(f"CREATE TABLE people AS {PEOPLE}")
    watch["read"] = time.perf_counter()
    end = con.sql("SELECT max(CAST(ordered_at AS DATE)) FROM orders").fetchall()[0][0]
    seen = con.sql("SELECT max(CAST(visited_at AS DATE)) FROM visits").fetchall()[0][0]
    end = max(end, seen)
    found: Answers = []
    for stage, entry, reached in STAGES:
        rows = con.sql(
            f"SELECT channel, count(*), count(*) FILTER (DATE '{end}' - {entry} >= 90),"
            f" count(*) FILTER (DATE '{end}' - {entry} >= 90 AND {reached} - {entry} "
            f"<= 90) FROM people WHERE {entry} IS NOT NULL GROUP BY channel"
        ).fetchall()
        for channel, *counts in rows:
            found += _funnel_lines(channel, stage, counts)
    days = con.sql(
        f"SELECT coalesce(second_day, DATE '{end}') - first_day AS d, "
        "second_day IS NOT NULL AS hit, count(*) FROM people "
        "WHERE first_day IS NOT NULL GROUP BY ALL"
    ).fetchall()
    found.append(["curve", "", "", _curve_at(days)])
    cells = con.sql(
        "WITH m AS (SELECT DISTINCT customer_id AS who, "
        "date_trunc('month', ordered_at) AS month FROM (SELECT customer_id, "
        "CAST(ordered_at AS DATE) AS ordered_at, sum(amount) AS net FROM orders "
        "GROUP BY ALL) WHERE net > 0) "
        "SELECT strftime(date_trunc('month', first_day), '%Y-%m'), "
        "datediff('month', date_trunc('month', first_day), month), count(*) "
        "FROM m JOIN people USING (who) GROUP BY ALL"
    ).fetchall()
    found += [["cohort", cohort, str(age), n] for cohort, age, n in cells]
    money = con.sql(
        "SELECT sum(amount) AS x FROM orders JOIN people ON customer_id = who "
        "WHERE first_day IS NOT NULL GROUP BY customer_id"
    ).fetchnumpy()["x"]
    found.append(["top", "", "", _top_tenth(money)])
    came, bought = con.sql("SELECT count(*), count(first_day) FROM people").fetchall()[
        0
    ]
    found += [["total", "", "came", came], ["total", "", "bought", bought]]
    watch["questions"] = time.perf_counter()
    return found


STAGES = (
    ("conversion", "arrived_day", "first_day"),
    ("repurchase", "first_day", "second_day"),
    ("referral", "first_day", "success_day"),
)


def _funnel_lines(channel: str | None, stage: str, counts: list[int]) -> Answers:
    """Name the three counts of a stage."""
    names = ("n_entered", "n_matured", "n_matured_reached")
    segment = channel or "(missing)"
    pairs = zip(names, counts, strict=True)
    return [["funnel", segment, f"{stage} {name}", int(n)] for name, n in pairs]


def _curve_at(days: list[tuple[int, bool, int]]) -> float:
    """Return 1 - Kaplan-Meier at the window, from counts by day."""
    import numpy as np

    size = max(d for d, *_ in days) + 1
    hits, left = np.zeros(size), np.zeros(size)
    for day, hit, n in days:
        (hits if hit else left)[day] += n
    at_risk = np.cumsum((hits + left)[::-1])[::-1]
    return float(1 - np.prod(1 - hits[: WINDOW + 1] / at_risk[: WINDOW + 1]))


def _top_tenth(money: Any) -> float:
    """Return the share of the tenth who brought most."""
    import numpy as np

    money = np.sort(np.asarray(money, dtype=float))[::-1]
    n = money.size * 0.1
    whole = int(n)
    return float((money[:whole].sum() + (n - whole) * money[whole]) / money.sum())


def polars(folder: Path, watch: dict[str, float]) -> Answers:
    """Ask with lazy frames."""
    import polars as pl

    orders, referrals, visits = (
        pl.scan_parquet(folder / f"{name}.parquet")
        for name in ("orders", "referrals", "visits")
    )
    bought = (
        orders.with_columns(day=pl.col("ordered_at").dt.date())
        .group_by("customer_id", "day").agg(net=pl.col("amount").sum())
        .filter(pl.col("net") > 0).select(who="customer_id", day="day")
        .collect(engine="streaming")
    )  # fmt: skip
    people = bought.group_by("who").agg(
        first_day=pl.col("day").min(),
        second_day=pl.col("day").bottom_k(2).sort().get(1, null_on_oob=True),
    )
    seen = (
        visits.sort("visited_at", "channel").group_by("visitor_id")
        .agg(arrived=pl.col("visited_at").first(), channel=pl.col("channel").first())
        .select(who="visitor_id", arrived_day=pl.col("arrived").dt.date(),
                channel="channel").collect(engine="streaming")
    )  # fmt: skip
    firsts = (
        referrals.sort("referred_at", "referrer_id").group_by("referee_id")
        .agg(by=pl.col("referrer_id").first(), at=pl.col("referred_at").first())
        .rename({"referee_id": "who"}).collect(engine="streaming")
    )  # fmt: skip
    times = (
        orders.filter(pl.col("amount") > 0).group_by(who="customer_id")
        .agg(first_at=pl.col("ordered_at").min()).collect(engine="streaming")
    )  # fmt: skip
    wins = (
        firsts.join(times, on="who")
        .join(people, on="who")
        .filter(
            (pl.col("at") <= pl.col("first_at"))
            & (pl.col("at") >= pl.col("first_at") - pl.duration(days=90))
        )
    )
    success = (
        wins.select(who="by", day="first_day").join(people, on="who")
        .filter(pl.col("day") >= pl.col("first_day"))
        .group_by("who").agg(success_day=pl.col("day").min())
    )  # fmt: skip
    table = seen.join(people, on="who", how="full", coalesce=True).join(
        success, on="who", how="left"
    )
    watch["read"] = time.perf_counter()
    last = max(bought["day"].max(), seen["arrived_day"].max())
    found: Answers = []
    for stage, entry, reached in STAGES:
        took = (pl.col(reached) - pl.col(entry)).dt.total_days()
        seen_days = (pl.lit(last) - pl.col(entry)).dt.total_days()
        rows = table.filter(pl.col(entry).is_not_null()).group_by("channel").agg(
            a=pl.len(), b=(seen_days >= WINDOW).sum(),
            c=((seen_days >= WINDOW) & (took <= WINDOW)).sum(),
        )  # fmt: skip
        for channel, *counts in rows.iter_rows():
            found += _funnel_lines(channel, stage, counts)
    days = (
        table.filter(pl.col("first_day").is_not_null())
        .select(
            d=(pl.col("second_day").fill_null(last) - pl.col("first_day"))
            .dt.total_days(),
            hit=pl.col("second_day").is_not_null(),
        ).group_by("d", "hit").len()
    )  # fmt: skip
    found.append(["curve", "", "", _curve_at(days.rows())])
    months = bought.select("who", month=pl.col("day").dt.truncate("1mo")).unique()
    cells = (
        months.join(people, on="who")
        .with_columns(first=pl.col("first_day").dt.truncate("1mo"))
        .select(
            cohort=pl.col("first").dt.strftime("%Y-%m"),
            age=(pl.col("month").dt.year() - pl.col("first").dt.year()) * 12
            + pl.col("month").dt.month() - pl.col("first").dt.month(),
        ).group_by("cohort", "age").len()
    )  # fmt: skip
    found += [["cohort", cohort, str(age), n] for cohort, age, n in cells.rows()]
    money = (
        orders.group_by(who="customer_id").agg(x=pl.col("amount").sum())
        .collect(engine="streaming").join(people, on="who", how="semi")
    )  # fmt: skip
    found.append(["top", "", "", _top_tenth(money["x"].to_numpy())])
    found.append(["total", "", "came", table.height])
    found.append(["total", "", "bought", people.height])
    watch["questions"] = time.perf_counter()
    return found


def pandas(folder: Path, watch: dict[str, float]) -> Answers:
    """Ask with data frames."""
    import pandas as pd

    orders, referrals, visits = (
        pd.read_parquet(folder / f"{name}.parquet")
        for name in ("orders", "referrals", "visits")
    )
    orders["day"] = orders["ordered_at"].dt.normalize()
    net = orders.groupby(["customer_id", "day"], as_index=False)["amount"].sum()
    bought = net[net["amount"] > 0].sort_values(["customer_id", "day"])
    rank = bought.groupby("customer_id").cumcount()
    people = bought[rank == 0].set_index("customer_id")[["day"]]
    people = people.rename(columns={"day": "first_day"})
    people["second_day"] = bought[rank == 1].set_index("customer_id")["day"]
    seen = visits.sort_values(["visited_at", "channel"]).drop_duplicates("visitor_id")
    seen = seen.set_index("visitor_id")
    firsts = referrals.sort_values(["referred_at", "referrer_id"])
    firsts = firsts.drop_duplicates("referee_id").set_index("referee_id")
    first_at = orders[orders["amount"] > 0].groupby("customer_id")["ordered_at"].min()
    firsts["bought_at"] = first_at
    firsts["first_day"] = people["first_day"]
    valid = (firsts["referred_at"] <= firsts["bought_at"]) & (
        firsts["referred_at"] >= firsts["bought_at"] - pd.Timedelta(days=90)
    )
    wins = firsts[valid & firsts["first_day"].notna()]
    own = wins["referrer_id"].map(people["first_day"])
    success = wins[wins["first_day"] >= own].groupby("referrer_id")["first_day"].min()
    table = people.reindex(people.index.union(seen.index))
    table["arrived_day"] = seen["visited_at"].dt.normalize()
    table["channel"] = seen["channel"]
    table["success_day"] = success
    watch["read"] = time.perf_counter()
    last = max(orders["day"].max(), table["arrived_day"].max())
    found: Answers = []
    for stage, entry, reached in STAGES:
        rows = table[table[entry].notna()]
        matured = (last - rows[entry]).dt.days >= WINDOW
        hit = matured & ((rows[reached] - rows[entry]).dt.days <= WINDOW)
        counts = pd.DataFrame({"a": 1, "b": matured, "c": hit}).astype("int64")
        sums = counts.groupby(rows["channel"].fillna("(missing)")).sum()
        for channel, *three in sums.itertuples():
            found += _funnel_lines(channel, stage, three)
    days = (table["second_day"].fillna(last) - table["first_day"]).dt.days
    hist = (
        pd.DataFrame({"d": days, "hit": table["second_day"].notna()})
        .dropna().astype({"d": int}).value_counts()
    )  # fmt: skip
    found.append(["curve", "", "", _curve_at([(*k, n) for k, n in hist.items()])])
    month = bought["day"].dt.year * 12 + bought["day"].dt.month
    first = bought["customer_id"].map(people["first_day"])
    age = month - (first.dt.year * 12 + first.dt.month)
    cells = pd.DataFrame(
        {"who": bought["customer_id"], "cohort": first.dt.strftime("%Y-%m"), "age": age}
    ).drop_duplicates()
    for (cohort, old), n in cells.groupby(["cohort", "age"]).size().items():
        found.append(["cohort", cohort, str(old), int(n)])
    money = orders.groupby("customer_id")["amount"].sum()
    found.append(["top", "", "", _top_tenth(money[money.index.isin(people.index)])])
    found += [["total", "", "came", len(table)], ["total", "", "bought", len(people)]]
    watch["questions"] = time.perf_counter()
    return found


def retentioneering(folder: Path, watch: dict[str, float]) -> Answers:
    """Build its stream of events and ask for its funnel: all that it can answer."""
    import pandas as pd
    from retentioneering import Eventstream

    orders = pd.read_parquet(
        folder / "orders.parquet", columns=["customer_id", "ordered_at"]
    ).set_axis(["user_id", "timestamp"], axis=1)
    visits = pd.read_parquet(
        folder / "visits.parquet", columns=["visitor_id", "visited_at"]
    ).set_axis(["user_id", "timestamp"], axis=1)
    rows = [visits.assign(event="visit"), orders.assign(event="order")]
    stream = Eventstream(
        pd.concat(rows, ignore_index=True), schema={"path_cols": ["user_id"]}
    )
    watch["read"] = time.perf_counter()
    data = stream.funnel_data(steps=["visit", "order"])
    watch["questions"] = time.perf_counter()
    counts = [int(step["unique_paths"]) for step in data["steps"]]
    return [["total", "", "came", counts[0]], ["total", "", "bought", counts[1]]]


PROGRAMS: dict[str, Callable[[Path, dict[str, float]], Answers]] = {
    "selfloop": selfloop,
    "duckdb": duckdb,
    "polars": polars,
    "pandas": pandas,
    "retentioneering": retentioneering,
}


def main(job: dict[str, Any], watch: Stopwatch) -> None:
    """Do the work once and hand over the answers."""
    program = job["program"]
    for module in MODULES[program]:
        import_module(module)
    watch.step("work")
    marks: dict[str, float] = {}
    wall, cpu = time.perf_counter(), cpu_seconds()
    found = PROGRAMS[program](Path(job["folder"]), marks)
    end, spent = time.perf_counter(), cpu_seconds() - cpu
    peak = peak_bytes()
    watch.step(None)
    watch.answer({
        "seconds": end - wall, "cpu": spent, "peak_bytes": peak, "found": found,
        "read": marks["read"] - wall, "questions": marks["questions"] - marks["read"],
        "version": version(program),
    })  # fmt: skip


if __name__ == "__main__":
    text, record, started = sys.argv[1:]
    asked = json.loads(text)
    python = asked.pop("python", None)
    if python is not None:  # the packages of this program live elsewhere
        os.execv(python, [python, __file__, json.dumps(asked), record, started])
    main(asked, Stopwatch(Path(record), started=float(started)))
