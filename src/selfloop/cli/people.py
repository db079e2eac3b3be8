"""Commands that answer with people: what they are worth, who is stuck or due."""

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import pandas as pd

from selfloop.cli.manner import Manner, put
from selfloop.cli.options import Inputs
from selfloop.cli.results import Form, Result, Section, deliver, rendered
from selfloop.cli.tables import period, period_label, tell_notes
from selfloop.cli.texts import sentence
from selfloop.cli.work import Say, read, size, target, working
from selfloop.core.settings import LedgerRule
from selfloop.inputs.events import Events
from selfloop.measures import social as social_measure
from selfloop.measures.funnel import stuck as stuck_measure
from selfloop.measures.repurchase import products as product_measure
from selfloop.outputs.tables import FORMATS, TextFormat, format_table, write_table

_CUSTOMER_COLUMNS = [
    "person_id", "source", "n_purchases", "revenue", "expected_value",
    "lifetime_value", "n_referred", "social_value", "total_value",
]  # fmt: skip
_PRODUCT_COLUMNS = [
    "product", "n_buyers", "n_purchases", "n_repeaters", "share_within",
    "share_within_low", "share_within_high", "days_50", "days_50_low", "days_50_high",
    "reason",
]  # fmt: skip
_DUE_COLUMNS = [
    "person_id", "product", "n_purchases", "median_gap_days", "days_since_last",
    "overdue",
]  # fmt: skip
_STUCK_COLUMNS = [
    "person_id", "stuck_since", "days_stuck", "n_purchases", "revenue", "source",
    "channel", "share_coming",
]  # fmt: skip


_FORMS: dict[str, TextFormat] = {"json": "json", "csv": "csv", "md": "md"}


@dataclass(frozen=True)
class _Listing:
    """A table of people: where it goes, and how it is shown.

    Parameters
    ----------
    name : str
        Name of the command and of its table.
    schema : str
        Its name in `selfloop.core.schema.TABLES`.
    columns : list of str
        What a terminal shows.
    form : Form
        Where it goes.
    top : int
        Rows shown without a file.
    """

    name: str
    schema: str
    columns: list[str]
    form: Form
    top: int

    def check(self) -> None:
        """Check the file before any work."""
        if self.form.is_file:
            target(str(self.form.out), FORMATS)

    def collect(self, rows: ir.Table, column: str, say: Say) -> pd.DataFrame | None:
        """Write all people to the file, or return those to show, the first ones first.

        Parameters
        ----------
        rows : ibis table
            One row per person.
        column : str
            By which they are ordered, the highest first; ties by person_id.
        say : callable
            Called before a file is written.

        Returns
        -------
        DataFrame or None
            None when a file was written.
        """
        if self.form.is_file:
            path = target(str(self.form.out), FORMATS)
            say(f"writing {path.name}")
            write_table(rows, path)
            return None
        rows = rows.order_by(ibis.desc(column), "person_id")
        shown: pd.DataFrame = (
            rows.limit(self.top) if self.form.out is None else rows
        ).to_pandas()
        return shown

    def tell(
        self,
        frame: pd.DataFrame | None,
        n: int,
        column: str,
        *,
        events: Events,
        manner: Manner,
    ) -> None:
        """Show the people, or say which file was written."""
        if frame is None:
            path = target(str(self.form.out), FORMATS)
            files = f"{path} ({size(path)})"
            manner.tell(sentence("wrote", manner.voice, files=files))
            return
        if self.form.format == "table":
            result = Result(
                self.name,
                {self.name: frame},
                labels=[*period_label(events), ("order", column)],
                sections=[Section("", frame[self.columns], self.schema)],
            )
            put(rendered(result, "table", None, manner.lang or manner.voice))
        else:
            put(format_table(frame, format=_FORMS[self.form.format]))
        if self.form.out is None:
            counts = {"shown": len(frame), "n": n, "column": column}
            manner.tell(sentence("top", manner.voice, **counts))


def customers(
    inputs: Inputs,
    manner: Manner,
    *,
    rule: LedgerRule,
    horizon_days: int,
    discount_rate: float,
    top: int,
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
) -> None:
    """Show or write what each customer is worth.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    rule, horizon_days, discount_rate
        See `selfloop.customer_value`.
    top : int
        Rows shown without `out`.
    out, format
        See `selfloop.cli.results.Form`; a file holds all customers.
    """
    form = Form(out, format)
    people = _Listing("customers", "customer_value", _CUSTOMER_COLUMNS, form, top)
    people.check()
    with working(manner) as say:
        events = read(inputs, say)
        say("customer value")
        values = social_measure.customer_value(
            events, rule=rule, horizon_days=horizon_days, discount_rate=discount_rate
        )
        n = int(values.count().to_pandas())
        column = _fullest(events, values)
        frame = people.collect(values, column, say)
    people.tell(frame, n, column, events=events, manner=manner)
    tell_notes(events, inputs, manner)


def _fullest(events: Events, values: ir.Table) -> str:
    """Return the fullest value that is known here."""
    if "referrals" in events.has:
        return "total_value"
    has_model = int(values.lifetime_value.count().to_pandas()) > 0
    return "lifetime_value" if has_model else "revenue"


def products(
    inputs: Inputs,
    manner: Manner,
    *,
    window_days: int,
    due: bool,
    top: int,
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
) -> None:
    """Show when products are bought again, or who is due.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    window_days : int
        Bought again within so many days.
    due : bool
        List customers and products that are due instead.
    top : int
        Products, or rows of people shown without `out`.
    out, format
        See `selfloop.cli.results.Form`.
    """
    form = Form(out, format)
    people = _Listing("due", "product_customers", _DUE_COLUMNS, form, top)
    people.check()
    with working(manner) as say:
        events = read(inputs, say)
        say("products")
        found = product_measure.product_gaps(events, window_days=window_days, top=top)
        if due:
            rows = found.people.filter(found.people.overdue >= 1)
            n = int(rows.count().to_pandas())
            frame = people.collect(rows, "n_purchases", say)
    if due:
        people.tell(frame, n, "n_purchases", events=events, manner=manner)
    else:
        table = found.products
        result = Result(
            "products",
            {"products": table},
            {**period(events), "n_products": found.n_products},
            period_label(events),
            [Section("", table[_PRODUCT_COLUMNS], "product_gaps")],
        )
        deliver(result, form, manner)
    tell_notes(events, inputs, manner)


def stuck(
    inputs: Inputs,
    manner: Manner,
    *,
    stage: str,
    min_days: int,
    within_days: int,
    order: str,
    top: int,
    out: str | None,
    format: str,  # noqa: A002 - the name of the option
) -> None:
    """Show or write who could have reached a stage and has not.

    Parameters
    ----------
    inputs : Inputs
        Files and settings.
    manner : Manner
        How the command speaks.
    stage, min_days, within_days, order
        See `selfloop.drop_offs`.
    top : int
        Rows shown without `out`.
    out, format
        See `selfloop.cli.results.Form`; a file holds all of them.
    """
    form = Form(out, format)
    people = _Listing("stuck", "drop_offs", _STUCK_COLUMNS, form, top)
    people.check()
    with working(manner) as say:
        events = read(inputs, say)
        say("who is stuck")
        found = stuck_measure.drop_offs(
            events, stage, min_days=min_days, within_days=within_days, order=order
        )
        n = int(found.count().to_pandas())
        frame = people.collect(found, "revenue", say)
    people.tell(frame, n, "revenue", events=events, manner=manner)
    tell_notes(events, inputs, manner)
