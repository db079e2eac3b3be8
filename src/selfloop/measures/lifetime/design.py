"""How covariates enter a model: as columns of numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selfloop.core.errors import FitError
from selfloop.kernels.rows import FloatArray

COLUMN = "covariate: "
"""Before the name of a covariate where its column stands beside those of a shop, so
that no name can take the place of one of theirs."""

_COLLINEAR = 1e-9  # smallest singular value of a design, against the largest


@dataclass(frozen=True)
class Covariate:
    """A covariate and how it enters a model.

    Parameters
    ----------
    name : str
        Name of the column.
    reference : str
        Level that the others are compared with: the most frequent one; empty for a
        number.
    levels : tuple of str
        The other levels, the most frequent first; empty for a number.
    mean : float
        Mean of a number over buyers, which the model takes as 0.
    small : tuple of str
        Levels of fewer than 10 buyers, which are taken like the reference.
    """

    name: str
    reference: str = ""
    levels: tuple[str, ...] = ()
    mean: float = 0.0
    small: tuple[str, ...] = ()

    @property
    def column(self) -> str:
        """Name of its column in tables of people."""
        return COLUMN + self.name

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of its columns in the design."""
        if not self.levels:
            return (self.name,)
        return tuple(f"{self.name}={level}" for level in self.levels)

    def design(self, values: npt.NDArray[np.object_] | FloatArray) -> FloatArray:
        """Return its columns of the design.

        Parameters
        ----------
        values : ndarray, shape (n,)
            Levels as text, or numbers.

        Returns
        -------
        ndarray of float64, shape (n, n_terms)
            1 where the level is that of the column, else 0; a number less its mean.

        Raises
        ------
        FitError
            When a level was not among those that were fitted.
        """
        if not self.levels:
            return (np.asarray(values, dtype=np.float64) - self.mean)[:, None]
        known = np.array([self.reference, *self.levels, *self.small], dtype=object)
        strange = sorted(set(values.tolist()) - set(known.tolist()))
        if strange:
            raise FitError(
                f"covariate {self.name!r} has levels that were not fitted: "
                f"{', '.join(map(repr, strange[:5]))}"
            )
        return np.stack([values == level for level in self.levels], axis=1) * 1.0


def design_of(
    covariates: Sequence[Covariate], values: Mapping[str, npt.NDArray[np.object_]]
) -> FloatArray:
    """Return the design of rows with some covariates.

    Parameters
    ----------
    covariates : sequence of Covariate
        How they enter the model.
    values : mapping of str to ndarray, shape (n,)
        Their values by column.

    Returns
    -------
    ndarray of float64, shape (n, n_terms)

    Raises
    ------
    FitError
        When a level was not fitted.
    """
    return np.concatenate([c.design(values[c.column]) for c in covariates], axis=1)


def check_design(
    covariates: Sequence[Covariate], design: FloatArray, n_people: FloatArray
) -> None:
    """Refuse a design whose columns say the same.

    Parameters
    ----------
    covariates : sequence of Covariate
        Their columns.
    design : ndarray of float64, shape (n, n_terms)
        Covariates of each row.
    n_people : ndarray of float64, shape (n,)
        People per row.

    Raises
    ------
    FitError
        Naming the columns that are collinear, and what to do.
    """
    weight = n_people / n_people.sum()
    largest = np.abs(design).max(axis=0)
    design = design / np.where(largest > 0, largest, 1.0)  # no square may overflow
    centred = design - np.einsum("i,ij->j", weight, design)
    spread = np.sqrt(np.einsum("i,ij->j", weight, centred**2))
    scaled = centred / np.where(spread > 0, spread, 1.0) * np.sqrt(weight)[:, None]
    gram = np.einsum("ij,ik->jk", scaled, scaled)
    values, vectors = np.linalg.eigh(gram)
    if values[0] > _COLLINEAR:
        return
    terms = [term for c in covariates for term in c.terms]
    same = [t for t, v in zip(terms, vectors[:, 0], strict=True) if abs(v) > 1e-6]
    raise FitError(
        f"covariates {', '.join(map(repr, same))} are collinear: each follows from the "
        "others; leave one of them out"
    )
