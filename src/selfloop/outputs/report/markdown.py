"""The numbers of a report as Markdown."""

from collections.abc import Iterable, Mapping
from typing import Any

from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report import lifetime_words
from selfloop.outputs.report.finding import finding
from selfloop.outputs.report.folding import unfold
from selfloop.outputs.report.formats import Money
from selfloop.outputs.report.markdown_outlook import outlook
from selfloop.outputs.report.markdown_referral import referral
from selfloop.outputs.report.reasons import said_in
from selfloop.outputs.report.summary import show
from selfloop.outputs.report.voice import PageLang, Voice
from selfloop.outputs.report.writer import (
    Table,
    Writer,
    paragraphs,
    section,
    span,
    table,
)
from selfloop.outputs.tables import markdown_cell

Numbers = Mapping[str, Any]

_AGES = (1, 2, 3, 6, 12)


def markdown(numbers: Numbers, *, lang: PageLang = "both") -> str:
    """Return a report as Markdown.

    Parameters
    ----------
    numbers : mapping
        From `selfloop.outputs.report.numbers.report_numbers`.
    lang : {"both", "en", "zh"}, optional
        Languages.

    Returns
    -------
    str
        The finding, the key numbers and the tables of the page. Texts of the user's
        stay inside their cells.
    """
    n = unfold(numbers)
    writer = Writer(n, Voice(lang), Money(n["meta"]["currency"]))
    parts = [
        f"# {markdown_cell(n['meta']['title'] or writer.say('report.title'))}",
        f"{n['meta']['start']} – {n['meta']['end']} · {n['meta']['timezone']}",
        *_finding(writer),
        *section(writer, "nav.summary", _cards(writer)),
        *section(writer, "funnel.head", _windows(writer)),
        *section(writer, "circulation.head", _months(writer), _r(writer)),
        *section(writer, "cohorts.head", _cohorts(writer)),
        *outlook(writer),
        *_lifetime(writer),
        *section(writer, "social.head", _generations(writer), _books(writer)),
        *section(writer, "advocates.head", _advocates(writer)),
        *referral(writer),
        *section(writer, "quality.head", _audit(writer), _notes(writer)),
        f"selfloop {n['selfloop_version']}",
    ]
    return "\n\n".join(parts) + "\n"


def _finding(writer: Writer) -> Iterable[str]:
    """Write the finding."""
    return paragraphs(writer, finding(writer.n))


def _cards(writer: Writer) -> Table:
    """Write the key numbers."""
    rows = []
    for card in writer.n["kpis"]:
        name = writer.say(f"kpi.{card['key']}", days=fmt.count(card["days"]))
        days = fmt.count(card["days"])
        ends = [show(card, end, writer.money) for end in ("low", "high")]
        interval = "" if card["low"] is None else " – ".join(ends)
        if card["value"] is None:
            interval = writer.say(f"missing.{card['reason']}")
        value = show(card, "value", writer.money)
        rows.append([name, value, interval, days if card["days"] else ""])
    return ("col.item", "col.value", "col.interval", "col.horizon"), rows


def _windows(writer: Writer) -> Table:
    """Write every rate within every window, in two forms."""
    rows = []
    for row in writer.n["funnel"]["windows"]:
        shares = [
            span(fmt.share(row[f"share_{form}"]), row[f"share_{form}_low"],
                  row[f"share_{form}_high"], fmt.share)
            for form in ("matured", "within")
        ]  # fmt: skip
        counts = [fmt.count(row[c]) for c in ("n_entered", "n_matured", "n_open")]
        stage = writer.say(f"stage.{row['stage']}")
        rows.append([stage, str(row["window_days"]), *counts, *shares])
    heads = ("col.stage", "col.window", "col.entered", "col.matured", "col.open",
             "col.share_matured", "col.share_within")  # fmt: skip
    return heads, rows


def _months(writer: Writer) -> Table:
    """Write what carried each month; the share only beside R."""
    known = writer.n["loop"]["horizon_days"] is not None
    heads = ["col.month", "col.orders", "col.repeat", "stage.referral", "source.paid",
             "source.organic", "source.unknown", "col.revenue"]  # fmt: skip
    counts = ("n_orders", "n_repeat", "n_first_referral", "n_first_paid",
              "n_first_organic", "n_first_unknown")  # fmt: skip
    rows = []
    for month in writer.n["loop"]["months"]:
        line = [month["month"], *(fmt.count(month[c]) for c in counts)]
        line.append(writer.money.exact(month["revenue"]))
        share = [fmt.share(month["share_orders"])] if known else []
        rows.append(line + share)
    return [*heads, *(["col.share_orders"] if known else [])], rows


def _r(writer: Writer) -> Table:
    """Write R at each horizon."""
    rows = [
        [
            str(row["horizon_days"]),
            fmt.count(row["n_observed"]),
            fmt.count(row["n_referrals"]),
            span(fmt.number(row["r"]), row["r_low"], row["r_high"], fmt.number),
            fmt.number(row["k_naive"]),
        ]
        for row in writer.n["loop"]["reproduction"]
    ]
    return ("col.horizon", "col.observed", "col.referrals", "col.r", "col.naive"), rows


def _cohorts(writer: Writer) -> Table:
    """Write the share of each cohort that bought in some later months."""
    rows = []
    for cohort in writer.n["cohorts"]:
        shares = dict(enumerate(cohort["share_active"]))
        later = [fmt.share(shares.get(age)) for age in _AGES]
        rows.append([cohort["cohort"], fmt.count(cohort["n_people"]), *later])
    return ("col.cohort", "col.buyers", *(f"+{age}" for age in _AGES)), rows


def _sources(writer: Writer) -> Table:
    """Write the lifetime value per buyer of each source."""
    money = writer.money
    rows = []
    for row in writer.n["lifetime"]["by_source"]:
        key = "segment.all" if row["source"] == "all" else f"source.{row['source']}"
        value = row["lifetime_value_per_buyer"]
        rows.append([
            writer.known(key, row["source"]),
            fmt.count(row["n_buyers"]),
            money.short(row["revenue_per_buyer"]),
            span(money.short(value), row["low"], row["high"], money.short),
        ])  # fmt: skip
    return ("col.source", "col.buyers", "col.own", "col.lifetime"), rows


def _lifetime(writer: Writer) -> Iterable[str]:
    """Write what is expected, whether it would have been right, and by which model."""
    lifetime, money = writer.n["lifetime"], writer.money
    if lifetime["model"] is None:
        yield from section(writer, "lifetime.head", _sources(writer))
        why = writer.n["unavailable"].get("lifetime value", "")
        yield _missing(writer, "missing.no_model", why)
        return
    yield f"## {writer.say('lifetime.head')}"
    yield from paragraphs(writer, lifetime_words.expected(lifetime, money))
    yield table(writer, _forecast(writer))
    for note in lifetime_words.cautions(lifetime, money):
        yield from paragraphs(writer, note)
    yield table(writer, _sources(writer))
    if lifetime["spend"] is None:
        yield _missing(writer, "missing.no_spend_model", lifetime["spend_reason"])
    yield f"### {writer.say('backtest.head')}"
    if lifetime["backtest"] is None:
        yield _missing(writer, "report.missing", lifetime["backtest_reason"])
    else:
        yield from paragraphs(writer, lifetime_words.backtested(lifetime, money))
        yield table(writer, _scores(writer))
        yield writer.say("backtest.decile")
        yield table(writer, _deciles(writer))
    yield f"### {writer.say('choice.head')}"
    yield from paragraphs(writer, lifetime_words.chosen(lifetime))
    if lifetime["choice"] is not None:
        yield table(writer, _models(writer))


def _missing(writer: Writer, key: str, why: str) -> str:
    """Say what is missing, and why."""
    said = dict.fromkeys(said_in(why, lang) for lang in writer.voice.langs)
    return f"{writer.say(key)}: {markdown_cell(' / '.join(said))}"


def _forecast(writer: Writer) -> Table:
    """Write what all buyers and a new one are going to bring, with intervals."""
    lifetime, rows = writer.n["lifetime"], []
    total, new = lifetime["total"], lifetime["new_customer"]
    days = fmt.count(total["horizon_days"])
    for found, name, what, write in (
        (total, "forecast.purchases", "purchases", fmt.count),
        (total, "forecast.value", "value", writer.money.short),
        (new, "forecast.new_count", "purchases", fmt.number),
        (new, "forecast.new", "value", writer.money.short),
    ):
        ends = [found[f"{what}_{end}"] for end in ("low", "high")]
        means = [found.get(f"{what}_mean_{end}") for end in ("low", "high")]
        if found is new:
            ends, means = [None, None], ends
        rows.append([
            writer.say(name, days=days), write(found[what]),
            *(" – ".join(map(write, pair)) if pair[0] is not None else fmt.MISSING
              for pair in (ends, means)),
        ])  # fmt: skip
    return ("col.item", "col.value", "col.happen", "col.mean"), rows


def _scores(writer: Writer) -> Table:
    """Write the scores of the model and of naive methods."""
    test = writer.n["lifetime"]["backtest"]
    rows = []
    for row in test["scores"]:
        total = writer.money.short if row["measure"] == "value" else fmt.count
        each = writer.money.short if row["measure"] == "value" else fmt.number
        rows.append([
            writer.known(f"method.{row['method']}", row["method"]),
            writer.say(f"measure.{row['measure']}"),
            total(row["predicted"]), total(row["actual"]),
            lifetime_words.signed_share(row["error"]), each(row["mae"]),
            each(row["rmse"]), fmt.number(row["rank_correlation"]),
            fmt.share(row["share_top_tenth"]),
        ])  # fmt: skip
    heads = ("method", "measure", "predicted", "actual", "error", "mae", "rmse",
             "rank_correlation", "top_tenth")  # fmt: skip
    return tuple(f"col.{head}" for head in heads), rows


def _deciles(writer: Writer) -> Table:
    """Write the tenths of buyers, predicted and actual."""
    rows = []
    for row in writer.n["lifetime"]["backtest"]["deciles"]:
        write = writer.money.short if row["measure"] == "value" else fmt.number
        rows.append([
            str(row["decile"]), writer.say(f"measure.{row['measure']}"),
            fmt.count(row["n_people"]), write(row["predicted"]),
            span(write(row["actual"]), row["actual_low"], row["actual_high"], write),
        ])  # fmt: skip
    return ("col.decile", "col.measure", "col.people", "col.predicted",
            "col.actual"), rows  # fmt: skip


def _models(writer: Writer) -> Table:
    """Write the models of purchases side by side."""
    rows = [
        [
            row["label"],
            fmt.count(row["n_parameters"]),
            lifetime_words.aic(row["aic_above_best"]),
            lifetime_words.signed_share(row["holdout_error"]),
            lifetime_words.log_score(row["holdout_log_score"]),
            " ".join(dict.fromkeys(
                said_in(row["role"], lang) for lang in writer.voice.langs
            )),
        ]
        for row in writer.n["lifetime"]["choice"]["models"]
    ]  # fmt: skip
    heads = ("model", "n_parameters", "aic", "holdout_error", "log_score", "use")
    return tuple(f"col.{head}" for head in heads), rows


def _generations(writer: Writer) -> Table:
    """Write people and revenue of each generation."""
    rows = [
        [
            str(row["generation"]),
            fmt.count(row["n_people"]),
            fmt.count(row["n_buyers"]),
            writer.money.exact(row["revenue"]),
        ]
        for row in writer.n["social"]["generations"]
    ]
    return ("col.generation", "col.people", "col.buyers", "col.revenue"), rows


def _books(writer: Writer) -> Table:
    """Write the books of the ledger, which balance."""
    if not writer.n["social"]["network"]:
        return ("social.books", "col.value"), []
    totals = writer.n["social"]["totals"]
    parts = {"revenue": "books.revenue", "given_value": "books.given",
             "social_value": "books.social", "total_value": "books.total"}  # fmt: skip
    rows = [
        [writer.say(name), writer.money.exact(totals[key])]
        for key, name in parts.items()
    ]
    return ("social.books", "col.value"), rows


def _advocates(writer: Writer) -> Table:
    """Write the customers with the highest social value."""
    rows = [
        [
            row["person_id"],
            writer.money.exact(row["revenue"]),
            writer.money.exact(row["social_value"]),
            writer.money.exact(row["total_value"]),
            fmt.count(row["n_referred"]),
            fmt.count(row["reach"]),
        ]
        for row in writer.n["advocates"]
    ]
    heads = ("col.customer", "col.own", "col.social", "col.total", "col.referred",
             "col.reach")  # fmt: skip
    return heads, rows


def _audit(writer: Writer) -> Table:
    """Write where every row went."""
    rows = [
        [
            writer.known(f"table.{row['table']}", row["table"]),
            writer.known(f"outcome.{row['outcome']}", row["outcome"]),
            writer.known(f"reason.{row['reason']}", row["reason"]),
            fmt.count(row["n_rows"]),
            "" if row["amount"] is None else writer.money.exact(row["amount"]),
        ]
        for row in writer.n["audit"]["rows"]
    ]
    return ("col.table", "col.outcome", "col.reason", "col.rows", "col.amount"), rows


def _notes(writer: Writer) -> Table:
    """Write what is missing, and the notes."""
    rows = [
        [
            writer.known(f"part.{part}", part),
            " / ".join(dict.fromkeys(said_in(reason, x) for x in writer.voice.langs)),
        ]
        for part, reason in writer.n["unavailable"].items()
    ]
    rows += [[f"{note['table']} {note['code']}", note["note"]] for note in
             writer.n["notes"]]  # fmt: skip
    return ("col.part", "col.reason"), rows
