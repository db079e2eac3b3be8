"""Draw any result: one call, one Axes."""

from functools import singledispatch

from matplotlib.axes import Axes

from selfloop.measures.analyze import Analysis
from selfloop.measures.cohorts import Cohorts
from selfloop.measures.funnel import Funnel
from selfloop.measures.grid import ValueGrid
from selfloop.measures.lifetime.backtest import Backtest
from selfloop.measures.lifetime.compare import ModelComparison
from selfloop.measures.lifetime.parts import FrequencyRecency
from selfloop.measures.lifetime.result import LifetimeModel
from selfloop.measures.lifetime.spread import SpendDistribution
from selfloop.measures.loop import SelfLoop
from selfloop.measures.referral.backtest import ReferralBacktest
from selfloop.measures.referral.concentration import Concentration
from selfloop.measures.referral.network import ReferralNetwork
from selfloop.measures.referral.timing import ReferralTimes
from selfloop.measures.summary import ValueSummary
from selfloop.outputs.plots.backtest import (
    plot_calibration,
    plot_cumulative,
    plot_frequencies,
    plot_referral_calibration,
    plot_tracking,
)
from selfloop.outputs.plots.circulation import plot_self_circulation
from selfloop.outputs.plots.cohorts import plot_cohorts
from selfloop.outputs.plots.comparison import plot_comparison
from selfloop.outputs.plots.fonts import SelfloopFontWarning
from selfloop.outputs.plots.funnel import plot_funnel
from selfloop.outputs.plots.kinds import plot_referral_times, plot_value_grid
from selfloop.outputs.plots.lifetime import plot_lifetime, plot_lifts
from selfloop.outputs.plots.lifetime_matrix import (
    plot_frequency_recency,
    plot_p_alive,
)
from selfloop.outputs.plots.loop import plot_loop
from selfloop.outputs.plots.network import (
    plot_concentration,
    plot_generations,
    plot_virality,
)
from selfloop.outputs.plots.reproduction import plot_reproduction
from selfloop.outputs.plots.spend import plot_spend
from selfloop.outputs.plots.tree import plot_referral_tree
from selfloop.outputs.plots.value import (
    plot_social_value,
    plot_value_by_source,
    plot_value_distribution,
)
from selfloop.outputs.text import Lang

__all__ = [
    "SelfloopFontWarning",
    "plot",
    "plot_calibration",
    "plot_cohorts",
    "plot_comparison",
    "plot_concentration",
    "plot_cumulative",
    "plot_frequencies",
    "plot_frequency_recency",
    "plot_funnel",
    "plot_generations",
    "plot_lifetime",
    "plot_lifts",
    "plot_loop",
    "plot_p_alive",
    "plot_referral_calibration",
    "plot_referral_times",
    "plot_referral_tree",
    "plot_reproduction",
    "plot_self_circulation",
    "plot_social_value",
    "plot_spend",
    "plot_tracking",
    "plot_value_by_source",
    "plot_value_distribution",
    "plot_value_grid",
    "plot_virality",
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
        What a measure returned: `Analysis`, `Funnel`, `SelfLoop`, `Cohorts`,
        `LifetimeModel`, `ModelComparison`, `Backtest`, `FrequencyRecency`,
        `SpendDistribution`, `ReferralNetwork`, `ReferralTimes`, `Concentration`,
        `ReferralBacktest`, `ValueGrid` or `ValueSummary`.
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


plot.register(Analysis, plot_loop)
plot.register(Backtest, plot_tracking)
plot.register(Cohorts, plot_cohorts)
plot.register(Concentration, plot_concentration)
plot.register(FrequencyRecency, plot_frequency_recency)
plot.register(Funnel, plot_funnel)
plot.register(LifetimeModel, plot_lifetime)
plot.register(ModelComparison, plot_comparison)
plot.register(ReferralBacktest, plot_referral_calibration)
plot.register(ReferralNetwork, plot_referral_tree)
plot.register(ReferralTimes, plot_referral_times)
plot.register(SelfLoop, plot_self_circulation)
plot.register(SpendDistribution, plot_spend)
plot.register(ValueGrid, plot_value_grid)
plot.register(ValueSummary, plot_social_value)
