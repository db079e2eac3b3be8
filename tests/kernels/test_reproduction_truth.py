"""R(H), the growth and their intervals against the truth of simulated loops.

Shops of 1,000 to 6,000 buyers, a few hundred of each kind; at 6,000 there is no kind
in which R is off by 2 %, at fewer there is one, which has a test of its own. Buyers
bring Poisson numbers with gamma keenness: k = inf is all alike, k = 0.1 a heavy tail
(the keenest tenth brings nine of ten). In some shops one tree holds half of all buyers.
"""

from typing import NamedTuple

import branching_shops as branching
import numpy as np
import pytest

from selfloop.kernels.growth import growth_interval
from selfloop.kernels.renewal import growth_rate
from selfloop.kernels.survival import mean_cumulative, mean_cumulative_interval

AT_RISK = 30
N_SHOPS = 300


class Kind(NamedTuple):
    """A kind of shop: how it grows, and how its first buyers come."""

    seeds: str
    r_total: float
    k: float
    n_days: int
    n_buyers: int = 2_000

    def __str__(self):
        kind = f"{self.seeds}, R {self.r_total}, k {self.k}, {self.n_days} days"
        return f"{kind}, {self.n_buyers} buyers"


def even_of(kind, rng, n_shops, *, share=1.0, start=0, stop=None):
    """Return even seeds of some days, for a share of the buyers wanted."""
    days = np.arange(kind.n_days)
    stop = kind.n_days if stop is None else stop
    inside = ((days >= start) & (days < stop)).astype(float)
    n_seeds = share * kind.n_buyers / branching.buyers_per_seed(kind.r_total, inside)
    return branching.even_seeds(
        rng, n_shops=n_shops, n_seeds=n_seeds, start=start, stop=stop
    )


def rising_of(kind, rng, n_shops):
    """Return seeds that come ever faster: 400 times as many on the last day."""
    rate = 6.0 / kind.n_days
    arrivals = np.exp(rate * np.arange(kind.n_days))
    n_seeds = kind.n_buyers / branching.buyers_per_seed(kind.r_total, arrivals)
    return branching.rising_seeds(
        rng, n_shops=n_shops, n_seeds=n_seeds, n_days=kind.n_days, rate=rate
    )


def shops_of(kind, *, seed, n_shops=N_SHOPS):
    """Let a few hundred shops of a kind grow."""
    rng = np.random.default_rng(seed)
    process = {"n_days": kind.n_days, "r_total": kind.r_total, "k": kind.k}
    if kind.seeds == "one tree":
        # Half or more from one buyer of the first day, of whom only the size of the
        # tree at the end is asked; then advertising, which brings small trees.
        big = branching.large_trees(
            rng, n_trees=n_shops, at_least=0.4 * kind.n_buyers, **process
        )
        late = kind.n_days - kind.n_days // 4
        small = even_of(kind, rng, n_shops, share=0.5, start=late)
        rest = branching.grow(rng, small, n_shops=n_shops, **process)
        return branching.join(big, rest, n_shops=n_shops)
    if kind.seeds == "one crowd":
        # Half in the tree of somebody who never bought and brought a crowd early.
        many = even_of(kind, rng, n_shops, share=0.5, stop=kind.n_days // 4)
        small = even_of(kind, rng, n_shops, share=0.5)
        seeds = branching.together(branching.one_crowd(many), small)
    elif kind.seeds == "rising":
        seeds = rising_of(kind, rng, n_shops)
    else:
        seeds = even_of(kind, rng, n_shops)
    return branching.grow(rng, seeds, n_shops=n_shops, **process)


def read(history):
    """Return the curve of one shop and the events its intervals need."""
    curve = mean_cumulative(history.n_events, history.n_followup)
    events = {
        "person": history.person,
        "age": history.age,
        "followup": history.followup,
    }
    return curve, events


def horizons_of(curve):
    """Return 30, 90 and 180 days and the longest age that enough have reached."""
    longest = int(np.flatnonzero(curve.n_at_risk >= AT_RISK)[-1])
    return [h for h in (30, 90, 180) if h < longest] + [longest]


class Score(NamedTuple):
    """One estimate against the truth."""

    horizon: int
    ratio: float
    n_buyers: int
    hit: bool
    k_naive: float


def scores_of(kind, *, seed, n_shops=N_SHOPS):
    """Compare R(H) of every shop and horizon with the truth; the last is longest."""
    truth = branching.true_curve(kind.r_total, kind.n_days)
    found = []
    for history in branching.histories(shops_of(kind, seed=seed, n_shops=n_shops)):
        curve, events = read(history)
        band = mean_cumulative_interval(curve, **events)
        n_buyers = int(curve.n_at_risk[0])
        for place, h in enumerate(reversed(horizons_of(curve))):
            found.append(
                Score(
                    -place,
                    curve.mean[h] / truth[h],
                    n_buyers,
                    band.low[h] <= truth[h] <= band.high[h],
                    curve.n_events[: h + 1].sum() / n_buyers / truth[h],
                )
            )
    return found


def at(scores, place):
    """Return the columns of one horizon: 0 the longest, -1 the next shorter, ..."""
    rows = [score for score in scores if score.horizon == place]
    return Score(*(np.array(column) for column in zip(*rows, strict=True)))


MANY = [
    Kind("even", 0.5, np.inf, 180),
    Kind("even", 0.5, 0.1, 180),
    Kind("even", 0.5, 0.1, 360),
    Kind("even", 0.95, np.inf, 360),
    Kind("even", 0.95, 0.1, 360),
    Kind("even", 0.95, 0.1, 720, 3_000),
    Kind("even", 1.2, np.inf, 720),
    Kind("even", 1.2, 0.1, 360, 3_000),
    Kind("rising", 0.5, 0.1, 180),
    Kind("rising", 0.95, 0.1, 360),
    Kind("one crowd", 0.5, 0.1, 360),
    Kind("one crowd", 0.95, np.inf, 180),
    Kind("one crowd", 0.95, 0.1, 360),
    Kind("one crowd", 1.2, 0.1, 180),
    Kind("one tree", 1.2, np.inf, 1440),
    Kind("one tree", 1.2, 0.1, 1080),
]

LARGE = [
    Kind("even", 0.5, 0.1, 720, 6_000),
    Kind("even", 0.95, 0.1, 720, 6_000),
    Kind("even", 1.2, 0.1, 180, 6_000),
    Kind("even", 1.2, 0.1, 360, 6_000),
    Kind("even", 1.2, 0.1, 720, 6_000),
    Kind("one crowd", 0.95, 0.1, 720, 6_000),
    Kind("one tree", 1.2, 0.1, 1400, 6_000),
]


@pytest.mark.parametrize("kind", [*MANY, *LARGE], ids=str)
def test_r_is_near_the_truth_and_its_interval_holds_it(kind):
    n_shops = 600 if kind.seeds == "one tree" else N_SHOPS
    scores = scores_of(kind, seed=20260711, n_shops=n_shops)
    places = sorted({score.horizon for score in scores})
    assert len(places) >= 3
    for place in places:
        line = at(scores, place)
        assert abs(line.ratio.mean() - 1.0) < 0.02
        assert 0.92 <= line.hit.mean() <= 0.98
    # Buyers brought per buyer, of the same shops, is low: most had no time yet.
    longest = at(scores, 0)
    assert longest.k_naive.mean() < longest.ratio.mean() - 0.04


def test_the_average_shop_of_a_loop_that_grew_by_a_few_people_reads_low():
    # R 1.2 and a heavy tail for two years: how many buyers there are depends on what
    # the first ones brought. Shops whose first buyers brought little are small and
    # read low, and each counts as much as a large one. Counted by buyers, the bias is
    # gone, and the interval holds the truth all the same.
    scores = scores_of(Kind("even", 1.2, 0.1, 720, 1_500), seed=5, n_shops=600)
    for place in (-1, 0):
        line = at(scores, place)
        assert line.ratio.mean() < 0.97
        by_size = np.average(line.ratio, weights=line.n_buyers)
        assert abs(by_size - 1.0) < 0.02
        assert 0.92 <= line.hit.mean() <= 0.98


def test_one_tree_holds_half_of_the_buyers():
    for kind in MANY:
        if kind.seeds.startswith("one"):
            shops = shops_of(kind, seed=1, n_shops=40)
            n_buyers = np.bincount(shops.shop)
            of_tree = np.bincount(shops.tree, minlength=shops.shop.size)
            largest = np.zeros(40)
            np.maximum.at(largest, shops.shop, of_tree[shops.tree])
            assert 0.45 < np.median(largest / n_buyers) < 0.9
            # They hang together by their parents, or by the crowd's tree alone.
            inside = shops.parent >= 0
            assert (shops.tree[inside] == shops.tree[shops.parent[inside]]).all()


GROWING = [
    Kind("even", 0.5, 0.1, 180),
    Kind("even", 0.95, np.inf, 360),
    Kind("even", 1.2, 0.1, 720),
    Kind("one crowd", 0.95, 0.1, 360),
    Kind("one tree", 1.2, 0.1, 1080),
]


@pytest.mark.parametrize("kind", GROWING, ids=str)
def test_the_interval_of_the_growth_holds_the_truth(kind):
    brought = np.diff(branching.true_curve(kind.r_total, kind.n_days), prepend=0.0)
    truths, off, hits = {}, [], []
    for history in branching.histories(shops_of(kind, seed=20260712)):
        curve, events = read(history)
        up_to = min(360, horizons_of(curve)[-1])
        growth = growth_interval(curve, **events, up_to=up_to)
        truth = truths.setdefault(up_to, growth_rate(brought[: up_to + 1]))
        off.append((growth.rate - truth) / growth.standard_error)
        hits.append(growth.low <= truth <= growth.high)
    assert 0.92 <= np.mean(hits) <= 0.98
    assert abs(np.median(off)) < 0.5


def test_the_curve_of_the_truth_is_that_of_many_single_buyers():
    rng = np.random.default_rng(3)
    n = 1_000_000
    delay = rng.gamma(branching.SHAPE, branching.SCALE, n)
    delay += rng.exponential(branching.DELAY, n)
    age = (rng.random(n) + delay).astype(int)
    counted = np.cumsum(np.bincount(age, minlength=400))[:400] / n
    assert counted == pytest.approx(branching.true_curve(1.0, 400), abs=0.0015)
