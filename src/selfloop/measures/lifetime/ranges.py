"""How sure the prediction of each buyer is, and what one of them may do."""

import math

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from selfloop.core.errors import SettingError
from selfloop.kernels.intervals import normal_quantile
from selfloop.kernels.rows import FloatArray
from selfloop.measures.lifetime.flow import histories, ratio
from selfloop.measures.lifetime.forecast import Forecast
from selfloop.measures.lifetime.population import KEYS, Population
from selfloop.measures.lifetime.quantiles import count_quantiles, value_quantiles

MOST = 0.9999
"""Highest confidence of a range of what a customer may do: its ends lie far above the
probability of the purchases that are left out of it."""


def intervals(forecast: Forecast, whom: Population, *, confidence: float) -> ir.Table:
    """Say how sure the expectations of each buyer are, and what may happen.

    Parameters
    ----------
    forecast : Forecast
        What to ask.
    whom : Population
        The buyers.
    confidence : float
        Confidence level, above 0 and below 1.

    Returns
    -------
    ibis table
        person_id and the columns of `schema.LIFETIME_INTERVALS`.

    Notes
    -----
    P(alive) by the delta method on its log odds, expected purchases on their log.
    Counts and money are quantiles of what the model says may happen, at the estimated
    parameters; chance outweighs what is not known of the parameters.
    """
    z = normal_quantile(confidence)
    if confidence > MOST:
        raise SettingError(
            f"confidence must be at most {MOST} for each customer; got {confidence!r}"
        )
    triples = whom.triples
    rows = histories(triples, forecast.unit_days)
    part = forecast.purchases
    params = part.params(part.values, triples.design)
    found = forecast.flow(part.values, rows, triples.design)
    expected = found.p_alive * found.if_alive

    def both(values: FloatArray) -> FloatArray:
        """Return P(alive) and expected purchases under other parameters."""
        other = forecast.flow(values, rows, triples.design)
        return np.concatenate([other.p_alive, other.p_alive * other.if_alive])

    errors = np.sqrt(part.variance(both, 2 * expected.size))
    alive_low, alive_high = _on_odds(found.p_alive, z * errors[: expected.size])
    with np.errstate(over="ignore"):  # nothing expected: the factor does not matter
        factor = np.exp(ratio(z * errors[expected.size :], expected, otherwise=0.0))
    levels = ((1 - confidence) / 2, (1 + confidence) / 2)
    shared = {"p_alive": found.p_alive, "horizon": forecast.horizon, "levels": levels}
    n_low, n_high = count_quantiles(forecast.kernel, params, rows, **shared)  # type: ignore[arg-type]
    columns = {
        "p_alive": found.p_alive,
        "p_alive_low": alive_low,
        "p_alive_high": alive_high,
        "expected_purchases": expected,
        "expected_purchases_low": expected / factor,
        "expected_purchases_high": expected * factor,
        "n_purchases_low": n_low,
        "n_purchases_high": n_high,
    }
    money = np.full((3, expected.size), math.nan)
    if forecast.spend is not None:
        kernel, v = forecast.spend_params(forecast.spend.values, triples.design)
        low, high = value_quantiles(
            forecast.kernel, params, rows, spend=kernel, **shared  # type: ignore[arg-type]
        )  # fmt: skip
        scale = ratio(found.discounted, found.if_alive) * forecast.money_factor
        money = np.stack([low * scale, high * scale, np.broadcast_to(v, low.shape)])
    names = ("low_unit", "high_unit", "spend_v")
    columns |= dict(zip(names, money, strict=True))
    keys = dict(
        zip(KEYS, (triples.n_purchases.astype(np.int32), *triples[1:3]), strict=True)
    )
    table = whom.events.engine.upload(
        pa.table(keys | whom.values | columns), "intervals"
    )
    people = whom.people.select("person_id", "repeat_value", *whom.keys)
    people = people.inner_join(table, list(whom.keys))
    unit = people.repeat_value + people.spend_v
    return people.mutate(
        value_low=people.low_unit * unit, value_high=people.high_unit * unit
    )


def _on_odds(share: FloatArray, reach: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the ends of an interval of a share that is symmetric in its log odds."""
    inside = (share > 0) & (share < 1)
    safe = np.where(inside, share, 0.5)
    slope = np.where(inside, reach, 0.0) / (safe * (1 - safe))
    odds = np.log(safe) - np.log1p(-safe)
    low, high = (
        1 / (1 + np.exp(-np.clip(odds + s * slope, -700, 700))) for s in (-1, 1)
    )
    return np.where(inside, low, share), np.where(inside, high, share)
