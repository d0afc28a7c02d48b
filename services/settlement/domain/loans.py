"""The life of a loan as a table (DOMAIN §5): what happens to it, and the state that gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

Form = Literal["loan", "purchase"]


class State(StrEnum):
    """Where a loan stands."""

    INSTRUCTED = "instructed"
    UNKNOWN = "unknown"
    DISBURSED = "disbursed"
    FAILED = "failed"
    CLOSED = "closed"


class Input(StrEnum):
    """What can happen to a loan."""

    CONFIRMED = "rail_confirmed"
    REFUSED = "rail_refused"
    SILENT = "rail_silent"
    PROVEN = "statement_proves_payment"
    FOUND_DISBURSED = "two_persons_say_disbursed"
    FOUND_FAILED = "two_persons_say_failed"
    STOPPED = "stopped_before_sending"
    SETTLED = "nothing_owed"


class NotPossible(Exception):
    """The loan is past that: nothing was done."""

    code: ClassVar[str] = "not_possible_now"

    def __init__(self, *, loan_id: str, state: str, asked: str) -> None:
        """Keep the loan, its state and what was asked."""
        self.loan_id = loan_id
        self.state = state
        self.asked = asked
        super().__init__(f"A loan that is {state} cannot take {asked}.")


# (state, input) → next state; a pair that is missing is late or repeated: ignored, or refused when a person asks.
_NEXT: dict[tuple[State, Input], State] = {
    (State.INSTRUCTED, Input.CONFIRMED): State.DISBURSED,
    (State.INSTRUCTED, Input.REFUSED): State.FAILED,
    (State.INSTRUCTED, Input.SILENT): State.UNKNOWN,
    (State.INSTRUCTED, Input.PROVEN): State.DISBURSED,
    (State.INSTRUCTED, Input.STOPPED): State.FAILED,
    (State.UNKNOWN, Input.CONFIRMED): State.DISBURSED,
    (State.UNKNOWN, Input.REFUSED): State.FAILED,
    (State.UNKNOWN, Input.PROVEN): State.DISBURSED,
    (State.UNKNOWN, Input.FOUND_DISBURSED): State.DISBURSED,
    (State.UNKNOWN, Input.FOUND_FAILED): State.FAILED,
    # The money went out although it was given up: it is lent, and there is an incident.
    (State.FAILED, Input.CONFIRMED): State.DISBURSED,
    (State.FAILED, Input.PROVEN): State.DISBURSED,
    (State.DISBURSED, Input.SETTLED): State.CLOSED,
}


@dataclass(frozen=True, slots=True)
class Executed:
    """The loan moves to a state."""

    state: State
    incident: str | None = None


@dataclass(frozen=True, slots=True)
class AlreadyApplied:
    """Nothing to do: it was done before, or comes too late."""


def step(state: State, happened: Input) -> Executed | AlreadyApplied:
    """Return what an input does to a loan."""
    following = _NEXT.get((state, happened))
    if following is None:
        return AlreadyApplied()
    given_up = state is State.FAILED and following is State.DISBURSED
    return Executed(following, "disbursed_after_failure" if given_up else None)


def ask(state: State, happened: Input, *, loan_id: str) -> Executed:
    """Return what a person's input does to a loan; NotPossible when it does nothing."""
    result = step(state, happened)
    if isinstance(result, AlreadyApplied):
        raise NotPossible(loan_id=loan_id, state=state, asked=happened)
    return result
