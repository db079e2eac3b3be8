"""Reading JSON files of our own form, with one clear error when they are not."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selfloop.core.errors import DataError, FileError, Problem


def read_json(
    path: str | os.PathLike[str],
    *,
    schema: str,
    wrong: Callable[[Path, str], DataError],
) -> dict[str, Any]:
    """Read a file that names its own form.

    Parameters
    ----------
    path : path
        The file.
    schema : str
        What its key ``schema`` must be.
    wrong : callable
        Makes the error of a file that is something else, from the file and a reason.

    Returns
    -------
    dict
        Its content. Numbers that are not finite are refused.

    Raises
    ------
    FileError
        When there is no such file, or it cannot be read (SL105).
    DataError
        When it is no text, no JSON, or of another form.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        found = f"{file.name!r} cannot be read: {error.strerror}"
        raise FileError([Problem("SL105", "", found, "check the path")]) from error
    except UnicodeDecodeError as error:
        raise wrong(file, "it is no text in UTF-8") from error
    try:
        content = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise wrong(file, f"it is no JSON: {error}") from error
    kind = content.get("schema") if isinstance(content, dict) else None
    if kind != schema:
        raise wrong(file, f"its schema is {kind!r}, not {schema!r}")
    assert isinstance(content, dict)
    return content


def _finite(text: str) -> float:
    """Read a number; infinity and none at all are not what selfloop writes."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number")
    return number
