"""One sentence that a report says."""

from typing import NamedTuple


class Sentence(NamedTuple):
    """One sentence of the catalogue and what goes into its places.

    Parameters
    ----------
    key : str
        Key of `selfloop.outputs.text.TEXTS`.
    values : dict of str to str
        Formatted numbers, the same in every language.
    """

    key: str
    values: dict[str, str]
