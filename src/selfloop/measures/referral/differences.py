"""What referred people do more or less of than others, within months of entry."""

from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from selfloop.core import schema
from selfloop.core.settings import MIN_AT_RISK
from selfloop.inputs.baskets import day_number
from selfloop.inputs.dialect import person_key
from selfloop.inputs.events import Events
from selfloop.kernels.stratified import (
    Estimate,
    RatioCells,
    holm,
    ratio_difference,
    share_difference,
    weights,
)
from selfloop.measures.periods import period_names, period_number


class _Measure(NamedTuple):
    """One thing that is compared: column, and the column it is divided by."""

    name: str
    column: str
    base: str | None
    is_share: bool


_CONVERSION = _Measure("conversion", "converted", None, is_share=True)

_OF_BUYERS = (
    _Measure("repurchase", "again", None, is_share=True),
    _Measure("orders", "orders", None, is_share=False),
    _Measure("value", "value", None, is_share=False),
    _Measure("refund_share", "refunds", "gross", is_share=False),
    _Measure("referrals", "referrals", None, is_share=False),
)


class _Group(NamedTuple):
    """Referred people or the others: sums by month of entry, months without too."""

    n: "pd.Series[int]"
    moments: pd.DataFrame

    def cells(self, measure: _Measure) -> RatioCells:
        """Return what a measure needs, by month; the base is 1 where there is none."""
        names = [f"{measure.column}_mean", f"{measure.column}_variance"]
        if measure.base:
            names += [f"{measure.base}_mean", f"{measure.base}_variance", "covariance"]
        found = [self.moments[name].to_numpy(np.float64) for name in names]
        n = self.n.to_numpy().astype(np.float64)
        if not measure.base:
            found += [np.ones_like(n), np.zeros_like(n), np.zeros_like(n)]
        return RatioCells(n, *found)


def differences(
    events: Events, buyers: ir.Table, window_days: int, min_at_risk: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare every measure; return the differences and what they are made of.

    Parameters
    ----------
    events : Events
        With referrals.
    buyers : ibis table
        Result of `enrichment.buyers_within`.
    window_days : int
        W, in days.
    min_at_risk : int
        Fewer people of a group than this: the measure is missing.

    Returns
    -------
    differences, by_month : DataFrame
        Columns of `schema.REFERRED_DIFFERENCES` and of `schema.REFERRED_MONTHS`.
    """
    conversion, months = _conversion(events, window_days, min_at_risk)
    groups = _groups(buyers, _OF_BUYERS)
    lines = [conversion]
    for measure in _OF_BUYERS:
        months.append(_months(groups, measure))
        lines.append(_line(groups, measure, min_at_risk))
    table = pd.DataFrame(lines, columns=schema.names("referred_differences"))
    table["p_adjusted"] = holm(table["p_value"].to_numpy(np.float64))
    counts = {c: "Int64" for c in table.columns if c.startswith("n_")}
    return table.astype(counts), pd.concat(months, ignore_index=True)


def _conversion(
    events: Events, window_days: int, min_at_risk: int
) -> tuple[dict[str, object], list[pd.DataFrame]]:
    """Compare conversion, or say why it cannot be compared."""
    missing: dict[str, object] = {"measure": "conversion", "p_value": np.nan}
    if "visits" not in events.has:
        return missing | {"reason": "no table of visits"}, []
    groups = _groups(_arrivals(events, window_days), (_CONVERSION,))
    referred = groups[0]
    n_bought = (referred.n * referred.moments["bought_mean"]).sum()
    n = int(referred.n.sum())
    if n >= MIN_AT_RISK and round(n_bought) == n:
        return missing | {"reason": "referrals only name people who bought"}, []
    line = _line(groups, _CONVERSION, min_at_risk)
    return line, [_months(groups, _CONVERSION)]


def _arrivals(events: Events, window_days: int) -> ir.Table:
    """List people by how they were first seen, before they could buy."""
    pairs = events.set_aside["referrals"]
    pairs = pairs.filter(pairs.code == "")
    pairs = pairs.mutate(person_no=person_key(pairs.referee_id))
    asked = pairs.group_by("person_no").aggregate(asked_at=pairs.referred_at.min())
    people = events.core.left_join(asked, "person_no").drop("person_no_right")
    people = people.mutate(entered_at=ibis.least(people.visited_at, people.asked_at))
    people = people.filter(people.entered_at.notnull())
    people = people.mutate(entered_day=day_number(people.entered_at))
    wait = people.first_day - people.entered_day
    people = people.filter(
        (wait.isnull() | (wait >= 0))
        & (people.entered_day <= events.end_day - window_days)
    )
    wait = people.first_day - people.entered_day
    no = ibis.literal(value=False)
    return people.select(
        month=period_number(people.entered_at, "month"),
        is_referred=(day_number(people.asked_at) == people.entered_day).fill_null(no),
        converted=(wait <= window_days).fill_null(no).cast("int32").cast("float64"),
        bought=wait.notnull().cast("int32").cast("float64"),
    )


def _groups(rows: ir.Table, measures: tuple[_Measure, ...]) -> tuple[_Group, _Group]:
    """Reduce people to moments by month of entry, referred people first."""
    parts = {"n": rows.count()}
    columns = {c for m in measures for c in (m.column, m.base) if c}
    if _CONVERSION in measures:
        columns.add("bought")
    for column in sorted(columns):
        parts[f"{column}_mean"] = rows[column].mean()
        parts[f"{column}_variance"] = rows[column].var(how="sample")
    for measure in measures:
        if measure.base:
            both = rows[measure.column].cov(rows[measure.base], how="sample")
            parts["covariance"] = both
    frame = rows.group_by("month", "is_referred").aggregate(**parts).to_pandas()
    months = pd.Index(sorted(frame["month"].unique()), name="month")
    groups = []
    for is_referred in (True, False):
        part = frame[frame["is_referred"] == is_referred].set_index("month")
        part = part.drop(columns="is_referred").reindex(months)
        groups.append(_Group(part["n"].fillna(0).astype("int64"), part))
    return groups[0], groups[1]


def _months(groups: tuple[_Group, _Group], measure: _Measure) -> pd.DataFrame:
    """Write what each month of entry says about a measure."""
    referred, others = (group.cells(measure) for group in groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        table = pd.DataFrame(
            {
                "measure": measure.name,
                "month": period_names(groups[0].n.index, "month"),
                "n_referred": groups[0].n.to_numpy(),
                "n_others": groups[1].n.to_numpy(),
                "referred": referred.mean / referred.base,
                "others": others.mean / others.base,
                "base_referred": np.where(referred.n > 0, referred.base, np.nan),
                "base_others": np.where(others.n > 0, others.base, np.nan),
                "weight": weights(referred.n, others.n),
            }
        )
    return table[schema.names("referred_months")]


def _line(
    groups: tuple[_Group, _Group], measure: _Measure, min_at_risk: int
) -> dict[str, object]:
    """Write the line of a measure, with the reason for what is missing."""
    referred, others = (group.cells(measure) for group in groups)
    used = weights(referred.n, others.n) > 0
    line: dict[str, object] = {
        "measure": measure.name,
        "n_referred": int(referred.n.sum()),
        "n_others": int(others.n.sum()),
        "referred": _whole(referred, min_at_risk),
        "others": _whole(others, min_at_risk),
        "n_strata": int(used.sum()),
    }
    for who, group in (("referred", referred), ("others", others)):
        n = int(group.n[used].sum())
        if n < min_at_risk:
            reason = f"{n} {who} in shared months, need {min_at_risk}"
            return line | {"p_value": np.nan, "reason": reason}
    found = _compared(referred, others, measure)
    reason = "" if np.isfinite(found.low) else "no interval: all alike"
    if np.isnan(found.value):
        reason = "no sales to take the share of"
    return line | {
        "difference": found.value,
        "difference_low": found.low,
        "difference_high": found.high,
        "p_value": found.p_value,
        "reason": reason,
    }


def _compared(referred: RatioCells, others: RatioCells, measure: _Measure) -> Estimate:
    """Compare two groups by the estimator of the measure."""
    if not measure.is_share:
        return ratio_difference(referred, others)
    hits = [np.rint(np.nan_to_num(g.n * g.mean)) for g in (referred, others)]
    return share_difference(referred.n, hits[0], n_second=others.n, hits_second=hits[1])


def _whole(group: RatioCells, min_at_risk: int) -> float:
    """Return mean, share or ratio of a whole group, or NaN of too few."""
    some = group.n > 0
    top = float(group.n[some] @ group.mean[some])
    bottom = float(group.n[some] @ group.base[some])
    enough = group.n.sum() >= max(min_at_risk, 1)
    return top / bottom if enough and bottom > 0 else np.nan
