"""Decide a credit note that waits for a person: say which receivables it lowers, or reject it (R6, R25)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from services.receivables.domain.credit_notes import (
    MORE_THAN_NOTE,
    NoteNotApplicable,
    NoteState,
    Part,
    why_not_lowered,
)
from services.receivables.domain.receivables import NotPossible
from services.receivables.operations.lowering import SOURCE, lock_to_lower
from services.receivables.operations.take_notes import decided, note_of, take_off, target_of
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction
from shared.values.money import Amount


class UnknownCreditNote(LookupError):
    """No credit note has this id."""

    code: ClassVar[str] = "unknown_credit_note"

    def __init__(self, *, credit_note_id: str) -> None:
        """Keep the id asked for."""
        self.credit_note_id = credit_note_id
        super().__init__(f"There is no credit note {credit_note_id}.")


async def decide_note(
    tx: Transaction, *, credit_note_id: str, lowers: Sequence[tuple[str, Amount]], reason: str, actor: str
) -> dict[str, Any]:
    """Take a waiting note off the named receivables, each by so much, or reject it where none is named.

    UnknownCreditNote; NotPossible when it waits no more; UnknownReceivable, or NoteNotApplicable with every reason.
    """
    row = await tx.pg.fetchrow("SELECT * FROM credit_note WHERE credit_note_id = $1 FOR UPDATE", credit_note_id)
    if row is None:
        raise UnknownCreditNote(credit_note_id=credit_note_id)
    if row["state"] != NoteState.REFERRED:
        raise NotPossible(document_id=credit_note_id, state=row["state"], asked="be decided")
    note, parts = note_of(row), [Part(receivable_id, amount.money()) for receivable_id, amount in lowers]
    lowering, left = await lock_to_lower(tx, [each.receivable_id for each in parts]), note.amount.amount_minor
    for part in parts:
        reasons = why_not_lowered(note, target_of(lowering.of(part.receivable_id)), by=part.by)
        left -= part.by.amount_minor
        if left < 0:
            reasons.append(MORE_THAN_NOTE)
        if reasons:
            raise NoteNotApplicable(receivable_id=part.receivable_id, reasons=reasons)
        take_off(lowering, note, part, credit_note_id=credit_note_id, actor=actor)
    await lowering.write(tx)
    state = NoteState.APPLIED if parts else NoteState.REJECTED
    await tx.pg.execute("UPDATE credit_note SET state = $2 WHERE credit_note_id = $1", credit_note_id, state.value)
    event = decided(credit_note_id, note, parts, state="applied" if parts else "rejected", reason=reason)
    await append(tx, [event], source=SOURCE)
    answer = {"state": state.value, **event.model_dump(include={"parts", "left"})}
    await record(tx, [Entry(actor, "credit_note.decided", credit_note_id, {**answer, "reason": reason})])
    return {"credit_note_id": credit_note_id, **answer}
