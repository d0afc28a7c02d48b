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


class PairLimitChanged(Event):
    """Trigger: two persons limited what is financed of a seller's claims on an obligor. Consumers: console.

    Subject: the pair's node. `limit_before` is null where there was no limit.
    """

    type: ClassVar[str] = "limit.pair_changed.v1"
    topic: ClassVar[str] = "scf.credit.limit.v1"
    node_id: str
    seller_id: str
    obligor_id: str
    limit: Amount
    limit_before: Amount | None
    reason: str

    @property
    def subject(self) -> str:
        return self.node_id


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


class LineBlock(Event):
    """What a block of a line, or of its firm, says of the line; `blocks` are the reasons of all that stand now."""

    topic: ClassVar[str] = "scf.credit.line.v1"
    line_id: str
    programme_id: str
    enterprise_id: str
    currency: str
    block_id: str
    scope: Literal["line", "firm"]
    reason: str
    blocks: list[str]

    @property
    def subject(self) -> str:
        return self.line_id


class LineBlocked(LineBlock):
    """Trigger: draws on a line, or on every line of its firm, are stopped. Consumers: console. Contents: why.

    What waited for its money on it is released or stopped by events of its own, of the same commit.
    """

    type: ClassVar[str] = "line.blocked.v1"


class LineUnblocked(LineBlock):
    """Trigger: two persons lift a block. Consumers: console. Contents: which one it was, and what still stands."""

    type: ClassVar[str] = "line.unblocked.v1"


class CoverEvent(Event):
    topic: ClassVar[str] = "scf.credit.cover.v1"
    cover_id: str
    enterprise_id: str

    @property
    def subject(self) -> str:
        return self.cover_id


class CoverProposed(CoverEvent):
    """Trigger: collateral or a guarantee is recorded for a firm; it carries nothing yet. Consumers: console.

    It shall secure at most `secured` of the firm's loans: on every line, or on those in `line_ids`.
    """

    type: ClassVar[str] = "cover.proposed.v1"
    provider_id: str
    kind: str
    asset: str
    secured: Amount
    rank: int
    valid_until: date
    line_ids: list[str] | None


class CoverValued(CoverEvent):
    """Trigger: two persons took a valuation, the first or another. Consumers: console."""

    type: ClassVar[str] = "cover.valued.v1"
    value: Amount
    prior_charges: Amount
    valued_date: date


class CoverRegistered(CoverEvent):
    """Trigger: it is in the register or signed: loans may stand on it. Consumers: console."""

    type: ClassVar[str] = "cover.registered.v1"
    registry_reference: str
    secured: Amount


class CoverLendingValueChanged(CoverEvent):
    """Trigger: the turn of a business day; a valuation grew old, a last day passed, another haircut holds.

    Consumers: console. Contents: what the registered cover carries now, and what it carried before.
    """

    type: ClassVar[str] = "cover.lending_value_changed.v1"
    lending_value: Amount
    lending_value_before: Amount
    business_date: date


class CoverReleased(CoverEvent):
    """Trigger: it was given back: no loan stands on it any more. Consumers: console."""

    type: ClassVar[str] = "cover.released.v1"
    reason: str


class CoverEnforced(CoverEvent):
    """Trigger: use is made of it: no new loan stands on it. Consumers: console."""

    type: ClassVar[str] = "cover.enforced.v1"
    reason: str


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


class PlannedInstalment(BaseModel):
    """What is repaid of the principal on a due date; a date has been moved to a business day where it fell on none."""

    due_date: date
    principal: Amount


class RepaymentPlan(BaseModel):
    """How a loan is paid back by dates; the last is its maturity. Without one it is paid at maturity.

    `early_repayment` says what money above what is due does: later dates fall away, later instalments become lower,
    or it waits.
    """

    kind: Literal["equal_instalments", "equal_principal", "interest_only"]
    instalments: list[PlannedInstalment]
    early_repayment: Literal["shorten", "lower", "refused"] = "shorten"


class DrawdownHeld(DrawdownEvent):
    """Trigger: an SME draws; every limit on the path holds it. Consumers: receivables assigns the documents.

    Without documents nothing is assigned: credit has approved or referred it in the same commit. `on_cover` of the
    principal is carried by the firm's cover and not by documents.
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
    on_cover: Amount | None = None
    payee: Payee | None = None
    evidence: list[Evidence] = Field(default_factory=list)
    plan: RepaymentPlan | None = None


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
    plan: RepaymentPlan | None = None


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


class DrawdownTopUpDue(DrawdownEvent):
    """Trigger: its goods carry less than the loan needs by more than policy lets pass. Consumers: console.

    Contents: what is lacking: so much is repaid, or goods or cover that carry it come beside; `goods` is what goods
    must be worth to be lent against for it. Told again when it has grown as much again (R6).
    """

    type: ClassVar[str] = "drawdown.top_up_due.v1"
    enterprise_id: str
    lacking: Amount
    goods: Amount
    outstanding: Amount


class DrawdownTopUpEnded(DrawdownEvent):
    """Trigger: a loan that was called for more security lacks nothing any more. Consumers: console."""

    type: ClassVar[str] = "drawdown.top_up_ended.v1"
    enterprise_id: str


class DrawdownRepaid(DrawdownEvent):
    """Trigger: outstanding principal reached zero. Consumers: receivables settles the documents."""

    type: ClassVar[str] = "drawdown.repaid.v1"
