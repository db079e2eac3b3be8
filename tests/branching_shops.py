"""Shops whose buyers bring buyers, and the exact reproduction number behind them.

Only what the loop needs: who bought first on which day, and who brought whom. Many
shops grow side by side, generation by generation. A first order has a time of the day,
and everything is counted in whole days, as in selfloop: somebody who ordered on day f
of a shop of T days (0 to T - 1) was followed for T - 1 - f days.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import gamma, gammainc, hyp1f1

SHAPE, SCALE = 1.5, 40.0
"""Gamma age at which a buyer speaks of the shop, in days ..."""

DELAY = 8.0
"""... and the mean of the exponential delay until the person brought buys."""


class Shops(NamedTuple):
    """Buyers of many shops; `parent` is the row of who brought them, or -1.

    `tree` is the row of the first buyer of the tree; a crowd that somebody brought who
    never bought has no parent within the shop, but one tree: that of its first row.
    """

    n_shops: int
    n_days: int
    shop: np.ndarray
    first_day: np.ndarray
    parent: np.ndarray
    tree: np.ndarray


class Seeds(NamedTuple):
    """Buyers nobody of the shop brought: shop, time in days, and tree (row of it)."""

    shop: np.ndarray
    at: np.ndarray
    tree: np.ndarray


def true_curve(r_total, n_ages):
    """Return the expected buyers brought by a buyer to age 0, 1, ... whole days.

    With a uniform time of the day U and a delay X from order to order, the age in whole
    days is floor(U + X), so P(age <= a) is the mean of F(x) over x from a to a + 1.
    """
    node, weight = np.polynomial.legendre.leggauss(20)
    x = np.arange(n_ages)[:, None] + (node + 1) / 2
    # F(x) of the sum = gamma cdf - integral of its density times e^(-(x - s) / DELAY).
    # The integral of s^(1/2) e^(cs) is x^(3/2) 1F1(3/2; 5/2; cx) / (3/2), and
    # 1F1(a; b; z) = e^z 1F1(b - a; b; -z) takes the growing factor out.
    c = 1 / DELAY - 1 / SCALE
    late = x**SHAPE / SHAPE * hyp1f1(1.0, SHAPE + 1, -c * x) * np.exp(-x / SCALE)
    late /= gamma(SHAPE) * SCALE**SHAPE
    cdf = gammainc(SHAPE, x / SCALE) - late
    return r_total * (cdf * weight / 2).sum(axis=1)


def buyers_per_seed(r_total, arrivals):
    """Return how many buyers a seed ends in by the last day, itself included.

    `arrivals` weighs the days on which seeds come. A buyer of age a has led to
    D(a) = 1 + sum over s of m(s) D(a - s) buyers, m(s) the buyers brought at age s.
    """
    n_days = arrivals.size
    brought = np.diff(true_curve(r_total, n_days), prepend=0.0)
    led_to = np.ones(n_days)
    for age in range(n_days):
        later = brought[1 : age + 1] @ led_to[:age][::-1]
        led_to[age] = (1.0 + later) / (1.0 - brought[0])
    return float(np.average(led_to[::-1], weights=arrivals))


def even_seeds(rng, *, n_shops, n_seeds, start, stop):
    """Return a Poisson number of seeds per shop, at even times, a tree each."""
    number = rng.poisson(n_seeds, n_shops)
    shop = np.repeat(np.arange(n_shops), number)
    return Seeds(shop, rng.uniform(start, stop, shop.size), np.arange(shop.size))


def rising_seeds(rng, *, n_shops, n_seeds, n_days, rate):
    """Return seeds that arrive ever faster (or slower): e^(rate * day)."""
    even = even_seeds(rng, n_shops=n_shops, n_seeds=n_seeds, start=0.0, stop=1.0)
    at = np.log1p(even.at * np.expm1(rate * n_days)) / rate
    return even._replace(at=at)


def one_crowd(seeds):
    """Return the seeds of each shop as one tree: brought by one who never bought."""
    first = np.full(seeds.shop.max(initial=-1) + 1, seeds.shop.size)
    np.minimum.at(first, seeds.shop, np.arange(seeds.shop.size))
    return seeds._replace(tree=first[seeds.shop])


def together(*groups):
    """Put several groups of seeds into the same shops."""
    before = np.cumsum([0] + [group.shop.size for group in groups[:-1]])
    return Seeds(
        np.concatenate([group.shop for group in groups]),
        np.concatenate([group.at for group in groups]),
        np.concatenate(
            [group.tree + n for group, n in zip(groups, before, strict=True)]
        ),
    )


def grow(rng, seeds, *, n_shops, n_days, r_total, k):
    """Let seeds bring buyers, and these buyers, until the shop's last day.

    A buyer brings Poisson(theta r_total), theta gamma of mean 1 and shape k (all 1 for
    k = inf), each at an age of gamma(SHAPE, SCALE) plus exponential(DELAY) days.
    """
    shop, at, tree = seeds.shop, seeds.at, seeds.tree
    row = np.arange(shop.size)
    parent = np.full(shop.size, -1)
    found = [(shop, at, parent, tree)]
    n_rows = shop.size
    while row.size:
        keen = np.ones(row.size) if np.isinf(k) else rng.gamma(k, 1 / k, row.size)
        by = np.repeat(np.arange(row.size), rng.poisson(r_total * keen))
        when = at[by] + rng.gamma(SHAPE, SCALE, by.size)
        when += rng.exponential(DELAY, by.size)
        by, when = by[when < n_days], when[when < n_days]
        shop, at, parent, tree = shop[by], when, row[by], tree[by]
        row = n_rows + np.arange(by.size)
        n_rows += by.size
        found.append((shop, at, parent, tree))
    shop, at, parent, tree = (np.concatenate(part) for part in zip(*found, strict=True))
    return Shops(n_shops, n_days, shop, at.astype(np.int64), parent, tree)


def large_trees(rng, *, n_trees, n_days, r_total, k, at_least, batch=20_000):
    """Return trees of one buyer of day 0, each its own shop, that have become large.

    Trees grow until enough have reached the size on the last day; nothing else is
    asked of them.
    """
    kept, n_kept = [], 0
    while n_kept < n_trees:
        one = Seeds(np.arange(batch), rng.random(batch), np.arange(batch))
        all_trees = grow(rng, one, n_shops=batch, n_days=n_days, r_total=r_total, k=k)
        size = np.bincount(all_trees.shop, minlength=batch)
        chosen = np.flatnonzero(size >= at_least)[: n_trees - n_kept]
        kept.append(_only(all_trees, chosen, n_kept))
        n_kept += chosen.size
    return join(*kept, n_shops=n_trees)


def _only(shops, chosen, start):
    """Keep the chosen shops and number them from `start` on."""
    number = np.full(shops.n_shops, -1)
    number[chosen] = start + np.arange(chosen.size)
    inside = number[shops.shop] >= 0
    row = np.append(np.cumsum(inside) - 1, -1)
    return shops._replace(
        shop=number[shops.shop][inside],
        first_day=shops.first_day[inside],
        parent=row[shops.parent[inside]],
        tree=row[shops.tree[inside]],
    )


def join(*parts, n_shops):
    """Put the buyers of several sets into the same shops."""
    before = np.cumsum([0] + [part.shop.size for part in parts[:-1]])
    pairs = list(zip(parts, before, strict=True))
    return Shops(
        n_shops,
        parts[0].n_days,
        np.concatenate([part.shop for part in parts]),
        np.concatenate([part.first_day for part in parts]),
        np.concatenate([np.where(p.parent < 0, -1, p.parent + n) for p, n in pairs]),
        np.concatenate([part.tree + n for part, n in pairs]),
    )


class History(NamedTuple):
    """What selfloop counts R from, for one shop."""

    n_events: np.ndarray
    n_followup: np.ndarray
    person: np.ndarray
    age: np.ndarray
    followup: np.ndarray


def histories(shops):
    """Yield what each shop looks like on its last day."""
    n_days = shops.n_days
    followup = n_days - 1 - shops.first_day
    brought = np.flatnonzero(shops.parent >= 0)
    brought = brought[np.argsort(shops.shop[brought], kind="stable")]
    by = shops.parent[brought]
    age = shops.first_day[brought] - shops.first_day[by]
    ends = np.bincount(
        shops.shop * n_days + followup, minlength=shops.n_shops * n_days
    ).reshape(shops.n_shops, n_days)
    cut = np.searchsorted(shops.shop[brought], np.arange(shops.n_shops + 1))
    for shop in range(shops.n_shops):
        rows = slice(cut[shop], cut[shop + 1])
        yield History(
            np.bincount(age[rows], minlength=n_days),
            ends[shop],
            by[rows],
            age[rows],
            followup[by[rows]],
        )
