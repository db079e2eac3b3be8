"""What each customer is worth: by what they buy and by whom they bring."""

import warnings
from typing import get_args

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from selfloop.core import schema
from selfloop.core.errors import FitError, FitWarning, SettingError
from selfloop.core.settings import (
    Basis,
    LedgerRule,
    Sharing,
    check_choice,
    check_number,
)
from selfloop.inputs.events import Events
from selfloop.kernels.forest import descendants
from selfloop.kernels.ledger import direct_value, network_value
from selfloop.kernels.rows import FloatArray
from selfloop.measures.credit import LinkedForest, ledger_of, linked_forest
from selfloop.measures.lifetime.fit import fit_lifetime
from selfloop.measures.lifetime.result import LifetimeModel
from selfloop.measures.referral.network import in_network

_SOCIAL = ("reach", "direct_value", "network_value", "given_value", "social_value")
_EXPECTED = ("p_alive", "expected_purchases", "expected_value")


def customer_value(
    events: Events,
    *,
    rule: LedgerRule = "halving",
    beta: float = 0.5,
    max_levels: int | None = None,
    window_days: int | None = None,
    incrementality: float = 1.0,
    basis: Basis = "revenue",
    margin: float = 1.0,
    horizon_days: float = 365,
    discount_rate: float = 0.0,
    model: LifetimeModel | None = None,
) -> ir.Table:
    """Say what each customer is worth, by own purchases and by the people they bring.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    rule : {"halving", "shapley", "geometric"}
        How the value of an order is shared with those who brought the buyer.
    beta : float
        Share that goes on at each link with ``geometric``, 0 to 1.
    max_levels : int, optional
        Levels above the buyer that get a part, at least 0; the highest of them keeps
        the rest. All levels by default; payouts often take 1 or 2.
    window_days : int, optional
        Only orders on days up to so many after that of the referral are shared, at
        least 1. All orders by default.
    incrementality : float
        Share of referred people who would not have come anyway, 0 to 1.
    basis : {"revenue", "expected", "lifetime"}
        What is shared: net revenue to date, expected value, or their sum.
    margin : float
        Share of revenue that is kept after the cost of what was sold, above 0 to 1. It
        multiplies every value but `revenue`.
    horizon_days : float
        Horizon of the expected value, in days; at least 1.
    discount_rate : float
        Annual rate at which expected value is discounted, 0 or more.
    model : LifetimeModel, optional
        A model fitted to these events; by default one is fitted. When the data do
        not allow it, a `FitWarning` says why and the expected columns are missing.

    Returns
    -------
    ibis table
        Columns of `schema.CUSTOMER_VALUE`; one row per buyer, per other person whose
        orders do not sum to zero, and per person of the referral network. Without
        referrals the social columns are missing.

    Raises
    ------
    SettingError
        A setting is outside its range, or the model was fitted to other events.
    FitError
        Expected value is to be shared and there is no model of it.

    Notes
    -----
    With r_v the value of v's own orders, e_vu the part of it that the link from v to
    u carries (all of it, or the orders in the window), w_vu the weight of referrer v
    for u and tau_u the share that u passes up (0 for people nobody brought)::

        I_v      = sum_u w_vu tau_u (e_vu + I_u)
        social_v = (1 - tau_v) I_v
        given_v  = tau_v sum_p w_pv e_pv
        total_v  = r_v - given_v + social_v

    ``halving`` takes tau = 1/2; ``shapley`` takes d / (d + 1) in generation d, which
    splits every order equally over the buyer and everybody above, the Shapley value
    of the game "an order happens only if its whole chain is there"; ``geometric``
    takes beta. All are multiplied by `incrementality`. The totals sum to the value of
    all orders. Reach, direct and network value count the same money several times and
    must not be added up.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> values = sl.customer_value(sl.read_events(shop.orders, shop.referrals))
    >>> table = values.to_pandas()
    >>> bool(abs(table.total_value.sum() - table.revenue.sum()) < 1e-6)
    True
    """
    Events.check(events)
    sharing = Sharing(rule, beta, max_levels, window_days, incrementality)
    check_settings(
        sharing, basis=basis, margin=margin, horizon_days=horizon_days,
        discount_rate=discount_rate,
    )  # fmt: skip
    if model is not None and (
        model.population is None or model.population.events is not events
    ):
        raise SettingError("model must be one of fit_lifetime(events) of these events")
    return value_table(
        events,
        _fitted(events, basis) if model is None else model,
        sharing,
        basis=basis,
        margin=margin,
        horizon_days=horizon_days,
        discount_rate=discount_rate,
    )


def check_settings(
    sharing: Sharing,
    *,
    basis: Basis = "revenue",
    margin: float = 1.0,
    horizon_days: float,
    discount_rate: float,
) -> None:
    """Raise unless the settings of a value are inside their ranges.

    Parameters
    ----------
    sharing : Sharing
        The rule.
    basis, margin, horizon_days, discount_rate
        As in `customer_value`.

    Raises
    ------
    SettingError
        A setting is outside its range, or two do not go together.
    """
    check_choice("basis", basis, get_args(Basis))
    check_number("margin", margin, low=1e-9, high=1)
    check_number("horizon_days", horizon_days, low=1)
    check_number("discount_rate", discount_rate, low=0)
    if sharing.window_days is not None and basis != "revenue":
        raise SettingError(
            f"window_days is about orders that were made; basis is {basis!r}"
        )


def value_table(
    events: Events,
    model: LifetimeModel | None,
    sharing: Sharing,
    *,
    basis: Basis = "revenue",
    margin: float = 1.0,
    horizon_days: float,
    discount_rate: float,
) -> ir.Table:
    """Value everybody with the model at hand, or without any.

    Parameters
    ----------
    events, basis, margin, horizon_days, discount_rate
        As in `customer_value`.
    model : LifetimeModel or None
        None leaves the expected columns missing.
    sharing : Sharing
        The rule.

    Returns
    -------
    ibis table
        Columns of `schema.CUSTOMER_VALUE`.
    """
    core = _everybody(events)
    if model is None:
        core = core.mutate(**{name: ibis.null("float64") for name in _EXPECTED})
    else:
        core = model.attach(core, horizon_days, discount_rate=discount_rate)
        core = core.mutate(expected_value=core.expected_value * margin)
    rows = _with_referrals(core, events)
    rows = _with_social(rows, events, sharing, basis, margin)
    rows = rows.mutate(
        lifetime_value=rows.revenue * margin + rows.expected_value,
        total_value=_basis(rows, basis, margin) - rows.given_value + rows.social_value,
    )
    table = rows.select(*schema.names("customer_value"))
    return events.engine.keep(table, "customer_value")


def _fitted(events: Events, basis: Basis) -> LifetimeModel | None:
    """Fit a model, or warn that the data do not allow it."""
    try:
        return fit_lifetime(events)
    except FitError as error:
        if basis != "revenue":
            raise
        warnings.warn(f"no expected values: {error}", FitWarning, stacklevel=3)
        return None


def _everybody(events: Events) -> ir.Table:
    """Select buyers, people with any order, and the referral network."""
    core = events.core
    has_orders = (core.n_purchases > 0) | (core.revenue != 0)
    return core.filter(has_orders | in_network(core))


def _with_referrals(core: ir.Table, events: Events) -> ir.Table:
    """Name the columns as they are shown; referrals are missing when not given."""
    known = "referrals" in events.has
    hidden = ibis.null("int64")
    return core.select(
        "person_no",
        "person_id",
        "source",
        "channel",
        "generation",
        "n_purchases",
        *_EXPECTED,
        first_order_at="first_at",
        revenue=core.revenue.cast("float64"),
        n_invited=core.n_invited.cast("int64") if known else hidden,
        n_referred=core.n_referred.cast("int64") if known else hidden,
    )


def _with_social(
    rows: ir.Table, events: Events, sharing: Sharing, basis: Basis, margin: float
) -> ir.Table:
    """Add the ledger: missing without referrals, zero outside the network."""
    if events.links is None:
        return rows.mutate(
            reach=ibis.null("int64"),
            **{name: ibis.null("float64") for name in _SOCIAL[1:]},
        )
    network = linked_forest(events)
    own = _own_value(rows, events, network, basis, margin)
    table = _ledger_table(events, network, sharing, own)
    rows = rows.left_join(events.engine.upload(table, "ledger"), "person_no")
    rows = rows.drop("person_no_right")
    # Nobody outside the network gives or gets anything: that zero is known.
    return rows.mutate(**{name: rows[name].fill_null(0) for name in _SOCIAL})


def _own_value(
    rows: ir.Table, events: Events, network: LinkedForest, basis: Basis, margin: float
) -> FloatArray:
    """Return what everybody in the network is worth by themselves."""
    if basis == "revenue":
        return network.forest.revenue * margin
    worth = _basis(rows, basis, margin).fill_null(0.0)  # who never bought
    core = events.core
    people = core.filter(in_network(core)).select("person_no")
    table = rows.select("person_no", worth=worth).semi_join(people, "person_no")
    found = table.order_by("person_no").to_pyarrow()
    return np.asarray(found["worth"].to_numpy(), dtype=np.float64)


def _basis(rows: ir.Table, basis: Basis, margin: float) -> ir.FloatingValue:
    """Return the value that is shared: historic, expected, or both."""
    historic = rows.revenue * margin
    if basis == "revenue":
        return historic
    expected = rows.expected_value.fill_null(0.0)
    return expected if basis == "expected" else historic + expected


def _ledger_table(
    events: Events, network: LinkedForest, sharing: Sharing, own: FloatArray
) -> pa.Table:
    """Compute the ledger of the whole network, and the sums that are not additive."""
    forest = network.forest
    book = ledger_of(events, network, sharing, own)
    return pa.table(
        {
            "person_no": forest.person_no,
            "reach": descendants(forest.parent, forest.generation),
            "direct_value": direct_value(
                network.referrer, network.referee, own_value=own
            ),
            "network_value": network_value(
                forest.parent, forest.generation, own_value=own
            ),
            "given_value": book.given_value,
            "social_value": book.social_value,
        }
    )
