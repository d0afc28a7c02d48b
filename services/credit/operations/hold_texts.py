"""The JSON texts of a hold, written by hand: on the hot path models would cost more than the decision.

A test compares the event with its model and the answer with its schema.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from json.encoder import encode_basestring

from services.credit.domain.eligibility import Financeable
from services.credit.domain.instructions import Instruction
from services.credit.domain.offers import Offer, Terms
from services.credit.domain.paths import Step
from services.credit.operations.plan_texts import plan_event
from shared.values.money import Money, minor_text
from shared.values.rates import rate_text


@dataclass(frozen=True, slots=True)
class Texts:
    """What is stored, told and answered of one hold."""

    documents: str
    event: str
    answer: str


def path_text(path: Sequence[Step]) -> str:
    """Return a path as it is stored: level, node, share."""
    return json.dumps([step.stored() for step in path])


def texts_of(
    *,
    drawdown_id: str,
    terms: Terms,
    documents: Sequence[Financeable],
    offered: Offer,
    purpose: str,
    expires_at: str,
    payment: str | None = None,
    plan: str | None = None,
) -> Texts:
    """Return the texts of a hold; ids, dates and amounts need no escaping, what others wrote does."""
    named = ",".join(
        f'{{"kind":"{each.kind}","document_id":{encode_basestring(each.document_id)},'
        f'"amount":{_amount(each.eligible_minor, each.currency)}}}'
        for each in documents
    )
    principal = _money(offered.principal)
    held = principal if offered.exposure == offered.principal else _money(offered.exposure)
    on_cover = ""
    if offered.on_cover_minor:
        on_cover = f',"on_cover":{_amount(offered.on_cover_minor, offered.principal.currency)}'
    common = f'"drawdown_id":"{drawdown_id}","line_id":"{terms.line_id}",'
    shown = f',"repayment":{plan}' if plan else ""
    event = (
        f'{{{common}"programme_id":"{terms.programme_id}","enterprise_id":"{terms.drawer.enterprise_id}",'
        f'"obligor_id":"{terms.obligor_id}","principal":{principal},"held":{held},"documents":[{named}],'
        f'"purpose":{encode_basestring(purpose)},"product":"{terms.product.name}",'
        f'"expires_at":"{expires_at}"{on_cover}{"," + payment[1:-1] if payment else ""}'
        f"{_told(plan)}}}"
    )
    answer = (
        f'{{{common}"state":"held","product":"{terms.product.name}","form":"{terms.form}","principal":{principal},'
        f'"held":{held},'
        f'"rate":"{rate_text(offered.price.rate)}","penalty_rate":"{rate_text(offered.price.penalty_rate)}",'
        f'"fee":{_amount(offered.fee_minor, offered.principal.currency)},"due_date":"{offered.due_date}",'
        f'"maturity_date":"{offered.maturity_date}","documents":[{named}],"expires_at":"{expires_at}"'
        f"{on_cover}{shown}}}"
    )
    return Texts(f"[{named}]", event, answer)


def payment_text(asked: Instruction) -> str | None:
    """Return payee and evidence as they are stored and told; None where the drawdown names none, as most do."""
    if asked.payee is None and not asked.evidence:
        return None
    payee = asked.payee and asdict(asked.payee)
    return json.dumps({"payee": payee, "evidence": [asdict(each) for each in asked.evidence]})


def _told(plan: str | None) -> str:
    """Return the plan as the event tells it; few drawdowns have one."""
    told = plan_event(json.loads(plan)) if plan else None
    return f',"plan":{told.model_dump_json()}' if told else ""


def _money(money: Money) -> str:
    return _amount(money.amount_minor, money.currency)


def _amount(minor: int, currency: str) -> str:
    return f'{{"amount":"{minor_text(amount_minor=minor, currency=currency)}","currency":"{currency}"}}'
