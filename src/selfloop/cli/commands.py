"""The commands: their words, arguments and help. What they do is imported when run."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click
from click.shell_completion import get_completion_class

from selfloop.cli.manner import put
from selfloop.cli.options import (
    AHEAD,
    BAD_ROWS,
    INPUTS,
    MANNER,
    MAP,
    TABLES,
    VALUE,
    Decorator,
    packed,
    shown,
    together,
)
from selfloop.core import schema
from selfloop.core.settings import MAX_WINDOW_DAYS, WINDOWS_DAYS

ORDERS = "loop", "strict"
"""Choices of ``--order``."""

MODELS = (
    "auto", "bg_nbd", "mbg_nbd", "pareto_nbd", "bg_cnbd_k", "mbg_cnbd_k", "bg_bb",
    "pdo", "nbd",
)  # fmt: skip
"""Models of purchases, as `selfloop.fit_lifetime` takes them."""

PERIODS = "day", "week", "month", "quarter"
"""Choices of ``--period``."""

CLOCKS = "calendar", "rolling"
"""Choices of ``--clock``."""

METRICS = "share_active", "n_orders", "revenue", "value_per_customer"
"""Choices of ``--metric``."""

SCORES = "quantile", "fixed"
"""Choices of ``--scores``."""

STAGES = "conversion", "repurchase", "referral"
"""Choices of ``--stage``."""

_PEOPLE = [
    *schema.names("people"), "arrived_month", "arrived_quarter", "first_order_month",
    "first_order_quarter",
]  # fmt: skip


def _late(place: str) -> Callable[..., None]:
    """Return a function that is imported when it is called."""
    module, name = place.split(":")

    def call(**options: Any) -> None:  # noqa: ANN401 - passed on
        """Import the work of a command and do it."""
        getattr(import_module(f"selfloop.cli.{module}"), name)(**packed(options))

    return call


def _command(
    name: str,
    place: str,
    *options: Decorator[Any],
    example: str,
    answers: str,
    more: str = "",
) -> click.Command:
    """Make a command whose help begins with an example."""
    make = click.command(
        name,
        help=f"\b\nExample: {example}\n\n{answers}\n\n{more}",
        short_help=answers,
        context_settings={
            # One variable for an option of all commands: SELFLOOP_TZ.
            "auto_envvar_prefix": "SELFLOOP",
            "help_option_names": ["-h", "--help"],
            "max_content_width": 100,
        },
    )
    return make(together(*options, MANNER)(_late(place)))


def _out(default: str, help_text: str) -> Decorator[Any]:
    """Return the option that names a report."""
    return click.option(
        "-o", "--out", type=click.Path(), default=default, show_default=True,
        metavar="FILE", help=help_text,
    )  # fmt: skip


_TITLE = click.option("--title", help="Title, such as the name of the shop.")

_FONT = click.option(
    "--embed-font", type=click.Choice(["auto", "always", "never"]), default="auto",
    show_default=True, help="Chinese characters as a font in the page.",
)  # fmt: skip

_WITHIN = click.option(
    "--within", type=click.IntRange(1, MAX_WINDOW_DAYS), multiple=True, metavar="DAYS",
    default=WINDOWS_DAYS, show_default=True, help="Window; may be given several times.",
)  # fmt: skip

_TOP = click.option(
    "--top", type=click.IntRange(min=1), default=20, show_default=True, metavar="N",
    help="Rows shown without -o.",
)  # fmt: skip

_REPORT = _command(
    "report", "pages:report",
    INPUTS, BAD_ROWS, VALUE, _TITLE, _FONT,
    _out("report.html", "The page; the suffix says the format: .html (with .json "
         "beside it), .json, .md. - is standard output."),
    click.option(
        "--format", "page_format", type=click.Choice(["html", "json", "md"]),
        default="html", show_default=True, help="Format on standard output.",
    ),
    example="selfloop report orders.csv referrals.csv -o report.html",
    answers="Write the whole analysis as one page that works offline.",
    more="Ends with what was written, the headline numbers and what to do next.",
)  # fmt: skip

_FUNNEL = _command(
    "funnel", "tables:funnel",
    INPUTS, BAD_ROWS,
    click.option(
        "--by", type=click.Choice(_PEOPLE), metavar="COLUMN", multiple=True,
        help="Break down by a column of people, such as source, channel or "
        "arrived_month; once or twice.",
    ),
    click.option(
        "--order", type=click.Choice(ORDERS), default="loop", show_default=True,
        help="strict: each stage is a share of the one before.",
    ),
    click.option(
        "--against", metavar="SEGMENT",
        help="With one --by: compare all segments with this one, not with the rest.",
    ),
    click.option(
        "--window-days", type=click.IntRange(1, MAX_WINDOW_DAYS), default=90,
        show_default=True, metavar="DAYS",
        help="Window in which segments are compared.",
    ),
    _WITHIN,
    shown("windows", "stages", "times", "differences"),
    example="selfloop funnel orders.csv referrals.csv visits.csv --by source",
    answers="How many come, buy, buy again and bring others.",
    more="Table windows has the shares within the windows; stages what "
    "happened so far; times how long people take; differences which segments of one "
    "--by differ beyond chance. With --by, lines (all) are of all together.",
)  # fmt: skip

_PERIOD = click.option(
    "--period", "period_length", type=click.Choice(PERIODS), default="month",
    show_default=True, help="Length of the periods.",
)  # fmt: skip

_COHORTS = _command(
    "cohorts", "cohorts:cohorts",
    INPUTS, BAD_ROWS, _PERIOD,
    click.option(
        "--clock", type=click.Choice(CLOCKS), default="calendar", show_default=True,
        help="rolling: ages in blocks of 1, 7, 30 or 91 days from each first purchase.",
    ),
    click.option(
        "--by", type=click.Choice(_PEOPLE), metavar="COLUMN",
        help="Break down by a column of people, such as source.",
    ),
    click.option(
        "--metric", type=click.Choice(METRICS), default="share_active",
        show_default=True, help="What is shown by cohort and age, and projected.",
    ),
    shown("cohorts", "ages", "ahead"),
    example="selfloop cohorts orders.csv --period week --metric value_per_customer",
    answers="How many customers of one period come back, and what they are worth.",
    more="Table cohorts has every cell, ages the average customer at each age from "
    "finished cells, ahead how far young cohorts will get.",
)  # fmt: skip

_LOOP = _command(
    "loop", "tables:loop",
    INPUTS, BAD_ROWS,
    shown("months", "reproduction", "curve", "weeks", "lineage", "lineage_months"),
    example="selfloop loop orders.csv referrals.csv",
    answers="How strong the loop is, and what carried each month.",
    more="Table months has the self-circulation share, reproduction has R(H), curve "
    "has R by age, lineage what came of the people whom nobody brought.",
)  # fmt: skip

_PRODUCTS = _command(
    "products", "people:products",
    INPUTS, BAD_ROWS,
    click.option(
        "--window-days", type=click.IntRange(1, MAX_WINDOW_DAYS), default=180,
        show_default=True, metavar="DAYS", help="Bought again within so many days.",
    ),
    click.option(
        "--due", is_flag=True,
        help="List customers who are past their usual gap for a product instead.",
    ),
    click.option(
        "--top", type=click.IntRange(1, 10_000), default=20, show_default=True,
        metavar="N", help="Products, those with most buyers; with --due rows shown.",
    ),
    shown("products"),
    example="selfloop products orders.csv --map product=StockCode --due -o due.csv",
    answers="When customers buy the same product again, and who is due.",
    more="The orders need a column of products.",
)  # fmt: skip

_STUCK = _command(
    "stuck", "people:stuck",
    INPUTS, BAD_ROWS,
    click.option(
        "--stage", type=click.Choice(STAGES),
        default="repurchase", show_default=True,
        help="The stage they have not reached.",
    ),
    click.option(
        "--min-days", type=click.IntRange(min=0), default=0, show_default=True,
        metavar="DAYS", help="Only people who have been stuck for at least so long.",
    ),
    click.option(
        "--within-days", type=click.IntRange(1, MAX_WINDOW_DAYS), default=90,
        show_default=True, metavar="DAYS",
        help="Days ahead in which such people may still come.",
    ),
    click.option(
        "--order", type=click.Choice(ORDERS), default="loop", show_default=True,
        help="strict: at referral only who bought twice can be stuck.",
    ),
    _TOP,
    shown("stuck"),
    example="selfloop stuck orders.csv --min-days 60 -o stuck.csv",
    answers="Who could have bought (again) or brought somebody, and has not yet.",
    more="With -o all of them are written; without it the top ones are shown, by "
    "revenue. Column share_coming is of all people who were stuck as long.",
)  # fmt: skip

_REPURCHASE = _command(
    "repurchase", "repurchase:repurchase",
    INPUTS, BAD_ROWS,
    click.option(
        "--by", type=click.Choice(_PEOPLE), metavar="COLUMN", multiple=True,
        help="Break down by a column of people, such as source; once or twice.",
    ),
    _PERIOD,
    click.option(
        "--bin-days", type=click.IntRange(1, 366), default=7, show_default=True,
        metavar="DAYS", help="Width of the bins of days since the last purchase.",
    ),
    _WITHIN,
    shown("windows", "steps", "days", "gaps", "reminders", "returning"),
    example="selfloop repurchase orders.csv",
    answers="How many buy again, how long they take, and when to remind them.",
    more="Table windows has the shares that go on from the first purchase to the "
    "second, from the second to the third ... within the windows; days "
    "how long they take; gaps how likely a purchase is by days since the last; "
    "reminders when most come back; returning the three repeat rates of each period.",
)  # fmt: skip

_SEGMENTS = _command(
    "segments", "repurchase:segments",
    INPUTS, BAD_ROWS,
    click.option(
        "--scores", type=click.Choice(SCORES), default="quantile", show_default=True,
        help="RFM scores by rank, or by edges that stay the same.",
    ),
    click.option(
        "--since", metavar="YYYY-MM-DD",
        help="Day from which customers have moved; by default 90 days before the end.",
    ),
    _PERIOD,
    click.option(
        "--dormant-after-days", type=click.IntRange(1, MAX_WINDOW_DAYS), metavar="DAYS",
        help="Dormant after so many days without a purchase; by default as the gaps "
        "of the shop suggest.",
    ),
    click.option(
        "--lost-after-days", type=click.IntRange(2, 36_525), metavar="DAYS",
        help="Lost after so many; by default three times those of dormant.",
    ),
    shown("segments", "after", "migration", "lifecycle", "grid", "bounds",
          "concentration"),
    example="selfloop segments orders.csv --table migration",
    answers="In which state customers are, where they went, who holds the revenue.",
    more="Table segments has customers by recency and frequency (RFM), grid each pair "
    "of scores, after what the segments of that day did since, migration where they "
    "went, lifecycle the active, dormant and lost of each period, concentration the "
    "share of the top 1, 10 and 20 %.",
)  # fmt: skip

_COMPARE = _command(
    "compare", "comparing:compare",
    click.argument("first", type=click.Path(), metavar="FIRST.json"),
    click.argument("second", type=click.Path(), metavar="SECOND.json"),
    shown("compare"),
    example="selfloop compare march.json june.json",
    answers="What has changed from one report to another, and what may be chance.",
    more="selfloop report writes the JSON file beside each page.",
)  # fmt: skip

_CUSTOMERS = _command(
    "customers", "people:customers",
    INPUTS, BAD_ROWS, VALUE,
    _TOP,
    shown("customers"),
    example="selfloop customers orders.csv referrals.csv -o customers.parquet",
    answers="What each customer is worth: lifetime value and social value.",
    more="With -o all customers are written; without it the top ones are shown, by "
    "total value (by lifetime value without referrals).",
)  # fmt: skip

_LIFETIME = _command(
    "lifetime", "lifetime:lifetime",
    INPUTS, BAD_ROWS,
    click.option(
        "--model", type=click.Choice(MODELS), default="auto", show_default=True,
        help="Model of purchases; auto fits several and takes the least AIC.",
    ),
    AHEAD,
    shown("parameters", "comparison", "scores", "deciles", "weeks"),
    example="selfloop lifetime orders.csv --horizon-days 180",
    answers="What buyers are going to buy, by which model, and if it was right before.",
    more="Table comparison has the models that were tried, scores how the model and "
    "simple methods predicted the last third of the period, deciles the same by tenths "
    "of buyers, weeks by week.",
)  # fmt: skip

_REFERRALS = _command(
    "referrals", "referrals:referrals",
    INPUTS, BAD_ROWS,
    click.option(
        "--horizon-days", type=click.IntRange(1, MAX_WINDOW_DAYS), default=90,
        show_default=True, metavar="DAYS", help="Days to come.",
    ),
    shown("grid", "advocates", "generations", "trees", "times", "concentration",
          "differences", "tenure", "along_links", "referral_scores", "rules", "flags",
          "flagged_links"),
    example="selfloop referrals orders.csv referrals.csv --table advocates",
    answers="Who brings whom, what is to come of it, and what looks wrong.",
    more="Table grid has four kinds of customers, advocates those with the most social "
    "value, differences referred people beside others, rules and flags what is worth a "
    "look, flagged_links the referrals in question.",
)  # fmt: skip

_OUTLOOK = _command(
    "outlook", "outlook:outlook",
    INPUTS, BAD_ROWS,
    click.option(
        "--months", type=click.IntRange(1, 60), default=12, show_default=True,
        help="Months to come.",
    ),
    click.option(
        "--horizon-days", type=click.IntRange(1, MAX_WINDOW_DAYS), default=365,
        show_default=True, metavar="DAYS",
        help="Age to which the value of visitors counts.",
    ),
    click.option(
        "--margin", type=click.FloatRange(1e-6, 1), default=1.0, show_default=True,
        help="Share of revenue that pays for acquisition.",
    ),
    click.option(
        "--target", "targets", multiple=True, metavar="STAGE=VALUE",
        help="What if a stage reached this: conversion_90d, repurchase_90d, "
        "referral_90d (a share), traffic, paid_traffic (times today's). May be given "
        "several times.",
    ),
    shown("value", "stages", "totals", "months", "what_if", "channels", "spend_months",
          "spend_trends", "r_by_source", "r_by_quarter", "trend", "cascades",
          "backtest", "cohorts", "cells"),
    example="selfloop outlook orders.csv referrals.csv visits.csv --spend spend.csv "
    "--target repurchase_90d=0.40",
    answers="What people are worth, which stage to mend, and what is to come.",
    more="Table value has what a visitor of each source is worth, stages what a little "
    "more of each stage brings, months the months to come with ads and without, "
    "channels what advertising costs and returns, backtest how the same projection "
    "would have done, cells the counts by day that all of it is computed from.",
)  # fmt: skip

_VALIDATE = _command(
    "validate", "checks:validate",
    INPUTS,
    click.option(
        "--strict", is_flag=True, help="Exit with 1 when rows cannot be read."
    ),
    click.option(
        "--failures", type=click.Path(), metavar="DIR",
        help="Write the rows that cannot be read, one CSV per table.",
    ),
    shown("audit", "balance", "notes"),
    example="selfloop validate orders.csv referrals.csv --strict --failures rejected",
    answers="Where every row of the input ends: used, set aside or rejected.",
)  # fmt: skip

_COLUMNS = _command(
    "columns", "checks:columns",
    click.argument("file", type=click.Path(), metavar="FILE"),
    click.option(
        "--table", type=click.Choice(TABLES), help="What the file is; else guessed."
    ),
    MAP,
    shown("columns"),
    example="selfloop columns orders.csv --table orders",
    answers="How each column of a file is recognised, and the --map to change it.",
    more="Exits with 1 when a required column is missing or ambiguous.",
)  # fmt: skip

_SIMULATE = _command(
    "simulate", "shops:simulate",
    click.argument("folder", type=click.Path(), metavar="DIR"),
    click.option(
        "--visitors", type=click.IntRange(1, 10**9), default=2000, show_default=True,
        metavar="N", help="People from outside; those they bring come on top.",
    ),
    click.option(
        "--seed", type=click.IntRange(min=0), default=7, show_default=True,
        metavar="S", help="The same seed gives the same rows.",
    ),
    click.option(
        "--days", type=click.IntRange(1, 7300), default=720, show_default=True,
        metavar="D", help="Length of the period.",
    ),
    click.option(
        "--format", "file_format", type=click.Choice(["csv", "parquet"]),
        default="csv", show_default=True, help="Format of the tables.",
    ),
    example="selfloop simulate shop --visitors 10000 --seed 7",
    answers="Draw a shop whose truth is known: four tables and truth.json.",
)  # fmt: skip

_DEMO = _command(
    "demo", "shops:demo",
    _out("out/report.html", "The page; .html (with .json beside it), .json or .md."),
    example="selfloop demo",
    answers="The main job on a sample shop; prints where the report is.",
)  # fmt: skip


@click.command(
    "completion",
    help="\b\nExample: selfloop completion bash >> ~/.bashrc\n\n"
    "Print the script that completes commands and options in a shell. For fish: "
    "selfloop completion fish > ~/.config/fish/completions/selfloop.fish",
    short_help="Print the script that completes commands in a shell.",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def _completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell."""
    kind = get_completion_class(shell)
    assert kind is not None
    program = ctx.find_root().command
    # The template, not `source()`: that one would start the shell to ask its version.
    script = kind(program, {}, "selfloop", "_SELFLOOP_COMPLETE")
    put(script.source_template % script.source_vars())


COMMANDS: tuple[click.Command, ...] = (
    _REPORT, _FUNNEL, _STUCK, _REPURCHASE, _PRODUCTS, _COHORTS, _SEGMENTS, _CUSTOMERS,
    _LIFETIME, _LOOP, _OUTLOOK, _REFERRALS, _COMPARE, _VALIDATE, _COLUMNS, _SIMULATE,
    _DEMO, _completion,
)  # fmt: skip
"""All commands, in the order of the help."""
