"""Links and values of made-up people, as Arrow files."""

from pathlib import Path

import numpy as np
import pyarrow as pa

SEED = 7
SHARE_BROUGHT = 0.85
SHARE_COPIED = 0.6
"""Of those who were brought, so many by whoever had brought somebody before."""

SHAPES = ("forest", "chain", "star")
_YEARS_US = 5 * 365 * 86_400 * 10**6

Numbers = np.ndarray


def write_links(folder: Path, n_links: int, shape: str) -> None:
    """Write a table of links and one of values.

    Parameters
    ----------
    folder : Path
        Where `links.arrow` and `values.arrow` go.
    n_links : int
        Links.
    shape : str
        One of `SHAPES`.
    """
    rng = np.random.default_rng(SEED)
    parent = _parents(n_links, shape, rng)
    n = parent.size
    # Ten characters, in no order: u and nine digits.
    numbers = rng.permutation(9 * 10**8 // n * n if n < 10**6 else n)[:n]
    numbers = numbers * (9 * 10**8 // n) if n >= 10**6 else numbers
    ids = _texts(numbers + 10**8)
    referee = np.flatnonzero(parent >= 0)
    rng.shuffle(referee)
    moment = np.sort(rng.integers(0, _YEARS_US, n)) + np.int64(1_577_836_800 * 10**6)
    links = {
        "referrer_id": ids.take(pa.array(parent[referee])),
        "referee_id": ids.take(pa.array(referee)),
        "referred_at": pa.array(moment[referee]).cast(pa.timestamp("us")),
    }
    values = {
        "person_id": ids.take(pa.array(rng.permutation(n))),
        "value": np.round(rng.lognormal(4.0, 1.0, n), 2),
    }
    for name, columns in (("links", links), ("values", values)):
        table = pa.table(columns)
        with pa.ipc.new_file(folder / f"{name}.arrow", table.schema) as file:
            file.write_table(table)


def read_links(folder: Path) -> tuple[pa.Table, pa.Table]:
    """Read the two tables into memory."""
    tables = []
    for name in ("links", "values"):
        with pa.OSFile(str(folder / f"{name}.arrow")) as file:
            tables.append(pa.ipc.open_file(file).read_all())
    return tables[0], tables[1]


def _texts(numbers: Numbers) -> pa.Array:
    """Write numbers of nine digits with a letter before them."""
    digits = np.full((numbers.size, 10), ord("u"), np.uint8)
    rest = numbers.astype(np.int64)
    for place in range(9, 0, -1):
        digits[:, place] = rest % 10 + ord("0")
        rest = rest // 10
    start = np.arange(numbers.size + 1, dtype=np.int64) * 10
    buffers = [None, pa.py_buffer(start), pa.py_buffer(digits)]
    return pa.Array.from_buffers(pa.large_string(), numbers.size, buffers)


def _parents(n_links: int, shape: str, rng: np.random.Generator) -> Numbers:
    """Say who brought whom; -1 for people nobody brought."""
    if shape == "star":
        return np.concatenate([[-1], np.zeros(n_links, np.int64)])
    if shape == "chain":
        return np.arange(n_links + 1) - 1
    n = round(n_links / SHARE_BROUGHT)
    is_root = np.zeros(n, bool)
    is_root[0] = True
    is_root[1 + rng.permutation(n - 1)[: n - n_links - 1]] = True
    earlier = (rng.random(n) * np.arange(n)).astype(np.int64)
    # Who copies goes to the one who brought that earlier person, who may have copied.
    copies = (rng.random(n) < SHARE_COPIED) & ~is_root
    source = np.where(copies, earlier, np.arange(n))
    while (source[source] != source).any():
        source = source[source]
    parent = np.where(is_root[source], source, earlier[source])
    parent[is_root] = -1
    return parent
