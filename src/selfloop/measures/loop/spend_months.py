"""What advertising cost month by month, and how buyers moved with it."""

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from selfloop.core import schema
from selfloop.core.settings import CONFIDENCE
from selfloop.inputs.baskets import EPOCH
from selfloop.inputs.events import Events
from selfloop.kernels.rows import FloatArray

WINDOW_DAYS = 90
"""Days after arrival within which a purchase counts for the cost of a month."""

_MIN_MONTHS = 6


def spend_months(
    name: str, spend: pd.DataFrame, came: pd.DataFrame, events: Events
) -> pd.DataFrame:
    """Write spend, people and cost of a channel by month.

    Parameters
    ----------
    name : str
        Channel.
    spend : DataFrame
        day, spend.
    came : DataFrame
        day, n_arrived, n_buyers, n_soon: people who came through it, those who bought,
        and those who did within `WINDOW_DAYS`.
    events : Events
        What was observed.

    Returns
    -------
    DataFrame
        Columns of `schema.SPEND_MONTHS`.
    """
    sums = []
    for table, columns in (
        (spend, ["spend"]),
        (came, ["n_arrived", "n_buyers", "n_soon"]),
    ):
        month = table["day"].to_numpy().astype("datetime64[D]").astype("datetime64[M]")
        sums.append(table.groupby(month)[columns].sum())
    both = sums[0].join(sums[1], how="outer").fillna(0)
    lines = [
        _month(name, np.datetime64(month), row, events)
        for month, (_, row) in zip(both.index.to_numpy(), both.iterrows(), strict=True)
    ]
    return pd.DataFrame(lines, columns=schema.names("spend_months"))


def _month(
    name: str, month: np.datetime64, row: "pd.Series[float]", events: Events
) -> dict[str, object]:
    """Write one month; its buyers only when all had the time."""
    month = month.astype("datetime64[M]")
    last = ((month + 1).astype("datetime64[D]") - 1).astype(np.int64)
    first = month.astype("datetime64[D]").astype(np.int64)
    has_visits = "visits" in events.has
    line: dict[str, object] = {
        "month": str(month),
        "channel": name,
        "spend": row["spend"],
        "n_arrived": int(row["n_arrived"]) if has_visits else pd.NA,
        "window_days": WINDOW_DAYS if has_visits else pd.NA,
        "reason": "",
    }
    if has_visits and row["n_arrived"]:
        line["cost_per_visitor"] = row["spend"] / row["n_arrived"]
    if first < (events.start - EPOCH).days:
        return line | {"reason": "the month had begun before the data"}
    needed = last + (WINDOW_DAYS if has_visits else 0)
    if needed > events.end_day:
        why = f"{WINDOW_DAYS} days after the month are" if has_visits else "it is"
        return line | {"reason": f"{why} not observed to the end"}
    n_buyers = int(row["n_soon"])
    line["n_buyers"] = n_buyers
    if not n_buyers:
        return line | {"reason": "nobody who came in the month bought"}
    return line | {"cac": row["spend"] / n_buyers}


def spend_trend(name: str, months: pd.DataFrame, cac: float) -> dict[str, object]:
    """Say how cost moves with time, and buyers with spend, over whole months.

    Parameters
    ----------
    name : str
        Channel.
    months : DataFrame
        Result of `spend_months`.
    cac : float
        Cost of a buyer of the channel.

    Returns
    -------
    dict
        Columns of `schema.SPEND_TRENDS`.
    """
    good = months[months["cac"].notna() & (months["spend"] > 0)]
    line: dict[str, object] = {"channel": name, "n_months": len(good), "reason": ""}
    if len(good) < _MIN_MONTHS:
        why = f"{len(good)} whole months with spend and buyers, need {_MIN_MONTHS}"
        return line | {"reason": why}
    time = good["month"].to_numpy().astype("datetime64[M]").astype(np.float64)
    spend, buyers = (np.log(good[c].to_numpy(float)) for c in ("spend", "n_buyers"))
    slope, reach = _slope(time, spend - buyers)
    line |= {
        "cac_ratio": np.exp(slope),
        "cac_ratio_low": np.exp(slope - reach),
        "cac_ratio_high": np.exp(slope + reach),
    }
    if np.ptp(spend) < np.log(1.1):
        return line | {"reason": "spend varies by less than 10 % between months"}
    slope, reach = _slope(spend, buyers)
    line |= {
        "elasticity": slope,
        "elasticity_low": slope - reach,
        "elasticity_high": slope + reach,
    }
    if not slope - reach > 0:
        return line | {"reason": "more spend is not seen to bring more buyers"}
    return line | {"marginal_cac": cac / slope}


def _slope(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Return the slope of a straight line and half the width of its interval."""
    x, y = x - x.mean(), y - y.mean()
    slope = float((x @ y) / (x @ x))
    freedom = x.size - 2
    error = np.sqrt(((y - slope * x) ** 2).sum() / freedom / (x @ x))
    return slope, float(stdtrit(freedom, (1 + CONFIDENCE) / 2) * error)
