"""Write a file whole or not at all."""

import errno
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from selfloop.core.errors import FileError, Problem

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a place to write; the file appears under its name only when complete.

    The place is a hidden folder beside the target, so that the last step is one
    rename on one file system. Whatever goes wrong, an interruption included, the
    folder is removed and an older file of that name stays as it was.

    Parameters
    ----------
    path : path
        The file to make. Its folder must exist; a link is followed.

    Yields
    ------
    pathlib.Path
        Where to write it: same name, other folder.

    Raises
    ------
    FileError
        ``SL140`` no such folder, ``SL141`` no permission, ``SL142`` the disk is
        full, ``SL143`` the target is a folder, ``SL144`` anything else.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_file(f"{folder}/a.txt") as place:
    ...         n = place.write_text("done")
    ...     (Path(folder) / "a.txt").read_text()
    'done'
    """
    target = Path(path).expanduser()
    try:
        target = target.resolve()
        _check(target)
        workshop = target.parent / f".{secrets.token_hex(6)}.part"
        workshop.mkdir()
        try:
            yield workshop / target.name
            os.replace(workshop / target.name, target)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)
    except FileError:
        raise
    except OSError as error:
        raise FileError([_problem(error, target)]) from error
    except duckdb.IOException as error:
        # The engine says "No space left" in words, without a number.
        full = any(w in str(error) for w in ("No space left", "File too large"))
        cause = OSError(errno.ENOSPC if full else errno.EIO, str(error))
        raise FileError([_problem(cause, target)]) from error


def _check(target: Path) -> None:
    """Refuse a target that cannot become a file, before any work is done."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if target.exists() and not os.access(target, os.W_OK):
        # A rename would replace it all the same; its owner said not to.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _problem(error: OSError, target: Path) -> Problem:
    """Say what is wrong with a target and how to mend it."""
    code = error.errno
    if code in (errno.ENOENT, errno.ENOTDIR):
        return Problem(
            "SL140", "", f"{target} cannot be written: there is no folder "
            f"{target.parent}", "make the folder first, or choose another path",
            f"mkdir -p {shlex.quote(str(target.parent))}, or another -o",
        )  # fmt: skip
    if code in _DENIED:
        return Problem(
            "SL141", "", f"{target} cannot be written: permission denied",
            "choose a folder and a file that you may write to",
            "another -o",
        )  # fmt: skip
    if code in _FULL:
        return Problem(
            "SL142", "", f"{target} cannot be written: no space left. Nothing was "
            "left behind", "free some space, or choose another disk", "another -o",
        )  # fmt: skip
    if code == errno.EISDIR:
        return Problem(
            "SL143", "", f"{target} cannot be written: it is a folder",
            f"give a file name, such as {target / 'report.html'}",
            f"-o {shlex.quote(str(target / 'report.html'))}",
        )  # fmt: skip
    reason = error.strerror or str(error)
    return Problem(
        "SL144", "", f"{target} cannot be written: {reason}",
        "choose another path", "another -o",
    )  # fmt: skip
