"""The options that several commands share, and what they become."""

import difflib
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeVar, get_args
from zoneinfo import available_timezones

import click

from selfloop.cli.manner import Manner, PageLang
from selfloop.cli.mapping import column_map
from selfloop.core.schema import INPUT_ROLES
from selfloop.core.settings import (
    DEFAULT_CODE_CHANNELS,
    DEFAULT_PAID_CHANNELS,
    Attribution,
    OnBadRows,
    Purchase,
    ZeroOrders,
)

if TYPE_CHECKING:
    _TextType = click.ParamType[str]
else:
    # Not generic in the oldest click that is supported.
    _TextType = click.ParamType

Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Function], Function]

STREAM = "-"
"""File name of standard input and standard output."""

TABLES = tuple(INPUT_ROLES)
"""Names of the input tables."""


@dataclass(frozen=True)
class Inputs:
    """The files that a command reads, and how.

    Parameters
    ----------
    sources : dict of str to str
        Input table to path, glob or ``-``; the tables that were given.
    settings : dict
        Keyword arguments of `selfloop.read_events`, those of tables left out.
    """

    sources: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)

    def command(self, name: str, *more: str) -> str:
        """Return the command line of another command on the same tables."""
        words = ["selfloop", name, self.sources["orders"]]
        for table, source in list(self.sources.items())[1:]:
            words += [f"--{table}", source]
        return shlex.join([*words, *more])


class Zone(_TextType):
    """An IANA time zone."""

    name = "zone"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - as click has it
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        """Return the zone, or say which was meant."""
        zones = available_timezones()
        if value in zones:
            return str(value)
        by_form = {zone.casefold(): zone for zone in zones}
        near = difflib.get_close_matches(str(value).casefold(), by_form, n=1)
        hint = f"; did you mean {by_form[near[0]]}?" if near else ""
        self.fail(
            f"{value!r} is no zone such as UTC or Asia/Shanghai{hint}", param, ctx
        )


class Size(_TextType):
    """An amount of memory."""

    name = "size"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - as click has it
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        """Return the amount as the engine reads it."""
        if not re.fullmatch(r"\d+(\.\d+)?\s*[KMGT]i?B", str(value), re.IGNORECASE):
            self.fail(f"{value!r} is no amount such as 500MB or 4GB", param, ctx)
        return str(value)


class Listed(_TextType):
    """A text; several in one environment variable stand between separators."""

    name = "text"

    def __init__(self, name: str, separator: str) -> None:
        self.name = name
        self.envvar_list_splitter = separator  # type: ignore[misc]


def together(*decorators: Decorator[Any]) -> Decorator[Any]:
    """Make one decorator of several; the first one is the first in the help.

    Parameters
    ----------
    *decorators : callable
        Such as results of `click.option`.

    Returns
    -------
    callable
    """

    def decorate(function: Any) -> Any:  # noqa: ANN401 - as the parts
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


MAP = click.option(
    "--map", "map", multiple=True, type=Listed("role=column", ";"),
    metavar="[TABLE.]ROLE=COLUMN",
    help="Column of a role, such as amount=实付金额; repeatable.",
)  # fmt: skip

INPUTS = together(
    click.argument("orders", type=click.Path(), metavar="ORDERS"),
    click.argument(
        "referrals_file", type=click.Path(), required=False, metavar="[REFERRALS]"
    ),
    click.argument(
        "visits_file", type=click.Path(), required=False, metavar="[VISITS]"
    ),
    *(
        click.option(f"--{table}", type=click.Path(), metavar="FILE", help=text)
        for table, text in (
            ("referrals", "Who brought whom; the same as the second argument."),
            ("visits", "Who came; the same as the third argument."),
            ("spend", "Cost of advertising by day and channel."),
        )
    ),
    MAP,
    click.option(
        "--tz", type=Zone(), default="UTC", show_default=True,
        help="Zone in which days and months are cut.",
    ),
    click.option(
        "--end", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD",
        help="Last day of observation; by default the last day with any event.",
    ),
    click.option(
        "--attribution", type=click.Choice(get_args(Attribution)), default="first",
        show_default=True, help="Which referrer counts when there are several.",
    ),
    click.option(
        "--attribution-window", type=click.IntRange(min=1), default=90,
        show_default=True, metavar="DAYS",
        help="An older referral does not explain a first order.",
    ),
    click.option(
        "--half-life", type=click.FloatRange(min=0, min_open=True), default=7.0,
        show_default=True, metavar="DAYS",
        help="With time_decay, a referral this much older has half the weight.",
    ),
    click.option(
        "--purchase", type=click.Choice(get_args(Purchase)), default="day",
        show_default=True, help="A purchase is a customer-day, or an order.",
    ),
    click.option(
        "--zero-orders", type=click.Choice(get_args(ZeroOrders)), default="ignore",
        show_default=True, help="Whether an order of amount zero is a purchase.",
    ),
    click.option(
        "--paid-channel", multiple=True, type=Listed("name", ","), metavar="NAME",
        help="Channel whose traffic is bought; repeatable. By default names such as "
        "ads, cpc, 信息流.",
    ),
    click.option(
        "--code-channel", multiple=True, type=Listed("name", ","), metavar="NAME",
        help="Channel of referrals that is a code used at the order, which beats "
        "clicks; repeatable. By default names such as code, coupon, 邀请码.",
    ),
    click.option(
        "--exclude-referrals", type=click.Path(), metavar="FILE",
        help="Referrals that are not to count: referrer_id, referee_id; such as "
        "selfloop referrals ... --table flagged_links -o FILE.",
    ),
    click.option(
        "--date-format", metavar="FORMAT",
        help="Format of dates in text, such as %d/%m/%Y.",
    ),
    click.option(
        "--memory-limit", type=Size(),
        help="Memory after which the engine goes to disk; 2GB by default.",
    ),
)  # fmt: skip
"""Arguments and options of every command that reads events."""

BAD_ROWS = click.option(
    "--on-bad-rows", type=click.Choice(get_args(OnBadRows)), default="raise",
    show_default=True, help="Stop at rows that cannot be read, or go on without them.",
)  # fmt: skip

MANNER = together(
    click.option(
        "--lang", type=click.Choice(get_args(PageLang)),
        help="Language; by default both in a report, else that of LANG.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="Only results and errors."),
    click.option("--no-progress", is_flag=True, help="Show no progress."),
)  # fmt: skip
"""Options of every command."""

AHEAD = together(
    click.option(
        "--horizon-days", type=click.IntRange(1, 36_525), default=365,
        show_default=True, metavar="DAYS", help="Horizon of expected value.",
    ),
    click.option(
        "--discount-rate", type=click.FloatRange(0, 10), default=0.0,
        show_default=True, metavar="RATE", help="Annual rate, such as 0.1.",
    ),
)  # fmt: skip
"""Options of what is expected."""

VALUE = together(
    click.option(
        "--rule", type=click.Choice(["halving", "shapley"]), default="halving",
        show_default=True, help="How those who brought a buyer share in an order.",
    ),
    AHEAD,
)  # fmt: skip
"""Options of customer value."""


def shown(*tables: str, out: str = ".json .md .csv .parquet .xlsx") -> Decorator[Any]:
    """Return the options of a command that shows tables.

    Parameters
    ----------
    *tables : str
        Names of its tables, the main one first; no choice when there is one.
    out : str, optional
        Suffixes that ``-o`` takes.

    Returns
    -------
    callable
    """
    options = [
        click.option(
            "-o", "--out", type=click.Path(), metavar="FILE",
            help=f"Write a file instead ({out}); - is standard output.",
        ),
        click.option(
            "--format", "format", default="table", show_default=True,
            type=click.Choice(["table", "json", "csv", "md"]),
            help="Form on standard output.",
        ),
    ]  # fmt: skip
    if len(tables) > 1:
        options.append(
            click.option(
                "--table", type=click.Choice(tables),
                help="Only this table; one is all that csv, parquet and xlsx hold "
                f"(else {tables[0]}).",
            )
        )  # fmt: skip
    return together(*options)


def packed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the shared options of a command into `Inputs` and `Manner`.

    Parameters
    ----------
    options : mapping
        What click has parsed.

    Returns
    -------
    dict
        ``manner``, ``inputs`` where the command reads events, and the options that
        are its own.

    Raises
    ------
    click.UsageError
        The options contradict each other.
    """
    rest = dict(options)
    found: dict[str, Any] = {
        "manner": Manner(
            quiet=rest.pop("quiet"),
            progress=not rest.pop("no_progress"),
            lang=rest.pop("lang", None),
        )
    }
    if "orders" in rest:
        found["inputs"] = _inputs(rest)
    return found | rest


def _inputs(rest: dict[str, Any]) -> Inputs:
    """Take the options of `INPUTS` out of the others."""
    sources = {"orders": rest.pop("orders")}
    for table in ("referrals", "visits"):
        place, option = rest.pop(f"{table}_file"), rest.pop(table)
        if place is not None and option is not None:
            raise click.UsageError(
                f"{table} are given twice: {place} and --{table} {option}"
            )
        if (place if place is not None else option) is not None:
            sources[table] = place if place is not None else option
    spend = rest.pop("spend")
    if spend is not None:
        sources["spend"] = spend
    if list(sources.values()).count(STREAM) > 1:
        raise click.UsageError("standard input (-) can be one table only")
    end: datetime | None = rest.pop("end")
    settings: dict[str, Any] = {
        "columns": column_map(rest.pop("map"), list(sources)),
        "timezone": rest.pop("tz"),
        "end": _day(end),
        "on_bad_rows": rest.pop("on_bad_rows", "quarantine"),
        "attribution": rest.pop("attribution"),
        "attribution_window_days": rest.pop("attribution_window"),
        "half_life_days": rest.pop("half_life"),
        "purchase": rest.pop("purchase"),
        "zero_orders": rest.pop("zero_orders"),
        "paid_channels": rest.pop("paid_channel") or DEFAULT_PAID_CHANNELS,
        "code_channels": rest.pop("code_channel") or DEFAULT_CODE_CHANNELS,
        "exclude_referrals": rest.pop("exclude_referrals"),
        "date_format": rest.pop("date_format"),
    }
    memory_limit = rest.pop("memory_limit")
    if memory_limit is not None:
        settings["memory_limit"] = memory_limit
    return Inputs(sources, settings)


def _day(end: datetime | None) -> date | None:
    """Return the day of a moment."""
    return None if end is None else end.date()
