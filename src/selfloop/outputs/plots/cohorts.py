"""The cohort triangle as a picture."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from selfloop.core.display import format_value
from selfloop.core.errors import SettingError
from selfloop.core.settings import check_choice
from selfloop.measures.cohorts.cells import BLOCK_DAYS
from selfloop.measures.cohorts.triangle import Cohorts
from selfloop.outputs.plots.style import STAGE_COLOURS, Pen, drawing
from selfloop.outputs.text import Lang

Floats = NDArray[np.float64]

METRICS = ("share_active", "n_orders", "revenue", "value_per_customer")
"""What the cells can show."""

_MAX_WRITTEN = 18
_MAX_ROWS = 60
_STEP = 0.05
_HATCH = (0.08, 0.5, 0.44, 0.35)
_SCALE = LinearSegmentedColormap.from_list(
    "repurchase", ["#f1f8f6", "#8cc4b9", STAGE_COLOURS["repurchase"]]
)
_MARKS = ((1e9, "B"), (1e6, "M"), (1e3, "k"))


def plot_cohorts(
    cohorts: Cohorts,
    ax: Axes | None = None,
    *,
    metric: str = "share_active",
    segment: str | None = None,
    currency: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw what each cohort did at each age.

    Parameters
    ----------
    cohorts : Cohorts
        From `selfloop.cohorts`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    metric : {"share_active", "n_orders", "revenue", "value_per_customer"}, optional
        What the cells show; the last is revenue up to that age over all customers of
        the cohort.
    segment : str, optional
        Value of the breakdown; by default that with most people.
    currency : str, optional
        Unit of money, such as ``"CNY"``.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        One row for each cohort, with its number of people; one colour scale from 0 for
        all cells; partial cells are hatched, ages not yet begun stay blank. Age 0 is
        left out, for the first purchase is in it, but for `value_per_customer`. Of more
        than 60 cohorts the latest are drawn.

    Raises
    ------
    SettingError
        There is no such metric or segment.
    """
    check_choice("metric", metric, METRICS)
    table, name = rows_of(cohorts.table, segment)
    first = 0 if metric == "value_per_customer" else 1
    every = sorted(table["cohort"].unique())
    names = every[-_MAX_ROWS:]
    table = table[table["cohort"].isin(names)]
    ages = int(table["age"].max()) if len(table) else 0
    size = (min(12.0, 3.2 + 0.5 * ages), min(10.0, 1.8 + 0.34 * len(names)))
    with drawing(ax, lang, size=(max(6.4, size[0]), max(3.0, size[1]))) as pen:
        notes = note_of(pen, cohorts, name)
        if len(names) < len(every):
            notes.append(pen.say("cohorts.latest", shown=len(names), n=len(every)))
        title = pen.say(f"cohorts.title_{metric}", unit=unit_of(pen, cohorts))
        pen.title(title, cohorts.end, note=pen.say("plot.and").join(notes))
        pen.ax.set_xlabel(age_label(pen, cohorts))
        pen.ax.set_ylabel(pen.say(f"cohorts.cohort_{cohorts.period}"))
        shown = table[table["age"] >= first]
        if shown.empty or shown["age"].max() == 0:
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        unit = pen.name(currency) if currency else pen.say("unit.currency")
        label = pen.say(f"cohorts.axis_{metric}", currency=unit)
        grid = shown.pivot(index="cohort", columns="age", values=metric)
        grid = grid.reindex(index=names, columns=range(first, ages + 1))
        values = grid.to_numpy(dtype=float, na_value=np.nan)
        _draw_cells(pen, _Grid(values, first, metric, label), _partial(shown, names))
        _label_cells(pen, _labels(pen, table, names), range(first, ages + 1))
        return pen.ax


class _Grid(NamedTuple):
    """The cells to draw, one row for each cohort."""

    values: Floats
    first: int
    metric: str
    label: str


def rows_of(table: pd.DataFrame, segment: str | None) -> tuple[pd.DataFrame, str]:
    """Return the rows of one segment, by default the largest, and its name."""
    sizes = table[table["age"] == 0].groupby("segment")["n_people"].sum()
    if segment is not None and segment not in sizes.index:
        known = ", ".join(repr(s) for s in sizes.index) or "none"
        raise SettingError(f"segment must be one of {known}; got {segment!r}")
    if sizes.empty:
        return table, ""
    name = str(segment if segment is not None else sizes.idxmax())
    return table[table["segment"] == name], name


def note_of(pen: Pen, cohorts: Cohorts, segment: str) -> list[str]:
    """Say of whom the picture is, when there is a breakdown, and how to see others."""
    if cohorts.by is None or not segment:
        return []
    name = pen.segment(segment, by=cohorts.by)
    n = cohorts.table["segment"].nunique()
    if n == 1:
        return [name]
    return [pen.say("cohorts.segment", name=name, by=cohorts.by, n=n)]


def unit_of(pen: Pen, cohorts: Cohorts) -> str:
    """Return the unit of age in words: month, or block of days."""
    is_block = cohorts.clock == "rolling"
    return pen.say("cohorts.block" if is_block else f"unit.{cohorts.period}")


def age_label(pen: Pen, cohorts: Cohorts) -> str:
    """Return the label of the axis of ages."""
    if cohorts.clock == "rolling":
        return pen.say("cohorts.age_block", n=BLOCK_DAYS[cohorts.period])
    return pen.say(f"cohorts.age_{cohorts.period}")


def _partial(shown: pd.DataFrame, names: list[str]) -> set[tuple[int, int]]:
    """Return row and age of the cells that are not over."""
    rows = shown[shown["status"] == "partial"]
    place = {name: i for i, name in enumerate(names)}
    return {
        (place[c], int(a)) for c, a in zip(rows["cohort"], rows["age"], strict=True)
    }


def _labels(pen: Pen, table: pd.DataFrame, names: list[str]) -> list[str]:
    """Name the cohorts, with their people."""
    sizes = table.drop_duplicates("cohort").set_index("cohort")["n_people"]
    return [
        f"{pen.plain(format_value(name))}   {format_value(sizes[name], 'int'):>7}"
        for name in names
    ]


def _draw_cells(pen: Pen, grid: _Grid, partial: set[tuple[int, int]]) -> None:
    """Draw the cells on one absolute colour scale, with their numbers if they fit."""
    ax, first = pen.ax, grid.first
    n_rows, n_columns = grid.values.shape
    top = float(np.nanmax(grid.values))
    is_share = grid.metric == "share_active"
    least = _STEP if is_share else 1.0
    top = np.ceil(top / _STEP) * _STEP if is_share else top
    top = top if top > 0 else least
    mesh = ax.imshow(
        np.ma.masked_invalid(grid.values), cmap=_SCALE, norm=Normalize(0, top),
        aspect="auto", interpolation="nearest",
        extent=(first - 0.5, first + n_columns - 0.5, n_rows - 0.5, -0.5),
    )  # fmt: skip
    gap = ax.get_facecolor()
    line = 1.2 if max(n_rows, n_columns) <= 2 * _MAX_WRITTEN else 0.4
    for i, j in zip(*np.nonzero(np.isfinite(grid.values)), strict=True):
        value, age = grid.values[i, j], int(j) + first
        is_partial = (int(i), age) in partial
        if is_partial:
            _veil(ax, (age - 0.5, i - 0.5))
        ax.add_patch(
            Rectangle(
                (age - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=gap, linewidth=line
            )
        )
        if max(n_rows, n_columns) <= _MAX_WRITTEN:
            dark = value > 0.7 * top and not is_partial
            ax.text(
                age, i, f"{value * 100:.0f}" if is_share else short(value),
                ha="center", va="center", fontsize="small",
                color="white" if dark else "#16202c",
            )  # fmt: skip
    bar = ax.figure.colorbar(mesh, ax=ax, fraction=0.04, pad=0.02)
    bar.ax.yaxis.set_major_formatter(
        FuncFormatter(lambda v, _: f"{v * 100:g}" if is_share else f"{v:,.12g}")
    )
    bar.set_label(grid.label)
    bar.outline.set_visible(False)
    if partial:
        patch = Patch(
            facecolor="#dcebe8", edgecolor=_HATCH, hatch="///", linewidth=0,
            label=pen.say("cohorts.partial"),
        )  # fmt: skip
        ax.legend(handles=[patch], loc="lower right", frameon=False, fontsize="small")


def short(value: float) -> str:
    """Write a number in few letters, for a cell.

    Examples
    --------
    >>> [short(x) for x in (0.5, 7, 12.3, 940, 1234, 226_316, -1.5e6, 999_999)]
    ['0.5', '7', '12', '940', '1.2k', '226k', '-1.5M', '1M']
    """
    for size, mark in _MARKS:
        if abs(value) >= 0.9995 * size:
            return f"{_digits(value / size)}{mark}"
    return _digits(value)


def _digits(value: float) -> str:
    """Write a number below 1,000 with two digits or, without fractions, three."""
    shown = f"{value:.1f}" if abs(value) < 9.95 else f"{value:.0f}"
    return shown.removesuffix(".0")


def _veil(ax: Axes, corner: tuple[float, float]) -> None:
    """Draw a hatched veil over a cell that still grows."""
    ax.add_patch(
        Rectangle(
            corner, 1, 1, facecolor=(1, 1, 1, 0.55), edgecolor=_HATCH, hatch="///",
            linewidth=0,
        )
    )  # fmt: skip


def _label_cells(pen: Pen, labels: list[str], ages: range) -> None:
    """Name the rows and columns, and not so many that they touch."""
    ax = pen.ax
    every = max(1, -(-len(labels) // 24))
    ax.set_yticks(range(0, len(labels), every), labels[::every], fontsize="small")
    ax.set_xticks(ages[:: max(1, -(-len(ages) // 24))])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.annotate(
        pen.say("cohorts.size"), (0, 1), (-4, 3), xycoords="axes fraction",
        textcoords="offset points", ha="right", va="bottom", fontsize="x-small",
        alpha=0.75,
    )  # fmt: skip
