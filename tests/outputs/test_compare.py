"""Two analyses compared: by hand, files, what changed, what is no report."""

import json

import numpy as np
import pandas as pd
import pytest

import selfloop as sl
from selfloop.core import schema
from selfloop.outputs.report.numbers import report_numbers


def analysis(seed=7, *, end=None, n_visitors=1500, **settings):
    """Analyse a simulated shop."""
    shop = sl.simulate(n_visitors=n_visitors, seed=seed, **settings)
    events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits, end=end)
    return sl.analyze(events, model="mbg_nbd")


@pytest.fixture(scope="module")
def before():
    return analysis(end="2025-06-30")


@pytest.fixture(scope="module")
def after():
    return analysis()


@pytest.fixture(scope="module")
def found(before, after):
    return sl.compare(before, after)


def cell(found, measure, segment="all", window=None):
    """Return one line as a dict."""
    rows = found.table
    at = rows["window_days"].isna() if window is None else rows["window_days"] == window
    chosen = rows["measure"].eq(measure) & rows["segment"].eq(segment) & at
    (line,) = rows[chosen].to_dict("records")
    return line


def test_lines_are_the_numbers_of_both(before, after, found):
    for a, place in ((before, "first"), (after, "second")):
        windows = a.funnel.windows.set_index(["stage", "window_days"])
        for stage in ("conversion", "repurchase", "referral"):
            row = windows.loc[(stage, 90)]
            line = cell(found, stage, window=90)
            for end in ("", "_low", "_high"):
                expected = row[f"share_matured{end}"]
                assert line[f"{place}{end}"] == pytest.approx(expected, abs=1e-6)
        r = a.loop.reproduction.set_index("horizon_days").loc[180]
        assert cell(found, "r", window=180)[place] == pytest.approx(r["r"])
        assert cell(found, "n_buyers")[place] == a.events.totals["n_buyers"]
    line = cell(found, "n_buyers")
    assert line["difference"] == line["second"] - line["first"] > 0
    assert line["ratio"] == line["second"] / line["first"]
    assert line["reason"] == "counted, not estimated"
    assert cell(found, "share_orders")["reason"] == "no interval"


def test_the_same_shop_has_not_changed(found):
    assert not found.table["verdict"].isin(["higher", "lower"]).any()
    tested = found.table[found.table["verdict"] == "open"]
    assert len(tested) > 30
    assert found.n_days_shared == 547
    assert "547 days are in both" in found.notes[0]


def test_an_analysis_is_no_other_than_itself(after):
    table = sl.compare(after, after).table
    known = table["difference"].notna()
    assert known.any()
    assert (table.loc[known, "difference"] == 0).all()
    np.testing.assert_allclose(table["p_value"].dropna(), 1, atol=1e-6)


def test_a_better_shop_is_called_better(after):
    keener = sl.Shop(
        sources=(
            sl.Source("direct", share=0.5, conversion=0.5),
            sl.Source("ads", share=0.5, conversion=0.5, cost_per_visitor=1.0),
        ),
        invitations=0.2,
    )
    shop = sl.simulate(1500, seed=3, shop=keener)
    events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits)
    other = sl.analyze(events, model="mbg_nbd")
    found = sl.compare(after, other)
    assert cell(found, "conversion", window=90)["verdict"] == "higher"
    assert cell(found, "r", window=180)["verdict"] == "lower"


def test_files_say_the_same(tmp_path, before, after, found):
    paths = [tmp_path / "old.json", tmp_path / "new.json"]
    for path, a in zip(paths, (before, after), strict=True):
        sl.write_report(a, path)
    from_files = sl.compare(*paths)
    pd.testing.assert_frame_equal(from_files.table, found.table)
    assert from_files.names == ("old.json", "new.json")
    mixed = sl.compare(report_numbers(before), str(paths[1]), names=("May", "June"))
    pd.testing.assert_frame_equal(mixed.table, found.table)
    assert mixed.names == ("May", "June")


def test_unlike_rules_are_said(before):
    other = report_numbers(before)
    other["meta"] = {**other["meta"], "currency": "EUR", "end": "2023-01-01",
                     "start": "2022-01-01"}  # fmt: skip
    found = sl.compare(before, other)
    assert found.n_days_shared == 0
    assert found.notes == ("the currency of the two differ",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "no JSON"),
        ("[]", "its schema is None"),
        (json.dumps({"schema": "selfloop.lifetime/1"}), "its schema is"),
        (json.dumps({"schema": "selfloop.report/1"}), "a part is missing or wrong"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
    ],
)
def test_another_file_is_an_error(tmp_path, before, content, words):
    path = tmp_path / "x.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(sl.DataError, match="SL125") as error:
        sl.compare(before, path)
    assert words in str(error.value)
    with pytest.raises(sl.FileError, match="SL105"):
        sl.compare(before, tmp_path / "none.json")
    for wrong in (3, {"schema": "other"}):
        with pytest.raises(sl.SettingError):
            sl.compare(before, wrong)


def test_a_damaged_dictionary_is_the_same_error_as_a_damaged_file(before, tmp_path):
    whole = json.loads(json.dumps(report_numbers(before)))
    bare = {"schema": whole["schema"]}
    huge = json.loads(json.dumps(whole))
    matured = huge["funnel"]["windows"]["n_matured"]
    huge["funnel"]["windows"]["n_matured"] = [n and 1e308 for n in matured]
    no_rules = {**whole, "meta": {**whole["meta"]}}
    del no_rules["meta"]["rules"]
    for numbers in (bare, huge, no_rules, {**whole, "funnel": 3}):
        with pytest.raises(sl.DataError, match="the dictionary is not the JSON file"):
            sl.compare(numbers, before)
        path = tmp_path / "damaged.json"
        path.write_text(json.dumps(numbers))
        with pytest.raises(sl.DataError, match=r"'damaged\.json' is not the JSON file"):
            sl.compare(before, path)
    assert len(sl.compare(whole, before).table)


def test_a_shop_without_referrals_and_visits(after):
    shop = sl.simulate(n_visitors=400, seed=7)
    plain = sl.analyze(sl.read_events(shop.orders), model="mbg_nbd")
    found = sl.compare(plain, after)
    line = cell(found, "referral", window=90)
    assert line["reason"] == "not known in both"
    assert np.isnan(line["first"])
    assert line["second"] > 0
    assert "the tables of the two differ" in found.notes


def test_it_shows_itself(found):
    assert "Compared" in repr(found)
    assert "<table" in found._repr_html_()
    assert found.to_frame().equals(found.table)
    assert list(found.table.columns) == schema.names("analyses_compared")
