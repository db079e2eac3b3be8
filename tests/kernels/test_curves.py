"""Curves by age: by hand, against the estimators of one row, leaving out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from selfloop.kernels.curves import mean_curves, reached_curves
from selfloop.kernels.survival import kaplan_meier, mean_cumulative


@st.composite
def pairs(draw):
    """Draw two tables of counts, by group and day."""
    shape = draw(st.integers(2, 4)), draw(st.integers(1, 7))
    counts = arrays(np.int64, shape, elements=st.integers(0, 4))
    return draw(counts), draw(counts)


def test_means_by_hand():
    # Group 0: one person followed for 3 days spends 6 on day 0 and 2 on day 2. Group 1:
    # two people, followed for 0 and 1 days, spend 3 on day 0 and 4 on day 1.
    # At risk 3, 2, 1, 1: (6 + 3)/3, 4/2, 2/1, 0/1.
    curves = mean_curves(
        [[6, 0, 2, 0], [3, 4, 0, 0]], n_followup=[[0, 0, 0, 1], [1, 1, 0, 0]]
    )
    assert curves.steps[-1].tolist() == [3, 2, 2, 0]
    assert curves.n_at_risk.tolist() == [3, 2, 1, 1]
    assert curves.by(2)[-1] == 7
    # Without group 0 nobody is left on day 2: not known, not 0.
    assert curves.steps[0].tolist()[:2] == [1.5, 4]
    assert np.isnan(curves.steps[0, 2:]).all()
    assert curves.steps[1].tolist() == [6, 0, 2, 0]


def test_shares_by_hand():
    # Five people: two get there on day 1 and one on day 2; two wait, for 1 and 3 days.
    # Hazards 2/5 on day 1 and 1/2 on day 2 (one of two is left): falls 0.4, 0.6 / 2.
    curves = reached_curves(
        [[0, 2, 0, 0], [0, 0, 1, 0]], n_waiting=[[0, 1, 0, 0], [0, 0, 0, 1]]
    )
    assert curves.steps[-1].tolist() == pytest.approx([0, 0.4, 0.3, 0])
    assert curves.n_at_risk.tolist() == [5, 5, 2, 1]
    assert curves.by(2)[-1] == pytest.approx(0.7)
    # Without group 1: two of three, the third watched to day 1 only.
    assert curves.steps[1].tolist()[:2] == pytest.approx([0, 2 / 3])
    assert np.isnan(curves.steps[1, 2:]).all()


def test_all_there_is_known_for_good():
    # Both are there on day 1: nobody is left to watch, and nothing more can happen.
    curves = reached_curves([[0, 1, 0], [0, 1, 0]], n_waiting=np.zeros((2, 3)))
    assert curves.steps.tolist() == [[0, 1, 0]] * 3


def test_the_longest_age_that_enough_have_reached():
    curves = mean_curves(np.zeros((1, 4)), n_followup=[[2, 0, 3, 1]])
    assert [curves.longest(n) for n in (1, 2, 4, 5, 6, 7)] == [3, 2, 2, 0, 0, None]


@given(pairs())
def test_the_last_row_is_the_estimate_of_all(tables):
    happened, followed = tables
    money = mean_curves(happened, n_followup=followed)
    # Events of people who were not followed so long are no data of ours.
    known = money.n_at_risk > 0
    whole = mean_cumulative(happened.sum(axis=0) * known, followed.sum(axis=0))
    np.testing.assert_allclose(money.steps[-1], whole.increment)
    reached = reached_curves(happened, n_waiting=followed)
    km = kaplan_meier(happened.sum(axis=0), followed.sum(axis=0))
    np.testing.assert_allclose(np.cumsum(reached.steps[-1]), km.cif, atol=1e-12)
    assert reached.n_at_risk.tolist() == km.n_at_risk.tolist()


@given(pairs())
def test_each_row_leaves_one_group_out(tables):
    one, two = tables
    for curves_of, name in ((mean_curves, "n_followup"), (reached_curves, "n_waiting")):
        found = curves_of(one, **{name: two})
        for group in range(one.shape[0]):
            rest = (np.delete(table, group, axis=0) for table in (one, two))
            alone = curves_of(next(rest), **{name: next(rest)})
            np.testing.assert_allclose(found.steps[group], alone.steps[-1], atol=1e-12)


@given(pairs(), st.randoms(use_true_random=False))
def test_the_order_of_groups_does_not_matter(tables, random):
    one, two = tables
    order = random.sample(range(len(one)), len(one))
    found = mean_curves(one, n_followup=two)
    other = mean_curves(one[order], n_followup=two[order])
    np.testing.assert_array_equal(found.steps[order], other.steps[:-1])
    np.testing.assert_array_equal(found.steps[-1], other.steps[-1])


@given(pairs())
def test_shares_are_shares(tables):
    found = reached_curves(tables[0], n_waiting=tables[1])
    known = np.nan_to_num(found.steps)
    assert (known >= 0).all()
    assert (known.sum(axis=1) <= 1 + 1e-12).all()
