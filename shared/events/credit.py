"""What credit publishes: propagations, lines and drawdowns."""

from __future__ import annotations

from datetime import date, datetime
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from shared.events.envelope import Event
from shared.events.receivables import Document
from shared.values.money import Amount


class LimitPropagated(Event):
    """Trigger: a limit, rating, link, trade or admission changed. Consumers: console. Subject: the programme."""

    type: ClassVar[str] = "limit.propagated.v1"
    topic: ClassVar[str] = "scf.credit.limit.v1"
    programme_id: str
    limit: Amount
    pool: Amount
    reserved: Amount
    shortfall: Amount
    changed_lines: int
    cause: str
    policy_version: str

    @property
    def subject(self) -> str:
        return self.programme_id


class LineChanged(Event):
    """Trigger: propagation changed a line. Consumers: console. Contents: its cap, and what it had before."""

    type: ClassVar[str] = "line.changed.v1"
    topic: ClassVar[str] = "scf.credit.line.v1"
    line_id: str
    programme_id: str
    enterprise_id: str
    tier: int
    direction: Literal["upstream", "downstream"]
    cap: Amount
    cap_before: Amount
    drawable: bool
    reasons: list[str]

    @property
    def subject(self) -> str:
        return self.line_id


class DrawdownEvent(Event):
    topic: ClassVar[str] = "scf.credit.drawdown.v1"
    drawdown_id: str

    @property
    def subject(self) -> str:
        return self.drawdown_id


class Payee(BaseModel):
    """Who is paid, and where, when it is not whom the product pays."""

    enterprise_id: str
    account: str


class Evidence(BaseModel):
    """What shows that the payee is owed."""

    kind: str
    reference: str
    digest: str


class DrawdownHeld(DrawdownEvent):
    """Trigger: an SME draws; every limit on the path holds it. Consumers: receivables assigns the documents.

    Without documents nothing is assigned: credit has approved or referred it in the same commit.
    """

    type: ClassVar[str] = "drawdown.held.v1"
    line_id: str
    programme_id: str
    enterprise_id: str
    obligor_id: str
    principal: Amount
    held: Amount
    documents: list[Document]
    purpose: str
    expires_at: datetime
    product: str = ""
    payee: Payee | None = None
    evidence: list[Evidence] = Field(default_factory=list)


class DrawdownReferred(DrawdownEvent):
    """Trigger: outside the automatic policy. Consumers: console's queue. Contents: why."""

    type: ClassVar[str] = "drawdown.referred.v1"
    reasons: list[str]


class DrawdownApproved(DrawdownEvent):
    """Trigger: documents assigned and inside policy, or approved by a second person. Consumers: settlement pays out.

    `payee_id` is whom the drawdown named with evidence, or whom its product pays. A purchase pays `principal` less
    `discount` for `face`; a loan pays `principal` and earns interest in arrears.
    """

    type: ClassVar[str] = "drawdown.approved.v1"
    form: Literal["loan", "purchase"]
    programme_id: str
    enterprise_id: str
    obligor_id: str
    payee_id: str
    payee_account: str
    collection_account: str
    principal: Amount
    face: Amount
    fee: Amount
    rate: str
    penalty_rate: str
    day_count: str
    interest_payer: Literal["seller", "anchor"]
    document_due_date: date
    maturity_date: date
    grace_days: int
    recourse: bool
    purpose: str
    policy_version: str
    product: str = ""
    evidence: list[Evidence] = Field(default_factory=list)


class DrawdownReleased(DrawdownEvent):
    """Trigger: refused, cancelled, expired or failed. Consumers: receivables frees the documents."""

    type: ClassVar[str] = "drawdown.released.v1"
    reason: str


class DrawdownCancellationRequested(DrawdownEvent):
    """Trigger: a cancel after approval. Consumers: settlement stops the payment if it still can."""

    type: ClassVar[str] = "drawdown.cancellation_requested.v1"
    reason: str


class DrawdownUtilised(DrawdownEvent):
    """Trigger: the loan is disbursed. Consumers: console. Contents: the principal now used on every node."""

    type: ClassVar[str] = "drawdown.utilised.v1"
    principal: Amount


class DrawdownReinstated(DrawdownEvent):
    """Trigger: principal repaid (R11). Consumers: console. Contents: what became available again, what is open."""

    type: ClassVar[str] = "drawdown.reinstated.v1"
    principal: Amount
    outstanding: Amount
    line_id: str


class DrawdownRepaid(DrawdownEvent):
    """Trigger: outstanding principal reached zero. Consumers: receivables settles the documents."""

    type: ClassVar[str] = "drawdown.repaid.v1"
