"""Simulate a shop whose truth is known: in memory, or to files of any size."""

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from selfloop.core.errors import FileError, Problem
from selfloop.core.settings import check_choice
from selfloop.inputs.shop import Shop
from selfloop.inputs.shop_tables import SCHEMAS, ShopRun
from selfloop.inputs.shop_truth import Truth

FileFormat = Literal["parquet", "csv"]

DEFAULT_SHOP = Shop()
"""The shop of `simulate` when none is given."""

DEFAULT_START = date(2024, 1, 1)
"""The first day of a simulation when none is given."""

SAMPLE_VISITORS = 2_000
"""Visitors from outside in ``data/sample``; those they brought come on top."""

SAMPLE_SEED = 7
"""Seed of ``data/sample``."""

# As text, money has two decimals, times end at the second and days have no time.
_CSV_TYPES = {
    "ordered_at": pa.timestamp("s"),
    "referred_at": pa.timestamp("s"),
    "visited_at": pa.timestamp("s"),
    "date": pa.date32(),
    "amount": pa.decimal128(18, 2),
    "spend": pa.decimal128(18, 2),
}


@dataclass(frozen=True, eq=False)
class Simulation:
    """Events of a simulated shop and the truth behind them.

    Parameters
    ----------
    orders : pandas.DataFrame
        ``customer_id, ordered_at, amount, channel``; the channel is the one through
        which the customer arrived. Each row is an order.
    referrals : pandas.DataFrame
        ``referrer_id, referee_id, referred_at``: everybody who came by invitation,
        buyer or not.
    visits : pandas.DataFrame
        ``visitor_id, visited_at, channel``; a person may visit several times.
    spend : pandas.DataFrame
        ``date, channel, spend``: cost of each paid channel on each day.
    truth : Truth
        Parameters, and what the measures should find.

    Examples
    --------
    >>> simulate(300, seed=7)
    Simulation(seed=7, n_visitors=300, n_people=501, n_buyers=187, n_orders=857)
    """

    orders: pd.DataFrame
    referrals: pd.DataFrame
    visits: pd.DataFrame
    spend: pd.DataFrame
    truth: Truth

    def __repr__(self) -> str:
        """Say how much was drawn."""
        truth = self.truth
        facts = {"seed": truth.seed, "n_visitors": truth.n_visitors}
        for name in ("n_people", "n_buyers", "n_orders"):
            facts[name] = truth.counts[name]
        return f"Simulation({', '.join(f'{k}={v}' for k, v in facts.items())})"


def simulate(
    n_visitors: int = 100_000,
    *,
    seed: int = 7,
    days: int = 720,
    start: date = DEFAULT_START,
    shop: Shop = DEFAULT_SHOP,
) -> Simulation:
    """Simulate a shop and return its events with the truth behind them.

    Visitors arrive from outside, uniformly over the period. Some buy, after a
    delay; buyers buy again until they leave, and invite others, who arrive, buy
    and invite in turn. What happens after the last day is not seen.

    Parameters
    ----------
    n_visitors : int
        Visitors from outside, 1 to 1e9; the invited come on top.
    seed : int
        Seed, at least 0. The same settings give the same rows.
    days : int
        Length of the period in days, 1 to 7300.
    start : datetime.date
        First day, 1970 to 2200; times are naive (UTC).
    shop : Shop
        Parameters of the shop (`selfloop.inputs.shop.Shop`).

    Returns
    -------
    Simulation
        ``orders``, ``referrals``, ``visits`` and ``spend`` (pandas), and ``truth``.
        Rows are in order of time within batches of about 250,000 people.

    Raises
    ------
    SettingError
        When a setting is outside its range, or the referrals would explode.

    Notes
    -----
    Repeat purchases follow BG/NBD [1]_: at rate lambda ~ Gamma(r) / alpha until the
    buyer leaves, with probability p ~ Beta(a, b) after each; order values follow
    Gamma-Gamma [2]_. The number of invitations of a buyer is Poisson with mean
    m theta, theta ~ Gamma(k) / k, each at a Gamma age of the buyer.

    References
    ----------
    .. [1] P. Fader, B. Hardie, K. L. Lee, "Counting your customers the easy way",
       Marketing Science 24 (2005), 275-284.
    .. [2] P. Fader, B. Hardie, "The Gamma-Gamma model of monetary value" (2013).

    Examples
    --------
    >>> shop = simulate(300, seed=7)
    >>> shop.orders.head(2)
      customer_id          ordered_at  amount channel
    0   c00000220 2024-01-08 13:30:37   36.08  search
    1   c00000203 2024-01-19 00:07:54   45.03     小程序
    >>> shop.truth.reproduction_total
    0.5
    """
    run = ShopRun(n_visitors, seed, days, start, shop)
    parts: dict[str, list[pa.Table]] = {"orders": [], "referrals": [], "visits": []}
    for tables in run.tables():
        for name, table in tables.items():
            parts[name].append(table)
    frames = {name: pa.concat_tables(x).to_pandas() for name, x in parts.items()}
    return Simulation(**frames, spend=run.spend().to_pandas(), truth=run.truth())


def sample_shop() -> Simulation:
    """Return the shop of ``data/sample`` and of ``selfloop demo``.

    Returns
    -------
    Simulation
        About 3,000 visitors, a third of them invited, over 720 days.

    Examples
    --------
    >>> sample_shop().truth.counts["n_people"]
    3031
    """
    return simulate(SAMPLE_VISITORS, seed=SAMPLE_SEED)


def simulate_files(
    folder: str | os.PathLike[str],
    *,
    n_visitors: int = 100_000,
    seed: int = 7,
    days: int = 720,
    start: date = DEFAULT_START,
    shop: Shop = DEFAULT_SHOP,
    format: FileFormat = "parquet",  # noqa: A002 - the name users know
    progress: Callable[[int, int], None] | None = None,
) -> Truth:
    """Simulate a shop of any size into files, in bounded memory.

    Writes ``orders``, ``referrals``, ``visits`` and ``spend`` with the suffix of
    the format, and ``truth.json``; the rows are those of `simulate`. The files
    appear under their names when all are complete.

    Parameters
    ----------
    folder : path
        Where to write; made if only its last part is missing.
    n_visitors, seed, days, start, shop
        See `simulate`.
    format : {"parquet", "csv"}
        Format of the four tables.
    progress : callable, optional
        Called as ``progress(n_done, n_visitors)`` after each batch.

    Returns
    -------
    Truth
        Parameters, and what the measures should find.

    Raises
    ------
    SettingError
        When a setting is outside its range, or the referrals would explode.
    FileError
        When the folder cannot be written to; older files stay as they were.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     truth = simulate_files(folder, n_visitors=300, seed=7, format="csv")
    ...     print(sorted(path.name for path in Path(folder).iterdir()))
    ['orders.csv', 'referrals.csv', 'spend.csv', 'truth.json', 'visits.csv']
    """
    check_choice("format", format, get_args(FileFormat))
    run = ShopRun(n_visitors, seed, days, start, shop)
    target = Path(folder).expanduser()
    try:
        target.mkdir(exist_ok=True)
        # A hidden folder inside: same disk, and gone again whatever happens.
        with tempfile.TemporaryDirectory(dir=target, prefix=".selfloop-") as workshop:
            truth = _write_all(run, Path(workshop), format, progress)
            for path in sorted(Path(workshop).iterdir()):
                os.replace(path, target / path.name)
    except OSError as error:
        raise FileError([_file_problem(error, target)]) from error
    return truth


def _write_all(
    run: ShopRun,
    folder: Path,
    file_format: FileFormat,
    progress: Callable[[int, int], None] | None,
) -> Truth:
    """Write the four tables and the truth into a folder."""
    with ExitStack() as stack:
        append = {
            name: stack.enter_context(_appender(folder, name, file_format, run.shop))
            for name in SCHEMAS
        }
        for tables in run.tables():
            for name, table in tables.items():
                append[name](table)
            if progress is not None:
                progress(run.n_visitors_done, run.n_visitors)
        append["spend"](run.spend())
    truth = run.truth()
    text = json.dumps(truth.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
    (folder / "truth.json").write_text(text + "\n", encoding="utf-8")
    return truth


@contextmanager
def _appender(
    folder: Path, name: str, file_format: FileFormat, shop: Shop
) -> Iterator[Callable[[pa.Table], None]]:
    """Open the file of a table and give a function that adds rows to it."""
    schema = SCHEMAS[name]
    with (folder / f"{name}.{file_format}").open("wb") as file:
        if file_format == "parquet":
            with pq.ParquetWriter(file, schema, compression="zstd") as writer:
                yield writer.write_table
            return
        as_text = pa.schema([(f.name, _CSV_TYPES.get(f.name, f.type)) for f in schema])
        # Without need, the writer would quote every text.
        is_plain = not any(set(channel) & set('",\r\n') for channel in shop.channels)
        options = csv.WriteOptions(
            include_header=False,
            batch_size=65_536,
            quoting_style="none" if is_plain else "needed",
        )
        file.write((",".join(schema.names) + "\n").encode())
        yield lambda table: csv.write_csv(table.cast(as_text), file, options)


def _file_problem(error: OSError, folder: Path) -> Problem:
    """Say why a folder cannot be written to and how to mend it."""
    code = {
        errno.ENOENT: "SL140",
        errno.ENOTDIR: "SL140",
        errno.EACCES: "SL141",
        errno.EPERM: "SL141",
        errno.EROFS: "SL141",
        errno.ENOSPC: "SL142",
        errno.EDQUOT: "SL142",
        errno.EFBIG: "SL142",
    }.get(error.errno or 0, "SL144")
    fix = {
        "SL140": f"make the folder {folder.parent} first, or choose another",
        "SL141": "choose a folder that you may write to",
        "SL142": "free some space, or choose another disk",
        "SL144": "choose another folder",
    }[code]
    reason = error.strerror or str(error)
    return Problem(code, "", f"cannot write to the folder {folder}: {reason}", fix)
