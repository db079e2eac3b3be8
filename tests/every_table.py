"""Every table that some events give, by name, each computed when it is asked for."""

from collections.abc import Callable
from functools import cache
from typing import Any

import ibis.expr.types as ir
import pandas as pd

import selfloop as sl
from selfloop.measures.loop.cells import loop_cells

Get = Callable[[str], Any]


def _buyers(events):
    """A few ids of buyers, the same ones on every engine."""
    people = sl.people(events)
    ids = people.filter(people.n_purchases > 0).order_by("person_id").limit(50)
    return ids.person_id.to_pandas().tolist()


PARTS: dict[str, Callable[[Any, Get], Any]] = {
    "funnel": lambda e, _: sl.funnel(e),
    "loop": lambda e, _: sl.self_loop(e),
    "ladder": lambda e, _: sl.repurchase(e),
    "gaps": lambda e, _: sl.repurchase_gaps(e),
    "network": lambda e, _: sl.referral_network(e),
    "model": lambda e, _: sl.fit_lifetime(e, model="mbg_nbd"),
    "by_source": lambda e, _: sl.fit_lifetime(
        e, model="mbg_nbd", covariates=["source"]
    ),
    "test": lambda e, _: sl.backtest_lifetime(e, model="mbg_nbd"),
    "values": lambda e, g: sl.customer_value(e, model=g("model")),
    "grid": lambda _, g: sl.value_grid(g("values")),
    "compared": lambda e, _: sl.compare_referred(e),
    "times": lambda e, _: sl.referral_times(e),
    "anomalies": lambda e, _: sl.referral_anomalies(e),
    "concentration": lambda e, _: sl.concentration(e),
    "stages": lambda e, _: sl.stage_times(e),
    "groups": lambda e, _: sl.reproduction(e, "first_order_quarter"),
    "cohorts": lambda e, _: sl.cohorts(e),
    "projected": lambda _, g: sl.project_cohorts(g("cohorts")),
    "cost": lambda e, _: sl.acquisition_cost(e),
    "ahead": lambda e, _: sl.project_loop(e, months=3),
    "life": lambda e, _: sl.lifecycle(e, dormant_after_days=60),
    "rfm": lambda e, _: sl.rfm(e),
    "products": lambda e, _: sl.product_gaps(e),
}
"""Results that several tables are parts of."""

TABLES: dict[str, Callable[[Any, Get], Any]] = {
    "totals": lambda e, _: pd.DataFrame([e.totals]),
    "audit": lambda e, _: e.audit.drop(columns="examples"),
    "notes": lambda e, _: e.notes,
    "guest_months": lambda e, _: e.guest_months,
    "people": lambda e, _: sl.people(e),
    "funnel_stages": lambda _, g: g("funnel").stages,
    "funnel_windows": lambda _, g: g("funnel").windows,
    "funnel_by_month": lambda e, _: sl.funnel(e, by="arrived_month").windows,
    "stage_times": lambda _, g: g("stages").quantiles,
    "stage_times_curve": lambda _, g: g("stages").curve,
    "drop_offs": lambda e, _: sl.drop_offs(e),
    "segment_differences": lambda e, _: sl.compare_segments(e, "source").table,
    "repurchase_steps": lambda _, g: g("ladder").steps,
    "repurchase_windows": lambda _, g: g("ladder").windows,
    "repurchase_days": lambda _, g: g("ladder").days,
    "repurchase_gaps": lambda _, g: g("gaps").bins,
    "repurchase_reminders": lambda _, g: g("gaps").reminders,
    "customer_gaps": lambda e, _: sl.customer_gaps(e),
    "returning": lambda e, _: sl.returning(e).table,
    "product_gaps": lambda _, g: g("products").products,
    "product_customers": lambda _, g: g("products").people,
    "cohorts": lambda _, g: g("cohorts").table,
    "cohort_ages": lambda _, g: g("cohorts").mean_by_age(),
    "cohort_projection": lambda _, g: g("projected").table,
    "cohort_factors": lambda _, g: g("projected").factors,
    "lifecycle": lambda _, g: g("life").table,
    "lifecycle_previous": lambda _, g: g("life").previous,
    "rfm": lambda _, g: g("rfm").table,
    "rfm_grid": lambda _, g: g("rfm").grid,
    "rfm_bounds": lambda _, g: g("rfm").bounds,
    "rfm_people": lambda _, g: g("rfm").people,
    "migration": lambda e, _: sl.migration(e, "2024-12-31").table,
    "segment_profile": lambda e, _: sl.segment_profile(e, "source").table,
    "segment_after": lambda e, _: sl.segment_profile(e, "rfm").after,
    "lifetime_people": lambda _, g: g("model").predict(),
    "lifetime_intervals": lambda _, g: g("model").predict_intervals(),
    "lifts": lambda _, g: g("by_source").lifts(),
    "covariate_tests": lambda _, g: g("by_source").tests,
    "new_customers": lambda _, g: g("by_source").new_customers("source"),
    "spend_distribution": lambda _, g: sl.spend_distribution(g("model")).table,
    "backtest_scores": lambda _, g: g("test").scores,
    "backtest_deciles": lambda _, g: g("test").deciles,
    "backtest_weeks": lambda _, g: g("test").weeks,
    "backtest_frequencies": lambda _, g: g("test").frequencies,
    "generations": lambda _, g: g("network").generations,
    "trees": lambda _, g: g("network").trees,
    "network_people": lambda _, g: g("network").people,
    "referral_times": lambda _, g: g("times").steps,
    "referral_times_curve": lambda _, g: g("times").curve,
    "concentration": lambda _, g: g("concentration").shares,
    "lorenz": lambda _, g: g("concentration").curve,
    "anomaly_rules": lambda _, g: g("anomalies").rules,
    "anomalies": lambda _, g: g("anomalies").flags,
    "anomaly_links": lambda _, g: g("anomalies").links(),
    "referred_differences": lambda _, g: g("compared").differences,
    "referred_months": lambda _, g: g("compared").by_month,
    "referrer_tenure": lambda _, g: g("compared").tenure,
    "referrer_active": lambda _, g: g("compared").survival,
    "link_clustering": lambda _, g: g("compared").clustering,
    "referrals_ahead": lambda e, _: sl.fit_referrals(e).predict(),
    "customer_value": lambda _, g: g("values"),
    "value_grid": lambda _, g: g("grid").cells,
    "grid_people": lambda _, g: g("grid").people,
    "advocates": lambda _, g: g("grid").advocates,
    "order_credits": lambda e, _: sl.order_credits(e, customer_ids=_buyers(e)),
    "loop_months": lambda _, g: g("loop").months,
    "reproduction": lambda _, g: g("loop").reproduction,
    "reproduction_curve": lambda _, g: g("loop").curve,
    "loop_weeks": lambda _, g: g("loop").weeks,
    "loop_lineage": lambda _, g: g("loop").lineage,
    "loop_lineage_months": lambda _, g: g("loop").lineage_months,
    "reproduction_segments": lambda _, g: g("groups").table,
    "reproduction_segments_curve": lambda _, g: g("groups").curve,
    "reproduction_trend": lambda _, g: g("groups").trend,
    "cascades": lambda e, _: sl.loop_growth(e).cascades,
    "loop_cells": lambda e, _: loop_cells(e).to_frame(),
    "visitor_value": lambda e, _: sl.visitor_value(e).table,
    "spend_channels": lambda _, g: g("cost").channels,
    "spend_months": lambda _, g: g("cost").months,
    "spend_trends": lambda _, g: g("cost").trends,
    "projection_months": lambda _, g: g("ahead").months,
    "projection_totals": lambda _, g: g("ahead").totals,
    "loop_cohorts": lambda _, g: g("ahead").cohorts,
    "stage_leverage": lambda e, _: sl.stage_leverage(e).table,
    "what_if": lambda e, _: sl.what_if(e, traffic=2).table,
    "loop_backtest": lambda e, _: sl.backtest_loop(e).table,
}
"""Every table, given the events and the way to its parts."""


def tables_of(events) -> dict[str, pd.DataFrame]:
    """Compute every table; those with a row per person in the order of their keys."""

    @cache
    def get(part):
        return PARTS[part](events, get)

    found = {}
    for name, make in TABLES.items():
        table = make(events, get)
        if isinstance(table, ir.Table):
            table = table.to_pandas()
            keys = [c for c in KEYS if c in table.columns]
            table = table.sort_values(keys, ignore_index=True)
        found[name] = table
    return found


KEYS = ("person_id", "customer_id", "referrer_id", "referee_id", "beneficiary_id",
        "product", "ordered_at", "purchase_at", "order_id", "level")  # fmt: skip
"""Columns that tell the rows of a table in the engine apart, as far as it has them."""
