"""How a lifetime model would have predicted what came, as pictures."""

from datetime import date
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from selfloop.core.display import format_value
from selfloop.core.settings import check_choice
from selfloop.measures.lifetime.backtest import MEASURES, Backtest
from selfloop.measures.referral.backtest import ReferralBacktest
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    money_axis,
)
from selfloop.outputs.text import Lang

Measure = Literal["purchases", "value"]

_MODEL = STAGE_COLOURS["repurchase"]
_DAYS_OF_WEEK = 7
_GAP = 0.1  # between ticks, as a part of the axis
_ROOM = 0.02  # below 0, likewise
_MANY_WEEKS = 40
_FEW_WEEKS = 3


def plot_tracking(
    backtest: Backtest, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw the repeat purchases of each week beside those that the model expects.

    Parameters
    ----------
    backtest : Backtest
        From `selfloop.backtest_lifetime`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        Two lines over the last days of the weeks. The vertical line is the cut, the
        shaded part the holdout. A last week that is shorter than 7 days stands apart,
        hollow: its numbers are smaller because it is.
    """
    with drawing(ax, lang) as pen:
        pen.title(pen.say("tracking.title", model=pen.name(backtest.model.label)))
        days = _last_days(backtest)
        gap = days[-1] - days[-2] if len(days) > 1 else _DAYS_OF_WEEK
        _draw_lines(pen, backtest, "", is_short=gap < _DAYS_OF_WEEK)
        label = _weeks_label(pen, backtest)
        if gap < _DAYS_OF_WEEK:
            label += "\n" + pen.say("tracking.short", window=pen.days(gap))
        pen.ax.set_xlabel(label)
        return pen.ax


def plot_cumulative(
    backtest: Backtest, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw the repeat purchases so far beside those that the model expects.

    Parameters
    ----------
    backtest : Backtest
        From `selfloop.backtest_lifetime`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        As `plot_tracking`, cumulated from the first purchase of the shop.
    """
    with drawing(ax, lang) as pen:
        name = pen.name(backtest.model.label)
        pen.title(pen.say("tracking.so_far_title", model=name))
        _draw_lines(pen, backtest, "_so_far", is_short=False)
        pen.ax.set_xlabel(_weeks_label(pen, backtest))
        return pen.ax


def plot_calibration(
    backtest: Backtest,
    ax: Axes | None = None,
    *,
    measure: Measure = "purchases",
    lang: Lang = "en",
) -> Axes:
    """Draw what tenths of customers did against what was predicted of them.

    Parameters
    ----------
    backtest : Backtest
        From `selfloop.backtest_lifetime`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    measure : {"purchases", "value"}, optional
        What was predicted.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        A dot for each tenth with the 95 % interval of the actual mean; on the
        diagonal the prediction was right. Both axes have a square-root scale, which
        spreads the many customers of whom little is expected and still shows 0.

    Raises
    ------
    SettingError
        When the measure is not one of the two.
    """
    check_choice("measure", measure, MEASURES)
    table = backtest.deciles[backtest.deciles["measure"] == measure]
    with drawing(ax, lang, size=(6.0, 5.0)) as pen:
        pen.title(pen.say("calibration.title", model=pen.name(backtest.model.label)))
        if table.empty:
            is_value = measure == "value" and backtest.model.spend is None
            pen.blank(pen.say("calibration.no_spend" if is_value else "plot.no_data"))
            return pen.ax
        _draw_tenths(pen, table)
        window = pen.days(backtest.horizon_days)
        currency = backtest.model.currency
        unit = pen.name(currency) if currency else pen.say("unit.currency")
        pen.ax.set_xlabel(pen.say(f"calibration.{measure}", window=window))
        pen.ax.set_ylabel(pen.say(f"calibration.actual_{measure}", currency=unit))
        clean(pen.ax)
        pen.ax.legend(frameon=False, fontsize="small", loc="upper left")
        return pen.ax


def plot_referral_calibration(
    test: ReferralBacktest, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw whom tenths of customers brought against what was predicted of them.

    Parameters
    ----------
    test : ReferralBacktest
        From `selfloop.backtest_referrals`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        As `plot_calibration`.
    """
    with drawing(ax, lang, size=(6.0, 5.0)) as pen:
        pen.title(pen.say("calibration.referrals_title"))
        _draw_tenths(pen, test.deciles)
        window = pen.days(test.horizon_days)
        pen.ax.set_xlabel(pen.say("calibration.referrals", window=window))
        pen.ax.set_ylabel(pen.say("calibration.actual_referrals"))
        clean(pen.ax)
        pen.ax.legend(frameon=False, fontsize="small", loc="upper left")
        return pen.ax


def _draw_tenths(pen: Pen, table: pd.DataFrame) -> None:
    """Draw tenths of customers with their intervals, and the diagonal."""
    ink = pen.ax.xaxis.label.get_color()
    predicted, actual = floats(table, "predicted"), floats(table, "actual")
    low, high = floats(table, "actual_low"), floats(table, "actual_high")
    top = 1.05 * float(np.nanmax([predicted, actual, high])) or 1.0
    least = min(0.0, 1.1 * float(np.nanmin([predicted, actual])))
    pen.ax.plot(
        [least, top], [least, top], color=_MODEL, linewidth=1.2, linestyle="--",
        label=pen.say("calibration.diagonal"), zorder=1,
    )  # fmt: skip
    pen.ax.errorbar(
        predicted, actual, [actual - low, high - actual], color=ink, marker="o",
        markersize=5, capsize=3, linewidth=1.2, linestyle="",
        label=pen.say("calibration.points"),
    )  # fmt: skip
    _name_tenths(pen.ax, table["decile"].tolist(), predicted, actual, top)
    _root_axes(pen.ax, least, top)


def plot_frequencies(
    backtest: Backtest, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw actual and predicted purchases of customers by their purchases before.

    Parameters
    ----------
    backtest : Backtest
        From `selfloop.backtest_lifetime`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        Means per customer; the number of customers stands under each, and the last
        group is open above.
    """
    table = backtest.frequencies
    with drawing(ax, lang) as pen:
        pen.title(pen.say("frequencies.title", model=pen.name(backtest.model.label)))
        if table.empty:
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        place = np.arange(len(table))
        ink = pen.ax.xaxis.label.get_color()
        pen.ax.plot(
            place, floats(table, "actual"), color=ink, marker="o", markersize=6,
            linewidth=1.2, label=pen.say("tracking.actual"),
        )  # fmt: skip
        pen.ax.plot(
            place, floats(table, "predicted"), color=_MODEL, marker="s", markersize=5,
            linewidth=1.6, linestyle="--", label=pen.say("frequencies.predicted"),
        )  # fmt: skip
        labels = [
            f"{n}\n{format_value(people, 'int')}"
            for n, people in zip(
                [*table["n_purchases"][:-1], f"{table['n_purchases'].iloc[-1]}+"],
                table["n_people"],
                strict=True,
            )
        ]
        pen.ax.set_xticks(place, labels, fontsize="small")
        pen.ax.set_xlim(-0.5, len(table) - 0.5)
        pen.ax.set_ylim(bottom=0)
        pen.ax.set_xlabel(pen.say("frequencies.count", at=_day(backtest.at)))
        window = pen.days(backtest.horizon_days)
        pen.ax.set_ylabel(pen.say("frequencies.axis", window=window))
        clean(pen.ax)
        pen.ax.legend(frameon=False, fontsize="small", loc="upper left")
        return pen.ax


def _day(when: date) -> str:
    """Return a day in figures, which read the same in both languages."""
    return f"{when:%Y-%m-%d}"


def _weeks_label(pen: Pen, backtest: Backtest) -> str:
    """Say what the axis of weeks shows, and what the shaded part of it is."""
    window = pen.days(backtest.horizon_days)
    return pen.say("tracking.week", at=_day(backtest.at), window=window)


def _places(days: list[date]) -> NDArray[np.float64]:
    """Return days as places on an axis of dates."""
    return np.array(date2num(days), dtype=np.float64)  # type: ignore[no-untyped-call]


def _last_days(backtest: Backtest) -> NDArray[np.float64]:
    """Return the last day of each week as places on an axis of dates."""
    return _places(backtest.weeks["last_day"].tolist())


def _draw_lines(pen: Pen, backtest: Backtest, suffix: str, *, is_short: bool) -> None:
    """Draw actual and expected over time, and where the holdout begins."""
    ax, weeks, days = pen.ax, backtest.weeks, _last_days(backtest)
    ink = ax.xaxis.label.get_color()
    cut = float(_places([backtest.at])[0])
    ax.axvspan(
        cut, max(days[-1], cut), color=STAGE_COLOURS["traffic"], alpha=0.18,
        linewidth=0,
    )  # fmt: skip
    ax.axvline(cut, color=ink, linewidth=1, linestyle=":")
    end = len(days) - is_short
    dots = "" if len(days) > _MANY_WEEKS and (suffix or not is_short) else "o"
    for name, colour, width in (("actual", ink, 1.1), ("expected", _MODEL, 2.0)):
        values = floats(weeks, f"{name}{suffix}")
        ax.plot(
            days[:end], values[:end], color=colour, linewidth=width,
            marker=dots if name == "actual" else "", markersize=2.5,
            label=pen.say(f"tracking.{name}"),
        )  # fmt: skip
        ax.plot(
            days[end:], values[end:], color=colour, linestyle="", marker="o",
            markersize=5, markerfacecolor=ax.get_facecolor(),
        )  # fmt: skip
    ax.xaxis_date()
    _number_dates(ax, weeks["last_day"].tolist())
    ax.set_ylim(bottom=0)
    n_people = format_value(backtest.n_people, "int")
    ax.set_ylabel(pen.say("tracking.axis", n=n_people))
    money_axis(ax)
    clean(ax)
    # Where lines leave no free corner, the words stay legible.
    ax.legend(framealpha=0.8, edgecolor="none", fontsize="small")


def _number_dates(ax: Axes, weeks: list[date]) -> None:
    """Write dates in figures only: no names of months, and no hours."""
    ax.tick_params(axis="x", labelsize="small")
    if len(weeks) < _FEW_WEEKS:
        ax.set_xticks(_places(weeks), [_day(week) for week in weeks])
        return
    locator = AutoDateLocator(minticks=4, maxticks=6)  # type: ignore[no-untyped-call]
    formats = ["%Y", "%Y-%m", "%m-%d", "%m-%d", "%m-%d", "%m-%d"]
    years = ["%Y", "%Y", "%Y-%m", "%m-%d", "%m-%d", "%m-%d"]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(
        ConciseDateFormatter(  # type: ignore[no-untyped-call]
            locator, formats=formats, zero_formats=years, show_offset=False
        )
    )


def _root(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return square roots, with the sign of the values."""
    found: NDArray[np.float64] = np.sign(values) * np.sqrt(np.abs(values))
    return found


def _square(roots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what `_root` was given."""
    found: NDArray[np.float64] = np.sign(roots) * np.square(roots)
    return found


def _root_axes(ax: Axes, least: float, top: float) -> None:
    """Give both axes a square-root scale from below 0 to `top`, and round ticks."""
    steps = [m * 10.0**e for e in range(-9, 16) for m in (1, 2, 5)]
    ticks = [top]
    for step in reversed(steps):
        place, above = np.sqrt(np.array([step, ticks[-1]]) / top)
        if above - place > _GAP and place > _GAP:
            ticks.append(step)
    ticks = [*ticks[1:], 0.0]
    ax.set_xscale("function", functions=(_root, _square))
    ax.set_yscale("function", functions=(_root, _square))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,g}"))
    room = min(least, -top * _ROOM**2)  # so that dots at 0 are whole
    ax.set_xlim(room, top)
    ax.set_ylim(room, top)


def _name_tenths(
    ax: Axes,
    tenths: list[int],
    predicted: NDArray[np.float64],
    actual: NDArray[np.float64],
    top: float,
) -> None:
    """Write which tenth a dot is, where there is room for it."""
    last = np.inf
    for tenth, x, y in zip(tenths, predicted, actual, strict=True):
        place = float(_root(np.array(x / top)))
        if last - place < 0.06:
            continue
        last = place
        ax.annotate(
            str(tenth), (x, y), (6, -3), textcoords="offset points", va="top",
            fontsize="x-small",
        )  # fmt: skip
