"""Analyses that the tests of reports share; each is made once."""

import warnings

import numpy as np
import pandas as pd
import pytest

import selfloop as sl

HOSTILE = (
    "<script>alert(1)</script>", "=cmd()", "</script><script>alert(2)</script>",
    "+1", "@SUM(A1)", "\"'><img src=x onerror=alert(3)>", "-2", "\u202e007",
)  # fmt: skip
"""Customer ids chosen to do harm in HTML, JSON or a spreadsheet."""


@pytest.fixture(scope="session")
def shop():
    """The simulated shop that is also in data/sample."""
    return sl.simulate(n_visitors=2000, seed=7)


@pytest.fixture(scope="session")
def analysis(shop):
    """A shop with all four tables."""
    events = sl.read_events(
        shop.orders, shop.referrals, visits=shop.visits, spend=shop.spend
    )
    return sl.analyze(events)


@pytest.fixture(scope="session")
def orders_only(shop):
    """A shop of which only the orders are known."""
    return sl.analyze(sl.read_events(shop.orders), model="mbg_nbd")


@pytest.fixture(scope="session")
def hostile():
    """Customers who bring one another, with ids chosen to do harm."""
    n = len(HOSTILE)
    orders = pd.DataFrame({
        "customer_id": HOSTILE * 3,
        "ordered_at": pd.date_range("2026-01-01", periods=3 * n, freq="3D"),
        "amount": 10.0,
        "channel": "<b>=1+1</b>",
    })  # fmt: skip
    referrals = pd.DataFrame({
        "referrer_id": HOSTILE[:-1],
        "referee_id": HOSTILE[1:],
        "referred_at": pd.date_range("2025-12-31", periods=n - 1, freq="3D"),
    })  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sl.DataWarning)
        return sl.analyze(sl.read_events(orders, referrals), model="mbg_nbd")


@pytest.fixture(scope="session")
def nobody():
    """Refunds and nothing else: no buyer."""
    orders = pd.DataFrame({
        "customer_id": ["a", "b"],
        "ordered_at": ["2026-01-01", "2026-01-02"],
        "amount": [-5, -1],
    })  # fmt: skip
    return sl.analyze(sl.read_events(orders))


@pytest.fixture(scope="session")
def hostile_ids():
    """The ids of that shop."""
    return HOSTILE


@pytest.fixture(scope="session")
def young():
    """A shop of 70 days: a model, but no days to test it on."""
    shop = sl.simulate(n_visitors=2500, seed=7, days=70)
    return sl.analyze(sl.read_events(shop.orders, shop.referrals))


@pytest.fixture(scope="session")
def uneven():
    """A shop where spend has no mean: a model, but none of spend."""
    shop = sl.simulate(n_visitors=1500, seed=3)
    people = shop.orders["customer_id"].unique()
    spread = np.exp(np.random.default_rng(5).normal(0, 3, people.size))
    amount = shop.orders["customer_id"].map(dict(zip(people, spread, strict=True)))
    events = sl.read_events(shop.orders.assign(amount=amount), shop.referrals)
    return sl.analyze(events, model="mbg_nbd")
