"""The life of a drawdown as a table (DOMAIN §5): an input and a state give the next state and what moves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from services.credit.domain.limits import Move


class State(StrEnum):
    """Where a drawdown stands."""

    HELD = "held"
    REFERRED = "referred"
    APPROVED = "approved"
    CANCELLING = "cancelling"
    RELEASED = "released"
    UTILISED = "utilised"
    REPAID = "repaid"


class Input(StrEnum):
    """What can happen to a drawdown."""

    ASSIGNED = "documents_assigned"
    ASSIGNED_OUTSIDE_POLICY = "documents_assigned_outside_policy"
    REFUSED = "assignment_refused"
    CANCEL = "cancel"
    BLOCK = "block"
    WITHDRAWN = "documents_withdrawn"
    EXPIRE = "expire"
    APPROVE = "approve"
    DECLINE = "decline"
    DISBURSED = "loan_disbursed"
    FAILED = "disbursement_failed"
    CLOSED = "loan_closed"


class NotPossible(Exception):
    """The drawdown is past that: nothing was done."""

    code: ClassVar[str] = "not_possible_now"

    def __init__(self, *, drawdown_id: str, state: str, asked: str) -> None:
        """Keep the drawdown, its state and what was asked."""
        self.drawdown_id = drawdown_id
        self.state = state
        self.asked = asked
        super().__init__(f"A drawdown that is {state} cannot {asked}.")


# (state, input) → next state; a pair that is missing is ignored (late, repeated) or refused (asked by a person).
_NEXT: dict[tuple[State, Input], State] = {
    (State.HELD, Input.ASSIGNED): State.APPROVED,
    (State.HELD, Input.ASSIGNED_OUTSIDE_POLICY): State.REFERRED,
    (State.HELD, Input.REFUSED): State.RELEASED,
    (State.HELD, Input.CANCEL): State.RELEASED,
    (State.HELD, Input.BLOCK): State.RELEASED,
    (State.HELD, Input.WITHDRAWN): State.RELEASED,
    (State.HELD, Input.EXPIRE): State.RELEASED,
    (State.REFERRED, Input.APPROVE): State.APPROVED,
    (State.REFERRED, Input.DECLINE): State.RELEASED,
    (State.REFERRED, Input.CANCEL): State.RELEASED,
    (State.REFERRED, Input.BLOCK): State.RELEASED,
    (State.REFERRED, Input.WITHDRAWN): State.RELEASED,
    (State.REFERRED, Input.REFUSED): State.RELEASED,
    (State.REFERRED, Input.EXPIRE): State.RELEASED,
    (State.APPROVED, Input.DISBURSED): State.UTILISED,
    (State.APPROVED, Input.FAILED): State.RELEASED,
    (State.APPROVED, Input.CANCEL): State.CANCELLING,
    (State.APPROVED, Input.BLOCK): State.CANCELLING,
    (State.APPROVED, Input.WITHDRAWN): State.CANCELLING,
    (State.CANCELLING, Input.FAILED): State.RELEASED,
    (State.CANCELLING, Input.DISBURSED): State.UTILISED,
    (State.UTILISED, Input.CLOSED): State.REPAID,
    # The money went out although we had released it: it is used, there is a shortfall, and an incident.
    (State.RELEASED, Input.DISBURSED): State.UTILISED,
}
_HOLDING = frozenset({State.HELD, State.REFERRED, State.APPROVED, State.CANCELLING})


@dataclass(frozen=True, slots=True)
class Executed:
    """The drawdown moves to a state, and its exposure moves on the path."""

    state: State
    move: Move
    incident: str | None = None


@dataclass(frozen=True, slots=True)
class AlreadyApplied:
    """Nothing to do: it was done before, or comes too late."""


def step(state: State, happened: Input, *, exposure_minor: int) -> Executed | AlreadyApplied:
    """Return what an input does to a drawdown of this exposure, in minor units."""
    following = _NEXT.get((state, happened))
    if following is None:
        return AlreadyApplied()
    before = exposure_minor if state in _HOLDING else 0
    if happened is Input.CLOSED:
        return Executed(following, Move())
    move = Move(
        held_before=before,
        held_after=exposure_minor if following in _HOLDING else 0,
        utilised_before=0,
        utilised_after=exposure_minor if following is State.UTILISED else 0,
    )
    incidents = {State.RELEASED: "disbursed_after_release", State.CANCELLING: "disbursed_while_cancelling"}
    incident = incidents.get(state) if happened is Input.DISBURSED else None
    return Executed(following, move, incident)


@dataclass(frozen=True, slots=True)
class Repaid:
    """What is open after principal was repaid, what the path still carries, and how it moves."""

    outstanding_minor: int
    used_minor: int
    move: Move


def repay(
    *, exposure_minor: int, disbursed_minor: int, outstanding_minor: int, used_minor: int, principal_minor: int
) -> Repaid:
    """Return how use shrinks when principal is repaid (R11); a purchase's face shrinks in proportion.

    A negative principal is a reversal: it uses again, and never fails.
    """
    left = max(0, outstanding_minor - principal_minor)
    used = exposure_minor * left // disbursed_minor if disbursed_minor else 0
    return Repaid(left, used, Move(utilised_before=used_minor, utilised_after=used))


def after_repayment(state: State, *, outstanding_minor: int) -> State:
    """Return the state after principal moved: a reversal of a repaid loan opens it again."""
    return State.UTILISED if state is State.REPAID and outstanding_minor > 0 else state


def outside_policy(*, principal_minor: int, auto_approve_minor: int, warnings: tuple[str, ...] = ()) -> list[str]:
    """Return why a person must decide; an empty list means that the policy approves."""
    reasons = list(warnings)
    if principal_minor > auto_approve_minor:
        reasons.append("above_automatic_approval")
    return reasons
