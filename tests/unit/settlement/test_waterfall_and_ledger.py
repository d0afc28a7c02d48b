"""Where a receipt goes, and how it is booked."""

from __future__ import annotations

import pytest

from services.settlement.domain.accrual import Earned
from services.settlement.domain.ledger import (
    ASSETS,
    Account,
    Kind,
    Posting,
    Unbalanced,
    collection,
    disbursement,
    earning,
    entry,
    suspense,
)
from services.settlement.domain.waterfall import PARTS, Allocation, InvalidWaterfall, Owed, Paper, allocate
from services.settlement.tables import SETTLEMENT_1

OWED = Owed(costs=50, penalty=30, interest=200, principal=1_000)
PAPER = Paper(face=1_500, recourse=True)


@pytest.mark.parametrize(
    ("receipt", "expected"),
    [
        (40, Allocation(costs=40)),
        (70, Allocation(costs=50, penalty=20)),
        (280, Allocation(costs=50, penalty=30, interest=200)),
        (1_000, Allocation(costs=50, penalty=30, interest=200, principal=720)),
        (1_280, Allocation(costs=50, penalty=30, interest=200, principal=1_000)),
    ],
)
def test_r5_costs_then_penalty_then_interest_then_principal(receipt: int, expected: Allocation) -> None:
    assert allocate(receipt_minor=receipt, owed=OWED, paper=PAPER) == expected


def test_r5_the_contract_may_say_another_order() -> None:
    found = allocate(receipt_minor=1_010, owed=OWED, paper=PAPER, order=("principal", "interest", "penalty", "costs"))
    assert found == Allocation(principal=1_000, interest=10)
    with pytest.raises(InvalidWaterfall):
        allocate(receipt_minor=1, owed=OWED, paper=PAPER, order=PARTS[1:])


def test_r17_with_recourse_the_surplus_returns_to_the_seller() -> None:
    assert allocate(receipt_minor=1_500, owed=OWED, paper=PAPER) == Allocation(50, 30, 200, 1_000, surplus=220)


def test_r17_what_exceeds_the_face_of_the_documents_is_not_the_sellers() -> None:
    found = allocate(receipt_minor=9_000_000_000_000_000, owed=OWED, paper=PAPER)
    assert (found.surplus, found.excess, found.kept) == (220, 8_999_999_999_998_500, 0)
    paid_before = Paper(face=1_500, recourse=True, collected=100, passed_on=20)
    assert allocate(receipt_minor=1_500, owed=OWED, paper=paid_before).surplus == 100
    closed = Paper(face=1_500, recourse=True, collected=1_280, passed_on=120)
    assert allocate(receipt_minor=300, owed=Owed(), paper=closed) == Allocation(surplus=100, excess=200)


def test_r17_without_recourse_only_unpaid_holdback_is_the_sellers_and_the_rest_of_the_face_the_banks() -> None:
    purchase = Paper(face=1_500, recourse=False, holdback=100)
    found = allocate(receipt_minor=1_510, owed=OWED, paper=purchase)
    assert (found.surplus, found.excess, found.kept, found.suspense) == (100, 130, 120, 10)
    found = allocate(receipt_minor=1_500, owed=OWED, paper=Paper(face=1_500, recourse=False))
    assert (found.excess, found.kept) == (220, 220)


def test_r20_a_transaction_that_does_not_balance_cannot_be_made() -> None:
    with pytest.raises(Unbalanced):
        entry(Kind.ACCRUAL, [Posting(Account.INTEREST_DUE, debit=2), Posting(Account.INTEREST, credit=1)])
    with pytest.raises(Unbalanced):
        entry(Kind.ACCRUAL, [Posting(Account.INTEREST_DUE, debit=-1), Posting(Account.INTEREST, credit=-1)])


def test_r20_what_was_posted_too_much_is_taken_back_by_a_correction() -> None:
    (correction,) = earning(Earned(interest=-7), correction=True)
    assert correction.kind is Kind.CORRECTION
    assert correction.postings == (Posting(Account.INTEREST, debit=7), Posting(Account.INTEREST_DUE, credit=7))


def test_a_loan_pays_out_principal_less_fee() -> None:
    paid, fee = disbursement(form="loan", principal_minor=1_000, discount_minor=0, fee_minor=10, paid_out_minor=990)
    assert Posting(Account.NOSTRO, credit=990) in paid.postings
    assert fee.postings == (Posting(Account.CLEARING, debit=10), Posting(Account.FEES, credit=10))


def test_a_purchase_defers_its_discount_and_what_the_anchor_bears_is_due_from_it() -> None:
    seller_pays = disbursement(
        form="purchase", principal_minor=1_000, discount_minor=30, fee_minor=10, paid_out_minor=960
    )[0]
    anchor_pays = disbursement(
        form="purchase", principal_minor=1_000, discount_minor=30, fee_minor=10, paid_out_minor=990
    )[0]
    assert Posting(Account.PURCHASES, debit=1_000) in seller_pays.postings
    assert Posting(Account.DEFERRED, credit=30) in seller_pays.postings
    assert Posting(Account.INTEREST_DUE, debit=30) in anchor_pays.postings


def test_receipts_are_booked_where_the_waterfall_put_them() -> None:
    booked = collection(Allocation(penalty=3, principal=5, surplus=2), form="loan")
    assert booked.postings == (
        Posting(Account.NOSTRO, debit=10),
        Posting(Account.PENALTY_DUE, credit=3),
        Posting(Account.LOANS, credit=5),
        Posting(Account.DUE_TO_SELLER, credit=2),
    )
    above = collection(Allocation(excess=5, kept=2), form="purchase")
    assert above.postings[1:] == (Posting(Account.EXCESS, credit=2), Posting(Account.SUSPENSE, credit=3))
    assert suspense(10).postings[1] == Posting(Account.SUSPENSE, credit=10)


def test_the_chart_of_accounts_is_the_one_that_the_tables_know() -> None:
    (chart,) = [statement for statement in SETTLEMENT_1 if statement.startswith("INSERT INTO ledger_account")]
    for account in Account:
        assert f"('{account.value}', '{'debit' if account in ASSETS else 'credit'}')" in chart
