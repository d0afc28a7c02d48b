"""What two firms say of a debt between them: that it exists, by both before it counts; or that it is disputed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import ClassVar

from services.receivables.domain.documents import EInvoice, InvalidDueDate, Party, check_payable, read_number
from services.receivables.domain.duplicates import DuplicateDocument
from services.receivables.domain.financeable import IrrevocableUndertaking
from services.receivables.domain.receivables import State, Step, advance, told
from services.receivables.operations.locking import Row, lock_receivable
from services.receivables.operations.lowering import lock_to_lower
from services.receivables.operations.take_documents import SOURCE, Taken, take_in
from shared.events.receivables import ReceivableAcknowledged, ReceivableDisputed, ReceivableDisputeEnded
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Database, Transaction
from shared.values.money import Amount, Money
from shared.web.auth import ForeignParty

_SAID = """
INSERT INTO acknowledgement (receivable_id, enterprise_id, person) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING RETURNING true
"""


class NotTheirDispute(PermissionError):
    """Only the obligor disputes what it owes, and only it takes that back."""

    code: ClassVar[str] = "not_the_obligor"

    def __init__(self) -> None:
        """Tell who may."""
        super().__init__("Only the obligor disputes a debt or takes its dispute back.")


@dataclass(frozen=True, slots=True)
class Obligation:
    """A debt as one of its parties states it."""

    debtor_id: str
    creditor_id: str
    amount: Money
    number: str
    issue_date: date
    due_date: date


async def register_obligation(database: Database, *, stated: Obligation, party: str, actor: str) -> str:
    """Register a debt between two firms, by either of them, and return its receivable's id.

    It is a receivable like any other: the same claim never stands twice (R8), in whatever form it comes. What stands
    already in the same words is acknowledged by this side as well; DuplicateDocument when the words differ, or when it
    was taken back.
    """
    stated = replace(stated, number=read_number(stated.number))
    if stated.due_date < stated.issue_date:
        raise InvalidDueDate(due_date=stated.due_date, issue_date=stated.issue_date)
    invoice = EInvoice(
        syntax="declared",
        document="obligation",
        profile="",
        number=stated.number,
        document_type="380",
        issue_date=stated.issue_date,
        due_date=stated.due_date,
        payable=check_payable(stated.amount),
        seller=Party(enterprise_id=stated.creditor_id),
        buyer=Party(enterprise_id=stated.debtor_id),
    )
    async with database.transaction() as tx:
        (answer,) = await take_in(tx, documents=[("", invoice)], party=party, actor=actor)
        if isinstance(answer, Taken):
            await _say(tx, await lock_receivable(tx, receivable_id=answer.receivable_id), party=party, actor=actor)
            return answer.receivable_id
        if not isinstance(answer, DuplicateDocument):
            raise answer
        row = await lock_receivable(tx, receivable_id=answer.receivable_id)
        if _words(row) != stated or row["state"] == State.CANCELLED:
            raise answer
        await _say(tx, row, party=party, actor=actor)
        return answer.receivable_id


async def acknowledge(database: Database, *, receivable_id: str, party: str, actor: str) -> None:
    """Say as seller or obligor that a debt exists; UnknownReceivable, ForeignParty or NotPossible otherwise."""
    async with database.transaction() as tx:
        row = await lock_receivable(tx, receivable_id=receivable_id)
        if party not in {row["seller_id"], row["obligor_id"]}:
            raise ForeignParty
        state = row["state"] if party == row["seller_id"] else told(row["state"])
        advance(document_id=receivable_id, state=state, asked=Step.ACKNOWLEDGE)
        await _say(tx, row, party=party, actor=actor)


async def dispute(database: Database, *, receivable_id: str, reason: str, party: str, actor: str) -> None:
    """Dispute what one owes: nothing new stands on it; documents assigned and not yet paid for are withdrawn.

    UnknownReceivable, ForeignParty, NotTheirDispute, IrrevocableUndertaking or NotPossible otherwise.
    """
    async with database.transaction() as tx:
        lowering = await lock_to_lower(tx, [receivable_id])
        row = lowering.of(receivable_id).row
        _check_owes(row, party)
        if row["disputed"]:
            return
        advance(document_id=receivable_id, state=row["state"], asked=Step.DISPUTE)
        if row["undertaking"] == "irrevocable" or row["vouchered"]:
            raise IrrevocableUndertaking(receivable_id=receivable_id)
        await tx.pg.execute("UPDATE receivable SET disputed = true WHERE receivable_id = $1", receivable_id)
        lowering.said.append(ReceivableDisputed(receivable_id=receivable_id, reason=reason))
        lowering.withdraw(receivable_id, reason=f"disputed: {reason}")
        await lowering.write(tx)
        await record(tx, [Entry(actor, "receivable.disputed", receivable_id, {"reason": reason})])


async def end_dispute(database: Database, *, receivable_id: str, reason: str, party: str, actor: str) -> None:
    """Take a dispute back; UnknownReceivable, ForeignParty or NotTheirDispute otherwise."""
    async with database.transaction() as tx:
        row = await lock_receivable(tx, receivable_id=receivable_id)
        _check_owes(row, party)
        if not row["disputed"]:
            return
        await tx.pg.execute("UPDATE receivable SET disputed = false WHERE receivable_id = $1", receivable_id)
        await append(tx, [ReceivableDisputeEnded(receivable_id=receivable_id, reason=reason)], source=SOURCE)
        await record(tx, [Entry(actor, "receivable.dispute_ended", receivable_id, {"reason": reason})])


async def _say(tx: Transaction, row: Row, *, party: str, actor: str) -> None:
    """Note that a side acknowledges."""
    if await tx.pg.fetchval(_SAID, row["receivable_id"], party, actor):
        await record(tx, [Entry(actor, "receivable.acknowledged", row["receivable_id"], {"party": party})])
    await count_agreed(tx, row)


async def count_agreed(tx: Transaction, row: Row) -> None:
    """Count a debt for netting once both sides acknowledge it and it waits for nobody."""
    receivable_id = row["receivable_id"]
    said = await tx.pg.fetchval("SELECT count(*) FROM acknowledgement WHERE receivable_id = $1", receivable_id)
    if said < len((row["seller_id"], row["obligor_id"])) or row["acknowledged"] or row["state"] != State.VALIDATED:
        return
    await tx.pg.execute("UPDATE receivable SET acknowledged = true WHERE receivable_id = $1", receivable_id)
    event = ReceivableAcknowledged(
        receivable_id=receivable_id,
        seller_id=row["seller_id"],
        obligor_id=row["obligor_id"],
        owed=Amount.of(amount_minor=row["financeable_minor"], currency=row["currency"]),
        due_date=row["due_date"],
    )
    await append(tx, [event], source=SOURCE)


def _check_owes(row: Row, party: str) -> None:
    if party not in {row["seller_id"], row["obligor_id"]}:
        raise ForeignParty
    if party != row["obligor_id"]:
        raise NotTheirDispute


def _words(row: Row) -> Obligation:
    """Return a receivable as a party would state it."""
    return Obligation(
        debtor_id=row["obligor_id"],
        creditor_id=row["seller_id"],
        amount=Money(row["payable_minor"], row["currency"]),
        number=row["number"],
        issue_date=row["issue_date"],
        due_date=row["due_date"],
    )
