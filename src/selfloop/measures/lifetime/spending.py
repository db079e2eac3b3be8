"""What purchases are worth: the spend model fitted to one population."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from selfloop.core.errors import FitError
from selfloop.kernels import gamma_gamma
from selfloop.kernels.covariates import Effect, search_with_covariates
from selfloop.kernels.fitting import Fit, at_point
from selfloop.kernels.gamma_gamma import GammaGamma
from selfloop.kernels.independence import Independence, check_independence
from selfloop.kernels.rows import FloatArray, Rows, distinct_rows, dot
from selfloop.measures.lifetime.population import Population

MIN_REPEAT_BUYERS = 10
"""Fewer people with repeat purchases of positive value: no spend model."""

_EQUAL = 1e-12  # mean values that differ by less, as a share, are the same


class SpendFit(NamedTuple):
    """A fitted spend model.

    Parameters
    ----------
    fit : Fit
        p, q, v, then coefficients.
    names : tuple of str
        Names of the coefficients.
    independence : Independence
        Whether spend goes with frequency.
    """

    fit: Fit
    names: tuple[str, ...]
    independence: Independence


class _Spenders(NamedTuple):
    """Distinct pairs of repeat purchases and their value, and their covariates."""

    x: FloatArray
    total: FloatArray
    counts: FloatArray
    values: dict[str, npt.NDArray[np.object_]]


def fit_spend(
    whom: Population, *, penalty: float, left_out: str | None = None
) -> SpendFit:
    """Fit the spend model on repeat purchases of positive value.

    Parameters
    ----------
    whom : Population
        The buyers, with their covariates if there are any.
    penalty : float
        Weight of the penalty.
    left_out : str, optional
        A covariate to leave out, for its test.

    Returns
    -------
    SpendFit

    Raises
    ------
    FitError
        When there are fewer than 10 such people, the mean value of a purchase does not
        exist, or refunds exceed purchases.
    """
    if whom.share_kept <= 0:
        raise FitError(
            "refunds exceed purchases, so no value to come can be learned "
            f"(net revenue is {whom.share_kept:.0%} of what was bought)"
        )
    people = _spenders(whom)
    x, total, counts = people.x, people.total, people.counts
    n_people = int(counts.sum())
    if float(np.ptp(total / x)) <= _EQUAL * float((total / x).max()):
        found = _constant_spend(people)
    else:
        found = gamma_gamma.fit(x, total=total, counts=counts, penalty=penalty)
    terms: list[str] = []
    factor: FloatArray | float = 1.0
    if whom.covariates and not found.at_bound:
        columns = [
            c.design(people.values[c.column])
            for c in whom.covariates
            if c.name != left_out
        ]
        terms = [t for c in whom.covariates if c.name != left_out for t in c.terms]
        if columns:
            design = np.hstack(columns)
            rows = distinct_rows([x, total, *design.T], counts=counts)
            found = _spend_with(rows, found, terms, penalty)
            factor = np.exp(np.einsum("ij,j->i", design, found.estimates[3:]))
    if not gamma_gamma.has_mean(GammaGamma(*found.estimates[:3].tolist())):
        raise FitError(
            f"the spend of {n_people:,} repeat buyers is so uneven that its mean does "
            f"not exist (q = {found.params['q']:.3g}, not above 1)"
        )
    check = check_independence(
        GammaGamma(*found.estimates[:3].tolist()),
        x=x,
        total=total / factor,
        counts=counts,
    )
    return SpendFit(found, tuple(f"order value: {t}" for t in terms), check)


def _constant_spend(people: _Spenders) -> Fit:
    """Return the limit of the spend model when every purchase is worth the same.

    p and q grow without limit, p v / (q - 1) is that worth; so it is for any p and q.
    """
    large, worth = 1e6, float((people.total / people.x).max())
    found = at_point(
        gamma_gamma.objective,
        distinct_rows([people.x, people.total], counts=people.counts),
        names=GammaGamma._fields,
        estimates=[large, large, worth * (large - 1) / large],
        typical=[large, large, worth],
    )
    return replace(found, covariance=None, at_bound=("p", "q"))


def _spenders(whom: Population) -> _Spenders:
    """Count those with repeat purchases of positive value, in the engine."""
    people = whom.people.filter(
        whom.people.n_purchases > 1, whom.people.repeat_value > 0
    )
    names = [c.column for c in whom.covariates]
    keys = ["n_purchases", "repeat_value", *names]
    table = (
        people.group_by(keys)
        .aggregate(n_people=people.count())
        .order_by(keys)
        .to_pyarrow()
    )
    x, total, counts = (
        table[c].to_numpy().astype(np.float64)
        for c in ("n_purchases", "repeat_value", "n_people")
    )
    n_people = int(counts.sum())
    if n_people < MIN_REPEAT_BUYERS:
        raise FitError(
            f"a spend model needs at least {MIN_REPEAT_BUYERS} people with repeat "
            f"purchases of positive value; there are {n_people}"
        )
    values = {name: table[name].to_numpy(zero_copy_only=False) for name in names}
    return _Spenders(x - 1, total, counts, values)


def spend_at(whom: Population, values: Sequence[float]) -> SpendFit:
    """Describe given parameters of the spend model as if they had been found.

    Parameters
    ----------
    whom : Population
        The buyers.
    values : sequence of float
        p, q and v.

    Returns
    -------
    SpendFit

    Raises
    ------
    FitError
        When there are fewer than 10 people with repeat purchases of positive value.
    """
    people = _spenders(whom)
    mean = dot(people.total, people.counts) / dot(people.x, people.counts)
    found = at_point(
        gamma_gamma.objective,
        distinct_rows([people.x, people.total], counts=people.counts),
        names=GammaGamma._fields,
        estimates=values,
        typical=[1.0, 1.0, mean],
    )
    check = check_independence(
        GammaGamma(*values), x=people.x, total=people.total, counts=people.counts
    )
    return SpendFit(found, (), check)


def _spend_with(rows: Rows, plain: Fit, terms: list[str], penalty: float) -> Fit:
    """Fit the spend model with covariates that scale v, and so every value."""
    return search_with_covariates(
        gamma_gamma.each,
        rows,
        objective=gamma_gamma.objective,
        n_data=2,
        effects=[Effect(2, 1, tuple(range(len(terms))))],
        parameters=plain.names,
        names=[f"order value: {term}" for term in terms],
        start=plain.estimates.tolist(),
        typical=[1.0, 3.0, float(plain.estimates[2])],
        penalty=penalty,
    )
