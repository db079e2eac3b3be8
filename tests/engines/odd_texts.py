"""Orders whose times and amounts are written in every way that anybody came upon."""

import numpy as np
import pandas as pd

_DAYS = (
    "{y:04d}-{m:02d}-{d:02d}", "{y}-{m}-{d}", "{y}/{m}/{d}", "{y}/{m:02d}/{d:02d}",
    "{d}/{m}/{y}", "{d:02d}.{m:02d}.{y}", "{d}-{m}-{y}", "{y}.{m}.{d}",
    "{y}年{m}月{d}日", "{y:04d}{m:02d}{d:02d}", "{d} Mar {y}", "Feb {d}, {y}",
    "{d}-jan-{y}", "MAR {d} {y}", "{y}/{m}-{d}", "{d} March {y}",
)  # fmt: skip
_CLOCKS = (
    "", "", "", " {h:02d}:{i:02d}", "T{h:02d}:{i:02d}:{s:02d}", " {h}:{i}:{s}",
    "T{h:02d}:{i:02d}:{s:02d}.123", " {h:02d}:{i:02d}:{s:02d}.1234567",
    " {h}:{i:02d} pm", " {h}:{i:02d}:{s:02d} AM", "T{h:02d}:{i:02d}:{s:02d}Z",
    " {h:02d}:{i:02d}:{s:02d}+08:00", " {h:02d}:{i:02d}:{s:02d} +0530",
    " {h:02d}:{i:02d} UTC", " {h:02d}:{i:02d}:{s:02d}-03",
    " {h:02d}:{i:02d}:{s:02d}+0800", " {h:02d}:{i:02d}:{s:02d}+08:00",
    "{h:02d}时{i:02d}分{s:02d}秒", "  {h:02d}:{i:02d}", " {h:02d}:{i:02d}+1430",
    "{h:02d}{i:02d}{s:02d}",
)  # fmt: skip
_AMOUNTS = ("{:.2f}", "{:,.2f}", "{:.5f}", "{:.0f}", "{:,.0f}", "{:e}")
_LITERALS = (
    "", "epoch", "nan", "NULL", "  2026-01-05 ", "\u30002026-1-5\ufeff", "1735689600",
    "1735689600000", "2026-02-29", "2024-02-29", "infinity", "now", "today",
    "９/9/2026", "2026-01-05 24:00", "2026-01-05 24:00:00.5", "2026-13-01",
    "2026-01-05 10:30:00 GMT",
)  # fmt: skip
_SUMS = (
    "", "inf", "-Infinity", "nan", "1e3", "1E+2", "1e-3", "99999999999999.9999",
    "99999999999999.99995", "100000000000000", "0.00005", "-0.00015", "1_000", "0x10",
    "１２", "12.", ".", " .5", "1 234 567.5", "1,234,5", "--5", "1e100", "2E-6654",
    "1.459062e+14", "915E+1.", "elf", "5f", "1v", "\t7\n", "¥-5", "-¥5", "¥¥5",
)  # fmt: skip


def odd_texts(n: int, *, seed: int = 3) -> pd.DataFrame:
    """Orders with a customer each; most of their times and amounts cannot be read."""
    rng = np.random.default_rng(seed)

    def pick(values):
        return values[rng.integers(len(values))]

    def time():
        number = {
            "y": pick((2024, 2025, 2026, 1999, 26, 98, 1600, 2300)),
            "m": rng.integers(0, 13),
            "d": rng.integers(0, 33),
            "h": pick((*range(26), 24, 24)),
            "i": pick((*range(0, 61, 7), 0, 0)),
            "s": pick((*range(0, 62, 7), 0, 0)),
        }
        return (pick(_DAYS) + pick(_CLOCKS)).format(**number)

    def amount():
        if rng.random() < 0.3:
            letters = rng.choice(list("0123456789.- ¥元￥+eE'"), rng.integers(1, 9))
            return "".join(letters)
        number = pick(_AMOUNTS).format(rng.uniform(0, 10.0 ** rng.integers(1, 17)))
        return (
            pick(("", "-", "+", "¥", "$ ", "￥")) + number + pick(("", "", "元", " €"))
        )

    times = [*_LITERALS, *(time() for _ in range(n - len(_LITERALS)))]
    amounts = [*_SUMS, *(amount() for _ in range(n - len(_SUMS)))]
    amounts = [text.replace("$", "¥").replace("€", "¥") for text in amounts]
    return pd.DataFrame(
        {
            "customer_id": [f"c{i:05d}" for i in range(n)],
            "ordered_at": times,
            "amount": rng.permutation(np.array(amounts, object)),
        }
    )
