"""Who brought whom: generations, trees, and how far it goes."""

from dataclasses import dataclass, field
from datetime import date

import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from selfloop.core import schema
from selfloop.core.display import format_value, show_html, show_text
from selfloop.core.settings import check_whole
from selfloop.inputs.events import Events
from selfloop.kernels.forest import (
    descendants,
    subtree_depth,
    subtree_sum,
    tree_stats,
)
from selfloop.kernels.horizon import MAX_DAYS
from selfloop.measures.referral.generations import generation_table

N_TREES = 100
"""The table of trees keeps this many of the largest."""


@dataclass(frozen=True)
class Forest:
    """The referral forest as arrays; entry i is one person of the network.

    Parameters
    ----------
    person_no : ndarray of int64
        Number of the person in the events.
    parent : ndarray of int32
        Position of the referrer in these arrays, -1 for a root.
    root, generation : ndarray of int
        Position of the root, and distance to it.
    is_buyer : ndarray of bool
        Whether the person ever bought.
    revenue : ndarray of float64
        Net value of their own orders.
    """

    person_no: npt.NDArray[np.int64]
    parent: npt.NDArray[np.int32]
    root: npt.NDArray[np.int64]
    generation: npt.NDArray[np.int32]
    is_buyer: npt.NDArray[np.bool_]
    revenue: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ReferralNetwork:
    """The referral network of a shop, made by `referral_network`.

    Parameters
    ----------
    generations : DataFrame
        Columns of `schema.GENERATIONS`, everybody included.
    trees : DataFrame
        Columns of `schema.TREES`: the 100 largest with two people or more.
    people : ibis table
        Columns of `schema.NETWORK_PEOPLE`: everybody who brought or was brought.
    n_people : int
        People in the network.
    n_links : int
        Referrals that count, each with one referrer and one referee.
    n_roots : int
        Trees: people of the network whom nobody brought.
    n_referrers : int
        People who brought somebody.
    n_successes : int
        Referrals whose referee bought.
    max_generation : int
        Longest chain of referrals.
    k_invitations : float
        n_links / buyers; missing without buyers.
    k_conversion : float
        n_successes / n_links; missing without links.
    k : float
        The product: successful referrals per buyer so far, biased low on young
        data; see `self_loop` for R.
    window_days : int
        W of the matured columns of `generations`.
    end : date
        Last observed day.
    """

    generations: pd.DataFrame = field(repr=False)
    trees: pd.DataFrame = field(repr=False)
    people: ir.Table = field(repr=False)
    n_people: int
    n_links: int
    n_roots: int
    n_referrers: int
    n_successes: int
    max_generation: int
    k_invitations: float
    k_conversion: float
    k: float
    window_days: int
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the generations, columns of `schema.GENERATIONS`."""
        return self.generations.copy()

    def __repr__(self) -> str:
        """Show the network as text."""
        return show_text("Referral network", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the network in a notebook."""
        return show_html("Referral network", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List the headline numbers, each rate with its denominator."""
        n_buyers = int(self.generations["n_buyers"].sum())
        k = (
            f"{format_value(self.n_links, 'int')} referrals / "
            f"{format_value(n_buyers, 'int')} buyers = "
            f"{format_value(self.k_invitations, 'float')}, x "
            f"{format_value(self.n_successes, 'int')} who bought / "
            f"{format_value(self.n_links, 'int')} = "
            f"{format_value(self.k_conversion, 'share')}, makes "
            f"{format_value(self.k, 'float')}"
        )
        return [
            ("observed to", self.end),
            ("referrals that count", self.n_links),
            ("people who referred", self.n_referrers),
            ("trees", self.n_roots),
            ("longest chain", self.max_generation),
            ("K so far", k),
            ("matured: W", format_value(self.window_days, "days")),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [
            ("generations", self.generations.head(10), "generations"),
            ("largest trees", self.trees.head(5), "trees"),
        ]


def in_network(core: ir.Table) -> ir.BooleanValue:
    """Say who brought somebody or was brought.

    Parameters
    ----------
    core : ibis table
        Rows of `Events.core`.

    Returns
    -------
    ibis column
    """
    return core.referrer_no.notnull() | (core.n_invited > 0)


def forest_of(events: Events) -> Forest:
    """Bring the people of the network out of the engine as arrays.

    Parameters
    ----------
    events : Events
        With referrals.

    Returns
    -------
    Forest
        Sorted by person number.
    """
    core = events.core
    rows = core.filter(in_network(core)).select(
        "person_no",
        "referrer_no",
        "root_no",
        "generation",
        is_buyer=core.n_purchases > 0,
        revenue=core.revenue.cast("float64"),
    )
    table = rows.order_by("person_no").to_pyarrow()
    person = table["person_no"].to_numpy()
    is_root = table["referrer_no"].is_null().to_numpy()
    referrer = table["referrer_no"].fill_null(0).to_numpy()
    parent = np.searchsorted(person, referrer).astype(np.int32)
    parent[is_root] = -1
    return Forest(
        person_no=person,
        parent=parent,
        root=np.searchsorted(person, table["root_no"].to_numpy()),
        generation=table["generation"].to_numpy().astype(np.int32),
        is_buyer=table["is_buyer"].to_numpy(zero_copy_only=False),
        revenue=table["revenue"].to_numpy(),
    )


def referral_network(
    events: Events, *, window_days: int = 90, values: ir.Table | None = None
) -> ReferralNetwork:
    """Who brought whom, how deep it goes and how large the trees are.

    Parameters
    ----------
    events : Events
        Result of `read_events`, with referrals.
    window_days : int
        W: days in which people of all generations are compared, at least 1.
    values : ibis table, optional
        Result of `customer_value` of these events, for the lifetime value by
        generation.

    Returns
    -------
    ReferralNetwork

    Raises
    ------
    MissingTableError
        There is no table of referrals.
    SettingError
        `window_days` is outside its range, or `values` has no lifetime value.

    Notes
    -----
    Later generations are younger: they have had less time to buy. Generations are
    therefore compared by those who were seen for W days, and by what they did in these
    (`share_matured`, `value_matured`), not by revenue so far. Without a table of visits
    those who came by themselves are seen only when they buy, so that their share who
    do is missing.

    Each person has at most one referrer here: with ``attribution="linear"`` or
    ``"time_decay"`` the first. The generation of a person is the distance to the
    root of the tree; structural virality is the mean distance between two people of
    a tree [1]_.

    References
    ----------
    .. [1] S. Goel, A. Anderson, J. Hofman, D. J. Watts, "The structural virality of
       online diffusion", Management Science 62 (2016).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> network = sl.referral_network(sl.read_events(shop.orders, shop.referrals))
    >>> network.n_people - network.n_roots == network.n_links
    True
    """
    Events.check(events)
    events.need("referrals", "referral_network")
    check_whole("window_days", window_days, low=1, high=MAX_DAYS)
    forest = forest_of(events)
    generations = generation_table(events, window_days, values)
    n_links = int((forest.parent >= 0).sum())
    n_successes = int((forest.is_buyer & (forest.parent >= 0)).sum())
    n_buyers = int(generations["n_buyers"].sum())
    return ReferralNetwork(
        generations=generations,
        trees=_trees(events, forest),
        people=_people(events, forest),
        n_people=forest.person_no.size,
        n_links=n_links,
        n_roots=int((forest.parent < 0).sum()),
        n_referrers=np.unique(forest.parent[forest.parent >= 0]).size,
        n_successes=n_successes,
        max_generation=int(forest.generation.max(initial=0)),
        k_invitations=n_links / n_buyers if n_buyers else np.nan,
        k_conversion=n_successes / n_links if n_links else np.nan,
        k=n_successes / n_buyers if n_buyers else np.nan,
        window_days=window_days,
        end=events.end,
    )


def _trees(events: Events, forest: Forest) -> pd.DataFrame:
    """Describe the largest trees."""
    stats = tree_stats(
        forest.parent,
        forest.root,
        generation=forest.generation,
        is_buyer=forest.is_buyer,
        value=forest.revenue,
    )
    # With several referrers, one who is nobody's first has no tree here.
    sizes = stats.n_people[stats.n_people > 1]
    if not sizes.size:
        return pd.DataFrame(columns=schema.names("trees"))
    least = np.sort(sizes)[-N_TREES:][0]
    numbers = forest.person_no[stats.root]
    tree = np.flatnonzero(stats.n_people >= least)
    found = pa.table({"person_no": numbers[tree], "tree": tree})
    ids = events.core.select("person_no", "person_id")
    named = events.engine.upload(found, "trees").join(ids, "person_no")
    # Of equal sizes the id of the root decides, the same on every engine.
    shown = named.select("tree", "person_id").to_pandas()
    shown["n_people"] = stats.n_people[shown["tree"]]
    shown = shown.sort_values(["n_people", "person_id"], ascending=[False, True])
    shown = shown.head(N_TREES)
    largest = shown["tree"].to_numpy()
    return pd.DataFrame(
        {
            "root_id": shown["person_id"].to_numpy(),
            "n_people": stats.n_people[largest],
            "n_buyers": stats.n_buyers[largest],
            "depth": stats.depth[largest],
            "structural_virality": stats.structural_virality[largest],
            "revenue": stats.value[largest],
            "revenue_root": stats.value_root[largest],
            "revenue_brought": stats.value[largest] - stats.value_root[largest],
        },
        columns=schema.names("trees"),
    )


def _people(events: Events, forest: Forest) -> ir.Table:
    """Join reach and depth of everybody in the network back to their ids."""
    found = events.engine.upload(
        pa.table(
            {
                "person_no": forest.person_no,
                "reach": descendants(forest.parent, forest.generation),
                "subtree_depth": subtree_depth(forest.parent, forest.generation),
                "own_revenue": forest.revenue,
                "subtree_revenue": subtree_sum(
                    forest.parent, forest.generation, value=forest.revenue
                ),
            }
        ),
        "network",
    )
    core = events.core
    ids = core.select("person_no", "person_id")
    rows = core.drop("revenue").join(found, "person_no")
    rows = rows.rename(revenue="own_revenue")
    for which in ("referrer", "root"):
        names = ids.rename({f"{which}_no": "person_no", f"{which}_id": "person_id"})
        rows = rows.left_join(names, f"{which}_no").drop(f"{which}_no_right")
    return rows.select(*schema.names("network_people"))
