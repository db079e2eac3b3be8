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
    Column("historic_value", "money", "net revenue to date, times the margin"),
    Column("p_alive", "share", "probability of still being a customer at the end"),
    Column("purchases_if_alive", "float", "purchases expected of one who is"),
    Column("expected_purchases", "float", "p_alive * purchases_if_alive"),
    Column("expected_order_value", "money", "expected value of one purchase"),
    Column(
        "discount_factor", "float", "worth today of money that comes in the horizon"
    ),
    Column("expected_value", "money", "product of these, margin and share_kept"),
    Column("lifetime_value", "money", "historic_value + expected_value"),
)

LIFETIME_INTERVALS = (
    Column("person_id", "text", "id as given; buyers only"),
    Column("p_alive", "share", "probability of still being a customer at the end"),
    Column("p_alive_low", "share", "lower end: how well it is known"),
    Column("p_alive_high", "share", "upper end"),
    Column("expected_purchases", "float", "purchases expected in the horizon"),
    Column("expected_purchases_low", "float", "lower end: how well the mean is known"),
    Column("expected_purchases_high", "float", "upper end"),
    Column("n_purchases_low", "int", "so few purchases may happen"),
    Column("n_purchases_high", "int", "so many purchases may happen"),
    Column("value_low", "money", "so little value may come"),
    Column("value_high", "money", "so much value may come"),
)

LIFTS = (
    Column("process", "text", "purchase rate, leaving or order value"),
    Column("term", "text", "the covariate, and its level"),
    Column("reference", "text", "what it is compared with"),
    Column("ratio", "float", "exp(coefficient): 1.2 is 20 % more"),
    Column("ratio_low", "float", "lower end of its interval"),
    Column("ratio_high", "float", "upper end of its interval"),
    Column("reason", "text", "why there is no interval; empty when there is one"),
)

COVARIATE_TESTS = (
    Column("covariate", "text", "the covariate that is left out"),
    Column("process", "text", "purchases (rate and leaving together) or order value"),
    Column("n_coefficients", "int", "coefficients that go with it"),
    Column("chi_square", "float", "2 * loss of log-likelihood"),
    Column("p_value", "float", "likelihood-ratio test: as much by chance alone"),
)

NEW_CUSTOMERS = (
    Column("level", "text", "level of the covariate; the reference first"),
    Column("purchases", "float", "repeat purchases expected in the horizon"),
    Column("purchases_low", "float", "lower end: how well the mean is known"),
    Column("purchases_high", "float", "upper end"),
    Column("value", "money", "expected value of these purchases"),
    Column("value_low", "money", "lower end: how well the mean is known"),
    Column("value_high", "money", "upper end"),
)

MODEL_COMPARISON = (
    Column("model", "text", "name of the model of purchases"),
    Column("label", "text", "its name for people"),
    Column("n_parameters", "int", "parameters, chosen settings included"),
    Column("log_likelihood", "float", "of all data"),
    Column("aic", "float", "2 n_parameters - 2 log_likelihood; less is better"),
    Column("aic_above_best", "float", "aic less the least aic of the candidates"),
    Column("bic", "float", "ln(buyers) n_parameters - 2 log_likelihood"),
    Column("holdout_log_score", "float", "mean log of the probability of what came"),
    Column("holdout_error", "float", "(predicted - actual) / actual purchases"),
    Column("holdout_mae", "float", "mean absolute error per customer"),
    Column("undetermined", "text", "parameters that the data do not determine"),
    Column("role", "text", "chosen, candidate, or shown beside and why"),
)

BACKTEST_SCORES = (
    Column("method", "text", "the model, or a naive baseline"),
    Column("measure", "text", "purchases or value"),
    Column("actual", "float", "what all customers did after the cut"),
    Column("predicted", "float", "what was predicted of them"),
    Column("error", "float", "(predicted - actual) / actual"),
    Column("mae", "float", "mean absolute error per customer"),
    Column("rmse", "float", "root of the mean squared error per customer"),
    Column("rank_correlation", "float", "Spearman, per customer"),
    Column("share_top_tenth", "share", "of actual, by the tenth predicted highest"),
)

BACKTEST_DECILES = (
    Column("measure", "text", "purchases or value"),
    Column("decile", "int", "tenth of customers, 1 is predicted highest"),
    Column("n_people", "int", "customers"),
    Column("predicted", "float", "mean predicted per customer"),
    Column("actual", "float", "mean actual per customer"),
    Column("actual_low", "float", "lower end of its interval over customers"),
    Column("actual_high", "float", "upper end"),
)

BACKTEST_WEEKS = (
    Column("week", "int", "weeks since the first purchase of the shop, from 1"),
    Column("last_day", "date", "last day of the week"),
    Column("phase", "text", "fitted, holdout, or both in the week of the cut"),
    Column("actual", "int", "repeat purchases in the week"),
    Column("expected", "float", "expected of the same customers"),
    Column("actual_so_far", "int", "cumulated"),
    Column("expected_so_far", "float", "cumulated"),
)

BACKTEST_FREQUENCIES = (
    Column("n_purchases", "int", "purchases up to the cut; the last row is open"),
    Column("n_people", "int", "customers"),
    Column("predicted", "float", "mean purchases predicted per customer"),
    Column("actual", "float", "mean purchases per customer after the cut"),
)

SPEND_DISTRIBUTION = (
    Column("low_value", "money", "lower end of the bar: mean repeat spend"),
    Column("high_value", "money", "upper end; infinite for the last"),
    Column("n_people", "int", "customers in it"),
    Column("share", "share", "n_people / all of them"),
    Column("share_expected", "share", "share that the spend model expects"),
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

ORDER_CREDITS = (
    Column("order_id", "text", "id as given; missing where orders have none"),
    Column("customer_id", "text", "who bought"),
    Column("ordered_at", "time", "first row of the order, local time"),
    Column("order_value", "money", "net value of the order"),
    Column("person_id", "text", "who gets the part"),
    Column("level", "int", "links up from the buyer; 0 for the buyer"),
    Column("credit_value", "money", "the part; those of an order sum to its value"),
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
    "lifetime_intervals": LIFETIME_INTERVALS,
    "lifts": LIFTS,
    "covariate_tests": COVARIATE_TESTS,
    "new_customers": NEW_CUSTOMERS,
    "model_comparison": MODEL_COMPARISON,
    "spend_distribution": SPEND_DISTRIBUTION,
    "backtest_scores": BACKTEST_SCORES,
    "backtest_deciles": BACKTEST_DECILES,
    "backtest_weeks": BACKTEST_WEEKS,
    "backtest_frequencies": BACKTEST_FREQUENCIES,
    "generations": GENERATIONS,
    "trees": TREES,
    "network_people": NETWORK_PEOPLE,
    "customer_value": CUSTOMER_VALUE,
    "order_credits": ORDER_CREDITS,
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
