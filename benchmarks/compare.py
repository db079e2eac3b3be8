"""Are the results of two programs the same?"""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """One comparison.

    Parameters
    ----------
    label : str
        What is compared.
    key : str
        Where both answers keep it: a number, or several by name.
    relative : float
        Largest difference, as a share of the peer's number, that counts as equal.
    absolute : float
        Or this much, in the unit of the number.
    """

    label: str
    key: str
    relative: float = 0.0
    absolute: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What a comparison has shown.

    Parameters
    ----------
    label : str
        What was compared.
    n_values : int
        Numbers compared.
    name : str
        Which of several numbers differs most; empty when there is one.
    ours, peer : float or None
        These numbers; None is missing.
    difference : float
        Their difference as a share of the peer's.
    allowed : str
        What counts as equal.
    is_equal : bool
        Whether all numbers are.
    """

    label: str
    n_values: int
    name: str
    ours: float | None
    peer: float | None
    difference: float
    allowed: str
    is_equal: bool


CHECKS = (
    Check("order rows", "n_order_rows"),
    Check("people", "n_people"),
    Check("buyers", "n_buyers"),
    Check("repeat buyers", "n_repeat_buyers"),
    Check("purchases", "n_purchases"),
    Check("revenue, cents", "revenue_cents"),
    Check("buy again or refer within W, by source", "rates", relative=1e-9),
    Check("cohort cells", "cohorts"),
    Check("purchases, cents and share by month", "months", relative=1e-12),
    Check("R(H)", "r", relative=1e-9),
    Check("referrals that count", "n_links"),
    Check("people and buyers by generation", "generations"),
    Check("descendants, sum of all", "reach"),
    Check("network value, sum of all", "network_value", absolute=0.005),
    Check("social value, sum of all", "social_value", absolute=0.005),
    Check("BG/NBD parameters", "bg_nbd", relative=1e-2),
    Check("BG/NBD log-likelihood", "bg_nbd_log_likelihood", relative=1e-4),
    Check("Gamma-Gamma parameters", "gamma_gamma", relative=1e-2),
    Check("Gamma-Gamma log-likelihood", "gamma_gamma_log_likelihood", relative=1e-4),
    Check("P(alive), sum of all", "p_alive", relative=1e-3),
    Check("expected purchases, sum of all", "expected_purchases", relative=1e-3),
    Check("expected value, sum of all", "expected_value", relative=1e-3),
)


def compare(ours: dict[str, Any], peer: dict[str, Any]) -> list[Verdict]:
    """Compare everything that both have computed."""
    return [_judge(check, ours[check.key], peer[check.key]) for check in CHECKS]


def _judge(check: Check, ours: Any, peer: Any) -> Verdict:
    """Compare one number, or all numbers of one name."""
    mine, theirs = _named(ours), _named(peer)
    rows = []
    for name in mine.keys() | theirs.keys():
        a, b = mine.get(name), theirs.get(name)
        difference = _difference(a, b)
        room = check.relative + (check.absolute / abs(b) if b else 0.0)
        # A number that only one of them knows must win over every close pair.
        differs = difference > room or (name in mine) != (name in theirs)
        rows.append((differs, difference, name, a, b))
    differs, difference, name, a, b = max(
        rows, key=lambda row: (row[0], row[1], row[2])
    )
    return Verdict(
        label=check.label,
        n_values=len(rows),
        name=name,
        ours=a,
        peer=b,
        difference=difference,
        allowed=_allowed(check),
        is_equal=not differs,
    )


def _named(found: Any) -> dict[str, float | None]:
    """Return numbers by name; a single one has an empty name."""
    return found if isinstance(found, dict) else {"": found}


def _difference(a: float | None, b: float | None) -> float:
    """Return the difference of two numbers as a share of the second."""
    if a is None or b is None:
        return 0.0 if a is b else math.inf
    if math.isnan(a) or math.isnan(b):
        return math.inf
    if a == b:
        return 0.0
    return abs(a - b) / abs(b) if b else math.inf


def _allowed(check: Check) -> str:
    """Say what counts as equal."""
    if check.absolute:
        return f"{check.absolute:g}"
    return f"{check.relative:.0e} of it" if check.relative else "exact"
