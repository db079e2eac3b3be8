"""Who brings whom, as Markdown."""

from collections.abc import Iterable

from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report import referral_words as words
from selfloop.outputs.report.referral_view import measure_form
from selfloop.outputs.report.writer import (
    Table,
    Writer,
    paragraphs,
    section,
    span,
    table,
)


def referral(writer: Writer) -> Iterable[str]:
    """Write what is to come, kinds of customers, comparison, times and flags.

    Parameters
    ----------
    writer : Writer
        Numbers and languages.

    Yields
    ------
    str
        Paragraphs and tables.
    """
    found = writer.n["referral"]
    if found is None:
        yield from section(writer, "referral.head")
        return
    yield f"## {writer.say('referral.head')}"
    yield from paragraphs(writer, words.expected(found, writer.money))
    yield from paragraphs(writer, words.tested(found))
    if found["grid"] is not None:
        yield f"### {writer.say('grid.head')}"
        yield from paragraphs(writer, words.kinds(found["grid"], writer.money))
        yield table(writer, _kinds(writer))
    yield f"### {writer.say('compare.head')}"
    yield table(writer, _differences(writer))
    yield from paragraphs(writer, words.along_links(found["compared"]))
    yield f"### {writer.say('times.head')}"
    yield table(writer, _times(writer))
    yield f"### {writer.say('few.head')}"
    yield table(writer, _few(writer))
    yield f"### {writer.say('anomaly.head')}"
    yield table(writer, _rules(writer))


def _kinds(writer: Writer) -> Table:
    """Write the four kinds of customers."""
    money = writer.money
    rows = [
        [
            writer.say(f"grid.{row['segment']}"), fmt.count(row["n_people"]),
            fmt.share(row["share_people"]), money.exact(row["revenue"]),
            money.exact(row["social_value"]), writer.say(f"grid.{row['segment']}_do"),
        ]
        for row in writer.n["referral"]["grid"]["cells"]
    ]  # fmt: skip
    heads = ("col.kinds", "col.people", "col.share", "col.revenue", "col.social",
             "col.action")  # fmt: skip
    return heads, rows


def _differences(writer: Writer) -> Table:
    """Write referred people beside others."""
    rows = []
    for row in writer.n["referral"]["compared"]["differences"]:
        write = measure_form(row["measure"], writer.money)
        ends = row["difference_low"], row["difference_high"]
        rows.append([
            writer.say(f"compare.{row['measure']}"),
            fmt.count(row["n_referred"]), fmt.count(row["n_others"]),
            write(row["referred"]), write(row["others"]),
            span(write(row["difference"]), *ends, write).replace("-", "\u2212"),
            "" if row["p_adjusted"] is None else f"{row['p_adjusted']:.2g}",
        ])  # fmt: skip
    heads = ("col.measure", "col.n_referred", "col.n_others", "col.referred_mean",
             "col.others_mean", "col.difference", "col.p_adjusted")  # fmt: skip
    return heads, rows


def _times(writer: Writer) -> Table:
    """Write how long referrals take."""
    rows = [
        [
            writer.say(f"times.{row['step']}"),
            span(fmt.count(row["days_50"]), row["days_50_low"], row["days_50_high"],
                 fmt.count),
            *(fmt.count(row[name])
              for name in ("days_25", "days_75", "naive_days_50", "longest_days")),
        ]
        for row in writer.n["referral"]["times"]
    ]  # fmt: skip
    heads = ("step", "median", "quarter", "three_quarters", "so_far", "longest")
    return tuple(f"col.{head}" for head in heads), rows


def _few(writer: Writer) -> Table:
    """Write how few bring how many."""
    rows = [
        [
            writer.say(f"few.{row['group']}"),
            fmt.count(row["n_people"]),
            *(span(fmt.share(row[name]), row[f"{name}_low"], row[f"{name}_high"],
                   fmt.share)
              for name in ("share_top_1", "share_top_10", "share_top_20")),
            span(fmt.number(row["gini"]), row["gini_low"], row["gini_high"],
                 fmt.number),
        ]
        for row in writer.n["referral"]["concentration"]
    ]  # fmt: skip
    heads = ("col.kinds", "col.people", "col.top1", "col.top10", "col.top20",
             "col.gini")  # fmt: skip
    return heads, rows


def _rules(writer: Writer) -> Table:
    """Write what every rule has flagged."""
    rows = [
        [
            writer.known(f"anomaly.{row['rule']}", row["rule"]),
            fmt.count(row["n_referrers"]),
            fmt.count(row["n_links"]),
            row["meaning"],
        ]
        for row in writer.n["referral"]["anomalies"]["rules"]
    ]
    return ("col.flag_rule", "col.flagged", "col.links", "col.meaning"), rows
