"""MBG/NBD: BG/NBD in which the first purchase may be the last.

After each purchase, the first one included, the customer leaves for good with
probability p; all else is as in `bg_nbd`, whose functions this model shares with
m = 1. Where BG/NBD holds that everybody without a repeat purchase is still there,
here their silence counts against them.

References
----------
E. P. Batislam, M. Denizel and A. Filiztekin, Empirical validation and comparison of
models for customer base analysis, International Journal of Research in Marketing
24(3), 2007.
D. Hoppe and U. Wagner, Customer Base Analysis: The Case for a Central Variant of the
Betageometric/NBD Model, Marketing - Journal of Research and Management 3(2), 2007.

Examples
--------
>>> cdnow = BgNbd(0.524843, 6.183086, 0.891359, 1.614002)
>>> float(MODEL.p_alive(cdnow, x=0, recency=0, age=38.86).round(6))
0.389715
>>> float(MODEL.expected_new(cdnow, 52).round(6))
1.418885
"""

from functools import partial

from selfloop.kernels import bg_future, bg_nbd
from selfloop.kernels.bg_nbd import BgNbd
from selfloop.kernels.purchase_model import PurchaseModel

MODEL = PurchaseModel(
    name="mbg_nbd",
    label="MBG/NBD",
    parameters=BgNbd._fields,
    times=("alpha",),
    each=partial(bg_nbd.each, first_dropout=1),
    objective=partial(bg_nbd.objective, first_dropout=1),
    starts=bg_nbd.starts,
    p_alive=partial(bg_nbd.p_alive, first_dropout=1),
    expected_if_alive=partial(bg_future.expected_if_alive, first_dropout=1),
    pmf_if_alive=partial(bg_future.pmf_if_alive, first_dropout=1),
    draw_if_alive=partial(bg_future.draw_if_alive, first_dropout=1),
    purchase_rate=("alpha", -1),
    dropout=("a", 1),
    one_time_may_leave=True,
)
"""MBG/NBD as one of the models of purchases."""
