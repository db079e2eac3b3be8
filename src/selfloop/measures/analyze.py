"""All measures of a shop at once, each pass over the events made once."""

from dataclasses import dataclass, field
from typing import get_args

import ibis.expr.types as ir
import pandas as pd

from selfloop.core.display import show_html, show_text
from selfloop.core.errors import FitError
from selfloop.core.settings import LedgerRule, Progress, Sharing, check_choice
from selfloop.inputs.events import Events
from selfloop.measures.cohorts.triangle import Cohorts, cohorts
from selfloop.measures.funnel.rates import Funnel, funnel
from selfloop.measures.lifetime.backtest import Backtest, backtest_of
from selfloop.measures.lifetime.fit import Model, fit_lifetime, past_model
from selfloop.measures.lifetime.holdout import default_cut
from selfloop.measures.lifetime.result import LifetimeModel
from selfloop.measures.loop.outlook import LoopOutlook, loop_outlook
from selfloop.measures.loop.overall import SelfLoop, self_loop
from selfloop.measures.referral.network import ReferralNetwork
from selfloop.measures.referral.overview import ReferralOverview, referral_overview
from selfloop.measures.social import check_settings, value_table
from selfloop.measures.summary import ValueSummary, summarise


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
    values : ibis table
        Columns of `schema.CUSTOMER_VALUE`, one row per customer.
    value_summary : ValueSummary
        The same in small tables.
    referral : ReferralOverview or None
        The referral network, its timing, what is to come, what looks wrong.
    loop : SelfLoop
        Self-circulation by month and R.
    outlook : LoopOutlook
        Growth without ads, value of visitors, stages to mend, months to come.
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
    values: ir.Table = field(repr=False)
    value_summary: ValueSummary
    referral: ReferralOverview | None
    loop: SelfLoop
    outlook: LoopOutlook
    unavailable: dict[str, str]
    horizon_days: float
    discount_rate: float
    rule: str

    @property
    def network(self) -> ReferralNetwork | None:
        """The referral network, where there is one."""
        return None if self.referral is None else self.referral.network

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
    rule : {"halving", "shapley", "geometric"}
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
    ['acquisition cost', 'conversion']
    """
    Events.check(events)
    sharing = Sharing(rule)
    check_settings(sharing, horizon_days=horizon_days, discount_rate=discount_rate)
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
    say("lifetime value")
    fitted, test = _lifetime(events, model, say, unavailable)
    if fitted is not None and fitted.spend is None:
        unavailable["expected value"] = fitted.spend_reason
    say("customer value")
    values = value_table(
        events, fitted, sharing, horizon_days=horizon_days,
        discount_rate=discount_rate,
    )  # fmt: skip
    summary = summarise(values)
    referral = None
    if "referrals" in events.has:
        referral = referral_overview(
            events, values, own=summary.value_column, horizon_days=horizon_days,
            progress=say,
        )  # fmt: skip
    outlook = loop_outlook(events, progress=say)
    unavailable |= _missing(referral) | outlook.unavailable
    return Analysis(
        events=events,
        funnel=whole,
        funnel_by_source=by_source,
        cohorts=triangle,
        lifetime=fitted,
        backtest=test,
        values=values,
        value_summary=summary,
        referral=referral,
        loop=loop,
        outlook=outlook,
        unavailable=unavailable,
        horizon_days=horizon_days,
        discount_rate=discount_rate,
        rule=rule,
    )


def _missing(referral: ReferralOverview | None) -> dict[str, str]:
    """Say what cannot be said of referrals."""
    if referral is None:
        return {"referral": "no table of referrals"}
    return referral.unavailable


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
