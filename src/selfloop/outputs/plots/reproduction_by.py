"""How many buyers a buyer brings, by cohort or segment, as a picture."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.core.errors import SettingError
from selfloop.core.settings import check_whole
from selfloop.measures.loop.reproduction import Reproduction
from selfloop.measures.segments import PERIODS
from selfloop.outputs.plots.lettering import apart
from selfloop.outputs.plots.months import place_of
from selfloop.outputs.plots.reasons import why
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    interval,
)
from selfloop.outputs.text import Lang

_MAX_CURVES = 6
_FEW = 3
_COLOURS = (*(STAGE_COLOURS[s] for s in ("conversion", "repurchase")),
            "#8a4fa3", "#b8860b", "#b03a5b", "#64748b")  # fmt: skip
_OF_SOURCE = {"referral": STAGE_COLOURS["referral"], "paid": STAGE_COLOURS["traffic"]}
_MAX_LABELS = 12
_TWO_LINES = 27.0  # height of a name, in points


def plot_reproduction_by(
    result: Reproduction,
    ax: Axes | None = None,
    *,
    horizon_days: int | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw how many new buyers a buyer brings, by cohort or by segment.

    Parameters
    ----------
    result : Reproduction
        From `selfloop.reproduction`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    horizon_days : int, optional
        By month or quarter the horizon H of R(H), one of the table; by default the
        longest at which R is known for more than half of the cohorts. Otherwise the
        age at which the curves end.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        By month or quarter a dot with its 95 % interval for each cohort whose R is
        known, in the order of time, and in words whether R changes. Otherwise the
        curve M(age) with its band, for the six segments with most buyers.

    Raises
    ------
    SettingError
        When R has no such horizon.
    """
    with drawing(ax, lang) as pen:
        if result.by in PERIODS:
            _draw_cohorts(pen, result, horizon_days)
        else:
            _draw_segments(pen, result, horizon_days)
        return pen.ax


def _draw_cohorts(pen: Pen, result: Reproduction, horizon_days: int | None) -> None:
    """Draw R of one horizon for each cohort, or why it is not known for any."""
    # Nobody of those without a date is a cohort.
    table = result.table[result.table["segment"].str.contains("-", regex=False)]
    horizon = _horizon(table, horizon_days)
    rows = table[table["horizon_days"] == horizon]
    known = rows[rows["r"].notna()].sort_values("segment", kind="stable")
    if known.empty:
        pen.title(pen.say("reproduction.title"), result.end)
        pen.blank(_nothing(pen, table if horizon_days is None else rows))
        return
    window = pen.days(float(horizon))
    trend = result.trend[result.trend["horizon_days"] == horizon]
    note = _trend(pen, trend.iloc[0]) if len(trend) else ""
    pen.title(pen.say("reproduction_by.title", window=window), result.end, note=note)
    _draw_dots(pen, known)
    n_cohorts = table["segment"].nunique()
    label = pen.say("reproduction_by.cohort", window=window)
    if len(known) < n_cohorts:
        left = n_cohorts - len(known)
        label += "\n" + pen.say("reproduction_by.left_out", n=left, all=n_cohorts)
    pen.ax.set_xlabel(label)
    pen.ax.set_ylabel(pen.say("reproduction_by.axis", window=window))
    pen.ax.set_ylim(bottom=0)
    clean(pen.ax)


def _horizon(table: pd.DataFrame, wanted: int | None) -> float:
    """Return the horizon to draw: as wanted, or the longest that most cohorts have."""
    horizons = sorted(table["horizon_days"].unique())
    if wanted is not None:
        if wanted not in horizons:
            known = ", ".join(f"{h:g}" for h in horizons) or "none"
            raise SettingError(f"horizon_days must be one of {known}; got {wanted!r}")
        return float(wanted)
    n_known = table["r"].notna().groupby(table["horizon_days"]).sum().to_dict()
    n_cohorts = table["segment"].nunique()
    most = [h for h in horizons if 2 * n_known[h] > n_cohorts]
    if most:
        return float(most[-1])
    return float(max(horizons, key=lambda h: (n_known[h], h), default=np.nan))


def _draw_dots(pen: Pen, known: pd.DataFrame) -> None:
    """Draw R of each cohort with its interval, at its time."""
    ax, colour = pen.ax, STAGE_COLOURS["referral"]
    place = np.array([place_of(name) for name in known["segment"]])
    r, low, high = (floats(known, f"r{end}") for end in ("", "_low", "_high"))
    ax.plot(place, r, color=colour, linewidth=1, alpha=0.45)
    # Without anybody brought there is no interval.
    arms = np.nan_to_num(np.maximum([r - low, high - r], 0.0))
    ax.errorbar(
        place, r, arms, color=colour, marker="o", markersize=5, capsize=3,
        linewidth=1.4, linestyle="", label=pen.say("plot.interval"),
    )  # fmt: skip
    every = max(1, -(-len(known) // _MAX_LABELS))
    labels = [
        f"{name}\nn={format_value(n, 'int')}"
        for name, n in zip(known["segment"], known["n_observed"], strict=True)
    ]
    ax.set_xticks(place[::every], labels[::every], fontsize="small")
    if len(labels[::every]) > 8:
        ax.tick_params(axis="x", labelrotation=45)
    ax.set_xlim(place.min() - 0.6, place.max() + 0.6)
    ax.legend(loc="lower right", frameon=False, fontsize="small")


def _trend(pen: Pen, row: "pd.Series[float]") -> str:
    """Say in words whether R changes from cohort to cohort."""
    ratio, low, high = (float(row[f"ratio{end}"]) for end in ("", "_low", "_high"))
    if np.isnan(ratio):
        return pen.say("reproduction_by.no_trend", why=why(pen, row["reason"]))
    verdict = "rises" if low > 1 else "falls" if high < 1 else "same"
    return pen.say(
        "reproduction_by.trend", unit=pen.say(f"unit.{row['unit']}"),
        ratio=interval(ratio, low, high), verdict=pen.say(f"trend.{verdict}"),
    )  # fmt: skip


def _nothing(pen: Pen, rows: pd.DataFrame) -> str:
    """Say why nothing is known: the reason of those who were observed by most."""
    if rows.empty:
        return pen.say("plot.no_data")
    fullest = rows.sort_values("n_observed", ascending=False, kind="stable").iloc[0]
    return why(pen, fullest["reason"])


def _draw_segments(pen: Pen, result: Reproduction, horizon_days: int | None) -> None:
    """Draw M(age) of the largest segments, and say which are not known."""
    if horizon_days is not None:
        check_whole("horizon_days", horizon_days, low=1)
    table, curve = result.table, result.curve
    last = np.inf if horizon_days is None else horizon_days
    curve = curve[curve["age_days"] <= last]
    title = pen.say("reproduction.title")
    if curve.empty:
        pen.title(title, result.end)
        pen.blank(_nothing(pen, table))
        return
    sizes = table.groupby("segment")["n_buyers"].max().sort_index()
    sizes = sizes.sort_values(ascending=False, kind="stable")
    known = [s for s in sizes.index if (curve["segment"] == s).any()]
    shown = known[:_MAX_CURVES]
    notes = []
    if len(known) > len(shown):
        part = pen.say("reproduction_by.part", shown=len(shown), n=len(known))
        notes.append(part)
    left = len(sizes) - len(known)
    if left:
        notes.append(pen.say("reproduction_by.unknown", n=left))
    pen.title(title, result.end, note=pen.say("plot.and").join(notes))
    _draw_curves(pen, curve, shown, result.by)
    pen.ax.set_xlabel(pen.say("reproduction_by.age"))
    pen.ax.set_ylabel(pen.say("reproduction.axis"))
    pen.ax.set_ylim(bottom=0)
    clean(pen.ax)


def _draw_curves(
    pen: Pen, curve: pd.DataFrame, shown: list[str], by: str | None
) -> None:
    """Draw curves with bands, each named at its end with R by the last age."""
    ax = pen.ax
    words, ends, colours = [], [], []
    others = iter(_COLOURS)
    alpha = 0.16 if len(shown) <= _FEW else 0.08  # many bands cover one another
    for segment in shown:
        rows = curve[curve["segment"] == segment]
        own = STAGE_COLOURS["referral"] if by is None else None
        if by == "source":
            own = _OF_SOURCE.get(segment)
        colour = own or next(others)
        age, r = floats(rows, "age_days"), floats(rows, "r")
        low, high = floats(rows, "r_low"), floats(rows, "r_high")
        ax.fill_between(age, low, high, step="post", color=colour, alpha=alpha, lw=0)
        ax.step(age, r, where="post", color=colour, linewidth=1.6)
        reached = pen.days(age[-1])
        shown_r = interval(r[-1], low[-1], high[-1])
        name = pen.segment(segment, by=by)
        words.append(
            pen.say("reproduction_by.curve", name=name, window=reached, r=shown_r)
        )
        ends.append(r[-1])
        colours.append(colour)
    right = float(curve[curve["segment"].isin(shown)]["age_days"].max())
    ax.set_xlim(0, right)
    top = float(np.nanmax(floats(curve[curve["segment"].isin(shown)], "r_high")))
    ax.set_ylim(0, 1.05 * (top if top > 0 else max(*ends, 1.0)))
    height = ax.get_window_extent().height * 72 / ax.figure.dpi
    gap = _TWO_LINES / height * ax.get_ylim()[1]
    for place, said, colour in zip(apart(ends, gap), words, colours, strict=True):
        ax.annotate(
            said, (right, place), (6, 0), textcoords="offset points", va="center",
            fontsize="small", color=colour, annotation_clip=False,
        )  # fmt: skip
