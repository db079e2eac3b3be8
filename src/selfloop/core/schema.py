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
        Role("product", "id", "optional", "what was bought, for product_gaps"),
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
    Column("segment_2", "text", "value of the second breakdown; empty without one"),
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
    Column("segment_2", "text", "value of the second breakdown; empty without one"),
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
    Column("n_overall", "int", "arrived, observed for W for each stage on the way"),
    Column("n_overall_reached", "int", "of these, took each within W of the last"),
    Column("share_overall", "share", "n_overall_reached / n_overall; needs visits"),
    Column("share_overall_low", "share", "lower end of its Wilson interval"),
    Column("share_overall_high", "share", "upper end of its Wilson interval"),
    Column("reason", "text", "why matured or within is missing; empty when neither"),
)

STAGE_TIMES = (
    Column("segment", "text", "value of the breakdown; 'all' without one"),
    Column("segment_2", "text", "value of the second breakdown; empty without one"),
    Column("stage", "text", "conversion, repurchase or referral"),
    Column("within_days", "days", "of those within so many days; missing: of all"),
    Column("share", "share", "so many of them have come"),
    Column("n_entered", "int", "people who could reach the stage"),
    Column("days", "days", "by this day after they could; missing if never so far"),
    Column("days_low", "days", "lower end of its interval"),
    Column("days_high", "days", "upper end; missing without one"),
    Column("reason", "text", "why days are missing; empty when they are known"),
)

STAGE_TIMES_CURVE = (
    Column("segment", "text", "value of the breakdown; 'all' without one"),
    Column("segment_2", "text", "value of the second breakdown; empty without one"),
    Column("stage", "text", "conversion, repurchase or referral"),
    Column("day", "days", "days since they could reach the stage"),
    Column("n_at_risk", "int", "people observed and not there when the day begins"),
    Column("n_reached", "int", "of these, reached it on that day"),
    Column("share_within", "share", "reached by the end of that day (Kaplan-Meier)"),
    Column("share_within_low", "share", "lower end, log-log interval"),
    Column("share_within_high", "share", "upper end, log-log interval"),
)

DROP_OFFS = (
    Column("person_id", "text", "id as given"),
    Column("stage", "text", "the stage they have not reached"),
    Column("stuck_since", "date", "local day since when they could reach it"),
    Column("days_stuck", "days", "days since then"),
    Column("n_purchases", "int", "purchases so far"),
    Column("revenue", "money", "net value of all their orders"),
    Column("source", "text", "paid, organic, referral or unknown"),
    Column("channel", "text", "channel of the first visit, else of the first order"),
    Column("share_coming", "share", "of people stuck as long, come in the next days"),
)

SEGMENT_DIFFERENCES = (
    Column("segment", "text", "one value of the breakdown"),
    Column("against", "text", "what it is compared with; '(rest)' is all others"),
    Column("stage", "text", "conversion, repurchase or referral"),
    Column("window_days", "days", "W: reached within W days"),
    Column("n_matured", "int", "people of the segment, observed for at least W days"),
    Column("share_matured", "share", "of these, reached within W"),
    Column("n_against", "int", "people it is compared with, observed for W days"),
    Column("share_against", "share", "of these, reached within W"),
    Column("difference", "float", "share_matured - share_against"),
    Column("difference_low", "float", "lower end of its interval (Newcombe)"),
    Column("difference_high", "float", "upper end of its interval"),
    Column("p_value", "float", "as far apart by chance, if both were alike"),
    Column("p_adjusted", "float", "the same for all lines together (Holm)"),
    Column("p_log_rank", "float", "log-rank test of the whole curves, everybody used"),
    Column("p_log_rank_adjusted", "float", "the same for all lines together (Holm)"),
    Column("verdict", "text", "higher, lower or open (p_adjusted not under 5 %)"),
    Column("reason", "text", "why nothing is told; empty when it is"),
)

REPURCHASE_STEPS = (
    Column("segment", "text", "value of the breakdown; 'all' without one"),
    Column("segment_2", "text", "value of the second breakdown; empty without one"),
    Column("step", "int", "n: from the n-th purchase to the next"),
    Column("n_entered", "int", "people who made an n-th purchase"),
    Column("n_reached", "int", "of these, made one more so far"),
    Column("share_so_far", "share", "n_reached / n_entered; grows with follow-up"),
    Column("share_so_far_low", "share", "lower end of its Wilson interval"),
    Column("share_so_far_high", "share", "upper end of its Wilson interval"),
    Column("median_days", "days", "Kaplan-Meier median; missing if under half reach"),
)

REPURCHASE_WINDOWS = (
    Column("segment", "text", "value of the breakdown; 'all' without one"),
    Column("segment_2", "text", "value of the second breakdown; empty without one"),
    Column("step", "int", "n: from the n-th purchase to the next"),
    Column("window_days", "days", "W: bought once more within W days, inclusive"),
    Column("n_entered", "int", "people who made an n-th purchase"),
    Column("n_matured", "int", "of these, observed for at least W days since"),
    Column("n_matured_reached", "int", "of the matured, once more within W"),
    Column("n_reached", "int", "of all entered, once more within W so far"),
    Column("n_open", "int", "not once more and observed for less than W days"),
    Column("share_matured", "share", "n_matured_reached / n_matured (headline)"),
    Column("share_matured_low", "share", "lower end of its Wilson interval"),
    Column("share_matured_high", "share", "upper end of its Wilson interval"),
    Column("n_at_risk", "int", "people observed and not back when day W begins"),
    Column("share_within", "share", "1 - Kaplan-Meier survival at W (uses everybody)"),
    Column("share_within_low", "share", "lower end, log-log interval"),
    Column("share_within_high", "share", "upper end, log-log interval"),
    Column("reason", "text", "why a share is missing; empty when none is"),
)

REPURCHASE_DAYS = (
    Column("segment", "text", "value of the breakdown; 'all' without one"),
    Column("segment_2", "text", "value of the second breakdown; empty without one"),
    Column("step", "int", "n: from the n-th purchase to the next"),
    Column("window_days", "days", "W: only those count who return within W days"),
    Column("n_reached", "int", "people who returned within W so far"),
    Column("days_25", "days", "a quarter of those within W takes at most so long"),
    Column("days_25_low", "days", "lower end of its interval"),
    Column("days_25_high", "days", "upper end; missing when there is none"),
    Column("days_50", "days", "half of them"),
    Column("days_50_low", "days", "lower end of its interval"),
    Column("days_50_high", "days", "upper end; missing when there is none"),
    Column("days_75", "days", "three quarters of them"),
    Column("days_75_low", "days", "lower end of its interval"),
    Column("days_75_high", "days", "upper end; missing when there is none"),
    Column("reason", "text", "why days are missing; empty when they are known"),
)

REPURCHASE_GAPS = (
    Column("segment", "text", "value of the breakdown; 'all' without one"),
    Column("segment_2", "text", "value of the second breakdown; empty without one"),
    Column("from_day", "days", "first day of the bin, since the last purchase"),
    Column("to_day", "days", "last day of the bin"),
    Column("n_at_risk", "int", "gaps that last to the first day, open ones included"),
    Column("n_people", "int", "customers who have such a gap"),
    Column("n_returns", "int", "gaps that end in the bin with a purchase"),
    Column("hazard", "share", "of those waiting, share who buy on a day of the bin"),
    Column("hazard_low", "share", "lower end; customers, not gaps, are drawn"),
    Column("hazard_high", "share", "upper end"),
    Column("share_returned", "share", "have come back by the last day (Kaplan-Meier)"),
    Column("share_returned_low", "share", "lower end; customers are drawn"),
    Column("share_returned_high", "share", "upper end"),
    Column("share_of_returns", "share", "of the returns within W, those in this bin"),
    Column("reason", "text", "why numbers are missing; empty when none is"),
)

REPURCHASE_REMINDERS = (
    Column("segment", "text", "value of the breakdown; 'all' without one"),
    Column("segment_2", "text", "value of the second breakdown; empty without one"),
    Column("n_buyers", "int", "customers"),
    Column("n_gaps", "int", "their gaps, the last open one of each included"),
    Column("n_returns", "int", "gaps that have ended with a purchase"),
    Column("peak_from_day", "days", "first day of the bin that is most surely highest"),
    Column("peak_to_day", "days", "its last day"),
    Column("remind_from_day", "days", "from here the hazard is not surely lower"),
    Column("remind_to_day", "days", "to here"),
    Column("share_in_span", "share", "of the returns within W, those on these days"),
    Column("window_days", "days", "W: only those count who return within W days"),
    Column("days_50", "days", "by this day half of those within W have come back"),
    Column("days_50_low", "days", "lower end; customers are drawn"),
    Column("days_50_high", "days", "upper end; missing when there is none"),
    Column("days_80", "days", "four fifths of them"),
    Column("days_80_low", "days", "lower end of its interval"),
    Column("days_80_high", "days", "upper end; missing when there is none"),
    Column("days_90", "days", "nine tenths of them"),
    Column("days_90_low", "days", "lower end of its interval"),
    Column("days_90_high", "days", "upper end; missing when there is none"),
    Column("reason", "text", "why numbers are missing; empty when none is"),
)

CUSTOMER_GAPS = (
    Column("person_id", "text", "id as given; buyers only"),
    Column("n_gaps", "int", "times the customer came back"),
    Column("median_gap_days", "days", "usual wait; missing when bought once"),
    Column("mean_gap_days", "days", "mean wait; missing when bought once"),
    Column("days_since_last", "days", "from the last purchase to the end"),
    Column("overdue", "float", "days_since_last / median_gap_days; above 1 is late"),
)

PRODUCT_GAPS = (
    Column("product", "text", "as given"),
    Column("n_buyers", "int", "people who bought it"),
    Column("n_purchases", "int", "purchases of it: person and day, net above 0"),
    Column("revenue", "money", "value of these purchases"),
    Column("n_repeaters", "int", "people who bought it again so far"),
    Column("window_days", "days", "W: again within W days of their first of it"),
    Column("n_at_risk", "int", "observed and not again when day W begins"),
    Column("share_within", "share", "1 - Kaplan-Meier survival at W"),
    Column("share_within_low", "share", "lower end, log-log interval"),
    Column("share_within_high", "share", "upper end, log-log interval"),
    Column("days_25", "days", "of those again within W, a quarter by this day"),
    Column("days_50", "days", "half of them"),
    Column("days_50_low", "days", "lower end of its interval"),
    Column("days_50_high", "days", "upper end of its interval"),
    Column("days_75", "days", "three quarters of them"),
    Column("reason", "text", "why something is missing; empty when nothing is"),
)

PRODUCT_CUSTOMERS = (
    Column("person_id", "text", "id as given"),
    Column("product", "text", "as given"),
    Column("n_purchases", "int", "days on which they bought it"),
    Column("median_gap_days", "days", "between these; missing for who bought it once"),
    Column("days_since_last", "days", "since they last bought it"),
    Column("overdue", "float", "days_since_last / median_gap_days"),
)

RETURNING = (
    Column("period", "text", "day, Monday of the week, month or quarter"),
    Column("n_customers", "int", "people who bought in the period"),
    Column("n_new", "int", "of these, bought for the first time"),
    Column("n_returning", "int", "of these, had bought before the period"),
    Column("returning_customer_rate", "share", "n_returning / n_customers: a mix"),
    Column("returning_customer_rate_low", "share", "lower end, Wilson"),
    Column("returning_customer_rate_high", "share", "upper end, Wilson"),
    Column("n_orders", "int", "purchases"),
    Column("n_orders_new", "int", "of these, by customers new in the period"),
    Column("n_orders_returning", "int", "of these, by returning customers"),
    Column("share_orders_returning", "share", "n_orders_returning / n_orders"),
    Column("revenue", "money", "net value, refunds subtracted, guests left out"),
    Column("revenue_new", "money", "of customers new in the period"),
    Column("revenue_returning", "money", "of returning customers"),
    Column("revenue_before", "money", "refunds to people who had not bought yet"),
    Column("share_revenue_returning", "share", "of new and returning; missing if none"),
    Column("n_buyers", "int", "people who have bought by the close of the period"),
    Column("n_repeaters", "int", "of these, have bought twice by then"),
    Column("ever_repeat_share", "share", "n_repeaters / n_buyers: grows with age"),
    Column("ever_repeat_share_low", "share", "lower end, Wilson"),
    Column("ever_repeat_share_high", "share", "upper end, Wilson"),
    Column("window_days", "days", "W of the next columns"),
    Column("n_matured", "int", "of n_new, observed for at least W days since"),
    Column("n_matured_reached", "int", "of these, bought again within W"),
    Column("repurchase_rate", "share", "n_matured_reached / n_matured: compares"),
    Column("repurchase_rate_low", "share", "lower end, Wilson"),
    Column("repurchase_rate_high", "share", "upper end, Wilson"),
    Column("status", "text", "complete or partial (not observed from end to end)"),
    Column("reason", "text", "why rates are missing; empty when none is"),
)

ANALYSES_COMPARED = (
    Column("measure", "text", "what is compared"),
    Column("segment", "text", "source, or all"),
    Column("window_days", "days", "within so many days; missing where none applies"),
    Column("first", "float", "in the first analysis; missing if it is not known there"),
    Column("first_low", "float", "lower end of its interval"),
    Column("first_high", "float", "upper end of its interval"),
    Column("second", "float", "in the second analysis"),
    Column("second_low", "float", "lower end of its interval"),
    Column("second_high", "float", "upper end of its interval"),
    Column("difference", "float", "second - first"),
    Column("difference_low", "float", "lower end of its interval"),
    Column("difference_high", "float", "upper end of its interval"),
    Column("ratio", "float", "second / first; missing unless both are above 0"),
    Column("p_value", "float", "as far apart by chance, if nothing had changed"),
    Column("p_adjusted", "float", "the same for all lines together (Holm)"),
    Column("verdict", "text", "higher, lower or open; empty where nothing is tested"),
    Column("reason", "text", "why nothing is tested; empty when it is"),
)

COHORTS = (
    Column("segment", "text", "value of the breakdown; 'all' without one"),
    Column("cohort", "text", "period of the first purchase"),
    Column("age", "int", "periods since then, or blocks of days; 0 is the first"),
    Column("n_people", "int", "people of the cohort"),
    Column("n_active", "int", "of these, bought at that age"),
    Column("share_active", "share", "n_active / n_people"),
    Column("share_active_low", "share", "lower end of its Wilson interval"),
    Column("share_active_high", "share", "upper end of its Wilson interval"),
    Column("share_active_since_so_far", "share", "bought at that age or later, so far"),
    Column("n_orders", "int", "purchases at that age"),
    Column("revenue", "money", "net value at that age, refunds subtracted"),
    Column("n_orders_cumulative", "int", "purchases up to that age"),
    Column("revenue_cumulative", "money", "net value up to that age"),
    Column("value_per_customer", "money", "revenue_cumulative / n_people"),
    Column("status", "text", "complete or partial (not over for everybody)"),
)

COHORT_AGES = (
    Column("segment", "text", "value of the breakdown; 'all' without one"),
    Column("age", "int", "periods since the first purchase; 0 is the first"),
    Column("n_people", "int", "people of cohorts that have finished that age"),
    Column("n_cohorts", "int", "these cohorts"),
    Column("n_active", "int", "of these people, bought at that age"),
    Column("share_active", "share", "n_active / n_people"),
    Column("share_active_low", "share", "lower end of its Wilson interval"),
    Column("share_active_high", "share", "upper end of its Wilson interval"),
    Column("orders_per_customer", "float", "purchases at that age / n_people"),
    Column("orders_per_customer_low", "float", "lower end of its interval"),
    Column("orders_per_customer_high", "float", "upper end; missing without one"),
    Column("orders_cumulative_per_customer", "float", "the same summed up to that age"),
    Column("orders_cumulative_per_customer_low", "float", "lower end of its interval"),
    Column("orders_cumulative_per_customer_high", "float", "upper end of it"),
    Column("revenue_per_customer", "money", "net value at that age / n_people"),
    Column("revenue_per_customer_low", "money", "lower end of its interval"),
    Column("revenue_per_customer_high", "money", "upper end; missing without one"),
    Column("value_per_customer", "money", "revenue_per_customer summed up to that age"),
    Column("value_per_customer_low", "money", "lower end of its interval"),
    Column("value_per_customer_high", "money", "upper end; missing without one"),
    Column("reason", "text", "why an interval is missing; empty when none is"),
)

COHORT_PROJECTION = (
    Column("segment", "text", "value of the breakdown; 'all' without one"),
    Column("cohort", "text", "period of the first purchase"),
    Column("age", "int", "periods since then, or blocks of days; 0 is the first"),
    Column("n_people", "int", "people of the cohort"),
    Column("status", "text", "observed, projected or missing"),
    Column("expected", "float", "per customer: what is projected, or was observed"),
    Column("expected_low", "float", "lower end of the range it will fall into"),
    Column("expected_high", "float", "upper end; missing without one"),
    Column("std_error", "float", "of the projection, with the customers' own chance"),
    Column("std_error_mack", "float", "the same by Mack's formula; not for shares"),
    Column("reason", "text", "why it is missing; empty when it is not"),
)

COHORT_FACTORS = (
    Column("segment", "text", "value of the breakdown; 'all' without one"),
    Column("age", "int", "age that is projected from the one before"),
    Column("n_cohorts", "int", "cohorts that have finished it"),
    Column("n_people", "int", "people of these cohorts"),
    Column("factor", "float", "sum up to that age / sum up to the one before"),
    Column("factor_low", "float", "lower end of its interval"),
    Column("factor_high", "float", "upper end; missing without one"),
    Column("reason", "text", "why the factor is missing; empty when it is not"),
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
    Column("share_buyers", "share", "n_buyers / n_people, so far"),
    Column("n_matured", "int", "people seen for at least W days since they arrived"),
    Column("share_matured", "share", "of these, bought within W; missing if under 30"),
    Column("share_matured_low", "share", "lower end of its Wilson interval"),
    Column("share_matured_high", "share", "upper end of its Wilson interval"),
    Column("revenue", "money", "net revenue of the generation"),
    Column("revenue_per_buyer", "money", "revenue / n_buyers; missing without buyers"),
    Column("n_buyers_matured", "int", "buyers seen for W days since they first bought"),
    Column(
        "value_matured", "money", "their mean net revenue in W days; missing under 30"
    ),
    Column("value_matured_low", "money", "lower end of its interval"),
    Column("value_matured_high", "money", "upper end of its interval"),
    Column("lifetime_value_per_buyer", "money", "mean, with values; missing otherwise"),
)

REFERRAL_TIMES = (
    Column("step", "text", "first_referral, conversion or generation"),
    Column("n_people", "int", "buyers, or people referred"),
    Column(
        "n_reached", "int", "buyers or referees who did so far; links, by generation"
    ),
    Column("longest_days", "days", "H: last day with 30 people at risk"),
    Column("reached", "float", "share that does within H days; buyers brought, R(H)"),
    Column(
        "days_25", "days", "of those within H days, a quarter takes at most so long"
    ),
    Column("days_50", "days", "half of them"),
    Column("days_50_low", "days", "lower end of its interval"),
    Column("days_50_high", "days", "upper end of its interval"),
    Column("days_75", "days", "three quarters of them"),
    Column("mean_days", "days", "mean of those within H days"),
    Column("naive_days_50", "days", "median of those seen so far, too short"),
    Column("reason", "text", "why times are missing; empty when they are known"),
)

REFERRAL_TIMES_CURVE = (
    Column("step", "text", "first_referral, conversion or generation"),
    Column("days", "days", "by so many days"),
    Column("share", "share", "of all that happens within H days"),
    Column("share_low", "share", "lower end of its interval"),
    Column("share_high", "share", "upper end of its interval"),
)

TREES = (
    Column("root_id", "text", "the person the tree starts with"),
    Column("n_people", "int", "people in the tree, the root included"),
    Column("n_buyers", "int", "of these, bought"),
    Column("depth", "int", "largest generation in it"),
    Column("structural_virality", "float", "mean distance between two of its people"),
    Column("revenue", "money", "net revenue of the tree"),
    Column("revenue_root", "money", "of this, the root's own"),
    Column("revenue_brought", "money", "the rest: of everybody below"),
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
    Column("revenue", "money", "net revenue of their own"),
    Column("subtree_revenue", "money", "their own and of all descendants"),
)

CONCENTRATION = (
    Column(
        "group",
        "text",
        "buyers, repeat_buyers (bought twice or more) or referrers",
    ),
    Column("n_people", "int", "people of the group"),
    Column("total", "float", "revenue, purchases or buyers brought, together"),
    Column("gini", "float", "0 if all brought the same, near 1 if one brought all"),
    Column("gini_low", "float", "lower end of its interval; missing under 200 people"),
    Column("gini_high", "float", "upper end of its interval"),
    Column("share_top_1", "share", "of the total, by the top 1 % of the people"),
    Column("share_top_1_low", "share", "lower end; missing under 30 people at the top"),
    Column("share_top_1_high", "share", "upper end of its interval"),
    Column("share_top_10", "share", "by the top 10 % of the people"),
    Column("share_top_10_low", "share", "lower end, as above"),
    Column("share_top_10_high", "share", "upper end of its interval"),
    Column("share_top_20", "share", "by the top 20 % of the people"),
    Column("share_top_20_low", "share", "lower end, as above"),
    Column("share_top_20_high", "share", "upper end of its interval"),
    Column("reason", "text", "why something is missing; empty when nothing is"),
)

LORENZ = (
    Column("group", "text", "buyers, repeat_buyers or referrers"),
    Column("share_people", "share", "of the people, those who brought least first"),
    Column("share_of_total", "share", "of the total, brought by them"),
)

ANOMALY_RULES = (
    Column("rule", "text", "name of the rule; every rule has a row"),
    Column("n_referrers", "int", "people flagged; missing if not applied"),
    Column("n_links", "int", "referral rows flagged; missing if not applied"),
    Column("revenue", "money", "net revenue of the people in them, each once"),
    Column("meaning", "text", "what the rule flags, with its thresholds"),
    Column("reason", "text", "why it was not applied; empty when it was"),
)

ANOMALIES = (
    Column("rule", "text", "name of the rule"),
    Column("kind", "text", "never_bought or bought_later; empty for other rules"),
    Column("person_id", "text", "who is flagged: the referrer"),
    Column("n_links", "int", "their referral rows concerned"),
    Column("n_observed", "int", "what the rule counts: rows, people, size of a ring"),
    Column("threshold", "float", "flagged from here on; missing for rules that test"),
    Column("n_tested", "int", "referees tested; missing for rules without a test"),
    Column("expected", "float", "of these, by the share of the shop; else missing"),
    Column("p_value", "float", "as many or more by chance; missing without a test"),
    Column("p_adjusted", "float", "the same for all tests together (Holm)"),
    Column("revenue", "money", "net revenue of the people concerned"),
    Column("refunds", "money", "their refunds, as a positive number"),
    Column("detail", "text", "dates, people of the ring, or what it is held against"),
    Column("examples", "text", "the first referrals concerned"),
)

ANOMALY_LINKS = (
    Column("rule", "text", "name of the rule"),
    Column("kind", "text", "never_bought or bought_later; empty for other rules"),
    Column("referrer_id", "text", "who is flagged"),
    Column("referee_id", "text", "whom they referred"),
    Column("referred_at", "time", "when, local time"),
)

LINK_PEOPLE = (
    Column("person_id", "text", "id as given; everybody in the links or the values"),
    Column("referrer_id", "text", "who brought them; missing for a root"),
    Column("generation", "int", "distance to the root"),
    Column("root_id", "text", "start of their tree"),
    Column("n_invited", "int", "people they referred directly"),
    Column("reach", "int", "all descendants (not additive)"),
    Column("subtree_depth", "int", "levels below them"),
    Column("value", "money", "as given, 0 if not; all missing without values"),
    Column("direct_value", "money", "value of those they referred (not additive)"),
    Column("network_value", "money", "value of all descendants (not additive)"),
    Column("given_value", "money", "own value credited to those who brought them"),
    Column("social_value", "money", "credit kept from the value of others (additive)"),
    Column("total_value", "money", "value - given_value + social_value (additive)"),
)

LINK_TREES = (
    Column("root_id", "text", "the person the tree starts with"),
    Column("n_people", "int", "people in the tree, the root included"),
    Column("depth", "int", "largest generation in it"),
    Column("structural_virality", "float", "mean distance between two of its people"),
    Column("value", "money", "value of the tree; missing without values"),
    Column("root_value", "money", "of this, the root's own"),
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

VALUE_GRID = (
    Column("segment", "text", "champions, affluents, advocates or misers"),
    Column("n_people", "int", "customers"),
    Column("share_people", "share", "of all customers of the grid"),
    Column("n_referred", "int", "people they brought who bought"),
    Column("revenue", "money", "net value of their own orders"),
    Column("lifetime_value", "money", "sum of theirs; missing without a model"),
    Column("social_value", "money", "sum of theirs (additive)"),
    Column("total_value", "money", "sum of theirs; all kinds sum to all revenue"),
    Column("action", "text", "what to do with them"),
)

GRID_PEOPLE = (
    Column("person_id", "text", "id as given; who bought or has social value"),
    Column("segment", "text", "champions, affluents, advocates or misers"),
    Column("revenue", "money", "net value of their own orders"),
    Column("lifetime_value", "money", "revenue + expected_value; missing if no model"),
    Column("kept_value", "money", "revenue - given_value: own spending they keep"),
    Column("social_value", "money", "credit kept from the spend of others (additive)"),
    Column("total_value", "money", "kept_value + social_value (additive)"),
)

ADVOCATES = (
    Column("person_id", "text", "id as given"),
    Column("segment", "text", "champions, affluents, advocates or misers"),
    Column("n_invited", "int", "people they referred directly"),
    Column("n_referred", "int", "of these, bought"),
    Column("reach", "int", "all descendants (not additive)"),
    Column("revenue", "money", "net value of their own orders"),
    Column("lifetime_value", "money", "revenue + expected_value; missing if no model"),
    Column("kept_value", "money", "revenue - given_value: own spending they keep"),
    Column("social_value", "money", "credit kept from the spend of others (additive)"),
    Column("share_social", "share", "of both; missing where kept_value is negative"),
    Column("expected_referrals", "float", "buyers they will bring; missing without"),
    Column("expected_social_value", "money", "worth of these; missing without"),
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

REFERRALS_AHEAD = (
    Column("person_id", "text", "id as given; buyers only"),
    Column("age_days", "days", "days from the first purchase to the end"),
    Column("n_brought", "int", "buyers they brought since their own first purchase"),
    Column("tendency", "float", "how readily they bring others; 1 is the average"),
    Column(
        "expected_referrals", "float", "buyers they will bring in the horizon, to 1e-6"
    ),
    Column("n_referrals_low", "int", "so few may be brought"),
    Column("n_referrals_high", "int", "so many may be brought"),
    Column("expected_social_value", "money", "worth of these and of all who follow"),
    Column("social_value_low", "money", "so little value may come"),
    Column("social_value_high", "money", "so much value may come"),
)

_CARRIED = (
    Column("n_orders", "int", "purchases of known customers"),
    Column("n_repeat", "int", "of these, not the first of the customer"),
    Column("n_first_referral", "int", "first purchases of referred people"),
    Column("n_first_paid", "int", "first purchases of people from paid channels"),
    Column("n_first_organic", "int", "first purchases of people from other channels"),
    Column("n_first_unknown", "int", "first purchases of people of unknown source"),
    Column("share_orders", "share", "(repeat + first_referral) / n_orders"),
    Column("share_orders_paid", "share", "first_paid / n_orders; missing without paid"),
    Column("share_new", "share", "first purchases of referred people / all first ones"),
    Column("share_new_paid", "share", "the same of people from paid channels"),
    Column("revenue", "money", "net revenue of known customers"),
    Column("revenue_repeat", "money", "of this, after the day of the first purchase"),
    Column("revenue_first_referral", "money", "first days of referred people"),
    Column("revenue_first_paid", "money", "first days of people from paid channels"),
    Column("revenue_first_organic", "money", "first days of people from elsewhere"),
    Column("revenue_first_unknown", "money", "first days, source unknown"),
    Column("revenue_before", "money", "refunds before any purchase in the data"),
    Column("share_revenue", "share", "as of orders; missing if refunds leave no share"),
    Column("share_revenue_paid", "share", "first days of paid people / revenue"),
    Column("status", "text", "complete, or partial (begun late or still running)"),
)

LOOP_MONTHS = (
    Column("month", "month", "calendar month, local time"),
    *_CARRIED,
    Column("revenue_guests", "money", "guests; outside revenue and the share"),
)

LOOP_WEEKS = (Column("week", "date", "Monday of the week, local time"), *_CARRIED)

LOOP_LINEAGE = (
    Column("root_source", "text", "source of the person whom nobody brought"),
    Column("n_buyers", "int", "buyers who lead back to such people, self included"),
    Column("n_roots", "int", "of these, nobody brought them"),
    Column("n_brought", "int", "of these, brought by others, over any number of links"),
    Column("n_orders", "int", "purchases of all of them"),
    Column("revenue", "money", "net revenue of all of them"),
    Column("revenue_own", "money", "of this, of the people nobody brought"),
    Column("revenue_direct", "money", "of that, on the day of their first purchase"),
    Column("revenue_brought", "money", "revenue of the people brought"),
    Column("share_direct", "share", "revenue_direct / revenue"),
    Column("share_brought", "share", "revenue_brought / revenue"),
)

LOOP_LINEAGE_MONTHS = (
    Column("month", "month", "calendar month, local time"),
    *LOOP_LINEAGE,
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

_SEGMENT = Column("segment", "text", "value of the breakdown; 'all' without one")

REPRODUCTION_SEGMENTS = (_SEGMENT, *REPRODUCTION)

REPRODUCTION_SEGMENTS_CURVE = (_SEGMENT, *REPRODUCTION_CURVE)

REPRODUCTION_TREND = (
    Column("horizon_days", "days", "H: cohorts are compared at this age"),
    Column("n_cohorts", "int", "cohorts with buyers observed to age H"),
    Column("n_buyers", "int", "these buyers"),
    Column("n_referrals", "int", "buyers they brought by age H"),
    Column("unit", "text", "month or quarter"),
    Column("ratio", "float", "R(H) of a cohort over that of one unit earlier"),
    Column("ratio_low", "float", "lower end of its interval"),
    Column("ratio_high", "float", "upper end of its interval"),
    Column("p_value", "float", "as large a change by chance alone"),
    Column("reason", "text", "why the ratio is missing; empty when it is known"),
)

LOOP_CELLS = (
    Column("source", "text", "paid, organic, referral or unknown"),
    Column("segment", "text", "value of the breakdown; the channel in an analysis"),
    Column("days", "days", "age, or days before the end: see each column"),
    Column("n_arrived", "int", "people who arrived so many days before the end"),
    Column("n_bought", "int", "people who bought so many days after they arrived"),
    Column("n_waiting", "int", "arrived so many days before the end, not bought yet"),
    Column("n_buyers", "int", "buyers whose first purchase was so long before the end"),
    Column("n_orders", "int", "purchases so many days after the first one"),
    Column("revenue", "money", "net revenue so many days after the first purchase"),
    Column("n_again", "int", "bought a second time so many days after the first"),
    Column("n_alone", "int", "buyers of that age who have not bought again"),
    Column("n_success", "int", "brought a buyer for the first time at that age"),
    Column("n_quiet", "int", "buyers of that age who have brought nobody"),
    Column("n_brought", "int", "buyers brought by buyers of that age"),
    Column("n_seeded", "int", "brought by non-buyers, bought so long before the end"),
    Column("n_orders_after", "int", "later purchases of buyers of so long before it"),
    Column("revenue_after", "money", "net revenue after the first day, of the same"),
    Column("n_brought_after", "int", "buyers whom the same brought after that day"),
)

LOOP_COHORTS = (
    Column("first_day", "date", "first day of the cohort"),
    Column("last_day", "date", "last day of the cohort"),
    Column("n_buyers", "int", "first bought on one of these days"),
    Column("orders_level", "float", "later purchases, as a multiple of the average"),
    Column("orders_level_raw", "float", "not drawn to 1; missing if too few"),
    Column("orders_level_low", "float", "lower end of the interval of that"),
    Column("orders_level_high", "float", "upper end"),
    Column("revenue_level", "float", "later revenue, as a multiple of the average"),
    Column("revenue_level_raw", "float", "not drawn to 1; missing if too few"),
    Column("revenue_level_low", "float", "lower end of the interval of that"),
    Column("revenue_level_high", "float", "upper end"),
    Column("brought_level", "float", "later referrals, as a multiple of the average"),
    Column("brought_level_raw", "float", "not drawn to 1; missing if too few"),
    Column("brought_level_low", "float", "lower end of the interval of that"),
    Column("brought_level_high", "float", "upper end"),
)

VISITOR_VALUE = (
    Column("segment", "text", "value of the breakdown; (outside): nobody brought them"),
    Column("n_arrived", "int", "people who came; missing without visits"),
    Column("n_buyers", "int", "of these, bought"),
    Column("conversion_days", "days", "days after arrival to which purchases count"),
    Column("share_converted", "share", "p: bought by then (Kaplan-Meier)"),
    Column("share_converted_low", "share", "lower end of its interval"),
    Column("share_converted_high", "share", "upper end of its interval"),
    Column("value_days", "days", "age of buyers to which the rest counts"),
    Column("first_value", "money", "revenue of a buyer on the first day"),
    Column("repeat_value", "money", "revenue of a buyer after it"),
    Column("own_value", "money", "L: the sum of both"),
    Column("own_value_low", "money", "lower end of its interval"),
    Column("own_value_high", "money", "upper end of its interval"),
    Column("r", "float", "R: buyers whom a buyer brings"),
    Column("brought_value", "money", "R S: worth of these and of all who follow"),
    Column("brought_value_low", "money", "lower end of its interval"),
    Column("brought_value_high", "money", "upper end of its interval"),
    Column("buyer_value", "money", "L + R S: what a buyer is worth"),
    Column("buyer_value_low", "money", "lower end of its interval"),
    Column("buyer_value_high", "money", "upper end of its interval"),
    Column("share_brought", "share", "brought_value / buyer_value"),
    Column("visitor_own_value", "money", "p L: what a visitor spends"),
    Column(
        "visitor_brought_value", "money", "p R S: what a visitor makes others spend"
    ),
    Column("visitor_value", "money", "V: both together"),
    Column("visitor_value_low", "money", "lower end of its interval"),
    Column("visitor_value_high", "money", "upper end of its interval"),
    Column("buyer_ceiling", "money", "margin x buyer_value: most to pay for a buyer"),
    Column("buyer_ceiling_low", "money", "lower end of its interval"),
    Column("buyer_ceiling_high", "money", "upper end of its interval"),
    Column("visitor_ceiling", "money", "margin x visitor_value: most for a visitor"),
    Column("visitor_ceiling_low", "money", "lower end of its interval"),
    Column("visitor_ceiling_high", "money", "upper end of its interval"),
    Column("reason", "text", "why numbers are missing; empty when all are known"),
)

SPEND_CHANNELS = (
    Column("channel", "text", "channel with spend; (all) for all of them"),
    Column("spend", "money", "cost on days that were observed"),
    Column("first_date", "date", "first day with a row of spend"),
    Column("last_date", "date", "last such day"),
    Column("n_arrived", "int", "people who came through it in these days, not brought"),
    Column("n_buyers", "int", "of these, bought so far"),
    Column("cost_per_visitor", "money", "spend / n_arrived"),
    Column("share_converted", "share", "p of these people (Kaplan-Meier)"),
    Column("cac", "money", "cost_per_visitor / p; without visits spend / n_buyers"),
    Column("cac_low", "money", "lower end of its interval"),
    Column("cac_high", "money", "upper end of its interval"),
    Column("cac_naive", "money", "spend / n_buyers, too high while visitors are young"),
    Column("buyer_ceiling", "money", "margin x value of a buyer: most to pay for one"),
    Column("value_days", "days", "age of buyers to which that value counts"),
    Column("share_brought", "share", "part of that value from people brought"),
    Column("return_ratio", "float", "buyer_ceiling / cac: above 1 it pays"),
    Column("return_ratio_low", "float", "lower end of its interval"),
    Column("return_ratio_high", "float", "upper end of its interval"),
    Column("return_ratio_own", "float", "the same from own purchases alone"),
    Column("payback_days", "days", "age by which margin x value has paid the cac"),
    Column(
        "payback_days_low",
        "days",
        "lower end; missing where even the best case does not pay",
    ),
    Column(
        "payback_days_high",
        "days",
        "upper end; missing where it may not pay by value_days",
    ),
    Column("payback_days_own", "days", "the same from own purchases alone"),
    Column("reason", "text", "why numbers are missing; empty when all are known"),
)

SPEND_MONTHS = (
    Column("month", "month", "calendar month, local time"),
    Column("channel", "text", "channel with spend; (all) for all of them"),
    Column("spend", "money", "cost in the month"),
    Column("n_arrived", "int", "people who came through it in the month, not brought"),
    Column("n_buyers", "int", "of these, bought within window_days of arrival"),
    Column("window_days", "days", "days after arrival to which purchases count"),
    Column("cost_per_visitor", "money", "spend / n_arrived"),
    Column("cac", "money", "spend / n_buyers; missing until all had that time"),
    Column("reason", "text", "why numbers are missing; empty when all are known"),
)

SPEND_TRENDS = (
    Column("channel", "text", "channel with spend; (all) for all of them"),
    Column("n_months", "int", "whole months with spend and buyers that count"),
    Column("cac_ratio", "float", "cac of a month over that of the month before"),
    Column("cac_ratio_low", "float", "lower end of its interval"),
    Column("cac_ratio_high", "float", "upper end of its interval"),
    Column("elasticity", "float", "percent more buyers for one percent more spend"),
    Column("elasticity_low", "float", "lower end of its interval"),
    Column("elasticity_high", "float", "upper end of its interval"),
    Column("marginal_cac", "money", "cac / elasticity: cost of one buyer more"),
    Column("reason", "text", "why numbers are missing; empty when all are known"),
)


def _expected(name: str, kind: str, meaning: str) -> tuple[Column, ...]:
    """Return the columns of an expected sum with both its ranges."""
    return (
        Column(name, kind, meaning),
        Column(f"{name}_low", kind, "so little it may turn out to be"),
        Column(f"{name}_high", kind, "so much it may turn out to be"),
        Column(f"{name}_mean_low", kind, "the expectation itself, lower end"),
        Column(f"{name}_mean_high", kind, "the expectation itself, upper end"),
    )


_AHEAD = (
    Column("buyers_outside", "float", "new buyers whom no buyer brings"),
    Column("buyers_brought", "float", "new buyers whom buyers bring"),
    *_expected("buyers", "float", "new buyers, both together"),
    *_expected("orders", "float", "purchases of old and new buyers"),
    Column("orders_repeat", "float", "of these, not the first of the customer"),
    *_expected("revenue", "money", "net revenue of known customers"),
)

PROJECTION_MONTHS = (
    Column("month", "month", "calendar month ahead, local time"),
    Column("scenario", "text", "as_is, no_ads (no ads from now on) or what_if"),
    *_AHEAD,
    Column("status", "text", "complete, or partial (the month had begun)"),
)

PROJECTION_TOTALS = (
    Column("scenario", "text", "as_is, no_ads (no ads from now on) or what_if"),
    Column("horizon_days", "days", "days ahead"),
    *_AHEAD,
    Column("before_days", "days", "as many days to the end, or all that were observed"),
    Column("buyers_before", "int", "first purchases on these days"),
    Column("orders_before", "int", "purchases of buyers on these days"),
    Column("revenue_before", "money", "net revenue of the same on these days"),
)

STAGE_LEVERAGE = (
    Column("stage", "text", "traffic, conversion, repurchase or referral"),
    Column("step", "text", "+10% of today, or +1 point of the share"),
    Column("window_days", "days", "W of the share; missing for traffic"),
    Column("share", "share", "reach the stage within W days today (Kaplan-Meier)"),
    Column("share_then", "share", "the same after the step"),
    Column("value", "money", "V of a visitor from outside; of a buyer without visits"),
    Column("value_gain", "money", "more of it, per present visitor"),
    Column("value_gain_low", "money", "lower end of its interval"),
    Column("value_gain_high", "money", "upper end of its interval"),
    Column("revenue", "money", "expected of the next 365 days"),
    Column("revenue_gain", "money", "more of it"),
    Column("revenue_gain_low", "money", "lower end of its interval"),
    Column("revenue_gain_high", "money", "upper end of its interval"),
    Column("reason", "text", "why numbers are missing; empty when all are known"),
)

WHAT_IF = (
    Column("measure", "text", "value, buyers, orders or revenue, all months ahead"),
    Column("today", "float", "with everything as it is"),
    Column("today_low", "float", "lower end of its interval"),
    Column("today_high", "float", "upper end of its interval"),
    Column("then", "float", "with the targets reached"),
    Column("then_low", "float", "lower end of its interval"),
    Column("then_high", "float", "upper end of its interval"),
    Column("difference", "float", "then - today"),
    Column("difference_low", "float", "lower end of its interval"),
    Column("difference_high", "float", "upper end of its interval"),
    Column("reason", "text", "why numbers are missing; empty when all are known"),
)

LOOP_BACKTEST = (
    Column("month", "month", "calendar month; all for the whole"),
    Column("measure", "text", "buyers, orders or revenue"),
    Column("predicted", "float", "expected at the cut"),
    Column("predicted_low", "float", "lower end of the range it was to fall in"),
    Column("predicted_high", "float", "upper end of that range"),
    Column("actual", "float", "what happened"),
    Column("error", "float", "predicted / actual - 1; missing when nothing happened"),
    Column("inside", "flag", "whether it fell into the range"),
    Column("status", "text", "complete, or partial (not all days of the month)"),
)

CASCADES = (
    Column("size_low", "int", "smallest size of the class: buyers, the seed included"),
    Column("size_high", "int", "largest size; missing for the last class"),
    Column("n_seeds", "int", "buyers whom no buyer brought, with so many so far"),
    Column("share", "share", "n_seeds / all of them"),
    Column("expected", "float", "n_seeds by the branching prediction, at their ages"),
    Column("expected_low", "float", "so few by chance alone"),
    Column("expected_high", "float", "so many by chance alone"),
    Column("final_share", "share", "share in the end; missing when R is 1 or more"),
)

REFERRED_DIFFERENCES = (
    Column("measure", "text", "conversion, repurchase, orders, value and others"),
    Column("n_referred", "int", "referred people observed for W days from entry"),
    Column("n_others", "int", "other people observed for W days from entry"),
    Column("referred", "float", "mean, share or ratio of the referred, unadjusted"),
    Column("others", "float", "the same of the others"),
    Column("difference", "float", "referred less others, within months of entry"),
    Column("difference_low", "float", "lower end of its interval"),
    Column("difference_high", "float", "upper end of its interval"),
    Column("p_value", "float", "as large a difference by chance alone"),
    Column("p_adjusted", "float", "the same, by Holm for the number of measures"),
    Column("n_strata", "int", "months of entry with people of both groups"),
    Column("reason", "text", "why something is missing; empty when nothing is"),
)

REFERRED_MONTHS = (
    Column("measure", "text", "as in the table of differences"),
    Column("month", "month", "month of entry: of arrival, or of the first purchase"),
    Column("n_referred", "int", "referred people of the month, observed for W days"),
    Column("n_others", "int", "other people of the month, observed for W days"),
    Column("referred", "float", "their mean, share or ratio; missing without people"),
    Column("others", "float", "the same of the others"),
    Column("base_referred", "float", "what a ratio is taken of, per person; else 1"),
    Column("base_others", "float", "the same of the others"),
    Column("weight", "float", "n_referred n_others / (n_referred + n_others)"),
)

REFERRER_TENURE = (
    Column("tenure", "text", "days from the referrer's first purchase to the referral"),
    Column("n_referrers", "int", "people who brought somebody at that tenure"),
    Column("n_referees", "int", "buyers they brought, observed for W days"),
    Column("value", "money", "net revenue per referee within W days"),
    Column("value_low", "money", "lower end of its interval over referrers"),
    Column("value_high", "money", "upper end"),
    Column("share_repurchase", "share", "of the referees, bought again within W days"),
    Column("share_repurchase_low", "share", "lower end of its Wilson interval"),
    Column("share_repurchase_high", "share", "upper end"),
    Column("reason", "text", "why something is missing; empty when nothing is"),
)

REFERRER_ACTIVE = (
    Column("from_age_days", "days", "ages of the referee: from, in days"),
    Column("to_age_days", "days", "to, included"),
    Column("n_lapses_active", "int", "referees lapsed while the referrer was active"),
    Column("n_days_active", "int", "days that referees were at risk of it"),
    Column("rate_active", "float", "lapses per 30 of these days"),
    Column("n_lapses_after", "int", "referees lapsed after the referrer had lapsed"),
    Column("n_days_after", "int", "days that referees were at risk of it"),
    Column("rate_after", "float", "lapses per 30 of these days"),
)

LINK_CLUSTERING = (
    Column("outcome", "text", "refund or lapse, within W days of the first purchase"),
    Column("n_links", "int", "referrals, both sides bought and observed for W days"),
    Column("n_referrers", "int", "people who made them"),
    Column("n_with", "int", "referees whose referrer has it"),
    Column("n_without", "int", "referees whose referrer does not"),
    Column("share_with", "share", "of n_with, the referee has it too"),
    Column("share_without", "share", "of n_without, the referee has it"),
    Column("difference", "float", "with less without, within months of entry"),
    Column("difference_low", "float", "lower end, robust for referees of one referrer"),
    Column("difference_high", "float", "upper end"),
    Column("p_value", "float", "by exchange of referees within months of entry"),
    Column("p_adjusted", "float", "the same, by Holm for the number of outcomes"),
    Column("n_strata", "int", "months of entry with links of both kinds"),
    Column("reason", "text", "why something is missing; empty when nothing is"),
)

LIFECYCLE = (
    Column("period", "text", "2026-03, 2026-Q1, or the first day of a week or day"),
    Column("n_opening", "int", "active when the period begins"),
    Column("n_new", "int", "first purchases"),
    Column("n_from_dormant", "int", "purchases by people who were dormant"),
    Column("n_from_lost", "int", "purchases by people who were lost"),
    Column("n_resurrected", "int", "n_from_dormant + n_from_lost"),
    Column("n_lapsed", "int", "times that somebody active fell dormant"),
    Column("n_closing", "int", "active at the end: opening + new + back - lapsed"),
    Column("n_dormant_opening", "int", "dormant when the period begins"),
    Column("n_lost", "int", "times that somebody dormant became lost"),
    Column("n_dormant_closing", "int", "opening + n_lapsed - n_from_dormant - n_lost"),
    Column("n_lost_opening", "int", "lost when the period begins"),
    Column("n_lost_closing", "int", "opening + n_lost - n_from_lost"),
    Column("n_people", "int", "everybody seen so far, buyers or not"),
    Column("share_active_buyers", "share", "n_closing / all buyers so far"),
    Column("share_active_people", "share", "n_closing / n_people"),
    Column("n_buyers", "int", "people who bought in the period, each once"),
    Column("n_new_buyers", "int", "of these, for the first time"),
    Column("n_repeat_buyers", "int", "of these, active at their first purchase in it"),
    Column("n_resurrected_buyers", "int", "of these, dormant or lost until then"),
    Column("revenue", "money", "net value of the period, guests left out"),
    Column("revenue_new", "money", "of it, by the new buyers"),
    Column("revenue_repeat", "money", "of it, by the repeat buyers"),
    Column("revenue_resurrected", "money", "of it, by the resurrected buyers"),
    Column("revenue_other", "money", "of people without a purchase in it: refunds"),
    Column("status", "text", "complete or partial (the period is still running)"),
)

LIFECYCLE_PREVIOUS = (
    Column("period", "text", "2026-03, 2026-Q1, or the first day of a week or day"),
    Column("n_new", "int", "bought for the first time"),
    Column("n_repeat", "int", "bought in the period before too"),
    Column("n_resurrected", "int", "bought earlier, but not in the period before"),
    Column("n_buyers", "int", "n_new + n_repeat + n_resurrected"),
    Column("n_dormant", "int", "bought in the period before, not in this one"),
    Column("status", "text", "complete or partial (n_dormant is still too high)"),
)

RFM = (
    Column("segment", "text", "name by recency and frequency"),
    Column("n_people", "int", "customers"),
    Column("share_people", "share", "of all customers"),
    Column("revenue", "money", "net value of all their orders so far"),
    Column("share_of_revenue", "share", "of all; missing if it is below 0"),
    Column("mean_recency_days", "days", "mean days since the last purchase"),
    Column("mean_purchases", "float", "purchases per customer"),
    Column("mean_revenue", "money", "revenue per customer"),
)

RFM_GRID = (
    Column("r_score", "int", "score of recency; the highest bought last"),
    Column("f_score", "int", "score of frequency; the highest bought most often"),
    Column("segment", "text", "name of the pair"),
    Column("n_people", "int", "customers"),
    Column("share_people", "share", "of all customers"),
    Column("revenue", "money", "net value of all their orders so far"),
    Column("share_of_revenue", "share", "of all; missing if it is below 0"),
)

RFM_BOUNDS = (
    Column("measure", "text", "recency_days, n_purchases or revenue"),
    Column("score", "int", "score; the highest is the best"),
    Column("n_people", "int", "customers with this score"),
    Column("low", "float", "least value that has it"),
    Column("high", "float", "largest value that has it"),
)

RFM_PEOPLE = (
    Column("person_id", "text", "id as given; buyers only"),
    Column("recency_days", "days", "days since the last purchase"),
    Column("n_purchases", "int", "purchases so far"),
    Column("revenue", "money", "net value of all their orders so far"),
    Column("mean_value", "money", "revenue / n_purchases"),
    Column("r_score", "int", "score of recency; the highest bought last"),
    Column("f_score", "int", "score of frequency; the highest bought most often"),
    Column("m_score", "int", "score of revenue; the highest spent most"),
    Column("segment", "text", "name by recency and frequency"),
)

MIGRATION = (
    Column("state_from", "text", "state at the start; '(new)' had not bought yet"),
    Column("state_to", "text", "state at the end"),
    Column("n_from", "int", "people in state_from at the start"),
    Column("n_people", "int", "of these, in state_to at the end"),
    Column("share", "share", "n_people / n_from"),
    Column("share_low", "share", "lower end of its Wilson interval"),
    Column("share_high", "share", "upper end of its Wilson interval"),
    Column("reason", "text", "why the share is missing; empty when it is known"),
)

SEGMENT_PROFILE = (
    Column("segment", "text", "value of the breakdown"),
    Column("n_people", "int", "people, buyers or not"),
    Column("n_buyers", "int", "of these, bought"),
    Column("share_converted", "share", "bought within W days of arrival (matured)"),
    Column("share_converted_low", "share", "lower end of its Wilson interval"),
    Column("share_converted_high", "share", "upper end of its Wilson interval"),
    Column("share_repurchased", "share", "bought again within W days (matured)"),
    Column("share_repurchased_low", "share", "lower end of its Wilson interval"),
    Column("share_repurchased_high", "share", "upper end of its Wilson interval"),
    Column("share_within", "share", "the same by Kaplan-Meier (uses everybody)"),
    Column("share_within_low", "share", "lower end, log-log interval"),
    Column("share_within_high", "share", "upper end, log-log interval"),
    Column("share_referred", "share", "brought a buyer within W days (matured)"),
    Column("share_referred_low", "share", "lower end of its Wilson interval"),
    Column("share_referred_high", "share", "upper end of its Wilson interval"),
    Column("revenue", "money", "net value of all orders so far"),
    Column("share_of_revenue", "share", "of all; missing if it is below 0"),
    Column("buyer_revenue", "money", "mean revenue per buyer so far"),
    Column("buyer_revenue_low", "money", "lower end, a buyer is one unit"),
    Column("buyer_revenue_high", "money", "upper end"),
    Column("buyer_purchases", "float", "mean purchases per buyer so far"),
    Column("buyer_purchases_low", "float", "lower end, a buyer is one unit"),
    Column("buyer_purchases_high", "float", "upper end"),
    Column("reason", "text", "why something is missing; empty when nothing is"),
)

SEGMENT_AFTER = (
    Column("segment", "text", "segment at the close of the day"),
    Column("n_people", "int", "people who had bought by then"),
    Column("share_people", "share", "of all who had"),
    Column("n_again", "int", "of these, bought after it"),
    Column("share_again", "share", "n_again / n_people"),
    Column("share_again_low", "share", "lower end of its Wilson interval"),
    Column("share_again_high", "share", "upper end of its Wilson interval"),
    Column("n_orders", "int", "purchases after it"),
    Column("person_purchases", "float", "purchases per person after it"),
    Column("person_purchases_low", "float", "lower end, a person is one unit"),
    Column("person_purchases_high", "float", "upper end"),
    Column("revenue", "money", "net value after it"),
    Column("share_of_revenue", "share", "of all; missing if it is below 0"),
    Column("person_revenue", "money", "revenue per person after it"),
    Column("person_revenue_low", "money", "lower end, a person is one unit"),
    Column("person_revenue_high", "money", "upper end"),
    Column("n_brought", "int", "buyers they brought after it; missing without links"),
    Column("reason", "text", "why something is missing; empty when nothing is"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "audit": AUDIT,
    "people": PEOPLE,
    "funnel_stages": FUNNEL_STAGES,
    "funnel_windows": FUNNEL_WINDOWS,
    "repurchase_steps": REPURCHASE_STEPS,
    "repurchase_windows": REPURCHASE_WINDOWS,
    "repurchase_days": REPURCHASE_DAYS,
    "repurchase_gaps": REPURCHASE_GAPS,
    "repurchase_reminders": REPURCHASE_REMINDERS,
    "customer_gaps": CUSTOMER_GAPS,
    "product_gaps": PRODUCT_GAPS,
    "product_customers": PRODUCT_CUSTOMERS,
    "returning": RETURNING,
    "stage_times": STAGE_TIMES,
    "stage_times_curve": STAGE_TIMES_CURVE,
    "drop_offs": DROP_OFFS,
    "segment_differences": SEGMENT_DIFFERENCES,
    "analyses_compared": ANALYSES_COMPARED,
    "cohorts": COHORTS,
    "lifecycle": LIFECYCLE,
    "lifecycle_previous": LIFECYCLE_PREVIOUS,
    "rfm": RFM,
    "rfm_grid": RFM_GRID,
    "rfm_bounds": RFM_BOUNDS,
    "rfm_people": RFM_PEOPLE,
    "migration": MIGRATION,
    "segment_profile": SEGMENT_PROFILE,
    "segment_after": SEGMENT_AFTER,
    "cohort_ages": COHORT_AGES,
    "cohort_projection": COHORT_PROJECTION,
    "cohort_factors": COHORT_FACTORS,
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
    "referral_times": REFERRAL_TIMES,
    "referral_times_curve": REFERRAL_TIMES_CURVE,
    "trees": TREES,
    "network_people": NETWORK_PEOPLE,
    "concentration": CONCENTRATION,
    "lorenz": LORENZ,
    "anomaly_rules": ANOMALY_RULES,
    "anomalies": ANOMALIES,
    "anomaly_links": ANOMALY_LINKS,
    "link_people": LINK_PEOPLE,
    "link_trees": LINK_TREES,
    "customer_value": CUSTOMER_VALUE,
    "value_grid": VALUE_GRID,
    "grid_people": GRID_PEOPLE,
    "advocates": ADVOCATES,
    "order_credits": ORDER_CREDITS,
    "referrals_ahead": REFERRALS_AHEAD,
    "loop_months": LOOP_MONTHS,
    "loop_weeks": LOOP_WEEKS,
    "loop_lineage": LOOP_LINEAGE,
    "loop_lineage_months": LOOP_LINEAGE_MONTHS,
    "reproduction": REPRODUCTION,
    "reproduction_curve": REPRODUCTION_CURVE,
    "reproduction_segments": REPRODUCTION_SEGMENTS,
    "reproduction_segments_curve": REPRODUCTION_SEGMENTS_CURVE,
    "reproduction_trend": REPRODUCTION_TREND,
    "cascades": CASCADES,
    "loop_cells": LOOP_CELLS,
    "loop_cohorts": LOOP_COHORTS,
    "visitor_value": VISITOR_VALUE,
    "projection_months": PROJECTION_MONTHS,
    "projection_totals": PROJECTION_TOTALS,
    "stage_leverage": STAGE_LEVERAGE,
    "what_if": WHAT_IF,
    "loop_backtest": LOOP_BACKTEST,
    "spend_channels": SPEND_CHANNELS,
    "spend_months": SPEND_MONTHS,
    "spend_trends": SPEND_TRENDS,
    "referred_differences": REFERRED_DIFFERENCES,
    "referred_months": REFERRED_MONTHS,
    "referrer_tenure": REFERRER_TENURE,
    "referrer_active": REFERRER_ACTIVE,
    "link_clustering": LINK_CLUSTERING,
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
