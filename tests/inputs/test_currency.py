import pandas as pd
import pyarrow as pa
import pytest

from selfloop.core.settings import Rules
from selfloop.inputs.currency import comma_decimals, currency_of, currency_problems
from selfloop.inputs.duckdb_engine import connect
from selfloop.inputs.read import Raw
from selfloop.inputs.validate import Reading, count_codes, typed_table

COLUMNS = {"amount": "amount", "currency": "currency"}


@pytest.fixture(scope="module")
def engine():
    return connect()


def orders(engine, **columns):
    frame = pa.Table.from_pandas(pd.DataFrame(columns), preserve_index=False)
    return engine.upload(frame, "orders")


def test_one_currency(engine):
    table = orders(engine, amount=[1.0, 2, 3], currency=["cny", " CNY ", None])
    assert currency_problems(table, COLUMNS) == []
    assert currency_of(table, COLUMNS) == "CNY"


def test_two_currencies_are_named_with_their_rows(engine):
    table = orders(engine, amount=[1.0, 2, 3], currency=["CNY", "USD", "CNY"])
    (problem,) = currency_problems(table, COLUMNS)
    assert problem.code == "SL114"
    assert problem.found == "2 currencies: CNY (2 rows), USD (1 rows)"


def test_no_column_and_an_empty_column(engine):
    assert currency_of(orders(engine, amount=[1.0]), {"amount": "amount"}) is None
    empty = orders(engine, amount=[1.0, 2], currency=["", None])
    assert currency_of(empty, COLUMNS) is None
    assert currency_problems(empty, COLUMNS) == []


@pytest.mark.parametrize(
    ("amounts", "n"),
    [
        (["$5", "€6"], 1),
        (["$5", "6元"], 1),
        (["¥5", "￥6", "7元", "8"], 0),
        (["$5", "6", None], 0),
        (["5", "6"], 0),
    ],
)
def test_two_signs_in_the_amounts_are_two_currencies(engine, amounts, n):
    table = orders(engine, amount=amounts)
    problems = currency_problems(table, {"amount": "amount"})
    assert [p.code for p in problems] == ["SL114"] * n


def test_signs_in_the_unit_price_count_too(engine):
    table = orders(engine, quantity=["1", "2"], price=["$5", "£5"])
    columns = {"quantity": "quantity", "unit_price": "price"}
    (problem,) = currency_problems(table, columns)
    assert "currency signs in 'price': $ (1 rows), £ (1 rows)" in problem.found


def typed(engine, *amounts):
    table = orders(engine, customer_id="a", ordered_at="2026-01-01", amount=amounts)
    columns = {name: name for name in table.columns}
    reading = Reading(Rules(), None, None, None)
    return typed_table("orders", Raw(table, "test"), columns, reading, engine)


def test_comma_decimals_beside_point_thousands_stop_the_reading(engine):
    """Setting 12,50 aside would leave 1.234 to be read as 1.234."""
    table = typed(engine, "12,50", "1.234", "5")
    (problem,) = comma_decimals(table, count_codes(table))
    assert problem.code == "SL123"
    assert "1 values of 'amount'" in problem.found
    assert problem.n_rows == 1


@pytest.mark.parametrize("values", [["12,50", "5"], ["1.234", "5"], ["x", "1.234"]])
def test_one_kind_alone_is_no_reason_to_stop(engine, values):
    table = typed(engine, *values)
    assert comma_decimals(table, count_codes(table)) == []
