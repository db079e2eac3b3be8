"""The group of commands: which are there, how errors are said, which code comes out."""

import difflib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Self

import click
from click.shell_completion import shell_complete

from selfloop import __version__
from selfloop.cli.commands import COMMANDS
from selfloop.cli.manner import complain, complain_usage, discard_output, say
from selfloop.core.errors import DataWarning, FileError, FitWarning, SelfloopError

NAME = "selfloop"
COMPLETION = "_SELFLOOP_COMPLETE"
GOOD, BAD_INPUT, BAD_FILE = 0, 2, 3

_HELP = """\b
Example: selfloop report orders.csv referrals.csv -o report.html

Does this business feed itself? Traffic, conversion, repurchase, referral, lifetime
value and social value from plain tables of orders and referrals (CSV, TSV, gz,
Parquet, JSON lines; Chinese column names and GB18030 too).
"""

_EPILOG = """\b
Every option can be an environment variable: --tz is SELFLOOP_TZ.
Exit codes: 0 good, 1 a check failed, 2 wrong usage or unusable data,
3 a file cannot be read or written, 130 interrupted.
"""


class App(click.Group):
    """All commands, with the errors and exit codes of `selfloop`."""

    def main(
        self,
        args: Sequence[str] | None = None,
        *_: Any,  # noqa: ANN401 - the name of the program is always the same
        **extra: Any,  # noqa: ANN401 - as click has it
    ) -> NoReturn:
        """Run one command line and leave with its exit code."""
        instruction = os.environ.get(COMPLETION)
        if instruction:
            sys.exit(shell_complete(self, {}, NAME, COMPLETION, instruction))
        extra = {k: v for k, v in extra.items() if k == "obj"}
        code = GOOD
        with _Stop() as stop, _warnings_in_words():
            code = self._code(sys.argv[1:] if args is None else list(args), extra)
        if stop.number:
            say("interrupted")
            code = 128 + stop.number
        sys.exit(code)

    def _code(self, args: list[str], extra: dict[str, Any]) -> int:
        """Run one command line; say what goes wrong; return the exit code."""
        try:
            with self.make_context(NAME, args, **extra) as context:
                self.invoke(context)
        except click.exceptions.Exit as end:
            return end.exit_code
        except click.ClickException as error:
            complain_usage(error)
            return BAD_INPUT
        except FileError as error:
            complain(error)
            return BAD_FILE
        except SelfloopError as error:
            complain(error)
            return BAD_INPUT
        except BrokenPipeError:
            # Whoever reads has seen enough.
            discard_output()
        except OSError as error:
            discard_output()
            say(f"error: {error.filename or 'output'}: {error.strerror or error}")
            return BAD_FILE
        return GOOD

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands, the most used first."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which was meant."""
        name = args[0]
        is_known = self.get_command(ctx, name) is not None
        if is_known or ctx.resilient_parsing or name.startswith("-"):
            return super().resolve_command(ctx, args)
        near = difflib.get_close_matches(name, list(self.commands), n=1, cutoff=0.5)
        if near:
            hint = f"; did you mean {near[0]!r}?"
        elif Path(name).exists():
            hint = f"; did you mean: selfloop report {name}"
        else:
            hint = f" (of {', '.join(self.commands)})"
        raise click.UsageError(f"there is no command {name!r}{hint}", ctx)


class _Stop:
    """Note signals that ask the command to stop, whatever becomes of the exception.

    A library may wrap the exception in one of its own: what comes out of the block
    after a signal is not an error.
    """

    def __init__(self) -> None:
        self.number = 0
        self._error: object = None
        self._kept: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            usual = {
                signal.SIGINT: signal.default_int_handler,
                signal.SIGTERM: signal.SIG_DFL,
            }
            # A caller that ignores a signal, such as nohup, means it.
            self._kept = {
                number: signal.signal(number, self._note)
                for number, handler in usual.items()
                if signal.getsignal(number) is handler
            }
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        for number, handler in self._kept.items():
            signal.signal(number, handler)
        # Kept alive with all that its frames hold: closing the engine would wait for
        # the query that was interrupted.
        self._error = error
        return bool(self.number)

    def _note(self, number: int, _: FrameType | None) -> NoReturn:
        """Remember the signal and raise what Ctrl-C raises."""
        self.number = number
        raise KeyboardInterrupt


@contextmanager
def _warnings_in_words() -> Iterator[None]:
    """Show warnings of selfloop as lines of text, after the work."""
    lines: dict[str, None] = {}
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            *where: Any,  # noqa: ANN401 - passed on
        ) -> None:
            """Keep a warning of ours; leave any other to Python."""
            if issubclass(category, (DataWarning, FitWarning)):
                lines[f"warning: {message}"] = None
            else:
                usual(message, category, *where)

        for category in (DataWarning, FitWarning):
            warnings.simplefilter("always", category)
        warnings.showwarning = show  # type: ignore[assignment]
        try:
            yield
        finally:
            for line in lines:
                say(line)


@click.group(
    cls=App,
    invoke_without_command=True,
    help=_HELP,
    epilog=_EPILOG,
    context_settings={
        "auto_envvar_prefix": "SELFLOOP",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.version_option(
    __version__,
    "--version",
    prog_name=NAME,
    message="%(prog)s %(version)s",
    allow_from_autoenv=False,
)
@click.pass_context
def app(ctx: click.Context) -> None:
    """Show the help when no command is named."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(BAD_INPUT)


for _command in COMMANDS:
    app.add_command(_command)


def main() -> NoReturn:
    """Run the command line of this process.

    Raises
    ------
    SystemExit
        Always, with the exit code.
    """
    try:
        app.main()
    except SystemExit as end:
        if isinstance(end.code, int) and end.code > 128:
            # A query may still run in a thread of the engine; nobody waits for it.
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(end.code)
        raise
