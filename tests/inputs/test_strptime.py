"""Formats of dates as patterns, and the hash that is the same on every engine."""

import re
from datetime import datetime
from hashlib import md5

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfloop.inputs.dialect import id_hash
from selfloop.inputs.duckdb_engine import connect
from selfloop.inputs.strptime import ISO, pattern_of, unread

FORMATS = (
    "%Y-%m-%d", "%d/%m/%Y %H:%M", "%Y%m%d%H%M%S", "%d %b %Y", "%B %d, %Y", "%y.%m.%d",
    "%Y年%m月%d日%H时%M分%S秒", "%d-%m-%Y %I:%M %p", "%Y-%m-%d %H:%M:%S.%f",
)  # fmt: skip


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)),
       st.sampled_from(FORMATS))  # fmt: skip
def test_a_pattern_fits_what_its_format_writes(time, words):
    pattern = pattern_of(words)
    found = re.match(pattern.regex, time.strftime(words))
    assert found is not None
    values = {
        "Y": time.year, "y": time.year % 100, "m": time.month, "d": time.day,
        "H": time.hour, "M": time.minute, "S": time.second, "f": time.microsecond,
    }  # fmt: skip
    for part, group in pattern.group.items():
        if part in values:
            assert int(found[group]) == values[part]
    assert found.re.groups == pattern.n_groups


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("2026-01-05", True),
        ("2026-1-5T7:05", True),
        ("2026-01-05 10:30:00.1234567+0800", True),
        ("2026/01/05 10:30 UTC", True),
        ("2026/01-05", False),
        ("2026-01-05 10", False),
        ("2026-01-05 10:30+15:00", False),
        ("26-01-05", False),
    ],
)
def test_iso_notation(text, fits):
    assert any(re.match(p.regex, text) for p in ISO) == fits
    assert all(re.compile(p.regex).groups == p.n_groups for p in ISO)


def test_numbers_that_touch_have_all_their_digits():
    assert re.match(pattern_of("%Y%m%d").regex, "202635") is None
    assert re.match(pattern_of("%d%%%m%%%Y").regex, "5%3%2026")
    assert re.match(pattern_of("%-d.%-m.%Y").regex, "5.3.2026")
    assert re.match(pattern_of("%d.%m.%Y").regex, "5x3x2026") is None


def test_parts_that_cannot_be_read_are_named():
    assert unread("%Y-%m-%d %X") == []
    assert unread("%c and %j of %Y") == ["%c", "%j"]


def test_the_hash_of_an_id_is_that_of_md5():
    ids = ["", "007", "c00000001", "客户", "É", "a" * 100]
    table = connect().upload(pa.table({"person_id": ids}), "ids")
    found = table.select("person_id", n=id_hash(table.person_id)).to_pandas()
    expected = [int(md5(i.encode()).hexdigest()[:6], 16) for i in found["person_id"]]
    assert found["n"].tolist() == expected
