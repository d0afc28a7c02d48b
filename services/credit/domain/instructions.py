"""What a drawdown may say beside its amount and documents: product, tenor (DOMAIN §5)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instruction:
    """What the drawer chose; what it left open follows from the product."""

    product: str | None = None
    tenor_days: int | None = None


NO_INSTRUCTION = Instruction()
