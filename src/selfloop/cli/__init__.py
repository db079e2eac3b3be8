"""The command line: `selfloop COMMAND ...`.

Results go to standard output, everything else to standard error. Exit codes: 0 good
(also when the reader of a pipe stops early), 1 a check failed, 2 wrong usage or data
that cannot be used, 3 a file cannot be read or written, 130 interrupted.

Modules that the help needs import nothing heavy; the work is in `tables`, `pages`,
`checks` and `shops`, which are imported when a command runs.
"""

from selfloop.cli.app import main

__all__ = ["main"]
