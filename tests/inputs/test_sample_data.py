"""The subset of Online Retail in ``data/sample`` is what its README says."""

import zlib
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).parents[2] / "data" / "sample" / "online_retail"


@pytest.fixture(scope="module")
def lines():
    """The lines, with their value in whole thousandths."""
    lines = pd.read_parquet(FOLDER / "orders.parquet")
    value = lines["Quantity"] * lines["UnitPrice"] * 1000
    exact = value.round().astype("int64")
    assert (value - exact).abs().max() < 0.01
    return lines.assign(value=exact, day=lines["InvoiceDate"].dt.normalize())


def money(thousandths):
    return f"{thousandths / 1000:,.3f}"


def signs(values):
    return (values > 0).sum(), (values == 0).sum(), (values < 0).sum()


def test_totals_of_the_readme(lines):
    value, number = lines["value"], lines["CustomerID"]
    guest = lines[number.isna()]
    known = lines[number.notna()]
    cancelled = lines[lines["InvoiceNo"].str.startswith("C")]
    cancelled_known = cancelled[cancelled["CustomerID"].notna()]
    invoices = known.groupby("InvoiceNo")["value"].sum()
    by_day = known.groupby(["CustomerID", "day"])["value"].sum()
    n_days = (by_day > 0).groupby(level="CustomerID").sum()
    positive, zero, negative = signs(value)
    rows = {
        "lines / invoices / customers": f"{len(lines):,} / "
        f"{lines['InvoiceNo'].nunique():,} / {number.nunique():,}",
        "net of everything": money(value.sum()),
        "positive / negative / zero lines": f"{positive:,} worth "
        f"{money(value[value > 0].sum())} / {negative:,} worth "
        f"{money(value[value < 0].sum())} / {zero}",
        "guest lines / invoices": f"{len(guest):,} worth "
        f"{money(guest['value'].sum())} / {guest['InvoiceNo'].nunique()}",
        "net of known customers / invoices": f"{money(known['value'].sum())} / "
        f"{len(invoices):,}",
        "invoices of known customers: net > 0 / = 0 / < 0": " / ".join(
            f"{n:,}" for n in signs(invoices)
        ),
        "cancelled (`C`) lines / invoices": f"{len(cancelled):,} / "
        f"{cancelled['InvoiceNo'].nunique()}",
        "... of these with a customer": f"{len(cancelled_known):,} lines worth "
        f"{money(cancelled_known['value'].sum())}",
        "customer-days: net > 0 / = 0 / < 0": " / ".join(
            f"{n:,}" for n in signs(by_day)
        ),
        "customers with at least 1 / 2 days of net > 0": f"{(n_days >= 1).sum():,} / "
        f"{(n_days >= 2).sum()}",
    }
    text = (FOLDER / "README.md").read_text("utf-8")
    for name, cell in rows.items():
        assert f"| {name} | {cell} |" in text
    n_duplicates = lines.drop(columns=["value", "day"]).duplicated().sum()
    assert f"| exact duplicate lines | {n_duplicates:,};" in text


def test_customers_are_chosen_by_their_number(lines):
    numbers = lines["CustomerID"].dropna().unique()
    assert all(zlib.crc32(f"{n:.0f}".encode()) % 4 == 0 for n in numbers)


def test_guests_are_those_of_four_days(lines):
    days = set(lines.loc[lines["CustomerID"].isna(), "day"].dt.date)
    assert days == {
        date(2011, 2, 21), date(2011, 8, 12), date(2011, 10, 14), date(2011, 12, 9)
    }  # fmt: skip


def test_columns_types_and_order_are_those_of_the_origin(lines):
    assert list(lines.columns[:8]) == [
        "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate",
        "UnitPrice", "CustomerID", "Country",
    ]  # fmt: skip
    assert lines["InvoiceDate"].is_monotonic_increasing
    assert lines["CustomerID"].dtype == lines["Quantity"].dtype == "float64"
    assert lines["InvoiceNo"].str.startswith("A").sum() == 3


def test_size_and_licence():
    assert (FOLDER / "orders.parquet").stat().st_size < 600_000
    assert "CC0-1.0" in (FOLDER / "LICENSE.md").read_text("utf-8")


# Beibei -----------------------------------------------------------------------------


def test_the_part_of_beibei_is_what_its_readme_says():
    folder = FOLDER.parent / "beibei"
    rows = pd.read_parquet(folder / "joined.parquet")
    people = set(rows["initiator"]) | set(rows["participant"])
    readme = (folder / "README.md").read_text("utf-8")
    said = f"{len(rows):,} rows, {len(rows.drop_duplicates()):,} distinct pairs"
    assert f"{said}, {len(people):,} people" in " ".join(readme.split())
    assert "Copyright (c) 2020 Jun Zhang" in (folder / "LICENSE").read_text("utf-8")
    # A neighbourhood, to be walked from one person on: whoever is not there yet comes
    # with somebody who is.
    reached, waiting = set(), [rows["initiator"].astype(int).min()]
    near: dict[int, set[int]] = {}
    for a, b in rows.astype(int).itertuples(index=False):
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    while waiting:
        person = waiting.pop()
        if person not in reached:
            reached.add(person)
            waiting += near[person]
    assert len(reached) == len(people)
