"""Every column of every table: its name, type, unit and meaning, once."""

from typing import NamedTuple


class Column(NamedTuple):
    """One column of a table.

    Parameters
    ----------
    name : str
        Name in the table.
    kind : str
        ``text``, ``int``, ``float``, ``money``, ``share``, ``days``, ``time``,
        ``date``, ``month`` or ``flag``.
    meaning : str
        What it says, and what a missing value means where there are any.
    """

    name: str
    kind: str
    meaning: str


class Role(NamedTuple):
    """One column that an input table may have.

    Parameters
    ----------
    name : str
        Name used by selfloop.
    kind : str
        ``id``, ``time``, ``money``, ``number`` or ``text``.
    need : str
        ``required`` or ``optional``.
    meaning : str
        What it holds.
    """

    name: str
    kind: str
    need: str
    meaning: str


INPUT_ROLES: dict[str, tuple[Role, ...]] = {
    "orders": (
        Role("customer_id", "id", "required", "who bought; blank for a guest"),
        Role("ordered_at", "time", "required", "when"),
        Role("amount", "money", "required", "value of the row; negative for a refund"),
        Role("order_id", "id", "optional", "rows with one id are one order"),
        Role("channel", "text", "optional", "where the order came from"),
        Role("currency", "text", "optional", "one currency per analysis"),
        Role("quantity", "number", "optional", "with unit_price, instead of amount"),
        Role("unit_price", "money", "optional", "with quantity, instead of amount"),
    ),
    "referrals": (
        Role("referrer_id", "id", "required", "who brought somebody"),
        Role("referee_id", "id", "required", "who was brought"),
        Role("referred_at", "time", "required", "when"),
        Role("channel", "text", "optional", "by which means"),
        Role("reward", "money", "optional", "cost paid for it"),
    ),
    "visits": (
        Role("visitor_id", "id", "required", "who came; blank for an anonymous visit"),
        Role("visited_at", "time", "required", "when"),
        Role("channel", "text", "optional", "from where"),
    ),
    "spend": (
        Role("date", "time", "required", "day of the cost"),
        Role("channel", "text", "required", "what was paid for"),
        Role("spend", "money", "required", "cost"),
        Role("visitors", "number", "optional", "traffic when there are no visit rows"),
    ),
}
"""Columns of the four input tables."""

AUDIT = (
    Column("table", "text", "input table"),
    Column("code", "text", "stable code of the reason, such as SL202"),
    Column("reason", "text", "short name of the reason, such as self_referral"),
    Column("outcome", "text", "used, set_aside (by a rule) or rejected (unreadable)"),
    Column("n_rows", "int", "rows that ended here; each row ends in one place"),
    Column("amount", "money", "sum of their amounts; missing without readable money"),
    Column("examples", "text", "the first rows concerned"),
    Column("fix", "text", "what to do about it"),
)

PEOPLE = (
    Column("person_id", "text", "id as given"),
    Column("arrived_at", "time", "first time seen in any table, local time"),
    Column("source", "text", "paid, organic, referral or unknown"),
    Column("channel", "text", "channel of the first visit, else of the first order"),
    Column("referrer_id", "text", "who brought them; missing when nobody did"),
    Column("generation", "int", "distance to the root of the referral tree; root 0"),
    Column("first_order_at", "time", "first purchase; missing for non-buyers"),
    Column("second_order_at", "time", "second purchase; missing when there is none"),
    Column("last_order_at", "time", "latest purchase; missing for non-buyers"),
    Column("n_purchases", "int", "purchases (see purchase rule)"),
    Column("revenue", "money", "net value of all orders, refunds subtracted"),
    Column("refunds", "money", "sum of the negative amounts, as a positive number"),
    Column("n_invited", "int", "people they referred, buyers or not"),
    Column("n_referred", "int", "people they referred who bought"),
    Column("first_success_at", "time", "first purchase of the first such person"),
)

FUNNEL_STAGES = (
    Column("segment", "text", "value of the breakdown; 'all' without one"),
    Column("stage", "text", "traffic, conversion, repurchase or referral"),
    Column("n_entered", "int", "people who could reach the stage (denominator)"),
    Column("n_reached", "int", "of these, reached it so far"),
    Column("share_so_far", "share", "n_reached / n_entered; grows with follow-up"),
    Column("share_so_far_low", "share", "lower end of its Wilson interval"),
    Column("share_so_far_high", "share", "upper end of its Wilson interval"),
    Column("median_days", "days", "Kaplan-Meier median; missing if under half reach"),
)

FUNNEL_WINDOWS = (
    Column("segment", "text", "value of the breakdown; 'all' without one"),
    Column("stage", "text", "conversion, repurchase or referral"),
    Column("window_days", "days", "W: reached within W days, inclusive"),
    Column("n_entered", "int", "people who could reach the stage"),
    Column("n_matured", "int", "of these, observed for at least W days"),
    Column("n_matured_reached", "int", "of the matured, reached within W"),
    Column("n_reached", "int", "of all entered, reached within W so far"),
    Column("n_open", "int", "not reached and observed for less than W days"),
    Column("share_matured", "share", "n_matured_reached / n_matured (headline)"),
    Column("share_matured_low", "share", "lower end of its Wilson interval"),
    Column("share_matured_high", "share", "upper end of its Wilson interval"),
    Column("n_at_risk", "int", "people observed and not reached when day W begins"),
    Column("share_within", "share", "1 - Kaplan-Meier survival at W (uses everybody)"),
    Column("share_within_low", "share", "lower end, log-log interval"),
    Column("share_within_high", "share", "upper end, log-log interval"),
    Column("reason", "text", "why a share is missing; empty when none is"),
)

COHORTS = (
    Column("cohort", "month", "month of the first purchase"),
    Column("age_months", "int", "calendar months since then; 0 is the first month"),
    Column("n_people", "int", "people of the cohort"),
    Column("n_active", "int", "of these, bought in that month"),
    Column("share_active", "share", "n_active / n_people"),
    Column("status", "text", "complete or partial (the month is still running)"),
)

LIFETIME_PEOPLE = (
    Column("person_id", "text", "id as given; buyers only"),
    Column("n_purchases", "int", "purchases so far"),
    Column("recency_days", "days", "age at the latest purchase"),
    Column("age_days", "days", "days from the first purchase to the end"),
    Column("p_alive", "share", "probability of still being a customer at the end"),
    Column("expected_purchases", "float", "purchases expected in the horizon"),
    Column("expected_order_value", "money", "expected value of one purchase"),
    Column("expected_value", "money", "expected net value in the horizon"),
)

GENERATIONS = (
    Column("generation", "int", "distance to the root; 0 came by themselves"),
    Column("n_people", "int", "people of the generation"),
    Column("n_buyers", "int", "of these, bought"),
    Column("share_buyers", "share", "n_buyers / n_people"),
    Column("revenue", "money", "net revenue of the generation"),
    Column("revenue_per_buyer", "money", "revenue / n_buyers; missing without buyers"),
)

TREES = (
    Column("root_id", "text", "the person the tree starts with"),
    Column("n_people", "int", "people in the tree, the root included"),
    Column("n_buyers", "int", "of these, bought"),
    Column("depth", "int", "largest generation in it"),
    Column("structural_virality", "float", "mean distance between two of its people"),
    Column("revenue", "money", "net revenue of the tree"),
    Column("revenue_root", "money", "of this, the root's own"),
)

NETWORK_PEOPLE = (
    Column("person_id", "text", "id as given; everybody in the referral network"),
    Column("referrer_id", "text", "who brought them; missing for a root"),
    Column("root_id", "text", "start of their tree"),
    Column("generation", "int", "distance to the root"),
    Column("n_invited", "int", "people they referred directly"),
    Column("n_referred", "int", "of these, bought"),
    Column("reach", "int", "all descendants (not additive)"),
    Column("subtree_depth", "int", "levels below them"),
)

CUSTOMER_VALUE = (
    Column("person_id", "text", "id as given; buyers and everybody in the network"),
    Column("source", "text", "paid, organic, referral or unknown"),
    Column("channel", "text", "channel of the first visit, else of the first order"),
    Column("generation", "int", "distance to the root of the referral tree"),
    Column("first_order_at", "time", "first purchase; missing for non-buyers"),
    Column("n_purchases", "int", "purchases so far"),
    Column("revenue", "money", "historic value: net value of their own orders"),
    Column("p_alive", "share", "probability of still being a customer; buyers only"),
    Column("expected_purchases", "float", "purchases expected in the horizon"),
    Column("expected_value", "money", "value expected in the horizon"),
    Column("lifetime_value", "money", "revenue + expected_value; missing if no model"),
    Column("n_invited", "int", "people they referred directly"),
    Column("n_referred", "int", "of these, bought"),
    Column("reach", "int", "all descendants (not additive)"),
    Column("direct_value", "money", "spend of those they referred (not additive)"),
    Column("network_value", "money", "spend of all descendants (not additive)"),
    Column("given_value", "money", "own spend credited to those who brought them"),
    Column("social_value", "money", "credit kept from the spend of others (additive)"),
    Column("total_value", "money", "revenue - given_value + social_value (additive)"),
)

LOOP_MONTHS = (
    Column("month", "month", "calendar month, local time"),
    Column("n_orders", "int", "purchases of known customers"),
    Column("n_repeat", "int", "of these, not the first of the customer"),
    Column("n_first_referral", "int", "first purchases of referred people"),
    Column("n_first_paid", "int", "first purchases of people from paid channels"),
    Column("n_first_organic", "int", "first purchases of people from other channels"),
    Column("n_first_unknown", "int", "first purchases of people of unknown source"),
    Column("share_orders", "share", "(repeat + first_referral) / n_orders"),
    Column("revenue", "money", "net revenue of known customers"),
    Column("revenue_repeat", "money", "of this, after the day of the first purchase"),
    Column("revenue_first_referral", "money", "first days of referred people"),
    Column("revenue_first_paid", "money", "first days of people from paid channels"),
    Column("revenue_first_organic", "money", "first days of people from elsewhere"),
    Column("revenue_first_unknown", "money", "first days, source unknown"),
    Column("revenue_before", "money", "refunds before any purchase in the data"),
    Column("revenue_guests", "money", "guests; outside revenue and the share"),
    Column("share_revenue", "share", "as of orders; missing if refunds leave no share"),
    Column("status", "text", "complete, or partial (begun late or still running)"),
)

REPRODUCTION = (
    Column("horizon_days", "days", "H: referrals up to age H of the buyer"),
    Column("n_buyers", "int", "buyers"),
    Column("n_observed", "int", "of these, observed at least to age H"),
    Column("n_referrals", "int", "successful referrals up to age H, all buyers"),
    Column("r", "float", "R(H), new buyers per buyer by age H"),
    Column("r_low", "float", "lower end of the robust interval"),
    Column("r_high", "float", "upper end of the robust interval"),
    Column("k_naive", "float", "referrals / buyers, biased low on young data"),
    Column("reason", "text", "why R is missing; empty when it is known"),
)

REPRODUCTION_CURVE = (
    Column("age_days", "days", "age of the buyer since the first purchase"),
    Column("n_at_risk", "int", "buyers observed to that age"),
    Column("n_referrals", "int", "successful referrals at exactly that age"),
    Column("r", "float", "M(a): mean referrals per buyer by that age"),
    Column("r_low", "float", "lower end of the robust interval"),
    Column("r_high", "float", "upper end of the robust interval"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "audit": AUDIT,
    "people": PEOPLE,
    "funnel_stages": FUNNEL_STAGES,
    "funnel_windows": FUNNEL_WINDOWS,
    "cohorts": COHORTS,
    "lifetime_people": LIFETIME_PEOPLE,
    "generations": GENERATIONS,
    "trees": TREES,
    "network_people": NETWORK_PEOPLE,
    "customer_value": CUSTOMER_VALUE,
    "loop_months": LOOP_MONTHS,
    "reproduction": REPRODUCTION,
    "reproduction_curve": REPRODUCTION_CURVE,
}
"""Every table that selfloop returns."""


def names(table: str) -> list[str]:
    """Return the column names of a table, in order.

    Parameters
    ----------
    table : str
        A key of `TABLES`.

    Returns
    -------
    list of str

    Examples
    --------
    >>> names("generations")[:2]
    ['generation', 'n_people']
    """
    return [column.name for column in TABLES[table]]
