"""Dilute a receivable: a credit note or set-off lowers what can be financed, never the loan (R6)."""

from __future__ import annotations

from typing import Any, ClassVar

from services.receivables.domain.financeable import dilute
from services.receivables.domain.receivables import Executed, Happened, Step, advance, advance_assignment
from services.receivables.operations.locking import lock_receivable
from services.receivables.operations.take_documents import SOURCE
from shared.events.envelope import Event
from shared.events.receivables import DocumentsWithdrawn, ReceivableDiluted
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction
from shared.values.money import Amount, Money
from shared.web.auth import ForeignParty


class DuplicateDilution(ValueError):
    """The credit note was taken off this receivable before."""

    code: ClassVar[str] = "duplicate_dilution"

    def __init__(self, *, receivable_id: str, reference: str) -> None:
        """Keep the receivable and the note's reference."""
        self.receivable_id = receivable_id
        self.reference = reference
        super().__init__(f"The note {reference!r} was taken off this receivable before.")


async def dilute_receivable(
    tx: Transaction,
    *,
    receivable_id: str,
    amount: Amount,
    reason: str,
    reference: str,
    party: str | None,
    actor: str,
) -> dict[str, Any]:
    """Take a note off a receivable; documents assigned but not yet paid for are withdrawn (DOMAIN §5)."""
    # The assignment is locked before its documents, as everywhere.
    assignment = await tx.pg.fetchrow(
        """SELECT a.drawdown_id, a.state FROM assignment a JOIN receivable r USING (drawdown_id)
        WHERE r.receivable_id = $1 FOR UPDATE OF a""",
        receivable_id,
    )
    row = await lock_receivable(tx, receivable_id=receivable_id)
    if party is not None and party not in {row["seller_id"], row["obligor_id"]}:
        raise ForeignParty
    advance(document_id=receivable_id, state=row["state"], asked=Step.DILUTE)
    by = amount.money()
    left = dilute(
        receivable_id=receivable_id,
        financeable=Money(row["financeable_minor"], row["currency"]),
        by=by,
        undertaking=row["undertaking"],
        vouchered=row["vouchered"],
    )
    inserted = await tx.pg.fetchval(
        """INSERT INTO dilution (receivable_id, reference, amount_minor, reason, actor) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT DO NOTHING RETURNING true""",
        *(receivable_id, reference, by.amount_minor, reason, actor),
    )
    if not inserted:
        raise DuplicateDilution(receivable_id=receivable_id, reference=reference)
    await tx.pg.execute(
        "UPDATE receivable SET financeable_minor = $2 WHERE receivable_id = $1", receivable_id, left.amount_minor
    )
    wire = Amount(**left.wire())
    said: list[Event] = [ReceivableDiluted(receivable_id=receivable_id, by=amount, financeable=wire, reason=reason)]
    if assignment is not None and assignment["drawdown_id"] == row["drawdown_id"]:
        step = advance_assignment(assignment["state"], Happened.WITHDRAWN)
        if isinstance(step, Executed):
            await tx.pg.execute(
                "UPDATE assignment SET state = $2, reason = $3 WHERE drawdown_id = $1",
                *(assignment["drawdown_id"], step.state.value, f"diluted: {reason}"),
            )
            said.append(DocumentsWithdrawn(drawdown_id=assignment["drawdown_id"], reason=f"diluted: {reason}"))
    await append(tx, said, source=SOURCE)
    await record(tx, [Entry(actor, "receivable.diluted", receivable_id, {"by": by.wire(), "reference": reference})])
    return {"receivable_id": receivable_id, "by": by.wire(), "financeable": left.wire(), "reference": reference}
