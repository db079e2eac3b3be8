"""Hand the referral network over to packages and files for graphs."""

import os
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from selfloop.core.errors import SettingError
from selfloop.measures.referral.links import LinkNetwork
from selfloop.measures.referral.network import ReferralNetwork
from selfloop.outputs.files import whole_file

if TYPE_CHECKING:
    import igraph
    import networkx

_BATCH = 65_536  # people written at a time
FORMATS = (".graphml", ".parquet")
"""Suffixes that `write_graph` knows."""

_PIECE = 100_000
_ILLEGAL = r"\x00-\x08\x0b\x0c\x0e-\x1f\x{fffe}\x{ffff}"
_RISKY = rf"[{_ILLEGAL}]|\\\\|\\u"
# Python, unlike the engine, can hold half a surrogate pair.
_NO_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_MARKS = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;",
    "\t": "&#9;", "\n": "&#10;", "\r": "&#13;",
}  # fmt: skip
_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns
 http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">
"""


def to_networkx(network: ReferralNetwork | LinkNetwork) -> "networkx.DiGraph":
    """Return the referral network as a directed graph of networkx.

    Parameters
    ----------
    network : ReferralNetwork or LinkNetwork
        From `referral_network` or `link_network`.

    Returns
    -------
    networkx.DiGraph
        One node per person of ``network.people``, named by the id, with the other
        columns of `schema.NETWORK_PEOPLE` as attributes: what is missing is absent,
        so a root has no `referrer_id`. One edge from each referrer to each person
        they brought.

    Raises
    ------
    SettingError
        When `network` is something else, or networkx is not installed.

    Notes
    -----
    A person has one referrer here, the first, also where a referral is shared. About
    15 s and 2 GB for a million people; `write_graph` takes 5 s and less memory.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> network = sl.referral_network(sl.read_events(shop.orders, shop.referrals))
    >>> graph = to_networkx(network)
    >>> graph.number_of_edges() == network.n_links
    True
    """
    people = _rows(network)
    graph: networkx.DiGraph = _package("networkx", "to_networkx").DiGraph()
    names = people.column_names[1:]
    ids, *columns = (column.to_pylist() for column in _plain(people).columns)
    graph.add_nodes_from(
        (person, {n: v for n, v in zip(names, row, strict=True) if v is not None})
        for person, *row in zip(ids, *columns, strict=True)
    )
    referrers = people["referrer_id"].to_pylist()
    pairs = zip(referrers, ids, strict=True)
    graph.add_edges_from((by, whom) for by, whom in pairs if by is not None)
    return graph


def to_igraph(network: ReferralNetwork | LinkNetwork) -> "igraph.Graph":
    """Return the referral network as a directed graph of igraph.

    Parameters
    ----------
    network : ReferralNetwork or LinkNetwork
        From `referral_network` or `link_network`.

    Returns
    -------
    igraph.Graph
        One vertex per person of ``network.people``, its ``name`` the id, with the
        other columns of `schema.NETWORK_PEOPLE` as attributes; what is missing is
        None. One edge from each referrer to each person they brought.

    Raises
    ------
    SettingError
        When `network` is something else, or igraph is not installed.

    Notes
    -----
    A person has one referrer here, the first, also where a referral is shared. About
    3 s for a million people.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> network = sl.referral_network(sl.read_events(shop.orders, shop.referrals))
    >>> to_igraph(network).ecount() == network.n_links
    True
    """
    people = _rows(network)
    package = _package("igraph", "to_igraph")
    ids = people["person_id"].combine_chunks()
    parents = pc.index_in(people["referrer_id"].combine_chunks(), value_set=ids)
    pairs = zip(parents.to_pylist(), range(len(ids)), strict=True)
    plain = _plain(people)
    attributes = {name: plain[name].to_pylist() for name in plain.column_names[1:]}
    graph: igraph.Graph = package.Graph(
        n=len(ids),
        edges=[(by, whom) for by, whom in pairs if by is not None],
        directed=True,
        vertex_attrs={"name": ids.to_pylist(), **attributes},
    )
    return graph


def write_graph(
    network: ReferralNetwork | LinkNetwork, path: str | os.PathLike[str]
) -> Path:
    r"""Write the referral network to a file; the suffix says the format.

    Rows go from the engine to the file in batches, so no graph is built in memory.
    The file appears when it is complete.

    Parameters
    ----------
    network : ReferralNetwork or LinkNetwork
        From `referral_network` or `link_network`.
    path : path
        Target: ``.graphml`` for Gephi, yEd, Cytoscape, igraph and networkx;
        ``.parquet`` for a table of the people, columns of `schema.NETWORK_PEOPLE`,
        whose `referrer_id` holds the edges.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    SettingError
        When `network` is something else, or the suffix is not one of these.
    FileError
        When the file cannot be written.

    Notes
    -----
    In both, people are in order of generation and id. In GraphML a node is named by
    the id and has the other columns as data; what is missing is absent. Characters
    that XML cannot hold are written as ``\u0001`` (and then ``\`` as ``\\``), the same
    in ids, `referrer_id` and `root_id`, so that different people stay different.

    Examples
    --------
    >>> import tempfile
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=500, seed=7)
    >>> network = sl.referral_network(sl.read_events(shop.orders, shop.referrals))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_graph(network, f"{folder}/referrals.graphml")
    ...     written.read_text("utf-8").count("<node ") == network.n_people
    True
    """
    people = _rows(network)
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in FORMATS:
        raise SettingError(
            f"the format follows from the suffix, one of {', '.join(FORMATS)}; "
            f"got {target.name!r}"
        )
    with whole_file(target) as place:
        if suffix == ".parquet":
            pq.write_table(people, place)
        else:
            _write_graphml(people, place)
    return target


def _rows(network: ReferralNetwork | LinkNetwork) -> pa.Table:
    """Check a network and return its people, in one order whatever made it."""
    if isinstance(network, LinkNetwork):
        people = network.people
        order = [("generation", "ascending"), ("person_id", "ascending")]
        return people.sort_by(order)
    if not isinstance(network, ReferralNetwork):
        raise SettingError(
            f"network must be the result of referral_network(...) or "
            f"link_network(...); got {type(network).__name__}"
        )
    return network.people.order_by("generation", "person_id").to_pyarrow()


def _package(name: str, call: str) -> Any:  # noqa: ANN401 - an optional package
    """Load an optional package; without it say how to get it."""
    if find_spec(name) is None:
        raise SettingError(
            f"{call} needs the package {name}, which is not installed: "
            f"pip install 'selfloop[graph]'"
        )
    return import_module(name)


def _plain(people: pa.Table) -> pa.Table:
    """Make decimals numbers that every package knows, and NaN a missing one."""
    for place, field in enumerate(people.schema):
        column = people.column(place)
        if pa.types.is_decimal(field.type):
            column = column.cast(pa.float64())
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), None, column)
        people = people.set_column(place, field.name, column)
    return people


def _write_graphml(people: pa.Table, place: Path) -> None:
    """Write nodes, then edges, in batches."""
    keys = _keys(people.schema)
    with place.open("wb") as sink:
        sink.write(_HEAD.encode())
        for key, (name, kind) in keys.items():
            sink.write(
                f'<key id="{key}" for="node" attr.name="{name}" '
                f'attr.type="{kind}"/>\n'.encode()
            )
        sink.write(b'<graph id="referrals" edgedefault="directed">\n')
        for batch in people.to_batches(_BATCH):
            _write_lines(sink, _nodes(batch, keys))
        links = people.select(["referrer_id", "person_id"])
        for batch in links.to_batches(_BATCH):
            _write_lines(sink, _edges(batch))
        sink.write(b"</graph>\n</graphml>\n")


def _keys(schema: pa.Schema) -> dict[str, tuple[str, str]]:
    """Declare the data of nodes: key -> name and type of a column."""
    fields = [field for field in schema if field.name != "person_id"]
    return {
        f"d{i}": (field.name, _graphml_type(field.type))
        for i, field in enumerate(fields)
    }


def _graphml_type(kind: pa.DataType) -> str:
    """Return what GraphML calls a type; what it does not know is text."""
    if pa.types.is_integer(kind):
        return "long"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "double"
    return "boolean" if pa.types.is_boolean(kind) else "string"


def _nodes(batch: pa.RecordBatch, keys: dict[str, tuple[str, str]]) -> pa.Array:
    """Return one line per person."""
    rows = _plain(pa.Table.from_batches([batch])).combine_chunks().to_batches()
    if not rows:
        return pa.array([], pa.string())
    (row,) = rows
    parts = ['<node id="', _text(row["person_id"]), '">']
    for key, (name, _) in keys.items():
        found = _joined([f'<data key="{key}">', _text(row[name]), "</data>"])
        parts.append(pc.fill_null(found, ""))
    return _joined([*parts, "</node>\n"])


def _edges(batch: pa.RecordBatch) -> pa.Array:
    """Return one line per person whom somebody brought."""
    brought = batch.filter(pc.is_valid(batch["referrer_id"]))
    by, whom = (_text(brought[name]) for name in ("referrer_id", "person_id"))
    return _joined(['<edge source="', by, '" target="', whom, '"/>\n'])


def _joined(parts: list[Any]) -> pa.Array:
    """Put texts and columns of text one after the other; missing stays missing."""
    kinds = [pa.scalar(p, pa.string()) if isinstance(p, str) else p for p in parts]
    return pc.binary_join_element_wise(*kinds, pa.scalar("", pa.string()))


def _write_lines(sink: IO[bytes], lines: pa.Array) -> None:
    """Write a column of text, all of it in one piece."""
    for part in _pieces(lines):
        sink.write("".join(part.to_pylist()).encode("utf-8"))


def _pieces(lines: pa.Array) -> Iterator[pa.Array]:
    """Cut a column into pieces that are no burden as Python texts."""
    for start in range(0, len(lines), _PIECE):
        yield lines.slice(start, _PIECE)


def _text(column: pa.Array) -> pa.Array:
    """Return a column as text that XML can hold."""
    texts = column.cast(pa.string())
    if pc.any(pc.match_substring_regex(texts, _RISKY)).as_py():
        safe = [t if t is None else xml_characters(t) for t in texts.to_pylist()]
        texts = pa.array(safe, pa.string())
    for mark, safe_mark in _MARKS.items():
        texts = pc.replace_substring(texts, mark, safe_mark)
    return texts


def xml_characters(text: str) -> str:
    r"""Return a text without characters that XML cannot hold, each text another.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        The same, if it has no such character and nothing that looks like its
        replacement; else with ``\u0001`` for such a character and ``\\`` for ``\``.

    Examples
    --------
    >>> print(xml_characters("shop\\ann"), xml_characters("bell\x07 at c:\\"))
    shop\ann bell\u0007 at c:\\
    """
    if not _NO_XML.search(text) and "\\\\" not in text and "\\u" not in text:
        return text
    doubled = text.replace("\\", "\\\\")
    return _NO_XML.sub(lambda found: f"\\u{ord(found.group()):04x}", doubled)
