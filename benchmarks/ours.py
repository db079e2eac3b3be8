"""Parquet to the finished report with selfloop: one process, its steps timed.

Run by `run.py`: ours.py FOLDER TABLES RECORD STARTED, where TABLES is
``orders,referrals`` or ``orders,referrals,visits``.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from stopwatch import Stopwatch

import selfloop as sl
from selfloop.measures.analyze import Analysis


def main(folder: Path, tables: list[str], watch: Stopwatch) -> None:
    """Read, analyse, write the report; then hand over the results, untimed."""
    paths = {name: folder / f"{name}.parquet" for name in tables}
    events = sl.read_events(**paths, progress=watch.step)
    # The peers have BG/NBD; the default would fit it beside three others.
    analysis = sl.analyze(events, model="bg_nbd", progress=watch.step)
    watch.step("report")
    with tempfile.TemporaryDirectory() as target:
        report = sl.write_report(analysis, Path(target) / "report.html")
        watch.step(None)
        sizes = {path.suffix[1:]: path.stat().st_size for path in report.paths}
    watch.answer(answers(analysis) | {"report_bytes": sizes})


def answers(analysis: Analysis) -> dict[str, Any]:
    """Collect the numbers that the peer computes too."""
    events, loop = analysis.events, analysis.loop
    network, model = analysis.network, analysis.lifetime
    values = analysis.values
    whole = values.aggregate(
        network_value=values.network_value.sum(),
        social_value=values.social_value.sum(),
        expected_purchases=values.expected_purchases.sum(),
        expected_value=values.expected_value.sum(),
        p_alive=values.p_alive.sum(),
    )
    sums = whole.to_pandas().iloc[0].to_dict()
    people = network.people
    totals = events.totals
    named = ("n_order_rows", "n_people", "n_buyers", "n_repeat_buyers", "n_purchases")
    generations = network.generations.query("generation > 0").set_index("generation")
    return {name: int(totals[name]) for name in named} | {
        "revenue_cents": int(totals["revenue"] * 100),
        "n_links": network.n_links,
        "rates": _rates([analysis.funnel.windows, analysis.funnel_by_source.windows]),
        "cohorts": {
            f"{row.cohort}+{row.age_months}": int(row.n_active)
            for row in analysis.cohorts.table.itertuples()
        },
        "months": _months(loop.months),
        "r": {
            str(row.horizon_days): row.r
            for row in loop.reproduction.itertuples()
            if row.horizon_days in (30, 90, 180, 365)
        },
        "bg_nbd": model.params,
        "bg_nbd_log_likelihood": model.log_likelihood,
        "gamma_gamma": model.spend.params,
        "gamma_gamma_log_likelihood": model.spend.log_likelihood,
        "generations": {
            f"{depth} {what}": int(line[f"n_{what}"])
            for depth, line in generations.iterrows()
            for what in ("people", "buyers")
        },
        "reach": int(people.reach.sum().to_pandas()),
        **{name: float(value) for name, value in sums.items()},
    }


def _rates(tables: list[pd.DataFrame]) -> dict[str, float | None]:
    """Name every rate of two stages by stage, form, segment and window."""
    found: dict[str, float | None] = {}
    rows = pd.concat(tables)
    for row in rows[rows["stage"].isin(["repurchase", "referral"])].itertuples():
        for form in ("within", "matured"):
            share = getattr(row, f"share_{form}")
            key = f"{row.stage} {form} {row.segment} {row.window_days}"
            found[key] = None if pd.isna(share) else float(share)
    return found


def _months(months: pd.DataFrame) -> dict[str, float]:
    """Name the purchases, cents and share of every month."""
    found: dict[str, float] = {}
    kinds = ("repeat", "first_referral", "first_paid", "first_organic", "first_unknown")
    for row in months.itertuples():
        for kind in kinds:
            found[f"{row.month} n {kind}"] = int(getattr(row, f"n_{kind}"))
            cents = round(getattr(row, f"revenue_{kind}") * 100)
            found[f"{row.month} cents {kind}"] = cents
        found[f"{row.month} share"] = float(row.share_orders)
    return found


if __name__ == "__main__":
    place, names, record, started = sys.argv[1:]
    clock = Stopwatch(Path(record), started=float(started))
    main(Path(place), names.split(","), clock)
