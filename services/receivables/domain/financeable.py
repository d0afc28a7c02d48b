"""How much of a receivable can be financed (R7), and what a credit note leaves of it (R6)."""

from __future__ import annotations

from typing import ClassVar

from shared.values.money import InvalidAmount, Money


class IrrevocableUndertaking(Exception):
    """The obligor promised to pay whatever happens in the trade: it pays face, no credit note lowers that (R6)."""

    code: ClassVar[str] = "undertaking_irrevocable"

    def __init__(self, *, receivable_id: str) -> None:
        """Keep the receivable."""
        self.receivable_id = receivable_id
        super().__init__("The obligor undertook to pay irrevocably: a credit note changes nothing here.")


def financeable_minor(*, payable_minor: int, confirmed_minor: int, deductions_minor: int) -> int:
    """Return min(BT-115, confirmed) − later payments, credit notes, set-offs, retention; never below zero (R7)."""
    return max(0, min(payable_minor, confirmed_minor) - deductions_minor)


def dilute(*, receivable_id: str, financeable: Money, by: Money, undertaking: str, vouchered: bool) -> Money:
    """Return what stays financeable; it lowers the eligible base, never a loan (R6).

    IrrevocableUndertaking when the obligor pays face whatever happens; InvalidAmount when the note is above it.
    """
    if undertaking == "irrevocable" or vouchered:
        raise IrrevocableUndertaking(receivable_id=receivable_id)
    shown = by.wire()["amount"]
    if by.amount_minor <= 0:
        raise InvalidAmount(amount=shown, reason="is not above zero")
    left = financeable - by
    if left.amount_minor < 0:
        raise InvalidAmount(amount=shown, reason="is more than is payable")
    return left
