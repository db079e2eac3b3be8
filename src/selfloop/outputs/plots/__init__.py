"""Draw any result: one call, one Axes."""

from collections.abc import Callable

from matplotlib.axes import Axes

from selfloop.outputs.plots.circulation import plot_self_circulation
from selfloop.outputs.plots.cohorts import plot_cohorts
from selfloop.outputs.plots.fonts import SelfloopFontWarning
from selfloop.outputs.plots.funnel import plot_funnel
from selfloop.outputs.plots.lifetime import plot_lifetime
from selfloop.outputs.plots.loop import plot_loop
from selfloop.outputs.plots.reproduction import plot_reproduction
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
    "plot_cohorts",
    "plot_funnel",
    "plot_lifetime",
    "plot_loop",
    "plot_referral_tree",
    "plot_reproduction",
    "plot_self_circulation",
    "plot_social_value",
    "plot_value_by_source",
    "plot_value_distribution",
]

_DRAWN_BY: dict[str, Callable[..., Axes]] = {
    "selfloop.measures.analyze.Analysis": plot_loop,
    "selfloop.measures.analyze.ValueSummary": plot_social_value,
    "selfloop.measures.cohorts.Cohorts": plot_cohorts,
    "selfloop.measures.funnel.Funnel": plot_funnel,
    "selfloop.measures.lifetime.LifetimeModel": plot_lifetime,
    "selfloop.measures.loop.SelfLoop": plot_self_circulation,
    "selfloop.measures.referral.ReferralNetwork": plot_referral_tree,
}


def plot(result: object, ax: Axes | None = None, *, lang: Lang = "en") -> Axes:
    """Draw any result of selfloop.

    Parameters
    ----------
    result : object
        What a measure returned: `Analysis`, `Funnel`, `SelfLoop`, `Cohorts`,
        `LifetimeModel`, `ReferralNetwork` or `ValueSummary`.
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
    """
    for kind in type(result).__mro__:
        draw = _DRAWN_BY.get(f"{kind.__module__}.{kind.__qualname__}")
        if draw is not None:
            return draw(result, ax, lang=lang)
    known = ", ".join(sorted(name.rpartition(".")[2] for name in _DRAWN_BY))
    raise TypeError(f"result must be one of {known}; got {type(result).__name__}")
