"""Shops that several tests of measures read, each read once."""

import pandas as pd
import pytest
import small_shops as shops

import selfloop as sl


@pytest.fixture(scope="session")
def simulated():
    """A shop of 5,000 visitors with a known truth."""
    return sl.simulate(5_000, seed=11)


@pytest.fixture(scope="session")
def simulated_events(simulated):
    """Its events."""
    return sl.read_events(
        simulated.orders, simulated.referrals, visits=simulated.visits
    )


@pytest.fixture(scope="session")
def simulated_people(simulated, simulated_events):
    """Its people, by pandas alone."""
    return shops.plain_people(
        simulated.orders,
        simulated.referrals,
        simulated.visits,
        end=simulated_events.end,
    )


@pytest.fixture(scope="session")
def retail_lines():
    """The real order lines of the sample, amounts in whole thousandths."""
    lines = pd.read_parquet(shops.DATA / "online_retail" / "orders.parquet")
    thousandths = (lines["UnitPrice"] * 1000).round().astype("int64")
    return lines.assign(
        thousandths=thousandths * lines["Quantity"].astype("int64"),
        customer=lines["CustomerID"].map("{:.0f}".format, na_action="ignore"),
    )


@pytest.fixture(scope="session")
def retail_events():
    """Events of the real order lines: no referrals, no visits."""
    return sl.read_events(
        shops.DATA / "online_retail" / "orders.parquet",
        columns={"orders": shops.RETAIL_COLUMNS},
    )


@pytest.fixture(scope="session")
def untidy():
    """Tables of a small shop with every defect."""
    return shops.random_shop()


@pytest.fixture(scope="session")
def untidy_events(untidy):
    """Its events."""
    return sl.read_events(untidy.orders, untidy.referrals, visits=untidy.visits)


@pytest.fixture(scope="session")
def shuffled_events(untidy):
    """The same with rows in another order."""
    tables = shops.shuffled(untidy, seed=1)
    return sl.read_events(tables.orders, tables.referrals, visits=tables.visits)


@pytest.fixture(scope="session")
def renamed_events(untidy):
    """The same with other ids, in another order of the alphabet."""
    tables = shops.renamed(untidy, lambda i: f"x{i[::-1]}")
    return sl.read_events(tables.orders, tables.referrals, visits=tables.visits)


@pytest.fixture(scope="session")
def richer_events(untidy):
    """The same with ten times the money."""
    tenfold = untidy.orders.assign(amount=untidy.orders["amount"] * 10)
    return sl.read_events(tenfold, untidy.referrals, visits=untidy.visits)


@pytest.fixture(scope="session")
def bystander_events(untidy):
    """The same with one more person, who has to do with nobody."""
    return sl.read_events(
        pd.concat([untidy.orders, shops.orders(("by", 60, 7), ("by", 99, 8))]),
        untidy.referrals,
        visits=pd.concat([untidy.visits, shops.visits(("by", 40, "by the way"))]),
    )
