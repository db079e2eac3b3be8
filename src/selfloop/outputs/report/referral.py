"""What a report says of who brings whom: to come, kinds, times, comparison, flags."""

import math
from typing import TYPE_CHECKING, Any

from selfloop.outputs.report.plain import plain, records

if TYPE_CHECKING:
    from selfloop.measures.grid import ValueGrid
    from selfloop.measures.referral.ahead import ReferralModel
    from selfloop.measures.referral.backtest import ReferralBacktest
    from selfloop.measures.referral.overview import ReferralOverview
    from selfloop.measures.referral.referred import ReferredComparison

N_FLAGS = 50
"""Flags listed; the table of rules counts all of them."""


def referral_numbers(found: "ReferralOverview | None") -> dict[str, Any] | None:
    """Select what a report says of referrals, as plain values.

    Parameters
    ----------
    found : ReferralOverview or None
        From `selfloop.analyze`.

    Returns
    -------
    dict or None
        ``times``, ``concentration``, ``ahead`` (None without a model) with
        ``ahead_reason``, ``grid`` (None without values), ``compared``, ``anomalies``;
        None without referrals.
    """
    if found is None:
        return None
    return {
        "times": records(found.times.steps, "referral_times"),
        "concentration": records(found.concentration.shares, "concentration"),
        "ahead": None if found.model is None else _ahead(found, found.model),
        "ahead_reason": found.unavailable.get("expected referrals", ""),
        "grid": None if found.grid is None else _grid(found.grid),
        "compared": _compared(found.compared),
        "anomalies": {
            "n_rows": plain(found.anomalies.n_rows),
            "n_flagged": plain(found.anomalies.n_flagged),
            "rules": records(found.anomalies.rules, "anomaly_rules"),
            "flags": records(found.anomalies.flags.head(N_FLAGS), "anomalies"),
        },
    }


def _ahead(found: "ReferralOverview", model: "ReferralModel") -> dict[str, Any]:
    """Return how customers differ, what is to come, and how it was tested."""
    one = found.worth
    worth = (
        None if one is None
        else {name: plain(v) for name, v in one._asdict().items()
              if name != "replicates"}
    )  # fmt: skip
    total = None
    if found.total is not None and math.isfinite(found.total.referrals):
        total = {name: plain(v) for name, v in found.total._asdict().items()}
    names = ("k", "k_low", "k_high", "r", "longest_days", "n_people", "n_referrers",
             "n_referrals")  # fmt: skip
    return {
        **{name: plain(getattr(model, name)) for name in names},
        "total": total,
        "worth": worth,
        "backtest": None if found.test is None else _backtest(found.test),
        "backtest_reason": found.unavailable.get("referral backtest", ""),
    }


def _backtest(test: "ReferralBacktest") -> dict[str, Any]:
    """Return how the model predicted what has happened."""
    total = test.total
    return {
        "at": plain(test.at, "date"),
        "horizon_days": plain(test.horizon_days),
        "n_people": plain(total.n_people),
        "predicted": plain(total.referrals),
        "low": plain(total.referrals_low),
        "high": plain(total.referrals_high),
        "actual": plain(test.actual),
        "n_outside": plain(test.n_outside),
        "scores": records(test.scores, "backtest_scores"),
        "deciles": records(test.deciles, "backtest_deciles"),
    }


def _grid(grid: "ValueGrid") -> dict[str, Any]:
    """Return the four kinds of customers."""
    return {
        "own": grid.own,
        "own_cut": plain(grid.own_cut),
        "social_cut": plain(grid.social_cut),
        "n_more_for_others": plain(grid.n_more_for_others),
        "social_value_of_those": plain(grid.social_value_of_those),
        "cells": records(grid.cells, "value_grid"),
    }


def _compared(compared: "ReferredComparison") -> dict[str, Any]:
    """Return referred people beside others."""
    names = ("window_days", "lapse_days", "n_links", "hazard_ratio",
             "hazard_ratio_low", "hazard_ratio_high", "hazard_p_value",
             "hazard_reason")  # fmt: skip
    return {
        **{name: plain(getattr(compared, name)) for name in names},
        "differences": records(compared.differences, "referred_differences"),
        "tenure": records(compared.tenure, "referrer_tenure"),
        "survival": records(compared.survival, "referrer_active"),
        "clustering": records(compared.clustering, "link_clustering"),
    }
