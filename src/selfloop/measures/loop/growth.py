"""How the loop would go without ads: growth, multiplier, and how cascades spread."""

from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.display import show_html, show_text
from selfloop.core.errors import FitError
from selfloop.core.settings import CONFIDENCE, MIN_AT_RISK, check_whole
from selfloop.inputs.events import Events
from selfloop.kernels.cascades import (
    cascade_sizes,
    dies_out,
    expected_counts,
    final_sizes,
    mean_cascade,
)
from selfloop.kernels.forest import heads
from selfloop.kernels.growth import days_to_double, days_to_halve, growth_interval
from selfloop.kernels.intervals import normal_quantile
from selfloop.kernels.keenness import fit_spread
from selfloop.kernels.renewal import multiplier
from selfloop.kernels.survival import MeanCumulative
from selfloop.measures.loop.ages import IntArray, ReferralAges, referral_ages
from selfloop.measures.loop.reproduction import longest_age

SIZES = (1, 2, 3, 4, 6, 11, 21, 51)
"""Smallest size of each class of cascades; the last has no upper end."""


@dataclass(frozen=True, eq=False)
class LoopGrowth:
    """How the loop would go without ads, made by `loop_growth`.

    Parameters
    ----------
    verdict : str
        ``sustains`` when R is at least 1 beyond doubt (lower end of its interval),
        ``fades`` when it is below 1 beyond doubt, else ``open``; empty with a
        `reason`.
    r, r_low, r_high : float
        R by age `horizon_days`.
    horizon_days : int or None
        The longest age that enough buyers have reached: all is counted to it, and
        later referrals would make all of it more.
    rate, rate_low, rate_high : float
        Growth per day, continuously compounded: e^rate is the factor of a day.
    doubling_days, doubling_days_low, doubling_days_high : float
        Days in which the number of new buyers doubles; missing when the rate is not
        above 0. The high end is infinite when it may not grow at all.
    halving_days, halving_days_low, halving_days_high : float
        The same for a rate below 0.
    multiplier, multiplier_low, multiplier_high : float
        1 / (1 - R): buyers that one buyer from outside ends in; infinite where R may
        be 1 or more.
    k : float
        How alike buyers are in bringing others; missing when nobody brought anybody.
    share_dying : float
        Share of cascades that come to an end by the branching prediction: 1 up to
        R = 1.
    cascades : DataFrame
        Columns of `schema.CASCADES`: sizes of cascades beside the prediction.
    mean_size, expected_size : float
        Mean size of the cascades so far, and the prediction at their ages.
    n_seeds : int
        Buyers whom no buyer brought; each begins a cascade.
    reason : str
        Why it cannot be told; empty when it can.
    end : date
        Last observed day.
    """

    verdict: str
    r: float
    r_low: float
    r_high: float
    horizon_days: int | None
    rate: float
    rate_low: float
    rate_high: float
    doubling_days: float
    doubling_days_low: float
    doubling_days_high: float
    halving_days: float
    halving_days_low: float
    halving_days_high: float
    multiplier: float
    multiplier_low: float
    multiplier_high: float
    k: float
    share_dying: float
    cascades: pd.DataFrame = field(repr=False)
    mean_size: float
    expected_size: float
    n_seeds: int
    reason: str
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the cascades, columns of `schema.CASCADES`."""
        return self.cascades.copy()

    def __repr__(self) -> str:
        """Show growth and cascades as text."""
        return show_text("Loop growth", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show growth and cascades in a notebook."""
        return show_html("Loop growth", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List the headlines."""
        facts: list[tuple[str, object]] = [("observed to", self.end)]
        if self.reason:
            return [*facts, ("missing", self.reason)]
        facts += [
            ("verdict", self.verdict),
            (f"R by day {self.horizon_days}", _shown(self, "r")),
            ("growth per day", _shown(self, "rate", 5)),
        ]
        for name in ("doubling_days", "halving_days"):
            if not np.isnan(getattr(self, name)):
                facts.append((name.replace("_", " "), _shown(self, name, 0)))
        return [
            *facts,
            ("multiplier", _shown(self, "multiplier", 2)),
            ("mean size of cascades", f"{self.mean_size:.2f}"),
            ("the same by the prediction", f"{self.expected_size:.2f}"),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [("cascades", self.cascades, "cascades")]


def _shown(growth: LoopGrowth, name: str, digits: int = 3) -> str:
    """Write a number with its interval."""
    value, low, high = (getattr(growth, name + end) for end in ("", "_low", "_high"))
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def loop_growth(events: Events, *, min_at_risk: int = MIN_AT_RISK) -> LoopGrowth:
    """Say how the shop would grow or shrink if nobody came from outside any more.

    Parameters
    ----------
    events : Events
        Result of `read_events`, with referrals.
    min_at_risk : int
        Referrals count to the longest age that so many buyers have reached; at
        least 1.

    Returns
    -------
    LoopGrowth

    Raises
    ------
    MissingTableError
        There is no table of referrals.
    SettingError
        `min_at_risk` is below 1.

    Notes
    -----
    Growth r solves sum over a of e^(-r a) d(a) / n(a) = 1 [1]_, with d(a) and n(a) as
    in `self_loop`; its interval holds every rate at which that of the sum holds 1.

    A *cascade* is a buyer whom no buyer brought and all who follow. If the numbers
    that buyers bring by age a are Poisson with mean theta M(a), theta Gamma(k, k)
    distributed, sizes after t days follow exactly [2]_, by the age of each seed;
    ``expected`` adds them up. ``final_share`` is the size in the end [3]_, for R below
    1. Sizes that differ from it say that buyers of one cascade are alike.

    References
    ----------
    .. [1] J. Wallinga, M. Lipsitch, "How generation intervals shape the relationship
       between growth rates and reproductive numbers", Proc. R. Soc. B 274 (2007).
    .. [2] H. H. Panjer, "Recursive evaluation of a family of compound distributions",
       ASTIN Bulletin 12 (1981).
    .. [3] S. Blumberg, J. O. Lloyd-Smith, "Inference of R0 and transmission
       heterogeneity from the size distribution of stuttering chains", PLoS Comput.
       Biol. 9 (2013).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> sl.loop_growth(sl.read_events(shop.orders, shop.referrals)).verdict
    'fades'
    """
    Events.check(events)
    events.need("referrals", "loop_growth")
    check_whole("min_at_risk", min_at_risk, low=1)
    return growth_of(referral_ages(events), end=events.end, min_at_risk=min_at_risk)


def growth_of(
    ages: ReferralAges, *, end: date, min_at_risk: int = MIN_AT_RISK
) -> LoopGrowth:
    """Say the same from buyers as parents of buyers.

    Parameters
    ----------
    ages : ReferralAges
        Of all buyers.
    end : date
        Last observed day.
    min_at_risk : int
        As in `loop_growth`.

    Returns
    -------
    LoopGrowth
    """
    curve, band = ages.curve()
    longest = longest_age(curve, min_at_risk)
    seeds, sizes = _cascades_of(ages)
    if longest is None:
        why = f"fewer than {min_at_risk} buyers observed for a day"
        return _unknown(seeds, why, end)
    r, low, high = (float(c[longest]) for c in (curve.mean, band.low, band.high))
    growth = growth_interval(
        curve, person=ages.person, age=ages.age, followup=ages.followup, up_to=longest,
        confidence=CONFIDENCE,
    )  # fmt: skip
    doubling, halving = days_to_double(growth), days_to_halve(growth)
    gain = multiplier(r, low=low, high=high)
    k = _spread(ages, curve)
    table, expected = _table(curve, k, longest, seeds, sizes)
    return LoopGrowth(
        verdict="sustains" if low >= 1 else "fades" if high < 1 else "open",
        r=r, r_low=low, r_high=high, horizon_days=longest,
        rate=growth.rate, rate_low=growth.low, rate_high=growth.high,
        doubling_days=doubling.value, doubling_days_low=doubling.low,
        doubling_days_high=doubling.high,
        halving_days=halving.value, halving_days_low=halving.low,
        halving_days_high=halving.high,
        multiplier=float(gain.multiplier), multiplier_low=float(gain.low),
        multiplier_high=float(gain.high),
        k=k,
        share_dying=1.0 if r <= 1 else np.nan if np.isnan(k) else dies_out(r, k=k),
        cascades=table,
        mean_size=float(ages.n_followup.sum() / max(1, seeds.sum())),
        expected_size=expected,
        n_seeds=int(seeds.sum()),
        reason="",
        end=end,
    )  # fmt: skip


def _unknown(seeds: IntArray, reason: str, end: date) -> LoopGrowth:
    """Return what can be said when there is no R."""
    missing: dict[str, Any] = {
        f.name: np.nan for f in fields(LoopGrowth) if f.type in (float, "float")
    }
    return LoopGrowth(
        verdict="",
        horizon_days=None,
        cascades=pd.DataFrame(columns=schema.names("cascades")),
        n_seeds=int(seeds.sum()),
        reason=reason,
        end=end,
        **missing,
    )


def _cascades_of(ages: ReferralAges) -> tuple[IntArray, IntArray]:
    """Return seeds by days of follow-up, and sizes of the cascades of more than one."""
    followup = ages.n_followup.sum(axis=0)
    brought = np.bincount(ages.brought_followup, minlength=followup.size)
    head = heads(ages.brought, ages.person)
    _, n_brought = np.unique(head, return_counts=True)
    return followup - brought, n_brought + 1


def _spread(ages: ReferralAges, curve: MeanCumulative) -> float:
    """Return how alike buyers are in bringing others; NaN when nobody does."""
    if not ages.person.size:
        return np.nan
    _, place, count = np.unique(ages.person, return_index=True, return_counts=True)
    followup = ages.n_followup.sum(axis=0)
    who = ages.followup[place]
    none = followup - np.bincount(who, minlength=followup.size)
    days = np.arange(followup.size)
    y = np.concatenate([count, np.zeros(days.size)])
    age = np.concatenate([who, days])
    people = np.concatenate([np.ones(count.size), none])
    kept = people > 0
    try:
        fit = fit_spread(y[kept], mean=curve.mean[age[kept]], counts=people[kept])
    except FitError:
        return np.nan
    return float(fit.params["k"])


def _table(
    curve: MeanCumulative, k: float, longest: int, seeds: IntArray, sizes: IntArray
) -> tuple[pd.DataFrame, float]:
    """Write sizes of cascades beside the prediction, and the mean predicted."""
    n_seeds = int(seeds.sum())
    alone = n_seeds - sizes.size
    edges = np.array([*SIZES, np.iinfo(np.int64).max])
    found, _ = np.histogram(sizes, edges)
    found[0] += alone
    last = [str(high - 1) for high in SIZES[1:]]
    table = pd.DataFrame(
        {
            "size_low": SIZES,
            "size_high": [*(int(x) for x in last), pd.NA],
            "n_seeds": found,
            "share": found / max(1, n_seeds),
        }
    )
    if not curve.n_events.sum():
        k = np.inf  # nobody brings anybody, alike or not
    if np.isnan(k):
        return table.reindex(columns=schema.names("cascades")), np.nan
    # Ages that too few have reached bring noise of a few buyers.
    births = np.nan_to_num(curve.increment[: longest + 1])
    n_days = seeds.size - 1
    chances = cascade_sizes(births, k=k, n_days=n_days, n_max=SIZES[-1] - 1)
    counts = expected_counts(seeds, sizes_prob=chances, bins=np.array(SIZES))
    reach = normal_quantile(CONFIDENCE) * counts.std
    table = table.assign(
        expected=counts.expected,
        expected_low=np.maximum(0.0, counts.expected - reach),
        expected_high=np.minimum(n_seeds, counts.expected + reach),
    )
    r = float(births.sum())
    if r < 1:
        final = final_sizes(r, k=k, n_max=SIZES[-1] - 1)
        below = np.append(np.cumsum(final)[np.array(SIZES) - 1], 1.0)
        table["final_share"] = np.maximum(0.0, np.diff(below))
    means = mean_cascade(births, n_days=n_days)
    return (
        table.reindex(columns=schema.names("cascades")),
        float(seeds @ means / n_seeds) if n_seeds else np.nan,
    )
