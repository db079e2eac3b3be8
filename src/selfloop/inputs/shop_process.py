"""The random draw of a simulated shop: people, orders and visits, in batches."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammainc

from selfloop.core.errors import SettingError
from selfloop.inputs.shop import Shop

DAY_SECONDS = 86_400
"""Seconds in a day; times are whole seconds since the start."""

_PEOPLE_PER_BATCH = 250_000
_MAX_PEOPLE_PER_VISITOR = 100_000.0

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Batch:
    """What happened to some visitors and to everybody they brought.

    Times are whole seconds since the start. People are numbered from 0 within the
    batch, every inviter before those they invited.

    Parameters
    ----------
    channel : array of uint8
        Number of the channel of each person (see `Shop.channels`).
    inviter : array of int64
        Who invited each person; -1 for visitors from outside.
    arrived, first : array of int64
        Arrival and first order of each person; ``first`` is -1 when there was none
        before the end.
    order_person, order_time, order_cents : array of int64
        All orders in order of time.
    visit_person, visit_time : array of int64
        All visits in order of time.
    """

    channel: npt.NDArray[np.uint8]
    inviter: Ints
    arrived: Ints
    first: Ints
    order_person: Ints
    order_time: Ints
    order_cents: Ints
    visit_person: Ints
    visit_time: Ints


def expected_people(shop: Shop, *, days: int) -> float:
    """Return how many people a visitor from outside stands for, at most.

    Parameters
    ----------
    shop : Shop
        The shop.
    days : int
        Length of the period in days.

    Returns
    -------
    float
        1 for the visitor, and the expected number of people who follow by the end
        if nobody hesitated before buying; an upper limit therefore.

    Examples
    --------
    >>> expected_people(Shop(invitations=0), days=720)
    1.0
    """
    ages = np.arange(days + 1) / shop.invitation_days
    brought = shop.reproduction * np.diff(gammainc(shop.invitation_shape, ages))
    outside = math.fsum(s.share * s.conversion for s in shop.sources) / days
    buyers = np.full(days, outside)
    for day in range(days):
        # brought[0] falls on the same day and would feed on itself: next day.
        buyers[day] += buyers[:day] @ brought[:day][::-1]
        if buyers[day] > _MAX_PEOPLE_PER_VISITOR:
            return math.inf
    return 1.0 + shop.invitations * float(buyers.sum())


def draw_batches(
    shop: Shop, *, n_visitors: int, seed: int, days: int
) -> Iterator[Batch]:
    """Draw visitors from outside and all that follows from them, batch by batch.

    Parameters
    ----------
    shop : Shop
        The shop.
    n_visitors : int
        Visitors from outside, at least 1.
    seed : int
        Seed, at least 0. Every batch has its own random stream, and its size
        depends on `shop` and `days` only: not on the machine.
    days : int
        Length of the period in days.

    Yields
    ------
    Batch
        Independent of the others.

    Raises
    ------
    SettingError
        When the referrals of the shop explode within `days`.

    Examples
    --------
    >>> batch, = draw_batches(Shop(), n_visitors=50, seed=1, days=90)
    >>> int((batch.inviter < 0).sum())
    50
    """
    per_visitor = expected_people(shop, days=days)
    if per_visitor > _MAX_PEOPLE_PER_VISITOR:
        raise SettingError(
            f"in {days} days these referrals make more than "
            f"{_MAX_PEOPLE_PER_VISITOR:,.0f} people out of one visitor (R = "
            f"{shop.reproduction:g}); use fewer invitations or fewer days"
        )
    # A power of two, so that the last digits of a logarithm cannot move it.
    size = 1 << max(0, int(math.log2(_PEOPLE_PER_BATCH / per_visitor)))
    streams = np.random.SeedSequence(seed).spawn(math.ceil(n_visitors / size))
    for i, stream in enumerate(streams):
        rng = np.random.default_rng(stream)
        n = min(size, n_visitors - i * size)
        yield _draw_batch(shop, n, days * DAY_SECONDS, rng)


def _draw_batch(shop: Shop, n: int, end: int, rng: np.random.Generator) -> Batch:
    """Draw `n` visitors from outside, generation by generation, and their events."""
    edges = np.cumsum([s.share for s in shop.sources])[:-1]
    channel = np.searchsorted(edges, rng.random(n), side="right")
    arrived = rng.integers(0, end, n)
    inviter = np.full(n, -1)
    people: list[tuple[Ints, Ints, Ints, Ints]] = []
    n_before = 0
    while arrived.size:
        first = _draw_first_orders(shop, channel, arrived, end, rng)
        people.append((channel, inviter, arrived, first))
        row, arrived = _draw_invitations(shop, first, end, rng)
        channel = np.full(arrived.size, len(shop.sources))
        inviter = n_before + row
        n_before += first.size
    channel, inviter, arrived, first = (
        np.concatenate(x) for x in zip(*people, strict=True)
    )
    visits = _draw_visits(shop, arrived, end, rng)
    orders = _draw_orders(shop, first, end, rng)
    return Batch(channel.astype(np.uint8), inviter, arrived, first, *orders, *visits)


def _seconds(wait_days: Floats) -> Ints:
    """Return waiting times as whole seconds, at least one, so that order holds."""
    return np.maximum(1, wait_days * DAY_SECONDS).astype(np.int64)


def _draw_first_orders(
    shop: Shop, channel: Ints, arrived: Ints, end: int, rng: np.random.Generator
) -> Ints:
    """Return the time of each person's first order; -1 for none before `end`."""
    conversion = [s.conversion for s in shop.sources] + [shop.referral_conversion]
    shape = [s.delay_shape for s in shop.sources] + [shop.referral_delay_shape]
    scale = [s.delay_days for s in shop.sources] + [shop.referral_delay_days]
    row = np.flatnonzero(rng.random(arrived.size) < np.array(conversion)[channel])
    of_buyer = channel[row]
    delay = rng.gamma(np.array(shape)[of_buyer], np.array(scale)[of_buyer])
    time = arrived[row] + _seconds(delay)
    first = np.full(arrived.size, -1)
    first[row] = np.where(time < end, time, -1)
    return first


def _draw_invitations(
    shop: Shop, first: Ints, end: int, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return the inviter's row and the arrival of everybody invited before `end`."""
    buyers = np.flatnonzero(first >= 0)
    own = rng.gamma(shop.invitation_k, 1 / shop.invitation_k, buyers.size)
    row = np.repeat(buyers, rng.poisson(own * shop.invitations))
    age = rng.gamma(shop.invitation_shape, shop.invitation_days, row.size)
    arrived = first[row] + _seconds(age)
    inside = arrived < end
    return row[inside], arrived[inside]


def _draw_orders(
    shop: Shop, first: Ints, end: int, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """Return person, time and value in cents of every order, in order of time."""
    buyers = np.flatnonzero(first >= 0)
    left = end - first[buyers]
    rate = rng.gamma(shop.purchase_r, 1 / shop.purchase_alpha_days, buyers.size)
    leaves = np.maximum(rng.beta(shop.dropout_a, shop.dropout_b, buyers.size), 1e-12)
    wanted = rng.poisson(rate * (left / DAY_SECONDS))
    n_repeat = np.minimum(wanted, rng.geometric(leaves))
    row, share = _first_of_uniform(wanted, n_repeat, rng)
    repeat = first[buyers][row] + np.maximum(1, (share * left[row]).astype(np.int64))
    nu = rng.gamma(shop.spend_q, 1 / shop.spend_v, buyers.size)
    row = np.concatenate([np.arange(buyers.size), row])
    value = rng.gamma(shop.spend_p, size=row.size) / nu[row]
    cents = np.maximum(1, np.rint(value * 100)).astype(np.int64)
    time = np.concatenate([first[buyers], np.minimum(repeat, end - 1)])
    order = np.argsort(time, kind="stable")
    return buyers[row][order], time[order], cents[order]


def _first_of_uniform(
    n: Ints, m: Ints, rng: np.random.Generator
) -> tuple[Ints, Floats]:
    """Return, by row, the smallest `m` of `n` uniform numbers, in rising order.

    They are partial sums of n + 1 exponential gaps over the sum of all gaps; the
    n + 1 - m gaps after the last one needed are one gamma number.
    """
    row = np.repeat(np.arange(n.size), m)
    gaps = rng.standard_exponential(row.size)
    sums = np.concatenate([[0.0], np.cumsum(gaps)])
    stop = np.cumsum(m)
    before = sums[stop - m]
    rest = rng.standard_gamma(n + 1 - m)
    total = sums[stop] - before + rest
    return row, (sums[1:] - before[row]) / total[row]


def _draw_visits(
    shop: Shop, arrived: Ints, end: int, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return person and time of every visit, in order of time."""
    person = np.arange(arrived.size)
    again = np.repeat(person, rng.poisson(shop.extra_visits, arrived.size))
    wait = rng.exponential(shop.extra_visit_days, again.size)
    person = np.concatenate([person, again])
    time = np.concatenate([arrived, arrived[again] + _seconds(wait)])
    order = np.argsort(time, kind="stable")
    order = order[time[order] < end]
    return person[order], time[order]
