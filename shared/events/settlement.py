"""What settlement publishes: business days, loans and collections."""

from __future__ import annotations

from datetime import date, datetime
from typing import ClassVar, Literal

from pydantic import BaseModel

from shared.events.envelope import Event
from shared.values.money import Amount


class BusinessDayEvent(Event):
    """All days are one aggregate: the book moves forward as a whole."""

    topic: ClassVar[str] = "scf.settlement.business_day.v1"

    @property
    def subject(self) -> str:
        return "book"


class BusinessDayOpened(BusinessDayEvent):
    """Trigger: an empty book is opened once. Consumers: all. Contents: the open business date."""

    type: ClassVar[str] = "business_day.opened.v1"
    open_date: date


class BusinessDayClosed(BusinessDayEvent):
    """Trigger: a second person closes the day; end of day ran. Consumers: all. Contents: the day, the next open one."""

    type: ClassVar[str] = "business_day.closed.v1"
    closed_date: date
    open_date: date


class LoanEvent(Event):
    """A loan has the id of its drawdown."""

    topic: ClassVar[str] = "scf.settlement.loan.v1"
    loan_id: str

    @property
    def subject(self) -> str:
        return self.loan_id


class Instalment(BaseModel):
    """What a loan owes on one due date, and what was paid of it; interest that is still to accrue as it would be."""

    nth: int
    due_date: date
    principal: Amount
    interest: Amount
    principal_paid: Amount
    interest_paid: Amount
    settled_date: date | None = None


class LoanStanding(BaseModel):
    """Where a loan stands on a date: what is due of it by then and not paid, part by part, and its instalments."""

    on_date: date
    costs: Amount
    penalty: Amount
    interest: Amount
    principal: Amount
    instalments: list[Instalment]


class LoanInstructed(LoanEvent):
    """Trigger: an approved drawdown is sent to the rail. Consumers: console."""

    type: ClassVar[str] = "loan.instructed.v1"
    end_to_end_id: str
    paid_out: Amount


class LoanUnknown(LoanEvent):
    """Trigger: the rail was silent past its timeout. Consumers: console. Only evidence resolves it."""

    type: ClassVar[str] = "loan.disbursement_unknown.v1"
    end_to_end_id: str


class LoanDisbursed(LoanEvent):
    """Trigger: the rail confirmed, or a statement proves it. Consumers: credit utilises, receivables finances."""

    type: ClassVar[str] = "loan.disbursed.v1"
    principal: Amount
    paid_out: Amount
    disbursed_date: date
    maturity_date: date
    standing: LoanStanding | None = None


class DisbursementFailed(LoanEvent):
    """Trigger: the rail refused, or evidence shows that no money moved. Consumers: credit releases."""

    type: ClassVar[str] = "loan.disbursement_failed.v1"
    reason: str


class LoanBilled(LoanEvent):
    """Trigger: end of day; an instalment fell due, or one that is not paid grew older. Consumers: console.

    Contents: what is due in all, and where the loan stands.
    """

    type: ClassVar[str] = "loan.billed.v1"
    due: Amount
    standing: LoanStanding


class LoanOverdue(LoanEvent):
    """Trigger: end of day after grace, something unpaid. Consumers: credit freezes, console. Contents: the delay.

    It counts from `due_date`, the oldest unpaid instalment's; `overdue` is the principal and interest that are due.
    A receipt that leaves a later instalment as the oldest one says it again.
    """

    type: ClassVar[str] = "loan.overdue.v1"
    days_past_due: int
    outstanding: Amount
    overdue: Amount | None = None
    due_date: date | None = None


class LoanCured(LoanEvent):
    """Trigger: nothing is overdue any more, and the loan goes on. Consumers: credit opens the line, console."""

    type: ClassVar[str] = "loan.cured.v1"
    cured_date: date


class LoanRepaid(LoanEvent):
    """Trigger: a receipt went through the waterfall (R5). Consumers: credit reinstates the principal part (R11)."""

    type: ClassVar[str] = "loan.repaid.v1"
    collection_id: str
    value_date: date
    costs: Amount
    penalty: Amount
    interest: Amount
    principal: Amount
    outstanding: Amount
    surplus: Amount
    standing: LoanStanding | None = None


class LoanClosed(LoanEvent):
    """Trigger: nothing is owed any more. Consumers: receivables settles the documents, credit opens the line."""

    type: ClassVar[str] = "loan.closed.v1"
    closed_date: date


class CollectionReceived(Event):
    """Trigger: a statement entry on the collection account. Consumers: console, receivables (what was paid).

    Contents: how it was applied; the loan that it went to, the document that its reference names, if any.
    """

    type: ClassVar[str] = "collection.received.v1"
    topic: ClassVar[str] = "scf.settlement.collection.v1"
    collection_id: str
    account: str
    received: Amount
    applied: Amount
    unmatched: Amount
    value_date: date
    reference: str
    loan_id: str | None = None
    document_id: str | None = None

    @property
    def subject(self) -> str:
        return self.collection_id


class CollectionCleared(Event):
    """Trigger: what waited of a receipt went where two persons said. Consumers: console, receivables (what was paid).

    Contents: how much, how much `passed` there of the receipt in all, and what still waits. To a `loan` and its
    waterfall; to the `owner` of a receivable or back to the `payer`, once it has left; or against a `debit` that it
    returned.
    """

    type: ClassVar[str] = "collection.cleared.v1"
    topic: ClassVar[str] = "scf.settlement.collection.v1"
    collection_id: str
    clearing_id: str
    way: Literal["loan", "owner", "payer", "debit"]
    amount: Amount
    passed: Amount
    unmatched: Amount
    value_date: date
    loan_id: str | None = None
    document_id: str | None = None

    @property
    def subject(self) -> str:
        return self.collection_id


class NettingEvent(Event):
    """One proposal to set off debts that go round."""

    topic: ClassVar[str] = "scf.settlement.netting.v1"
    netting_id: str

    @property
    def subject(self) -> str:
        return self.netting_id


class NettingLeg(BaseModel):
    """One receivable, and by how much it falls."""

    receivable_id: str
    debtor_id: str
    creditor_id: str
    amount: Amount


class NettingProposed(NettingEvent):
    """Trigger: a netting run found debts that go round. Consumers: console. Contents: how much and until when."""

    type: ClassVar[str] = "netting.proposed.v1"
    cleared: Amount
    parties: int
    legs: int
    accept_by: datetime


class NettingAccepted(NettingEvent):
    """Trigger: the last of its parties accepts. Consumers: receivables sets all legs off, or none (R14)."""

    type: ClassVar[str] = "netting.accepted.v1"
    cleared: Amount
    legs: list[NettingLeg]


class NettingSettled(NettingEvent):
    """Trigger: every leg fell; the offsets are posted. Consumers: console. Contents: how much was cleared."""

    type: ClassVar[str] = "netting.settled.v1"
    cleared: Amount
    posting_date: date


class NettingEnded(NettingEvent):
    """Trigger: declined, too late, or a debt changed: nothing happened. Consumers: console. Contents: why."""

    type: ClassVar[str] = "netting.ended.v1"
    code: str
    reason: str
