"""Receipts through the waterfall: in part, in time, late, too much; loans and purchases."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.events.receivables import ReceivableRegistered
from shared.values.ids import new_id
from tests.integration.settlement.desk import MATURITY, OPENING, Desk, amounts, cny, credit

_PARTS = ("costs", "penalty", "interest", "principal", "surplus", "excess")


async def test_r5_part_on_the_due_date_and_the_rest_after_grace_with_penalty_and_surplus(desk: Desk) -> None:
    loan_id = await desk.disburse(face=cny("110000.00"))
    await desk.open_on(MATURITY)
    first = await desk.collect("43000.00", on=MATURITY, reference=loan_id)
    assert amounts(first, *_PARTS) == ["0.00", "0.00", "3000.00", "40000.00", "0.00", "0.00"]
    late = MATURITY + timedelta(days=5)
    await desk.open_on(late)
    loan = await desk.loan(loan_id)
    # 60,000.00: 3 days of grace at 12%, then 2 days at the penalty rate of 18% in place of it.
    assert amounts(loan, "outstanding", "interest_due", "penalty_due") == ["60000.00", "60.00", "60.00"]
    assert (loan["days_past_due"], loan["stage"]) == (5, 1)
    rest = await desk.collect("60620.00", on=late, reference=loan_id)
    assert amounts(rest, *_PARTS) == ["0.00", "60.00", "60.00", "60000.00", "500.00", "0.00"]
    await desk.run_rail()
    kinds = await desk.types(loan_id)
    assert kinds == [
        *("loan.instructed", "loan.disbursed", "loan.billed", "loan.repaid"),
        *("loan.billed", "loan.overdue", "loan.repaid", "loan.closed"),
    ]
    repaid = [body for kind, body in await desk.events(loan_id) if kind == "loan.repaid"]
    assert [amounts(body, "principal", "outstanding") for body in repaid] == [
        ["40000.00", "60000.00"],
        ["60000.00", "0.00"],
    ]
    balances = await desk.balances()
    assert {name: balances[name] for name in ("loans_receivable", "interest_receivable", "penalty_receivable")} == {
        "loans_receivable": "0.00",
        "interest_receivable": "0.00",
        "penalty_receivable": "0.00",
    }
    assert (balances["due_to_seller"], balances["nostro"]) == ("0.00", "3220.00")
    assert (balances["interest_income"], balances["penalty_income"], balances["fee_income"]) == (
        *("3060.00", "60.00"),
        "100.00",
    )


async def test_r15_a_loan_paid_on_the_last_day_of_grace_bears_no_penalty_and_is_not_announced(desk: Desk) -> None:
    loan_id = await desk.disburse()
    last = MATURITY + timedelta(days=3)
    await desk.open_on(last)
    entry = await desk.collect("103100.00", on=last, reference=loan_id)
    assert amounts(entry, "penalty", "interest", "principal") == ["0.00", "3100.00", "100000.00"]
    assert "loan.overdue" not in await desk.types(loan_id)


async def test_r21_an_unpaid_loan_is_announced_after_grace_and_at_each_stage(desk: Desk) -> None:
    loan_id = await desk.disburse()
    await desk.open_on(MATURITY + timedelta(days=95))
    overdue = [body["days_past_due"] for kind, body in await desk.events(loan_id) if kind == "loan.overdue"]
    assert overdue == [4, 31, 91]
    loan = await desk.loan(loan_id)
    assert (loan["days_past_due"], loan["stage"]) == (95, 3)


async def test_r17_early_repayment_stops_interest(desk: Desk) -> None:
    loan_id = await desk.disburse()
    early = OPENING + timedelta(days=30)
    await desk.open_on(early)
    entry = await desk.collect("101000.00", on=early, reference=loan_id)
    assert amounts(entry, "interest", "principal", "surplus") == ["1000.00", "100000.00", "0.00"]
    assert (await desk.loan(loan_id))["state"] == "closed"


async def test_r18_a_receipt_that_comes_late_counts_from_its_value_date_and_corrects_on_the_open_day(
    desk: Desk,
) -> None:
    loan_id = await desk.disburse()
    paid, seen = OPENING + timedelta(days=30), OPENING + timedelta(days=40)
    await desk.open_on(seen)
    entry = await desk.collect("51000.00", on=paid, reference=loan_id)
    assert amounts(entry, "interest", "principal") == ["1000.00", "50000.00"]
    assert amounts(await desk.loan(loan_id), "outstanding", "interest_due") == ["50000.00", "166.67"]
    listed = (await desk.maker.get("/ledger/transactions", params={"loan_id": loan_id})).json()["items"]
    (correction,) = [item for item in listed if item["kind"] == "correction"]
    assert (correction["value_date"], correction["posting_date"]) == (paid.isoformat(), seen.isoformat())
    assert correction["postings"][0]["account"] == "interest_income"
    assert correction["postings"][0]["debit"]["amount"] == "166.66"


async def test_a_receipt_dated_before_an_earlier_one_counts_from_that_ones_date(desk: Desk) -> None:
    loan_id = await desk.disburse()
    await desk.open_on(OPENING + timedelta(days=40))
    await desk.collect("51000.00", on=OPENING + timedelta(days=30), reference=loan_id)
    entry = await desk.collect("1000.00", on=OPENING + timedelta(days=10), reference=loan_id)
    assert amounts(entry, "interest", "principal") == ["0.00", "1000.00"]
    listed = (await desk.maker.get("/collections")).json()["items"]
    assert [(item["value_date"], item["applied_date"]) for item in listed] == [
        ("2026-02-04", "2026-02-04"),
        ("2026-01-15", "2026-02-04"),
    ]


async def test_a_purchase_pays_less_discount_and_fee_and_earns_the_discount_by_maturity(
    desk: Desk,
) -> None:
    loan_id = await desk.disburse(form="purchase", recourse=False)
    loan = await desk.loan(loan_id)
    assert amounts(loan, "face", "discount", "paid_out", "outstanding") == [
        *("100000.00", "3000.00", "96900.00", "100000.00")
    ]
    await desk.open_on(OPENING + timedelta(days=45))
    assert (await desk.balances())["discount_income"] == "1500.00"
    await desk.open_on(MATURITY)
    entry = await desk.collect("100000.00", on=MATURITY, reference=loan_id)
    assert amounts(entry, "interest", "principal", "surplus", "excess") == ["0.00", "100000.00", "0.00", "0.00"]
    balances = await desk.balances()
    assert (balances["discount_income"], balances["deferred_income"], balances["purchased_receivables"]) == (
        *("3000.00", "0.00"),
        "0.00",
    )


async def test_a_purchase_collected_early_earns_the_rest_of_its_discount_at_once(desk: Desk) -> None:
    loan_id = await desk.disburse(form="purchase", recourse=False)
    await desk.open_on(OPENING + timedelta(days=45))
    await desk.collect("100000.00", on=OPENING + timedelta(days=45), reference=loan_id)
    balances = await desk.balances()
    assert (balances["discount_income"], balances["deferred_income"]) == ("3000.00", "0.00")


async def test_when_the_anchor_pays_the_discount_the_seller_receives_the_full_price(desk: Desk) -> None:
    loan_id = await desk.disburse(form="purchase", recourse=False, interest_payer="anchor")
    loan = await desk.loan(loan_id)
    assert amounts(loan, "paid_out", "interest_due") == ["99900.00", "3000.00"]
    await desk.open_on(MATURITY)
    entry = await desk.collect("103000.00", on=MATURITY, reference=loan_id)
    assert amounts(entry, "interest", "principal", "excess") == ["3000.00", "100000.00", "0.00"]
    assert (await desk.loan(loan_id))["state"] == "closed"
    assert (await desk.balances())["interest_receivable"] == "0.00"


async def test_r17_without_recourse_the_seller_gets_its_holdback_and_the_bank_nothing_above_the_face(
    desk: Desk,
) -> None:
    loan_id = await desk.disburse(form="purchase", recourse=False, face=cny("100400.00"))
    await desk.open_on(MATURITY)
    entry = await desk.collect("101000.00", on=MATURITY, reference=loan_id)
    assert amounts(entry, "principal", "surplus", "excess") == ["100000.00", "400.00", "600.00"]
    await desk.run_rail()
    balances = await desk.balances()
    assert (balances["due_to_seller"], balances["collections_in_suspense"]) == ("0.00", "600.00")
    assert "excess_income" not in balances


async def test_r17_without_recourse_and_holdback_the_rest_of_the_face_is_the_banks(desk: Desk) -> None:
    loan_id = await desk.disburse(recourse=False, face=cny("105000.00"))
    await desk.open_on(MATURITY)
    entry = await desk.collect("105001.00", on=MATURITY, reference=loan_id)
    assert amounts(entry, "interest", "principal", "surplus", "excess") == ["3000.00", "100000.00", "0.00", "2001.00"]
    balances = await desk.balances()
    assert (balances["excess_income"], balances["collections_in_suspense"]) == ("2000.00", "1.00")


async def test_r17_a_typo_in_a_repayment_is_not_paid_out_to_the_seller(desk: Desk) -> None:
    loan_id = await desk.disburse(face=cny("103500.00"))
    await desk.open_on(MATURITY)
    entry = await desk.collect("90000000000000.00", on=MATURITY, reference=loan_id)
    assert entry["outcome"] == "collected"
    assert amounts(entry, *_PARTS) == ["0.00", "0.00", "3000.00", "100000.00", "500.00", "89999999896500.00"]
    await desk.run_rail()
    assert [paid["amount"]["amount"] for paid in (await desk.loan(loan_id))["payments"]] == ["99900.00", "500.00"]
    balances = await desk.balances()
    assert (balances["due_to_seller"], balances["collections_in_suspense"]) == ("0.00", "89999999896500.00")
    (waits,) = (await desk.maker.get("/suspense")).json()["items"]
    assert (waits["loan_id"], waits["direction"], *amounts(waits, "moved", "in_suspense")) == (
        *(loan_id, "credit"),
        *("90000000000000.00", "89999999896500.00"),
    )
    (listed,) = (await desk.maker.get("/collections")).json()["items"]
    assert amounts(listed, "applied", "unmatched") == ["103500.00", "89999999896500.00"]
    received = [body for kind, body in await desk.events() if kind == "collection.received"][-1]
    assert amounts(received, "applied", "unmatched") == ["103500.00", "89999999896500.00"]
    again = await desk.collect("1.00", on=MATURITY, reference=loan_id)
    assert again["outcome"] == "unmatched"


async def test_r17_a_discount_that_the_anchor_bears_leaves_the_seller_its_holdback(desk: Desk) -> None:
    loan_id = await desk.disburse(form="purchase", interest_payer="anchor", face=cny("100400.00"))
    await desk.open_on(MATURITY)
    entry = await desk.collect("103400.00", on=MATURITY, reference=loan_id)
    assert amounts(entry, "interest", "principal", "surplus", "excess") == ["3000.00", "100000.00", "400.00", "0.00"]


async def test_payers_may_name_a_document_of_the_loan_among_other_words(desk: Desk) -> None:
    document = new_id()
    loan_id = await desk.disburse(document_id=document)
    entry = await desk.collect("10.00", on=OPENING, reference=f"Invoice {document} thank you")
    assert (entry["outcome"], entry["loan_id"]) == ("collected", loan_id)
    received = [body for kind, body in await desk.events() if kind == "collection.received"][-1]
    assert (received["loan_id"], received["document_id"]) == (loan_id, document)


async def test_r7_what_comes_for_a_receivable_without_a_loan_says_which_and_waits_in_suspense(desk: Desk) -> None:
    owed = new_id()
    await desk.give(
        ReceivableRegistered(
            receivable_id=owed,
            seller_id=desk.seller,
            obligor_id=desk.obligor,
            number="INV-1",
            document_type="380",
            syntax="ubl",
            issue_date=OPENING,
            due_date=MATURITY,
            payable=cny("100.00"),
            state="validated",
            reasons=[],
        )
    )
    assert (await desk.collect("40.00", on=OPENING, reference=f"for {owed}"))["outcome"] == "unmatched"
    received = [body for kind, body in await desk.events() if kind == "collection.received"][-1]
    assert (received["loan_id"], received["document_id"], received["unmatched"]["amount"]) == (None, owed, "40.00")
    assert (await desk.balances())["collections_in_suspense"] == "40.00"


@pytest.mark.parametrize(("recourse", "form"), [(True, "loan"), (False, "purchase")])
async def test_r17_what_the_obligor_still_owes_after_the_loan_is_closed_is_the_sellers(
    desk: Desk, *, recourse: bool, form: str
) -> None:
    loan_id = await desk.disburse(form=form, recourse=recourse, face=cny("100400.00"))
    await desk.collect("100000.00", on=OPENING, reference=loan_id)
    assert (await desk.loan(loan_id))["state"] == "closed"
    rest = await desk.collect("300.00", on=OPENING, reference=loan_id)
    assert (rest["outcome"], *amounts(rest, "principal", "surplus")) == ("collected", "0.00", "300.00")
    beyond = await desk.collect("200.00", on=OPENING, reference=loan_id)
    assert (beyond["outcome"], *amounts(beyond, "surplus", "excess")) == ("collected", "100.00", "100.00")
    assert (await desk.collect("100.00", on=OPENING, reference=loan_id))["outcome"] == "unmatched"
    await desk.run_rail()
    balances = await desk.balances()
    assert (balances["due_to_seller"], balances["collections_in_suspense"]) == ("0.00", "200.00")
    assert (await desk.types(loan_id))[-2:] == ["loan.repaid", "loan.closed"]


@pytest.mark.parametrize("what", ["unknown", "closed", "account", "currency"])
async def test_r25_a_credit_that_matches_no_open_loan_waits_in_suspense(desk: Desk, what: str) -> None:
    loan_id = await desk.disburse()
    if what == "closed":
        await desk.collect("100000.00", on=OPENING, reference=loan_id)
    entry = credit("7.00", on=OPENING, reference=new_id() if what == "unknown" else loan_id)
    if what == "currency":
        entry["amount"] = {"amount": "7.00", "currency": "EUR"}
    answer = await desk.statement(entry, account="ELSEWHERE" if what == "account" else "COLLECT-1")
    assert answer.json()["entries"] == [{"entry_id": entry["entry_id"], "outcome": "unmatched"}]
    assert (await desk.balances())["collections_in_suspense"] == "7.00"
    last = (await desk.maker.get("/collections")).json()["items"][-1]
    assert (last["outcome"], last["unmatched"]["amount"], last["loan_id"]) == ("unmatched", "7.00", None)
    received = [body for kind, body in await desk.events() if kind == "collection.received"][-1]
    assert amounts(received, "received", "applied", "unmatched") == ["7.00", "0.00", "7.00"]


async def test_one_statement_may_prove_a_payment_and_repay_it(desk: Desk) -> None:
    await desk.behave("silence")
    loan_id = await desk.approve_drawdown()
    await desk.run_rail()
    end_to_end_id = (await desk.loan(loan_id))["end_to_end_id"]
    proof = {**credit("99900.00", on=OPENING, reference=""), "direction": "debit", "end_to_end_id": end_to_end_id}
    answer = await desk.statement(credit("100000.00", on=OPENING, reference=loan_id), proof)
    # Of one day the debits come first: what repays a loan cannot precede its payment.
    assert [entry["outcome"] for entry in answer.json()["entries"]] == ["collected", "disbursed"]
    assert (await desk.loan(loan_id))["state"] == "closed"
