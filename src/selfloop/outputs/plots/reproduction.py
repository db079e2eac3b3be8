"""How many new buyers one buyer brings, by age, as a picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.measures.loop.overall import SelfLoop
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    interval,
)
from selfloop.outputs.text import Lang


def plot_reproduction(
    loop: SelfLoop, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw the mean number of buyers a buyer has brought by each age.

    Parameters
    ----------
    loop : SelfLoop
        From `selfloop.self_loop`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        The curve M(age) with its band; R(H) at each horizon, the buyers observed
        that long under the axis, and the naive ratio, which is biased low, beside it.
    """
    with drawing(ax, lang) as pen:
        if loop.reproduction.empty:
            pen.blank(pen.say("plot.no_referrals"))
        else:
            _draw_curve(pen, loop.curve)
            _draw_horizons(pen, loop.reproduction)
        pen.title(pen.say("reproduction.title"), loop.end)
        pen.ax.set_xlabel(pen.say("reproduction.age"))
        pen.ax.set_ylabel(pen.say("reproduction.axis"))
        pen.ax.set_ylim(bottom=0)
        clean(pen.ax)
        if pen.ax.get_legend_handles_labels()[0]:
            pen.ax.legend(loc="lower right", frameon=False, fontsize="small")
        return pen.ax


def _draw_curve(pen: Pen, curve: pd.DataFrame) -> None:
    """Draw M(age) with its band."""
    if curve.empty:
        return
    age, r = floats(curve, "age_days"), floats(curve, "r")
    colour = STAGE_COLOURS["referral"]
    pen.ax.fill_between(
        age, floats(curve, "r_low"), floats(curve, "r_high"),step="post",
        color=colour, alpha=0.18, linewidth=0, label=pen.say("plot.interval"),
    )  # fmt: skip
    label = pen.say("reproduction.curve")
    pen.ax.step(age, r, where="post", color=colour, label=label)


def _draw_horizons(pen: Pen, reproduction: pd.DataFrame) -> None:
    """Mark R(H), the naive ratio and the number observed at each horizon."""
    ax = pen.ax
    ink = ax.xaxis.label.get_color()
    horizon, r = floats(reproduction, "horizon_days"), floats(reproduction, "r")
    low, high = floats(reproduction, "r_low"), floats(reproduction, "r_high")
    naive = floats(reproduction, "k_naive")
    known = np.isfinite(r)
    ax.errorbar(
        horizon[known], r[known], [(r - low)[known], (high - r)[known]], color=ink,
        marker="o", markersize=5, capsize=3, linewidth=1, linestyle="",
    )  # fmt: skip
    for x, value, a, b in zip(
        horizon[known], r[known], low[known], high[known], strict=True
    ):
        ax.annotate(
            interval(value, a, b), (x, a if a == a else value), (8, -3),
            textcoords="offset points", ha="left", va="top", fontsize="small",
        )  # fmt: skip
    if known.any():
        ax.plot(
            horizon[known], naive[known], linestyle="", marker="o", markersize=5,
            markerfacecolor="none", markeredgecolor=ink,
            label=pen.say("reproduction.naive"),
        )  # fmt: skip
    # Room for the words beside the last point.
    end = max([*horizon, ax.get_xlim()[1]]) * 1.2
    ax.set_xlim(0, end)
    labels, last, is_low = [], -end, False
    for x, n in zip(horizon, reproduction["n_observed"], strict=True):
        # Two counts that would touch stand one below the other.
        is_low = x - last < 0.12 * end and not is_low
        gap = "\n\n" if is_low else "\n"
        labels.append(f"{x:g}{gap}n={format_value(n, 'int')}")
        last = x
    ax.set_xticks(horizon, labels)
