"""Every model of purchases by its name."""

from collections.abc import Callable

from selfloop.kernels import bg_bb, bg_nbd, cnbd_k, mbg_nbd, nbd, pareto_nbd, pdo
from selfloop.kernels.purchase_model import PurchaseModel

_FIXED = {
    m.name: m
    for m in (bg_nbd.MODEL, mbg_nbd.MODEL, pareto_nbd.MODEL, bg_bb.MODEL, nbd.MODEL)
}
_SHAPED: dict[str, Callable[[int], PurchaseModel]] = {
    "bg_cnbd_k": lambda k: cnbd_k.model(k, first_dropout=0),
    "mbg_cnbd_k": lambda k: cnbd_k.model(k, first_dropout=1),
}

NAMES = (*_FIXED, *_SHAPED, "pdo")
"""Names of all models."""


def purchase_model(
    name: str, *, k: int | None = None, tau: float | None = None
) -> PurchaseModel:
    """Return a model of purchases by its name.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    k : int, optional
        Regularity of the purchase gaps of ``bg_cnbd_k`` and ``mbg_cnbd_k``, 1 to 12.
    tau : float, optional
        Time between opportunities to leave of ``pdo``, above 0, in the unit of ages.

    Returns
    -------
    PurchaseModel

    Raises
    ------
    ValueError
        For an unknown name, or when k or tau is missing.

    Examples
    --------
    >>> purchase_model("mbg_nbd").label, purchase_model("bg_cnbd_k", k=2).label
    ('MBG/NBD', 'BG/CNBD-2')
    """
    if name in _FIXED:
        return _FIXED[name]
    if name in _SHAPED and k is not None:
        return _SHAPED[name](k)
    if name == "pdo" and tau is not None:
        return pdo.model(tau)
    raise ValueError(f"model must be one of {NAMES}, with its k or tau; got {name!r}")
