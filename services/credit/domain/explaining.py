"""The derivation of what a line can draw, in words a banker reads: English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Literal

from services.credit.domain.blocks import BARS, Blocked
from services.credit.domain.limits import Node
from services.credit.domain.paths import Level, Step
from shared.values.money import minor_text
from shared.values.rates import MILLION, rate_text

Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True)
class Base:
    """What the free documents of a firm carry: Σ eligible × advance rate."""

    documents: int
    eligible: int
    carries: int
    advance_rate: int


@dataclass(frozen=True, slots=True)
class Covered:
    """What a firm's cover carries of loans on a line beside their documents, in minor units: most, and still."""

    most: int
    left: int


@dataclass(frozen=True, slots=True)
class Derivation:
    """Everything that a line's available amount follows from, in minor units; `own` levels are shown whole (R23)."""

    name: str
    currency: str
    direction: str
    tier: int
    volume: int
    weight: int
    floor: int
    ceiling: int
    bounds: Mapping[str, int]
    reserved: int
    cap: int
    available: int
    binding: str
    path: Sequence[Step]
    nodes: Mapping[str, Node]
    own: frozenset[Level]
    reasons: Sequence[str]
    base: Base | None
    blocks: Sequence[Blocked] = ()
    cover: Covered | None = None


def explain(derived: Derivation, *, language: Language) -> list[str]:
    """Return the derivation sentence by sentence: what can be drawn, what propagation gave, node by node, what bars."""
    text, words = _TEXTS[language], _WORDS[language]

    def amount(minor: int) -> str:
        whole, point, part = minor_text(amount_minor=minor, currency=derived.currency).partition(".")
        return f"{derived.currency} {int(whole):,}{point}{part}"

    def word(code: str) -> str:
        return words.get(code, code.replace("_", " "))

    bounds = text["and"].join(f"{word(name)} {amount(minor)}" for name, minor in derived.bounds.items())
    told = [
        text["available"].format(
            name=derived.name, amount=amount(derived.available), node=word(_level(derived, derived.binding))
        ),
        text["propagation"].format(
            volume=amount(derived.volume),
            tier=derived.tier,
            direction=word(derived.direction),
            weight=amount(derived.weight),
            reserved=amount(derived.reserved),
            floor=amount(derived.floor),
            ceiling=amount(derived.ceiling),
            bounds=bounds or word("nothing"),
            cap=amount(derived.cap),
        ),
    ]
    for step in derived.path:
        node = derived.nodes[step.node_id]
        share = "" if step.share == MILLION else text["share"].format(share=rate_text(step.share))
        whole = "whole" if step.level in derived.own else "shared"
        short = text["short"].format(amount=amount(node.shortfall)) if node.shortfall else ""
        told.append(
            text[whole].format(
                node=word(step.level.name.lower()),
                share=share,
                sanctioned=amount(node.sanctioned),
                held=amount(node.held),
                utilised=amount(node.utilised),
                available=amount(node.available),
                short=short,
            )
        )
    base = derived.base
    if base is not None:
        rate, carries = rate_text(base.advance_rate), amount(base.carries)
        told.append(
            text["base"].format(count=base.documents, eligible=amount(base.eligible), rate=rate, carries=carries)
        )
    if derived.cover is not None:
        told.append(text["cover"].format(most=amount(derived.cover.most), left=amount(derived.cover.left)))
    if derived.reasons:
        told.append(text["barred"].format(reasons=text["and"].join(word(reason) for reason in derived.reasons)))
    return told + [_told_block(block, language=language) for block in derived.blocks]


def _told_block(block: Blocked, *, language: Language) -> str:
    text = _TEXTS[language]
    return text["blocked"].format(
        bar=_WORDS[language][BARS[block.scope]],
        since=f"{block.since.astimezone(UTC):%Y-%m-%d %H:%M}",
        by=block.by,
        reason=block.reason[language],
        reference=text["reference"].format(reference=block.reference) if block.reference else "",
        note=block.note,
    )


def _level(derived: Derivation, node_id: str) -> str:
    return next(step.level.name.lower() for step in derived.path if step.node_id == node_id)


_TEXTS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "available": "{name} can draw {amount}: the {node} binds.",
        "propagation": (
            "Trade of {volume} reaches it on tier {tier} ({direction}) and weighs {weight} there; propagation reserves "
            "{reserved} between floor {floor} and ceiling {ceiling} (least of {bounds}): cap {cap}."
        ),
        "share": " (carries {share} of each drawdown)",
        "whole": (
            "The {node}{share}: sanctioned {sanctioned} − held {held} − utilised {utilised} = available {available}"
            "{short}."
        ),
        "shared": "The {node}{share}: available {available}.",
        "short": ", short by {amount}",
        "base": "{count} free documents, eligible {eligible} × advance rate {rate}, carry {carries} of new principal.",
        "cover": "The firm's cover secures up to {most} of this line's loans beside documents, {left} of it unused.",
        "barred": "It cannot be drawn now: {reasons}.",
        "blocked": "Since {since} UTC {bar} by {by}, {reason}{reference}: {note}",
        "reference": " ({reference})",
        "and": ", ",
    },
    "zh": {
        "available": "{name}当前可用额度为 {amount}，由{node}约束。",
        "propagation": (
            "与核心企业的贸易额 {volume} 传导至第 {tier} 层（{direction}），加权后 {weight}；额度传导为其分配 "
            "{reserved}，介于下限 {floor} 与上限 {ceiling}（取{bounds}中最小者）之间，授信上限为 {cap}。"
        ),
        "share": "（承担每笔提款的 {share}）",
        "whole": "{node}{share}：核定额度 {sanctioned} − 已占用 {held} − 已使用 {utilised} = 可用 {available}{short}。",
        "shared": "{node}{share}：可用 {available}。",
        "short": "，缺口 {amount}",
        "base": "未被占用的单据 {count} 份，合格金额 {eligible} × 融资比例 {rate}，可支持新增本金 {carries}。",
        "cover": "企业担保可在单据之外支持本额度的贷款，最高 {most}，其中尚可使用 {left}。",
        "barred": "目前不可提款：{reasons}。",
        "blocked": "自 {since}（UTC）起{bar}，由 {by} 决定，{reason}{reference}：{note}",
        "reference": "（{reference}）",
        "and": "、",
    },
}
_WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "group": "anchor group's limit",
        "obligor": "obligor's limit",
        "programme": "programme's limit",
        "direction": "direction's sub-limit",
        "tier": "tier's sub-limit",
        "sme": "firm's own cap",
        "line": "line itself",
        "product": "product's quota",
        "pair": "limit of seller and obligor",
        "cover": "firm's cover",
        "sme_headroom": "SME-wide headroom",
        "line_blocked": "the line is blocked",
        "firm_blocked": "the firm is blocked",
    },
    "zh": {
        "group": "核心企业集团额度",
        "obligor": "债务人额度",
        "programme": "项目额度",
        "direction": "方向分项额度",
        "tier": "层级分项额度",
        "sme": "企业自身总额度",
        "line": "本授信额度",
        "product": "产品限额",
        "pair": "交易对手额度",
        "cover": "企业担保额度",
        "no_registered_cover": "没有已登记的担保",
        "no_product": "项目未提供该方向的产品",
        "upstream": "上游",
        "downstream": "下游",
        "nothing": "无",
        "rating_cap": "评级上限",
        "concentration_cap": "集中度上限",
        "quota": "产品限额",
        "sme_headroom": "企业总额度余量",
        "sme_not_registered": "企业未登记",
        "sme_suspended": "企业已暂停",
        "programme_not_active": "项目未生效",
        "unrated": "未评级",
        "rating_expired": "评级已过期",
        "agreement_not_signed": "协议未签署",
        "agreement_expired": "协议已过期",
        "overdue": "逾期",
        "line_blocked": "本额度已冻结",
        "firm_blocked": "企业额度已冻结",
        "no_trade_with_the_anchor": "与核心企业无交易",
        "anchor_does_not_support": "核心企业未提供支持",
        "deficiency": "担保基础不足",
        "not_propagated_yet": "额度尚未传导",
        "anchor_unrated": "核心企业未评级",
        "anchor_unknown": "核心企业未登记",
    },
}
