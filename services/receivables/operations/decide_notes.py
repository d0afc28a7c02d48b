"""Decide a credit note that waits for a person: say which receivable it lowers, or reject it (R6, R25)."""

from __future__ import annotations

from typing import Any, ClassVar

from services.receivables.domain.credit_notes import NoteNotApplicable, NoteState, why_not_lowered
from services.receivables.domain.receivables import NotPossible
from services.receivables.operations.lowering import SOURCE, lock_to_lower
from services.receivables.operations.take_notes import note_of, take_off, target_of
from shared.events.credit_notes import CreditNoteDecided
from shared.messaging.outbox import append
from shared.storage.audit import Entry, record
from shared.storage.database import Transaction


class UnknownCreditNote(LookupError):
    """No credit note has this id."""

    code: ClassVar[str] = "unknown_credit_note"

    def __init__(self, *, credit_note_id: str) -> None:
        """Keep the id asked for."""
        self.credit_note_id = credit_note_id
        super().__init__(f"There is no credit note {credit_note_id}.")


async def decide_note(
    tx: Transaction, *, credit_note_id: str, receivable_id: str | None, reason: str, actor: str
) -> dict[str, Any]:
    """Take a waiting note off the named receivable, or reject it where none is named.

    UnknownCreditNote; NotPossible when it waits no more; UnknownReceivable, or NoteNotApplicable with every reason.
    """
    row = await tx.pg.fetchrow("SELECT * FROM credit_note WHERE credit_note_id = $1 FOR UPDATE", credit_note_id)
    if row is None:
        raise UnknownCreditNote(credit_note_id=credit_note_id)
    if row["state"] != NoteState.REFERRED:
        raise NotPossible(document_id=credit_note_id, state=row["state"], asked="be decided")
    if receivable_id is not None:
        note, lowering = note_of(row), await lock_to_lower(tx, [receivable_id])
        reasons = why_not_lowered(note, target_of(lowering.of(receivable_id)))
        if reasons:
            raise NoteNotApplicable(receivable_id=receivable_id, reasons=reasons)
        take_off(lowering, note, receivable_id=receivable_id, actor=actor)
        await lowering.write(tx)
    state = NoteState.REJECTED if receivable_id is None else NoteState.APPLIED
    await tx.pg.execute(
        "UPDATE credit_note SET state = $2, receivable_id = $3 WHERE credit_note_id = $1",
        *(credit_note_id, state.value, receivable_id),
    )
    event = CreditNoteDecided(
        credit_note_id=credit_note_id,
        state="rejected" if receivable_id is None else "applied",
        reason=reason,
        receivable_id=receivable_id,
    )
    await append(tx, [event], source=SOURCE)
    facts = {"state": state.value, "receivable_id": receivable_id, "reason": reason}
    await record(tx, [Entry(actor, "credit_note.decided", credit_note_id, facts)])
    return {"credit_note_id": credit_note_id, "state": state.value, "receivable_id": receivable_id}
