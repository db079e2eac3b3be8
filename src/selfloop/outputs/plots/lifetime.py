"""The parameters of a lifetime model as a picture."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from selfloop.core.display import format_value
from selfloop.measures.lifetime_model import LifetimeModel
from selfloop.outputs.plots.style import STAGE_COLOURS, clean, drawing
from selfloop.outputs.text import Lang

_MODELS = {"bg_nbd": "BG/NBD", "mbg_nbd": "MBG/NBD", "pareto_nbd": "Pareto/NBD"}


def plot_lifetime(
    model: LifetimeModel, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw the parameters of a lifetime model with their intervals.

    Parameters
    ----------
    model : LifetimeModel
        From `selfloop.fit_lifetime`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        A dot and its 95 % interval for each parameter, on a logarithmic axis, with
        the numbers beside it.
    """
    table = model.summary()
    size = (7.2, max(2.4, 1.2 + 0.42 * len(table)))
    with drawing(ax, lang, size=size) as pen:
        colour = STAGE_COLOURS["repurchase"]
        for y, (_, row) in enumerate(table.iterrows()):
            value, low, high = (
                float("nan") if pd.isna(row[c]) else float(row[c])
                for c in ("estimate", "low", "high")
            )
            words = format_value(value, "float")
            if low == low and high == high:
                pen.ax.plot([low, high], [y, y], color=colour, linewidth=2)
                words += f" [{format_value(low)}, {format_value(high)}]"
            pen.ax.plot(value, y, "o", color=colour)
            pen.ax.annotate(
                words, (1.01, y), xycoords=("axes fraction", "data"), va="center",
                fontsize="small", annotation_clip=False,
            )  # fmt: skip
        pen.ax.set_yticks(range(len(table)), [str(p) for p in table["parameter"]])
        pen.ax.set_ylim(len(table) - 0.5, -0.5)
        pen.ax.set_xscale("log")
        pen.ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        pen.ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        pen.ax.xaxis.set_minor_locator(NullLocator())
        name = _MODELS.get(model.model, model.model)
        pen.title(pen.say("lifetime.title", model=name), model.end)
        unit = pen.days(model.unit_days)
        pen.ax.set_xlabel(pen.say("lifetime.axis", unit=unit))
        clean(pen.ax, grid="x")
        return pen.ax
