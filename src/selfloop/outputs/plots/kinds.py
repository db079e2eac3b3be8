"""Kinds of customers, and how long referrals take, as pictures."""

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from selfloop.core.display import format_value
from selfloop.measures.grid import ValueGrid
from selfloop.measures.referral.timing import ReferralTimes
from selfloop.outputs.plots.style import (
    STAGE_COLOURS,
    clean,
    drawing,
    floats,
    percent_axis,
)
from selfloop.outputs.text import Lang

Floats = NDArray[np.float64]

_COLOURS = {
    "champions": STAGE_COLOURS["repurchase"],
    "affluents": STAGE_COLOURS["conversion"],
    "advocates": STAGE_COLOURS["referral"],
    "misers": "#d3dae3",
}
_ROWS = {
    "kinds.people": "n_people",
    "kinds.revenue": "revenue",
    "kinds.social_value": "social_value",
    "kinds.total_value": "total_value",
}
_STEPS = {
    "first_referral": STAGE_COLOURS["repurchase"],
    "conversion": STAGE_COLOURS["conversion"],
    "generation": STAGE_COLOURS["referral"],
}
_MOST_SHOWN = 0.99
_LEAST_NAMED = 0.04  # share from which on it is written into its bar


def plot_value_grid(
    grid: ValueGrid, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw which kinds of customers there are, and what each of them brings.

    Parameters
    ----------
    grid : ValueGrid
        From `selfloop.value_grid`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        One bar for each of customers, revenue, social value and total value, divided
        by kind. A sum that is not above 0 has no shares and no bar.
    """
    table = grid.cells
    with drawing(ax, lang, size=(7.2, 3.2)) as pen:
        pen.title(pen.say("kinds.title"))
        if not table["n_people"].sum():
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        left = np.zeros(len(_ROWS))
        shares = np.array([_shares(floats(table, column)) for column in _ROWS.values()])
        for i, segment in enumerate(table["segment"]):
            name = pen.say(
                "kinds.kind", name=pen.say(f"grid.{segment}"),
                n=format_value(table["n_people"].iloc[i], "int"),
            )  # fmt: skip
            share = shares[:, i]
            pen.ax.barh(
                range(len(_ROWS)), share, 0.62, left=left, color=_COLOURS[segment],
                label=name,
            )  # fmt: skip
            light = segment == "misers"
            for y in np.flatnonzero(share >= _LEAST_NAMED).tolist():
                pen.ax.text(
                    left[y] + share[y] / 2, y, f"{share[y] * 100:.0f}", ha="center",
                    va="center", fontsize="small", color="#16202c" if light else "w",
                )  # fmt: skip
            left = left + np.nan_to_num(share)
        pen.ax.set_yticks(range(len(_ROWS)), [pen.say(key) for key in _ROWS])
        pen.ax.set_ylim(len(_ROWS) - 0.5, -0.5)
        pen.ax.set_xlim(0, 1)
        pen.ax.set_xlabel(pen.say("kinds.axis"))
        percent_axis(pen.ax, axis="x")
        clean(pen.ax, grid="x")
        pen.ax.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=4, frameon=False,
            fontsize="small",
        )  # fmt: skip
        return pen.ax


def _shares(values: Floats) -> Floats:
    """Return shares of a sum; NaN of one that has none."""
    total = values.sum()
    return values / total if total > 0 else np.full(values.shape, np.nan)


def plot_referral_times(
    times: ReferralTimes, ax: Axes | None = None, *, lang: Lang = "en"
) -> Axes:
    """Draw how long it takes to bring others, with bands.

    Parameters
    ----------
    times : ReferralTimes
        From `selfloop.referral_times`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        For each step the share of what happens within H days that has happened by
        each day; a dot where it passes one half.
    """
    curves, steps = times.curve, times.steps.set_index("step")
    with drawing(ax, lang) as pen:
        pen.title(pen.say("referral_times.title"), times.end)
        if curves.empty:
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        for step, colour in _STEPS.items():
            rows = curves[curves["step"] == step]
            if rows.empty:
                continue
            half = float(steps["days_50"][step])
            days = floats(rows, "days")
            band = floats(rows, "share_low"), floats(rows, "share_high")
            pen.ax.fill_between(
                days, *band, step="post", color=colour, alpha=0.18, linewidth=0
            )
            name = pen.say(
                "referral_times.step", name=pen.say(f"referral_times.{step}"),
                days=format_value(half, "int"),
            )  # fmt: skip
            pen.ax.step(
                days, floats(rows, "share"), where="post", color=colour, label=name
            )
            pen.ax.plot(half, 0.5, "o", color=colour, markersize=5)
        pen.ax.set_ylim(0, 1.02)
        # The last per cent takes long and shows nothing.
        late = floats(curves, "days")[floats(curves, "share") <= _MOST_SHOWN]
        pen.ax.set_xlim(0, 1.05 * late.max(initial=1.0))
        pen.ax.set_xlabel(pen.say("referral_times.axis"))
        pen.ax.set_ylabel(pen.say("referral_times.share"))
        percent_axis(pen.ax)
        clean(pen.ax)
        pen.ax.legend(frameon=False, fontsize="small", loc="lower right")
        return pen.ax
