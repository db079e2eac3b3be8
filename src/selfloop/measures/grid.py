"""Customers by what they buy and by whom they bring: four kinds, and what to do."""

from dataclasses import dataclass, field

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import format_value, show_html, show_text
from selfloop.core.errors import SettingError
from selfloop.core.settings import check_choice, check_number

SEGMENTS = ("champions", "affluents", "advocates", "misers")
"""Both values high; only the own; only the social; neither."""

_ACTIONS = {
    "champions": "keep them and thank them; ask them first about anything new",
    "affluents": "they buy and bring few: make it easy to invite, at the right moment",
    "advocates": "they bring more than they buy: reward it, and offer them more",
    "misers": "little of both: reach them by what costs next to nothing",
}

N_ADVOCATES = 100
"""The table of advocates keeps this many."""


@dataclass(frozen=True, eq=False)
class ValueGrid:
    """Customers in four kinds by own and social value; made by `value_grid`.

    Parameters
    ----------
    cells : DataFrame
        Columns of `schema.VALUE_GRID`, one row per kind.
    advocates : DataFrame
        Columns of `schema.ADVOCATES`: the 100 customers with the most social value.
    people : ibis table
        Columns of `schema.GRID_PEOPLE`: the kind of everybody who is in `cells`.
    own : str
        What is taken as the own value: lifetime_value or revenue.
    own_cut, social_cut : float
        From these values on they count as high.
    n_more_for_others : int
        Customers worth more for whom they bring than for what they buy: whose social
        value is more than what they keep of their own spending.
    social_value_of_those : float
        Their social value.
    """

    cells: pd.DataFrame
    advocates: pd.DataFrame = field(repr=False)
    people: ir.Table = field(repr=False)
    own: str
    own_cut: float
    social_cut: float
    n_more_for_others: int
    social_value_of_those: float

    def to_frame(self) -> pd.DataFrame:
        """Return the cells, columns of `schema.VALUE_GRID`."""
        return self.cells.copy()

    def __repr__(self) -> str:
        """Show the grid as text."""
        return show_text("Value grid", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the grid in a notebook."""
        return show_html("Value grid", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List where the lines are drawn."""
        name = self.own.replace("_", " ")
        more = (
            f"{format_value(self.n_more_for_others, 'int')} customers, with "
            f"{format_value(self.social_value_of_those, 'money')} of social value"
        )
        return [
            (f"high {name}", f"from {format_value(self.own_cut, 'money')}"),
            ("high social value", f"from {format_value(self.social_cut, 'money')}"),
            ("worth more for others", more),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [
            ("", self.cells, "value_grid"),
            ("advocates", self.advocates.head(5), "advocates"),
        ]


def value_grid(
    values: ir.Table,
    ahead: ir.Table | None = None,
    *,
    own: str = "lifetime_value",
    own_cut: float | None = None,
    social_cut: float | None = None,
) -> ValueGrid:
    """Sort customers by what they buy and by whom they bring.

    Parameters
    ----------
    values : ibis table
        Result of `customer_value`, with referrals.
    ahead : ibis table, optional
        Result of ``fit_referrals(events).predict()``, for the two columns of what
        advocates are expected to bring.
    own : {"lifetime_value", "revenue"}
        What is taken as the own value.
    own_cut, social_cut : float, optional
        Values from which on they count as high, if they are above 0; by default the
        means over all customers of the grid.

    Returns
    -------
    ValueGrid

    Raises
    ------
    SettingError
        `values` is another table, has no social value or not the own value asked
        for, or a cut is no number.

    Notes
    -----
    The grid has everybody who bought or has social value. With high and low by the
    mean, ``champions`` are high in both, ``affluents`` only by what they buy,
    ``advocates`` only by whom they bring, ``misers`` in neither [1]_. The names are
    those of the paper; there, the social axis is the value of direct referrals without
    a share for the buyer, so that it counts money twice.

    References
    ----------
    .. [1] V. Kumar, J. A. Petersen, R. P. Leone, "How valuable is word of mouth?",
       Harvard Business Review, October 2007.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals)
    >>> grid = sl.value_grid(sl.customer_value(events), own="revenue")
    >>> grid.cells["segment"].tolist()
    ['champions', 'affluents', 'advocates', 'misers']
    """
    check_choice("own", own, ("lifetime_value", "revenue"))
    rows = _checked(values, own)
    cuts = []
    for name, cut, column in (
        ("own_cut", own_cut, own),
        ("social_cut", social_cut, "social_value"),
    ):
        if cut is not None:
            check_number(name, cut, low=-np.inf)
        cuts.append(_mean(rows, column) if cut is None else float(cut))
    is_rich = (rows[own] >= cuts[0]) & (rows[own] > 0)
    is_social = (rows.social_value >= cuts[1]) & (rows.social_value > 0)
    rows = rows.mutate(
        segment=ibis.cases(
            (is_rich & is_social, "champions"),
            (is_rich, "affluents"),
            (is_social, "advocates"),
            else_="misers",
        ),
        kept_value=rows.total_value - rows.social_value,
    )
    more = rows.filter((rows.social_value > rows.kept_value) & (rows.social_value > 0))
    line = more.aggregate(n=more.count(), value=more.social_value.sum()).to_pandas()
    return ValueGrid(
        cells=_cells(rows),
        advocates=_advocates(rows, ahead),
        people=rows.select(*schema.names("grid_people")),
        own=own,
        own_cut=cuts[0],
        social_cut=cuts[1],
        n_more_for_others=int(line["n"].iloc[0]),
        social_value_of_those=float(line["value"].fillna(0.0).iloc[0]),
    )


def _checked(values: ir.Table, own: str) -> ir.Table:
    """Select customers of the grid, or refuse tables that have none."""
    needed = {"social_value", "total_value", "n_purchases", own}
    if not isinstance(values, ir.Table) or not needed <= set(values.columns):
        raise SettingError("values must be the result of customer_value(events)")
    rows = values.filter((values.n_purchases > 0) | (values.social_value > 0))
    counted = rows.aggregate(
        n=rows.count(), n_social=rows.social_value.count(), n_own=rows[own].count()
    )
    line = counted.to_pyarrow().to_pylist()[0]
    if line["n"] and not line["n_social"]:
        raise SettingError(
            "values have no social value: read the events with referrals=..."
        )
    if line["n"] and not line["n_own"]:
        raise SettingError(
            f"values have no {own}, because no model could be fitted; take "
            "own='revenue'"
        )
    # Who never bought spends nothing that a model could tell.
    return rows.mutate(**{own: rows[own].fill_null(rows.revenue)})


def _mean(rows: ir.Table, column: str) -> float:
    """Return the mean of a column over all customers; 0 of nobody."""
    found = rows[column].mean().to_pyarrow().as_py()
    return 0.0 if found is None else float(found)


def _cells(rows: ir.Table) -> pd.DataFrame:
    """Sum customers and money by kind, all four of them."""
    money = ("revenue", "lifetime_value", "social_value", "total_value")
    grouped = rows.group_by("segment").aggregate(
        n_people=rows.count(),
        n_referred=rows.n_referred.sum(),
        **{name: rows[name].sum() for name in money},
    )
    found: pd.DataFrame = grouped.to_pandas()
    table = found.set_index("segment").reindex(list(SEGMENTS))
    counts = ["n_people", "n_referred"]
    table[counts] = table[counts].fillna(0).astype("int64")
    # No customers of a kind have no money: that zero is known.
    empty = table["n_people"] == 0
    for name in money:
        table[name] = table[name].astype("float64").mask(empty, 0.0)
    n = int(table["n_people"].sum())
    table["share_people"] = table["n_people"] / n if n else np.nan
    table["action"] = pd.Series(_ACTIONS)
    return table.reset_index()[schema.names("value_grid")]


def _advocates(rows: ir.Table, ahead: ir.Table | None) -> pd.DataFrame:
    """List those with the most social value, and what they are expected to bring."""
    own = rows.social_value + rows.kept_value
    rows = rows.mutate(
        # Who has given back more than they bought keeps less than nothing.
        share_social=ibis.ifelse(
            (own > 0) & (rows.kept_value >= 0),
            rows.social_value / own,
            ibis.null("float64"),
        )
    )
    best = rows.filter(rows.social_value > 0)
    best = best.order_by(ibis.desc("social_value"), "person_id").limit(N_ADVOCATES)
    expected = ["expected_referrals", "expected_social_value"]
    if ahead is None:
        best = best.mutate(**{name: ibis.null("float64") for name in expected})
    else:
        if not isinstance(ahead, ir.Table) or not set(expected) <= set(ahead.columns):
            raise SettingError("ahead must be the result of fit_referrals(...).predict")
        best = best.left_join(ahead.select("person_id", *expected), "person_id")
    ordered = best.order_by(ibis.desc("social_value"), "person_id")
    table: pd.DataFrame = ordered.to_pandas()
    return table[schema.names("advocates")]
