"""A netting as its parties see it: every one accepts, or nothing happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from services.settlement.domain.netting import Cash, Clearing, Debt, cash_to_clear_all, clear
from services.settlement.domain.netting_cycles import Cycle, bundles_of, cycles_of


class State(StrEnum):
    """Where a netting stands."""

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    SETTLED = "settled"
    ENDED = "ended"


class UnknownNetting(LookupError):
    """No netting has this id, or none that the caller is a party of."""

    code: ClassVar[str] = "unknown_netting"

    def __init__(self, *, netting_id: str) -> None:
        """Keep the id asked for."""
        self.netting_id = netting_id[:40]
        super().__init__(f"There is no netting {self.netting_id}.")


class NettingClosed(Exception):
    """The netting waits for nobody's answer any more: nothing was done."""

    code: ClassVar[str] = "netting_closed"

    def __init__(self, *, netting_id: str, state: str) -> None:
        """Keep the netting and where it stands."""
        self.netting_id = netting_id
        self.state = state
        super().__init__(f"The netting {netting_id} is {state} and takes no answer any more.")


class NettingTooLate(Exception):
    """The time in which its parties could accept is over: nothing was done."""

    code: ClassVar[str] = "netting_too_late"

    def __init__(self, *, netting_id: str) -> None:
        """Keep the netting."""
        self.netting_id = netting_id
        super().__init__(f"The netting {netting_id} could be accepted until its deadline; that has passed.")


@dataclass(frozen=True, slots=True)
class Executed:
    """The acceptance counts; the netting is in this state with it."""

    state: State


@dataclass(frozen=True, slots=True)
class AlreadyApplied:
    """Nothing to do: this party accepted before."""


def accept(
    *, netting_id: str, state: str, accepted_before: bool, others_wait: bool, is_late: bool
) -> Executed | AlreadyApplied:
    """Return what a party's acceptance does; the last one's makes it accepted. NettingClosed, NettingTooLate."""
    if accepted_before and state != State.ENDED:
        return AlreadyApplied()
    if state != State.PROPOSED:
        raise NettingClosed(netting_id=netting_id, state=state)
    if is_late:
        raise NettingTooLate(netting_id=netting_id)
    return Executed(State.PROPOSED if others_wait else State.ACCEPTED)


def check_declinable(*, netting_id: str, state: str) -> None:
    """Refuse to decline what all have accepted or what is over; NettingClosed."""
    if state != State.PROPOSED:
        raise NettingClosed(netting_id=netting_id, state=state)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is proposed together: rounds of debts, and by how much each debt falls."""

    cycles: tuple[Cycle, ...]
    legs: dict[str, int]

    @property
    def cleared_minor(self) -> int:
        """Return how much debt it clears."""
        return sum(self.legs.values())


@dataclass(frozen=True, slots=True)
class Run:
    """What a netting run found over some debts."""

    bundles: tuple[Bundle, ...]
    cash_for_all_minor: int
    with_cash: Clearing | None

    @property
    def cleared_minor(self) -> int:
        """Return how much debt goes round."""
        return sum(bundle.cleared_minor for bundle in self.bundles)


def run(debts: Sequence[Debt], *, legs_at_most: int, cash: Cash | None = None) -> Run:
    """Return what is proposed of these debts, and what they and cash would clear; TooMuchDebt or NotProved."""
    cycles = cycles_of(debts, clear(debts).cleared)
    bundles = tuple(Bundle(tuple(taken), legs) for taken, legs in bundles_of(debts, cycles, legs_at_most=legs_at_most))
    return Run(bundles, cash_to_clear_all(debts), clear(debts, cash=cash) if cash is not None else None)


def quote(found: Clearing, *, wire: Any) -> dict[str, Any]:
    """Return what cash would do, with amounts as `wire` writes them: who is given how much, and with whom it ends."""
    return {
        "cleared": wire(found.cleared_minor),
        "cash": wire(found.cash_minor),
        "given": [{"enterprise_id": firm, "amount": wire(minor)} for firm, minor in sorted(found.given.items())],
        "kept": [{"enterprise_id": firm, "amount": wire(minor)} for firm, minor in sorted(found.kept.items())],
    }
