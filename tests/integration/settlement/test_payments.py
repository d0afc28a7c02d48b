"""The rail confirms, refuses, is silent or late; evidence decides what it never says (DOMAIN §5)."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from shared.events.onboarding import EnterpriseEvent, ProgrammeEvent
from shared.messaging.applying import NotYet
from shared.values.ids import new_id
from tests.integration.settlement.desk import OPENING, Desk, cny, debit


async def _sends(desk: Desk, loan_id: str) -> tuple[int, int]:
    """Return (how often the rail was asked, how many orders it knows) for the payment of a loan."""
    end_to_end_id = (await desk.loan(loan_id))["end_to_end_id"]
    async with desk.service.database.reader() as tx:
        row = await tx.pg.fetchrow(
            "SELECT sum(sends)::int AS sends, count(*) AS orders FROM rail_payment WHERE end_to_end_id = $1",
            end_to_end_id,
        )
    assert row is not None
    return row["sends"], row["orders"]


async def _silent_loan(desk: Desk) -> str:
    await desk.behave("silence")
    loan_id = await desk.approve_drawdown()
    await desk.run_rail()
    await desk.wait_out_the_rail()
    assert (await desk.loan(loan_id))["state"] == "unknown"
    return loan_id


async def test_a_refused_payment_fails_the_loan_and_books_nothing(desk: Desk) -> None:
    await desk.behave("refuse")
    loan_id = await desk.approve_drawdown()
    await desk.run_rail()
    loan = await desk.loan(loan_id)
    assert (loan["state"], loan["reason"]) == ("failed", "refused_by_the_rail")
    assert await desk.types(loan_id) == ["loan.instructed", "loan.disbursement_failed"]
    assert await desk.balances() == {}


async def test_a_behaviour_counts_only_for_the_next_payments_to_its_account(desk: Desk) -> None:
    await desk.behave("refuse", count=2)
    loans = [await desk.approve_drawdown() for _ in range(3)]
    other = await desk.approve_drawdown(payee_account="PAYEE-2")
    await desk.run_rail()
    states = [(await desk.loan(loan_id))["state"] for loan_id in [*loans, other]]
    assert states == ["failed", "failed", "disbursed", "disbursed"]


async def test_r19_a_restored_book_that_instructs_a_drawdown_again_asks_for_the_payment_that_the_rail_knows(
    desk: Desk,
) -> None:
    approved = desk.approved(new_id())
    await desk.give(approved)
    await desk.run_rail()
    # As from a backup of before: neither loan nor payment; the rail is elsewhere and knows what it paid.
    async with desk.service.database.transaction() as tx:
        await tx.pg.execute("TRUNCATE clearing, payment, loan_balance, instalment, loan_reference, loan")
    await desk.give(approved)
    await desk.run_rail()
    assert (await desk.loan(approved.drawdown_id))["state"] == "disbursed"
    assert await _sends(desk, approved.drawdown_id) == (2, 1)
    async with desk.service.database.reader() as tx:
        assert await tx.pg.fetchval("SELECT count(*) FROM rail_payment") == 1


async def test_silence_makes_a_loan_unknown_and_the_statement_proves_it_once(desk: Desk) -> None:
    loan_id = await _silent_loan(desk)
    loan = await desk.loan(loan_id)
    proof = debit("99900.00", on=OPENING, end_to_end_id=loan["end_to_end_id"])
    recorded = await desk.statement(proof, account="NOSTRO-1")
    assert recorded.json()["entries"] == [{"entry_id": proof["entry_id"], "outcome": "disbursed", "loan_id": loan_id}]
    again = await desk.statement(proof, {**proof, "entry_id": "another"}, account="NOSTRO-1")
    assert [entry["outcome"] for entry in again.json()["entries"]] == ["duplicate", "unmatched"]
    assert (await desk.loan(loan_id))["state"] == "disbursed"
    assert await desk.types(loan_id) == ["loan.instructed", "loan.disbursement_unknown", "loan.disbursed"]
    assert (await desk.balances())["loans_receivable"] == "100000.00"


async def test_r18_a_proof_with_an_earlier_value_date_accrues_from_it_on_the_open_day(desk: Desk) -> None:
    loan_id = await _silent_loan(desk)
    await desk.open_on(OPENING + timedelta(days=10))
    loan = await desk.loan(loan_id)
    await desk.statement(
        debit("99900.00", on=OPENING + timedelta(days=1), end_to_end_id=loan["end_to_end_id"]), account="NOSTRO-1"
    )
    loan = await desk.loan(loan_id)
    assert (loan["disbursed_date"], loan["interest_due"]["amount"]) == ("2026-01-06", "300.00")
    listed = (await desk.maker.get("/ledger/transactions", params={"loan_id": loan_id})).json()["items"]
    assert {item["posting_date"] for item in listed} == {"2026-01-15"}
    assert next(item["value_date"] for item in listed if item["kind"] == "accrual") == "2026-01-06"


async def test_a_debit_that_names_our_payment_with_another_amount_proves_nothing(desk: Desk) -> None:
    loan_id = await _silent_loan(desk)
    end_to_end_id = (await desk.loan(loan_id))["end_to_end_id"]
    other = await desk.statement(debit("1.00", on=OPENING, end_to_end_id=end_to_end_id), account="NOSTRO-1")
    assert other.json()["entries"][0]["outcome"] == "unmatched"
    assert (await desk.loan(loan_id))["state"] == "unknown"


@pytest.mark.parametrize("together", [True, False])
async def test_r25_a_payment_that_the_bank_made_twice_is_kept_and_an_operator_sees_the_second(
    desk: Desk, *, together: bool
) -> None:
    loan_id = await desk.disburse()
    end_to_end_id = (await desk.loan(loan_id))["end_to_end_id"]
    entries = [debit("99900.00", on=OPENING, end_to_end_id=end_to_end_id) for _ in range(2)]
    if together:
        answers = [await desk.statement(*entries, account="NOSTRO-1")]
    else:
        answers = await asyncio.gather(
            *(desk.statement(each, account=f"NOSTRO-{nth}") for nth, each in enumerate(entries))
        )
    assert sorted(item["outcome"] for answer in answers for item in answer.json()["entries"]) == [
        *("disbursed", "unmatched")
    ]
    (waits,) = (await desk.maker.get("/suspense")).json()["items"]
    assert (waits["direction"], waits["end_to_end_id"], waits["in_suspense"]["amount"]) == (
        *("debit", end_to_end_id),
        "99900.00",
    )
    balances = await desk.balances()
    assert (balances["payments_in_suspense"], balances["nostro"]) == ("99900.00", "-199800.00")
    assert balances["loans_receivable"] == "100000.00"
    assert (await desk.types(loan_id)).count("loan.disbursed") == 1
    assert (await desk.maker.get("/collections")).json()["items"] == []


async def test_a_late_answer_resolves_an_unknown_loan(desk: Desk) -> None:
    await desk.behave("late")
    loan_id = await desk.approve_drawdown()
    await desk.run_rail()
    await desk.wait_out_the_rail()
    assert (await desk.loan(loan_id))["state"] == "unknown"
    await desk.wait_out_the_rail()
    assert (await desk.loan(loan_id))["state"] == "disbursed"
    await desk.run_rail(rounds=3)
    assert await desk.types(loan_id) == ["loan.instructed", "loan.disbursement_unknown", "loan.disbursed"]


async def test_the_same_end_to_end_id_sent_again_never_pays_twice(desk: Desk) -> None:
    loan_id = await _silent_loan(desk)
    await desk.behave("refuse")
    for nth in range(1, 4):
        await desk.open_on(OPENING + timedelta(days=nth))
        await desk.run_rail(rounds=2)
    assert await _sends(desk, loan_id) == (4, 1)
    assert (await desk.loan(loan_id))["state"] == "unknown"
    # What the rail knows already uses up nothing of what it was told to do with the next payment.
    fresh = await desk.approve_drawdown()
    await desk.run_rail()
    assert (await desk.loan(fresh))["state"] == "failed"


@pytest.mark.parametrize(
    ("outcome", "event"), [("disbursed", "loan.disbursed"), ("failed", "loan.disbursement_failed")]
)
async def test_r22_two_persons_decide_what_became_of_an_unknown_payment(desk: Desk, outcome: str, event: str) -> None:
    loan_id = await _silent_loan(desk)
    body = {"outcome": outcome, "reason": "the payee's bank says so"}
    proposed = await desk.maker.post(f"/loans/{loan_id}/evidence", json=body)
    assert proposed.status_code == 201, proposed.text
    approval = proposed.json()["approval_id"]
    forbidden = await desk.maker.post(f"/approvals/{approval}/approve")
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")
    assert (await desk.loan(loan_id))["state"] == "unknown"
    assert (await desk.checker.post(f"/approvals/{approval}/approve")).status_code == 200
    assert (await desk.loan(loan_id))["state"] == outcome
    assert (await desk.types(loan_id))[-1] == event
    again = await desk.maker.post(f"/loans/{loan_id}/evidence", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "not_possible_now")


async def test_evidence_that_a_statement_overtook_changes_nothing(desk: Desk) -> None:
    loan_id = await _silent_loan(desk)
    body = {"outcome": "failed", "reason": "nobody has seen it"}
    approval = (await desk.maker.post(f"/loans/{loan_id}/evidence", json=body)).json()["approval_id"]
    end_to_end_id = (await desk.loan(loan_id))["end_to_end_id"]
    await desk.statement(debit("99900.00", on=OPENING, end_to_end_id=end_to_end_id), account="NOSTRO-1")
    refused = await desk.checker.post(f"/approvals/{approval}/approve")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_possible_now")
    assert (await desk.loan(loan_id))["state"] == "disbursed"


async def test_money_that_went_out_after_it_was_given_up_is_lent_and_an_incident(desk: Desk) -> None:
    await desk.behave("late")
    loan_id = await desk.approve_drawdown()
    await desk.run_rail()
    await desk.wait_out_the_rail()
    body = {"outcome": "failed", "reason": "nobody has seen it"}
    approval = (await desk.maker.post(f"/loans/{loan_id}/evidence", json=body)).json()["approval_id"]
    assert (await desk.checker.post(f"/approvals/{approval}/approve")).status_code == 200
    assert (await desk.loan(loan_id))["state"] == "failed"
    await desk.wait_out_the_rail()
    loan = await desk.loan(loan_id)
    assert (loan["state"], loan["incident"]) == ("disbursed", "disbursed_after_failure")


async def test_a_cancelled_drawdown_is_stopped_before_it_is_sent_and_not_after(desk: Desk) -> None:
    sent = await desk.disburse()
    await desk.cancel_drawdown(sent)
    assert (await desk.loan(sent))["state"] == "disbursed"
    early = await desk.approve_drawdown()
    await desk.cancel_drawdown(early)
    await desk.cancel_drawdown(new_id())
    await desk.run_rail()
    loan = await desk.loan(early)
    assert (loan["state"], loan["reason"]) == ("failed", "cancelled: changed my mind")
    assert await desk.types(early) == ["loan.instructed", "loan.disbursement_failed"]
    async with desk.service.database.reader() as tx:
        assert await tx.pg.fetchval("SELECT count(*) FROM rail_payment") == 1


async def test_what_was_marked_as_sent_and_lost_in_a_crash_is_submitted_once_and_cannot_be_stopped(desk: Desk) -> None:
    loan_id = await desk.approve_drawdown()
    async with desk.service.database.transaction() as tx:
        await tx.pg.execute("UPDATE payment SET state = 'sent', sent_at = clock_timestamp() - interval '1 hour'")
    await desk.cancel_drawdown(loan_id)
    assert (await desk.loan(loan_id))["state"] == "instructed"
    await desk.run_rail(rounds=3)
    assert await _sends(desk, loan_id) == (1, 1)
    assert await desk.types(loan_id) == ["loan.instructed", "loan.disbursed"]


async def test_r19_several_workers_pay_and_book_each_loan_once(desk: Desk) -> None:
    await desk.behave("refuse", count=5)
    loans = [await desk.approve_drawdown() for _ in range(25)]
    await asyncio.gather(*(desk.run_rail(rounds=3) for _ in range(3)))
    states = [(await desk.loan(loan_id))["state"] for loan_id in loans]
    assert (states.count("disbursed"), states.count("failed")) == (20, 5)
    balances = await desk.balances()
    assert (balances["loans_receivable"], balances["nostro"]) == ("2000000.00", "-1998000.00")
    assert sum(kind == "loan.disbursed" for kind, _ in await desk.events()) == 20
    async with desk.service.database.reader() as tx:
        assert await tx.pg.fetchval("SELECT count(*) FROM rail_payment") == 25


async def test_a_batch_of_approvals_is_instructed_in_one_go_and_each_has_its_own_outcome(desk: Desk) -> None:
    good, matured, other = (new_id() for _ in range(3))
    events = [desk.approved(good), desk.approved(matured, maturity_date=OPENING), desk.approved(other, form="purchase")]
    await desk.give_together(*events)
    await desk.run_rail()
    states = [(await desk.loan(loan_id))["state"] for loan_id in (good, matured, other)]
    assert states == ["disbursed", "failed", "disbursed"]


async def test_days_that_close_while_payments_go_out_lose_no_days_interest(desk: Desk) -> None:
    loans = [await desk.approve_drawdown() for _ in range(10)]
    closing = [OPENING + timedelta(days=nth) for nth in range(3)]

    async def close_all() -> None:
        for day in closing:
            assert (await desk.close(day)).status_code == 200

    await asyncio.gather(close_all(), desk.run_rail(rounds=5))
    for loan_id in loans:
        loan = await desk.loan(loan_id)
        held = date(2026, 1, 8) - date.fromisoformat(loan["disbursed_date"])
        assert loan["interest_due"]["amount"] == f"{held.days * 33.33333:.2f}"


async def test_a_drawdown_waits_for_the_facts_of_its_programme_and_seller(empty_desk: Desk) -> None:
    await empty_desk.open()
    with pytest.raises(NotYet) as waits:
        await empty_desk.approve_drawdown()
    assert (waits.value.topic, waits.value.subject) == (ProgrammeEvent.topic, empty_desk.programme)
    await empty_desk.give(empty_desk.programme_activated())
    with pytest.raises(NotYet) as waits:
        await empty_desk.approve_drawdown()
    assert (waits.value.topic, waits.value.subject) == (EnterpriseEvent.topic, empty_desk.seller)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"maturity_date": OPENING}, "already_matured"),
        ({"fee": cny("100000.00")}, "nothing_to_pay"),
    ],
)
async def test_r25_terms_that_cannot_be_paid_fail_with_a_reason(
    desk: Desk, changes: dict[str, Any], reason: str
) -> None:
    loan_id = await desk.approve_drawdown(**changes)
    await desk.run_rail()
    assert await desk.events(loan_id) == [
        ("loan.disbursement_failed", {"loan_id": loan_id, "reason": reason}),
    ]


async def test_r25_a_drawdown_before_the_book_opens_fails_with_a_reason(empty_desk: Desk) -> None:
    await empty_desk.know_parties()
    loan_id = await empty_desk.approve_drawdown()
    await empty_desk.run_rail()
    loan = await empty_desk.loan(loan_id)
    assert (loan["state"], loan["reason"]) == ("failed", "book_not_open")
    assert await empty_desk.types(loan_id) == ["loan.disbursement_failed"]


async def test_a_refused_surplus_is_paid_again_the_next_day_to_the_account_the_seller_has_then(desk: Desk) -> None:
    loan_id = await desk.disburse(face=cny("100500.00"))
    await desk.behave("refuse", account="SELLER-1")
    await desk.collect("100500.00", on=OPENING, reference=loan_id)
    await desk.run_rail()
    assert (await desk.balances())["due_to_seller"] == "500.00"
    moved = desk.enterprise_registered().model_copy(update={"account": "SELLER-2"})
    await desk.give(moved)
    await desk.open_on(OPENING + timedelta(days=1))
    await desk.run_rail()
    assert (await desk.balances())["due_to_seller"] == "0.00"


async def test_a_surplus_that_was_paid_again_and_went_out_before_all_the_same_waits_for_a_person(desk: Desk) -> None:
    loan_id = await desk.disburse(face=cny("100500.00"))
    await desk.behave("refuse", account="SELLER-1")
    await desk.collect("100500.00", on=OPENING, reference=loan_id)
    await desk.run_rail()
    await desk.open_on(OPENING + timedelta(days=1))
    first = next(each for each in (await desk.loan(loan_id))["payments"] if each["state"] == "replaced")
    proof = debit("500.00", on=OPENING, end_to_end_id=first["end_to_end_id"])
    assert (await desk.statement(proof, account="NOSTRO-1")).json()["entries"][0]["outcome"] == "unmatched"
    await desk.run_rail()
    balances = await desk.balances()
    assert (balances["due_to_seller"], balances["payments_in_suspense"]) == ("0.00", "500.00")


async def test_a_silent_surplus_payment_is_proven_by_the_statement(desk: Desk) -> None:
    loan_id = await desk.disburse(face=cny("100500.00"))
    await desk.behave("silence", account="SELLER-1")
    await desk.collect("100500.00", on=OPENING, reference=loan_id)
    await desk.run_rail()
    await desk.wait_out_the_rail()
    assert (await desk.balances())["due_to_seller"] == "500.00"
    lent, surplus = (await desk.loan(loan_id))["payments"]
    assert (lent["purpose"], lent["state"]) == ("disbursement", "confirmed")
    assert (surplus["purpose"], surplus["state"], surplus["amount"]["amount"]) == ("surplus", "unknown", "500.00")
    proof = debit("500.00", on=OPENING, end_to_end_id=surplus["end_to_end_id"])
    for entry_id, outcome in (("a", "paid"), ("b", "unmatched")):
        found = await desk.statement({**proof, "entry_id": entry_id}, account="NOSTRO-1")
        assert found.json()["entries"][0]["outcome"] == outcome
    balances = await desk.balances()
    assert (balances["due_to_seller"], balances["payments_in_suspense"]) == ("0.00", "500.00")


async def test_the_rail_is_told_by_administrators_only(desk: Desk) -> None:
    body = {"account": "PAYEE-1", "outcome": "refuse", "count": 1}
    assert (await desk.maker.put("/rail/behaviours", json=body)).status_code == 403
    wrong = await desk.administrator.put("/rail/behaviours", json={**body, "outcome": "explode"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_request")
