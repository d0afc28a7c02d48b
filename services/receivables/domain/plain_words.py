"""What a broken rule means, in our own words, English and Chinese; the pack's own message stands beside it."""

from __future__ import annotations

_TOTALS = "The totals contradict each other"
_RULES: dict[str, tuple[str, str]] = {
    "xsd": ("The file is not built as the schema of its syntax demands.", "文件结构不符合其语法的模式定义（XSD）。"),
    "sheet": (
        "A rule sheet could not be applied to the file: a value is not of its kind.",
        "规则无法执行：某个值的类型不正确。",
    ),
    "structure": ("It says more than its profile has a place for.", "包含其配置文件（profile）未采用的内容。"),
    "BR-01": ("It does not say which specification it follows (BT-24).", "未注明所遵循的规范标识（BT-24）。"),
    "BR-02": ("It has no invoice number (BT-1).", "缺少发票号码（BT-1）。"),
    "BR-03": ("It has no issue date (BT-2).", "缺少开票日期（BT-2）。"),
    "BR-04": ("It has no type code (BT-3).", "缺少单据类型代码（BT-3）。"),
    "BR-05": ("It names no currency (BT-5).", "缺少币种（BT-5）。"),
    "BR-06": ("The seller has no name (BT-27).", "缺少销售方名称（BT-27）。"),
    "BR-07": ("The buyer has no name (BT-44).", "缺少购买方名称（BT-44）。"),
    "BR-08": ("The seller has no postal address (BG-5).", "缺少销售方地址（BG-5）。"),
    "BR-09": ("The seller's address has no country (BT-40).", "销售方地址缺少国家代码（BT-40）。"),
    "BR-10": ("The buyer has no postal address (BG-8).", "缺少购买方地址（BG-8）。"),
    "BR-11": ("The buyer's address has no country (BT-55).", "购买方地址缺少国家代码（BT-55）。"),
    "BR-12": ("The sum of the lines is missing (BT-106).", "缺少明细净额合计（BT-106）。"),
    "BR-13": ("The total without VAT is missing (BT-109).", "缺少不含税总额（BT-109）。"),
    "BR-14": ("The total with VAT is missing (BT-112).", "缺少含税总额（BT-112）。"),
    "BR-15": ("The amount due is missing (BT-115).", "缺少应付金额（BT-115）。"),
    "BR-16": ("It has no line at all (BG-25).", "没有任何发票明细行（BG-25）。"),
    "BR-17": ("The payee has no name (BT-59).", "收款人缺少名称（BT-59）。"),
    "BR-21": ("A line has no identifier (BT-126).", "明细行缺少行号（BT-126）。"),
    "BR-22": ("A line has no quantity (BT-129).", "明细行缺少数量（BT-129）。"),
    "BR-23": ("A line's quantity has no unit (BT-130).", "明细行数量缺少计量单位（BT-130）。"),
    "BR-24": ("A line has no net amount (BT-131).", "明细行缺少净额（BT-131）。"),
    "BR-25": ("A line's item has no name (BT-153).", "明细行缺少货物或服务名称（BT-153）。"),
    "BR-26": ("A line has no net price (BT-146).", "明细行缺少单价（BT-146）。"),
    "BR-27": ("A line's net price is negative (BT-146).", "明细行单价为负数（BT-146）。"),
    "BR-28": ("A line's gross price is negative (BT-148).", "明细行原价为负数（BT-148）。"),
    "BR-49": ("Payment instructions lack the means of payment (BT-81).", "付款说明缺少付款方式代码（BT-81）。"),
    "BR-50": ("A credit transfer names no account (BT-84).", "转账付款缺少收款账号（BT-84）。"),
    "BR-53": ("VAT in the accounting currency is missing (BT-111).", "缺少以记账币种表示的税额（BT-111）。"),
    "BR-CO-03": ("It gives both a tax point date and its code.", "同时给出了纳税义务日期及其代码，只能择一。"),
    "BR-CO-04": ("A line has no VAT category (BT-151).", "明细行缺少增值税类别（BT-151）。"),
    "BR-CO-09": ("A VAT number does not start with its country's letters.", "增值税号缺少国家前缀。"),
    "BR-CO-10": (f"{_TOTALS}: the lines do not add up to their sum (BT-106).", "明细净额之和与合计（BT-106）不符。"),
    "BR-CO-11": (f"{_TOTALS}: the allowances do not add up (BT-107).", "折让之和与合计（BT-107）不符。"),
    "BR-CO-12": (f"{_TOTALS}: the charges do not add up (BT-108).", "费用之和与合计（BT-108）不符。"),
    "BR-CO-13": (
        f"{_TOTALS}: lines, allowances and charges do not give the net (BT-109).",
        "不含税总额（BT-109）计算不符。",
    ),
    "BR-CO-14": (
        f"{_TOTALS}: the VAT by category does not add up (BT-110).",
        "各类别税额之和与税额合计（BT-110）不符。",
    ),
    "BR-CO-15": (
        f"{_TOTALS}: net and VAT do not give the gross (BT-112).",
        "含税总额（BT-112）不等于不含税总额加税额。",
    ),
    "BR-CO-16": (
        f"{_TOTALS}: gross, prepaid and rounding do not give what is due (BT-115).",
        "应付金额（BT-115）不等于含税总额减预付加舍入。",
    ),
    "BR-CO-17": ("A VAT amount is not its base times its rate (BT-117).", "税额不等于计税基础乘以税率（BT-117）。"),
    "BR-CO-18": ("It has no VAT breakdown (BG-23).", "缺少增值税汇总（BG-23）。"),
    "BR-CO-25": (
        "It says neither when it is due nor on what terms (BT-9, BT-20).",
        "既无到期日也无付款条款（BT-9、BT-20）。",
    ),
    "BR-CO-26": (
        "The seller has no identifier: registration or VAT number (BT-29 to BT-31).",
        "销售方缺少识别码（登记号或增值税号）。",
    ),
    "PEPPOL-EN16931-R003": (
        "It gives neither a buyer reference nor an order (BT-10, BT-13).",
        "缺少购买方参考号或订单号（BT-10、BT-13）。",
    ),
    "PEPPOL-EN16931-R010": ("The buyer has no electronic address (BT-49).", "缺少购买方电子地址（BT-49）。"),
    "PEPPOL-EN16931-R020": ("The seller has no electronic address (BT-34).", "缺少销售方电子地址（BT-34）。"),
    "PEPPOL-EN16931-R120": (
        "A line's net is not quantity times price, less allowances (BT-131).",
        "明细净额不等于数量乘以单价减折让（BT-131）。",
    ),
}
# The longest prefix that fits.
_FAMILIES: dict[str, tuple[str, str]] = {
    "BR-CL-": ("A code is not in the list that the standard allows.", "代码不在标准允许的代码表内。"),
    "PEPPOL-EN16931-CL": ("A code is not in the list that Peppol allows.", "代码不在 Peppol 允许的代码表内。"),
    "BR-DEC-": ("An amount has more decimals than allowed.", "金额的小数位数过多。"),
    "BR-S-": ("Something of the standard-rated VAT does not fit together.", "标准税率的增值税信息不一致。"),
    "BR-Z-": ("Something of the zero-rated VAT does not fit together.", "零税率的增值税信息不一致。"),
    "BR-E-": ("Something of the VAT exemption does not fit together.", "免税信息不一致。"),
    "BR-AE-": ("Something of the reverse charge does not fit together.", "反向征收的增值税信息不一致。"),
    "BR-IC-": ("Something of the intra-community supply does not fit together.", "共同体内部供货的增值税信息不一致。"),
    "BR-G-": ("Something of the export's VAT does not fit together.", "出口的增值税信息不一致。"),
    "BR-O-": ("It says that VAT does not apply, and yet gives VAT details.", "声明不适用增值税，却给出了增值税信息。"),
    "BR-AF-": ("Something of the Canary Islands' tax does not fit together.", "加那利群岛税（IGIC）信息不一致。"),
    "BR-AG-": (
        "Something of the tax of Ceuta and Melilla does not fit together.",
        "休达和梅利利亚税（IPSI）信息不一致。",
    ),
    "BR-B-": ("Something of the Italian split payment does not fit together.", "意大利分拆付款信息不一致。"),
    "UBL-CR-": ("It uses an element of UBL that the standard leaves out.", "使用了标准未采用的 UBL 元素。"),
    "UBL-SR-": ("An element occurs more often than the standard allows.", "某元素出现次数超过标准允许的次数。"),
    "UBL-DT-": ("A value is not written as the standard demands.", "某个值的格式不符合标准。"),
    "CII-SR-": (
        "It uses an element of CII that the standard leaves out, or uses it too often.",
        "使用了标准未采用的 CII 元素，或次数过多。",
    ),
    "CII-DT-": ("A value is not written as the standard demands.", "某个值的格式不符合标准。"),
    "BR-DEX-": ("It breaks a rule of the German extension.", "违反德国 XRechnung 扩展规则。"),
    "BR-DE-": ("It breaks a rule that German law adds.", "违反德国法规附加的规则（XRechnung）。"),
    "DE-R-": ("It breaks a rule that Peppol holds for German sellers.", "违反 Peppol 对德国销售方的附加规则。"),
    "PEPPOL-COMMON-": ("An identifier is not written as its scheme demands.", "标识符的格式不符合其编码方案。"),
    "PEPPOL-EN16931-P": ("It is not of a kind that this Peppol process carries.", "该单据类型不适用于此 Peppol 流程。"),
    "PEPPOL-EN16931-": ("It breaks a rule that Peppol adds.", "违反 Peppol 附加的规则。"),
    "BR-": ("It breaks a business rule of the standard.", "违反标准的业务规则。"),
}


def plain_words(rule: str, *, pack: str) -> dict[str, str]:
    """Return what a broken rule means as `en` and `zh`: its own sentence, its family's, or one that fits any rule."""
    words = _RULES.get(rule)
    if words is None:
        family = max((prefix for prefix in _FAMILIES if rule.startswith(prefix)), key=len, default="")
        words = _FAMILIES.get(family)
    if words is None:
        words = (f"It breaks the rule {rule} of {pack}.", f"违反 {pack} 的规则 {rule}。")
    return {"en": words[0], "zh": words[1]}
