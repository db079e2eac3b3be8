"""What cohorts do as they age, as curves: who comes back, and what they are worth."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from selfloop.core.errors import SettingError
from selfloop.measures.cohorts.ahead import CohortProjection
from selfloop.measures.cohorts.triangle import Cohorts
from selfloop.outputs.plots.cohorts import age_label, note_of, rows_of
from selfloop.outputs.plots.keys import box, ink, legend_below, stroke
from selfloop.outputs.plots.reasons import why
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    money_axis,
    percent_axis,
)
from selfloop.outputs.text import Lang

_MEAN = STAGE_COLOURS["repurchase"]
_AHEAD = STAGE_COLOURS["referral"]
_BAND = 0.2
_DASH = (0, (4, 2.5))


class _Curve(NamedTuple):
    """What a picture shows: columns of cells and of means, and its first age."""

    cells: str
    mean: str
    first: int


_CURVES = {
    "share_active": _Curve("share_active", "share_active", 1),
    "revenue": _Curve("value_per_customer", "value_per_customer", 0),
    "n_orders": _Curve("orders", "orders_cumulative_per_customer", 0),
}


def plot_retention(
    result: Cohorts | CohortProjection,
    ax: Axes | None = None,
    *,
    segment: str | None = None,
    cohort: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw which share of each cohort buys at each age, and of all of them together.

    Parameters
    ----------
    result : Cohorts or CohortProjection
        From `selfloop.cohorts`, or from ``selfloop.project_cohorts(cohorts,
        "share_active")`` to see what is to come.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    segment : str, optional
        Value of the breakdown; by default that with most people.
    cohort : str, optional
        Cohort whose continuation is drawn; by default the youngest that has finished a
        later age than its first, and can be projected.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        A thin line for each cohort, dashed to an age that is not over; the thick line
        is the pooled share of finished cells with its 95 % interval. With a projection
        the line of one cohort goes on, dashed, within the range it will fall into.
        Age 0, at which everybody bought, is left out.

    Raises
    ------
    SettingError
        The projection is of something else, or there is no such segment or cohort.
    """
    if isinstance(result, CohortProjection) and result.measure != "share_active":
        raise SettingError(
            "plot_retention draws a projection of 'share_active'; got one of "
            f"{result.measure!r}, which plot_cohort_value draws"
        )
    with drawing(ax, lang, size=(7.2, 4.8)) as pen:
        if _draw(pen, result, "share_active", (segment, cohort)):
            pen.ax.set_ylabel(pen.say("retention.axis"))
            percent_axis(pen.ax)
        return pen.ax


def plot_cohort_value(
    result: Cohorts | CohortProjection,
    ax: Axes | None = None,
    *,
    segment: str | None = None,
    cohort: str | None = None,
    currency: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw what a customer of each cohort has spent by each age.

    Parameters
    ----------
    result : Cohorts or CohortProjection
        From `selfloop.cohorts`, or from `selfloop.project_cohorts` to see what is to
        come; a projection of ``n_orders`` is drawn in purchases.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    segment : str, optional
        Value of the breakdown; by default that with most people.
    cohort : str, optional
        Cohort whose continuation is drawn; by default the youngest that has finished a
        later age than its first, and can be projected.
    currency : str, optional
        Unit of money, such as ``"CNY"``.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        A thin line for each cohort, dashed to an age that is not over; the thick line
        is the sum of the means of all ages with its 95 % interval. With a projection
        the line of one cohort goes on, dashed, within the range it will fall into.

    Raises
    ------
    SettingError
        The projection is of shares, or there is no such segment or cohort.
    """
    measure = "revenue"
    if isinstance(result, CohortProjection):
        measure = result.measure
        if measure == "share_active":
            raise SettingError(
                "plot_cohort_value draws a projection of 'revenue' or 'n_orders'; got "
                "one of 'share_active', which plot_retention draws"
            )
    with drawing(ax, lang, size=(7.2, 4.8)) as pen:
        if _draw(pen, result, measure, (segment, cohort)):
            unit = pen.name(currency) if currency else pen.say("unit.currency")
            pen.ax.set_ylabel(pen.say(f"cohort_value.axis_{measure}", currency=unit))
            money_axis(pen.ax)
        return pen.ax


def plot_cohort_projection(
    projection: CohortProjection, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw a projection of cohorts: shares as retention, sums as value.

    Parameters
    ----------
    projection : CohortProjection
        From `selfloop.project_cohorts`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        As by `plot_retention` or `plot_cohort_value`, which have more settings.
    """
    if projection.measure == "share_active":
        return plot_retention(projection, ax, lang=lang)
    return plot_cohort_value(projection, ax, lang=lang)


def _draw(
    pen: Pen,
    result: Cohorts | CohortProjection,
    measure: str,
    chosen: tuple[str | None, str | None],
) -> bool:
    """Draw all curves; say whether there are any."""
    projection = result if isinstance(result, CohortProjection) else None
    cohorts = result if isinstance(result, Cohorts) else result.cohorts
    curve = _CURVES[measure]
    segment, cohort = chosen
    table, name = rows_of(cohorts.table, segment)
    table = table.assign(orders=table["n_orders_cumulative"] / table["n_people"])
    table = table[table["age"] >= curve.first]
    mean = cohorts.mean_by_age()
    mean = mean[(mean["segment"] == name) & (mean["age"] >= curve.first)]
    title = pen.say(f"curve.title_{measure}")
    if table.empty or (table["age"].max() == 0 and mean.empty):
        pen.title(title, cohorts.end)
        pen.blank(pen.say("plot.no_data"))
        return False
    notes = note_of(pen, cohorts, name)
    keys = _draw_cohorts(pen, table, curve)
    top = [_draw_mean(pen, mean, curve, keys)]
    if projection is not None:
        rows = projection.table[projection.table["segment"] == name]
        top.append(_draw_ahead(pen, rows, cohort, (curve.first, keys, notes)))
    elif cohort is not None:
        raise SettingError("cohort names a projection; pass one of project_cohorts")
    pen.title(title, cohorts.end, note=pen.say("plot.and").join(notes))
    _frame(pen, cohorts, curve, [*top, float(table[curve.cells].max())])
    legend_below(pen, keys, n_columns=2)
    return True


def _draw_cohorts(pen: Pen, table: pd.DataFrame, curve: _Curve) -> list[Artist]:
    """Draw a thin line for each cohort, dashed where it is not over."""
    colour = ink(pen)
    n = table["cohort"].nunique()
    style: dict[str, Any] = {
        "color": colour,
        "linewidth": 0.9,
        "alpha": max(0.18, min(0.5, 6 / n)),
    }
    partial = False
    for _, rows in table.groupby("cohort", sort=True):
        age, value = floats(rows, "age"), floats(rows, curve.cells)
        is_done = (rows["status"] == "complete").to_numpy(dtype=bool)
        n_done = int(is_done.sum())
        alone: dict[str, Any] = {"marker": ".", "markersize": 4} if n_done == 1 else {}
        pen.ax.plot(age[:n_done], value[:n_done], **style, **alone)
        if n_done < len(rows) and n_done:
            rest = slice(n_done - 1, None)
            pen.ax.plot(age[rest], value[rest], **style, linestyle=":")
            partial = True
    keys: list[Artist] = [
        Line2D([], [], **style, label=pen.say("curve.cohort", n=f"{n:,}"))
    ]
    if partial:
        label = pen.say("cohorts.partial")
        keys.append(Line2D([], [], **style, linestyle=":", label=label))
    return keys


def _draw_mean(
    pen: Pen, mean: pd.DataFrame, curve: _Curve, keys: list[Artist]
) -> float:
    """Draw the pooled curve with its interval, and return how high it reaches."""
    if mean.empty:
        return 0.0
    age = floats(mean, "age")
    value, low, high = (
        floats(mean, f"{curve.mean}{end}") for end in ("", "_low", "_high")
    )
    pen.ax.fill_between(age, low, high, color=_MEAN, alpha=_BAND, linewidth=0)
    alone: dict[str, Any] = {"marker": "o"} if len(age) == 1 else {}
    pen.ax.plot(age, value, color=_MEAN, linewidth=2.4, **alone)
    keys.append(stroke(pen.say("curve.mean"), _MEAN))
    if np.isfinite(high).any():
        keys.append(box(pen.say("plot.interval"), _MEAN, alpha=_BAND))
    return float(np.nanmax([value, high]))


def _draw_ahead(
    pen: Pen,
    rows: pd.DataFrame,
    cohort: str | None,
    context: tuple[int, list[Artist], list[str]],
) -> float:
    """Draw one cohort and how it goes on; say why where it does not."""
    first, keys, notes = context
    name = _chosen(rows, cohort)
    mine = rows[(rows["cohort"] == name) & (rows["age"] >= first)]
    past = mine[mine["status"] == "observed"]
    ahead = mine[mine["status"] == "projected"]
    if ahead.empty:
        missing = mine if cohort is not None else rows
        reasons = missing.loc[missing["status"] == "missing", "reason"]
        # The oldest cohorts have no future that anybody knows.
        for reason in reasons.head(1):
            notes.append(pen.say("curve.not_ahead", why=why(pen, reason)))
    if mine.empty:
        return 0.0
    # The dashes begin where the line ends.
    both = pd.concat([past.tail(1), ahead])
    age, value = floats(both, "age"), floats(both, "expected")
    now = [value[: len(past.tail(1))]] * 2
    low, high = (
        np.concatenate([start, floats(ahead, f"expected_{end}")])
        for start, end in zip(now, ("low", "high"), strict=True)
    )
    pen.ax.fill_between(age, low, high, color=_AHEAD, alpha=_BAND, linewidth=0)
    pen.ax.plot(
        floats(past, "age"), floats(past, "expected"), color=_AHEAD, linewidth=1.8
    )
    pen.ax.plot(age, value, color=_AHEAD, linewidth=1.8, linestyle=_DASH)
    shown = pen.plain(name)
    if len(ahead):
        label = pen.say("curve.ahead", cohort=shown)
        keys.append(
            Line2D([], [], color=_AHEAD, linewidth=1.8, linestyle=_DASH, label=label)
        )
        keys.append(box(pen.say("curve.range"), _AHEAD, alpha=_BAND))
    return float(np.nanmax([*value, *high, 0.0]))


def _chosen(rows: pd.DataFrame, cohort: str | None) -> str:
    """Return the cohort to draw: as wanted, or the youngest with past and future."""
    if cohort is not None:
        if cohort not in set(rows["cohort"]):
            known = ", ".join(rows["cohort"].unique()) or "none"
            raise SettingError(f"cohort must be one of {known}; got {cohort!r}")
        return cohort
    ahead = set(rows.loc[rows["status"] == "projected", "cohort"])
    is_later = (rows["status"] == "observed") & (rows["age"] > 0)
    grown = ahead & set(rows.loc[is_later, "cohort"])
    return max(grown or ahead, default="")


def _frame(pen: Pen, cohorts: Cohorts, curve: _Curve, tops: list[float]) -> None:
    """Set the limits and name the axis of ages."""
    pen.ax.set_xlabel(age_label(pen, cohorts))
    pen.ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    right = float(cohorts.ages.last.max(initial=0))
    pen.ax.set_xlim(curve.first - 0.2, max(right, curve.first + 1) + 0.2)
    low = min(0.0, float(np.nanmin(pen.ax.dataLim.intervaly)))
    top = max(tops)
    pen.ax.set_ylim(low, 1.06 * top if top > 0 else 1.0)
    clean(pen.ax)
