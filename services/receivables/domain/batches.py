"""Deciding on many receivables at once: exactly what, what it comes to, and what became of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Literal

from services.receivables.domain.documents import UnreadableDocument, read_number, read_text
from services.receivables.domain.receivables import (
    AlreadyApplied,
    Executed,
    NotPossible,
    State,
    Step,
    advance,
    advance_rejected,
)
from shared.values.money import Money

MOST = 10_000
RejectionCode = Literal["wrong_amount", "wrong_buyer", "not_ordered", "not_delivered", "paid_before", "other"]
CHANGED = "amount_changed"
_COLUMNS = ("seller_id", "number")


class BatchTooLarge(ValueError):
    """More receivables than are decided at once."""

    code: ClassVar[str] = "batch_too_large"

    def __init__(self) -> None:
        """Say how many there may be."""
        super().__init__(f"At most {MOST} receivables are decided at once.")


class NothingChosen(ValueError):
    """No receivable of the obligor answers to what was asked for, or none of them can be decided."""

    code: ClassVar[str] = "nothing_chosen"

    def __init__(self) -> None:
        """Say so."""
        super().__init__("No receivable that could be decided answers to that.")


@dataclass(frozen=True, slots=True)
class Standing:
    """A receivable as it stands when it is chosen, or decided."""

    receivable_id: str
    state: str
    disputed: bool
    open: Money
    paid_minor: int = 0
    acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """A receivable as a list names it: by its seller and its number."""

    seller_id: str
    number: str


def why_not(found: Standing | None, *, step: Step, chosen: Money | None = None) -> str | None:
    """Return why a receivable is not decided, None when it can be; `chosen` is what was open of it when proposed."""
    if found is None:
        return "unknown_receivable"
    if found.disputed and step is Step.CONFIRM:
        return "disputed"
    try:
        if not isinstance(_advance(found, step), Executed):
            return found.state
    except NotPossible as error:
        return error.state.replace(" ", "_")
    return CHANGED if chosen is not None and chosen != found.open else None


def _advance(found: Standing, step: Step) -> Executed[State] | AlreadyApplied:
    here = {"document_id": found.receivable_id, "state": found.state}
    if step is Step.REJECT:
        return advance_rejected(**here, paid_minor=found.paid_minor, acknowledged=found.acknowledged)
    return advance(**here, asked=step)


def totals_of(amounts: Iterable[Money]) -> list[Money]:
    """Return what amounts come to, a sum for each currency, by its code."""
    sums: dict[str, int] = defaultdict(int)
    for each in amounts:
        sums[each.currency] += each.amount_minor
    return [Money(minor, currency) for currency, minor in sorted(sums.items())]


def digest_of(chosen: Sequence[Standing]) -> str:
    """Return the hash of exactly what is proposed: each receivable with what is open of it, in the order of the ids."""
    lines = (
        f"{each.receivable_id} {each.open.amount_minor} {each.open.currency}"
        for each in sorted(chosen, key=lambda each: each.receivable_id)
    )
    return sha256("\n".join(lines).encode()).hexdigest()


def read_named(rows: Sequence[Sequence[str]]) -> list[Named]:
    """Return what the rows of a list name, under the header seller_id,number; UnreadableDocument or BatchTooLarge."""
    if not rows or tuple(cell.strip() for cell in rows[0]) != _COLUMNS:
        raise UnreadableDocument(f"The header is not {','.join(_COLUMNS)}.")
    if len(rows) - 1 > MOST:
        raise BatchTooLarge
    if any(len(row) != len(_COLUMNS) for row in rows):
        raise UnreadableDocument(f"A row does not have {len(_COLUMNS)} cells.")
    return [Named(read_text(seller, field="seller_id"), read_number(number)) for seller, number in rows[1:]]
