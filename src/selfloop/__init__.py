"""Tell whether a business feeds itself.

Traffic, conversion, repurchase, referral, lifetime value and social value from
plain event tables.

Examples
--------
>>> import selfloop as sl
>>> shop = sl.simulate(n_visitors=300, seed=7)
>>> events = sl.read_events(orders=shop.orders, referrals=shop.referrals)
>>> people = sl.people(events)
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOME = {
    "read_events": "selfloop.inputs.events",
    "Events": "selfloop.inputs.events",
    "people": "selfloop.inputs.people",
    "simulate": "selfloop.inputs.simulate",
    "simulate_files": "selfloop.inputs.simulate",
    "Simulation": "selfloop.inputs.simulate",
    "Shop": "selfloop.inputs.shop",
    "Source": "selfloop.inputs.shop",
    "funnel": "selfloop.measures.funnel.rates",
    "repurchase": "selfloop.measures.repurchase.ladder",
    "repurchase_gaps": "selfloop.measures.repurchase.gaps",
    "customer_gaps": "selfloop.measures.repurchase.customer_gaps",
    "product_gaps": "selfloop.measures.repurchase.products",
    "returning": "selfloop.measures.repurchase.returning",
    "stage_times": "selfloop.measures.funnel.times",
    "drop_offs": "selfloop.measures.funnel.stuck",
    "compare_segments": "selfloop.measures.funnel.differences",
    "compare": "selfloop.outputs.compare",
    "cohorts": "selfloop.measures.cohorts.triangle",
    "project_cohorts": "selfloop.measures.cohorts.ahead",
    "lifecycle": "selfloop.measures.customers.lifecycle",
    "rfm": "selfloop.measures.customers.rfm",
    "migration": "selfloop.measures.customers.migration",
    "segment_profile": "selfloop.measures.customers.profile",
    "fit_lifetime": "selfloop.measures.lifetime.fit",
    "compare_models": "selfloop.measures.lifetime.compare",
    "backtest_lifetime": "selfloop.measures.lifetime.backtest",
    "spend_distribution": "selfloop.measures.lifetime.spread",
    "read_lifetime": "selfloop.outputs.lifetime_json",
    "write_lifetime": "selfloop.outputs.lifetime_json",
    "from_lifetimes": "selfloop.measures.lifetime.fit",
    "to_lifetimes_frame": "selfloop.measures.lifetime.peer",
    "concentration": "selfloop.measures.concentration",
    "backtest_referrals": "selfloop.measures.referral.backtest",
    "fit_referrals": "selfloop.measures.referral.fit",
    "referral_times": "selfloop.measures.referral.timing",
    "referral_network": "selfloop.measures.referral.network",
    "compare_referred": "selfloop.measures.referral.referred",
    "referral_anomalies": "selfloop.measures.referral.anomalies",
    "link_network": "selfloop.measures.referral.links",
    "customer_value": "selfloop.measures.social",
    "value_grid": "selfloop.measures.grid",
    "order_credits": "selfloop.measures.credit",
    "self_loop": "selfloop.measures.loop.overall",
    "reproduction": "selfloop.measures.loop.reproduction",
    "visitor_value": "selfloop.measures.loop.value",
    "loop_growth": "selfloop.measures.loop.growth",
    "project_loop": "selfloop.measures.loop.ahead",
    "backtest_loop": "selfloop.measures.loop.backtest",
    "stage_leverage": "selfloop.measures.loop.leverage",
    "what_if": "selfloop.measures.loop.what_if",
    "acquisition_cost": "selfloop.measures.loop.spending",
    "analyze": "selfloop.measures.analyze",
    "plot": "selfloop.outputs.plots",
    "to_igraph": "selfloop.outputs.handover",
    "to_networkx": "selfloop.outputs.handover",
    "write_graph": "selfloop.outputs.handover",
    "write_report": "selfloop.outputs.report",
    "write_table": "selfloop.outputs.tables",
    "DataError": "selfloop.core.errors",
    "FileError": "selfloop.core.errors",
    "FitError": "selfloop.core.errors",
    "MissingTableError": "selfloop.core.errors",
    "Problem": "selfloop.core.errors",
    "SelfloopError": "selfloop.core.errors",
    "SettingError": "selfloop.core.errors",
    "DataWarning": "selfloop.core.errors",
    "FitWarning": "selfloop.core.errors",
}

__all__ = [
    "DataError",
    "DataWarning",
    "Events",
    "FileError",
    "FitError",
    "FitWarning",
    "MissingTableError",
    "Problem",
    "SelfloopError",
    "SettingError",
    "Shop",
    "Simulation",
    "Source",
    "__version__",
    "acquisition_cost",
    "analyze",
    "backtest_lifetime",
    "backtest_loop",
    "backtest_referrals",
    "cohorts",
    "compare",
    "compare_models",
    "compare_referred",
    "compare_segments",
    "concentration",
    "customer_gaps",
    "customer_value",
    "drop_offs",
    "fit_lifetime",
    "fit_referrals",
    "from_lifetimes",
    "funnel",
    "lifecycle",
    "link_network",
    "loop_growth",
    "migration",
    "order_credits",
    "people",
    "plot",
    "product_gaps",
    "project_cohorts",
    "project_loop",
    "read_events",
    "read_lifetime",
    "referral_anomalies",
    "referral_network",
    "referral_times",
    "reproduction",
    "repurchase",
    "repurchase_gaps",
    "returning",
    "rfm",
    "segment_profile",
    "self_loop",
    "simulate",
    "simulate_files",
    "spend_distribution",
    "stage_leverage",
    "stage_times",
    "to_igraph",
    "to_lifetimes_frame",
    "to_networkx",
    "value_grid",
    "visitor_value",
    "what_if",
    "write_graph",
    "write_lifetime",
    "write_report",
    "write_table",
]


def __getattr__(name: str) -> object:
    """Import a public name from its module the first time it is used."""
    if name not in _HOME:
        raise AttributeError(f"module 'selfloop' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, for tab completion."""
    return sorted(__all__)


if TYPE_CHECKING:
    from selfloop.core.errors import (
        DataError,
        DataWarning,
        FileError,
        FitError,
        FitWarning,
        MissingTableError,
        Problem,
        SelfloopError,
        SettingError,
    )
    from selfloop.inputs.events import Events, read_events
    from selfloop.inputs.people import people
    from selfloop.inputs.shop import Shop, Source
    from selfloop.inputs.simulate import Simulation, simulate, simulate_files
    from selfloop.measures.analyze import analyze
    from selfloop.measures.cohorts.ahead import project_cohorts
    from selfloop.measures.cohorts.triangle import cohorts
    from selfloop.measures.concentration import concentration
    from selfloop.measures.credit import order_credits
    from selfloop.measures.customers.lifecycle import lifecycle
    from selfloop.measures.customers.migration import migration
    from selfloop.measures.customers.profile import segment_profile
    from selfloop.measures.customers.rfm import rfm
    from selfloop.measures.funnel.differences import compare_segments
    from selfloop.measures.funnel.rates import funnel
    from selfloop.measures.funnel.stuck import drop_offs
    from selfloop.measures.funnel.times import stage_times
    from selfloop.measures.grid import value_grid
    from selfloop.measures.lifetime.backtest import backtest_lifetime
    from selfloop.measures.lifetime.compare import compare_models
    from selfloop.measures.lifetime.fit import fit_lifetime, from_lifetimes
    from selfloop.measures.lifetime.peer import to_lifetimes_frame
    from selfloop.measures.lifetime.spread import spend_distribution
    from selfloop.measures.loop.ahead import project_loop
    from selfloop.measures.loop.backtest import backtest_loop
    from selfloop.measures.loop.growth import loop_growth
    from selfloop.measures.loop.leverage import stage_leverage
    from selfloop.measures.loop.overall import self_loop
    from selfloop.measures.loop.reproduction import reproduction
    from selfloop.measures.loop.spending import acquisition_cost
    from selfloop.measures.loop.value import visitor_value
    from selfloop.measures.loop.what_if import what_if
    from selfloop.measures.referral.anomalies import referral_anomalies
    from selfloop.measures.referral.backtest import backtest_referrals
    from selfloop.measures.referral.fit import fit_referrals
    from selfloop.measures.referral.links import link_network
    from selfloop.measures.referral.network import referral_network
    from selfloop.measures.referral.referred import compare_referred
    from selfloop.measures.referral.timing import referral_times
    from selfloop.measures.repurchase.customer_gaps import customer_gaps
    from selfloop.measures.repurchase.gaps import repurchase_gaps
    from selfloop.measures.repurchase.ladder import repurchase
    from selfloop.measures.repurchase.products import product_gaps
    from selfloop.measures.repurchase.returning import returning
    from selfloop.measures.social import customer_value
    from selfloop.outputs.compare import compare
    from selfloop.outputs.handover import to_igraph, to_networkx, write_graph
    from selfloop.outputs.lifetime_json import read_lifetime, write_lifetime
    from selfloop.outputs.plots import plot
    from selfloop.outputs.report import write_report
    from selfloop.outputs.tables import write_table
