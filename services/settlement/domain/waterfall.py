"""How a receipt is applied (R5, R17): costs, penalty, interest, principal; the rest is surplus or excess."""

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


@dataclass(frozen=True, slots=True)
class Allocation:
    """Where a receipt went, in minor units; the six add up to it."""

    costs: int = 0
    penalty: int = 0
    interest: int = 0
    principal: int = 0
    surplus: int = 0
    excess: int = 0

    @property
    def total(self) -> int:
        """Return the receipt."""
        return self.costs + self.penalty + self.interest + self.principal + self.surplus + self.excess


def allocate(
    *,
    receipt_minor: int,
    owed: Owed,
    recourse: bool,
    holdback_minor: int = 0,
    order: Sequence[str] = PARTS,
) -> Allocation:
    """Return where a receipt goes.

    With recourse what is left is surplus and returns to the seller. Without, only unpaid holdback is the seller's and
    the rest is the bank's excess (R17).
    """
    if sorted(order) != sorted(PARTS):
        message = f"the order names each of {', '.join(PARTS)} once"
        raise InvalidWaterfall(message)
    left, taken = receipt_minor, {}
    for part in order:
        taken[part] = min(left, getattr(owed, part))
        left -= taken[part]
    surplus = left if recourse else min(left, holdback_minor)
    return Allocation(**taken, surplus=surplus, excess=left - surplus)
