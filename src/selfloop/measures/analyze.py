"""All measures of a shop at once, each pass over the events made once."""

from dataclasses import dataclass, field
from typing import Any, get_args

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from selfloop.core.display import show_html, show_text
from selfloop.core.errors import FitError
from selfloop.core.settings import LedgerRule, Progress, check_choice
from selfloop.inputs.events import Events
from selfloop.kernels.intervals import normal_quantile
from selfloop.measures.cohorts import Cohorts, cohorts
from selfloop.measures.funnel import Funnel, funnel
from selfloop.measures.lifetime.backtest import Backtest, backtest_of
from selfloop.measures.lifetime.fit import Model, fit_lifetime, past_model
from selfloop.measures.lifetime.holdout import default_cut
from selfloop.measures.lifetime.result import LifetimeModel
from selfloop.measures.loop import SelfLoop, self_loop
from selfloop.measures.referral import ReferralNetwork, referral_network
from selfloop.measures.social import check_settings, value_table

N_ADVOCATES = 50
"""The table of advocates keeps this many."""

N_BINS = 20
"""Bars of the distribution of lifetime value."""


@dataclass(frozen=True)
class ValueSummary:
    """What customers are worth, in small tables.

    Parameters
    ----------
    by_source : DataFrame
        source, n_buyers, revenue_per_buyer, expected_per_buyer,
        lifetime_value_per_buyer and the ends `low`, `high` of its interval over
        customers; the first row, ``all``, is everybody.
    deciles : DataFrame
        decile (1 = top tenth by total value of all who bought or were credited with
        the spend of others), n_people, revenue, given_value,
        social_value, total_value, share_total; empty without referrals.
    histogram : DataFrame
        low_value, high_value, source_group (``referral`` or ``direct``), n_people,
        share of the group, of lifetime value (historic value without a model).
    advocates : DataFrame
        Columns of `schema.CUSTOMER_VALUE`: the 50 with the most social value.
    totals : dict
        n_buyers, revenue, given_value, social_value, total_value, expected_value,
        social_per_buyer, referred_buyers, share_referred; missing values are None.
    value_column : str
        ``lifetime_value``, or ``revenue`` without a model.
    """

    by_source: pd.DataFrame = field(repr=False)
    deciles: pd.DataFrame = field(repr=False)
    histogram: pd.DataFrame = field(repr=False)
    advocates: pd.DataFrame = field(repr=False)
    totals: dict[str, Any]
    value_column: str


@dataclass(frozen=True, eq=False)
class Analysis:
    """Everything selfloop says of a shop, made by `analyze`.

    Parameters
    ----------
    events : Events
        What it was computed from.
    funnel, funnel_by_source : Funnel
        The four stages, for all and by source.
    cohorts : Cohorts
        Repurchase by month of the first purchase.
    lifetime : LifetimeModel or None
        The fitted model.
    backtest : Backtest or None
        How the same model, fitted earlier, predicted what has happened since.
    network : ReferralNetwork or None
        The referral network.
    values : ibis table
        Columns of `schema.CUSTOMER_VALUE`, one row per customer.
    value_summary : ValueSummary
        The same in small tables.
    loop : SelfLoop
        Self-circulation by month and R.
    unavailable : dict of str to str
        Parts that cannot be computed, and why.
    horizon_days : float
        Horizon of expected values.
    discount_rate : float
        Annual rate by which expected values are discounted.
    rule : str
        Rule of the ledger.
    """

    events: Events = field(repr=False)
    funnel: Funnel
    funnel_by_source: Funnel
    cohorts: Cohorts
    lifetime: LifetimeModel | None
    backtest: Backtest | None
    network: ReferralNetwork | None
    values: ir.Table = field(repr=False)
    value_summary: ValueSummary
    loop: SelfLoop
    unavailable: dict[str, str]
    horizon_days: float
    discount_rate: float
    rule: str

    def __repr__(self) -> str:
        """Show the headlines as text."""
        return show_text("Analysis", self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the headlines in a notebook."""
        return show_html("Analysis", self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List the headlines of all parts."""
        facts = self.events._facts() + self.loop._facts()[1:]
        return facts + [(f"no {part}", why) for part, why in self.unavailable.items()]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        rows = self.funnel.windows
        return [
            (
                "funnel, within 90 days",
                rows[rows["window_days"] == 90],
                "funnel_windows",
            )
        ]


def analyze(
    events: Events,
    *,
    horizon_days: float = 365,
    discount_rate: float = 0.0,
    rule: LedgerRule = "halving",
    model: Model = "auto",
    progress: Progress | None = None,
) -> Analysis:
    """Compute every measure of a shop.

    Parameters
    ----------
    events : Events
        Result of `read_events`.
    horizon_days : float
        Horizon of expected values, in days; at least 1.
    discount_rate : float
        Annual rate at which expected value is discounted, 0 or more.
    rule : {"halving", "shapley"}
        How the value of an order is shared with those who brought the buyer.
    model : str
        Model of purchases, as in `fit_lifetime`.
    progress : callable, optional
        Called with a short text at the start of each step.

    Returns
    -------
    Analysis
        Parts that cannot be computed are None and named in `unavailable`.

    Raises
    ------
    SettingError
        A setting is outside its range; it is raised before any work.

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> analysis = sl.analyze(sl.read_events(shop.orders, shop.referrals))
    >>> sorted(analysis.unavailable)
    ['conversion']
    """
    check_settings(rule, horizon_days=horizon_days, discount_rate=discount_rate)
    check_choice("model", model, get_args(Model))
    say = progress or (lambda _: None)
    unavailable: dict[str, str] = {}
    if "visits" not in events.has:
        unavailable["conversion"] = "no table of visits"
    say("funnel")
    whole, by_source = funnel(events), funnel(events, "source")
    say("cohorts")
    triangle = cohorts(events)
    say("loop")
    loop = self_loop(events)
    network = None
    if "referrals" in events.has:
        say("referral network")
        network = referral_network(events)
    else:
        unavailable["referral"] = "no table of referrals"
    say("lifetime value")
    fitted, test = _lifetime(events, model, say, unavailable)
    if fitted is not None and fitted.spend is None:
        unavailable["expected value"] = fitted.spend_reason
    say("customer value")
    values = value_table(
        events,
        fitted,
        rule=rule,
        horizon_days=horizon_days,
        discount_rate=discount_rate,
    )
    return Analysis(
        events=events,
        funnel=whole,
        funnel_by_source=by_source,
        cohorts=triangle,
        lifetime=fitted,
        backtest=test,
        network=network,
        values=values,
        value_summary=summarise(values),
        loop=loop,
        unavailable=unavailable,
        horizon_days=horizon_days,
        discount_rate=discount_rate,
        rule=rule,
    )


def _lifetime(
    events: Events, name: Model, say: Progress, unavailable: dict[str, str]
) -> tuple[LifetimeModel | None, Backtest | None]:
    """Fit a lifetime model and test it on the past; note what cannot be done."""
    try:
        model = fit_lifetime(events, model=name)
    except FitError as error:
        unavailable["lifetime value"] = str(error)
        return None, None
    try:
        past, cut, why = past_model(model), None, ""
        if model.choice is not None:
            cut, why = model.choice.cut, model.choice.holdout_reason
        elif name != "bg_bb":
            cut, why = default_cut(events, at=None, horizon_days=None)
            past = None if cut is None else fit_lifetime(events, model=name, at=cut.at)
        if past is None or cut is None:
            unavailable["backtest"] = why or "BG/BB counts opportunities, not purchases"
            return model, None
        say("backtest")
        return model, backtest_of(past, cut)
    except FitError as error:
        unavailable["backtest"] = str(error)
        return model, None


def summarise(values: ir.Table) -> ValueSummary:
    """Reduce the table of customer values to small tables, in the engine.

    Parameters
    ----------
    values : ibis table
        Columns of `schema.CUSTOMER_VALUE`.

    Returns
    -------
    ValueSummary
        Intervals of means are over customers: mean +- z sd / sqrt(n).
    """
    buyers = values.filter(values.n_purchases > 0)
    by_source = _by_source(buyers)
    known = bool(by_source["lifetime_value_per_buyer"].notna().any())
    column = "lifetime_value" if known else "revenue"
    return ValueSummary(
        by_source=by_source,
        deciles=_deciles(values),
        histogram=_histogram(buyers, column),
        advocates=_advocates(values),
        totals=_value_totals(values),
        value_column=column,
    )


def _by_source(buyers: ir.Table) -> pd.DataFrame:
    """Average the values of buyers by source, everybody first."""
    parts = []
    for rows in (
        buyers.mutate(group=ibis.literal("all")),
        buyers.mutate(group="source"),
    ):
        parts.append(
            rows.group_by(source="group").aggregate(
                n_buyers=rows.count(),
                revenue_per_buyer=rows.revenue.mean(),
                expected_per_buyer=rows.expected_value.mean(),
                lifetime_value_per_buyer=rows.lifetime_value.mean(),
                spread=rows.lifetime_value.std(how="sample"),
            )
        )
    frame: pd.DataFrame = pd.concat(
        [part.order_by("source").to_pandas() for part in parts]
    )
    frame = frame.reset_index(drop=True).astype({"n_buyers": "int64"})
    numbers = frame.columns.drop(["source", "n_buyers"])
    frame = frame.astype(dict.fromkeys(numbers, "float64"))
    reach = normal_quantile(0.95) * frame.pop("spread") / np.sqrt(frame["n_buyers"])
    mean = frame["lifetime_value_per_buyer"]
    return frame.assign(low=mean - reach, high=mean + reach)


def _deciles(values: ir.Table) -> pd.DataFrame:
    """Sum the ledger over tenths of all who bought or were credited, richest first."""
    worth = (
        (values.n_purchases > 0) | (values.revenue != 0) | (values.social_value != 0)
    )
    rows = values.filter(values.total_value.notnull() & worth)
    # Ties are broken by id, so that the order of rows does not matter.
    tenth = ibis.ntile(10).over(order_by=[rows.total_value.desc(), rows.person_id])
    rows = rows.mutate(decile=tenth + 1)
    frame: pd.DataFrame = (
        rows.group_by("decile")
        .aggregate(
            n_people=rows.count(),
            revenue=rows.revenue.sum(),
            given_value=rows.given_value.sum(),
            social_value=rows.social_value.sum(),
            total_value=rows.total_value.sum(),
        )
        .order_by("decile")
        .to_pandas()
    )
    whole = float(frame["total_value"].sum())
    frame["share_total"] = frame["total_value"] / whole if whole > 0 else np.nan
    return frame


def _histogram(buyers: ir.Table, column: str) -> pd.DataFrame:
    """Count buyers by value; the last bar is open above."""
    empty = pd.DataFrame(
        columns=["low_value", "high_value", "source_group", "n_people", "share"]
    )
    top = (
        buyers.aggregate(top=buyers[column].quantile(0.975)).to_pandas()["top"].iloc[0]
    )
    if pd.isna(top) or top <= 0:
        return empty
    width = _round_up(float(top) / N_BINS)
    position = (buyers[column] / width).floor().clip(0, N_BINS - 1).cast("int64")
    group = ibis.ifelse(buyers.source == "referral", "referral", "direct")
    frame: pd.DataFrame = (
        buyers.group_by(position=position, source_group=group)
        .aggregate(n_people=buyers.count())
        .to_pandas()
    )
    grid = pd.MultiIndex.from_product(
        [range(N_BINS), sorted(frame["source_group"].unique())],
        names=["position", "source_group"],
    )
    frame = frame.set_index(["position", "source_group"]).reindex(grid, fill_value=0)
    frame = frame.reset_index()
    frame["low_value"] = frame["position"] * width
    frame["high_value"] = np.where(
        frame["position"] == N_BINS - 1, np.inf, (frame["position"] + 1) * width
    )
    totals = frame.groupby("source_group")["n_people"].transform("sum")
    frame["share"] = frame["n_people"] / totals
    return frame.reindex(columns=empty.columns)


def _round_up(width: float) -> float:
    """Return the next width of 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(width))
    return float(next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= width))


def _advocates(values: ir.Table) -> pd.DataFrame:
    """List those whose people spent the most, with some social value at least."""
    rows = values.filter(values.social_value > 0)
    best = rows.order_by(ibis.desc("social_value"), "person_id").limit(N_ADVOCATES)
    frame: pd.DataFrame = best.to_pandas()
    return frame


def _value_totals(values: ir.Table) -> dict[str, Any]:
    """Add up the ledger and count referred buyers."""
    is_buyer = values.n_purchases > 0
    line = values.aggregate(
        n_buyers=is_buyer.sum(),
        revenue=values.revenue.sum(),
        given_value=values.given_value.sum(),
        social_value=values.social_value.sum(),
        total_value=values.total_value.sum(),
        expected_value=values.expected_value.sum(),
        referred_buyers=(is_buyer & (values.source == "referral")).sum(),
    ).to_pandas()
    totals: dict[str, Any] = {
        str(k): (None if pd.isna(v) else v) for k, v in line.iloc[0].items()
    }
    n_buyers = int(totals["n_buyers"] or 0)
    social = totals["social_value"]
    known = n_buyers > 0 and social is not None
    totals["n_buyers"] = n_buyers
    totals["social_per_buyer"] = float(social) / n_buyers if known else None
    totals["referred_buyers"] = int(totals["referred_buyers"] or 0) if known else None
    totals["share_referred"] = totals["referred_buyers"] / n_buyers if known else None
    return totals
