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


@pytest.mark.parametrize(
    ("end", "is_said"),
    [(None, False), ("2026-02-04", False), ("2026-02-05", True), ("2026-01-04", None)],
)
def test_an_end_long_after_the_last_event_is_named(end, is_said):
    table = pd.concat([_orders(), _orders().assign(ordered_at="2026-01-03")])
    notes = sl.read_events(table, end=end).notes.set_index("code")["note"]
    assert ("SL153" in notes) == bool(is_said)
    if is_said:
        assert notes["SL153"].startswith(
            "the last event is of 2026-01-05, 31 days before the end, 2026-02-05;"
        )


def test_no_visits_no_note():
    assert "SL152" not in set(sl.read_events(_orders()).notes["code"])
