"""What a report says of what follows from the loop: worth, costs, stages, months."""

from typing import TYPE_CHECKING, Any

from selfloop.outputs.report.plain import plain, records

if TYPE_CHECKING:
    from selfloop.measures.loop.growth import LoopGrowth
    from selfloop.measures.loop.outlook import LoopOutlook
    from selfloop.measures.loop.reproduction import Reproduction
    from selfloop.measures.loop.value import VisitorValue

_GROWTH = (
    "verdict", "r", "r_low", "r_high", "horizon_days", "rate", "rate_low", "rate_high",
    "doubling_days", "doubling_days_low", "doubling_days_high", "halving_days",
    "halving_days_low", "halving_days_high", "k", "share_dying", "mean_size",
    "expected_size", "n_seeds", "reason",
)  # fmt: skip

_WORTH = ("descent_value", "descent_own_value", "descent_r", "descent_days",
          "descent_reason", "horizon_days", "margin")  # fmt: skip


def outlook_numbers(found: "LoopOutlook") -> dict[str, Any]:
    """Select what a report says of what follows from the loop, as plain values.

    Parameters
    ----------
    found : LoopOutlook
        From `selfloop.analyze`.

    Returns
    -------
    dict
        ``growth`` (None without referrals), ``by_source``, ``by_quarter``, ``trend``
        (rows), ``value``, ``cost`` (None without spend), ``leverage``, ``ahead``,
        ``test`` (None when they cannot be computed) and ``unavailable``.
    """
    cost, ahead, test, lever = found.cost, found.projection, found.test, found.leverage
    quarters = found.by_quarter
    return {
        "growth": None if found.growth is None else _growth(found.growth),
        "by_source": _reproduction(found.by_source),
        "by_quarter": _reproduction(quarters),
        "trend": [] if quarters is None
        else records(quarters.trend, "reproduction_trend"),
        "value": _value(found.value),
        "cost": None if cost is None else {
            "channels": records(cost.channels, "spend_channels"),
            "trends": records(cost.trends, "spend_trends"),
        },
        "leverage": None if lever is None else {
            "rows": records(lever.table, "stage_leverage"),
            "best_stage": lever.best_stage,
            "best_is_clear": lever.best_is_clear,
            "unit": lever.unit,
        },
        "ahead": None if ahead is None else {
            "months": records(ahead.months, "projection_months"),
            "totals": records(ahead.totals, "projection_totals"),
            "cohorts": records(ahead.cohorts, "loop_cohorts"),
            "recent_days": plain(ahead.recent_days),
            "longest_days": plain(ahead.longest_days),
            "notes": list(ahead.notes),
        },
        "test": None if test is None else {
            "at": plain(test.at, "date"),
            "n_days": plain(test.n_days),
            "share_inside": plain(test.share_inside),
            "rows": records(test.table, "loop_backtest"),
        },
        "unavailable": dict(found.unavailable),
    }  # fmt: skip


def _growth(growth: "LoopGrowth") -> dict[str, Any]:
    """Return growth without ads, and cascades."""
    return {
        **{name: plain(getattr(growth, name)) for name in _GROWTH},
        "cascades": records(growth.cascades, "cascades"),
    }


def _reproduction(found: "Reproduction | None") -> list[dict[str, Any]]:
    """Return R by segment."""
    return [] if found is None else records(found.table, "reproduction_segments")


def _value(found: "VisitorValue") -> dict[str, Any]:
    """Return what visitors are worth."""
    return {
        **{name: plain(getattr(found, name)) for name in _WORTH},
        "rows": records(found.table, "visitor_value"),
    }
