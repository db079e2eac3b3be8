"""How many new buyers one buyer brings, by age, as a picture."""

import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.core.settings import MIN_AT_RISK
from selfloop.measures.loop import SelfLoop
from selfloop.outputs.plots.style import STAGE_COLOURS, Pen, clean, drawing, interval
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
        The curve M(age) with its band, dotted where fewer than 30 buyers are
        observed; R(H) at each horizon, the buyers observed that long under the axis,
        and the naive ratio beside it.
    """
    with drawing(ax, lang) as pen:
        _draw_curve(pen, loop.curve)
        _draw_horizons(pen, loop.reproduction)
        pen.title(pen.say("reproduction.title"), loop.end)
        pen.ax.set_xlabel(pen.say("reproduction.age"))
        pen.ax.set_ylabel(pen.say("reproduction.axis"))
        pen.ax.set_ylim(bottom=0)
        clean(pen.ax)
        if pen.ax.get_legend_handles_labels()[0]:
            pen.ax.legend(loc="upper left", frameon=False, fontsize="small")
        return pen.ax


def _draw_curve(pen: Pen, curve: pd.DataFrame) -> None:
    """Draw M(age) with its band."""
    if curve.empty:
        return
    age, r = curve["age_days"].astype(float), curve["r"].astype(float)
    low, high = curve["r_low"].astype(float), curve["r_high"].astype(float)
    colour = STAGE_COLOURS["referral"]
    enough = curve["n_at_risk"] >= MIN_AT_RISK
    pen.ax.fill_between(
        age, low, high, where=enough, step="post", color=colour, alpha=0.18,
        linewidth=0, label=pen.say("plot.interval"),
    )  # fmt: skip
    pen.ax.step(
        age, r.where(enough), where="post", color=colour,
        label=pen.say("reproduction.curve"),
    )  # fmt: skip
    if not enough.all():
        pen.ax.step(
            age, r.mask(enough), where="post", color=colour, linestyle=":",
            label=pen.say("reproduction.few", n=MIN_AT_RISK),
        )  # fmt: skip


def _draw_horizons(pen: Pen, reproduction: pd.DataFrame) -> None:
    """Mark R(H), the naive ratio and the number observed at each horizon."""
    ax = pen.ax
    ink = ax.xaxis.label.get_color()
    shown = reproduction[reproduction["r"].notna()]
    for row in shown.itertuples():
        ax.errorbar(
            row.horizon_days, row.r, [[row.r - row.r_low], [row.r_high - row.r]],
            color=ink, marker="o", markersize=5, capsize=3, linewidth=1,
        )  # fmt: skip
        ax.annotate(
            interval(row.r, row.r_low, row.r_high), (row.horizon_days, row.r_high),
            (0, 5), textcoords="offset points", ha="center", fontsize="small",
        )  # fmt: skip
    if len(shown):
        ax.plot(
            shown["horizon_days"], shown["k_naive"].astype(float), linestyle="",
            marker="o", markersize=5, markerfacecolor="none", markeredgecolor=ink,
            label=pen.say("reproduction.naive"),
        )  # fmt: skip
    ticks = [
        f"{row.horizon_days:g}\nn={format_value(row.n_observed, 'int')}"
        for row in reproduction.itertuples()
    ]
    ax.set_xticks(reproduction["horizon_days"].astype(float), ticks)
