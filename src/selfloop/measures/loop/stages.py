"""The rate of each stage, and what it would take to change it."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from selfloop.core.errors import SettingError
from selfloop.core.settings import MIN_AT_RISK, check_number
from selfloop.kernels.curves import reached_curves
from selfloop.kernels.rows import FloatArray
from selfloop.measures.loop.cells import LoopCells
from selfloop.measures.loop.running import Change, no_change, with_factor

_TARGET = re.compile(r"(conversion|repurchase|referral)_([1-9][0-9]{0,4})d")

_ARRAYS = {
    "conversion": ("bought", "waiting"),
    "repurchase": ("again", "alone"),
    "referral": ("success", "quiet"),
}


class StageRate(NamedTuple):
    """Share of people who reach a stage within some days.

    Parameters
    ----------
    share : ndarray of float64, shape (N_GROUPS + 1,)
        Without each group of people in turn, and of all (Kaplan-Meier).
    reason : str
        Why it is missing; empty when it is known.
    """

    share: FloatArray
    reason: str


def stage_rate(cells: LoopCells, stage: str, window_days: int) -> StageRate:
    """Return the share that reaches a stage within some days.

    Parameters
    ----------
    cells : LoopCells
        Of all kinds of people.
    stage : {"conversion", "repurchase", "referral"}
        Buy after they came; buy again; bring a buyer.
    window_days : int
        Within so many days.

    Returns
    -------
    StageRate
        The share ``share_within`` of `funnel`.
    """
    nothing = np.full(cells.followup.shape[1] + 1, np.nan)
    if stage == "conversion" and not cells.has_visits:
        return StageRate(nothing, "no table of visits")
    if stage == "referral" and not cells.has_referrals:
        return StageRate(nothing, "no table of referrals")
    did, did_not = (getattr(cells.where(), name)[0] for name in _ARRAYS[stage])
    curves = reached_curves(did, n_waiting=did_not)
    n = int(curves.n_at_risk[window_days]) if window_days < cells.n_days else 0
    if n < MIN_AT_RISK:
        why = f"{n} at risk at day {window_days}, need {MIN_AT_RISK}"
        return StageRate(nothing, why)
    return StageRate(curves.by(window_days), "")


def check_targets(targets: object) -> dict[str, float]:
    """Raise unless targets name stages and can be.

    Parameters
    ----------
    targets : mapping of str to float
        ``conversion_90d``, ``repurchase_90d``, ``referral_90d`` (any number of days):
        the share of people who reach the stage within so many days, above 0 to 1;
        ``traffic`` and ``paid_traffic``: visitors from outside, and from ads, as a
        multiple of today's, 0 to 1,000.

    Returns
    -------
    dict of str to float

    Raises
    ------
    SettingError
        When a name is unknown, a number is outside its range, or a stage is named
        twice.
    """
    if not isinstance(targets, Mapping):
        raise SettingError(f"targets must be a mapping of stages; got {targets!r}")
    seen: dict[str, str] = {}
    for name, value in targets.items():
        found = _TARGET.fullmatch(str(name))
        if name in ("traffic", "paid_traffic"):
            check_number(name, value, low=0, high=1000)
        elif found:
            check_number(name, value, low=1e-9, high=1)
        else:
            raise SettingError(
                f"a target must be traffic, paid_traffic, or conversion, repurchase or "
                f"referral within some days, such as repurchase_90d=0.40; got {name!r}"
            )
        stage = found[1] if found else name
        if stage in seen:
            raise SettingError(
                f"one target per stage; got {seen[stage]!r} and {name!r}"
            )
        seen[stage] = name
    return {name: float(value) for name, value in targets.items()}


def changed(cells: LoopCells, targets: Mapping[str, float]) -> Change:
    """Say by which factor each stage changes to reach its target.

    Parameters
    ----------
    cells : LoopCells
        Of all kinds of people.
    targets : mapping of str to float
        As in `check_targets`.

    Returns
    -------
    Change
        target / present share, each without each group of people and of all.

    Raises
    ------
    SettingError
        When the present share is not known or 0, or some source would convert more
        than everybody.
    """
    change = no_change(cells.followup.shape[1])
    for name, value in targets.items():
        found = _TARGET.fullmatch(name)
        if name == "paid_traffic" and "paid" not in cells.source:
            raise SettingError("paid_traffic cannot be a target: nobody came from ads")
        if not found:
            field = "paid" if name == "paid_traffic" else name
            change = with_factor(change, field, float(value))
            continue
        stage, days = found[1], int(found[2])
        rate = stage_rate(cells, stage, days)
        if rate.reason:
            raise SettingError(f"{name} cannot be a target: {rate.reason}")
        if not rate.share[-1] > 0:
            raise SettingError(
                f"{name} cannot be a target: nobody has reached the stage in {days} "
                "days, so there is nothing to scale"
            )
        with np.errstate(divide="ignore"):
            factor = np.where(rate.share > 0, value / rate.share, np.nan)
        change = with_factor(change, stage, factor)
    _check_conversion(cells, float(change.conversion[-1]))
    return change


def _check_conversion(cells: LoopCells, factor: float) -> None:
    """Raise when a source would convert more than everybody."""
    if factor <= 1:
        return
    for source in sorted(set(cells.source)):
        mine = cells.where(source=source)
        n_arrived = mine.arrived.sum()
        # People first seen when they bought say nothing of those who did not.
        if n_arrived < MIN_AT_RISK or not mine.waiting.sum():
            continue
        share = mine.followup.sum() / n_arrived
        if factor * share > 1:
            raise SettingError(
                f"the target of conversion is {factor:.2f} times today's: more people "
                f"of source {source} would buy than there are ({share:.0%} do now); "
                f"choose a target at most {1 / (factor * share):.2f} times as high"
            )
