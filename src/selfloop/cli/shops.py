"""Commands on simulated shops: draw one, and the main job on the sample."""

from contextlib import ExitStack, suppress
from pathlib import Path

from selfloop.cli.manner import Manner, put, visible
from selfloop.cli.pages import headline, report_target, wrote
from selfloop.cli.texts import sentence
from selfloop.cli.work import working
from selfloop.inputs.events import read_events
from selfloop.inputs.simulate import FileFormat, sample_shop, simulate_files
from selfloop.measures.analyze import analyze
from selfloop.outputs.report import write_report

_DEMO_FOLDER = Path("out")


def simulate(
    manner: Manner,
    *,
    folder: str,
    visitors: int,
    seed: int,
    days: int,
    file_format: FileFormat,
) -> None:
    """Draw a shop whose truth is known into a folder.

    Parameters
    ----------
    manner : Manner
        How the command speaks.
    folder : str
        Where the files go.
    visitors, seed, days, file_format
        See `selfloop.simulate_files`.
    """
    place = Path(folder)
    with working(manner) as say, ExitStack() as stack:
        if not place.exists():
            # An interrupted run leaves no folder behind that was not there.
            stack.callback(_remove_if_empty, place)
        truth = simulate_files(
            place, n_visitors=visitors, seed=seed, days=days, format=file_format,
            progress=lambda done, n: say(f"drawing visitors: {done:,} of {n:,}"),
        )  # fmt: skip
        stack.pop_all()
    names = [f"{t}.{file_format}" for t in ("orders", "referrals", "visits", "spend")]
    files = [place / name for name in [*names, "truth.json"]]
    put(visible("".join(f"{path}\n" for path in files)))
    drawn = sentence(
        "drawn", manner.voice,
        people=truth.counts["n_people"], buyers=truth.counts["n_buyers"],
        orders=truth.counts["n_orders"], r=f"{truth.reproduction_total:g}",
    )  # fmt: skip
    manner.tell(drawn)
    command = (
        f"selfloop report {files[0]} {files[1]} {files[2]} --spend {files[3]} "
        "-o report.html"
    )
    manner.tell(sentence("next", manner.voice, command=command))


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder that holds nothing."""
    with suppress(OSError):
        folder.rmdir()


def demo(manner: Manner, *, out: str) -> None:
    """Do the main job on the sample shop and say where the report is.

    Parameters
    ----------
    manner : Manner
        How the command speaks.
    out : str
        The report.
    """
    if Path(out).parent == _DEMO_FOLDER:
        _DEMO_FOLDER.mkdir(exist_ok=True)
    path = report_target(out)
    with working(manner) as say:
        say("drawing the sample shop")
        shop = sample_shop()
        events = read_events(
            shop.orders, shop.referrals, visits=shop.visits, spend=shop.spend,
            progress=say,
        )  # fmt: skip
        analysis = analyze(events, progress=say)
        say("writing the report")
        written = write_report(
            analysis, path, lang=manner.lang or "both", title="Sample shop 示例店铺"
        )
    manner.tell(wrote(written, manner))
    command = "selfloop report ORDERS.csv REFERRALS.csv -o report.html"
    manner.tell(sentence("next", manner.voice, command=command))
    put(f"{visible(str(path))}\n{headline(written.numbers, manner.voice)}\n")
