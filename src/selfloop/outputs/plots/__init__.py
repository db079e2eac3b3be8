"""Draw any result: one call, one Axes."""

from functools import singledispatch

from matplotlib.axes import Axes

from selfloop.measures.analyze import Analysis
from selfloop.measures.cohorts.ahead import CohortProjection
from selfloop.measures.cohorts.triangle import Cohorts
from selfloop.measures.concentration import Concentration
from selfloop.measures.customers.lifecycle import Lifecycle
from selfloop.measures.customers.migration import Migration
from selfloop.measures.customers.profile import SegmentProfile
from selfloop.measures.customers.rfm import Rfm
from selfloop.measures.funnel.differences import SegmentComparison
from selfloop.measures.funnel.rates import Funnel
from selfloop.measures.funnel.times import StageTimes
from selfloop.measures.grid import ValueGrid
from selfloop.measures.lifetime.backtest import Backtest
from selfloop.measures.lifetime.compare import ModelComparison
from selfloop.measures.lifetime.parts import FrequencyRecency
from selfloop.measures.lifetime.result import LifetimeModel
from selfloop.measures.lifetime.spread import SpendDistribution
from selfloop.measures.loop.ahead import Projection
from selfloop.measures.loop.backtest import LoopBacktest
from selfloop.measures.loop.growth import LoopGrowth
from selfloop.measures.loop.leverage import Leverage
from selfloop.measures.loop.overall import SelfLoop
from selfloop.measures.loop.reproduction import Reproduction
from selfloop.measures.loop.spending import AcquisitionCost
from selfloop.measures.loop.value import VisitorValue
from selfloop.measures.loop.what_if import WhatIf
from selfloop.measures.referral.backtest import ReferralBacktest
from selfloop.measures.referral.network import ReferralNetwork
from selfloop.measures.referral.timing import ReferralTimes
from selfloop.measures.repurchase.gaps import RepurchaseGaps
from selfloop.measures.repurchase.ladder import RepurchaseLadder
from selfloop.measures.repurchase.returning import Returning
from selfloop.measures.summary import ValueSummary
from selfloop.outputs.compare import AnalysesCompared
from selfloop.outputs.plots.ahead import plot_loop_backtest, plot_projection
from selfloop.outputs.plots.backtest import (
    plot_calibration,
    plot_cumulative,
    plot_frequencies,
    plot_referral_calibration,
    plot_tracking,
)
from selfloop.outputs.plots.cascades import plot_growth
from selfloop.outputs.plots.changes import plot_changes
from selfloop.outputs.plots.circulation import plot_self_circulation
from selfloop.outputs.plots.cohorts import plot_cohorts
from selfloop.outputs.plots.comparison import plot_comparison
from selfloop.outputs.plots.concentration import plot_concentration
from selfloop.outputs.plots.customer_grids import plot_migration, plot_rfm
from selfloop.outputs.plots.customers import plot_lifecycle
from selfloop.outputs.plots.fonts import SelfloopFontWarning
from selfloop.outputs.plots.funnel import plot_funnel
from selfloop.outputs.plots.gaps import plot_gaps
from selfloop.outputs.plots.kinds import plot_referral_times, plot_value_grid
from selfloop.outputs.plots.leverage import plot_leverage, plot_what_if
from selfloop.outputs.plots.lifetime import plot_lifetime, plot_lifts
from selfloop.outputs.plots.lifetime_matrix import (
    plot_frequency_recency,
    plot_p_alive,
)
from selfloop.outputs.plots.lineage import plot_lineage
from selfloop.outputs.plots.loop import plot_loop
from selfloop.outputs.plots.network import plot_generations, plot_virality
from selfloop.outputs.plots.profile import plot_segment_profile
from selfloop.outputs.plots.reproduction import plot_reproduction
from selfloop.outputs.plots.reproduction_by import plot_reproduction_by
from selfloop.outputs.plots.repurchase import plot_repurchase, plot_returning
from selfloop.outputs.plots.retention import (
    plot_cohort_projection,
    plot_cohort_value,
    plot_retention,
)
from selfloop.outputs.plots.spend import plot_spend
from selfloop.outputs.plots.spending import plot_acquisition_cost, plot_cost_months
from selfloop.outputs.plots.stages import (
    plot_segment_differences,
    plot_stage_times,
)
from selfloop.outputs.plots.tree import plot_referral_tree
from selfloop.outputs.plots.trend import plot_funnel_trend
from selfloop.outputs.plots.value import (
    plot_social_value,
    plot_value_by_source,
    plot_value_distribution,
)
from selfloop.outputs.plots.visitors import plot_visitor_value
from selfloop.outputs.text import Lang

__all__ = [
    "SelfloopFontWarning",
    "plot",
    "plot_acquisition_cost",
    "plot_calibration",
    "plot_changes",
    "plot_cohort_projection",
    "plot_cohort_value",
    "plot_cohorts",
    "plot_comparison",
    "plot_concentration",
    "plot_cost_months",
    "plot_cumulative",
    "plot_frequencies",
    "plot_frequency_recency",
    "plot_funnel",
    "plot_funnel_trend",
    "plot_gaps",
    "plot_generations",
    "plot_growth",
    "plot_leverage",
    "plot_lifecycle",
    "plot_lifetime",
    "plot_lifts",
    "plot_lineage",
    "plot_loop",
    "plot_loop_backtest",
    "plot_migration",
    "plot_p_alive",
    "plot_projection",
    "plot_referral_calibration",
    "plot_referral_times",
    "plot_referral_tree",
    "plot_reproduction",
    "plot_reproduction_by",
    "plot_repurchase",
    "plot_retention",
    "plot_returning",
    "plot_rfm",
    "plot_segment_differences",
    "plot_segment_profile",
    "plot_self_circulation",
    "plot_social_value",
    "plot_spend",
    "plot_stage_times",
    "plot_tracking",
    "plot_value_by_source",
    "plot_value_distribution",
    "plot_value_grid",
    "plot_virality",
    "plot_visitor_value",
    "plot_what_if",
]


@singledispatch
def plot(
    result: object,
    ax: Axes | None = None,  # noqa: ARG001 - for the drawings registered below
    *,
    lang: Lang = "en",  # noqa: ARG001
) -> Axes:
    """Draw any result of selfloop.

    Parameters
    ----------
    result : object
        What a measure returned: `Analysis`, `Funnel`, `SelfLoop`, `Reproduction`,
        `LoopGrowth`, `VisitorValue`, `AcquisitionCost`, `Leverage`, `WhatIf`,
        `Projection`, `LoopBacktest`, `Cohorts`, `CohortProjection`, `LifetimeModel`,
        `ModelComparison`, `Backtest`, `FrequencyRecency`, `SpendDistribution`,
        `ReferralNetwork`, `ReferralTimes`, `Concentration`, `ReferralBacktest`,
        `RepurchaseLadder`, `RepurchaseGaps`, `Returning`, `Lifecycle`, `Rfm`,
        `Migration`, `SegmentProfile`, `SegmentComparison`, `StageTimes`, `ValueGrid`,
        `ValueSummary` or `AnalysesCompared`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        The Axes drawn on; change titles, labels and limits there. The functions
        ``plot_*`` of this package draw the same and more, with their own settings.

    Raises
    ------
    TypeError
        When there is no drawing for such a result.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=500, seed=7)
    >>> axes = plot(sl.cohorts(sl.read_events(shop.orders)))
    >>> axes.get_xlabel() != ""
    True
    """
    known = ", ".join(kind.__name__ for kind in plot.registry if kind is not object)
    raise TypeError(f"result must be one of {known}; got {type(result).__name__}")


plot.register(AcquisitionCost, plot_acquisition_cost)
plot.register(AnalysesCompared, plot_changes)
plot.register(Analysis, plot_loop)
plot.register(Backtest, plot_tracking)
plot.register(CohortProjection, plot_cohort_projection)
plot.register(Cohorts, plot_cohorts)
plot.register(Concentration, plot_concentration)
plot.register(SegmentComparison, plot_segment_differences)
plot.register(SegmentProfile, plot_segment_profile)
plot.register(StageTimes, plot_stage_times)
plot.register(FrequencyRecency, plot_frequency_recency)
plot.register(Funnel, plot_funnel)
plot.register(Leverage, plot_leverage)
plot.register(Lifecycle, plot_lifecycle)
plot.register(LifetimeModel, plot_lifetime)
plot.register(LoopBacktest, plot_loop_backtest)
plot.register(LoopGrowth, plot_growth)
plot.register(Migration, plot_migration)
plot.register(ModelComparison, plot_comparison)
plot.register(Projection, plot_projection)
plot.register(ReferralBacktest, plot_referral_calibration)
plot.register(ReferralNetwork, plot_referral_tree)
plot.register(ReferralTimes, plot_referral_times)
plot.register(Reproduction, plot_reproduction_by)
plot.register(RepurchaseGaps, plot_gaps)
plot.register(RepurchaseLadder, plot_repurchase)
plot.register(Returning, plot_returning)
plot.register(Rfm, plot_rfm)
plot.register(SelfLoop, plot_self_circulation)
plot.register(SpendDistribution, plot_spend)
plot.register(ValueGrid, plot_value_grid)
plot.register(ValueSummary, plot_social_value)
plot.register(VisitorValue, plot_visitor_value)
plot.register(WhatIf, plot_what_if)
