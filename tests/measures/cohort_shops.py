"""Shops drawn without the engine, to ask many of them how sure cohorts are."""

from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd

from selfloop.measures.cohorts.cells import N_GROUPS, UNITS, Ages, Cells
from selfloop.measures.cohorts.triangle import Cohorts


class Shop(NamedTuple):
    """People, and what they did at each age: purchases and money, also later ones."""

    cohort: np.ndarray
    orders: np.ndarray
    revenue: np.ndarray


def draw_shop(
    seed,
    n_people,
    *,
    alpha=20.0,
    cohort_spread=0.0,
    big_spenders=False,
    change_at=None,
    season=0.0,
):
    """Draw buyers of periods of 30 days from BG/NBD, with gamma spend.

    Rates of customers are gamma with shape 0.6 and scale 1 / alpha per day; after each
    repeat purchase they leave with probability beta(0.8, 2.2). `cohort_spread` is the
    log sd of levels of cohorts, `change_at` a period from which on four in ten repeat
    purchases are not made, `season` how far their number swings in a year.
    """
    rng = np.random.default_rng(seed)
    n_periods = len(n_people)
    cohort = np.repeat(np.arange(n_periods), n_people)
    n = cohort.size
    first = (cohort + rng.random(n)) * 30
    level = np.exp(rng.normal(0, cohort_spread, n_periods) - cohort_spread**2 / 2)
    rate = rng.gamma(0.6, 1 / alpha, n) * level[cohort]
    leave = rng.beta(0.8, 2.2, n)
    mean = (
        20 * np.exp(rng.normal(0, 1.5, n))
        if big_spenders
        else 81 / rng.gamma(3.7, 1.0, n)
    )
    who, when = [np.arange(n)], [first]
    person, now = np.arange(n), first
    while person.size:
        now = now + rng.exponential(1 / rate[person])
        in_time = now < 60 * n_periods
        person, now = person[in_time], now[in_time]
        who.append(person)
        when.append(now)
        stays = rng.random(person.size) >= leave[person]
        person, now = person[stays], now[stays]
    person, now = np.concatenate(who), np.concatenate(when)
    is_repeat = np.arange(now.size) >= n
    chance = (1 + season * np.sin(2 * np.pi * now / 360)) / (1 + season)
    if change_at is not None:
        chance = np.where(now > 30 * change_at, 0.6, chance)
    made = ~is_repeat | (rng.random(now.size) < chance)
    person, now = person[made], now[made]
    age = (now // 30).astype(int) - cohort[person]
    orders = np.zeros((n, 2 * n_periods))
    revenue = np.zeros((n, 2 * n_periods))
    np.add.at(orders, (person, age), 1)
    np.add.at(revenue, (person, age), rng.gamma(6.0, mean[person] / 6.0))
    return Shop(cohort, orders, revenue)


def cohorts_of(shop):
    """Return the cohorts of a shop as they stand after its last period."""
    n_periods = int(shop.cohort.max()) + 1
    group = np.random.default_rng(7).integers(0, N_GROUPS, shop.cohort.size)
    last = n_periods - 1 - np.arange(n_periods)
    seen = np.arange(shop.orders.shape[1]) <= last[shop.cohort][:, None]
    person, age = np.nonzero((shop.orders > 0) & seen)
    orders, revenue = shop.orders[person, age], shop.revenue[person, age]
    done = pd.DataFrame({
        "segment_no": 0, "cohort": shop.cohort[person], "age": age,
        "group_no": group[person], "n_active": 1, "n_orders": orders,
        "revenue": np.round(revenue * UNITS), "orders_squared": orders**2,
        "revenue_squared": revenue**2,
    })  # fmt: skip
    done = done.groupby(["segment_no", "cohort", "age", "group_no"], as_index=False)
    people = pd.DataFrame({
        "segment_no": 0, "cohort": shop.cohort, "group_no": group, "last_age": 0,
        "n_people": 1,
    })  # fmt: skip
    people = people.groupby(["segment_no", "cohort", "group_no"], as_index=False)
    born = pd.DataFrame({
        "segment_no": 0, "cohort": np.arange(n_periods), "first_day": 0, "last_day": 0
    })  # fmt: skip
    cells = Cells(done.sum(), people.sum(), born, ("all",), N_GROUPS)
    ages = Ages(np.zeros(n_periods, int), np.arange(n_periods), last, last)
    return Cohorts(
        table=pd.DataFrame(), period="month", clock="calendar", by=None,
        end=date(2026, 1, 1), cells=cells, ages=ages,
    )  # fmt: skip
