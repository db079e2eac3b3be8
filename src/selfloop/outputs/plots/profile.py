"""What segments are like: their rates or means with intervals, as a picture."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selfloop.core.display import format_value
from selfloop.core.errors import SettingError
from selfloop.core.settings import check_choice
from selfloop.measures.customers.profile import SegmentProfile
from selfloop.measures.segments import PERIODS
from selfloop.outputs.plots.keys import dot, legend_below
from selfloop.outputs.plots.lettering import room_right
from selfloop.outputs.plots.reasons import why
from selfloop.outputs.plots.rows import beside, name_rows
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

RATES = {
    "share_converted": "conversion",
    "share_repurchased": "repurchase",
    "share_referred": "referral",
}
"""The rates of the stages, drawn together, and of which stage each is."""

SO_FAR = (*RATES, "share_within", "buyer_revenue", "buyer_purchases")
"""Measures of everything so far."""

AFTER = ("share_again", "person_purchases", "person_revenue")
"""Measures of what came after a day."""

_MONEY = ("buyer_revenue", "person_revenue")
_STATES = ("rfm", "lifecycle")
_MAX_ROWS = 30
_STEP = 0.24  # between the dots of one row
_REASON_WIDTH = 260.0  # in points


def plot_segment_profile(
    profile: SegmentProfile,
    ax: Axes | None = None,
    *,
    measure: str | None = None,
    currency: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw the rates or means of each segment, and how sure they are.

    Parameters
    ----------
    profile : SegmentProfile
        From `selfloop.segment_profile`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    measure : str, optional
        One column with an interval. So far: ``share_converted``,
        ``share_repurchased``, ``share_referred``, ``share_within``,
        ``buyer_revenue`` or ``buyer_purchases``; after a day: ``share_again``,
        ``person_purchases`` or ``person_revenue``. By default who bought again after
        the day of the profile; without a day the rates of the three stages together.
    currency : str, optional
        Unit of money, such as ``"CNY"``.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        One row for each segment, 30 at most: dots with 95 % intervals. Beside a row
        stands why something is missing. States stand in their own order, months and
        quarters in that of time, other segments by size.

    Raises
    ------
    SettingError
        There is no such measure, or the profile does not tell it.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals)
    >>> profile = sl.segment_profile(events, "rfm")
    >>> axes = plot_segment_profile(profile, measure="person_revenue")
    >>> axes.get_yticklabels()[0].get_text().split(" (")[0]
    'champions'
    """
    names = _measures(profile, measure)
    table = profile.after if names[0] in AFTER else profile.table
    rows = _rows(table, profile.by)
    height = 0.36 if len(names) == 1 else 0.52
    with drawing(ax, lang, size=(7.6, max(2.8, 2.0 + height * len(rows)))) as pen:
        title = _title(pen, profile, names)
        if rows[names].isna().all(axis=None):
            pen.title(title, profile.end)
            given = rows.loc[rows["reason"] != "", "reason"].tolist()
            pen.blank(why(pen, _reason(given[0] if given else "", names)))
            return pen.ax
        unknown = [name for name in names if rows[name].isna().all()]
        known = [name for name in names if name not in unknown]
        notes = [
            pen.say(
                "funnel.none", stage=pen.say(f"stage.{RATES[name]}"),
                why=why(pen, _bare(_reason(rows["reason"].iloc[0], [name]))),
            )
            for name in unknown
        ]  # fmt: skip
        if names[0].startswith("buyer"):
            notes.append(pen.say("profile.older"))
        if len(rows) < len(table):
            is_time = profile.by in PERIODS
            part = "profile.latest" if is_time else "funnel.part"
            notes.insert(0, pen.say(part, shown=len(rows), n=len(table)))
        pen.title(title, profile.end, note=pen.say("plot.and").join(notes))
        ends, words = _draw(pen, rows, known)
        name_rows(pen.ax, range(len(rows)), _names(pen, rows, profile.by, known[0]))
        lows = np.concatenate([floats(rows, f"{name}_low") for name in known])
        room_right(pen.ax, ends, words, start=min(0.0, float(np.nanmin(lows)) * 1.05))
        _name_axis(pen, profile, known, currency)
        return pen.ax


def _measures(profile: SegmentProfile, measure: str | None) -> list[str]:
    """Return what to draw, or say which measures this profile tells."""
    if measure is None:
        return list(RATES) if profile.at is None else ["share_again"]
    check_choice("measure", measure, (*SO_FAR, *AFTER))
    if measure in AFTER and profile.at is None:
        raise SettingError(
            f"{measure} is told after a day only; give at to the profile"
        )
    if measure in SO_FAR and profile.by in _STATES:
        raise SettingError(
            f"of states only what came after is told: {', '.join(AFTER)}; "
            f"got {measure!r}"
        )
    return [measure]


def _rows(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the segments to draw: periods by time, the latest; others as they are."""
    if by not in PERIODS:
        return table[:_MAX_ROWS].reset_index(drop=True)
    is_dated = table["segment"].str.contains("-", regex=False)
    dated = table[is_dated].sort_values("segment")
    both = pd.concat([dated, table[~is_dated]])
    return both[-_MAX_ROWS:].reset_index(drop=True)


def _title(pen: Pen, profile: SegmentProfile, names: Sequence[str]) -> str:
    """Say what is drawn, and of which days."""
    if names[0] in AFTER and profile.at is not None:
        return pen.say("profile.after", day=f"{profile.at:%Y-%m-%d}")
    if names[0].startswith("share"):
        return pen.say("profile.rates", window=pen.days(profile.window_days))
    return pen.say("profile.so_far")


def _draw(
    pen: Pen, rows: pd.DataFrame, names: Sequence[str]
) -> tuple[list[float], list[str]]:
    """Draw the dots of every row; return where each row ends, and words beside it."""
    shifts = _STEP * (np.arange(len(names)) - (len(names) - 1) / 2)
    place = np.arange(len(rows), dtype=np.float64)
    ends = np.zeros(len(rows))
    for name, shift in zip(names, shifts, strict=True):
        value, low, high = (
            floats(rows, f"{name}{end}") for end in ("", "_low", "_high")
        )
        is_known = ~np.isnan(value)
        arms = np.nan_to_num(np.maximum([value - low, high - value], 0.0))
        pen.ax.errorbar(
            value[is_known], place[is_known] + shift, xerr=arms[:, is_known],
            color=_colour(name), marker="o", markersize=5.5, linewidth=1.5, capsize=2,
            linestyle="",
        )  # fmt: skip
        ends = np.fmax(ends, np.fmax(value, high))
    words = []
    for y, (_, row) in enumerate(rows.iterrows()):
        said = ""
        if row[list(names)].isna().any():
            reason = why(pen, _reason(row["reason"], names), width=_REASON_WIDTH)
            said = f"{format_value(None)}  {reason}"
            beside(pen.ax, ends[y], y, said)
        words.append(said)
    return ends.tolist(), words


def _reason(reason: object, names: Sequence[str]) -> str:
    """Return the part of a reason that is about what is drawn."""
    stages = set(RATES.values())
    parts = str(reason or "").split("; ")
    if names[0] not in RATES and names[0] != "share_within":
        return "; ".join(p for p in parts if p.split(": ")[0] not in stages)
    wanted = {RATES.get(name, "repurchase") for name in names}
    mine = [p for p in parts if p.split(": ")[0] in wanted]
    is_within = names[0] == "share_within"
    return "; ".join(p for p in mine if (" at risk at day " in p) <= is_within)


def _bare(reason: str) -> str:
    """Return a reason without the stage that it is about."""
    return reason.partition(": ")[2] or reason


def _colour(name: str) -> str:
    """Return the colour of a measure."""
    stage = "conversion" if name.startswith("buyer") else "repurchase"
    return STAGE_COLOURS[RATES.get(name, stage)]


def _names(pen: Pen, rows: pd.DataFrame, by: str, measure: str) -> list[str]:
    """Return the names of the segments, with the people behind the measure."""
    size = "n_buyers" if measure.startswith("buyer") else "n_people"
    return [
        pen.say(
            "value.group",
            group=pen.say(f"{by}.{name}")
            if by in _STATES
            else pen.segment(name, by=by),
            n=format_value(n, "int"),
        )
        for name, n in zip(rows["segment"], rows[size], strict=True)
    ]


def _name_axis(
    pen: Pen, profile: SegmentProfile, names: Sequence[str], currency: str | None
) -> None:
    """Name the axis, and the colours where there are several."""
    window = pen.days(profile.window_days)
    unit = pen.name(currency) if currency else pen.say("unit.currency")
    key = names[0] if len(names) == 1 else "stages"
    pen.ax.set_xlabel(pen.say(f"profile.axis_{key}", window=window, currency=unit))
    if names[0] in _MONEY:
        money_axis(pen.ax, axis="x")
    elif names[0].startswith("share"):
        percent_axis(pen.ax, axis="x")
    clean(pen.ax, grid="x")
    if len(names) > 1:
        keys = [dot(pen.say(f"profile.{RATES[n]}"), _colour(n)) for n in names]
        legend_below(pen, keys, n_columns=len(keys))
