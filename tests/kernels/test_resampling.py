"""Delete-a-group jackknife and tenths of people: by hand, against numpy, laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfloop.kernels.calibration import tenths
from selfloop.kernels.resampling import jackknife_variance, left_out


def test_left_out_by_hand():
    found = left_out([[1, 2], [3, 4]])
    assert found.tolist() == [[3, 4], [1, 2], [4, 6]]


def test_jackknife_of_a_mean_is_the_variance_of_the_mean():
    values = np.random.default_rng(1).normal(size=20)
    without = [np.delete(values, i).mean() for i in range(20)]
    assert jackknife_variance(without) == pytest.approx(values.var(ddof=1) / 20)


def test_jackknife_of_a_ratio_covers():
    """Ratio of two sums over 2,000 people in 50 groups."""
    rng = np.random.default_rng(3)
    n_runs, covered = 400, 0
    for _ in range(n_runs):
        base = rng.gamma(2, 1, 2000)
        top = rng.poisson(0.4 * base)
        group = rng.integers(0, 50, 2000)
        sums = left_out(np.array([np.bincount(group, w, 50) for w in (top, base)]).T)
        ratio = sums[:, 0] / sums[:, 1]
        error = np.sqrt(jackknife_variance(ratio[:-1]))
        covered += abs(ratio[-1] - 0.4) < 1.96 * error
    assert 0.92 <= covered / n_runs <= 0.98


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(1, 30)), min_size=1
    )
)
def test_tenths_keep_all_sums_and_do_not_depend_on_rows(rows):
    score, actual, counts = (np.array(c, dtype=float) for c in zip(*rows, strict=True))
    found = tenths(score, predicted=score, actual=actual, counts=counts)
    assert found.n_people == pytest.approx(np.full(10, counts.sum() / 10))
    assert found.predicted.sum() == pytest.approx(score @ counts)
    assert found.actual.sum() == pytest.approx(actual @ counts)
    assert found.actual_square.sum() == pytest.approx(actual**2 @ counts)
    assert (np.diff(found.predicted) <= 1e-9).all()
    other = tenths(
        score[::-1], predicted=score[::-1], actual=actual[::-1], counts=counts[::-1]
    )
    for one, two in zip(found, other, strict=True):
        assert one == pytest.approx(two)


def test_tenths_are_those_of_sorting_people():
    rng = np.random.default_rng(2)
    score = rng.permutation(200).astype(float)
    actual = rng.poisson(2, 200).astype(float)
    found = tenths(score, predicted=score, actual=actual, counts=np.ones(200))
    order = np.argsort(-score).reshape(10, 20)
    assert found.actual == pytest.approx(actual[order].sum(axis=1))
