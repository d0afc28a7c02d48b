"""Credit notes: which receivable one lowers, or why a person must say (R6, R7, R8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import ClassVar

from services.receivables.domain.documents import Cited
from services.receivables.domain.duplicates import number_key
from services.receivables.domain.receivables import NotPossible, Step, advance
from shared.values.money import Money

CITES_NONE, CITES_SEVERAL = "cites_no_invoice", "cites_several_invoices"
NOT_KNOWN, DATE_DIFFERS, SAME_NUMBER_TWICE = "invoice_not_known", "invoice_date_differs", "number_of_several_invoices"
# What another document, or a person's decision on another document, can still answer: looked at again by itself.
WAITS_FOR_INVOICE = (NOT_KNOWN, "invoice_referred")


class NoteState(StrEnum):
    """Where a credit note stands: it lowered a receivable, waits for a person, or that person rejected it."""

    APPLIED = "applied"
    REFERRED = "referred"
    REJECTED = "rejected"


class DuplicateNote(ValueError):
    """The seller's note of this number and year was taken in before, whatever it cites and whoever brings it."""

    code: ClassVar[str] = "duplicate_credit_note"

    def __init__(self, *, credit_note_id: str, number: str, issue_year: int, state: str) -> None:
        """Keep the note that stands."""
        self.credit_note_id = credit_note_id
        self.number = number
        self.issue_year = issue_year
        self.state = state
        super().__init__(f"The credit note {number!r} of {issue_year} was taken in before, as {credit_note_id}.")


class NoteNotApplicable(ValueError):
    """The receivable that a person names cannot be lowered by this note; the reasons say why."""

    code: ClassVar[str] = "credit_note_not_applicable"

    def __init__(self, *, receivable_id: str, reasons: Sequence[str]) -> None:
        """Keep the receivable and the reasons."""
        self.receivable_id = receivable_id
        self.reasons = list(reasons)
        super().__init__(f"The note cannot lower {receivable_id}: {', '.join(reasons)}.")


@dataclass(frozen=True, slots=True)
class Note:
    """What a credit note says, its parties resolved."""

    seller_id: str
    obligor_id: str
    number: str
    amount: Money
    cites: tuple[Cited, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A receivable that a note may mean, as it stands; `noted` are the references that were taken off it before."""

    receivable_id: str
    seller_id: str
    obligor_id: str
    issue_date: date
    open: Money
    state: str
    undertaking: str
    vouchered: bool
    noted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Placed:
    """The receivable that the note lowers."""

    receivable_id: str


@dataclass(frozen=True, slots=True)
class Waits:
    """Why a person must look."""

    reasons: tuple[str, ...]


def cited_once(cites: Sequence[Cited]) -> Cited | Waits:
    """Return the one invoice that a note cites; it waits when that is none, or several."""
    if not cites:
        return Waits((CITES_NONE,))
    if len({number_key(each.number) for each in cites}) > 1:
        return Waits((CITES_SEVERAL,))
    # The same number twice, once with its date: the date says more.
    return max(cites, key=lambda each: each.issue_date is not None)


def place(note: Note, targets: Sequence[Target]) -> Placed | Waits:
    """Return which of the seller's receivables under the cited number a note lowers, or why a person must say.

    Nothing is guessed: the number alone is enough where one receivable has it, and a stated date must be its.
    """
    cited = cited_once(note.cites)
    if isinstance(cited, Waits):
        return cited
    found = list(targets)
    if cited.issue_date is not None and found:
        found = [each for each in found if each.issue_date == cited.issue_date]
        if not found:
            return Waits((DATE_DIFFERS,))
    if not found:
        return Waits((NOT_KNOWN,))
    if len(found) > 1:
        return Waits((SAME_NUMBER_TWICE,))
    reasons = why_not_lowered(note, found[0])
    return Waits(tuple(reasons)) if reasons else Placed(found[0].receivable_id)


def why_not_lowered(note: Note, target: Target) -> list[str]:
    """Return everything that is in the way of taking a note off a receivable; nothing when it can be (R6)."""
    reasons = []
    if target.seller_id != note.seller_id:
        reasons.append("other_seller")
    if target.obligor_id != note.obligor_id:
        reasons.append("other_obligor")
    if note.amount.currency != target.open.currency:
        reasons.append("other_currency")
    elif note.amount.amount_minor > target.open.amount_minor:
        reasons.append("more_than_is_open")
    if target.undertaking == "irrevocable" or target.vouchered:
        reasons.append("undertaking_irrevocable")
    if number_key(note.number) in {number_key(each) for each in target.noted}:
        reasons.append("noted_before")
    try:
        advance(document_id=target.receivable_id, state=target.state, asked=Step.DILUTE)
    except NotPossible:
        reasons.append(f"invoice_{target.state}")
    return reasons
