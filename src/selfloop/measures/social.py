"""What each customer is worth: by what they buy and by whom they bring."""

import warnings
from typing import get_args

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from selfloop.core import schema
from selfloop.core.errors import FitError, FitWarning, SettingError
from selfloop.core.settings import LedgerRule, check_choice, check_number
from selfloop.inputs.events import Events
from selfloop.kernels.forest import descendants
from selfloop.kernels.ledger import direct_value, ledger, network_value, passed_up
from selfloop.kernels.network import mean_generation, topological_order
from selfloop.measures.lifetime.fit import fit_lifetime
from selfloop.measures.lifetime.result import LifetimeModel
from selfloop.measures.referral import Forest, forest_of

_SOCIAL = ("reach", "direct_value", "network_value", "given_value", "social_value")
_EXPECTED = ("p_alive", "expected_purchases", "expected_value")


def customer_value(
    events: Events,
    *,
    rule: LedgerRule = "halving",
    horizon_days: float = 365,
    discount_rate: float = 0.0,
    model: LifetimeModel | None = None,
) -> ir.Table:
    """Say what each customer is worth, by own purchases and by the people they bring.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    rule : {"halving", "shapley"}
        How the value of an order is shared with those who brought the buyer.
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

    Notes
    -----
    With r_v the value of v's own orders, w_vu the weight of referrer v for u and
    tau_u the share that u passes up (0 for people nobody brought)::

        F_v      = r_v + sum_u w_vu tau_u F_u
        social_v = (1 - tau_v) sum_u w_vu tau_u F_u
        given_v  = tau_v r_v
        total_v  = r_v - given_v + social_v

    ``halving`` takes tau = 1/2; ``shapley`` takes d / (d + 1) in generation d, which
    splits every order equally over the buyer and everybody above, the Shapley value
    of the game "an order happens only if its whole chain is there". The totals sum to
    revenue. Reach, direct and network value count the same money several times and
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
    check_settings(rule, horizon_days=horizon_days, discount_rate=discount_rate)
    if model is not None and (
        model.population is None or model.population.events is not events
    ):
        raise SettingError("model must be one of fit_lifetime(events) of these events")
    return value_table(
        events,
        _fitted(events) if model is None else model,
        rule=rule,
        horizon_days=horizon_days,
        discount_rate=discount_rate,
    )


def check_settings(
    rule: LedgerRule, *, horizon_days: float, discount_rate: float
) -> None:
    """Raise unless the settings of a value are inside their ranges.

    Parameters
    ----------
    rule, horizon_days, discount_rate
        As in `customer_value`.

    Raises
    ------
    SettingError
        A setting is outside its range.
    """
    check_choice("rule", rule, get_args(LedgerRule))
    check_number("horizon_days", horizon_days, low=1)
    check_number("discount_rate", discount_rate, low=0)


def value_table(
    events: Events,
    model: LifetimeModel | None,
    *,
    rule: LedgerRule,
    horizon_days: float,
    discount_rate: float,
) -> ir.Table:
    """Value everybody with the model at hand, or without any.

    Parameters
    ----------
    events, rule, horizon_days, discount_rate
        As in `customer_value`.
    model : LifetimeModel or None
        None leaves the expected columns missing.

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
    rows = _with_social(_with_referrals(core, events), events, rule)
    rows = rows.mutate(
        lifetime_value=rows.revenue + rows.expected_value,
        total_value=rows.revenue - rows.given_value + rows.social_value,
    )
    table = rows.select(*schema.names("customer_value"))
    return events.engine.keep(table, "customer_value")


def _fitted(events: Events) -> LifetimeModel | None:
    """Fit a model, or warn that the data do not allow it."""
    try:
        return fit_lifetime(events)
    except FitError as error:
        warnings.warn(f"no expected values: {error}", FitWarning, stacklevel=3)
        return None


def _everybody(events: Events) -> ir.Table:
    """Select buyers, people with any order, and the referral network."""
    core = events.core
    in_network = core.referrer_no.notnull() | (core.n_invited > 0)
    return core.filter((core.n_purchases > 0) | (core.revenue != 0) | in_network)


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


def _with_social(rows: ir.Table, events: Events, rule: LedgerRule) -> ir.Table:
    """Add the ledger: missing without referrals, zero outside the network."""
    if events.links is None:
        return rows.mutate(
            reach=ibis.null("int64"),
            **{name: ibis.null("float64") for name in _SOCIAL[1:]},
        )
    table = events.engine.upload(_ledger(events, rule), "ledger")
    rows = rows.left_join(table, "person_no").drop("person_no_right")
    # Nobody outside the network gives or gets anything: that zero is known.
    return rows.mutate(**{name: rows[name].fill_null(0) for name in _SOCIAL})


def _ledger(events: Events, rule: LedgerRule) -> pa.Table:
    """Compute the ledger of the whole network as arrays."""
    forest = forest_of(events)
    assert events.links is not None
    links = events.links.select("referrer_no", "referee_no", "weight").to_pyarrow()
    referrer = np.searchsorted(forest.person_no, links["referrer_no"].to_numpy())
    referee = np.searchsorted(forest.person_no, links["referee_no"].to_numpy())
    weight = links["weight"].to_numpy()
    n = forest.person_no.size
    order = topological_order(referrer, referee, n_people=n)
    depth = mean_generation(referrer, referee, weight=weight, order=order)
    book = ledger(
        referrer,
        referee,
        weight=weight,
        own_value=forest.revenue,
        tau=passed_up(depth, rule=rule),
        order=order,
    )
    return pa.table(
        {
            "person_no": forest.person_no,
            "reach": descendants(forest.parent, forest.generation),
            "direct_value": direct_value(referrer, referee, own_value=forest.revenue),
            "network_value": _below(forest),
            "given_value": book.given_value,
            "social_value": book.social_value,
        }
    )


def _below(forest: Forest) -> np.ndarray:
    """Return the spend of everybody below each person."""
    below: np.ndarray = network_value(
        forest.parent, forest.generation, own_value=forest.revenue
    )
    return below
