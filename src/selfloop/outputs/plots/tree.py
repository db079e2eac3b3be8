"""One referral tree as a picture, from five people to a million."""

from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.legend_handler import HandlerPathCollection
from matplotlib.path import Path
from numpy.typing import NDArray

from selfloop.core.display import format_value
from selfloop.core.errors import SettingError
from selfloop.measures.referral.network import ReferralNetwork
from selfloop.outputs.plots.style import STAGE_COLOURS, Pen, drawing, floats
from selfloop.outputs.text import Lang

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_MAX_PEOPLE = 1500
_MAX_LAYERED_LEAVES = 24
_MAX_NAMED = 60
_MAX_LEVEL_NAMES = 8
_N_BEST_NAMED = 7
_NAME_PLACES = 14
_MARGIN = 0.12
_LETTER = 4.7  # points: the mean width of a letter of a name, and how near two
_TOUCH = 5.0  # names may come before they cannot be read
_COLUMNS = ("person_id", "referrer_id", "generation", "n_invited", "n_referred",
            "reach", "subtree_depth")  # fmt: skip


class Layout(NamedTuple):
    """Where the people of a tree stand.

    Parameters
    ----------
    x, y : ndarray of float
        Places, one for each person.
    angle : ndarray of float or None
        Direction from the root in radians, or None for a layered layout.
    """

    x: Floats
    y: Floats
    angle: Floats | None


def check_network(network: object) -> None:
    """Raise unless this is what the pictures of a network take.

    Parameters
    ----------
    network : object
        What was given.

    Raises
    ------
    SettingError
        When it is no result of `selfloop.referral_network`.
    """
    if not isinstance(network, ReferralNetwork):
        raise SettingError(
            "network must be the result of referral_network(events); got "
            f"{type(network).__name__}"
        )


def plot_referral_tree(
    network: ReferralNetwork,
    ax: Axes | None = None,
    *,
    root_id: str | None = None,
    lang: Lang = "en",
) -> Axes:
    """Draw who brought whom in one referral tree.

    Parameters
    ----------
    network : ReferralNetwork
        From `selfloop.referral_network`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    root_id : str, optional
        The person the tree starts with; the largest tree by default.
    lang : {"en", "zh"}, optional
        Language of the labels.

    Returns
    -------
    matplotlib.axes.Axes
        From left to right for narrow trees, in rings around the root for others;
        the size of a dot grows with the number of descendants. Of trees with more
        than 1,500 people, those with most descendants are drawn, and the title says
        so.

    Raises
    ------
    SettingError
        When nobody has that id, or the person was brought by somebody.
    """
    check_network(network)
    if root_id is None and len(network.trees):
        root_id = str(network.trees["root_id"].iloc[0])
    with drawing(ax, lang, size=(7.2, 6.4)) as pen:
        pen.ax.set_axis_off()
        if root_id is None:
            pen.blank(pen.say("plot.no_data"))
            return pen.ax
        people, n_people = _read_tree(network, root_id)
        parent = _parents(people)
        layout = lay_out(parent)
        _draw_links(pen.ax, parent, layout)
        _draw_people(pen, people, parent, layout)
        _draw_names(pen, people, parent, layout)
        depth = format_value(people["subtree_depth"].iloc[0], "int")
        words = pen.say(
            "tree.title", root=pen.name(_shortened(root_id)), depth=depth,
            n=format_value(n_people, "int"),
        )  # fmt: skip
        if n_people > len(people):
            shown = format_value(len(people), "int")
            words += f"\n{pen.say('tree.part', shown=shown)}"
        pen.title(words, network.end)
        return pen.ax


def _read_tree(network: ReferralNetwork, root_id: str) -> tuple[pd.DataFrame, int]:
    """Read the people of a tree, the root first, and count all of them.

    A person has more descendants than any of them has, so the people with most
    descendants always hang together.
    """
    everybody = network.people
    person = everybody.filter(everybody.person_id == root_id).select("root_id")
    found = person.to_pyarrow()["root_id"].to_pylist()
    if not found:
        raise SettingError(f"root_id must be in the referral network; got {root_id!r}")
    if found[0] != root_id:
        raise SettingError(
            f"root_id must be somebody whom nobody brought; {root_id!r} belongs to "
            f"the tree of {found[0]!r}"
        )
    tree = everybody.filter(everybody.root_id == root_id)
    n_people = int(tree.count().to_pyarrow().as_py())
    largest = tree.order_by(tree.reach.desc(), "generation", "person_id")
    people = largest.limit(_MAX_PEOPLE).select(*_COLUMNS).to_pyarrow().to_pandas()
    order = ["generation", "reach", "person_id"]
    people = people.sort_values(order, ascending=[True, False, True])
    return people.reset_index(drop=True), n_people


def _parents(people: pd.DataFrame) -> Ints:
    """Return the row of each person's referrer; -1 for the root."""
    rows = pd.Series(np.arange(len(people)), index=people["person_id"])
    parent = people["referrer_id"].map(rows)
    return parent.fillna(-1).to_numpy(dtype=np.intp)


def lay_out(parent: Ints) -> Layout:
    """Return where the people of a tree stand; parents come before children.

    Parameters
    ----------
    parent : ndarray of int
        Row of the parent of each row, smaller than the row itself; -1 for row 0.

    Returns
    -------
    Layout
        Layered for up to 24 leaves: x is the generation, y the middle of the leaves
        below. Rings for more: a person has a sector as wide as its leaves.

    Examples
    --------
    >>> layout = lay_out(np.array([-1, 0, 0]))
    >>> layout.x.tolist(), layout.y.tolist()
    ([0.0, 1.0, 1.0], [1.0, 0.5, 1.5])
    """
    n = len(parent)
    generation = np.zeros(n)
    leaves = np.zeros(n)
    is_leaf = np.bincount(parent[1:], minlength=n) == 0
    for row in range(1, n):
        generation[row] = generation[parent[row]] + 1
    for row in range(n - 1, -1, -1):
        leaves[row] += is_leaf[row]
        if row:
            leaves[parent[row]] += leaves[row]
    is_layered = leaves[0] <= _MAX_LAYERED_LEAVES
    children: list[list[int]] = [[] for _ in range(n)]
    for row in range(1, n):
        children[parent[row]].append(row)
    start = np.zeros(n)
    for row in range(n):
        place = start[row]
        for child in children[row] if is_layered else _spread(children[row]):
            start[child] = place
            place += leaves[child]
    middle = start + leaves / 2
    if is_layered:
        return Layout(generation, middle, None)
    angle = middle / leaves[0] * 2 * np.pi
    # The first ring is wide, because most of the crowd stands there.
    radius = np.where(generation > 0, generation + 0.8, 0.0)
    return Layout(radius * np.cos(angle), radius * np.sin(angle), angle)


def _spread(rows: list[int]) -> list[int]:
    """Put the first and the last in turn, so that large branches stand apart."""
    half = (len(rows) + 1) // 2
    pairs = zip_longest(rows[:half], reversed(rows[half:]))
    return [row for pair in pairs for row in pair if row is not None]


def _draw_links(ax: Axes, parent: Ints, layout: Layout) -> None:
    """Draw the links, bent so that they leave along the rings."""
    x, y, angle = layout
    links = []
    for child in range(1, len(parent)):
        up = parent[child]
        if angle is None:
            half = (x[up] + x[child]) / 2
            bends = [(half, y[up]), (half, y[child])]
        else:
            radius = (np.hypot(x[up], y[up]) + np.hypot(x[child], y[child])) / 2
            first = angle[up] if up else angle[child]
            bends = [
                (radius * np.cos(a), radius * np.sin(a)) for a in (first, angle[child])
            ]
        points = [(x[up], y[up]), *bends, (x[child], y[child])]
        links.append(Path(points, [Path.MOVETO, *[Path.CURVE4] * 3]))
    width = 1.1 if len(parent) <= _MAX_NAMED else 0.5
    ax.add_collection(
        PathCollection(
            links, facecolor="none", edgecolor=STAGE_COLOURS["traffic"], alpha=0.55,
            linewidth=width, zorder=1,
        )
    )  # fmt: skip


def _draw_people(pen: Pen, people: pd.DataFrame, parent: Ints, layout: Layout) -> None:
    """Draw the dots: orange for those who brought buyers, larger with descendants."""
    ax = pen.ax
    base = 26 if len(parent) <= _MAX_NAMED else max(3, 2600 / len(parent))
    reach = floats(people, "reach")
    size = base * (1 + 2.2 * np.sqrt(reach) / max(1.0, np.sqrt(reach.max() / 4)))
    if layout.angle is None:
        # In a long chain the dots must not cover one another.
        apart = _points(ax)[0] / max(1.0, layout.x.max())
        size *= min(1.0, (0.7 * apart) ** 2 / size.max())
    brought = floats(people, "n_referred") > 0
    invited = ~brought & (floats(people, "n_invited") > 0)
    face, orange = ax.figure.get_facecolor(), STAGE_COLOURS["referral"]
    kinds = (
        ("tree.leaf", ~brought & ~invited, STAGE_COLOURS["traffic"], "none"),
        ("tree.invited", invited, face, orange),
        ("tree.success", brought, orange, "none"),
    )
    for key, chosen, colour, edge in kinds:
        if chosen.any():
            ax.scatter(
                layout.x[chosen], layout.y[chosen], size[chosen], color=colour,
                edgecolor=edge, linewidth=1, label=pen.say(key), zorder=2,
            )  # fmt: skip
    ax.scatter(
        layout.x[:1], layout.y[:1], size[:1] + 40, facecolor="none", linewidth=1.5,
        edgecolor=STAGE_COLOURS["traffic"], label=pen.say("tree.root"), zorder=3,
    )  # fmt: skip
    spots = np.column_stack([layout.x, layout.y])
    room = np.ptp(spots, axis=0) * _margins(ax, people, layout)
    # As if there were dots at the ends of the names: equal scales may not cut them.
    ax.update_datalim([spots.min(axis=0) - room, spots.max(axis=0) + room])
    ax.margins(0.01)
    if layout.angle is not None:
        # The box stays as wide as it is, and the title with it; Axes that share
        # their limits with others cannot do that.
        is_shared = len(ax.get_shared_x_axes().get_siblings(ax)) > 1
        is_shared |= len(ax.get_shared_y_axes().get_siblings(ax)) > 1
        ax.set_aspect("equal", adjustable="box" if is_shared else "datalim")
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4, frameon=False,
        fontsize="small",
        handler_map={PathCollection: HandlerPathCollection(sizes=[34])},
    )  # fmt: skip


def _draw_names(pen: Pen, people: pd.DataFrame, parent: Ints, layout: Layout) -> None:
    """Write the names of a small tree, or those with most descendants.

    Where names would cover one another, the one with more descendants stays, and no
    name covers the dot of somebody else who brought people.
    """
    is_leaf = np.bincount(parent[1:], minlength=len(parent)) == 0
    is_deep = layout.angle is None and layout.x.max() > _MAX_LEVEL_NAMES
    box: dict[str, Any] = {
        "boxstyle": "round,pad=0.15", "linewidth": 0, "alpha": 0.75,
        "facecolor": pen.ax.figure.get_facecolor(),
    }  # fmt: skip
    spots = _spots(pen.ax, people, layout)
    taken = np.empty((0, 2))
    for row in _named(floats(people, "reach"), layout):
        turn, side, shift = 0.0, "center", (0.0, 11.0)
        if is_leaf[row]:
            angle = 0.0 if layout.angle is None else float(layout.angle[row])
            turn, side, shift = _outward(angle)
        elif is_deep:
            turn, side, shift = 60.0, "left", (2.0, 9.0)
        name = _shortened(people["person_id"].iloc[row])
        covered = _covered(spots[row] + shift, len(name), turn, side)
        others = spots[~is_leaf & (np.arange(len(parent)) != row)]
        gaps = np.linalg.norm(covered[:, None] - np.vstack([taken, others]), axis=2)
        if (gaps < _TOUCH * (1.6 if is_deep else 1)).any():
            continue
        taken = np.vstack([taken, covered])
        pen.ax.annotate(
            pen.name(name), (layout.x[row], layout.y[row]),
            shift, textcoords="offset points", ha=side, va="center", rotation=turn,
            rotation_mode="anchor", fontsize="x-small", zorder=4,
            bbox=None if is_leaf[row] or is_deep else box,
        )  # fmt: skip


def _shortened(person_id: str) -> str:
    """Cut a long id in the middle: ids mostly differ at their ends."""
    if len(person_id) <= _NAME_PLACES:
        return person_id
    half = _NAME_PLACES // 2
    return f"{person_id[: half - 1]}…{person_id[-half:]}"


def _points(ax: Axes) -> Floats:
    """Return width and height of an Axes in points, before it is laid out."""
    return np.array([ax.bbox.width, ax.bbox.height]) * 72 / ax.figure.dpi


def _margins(ax: Axes, people: pd.DataFrame, layout: Layout) -> tuple[float, float]:
    """Return the room around the dots, so that the names at the rim fit in."""
    if len(people) > _MAX_NAMED:
        return _MARGIN / 2, _MARGIN / 2
    letters = max(len(_shortened(person)) for person in people["person_id"])
    rim = 10.0 + letters * _LETTER
    width, height = rim / np.maximum(_points(ax) - 2 * rim, 2 * rim)
    tall = _MARGIN if layout.angle is None else max(_MARGIN, float(height))
    return max(_MARGIN, float(width)), tall


def _spots(ax: Axes, people: pd.DataFrame, layout: Layout) -> Floats:
    """Return where people will stand, in points, up to a common shift."""
    spots = np.column_stack([layout.x, layout.y])
    room = 1 + 2 * np.array(_margins(ax, people, layout))
    scale = _points(ax) / (np.maximum(np.ptp(spots, axis=0), 1e-9) * room)
    return np.asarray(spots * (scale if layout.angle is None else scale.min()))


def _covered(start: Floats, n_letters: int, turn: float, side: str) -> Floats:
    """Return points along a name, about as many as it has letters."""
    length = n_letters * _LETTER
    first = {"left": 0.0, "center": -length / 2, "right": -length}[side]
    along = first + np.linspace(0, length, n_letters + 1)
    angle = np.radians(turn)
    return start + np.outer(along, [np.cos(angle), np.sin(angle)])


def _named(reach: Floats, layout: Layout) -> list[int]:
    """Return whom to name: everybody, or the largest that do not stand together."""
    largest = [int(row) for row in np.argsort(-reach, kind="stable")]
    if len(reach) <= _MAX_NAMED:
        return largest
    spots = np.column_stack([layout.x, layout.y])
    apart = 0.08 * max(np.ptp(layout.x), np.ptp(layout.y))
    named: list[int] = []
    for row in largest:
        far = np.linalg.norm(spots[named] - spots[row], axis=1) > apart
        if reach[row] > 0 and far.all():
            named.append(row)
        if len(named) == _N_BEST_NAMED:
            break
    return named


def _outward(angle: float) -> tuple[float, str, tuple[float, float]]:
    """Return the turn, side and shift of a name that points away from the root."""
    degrees = float(np.degrees(angle))
    shift = (8 * float(np.cos(angle)), 8 * float(np.sin(angle)))
    if 90 < degrees < 270:
        return degrees - 180, "right", shift
    return degrees, "left", shift
