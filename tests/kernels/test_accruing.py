"""What a buyer and all who follow come to: by hand, person by person, in the end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfloop.kernels.accruing import accrued, accrued_after

money = st.lists(st.floats(-5, 50), min_size=1, max_size=12)


@st.composite
def loops(draw):
    """Draw what a buyer spends and brings, by age; R is below 1."""
    own = draw(money)
    brought = draw(
        st.lists(st.floats(0, 0.9 / len(own)), min_size=len(own), max_size=len(own))
    )
    return np.array(own), np.array(brought)


def by_people(own, brought):
    """Return the same by following every buyer there is, in parts of a buyer."""
    n_days = own.size
    people, spent = np.zeros((n_days, n_days)), np.zeros(n_days)
    for day in range(n_days):
        for age in range(day, 0, -1):
            people[day, age] = people[day - 1, age - 1]
        # Those of age 0 bring others of age 0 on the same day, without end.
        new = 1.0 * (day == 0) + people[day, 1:] @ brought[1:]
        people[day, 0] = new / (1 - brought[0])
        spent[day] = people[day] @ own
    return spent


def test_by_hand():
    # 10 at once and 1 a day later; half a buyer a day later.
    # w0 = 10; w1 = 1 + 10/2 = 6; w2 = 6/2 = 3.
    assert accrued([10, 1, 0], brought=[0, 0.5, 0]).tolist() == [10, 6, 3]


def test_a_buyer_who_brings_on_the_first_day():
    # Half a buyer on the same day, who does so too: 1 + 1/2 + 1/4 + ... = 2 buyers.
    assert accrued([3, 1], brought=[0.5, 0]).tolist() == [6, 2]


def test_one_or_more_on_the_first_day_has_no_end():
    with pytest.raises(ValueError, match="one or more on the day"):
        accrued([1, 1], brought=[1.0, 0])


def test_another_buyer_by_hand():
    # Spends 5 on day 1 and brings two on day 1, who are worth 8, then 4.
    found = accrued_after([0, 5, 0], brought=[0, 2, 0], following=[8, 4, 2])
    assert found.tolist() == [0, 5 + 16, 8]


@given(loops())
def test_people_counted_one_by_one(loop):
    own, brought = loop
    found = accrued(own, brought=brought)
    np.testing.assert_allclose(found, by_people(own, brought), atol=1e-9)


@given(loops())
def test_the_first_buyer_is_one_of_those_who_follow(loop):
    own, brought = loop
    following = accrued(own, brought=brought)
    found = accrued_after(own, brought=brought, following=following)
    np.testing.assert_allclose(found, following, atol=1e-9)


@given(loops())
def test_in_the_end_it_is_own_over_one_less_r(loop):
    own, brought = loop
    # R is at most 0.9: what 120 generations leave out is 0.9^121 / 0.1 = 3e-5 of it.
    pad = np.zeros(120 * own.size)
    total = accrued(np.append(own, pad), brought=np.append(brought, pad)).sum()
    expected = own.sum() / (1 - brought.sum())
    assert total == pytest.approx(expected, abs=1e-4 * np.abs(own).sum() + 1e-9)


@given(loops(), st.floats(0.1, 20))
def test_money_times_k_is_value_times_k(loop, k):
    own, brought = loop
    found = accrued(own * k, brought=brought)
    np.testing.assert_allclose(
        found, accrued(own, brought=brought) * k, rtol=1e-9, atol=1e-9
    )


def test_rows_are_apart():
    own = np.array([[10.0, 1, 0], [3, 1, 0]])
    brought = np.array([[0, 0.5, 0], [0.5, 0, 0]])
    both = accrued(own, brought=brought)
    assert both[0].tolist() == accrued(own[0], brought=brought[0]).tolist()
    assert both[1].tolist() == accrued(own[1], brought=brought[1]).tolist()
    after = accrued_after(own, brought=brought, following=both[0])
    assert after.shape == (2, 3)


def test_inputs_are_not_changed():
    own, brought, after = np.ones(3), np.full(3, 0.1), np.ones(3)
    accrued_after(own, brought=brought, following=after)
    accrued(own, brought=brought)
    assert own.tolist() == after.tolist() == [1, 1, 1]
    assert brought.tolist() == [0.1] * 3
