"""Double entry (R20): in every transaction debits = credits; a correction is a new transaction with its own date."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from services.settlement.domain.accrual import Earned
from services.settlement.domain.loans import Form
from services.settlement.domain.waterfall import Allocation


class Account(StrEnum):
    """The chart of accounts."""

    NOSTRO = "nostro"
    LOANS = "loans_receivable"
    PURCHASES = "purchased_receivables"
    INTEREST_DUE = "interest_receivable"
    PENALTY_DUE = "penalty_receivable"
    COSTS_DUE = "costs_receivable"
    CLEARING = "disbursement_clearing"
    DEFERRED = "deferred_income"
    SUSPENSE = "collections_in_suspense"
    PAID_SUSPENSE = "payments_in_suspense"
    DUE_TO_SELLER = "due_to_seller"
    INTEREST = "interest_income"
    DISCOUNT = "discount_income"
    PENALTY = "penalty_income"
    FEES = "fee_income"
    EXCESS = "excess_income"


class Kind(StrEnum):
    """What a transaction books."""

    DISBURSEMENT = "disbursement"
    FEE = "fee"
    ACCRUAL = "accrual"
    PENALTY = "penalty"
    DISCOUNT_EARNED = "discount_earned"
    CORRECTION = "correction"
    COLLECTION = "collection"
    SUSPENSE = "suspense"
    PAYMENT_SUSPENSE = "payment_suspense"
    SURPLUS_PAYMENT = "surplus_payment"
    CLEARING = "clearing"


# Asset accounts grow on the debit side, the others on the credit side.
ASSETS = frozenset(
    {
        Account.NOSTRO,
        Account.LOANS,
        Account.PURCHASES,
        Account.INTEREST_DUE,
        Account.PENALTY_DUE,
        Account.COSTS_DUE,
        Account.PAID_SUSPENSE,
    }
)


class Unbalanced(ValueError):
    """Debits and credits differ: a programming error, nothing is posted."""

    code: ClassVar[str] = "unbalanced"


@dataclass(frozen=True, slots=True)
class Posting:
    """One side of a transaction, in minor units."""

    account: Account
    debit: int = 0
    credit: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A balanced transaction of one currency."""

    kind: Kind
    postings: tuple[Posting, ...]


def entry(kind: Kind, postings: Iterable[Posting]) -> Entry:
    """Return a transaction without its empty postings; Unbalanced when debits and credits differ."""
    kept = tuple(each for each in postings if each.debit or each.credit)
    if any(each.debit < 0 or each.credit < 0 or (each.debit and each.credit) for each in kept):
        message = f"{kind}: a posting has one side, above zero"
        raise Unbalanced(message)
    if sum(each.debit for each in kept) != sum(each.credit for each in kept):
        message = f"{kind}: debits and credits differ"
        raise Unbalanced(message)
    return Entry(kind, kept)


def disbursement(
    *, form: Form, principal_minor: int, discount_minor: int, fee_minor: int, paid_out_minor: int
) -> list[Entry]:
    """Return the payment and the fee kept back; a discount that the seller does not bear is due from the anchor."""
    due_from_anchor = paid_out_minor + fee_minor + discount_minor - principal_minor
    lent = Account.LOANS if form == "loan" else Account.PURCHASES
    paid = entry(
        Kind.DISBURSEMENT,
        [
            Posting(lent, debit=principal_minor),
            Posting(Account.INTEREST_DUE, debit=due_from_anchor),
            Posting(Account.NOSTRO, credit=paid_out_minor),
            Posting(Account.CLEARING, credit=fee_minor),
            Posting(Account.DEFERRED, credit=discount_minor),
        ],
    )
    fee = _transfer(Kind.FEE, Account.CLEARING, Account.FEES, fee_minor)
    return [paid, *fee]


def earning(earned: Earned, *, correction: bool = False) -> list[Entry]:
    """Return the postings of what was earned; a negative amount takes back what was posted too much."""
    return [
        *_transfer(
            Kind.CORRECTION if correction else Kind.ACCRUAL, Account.INTEREST_DUE, Account.INTEREST, earned.interest
        ),
        *_transfer(
            Kind.CORRECTION if correction else Kind.PENALTY, Account.PENALTY_DUE, Account.PENALTY, earned.penalty
        ),
        *_transfer(
            Kind.CORRECTION if correction else Kind.DISCOUNT_EARNED,
            Account.DEFERRED,
            Account.DISCOUNT,
            earned.discount,
        ),
    ]


def collection(allocation: Allocation, *, form: Form, waited: bool = False) -> Entry:
    """Return a receipt as the waterfall applied it; of one that waited in suspense, what does not wait any more."""
    lent = Account.LOANS if form == "loan" else Account.PURCHASES
    return entry(
        Kind.CLEARING if waited else Kind.COLLECTION,
        [
            Posting(Account.SUSPENSE, debit=allocation.total - allocation.suspense)
            if waited
            else Posting(Account.NOSTRO, debit=allocation.total),
            Posting(Account.COSTS_DUE, credit=allocation.costs),
            Posting(Account.PENALTY_DUE, credit=allocation.penalty),
            Posting(Account.INTEREST_DUE, credit=allocation.interest),
            Posting(lent, credit=allocation.principal),
            Posting(Account.DUE_TO_SELLER, credit=allocation.surplus),
            Posting(Account.EXCESS, credit=allocation.kept),
            Posting(Account.SUSPENSE, credit=0 if waited else allocation.suspense),
        ],
    )


def suspense(amount_minor: int) -> Entry:
    """Return a receipt that nobody could match yet."""
    return entry(
        Kind.SUSPENSE,
        [Posting(Account.NOSTRO, debit=amount_minor), Posting(Account.SUSPENSE, credit=amount_minor)],
    )


def payment_suspense(amount_minor: int) -> Entry:
    """Return money that went out and that no payment of ours explains."""
    return entry(
        Kind.PAYMENT_SUSPENSE,
        [Posting(Account.PAID_SUSPENSE, debit=amount_minor), Posting(Account.NOSTRO, credit=amount_minor)],
    )


def cleared_out(amount_minor: int) -> Entry:
    """Return the payment of what waited to whoever it belongs to."""
    return entry(
        Kind.CLEARING,
        [Posting(Account.SUSPENSE, debit=amount_minor), Posting(Account.NOSTRO, credit=amount_minor)],
    )


def cleared_against(amount_minor: int) -> Entry:
    """Return money that had gone out unexplained and came back: neither waits any more."""
    return entry(
        Kind.CLEARING,
        [Posting(Account.SUSPENSE, debit=amount_minor), Posting(Account.PAID_SUSPENSE, credit=amount_minor)],
    )


def surplus_payment(amount_minor: int) -> Entry:
    """Return the payment of a surplus to the seller."""
    return entry(
        Kind.SURPLUS_PAYMENT,
        [Posting(Account.DUE_TO_SELLER, debit=amount_minor), Posting(Account.NOSTRO, credit=amount_minor)],
    )


def _transfer(kind: Kind, debit: Account, credit: Account, amount: int) -> list[Entry]:
    if not amount:
        return []
    if amount < 0:
        debit, credit, amount = credit, debit, -amount
    return [entry(kind, [Posting(debit, debit=amount), Posting(credit, credit=amount)])]
