"""Errors and warnings that say what was found, what is allowed and how to fix it."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, with everything needed to mend it.

    Parameters
    ----------
    code : str
        Stable code such as ``SL111``; the list is in ``docs/errors.md``.
    table : str
        The table it was found in (``"orders"``), or ``""`` when none.
    found : str
        What was found, with counts.
    fix : str
        How to mend it in Python.
    fix_cli : str, optional
        How to mend it on the command line; ``fix`` when empty.
    examples : tuple of str, optional
        The first offending values, with their row where it is known.
    n_rows : int, optional
        Rows concerned; 0 when the problem is not one of rows.

    Examples
    --------
    >>> print(Problem("SL103", "orders", "the table has no rows", "check the file"))
    SL103  orders: the table has no rows
        fix: check the file
    """

    code: str
    table: str
    found: str
    fix: str
    fix_cli: str = ""
    examples: tuple[str, ...] = field(default=())
    n_rows: int = 0

    def __str__(self) -> str:
        """Show the problem on up to four indented lines."""
        where = f"{self.table}: " if self.table else ""
        lines = [f"{self.code}  {where}{self.found}"]
        if self.examples:
            lines.append("    first: " + " · ".join(self.examples))
        lines.append(f"    fix: {self.fix}")
        if self.fix_cli:
            lines.append(f"    command line: {self.fix_cli}")
        return "\n".join(lines)


class SelfloopError(Exception):
    """Base of every error that selfloop raises on purpose.

    Parameters
    ----------
    message : str
        What went wrong and how to fix it.
    """

    code = "SL000"


class _ProblemsError(SelfloopError):
    """An error made of one or more `Problem`s."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        # The same arguments reach Exception, so that the error pickles.
        super().__init__(tuple(problems))
        self.problems = tuple(problems)
        self.code = self.problems[0].code if self.problems else "SL000"

    def __str__(self) -> str:
        """List every problem, the first one first."""
        n = len(self.problems)
        head = "1 problem" if n == 1 else f"{n} problems"
        return head + "\n" + "\n".join(str(p) for p in self.problems)


class DataError(_ProblemsError, ValueError):
    """The data cannot be used as they are; lists every problem found.

    Parameters
    ----------
    problems : sequence of Problem
        All problems, not just the first.
    """


class FileError(_ProblemsError, OSError):
    """A file cannot be read or written.

    Parameters
    ----------
    problems : sequence of Problem
        All problems, not just the first.
    """

    def __str__(self) -> str:
        """List every problem, the first one first."""
        return _ProblemsError.__str__(self)


class SettingError(SelfloopError, ValueError):
    """A parameter has a value outside its range.

    Parameters
    ----------
    message : str
        The parameter, its range and the value that was given.
    """

    code = "SL130"


class FitError(SelfloopError, RuntimeError):
    """A model cannot be fitted to these data; the message says why.

    Parameters
    ----------
    message : str
        The reason, with the counts behind it.
    """

    code = "SL310"


class MissingTableError(SelfloopError, ValueError):
    """A measure needs a table that was not given.

    Parameters
    ----------
    message : str
        Which measure needs which table, and what still works.
    """

    code = "SL301"


class DataWarning(UserWarning):
    """Something about the data that a reader of the numbers should know."""


class FitWarning(UserWarning):
    """Something about a fit that a reader of the numbers should know."""
