"""Compression, search, standard errors and the honesty of `kernels.fitting`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfloop.core.errors import FitError
from selfloop.kernels.fitting import Fit, delta_variance, maximise, rescaled
from selfloop.kernels.rows import Rows, distinct_rows


def exponential(rows):
    """Log-likelihood of waiting times with one rate: n ln(rate) - rate * total."""
    n, total = rows.n_people, float(rows.columns[0] @ rows.counts)
    return lambda p: (n * np.log(p[0]) - p[0] * total, n / p - total)


def gamma(rows):
    """Log-likelihood of gamma numbers by rate and shape, up to a constant of x."""
    from scipy.special import digamma, gammaln  # noqa: PLC0415 - of this model alone

    n = rows.n_people
    total = float(rows.columns[0] @ rows.counts)
    logs = float(np.log(rows.columns[0]) @ rows.counts)

    def objective(p):
        rate, shape = p
        value = n * (shape * np.log(rate) - gammaln(shape)) + shape * logs
        by_shape = n * (np.log(rate) - digamma(shape)) + logs
        gradient = np.array([n * shape / rate - total, by_shape])
        return value - rate * total, gradient

    return objective


def test_distinct_rows_by_hand():
    # (1, 5) twice with 1 + 3 people, (0, 9) once with 2, (1, 4) with nobody: gone.
    rows = distinct_rows([[1, 0, 1, 1], [5, 9, 5, 4]], counts=[1, 2, 3, 0])
    assert rows.columns[0].tolist() == [0, 1]
    assert rows.columns[1].tolist() == [9, 5]
    assert rows.counts.tolist() == [2, 4]
    assert (rows.n_people, rows.n_distinct) == (6, 2)


def test_distinct_rows_of_nothing():
    rows = distinct_rows([[], []])
    assert (rows.n_people, rows.n_distinct) == (0, 0)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
def test_distinct_rows_do_not_depend_on_order(table, random):
    shuffled = random.sample(table, len(table))
    rows, again = (distinct_rows(list(zip(*t, strict=True))) for t in (table, shuffled))
    assert np.array_equal(rows.columns, again.columns)
    assert np.array_equal(rows.counts, again.counts)
    pairs = set(zip(*(c.tolist() for c in rows.columns), strict=True))
    assert pairs == set(table)
    assert rows.n_people == len(table)


_SPACED = st.tuples(st.integers(-500, 500), st.sampled_from([1, 3, 7, 0.1, 1e-300]))
_ANY = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(
    st.one_of(
        st.lists(_ANY, min_size=1, max_size=40),
        st.lists(_SPACED.map(lambda pair: pair[0] / pair[1]), min_size=1, max_size=40),
        st.lists(st.integers(0, 900).map(lambda day: day / 7), min_size=1, max_size=90),
    )
)
def test_distinct_rows_of_evenly_and_of_unevenly_spaced_numbers(column):
    rows = distinct_rows([column])
    values, counts = np.unique(column, return_counts=True)
    assert np.array_equal(rows.columns[0], values)
    assert np.array_equal(rows.counts, counts)


@pytest.mark.parametrize(
    ("columns", "counts", "message"),
    [
        ([[1, 2], [1]], None, "must have one length"),
        ([[1, 2]], [1], "must have one length"),
        ([[1, np.nan]], None, "must be finite"),
        ([[1, 2]], [1, -1], "counts at least 0"),
        ([[1, 2]], [1, np.inf], "must be finite"),
    ],
)
def test_distinct_rows_refuse_bad_input(columns, counts, message):
    with pytest.raises(ValueError, match=message):
        distinct_rows(columns, counts=counts)


def test_maximum_by_hand():
    # Rate = n / total = 4 / 10; its standard error is rate / sqrt(n) = 0.2;
    # log-likelihood 4 ln 0.4 - 0.4 * 10.
    fit = maximise(
        exponential, distinct_rows([[1.0, 2.0, 3.0, 4.0]]), names=["rate"], starts=[[1]]
    )
    assert fit.params["rate"] == pytest.approx(0.4, rel=1e-12)
    assert fit.standard_errors["rate"] == pytest.approx(0.2, rel=1e-7)
    assert fit.log_likelihood == pytest.approx(4 * np.log(0.4) - 4, rel=1e-13)
    assert (fit.n_people, fit.n_distinct, fit.at_bound) == (4, 4, ())
    assert fit.gradient < 1e-12


def test_counts_are_people():
    one_by_one = distinct_rows([[1.0, 1.0, 1.0, 7.0]])
    counted = distinct_rows([[1.0, 7.0]], counts=[3, 1])
    fits = [
        maximise(exponential, rows, names=["rate"], starts=[[1]])
        for rows in (one_by_one, counted)
    ]
    assert fits[0].params == fits[1].params
    assert fits[0].standard_errors == fits[1].standard_errors


def test_warm_start_ends_at_the_same_point():
    draws = np.random.default_rng(3).gamma(2.0, 1 / 3.0, 5_000)
    rows = distinct_rows([draws])
    arguments = {"names": ["rate", "shape"], "starts": [[1.0, 1.0]]}
    plain = maximise(gamma, rows, n_warm=5_000, **arguments)
    warm = maximise(gamma, rows, n_warm=500, **arguments)
    np.testing.assert_allclose(warm.estimates, plain.estimates, rtol=1e-10)
    np.testing.assert_allclose(warm.covariance, plain.covariance, rtol=1e-6)
    assert warm.n_evaluations < plain.n_evaluations


def test_warm_start_gives_way_when_the_sample_misleads():
    # A sample of one person is a one: the shape runs away. All people have a maximum.
    draws = np.array([0.2, 0.5, 1.0, 2.0, 4.0])
    rows = Rows((draws,), np.array([1.0, 1.0, 1e4, 1.0, 1.0]))
    arguments = {"names": ["rate", "shape"], "starts": [[1.0, 1.0]]}
    sample = distinct_rows([[1.0]])
    assert maximise(gamma, sample, **arguments).at_bound
    warm = maximise(gamma, rows, n_warm=1, **arguments)
    plain = maximise(gamma, rows, **arguments)
    assert warm.at_bound == ()
    np.testing.assert_allclose(warm.estimates, plain.estimates, rtol=1e-7)


def test_a_parameter_that_runs_away_is_named():
    # ln L = -1/p grows for ever, ever more slowly.
    fit = maximise(
        lambda _: lambda p: (float(-1 / p[0]), 1 / p**2),
        distinct_rows([[1.0]]),
        names=["p"],
        starts=[[1.0]],
    )
    assert fit.at_bound == ("p",)
    assert fit.covariance is None
    assert fit.standard_errors == {}


def test_a_parameter_without_effect_is_named():
    def flat(rows):
        inner = exponential(rows)

        def objective(p):
            value, gradient = inner(p[:1])
            return value, np.array([gradient[0], 0.0])

        return objective

    fit = maximise(
        flat, distinct_rows([[1.0, 3.0]]), names=["rate", "idle"], starts=[[1.0, 2.0]]
    )
    assert fit.at_bound == ("idle",)
    assert fit.standard_errors == {}
    assert fit.params["rate"] == pytest.approx(0.5, rel=1e-6)


def test_a_barely_curved_likelihood_is_not_called_known():
    # Curvature 1e-6 of the mean for 4 people: the log has a standard error of 500.
    fit = maximise(
        lambda _: (
            lambda p: (
                -2e-6 * float(np.log(p[0])) ** 2,
                -4e-6 * np.log(p) / p,
            )
        ),
        distinct_rows([[1.0]], counts=[4]),
        names=["p"],
        starts=[[1.0]],
    )
    assert fit.at_bound == ("p",)


def test_other_starts_are_tried_and_the_best_counts():
    # In t = ln p: a maximum of 10 at t = 1 and one of 2 at the lower edge, t = -14.
    def two_hills(_):
        def objective(p):
            t = np.log(p[0])
            near = 10 * np.exp(-((t - 1) ** 2))
            value = near + 2 / (1 + np.exp(t + 8))
            slope = -2 * (t - 1) * near - 2 / (2 + np.exp(t + 8) + np.exp(-t - 8))
            return value, np.array([slope / p[0]])

        return objective

    rows = distinct_rows([[1.0]])
    edge = maximise(two_hills, rows, names=["p"], starts=[[np.exp(-7.5)]])
    assert edge.at_bound == ("p",)
    both = maximise(two_hills, rows, names=["p"], starts=[[np.exp(-7.5)], [2.0]])
    assert both.params["p"] == pytest.approx(np.e, rel=1e-3)
    assert both.at_bound == ()


def test_a_search_that_does_not_converge_is_an_error():
    # The gradient never vanishes although the value is best at p = 1.
    def broken(_):
        return lambda p: (-abs(float(np.log(p[0]))), np.array([1.0]) / p)

    with pytest.raises(FitError, match=r"did not converge.*2 starts, on 5 people"):
        maximise(
            broken,
            distinct_rows([[1.0]], counts=[5]),
            names=["p"],
            starts=[[1.0], [2.0]],
        )


def test_rescaled_moves_one_parameter_only():
    fit = Fit(
        names=("r", "alpha"),
        estimates=np.array([1.0, 2.0]),
        covariance=np.array([[0.04, 0.01], [0.01, 0.09]]),
        log_likelihood=-5.0,
        n_people=10,
        n_distinct=9,
        n_evaluations=3,
        gradient=0.0,
        at_bound=(),
    )
    weeks = rescaled(fit, name="alpha", factor=1 / 7, log_likelihood_shift=2.0)
    assert weeks.params == pytest.approx({"r": 1.0, "alpha": 2 / 7})
    assert weeks.standard_errors == pytest.approx({"r": 0.2, "alpha": 0.3 / 7})
    assert weeks.covariance[0, 1] == pytest.approx(0.01 / 7)
    assert weeks.log_likelihood == -3.0


def test_delta_variance_by_hand():
    # f = (2 p - q, p): variances 4 * 0.04 - 4 * 0.01 + 0.09 = 0.21 and 0.04.
    variance = delta_variance(
        lambda p: np.array([2 * p[0] - p[1], p[0]]),
        estimates=[1.0, 2.0],
        covariance=np.array([[0.04, 0.01], [0.01, 0.09]]),
    )
    np.testing.assert_allclose(variance, [0.21, 0.04], rtol=1e-7)
