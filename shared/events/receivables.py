"""What receivables publishes: orders, receivables, vouchers and the assignment of documents to drawdowns."""

from __future__ import annotations

from datetime import date, datetime
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from shared.events.envelope import Event
from shared.values.money import Amount


class OrderEvent(Event):
    topic: ClassVar[str] = "scf.receivables.order.v1"
    order_id: str

    @property
    def subject(self) -> str:
        return self.order_id


class OrderRegistered(OrderEvent):
    """Trigger: seller or buyer registers an order. Consumers: credit, console. Nothing can be drawn on it yet.

    `side` says who confirms: the buyer a purchase, the seller a sale. `due_date` is when the buyer is to pay.
    """

    type: ClassVar[str] = "order.registered.v1"
    seller_id: str
    buyer_id: str
    side: Literal["purchase", "sale"]
    number: str
    issue_date: date
    due_date: date
    amount: Amount


class OrderConfirmed(OrderEvent):
    """Trigger: the checker of who confirms it. Consumers: credit can finance it. Contents: what is not invoiced yet."""

    type: ClassVar[str] = "order.confirmed.v1"
    seller_id: str
    buyer_id: str
    open: Amount
    due_date: date


class OrderRejected(OrderEvent):
    """Trigger: who would confirm it does not; nobody has financed it. Consumers: credit, console. Contents: why."""

    type: ClassVar[str] = "order.rejected.v1"
    reason: str


class OrderReduced(OrderEvent):
    """Trigger: who confirmed it orders less. Consumers: credit; it lowers what is eligible, never a loan (R6)."""

    type: ClassVar[str] = "order.reduced.v1"
    by: Amount
    open: Amount
    reason: str


class OrderInvoiced(OrderEvent):
    """Trigger: an invoice citing the order is confirmed. Consumers: credit, settlement.

    `open` is what is left of the order. With a `drawdown_id` the order was financed by then: the invoice belongs to
    that loan, its proceeds repay it first, and nobody finances it beside that.
    """

    type: ClassVar[str] = "order.invoiced.v1"
    receivable_id: str
    invoiced: Amount
    open: Amount
    drawdown_id: str | None = None


class OrderReopened(OrderEvent):
    """Trigger: an invoice that took its place is cancelled. Consumers: credit. Contents: what is open of it again."""

    type: ClassVar[str] = "order.reopened.v1"
    receivable_id: str
    by: Amount
    open: Amount


class OrderSettled(OrderEvent):
    """Trigger: the loan over the order is closed. Consumers: credit, console."""

    type: ClassVar[str] = "order.settled.v1"


class ReceivableEvent(Event):
    topic: ClassVar[str] = "scf.receivables.receivable.v1"
    receivable_id: str

    @property
    def subject(self) -> str:
        return self.receivable_id


class ReceivableRegistered(ReceivableEvent):
    """Trigger: an invoice is taken in. Consumers: credit, console. Contents: `payable` is BT-115, not the gross (R7).

    `state` is validated, or referred when a person must look first (R8), with the reasons; `near_duplicates` are the
    standing receivables that it may be in another guise.
    """

    type: ClassVar[str] = "receivable.registered.v1"
    seller_id: str
    obligor_id: str
    number: str
    document_type: str
    syntax: str
    issue_date: date
    due_date: date
    payable: Amount
    state: Literal["validated", "referred"]
    reasons: list[str]
    near_duplicates: list[str] = Field(default_factory=list)


class ReceivableAccepted(ReceivableEvent):
    """Trigger: a person of the bank accepts a document that waited; its obligor may confirm it. Consumers: console."""

    type: ClassVar[str] = "receivable.accepted.v1"
    reason: str


class ReceivableConfirmed(ReceivableEvent):
    """Trigger: the obligor's checker confirms. Consumers: credit. Contents: what it owes, its undertaking."""

    type: ClassVar[str] = "receivable.confirmed.v1"
    seller_id: str
    obligor_id: str
    financeable: Amount
    due_date: date
    undertaking: Literal["none", "irrevocable"]


class ReceivableAcknowledged(ReceivableEvent):
    """Trigger: seller and obligor have both said that the debt exists. Consumers: settlement may net it.

    It is no confirmation: nothing can be financed on it. Contents: `owed` is what is still payable.
    """

    type: ClassVar[str] = "receivable.acknowledged.v1"
    seller_id: str
    obligor_id: str
    owed: Amount
    due_date: date


class ReceivableDisputed(ReceivableEvent):
    """Trigger: the obligor disputes the debt. Consumers: settlement nets it no more, console."""

    type: ClassVar[str] = "receivable.disputed.v1"
    reason: str


class ReceivableDisputeEnded(ReceivableEvent):
    """Trigger: the obligor takes its dispute back. Consumers: settlement, console."""

    type: ClassVar[str] = "receivable.dispute_ended.v1"
    reason: str


class ReceivableDiluted(ReceivableEvent):
    """Trigger: a credit note or set-off (R6). Consumers: credit. Contents: what is still payable."""

    type: ClassVar[str] = "receivable.diluted.v1"
    by: Amount
    financeable: Amount
    reason: str


class ReceivablePaid(ReceivableEvent):
    """Trigger: the obligor paid: the seller before notice, a slice's holder, or the collection account (R7, R9, R13).

    Contents: what was paid in all, what is still payable. With a `drawdown_id` it went through that loan's waterfall:
    the loan fell, so that what is eligible beneath it need not; over slices, it is paid on the receivable beneath them.
    Consumers: credit; settlement, which nets no more than is payable, and knows by the `collection_id` what a debt
    without a loan took of a receipt.
    """

    type: ClassVar[str] = "receivable.paid.v1"
    by: Amount
    paid: Amount
    financeable: Amount
    payee: Literal["seller", "collection_account", "holder"]
    paid_date: date
    drawdown_id: str | None = None
    collection_id: str | None = None


class ReceivableCancelled(ReceivableEvent):
    """Trigger: its seller takes it back; once confirmed, with the obligor's assent. Consumers: credit, settlement."""

    type: ClassVar[str] = "receivable.cancelled.v1"
    reason: str


class ReceivableRejected(ReceivableEvent):
    """Trigger: the obligor, or a person working a referral, rejects the document. Consumers: credit, console.

    Contents: why, and by which code where many were rejected together.
    """

    type: ClassVar[str] = "receivable.rejected.v1"
    reason: str
    code: str | None = None


class ReceivableMatched(ReceivableEvent):
    """Trigger: the invoice, its order or a delivery is new, and how they stand to each other has changed.

    Consumers: console. Contents: every reason once, how many lines match, whether policy lets it be financed so.
    """

    type: ClassVar[str] = "receivable.matched.v1"
    order_id: str
    status: Literal["matched", "partial", "unmatched"]
    reasons: list[str]
    lines: int
    matched_lines: int
    is_financeable: bool


class ReceivableSettled(ReceivableEvent):
    """Trigger: the obligor's payment closed the loan over this document. Consumers: console."""

    type: ClassVar[str] = "receivable.settled.v1"


class SetOffEvent(Event):
    """The answer to a netting that every party accepted; it has the netting's id."""

    topic: ClassVar[str] = "scf.receivables.set_off.v1"
    netting_id: str

    @property
    def subject(self) -> str:
        return self.netting_id


class SetOffMade(SetOffEvent):
    """Trigger: every leg of an accepted netting fell, in one transaction (R14). Consumers: settlement posts it."""

    type: ClassVar[str] = "set_off.made.v1"


class SetOffRefused(SetOffEvent):
    """Trigger: a leg was not free any more: none of them fell (R14). Consumers: settlement ends it. Contents: why."""

    type: ClassVar[str] = "set_off.refused.v1"
    receivable_id: str
    code: str
    reason: str


class Slice(BaseModel):
    """A half-open interval [start, end) of minor units of one root payable, and who holds it (R13)."""

    slice_id: str
    start_minor: int
    end_minor: int
    holder_id: str
    state: Literal["live", "offered", "replaced", "assigned", "financed", "paid", "cancelled"]


class VoucherEvent(Event):
    topic: ClassVar[str] = "scf.receivables.voucher.v1"
    root_id: str

    @property
    def subject(self) -> str:
        return self.root_id


class VoucherIssued(VoucherEvent):
    """Trigger: the anchor's checker issues a voucher over a confirmed payable. Consumers: credit."""

    type: ClassVar[str] = "voucher.issued.v1"
    programme_id: str
    obligor_id: str
    receivable_id: str
    face: Amount
    maturity_date: date
    slice: Slice


class VoucherTransferred(VoucherEvent):
    """Trigger: the transferee accepts a slice. Consumers: credit. Contents: the slice replaced and those made of it."""

    type: ClassVar[str] = "voucher.transferred.v1"
    replaced_slice_id: str
    slices: list[Slice]
    trade_reference: str


class VoucherSettled(VoucherEvent):
    """Trigger: the loan over a slice is closed, or its holder was paid. Consumers: credit, console."""

    type: ClassVar[str] = "voucher.settled.v1"
    slice_id: str


class Document(BaseModel):
    """A document that a drawdown stands on, and its eligible amount."""

    kind: Literal["receivable", "slice", "order", "goods"]
    document_id: str
    amount: Amount


class AssignmentEvent(Event):
    topic: ClassVar[str] = "scf.receivables.assignment.v1"
    drawdown_id: str

    @property
    def subject(self) -> str:
        return self.drawdown_id


class DocumentsAssigned(AssignmentEvent):
    """Trigger: all documents locked, the registry filed, the obligor notified. Consumers: credit approves."""

    type: ClassVar[str] = "assignment.documents_assigned.v1"
    documents: list[Document]
    registry_reference: str
    registered_at: datetime
    notified_at: datetime
    notice_digest: str


class AssignmentRefused(AssignmentEvent):
    """Trigger: a document is not free, or the registry refuses. Consumers: credit releases. Contents: why."""

    type: ClassVar[str] = "assignment.refused.v1"
    code: str
    reason: str


class DocumentsWithdrawn(AssignmentEvent):
    """Trigger: a document was diluted between assignment and disbursement. Consumers: credit. Contents: why.

    The documents stay locked until the drawdown is released; if the money goes out all the same, they are financed.
    """

    type: ClassVar[str] = "assignment.withdrawn.v1"
    reason: str


class DocumentsFreed(AssignmentEvent):
    """Trigger: the drawdown was released. Consumers: console. The documents can be financed again."""

    type: ClassVar[str] = "assignment.freed.v1"


class DocumentsFinanced(AssignmentEvent):
    """Trigger: the money went out. Consumers: console."""

    type: ClassVar[str] = "assignment.financed.v1"


class NoticeDelivered(AssignmentEvent):
    """Trigger: proof that the notice reached the obligor, or its acknowledgement. Consumers: console.

    From `delivered_at` on only paying the assignee discharges (R9). `digest` is of the text that was delivered.
    """

    type: ClassVar[str] = "assignment.notice_delivered.v1"
    notice_id: str
    obligor_id: str
    means: Literal["platform", "registered_mail", "courier", "email", "in_person"]
    delivered_at: datetime
    digest: str
    acknowledged: bool


class AssignmentSettled(AssignmentEvent):
    """Trigger: the loan is repaid. Consumers: console."""

    type: ClassVar[str] = "assignment.settled.v1"
