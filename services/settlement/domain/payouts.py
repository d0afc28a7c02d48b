"""What is lent, and what goes out for it (DOMAIN §4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Literal

from services.settlement.domain.loans import Form
from shared.values.money import round_half_even
from shared.values.periods import DayCount, interest


class NothingToPay(ValueError):
    """The terms leave nothing to pay out."""

    code: ClassVar[str] = "nothing_to_pay"

    def __init__(self) -> None:
        """Say it."""
        super().__init__("Discount and fee leave nothing to pay out.")


class AlreadyMatured(ValueError):
    """Something would be due before or when money moves: there is no time left to lend for."""

    code: ClassVar[str] = "already_matured"

    def __init__(self, *, due_date: date, value_date: date) -> None:
        """Keep both dates."""
        self.due_date = due_date
        self.value_date = value_date
        super().__init__(f"The loan would be due on {due_date}, and money moves on {value_date}.")


@dataclass(frozen=True, slots=True)
class Payout:
    """What a drawdown becomes: the discount kept, the face not advanced, what is paid out."""

    discount_minor: int
    holdback_minor: int
    paid_out_minor: int


def payout(
    *,
    form: Form,
    principal_minor: int,
    face_minor: int,
    fee_minor: int,
    rate: int,
    day_count: DayCount,
    interest_payer: Literal["seller", "anchor"],
    value_date: date,
    maturity_date: date,
    first_due_date: date | None = None,
) -> Payout:
    """Return what goes out: of a loan principal − fee; of a purchase principal − discount − fee.

    A purchase advances the principal on its face, all of it or less the holdback; the discount is simple interest on
    what is advanced. When the anchor pays the interest nothing is kept for it. NothingToPay or AlreadyMatured when the
    terms cannot be; the first instalment is due at maturity where there is one only.
    """
    first_due = first_due_date or maturity_date
    if first_due <= value_date:
        raise AlreadyMatured(due_date=first_due, value_date=value_date)
    discount, holdback = 0, 0
    if form == "purchase":
        exact = interest(
            principal_minor=principal_minor, rate=rate, start=value_date, end=maturity_date, day_count=day_count
        )
        discount = round_half_even(numerator=exact.numerator, denominator=exact.denominator)
        holdback = max(0, face_minor - principal_minor)
    paid_out = principal_minor - fee_minor - (discount if interest_payer == "seller" else 0)
    if paid_out <= 0:
        raise NothingToPay
    return Payout(discount, holdback, paid_out)
