"""Book, instruct, disburse, collect, close: through HTTP on a real PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

from tests.integration.settlement.desk import MATURITY, OPENING, Desk, amounts


async def test_r2_a_loan_of_90_days_at_12_percent_earns_3000_and_closes_when_paid(desk: Desk) -> None:
    loan_id = await desk.disburse()
    loan = await desk.loan(loan_id)
    assert amounts(loan, "principal", "outstanding", "paid_out") == ["100000.00", "100000.00", "99900.00"]
    assert loan["disbursed_date"] == OPENING.isoformat()
    await desk.open_on(MATURITY)
    loan = await desk.loan(loan_id)
    assert amounts(loan, "interest_accrued", "interest_due", "penalty_due") == ["3000.00", "3000.00", "0.00"]
    entry = await desk.collect("103000.00", on=MATURITY, reference=loan_id)
    assert (entry["outcome"], entry["loan_id"]) == ("collected", loan_id)
    assert amounts(entry, "interest", "principal", "surplus") == ["3000.00", "100000.00", "0.00"]
    loan = await desk.loan(loan_id)
    assert (loan["state"], loan["closed_date"]) == ("closed", MATURITY.isoformat())
    assert await desk.types(loan_id) == [
        *("loan.instructed", "loan.disbursed", "loan.billed", "loan.repaid", "loan.closed")
    ]
    balances = await desk.balances()
    assert balances["loans_receivable"] == balances["interest_receivable"] == "0.00"
    assert (balances["nostro"], balances["interest_income"], balances["fee_income"]) == (
        "3100.00",
        "3000.00",
        "100.00",
    )
    income = (await desk.maker.get("/income")).json()["items"]
    assert amounts(income[0], "interest", "discount", "penalty", "fees") == ["3000.00", "0.00", "0.00", "100.00"]


async def test_r3_a_loan_accrues_one_posting_a_day_and_they_sum_to_the_total(desk: Desk) -> None:
    loan_id = await desk.disburse(rate="0.043500")
    await desk.open_on(OPENING + timedelta(days=7))
    listed = await desk.maker.get("/ledger/transactions", params={"loan_id": loan_id})
    accruals = [item for item in listed.json()["items"] if item["kind"] == "accrual"]
    assert [item["value_date"] for item in accruals] == [
        (OPENING + timedelta(days=nth)).isoformat() for nth in range(7)
    ]
    assert sum(int(item["postings"][0]["debit"]["amount"].replace(".", "")) for item in accruals) == 8458
    assert (await desk.loan(loan_id))["interest_due"]["amount"] == "84.58"
