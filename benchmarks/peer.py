"""The same work with pandas, lifetimes and networkx: one process, its steps timed.

In two styles, alike in what they do with pandas (ids are coded once, money is whole
cents) and different in what they do with the other two libraries:

- ``documented``: as their own documentation shows. lifetimes summarises the orders and
  fits all customers; networkx lists the descendants of each person.
- ``tuned``: the quickest way we know. The summary is taken from the customer-days, the
  buy-till-you-die model is fitted on its distinct rows with weights, and the network is
  walked once from the leaves to the roots.

Run by `run.py`: peer.py FOLDER STYLE RECORD STARTED.
"""

import json
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
from stopwatch import Stopwatch

# Importing lifetimes changes the filters of the whole process.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lifetimes import BetaGeoFitter, GammaGammaFitter
    from lifetimes.utils import summary_data_from_transaction_data

WINDOWS = (30, 90, 180, 365)
HORIZON_DAYS = 365
ATTRIBUTION_DAYS = 90
MIN_AT_RISK = 30
PAID = (
    "ads", "ad", "paid", "paid_search", "paid_social", "cpc", "ppc", "sem", "display",
    "affiliate", "广告", "付费", "投放", "信息流", "竞价", "直通车",
)  # fmt: skip

Walk = Callable[[nx.DiGraph, dict[int, int], dict[int, int]], pd.DataFrame]
"""Turns graph, generations and own spend into a table of the network."""


@dataclass(frozen=True)
class Shop:
    """What the steps share: customer-days, people by code, and referrals.

    Parameters
    ----------
    days : DataFrame
        person, day, at, cents, month: one row per customer-day, sorted.
    people : DataFrame
        One row per person, the index is the code of the id.
    links : DataFrame
        referrer, referee: the referrals that count.
    end_day : int
        Last observed day, in days since 1970-01-01.
    """

    days: pd.DataFrame
    people: pd.DataFrame
    links: pd.DataFrame
    end_day: int


def main(folder: Path, style: str, watch: Stopwatch) -> None:
    """Compute everything, write it as JSON; then hand over the numbers, untimed."""
    watch.step("reading")
    orders = pd.read_parquet(folder / "orders.parquet")
    referrals = pd.read_parquet(folder / "referrals.parquet")
    n_rows = len(orders)
    watch.step("ids and customer-days")
    orders, referrals, names = code_ids(orders, referrals)
    end_day = int(max(orders["day"].max(), referrals["day"].max()))
    days = customer_days(orders)
    watch.step("one row per person")
    people = one_row_per_person(orders, days, len(names))
    orders = orders[["person", "at", "cents"]] if style == "documented" else None
    watch.step("which referral counts")
    links = which_counts(referrals, people)
    people = with_source(people, links)
    shop = Shop(days, people, links, end_day)
    watch.step("funnel")
    rates = funnel(shop)
    watch.step("cohorts")
    triangle = cohorts(shop)
    watch.step("loop")
    months, r = loop_months(shop), reproduction(shop)
    watch.step("referral network")
    walk = descendants if style == "documented" else from_the_leaves
    network = referral_network(shop, walk)
    watch.step("lifetime value")
    rows = summary_of_days(shop) if orders is None else summary(orders, shop.end_day)
    model, expected = lifetime_value(rows, is_weighted=orders is None)
    watch.step("customer value")
    table = customer_table(shop, network, expected)
    watch.step("report")
    found = {
        "n_order_rows": n_rows,
        "n_people": len(names),
        **totals(shop, table),
        "rates": rates,
        "cohorts": triangle,
        "months": months,
        "r": r,
        **model,
        "generations": generations(shop, network),
    }
    top = table.nlargest(50, "social_value")
    with tempfile.TemporaryDirectory() as target:
        named = top.assign(id=names[top.index]).to_dict("list")
        text = json.dumps(found | {"advocates": named})
        (Path(target) / "report.json").write_text(text, encoding="utf-8")
        watch.step(None)
    watch.answer(found)


def code_ids(
    orders: pd.DataFrame, referrals: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.Index]:
    """Turn ids into codes, amounts into cents and times into days."""
    columns = [orders["customer_id"], referrals["referrer_id"], referrals["referee_id"]]
    codes, names = pd.factorize(pd.concat(columns, ignore_index=True))
    first, second = len(orders), len(orders) + len(referrals)
    coded = pd.DataFrame(
        {
            "person": codes[:first],
            "day": day_number(orders["ordered_at"]),
            "at": orders["ordered_at"],
            "cents": (orders["amount"] * 100).round().astype("int64"),
            "channel": orders["channel"].astype("category"),
        }
    )
    links = pd.DataFrame(
        {
            "referrer": codes[first:second],
            "referee": codes[second:],
            "day": day_number(referrals["referred_at"]),
            "at": referrals["referred_at"],
        }
    )
    return coded, links, names


def day_number(times: pd.Series) -> np.ndarray:
    """Return days since 1970-01-01."""
    return times.to_numpy().astype("datetime64[D]").astype("int64")


def month_number(times: pd.Series) -> np.ndarray:
    """Return months since 1970-01."""
    return times.to_numpy().astype("datetime64[M]").astype("int64")


def month_name(month: int) -> str:
    """Return a name such as 2024-01."""
    return str(np.datetime64(int(month), "M"))


def customer_days(orders: pd.DataFrame) -> pd.DataFrame:
    """Sum the orders of each customer and day; the first order gives the time."""
    days = orders.groupby(["person", "day"], as_index=False, sort=True).agg(
        at=("at", "min"), cents=("cents", "sum")
    )
    days["month"] = month_number(days["at"])
    return days


def one_row_per_person(
    orders: pd.DataFrame, days: pd.DataFrame, n_people: int
) -> pd.DataFrame:
    """Find first, second and last purchase, values and channel of everybody."""
    bought = days[days["cents"] > 0]
    by_person = bought.groupby("person")
    people = by_person.agg(
        first_day=("day", "first"),
        last_day=("day", "last"),
        first_month=("month", "first"),
        n_purchases=("day", "size"),
        bought_cents=("cents", "sum"),
        first_cents=("cents", "first"),
    )
    second = bought[by_person.cumcount() == 1].set_index("person")["day"]
    people["second_day"] = second
    people["repeat_cents"] = people.pop("bought_cents") - people.pop("first_cents")
    people = people.reindex(range(n_people))
    people["revenue_cents"] = days.groupby("person")["cents"].sum()
    zeros = ["n_purchases", "repeat_cents", "revenue_cents"]
    people[zeros] = people[zeros].fillna(0).astype("int64")
    earliest = orders.loc[orders.groupby("person")["at"].idxmin()]
    people["channel"] = earliest.set_index("person")["channel"]
    return people


def which_counts(referrals: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """Keep the first referral of each new customer, inside the window."""
    rows = referrals[referrals["referrer"] != referrals["referee"]]
    rows = rows.sort_values("at", kind="stable")
    rows = rows.drop_duplicates(["referrer", "referee"])
    lead = people["first_day"].to_numpy()[rows["referee"]] - rows["day"]
    rows = rows[lead.isna() | lead.between(0, ATTRIBUTION_DAYS)]
    rows = rows.drop_duplicates("referee")
    return rows[["referrer", "referee"]].reset_index(drop=True)


def with_source(people: pd.DataFrame, links: pd.DataFrame) -> pd.DataFrame:
    """Say where everybody came from."""
    channel = people.pop("channel")
    is_referred = np.zeros(len(people), dtype=bool)
    is_referred[links["referee"]] = True
    source = np.where(channel.isin(PAID), "paid", "organic")
    source = np.where(channel.isna(), "unknown", source)
    return people.assign(source=np.where(is_referred, "referral", source))


def funnel(shop: Shop) -> dict[str, float | None]:
    """Share who buy again and who bring a buyer within W, for all and by source."""
    buyers = shop.people[shop.people["n_purchases"] > 0]
    first = shop.people["first_day"].to_numpy()
    links = shop.links
    own, theirs = first[links["referrer"]], first[links["referee"]]
    success = pd.Series(theirs, links["referrer"])[theirs >= own].groupby(level=0).min()
    reached = {"repurchase": buyers["second_day"], "referral": success}
    followup = shop.end_day - buyers["first_day"]
    found: dict[str, float | None] = {}
    for stage, day in reached.items():
        rows = pd.DataFrame(
            {
                "days": day.reindex(buyers.index) - buyers["first_day"],
                "followup": followup,
                "source": buyers["source"],
            }
        )
        for segment, part in [("all", rows), *rows.groupby("source")]:
            for form, rate in (("within", kaplan_meier), ("matured", matured)):
                for window, share in rate(part).items():
                    found[f"{stage} {form} {segment} {window}"] = share
    return found


def kaplan_meier(rows: pd.DataFrame) -> dict[int, float | None]:
    """Estimate the share within each window from people followed unequally long."""
    event = rows["days"].notna()
    time = rows["days"].fillna(rows["followup"]).astype("int64")
    table = event.groupby(time).agg(["sum", "size"]).sort_index()
    at_risk = table["size"][::-1].cumsum()[::-1]
    cif = 1 - (1 - table["sum"] / at_risk).cumprod()
    found: dict[int, float | None] = {}
    for window in WINDOWS:
        known = int((time >= window).sum()) >= MIN_AT_RISK
        found[window] = float(cif.loc[:window].iloc[-1]) if known else None
    return found


def matured(rows: pd.DataFrame) -> dict[int, float | None]:
    """Count the share within each window among those followed that long."""
    found: dict[int, float | None] = {}
    for window in WINDOWS:
        days = rows["days"][rows["followup"] >= window]
        known = len(days) >= MIN_AT_RISK
        found[window] = float((days <= window).mean()) if known else None
    return found


def cohorts(shop: Shop) -> dict[str, int]:
    """Count who of each month's new buyers bought in each month after."""
    bought = shop.days.loc[shop.days["cents"] > 0, ["person", "month"]]
    # Sorted by person and day, so copies stand next to each other.
    active = bought[(bought != bought.shift()).any(axis=1)]
    first = shop.people["first_month"].to_numpy()[active["person"]].astype("int64")
    table = pd.crosstab(first, active["month"].to_numpy())
    last = int(np.datetime64(shop.end_day, "D").astype("datetime64[M]").astype(int))
    table = table.reindex(columns=range(int(table.index.min()), last + 1), fill_value=0)
    return {
        f"{month_name(cohort)}+{month - cohort}": int(n)
        for cohort, line in table.iterrows()
        for month, n in line.items()
        if month >= cohort
    }


def loop_months(shop: Shop) -> dict[str, float]:
    """Split the purchases and revenue of each month by what carried them."""
    days, people = shop.days, shop.people
    first = people["first_day"].to_numpy()[days["person"]]
    sources, names = pd.factorize(people["source"], sort=True)
    kinds = [f"first_{name}" for name in names] + ["repeat", "before"]
    kind = np.where(days["day"] > first, len(names), sources[days["person"]])
    kind = np.where(~(days["day"] >= first), len(names) + 1, kind)
    table = (
        pd.DataFrame({"n": days["cents"] > 0, "cents": days["cents"]})
        .groupby([days["month"], pd.Categorical.from_codes(kind, kinds)], observed=True)
        .sum()
        .unstack(fill_value=0)
    )
    table = table.reindex(range(table.index.min(), table.index.max() + 1), fill_value=0)
    wanted = ("repeat", "first_referral", "first_paid", "first_organic")
    found: dict[str, float] = {}
    for month, line in table.iterrows():
        name = month_name(month)
        for one in (*wanted, "first_unknown"):
            for what in ("n", "cents"):
                found[f"{name} {what} {one}"] = int(line.get((what, one), 0))
        carried = line["n"].get("repeat", 0) + line["n"].get("first_referral", 0)
        found[f"{name} share"] = float(carried / line["n"].sum())
    return found


def reproduction(shop: Shop) -> dict[str, float]:
    """Sum, over ages up to H, the buyers brought per buyer observed that long."""
    first = shop.people["first_day"].to_numpy()
    followup = shop.end_day - first[~np.isnan(first)].astype("int64")
    n_at_risk = np.bincount(followup)[::-1].cumsum()[::-1]
    age = first[shop.links["referee"]] - first[shop.links["referrer"]]
    age = age[age >= 0].astype("int64")
    mean = np.cumsum(np.bincount(age, minlength=n_at_risk.size) / n_at_risk)
    enough = [h for h in WINDOWS if h < mean.size and n_at_risk[h] >= MIN_AT_RISK]
    return {str(h): float(mean[h]) if h in enough else None for h in WINDOWS}


def referral_network(shop: Shop, walk: Walk) -> pd.DataFrame:
    """Find generation, descendants, their spend and the credit of everybody in it."""
    graph = nx.from_pandas_edgelist(
        shop.links, "referrer", "referee", create_using=nx.DiGraph
    )
    generation: dict[int, int] = {}
    for depth, nodes in enumerate(nx.topological_generations(graph)):
        generation.update(dict.fromkeys(nodes, depth))
    own = dict(enumerate(shop.people["revenue_cents"].tolist()))
    table = walk(graph, generation, own)
    # Half of what a referred person receives is passed on, with half of their own.
    share = np.where(table["generation"] > 0, 0.5, 1.0)
    return table.assign(social_cents=table.pop("passed") * share)


def descendants(
    graph: nx.DiGraph, generation: dict[int, int], own: dict[int, int]
) -> pd.DataFrame:
    """List the descendants of each person."""
    rows = []
    for node, depth in generation.items():
        under = nx.descendants(graph, node)
        below = sum(own[one] for one in under)
        # Each level between halves the part that arrives.
        passed = sum(own[one] * 0.5 ** (generation[one] - depth) for one in under)
        rows.append((node, depth, len(under), below, passed))
    columns = ["node", "generation", "reach", "below", "passed"]
    return pd.DataFrame(rows, columns=columns).set_index("node")


def from_the_leaves(
    graph: nx.DiGraph, generation: dict[int, int], own: dict[int, int]
) -> pd.DataFrame:
    """Add up from the last generation to the first, each link once."""
    reach, below = dict.fromkeys(generation, 0), dict.fromkeys(generation, 0)
    passed = dict.fromkeys(generation, 0.0)
    for node in reversed(generation):
        for above in graph.pred[node]:
            reach[above] += reach[node] + 1
            below[above] += below[node] + own[node]
            passed[above] += (own[node] + passed[node]) / 2
    return pd.DataFrame(
        {"generation": generation, "reach": reach, "below": below, "passed": passed}
    )


def summary(orders: pd.DataFrame, end_day: int) -> pd.DataFrame:
    """Summarise the orders of each customer with lifetimes."""
    rows = summary_data_from_transaction_data(
        orders.assign(amount=orders["cents"] / 100),
        "person",
        "at",
        monetary_value_col="amount",
        observation_period_end=np.datetime64(end_day, "D"),
    )
    return rows.astype({"frequency": "int64"})


def summary_of_days(shop: Shop) -> pd.DataFrame:
    """Take the same summary from what is known of each person."""
    buyers = shop.people[shop.people["n_purchases"] > 0]
    x = buyers["n_purchases"] - 1
    return pd.DataFrame(
        {
            "frequency": x,
            "recency": buyers["last_day"] - buyers["first_day"],
            "T": shop.end_day - buyers["first_day"],
            "monetary_value": buyers["repeat_cents"] / 100 / x.clip(lower=1),
        }
    )


def lifetime_value(
    rows: pd.DataFrame, *, is_weighted: bool
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Fit both models; predict every buyer's next year."""
    keys = ["frequency", "recency", "T"]
    flow, spend = BetaGeoFitter(), GammaGammaFitter()
    repeat = rows[rows["frequency"] > 0]
    # Fitting changes the filters of the whole process too.
    with warnings.catch_warnings():
        if is_weighted:
            distinct = rows.groupby(keys, as_index=False).size()
            flow.fit(*(distinct[key] for key in keys), weights=distinct["size"])
        else:
            flow.fit(*(rows[key] for key in keys))
        spend.fit(repeat["frequency"], repeat["monetary_value"])
    purchases = flow.conditional_expected_number_of_purchases_up_to_time(
        HORIZON_DAYS, *(rows[key] for key in keys)
    )
    order_value = spend.conditional_expected_average_profit(
        rows["frequency"], rows["monetary_value"]
    )
    alive = flow.conditional_probability_alive(*(rows[key] for key in keys))
    expected = pd.DataFrame(
        {
            "p_alive": alive,
            "expected_purchases": purchases,
            "expected_value": purchases * order_value,
        },
        index=rows.index,
    )
    # lifetimes keeps the mean over customers, in units of the longest age.
    scale = np.log(flow._scale) * float(rows["frequency"].sum())
    model = {
        "bg_nbd": flow.params_.to_dict(),
        "bg_nbd_log_likelihood": scale - flow._negative_log_likelihood_ * len(rows),
        "gamma_gamma": spend.params_.to_dict(),
        "gamma_gamma_log_likelihood": -spend._negative_log_likelihood_ * len(repeat),
    }
    return model, expected


def customer_table(
    shop: Shop, network: pd.DataFrame, expected: pd.DataFrame
) -> pd.DataFrame:
    """Put everything known of each customer into one table."""
    table = shop.people[["source", "n_purchases"]].join(expected).join(network)
    known = (table["n_purchases"] > 0) | table["reach"].notna()
    table = table[known].fillna({"reach": 0, "below": 0, "social_cents": 0})
    revenue = shop.people["revenue_cents"].reindex(table.index) / 100
    return table.assign(
        revenue=revenue,
        lifetime_value=revenue + table["expected_value"],
        network_value=table.pop("below") / 100,
        social_value=table.pop("social_cents") / 100,
    )


def totals(shop: Shop, table: pd.DataFrame) -> dict[str, float]:
    """Add up the whole."""
    n = shop.people["n_purchases"]
    added = ("p_alive", "expected_purchases", "expected_value")
    social = ("network_value", "social_value")
    return {
        "n_buyers": int((n > 0).sum()),
        "n_repeat_buyers": int((n > 1).sum()),
        "n_purchases": int(n.sum()),
        "revenue_cents": int(shop.people["revenue_cents"].sum()),
        "n_links": len(shop.links),
        "reach": int(table["reach"].sum()),
        **{name: float(table[name].sum()) for name in (*added, *social)},
    }


def generations(shop: Shop, network: pd.DataFrame) -> dict[str, int]:
    """Count people and buyers of each generation that somebody brought."""
    rows = network[network["generation"] > 0]
    bought = (shop.people["n_purchases"] > 0).reindex(rows.index)
    counted = bought.groupby(rows["generation"]).agg(people="size", buyers="sum")
    return {
        f"{depth} {what}": int(line[what])
        for depth, line in counted.iterrows()
        for what in ("people", "buyers")
    }


if __name__ == "__main__":
    place, way, record, started = sys.argv[1:]
    main(Path(place), way, Stopwatch(Path(record), started=float(started)))
