"""Ids of people as numbers 0 to n - 1, exactly, and back."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from selfloop.core.errors import DataError, Problem
from selfloop.inputs.typed import EDGES, LONGEST_MISSING, MISSING_WORDS

IntArray = npt.NDArray[np.int32]
Keys = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

MOST_WORDS = 4
"""Ids of up to so many times 8 bytes are told apart as numbers; longer ones as text."""

_CHUNK = 1 << 15
"""Ids packed at once; what is held for them stays in the cache."""

_PART = 1 << 18
"""Keys numbered at once, for the same reason."""

_EXACT = 1 << 53
"""Whole numbers up to this are exact as floats."""

_FIRST_BYTES = np.array([(1 << 8 * k) - 1 for k in range(9)], dtype=np.uint64)
_FIRST_BEYOND_ASCII = 127
_ODD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


@dataclass(frozen=True)
class People:
    """Everybody who is named in some columns.

    Parameters
    ----------
    texts : pyarrow.LargeStringArray
        Ids, tidy where they are used.
    place : ndarray of int64
        Where the id of each person is in `texts`.
    numbers : tuple of ndarray of int32
        For each column, the number of the person in each row; -1 where the id is
        missing.
    """

    texts: pa.LargeStringArray
    place: npt.NDArray[np.int64]
    numbers: tuple[IntArray, ...]

    def ids(self, people: npt.NDArray[Any] | None = None) -> pa.LargeStringArray:
        """Return the ids of some people, by default of everybody in order."""
        place = self.place if people is None else self.place[people]
        return self.texts.take(pa.array(place))


def id_texts(column: pa.ChunkedArray, table: str, name: str) -> pa.LargeStringArray:
    """Return ids as text, if they can be told from it.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Text, or numbers that are whole.
    table, name : str
        Of the column, for the message.

    Returns
    -------
    pyarrow.LargeStringArray
        As `selfloop.inputs.typed.as_id`, but not trimmed. Missing ids are empty.

    Raises
    ------
    DataError
        The numbers are not whole, too large to be exact, or no numbers (SL107).

    Examples
    --------
    >>> id_texts(pa.chunked_array([[17850.0, None]]), "referrals", "id").to_pylist()
    ['17850', '']
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_floating(kind):
        column = _whole(column, table, name)
    elif pa.types.is_decimal(kind):
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise DataError([_no_id(table, name, str(error))]) from error
    elif not (_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise DataError([_no_id(table, name, f"they are of type {kind}")])
    text = column.cast(pa.large_string()).combine_chunks()
    return text.fill_null("") if text.null_count else text


def _is_text(kind: pa.DataType) -> bool:
    """Tell whether a type is one of the three of text."""
    large, view = pa.types.is_large_string(kind), pa.types.is_string_view(kind)
    return bool(pa.types.is_string(kind) or large or view)


def _whole(column: pa.ChunkedArray, table: str, name: str) -> pa.ChunkedArray:
    """Turn floats into whole numbers, or say which are not."""
    numbers = column.cast(pa.float64()).to_numpy()
    known = ~np.isnan(numbers)
    wrong = known & ~((np.abs(numbers) <= _EXACT) & (np.floor(numbers) == numbers))
    if wrong.any():
        few = ", ".join(str(x) for x in numbers[wrong][:3])
        found = f"{int(wrong.sum()):,} numbers are no ids: {few}"
        raise DataError([_no_id(table, name, found)])
    whole = np.where(known, numbers, 0).astype(np.int64)
    return pa.chunked_array([pa.array(whole, mask=~known)])


def _no_id(table: str, name: str, found: str) -> Problem:
    """Say that a column holds no ids."""
    fix = f"read them as text, such as pandas.read_csv(..., dtype={{{name!r}: str}})"
    return Problem("SL107", table, f"the ids in {name!r} cannot be read: {found}", fix)


def number_people(columns: Sequence[pa.LargeStringArray]) -> People:
    """Give everybody who is named a number.

    Parameters
    ----------
    columns : sequence of pyarrow.LargeStringArray
        Results of `id_texts`.

    Returns
    -------
    People
        In no order that means anything.

    Notes
    -----
    Ids are trimmed, and words for missing are missing, as in `read_events`; ``007`` and
    ``7`` are two people. Up to 32 bytes an id is a few whole numbers, and what is
    looked up is a mix of these of 64 bits. Then every id is compared with the one whose
    number it got; should two share a mix, all are looked up as text.

    Examples
    --------
    >>> found = number_people([pa.array(["007", "7", " 7 ", ""], pa.large_string())])
    >>> found.ids(found.numbers[0][:3]).to_pylist()
    ['007', '7', '7']
    >>> int(found.numbers[0][3])
    -1
    """
    every = pa.concat_arrays(columns)
    numbers, place = _by_words(every) or _by_text(every)
    texts, numbers, place = _tidied(every, numbers, place)
    ends = np.cumsum([len(column) for column in columns])
    return People(texts, place, tuple(np.split(numbers, ends[:-1])))


def _by_text(every: pa.LargeStringArray) -> tuple[IntArray, Places]:
    """Look the ids up as text."""
    numbers = every.dictionary_encode().indices.to_numpy()
    return numbers, _somewhere(numbers)


def _by_words(every: pa.LargeStringArray) -> tuple[IntArray, Places] | None:
    """Look the ids up by their bytes as whole numbers; None where that cannot be."""
    start, text = _buffers(every)
    n_words = -(-int(np.diff(start).max(initial=1)) // 8)
    # Short ids are filled up with zeros, so there must be none in them.
    if n_words > MOST_WORDS or not text[start[0] : start[-1]].all():
        return None
    words, key = _pack(start, text, n_words)
    numbers, place = _number(key)
    # The first word follows from the mix and the others: it need not be compared.
    if any((word[place][numbers] != word).any() for word in words):
        return None
    return numbers, place


def _buffers(every: pa.LargeStringArray) -> tuple[Places, npt.NDArray[np.uint8]]:
    """Return where each text begins, and the text of all."""
    _, places, text = every.buffers()
    bound = slice(every.offset, every.offset + len(every) + 1)
    start = np.zeros(1, np.int64) if places is None else np.frombuffer(places, np.int64)
    return start[bound], np.frombuffer(text or b"", np.uint8)


def _pack(
    start: Places, text: npt.NDArray[np.uint8], n_words: int
) -> tuple[npt.NDArray[np.uint64], Keys]:
    """Return the words of every id but the first, and a mix of all."""
    n = start.size - 1
    words, key = np.empty((n_words - 1, n), np.uint64), np.empty(n, np.uint64)
    padded = np.concatenate([text, np.zeros(8 * n_words, np.uint8)])
    # The eight bytes from each place on, as one number.
    eight = np.ndarray((padded.size - 7,), np.uint64, padded, strides=(1,))

    def pack(low: int) -> None:
        """Fill in a part of the two."""
        places = start[low : low + _CHUNK + 1]
        part = slice(low, low + places.size - 1)
        length, mixed = np.diff(places), np.zeros(places.size - 1, np.uint64)
        for k in range(n_words):
            # A short id has no byte in this word: any place will do.
            word = eight[np.minimum(places[:-1] + 8 * k, eight.size - 1)]
            word &= _FIRST_BYTES[np.clip(length - 8 * k, 0, 8)]
            if k:
                words[k - 1, part] = word
            # Each step can be undone, so that short ids never share a mix.
            mixed ^= word
            mixed *= _ODD
            mixed ^= mixed >> _HALF
        key[part] = mixed

    with ThreadPoolExecutor() as pool:
        list(pool.map(pack, range(0, n, _CHUNK)))
    return words, key


def _number(key: Keys) -> tuple[IntArray, Places]:
    """Give distinct keys numbers; return these, and a place of each."""
    n_parts = min(256, 1 << (key.size // _PART).bit_length())
    part = (key >> np.uint64(56)).astype(np.uint8) & np.uint8(n_parts - 1)
    order = np.argsort(part, kind="stable")
    bounds = np.cumsum(np.bincount(part, minlength=n_parts))[:-1]
    parts = np.split(order, bounds)
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(lambda rows: pd.factorize(key[rows]), parts))
    numbers, n_known = np.empty(key.size, np.int32), 0
    for rows, (number, distinct) in zip(parts, found, strict=True):
        numbers[rows] = number + n_known
        n_known += distinct.size
    return numbers, _somewhere(numbers)


def _somewhere(numbers: IntArray) -> Places:
    """Return for each number a place where it stands."""
    place = np.empty(int(numbers.max(initial=-1)) + 1, np.int64)
    place[numbers] = np.arange(numbers.size)
    return place


def _tidied(
    every: pa.LargeStringArray, numbers: IntArray, place: Places
) -> tuple[pa.LargeStringArray, IntArray, Places]:
    """Trim the ids; those that become one get one number, and missing ones -1."""
    start, text = _buffers(every)
    first, last = start[place], start[place + 1] - 1
    # Ends in ASCII and no blank: nothing to trim. Longer than any word for missing.
    is_plain = last - first >= LONGEST_MISSING
    for places in (first, last):
        end = text[np.clip(places, 0, text.size - 1)] if text.size else places
        is_plain &= (end > ord(" ")) & (end < _FIRST_BEYOND_ASCII)
    doubtful = pa.array(~is_plain)
    before = every.take(pa.array(place[~is_plain]))
    after = pc.replace_substring_regex(before, EDGES, "")
    is_missing = pc.or_(
        pc.match_substring_regex(after, MISSING_WORDS), pc.equal(after, "")
    )
    if before.equals(after) and not pc.any(is_missing).as_py():
        return every, numbers, place
    after = pc.if_else(is_missing, pa.scalar(None, pa.large_string()), after)
    ids = every.take(pa.array(place))
    merged = pc.replace_with_mask(ids, doubtful, after).dictionary_encode()
    again = merged.indices.fill_null(-1).to_numpy()
    return merged.dictionary, again[numbers], np.arange(len(merged.dictionary))
