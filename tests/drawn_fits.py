"""Fits of many drawn samples, and how often their intervals hold the truth."""

import numpy as np

from selfloop.kernels.fitting import maximise
from selfloop.kernels.purchase_fit import fit_purchases, typical_sizes
from selfloop.kernels.rows import distinct_rows

N_COMPARED = 3
"""Samples that are also fitted from all starts."""


def fit_near(model, truth, x, *, recency, age):
    """Fit from the truth, which is one search where `fit_purchases` tries many."""
    rows = distinct_rows([np.asarray(c, np.float64) for c in (x, recency, age)])
    return maximise(
        model.objective,
        rows,
        names=model.parameters,
        starts=[truth],
        typical=typical_sizes(model, rows),
    )


def shares_inside(model, truth, draw, *, n_runs):
    """Return for each parameter the share of 95 % intervals that hold it.

    `draw` gives x, recency and age of one sample. That the search from the truth ends
    where the search from everywhere does is asserted for the first samples.
    """
    inside = np.zeros(len(truth))
    for run in range(n_runs):
        x, recency, age = draw()
        fit = fit_near(model, truth, x, recency=recency, age=age)
        if run < N_COMPARED:
            other = fit_purchases(model, x, recency=recency, age=age)
            np.testing.assert_allclose(fit.estimates, other.estimates, rtol=1e-3)
        assert fit.at_bound == ()
        errors = np.array(list(fit.standard_errors.values())) / fit.estimates
        inside += np.abs(np.log(fit.estimates / np.array(truth))) < 1.96 * errors
    return inside / n_runs
