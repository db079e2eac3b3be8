"""Lifetime value: what each customer is still going to buy, and what it is worth.

A buy-till-you-die model says how many purchases are to come, and a spend model what
one of them is worth. Both are fitted on distinct rows that the engine counts.
"""

from typing import get_args

import numpy as np

from selfloop.core.errors import FitError
from selfloop.core.settings import check_choice, check_number
from selfloop.inputs.events import Events
from selfloop.kernels import bg_nbd, gamma_gamma
from selfloop.kernels.gamma_gamma import GammaGamma
from selfloop.measures.lifetime_model import (
    KEYS,
    MAX_DAYS,
    ExpectedTotal,
    LifetimeModel,
    Model,
    NewCustomer,
    SpendModel,
    Triples,
    buyers,
)

__all__ = [
    "MIN_BUYERS",
    "MIN_REPEAT_BUYERS",
    "ExpectedTotal",
    "LifetimeModel",
    "NewCustomer",
    "SpendModel",
    "fit_lifetime",
]

MIN_BUYERS = 10
"""Fewer buyers than this: no lifetime model."""

MIN_REPEAT_BUYERS = 10
"""Fewer people with repeat purchases of positive value: no spend model."""

_SECOND = 1 / 86_400


def fit_lifetime(
    events: Events, *, model: Model = "bg_nbd", unit_days: float = 1.0
) -> LifetimeModel:
    """Learn from past purchases how often customers buy, leave, and what they spend.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    model : {"bg_nbd"}, optional
        Model of purchases.
    unit_days : float, optional
        Unit of time of the parameters in days, from a second to 100 years; 7 for
        weeks. It changes alpha and the log-likelihood and nothing else.

    Returns
    -------
    LifetimeModel

    Raises
    ------
    FitError
        When there are fewer than 10 buyers, nobody bought twice, nobody was
        observed for any time, or all customers are the same.
    SettingError
        When a setting is outside its range.

    Notes
    -----
    BG/NBD by maximum likelihood on the distinct triples of purchases, age at the
    last purchase and age at the end, which the engine counts (Fader, Hardie and
    Lee 2005); standard errors from the observed information. Gamma-Gamma on the
    number and total value of repeat purchases (Fader and Hardie 2013), by those
    who have any of positive value. The model takes purchase rate, dropout and
    spend as independent, and says P(alive) = 1 of everybody who bought once.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=500, seed=7)
    >>> model = fit_lifetime(sl.read_events(shop.orders))
    >>> list(model.params), list(model.spend.params)
    (['r', 'alpha', 'a', 'b'], ['p', 'q', 'v'])
    """
    check_choice("model", model, get_args(Model))
    check_number("unit_days", unit_days, low=_SECOND, high=MAX_DAYS)
    triples = _count_triples(events)
    n_people = int(triples.n_people.sum())
    if n_people < MIN_BUYERS:
        raise FitError(
            f"a lifetime model needs at least {MIN_BUYERS} buyers; there are {n_people}"
        )
    x = triples.n_purchases - 1
    fit = bg_nbd.fit(
        x,
        recency=triples.recency_days / unit_days,
        age=triples.age_days / unit_days,
        counts=triples.n_people,
    )
    spend, reason = _fit_spend(events)
    return LifetimeModel(
        model=model,
        params=fit.params,
        standard_errors=fit.standard_errors,
        covariance=fit.covariance,
        log_likelihood=fit.log_likelihood,
        n_people=n_people,
        n_repeat_buyers=int(triples.n_people[x > 0].sum()),
        n_repeat_purchases=int(x @ triples.n_people),
        n_distinct=fit.n_distinct,
        unit_days=unit_days,
        at_bound=fit.at_bound,
        spend=spend,
        spend_reason=reason,
        end=events.end,
        currency=events.currency,
        events=events,
        triples=triples,
    )


def _count_triples(events: Events) -> Triples:
    """Count people and money by distinct triple, in the engine."""
    people = buyers(events)
    table = (
        people.group_by(KEYS)
        .aggregate(n_people=people.count(), repeat_value=people.repeat_value.sum())
        .order_by(KEYS)
        .to_pyarrow()
    )
    return Triples(
        *(table[name].to_numpy().astype(np.float64) for name in Triples._fields)
    )


def _fit_spend(events: Events) -> tuple[SpendModel | None, str]:
    """Fit the spend model, or say why there is none."""
    people = buyers(events)
    people = people.filter(people.n_purchases > 1, people.repeat_value > 0)
    keys = ("n_purchases", "repeat_value")
    table = (
        people.group_by(keys)
        .aggregate(n_people=people.count())
        .order_by(keys)
        .to_pyarrow()
    )
    purchases, total, counts = (table[c].to_numpy() for c in (*keys, "n_people"))
    n_people = int(counts.sum())
    if n_people < MIN_REPEAT_BUYERS:
        return None, (
            f"a spend model needs at least {MIN_REPEAT_BUYERS} people with repeat "
            f"purchases of positive value; there are {n_people}"
        )
    try:
        fit = gamma_gamma.fit(purchases - 1, total=total, counts=counts)
    except FitError as error:
        return None, str(error)
    if not gamma_gamma.has_mean(GammaGamma(**fit.params)):
        return None, (
            f"the spend of {n_people:,} repeat buyers is so uneven that its mean does "
            f"not exist (q = {fit.params['q']:.3g}, not above 1)"
        )
    model = SpendModel(
        params=fit.params,
        standard_errors=fit.standard_errors,
        covariance=fit.covariance,
        log_likelihood=fit.log_likelihood,
        n_people=n_people,
        at_bound=fit.at_bound,
    )
    return model, ""
