"""Credit notes: which receivables one lowers, and by how much, or why a person must say (R6, R7, R8)."""

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

CITES_NONE, FINANCED_APART = "cites_no_invoice", "invoices_financed_apart"
MORE_THAN_OPEN, MORE_THAN_NOTE = "more_than_is_open", "more_than_the_note"
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
    number: str
    issue_date: date
    open: Money
    state: str
    undertaking: str
    vouchered: bool
    drawdown_id: str | None = None
    noted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Part:
    """How much of a note one receivable is lowered by."""

    receivable_id: str
    by: Money


@dataclass(frozen=True, slots=True)
class Placed:
    """The receivables that the note lowers, all of it together."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Waits:
    """Why a person must look."""

    reasons: tuple[str, ...]


def cited_apart(cites: Sequence[Cited]) -> list[Cited]:
    """Return the invoices that a note cites, each once, in the order of citing (BG-3 may repeat).

    The same number twice, once with its date: the date says more.
    """
    dated = {number_key(each.number) for each in cites if each.issue_date is not None}
    apart = {
        (number_key(each.number), each.issue_date): each
        for each in cites
        if each.issue_date is not None or number_key(each.number) not in dated
    }
    return list(apart.values())


def place(note: Note, targets: Sequence[Target]) -> Placed | Waits:
    """Return which of the seller's receivables under the cited numbers a note lowers, or why a person must say.

    Nothing is guessed: a number alone is enough where one receivable has it, and a stated date must be its.
    """
    cited = cited_apart(note.cites)
    if not cited:
        return Waits((CITES_NONE,))
    meant = [_meant(each, targets) for each in cited]
    found = [each for each in meant if isinstance(each, Target)]
    obstacles = [each for each in meant if isinstance(each, str)]
    if not obstacles:
        obstacles = [reason for each in found for reason in in_the_way(note, each)]
    return Waits(tuple(dict.fromkeys(obstacles))) if obstacles else _share_out(note, found)


def why_not_lowered(note: Note, target: Target, *, by: Money) -> list[str]:
    """Return all that is in the way of taking so much of a note off a receivable; nothing when it can be (R6)."""
    reasons = in_the_way(note, target)
    if by.amount_minor <= 0:
        reasons.append("nothing_taken_off")
    if by.currency != note.amount.currency:
        reasons.append("other_currency")
    elif by.amount_minor > target.open.amount_minor:
        reasons.append(MORE_THAN_OPEN)
    return list(dict.fromkeys(reasons))


def in_the_way(note: Note, target: Target) -> list[str]:
    """Return what is in the way of this note on that receivable, whatever the amount."""
    reasons = []
    if target.seller_id != note.seller_id:
        reasons.append("other_seller")
    if target.obligor_id != note.obligor_id:
        reasons.append("other_obligor")
    if note.amount.currency != target.open.currency:
        reasons.append("other_currency")
    if target.undertaking == "irrevocable" or target.vouchered:
        reasons.append("undertaking_irrevocable")
    if number_key(note.number) in {number_key(each) for each in target.noted}:
        reasons.append("noted_before")
    try:
        advance(document_id=target.receivable_id, state=target.state, asked=Step.DILUTE)
    except NotPossible:
        reasons.append(f"invoice_{target.state}")
    return reasons


def _meant(cited: Cited, targets: Sequence[Target]) -> Target | str:
    """Return the receivable that a citation means, or why that is not clear."""
    found = [each for each in targets if number_key(each.number) == number_key(cited.number)]
    if not found:
        return NOT_KNOWN
    if cited.issue_date is not None:
        found = [each for each in found if each.issue_date == cited.issue_date]
        if not found:
            return DATE_DIFFERS
    return found[0] if len(found) == 1 else SAME_NUMBER_TWICE


def _share_out(note: Note, targets: Sequence[Target]) -> Placed | Waits:
    """Lower in the order of citing, each by what is open of it, until the note is used up (R7).

    A document says how much it takes back in all, and not of which invoice. Where a loan stands on some of them and
    not on others, that would decide whose base falls (R6), so a person says; unless the note takes back all of them.
    """
    left, parts = note.amount.amount_minor, []
    every = sum(each.open.amount_minor for each in targets)
    if left > every:
        return Waits((MORE_THAN_OPEN,))
    if left < every and len({each.drawdown_id for each in targets}) > 1:
        return Waits((FINANCED_APART,))
    for each in targets:
        by_minor = min(left, each.open.amount_minor)
        if by_minor:
            parts.append(Part(each.receivable_id, Money(by_minor, note.amount.currency)))
            left -= by_minor
    return Placed(tuple(parts))
