"""What is said beside the audit."""

import pandas as pd
import pytest

import selfloop as sl


def _orders():
    return pd.DataFrame(
        {
            "customer_id": ["a", "b", "c"],
            "ordered_at": pd.to_datetime(["2026-01-05 09:00"] * 3),
            "amount": [1, 2, 3],
        }
    )


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        # All three came before they bought, c on the same day but later in it.
        (["2026-01-01", "2026-01-05", "2026-01-05 23:00"], None),
        # c was first seen two days after the purchase.
        (["2026-01-01", "2026-01-05", "2026-01-07"], "1 of 3 buyers have no visit"),
    ],
)
def test_buyers_without_a_visit_are_named(seen, said):
    visits = pd.DataFrame(
        {
            "visitor_id": ["a", "b", "c"],
            "visited_at": pd.to_datetime(seen, format="mixed"),
        }
    )
    notes = sl.read_events(_orders(), visits=visits).notes.set_index("code")["note"]
    if said is None:
        assert "SL152" not in notes
    else:
        assert notes["SL152"].startswith(said)


def test_no_visits_no_note():
    assert "SL152" not in set(sl.read_events(_orders()).notes["code"])
