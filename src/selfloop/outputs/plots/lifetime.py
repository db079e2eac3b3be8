"""The parameters of a lifetime model and the lifts of its covariates, as pictures."""

import math
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from selfloop.core.display import format_value
from selfloop.measures.lifetime.result import LifetimeModel
from selfloop.outputs.plots.style import STAGE_COLOURS, Pen, clean, drawing
from selfloop.outputs.text import Lang

_COLOURS = {
    "purchase rate": STAGE_COLOURS["repurchase"],
    "leaving": STAGE_COLOURS["traffic"],
    "order value": STAGE_COLOURS["conversion"],
}


class _Estimate(NamedTuple):
    """A positive number to draw with its interval, which may be missing."""

    value: float
    low: float
    high: float
    colour: str
    note: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is an interval that can be drawn on a logarithmic axis."""
        return 0 < self.low <= self.high < math.inf


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
        the numbers beside it; a hollow dot where the data do not determine it.
        Coefficients of covariates are drawn by `plot_lifts`.
    """
    table = model.summary()
    bounds = {*model.at_bound, *(model.spend.at_bound if model.spend else ())}
    names = [*model.params, *(model.spend.params if model.spend else ())]
    table = table[table["parameter"].isin(names)]
    size = (7.2, max(2.4, 1.2 + 0.42 * len(table)))
    with drawing(ax, lang, size=size) as pen:
        estimates = []
        for _, row in table.iterrows():
            is_bound = row["parameter"] in bounds
            note = pen.say("lifetime.undetermined") if is_bound else ""
            colour = STAGE_COLOURS["repurchase"]
            estimates.append(_Estimate(*_numbers(row, "estimate"), colour, note))
        _draw(pen, estimates, list(range(len(estimates))))
        pen.ax.set_yticks(range(len(table)), [str(p) for p in table["parameter"]])
        pen.ax.set_ylim(len(table) - 0.5, -0.5)
        pen.title(pen.say("lifetime.title", model=pen.name(model.label)))
        axis = pen.say("lifetime.axis", unit=pen.days(model.unit_days))
        end = pen.say("plot.end", end=f"{model.end:%Y-%m-%d}")
        pen.ax.set_xlabel(f"{axis}\n{end}")
        return pen.ax


def plot_lifts(
    model: LifetimeModel, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw how much more or less customers with a covariate buy, leave and spend.

    Parameters
    ----------
    model : LifetimeModel
        From `selfloop.fit_lifetime` with covariates.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        For each process and term the ratio to the reference with its 95 % interval,
        on a logarithmic axis; the line at 1 is no difference.
    """
    table = model.lifts()
    n_rows = len(table) + table["process"].nunique()
    with drawing(ax, lang, size=(7.2, max(2.4, 1.2 + 0.42 * n_rows))) as pen:
        pen.title(pen.say("lifts.title", model=pen.name(model.label)))
        if table.empty:
            pen.blank(pen.say("lifts.none"))
            return pen.ax
        names = _term_names(pen, model)
        estimates, places, labels = [], [], []
        y, last = -1, ""
        for _, row in table.iterrows():
            process = str(row["process"])
            if process != last:
                y, last = y + 1, process
                pen.ax.annotate(
                    pen.say(f"lifts.{process}"), (0.01, y), ha="left", va="center",
                    xycoords=("axes fraction", "data"), fontsize="small",
                    color=_COLOURS[process], fontweight="bold",
                )  # fmt: skip
            y += 1
            colour = _COLOURS[process]
            estimates.append(_Estimate(*_numbers(row, "ratio"), colour))
            places.append(y)
            labels.append(names[str(row["term"])])
        _draw(pen, estimates, places)
        ink = pen.ax.xaxis.label.get_color()
        pen.ax.axvline(1, color=ink, linewidth=1, linestyle="--", zorder=1)
        pen.ax.set_yticks(places, labels, fontsize="small")
        pen.ax.set_ylim(y + 0.6, -0.6)
        pen.ax.set_xlabel(pen.say("lifts.axis"))
        return pen.ax


def _numbers(row: "pd.Series[float]", column: str) -> tuple[float, float, float]:
    """Return an estimate and its interval, NaN where missing."""
    ends = (
        ("low", "high") if column == "estimate" else (f"{column}_low", f"{column}_high")
    )
    columns = (column, *ends)
    value, low, high = (
        float("nan") if pd.isna(row[c]) else float(row[c]) for c in columns
    )
    return value, low, high


def _term_names(pen: Pen, model: LifetimeModel) -> dict[str, str]:
    """Return each term of the covariates in words."""
    names = {}
    for covariate in model.covariates:
        name = pen.name(covariate.name)
        if not covariate.levels:
            names[covariate.name] = pen.say("lifts.number", name=name)
        for term, level in zip(covariate.terms, covariate.levels, strict=False):
            names[term] = pen.say(
                "lifts.level",
                name=name,
                level=pen.segment(level, by=covariate.name),
                reference=pen.segment(covariate.reference, by=covariate.name),
            )
    return names


def _draw(pen: Pen, estimates: list[_Estimate], places: list[int]) -> None:
    """Draw dots with their intervals, and the numbers in the right margin."""
    for e, y in zip(estimates, places, strict=True):
        words = format_value(e.value, "float")
        if e.is_known:
            pen.ax.plot([e.low, e.high], [y, y], color=e.colour, linewidth=2)
            words += f" [{format_value(e.low)}, {format_value(e.high)}]"
        fill = pen.ax.get_facecolor() if e.note else e.colour
        pen.ax.plot(e.value, y, "o", color=e.colour, markerfacecolor=fill)
        pen.ax.annotate(
            f"{words}\n{e.note}" if e.note else words, (1.01, y), va="center",
            xycoords=("axes fraction", "data"), fontsize="small",
            annotation_clip=False,
        )  # fmt: skip
    _log_axis(pen.ax, estimates)
    clean(pen.ax, grid="x")


def _log_axis(ax: Axes, estimates: list[_Estimate]) -> None:
    """Make the axis of numbers logarithmic, with ticks at any width of it."""
    ends = [v for e in estimates for v in (e.value, e.low, e.high)]
    ends = [v for v in ends if 0 < v < math.inf]
    width = math.log10(max(ends) / min(ends)) if ends else 0.0
    ax.set_xscale("log")
    if width < 0.6:
        ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    elif width < 2.6:
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    else:
        ax.xaxis.set_major_locator(LogLocator(numticks=8))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
