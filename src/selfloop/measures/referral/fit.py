"""Learning from past referrals who is going to bring whom."""

import math
from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.errors import FitError
from selfloop.core.settings import CONFIDENCE, MIN_AT_RISK, check_whole
from selfloop.inputs.events import Events
from selfloop.kernels.fitting import Fit
from selfloop.kernels.intervals import normal_quantile
from selfloop.measures.lifetime.covariates import check_names
from selfloop.measures.lifetime.design import Covariate
from selfloop.measures.referral.ahead import ReferralModel
from selfloop.measures.referral.histories import histories
from selfloop.measures.referral.shape import estimate


def fit_referrals(
    events: Events,
    *,
    covariates: Sequence[str] = (),
    attributes: object | None = None,
    at: date | str | None = None,
    min_at_risk: int = MIN_AT_RISK,
) -> ReferralModel:
    """Learn from past referrals who is going to bring how many people.

    Parameters
    ----------
    events : Events
        Result of `read_events`, with referrals.
    covariates : sequence of str, optional
        What is known of customers and may make them bring more or fewer: ``source``,
        ``channel``, ``was_referred``, ``generation``, or columns of `attributes`.
    attributes : path or table, optional
        A table of customers: customer_id and columns.
    at : str or date, optional
        Last day that counts; the last observed day by default.
    min_at_risk : int
        Where fewer buyers were observed to an age, the mean number is not counted but
        continued by a smooth curve; at least 2.

    Returns
    -------
    ReferralModel

    Raises
    ------
    MissingTableError
        There is no table of referrals.
    FitError
        Too few buyers, or nobody has brought a buyer since their own first purchase.
    SettingError
        A setting is outside its range.

    Notes
    -----
    Buyers brought by age a of customer i are Poisson with mean theta_i M(a), theta_i is
    Gamma(k, k). M is the mean cumulative function of `self_loop`; beyond the longest
    age it follows total * (1 - exp(-(a / scale)^shape)), fitted to the daily counts.
    k is found by maximum likelihood, with M as known. A covariate z multiplies M by
    exp(coefficient * z).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> model = sl.fit_referrals(sl.read_events(shop.orders, shop.referrals))
    >>> 0 < model.k < 2
    True
    """
    Events.check(events)
    events.need("referrals", "fit_referrals")
    check_whole("min_at_risk", min_at_risk, low=2)
    names = check_names(covariates)
    end = events.end if at is None else events.observed_day(at)
    whom = histories(events, end=end, covariates=names, attributes=attributes)
    followup = whom.ages.n_followup.sum(axis=0)
    at_risk = followup[::-1].cumsum()[::-1]
    enough = np.flatnonzero(at_risk >= min_at_risk)
    n_people = int(followup.sum())
    if enough.size == 0 or enough[-1] < 1:
        raise FitError(
            f"{n_people:,} buyers, of whom fewer than {min_at_risk} were observed for "
            "a day: too few to say who brings others"
        )
    last = int(enough[-1]) + 1
    brought = whom.ages.n_brought.sum(axis=0)
    found = estimate(whom, brought[:last], at_risk[:last])
    shape, fit = found.shape, found.spread
    error = fit.standard_errors.get("k", math.nan) / shape.k
    reach = math.exp(normal_quantile(CONFIDENCE) * error)
    return ReferralModel(
        k=shape.k,
        k_low=shape.k / reach,
        k_high=shape.k * reach,
        r=float(shape.mean[-1]),
        longest_days=last - 1,
        growth=shape.growth,
        growth_reason=found.growth_reason,
        n_people=n_people,
        n_referrers=int(whom.n_people[whom.y > 0].sum()),
        n_referrals=int(brought.sum()),
        at_bound=fit.at_bound,
        end=end,
        coefficients=_lifts(fit, whom.covariates),
        found=found,
        whom=whom,
    )


def _lifts(fit: Fit, covariates: Sequence[Covariate]) -> pd.DataFrame:
    """Say how much more or less customers with a covariate bring."""
    z = normal_quantile(CONFIDENCE)
    against = {t: c.reference or "one unit less" for c in covariates for t in c.terms}
    undetermined = ", ".join(fit.at_bound)
    why = f"not determined by the data: {undetermined}" if undetermined else ""
    rows = []
    for term, reference in against.items():
        log, error = fit.params[term], fit.standard_errors.get(term, math.nan)
        ends = (math.exp(log + side * z * error) for side in (0, -1, 1))
        rows.append(("referrals", term, reference, *ends, why))
    return pd.DataFrame(rows, columns=schema.names("lifts"))
