"""What follows from the loop, as Markdown."""

from collections.abc import Iterable

from selfloop.outputs.report import formats as fmt
from selfloop.outputs.report import outlook_words as words
from selfloop.outputs.report.writer import Table, Writer, paragraphs, span, table


def outlook(writer: Writer) -> Iterable[str]:
    """Write growth, worth, costs, stages and months to come.

    Parameters
    ----------
    writer : Writer
        Numbers and languages.

    Yields
    ------
    str
        Paragraphs and tables; parts that cannot be computed are left out here and
        named among the missing ones.
    """
    found, money = writer.n["outlook"], writer.money
    yield f"## {writer.say('outlook.head')}"
    yield from paragraphs(writer, [
        *words.without_ads(found), *words.running_dry(found),
        *words.worth(found, money), *words.stage(found, money),
        *words.ahead(found, money), *words.tested(found, money),
    ])  # fmt: skip
    yield f"### {writer.say('worth.head')}"
    yield table(writer, _values(writer))
    for head, part, rows in (
        ("stage.head", "leverage", _steps),
        ("ahead.head", "ahead", _months),
        ("cost.head", "cost", _costs),
    ):
        if found[part] is not None:
            yield f"### {writer.say(head)}"
            yield table(writer, rows(writer))
    if found["growth"] is not None:
        yield f"### {writer.say('cascades.head')}"
        yield table(writer, _cascades(writer))


def _values(writer: Writer) -> Table:
    """Write what people of each source are worth."""
    money = writer.money.exact
    rows = [
        [
            writer.say("worth.outside") if row["segment"] == words.OUTSIDE
            else writer.say(f"source.{row['segment']}"),
            span(fmt.share(row["share_converted"]), row["share_converted_low"],
                 row["share_converted_high"], fmt.share),
            money(row["own_value"]), fmt.number(row["r"]),
            span(money(row["buyer_value"]), row["buyer_value_low"],
                 row["buyer_value_high"], money),
            span(money(row["visitor_value"]), row["visitor_value_low"],
                 row["visitor_value_high"], money),
            fmt.share(row["share_brought"]),
        ]
        for row in writer.n["outlook"]["value"]["rows"]
    ]  # fmt: skip
    heads = ("col.source", "col.converted", "worth.own", "col.r", "col.buyer_value",
             "col.visitor_value", "col.share_brought")  # fmt: skip
    return heads, rows


def _steps(writer: Writer) -> Table:
    """Write what a step of each stage adds."""
    money = writer.money.exact
    rows = [
        [
            writer.say(f"stage.{row['stage']}"), row["step"],
            fmt.share(row["share"]), fmt.share(row["share_then"]),
            span(money(row["value_gain"]), row["value_gain_low"],
                 row["value_gain_high"], money),
            span(money(row["revenue_gain"]), row["revenue_gain_low"],
                 row["revenue_gain_high"], money),
        ]
        for row in writer.n["outlook"]["leverage"]["rows"]
    ]  # fmt: skip
    heads = ("col.stage", "col.per_step", "col.today", "col.then", "col.value_gain",
             "col.gain")  # fmt: skip
    return heads, rows


def _months(writer: Writer) -> Table:
    """Write the months to come."""
    money = writer.money.exact
    rows = [
        [
            f"{row['month']}{' …' if row['status'] == 'partial' else ''}",
            writer.say(f"ahead.{row['scenario']}"),
            span(fmt.count(row["buyers"]), row["buyers_low"], row["buyers_high"],
                 fmt.count),
            span(fmt.count(row["orders"]), row["orders_low"], row["orders_high"],
                 fmt.count),
            span(money(row["revenue"]), row["revenue_low"], row["revenue_high"], money),
        ]
        for row in writer.n["outlook"]["ahead"]["months"]
    ]  # fmt: skip
    heads = ("col.month", "col.scenario", "col.new_buyers", "col.orders", "col.revenue")
    return heads, rows


def _costs(writer: Writer) -> Table:
    """Write what channels cost and return."""
    money = writer.money.exact
    rows = [
        [
            writer.say("cost.all") if row["channel"] == "(all)" else row["channel"],
            money(row["spend"]),
            span(money(row["cac"]), row["cac_low"], row["cac_high"], money),
            money(row["buyer_ceiling"]),
            span(fmt.number(row["return_ratio"]), row["return_ratio_low"],
                 row["return_ratio_high"], fmt.number),
            span(fmt.count(row["payback_days"]), row["payback_days_low"],
                 row["payback_days_high"], fmt.count),
        ]
        for row in writer.n["outlook"]["cost"]["channels"]
    ]  # fmt: skip
    heads = ("col.paid_channel", "col.spend", "col.cac", "col.buyer_value",
             "col.return", "col.payback")  # fmt: skip
    return heads, rows


def _cascades(writer: Writer) -> Table:
    """Write sizes of cascades beside the prediction."""
    rows = []
    for row in writer.n["outlook"]["growth"]["cascades"]:
        high = "" if row["size_high"] is None else f" – {row['size_high']}"
        rows.append([
            f"{row['size_low']}{high or '+'}", fmt.count(row["n_seeds"]),
            fmt.share(row["share"]),
            span(fmt.count(row["expected"]), row["expected_low"],
                 row["expected_high"], fmt.count),
        ])  # fmt: skip
    return ("col.cascade", "col.seeds", "col.share", "col.expected"), rows
