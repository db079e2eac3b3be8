"""Lifetime value: from events to a fitted model of purchases and spend."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from importlib.metadata import version
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy.special import gammaincc

from selfloop.core import schema
from selfloop.core.errors import FitError, SettingError
from selfloop.core.settings import (
    Progress,
    check_choice,
    check_number,
    check_whole,
)
from selfloop.inputs.events import Events
from selfloop.kernels.fitting import Fit
from selfloop.kernels.horizon import MAX_DAYS
from selfloop.kernels.independence import Independence
from selfloop.measures.lifetime.compare import ModelComparison, compare
from selfloop.measures.lifetime.covariates import check_names
from selfloop.measures.lifetime.holdout import default_cut
from selfloop.measures.lifetime.parts import SpendModel
from selfloop.measures.lifetime.peer import (
    FITTERS,
    fit_with_lifetimes,
    params_of_fitter,
    taken_over,
)
from selfloop.measures.lifetime.population import Population, population
from selfloop.measures.lifetime.result import LifetimeModel
from selfloop.measures.lifetime.single import (
    MAX_K,
    Fitted,
    Form,
    check_size,
    fit_covariates,
    fit_one,
)
from selfloop.measures.lifetime.spending import fit_spend, spend_at

Model = Literal[
    "auto", "bg_nbd", "mbg_nbd", "pareto_nbd", "bg_cnbd_k", "mbg_cnbd_k", "bg_bb",
    "pdo", "nbd",
]  # fmt: skip
"""Models of purchases."""

EngineName = Literal["selfloop", "lifetimes"]
"""What searches for the parameters."""

_SECOND = 1 / 86_400


@dataclass(frozen=True)
class _Wish:
    """What the user asked for, checked."""

    model: Model
    unit_days: float
    form: Form
    penalty: float
    engine: EngineName


def fit_lifetime(
    events: Events,
    *,
    model: Model = "auto",
    unit_days: float = 1.0,
    covariates: Sequence[str] = (),
    attributes: object | None = None,
    at: str | date | None = None,
    k: int | None = None,
    tau_days: float | None = None,
    opportunity_days: int | None = None,
    penalty: float = 0.0,
    engine: EngineName = "selfloop",
    progress: Progress | None = None,
) -> LifetimeModel:
    """Learn from past purchases how often customers buy, leave, and what they spend.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    model : str, optional
        ``"auto"`` fits MBG/NBD and Pareto/NBD, and MBG/CNBD-k where purchases are
        regular, and takes the least AIC; `LifetimeModel.choice` shows them with a
        holdout. Or one of ``"bg_nbd"``, ``"mbg_nbd"``, ``"pareto_nbd"``,
        ``"bg_cnbd_k"``, ``"mbg_cnbd_k"``, ``"bg_bb"``, ``"pdo"``, ``"nbd"``.
    unit_days : float, optional
        Unit of time of the parameters in days, from a second to 100 years; 7 for
        weeks. It changes parameters that are times, and the log-likelihood.
    covariates : sequence of str, optional
        What purchase rate, leaving and order value may depend on: ``"source"``,
        ``"channel"``, ``"was_referred"``, ``"generation"`` or columns of
        `attributes`. They must not change with time.
    attributes : path or table, optional
        One row per customer: customer_id and columns, text or numbers.
    at : str or date, optional
        Last day to learn from; the last observed day by default.
    k : int, optional
        Regularity of ``bg_cnbd_k`` and ``mbg_cnbd_k``, 1 to 12; chosen by likelihood
        when it is not given.
    tau_days : float, optional
        Days between opportunities to leave of ``pdo``, above 0; chosen by likelihood
        when they are not given.
    opportunity_days : int, optional
        Days of an opportunity to buy of ``bg_bb``, at least 1; 30 by default.
    penalty : float, optional
        Weight of a penalty that pulls parameters to their typical size and
        coefficients to 0; at least 0. It helps where the data say little.
    engine : {"selfloop", "lifetimes"}, optional
        What searches for the parameters; ``"lifetimes"`` needs that package, and its
        end is checked. Predictions are computed here in any case.
    progress : callable, optional
        Called with a short text at the start of each step.

    Returns
    -------
    LifetimeModel

    Raises
    ------
    FitError
        When there are fewer than 10 buyers, nobody bought twice, nobody was
        observed for any time, all customers are the same, or a covariate is constant,
        collinear or missing.
    SettingError
        When a setting is outside its range.

    Notes
    -----
    Maximum likelihood on the distinct histories of purchases, age at the last
    purchase and age at the end, which the engine counts; standard errors from the
    observed information. Gamma-Gamma on the number and total value of repeat
    purchases (Fader and Hardie 2013), by those who have any of positive value. The
    models take purchase rate, dropout and spend as independent. BG/NBD and NBD give
    everybody who bought once P(alive) = 1, so ``"auto"`` never takes them.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> model = fit_lifetime(sl.read_events(shop.orders), model="mbg_nbd")
    >>> list(model.params), list(model.spend.params)
    (['r', 'alpha', 'a', 'b'], ['p', 'q', 'v'])
    """
    Events.check(events)
    form = Form(k, tau_days, opportunity_days)
    wish = _checked(_Wish(model, unit_days, form, penalty, engine))
    say = progress or (lambda _: None)
    whom = population(
        events,
        at=None if at is None else events.observed_day(at),
        opportunity_days=wish.form.opportunity_days,
        covariates=check_names(covariates),
        attributes=attributes,
    )
    check_size(whom)
    fitted, choice = _fit_purchases(whom, wish, is_past=at is not None, say=say)
    say("fitting spend")
    spend, reason = _fit_spend(whom, wish.penalty)
    result = _result(fitted, whom, wish, choice, spend, reason)
    if not whom.covariates:
        return result
    say("fitting covariates")
    return _with_covariates(result, fitted, whom, wish)


def past_model(model: LifetimeModel) -> LifetimeModel | None:
    """Return the chosen model as it was fitted on what was known at the cut.

    Parameters
    ----------
    model : LifetimeModel
        From ``fit_lifetime(events)``, with its choice.

    Returns
    -------
    LifetimeModel or None
        None when there was no choice, or no holdout.
    """
    choice = model.choice
    if choice is None or choice.known is None:
        return None
    wish = _Wish("auto", model.unit_days, Form(), model.penalty, "selfloop")
    spend, reason = _fit_spend(choice.known, model.penalty)
    return _result(
        choice.before[choice.chosen], choice.known, wish, None, spend, reason
    )


def _checked(wish: _Wish) -> _Wish:
    """Check every setting, and fill what a model needs."""
    check_choice("model", wish.model, get_args(Model))
    check_choice("engine", wish.engine, get_args(EngineName))
    check_number("unit_days", wish.unit_days, low=_SECOND, high=MAX_DAYS)
    check_number("penalty", wish.penalty, low=0)
    k, tau_days, opportunity_days = wish.form
    for name, value, models, low, high in (
        ("k", k, ("bg_cnbd_k", "mbg_cnbd_k"), 1, MAX_K),
        ("tau_days", tau_days, ("pdo",), _SECOND, MAX_DAYS),
        ("opportunity_days", opportunity_days, ("bg_bb",), 1, MAX_DAYS),
    ):
        if value is None:
            continue
        if wish.model not in models:
            raise SettingError(
                f"{name} is a setting of {' and '.join(models)}; model is "
                f"{wish.model!r}"
            )
        check = check_number if name == "tau_days" else check_whole
        check(name, value, low=low, high=high)
    if wish.model == "bg_bb":
        days = 30 if opportunity_days is None else int(opportunity_days)
        return replace(wish, unit_days=float(days), form=Form(opportunity_days=days))
    if wish.engine == "lifetimes" and wish.penalty:
        raise SettingError("engine='lifetimes' takes no penalty here; use 'selfloop'")
    return wish


def _fit_purchases(
    whom: Population, wish: _Wish, *, is_past: bool, say: Progress
) -> tuple[Fitted, ModelComparison | None]:
    """Fit the model that was asked for, or choose one."""
    if wish.engine == "lifetimes":
        name = "mbg_nbd" if wish.model == "auto" else wish.model
        say(f"fitting {name} with lifetimes")
        return fit_with_lifetimes(name, whom, unit_days=wish.unit_days), None
    if wish.model != "auto":
        say(f"fitting {wish.model}")
        found = fit_one(
            wish.model,
            whom,
            unit_days=wish.unit_days,
            form=wish.form,
            penalty=wish.penalty,
        )
        return found, None
    cut, why = (None, "at was given") if is_past else default_cut(
        whom.events, at=None, horizon_days=None
    )  # fmt: skip
    choice = compare(
        whom,
        None,
        cut=cut,
        holdout_reason=why,
        unit_days=wish.unit_days,
        penalty=wish.penalty,
        progress=say,
    )
    return choice.fitted[choice.chosen], choice


def _fit_spend(whom: Population, penalty: float) -> tuple[SpendModel | None, str]:
    """Fit the spend model, or say why there is none."""
    try:
        found = fit_spend(whom, penalty=penalty)
    except FitError as error:
        return None, str(error)
    return _spend_model(found.fit, found.names, found.independence), ""


def _spend_model(
    fit: Fit, names: Sequence[str], independence: Independence
) -> SpendModel:
    """Describe a fitted spend model."""
    values = fit.estimates.tolist()
    return SpendModel(
        params=dict(zip(fit.names[:3], values[:3], strict=True)),
        standard_errors=_main(fit.standard_errors, names),
        coefficients=dict(zip(names, values[3:], strict=True)),
        covariance=fit.covariance,
        log_likelihood=fit.log_likelihood,
        n_people=int(fit.n_people),
        at_bound=fit.at_bound,
        independence=independence,
    )


def _main(errors: dict[str, float], coefficients: Sequence[str]) -> dict[str, float]:
    """Return standard errors of parameters, without those of coefficients."""
    return {name: error for name, error in errors.items() if name not in coefficients}


def _result(
    fitted: Fitted,
    whom: Population,
    wish: _Wish,
    choice: ModelComparison | None,
    spend: SpendModel | None,
    spend_reason: str,
) -> LifetimeModel:
    """Put together what was fitted and how."""
    fit, events, triples = fitted.fit, whom.events, whom.triples
    x, n = triples.n_purchases - 1, triples.n_people
    return LifetimeModel(
        model=fitted.name,
        settings=dict(fitted.settings),
        params=fit.params,
        standard_errors=fit.standard_errors,
        coefficients={},
        covariance=fit.covariance,
        log_likelihood=fit.log_likelihood,
        aic=fitted.aic,
        bic=fitted.bic,
        n_people=whom.n_people,
        n_repeat_buyers=int(n[x > 0].sum()),
        n_repeat_purchases=int(np.einsum("i,i->", x, n)),
        n_distinct=fit.n_distinct,
        unit_days=wish.unit_days,
        at_bound=fit.at_bound,
        gradient=fit.gradient,
        penalty=wish.penalty,
        engine=wish.engine,
        covariates=whom.covariates,
        tests=pd.DataFrame([], columns=schema.names("covariate_tests")),
        spend=spend,
        spend_reason=spend_reason,
        share_kept=whom.share_kept,
        start=events.start,
        end=whom.end,
        timezone=events.rules.timezone,
        purchase=events.rules.purchase,
        zero_orders=events.rules.zero_orders,
        currency=events.currency,
        library_version=version("selfloop"),
        choice=choice,
        population=whom,
    )


def _with_covariates(
    plain: LifetimeModel, fitted: Fitted, whom: Population, wish: _Wish
) -> LifetimeModel:
    """Fit the chosen model once more, with covariates, and test each of them."""
    refit = partial(
        fit_covariates, fitted, whom, unit_days=wish.unit_days, penalty=wish.penalty
    )
    fit, names = refit()
    n = len(fitted.kernel.parameters)
    values = fit.estimates.tolist()
    # The terms of the gaps hold no parameter: they shift both fits alike.
    shift = fitted.gap_term
    tests = []
    for covariate in whom.covariates:
        if len(whom.covariates) == 1:
            less = fitted.fit.log_likelihood - shift
        else:
            less = refit(left_out=covariate.name).fit.log_likelihood
        df = sum(name.split(": ", 1)[1] in covariate.terms for name in names)
        tests.append((covariate.name, "purchases", df, fit.log_likelihood, less))
        if plain.spend is not None and plain.spend.coefficients:
            other = fit_spend(whom, penalty=wish.penalty, left_out=covariate.name)
            spent = plain.spend.log_likelihood, other.fit.log_likelihood
            tests.append((covariate.name, "order value", len(covariate.terms), *spent))
    rows = []
    for name, process, df, full, less in tests:
        chi_square = max(0.0, 2 * (full - less))
        p_value = float(gammaincc(df / 2, chi_square / 2))
        rows.append((name, process, df, chi_square, p_value))
    fit = replace(fit, log_likelihood=fit.log_likelihood + shift)
    with_terms = replace(fitted, fit=fit)
    return replace(
        plain,
        params=dict(zip(fitted.kernel.parameters, values[:n], strict=True)),
        standard_errors=_main(fit.standard_errors, names),
        coefficients=dict(zip(names, values[n:], strict=True)),
        covariance=fit.covariance,
        log_likelihood=fit.log_likelihood,
        aic=with_terms.aic,
        bic=with_terms.bic,
        at_bound=fit.at_bound,
        gradient=fit.gradient,
        n_distinct=fit.n_distinct,
        tests=pd.DataFrame(rows, columns=schema.names("covariate_tests")),
    )


def from_lifetimes(
    fitter: Any,  # noqa: ANN401 - an object of an optional package
    events: Events,
    *,
    unit_days: float = 1.0,
    spend: Any | None = None,  # noqa: ANN401
) -> LifetimeModel:
    """Take over what lifetimes has fitted, with intervals and predictions of ours.

    Parameters
    ----------
    fitter : object
        A fitted ``BetaGeoFitter``, ``ModifiedBetaGeoFitter`` or ``ParetoNBDFitter``.
    events : Events
        The events that it was fitted on, or others to predict for.
    unit_days : float, optional
        Its unit of time in days; 7 for weeks.
    spend : object, optional
        A fitted ``GammaGammaFitter``; by default spend is fitted here.

    Returns
    -------
    LifetimeModel
        Its estimates; log-likelihood, covariance and gradient are those of the events
        at these estimates.

    Raises
    ------
    SettingError
        When it is no such object, or not fitted.
    FitError
        When the events do not allow a model.

    Examples
    --------
    >>> import selfloop as sl
    >>> class BetaGeoFitter:  # of lifetimes, fitted
    ...     params_ = {"r": 0.9, "alpha": 50.0, "a": 0.6, "b": 3.6}
    >>> shop = sl.simulate(n_visitors=500, seed=7)
    >>> model = from_lifetimes(BetaGeoFitter(), sl.read_events(shop.orders))
    >>> model.label, round(model.params["alpha"], 6)
    ('BG/NBD', 50.0)
    """
    Events.check(events)
    kind = type(fitter).__name__
    names = {fitter: name for name, fitter in FITTERS.items()}
    if kind not in names:
        raise SettingError(
            f"fitter must be a fitted {', '.join(names)} of lifetimes; got {kind}"
        )
    check_number("unit_days", unit_days, low=_SECOND, high=MAX_DAYS)
    wish = _Wish("auto", unit_days, Form(), 0.0, "lifetimes")
    whom = population(events)
    check_size(whom)
    fitted = taken_over(names[kind], fitter, whom, unit_days=unit_days)
    if spend is None:
        return _result(fitted, whom, wish, None, *_fit_spend(whom, 0.0))
    values = params_of_fitter(spend, ("p", "q", "v"))
    found = spend_at(whom, values)
    given = _spend_model(found.fit, (), found.independence)
    return _result(fitted, whom, wish, None, given, "")
