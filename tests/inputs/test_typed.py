import re
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfloop.core.errors import SettingError
from selfloop.inputs import opening, typed
from selfloop.inputs.duckdb_engine import connect

SHANGHAI = "Asia/Shanghai"


@cache
def engine():
    return connect()


def apply(function, values, kind=None):
    """Apply a function of a column to all values at once."""
    kind = kind or pa.string()
    table = pa.table({"i": range(len(values)), "v": pa.array(values, kind)})
    column = engine().upload(table, "values")
    found = column.select("i", r=function(column.v)).order_by("i")
    return found.to_pyarrow()["r"].to_pylist()


def money(values, kind=None):
    return apply(typed.as_money, values, kind)


def times(values, kind=None, *, zone="UTC", date_format=None, day_first=None):
    def read(column):
        return typed.as_time(
            column, zone=zone, date_format=date_format, day_first=day_first
        )

    return apply(read, values, kind)


# Text and ids

BLANKS = [
    "",
    " ",
    "\t",
    "\u3000",
    "\u00a0",
    "\ufeff",
    "\u200b",
    " \t\r\n\v\f ",
    "\u2003",
]
MISSING = ["nan", "NaN", "NULL", "null", "nUlL", "None", "<NA>", "NaT", "N/A", "#N/A"]


def test_blanks_and_words_for_missing_are_missing():
    values = BLANKS + MISSING + [f" {word}\u3000" for word in MISSING] + [None]
    assert apply(typed.as_text, values) == [None] * len(values)


def test_text_is_trimmed_and_otherwise_left_alone():
    values = [
        "a",
        " a\u00a0",
        "\ufeffa\t",
        "张\u3000三",
        "na",
        "NA",
        "none of it",
        "nan1",
    ]
    expected = ["a", "a", "a", "张\u3000三", "na", "NA", "none of it", "nan1"]
    assert apply(typed.as_text, values) == expected


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=6),
            st.builds(
                "".join,
                st.lists(st.sampled_from([*BLANKS, *MISSING, "a", "é"]), max_size=3),
            ),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_untidy_is_what_tidying_would_change(values):
    """A table that is taken as it is must read the same as one that is tidied."""
    values = [v for v in values if "\0" not in v]
    tidied = apply(typed.as_text, values)
    untidy = apply(typed.is_untidy, values)
    assert untidy == [new != old for new, old in zip(tidied, values, strict=True)]


def test_ids_are_text():
    assert apply(typed.as_id, ["007", " 7 ", "x" * 10_000, "😀", "'; --", "a\nb"]) == [
        "007", "7", "x" * 10_000, "😀", "'; --", "a\nb"
    ]  # fmt: skip
    assert apply(typed.as_id, [7, -7, 2**62], pa.int64()) == ["7", "-7", str(2**62)]
    assert apply(typed.as_id, [2**64 - 1], pa.uint64()) == [str(2**64 - 1)]


def test_ids_that_were_made_floats_lose_their_point():
    values = [17850.0, 1.5, float("nan"), None, -0.0, 1e15]
    expected = ["17850", "1.5", None, None, "0", "1000000000000000"]
    assert apply(typed.as_id, values, pa.float64()) == expected
    assert apply(typed.as_id, [17850.0], pa.float32()) == ["17850"]


def test_ids_that_were_made_decimals_lose_their_zeros():
    values = [Decimal("17850.00"), Decimal("1.50"), None]
    found = apply(typed.as_id, values, pa.decimal128(20, 2))
    assert found == ["17850", "1.50", None]


def test_ids_of_other_types_are_their_text():
    assert apply(typed.as_id, [date(2026, 1, 1)], pa.date32()) == ["2026-01-01"]
    assert apply(typed.as_id, [True], pa.bool_()) == ["true"]
    assert apply(typed.as_id, [[1, 2]], pa.list_(pa.int64())) == ["[1, 2]"]
    coded = pa.array(["x", None, "x"]).dictionary_encode()
    assert apply(typed.as_id, coded, coded.type) == ["x", None, "x"]


# Money

READABLE = {
    "1": "1", "1.5": "1.5", "-1.5": "-1.5", "+5": "5", ".5": "0.5", "5.": "5",
    "00012": "12", " 7 ": "7", "1e3": "1000", "1E-2": "0.01",
    "1,234.50": "1234.5", "-1,234.5": "-1234.5", "1,234,567.89": "1234567.89",
    "1,234": "1234", "1 234.5": "1234.5", "$5": "5", "-$5": "-5", "$-5": "-5",
    "¥1,234": "1234", "￥ 5": "5", "€ 5": "5", "5€": "5", "5 €": "5", "£0.99": "0.99",
    "12.50元": "12.5", "5 元": "5", "\u00a05\u00a0": "5",
    "99999999999999.9999": "99999999999999.9999",
}  # fmt: skip

UNREADABLE = [
    "12,50", "0,5", "1,23", "1.234,50", "1.234.567,89", "1 234,50", "1,2345",
    "12,345,6",
    "1,000,", ",5", "1.2.3", "1'234.50", "$5 $10", "1$2", "5 10", "1\n2", "$5€", "R$5",
    "5 USD", "CNY 5", "(5)", "5-", "--5", "+-5", "-", "$", "1e", "1e5.5", "1e400",
    "1e14",
    "100000000000000", "5%", "1/2", "0x10", "true", "twelve", "１２", "٣", "−5",
    "2026-01-01",
    "12,5O", "五元", "", "n/a", "None", "inf", "-Infinity", "nan",
]  # fmt: skip


def test_amounts_that_can_be_read():
    found = money(list(READABLE))
    assert dict(zip(READABLE, found, strict=True)) == {
        text: Decimal(value) for text, value in READABLE.items()
    }


def test_amounts_that_cannot_be_read_are_missing_never_a_guess():
    found = money(UNREADABLE)
    assert {t: m for t, m in zip(UNREADABLE, found, strict=True) if m is not None} == {}


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([2.675, 0.1, -1e13], pa.float64(), ["2.675", "0.1", "-10000000000000"]),
        ([2.55], pa.float32(), ["2.55"]),
        ([float("nan"), float("inf"), -float("inf"), None], pa.float64(), [None] * 4),
        ([1e14, 1e300], pa.float64(), [None, None]),
        ([5, -5, 10**14], pa.int64(), ["5", "-5", None]),
        ([Decimal("1.25"), Decimal("1e20")], pa.decimal128(38, 2), ["1.25", None]),
        ([True], pa.bool_(), [None]),
        ([date(2026, 1, 1)], pa.date32(), [None]),
        ([datetime(2026, 1, 1)], pa.timestamp("us"), [None]),
        ([timedelta(days=1)], pa.duration("s"), [None]),
        ([[1]], pa.list_(pa.int64()), [None]),
        ([b"5"], pa.binary(), [None]),
    ],
)
def test_amounts_of_other_types(values, kind, expected):
    assert money(values, kind) == [None if e is None else Decimal(e) for e in expected]


def test_infinite_amounts_are_told_from_unreadable_ones():
    words = ["inf", "-Infinity", "+INF", " infinity ", "info", "5", None]
    expected = [True, True, True, True, False, False, False]
    assert apply(typed.is_infinite, words) == expected
    floats = [float("inf"), -float("inf"), float("nan"), 1.0, None]
    expected = [True, True, False, False, False]
    assert apply(typed.is_infinite, floats, pa.float64()) == expected
    assert apply(typed.is_infinite, [1, None], pa.int64()) == [False, False]


plain = st.decimals(-(10**12), 10**12, places=4, allow_nan=False)


@settings(max_examples=20, deadline=None)
@given(st.lists(plain, min_size=1, max_size=40), st.integers(0, 4))
def test_amounts_written_by_a_program_come_back_exactly(values, places):
    values = [round(v, places) for v in values]
    written = {
        "plain": [f"{v:f}" for v in values],
        "grouped": [f"{v:,f}" for v in values],
        "sign": [f"${v:,f}" for v in values],
        "unit": [f"{v:f} 元" for v in values],
    }
    for how, texts in written.items():
        assert money(texts) == values, how


def oracle(text):
    """Read an amount of the allowed forms, written without the engine."""
    text = text.strip()
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,2})?", text, re.IGNORECASE):
        return Decimal(text)
    match = re.fullmatch(
        r"([+-]?) ?[¥￥$€£]? ?([+-]?)([\d, ]+\.?\d*) ?[¥￥$€£元]?", text
    )
    if not match or (match[1] and match[2]):
        return None
    whole = match[3].strip()
    if not re.fullmatch(
        r"\d+\.?\d*|\d{1,3}(,\d{3})+\.?\d*|\d{1,3}( \d{3})+\.?\d*", whole
    ):
        return None
    return Decimal(match[1] + match[2] + re.sub("[ ,]", "", whole))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("0123456789.,-+ $¥元e", max_size=9), min_size=1, max_size=200))
def test_no_text_is_read_as_another_number(texts):
    for text, found in zip(texts, money(texts), strict=True):
        if found is not None:
            expected = oracle(text)
            assert expected is not None, text
            rounded = expected.quantize(Decimal("0.0001"), ROUND_HALF_UP)
            assert found == rounded, text


def test_quantity_times_price_keeps_small_prices():
    table = pa.table(
        {
            "q": pa.array([10_000.0, 3.0, -2.0, 1e12, None, 1e9, 1e4]),
            "p": pa.array([0.00125, 2.55, 1.005, 1e12, 1.0, 1e9, 1e9]),
        }
    )
    rows = engine().upload(table, "factors")
    found = (
        rows.select(r=typed.as_product(rows.q, rows.p)).to_pyarrow()["r"].to_pylist()
    )
    # 10,000 x 0.00125 = 12.5: with four decimals of the price it would be 13.
    expected = [Decimal("12.5"), Decimal("7.65"), Decimal("-2.01"), None, None, None]
    expected.append(Decimal(10) ** 13)
    assert found == expected


def test_comma_decimals_and_point_thousands():
    texts = [
        "12,50",
        "1,5",
        "1.234,50",
        "5,00 €",
        "1,234",
        "1,234.5",
        "12,5O",
        "1.5",
        "",
    ]
    expected = [True, True, True, True, False, False, False, False, None]
    assert apply(typed.has_comma_decimals, texts) == expected
    texts = ["1.234", "12.345.678", "1.234 €", "0.125", "1.5", "1234.567", "1,234"]
    expected = [True, True, True, False, False, False, False]
    assert apply(typed.has_point_thousands, texts) == expected


def test_currency_signs():
    texts = ["$5", "5€", "￥5", "5元", "5", None]
    assert apply(typed.currency_sign, texts) == ["$", "€", "¥", "¥", None, None]


# Times

DAY = datetime(2026, 1, 2)
CLOCK = datetime(2026, 1, 2, 10, 30)
SECOND = datetime(2026, 1, 2, 10, 30, 5)
NAIVE = {
    "2026-01-02": DAY, "2026/1/2": DAY, "2026-1-2": DAY, "2026.1.2": DAY,
    "20260102": DAY, "20260102103005": SECOND, "2026年1月2日": DAY,
    "2026年01月02日 10:30": CLOCK, "2026年1月2日10时30分5秒": SECOND,
    "2026-01-02 10:30": CLOCK, "2026-01-02T10:30": CLOCK, "2026/1/2 10:30": CLOCK,
    "2026-01-02 10:30:05": SECOND, "2026-01-02T10:30:05": SECOND,
    "2026-01-02 10:30:05.250": SECOND.replace(microsecond=250_000),
    "2026-01-02 10:30:05.123456789": SECOND.replace(microsecond=123_456),
    "2026.01.02 10:30:05": SECOND, "Jan 2, 2026": DAY, "2 Jan 2026": DAY,
    "02-Jan-2026": DAY, " 2026-01-02\t": DAY, "\ufeff2026-01-02": DAY,
    "1861-10-30": datetime(1861, 10, 30), "2024-02-29": datetime(2024, 2, 29),
}  # fmt: skip

# All are 10:30:05 in Shanghai, where it is eight hours later than in UTC.
AWARE = {
    "2026-01-02 02:30:05Z", "2026-01-02T02:30:05Z", "2026-01-02T02:30:05z",
    "2026-01-02 02:30:05 UTC", "2026-01-02 02:30:05 GMT", "2026-01-02 02:30:05+00",
    "2026-01-02 10:30:05 +0800", "2026-01-02 10:30:05+08", "2026-01-02T10:30:05+08:00",
    "2026/1/2 10:30:05 +08:00", "2026-01-01 23:00:05-03:30",
    "2026-01-01 23:00:05 -0330",
    "2026-01-02 16:30:05 +14",
}  # fmt: skip

NO_TIMES = [
    "2026-02-30", "2026-13-01", "2025-02-29", "0000-00-00", "2026-01-02 25:00",
    "20260230",
    "2026-01-02 10:30:60", "9999-12-31", "1600-01-01", "99991231", "290309-12-22",
    # digits that are no date, most of all Unix times
    "0", "-1", "45000", "46023.5", "2026", "202601", "2026012", "202601023",
    "1767225600",
    "1712121212", "1712121212000", "171212121212", "1767225600123456", "20260102.0",
    # words that the engine knows
    "epoch", "infinity", "-infinity", "now", "today", "tomorrow", "never",
    # half a time
    "10:30", "2026-01", "2026-01-02 10", "2026-01-02T", "20260102 10:30",
    "13:00 2026-01-02",
    # zones that are no offset
    "2026-01-02 10:30:00 CST", "2026-01-02 10:30:00 Asia/Shanghai",
    "2026-01-02 10:30:00+15:99", "2026-01-02 10:30:00+25", "2026-01-02 10:30:00 (UTC)",
    "2026-01-02 BC", "0044-03-15 (BC)", "２０２６-01-02", "+2026-01-02",
    "2026-01-02 10:30 PM", "01/02/26", "2026-01-02; DROP TABLE", "", "NaT",
]  # fmt: skip


def test_times_without_a_zone():
    assert dict(zip(NAIVE, times(list(NAIVE)), strict=True)) == NAIVE


def test_times_without_a_zone_are_taken_in_the_zone_of_the_analysis():
    assert times(list(NAIVE), zone=SHANGHAI) == list(NAIVE.values())


def test_times_with_a_zone_are_converted():
    values = sorted(AWARE)
    assert times(values, zone=SHANGHAI) == [SECOND] * len(values)
    in_utc = SECOND - timedelta(hours=8)
    assert times(values, zone="UTC") == [in_utc] * len(values)
    assert times(["2026-01-02 02:30Z", "2026-01-02T10:30 +08"], zone=SHANGHAI) == [
        CLOCK,
        CLOCK,
    ]


def test_summer_time_is_the_zones():
    moments = ["2026-01-15 12:00:00Z", "2026-07-15 12:00:00Z"]
    expected = [datetime(2026, 1, 15, 7), datetime(2026, 7, 15, 8)]
    assert times(moments, zone="America/New_York") == expected


def test_what_is_no_time_is_missing():
    found = times(NO_TIMES)
    wrong = {t: m for t, m in zip(NO_TIMES, found, strict=True) if m is not None}
    assert wrong == {}


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([20260102, 20261301, 1767225600, 0, None], pa.int64(), [DAY] + [None] * 4),
        ([1712121212000], pa.int64(), [None]),
        ([20260102.0, float("nan")], pa.float64(), [DAY, None]),
        ([date(2026, 1, 2), None], pa.date32(), [DAY, None]),
        ([SECOND], pa.timestamp("s"), [SECOND]),
        ([SECOND], pa.timestamp("ns"), [SECOND]),
        (
            [datetime(2500, 1, 1), datetime(1500, 1, 1)],
            pa.timestamp("us"),
            [None, None],
        ),
        ([True], pa.bool_(), [None]),
        ([Decimal(1)], pa.decimal128(9, 0), [None]),
        ([[1]], pa.list_(pa.int64()), [None]),
    ],
)
def test_times_of_other_types(values, kind, expected):
    assert times(values, kind) == expected


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("stored", ["UTC", "America/New_York", "+05:30"])
def test_typed_moments_are_converted_wherever_they_were_stored(unit, stored):
    moment = SECOND.replace(tzinfo=ZoneInfo(SHANGHAI)).astimezone(UTC)
    assert times([moment], pa.timestamp(unit, stored), zone=SHANGHAI) == [SECOND]


def test_day_and_month():
    values = ["13/01/2026", "1/2/2026", "1.2.2026 10:30", "1-2-2026 3:04 PM"]
    assert times(values) == [None] * 4
    assert times(values, day_first=True) == [
        datetime(2026, 1, 13), datetime(2026, 2, 1), datetime(2026, 2, 1, 10, 30),
        datetime(2026, 2, 1, 15, 4),
    ]  # fmt: skip
    assert times(values, day_first=False) == [
        None, DAY, datetime(2026, 1, 2, 10, 30), datetime(2026, 1, 2, 15, 4),
    ]  # fmt: skip


def test_a_date_format_is_the_only_one():
    found = times(["2026-13-01", "2026-01-13"], date_format="%Y-%d-%m")
    assert found == [datetime(2026, 1, 13), None]


def test_a_date_format_without_a_clock_reads_clocks_too():
    found = times(["1/2/2026", "1/2/2026 10:30:05"], date_format="%d/%m/%Y")
    assert found == [datetime(2026, 2, 1), datetime(2026, 2, 1, 10, 30, 5)]


def test_a_date_format_with_an_offset():
    values = ["02.01.2026 10:30:05 +0800", "02.01.2026 02:30:05 +00:00"]
    found = times(values, date_format="%d.%m.%Y %H:%M:%S %z", zone=SHANGHAI)
    assert found == [SECOND, SECOND]


@pytest.mark.parametrize(
    ("date_format", "why"),
    [
        ("", "no year"),
        ("hello", "no year and no month and no day"),
        ("%H:%M", "no year"),
        ("%d/%m", "no year"),
        ("%Y-%m", "no day"),
        ("%Y-%m-%d %Q", "format specifier"),
        ("%Y-%m-%d %Z", "not by its name"),
    ],
)
def test_a_date_format_that_cannot_be_used(date_format, why):
    with pytest.raises(SettingError, match=f"date_format must be.*{why}"):
        opening.check_date_format(date_format, engine())


@pytest.mark.parametrize("good", ["%d/%m/%Y", "%Y%j", "%y-%b-%d", "%Y-%m-%d %H:%M %z"])
def test_a_date_format_that_can_be_used(good):
    opening.check_date_format(good, engine())


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.datetimes(datetime(1700, 1, 1), datetime(2199, 12, 31)),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from(["UTC", SHANGHAI, "America/St_Johns", "Pacific/Kiritimati"]),
)
def test_any_moment_comes_back_in_the_zone(moments, zone):
    moments = [m.replace(microsecond=0, tzinfo=UTC) for m in moments]
    local = [m.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for m in moments]
    # Offsets before standard time have seconds, which neither form below can say.
    pairs = [(m, n) for m, n in zip(moments, local, strict=True) if m.year > 1970]
    texts = [f"{m:%Y-%m-%d %H:%M:%S} +0000" for m, _ in pairs]
    assert times(texts or [None], zone=zone) == ([n for _, n in pairs] or [None])
    naive = [n.isoformat(" ") for n in local]
    inside = [n if 1700 <= n.year <= 2200 else None for n in local]
    assert times(naive, zone=zone) == inside


# What a column says of its own notation


def notation(values, kind=None):
    table = pa.table({"v": pa.array(values, kind or pa.string())})
    column = engine().upload(table, "values").v
    return typed.time_notation(column, "orders", "ordered_at")


def test_notation_of_slashed_dates():
    assert notation(["1/2/2026", "13/2/2026"])[0] is True
    assert notation(["1/2/2026", "2/13/2026"])[0] is False
    assert notation(["2026-01-02", None])[0] is None


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (["1/2/2026", "12/12/2026"], "no day is above 12"),
        (["13/1/2026", "1/13/2026"], "both orders occur"),
        (["1.2.2026"], "no day is above 12"),
    ],
)
def test_days_and_months_that_cannot_be_told_apart(values, why):
    day_first, _, _, problem = notation(values)
    assert day_first is None
    assert problem.code == "SL115"
    assert why in problem.found
    assert 'date_format="%d/%m/%Y"' in problem.fix
    assert "--date-format" in problem.fix_cli


def test_zones_are_counted():
    values = ["2026-01-02 10:30:00Z", "2026-01-02 10:30 +0800", "2026-01-02", None]
    assert notation(values)[1:3] == (2, 1)
    aware = pa.timestamp("us", "UTC")
    assert notation([datetime(2026, 1, 1, tzinfo=UTC)], aware)[1:3] == (1, 0)
    assert notation([None])[1:] == (0, 0, None)
