"""Expressions that every engine writes in its own way, told apart by the engine."""

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

_UTC = dt.Timestamp(timezone="UTC")
_POSITIVE = (1 << 63) - 1


def engine_name(value: ir.Value) -> str:
    """Return which engine a column lives in: duckdb, postgres or pyspark."""
    return str(value.get_backend().name)


def person_key(person_id: ir.StringColumn) -> ir.IntegerColumn:
    """Return a number that stands for an id: 63 bits of its hash.

    Joining and grouping by it costs a fraction of doing so by text, and no table of
    ids is needed first. `roster.name_people` makes sure that no two ids share one.
    """
    name = engine_name(person_id)
    if name == "postgres":
        return _hash_text(person_id, ibis.literal(0, "int64")) & _POSITIVE
    if name == "pyspark":
        return _xxhash(person_id) & _POSITIVE
    return (_hash(person_id) >> 1).cast("int64")


@ibis.udf.scalar.builtin(name="hash", signature=((dt.string,), dt.uint64))
def _hash(value):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Hash of a text in DuckDB."""


@ibis.udf.scalar.builtin(
    name="hashtextextended", signature=((dt.string, dt.int64), dt.int64)
)
def _hash_text(value, seed):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Hash of a text in PostgreSQL."""


@ibis.udf.scalar.builtin(name="xxhash64", signature=((dt.string,), dt.int64))
def _xxhash(value):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Hash of a text in Spark."""


def id_hash(person_id: ir.StringColumn) -> ir.IntegerColumn:
    """Return 24 bits of an id's MD5, which are the same in every engine.

    What is left to chance, such as which people are left out together to see how far
    an estimate moves, follows from it: results do not depend on where they are made.
    """
    digest = _md5(person_id)
    name = engine_name(person_id)
    if name == "postgres":
        octets = _decode(digest, "hex")
        first, second, third = (_get_byte(octets, i) for i in range(3))
        return (first * 65_536 + second * 256 + third).cast("int32")
    digits = digest.substr(0, 6)
    if name == "pyspark":
        return _conv(digits, 16, 10).cast("int32")
    return (ibis.literal("0x") + digits).cast("int32")


@ibis.udf.scalar.builtin(name="md5", signature=((dt.string,), dt.string))
def _md5(value):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """MD5 of a text as 32 hexadecimal digits."""


@ibis.udf.scalar.builtin(name="decode", signature=((dt.string, dt.string), dt.binary))
def _decode(value, how):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Bytes that a text stands for, in PostgreSQL."""


@ibis.udf.scalar.builtin(name="get_byte", signature=((dt.binary, dt.int32), dt.int32))
def _get_byte(value, place):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """One of the bytes, in PostgreSQL."""


@ibis.udf.scalar.builtin(
    name="conv", signature=((dt.string, dt.int32, dt.int32), dt.string)
)
def _conv(value, base, to):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Digits of a number to another base, in Spark."""


def first_two(times: ir.TimestampColumn, where: ir.BooleanValue) -> ir.ArrayValue:
    """Return the two earliest times, in order."""
    name = engine_name(times)
    if name == "postgres":
        return times.collect(where=where, order_by=times)
    if name == "pyspark":
        return times.collect(where=where).sort()
    return _least(times, 2, where=where)


@ibis.udf.agg.builtin(
    name="min", signature=((dt.timestamp, dt.int64), dt.Array(dt.timestamp))
)
def _least(times, n):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return the n earliest times, in order, in DuckDB."""


def to_zone(zone: ir.StringValue, moment: ir.TimestampValue) -> ir.TimestampValue:
    """Return the wall-clock time of a moment in a zone."""
    if engine_name(moment) == "pyspark":
        return _from_utc(moment, zone)
    return _timezone(zone, moment)


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, _UTC), dt.timestamp))
def _timezone(zone, moment):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Wall-clock time of a moment in a zone, in DuckDB and PostgreSQL."""


@ibis.udf.scalar.builtin(
    name="from_utc_timestamp", signature=((_UTC, dt.string), dt.timestamp)
)
def _from_utc(moment, zone):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Wall-clock time of a moment in a zone, in Spark."""


def copies(rows: ir.Table) -> ir.Table:
    """Count rows, and distinct rows: n, n_distinct."""
    whole = ibis.struct({name: rows[name] for name in rows.columns})
    if rows.get_backend().name == "duckdb":
        return rows.aggregate(n=rows.count(), n_distinct=whole.hash().nunique())
    counted = rows.group_by(list(rows.columns)).aggregate(sl_n=rows.count())
    return counted.aggregate(n=counted.sl_n.sum(), n_distinct=counted.count())


def try_cast(column: ir.Value, kind: dt.DataType | str) -> ir.Value:
    """Return a column as another type; missing where it cannot be."""
    kind, found = dt.dtype(kind), column.type()
    if engine_name(column) == "duckdb":
        if found.is_string() and kind.is_decimal():
            return _scientific(column, kind)
        return column.try_cast(kind)
    if found.is_string():
        return _number_of_text(column, kind)
    if kind.is_decimal():
        return _as_decimal(column, kind)
    return _within(column, kind)


_PLAIN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?$"
_WIDE = dt.Decimal(38, 10)
_WIDE_LIMIT = 1e27
_INT_LIMIT = 9.2e18


def _scientific(text: ir.StringValue, kind: dt.Decimal) -> ir.Value:
    """Read decimals from text in DuckDB, which lets 2e14 into 18 digits with four."""
    is_plain = ~text.re_search("[eE_]") | text.re_search(_PLAIN)
    number = ibis.ifelse(is_plain, text, ibis.null("string")).try_cast(kind)
    fits = number.abs() < 10 ** (kind.precision - kind.scale)
    return ibis.ifelse(fits, number, ibis.null(kind))


def _number_of_text(text: ir.StringValue, kind: dt.DataType) -> ir.Value:
    """Read numbers from text."""
    plain = ibis.ifelse(matches(text, _PLAIN), text, ibis.null("string"))
    rough = plain.cast("float64")
    if kind.is_floating():
        return rough.cast(kind)
    fits = rough.abs() < _WIDE_LIMIT
    wide = ibis.ifelse(fits, plain, ibis.null("string")).cast(_WIDE)
    return _as_decimal(wide, kind) if kind.is_decimal() else _within(wide, kind)


def _as_decimal(column: ir.Value, kind: dt.Decimal) -> ir.Value:
    """Return a number as a decimal, a half away from zero."""
    limit = 10 ** (kind.precision - kind.scale)
    if column.type().is_floating():
        step = 10**kind.scale
        units = (column.abs() * step + 0.5).floor()
        safe = ibis.ifelse(
            units < min(limit * step, _INT_LIMIT), units, ibis.null("float64")
        )
        whole = (
            ibis.ifelse(column < 0, -safe, safe).cast("int64").cast(dt.Decimal(38, 0))
        )
        return (whole / step).cast(kind)
    rounded = column.cast(dt.Decimal(38, kind.scale))
    fits = rounded.abs() < limit
    return ibis.ifelse(fits, rounded, ibis.null(rounded.type())).cast(kind)


def _within(column: ir.Value, kind: dt.DataType) -> ir.Value:
    """Return a number as an integer; missing where it is too large for one."""
    fits = column.abs() < _INT_LIMIT
    return ibis.ifelse(fits, column, ibis.null(column.type())).cast(kind)


def matches(text: ir.StringValue, pattern: str) -> ir.BooleanValue:
    """Tell whether a pattern is found in a text."""
    if engine_name(text) == "postgres":  # regexp_like is new in PostgreSQL 15
        return _textregexeq(text, pattern)
    return text.re_search(pattern)


@ibis.udf.scalar.builtin(
    name="textregexeq", signature=((dt.string, dt.string), dt.boolean)
)
def _textregexeq(text, pattern):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Whether a pattern is found in a text, in PostgreSQL."""


def lowered(text: ir.StringValue) -> ir.StringValue:
    """Return a text in small letters, of all alphabets."""
    if engine_name(text) == "postgres":
        # Text that sorts by its bytes knows only the letters of English; what comes
        # out of JSON is of the language of the database.
        text = _json_text(_json_array(text), 0)
    return text.lower()


@ibis.udf.scalar.builtin(name="json_build_array", signature=((dt.string,), dt.binary))
def _json_array(text):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return a text inside JSON, in PostgreSQL."""


@ibis.udf.scalar.builtin(
    name="json_array_element_text", signature=((dt.binary, dt.int32), dt.string)
)
def _json_text(array, place):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return a text out of JSON, in PostgreSQL."""


def groups(text: ir.StringValue, pattern: str, n_groups: int) -> ir.ArrayValue:
    """Return what the groups of a pattern hold in a text that has it."""
    if engine_name(text) == "postgres":
        return _regexp_match(text, pattern)
    return ibis.array([text.re_extract(pattern, i + 1) for i in range(n_groups)])


@ibis.udf.scalar.builtin(
    name="regexp_match", signature=((dt.string, dt.string), dt.Array(dt.string))
)
def _regexp_match(text, pattern):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    """Return what the groups of a pattern hold, in PostgreSQL."""


def replace(text: ir.StringValue, pattern: str, words: str) -> ir.StringValue:
    """Replace a pattern by words that name its groups."""
    if engine_name(text) == "pyspark":
        words = words.replace("\\", "$")
    return text.re_replace(pattern, words)


@ibis.udf.scalar.builtin(
    name="try_strptime", signature=((dt.string, dt.Array(dt.string)), dt.timestamp)
)
def parse_time(value, formats):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Time in the first format that fits, else missing, in DuckDB."""


@ibis.udf.scalar.builtin(
    name="try_strptime", signature=((dt.string, dt.Array(dt.string)), _UTC)
)
def parse_moment(value, formats):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    """Moment in the first format with an offset that fits, in DuckDB."""
