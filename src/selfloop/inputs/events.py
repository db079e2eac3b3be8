"""Reading events: the four tables, cleaned, counted and kept in the engine."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, get_args

import ibis.expr.types as ir
import pandas as pd

from selfloop.core.display import show_html, show_text
from selfloop.core.errors import (
    MissingTableError,
    SettingError,
)
from selfloop.core.settings import (
    DEFAULT_CODE_CHANNELS,
    DEFAULT_PAID_CHANNELS,
    Attribution,
    OnBadRows,
    Progress,
    Purchase,
    Rules,
    ZeroOrders,
    check_choice,
    check_day,
)
from selfloop.inputs import baskets as bk
from selfloop.inputs.account import (
    audit_of,
    guest_months,
    guest_orders,
    notes_of,
    silence_note,
    totals_of,
)
from selfloop.inputs.columns import ColumnMap
from selfloop.inputs.currency import currency_of
from selfloop.inputs.duckdb_engine import DEFAULT_MEMORY_LIMIT
from selfloop.inputs.engine import Engine
from selfloop.inputs.engines import engine_for
from selfloop.inputs.links import resolve
from selfloop.inputs.opening import (
    check_tables,
    date_formats,
    open_tables,
    type_tables,
)
from selfloop.inputs.read import read_table
from selfloop.inputs.roster import first_visits, name_people, roster
from selfloop.inputs.typed import as_id
from selfloop.inputs.validate import (
    Counts,
    Typed,
    count_codes,
)


@dataclass(frozen=True, eq=False)
class Events:
    """The clean events of a shop, and an account of every row that was read.

    Made by `read_events`; every measure takes it.

    Parameters
    ----------
    rules : Rules
        How the events were read.
    start, end : date
        First and last observed day, local time; `end` is observed to its close.
    has : frozenset of str
        Input tables that were given.
    audit : DataFrame
        Columns of `schema.AUDIT`: each row of the input ends in one of its lines.
    notes : DataFrame
        code, table, note: things to know that concern no single row.
    totals : dict
        Rows, orders, people and money of the whole, guests included.
    currency : str or None
        The one currency, when there is such a column.
    columns : dict
        For each table, role to column.
    sources : dict
        For each table, where it came from.
    engine : Engine
        Where the events live.
    core : ibis table
        One row per person with the internal columns of `inputs.roster`.
    baskets : ibis table
        Purchases and the days around them; see `inputs.baskets`.
    links : ibis table or None
        referrer_no, referee_no, referred_at, weight of the referrals that count.
    guest_months : DataFrame
        month, revenue of orders without a customer.
    set_aside : dict of str to ibis table
        For each table, the typed rows with their code, rejected ones too.
    excluded : ibis table or None
        referrer_id, referee_id of the referrals that the user left out.
    """

    rules: Rules
    start: date
    end: date
    has: frozenset[str]
    audit: pd.DataFrame
    notes: pd.DataFrame
    totals: dict[str, Any]
    currency: str | None
    columns: dict[str, dict[str, str]]
    sources: dict[str, str]
    engine: Engine = field(repr=False)
    core: ir.Table = field(repr=False)
    baskets: ir.Table = field(repr=False)
    links: ir.Table | None = field(repr=False)
    guest_months: pd.DataFrame = field(repr=False)
    set_aside: dict[str, ir.Table] = field(repr=False)
    excluded: ir.Table | None = field(repr=False)

    @property
    def end_day(self) -> int:
        """Last observed day, in days since 1970-01-01."""
        return (self.end - bk.EPOCH).days

    @classmethod
    def check(cls, events: object) -> None:
        """Raise unless these are events: a table of orders is an easy mistake.

        Parameters
        ----------
        events : object
            What was passed as events.

        Raises
        ------
        SettingError
            When they are anything else.
        """
        if not isinstance(events, cls):
            raise SettingError(
                f"events must be the result of read_events(...); got "
                f"{type(events).__name__}"
            )

    def close(self) -> None:
        """Drop the temporary tables of these events, and with them every result.

        On DuckDB they go with the last result by themselves. On PostgreSQL they stay
        in your connection until it closes; Spark keeps them until its session ends.

        Examples
        --------
        >>> import selfloop as sl
        >>> shop = sl.simulate(n_visitors=200, seed=7)
        >>> events = sl.read_events(shop.orders)
        >>> events.close()
        """
        self.engine.close()

    def need(self, table: str, measure: str) -> None:
        """Raise unless a table was given.

        Parameters
        ----------
        table : str
            ``referrals``, ``visits`` or ``spend``.
        measure : str
            What needs it, for the message.

        Raises
        ------
        MissingTableError
            The table was not given (SL301).
        """
        if table not in self.has:
            raise MissingTableError(
                f"SL301  {measure} needs a table of {table}, which was not given; "
                f"pass {table}=... to read_events. It is missing here, not zero."
            )

    def observed_day(self, at: str | date, *, name: str = "at") -> date:
        """Return a day inside the observed period.

        Parameters
        ----------
        at : str or date
            What was asked for.
        name : str, optional
            Name of the setting, for the message.

        Returns
        -------
        date

        Raises
        ------
        SettingError
            When it is no date, or outside the period.
        """
        day = check_day(name, at)
        if not self.start <= day <= self.end:
            raise SettingError(
                f"{name} must lie between {self.start} and {self.end}; got {day}"
            )
        return day

    def _facts(self) -> list[tuple[str, object]]:
        """List what a reader wants to know first."""
        money = self.totals["revenue"]
        return [
            ("period", f"{self.start} to {self.end} ({self.rules.timezone})"),
            ("tables", ", ".join(sorted(self.has))),
            ("people", self.totals["n_people"]),
            ("buyers", self.totals["n_buyers"]),
            ("orders", self.totals["n_orders"]),
            ("revenue", f"{money:,.2f} {self.currency or ''}".strip()),
        ]

    def __repr__(self) -> str:
        """Show period, size and the audit as text."""
        return show_text("Events", self._facts(), tables=[("", self.audit, "audit")])

    def _repr_html_(self) -> str:
        """Show period, size and the audit in a notebook."""
        return show_html("Events", self._facts(), tables=[("", self.audit, "audit")])


def read_events(  # noqa: PLR0913 - each is a documented choice of the user
    orders: object,
    referrals: object | None = None,
    *,
    visits: object | None = None,
    spend: object | None = None,
    columns: ColumnMap | None = None,
    timezone: str = "UTC",
    end: str | date | None = None,
    on_bad_rows: OnBadRows = "raise",
    attribution: Attribution = "first",
    attribution_window_days: int = 90,
    half_life_days: float = 7.0,
    purchase: Purchase = "day",
    zero_orders: ZeroOrders = "ignore",
    paid_channels: Sequence[str] = DEFAULT_PAID_CHANNELS,
    code_channels: Sequence[str] = DEFAULT_CODE_CHANNELS,
    exclude_referrals: object | None = None,
    date_format: str | Mapping[str, str] | None = None,
    memory_limit: str = DEFAULT_MEMORY_LIMIT,
    progress: Progress | None = None,
) -> Events:
    """Read, check and count the events of a shop.

    Parameters
    ----------
    orders : path, glob or table
        Columns customer_id, ordered_at, amount[, order_id, channel, currency] under
        these or well-known names. CSV (also .gz and .tsv; UTF-8 or GB18030),
        Parquet, JSON lines; a pandas, Polars or Arrow table, a DuckDB relation, an
        Ibis table, a DataFrame of Spark. Tables on PostgreSQL and Spark are analysed
        where they are. Instead of amount, quantity and unit_price. It is not changed.
    referrals : path, glob or table, optional
        referrer_id, referee_id, referred_at.
    visits : path, glob or table, optional
        visitor_id, visited_at[, channel].
    spend : path, glob or table, optional
        date, channel, spend.
    columns : dict of dict, optional
        ``{table: {role: column}}`` for columns with other names.
    timezone : str
        Zone in which days and months are cut; naive times are taken in it.
    end : str or date, optional
        Last day of observation, inclusive; by default the last day with any order,
        referral or visit. Later rows are set aside.
    on_bad_rows : {"raise", "quarantine"}
        Raise one error that lists every unreadable row, or go on without them.
    attribution : {"first", "last", "linear", "time_decay", "position"}
        Which referrer counts when there are several.
    attribution_window_days : int
        A referral older than this at the first order does not explain it.
    half_life_days : float
        With ``time_decay``, a referral this much older has half the weight.
    purchase : {"day", "order"}
        A purchase is a customer-day with net amount > 0, or such an order.
    zero_orders : {"ignore", "count"}
        Whether orders of amount zero are purchases.
    paid_channels : sequence of str
        Names of channels whose traffic is bought.
    code_channels : sequence of str
        Channels of referrals that stand for a code used at the order; where a
        customer has any, only these count.
    exclude_referrals : path, glob or table, optional
        referrer_id, referee_id of referrals that are not to count, such as
        ``referral_anomalies(events).links()``; the audit has them as SL208.
    date_format : str or dict of str, optional
        Format of dates in text when they have one that is not recognised, such as
        ``"%d/%m/%Y"``; or one for some tables, ``{"orders": "%d/%m/%Y"}``.
    memory_limit : str
        Memory after which the engine goes to disk, such as ``"4GB"``; more makes
        very large tables faster.
    progress : callable, optional
        Called with a short text at the start of each step.

    Returns
    -------
    Events

    Raises
    ------
    DataError
        Columns are missing or ambiguous, rows are unreadable, a table is empty or
        there are two currencies; all problems are listed.
    FileError
        A file cannot be read.
    SettingError
        A setting is outside its range.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer": ["007", "007", "8"],
    ...     "date": ["2026-01-01", "2026-02-01", "2026-02-03"],
    ...     "amount": [10, 5.5, 20],
    ... })
    >>> events = read_events(orders)
    >>> events.totals["n_buyers"], float(events.totals["revenue"]), events.end
    (2, 35.5, datetime.date(2026, 2, 3))
    """
    check_choice("on_bad_rows", on_bad_rows, get_args(OnBadRows))
    rules = Rules(
        timezone=timezone,
        purchase=purchase,
        zero_orders=zero_orders,
        attribution=attribution,
        attribution_window_days=attribution_window_days,
        half_life_days=half_life_days,
        paid_channels=_names(paid_channels),
        code_channels=_names(code_channels),
    )
    given = {"orders": orders, "referrals": referrals, "visits": visits, "spend": spend}
    # Orders are needed: None there is an error that names it.
    sources = {k: v for k, v in given.items() if v is not None or k == "orders"}
    say = progress or (lambda _: None)
    last = _day(end)
    engine = engine_for(sources, memory_limit=memory_limit)
    with ExitStack() as failed:
        failed.callback(engine.close)
        formats = date_formats(date_format, engine)
        try:
            raws, matched = open_tables(sources, columns, engine, say)
            typed, notes = type_tables(raws, matched, rules, last, formats, engine)
            say("checking rows")
            counts = {name: count_codes(table) for name, table in typed.items()}
            check_tables(typed, counts, on_bad_rows)
            excluded = _excluded(exclude_referrals, engine)
            events = _assemble(typed, counts, rules, last, notes, engine, say, excluded)
        except engine.errors as error:
            raise engine.failure(error) from error
        failed.pop_all()
    return events


def _excluded(source: object | None, engine: Engine) -> ir.Table | None:
    """Read the referrals that are left out, as text."""
    if source is None:
        return None
    table = read_table(source, "exclude_referrals", engine).table
    ids = ("referrer_id", "referee_id")
    missing = [name for name in ids if name not in table.columns]
    if missing:
        raise SettingError(
            f"exclude_referrals must have columns referrer_id and referee_id; it has "
            f"{', '.join(table.columns)}"
        )
    return table.select(**{name: as_id(table[name]) for name in ids})


def _names(channels: Sequence[str]) -> tuple[str, ...]:
    """Return channel names as a tuple; a single text is a mistake `Rules` names."""
    return channels if isinstance(channels, str) else tuple(channels)  # type: ignore[return-value]


def _day(end: str | date | None) -> date | None:
    """Return the last day of observation as a date."""
    if end is None:
        return None
    try:
        if isinstance(end, str):
            return datetime.fromisoformat(end.strip()).date()
        if isinstance(end, datetime) and not pd.isna(end):
            return end.date()
    except ValueError as error:
        raise SettingError(_no_day(end)) from error
    if isinstance(end, date) and not isinstance(end, datetime):
        return end
    raise SettingError(_no_day(end))


def _no_day(end: object) -> str:
    """Say that a setting is no date."""
    return f"end must be a date such as '2026-06-30'; got {end!r}"


def _assemble(
    typed: dict[str, Typed],
    counts: dict[str, Counts],
    rules: Rules,
    end: date | None,
    notes: list[tuple[str, str, str]],
    engine: Engine,
    say: Progress,
    excluded: ir.Table | None,
) -> Events:
    """Reduce the typed tables to people, baskets and links."""
    seen = [name for name in typed if name != "spend"]
    last = [day for name in seen if (day := counts[name].day("last_at"))]
    first = [day for name in seen if (day := counts[name].day("first_at"))]
    end = end or max(last)
    end_day = (end - bk.EPOCH).days
    channels = _channels(typed, engine)
    say("orders to purchases")
    orders = bk.orders_of_people(typed["orders"].used, channels)
    if "order_id" in typed["orders"].columns:
        orders = engine.keep(orders, "orders")
    signs = bk.order_signs(orders).to_pandas()
    rows = engine.keep(bk.baskets(orders, rules), "baskets")
    stats = engine.keep(bk.purchase_stats(rows, rules, end_day), "stats")
    links = None
    if "referrals" in typed:
        say("which referral counts")
        links = resolve(
            typed["referrals"].used, stats, rules=rules, engine=engine,
            alone=_unreferred(typed, end), excluded=excluded,
        )  # fmt: skip
    say("one row per person")
    ids = name_people(_named(typed, end), engine)
    visits = _visits(typed, channels)
    core = roster(ids, stats, visits, links, channels=channels, rules=rules)
    core = engine.keep(core, "people")
    engine.drop(ids)
    notes = [*notes, *silence_note(last, end), *notes_of(typed, core)]
    n_guests = guest_orders(typed["orders"].used)
    totals = totals_of(counts["orders"], core, stats, n_guests, signs)
    engine.drop(stats)
    return Events(
        rules=rules,
        start=min(first),
        end=end,
        has=frozenset(typed),
        audit=audit_of(typed, counts, links),
        notes=pd.DataFrame(notes, columns=["code", "table", "note"]),
        totals=totals,
        currency=currency_of(typed["orders"].raw.table, typed["orders"].columns),
        columns={name: dict(table.columns) for name, table in typed.items()},
        sources={name: table.raw.source for name, table in typed.items()},
        engine=engine,
        core=core,
        baskets=rows,
        links=links.table if links else None,
        guest_months=guest_months(typed["orders"].used),
        set_aside={name: table.rows for name, table in typed.items()},
        excluded=excluded,
    )


def _named(typed: dict[str, Typed], end: date) -> list[ir.StringColumn]:
    """List the columns of ids: everybody in a row that can be read."""
    columns = [typed["orders"].used.customer_id]
    if "referrals" in typed:
        used = typed["referrals"].used
        alone = _unreferred(typed, end)
        columns += [used.referrer_id, used.referee_id, alone.referee_id]
    if "visits" in typed:
        columns.append(typed["visits"].used.visitor_id)
    return columns


def _unreferred(typed: dict[str, Typed], end: date) -> ir.Table:
    """Select people of a table of customers whom nobody referred."""
    rows = typed["referrals"].rows
    return rows.filter((rows.code == "SL201") & (rows.referred_at.date() <= end))


def _channels(typed: dict[str, Typed], engine: Engine) -> ir.Table:
    """Give the channels of orders and visits their numbers."""
    tables = [typed[name] for name in ("orders", "visits") if name in typed]
    columns = [t.used.channel for t in tables if "channel" in t.columns]
    if not columns:
        return engine.upload(bk.NO_CHANNELS, "channels")
    return engine.keep(bk.number_channels(columns), "channels")


def _visits(typed: dict[str, Typed], channels: ir.Table) -> ir.Table | None:
    """Find first visits, when there are any."""
    if "visits" not in typed:
        return None
    rows = bk.with_channel_number(typed["visits"].used, channels)
    return first_visits(rows, bk.time_key(rows.visited_at, rows.channel_no))
