"""Sharing the value of orders between buyers and those who brought them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import ibis
import numpy as np
import numpy.typing as npt
import pandas as pd

from selfloop.core import schema
from selfloop.core.errors import SettingError
from selfloop.core.settings import LedgerRule, Sharing
from selfloop.inputs.baskets import day_number, order_name
from selfloop.inputs.dialect import person_key
from selfloop.inputs.events import Events
from selfloop.inputs.validate import USED
from selfloop.kernels.credit import split_orders
from selfloop.kernels.forest import by_generation
from selfloop.kernels.ledger import (
    Ledger,
    forest_ledger,
    ledger,
    ledger_by_level,
    passed_up,
)
from selfloop.kernels.network import mean_generation, topological_order
from selfloop.kernels.rows import FloatArray
from selfloop.measures.referral.network import Forest, forest_of

MAX_ORDERS = 10_000
"""Orders that can be listed at once, each with everybody who gets a part."""


@dataclass(frozen=True)
class LinkedForest:
    """The people of the network and the referrals that count, as arrays.

    Parameters
    ----------
    forest : Forest
        The people, each with their first referrer.
    referrer, referee : ndarray of int64, shape (n_links,)
        Positions of the people in `forest`.
    weight : ndarray of float64, shape (n_links,)
        Credit of each link.
    referred_day : ndarray of int64, shape (n_links,)
        When, in days since 1970-01-01.
    order : ndarray of int64
        Positions of the people, referrers before referees.
    depth : ndarray of float64
        Mean distance of each person to a root.
    """

    forest: Forest
    referrer: npt.NDArray[np.int64]
    referee: npt.NDArray[np.int64]
    weight: FloatArray
    referred_day: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    depth: FloatArray

    @property
    def is_forest(self) -> bool:
        """Whether nobody has two referrers."""
        return self.referee.size == int((self.forest.parent >= 0).sum())

    def shares(self, sharing: Sharing) -> Callable[[int], FloatArray]:
        """Return what everybody passes up of what came from so many levels below."""
        of = partial(
            passed_up,
            self.depth,
            rule=sharing.rule,
            beta=sharing.beta,
            incrementality=sharing.incrementality,
        )
        most = sharing.max_levels
        if most is not None:
            return lambda level: of(levels_left=max(0, most - level))
        every = of()
        return lambda _: every

    def open_until(self, sharing: Sharing) -> npt.NDArray[np.int64] | None:
        """Return the last day on which each link carries orders."""
        if sharing.window_days is None:
            return None
        return self.referred_day + sharing.window_days


def linked_forest(events: Events) -> LinkedForest:
    """Bring people and links of the network out of the engine.

    Parameters
    ----------
    events : Events
        With referrals.

    Returns
    -------
    LinkedForest
    """
    forest = forest_of(events)
    assert events.links is not None
    links = events.links
    links = links.select(
        "referrer_no", "referee_no", "weight", day=day_number(links.referred_at)
    ).to_pyarrow()
    person = forest.person_no
    referee = np.searchsorted(person, links["referee_no"].to_numpy())
    weight = links["weight"].to_numpy()
    referrer: npt.NDArray[np.int64]
    if referee.size == int((forest.parent >= 0).sum()):  # one referrer each
        referrer = forest.parent[referee].astype(np.int64)
        order = by_generation(forest.generation)
        depth = forest.generation.astype(np.float64)
    else:
        referrer = np.searchsorted(person, links["referrer_no"].to_numpy())
        order = topological_order(referrer, referee, n_people=person.size)
        depth = mean_generation(referrer, referee, weight=weight, order=order)
    return LinkedForest(
        forest=forest,
        referrer=referrer,
        referee=referee,
        weight=weight,
        referred_day=links["day"].to_numpy().astype(np.int64),
        order=order,
        depth=depth,
    )


def ledger_of(
    events: Events, network: LinkedForest, sharing: Sharing, own_value: FloatArray
) -> Ledger:
    """Share what everybody is worth by themselves with those who brought them.

    Parameters
    ----------
    events : Events
        With referrals.
    network : LinkedForest
        From `linked_forest`.
    sharing : Sharing
        The rule.
    own_value : ndarray of float64
        Value of each person of the network. With a window it must be revenue.

    Returns
    -------
    Ledger
        One entry per person of the network.
    """
    soon, shares = _soon(events, network, sharing), network.shares(sharing)
    if sharing.max_levels is None and network.is_forest:
        carried = own_value
        if soon is not None:
            carried = np.zeros(own_value.size)
            carried[network.referee] = soon
        return forest_ledger(
            network.forest.parent,
            network.forest.generation,
            own_value=own_value,
            tau=shares(0),
            carried=carried,
        )
    links = {
        "referrer": network.referrer,
        "referee": network.referee,
        "weight": network.weight,
        "own_value": own_value,
        "link_value": soon,
    }
    if sharing.max_levels is None:
        return ledger(**links, tau=shares(0), order=network.order)  # type: ignore[arg-type]
    deepest = int(network.forest.generation.max(initial=0)) + 1
    n_levels = min(sharing.max_levels, deepest)
    return ledger_by_level(**links, tau=[shares(j) for j in range(n_levels)])  # type: ignore[arg-type]


def _soon(events: Events, network: LinkedForest, sharing: Sharing) -> FloatArray | None:
    """Sum the orders of each referee up to the end of the window of each link."""
    if sharing.window_days is None or events.links is None:
        return None
    links, rows = events.links, events.baskets
    last_day = day_number(links.referred_at) + sharing.window_days
    links = links.mutate(last_day=last_day)
    joined = links.inner_join(rows, links.referee_no == rows.person_no)
    soon = joined.filter(joined.day <= joined.last_day)
    table = (
        soon.group_by("referrer_no", "referee_no")
        .aggregate(value=soon.net.sum().cast("float64"))
        .to_pyarrow()
    )
    found = pd.Series(
        table["value"].to_numpy(),
        index=pd.MultiIndex.from_arrays(
            [table["referrer_no"].to_numpy(), table["referee_no"].to_numpy()]
        ),
    )
    person = network.forest.person_no
    pairs = pd.MultiIndex.from_arrays(
        [person[network.referrer], person[network.referee]]
    )
    # A link without orders in its window carries nothing: that zero is known.
    return found.reindex(pairs).fillna(0.0).to_numpy(np.float64)


def order_credits(
    events: Events,
    order_ids: Sequence[str] | None = None,
    *,
    customer_ids: Sequence[str] | None = None,
    rule: LedgerRule = "halving",
    beta: float = 0.5,
    max_levels: int | None = None,
    window_days: int | None = None,
    incrementality: float = 1.0,
) -> pd.DataFrame:
    """Show who gets which part of single orders, and why.

    Parameters
    ----------
    events : Events
        Result of `read_events`, with referrals.
    order_ids : sequence of str, optional
        Orders to show.
    customer_ids : sequence of str, optional
        Or all orders of these customers.
    rule, beta, max_levels, window_days, incrementality
        As in `customer_value`.

    Returns
    -------
    DataFrame
        Columns of `schema.ORDER_CREDITS`: per order the buyer first, then the people
        above, level by level. The credits of an order sum to its value.

    Raises
    ------
    MissingTableError
        There is no table of referrals.
    SettingError
        A setting is outside its range, nothing was asked for, an order or customer is
        unknown, or there are more than 10,000 orders.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals)
    >>> brought = shop.referrals["referee_id"]
    >>> buyer = brought[brought.isin(shop.orders["customer_id"])].iloc[0]
    >>> parts = sl.order_credits(events, customer_ids=[buyer])
    >>> bool(abs(parts.credit_value.sum() - parts[parts.level == 0].order_value.sum())
    ...      < 1e-9)
    True
    """
    Events.check(events)
    events.need("referrals", "order_credits")
    sharing = Sharing(rule, beta, max_levels, window_days, incrementality)
    orders = _orders(events, order_ids, customer_ids)
    network = linked_forest(events)
    person = network.forest.person_no
    buyer_no = orders["person_no"].to_numpy(np.int64)
    place = np.searchsorted(person, buyer_no)
    inside = place < person.size
    inside[inside] = person[place[inside]] == buyer_no[inside]
    row = np.flatnonzero(inside)
    until = network.open_until(sharing)
    day = orders["ordered_at"].to_numpy("datetime64[D]").astype(np.int64)
    parts = split_orders(
        network.referrer,
        network.referee,
        weight=network.weight,
        tau=network.shares(sharing),
        buyer=place[row],
        value=orders["order_value"].to_numpy(np.float64)[row],
        time=day[row],
        open_until=until,
    )
    shared = pd.DataFrame({
        "row": row[parts.order], "person_no": person[parts.person],
        "level": parts.level, "credit_value": parts.value,
    })  # fmt: skip
    alone = pd.DataFrame({
        "row": np.flatnonzero(~inside), "person_no": buyer_no[~inside], "level": 0,
        "credit_value": orders["order_value"].to_numpy(np.float64)[~inside],
    })  # fmt: skip
    every = pd.concat([shared, alone]).sort_values(["row", "level"], kind="stable")
    return _named(every, orders, events)


def _orders(
    events: Events,
    order_ids: Sequence[str] | None,
    customer_ids: Sequence[str] | None,
) -> pd.DataFrame:
    """Sum the rows of the orders that were asked for."""
    rows = events.set_aside["orders"]
    rows = rows.filter((rows.code == USED) & rows.customer_id.notnull())
    if (order_ids is None) == (customer_ids is None):
        raise SettingError("give order_ids or customer_ids, one of them")
    what = "order_ids" if customer_ids is None else "customer_ids"
    column = what.removesuffix("s")
    wanted = order_ids if customer_ids is None else customer_ids
    if isinstance(wanted, str) or wanted is None or not len(wanted):
        raise SettingError(f"{what} must be a list of ids; got {wanted!r}")
    if column not in rows.columns:
        raise SettingError("orders have no order_id here; ask by customer_ids")
    ids = [str(i) for i in wanted]
    rows = rows.filter(rows[column].isin(ids))
    rows = rows.mutate(
        person_no=person_key(rows.customer_id), order_value=rows.amount.cast("float64")
    )
    if "order_id" in rows.columns:
        rows = rows.group_by(
            "person_no", "customer_id", order=order_name(rows)
        ).aggregate(
            order_id=rows.order_id.min(),
            ordered_at=rows.ordered_at.min(),
            order_value=rows.amount.sum().cast("float64"),
        )
    else:  # each row is an order
        rows = rows.mutate(order_id=ibis.null("string"))
    orders = (
        rows.order_by("customer_id", "ordered_at", "order_id", "order_value")
        .limit(MAX_ORDERS + 1)
        .to_pandas()
    )
    if len(orders) > MAX_ORDERS:
        raise SettingError(f"more than {MAX_ORDERS:,} orders; ask for fewer at a time")
    unknown = sorted(set(ids) - set(orders[column]))
    if unknown:
        raise SettingError(
            f"{len(unknown):,} of {len(ids):,} {what} have no orders of known "
            f"customers: {', '.join(map(repr, unknown[:3]))}"
        )
    return pd.DataFrame(orders)


def _named(parts: pd.DataFrame, orders: pd.DataFrame, events: Events) -> pd.DataFrame:
    """Add orders and names to the parts."""
    numbers = [int(i) for i in parts["person_no"].unique()]
    core = events.core
    ids = core.filter(core.person_no.isin(numbers)).select("person_no", "person_id")
    names = ids.to_pandas().set_index("person_no")["person_id"]
    table = orders.iloc[parts["row"]].reset_index(drop=True)
    table["person_id"] = parts["person_no"].map(names).to_numpy()
    table["level"] = parts["level"].to_numpy()
    table["credit_value"] = parts["credit_value"].to_numpy()
    return table[schema.names("order_credits")]
