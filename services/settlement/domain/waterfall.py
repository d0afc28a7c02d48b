"""How a receipt is applied (R5, R17): costs, penalty, interest, principal; the rest is surplus or excess.

What is due goes first, then what may be repaid ahead of its time.
Only what the documents promise can be anybody's here: what exceeds their face waits in suspense for a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

PARTS = ("costs", "penalty", "interest", "principal")


class InvalidWaterfall(ValueError):
    """An order that leaves a part out or names it twice."""

    code: ClassVar[str] = "invalid_waterfall"


@dataclass(frozen=True, slots=True)
class Owed:
    """What a loan owes, in minor units."""

    costs: int = 0
    penalty: int = 0
    interest: int = 0
    principal: int = 0

    def minus(self, other: Owed) -> Owed:
        """Return what is owed beside another part of it; never less than nothing."""
        return Owed(*(max(0, getattr(self, part) - getattr(other, part)) for part in PARTS))


NOTHING = Owed()


@dataclass(frozen=True, slots=True)
class Paper:
    """What is paid on a loan's documents in all, and what they brought before, in minor units.

    `collected` went to the bank because it was owed; `passed_on` was the seller's, or without recourse the bank's too.
    """

    face: int
    recourse: bool
    holdback: int = 0
    collected: int = 0
    passed_on: int = 0


@dataclass(frozen=True, slots=True)
class Allocation:
    """Where a receipt went, in minor units; the six add up to it, and `kept` is what of the excess is the bank's."""

    costs: int = 0
    penalty: int = 0
    interest: int = 0
    principal: int = 0
    surplus: int = 0
    excess: int = 0
    kept: int = 0

    @property
    def suspense(self) -> int:
        """Return what exceeds the documents: neither the seller's nor the bank's, it waits for a person."""
        return self.excess - self.kept

    @property
    def total(self) -> int:
        """Return the receipt."""
        return self.costs + self.penalty + self.interest + self.principal + self.surplus + self.excess


def allocate(
    *,
    receipt_minor: int,
    owed: Owed,
    paper: Paper,
    order: Sequence[str] = PARTS,
    ahead: Owed = NOTHING,
    goes_on: bool = False,
) -> Allocation:
    """Return where a receipt goes, on an open loan or on a closed one that owes nothing.

    What is owed now comes first, each part in the order; then what may be repaid ahead of its time, likewise. With
    recourse what is left of the face is surplus and returns to the seller. Without, only unpaid holdback is the
    seller's, and the rest of the face is excess that the bank keeps (R17). Above the face nothing is anybody's yet,
    and nothing is while the loan goes on and takes nothing ahead.
    """
    if sorted(order) != sorted(PARTS):
        message = f"the order names each of {', '.join(PARTS)} once"
        raise InvalidWaterfall(message)
    left, taken = receipt_minor, dict.fromkeys(PARTS, 0)
    for owing in (owed, ahead):
        for part in order:
            paid = min(left, getattr(owing, part))
            taken[part] += paid
            left -= paid
    if goes_on:
        return Allocation(**taken, excess=left)
    room = max(0, paper.face - paper.collected - paper.passed_on - sum(taken.values()))
    surplus = min(left, room if paper.recourse else max(0, paper.holdback - paper.passed_on))
    kept = 0 if paper.recourse else min(left - surplus, max(0, room - surplus))
    return Allocation(**taken, surplus=surplus, excess=left - surplus, kept=kept)
