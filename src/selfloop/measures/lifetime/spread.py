"""How spend differs between customers, in the data and in the model."""

from dataclasses import dataclass

import ibis
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import FitError, SettingError
from selfloop.core.settings import check_number
from selfloop.kernels.gamma_gamma import value_cdf
from selfloop.kernels.rows import FloatArray
from selfloop.measures.lifetime.result import LifetimeModel


@dataclass(frozen=True, eq=False)
class SpendDistribution:
    """Mean repeat spend of customers, beside what the spend model expects.

    Parameters
    ----------
    table : DataFrame
        Columns of `schema.SPEND_DISTRIBUTION`; the last bar is open above.
    n_people : int
        Customers with repeat purchases of positive value.
    currency : str or None
        Currency of all money.
    """

    table: pd.DataFrame
    n_people: int
    currency: str | None

    def __repr__(self) -> str:
        """Show the table as text."""
        facts = [("customers with repeat purchases", self.n_people)]
        tables = [("", self.table, "spend_distribution")]
        return show_text("SpendDistribution", facts, tables=tables)

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        facts = [("customers with repeat purchases", self.n_people)]
        tables = [("", self.table, "spend_distribution")]
        return show_html("SpendDistribution", facts, tables=tables)


def spend_distribution(model: LifetimeModel, *, n_bins: int = 30) -> SpendDistribution:
    """Compare how mean spend is distributed in the data and in the spend model.

    Parameters
    ----------
    model : LifetimeModel
        A model with a spend model and its customers, without covariates.
    n_bins : int, optional
        Bars, 5 to 200. All but the last are equally wide and hold 97.5 % of people.

    Returns
    -------
    SpendDistribution

    Raises
    ------
    FitError
        When there is no spend model.
    SettingError
        When the model has covariates or knows no customers, or n_bins is outside its
        range.

    Notes
    -----
    The mean of x purchases, times x / v, is BetaPrime(p x, q) across customers; the
    expected share of a bar is the mean of its probability over the customers.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> model = sl.fit_lifetime(sl.read_events(shop.orders), model="mbg_nbd")
    >>> table = sl.spend_distribution(model).table
    >>> table[["share", "share_expected"]].sum().round(9).tolist()
    [1.0, 1.0]
    """
    check_number("n_bins", n_bins, low=5, high=200)
    if model.spend is None:
        raise FitError(f"there is no spend model: {model.spend_reason}")
    if model.covariates:
        raise SettingError("spend_distribution needs a model without covariates")
    people = model.whom.people
    people = people.filter(people.n_purchases > 1, people.repeat_value > 0)
    x = people.n_purchases - 1
    rows = people.select(x=x, mean=people.repeat_value / x)
    top = float(
        rows.aggregate(top=rows["mean"].quantile(0.975)).to_pyarrow()["top"][0].as_py()
    )
    width = top / (n_bins - 1)
    place = ibis.least((rows["mean"] / width).floor().cast("int64"), n_bins - 1)
    counted = rows.group_by(place=place).aggregate(n=rows.count()).to_pyarrow()
    n_people = np.zeros(n_bins)
    n_people[counted["place"].to_numpy()] = counted["n"].to_numpy()
    by_x = rows.group_by("x").aggregate(n=rows.count()).order_by("x").to_pyarrow()
    edges = width * np.arange(1, n_bins, dtype=np.float64)
    n_of_x = by_x["n"].to_numpy().astype(np.float64)
    upto = _upto(model, by_x["x"].to_numpy().astype(np.float64), n_of_x, edges)
    table = pd.DataFrame(
        {
            "low_value": np.append(0.0, edges),
            "high_value": np.append(edges, np.inf),
            "n_people": n_people.astype(np.int64),
            "share": n_people / n_people.sum(),
            "share_expected": np.diff(upto, prepend=0.0, append=1.0),
        },
        columns=schema.names("spend_distribution"),
    )
    return SpendDistribution(table, int(n_people.sum()), model.currency)


def _upto(
    model: LifetimeModel, x: FloatArray, n_of_x: FloatArray, edges: FloatArray
) -> FloatArray:
    """Return the expected share of people whose mean spend is at most each edge."""
    assert model.spend is not None
    shares = value_cdf(model.spend.kernel, edges[:, None] * x, n=x, x=0.0, total=0.0)
    expected: FloatArray = np.einsum("ij,j->i", shares, n_of_x / n_of_x.sum())
    return expected
