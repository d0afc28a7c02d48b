"""I4 and I10: each way to spoil the ledger, a loan's instalments or what was reinstated is caught, and nothing else."""

from __future__ import annotations

import pytest

from tests.integration.verify.clean import Copies
from tests.integration.verify.spoiling import Spoiled, found, loan_gone
from tributary.verify import i04_ledger, i10_reinstated

_UNGUARD = "ALTER TABLE ledger_posting DISABLE TRIGGER USER"
_GUARD = "ALTER TABLE ledger_posting ENABLE TRIGGER USER"
_OTHER_DEBIT = "UPDATE ledger_posting SET debit_minor = debit_minor + 1 WHERE debit_minor = 50000"


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        ([_UNGUARD, _OTHER_DEBIT, _GUARD], "disbursement-d-utilised: 50001 debit, 50000 credit CNY"),
        ([_UNGUARD, "DELETE FROM ledger_posting WHERE transaction_id = 'disbursement-d-small'", _GUARD], "no postings"),
        ([_UNGUARD], "nothing keeps ledger_posting append-only"),
        (["DROP TRIGGER ledger_transaction_append_only ON ledger_transaction"], "keeps ledger_transaction append-only"),
    ],
)
async def test_i4_r20_an_unbalanced_or_editable_ledger_is_caught(
    clean: Copies, statements: list[str], says: str
) -> None:
    result = await found(i04_ledger, clean, settlement=statements)
    assert result.violations == 1
    assert says in result.examples[0]


async def test_i4_a_transaction_that_balances_only_across_currencies_is_caught(clean: Copies) -> None:
    other = "UPDATE ledger_posting SET currency = 'EUR' WHERE transaction_id = 'disbursement-d-small' AND line = 2"
    result = await found(i04_ledger, clean, settlement=[_UNGUARD, other, _GUARD])
    assert result.violations == 2


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE loan SET interest_minor = 7 WHERE loan_id = 'd-small'", "7 of interest, 0 in the ledger"),
        ("UPDATE instalment SET billed_minor = 7 WHERE loan_id = 'd-repaid'", "0 of interest, 7 billed"),
    ],
)
async def test_i4_r3_interest_that_is_not_booked_or_billed_otherwise_is_caught(
    clean: Copies, statement: str, says: str
) -> None:
    result = await found(i04_ledger, clean, settlement=statement)
    assert result.violations == 1
    assert says in result.examples[0]


@pytest.mark.parametrize(
    ("waits", "says"),
    [
        ("waiting_minor = 5", "collections_in_suspense: 5 waits, 0 CNY in the ledger"),
        ("waiting_minor = 0", "0 waits under s, 5 was not cleared"),
    ],
)
async def test_i4_r25_money_in_suspense_that_is_not_in_the_ledger_or_went_without_two_persons_is_caught(
    clean: Copies, waits: str, says: str
) -> None:
    spoiled = "UPDATE statement_entry SET suspense_id = 's', suspense_minor = 5, ? WHERE loan_id = 'd-small'"
    result = await found(i04_ledger, clean, settlement=spoiled.replace("?", waits))
    assert (result.violations, result.examples) == (1, [says])


@pytest.mark.parametrize(
    ("service", "statement", "says"),
    [
        ("credit", "DELETE FROM reinstatement WHERE drawdown_id = 'd-small'", "500 repaid, 0 reinstated"),
        (
            "credit",
            "INSERT INTO reinstatement VALUES ('again', 'd-small', 500, 500)",
            "500 repaid, 1000 reinstated",
        ),
        (
            "credit",
            "INSERT INTO reinstatement VALUES ('nothing', 'd-small', 0, 0)",
            "1 repayments, 2 reinstatements",
        ),
        (
            "credit",
            "UPDATE reinstatement SET exposure_minor = 499 WHERE drawdown_id = 'd-small'",
            "499 of the exposure reinstated, 501 still used",
        ),
        ("settlement", "UPDATE loan SET outstanding_minor = 502 WHERE loan_id = 'd-small'", "own events leave 501"),
        ("settlement", loan_gone("d-purchase", paid_out=True), "does not have it"),
        (
            "settlement",
            "UPDATE instalment SET principal_minor = 1000 WHERE loan_id = 'd-small'",
            "1001 lent, 1000 in its instalments",
        ),
        (
            "settlement",
            "UPDATE loan_balance SET outstanding_minor = 500 WHERE loan_id = 'd-small'",
            "501 open, 500 of its instalments",
        ),
    ],
)
async def test_i10_r11_principal_that_was_not_reinstated_once_is_caught(
    clean: Copies, service: str, statement: Spoiled, says: str
) -> None:
    result = await found(i10_reinstated, clean, **{service: statement})
    assert result.violations == 1
    assert says in result.examples[0]
