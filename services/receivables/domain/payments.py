"""What the obligor pays on a receivable, to whom, and what it discharges (R7, R9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import ClassVar, Literal

from services.receivables.domain.priority import discharging_payee
from services.receivables.domain.receivables import NotPossible, Step, advance
from shared.values.money import InvalidAmount, Money

Payee = Literal["seller", "collection_account", "holder"]
Match = Literal["matched", "partial", "unmatched"]


class PaidAfterNotice(Exception):
    """After notice only payment to the collection account discharges: what the seller got is no payment (R9)."""

    code: ClassVar[str] = "paid_after_notice"

    def __init__(self, *, receivable_id: str, delivered_at: datetime) -> None:
        """Keep the receivable and when its notice reached the obligor."""
        self.receivable_id = receivable_id
        self.delivered_at = delivered_at
        super().__init__("The notice of assignment has reached the obligor: only the collection account discharges.")


class InvalidPaidDate(ValueError):
    """Nothing is paid before it is invoiced, nor in the future."""

    code: ClassVar[str] = "invalid_paid_date"

    def __init__(self, *, paid_date: date) -> None:
        """Keep the date."""
        self.paid_date = paid_date
        super().__init__(f"The receivable cannot have been paid on {paid_date}.")


class DuplicatePayment(ValueError):
    """The payment was told of this receivable before."""

    code: ClassVar[str] = "duplicate_payment"

    def __init__(self, *, receivable_id: str, reference: str) -> None:
        """Keep the receivable and the payment's reference."""
        self.receivable_id = receivable_id
        self.reference = reference
        super().__init__(f"The payment {reference!r} was told of this receivable before.")


@dataclass(frozen=True, slots=True)
class Payable:
    """A receivable as its obligor pays it; `delivered_at` is when notice of its assignment reached the obligor."""

    receivable_id: str
    state: str
    vouchered: bool
    open: Money
    issue_date: date
    delivered_at: datetime | None = None


def check_paid_to_seller(payable: Payable, *, by: Money, paid_date: date, today: date, told_by_bank: bool) -> None:
    """Refuse a payment to the seller that discharges nothing, or that cannot have been.

    Once notice has reached the obligor, only the bank may say that a payment was made before it: who pays and who is
    paid could agree on any date. NotPossible, InvalidPaidDate, InvalidAmount, CurrencyMismatch or PaidAfterNotice.
    """
    advance(document_id=payable.receivable_id, state=payable.state, asked=Step.PAY)
    if payable.vouchered:
        raise NotPossible(document_id=payable.receivable_id, state="vouchered", asked=str(Step.PAY))
    check_paid_date(paid_date, issue_date=payable.issue_date, today=today)
    delivered = payable.delivered_at
    if delivered is not None:
        notified = paid_date >= delivered.astimezone(UTC).date()
        if discharging_payee(notified=notified or not told_by_bank) != "seller":
            raise PaidAfterNotice(receivable_id=payable.receivable_id, delivered_at=delivered)
    if by.amount_minor <= 0:
        raise InvalidAmount(amount=by.wire()["amount"], reason="is not above zero")
    if (payable.open - by).amount_minor < 0:
        raise InvalidAmount(amount=by.wire()["amount"], reason="is more than is open")


def check_paid_date(paid_date: date, *, issue_date: date, today: date) -> None:
    """Refuse a date on which nothing can have been paid; InvalidPaidDate."""
    if not issue_date <= paid_date <= today:
        raise InvalidPaidDate(paid_date=paid_date)


def spread(received_minor: int, opens: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Return what each receivable gets of money that came for them, each in full before the next."""
    shares = {}
    for receivable_id, open_minor in opens:
        share = min(received_minor, open_minor)
        if share > 0:
            shares[receivable_id] = share
            received_minor -= share
    return shares


@dataclass(frozen=True, slots=True)
class Paid:
    """How a receivable stands to the money that came for it, with every reason."""

    status: Match
    reasons: tuple[str, ...]


def match_payments(*, open_minor: int, due_date: date, paid_dates: Sequence[date], today: date) -> Paid:
    """Return how the bank flow that paid a receivable stands to it: all of what was left to pay, a part, or nothing."""
    late = [each for each in paid_dates if each > due_date]
    overdue = open_minor > 0 and today > due_date
    reasons = [
        reason
        for reason, holds in (
            ("not_paid", not paid_dates and open_minor > 0),
            ("paid_in_part", bool(paid_dates) and open_minor > 0),
            ("nothing_was_left_to_pay", not paid_dates and open_minor == 0),
            ("paid_late", bool(late)),
            ("overdue", overdue),
        )
        if holds
    ]
    if not paid_dates:
        return Paid("unmatched", tuple(reasons))
    return Paid("partial" if open_minor else "matched", tuple(reasons))
