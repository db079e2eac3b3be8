"""What one more person brought is worth, with everybody who follows from them."""

import math
from typing import NamedTuple

import ibis
import numpy as np

from selfloop.core.settings import CONFIDENCE, MIN_AT_RISK
from selfloop.inputs.baskets import EPOCH, soon
from selfloop.kernels.intervals import log_interval
from selfloop.kernels.resampling import at_risk, jackknife_variance, left_out
from selfloop.kernels.rows import FloatArray
from selfloop.measures.referral.histories import (
    N_GROUPS,
    Histories,
    brought_buyers,
    cells,
    group_of,
)


class PersonWorth(NamedTuple):
    """What one more buyer who is brought is worth, and what it is made of.

    Parameters
    ----------
    value, value_low, value_high : float
        own_value / (1 - r), with its 95 % interval; missing with a `reason`.
    own_value : float
        Mean net revenue of a referred buyer up to `value_days` after the first
        purchase, times the margin.
    r : float
        Buyers that a referred buyer brings by age `r_days`.
    value_days, r_days : int
        Days up to which at least 30 referred buyers were observed, and no more than
        was asked for.
    n_people : int
        Referred buyers.
    spread : float
        Standard deviation of what one of them and all who follow are worth.
    reason : str
        Why the value is missing; empty when it is known.
    replicates : ndarray of float64, shape (N_GROUPS,)
        The value without each group of customers in turn.
    """

    value: float
    value_low: float
    value_high: float
    own_value: float
    r: float
    value_days: int
    r_days: int
    n_people: int
    spread: float
    reason: str
    replicates: FloatArray


def worth_of_one(
    whom: Histories, k: float, *, value_days: int, margin: float
) -> PersonWorth:
    """Say what one more person brought is worth.

    Parameters
    ----------
    whom : Histories
        Buyers up to a day.
    k : float
        How alike customers are in bringing others.
    value_days : int
        Days after the first purchase whose revenue counts.
    margin : float
        Share of revenue that is kept.

    Returns
    -------
    PersonWorth

    Notes
    -----
    own_value is the mean cumulative function of revenue: the sum over ages a of the
    net revenue of referred buyers at age a, divided by those observed to that age. r
    is that of buyers brought. S = own + the sum over those brought of their S, so that
    E S = own / (1 - r), and with N the number brought, Var N = r + r^2 / k, and own
    and N taken as independent, Var S = (Var own + Var N (E S)^2) / (1 - r).
    """
    followup, spent, made = _by_age(whom, value_days)
    people = at_risk(followup)
    enough = np.flatnonzero(people[-1] >= MIN_AT_RISK)
    n_people = int(followup.sum())
    if enough.size == 0:
        why = f"{n_people} people brought have bought, need {MIN_AT_RISK}"
        return _unknown(n_people, why)
    r_days, own_days = int(enough[-1]), int(min(enough[-1], value_days))
    with np.errstate(invalid="ignore", divide="ignore"):
        own = (left_out(spent) / people)[:, : own_days + 1].sum(axis=1) * margin
        r = (left_out(made) / people)[:, : r_days + 1].sum(axis=1)
        value = np.where(r < 1, own / (1 - r), math.nan)
    rest = _unknown(n_people, "")._replace(
        own_value=float(own[-1]), r=float(r[-1]), value_days=own_days, r_days=r_days
    )
    if not r[-1] < 1:
        why = f"people who were brought bring {r[-1]:.2f} each: their value has no end"
        return rest._replace(reason=why)
    if not own[-1] > 0:
        why = "people who were brought have given back as much as they bought, or more"
        return rest._replace(reason=why)
    known_to = float(jackknife_variance(value[:-1]))
    found = log_interval(value[-1], known_to, confidence=CONFIDENCE)
    own_variance = _own_variance(whom, own_days) * margin**2
    offspring = r[-1] + r[-1] ** 2 / k
    variance = (own_variance + offspring * value[-1] ** 2) / (1 - r[-1])
    return rest._replace(
        value=found.value,
        value_low=found.low,
        value_high=found.high,
        spread=math.sqrt(variance),
        replicates=value[:-1],
    )


def _unknown(n_people: int, reason: str) -> PersonWorth:
    """Return what can be said when there is no value."""
    nan = math.nan
    none = np.full(N_GROUPS, nan)
    return PersonWorth(nan, nan, nan, nan, nan, 0, 0, n_people, nan, reason, none)


def _by_age(
    whom: Histories, value_days: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sum referred buyers, their revenue and those they brought, by group and age."""
    events, end_day = whom.events, (whom.end - EPOCH).days
    referred = brought_buyers(events, end=whom.end)
    n_ages = whom.ages.n_followup.shape[1]
    days = ibis.literal(end_day) - referred.first_day
    people = referred.group_by(group_of(referred.id_hash), days.name("age"))
    rows = soon(events.baskets, referred, value_days, also=["id_hash"])
    rows = rows.filter(rows.day <= end_day)
    money = rows.group_by(group_of(rows.id_hash), "age")
    inside = referred.filter(referred.own_is_referred & (referred.age_days >= 0))
    made = inside.group_by(group_of(inside.own_hash), "age_days")
    return (
        cells(people.aggregate(n=referred.count()), n_ages),
        cells(money.aggregate(net=rows.net.sum().cast("float64")), n_ages),
        cells(made.aggregate(n=inside.count()), n_ages),
    )


def _own_variance(whom: Histories, days: int) -> float:
    """Return the variance of what referred buyers spend, of those observed so long."""
    end_day = (whom.end - EPOCH).days
    referred = brought_buyers(whom.events, end=whom.end)
    referred = referred.filter(referred.first_day <= end_day - days)
    rows = soon(whom.events.baskets, referred, days)
    spent = rows.group_by("person_no").aggregate(own=rows.net.sum().cast("float64"))
    line = spent.aggregate(variance=spent.own.var(how="sample")).to_pyarrow()
    found = line["variance"][0].as_py()
    return math.nan if found is None else float(found)
