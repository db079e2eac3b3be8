"""One model fitted to one population: purchases, and what they are worth."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from selfloop.core.errors import FitError, SettingError
from selfloop.kernels.cnbd_k import gap_term, regularity
from selfloop.kernels.covariates import (
    effects_of,
    fit_with_covariates,
)
from selfloop.kernels.fitting import Fit
from selfloop.kernels.pdo import taus
from selfloop.kernels.purchase_fit import fit_purchases
from selfloop.kernels.purchase_model import PurchaseModel
from selfloop.kernels.purchase_models import purchase_model
from selfloop.kernels.rows import distinct_rows
from selfloop.measures.lifetime.design import check_design
from selfloop.measures.lifetime.flow import histories
from selfloop.measures.lifetime.population import Population, adjacent_gaps, gaps

MIN_BUYERS = 10
"""Fewer buyers than this: no lifetime model."""


MAX_OPPORTUNITIES = 5_000
"""More chances to leave than this are as good as any moment, and take long."""

MAX_TAUS = 60
"""Most periods around the best of a grid that are tried."""

MAX_K = 12
"""Most regular purchases that are tried."""


class Form(NamedTuple):
    """What fixes the form of a model beside its parameters.

    Parameters
    ----------
    k : int or None
        Regularity of the gaps; None to choose it by likelihood.
    tau_days : float or None
        Days between opportunities to leave; None to choose them by likelihood.
    opportunity_days : int or None
        Days of an opportunity to buy.
    """

    k: int | None = None
    tau_days: float | None = None
    opportunity_days: int | None = None


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model of purchases fitted to a population.

    Parameters
    ----------
    name : str
        Name of the model.
    settings : dict of str to float
        What fixes its form.
    kernel : PurchaseModel
        The model, in the unit of time of the fit.
    fit : Fit
        Its parameters; the log-likelihood includes the gaps.
    n_chosen : int
        Settings that were chosen by likelihood; they count as parameters.
    gap_term : float
        What the gaps of regular buyers add to the log-likelihood: no parameter.
    """

    name: str
    settings: dict[str, float]
    kernel: PurchaseModel
    fit: Fit
    n_chosen: int = 0
    gap_term: float = 0.0

    @property
    def n_parameters(self) -> int:
        """Parameters, settings that were chosen included."""
        return len(self.fit.names) + self.n_chosen

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return self.fit.aic + 2 * self.n_chosen

    @property
    def bic(self) -> float:
        """Schwarz's criterion."""
        return self.fit.bic + self.n_chosen * float(np.log(self.fit.n_people))


def check_size(whom: Population) -> None:
    """Refuse a population that is too small for any model.

    Parameters
    ----------
    whom : Population
        The buyers.

    Raises
    ------
    FitError
        When there are fewer than 10 buyers.
    """
    if whom.n_people < MIN_BUYERS:
        raise FitError(
            f"a lifetime model needs at least {MIN_BUYERS} buyers; there are "
            f"{whom.n_people}"
        )


def fit_one(
    name: str,
    whom: Population,
    *,
    unit_days: float,
    form: Form = Form(),  # noqa: B008 - it cannot be changed
    penalty: float = 0.0,
) -> Fitted:
    """Fit one model of purchases, choosing its form where it has one.

    Parameters
    ----------
    name : str
        Name of the model.
    whom : Population
        The buyers.
    unit_days : float
        Unit of time of the parameters, in days.
    form : Form, optional
        What fixes the form.
    penalty : float, optional
        Weight of the penalty (see `maximise`).

    Returns
    -------
    Fitted

    Raises
    ------
    FitError
        When the data cannot identify the model.
    """
    if name in ("bg_cnbd_k", "mbg_cnbd_k"):
        return _regular(name, whom, unit_days=unit_days, k=form.k, penalty=penalty)
    if name == "pdo":
        return _periodic(whom, unit_days=unit_days, form=form, penalty=penalty)
    settings: dict[str, float] = {}
    if name == "bg_bb" and form.opportunity_days is not None:
        settings = {"opportunity_days": form.opportunity_days}
    kernel = purchase_model(name)
    found = _fit(kernel, whom, unit_days, penalty)
    return Fitted(name, settings, kernel, found)


def _fit(
    kernel: PurchaseModel, whom: Population, unit_days: float, penalty: float
) -> Fit:
    """Fit a model of a known form."""
    x, recency, age = histories(whom.triples, unit_days)
    return fit_purchases(
        kernel,
        x,
        recency=recency,
        age=age,
        counts=whom.triples.n_people,
        penalty=penalty,
    )


def _regular(
    name: str, whom: Population, *, unit_days: float, k: int | None, penalty: float
) -> Fitted:
    """Fit a model of regular buyers; climb to the k of the highest likelihood."""
    known = gaps(whom.events, at=whom.end)
    sum_log_gaps = known.sum_log_days - known.n_gaps * np.log(unit_days)

    def at(k: int) -> Fitted:
        """Return the fit with one k."""
        if k > 1 and known.n_zero:
            raise FitError(
                f"{known.n_zero:,} purchases came at the very moment of the one "
                f"before, which cannot be when gaps are regular (k = {k}); read the "
                "events with purchase='day'"
            )
        kernel = purchase_model(name, k=k)
        found = _fit(kernel, whom, unit_days, penalty)
        extra = gap_term(k, sum_log_gaps=sum_log_gaps, n_purchases=known.n_gaps)
        found = replace(found, log_likelihood=found.log_likelihood + extra)
        return Fitted(name, {"k": k}, kernel, found, gap_term=extra)

    if k is not None:
        return at(k)
    likely = 1 if known.n_zero else round(regularity_of(whom))
    best = at(min(MAX_K, max(1, likely)))
    tried = {int(best.settings["k"])}
    while True:
        here = int(best.settings["k"])
        ahead = {here - 1, here + 1} & set(range(1, MAX_K + 1))
        ahead -= tried
        if known.n_zero:
            ahead -= set(range(2, MAX_K + 1))
        tried |= ahead
        better = max(
            (at(k) for k in sorted(ahead)),
            key=lambda one: one.fit.log_likelihood,
            default=best,
        )
        if better.fit.log_likelihood <= best.fit.log_likelihood:
            return replace(best, n_chosen=1)
        best = better


def regularity_of(whom: Population) -> float:
    """Say how regular the gaps between purchases are, from some of the buyers.

    Parameters
    ----------
    whom : Population
        The buyers.

    Returns
    -------
    float
        About 1 for purchases at random, more for regular ones; 1 when fewer than ten
        customers have two gaps, 12 when all of theirs are equal.
    """
    first, second = adjacent_gaps(whom.events, at=whom.end)
    kept = (first > 0) & (second > 0)
    if kept.sum() < MIN_BUYERS:
        return 1.0
    if np.array_equal(first[kept], second[kept]):
        return float(MAX_K)  # every gap like the one before: as regular as can be
    return float(regularity(first[kept], second[kept]))


def _periodic(
    whom: Population, *, unit_days: float, form: Form, penalty: float
) -> Fitted:
    """Fit the model of periodic leaving, with the best period if none is given."""

    def at(tau_days: float) -> Fitted:
        """Return the fit with one period."""
        kernel = purchase_model("pdo", tau=tau_days / unit_days)
        found = _fit(kernel, whom, unit_days, penalty)
        return Fitted("pdo", {"tau_days": tau_days}, kernel, found)

    longest = float(whom.triples.age_days.max())
    if form.tau_days is not None:
        if longest / form.tau_days > MAX_OPPORTUNITIES:
            raise SettingError(
                f"tau_days must be at least {longest / MAX_OPPORTUNITIES:.4g}, a "
                f"{MAX_OPPORTUNITIES:,}th of the {longest:,.0f} days observed; got "
                f"{form.tau_days:g}. With chances to leave that often, take "
                "model='pareto_nbd'"
            )
        return at(form.tau_days)
    ages = whom.triples.age_days
    if longest < 1:
        raise FitError(f"all {whom.n_people:,} customers were observed for under a day")
    grid = taus(ages, step=1.0)
    tried = [at(tau) for tau in grid]
    place = int(np.argmax([one.fit.log_likelihood for one in tried]))
    # The likelihood has several peaks: every day around the best is worth a look.
    near = np.arange(grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)])
    steps = near[:: max(1, math.ceil(near.size / MAX_TAUS))]
    tried += [at(float(tau)) for tau in steps if float(tau) not in grid]
    best = max(tried, key=lambda one: one.fit.log_likelihood)
    return replace(best, n_chosen=1)


class CovariateFit(NamedTuple):
    """A fit with covariates and what its coefficients are called.

    Parameters
    ----------
    fit : Fit
        Parameters, then coefficients.
    names : tuple of str
        Names of the coefficients: process and term.
    """

    fit: Fit
    names: tuple[str, ...]


def fit_covariates(
    plain: Fitted,
    whom: Population,
    *,
    unit_days: float,
    penalty: float,
    left_out: str = "",
) -> CovariateFit:
    """Fit a model of purchases with covariates on its rate and on leaving.

    Parameters
    ----------
    plain : Fitted
        The same model without them.
    whom : Population
        The buyers with their covariates.
    unit_days, penalty : float
        As in `fit_one`.
    left_out : str, optional
        A covariate to leave out, for its test.

    Returns
    -------
    CovariateFit

    Raises
    ------
    FitError
        When columns are collinear, or the data cannot identify the model.
    """
    check_design(whom.covariates, whom.triples.design, whom.triples.n_people)
    terms = [(c.name, term) for c in whom.covariates for term in c.terms]
    columns = [i for i, (name, _) in enumerate(terms) if name != left_out]
    leaving = columns if plain.kernel.dropout is not None else []
    effects = effects_of(plain.kernel, purchase=columns, dropout=leaving)
    names = [f"purchase rate: {terms[i][1]}" for i in columns]
    names += [f"leaving: {terms[i][1]}" for i in leaving]
    x, recency, age = histories(whom.triples, unit_days)
    rows = distinct_rows(
        [x, recency, age, *whom.triples.design.T], counts=whom.triples.n_people
    )
    found = fit_with_covariates(
        plain.kernel,
        rows,
        effects=effects,
        names=names,
        start=plain.fit.estimates.tolist(),
        penalty=penalty,
    )
    return CovariateFit(found, tuple(names))
