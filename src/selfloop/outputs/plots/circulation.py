"""What carried each month, as a picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from selfloop.core.display import format_value
from selfloop.measures.loop.overall import SelfLoop
from selfloop.outputs.plots.style import (
    SOURCE_COLOURS,
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    interval,
    percent_axis,
)
from selfloop.outputs.text import Lang

_SOURCES = ("referral", "organic", "paid", "unknown")


def plot_self_circulation(
    loop: SelfLoop, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw the self-circulation share of each month and the parts it is made of.

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
        Bars are the orders of each month by origin, as shares; the lines are the
        self-circulation shares of orders and of revenue. A partial month is
        hatched. The share depends on advertising, so R stands beside it.
    """
    months = loop.months
    size = (min(12.0, max(7.2, 3.6 + 0.36 * len(months))), 4.4)
    with drawing(ax, lang, size=size) as pen:
        keys = _draw_parts(pen, months)
        _draw_shares(pen, months)
        pen.title(pen.say("circulation.title"), loop.end)
        pen.ax.set_ylabel(pen.say("circulation.axis"))
        pen.ax.set_xlabel(_strength(pen, loop))
        pen.ax.set_ylim(0, 1)
        percent_axis(pen.ax)
        clean(pen.ax)
        _label_months(pen, months)
        pen.ax.legend(
            handles=[*keys[::-1], *pen.ax.get_legend_handles_labels()[0]],
            loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False,
            fontsize="small",
        )  # fmt: skip
        return pen.ax


def _draw_parts(pen: Pen, months: pd.DataFrame) -> list[Patch]:
    """Stack the orders of each month by origin, and return the keys of the colours."""
    place = np.arange(len(months))
    total = floats(months, "n_orders")
    total[total == 0] = np.nan
    base = np.zeros(len(months))
    partial = (months["status"] == "partial").to_numpy(dtype=bool)
    parts = [("n_repeat", pen.say("circulation.repeat"), STAGE_COLOURS["repurchase"])]
    for source in _SOURCES:
        label = pen.say("circulation.first", source=pen.say(f"source.{source}"))
        parts.append((f"n_first_{source}", label, SOURCE_COLOURS[source]))
    keys = []
    for column, label, colour in parts:
        height = np.nan_to_num(floats(months, column) / total)
        if not height.any():
            continue
        bars = pen.ax.bar(
            place, height, 0.82, bottom=base, color=colour, alpha=0.92,
            edgecolor=pen.ax.get_facecolor(), linewidth=0.5,
        )  # fmt: skip
        for bar, is_partial in zip(bars, partial, strict=True):
            if is_partial:
                bar.set(hatch="////", alpha=0.6)
        base = base + height
        keys.append(Patch(facecolor=colour, alpha=0.92, label=label))
    return keys


def _draw_shares(pen: Pen, months: pd.DataFrame) -> None:
    """Draw both self-circulation shares as lines."""
    ink = pen.ax.xaxis.label.get_color()
    place = np.arange(len(months))
    for of, line, marker in (("orders", "-", "o"), ("revenue", "--", "s")):
        share = floats(months, f"share_{of}")
        if np.isnan(share).all():
            continue
        pen.ax.plot(
            place, share, linestyle=line, marker=marker,
            color=ink, markersize=4, linewidth=1.3, markeredgecolor=ink,
            markerfacecolor=pen.ax.get_facecolor(),
            label=pen.say(f"circulation.share_{of}"),
        )  # fmt: skip


def _label_months(pen: Pen, months: pd.DataFrame) -> None:
    """Write the months under the bars, and how many orders each had."""
    every = max(1, -(-len(months) // 14))
    places = list(range(0, len(months), every))
    labels = []
    for i in places:
        row = months.iloc[i]
        n_orders = format_value(row["n_orders"], "int")
        labels.append(f"{format_value(row['month'], 'month')}\nn={n_orders}")
    pen.ax.set_xticks(places, labels, fontsize="small")
    if len(places) > 7:
        pen.ax.tick_params(axis="x", labelrotation=45)
    pen.ax.set_xlim(-0.6, len(months) - 0.4)


def _strength(pen: Pen, loop: SelfLoop) -> str:
    """Write R at the longest horizon it is known for; the share never stands alone."""
    known = loop.reproduction[loop.reproduction["r"].notna()]
    is_partial = (loop.months["status"] == "partial").any()
    note = f"{pen.say('plot.hatched')}   " if is_partial else ""
    if loop.reproduction.empty:
        return note + pen.say("plot.no_referrals")
    if known.empty:
        return note + pen.say("loop.r", r=format_value(None))
    row = known.iloc[-1]
    r = interval(float(row["r"]), float(row["r_low"]), float(row["r_high"]))
    window = pen.days(float(row["horizon_days"]))
    return note + pen.say("circulation.r", window=window, r=r)
