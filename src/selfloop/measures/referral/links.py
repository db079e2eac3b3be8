"""Who brought whom from a plain table of links, with no shop around it."""

import warnings
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import DataWarning
from selfloop.core.settings import LedgerRule, Sharing
from selfloop.inputs.columns import ColumnMap
from selfloop.kernels.forest import descendants, structural_virality, subtree_depth
from selfloop.kernels.ledger import (
    Ledger,
    direct_value,
    forest_ledger,
    ledger_by_level,
    network_value,
    passed_up,
)
from selfloop.measures.referral.link_rows import LinkRows, read_links

N_TREES = 100
"""The table of trees keeps this many of the largest."""

_MONEY = (
    "value", "direct_value", "network_value", "given_value", "social_value",
    "total_value",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class LinkNetwork:
    """A network of links, made by `link_network`.

    Parameters
    ----------
    people : pyarrow.Table
        Columns of `schema.LINK_PEOPLE`: everybody, in no order that means anything.
    trees : DataFrame
        Columns of `schema.LINK_TREES`: the 100 largest with two people or more.
    audit : DataFrame
        Columns of `schema.AUDIT`: every row of both tables in one of its lines.
    n_people : int
        People in either table.
    n_links : int
        Links that count, each with one referrer and one referee.
    n_roots : int
        People whom nobody brought; n_people - n_links.
    max_generation : int
        Longest chain of links.
    """

    people: pa.Table = field(repr=False)
    trees: pd.DataFrame = field(repr=False)
    audit: pd.DataFrame = field(repr=False)
    n_people: int
    n_links: int
    n_roots: int
    max_generation: int

    def to_frame(self) -> pd.DataFrame:
        """Return the people as a DataFrame, columns of `schema.LINK_PEOPLE`."""
        frame: pd.DataFrame = self.people.to_pandas()
        return frame

    def __repr__(self) -> str:
        """Show the network as text."""
        return show_text("Network of links", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the network in a notebook."""
        return show_html("Network of links", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List the headline numbers."""
        return [
            ("people", self.n_people),
            ("links that count", self.n_links),
            ("whom nobody brought", self.n_roots),
            ("longest chain", self.max_generation),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [
            ("rows", self.audit, "audit"),
            ("largest trees", self.trees.head(5), "link_trees"),
        ]


def link_network(
    links: object,
    values: object | None = None,
    *,
    columns: ColumnMap | None = None,
    rule: LedgerRule = "halving",
    beta: float = 0.5,
    max_levels: int | None = None,
    incrementality: float = 1.0,
) -> LinkNetwork:
    """Who brought whom and what that is worth, from a plain table of links.

    Parameters
    ----------
    links : pandas, Polars or Arrow table
        referrer_id, referee_id[, referred_at], under these or well-known names. Ids
        are text, or numbers that are whole. Times are dates, timestamps, ISO text, or
        numbers that grow. It is not changed.
    values : pandas, Polars or Arrow table, optional
        person_id, value: money of any sort, such as revenue. Several rows of a person
        are summed; people without a row have 0.
    columns : dict of dict, optional
        ``{"referrals": {role: column}, "values": {role: column}}`` for columns with
        other names.
    rule : {"halving", "shapley", "geometric"}
        How a value is shared with those who brought the person; see `customer_value`.
    beta : float
        Share that goes on at each link with ``geometric``, 0 to 1.
    max_levels : int, optional
        Levels above a person that get a part, at least 0; the highest of them keeps
        the rest. All levels by default.
    incrementality : float
        Share of referred people who would not have come anyway, 0 to 1.

    Returns
    -------
    LinkNetwork

    Raises
    ------
    DataError
        Columns are missing or ambiguous, a table has no rows, or ids, times or values
        cannot be read.
    SettingError
        A setting is outside its range.

    Warns
    -----
    DataWarning
        Rows had to be left out because an id or a time is missing.

    Notes
    -----
    In this order, each step counted in `LinkNetwork.audit`: rows with a blank id or no
    time; links to oneself; a pair that occurs twice counts at its earliest row; of
    several referrers the first counts, by time and then by id; a ring loses its latest
    link. What stays is a forest, and the definitions are those of `referral_network`
    and `customer_value`: the totals of all people sum to all values, while reach,
    direct and network value count the same money several times. There are no orders, so
    nobody is already a customer, and no link is too old; `read_events` looks at both.

    Examples
    --------
    Ann brings Bob, and Bob brings Cid, who spends 100. Half goes up at each link.

    >>> import pandas as pd
    >>> import selfloop as sl
    >>> links = pd.DataFrame(
    ...     {"referrer_id": ["ann", "bob"], "referee_id": ["bob", "cid"]}
    ... )
    >>> values = pd.DataFrame({"person_id": ["cid"], "value": [100.0]})
    >>> network = sl.link_network(links, values)
    >>> table = network.to_frame().set_index("person_id")
    >>> table.loc[["ann", "bob", "cid"], ["reach", "network_value", "total_value"]]
               reach  network_value  total_value
    person_id
    ann            2          100.0         25.0
    bob            1          100.0         25.0
    cid            0            0.0         50.0
    """
    sharing = Sharing(rule, beta, max_levels, None, incrementality)
    rows = read_links(links, values, columns)
    _warn(rows.audit)
    generation = rows.generation
    people = {
        "person_id": rows.ids,
        "referrer_id": rows.ids.take(pa.array(rows.parent, mask=rows.parent < 0)),
        "generation": generation,
        "root_id": rows.ids.take(pa.array(rows.root)),
        "n_invited": np.bincount(
            rows.parent[rows.parent >= 0], minlength=rows.parent.size
        ),
        "reach": descendants(rows.parent, generation),
        "subtree_depth": subtree_depth(rows.parent, generation),
        **_money(rows, sharing),
    }
    table = pa.table(people).select(schema.names("link_people"))
    return LinkNetwork(
        people=table,
        trees=_trees(rows, table),
        audit=rows.audit,
        n_people=rows.parent.size,
        n_links=int((rows.parent >= 0).sum()),
        n_roots=int((rows.parent < 0).sum()),
        max_generation=int(generation.max(initial=0)),
    )


def _warn(audit: pd.DataFrame) -> None:
    """Warn of rows that could not be read."""
    lost = audit[audit["outcome"] == "rejected"]
    if len(lost):
        parts = [
            f"{line.n_rows:,} rows of {line.table}: {line.code} {line.reason}"
            for line in lost.itertuples()
        ]
        text = f"left out: {'; '.join(parts)}; see the audit of the result"
        warnings.warn(text, DataWarning, stacklevel=3)


def _money(rows: LinkRows, sharing: Sharing) -> dict[str, object]:
    """Return the columns of money, all missing without values."""
    if rows.value is None:
        return dict.fromkeys(_MONEY, pa.nulls(rows.parent.size, pa.float64()))
    referee = np.flatnonzero(rows.parent >= 0)
    referrer = rows.parent[referee]
    direct = direct_value(referrer, referee, own_value=rows.value)
    below = network_value(rows.parent, rows.generation, own_value=rows.value)
    book = _ledger(rows, rows.value, sharing)
    return {
        "value": rows.value,
        "direct_value": direct,
        "network_value": below,
        "given_value": book.given_value + 0.0,  # a root with a negative value gives 0
        "social_value": book.social_value,
        "total_value": book.total_value,
    }


def _ledger(rows: LinkRows, value: npt.NDArray[np.float64], sharing: Sharing) -> Ledger:
    """Share the values with those who brought the people."""
    tau = partial(
        passed_up,
        rows.generation,
        rule=sharing.rule,
        beta=sharing.beta,
        incrementality=sharing.incrementality,
    )
    most = sharing.max_levels
    if most is None:
        return forest_ledger(rows.parent, rows.generation, own_value=value, tau=tau())
    referee = np.flatnonzero(rows.parent >= 0)
    levels = range(min(most, int(rows.generation.max()) + 1))
    return ledger_by_level(
        rows.parent[referee],
        referee,
        weight=np.ones(referee.size),
        own_value=value,
        tau=[tau(levels_left=most - level) for level in levels],
    )


def _trees(rows: LinkRows, people: pa.Table) -> pd.DataFrame:
    """Describe the largest trees; of equal sizes the id of the root decides."""
    roots = np.flatnonzero(rows.parent < 0)
    size = people["reach"].to_numpy() + 1
    sizes = size[roots]
    least = max(2, int(np.sort(sizes)[-N_TREES:].min(initial=2)))
    roots = roots[sizes >= least]
    by_id = pc.sort_indices(rows.ids.take(pa.array(roots))).to_numpy()
    roots = roots[by_id]
    roots = roots[np.argsort(-size[roots], kind="stable")][:N_TREES]
    tree = np.full(size.size, -1, np.int32)
    tree[roots] = np.arange(roots.size, dtype=np.int32)
    tree = tree[rows.root]
    inside = np.flatnonzero(tree >= 0)
    found = people.take(pa.array(roots))
    own, below = found["value"].to_numpy(), found["network_value"].to_numpy()
    return pd.DataFrame(
        {
            "root_id": found["person_id"].to_pandas(),
            "n_people": size[roots],
            "depth": found["subtree_depth"].to_numpy(),
            "structural_virality": structural_virality(
                size[inside], tree=tree[inside], n_people=size[roots]
            ),
            "value": own + below,
            "root_value": own,
        },
        columns=schema.names("link_trees"),
    )
