import json
import shlex

import pytest

from selfloop.core.errors import Problem
from selfloop.core.schema import INPUT_ROLES
from selfloop.inputs.columns import (
    check_map,
    doubled,
    match_columns,
    nearest,
    normalise,
)


def codes(problems: list[Problem]) -> list[str]:
    return [problem.code for problem in problems]


# By hand


def test_exact_names_win_over_aliases():
    found = ["customer_id", "user_id", "ordered_at", "date", "amount", "金额"]
    matched, problems = match_columns("orders", found, None)
    assert problems == []
    assert matched == {
        "customer_id": "customer_id",
        "ordered_at": "ordered_at",
        "amount": "amount",
    }


@pytest.mark.parametrize(
    ("found", "amount"),
    [
        (["客户ID", "下单时间", "实付金额"], "实付金额"),
        (["买家会员名", "订单付款时间", "买家实际支付金额"], "买家实际支付金额"),
        (["会员号", "支付时间", "金额", "订单编号", "来源"], "金额"),
        (["Customer ID", "Order Date", "Order Total"], "Order Total"),
        (["CUSTOMER-ID", "ORDERED AT", "AMOUNT"], "AMOUNT"),
        (["\ufeffcustomer_id", "ordered_at", " amount "], " amount "),
        (["ｃｕｓｔｏｍｅｒ＿ｉｄ", "ordered_at", "ａｍｏｕｎｔ"], "ａｍｏｕｎｔ"),
    ],
)
def test_names_of_real_exports_are_known(found, amount):
    matched, problems = match_columns("orders", found, None)
    assert problems == []
    assert matched["amount"] == amount


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("referrals", ["推荐人", "被推荐人", "推荐时间"]),
        ("referrals", ["from", "to", "date"]),
        ("referrals", ["infector", "case_id", "date"]),
        ("visits", ["访客ID", "访问时间", "渠道"]),
        ("spend", ["日期", "渠道", "花费"]),
    ],
)
def test_every_table_has_aliases(table, found):
    matched, problems = match_columns(table, found, None)
    assert problems == []
    assert set(matched.values()) == set(found)


def test_every_alias_has_one_role_in_its_table():
    """No name is an alias of two roles, and none hides the exact name of another."""
    from selfloop.inputs.columns import _aliases  # noqa: PLC0415 - private on purpose

    for table, roles in _aliases().items():
        exact = {normalise(role.name): role.name for role in INPUT_ROLES[table]}
        seen: dict[str, str] = {}
        for role, names in roles.items():
            assert role in exact.values()
            for name in names:
                assert seen.setdefault(name, role) == role, (table, name)
                assert exact.get(name, role) == role, (table, name)


def test_the_users_mapping_wins():
    columns = {"orders": {"amount": "sum", "customer_id": "who"}}
    found = ["who", "customer_id", "ordered_at", "sum", "amount"]
    matched, problems = match_columns("orders", found, columns)
    assert problems == []
    assert (matched["amount"], matched["customer_id"]) == ("sum", "who")


def test_a_mapped_column_plays_no_second_role():
    columns = {"orders": {"order_id": "date", "ordered_at": "at"}}
    matched, problems = match_columns(
        "orders", ["customer_id", "date", "at", "amount"], columns
    )
    assert problems == []
    assert matched["order_id"] == "date"


# Missing and ambiguous


def test_missing_columns_are_all_named_with_the_nearest_name():
    _, problems = match_columns("orders", ["custmer_id", "when", "amout"], None)
    assert codes(problems) == ["SL101", "SL101", "SL101"]
    text = "\n".join(map(str, problems))
    assert "did you mean 'custmer_id'?" in text
    assert "did you mean 'amout'?" in text
    assert "found custmer_id, when, amout" in text
    assert 'columns={"orders": {"amount": "amout"}}' in text
    assert "--map orders.amount=amout" in text
    assert "YOUR COLUMN" in text  # nothing is near ordered_at


def test_two_columns_for_one_role_are_never_guessed():
    found = ["客户ID", "会员号", "下单时间", "实付金额"]
    matched, problems = match_columns("orders", found, None)
    assert codes(problems) == ["SL102"]
    assert "'客户ID', '会员号'" in problems[0].found
    assert "customer_id" not in matched


def test_two_columns_for_an_optional_role_are_never_guessed():
    found = ["customer_id", "ordered_at", "amount", "渠道", "来源"]
    _, problems = match_columns("orders", found, None)
    assert codes(problems) == ["SL102"]


def test_same_name_but_for_case_is_ambiguous():
    found = ["customer_id", "ordered_at", "Amount", "AMOUNT"]
    _, problems = match_columns("orders", found, None)
    assert codes(problems) == ["SL102"]


def test_one_column_for_two_roles():
    columns = {"orders": {"customer_id": "id", "order_id": "id"}}
    _, problems = match_columns("orders", ["id", "ordered_at", "amount"], columns)
    assert codes(problems) == ["SL102"]
    assert "'customer_id' and 'order_id'" in problems[0].found


def test_mapped_column_that_is_not_there():
    columns = {"orders": {"amount": "Betrag"}}
    _, problems = match_columns("orders", ["customer_id", "date", "betrg"], columns)
    assert codes(problems) == ["SL101"]
    assert "no column 'Betrag' for 'amount'" in problems[0].found
    assert "did you mean 'betrg'?" in problems[0].fix


def test_mapped_column_that_is_not_there_and_like_nothing():
    columns = {"orders": {"amount": "xyz"}}
    _, problems = match_columns("orders", ["customer_id", "date"], columns)
    assert "YOUR COLUMN" in problems[0].fix
    assert "customer_id" not in problems[0].fix


# Amount, or quantity and unit price


def test_quantity_and_price_stand_for_an_amount():
    found = ["customer_id", "ordered_at", "quantity", "unit_price"]
    matched, problems = match_columns("orders", found, None)
    assert problems == []
    assert {"quantity", "unit_price"} <= set(matched)


def test_amount_wins_over_factors_that_nobody_named():
    found = ["customer_id", "ordered_at", "amount", "quantity", "unit_price"]
    matched, problems = match_columns("orders", found, None)
    assert problems == []
    assert set(matched) == {"customer_id", "ordered_at", "amount"}


def test_factors_that_were_named_win_over_an_amount_that_was_not():
    """Total may be the total of the order, repeated on each of its lines."""
    found = ["customer_id", "ordered_at", "Total", "n", "each"]
    columns = {"orders": {"quantity": "n", "unit_price": "each"}}
    matched, problems = match_columns("orders", found, columns)
    assert problems == []
    assert matched["quantity"] == "n"
    assert "amount" not in matched


def test_unclear_factors_do_not_matter_beside_an_amount():
    found = ["customer_id", "ordered_at", "amount", "数量", "购买数量"]
    matched, problems = match_columns("orders", found, None)
    assert problems == []
    assert matched["amount"] == "amount"


def test_one_factor_alone_is_not_enough():
    found = ["customer_id", "ordered_at", "quantity"]
    _, problems = match_columns("orders", found, None)
    assert codes(problems) == ["SL101"]
    assert "'amount'" in problems[0].found


# Mappings that are none


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"order": {"amount": "x"}}, "unknown table 'order'"),
        ({"amount": "x"}, "unknown table 'amount'"),
        ({"orders": {"amuont": "x"}}, "unknown role 'amuont'"),
        ({"orders": "amount"}, "must map"),
        ("amount", "must map"),
        ([("orders", "amount")], "must map"),
        ({"orders": {5: "x"}}, "unknown role 5"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_named(columns, found):
    problems = check_map(columns)
    assert codes(problems) == ["SL104"]
    assert found in problems[0].found
    matched, _ = match_columns("orders", ["customer_id", "date", "amount"], columns)
    assert matched["amount"] == "amount"


def test_did_you_mean_for_roles():
    assert "did you mean 'amount'?" in check_map({"orders": {"amuont": "x"}})[0].fix


def test_no_mapping_is_no_problem():
    assert check_map(None) == []
    assert check_map({}) == []
    assert check_map({"orders": {"amount": "x"}}) == []


def test_column_names_may_be_numbers():
    columns = {"orders": {"customer_id": 0, "ordered_at": 1, "amount": 2}}
    matched, problems = match_columns("orders", ["0", "1", "2"], columns)
    assert problems == []
    assert matched["amount"] == "2"


# Hostile names

HOSTILE = ['a"b', "x'; DROP TABLE t;--", "{0}", "%s", "$(rm -rf /)", "😀\n", "a b"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_matched_and_the_advice_can_be_pasted(name):
    columns = {"orders": {"amount": name}}
    found = ["customer_id", "ordered_at", name]
    matched, problems = match_columns("orders", found, columns)
    assert problems == []
    assert matched["amount"] == name
    twin = {"orders": {"amount": name + name[0]}}
    _, problems = match_columns("orders", found, twin)
    fix = problems[0].fix
    advice = json.loads(fix[fix.index("columns=") + len("columns=") :])
    flag = shlex.split(problems[0].fix_cli)
    assert advice["orders"]["amount"] in (name, "YOUR COLUMN")
    assert flag[0] == "--map"
    assert flag[1] == "orders.amount=" + advice["orders"]["amount"]


def test_a_wide_table_does_not_fill_the_screen():
    _, problems = match_columns("orders", [f"c{i}" for i in range(5_000)], None)
    assert all(len(str(problem)) < 600 for problem in problems)
    assert "c29 and 4,970 more" in problems[0].found


def test_no_columns_at_all():
    _, problems = match_columns("orders", [], None)
    assert codes(problems) == ["SL101"] * 3


# Small parts


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (" Customer_ID ", "customerid"),
        ("customer-id", "customerid"),
        ("ＣＵＳＴＯＭＥＲ ＩＤ", "customerid"),
        ("\ufeffid", "id"),
        ("客户 ID", "客户id"),
        ("", ""),
    ],
)
def test_names_are_compared_without_case_width_and_separators(name, form):
    assert normalise(name) == form


def test_nearest_returns_none_when_nothing_is_near():
    assert nearest("amount", ["zzz"]) is None
    assert nearest("amount", []) is None
    assert nearest("", ["a"]) is None


def test_doubled_names():
    assert doubled("orders", ["a", "b"], "") == []
    problems = doubled("orders", ["a", "A", "b", "b", "a"], "x.csv")
    assert codes(problems) == ["SL102", "SL102"]
    assert "x.csv has 3 columns named 'a' and 'A' and 'a'" in problems[0].found
