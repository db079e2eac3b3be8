"""Whether the shares of the funnel change from period to period, as a picture."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.core.errors import SettingError
from selfloop.core.settings import MIN_AT_RISK
from selfloop.measures.funnel.rates import Funnel
from selfloop.measures.funnel.steps import STAGES
from selfloop.measures.segments import PERIODS
from selfloop.outputs.plots.keys import paper
from selfloop.outputs.plots.months import place_of, places_between
from selfloop.outputs.plots.reasons import why
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    Pen,
    clean,
    drawing,
    floats,
    of_window,
    percent_axis,
)
from selfloop.outputs.text import Lang

_MAX_LABELS = 12
_LEVEL = 8  # so many labels stand side by side


def plot_funnel_trend(
    funnel: Funnel,
    ax: Axes | None = None,
    *,
    window_days: int = 90,
    lang: Lang = "en",
) -> Axes:
    """Draw whether the shares of the stages change from cohort to cohort.

    Parameters
    ----------
    funnel : Funnel
        From `selfloop.funnel` by months or quarters, such as ``arrived_month``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    window_days : int, optional
        Window of the shares, in days; one of those the funnel was made with.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        For each stage a line over all cohorts in the order of time: the share of those
        observed for the whole window, with Wilson's interval. Cohorts that are too
        young or too small have none: a hollow dot is the Kaplan-Meier share of a
        cohort of which only part was observed so long, and the line has a gap where
        nothing is known. A note says how many cohorts that is.

    Raises
    ------
    SettingError
        The funnel is not by one month or quarter, or has no such window.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=1000, seed=7)
    >>> funnel = sl.funnel(sl.read_events(shop.orders), "first_order_quarter")
    >>> axes = plot_funnel_trend(funnel, window_days=30)
    >>> axes.get_xlabel()
    'quarter of the first purchase'
    """
    if len(funnel.by) != 1 or funnel.by[0] not in PERIODS:
        known = ", ".join(PERIODS)
        raise SettingError(f"the funnel must be by one of {known}; got {funnel.by}")
    rows = of_window(funnel.windows, window_days)
    dated = rows[rows["segment"].str.contains("-", regex=False)]
    cohorts = places_between(dated["segment"])
    width = min(12.0, max(7.2, 3.6 + 0.2 * len(cohorts)))
    with drawing(ax, lang, size=(width, 4.6)) as pen:
        window = pen.days(window_days)
        title = pen.say("funnel_trend.title", window=window)
        drawable = dated[dated["share_matured"].notna() | dated["share_within"].notna()]
        if drawable.empty:
            pen.title(title, funnel.end)
            said = "differences.none" if len(dated) else "plot.no_data"
            pen.blank(pen.say(said, n=MIN_AT_RISK))
            return pen.ax
        note = pen.say("plot.and").join(_notes(pen, rows, dated))
        pen.title(title, funnel.end, note=note)
        for shift, stage in zip((-0.12, 0.0, 0.12), STAGES[1:], strict=True):
            _draw_trend(pen, dated[dated["stage"] == stage], cohorts, shift)
        every = max(1, -(-len(cohorts) // _MAX_LABELS))
        pen.ax.set_xticks(range(len(cohorts))[::every], cohorts[::every])
        pen.ax.set_xlim(-0.6, len(cohorts) - 0.4)
        pen.ax.set_ylim(bottom=0)
        if len(cohorts[::every]) > _LEVEL:
            pen.ax.tick_params(axis="x", labelrotation=45)
        pen.ax.set_xlabel(pen.say(f"funnel_trend.{funnel.by[0]}"))
        pen.ax.set_ylabel(pen.say("funnel_trend.share", window=window))
        percent_axis(pen.ax)
        clean(pen.ax)
        pen.ax.legend(frameon=False, fontsize="small", loc="best")
        return pen.ax


def _notes(pen: Pen, rows: pd.DataFrame, dated: pd.DataFrame) -> list[str]:
    """Say what is not drawn, and why."""
    notes, few = [], []
    for stage in STAGES[1:]:
        mine = dated[dated["stage"] == stage]
        name = pen.say(f"stage.{stage}")
        unknown = mine[["share_matured", "share_within"]].isna().all(axis=1)
        if mine["n_entered"].isna().all():
            reason = why(pen, mine["reason"].iloc[0])
            notes.append(pen.say("funnel.none", stage=name, why=reason))
        elif unknown.any():
            few.append(f"{name} {int(unknown.sum())}")
    if few:
        n_periods = dated["segment"].nunique()
        stages = pen.say("funnel_trend.comma").join(few)
        notes.append(pen.say("funnel_trend.few", stages=stages, n=n_periods))
    n_undated = rows.loc[~rows.index.isin(dated.index), "n_entered"].max()
    if pd.notna(n_undated) and n_undated > 0:
        n = format_value(int(n_undated), "int")
        notes.append(pen.say("funnel_trend.undated", n=n))
    return notes


def _draw_trend(
    pen: Pen, rows: pd.DataFrame, cohorts: Sequence[str], shift: float
) -> None:
    """Draw the shares of one stage over the cohorts."""
    if rows.empty:
        return
    stage = str(rows["stage"].iloc[0])
    colour = STAGE_COLOURS[stage]
    first = place_of(cohorts[0])
    at = np.array([place_of(s) - first for s in rows["segment"]])
    is_whole = rows["share_matured"].notna().to_numpy()
    is_part = ~is_whole & rows["share_within"].notna().to_numpy()
    line = np.full(len(cohorts), np.nan)
    line[at[is_whole]] = floats(rows, "share_matured")[is_whole]
    for part, form, face in (
        (is_whole, "share_matured", colour),
        (is_part, "share_within", paper(pen)),
    ):
        if not part.any():
            continue
        share, low, high = (
            floats(rows, f"{form}{end}")[part] for end in ("", "_low", "_high")
        )
        pen.ax.errorbar(
            at[part] + shift, share, np.maximum([share - low, high - share], 0),
            color=colour, marker="o", markersize=5, markerfacecolor=face, capsize=2,
            linewidth=1.2, linestyle="",
            label=pen.say(f"{'stage' if part is is_whole else 'funnel_trend'}.{stage}"),
        )  # fmt: skip
    if is_whole.any():
        # A gap where nothing is known: a line across it would be a guess.
        place = np.arange(len(cohorts)) + shift
        pen.ax.plot(place, line, color=colour, linewidth=1, alpha=0.5)
