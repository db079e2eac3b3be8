"""How spend differs between customers, as a picture."""

import numpy as np
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.measures.lifetime.spread import SpendDistribution
from selfloop.outputs.plots.style import (
    SOURCE_COLOURS,
    STAGE_COLOURS,
    clean,
    drawing,
    floats,
    money_axis,
    percent_axis,
)
from selfloop.outputs.text import Lang


def plot_spend(
    distribution: SpendDistribution, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw the mean repeat spend of customers and what the spend model expects.

    Parameters
    ----------
    distribution : SpendDistribution
        From `selfloop.spend_distribution`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        Bars are shares of customers, the line what the model expects in each bar.
        The last bar is open above; the model's part in it is a dot of its own.
    """
    table = distribution.table
    with drawing(ax, lang) as pen:
        low, high = floats(table, "low_value"), floats(table, "high_value")
        is_open = np.isinf(high)
        width = np.where(is_open, high[0] - low[0], high - low)
        pen.ax.bar(
            low, floats(table, "share"), width, align="edge", linewidth=0.5,
            color=SOURCE_COLOURS["organic"], edgecolor=pen.ax.get_facecolor(),
            label=pen.say("spend.actual"),
        )  # fmt: skip
        middle, expected = low + width / 2, floats(table, "share_expected")
        colour = STAGE_COLOURS["repurchase"]
        pen.ax.plot(
            middle[~is_open], expected[~is_open], color=colour, linewidth=2,
            label=pen.say("spend.model"),
        )  # fmt: skip
        pen.ax.plot(middle[is_open], expected[is_open], "o", color=colour)
        shares = floats(table, "share")
        for i in np.flatnonzero(is_open):
            pen.ax.annotate(
                f"≥ {format_value(low[i])}",
                (low[i] + width[i], max(shares[i], expected[i])), (0, 7),
                textcoords="offset points", ha="right", fontsize="small",
            )  # fmt: skip
        pen.ax.set_xlim(left=0)
        currency = distribution.currency
        unit = pen.name(currency) if currency else pen.say("unit.currency")
        pen.title(pen.say("spend.title"))
        pen.ax.set_xlabel(pen.say("spend.axis", currency=unit))
        n_people = format_value(distribution.n_people, "int")
        pen.ax.set_ylabel(pen.say("spend.share", n=n_people))
        money_axis(pen.ax, axis="x")
        percent_axis(pen.ax)
        clean(pen.ax)
        pen.ax.legend(frameon=False, fontsize="small")
        return pen.ax
