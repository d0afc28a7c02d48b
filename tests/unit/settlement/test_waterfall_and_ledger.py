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
from services.settlement.domain.waterfall import PARTS, Allocation, InvalidWaterfall, Owed, allocate
from services.settlement.tables import SETTLEMENT_1

OWED = Owed(costs=50, penalty=30, interest=200, principal=1_000)


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
    assert allocate(receipt_minor=receipt, owed=OWED, recourse=True) == expected


def test_r5_the_contract_may_say_another_order() -> None:
    found = allocate(receipt_minor=1_010, owed=OWED, recourse=True, order=("principal", "interest", "penalty", "costs"))
    assert found == Allocation(principal=1_000, interest=10)
    with pytest.raises(InvalidWaterfall):
        allocate(receipt_minor=1, owed=OWED, recourse=True, order=PARTS[1:])


def test_r17_with_recourse_the_surplus_returns_to_the_seller() -> None:
    assert allocate(receipt_minor=1_500, owed=OWED, recourse=True).surplus == 220


def test_r17_without_recourse_only_unpaid_holdback_is_the_sellers_and_the_rest_the_banks() -> None:
    found = allocate(receipt_minor=1_500, owed=OWED, recourse=False, holdback_minor=100)
    assert (found.surplus, found.excess) == (100, 120)
    assert allocate(receipt_minor=1_500, owed=OWED, recourse=False).excess == 220


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
    assert suspense(10).postings[1] == Posting(Account.SUSPENSE, credit=10)


def test_the_chart_of_accounts_is_the_one_that_the_tables_know() -> None:
    (chart,) = [statement for statement in SETTLEMENT_1 if statement.startswith("INSERT INTO ledger_account")]
    for account in Account:
        assert f"('{account.value}', '{'debit' if account in ASSETS else 'credit'}')" in chart
