"""Every sentence that people read in plots and reports, in English and Chinese."""

import tomllib
from importlib.resources import files
from string import Formatter
from typing import Literal

from selfloop.core.settings import check_choice

Lang = Literal["en", "zh"]

_TERMS: dict[str, dict[str, str]] = {
    "stage.traffic": {"en": "Traffic", "zh": "流量"},
    "stage.conversion": {"en": "Conversion", "zh": "转化"},
    "stage.repurchase": {"en": "Repurchase", "zh": "复购"},
    "stage.referral": {"en": "Referral", "zh": "转介绍"},
    "source.paid": {"en": "paid", "zh": "付费"},
    "source.organic": {"en": "organic", "zh": "自然到来"},
    "source.referral": {"en": "referred", "zh": "被推荐"},
    "source.direct": {"en": "not referred", "zh": "非推荐"},
    "source.unknown": {"en": "unknown", "zh": "来源未知"},
    "segment.all": {"en": "all", "zh": "全部"},
    "segment.missing": {"en": "(missing)", "zh": "（缺失）"},
    "segment.other": {"en": "(other)", "zh": "（其他）"},
    "unit.days": {"en": "{n} d", "zh": "{n} 天"},
    "unit.people": {"en": "people", "zh": "人"},
    "unit.currency": {"en": "currency of the orders", "zh": "订单货币"},
}

_PLOTS: dict[str, dict[str, str]] = {
    "plot.end": {"en": "data to {end}", "zh": "数据截至 {end}"},
    "plot.interval": {"en": "95 % interval", "zh": "95% 置信区间"},
    "plot.partial": {"en": "partial month", "zh": "不完整月份"},
    "plot.hatched": {"en": "hatched: partial month", "zh": "斜线：不完整月份"},
    "plot.no_data": {"en": "no data", "zh": "无数据"},
    "plot.no_visits": {
        "en": "needs the table of visits",
        "zh": "需要访问（流量）数据表",
    },
    "plot.no_referrals": {
        "en": "needs the table of referrals",
        "zh": "需要推荐关系数据表",
    },
    # funnel
    "funnel.title": {
        "en": "Funnel: reached within {window}",
        "zh": "漏斗：{window}内达成",
    },
    "funnel.axis": {
        "en": "share of those who could reach the stage (%)",
        "zh": "占可到达该阶段人数的比例（%）",
    },
    "funnel.matured": {
        "en": "observed at least {window}",
        "zh": "已观察满 {window}者",
    },
    "funnel.within": {
        "en": "everybody, by Kaplan-Meier",
        "zh": "全部人（Kaplan-Meier 估计）",
    },
    "funnel.traffic": {"en": "{n} people", "zh": "{n} 人"},
    "funnel.of_traffic": {"en": "of {n} arrivals", "zh": "占 {n} 位访客"},
    "funnel.of_conversion": {"en": "of {n} buyers", "zh": "占 {n} 位买家"},
    "funnel.count": {"en": "{reached} of {n}", "zh": "{n} 人中 {reached} 人"},
    "funnel.too_few": {
        "en": "only {n} observed for {window}",
        "zh": "观察满 {window}者仅 {n} 人",
    },
    # loop
    "loop.title": {"en": "The loop, within {window}", "zh": "自循环（{window}内）"},
    "loop.of_arrivals": {"en": "of arrivals", "zh": "占访客"},
    "loop.of_buyers": {"en": "of buyers", "zh": "占买家"},
    "loop.r": {"en": "R = {r}", "zh": "R = {r}"},
    "loop.r_meaning": {
        "en": "new buyers per buyer",
        "zh": "每位买家带来的新买家",
    },
    "loop.gain": {"en": "loop gain", "zh": "闭环增益"},
    "loop.gain_meaning": {
        "en": "customers per customer\nfrom outside, by R({window})",
        "zh": "每位外来客户最终形成的\n客户数，按 R（{window}）",
    },
    # self-circulation
    "circulation.title": {
        "en": "What carried each month",
        "zh": "每月订单从何而来",
    },
    "circulation.axis": {"en": "share of orders (%)", "zh": "占订单的比例（%）"},
    "circulation.month": {"en": "month", "zh": "月份"},
    "circulation.repeat": {"en": "repeat orders", "zh": "复购订单"},
    "circulation.first": {"en": "first orders, {source}", "zh": "首单：{source}"},
    "circulation.share_orders": {
        "en": "self-circulation, orders",
        "zh": "自循环率（订单）",
    },
    "circulation.share_revenue": {
        "en": "self-circulation, revenue",
        "zh": "自循环率（收入）",
    },
    "circulation.r": {
        "en": "strength of the loop: R({window}) = {r}",
        "zh": "循环强度：R（{window}）= {r}",
    },
    # reproduction
    "reproduction.title": {
        "en": "New buyers brought by one buyer",
        "zh": "每位买家带来的新买家",
    },
    "reproduction.axis": {
        "en": "new buyers per buyer, M(age)",
        "zh": "人均带来新买家数 M(a)",
    },
    "reproduction.age": {
        "en": "days since the buyer's first order; n = buyers observed that long",
        "zh": "距首次下单天数；n = 已观察到该天数的买家数",
    },
    "reproduction.curve": {"en": "M(age)", "zh": "M(a)"},
    "reproduction.naive": {
        "en": "referrals / buyers (biased low)",
        "zh": "推荐数 / 买家数（偏低）",
    },
    # cohorts
    "cohorts.title": {
        "en": "Share of each cohort that bought in a later month",
        "zh": "各首购月客户在之后各月再次购买的比例",
    },
    "cohorts.axis": {"en": "share active (%)", "zh": "活跃比例（%）"},
    "cohorts.age": {
        "en": "months since the first purchase",
        "zh": "距首次购买的月数",
    },
    "cohorts.cohort": {
        "en": "month of the first purchase",
        "zh": "首次购买月份",
    },
    "cohorts.size": {"en": "people", "zh": "人数"},
    # values
    "value.revenue_title": {
        "en": "What customers have spent so far",
        "zh": "客户至今消费分布",
    },
    "value.revenue_axis": {
        "en": "value to date ({currency})",
        "zh": "至今消费（{currency}）",
    },
    "value.title": {
        "en": "Lifetime value of a customer",
        "zh": "客户终身价值分布",
    },
    "value.axis": {"en": "lifetime value ({currency})", "zh": "终身价值（{currency}）"},
    "value.share": {"en": "share of the group (%)", "zh": "占该组客户的比例（%）"},
    "value.group": {"en": "{group} (n = {n})", "zh": "{group}（{n} 人）"},
    "value.source_title": {
        "en": "Lifetime value per buyer, by source",
        "zh": "各来源的人均终身价值",
    },
    "value.source_axis": {
        "en": "lifetime value per buyer ({currency})",
        "zh": "人均终身价值（{currency}）",
    },
    "social.title": {
        "en": "Own and social value, by tenth of customers",
        "zh": "各十分位客户的自身价值与社交价值",
    },
    "social.axis": {"en": "value to date ({currency})", "zh": "至今价值（{currency}）"},
    "social.decile": {
        "en": "tenth of customers by total value (1 = top)",
        "zh": "按总价值排序的十分位（1 = 最高）",
    },
    "social.kept": {"en": "own spending kept", "zh": "自身消费（留存部分）"},
    "social.social": {"en": "social value", "zh": "社交价值"},
    "social.revenue": {
        "en": "all own spending",
        "zh": "自身消费合计",
    },
    # referral tree
    "tree.title": {
        "en": "Referral tree of {root} (people: {n}, generations: {depth})",
        "zh": "{root} 的推荐树：{n} 人，{depth} 代",
    },
    "tree.part": {
        "en": "drawn: the {shown} with most descendants",
        "zh": "图中为后代最多的 {shown} 人",
    },
    "tree.root": {"en": "root", "zh": "起点"},
    "tree.success": {"en": "brought buyers", "zh": "带来了买家"},
    "tree.invited": {"en": "referred, nobody bought", "zh": "推荐过，无人购买"},
    "tree.leaf": {"en": "referred nobody", "zh": "未推荐他人"},
    # lifetime
    "lifetime.title": {
        "en": "{model}: parameters with 95 % intervals",
        "zh": "{model}：参数与 95% 置信区间",
    },
    "lifetime.axis": {
        "en": "estimate (log scale; time in units of {unit})",
        "zh": "估计值（对数坐标；时间单位 {unit}）",
    },
    "lifetime.undetermined": {
        "en": "not determined by the data",
        "zh": "数据无法确定",
    },
    "lifts.title": {"en": "{model}: lift of covariates", "zh": "{model}：协变量的影响"},
    "lifts.axis": {
        "en": "ratio to the reference (log scale)\nwith 95 % interval",
        "zh": "与对比组的比值（对数坐标）\n及 95% 置信区间",
    },
    "lifts.purchase rate": {"en": "purchase rate", "zh": "购买频率"},
    "lifts.leaving": {"en": "leaving", "zh": "流失"},
    "lifts.order value": {"en": "order value", "zh": "每次购买金额"},
    "lifts.level": {
        "en": "{name}: {level}\nvs {reference}",
        "zh": "{name}：{level}\n对比：{reference}",
    },
    "lifts.number": {"en": "{name}:\none unit more", "zh": "{name}：\n每增加 1"},
    "lifts.none": {"en": "fitted without covariates", "zh": "模型不含协变量"},
    "matrix.title": {
        "en": "Expected purchases in the next {window}",
        "zh": "未来 {window}的预期购买次数",
    },
    "matrix.alive_title": {
        "en": "Probability of still being a customer",
        "zh": "仍是客户的概率",
    },
    "matrix.expected": {"en": "expected purchases", "zh": "预期购买次数"},
    "matrix.alive": {"en": "P(alive) (%)", "zh": "P(alive)（%）"},
    "matrix.recency": {
        "en": "days from the first to the latest purchase\n(first purchase {age} ago)",
        "zh": "首购到最近一次购买的天数\n（首购于 {age}前）",
    },
    "matrix.count": {"en": "purchases so far", "zh": "至今购买次数"},
    "matrix.once": {"en": "bought once: {value}", "zh": "只买过一次：{value}"},
    "tracking.title": {
        "en": "{model}: repeat purchases per week",
        "zh": "{model}：每周复购次数",
    },
    "tracking.so_far_title": {
        "en": "{model}: repeat purchases to date",
        "zh": "{model}：累计复购次数",
    },
    "tracking.week": {
        "en": "last day of the week\nshaded: holdout, {window} after {at}",
        "zh": "每周最后一天\n阴影：{at} 之后的留出期，{window}",
    },
    "tracking.axis": {
        "en": "purchases of {n} known customers",
        "zh": "{n} 位已知客户的复购次数",
    },
    "tracking.actual": {"en": "actual", "zh": "实际"},
    "tracking.expected": {"en": "expected", "zh": "预期"},
    "tracking.short": {
        "en": "hollow: last week, {window} only",
        "zh": "空心：最后一周仅 {window}",
    },
    "calibration.title": {
        "en": "{model}: predicted and actual by tenth",
        "zh": "{model}：各十分位的预测与实际",
    },
    "calibration.purchases": {
        "en": "predicted purchases per customer, {window}\n"
        "(square-root scale; numbers: tenth, 1 = top)",
        "zh": "预测的人均购买次数，{window}\n（平方根坐标；数字为十分位，1 = 最高）",
    },
    "calibration.value": {
        "en": "predicted value per customer, {window}\n"
        "(square-root scale; numbers: tenth, 1 = top)",
        "zh": "预测的人均金额，{window}\n（平方根坐标；数字为十分位，1 = 最高）",
    },
    "calibration.actual_purchases": {
        "en": "actual purchases per customer",
        "zh": "实际的人均购买次数",
    },
    "calibration.actual_value": {
        "en": "actual ({currency})",
        "zh": "实际的人均金额（{currency}）",
    },
    "calibration.points": {
        "en": "tenth, 95 % interval",
        "zh": "十分位，95% 置信区间",
    },
    "calibration.diagonal": {"en": "actual = predicted", "zh": "实际 = 预测"},
    "calibration.no_spend": {"en": "no model of order values", "zh": "没有金额模型"},
    "frequencies.title": {
        "en": "{model}: purchases in the holdout",
        "zh": "{model}：留出期内的购买",
    },
    "frequencies.count": {
        "en": "purchases up to {at}\n(second row: customers)",
        "zh": "截至 {at} 的购买次数\n（第二行：客户数）",
    },
    "frequencies.axis": {
        "en": "purchases per customer, {window} after",
        "zh": "之后 {window}的人均购买次数",
    },
    "frequencies.predicted": {"en": "predicted", "zh": "预测"},
    "spend.title": {
        "en": "Mean repeat purchase of each customer",
        "zh": "各客户的平均复购金额",
    },
    "spend.axis": {
        "en": "mean repeat purchase ({currency})",
        "zh": "平均复购金额（{currency}）",
    },
    "spend.share": {
        "en": "share of {n} customers (%)",
        "zh": "占 {n} 位客户的比例（%）",
    },
    "spend.actual": {"en": "customers", "zh": "客户"},
    "spend.model": {"en": "Gamma-Gamma", "zh": "Gamma-Gamma 模型"},
    "comparison.title": {
        "en": "Models of purchases, by AIC",
        "zh": "购买模型比较（AIC）",
    },
    "comparison.axis": {
        "en": "AIC minus that of the chosen model\n"
        "(less is better; logarithmic beyond 10)",
        "zh": "AIC 与所选模型之差\n（越小越好；超过 10 为对数坐标）",
    },
    "comparison.chosen": {"en": "{model}\nchosen", "zh": "{model}\n所选"},
    "comparison.beside": {"en": "{model}\ncomparison only", "zh": "{model}\n仅供对照"},
    "comparison.failed": {"en": "does not fit", "zh": "无法拟合"},
    "comparison.score": {"en": "holdout\nlog score", "zh": "留出期\n对数得分"},
}

# The words of the report are many and hold no code: a file of their own.
_REPORT: dict[str, dict[str, str]] = tomllib.loads(
    files("selfloop.outputs").joinpath("report_texts.toml").read_text("utf-8")
)

TEXTS: dict[str, dict[str, str]] = {**_TERMS, **_PLOTS, **_REPORT}
"""Every text: key -> language -> sentence with ``{named}`` places."""


def text(key: str, lang: Lang = "en", **values: object) -> str:
    """Return a text of the catalogue in one language, its places filled.

    Parameters
    ----------
    key : str
        A key of `TEXTS`.
    lang : {"en", "zh"}, optional
        Language.
    **values
        What goes into the ``{named}`` places, formatted by the caller.

    Returns
    -------
    str

    Raises
    ------
    SettingError
        When the language is not one of the two.
    KeyError
        When there is no such key, or a place has no value.

    Examples
    --------
    >>> text("stage.referral", "zh")
    '转介绍'
    >>> text("plot.end", end="2024-12-31")
    'data to 2024-12-31'
    """
    check_choice("lang", lang, ("en", "zh"))
    return TEXTS[key][lang].format(**values)


def places(sentence: str) -> set[str]:
    """Return the names of the places of a sentence.

    Parameters
    ----------
    sentence : str
        A sentence of the catalogue.

    Returns
    -------
    set of str

    Examples
    --------
    >>> sorted(places("{reached} of {n}"))
    ['n', 'reached']
    """
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}
