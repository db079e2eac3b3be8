"""What the command line says beside the tables, in English and Chinese."""

from selfloop.cli.manner import Lang, PageLang

SENTENCES: dict[str, dict[Lang, str]] = {
    "wrote": {"en": "wrote {files}", "zh": "已写入 {files}"},
    "unreadable": {
        "en": "warning: {n} rows cannot be read and are left out",
        "zh": "警告：{n} 行无法读取，未计入",
    },
    "notes": {"en": "notes on the data: {n}", "zh": "数据说明 {n} 条"},
    "missing": {"en": "not computed: {parts}", "zh": "未能计算：{parts}"},
    "next": {"en": "next: {command}", "zh": "下一步：{command}"},
    "see": {"en": "see: {command}", "zh": "查看：{command}"},
    "top": {
        "en": "the top {shown} of {n} people by {column}; -o writes all of them",
        "zh": "按 {column} 排序的前 {shown} 人，共 {n} 人；用 -o 写出全部",
    },
    "one_table": {
        "en": "this is the table {name}; for others: --table {others}",
        "zh": "这是表 {name}；其他表：--table {others}",
    },
    "first_ages": {
        "en": "{column} at ages 0 to {last}, in periods since the first purchase; all "
        "of them with --format csv; * still running",
        "zh": "{column}，首购后第 0 至 {last} 期；全部期数用 --format csv；* 为未完结",
    },
    "balance": {
        "en": "{read} rows read = {used} used + {set_aside} set aside by a rule + "
        "{rejected} that cannot be read",
        "zh": "读入 {read} 行 = 使用 {used} + 按规则搁置 {set_aside} + "
        "无法读取 {rejected}",
    },
    "amounts": {
        "en": "; amount {read} = {used} + {set_aside} + {rejected}",
        "zh": "；金额 {read} = {used} + {set_aside} + {rejected}",
    },
    "passed": {"en": "every row can be read", "zh": "所有行均可读取"},
    "no_failures": {
        "en": "every row can be read: nothing to write",
        "zh": "所有行均可读取：没有需要写出的行",
    },
    "malformed": {
        "en": "{table}: {n} lines without the fields of the header are not in the "
        "file; the first: {examples}",
        "zh": "{table}：{n} 行的列数与表头不符，未写入文件；最前面的：{examples}",
    },
    "guessed": {
        "en": "read as {table}; if it is not: --table orders|referrals|visits|spend",
        "zh": "按 {table} 识别；如不对：--table orders|referrals|visits|spend",
    },
    "drawn": {
        "en": "{people} people, {buyers} buyers, {orders} orders; true R {r}",
        "zh": "{people} 人，{buyers} 位买家，{orders} 笔订单；真实 R 为 {r}",
    },
    "differ": {
        "en": "{n} of {all} segments and stages differ within {days} days, all "
        "comparisons allowed for; --table differences has all",
        "zh": "{days} 天内，{all} 项比较中有 {n} 项差异显著（已按比较次数校正）；"
        "全部见 --table differences",
    },
    "legend": {"en": "columns: {columns}", "zh": "列说明：{columns}"},
}
"""Sentences of the command line: key -> language -> text with ``{named}`` places."""

TITLES: dict[str, dict[Lang, str]] = {
    "funnel": {"en": "Funnel", "zh": "漏斗"},
    "cohorts": {"en": "Cohorts", "zh": "群组"},
    "loop": {"en": "Loop", "zh": "自循环"},
    "customers": {"en": "Customers", "zh": "客户"},
    "validate": {"en": "Rows of the input", "zh": "输入数据的去向"},
    "columns": {"en": "Columns", "zh": "列的识别"},
    "stages": {"en": "so far", "zh": "至今"},
    "stand": {"en": "segments that differ", "zh": "有差异的分组"},
    "repurchase": {"en": "Buying again", "zh": "再次购买"},
    "ladder": {
        "en": "from purchase to purchase, within 90 days",
        "zh": "一次接一次的购买（90 天内）",
    },
    "remind": {"en": "when to remind them", "zh": "何时提醒"},
    "returning": {
        "en": "three rates that are often confused",
        "zh": "三种常被混淆的比率",
    },
    "segments": {"en": "Customers by state", "zh": "客户分群"},
    "rfm": {"en": "by recency and frequency", "zh": "按最近购买与次数（RFM）"},
    "after": {"en": "what they did since that day", "zh": "该日之后的行为"},
    "lifecycle": {"en": "active, dormant and lost", "zh": "活跃、休眠与流失"},
    "concentration": {"en": "who brings the revenue", "zh": "收入集中度"},
    "since": {"en": "since", "zh": "自"},
    "products": {"en": "Products", "zh": "商品"},
    "due": {"en": "Due to buy again", "zh": "该复购的客户"},
    "stuck": {"en": "Not there yet", "zh": "尚未到达者"},
    "compare": {"en": "Two reports", "zh": "两份报告对比"},
    "first": {"en": "first", "zh": "前一次"},
    "second": {"en": "second", "zh": "后一次"},
    "windows": {"en": "within W days", "zh": "W 天之内"},
    "reproduction": {"en": "R(H)", "zh": "R(H)：人均带来的新买家"},
    "months": {"en": "what carried each month", "zh": "每月订单从何而来"},
    "lineage": {"en": "what came of whom nobody brought", "zh": "非推荐来者的后续"},
    "outlook": {"en": "Outlook", "zh": "展望"},
    "value": {"en": "what people are worth", "zh": "各来源的人值多少"},
    "mend": {"en": "which stage to mend", "zh": "该改进哪一环"},
    "ahead": {"en": "all months to come", "zh": "未来各月合计"},
    "what_if": {"en": "what if", "zh": "假设达成目标"},
    "cost": {"en": "what advertising costs and returns", "zh": "广告的成本与回报"},
    "cascades": {"en": "how far one buyer leads", "zh": "一位买家带出多少人"},
    "audit": {"en": "reasons", "zh": "原因"},
    "notes": {"en": "notes", "zh": "说明"},
    "orders": {"en": "orders", "zh": "订单"},
    "referrals": {"en": "referrals", "zh": "推荐"},
    "visits": {"en": "visits", "zh": "访问"},
    "spend": {"en": "spend", "zh": "投放"},
    "period": {"en": "period", "zh": "期间"},
    "by": {"en": "by", "zh": "分组"},
    "r": {"en": "reproduction number R", "zh": "再生数 R"},
    "gain": {
        "en": "customers per customer from outside",
        "zh": "每位外来客户最终形成的客户数",
    },
    "share_orders": {
        "en": "self-circulation share, orders",
        "zh": "自循环率（订单）",
    },
    "share_revenue": {
        "en": "self-circulation share, revenue",
        "zh": "自循环率（收入）",
    },
    "seeding": {
        "en": "referrals by people who had not bought",
        "zh": "尚未购买者带来的推荐",
    },
    "order": {"en": "order", "zh": "排序"},
    "lifetime_value": {"en": "Lifetime value", "zh": "客户终身价值"},
    "model": {"en": "model", "zh": "模型"},
    "horizon": {"en": "days to come", "zh": "未来天数"},
    "purchases_ahead": {
        "en": "purchases of all buyers, 95 %",
        "zh": "全部买家的购买次数（95%）",
    },
    "value_ahead": {"en": "their value, 95 %", "zh": "其价值（95%）"},
    "new_purchases": {
        "en": "purchases of a new buyer, mean",
        "zh": "新买家的购买次数（均值）",
    },
    "new_value": {"en": "their value, mean", "zh": "其价值（均值）"},
    "links": {"en": "referrals that count", "zh": "有效推荐"},
    "referrers": {"en": "people who referred", "zh": "推荐过的人"},
    "k_factor": {
        "en": "K so far: invitations x conversion",
        "zh": "至今的 K：人均邀请 x 转化",
    },
    "brought_ahead": {
        "en": "buyers to be brought, 95 %",
        "zh": "将带来的买家（95%）",
    },
    "one_more": {
        "en": "worth of one more, 95 %",
        "zh": "每多一位的价值（95%）",
    },
    "grid": {"en": "four kinds of customers", "zh": "四类客户"},
    "generations": {"en": "generations", "zh": "推荐层级"},
    "times": {"en": "how long it takes", "zh": "需要多久"},
    "differences": {
        "en": "referred people beside others",
        "zh": "被推荐的人与其他人",
    },
    "rules": {"en": "worth a look", "zh": "值得核查"},
    "parameters": {"en": "parameters", "zh": "参数"},
    "comparison": {"en": "models of purchases", "zh": "购买模型对比"},
    "scores": {"en": "backtest", "zh": "回测"},
}  # fmt: skip
"""Titles and labels."""

COLUMNS_ZH: dict[str, str] = {
    "segment": "分组", "segment_2": "次级分组",
    "n_overall": "到来且观察满期人数", "n_overall_reached": "其中逐环节按期到达",
    "share_overall": "占到来者比例", "stage": "阶段", "n_entered": "可到达人数",
    "n_reached": "已到达人数", "share_so_far": "至今比例", "median_days": "中位天数",
    "window_days": "窗口 W", "n_matured": "观察满 W 天人数",
    "n_matured_reached": "其中 W 天内到达", "n_open": "尚未到期人数",
    "share_matured": "满期者中的比例", "n_at_risk": "仍在观察人数",
    "share_within": "W 天内比例（Kaplan-Meier）", "reason": "原因",
    "cohort": "首购期", "age": "距首购期数", "n_people": "人数",
    "n_active": "当期购买人数", "share_active": "活跃比例", "status": "是否完结",
    "share_active_since_so_far": "当期及以后购买比例（至今）",
    "n_orders_cumulative": "累计购买次数", "revenue_cumulative": "累计收入",
    "value_per_customer": "人均累计收入", "n_cohorts": "群组数",
    "orders_per_customer": "人均购买次数", "revenue_per_customer": "人均收入",
    "orders_cumulative_per_customer": "人均累计购买次数",
    "std_error": "标准误", "std_error_mack": "标准误（Mack）",
    "factor": "发展因子",
    "month": "月份", "n_orders": "购买次数", "n_repeat": "复购",
    "n_first_referral": "首购：被推荐", "n_first_paid": "首购：付费",
    "n_first_organic": "首购：自然", "n_first_unknown": "首购：未知",
    "share_orders": "自循环率（订单）", "revenue": "收入",
    "revenue_repeat": "复购收入", "revenue_first_referral": "首购收入：被推荐",
    "revenue_first_paid": "首购收入：付费", "revenue_first_organic": "首购收入：自然",
    "revenue_first_unknown": "首购收入：未知", "revenue_before": "首购之前的退款",
    "revenue_guests": "散客收入", "share_revenue": "自循环率（收入）",
    "horizon_days": "天数 H", "n_buyers": "买家", "n_observed": "观察满 H 天的买家",
    "n_referrals": "成功推荐", "r": "R", "k_naive": "推荐数 / 买家数（偏低）",
    "age_days": "距首购天数", "person_id": "客户", "source": "来源", "channel": "渠道",
    "generation": "推荐代数", "first_order_at": "首购时间", "n_purchases": "购买次数",
    "p_alive": "仍活跃概率", "expected_purchases": "预期购买次数",
    "expected_value": "预期价值", "lifetime_value": "终身价值", "n_invited": "推荐人数",
    "n_referred": "其中已购买", "reach": "全部后代", "direct_value": "直接带来消费",
    "network_value": "全部后代消费", "given_value": "记给推荐人的消费",
    "social_value": "社交价值", "total_value": "总价值",
    "table": "表", "code": "代码", "outcome": "去向", "n_rows": "行数",
    "amount": "金额", "examples": "示例", "fix": "处理办法", "note": "说明",
    "n_read": "读入行数", "n_used": "使用", "n_set_aside": "搁置",
    "n_rejected": "无法读取", "amount_read": "读入金额", "amount_used": "使用金额",
    "amount_set_aside": "搁置金额", "amount_rejected": "无法读取金额",
    "column": "列", "role": "角色", "need": "是否必需", "how": "识别方式",
    "example": "首个值", "map": "指定方法",
    "parameter": "参数", "estimate": "估计", "standard_error": "标准误", "low": "下限",
    "high": "上限", "model": "模型", "label": "模型名称", "n_parameters": "参数个数",
    "log_likelihood": "对数似然", "aic": "AIC", "aic_above_best": "AIC 差（与所选比）",
    "bic": "BIC", "holdout_log_score": "留出对数得分", "holdout_error": "留出总误差",
    "holdout_mae": "留出平均绝对误差", "undetermined": "无法确定的参数",
    "method": "方法", "measure": "对象", "actual": "实际",
    "predicted": "预测", "error": "总误差", "mae": "平均绝对误差",
    "rmse": "均方根误差", "rank_correlation": "秩相关",
    "share_top_tenth": "预测最高十分之一所占比例", "decile": "十分位", "week": "周",
    "last_day": "周末日期", "phase": "阶段", "expected": "预期",
    "action": "建议", "share_people": "人数占比", "step": "环节",
    "days_25": "四分之一以内（天）", "days_50": "半数以内（天）",
    "days_75": "四分之三以内（天）", "naive_days_50": "已发生者的中位数（偏短）",
    "longest_days": "最长观察 H", "n_others": "其他人数", "referred": "被推荐的人",
    "others": "其他人", "difference": "差异", "p_adjusted": "校正 p 值", "rule": "规则",
    "n_referrers": "被标记人数", "n_links": "推荐数", "value_matured": "W 天内消费",
    "actual_so_far": "实际累计", "expected_so_far": "预期累计",
    "share_orders_paid": "广告首购占比（订单）", "share_new": "新客中被推荐的比例",
    "share_new_paid": "新客中广告的比例", "share_revenue_paid": "广告首购占比（收入）",
    "n_arrived": "到来人数", "share_converted": "成交比例", "own_value": "自己消费",
    "buyer_value": "买家价值", "visitor_value": "访客价值",
    "share_brought": "来自带来的人", "share_then": "之后比例", "share": "比例",
    "value_gain": "访客价值增加", "revenue_gain": "收入增加", "scenario": "情景",
    "n_days": "天数", "buyers": "新买家", "orders": "购买次数", "today": "现在",
    "then": "之后", "spend": "花费", "cac": "单客成本",
    "cac_naive": "简单单客成本（偏高）",
    "buyer_ceiling": "单客成本上限", "return_ratio": "回报", "payback_days": "回本天数",
    "size_low": "规模（从）", "size_high": "规模（至）", "n_seeds": "实际人数",
    "final_share": "最终比例", "root_source": "源头来源", "n_roots": "非推荐来的买家",
    "n_brought": "被带来的买家", "revenue_own": "源头自己的收入",
    "revenue_direct": "源头首购收入", "revenue_brought": "被带来者的收入",
    "share_direct": "首购直接占比",
    "product": "商品",
    "within_days": "限于多少天内到达者", "days": "天数", "day": "距上一阶段天数",
    "stuck_since": "自何日起", "days_stuck": "已停留天数",
    "share_coming": "此类人今后到达比例",
    "against": "对比对象", "n_against": "对比人数", "share_against": "对比比例",
    "p_value": "p 值", "p_log_rank": "log-rank p 值",
    "p_log_rank_adjusted": "log-rank 校正 p 值", "verdict": "结论",
    "first": "前一次", "second": "后一次", "ratio": "倍数",
    "group": "人群", "total": "合计", "gini": "基尼系数", "share_top_1": "前 1% 占比",
    "share_top_10": "前 10% 占比", "share_top_20": "前 20% 占比",
    "share_of_total": "占总量比例",
    "from_day": "起（天）", "to_day": "止（天）", "n_returns": "回购次数",
    "hazard": "尚未回来者当天购买比例", "share_returned": "已回来比例",
    "share_of_returns": "占 W 天内回购的比例", "n_gaps": "间隔数",
    "peak_from_day": "高峰起（天）", "peak_to_day": "高峰止（天）",
    "remind_from_day": "提醒起（天）", "remind_to_day": "提醒止（天）",
    "share_in_span": "期间占 W 天内回购的比例", "days_80": "八成以内（天）",
    "days_90": "九成以内（天）", "median_gap_days": "购买间隔中位数",
    "mean_gap_days": "平均购买间隔", "days_since_last": "距上次购买天数",
    "overdue": "逾期倍数", "period": "时段", "n_customers": "当期客户",
    "n_new": "新客", "n_returning": "回头客",
    "returning_customer_rate": "回头客占比", "n_orders_new": "新客购买次数",
    "n_orders_returning": "回头客购买次数",
    "share_orders_returning": "回头客购买次数占比", "revenue_new": "新客收入",
    "revenue_returning": "回头客收入", "share_revenue_returning": "回头客收入占比",
    "n_repeaters": "其中再次购买人数", "ever_repeat_share": "累计复购占比",
    "repurchase_rate": "复购率（W 天内）",
    "n_opening": "期初活跃", "n_from_dormant": "休眠回流", "n_from_lost": "流失回流",
    "n_resurrected": "回流", "n_lapsed": "转为休眠", "n_closing": "期末活跃",
    "n_dormant_opening": "期初休眠", "n_lost": "转为流失",
    "n_dormant_closing": "期末休眠", "n_lost_opening": "期初流失",
    "n_lost_closing": "期末流失", "share_active_buyers": "活跃占全部买家",
    "share_active_people": "活跃占全部人", "n_new_buyers": "首购买家",
    "n_repeat_buyers": "复购买家", "n_resurrected_buyers": "回流买家",
    "revenue_resurrected": "回流买家收入", "revenue_other": "未购买者的退款",
    "n_dormant": "上期购买、本期未购买", "mean_recency_days": "平均距上次购买天数",
    "mean_purchases": "人均购买次数", "mean_revenue": "人均收入",
    "share_of_revenue": "收入占比", "r_score": "最近购买得分",
    "f_score": "购买频次得分", "m_score": "消费金额得分", "score": "得分",
    "recency_days": "距上次购买天数", "mean_value": "次均金额",
    "state_from": "起始状态", "state_to": "之后状态", "n_from": "起始人数",
    "share_repurchased": "W 天内复购", "share_referred": "W 天内带来买家",
    "buyer_revenue": "买家人均收入", "buyer_purchases": "买家人均购买次数",
    "n_again": "再次购买人数", "share_again": "再次购买比例",
    "person_purchases": "人均购买次数", "person_revenue": "人均收入",
}  # fmt: skip
"""Chinese names of the columns of the tables that are shown."""


def sentence(key: str, lang: Lang, **values: object) -> str:
    """Return a sentence in one language, its places filled.

    Parameters
    ----------
    key : str
        A key of `SENTENCES`.
    lang : {"en", "zh"}
        Language.
    **values
        What goes into the places; whole numbers get thousands separators.

    Returns
    -------
    str

    Examples
    --------
    >>> sentence("notes", "en", n=1200)
    'notes on the data: 1,200'
    """
    shown = {k: f"{v:,}" if isinstance(v, int) else v for k, v in values.items()}
    return SENTENCES[key][lang].format(**shown)


def title(key: str, lang: PageLang) -> str:
    """Return a title in one language, or in both side by side.

    Parameters
    ----------
    key : str
        A key of `TITLES`.
    lang : {"en", "zh", "both"}
        Language.

    Returns
    -------
    str

    Examples
    --------
    >>> title("funnel", "both")
    'Funnel 漏斗'
    """
    names = TITLES[key]
    return f"{names['en']} {names['zh']}" if lang == "both" else names[lang]


def legend(columns: list[str], lang: PageLang) -> str:
    """Explain column names to readers of Chinese; empty for others.

    Parameters
    ----------
    columns : list of str
        Columns of the tables above.
    lang : {"en", "zh", "both"}
        Language.

    Returns
    -------
    str

    Examples
    --------
    >>> legend(["stage", "n_open"], "zh")
    '列说明：stage 阶段 · n_open 尚未到期人数'
    """
    if lang == "en":
        return ""
    named = [f"{c} {COLUMNS_ZH[c]}" for c in dict.fromkeys(columns) if c in COLUMNS_ZH]
    return sentence("legend", "zh", columns=" · ".join(named))
