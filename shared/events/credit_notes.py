"""What receivables publishes of credit notes."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal

from pydantic import BaseModel

from shared.events.envelope import Event
from shared.values.money import Amount


class CreditNoteEvent(Event):
    """A credit note as a document, whatever it lowers (R6)."""

    topic: ClassVar[str] = "scf.receivables.credit_note.v1"
    credit_note_id: str

    @property
    def subject(self) -> str:
        return self.credit_note_id


class NotePart(BaseModel):
    """How much of a credit note a receivable is lowered by."""

    receivable_id: str
    by: Amount


class CreditNoteTaken(CreditNoteEvent):
    """Trigger: a credit note is taken in. Consumers: console. Contents: the receivables that it lowers, if any.

    `state` is applied, or referred when a person must say which receivables it means, with the reasons.
    """

    type: ClassVar[str] = "credit_note.taken.v1"
    seller_id: str
    obligor_id: str
    number: str
    amount: Amount
    issue_date: date
    state: Literal["applied", "referred"]
    reasons: list[str]
    parts: list[NotePart]


class CreditNoteDecided(CreditNoteEvent):
    """Trigger: a person, or the invoices that it waited for, decide on a note that waited. Consumers: console.

    `left` is what of the note lowers nothing here: seller and obligor settle that between themselves.
    """

    type: ClassVar[str] = "credit_note.decided.v1"
    state: Literal["applied", "rejected"]
    reason: str
    parts: list[NotePart]
    left: Amount
