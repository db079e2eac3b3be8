"""Whether two groups differ in when something happens, with everybody used."""

import math
from typing import NamedTuple

import numpy as np
from scipy.special import erfc

from selfloop.kernels.survival import KaplanMeier


class LogRank(NamedTuple):
    """A log-rank test.

    Parameters
    ----------
    chi_square : float
        Its statistic, one degree of freedom.
    p_value : float
        As far apart by chance if both were alike; NaN when nothing can tell.
    """

    chi_square: float
    p_value: float


def log_rank(first: KaplanMeier, second: KaplanMeier) -> LogRank:
    """Test whether two groups have the event at the same pace.

    Parameters
    ----------
    first, second : KaplanMeier
        Curves from `survival.kaplan_meier`.

    Returns
    -------
    LogRank
        NaN when no day has both an event and people at risk in both groups.

    Notes
    -----
    On each day with d events among n people at risk, n1 of them in the first group,
    its events d1 are hypergeometric if the groups are alike. The statistic is

        (sum d1 - d n1 / n)^2 / sum d (n1 / n) (1 - n1 / n) (n - d) / (n - 1)

    References
    ----------
    Mantel (1966), Evaluation of survival data and two new rank order statistics
    arising in its consideration, Cancer Chemotherapy Reports 50; Peto and Peto
    (1972), JRSS A 135.

    Examples
    --------
    >>> from selfloop.kernels.survival import kaplan_meier
    >>> early = kaplan_meier(np.array([0, 8, 2, 0]), np.array([0, 0, 0, 5]))
    >>> late = kaplan_meier(np.array([0, 1, 4, 2]), np.array([0, 0, 0, 8]))
    >>> round(log_rank(early, late).p_value, 4)
    0.1043
    """
    n_days = min(first.day.size, second.day.size)  # beyond, one group is empty
    hits, at_risk = (
        np.array([first_days[:n_days], second_days[:n_days]], dtype=np.float64)
        for first_days, second_days in (
            (first.n_events, second.n_events),
            (first.n_at_risk, second.n_at_risk),
        )
    )
    d, n = hits.sum(axis=0), at_risk.sum(axis=0)
    used = (d > 0) & (n > 1)
    d, n, n_first = d[used], n[used], at_risk[0][used]
    share = n_first / n
    gap = float((hits[0][used] - d * share).sum())
    variance = float((d * share * (1 - share) * (n - d) / (n - 1)).sum())
    if not variance > 0:
        return LogRank(math.nan, math.nan)
    chi_square = gap**2 / variance
    return LogRank(chi_square, float(erfc(math.sqrt(chi_square / 2))))
