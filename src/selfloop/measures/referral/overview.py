"""All that is to be said of referrals, computed together."""

import math
from dataclasses import dataclass, field

import ibis.expr.types as ir

from selfloop.core.errors import FitError, SettingError
from selfloop.core.settings import Progress
from selfloop.inputs.events import Events
from selfloop.measures.concentration import (
    Concentration,
    concentration,
)
from selfloop.measures.grid import ValueGrid, value_grid
from selfloop.measures.referral.ahead import ReferralModel, ReferralTotal
from selfloop.measures.referral.anomalies import Anomalies, referral_anomalies
from selfloop.measures.referral.backtest import ReferralBacktest, backtest_referrals
from selfloop.measures.referral.fit import fit_referrals
from selfloop.measures.referral.network import ReferralNetwork, referral_network
from selfloop.measures.referral.referred import ReferredComparison, compare_referred
from selfloop.measures.referral.timing import ReferralTimes, referral_times
from selfloop.measures.referral.worth import PersonWorth


@dataclass(frozen=True, eq=False)
class ReferralOverview:
    """All measures of referrals of a shop, made by `referral_overview`.

    Parameters
    ----------
    network : ReferralNetwork
        Generations and trees.
    times : ReferralTimes
        How long referrals take.
    concentration : Concentration
        How few bring how many.
    compared : ReferredComparison
        Referred people against others.
    anomalies : Anomalies
        Referrals worth a look.
    model : ReferralModel or None
        Who is going to bring whom.
    total : ReferralTotal or None
        The same of all buyers together.
    worth : PersonWorth or None
        What one more person brought is worth.
    test : ReferralBacktest or None
        How the same model, fitted earlier, predicted what has happened since.
    grid : ValueGrid or None
        Customers by own and social value.
    unavailable : dict of str to str
        Parts that cannot be computed, and why.
    """

    network: ReferralNetwork
    times: ReferralTimes
    concentration: Concentration
    compared: ReferredComparison
    anomalies: Anomalies
    model: ReferralModel | None
    total: ReferralTotal | None
    worth: PersonWorth | None
    test: ReferralBacktest | None
    grid: ValueGrid | None = field(repr=False)
    unavailable: dict[str, str]


def referral_overview(
    events: Events,
    values: ir.Table,
    *,
    own: str,
    horizon_days: float,
    progress: Progress | None = None,
) -> ReferralOverview:
    """Compute all measures of referrals.

    Parameters
    ----------
    events : Events
        Result of `read_events`, with referrals.
    values : ibis table
        Result of `customer_value` of these events.
    own : {"lifetime_value", "revenue"}
        What is taken as the own value of customers.
    horizon_days : float
        Horizon of what is expected, in days; at least 1. What people who are brought
        spend in their first 365 days counts, whatever the horizon.
    progress : callable, optional
        Called with a short text at the start of each step.

    Returns
    -------
    ReferralOverview

    Raises
    ------
    MissingTableError
        There is no table of referrals.
    """
    say = progress or (lambda _: None)
    days = math.ceil(horizon_days)
    unavailable: dict[str, str] = {}
    say("referral network")
    network = referral_network(events, values=values)
    say("who was referred")
    compared = compare_referred(events)
    say("referrals to come")
    model, test = _ahead(events, unavailable)
    worth = None if model is None else model.worth()
    if worth is not None and worth.reason:
        unavailable["expected social value"] = worth.reason
    if model is not None and model.growth is None:
        unavailable["expected referrals"] = model.growth_reason
    total = None if model is None else model.total(days)
    grid = None
    try:
        ahead = None if model is None else model.predict(days)
        grid = value_grid(values, ahead, own=own)
    except SettingError as error:
        unavailable["value grid"] = str(error)
    say("referrals worth a look")
    return ReferralOverview(
        network=network,
        times=referral_times(events),
        concentration=concentration(events, "referrals"),
        compared=compared,
        anomalies=referral_anomalies(events),
        model=model,
        total=total,
        worth=worth,
        test=test,
        grid=grid,
        unavailable=unavailable,
    )


def _ahead(
    events: Events, unavailable: dict[str, str]
) -> tuple[ReferralModel | None, ReferralBacktest | None]:
    """Fit a model of referrals and test it on the past; note what cannot be done."""
    try:
        model = fit_referrals(events)
    except FitError as error:
        unavailable["expected referrals"] = str(error)
        return None, None
    try:
        return model, backtest_referrals(events)
    except (FitError, SettingError) as error:
        unavailable["referral backtest"] = str(error)
        return model, None
