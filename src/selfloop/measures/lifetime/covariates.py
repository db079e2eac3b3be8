"""What is known of a customer at the start: read, joined, and described."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np

from selfloop.core.errors import FitError, FitWarning, SettingError
from selfloop.inputs.columns import nearest
from selfloop.inputs.dialect import person_key
from selfloop.inputs.events import Events
from selfloop.inputs.read import read_table
from selfloop.measures.lifetime.design import COLUMN, Covariate

PERSONAL = ("source", "channel", "was_referred", "generation")
"""Covariates that selfloop knows of everybody."""

_OF_REFERRALS = ("was_referred", "generation")

MISSING_LEVEL = "(missing)"
"""Level of those for whom a categorical covariate is missing."""

_LARGEST = 1e100

MAX_LEVELS = 20
"""A categorical covariate with more levels than this says little about any."""

MIN_PER_LEVEL = 10
"""A level of fewer buyers says nothing of its own: it is taken like the reference."""


def check_names(covariates: Sequence[str]) -> Sequence[str]:
    """Return names of covariates; a single text is a mistake.

    Parameters
    ----------
    covariates : sequence of str
        What the user gave.

    Returns
    -------
    sequence of str

    Raises
    ------
    SettingError
        When it is no list of different names.
    """
    if isinstance(covariates, str):
        raise SettingError(
            f"covariates must be a list of names, such as [{covariates!r}]"
        )
    names = list(covariates) if isinstance(covariates, Iterable) else [covariates]
    if not all(isinstance(name, str) for name in names):
        raise SettingError(f"covariates must be a list of names; got {covariates!r}")
    if len(set(names)) < len(names):
        raise SettingError("covariates must not name a column twice")
    return names


def with_covariates(
    people: ir.Table,
    events: Events,
    covariates: Sequence[str] | Sequence[Covariate],
    attributes: object | None,
) -> ir.Table:
    """Add columns of covariates to a table of buyers.

    Parameters
    ----------
    people : ibis table
        person_no and what else is known.
    events : Events
        Where they come from.
    covariates : sequence of str or of Covariate
        Names, or those of a fitted model, which say what is text and what a number.
    attributes : path or table or None
        A table of customers: customer_id and columns.

    Returns
    -------
    ibis table
        The same rows with the covariates, text or float64, in columns named with
        `COLUMN`. Missing text is the level ``(missing)``.

    Raises
    ------
    SettingError
        When there is no such covariate, or the table of customers does not fit.
    MissingTableError
        When a covariate says who was referred and there are no referrals.
    """
    own = None if attributes is None else _attributes(attributes, events)
    personal = _personal(events)
    known = [c for c in personal.columns if c != "person_no"]
    if own is not None:
        known += [c for c in own.columns if c not in (*PERSONAL, "person_no")]
    for covariate in covariates:
        name = covariate if isinstance(covariate, str) else covariate.name
        if name not in known:
            near = nearest(name, known)
            hint = f"; did you mean {near!r}?" if near else ""
            raise SettingError(
                f"covariates must be among {', '.join(known)}, or columns of "
                f"attributes=; got {name!r}{hint}"
            )
        fitted = (
            () if isinstance(covariate, str)
            else (covariate.reference, *covariate.levels)
        )  # fmt: skip
        if name in _OF_REFERRALS or (name == "source" and "referral" in fitted):
            events.need("referrals", f"the covariate {name!r}")
        source = personal if name in PERSONAL else own
        assert source is not None
        if own is not None and name in PERSONAL and name in own.columns:
            raise SettingError(
                f"attributes must not have a column {name!r}, which selfloop finds in "
                "the events; rename it"
            )
        value = _typed(source[name], covariate)
        column = source.select("person_no", **{COLUMN + name: value})
        people = people.left_join(column, "person_no").drop("person_no_right")
        if value.type().is_string():  # whoever has no row at all
            filled = people[COLUMN + name].fill_null(MISSING_LEVEL)
            people = people.mutate(**{COLUMN + name: filled})
    return people


def _personal(events: Events) -> ir.Table:
    """Return what selfloop knows of everybody at the time they came."""
    core = events.core
    referred = ibis.ifelse(core.source == "referral", "yes", "no")
    return core.select(
        "person_no", "source", "channel", "generation", was_referred=referred
    )


def _attributes(source: object, events: Events) -> ir.Table:
    """Read a table of customers, one row each."""
    table = read_table(source, "attributes", events.engine).table
    if "customer_id" not in table.columns:
        raise SettingError(
            "attributes must have a column customer_id; it has "
            + ", ".join(table.columns)
        )
    table = table.mutate(person_no=person_key(table.customer_id.cast("string")))
    table = events.engine.keep(table.drop("customer_id"), "attributes")
    counted = table.aggregate(n=table.count(), n_ids=table.person_no.nunique())
    line = counted.to_pyarrow().to_pylist()[0]
    if line["n"] > line["n_ids"]:
        raise SettingError(
            f"attributes must have one row per customer_id; {line['n']:,} rows have "
            f"{line['n_ids']:,} ids"
        )
    return table


def _typed(column: ir.Column, covariate: str | Covariate) -> ir.Value:
    """Return a covariate as text or number; text that is all numbers is one.

    What selfloop finds is what it is: channels are names, even ``"101"``.
    """
    kind = column.type()
    fitted = covariate if isinstance(covariate, Covariate) else None
    if kind.is_boolean():
        return ibis.cases((column.isnull(), MISSING_LEVEL), (column, "yes"), else_="no")
    if fitted is not None and not fitted.levels:
        is_number = kind.is_numeric()
        return column.cast("float64") if is_number else column.try_cast("float64")
    if kind.is_numeric() and fitted is None:
        return column.cast("float64")
    if kind.is_string() and fitted is None and column.get_name() not in PERSONAL:
        table = column.name("value").as_table()
        counted = table.aggregate(
            n=table.value.count(), n_numbers=table.value.try_cast("float64").count()
        )
        line = counted.to_pyarrow().to_pylist()[0]
        if line["n"] and line["n"] == line["n_numbers"]:
            return column.try_cast("float64")
    return column.cast("string").fill_null(MISSING_LEVEL)


def check_numbers(people: ir.Table, covariates: Sequence[Covariate]) -> None:
    """Refuse people of whom a number is not known.

    Parameters
    ----------
    people : ibis table
        Buyers with the covariates.
    covariates : sequence of Covariate
        Those of a fitted model.

    Raises
    ------
    FitError
        When a number is missing, is none, or is so far from those that were fitted
        that nothing is known of it.
    """
    for covariate in covariates:
        if not covariate.levels:
            _known_numbers(people, covariate.name)


def describe(people: ir.Table, names: Sequence[str]) -> tuple[Covariate, ...]:
    """Say how covariates enter a model, or refuse those that cannot.

    Parameters
    ----------
    people : ibis table
        Buyers with the covariates.
    names : sequence of str
        Covariates.

    Returns
    -------
    tuple of Covariate

    Raises
    ------
    FitError
        When one is constant, a number is missing for somebody, or there are too many
        levels of 10 buyers or more.

    Warns
    -----
    FitWarning
        When a level is missing values, or has fewer than 10 buyers and so takes the
        rates of the reference.
    """
    return tuple(
        _number(people, name) if people[COLUMN + name].type().is_numeric()
        else _levels(people, name)
        for name in names
    )  # fmt: skip


def _number(people: ir.Table, name: str) -> Covariate:
    """Describe a numeric covariate."""
    line = _known_numbers(people, name)
    if line["high"] - line["low"] < 1 / _LARGEST:
        raise _constant(name, line["low"])
    return Covariate(name, mean=float(line["mean"]))


def _known_numbers(people: ir.Table, name: str) -> dict[str, Any]:
    """Return mean and range of a number that is known of everybody."""
    column = people[COLUMN + name]
    line = people.aggregate(
        n=people.count(), known=column.count(), mean=column.mean(),
        low=column.min(), high=column.max(),
    ).to_pyarrow().to_pylist()[0]  # fmt: skip
    n_missing = line["n"] - line["known"]
    if n_missing:
        raise FitError(
            f"covariate {name!r} is missing for {n_missing:,} of {line['n']:,} buyers; "
            "fill it with numbers, or leave it out"
        )
    ends = [line["low"] or 0.0, line["high"] or 0.0]
    if not np.isfinite(ends).all():
        raise FitError(f"covariate {name!r} is not finite for every buyer")
    if max(map(abs, ends)) > _LARGEST:
        raise FitError(
            f"covariate {name!r} must lie between -{_LARGEST:g} and {_LARGEST:g}; it "
            f"goes from {line['low']:g} to {line['high']:g}; take another unit"
        )
    return dict(line)


def _levels(people: ir.Table, name: str) -> Covariate:
    """Describe a categorical covariate; the most frequent level is the reference."""
    counted = people.group_by(level=people[COLUMN + name]).aggregate(n=people.count())
    rows = counted.order_by(ibis.desc("n"), "level").to_pyarrow().to_pylist()
    sizes = {str(row["level"]): int(row["n"]) for row in rows}
    if not sizes:
        raise _constant(name, None)
    reference, *others = sizes
    large = tuple(level for level in others if sizes[level] >= MIN_PER_LEVEL)
    small = tuple(level for level in others if sizes[level] < MIN_PER_LEVEL)
    n_small = sum(sizes[level] for level in small)
    if not large:
        raise _constant(name, reference, n_small)
    if len(large) >= MAX_LEVELS:
        raise FitError(
            f"covariate {name!r} has {len(large) + 1:,} levels of {MIN_PER_LEVEL} or "
            f"more buyers, at most {MAX_LEVELS} can be told apart; group the small ones"
        )
    if MISSING_LEVEL in large or reference == MISSING_LEVEL:
        warnings.warn(
            f"covariate {name!r} is missing for {sizes[MISSING_LEVEL]:,} buyers; they "
            f"form a level of their own, {MISSING_LEVEL!r}",
            FitWarning,
            stacklevel=2,
        )
    if small:
        warnings.warn(
            f"{_named(small)} of covariate {name!r} ({n_small:,} buyers) are taken "
            f"like {reference!r}: a level needs {MIN_PER_LEVEL} buyers",
            FitWarning,
            stacklevel=2,
        )
    return Covariate(name, reference=reference, levels=large, small=small)


def _named(levels: Sequence[str]) -> str:
    """Name a few levels."""
    few = ", ".join(map(repr, levels[:3]))
    more = f" and {len(levels) - 3:,} more" if len(levels) > 3 else ""
    return f"level{'s' if len(levels) > 1 else ''} {few}{more}"


def _constant(name: str, value: object, n_others: int = 0) -> FitError:
    """Say that a covariate explains nothing."""
    if not n_others:
        found = f"is {value!r} for every buyer"
    else:
        found = (
            f"has no second level of {MIN_PER_LEVEL} buyers beside {value!r} "
            f"({n_others:,} buyers have other values)"
        )
    return FitError(
        f"covariate {name!r} {found}, so it explains nothing; leave it out"
        + (", or group its values" if n_others else "")
    )
