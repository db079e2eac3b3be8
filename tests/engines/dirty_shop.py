"""A shop as it comes out of a database: all text, with every kind of bad row."""

import numpy as np
import pandas as pd

import selfloop as sl

END = "2025-11-30"
"""Last day of observation; some events lie after it."""

_DATES = (
    "%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y-%m-%dT%H:%M:%S.%f", "%Y%m%d%H%M%S",
    "%Y年%m月%d日 %H:%M:%S", "%Y.%m.%d %H:%M", "%d %b %Y", "%Y-%m-%dT%H:%M:%S+08:00",
    "%b %d, %Y", "%Y-%m-%d %H:%M:%SZ", "%Y%m%d", "%d/%m/%Y %H:%M",
    "  %Y-%m-%d %H:%M:%S\u3000",
)  # fmt: skip
_AMOUNTS = (
    "{:.2f}",
    "{:,.2f}",
    "¥{:.2f}",
    "{:.2f}元",
    "￥ {:,.2f}",
    " {:.4f}",
    "+{:.1f}",
)
_NO_DATES = ("2025-02-30", "soon", "1735689600000", "2025-13-01", "32/01/2025", "")
_NO_AMOUNTS = ("", "a lot", "1.234,50", "12,50", "--5", "1e400", "2e14")
_INFINITE = ("inf", "-Infinity", "INF")


def dirty_shop(n_visitors: int, *, seed: int = 7) -> dict[str, pd.DataFrame]:
    """Orders, referrals, visits and spend as text, in no order.

    About 2.4 orders a visitor; a few rows in a hundred are bad.
    """
    shop = sl.simulate(n_visitors=n_visitors, seed=seed)
    rng = np.random.default_rng(seed)
    orders = shop.orders.assign(
        ordered_at=_written(shop.orders["ordered_at"], rng),
        amount=_amounts(shop.orders["amount"].astype(float), rng),
        product=rng.choice(["tea", "TEA", "咖啡", "a\"b'c", "x;y,z"], len(shop.orders)),
    )
    orders = _spoiled(orders, "ordered_at", _NO_DATES, rng)
    orders = _spoiled(orders, "amount", _NO_AMOUNTS + _INFINITE, rng)
    orders = _spoiled(orders, "customer_id", ("", "NULL", "\u3000", "nan"), rng)
    refunds = orders.sample(frac=0.01, random_state=seed)
    refunds = refunds.assign(amount="-" + refunds["amount"].str.strip("+-¥￥ "))
    copies = orders.sample(frac=0.002, random_state=seed)
    orders = pd.concat([orders, refunds, copies])
    return {
        "orders": orders.sample(frac=1, random_state=seed, ignore_index=True),
        "referrals": _referrals(shop.referrals, rng),
        "visits": _spoiled(
            shop.visits.assign(visited_at=_written(shop.visits["visited_at"], rng)),
            "visitor_id",
            ("", "none"),
            rng,
        ),
        "spend": _spoiled(
            shop.spend.assign(
                date=shop.spend["date"].astype(str),
                spend=shop.spend["spend"].map("{:.2f}".format),
            ),
            "spend",
            ("-5", "x", "inf"),
            rng,
        ),
    }


def _referrals(referrals, rng):
    """Referrals with nobody, oneself, twice, others, too late, too early and rings."""
    n = len(referrals) // 50
    few = [referrals.sample(n, random_state=i) for i in range(6)]
    swapped = few[0].rename(
        columns={"referrer_id": "referee_id", "referee_id": "referrer_id"}
    )
    extra = [
        few[1].assign(referrer_id=few[1]["referee_id"]),
        few[2],
        few[3].assign(referrer_id=few[4]["referrer_id"].to_numpy()),
        few[5].assign(referred_at=few[5]["referred_at"] + pd.Timedelta(days=300)),
        few[4].assign(referred_at=few[4]["referred_at"] - pd.Timedelta(days=400)),
        swapped,
    ]
    ring = pd.DataFrame(
        {
            "referrer_id": ["ring a", "ring b", "ring c"],
            "referee_id": ["ring b", "ring c", "ring a"],
            "referred_at": pd.to_datetime(["2025-03-01", "2025-03-02", "2025-03-03"]),
        }
    )
    table = pd.concat([referrals, *extra, ring], ignore_index=True)
    table = table.assign(referred_at=_written(table["referred_at"], rng))
    table = _spoiled(table, "referrer_id", ("", "null"), rng)
    table = _spoiled(table, "referee_id", ("", "N/A"), rng)
    table = _spoiled(table, "referred_at", _NO_DATES, rng)
    return table.sample(frac=1, random_state=1, ignore_index=True)


def _written(times, rng):
    """Write each time in one of many ways."""
    which = rng.integers(0, len(_DATES), len(times))
    found = pd.Series("", index=times.index, dtype=object)
    for i, words in enumerate(_DATES):
        found[which == i] = times[which == i].dt.strftime(words)
    return found


def _amounts(amounts, rng):
    """Write each amount in one of many ways."""
    which = rng.integers(0, len(_AMOUNTS), len(amounts))
    pairs = zip(which, amounts, strict=True)
    return pd.Series([_AMOUNTS[i].format(x) for i, x in pairs], index=amounts.index)


def _spoiled(table, column, values, rng):
    """Put bad values into some rows of a column."""
    table = table.copy()
    table[column] = table[column].astype(object)
    chosen = rng.random(len(table)) < 0.005
    table.loc[chosen, column] = rng.choice(np.array(values, object), chosen.sum())
    return table
