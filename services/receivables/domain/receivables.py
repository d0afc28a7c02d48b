"""The life of a receivable and of its assignment (DOMAIN §2, §5) as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

S = TypeVar("S", bound=StrEnum)
A = TypeVar("A", bound=StrEnum)


class State(StrEnum):
    """Where a receivable stands."""

    VALIDATED = "validated"
    REFERRED = "referred"
    CONFIRMED = "confirmed"
    ASSIGNED = "assigned"
    FINANCED = "financed"
    SETTLED = "settled"
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class Step(StrEnum):
    """What can happen to a receivable."""

    ACCEPT = "be accepted"
    REJECT = "be rejected"
    CONFIRM = "be confirmed"
    DILUTE = "be diluted"
    PAY = "be paid in part"
    CANCEL = "be cancelled"
    DISPUTE = "be disputed"
    ACKNOWLEDGE = "be acknowledged"
    VOUCHER = "be vouchered"
    ASSIGN = "be assigned"
    FREE = "be freed"
    FINANCE = "be financed"
    SETTLE = "be settled"


class NotPossible(Exception):
    """The document is not in a state for that: nothing was done."""

    code: ClassVar[str] = "not_possible_now"

    def __init__(self, *, document_id: str, state: str, asked: str) -> None:
        """Keep the document, its state and what was asked."""
        self.document_id = document_id
        self.state = state
        self.asked = asked
        super().__init__(f"What is {state} cannot {asked}.")


@dataclass(frozen=True, slots=True)
class Executed(Generic[S]):
    """The move is possible, to this state."""

    state: S


@dataclass(frozen=True, slots=True)
class AlreadyApplied:
    """Nothing to do: it was done before, or comes too late."""


def told(state: str) -> str:
    """Return a document's state as who owes it is told: it has notice of an assignment, never of a loan (R23)."""
    return "assigned" if state == "financed" else state


def move(
    following: Mapping[tuple[S, A], S], done: Mapping[A, S], *, document_id: str, here: S, asked: A
) -> Executed[S] | AlreadyApplied:
    """Return what is asked of a document makes of it, by tables of what follows and what is done then; NotPossible."""
    if (here, asked) in following:
        return Executed(following[here, asked])
    if done.get(asked) is here:
        return AlreadyApplied()
    raise NotPossible(document_id=document_id, state=str(here), asked=str(asked))


_NEXT: dict[tuple[State, Step], State] = {
    (State.REFERRED, Step.ACCEPT): State.VALIDATED,
    (State.REFERRED, Step.REJECT): State.REJECTED,
    (State.VALIDATED, Step.REJECT): State.REJECTED,
    (State.VALIDATED, Step.CONFIRM): State.CONFIRMED,
    (State.VALIDATED, Step.ACKNOWLEDGE): State.VALIDATED,
    (State.VALIDATED, Step.DISPUTE): State.VALIDATED,
    (State.CONFIRMED, Step.DISPUTE): State.CONFIRMED,
    (State.ASSIGNED, Step.DISPUTE): State.ASSIGNED,
    (State.FINANCED, Step.DISPUTE): State.FINANCED,
    (State.VALIDATED, Step.DILUTE): State.VALIDATED,
    (State.CONFIRMED, Step.DILUTE): State.CONFIRMED,
    (State.ASSIGNED, Step.DILUTE): State.ASSIGNED,
    (State.FINANCED, Step.DILUTE): State.FINANCED,
    (State.VALIDATED, Step.PAY): State.VALIDATED,
    (State.CONFIRMED, Step.PAY): State.CONFIRMED,
    (State.ASSIGNED, Step.PAY): State.ASSIGNED,
    (State.FINANCED, Step.PAY): State.FINANCED,
    (State.REFERRED, Step.CANCEL): State.CANCELLED,
    (State.VALIDATED, Step.CANCEL): State.CANCELLED,
    (State.CONFIRMED, Step.CANCEL): State.CANCELLED,
    (State.CONFIRMED, Step.VOUCHER): State.CONFIRMED,
    (State.CONFIRMED, Step.ASSIGN): State.ASSIGNED,
    (State.ASSIGNED, Step.FREE): State.CONFIRMED,
    (State.ASSIGNED, Step.FINANCE): State.FINANCED,
    (State.FINANCED, Step.SETTLE): State.SETTLED,
    (State.CONFIRMED, Step.SETTLE): State.SETTLED,
    (State.VALIDATED, Step.SETTLE): State.SETTLED,
}
_DONE: dict[Step, State] = {
    Step.ACCEPT: State.VALIDATED,
    Step.REJECT: State.REJECTED,
    Step.CONFIRM: State.CONFIRMED,
    Step.FINANCE: State.FINANCED,
    Step.SETTLE: State.SETTLED,
    Step.CANCEL: State.CANCELLED,
}


def advance(*, document_id: str, state: str, asked: Step) -> Executed[State] | AlreadyApplied:
    """Return what a step makes of a receivable; NotPossible when its state does not allow it."""
    return move(_NEXT, _DONE, document_id=document_id, here=State(state), asked=asked)


def advance_cancelled(
    *, document_id: str, state: str, vouchered: bool, paid_minor: int
) -> Executed[State] | AlreadyApplied:
    """Return what its seller's taking it back makes of a receivable; NotPossible once something stands on it."""
    stands = "vouchered" if vouchered else "paid in part" if paid_minor else ""
    return _unless(stands, document_id=document_id, state=state, asked=Step.CANCEL)


def advance_rejected(
    *, document_id: str, state: str, paid_minor: int, acknowledged: bool
) -> Executed[State] | AlreadyApplied:
    """Return what its obligor's rejecting it makes of a receivable; NotPossible once it paid on it or agreed to it.

    A rejected claim's number is free again (R8): what was paid or set off would be owed and financed once more.
    """
    stands = "paid in part" if paid_minor else "acknowledged" if acknowledged else ""
    return _unless(stands, document_id=document_id, state=state, asked=Step.REJECT)


def _unless(stands: str, *, document_id: str, state: str, asked: Step) -> Executed[State] | AlreadyApplied:
    if stands:
        raise NotPossible(document_id=document_id, state=stands, asked=str(asked))
    return advance(document_id=document_id, state=state, asked=asked)


class Assignment(StrEnum):
    """Where the assignment of documents to a drawdown stands; of a drawdown without any, nothing ever moves."""

    ASSIGNED = "assigned"
    REFUSED = "refused"
    NOTHING = "nothing"
    WITHDRAWN = "withdrawn"
    FREED = "freed"
    FINANCED = "financed"
    SETTLED = "settled"


class Happened(StrEnum):
    """What can happen to an assignment."""

    WITHDRAWN = "withdrawn"
    RELEASED = "released"
    DISBURSED = "disbursed"
    CLOSED = "closed"


_NEXT_ASSIGNMENT: dict[tuple[Assignment, Happened], Assignment] = {
    (Assignment.ASSIGNED, Happened.WITHDRAWN): Assignment.WITHDRAWN,
    (Assignment.ASSIGNED, Happened.RELEASED): Assignment.FREED,
    (Assignment.WITHDRAWN, Happened.RELEASED): Assignment.FREED,
    (Assignment.ASSIGNED, Happened.DISBURSED): Assignment.FINANCED,
    (Assignment.WITHDRAWN, Happened.DISBURSED): Assignment.FINANCED,
    # The money went out although credit had released it: take the documents again where they are free.
    (Assignment.FREED, Happened.DISBURSED): Assignment.FINANCED,
    (Assignment.FINANCED, Happened.CLOSED): Assignment.SETTLED,
}


def advance_assignment(state: str, happened: Happened) -> Executed[Assignment] | AlreadyApplied:
    """Return what an event does to an assignment; what comes late or twice does nothing."""
    following = _NEXT_ASSIGNMENT.get((Assignment(state), happened))
    return AlreadyApplied() if following is None else Executed(following)
