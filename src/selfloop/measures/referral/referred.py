"""Referred people against others, at equal age and within months of entry."""

from dataclasses import dataclass, field
from datetime import date
from math import isnan

import pandas as pd

from selfloop.core.display import format_value, show_html, show_text
from selfloop.core.settings import MIN_AT_RISK, check_number, check_whole
from selfloop.inputs.events import Events
from selfloop.measures.referral.differences import differences
from selfloop.measures.referral.enrichment import (
    buyers_within,
    by_tenure,
    clustering,
    staying,
)


@dataclass(frozen=True)
class ReferredComparison:
    """Referred people against others, made by `compare_referred`.

    Parameters
    ----------
    differences : DataFrame
        Columns of `schema.REFERRED_DIFFERENCES`, one row per measure.
    by_month : DataFrame
        Columns of `schema.REFERRED_MONTHS`: what the differences are made of.
    tenure : DataFrame
        Columns of `schema.REFERRER_TENURE`: referees by how long the referrer had
        been a customer.
    survival : DataFrame
        Columns of `schema.REFERRER_ACTIVE`: lapses of referees while the referrer
        was active and after, by age of the referee.
    n_links : int
        Links behind `survival`.
    hazard_ratio, hazard_ratio_low, hazard_ratio_high : float
        Hazard of lapse of a referee while the referrer is active / after, at equal
        age and month of entry; below 1 when they stay longer together.
    hazard_p_value : float
        P value of a ratio of 1.
    hazard_reason : str
        Why the ratio is missing; empty when it is known.
    clustering : DataFrame
        Columns of `schema.LINK_CLUSTERING`: refunds and lapses along links.
    window_days, lapse_days : int
        The settings W and G.
    end : date
        Last observed day.
    """

    differences: pd.DataFrame = field(repr=False)
    by_month: pd.DataFrame = field(repr=False)
    tenure: pd.DataFrame = field(repr=False)
    survival: pd.DataFrame = field(repr=False)
    n_links: int
    hazard_ratio: float
    hazard_ratio_low: float
    hazard_ratio_high: float
    hazard_p_value: float
    hazard_reason: str
    clustering: pd.DataFrame = field(repr=False)
    window_days: int
    lapse_days: int
    end: date

    def to_frame(self) -> pd.DataFrame:
        """Return the differences, columns of `schema.REFERRED_DIFFERENCES`."""
        return self.differences.copy()

    def __repr__(self) -> str:
        """Show the comparison as text."""
        title = "Referred people and others"
        return show_text(title, self._facts(), tables=self._tables())

    def _repr_html_(self) -> str:
        """Show the comparison in a notebook."""
        title = "Referred people and others"
        return show_html(title, self._facts(), tables=self._tables())

    def _facts(self) -> list[tuple[str, object]]:
        """List what holds for all tables, and the ratio of hazards."""
        ratio = "missing"
        if not isnan(self.hazard_ratio):
            ratio = format_value(self.hazard_ratio, "float")
        if self.hazard_reason:
            ratio += f": {self.hazard_reason}"
        else:
            ends = (self.hazard_ratio_low, self.hazard_ratio_high)
            low, high = (format_value(end, "float") for end in ends)
            ratio += f" [{low}, {high}], p {format_value(self.hazard_p_value, 'float')}"
        return [
            ("observed to", self.end),
            ("within days of entry", self.window_days),
            ("lapsed after days without a purchase", self.lapse_days),
            ("hazard of lapse, referrer active / lapsed", ratio),
        ]

    def _tables(self) -> list[tuple[str, pd.DataFrame, str]]:
        """List the tables to show."""
        return [
            ("referred less others", self.differences, "referred_differences"),
            ("by tenure of the referrer", self.tenure, "referrer_tenure"),
            ("lapses of referees by age", self.survival.head(6), "referrer_active"),
            ("along links", self.clustering, "link_clustering"),
        ]


def compare_referred(
    events: Events,
    *,
    window_days: int = 90,
    lapse_days: int = 90,
    min_at_risk: int = MIN_AT_RISK,
) -> ReferredComparison:
    """Say whether referred people are better customers, and what goes along links.

    Parameters
    ----------
    events : Events
        Result of `read_events`, with referrals.
    window_days : int
        W: what people do within so many days of their entry, at least 1. Only those
        observed that long are compared.
    lapse_days : int
        G: a person lapses G days after a purchase that no other follows within G
        days; at least 1.
    min_at_risk : int
        Fewer people or links than this in a group: it is missing, with the reason; at
        least 1.

    Returns
    -------
    ReferredComparison

    Raises
    ------
    MissingTableError
        There is no table of referrals.
    SettingError
        A setting is outside its range.

    Notes
    -----
    **Differences.** Buyers enter with the first purchase and are referred when their
    source is ``referral``, which is known by then. Within W days, the first included:
    *repurchase* (bought again), *orders*, *value* (net revenue), *refund_share*
    (refunds / gross sales of all of them), *referrals* (buyers brought). For
    *conversion* people enter when they are first seen to visit or to be referred, and
    buy within W days; whoever had bought before is left out, and so is whoever was
    first seen buying, who could not but convert. They count as referred when somebody
    had referred them by the day of entry, whatever came of it: to sort them by what
    happened later would put those who bought at once among the others, and those who
    bought late too. A referral without a visit is an entry, so conversion compares
    what the table of referrals records with what the table of visits records. It is
    missing without visits, and when all referred people bought, for then the
    referrals only name buyers.

    With w = n1 n0 / (n1 + n0) for each calendar month of entry, the difference is
    sum w (m1 - m0) / sum w [1]_; of refund_share, that of sum w refunds / sum w gross.
    It need not be `referred` less `others`, which are not adjusted. Intervals of
    shares are Newcombe's [2]_, of means and ratios Student's t; p values are adjusted
    by Holm for the number of measures. A difference is no effect: people who are
    referred may differ in other ways than by the month.

    **Tenure.** Days from the referrer's first purchase to the referral. The interval
    of value has the referrer as its unit. Not adjusted for months.

    **Survival.** From the day after the first purchase referees are at risk of their
    first lapse, if the referrer had bought by then. The referrer is active on a day
    when a purchase lies 1 to G days before it, so that it is known before the day and
    may begin again. Hazards are compared between referees of equal age in days who
    entered in the same month (Mantel-Haenszel [3]_), with a variance that allows for
    referees of one referrer being alike. People who are alike find each other: that
    referees stay longer while the referrer does is an association, and no proof that
    one keeps the other [4]_.

    **Clustering.** Among links of two buyers observed for W days each: do referees
    have a refund, or lapse (no second purchase), more often when their referrer has?
    The p value is exact: how often would an exchange of referees of the same month of
    entry give a sum no more likely than the one seen. The interval is robust for
    several referees of one referrer.

    References
    ----------
    .. [1] N. Mantel, W. Haenszel, "Statistical aspects of the analysis of data from
       retrospective studies of disease", JNCI 22 (1959).
    .. [2] R. G. Newcombe, "Interval estimation for the difference between independent
       proportions", Statistics in Medicine 17 (1998).
    .. [3] S. Greenland, J. M. Robins, "Estimation of a common effect parameter from
       sparse follow-up data", Biometrics 41 (1985).
    .. [4] C. Van den Bulte, E. Bayer, B. Skiera, P. Schmitt, "How customer referral
       programs turn social capital into economic capital", J. Marketing Research 55
       (2018).

    Examples
    --------
    >>> import selfloop as sl
    >>> shop = sl.simulate(n_visitors=2000, seed=7)
    >>> events = sl.read_events(shop.orders, shop.referrals, visits=shop.visits)
    >>> found = sl.compare_referred(events)
    >>> found.differences["measure"].tolist()
    ['conversion', 'repurchase', 'orders', 'value', 'refund_share', 'referrals']
    """
    Events.check(events)
    events.need("referrals", "compare_referred")
    check_whole("window_days", window_days, low=1)
    check_whole("lapse_days", lapse_days, low=1)
    check_number("min_at_risk", min_at_risk, low=1)
    buyers = events.engine.keep(buyers_within(events, int(window_days)), "within")
    compared, by_month = differences(events, buyers, int(window_days), min_at_risk)
    tenure = by_tenure(events, buyers, min_at_risk)
    along = clustering(buyers, min_at_risk)
    events.engine.drop(buyers)
    stay = staying(events, int(lapse_days), min_at_risk)
    return ReferredComparison(
        differences=compared,
        by_month=by_month,
        tenure=tenure,
        survival=stay.table,
        n_links=stay.n_links,
        hazard_ratio=stay.ratio.value,
        hazard_ratio_low=stay.ratio.low,
        hazard_ratio_high=stay.ratio.high,
        hazard_p_value=stay.ratio.p_value,
        hazard_reason=stay.reason,
        clustering=along,
        window_days=int(window_days),
        lapse_days=int(lapse_days),
        end=events.end,
    )
